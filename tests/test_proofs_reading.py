"""What is shown is what is checked: LaTeX read back, and errors planted in every formula of the book's table."""

from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

from fa_core.proofs import (
    WRONG,
    Equation,
    alignment,
    conservative,
    convergence,
    gauss_newton,
    pseudoinverse,
    spiking,
)
from fa_core.proofs.reading import TOKEN, DoesNotFit, Reading, held_in

TABLE = [
    *convergence.EQUATIONS_METHODS,
    *spiking.EQUATIONS,
    *alignment.EQUATIONS_UNITS,
    *convergence.EQUATIONS,
    *alignment.EQUATIONS,
    *pseudoinverse.EQUATIONS,
    *gauss_newton.EQUATIONS,
    *conservative.EQUATIONS,
]

TURNED = {"+": "-", "-": "+", r"\le": r"\ge", r"\ge": r"\le", "<": ">", ">": "<", r"\ne": "="}


def planted(latex: str):
    """The formula with one error: a sign or an order turned, a number changed in its last digit, a transposition or a
    factor `\\odot D` left out, a side or a term doubled, or its sign turned."""
    tokens = [m.group(0) for m in TOKEN.finditer(latex)]
    spans = [m.span() for m in TOKEN.finditer(latex)]
    text = latex.index(r"\text{") if r"\text{" in latex else len(latex)
    for token, (begin, end) in zip(tokens, spans, strict=True):
        before, after = latex[:begin], latex[end:]
        if token in TURNED and not (token in "+-" and before.endswith(("^", r"\mathsf T ", "{*", r"\to 0^", "+", "0^"))):
            yield before + TURNED[token] + after
        if token[0].isdigit():
            digits = len(token.partition(".")[2])
            yield before + (f"{float(token) + 10**-digits:.{digits}f}") + after
        if token == r"\odot":
            yield before.rstrip() + after.lstrip()[1:]
        if token in ("=", r"\propto", r"\approx") and begin < text and not after.lstrip().startswith((r"\begin", "0")):
            yield before + token + "-" * (not after.lstrip().startswith("-")) + after.lstrip().removeprefix("-")
            if token != r"\propto":
                factor = after.lstrip()
                yield before + token + ("-2 " + factor[1:] if factor.startswith("-") else "2 " + factor)
    for turned in (r"^{\mathsf T}", r"\mathsf T "):
        pieces = latex.split(turned)
        for k in range(1, len(pieces)):
            yield turned.join(pieces[:k]) + turned.join(pieces[k:])


def noticed(equation: Equation, wrong: str) -> bool:
    """Whether the check fails where the page shows that LaTeX for the form that holds."""
    try:
        return not replace(equation, **{"corrected" if equation.corrected else "says": wrong}).holds()
    except ValueError:  # it cannot be read
        return True


# True as well: from below the limit is the same.
NO_ERROR = {r"\Delta h = -\lim_{\lambda \to 0^+} (e_h^{\mathsf T} e_h - \lambda I)^{-1} e_h^{\mathsf T} e = -e_h^+ e"}


@pytest.mark.parametrize("equation", TABLE, ids=lambda e: e.key)
def test_an_error_planted_in_what_a_page_shows_is_noticed(equation):
    shown = equation.corrected or equation.says
    errors = set(planted(shown)) - NO_ERROR
    assert [wrong for wrong in errors if not noticed(equation, wrong)] == []


def first(worlds):
    return next(iter(worlds()))


def square():
    """A world in which every product fits, for what is printed and does not."""
    rng = np.random.default_rng(0)
    numbers = {r"\dots": 0.0, r"\dot V": 0.0, "n_h": 3, "C": np.ones((3, 3)), "s": 1.0}
    return {name: rng.standard_normal((3, 3)) for name in ("A", "B", "E", "T", "W")} | numbers


def of_a_time(y, i, t):
    """Eqs. 3 and 4 as printed, where i and t stand free."""
    return (y**2).sum() / y.shape[1], y[i].mean(), y[i, t]


# Of what the table says is wrong: a world, and the last side as the paper prints it, written out in NumPy and SymPy.
PRINTED = {
    "main 3": (
        lambda: first(convergence.normalisation),
        lambda w: tuple(s - 2 * m * v + m**2 for i in range(3) for t in range(5) for s, m, v in [of_a_time(w["y"], i, t)]),
    ),
    "main 4": (
        lambda: first(convergence.normalisation),
        lambda w: tuple(s - m**2 for i in range(3) for s, m, _ in [of_a_time(w["y"], i, 0)]),
    ),
    "main 8": (
        lambda: first(spiking.layers),
        lambda w: tuple(
            np.tanh(u) * (b > 0) * np.exp(-v) / (1 + np.exp(-v)) ** 2
            for b in w["V^{l-1}(t)"]
            for u, v in zip(w["U^l(t)"], w["V^l(t)"], strict=True)
        ),
    ),
    "SI 10": (square, lambda w: w["A"] @ w["A"].T - w["C"]),
    "SI 21": (square, lambda w: ((w["B"] @ w["T"]) ** 2).sum() + 6),
    "SI 22": (
        square,
        lambda w: (
            lambda a, b, e: -4 * np.trace(b @ e @ b @ e @ a.T @ a @ e.T @ b.T) - 2 * np.trace(b @ e @ b @ e @ e.T @ b.T @ a)
        )(w["A"], w["B"], w["E"]),
    ),
    "SI 28": (square, lambda w: np.trace(w["A"].T @ w["B"] @ w["E"])),
    "SI 45": (lambda: first(pseudoinverse.lemma), lambda w: w["s_h"] + w[r"\eta"] * (1 - w["s_y"]) * w["s_h"]),
    "SI 47": (lambda: list(pseudoinverse.of_each_step())[9], lambda w: np.linalg.pinv(w["W"], rcond=1e-10) @ w["e"]),
    "SI 49": (lambda: first(pseudoinverse.pairs), lambda w: w["s"] * w["B"] @ w["y^*"]),
    "SI 53": (lambda: list(gauss_newton.damped_steps())[2], lambda w: -np.linalg.pinv(w["e_h"]) @ w["e"]),
    "SI 56": (
        lambda: first(gauss_newton.changing("gradient")),
        lambda w: tuple((w[r"\eta"] * (w["W"].T @ w["e"]) * w["D"][:, None] * w["x"].T).T.ravel()),
    ),
    "SI 67": (lambda: first(conservative.networks()), lambda w: -0.1 * w[r"\partial\mathcal L/\partial c"]),
    "SI 71": (
        lambda: first(conservative.networks()),
        lambda w: sum(((w["B"] @ p["e"]) * p["D"]) @ p["x"].T for p in w["data"]),
    ),
    "SI 72": (lambda: first(conservative.networks()), lambda w: sum((w["B"] @ p["e"]) * p["D"] for p in w["data"])),
    "SI 73": (
        lambda: first(conservative.scalars),
        lambda w: tuple(
            sp.diff(conservative.e**2 / 2, p) for p in (conservative.W, conservative.A, conservative.b, conservative.c)
        ),
    ),
    "SI 74": (
        lambda: first(conservative.scalars),
        lambda w: tuple(tuple(row) for row in conservative.printed_hessian(conservative.e**2 / 2).tolist()),
    ),
    "SI 79": (
        lambda: first(conservative.scalars),
        lambda w: tuple(tuple(row) for row in conservative.printed_jacobian().tolist()),
    ),
}
WRONG_ONES = [e for e in TABLE if e.kind == WRONG]


def as_printed(equation: Equation, latex: str) -> bool:
    """Whether the last side of the first chain of that LaTeX (of eq. 28 the last but one) has the value given above."""
    world, expected = PRINTED[equation.key]
    world = world()
    try:
        found, wanted = Reading(latex).sides(world)[-2 if equation.key == "SI 28" else -1], expected(world)
        return Reading("a = b").holds({"a": found, "b": wanted})
    except (ValueError, DoesNotFit):
        return False


@pytest.mark.parametrize("equation", [e for e in WRONG_ONES if e.key in PRINTED], ids=lambda e: e.key)
def test_what_is_said_to_be_wrong_is_what_the_paper_prints(equation):
    assert as_printed(equation, equation.says)


def test_two_printed_forms_that_do_not_fit_lack_what_the_corrected_ones_have():
    table = {e.key: e for e in TABLE}
    assert table["SI 57"].says == table["SI 57"].corrected.replace("(W^+)_k^j", "W_k^+")
    assert table["SI 59"].says == table["SI 59"].corrected.replace("(W^+)_k^j", "W_k^+ D^j x^i")
    assert {e.key for e in WRONG_ONES} == PRINTED.keys() | {"SI 57", "SI 59"}


@pytest.mark.parametrize(
    ("latex", "world", "value"),
    [
        (r"a = b c^{\mathsf T}", {"b": np.ones((2, 1)), "c": np.ones((3, 1))}, np.ones((2, 3))),
        (r"a = -2 b^2 + b", {"b": 3.0}, -15.0),
        (r"a = \frac{b}{2} - b / 4", {"b": 4.0}, 1.0),
        (r"a = \lVert b \rVert^2", {"b": np.array([[3.0, 4.0]])}, 25.0),
        (r"a = \lVert b \rVert^{2/3}", {"b": 8.0 * np.eye(1)}, 4.0),
        (r"a = \sum_k x^k W_k^j", {"x": np.array([1.0, 2.0]), "W": np.eye(2), "index": {"k": 2}, "at": {"j": 1}}, None),
        (r"a = \sum b", {"data": [{"b": 1.0}, {"b": 2.0}]}, 3.0),
        (r"a = [b]", {"data": [{"b": 1.0}, {"b": 2.0}]}, 1.5),
        (r"a = s_h^{t+1} \dot B^{\mathsf T}", {"s_h^{t+1}": 2.0, r"\dot B": np.array([[1.0, 2.0]])}, [[2.0], [4.0]]),
        (r"a = \sigma(b + 1)", {r"\sigma": np.sqrt, "b": 8.0}, 3.0),
        (r"a = (W^+)_k^j", {"W": 2 * np.eye(2), "index": {"j": 2, "k": 2}}, (0.5, 0.0, 0.0, 0.5)),
        (r"a = b \odot c d", {"b": np.ones((2, 1)), "c": 3 * np.ones((2, 1)), "d": 2.0}, [[6.0], [6.0]]),
    ],
)
def test_a_formula_has_the_value_that_a_reader_gives_it(latex, world, value):
    if value is None:
        assert not Reading(latex).holds(world | {"a": 1.0}), "j is not an index that this world has"
    else:
        found = Reading(latex).sides(world | {"a": 0.0})[-1]
        np.testing.assert_allclose(found, value)


@pytest.mark.parametrize("latex", [r"a = b c", "a = b + c", r"a = b^{-1}", "a = d", r"a = b_k", r"a = \lim_{t \to 0} b"])
def test_what_does_not_fit_does_not_hold(latex):
    world = {"a": np.ones((2, 3)), "b": np.ones((2, 3)), "c": np.ones((2, 2)), "index": {}}
    assert not Reading(latex).holds(world)


@pytest.mark.parametrize("latex", ["a = (b", "a = ", r"a = \mathrm{rank}(b)", "a ^", "= = b", r"a = \frac{b}{c d)}"])
def test_latex_that_cannot_be_read_is_refused_when_the_equation_is_made(latex):
    with pytest.raises(ValueError, match="cannot read"):
        Equation("SI 10", latex, "derived, all sizes", "by hand", lambda *_: True)


def test_a_clause_holds_under_its_conditions_and_has_to_apply_somewhere():
    says = Reading(r"a > 0 \text{ if } b < 1")
    assert says.holds({"a": 1.0, "b": 0.0})
    assert not says.holds({"a": -1.0, "b": 0.0})
    assert says.holds({"a": -1.0, "b": 2.0})
    assert not held_in(lambda: [{"a": 1.0, "b": 2.0}])(says, None), "nothing is shown where it never applies"
    assert held_in(lambda: [{"a": 1.0, "b": 0.0}])(says, None)


def test_what_holds_as_printed_is_not_called_wrong():
    check = held_in(lambda: [{"a": 1.0, "b": 1.0}])
    assert not check(Reading("a = b"), Reading("b = a"))
    assert check(Reading("a = 2 b"), Reading("b = a"))
