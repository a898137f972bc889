"""Note 16: each check passes and notices what is broken; the flow against finite differences; loops; minima."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

from fa_core.experiments import switch
from fa_core.proofs import WRONG, convergence, show
from fa_core.proofs import conservative as proof


def test_all_equations_are_accounted_for_and_hold():
    assert [e.key for e in proof.EQUATIONS] == [f"SI {n}" for n in range(60, 80)]
    wrong = [r["key"] for r in show(proof.EQUATIONS).rows if r["kind"] == WRONG]
    assert wrong == [f"SI {n}" for n in (67, 71, 72, 73, 74, 79)]


def test_four_pairs_differ_for_feedback_alignment_and_none_for_backprop():
    assert proof.pairs_that_differ(proof.jacobian()) == [("W", "A"), ("W", "c"), ("b", "A"), ("b", "c")]
    assert proof.pairs_that_differ(proof.jacobian(proof.W)) == []


def test_the_updates_follow_the_gradient_for_backprop_and_not_with_other_feedback():
    theta, data = proof.symbolic(2, 2, 1)
    M = sp.Matrix(2, 1, sp.symbols("M0:2"))
    ours = proof.updates(theta, data, M)["A"] - proof.minus_gradient(theta, data, "A")
    assert not ours.applyfunc(lambda d: sp.expand(d.doit())).is_zero_matrix
    assert proof.follows_the_gradient("A", shapes=((2, 2, 1),))


@pytest.mark.parametrize("linear", [False, True])
def test_the_flow_and_the_jacobian_of_the_errors_are_the_losss_own(linear):
    for seed in range(5):
        net = proof.instance(seed, n_i=3, n_h=2, n_o=2, linear=linear)
        step = 1e-6
        slopes = [
            (net.at(net.theta - step * d).loss - net.at(net.theta + step * d).loss) / (2 * step)
            for d in np.eye(net.theta.size)
        ]
        np.testing.assert_allclose(net.flow("backprop"), slopes, atol=1e-5)
        np.testing.assert_allclose(-net.jacobian().T @ net.errors.ravel(), net.flow("backprop"), atol=1e-10)
        same = replace(net, B=net.W.T)
        np.testing.assert_array_equal(same.flow("feedback alignment"), net.flow("backprop"))


def test_the_work_around_a_loop_is_the_integral_of_the_curl_and_zero_for_backprop():
    work = proof.work_around_circle()
    assert sp.expand(work - proof.curl_in_the_disc()) == 0
    assert work != 0
    assert proof.work_around_circle(proof.W) == 0
    values = {"W_c": 0.3, "A_c": -0.7, "r": 0.4, "B": 0.9, "x": 1.2, "y_*": 0.5}
    exact = float(work.subs({s: values[s.name] for s in work.free_symbols}))
    assert proof.numerical_work(0.3, -0.7, 0.4, 0.9, (1.2, 0.5)) == pytest.approx(exact, abs=1e-12)
    assert proof.numerical_work(0.3, -0.7, 0.4, None, (1.2, 0.5)) == pytest.approx(0, abs=1e-12)


def test_feedback_alignment_leaves_a_minimum_uphill_in_second_order():
    for net in proof.minima(3, pairs=40):
        flow, hessian = net.flow(), net.hessian()
        t = 0.01 / np.linalg.norm(flow) / np.sqrt(np.linalg.eigvalsh(hessian)[-1])
        rise = net.at(proof.exact(net, t, "feedback alignment")).loss - net.loss
        assert rise == pytest.approx(t**2 / 2 * flow @ hessian @ flow, rel=0.1)
        assert net.at(proof.exact(net, t, "backprop")).loss == pytest.approx(net.loss, rel=1e-10)


@pytest.mark.parametrize(("n_h", "rests"), [(2, True), (3, True), (1, False)])
def test_feedback_alignment_rests_at_the_minima_of_a_linear_network_without_a_bottleneck(n_h, rests):
    for seed in range(5):
        net = proof.linear_minimum(seed, n_i=3, n_h=n_h, n_o=2, pairs=30)
        assert net.loss > 0.1
        assert np.abs(net.flow("backprop")).max() < 1e-9
        assert (np.abs(net.flow("feedback alignment")).max() < 1e-9) == rests
        searched = proof.at_a_minimum(net.at(net.theta + 1e-3))
        assert searched.loss >= net.loss * (1 - 1e-9), "there is no lower place nearby"


def test_the_two_experiments_differ_in_the_switch_alone():
    ours, control = switch.FEEDBACK_ALIGNMENT, switch.BACKPROP
    assert control == ours.but(name=control.name, switch=())
    assert ours.rule_at(switch.SWITCH - 1) == "backprop"
    assert ours.rule_at(switch.SWITCH) == "feedback alignment"
    assert ours.rates_at(switch.SWITCH) == control.rates_at(switch.SWITCH) == pytest.approx((1e-3, 1e-3))
    assert ours.rates_at(switch.SWITCH - 1) == pytest.approx((2e-4, 2e-4))


@pytest.mark.parametrize("name", proof.PARAMETERS)
def test_each_update_is_minus_the_gradient_at_any_size_and_not_with_its_sign_turned(name, monkeypatch):
    assert proof.follows_at_any_size(name)
    real = convergence.rate
    for wrong in (lambda e, law: -real(e, law), lambda e, law: 2 * real(e, law)):
        monkeypatch.setattr(convergence, "rate", wrong)
        assert not proof.follows_at_any_size(name)
