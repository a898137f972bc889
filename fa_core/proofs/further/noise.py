"""Why the noise of single examples turns W away from B': linear units, a target that no linear network can foresee.

Online, from zero: A <- A + eta B e x', W <- W + eta e (Ax)', e = y* - WAx, examples (x, y*) independent, [xx'] = I and
[y* x'] = 0, as where y* is even in x and x is symmetric. Then

    BW + W'B' = AA' - N,   N the sum of (step of A)(step of A)'                                        (exactly)
    [tr(BW)] after one more example = [tr(BW)] - (eta/2) [|AA'|^2 - tr(N AA')]                         (exactly)
    [tr(BW)] after n examples = -(eta^5/6) n (n-1)(n-2) c + (higher powers of eta)
    c = [(x.x~)^2 (|By*|^2 |By~*|^2 + (By*.By~*)^2)] > 0, (x~, y~*) an independent second example.
"""

import itertools
from typing import Any

import numpy as np
import sympy as sp
from sympy import MatrixSymbol

from fa_core.proofs.convergence import A, B, W, equal, n_i, n_o

ETA = sp.Symbol("eta", positive=True)
N_EXAMPLES = sp.Symbol("n", positive=True)
STEP = MatrixSymbol("dA", *A.shape)
FALL = -STEP * STEP.T
LEADING = -(ETA**5) / 6 * N_EXAMPLES * (N_EXAMPLES - 1) * (N_EXAMPLES - 2)  # times c


def algebra() -> dict[str, bool]:
    """What the theorem takes from algebra, by name, and whether SymPy confirms it. G is e x'."""
    G = MatrixSymbol("G", n_o, n_i)
    step_a, step_w = ETA * B * G, ETA * G * A.T

    def balance(a: sp.Expr, w: sp.Expr) -> sp.Expr:
        return B * w + w.T * B.T - a * a.T

    t = sp.Symbol("t", positive=True, integer=True)
    n = sp.Symbol("n", positive=True, integer=True)
    return {
        "C falls by (step of A)(step of A)'": equal(
            balance(A + step_a, W + step_w) - balance(A, W), FALL.subs(STEP, step_a)
        ),
        "sum of t (t - 1) / 2 over t < n": sp.expand(
            sp.summation(-(ETA**5) / 2 * t * (t - 1), (t, 0, n - 1)) - LEADING.subs(N_EXAMPLES, n)
        )
        == 0,
    }


def every_course(examples: int, power: int = 6, b: int = 1) -> list[sp.Rational]:
    """[tr(BW)] after that many examples, exactly, as its coefficients of eta^0 to eta^power: one unit in each layer,
    feedback weight b, x and y* independently +1 or -1, so that only the sign of x y* matters: all 2^n courses are run."""
    zero = np.zeros(power + 1, dtype=object)

    def times(f: np.ndarray, g: np.ndarray) -> np.ndarray:
        out = zero.copy()
        for i, v in enumerate(f):
            if v:
                out[i:] += v * g[: power + 1 - i]
        return out

    def later(f: np.ndarray) -> np.ndarray:
        return np.concatenate([[0], f[:-1]])

    total = zero.copy()
    for course in itertools.product((1, -1), repeat=examples):
        a, w = zero.copy(), zero.copy()
        for sign in course:
            e = -times(w, a)
            e[0] += sign
            a, w = a + later(b * e), w + later(times(e, a))
        total = total + b * w
    return [sp.Rational(int(v), 2**examples) for v in total]


def predicted(examples: int, c: Any) -> sp.Expr:
    """The coefficient of eta^5 that the theorem states."""
    return (LEADING / ETA**5).subs(N_EXAMPLES, examples) * c


def learn_online(
    B_: np.ndarray, rate: float, examples: int, runs: int, *, batch: int = 1, linear: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of tr(BW) over many runs before and after each update, and its standard error: x uniform `(n_i,)` of variance 1,
    y* = x'Q x for fixed normal Q, less their means, plus `linear` times a fixed linear function; from zero, by means over
    `batch` examples."""
    n_h, n_o = B_.shape
    n_i = 4
    rng = np.random.default_rng(seed)
    Q = rng.standard_normal((n_o, n_i, n_i)) / n_i
    T = linear * rng.standard_normal((n_o, n_i))
    a, w = np.zeros((runs, n_h, n_i)), np.zeros((runs, n_o, n_h))
    kept = [np.zeros(runs)]
    for _ in range(examples):
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), (runs, batch, n_i))
        target = np.einsum("rbi,kij,rbj->rbk", x, Q, x) - np.einsum("kii->k", Q) + x @ T.T
        h = x @ a.mT
        e = target - h @ w.mT
        w = w + rate * e.mT @ h / batch
        a = a + rate * B_ @ (e.mT @ x) / batch
        kept.append(np.einsum("hk,rkh->r", B_, w))
    kept = np.stack(kept)
    return kept.mean(1), kept.std(1, ddof=1) / np.sqrt(runs)
