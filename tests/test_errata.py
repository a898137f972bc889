"""The errata page: each row links to the place in a notebook that shows it, and no equation said to be wrong is missing."""

import re

import pytest

from fa_core import notebooks
from fa_core.proofs import WRONG
from tests.test_proofs_reading import TABLE

TEXT = (notebooks.ROOT / "book" / "errata.md").read_text(encoding="utf-8")
ERRATA, OPEN = TEXT.split("## What is left open")
SECTIONS = dict(re.findall(r"^## (.+?)$(.*?)(?=^## |\Z)", ERRATA, re.MULTILINE | re.DOTALL))
HEAD = re.compile(r"\| ?(?:where|---)")


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|") and not HEAD.match(line)]


def labels(name: str) -> dict[str, tuple[str, bool]]:
    """Of a notebook: its labels `(erratum-...)=`, each with the text of the cell from there on and the next cell's, and
    whether a cell beside it printed something."""
    cells, found = notebooks.read(notebooks.path(name)).cells, {}
    for before, cell, after in zip([{}, *cells[:-1]], cells, [*cells[1:], {}], strict=True):
        if cell.cell_type == "markdown":
            for match in re.finditer(r"^\((erratum-[a-z0-9-]+)\)=$", cell.source, re.MULTILINE):
                assert match[1] not in found, f"{name} has {match[1]} twice"
                printed = any(c.get("outputs") for c in (before, after))
                found[match[1]] = cell.source[match.end() :] + after.get("source", ""), printed
    return found


LABELS = {name[:2]: labels(name) for name in notebooks.names()}


@pytest.mark.parametrize("row", rows(ERRATA), ids=lambda r: r[2:40])
def test_an_erratum_links_to_what_shows_it(row):
    (number, label), *others = re.findall(r"\{ref\}`(\d\d) <(erratum-[a-z0-9-]+)>`", row)
    assert not others
    assert label in LABELS[number], f"notebook {number} has no {label}"
    text, printed = LABELS[number][label]
    assert len(text.strip()) > 100, "nothing stands there"
    assert printed, "no cell beside it shows it"


def test_no_place_is_called_an_erratum_that_the_page_does_not_list():
    listed = re.findall(r"<(erratum-[a-z0-9-]+)>", ERRATA)
    assert sorted(label for found in LABELS.values() for label in found) == sorted(set(listed))


@pytest.mark.parametrize("key", [e.key for e in TABLE if e.kind == WRONG])
def test_every_equation_that_does_not_hold_as_printed_is_among_the_errata(key):
    series, number = key.split()
    where = [
        row.split("|")[1]
        for title, text in SECTIONS.items()
        if ("Methods" in title) == (series == "main")
        for row in rows(text)
    ]
    named = {n for head in where if "eq" in head for n in re.findall(r"(?<![\d>-])\d+(?!\d)", head.split("(")[0])}
    assert number in named


@pytest.mark.parametrize("row", rows(OPEN), ids=lambda r: r[2:40])
def test_an_open_reading_names_notebooks_that_there_are(row):
    named = re.findall(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", row)
    assert named
    assert set(named) <= set(notebooks.names())
