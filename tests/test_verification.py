"""Whether a record still speaks for the code: what is run again, what is noticed, what is written down."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fa_core import experiments, provenance, records, training, verification
from fa_core.experiments.spiking import REDUCED
from fa_core.records import RecordError
from fa_core.training import train
from tests.helpers import linear_experiment, made, rewritten, tanh_experiment

ROOT = Path(__file__).parents[1]
SMALL = linear_experiment()
COMMIT = "0123456789ab"
OTHER = {"sources": {"fa_core.rules": "0" * 12}, "commit": "ba9876543210"}  # as a stretch of another time


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of records, and a module without uncommitted changes."""
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(provenance, "commit", lambda: COMMIT)
    return tmp_path


def of_other_sources(experiment, **changes):
    """A record whose contents are today's and whose sources are not; without first steps unless they are given."""
    result = records.run(experiment)
    records.save(experiment, result.history, made(experiment, **OTHER) | changes)


def of_unknown_source(experiment):
    """A record as they were made before they knew their sources."""
    of_other_sources(experiment)
    about = {k: v for k, v in records.load(experiment).about.items() if k not in ("stretches", "contents")}
    rewritten(records.path(experiment), about=np.array(json.dumps(about)))
    summed(records.path(experiment))


def summed(file):
    """As the records of that time are: there is a digest of the file beside it."""
    (file.parent / records.SUMS).write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")


def now(experiment):
    return verification.standing(records.load(experiment))


# ---- how a record stands to today's sources


def test_a_record_made_by_todays_sources_is_current():
    records.record(SMALL)
    assert now(SMALL) == (True, f"made by today's sources, at {COMMIT}")


def test_a_record_of_other_sources_is_not_verified_until_its_beginning_was_run_again():
    of_other_sources(SMALL)
    assert now(SMALL) == (False, "made at ba9876543210; not verified since ba9876543210")
    assert all(row["agrees"] for row in verification.verify(SMALL))
    assert not now(SMALL).current, "it was not asked to write it down"
    verification.verify(SMALL, note=True)
    today = records.now()[:10]
    assert now(SMALL) == (True, f"made at ba9876543210; the first 400 examples run again at {COMMIT}, on {today}: the same")


def test_a_record_that_knows_no_source_says_so_before_and_after():
    of_unknown_source(SMALL)
    assert now(SMALL) == (False, "of unknown source; not verified since it was made")
    verification.verify(SMALL, note=True)
    assert now(SMALL).current
    assert now(SMALL).text.startswith("of unknown source; the first 400 examples run again at")


def test_what_was_verified_holds_for_these_sources_and_this_record_alone(monkeypatch):
    of_other_sources(SMALL)
    verification.verify(SMALL, note=True)
    with monkeypatch.context() as m:
        m.setattr(provenance, "sources", lambda e: {"fa_core.rules": "1" * 12})
        assert now(SMALL) == (False, f"made at ba9876543210; not verified since {COMMIT} of {records.now()[:10]}")
    of_other_sources(SMALL.but(rate=0.004))
    records.path(SMALL.but(rate=0.004)).rename(records.path(SMALL))
    result = records.run(SMALL.but(rate=0.004))
    records.save(SMALL, result.history, made(SMALL, **OTHER))
    assert not now(SMALL).current


def test_what_differs_is_not_written_down():
    result = records.run(SMALL.but(rate=1.05 * SMALL.rate))
    records.save(SMALL, result.history, made(SMALL, **OTHER))
    assert not all(row["agrees"] for row in verification.verify(SMALL, note=True))
    assert not verification.file().exists()


def test_each_record_has_one_line_and_two_branches_lines_stand_side_by_side():
    two = (SMALL.but(name="b"), SMALL.but(name="a"))
    for experiment in two:
        of_other_sources(experiment)
        for _ in range(2):
            verification.verify(experiment, note=True)
    lines = verification.file().read_text().splitlines()
    assert [json.loads(line)["record"] for line in lines] == [f"a-{SMALL.digest}", f"b-{SMALL.digest}"]
    other = json.loads(lines[0]) | {"sources": "0" * 12}
    verification.file().write_text("\n".join([*lines, json.dumps(other)]) + "\n")
    assert now(two[0]).current
    assert now(two[1]).current
    older = json.loads(lines[0]) | {"sources": "0" * 12, "on": "2020-01-01T00:00:00+00:00"}
    verification.file().write_text("\n".join([*lines, json.dumps(older)]) + "\n")
    verification.verify(two[0], note=True)
    assert now(two[1]).current, "in whatever order a merge has put them, the newest is kept"


def test_what_cannot_be_written_down_agrees_all_the_same(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    records.record(SMALL)
    monkeypatch.setattr(verification.files, "write", full)
    with pytest.warns(UserWarning, match="that .* agrees could not be written down: .*No space left"):
        rows = verification.verify(SMALL, note=True)
    assert all(row["agrees"] for row in rows)


def test_a_line_that_is_no_text_is_named(folder):
    (folder / verification.FILE).write_bytes(b"\xff\n")
    with pytest.raises(RecordError, match=r"verified.jsonl, line 1: .* does not say which record was verified"):
        verification.verified()


def test_uncommitted_changes_are_never_written_down(monkeypatch):
    of_other_sources(SMALL)
    monkeypatch.setattr(provenance, "commit", lambda: f"{COMMIT}-dirty")
    with pytest.raises(ValueError, match="uncommitted changes: commit them, then verify"):
        verification.verify(SMALL, note=True)
    assert not verification.file().exists()


@pytest.fixture
def book(monkeypatch):
    """The extension that makes pages of the book, and a notebook that shows a record and a run."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    monkeypatch.setattr(experiments, "registry", lambda: {SMALL.name: SMALL})
    import fa_book

    def notebook():
        shown = (records.load(SMALL), records.run(SMALL))
        outputs = [{"data": r._repr_mimebundle_(), "output_type": "display_data", "metadata": {}} for r in shown]
        return json.dumps({"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]})

    return fa_book, notebook


def test_a_stale_record_is_marked_on_the_page_and_not_in_what_is_committed(book):
    import fa_pages

    _, notebook = book
    of_other_sources(SMALL)
    committed = notebook()

    def said():
        rows = [o["data"][records.MIME] for o in json.loads(notebook())["cells"][1]["outputs"]]
        return fa_pages.provenance(rows, "00_any")

    assert "⚠ made at ba9876543210; not verified since ba9876543210" in said()
    assert "1 not verified since the code changed" in said()
    assert "verified" not in committed
    verification.verify(SMALL, note=True)
    assert notebook() == committed, "nor does what the notebook prints change when it is verified"
    assert "⚠" not in said()


def test_the_page_on_run_status_says_which_records_are_stale(book, tmp_path):
    import fa_status

    def page():
        return fa_status.all_records(fa_status.State(tmp_path), str)

    of_other_sources(SMALL)
    assert "0 of them speak for the code as it is; 1 have not been verified since it changed." in page()
    assert "title='made at ba9876543210; not verified since ba9876543210'" in page()
    verification.verify(SMALL, note=True)
    assert "1 of them speak for the code as it is; 0 have not" in page()
    records.path(SMALL).unlink()
    assert "0 records, " in page()


# ---- the allowances are tight


@pytest.mark.parametrize(
    ("curve", "by"),
    [
        ("test error", 0.11),
        ("angle", 0.2),
        ("weight angle", 0.2),
        ("nse", 0.002),
        ("loss", 0.002),
        ("positive", 0.02),
        ("validation error", 0.11),
    ],
)
def test_a_curve_that_is_off_by_little_is_noticed(curve, by):
    result = records.run(SMALL)
    names = result.history.curves
    names[curve] = names.get(curve, names["loss"]) + by
    records.save(SMALL, result.history, result.about)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(records, "train", lambda e, **_: renamed(train(e), curve))
        rows = {r["curve"]: r for r in verification.verify(SMALL)}
    assert not rows[curve]["agrees"]
    assert sum(not r["agrees"] for r in rows.values()) == 1


@pytest.mark.parametrize(("off", "agrees"), [(0.0005, True), (0.002, False)])
def test_a_large_loss_is_compared_by_its_share(off, agrees):
    result = records.run(SMALL)
    result.history.curves["loss"] = 60 + 0 * result["loss"]
    records.save(SMALL, result.history, result.about)
    with pytest.MonkeyPatch.context() as m:
        m.setattr(records, "train", lambda e, **_: enlarged(train(e), 60 * (1 + off)))
        (loss,) = (r for r in verification.verify(SMALL) if r["curve"] == "loss")
    assert loss["agrees"] is agrees
    assert loss["difference"] == pytest.approx(off)


def enlarged(history, loss):
    history.curves["loss"] = loss + 0 * history.curves["loss"]
    return history


@pytest.mark.parametrize(("products", "agrees"), [("", False), ("bfloat16", True)])
def test_rounded_products_are_allowed_more(products, agrees):
    experiment = SMALL.but(products=products)
    result = records.run(experiment)
    result.history.curves["angle"] = result["angle"] + 0.3
    records.save(experiment, result.history, result.about)
    rows = {r["curve"]: r["agrees"] for r in verification.verify(experiment)}
    assert rows.pop("angle") is agrees
    assert all(rows.values())


def renamed(history, curve):
    history.curves.setdefault(curve, history.curves["loss"])
    return history


def test_no_allowance_is_wider_than_what_it_is_for():
    """Points of error, degrees, shares; for spikes what two runs of other seeds differ by is several times as much."""
    widest = {
        "loss": 1e-3,
        "nse": 1e-3,
        "test error": 0.1,
        "validation error": 0.1,
        "angle": 0.2,
        "weight angle": 0.2,
        "positive": 0.02,
        "error at step": 5,
        "error summed": 5,
        "training error": 2,
    }
    assert verification.TOLERANCE.keys() == widest.keys()
    assert {k for k, v in verification.TOLERANCE.items() if v > widest[k]} == set()
    assert verification.TOLERANCE_TRACED <= 1e-3
    assert verification.ROUNDED <= 5
    assert max(verification.FIRST.values()) <= 0.05


def test_a_curve_that_the_record_lacks_is_told():
    result = records.run(SMALL)
    del result.history.curves["angle"]
    records.save(SMALL, result.history, result.about)
    with pytest.raises(RecordError, match=r"has no curve 'angle': it was made by other sources. Remake it"):
        verification.verify(SMALL)


# ---- spot checks: seconds


SHORT = {
    "dense": tanh_experiment(),
    "online": SMALL,
    "spiking": REDUCED.but(
        name="spikes", sizes=(784, 30, 20, 10), streams=10, examples=400, probes=(0, 200, 400), tested=100
    ),
    "first layer first": tanh_experiment(schedule=((0, (1.0, 0.0, 0.0)), (1000, 1.0))),
    "switched": SMALL.but(rule="backprop", switch=((200, "feedback alignment"),)),
    "no feedback": SMALL.but(feedback=0.0),
}


@pytest.mark.parametrize("experiment", SHORT.values(), ids=SHORT)
def test_a_spot_check_of_a_true_record_agrees_and_says_so_in_the_same_words(experiment):
    records.record(experiment)
    shown = repr(verification.spot_check(experiment))
    assert shown == f"the beginning of {experiment.name}, run again here, is as in its record"
    assert shown == repr(verification.spot_check(experiment))


def no_feedback(monkeypatch):
    """An engine in which no teaching signal reaches a hidden layer."""
    from fa_core import spiking

    for module in (training, spiking):
        monkeypatch.setattr(module, "initialise", silenced(module.initialise))


def silenced(initialise):
    return lambda experiment, *arguments: initialise(experiment.but(feedback=0.0), *arguments)


@pytest.mark.parametrize(
    "experiment",
    [SHORT[k] for k in ("dense", "online", "spiking", "first layer first", "switched")],
    ids=("dense", "online", "spiking", "first layer first", "switched"),
)
def test_a_spot_check_notices_an_engine_without_feedback(experiment, monkeypatch):
    records.record(experiment)
    no_feedback(monkeypatch)
    with pytest.raises(
        RecordError,
        match=rf"today's sources do not run {experiment.name} as its record was run\. After "
        rf"[\d,]+ examples: .*the change of W0 is \S+, in the record ",
    ):
        verification.spot_check(experiment)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rate": 1.05 * SMALL.rate}, "the change of W0 is"),
        ({"rule": "backprop"}, "the change of W0 is"),
        ({"feedback": 1.05 * SMALL.feedback}, "the size of B1 at the start"),
        ({"weights": 1.05 * SMALL.weights}, "the size of W0 at the start"),
        ({"weight_decay": 1.0}, "the change of W1 is"),
    ],
    ids=lambda change: next(iter(change)) if isinstance(change, dict) else "",
)
def test_a_spot_check_notices_another(change, told):
    other = SMALL.but(**change)
    result = records.run(other)
    records.save(SMALL, result.history, made(SMALL, **OTHER) | {"first steps": records.first_steps(other)})
    with pytest.raises(RecordError, match=told):
        verification.spot_check(SMALL)


def test_an_old_record_is_compared_at_its_first_probe_where_that_is_near(monkeypatch):
    of_unknown_source(SMALL)
    assert verification.spot_check(SMALL).examples == SMALL.probes[1]
    no_feedback(monkeypatch)
    with pytest.raises(RecordError, match=r"do not run test-linear as its record was run.*loss by"):
        verification.spot_check(SMALL)


def test_an_old_record_that_switches_its_rule_is_compared_after_that(monkeypatch):
    switched = SHORT["switched"]
    of_unknown_source(switched)
    monkeypatch.setattr(verification, "seconds", lambda *_: 1.0)
    assert verification.spot_check(switched).examples == 400
    no_feedback(monkeypatch)
    with pytest.raises(RecordError, match=r"do not run test-linear as its record was run"):
        verification.spot_check(switched)


def test_an_old_record_whose_first_probe_is_far_is_compared_by_what_was_written_down_when_it_was_verified(monkeypatch):
    of_unknown_source(SMALL)
    monkeypatch.setattr(verification, "seconds", lambda *_: 11.0)
    with pytest.raises(RecordError, match="does not say how it began, and its first probe is far: `python -m"):
        verification.spot_check(SMALL)
    verification.verify(SMALL, note=True)
    assert verification.spot_check(SMALL).examples == records.first_examples(SMALL)
    no_feedback(monkeypatch)
    with pytest.raises(RecordError, match="the change of W0 is"):
        verification.spot_check(SMALL)


def test_first_steps_are_as_long_as_every_layer_and_rule_needs():
    assert records.first_examples(SHORT["first layer first"]) == 1100
    assert records.first_examples(SHORT["switched"]) == 300
    assert records.first_examples(SHORT["spiking"]) == 100
    assert records.first_examples(linear_experiment(examples=50, probes=())) == 50
    assert records.first_examples(tanh_experiment(schedule=((0, (1.0, 0.0, 1.0)),))) == 100, "one layer never learns"


@pytest.mark.parametrize("experiment", SHORT.values(), ids=SHORT)
def test_a_beginning_is_the_beginning_of_the_whole(experiment):
    at = experiment.probes[1]
    short = records.train(records.beginning(experiment, at, 1, experiment.probes[:2]))
    whole = records.train(experiment)
    for name, curve in short.curves.items():
        assert np.allclose(curve, whole[name][:1, :2], rtol=0, atol=1e-12, equal_nan=True), name


# ---- a share of the records each week


def test_a_share_fits_its_minutes_and_all_get_their_turn(monkeypatch):
    every = [SMALL.but(name=f"small-{i}") for i in range(8)]
    result = records.run(SMALL)
    for e in every:  # half of the learning, and half of the measuring, of an hour in which three seeds ran
        records.save(e, result.history, made(e, seconds=3600.0, **OTHER))
    one = verification.seconds(records.load(every[0]), SMALL.probes[:2])
    assert one == pytest.approx(3600 * (1 / 4 + 2 / 4) / 2 / 3)
    seen = set()
    for _ in range(4):
        turn = verification.turn(every, 2 * (one + 2) / 60)
        assert len(turn) == 2
        assert not seen & set(turn)
        for e in turn:
            verification.verify(e, note=True)
        seen |= set(turn)
    assert seen == set(every)
    assert verification.turn(every, 0.1) == []
    records.path(every[3]).write_bytes(b"damaged")
    assert verification.turn(every, 0.1) == [every[3]], "it has its turn, and `verify` says what is the matter with it"


def test_the_weekly_share_fits_the_job_that_runs_it():
    import yaml

    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if "fa_core verify" in step.get("run", ""):
                minutes = float(step["run"].split("--minutes")[1].split()[0])
                assert 20 <= minutes <= job["timeout-minutes"] / 2, "twice as slow, it still ends"
                return
    pytest.fail("no job verifies")


# ---- of the records here


@pytest.mark.parametrize("name", ["deep-feedback-alignment-4", "momentum-0.9", "mechanics-redrawn"])
def test_three_cheap_records_are_what_todays_sources_give(name, monkeypatch):
    monkeypatch.delenv(records.ENVIRONMENT)
    rows = verification.verify(experiments.find(name))
    assert rows
    assert [row for row in rows if not row["agrees"]] == []


# ---- one at a time, and not without a word


def test_two_processes_do_not_record_one_experiment_and_a_dead_one_is_in_nobodys_way(folder):
    program = textwrap.dedent("""
        import sys, time
        from fa_core import records
        from tests.helpers import linear_experiment
        records.train = lambda *_, **__: (print("at it", flush=True), time.sleep(60))
        records.record(linear_experiment())
    """)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "at it\n"
            told = rf"test-linear is being recorded already, by process {other.pid} on {os.uname().nodename} since 20"
            with pytest.raises(RecordError, match=told):
                records.record(SMALL)
            assert not records.path(SMALL).exists()
        finally:
            other.send_signal(signal.SIGKILL)
    records.record(SMALL)
    assert [p.name for p in folder.iterdir()] == [records.path(SMALL).name]


def test_who_is_told_to_wait_takes_what_the_other_made(folder, monkeypatch):
    program = textwrap.dedent("""
        import time
        from fa_core import records
        from tests.helpers import linear_experiment
        train = records.train
        records.train = lambda *a, **k: (print("at it", flush=True), time.sleep(2), train(*a, **k))[2]
        records.record(linear_experiment())
    """)
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "at it\n"
        monkeypatch.setattr(records, "train", lambda *_, **__: pytest.fail("ran again"))
        records.record(SMALL, wait=True)
        assert other.wait() == 0
    assert [p.name for p in folder.iterdir()] == [records.path(SMALL).name]


def test_a_missing_record_is_announced_before_it_is_made(folder, capfd, monkeypatch):
    monkeypatch.setattr(records, "run", lambda e: capfd.readouterr().err)
    told = records.get(SMALL)
    assert told.startswith(f"test-linear ({SMALL.digest}) has no record in {folder}; to train it takes about ")
    assert re.search(r" \d+ seconds? here\. Training it now\.\n$", told)


def test_above_two_minutes_a_missing_record_is_refused_unless_asked_for(monkeypatch):
    monkeypatch.setattr(records, "estimate", lambda e: 3 * 3600.0)
    with pytest.raises(
        RecordError,
        match=r"takes about 3 hours here. Make it with `python -m fa_core record test-linear`, "
        "name the folder of the records in FA_CORE_RECORDS, or",
    ):
        records.get(SMALL)
    assert records.get(SMALL, long=True).source == "live"
    assert records.get(SMALL, live=True).source == "live"


def test_the_estimate_is_near_what_the_run_takes(monkeypatch):
    """By a clock on which a minibatch takes a second and a probe five: one of a machine with other work shows anything."""
    clock, learn, probe = [0.0], training.Run.learn, training.probe
    experiment = tanh_experiment(examples=30_000, probes=(0, 15_000, 30_000))

    def timed_learn(run, begin, end):
        clock[0] += (end - begin) / experiment.batch
        learn(run, begin, end)

    def timed_probe(*args):
        clock[0] += 5
        return probe(*args)

    monkeypatch.setattr(training.Run, "learn", timed_learn)
    monkeypatch.setattr(training, "probe", timed_probe)
    monkeypatch.setattr(records, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    assert records.estimate(experiment) == pytest.approx(30_000 / experiment.batch + 3 * 5, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1, "1 second"),
        (1.4, "1 second"),
        (1.6, "2 seconds"),
        (100, "100 seconds"),
        (130, "2 minutes"),
        (6000, "100 minutes"),
        (10_000, "3 hours"),
    ],
)
def test_times_are_spelled_out(seconds, text):
    assert records.spell(seconds) == text


# ---- edited records


@pytest.mark.parametrize(
    "edit",
    [
        lambda a: {"curve/loss": np.append(a["curve/loss"][:, :-1], a["curve/loss"][:, -1:] / 2, axis=1)},
        lambda a: {"curve/loss": None},
        lambda a: {"snapshot/W9 after": np.zeros(3)},
        lambda a: {"diverged": a["diverged"] + 1},
    ],
    ids=["the last value", "a missing curve", "an array more", "divergence"],
)
def test_an_edited_record_is_refused(edit):
    records.record(SMALL)
    with np.load(records.path(SMALL)) as stored:
        arrays = {k: stored[k] for k in stored.files}
    rewritten(records.path(SMALL), **edit(arrays))
    with pytest.raises(RecordError, match="does not hold what the run put there: it was edited"):
        records.load(SMALL)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("probes", {"examples": np.array([0, 100, 200, 500])}),
        ("shapes of 'loss'", {"curve/loss": np.zeros((3, 3))}),
        ("shapes of 'loss'", {"curve/loss": np.zeros((2, 4))}),
    ],
    ids=["probes", "a probe less", "a seed less"],
)
def test_a_record_of_another_shape_than_its_experiments_is_refused(what, change):
    of_unknown_source(SMALL)  # whose contents no digest protects
    rewritten(records.path(SMALL), **change)
    with pytest.raises(RecordError, match=f"holds other {what} than its experiment: it was edited"):
        records.load(SMALL)


def test_an_old_record_is_held_to_its_sum(folder):
    of_unknown_source(SMALL)
    file = records.path(SMALL)
    records.load(SMALL)
    with np.load(file) as stored:
        loss = stored["curve/loss"]
    rewritten(file, **{"curve/loss": loss / 2})
    with pytest.raises(RecordError, match="does not hold what the run put there"):
        records.load(SMALL)
    for sums in ("", f"{'0' * 64}  another.npz\n", None):
        if sums is None:
            (folder / records.SUMS).unlink()
        else:
            (folder / records.SUMS).write_text(sums)
        told = "carries no digest of its contents, and SHA256SUMS has none of it: nobody can tell whether a run wrote it"
        with pytest.raises(RecordError, match=rf"{file.name} {told}\. Restore it"):
            records.load(SMALL)


def test_every_record_from_before_records_carried_a_digest_has_its_sum():
    sums = {line.split("  ")[1] for line in (ROOT / "records" / records.SUMS).read_text().splitlines()}
    for file in sorted((ROOT / "records").glob("*.npz")):
        with np.load(file) as stored:
            about = json.loads(str(stored["about"]))
        assert "contents" in about or file.name in sums, file.name
