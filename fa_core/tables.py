"""Small tables of numbers: HTML on a page, the same as columns of text for a terminal and for the tests' comparison."""

import re
from collections.abc import Iterable, Sequence
from html import escape

NUMBER = re.compile(r"[-+<>]? ?\d[\d.,]*(e[-+]?\d+)?( ?[%°])?")


class Table:
    """Rows under a head. What is no text is written by its column's format, `form`, as `format()` takes it; one `form` is
    that of all columns. A column of numbers stands to the right, also where they are text, or missing: "-" or nothing.

    Raises ValueError for a row that is not as long as the head, and for formats that are not as many as the columns.
    """

    def __init__(self, head: Sequence[str], rows: Iterable[Sequence], form: str | Sequence[str] = ".4g", title: str = ""):
        self.head, self.title = [str(h) for h in head], title
        forms = [form] * len(self.head) if isinstance(form, str) else list(form)
        if len(forms) != len(self.head):
            raise ValueError(
                f"{len(forms)} formats for {len(self.head)} columns ({', '.join(self.head)}): give one for "
                "each, or one for all"
            )
        self.rows, self.numeric = [], [True] * len(self.head)
        for row in map(list, rows):
            if len(row) != len(self.head):
                raise ValueError(f"a row of {len(row)} under a head of {len(self.head)} ({', '.join(self.head)}): {row!r}")
            self.numeric = [n and is_number(v) for n, v in zip(self.numeric, row, strict=True)]
            self.rows.append([v if isinstance(v, str) else format(v, f) for v, f in zip(row, forms, strict=True)])

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[c]) for line in lines) for c in range(len(self.head))]
        columns = list(zip(widths, self.numeric, strict=True))
        text = [
            "  ".join(v.rjust(w) if n else v.ljust(w) for v, (w, n) in zip(line, columns, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *text] if self.title else text)

    def _repr_html_(self) -> str:
        def cell(tag: str, value: str, numeric: bool, scope: str = "") -> str:
            return f"<{tag}{scope}{' class=number' if numeric else ''}>{escape(value)}</{tag}>"

        head = "".join(cell("th", v, n, " scope=col") for v, n in zip(self.head, self.numeric, strict=True))
        body = "".join(
            "<tr>"
            + cell("th", row[0], self.numeric[0], " scope=row")
            + "".join(cell("td", v, n) for v, n in zip(row[1:], self.numeric[1:], strict=True))
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        return f"<table class='numbers'>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def is_number(value: object) -> bool:
    """Whether a cell belongs to a column of numbers."""
    return not isinstance(value, str) or value in ("", "-") or bool(NUMBER.fullmatch(value))
