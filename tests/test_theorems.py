"""The further theorems: what SymPy derives holds, and nothing planted in it does; the formulas against runs."""

import re
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from sympy import Trace

from fa_core import flow, measures, notebooks
from fa_core.proofs import convergence, further
from fa_core.proofs.convergence import FROM_ZERO, MODE_LAW, A, B, E, S, W
from fa_core.proofs.further import bottleneck, circles, common_axes, decay, depth, leaf, noise, pseudo, rates, step_size
from fa_core.proofs.further.interval import Interval
from fa_core.training import train
from tests.helpers import linear_experiment

FILES = (bottleneck, circles, common_axes, decay, depth, leaf, noise, pseudo, rates, step_size)


@pytest.mark.parametrize("file", [*FILES, convergence], ids=lambda f: f.__name__.rsplit(".", 1)[-1])
def test_the_algebra_of_each_theorem_is_confirmed(file):
    assert {name for name, holds in file.algebra().items() if holds is not True} == set()


def test_what_is_not_derived_is_said(capsys):
    further.derive({"one is one": True, "one is two": False})
    assert capsys.readouterr().out == "derived  one is one\nNOT DERIVED  one is two\n"


def test_every_file_of_theorems_is_tested_here():
    found = {p.stem for p in Path(further.__file__).parent.glob("*.py")} - {"__init__", "interval"}
    assert found == {f.__name__.rsplit(".", 1)[-1] for f in FILES}


# (file, formula, what is planted): a sign, a factor, and a transpose or what comes nearest to one.
Q, X = leaf.Q, leaf.X
PLANTED = [
    (bottleneck, "SIGNAL_RATE", -bottleneck.SIGNAL_RATE),
    (bottleneck, "SIGNAL_RATE", 2 * bottleneck.SIGNAL_RATE),
    (bottleneck, "SIGNAL_RATE", -(bottleneck.SIGNAL * A.T * A + W.T * B.T * bottleneck.SIGNAL) * S),
    (circles, "TURNING", -circles.TURNING),
    (circles, "TURNING", 2 * circles.TURNING),
    (circles, "TURNING", circles.TURNING.T),
    *[
        (
            circles,
            "TURNING",
            sp.Matrix(4, 4, lambda *at, ij=(i, j), wrong=wrong: (1, wrong)[at == ij] * circles.TURNING[at]),
        )
        for i, j in ((0, 1), (1, 0), (1, 2), (2, 3), (3, 2))
        for wrong in (-1, 2)
    ],
    (circles, "GROWS", circles.GROWS.subs(circles.RHO, -circles.RHO)),
    (circles, "GROWS", circles.GROWS.subs(circles.RHO, 2 * circles.RHO)),
    (leaf, "LEAF", -leaf.LEAF),
    (leaf, "LEAF", 2 * leaf.LEAF),
    (leaf, "LEAF", A * Q.T / 2),
    (leaf, "PHI", -leaf.PHI),
    (leaf, "PHI", 2 * leaf.PHI),
    (leaf, "PHI", leaf.PHI.subs(Q, -Q)),
    (leaf, "SLOPE", -leaf.SLOPE),
    (leaf, "SLOPE", A * A.T * A - Q),
    (leaf, "SLOPE", A * Q.T * A / 2 - Q),
    (leaf, "CURVATURE", -leaf.CURVATURE),
    (leaf, "CURVATURE", 2 * leaf.CURVATURE),
    (leaf, "CURVATURE", leaf.CURVATURE.subs(A * X.T + X * A.T, A * X.T - X * A.T)),
    (leaf, "H", -leaf.H),
    (leaf, "H", 2 * leaf.H),
    (leaf, "H", leaf.H.subs(leaf.M * leaf.M.T, leaf.M * A * A.T)),
    (leaf, "SIGNAL", -leaf.SIGNAL),
    (leaf, "SIGNAL", 2 * leaf.SIGNAL),
    (leaf, "SIGNAL", Q - leaf.M.T * A),
    (leaf, "SYMMETRIC", -leaf.SYMMETRIC),
    (leaf, "SYMMETRIC", 2 * leaf.SYMMETRIC),
    (leaf, "SYMMETRIC", leaf.SYMMETRIC.T),
    *[
        (leaf, "COMMUTE", tuple(factor * c if n == k else c for n, c in enumerate(leaf.COMMUTE)))
        for k in range(3)
        for factor in (-1, 2)
    ],
    (leaf, "COMMUTE", (leaf.COMMUTE[0], leaf.COMMUTE[1].T, leaf.COMMUTE[2])),
    (pseudo, "PLUS", -pseudo.PLUS),
    (pseudo, "PLUS", 2 * pseudo.PLUS),
    (pseudo, "PLUS", B * pseudo.N_INV.T),
    (pseudo, "W_KEPT", -pseudo.W_KEPT),
    (pseudo, "W_KEPT", 2 * pseudo.W_KEPT),
    (pseudo, "W_KEPT", pseudo.N.T * pseudo.GRAM_INV * B.T),
    (rates, "EXCESS", -rates.EXCESS),
    (rates, "EXCESS", 2 * rates.EXCESS),
    (rates, "EXCESS", 1 / rates.EXCESS),
    (rates, "EXCESS_SLOPE", -rates.EXCESS_SLOPE),
    (rates, "EXCESS_SLOPE", 2 * rates.EXCESS_SLOPE),
    (rates, "CONSTANT", -rates.CONSTANT),
    (rates, "CONSTANT", rates.CONSTANT / 3),
    (rates, "CONSTANT", 1 / rates.CONSTANT),
    (rates, "ERROR_RATE", -rates.ERROR_RATE),
    (rates, "ERROR_RATE", 2 * rates.ERROR_RATE),
    (rates, "ERROR_RATE", -E * S.T * A.T * A + W * B * E * S),
    (bottleneck, "R_RATE", -bottleneck.R_RATE),
    (bottleneck, "R_RATE", 2 * bottleneck.R_RATE),
    (bottleneck, "R_RATE", bottleneck.R_RATE - E * S * (B * E * S).T),
    (bottleneck, "R_RATE", bottleneck.R_RATE.subs(W * (B * E * S) * S * A.T, W * (B * E * S) * S * A.T / 2)),
    (decay, "C_RATE", -decay.C_RATE),
    (decay, "C_RATE", 2 * decay.C_RATE),
    (decay, "C_RATE", -decay.q * decay.C + (decay.p - decay.q) * A * A.T),
    (decay, "UNIT_RATE", -decay.UNIT_RATE),
    (decay, "UNIT_RATE", 2 * decay.UNIT_RATE),
    (decay, "UNIT_RATE", -decay.q * decay.KEPT + (decay.p + decay.q / 2) * decay.SQUARE),
    (decay, "LIMIT", -decay.LIMIT),
    (decay, "LIMIT", 2 * decay.LIMIT),
    (decay, "LIMIT", 2 * (1 - decay.alpha)),
    (decay, "EFFECTIVE", -decay.EFFECTIVE),
    (decay, "EFFECTIVE", 2 * decay.EFFECTIVE),
    (decay, "EFFECTIVE", decay.eta * (1 - decay.alpha)),
    (noise, "FALL", -noise.FALL),
    (noise, "FALL", noise.FALL / 2),
    (noise, "FALL", noise.FALL + noise.STEP * A.T),
    (noise, "LEADING", -noise.LEADING),
    (noise, "LEADING", 2 * noise.LEADING),
    (depth, "KEPT", depth.B * depth.U + depth.U.T * depth.B.T + depth.V * depth.V.T),
    (depth, "KEPT", depth.KEPT + depth.V * depth.V.T / 2),
    (depth, "KEPT", 2 * depth.B * depth.U - depth.V * depth.V.T),
    (depth, "EXPONENT", lambda layers: 2**layers),
    (depth, "EXPONENT", lambda layers: 2 * layers - 1),
    (depth, "EXPONENT", lambda layers: 2 ** (layers + 1) - 1),
    (step_size, "KAPPA", -step_size.KAPPA),
    (step_size, "KAPPA", 2 * step_size.KAPPA),
    (step_size, "G", -step_size.G),
    (step_size, "G", 2 * step_size.G),
    (step_size, "G", step_size.k * step_size.D),
    (step_size, "NEXT_V", step_size.v - step_size.k * step_size.e * step_size.u),
    (step_size, "NEXT_V", step_size.v + 2 * step_size.k * step_size.e * step_size.u),
    (step_size, "NEXT_U", step_size.u + step_size.k * step_size.e * step_size.u),
    (step_size, "CEILING", -step_size.CEILING),
    (step_size, "CEILING", 2 * step_size.CEILING),
    (step_size, "CEILING", step_size.u**2 * (step_size.u + step_size.k) - 2),
    (step_size, "LARGEST_G", -step_size.LARGEST_G),
    (step_size, "LARGEST_G", 2 * step_size.LARGEST_G),
    (step_size, "LARGEST_G", step_size.LARGEST_G - 2 * step_size.k**2 * step_size.u),
    (pseudo, "SINE", 2 * pseudo.SINE),
    (pseudo, "SINE", 1 / pseudo.SINE),
    (pseudo, "LEAST_AT", -pseudo.LEAST_AT),
    (pseudo, "LEAST_AT", pseudo.LEAST_AT / 2),
    (pseudo, "LEAST_AT", 1 / pseudo.LEAST_AT),
    *[
        (pseudo, "ELASTICITY_SLOPE", f)
        for f in (
            lambda y, tau: tau * (1 + 2 * y**3) / y - 1,
            lambda y, tau: 2 - 2 * tau * (1 + 2 * y**3) / y,
            lambda y, tau: 1 - tau * (1 - 2 * y**3) / y,
        )
    ],
    (decay, "LEADING", lambda theta, v: theta - decay.alpha / (1 - decay.alpha) * v),
    (decay, "LEADING", lambda theta, v: theta + 2 * decay.alpha / (1 - decay.alpha) * v),
    (decay, "LEADING", lambda theta, v: v + decay.alpha / (1 - decay.alpha) * theta),
    *[
        (depth, "CHI", f)
        for f in (
            lambda below, here, before: -here / (2 * below) * before**2,
            lambda below, here, before: here / below * before**2,
            lambda below, here, before: below / (2 * here) * before**2,
        )
    ],
    *[(common_axes, "LAW", {mode: factor * speed for mode, speed in common_axes.LAW.items()}) for factor in (-1, 2)],
    (common_axes, "LAW", MODE_LAW),
    (common_axes, "FROM_ZERO", FROM_ZERO | {A: -FROM_ZERO[A]}),
    (convergence, "C", B * W + W.T * B.T + A * A.T),
    (convergence, "C", B * W + W.T * B.T - 2 * A * A.T),
    (convergence, "C", 2 * B * W - A * A.T),
    (convergence, "H", -convergence.H),
    (convergence, "H", 2 * convergence.H),
    (convergence, "H", convergence.H.subs(W, -W).subs(A, -A)),
    (convergence, "FALL", -convergence.FALL),
    (convergence, "FALL", 2 * convergence.FALL),
    (convergence, "FALL", Trace(E * S * E.T)),
    (convergence, "FALL_RATE", -convergence.FALL_RATE),
    (convergence, "FALL_RATE", 2 * convergence.FALL_RATE),
    (convergence, "FALL_RATE", convergence.FALL_RATE + Trace(convergence.C * B * E * S * S * E.T * B.T)),
    *[(convergence, "FROM_ZERO", FROM_ZERO | {M: factor * FROM_ZERO[M]}) for M in (A, W) for factor in (-1, 2)],
    (convergence, "FROM_ZERO", FROM_ZERO | {A: convergence.LEFT * convergence.MODE_W * convergence.RIGHT.T}),
    *[(convergence, "MODE_LAW", {mode: factor * speed for mode, speed in MODE_LAW.items()}) for factor in (-1, 2)],
    (convergence, "MODE_LAW", dict(zip(MODE_LAW, reversed(MODE_LAW.values()), strict=True))),
    *[(convergence, "OF_Y", tuple(factor * x for x in convergence.OF_Y)) for factor in (-1, 2)],
    (convergence, "OF_Y", convergence.OF_Y[::-1]),
    (convergence, "Y_RATE", -convergence.Y_RATE),
    (convergence, "Y_RATE", 2 * convergence.Y_RATE),
]


@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_a_planted_error_in_a_theorem_is_noticed(number, monkeypatch):
    file, name, wrong = PLANTED[number]
    monkeypatch.setattr(file, name, wrong)
    assert not all(file.algebra().values())


# Of each theorem beyond the paper's, the formulas that it states and in which errors are planted above, or the test that
# plants them.
OF = {
    "thm-closed-form": (convergence, "FROM_ZERO", "MODE_LAW", "OF_Y", "Y_RATE"),
    "lem-h-falls": (convergence, "H", "FALL"),
    "thm-any-start": (convergence, "C", "H", "FALL"),
    "thm-unit-balance": "test_an_error_planted_in_the_balance_of_a_unit_is_noticed",
    "lem-two-bounds": (step_size, "CEILING", "LARGEST_G"),
    "further-constraint": (leaf, "H", "SIGNAL"),
    "further-leaf": (leaf, "LEAF", "PHI", "SLOPE", "CURVATURE"),
    "further-starts": (leaf, "SYMMETRIC", "COMMUTE"),
    "further-line": "test_the_function_that_it_descends_is_the_stated_one",
    "further-departure": "test_the_first_departure_from_the_leaf_for_other_inputs",
    "further-axes": (common_axes, "LAW", "FROM_ZERO"),
    "further-bounds": (rates, "EXCESS", "EXCESS_SLOPE", "CONSTANT"),
    "further-spectrum": (rates, "ERROR_RATE"),
    "further-plus": (pseudo, "PLUS", "W_KEPT"),
    "further-widest": (pseudo, "SINE", "LEAST_AT", "ELASTICITY_SLOPE"),
    "further-step-size": (step_size, "KAPPA", "G", "NEXT_U", "NEXT_V"),
    "further-deep": (depth, "EXPONENT", "CHI"),
    "further-end": (bottleneck, "R_RATE", "SIGNAL_RATE"),
    "further-rest": (convergence, "FALL_RATE"),
    "further-apart": (bottleneck, "SIGNAL_RATE"),
    "further-circles": (circles, "TURNING", "GROWS"),
    "further-conserved": (depth, "KEPT"),
    "further-forgets": (decay, "C_RATE", "UNIT_RATE"),
    "further-momentum": (decay, "EFFECTIVE", "LIMIT", "LEADING"),
    "further-drift": (noise, "FALL", "LEADING"),
}
OF_THE_PAPER = {"thm-paper-1", "thm-paper-2", "lem-paper-5", "thm-not-a-gradient"}  # by its equations: test_proofs_reading


def test_every_theorem_of_the_book_has_errors_planted_in_it():
    pages = "\n".join(c.source for n in notebooks.names() for c in notebooks.read(notebooks.path(n)).cells)
    stated = set(re.findall(r"^```\{prf:(?:theorem|lemma)\}.*\n:label: (\S+)$", pages, re.MULTILINE))
    assert stated == set(OF) | OF_THE_PAPER
    tests = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    for label, found in OF.items():
        if isinstance(found, str):
            assert f"def {found}(" in tests, label
        else:
            file, *formulas = found
            planted = [sum((f, name) == (file, formula) for f, name, _ in PLANTED) for formula in formulas]
            assert min(planted) + (len(formulas) > 1) >= 2, label
            assert sum(planted) >= 3, f"{label}: a sign, a factor, and a transpose or what comes nearest to one"


# --- bounds that hold


NUMBERS = [sp.Rational(n, 7) for n in (-9, -2, 0, 3, 10)]


def test_an_interval_holds_what_exact_arithmetic_gives():
    def around(x):
        return Interval.of(float(x)) + Interval(np.float64(-1e-16), np.float64(1e-16))

    def holds(interval, exact):
        return sp.Rational(float(interval.low)) <= exact <= sp.Rational(float(interval.high))

    for x in NUMBERS:
        for y in NUMBERS:
            for op in (lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: 2 * p - 3 * q * p):
                assert holds(op(around(x), around(y)), op(x, y))
        assert holds(around(x).squared(), x * x)
        if x > 0:
            assert holds(around(x).inverse(), 1 / x)
    assert around(NUMBERS[0]).inverse().high == np.inf
    wide = Interval(np.float64(-1.0), np.float64(2.0))
    assert wide.squared().low == 0
    assert 4 <= wide.squared().high < 4.001


def test_the_tenths_are_within_the_cells_of_an_interval():
    cells = Interval.cells(0.1, 0.4, 3)
    for number in (sp.Rational(1, 10), sp.Rational(2, 10), sp.Rational(4, 10)):
        assert any(sp.Rational(lo) <= number <= sp.Rational(hi) for lo, hi in zip(cells.low, cells.high, strict=True))
    assert (cells.high[:-1] >= cells.low[1:]).all()


# --- step size


@pytest.mark.parametrize(
    ("low", "high", "fate", "other"),
    [
        (0.30, 0.38, step_size.MONOTONE, step_size.ALTERNATING),
        (0.40, 0.41, step_size.ALTERNATING, step_size.MONOTONE),
        (0.60, 0.63, step_size.SETTLES, step_size.UNSTABLE),
        (0.65, 0.66, step_size.UNSTABLE, step_size.SETTLES),
        (0.80, 1.34, step_size.RUNS_OFF, step_size.ALTERNATING),
    ],
)
def test_a_fate_is_proved_where_it_is_true_and_no_other(low, high, fate, other):
    part = step_size.Part(low, high, fate, cells=20)
    alone, (beside, not_proved) = step_size.proved([part]), step_size.proved([part, part._replace(fate=other, depth=3)])
    assert alone == [beside]
    assert beside
    assert not not_proved


def test_a_fate_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="unknown fate 'montone'; there are: monotone, settles"):
        step_size.proved([step_size.Part(0.3, 0.38, "montone")])


def test_bounds_of_the_recursion_hold_it():
    for low in (0.31, 0.5, 0.64, 0.66):
        inside = low + 1e-4 * np.linspace(0, 1, 9)
        u, v = flow.one_mode(inside, 12)
        step = Interval.cells(low, low + 1e-4, 1)
        now = step_size._first(step)
        for n in range(2, 13):
            for bounds, value in ((now.u, u[n]), (now.kappa, u[n] ** 2 / 2 - v[n]), (now.error, 1 - u[n] * v[n])):
                assert (bounds.low[0] <= value + 1e-12).all()
                assert (value - 1e-12 <= bounds.high[0]).all()
                assert bounds.high[0] - bounds.low[0] < 0.02
            now = step_size._advance(step, now)


def test_the_bound_by_hand_ends_where_it_says():
    assert step_size.by_hand_until() == pytest.approx(0.308237, abs=1e-6)
    assert step_size.monotone_by_hand("0.3082")
    assert not step_size.monotone_by_hand("0.3083")


# --- from zero


def test_decoupled_starts_stay_on_the_leaf_and_others_leave_it():
    t = np.linspace(0, 3, 7)
    for seed in range(10):
        target, b, a, w = leaf.decoupled_start(seed)
        assert leaf.departure(flow.integrate(target, b, a, w, t)) < 1e-8
        a = a + 0.1 * np.random.default_rng(seed).standard_normal(a.shape)
        assert leaf.departure(flow.integrate(target, b, a, np.linalg.solve(b, a @ a.T / 2), t)) > 1e-4


def spd(rng, n):
    mix = rng.standard_normal((n, 2 * n))
    return mix @ mix.T / (2 * n)


@pytest.mark.parametrize("wrong", [1, -1, 2])
def test_the_first_departure_from_the_leaf_for_other_inputs(wrong):
    rng = np.random.default_rng(0)
    for seed in range(5):
        target, b = flow.instance((6, 4, 3), seed)
        orders, stated = leaf.skew_of_order_five(target, b, spd(rng, 6))
        assert max(np.abs(x).max() for x in orders[:5]) < 1e-12
        assert np.allclose(orders[5], wrong * stated, atol=1e-12) == (wrong == 1)
        assert not np.allclose(orders[5], stated.T, atol=1e-6)


def test_the_pseudoinverse_of_W_from_any_start_in_the_span_of_B():
    rng = np.random.default_rng(1)
    for _ in range(50):
        n_o = rng.integers(1, 4)
        n_h, n_i = n_o + rng.integers(0, 3), rng.integers(1, 6)
        target, b, s = rng.standard_normal((n_o, n_i)), rng.standard_normal((n_h, n_o)), spd(rng, n_i)
        run = flow.integrate(
            target, b, b @ rng.standard_normal((n_o, n_i)), rng.standard_normal((n_o, n_o)) @ b.T, np.array([0, 0.5]), S=s
        )
        w = run.W[-1]
        np.testing.assert_allclose(np.linalg.pinv(w), b @ np.linalg.inv(w @ b), atol=1e-6 * np.linalg.cond(w @ b))


def test_the_widest_angle_is_reached_and_not_passed():
    target, b = flow.instance((9, 6, 4), 0)
    errors = np.random.default_rng(0).standard_normal((4, 2000))
    for t in (0.2, 1.0, 4.0):
        w = flow.closed_form(target, b, np.array([t])).W[0]
        plus = b @ np.linalg.inv(w @ b)
        m = pseudo.eigenvalues(target, b, [t])[0]
        np.testing.assert_allclose(np.sort(np.linalg.eigvals(w @ b).real), np.sort(m), rtol=1e-9)
        widest = pseudo.widest(m.max() / m.min())
        assert measures.angle(b @ errors, plus @ errors, axis=0).max() <= widest + 1e-9
        e = pseudo.worst_error(target, b, t)
        assert measures.angle(b @ e, plus @ e) == pytest.approx(widest, abs=1e-6)
    assert all(pseudo.ratio_falls().values())


def test_the_bounds_of_a_mode_and_its_half_time():
    tau = np.linspace(0, 6, 2000)
    excess = (1 - flow.progress(tau)) * np.exp(3 * tau)
    assert excess.min() >= 1 - 1e-12
    assert excess.max() <= float(rates.CONSTANT)
    assert excess[-1] == pytest.approx(float(rates.CONSTANT), rel=1e-5)
    target, b = flow.instance((9, 6, 4), 0)
    speed = 2 ** (-1 / 3) * flow.modes(target, b)[1] ** (2 / 3)
    np.testing.assert_allclose(flow.progress(speed * rates.half_times(target, b)) ** 3, 0.5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (6, 4, 3), (4, 4, 4), (5, 3, 1)])
def test_the_spectrum_of_small_perturbations(shape):
    target, b = flow.instance(shape, 0)
    np.testing.assert_allclose(rates.measured_spectrum(target, b), rates.spectrum(target, b), atol=1e-6)


def test_the_closed_form_for_inputs_on_common_axes():
    rng = np.random.default_rng(2)
    t = np.linspace(0, 3, 4)
    for shape in ((6, 4, 3), (4, 4, 4), (3, 5, 2), (1, 1, 1)):
        target, b = flow.instance(shape, 3, 2.0, 1.0)
        axes = np.linalg.svd(b @ target)[2]
        s = axes.T @ np.diag(rng.uniform(0.2, 2, shape[0])) @ axes
        run = flow.integrate(target, b, np.zeros(b.shape[:1] + target.shape[1:]), np.zeros(b.shape[::-1]), t, S=s)
        np.testing.assert_allclose(flow.closed_form(target, b, t, S=s).A, run.A, atol=1e-7)
        np.testing.assert_allclose(flow.closed_form(target, b, t, S=s).W, run.W, atol=1e-7)
    equal = flow.closed_form(np.eye(3), np.eye(3), t, S=spd(rng, 3))  # all s equal: any S will do
    np.testing.assert_allclose(equal.A[0], 0)
    with pytest.raises(ValueError, match="eigenvectors"):
        flow.closed_form(*flow.instance((6, 4, 3), 0), t, S=spd(rng, 6))


# --- from any start


def test_a_bottleneck_ends_where_the_theorem_says():
    rng = np.random.default_rng(3)
    for n_i, n_h, n_o in ((6, 2, 4), (5, 3, 3), (1, 1, 1), (4, 1, 2)):
        target, b = rng.standard_normal((n_o, n_i)), rng.standard_normal((n_h, n_o))
        s = spd(rng, n_i) + 0.1 * np.eye(n_i)
        run = flow.integrate(
            target,
            b,
            2 * rng.standard_normal((n_h, n_i)),
            2 * rng.standard_normal((n_o, n_h)),
            np.array([0, 1e5]),
            S=s,
            method="LSODA",
            rtol=1e-8,
        )
        np.testing.assert_allclose(run.E[-1], bottleneck.end(target, b, s), atol=1e-4)
        assert bottleneck.loss(bottleneck.end(target, b, s), s) == pytest.approx(bottleneck.in_projections(target, b, s))
    with pytest.raises(ValueError, match="dependent rows"):
        bottleneck.end(np.eye(2), np.ones((3, 2)))


def test_where_C_is_positive_the_signal_of_a_bottleneck_falls_by_its_bound_and_the_weights_come_to_rest():
    rng, t = np.random.default_rng(6), np.linspace(0, 4, 401)
    risen = 0
    for seed in range(8):
        n_h, n_o, n_i = ((1, 2, 2), (2, 2, 3), (2, 4, 3), (3, 3, 3))[seed % 4]
        u, _, v = np.linalg.svd(rng.standard_normal((n_h, n_o)), full_matrices=False)
        target, b, s = np.linalg.qr(rng.standard_normal((n_o, n_o)))[0][:, :n_i], u @ v, spd(rng, n_i) + 0.1 * np.eye(n_i)
        target = np.concatenate([target, rng.standard_normal((n_o, n_i - target.shape[1]))], axis=1)
        for positive in (True, False):
            a, w = bottleneck.start_with_C(b, seed, n_i, positive)
            run = flow.integrate(target, b, a, w, t, S=s)
            least = np.linalg.eigvalsh(run.invariant[0])[0]
            assert (least > -1e-9) == positive
            found, bound = bottleneck.fall(run, s)
            by_hand = [np.log(np.trace(b @ e @ s @ e.T @ b.T)) for e in run.E[[0, -1]]]
            assert found[-1] == pytest.approx(by_hand[1] - by_hand[0])
            if positive:
                assert (found <= bound + 1e-6).all()
                assert (np.diff(bound) <= 0).all()
                late = flow.integrate(target, b, a, w, np.array([0, 1e3, 1e4]), S=s, method="LSODA", rtol=1e-9)
                assert max(np.abs(m[2] - m[1]).max() for m in (late.A, late.W)) < 1e-4
            else:
                risen += (np.diff(found) > 1e-6).any()
    assert risen


def test_decay_forgets_the_start_and_rests_where_p_AA_is_q_BW():
    target, b = flow.instance((5, 4, 3), 0, 2.0, 1.0)
    a = np.random.default_rng(0).standard_normal((4, 5))
    for p, q in ((0.05, 0.05), (0.05, 0.1)):
        run = decay.run(target, b, a, -b.T, np.array([0, 3, 500.0]), (p, q))
        for c, t in zip(run.invariant, run.t, strict=True):
            assert np.linalg.eigvalsh(c - np.exp(-q * t) * run.invariant[0])[0] > -1e-6
        np.testing.assert_allclose(q * b @ run.W[-1], p * run.A[-1] @ run.A[-1].T, atol=1e-5)
        assert np.trace(b @ run.W[0]) < 0 < np.trace(b @ run.W[-1])


def test_momentum_is_a_rate_divided_by_one_less_alpha_for_small_rates():
    target, b = flow.instance((5, 4, 3), 0, 2.0, 1.0)
    off = []
    for steps in (400, 800):
        run = decay.heavy_ball(target, b, 2 * 0.1 / steps, 0.9, steps)  # to time 2
        off.append(np.abs(run.W[-1] - flow.closed_form(target, b, run.t[-1:]).W[0]).max())
    assert off[0] / off[1] == pytest.approx(2, abs=0.2)
    assert off[1] < 0.05


# --- deeper, and noisier


@pytest.mark.parametrize("sizes", [(5, 4, 3), (5, 6, 4, 1), (1, 3, 4, 2), (1, 1, 1, 1, 1)])
def test_the_closed_form_of_deeper_networks(sizes):
    rng = np.random.default_rng(4)
    chain = depth.Chain(
        rng.standard_normal((sizes[-1], sizes[0])), tuple(rng.standard_normal((a, b)) for a, b in pairwise(sizes[1:]))
    )
    t = np.linspace(0, 2, 5)
    run = depth.integrate(chain, [np.zeros(s) for s in chain.shapes], t)
    for ours, integrated in zip(depth.closed_form(chain, t), run, strict=True):
        np.testing.assert_allclose(ours, integrated, atol=1e-6)


def test_deeper_networks_without_common_axes_have_no_closed_form_and_keep_their_invariants():
    rng = np.random.default_rng(5)
    chain = depth.Chain(rng.standard_normal((3, 5)), (rng.standard_normal((4, 4)), rng.standard_normal((4, 3))))
    with pytest.raises(ValueError, match="commute"):
        depth.closed_form(chain, [0, 1])
    start = [0.5 * rng.standard_normal(s) for s in chain.shapes]
    for kept in depth.kept(chain, depth.integrate(chain, start, np.linspace(0, 1, 5), S=spd(rng, 5))):
        np.testing.assert_allclose(kept, np.broadcast_to(kept[0], kept.shape), atol=1e-8)


def test_a_deeper_network_with_numbers_that_are_not_finite_is_refused():
    chain = depth.Chain(np.ones((1, 1)), (np.ones((1, 1)), np.ones((1, 1))))
    weights = [np.ones(s) for s in chain.shapes]
    for given in ({"weights": [np.full((1, 1), np.nan), *weights[1:]]}, {"weights": weights, "S": np.full((1, 1), np.inf)}):
        with pytest.raises(ValueError, match="want finite numbers"):
            depth.integrate(chain, t=[0.0, 1.0], **given)


def test_the_law_of_rectifiers_holds_for_gated_signals_and_is_broken_by_the_methods_chain():
    for seed in range(5):
        lower, upper, _ = depth.relu_balance_rates(seed, gated=True)
        np.testing.assert_allclose(np.concatenate([lower, upper]), 0, atol=1e-9)
        lower, upper, stated = depth.relu_balance_rates(seed, gated=False)
        np.testing.assert_allclose(upper, 0, atol=1e-9)
        np.testing.assert_allclose(lower, stated, atol=1e-9)
        assert np.abs(lower).max() > 1
        assert all(np.abs(lower - wrong).max() > 0.1 for wrong in (-stated, 2 * stated, stated[::-1]))


@pytest.mark.parametrize("examples", [2, 3, 5])
def test_the_drift_of_noise_is_what_all_courses_together_give(examples):
    exact = noise.every_course(examples, b=2)
    c = 2 * 2**4  # (x x~)^2 (b^2 b^2 + b^2 b^2)
    assert not any(exact[:5])
    assert exact[5] == noise.predicted(examples, c)
    assert (exact[5] != noise.predicted(examples, -c)) == (examples > 2)


def test_noise_turns_W_away_and_a_target_that_can_be_seen_does_not():
    b = np.random.default_rng(0).standard_normal((3, 2))
    unseen, error = noise.learn_online(b, 0.05, 300, 400)
    assert unseen[-1] < -5 * error[-1]
    seen, error = noise.learn_online(b, 0.05, 300, 400, linear=0.5)
    assert seen[-1] > 5 * error[-1]


def test_an_error_of_one_or_more_is_never_said_to_settle():
    # u is then not known to be the root that the bounds are of: here all other conditions hold.
    kappa, step = Interval.of(np.array([0.5])), Interval.of(np.array([0.02]))
    for error, settles in ((0.9, True), (1.01, False)):
        u = max(np.roots([0.5, 0, -0.5, error - 1]).real)
        state = step_size._State(Interval.of(np.array([u])), kappa, Interval.of(np.array([error])))
        assert step_size._settles(step, state)[0][0] == settles


# --- starts along one direction, and the weights' end


def test_along_one_direction_the_flow_descends_and_off_it_it_does_not():
    t = np.linspace(0, 3, 7)
    for seed in range(8):
        T, B_, A_, W_, S_, x = leaf.start_along(seed, n_h=1 + seed % 4)
        run = flow.integrate(T, B_, A_, W_, t, S=S_)
        assert leaf.off_descent(run, x, S_) < 1e-6
        others = (np.eye(len(x)) - np.outer(x, x)) @ (run.A - run.A[0])
        assert np.abs(others).max() < 1e-6, "all that moves is along x"
        if len(x) > 1:
            moved = A_ + 0.1 * np.random.default_rng(seed).standard_normal(A_.shape)
            assert leaf.off_descent(flow.integrate(T, B_, moved, W_, t, S=S_), x, S_) > 1e-3


@pytest.mark.parametrize("wrong", ["without D", "a factor", "a sign"])
def test_the_function_that_it_descends_is_the_stated_one(wrong):
    T, B_, A_, W_, S_, x = leaf.start_along(2)
    run = flow.integrate(T, B_, A_, W_, np.linspace(0, 3, 7), S=S_)
    if wrong == "without D":
        run.A[0] = np.outer(x, run.A[0].T @ x)
    else:
        run.W[0] *= 2 if wrong == "a factor" else -1
    assert leaf.off_descent(run, x, S_) > 1e-2


def test_weights_come_to_rest_where_eigenvalues_differ_and_slowly_where_they_do_not():
    T, B_ = flow.instance((4, 2, 3), 1, 1.0, 1.0)
    A_, W_ = bottleneck.start_with_C(B_, 1, 4, positive=False)
    run = flow.integrate(T, B_, A_, W_, np.array([0, 1e4, 1e5]), method="LSODA", rtol=1e-9)
    assert bottleneck.apart(B_ @ run.W[2], run.A[2]) > 0.01
    assert np.abs(run.A[2] - run.A[1]).max() < 1e-5
    assert np.allclose(run.W[2], bottleneck.weights_at_rest(T, run.A[2], np.eye(4)), atol=1e-5)
    one, t = np.ones((1, 1)), np.array([0, 1e3, 1e4])
    slow = flow.integrate(one, one, -2 * one, 0.5 * one, t, method="LSODA", rtol=1e-10)
    assert np.allclose((slow.A[1:, 0, 0] + 1) * t[1:], -2 / 3, rtol=1e-2)
    assert bottleneck.apart(slow.W[2], slow.A[2]) < 1e-3


def test_from_three_hidden_units_on_there_are_circles_of_solutions():
    for angle in (0.0, 1.0, 2.5):
        w = np.array([np.cos(angle), np.sin(angle)])
        A_ = np.block([[-np.ones((1, 1)), -w[None]], [np.zeros((2, 1)), np.eye(2)]])
        turned = np.zeros((3, 3))
        turned[0, 1:] = w[1], -w[0]  # along the circle
        assert np.allclose(A_ @ A_, np.eye(3))
        assert np.allclose(A_ + A_.T - A_ @ A_.T, np.diag([-4, 1, 1]))
        assert np.allclose(turned, turned @ A_.T)
        assert bottleneck.apart(A_, A_) < 1e-9


@pytest.mark.parametrize("n_h", [3, 4, 5])
def test_beside_a_circle_learning_turns_as_stated_to_first_order(n_h):
    for seed in range(4):
        A_, M_, x, u = circles.on_a_circle(seed, n_h, n_h + seed % 2)
        on = circles.beside(A_, M_, x, u)
        assert np.allclose([on.nu, on.q, on.p], 0, atol=1e-9)
        rng, off = np.random.default_rng(seed), []
        dA, dM, g = rng.standard_normal(A_.shape), rng.standard_normal(M_.shape), rng.uniform(0.5, 2)
        for near in (1e-3, 1e-4):
            found, stated = circles.turns(A_ + near * dA, M_ + near * dM, x, u, near * g)
            off.append(np.linalg.norm(found - stated) / np.linalg.norm(stated))
            for wrong in (-1, 0, 2):  # of the second-order part of the signal
                found, stated = circles.turns(A_ + near * dA, M_ + near * dM, x, u, near * g, second=wrong)
                assert np.linalg.norm(found - stated) > 0.03 * np.linalg.norm(stated)
        assert off[1] < 0.002
        assert off[0] / off[1] == pytest.approx(10, rel=0.25)


@pytest.mark.parametrize("wrong", ["a sign", "a factor", "transposed"])
def test_another_law_beside_a_circle_is_noticed(wrong, monkeypatch):
    law = {"a sign": -1, "a factor": 2}.get(wrong, 1) * circles.TURNING
    monkeypatch.setattr(circles, "TURNING", law.T if wrong == "transposed" else law)
    A_, M_, x, u = circles.on_a_circle(0, 4, 5)
    found, stated = circles.turns(A_ + 1e-4, M_ - 2e-4, x, u, 1e-4)
    assert np.linalg.norm(found - stated) > 0.3 * np.linalg.norm(stated)


def test_the_circle_of_the_page_is_one_of_the_theorem():
    A_ = np.array([[-1.0, -1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    on = circles.beside(A_, A_, np.array([1.0, 0, 0]), np.array([0, 0, 1.0]))
    assert np.allclose([on.alpha, on.nu, on.q, on.p, on.rho], [1, 0, 0, 0, 1])


# --- the drift, by all courses


def mean_trace(examples, feedback, updates, batch, power=5):
    """[tr(BW)] after some updates by means over minibatches, as coefficients of eta, over all courses of equally likely
    examples (x, y*)."""

    def times(f, g):
        return np.stack([sum(f[i] @ g[n - i] for i in range(n + 1)) for n in range(power + 1)])

    def later(f):
        return np.concatenate([np.zeros_like(f[:1]), f[:-1]])

    total, courses = np.zeros(power + 1), list(product(examples, repeat=updates * batch))
    for course in courses:
        (x, y), n_h = course[0], len(feedback)
        a, w = np.zeros((power + 1, n_h, len(x))), np.zeros((power + 1, len(y), n_h))
        for at in range(0, len(course), batch):
            outer = np.zeros((power + 1, len(y), len(x)))
            for x, y in course[at : at + batch]:
                one = np.concatenate([np.outer(x, x)[None], np.zeros((power, len(x), len(x)))])
                outer -= times(times(w, a), one) / batch
                outer[0] += np.outer(y, x) / batch
            a, w = a + later(feedback @ outer), w + later(times(outer, a.transpose(0, 2, 1)))
        total += np.einsum("hn,pnh->p", feedback, w)
    return total / len(courses)


@pytest.mark.parametrize(("sizes", "batch"), [("2-2-2", 1), ("1-1-1", 1), ("1-1-1", 2), ("1-1-1", 3)])
def test_the_drift_by_all_courses_of_matrices_and_of_minibatches(sizes, batch):
    if sizes == "2-2-2":
        inputs, targets = 2**0.5 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]), np.array([[1.0, 0.5], [-0.3, 1.2]])
        feedback = np.array([[0.7, -0.4], [0.2, 1.1]])
    else:
        inputs, targets, feedback = np.array([[1.0], [-1.0]]), np.array([[1.3]]), np.array([[0.8]])
    examples = [(x, y) for x in inputs for y in targets]
    pairs = list(product(examples, repeat=2))
    c = sum(
        (x @ z) ** 2 * (np.sum((feedback @ y) ** 2) * np.sum((feedback @ v) ** 2) + (feedback @ y @ (feedback @ v)) ** 2)
        for (x, y), (z, v) in pairs
    ) / len(pairs)
    updates = 3
    found = mean_trace(examples, feedback, updates, batch)
    assert np.abs(found[:5]).max() < 1e-12
    assert found[5] == pytest.approx(float(noise.predicted(updates, c)) / batch**2)


def test_direct_feedback_that_reaches_one_layer_alone_teaches_nothing():
    # B1 T has the rank of T, and B2 T v vanishes. With B2 as B1 the same network learns.
    end = {}
    for name, upper in (("B2 = 0", (0.0,) * 4), ("both", (1.0, 0.0, 0.0, 1.0))):
        e = linear_experiment(
            rule="direct feedback alignment",
            sizes=(2, 2, 2, 2),
            weights=0.0,
            given=(("B1", (1.0, 0.0, 0.0, 1.0)), ("B2", upper)),
            rate=0.05,
            examples=4000,
            probes=(0, 4000),
            snapshots=("W0", "W1", "W2"),
        )
        history = train(e)
        end[name] = history["nse"][0, 1], np.abs(history.snapshots["W2 after"]).max()
        assert np.abs(history.snapshots["W0 after"]).max() > 0.1, "the first layer moves in either"
    assert end["B2 = 0"][0] > 0.9
    assert end["B2 = 0"][1] == 0, "nothing reaches the outputs' weights; their biases alone learn"
    assert end["both"][0] < 0.1
