#!/usr/bin/env bash
# papermill 2.7.0: what is given by `-p NAME VALUE` is made a number wherever Python's int or float reads one, and true or false only
# where it is written as in Python. A commit 12e4567 comes as inf, a subject 007 as 7, a batch 2024_11 as 202411, a label nan as
# the float NaN; `-p shuffle false` gives the text 'false', which counts as true. Nothing is said, and the notebook runs.
#
# Wanted: text that is no plain number as text, and false as false, as `-y "shuffle: false"` has it; or an error.
# Seen: as said. With `-r NAME VALUE` all of them come as text.
#
# What this does: an empty notebook with these parameters, prepared and not executed; it reads the cell that was put in. It exits
# with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check papermill==2.7.0 nbformat==5.10.4 ipykernel==7.3.0
cat > "$folder/seen.py" <<'PYTHON'
import math
import subprocess
import sys
from pathlib import Path

import nbformat

folder = Path(sys.argv[1])
VALUES = {"commit": "12e4567", "subject": "007", "batch": "2024_11", "label": "nan", "shuffle": "false"}
notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}})
nbformat.write(notebook, folder / "empty.ipynb")


def given(*options):
    command = ["papermill", "--prepare-only", "--no-progress-bar", "empty.ipynb", "with.ipynb", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (cell,) = nbformat.read(folder / "with.ipynb", 4).cells
    found = {}
    exec(cell.source, found)
    return {name: found[name] for name in VALUES if name in found}


seen = given(*(word for name, value in VALUES.items() for word in ("-p", name, value)))
raw = given(*(word for name, value in VALUES.items() for word in ("-r", name, value)))
yaml = given("-y", "shuffle: false")
print(f"papermill: by -p {seen}; by -r {raw}; by -y {yaml}")
as_said = seen["commit"] == math.inf and seen["subject"] == 7 and seen["batch"] == 202411 and math.isnan(seen["label"])
sys.exit(not (as_said and seen["shuffle"] == "false" and raw == VALUES and yaml == {"shuffle": False}))
PYTHON
PATH="$folder/env/bin:$PATH" "$folder/env/bin/python" "$folder/seen.py" "$folder"
