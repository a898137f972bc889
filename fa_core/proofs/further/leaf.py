"""From zero, feedback alignment is a gradient flow; and from which other starts it is the same one.

Along the flow the product M = BW moves with the hidden weights, dM/dt = dA/dt A', from any start and for any inputs. Among
all motions that obey this, A' = BES is the steepest descent of H = |M|^2/2 - tr(QA'), Q = BT. Such motions are no surface:
where one can end depends on the way taken. From zero and for white inputs the way is along M = AA'/2, on which H is
PHI = |AA'|^2/8 - tr(QA'), a strictly convex function of A.
"""

from typing import Any

import numpy as np
from sympy import MatrixSymbol, Rational, Trace, Transpose

from fa_core import flow
from fa_core.proofs.convergence import ANY_INPUTS, A, B, S, T, W, equal, n_h, n_i, rate

Q, X, M = MatrixSymbol("Q", n_h, n_i), MatrixSymbol("X", n_h, n_i), MatrixSymbol("M", n_h, n_h)

LEAF = A * A.T / 2  # what BW is
PHI = Trace(A * A.T * A * A.T) / 8 - Trace(Q * A.T)
SLOPE = A * A.T * A / 2 - Q  # grad PHI
CURVATURE = Trace((A.T * X) * (A.T * X).T) / 2 + Trace((A * X.T + X * A.T) * (A * X.T + X * A.T).T) / 4
H = Trace(M * M.T) / 2 - Trace(Q * A.T)
SIGNAL = Q - M * A  # BE

# The starts: each of the three follows from the one before along the flow, and with all of them the form stays.
SYMMETRIC = Q * A.T - A * Q.T
COMMUTE = (
    A * Q.T * A * A.T - A * A.T * A * Q.T,
    Q * Q.T * A * A.T - A * A.T * Q * Q.T,
    Q * Q.T * A * Q.T - A * Q.T * Q * Q.T,
)
# The skew part of BW from zero for any inputs, in units of t^5, to leading order.
SKEW = Rational(3, 40) * (Q * S * S * S * Q.T * Q * S * S * Q.T - Q * S * S * Q.T * Q * S * S * S * Q.T)


def algebra() -> dict[str, bool]:
    """What the theorem takes from algebra, by name, and whether SymPy confirms it for matrices of symbolic size."""
    toward = {A: X}
    downhill = {A: -SLOPE}
    # Products that may be exchanged once SYMMETRIC and the first two of COMMUTE are zero.
    swap = {(Q, Transpose(A)): (A, Transpose(Q))}
    swap1 = swap | {(A, Transpose(Q), A, Transpose(A)): (A, Transpose(A), A, Transpose(Q))}
    swap2 = swap1 | {(A, Transpose(A), Q, Transpose(Q)): (Q, Transpose(Q), A, Transpose(A))}
    return {
        "BW moves by A' A, for any inputs": equal(rate(B * W, ANY_INPUTS), rate(A, ANY_INPUTS) * A.T),
        "H falls by tr(X'BE) along every X with M' = X A'": equal(rate(H, {A: X, M: X * A.T}), -Trace(SIGNAL * X.T)),
        "H on M = AA'/2 is PHI": equal(Trace(LEAF * LEAF.T) / 2 - Trace(Q * A.T), PHI),
        "the slope of PHI": equal(rate(PHI, toward), Trace(SLOPE * X.T)),
        "BE on BW = AA'/2 is minus the slope": equal(B * T - LEAF * A, -SLOPE.subs(Q, B * T)),
        "the curvature of PHI": equal(rate(rate(PHI, toward), toward), CURVATURE),
        "BW turns asymmetric unless QA' is symmetric": equal(-SLOPE * A.T + A * SLOPE.T, SYMMETRIC),
        "which lasts only if AQ' and AA' commute": equal(-2 * rate(SYMMETRIC, downhill), COMMUTE[0], swap),
        "which lasts only if QQ' and AA' commute": equal(rate(COMMUTE[0], downhill), COMMUTE[1], swap1),
        "which lasts only if QQ' and AQ' commute": equal(rate(COMMUTE[1], downhill), 2 * COMMUTE[2], swap2),
    }


def decoupled_start(seed: int, n_h: int = 3, n_i: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A random problem and start (T, B, A, W) of the theorem: hidden directions whose rows of A and Q are at right angles to
    those of every other, and BW = AA'/2. B is square and invertible."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((n_i, 2 * n_h)))[0].T  # two input directions for each hidden one
    basis = np.linalg.qr(rng.standard_normal((n_h, n_h)))[0]
    rows = rng.standard_normal((2, n_h, 2))
    A_, Q_ = (basis @ (r[:, :1] * frame[::2] + r[:, 1:] * frame[1::2]) for r in rows)
    B_ = rng.standard_normal((n_h, n_h))
    return np.linalg.solve(B_, Q_), B_, A_, np.linalg.solve(B_, A_ @ A_.T / 2)


def start_along(
    seed: int, n_h: int = 3, n_i: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A random problem and start (T, B, A, W, S), and x, with BW x a multiple of x and the rows of BE multiples of one
    another, BE = x xi'. B is square and invertible."""
    rng = np.random.default_rng(seed)
    B_, M_, mix = (rng.standard_normal(shape) for shape in ((n_h, n_h), (n_h, n_h), (n_i, 2 * n_i)))
    A_, xi, x = rng.standard_normal((n_h, n_i)), rng.standard_normal(n_i), rng.standard_normal(n_h)
    x /= np.linalg.norm(x)
    M_ = M_ - np.outer(M_ @ x, x) + rng.standard_normal() * np.outer(x, x)
    return np.linalg.solve(B_, M_ @ A_ + np.outer(x, xi)), B_, A_, np.linalg.solve(B_, M_), mix @ mix.T / (2 * n_i), x


def off_descent(run: flow.Flow, x: np.ndarray, S: np.ndarray) -> float:
    """Largest |BE + x grad(PSI)'| along a trajectory, to the largest |BE|: with a = A'x, PSI = |a|^4/8 + a'(D + kappa)a/2 -
    q.a, whose constants are those of the start."""
    a, signal = run.A.mT @ x, run.B @ run.E
    D_ = run.A[0].T @ (np.eye(len(x)) - np.outer(x, x)) @ run.A[0]
    stiff = D_ + (x @ run.B @ run.W[0] @ x - a[0] @ a[0] / 2) * np.eye(len(a[0]))
    square = (a**2).sum(1, keepdims=True) / 2
    q = signal[0].T @ x + square[0] * a[0] + stiff @ a[0]
    slope = square * a + a @ stiff - q
    return float(np.abs(signal + x[:, None] * slope[:, None]).max() / np.abs(signal).max())


def departure(run: flow.Flow) -> float:
    """Largest |BW - AA'/2| along a trajectory, relative to the largest |AA'|."""
    square = run.A @ run.A.mT
    gap = np.linalg.norm(run.B @ run.W - square / 2, axis=(1, 2))
    return float(gap.max() / np.linalg.norm(square, axis=(1, 2)).max())


def series(T_: np.ndarray, B_: np.ndarray, S_: np.ndarray, order: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Taylor coefficients in t of A and W from zero, orders 0 to `order`: lists of matrices."""
    a, w = [np.zeros((B_.shape[0], T_.shape[1]))], [np.zeros((T_.shape[0], B_.shape[0]))]
    for n in range(order):
        e = [T_ * (m == 0) - sum(w[j] @ a[m - j] for j in range(m + 1)) for m in range(n + 1)]
        a.append(B_ @ e[n] @ S_ / (n + 1))
        w.append(sum(e[m] @ S_ @ a[n - m].T for m in range(n + 1)) / (n + 1))
    return a, w


def skew_of_order_five(T_: np.ndarray, B_: np.ndarray, S_: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """(the coefficient of t^5 of the skew part BW - (BW)' from zero, what SKEW says of it); those of lower order vanish."""
    _, w = series(T_, B_, S_, 5)
    parts = [B_ @ x - (B_ @ x).T for x in w]
    return parts, evaluate(SKEW, {"Q": B_ @ T_, "S": S_})


def evaluate(expr: Any, at: dict[str, np.ndarray]) -> Any:
    """A matrix expression, or a number, at given matrices, by the names of its symbols."""
    if isinstance(expr, MatrixSymbol):
        return at[expr.name]
    if expr.is_Number:
        return float(expr)
    values = [evaluate(a, at) for a in expr.args]
    kind = type(expr).__name__
    if kind == "Transpose":
        return values[0].T
    if kind == "MatPow":
        return np.linalg.matrix_power(values[0], int(values[1]))
    if kind in ("MatAdd", "Add"):
        return sum(values)
    product = values[0]
    for value in values[1:]:
        product = product * value if np.isscalar(product) or np.isscalar(value) else product @ value
    return product
