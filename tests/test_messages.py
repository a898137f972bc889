"""What is said of input that cannot be used: what was given, what is wanted, what to do. Those of experiments, of the ledger
and of damaged data are tested beside what they are of."""

import json

import numpy as np
import pytest

from fa_core import experiments, files, provenance, records, spiking, training, verification
from fa_core.__main__ import main
from fa_core.data import backgrounds, mnist, svhn, timit
from fa_core.experiments import mnist as figure_3
from fa_core.experiments import spiking as figure_4
from tests.helpers import linear_experiment, recorded_as

SMALL = linear_experiment(examples=20, probes=(0, 20), seeds=(0,))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(provenance, "commit", lambda: "0123456789ab")
    monkeypatch.setattr(experiments, "registry", lambda recorded=False: {"small": SMALL})
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "smallest"], "no experiment is named 'smallest'; did you mean small? `fa_core list` shows all 1"),
        (["record", "x*"], "no experiment's name fits 'x*'; `fa_core list` shows all 1"),
        (["record", "[a]"], "no experiment's name fits '[a]'"),
        (["record", ""], "no experiment is named ''"),
        (
            ["record", "small", "--device", "gpu"],
            "is not there; on this machine torch sees: cpu, and no GPU, which would be cuda",
        ),
        (["record", "small", "--device", "cuda:99"], "device 'cuda:99' is not there; on this machine torch sees: cpu"),
        (["record", "small", "--device", "meta"], "device 'meta' is not there"),
        (["record", "small", "--device", ""], "device '' is not there"),
        (["record", "small", "--scheduler", ""], "no Dask scheduler answers at "),
        (["record", "small", "--scheduler", "localhost"], "(missing port number in address 'localhost'). Start one with"),
        (["record", "small", "--scheduler", "localhost:1"], "no Dask scheduler answers at localhost:1 ([Errno 111]"),
        (["verify", "--seeds", "0"], "--seeds is how many of a record's seeds are run again, 1 or more; got 0"),
        (["verify", "--minutes", "-1"], "--minutes is about how long to verify, more than 0; got -1"),
        (["verify", "--minutes", "nan"], "--minutes is about how long to verify, more than 0; got nan"),
        (["verify"], "holds no record of any experiment; FA_CORE_RECORDS names another folder"),
        (["verify", "small"], "no record "),
        (["run", "02"], "no notebook '02'; there are: 01_random_feedback, 02_linear"),
        (["run", "02_linear", "--jobs", "0"], "--jobs is the number of notebooks side by side, 1 or more; got 0"),
        (["run", "02_linear", "-p", "seed", "3"], "02_linear has no parameter seed; it has: profile = 'paper'"),
        (["build", "--source", "nowhere"], "no notebooks in nowhere/notebooks: `python -m fa_core run` lays out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_cannot_be_done_says_why_and_what_to_do(folder, capsys, arguments, says):
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert not list(folder.glob("*.npz"))


@pytest.mark.parametrize(
    "call",
    [
        records.load,
        records.get,
        records.run,
        records.record,
        verification.verify,
        verification.spot_check,
        training.train,
        spiking.train,
    ],
    ids=lambda call: f"{call.__module__}.{call.__name__}",
)
def test_a_name_for_an_experiment_is_refused_with_how_to_get_one(call):
    with pytest.raises(TypeError, match=r"an experiment is wanted, and this is 'small': `fa_core.experiments.find\(name\)`"):
        call("small")


def test_an_experiment_of_the_other_kind_is_refused_with_what_trains_it():
    with pytest.raises(TypeError, match=r"fig4-reduced is no Experiment: it is trained by fa_core\.spiking, or by rec"):
        training.train(figure_4.REDUCED)
    with pytest.raises(TypeError, match=r"mnist-backprop is no SpikingExperiment: it is trained by fa_core\.training"):
        spiking.train(figure_3.BACKPROP)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS: `git lfs pull` fetches"),
        (b"<!DOCTYPE html>", "it is no .npz, which begins with b'PK' and not b'<!DOCTYPE ht'"),
        (b"PK\3\4" + bytes(100), "it is cut or overwritten"),
        ({"a": np.array([{}], dtype=object)}, "it holds Python objects, wanted are arrays of numbers and text alone"),
        (None, "it is a folder, wanted is a file"),
    ],
    ids=["empty", "Git LFS", "a page", "cut", "pickled", "a folder"],
)
def test_a_file_that_is_no_record_or_checkpoint_is_described(folder, content, says):
    file = records.path(SMALL)
    if content is None:
        file.mkdir()
    elif isinstance(content, dict):
        np.savez(file, **content)
    else:
        file.write_bytes(content)
    with pytest.raises(records.RecordError) as error:
        records.load(SMALL)
    assert says in str(error.value)
    assert "or remake it with `records.record(experiment, remake=True)`" in str(error.value)
    with pytest.raises(training.CheckpointError) as error:
        training.load_checkpoint(file, SMALL)
    assert says in str(error.value)
    assert "delete it to start again, or give another path" in str(error.value)


def test_arrays_without_what_makes_them_a_record_or_a_checkpoint(folder):
    np.savez(records.path(SMALL), a=1)
    with pytest.raises(records.RecordError, match=r"is damaged \(it has no 'about'\): restore it"):
        records.load(SMALL)
    with pytest.raises(
        training.CheckpointError, match=r"is damaged \(it is no checkpoint of this version, it has no 'digest'\): delete it"
    ):
        training.load_checkpoint(records.path(SMALL), SMALL)


@pytest.mark.parametrize("line", ["{", "[]", "{}", json.dumps({"record": "small"})])
def test_a_damaged_line_of_what_was_verified_is_named(folder, line):
    recorded_as(SMALL, SMALL)
    verification.write_down(records.load(SMALL), 20)
    good = verification.file().read_text()
    verification.file().write_text(f"{good}{line}\n")
    with pytest.raises(records.RecordError, match=r"verified.jsonl, line 2: .* does not say which record was verified"):
        verification.verified()
    verification.file().write_text(good)
    assert len(verification.verified()) == 1


@pytest.mark.parametrize(
    ("environment", "load"),
    [
        (records.ENVIRONMENT, lambda: records.load(SMALL)),
        (mnist.ENVIRONMENT, mnist.load),
        (svhn.ENVIRONMENT, svhn.load),
        (timit.ENVIRONMENT, timit.load),
        (backgrounds.ENVIRONMENT, backgrounds.load),
    ],
    ids=["records", "MNIST", "SVHN", "TIMIT", "backgrounds"],
)
def test_a_variable_that_names_a_file_is_said_to_want_its_folder(folder, monkeypatch, environment, load):
    (folder / "data.gz").touch()
    monkeypatch.setenv(environment, str(folder / "data.gz"))
    with pytest.raises(ValueError, match=rf"{environment} is .*data.gz, a file: set it to the folder that holds"):
        load()


@pytest.mark.parametrize("data", [mnist, svhn, timit, backgrounds], ids=lambda module: module.__name__.rpartition(".")[2])
def test_an_empty_folder_of_data_is_named_with_what_to_put_there(folder, monkeypatch, data):
    monkeypatch.setenv(data.ENVIRONMENT, str(folder))
    with pytest.raises(Exception, match=rf"^no .* in {folder}") as error:
        data.load("train")
    assert type(error.value).__name__ == "DataError"
    assert data.ENVIRONMENT in str(error.value)
    with pytest.raises(ValueError, match="unknown split 'tset'; there are: train"):
        data.load("tset")


def test_reading_arrays_gives_them_back(folder):
    np.savez_compressed(folder / "a.npz", a=np.arange(3), b=np.array("text"))
    found = files.arrays(folder / "a.npz")
    assert found.keys() == {"a", "b"}
    assert found["a"].tolist() == [0, 1, 2]
    assert str(found["b"]) == "text"
