"""Records made in parts: the same bits as in one piece, through kills of workers and clients; what cannot be is refused."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import dask
import psutil
import pytest
import torch
from distributed import LocalCluster

from fa_core import cluster, experiments, provenance, records, training
from fa_core.__main__ import main
from fa_core.experiments import Experiment
from tests.helpers import linear_experiment, made, recorded_as, same
from tests.watched import watched

# On a busy machine Dask's nanny warns of its own slow start.
pytestmark = pytest.mark.filterwarnings("ignore:Creating scratch directories is taking:UserWarning")

ROOT = Path(__file__).parents[1]
OPTIONS = {"device": "cpu", "every": 0}  # a checkpoint after every chunk of examples; the experiment has three
PATIENT = OPTIONS | {"timeout": 120}  # as a client of the cluster


def ran(folder: Path) -> list[tuple[int, int]]:
    """What `train` logged: first seeds, and how many examples had been seen."""
    log = folder / "log"
    return [(int(r.split()[0]), int(r.split()[1])) for r in log.read_text().splitlines()] if log.exists() else []


def in_one_piece(experiment: Experiment) -> training.History:
    """What one process gives that runs all seeds together."""
    return training.train(experiment, device="cpu")


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """One thread here, as in the workers, so that results can be compared bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    return tmp_path


def only(outcomes) -> cluster.Outcome:
    (outcome,) = list(outcomes)
    return outcome


def is_whole(experiment: Experiment, parts: int = 3) -> None:
    """The record is there, with the bits of a run in one piece, and says truly how it was made; no part is left."""
    result = records.load(experiment)
    assert same(result.history, in_one_piece(experiment))
    about = result.about
    seeds = list(dict.fromkeys(tuple(s["seeds"]) for s in about["stretches"]))  # a part that was killed has several
    assert [s for part in seeds for s in part] == list(experiment.seeds)
    assert len(seeds) == parts
    assert about["wall_seconds"] == pytest.approx(sum(s["seconds"] for s in about["stretches"]), abs=0.2)
    assert {s["threads"] for s in about["stretches"]} == {about["threads"]} == {1}
    assert {s["device"] for s in about["stretches"]} == {about["device"]} == {records.machine()["device"]}
    assert about["versions"] == records.machine()["versions"]
    assert about["commit"] == provenance.commit()
    assert not cluster.folder().exists()


# ---- parts


def test_every_experiment_is_split_as_its_trainer_groups_its_seeds():
    for experiment in experiments.registry().values():
        parts = cluster.split(experiment)
        assert tuple(s for p in parts for s in p.seeds) == experiment.seeds
        for part in parts:
            assert cluster.split(part) == [part], "is not split further"


def test_large_networks_are_split_by_seed_and_small_ones_run_together():
    small = linear_experiment()
    assert cluster.split(small) == [small]
    large = linear_experiment(sizes=(400, 300, 10))
    assert [p.seeds for p in cluster.split(large)] == [(0,), (1,), (2,)]


def test_the_runs_of_which_snapshots_are_kept_are_counted_from_the_first_seed_of_the_whole():
    kept = [p.snapshot_runs for p in cluster.split(watched(0))]
    assert kept == [2, 1, 0]
    assert [p.snapshot_runs for p in cluster.split(watched(0, snapshot_runs=None))] == [None] * 3


# ---- in this process


def one_part_failed(folder):
    """An experiment of which the second of three parts was told to fail; it would not fail again."""
    experiment = watched(0)
    (folder / "fail-2").touch()
    only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    (folder / "fail-2").unlink()
    (folder / "log").unlink()
    return experiment


def test_a_record_of_parts_has_the_bits_of_one_in_one_piece(folder):
    experiment = watched(0)
    outcome = only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    assert (outcome.file, outcome.error, outcome.parts) == (records.path(experiment), None, 3)
    assert ran(folder) == [(0, 0), (2, 0), (4, 0)]
    is_whole(experiment)


def test_what_there_is_a_record_of_is_kept_unless_it_is_to_be_remade(folder):
    experiment = watched(0)
    recorded_as(experiment, experiment.but(rate=0.001))
    before = records.path(experiment).read_bytes()
    outcome = only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    assert outcome.parts == 0
    assert records.path(experiment).read_bytes() == before
    only(cluster.record([experiment], cluster.Here(**OPTIONS), remake=True))
    is_whole(experiment)


def test_one_part_that_fails_leaves_the_others_and_the_other_experiments(folder):
    bad, good = watched(0), watched(5)
    (folder / "fail-2").touch()
    outcomes = {o.experiment: o for o in cluster.record([bad, good], cluster.Here(**OPTIONS))}
    assert str(outcomes[bad].error) == (
        "failed as it was told to (of 3 parts 2 kept whole and 0 up to a checkpoint: the same command goes on from there)"
    )
    assert records.path(good).exists()
    (folder / "fail-2").unlink()
    (folder / "log").unlink()
    only(cluster.record([bad], cluster.Here(**OPTIONS)))
    assert ran(folder) == [(2, 0)]
    is_whole(bad)


def test_a_damaged_checkpoint_is_not_told_to_be_gone_on_with(folder):
    experiment = watched(0)
    checkpoint = cluster.part_files(cluster.split(experiment)[0])[1]
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"damaged")
    told = str(only(cluster.record([experiment], cluster.Here(**OPTIONS))).error)
    assert "is damaged" in told
    assert "delete it to start again" in told
    assert "goes on from there" not in told


def test_a_damaged_part_runs_again_and_what_was_half_written_is_removed(folder):
    experiment = one_part_failed(folder)
    file = records.path(cluster.split(experiment)[0], cluster.folder())
    file.write_bytes(file.read_bytes()[:500])
    file.with_name(f".{file.name}.{16 * '0'}").touch()  # where `write_atomically` writes
    only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    assert ran(folder) == [(0, 0), (2, 0)]
    is_whole(experiment)


def test_a_client_that_died_just_before_the_end_needs_no_worker(folder):
    experiment = watched(0)
    for part in cluster.split(experiment):
        cluster.train_part(part, **OPTIONS)
    (folder / "log").unlink()
    outcome = only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    assert outcome.parts == 0
    assert ran(folder) == []
    is_whole(experiment)


def test_a_record_says_where_its_parts_were_made_differently():
    experiment = watched(0)
    results = [
        records.Result(
            p,
            None,
            made(
                p,
                seconds=60.0 * (i + 1),
                commit="abc" if i else "def",
                threads=i % 2 + 1,
                device="an abacus",
                versions={"torch": f"2.{i // 2}", "numpy": "2", "python": "3"},
            ),
            "record",
        )
        for i, p in enumerate(cluster.split(experiment))
    ]
    about = cluster.about(experiment, results)
    assert about["wall_seconds"] == 360.0
    assert about["commit"] == "def; abc"
    assert about["threads"] == "1; 2"
    assert about["device"] == "an abacus"
    assert about["versions"] == {"torch": "2.0; 2.1", "numpy": "2", "python": "3"}


def test_parts_of_other_sources_are_not_joined_unless_asked_for(folder, monkeypatch):
    experiment = one_part_failed(folder)
    monkeypatch.setattr(provenance, "sources", lambda e: {"fa_core.rules": "0" * 12})
    outcome = only(cluster.record([experiment], cluster.Here(**OPTIONS)))
    assert f"2 parts in {cluster.folder()} were made by other sources than today's" in str(outcome.error)
    assert ran(folder) == []
    assert only(cluster.record([experiment], cluster.Here(**OPTIONS, mixed=True))).error is None
    assert "MIXED: sources: " in records.load(experiment).caption()


def test_runs_that_diverged_in_a_worker_are_told_of():
    with pytest.MonkeyPatch.context() as m:
        m.setattr(records, "save", lambda *_: Path())
        part = linear_experiment()
        result = records.run(part, device="cpu")
        result.history.diverged[1] = 100
        with pytest.warns(training.DivergenceWarning, match="test-linear: 1 of 3 runs diverged"):
            cluster._finish(part, [result], cluster.Here(), 1)


def test_a_part_is_run_on_the_threads_that_are_asked_for(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    one, two, _ = cluster.split(watched(0))
    record = records.record
    monkeypatch.setattr(records, "record", lambda *a, **options: asked.append("ran") or record(*a, **options))
    result = cluster.train_part(one, threads=7, **OPTIONS)
    assert asked == [7, "ran"]
    assert result.about["threads"] == torch.get_num_threads(), "what is so, not what was asked for"
    cluster.train_part(two, **OPTIONS)
    assert asked == [7, "ran", "ran"]
    assert cluster.Processes(2).options["threads"] == 1


# ---- in processes


def test_a_process_that_is_killed_costs_its_unfinished_stretch_and_the_same_call_goes_on(folder):
    experiment = watched(0)
    (folder / "kill-4").touch()
    torch.set_num_threads(2)  # of this process: no matter, the others have one each
    outcome = only(cluster.record([experiment], cluster.Processes(2, **OPTIONS)))
    torch.set_num_threads(1)
    assert str(os.getpid()) not in {r.split()[2] for r in (folder / "log").read_text().splitlines()}
    assert "a worker process died" in str(outcome.error)
    assert "up to a checkpoint: the same command goes on from there" in str(outcome.error)
    finished = {p.seeds[0] for p in cluster.split(experiment) if cluster.stored(p)}
    assert finished <= {0, 2}
    assert finished, "the third part began when one of the first two was finished"
    (folder / "log").unlink()
    only(cluster.record([experiment], cluster.Here(**OPTIONS)))  # as processes would, and quicker than to start them
    again = dict(ran(folder))
    assert again.keys() == {0, 2, 4} - finished
    assert again[4] == 1000, "from its checkpoint"
    is_whole(experiment)


# ---- on a Dask cluster of worker processes on this machine


@pytest.fixture(scope="module")
def workers_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def local(workers_folder):
    """Two worker processes with a thread each, each with a nanny that starts another where one dies."""
    patience = {f"distributed.comm.timeouts.{k}": "120s" for k in ("connect", "tcp")}
    environment = {records.ENVIRONMENT: str(workers_folder), "OMP_NUM_THREADS": "1"}
    with (
        dask.config.set(patience),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address=":0",
            host="127.0.0.1",
            env=environment,
        ) as running,
    ):
        yield running


@pytest.fixture
def shared(local, workers_folder, monkeypatch):
    """The client's folder is the workers' own, as on a shared file system."""
    monkeypatch.setenv(records.ENVIRONMENT, str(workers_folder))
    (workers_folder / "log").unlink(missing_ok=True)
    return workers_folder


def test_a_worker_that_is_killed_costs_its_unfinished_stretch(shared, local):
    experiment = watched(0)
    (shared / "kill-2").touch()
    with cluster.Cluster(local.scheduler_address, **PATIENT) as workers:
        outcome = only(cluster.record([experiment], workers))
    assert outcome.error is None
    assert not (shared / "kill-2").exists(), "one was killed"
    assert sorted(ran(shared)) == [(0, 0), (2, 0), (2, 1000), (4, 0)]
    rows = [r.split() for r in (shared / "log").read_text().splitlines() if r.startswith("2 ")]
    assert rows[0][2] != rows[1][2], "another process went on from the checkpoint"
    is_whole(experiment)


def test_workers_whose_folder_is_their_own_send_parts_that_are_kept_here(folder, local, workers_folder):
    experiment = watched(10)
    (workers_folder / "fail-12").touch()
    with cluster.Cluster(local.scheduler_address, **PATIENT) as workers:
        outcome = only(cluster.record([experiment], workers))
        assert "failed as it was told to (of 3 parts 2 kept whole" in str(outcome.error)
        kept = [cluster.stored(p) is not None for p in cluster.split(experiment)]
        assert kept == [True, False, True]
        (workers_folder / "fail-12").unlink()
        for part in (workers_folder / "parts").glob("watched-*"):
            part.unlink()  # as if another worker came
        (workers_folder / "log").unlink()
        only(cluster.record([experiment], workers))
    assert ran(workers_folder) == [(12, 0)]
    is_whole(experiment)
    assert not (workers_folder / "parts").exists(), "the workers need keep nothing"


def test_what_is_finished_when_the_client_is_killed_is_not_run_again(shared, local):
    experiment = watched(20)
    program = textwrap.dedent(f"""
        import os, signal
        from fa_core import cluster
        from tests.watched import watched
        outcome = cluster._outcome
        def take_one_and_die(call):
            result = outcome(call)
            print(result.experiment.seeds[0], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        cluster._outcome = take_one_and_die
        with cluster.Cluster({local.scheduler_address!r}, **{PATIENT}) as workers:
            list(cluster.record([watched(20)], workers))
    """)
    killed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    assert killed.returncode == -signal.SIGKILL
    first = int(killed.stdout)
    with cluster.Cluster(local.scheduler_address, **PATIENT) as workers:
        outcome = only(cluster.record([experiment], workers))
    assert outcome.parts < 3
    assert [row for row in ran(shared) if row[0] == first] == [(first, 0)]
    is_whole(experiment)


def test_workers_of_another_source_or_version_are_refused(shared, local, monkeypatch):
    here = cluster.own_identity()
    assert here.keys() == {"fa_core", "source of fa_core", "python", "torch", "numpy", "numba"}
    true = records.machine
    cluster.own_identity.cache_clear()
    with monkeypatch.context() as m:
        m.setattr(records, "machine", lambda: {"versions": true()["versions"] | {"torch": "1.0"}})
        with pytest.raises(
            cluster.ClusterError,
            match=r"the worker tcp://\S+ has torch \S+ where the client has 1\.0: the "
            r"bits could differ\. Bring client and workers to the same commit",
        ):
            cluster.Cluster(local.scheduler_address, **PATIENT)
    cluster.own_identity.cache_clear()
    # A worker that joins later is not seen by the client: it looks for itself.
    with pytest.raises(cluster.ClusterError, match=f"the worker on {os.uname().nodename} has source of fa_core"):
        cluster.train_part(watched(0).but(seeds=(0,)), identity=here | {"source of fa_core": "other", "torch": "1.0"})
    assert ran(shared) == []


def test_the_command_runs_on_a_cluster_and_ends_with_a_summary(shared, local, monkeypatch, capsys):
    experiment = watched(30)
    monkeypatch.setattr(experiments, "registry", lambda recorded=False: {"watched": experiment})
    local.wait_for_workers(2)  # another test may have killed one
    assert main(["record", "watched", "--scheduler", local.scheduler_address, "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{records.path(experiment)}\n"
    heading, row, total = shown.err.splitlines()[-3:]
    assert heading.split() == ["experiment", "seeds", "minutes", "device"]
    minutes = f"{records.load(experiment).about['wall_seconds'] / 60:.1f}"
    assert row.split()[:3] == ["watched", "5", minutes]
    assert row.endswith(f"{records.machine()['device']}  3 parts")
    assert total == f"{minutes} minutes of machine time, by {local.scheduler_address}, 2 workers"
    is_whole(experiment)


def test_a_scheduler_that_dies_loses_no_finished_part_and_is_named(folder, local, workers_folder, monkeypatch):
    # What Dask's client raises once it has given up, without the half minute that it takes to.
    experiment = watched(40)
    with cluster.Cluster(local.scheduler_address, **PATIENT) as workers:

        def gone(*_, **__):
            raise OSError("timed out")

        def die_after_one(parts, run=workers.run):
            yield next(outcomes := run(parts))
            for part, _ in outcomes:
                yield part, CancelledError("scheduler-connection-lost")
            monkeypatch.setattr(workers.client, "nthreads", gone)

        monkeypatch.setattr(workers, "run", die_after_one)
        outcome = only(cluster.record([experiment], workers))
        assert str(outcome.error).startswith("scheduler-connection-lost (of 3 parts 1 kept whole")
        assert cluster.summary([outcome], str(workers)).splitlines()[1:] == [
            "watched                            5        -  FAILED",
            f"0.0 minutes of machine time, by {local.scheduler_address}, which no longer answers",
        ]
    shutil.rmtree(workers_folder / "parts")  # which nobody told the workers to forget


def altered(folder: Path, change: str) -> dict:
    """The environment of a process whose fa_core has a line more; of tests it has those of here."""
    shutil.copytree(ROOT / "fa_core", folder / "fa_core", ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "fa_core" / "__init__.py", "a") as file:
        file.write(f"{change}\n")
    (folder / "tests").symlink_to(ROOT / "tests")
    return os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("# another comment", "has source of fa_core "),
        ("raise ImportError('not here')", "cannot load fa_core as it is here (ImportError('not here'))"),
    ],
)
def test_a_worker_of_another_version_that_comes_later_is_turned_away_and_its_parts_go_elsewhere(
    shared, local, tmp_path, capsys, change, says
):
    command = [
        sys.executable,
        "-c",
        "from distributed.cli.dask_worker import main; main()",
        local.scheduler_address,
        "--nthreads",
        "8",
        "--no-dashboard",
        "--local-directory",
        str(tmp_path),
        "--death-timeout",
        "600",
    ]
    local.wait_for_workers(2)
    with cluster.Cluster(local.scheduler_address, **PATIENT) as workers:
        late = subprocess.Popen(
            command, env=altered(tmp_path, change), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            workers.client.wait_for_workers(3, timeout=600)
            (address,) = workers.workers().keys() - workers.known
            outcomes = list(cluster.record([watched(50), watched(60)], workers, remake=True))
            where = str(workers)
            late.wait(300)
        finally:
            late.kill()
            late.wait()
    assert [o.error for o in outcomes] == [None, None]
    assert where.startswith(f"{local.scheduler_address}, 2 workers\nturned away: the worker {address} {says}")
    assert f"the worker {address} {says}" in capsys.readouterr().err, "at once, too"
    for experiment in (watched(50), watched(60)):
        is_whole(experiment)


# ---- stopped


def alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize(
    ("jobs", "number"),
    [(1, signal.SIGTERM), (2, signal.SIGINT), (2, signal.SIGKILL)],
    ids=["one process, SIGTERM", "two, Ctrl-C", "two, SIGKILL"],
)
def test_a_command_that_is_stopped_leaves_no_process_begins_nothing_more_and_says_what_is_kept(folder, jobs, number):
    experiment = watched(0)
    for seed in (2, 4):
        (folder / f"wait-{seed}").touch()
    program = textwrap.dedent(f"""
        import signal, sys
        from fa_core import experiments
        from fa_core.__main__ import main
        from tests.watched import watched
        experiments.registry = lambda recorded=False: {{"watched": watched(0)}}
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background takes away
        sys.exit(main(["record", "watched", "--jobs", "{jobs}", "--device", "cpu", "--dirty"]))
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        deadline = time.monotonic() + 600  # on a loaded machine torch alone takes minutes to import
        try:
            while len(ran(folder)) < 1 + jobs or not cluster.stored(cluster.split(experiment)[0]):
                assert time.monotonic() < deadline
                assert command.poll() is None, command.stderr.read()
                time.sleep(0.05)
            workers = {int(row.split()[2]) for row in (folder / "log").read_text().splitlines()}
            assert len(workers) == jobs
            command.send_signal(number)
            _, told = command.communicate(timeout=120)
        finally:
            command.kill()
    if number != signal.SIGKILL:
        assert command.returncode == 128 + number
        assert told.splitlines()[-1] == (
            "fa_core record: stopped; of 3 parts 1 kept whole and 0 up to a checkpoint: the same command goes on from there"
        )
        assert "Traceback" not in told
    while any(map(alive, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(ran(folder)) == 1 + jobs, "nothing was begun after it"
    for seed in (2, 4):
        (folder / f"wait-{seed}").unlink()
    (folder / "log").unlink()
    assert only(cluster.record([experiment], cluster.Here(**OPTIONS))).error is None
    assert ran(folder) == [(2, 0), (4, 0)]
    is_whole(experiment)


# ---- what is refused


def test_without_dask_the_command_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["record", "xor-small-backprop", "--scheduler", "tcp://127.0.0.1:1"]) == 1
    assert "fa_core record: a cluster needs Dask, which is not installed here: `pip install distributed`" in (
        capsys.readouterr().err
    )


def test_a_scheduler_that_is_not_there_is_named(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(cluster.ClusterError, match=f"no Dask scheduler answers at {address} .*Start one with"):
            cluster.Cluster(address, timeout=1)


@pytest.mark.parametrize("hangs_up", [False, True], ids=["silent", "hangs up"])
def test_what_is_no_scheduler_is_told_from_one_in_the_time_given(folder, hangs_up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        if hangs_up:
            threading.Thread(target=lambda: other.accept()[0].close()).start()
        with pytest.raises(cluster.ClusterError, match=f"no Dask scheduler answers at {address} .*Start one with"):
            cluster.Cluster(address, timeout=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"], "give one of them"),
        (["--jobs", "0"], "must be 1 or more"),
        (["--threads", "-1"], "must be 1 or more"),
        (["--scheduler", "nonsense://here"], "no Dask scheduler answers at nonsense://here"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(folder, capsys, arguments, message):
    assert main(["record", "xor-small-backprop", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(folder.iterdir()) == []
