"""A bottleneck, from every start and for any inputs: where learning ends if BT has full row rank, n_h.

With T~ = T S^(1/2) and P the projection on the rows of BT~, E S^(1/2) goes to T~ (I - P). Where C is positive semidefinite,
as from zero, F = tr(BESE'B') falls exponentially. The weights come to rest wherever -BW and AA' have no common eigenvalue at
a limit point; with one such eigenvalue they could creep along a circle at most, and for white inputs they do not.
"""

from typing import NamedTuple

import numpy as np
import sympy as sp
from scipy.integrate import cumulative_simpson
from scipy.linalg import sqrtm

from fa_core import flow
from fa_core.proofs.convergence import ANY_INPUTS, A, B, E, S, W, equal, rate

R = E * S * A.T  # W'
# Its rate: the first term pulls it to 0, the two others vanish with BES.
R_RATE = -R * (A * S * A.T) - W * (B * E * S) * S * A.T + E * S * (B * E * S).T
SIGNAL = B * E * S  # A'
SIGNAL_RATE = -(SIGNAL * A.T * A + B * W * SIGNAL) * S

# Beside a circle of solutions, of (g, lambda, q, p) to first order: A' = g X, X = x (A'u)', BW x = mu x, AA' u = alpha u,
# lambda = alpha + mu, q = x.u, p = x'Kx with K = (AA' - alpha)^+, in a time that runs at the speed g.
ALPHA, RHO, POWER = sp.symbols("alpha varrho s", positive=True)  # RHO = |Kx|^2
TURNING = sp.Matrix([[0, -1, 0, 0], [ALPHA**2 * RHO, 0, 3 * ALPHA, 0], [0, 0, 0, -ALPHA], [0, 0, 4 * ALPHA * RHO, 0]])
TILT = sp.Matrix([[0, 1, 0, -3 / (4 * RHO)]])  # lambda - 3 p / 4 rho, which grows with g alone


def algebra() -> dict[str, bool]:
    """What the theorems take from algebra, and whether SymPy confirms it for matrices of symbolic size."""
    powers = (POWER**2 + ALPHA**2 * RHO) * (POWER**2 + 4 * ALPHA**2 * RHO)
    return {
        "the rate of ESA'": equal(rate(R, ANY_INPUTS), R_RATE),
        "the rate of BES": equal(rate(SIGNAL, ANY_INPUTS), SIGNAL_RATE),
        "beside a circle all is oscillation": sp.expand((POWER * sp.eye(4) - TURNING).det() - powers) == 0,
        "lambda - 3 p / 4 rho grows with g alone": sp.expand(TILT * TURNING) == sp.Matrix([[ALPHA**2 * RHO, 0, 0, 0]]),
    }


def end(T, B, S=None) -> np.ndarray:
    """T (I - P~): the error E at the end of the flow, P~ = S R'(R S R')^-1 R, R = BT, `(n_o, n_i)`.

    Raises ValueError where BT has dependent rows: then the end depends on the start.
    """
    S = np.eye(T.shape[1]) if S is None else S
    rows = B @ T
    if np.linalg.matrix_rank(rows) < len(rows):
        raise ValueError(f"BT {rows.shape} has dependent rows: the end of learning depends on its start")
    return T - T @ S @ rows.T @ np.linalg.solve(rows @ S @ rows.T, rows)


def loss(E, S=None) -> float:
    """tr(E S E'), the mean squared error."""
    S = np.eye(E.shape[1]) if S is None else S
    return float(np.trace(E @ S @ E.T))


def in_projections(T, B, S) -> float:
    """The end loss as the theorem states it, |T~ (I - P)|^2, by an orthonormal basis of the rows of BT~."""
    seen = T @ sqrtm(S).real
    basis = np.linalg.qr((B @ seen).T)[0]
    return float(np.linalg.norm(seen - seen @ basis @ basis.T) ** 2)


def start_with_C(B, seed: int, n_i: int, positive: bool = True):
    """A random start (A, W) whose C is positive semidefinite, or one whose C is not: BW = (AA' + G)/2 + K, G = C a Gram
    matrix or minus twice one, K antisymmetric. B `(n_h, n_o)` of independent rows."""
    rng, n_h = np.random.default_rng(seed), len(B)
    A, X, K = rng.standard_normal((n_h, n_i)), rng.standard_normal((n_h, n_h)), rng.standard_normal((n_h, n_h))
    G = X @ X.T if positive else -2 * X @ X.T
    return A, np.linalg.pinv(B) @ ((A @ A.T + G) / 2 + K - K.T)


def weights_at_rest(T, A, S) -> np.ndarray:
    """W at the end, TSA'(ASA')^-1, where A is that of the end."""
    return T @ S @ A.T @ np.linalg.inv(A @ S @ A.T)


def apart(M, A) -> float:
    """Smallest distance between an eigenvalue of -M, M = BW, and one of AA'."""
    return float(np.abs(np.linalg.eigvals(-M)[:, None] - np.linalg.eigvalsh(A @ A.T)).min())


def fall(run: flow.Flow, S):
    """Of a trajectory: log F/F(0), F = tr(BESE'B'), and the bound of it that the theorem gives, minus the smallest
    eigenvalue of S times the integral of that of BW + W'B'; each `(points,)`."""
    signal, BW = run.B @ run.E, run.B @ run.W
    F = np.einsum("pij,jk,pik->p", signal, S, signal)
    least = np.linalg.eigvalsh(BW + BW.mT)[:, 0]
    summed = cumulative_simpson(least, x=run.t, initial=0.0)
    return np.log(F / F[0]), -np.linalg.eigvalsh(S)[0] * summed


class Beside(NamedTuple):
    """What decides at (A, M), M = BW, whether learning creeps: eigenvalues `alpha` of AA' and `mu` of M, their sum
    `tilt`, unit eigenvectors `u` and `x`, K = (AA' - alpha)^+, q = x.u, p = x'Kx, rho = |Kx|^2."""

    alpha: float
    tilt: float
    q: float
    p: float
    rho: float
    x: np.ndarray
    u: np.ndarray
    K: np.ndarray


def beside(A, M, x, u) -> Beside:
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


def on_a_circle(seed: int, n_h: int, n_i: int):
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


def turns(A, M, x, u, g: float, second=1.0, h: float = 1e-5):
    """Rates of lambda, q and p, and what is left of the law of G = gX + g^2 X_1 with g' = -lambda: found, by differences,
    and stated, to first order, each `(4,)`. second: a factor of X_1."""
    here = beside(A, M, x, u)
    X = np.outer(here.x, A.T @ here.u)
    way = X + second * g * here.alpha * np.outer(here.x, A.T @ here.K @ here.K @ here.x)
    ahead, behind = ((A + s * way, M + s * way @ A.T) for s in (h, -h))
    after, before = beside(*ahead, x, u), beside(*behind, x, u)
    found = [(getattr(after, name) - getattr(before, name)) / (2 * h) for name in ("tilt", "q", "p")]
    X_rate = (np.outer(after.x, ahead[0].T @ after.u) - np.outer(before.x, behind[0].T @ before.u)) / (2 * h)
    left = np.linalg.norm(-here.tilt * X + g * X_rate + way @ A.T @ A + M @ way)
    law = np.array(TURNING.subs({ALPHA: here.alpha, RHO: here.rho}), dtype=float)
    stated = law[1:] @ [g, here.tilt, here.q, here.p]
    return np.array([*found, left]), np.array([*stated, 0.0])
