#!/usr/bin/env bash
# Sphinx 9.0.4 and 7.4.7, builder singlehtml: where the root of the document is in a folder, the one page is written into that
# folder, and its addresses of pictures and styles are written as if it lay at the top. A browser shows it bare: without a
# picture and without a style. The build succeeds and warns of nothing, with -n and -W, too.
#
# Wanted: the addresses lead to the files, as in every page of the builder html (issue 3842 of Sphinx, of 2017, was of
# addresses that went too far up; since it was mended they do not go up at all). Seen: `guide/index.html` asks for
# `_images/dot.png` and `_static/...css`, which would be in `guide/`, and are beside it.
#
# What this does: a document of one page with one picture, its root in `guide/`, by either builder; each address in either page
# is followed. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/source/guide"
cat > "$folder/source/guide/index.rst" <<'RST'
Guide
=====

.. image:: dot.png
RST
printf 'root_doc = "guide/index"\n' > "$folder/source/conf.py"
cat > "$folder/seen.py" <<'PYTHON'
import base64
import re
import subprocess
import sys
from pathlib import Path

import sphinx

FOLDER = Path(sys.argv[1])
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
(FOLDER / "source" / "guide" / "dot.png").write_bytes(base64.b64decode(DOT))
seen = {}
for builder in ("html", "singlehtml"):
    out = FOLDER / sphinx.__version__ / builder
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-q", "-n", "-W", str(FOLDER / "source"), str(out)]
    subprocess.run(command, check=True)
    page = out / "guide" / "index.html"
    text = page.read_text(encoding="utf-8")
    wanted = re.findall(r'<(?:img|script)[^>]*\ssrc="([^"]+)"', text)
    wanted += re.findall(r'<link rel="stylesheet"[^>]*\shref="([^"]+)"', text)
    local = [address.split("?")[0] for address in wanted if ":" not in address]
    lost = [address for address in local if not (page.parent / address).exists()]
    beside = [address for address in lost if (out / address).exists()]
    seen[builder] = "all there" if not lost else "all at the top" if lost == local == beside else "another"
    print(f"Sphinx {sphinx.__version__}, {builder}: {len(lost)} of {len(local)} addresses lead nowhere from guide/, "
          f"{len(beside)} would from the top", *[a for a in lost if "dot" in a])
sys.exit(seen != {"html": "all there", "singlehtml": "all at the top"})
PYTHON
for version in 7.4.7 9.0.4; do
  python3 -m venv "$folder/env"
  "$folder/env/bin/pip" install -q --disable-pip-version-check "sphinx==$version"
  "$folder/env/bin/python" "$folder/seen.py" "$folder"
  rm -rf "$folder/env"
done
# Seen: Sphinx 7.4.7, html: 0 of 7 addresses lead nowhere from guide/; singlehtml: 7 of 7, and 7 would from the top; Sphinx
# 9.0.4: 0 of 8; 8 of 8, and 8
