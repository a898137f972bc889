"""Results of long runs: stored, found again, re-run. Only a run writes a record.

A record is `records/<name>-<digest>.npz`, without pickles: the arrays of the run's history, and a JSON text with the
experiment, its digest, versions, device, threads, wall time, commit and date. It is found by the digest of the
experiment that asks for it, so a record of another experiment can never be shown by mistake.
"""

import importlib
import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np

from fa_core import files
from fa_core.experiments import Experiment
from fa_core.training import History, seconds_spent, write_atomically

ENVIRONMENT = "FA_CORE_RECORDS"
MIME = "application/vnd.fa-core.record+json"
TOLERANCE = {"loss": 1e-3, "nse": 1e-3, "test error": 0.05, "angle": 0.1, "weight angle": 0.1, "positive": 0.01}
# Spikes: where one falls the other way, by a rounding, all that come after it differ, and agreement is a statistical one.
TOLERANCE |= {"error at step": 5.0, "error summed": 5.0, "training error": 2.0}
TOLERANCE_TRACED = 1e-3  # weights kept at every probe


class RecordError(RuntimeError):
    """A record is damaged, or is not of the experiment that asked for it."""


def folder() -> Path:
    """Where records are: `FA_CORE_RECORDS`, else `records/` of the checkout that fa_core was installed from, else
    `records/` in the current folder."""
    checkout = Path(__file__).parent.parent
    return files.named(ENVIRONMENT) or (checkout if (checkout / "pyproject.toml").exists() else Path()) / "records"


def path(experiment: Experiment, within: Path | None = None) -> Path:
    """The file of an experiment's record; `within`, here and below: in another folder than the records'."""
    return (within or folder()) / f"{experiment.name}-{experiment.digest}.npz"


@dataclass(frozen=True)
class Result:
    """A history and where it comes from: a record, or a run made just now."""

    experiment: Experiment
    history: History
    about: dict
    source: str  # "record" or "live"

    def __getitem__(self, name: str) -> np.ndarray:
        return self.history[name]

    def _repr_mimebundle_(self, include=None, exclude=None):
        facts = {k: self.about[k] for k in ("made", "device", "wall_seconds", "threads", "versions")}
        # A live run's date and time would make every execution of the notebook a different one.
        facts = facts if self.source == "record" else {}
        summary = {"experiment": self.experiment.name, "digest": self.experiment.digest, "source": self.source,
                   "seeds": len(self.experiment.seeds)} | facts
        return {"text/plain": self.caption(), MIME: summary}

    def caption(self) -> str:
        """One line that says which of the two it is."""
        what = f"{self.experiment.name} ({self.experiment.digest}), {len(self.experiment.seeds)} seeds"
        if self.source == "live":
            return f"run here: {what}"
        seconds = self.about["wall_seconds"]
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        return f"record: {what}; made {self.about['made'][:10]} on {self.about['device']} in {took}"


def about(experiment: Experiment, device: str, wall_seconds: float) -> dict:
    """What a record says of its own making."""
    import torch

    facts = {
        "name": experiment.name, "experiment": experiment.essence(), "digest": experiment.digest,
        "made": now(), "wall_seconds": round(wall_seconds, 1), "commit": commit(), "threads": torch.get_num_threads(),
    }
    return facts | machine() | ({"device": torch.cuda.get_device_name()} if device.startswith("cuda") else {})


def commit() -> str:
    """The commit of the checkout that fa_core is run from, with "-dirty" where the module differs from it; "unknown"
    outside of one. Records do not count: the first that a run writes would make the others dirty."""
    def git(*arguments):
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True,
                              check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def now() -> str:
    """The time, to the second, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> dict:
    """What the processes here run on: processor and versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not this kind of processor
        model = platform.processor() or platform.machine()
    return {"device": f"{model}, {os.cpu_count()} cores",
            "versions": {"python": platform.python_version()} | {p: metadata.version(p) for p in ("torch", "numpy")}}


def save(experiment: Experiment, history: History, facts: dict, within: Path | None = None) -> Path:
    """Write a record, atomically. Raises OSError."""
    write_atomically(path(experiment, within), history.arrays() | {"about": np.array(json.dumps(facts))})
    return path(experiment, within)


def load(experiment: Experiment, within: Path | None = None) -> Result:
    """The record of exactly this experiment.

    Raises FileNotFoundError where there is none, RecordError where it is damaged or holds another experiment.
    """
    file = path(experiment, within)
    if not file.exists():
        raise FileNotFoundError(f"no record {file}: make it with `python -m fa_core record {experiment.name}`")
    try:
        # Opened here, for np.load leaves a damaged file open.
        with open(file, "rb") as opened, np.load(opened, allow_pickle=False) as stored:
            flat = {k: stored[k] for k in stored.files}
        facts = dict(json.loads(str(flat.pop("about"))))
        history = History.from_arrays(flat)
    except Exception as error:  # a zip file can be damaged in many ways
        raise RecordError(f"{file} is damaged ({error}): restore it (git checkout), or remake it with "
                          f"`python -m fa_core record {experiment.name} --remake`") from error
    if facts.get("digest") != experiment.digest or facts.get("experiment") != experiment.essence():
        raise RecordError(f"{file} holds experiment {facts.get('digest')}, not {experiment.digest}: it was renamed or "
                          f"edited. Remake it with `python -m fa_core record {experiment.name} --remake`")
    if list(history.seeds) != list(experiment.seeds):
        raise RecordError(f"{file} holds other seeds than its experiment: it was edited. Remake it with "
                          f"`python -m fa_core record {experiment.name} --remake`")
    return Result(experiment, history, facts, "record")


def train(experiment: Experiment, **options) -> History:
    """Run an experiment by the module that trains its kind of network."""
    return importlib.import_module(experiment.trainer).train(experiment, **options)


def run(experiment: Experiment, device: str | None = None, **options) -> Result:
    """Run an experiment now."""
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    start = time.monotonic()
    history = train(experiment, device=device, **options)
    return Result(experiment, history, about(experiment, device, time.monotonic() - start), "live")


def get(experiment: Experiment, live: bool = False) -> Result:
    """The record of this experiment if there is one, else (or with `live`) a run made here."""
    if not live and path(experiment).exists():
        return load(experiment)
    return run(experiment)


def record(experiment: Experiment, device: str | None = None, remake: bool = False, progress: bool | None = None,
           within: Path | None = None, **options) -> Path:
    """Make a record, or keep the one there is. Killed, the same call goes on where the run was.

    The wall time of a run in several stretches is that of all of them. Options are those of `fa_core.training.train`.
    """
    if path(experiment, within).exists() and not remake:
        load(experiment, within)  # a damaged one is said so now
        return path(experiment, within)
    checkpoint = path(experiment, within).with_suffix(".partial.npz")
    before = seconds_spent(checkpoint, experiment)
    result = run(experiment, device=device, checkpoint=checkpoint, progress=progress, **options)
    seconds = before + result.about["wall_seconds"]
    file = save(experiment, result.history, result.about | {"wall_seconds": round(seconds, 1)}, within)
    checkpoint.unlink(missing_ok=True)
    return file


def verify(experiment: Experiment, seeds: int = 1, probes: int = 3) -> list[dict]:
    """Re-run the beginning of a record, its first `seeds` seeds to its first `probes` probes, and compare.

    One row for each curve: largest difference and what is allowed. The allowance is for another number of threads or
    another processor, where sums are taken in another order; on the machine that made it the difference is 0.
    """
    stored = load(experiment).history
    upto = experiment.probes[: probes + 1]
    if not upto or upto[-1] == 0:
        raise ValueError(f"{experiment.name} has no probe after the start: nothing to compare")
    short = experiment.but(seeds=experiment.seeds[:seeds], probes=upto, examples=upto[-1], snapshots=())
    again = train(short, progress=None)
    rows = []
    for name, curve in again.curves.items():
        there = stored[name][:seeds, : len(upto)]
        # NaN in both (a run that diverged, an angle where nothing is sent) agrees; in one of them it does not.
        difference = float(np.where(np.isnan(curve) & np.isnan(there), 0, np.abs(curve - there)).max())
        allowed = TOLERANCE.get(name, TOLERANCE_TRACED)
        rows.append({"curve": name, "difference": difference, "allowed": allowed, "agrees": difference <= allowed})
    return rows
