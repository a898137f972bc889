"""Records made in parts, side by side: in this process, in processes of this machine, or on a Dask cluster.

A part is some seeds of an experiment, as they would have run together anyway, so that the histories of the parts, joined
in the order of their seeds, are bit for bit the history of the whole at the same number of threads. Every worker keeps
its part's checkpoint, and then its result, in `parts/` of its folder of records; who asked for it keeps a copy of the
result in his own. What was finished is so never run again, whoever dies; what was not goes on from its checkpoint where
that can be seen (on the same machine, or in a shared folder), and else begins again.
"""

import functools
import hashlib
import importlib
import pickle
import platform
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

import fa_core
from fa_core import files, processes, provenance, records
from fa_core.experiments import Experiment
from fa_core.threads import hold
from fa_core.training import CheckpointError, DivergenceWarning, History, OutOfTime


class ClusterError(RuntimeError):
    """Workers cannot be had, cannot be used, or died."""


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment: the file of its record and what that says of its making, or an error.

    `parts` were run now; none, where the record was there already.
    """

    experiment: Experiment
    file: Path | None = None
    about: dict = field(default_factory=dict)
    error: Exception | None = None
    parts: int = 0


# ---- parts and their files


def split(experiment: Experiment) -> list[Experiment]:
    """An experiment in the groups of seeds that its trainer runs together."""
    trainer = importlib.import_module(experiment.trainer)
    return [_of(experiment, seeds) for seeds in trainer.groups(experiment)]


def _of(experiment: Experiment, seeds: tuple[int, ...]) -> Experiment:
    changes = {}
    if getattr(experiment, "snapshot_runs", None) is not None:  # they are counted from the first seed of the whole
        changes["snapshot_runs"] = sum(s in seeds for s in experiment.seeds[: experiment.snapshot_runs])
    return experiment.but(seeds=tuple(seeds), **changes)


def folder() -> Path:
    """Where parts are kept until the record is made."""
    return records.folder() / "parts"


def part_files(part: Experiment) -> tuple[Path, Path]:
    """A part's result and its checkpoint."""
    result = records.path(part, folder())
    return result, records.checkpoint(result)


def forget(parts: Iterable[Experiment]) -> None:
    """Remove what is kept here of parts."""
    for part in parts:
        for file in (*part_files(part), part_files(part)[0].with_suffix(".lock")):
            file.unlink(missing_ok=True)
            files.sweep(file)
    with suppress(OSError):  # not empty, or not there
        folder().rmdir()


def stored(part: Experiment) -> records.Result | None:
    """The result of a part that was finished earlier. A damaged one is removed: its part runs again."""
    try:
        return records.load(part, folder())
    except FileNotFoundError:
        return None
    except records.RecordError:
        part_files(part)[0].unlink(missing_ok=True)
        return None


def kept(experiments: Iterable[Experiment]) -> str:
    """How much is kept here of experiments that are not finished, and what to do with it."""
    pairs = [part_files(part) for experiment in experiments for part in split(experiment)]
    finished = sum(result.exists() for result, _ in pairs)
    begun = sum(checkpoint.exists() and not result.exists() for result, checkpoint in pairs)
    if not finished and not begun:
        return f"of {len(pairs)} part{'s' * (len(pairs) != 1)} none was begun, or had a checkpoint yet"
    return (
        f"of {len(pairs)} part{'s' * (len(pairs) != 1)} {finished} kept whole and {begun} up to a checkpoint: the same "
        "command goes on from there"
    )


# ---- what a worker does


def train_part(
    part: Experiment,
    *,
    device: str | None = None,
    threads: int | None = None,
    identity: dict | None = None,
    progress: bool | None = False,
    until: float | None = None,
    **options: Any,
) -> records.Result:
    """Run a part, or go on with it, or take its result if there is one.

    threads: that torch is to use; None leaves them. until: as of `fa_core.training.train`. Raises ClusterError where
    versions are not those of `identity`, OutOfTime.
    """
    import torch

    if identity is not None and (told := _unlike(identity, own_identity())):
        raise ClusterError(f"the worker on {platform.node()} {told}")
    if threads:
        torch.set_num_threads(threads)
    if stored(part) is None:
        if until is not None and time.monotonic() >= until:
            raise OutOfTime("not begun: time was up")
        # Whoever is at it already was left over by a client that was killed, and will be done.
        records.record(part, device, progress=progress, within=folder(), wait=True, until=until, **options)
    return records.load(part, folder())


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


def _unlike(here: dict, there: dict | BaseException) -> str:
    """Why a worker that answered so could not give the bits of here, in words; empty where it would."""
    if isinstance(there, BaseException):
        return f"cannot load fa_core as it is here ({there}): install the same commit there"
    differ = [f"{k} {there.get(k)} where the client has {v}" for k, v in here.items() if there.get(k) != v]
    return (
        (
            f"has {', '.join(differ)}: the bits could differ. Bring client and workers to the same commit and to the "
            "versions of requirements.lock, and start the workers again"
        )
        if differ
        else ""
    )


# ---- where parts run


class Here:
    """This process, one part after the other. `options` are those of `train_part`."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __str__(self) -> str:
        return "this process"

    def run(self, parts: list[Experiment]) -> Iterator[tuple[Experiment, records.Result | Exception]]:
        """Parts as they end, each with what `train_part` gave, or with the exception that it raised. Where there are several
        and progress is to be shown, each is announced on standard error, with about how long it and the rest will take."""
        begun, done, left = time.perf_counter(), 0.0, sum(map(_work, parts))
        for count, part in enumerate(parts, start=1):
            if len(parts) > 1 and self.options.get("progress", False) is not False:
                took = time.perf_counter() - begun
                rest = f"; about {records.spell(took * left / done)} left" if done else ""
                seeds = ", ".join(map(str, part.seeds[:3])) + ", ..." * (len(part.seeds) > 3)
                print(
                    f"part {count} of {len(parts)}: {part.name}, seed{'s' * (len(part.seeds) > 1)} {seeds}{rest}",
                    file=sys.stderr,
                    flush=True,
                )
            outcome = _outcome(functools.partial(train_part, part, **self.options))
            left -= _work(part)
            done += 0.0 if isinstance(outcome, Exception) else _work(part)
            yield part, outcome

    def forget(self, parts: list[Experiment]) -> None:
        """Remove what is kept of parts."""
        forget(parts)


class Processes(Here):
    """So many processes of this machine. A process that dies takes down the others: the parts left raise ClusterError."""

    def __init__(self, jobs: int, threads: int = 1, **options: Any) -> None:
        super().__init__(threads=threads, **options)
        self.jobs = jobs

    def __str__(self) -> str:
        return f"{self.jobs} processes of this machine"

    def run(self, parts: list[Experiment]) -> Iterator[tuple[Experiment, records.Result | Exception]]:
        hold(self.options["threads"])  # before the workers load NumPy and torch
        with processes.pool(min(self.jobs, len(parts))) as pool:
            running = {pool.submit(train_part, part, **self.options): part for part in parts}
            for done in as_completed(running):
                yield running[done], _outcome(done.result)


class Cluster(Here):
    """The workers of the Dask scheduler at an address; each runs as many parts at once as it has threads.

    Raises ClusterError where Dask is not installed, no scheduler answers within `timeout` seconds, or a worker is of
    other versions. Waits for a first worker. One of other versions that comes later is turned away: it is told to leave,
    and its parts go elsewhere. When a worker dies, Dask gives its part to another, three times.
    """

    LOOK = 1.0  # seconds after which to look again who has come

    def __init__(self, address: str, threads: int = 1, timeout: float = 30, **options: Any) -> None:
        super().__init__(threads=threads, identity=own_identity(), **options)
        self.address = address
        self.known: set[str] = set()
        self.turned_away: list[str] = []
        try:
            from distributed import Client
            from distributed.comm import get_address_host_port
        except ImportError as error:
            raise ClusterError(
                "a cluster needs Dask, which is not installed here: `pip install distributed`, or "
                f"fa_core with its extra [cluster] ({error})"
            ) from error
        try:
            # Dask's client would go on trying until its timeout, and for ever where what is there is silent.
            with socket.create_connection(get_address_host_port(address), min(timeout, 5)) as probe:
                probe.settimeout(timeout)
                if not address.startswith("tls:") and not probe.recv(1):  # a scheduler speaks first
                    raise OSError("it hung up")
            self.client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address} ({error}). Start one with `dask scheduler`, and "
                "give the address that it prints, such as tcp://192.0.2.1:8786"
            ) from error
        try:
            if not self.workers():
                print(
                    f"{address} has no workers yet: waiting for the first (`dask worker {address} --nthreads 1`)",
                    file=sys.stderr,
                    flush=True,
                )
                self.client.wait_for_workers(1)
            if told := self.strangers():
                raise ClusterError("; ".join(told.values()))
        except BaseException:
            self.client.close()
            raise

    def workers(self) -> dict:
        """The workers there are: their threads, by address."""
        return self.client.nthreads()

    def strangers(self) -> dict[str, str]:
        """Those of the workers not seen before that could not give the same bits, and why, by address."""
        new = sorted(self.workers().keys() - self.known)
        answers = self.client.run(own_identity, workers=new, on_error="return") if new else {}
        answers = {worker: there for worker, there in answers.items() if not isinstance(there, OSError)}  # who has left
        self.known |= answers.keys()
        return {
            worker: f"the worker {worker} {told}"
            for worker, there in answers.items()
            if (told := _unlike(self.options["identity"], there))
        }

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def __str__(self) -> str:
        try:
            count = len(self.workers())
        except (OSError, ValueError):
            return f"{self.address}, which no longer answers"
        return "\n".join(
            [f"{self.address}, {count} worker{'s' * (count != 1)}", *(f"turned away: {told}" for told in self.turned_away)]
        )

    def run(self, parts: list[Experiment]) -> Iterator[tuple[Experiment, records.Result | Exception]]:
        executor, running = self.client.get_executor(pure=False), {}

        # A worker that could not load what Dask itself unpacks, these types too, would die of it.
        def unpack_and_run(packed: bytes) -> Any:
            import pickle

            part, options = pickle.loads(packed)
            from fa_core.cluster import train_part

            return train_part(part, **options)

        def begin(part: Experiment) -> None:
            packed = pickle.dumps((part, self.options))
            running[executor.submit(unpack_and_run, packed)] = part, len(self.turned_away)

        for part in parts:
            begin(part)
        while running:
            ended, _ = wait(running, self.LOOK, FIRST_COMPLETED)
            with suppress(OSError):  # a scheduler that is gone: Dask cancels what runs once it has given up
                strangers = self.strangers()
                self.turned_away += strangers.values()
                if strangers:
                    print(*strangers.values(), sep="\n", file=sys.stderr, flush=True)
                    self.client.retire_workers(list(strangers))
            for done in ended:
                part, before = running.pop(done)
                outcome = _outcome(done.result)
                if isinstance(outcome, Exception) and before < len(self.turned_away):
                    begin(part)  # perhaps it was theirs
                else:
                    yield part, outcome

    def forget(self, parts: list[Experiment]) -> None:
        forget(parts)
        with suppress(Exception):  # the record is made; what a worker cannot remove does no harm
            self.client.run(forget, parts, on_error="ignore")  # where the folder is each worker's own


def _work(part: Experiment) -> float:
    """How much there is to do, in a measure of its own: multiplications of weights."""
    weights = sum(a * b for a, b in pairwise(part.sizes))
    return float(weights * part.examples * len(part.seeds) * getattr(part, "steps", 1))


def _outcome(call: Callable[[], records.Result]) -> records.Result | Exception:
    try:
        return call()
    except BrokenProcessPool:
        return ClusterError("a worker process died: killed by hand, or by the system for want of memory")
    except CancelledError:
        return ClusterError("the scheduler was lost")
    except Exception as error:  # the other parts go on
        return error


# ---- records


def record(
    experiments: Iterable[Experiment], workers: Here, remake: bool = False, progress: bool | None = None
) -> Iterator[Outcome]:
    """Make records in parts, or keep those there are; outcomes as experiments end, the errors among them.

    The same call, after whatever kill, goes on: finished parts are kept, others have their checkpoints.
    progress: True shows a bar of the parts, False none, None one if standard error is a terminal.
    """
    parts: dict[Experiment, list[Experiment]] = {}
    found: dict[Experiment, records.Result | Exception] = {}  # by part
    with ExitStack() as locks:
        for experiment in dict.fromkeys(experiments):
            try:
                if records.path(experiment).exists() and not remake:
                    yield Outcome(experiment, records.path(experiment), records.load(experiment).about)
                    continue
                locks.enter_context(records.alone(experiment))
                mine = split(experiment)
                there = {part: result for part in mine if (result := stored(part))}
                _refuse_other(experiment, there.values(), workers.options.get("mixed", False))
            except (records.RecordError, ClusterError, OSError) as error:
                yield Outcome(experiment, error=error)
                continue
            parts[experiment] = mine
            found |= there
            if len(there) == len(mine):  # the client died just before the end
                yield _finish(experiment, list(there.values()), workers, 0)
        missing = {part: whole for whole in parts for part in parts[whole] if part not in found}
        with tqdm(
            total=len(found) + len(missing),
            initial=len(found),
            desc="parts",
            unit="part",
            disable=None if progress is None else not progress,
        ) as bar:
            for part, outcome in workers.run(list(missing)) if missing else ():
                found[part], whole = outcome, missing[part]
                bar.update()
                bar.set_postfix_str(whole.name)
                if isinstance(outcome, records.Result) and not part_files(part)[0].exists():
                    try:  # the worker's folder is another
                        records.save(part, outcome.history, outcome.about, folder())
                    except OSError as error:
                        found[part] = error
                if all(p in found for p in parts[whole]):
                    yield _finish(whole, [found[p] for p in parts[whole]], workers, list(missing.values()).count(whole))


def _refuse_other(experiment: Experiment, results: Iterable[records.Result], mixed: bool) -> None:
    """Raises ClusterError where parts were made by other sources than those that would make the rest now."""
    today = provenance.sources(experiment)
    others = sum(any(s.get("sources") != today for s in r.about.get("stretches", [{}])) for r in results)
    if others and not mixed:
        raise ClusterError(
            f"{others} parts in {folder()} were made by other sources than today's, and a record of both "
            "would be of neither. Go on at the commit that they were made at, delete them, or give --mixed: "
            "the record then says so"
        )


def _finish(experiment: Experiment, found: list[records.Result | Exception], workers: Here, ran: int) -> Outcome:
    if errors := [e for e in found if isinstance(e, Exception)]:
        told = "; ".join(dict.fromkeys(str(e) or repr(e) for e in errors))
        # What a refused checkpoint needs is said there, and it is not the same command again.
        refused = any(isinstance(e, CheckpointError) for e in errors)
        error = ClusterError(told if refused else f"{told} ({kept([experiment])})")
        error.__cause__ = errors[0]
        return Outcome(experiment, error=error, parts=ran)
    results = [r for r in found if isinstance(r, records.Result)]
    facts, history = about(experiment, results), History.join([r.history for r in results])
    if diverged := int((history.diverged >= 0).sum()):  # a worker's own warning is seen by nobody
        told = f"{experiment.name}: {diverged} of {len(history.seeds)} runs diverged"
        warnings.warn(told, DivergenceWarning, stacklevel=3)
    try:
        file = records.save(experiment, history, facts)
    except OSError as error:
        return Outcome(experiment, error=error, parts=ran)
    workers.forget([r.experiment for r in results])
    return Outcome(experiment, file, facts, parts=ran)


def about(experiment: Experiment, parts: list[records.Result]) -> dict:
    """What a record says that was joined from parts: their stretches, each with the seeds of its part. `wall_seconds` is the
    sum of theirs: machine time, as if they had run one after the other."""
    stretches = [s | {"seeds": list(p.experiment.seeds)} for p in parts for s in p.about["stretches"]]
    first = parts[0].about.get("first steps")  # they are of the first seed
    return records.about(experiment, stretches) | ({"first steps": first} if first else {})


def summary(outcomes: list[Outcome], where: str) -> str:
    """A table of what was made, by what, in how many minutes of machine time."""
    lines = [f"{'experiment':30}{'seeds':>6}{'minutes':>9}  device"]
    for o in outcomes:
        if o.error is not None:
            minutes, on = "-", "FAILED"
        else:
            minutes, on = f"{o.about['wall_seconds'] / 60:.1f}", o.about["device"]
            on += f"  {o.parts} part{'s' * (o.parts != 1)}" if o.parts else "  was there"
        lines.append(f"{o.experiment.name:30}{len(o.experiment.seeds):6}{minutes:>9}  {on}")
    total = sum(o.about["wall_seconds"] for o in outcomes if o.parts and not o.error) / 60
    return "\n".join([*lines, f"{total:.1f} minutes of machine time, by {where}"])
