"""Deeper networks: L matrices of weights W_1 ... W_L, y = W_L ... W_1 x, and chains of feedback C_l = B_l C_{l+1}, C_L = I.

    dW_l/dt = C_l E S P_{l-1}',   P_l = W_l ... W_1,   E = T - P_L
    B_l W_{l+1} + W_{l+1}'B_l' - W_l W_l' is constant, for each hidden layer l, any start and any inputs

From zero and for white inputs, where the matrices T'C_l'C_l T commute, each mode is y' = lambda (1 - y^N), N = 2^L - 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from sympy import MatrixSymbol, ZeroMatrix

from fa_core.proofs.convergence import equal, rate

# Two neighbouring layers within the chain: V below, U above; F = C_{l+1} E S, X = P_{l-1}.
_sizes = sp.symbols("n_above n_here n_below n_x", integer=True, positive=True)
ABOVE, HERE, BELOW, INPUT = _sizes
U, V = MatrixSymbol("U", ABOVE, HERE), MatrixSymbol("V", HERE, BELOW)
B, F, X = MatrixSymbol("B", HERE, ABOVE), MatrixSymbol("F", ABOVE, INPUT), MatrixSymbol("X", BELOW, INPUT)
LAW = {U: F * (V * X).T, V: B * F * X.T}
KEPT = B * U + U.T * B.T - V * V.T


def CHI(below: Any, here: Any, before: Any) -> Any:
    """chi_l from chi_{l-1}, where a_l = chi_l a_1^(2^(l-1)); |C_l T v| of the layer below and of this one."""
    return here / (2 * below) * before**2


def EXPONENT(layers: int) -> int:
    """The power of y in the product of the weights."""
    return 2**layers - 1


def algebra(layers: Iterable[int] = (2, 3, 4)) -> dict[str, bool]:
    """What the theorems take from algebra, by name, and whether SymPy confirms it."""
    found = {"B U + U'B' - V V' is constant": equal(rate(KEPT, LAW), ZeroMatrix(HERE, HERE))}
    y = sp.Symbol("y", positive=True)
    for count in layers:
        q = sp.symbols(f"q1:{count}", positive=True)
        rates, scales = _mode(sp.Matrix([[x] for x in q]), sp)
        a = [scales[j][0] * y ** (2**j) for j in range(count)]
        product = sp.prod(a)
        speed = rates[0] * (1 - y ** EXPONENT(count))
        norms = [*q, sp.Integer(1)]
        wanted = [norms[j] * (1 - product) * sp.prod(a[:j]) for j in range(count)]
        found[f"{count} layers: y' = lambda (1 - y^{2**count - 1})"] = all(
            sp.simplify(sp.powsimp(a[j].diff(y) * speed - wanted[j], force=True)) == 0 for j in range(count)
        )
    return found


def _mode(norms: Any, lib: Any = np) -> tuple[Any, list]:
    """(lambda, [scale of a_1, ..., a_L]) with a_l = scale_l y^(2^(l-1)); norms `(L - 1, modes)`: |C_l T v|."""
    layers, modes = norms.shape[0] + 1, norms.shape[1]
    rates: list = []
    scales: list[list] = [[] for _ in range(layers)]
    for m in range(modes):
        q = [norms[j, m] for j in range(layers - 1)] + [1]
        chi = [sp.Integer(1) if lib is sp else 1.0]
        for j in range(1, layers):
            chi.append(CHI(q[j - 1], q[j], chi[-1]))
        total = chi[0]
        for value in chi[1:]:
            total = total * value
        power = sp.Rational(-1, 2**layers - 1) if lib is sp else -1.0 / (2**layers - 1)
        first = total**power
        rates.append(q[0] / first)
        for j in range(layers):
            scales[j].append(chi[j] * first ** (2**j))
    return rates, scales


@dataclass(frozen=True)
class Chain:
    """A problem: T `(n_L, n_0)` and the feedback B_l `(n_l, n_{l+1})` of hidden layers l = 1 to L - 1."""

    T: np.ndarray
    B: tuple

    @property
    def C(self) -> list:
        """C_1, ..., C_{L-1}, C_L = I."""
        found = [np.eye(len(self.T))]
        for b in reversed(self.B):
            found.append(b @ found[-1])
        return found[::-1]

    @property
    def shapes(self) -> list:
        """Of W_1, ..., W_L."""
        sizes = [self.T.shape[1], *(len(c) for c in self.C)]
        return [(after, before) for before, after in pairwise(sizes)]


def integrate(
    chain: Chain, weights: Sequence[np.ndarray], t: Sequence[float] | np.ndarray, S: np.ndarray | None = None
) -> list:
    """The flow from `weights`, W_1 to W_L, through the times `t`: for each matrix its course, `(points, rows, columns)`.
    Raises ValueError for numbers that are not finite, with which SciPy may go on for ever."""
    if not all(np.isfinite(m).all() for m in (chain.T, *chain.B, *weights, 0 if S is None else S)):
        raise ValueError("the chain, its weights and S want finite numbers")
    shapes, C = chain.shapes, chain.C
    ends = np.cumsum([r * c for r, c in shapes])[:-1]

    def unpack(flat: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    def field(_: float, flat: np.ndarray) -> np.ndarray:
        below, products = unpack(flat), [np.eye(chain.T.shape[1])]
        for w in below:
            products.append(w @ products[-1])
        error = chain.T - products[-1]
        error = error if S is None else error @ S
        return np.concatenate([(c @ error @ product.T).ravel() for c, product in zip(C, products[:-1], strict=True)])

    solved = solve_ivp(
        field, (t[0], t[-1]), np.concatenate([np.ravel(w) for w in weights]), "DOP853", t, rtol=1e-10, atol=1e-13
    )
    if not solved.success:
        raise RuntimeError(f"the integrator stopped at time {solved.t[-1]:g} of {t[-1]:g}: {solved.message}")
    return [np.stack(course) for course in zip(*(unpack(flat) for flat in solved.y.T), strict=True)]


def kept(chain: Chain, weights: Sequence[np.ndarray]) -> list:
    """B_l W_{l+1} + W_{l+1}'B_l' - W_l W_l' of each hidden layer, for weights with or without leading axes."""
    products = [b @ upper for b, upper in zip(chain.B, weights[1:], strict=True)]
    return [x + x.mT - lower @ lower.mT for x, lower in zip(products, weights[:-1], strict=True)]


def progress(tau: np.ndarray, layers: int) -> np.ndarray:
    """The solution of y' = 1 - y^N from 0, N = 2^layers - 1, at increasing times `tau`."""
    power = EXPONENT(layers)
    return solve_ivp(lambda _, y: 1 - y**power, (0, max(tau[-1], 1e-12)), [0.0], "DOP853", tau, rtol=1e-12, atol=1e-14).y[0]


def closed_form(chain: Chain, t: Sequence[float] | np.ndarray) -> list:
    """The flow from zero for white inputs, at the increasing times `t` from 0, as `integrate` gives it.

    Raises ValueError where the matrices T'C_l'C_l T do not commute, for which no closed form is known.
    """
    t, (V, left, norms) = np.asarray(t, dtype=float), _axes(chain)
    rates, scales = _mode(norms)
    y = np.stack([progress(t * r, len(chain.B) + 1) for r in rates], axis=1)
    right = [V, *left[:-1]]
    return [
        np.einsum("ik,pk,jk->pij", up, np.array(scales[j]) * y ** (2**j), down)
        for j, (up, down) in enumerate(zip(left, right, strict=True))
    ]


def speeds(chain: Chain) -> np.ndarray:
    """lambda of each mode, in the order of the singular values of C_1 T. Raises ValueError as `closed_form` does."""
    return np.array(_mode(_axes(chain)[-1])[0])


def _axes(chain: Chain) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """(V, [U_1, ..., U_{L-1}, TV], |C_l T v_k| `(L - 1, modes)`)."""
    T, C = chain.T, chain.C
    _, s, Vt = np.linalg.svd(C[0] @ T, full_matrices=False)
    Vt = Vt[s > 1e-12 * s.max(initial=1e-300)]
    columns = [c @ T @ Vt.T for c in C[:-1]]
    grams = [x.T @ x for x in columns]
    if any(np.abs(g - np.diag(np.diag(g))).max(initial=0) > 1e-8 * np.abs(g).max() for g in grams):
        raise ValueError("the closed form wants matrices T'C_l'C_l T that commute; for others there is integrate")
    norms = np.array([np.linalg.norm(x, axis=0) for x in columns])
    return Vt.T, [x / n for x, n in zip(columns, norms, strict=True)] + [T @ Vt.T], norms


# --- ReLU: the law of a unit, with each signal gated by its layer or not


def relu_balance_rates(seed: int, gated: bool, examples: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In a network of rectifiers, 6-8-7-3, on random examples: the rate of change of b_j . w_j(out) - |w_j(in)|^2 / 2 of
    each unit of the lower hidden layer, `(8,)`, and of the upper, `(7,)`; and for the lower what the theorem states.

    gated: delta_1 = B_1 (delta_2 o f'), the signal that moves the weights above; else B_1 delta_2, as in the Methods."""
    rng = np.random.default_rng(seed)
    sizes = (6, 8, 7, 3)
    w1, w2, w3 = (rng.standard_normal((b, a)) for a, b in pairwise(sizes))
    b1, b2 = rng.standard_normal((8, 7)), rng.standard_normal((7, 3))
    x, target = rng.standard_normal((6, examples)), rng.standard_normal((3, examples))
    a1 = w1 @ x
    h1, g1 = np.maximum(a1, 0), a1 > 0
    a2 = w2 @ h1
    h2, g2 = np.maximum(a2, 0), a2 > 0
    e = target - w3 @ h2
    d2 = b2 @ e
    d1 = b1 @ (d2 * g2 if gated else d2)
    rates = (d1 * g1) @ x.T, (d2 * g2) @ h1.T, e @ h2.T
    lower = (b1 * rates[1].T).sum(1) - (w1 * rates[0]).sum(1)
    upper = (b2 * rates[2].T).sum(1) - (w2 * rates[1]).sum(1)
    stated = -((b1 @ (d2 * (1 - g2))) * h1).sum(1) if not gated else np.zeros(8)
    return lower, upper, stated
