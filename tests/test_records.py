"""Records: whole, found by their experiment alone, resumed to the bit, refused when damaged, re-run."""

import contextlib
import errno
import functools
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fa_core import experiments, provenance, records, training, verification
from fa_core.records import RecordError
from fa_core.training import History, Run, train
from tests.helpers import checkpoint_with, linear_experiment, made, recorded_as, rewritten, same, tanh_experiment

ROOT = Path(__file__).parents[1]
SMALL = linear_experiment()
LONGER = tanh_experiment()  # three chunks of examples
COMMIT, THE_COMMIT = "0123456789ab", provenance.commit


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """No test writes where the project's own records are, or minds what is being changed in the module."""
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(provenance, "commit", lambda: COMMIT)
    return tmp_path


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ---- what is written is what is read


@pytest.mark.parametrize("experiment", [SMALL, LONGER], ids=lambda e: e.name)
def test_a_record_holds_the_run_bit_for_bit_and_says_how_it_was_made(experiment):
    file = records.record(experiment)
    stored = records.load(experiment)
    assert file == records.path(experiment)
    assert same(stored.history, train(experiment))
    assert stored.experiment == experiment
    assert stored.about["digest"] == experiment.digest
    assert stored.about["experiment"] == experiment.essence()
    assert stored.about["threads"] == torch.get_num_threads()
    assert stored.about["versions"]["torch"] == torch.__version__
    assert {"made", "wall_seconds", "device", "commit"} <= stored.about.keys()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_arrays_come_back_bit_for_bit_with_the_facts_beside_them(data):
    kinds = st.sampled_from([np.float32, np.float64, np.int64])
    some = arrays(kinds, array_shapes(min_dims=1, max_dims=4, min_side=0))
    of_probes = arrays(kinds, st.tuples(st.just(3), st.just(4)) | st.tuples(st.just(3), st.just(4), st.integers(0, 2)))
    names = st.sampled_from(["loss", "weight angle", "W0 before", "b1/x"])
    seeds, probes = np.array(SMALL.seeds), np.array(SMALL.probes)
    history = History(
        seeds,
        probes,
        data.draw(st.dictionaries(names, of_probes)),
        data.draw(st.dictionaries(names, some)),
        np.full(len(seeds), -1),
    )
    facts = made(SMALL) | {"more": data.draw(st.text())}
    records.save(SMALL, history, facts)
    stored = records.load(SMALL)
    assert same(stored.history, history)
    assert stored.about.pop("contents")
    assert stored.about == facts


def test_a_record_is_read_without_pickles_and_none_can_be_written(folder):
    file = records.record(SMALL)
    with np.load(file, allow_pickle=False) as stored:
        assert all(stored[k].dtype != object for k in stored.files)
    result = records.load(SMALL)
    result.history.curves["loss"] = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="allow_pickle"):
        records.save(SMALL, result.history, result.about)
    assert names(folder) == [file.name]


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("whole", [False, True], ids=["one array", "the whole file"])
def test_a_pickle_in_the_place_of_a_record_is_refused_and_never_run(folder, whole):
    file, sprung = records.record(SMALL), folder / "sprung"
    if whole:
        file.write_bytes(pickle.dumps(Trap(sprung)))
    else:
        rewritten(file, seeds=np.array([Trap(sprung)], dtype=object))
    with pytest.raises(RecordError, match="is damaged"):
        records.load(SMALL)
    assert not sprung.exists()


# ---- found by who asks


def test_get_takes_the_record_and_runs_where_there_is_none_or_live_is_asked(folder):
    here = records.get(SMALL)
    assert here.source == "live"
    assert names(folder) == [], "only `record` writes"
    recorded_as(SMALL, SMALL.but(rate=0.004))
    stored = records.get(SMALL)
    assert stored.source == "record"
    assert same(stored.history, train(SMALL.but(rate=0.004)))
    assert records.get(SMALL, live=True).source == "live"
    assert same(records.get(SMALL, live=True).history, here.history)


def test_a_record_is_kept_by_name_and_digest_in_the_folder_that_is_asked_for(folder, monkeypatch):
    assert records.path(SMALL) == folder / f"test-linear-{SMALL.digest}.npz"
    assert records.path(SMALL.but(rate=0.1)) != records.path(SMALL)
    monkeypatch.delenv(records.ENVIRONMENT)
    assert records.folder() == ROOT / "records"


def test_the_caption_says_whether_it_is_a_record_or_a_run_and_when_the_record_was_made():
    live = records.get(SMALL)
    assert live.caption() == f"run here: test-linear ({SMALL.digest}), 3 seeds"
    facts = live.about | {"made": "2031-05-06T07:08:09+00:00", "device": "an abacus", "wall_seconds": 600.0}
    records.save(SMALL, live.history, facts)
    assert records.get(SMALL).caption() == (
        f"record: test-linear ({SMALL.digest}), 3 seeds; made 2031-05-06 on an abacus in 10 minutes"
    )
    records.save(SMALL, live.history, facts | {"wall_seconds": 42.4})
    assert records.get(SMALL).caption().endswith("on an abacus in 42 s")
    records.save(SMALL, live.history, {k: v for k, v in facts.items() if k != "stretches"})
    assert records.get(SMALL).caption().endswith("on an abacus in at least 10 minutes"), "of the last stretch, perhaps"


def test_a_record_names_its_commit_and_whether_the_module_differed_from_it(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    module = tmp_path / "module" / "records.py"
    monkeypatch.setattr(provenance, "__file__", str(module))
    module.parent.mkdir()
    module.write_text("one")
    assert THE_COMMIT() == "unknown"
    git("init", "-q")
    ignored = tmp_path / ".gitignore"
    ignored.write_text("module\n")
    git("add", ".")
    git("commit", "-qm", "of something else, within which the module is installed")
    assert THE_COMMIT() == "unknown"
    ignored.unlink()
    git("add", ".")
    git("commit", "-qm", "one")
    assert re.fullmatch("[0-9a-f]{12}", THE_COMMIT())
    (tmp_path / "a record").write_text("beside the module")
    assert re.fullmatch("[0-9a-f]{12}", THE_COMMIT())
    module.write_text("two")
    assert re.fullmatch("[0-9a-f]{12}-dirty", THE_COMMIT())


def test_what_a_live_result_shows_is_the_same_at_every_execution(monkeypatch):
    first = records.run(SMALL)._repr_mimebundle_()
    monkeypatch.setattr(
        records,
        "about",
        lambda *_: dict.fromkeys(("made", "device", "wall_seconds", "threads", "versions", "commit"), "something else"),
    )
    again = records.run(SMALL)._repr_mimebundle_()
    assert json.dumps(first) == json.dumps(again)
    assert first[records.MIME] == {"experiment": "test-linear", "digest": SMALL.digest, "source": "live", "seeds": 3}


def test_what_a_record_shows_says_how_it_was_made():
    records.record(SMALL)
    shown = records.load(SMALL)._repr_mimebundle_()[records.MIME]
    assert shown["source"] == "record"
    assert {"made", "device", "wall_seconds", "threads", "versions"} <= shown.keys()
    assert json.loads(json.dumps(shown)) == shown


def test_a_record_that_is_there_is_kept_unless_it_is_to_be_remade(monkeypatch):
    recorded_as(SMALL, SMALL.but(rate=0.004))
    before = records.path(SMALL).read_bytes()
    with monkeypatch.context() as m:
        m.setattr(records, "train", lambda *_, **__: pytest.fail("ran again"))
        records.record(SMALL)
    assert records.path(SMALL).read_bytes() == before
    records.record(SMALL, remake=True)
    assert same(records.load(SMALL).history, train(SMALL))


# ---- runs that were stopped


def stopping_after(chunks, error):
    """An `advance` that raises once it has been called so many times."""
    advance, calls = Run.advance, []

    def counted(self):
        if len(calls) == chunks:
            raise error
        calls.append(self.seen)
        advance(self)

    return counted, calls


@pytest.mark.parametrize("chunks", [1, 2])
def test_an_interrupted_record_goes_on_where_it_was_and_ends_in_the_same_bits(folder, monkeypatch, chunks):
    monkeypatch.setattr(records, "train", functools.partial(train, every=0))
    advance, calls = stopping_after(chunks, KeyboardInterrupt)
    with monkeypatch.context() as m:
        m.setattr(Run, "advance", advance)
        with pytest.raises(KeyboardInterrupt):
            records.record(LONGER)
    stem = records.path(LONGER).stem
    assert names(folder) == [f"{stem}.partial.npz"]
    checkpoint = folder / f"{stem}.partial.npz"
    saved = training.load_checkpoint(checkpoint, LONGER)
    (stretch,) = training.unpack_stretches(saved)
    stretches = json.dumps([stretch | {"seconds": 1000.0}])
    checkpoint_with(checkpoint, saved | {"stretches": np.array(stretches)})

    advance, calls = stopping_after(99, None)
    with monkeypatch.context() as m:
        m.setattr(Run, "advance", advance)
        records.record(LONGER)
    assert calls == [*[1000, 2000][chunks - 1 :], 0], "went on, and began again for the first steps alone"
    assert names(folder) == [f"{stem}.npz"]
    result = records.load(LONGER)
    assert same(result.history, train(LONGER))
    assert 1000 <= result.about["wall_seconds"] < 1100, "the time of both stretches"


def test_a_record_killed_outright_goes_on_and_ends_in_the_same_bits(folder):
    program = textwrap.dedent(f"""
        import functools, os, signal
        import torch
        torch.set_num_threads({torch.get_num_threads()})
        from fa_core import records, training
        from tests.helpers import tanh_experiment
        records.train = functools.partial(training.train, every=0)
        save = training.save_checkpoint
        def save_and_die(*arguments):
            save(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        training.save_checkpoint = save_and_die
        records.record(tanh_experiment())
    """)
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    stem = records.path(LONGER).stem
    assert names(folder) == [f"{stem}.lock", f"{stem}.partial.npz"]  # a file that nobody holds
    records.record(LONGER)
    assert names(folder) == [f"{stem}.npz"]
    assert same(records.load(LONGER).history, train(LONGER))


# ---- damage


def test_a_record_that_is_not_there_is_named_with_the_command_that_makes_it():
    with pytest.raises(
        FileNotFoundError,
        match=rf"no record .*test-linear-{SMALL.digest}\.npz: make it with "
        r"`records.record\(experiment\)`",
    ):
        records.load(SMALL)


def test_of_what_the_command_line_knows_by_its_name_the_command_is_told():
    name = "mnist-backprop"
    with pytest.raises(FileNotFoundError, match=f"make it with `python -m fa_core record {name}`"):
        records.load(experiments.find(name))
    with pytest.raises(FileNotFoundError, match=r"make it with `records.record\(experiment\)`"):
        records.load(experiments.find(name).but(batch=50))


REMAKE = r"`records.record\(experiment, remake=True\)`"


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_record_is_refused_and_the_message_says_what_to_do(share):
    file = records.record(SMALL)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    for use in (records.load, records.get, records.record, verification.verify):
        with pytest.raises(RecordError, match=rf"{file.name} is damaged .*restore it \(git checkout\).*{REMAKE}"):
            use(SMALL)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_record_with_a_byte_changed_is_refused_or_gives_no_other_number(data):
    # Some bytes of a zip file, such as the dates of its members, mean nothing here. One bit in 20,000 hides a member
    # (the length of the comment before it, in the list at the end); who asks for that curve is then told there is none.
    content = bytearray(RECORDED[0])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    records.path(SMALL).write_bytes(content)
    try:
        found = records.load(SMALL)
    except RecordError:
        return
    true = RECORDED[1].history.arrays()
    assert all(
        (a.tobytes(), a.shape, a.dtype) == (true[k].tobytes(), true[k].shape, true[k].dtype)
        for k, a in found.history.arrays().items()
    )
    assert found.about == RECORDED[1].about


RECORDED = []


@pytest.fixture(autouse=True, scope="module")
def recorded(tmp_path_factory):
    """A record's bytes and what they hold, made once."""
    with pytest.MonkeyPatch.context() as m:
        m.setenv(records.ENVIRONMENT, str(tmp_path_factory.mktemp("recorded")))
        RECORDED[:] = records.record(SMALL).read_bytes(), records.load(SMALL)


def test_numbers_changed_in_place_are_noticed():
    # Stored without compression, so that it is an array's own bytes that are changed.
    file = records.record(SMALL)
    rewritten(file)
    loss = records.load(SMALL)["loss"]
    content = file.read_bytes()
    assert content.count(loss.tobytes()) == 1
    file.write_bytes(content.replace(loss.tobytes(), (loss / 2).tobytes()))
    with pytest.raises(RecordError, match=f"is damaged .*{REMAKE}"):
        records.load(SMALL)


def test_a_record_renamed_to_another_experiments_is_refused():
    other = SMALL.but(rate=0.004)
    shutil.copy(records.record(other), records.path(SMALL))
    with pytest.raises(
        RecordError,
        match=f"holds experiment {other.digest}, not {SMALL.digest}: it was renamed or edited. Remake it with {REMAKE}",
    ):
        records.load(SMALL)


@pytest.mark.parametrize(
    "edit",
    [
        lambda about: about | {"digest": "0" * 12},
        lambda about: about | {"experiment": about["experiment"] | {"rate": 0.004}},
        lambda about: about | {"experiment": None},
        lambda about: {},
        lambda about: [],
        lambda about: 3,
    ],
    ids=["digest", "a hyper-parameter", "no experiment", "empty", "a list", "a number"],
)
def test_a_record_with_edited_facts_is_refused(edit):
    file = records.record(SMALL)
    rewritten(file, about=np.array(json.dumps(edit(records.load(SMALL).about))))
    with pytest.raises(RecordError, match=f"(edited. Remake it|remake it) with {REMAKE}"):
        records.load(SMALL)


@pytest.mark.parametrize(
    "change",
    [{"about": np.array("{")}, {"about": None}, {"seeds": None}, {"examples": None}],
    ids=["facts that are not JSON", "no facts", "no seeds", "no examples"],
)
def test_a_record_with_a_part_missing_is_refused(change):
    rewritten(records.record(SMALL), **change)
    with pytest.raises(RecordError, match=f"is damaged .*{REMAKE}"):
        records.load(SMALL)


def test_a_record_of_other_seeds_is_refused():
    rewritten(records.record(SMALL), seeds=np.array([0, 1, 3]))
    with pytest.raises(RecordError, match=f"other seeds than its experiment.*{REMAKE}"):
        records.load(SMALL)


# ---- a full disk


def refuse(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def a_call_fails(name):
    """What a system call does on a full disk."""
    with pytest.MonkeyPatch.context() as m:
        m.setattr(name, refuse)
        yield


@contextlib.contextmanager
def writing_stops(size=1000):
    """No file may become longer: the writing itself fails, midway, by the kernel's own doing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("full", "error"),
    [
        (functools.partial(a_call_fails, "os.replace"), "No space left on device"),
        (functools.partial(a_call_fails, "os.fsync"), "No space left on device"),
        (writing_stops, "File too large"),
    ],
    ids=["os.replace", "os.fsync", "write"],
)
def test_a_full_disk_leaves_the_old_record_as_it_was_and_nothing_half_written(folder, full, error):
    file = records.path(SMALL)
    file.write_bytes(RECORDED[0])
    result = RECORDED[1]
    with full(), pytest.raises(OSError, match=f"{error}: could not write .*{file.name}.*before is untouched"):
        records.save(SMALL, result.history, result.about | {"wall_seconds": 1.0})
    assert file.read_bytes() == RECORDED[0]
    assert names(folder) == [file.name]


def test_a_run_whose_record_found_no_room_is_not_lost(folder, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(records, "save", refuse)
        with pytest.raises(OSError, match="No space left"):
            records.record(SMALL)
    monkeypatch.setattr(Run, "advance", lambda self: pytest.fail("ran again"))
    monkeypatch.setattr(records, "first_steps", lambda *_: {})
    file = records.record(SMALL)
    assert same(records.load(SMALL).history, RECORDED[1].history)
    assert names(folder) == [file.name]


def test_a_disk_too_full_for_the_clock_says_what_could_not_be_written(monkeypatch):
    """The error that comes out is the checkpoint's, which says what to do, and not one about the clock."""
    monkeypatch.setattr(records, "train", functools.partial(train, every=0))
    advance, _ = stopping_after(1, OSError(errno.ENOSPC, "could not write the checkpoint"))
    monkeypatch.setattr(Run, "advance", advance)
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match="could not write the checkpoint"):
        records.record(LONGER)


# ---- run again


@pytest.mark.parametrize(
    "experiment",
    [
        SMALL,
        LONGER,
        linear_experiment(feedback=0.0),
        linear_experiment(batch=50, rate=1e-3),
    ],
    ids=["linear", "traced arrays", "no feedback, so no angle", "minibatches"],
)
def test_verify_agrees_with_a_true_record_to_the_bit(experiment):
    records.record(experiment)
    rows = verification.verify(experiment, seeds=2)
    assert {r["curve"] for r in rows} == set(records.load(experiment).history.curves)
    assert all(r["agrees"] and r["difference"] == 0 for r in rows)


@pytest.mark.parametrize(
    "change",
    [{"rate": 1.05 * SMALL.rate}, {"feedback": 1.05 * SMALL.feedback}, {"rule": "backprop"}, {"seeds": (7, 8, 9)}],
    ids=lambda change: next(iter(change)),
)
def test_verify_notices_a_record_made_with_another(change):
    other = train(SMALL.but(**change))
    other.seeds[:] = SMALL.seeds
    records.save(SMALL, other, made(SMALL))
    rows = {r["curve"]: r for r in verification.verify(SMALL)}
    assert not rows["loss"]["agrees"]
    assert rows["loss"]["difference"] > rows["loss"]["allowed"]


@pytest.mark.parametrize("probe", [0, 1, 3])
def test_verify_notices_one_altered_or_missing_number(probe):
    for change in (0.002, np.nan, np.inf):  # as a share of a loss above 1, twice what is allowed
        stored = records.run(SMALL)
        stored["loss"][0, probe] += change * max(1.0, stored["loss"][0, probe])
        records.save(SMALL, stored.history, stored.about)
        rows = {r["curve"]: r["agrees"] for r in verification.verify(SMALL)}
        assert rows == dict.fromkeys(rows, True) | {"loss": False}


def test_verify_re_runs_as_many_seeds_and_probes_as_it_is_told(monkeypatch):
    records.record(SMALL)
    ran = []
    monkeypatch.setattr(records, "train", lambda e, **options: ran.append(e) or train(e, **options))
    verification.verify(SMALL, seeds=2, probes=1)
    assert ran == [SMALL.but(seeds=(0, 1), probes=(0, 100), examples=100)]


def test_verify_refuses_an_experiment_with_nothing_to_compare():
    for probes in ((), (0,)):
        experiment = linear_experiment(probes=probes)
        records.save(
            experiment, History(np.array(experiment.seeds), np.array(probes), {}, {}, np.full(3, -1)), made(experiment)
        )
        with pytest.raises(ValueError, match="test-linear has no probe after the start: nothing to compare"):
            verification.verify(experiment)


# ---- the records of this repository


def unfit(folder: Path) -> list[str]:
    """What is wrong with the records in a folder."""
    known, found = experiments.registry(), []
    for file in sorted(folder.glob("*.npz")):
        if file.name.endswith(".partial.npz"):
            continue  # a run in progress
        experiment = known.get(file.stem.rpartition("-")[0])
        if experiment is None or records.path(experiment).name != file.name:
            found.append(f"{file.name} is of no registered experiment")
            continue
        try:
            records.load(experiment)
        except RecordError as error:
            found.append(str(error))
    return found


def test_every_committed_record_is_whole_and_of_a_registered_experiment(monkeypatch):
    monkeypatch.delenv(records.ENVIRONMENT)
    assert unfit(ROOT / "records") == []


def test_an_orphan_and_a_damaged_record_would_be_noticed(folder):
    named, unnamed, true = (
        experiments.find("xor-small-backprop").but(rate=9.0),
        SMALL,
        experiments.find("xor-large-backprop"),
    )
    for experiment in (named, unnamed, true):
        records.path(experiment).write_bytes(RECORDED[0][:99])
    (folder / "xor-small-backprop-000000000000.partial.npz").touch()
    orphan = "{} is of no registered experiment"
    assert sorted(p.split(" (")[0].removeprefix(f"{folder}/") for p in unfit(folder)) == sorted(
        [
            orphan.format(records.path(named).name),
            orphan.format(records.path(unnamed).name),
            f"{records.path(true).name} is damaged",
        ]
    )
