"""Supplementary Note 15, eqs. 50-59: pseudobackprop, delta = W^+ e, and the Gauss-Newton step of the hidden units.

y = W h,   h = sigma(A x),   e = y* - y,   delta_GN = -e_h^+ e = W^+ e                        (eqs. 54, 55)
dA = eta (delta_GN o D) x',   D = sigma'(A x),   dh = eta D^2 x'x delta_GN + O(eta^2)         (eqs. 57-59)
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import sympy as sp
from sympy import Inverse, MatrixSymbol, Trace

from fa_core.proofs import DEFINITION, DERIVED, WRONG, Equation, pseudoinverse
from fa_core.proofs.convergence import equal, rate
from fa_core.proofs.reading import World, held_in, kept

SHAPES = ((2, 1), (1, 2), (2, 2), (2, 3))  # (n_h, n_o) of the symbolic matrices
INSTANCES = 120
UNITS: dict[str, tuple[Callable, Callable]] = {  # sigma and its derivative, as functions of what goes into the unit
    "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "logistic": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "linear": (lambda a: a, np.ones_like),
}


# --- Numerically -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """One network and one pair: A `(n_h, n_i)`, W `(n_o, n_h)`, x `(n_i,)`, target `(n_o,)`; units as in UNITS."""

    A: np.ndarray
    W: np.ndarray
    x: np.ndarray
    target: np.ndarray
    units: str = "tanh"

    def hidden(self, dA: np.ndarray | float = 0.0) -> np.ndarray:
        """h = sigma((A + dA) x), `(n_h,)`."""
        return UNITS[self.units][0]((self.A + dA) @ self.x)

    @property
    def D(self) -> np.ndarray:
        """sigma'(A x), `(n_h,)`: at what goes into the unit, and not at its activity h."""
        return UNITS[self.units][1](self.A @ self.x)

    @property
    def e(self) -> np.ndarray:
        """y* - y, `(n_o,)`."""
        return self.target - self.W @ self.hidden()

    @property
    def gauss_newton(self) -> np.ndarray:
        """W^+ e, eq. 55, `(n_h,)`."""
        return np.linalg.pinv(self.W) @ self.e

    def change_of_h(self, delta: np.ndarray, rate: float | np.ndarray, D: np.ndarray | None = None) -> np.ndarray:
        """The change of h, eq. 58, when dA = rate (delta o D) x', eq. 57; `(n_h,)`. rate: a number, or one for each
        unit. D: as the network's own, unless another is given."""
        D = self.D if D is None else D
        return self.hidden(np.outer(rate * delta * D, self.x)) - self.hidden()

    def predicted(self, rate: float | np.ndarray) -> np.ndarray:
        """The last line of eq. 59: rate D^2 x'x delta_GN, `(n_h,)`."""
        return rate * self.D**2 * (self.x @ self.x) * self.gauss_newton


def instance(seed: int, units: str = "tanh") -> Network:
    """A random network of random sizes, n_h above or below n_o; W of full rank."""
    rng = np.random.default_rng(seed)
    n_i, n_h, n_o = rng.integers(2, 31), rng.integers(2, 21), rng.integers(2, 11)
    return Network(
        rng.standard_normal((n_h, n_i)) / np.sqrt(n_i),
        rng.uniform(-1, 1, (n_o, n_h)),
        rng.standard_normal(n_i),
        rng.uniform(-1, 1, n_o),
        units,
    )


def relative_errors(
    net: Network, rates: np.ndarray, delta: np.ndarray | None = None, D: np.ndarray | None = None
) -> np.ndarray:
    """|dh - predicted| / |predicted| (Euclidean) at each rate, `(rates,)`; delta, D: in place of W^+ e and sigma'(A x)."""
    delta = net.gauss_newton if delta is None else delta
    return np.array(
        [np.linalg.norm(net.change_of_h(delta, r, D) - net.predicted(r)) / np.linalg.norm(net.predicted(r)) for r in rates]
    )


def slope(rates: np.ndarray, errors: np.ndarray) -> float:
    """Slope of log(errors) against log(rates), by least squares."""
    return float(np.polyfit(np.log(rates), np.log(errors), 1)[0])


def small_rates(net: Network, points: int = 5) -> np.ndarray:
    """Rates so small that the input of no unit changes by more than 1e-2, down to 1e-4; `(points,)`."""
    largest = np.abs(net.gauss_newton * net.D).max() * (net.x @ net.x)
    return np.logspace(-4, -2, points) / largest


# --- Symbolically ----------------------------------------------------------------------------------------------


def errors_of(n_h: int, n_o: int) -> tuple[sp.Matrix, sp.Matrix]:
    """h, and e: n_o functions of h about which nothing is assumed."""
    h = sp.Matrix(sp.symbols(f"h0:{n_h}", real=True))
    return h, sp.Matrix([sp.Function(f"e{k}")(*h) for k in range(n_o)])


def _is_zero(M: sp.Expr) -> bool:
    return sp.Matrix([M]).applyfunc(lambda m: sp.cancel(sp.expand(m.doit()))).is_zero_matrix


@cache
def any_size() -> dict:
    """Symbols of symbolic size: L_hh, symmetric and with an inverse, directions of h, e, e_h, W and W^+; and their rules."""
    n_o, n_h = pseudoinverse.n_o, pseudoinverse.n_h
    H, J, W, P = (MatrixSymbol(*a) for a in (("H", n_h, n_h), ("J", n_o, n_h), ("W", n_o, n_h), ("P", n_h, n_o)))
    rules = {(H.T,): (H,), (Inverse(H), H): (), (W, P, W): (W,), (P, W, P): (P,), (P.T, W.T): (W, P), (W.T, P.T): (P, W)}
    column = {
        name: MatrixSymbol(name, n, 1)
        for name, n in (("h", n_h), ("d", n_h), ("s", n_h), ("g", n_h), ("e", n_o), ("y*", n_o))
    }
    return column | {"H": H, "J": J, "W": W, "W+": P, "rules": rules}


def _eq50() -> bool:
    """The quadratic that agrees with L to second order at h has its only stationary point at h - L_hh^-1 L_h': its slope
    along any direction is tr((L_h' + L_hh dh)' direction)."""
    s = any_size()
    model = Trace(s["g"].T * s["s"]) + Trace(s["s"].T * s["H"] * s["s"]) / 2
    return equal(rate(model, {s["s"]: s["d"]}), Trace((s["g"] + s["H"] * s["s"]).T * s["d"]), s["rules"])


def _eq51() -> bool:
    """L = e'e/2 changes by e'e_h times the change of h, as e does by e_h times it."""
    s = any_size()
    return equal(rate(Trace(s["e"].T * s["e"]) / 2, {s["e"]: s["J"] * s["d"]}), Trace(s["e"].T * s["J"] * s["d"]))


def jacobian_symbols(n_o: int, n_h: int) -> sp.Matrix:
    """A symbolic Jacobian e_h."""
    return sp.Matrix(n_o, n_h, lambda i, j: sp.Symbol(f"J{i}{j}", real=True))


def is_pseudoinverse(M: sp.Matrix, N: sp.Matrix, d: sp.Expr = 1) -> bool:
    """Whether N / d is the Moore-Penrose inverse of M, explicit matrices of symbols, by the four conditions of Penrose; d is
    not to be identically zero."""
    return sp.expand(d) != 0 and all(
        map(_is_zero, (M * N * M - d * M, N * M * N - d * N, (M * N).T - M * N, (N * M).T - N * M))
    )


def by_columns(J: sp.Matrix) -> tuple[sp.Matrix, sp.Expr]:
    """(J'J)^-1 J' as numerator and determinant."""
    return (J.T * J).adjugate() * J.T, (J.T * J).det()


def by_rows(J: sp.Matrix) -> tuple[sp.Matrix, sp.Expr]:
    """J' (JJ')^-1 as numerator and determinant."""
    return J.T * (J * J.T).adjugate(), (J * J.T).det()


def damped_inverse_holds() -> bool:
    """For matrices of symbolic size and any rank: where J = U D V' without its null part, (J'J + lambda)^-1 J' = V K D U'
    with K = (D^2 + lambda)^-1, which is continuous at lambda = 0, where V D^-1 U' is J^+."""
    r, lam = sp.Symbol("r", integer=True, positive=True), sp.Symbol("lambda", positive=True)
    U, V = MatrixSymbol("U", pseudoinverse.n_o, r), MatrixSymbol("V", pseudoinverse.n_h, r)
    D, K, inverse = (MatrixSymbol(name, r, r) for name in ("D", "K", "D^-1"))  # diagonal
    rules = {(U.T, U): (), (V.T, V): (), (D.T,): (D,), (inverse.T,): (inverse,), (D, inverse): (), (inverse, D): ()}
    J, X = U * D * V.T, V * K * D * U.T
    return equal(J.T * J * X + lam * X, V * (D * D + lam * sp.Identity(r)) * K * D * U.T, rules) and (
        pseudoinverse.is_pseudoinverse(J, V * inverse * U.T, rules)
    )


def _eq53() -> bool:
    """(J'J)^-1 J' = J^+ where J has full column rank (n_h <= n_o); for n_h > n_o, J'J has determinant 0. The limit of
    (J'J + lambda)^-1 J' as lambda goes to 0 is J^+ in either case."""
    lam = sp.Symbol("lambda", positive=True)
    for n_o, n_h in ((1, 1), (2, 1), (2, 2), (3, 2)):
        J = jacobian_symbols(n_o, n_h)
        if not is_pseudoinverse(J, *by_columns(J)):
            return False
    for n_o, n_h in ((1, 2), (2, 3)):
        J = jacobian_symbols(n_o, n_h)
        if sp.expand((J.T * J).det()) != 0 or not is_pseudoinverse(J, *by_rows(J)):
            return False
        # (J'J + lambda)^-1 J' = J' (JJ' + lambda)^-1, of which the right side is continuous at 0.
        if not _is_zero((J.T * J + lam * sp.eye(n_h)) * J.T - J.T * (J * J.T + lam * sp.eye(n_o))):
            return False
    return damped_inverse_holds()


def _eq55() -> bool:
    """e_h = -W for e = y* - W h, and (-W)^+ = -W^+."""
    s = any_size()
    return equal(rate(s["y*"] - s["W"] * s["h"], {s["h"]: s["d"]}), -s["W"] * s["d"]) and pseudoinverse.is_pseudoinverse(
        -s["W"], -s["W+"], s["rules"]
    )


def symbolic_network(n_i: int = 2, n_h: int = 2, n_o: int = 2, sigma: Callable = sp.tanh) -> tuple:
    """A, W, x, y* of symbols, what goes into the units, e and L, for that squashing function."""
    A = sp.Matrix(n_h, n_i, lambda j, i: sp.Symbol(f"A{j}{i}", real=True))
    W = sp.Matrix(n_o, n_h, lambda k, j: sp.Symbol(f"W{k}{j}", real=True))
    x, target = (sp.Matrix(sp.symbols(f"{s}0:{n}", real=True)) for s, n in (("x", n_i), ("t", n_o)))
    a = A * x
    e = target - W * a.applyfunc(sigma)
    return A, W, x, a, e, (e.T * e)[0] / 2


def _eq56() -> bool:
    """-dL/dA = ((W'e) o D) x' with D the slope at A x, for matrices of symbolic size; element by element for tanh and the
    logistic unit, identically; with D at h it differs."""
    s = any_size()
    n_i, n_h = pseudoinverse.n_i, pseudoinverse.n_h
    x, move = MatrixSymbol("x", n_i, 1), MatrixSymbol("X", n_h, n_i)  # of A
    D = MatrixSymbol("D", n_h, n_h)  # diagonal: h moves by D times what goes into the units
    e = s["y*"] - s["W"] * s["h"]
    slope = rate(Trace(e.T * e) / 2, {s["h"]: D * move * x})
    if not equal(slope, -Trace((D * s["W"].T * e * x.T).T * move), {(D.T,): (D,)}):
        return False
    z = sp.Symbol("z")
    for unit in (sp.tanh(z), 1 / (1 + sp.exp(-z))):
        A, W, x, a, e, L = symbolic_network(sigma=lambda v, unit=unit: unit.subs(z, v))
        slope = sp.diff(unit, z)
        values = {s: sp.Rational(k + 2, 7) for k, s in enumerate(sorted(L.free_symbols, key=str))}
        for j, i in ((0, 0), (1, 0), (0, 1), (1, 1)):
            signal = sum(e[k] * W[k, j] for k in range(2)) * x[i]
            gradient = -sp.diff(L, A[j, i])
            right, printed = signal * slope.subs(z, a[j]), signal * slope.subs(z, unit.subs(z, a[j]))
            if sp.expand(gradient - right) != 0 or abs((gradient - printed).subs(values).evalf()) < 1e-3:
                return False
    return True


def first_order_change() -> tuple:
    """For two inputs and a squashing function about which nothing is assumed: the derivative at eta = 0 of the change
    of h_j, the last line of eq. 59, and its second line as printed, all over eta, in the symbols given last."""
    sigma = sp.Function("sigma")
    delta, eta, a, z = sp.symbols("delta eta a z", real=True)  # delta: the element j of W^+ e; a: what goes into unit j
    x = sp.Matrix(sp.symbols("x0:2", real=True))
    D = sigma(z).diff(z).subs(z, a)
    dA = [eta * delta * D * xi for xi in x]
    change = sigma(a + sum(d * xi for d, xi in zip(dA, x, strict=True))) - sigma(a)
    first = change.diff(eta).subs(eta, 0).doit()
    last = D**2 * (x.T * x)[0] * delta
    second = D**2 * sum(xi**2 * delta * D * xi for xi in x)
    return sp.expand(first), last, second, (D, delta, x)


def _eq59() -> bool:
    first, last, second, (D, _, x) = first_order_change()
    d = sp.Symbol("d")
    holds = sp.expand((first - last).doit()) == 0
    ratio = sp.cancel((second / last).subs(D, d))
    return (
        holds
        and ratio == sp.cancel(d * (x[0] ** 3 + x[1] ** 3) / (x[0] ** 2 + x[1] ** 2))
        and all(
            abs(slope(r, relative_errors(n, r)) - 1) < 0.1
            for n in (instance(s) for s in range(100))
            for r in (small_rates(n),)
        )
    )


# --- The worlds in which what the page shows is evaluated ----------------------------------------------------------


def second_order_models() -> list[World]:
    """Symbols: the stationary point of the second-order model of L, d from h; L_h is the one that makes it stationary."""
    s = any_size()
    return [
        {
            "L_{hh}": s["H"],
            "L_h": -(s["H"] * s["d"]).T,
            r"\Delta h": s["d"],
            "equal": lambda difference, slack: equal(difference, slack, s["rules"]),
        }
    ]


def any_errors() -> list[World]:
    """Symbols: e and its derivative, of any size, and the derivative of L that `_eq51` shows to be it."""
    s = any_size()
    return [{"e": s["e"], "e_h": s["J"], "L_h": s["e"].T * s["J"], "equal": equal}]


def along_a_line() -> list[World]:
    """Symbols, e of any size: h moves along a line, and is the one number that says how far. e_h, e_hh are the first and
    the second derivative of e along it, of L the rates. A symmetric matrix of any size is known from what it does along
    every line, and both sides of eq. 52 are symmetric."""
    e, first, second = (MatrixSymbol(name, pseudoinverse.n_o, 1) for name in ("e", "e_h", "e_hh"))
    moving = {e: first, first: second}
    L_h = rate(Trace(e.T * e) / 2, moving)
    return [{"e": e, "e_h": first, "e_{hh}": second, "L_h": L_h, "L_{hh}": rate(L_h, moving), "equal": equal}]


@kept
def unknown_errors() -> Iterator[World]:
    """Unknown functions e(h), with L and the derivatives of both; e_hh is the stack of the second ones of each e_k."""
    for shape in SHAPES:
        h, e = errors_of(*shape)
        L = (e.T * e)[0] / 2
        yield {
            "e": e,
            "e_h": e.jacobian(h),
            "e_{hh}": tuple(sp.hessian(e_k, h) for e_k in e),
            "L_h": sp.Matrix([L]).jacobian(h),
            "L_{hh}": sp.hessian(L, h),
        }


@kept
def damped_steps() -> Iterator[World]:
    """Random Jacobians with singular values from 1 to 2, n_h below, equal to and above n_o: the Gauss-Newton step, as the
    least-squares solution."""
    for seed, (n_h, n_o) in itertools.product(range(10), ((2, 1), (1, 2), (3, 3), (5, 2), (2, 4))):
        rng = np.random.default_rng([seed, n_h, n_o])
        U, _, V = np.linalg.svd(rng.standard_normal((n_o, n_h)), full_matrices=False)
        J, e = U * rng.uniform(1, 2, min(n_o, n_h)) @ V, rng.standard_normal((n_o, 1))
        step = np.linalg.lstsq(J, -e, rcond=None)[0]
        yield {
            "e_h": J,
            "e": e,
            r"\Delta h": step,
            "I": np.eye(n_h),
            "limits": {r"\lambda\to0^+": {r"\lambda": 1e-6}},
            "tolerance": 1e-5,
        }


def _central(f: Callable[[np.ndarray], float], shape: tuple[int, ...], step: float = 1e-5) -> np.ndarray:
    """The derivative of a number by a matrix of that shape, by central differences."""
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.array([(f(step * u) - f(-step * u)) / (2 * step) for u in units]).reshape(shape)


def networks(rate: float = 1e-6) -> Iterator[World]:
    """Random networks of random sizes and three kinds of unit, with what backprop and pseudobackprop change at that rate."""
    for seed, units in itertools.product(range(8), UNITS):
        net = instance(seed, units)
        net = replace(net, A=net.A[:4, :3], W=net.W[:3, :4], x=net.x[:3], target=net.target[:3])

        def loss(dA: np.ndarray, net: Network = net) -> float:
            return ((net.target - net.W @ net.hidden(dA)) ** 2).sum() / 2

        n_h, n_i = net.A.shape
        pseudo = rate * np.outer(net.gauss_newton * net.D, net.x)
        column = {"h": net.hidden(), "x": net.x, "e": net.e, "y": net.target - net.e, r"\delta_{GN}": net.gauss_newton}
        sigma, slope = UNITS[units]
        yield {k: v[:, None] for k, v in column.items()} | {
            "A": net.A,
            "W": net.W,
            "D": net.D,
            r"\eta": rate,
            r"\sigma": sigma,
            r"\sigma'": slope,
            "e_h": -net.W,
            "gradient": -rate * _central(loss, net.A.shape),
            "pseudo": pseudo,
            r"\Delta h": net.change_of_h(net.gauss_newton, rate),
            "tolerance": 1e-5,
            "index": {"i": n_i, "j": n_h, "k": len(net.W)},
        }


def changing(which: str) -> Callable[[], Iterator[World]]:
    """The networks with the change of A that is the "gradient" or the "pseudo" one."""
    return lambda: (world | {r"\Delta A": world[which]} for world in networks())


def as_matrices() -> Iterator[World]:
    """The networks without indices: names stand for whole matrices."""
    return ({name: value for name, value in world.items() if name != "index"} for world in networks())


_shapes = "n_h x n_o = " + ", ".join(f"{a}x{b}" for a, b in SHAPES)

EQUATIONS = (
    Equation(
        "SI 50",
        r"\Delta h = -L_{hh}^{-1} L_h^{\mathsf T}",
        DERIVED,
        "stationary point of the second-order model of L, L_hh invertible",
        held_in(second_order_models, also=_eq50),
    ),
    Equation(
        "SI 51",
        r"L_h = e^{\mathsf T} e_h",
        DERIVED,
        f"the chain rule; and unknown functions e(h), {_shapes}",
        held_in(any_errors, along_a_line, unknown_errors, also=_eq51),
    ),
    Equation(
        "SI 52",
        r"L_{hh} = e_h^{\mathsf T} e_h + e^{\mathsf T} e_{hh}",
        DERIVED,
        f"along every line through h, which fixes a symmetric matrix; and unknown functions e(h), {_shapes}, where "
        "e'e_hh is the sum over k of e_k times its Hessian",
        held_in(along_a_line, unknown_errors),
    ),
    Equation(
        "SI 53",
        r"\Delta h = -(e_h^{\mathsf T} e_h)^{-1} e_h^{\mathsf T} e = -e_h^+ e",
        WRONG,
        "for n_h > n_o the rank of e_h'e_h is at most n_o, and the inverse does not exist; the limit by singular "
        "vectors and Penrose's four conditions, all sizes; explicit symbolic Jacobians up to 3x2 and 2x3; 50 random "
        "ones",
        held_in(damped_steps, also=_eq53),
        r"\Delta h = -\lim_{\lambda \to 0^+} (e_h^{\mathsf T} e_h + \lambda I)^{-1} e_h^{\mathsf T} e = -e_h^+ e",
    ),
    Equation("SI 54", r"y = W h = W \sigma(A x)", DEFINITION, "the network", held_in(as_matrices)),
    Equation(
        "SI 55",
        r"\delta_{GN} = -e_h^+ e = W^+ e",
        DERIVED,
        "e_h = -W, and (-W)+ = -W+ by Penrose's four conditions; and as numbers",
        held_in(as_matrices, also=_eq55),
    ),
    Equation(
        "SI 56",
        r"\Delta A_i^j = \eta \sum_k e^k W_j^k D^j x^i \text{ with } D^j = \sigma'(h^j)",
        WRONG,
        "the gradient of L by the chain rule, all sizes; element by element for two tanh or logistic units, two inputs "
        "and two outputs, and in 24 random networks of tanh, logistic and linear units; with D at h it differs",
        held_in(changing("gradient"), also=_eq56),
        r"\Delta A_i^j = \eta \sum_k e^k W_j^k D^j x^i \text{ with } D^j = \sigma'(\sum_i A_i^j x^i)",
    ),
    Equation(
        "SI 57",
        r"\Delta A_i^j = \eta \sum_k e^k W_k^+ D^j x^i",
        WRONG,
        "pseudobackprop as it is run, 24 random networks: W_k^+ lacks its index j",
        held_in(changing("pseudo")),
        r"\Delta A_i^j = \eta \sum_k e^k (W^+)_k^j D^j x^i",
    ),
    Equation(
        "SI 58",
        r"\Delta h^j = \sigma(\sum_i (A_i^j + \Delta A_i^j) x^i) - \sigma(\sum_i A_i^j x^i)",
        DEFINITION,
        "the change of h",
        held_in(changing("pseudo")),
    ),
    Equation(
        "SI 59",
        r"\Delta h^j \approx \eta (D^j)^2 \sum_i (x^i)^2 \sum_k e^k W_k^+ D^j x^i "
        r"= \eta (D^j)^2 x^{\mathsf T} x\, \delta_{GN}^j",
        WRONG,
        "first derivative in the rate, any sigma; slope 1 of the relative error on 100 random networks. The last form "
        "holds, the one before it has D^j x^i too often",
        held_in(changing("pseudo"), also=_eq59),
        r"\Delta h^j \approx \eta (D^j)^2 \sum_i (x^i)^2 \sum_k e^k (W^+)_k^j "
        r"= \eta (D^j)^2 x^{\mathsf T} x\, \delta_{GN}^j",
    ),
)
