"""Records made in parts, side by side: in this process, in processes of this machine, or on a Dask cluster.

A part is some seeds of an experiment, as they would have run together anyway, so that the histories of the parts, joined
in the order of their seeds, are bit for bit the history of the whole at the same number of threads. Every worker keeps
its part's checkpoint, and then its result, in `parts/` of its folder of records; who asked for it keeps a copy of the
result in his own. What was finished is so never run again, whoever dies; what was not goes on from its checkpoint where
that can be seen (on the same machine, or in a shared folder), and else begins again.
"""

import functools
import glob
import hashlib
import importlib
import json
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

import fa_core
from fa_core import provenance, records
from fa_core.experiments import Experiment
from fa_core.threads import hold
from fa_core.training import (
    CheckpointError,
    DivergenceWarning,
    History,
    load_checkpoint,
    save_checkpoint,
    unpack_histories,
    unpack_stretches,
    write_atomically,
)


class ClusterError(RuntimeError):
    """Workers cannot be had, cannot be used, or died."""


@dataclass(frozen=True)
class Part:
    """Some seeds of an experiment: `experiment` is `whole` with these seeds alone."""

    whole: Experiment
    experiment: Experiment


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment: the file of its record and what that says of its making, or an error.

    `parts` were run now, on machines of the names `hosts`; none, where the record was there already.
    """

    experiment: Experiment
    file: Path | None = None
    about: dict | None = None
    error: Exception | None = None
    parts: int = 0
    hosts: tuple[str, ...] = ()


# ---- parts and their files


def split(experiment: Experiment) -> list[Part]:
    """An experiment in the groups of seeds that its trainer runs together."""
    trainer = importlib.import_module(experiment.trainer)
    return [Part(experiment, _of(experiment, seeds)) for seeds in trainer.groups(experiment)]


def _of(experiment: Experiment, seeds: tuple[int, ...]) -> Experiment:
    changes = {}
    if getattr(experiment, "snapshot_runs", None) is not None:  # they are counted from the first seed of the whole
        changes["snapshot_runs"] = sum(s in seeds for s in experiment.seeds[: experiment.snapshot_runs])
    return experiment.but(seeds=tuple(seeds), **changes)


def folder() -> Path:
    """Where parts are kept until the record is made."""
    return records.folder() / "parts"


def _files(part: Experiment) -> tuple[Path, Path]:
    """A part's result and its checkpoint."""
    result = records.path(part, folder())
    return result, result.with_suffix(".partial.npz")


def begun(experiment: Experiment) -> bool:
    """Whether anything is kept here of the parts of an experiment."""
    return any(file.exists() for p in split(experiment) for file in _files(p.experiment))


def forget(parts: Iterable[Experiment]) -> None:
    """Remove what is kept here of parts."""
    for part in parts:
        for file in (*_files(part), _files(part)[0].with_suffix(".lock")):
            file.unlink(missing_ok=True)
            for half_written in folder().glob(f".{glob.escape(file.name)}.*"):  # by a process that was killed meanwhile
                half_written.unlink(missing_ok=True)
    with suppress(OSError):  # not empty, or not there
        folder().rmdir()


def stored(part: Experiment) -> records.Result | None:
    """The result of a part that was finished earlier. A damaged one is removed: its part runs again."""
    try:
        return records.load(part, folder())
    except FileNotFoundError:
        return None
    except records.RecordError:
        _files(part)[0].unlink()
        return None


def other_sources(experiment: Experiment, results: dict[Part, records.Result], mixed: bool) -> str:
    """Why parts that were finished earlier are not to be joined with what would be made now; empty where they are."""
    today = provenance.sources(experiment)
    others = [p for p, r in results.items() if p.whole == experiment
              and any(s.get("sources") != today for s in r.about.get("stretches", [{}]))]
    if mixed or not others:
        return ""
    return (f"{len(others)} parts in {folder()} were made by other sources than today's, and a record of both would be of "
            "neither. Go on at the commit that they were made at, delete them, or give --mixed: the record then says so")


def take_over(experiment: Experiment) -> None:
    """Give to the parts the checkpoint that a run of the whole experiment left. Raises CheckpointError."""
    checkpoint = records.path(experiment).with_suffix(".partial.npz")
    saved = load_checkpoint(checkpoint, experiment)
    finished = unpack_histories(saved)
    parts = [p.experiment for p in split(experiment)]
    if not saved or any(tuple(h.seeds) != p.seeds for h, p in zip(finished, parts, strict=False)):
        return  # none, or of the days when other seeds ran together: a run of the whole goes on from it
    stretches = unpack_stretches(saved)  # of all of them: their seconds are to be counted once
    state = {k: v for k, v in saved.items() if k.startswith("state/")}
    for i, part in enumerate(parts):
        if any(file.exists() for file in _files(part)) or not (i < len(finished) or (i == len(finished) and state)):
            continue
        if i < len(finished):
            save_checkpoint(_files(part)[1], part, [finished[i]], stretches=stretches)
        else:
            facts = {"digest": np.array(part.digest), "stretches": np.array(json.dumps(stretches))}
            write_atomically(_files(part)[1], facts | state)
        stretches = [s | {"seconds": 0.0} for s in stretches]
    checkpoint.unlink()


# ---- what a worker does


def train_part(part: Experiment, *, device: str | None = None, threads: int | None = None, identity: dict | None = None,
               progress: bool | None = False, **options) -> tuple[records.Result, str]:
    """Run a part, or go on with it, or take its result if there is one; the result and the name of this machine.

    threads: that torch is to use; None leaves them. Raises ClusterError where versions are not those of `identity`.
    """
    if identity is not None:
        _same_versions(identity, own_identity(), f"the worker on {platform.node()}")
    use_threads(threads)
    if stored(part) is None:
        # Whoever is at it already was left over by a client that was killed, and will be done.
        records.record(part, device, progress=progress, within=folder(), wait=True, **options)
    return records.load(part, folder()), platform.node()


def use_threads(threads: int | None) -> None:
    """Let torch use so many threads in this process; None leaves them."""
    import torch

    if threads:
        torch.set_num_threads(threads)


@functools.cache
def own_identity() -> dict[str, str]:
    """What the bits of a result may depend on, of this process: fa_core's source and the versions beside it."""
    package = Path(fa_core.__file__).parent
    source = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        source.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    versions = {k: v.split("+")[0] for k, v in records.machine()["versions"].items()}  # torch: with CUDA or without
    versions["python"] = ".".join(versions["python"].split(".")[:2])
    return {"fa_core": fa_core.__version__, "source of fa_core": source.hexdigest()[:12]} | versions


def _same_versions(here: dict, there: dict, who: str) -> None:
    differ = [f"{k} {there.get(k)} where the client has {v}" for k, v in here.items() if there.get(k) != v]
    if differ:
        raise ClusterError(f"{who} has {', '.join(differ)}: the bits could differ. Bring client and workers to the same "
                           "commit and to the versions of requirements.lock, and start the workers again")


# ---- where parts run


class Here:
    """This process, one part after the other. `options` are those of `train_part`."""

    def __init__(self, **options):
        self.options = options

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __str__(self):
        return "this process"

    def run(self, parts: list[Part]) -> Iterator[tuple[Part, tuple[records.Result, str] | Exception]]:
        """Parts as they end, each with what `train_part` gave, or with the exception that it raised."""
        for part in parts:
            yield part, _outcome(functools.partial(train_part, part.experiment, **self.options))

    def forget(self, parts: list[Experiment]) -> None:
        """Remove what is kept of parts."""
        forget(parts)


class Processes(Here):
    """So many processes of this machine. A process that dies takes down the others: the parts left raise ClusterError."""

    def __init__(self, jobs: int, threads: int = 1, **options):
        super().__init__(threads=threads, **options)
        self.jobs = jobs

    def __str__(self):
        return f"{self.jobs} processes of this machine"

    def run(self, parts):
        hold(self.options["threads"])  # before the workers load NumPy and torch
        pool = ProcessPoolExecutor(min(self.jobs, len(parts)), mp_context=get_context("spawn"))
        try:
            running = {pool.submit(train_part, p.experiment, **self.options): p for p in parts}
            for done in as_completed(running):
                yield running[done], _outcome(done.result)
        finally:
            pool.shutdown(cancel_futures=True)


class Cluster(Here):
    """The workers of the Dask scheduler at an address; each runs as many parts at once as it has threads.

    Raises ClusterError where Dask is not installed, no scheduler answers within `timeout` seconds, or a worker is of
    other versions. Waits for a first worker. When a worker dies, Dask gives its part to another, three times.
    """

    def __init__(self, address: str, threads: int = 1, timeout: float = 30, **options):
        super().__init__(threads=threads, identity=own_identity(), **options)
        try:
            from distributed import Client
        except ImportError as error:
            raise ClusterError("a cluster needs Dask, which is not installed here: `pip install distributed`, or "
                               f"fa_core with its extra [cluster] ({error})") from error
        try:
            self.client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address} ({error}). Start one with `dask scheduler`, and "
                               "give the address that it prints, such as tcp://192.0.2.1:8786") from error
        self.address = address
        try:
            self.check()
        except BaseException:
            self.client.close()
            raise

    def check(self) -> None:
        """Wait for a worker; raises ClusterError if one there is could not give the same bits."""
        if not self.workers():
            print(f"{self.address} has no workers yet: waiting for the first (`dask worker {self.address} --nthreads 1`)",
                  file=sys.stderr, flush=True)
            self.client.wait_for_workers(1)
        for worker, there in self.client.run(own_identity, on_error="return").items():
            if isinstance(there, BaseException):
                raise ClusterError(f"the worker {worker} cannot load fa_core as it is here ({there!r}): install the same "
                                   "commit there, and start the worker again") from there
            _same_versions(self.options["identity"], there, f"the worker {worker}")

    def workers(self) -> dict:
        """The workers there are: their threads, by address."""
        return self.client.nthreads()

    def __exit__(self, *_):
        self.client.close()

    def __str__(self):
        try:
            count = len(self.workers())
        except (OSError, ValueError):
            return f"{self.address}, which no longer answers"
        return f"{self.address}, {count} worker{'s' * (count != 1)}"

    def run(self, parts):
        from distributed import as_completed as completed

        running = {self.client.submit(train_part, p.experiment, **self.options, pure=False): p for p in parts}
        for done in completed(list(running), loop=self.client.loop):
            yield running.pop(done), _outcome(done.result)

    def forget(self, parts):
        forget(parts)
        with suppress(Exception):  # the record is made; what a worker cannot remove does no harm
            self.client.run(forget, parts, on_error="ignore")  # where the folder is each worker's own


def _outcome(call):
    try:
        return call()
    except BrokenProcessPool:
        return ClusterError("a worker process died: killed by hand, or by the system for want of memory")
    except Exception as error:  # the other parts go on
        return error


# ---- records


def record(experiments: Iterable[Experiment], workers: Here, remake: bool = False,
           progress: bool | None = None) -> Iterator[Outcome]:
    """Make records in parts, or keep those there are; outcomes as experiments end, the errors among them.

    The same call, after whatever kill, goes on: finished parts are kept, others have their checkpoints.
    progress: True shows a bar of the parts, False none, None one if standard error is a terminal.
    """
    with ExitStack() as locks:
        yield from _record(experiments, workers, remake, progress, locks)


def _record(experiments, workers, remake, progress, locks) -> Iterator[Outcome]:
    results: dict[Part, records.Result] = {}
    waiting: dict[Experiment, list[Part]] = {}
    for experiment in dict.fromkeys(experiments):
        try:
            if records.path(experiment).exists() and not remake:
                yield Outcome(experiment, records.path(experiment), records.load(experiment).about)
                continue
            locks.enter_context(records.alone(experiment))
            take_over(experiment)
        except (records.RecordError, CheckpointError, OSError) as error:
            yield Outcome(experiment, error=error)
            continue
        waiting[experiment] = split(experiment)
        results |= {p: found for p in waiting[experiment] if (found := stored(p.experiment))}
        if told := other_sources(experiment, results, workers.options.get("mixed", False)):
            yield Outcome(experiment, error=ClusterError(told))
            results = {p: r for p, r in results.items() if p.whole != experiment}
            del waiting[experiment]
    left = [p for parts in waiting.values() for p in parts if p not in results]
    for experiment, parts in waiting.items():
        if all(p in results for p in parts):  # the client died just before the end
            yield _finish(experiment, [results[p] for p in parts], workers, 0, set())
    errors: dict[Experiment, list[Exception]] = {}
    ended: dict[Experiment, int] = {}
    hosts: dict[Experiment, set[str]] = {}
    with tqdm(total=len(results) + len(left), initial=len(results), desc="parts", unit="part",
              disable=None if progress is None else not progress) as bar:
        for part, outcome in workers.run(left) if left else ():
            whole, parts = part.whole, waiting[part.whole]
            try:
                if isinstance(outcome, Exception):
                    raise outcome
                results[part], host = outcome
                hosts.setdefault(whole, set()).add(host)
                if not _files(part.experiment)[0].exists():  # the worker's folder is another
                    records.save(part.experiment, results[part].history, results[part].about, folder())
            except Exception as error:
                errors.setdefault(whole, []).append(error)
            bar.update()
            bar.set_postfix_str(whole.name)
            ended[whole] = ended.get(whole, 0) + 1
            if ended[whole] < sum(p.whole == whole for p in left):
                continue
            if whole not in errors:
                yield _finish(whole, [results[p] for p in parts], workers, ended[whole], hosts[whole])
            else:
                told = "; ".join(dict.fromkeys(str(e) or repr(e) for e in errors[whole]))
                kept = sum(p in results or stored(p.experiment) is not None for p in parts)
                error = ClusterError(f"{told} ({kept} of {len(parts)} parts are kept: the same command goes on from there)")
                error.__cause__ = errors[whole][0]
                yield Outcome(whole, error=error, parts=ended[whole], hosts=tuple(sorted(hosts.get(whole, ()))))


def record_whole(experiments: Iterable[Experiment], here: Here, remake: bool = False) -> Iterator[Outcome]:
    """Make records one after the other in this process, each with a bar of its own; raises what goes wrong.

    An experiment is run as a whole, as `records.record` does, unless parts of it are kept.
    """
    use_threads(here.options.get("threads"))
    for experiment in experiments:
        if begun(experiment):
            for outcome in record([experiment], here, remake):
                if outcome.error:
                    raise outcome.error
                yield outcome
            continue
        there = records.path(experiment).exists() and not remake
        options = {k: v for k, v in here.options.items() if k != "threads"}
        file = records.record(experiment, remake=remake, **options)
        yield Outcome(experiment, file, records.load(experiment).about, parts=int(not there), hosts=(platform.node(),))


def _finish(experiment: Experiment, parts: list[records.Result], workers: Here, ran: int, hosts: set[str]) -> Outcome:
    facts, history = about(experiment, parts), History.join([p.history for p in parts])
    diverged = int((history.diverged >= 0).sum())
    if diverged:  # a worker's own warning is seen by nobody
        told = f"{experiment.name}: {diverged} of {len(history.seeds)} runs diverged"
        warnings.warn(told, DivergenceWarning, stacklevel=3)
    try:
        file = records.save(experiment, history, facts)
    except OSError as error:
        return Outcome(experiment, error=error, parts=ran)
    records.path(experiment).with_suffix(".partial.npz").unlink(missing_ok=True)
    workers.forget([p.experiment for p in parts])
    return Outcome(experiment, file, facts, parts=ran, hosts=tuple(sorted(hosts)))


def about(experiment: Experiment, parts: list[records.Result]) -> dict:
    """What a record says that was joined from parts: their stretches, each with the seeds of its part. `wall_seconds` is the
    sum of theirs: machine time, as if they had run one after the other."""
    stretches = [s | {"seeds": list(p.experiment.seeds)} for p in parts for s in p.about["stretches"]]
    facts = records.about(experiment, stretches) | {
        "parts": [{"seeds": list(p.experiment.seeds)} | {k: p.about[k] for k in ("wall_seconds", "device", "threads")}
                  for p in parts]}
    first = parts[0].about.get("first steps")  # they are of the first seed
    return facts | ({"first steps": first} if first else {})


def summary(outcomes: list[Outcome], where: str) -> str:
    """A table of what was made, by what, in how many minutes of machine time."""
    rows = [("experiment", "seeds", "minutes", "device", "")]
    for o in outcomes:
        seeds = str(len(o.experiment.seeds))
        if o.error is not None:
            rows.append((o.experiment.name, seeds, "-", "-", "FAILED"))
            continue
        on = f"{o.parts} part{'s' * (o.parts != 1)} on {', '.join(o.hosts)}" if o.parts else "was there"
        rows.append((o.experiment.name, seeds, f"{o.about['wall_seconds'] / 60:.1f}", o.about["device"], on))
    width = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) if i in (1, 2) else c.ljust(w) for i, (c, w) in enumerate(zip(r, width, strict=True)))
             for r in rows]
    total = sum(o.about["wall_seconds"] for o in outcomes if o.parts and not o.error) / 60
    return "\n".join([line.rstrip() for line in lines] + [f"{total:.1f} minutes of machine time, by {where}"])
