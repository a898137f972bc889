"""The command line: list, show, record, verify; what it prints, and whether it exits with 0."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fa_core
from fa_core import __main__ as commands
from fa_core import experiments, provenance, records, verification
from fa_core.__main__ import main
from fa_core.training import train
from tests.helpers import linear_experiment, recorded_as, same

ROOT = Path(__file__).parents[1]
ONE, TWO, ODD = (linear_experiment(name=n, seeds=s) for n, s in (("small-one", (0,)), ("small-two", (1,)), ("odd", (2, 3))))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Three small experiments, of which one is not taken from a record, and an empty folder for the records."""
    known = {e.name: e for e in (ONE, TWO, ODD)}
    monkeypatch.setattr(
        experiments, "registry", lambda recorded=False: {k: e for k, e in known.items() if not recorded or e is not ODD}
    )
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")  # whatever is being changed here now
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # `--jobs` sets it
    return tmp_path


def made(folder):
    return {p.name.rpartition("-")[0] for p in folder.iterdir()}


def damage(experiment):
    file = records.path(experiment)
    file.write_bytes(file.read_bytes()[:500])


# ---- list, show


def test_list_gives_every_experiment_and_which_have_a_record(capsys):
    recorded_as(TWO, TWO)
    assert main(["list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(r[0], r[1], r[2], r[3]) for r in rows] == [
        ("small-one", ONE.digest, "-", "1"),
        ("small-two", TWO.digest, "record", "1"),
        ("odd", ODD.digest, "-", "2"),
    ]
    assert rows[0][4:] == ["seeds", "feedback", "alignment"]


def test_show_gives_the_table_and_the_record_if_there_is_one(capsys):
    assert main(["show", "odd"]) == 0
    bare = capsys.readouterr().out
    assert f"experiment: odd ({ODD.digest})\nnetwork: 30-20-10\n" in bare
    assert "convention: learning rate: " in bare
    assert "record:" not in bare
    recorded_as(ODD, ODD)
    assert main(["show", "odd"]) == 0
    assert capsys.readouterr().out == bare + f"{records.load(ODD).caption()}\nmade by today's sources, at 0123456789ab\n"


# ---- record


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["odd"], {"odd"}),
        (["small-two", "odd"], {"small-two", "odd"}),
        (["small-*"], {"small-one", "small-two"}),
        (["*"], {"small-one", "small-two", "odd"}),
        (["--all"], {"small-one", "small-two"}),
    ],
    ids=["one", "two", "pattern", "everything", "all that are recorded"],
)
def test_record_runs_what_is_named_and_prints_the_files(folder, capsys, arguments, wanted):
    assert main(["record", *arguments]) == 0
    assert made(folder) == wanted
    assert set(capsys.readouterr().out.split()) == {str(p) for p in folder.iterdir()}


def test_a_command_that_is_stopped_while_it_begins_ends_in_one_line(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, "record", interrupted)
    monkeypatch.delitem(sys.modules, "fa_core.cluster", raising=False)
    assert main(["record", "small-one"]) == 130
    assert capsys.readouterr().err == "\nfa_core record: stopped, before anything was begun\n"


@pytest.mark.parametrize("command", ["run", "build"])
def test_what_notebooks_want_and_is_not_installed_is_named(command, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "papermill", None)
    monkeypatch.delitem(sys.modules, "fa_core.notebooks", raising=False)
    monkeypatch.delattr(fa_core, "notebooks", raising=False)
    assert main([command]) == 1
    assert "`pip install papermill`, or fa_core with its extra [notebooks]" in capsys.readouterr().err


def test_what_is_compared_with_a_cpus_digits_sees_no_gpu_unless_it_is_told_to(monkeypatch):
    seen = []
    for command in ("run", "verify", "record"):
        monkeypatch.setitem(commands.COMMANDS, command, lambda _: seen.append(os.environ.get("CUDA_VISIBLE_DEVICES")) or 0)
    for given in (None, "0"):
        for command in ("run", "verify", "record"):
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
            if given:
                monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
            main([command])
    assert seen == ["", "", None, "0", "0", "0"]


def test_what_was_recorded_is_the_run():
    assert main(["record", "odd"]) == 0
    assert same(records.load(ODD).history, train(ODD))


def test_a_record_is_kept_unless_it_is_to_be_remade():
    recorded_as(ODD, ODD.but(rate=0.004))
    before = records.path(ODD).read_bytes()
    assert main(["record", "odd"]) == 0
    assert records.path(ODD).read_bytes() == before
    assert main(["record", "odd", "--remake"]) == 0
    assert same(records.load(ODD).history, train(ODD))


def test_record_of_nothing_is_refused_with_a_hint(folder, capsys):
    assert main(["record"]) == 1
    assert "name an experiment, or give --all; `fa_core list` shows them" in capsys.readouterr().err
    assert made(folder) == set()


@pytest.mark.parametrize("command", ["record", "verify"])
def test_a_pattern_that_fits_none_is_said(folder, capsys, command):
    assert main([command, "odd", "none-*"]) == 1
    assert "no experiment's name fits 'none-*'; `fa_core list` shows all 3" in capsys.readouterr().err
    assert made(folder) == set()


@pytest.mark.parametrize("wrong", [["--threads", "0"], ["--jobs", "0"], ["--threads", "-1"]], ids=" ".join)
def test_threads_and_jobs_are_one_or_more(folder, capsys, wrong):
    assert main(["record", "odd", *wrong]) == 1
    assert "--jobs and --threads must be 1 or more, got" in capsys.readouterr().err
    assert made(folder) == set()


@pytest.mark.parametrize("wrong", ["--threads", "--jobs"])
def test_so_many_threads_or_jobs_as_no_machine_has_are_refused(folder, capsys, monkeypatch, wrong):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert main(["record", "odd", wrong, "9"]) == 1
    assert "here are 2 cores, and more than 8 of either would only stand in each other's way" in capsys.readouterr().err
    assert made(folder) == set()


def test_a_scheduler_s_machines_may_have_more_threads_than_this_one(folder, capsys, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert main(["record", "odd", "--threads", "9", "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "here are 2 cores" not in capsys.readouterr().err


def test_uncommitted_changes_are_refused_unless_asked_for_and_then_shown(folder, capsys, monkeypatch):
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab-dirty")
    assert main(["record", "odd"]) == 1
    assert "uncommitted changes" in (told := capsys.readouterr().err)
    assert "in a worktree of their own, at a commit" in told
    assert made(folder) == set()
    assert main(["record", "odd", "--dirty"]) == 0
    capsys.readouterr()
    assert main(["show", "odd"]) == 0
    assert "MADE FROM UNCOMMITTED CHANGES" in capsys.readouterr().out
    assert records.load(ODD).about["commit"] == "0123456789ab-dirty"


def test_side_by_side_one_failure_is_told_and_the_others_go_on(capfd):
    recorded_as(TWO, TWO)
    damage(TWO)
    assert main(["record", "small-*", "--jobs", "2"]) == 1
    shown = capfd.readouterr()
    assert f"small-two: {records.path(TWO)} is damaged" in shown.err
    assert shown.out.split() == [str(records.path(ONE))]
    assert same(records.load(ONE).history, train(ONE))


# ---- verify


def test_verify_of_a_true_record_agrees_curve_by_curve(capsys):
    recorded_as(ONE, ONE)
    assert main(["verify", "small-one"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("  ")[0] for line in lines} == {"small-one"}
    assert len(lines) == len(records.load(ONE).history.curves)
    assert all(line.endswith(": agrees") for line in lines)


def test_verify_fails_if_one_of_several_records_differs(capsys):
    recorded_as(ONE, ONE.but(rate=1.05 * ONE.rate))
    recorded_as(TWO, TWO)
    assert main(["verify", "small-one", "small-two"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("small-one") and " loss " in line and line.endswith(": DIFFERS") for line in lines)
    assert all(line.endswith(": agrees") for line in lines if line.startswith("small-two"))


def test_verify_takes_all_that_have_a_record_if_none_is_named(capsys):
    recorded_as(ONE, ONE)
    recorded_as(ODD, ODD)
    assert main(["verify"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"small-one", "odd"}


def test_verify_compares_as_many_seeds_as_are_asked_for():
    result = records.run(ODD)
    result["loss"][1] += 1
    records.save(ODD, result.history, result.about)
    assert main(["verify", "odd"]) == 0
    assert main(["verify", "odd", "--seeds", "2"]) == 1


def test_verify_of_what_has_no_record_says_how_to_make_one(capsys):
    assert main(["verify", "odd"]) == 1
    assert "make it with `python -m fa_core record odd`" in capsys.readouterr().err


def test_a_damaged_record_does_not_end_verify_before_the_rest(capsys):
    for experiment in (ONE, TWO, ODD):
        recorded_as(experiment, experiment)
    damage(TWO)
    assert main(["verify"]) == 1
    shown = capsys.readouterr()
    assert {line.split()[0] for line in shown.out.splitlines()} == {"small-one", "odd"}
    assert f"small-two: {records.path(TWO)} is damaged" in shown.err
    assert "Traceback" not in shown.err
    assert shown.err.endswith("2 of 3 records agree; not: small-two\n")


def test_verify_without_any_record_says_where_it_looked(folder, monkeypatch, capsys):
    monkeypatch.setenv(records.ENVIRONMENT, str(folder / "elsewhere"))
    assert main(["verify"]) == 1
    assert f"{folder / 'elsewhere'} holds no record of any experiment; FA_CORE_RECORDS names" in capsys.readouterr().err


def test_verify_writes_down_what_agrees_and_nothing_else(folder, capsys, monkeypatch):
    recorded_as(ONE, ONE)
    recorded_as(TWO, TWO.but(rate=1.05 * TWO.rate))
    assert main(["verify"]) == 1
    assert {k.rpartition("-")[0] for k in verification.verified()} == {"small-one"}
    verification.file().unlink()
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab-dirty")
    assert main(["verify", "small-one"]) == 0
    assert "Nothing is written down: the module has uncommitted changes" in capsys.readouterr().err
    assert not verification.file().exists()


def test_of_several_records_each_is_announced_with_how_many_there_are_and_how_long_they_take(capsys):
    for experiment in (ONE, TWO, ODD):
        result = records.run(experiment)
        records.save(experiment, result.history, result.about | {"wall_seconds": 3600.0})
    damage(TWO)
    assert main(["verify", "small-one"]) == 0
    assert "record 1 of" not in capsys.readouterr().err
    assert main(["verify"]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("record ")]
    assert [line.split(";")[0] for line in told] == [
        f"record {n} of 3: {name}" for n, name in enumerate(("small-one", "small-two", "odd"), start=1)
    ]
    planned = verification.expected((ONE, TWO, ODD), longest=verification.LONGEST)
    assert planned[1] == 0 < planned[2] < planned[0]
    assert told[0].endswith(f"; about {records.spell(sum(planned))} left")
    assert told[1].endswith("; about 1 second left"), "by how fast they went here"


def test_of_several_parts_that_are_made_each_is_announced(capsys):
    assert main(["record", "small-one"]) == 0
    assert "part 1 of" not in capsys.readouterr().err
    assert main(["record", "--all", "--remake"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("part ")]
    assert told[0] == "part 1 of 2: small-one, seed 0"
    assert told[1].startswith("part 2 of 2: small-two, seed 1; about ")
    assert re.search(r" \d+ seconds? left$", told[1])


# ---- errors, of every command


@pytest.mark.parametrize("command", ["show", "record", "verify"])
def test_an_unknown_name_is_answered_with_near_ones_and_status_1(folder, capsys, command):
    assert main([command, "small-on"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"fa_core {command}: no experiment is named 'small-on'; did you mean small-one")
    assert shown.out == ""
    assert made(folder) == set()


@pytest.mark.parametrize("command", ["show", "record"])
def test_a_damaged_record_is_named_with_a_remedy_and_status_1(capsys, command):
    recorded_as(ODD, ODD)
    damage(ODD)
    assert main([command, "odd"]) == 1
    shown = capsys.readouterr().err
    assert f"{'odd' if command == 'record' else 'fa_core show'}: {records.path(ODD)} is damaged" in shown
    assert "`python -m fa_core record odd --remake`" in shown
    assert "Traceback" not in shown


def test_the_remedy_for_a_damaged_record_cures_it():
    recorded_as(ODD, ODD)
    damage(ODD)
    assert main(["record", "odd", "--remake"]) == 0
    assert main(["show", "odd"]) == 0


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["show"]], ids=["none", "unknown", "no name"])
def test_a_command_line_that_is_none_exits_with_2_and_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: fa_core" in capsys.readouterr().err


def test_help_names_the_commands():
    shown = subprocess.run([sys.executable, "-m", "fa_core", "--help"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert {"list", "show", "record", "verify"} <= set(shown.stdout.split())
    assert shown.stderr == ""
