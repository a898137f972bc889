"""Supplementary Note 14, eqs. 29-49: trained on one pair from zero weights, B e is a positive multiple of W^+ e.

    dW = eta e h',   dh = eta B e,   e = y* - W h           (eqs. 35-38, with h = A x for the one input x)

From zero, h = s_h B y* and W = s_w y* (B y*)' (Lemma 5). With u = b^(1/3) s_h, v = b^(2/3) s_w, b = |B y*|^2 and the
step k = eta b^(1/3), the two scalars follow `flow.one_mode`, in which no other parameter is left; s_y = u v.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from sympy import MatrixSymbol

from fa_core import flow, measures
from fa_core.proofs import CHECKED, DEFINITION, DERIVED, WRONG, Equation
from fa_core.proofs.convergence import A, B, equal, n_h, n_i, n_o, normal, words
from fa_core.proofs.reading import Reading, World, held_in, kept

INSTANCES = 120


# --- Numerically -----------------------------------------------------------------------------------------------


def growth(step: Any, u: Any, v: Any) -> Any:
    """g of `1 - s_y <- (1 - s_y) (1 - g)`: g = k (v + u^2) + k^2 u (1 - u v). While g < 1 at every step, s_y < 1."""
    return step * (v + u * u) + step**2 * u * (1 - u * v)


def both_positive(step: ArrayLike, updates: int = 2000) -> np.ndarray:
    """Whether s_y < 1 at every step, and s_w > 0 from the second update on; for steps k of any shape."""
    with np.errstate(invalid="ignore"):
        # Read off the factor, not off 1 - u v, which rounding takes to zero in the end. (v > 0 follows.)
        return (growth(step, *flow.one_mode(step, updates)) < 1).all(axis=0)


def theorem_holds(step: ArrayLike, updates: int = 4000) -> np.ndarray:
    """Whether s_w > 0 from the second update on, which is all that the theorem's conclusion needs, and the scalars do not
    run off; for steps k of any shape."""
    v = flow.one_mode(step, updates)[1]
    return ((v[2:] > 0) & np.isfinite(v[2:])).all(axis=0)


def threshold(holds: Callable[[float], Any], low: float = 0.1, high: float = 0.9) -> float:
    """The step at which `holds` changes from True to False, by bisection. Raises ValueError if it does not change."""
    if not holds(low) or holds(high):
        raise ValueError(f"the condition must hold at {low} and fail at {high}")
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def instance(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random B `(n_h, n_o)`, y* `(n_o, 1)` and x `(n_i, 1)` of random sizes, B of full rank; n_h may be below n_o."""
    rng = np.random.default_rng(seed)
    n_i, n_h, n_o = rng.integers(1, 31), rng.integers(1, 21), rng.integers(1, 11)
    return rng.uniform(-0.5, 0.5, (n_h, n_o)), rng.uniform(-1, 1, (n_o, 1)), rng.standard_normal((n_i, 1))


def train(
    B: np.ndarray,
    y: np.ndarray,
    rate: float,
    steps: int,
    *,
    W: np.ndarray | None = None,
    h: np.ndarray | None = None,
    x: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Eqs. 35-38: (W, h, e) before every update and after the last. From zero unless W and h are given.

    y: one target `(n_o, 1)`, or one column for each of several pairs whose inputs are orthogonal and of length one.
    x: the input of one pair, `(n_i, 1)`: then A is trained, from zero, by eqs. 30-33 with eta_A = rate / x'x, and
    h = A x. Raises ValueError if both x and h are given.
    """
    if x is not None and h is not None:
        raise ValueError("with an input x, h is A x and starts at zero: give one of them")
    W = np.zeros((len(y), len(B))) if W is None else W
    h = np.zeros((len(B), y.shape[1])) if h is None else h
    A = None if x is None else np.zeros((len(B), len(x)))
    path = []
    for t in range(steps + 1):
        e = y - W @ h
        path.append((W, h, e))
        if t < steps:
            W = W + rate * e @ h.T
            if x is None:
                h = h + rate * B @ e
            else:
                A = A + rate / (x.T @ x) * B @ e @ x.T
                h = A @ x
    return path


def rate_of(step: float, B: np.ndarray, y: np.ndarray) -> float:
    """The learning rate eta of a step k = eta |B y*|^(2/3)."""
    return step / float(((B @ y) ** 2).sum()) ** (1 / 3)


def angles(
    path: list[tuple[np.ndarray, np.ndarray, np.ndarray]], B: np.ndarray, *, above: float = 1e-10, rcond: float = 1e-12
) -> np.ndarray:
    """Angle between B e and W^+ e, degrees, at every step from the second update on at which the normalised squared
    error |e|^2 / |y*|^2 is above `above` (below, e is rounding); `(steps, pairs)`.

    rcond: singular values of W below this share of the largest count as zero. From zero W is of rank one, and all
    other singular values are rounding.
    """
    size = float((path[0][2] ** 2).sum())
    seen = [(W, e) for W, _, e in path[2:] if (e**2).sum() > above * size]
    W, e = (np.stack(a) for a in zip(*seen, strict=True))
    return measures.angle(B @ e, np.linalg.pinv(W, rcond=rcond) @ e, axis=1)


def largest_angle(path: list[tuple[np.ndarray, np.ndarray, np.ndarray]], B: np.ndarray, **options: float) -> float:
    """The largest of `angles`."""
    return float(angles(path, B, **options).max())


# --- Symbolically, for matrices of symbolic size -----------------------------------------------------------------------

s_h, s_w, eta = sp.symbols("s_h s_w eta", real=True)
alpha, beta = sp.symbols("alpha beta", positive=True)  # |y*|^2, |B y*|^2
y, b = MatrixSymbol("y*", n_o, 1), MatrixSymbol("b", n_h, 1)  # b is B y*
RULES = {(B, y): (b,), (y.T, B.T): (b.T,), (y.T, y): (alpha,), (b.T, b): (beta,)}


def under_the_lemma() -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]:
    """W, h, the scalar s_y and e where eqs. 39 and 40 hold."""
    W, h = s_w * y * b.T, s_h * b
    return W, h, s_w * s_h * beta, y - W * h


def multiple(expr: sp.Expr, of: sp.Expr) -> sp.Expr:
    """The number c in expr = c times a product of symbols, `of`. Raises ValueError where expr is no multiple of it."""
    (_, wanted), found = words(of)[0], words(normal(expr, RULES))
    if len(found) != 1 or found[0][1] != wanted:
        raise ValueError(f"{expr} is no multiple of {of}")
    return found[0][0]


def is_pseudoinverse(M: sp.Expr, N: sp.Expr, rules: dict | None = None) -> bool:
    """Whether N is the Moore-Penrose inverse of M, by the four conditions of Penrose and `rules`, by default RULES."""
    rules = RULES if rules is None else rules
    return all(
        equal(left, right, rules) for left, right in ((M * N * M, M), (N * M * N, N), ((M * N).T, M * N), ((N * M).T, N * M))
    )


def rank_one_pseudoinverse() -> sp.Expr:
    """(y* b')^+ = b y*' / (|y*|^2 |b|^2), where neither is zero."""
    return b * y.T / (alpha * beta)


def _eq48() -> bool:
    """(y* b')^+ y* = b / |b|^2, for b = B y*."""
    X = rank_one_pseudoinverse()
    return is_pseudoinverse(y * b.T, X) and equal(X * y, b / beta, RULES)


def _eq49() -> bool:
    """(b')^+ = b / |b|^2: the scalar is 1 / b'b, and not b'b as printed; and B'^+ y*'^+ is in general no multiple of it."""
    if not is_pseudoinverse(b.T, b / beta) or is_pseudoinverse(b.T, beta * b):
        return False
    D, one = sp.Matrix([[1, 0], [0, 2]]), sp.Matrix([1, 1])  # D is its own transpose, and D^+ its inverse
    printed, right = D.inv() * one / 2, (D * one) / 5
    return sp.Matrix.hstack(printed, right).rank() == 2 and (D * one).T.pinv() == right


@cache
def _theorem() -> bool:
    """W+ e as the Moore-Penrose inverse gives it, identically in the symbols; and W = 0 before the second update."""
    one_less = sp.Symbol("one_less_s_y")  # e = (1 - s_y) y*, B e = (1 - s_y) b
    X = rank_one_pseudoinverse() / s_w
    if not is_pseudoinverse(s_w * y * b.T, X) or not equal(X * (one_less * y), one_less / (s_w * beta) * b, RULES):
        return False
    feedback, target = sp.Matrix([[1, 2], [3, 4], [5, 6]]), sp.Matrix([1, -1])
    W, h = sp.zeros(2, 3), sp.zeros(3, 1)
    for _ in range(2):
        e = target - W * h
        if not (W.pinv() * e).is_zero_matrix or (feedback * e).is_zero_matrix:
            return False
        W, h = W + e * h.T / 10, h + feedback * e / 10
    return not W.is_zero_matrix


# --- The worlds in which what the page shows is evaluated ----------------------------------------------------------


def _same(difference: sp.Expr, slack: sp.Expr) -> bool:
    return equal(difference, slack, RULES | {(x.T, x): (xi,)})


x, xi = MatrixSymbol("x", n_i, 1), sp.Symbol("xi", positive=True)  # xi is |x|^2


def step_of_the_lemma() -> list[World]:
    """Symbols, before and after one update from where eqs. 39 and 40 hold: h and W are those after it, with the scalars
    after it; for eqs. 39 and 40."""
    W, h, s_y, e = under_the_lemma()
    return [
        {
            "B": B,
            "y^*": y,
            "h": h + eta * B * e,
            "W": W + eta * e * h.T,
            "s_h": s_h + eta * (1 - s_y),
            "s_w": s_w + eta * (1 - s_y) * s_h,
            "equal": _same,
        }
    ]


def lemma() -> list[World]:
    """Symbols at a time at which eqs. 39 and 40 hold, and the update made there, with the scalars that it makes."""
    W, h, s_y, e = under_the_lemma()
    return [
        {
            "B": B,
            "y^*": y,
            "h": h,
            "W": W,
            "e": e,
            "s_h": s_h,
            "s_w": s_w,
            "s_y": s_y,
            r"\eta": eta,
            r"\Delta W": eta * e * h.T,
            r"\Delta h": eta * B * e,
            "s_h^t": s_h,
            "s_w^t": s_w,
            "s_y^t": s_y,
            "s_h^{t+1}": multiple(h + eta * B * e, b),
            "s_w^{t+1}": multiple(W + eta * e * h.T, y * b.T),
            "equal": _same,
        }
    ]


def one_input() -> list[World]:
    """Symbols: h before and after an update of A; eq. 34."""
    rate, error = sp.Symbol("eta_A"), MatrixSymbol("e", n_o, 1)
    return [
        {
            "B": B,
            "e": error,
            "x": x,
            "h_t": A * x,
            "h_{t+1}": (A + rate * B * error * x.T) * x,
            r"\eta_A": rate,
            r"\eta_B": xi * rate,
            "equal": _same,
        }
    ]


def updates(times: tuple[int, ...] = (0, 1, 5)) -> Iterator[World]:
    """Two successive states of networks trained on one pair by eqs. 35-38, in the first updates and later; and one update
    of A and W at rates of their own, by `flow.batch`."""
    for seed in range(10):
        B, y, x = instance(seed)
        rate = rate_of(0.2, B, y)
        path = train(B, y, rate, max(times) + 1)
        rng = np.random.default_rng(seed)
        A, W_ = rng.standard_normal((len(B), len(x))), rng.standard_normal((len(y), len(B)))
        # T x = y*, by the T of least norm
        run = {k: flow.batch(y @ x.T / (x**2).sum(), B, k, 1, A=A, W=W_, S=x @ x.T) for k in (0.1, 0.3)}
        once = {
            r"\eta_A": 0.1,
            r"\eta_W": 0.3,
            "x": x,
            r"\Delta A": run[0.1].A[1] - A,
            r"\Delta W": run[0.3].W[1] - W_,
            "A_t": A,
            "A_{t+1}": run[0.1].A[1],
            r"\Delta A_t": run[0.1].A[1] - A,
            "e": y - W_ @ A @ x,
            "h": A @ x,
            "B": B,
        }
        for t in times:
            (W, h, e), (W_next, h_next, _) = path[t : t + 2]
            yield once | {
                "W_t": W,
                "W_{t+1}": W_next,
                "h_t": h,
                "h_{t+1}": h_next,
                r"\Delta W_t": rate * e @ h.T,
                r"\Delta h_t": rate * B @ e,
            }


def trained() -> Iterator[World]:
    """What `train` changes in one update, by eqs. 37 and 38."""
    for seed in range(10):
        B, y, _ = instance(seed)
        rate = rate_of(0.2, B, y)
        path = train(B, y, rate, 8)
        for (W, h, e), (W_next, h_next, _) in itertools.pairwise(path):
            yield {r"\Delta W": W_next - W, r"\Delta h": h_next - h, "e": e, "h": h, "B": B, r"\eta": rate}


def followed(steps: tuple[float, ...] = (0.05, 0.2, 0.38, 0.6), instances: int = INSTANCES) -> Callable[[], Iterator[World]]:
    """Networks trained as matrices, A by eqs. 30-33, at every fifth update from the second on while the NSE is above 1e-10.

    Angles between B e and W+ e of less than 1e-4 degrees count as 0."""

    def worlds() -> Iterator[World]:
        for seed in range(instances):
            B, y, x = instance(seed)
            path = train(B, y, rate_of(steps[seed % len(steps)], B, y), 60, x=x)
            for W, _, e in path[2::5]:
                if (e**2).sum() > 1e-10 * (y**2).sum():
                    yield {r"\delta_{FA}": B @ e, "W": W, "e": e, "tolerance": np.radians(1e-4)}

    return worlds


STEPS = (0.05, 0.3, 0.375, 0.385, 0.5, 0.6, 0.64, 0.65, 0.7, 0.8, 0.9)


@kept
def of_each_step() -> Iterator[World]:
    """The scalars and the matrices of networks trained from zero at several k = eta |B y*|^(2/3), on both sides of 0.3805
    and of 0.6461, at the first two updates and later; s is what takes B e to W+ e."""
    for seed, k in itertools.product(range(3), STEPS):
        B, y, _ = instance(seed)
        b = B @ y
        rate, size = rate_of(k, B, y), float((b**2).sum())
        with np.errstate(over="ignore", invalid="ignore"):
            path = train(B, y, rate, 40)
        for t, (W, _, e) in enumerate(path):
            s = float((y.T @ W @ b).item() / ((y**2).sum() * size))
            if (e**2).sum() < 1e-10 * (y**2).sum() or abs(s) * size > 1e6:
                break
            yield {
                "B": B,
                "y^*": y,
                "W": W,
                "e": e,
                "s_w": s,
                "s_y": 1 - float((y.T @ e).item() / (y**2).sum()),
                "t": t,
                "k": k,
                r"\eta": rate,
                "s": 1 / (s * size) if s else 1.0,
                "tolerance": 1e-6,
            }


def _bounds(_: Reading, corrected: Reading) -> bool:
    """The two steps that the page names are those at which each statement begins to fail, to the digits shown; the first
    applies from the second update on, and the second fails somewhere at each larger step that is tried."""
    _, theorem, both = corrected.clauses
    unit = {"B": np.eye(1), "y^*": np.eye(1), r"\eta": 1.0}
    named, shown = (clause.given[-1].values(unit)[1] for clause in (theorem, both))
    if abs(named - threshold(theorem_holds)) > 5e-5 or abs(shown - threshold(both_positive)) > 5e-5:
        return False
    worlds = list(of_each_step())
    as_said = all(theorem.applies(w) == (w["t"] >= 2 and w["k"] < named) for w in worlds)
    return as_said and {w["k"] for w in worlds if not both.chains[0].holds(w)} == {k for k in STEPS if k > shown}


@kept
def pairs() -> Iterator[World]:
    """Random B and y*; the s of eq. 48, which is that of the corrected eq. 49."""
    for seed in range(INSTANCES):
        B, y, _ = instance(seed)
        yield {"B": B, "y^*": y, "s": 1 / float(((B @ y) ** 2).sum()), "tolerance": 1e-8}


_induction = "induction: true of zero, and handed on by an update"

EQUATIONS = (
    Equation(
        "SI 29",
        r"\delta_{FA} \propto W^+ e",
        CHECKED,
        f"{INSTANCES} random instances, angle below 1e-4 degrees, from the second update on, at four step sizes",
        held_in(followed()),
    ),
    Equation("SI 30", r"W_{t+1} = W_t + \Delta W_t", DEFINITION, "the dynamics", held_in(updates)),
    Equation("SI 31", r"A_{t+1} = A_t + \Delta A_t", DEFINITION, "the dynamics", held_in(updates)),
    Equation("SI 32", r"\Delta W = \eta_W e h^{\mathsf T}", DEFINITION, "the rule", held_in(updates)),
    Equation("SI 33", r"\Delta A = \eta_A B e x^{\mathsf T}", DEFINITION, "the rule", held_in(updates)),
    Equation(
        "SI 34",
        r"h_{t+1} = h_t + \eta_B B e,\ \eta_B = x^{\mathsf T} x\, \eta_A",
        DERIVED,
        "eq. 33 times x",
        held_in(one_input),
    ),
    Equation("SI 35", r"W_{t+1} = W_t + \Delta W_t", DEFINITION, "as eq. 30", held_in(updates)),
    Equation("SI 36", r"h_{t+1} = h_t + \Delta h_t", DEFINITION, "the dynamics of h, by eq. 34", held_in(updates)),
    Equation("SI 37", r"\Delta W = \eta e h^{\mathsf T}", DEFINITION, "eq. 32 with one rate", held_in(trained)),
    Equation("SI 38", r"\Delta h = \eta B e", DEFINITION, "eq. 34 with one rate", held_in(trained)),
    Equation("SI 39", r"h = s_h B y^*", DERIVED, _induction, held_in(step_of_the_lemma)),
    Equation("SI 40", r"W = s_w y^* (B y^*)^{\mathsf T}", DERIVED, _induction, held_in(step_of_the_lemma)),
    Equation("SI 41", r"W h = s_y y^*", DERIVED, "eqs. 39, 40 put in, s_y = s_w s_h |By*|^2", held_in(lemma)),
    Equation("SI 42", r"e = (1 - s_y) y^*", DERIVED, "eq. 41 put in", held_in(lemma)),
    Equation(
        "SI 43", r"\Delta W = \eta (1 - s_y) s_h y^* (B y^*)^{\mathsf T}", DERIVED, "eqs. 39, 42 put in", held_in(lemma)
    ),
    Equation("SI 44", r"\Delta h = \eta (1 - s_y) B y^*", DERIVED, "eq. 42 put in", held_in(lemma)),
    Equation(
        "SI 45",
        r"s_h^{t+1} = s_h^t + \eta (1 - s_y^t) s_h^t",
        WRONG,
        "SymPy, all sizes: from eq. 44; as printed s_h stays 0",
        held_in(lemma),
        r"s_h^{t+1} = s_h^t + \eta (1 - s_y^t)",
    ),
    Equation("SI 46", r"s_w^{t+1} = s_w^t + \eta (1 - s_y^t) s_h^t", DERIVED, "from eq. 43", held_in(lemma)),
    Equation(
        "SI 47",
        r"s B e = W^+ e,\ s > 0",
        WRONG,
        f"Penrose's four conditions, all sizes; networks trained at {len(STEPS)} step sizes; the two "
        "bounds by bisection. W = 0 before the first two updates, so that W+e = 0 there; beyond the first bound s_w "
        "turns negative (at 0.7 before update 12, at 0.8 before update 11)",
        held_in(of_each_step, also=_theorem, reads=_bounds),
        r"\frac{1}{s_w \lVert B y^* \rVert^2} B e = W^+ e \text{ if } s_w \ne 0;\ "
        r"s_w > 0 \text{ if } t \ge 2,\ \eta \lVert B y^* \rVert^{2/3} < 0.6461;\ "
        r"1 - s_y > 0 \text{ always if } \eta \lVert B y^* \rVert^{2/3} < 0.3805",
    ),
    Equation(
        "SI 48",
        r"s B y^* = (y^* (B y^*)^{\mathsf T})^+ y^*",
        DERIVED,
        f"with s = 1 / |By*|^2: Penrose's four conditions; numbers, {INSTANCES} random instances",
        held_in(pairs, also=_eq48),
    ),
    Equation(
        "SI 49",
        r"(y^* (B y^*)^{\mathsf T})^+ y^* = (B y^*)^{\mathsf T +} y^{*+} y^*"
        r" = B^{\mathsf T +} y^{*\mathsf T +} = s B y^*,\ s = (B y^*)^{\mathsf T} (B y^*)",
        WRONG,
        "Penrose's four conditions, all sizes; counterexample to B'+ y*'+ with B = diag(1, 2)",
        held_in(pairs, also=_eq49),
        r"(y^* (B y^*)^{\mathsf T})^+ y^* = (B y^*)^{\mathsf T +} = s B y^*,\ "
        r"s = \frac{1}{(B y^*)^{\mathsf T} (B y^*)}",
    ),
)
