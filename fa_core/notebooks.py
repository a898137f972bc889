"""The notebooks: executed by papermill, kept in a normal form, read for their claims; the book built from them.

`python -m fa_core run` executes; `python -m fa_core build` renders what was executed.
"""

import ast
import base64
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from fa_core import claims, proofs, records

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
STAGE = "_build/source"  # the book's sources, with the notebooks as executed
FRONT = ("02_linear", "fig-02")  # the figure that the README and the introduction show
FRONT_PICTURE = ROOT / "book" / "_static" / "readme.png"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
NORMAL = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
TRANSIENT = ("execution", "papermill")  # metadata that differ from one execution to the next


class NotebookError(RuntimeError):
    """A notebook does not exist, was given what it does not know, or failed; the message says where."""


def names() -> list[str]:
    """The notebooks there are, in order, without their ending."""
    return sorted(p.stem for p in FOLDER.glob("[0-9]*.ipynb"))


def path(name: str) -> Path:
    """The file of a notebook. Raises NotebookError that lists what there is."""
    stem = name.removesuffix(".ipynb").rsplit("/", 1)[-1]
    if stem not in names():
        raise NotebookError(f"no notebook {name!r}; there are: {', '.join(names())}")
    return FOLDER / f"{stem}.ipynb"


def read(file: Path):
    """A notebook from its file."""
    return nbformat.read(file, as_version=4)


def parameters(file: Path) -> dict[str, object]:
    """The parameters of a notebook and their defaults, from its cell tagged `parameters`."""
    found = papermill.inspect_notebook(str(file))
    return {name: ast.literal_eval(p["default"]) for name, p in found.items()}


def execute(name: str, out: Path, given: dict | None = None) -> float:
    """Execute a notebook into the folder `out`, in a kernel of its own; returns the seconds it took.

    The copy says in its metadata (`fa_core`) when it ran, for how long, and on what. Raises NotebookError for an
    unknown parameter, which papermill alone would only log, and for a failing cell, with its last lines.
    """
    given = given or {}
    source, target = path(name), out / f"{name}.ipynb"
    known = parameters(source)
    if unknown := sorted(set(given) - set(known)):
        raise NotebookError(f"{name} has no parameter {', '.join(unknown)}; it has: "
                            + ", ".join(f"{k} = {v!r}" for k, v in known.items()))
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as sockets:
            # Kernels speak over sockets in a folder of their own: no ports to collide, no warning about open ones.
            ipc = {"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}} if os.name == "posix" else {}
            papermill.execute_notebook(str(source), str(target), given, kernel_name=KERNEL["name"], cwd=str(FOLDER),
                                       progress_bar=False, config=Config(ipc))
    except PapermillExecutionError as error:
        tail = "\n".join(str(error).strip().splitlines()[-12:])
        raise NotebookError(f"{name}, cell [{error.exec_count}] failed (the copy with its output: {target}):\n"
                            f"{tail}") from None
    seconds = time.monotonic() - start
    notebook = read(target)
    # Parameters that were given are recorded; papermill's own timings would double ours.
    notebook.metadata = nbformat.NotebookNode(NORMAL | {"fa_core": {
        "executed": records.now(), "seconds": round(seconds, 1), "given": given, "machine": records.machine()}})
    write(normalise(notebook, keep=("fa_core",)), target)
    return seconds


def normalise(notebook, keep: tuple[str, ...] = ()):
    """The notebook in its normal form: outputs and counts, and nothing that differs from one execution to the next.

    No metadata of the execution, no empty lists of tags, one kernel specification, adjacent pieces of one output
    stream joined. `keep`: metadata of the notebook to leave.
    """
    notebook = copy.deepcopy(notebook)
    kept = {k: notebook.metadata[k] for k in keep if k in notebook.metadata}
    notebook.metadata = nbformat.from_dict(NORMAL | kept)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k not in TRANSIENT and v != []}
        if cell.cell_type != "code":
            continue
        merged = []
        for output in cell.outputs:
            if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged
    return notebook


def write(notebook, file: Path) -> None:
    """Write a notebook, atomically."""
    partial = file.with_suffix(".partial")
    nbformat.write(notebook, partial)
    os.replace(partial, file)


def problems(notebook) -> list[str]:
    """What keeps a notebook from being committed: cells not run in order from the first, errors, not in normal form.

    nbval passes a notebook stripped of its outputs, and Sphinx renders one that failed; this does not.
    """
    found = []
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    counts = [c.execution_count for c in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}, wanted 1 to {len(code)}")
    if not any(c.outputs for c in code):
        found.append("no cell has an output")
    found += [f"cell [{c.execution_count}] has an error: {o.ename}: {o.evalue}"
              for c in code for o in c.outputs if o.output_type == "error"]
    if normalise(notebook) != notebook:
        found.append("not in normal form: run `make refresh`")
    return found


def _of_type(notebook, mime: str) -> list[dict]:
    return [o.data[mime] for c in notebook.cells if c.cell_type == "code" for o in c.outputs
            if mime in o.get("data", {})]


def picture(notebook, figure: str) -> bytes:
    """The PNG of a figure, by the name in its cell's metadata. Raises NotebookError where there is none."""
    for cell in notebook.cells:
        if cell.metadata.get("mystnb", {}).get("figure", {}).get("name") == figure:
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    return base64.b64decode(output.data["image/png"])
    raise NotebookError(f"no figure {figure!r} with an image")


def verdicts(notebook) -> list[dict]:
    """The claims that a notebook's outputs report, as `claims.Verdict.as_json` gives them, in order."""
    return _of_type(notebook, claims.MIME)


def results(notebook) -> list[dict]:
    """The experiments whose results a notebook's outputs show: name, digest, and whether from a record or live."""
    return _of_type(notebook, records.MIME)


def equations(notebook) -> list[dict]:
    """The numbered equations that a notebook's outputs account for, as `proofs.Shown` gives them, in order."""
    return [row for rows in _of_type(notebook, proofs.MIME) for row in rows]


def run(chosen: list[str], *, out: str = STAGE, profile: str = "paper", jobs: int = 2, write_back: bool = False) -> int:
    """Execute notebooks side by side, all or those named; returns the exit status.

    Where `out` is the stage, the sources of the book are laid out there around them. With `write_back` the outputs go
    into notebooks/ in normal form, if the whole notebook ran.
    """
    if write_back and profile != "paper":
        raise NotebookError("only the paper profile is written back: the committed outputs are the book's")
    todo = [path(n).stem for n in chosen] or names()
    folder = stage(Path(out)) if out == STAGE else Path(out)
    given = {} if profile == "paper" else {"profile": profile}
    # One thread to each kernel: several side by side then do not fight over the cores, and the bits are the same.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(execute, name, folder, given): name for name in todo}
        for done in as_completed(running):
            name = running[done]
            try:
                print(f"{name:24} {done.result():6.1f} s", flush=True)
            except Exception as error:  # the others go on
                failed.append(str(error))
                print(f"{name:24} FAILED", flush=True)
                continue
            if write_back:
                notebook = normalise(read(folder / f"{name}.ipynb"))
                write(notebook, FOLDER / f"{name}.ipynb")
                if name == FRONT[0]:
                    FRONT_PICTURE.write_bytes(picture(notebook, FRONT[1]))
    for message in failed:
        print(f"\n{message}", file=sys.stderr)
    if failed:
        print(f"\n{len(failed)} of {len(todo)} notebooks failed", file=sys.stderr)
    return min(len(failed), 1)


def stage(folder: Path) -> Path:
    """Lay out the book's sources in `folder`, with the committed notebooks; returns the notebooks' place there."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("book", "notebooks"):
        shutil.copytree(ROOT / part, folder / part)
    for file in ("_config.yml", "_toc.yml", "benchmarks/results.json"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / file)
    return folder / "notebooks"


def build(source: Path, out: Path) -> int:
    """Render the book from `source` into `out`/_build/html, warnings as errors; returns the exit status.

    Raises NotebookError where it left no page: Jupyter Book 2 would build nothing, and exit 0.
    """
    # The package has no __main__, and its script may not be on the path.
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", str(source), "--path-output", str(out), "--all", "-q", "-W", "-n",
               "--keep-going"]
    status = subprocess.run(command, check=False).returncode
    page = out / "_build" / "html" / "index.html"
    if status == 0 and not page.exists():
        raise NotebookError(f"the build left no {page}")
    return status
