#!/usr/bin/env bash
# sphinx-exercise 1.2.1 with Sphinx 7.4.7, builder singlehtml: with it among the extensions, a page with a theorem of sphinx-proof
# 0.4.0, or with a `todo` of Sphinx's own, cannot be built. The build ends with a NotImplementedError that names the theorem's
# node, or the todo's, and not sphinx-exercise, although the page has no exercise.
#
# Wanted: what each extension can do alone, they can do together, as under the builder html. Seen: alone, each passes under both
# builders; with sphinx-exercise, html passes and singlehtml fails. It alone of the three names singlehtml beside html when it
# tells Sphinx how to write its nodes, and Sphinx then forgets under singlehtml what the others told it of html (issue 14587 of
# Sphinx is of the same with dirhtml).
#
# What this does: a page with a theorem, and one with a note to do, are built with and without sphinx-exercise, by either builder.
# It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check sphinx==7.4.7
# They ask for a theme as well, which is not used here.
"$folder/env/bin/pip" install -q --disable-pip-version-check --no-deps sphinx-exercise==1.2.1 sphinx-proof==0.4.0
cat > "$folder/seen.py" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

FOLDER = Path(sys.argv[1])
PAGES = {
    "sphinx_proof": ".. prf:theorem:: Sum\n   :label: sum\n\n   One and one is two.\n",
    "sphinx.ext.todo": ".. todo:: Sum.\n",
}
as_said = True
for extension, page in PAGES.items():
    for extensions in ([extension], ["sphinx_exercise", extension]):
        for builder in ("html", "singlehtml"):
            source = FOLDER / "_".join([*extensions, builder])
            source.mkdir(exist_ok=True)
            (source / "conf.py").write_text(f"extensions = {extensions}\ntodo_include_todos = True\n")
            (source / "index.rst").write_text(f"Page\n====\n\n{page}")
            command = [sys.executable, "-m", "sphinx", "-b", builder, "-q", "-E", str(source), str(source / "built")]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            error = [line for line in ended.stderr.splitlines() if line.startswith("NotImplementedError")]
            print(f"{', '.join(extensions)}: {builder}:", "passes" if ended.returncode == 0 else error)
            fails = builder == "singlehtml" and len(extensions) == 2
            as_said &= (ended.returncode != 0, len(error)) == (fails, fails)
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" "$folder/seen.py" "$folder"
