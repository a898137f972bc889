"""The paper's equations, each derived by SymPy, checked on random instances, or shown not to hold as printed.

One file here for each group of Supplementary Notes; each gives `EQUATIONS`, a tuple of `Equation`. A notebook shows
those of its section with `show(EQUATIONS)`, which runs every check there and then; the book's table of equations is
made from the notebooks' outputs. A check is given the LaTeX that the page shows, read back (`reading`).
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fa_core.proofs.reading import Check, DoesNotFit, Reading

MIME = "application/vnd.fa-core.equations+json"
DEFINITION, CHECKED, WRONG = "definition", "checked numerically", "does not hold as printed"
DERIVED = "derived, all sizes"  # for matrices of symbolic size, or where there is no size
KINDS = (DEFINITION, DERIVED, CHECKED, WRONG)

# What the paper numbers: two series, both beginning at 1.
NUMBERED = {
    "Main text and Methods": tuple(f"main {n}" for n in range(1, 9)),
    "Supplementary Notes": tuple(f"SI {n}" for n in range(1, 80)),
}


class ProofError(AssertionError):
    """A check of an equation failed."""


@dataclass(frozen=True)
class Equation:
    """A numbered equation of the paper and what became of it here.

    key: "main 1" to "main 8" (main text and Methods) or "SI 1" to "SI 79" (Supplementary Notes).
    says: the equation, as LaTeX that `reading` can read. kind: one of KINDS. how: by what it is derived or checked, in a
    phrase, with the shapes or the number of instances. check: a function of what is shown, `says` and `corrected` (or
    None) as `Reading`, that returns True if the equation holds (for WRONG: the corrected form does, and the printed one
    does not; for DEFINITION: it is what the code does). corrected: for WRONG, the form that holds, as LaTeX.
    """

    key: str
    says: str
    kind: str
    how: str
    check: Check
    corrected: str = ""

    def __post_init__(self) -> None:
        if not any(self.key in keys for keys in NUMBERED.values()):
            raise ValueError(f"the paper numbers no equation {self.key!r}; there are: main 1 to main 8, SI 1 to SI 79")
        if self.kind not in KINDS:
            raise ValueError(f"equation {self.key}: unknown kind {self.kind!r}")
        if bool(self.corrected) != (self.kind == WRONG):
            raise ValueError(f"equation {self.key}: a corrected form stands where the printed one fails, and only there")
        for latex in filter(None, (self.says, self.corrected)):
            _ = Reading(latex).clauses  # an error in it is told here

    def holds(self) -> bool:
        """Run the check on what is shown."""
        try:
            return self.check(Reading(self.says), Reading(self.corrected) if self.corrected else None) is True
        except DoesNotFit:
            return False


class Shown:
    """Equations whose checks have been run: a table in a notebook, and the same rows as JSON."""

    def __init__(self, rows: list[dict]) -> None:
        self.rows = rows

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        def row(r: dict) -> str:
            printed = maths(r["says"]) + (f"<br>corrected: {maths(r['corrected'])}" if r["corrected"] else "")
            columns = (printed, f"<b>{r['kind']}</b>", html.escape(r["how"]))
            cells = "".join(f"<td style='text-align:left'>{c}</td>" for c in columns)
            return f"<tr><th scope='row' style='text-align:left'>{r['key']}</th>{cells}</tr>"

        head = "".join(f"<th scope='col'>{h}</th>" for h in ("equation", "as printed", "here", "how"))
        body = "".join(map(row, self.rows))
        table = f"<table class='equations tex2jax_process'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        text = "\n".join(f"({r['key']}) {r['kind']}: {r['how']}" for r in self.rows)
        return {"text/plain": text, "text/html": table, MIME: self.rows}


def maths(latex: str) -> str:
    """LaTeX as HTML that MathJax sets, in a notebook and in the book; each clause on a line of its own."""
    return ";<br>".join(rf"\({html.escape(clause)}\)" for clause in clauses(latex))


def clauses(latex: str) -> list[str]:
    """The clauses of a formula, which semicolons set apart, as LaTeX."""
    return latex.split(r";\ ")


def show(equations: Iterable[Equation]) -> Shown:
    """Run the check of each equation and show the table. Raises ProofError that names the equation whose check fails."""
    rows = []
    for e in equations:
        if not e.holds():
            raise ProofError(f"equation {e.key} ({e.kind}): its check fails")
        rows.append({"key": e.key, "says": e.says, "kind": e.kind, "how": e.how, "corrected": e.corrected})
    return Shown(rows)
