"""How fast: bounds of a mode, the spectrum of small perturbations at the end, and backprop's waiting times.

exp(-3 lambda t) <= 1 - y <= sqrt(3) exp(sqrt(3) pi/6) exp(-3 lambda t)
"""

import numpy as np
import sympy as sp

from fa_core import flow
from fa_core.proofs.convergence import ANY_INPUTS, A, B, E, S, W, equal, rate

Y = sp.Symbol("y", positive=True)
# 1 - y = EXCESS exp(-3 lambda t); EXCESS rises from 1 at y = 0.
EXCESS = sp.sqrt(1 + Y + Y**2) * sp.exp(sp.sqrt(3) * sp.atan(sp.sqrt(3) * Y / (2 + Y)))
EXCESS_SLOPE = (2 + Y) / (1 + Y + Y**2)  # of its logarithm
ERROR_RATE = -E * S * A.T * A - W * B * E * S  # linear in E at E = 0
CONSTANT = sp.sqrt(3) * sp.exp(sp.sqrt(3) * sp.pi / 6)


def algebra() -> dict[str, bool]:
    """What the theorems take from algebra, by name, and whether SymPy confirms it."""
    scaled_time = (sp.log(EXCESS) - sp.log(1 - Y)) / 3
    return {
        "it solves y' = lambda (1 - y^3)": sp.simplify(sp.diff(scaled_time, Y) - 1 / (1 - Y**3)) == 0,
        "from y = 0": scaled_time.subs(Y, 0) == 0,
        "the slope of log F": sp.simplify(sp.diff(sp.log(EXCESS), Y) - EXCESS_SLOPE) == 0,
        "F(1) = c": sp.simplify(EXCESS.subs(Y, 1) - CONSTANT) == 0,
        "the error obeys E' = -(E S A'A + W B E S)": equal(-rate(W * A, ANY_INPUTS), ERROR_RATE),
    }


def spectrum(T: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Rates at which small perturbations of the error decay at the end of the flow from zero, rising, `(n_o n_i,)`:
    lambda_k + 2 lambda_j for each two modes, lambda_k for each mode and each of the n_i - r directions of input that
    T does not use. B of full column rank, T of full row rank."""
    _, s, _ = flow.modes(T, B)
    rates = 2 ** (-1 / 3) * s ** (2 / 3)
    inner = np.add.outer(rates, 2 * rates).ravel()
    return np.sort(np.concatenate([inner, np.repeat(rates, T.shape[1] - len(s))]))


def measured_spectrum(T: np.ndarray, B: np.ndarray) -> np.ndarray:
    """The same from the flow itself: minus the eigenvalues of its derivative at the end, by central differences, without
    the n_h n_o smallest, which are those along the solutions E = 0 and vanish; rising."""
    end = flow.closed_form(T, B, np.array([np.inf]))
    a, w = end.A[0], end.W[0]
    columns = []
    for direction in np.eye(a.size + w.size):
        da, dw = direction[: a.size].reshape(a.shape), direction[a.size :].reshape(w.shape)
        speeds = [flow.velocity(a + h * da, w + h * dw, T, B) for h in (1e-5, -1e-5)]
        columns.append(np.concatenate([((p - q) / 2e-5).ravel() for p, q in zip(*speeds, strict=True)]))
    values = np.sort(-np.linalg.eigvals(np.transpose(columns)).real)
    vanish = a.size + w.size - T.size
    return values[np.argsort(np.abs(values))[vanish:]]


def half() -> float:
    """lambda t at which a mode has learned half of its share, y^3 = 1/2, from zero."""
    return float(((sp.log(EXCESS) - sp.log(1 - Y)) / 3).subs(Y, 2 ** (-1 / 3)))


def half_times(T: np.ndarray, B: np.ndarray) -> np.ndarray:
    """When each mode has learned half of its share, from zero; in the order of s, `(modes,)`."""
    return half() / (2 ** (-1 / 3) * flow.modes(T, B)[1] ** (2 / 3))


def backprop_half_times(strengths: np.ndarray, start: float) -> np.ndarray:
    """The same for backprop from balanced weights of which the product in each mode of T, of singular value `strengths`, is
    `start`: x' = 2x (strength - x) has x = strength/2 at log(strength/start - 1) / (2 strength) {cite}`saxe2013`."""
    strengths = np.asarray(strengths, dtype=float)
    return np.log(strengths / start - 1) / (2 * strengths)
