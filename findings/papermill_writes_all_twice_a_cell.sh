#!/usr/bin/env bash
# papermill 2.7.0: while a notebook runs, all of it is written out before and after every cell, those of text too: 2 n + 3 times for
# n cells, so that time and bytes grow with the square of a notebook. With `autosave_cell_every=0`, which turns saving off, it is
# the same: that is for saves in the middle of a cell alone. What turns these off is `request_save_on_cell_execute=False`.
#
# Wanted: a copy as it begins, as it ends, and in between no more often than `autosave_cell_every` says. Seen: as said.
#
# What this does: notebooks of 10 and of 40 cells, half of them text, each cell with code showing the same 100 kB, are executed, and
# what is written is counted. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check papermill==2.7.0 nbformat==5.10.4 ipykernel==7.3.0
cat > "$folder/seen.py" <<'PYTHON'
import sys
from pathlib import Path

import nbformat
import papermill
from papermill.iorw import papermill_io

folder = Path(sys.argv[1])
SHOWS = "print('x' * 100_000)"
write = papermill_io.write


def written(cells, **options):
    """How often the copy is written, and how many times its final length in all."""
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    for _ in range(cells // 2):
        notebook.cells += [nbformat.v4.new_markdown_cell("Some text."), nbformat.v4.new_code_cell(SHOWS)]
    nbformat.write(notebook, folder / "in.ipynb")
    lengths = []

    def counted(text, path, *arguments, **named):
        lengths.append(len(text))
        return write(text, path, *arguments, **named)

    papermill_io.write = counted
    papermill.execute_notebook(str(folder / "in.ipynb"), str(folder / "out.ipynb"), progress_bar=False, **options)
    return len(lengths), round(sum(lengths) / lengths[-1])


seen = {n: written(n, autosave_cell_every=0) for n in (10, 40)}
by_default = written(10)
off = written(10, request_save_on_cell_execute=False)
print(f"papermill {papermill.__version__}: cells, and how often written, and how many times the final length: "
      f"{seen}; 10 cells by default {by_default}, with no request to save {off}")
often = all(times == 2 * n + 3 and 0.9 * n < lengths < 1.3 * n + 3 for n, (times, lengths) in seen.items())
sys.exit(not (often and by_default == seen[10] and off[0] == 1))
PYTHON
export JUPYTER_PATH="$folder/env/share/jupyter" IPYTHONDIR="$folder/ipython" JUPYTER_NO_CONFIG=1
"$folder/env/bin/python" "$folder/seen.py" "$folder"
