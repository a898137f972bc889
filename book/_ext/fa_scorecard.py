"""The scorecard: every claim as a picture and as a table, and the state of the evidence in one figure. HTML from verdicts.

Here a row is what a notebook's output says of a claim (`claims.Verdict.as_json`), with `in`, the notebook.
"""

import html
import math
import re
from collections import Counter

from fa_core import claims

# What a verdict is called in class names, in the order in which verdicts are counted.
CLASSES = {claims.REPRODUCED: "reproduced", claims.MISSED: "missed", claims.UNDECIDED: "undecided",
           claims.UNTESTED: "untested", claims.PROPERTY: "property"}
CLASSES |= {v + claims.STAND_IN: f"{CLASSES[v]} stand-in" for v in (claims.REPRODUCED, claims.MISSED, claims.UNDECIDED)}
BAND = (30.0, 70.0)  # where a bound with two ends is drawn, in percent of the width
MARGIN = 4.0  # what a mark needs at the edges
EDGE = 50.0  # where the end of a bound with one end is drawn

# What a measure without an interval is, in two words.
AS_IT_STANDS = {"P value": "P", "count": "counted", "extreme": "of all runs", "deterministic": "no chance in it",
                "code": "by construction"}

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


def ours(row: dict) -> tuple[str, str]:
    """What was measured, in short, and its interval, or what it is instead."""
    if row["verdict"] == claims.UNTESTED:
        return "–", ""
    value, interval = numbers(row)
    shown = f"{value:.3g}"
    if row["kind"] == claims.END:
        other = interval[0] if value == interval[1] else interval[1]
        return shown, f"{'upper' if value == interval[1] else 'lower'} end of an interval, the other {other:.3g}"
    if row["kind"] == claims.ESTIMATE:
        return shown, f"{interval[0]:.3g} to {interval[1]:.3g}"
    return shown, AS_IT_STANDS[row["kind"]]


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
    """One claim on a line of its own: the bound as a band, ours with its interval, the paper's mark."""
    value, interval = numbers(row) if row["verdict"] != claims.UNTESTED else (math.nan, [])
    paper = paper_mark(claim)
    values = [v for v in (value, *interval, *([] if paper is None else [paper])) if not math.isnan(v)]
    unit = unit_of(claim.accept, values)

    def at(v):
        return place(v, claim.accept, unit)

    low, high = (0.0 if math.isinf(claim.accept[0]) else at(claim.accept[0]),
                 100.0 if math.isinf(claim.accept[1]) else at(claim.accept[1]))
    parts = [f"<i class='bound{' exact' if high == low else ''}' style='left:{low:.1f}%;width:{high - low:.1f}%'></i>"]
    if interval and not any(map(math.isnan, interval)):
        begin, end = map(at, interval)
        parts.append(f"<i class='interval' style='left:{begin:.1f}%;width:{end - begin:.1f}%'></i>")
    if paper is not None:
        parts.append(f"<i class='paper' style='left:{at(paper):.1f}%'></i>")
    if not math.isnan(value):
        parts.append(f"<i class='ours' style='left:{at(value):.1f}%'></i>")
    shown, certain = ours(row)
    said = (f"{claim.states}. Ours {shown}{f' ({certain})' if certain else ''}; bound {claims.interval_text(claim.accept)}; "
            f"paper {claim.paper or 'no number'}: {row['verdict']}")
    name = claim.id.split(".", 1)[1]
    return (f"<a class='claim {kind(row['verdict'])}' href='#{text(claim.id)}' title='{text(said)}'>"
            f"<b>{text(name)}</b><span class='strip' aria-hidden='true'>{''.join(parts)}</span>"
            f"<em aria-label='{text(row['verdict'])}'>{claims.MARKS[row['verdict']]}</em></a>")


def picture(rows: dict[str, dict]) -> str:
    """All claims, by figure, a line to each."""
    legend = ("<p class='legend'><span><i class='bound'></i> the bound</span> "
              "<span class='reproduced'><i class='ours'></i><i class='interval'></i> ours, with its 95 % interval</span> "
              "<span><i class='paper'></i> the paper's number</span> "
              + " ".join(f"<span class='{kind(v)}'><em>{claims.MARKS[v]}</em> {v}</span>" for v in used(rows)) + "</p>")
    groups = [f"<section aria-label='{name}'><h3>{name}</h3>" + "".join(strip(c, rows[c.id]) for c in of_it) + "</section>"
              for name, of_it in by_group().items()]
    return f"<div class='claims-picture'>{legend}<div class='groups'>{''.join(groups)}</div></div>"


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
            for c in of_it)
        groups.append(f"<div><span>{name}</span><span>{squares}</span></div>")
    count = Counter(row["verdict"] for row in rows.values())
    legend = " ".join(f"<span><i class='{kind(v)}'>{claims.MARKS[v]}</i> {count[v]} {v}</span>" for v in used(rows))
    return f"<div class='evidence'><p class='legend'>{legend}</p><div class='groups'>{''.join(groups)}</div></div>"


def table(rows: dict[str, dict], headings: dict[str, str], cell_of) -> str:
    """The claims as a table, a part for each notebook; `headings`: its title by name; `cell_of(name, id)`: the address of
    the cell that judges."""
    count = Counter(row["verdict"] for row in rows.values())
    choices = "".join(f"<label><input type='checkbox' value='{text(v)}' checked> {claims.MARKS[v]} {v} ({count[v]})</label>"
                      for v in used(rows))
    filters = ("<form class='claims-filter' hidden role='search'><label>Search the claims "
               "<input type='search' autocomplete='off'></label>"
               f"<fieldset><legend>Verdict</legend>{choices}</fieldset><output aria-live='polite'></output></form>")
    head = "".join(f"<th scope='col'>{h}</th>" for h in ("claim", "paper", "ours", "bound", "verdict"))
    bodies = []
    for name, heading in headings.items():
        of_it = [c for c in claims.ledger().values() if c.notebook == name]
        lines = "".join(line(c, rows[c.id], cell_of(name, c.id)) for c in of_it)
        bodies.append(f"<tbody><tr class='notebook'><th scope='rowgroup' colspan='5'><a href='{cell_of(name, '')}'>"
                      f"{text(heading)}</a></th></tr>{lines}</tbody>")
    return (f"{filters}<table class='scorecard'><thead><tr>{head}</tr></thead>{''.join(bodies)}</table>"
            "<p class='claims-none' hidden>No claim has all these words and one of these verdicts.</p>")


def line(claim: claims.Claim, row: dict, address: str) -> str:
    """One claim in the table."""
    shown, certain = ours(row)
    bound = claims.interval_text(claim.accept)
    further = []
    for c in row["also"]:
        value, (low, high) = float(c["value"]), (float(c["low"]), float(c["high"]))
        interval = " ({:.3g} to {:.3g})".format(*map(float, c["interval"])) if c["interval"] else ""
        further.append(f"<dt>{text(c['what'])}</dt><dd>{value:.3g}{interval}; bound "
                       f"{text(claims.interval_text((low, high)))}</dd>")
    more = [("measure", text(claim.measure)), ("depends on", text(claim.depends)),
            ("added to the ledger", text(claim.added)), ("runs", str(row["n"] or ""))]
    said = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in more if v) + "".join(further)
    said += f"<dt>judged</dt><dd><a href='{address}'>in this cell of {claim.notebook}</a></dd>"
    said += f"<dt>repeat it</dt><dd><code>make refresh NOTEBOOK={claim.notebook}</code></dd>"
    small = f"<small>{text(certain)}</small>" if certain else ""
    why = f"<small>{text(row['why'])}</small>" if row["why"] else ""
    return (f"<tr id='{text(claim.id)}' data-verdict='{text(row['verdict'])}' class='{kind(row['verdict'])}'>"
            f"<td>{text(claim.states)} <a class='own' href='#{text(claim.id)}'>{text(claim.id)}</a>"
            f"<details><summary>more</summary><dl>{said}</dl></details></td>"
            f"<td data-label='paper'>{text(claim.paper) or '–'}</td>"
            f"<td data-label='ours'><strong>{shown}</strong>{small}</td>"
            f"<td data-label='bound'>{text(bound)}</td>"
            f"<td data-label='verdict'><span class='sign'>{claims.MARKS[row['verdict']]}</span> {row['verdict']}{why}</td>"
            "</tr>")
