"""The ledger and its verdicts: bounds, intervals, conditions, reasons, what is refused, what is handed on as JSON."""

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fa_core import claims
from fa_core.claims import (
    END,
    ESTIMATE,
    MISSED,
    PROPERTY,
    REPRODUCED,
    STAND_IN,
    UNDECIDED,
    UNTESTED,
    Claim,
    Condition,
    LedgerError,
    Reporter,
    Verdict,
)

SHARED = Path(__file__).parents[2] / "shared/claims.toml"
NOTEBOOK, ID, OTHERS = "02_linear", "fig2b.angle-starts-at-90", "fig1.positive-feedback"

numbers = st.floats(allow_nan=False)
anything = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf])
intervals = st.tuples(numbers, numbers).map(sorted).map(tuple)


def claim(low=0.0, high=1.0, **fields) -> Claim:
    return Claim(
        **{"id": "a.claim", "notebook": "a_notebook", "states": "It falls.", "measure": "how far", "accept": (low, high)}
        | fields
    )


# ---- verdicts


def told(interval, bound) -> str:
    """The verdict by the header of the ledger, from the definitions of inside and outside."""
    low, high = interval
    if low >= bound[0] and high <= bound[1]:
        return REPRODUCED
    return MISSED if high < bound[0] or low > bound[1] else UNDECIDED


@given(intervals, intervals)
def test_an_estimate_is_judged_by_all_of_its_interval(interval, bound):
    assert Verdict(claim(*bound), interval[0], 20, interval).verdict == told(interval, bound)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((1.0, 2.0), REPRODUCED),
        ((1.2, 1.3), REPRODUCED),
        ((0.9, 2.0), UNDECIDED),
        ((1.0, 2.1), UNDECIDED),
        ((0.0, 3.0), UNDECIDED),
        ((0.0, 1.0), UNDECIDED),
        ((2.0, 2.1), UNDECIDED),
        ((0.0, 0.99), MISSED),
        ((2.01, 2.1), MISSED),
        ((-math.inf, 1.5), UNDECIDED),
        ((math.nan, 1.5), MISSED),
        ((1.5, math.nan), MISSED),
    ],
)
def test_inside_outside_and_astride_the_bound_from_1_to_2(interval, verdict):
    assert Verdict(claim(1, 2), interval[0], 20, interval).verdict == verdict
    assert Verdict(claim(1, 2), interval[0], 20, np.array(interval)).verdict == verdict


@pytest.mark.parametrize("kind", [k for k in claims.KINDS if k not in (ESTIMATE, "code")])
def test_a_measure_that_stands_by_itself_is_judged_by_its_value_alone(kind):
    for value, verdict in ((0.5, REPRODUCED), (1.5, MISSED)):
        interval = (value, value + 10) if kind == END else None
        assert Verdict(claim(), value, 20, interval, kind).verdict == verdict


@given(numbers, numbers)
def test_both_ends_of_a_bound_belong_to_it_and_the_next_numbers_do_not(a, b):
    low, high = min(a, b), max(a, b)
    for end in (low, high):
        assert Verdict(claim(low, high), end, 1, kind="count").verdict == REPRODUCED
    for beyond in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf)):
        if math.isfinite(low) and math.isfinite(high):
            assert Verdict(claim(low, high), beyond, 1, kind="count").verdict == MISSED


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ((0.05, 10), "an estimate without its interval"),
        ((0.05, 10, (0.2, -0.1)), "is not an interval"),
        ((5.0, 10, (0.04, 0.06)), "outside of its own interval"),
        ((0.05, 10, None, "guess"), "unknown kind 'guess'"),
    ],
)
def test_a_verdict_of_what_does_not_fit_is_refused(measure, message):
    with pytest.raises(LedgerError, match=message):
        Verdict(claim(0, 0.1), *measure)
    assert Verdict(claim(0, 0.1), *measure, reason="not run").verdict == UNTESTED


def test_a_verdict_takes_the_values_of_the_runs():
    runs = np.array([0.4, 0.5, 0.6])
    found = Verdict(claim(), runs, 0)
    assert (found.value, found.n) == (pytest.approx(0.5), 3)
    assert found.interval == pytest.approx(claims.measures.mean_interval(runs))


def test_a_ledger_without_a_list_of_claims_is_refused(tmp_path):
    (tmp_path / "claims.toml").write_text('claim = "x"', encoding="utf-8")
    with pytest.raises(LedgerError, match=r"claim is no list of claims: each begins with a line \[\[claim\]\]"):
        claims.ledger(tmp_path / "claims.toml")


def test_a_claim_wants_a_bound_of_two_numbers():
    with pytest.raises(LedgerError, match="is not an interval"):
        Claim("a", "b", "c", "d", 0.1)


def test_nan_is_never_reproduced_not_even_without_a_bound():
    assert Verdict(claim(-math.inf, math.inf), math.nan, 20, kind="count").verdict == MISSED
    assert Verdict(claim(-math.inf, math.inf), math.nan, 20, (0.0, 1.0)).verdict == MISSED


@given(st.lists(st.tuples(intervals, intervals), max_size=3), intervals)
def test_every_further_condition_is_judged_alike_and_the_worst_of_all_is_the_verdict(conditions, interval):
    also = tuple(Condition("it", i[0], *bound, interval=i) for i, bound in conditions)
    parts = {told(i, bound) for i, bound in conditions} | {told(interval, (0.0, 1.0))}
    worst = next(v for v in (MISSED, UNDECIDED, REPRODUCED) if v in parts)
    assert Verdict(claim(), interval[0], 20, interval, also=also).verdict == worst


@given(st.lists(st.tuples(anything, intervals), max_size=3))
def test_a_condition_that_stands_by_itself_counts_ends_included_and_nan_excluded(conditions):
    also = tuple(Condition("it", v, *bound, kind="count") for v, bound in conditions)
    hold = all(low <= v <= high for v, (low, high) in conditions)
    assert Verdict(claim(), 0.5, 20, kind="count", also=also).verdict == (REPRODUCED if hold else MISSED)


def test_a_miss_of_a_run_that_was_ended_early_is_undecided_and_a_hit_stays_one():
    early = {"unfinished": "after 3 epochs"}
    assert Verdict(claim(), 1.5, 1, (1.4, 1.6), **early).verdict == UNDECIDED
    assert "after 3 epochs" in Verdict(claim(), 1.5, 1, (1.4, 1.6), **early).row()["verdict"]
    assert Verdict(claim(), 1.0, 1, (0.9, 1.1), **early).verdict == UNDECIDED
    assert Verdict(claim(), 0.5, 1, (0.4, 0.6), **early).verdict == REPRODUCED


@pytest.mark.parametrize(("interval", "verdict"), [((0.4, 0.6), REPRODUCED), ((1.4, 1.6), MISSED), ((0.4, 1.6), UNDECIDED)])
def test_a_stand_in_for_data_is_part_of_the_verdict(interval, verdict):
    found = Verdict(claim(), interval[0], 5, interval, stand_in="textures for photographs")
    assert found.verdict == verdict + STAND_IN != verdict
    assert found.row()["verdict"].startswith(f"({claims.MARKS[verdict]}) {verdict} on a stand-in: ")
    assert found.row()["verdict"].endswith("textures for photographs")


def test_what_our_code_was_written_to_do_is_no_evidence():
    assert Verdict(claim(), 1.0, 100, kind="code").verdict == PROPERTY
    assert Verdict(claim(), 1.1, 100, kind="code").verdict == MISSED


@pytest.mark.parametrize("value", [0.5, 1.5, math.nan])
def test_what_was_not_tested_says_why_whatever_its_value(value):
    found = Verdict(claim(), value, n=0, reason="it needs a week", stand_in="another set")
    assert found.verdict == UNTESTED
    assert found.row()["verdict"] == "– not tested: it needs a week"


# ---- reports


def test_a_report_judges_by_the_bound_of_the_ledger():
    low, high = claims.ledger()[ID].accept
    assert (low, high) == (85, 95)
    for interval, verdict in (((85, 95), REPRODUCED), ((84, 96), UNDECIDED), ((95.01, 96), MISSED)):
        assert Reporter(NOTEBOOK)(ID, interval[0], n=20, interval=interval).verdict == verdict


def test_a_report_takes_its_further_conditions_as_tuples_each_with_its_interval_or_kind():
    also = [("start", 0.5, 0.4, 0.6, (0.45, 0.55)), ("end", 3, 1, 2, "count")]
    assert Reporter(NOTEBOOK)(ID, 90, interval=(89, 91), also=also[:1]).verdict == REPRODUCED
    assert Reporter(NOTEBOOK)(ID, 90, interval=(89, 91), also=also).verdict == MISSED
    also[0] = ("start", 0.5, 0.4, 0.6, (0.35, 0.55))
    assert Reporter(NOTEBOOK)(ID, 90, interval=(89, 91), also=also[:1]).verdict == UNDECIDED


def test_a_report_hands_on_what_was_cut_short_and_what_stood_in():
    found = Reporter(NOTEBOOK)(ID, 99, interval=(98, 100), unfinished="at noon", stand_in="another network")
    assert (found.verdict, found.why()) == (UNDECIDED + STAND_IN, "the run was ended early, at noon; another network")


@pytest.mark.parametrize("profile", claims.PROFILES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, f"{ID} is an estimate without its interval: give interval="),
        ({"kind": END}, "estimate without its interval"),
        ({"kind": "guess"}, "unknown kind 'guess'; there are: estimate, end of an interval, "),
        ({"kind": "count", "interval": (89, 91)}, "of kind 'count' is judged as it stands, without an interval"),
        ({"kind": END, "interval": (89, 91)}, "90.0 is no end of the interval"),
        ({"interval": (91, 89)}, r"interval = \[91.0, 89.0\] is not an interval: wanted is \(low, high\)"),
        ({"interval": (89, 90, 91)}, r"interval = \(89, 90, 91\) is not an interval: wanted are two numbers, \(low, high\)"),
        ({"interval": 1}, "interval = 1 is not an interval: wanted are two numbers"),
        ({"interval": "89"}, "interval = '89' is not an interval: wanted are two numbers"),
        ({"interval": ("low", 91)}, "interval is 'low', wanted is a number"),
        ({"interval": (91, 92)}, r"the value 90 is outside of its own interval \(91.0, 92.0\)"),
        ({"interval": (89, 91), "value": "many"}, "the value is 'many', wanted is a number"),
        ({"interval": (89, 91), "value": None}, "the value is None, wanted is a number"),
        ({"interval": (89, 91), "n": "20 runs"}, "n is '20 runs', wanted is how many runs"),
        ({"interval": (89, 91), "n": -1}, "n is -1, wanted is how many runs"),
        ({"interval": (89, 91), "also": [("start", 0.5, 0.4, 0.6, None)]}, "'start' is an estimate without its interval"),
        ({"interval": (89, 91), "also": [("start", 0.5, 0.4, 0.6, "guess")]}, "'start': unknown kind 'guess'"),
    ],
    ids=[
        "nothing",
        "an end of nothing",
        "unknown",
        "superfluous",
        "no end",
        "reversed",
        "three ends",
        "a number",
        "text",
        "a word for an end",
        "another's",
        "a word for the value",
        "no value",
        "a word for n",
        "n below 0",
        "a bare condition",
        "an unknown condition",
    ],
)
def test_a_measure_without_its_interval_or_its_kind_is_refused_in_every_profile(profile, arguments, message):
    with pytest.raises(LedgerError, match=message):
        Reporter(NOTEBOOK, profile)(ID, **{"value": 90, "n": 20} | arguments)


def test_either_end_of_an_interval_may_be_the_measure():
    for value in (89, 91):
        assert Reporter(NOTEBOOK)(ID, value, interval=(89, 91), kind=END).verdict == REPRODUCED


def test_values_of_the_runs_are_judged_by_their_mean_and_students_interval():
    # By hand: the standard deviation of 40, 42, 44 is 2, and 4.303 Student's t of 0.975 at two degrees of freedom.
    found = Reporter(NOTEBOOK)(ID, np.array([40.0, 42.0, 44.0]), also=[("beside", [1.0, 1.0, 1.0], 0, 2)])
    half = 4.303 * 2 / 3**0.5
    assert (found.value, found.n) == (42, 3)
    assert found.interval == pytest.approx((42 - half, 42 + half), abs=1e-3)
    assert (found.also[0].value, found.also[0].interval, found.also[0].judged) == (1, (1, 1), REPRODUCED)


@pytest.mark.parametrize(
    ("value", "given", "message"),
    [
        (np.ones((2, 3)), {}, r"wanted is a number, or one of each of several runs, given is the shape \(2, 3\)"),
        ([41.0], {}, r"one of each of several runs, given is the shape \(1,\)"),
        (np.ones(3), {"n": 3}, "values of the runs say themselves what n, interval and kind are; leave these out"),
        (np.ones(3), {"interval": (0, 2)}, "leave these out"),
        (np.ones(3), {"kind": END}, "leave these out"),
    ],
)
def test_values_of_the_runs_are_one_of_each_and_stand_alone(value, given, message):
    with pytest.raises(LedgerError, match=f"{ID}.*{message}"):
        Reporter(NOTEBOOK)(ID, value, **given)


def test_a_condition_of_a_number_has_an_interval_or_a_kind_and_nothing_more():
    with pytest.raises(LedgerError, match=f"{ID}, 'beside' is an estimate without its interval"):
        Reporter(NOTEBOOK)(ID, np.array([40.0, 42.0]), also=[("beside", 1.0, 0, 2)])


@pytest.mark.parametrize(
    "also",
    [["x"], "x", 3, [3], [("beside", 1.0, 0)], [("beside", 1.0, 0, 2, (0, 2), "more")], ("beside", 1.0, 0, 2, (0, 2))],
    ids=str,
)
def test_what_is_no_condition_is_refused_with_what_one_is(also):
    with pytest.raises(
        LedgerError, match=rf"{ID}: also has .*, wanted is for each further condition \(what, value, low, high\)"
    ):
        Reporter(NOTEBOOK)(ID, np.array([40.0, 42.0]), also=also)


@pytest.mark.parametrize("bound", [(2, 0), (0, "much"), (None, 2)], ids=str)
def test_a_conditions_bound_is_two_numbers_the_lower_first(bound):
    with pytest.raises(LedgerError, match=f"{ID}, 'beside': the bound"):
        Reporter(NOTEBOOK)(ID, np.array([40.0, 42.0]), also=[("beside", [1.0, 1.0], *bound)])


def test_a_claim_may_be_reported_as_not_tested():
    command = Reporter(NOTEBOOK)(ID, untested="<none>: `fa_core record x`")._repr_mimebundle_()["text/html"]
    assert "&lt;none&gt;: <code>fa_core record x</code>" in command
    found = Reporter(NOTEBOOK)(ID, untested="no such dataset")
    assert (found.verdict, found.reason) == (UNTESTED, "no such dataset")


def test_the_smoke_profile_tests_nothing():
    found = Reporter(NOTEBOOK, "smoke")(ID, 90, n=2, interval=(80, 100))
    assert (found.verdict, found.reason) == (UNTESTED, "the smoke profile is too small")


@pytest.mark.parametrize(
    "id", [OTHERS, "fig99.flying", 3, [ID]], ids=["of another notebook", "of none", "a number", "a list"]
)
def test_a_report_of_a_claim_that_is_not_the_notebooks_is_refused(id):
    with pytest.raises(
        LedgerError, match=f"{re.escape(repr(id))} is no claim of 02_linear; there are: fig2a.as-quick-as-backprop, "
    ):
        Reporter(NOTEBOOK)(id, 1.0)


def test_a_cell_that_reports_may_be_run_again_but_not_report_something_else():
    report = Reporter(NOTEBOOK)
    report(ID, 90, n=20, interval=(89, 91))
    report(ID, 90, n=20, interval=(89, 91))
    with pytest.raises(LedgerError, match=rf"'{ID}' was reported before, as 90 \[89, 91\] \(n = 20\): .*from its beginning"):
        report(ID, 91, n=20, interval=(89, 91))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("99_flying",), "no claim for notebook '99_flying': add one to fa_core/claims.toml"),
        ((NOTEBOOK, "smok"), "unknown profile 'smok'; there are: paper, smoke"),
    ],
)
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


ends = st.tuples(anything, anything).map(lambda pair: tuple(sorted(pair)) if not any(map(math.isnan, pair)) else pair)
# A value, its interval and its kind, as they fit each other.
measured = (
    st.tuples(anything, st.none(), st.sampled_from([k for k in claims.KINDS if k not in (ESTIMATE, END)]))
    | ends.map(lambda pair: (pair[1], pair, ESTIMATE))
    | ends.map(lambda pair: (pair[0], pair, END))
)
verdicts = st.builds(
    lambda of, measure, n, also, **said: Verdict(of, measure[0], n, *measure[1:], also, **said),
    st.builds(claim, st.just(-math.inf) | st.just(0.0), st.just(1.0) | st.just(math.inf)),
    measured,
    st.integers(0, 20),
    st.lists(
        st.builds(
            Condition,
            st.text(),
            anything,
            anything,
            anything,
            st.none() | st.tuples(anything, anything),
            st.sampled_from(list(claims.KINDS)),
        ),
        max_size=2,
    ).map(tuple),
    unfinished=st.text(),
    stand_in=st.text(),
    reason=st.text(),
)


@given(verdicts)
def test_the_json_is_valid_and_says_what_the_object_says(found):
    data = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert data == found.as_json()
    assert (data["id"], data["notebook"], data["n"]) == (found.claim.id, found.claim.notebook, found.n)
    assert (data["kind"], data["verdict"], data["why"]) == (found.kind, found.verdict, found.why())
    assert [data[k] for k in ("unfinished", "stand_in", "reason")] == [found.unfinished, found.stand_in, found.reason]
    pairs = [
        (data["value"], found.value),
        *zip(data["accept"], found.claim.accept, strict=True),
        *zip(data["interval"] or (), found.interval or (), strict=True),
    ]
    for shown, c in zip(data["also"], found.also, strict=True):
        assert (shown["what"], shown["kind"]) == (c.what, c.kind)
        pairs += zip(shown["interval"] or (), c.interval or (), strict=True)
        pairs += [(shown["value"], c.value), (shown["low"], c.low), (shown["high"], c.high)]
    for shown, exact in pairs:
        assert isinstance(shown, float) == math.isfinite(exact)
        assert claims.digits(float(shown)) == claims.digits(exact), "rounded once"


@given(verdicts)
def test_a_verdict_shows_itself_in_words_as_text_html_and_json(found):
    shown = found._repr_mimebundle_()
    assert shown.keys() == {"text/plain", "text/html", claims.MIME}
    assert shown[claims.MIME] == found.as_json()
    for part in ("text/plain", "text/html"):
        assert f"{claims.MARKS[found.verdict]} {found.verdict}" in shown[part]


def test_a_row_gives_the_value_its_interval_and_the_number_of_runs_beside_the_bound():
    also = (Condition("start", 90.0, 85, math.inf, (89.5, 90.51)), Condition("runs", 3.0, 3, 3, kind="count"))
    row = Verdict(claim(-math.inf, 1.1), 0.81234, 20, (0.7, 0.9), also=also).row()
    assert row["ours"] == "0.812 [0.7, 0.9] (n = 20); start: 90 [89.5, 90.5]; runs: 3"
    assert row["bound"] == "at most 1.1; start at least 85; runs exactly 3"
    assert row["paper"] == "no number given"
    assert claims.interval_text((-math.inf, math.inf)) == "any"
    assert claims.interval_text((0, 0.5)) == "0 to 0.5"


def test_an_end_of_an_interval_is_not_shown_as_an_estimate():
    assert Verdict(claim(), 0.9, 20, (0.7, 0.9), END).row()["ours"] == "0.9, upper end from 0.7 (n = 20)"
    assert Verdict(claim(), 0.7, 20, (0.7, 0.9), END).row()["ours"] == "0.7, lower end up to 0.9 (n = 20)"


def test_an_undecided_verdict_says_why():
    also = (Condition("start", 0.5, 0, 1, (0.4, 1.6)), Condition("end", 0.5, 0, 1, (0.4, 0.6)))
    assert Verdict(claim(), 1.0, 20, (0.9, 1.1)).row()["verdict"] == "? undecided: the interval is partly in the bound"
    assert Verdict(claim(), 0.5, 20, (0.4, 0.6), also=also).why() == 'the interval of "start" is partly in the bound'


def test_no_two_verdicts_have_the_same_mark():
    assert len(set(claims.MARKS.values())) == len(claims.MARKS) == 8


def test_what_a_claim_states_cannot_break_the_html():
    shown = Verdict(claim(states="<script> e'WBe > 0 & so on"), 0.5, n=1, kind="count")._repr_mimebundle_()["text/html"]
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


# ---- the ledger


ENTRY = {"id": '"a.claim"', "notebook": '"a_notebook"', "states": '"It falls."', "measure": '"how far"', "accept": "[0, 1]"}


def written(folder, *entries):
    file = folder / "claims.toml"
    file.write_text("\n".join("[[claim]]\n" + "\n".join(f"{k} = {v}" for k, v in e.items() if v) for e in entries))
    return file


def test_a_well_formed_ledger_is_read(tmp_path):
    found = claims.ledger(written(tmp_path, ENTRY, ENTRY | {"id": '"b.claim"', "accept": "[-inf, 2]", "paper": '"2 %"'}))
    assert found == {"a.claim": claim(), "b.claim": claim(-math.inf, 2.0, id="b.claim", paper="2 %")}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([ENTRY, ENTRY | {"states": '"Another."'}], "stands twice"),
        ([ENTRY | {"accept": "[2, 1]"}], r"accept = \[2.0, 1.0\] is not an interval"),
        ([ENTRY | {"accept": "[nan, 1]"}], "is not an interval"),
        ([ENTRY | {"accept": "[0, nan]"}], "is not an interval"),
        ([ENTRY | {"accept": "[0]"}], r"accept = \[0\] is not an interval: wanted are two numbers"),
        ([ENTRY | {"accept": "[0, 1, 2]"}], "is not an interval: wanted are two numbers"),
        ([ENTRY | {"accept": '["low", 1]'}], "accept is 'low', wanted is a number"),
        ([ENTRY | {"accept": "1"}], "accept = 1 is not an interval"),
        ([ENTRY | {"accept": None}], "has no accept"),
        ([ENTRY | {"measure": None}], "has no measure"),
        ([ENTRY | {"measure": "3"}], "measure is 3, wanted is text, in quotation marks"),
        ([ENTRY | {"paper": "[90, 45]"}], r"paper is \[90, 45\], wanted is text"),
        ([ENTRY | {"added": "2026-11-28"}], "added is datetime.date.*, wanted is text"),
        ([ENTRY | {"accepts": "[0, 2]"}], "has accepts; an entry's fields are: id, notebook, "),
    ],
    ids=[
        "a duplicate",
        "a reversed bound",
        "NaN below",
        "NaN above",
        "one bound",
        "three bounds",
        "a word for a bound",
        "a number for a bound",
        "no bound",
        "no measure",
        "a number for a measure",
        "a list for the paper's words",
        "a date",
        "an unknown field",
    ],
)
def test_a_malformed_ledger_is_refused_and_the_claim_named(tmp_path, entries, message):
    file = written(tmp_path, ENTRY | {"id": '"good.claim"'}, *entries)
    with pytest.raises(LedgerError, match=rf"{file.name}: claim 'a.claim'.*{message}"):
        claims.ledger(file)


def test_an_id_is_text(tmp_path):
    with pytest.raises(LedgerError, match="claim 3: id is 3, wanted is text, in quotation marks"):
        claims.ledger(written(tmp_path, ENTRY | {"id": "3"}))


def test_the_claims_of_later_papers_are_apart_and_each_says_whose_it_is(tmp_path):
    papers, later = claims.ledger(), claims.ledger(section="after")
    assert later
    assert not papers.keys() & later.keys()
    references = (Path(__file__).parents[1] / "book/references.bib").read_text(encoding="utf-8")
    for claim in later.values():
        assert f"{{{claim.source}," in references
        assert claim.notebook in ("20_after_2016", "21_later_findings")
        found = Verdict(claim, 0.5, 1, kind="count")
        assert found.row()[claim.source] == (claim.paper or "no number given")
        assert found.as_json()["source"] == claim.source
    assert "source" not in Verdict(papers[ID], 0.5, 1, kind="count").as_json()
    file = written(tmp_path, ENTRY | {"source": '"later2020"'})
    with pytest.raises(LedgerError, match=r"in the section \[\[claim\]\] with source = 'later2020'"):
        claims.ledger(file)


# Of the ledger as it was given, so that a checkout without it beside it cannot change a bound either.
BOUNDS = {
    "": "c2c040e670fad62f",
    "2026-11-27": "a16ada984f1eff2a",
    "after": "b2c40a0bb9cadff7",
    "after 2026-11-28": "0e0dc13a68d712c7",
}


def bounds(file: Path) -> dict[str, str]:
    """For each set of the ledger, by the date at which it was added, a digest of its claims: where, what, and the bound."""
    text: dict[str, list[str]] = {}
    for c in (claims.ledger(file) | claims.ledger(file, "after")).values():
        line = f"{c.id}|{c.notebook}|{c.measure}|{c.accept[0]!r}|{c.accept[1]!r}"
        text.setdefault(f"{'after ' * bool(c.source)}{c.added}".strip(), []).append(line)
    return {added: hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] for added, lines in text.items()}


def test_no_bound_has_been_changed_since_the_ledger_was_written():
    assert bounds(claims.LEDGER) == BOUNDS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accept = [0.99, 1.0]", "accept = [0.98, 1.0]"),
        ("accept = [3.0, inf]", "accept = [2.0, inf]"),
        ("mean of 20 seeds", "best of 20 seeds"),
        ("accept = [0, 30]", "accept = [0, 31]"),
        ('added = "2026-11-27"', 'added = "2026-11-28"'),
    ],
)
def test_the_digest_notices_another_bound_measure_or_date(tmp_path, old, new):
    text = claims.LEDGER.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "claims.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    assert bounds(tmp_path / "claims.toml") != BOUNDS


def test_the_ledger_is_the_one_that_was_given():
    if not SHARED.exists():
        pytest.skip("the ledger as it was given does not lie beside this checkout")
    assert claims.ledger(claims.LEDGER) == claims.ledger(SHARED)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1093.6, "1,090"),
        (999.7, "1,000"),
        (47.53, "47.5"),
        (-20_512.0, "-20,500"),
        (0.0012345, "0.00123"),
        (2.5e-9, "2.5e-09"),
        (3e12, "3e+12"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (0.0, "0"),
    ],
)
def test_a_number_is_shown_to_three_digits_as_one_reads_it(value, text):
    assert claims.digits(value) == text
