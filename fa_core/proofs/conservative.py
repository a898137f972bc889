"""Supplementary Note 16, eqs. 60-79: the flow of feedback alignment is not the gradient of any function.

    y = W h + b,   h = sigma(a),   a = A x + c,   e = y* - y,   L = e'e / 2                       (eqs. 60-63)

    dW = eta sum e h',   db = eta sum e,   dA = eta sum ((M e) o D) x',   dc = eta sum (M e) o D,   D = sigma'(a)

with M = W' for backprop (eqs. 64-67) and M = B for feedback alignment (eqs. 69-72).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from sympy import MatrixSymbol, Trace

from fa_core.proofs import CHECKED, DEFINITION, DERIVED, WRONG, Equation, convergence
from fa_core.proofs.reading import World, held_in, kept

PARAMETERS = ("W", "b", "A", "c")
INSTANCES = 100


# --- The scalar case, eqs. 75-79 ---------------------------------------------------------------------------------

W, A, b, c, B, x, target = sp.symbols("W A b c B x y_*", real=True)
THETA = sp.Matrix([W, b, A, c])
CENTRE, RADIUS = sp.symbols("W_c A_c", real=True), sp.Symbol("r", positive=True)  # of a circle in the (W, A) plane
h = A * x + c
e = target - W * h - b


def scalar_flow(M: sp.Expr = B) -> sp.Matrix:
    """dW/dt, db/dt, dA/dt, dc/dt of a chain of three linear units and one pair; M = W for backprop."""
    return sp.Matrix([e * h, e, M * e * x, M * e])


def jacobian(M: sp.Expr = B) -> sp.Matrix:
    """d theta-dot / d theta, the order of both W, b, A, c: what eq. 79 is to be."""
    return scalar_flow(M).jacobian(THETA).applyfunc(sp.expand)


def printed_jacobian() -> sp.Matrix:
    """Eq. 79 as printed, h and e written out."""
    return sp.Matrix(
        [
            [h**2, -h, -W * x * h + e * x, -W + e],
            [-h, -1, -W * x, -W],
            [-B * h * x, -B * x, -B * W * x**2, -B * W * x],
            [-B * h, -B, -B * W * x, -B * W],
        ]
    ).applyfunc(sp.expand)


def pairs_that_differ(J: sp.Matrix) -> list[tuple[str, str]]:
    """The pairs across the diagonal of a 4 x 4 Jacobian that are not identically equal, by the names of parameters."""
    return [(PARAMETERS[i], PARAMETERS[j]) for i in range(4) for j in range(i + 1, 4) if sp.expand(J[i, j] - J[j, i]) != 0]


def curl(M: sp.Expr = B) -> sp.Expr:
    """d(dA/dt)/dW - d(dW/dt)/dA of the flow without biases: the work around a small loop, per area."""
    flow = scalar_flow(M).subs({b: 0, c: 0})
    return sp.expand(sp.diff(flow[2], W) - sp.diff(flow[0], A))


def work_around_circle(M: sp.Expr = B) -> sp.Expr:
    """The line integral of (dW/dt, dA/dt), without biases, once anticlockwise around the circle of RADIUS about CENTRE."""
    phi = sp.Symbol("phi")
    flow = scalar_flow(M).subs({b: 0, c: 0})
    point = {W: CENTRE[0] + RADIUS * sp.cos(phi), A: CENTRE[1] + RADIUS * sp.sin(phi)}
    along = flow[0] * -sp.sin(phi) + flow[2] * sp.cos(phi)
    integrand = sp.expand((along * RADIUS).subs(point, simultaneous=True))
    return sp.expand(sp.integrate(integrand, (phi, 0, 2 * sp.pi)))


def curl_in_the_disc(M: sp.Expr = B) -> sp.Expr:
    """The integral of the curl over the disc within that circle."""
    rho, phi = sp.symbols("rho phi", positive=True)
    inside = curl(M).subs({W: CENTRE[0] + rho * sp.cos(phi), A: CENTRE[1] + rho * sp.sin(phi)}, simultaneous=True)
    return sp.expand(sp.integrate(sp.integrate(sp.expand(inside * rho), (phi, 0, 2 * sp.pi)), (rho, 0, RADIUS)))


def numerical_work(
    w: float, a: float, radius: float, feedback: float | None, pair: tuple[float, float] = (1.0, 1.0), points: int = 64
) -> float:
    """The same line integral by the trapezium rule; centre (w, a), feedback None for backprop, pair (x, y*).

    On a circle the rule is exact for the trigonometric polynomials that occur here."""
    phi = 2 * np.pi * np.arange(points) / points
    ws, as_ = w + radius * np.cos(phi), a + radius * np.sin(phi)
    error = pair[1] - ws * as_ * pair[0]
    dw, da = error * as_ * pair[0], (ws if feedback is None else feedback) * error * pair[0]
    return float((-dw * np.sin(phi) + da * np.cos(phi)).sum() * radius * 2 * np.pi / points)


# --- Matrices, symbolically -------------------------------------------------------------------------------------

sigma = sp.Function("sigma")


@cache
def symbolic(n_i: int, n_h: int, n_o: int, pairs: int = 2) -> tuple[dict[str, sp.Matrix], list[tuple[sp.Matrix, ...]]]:
    """Symbolic parameters of a network whose squashing function is unknown, and for each pair x, h, D, e."""

    def matrix(name: str, *shape: int) -> sp.Matrix:
        return sp.Matrix(*shape, lambda i, j: sp.Symbol(f"{name}{i}{j}", real=True))

    z = sp.Symbol("z")
    theta = {"W": matrix("W", n_o, n_h), "b": matrix("b", n_o, 1), "A": matrix("A", n_h, n_i), "c": matrix("c", n_h, 1)}
    data = []
    for p in range(pairs):
        xs = matrix(f"x{p}", n_i, 1)
        a = theta["A"] * xs + theta["c"]
        D = a.applyfunc(lambda s: sigma(z).diff(z).subs(z, s))
        hs = a.applyfunc(sigma)
        data.append((xs, hs, D, matrix(f"t{p}", n_o, 1) - theta["W"] * hs - theta["b"]))
    return theta, data


def updates(
    theta: dict[str, sp.Matrix], data: list[tuple[sp.Matrix, ...]], M: sp.Matrix, *, gated_c: bool = True
) -> dict[str, sp.Matrix]:
    """The updates over eta, as in eqs. 64-67 or 69-72, summed over the pairs; M is W' or B."""
    total: dict[str, sp.Matrix] = {}
    for xs, hs, D, es in data:
        sent = M * es
        gated = sent.multiply_elementwise(D)
        for name, term in {"W": es * hs.T, "b": es, "A": gated * xs.T, "c": gated if gated_c else sent}.items():
            total[name] = total.get(name, sp.zeros(*term.shape)) + term
    return total


def minus_gradient(theta: dict[str, sp.Matrix], data: list[tuple[sp.Matrix, ...]], name: str) -> sp.Matrix:
    """- dL/d(theta[name]), of the total loss."""
    loss = sum((es.T * es)[0] for *_, es in data) / 2
    return -theta[name].applyfunc(lambda s: sp.diff(loss, s))


def follows_the_gradient(
    name: str, shapes: Iterable[tuple[int, int, int]] = ((1, 1, 1), (2, 2, 1), (1, 2, 2)), **options: bool
) -> bool:
    """Whether backprop's update of that parameter is minus the gradient, for an unknown squashing function."""
    for shape in shapes:
        theta, data = symbolic(*shape)
        difference = updates(theta, data, theta["W"].T, **options)[name] - minus_gradient(theta, data, name)
        if not difference.applyfunc(lambda d: sp.expand(d.doit())).is_zero_matrix:
            return False
    return True


def follows_at_any_size(name: str, rate: sp.Expr = sp.S.One, of: sp.Expr = sp.S.One) -> bool:
    """The same for matrices of symbolic size and one pair (the loss is a sum over pairs), by the chain rule: e = y* - Wh
    - b, and h moves by D, here a diagonal matrix, times what goes into the units. The update of feedback alignment at that
    rate, with W' put in for B, is compared with minus the gradient times `of`."""
    n_i, n_h, n_o = convergence.n_i, convergence.n_h, convergence.n_o
    Ws, D, hs = MatrixSymbol("W", n_o, n_h), MatrixSymbol("D", n_h, n_h), MatrixSymbol("h", n_h, 1)
    bs, ts, xs = MatrixSymbol("b", n_o, 1), MatrixSymbol("y*", n_o, 1), MatrixSymbol("x", n_i, 1)
    es, Bs = ts - Ws * hs - bs, MatrixSymbol("B", n_h, n_o)
    shape = {"W": Ws.shape, "b": bs.shape, "A": (n_h, n_i), "c": hs.shape}[name]
    move = MatrixSymbol("X", *shape)  # of the parameter
    law = {"W": {Ws: move}, "b": {bs: move}, "A": {hs: D * move * xs}, "c": {hs: D * move}}[name]
    update = {"W": es * hs.T, "b": es, "A": D * Bs * es * xs.T, "c": D * Bs * es}[name].subs(Bs, Ws.T)
    slope = convergence.rate(Trace(es.T * es) / 2, law)
    return convergence.equal(of * slope, -rate * Trace(update.T * move), {(D.T,): (D,)})


# --- Numerically --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A tanh network and a training set: W `(n_o, n_h)`, b `(n_o, 1)`, A `(n_h, n_i)`, c `(n_h, 1)`, B `(n_h, n_o)`,
    X `(n_i, pairs)`, Y `(n_o, pairs)`. `linear`: linear hidden units instead."""

    W: np.ndarray
    b: np.ndarray
    A: np.ndarray
    c: np.ndarray
    B: np.ndarray
    X: np.ndarray
    Y: np.ndarray
    linear: bool = False

    @property
    def theta(self) -> np.ndarray:
        """All parameters as one vector, in the order W, b, A, c."""
        return np.concatenate([getattr(self, name).ravel() for name in PARAMETERS])

    def at(self, theta: np.ndarray) -> "Network":
        """This network with other parameters."""
        changed: dict[str, Any] = {}
        start = 0
        for name in PARAMETERS:
            part = getattr(self, name)
            changed[name] = theta[start : start + part.size].reshape(part.shape)
            start += part.size
        return replace(self, **changed)

    @property
    def _pass(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a = self.A @ self.X + self.c
        H, D = (a, np.ones_like(a)) if self.linear else (np.tanh(a), 1 - np.tanh(a) ** 2)
        return H, D, self.Y - self.W @ H - self.b

    @property
    def errors(self) -> np.ndarray:
        """e of each pair, `(n_o, pairs)`."""
        return self._pass[2]

    @property
    def loss(self) -> float:
        """The total loss, eq. 63."""
        return float((self.errors**2).sum() / 2)

    def flow(self, rule: str = "feedback alignment") -> np.ndarray:
        """d theta / dt as one vector, by eqs. 64-67 (backprop; corrected) or 69-72."""
        H, D, E = self._pass
        gated = ((self.W.T if rule == "backprop" else self.B) @ E) * D
        return np.concatenate([p.ravel() for p in (E @ H.T, E.sum(1), gated @ self.X.T, gated.sum(1))])

    def jacobian(self) -> np.ndarray:
        """d errors / d theta, `(n_o * pairs, parameters)`."""
        H, D, E = self._pass
        n_o, pairs = E.shape
        at_hidden = self.W[:, :, None] * D  # of each output by what goes into each hidden unit
        blocks = (
            np.einsum("ko,hp->kpoh", np.eye(n_o), H),
            np.einsum("ko,p->kpo", np.eye(n_o), np.ones(pairs)),
            np.einsum("khp,ip->kphi", at_hidden, self.X),
            np.einsum("khp->kph", at_hidden),
        )
        return -np.concatenate([m.reshape(n_o * pairs, -1) for m in blocks], axis=1)

    def hessian(self, step: float = 1e-5) -> np.ndarray:
        """Second derivatives of the loss, by central differences of the gradient; symmetrised."""
        columns = [
            (self.at(self.theta - step * d).flow("backprop") - self.at(self.theta + step * d).flow("backprop")) / (2 * step)
            for d in np.eye(self.theta.size)
        ]
        return (np.array(columns) + np.array(columns).T) / 2


def instance(seed: int, n_i: int = 2, n_h: int = 2, n_o: int = 2, pairs: int = 12, linear: bool = False) -> Network:
    """A random small network, and random pairs that it cannot fit exactly."""
    rng = np.random.default_rng(seed)
    shapes = {
        "W": (n_o, n_h),
        "b": (n_o, 1),
        "A": (n_h, n_i),
        "c": (n_h, 1),
        "B": (n_h, n_o),
        "X": (n_i, pairs),
        "Y": (n_o, pairs),
    }
    return Network(**{k: rng.standard_normal(s) for k, s in shapes.items()}, linear=linear)


def at_a_minimum(net: Network) -> Network:
    """The network at a local minimum of its loss, or on the way to one, by Levenberg and Marquardt's method."""
    found = least_squares(
        lambda theta: net.at(theta).errors.ravel(),
        net.theta,
        lambda theta: net.at(theta).jacobian(),
        method="lm",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
        max_nfev=500,
    )
    return net.at(found.x)


def minima(count: int, noise: float = 0.3, **options: Any) -> list[Network]:
    """The first `count` random instances that have a regular minimum with an error: gradient below 1e-7, loss above
    1e-2, all second derivatives above 1e-3, no weight above 20. Their targets are what a network of the same size
    gives, from which the descent begins, with noise of that standard deviation: random targets mostly send some
    weight off to infinity."""
    found: list[Network] = []
    seed = 0
    while len(found) < count:
        net = instance(seed, **options)
        net = at_a_minimum(replace(net, Y=net.Y - net.errors + noise * net.Y))
        seed += 1
        if (
            np.abs(net.flow("backprop")).max() < 1e-7
            and net.loss > 1e-2
            and np.abs(net.theta).max() < 20
            and np.linalg.eigvalsh(net.hessian())[0] > 1e-3
        ):
            found.append(net)
    return found


def linear_minimum(seed: int, **options: Any) -> Network:
    """A random linear network at the global minimum of its loss on random pairs, in closed form: W A is the regression
    of Y on X, of rank n_h at most."""
    net = instance(seed, linear=True, **options)
    X, Y = (M - M.mean(1, keepdims=True) for M in (net.X, net.Y))
    fit = Y @ np.linalg.pinv(X)
    U = np.linalg.svd(fit @ X)[0][:, : len(net.A)]  # the directions of the outputs that are fitted
    W = U @ net.W[: U.shape[1]]
    A = np.linalg.pinv(W) @ fit
    return replace(net, W=W, A=A, c=0 * net.c, b=(net.Y - W @ A @ net.X).mean(1, keepdims=True))


def euler(net: Network, rate: float, time: float, rule: str) -> np.ndarray:
    """theta after time/rate updates of that rate."""
    theta = net.theta
    for _ in range(round(time / rate)):
        theta = theta + rate * net.at(theta).flow(rule)
    return theta


def exact(net: Network, time: float, rule: str) -> np.ndarray:
    """theta after that time of the flow."""

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        return net.at(theta).flow(rule)

    return solve_ivp(velocity, (0, time), net.theta, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]


# --- The checks ---------------------------------------------------------------------------------------------------


def _backprop(name: str) -> Callable[[], bool]:
    return lambda: follows_at_any_size(name) and follows_the_gradient(name)


def _eq67() -> bool:
    """With D the update of c is minus the gradient; as printed, without, it is not."""
    return _backprop("c")() and not follows_the_gradient("c", shapes=((1, 1, 1),), gated_c=False)


def _eq68() -> bool:
    """The distance of gradient descent from the flow halves with the rate: order 1, on random networks."""
    orders = []
    for seed in range(INSTANCES):
        net = instance(seed, pairs=4)
        goal = exact(net, 0.05, "backprop")
        far, near = (np.linalg.norm(euler(net, rate, 0.05, "backprop") - goal) for rate in (1e-3, 5e-4))
        orders.append(np.log2(far / near))
    return bool(np.abs(np.array(orders) - 1).max() < 0.1)


def _eq71(name: str) -> Callable[[], bool]:
    """With B = W' feedback alignment's updates must be backprop's, eqs. 66 and 67; without eta they are not."""
    eta = sp.Symbol("eta", positive=True)

    def check() -> bool:
        return follows_at_any_size(name, eta, of=eta) and not follows_at_any_size(name, of=eta)

    return check


def _eq73() -> bool:
    """Backprop's flow runs down the gradient of F = L; as printed, up, and with db/dt and dA/dt exchanged: none of the four
    equalities holds."""
    F, flow = e**2 / 2, scalar_flow(W)
    right = all(sp.expand(f + sp.diff(F, p)) == 0 for f, p in zip(flow, THETA, strict=True))
    return right and not any(sp.expand(f - sp.diff(F, p)) == 0 for f, p in zip(flow, (W, A, b, c), strict=True))


def printed_hessian(F: sp.Expr) -> sp.Matrix:
    """Eq. 74 as printed, for a given F: its rows run over W, b, A, c and its columns over W, A, b, c."""
    return sp.Matrix(4, 4, lambda i, j: sp.expand(sp.diff(F, (W, b, A, c)[i], (W, A, b, c)[j])))


def _eq74() -> bool:
    """With one order the second derivative is symmetric, here for F = L; as printed it is not, though F is smooth."""
    F = e**2 / 2
    return sp.hessian(F, list(THETA)).is_symmetric() and not printed_hessian(F).is_symmetric()


def _scalar(name: str) -> Callable[[], bool]:
    """The scalar updates are eqs. 69-72 for one pair, sizes 1-1-1 and sigma the identity."""

    def check() -> bool:
        theta, data = symbolic(1, 1, 1, pairs=1)
        general = updates(theta, data, sp.Matrix([[B]]))[name][0]
        names = {
            theta["W"][0]: W,
            theta["b"][0]: b,
            theta["A"][0]: A,
            theta["c"][0]: c,
            data[0][0][0]: x,
            sp.Symbol("t000", real=True): target,
        }
        plain = general.subs(names).replace(sigma, lambda s: s).doit()
        return sp.expand(plain - scalar_flow()[PARAMETERS.index(name)]) == 0

    return check


def _eq79() -> bool:
    """The Jacobian that SymPy derives has 4 of 6 pairs that differ; the printed one is wrong in two elements."""
    J = jacobian()
    D = (printed_jacobian() - J).applyfunc(sp.expand)
    wrong = {(i, j): D[i, j] for i in range(4) for j in range(4) if D[i, j] != 0}
    elements = set(wrong) == {(0, 0), (0, 3)} and sp.expand(wrong[0, 0] - 2 * h**2) == 0
    return (
        elements
        and sp.expand(wrong[0, 3] - W * (h - 1)) == 0
        and len(pairs_that_differ(J)) == 4
        and not pairs_that_differ(jacobian(W))
    )


# --- The worlds in which what the page shows is evaluated ----------------------------------------------------------


@kept
def scalars() -> Iterator[World]:
    """The scalar case, in symbols: feedback alignment's flow and its derivative; F = L for eqs. 73 and 74, whose flow is
    backprop's."""
    F = e**2 / 2
    second = {f"\\mathcal F_{{{p}{q}}}": sp.diff(F, p, q) for p in THETA for q in THETA}
    first = {f"\\mathcal F_{p}": sp.diff(F, p) for p in THETA}
    ours = dict(zip((r"\dot W", r"\dot b", r"\dot A", r"\dot c"), scalar_flow(), strict=True))
    J, hessian = jacobian(), sp.hessian(F, list(THETA))
    yield (
        first
        | second
        | ours
        | {
            "W": W,
            "A": A,
            "B": B,
            "x": x,
            "h": h,
            "e": e,
            r"d\dot\theta/d\theta": tuple(tuple(J.row(i)) for i in range(4)),
            r"\partial^2\mathcal F/\partial\theta\partial\theta": tuple(tuple(hessian.row(i)) for i in range(4)),
        }
    )


def scalars_of_backprop() -> Iterator[World]:
    """The same with backprop's flow."""
    for world in scalars():
        yield world | dict(zip((r"\dot W", r"\dot b", r"\dot A", r"\dot c"), scalar_flow(W), strict=True))


def networks(rule: str = "backprop") -> Callable[[], Iterator[World]]:
    """Random networks of several sizes, tanh and linear: their parts, the updates by that rule at a rate of 0.1, and the
    gradient of the loss by central differences."""

    def worlds() -> Iterator[World]:
        for seed, (n_i, n_h, n_o) in itertools.product(range(4), ((2, 2, 2), (3, 2, 1), (1, 4, 2))):
            net = instance(seed, n_i, n_h, n_o, pairs=4, linear=seed == 3)
            ends = np.cumsum([getattr(net, name).size for name in PARAMETERS])[:-1]

            def parts(vector: np.ndarray, net: Network = net, ends: np.ndarray = ends) -> dict[str, np.ndarray]:
                shaped = zip(PARAMETERS, np.split(vector, ends), strict=True)
                return {name: v.reshape(getattr(net, name).shape) for name, v in shaped}

            slope = np.array(
                [
                    (net.at(net.theta + 1e-5 * d).loss - net.at(net.theta - 1e-5 * d).loss) / 2e-5
                    for d in np.eye(net.theta.size)
                ]
            )
            flow = net.flow(rule)
            H, D, E = net._pass
            pairs = [
                {
                    "x": net.X[:, [p]],
                    "y^*": net.Y[:, [p]],
                    "a": (net.A @ net.X + net.c)[:, [p]],
                    "h": H[:, [p]],
                    "D": D[:, [p]],
                    "e": E[:, [p]],
                    "y": (net.Y - E)[:, [p]],
                }
                for p in range(4)
            ]

            def point(theta: np.ndarray, x: np.ndarray, y: np.ndarray, net: Network = net) -> float:
                one = replace(net.at(theta), X=x, Y=y)
                return one.loss

            yield pairs[0] | {
                "data": pairs,
                "W": net.W,
                "b": net.b,
                "A": net.A,
                "c": net.c,
                "B": net.B,
                r"\eta": 0.1,
                r"\sigma": (lambda v: v) if net.linear else np.tanh,
                r"\theta": net.theta,
                "L": point,
                r"\mathcal L": lambda theta, net=net: net.at(theta).loss,
                "tolerance": 1e-7,
                r"\dot \theta": flow[:, None],
                r"\nabla \mathcal L": slope[:, None],
                **{f"\\Delta {k}": 0.1 * v for k, v in parts(flow).items()},
                **{f"\\partial\\mathcal L/\\partial {k}": v for k, v in parts(slope).items()},
            }

    return worlds


_sizes = "the chain rule, D as a diagonal matrix; and unknown sigma, two pairs, sizes 1-1-1, 2-2-1 and 1-2-2"
_F74 = r"\frac{\partial^2 \mathcal F}{\partial\theta\,\partial\theta} = \begin{pmatrix} "


def _second(order: str) -> str:
    """Eq. 74 with its columns in that order; the rows run over W, b, A, c."""
    return _F74 + r" \\ ".join(" & ".join(rf"\mathcal F_{{{p}{q}}}" for q in order) for p in "WbAc") + r" \end{pmatrix}"


def _derivative(first_row: str) -> str:
    """Eq. 79 with that first row."""
    rows = (first_row, "-h & -1 & -W x & -W", "-B h x & -B x & -B W x^2 & -B W x", "-B h & -B & -B W x & -B W")
    return r"\frac{d\dot\theta}{d\theta} = \begin{pmatrix} " + r" \\ ".join(rows) + r" \end{pmatrix}"


EQUATIONS = (
    Equation("SI 60", r"y = W h + b", DEFINITION, "the network", held_in(networks())),
    Equation("SI 61", r"h = \sigma(a)", DEFINITION, "the network", held_in(networks())),
    Equation("SI 62", r"a = A x + c", DEFINITION, "the network", held_in(networks())),
    Equation("SI 63", r"\mathcal{L}(\theta) = \sum L(\theta, x, y^*)", DEFINITION, "the total loss", held_in(networks())),
    Equation(
        "SI 64",
        r"\Delta W = \eta \sum e h^{\mathsf T} = -\eta\, \frac{\partial \mathcal L}{\partial W}",
        DERIVED,
        _sizes,
        held_in(networks(), also=_backprop("W")),
    ),
    Equation(
        "SI 65",
        r"\Delta b = \eta \sum e = -\eta\, \frac{\partial \mathcal L}{\partial b}",
        DERIVED,
        _sizes,
        held_in(networks(), also=_backprop("b")),
    ),
    Equation(
        "SI 66",
        r"\Delta A = \eta \sum ((W^{\mathsf T} e) \odot D) x^{\mathsf T}"
        r" = -\eta\, \frac{\partial \mathcal L}{\partial A}",
        DERIVED,
        _sizes,
        held_in(networks(), also=_backprop("A")),
    ),
    Equation(
        "SI 67",
        r"\Delta c = \eta \sum W^{\mathsf T} e = -\eta\, \frac{\partial \mathcal L}{\partial c}",
        WRONG,
        f"{_sizes}; without D the second equality fails",
        held_in(networks(), also=_eq67),
        r"\Delta c = \eta \sum (W^{\mathsf T} e) \odot D = -\eta\, \frac{\partial \mathcal L}{\partial c}",
    ),
    Equation(
        "SI 68",
        r"\dot\theta = -\nabla \mathcal L",
        CHECKED,
        f"gradient descent converges to it with order 1 in the rate, {INSTANCES} random 2-2-2 tanh networks",
        held_in(networks(), also=_eq68),
    ),
    Equation(
        "SI 69", r"\Delta W = \eta \sum e h^{\mathsf T}", DEFINITION, "the rule", held_in(networks("feedback alignment"))
    ),
    Equation("SI 70", r"\Delta b = \eta \sum e", DEFINITION, "the rule", held_in(networks("feedback alignment"))),
    Equation(
        "SI 71",
        r"\Delta A = \sum ((B e) \odot D) x^{\mathsf T}",
        WRONG,
        "must be eq. 66 for B = W': the chain rule, D as a diagonal matrix; and as it is run",
        held_in(networks("feedback alignment"), also=_eq71("A")),
        r"\Delta A = \eta \sum ((B e) \odot D) x^{\mathsf T}",
    ),
    Equation(
        "SI 72",
        r"\Delta c = \sum (B e) \odot D",
        WRONG,
        "must be eq. 67, corrected, for B = W': the chain rule, D as a diagonal matrix; and as it is run",
        held_in(networks("feedback alignment"), also=_eq71("c")),
        r"\Delta c = \eta \sum (B e) \odot D",
    ),
    Equation(
        "SI 73",
        r"(\dot W, \dot b, \dot A, \dot c) = (\mathcal F_W, \mathcal F_A, \mathcal F_b, \mathcal F_c)",
        WRONG,
        "backprop's scalar flow, F = L, the loss: none of the four printed equalities holds, for the sign, and "
        "two for the order",
        held_in(scalars_of_backprop, also=_eq73),
        r"(\dot W, \dot b, \dot A, \dot c) = -(\mathcal F_W, \mathcal F_b, \mathcal F_A, \mathcal F_c)",
    ),
    Equation(
        "SI 74",
        _second("WAbc"),
        WRONG,
        "F = L in the scalar case: the rows run over W, b, A, c and the columns over W, A, b, c, so that as printed "
        "the matrix is not symmetric",
        held_in(scalars, also=_eq74),
        _second("WbAc"),
    ),
    Equation(
        "SI 75",
        r"\dot W = e h",
        DERIVED,
        "eq. 69 for sizes 1-1-1, one pair, sigma the identity",
        held_in(scalars, also=_scalar("W")),
    ),
    Equation("SI 76", r"\dot b = e", DERIVED, "eq. 70, likewise", held_in(scalars, also=_scalar("b"))),
    Equation("SI 77", r"\dot A = B e x", DERIVED, "eq. 71, corrected, likewise", held_in(scalars, also=_scalar("A"))),
    Equation("SI 78", r"\dot c = B e", DERIVED, "eq. 72, corrected, likewise", held_in(scalars, also=_scalar("c"))),
    Equation(
        "SI 79",
        _derivative("h^2 & -h & -W x h + e x & -W + e"),
        WRONG,
        "all 16 elements derived: the first and the last of the first row are misprinted; 4 of 6 pairs differ",
        held_in(scalars, also=_eq79),
        _derivative("-h^2 & -h & -W x h + e x & -W h + e"),
    ),
)
