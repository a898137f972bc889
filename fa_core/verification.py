"""Whether a record still speaks for the code: its beginning is run again under today's sources, and compared.

A record made by today's sources does. Any other does once `verify` has re-run its first stretch and got the same; that
is written down in `verified.jsonl` beside the records, a line for each: which record, by which sources, at which commit.
"""

import functools
import hashlib
import json
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fa_core import files, provenance, records
from fa_core.experiments import Experiment
from fa_core.records import RecordError, Result

FILE = "verified.jsonl"
LINE = ("record", "contents", "examples", "on", "commit", "sources")  # what each of its lines has
# By curve, of a loss above 1 as a share of it: for another number of threads or another processor, where sums are taken in
# another order.
TOLERANCE = {
    "loss": 1e-3,
    "nse": 1e-3,
    "test error": 0.05,
    "validation error": 0.05,
    "angle": 0.1,
    "weight angle": 0.1,
    "positive": 0.01,
}
# Spikes: where one falls the other way, by a rounding, all that come after it differ, and agreement is a statistical one.
TOLERANCE |= {"error at step": 5.0, "error summed": 5.0, "training error": 2.0}
ROUNDED = 5  # times as much where products are of numbers rounded to bfloat16: a sum's order can decide a rounding
TOLERANCE_TRACED = 1e-3  # weights kept at every probe
FIRST = {"fa_core.training": 0.01, "fa_core.spiking": 0.05}  # relative, of the norms after the first steps
LONGEST = 120  # seconds above which the first stretch of a record is cut shorter, where it can be


class Standing(NamedTuple):
    """Whether a record speaks for today's sources, and what there is to say of that."""

    current: bool
    text: str


def standing(result: Result) -> Standing:
    """How a record stands to today's sources."""
    today = provenance.sources(result.experiment)
    made = [s.get("sources") for s in result.about.get("stretches", [])]
    known = bool(made) and None not in made
    if known and all(s == today for s in made):
        return Standing(True, f"made by today's sources, at {result.about['commit']}")
    source = f"made at {result.about['commit']}" if known else "of unknown source"
    told = [v for v in verified().get(_key(result.experiment), []) if v["contents"] == _contents(result)]
    for line in told:
        if line["sources"] == provenance.digest(today):
            return Standing(
                True,
                f"{source}; the first {line['examples']:,} examples run again at {line['commit']}, on "
                f"{line['on'][:10]}: the same",
            )
    last = max(told, key=lambda line: line["on"], default=None)
    since = f"{last['commit']} of {last['on'][:10]}" if last else f"{result.about['commit'] if known else 'it was made'}"
    return Standing(False, f"{source}; not verified since {since}")


def _key(experiment: Experiment) -> str:
    return f"{experiment.name}-{experiment.digest}"


def _contents(result: Result) -> str:
    """The digest of what a record holds; of an old one, which carries none, it is taken now."""
    return (result.about.get("contents") or records.contents(result.history.arrays(), result.about))[:12]


# ---- what was found is written down


def file() -> Path:
    """Where it is written down."""
    return records.folder() / FILE


def verified() -> dict[str, list[dict]]:
    """What was verified, by record. Several lines of one record, as a merge may leave them, all count. Raises RecordError
    for a damaged line."""
    return _verified(file(), file().read_bytes()) if file().exists() else {}


@functools.lru_cache(maxsize=1)  # the run status asks of hundreds of records in turn
def _verified(where: Path, text: bytes) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line.decode())
            found.setdefault(row["record"], []).append({k: row[k] for k in LINE} | row)
        except (ValueError, TypeError, KeyError) as error:
            raise RecordError(
                f"{where}, line {number}: {line[:60]!r} does not say which record was verified, and by "
                "what: delete the line, or restore the file (git checkout)"
            ) from error
    return found


def write_down(result: Result, examples: int) -> None:
    """Write down that the record's beginning, up to so many examples, came out the same just now. Raises OSError, and
    ValueError where the module has uncommitted changes: nobody could tell under what."""
    if (commit := provenance.commit()).endswith("-dirty"):
        raise ValueError("the module has uncommitted changes: commit them, then verify")
    row = {
        "record": _key(result.experiment),
        "contents": _contents(result),
        "examples": examples,
        "on": provenance.now(),
        "commit": commit,
        "sources": provenance.digest(provenance.sources(result.experiment)),
    }
    if "first steps" not in result.about:  # so that what is cheap to compare is there from now on
        row["first steps"] = records.first_steps(result.experiment)
    rows = {k: max(lines, key=lambda line: line["on"]) for k, lines in verified().items()} | {_key(result.experiment): row}
    text = "".join(json.dumps(rows[k]) + "\n" for k in sorted(rows))
    files.write(file(), text.encode())


# ---- run again


def verify(
    experiment: Experiment, seeds: int = 1, probes: int = 3, longest: float = np.inf, note: bool = False
) -> list[dict]:
    """Re-run the beginning of a record, its first `seeds` seeds to its first `probes` probes, and compare.

    One row for each curve: largest difference and what is allowed; on the machine that made it the difference is 0.
    longest: fewer probes, but at least one after the start, if more would take above so many seconds. With `note`, what
    agrees is written down; warns where that cannot be. Raises ValueError where there is nothing to compare.
    """
    stored = records.load(experiment)
    upto = compared(stored, seeds, probes, longest)
    if not upto or upto[-1] == 0:
        raise ValueError(f"{experiment.name} has no probe after the start: nothing to compare")
    again = records.train(records.beginning(experiment, upto[-1], seeds, upto), progress=None)
    rows = []
    for name, curve in again.curves.items():
        if name not in stored.history.curves:
            raise RecordError(
                f"the record of {experiment.name} has no curve {name!r}: it was made by other sources. Remake "
                f"it with `python -m fa_core record {experiment.name} --remake`"
            )
        there = stored[name][:seeds, : len(upto)]
        # NaN in both (a run that diverged, an angle where nothing is sent) agrees; in one of them it does not.
        apart = np.where(np.isnan(curve) & np.isnan(there), 0, np.abs(curve - there))
        if name == "loss":  # one of a record that is infinite is no measure of anything
            apart = apart / np.where(np.isfinite(there), np.fmax(1.0, there), 1.0)
        difference = float(apart.max())
        allowed = TOLERANCE.get(name, TOLERANCE_TRACED) * (ROUNDED if experiment.products == "bfloat16" else 1)
        rows.append({"curve": name, "difference": difference, "allowed": allowed, "agrees": difference <= allowed})
    if note and all(row["agrees"] for row in rows):
        try:
            write_down(stored, upto[-1])
        except OSError as error:  # what was found holds all the same
            warnings.warn(f"that {experiment.name} agrees could not be written down: {error}", stacklevel=2)
    return rows


def compared(stored: Result, seeds: int = 1, probes: int = 3, longest: float = np.inf) -> tuple[int, ...]:
    """The probes up to which `verify` runs a record again."""
    upto = stored.experiment.probes[: probes + 1]
    while len(upto) > 2 and seconds(stored, upto, seeds) > longest:
        upto = upto[:-1]
    return upto


def expected(chosen: Iterable[Experiment], seeds: int = 1, longest: float = np.inf) -> list[float]:
    """About how many seconds `verify` will take for each of these; 0 for a record that it will have nothing to do with."""
    found = []
    for experiment in chosen:
        try:
            stored = records.load(experiment)
            found.append(seconds(stored, compared(stored, seeds, longest=longest), seeds))
        except (RecordError, OSError, IndexError):
            found.append(0.0)
    return found


def seconds(stored: Result, upto: tuple[int, ...], seeds: int = 1) -> float:
    """About how long it takes to run a record's beginning again, by its own experience."""
    e = stored.experiment
    share = (upto[-1] / e.examples + len(upto) / max(len(e.probes), 1)) / 2  # of the learning, and of the measuring
    return stored.about["wall_seconds"] * share * min(seeds / len(e.seeds), 1)


def turn(chosen: Iterable[Experiment], minutes: float) -> list[Experiment]:
    """The records whose turn it is, so many minutes' worth: those verified longest ago or never, in another order every
    week."""
    week = f"{datetime.now(UTC):%G-%V}"
    lines = verified()

    def order(experiment: Experiment) -> tuple[str, bytes]:
        last = max((line["on"] for line in lines.get(_key(experiment), [])), default="")
        return last[:10], hashlib.sha256(f"{week} {experiment.name}".encode()).digest()

    taken, left = [], 60 * minutes
    for experiment in sorted(chosen, key=order):
        upto = experiment.probes[:2]
        try:
            needed = seconds(records.load(experiment), upto) + 2 if upto else np.inf  # and the data are to be read
        except (RecordError, OSError):
            needed = 0.0  # `verify` says what is the matter with it, and goes on
        if needed <= left:
            taken.append(experiment)
            left -= needed
    return taken


class Spot(NamedTuple):
    """What a spot check found; shows itself in a notebook, in words that stay when the record is made again."""

    experiment: str
    examples: int

    def __repr__(self) -> str:
        return f"the beginning of {self.experiment}, run again here, is as in its record"


def spot_check(experiment: Experiment) -> Spot:
    """Run the first steps of a record again, here and now; for a notebook, it takes seconds.

    Raises RecordError that says what differs, or where the record has nothing that could be compared so cheaply.
    """
    stored = records.load(experiment)
    then = stored.about.get("first steps")
    for line in verified().get(_key(experiment), []):
        if then is None and line["contents"] == _contents(stored):
            then = line.get("first steps")
    if then is None:
        # The first probe by which all layers have learned, and by every rule.
        needed = max(records.first_examples(experiment), 1)
        last = next((i for i, at in enumerate(experiment.probes) if at >= needed), 0)
        if not last or seconds(stored, experiment.probes[: last + 1]) > 10:
            raise RecordError(
                f"the record of {experiment.name} does not say how it began, and its first probe is far: "
                f"`python -m fa_core verify {experiment.name}` runs it, and writes that down"
            )
        told = [
            f"{row['curve']} by {row['difference']:.2g}, allowed are {row['allowed']:g}"
            for row in verify(experiment, probes=last)
            if not row["agrees"]
        ]
        examples = experiment.probes[last]
    else:
        now = records.first_steps(experiment)
        told, examples = unlike(then, now, FIRST.get(experiment.trainer, 0.01)), then["examples"]
    if told:
        raise RecordError(
            f"today's sources do not run {experiment.name} as its record was run. After {examples:,} "
            f"examples: {'; '.join(told)}. Either the code is wrong now, or the record is of other code: "
            f"`python -m fa_core verify {experiment.name}` compares more of it"
        )
    return Spot(experiment.name, examples)


def unlike(then: dict, now: dict, allowed: float) -> list[str]:
    """What of the first steps differs by more than the share allowed."""
    if then["examples"] != now["examples"] or then["norms"].keys() != now["norms"].keys():
        return [
            f"then {then['examples']:,} examples of {', '.join(then['norms'])}, now {now['examples']:,} of "
            f"{', '.join(now['norms'])}"
        ]
    told = []
    for name, pair in then["norms"].items():
        for what, old, new in zip(
            (f"the size of {name} at the start", f"the change of {name}"), pair, now["norms"][name], strict=True
        ):
            if not abs(new - old) <= allowed * abs(old):
                told.append(f"{what} is {new:.4g}, in the record {old:.4g}")
    return told
