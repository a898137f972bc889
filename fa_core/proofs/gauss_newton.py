"""Supplementary Note 15, eqs. 50-59: pseudobackprop, delta = W^+ e, and the Gauss-Newton step of the hidden units.

    y = W h,   h = sigma(A x),   e = y* - y,   delta_GN = -e_h^+ e = W^+ e                        (eqs. 54, 55)
    dA = eta (delta_GN o D) x',   D = sigma'(A x),   dh = eta D^2 x'x delta_GN + O(eta^2)         (eqs. 57-59)
"""

from dataclasses import dataclass

import numpy as np
import sympy as sp

from fa_core.proofs import DEFINITION, DERIVED, WRONG, Equation
from fa_core.proofs.pseudoinverse import is_pseudoinverse

SHAPES = ((2, 1), (1, 2), (2, 2), (2, 3))  # (n_h, n_o) of the symbolic matrices
INSTANCES = 120
UNITS = {  # sigma and its derivative, as functions of what goes into the unit
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

    def hidden(self, dA=0.0):
        """h = sigma((A + dA) x), `(n_h,)`."""
        return UNITS[self.units][0]((self.A + dA) @ self.x)

    @property
    def D(self):
        """sigma'(A x), `(n_h,)`: at what goes into the unit, and not at its activity h."""
        return UNITS[self.units][1](self.A @ self.x)

    @property
    def e(self):
        """y* - y, `(n_o,)`."""
        return self.target - self.W @ self.hidden()

    @property
    def gauss_newton(self):
        """W^+ e, eq. 55, `(n_h,)`."""
        return np.linalg.pinv(self.W) @ self.e

    def change_of_h(self, delta, rate, D=None):
        """The change of h, eq. 58, when dA = rate (delta o D) x', eq. 57; `(n_h,)`. rate: a number, or one for each
        unit. D: as the network's own, unless another is given."""
        D = self.D if D is None else D
        return self.hidden(np.outer(rate * delta * D, self.x)) - self.hidden()

    def predicted(self, rate):
        """The last line of eq. 59: rate D^2 x'x delta_GN, `(n_h,)`."""
        return rate * self.D**2 * (self.x @ self.x) * self.gauss_newton


def instance(seed: int, units: str = "tanh") -> Network:
    """A random network of random sizes, n_h above or below n_o; W of full rank."""
    rng = np.random.default_rng(seed)
    n_i, n_h, n_o = rng.integers(2, 31), rng.integers(2, 21), rng.integers(2, 11)
    return Network(rng.standard_normal((n_h, n_i)) / np.sqrt(n_i), rng.uniform(-1, 1, (n_o, n_h)),
                   rng.standard_normal(n_i), rng.uniform(-1, 1, n_o), units)


def relative_errors(net: Network, rates, delta=None, D=None):
    """|dh - predicted| / |predicted| (Euclidean) at each rate, `(rates,)`; delta, D: in place of W^+ e and sigma'(A x)."""
    delta = net.gauss_newton if delta is None else delta
    return np.array([np.linalg.norm(net.change_of_h(delta, r, D) - net.predicted(r)) / np.linalg.norm(net.predicted(r))
                     for r in rates])


def slope(rates, errors) -> float:
    """Slope of log(errors) against log(rates), by least squares."""
    return float(np.polyfit(np.log(rates), np.log(errors), 1)[0])


def small_rates(net: Network, points: int = 5):
    """Rates so small that the input of no unit changes by more than 1e-2, down to 1e-4; `(points,)`."""
    largest = np.abs(net.gauss_newton * net.D).max() * (net.x @ net.x)
    return np.logspace(-4, -2, points) / largest


# --- Symbolically ----------------------------------------------------------------------------------------------

def errors_of(n_h: int, n_o: int):
    """h, and e: n_o functions of h about which nothing is assumed."""
    h = sp.Matrix(sp.symbols(f"h0:{n_h}", real=True))
    return h, sp.Matrix([sp.Function(f"e{k}")(*h) for k in range(n_o)])


def _is_zero(M) -> bool:
    return sp.Matrix([M]).applyfunc(lambda m: sp.cancel(sp.expand(m.doit()))).is_zero_matrix


def _eq50():
    """The quadratic that agrees with L to second order at h has its only stationary point at h - L_hh^-1 L_h'."""
    for n in (1, 2, 3):
        g = sp.Matrix(sp.symbols(f"g0:{n}"))
        H = sp.Matrix(n, n, lambda i, j: sp.Symbol(f"H{min(i, j)}{max(i, j)}"))
        d = sp.Matrix(sp.symbols(f"d0:{n}"))
        model = sp.Matrix([(g.T * d)[0] + (d.T * H * d)[0] / 2])
        if not _is_zero(model.jacobian(d).subs(dict(zip(d, -H.inv() * g, strict=True)))):
            return False
    return True


def _eq51():
    for n_h, n_o in SHAPES:
        h, e = errors_of(n_h, n_o)
        L = sp.Matrix([(e.T * e)[0] / 2])
        if not _is_zero(L.jacobian(h) - e.T * e.jacobian(h)):
            return False
    return True


def _eq52():
    """With e'e_hh read as the sum over k of e_k times the Hessian of e_k."""
    for n_h, n_o in SHAPES:
        h, e = errors_of(n_h, n_o)
        L, J = (e.T * e)[0] / 2, e.jacobian(h)
        curvature = sum((e[k] * sp.hessian(e[k], h) for k in range(n_o)), sp.zeros(n_h))
        if not _is_zero(sp.hessian(L, h) - J.T * J - curvature):
            return False
    return True


def jacobian_symbols(n_o: int, n_h: int):
    """A symbolic Jacobian e_h."""
    return sp.Matrix(n_o, n_h, lambda i, j: sp.Symbol(f"J{i}{j}", real=True))


def by_columns(J):
    """(J'J)^-1 J' as numerator and determinant."""
    return (J.T * J).adjugate() * J.T, (J.T * J).det()


def by_rows(J):
    """J' (JJ')^-1 as numerator and determinant."""
    return J.T * (J * J.T).adjugate(), (J * J.T).det()


def _eq53():
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
    return True


def _eq55():
    """e_h = -W for e = y* - W h, and (-W)^+ = -W^+."""
    for n_h, n_o in SHAPES:
        W = jacobian_symbols(n_o, n_h)
        h = sp.Matrix(sp.symbols(f"h0:{n_h}"))
        y = sp.Matrix(sp.symbols(f"y0:{n_o}"))
        N, d = by_columns(W) if n_h <= n_o else by_rows(W)
        if not _is_zero((y - W * h).jacobian(h) + W) or not is_pseudoinverse(W, N, d) or not is_pseudoinverse(-W, -N, d):
            return False
    return True


def symbolic_network(n_i=2, n_h=2, n_o=2, sigma=sp.tanh):
    """A, W, x, y* of symbols, what goes into the units, e and L, for that squashing function."""
    A = sp.Matrix(n_h, n_i, lambda j, i: sp.Symbol(f"A{j}{i}", real=True))
    W = sp.Matrix(n_o, n_h, lambda k, j: sp.Symbol(f"W{k}{j}", real=True))
    x, target = (sp.Matrix(sp.symbols(f"{s}0:{n}", real=True)) for s, n in (("x", n_i), ("t", n_o)))
    a = A * x
    e = target - W * a.applyfunc(sigma)
    return A, W, x, a, e, (e.T * e)[0] / 2


def _eq56():
    """-dL/dA_ji = sum_k e_k W_kj D_j x_i with D at A x, for tanh; with D at h it differs."""
    A, W, x, a, e, L = symbolic_network()
    z = sp.Symbol("z")
    slope = sp.diff(sp.tanh(z), z)
    values = {s: sp.Rational(k + 2, 7) for k, s in enumerate(sorted(L.free_symbols, key=str))}
    for j in range(2):
        for i in range(2):
            signal = sum(e[k] * W[k, j] for k in range(2)) * x[i]
            gradient = -sp.diff(L, A[j, i])
            right, printed = signal * slope.subs(z, a[j]), signal * slope.subs(z, sp.tanh(a[j]))
            if sp.expand(gradient - right) != 0 or abs((gradient - printed).subs(values).evalf()) < 1e-3:
                return False
    return True


def first_order_change():
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


def _eq59():
    first, last, second, (D, _, x) = first_order_change()
    d = sp.Symbol("d")
    holds = sp.expand((first - last).doit()) == 0
    ratio = sp.cancel((second / last).subs(D, d))
    return holds and ratio == sp.cancel(d * (x[0] ** 3 + x[1] ** 3) / (x[0] ** 2 + x[1] ** 2)) and all(
        abs(slope(r, relative_errors(n, r)) - 1) < 0.1
        for n in (instance(s) for s in range(100)) for r in (small_rates(n),))


_shapes = "explicit symbols, n_h x n_o = " + ", ".join(f"{a}x{b}" for a, b in SHAPES)

EQUATIONS = (
    Equation("SI 50", r"\Delta h = -L_{hh}^{-1} L_h^T", DERIVED,
             "stationary point of the second-order model of L, 1, 2 and 3 dimensions, L_hh invertible", _eq50),
    Equation("SI 51", r"L_h = e^T e_h", DERIVED, f"unknown functions e(h), {_shapes}", _eq51),
    Equation("SI 52", r"L_{hh} = e_h^T e_h + e^T e_{hh}", DERIVED,
             f"unknown functions e(h), {_shapes}; e'e_hh is the sum over k of e_k times its Hessian", _eq52),
    Equation("SI 53", r"\Delta h = -(e_h^T e_h)^{-1} e_h^T e = -e_h^+ e", WRONG,
             "determinant and Penrose's four conditions, explicit symbolic Jacobians up to 3x2 and 2x3; for n_h > n_o "
             "the inverse does not exist", _eq53,
             r"-\lim_{\lambda \to 0^+} (e_h^T e_h + \lambda I)^{-1} e_h^T e = -e_h^+ e"),
    Equation("SI 54", r"y = W h = W \sigma(A x)", DEFINITION, "the network"),
    Equation("SI 55", r"\delta_{GN} = -e_h^+ e = W^+ e", DERIVED, f"{_shapes}: n_h <= n_o and n_h > n_o", _eq55),
    Equation("SI 56", r"\Delta A_i^j = \eta \sum_k e^k W_j^k D^j x^i \text{ with } D^j = \sigma'(h^j)", WRONG,
             "the gradient of L for two tanh units, two inputs and two outputs; with D at h it differs", _eq56,
             r"\Delta A_i^j = \eta \sum_k e^k W_j^k D^j x^i \text{ with } D^j = \sigma'(\textstyle\sum_i A_i^j x^i)"),
    Equation("SI 57", r"\Delta A_i^j = \eta \sum_k e^k W_k^+ D^j x^i", DEFINITION,
             "pseudobackprop, where W_k^+ lacks its index j: (W^+)_k^j"),
    Equation("SI 58", r"\Delta h^j = \sigma(\textstyle\sum_i (A_i^j + \Delta A_i^j) x^i) - \sigma(\sum_i A_i^j x^i)",
             DEFINITION, "the change of h"),
    Equation("SI 59", r"\Delta h^j \approx \eta (D^j)^2 \sum_i (x^i)^2 \sum_k e^k W_k^+ D^j x^i "
             r"= \eta (D^j)^2 x^T x\, \delta_{GN}^j", WRONG,
             "first derivative in the rate, any sigma; slope 1 of the relative error on 100 random networks. The last form "
             "holds, the one before it has D^j x^i too often", _eq59,
             r"\Delta h^j \approx \eta (D^j)^2 \sum_i (x^i)^2 \sum_k e^k (W^+)_k^j = \eta (D^j)^2 x^T x\, \delta_{GN}^j"),
)
