"""Theorem 2: each check passes, and notices when the thing it checks is broken; the map is the network's own."""

import numpy as np
import pytest
from sympy.matrices.exceptions import ShapeError

from fa_core import flow
from fa_core.proofs import WRONG, show
from fa_core.proofs import pseudoinverse as proof


def test_all_equations_are_accounted_for_and_hold():
    assert [e.key for e in proof.EQUATIONS] == [f"SI {n}" for n in range(29, 50)]
    shown = show(proof.EQUATIONS)
    assert [r["key"] for r in shown.rows if r["kind"] == WRONG] == ["SI 45", "SI 47", "SI 49"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [0.1, 0.38, 0.6])
def test_the_scalars_are_those_of_a_network_trained_as_matrices(seed, step):
    B, y, _ = proof.instance(seed)
    b = B @ y
    size = float((b**2).sum())
    u, v = flow.one_mode(step, 30)
    for t, (W, h, _) in enumerate(proof.train(B, y, proof.rate_of(step, B, y), 30)):
        np.testing.assert_allclose(h, u[t] / size ** (1 / 3) * b, atol=1e-9 * np.abs(b).max() * size ** (-1 / 3))
        expected = v[t] / size ** (2 / 3) * y @ b.T
        np.testing.assert_allclose(W, expected, atol=1e-9 * (1 + np.abs(expected).max()))


def test_training_with_an_input_is_training_of_h():
    # Eqs. 30-33 with the rates matched, against eqs. 35-38, and against `train` with the input.
    B, y, x = proof.instance(2)
    rate = proof.rate_of(0.2, B, y)
    W, A = np.zeros((len(y), len(B))), np.zeros((len(B), len(x)))
    paths = proof.train(B, y, rate, 20), proof.train(B, y, rate, 20, x=x)
    for (W_, h_, e_), (W_x, h_x, e_x) in zip(*paths, strict=True):
        e = y - W @ A @ x
        for found in ((W_, h_, e_), (W_x, h_x, e_x)):
            for ours, theirs in zip((W, A @ x, e), found, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=1e-12)
        W, A = W + rate * e @ (A @ x).T, A + rate / (x**2).sum() * B @ e @ x.T
    with pytest.raises(ValueError, match="give one of them"):
        proof.train(B, y, rate, 1, x=x, h=np.zeros((len(B), 1)))


def test_the_growth_factor_is_what_one_minus_s_y_is_multiplied_by():
    u, v = flow.one_mode(0.3, 15)
    left = 1 - u * v
    np.testing.assert_allclose(left[1:], (left * (1 - proof.growth(0.3, u, v)))[:-1], rtol=1e-6)


def test_the_thresholds_lie_where_they_are_said_to():
    both, conclusion = proof.threshold(proof.both_positive), proof.threshold(lambda k: proof.theorem_holds(k, 1000))
    assert both == pytest.approx(0.38053, abs=1e-5)
    assert conclusion == pytest.approx(0.6461, abs=1e-3)
    assert 0.308 < both < 2 ** (1 / 3) / 3, "the two bounds derived by hand"
    u, v = flow.one_mode(1.02 * both, 100)
    assert (u * v).max() > 1, "the output overshoots"
    assert v[2:].min() > 0, "and the theorem still holds"


def test_a_threshold_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"must hold at 0\.1 and fail"):
        proof.threshold(proof.both_positive, 0.1, 0.2)


def test_the_angle_is_zero_on_one_pair_from_zero_and_on_no_other():
    rng = np.random.default_rng(0)
    B, y = rng.uniform(-0.5, 0.5, (20, 10)), rng.uniform(-1, 1, (10, 2))
    one = y[:, :1]
    rate = proof.rate_of(0.1, B, one)
    path = proof.train(B, one, rate, 100)
    assert proof.largest_angle(path, B) < 1e-6
    assert proof.largest_angle(path, -B) > 179
    assert proof.largest_angle(proof.train(B, y, rate, 100), B) > 5, "two pairs"
    start = {"W": 1e-6 * rng.uniform(-1, 1, (10, 20)), "h": 1e-6 * rng.uniform(-1, 1, (20, 1))}
    assert proof.largest_angle(proof.train(B, one, rate, 100, **start), B) > 20, "weights that are not zero"


def test_penroses_conditions_refuse_what_is_no_pseudoinverse():
    y, b = proof.y, proof.b
    X = proof.rank_one_pseudoinverse()
    assert proof.is_pseudoinverse(y * b.T, X)
    for wrong in (2 * X, proof.alpha * X, X * proof.beta, X * y * y.T, -X):
        assert not proof.is_pseudoinverse(y * b.T, wrong)


def test_what_is_a_multiple_is_told_from_what_is_none():
    y, b = proof.y, proof.b
    assert proof.multiple(2 * proof.B * y + proof.s_h * b * b.T * b, b) == 2 + proof.s_h * proof.beta
    for other in (y * b.T * b, b + b * y.T * y * b.T):
        with pytest.raises((ValueError, ShapeError)):
            proof.multiple(other, b)


def test_the_condition_on_the_step_is_noticed_on_both_sides():
    """s_w turns negative before update 12 at a step of 0.7, before update 11 at 0.8."""
    for step, update in ((0.7, 12), (0.8, 11)):
        _, v = flow.one_mode(step, 40)
        assert np.argmax(v[2:] < 0) + 2 == update
    worlds = proof.of_each_step()
    assert {w["k"] for w in worlds if w["t"] >= 2 and w["s_w"] <= 0} >= {0.7, 0.8}
    assert {w["k"] for w in worlds if w["k"] < 0.6461} == {k for k in proof.STEPS if k < 0.6461}
