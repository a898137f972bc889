"""Note 15: each check passes and notices what is broken; the first-order claim holds for W+ and D at a alone."""

import numpy as np
import pytest

from fa_core.proofs import WRONG, show
from fa_core.proofs import gauss_newton as proof


def test_all_equations_are_accounted_for_and_hold():
    assert [e.key for e in proof.EQUATIONS] == [f"SI {n}" for n in range(50, 60)]
    assert [r["key"] for r in show(proof.EQUATIONS).rows if r["kind"] == WRONG] == ["SI 53", "SI 56", "SI 57", "SI 59"]


@pytest.mark.parametrize("units", ["tanh", "logistic"])
def test_the_change_of_h_is_the_predicted_one_to_first_order(units):
    for seed in range(20):
        net = proof.instance(seed, units)
        rates = proof.small_rates(net)
        assert proof.slope(rates, proof.relative_errors(net, rates)) == pytest.approx(1, abs=0.05)


def test_neither_the_transpose_nor_the_slope_at_h_gives_a_first_order_error():
    for seed in range(20):
        net = proof.instance(seed)
        rates = proof.small_rates(net)
        assert proof.relative_errors(net, rates, delta=net.W.T @ net.e).min() > 1e-3
        wrong = proof.relative_errors(net, rates, D=1 - np.tanh(net.hidden()) ** 2)
        assert abs(proof.slope(rates, wrong)) < 0.5


@pytest.mark.parametrize("units", ["tanh", "logistic", "linear"])
def test_the_slopes_are_the_derivatives_of_the_units(units):
    f, slope = proof.UNITS[units]
    a = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(slope(a), (f(a + 1e-6) - f(a - 1e-6)) / 2e-6, atol=1e-8)


def test_one_step_is_exact_for_linear_units_alone():
    for seed in range(20):
        linear, tanh = (proof.instance(seed, u) for u in ("linear", "tanh"))
        change = linear.change_of_h(linear.gauss_newton, 1 / (linear.x @ linear.x))
        np.testing.assert_allclose(change, linear.gauss_newton, atol=1e-10)
        change = tanh.change_of_h(tanh.gauss_newton, 1 / (tanh.D**2 * (tanh.x @ tanh.x)))
        assert np.linalg.norm(change - tanh.gauss_newton) > 1e-3 * np.linalg.norm(change)


def test_penroses_conditions_refuse_what_is_no_pseudoinverse():
    J = proof.jacobian_symbols(2, 2)
    N, d = proof.by_columns(J)
    assert proof.is_pseudoinverse(J, N, d)
    assert not proof.is_pseudoinverse(J, N.T, d)
    wide = proof.jacobian_symbols(1, 2)
    assert not proof.is_pseudoinverse(wide, *proof.by_columns(wide)), "J'J is singular"
