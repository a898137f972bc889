"""W+ = B (WB)^-1: what the pseudoinverse of W is while W is learned, and how far W+e is from Be.

From zero (from A = BX, W = GB') the rows of W stay in the span of the columns of B. With WB invertible that alone fixes
W+. For white inputs from zero the vectors T v_k are eigenvectors of WB, the eigenvalues m_k = (2 s_k)^(2/3) y_k^2 / 2.
"""

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike
from sympy import Identity, MatrixSymbol, Transpose

from fa_core import flow
from fa_core.proofs.convergence import ANY_INPUTS, A, B, E, S, T, W, equal, n_h, n_i, n_o

N, N_INV = MatrixSymbol("N", n_o, n_o), MatrixSymbol("Ni", n_o, n_o)  # WB and its inverse
GRAM_INV = MatrixSymbol("Y", n_o, n_o)  # (B'B)^-1
RULES = {
    (Transpose(B), B, GRAM_INV): (),
    (GRAM_INV, Transpose(B), B): (),
    (N, N_INV): (),
    (N_INV, N): (),
    (Transpose(N), Transpose(N_INV)): (),
    (Transpose(N_INV), Transpose(N)): (),
    (Transpose(GRAM_INV),): (GRAM_INV,),
}
W_KEPT = N * GRAM_INV * B.T  # any W = GB', by its N = WB
PLUS = B * N_INV  # W+


def algebra() -> dict[str, bool]:
    """What the theorem takes from algebra, by name, and whether SymPy confirms it for matrices of symbolic size."""
    X, G = MatrixSymbol("X", n_o, n_i), MatrixSymbol("G", n_o, n_o)
    r = sp.Symbol("r", integer=True, positive=True)
    U, V = MatrixSymbol("U", n_h, r), MatrixSymbol("V", n_i, r)
    w, d = MatrixSymbol("w", r, r), MatrixSymbol("s", r, r)
    modes = {(Transpose(U), U): (), (Transpose(V), V): (), (B, T): (U, d, Transpose(V)), (w, d): (d, w)}
    from_zero = T * V * w * U.T
    identity = Identity(n_o)
    error = T - (G * B.T) * (B * X)

    def moved(M: MatrixSymbol) -> sp.Expr:
        """dM/dt of the flow where A and W have these forms."""
        return ANY_INPUTS[M].subs(E, T - W * A).subs({A: B * X, W: G * B.T})

    return (
        {
            "W = GB' and A = BX keep their forms": equal(moved(A), B * (error * S))
            and equal(moved(W), (error * S * X.T) * B.T),
            "W W+ W = W": equal(W_KEPT * PLUS * W_KEPT, W_KEPT, RULES),
            "W+ W W+ = W+": equal(PLUS * W_KEPT * PLUS, PLUS, RULES),
            "W W+ is symmetric": equal(W_KEPT * PLUS, identity, RULES),
            "W+ W is symmetric": equal(PLUS * W_KEPT, (PLUS * W_KEPT).T, RULES),
            "W B (T V) = (T V) s w": equal(from_zero * B * T * V, T * V * d * w, modes),
        }
        | least_cosine()
        | ratio_falls()
    )


def eigenvalues(T_: np.ndarray, B_: np.ndarray, t: ArrayLike) -> np.ndarray:
    """m_k of each mode at the times `t`, `(points, modes)`: from zero, white inputs."""
    s = flow.modes(T_, B_)[1]
    y = flow.progress(np.multiply.outer(np.asarray(t, dtype=float), 2 ** (-1 / 3) * s ** (2 / 3)))
    return (2 * s) ** (2 / 3) * y**2 / 2


def widest(ratio: float | np.ndarray) -> np.ndarray:
    """The largest angle between Be and W+e over all errors, in degrees, where the largest m_k is `ratio` times the smallest:
    its sine is (ratio - 1)/(ratio + 1)."""
    return np.degrees(np.arcsin((ratio - 1) / (ratio + 1)))


def worst_error(T_: np.ndarray, B_: np.ndarray, t: float) -> np.ndarray:
    """An error e `(n_o,)` for which that angle is reached at time t > 0: c_k of Be along u_k is m_k^(1/2) for the modes with
    the largest and the smallest m_k, and 0 for the others."""
    _, s, V = flow.modes(T_, B_)
    m = eigenvalues(T_, B_, [t])[0]
    c = np.zeros_like(m)
    ends = [m.argmax(), m.argmin()]
    c[ends] = np.sqrt(m[ends])
    return (T_ @ V) @ (c / s)  # B T v_k = s_k u_k


ELL, TOP = sp.symbols("l u", positive=True)  # the least and the largest 1/m
LEAST_AT = 2 * ELL * TOP / (ELL + TOP)  # the mean of 1/m at which the cosine is least
SINE = (TOP - ELL) / (TOP + ELL)


def least_cosine() -> dict[str, bool]:
    """With x the mean of 1/m, the square of the cosine is at least x^2/((l + u) x - l u), which is least at LEAST_AT, where
    it is 1 - SINE^2."""
    x = sp.Symbol("x", positive=True)
    bound = x**2 / ((ELL + TOP) * x - ELL * TOP)
    return {
        "where the cosine is least": sp.simplify(bound.diff(x).subs(x, LEAST_AT)) == 0,
        "the sine there": sp.simplify(bound.subs(x, LEAST_AT) - (1 - SINE**2)) == 0,
    }


def ratio_falls() -> dict[str, bool]:
    """That y_1/y_r falls where lambda_1 > lambda_r: t y'/y falls with tau = lambda t. Its logarithmic slope is
    1 - tau (1 + 2 y^3)/y, and tau >= y because d tau/dy = 1/(1 - y^3) >= 1."""
    y, tau = sp.symbols("y tau", positive=True)
    rate = 1 - y**3
    elasticity = tau * rate / y

    def along(f: sp.Expr) -> sp.Expr:
        return f.diff(tau) + f.diff(y) * rate

    slope = sp.simplify(tau * along(elasticity) / elasticity)
    return {
        "the logarithmic slope": sp.simplify(slope - ELASTICITY_SLOPE(y, tau)) == 0,
        "it is not positive at tau = y": sp.expand(ELASTICITY_SLOPE(y, y) + 2 * y**3) == 0,
    }


def ELASTICITY_SLOPE(y: sp.Expr, tau: sp.Expr) -> sp.Expr:
    """d log(t y'/y) / d log t."""
    return 1 - tau * (1 + 2 * y**3) / y
