"""Records on a machine that is lent for some minutes: an end within the budget, packs, and the way on from there."""

import fnmatch
import io
import tarfile
from pathlib import Path

import pytest

from fa_core import __main__, cluster, experiments, packs, provenance, records, training
from fa_core.__main__ import main
from tests.helpers import linear_experiment, same

# Each is learned in chunks of a thousand examples, after any of which it can be stopped.
SMALL = tuple(
    linear_experiment(name=name, seeds=(0, 1), examples=4000, probes=tuple(range(0, 4001, 500)))
    for name in ("first", "second", "third")
)


class Clock:
    """A time that goes on by a second whenever it is asked for."""

    now = 0.0

    def monotonic(self):
        self.now += 1
        return self.now

    def perf_counter(self):  # by which it is only told how long something takes
        return self.now


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "registry", lambda recorded=False: {e.name: e for e in SMALL})
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path / "records"))
    return tmp_path / "records"


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (training, cluster, __main__):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(__main__, "PACKING", 0.0)


def test_a_run_whose_time_is_up_ends_at_a_checkpoint_and_goes_on_from_there(tmp_path):
    file = tmp_path / "checkpoint.npz"
    with pytest.raises(training.OutOfTime, match="time was up at example 1,000 of 4,000"):
        training.train(SMALL[0], checkpoint=file, until=0.0)
    assert int(training.load_checkpoint(file, SMALL[0])["state/seen"]) == 1000
    assert same(training.train(SMALL[0], checkpoint=file), training.train(SMALL[0]))


def test_lent_again_and_again_for_a_while_the_machines_make_what_one_would_have(tmp_path, clock, monkeypatch, capsys):
    """Each begins with nothing but the last one's pack."""
    packed, done = [], 0
    for turn in range(20):
        monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path / f"machine {turn}"))
        packed.append(tmp_path / f"pack {turn}")
        before = ["--from", str(packed[-2])] if turn else []
        assert main(["record", "--all", "--budget", "15", "--into", str(packed[-1]), *before]) == 0
        finished = sum(records.path(e).exists() for e in SMALL)
        told = capsys.readouterr().err
        assert (f"time was up with {3 - finished} of 3 not finished; of " in told) == (finished < 3)
        assert finished >= done
        if (done := finished) == 3:
            break
    assert turn > 1
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path / "home"))
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab-dirty")  # no matter: nothing runs
    assert main(["record", "--from", str(packed[-1])]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for experiment in SMALL:
        assert same(records.load(experiment).history, training.train(experiment))
    assert max(len(records.load(experiment).about["stretches"]) for experiment in SMALL) > 1, "one went on elsewhere"


def test_a_budget_makes_first_what_is_named_first(clock, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "FIRST", ("third", "sec*"))
    assert [e.name for e in experiments.by_priority(SMALL)] == ["third", "second", "first"]
    assert main(["record", "--all", "--budget", "1000"]) == 0
    made = [Path(line).name.split("-")[0] for line in capsys.readouterr().out.split()]
    assert made == ["third", "second", "first"]


def test_every_name_that_comes_first_is_of_an_experiment(monkeypatch):
    monkeypatch.undo()
    names = experiments.registry(recorded=True)
    assert all(fnmatch.filter(names, name) for name in experiments.FIRST)


def test_what_was_there_before_is_not_packed(tmp_path, folder):
    assert main(["record", "first"]) == 0
    assert main(["record", "--all", "--into", str(tmp_path / "pack")]) == 0
    with tarfile.open(tmp_path / "pack" / "records.tar.1") as tar:
        assert sorted(n.split("-")[0] for n in tar.getnames()) == ["second", "third"]


def test_a_pack_has_no_more_files_than_it_may_and_says_what_it_has_no_room_for(tmp_path, folder):
    folder.mkdir()
    wanted = [folder / f"{name}-{'0' * 12}.npz" for name in ("large", "larger", "small")]
    for file, size in zip(wanted, (30_000, 40_000, 1_000), strict=True):
        file.write_bytes(bytes(range(250)) * (size // 250))
    assert packs.pack(wanted, tmp_path / "pack", size=16_384, most=3) == [wanted[1]]
    volumes = sorted((tmp_path / "pack").iterdir())
    assert len(volumes) == 3
    assert all(v.stat().st_size <= 16_384 for v in volumes)
    content = {file: file.read_bytes() for file in wanted}
    for file in wanted:
        file.unlink()
    assert packs.unpack(tmp_path / "pack") == [wanted[0], wanted[2]]
    assert all(file.read_bytes() == content[file] for file in (wanted[0], wanted[2]))
    wanted[0].write_bytes(b"ours")
    assert packs.unpack(tmp_path / "pack") == []
    assert wanted[0].read_bytes() == b"ours", "what is there stays"
    volumes[1].unlink()
    with pytest.raises(ValueError, match=r"has of a pack the volumes 1, 3: copy all of them, from 1 on"):
        packs.unpack(tmp_path / "pack")
    volumes[2].unlink()
    with pytest.raises(ValueError, match="damaged or not whole"):
        packs.unpack(tmp_path / "pack")
    volumes[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no pack: files records\.tar\.1"):
        packs.unpack(tmp_path / "pack")


@pytest.mark.parametrize("name", ["notes.txt", "../outside-0123456789ab.npz", "deep/inside-0123456789ab.npz"])
def test_nothing_is_unpacked_but_records_parts_and_checkpoints(tmp_path, folder, name):
    with tarfile.open(tmp_path / "records.tar.1", "w") as tar:
        tar.addfile(tarfile.TarInfo(f"good-{'0' * 12}.npz"), io.BytesIO())
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(ValueError, match="which is no record, part or checkpoint"):
        packs.unpack(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--budget", "0"], "--budget is how many seconds there are, more than 0; got 0"),
        (["--budget", "9", "--scheduler", "tcp://127.0.0.1:1"], "--jobs and --budget are for this machine"),
        (["--into", "."], ". is not empty: name a folder for the pack that is, or that is not there yet"),
        (["--into", f"{__file__}/x"], "/x cannot be written ("),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(folder, capsys, arguments, told):
    assert main(["record", "first", *arguments]) == 1
    assert told in capsys.readouterr().err
    assert not folder.exists()
