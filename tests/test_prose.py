"""Every number in the prose is bound: to an output of a notebook, or it is known what else it is."""

import re

import pytest

from fa_core import notebooks
from tests import prose

PAGES = [*notebooks.names(), "README", *sorted(f.stem for f in (notebooks.ROOT / "book").glob("*.md"))]


@pytest.mark.parametrize("name", PAGES)
def test_every_number_in_the_prose_is_bound(name):
    assert prose.problems(name) == []


def test_every_list_is_of_a_page():
    assert {f.stem for f in prose.FOLDER.glob("*.toml")} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_number_that_drifts_is_noticed(name):
    """Each number of ours, moved by one in its last digit, in the prose; whatever words it stands in."""
    pieces, rows = prose.page(name), prose.listed(name)
    for words in [*rows.get("ours", {}), *rows.get("mathematics", {})]:
        k, start, end = prose.places(pieces, words)[0]
        number = next(n for n in prose.numbers(pieces[k]) if start <= n.at and n.end <= end)
        moved = pieces[k][: number.at] + next_to(number.text) + pieces[k][number.end :]
        assert prose.problems(name, [*pieces[:k], moved, *pieces[k + 1 :]]), f"{words!r} may say {next_to(number.text)}"


def next_to(number: str) -> str:
    """The number with its last digit, but for noughts at the end of a whole number, one larger, or 1 for 9."""
    at = [m.start() for m in re.finditer(r"\d", number if "." in number else number.rstrip("0") or "0")][-1]
    return number[:at] + ("1" if number[at] == "9" else str(int(number[at]) + 1)) + number[at + 1 :]


TEXT = """# Note 9 and Fig. 10

In [02](02_linear.ipynb) and (3) of 2016 a 30-20-10 network at `rate=0.5` ends at 27.6 % ($\\lambda = 0.97$, $n = 12$),
4 of 20 runs, 3 or 1,250 in all; {ours}`fig2b.angle-shrinks value .0f`° is filled in.

```python
x = 44
```
"""


def test_which_numbers_count():
    assert [n.text for n in prose.numbers(TEXT)] == ["27.6", "0.97", "4", "20", "1,250"]


@pytest.mark.parametrize(
    ("shown", "number", "rounded", "same"),
    [
        ("39.3", 39.28, False, True),
        ("39.2", 39.28, False, False),
        ("39", 39.28, False, True),
        ("-0.50", -0.496, False, True),
        ("3,200", 3215, False, False),
        ("3,200", 3215, True, True),
        ("1e-7", 1.04e-7, False, True),
        ("0.30", 0.31, True, False),
    ],
)
def test_a_number_is_shown_to_its_digits(shown, number, rounded, same):
    assert prose.shows(shown, number, rounded) is same


@pytest.fixture
def said(monkeypatch):
    """What a page says and its notebook printed, put together."""
    monkeypatch.setattr(prose, "outputs", lambda name: "mean 39.28, best 12 of 20\nagain mean 39.28\nother 5\nother 6")

    def problems(text, **rows):
        return prose.problems("02_linear", [text], rows)

    return problems


def test_a_bound_number_is_fine(said):
    assert said("In the mean 39.3, and 12 of 20.", ours={"39.3": "mean #", "12 of 20": "best # of #"}) == []
    assert said("A diagonal of 1.41.", mathematics={"1.41": "sqrt(2)"}) == []
    assert said("The paper has 1.8 % with 100 seeds.", paper=["1.8 %"], settings=["100 seeds"]) == []


@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ("It is 39.4.", {"ours": {"39.4": "mean #"}}, "says 39.4; it is 39.28"),
        ("It is 39.3.", {}, "nothing binds 39.3 in 'It is 39.3.'"),
        ("It is so.", {"ours": {"39.3": "mean #"}}, "no longer says '39.3'"),
        ("It is so.", {"paper": ["is so"]}, "'is so' has no number to bind"),
        ("It is 39.3.", {"ours": {"39.3": "median #"}}, "found with 0 different numbers"),
        ("It is 5.0.", {"ours": {"5.0": "other #"}}, "found with 2 different numbers"),
        ("12 of 20.", {"ours": {"12 of 20": "best # of"}}, "says 12, 20; it is 12"),
        ("A diagonal of 1.42.", {"mathematics": {"1.42": "sqrt(2)"}}, "says 1.42; it is 1.41421356"),
        ("It is 39.3.", {"hours": {}}, "there is no hours; there are: paper, settings, mathematics, ours"),
    ],
)
def test_what_does_not_hold_is_said(said, text, rows, message):
    assert any(message in problem for problem in said(text, **rows))


def test_a_page_that_is_no_notebook_says_which_notebook_shows_it():
    with pytest.raises(prose.ProseError, match="say which notebook"):
        prose.shown_by("README", "mean #")
    assert prose.shown_by("README", "15_pseudoinverse: both scalars stay positive up to k = #") == ["0.38053"]
