"""Supplementary Note 12: its halves solved, its equations, the angles in closed form, and the law of the hidden units."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_core import flow, measures, network, proofs
from fa_core.proofs import alignment
from fa_core.rules import rule
from tests.helpers import linear_experiment

SIZES = st.integers(1, 6)


def matrices(seed, n_i, n_h, n_o):
    """T, B, A, W of these sizes, elements uniform on [-1, 1]."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, s) for s in ((n_o, n_i), (n_h, n_o), (n_h, n_i), (n_o, n_h))]


def test_the_equations_hold_each_once_and_are_those_of_the_note():
    assert [e.key for e in alignment.EQUATIONS] == [f"SI {k}" for k in range(24, 29)]
    assert [e.key for e in alignment.EQUATIONS_UNITS] == ["SI 1"]
    rows = proofs.show(alignment.EQUATIONS + alignment.EQUATIONS_UNITS).rows
    assert {r["key"] for r in rows if r["kind"] == proofs.WRONG} == {"SI 28"}


@pytest.mark.parametrize("broken", ["SI 24", "SI 25", "SI 27", "SI 28"])
def test_a_check_that_fails_is_named(broken):
    (equation,) = (e for e in alignment.EQUATIONS if e.key == broken)
    with pytest.raises(proofs.ProofError, match=broken):
        proofs.show([dataclasses.replace(equation, check=lambda *shown: not equation.check(*shown))])


@given(st.integers(0, 10**6), SIZES, SIZES, SIZES, st.booleans())
@settings(max_examples=25, deadline=None)
def test_with_one_matrix_fixed_the_solution_is_the_integrated_flow(seed, n_i, n_h, n_o, from_zero):
    T, B, A, W = matrices(seed, n_i, n_h, n_o)
    W = 0 * W if from_zero else W
    t = np.linspace(0, 2, 4)
    for learn, solve in (("A", alignment.frozen_output_weights), ("W", alignment.frozen_hidden_weights)):
        solved, integrated = solve(T, B, A, W, t), flow.integrate(T, B, A, W, t, learn=learn)
        np.testing.assert_allclose(solved.A, integrated.A, atol=1e-7)
        np.testing.assert_allclose(solved.W, integrated.W, atol=1e-7)


def test_from_zero_the_sign_of_equation_28_is_kept_by_phases_and_each_keeps_the_form_of_the_modes():
    for seed in range(20):
        T, B, A, W = matrices(seed, 6, 4, 3)
        A, W = 0 * A, 0 * W
        U, s, V = flow.modes(T, B)
        for k, length in enumerate((0.7, 1.3, 0.4, 2.0)):
            solve = alignment.frozen_hidden_weights if k % 2 else alignment.frozen_output_weights
            part = solve(T, B, A, W, np.linspace(0, length, 9))
            A, W = part.A[-1], part.W[-1]
            a, w = np.einsum("hk,phi,ik->pk", U, part.A, V), np.einsum("kh,phj,jk->pk", U.T @ B, part.W, U) / s
            np.testing.assert_allclose(part.A, (U * a[:, None]) @ V.T, atol=1e-10)
            np.testing.assert_allclose(part.W, (T @ V * w[:, None]) @ U.T, atol=1e-10)
            assert (1 - w * a > 0).all()
            np.testing.assert_allclose(alignment.growth(part), (a * s * (1 - w * a)).sum(1), atol=1e-10)
            assert (alignment.growth(part)[k == 0 :] > 0).all()


def test_the_check_of_equation_28_sees_a_wrong_sign_in_phases(monkeypatch):
    (equation,) = (e for e in alignment.EQUATIONS if e.key == "SI 28")
    assert equation.holds()
    solve = alignment.frozen_output_weights
    monkeypatch.setattr(alignment, "frozen_output_weights", lambda T, B, A, W, t: solve(T, -B if W.any() else B, A, W, t))
    alignment.from_zero.cache_clear()
    assert not equation.holds()
    alignment.from_zero.cache_clear()


def test_from_zero_output_weights_A_drifts_and_the_error_stays():
    T, B, A, W = matrices(0, 5, 4, 3)
    run = alignment.frozen_output_weights(T, B, A, 0 * W, [0, 1, 100])
    np.testing.assert_allclose(run.A[2], A + 100 * B @ T, rtol=1e-12)
    np.testing.assert_allclose(run.error, 1)


@given(st.integers(0, 10**6), SIZES, SIZES)
@settings(max_examples=25, deadline=None)
def test_what_settles_has_no_error_in_the_end_and_what_does_not_keeps_some(seed, n_h, n_o):
    T, B, A, W = matrices(seed, 7, n_h, n_o)
    real_parts = np.abs(np.linalg.eigvals(W @ B).real)
    slowest = real_parts.min()
    if slowest > max(1e-2, real_parts.max() / 10):  # else some part of the error would overflow meanwhile
        run = alignment.frozen_output_weights(T, B, A, W, [0, 20 / slowest])
        assert (run.error[1] < 1e-3) == bool(alignment.settles(W, B))


def test_with_fewer_hidden_units_than_outputs_nothing_settles():
    for seed in range(20):
        _, B, _, W = matrices(seed, 3, 2, 3)
        assert np.abs(np.linalg.eigvals(W @ B)).min() < 1e-12  # 0, but for rounding
        run = alignment.frozen_output_weights(*matrices(seed, 3, 2, 3), [0, 50])
        assert run.error[1] > 1e-3


def test_phases_join_and_what_is_frozen_stays():
    T, B, A, W = matrices(1, 5, 4, 3)
    run = alignment.in_phases(T, B, A, W, [("A", 0.5), ("W", 0.25), ("AW", 0.25)], points=5)
    assert run.t.shape == (15,)
    assert run.t[-1] == 1
    for end in (4, 9):  # the end of one phase is the start of the next
        assert run.t[end] == run.t[end + 1]
        np.testing.assert_array_equal(run.A[end], run.A[end + 1])
    assert (run.W[:5] == W).all()
    assert (run.A[5:10] == run.A[4]).all()
    assert not np.allclose(run.A[10], run.A[14])


def test_the_three_quantities_are_the_traces_of_the_note_and_the_rates_it_says():
    T, B, A, W = matrices(2, 5, 4, 3)
    run = flow.integrate(T, B, A, W, np.array([0.3, 0.3 + 1e-5]))
    traces = [np.trace(a.T @ B @ e) for a, e in zip(run.A, run.E, strict=True)]
    np.testing.assert_allclose(alignment.growth(run), traces)
    np.testing.assert_allclose(alignment.alignment(run), [np.trace(B @ w) for w in run.W])
    np.testing.assert_allclose(
        alignment.mean_usefulness(run), [np.trace(e.T @ w @ B @ e) for w, e in zip(run.W, run.E, strict=True)]
    )
    np.testing.assert_allclose(np.diff(alignment.alignment(run)) / 1e-5, np.mean(traces), rtol=1e-5)
    np.testing.assert_allclose(np.diff(np.linalg.norm(run.A, axis=(1, 2)) ** 2) / 2e-5, np.mean(traces), rtol=1e-5)
    assert alignment.alignment(run, -B) == pytest.approx(-alignment.alignment(run))
    assert alignment.growth(run, -B) == pytest.approx(-alignment.growth(run))


def test_the_counterexample_is_a_trajectory_of_the_two_phases():
    first, second = alignment.counterexample()
    A, W = flow.integrate(first.T, first.B, first.A[0], first.W[0], first.t, learn="A").A[-1], first.W[-1]
    integrated = flow.integrate(first.T, first.B, A, W, second.t[:120], learn="W")
    np.testing.assert_allclose(integrated.W, second.W[:120], atol=1e-7)
    assert (alignment.growth(first) > 0).all()
    assert alignment.alignment(second).max() > 0 > alignment.alignment(second)[-1]


@given(st.integers(0, 10**6), SIZES, SIZES, SIZES)
@settings(max_examples=25, deadline=None)
def test_the_first_and_the_last_angle_are_those_of_the_closed_form(seed, n_i, n_h, n_o):
    T, B, *_ = matrices(seed, n_i, n_h, n_o)
    if flow.modes(T, B)[1].min() < 1e-2:
        return  # modes that take very long
    ends = flow.closed_form(T, B, np.array([1e-4, np.inf]))
    angles = measures.matrix_angle(ends.W, B.T)
    assert alignment.first_angle(T, B) == pytest.approx(angles[0], abs=0.02)
    assert alignment.last_angle(T, B) == pytest.approx(angles[1], abs=1e-4)


def test_the_clock_of_a_mode_is_the_inverse_of_its_progress():
    y = np.linspace(0, 0.999, 50)
    np.testing.assert_allclose(flow.progress(alignment.clock(y).clip(0)), y, atol=1e-12)


def test_the_law_of_a_unit_is_derived_for_one_example_and_for_one_step():
    for found, stated in (alignment.unit_law(4, 3), alignment.unit_step(3, 2, 2)):
        assert found == stated != 0


def test_units_with_f_equal_to_slope_times_input_obey_the_law_and_no_others():
    assert [alignment.homogeneity_gap(u) for u in ("linear", "relu", "leaky")] == [0, 0, 0]
    assert all(alignment.homogeneity_gap(u) != 0 for u in ("tanh", "logistic"))
    with pytest.raises(ValueError, match="unknown unit 'step'; there are: linear"):
        alignment.homogeneity_gap("step")


def test_equation_1_is_the_leaky_unit_of_the_engine():
    z = torch.tensor([-3.0, -1.0, 0.5, 2.0], dtype=torch.float64)
    unit, slope = network.UNITS["leaky"]
    h = unit(z.clone())
    np.testing.assert_allclose(h, [-0.15, -0.05, 0.5, 2])
    np.testing.assert_allclose(h, slope(h) * z)


def balances(net, layer):
    """`unit_balance` of the hidden layer above W[layer], in the engine's arrays, (runs, units)."""
    return alignment.unit_balance(
        *(a.mT.numpy() for a in (net.W[layer], net.W[layer + 1], net.B[layer])), net.b[layer][:, 0].numpy()
    )


def drift(hidden, name, sizes=(6, 5, 4), output="linear", steps=30):
    """How far each hidden layer's balance, corrected for the size of the steps, strays while an ensemble learns."""
    experiment = linear_experiment(sizes=sizes, hidden=hidden, output=output, rule=name, weights=0.5, biases=0.3)
    net = network.initialise(experiment, (0, 1))
    layers = range(len(sizes) - 2)
    before, steps_squared = [balances(net, k) for k in layers], [0.0 for _ in layers]
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x, target = (torch.randn(2, 8, n, generator=draw, dtype=torch.float64) for n in (sizes[0], sizes[-1]))
        h = net.forward(x)
        slopes = net.slopes(h)
        deltas = rule(name)(target - h[-1], slopes, net.W[1:], net.B)
        W, b = [w.clone() for w in net.W], [c.clone() for c in net.b]
        for k, (delta, slope) in enumerate(zip(deltas, slopes, strict=True)):  # the three-factor rule, written out
            net.W[k] += 0.01 * h[k].mT @ (delta * slope)
            net.b[k] += 0.01 * (delta * slope).sum(1, keepdim=True)
        for k in layers:
            steps_squared[k] += (((net.W[k] - W[k]) ** 2).sum(1) + (net.b[k] - b[k])[:, 0] ** 2).numpy()
    return [np.abs(balances(net, k) - before[k] + steps_squared[k] / 2).max() for k in layers]


@pytest.mark.parametrize("hidden", ["linear", "relu", "leaky"])
def test_every_unit_keeps_its_balance_but_for_half_the_squared_steps_exactly(hidden):
    assert drift(hidden, "feedback alignment")[0] < 1e-12
    assert drift(hidden, "feedback alignment, outputs gated", output="tanh")[0] < 1e-12
    assert max(drift(hidden, "feedback alignment, gated", sizes=(6, 5, 4, 3))) < 1e-12


def test_the_balance_is_not_kept_by_tanh_nor_where_B_sends_another_signal_nor_by_backprop():
    assert drift("tanh", "feedback alignment")[0] > 1e-2
    assert drift("leaky", "feedback alignment", output="tanh")[0] > 1e-2
    assert drift("leaky", "backprop")[0] > 1e-2
    deep = drift("leaky", "feedback alignment", sizes=(6, 5, 4, 3))
    assert deep[0] > 1e-3 > 1e-12 > deep[1]  # B sends no slopes down the chain: the last hidden layer only


WRONG_BALANCES = {
    "a sign": lambda W_in, W_out, B, bias: (B * W_out.mT).sum(-1) + ((W_in**2).sum(-1) + bias**2) / 2,
    "a factor": lambda W_in, W_out, B, bias: (B * W_out.mT).sum(-1) - (W_in**2).sum(-1) - bias**2,
    "another unit's B": lambda W_in, W_out, B, bias: (B[:, ::-1] * W_out.mT).sum(-1) - ((W_in**2).sum(-1) + bias**2) / 2,
}


@pytest.mark.parametrize("wrong", WRONG_BALANCES)
def test_an_error_planted_in_the_balance_of_a_unit_is_noticed(wrong, monkeypatch):
    assert drift("leaky", "feedback alignment")[0] < 1e-12
    monkeypatch.setattr(alignment, "unit_balance", WRONG_BALANCES[wrong])
    assert drift("leaky", "feedback alignment")[0] > 1e-3


def test_in_a_linear_network_the_balance_is_half_the_diagonal_of_the_invariant():
    T, B, A, W = matrices(3, 5, 4, 3)
    run = flow.integrate(T, B, A, W, np.linspace(0, 2, 5))
    kept = alignment.unit_balance(run.A, run.W, B)
    np.testing.assert_allclose(kept, np.diagonal(run.invariant, axis1=1, axis2=2) / 2, atol=1e-12)
    np.testing.assert_allclose(kept, np.broadcast_to(kept[0], kept.shape), atol=1e-8)
