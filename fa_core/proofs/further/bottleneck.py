"""A bottleneck, from every start and for any inputs: where learning ends if BT has full row rank, n_h.

With T~ = T S^(1/2) and P the projection on the rows of BT~, E S^(1/2) goes to T~ (I - P). Where C is positive semidefinite,
as from zero, F = tr(BESE'B') falls exponentially. The weights come to rest wherever -BW and AA' have no common eigenvalue at
a limit point.
"""

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.linalg import sqrtm

from fa_core import flow
from fa_core.proofs.convergence import ANY_INPUTS, A, B, E, S, W, equal, rate

R = E * S * A.T  # W'
# Its rate: the first term pulls it to 0, the two others vanish with BES.
R_RATE = -R * (A * S * A.T) - W * (B * E * S) * S * A.T + E * S * (B * E * S).T
SIGNAL = B * E * S  # A'
SIGNAL_RATE = -(SIGNAL * A.T * A + B * W * SIGNAL) * S


def algebra() -> dict[str, bool]:
    """What the theorems take from algebra, and whether SymPy confirms it for matrices of symbolic size."""
    return {
        "the rate of ESA'": equal(rate(R, ANY_INPUTS), R_RATE),
        "the rate of BES": equal(rate(SIGNAL, ANY_INPUTS), SIGNAL_RATE),
    }


def end(T: np.ndarray, B: np.ndarray, S: np.ndarray | None = None) -> np.ndarray:
    """T (I - P~): the error E at the end of the flow, P~ = S R'(R S R')^-1 R, R = BT, `(n_o, n_i)`.

    Raises ValueError where BT has dependent rows: then the end depends on the start.
    """
    S = np.eye(T.shape[1]) if S is None else S
    rows = B @ T
    if np.linalg.matrix_rank(rows) < len(rows):
        raise ValueError(f"BT {rows.shape} has dependent rows: the end of learning depends on its start")
    return T - T @ S @ rows.T @ np.linalg.solve(rows @ S @ rows.T, rows)


def loss(E: np.ndarray, S: np.ndarray | None = None) -> float:
    """tr(E S E'), the mean squared error."""
    S = np.eye(E.shape[1]) if S is None else S
    return float(np.trace(E @ S @ E.T))


def in_projections(T: np.ndarray, B: np.ndarray, S: np.ndarray) -> float:
    """The end loss as the theorem states it, |T~ (I - P)|^2, by an orthonormal basis of the rows of BT~."""
    seen = T @ sqrtm(S).real
    basis = np.linalg.qr((B @ seen).T)[0]
    return float(np.linalg.norm(seen - seen @ basis @ basis.T) ** 2)


def start_with_C(B: np.ndarray, seed: int, n_i: int, positive: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A random start (A, W) whose C is positive semidefinite, or one whose C is not: BW = (AA' + G)/2 + K, G = C a Gram
    matrix or minus twice one, K antisymmetric. B `(n_h, n_o)` of independent rows."""
    rng, n_h = np.random.default_rng(seed), len(B)
    A, X, K = rng.standard_normal((n_h, n_i)), rng.standard_normal((n_h, n_h)), rng.standard_normal((n_h, n_h))
    G = X @ X.T if positive else -2 * X @ X.T
    return A, np.linalg.pinv(B) @ ((A @ A.T + G) / 2 + K - K.T)


def weights_at_rest(T: np.ndarray, A: np.ndarray, S: np.ndarray) -> np.ndarray:
    """W at the end, TSA'(ASA')^-1, where A is that of the end."""
    return T @ S @ A.T @ np.linalg.inv(A @ S @ A.T)


def apart(M: np.ndarray, A: np.ndarray) -> float:
    """Smallest distance between an eigenvalue of -M, M = BW, and one of AA'."""
    return float(np.abs(np.linalg.eigvals(-M)[:, None] - np.linalg.eigvalsh(A @ A.T)).min())


def fall(run: flow.Flow, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a trajectory: log F/F(0), F = tr(BESE'B'), and the bound of it that the theorem gives, minus the smallest
    eigenvalue of S times the integral of that of BW + W'B'; each `(points,)`."""
    signal, BW = run.B @ run.E, run.B @ run.W
    F = np.einsum("pij,jk,pik->p", signal, S, signal)
    least = np.linalg.eigvalsh(BW + BW.mT)[:, 0]
    summed = cumulative_simpson(least, x=run.t, initial=0.0)
    return np.log(F / F[0]), -np.linalg.eigvalsh(S)[0] * summed
