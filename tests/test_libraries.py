"""What the libraries do that we have to keep clear of, each with what keeps us clear of it. Where a test of a library alone
fails, that library has changed, and what is done about it here may go."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import sympy
from nbformat.v4 import new_code_cell, new_notebook, new_output
from sympy import Determinant, Inverse, MatrixSymbol, Trace, ZeroMatrix

from fa_core import notebooks, threads
from fa_core.proofs import convergence

PROOFS = sorted((Path(notebooks.__file__).parent / "proofs").rglob("*.py"))

# ---- nbval


def by_nbval(folder: Path, *cells: tuple[str, str]) -> list[str]:
    """What strict nbval says of cells, (source, the text that stands as its output, or ""): "passed" or "failed"."""
    made = [
        new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)] if text else [], execution_count=n)
        for n, (source, text) in enumerate(cells, start=1)
    ]
    nbformat.write(new_notebook(cells=made, metadata=notebooks.NORMAL), folder / "a.ipynb")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "-v", "a.ipynb"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return [word.lower() for word in re.findall(r"::Cell \d+ (PASSED|FAILED)", ran.stdout)]


# What each cell prints, beside what stands as its output.
BLIND = {
    "what it prints": ("import subprocess\nprint('seen')", "seen\n", "passed"),
    "something else": ("print('seen')", "another\n", "failed"),
    "a child's, where nothing stands": ("_ = subprocess.run(['echo', 'child'])", "", "passed"),
    "a child's, where it stands": ("_ = subprocess.run(['echo', 'child'])", "child\n", "failed"),
    "a result hidden by a semicolon": ("3;", "", "failed"),
    "what was cleared": ("from IPython.display import *\nprint('gone')\nclear_output()\nprint('kept')", "kept\n", "failed"),
    "what was updated": ("shown = display('a', display_id=True)\nshown.update('b')", "", "failed"),
}


def test_nbval_is_blind_to_children_and_keeps_what_was_cleared_updated_or_hidden(tmp_path):
    found = by_nbval(tmp_path, *((source, stands) for source, stands, _ in BLIND.values()))
    assert dict(zip(BLIND, found, strict=True)) == {what: outcome for what, (_, _, outcome) in BLIND.items()}


@pytest.mark.parametrize("name", notebooks.names())
def test_no_notebook_clears_or_updates_an_output_or_has_a_child_process_print(name):
    code = "\n".join(cell.source for cell in notebooks.code_cells(notebooks.read(notebooks.path(name))))
    assert not re.search(r"clear_output|update_display|display_id|os\.system|subprocess|^\s*[!%]", code, re.MULTILINE)


# ---- Dask


def test_a_dask_cluster_leaves_the_limits_of_its_workers_in_the_process_that_made_it():
    # Whoever makes one and then trains in that process has one thread there: it is in what a record says of itself.
    program = """
import json, os
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None):
        pass
    import fa_core.threads
    print(json.dumps(fa_core.threads.in_force()))
"""
    clean = {k: v for k, v in os.environ.items() if k not in (threads.MEANT, *threads.OTHERS)}
    ran = subprocess.run([sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert found[threads.MEANT] == "1"
    assert found["torch"] == 1, "and it is told"


# ---- SymPy

A = MatrixSymbol("A", 3, 3)


@pytest.mark.parametrize("function", [sympy.log(Trace(A)), sympy.log(Determinant(A)), Determinant(A) ** 2], ids=str)
def test_sympy_takes_the_derivative_of_a_function_of_a_trace_or_determinant_for_0_and_ours_refuses_it(function):
    assert function.diff(A) == ZeroMatrix(3, 3)
    with pytest.raises(TypeError, match="no rule to differentiate"):
        convergence.rate(function, {A: A})


def test_a_rectangular_symbol_has_an_inverse_and_we_take_that_of_a_square_one_alone():
    n, m = sympy.symbols("n m", positive=True, integer=True)
    R = MatrixSymbol("R", n, m)
    assert Inverse(R).shape == (n, m), "of another shape than any inverse would have"
    taken = [
        ast.unparse(node.args[0])
        for file in PROOFS
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "Inverse"
    ]
    assert set(taken) == {"H"}, "the second derivative of the loss by the hidden units"
