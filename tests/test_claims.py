"""The ledger and its verdicts: bounds, conditions, reasons, what is refused, what is handed on as JSON."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fa_core import claims
from fa_core.claims import MISSED, REPRODUCED, UNTESTED, Claim, LedgerError, Reporter, Verdict

SHARED = Path(__file__).parents[2] / "shared/claims.toml"
NOTEBOOK, ID, OTHERS = "02_linear", "fig2b.angle-starts-at-90", "fig1.positive-feedback"

numbers = st.floats(allow_nan=False)
anything = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf])


def claim(low=0.0, high=1.0, **fields) -> Claim:
    return Claim(**{"id": "a.claim", "notebook": "a_notebook", "states": "It falls.", "measure": "how far",
                    "accept": (low, high)} | fields)


# ---- verdicts


@given(anything, numbers, numbers)
def test_a_claim_is_reproduced_exactly_where_its_value_is_in_the_bound(value, a, b):
    low, high = min(a, b), max(a, b)
    found = Verdict(claim(low, high), value, n=20)
    assert (found.verdict == REPRODUCED) == (low <= value <= high)
    assert found.verdict in (REPRODUCED, MISSED)


@given(numbers, numbers)
def test_both_ends_of_a_bound_belong_to_it_and_the_next_numbers_do_not(a, b):
    low, high = min(a, b), max(a, b)
    for end in (low, high):
        assert Verdict(claim(low, high), end, n=1).verdict == REPRODUCED
    for beyond in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf)):
        if math.isfinite(low) and math.isfinite(high):
            assert Verdict(claim(low, high), beyond, n=1).verdict == MISSED


def test_nan_is_never_reproduced_not_even_without_a_bound():
    assert Verdict(claim(-math.inf, math.inf), math.nan, n=20).verdict == MISSED


@given(st.lists(st.tuples(anything, numbers, numbers), max_size=3))
def test_every_further_condition_counts_ends_included_and_nan_excluded(conditions):
    also = tuple(claims.Condition("it", v, min(a, b), max(a, b)) for v, a, b in conditions)
    hold = all(min(a, b) <= v <= max(a, b) for v, a, b in conditions)
    assert Verdict(claim(), 0.5, n=20, also=also).verdict == (REPRODUCED if hold else MISSED)
    assert Verdict(claim(), 1.5, n=20, also=also).verdict == MISSED


@pytest.mark.parametrize("value", [0.5, 1.5, math.nan])
def test_what_was_not_tested_says_why_whatever_its_value(value):
    found = Verdict(claim(), value, n=0, reason="it needs a week")
    assert found.verdict == UNTESTED
    assert found.row()["verdict"] == "– not tested: it needs a week"


# ---- reports


def test_a_report_judges_by_the_bound_of_the_ledger():
    low, high = claims.ledger()[ID].accept
    assert (low, high) == (85, 95)
    for value, verdict in ((85, REPRODUCED), (95.01, MISSED)):
        assert Reporter(NOTEBOOK)(ID, value, n=20, interval=(84, 96)).verdict == verdict


def test_a_report_takes_its_further_conditions_as_tuples():
    also = [("start", 0.5, 0.4, 0.6), ("end", 3, 1, 2)]
    assert Reporter(NOTEBOOK)(ID, 90, also=also[:1]).verdict == REPRODUCED
    assert Reporter(NOTEBOOK)(ID, 90, also=also).verdict == MISSED


def test_a_claim_may_be_reported_as_not_tested():
    found = Reporter(NOTEBOOK)(ID, untested="no such dataset")
    assert (found.verdict, found.reason) == (UNTESTED, "no such dataset")


def test_the_smoke_profile_tests_nothing():
    found = Reporter(NOTEBOOK, "smoke")(ID, 90, n=2)
    assert (found.verdict, found.reason) == (UNTESTED, "the smoke profile is too small")


@pytest.mark.parametrize("id", [OTHERS, "fig99.flying"], ids=["of another notebook", "of none"])
def test_a_report_of_a_claim_that_is_not_the_notebooks_is_refused(id):
    with pytest.raises(LedgerError, match=f"'{id}' is no claim of 02_linear; there are: fig2a.as-quick-as-backprop, "):
        Reporter(NOTEBOOK)(id, 1.0)


def test_a_second_report_of_a_claim_is_refused():
    report = Reporter(NOTEBOOK)
    report(ID, 90)
    with pytest.raises(LedgerError, match=f"'{ID}' is reported twice"):
        report(ID, 90)


@pytest.mark.parametrize(("arguments", "message"), [
    (("99_flying",), "no claim for notebook '99_flying'"),
    ((NOTEBOOK, "smok"), "unknown profile 'smok'; there are: paper, smoke"),
])
def test_an_unknown_notebook_or_profile_is_refused(arguments, message):
    with pytest.raises(LedgerError, match=message):
        Reporter(*arguments)


def test_what_is_still_to_be_reported_is_known():
    report = Reporter(NOTEBOOK)
    mine = [k for k, c in claims.ledger().items() if c.notebook == NOTEBOOK]
    assert report.unreported() == mine
    for id in mine[1:]:
        report(id, untested="-")
    assert report.unreported() == mine[:1]


# ---- what is shown and handed on


verdicts = st.builds(
    Verdict, st.builds(claim, st.just(-math.inf) | st.just(0.0), st.just(1.0) | st.just(math.inf)), anything,
    st.integers(0, 20), st.none() | st.tuples(anything, anything),
    st.lists(st.builds(claims.Condition, st.text(), anything, anything, anything), max_size=2).map(tuple), st.text())


@given(verdicts)
def test_the_json_is_valid_and_says_what_the_object_says(found):
    data = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert data == found.as_json()
    assert (data["id"], data["notebook"], data["n"]) == (found.claim.id, found.claim.notebook, found.n)
    assert (data["verdict"], data["reason"]) == (found.verdict, found.reason)
    pairs = [(data["value"], found.value), *zip(data["accept"], found.claim.accept, strict=True),
             *zip(data["interval"] or (), found.interval or (), strict=True)]
    for shown, c in zip(data["also"], found.also, strict=True):
        assert shown["what"] == c.what
        pairs += [(shown["value"], c.value), (shown["low"], c.low), (shown["high"], c.high)]
    for shown, exact in pairs:
        assert isinstance(shown, float) == math.isfinite(exact)
        assert float(shown) == pytest.approx(exact, rel=1e-3, nan_ok=True)


@given(verdicts)
def test_a_verdict_shows_itself_in_words_as_text_html_and_json(found):
    shown = found._repr_mimebundle_()
    assert shown.keys() == {"text/plain", "text/html", claims.MIME}
    assert shown[claims.MIME] == found.as_json()
    for part in ("text/plain", "text/html"):
        assert f"{claims.MARKS[found.verdict]} {found.verdict}" in shown[part]


def test_a_row_gives_the_value_its_interval_and_the_number_of_runs_beside_the_bound():
    row = Verdict(claim(-math.inf, 1.1), 0.81234, 20, (0.7, 0.9), (claims.Condition("start", 90.0, 85, math.inf),)).row()
    assert row["ours"] == "0.812 [0.7, 0.9] (n = 20); start: 90"
    assert row["bound"] == "at most 1.1; start at least 85"
    assert row["paper"] == "no number given"
    assert claims.interval_text((-math.inf, math.inf)) == "any"
    assert claims.interval_text((0, 0.5)) == "0 to 0.5"


def test_what_a_claim_states_cannot_break_the_html():
    shown = Verdict(claim(states="<script> e'WBe > 0 & so on"), 0.5, n=1)._repr_mimebundle_()["text/html"]
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


# ---- the ledger


ENTRY = {"id": '"a.claim"', "notebook": '"a_notebook"', "states": '"It falls."', "measure": '"how far"',
         "accept": "[0, 1]"}


def written(folder, *entries):
    file = folder / "claims.toml"
    file.write_text("\n".join("[[claim]]\n" + "\n".join(f"{k} = {v}" for k, v in e.items() if v) for e in entries))
    return file


def test_a_well_formed_ledger_is_read(tmp_path):
    found = claims.ledger(written(tmp_path, ENTRY, ENTRY | {"id": '"b.claim"', "accept": "[-inf, 2]", "paper": '"2 %"'}))
    assert found == {"a.claim": claim(), "b.claim": claim(-math.inf, 2.0, id="b.claim", paper="2 %")}


@pytest.mark.parametrize(("entries", "message"), [
    ([ENTRY, ENTRY | {"states": '"Another."'}], "stands twice"),
    ([ENTRY | {"accept": "[2, 1]"}], r"accept = \[2.0, 1.0\] is not an interval"),
    ([ENTRY | {"accept": "[nan, 1]"}], "is not an interval"),
    ([ENTRY | {"accept": "[0, nan]"}], "is not an interval"),
    ([ENTRY | {"accept": "[0]"}], "not enough values"),
    ([ENTRY | {"accept": "[0, 1, 2]"}], "too many values"),
    ([ENTRY | {"accept": '["low", 1]'}], "could not convert string to float: 'low'"),
    ([ENTRY | {"accept": "1"}], "not iterable"),
    ([ENTRY | {"accept": None}], "'accept'"),
    ([ENTRY | {"measure": None}], "missing 1 required positional argument: 'measure'"),
    ([ENTRY | {"accepts": "[0, 2]"}], "unexpected keyword argument 'accepts'"),
], ids=["a duplicate", "a reversed bound", "NaN below", "NaN above", "one bound", "three bounds", "a word for a bound",
        "a number for a bound", "no bound", "no measure", "an unknown field"])
def test_a_malformed_ledger_is_refused_and_the_claim_named(tmp_path, entries, message):
    file = written(tmp_path, ENTRY | {"id": '"good.claim"'}, *entries)
    with pytest.raises(LedgerError, match=rf"{file.name}: claim 'a.claim'.*{message}"):
        claims.ledger(file)


def test_the_ledger_is_the_one_that_was_written_before_any_run():
    if not SHARED.exists():
        pytest.skip("the ledger as it was given does not lie beside this checkout")
    given, ours = ({k: (c.notebook, c.accept) for k, c in claims.ledger(f).items()} for f in (SHARED, claims.LEDGER))
    assert ours == given
