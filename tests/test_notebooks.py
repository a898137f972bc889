"""The notebooks: what papermill executes, the form they are committed in, and what they report."""

from collections import Counter

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from fa_core import claims, notebooks, records

NAMES = notebooks.names()
# Of these alone some claims may be untested, where data or hours of computation are wanting, with the command that tests
# them.
LARGE = ("08_mnist_extended", "09_svhn", "10_timit")


def test_there_are_notebooks():
    assert {"01_random_feedback", "02_linear", "03_mnist", "07_xor"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_ran_from_top_to_bottom_and_is_in_normal_form(name):
    assert notebooks.problems(notebooks.read(notebooks.path(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_reports_exactly_its_own_claims_and_judged_them_by_the_bound(name):
    reported = notebooks.verdicts(notebooks.read(notebooks.path(name)))
    assert Counter(r["id"] for r in reported) == Counter(c.id for c in claims.ledger().values() if c.notebook == name)
    for row in reported:
        claim = claims.ledger()[row["id"]]
        assert tuple(float(v) for v in row["accept"]) == claim.accept
        inside = claim.accept[0] <= float(row["value"]) <= claim.accept[1]
        inside &= all(float(c["low"]) <= float(c["value"]) <= float(c["high"]) for c in row["also"])
        if row["reason"]:
            assert name in LARGE
            assert "python -m fa_core record" in row["reason"]
            assert row["verdict"] == claims.UNTESTED
        else:
            assert row["verdict"] == (claims.REPRODUCED if inside else claims.MISSED)


def test_every_notebook_of_the_ledger_that_exists_has_claims_there():
    assert {c.notebook for c in claims.ledger().values()} >= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_caption_and_a_text_for_those_who_cannot_see_it(name):
    for cell in notebooks.read(notebooks.path(name)).cells:
        if cell.cell_type == "code" and any("image/png" in o.get("data", {}) for o in cell.outputs):
            described = cell.metadata["mystnb"]
            assert len(described["figure"]["caption"]) > 40
            assert len(described["image"]["alt"]) > 40
            assert described["figure"]["name"].startswith(f"fig-{name[:2]}")


@pytest.mark.parametrize("name", NAMES)
def test_records_that_a_notebook_shows_are_there_and_are_the_ones_it_showed(name):
    for shown in notebooks.results(notebooks.read(notebooks.path(name))):
        if shown["source"] == "record":
            assert (records.folder() / f"{shown['experiment']}-{shown['digest']}.npz").exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_smoke_profile_of_each_notebook_runs_without_a_record(name, tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path / "no records here"))
    notebooks.execute(name, tmp_path, {"profile": "smoke"})
    ran = notebooks.read(tmp_path / f"{name}.ipynb")
    assert {r["verdict"] for r in notebooks.verdicts(ran)} == {claims.UNTESTED}
    assert all(r["source"] == "live" for r in notebooks.results(ran))
    assert ran.metadata["fa_core"]["given"] == {"profile": "smoke"}


def test_the_picture_on_the_front_is_the_notebooks_own():
    name, figure = notebooks.FRONT
    assert notebooks.FRONT_PICTURE.read_bytes() == notebooks.picture(notebooks.read(notebooks.path(name)), figure)


def test_papermill_is_given_no_parameter_that_the_notebook_does_not_have(tmp_path):
    with pytest.raises(notebooks.NotebookError, match=r"02_linear has no parameter rate; it has: profile = 'paper'"):
        notebooks.execute("02_linear", tmp_path, {"rate": 0.1})
    assert not list(tmp_path.iterdir())


def test_an_unknown_profile_fails_and_says_which_there_are(tmp_path):
    with pytest.raises(notebooks.NotebookError, match=r"unknown profile 'quick'; there are: paper, smoke"):
        notebooks.execute("02_linear", tmp_path, {"profile": "quick"})


def test_an_unknown_notebook_is_refused_with_those_there_are():
    with pytest.raises(notebooks.NotebookError, match="01_random_feedback"):
        notebooks.path("99_nothing")


def test_only_the_paper_profile_is_written_back():
    with pytest.raises(notebooks.NotebookError, match="only the paper profile"):
        notebooks.run(["02_linear"], profile="smoke", write_back=True)


@pytest.fixture
def own_notebooks(tmp_path, monkeypatch):
    """A folder of notebooks of the test's own; returns a function that writes one from the source of its cells."""
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path / "notebooks")
    notebooks.FOLDER.mkdir()

    def write(name, *sources):
        cells = [new_code_cell('profile = "paper"', metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
        notebooks.write(notebooks.normalise(new_notebook(cells=cells)), notebooks.FOLDER / f"{name}.ipynb")
        return notebooks.FOLDER / f"{name}.ipynb"

    return write


def test_a_failing_cell_fails_the_run_and_its_last_lines_say_where(own_notebooks, tmp_path):
    file = own_notebooks("98_fails", "1 + 1", "1 / 0")
    before = file.read_bytes()
    with pytest.raises(notebooks.NotebookError, match=r"(?s)98_fails, cell \[3\] failed.*ZeroDivisionError"):
        notebooks.execute("98_fails", tmp_path / "out")
    assert file.read_bytes() == before


def test_executing_twice_gives_the_same_bytes_once_in_normal_form(own_notebooks, tmp_path):
    own_notebooks("97_same", "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')", "profile")
    written = []
    for out in (tmp_path / "1", tmp_path / "2"):
        notebooks.execute("97_same", out)
        normal = notebooks.normalise(notebooks.read(out / "97_same.ipynb"))
        assert notebooks.problems(normal) == []
        written.append(nbformat.writes(normal))
    assert written[0] == written[1]


def executed(*outputs, count=1, **metadata):
    cell = new_code_cell("1", execution_count=count, outputs=list(outputs), metadata=metadata)
    return notebooks.normalise(new_notebook(cells=[new_markdown_cell("# T"), cell]))


def test_a_notebook_in_normal_form_has_no_problem():
    assert notebooks.problems(executed(new_output("stream", text="1"))) == []


@pytest.mark.parametrize(("change", "says"), [
    (lambda nb: nb.cells[1].update(execution_count=2), "execution counts"),
    (lambda nb: nb.cells[1].update(execution_count=None), "execution counts"),
    (lambda nb: nb.cells[1].update(outputs=[]), "no cell has an output"),
    (lambda nb: nb.cells[1].outputs.append(new_output("error", ename="E", evalue="v")), "has an error: E: v"),
    (lambda nb: nb.cells[1].metadata.update(execution={"a": 1}), "normal form"),
    (lambda nb: nb.cells[0].metadata.update(tags=[]), "normal form"),
    (lambda nb: nb.metadata.update(papermill={}), "normal form"),
    (lambda nb: nb.cells[1].outputs.append(new_output("stream", text="2")), "normal form"),
])
def test_what_must_not_be_committed_is_found(change, says):
    notebook = executed(new_output("stream", text="1"))
    change(notebook)
    assert any(says in problem for problem in notebooks.problems(notebook))


def test_the_normal_form_is_a_fixed_point_and_keeps_outputs_and_captions():
    notebook = executed(new_output("stream", text="1\n"), new_output("stream", text="2\n"), mystnb={"figure": {"name": "f"}})
    assert notebooks.normalise(notebook) == notebook
    assert notebook.cells[1].outputs[0].text == "1\n2\n"
    assert notebook.cells[1].metadata["mystnb"]["figure"]["name"] == "f"
