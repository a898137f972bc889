"""What pages offer to take along, and what they say of themselves."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from docutils.core import publish_doctree

from fa_core import notebooks

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
import fa_along
import fa_book
import fa_meta

GITHUB, GITLAB = "https://github.com/someone/a-book", "https://gitlab.example.org/group/a-book/"
LIGHT = [n for n in notebooks.names() if not fa_along.needs_torch(notebooks.read(notebooks.path(n)))]
# Runs a program in a process that has no PyTorch.
WITHOUT = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
exec(sys.stdin.read())
"""


@pytest.fixture
def book(tmp_path) -> Path:
    """The sources of a book of a notebook that needs no PyTorch, and one that does."""
    (tmp_path / "notebooks").mkdir()
    for name, code in {"light": "from fa_core import linear", "heavy": "from fa_core import training"}.items():
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        nbformat.write(made, tmp_path / "notebooks" / f"{name}.ipynb")
    return tmp_path


def without_torch(program: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT], input=program, cwd=notebooks.FOLDER, capture_output=True, text=True, check=False
    )


def test_what_is_said_to_need_no_torch_imports_without():
    assert {name[:2] for name in LIGHT} == {"01", "02", "13", "15", "16", "18", "19"}, "the linear networks, in NumPy"
    lines = ["import matplotlib", "matplotlib.use('agg')"]
    for name in LIGHT:
        for cell in notebooks.code_cells(notebooks.read(notebooks.path(name))):
            lines += [ast.unparse(s) for s in ast.parse(cell.source).body if isinstance(s, ast.Import | ast.ImportFrom)]
    ran = without_torch("\n".join(lines))
    assert ran.returncode == 0, ran.stderr[-1000:]
    assert without_torch("from fa_core import network").returncode == 1


def test_the_first_notebook_runs_small_without_torch():
    cells = [c.source for c in notebooks.code_cells(notebooks.read(notebooks.path("01_random_feedback")))]
    program = "\n".join(cells).replace('"paper"', '"smoke"', 1)
    ran = without_torch(f"import matplotlib\nmatplotlib.use('agg')\ndisplay = print\n{program}")
    assert ran.returncode == 0, ran.stderr[-1000:]


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("import numpy", False),
        ("import torch", True),
        ("from torch import nn", True),
        ("from fa_core import training", True),
        ("from fa_core import linear", False),
        ("from fa_core.network import Network", True),
        ("from fa_core import records\nrecords.machine()", True),
        ("from fa_core import provenance\nprovenance.machine()", False),
        ("%matplotlib inline\nimport numpy", False),
        ("%matplotlib inline\nimport torch", True),
    ],
)
def test_whether_code_needs_torch_is_read_from_its_imports(code, needs):
    assert fa_along.needs_torch(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])) == needs


def test_without_a_repository_a_page_links_to_nothing_outside(book):
    text = fa_along.along("notebooks/light", book, "")
    assert "../_sources/notebooks/light.ipynb" in text
    assert ".venv/bin/fa_core run light --profile smoke" in text
    assert "<p>It does not need PyTorch. " in text
    assert "<p>It needs PyTorch. " in fa_along.along("notebooks/heavy", book, "")
    assert "http" not in text
    assert "git clone" not in text
    for page, up in {"book/scorecard": "../", "book/api/rules": "../../", "notebooks/light": "../"}.items():
        assert f"<a href='{up}book/how_to_read.html#as-one-pdf'>" in fa_along.along(page, book, "")


def test_with_a_repository_a_page_links_to_its_source_and_light_notebooks_to_where_they_run(book):
    text = fa_along.along("notebooks/light", book, GITHUB)
    for address in (
        f"{GITHUB}/blob/main/notebooks/light.ipynb",
        f"git clone {GITHUB}",
        "https://colab.research.google.com/github/someone/a-book/blob/main/notebooks/light.ipynb",
        "https://mybinder.org/v2/gh/someone/a-book/main?labpath=notebooks/light.ipynb",
    ):
        assert address in text
    heavy = fa_along.along("notebooks/heavy", book, GITHUB)
    assert f"{GITHUB}/blob/main/notebooks/heavy.ipynb" in heavy
    assert "colab" not in heavy
    elsewhere = fa_along.along("notebooks/light", book, GITLAB)
    assert "https://gitlab.example.org/group/a-book/-/blob/main/notebooks/light.ipynb" in elsewhere
    assert "colab" not in elsewhere
    assert f"{GITHUB}/blob/main/book/scorecard.md" in fa_along.along("book/scorecard", book, GITHUB)


@pytest.mark.parametrize("address", ["", GITHUB])
def test_the_readme_and_how_to_read_say_what_to_clone_once_there_is_a_repository(address, tmp_path):
    config = (notebooks.ROOT / "_config.yml").read_text()
    (tmp_path / "_config.yml").write_text(config.replace('    repository: ""', f'    repository: "{address}"'))
    assert fa_book.clone(tmp_path) == (f"```bash\ngit clone {GITHUB}\n```\n" if address else "")
    named = fa_meta.repository()
    said = re.findall(r"^git clone (\S+)", (notebooks.ROOT / "README.md").read_text(), re.M)
    assert said == ([named] if named else []), f"README.md is to say `git clone {named}` above its two commands"


def test_a_description_is_the_beginning_of_the_first_paragraph():
    long = "A first paragraph that says " + "what, " * 60
    found = fa_along.description(publish_doctree(f"Title\n=====\n\n{long}\n\nAnother.\n"))
    assert len(found) <= 202
    assert long.startswith(found.removesuffix(" …"))
    assert found.endswith("what …")


def test_a_card_has_a_picture_only_where_it_has_an_absolute_address():
    plain, published = (fa_along.tags('A "title"', "Text.", "Site", base) for base in ("", "https://book.example/"))
    assert "property='og:title' content=\"A &quot;title&quot;\"" in plain
    assert "og:image" not in plain
    assert 'content="https://book.example/_static/readme.png"' in published
