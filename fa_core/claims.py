"""The ledger of what the paper states, and the verdicts.

The ledger, `claims.toml`, was written before the runs that are judged by it. A notebook reports each of its claims once:

    report = claims.Reporter("02_linear", profile)
    report("fig2b.angle-shrinks", angle)  # one of each seed; or a number, with n and interval

A measure is an *estimate* from some seeds and carries its 95 % interval, or it stands by itself and says as what (`KINDS`).
The verdict on an estimate is

    reproduced      all of the interval lies in the bound, ends included
    not reproduced  all of it lies outside
    undecided       it straddles; or the run was ended before its own stopping rule fired, and missed

and a measure that stands by itself is in the bound or not. What `report` returns shows itself as a row and carries the
same row as JSON, of which the scorecard is made.
"""

import html
import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fa_core import measures

LEDGER = Path(__file__).parent / "claims.toml"
MIME = "application/vnd.fa-core.claim+json"
CODE = re.compile(r"`([^`]+)`")  # a command within a reason
REPRODUCED, MISSED, UNDECIDED, UNTESTED = "reproduced", "not reproduced", "undecided", "not tested"
PROPERTY = "property of the code"  # a claim that our own code was written to fulfil: no evidence
STAND_IN = " on a stand-in"  # what a verdict ends in that was not reached on the paper's data
PROFILES = ("paper", "smoke")
# So that a verdict is not told by colour alone.
MARKS = {REPRODUCED: "✓", MISSED: "✗", UNDECIDED: "?", UNTESTED: "–", PROPERTY: "○"}
MARKS |= {v + STAND_IN: f"({MARKS[v]})" for v in (REPRODUCED, MISSED, UNDECIDED)}
VERDICTS = tuple(MARKS)

ESTIMATE, END = "estimate", "end of an interval"
KINDS = {
    ESTIMATE: "from some of the possible seeds or examples: its 95 % interval is judged",
    END: "itself an end of a 95 % interval",
    "P value": "of a test over the runs that the measure names",
    "count": "of the runs, or the share of them, that the measure names, all of them",
    "extreme": "the largest or the smallest of the runs that the measure names: all of them keep the bound, or not",
    "deterministic": "no run and no seed would change it",
    "code": "a property of our code, which was written so",
}


class LedgerError(ValueError):
    """The ledger, or a report to it, is not as it should be."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and the bound, inclusive, by which agreement with it is judged.

    `added`: the date at which the claim was added to the ledger, "" for those of the first set. `source`: of a claim that is
    not the paper's but a later one's, that one's key in the list of references; `paper` is then what that one reports."""

    id: str
    notebook: str
    states: str
    measure: str
    accept: tuple[float, float]
    paper: str = ""
    depends: str = ""
    added: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        low, high = _pair(f"{self.id!r}: accept", self.accept)
        if math.isnan(low) or math.isnan(high):
            raise LedgerError(f"{self.id!r}: accept = [{low}, {high}] is not an interval")


@cache
def ledger(path: Path = LEDGER, section: str = "claim") -> dict[str, Claim]:
    """The paper's claims by id, or those of the section `after`, of later papers. Raises LedgerError for a duplicate or a
    malformed entry."""
    found = {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get(section, [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path} is no TOML: {error}") from error
    known = {f.name: f.default is MISSING for f in fields(Claim)}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LedgerError(f"{path}: {section} is no list of claims: each begins with a line [[{section}]]")
    for entry in entries:
        who = f"{path}: claim {entry.get('id', '?')!r}"
        if odd := sorted(entry.keys() - known):
            raise LedgerError(f"{who} has {', '.join(odd)}; an entry's fields are: {', '.join(known)}")
        if missing := [name for name, needed in known.items() if needed and name not in entry]:
            raise LedgerError(f"{who} has no {', '.join(missing)}")
        if other := [name for name in entry if name != "accept" and not isinstance(entry[name], str)]:
            raise LedgerError(f"{who}: {other[0]} is {entry[other[0]]!r}, wanted is text, in quotation marks")
        try:
            claim = Claim(**entry | {"accept": _pair(f"{entry['id']!r}: accept", entry["accept"])})
        except LedgerError as error:
            raise LedgerError(f"{path}: claim {error}") from None
        if claim.id in found:
            raise LedgerError(f"{path}: claim {claim.id!r} stands twice")
        if bool(claim.source) != (section == "after"):
            raise LedgerError(
                f"{path}: claim {claim.id!r} is in the section [[{section}]] with source = {claim.source!r}: "
                "those of [[after]], and no others, have one"
            )
        found[claim.id] = claim
    return found


def _number(what: str, value: Any) -> float:
    """Raises LedgerError for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise LedgerError(f"{what} is {value!r}, wanted is a number") from None


def _pair(what: str, interval: Any) -> tuple[float, float]:
    """Raises LedgerError for what is not two numbers, the lower first. Where one is NaN, there is no order."""
    if isinstance(interval, str) or not hasattr(interval, "__len__") or len(interval) != 2:
        raise LedgerError(f"{what} = {interval!r} is not an interval: wanted are two numbers, (low, high)")
    low, high = (_number(what, v) for v in interval)
    if low > high:
        raise LedgerError(f"{what} = [{low}, {high}] is not an interval: wanted is (low, high)")
    return low, high


def judge(value: float, interval: tuple[float, float] | None, bound: tuple[float, float]) -> str:
    """REPRODUCED, MISSED or UNDECIDED: an interval by all of it; where there is none, the value. NaN is in no bound."""
    ends = (value, value) if interval is None else interval
    if any(map(math.isnan, (value, *ends))):
        return MISSED
    inside = bound[0] <= ends[0] and ends[1] <= bound[1]
    outside = ends[1] < bound[0] or bound[1] < ends[0]
    return REPRODUCED if inside else MISSED if outside else UNDECIDED


def checked(
    what: str, value: Any, interval: Sequence[float] | None, kind: str, n: int = 0
) -> tuple[float, tuple[float, float] | None, int]:
    """A measure as a number, its interval, and of how many it is; of values, one of each run, their mean, Student's
    interval and how many. Raises LedgerError where these do not fit each other or the kind."""
    if kind not in KINDS:
        raise LedgerError(f"{what}: unknown kind {kind!r}; there are: {', '.join(KINDS)}")
    if np.ndim(value):
        if np.ndim(value) != 1 or len(value) < 2:
            raise LedgerError(
                f"{what}: wanted is a number, or one of each of several runs, given is the shape {np.shape(value)}"
            )
        if interval is not None or n or kind != ESTIMATE:
            raise LedgerError(f"{what}: values of the runs say themselves what n, interval and kind are; leave these out")
        value, interval, n = np.mean(value), measures.mean_interval(value), len(value)
    value = _number(f"{what}: the value", value)
    if kind not in (ESTIMATE, END):
        if interval is not None:
            raise LedgerError(f"{what}: a measure of kind {kind!r} is judged as it stands, without an interval")
        return value, None, n
    if interval is None:
        raise LedgerError(
            f"{what} is an estimate without its interval: give interval=(low, high), or the kind of measure "
            f"that it is: {', '.join(k for k in KINDS if k != ESTIMATE)}"
        )
    interval = _pair(f"{what}: interval", interval)
    if kind == ESTIMATE and (value < interval[0] or interval[1] < value):
        raise LedgerError(f"{what}: the value {value:g} is outside of its own interval {interval}: it is of something else")
    if kind == END and value not in interval and not math.isnan(value):
        raise LedgerError(f"{what}: {value} is no end of the interval {interval}")
    return value, interval, n


@dataclass(frozen=True)
class Condition:
    """A further condition that a claim's measure names, e.g. where something starts; judged as the claim is."""

    what: str
    value: float
    low: float
    high: float
    interval: tuple[float, float] | None = None
    kind: str = ESTIMATE

    @property
    def judged(self) -> str:
        """REPRODUCED, MISSED or UNDECIDED."""
        return judge(self.value, self.interval if self.kind == ESTIMATE else None, (self.low, self.high))


@dataclass(frozen=True)
class Verdict:
    """A claim, what was measured, and the judgement.

    `unfinished`: why the run was ended before its own stopping rule; `stand_in`: what stood in for the paper's data;
    `reason`: why the claim was not tested."""

    claim: Claim
    value: float
    n: int
    interval: tuple[float, float] | None = None
    kind: str = ESTIMATE
    also: tuple[Condition, ...] = ()
    unfinished: str = ""
    stand_in: str = ""
    reason: str = ""
    verdict: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.reason:
            found = checked(self.claim.id, self.value, self.interval, self.kind, self.n)
            for name, one in zip(("value", "interval", "n"), found, strict=True):
                object.__setattr__(self, name, one)
        object.__setattr__(self, "verdict", self._judged())

    def _judged(self) -> str:
        if self.reason:
            return UNTESTED
        parts = [found for _, found in self._parts()]
        found = MISSED if MISSED in parts else UNDECIDED if UNDECIDED in parts else REPRODUCED
        if found == MISSED and self.unfinished:
            found = UNDECIDED
        if found == REPRODUCED and self.kind == "code":
            return PROPERTY
        return found + (STAND_IN if self.stand_in else "")

    def _parts(self) -> list[tuple[str, str]]:
        """The judgement on the measure, and that on each further condition, with what is measured."""
        mine = judge(self.value, self.interval if self.kind == ESTIMATE else None, self.claim.accept)
        return [("", mine), *((f' of "{c.what}"', c.judged) for c in self.also)]

    def why(self) -> str:
        """What must be said with the verdict: the reason, what was cut short, what stood in for the data."""
        if self.reason:
            return self.reason
        said = []
        if self.verdict.startswith(UNDECIDED):
            said = (
                [f"the run was ended early, {self.unfinished}"]
                if self.unfinished
                else [f"the interval{what} is partly in the bound" for what, found in self._parts() if found == UNDECIDED]
            )
        return "; ".join([*said, self.stand_in] if self.stand_in else said)

    def row(self) -> dict[str, str]:
        """The row, as text."""
        bound = interval_text(self.claim.accept)
        ours = "" if math.isnan(self.value) else measured_text(self.value, self.interval, self.kind)
        ours += f" (n = {self.n})" if self.n else ""
        for c in self.also:
            ours += f"; {c.what}: {measured_text(c.value, c.interval, c.kind)}"
            bound += f"; {c.what} {interval_text((c.low, c.high))}"
        judged = f"{MARKS[self.verdict]} {self.verdict}" + (f": {self.why()}" if self.why() else "")
        return {
            "claim": f"{self.claim.states} ({self.claim.id})",
            self.claim.source or "paper": self.claim.paper or "no number given",
            "measure": self.claim.measure,
            "ours": ours or "-",
            "bound": bound,
            "verdict": judged,
        }

    def as_json(self) -> dict:
        """The row as JSON, numbers to the digits that are shown, lest they be rounded twice; infinities and NaN as strings,
        for JSON has none."""

        def plain(v: float) -> float | str:
            return float(f"{v:.3g}") if math.isfinite(v) else str(v)

        def pair(interval: Sequence[float] | None) -> list[float | str] | None:
            return [plain(v) for v in interval] if interval else None

        data = {k: v for k, v in asdict(self.claim).items() if k != "source" or v} | {"accept": pair(self.claim.accept)}
        conditions = [
            {
                "what": c.what,
                "value": plain(c.value),
                "low": plain(c.low),
                "high": plain(c.high),
                "interval": pair(c.interval),
                "kind": c.kind,
            }
            for c in self.also
        ]
        return data | {
            "value": plain(self.value),
            "n": self.n,
            "interval": pair(self.interval),
            "kind": self.kind,
            "also": conditions,
            "verdict": self.verdict,
            "why": self.why(),
            "unfinished": self.unfinished,
            "stand_in": self.stand_in,
            "reason": self.reason,
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        row = self.row()
        text = "\n".join(f"{k}: {v}" for k, v in row.items())
        shown = {k: CODE.sub(r"<code>\1</code>", html.escape(v)) for k, v in row.items()}
        table = "".join(
            f"<tr><th scope='row' style='text-align:left'>{html.escape(k)}</th><td style='text-align:left'>{v}</td></tr>"
            for k, v in shown.items()
        )
        return {"text/plain": text, "text/html": f"<table class='verdict'>{table}</table>", MIME: self.as_json()}


def interval_text(bounds: tuple[float, float]) -> str:
    """A bound in words: at most, at least, exactly, or between."""
    low, high = bounds
    if math.isinf(low) and math.isinf(high):
        return "any"
    if math.isinf(high):
        return f"at least {low:g}"
    if low == high:
        return f"exactly {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


def digits(value: float) -> str:
    """A number to three significant digits, as one reads it: 1,090 and not 1.09e+03."""
    text = f"{value:.3g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e7 else text


def measured_text(value: float, interval: Sequence[float] | None = None, kind: str = ESTIMATE) -> str:
    """A measured value with its interval; of one that is an end of its interval, which end it is."""
    text = digits(value)
    if not interval:
        return text
    if kind == END:
        low, high = map(digits, interval)
        return text + (f", upper end from {low}" if value == interval[1] else f", lower end up to {high}")
    return text + f" [{digits(interval[0])}, {digits(interval[1])}]"


def counted(verdicts: Iterable[str]) -> str:
    """How many of some verdicts there are of each kind, in words; those on a stand-in and what is no evidence apart."""
    verdicts = list(verdicts)
    parts = [f"**{verdicts.count(v)} {v}**" for v in (REPRODUCED, MISSED, UNDECIDED, UNTESTED)]
    parts += [f"{verdicts.count(v)} {v}" for v in VERDICTS if STAND_IN in v and v in verdicts]
    parts += [f"{verdicts.count(PROPERTY)} a {PROPERTY} and no evidence"] if PROPERTY in verdicts else []
    return f"Of the {len(verdicts)} claims in the ledger: " + ", ".join(parts) + "."


class Reporter:
    """Reports the claims of one notebook. In any profile but `paper`, all are `not tested`."""

    def __init__(self, notebook: str, profile: str = "paper"):
        every = ledger() | ledger(section="after")
        self.claims = {k: c for k, c in every.items() if c.notebook == notebook}
        if not self.claims:
            raise LedgerError(
                f"the ledger has no claim for notebook {notebook!r}: add one to fa_core/{LEDGER.name}, with "
                "its bound, before the first run"
            )
        if profile not in PROFILES:
            raise LedgerError(f"unknown profile {profile!r}; there are: {', '.join(PROFILES)}")
        self.notebook, self.profile = notebook, profile
        self.reported: dict[str, Verdict] = {}

    def __call__(
        self,
        id: str,
        value: float | np.ndarray = math.nan,
        n: int = 0,
        interval: Sequence[float] | None = None,
        also: Iterable[tuple] = (),
        *,
        kind: str = ESTIMATE,
        unfinished: str = "",
        stand_in: str = "",
        untested: str = "",
    ) -> Verdict:
        """Judge and show one claim.

        `value`: of an estimate one value of each run, judged by their mean and Student's interval; or any number, with `n`,
        how many runs or examples it is of, and `interval`, its 95 % interval. Without one, `kind` says what else the measure
        is (`KINDS`). `also`: for each further condition of the measure (what, value, low, high, its interval or its kind),
        of values of the runs (what, values, low, high).
        `unfinished`: why the run was ended before its own stopping rule; `stand_in`: what stood in for the paper's data;
        `untested`: why the claim was not tested.

        Raises LedgerError for a claim that is not this notebook's, for a measure without interval or kind, and for a
        second report that says something else than the first."""
        if not isinstance(id, str) or id not in self.claims:
            raise LedgerError(f"{id!r} is no claim of {self.notebook}; there are: {', '.join(self.claims)}")
        if isinstance(n, bool) or not hasattr(n, "__index__") or n < 0:
            raise LedgerError(f"{id}: n is {n!r}, wanted is how many runs or examples the measure is of")
        reason = untested or ("" if self.profile == "paper" else f"the {self.profile} profile is too small")
        bounds = None
        if not untested:
            value, bounds, n = checked(id, value, interval, kind, n)
        conditions = []
        for condition in also if isinstance(also, Iterable) and not isinstance(also, str) else [also]:
            if not isinstance(condition, list | tuple) or len(condition) not in (4, 5):
                raise LedgerError(
                    f"{id}: also has {condition!r}, wanted is for each further condition (what, value, low, high), and of "
                    "one number its interval or its kind"
                )
            what, v, low, high, certainty = (*condition, None)[:5]
            low, high = _pair(f"{id}, {what!r}: the bound", (low, high))
            of = (None, certainty) if isinstance(certainty, str) else (certainty, ESTIMATE)
            v, its_interval, _ = checked(f"{id}, {what!r}", v, *of)
            conditions.append(Condition(what, v, low, high, its_interval, of[1]))
        found = Verdict(self.claims[id], float(value), n, bounds, kind, tuple(conditions), unfinished, stand_in, reason)
        if id in self.reported and self.reported[id].as_json() != found.as_json():
            raise LedgerError(
                f"{id!r} was reported before, as {self.reported[id].row()['ours']}: a claim is reported once; "
                "to change what is reported, run the notebook from its beginning"
            )
        self.reported[id] = found
        return found

    def unreported(self) -> list[str]:
        """The claims still to be reported; a notebook ends by showing that there are none."""
        return [k for k in self.claims if k not in self.reported]
