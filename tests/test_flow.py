"""The continuous and the discrete dynamics of linear networks."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_core import flow

SHAPES = [(6, 4, 2), (8, 5, 3), (9, 3, 5), (4, 6, 5), (3, 3, 3)]  # n_i, n_h, n_o


def from_zero(shape, seed, t, **options):
    n_i, n_h, n_o = shape
    return flow.integrate(*flow.instance(shape, seed), np.zeros((n_h, n_i)), np.zeros((n_o, n_h)), t, **options)


def random_start(shape, seed):
    n_i, n_h, n_o = shape
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_h, n_i)), rng.standard_normal((n_o, n_h))


@pytest.mark.parametrize("shape", SHAPES)
def test_closed_form_is_the_flow_from_zero(shape):
    t = np.linspace(0, 10, 6)
    for seed in range(3):
        run = from_zero(shape, seed, t)
        exact = flow.closed_form(run.T, run.B, t)
        np.testing.assert_allclose(exact.A, run.A, atol=1e-8)
        np.testing.assert_allclose(exact.W, run.W, atol=1e-8)


def test_closed_form_at_the_end():
    T, B = flow.instance((8, 5, 3), 0)
    end = flow.closed_form(T, B, np.array([np.inf]))
    assert end.error[0] < 1e-14
    values, vectors = np.linalg.eigh(B @ T @ T.T @ B.T)
    root = vectors * np.cbrt(np.where(values > 1e-12, values, 0)) @ vectors.T
    np.testing.assert_allclose(B @ end.W[0], 2 ** (-1 / 3) * root, atol=1e-12)


def test_closed_form_of_deficient_problems():
    T, B = flow.instance((9, 3, 5), 0)
    _, s, V = flow.modes(T, B)
    assert s.shape == (3,)
    end = flow.closed_form(T, B, np.array([np.inf]))
    np.testing.assert_allclose(end.E[0], T - T @ V @ V.T, atol=1e-12)
    nothing = flow.closed_form(T, 0 * B, np.array([0.0, 3.0]))
    assert not nothing.A.any()
    assert not nothing.W.any()


def test_what_no_input_has_is_never_learned():
    T, B = np.diag([2.0, 1.0]), np.eye(2)
    turn = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    for Q in (np.eye(2), turn):
        S = Q @ np.diag([0.0, 1.0]) @ Q.T
        run = flow.closed_form(Q @ T @ Q.T, Q @ B @ Q.T, np.array([0.0, 5.0, 1e6, np.inf]), S)
        np.testing.assert_allclose(run.E[-1], Q @ np.diag([2.0, 0.0]) @ Q.T, atol=1e-12)
        np.testing.assert_allclose(run.E[2], run.E[3], atol=1e-12)
        by_steps = flow.integrate(run.T, run.B, 0 * run.A[0], 0 * run.W[0], np.array([0.0, 5.0]), S=S)
        np.testing.assert_allclose(run.A[1], by_steps.A[-1], atol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ones((2, 3)), np.ones((4, 3)), [0.0]),
        (np.ones(3), np.ones((4, 1)), [0.0]),
        (np.ones((2, 3)), np.ones((4, 2)), 0.0),
        (np.ones((2, 3)), np.ones((4, 2)), [-1.0]),
    ],
)
def test_closed_form_refuses(arguments):
    with pytest.raises(ValueError):
        flow.closed_form(*arguments)


@given(st.floats(0, 50))
def test_progress_solves_its_equation(tau):
    h = 1e-5
    y, ahead = flow.progress([tau, tau + h])
    assert 0 <= y <= 1
    middle = flow.progress(tau + h / 2)
    assert ahead - y == pytest.approx(h * (1 - middle**3), abs=1e-12)


def test_progress_at_its_ends():
    np.testing.assert_allclose(flow.progress([0, 1e-9, np.inf]), [0, 1e-9, 1], rtol=1e-12)


@given(st.integers(0, 100), st.floats(1e-9, 0.9))
@settings(max_examples=20)
def test_horizon_is_where_the_slowest_mode_has_that_error(seed, error):
    T, B = flow.instance((6, 4, 2), seed)
    t = flow.horizon(T, B, error)
    slowest = 2 ** (-1 / 3) * flow.modes(T, B)[1][-1] ** (2 / 3)
    assert 1 - flow.progress(slowest * t) ** 3 == pytest.approx(error, rel=1e-6)
    assert flow.closed_form(T, B, np.array([t])).error[0] <= error * (1 + 1e-6)


def test_horizon_refuses():
    T, B = flow.instance((6, 4, 2), 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        flow.horizon(T, B, 1.5)
    with pytest.raises(ValueError, match="zero"):
        flow.horizon(T, 0 * B, 0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_invariant_and_H_for_any_start_and_inputs(shape):
    T, B = flow.instance(shape, 1)
    rng = np.random.default_rng(2)
    mix = rng.standard_normal((shape[0], 2 * shape[0]))
    S = mix @ mix.T / (2 * shape[0])
    t = np.linspace(0, 3, 61)
    run = flow.integrate(T, B, *random_start(shape, 3), t, S=S)
    assert np.abs(run.invariant - run.invariant[0]).max() < 1e-8 * np.abs(run.A @ run.A.mT).max()
    assert (np.diff(run.H) < 1e-9).all()
    BE = run.B @ run.E
    slope = -np.trace(BE @ S @ BE.mT, axis1=1, axis2=2)
    np.testing.assert_allclose(np.gradient(run.H, t)[20:-1], slope[20:-1], rtol=0.02, atol=1e-3 * abs(slope).max())
    np.testing.assert_allclose(run.V, np.linalg.norm(BE, axis=(1, 2)) ** 2)


def test_backprop_keeps_another_invariant():
    T, B = flow.instance((6, 4, 2), 1)
    run = flow.integrate(T, B, *random_start((6, 4, 2), 3), np.linspace(0, 3, 5), signal="backprop")
    kept = run.W.mT @ run.W - run.A @ run.A.mT
    np.testing.assert_allclose(kept, np.broadcast_to(kept[0], kept.shape), atol=1e-8)
    assert np.abs(run.invariant - run.invariant[0]).max() > 0.1


def test_balanced_start_has_C_zero_and_V_falls():
    T, B = flow.instance((8, 5, 3), 4)
    A, W = flow.balanced_start(T, B, 4)
    BW = B @ W
    np.testing.assert_allclose(BW + BW.T, A @ A.T, atol=1e-13)
    assert np.abs(BW - BW.T).max() > 0.1  # not only the symmetric solution
    run = flow.integrate(T, B, A, W, np.linspace(0, 20, 101))
    assert (np.diff(run.V) <= 1e-10 * run.V[0]).all()


def test_methods_agree():
    t = np.linspace(0, 5, 4)
    stiff, plain = from_zero((6, 4, 2), 0, t, method="LSODA"), from_zero((6, 4, 2), 0, t)
    np.testing.assert_allclose(stiff.A, plain.A, atol=1e-6)


def test_learn_freezes():
    T, B = flow.instance((6, 4, 2), 0)
    A, W = random_start((6, 4, 2), 0)
    only_A = flow.integrate(T, B, A, W, np.array([0.0, 1.0]), learn="A")
    only_W = flow.integrate(T, B, A, W, np.array([0.0, 1.0]), learn="W")
    assert (only_A.W[-1] == W).all()
    assert (only_W.A[-1] == A).all()
    assert np.abs(only_A.A[-1] - A).max() > 0.01
    assert np.abs(only_W.W[-1] - W).max() > 0.01


def test_integrate_refuses():
    T, B = flow.instance((6, 4, 2), 0)
    A, W = random_start((6, 4, 2), 0)
    with pytest.raises(ValueError, match="want B"):
        flow.integrate(T, B.T, A, W, np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="unknown signal"):
        flow.integrate(T, B, A, W, np.array([0.0, 1.0]), signal="backdrop")
    for name in "TBAWS":
        given = {"T": T, "B": B, "A": A, "W": W, "S": np.eye(6)}
        given[name] = np.full_like(given[name], np.nan)
        with pytest.raises(ValueError, match="T, B, A, W, S and decay want finite numbers"):
            flow.integrate(**given, t=np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="unknown method 'Euler'; there are: DOP853, RK45, RK23, LSODA, Radau, BDF"):
        flow.integrate(T, B, A, W, np.array([0.0, 1.0]), method="Euler")
    for given in (
        {"decay": (np.nan, 0)},
        {"rtol": np.nan},
        {"rtol": 0.0},
        {"rtol": np.inf},
        {"atol": np.nan},
        {"atol": 0.0},
    ):
        with pytest.raises(ValueError, match=r"want finite numbers|rtol and atol are how exact each step is"):
            flow.integrate(T, B, A, W, np.array([0.0, 1.0]), **given)
    with pytest.raises(ValueError, match=r"wants S \(6, 6\), got \(2, 2\)"):
        flow.integrate(T, B, A, W, np.array([0.0, 1.0]), S=np.eye(2))
    with pytest.raises(RuntimeError, match="no finite rate at its start, time 0"):
        flow.integrate(T, B, 1e200 * A, 1e200 * W, np.array([0.0, 1.0]))
    for learn in ("", "w", "B"):
        with pytest.raises(ValueError, match=f"learn is which matrices change, 'AW', 'A' or 'W'; got '{learn}'"):
            flow.integrate(T, B, A, W, np.array([0.0, 1.0]), learn=learn)
    for t in ([0.0], [], 1.0, [0.0, 0.0], [1.0, 0.0], [0.0, np.inf], [0.0, np.nan], [[0.0, 1.0]]):
        with pytest.raises(ValueError, match=r"t wants two or more increasing times, of which the first is the start; got "):
            flow.integrate(T, B, A, W, t)


@pytest.mark.parametrize("method", ["DOP853", "RK45", "LSODA"])
def test_a_solution_that_runs_off_is_no_solution_and_where_it_stopped_is_said(method):
    """A' = 1 + A, which leaves double precision at the time 709.8."""
    one = np.ones((1, 1))
    with pytest.raises(RuntimeError, match=r"stopped at time (\d+(\.\d+)?) of 2000") as caught:
        flow.integrate(one, one, 0 * one, -one, np.linspace(0, 2000, 3), learn="A", method=method, rtol=1e-6)
    stopped = float(re.search(r"time (\S+) of", str(caught.value))[1])
    # Some of SciPy's methods square what they integrate, to measure it, and stop half way.
    assert 709 / 2 < stopped < 711
    run = flow.integrate(one, one, 0 * one, -one, np.array([0.0, 350.0]), learn="A", method=method, rtol=1e-6)
    assert np.isfinite(run.A).all(), "before that it is one"


def test_a_solution_that_is_none_between_its_steps_is_refused(monkeypatch):
    """LSODA has been seen to interpolate to NaN where its steps are finite."""

    class InterpolatesBadly(flow.LSODA):
        def dense_output(self):
            return lambda t: np.full((self.n, len(t)), np.nan)

    monkeypatch.setitem(flow.METHODS, "LSODA", InterpolatesBadly)
    with pytest.raises(RuntimeError, match="stopped at time 2 of 2: the solution is not finite at the wanted times"):
        from_zero(SHAPES[0], 0, np.array([0.0, 1.0, 2.0]), method="LSODA")


@pytest.mark.parametrize("shape", SHAPES)
def test_between_the_steps_the_solution_is_as_exact_as_is_said(shape):
    """SciPy interpolates at the wanted times: DOP853's interpolation is of lower order than its steps."""
    t = np.linspace(0, 20, 2001)
    run = from_zero(shape, 0, t)
    exact = flow.closed_form(run.T, run.B, t)
    off = np.maximum(np.abs(run.A - exact.A).max((1, 2)), np.abs(run.W - exact.W).max((1, 2)))
    assert off.max() < 1e-8
    at_a_step = from_zero(shape, 0, np.array([0.0, 20.0]))  # the end is always one
    np.testing.assert_allclose(at_a_step.A[-1], exact.A[-1], atol=1e-10)


def test_batch_is_euler_and_stacks():
    T, B = flow.instance((6, 4, 2), 0)
    A, W = random_start((6, 4, 2), 0)
    S = np.diag(np.arange(1.0, 7))
    run = flow.batch(T, B, 0.01, 2, A=A, W=W, S=S)
    E = T - W @ A
    np.testing.assert_allclose(run.A[1], A + 0.01 * B @ E @ S)
    np.testing.assert_allclose(run.W[1], W + 0.01 * E @ S @ A.T)
    assert run.t.tolist() == [0, 0.01, 0.02]
    others = [flow.instance((6, 4, 2), seed) for seed in range(3)]
    rates = np.array([0.1, 0.2, 0.3])
    stack = flow.batch(*(np.stack(m) for m in zip(*others, strict=True)), rates[:, None, None], 50, every=10)
    for k, problem in enumerate(others):
        alone = flow.batch(*problem, rates[k], 50, every=10)
        np.testing.assert_allclose(stack.A[:, k], alone.A, atol=1e-14)
        np.testing.assert_allclose(stack.error[:, k], alone.error, atol=1e-14)
        np.testing.assert_allclose(stack.H[:, k], alone.H, atol=1e-14)
    targets, B = np.stack([T for T, _ in others]), others[0][1]
    for k, run in enumerate(flow.batch(targets, B, 0.1, 20).W[-1]):
        np.testing.assert_allclose(run, flow.batch(targets[k], B, 0.1, 20).W[-1], atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_largest_stable_step(seed):
    T, B = flow.instance((8, 5, 3), seed)
    unit = flow.modes(T, B)[1][0] ** (-2 / 3)
    assert flow.batch(T, B, 0.645 * unit, 3000, every=3000).V[-1] < 1e-6
    beyond = flow.batch(T, B, 0.648 * unit, 3000, every=3000).V[-1]
    assert not beyond < 1


def test_one_mode_is_batch_learning_of_each_mode():
    for shape in ((6, 4, 3), (3, 5, 2), (1, 1, 1)):
        T, B = flow.instance(shape, 1)
        U, s, V = flow.modes(T, B)
        for k in (0.3, 0.6):
            rate = k / s[0] ** (2 / 3)
            run = flow.batch(T, B, rate, 30, every=5)
            u, v = flow.one_mode(rate * s ** (2 / 3), 30, every=5)
            np.testing.assert_allclose(np.einsum("hk,phi,ik->pk", U, run.A, V), np.cbrt(s) * u, atol=1e-12)
            np.testing.assert_allclose(run.W, np.einsum("ok,pk,hk->poh", T @ V, v / np.cbrt(s), U), atol=1e-12)


def test_one_mode_by_hand_and_where_it_runs_off():
    u, v = flow.one_mode([0.5, 2.0], 3)
    assert u[:, 0].tolist() == [0, 0.5, 1.0, 1.375]
    assert v[:, 0].tolist() == [0, 0, 0.25, 0.625]
    assert u[2, 1] == v[2, 1] == 4, "u = 2k, v = k^2 after two updates"
    u, v = flow.one_mode(2.0, 100, every=50)
    assert u.shape == v.shape == (3,)
    assert np.isinf([u[1:], v[1:]]).all()


def test_autoencoder_is_batch_in_the_principal_basis():
    rng = np.random.default_rng(0)
    B, variances = rng.uniform(-0.5, 0.5, (3, 7)), np.arange(1.0, 8.0)
    A, W = random_start((7, 3, 7), 1)
    for signal in flow.SIGNALS:
        errors, end_A, end_W = flow.autoencoder(B, variances, 0.01, 20, A=0.1 * A, W=0.1 * W, signal=signal)
        run = flow.batch(np.eye(7), B, 0.01, 20, A=0.1 * A, W=0.1 * W, S=np.diag(variances), signal=signal)
        np.testing.assert_allclose(errors, (run.E**2 * variances).sum((1, 2)))
        np.testing.assert_allclose(end_A, run.A[-1])
        np.testing.assert_allclose(end_W, run.W[-1])
    with pytest.raises(ValueError, match="unknown signal"):
        flow.autoencoder(B, variances, 0.01, 1, signal="backdrop")


def test_bottleneck_ends_at_the_regression():
    rng = np.random.default_rng(0)
    B, variances = rng.uniform(-0.5, 0.5, (3, 7)), np.arange(1.0, 8.0)
    errors, *_ = flow.autoencoder(B, variances, 0.02, 20_000, every=20_000)
    BS = B * variances
    assert errors[-1] == pytest.approx(variances.sum() - np.trace(np.linalg.solve(BS @ B.T, BS @ BS.T)), rel=1e-6)
