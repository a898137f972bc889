"""Circles of solutions: where, at every limit point, -BW and AA' have one eigenvalue in common, the weights of a bottleneck
could creep along a circle at most; and for white inputs they do not.
"""

from typing import NamedTuple

import numpy as np
import sympy as sp

# Beside a circle of solutions, of (g, nu, q, p) to first order: A' = g X, X = x (A'u)', BW x = mu x, AA' u = alpha u,
# nu = alpha + mu, q = x.u, p = x'Kx with K = (AA' - alpha)^+, in a time that runs at the speed g.
ALPHA, RHO, POWER = sp.symbols("alpha varrho s", positive=True)  # RHO = |Kx|^2
TURNING = sp.Matrix([[0, -1, 0, 0], [ALPHA**2 * RHO, 0, 3 * ALPHA, 0], [0, 0, 0, -ALPHA], [0, 0, 4 * ALPHA * RHO, 0]])
GROWS = sp.Matrix([[0, 1, 0, -3 / (4 * RHO)]])  # nu - 3 p / 4 rho, which grows with g alone


def algebra() -> dict[str, bool]:
    """What the theorem takes from algebra, and whether SymPy confirms it."""
    powers = (POWER**2 + ALPHA**2 * RHO) * (POWER**2 + 4 * ALPHA**2 * RHO)
    return {
        "beside a circle all is oscillation": sp.expand((POWER * sp.eye(4) - TURNING).det() - powers) == 0,
        "nu - 3 p / 4 rho grows with g alone": sp.expand(GROWS * TURNING) == sp.Matrix([[ALPHA**2 * RHO, 0, 0, 0]]),
    }


class Beside(NamedTuple):
    """What decides at (A, M), M = BW, whether learning creeps: eigenvalues `alpha` of AA' and `mu` of M, their sum
    `nu`, unit eigenvectors `u` and `x`, K = (AA' - alpha)^+, q = x.u, p = x'Kx, rho = |Kx|^2."""

    alpha: float
    nu: float
    q: float
    p: float
    rho: float
    x: np.ndarray
    u: np.ndarray
    K: np.ndarray


def beside(A: np.ndarray, M: np.ndarray, x: np.ndarray, u: np.ndarray) -> Beside:
    """Of (A, M) near a circle whose eigenvectors are about x and u, each `(n_h,)`."""
    values, vectors = np.linalg.eigh(A @ A.T)
    k = np.argmax(np.abs(u @ vectors))
    u = vectors[:, k] * np.sign(u @ vectors[:, k])
    others = np.arange(len(u)) != k
    K = vectors[:, others] / (values[others] - values[k]) @ vectors[:, others].T
    mus, directions = np.linalg.eig(M)
    j = np.argmax(np.abs(x @ directions))
    x = directions[:, j].real * np.sign(x @ directions[:, j].real)
    return Beside(values[k], mus[j].real + values[k], x @ u, x @ K @ x, x @ K @ K @ x, x, u, K)


def on_a_circle(seed: int, n_h: int, n_i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(A, M, x, u): a random point of a random circle of solutions, 3 <= n_h <= n_i, for white inputs and BT = MA."""
    rng = np.random.default_rng(seed)
    x, u, r, *rest = np.linalg.qr(rng.standard_normal((n_h, n_h)))[0].T
    N = rng.standard_normal() * np.outer(x, x) + rng.uniform(0.5, 1.5) * (np.outer(x, r) + np.outer(r, x))
    for k, v in enumerate(rest):
        coupled = np.outer(v, rng.standard_normal(k + 1) @ np.array([x, *rest[:k]]))
        N += coupled + coupled.T + rng.uniform(1, 2) * np.outer(v, v)
    alpha = rng.uniform(0.5, 1) - np.linalg.eigvalsh(N)[0]
    root = np.linalg.cholesky(N + alpha * np.eye(n_h))
    A = root @ np.linalg.qr(rng.standard_normal((n_i, n_i)))[0][:n_h]
    M = rng.standard_normal((n_h, n_h))
    return A, M - np.outer((M + alpha * np.eye(n_h)) @ x, x), x, u


def turns(
    A: np.ndarray, M: np.ndarray, x: np.ndarray, u: np.ndarray, g: float, second: float = 1.0, h: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """Rates of nu, q and p, and what is left of the law of G = gX + g^2 X_1 with g' = -nu: found, by differences,
    and stated, to first order, each `(4,)`. second: a factor of X_1."""
    here = beside(A, M, x, u)
    X = np.outer(here.x, A.T @ here.u)
    way = X + second * g * here.alpha * np.outer(here.x, A.T @ here.K @ here.K @ here.x)
    ahead, behind = ((A + s * way, M + s * way @ A.T) for s in (h, -h))
    after, before = beside(*ahead, x, u), beside(*behind, x, u)
    found = [(getattr(after, name) - getattr(before, name)) / (2 * h) for name in ("nu", "q", "p")]
    X_rate = (np.outer(after.x, ahead[0].T @ after.u) - np.outer(before.x, behind[0].T @ before.u)) / (2 * h)
    left = np.linalg.norm(-here.nu * X + g * X_rate + way @ A.T @ A + M @ way)
    law = np.array(TURNING.subs({ALPHA: here.alpha, RHO: here.rho}), dtype=float)
    stated = law[1:] @ [g, here.nu, here.q, here.p]
    return np.array([*found, left]), np.array([*stated, 0.0])
