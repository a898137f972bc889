"""The notebooks: executed by papermill, kept in a normal form, read for their claims; the book built from them.

`python -m fa_core run` executes; `python -m fa_core build` renders what was executed.
"""

import ast
import base64
import copy
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import nbformat
import papermill
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from fa_core import claims, files, processes, proofs, records, threads

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
STAGE = "_build/source"  # the book's sources, with the notebooks as executed
FRONT = ("02_linear", "fig-02")  # the figure that the README and the introduction show
FRONT_PICTURE = ROOT / "book" / "_static" / "readme.png"
# Those that take longest, which are begun first: one that is left at the end keeps a single process busy.
LONGEST = (
    "05_spiking",
    "13_convergence",
    "02_linear",
    "08_mnist_extended",
    "15_pseudoinverse",
    "16_gauss_newton",
    "14_alignment",
    "21_later_findings",
    "06_mechanics",
    "07_xor",
    "11_momentum",
    "12_limitations",
    "17_not_a_gradient",
    "18_from_zero",
    "19_any_start",
    "03_mnist",
    "04_deep",
)
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
NORMAL = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
TRANSIENT = ("execution", "papermill")  # metadata that differ from one execution to the next
ALLOWED = "raises-exception"  # Jupyter's tag of a cell whose error is meant
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COLLAPSED = "jp-MarkdownHeadingCollapsed"  # JupyterLab's metadata of a heading whose section is folded
HEADING = re.compile(r"((?:\([\w-]+\)=\n)*(#+) [^\n]*)")  # that a cell begins with, and the labels on it
PACE = 220  # words read in a minute
LOOK = 15  # seconds that a figure is looked at
MARKER = "papermill-error-cell-tag"  # papermill's, of a cell that it put in beside an error


class NotebookError(RuntimeError):
    """A notebook does not exist, was given what it does not know, or failed; the message says where."""


class _WrittenOnce(NBClientEngine):
    """papermill's engine, but that the copy is written at the beginning and at the end. Its own writes the whole notebook
    twice for each cell, which took up to a third of the time of those with many figures."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
        target, nb_man.output_path = nb_man.output_path, None
        try:
            super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            nb_man.output_path = target


papermill_engines.register(_WrittenOnce.__name__, _WrittenOnce)


def names() -> list[str]:
    """The notebooks there are, in order, without their ending."""
    return sorted(p.stem for p in FOLDER.glob("[0-9]*.ipynb"))


def there() -> list[str]:
    """As `names`. Raises NotebookError where there are none."""
    if not names():
        raise NotebookError(
            f"no notebooks in {FOLDER}: they come with the repository and not with the installed package. "
            "Clone it, and there `pip install -e .`, or `make book`"
        )
    return names()


def path(name: str) -> Path:
    """The file of a notebook of the book, by name or path. Raises NotebookError that lists what there is."""
    stem = name.removesuffix(".ipynb").rsplit("/", 1)[-1]
    if "/" in name and Path(name).exists() and Path(name).resolve().parent != FOLDER.resolve():
        raise NotebookError(f"{name} is another than the book's {stem}: run it in Jupyter, or as {FOLDER / stem}.ipynb")
    if stem not in there():
        raise NotebookError(f"no notebook {name!r}; there are: {', '.join(names())}")
    return FOLDER / f"{stem}.ipynb"


def read(file: Path) -> NotebookNode:
    """A notebook from its file. Raises NotebookError where it is none, OSError."""
    try:
        return nbformat.read(file, as_version=4)
    except OSError:
        raise
    except Exception as error:  # what is no notebook makes the reader fail in many ways
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NotebookError(f"{file} is no notebook ({what}): restore it, e.g. by git checkout") from error


def code_cells(notebook: NotebookNode) -> list:
    """The code cells that have something to run."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def parameters(file: Path) -> dict[str, str]:
    """The parameters of a notebook and their defaults, as the source has them, from its cell tagged `parameters`.
    Raises NotebookError where that cell is no Python."""
    cell = next((c for c in code_cells(read(file)) if "parameters" in c.metadata.get("tags", [])), None)
    if cell is None:
        return {}
    try:
        lines = ast.parse(TransformerManager().transform_cell(cell.source)).body
    except SyntaxError as error:
        raise NotebookError(
            f"{file}: the cell tagged `parameters` is no Python, in line {error.lineno}: {error.msg}"
        ) from None
    found: dict[str, str] = {}
    for line in lines:
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value is not None:
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            found |= {t.id: ast.unparse(line.value) for t in targets if isinstance(t, ast.Name)}
    return found


def plain(value: object) -> bool:
    """Whether papermill hands a value to a notebook as it is; a tuple, or a number of NumPy's, arrives as text."""
    if isinstance(value, list):
        return all(map(plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    return value is None or type(value) in (bool, int, float, str)


def check(name: str, given: dict) -> None:
    """Raises NotebookError for a parameter that the notebook does not have, and for a value that would not arrive as it is:
    papermill logs the one, and turns the other into text."""
    known = parameters(path(name))
    if unknown := sorted(set(given) - set(known)):
        raise NotebookError(
            f"{name} has no parameter {', '.join(unknown)}; it has: "
            + (", ".join(f"{k} = {v}" for k, v in known.items()) or "none")
        )
    if changed := [k for k, v in given.items() if not plain(v)]:
        raise NotebookError(
            f"{name}: " + ", ".join(f"{k} = {given[k]!r}" for k in changed) + ": a parameter is a number, "
            "text, True, False, None, or a list or a dictionary of these. Give a list for a tuple or an "
            "array, and float(x) for a number of NumPy's"
        )


def execute(name: str, out: Path, given: dict | None = None) -> float:
    """Execute a notebook into the folder `out`, in a kernel of its own; returns the seconds it took.

    The copy says in its metadata (`fa_core`) when it ran, for how long, and on what. A cell tagged `raises-exception` may
    fail. Raises NotebookError for what `check` refuses, for a failing cell, with its last lines, for one that ended the
    notebook before its end, and for a kernel that died.
    """
    given = given or {}
    check(name, given)
    source, target = path(name), out / f"{name}.ipynb"
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    died = False
    try:
        with tempfile.TemporaryDirectory() as sockets:
            # A kernel is interrupted before it is told to end, and calls that an error if it is not quick enough.
            settings: dict[str, dict] = {"NotebookClient": {"extra_arguments": ["--log-level=CRITICAL"]}}
            # Kernels speak over sockets in a folder of their own: no ports to collide, no warning about open ones.
            if os.name == "posix":
                settings["KernelManager"] = {"transport": "ipc", "ip": f"{sockets}/kernel"}
            papermill.execute_notebook(
                str(source),
                str(target),
                given,
                engine_name=_WrittenOnce.__name__,
                kernel_name=KERNEL["name"],
                language="python",
                cwd=str(FOLDER),
                progress_bar=False,
                config=Config(settings),
            )
    except PapermillExecutionError:
        pass  # the copy tells what happened, and whether the cell may fail
    except DeadKernelError:
        died = True
    except OSError as error:
        if error.errno not in FULL:
            raise
        target.unlink(missing_ok=True)  # it is cut
        raise NotebookError(
            f"{name}: {target} cannot be written ({error.strerror}): make room there, or give another folder with --out"
        ) from error
    seconds = time.monotonic() - start
    notebook = read(target)
    notebook.cells = [c for c in notebook.cells if MARKER not in c.metadata.get("tags", [])]
    if why := unfinished(notebook, died):
        raise NotebookError(f"{name}, {why[0]} (the copy with its output: {target}){why[1]}")
    # Parameters that were given are recorded; papermill's own timings would double ours.
    notebook.metadata = nbformat.NotebookNode(
        NORMAL
        | {
            "fa_core": {
                "executed": records.now(),
                "seconds": round(seconds, 1),
                "given": given,
                "machine": records.machine(),
            }
        }
    )
    write(normalise(notebook, keep=("fa_core",)), target)
    return seconds


def errors(cell: NotebookNode) -> list:
    """The errors in a code cell's outputs, save where it may fail."""
    return [] if ALLOWED in cell.metadata.get("tags", []) else [o for o in cell.outputs if o.output_type == "error"]


def unfinished(notebook: NotebookNode, died: bool = False) -> tuple[str, str] | None:
    """Which cell of papermill's copy failed, or ended it before its end, and the last lines; None where all ran.

    papermill itself takes a SystemExit without a code, or with 0, for an end like another, and marks cells that a dead
    kernel never ran as completed. `died`: the kernel did, in the last cell that was begun.
    """
    code = code_cells(notebook)
    if died:
        begun = sum(c.metadata.get("papermill", {}).get("start_time") is not None for c in code)
        return (
            f"cell [{max(begun, 1)}]: its kernel died",
            ". Memory is the usual cause: run fewer side by side (--jobs 1), or free some",
        )
    for number, cell in enumerate(code, start=1):
        for error in errors(cell):
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join([*error.traceback, f"{error.ename}: {error.evalue}"]))
            tail = ":\n" + "\n".join(dict.fromkeys(text.strip().splitlines()[-12:]))
            if error.ename == "SystemExit" and number < len(code):
                return f"cell [{number}] ended it there, with {len(code) - number} more to run", tail
            return f"cell [{number}] failed", tail
        if cell.execution_count is None:
            return f"cell [{number}] did not run", ""
    return None


def normalise(notebook: NotebookNode, keep: tuple[str, ...] = ()) -> NotebookNode:
    """The notebook in its normal form: outputs and counts, and nothing that differs from one execution to the next.

    No metadata of the execution, no empty lists of tags, one kernel specification, adjacent pieces of one output
    stream joined. `keep`: metadata of the notebook to leave.
    """
    notebook = copy.deepcopy(notebook)
    kept = {k: notebook.metadata[k] for k in keep if k in notebook.metadata}
    notebook.nbformat, notebook.nbformat_minor = 4, max(5, notebook.nbformat_minor)  # the first in which cells have ids
    notebook.metadata = nbformat.from_dict(NORMAL | kept)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k not in TRANSIENT and v != []}
        if cell.cell_type != "code":
            continue
        merged: list[NotebookNode] = []
        for output in cell.outputs:
            if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged
    return notebook


def described(notebook: NotebookNode) -> NotebookNode:
    """The notebook with each figure's description, which the book reads in the cell's `mystnb`, where Jupyter and nbconvert
    look for it, too."""
    notebook = copy.deepcopy(notebook)
    for cell in code_cells(notebook):
        if alt := cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.metadata["image/png"] = output.metadata.get("image/png", {}) | {"alt": alt}
    return notebook


def write(notebook: NotebookNode, file: Path) -> None:
    """Write a notebook, atomically. Raises NotebookError for what is not valid in the notebook's format, OSError."""
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        raise NotebookError(
            f"{file}: not written, for it is no valid notebook of format {notebook.nbformat}."
            f"{notebook.nbformat_minor}: {error.message}"
        ) from error
    files.write(file, f"{nbformat.writes(notebook)}\n".encode())


def unfit(notebook: NotebookNode) -> list[str]:
    """What keeps an executed notebook from being published: cells not run in order from the first, errors, no outputs.

    nbval passes a notebook stripped of its outputs, and Sphinx renders one that failed; this does not.
    """
    found = []
    code = code_cells(notebook)
    counts = [c.execution_count for c in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}, wanted 1 to {len(code)}")
    if not any(c.outputs for c in code):
        found.append("no cell has an output")
    return found + [f"cell [{c.execution_count}] has an error: {e.ename}: {e.evalue}" for c in code for e in errors(c)]


def problems(notebook: NotebookNode) -> list[str]:
    """What keeps a notebook from being committed: that it is unfit, has cells that the book leaves out, or is not in normal
    form."""
    raw = [f"cell {n} is a raw one, which the book leaves out" for n, c in enumerate(notebook.cells) if c.cell_type == "raw"]
    return unfit(notebook) + raw + ([] if normalise(notebook) == notebook else ["not in normal form: run `make refresh`"])


def _of_type(notebook: NotebookNode, mime: str) -> list[dict]:
    return [o.data[mime] for c in notebook.cells if c.cell_type == "code" for o in c.outputs if mime in o.get("data", {})]


def words(text: str) -> int:
    """How many words a text has: not signs, nor formulas, nor the addresses of links."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", text, flags=re.S)
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def main_thread(notebook: NotebookNode) -> list:
    """The cells that a reader sees who opens nothing: without the sections that are folded, from a heading with `COLLAPSED`
    to the next that is not under it."""
    found, under = [], 0
    for cell in notebook["cells"]:
        heading = HEADING.match(cell["source"]) if cell["cell_type"] == "markdown" else None
        if heading and under and len(heading[2]) <= under:
            under = 0
        if heading and not under and cell["metadata"].get(COLLAPSED):
            under = len(heading[2])
        if not under:
            found.append(cell)
    return found


def read_words(notebook: NotebookNode) -> tuple[int, int]:
    """How many words the main thread of a notebook has, captions included, and how many figures."""
    cells = [c for c in main_thread(notebook) if not {"hide-cell", "remove-cell"} & set(c["metadata"].get("tags", ()))]
    captions = [c["metadata"]["mystnb"]["figure"]["caption"] for c in cells if "figure" in c["metadata"].get("mystnb", {})]
    prose = [c["source"] for c in cells if c["cell_type"] == "markdown"]
    return sum(map(words, prose + captions)), len(captions)


def minutes(notebook: NotebookNode) -> int:
    """About how many minutes the main thread of a notebook takes to read."""
    count, figures = read_words(notebook)
    return max(1, round(count / PACE + figures * LOOK / 60))


def picture(notebook: NotebookNode, figure: str) -> bytes:
    """The PNG of a figure, by the name in its cell's metadata. Raises NotebookError where there is none."""
    for cell in notebook.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == figure:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise NotebookError(f"no figure {figure!r} with an image")


def verdicts(notebook: NotebookNode) -> list[dict]:
    """The claims that a notebook's outputs report, as `claims.Verdict.as_json` gives them, in order."""
    return _of_type(notebook, claims.MIME)


def results(notebook: NotebookNode) -> list[dict]:
    """The experiments whose results a notebook's outputs show: name, digest, and whether from a record or live."""
    return _of_type(notebook, records.MIME)


def equations(notebook: NotebookNode) -> list[dict]:
    """The numbered equations that a notebook's outputs account for, as `proofs.Shown` gives them, in order."""
    return [row for rows in _of_type(notebook, proofs.MIME) for row in rows]


def run(
    chosen: list[str],
    *,
    out: str = STAGE,
    profile: str = "paper",
    jobs: int = 2,
    write_back: bool = False,
    given: dict | None = None,
) -> int:
    """Execute notebooks side by side, all or those named; returns the exit status.

    Where `out` is the stage, the sources of the book are laid out there around them. With `write_back` the outputs go
    into notebooks/ in normal form, if the whole notebook ran. `given`: values of further parameters. Raises NotebookError.
    """
    if jobs < 1:
        raise NotebookError(f"--jobs is the number of notebooks side by side, 1 or more; got {jobs}")
    given = (given or {}) | ({} if profile == "paper" else {"profile": profile})
    if write_back and given:
        raise NotebookError(
            "only the paper profile, at the notebook's own parameters, is written back: the committed outputs are the book's"
        )
    if Path(out).resolve() == FOLDER.resolve():
        raise NotebookError(f"{out} holds the notebooks themselves: name another folder by --out, or give --write-back")
    todo = list(dict.fromkeys(path(n).stem for n in chosen)) or there()
    todo.sort(key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))
    for name in todo:
        check(name, given)
    lock = Path(out).absolute()
    try:
        with processes.alone(lock.with_name(f"{lock.name}.lock")):
            folder = stage(Path(out)) if Path(out).resolve() == Path(STAGE).resolve() else Path(out)
            return _side_by_side(todo, folder, jobs, write_back, given)
    except processes.Busy as busy:
        raise NotebookError(
            f"{out} is being written already, by {busy}: wait for that, end it, or name another folder by --out"
        ) from None


def _side_by_side(todo: list[str], folder: Path, jobs: int, write_back: bool, given: dict) -> int:
    """`run`, once the folder is this process's own."""
    # One thread to each kernel: several side by side then do not fight over the cores, and the bits are the same.
    threads.hold(int(os.environ.get(threads.MEANT) or 1))
    failed = []
    with processes.pool(jobs) as pool:
        running = {pool.submit(_announced, name, folder, given): name for name in todo}
        for count, done in enumerate(as_completed(running), start=1):
            name = running[done]
            try:
                says = f"{done.result():6.1f} s"
                if write_back:
                    notebook = described(normalise(read(folder / f"{name}.ipynb")))
                    write(notebook, FOLDER / f"{name}.ipynb")
                    if name == FRONT[0]:
                        files.write(FRONT_PICTURE, picture(notebook, FRONT[1]))
            except Exception as error:  # the others go on
                says = "FAILED"
                failed.append(str(error))
            print(f"{name:24} {says:>8}  ({count} of {len(todo)})", flush=True)
    if write_back and (FOLDER.parent / "README.md").exists():
        count_in(FOLDER.parent / "README.md")
    for message in failed:
        print(f"\n{message}", file=sys.stderr)
    if failed:
        print(f"\n{len(failed)} of {len(todo)} notebooks failed", file=sys.stderr)
    return min(len(failed), 1)


COUNTS = re.compile(r"(?<=<!-- counts -->\n).*?(?=\n<!-- end of counts -->)", re.S)


def counts() -> str:
    """How many claims of the paper there are of each verdict, in words, by the committed notebooks."""
    return claims.counted(row["verdict"] for name in names() for row in verdicts(read(path(name))) if "source" not in row)


def count_in(readme: Path) -> None:
    """Write the counts of verdicts between the marks that a text has for them."""
    text = COUNTS.sub(counts(), readme.read_text(encoding="utf-8"))
    files.write(readme, text.encode())


def _announced(name: str, folder: Path, given: dict) -> float:
    """`execute`, once it is said that it begins: the long ones take minutes."""
    print(f"{name:24} begins", flush=True)
    return execute(name, folder, given)


def stage(folder: Path) -> Path:
    """Lay out the book's sources in `folder`, with the committed notebooks, in place of what was laid out there earlier;
    returns the notebooks' place there. Raises NotebookError where something else is there."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "_toc.yml").exists():
        raise NotebookError(f"{folder.absolute()} holds something else than the book's sources, which go there: remove it")
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("book", "notebooks"):
        shutil.copytree(ROOT / part, folder / part)
    for file in ("_config.yml", "_toc.yml", "benchmarks/results.json", "benchmarks/results.svg"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    return folder / "notebooks"


def build(source: Path, out: Path) -> int:
    """Render the book from `source` into `out`/_build/html, warnings as errors; returns the exit status.

    Raises NotebookError where a notebook failed, ran in part or has no outputs: Sphinx would publish it. And where it
    left no page: Jupyter Book 2 would build nothing, and exit 0.
    """
    executed = sorted((source / "notebooks").glob("[0-9]*.ipynb"))
    if not executed:
        raise NotebookError(
            f"no notebooks in {source / 'notebooks'}: `python -m fa_core run` lays out the book's sources "
            "and executes them, and `--source .` in a checkout takes the committed ones"
        )
    if bad := [f"{file}: {problem}" for file in executed for problem in unfit(read(file))]:
        raise NotebookError(
            "not published:\n  " + "\n  ".join(bad) + "\nExecute again: `make book`, or with --source . `make refresh`"
        )
    # The package has no __main__, and its script may not be on the path.
    start = "from jupyter_book.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        start,
        "build",
        str(source),
        "--path-output",
        str(out),
        "--all",
        "-q",
        "-W",
        "-n",
        "--keep-going",
    ]
    status = subprocess.run(command, check=False).returncode
    page = out / "_build" / "html" / "index.html"
    if status == 0 and not page.exists():
        raise NotebookError(f"the build left no {page}")
    return status
