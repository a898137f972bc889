"""Results of long runs: stored, found again, re-run. Only a run writes a record.

A record is `records/<name>-<digest>.npz`, without pickles: the arrays of the run's history, and a JSON text with the
experiment, its digest, a digest of all the contents, how its beginning went, and for every stretch of the run commit,
sources, versions, device, threads, settings and seconds. It is found by the digest of the experiment that asks for it,
so a record of another experiment can never be shown by mistake. `verification` says whether it speaks for today's sources.
"""

import hashlib
import importlib
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fa_core import experiments, files, processes, provenance
from fa_core.experiments import Experiment, must_be_one
from fa_core.provenance import machine, now  # noqa: F401  (notebooks show what they ran on)
from fa_core.training import History, Running, load_checkpoint, unpack_stretches, write_atomically

ENVIRONMENT = "FA_CORE_RECORDS"
MIME = "application/vnd.fa-core.record+json"
SUMS = "SHA256SUMS"  # of the records' files that carry no digest of their contents
PATIENCE = 120  # seconds above which a notebook does not make a record that is missing


class RecordError(RuntimeError):
    """A record is damaged, is not of the experiment that asked for it, is missing, or is being made by another process."""


def folder() -> Path:
    """Where records are: `FA_CORE_RECORDS`, else `records/` of the checkout that fa_core was installed from, else
    `records/` in the current folder."""
    checkout = Path(__file__).parent.parent
    return files.named(ENVIRONMENT) or (checkout if (checkout / "pyproject.toml").exists() else Path()) / "records"


def path(experiment: Experiment, within: Path | None = None) -> Path:
    """The file of an experiment's record; `within`, here and below: in another folder than the records'."""
    must_be_one(experiment)
    return (within or folder()) / f"{experiment.name}-{experiment.digest}.npz"


def checkpoint(file: Path) -> Path:
    """Where a run keeps its checkpoint that is to end in this file."""
    return file.with_suffix(".partial.npz")


@dataclass(frozen=True)
class Result:
    """A history and where it comes from: a record, or a run made just now."""

    experiment: Experiment
    history: History
    about: dict
    source: str  # "record" or "live"

    def __getitem__(self, name: str) -> np.ndarray:
        return self.history[name]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        facts = {k: self.about[k] for k in ("made", "device", "wall_seconds", "threads", "versions")}
        # A live run's date and time would make every execution of the notebook a different one.
        facts = facts if self.source == "record" else {}
        summary = {
            "experiment": self.experiment.name,
            "digest": self.experiment.digest,
            "source": self.source,
            "seeds": len(self.experiment.seeds),
        } | facts
        return {"text/plain": self.caption(), MIME: summary}

    def caption(self) -> str:
        """One line that says which of the two it is, and if a record, how it was made. It does not depend on today's
        sources, for it is among a notebook's committed outputs; the book's pages say beside it whether it still holds."""
        what = f"{self.experiment.name} ({self.experiment.digest}), {len(self.experiment.seeds)} seeds"
        if self.source == "live":
            return f"run here: {what}"
        seconds = self.about["wall_seconds"]
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        told = "".join(f"; {warning}" for warning in warnings_of(self.about))
        by = f"made {self.about['made'][:10]} on {self.about['device']}"
        return f"record: {what}; {by} in {'at least ' * last_stretch_only(self.about)}{took}{told}"


def last_stretch_only(about: dict) -> bool:
    """Whether `wall_seconds` may be of the run's last stretch alone, as in records made before they kept all of them."""
    return "stretches" not in about


def warnings_of(about: dict) -> list[str]:
    """What is unusual in how a record was made; of one that does not know its sources `verification` says so."""
    stretches = about.get("stretches", [])
    told = []
    if any(s.get("commit", "").endswith("-dirty") for s in stretches):
        told.append("MADE FROM UNCOMMITTED CHANGES")
    changed: dict[str, None] = {}
    for one, other in pairwise(stretches):
        parts = one.get("seeds") != other.get("seeds")  # they ran beside each other: it may well have been on other machines
        changed |= {d: None for d in provenance.differences(one, other) if not parts or d.startswith("sources")}
    return told + ([f"MIXED: {', '.join(changed)}"] if changed else [])


def about(experiment: Experiment, stretches: list[dict]) -> dict:
    """What a record says of its own making: all stretches of its run, and in short what they were made with. Where they
    differ, all of it; `wall_seconds` is the sum of theirs."""

    def theirs(facts: Iterable[object]) -> object:
        values = list(dict.fromkeys(facts))
        return values[0] if len(values) == 1 else "; ".join(map(str, values))

    packages = dict.fromkeys(k for s in stretches for k in s.get("versions", ()))
    return {
        "name": experiment.name,
        "experiment": experiment.essence(),
        "digest": experiment.digest,
        "made": now(),
        "wall_seconds": round(sum(s["seconds"] for s in stretches), 1),
        **{k: theirs(s.get(k, "unknown") for s in stretches) for k in ("commit", "threads", "device")},
        "versions": {k: theirs(s.get("versions", {}).get(k, "unknown") for s in stretches) for k in packages},
        "stretches": stretches,
    }


def contents(arrays: dict[str, np.ndarray], facts: dict) -> str:
    """A digest of all that a record holds."""
    found = hashlib.sha256(json.dumps({k: v for k, v in facts.items() if k != "contents"}, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"\0{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return found.hexdigest()


def save(experiment: Experiment, history: History, facts: dict, within: Path | None = None) -> Path:
    """Write a record, atomically. Raises OSError."""
    arrays = history.arrays()
    facts = facts | {"contents": contents(arrays, facts)}
    write_atomically(path(experiment, within), arrays | {"about": np.array(json.dumps(facts))})
    return path(experiment, within)


def _command(experiment: Experiment, remake: bool = False) -> str:
    """What makes its record: of one that the command line does not know by its name, a call."""
    known = experiments.registry().get(experiment.name)
    if known is None or known.digest != experiment.digest:
        return f"`records.record(experiment{', remake=True' * remake})`"
    return f"`python -m fa_core record {experiment.name}{' --remake' * remake}`"


def load(experiment: Experiment, within: Path | None = None) -> Result:
    """The record of exactly this experiment.

    Raises FileNotFoundError where there is none, RecordError where it is damaged or holds another experiment.
    """
    file = path(experiment, within)
    if not file.exists():
        raise FileNotFoundError(f"no record {file}: make it with {_command(experiment)}")
    try:
        flat = files.arrays(file)
        facts = dict(json.loads(str(flat.pop("about"))))
        history = History.from_arrays(flat)
    except Exception as error:  # a file can be damaged in many ways
        told = f"it has no {error}" if isinstance(error, KeyError) else error
        raise RecordError(
            f"{file} is damaged ({told}): restore it (git checkout), or remake it with {_command(experiment, remake=True)}"
        ) from error
    if facts.get("digest") != experiment.digest or facts.get("experiment") != experiment.essence():
        raise RecordError(
            f"{file} holds experiment {facts.get('digest')}, not {experiment.digest}: it was renamed or "
            f"edited. Remake it with {_command(experiment, remake=True)}"
        )
    if wrong := unlike(experiment, history):
        raise RecordError(
            f"{file} holds other {wrong} than its experiment: it was edited. Remake it with "
            f"{_command(experiment, remake=True)}"
        )
    if wrong := edited(file, flat, facts):
        raise RecordError(
            f"{file} {wrong}. Restore it (git checkout), or remake it with {_command(experiment, remake=True)}"
        )
    return Result(experiment, history, facts, "record")


def unlike(experiment: Experiment, history: History) -> str:
    """What of a history has not the shape that the experiment gives; empty where all has."""
    if list(history.seeds) != list(experiment.seeds):
        return "seeds"
    if list(history.examples) != list(experiment.probes):
        return "probes"
    shape = (len(experiment.seeds), len(experiment.probes))
    return ", ".join(f"shapes of {name!r}" for name, curve in history.curves.items() if curve.shape[:2] != shape)


def edited(file: Path, flat: dict[str, np.ndarray], facts: dict) -> str:
    """Why a record cannot be taken for what a run wrote; empty where it can. One from before records carried a digest of
    their contents is looked up in `SUMS`."""
    if "contents" in facts:
        same = facts["contents"] == contents(flat, facts)
    else:
        sums = file.parent / SUMS
        lines = sums.read_text().splitlines() if sums.exists() else []
        known = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if file.name not in known:
            return f"carries no digest of its contents, and {SUMS} has none of it: nobody can tell whether a run wrote it"
        same = known[file.name] == hashlib.sha256(file.read_bytes()).hexdigest()
    return "" if same else "does not hold what the run put there: it was edited"


def train(experiment: Experiment, **options: Any) -> History:
    """Run an experiment by the module that trains its kind of network."""
    return importlib.import_module(experiment.trainer).train(experiment, **options)


def run(experiment: Experiment, device: str | None = None, **options: Any) -> Result:
    """Run an experiment now."""
    device = device_for(experiment, device)
    begun, start = provenance.stretch(experiment, device), time.monotonic()
    history = train(experiment, device=device, **options)
    return Result(experiment, history, about(experiment, [begun | {"seconds": time.monotonic() - start}]), "live")


def device_for(experiment: Experiment, wanted: str | None = None) -> str:
    """The device that is wanted; else CUDA where there is one, but for what is compiled. Raises ValueError for what is no
    device of this machine."""
    import torch

    must_be_one(experiment)
    gpus = torch.cuda.device_count()
    if wanted is None:
        return "cuda" if gpus and getattr(experiment, "products", "") != "compiled" else "cpu"
    there = ["cpu", *(["cuda"] if gpus else []), *(f"cuda:{i}" for i in range(gpus))]
    if wanted not in there:
        raise ValueError(
            f"device {wanted!r} is not there; on this machine torch sees: {', '.join(there)}"
            + ("" if gpus else ", and no GPU, which would be cuda")
        )
    return wanted


def begin(experiment: Experiment, seeds: tuple[int, ...], device: str) -> Running:
    """A run of these seeds, before its first example."""
    return importlib.import_module(experiment.trainer).start(experiment, seeds, device)


def beginning(experiment: Experiment, examples: int, seeds: int = 1, probes: tuple[int, ...] = ()) -> Experiment:
    """An experiment cut to its first seeds and examples; what they do is what they do in the whole."""
    changes: dict[str, Any] = {}
    if getattr(experiment, "stages", None) and not probes:  # they go by epochs, which are longer, and want probes
        changes["stages"] = None
    return experiment.but(seeds=experiment.seeds[:seeds], examples=examples, probes=probes, snapshots=(), **changes)


def minibatch(experiment: Experiment) -> int:
    """Examples to a step of learning."""
    return getattr(experiment, "streams", 0) or experiment.batch


def first_examples(experiment: Experiment) -> int:
    """After how many examples each layer that learns at all, by each rule that it ever does, has done so for ten steps, or a
    hundred examples."""
    layers = len(experiment.sizes) - 1
    factors = [(at, f if isinstance(f, tuple) else (f,) * layers) for at, f in experiment.schedule]
    begins = [next((at for at, f in factors if f[layer]), 0) for layer in range(layers)]
    begins += [at for at, _ in getattr(experiment, "switch", ())]
    batch = minibatch(experiment)
    return min(max(begins) + max(10 * batch, -(-100 // batch) * batch), experiment.examples)


def first_steps(experiment: Experiment, device: str = "cpu") -> dict:
    """How the first seed begins: by array of the network its norm at the start and the norm of its change after the first
    `examples`. It takes seconds, and depends on all that learning does."""
    examples = first_examples(experiment)
    run = begin(beginning(experiment, examples), experiment.seeds[:1], device)

    def arrays() -> dict[str, np.ndarray]:
        return {
            k.removeprefix("array."): np.array(v, dtype=float)
            for k, v in run.state().items()
            if re.fullmatch(r"array\.[WbB]\d+", k)
        }

    before = arrays()
    while not run.done:
        run.advance()
    after = arrays()
    norms = {k: [float(f"{np.linalg.norm(a):.6g}") for a in (before[k], after[k] - before[k])] for k in before}
    return {"examples": examples, "norms": norms}


def estimate(experiment: Experiment, device: str | None = None) -> float:
    """About how many seconds a run will take here, from its first steps and its first probe."""
    device, groups = device_for(experiment, device), importlib.import_module(experiment.trainer).groups(experiment)
    examples = min(max(10 * minibatch(experiment), 100), experiment.examples)
    short = beginning(experiment, examples - examples % minibatch(experiment), len(groups[0]))
    begin(short, groups[0], device)  # the data are read
    begun = time.monotonic()
    run = begin(short, groups[0], device)
    ready = time.monotonic()
    while not run.done:
        run.advance()
    ended = time.monotonic()
    begin(short.but(probes=(0,)), groups[0], device)
    probe = max(time.monotonic() - ended - (ready - begun), 0)
    return len(groups) * ((ended - ready) * experiment.examples / short.examples + probe * len(experiment.probes))


def get(experiment: Experiment, live: bool = False, long: bool = False) -> Result:
    """The record of this experiment if there is one, else (or with `live`) a run made here.

    What has no record is announced on stderr before it is trained: where the record was looked for, and about how long it
    will take. Raises RecordError where that is more than two minutes, unless `long`.
    """
    if live:
        return run(experiment)
    if path(experiment).exists():
        return load(experiment)
    seconds = estimate(experiment)
    told = (
        f"{experiment.name} ({experiment.digest}) has no record in {folder()}; to train it takes about {spell(seconds)} here"
    )
    if seconds > PATIENCE and not long:
        raise RecordError(
            f"{told}. Make it with `python -m fa_core record {experiment.name}`, name the folder of the "
            f"records in {ENVIRONMENT}, or train it all the same: `records.get(experiment, long=True)`"
        )
    print(f"{told}. Training it now.", file=sys.stderr, flush=True)
    return run(experiment)


def spell(seconds: float) -> str:
    """A time, to be read."""
    for limit, unit, name in ((120, 1, "seconds"), (7200, 60, "minutes"), (np.inf, 3600, "hours")):
        if seconds < limit:
            number = f"{max(seconds / unit, 1):.0f}"
            return f"{number} {name.removesuffix('s') if number == '1' else name}"
    raise ValueError(f"no time: {seconds}")


@contextmanager
def alone(experiment: Experiment, within: Path | None = None, wait: bool = False) -> Iterator[None]:
    """No other process records this experiment in this folder meanwhile. Raises RecordError that says who does, or waits."""
    try:
        with processes.alone(path(experiment, within).with_suffix(".lock"), wait):
            yield
    except processes.Busy as busy:
        raise RecordError(
            f"{experiment.name} is being recorded already, by {busy}: "
            "wait for that, or end it; the same command then goes on from its checkpoint"
        ) from None


def record(
    experiment: Experiment,
    device: str | None = None,
    remake: bool = False,
    progress: bool | None = None,
    within: Path | None = None,
    wait: bool = False,
    **options: Any,
) -> Path:
    """Make a record, or keep the one there is. Killed, the same call goes on where the run was.

    Options are those of `fa_core.training.train`. Raises RecordError where another process is at it, unless told to wait.
    """
    file = path(experiment, within)
    with alone(experiment, within, wait):
        for ours in (file, checkpoint(file)):
            files.sweep(ours)
        if file.exists() and not remake:
            load(experiment, within)  # a damaged one is said so now
            return file
        device = device_for(experiment, device)
        history = train(experiment, device=device, checkpoint=checkpoint(file), progress=progress, **options)
        stretches = unpack_stretches(load_checkpoint(checkpoint(file), experiment))
        facts = about(experiment, stretches)
        if not any(provenance.differences(s, stretches[-1]) for s in stretches):  # else it began in another way
            facts["first steps"] = first_steps(experiment, device)
        save(experiment, history, facts, within)
        checkpoint(file).unlink(missing_ok=True)
    return file
