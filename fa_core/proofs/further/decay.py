"""Weight decay makes W align with B' whatever the start; momentum is a rate divided by 1 - alpha, and when it is not.

dA/dt = BES - p A,   dW/dt = ESA' - q W        (p, q >= 0 the decay of the two layers)
"""

import numpy as np
import sympy as sp

from fa_core import flow
from fa_core.proofs.convergence import A, B, C, E, S, W, equal, rate

p, q = sp.symbols("p q", positive=True)
LAW = {A: B * E * S - p * A, W: E * S * A.T - q * W}
C_RATE = -q * C + (2 * p - q) * A * A.T  # C = BW + W'B' - AA'

KEPT, SQUARE = sp.symbols("c square")  # of a unit with f(z) = f'(z) z: b.w_out - |w_in|^2/2, and |w_in|^2
UNIT_RATE = -q * KEPT + (p - q / 2) * SQUARE

alpha, eta, theta, speed, field = sp.symbols("alpha eta theta v F")
NEXT_SPEED = alpha * speed + eta * field
NEXT_THETA = theta + NEXT_SPEED


def LEADING(theta: sp.Expr, speed: sp.Expr) -> sp.Expr:
    """z, which moves by the field alone."""
    return theta + alpha / (1 - alpha) * speed


EFFECTIVE = eta / (1 - alpha)
# Of a mode near rest, field = -mu theta: the largest stable eta mu with momentum, and of the plain rate that it stands for.
LIMIT = 2 * (1 + alpha)


def algebra() -> dict[str, bool]:
    """What the theorems take from algebra, by name, and whether SymPy confirms it."""
    mu, z = sp.symbols("mu z")
    step = sp.Matrix([NEXT_THETA, NEXT_SPEED]).subs(field, -mu * theta).jacobian([theta, speed])
    at_limit = step.subs(mu, LIMIT / eta).charpoly(z).as_expr()
    b, out, delta = (sp.Matrix(sp.symbols(f"{name}1:3")) for name in ("b", "o", "d"))
    into, x = (sp.Matrix(sp.symbols(f"{name}1:4")) for name in ("i", "x"))
    slope = sp.Symbol("f'")  # f(z) = f' z
    out_rate = delta * slope * into.dot(x) - q * out
    into_rate = b.dot(delta) * slope * x - p * into
    unit = b.dot(out_rate) - into.dot(into_rate)
    return {
        "the rate of C with decay": equal(rate(C, LAW), C_RATE),
        "the law of a unit with decay": sp.expand(
            unit - UNIT_RATE.subs({KEPT: b.dot(out) - into.dot(into) / 2, SQUARE: into.dot(into)})
        )
        == 0,
        "z moves by eta F/(1 - alpha)": sp.simplify(
            LEADING(NEXT_THETA, NEXT_SPEED) - LEADING(theta, speed) - EFFECTIVE * field
        )
        == 0,
        "stable until eta mu = 2 (1 + alpha): a multiplier of -1": sp.simplify(at_limit.subs(z, -1)) == 0,
        "the product of the multipliers is alpha": sp.simplify(step.det() - alpha) == 0,
    }


def run(
    T: np.ndarray,
    B: np.ndarray,
    A: np.ndarray,
    W: np.ndarray,
    t: np.ndarray,
    decay: tuple[float, float],
    S: np.ndarray | None = None,
) -> flow.Flow:
    """The flow with decay (p, q) from A, W at the times `t`."""
    return flow.integrate(T, B, A, W, t, S=S, decay=decay, method="LSODA")


def heavy_ball(T: np.ndarray, B: np.ndarray, rate: float, momentum: float, steps: int) -> flow.Flow:
    """Batch learning from zero with momentum: v <- alpha v + eta (step of the rule), weights <- weights + v; the state at
    the start and after each step, white inputs, as a trajectory in the time eta/(1 - alpha) per step."""
    a, w = np.zeros((B.shape[0], T.shape[1])), np.zeros((T.shape[0], B.shape[0]))
    va, vw, kept = 0 * a, 0 * w, [(a, w)]
    for _ in range(steps):
        da, dw = flow.velocity(a, w, T, B)
        va, vw = momentum * va + rate * da, momentum * vw + rate * dw
        a, w = a + va, w + vw
        kept.append((a, w))
    t = np.arange(steps + 1) * rate / (1 - momentum)
    return flow.Flow(T, B, t, np.stack([x for x, _ in kept]), np.stack([x for _, x in kept]))
