"""Numbers in prose: where they stand, and what each is bound to.

    python -m tests.prose PAGE [--outputs]      the numbers of a page that nothing binds, each with outputs that have it

A page is a notebook, README or a page of the book. What a number in its prose is, is said in `tests/numbers/PAGE.toml`, by
the words around it, quoted from the source:

    paper = ["30.2 against 8.6"]                        the paper's own numbers
    settings = ["60,000 training images", "U[-0.5, 0.5]"]   what was chosen: sizes, seeds, rates, thresholds
    [mathematics]
    "within 1.41 of it" = "sqrt(2)"                     what can be worked out, for SymPy
    [ours]
    "predicted 39.3" = "predicted #"                    a result: the output of the page's notebook that shows it
    "falls from 89° to 25°" = ["02_linear: angle # to #"]   of another notebook, and several numbers in order

In an output `#` is the number and `…` any text within the line; blanks stand for any white space. The number in the prose
has to be the one in the output, to the digits that the prose shows (after *some*, *about*, *nearly* without the noughts at
its end); the words have to occur in the prose, and the output in the notebook, each time with the same number. A number that
the book fills in when it is built, by the role `ours`, is bound by that.

What counts as a number: all with a decimal point, all of two digits and more, and those of one digit with a unit (%, °,
percent, degrees, times, points) or in "n of m" and "n to m". Formulas count where they have a decimal point. Left out are
the numbers of equations, figures, notes, theorems and notebooks, years, the sizes of networks such as 30-20-10, code,
addresses and the targets of links.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sympy

from fa_core import notebooks

ROOT = notebooks.ROOT
FOLDER = Path(__file__).parent / "numbers"

NAMED = (
    "(?i:notes?|figs?[.]?|figures?|equations?|eqs?[.]|theorems?|lemmas?|exercises?|solutions?|cases?|lines?|SI|tables?|"
    "condition|version|Python|doi|Communications|notebooks?)"
)
ONE = r"S?\(?\d+[a-z]?(?:,[a-z])*\)?"
LEFT_OUT = re.compile(
    "|".join(
        (
            r"(?ms:^```(\{[^\n]*)?$|^```\w+$.*?^```$)",  # the ends of a directive; code
            r"(?m:^:\w+:[^\n]*$|^\([\w-]+\)=$|^\s*\d+\. )",  # options, labels, numbers of items
            r"(?s:<!-- counts -->.*?<!-- end of counts -->)|</?[a-z][^>]*>",  # counted by `fa_core run`
            r"\{[\w:]+\}`[^`]*`|`[^`\n]*`",  # roles, code within a line
            r"\[\d\d\]\([^)]*\)|\]\([^)]*\)|https?://\S+",  # the number of a notebook, where a link leads
            r"(?<![.\d])0[1-9]\b",
            NAMED + r"[\s\\]+" + ONE + r"(?:(?:, (?:and )?| and | to | or |-|–)" + ONE + r"(?!\d|\.\d))*",
            r"(?<![\w$}])\(\d+[a-z]?\)(?:(?:, | and |-|–)\(\d+\))*",  # equations
            r"\b(?:19|20)\d\d\b(?!,)",
            r"\b\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December)\b",
            r"\b\d+(?:-\d+)+\b",  # the sizes of a network
        )
    )
)
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.S)
NUMBER = re.compile(r"(?<![\w.,^_{])(?<!\d[-−])[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-−+]?\d+)?(?![\d]|\.\d)")
ROUGHLY = re.compile(r"\b(?:some|about|nearly)\s+\$?$")
UNIT = re.compile(r"(?:\s|\\,)*(?:\\?%|°|percent|degrees|times|points)")
RANGE = re.compile(r"\s(?:of|to|out of|in)\s(?=[-−]?\d)")


class ProseError(ValueError):
    """What a page's list says of its numbers is not so; the message says which and why."""


@dataclass(frozen=True)
class Number:
    """A number at a place in a text."""

    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)


def blank(match: re.Match) -> str:
    """As many spaces, so that what follows stays where it is."""
    return " " * len(match[0])


def numbers(text: str) -> list[Number]:
    """The numbers in a piece of prose that have to be bound to something, in order."""
    kept = LEFT_OUT.sub(blank, text)
    formulas = [m.span() for m in FORMULA.finditer(kept)]
    found = []
    for m in NUMBER.finditer(kept):
        decimal = "." in m[0] or "e" in m[0]
        if any(a <= m.start() < b for a, b in formulas):
            counts = decimal
        else:
            tied = (
                UNIT.match(kept, m.end())
                or RANGE.match(kept, m.end())
                or re.search(r"\d\s(?:of|to|out of|in)\s$", kept[: m.start()])
            )
            counts = decimal or tied or len(re.sub(r"\D", "", m[0])) > 1
        if counts:
            found.append(Number(m[0], m.start()))
    return found


def value(text: str) -> float:
    """The number that a text shows."""
    return float(text.replace(",", "").replace("−", "-"))


def shows(shown: str, number: float, rounded: bool = False) -> bool:
    """Whether `shown`, in prose, is `number`, to the digits that it shows: 39.3 for 39.28. `rounded`: the noughts at its end
    are no digits: 3,200 for 3215."""
    mantissa, _, exponent = shown.replace(",", "").replace("−", "-").partition("e")
    digits = len(mantissa.partition(".")[2])
    if rounded and not digits:
        digits = len(mantissa.rstrip("0")) - len(mantissa)
    return abs(value(shown) - number) <= 10.0 ** (int(exponent or 0) - digits) * (0.5 + 1e-9)


def page(name: str) -> list[str]:
    """The pieces of prose of a page: the text, its figures' captions, and what is said to those who do not see them."""
    if name in notebooks.names():
        pieces = []
        for cell in notebooks.read(notebooks.path(name)).cells:
            if cell.cell_type == "markdown":
                pieces.append(cell.source)
            shown = cell.metadata.get("mystnb", {})
            pieces += [
                shown[part][key] for part, key in (("figure", "caption"), ("image", "alt")) if key in shown.get(part, {})
            ]
        return pieces
    file = ROOT / f"{name}.md" if name == "README" else ROOT / "book" / f"{name}.md"
    return [file.read_text(encoding="utf-8")]


@cache
def outputs(name: str) -> str:
    """All that a notebook's outputs say, as text."""
    found = []
    for cell in notebooks.code_cells(notebooks.read(notebooks.path(name))):
        for output in cell.outputs:
            if output.output_type == "stream":
                found.append(output.text)
            elif "text/plain" in output.get("data", {}):
                found.append(output.data["text/plain"])
    return re.sub(r"[ \t]+", " ", "\n".join(found))


def found_in(source: str, template: str) -> list[str]:
    """The numbers that a template finds in the outputs. Raises ProseError where it finds none, or not the same each time."""
    parts = [re.escape(p).replace("…", r"[^\n]*?").replace(r"\ ", r"\s+") for p in template.split("#")]
    pattern = r"(?<![\d.])([-−+]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?)(?!\d|\.\d)".join(parts)
    hits = {m.groups() for m in re.finditer(pattern, source)}
    if len(hits) != 1:
        raise ProseError(
            f"the output {template!r} is found with {len(hits)} different numbers, wanted one"
            + (f": {sorted(hits)}" if hits else "")
        )
    return list(hits.pop())


def shown_by(name: str, templates: str | list[str]) -> list[str]:
    """The numbers of the outputs, in order. A template may begin with the name of another notebook and a colon."""
    found = []
    for template in [templates] if isinstance(templates, str) else templates:
        head, colon, rest = template.partition(": ")
        other = bool(colon) and head in notebooks.names()
        if not other and name not in notebooks.names():
            raise ProseError(f"{template!r}: say which notebook shows it, as `02_linear: …`")
        found += found_in(outputs(head if other else name), rest if other else template)
    return found


def worked_out(formula: str) -> list[float]:
    """The values of formulas, for SymPy, with semicolons between them."""
    return [float(sympy.sympify(part)) for part in formula.split(";")]


def listed(name: str) -> dict:
    """What is said of a page's numbers; nothing where there is no list."""
    file = FOLDER / f"{name}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def places(pieces: list[str], words: str) -> list[tuple[int, int, int]]:
    """Where words stand: in which piece, from where, to where. Any white space in them stands for any."""
    pattern = re.escape(words).replace(r"\ ", r"\s+")
    return [(k, m.start(), m.end()) for k, piece in enumerate(pieces) for m in re.finditer(pattern, piece)]


def problems(name: str, pieces: list[str] | None = None, rows: dict | None = None) -> list[str]:
    """What is wrong with the numbers in a page's prose: those that nothing binds, and bindings that do not hold."""
    pieces, rows = page(name) if pieces is None else pieces, listed(name) if rows is None else rows
    kinds = ("paper", "settings", "mathematics", "ours")
    if unknown := set(rows) - set(kinds):
        return [f"{name}: there is no {', '.join(sorted(unknown))}; there are: {', '.join(kinds)}"]
    left = {(k, n.at): n for k, piece in enumerate(pieces) for n in numbers(piece)}
    free, found = sorted(left.items()), []
    entries = [(words, None, "") for key in kinds[:2] for words in rows.get(key, [])]
    for words, kind, source in [*entries, *((w, key, s) for key in kinds[2:] for w, s in rows.get(key, {}).items())]:
        where = places(pieces, words)
        bound = [[n for (piece, at), n in free if piece == k and start <= at and n.end <= end] for k, start, end in where]
        if not any(bound):
            found.append(f"{name}: " + (f"{words!r} has no number to bind" if where else f"no longer says {words!r}"))
            continue
        for (k, _, _), inside in zip(where, bound, strict=True):
            for n in inside:
                left.pop((k, n.at), None)
        if kind is None:
            continue
        try:
            right = worked_out(source) if kind == "mathematics" else list(map(value, shown_by(name, source)))
        except ProseError as error:
            found.append(f"{name}: {words!r}: {error}")
            continue
        for (k, _, _), inside in zip(where, bound, strict=True):
            same = [shows(n.text, r, bool(ROUGHLY.search(pieces[k][: n.at]))) for n, r in zip(inside, right, strict=False)]
            if inside and not (len(inside) == len(right) and all(same)):
                found.append(
                    f"{name}: {words!r} says {', '.join(n.text for n in inside)}; "
                    f"it is {', '.join(f'{r:.10g}' for r in right)}"
                )
    for (k, _), n in sorted(left.items()):
        around = " ".join(pieces[k][max(0, n.at - 40) : n.end + 30].split())
        found.append(f"{name}: nothing binds {n.text} in {around!r}")
    return found


if __name__ == "__main__":
    for problem in problems(sys.argv[1]):
        print(problem)
    if "--outputs" in sys.argv:
        print(outputs(sys.argv[1]))
