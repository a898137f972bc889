"""Learning in linear three-layer networks as a flow in continuous time: Supplementary Notes 10-14, Figs. S10-S12.

    y = W A x,   E = T - W A,   dW/dt = E S A',   dA/dt = D E S        (eqs. 8, 9 where S = I)

in the paper's columns: T `(n_o, n_i)`, A `(n_h, n_i)`, W `(n_o, n_h)`, B `(n_h, n_o)`, S = [x x'] `(n_i, n_i)`, the
second moment of the inputs (I for white ones). D is B for feedback alignment and W' for backprop.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import BDF, DOP853, LSODA, RK23, RK45, Radau

SIGNALS = ("feedback alignment", "backprop")
METHODS = {method.__name__: method for method in (DOP853, RK45, RK23, LSODA, Radau, BDF)}


@dataclass(frozen=True)
class Flow:
    """A trajectory at the times `t` `(points,)`: A `(points, n_h, n_i)`, W `(points, n_o, n_h)`; T and B as given. `batch`
    takes stacks of problems too, and then has their axes after the first, here and in what follows."""

    T: np.ndarray
    B: np.ndarray
    t: np.ndarray
    A: np.ndarray
    W: np.ndarray

    @property
    def E(self) -> np.ndarray:
        """T - W A at each time, `(points, n_o, n_i)`."""
        return self.T - self.W @ self.A

    @property
    def error(self) -> np.ndarray:
        """`|E| / |T|` (Frobenius) at each time, `(points,)`."""
        return np.linalg.norm(self.E, axis=(-2, -1)) / np.linalg.norm(self.T, axis=(-2, -1))

    @property
    def invariant(self) -> np.ndarray:
        """BW + W'B' - AA', eq. 10, which the flow of feedback alignment keeps constant; `(points, n_h, n_h)`."""
        BW = self.B @ self.W
        return BW + BW.mT - self.A @ self.A.mT

    @property
    def V(self) -> np.ndarray:
        """`|BE|^2`, eq. 15, at each time, `(points,)`: for white inputs never rises where the invariant is 0."""
        return ((self.B @ self.E) ** 2).sum((-2, -1))

    @property
    def H(self) -> np.ndarray:
        """`|BW|^2 / 2 - tr(BTA')` at each time, `(points,)`: not in the paper; it falls at the rate tr(B E S E' B') along
        feedback alignment from any start and for any inputs."""
        return ((self.B @ self.W) ** 2).sum((-2, -1)) / 2 - (self.B @ self.T * self.A).sum((-2, -1))


def velocity(
    A: np.ndarray,
    W: np.ndarray,
    T: np.ndarray,
    B: np.ndarray,
    S: np.ndarray | None = None,
    signal: str = "feedback alignment",
) -> tuple[np.ndarray, np.ndarray]:
    """(dA/dt, dW/dt), `(n_h, n_i)` and `(n_o, n_h)`, by eqs. 8 and 9; A, W, T and B single matrices or stacks of them, S by
    default the identity. Raises ValueError for an unknown signal."""
    if signal not in SIGNALS:
        raise ValueError(f"unknown signal {signal!r}; there are: {', '.join(SIGNALS)}")
    ES = T - W @ A if S is None else (T - W @ A) @ S
    return (B if signal == "feedback alignment" else W.mT) @ ES, ES @ A.mT


def integrate(
    T: ArrayLike,
    B: ArrayLike,
    A: ArrayLike,
    W: ArrayLike,
    t: ArrayLike,
    *,
    S: np.ndarray | None = None,
    signal: str = "feedback alignment",
    learn: str = "AW",
    decay: tuple[float, float] = (0.0, 0.0),
    rtol: float = 1e-10,
    atol: float = 1e-12,
    method: str = "DOP853",
) -> Flow:
    """The flow from A `(n_h, n_i)`, W `(n_o, n_h)` through the increasing times `t` `(points,)`, of which the first is the
    start.

    `learn`: which of the matrices change, "AW", "A" or "W" (Note 12 decouples them). `decay`: (p, q) takes p A from dA/dt
    and q W from dW/dt. `method`: by default DOP853, an explicit Runge-Kutta method of order 8 with an error estimate; with
    these tolerances the quadratic invariant of eq. 10 drifts by less than 1e-8 of its size. Others are SciPy's, e.g. "LSODA"
    for long times from large weights, where the flow is stiff. Between its steps SciPy interpolates, which is less exact
    than the steps are: with these tolerances by a factor of up to some hundred, and still within 1e-8.

    Raises ValueError for shapes that do not fit, numbers that are not finite, times that do not increase, an unknown method
    and other matrices to learn; RuntimeError if the solution runs off to infinity or the integrator gives up, with the last
    time that it reached.
    """
    T, B, A, W, t = (np.asarray(a, dtype=float) for a in (T, B, A, W, t))
    (n_o, n_i), n_h = T.shape, B.shape[0]
    if (B.shape, A.shape, W.shape) != ((n_h, n_o), (n_h, n_i), (n_o, n_h)):
        raise ValueError(
            f"T {T.shape} and {n_h} hidden units want B {(n_h, n_o)}, A {(n_h, n_i)}, W {(n_o, n_h)}; got "
            f"{B.shape}, {A.shape}, {W.shape}"
        )

    if t.ndim != 1 or t.size < 2 or not (np.isfinite(t).all() and (np.diff(t) > 0).all()):
        raise ValueError(f"t wants two or more increasing times, of which the first is the start; got {t.tolist()}")

    if not learn or set(learn) - {"A", "W"}:
        raise ValueError(f"learn is which matrices change, 'AW', 'A' or 'W'; got {learn!r}")

    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; there are: {', '.join(METHODS)}")

    if S is not None and np.shape(S) != (n_i, n_i):
        raise ValueError(f"T {T.shape} wants S {(n_i, n_i)}, got {np.shape(S)}")
    # With others SciPy may go on for ever.
    if not all(np.isfinite(m).all() for m in (T, B, A, W, decay, 0 if S is None else S)):
        raise ValueError("T, B, A, W, S and decay want finite numbers")
    if not (0 < rtol < 1 and 0 < atol < np.inf):
        raise ValueError(f"rtol and atol are how exact each step is, above 0, and rtol below 1; got {rtol} and {atol}")
    with np.errstate(over="ignore", invalid="ignore"):
        if not all(np.isfinite(m).all() for m in velocity(A, W, T, B, S, signal)):
            raise RuntimeError(f"the solution has no finite rate at its start, time {t[0]:g}: begin with smaller numbers")
    (p, q), of_A = decay, A.size

    def field(_: float, flat: np.ndarray) -> np.ndarray:
        # Called a million times in a notebook: what is not asked for is not computed.
        a, w = flat[:of_A].reshape(A.shape), flat[of_A:].reshape(W.shape)
        dA, dW = velocity(a, w, T, B, S, signal)
        change = np.zeros(flat.size)
        if "A" in learn:
            change[:of_A] = (dA - p * a if p else dA).ravel()
        if "W" in learn:
            change[of_A:] = (dW - q * w if q else dW).ravel()
        return change

    start = np.concatenate([A.ravel(), W.ravel()])
    at, known, reached = np.empty((t.size, start.size)), 0, t[0]
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            solver = METHODS[method](field, t[0], start, t[-1], rtol=rtol, atol=atol)
            while known < t.size:
                failed = solver.step()
                if solver.status == "failed":
                    raise FloatingPointError(failed)
                if not np.isfinite(solver.y).all():
                    raise FloatingPointError("the solution is not finite beyond it")
                reached = solver.t
                if wanted := int(np.searchsorted(t[known:], reached, side="right")):
                    at[known : known + wanted] = solver.dense_output()(t[known : known + wanted]).T
                    known += wanted
        if not np.isfinite(at).all():  # what LSODA interpolates may be NaN where its steps are not
            raise FloatingPointError("the solution is not finite at the wanted times")
    except (FloatingPointError, ValueError) as error:
        if isinstance(error, ValueError) and "infs or NaNs" not in str(error):  # as implicit methods say it
            raise
        raise RuntimeError(f"the integrator stopped at time {reached:g} of {t[-1]:g}: {error}") from None
    return Flow(T, B, t, at[:, :of_A].reshape(-1, *A.shape), at[:, of_A:].reshape(-1, *W.shape))


def batch(
    T: ArrayLike,
    B: ArrayLike,
    rate: ArrayLike,
    steps: int,
    *,
    A: np.ndarray | None = None,
    W: np.ndarray | None = None,
    S: np.ndarray | None = None,
    signal: str = "feedback alignment",
    every: int = 1,
) -> Flow:
    """Batch learning in steps (eqs. 6, 7, where S = I) from A, W, by default zero: the state at the start and after
    each `every` steps. A run that diverges goes on as infinities and NaN.

    Takes stacks, in leading axes: T `(..., n_o, n_i)`, B `(..., n_h, n_o)` and a rate that broadcasts with them, e.g.
    `(runs, 1, 1)`. The times are `rate` times the step for a single rate, and the steps themselves for several.
    """
    T, B, rate = (np.asarray(a, dtype=float) for a in (T, B, rate))
    A = np.zeros((*B.shape[:-1], T.shape[-1])) if A is None else A
    W = np.zeros(B.mT.shape) if W is None else W
    kept = [(A, W)]
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(1, steps + 1):
            dA, dW = velocity(A, W, T, B, S, signal)
            A, W = A + rate * dA, W + rate * dW
            if step % every == 0:
                kept.append((A, W))
    kept = [(np.broadcast_to(a, A.shape), np.broadcast_to(w, W.shape)) for a, w in kept]
    time = every * np.arange(len(kept)) * (rate if rate.ndim == 0 else 1)
    return Flow(T, B, time, np.stack([a for a, _ in kept]), np.stack([w for _, w in kept]))


def one_mode(step: ArrayLike, updates: int, *, every: int = 1, stop: float = 1e6) -> tuple[np.ndarray, np.ndarray]:
    """Batch learning of one mode from zero, which is also learning of one pair of input and output from zero (Note 14):

        u <- u + k e,   v <- v + k e u,   e = 1 - u v,   u = v = 0 at first

    with k = eta s^(2/3), a = s^(1/3) u, w = s^(-1/3) v for a mode of singular value s; for a pair (y*, eq. 35-38) with
    k = eta |By*|^(2/3), s_h = |By*|^(-2/3) u, s_w = |By*|^(-4/3) v, s_y = u v. It is `batch` of the network 1-1-1.

    step: k, of any shape. Returns u and v at the start and after each `every` updates, `(updates // every + 1, ...)`;
    infinite from where |u| + |v| is no longer below `stop`.
    """
    k = np.asarray(step, dtype=float)
    u, v = np.zeros_like(k), np.zeros_like(k)
    kept = [(u, v)]
    with np.errstate(over="ignore", invalid="ignore"):
        for update in range(1, updates + 1):
            move = k * (1 - u * v)
            u, v = u + move, v + move * u
            beyond = ~(np.abs(u) + np.abs(v) < stop)
            u, v = np.where(beyond, np.inf, u), np.where(beyond, np.inf, v)
            if update % every == 0:
                kept.append((u, v))
    return np.stack([u for u, _ in kept]), np.stack([v for _, v in kept])


def autoencoder(
    B: np.ndarray,
    variances: np.ndarray,
    rate: float,
    steps: int,
    *,
    A: np.ndarray | None = None,
    W: np.ndarray | None = None,
    signal: str = "feedback alignment",
    every: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch learning (eqs. 6, 7) of T = I, a linear autoencoder, in the basis in which S is diagonal, `variances` `(n,)`.

    B `(n_h, n)` in that basis; A and W by default zero. Returns the squared reconstruction error `tr(E S E')` at the start
    and after each `every` steps, `(steps // every + 1,)`, and the final A `(n_h, n)`, W `(n, n_h)`. The same as `batch`, but
    a step costs n_h^2 n and not n_h n^2. Raises ValueError for an unknown signal.
    """
    if signal not in SIGNALS:
        raise ValueError(f"unknown signal {signal!r}; there are: {', '.join(SIGNALS)}")
    A = np.zeros(B.shape) if A is None else np.array(A, dtype=float)
    W = np.zeros(B.T.shape) if W is None else np.array(W, dtype=float)
    errors = []
    for step in range(steps + 1):
        AS = A * variances
        ASA = AS @ A.T
        if step % every == 0:
            errors.append(variances.sum() - 2 * (W * AS.T).sum() + (W.T @ W * ASA).sum())
        if step == steps:
            break
        D = B if signal == "feedback alignment" else W.T
        A, W = A + rate * (D * variances - D @ W @ AS), W + rate * (AS.T - W @ ASA)
    return np.array(errors), A, W


def instance(
    shape: tuple[int, int, int], seed: int, target: float = 1.0, feedback: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """A random problem (T, B) of the sizes (n_i, n_h, n_o), drawn as for Fig. 2: T ~ U[-target, target], B ~
    U[-feedback, feedback]."""
    n_i, n_h, n_o = shape
    rng = np.random.default_rng([seed, n_i, n_h, n_o])
    return rng.uniform(-target, target, (n_o, n_i)), rng.uniform(-feedback, feedback, (n_h, n_o))


def balanced_start(T: np.ndarray, B: np.ndarray, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A random start (A, W) with C = 0, eq. 10, other than zero: A = BX and W = (XX'/2 + K) B' with X `(n_o, n_i)` normal of
    that scale and K a random antisymmetric matrix, of the scale of XX'."""
    rng = np.random.default_rng([seed, *T.shape])
    X = scale * rng.standard_normal(T.shape)
    K = rng.standard_normal((len(T), len(T))) * scale**2
    return B @ X, (X @ X.T + K - K.T) @ B.T / 2


def progress(tau: ArrayLike) -> np.ndarray:
    """y at the scaled times `tau` >= 0 (infinity allowed): the solution of y' = 1 - y^3 from y = 0; as `tau`.

    Separating the variables gives tau = F(u) with u = -log(1 - y) and

        F = u/3 + log(1 + y + y^2)/6 + arctan(sqrt(3) y / (2 + y))/sqrt(3),     dF/du = 1/(1 + y + y^2)

    which rises and is concave, with F(u) <= u: Newton's method from u = tau climbs to the root and cannot miss it.
    Raises ValueError for a negative time.
    """
    tau = np.asarray(tau, dtype=float)
    if (tau < 0).any():
        raise ValueError("the closed form begins at time 0; got a negative time")
    finite = np.where(np.isinf(tau), 0.0, tau)
    u = finite.copy()
    for _ in range(20):  # ten reach the last bit
        y = -np.expm1(-u)
        u = u + (finite - _scaled_time(u)) * (1 + y + y * y)
    return np.where(np.isinf(tau), 1.0, -np.expm1(-u))


def _scaled_time(u: np.ndarray) -> np.ndarray:
    """F(u), the scaled time at which 1 - y = exp(-u)."""
    y = -np.expm1(-u)
    return u / 3 + np.log1p(y + y * y) / 6 + np.arctan(np.sqrt(3) * y / (2 + y)) / np.sqrt(3)


def modes(T: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular value decomposition BT = U diag(s) V' without its null part: U `(n_h, r)`, s `(r,)` falling,
    V `(n_i, r)`, r the rank of BT."""
    U, s, Vt = np.linalg.svd(np.asarray(B, dtype=float) @ np.asarray(T, dtype=float), full_matrices=False)
    r = int((s > s[0] * max(U.shape[0], Vt.shape[1]) * np.finfo(float).eps).sum()) if s.size and s[0] > 0 else 0
    return U[:, :r], s[:r], Vt[:r].T


def horizon(T: np.ndarray, B: np.ndarray, error: float) -> float:
    """The time at which the slowest mode of the flow from zero has 1 - y^3 = `error`; there `|E| <= error |T|` if B has full
    column rank. Raises ValueError for an error outside (0, 1) and where BT = 0."""
    if not 0 < error < 1:
        raise ValueError(f"wanted an error between 0 and 1, got {error}")
    _, s, _ = modes(T, B)
    if not s.size:
        raise ValueError("BT is zero: nothing is learned")
    y = np.cbrt(1 - error)
    u = -np.log(error / (1 + y + y * y))  # 1 - y = (1 - y^3)/(1 + y + y^2)
    return float(_scaled_time(u)) / (2 ** (-1 / 3) * s[-1] ** (2 / 3))


def closed_form(T: ArrayLike, B: ArrayLike, t: ArrayLike, S: ArrayLike | None = None) -> Flow:
    """The flow of feedback alignment from A = W = 0 for white inputs, exactly, for any T and B, at the times `t` >= 0
    (infinity allowed: the end state).

    S: a second moment of the inputs of which the right singular vectors of BT are eigenvectors, of values sigma; then each
    lambda is multiplied by its sigma, and all else is the same, but that a mode of sigma 0, which no input has, stays at 0.

    With BT = U diag(s) V', each mode learns by itself: y' = lambda (1 - y^3), lambda = 2^(-1/3) s^(2/3), y(0) = 0, and

        A = U diag((2s)^(1/3) y) V',   W = T V diag((2s)^(-1/3) y^2) U',   E = T - T V diag(y^3) V'

    (derived in notebook 13). At the end BW = 2^(-1/3) (B T T' B')^(1/3), and E = T (I - VV'), which is 0 where B has full
    column rank. Raises ValueError for shapes that do not fit, for negative times, and for an S of another kind.
    """
    T, B, t = (np.asarray(a, dtype=float) for a in (T, B, t))
    if T.ndim != 2 or B.ndim != 2 or t.ndim != 1 or B.shape[1] != T.shape[0]:
        raise ValueError(f"wanted T (n_o, n_i), B (n_h, n_o), t (points,); got {T.shape}, {B.shape}, {t.shape}")
    U, s, V = modes(T, B)
    rates = 2 ** (-1 / 3) * s ** (2 / 3)
    if S is not None:
        turn, sigma = _common_axes(s, V, np.asarray(S, dtype=float))
        U, V, rates = U @ turn, V @ turn, rates * sigma
    seen = rates > 0
    y = np.zeros((len(t), 1, len(rates)))
    y[..., seen] = progress(np.multiply.outer(t, rates[seen]))[:, None]
    return Flow(T, B, t, (U * np.cbrt(2 * s) * y) @ V.T, (T @ V * np.cbrt(2 * s) ** -1 * y**2) @ U.T)


def _common_axes(s: np.ndarray, V: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a rotation among the modes of equal s after which the columns of V are eigenvectors of S, their eigenvalues)."""
    seen = V.T @ S @ V
    tolerance = 1e-9 * max(np.abs(S).max(), np.finfo(float).tiny)
    apart = np.abs(np.subtract.outer(s, s)) > 1e-9 * s.max(initial=0)
    if np.abs(S @ V - V @ seen).max(initial=0) > tolerance or np.abs(seen[apart]).max(initial=0) > tolerance:
        raise ValueError(
            "the closed form wants inputs whose second moment S has the right singular vectors of BT as "
            "eigenvectors (S T'B'BT = T'B'BT S); for others there is integrate"
        )
    turn = np.eye(len(s))
    for group in np.split(np.arange(len(s)), np.flatnonzero(np.diff(s) < -1e-9 * s.max(initial=0)) + 1):
        turn[np.ix_(group, group)] = np.linalg.eigh(seen[np.ix_(group, group)])[1]
    sigma = np.einsum("ik,ij,jk->k", turn, seen, turn)
    return turn, np.where(sigma > len(S) * np.finfo(float).eps * np.abs(S).max(), sigma, 0)  # no rounded nought is learned
