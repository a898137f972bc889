"""The ledger of what the paper states, and the verdicts: reproduced, not reproduced, not tested.

The ledger, `claims.toml`, was written before any run. A notebook reports each of its claims once:

    report = claims.Reporter("02_linear", profile)
    report("fig2b.angle-shrinks", value, n=20, interval=(low, high))

What `report` returns shows itself as a row and carries the same row as JSON, of which the scorecard is made.
"""

import html
import math
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

LEDGER = Path(__file__).parent / "claims.toml"
MIME = "application/vnd.fa-core.claim+json"
REPRODUCED, MISSED, UNTESTED = "reproduced", "not reproduced", "not tested"
PROFILES = ("paper", "smoke")
MARKS = {REPRODUCED: "✓", MISSED: "✗", UNTESTED: "–"}  # so that a verdict is not told by colour alone


class LedgerError(ValueError):
    """The ledger, or a report to it, is not as it should be."""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper and the bound, inclusive, by which agreement with it is judged."""

    id: str
    notebook: str
    states: str
    measure: str
    accept: tuple[float, float]
    paper: str = ""
    depends: str = ""

    def __post_init__(self):
        low, high = self.accept
        if math.isnan(low) or math.isnan(high) or low > high:
            raise LedgerError(f"{self.id}: accept = [{low}, {high}] is not an interval")


@cache
def ledger(path: Path = LEDGER) -> dict[str, Claim]:
    """The claims by id. Raises LedgerError for a duplicate or a malformed entry."""
    found = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8"))["claim"]:
        try:
            claim = Claim(**{**entry, "accept": tuple(float(v) for v in entry["accept"])})
        except (TypeError, KeyError, ValueError) as error:
            raise LedgerError(f"{path}: claim {entry.get('id', '?')!r}: {error}") from error
        if claim.id in found:
            raise LedgerError(f"{path}: claim {claim.id!r} stands twice")
        found[claim.id] = claim
    return found


@dataclass(frozen=True)
class Condition:
    """A further condition that a claim's measure names, e.g. where something starts."""

    what: str
    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the value lies in the bounds, inclusive; NaN never does."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True)
class Verdict:
    """A claim, what was measured, and the judgement."""

    claim: Claim
    value: float
    n: int
    interval: tuple[float, float] | None = None
    also: tuple[Condition, ...] = ()
    reason: str = ""
    verdict: str = field(init=False)

    def __post_init__(self):
        low, high = self.claim.accept
        # A NaN is outside every bound.
        inside = low <= self.value <= high and all(c.holds for c in self.also)
        object.__setattr__(self, "verdict", UNTESTED if self.reason else REPRODUCED if inside else MISSED)

    def row(self) -> dict[str, str]:
        """The row, as text."""
        bound = interval_text(self.claim.accept)
        measured = "" if math.isnan(self.value) else f"{self.value:.3g}"
        if self.interval:
            measured += f" [{self.interval[0]:.3g}, {self.interval[1]:.3g}]"
        measured += f" (n = {self.n})" if self.n else ""
        for c in self.also:
            measured += f"; {c.what}: {c.value:.3g}"
            bound += f"; {c.what} {interval_text((c.low, c.high))}"
        judged = f"{MARKS[self.verdict]} {self.verdict}" + (f": {self.reason}" if self.reason else "")
        return {"claim": f"{self.claim.states} ({self.claim.id})", "paper": self.claim.paper or "no number given",
                "measure": self.claim.measure, "ours": measured or "-", "bound": bound, "verdict": judged}

    def as_json(self) -> dict:
        """The row as JSON; infinities and NaN as strings, for JSON has none."""
        def plain(v):
            return float(f"{v:.4g}") if math.isfinite(v) else str(v)

        data = asdict(self.claim) | {"accept": [plain(v) for v in self.claim.accept]}
        return data | {"value": plain(self.value), "n": self.n, "verdict": self.verdict, "reason": self.reason,
                       "interval": [plain(v) for v in self.interval] if self.interval else None,
                       "also": [{k: plain(v) if k != "what" else v for k, v in asdict(c).items()} for c in self.also]}

    def _repr_mimebundle_(self, include=None, exclude=None):
        row = self.row()
        text = "\n".join(f"{k}: {v}" for k, v in row.items())
        table = "".join(f"<tr><th scope='row' style='text-align:left'>{html.escape(k)}</th>"
                        f"<td style='text-align:left'>{html.escape(v)}</td></tr>" for k, v in row.items())
        return {"text/plain": text, "text/html": f"<table class='verdict'>{table}</table>", MIME: self.as_json()}


def interval_text(bounds) -> str:
    """A bound in words: at most, at least, or between."""
    low, high = bounds
    if math.isinf(low) and math.isinf(high):
        return "any"
    if math.isinf(high):
        return f"at least {low:g}"
    return f"at most {high:g}" if math.isinf(low) else f"{low:g} to {high:g}"


class Reporter:
    """Reports the claims of one notebook. In any profile but `paper`, all are `not tested`."""

    def __init__(self, notebook: str, profile: str = "paper"):
        self.claims = {k: c for k, c in ledger().items() if c.notebook == notebook}
        if not self.claims:
            raise LedgerError(f"the ledger has no claim for notebook {notebook!r}")
        if profile not in PROFILES:
            raise LedgerError(f"unknown profile {profile!r}; there are: {', '.join(PROFILES)}")
        self.notebook, self.profile, self.reported = notebook, profile, set()

    def __call__(self, id: str, value: float = math.nan, n: int = 0, interval=None, also=(), untested: str = "") -> Verdict:
        """Judge and show one claim. `also`: (what, value, low, high) for each further condition of its measure;
        `untested`: why it was not tested.

        Raises LedgerError for a claim that is not this notebook's or is reported twice."""
        if id not in self.claims:
            raise LedgerError(f"{id!r} is no claim of {self.notebook}; there are: {', '.join(self.claims)}")
        if id in self.reported:
            raise LedgerError(f"{id!r} is reported twice")
        self.reported.add(id)
        reason = untested or ("" if self.profile == "paper" else f"the {self.profile} profile is too small")
        return Verdict(self.claims[id], float(value), n, tuple(map(float, interval)) if interval is not None else None,
                       tuple(Condition(*c) for c in also), reason)

    def unreported(self) -> list[str]:
        """The claims still to be reported; a notebook ends by showing that there are none."""
        return [k for k in self.claims if k not in self.reported]
