"""The notebooks: what papermill executes, the form they are committed in, and what they report."""

import errno
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from concurrent.futures import Executor, Future
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from papermill.iorw import papermill_io

from fa_core import claims, notebooks, processes, records
from fa_core.__main__ import main

NAMES = notebooks.names()
# Of these alone some claims may be untested, where data or hours of computation are wanting, with the command that tests
# them.
LARGE = ("03_mnist", "08_mnist_extended", "09_svhn", "10_timit", "20_after_2016")
# These go beyond the paper, and have none of its claims to report.
BEYOND = ("18_from_zero", "19_any_start")
CLAIMS = claims.ledger() | claims.ledger(section="after")


def test_there_are_notebooks():
    assert {"01_random_feedback", "02_linear", "03_mnist", "07_xor"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_ran_from_top_to_bottom_and_is_in_normal_form(name):
    assert notebooks.problems(notebooks.read(notebooks.path(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_that_shows_records_runs_the_beginning_of_one_again(name):
    outputs = [o for c in notebooks.read(notebooks.path(name)).cells for o in c.get("outputs", ())]
    shows = any(o.get("data", {}).get("text/plain", "").startswith("record: ") for o in outputs)
    again = any("run again here, is as in its record" in o.get("text", "") for o in outputs)
    assert again or not shows


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_notebook_reports_exactly_its_own_claims_and_judged_them_by_the_bound(name):
    reported = notebooks.verdicts(notebooks.read(notebooks.path(name)))
    assert Counter(r["id"] for r in reported) == Counter(c.id for c in CLAIMS.values() if c.notebook == name)
    for row in reported:
        claim = CLAIMS[row["id"]]
        assert tuple(float(v) for v in row["accept"]) == claim.accept
        if row["reason"]:
            assert row["verdict"] == claims.UNTESTED
            assert name in LARGE
            assert "python -m fa_core record" in row["reason"]
            continue
        parts = {judged(row, claim.accept)} | {judged(c, (c["low"], c["high"])) for c in row["also"]}
        worst = next(v for v in (claims.MISSED, claims.UNDECIDED, claims.REPRODUCED) if v in parts)
        if worst == claims.MISSED and row["unfinished"]:
            worst = claims.UNDECIDED
        if row["kind"] == "code":
            assert (row["verdict"], worst) == (claims.PROPERTY, claims.REPRODUCED)
        else:
            assert row["verdict"] == worst + (claims.STAND_IN if row["stand_in"] else "")


def judged(row, bound) -> str:
    """The verdict on the numbers that a row shows."""
    low, high = map(float, bound)
    ends = [float(v) for v in (row["interval"] if row["kind"] == claims.ESTIMATE else [row["value"]] * 2)]
    if low <= ends[0] and ends[1] <= high:
        return claims.REPRODUCED
    return claims.MISSED if ends[1] < low or high < ends[0] else claims.UNDECIDED


def test_only_what_is_the_case_by_our_own_making_is_no_evidence_and_only_textures_stand_in():
    rows = [row for name in NAMES for row in notebooks.verdicts(notebooks.read(notebooks.path(name)))]
    assert [row["id"] for row in rows if row["kind"] == "code"] == ["fig4.concurrent"]
    assert [row["id"] for row in rows if row["stand_in"]] == ["sn5.background-images"]


def test_the_readme_counts_the_verdicts(tmp_path):
    readme = notebooks.ROOT / "README.md"
    assert notebooks.counts() in readme.read_text(encoding="utf-8"), "`make refresh` counts again"
    rows = [
        row["verdict"]
        for name in NAMES
        for row in notebooks.verdicts(notebooks.read(notebooks.path(name)))
        if row["id"] in claims.ledger()
    ]
    for verdict in (claims.REPRODUCED, claims.MISSED, claims.UNDECIDED, claims.UNTESTED):
        assert f"**{rows.count(verdict)} {verdict}**" in notebooks.counts()
    other = tmp_path / "README.md"
    other.write_text("a\n<!-- counts -->\nOf old.\n<!-- end of counts -->\nb\n")
    notebooks.count_in(other)
    assert other.read_text() == f"a\n<!-- counts -->\n{notebooks.counts()}\n<!-- end of counts -->\nb\n"


def test_every_notebook_of_the_ledger_that_exists_has_claims_there():
    assert set(NAMES) - {c.notebook for c in CLAIMS.values()} == set(BEYOND)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_caption_and_a_text_for_those_who_cannot_see_it(name):
    for cell in notebooks.read(notebooks.path(name)).cells:
        if cell.cell_type == "code" and any("image/png" in o.get("data", {}) for o in cell.outputs):
            described = cell.metadata["mystnb"]
            assert len(described["figure"]["caption"]) > 40
            assert len(described["image"]["alt"]) > 40
            assert described["figure"]["name"].startswith(f"fig-{name[:2]}")
            # The page would give the caption to a table beside it too; results are moved below.
            shown = [o.data for o in cell.outputs if "data" in o and records.MIME not in o.data]
            assert sum("image/png" in data or "text/html" in data for data in shown) == 1


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
    assert {r["verdict"] for r in notebooks.verdicts(ran)} == (set() if name in BEYOND else {claims.UNTESTED})
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
    with pytest.raises(notebooks.NotebookError, match=r"(?s)98_fails, cell \[3\] failed.*ZeroDivisionError") as error:
        notebooks.execute("98_fails", tmp_path / "out")
    assert "\x1b" not in str(error.value)
    assert file.read_bytes() == before


class Here(Executor):
    """Runs what it is given in this process: another would not see the folder of a test."""

    def __init__(self, *_):
        pass

    def submit(self, function, *arguments):
        done = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest.mark.parametrize("ends", ["raise SystemExit", "import sys; sys.exit(0)"])
def test_a_cell_that_ends_the_notebook_early_fails_the_run_and_nothing_is_written_back(
    own_notebooks, monkeypatch, tmp_path, capsys, ends
):
    file = own_notebooks("98_ends", "1 + 1", ends, "print('never')")
    before = file.read_bytes()
    monkeypatch.setattr(processes, "ProcessPoolExecutor", Here)
    assert notebooks.run(["98_ends"], out=str(tmp_path / "out"), write_back=True) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines() == ["98_ends                  begins", "98_ends                    FAILED  (1 of 1)"]
    assert "98_ends, cell [3] ended it there, with 1 more to run (the copy with its output: " in shown.err
    assert "SystemExit" in shown.err
    assert file.read_bytes() == before


def test_an_end_in_the_last_cell_fails_as_well(own_notebooks, tmp_path):
    own_notebooks("98_ends", "raise SystemExit(0)")
    with pytest.raises(notebooks.NotebookError, match=r"98_ends, cell \[2\] failed"):
        notebooks.execute("98_ends", tmp_path / "out")


def test_a_kernel_that_died_is_told_with_the_notebook_the_cell_the_copy_and_the_usual_cause(own_notebooks, tmp_path):
    own_notebooks("98_dies", "print('before')", "import os; os.kill(os.getpid(), 9)", "1")
    with pytest.raises(notebooks.NotebookError) as error:
        notebooks.execute("98_dies", tmp_path)
    copy = tmp_path / "98_dies.ipynb"
    assert str(error.value).startswith(f"98_dies, cell [3]: its kernel died (the copy with its output: {copy}). Memory is")
    assert notebooks.read(copy).cells[1].outputs[0].text == "before\n"
    # The kernel may or may not have said that it began the cell in which it died.
    told = notebooks.unfit(notebooks.read(copy))
    assert any(f"execution counts are [1, 2, {third}, None], wanted 1 to 4" in told for third in (None, 3))


def test_how_often_a_copy_is_written_does_not_depend_on_the_number_of_cells(own_notebooks, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(
        papermill_io, "write", lambda text, path, *_, true=papermill_io.write: written.append(true(text, path))
    )
    own_notebooks("98_short", "1")
    own_notebooks("98_long", *map(str, range(5)))
    for name in ("98_short", "98_long"):
        notebooks.execute(name, tmp_path / "out")
    assert len(written) == 2 * 3  # as it begins, as it ends, and by papermill when all is done
    assert [c.execution_count for c in notebooks.read(tmp_path / "out" / "98_long.ipynb").cells] == [1, 2, 3, 4, 5, 6]


def test_a_kernel_says_nothing_of_being_interrupted_as_it_ends(own_notebooks, tmp_path, capfd):
    interrupted = "get_ipython().kernel.log.error('KeyboardInterrupt caught in kernel.')"  # as it does, where it is busy
    own_notebooks("98_ends", interrupted, "import os; written = os.write(2, b'the last words of a crash')")
    notebooks.execute("98_ends", tmp_path)
    assert capfd.readouterr().err == "the last words of a crash"


def test_a_full_disk_leaves_no_cut_copy_and_says_what_to_do(own_notebooks, monkeypatch, tmp_path):
    own_notebooks("98_full", "1")

    def full(source, target, *_, **__):
        Path(target).write_text('{"cells": [')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(notebooks.papermill, "execute_notebook", full)
    with pytest.raises(notebooks.NotebookError, match=r"98_full.ipynb cannot be written \(No space left on device\)"):
        notebooks.execute("98_full", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture(params=["a full disk", "a limit"])
def without_room(request, tmp_path):
    """A folder in which there is no room for a notebook, and what a process has to do first to find none."""
    out = tmp_path / "out"
    out.mkdir()
    if request.param == "a limit":
        yield out, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))
        return
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", out], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    yield out, None
    subprocess.run(["umount", out], check=True)


def test_a_disk_that_is_full_fails_the_command_with_what_to_do_and_leaves_nothing(without_room):
    out, first = without_room
    ran = subprocess.run(
        [sys.executable, "-m", "fa_core", "run", NAMES[0], "--profile", "smoke", "--jobs", "1", "--out", str(out)],
        preexec_fn=first,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert re.search(
        rf"^{NAMES[0]}: {out / NAMES[0]}\.ipynb cannot be written \((No space left on device|File too large)\): make room "
        r"there, or give another folder with --out$",
        ran.stderr,
        re.MULTILINE,
    )
    assert "1 of 1 notebooks failed" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not list(out.iterdir())


def test_a_cell_that_never_ran_is_named():
    cells = [new_code_cell("1", execution_count=1), new_code_cell("2")]
    assert notebooks.unfinished(new_notebook(cells=cells)) == ("cell [2] did not run", "")
    assert notebooks.unfinished(new_notebook(cells=cells[:1])) is None


def test_a_cell_may_fail_where_its_tag_says_so(own_notebooks, tmp_path):
    file = own_notebooks("98_may_fail", "1 / 0", "print('after')")
    with pytest.raises(notebooks.NotebookError, match="ZeroDivisionError"):
        notebooks.execute("98_may_fail", tmp_path / "out")
    notebook = notebooks.read(file)
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    notebooks.write(notebook, file)
    notebooks.execute("98_may_fail", tmp_path / "out")
    ran = notebooks.normalise(notebooks.read(tmp_path / "out" / "98_may_fail.ipynb"))
    assert [c.source for c in ran.cells] == [c.source for c in notebook.cells]  # and no marker of papermill's
    assert ran.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert notebooks.problems(ran) == []


def test_what_papermill_would_change_on_the_way_is_refused(own_notebooks, tmp_path):
    own_notebooks("98_given", "print(repr(profile))")
    for value in ((1, 2), np.float64(0.1), [1, (2,)], {"a": np.arange(2)}, {1: 2}, Path("x")):
        with pytest.raises(notebooks.NotebookError, match=r"98_given: profile = .*: a parameter is a number, text, True"):
            notebooks.execute("98_given", tmp_path, {"profile": value})
    value = [1, 2.5, None, True, "a", {"b": [1e-300]}]
    notebooks.execute("98_given", tmp_path, {"profile": value})
    assert notebooks.read(tmp_path / "98_given.ipynb").cells[-1].outputs[0].text == f"{value}\n"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('label = "a=b"', {"label": "'a=b'"}),
        ('label = "#1"  # a number', {"label": "'#1'"}),
        ("half = 1 / 2", {"half": "1 / 2"}),
        ("import math\nturn = 2 * math.pi\n\nseeds = [\n    1,\n    2,\n]", {"turn": "2 * math.pi", "seeds": "[1, 2]"}),
        ("rate: float = 0.1\na = b = 3\nunset: int", {"rate": "0.1", "a": "3", "b": "3"}),
        ("%matplotlib inline\nf = lambda x: x == 1", {"f": "lambda x: x == 1"}),
    ],
)
def test_a_default_may_be_any_expression(own_notebooks, tmp_path, source, found):
    file = own_notebooks("98_defaults", "print('ran')")
    notebook = notebooks.read(file)
    notebook.cells[0].source = source
    notebooks.write(notebook, file)
    assert notebooks.parameters(file) == found
    name = next(iter(found))
    if name == "label":  # one of them is enough to see that papermill takes it too
        notebooks.execute("98_defaults", tmp_path, {name: 7})
    with pytest.raises(notebooks.NotebookError, match="98_defaults has no parameter other; it has: " + name):
        notebooks.execute("98_defaults", tmp_path, {"other": 7})


def test_a_notebook_that_names_no_kernel_runs_in_the_one_there_is(own_notebooks, tmp_path):
    file = own_notebooks("98_bare", "print(profile)")
    notebook = notebooks.read(file)
    notebook.metadata = nbformat.from_dict({})
    file.write_text(nbformat.writes(notebook))
    notebooks.execute("98_bare", tmp_path, {"profile": "smoke"})
    assert notebooks.read(tmp_path / "98_bare.ipynb").cells[-1].outputs[0].text == "smoke\n"


def test_the_normal_form_of_an_older_notebook_is_a_valid_one(tmp_path):
    old = nbformat.from_dict(
        {
            "nbformat": 4,
            "nbformat_minor": 4,
            "metadata": {},
            "cells": [{"cell_type": "markdown", "metadata": {}, "source": "# T"}],
        }
    )
    normal = notebooks.normalise(old)
    nbformat.validate(normal)
    assert (normal.nbformat, normal.nbformat_minor, normal.cells[0].id) == (4, 5, "cell-00")
    notebooks.write(normal, tmp_path / "new.ipynb")
    assert notebooks.read(tmp_path / "new.ipynb") == normal


def test_what_is_no_valid_notebook_is_not_written(tmp_path):
    wrong = new_notebook(cells=[new_code_cell("1")])
    wrong.nbformat_minor = 4
    with pytest.raises(notebooks.NotebookError, match=r"x\.ipynb: not written, for it is no valid notebook of format 4\.4"):
        notebooks.write(wrong, tmp_path / "x.ipynb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"nbformat": 4, "cells": 1}'])
def test_a_file_that_is_no_notebook_is_named_with_a_remedy(tmp_path, content):
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(notebooks.NotebookError, match=r"a\.ipynb is no notebook .*: restore it, e.g. by git checkout"):
        notebooks.read(tmp_path / "a.ipynb")


def test_away_from_the_checkout_it_is_said_where_notebooks_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "FOLDER", tmp_path / "notebooks")
    for call in (lambda: notebooks.run([]), lambda: notebooks.run(["02_linear"])):
        with pytest.raises(notebooks.NotebookError, match=rf"no notebooks in {tmp_path}.*they come with the repository"):
            call()
    with pytest.raises(notebooks.NotebookError, match=r"no notebooks in .*`python -m fa_core run` lays out the book's"):
        notebooks.build(tmp_path, tmp_path)


def test_the_command_line_gives_parameters_and_refuses_those_that_no_notebook_has(monkeypatch, tmp_path, capsys):
    ran = []
    monkeypatch.setattr(processes, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(notebooks, "execute", lambda name, out, given: ran.append((name, given)) or 1.0)
    out = ["--out", str(tmp_path)]
    assert main(["run", "02_linear", "-p", "profile", "smoke", *out]) == 0
    assert main(["run", "03_mnist", "02_linear", "03_mnist", "-p", "profile", "1e-3", *out]) == 0
    # Of several those that take longest begin.
    assert ran == [("02_linear", {"profile": "smoke"}), *((n, {"profile": 1e-3}) for n in ("02_linear", "03_mnist"))]
    capsys.readouterr()
    assert main(["run", "02_linear", "-p", "profil_", "smoke", *out]) == 1
    assert capsys.readouterr() == ("", "fa_core run: 02_linear has no parameter profil_; it has: profile = 'paper'\n")
    assert len(ran) == 3


def test_two_runs_into_one_folder_do_not_meet_and_the_second_says_who_is_there(tmp_path):
    told = rf"out is being written already, by process {os.getpid()} on .* since 20.*: wait for that, .* by --out"
    with processes.alone(tmp_path / "out.lock"), pytest.raises(notebooks.NotebookError, match=told):
        notebooks.run(["02_linear"], out=str(tmp_path / "out"))
    assert not any(tmp_path.iterdir())


def test_what_is_not_the_stage_is_neither_removed_nor_overwritten(tmp_path, monkeypatch):
    with pytest.raises(notebooks.NotebookError, match="holds the notebooks themselves"):
        notebooks.run(["02_linear"], out=f"{notebooks.FOLDER}/", profile="smoke")
    mine = tmp_path / notebooks.STAGE / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.touch()
    monkeypatch.chdir(tmp_path)
    for out in (notebooks.STAGE, f"./{notebooks.STAGE}/"):
        with pytest.raises(notebooks.NotebookError, match="holds something else than the book's sources"):
            notebooks.run(["02_linear"], out=out)
    assert mine.exists()


def test_a_notebook_that_is_not_the_books_is_not_taken_for_it(tmp_path):
    mine = tmp_path / "02_linear.ipynb"
    mine.write_bytes(notebooks.path("02_linear").read_bytes())
    with pytest.raises(notebooks.NotebookError, match="is another than the book's 02_linear"):
        notebooks.run([str(mine)], out=str(tmp_path / "out"))
    assert notebooks.path(str(notebooks.path("02_linear"))) == notebooks.path("02_linear.ipynb")


def test_less_than_one_notebook_at_a_time_is_refused():
    with pytest.raises(notebooks.NotebookError, match="--jobs is the number of notebooks side by side, 1 or more; got 0"):
        notebooks.run(["02_linear"], jobs=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.outputs.append(new_output("error", ename="E", evalue="v")), r"cell \[1\] has an error: E: v"),
        (lambda c: c.update(outputs=[], execution_count=None), r"execution counts are \[None\], wanted 1 to 1"),
        (lambda c: c.update(outputs=[]), "no cell has an output"),
    ],
)
def test_a_notebook_that_failed_or_is_empty_is_not_published(tmp_path, change, says):
    (tmp_path / "notebooks").mkdir()
    notebook = executed(new_output("stream", text="1"))
    change(notebook.cells[1])
    notebooks.write(notebook, tmp_path / "notebooks" / "01_a.ipynb")
    with pytest.raises(notebooks.NotebookError, match=rf"(?s)not published:.*01_a\.ipynb: {says}.*make book"):
        notebooks.build(tmp_path, tmp_path)


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


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nb: nb.cells[1].update(execution_count=2), "execution counts"),
        (lambda nb: nb.cells[1].update(execution_count=None), "execution counts"),
        (lambda nb: nb.cells[1].update(outputs=[]), "no cell has an output"),
        (lambda nb: nb.cells[1].outputs.append(new_output("error", ename="E", evalue="v")), "has an error: E: v"),
        (lambda nb: nb.cells[1].metadata.update(execution={"a": 1}), "normal form"),
        (lambda nb: nb.cells[0].metadata.update(tags=[]), "normal form"),
        (lambda nb: nb.metadata.update(papermill={}), "normal form"),
        (lambda nb: nb.cells.append(new_raw_cell("x", id="cell-02")), "cell 2 is a raw one, which the book leaves out"),
        (lambda nb: nb.cells[1].outputs.append(new_output("stream", text="2")), "normal form"),
    ],
)
def test_what_must_not_be_committed_is_found(change, says):
    notebook = executed(new_output("stream", text="1"))
    change(notebook)
    assert any(says in problem for problem in notebooks.problems(notebook))


def test_the_normal_form_is_a_fixed_point_and_keeps_outputs_and_captions():
    notebook = executed(new_output("stream", text="1\n"), new_output("stream", text="2\n"), mystnb={"figure": {"name": "f"}})
    assert notebooks.normalise(notebook) == notebook
    assert notebook.cells[1].outputs[0].text == "1\n2\n"
    assert notebook.cells[1].metadata["mystnb"]["figure"]["name"] == "f"


def test_a_warning_fails_the_build_of_the_book_and_a_book_without_one_is_built(tmp_path):
    source = tmp_path / "source"
    (source / "notebooks").mkdir(parents=True)
    notebooks.write(executed(new_output("stream", text="1")), source / "notebooks" / "01_a.ipynb")
    (source / "_config.yml").write_text("title: t\nexecute:\n  execute_notebooks: 'off'\n")
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: notebooks/01_a\n")
    for text, passes in (("[a page](nowhere.md)", False), ("[a page](notebooks/01_a.ipynb)", True)):
        (source / "index.md").write_text(f"# T\n\n{text}\n")
        assert (notebooks.build(source, tmp_path) == 0) == passes


def test_the_notebooks_that_take_longest_are_begun_first(monkeypatch, tmp_path):
    begun = []
    monkeypatch.setattr(notebooks, "_side_by_side", lambda todo, *rest: len(begun.extend(todo) or ()))
    assert notebooks.run([], out=str(tmp_path / "out")) == 0
    assert tuple(begun[: len(notebooks.LONGEST)]) == notebooks.LONGEST
    assert sorted(begun) == notebooks.names()
