"""The scorecard: every claim as a row with a picture, and the state of the evidence in one figure. HTML from verdicts.

Here a row is what a notebook's output says of a claim (`claims.Verdict.as_json`), with `in`, the notebook.
"""

import html
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

from pybtex.database import parse_file
from pybtex.richtext import Text

from fa_core import claims, notebooks

# What a verdict is called in class names, in the order in which verdicts are counted.
CLASSES = {
    claims.REPRODUCED: "reproduced",
    claims.MISSED: "missed",
    claims.UNDECIDED: "undecided",
    claims.UNTESTED: "untested",
    claims.PROPERTY: "property",
}
CLASSES |= {v + claims.STAND_IN: f"{CLASSES[v]} stand-in" for v in (claims.REPRODUCED, claims.MISSED, claims.UNDECIDED)}
BAND = (30.0, 70.0)  # where a bound with two ends is drawn, in percent of the width
MARGIN = 4.0  # what a mark needs at the edges
EDGE = 50.0  # where the end of a bound with one end is drawn

# What a measure without an interval is, in two words.
AS_IT_STANDS = {
    "P value": "P",
    "count": "counted",
    "extreme": "of all runs",
    "deterministic": "no chance in it",
    "code": "by construction",
}

NUMBER = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
ONE = re.compile(rf"(?:P = )?{NUMBER}(?P<unit> %| points)?(?: \(n = \d+\))?")
PAIR = re.compile(rf"{NUMBER}(?: %)? against {NUMBER}(?: %| MSE)?")


def text(s: str) -> str:
    """Text fit for HTML, attributes included."""
    return html.escape(" ".join(str(s).split()))


def kind(verdict: str) -> str:
    """The class names of a verdict."""
    return CLASSES[verdict]


def paper_mark(claim: claims.Claim) -> float | None:
    """The paper's number in the units of the claim's measure: the difference or the ratio, where it gives the two numbers
    and the measure is one of these. None where it gives none."""
    difference = "minus" in claim.measure or "difference" in claim.measure
    if pair := PAIR.fullmatch(claim.paper):
        a, b = map(float, pair.groups())
        return a - b if difference else a / b
    one = ONE.fullmatch(claim.paper)
    if not one or (difference and one["unit"] != " points"):
        return None
    return float(one[1])


def place(value: float, bound: tuple[float, float], unit: float) -> float:
    """Where a value is drawn, 0 to 100: linear inside a bound with two ends, and beyond an end ever closer together, so
    that every number has a place. `unit`: how far from an end is half-way to the edge of the picture."""
    low, high = bound
    if math.isinf(low) and math.isinf(high):
        return EDGE
    if math.isfinite(low) and math.isfinite(high):
        ends = BAND if high > low else (EDGE, EDGE)
        if low <= value <= high:
            return ends[0] + (ends[1] - ends[0]) * ((value - low) / (high - low) if high > low else 0)
        end, at, to_left = (low, ends[0], True) if value < low else (high, ends[1], False)
    else:
        end, at = (low if math.isfinite(low) else high), EDGE
        to_left = value < end
    far = abs(value - end)
    share = 1.0 if math.isinf(far) else far / (far + unit)
    room = (at if to_left else 100 - at) - MARGIN
    return at - room * share if to_left else at + room * share


def unit_of(bound: tuple[float, float], values: list[float]) -> float:
    """The width of a bound with two ends; else the largest distance of the finite values from its end."""
    low, high = bound
    if math.isfinite(low) and math.isfinite(high) and high > low:
        return high - low
    end = low if math.isfinite(low) else high
    return max((abs(v - end) for v in values if math.isfinite(v)), default=0.0) or 1.0


def numbers(row: dict) -> tuple[float, list[float]]:
    """The value and the ends of the interval, as numbers: infinities and NaN are text in JSON."""
    return float(row["value"]), [float(v) for v in row["interval"] or ()]


def unit(claim: claims.Claim) -> str:
    """The unit of what a claim's measure measures, as it is written after a number."""
    if claim.measure.startswith("share "):
        return ""
    units = (("percentage points", " points"), ("percent", " %"), ("degrees", "°"))
    return next((sign for word, sign in units if word in claim.measure), "")


def ours(claim: claims.Claim, row: dict) -> tuple[str, str]:
    """What was measured, in short, and its interval, or what it is instead."""
    if row["verdict"] == claims.UNTESTED:
        return "–", ""
    value, interval = numbers(row)
    shown = claims.digits(value) + unit(claim)
    if row["kind"] == claims.END:
        low, high = map(claims.digits, interval)
        return f"{low} to {high}{unit(claim)}", f"its {'upper' if value == interval[1] else 'lower'} end is judged"
    if row["kind"] == claims.ESTIMATE:
        return shown, " to ".join(map(claims.digits, interval))
    return shown, AS_IT_STANDS[row["kind"]]


def in_short(why: str) -> str:
    """The first few words of why a verdict is what it is: up to where it goes into particulars."""
    return re.split(r" \(|[:;]", why, maxsplit=1)[0]


def group(claim: claims.Claim) -> str:
    """The part of the paper that a claim is of, from its name."""
    for pattern, name in ((r"figS(\d+)", "Fig. S{}"), (r"fig(\d+)", "Fig. {}"), (r"sn(\d+)", "Note {}")):
        if found := re.match(pattern, claim.id):
            return name.format(found[1])
    return "Methods"


def by_group() -> dict[str, list[claims.Claim]]:
    """The ledger's claims by part of the paper: its figures, its Methods, its supplementary figures and notes."""
    found: dict[str, list[claims.Claim]] = {}
    for claim in claims.ledger().values():
        found.setdefault(group(claim), []).append(claim)
    order = ("Fig. ", "Methods", "Fig. S", "Note ")

    def key(name: str) -> tuple[int, int]:
        kind, number = re.fullmatch(r"(\D+)(\d*)", name).groups()
        return order.index(kind), int(number or 0)

    return {name: found[name] for name in sorted(found, key=key)}


def strip(claim: claims.Claim, row: dict) -> str:
    """A claim as a picture: the bound as a band, ours with its interval, the paper's mark."""
    value, interval = numbers(row) if row["verdict"] != claims.UNTESTED else (math.nan, [])
    paper = paper_mark(claim)
    values = [v for v in (value, *interval, *([] if paper is None else [paper])) if not math.isnan(v)]
    unit = unit_of(claim.accept, values)

    def at(v):
        return place(v, claim.accept, unit)

    low, high = (
        0.0 if math.isinf(claim.accept[0]) else at(claim.accept[0]),
        100.0 if math.isinf(claim.accept[1]) else at(claim.accept[1]),
    )
    parts = [f"<i class='bound{' exact' if high == low else ''}' style='left:{low:.1f}%;width:{high - low:.1f}%'></i>"]
    if interval and not any(map(math.isnan, interval)):
        begin, end = map(at, interval)
        parts.append(f"<i class='interval' style='left:{begin:.1f}%;width:{end - begin:.1f}%'></i>")
    if paper is not None:
        parts.append(f"<i class='paper' style='left:{at(paper):.1f}%'></i>")
    if not math.isnan(value):
        parts.append(f"<i class='ours' style='left:{at(value):.1f}%'></i>")
    return f"<span class='strip' aria-hidden='true'>{''.join(parts)}</span>"


LEGEND = (
    "<p class='legend'><span><i class='bound'></i> the bound</span> "
    "<span class='reproduced'><i class='ours'></i><i class='interval'></i> ours, with its 95 % interval</span> "
    "<span><i class='paper'></i> the paper's number</span></p>"
)


def used(rows: dict[str, dict]) -> list[str]:
    """The verdicts that occur, in the order in which they are counted."""
    there = Counter(row["verdict"] for row in rows.values())
    return [v for v in CLASSES if there[v]]


def evidence(rows: dict[str, dict], page: str) -> str:
    """The state of the evidence: a square for each claim, by figure, linked to its row on the scorecard, `page`."""
    groups = []
    for name, of_it in by_group().items():
        squares = "".join(
            f"<a class='{kind(rows[c.id]['verdict'])}' href='{page}#{text(c.id)}' "
            f"title='{text(c.states)}: {text(rows[c.id]['verdict'])}' "
            f"aria-label='{text(c.id)}: {text(rows[c.id]['verdict'])}'>{claims.MARKS[rows[c.id]['verdict']]}</a>"
            for c in of_it
        )
        groups.append(f"<div><span>{name}</span><span>{squares}</span></div>")
    count = Counter(row["verdict"] for row in rows.values())
    legend = " ".join(f"<span><i class='{kind(v)}'>{claims.MARKS[v]}</i> {count[v]} {v}</span>" for v in used(rows))
    return f"<div class='evidence'><p class='legend'>{legend}</p><div class='groups'>{''.join(groups)}</div></div>"


def table(ledger: dict[str, claims.Claim], rows: dict[str, dict], headings: dict[str, str], address) -> str:
    """The claims of a ledger as a table, a part for each notebook; `headings`: its title by name; `address(name, id)`: that
    of the cell that judges a claim, or without one of the notebook."""
    count = Counter(row["verdict"] for row in rows.values())
    choices = "".join(
        f"<label><input type='checkbox' value='{text(v)}' checked> {claims.MARKS[v]} {v} ({count[v]})</label>"
        for v in used(rows)
    )
    filters = (
        "<form class='claims-filter' data-of='claims' hidden role='search'><label>Search the claims "
        "<input type='search' autocomplete='off'></label> <output aria-live='polite'></output>"
        f"<fieldset><legend>Verdict</legend>{choices}</fieldset></form>"
    )
    head = "".join(f"<th scope='col'>{h}</th>" for h in ("claim", "as a picture", "paper", "ours", "bound", "verdict"))
    bodies = []
    for name, heading in headings.items():
        of_it = [c for c in ledger.values() if c.notebook == name]
        lines = "".join(line(c, rows[c.id], address(name, c.id)) for c in of_it)
        bodies.append(
            f"<tbody><tr class='notebook'><th scope='rowgroup' colspan='6'><a href='{address(name, '')}'>"
            f"{text(heading)}</a> <code>make refresh NOTEBOOK={name}</code></th></tr>{lines}</tbody>"
        )
    return (
        f"<div>{filters}{LEGEND}<table class='scorecard'><thead><tr>{head}</tr></thead>{''.join(bodies)}</table>"
        "<p class='claims-none' hidden>No claim has all these words and one of these verdicts.</p></div>"
    )


def cited(key: str) -> str:
    """The authors and the year of a work that the bibliography has: "Akrout et al., 2019". Raises KeyError for no such."""
    work = bibliography()[key]
    names = [str(Text.from_latex(" ".join(p.prelast_names + p.last_names))) for p in work.persons["author"]]
    return f"{names[0]} et al., " * (len(names) > 2) + f"{' and '.join(names)}, " * (len(names) < 3) + work.fields["year"]


@cache
def bibliography() -> Mapping:
    """The works that the book cites, by key."""
    return parse_file(str(notebooks.ROOT / "book" / "references.bib"), "bibtex").entries


def line(claim: claims.Claim, row: dict, address: str) -> str:
    """One claim in the table."""
    shown, certain = ours(claim, row)
    further = []
    for c in row["also"]:
        value, (low, high) = float(c["value"]), (float(c["low"]), float(c["high"]))
        interval = " ({} to {})".format(*(claims.digits(float(v)) for v in c["interval"])) if c["interval"] else ""
        further.append((c["what"], f"{claims.digits(value)}{interval}; bound {claims.interval_text((low, high))}"))
    more = [
        ("name", claim.id),
        ("measure", claim.measure),
        *further,
        ("runs", str(row["n"] or "")),
        ("depends on", claim.depends),
        ("of", cited(claim.source) if claim.source else ""),
        ("added to the ledger", claim.added),
        ("why", row["why"] if in_short(row["why"]) != row["why"] else ""),
    ]
    said = "".join(f"<dt>{text(k)}</dt><dd>{text(v)}</dd>" for k, v in more if v)
    said += f"<dt>repeat it</dt><dd><code>make refresh NOTEBOOK={claim.notebook}</code></dd>"
    small = f"<small>{text(certain)}</small>" if certain else ""
    why = f"<small>{text(in_short(row['why']))}</small>" if row["why"] else ""
    return (
        f"<tr id='{text(claim.id)}' data-verdict='{text(row['verdict'])}' class='{kind(row['verdict'])}'>"
        f"<td>{text(claim.states)} <details><summary>more</summary><dl>{said}</dl></details></td>"
        f"<td>{strip(claim, row)}</td>"
        f"<td data-label='paper'>{text(claim.paper) or '–'}</td>"
        f"<td data-label='ours'><strong>{shown}</strong>{small}</td>"
        f"<td data-label='bound'>{text(claims.interval_text(claim.accept))}</td>"
        f"<td data-label='verdict'><a class='cell' href='{address}'>{claims.MARKS[row['verdict']]} {row['verdict']}</a>"
        f"{why}</td></tr>"
    )
