"""Supplementary Note 14, eqs. 29-49: trained on one pair from zero weights, B e is a positive multiple of W^+ e.

    dW = eta e h',   dh = eta B e,   e = y* - W h           (eqs. 35-38, with h = A x for the one input x)

From zero, h = s_h B y* and W = s_w y* (B y*)' (Lemma 5). With u = b^(1/3) s_h, v = b^(2/3) s_w, b = |B y*|^2 and the
step k = eta b^(1/3), the two scalars follow a map in which no other parameter is left:

    u <- u + k (1 - u v),   v <- v + k (1 - u v) u,   s_y = u v.
"""

from functools import cache

import numpy as np
import sympy as sp

from fa_core import measures
from fa_core.proofs import CHECKED, DEFINITION, DERIVED, WRONG, Equation

SHAPES = ((2, 1), (1, 2), (2, 2), (3, 2), (2, 3))  # (n_h, n_o) of the symbolic matrices
INSTANCES = 120


# --- Numerically -----------------------------------------------------------------------------------------------

def scalars(step: float, steps: int, *, stop: float = 1e6):
    """The map of u and v from zero: u, v, each `(steps + 1,)`, or shorter where it runs beyond `stop`.

    step: eta |B y*|^(2/3).
    """
    u, v = [0.0], [0.0]
    for _ in range(steps):
        a = step * (1 - u[-1] * v[-1])
        u.append(u[-1] + a)
        v.append(v[-1] + a * u[-2])
        if abs(u[-1]) + abs(v[-1]) > stop:
            break
    return np.array(u), np.array(v)


def growth(step: float, u, v):
    """g of `1 - s_y <- (1 - s_y) (1 - g)`: g = k (v + u^2) + k^2 u (1 - u v). While g < 1 at every step, s_y < 1."""
    return step * (v + u * u) + step**2 * u * (1 - u * v)


def both_positive(step: float, steps: int = 2000) -> bool:
    """Whether s_y < 1 at every step, and s_w > 0 from the second update on."""
    u, v = scalars(step, steps)
    # Read off the factor, not off 1 - u v, which rounding takes to zero in the end. (v > 0 follows.)
    return bool(len(u) == steps + 1 and (growth(step, u, v) < 1).all())


def theorem_holds(step: float, steps: int = 4000) -> bool:
    """Whether s_w > 0 from the second update on, which is all that the theorem's conclusion needs."""
    u, v = scalars(step, steps)
    return bool(len(u) == steps + 1 and (v[2:] > 0).all())


def threshold(holds, low: float = 0.1, high: float = 0.9) -> float:
    """The step at which `holds` changes from True to False, by bisection. Raises ValueError if it does not change."""
    if not holds(low) or holds(high):
        raise ValueError(f"the condition must hold at {low} and fail at {high}")
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def instance(seed: int):
    """A random B `(n_h, n_o)`, y* `(n_o, 1)` and x `(n_i, 1)` of random sizes, B of full rank; n_h may be below n_o."""
    rng = np.random.default_rng(seed)
    n_i, n_h, n_o = rng.integers(1, 31), rng.integers(1, 21), rng.integers(1, 11)
    return rng.uniform(-0.5, 0.5, (n_h, n_o)), rng.uniform(-1, 1, (n_o, 1)), rng.standard_normal((n_i, 1))


def train(B, y, rate: float, steps: int, *, W=None, h=None, x=None):
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


def rate_of(step: float, B, y) -> float:
    """The learning rate eta of a step k = eta |B y*|^(2/3)."""
    return step / float(((B @ y) ** 2).sum()) ** (1 / 3)


def angles(path, B, *, above: float = 1e-10, rcond: float = 1e-12):
    """Angle between B e and W^+ e, degrees, at every step from the second update on at which the normalised squared
    error |e|^2 / |y*|^2 is above `above` (below, e is rounding); `(steps, pairs)`.

    rcond: singular values of W below this share of the largest count as zero. From zero W is of rank one, and all
    other singular values are rounding.
    """
    size = float((path[0][2] ** 2).sum())
    seen = [(W, e) for W, _, e in path[2:] if (e**2).sum() > above * size]
    W, e = (np.stack(a) for a in zip(*seen, strict=True))
    return measures.angle(B @ e, np.linalg.pinv(W, rcond=rcond) @ e, axis=1)


def largest_angle(path, B, **options) -> float:
    """The largest of `angles`."""
    return float(angles(path, B, **options).max())


# --- Symbolically ----------------------------------------------------------------------------------------------

s_h, s_w, eta = sp.symbols("s_h s_w eta", real=True)


@cache
def matrices(n_h: int, n_o: int):
    """Symbolic B and y*, and B y*."""
    B = sp.Matrix(n_h, n_o, lambda i, j: sp.Symbol(f"B{i}{j}", real=True))
    y = sp.Matrix(n_o, 1, lambda i, j: sp.Symbol(f"y{i}", real=True))
    return B, y, B * y


def each_shape(check):
    """A check that `check(B, y, By)` is zero, after expansion, for every shape."""
    return lambda: all(sp.Matrix([check(*matrices(*s))]).expand().is_zero_matrix for s in SHAPES)


def under_the_lemma(B, y, By):
    """W, h, the scalar s_y and e where eqs. 39 and 40 hold."""
    W, h = s_w * y * By.T, s_h * By
    return W, h, s_w * s_h * (By.T * By)[0], y - W * h


def _eq34(B, y, By):
    # A symbolic A and x with two inputs.
    n_h = len(By)
    A = sp.Matrix(n_h, 2, lambda i, j: sp.Symbol(f"A{i}{j}"))
    x = sp.Matrix(sp.symbols("x0:2"))
    e = sp.Matrix(sp.symbols(f"e0:{len(y)}"))
    return (A + eta * B * e * x.T) * x - (A * x + (x.T * x)[0] * eta * B * e)


def _eq40(B, y, By):
    """The step of the induction: W and h after an update, less the forms of eqs. 39 and 40 with the new scalars."""
    W, h, s_y, e = under_the_lemma(B, y, By)
    new_h, new_w = s_h + eta * (1 - s_y), s_w + eta * (1 - s_y) * s_h
    return (W + eta * e * h.T - new_w * y * By.T).col_join((h + eta * B * e - new_h * By).T)


def _eq41(B, y, By):
    W, h, s_y, _ = under_the_lemma(B, y, By)
    return W * h - s_y * y


def _eq42(B, y, By):
    _, _, s_y, e = under_the_lemma(B, y, By)
    return e - (1 - s_y) * y


def _eq43(B, y, By):
    _, h, s_y, e = under_the_lemma(B, y, By)
    return eta * e * h.T - eta * (1 - s_y) * s_h * y * By.T


def _eq44(B, y, By):
    _, _, s_y, e = under_the_lemma(B, y, By)
    return eta * B * e - eta * (1 - s_y) * By


def _eq45() -> bool:
    """The corrected eq. 45 follows from eq. 44; the printed one stays at zero for ever, and so contradicts eq. 44."""
    s_y = sp.Symbol("s_y")
    printed, corrected = s_h + eta * (1 - s_y) * s_h, s_h + eta * (1 - s_y)
    stays = printed.subs(s_h, 0) == 0
    return each_shape(lambda B, y, By: s_h * By + eta * (1 - s_y) * By - corrected * By)() and stays


def _eq46(B, y, By):
    W, h, s_y, e = under_the_lemma(B, y, By)
    return W + eta * e * h.T - (s_w + eta * (1 - s_y) * s_h) * y * By.T


def is_pseudoinverse(M, N, d=1) -> bool:
    """Whether N / d is the Moore-Penrose inverse of M, by the four conditions of Penrose, identically in the symbols; d is
    not to be identically zero."""
    def zero(D):
        return D.applyfunc(lambda v: sp.cancel(sp.together(sp.expand(v)))).is_zero_matrix

    return sp.expand(d) != 0 and all(map(zero, (M * N * M - d * M, N * M * N - d * N, (M * N).T - M * N, (N * M).T - N * M)))


def rank_one_pseudoinverse(y, b):
    """(y b')^+ = b y' / (|y|^2 |b|^2), for columns y and b that are not zero."""
    return b * y.T / ((y.T * y)[0] * (b.T * b)[0])


def columns(n_h: int, n_o: int):
    """Symbolic columns y* and b = B y*, the latter with elements of its own."""
    return sp.Matrix(sp.symbols(f"y0:{n_o}", real=True)), sp.Matrix(sp.symbols(f"b0:{n_h}", real=True))


def _eq48():
    """(y* b')^+ y* = b / |b|^2, for b = B y*."""
    for n_h, n_o in SHAPES:
        y, b = columns(n_h, n_o)
        X = rank_one_pseudoinverse(y, b)
        if not is_pseudoinverse(y * b.T, X) or not (X * y - b / (b.T * b)[0]).applyfunc(sp.cancel).is_zero_matrix:
            return False
    return True


def _eq49():
    """(b')^+ = b / |b|^2: the scalar is 1 / b'b, and not b'b as printed; and B'^+ y*'^+ is in general no multiple of it."""
    for n_h, n_o in SHAPES:
        _, b = columns(n_h, n_o)
        beta = (b.T * b)[0]
        if not is_pseudoinverse(b.T, b / beta) or is_pseudoinverse(b.T, beta * b):
            return False
    B, y = sp.Matrix([[1, 0], [0, 2]]), sp.Matrix([1, 1])  # B is its own transpose, and B^+ its inverse
    printed, right = B.inv() * y / 2, (B * y) / 5
    return sp.Matrix.hstack(printed, right).rank() == 2 and (B * y).T.pinv() == right


def _eq29():
    return all(largest_angle(train(B, y, rate_of(0.2, B, y), 100, x=x), B) < 1e-4
               for B, y, x in map(instance, range(INSTANCES)))


def _eq47():
    """s B e = W^+ e with s = 1 / (s_w |B y*|^2), identically; at the first two steps W = 0, and B e is not."""
    for n_h, n_o in SHAPES:
        y, b = columns(n_h, n_o)
        one_less = sp.Symbol("one_less_s_y")  # e = (1 - s_y) y*, B e = (1 - s_y) b
        X = rank_one_pseudoinverse(y, b) / s_w
        if not is_pseudoinverse(s_w * y * b.T, X):
            return False
        if not (X * one_less * y - one_less * b / (s_w * (b.T * b)[0])).applyfunc(sp.cancel).is_zero_matrix:
            return False
    B, y = sp.Matrix([[1, 2], [3, 4], [5, 6]]), sp.Matrix([1, -1])
    W, h = sp.zeros(2, 3), sp.zeros(3, 1)
    for _ in range(2):
        e = y - W * h
        if not (W.pinv() * e).is_zero_matrix or (B * e).is_zero_matrix:
            return False
        W, h = W + e * h.T / 10, h + B * e / 10
    return not W.is_zero_matrix


_shapes = "explicit symbols, n_h x n_o = " + ", ".join(f"{a}x{b}" for a, b in SHAPES)

EQUATIONS = (
    Equation("SI 29", r"\delta_{FA} \propto W^+ e", CHECKED,
             f"{INSTANCES} random instances, angle below 1e-4 degrees at every step from the second update on", _eq29),
    Equation("SI 30", r"W_{t+1} = W_t + \Delta W_t", DEFINITION, "the dynamics"),
    Equation("SI 31", r"A_{t+1} = A_t + \Delta A_t", DEFINITION, "the dynamics"),
    Equation("SI 32", r"\Delta W = \eta_W e h^T", DEFINITION, "the rule"),
    Equation("SI 33", r"\Delta A = \eta_A B e x^T", DEFINITION, "the rule"),
    Equation("SI 34", r"h_{t+1} = h_t + \eta_B B e,\ \eta_B = x^T x\, \eta_A", DERIVED, f"{_shapes}, two inputs",
             each_shape(_eq34)),
    Equation("SI 35", r"W_{t+1} = W_t + \Delta W_t", DEFINITION, "as eq. 30"),
    Equation("SI 36", r"h_{t+1} = h_t + \Delta h_t", DEFINITION, "the dynamics of h, by eq. 34"),
    Equation("SI 37", r"\Delta W = \eta e h^T", DEFINITION, "eq. 32 with one rate"),
    Equation("SI 38", r"\Delta h = \eta B e", DEFINITION, "eq. 34 with one rate"),
    Equation("SI 39", r"h = s_h B y^*", DERIVED, f"induction step, {_shapes}", each_shape(_eq40)),
    Equation("SI 40", r"W = s_w y^* (B y^*)^T", DERIVED, f"induction step, {_shapes}", each_shape(_eq40)),
    Equation("SI 41", r"W h = s_y y^*", DERIVED, _shapes, each_shape(_eq41)),
    Equation("SI 42", r"e = (1 - s_y) y^*", DERIVED, _shapes, each_shape(_eq42)),
    Equation("SI 43", r"\Delta W = \eta (1 - s_y) s_h y^* (B y^*)^T", DERIVED, _shapes, each_shape(_eq43)),
    Equation("SI 44", r"\Delta h = \eta (1 - s_y) B y^*", DERIVED, _shapes, each_shape(_eq44)),
    Equation("SI 45", r"s_h^{t+1} = s_h^t + \eta (1 - s_y^t) s_h^t", WRONG,
             f"from eq. 44, {_shapes}; as printed s_h stays 0", _eq45, r"s_h^{t+1} = s_h^t + \eta (1 - s_y^t)"),
    Equation("SI 46", r"s_w^{t+1} = s_w^t + \eta (1 - s_y^t) s_h^t", DERIVED, _shapes, each_shape(_eq46)),
    Equation("SI 47", r"s B e = W^+ e \text{ at every step},\ s > 0", WRONG,
             f"Penrose's four conditions, {_shapes}; W = 0 before the first two updates, so that W+e = 0 there", _eq47,
             r"\frac{1}{s_w |B y^*|^2} B e = W^+ e \text{ where } s_w > 0\text{, that is from the second update on}"),
    Equation("SI 48", r"s B y^* = (y^* (B y^*)^T)^+ y^*", DERIVED,
             f"with s = 1 / |By*|^2, Penrose's four conditions, {_shapes}", _eq48),
    Equation("SI 49", r"(y^* (B y^*)^T)^+ y^* = (B y^*)^{T+} y^{*+} y^* = B^{T+} y^{*T+} "
             r"= s B y^*,\ s = (B y^*)^T (B y^*)", WRONG,
             f"Penrose's four conditions, {_shapes}; counterexample to B'+ y*'+ with B = diag(1, 2)", _eq49,
             r"(y^* (B y^*)^T)^+ y^* = (B y^*)^{T+} = s B y^*,\ s = 1 / (B y^*)^T (B y^*)"),
)
