"""What the scorecard says of a claim, and where it draws it."""

import math
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fa_core import claims

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
import fa_book
import fa_scorecard

numbers = st.floats(-1e6, 1e6)
# What the paper's words are in the units of each measure.
MARKS = {
    "fig2b.angle-starts-at-90": 90,
    "fig3a.backprop": 2.4,
    "fig3a.feedback-alignment": 2.1,
    "fig3a.as-good-as-backprop": -0.3,
    "fig3a.better-than-backprop": -0.3,
    "fig3a.sparse": 2.4,
    "fig3d.depth-helps-feedback-alignment": 9e-13,
    "fig3d.depth-helps-backprop": 3e-12,
    "fig4.test-error": 1.8,
    "sn5.tanh-backprop": 1.62,
    "sn5.tanh-feedback-alignment": 1.32,
    "sn5.beats-backprop": -0.3,
    "sn5.dropout": 1.2,
    "sn5.leaky": 1.1,
    "sn5.local-receptive-fields": 0.8,
    "sn5.elastic": 0.5,
    "sn5.ten-layers-feedback-alignment": 1.45,
    "sn5.ten-layers-backprop": 1.65,
    "sn5.background-images": -0.84,
    "sn6.svhn-tanh": 9.7,
    "sn6.svhn-local": 8.1,
    "sn6.svhn-leaky": 7.1,
    "sn7.timit": -1.2,
    "sn9.narrow-autoencoder": 30.2 / 8.6,
    "sn9.wide-autoencoder": 0.48,
    "fig3a.sparse-matches-backprop": 0,
    "sn5.dropout-helps": -0.12,
    "sn5.leaky-helps-further": -0.1,
    "sn5.combined": 0.5,
    "sn5.ten-layers-below-backprop": -0.2,
    "sn5.ten-layers-above-three": 0.13,
    "sn9.narrowing-hurts": 7,
}


def test_the_papers_numbers_are_in_the_units_of_the_measures():
    found = {c.id: fa_scorecard.paper_mark(c) for c in claims.ledger().values()}
    assert {id for id, mark in found.items() if mark is not None} == set(MARKS)
    for id, mark in MARKS.items():
        assert found[id] == pytest.approx(mark), id


bounds = (
    st.tuples(numbers, numbers).map(sorted).map(tuple)
    | numbers.map(lambda v: (v, math.inf))
    | numbers.map(lambda v: (-math.inf, v))
)


@given(bounds, numbers, numbers, st.floats(1e-3, 1e3))
def test_what_is_drawn_keeps_its_order_and_stays_on_the_picture(bound, a, b, unit):
    first, second = (fa_scorecard.place(v, bound, unit) for v in sorted((a, b)))
    assert 0 <= first <= second <= 100
    for end in bound:
        at = 0 if end == -math.inf else 100 if end == math.inf else fa_scorecard.place(end, bound, unit)
        if abs(a - end) > 1e-9 * unit:
            assume(abs(fa_scorecard.place(a, bound, unit) - at) > 0)
            assert (a < end) == (fa_scorecard.place(a, bound, unit) < at)


def test_infinities_are_drawn_at_the_edges():
    for bound in ((0, 1), (0, math.inf), (-math.inf, 0), (1, 1)):
        low, high = (fa_scorecard.place(v, bound, 1.0) for v in (-math.inf, math.inf))
        assert 0 < low < 10 < 90 < high < 100


def test_every_claim_is_of_one_part_of_the_paper_and_the_parts_are_in_its_order():
    groups = fa_scorecard.by_group()
    assert sorted(c.id for of_it in groups.values() for c in of_it) == sorted(claims.ledger())
    assert list(groups)[:6] == ["Fig. 1", "Fig. 2", "Fig. 3", "Fig. 4", "Fig. 5", "Methods"]
    assert list(groups).index("Fig. S9") < list(groups).index("Fig. S10") < list(groups).index("Note 2")


def test_every_verdict_has_a_class_of_its_own():
    assert set(fa_scorecard.CLASSES) == set(claims.VERDICTS)
    assert len(set(fa_scorecard.CLASSES.values())) == len(claims.VERDICTS)
    assert set(fa_scorecard.AS_IT_STANDS) == set(claims.KINDS) - {claims.ESTIMATE, claims.END}


# ---- numbers in the prose

ROW = {
    "verdict": claims.REPRODUCED,
    "value": 0.735,
    "interval": [0.6579, 0.7348],
    "n": 20,
    "also": [{"what": "at the start", "value": -90.0}],
}


@pytest.fixture
def source(monkeypatch):
    found = {"a.claim": ROW, "b.claim": ROW | {"interval": None}, "c.claim": ROW | {"verdict": claims.UNTESTED}}
    monkeypatch.setattr(fa_book, "verdicts", lambda source: found)
    return Path()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("a.claim", "0.735"),
        ("a.claim value .2f", "0.73"),
        ("a.claim low", "0.658"),
        ("a.claim high .1f", "0.7"),
        ("a.claim n .0f", "20"),
        ('a.claim "at the start"', "−90"),
        ("a.claim value .0%", "74%"),
    ],
)
def test_a_number_in_the_prose_is_the_notebooks(source, asked, text):
    assert fa_book.value(source, asked) == text


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("d.claim", "'d.claim' is no claim that a notebook has tested"),
        ("c.claim", "no claim that a notebook has tested"),
        ("b.claim low", "'b.claim' has no low; it has: value, n, \"at the start\""),
        ('a.claim "at noon"', 'has no "at noon"'),
        ("a.claim middle", "is not `id`, `id what`"),
        ("", "is not `id`"),
    ],
)
def test_a_number_that_there_is_not_is_refused(source, asked, message):
    with pytest.raises(ValueError) as refused:
        fa_book.value(source, asked)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("why", "short"),
    [
        ("SVHN is not here (train_32x32.mat): `python -m fa_core`, then", "SVHN is not here"),
        ("not run yet", "not run yet"),
        ("the run was ended early, after 14 epochs", "the run was ended early, after 14 epochs"),
        ("a; b", "a"),
        ("", ""),
    ],
)
def test_why_is_said_in_a_few_words(why, short):
    assert fa_scorecard.in_short(why) == short


def test_a_book_without_a_notebook_of_the_ledger_is_refused(monkeypatch):
    every = dict.fromkeys(claims.ledger(), ROW)
    monkeypatch.setattr(fa_book, "verdicts", lambda source: every)
    assert set(fa_book.rows(Path())) == set(claims.ledger())
    del every["fig4.test-error"]
    with pytest.raises(ValueError, match=r"reports the claims fig4\.test-error: is one missing"):
        fa_book.rows(Path())


def test_a_share_of_units_below_an_angle_is_no_angle():
    ledger = claims.ledger()
    assert fa_scorecard.unit(ledger["figS9b.units-align"]) == ""
    assert fa_scorecard.unit(ledger["fig5a.matrix-aligns"]) == "°"


def test_a_peer_in_float32_is_compared_with_ours_in_float32():
    row = {"network": "2-2", "batch": 1, "peer": False}
    ours = [
        row | {"contender": name, "ratio": {"median": ratio}}
        for name, ratio in (("plain", 1.1), ("products in bfloat16", 0.5))
    ]
    peer = row | {"contender": "JAX", "peer": True, "ratio": {"median": 0.9}}
    assert "both in float32: JAX at 2-2, 1 (0.9; plain: 1.1)." in fa_book.peers_ahead([*ours, peer])
    assert "both in float32: nobody." in fa_book.peers_ahead([*ours, peer | {"ratio": {"median": 1.2}}])


def test_our_layers_are_shown_beside_those_of_biotorch():
    row = {"network": "2-2", "batch": 1, "biotorch": None, "megabytes": 3.0}
    rows = [row | {"contender": f"layers, {k}", "biotorch": {"median": v}} for k, v in (("local", 0.8), ("gated", 0.9))]
    said = fa_book.beside_biotorch([*rows, row | {"contender": "BioTorch, x", "megabytes": 4.0}])
    assert said.endswith("BioTorch's step: 2-2 at 1 (3 MB for 4): 0.80 local, 0.90 gated.")
    assert fa_book.beside_biotorch([row | {"contender": "plain"}]) == ""


def test_a_later_work_is_named_by_its_authors_and_year():
    said = [fa_scorecard.cited(key) for key in ("nokland2016", "akrout2019", "flugel2024")]
    assert said == ["Nøkland, 2016", "Akrout et al., 2019", "Flügel et al., 2024"]
    later = [c for c in claims.ledger(section="after").values() if fa_scorecard.cited(c.source)]
    assert later
    row = {"verdict": claims.UNTESTED, "also": [], "n": 0, "why": ""}
    assert f"<dd>{fa_scorecard.cited(later[0].source)}</dd>" in fa_scorecard.line(later[0], row | {"id": later[0].id}, "#")
