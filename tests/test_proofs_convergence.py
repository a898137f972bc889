"""The equations of theorem 1: what SymPy calls equal is equal, and what is called wrong is wrong."""

import numpy as np
import pytest
import sympy
from sympy import MatrixSymbol, Trace, ZeroMatrix

from fa_core import flow
from fa_core.proofs import CHECKED, WRONG, ProofError, show
from fa_core.proofs import convergence as proof
from fa_core.proofs.convergence import A, B, C, E, H, S, T, V, W, equal, n_h, n_i, normal, rate

ALL = proof.EQUATIONS_METHODS + proof.EQUATIONS


def test_every_equation_stands_once():
    assert [e.key for e in ALL] == [f"main {k}" for k in range(1, 5)] + [f"SI {k}" for k in range(2, 24)]


def test_the_checks_hold():
    rows = show(ALL).rows
    assert {r["key"] for r in rows if r["kind"] == WRONG} == {"main 3", "main 4", "SI 10", "SI 21", "SI 22"}
    assert all("100 instances" in r["how"] for r in rows if r["kind"] == CHECKED)


@pytest.mark.parametrize("of", ["C_RATE", "C_RATE_ON_THE_FLOW"])
@pytest.mark.parametrize("wrong", ["doubled", "a sign"])
def test_the_rate_of_the_invariant_is_checked_away_from_zero(of, wrong, monkeypatch):
    terms = getattr(proof, of)
    broken = tuple(2 * x for x in terms) if wrong == "doubled" else (-terms[0], *terms[1:3], -terms[3])
    (equation,) = (e for e in proof.EQUATIONS if e.key == "SI 12")
    show([equation])
    monkeypatch.setattr(proof, of, broken)
    with pytest.raises(ProofError, match="SI 12"):
        show([equation])


def numbers(seed=0, shape=(5, 4, 2)):
    rng = np.random.default_rng(seed)
    n_i, n_h, n_o = shape
    at = {"A": (n_h, n_i), "B": (n_h, n_o), "W": (n_o, n_h), "T": (n_o, n_i), "S": (n_i, n_i)}
    at = {k: rng.standard_normal(v) for k, v in at.items()}
    at["S"] = at["S"] @ at["S"].T
    return at | {"E": at["T"] - at["W"] @ at["A"]}


def evaluate(expr, at):
    """An expression at given matrices, by NumPy and by nothing of the module."""
    if isinstance(expr, MatrixSymbol):
        return at[expr.name]
    values = [evaluate(a, at) for a in expr.args] if not expr.is_Number else []
    match type(expr).__name__:
        case "Transpose":
            return values[0].T
        case "Trace":
            return np.trace(values[0])
        case "MatAdd" | "Add":
            return sum(values)
        case "MatPow":
            return np.linalg.matrix_power(values[0], int(values[1]))
        case "MatMul" | "Mul":
            out = values[0]
            for v in values[1:]:
                out = out @ v if np.ndim(out) and np.ndim(v) else out * v
            return out
    return float(expr)


@pytest.mark.parametrize("law", [proof.WHITE, proof.ANY_INPUTS])
@pytest.mark.parametrize("of", [V, H, proof.s, proof.V_RATE, proof.FALL])
def test_rate_is_the_derivative(of, law):
    at, h = numbers(), 1e-6
    if of is proof.V_RATE and law is proof.ANY_INPUTS:
        at["S"] /= 10
    speed = {k.name: evaluate(v, at) for k, v in law.items()}

    def moved(step):
        there = {k: v + step * speed.get(k, 0) for k, v in at.items()}
        return evaluate(of, there | {"E": there["T"] - there["W"] @ there["A"]})

    assert (moved(h) - moved(-h)) / (2 * h) == pytest.approx(evaluate(rate(of, law), at), rel=1e-4)


@pytest.mark.parametrize(
    "expr",
    [
        rate(V),
        proof.V_SECOND,
        rate(H, proof.ANY_INPUTS),
        Trace(C * A * A.T),
        3 * Trace(C),
        proof.FALL_RATE,
        Trace((S + A.T * A) ** 3),
    ],
)
def test_normal_keeps_the_value(expr):
    at = numbers(1)
    assert evaluate(normal(expr), at) == pytest.approx(evaluate(expr, at))


def test_normal_of_matrices_keeps_the_value():
    at = numbers(2)
    expr = (B * (E + W * A)).T * (2 * A - B * T) - A.T * A
    np.testing.assert_allclose(evaluate(normal(expr), at), evaluate(expr, at))


def test_a_rule_may_take_a_product_to_a_number():
    y, length = sympy.MatrixSymbol("y", n_i, 1), sympy.Symbol("length", positive=True)
    rules = {(y.T, y): (length,)}
    assert equal(A * y * y.T * y * y.T, length * A * y * y.T, rules)
    assert equal(sympy.Trace(2 * y * y.T), 2 * length, rules)
    assert not equal(A * y * y.T * y, length**2 * A * y, rules)


def test_the_trace_of_what_a_rule_makes_the_identity_is_its_size():
    r = sympy.Symbol("r", integer=True, positive=True)
    U = sympy.MatrixSymbol("U", n_i, r)
    assert equal(sympy.Trace(U * U.T), r, {(U.T, U): ()})
    assert not equal(sympy.Trace(U * U.T), n_i, {(U.T, U): ()})


def test_for_any_inputs_the_rate_of_H_falls_where_C_is_zero():
    assert equal(rate(H, proof.ANY_INPUTS).subs(proof.TARGET), -proof.FALL)
    assert equal(rate(proof.FALL, proof.ANY_INPUTS), proof.FALL_RATE)
    assert not equal(rate(proof.FALL, proof.ANY_INPUTS), 2 * proof.FALL_RATE)
    assert equal(proof.FALL.subs(S, sympy.Identity(n_i)), V)


def test_for_correlated_inputs_V_itself_may_rise_though_C_is_zero():
    S1, B1 = np.eye(4), np.eye(3, 2)
    S1[0, 1] = S1[1, 0] = -0.9
    X1 = np.array([[0.8, 2, 0, 0], [0, 0, 0, 0]])
    A1, W1 = B1 @ X1, X1 @ X1.T / 2 @ B1.T
    T1 = W1 @ A1 + np.outer([0, 1], [1, 0, 0, 0])
    rises = {}
    for name, inputs in (("correlated", S1), ("white", np.eye(4))):
        run = flow.integrate(T1, B1, A1, W1, np.linspace(0, 5, 201), S=inputs)
        np.testing.assert_allclose(run.invariant, 0, atol=1e-7)
        fall = np.einsum("pij,jk,pik->p", B1 @ run.E, inputs, B1 @ run.E)
        assert (np.diff(fall) < 1e-9 * fall[0]).all()
        rises[name] = run.V.max() / run.V[0]
    assert rises["correlated"] > 1.5
    assert rises["white"] == 1


def test_solutions_with_W_against_B_are_unstable_where_hidden_units_are_fewer_than_inputs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        b, w, a = rng.standard_normal((4, 2)), rng.standard_normal((2, 4)), rng.standard_normal((4, 6))
        w *= -np.sign(np.trace(b @ w))
        target, columns = w @ a, []
        for direction in np.eye(a.size + w.size):  # the flow's derivative at rest, column by column
            da, dw = direction[: a.size].reshape(a.shape), direction[a.size :].reshape(w.shape)
            speeds = [flow.velocity(a + h * da, w + h * dw, target, b) for h in (1e-5, -1e-5)]
            columns.append(np.concatenate([((p - q) / 2e-5).ravel() for p, q in zip(*speeds, strict=True)]))
        found = np.linalg.eigvals(np.transpose(columns))
        grows = -np.linalg.eigvals(w @ b).real.min()
        assert found.real.max() == pytest.approx(grows, rel=1e-4)
        assert grows > 0


def test_equal_is_not_too_generous():
    assert equal(Trace(A * A.T * B * W), Trace(W.T * B.T * A * A.T))
    assert not equal(Trace(A * A.T * B * W), Trace(A * A.T * W.T * B.T) * 2)
    assert not equal(B * W, W.T * B.T)
    assert not equal(rate(C, {A: B * E, W: 2 * E * A.T}), ZeroMatrix(n_h, n_h))
    assert not equal(rate(V), proof.V_RATE)  # only up to the term with C
    assert not equal(A * A.T, C)


def test_rate_of_constants_and_of_what_it_does_not_know():
    assert rate(B * T) == ZeroMatrix(n_h, n_i)
    assert rate(Trace(T * T.T)) == 0
    assert normal(rate(Trace(A * A.T) / 2)) == normal(Trace(A * E.T * B.T))
    with pytest.raises(TypeError, match="no rule"):
        rate(sympy.exp(Trace(A * A.T)))


def test_printed_second_derivative_is_off_by_two_terms_only():
    at = numbers(3, (4, 4, 2))  # n_h = n_i, where the printed form fits
    printed = (
        proof.V_SECOND
        - normal(-4 * Trace(B * E * E.T * B.T * A * E.T * B.T))
        - normal(-2 * Trace(E.T * B.T * B * E * E.T * B.T * A))
    )
    a, b, e = at["A"], at["B"], at["E"]
    wrong = -4 * np.trace(b @ e @ b @ e @ a.T @ a @ e.T @ b.T) - 2 * np.trace(b @ e @ b @ e @ e.T @ b.T @ a)
    assert evaluate(printed, at) + wrong != pytest.approx(evaluate(proof.V_SECOND, at), rel=1e-3)


def test_closed_form_is_derived():
    assert proof.closed_form_holds()
    assert proof.mode_law_holds()
