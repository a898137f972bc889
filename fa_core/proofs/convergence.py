"""Supplementary Notes 10 and 11, theorem 1 (eqs. 2-23), and eqs. 1-4 of the main text.

Identities are derived for matrices of symbolic size: `rate` differentiates along the flow by the product rule, `normal`
multiplies out and writes every product, and every trace up to rotation and transposition, in one form, so that equal
expressions become the same one.
"""

import itertools

import numpy as np
import sympy
from sympy import Identity, MatAdd, MatMul, MatPow, MatrixSymbol, Trace, Transpose, ZeroMatrix
from sympy.matrices.exceptions import ShapeError
from sympy.stats import E as expectation
from sympy.stats import Normal

from fa_core import flow
from fa_core.proofs import CHECKED, DEFINITION, DERIVED, WRONG, Equation

n_o, n_h, n_i = sympy.symbols("n_o n_h n_i", integer=True, positive=True)
T, E, W = MatrixSymbol("T", n_o, n_i), MatrixSymbol("E", n_o, n_i), MatrixSymbol("W", n_o, n_h)
A, B, S = MatrixSymbol("A", n_h, n_i), MatrixSymbol("B", n_h, n_o), MatrixSymbol("S", n_i, n_i)
SYMMETRIC = {(Transpose(S),): (S,)}

# E stands for T - WA: it is differentiated as that, and DEFINITION_OF_E puts it back.
WHITE = {A: B * E, W: E * A.T, E: -E * A.T * A - W * B * E}  # eqs. 8, 9
ANY_INPUTS = {A: B * E * S, W: E * S * A.T, E: -E * S * A.T * A - W * B * E * S}
TARGET = {T: E + W * A}

C = B * W + W.T * B.T - A * A.T  # eq. 10
V = Trace(B * E * E.T * B.T)  # eq. 15
s = Trace(A * A.T)  # Lemma 3
H = Trace(B * W * W.T * B.T) / 2 - Trace(B * T * A.T)  # not in the paper: decreases along the flow from any start

# Not in the paper either: -dH/dt, which is V for white inputs, and its rate; for C = 0 it falls whatever the inputs.
FALL = Trace(B * E * S * E.T * B.T)
FALL_RATE = -2 * Trace((B * E * S * A.T) * (B * E * S * A.T).T) - Trace((A * A.T + C) * B * E * S * S * E.T * B.T)

# Eqs. 11 and 12, term by term: the product rule for any velocities, and what eqs. 8, 9 make of each term.
A_DOT, W_DOT = MatrixSymbol("A'", n_h, n_i), MatrixSymbol("W'", n_o, n_h)
C_RATE = (B * W_DOT, W_DOT.T * B.T, -A_DOT * A.T, -A * A_DOT.T)
C_RATE_ON_THE_FLOW = (B * E * A.T, A * E.T * B.T, -B * E * A.T, -A * E.T * B.T)


def rate(expr, law: dict = WHITE):
    """Time derivative of a matrix expression, or of a sum of traces, where the matrices obey `law`, a dictionary from
    symbol to derivative; those not in it are constant. Raises TypeError for what it has no rule for."""
    if isinstance(expr, MatrixSymbol):
        return law.get(expr, ZeroMatrix(*expr.shape))
    if not expr.atoms(MatrixSymbol):
        return ZeroMatrix(*expr.shape) if expr.is_Matrix else sympy.S.Zero
    if isinstance(expr, Transpose | Trace):
        inner = rate(expr.arg, law)
        if _zero(inner):
            return inner.T if isinstance(expr, Transpose) else sympy.S.Zero
        return expr.func(inner)
    if isinstance(expr, MatAdd | sympy.Add):
        terms = [rate(a, law) for a in expr.args]
    elif isinstance(expr, MatMul | sympy.Mul):
        rates = [(k, rate(a, law)) for k, a in enumerate(expr.args)]
        terms = [expr.func(*expr.args[:k], r, *expr.args[k + 1 :]) for k, r in rates if not _zero(r)]
    else:
        raise TypeError(f"no rule to differentiate {expr}")
    terms = [t for t in terms if not _zero(t)]
    if not expr.is_Matrix:
        return sympy.Add(*terms)
    return MatAdd(*terms) if len(terms) > 1 else terms[0] if terms else ZeroMatrix(*expr.shape)


def _zero(expr) -> bool:
    return expr == 0 or isinstance(expr, ZeroMatrix)


def words(expr) -> list[tuple]:
    """A matrix expression multiplied out: pairs (coefficient, product), a product a tuple of symbols and transposes."""
    if isinstance(expr, MatAdd):
        return [w for a in expr.args for w in words(a)]
    if isinstance(expr, MatMul):
        coefficient, factors = expr.as_coeff_matrices()
        found = [(coefficient, ())]
        for factor in factors:
            found = [(c * d, u + v) for c, u in found for d, v in words(factor)]
        return found
    if isinstance(expr, MatPow) and expr.exp.is_Integer and expr.exp > 0:  # SymPy makes S * S a power
        return words(MatMul(*[expr.base] * int(expr.exp), evaluate=False))
    if isinstance(expr, Transpose):
        return [(c, tuple(_flip(x) for x in reversed(w))) for c, w in words(expr.arg)] if not isinstance(
            expr.arg, MatrixSymbol) else [(sympy.S.One, (expr,))]
    if isinstance(expr, Identity):
        return [(sympy.S.One, ())]
    if isinstance(expr, ZeroMatrix):
        return []
    return [(sympy.S.One, (expr,))]


def _flip(letter):
    return letter.arg if isinstance(letter, Transpose) else Transpose(letter)


def _rewrite(word: tuple, rules: dict) -> tuple:
    """The product with every rule applied until none fits; a rule takes adjacent factors to others."""
    again = True
    while again:
        again = False
        for old, new in rules.items():
            for k in range(len(word) - len(old) + 1):
                if word[k : k + len(old)] == old:
                    word, again = word[:k] + new + word[k + len(old) :], True
                    break
    return word


def _turned(word: tuple, rules: dict) -> tuple:
    """The first, in a fixed order, of the products that have the same trace: rotations, and those of the transpose."""
    flipped = tuple(_flip(x) for x in reversed(word))
    turns = [_rewrite(w[k:] + w[:k], rules) for w in (word, flipped) for k in range(len(word))]
    return min(turns, key=lambda w: (len(w), [(isinstance(x, Transpose), str(x)) for x in w]), default=())


def normal(expr, rules: dict = SYMMETRIC):
    """The expression multiplied out and in normal form: zero if it is zero by the laws of sums, products, transposes
    and traces, and by `rules`, which take adjacent factors to others, e.g. `{(Transpose(U), U): ()}` for U'U = I."""
    def collect(pairs):
        total: dict = {}
        for c, w in pairs:
            total[w] = total.get(w, 0) + c
        return [(c, w) for w, c in total.items() if sympy.expand(c) != 0]

    if expr.is_Matrix:
        terms = collect((c, _rewrite(w, rules)) for c, w in words(expr))
        parts = [MatMul(sympy.expand(c), *(w or (Identity(expr.shape[0]),))) for c, w in terms]
        return MatAdd(*parts) if len(parts) > 1 else parts[0].doit() if parts else ZeroMatrix(*expr.shape)

    def trace(matrix):
        terms = collect((c, _turned(w, rules)) for c, w in words(matrix))
        return sympy.Add(*(c * Trace(MatMul(*w) if w else Identity(matrix.shape[0])) for c, w in terms))

    return sympy.expand(sympy.expand(expr).replace(lambda e: isinstance(e, Trace), lambda e: trace(e.arg)))


def equal(left, right, rules: dict = SYMMETRIC) -> bool:
    """Whether two expressions have the same normal form."""
    difference = normal(left - right, rules)
    return difference == (ZeroMatrix(*left.shape) if left.is_Matrix else 0)


# What eq. 22 should say, and its two terms that the paper prints otherwise.
V_RATE = -2 * Trace(B * E * A.T * A * E.T * B.T) - Trace(A.T * B * E * E.T * B.T * A)  # eq. 18
V_SECOND = (
    4 * Trace(B * E * A.T * A * A.T * A * E.T * B.T) + 4 * Trace(B * W * B * E * A.T * A * E.T * B.T)
    - 4 * Trace(B * E * E.T * B.T * A * E.T * B.T) - 2 * Trace(E.T * B.T * B * E * E.T * B.T * A)
    + 2 * Trace(A.T * B * E * A.T * A * E.T * B.T * A) + 2 * Trace(A.T * B * W * B * E * E.T * B.T * A))


def closed_form_holds() -> bool:
    """A = U a V', W = T V w U' with a' = s(1 - wa), w' = a(1 - wa), mode by mode, satisfy eqs. 8 and 9 where BT = U s V'.

    For matrices of symbolic size: U'U = V'V = I, and the diagonal a, w, s commute and are their own transposes."""
    r = sympy.Symbol("r", integer=True, positive=True)
    U, R = MatrixSymbol("U", n_h, r), MatrixSymbol("V", n_i, r)
    a, w, d = (MatrixSymbol(name, r, r) for name in ("a", "w", "s"))
    rules = {(Transpose(U), U): (), (Transpose(R), R): (), (B, T): (U, d, Transpose(R)), (w, a): (a, w), (d, a): (a, d),
             (w, d): (d, w), **{(Transpose(x),): (x,) for x in (a, w, d)}}
    modes = {a: d - d * w * a, w: a - a * w * a}
    A_, W_ = U * a * R.T, T * R * w * U.T
    E_ = T - W_ * A_
    return equal(rate(A_, modes), B * E_, rules) and equal(rate(W_, modes), E_ * A_.T, rules)


def mode_law_holds() -> bool:
    """With w = a^2/(2s) and a = (2s)^(1/3) y, a' = s(1 - wa) is y' = 2^(-1/3) s^(2/3) (1 - y^3), and w' follows."""
    y, d = sympy.symbols("y s", positive=True)
    a = (2 * d) ** sympy.Rational(1, 3) * y
    w = a**2 / (2 * d)
    y_rate = 2 ** sympy.Rational(-1, 3) * d ** sympy.Rational(2, 3) * (1 - y**3)
    return all(sympy.simplify(x) == 0 for x in (
        a.diff(y) * y_rate - d * (1 - w * a), w.diff(y) * y_rate - a * (1 - w * a), w * a - y**3))


# ---------------------------------------------------------------- the checks of the table, where they take more than a line


def _explicit(name: str, rows: int, columns: int):
    return sympy.Matrix(rows, columns, lambda i, j: sympy.Symbol(f"{name}_{i}{j}", real=True))


def _white_moment() -> bool:
    """[x x'] = I for i.i.d. standard normal elements, three of them, by integration; then eqs. 4, 5 are eqs. 6, 7."""
    x = [Normal(f"x{k}", 0, 1) for k in range(3)]
    moments = sympy.Matrix(3, 3, lambda i, j: expectation(x[i] * x[j]))
    return moments == sympy.eye(3)


def _updates_whiten() -> bool:
    white = {S: Identity(n_i)}
    return _white_moment() and equal((E * S * A.T).subs(white), E * A.T) and equal((B * E * S).subs(white), B * E)


def _steps_become_the_flow(instances: int = 100) -> bool:
    """Learning in small steps ends, at time 1, at a distance from the flow that halves with the step."""
    ratios = []
    for seed in range(instances):
        target, feedback = flow.instance((5, 4, 2), seed)
        there = flow.closed_form(target, feedback, np.array([1.0]))
        far = []
        for steps in (200, 400):
            run = flow.batch(target, feedback, 1 / steps, steps, every=steps)
            far.append(np.hypot(np.linalg.norm(run.A[-1] - there.A[-1]), np.linalg.norm(run.W[-1] - there.W[-1])))
        ratios.append(far[0] / far[1])
    return bool(min(ratios) > 1.9 and max(ratios) < 2.1)


def _sign_of_C() -> bool:
    """With C as defined, BW + W'B' is AA' + C; AA' - C would make it differ by 2C."""
    return equal(B * W + W.T * B.T, A * A.T + C) and equal(B * W + W.T * B.T - (A * A.T - C), 2 * C) and not equal(
        B * W + W.T * B.T, A * A.T - C)


def _product_rule() -> bool:
    """Eq. 11, for any velocities of A and W: along the flow both of its sides are zero, and any multiple of them too."""
    return equal(rate(C, {A: A_DOT, W: W_DOT}), MatAdd(*C_RATE))


def _terms_on_the_flow() -> bool:
    """Eq. 12: each term of eq. 11 with eqs. 8, 9 put in."""
    flowing = {A_DOT: WHITE[A], W_DOT: WHITE[W]}
    return all(equal(left.subs(flowing), right) for left, right in zip(C_RATE, C_RATE_ON_THE_FLOW, strict=True))


def _invariant_derived() -> bool:
    return equal(rate(C), ZeroMatrix(n_h, n_h)) and equal(rate(C, ANY_INPUTS), ZeroMatrix(n_h, n_h))


def _error_vanishes(instances: int = 100) -> bool:
    """|E| < 1e-6 |T| at the end of the flow from A = W = 0, for each of the random instances."""
    shapes = ((6, 4, 2), (8, 5, 3), (10, 7, 4), (12, 8, 5))
    for seed, (n_in, n_hidden, n_out) in zip(range(instances), itertools.cycle(shapes), strict=False):
        target, feedback = flow.instance((n_in, n_hidden, n_out), seed)
        t = np.array([0.0, flow.horizon(target, feedback, 1e-7)])
        end = flow.integrate(target, feedback, np.zeros((n_hidden, n_in)), np.zeros((n_out, n_hidden)), t, rtol=1e-8)
        if not end.error[-1] < 1e-6:
            return False
    return True


def _V_falls_with_C() -> bool:
    """Eqs. 16-18: V' is the printed form, less tr(C B E E' B'), which is not there when C = 0; each term a squared norm."""
    X = B * E * E.T * B.T
    return equal(rate(V), V_RATE - Trace(C * X)) and equal(
        V_RATE, -2 * Trace((B * E * A.T) * (B * E * A.T).T) - Trace((A.T * B * E) * (A.T * B * E).T))


def _cauchy_schwarz() -> bool:
    """|X|^2 |Y|^2 - tr(X Y')^2 is a sum of squares (Lagrange), for explicit matrices of three shapes."""
    for shape in ((1, 2), (2, 2), (2, 3)):
        X, Y = _explicit("x", *shape), _explicit("y", *shape)
        squares = sum((p * v - q * u) ** 2 for (p, u), (q, v) in itertools.combinations(zip(X, Y, strict=True), 2))
        if sympy.expand((X * X.T).trace() * (Y * Y.T).trace() - (X * Y.T).trace() ** 2 - squares) != 0:
            return False
    return True


def _bound_of_A(instances: int = 100) -> bool:
    """Eq. 21 fails at starts with C = 0 and a large A; max(s(0), |BT|^2, 2 n_h) holds on all of the instances."""
    exceeded = 0
    for seed in range(instances):
        target, feedback = flow.instance((5, 4, 2), seed)
        n_hidden = len(feedback)
        start = flow.balanced_start(target, feedback, seed, scale=8.0)
        run = flow.integrate(target, feedback, *start, np.linspace(0, 5, 21), rtol=1e-8)
        size, push = (run.A**2).sum((1, 2)), ((feedback @ target) ** 2).sum()
        if (size > 1.000001 * max(size[0], push, 2 * n_hidden)).any():
            return False
        exceeded += size[0] > push + 2 * n_hidden
    size, n = sympy.symbols("s n", positive=True)
    # The printed chain: 2s - s^2/n^2 changes its sign at s = 2 n^2; with |AA'|^2 >= s^2/n it is at 2 n.
    loose, sharp = sympy.solve(2 * size - size**2 / n**2, size), sympy.solve(2 * size - size**2 / n, size)
    return loose == [2 * n**2] and sharp == [2 * n] and bool(exceeded > instances // 2)


def _second_derivative() -> bool:
    """Eq. 22: the corrected form is the derivative of eq. 18. The printed one multiplies E, of n_i columns, by B, of n_h
    rows, which does not fit where n_h < n_i; where it fits (n_h = n_i) it has another value."""
    if not equal(rate(V_RATE), V_SECOND):
        return False
    try:
        MatrixSymbol("B", 3, 2) * MatrixSymbol("E", 2, 4) * MatrixSymbol("B", 3, 2)
    except ShapeError:
        pass
    else:
        return False
    rng = np.random.default_rng(0)
    a, b, e = rng.standard_normal((3, 3)), rng.standard_normal((3, 2)), rng.standard_normal((2, 3))
    printed = -4 * np.trace(b @ e @ b @ e @ a.T @ a @ e.T @ b.T) - 2 * np.trace(b @ e @ b @ e @ e.T @ b.T @ a)
    right = -4 * np.trace(b @ e @ e.T @ b.T @ a @ e.T @ b.T) - 2 * np.trace(e.T @ b.T @ b @ e @ e.T @ b.T @ a)
    return bool(abs(printed - right) > 1)


def _last_step() -> bool:
    """Eq. 23 with B+ B = I: B+ (B T E' B') (B+)' = T E', the transpose of E T'; and EE' = ET' - EA'W'."""
    pinv = MatrixSymbol("B^+", n_o, n_h)
    rules = {(pinv, B): (), (Transpose(B), Transpose(pinv)): ()}
    return equal(pinv * B * T * E.T * B.T * pinv.T, T * E.T, rules) and equal((T * E.T).T, E * T.T) and equal(
        E * (T - W * A).T, E * T.T - E * A.T * W.T)


def _spread(examples: int = 3, outputs: int = 2):
    """The three forms of the normalisation, eqs. 2-4, each summand in brackets, for explicit symbols."""
    y = _explicit("y", examples, outputs)
    mean = [sum(y[t, i] for t in range(examples)) / examples for i in range(outputs)]
    each = list(itertools.product(range(examples), range(outputs)))
    return tuple(sum(f(y[t, i], mean[i]) for t, i in each) / examples for f in (
        lambda v, m: (v - m) ** 2, lambda v, m: v**2 - 2 * m * v + m**2, lambda v, m: v**2 - m**2))


def _normalisation(number: int) -> bool:
    forms = _spread()
    return sympy.expand(forms[number - 2] - forms[0]) == 0


EQUATIONS_METHODS = (
    Equation("main 1", r"\Delta W_0 \propto B e x^{\mathsf T}", DEFINITION, "the rule; the factor is positive"),
    Equation("main 2", r"\frac1T \sum_t \sum_i (y_i(t) - \bar y_i)^2", DEFINITION,
             "of the normalisation; y is the target, and the loss it divides is a mean over t too"),
    Equation("main 3", r"= \frac1T \sum_t \sum_i (y_i(t))^2 - 2 \bar y_i * y_i(t) + \bar y_i^2", DERIVED,
             "SymPy, explicit symbols, 3 examples of 2 outputs; the summand in brackets, which are not printed",
             lambda: _normalisation(3)),
    Equation("main 4", r"= \frac1T \sum_t \sum_i (y_i(t))^2 - \bar y_i^2", DERIVED,
             "SymPy, explicit symbols, 3 examples of 2 outputs; in brackets, and only when summed over t",
             lambda: _normalisation(4)),
)

EQUATIONS = (
    Equation("SI 2", r"\Delta W = \eta E x x^{\mathsf T} A^{\mathsf T}", DEFINITION, "the rule"),
    Equation("SI 3", r"\Delta A = \eta B E x x^{\mathsf T}", DEFINITION, "the rule"),
    Equation("SI 4", r"\Delta W = \eta [E x x^{\mathsf T} A^{\mathsf T}]", DEFINITION, "batch learning"),
    Equation("SI 5", r"\Delta A = \eta [B E x x^{\mathsf T}]", DEFINITION, "batch learning"),
    Equation("SI 6", r"\Delta W = \eta E A^{\mathsf T}", DERIVED,
             "[xx'] = I by integration for three normal inputs; the product for symbolic sizes", _updates_whiten),
    Equation("SI 7", r"\Delta A = \eta B E", DERIVED,
             "[xx'] = I by integration for three normal inputs; the product for symbolic sizes", _updates_whiten),
    Equation("SI 8", r"\dot W = E A^{\mathsf T}", CHECKED,
             "100 instances: the distance of the steps of eqs. 6, 7 from the flow halves with the step",
             _steps_become_the_flow),
    Equation("SI 9", r"\dot A = B E", CHECKED,
             "100 instances: the distance of the steps of eqs. 6, 7 from the flow halves with the step",
             _steps_become_the_flow),
    Equation("SI 10", r"B W + W^{\mathsf T} B^{\mathsf T} = A A^{\mathsf T} - C", WRONG,
             "SymPy, symbolic sizes: with C as defined below it the sign is the other; the Note's last sentence has it so",
             _sign_of_C, corrected=r"B W + W^{\mathsf T} B^{\mathsf T} = A A^{\mathsf T} + C"),
    Equation("SI 11", r"\dot C = B \dot W + \dot W^{\mathsf T} B^{\mathsf T} - \dot A A^{\mathsf T} - A \dot A^{\mathsf T}",
             DERIVED, "SymPy, symbolic sizes: the product rule, for any velocities of A and W", _product_rule),
    Equation("SI 12", r"= B E A^{\mathsf T} + A E^{\mathsf T} B^{\mathsf T} - B E A^{\mathsf T}"
             r" - A E^{\mathsf T} B^{\mathsf T}", DERIVED,
             "SymPy, symbolic sizes: eq. 11 with eqs. 8, 9 put in, term by term", _terms_on_the_flow),
    Equation("SI 13", r"= 0", DERIVED, "SymPy, symbolic sizes; also for inputs of any covariance", _invariant_derived),
    Equation("SI 14", r"\lim_{t \to \infty} E = 0", CHECKED,
             "100 instances of 4 shapes integrated; a proof, without C = 0, is in the notebook", _error_vanishes),
    Equation("SI 15", r"V = \mathrm{tr}(B E E^{\mathsf T} B^{\mathsf T})", DEFINITION, "of V"),
    Equation("SI 16", r"\dot V = -2\,\mathrm{tr}(B E A^{\mathsf T} A E^{\mathsf T} B^{\mathsf T})"
             r" - 2\,\mathrm{tr}(B W B E E^{\mathsf T} B^{\mathsf T})", DERIVED, "SymPy, symbolic sizes", lambda: equal(
                 rate(V), -2 * Trace(B * E * A.T * A * E.T * B.T) - 2 * Trace(B * W * B * E * E.T * B.T))),
    Equation("SI 17", r"2\,\mathrm{tr}(B W B E E^{\mathsf T} B^{\mathsf T})"
             r" = \mathrm{tr}(A^{\mathsf T} B E E^{\mathsf T} B^{\mathsf T} A)", DERIVED,
             "SymPy, symbolic sizes: the difference is tr(C BEE'B')", lambda: equal(
                 2 * Trace(B * W * B * E * E.T * B.T) - Trace(A.T * B * E * E.T * B.T * A), Trace(C * B * E * E.T * B.T))),
    Equation("SI 18", r"\dot V = -2\,\mathrm{tr}(B E A^{\mathsf T} A E^{\mathsf T} B^{\mathsf T})"
             r" - \mathrm{tr}(A^{\mathsf T} B E E^{\mathsf T} B^{\mathsf T} A) \le 0", DERIVED,
             "SymPy, symbolic sizes: each term minus a squared norm", _V_falls_with_C),
    Equation("SI 19", r"\dot s = 2\,\mathrm{tr}(B T A^{\mathsf T}) - \mathrm{tr}(A A^{\mathsf T} A A^{\mathsf T})", DERIVED,
             "SymPy, symbolic sizes: the difference is tr(C AA')", lambda: equal(
                 rate(s).subs(E, T - W * A), 2 * Trace(B * T * A.T) - Trace(A * A.T * A * A.T) - Trace(C * A * A.T))),
    Equation("SI 20", r"\mathrm{tr}(B T A^{\mathsf T})^2 \le s \lVert B T \rVert^2", DERIVED,
             "SymPy, explicit symbols of shapes 1x2, 2x2, 2x3: the difference is a sum of squares", _cauchy_schwarz),
    Equation("SI 21", r"s \le \lVert B T \rVert^2 + 2 n_h", WRONG,
             "100 starts with C = 0 and a large A, most of which begin above it; the printed estimate gives 2 n_h^2, a "
             "sharper one 2 n_h", _bound_of_A, corrected=r"s \le \max(s(0), \lVert B T \rVert^2, 2 n_h)"),
    Equation("SI 22", r"\dot V = \dots - 4\,\mathrm{tr}(B E B E A^{\mathsf T} A E^{\mathsf T} B^{\mathsf T})"
             r" - 2\,\mathrm{tr}(B E B E E^{\mathsf T} B^{\mathsf T} A) + \dots", WRONG,
             "SymPy, symbolic sizes: these two terms, which do not fit in shape, and a dot are wrong; the other four hold",
             _second_derivative,
             corrected=r"\ddot V = \dots - 4\,\mathrm{tr}(B E E^{\mathsf T} B^{\mathsf T} A E^{\mathsf T} B^{\mathsf T})"
             r" - 2\,\mathrm{tr}(E^{\mathsf T} B^{\mathsf T} B E E^{\mathsf T} B^{\mathsf T} A) + \dots"),
    Equation("SI 23", r"0 = B T E^{\mathsf T} B^{\mathsf T} = B^+ B T E^{\mathsf T} B^{\mathsf T} (B^+)^{\mathsf T}"
             r" = T E^{\mathsf T} = E T^{\mathsf T}", DERIVED,
             "SymPy, symbolic sizes, from B+B = I; the equalities are between zero matrices of unlike shapes", _last_step),
)
