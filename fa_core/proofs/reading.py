r"""LaTeX read back, so that what a page shows is what is checked.

A formula is written once, as LaTeX, for the page; here it is parsed and evaluated, over NumPy arrays or SymPy expressions.
SymPy's own `parse_latex` takes products to commute and knows no transposes, dots or updates, of which these are made.

A formula is one or more clauses, set apart by semicolons. A clause is a list of chains, `a = b \le c`, and what comes after
a text that ends in "if" are the conditions under which they hold. Other text is passed over. A chain that begins with its
relation, or has none, goes on from `before`. Names are looked up in a world, a dictionary, spelt as in the LaTeX without
spaces: `\dot A`, `W_{t+1}`, `y^*`, `s_h^t`, `\phi_h`. Other keys of a world::

    index      sizes of the indices, e.g. {"i": 3, "j": 2}: then `A_i^j` is an element, row above and column below, `B_{jk}`
               in the order written, and a chain holds for all values of the indices that are not summed over
    data       worlds of single examples, over which a `\sum` without an index, or an expected value `[...]`, is taken
    limits     for what a `\lim` says, e.g. `t\to\infty`, what to evaluate the rest with
    d/dt       a function that differentiates
    equal      a function that compares two SymPy expressions; `slack`, their difference where it is not to be zero
    tolerance  of comparisons of numbers, relative; 1e-9
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from typing import Any

import numpy as np
import sympy as sp
from sympy.matrices.exceptions import ShapeError
from sympy.matrices.expressions.matexpr import MatrixExpr

TOKEN = re.compile(r"\\text\{([^{}]*)\}|\\[A-Za-z]+|\\\\|\\.|\d+(?:\.\d+)?|[A-Za-z]|_|[^\s\w]")
SPACES = {r"\,", r"\;", r"\!", r"\:", "\\ ", r"\left", r"\right", r"\big", r"\bigl", r"\bigr", r"\Big", r"\displaystyle"}
ACCENTS = {r"\dot", r"\ddot", r"\bar", r"\mathcal", r"\Delta", r"\nabla"}
RELATIONS = {"=", "<", ">", r"\le", r"\ge", r"\ne", r"\propto", r"\approx"}
SAME = {r"\lVert": r"\rVert", r"\lvert": r"\rvert"}

Value = Any  # a number, an array, a SymPy expression, or a tuple of such
World = dict[str, Any]
Worlds = Callable[[], Iterable[World]]
Part = Callable[[World], Value]


class DoesNotFit(Exception):
    """Sizes do not fit, an inverse does not exist, or an index stands alone: the formula says nothing."""


# ------------------------------------------------------------------------------------------------ what values do


def _matrix(a: Value) -> bool:
    return isinstance(a, np.ndarray | MatrixExpr | sp.MatrixBase)


def _number(a: Value) -> Value:
    """A 1 x 1 matrix as the number that it is; else itself."""
    if not _matrix(a) or a.shape != (1, 1):
        return a
    return sp.Trace(a) if isinstance(a, MatrixExpr) else a[0, 0]


def product(a: Value, b: Value) -> Value:
    """The matrix product, or the product with a number. Raises DoesNotFit."""
    if isinstance(b, tuple) and not _matrix(a):
        return _scaled(b, a)
    if isinstance(b, tuple):  # a row times a stack of matrices, as in e'e_hh
        if a.shape != (1, len(b)):
            raise DoesNotFit(f"{a.shape} times a stack of {len(b)}")
        return sum((a[0, k] * m for k, m in enumerate(b[1:], 1)), a[0, 0] * b[0])
    if _matrix(a) and _matrix(b):
        if a.shape[1] != b.shape[0]:
            a, b = _number(a), _number(b)
            if _matrix(a) and _matrix(b):
                raise DoesNotFit(f"{a.shape} times {b.shape}")
            return a * b
        return a @ b if isinstance(a, np.ndarray) else a * b
    return a * b


def total(a: Value, b: Value) -> Value:
    """The sum of two matrices of one size, or of two numbers. Raises DoesNotFit."""
    if not _matrix(a) or not _matrix(b):
        a, b = _number(a), _number(b)
    if _matrix(a) != _matrix(b) or (_matrix(a) and a.shape != b.shape):
        raise DoesNotFit("a sum of unlike sizes")
    return a + b


def _scaled(a: Value, factor: Value) -> Value:
    return tuple(_scaled(v, factor) for v in a) if isinstance(a, tuple) else factor * a


def trace(a: Value) -> Value:
    """The trace; that of a number is itself."""
    if not _matrix(a):
        return a
    return sp.Trace(a) if isinstance(a, MatrixExpr) else np.trace(a) if isinstance(a, np.ndarray) else a.trace()


def _inverse(a: Value) -> Value:
    if not _matrix(a):
        if a == 0:
            raise DoesNotFit("a division by zero")
        return a ** sp.Integer(-1) if isinstance(a, sp.Basic) else 1 / a
    if isinstance(a, np.ndarray):
        if a.shape[0] != a.shape[1] or np.linalg.cond(a) > 1e12:
            raise DoesNotFit("a matrix without inverse")
        return np.linalg.inv(a)
    return a.inv()


def _plus(a: Value) -> Value:
    if isinstance(a, MatrixExpr):
        raise DoesNotFit("a pseudoinverse of symbolic size")
    return np.linalg.pinv(a, rcond=1e-10) if isinstance(a, np.ndarray) else a.pinv() if _matrix(a) else 1 / a


def _power(a: Value, mark: str) -> Value:
    if mark in ("T", r"\mathsf T"):
        return a.T if _matrix(a) else a
    if mark == "+":
        return _plus(a)
    if mark == "-1":
        return _inverse(a)
    exponent = sp.Rational(mark)
    a = _number(a)
    if _matrix(a):
        raise DoesNotFit("a power of a matrix")
    return a**exponent if isinstance(a, sp.Basic) else a ** float(exponent)


def _flat(a: Value) -> list:
    if isinstance(a, tuple):
        return [v for part in a for v in _flat(part)]
    return list(np.asarray(a, dtype=float).ravel()) if isinstance(a, np.ndarray) else [a]


def _equal(a: Value, b: Value, world: World) -> bool:
    if isinstance(a, tuple) != isinstance(b, tuple) or (isinstance(a, tuple) and len(a) != len(b)):
        raise DoesNotFit("lists of unlike length")
    if isinstance(a, tuple):
        return all(_equal(p, q, world) for p, q in zip(a, b, strict=True))
    a, b = _number(a), _number(b)
    if isinstance(a, sp.Basic | sp.MatrixBase) or isinstance(b, sp.Basic | sp.MatrixBase):
        if _matrix(a) and not _matrix(b) and b == 0:
            b = 0 * a
        if _matrix(a) != _matrix(b) or (_matrix(a) and a.shape != b.shape):
            raise DoesNotFit("an equality of unlike sizes")
        if "equal" in world:
            return world["equal"](a - b, world.get("slack", 0 * a))
        return all(sp.cancel(sp.together(sp.expand(v.doit()))) == 0 for v in sp.Matrix([a - b]))
    if _matrix(a) and not _matrix(b) and b == 0:
        b = np.zeros(a.shape)
    if np.shape(a) != np.shape(b):
        raise DoesNotFit("an equality of unlike sizes")
    size = max(np.abs(a).max(), np.abs(b).max(), world.get("scale", 0.0))
    return bool(np.abs(np.subtract(a, b)).max() <= world.get("tolerance", 1e-9) * size)


def _compare(relation: str, a: Value, b: Value, world: World) -> bool:
    if relation in ("=", r"\approx"):
        return _equal(a, b, world)
    if relation == r"\ne":
        return not _equal(a, b, world)
    a, b = np.array(_flat(a)), np.array(_flat(b))
    if "equal" in world:  # of symbols: an order is for numbers to show
        return True
    if relation == r"\propto":
        factor = a @ b / (b @ b) if b.any() else 0.0
        return bool(factor > 0 and np.abs(a - factor * b).max() <= world.get("tolerance", 1e-9) * np.abs(a).max())
    slack = world.get("tolerance", 1e-9) * max(np.abs(a).max(), np.abs(b).max())
    return bool({"<": a < b, ">": a > b, r"\le": a <= b + slack, r"\ge": a >= b - slack}[relation].all())


# ------------------------------------------------------------------------------------------------ the formula


@dataclass(frozen=True)
class Chain:
    """Sides, as functions of a world, the relations between them, and the letters that may be indices."""

    sides: tuple
    relations: tuple[str, ...]
    letters: frozenset[str]

    def values(self, world: dict) -> list:
        """The value of each side; where there are indices, the tuple of its values for all that are not summed over."""
        free = sorted(self.letters & world.get("index", {}).keys())
        each = [dict(zip(free, v, strict=True)) for v in itertools.product(*(range(world["index"][k]) for k in free))]
        found = []
        for side in self.sides:
            values = [side(world | {"at": at}) for at in each]
            found.append(tuple(_number(v) for v in values) if free else values[0])
        return found

    def holds(self, world: dict) -> bool:
        """Whether every relation of the chain does; not, where sizes do not fit."""
        try:
            values = self.values(world)
            return all(_compare(r, a, b, world) for r, a, b in zip(self.relations, values, values[1:], strict=False))
        except (DoesNotFit, ShapeError):
            return False


@dataclass(frozen=True)
class Clause:
    """Chains that hold, under conditions."""

    chains: tuple[Chain, ...]
    given: tuple[Chain, ...]

    def applies(self, world: dict) -> bool:
        """Whether the conditions are met."""
        return all(c.holds(world) for c in self.given)


@dataclass(frozen=True)
class Reading:
    """A formula as it is read. Raises ValueError for LaTeX that it cannot read."""

    latex: str

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """What the formula says."""
        return _Parser(self.latex).clauses()

    def holds(self, world: dict) -> bool:
        """Whether every clause that applies holds; True if none applies."""
        return all(c.holds(world) for clause in self.clauses if clause.applies(world) for c in clause.chains)

    def sides(self, world: dict) -> list:
        """The values of the sides of the first chain."""
        return self.clauses[0].chains[0].values(world)

    def terms(self, world: dict) -> list:
        """The values of the terms of the last side of the first chain, with their signs."""
        return [_scaled(term(world), sign) for sign, term in self.clauses[0].chains[0].sides[-1].terms]


Check = Callable[[Reading, Reading | None], bool]


def kept(worlds: Worlds) -> Callable[[], list[World]]:
    """A function that gives these worlds as a list, made once."""
    return cache(wraps(worlds)(lambda: list(worlds())))


def held_in(*worlds: Worlds, also: Callable[[], bool] | None = None, reads: Callable[..., bool] | None = None) -> Check:
    """A check for an equation: what it says (or, where it does not hold as printed, the corrected form) holds in all of
    the worlds, every clause in some, and the printed form fails in one of them. worlds: functions that give dictionaries.
    also: a further check, without arguments; reads: one of the two readings."""

    def check(says: Reading, corrected: Reading | None) -> bool:
        right = corrected or says
        used, printed = set(), True
        for world in itertools.chain.from_iterable(w() for w in worlds):
            used |= {k for k, clause in enumerate(right.clauses) if clause.applies(world)}
            if not right.holds(world):
                return False
            printed = printed and says.holds(world)
        if len(used) < len(right.clauses) or (corrected and printed):
            return False
        return (reads is None or reads(says, corrected) is True) and (also is None or also() is True)

    return check


# ------------------------------------------------------------------------------------------------ the parser


@dataclass(frozen=True)
class Sum:
    """An expression: its terms, functions of a world, each with its sign; called, their total in a world."""

    terms: list[tuple[int, Callable[[dict], Any]]]

    def __call__(self, world: dict) -> Any:
        (sign, first), *more = self.terms
        result = _scaled(first(world), sign) if sign < 0 else first(world)
        for sign, term in more:
            result = total(result, _scaled(term(world), sign))
        return result


class _Parser:
    """Recursive descent; each rule returns a function of a world."""

    def __init__(self, latex: str) -> None:
        self.latex = latex
        self.letters: set[str] = set()
        self.tokens = [m.group(0) for m in TOKEN.finditer(latex) if m.group(0) not in SPACES]
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        if not token or wanted not in (None, token):
            raise ValueError(f"cannot read {self.latex!r}: {wanted or 'something'} wanted where {token or 'the end'} stands")
        self.at += 1
        return token

    def group(self) -> list[str]:
        """The tokens of a group in braces, or a single one."""
        if self.peek() != "{":
            return [self.take()]
        self.take("{")
        found, depth = [], 1
        while depth:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token, 0)
            found.append(token)
        return found[:-1]

    def inside(self, tokens: list[str]) -> "Sum":
        """The expression that the tokens of a group make."""
        inner = _Parser(self.latex)
        inner.tokens, inner.letters = tokens, self.letters
        value = inner.expression()
        if inner.peek():
            raise ValueError(f"cannot read {self.latex!r} from {inner.peek()!r}")
        return value

    def clauses(self) -> tuple[Clause, ...]:
        found = []
        while True:
            chains: list[Chain] = []
            given: list[Chain] = []
            into = chains
            while self.peek() not in ("", ";"):
                if self.peek().startswith(r"\text{"):
                    words = self.take()[6:-1].split()
                    into = given if words[-1:] == ["if"] else into
                elif self.peek() == ",":
                    self.take()
                else:
                    into.append(self.chain())
            found.append(Clause(tuple(chains), tuple(given)))
            if not self.peek():
                return tuple(found)
            self.take(";")

    def chain(self) -> Chain:
        self.letters = set()
        sides, relations = [], []
        if self.peek() in RELATIONS:
            sides.append(lambda world: world["before"])
            relations.append(self.take())
        sides.append(self.expression())
        while self.peek() in RELATIONS:
            relations.append(self.take())
            sides.append(self.expression())
        if not relations:
            sides, relations = [lambda world: world["before"], *sides], ["="]
        return Chain(tuple(sides), tuple(relations), frozenset(self.letters))

    def expression(self) -> Sum:
        terms: list[tuple[int, Callable[[dict], Any]]] = []
        sign = 1
        if self.peek() in ("+", "-"):
            sign = -1 if self.take() == "-" else 1
        terms.append((sign, self.term()))
        while self.peek() in ("+", "-"):
            sign = -1 if self.take() == "-" else 1
            terms.append((sign, self.term()))

        return Sum(terms)

    def ends(self) -> bool:
        token = self.peek()
        return token in ("", "+", "-", ",", ";", ")", "]", "}", "&", r"\\", r"\end", r"\rVert", r"\rvert", "|") or (
            token in RELATIONS or token.startswith(r"\text{")
        )

    def term(self) -> Part:
        if self.peek() == r"\sum":
            return self.summed()
        first, factors = self.factor(), []
        while not self.ends():
            operator = self.take() if self.peek() in ("*", "/", r"\cdot", r"\odot", r"\circ") else ""
            if self.peek() == r"\sum":
                factors.append((operator, self.summed(), False))
                break
            called = self.peek() == "("
            factors.append((operator, self.factor(), called))

        def value(world: World) -> Value:
            values = [("", first(world), False), *((o, f(world), c) for o, f, c in factors)]
            applied: list[tuple] = []
            for operator, v, bracket in values:  # a function takes the bracket that follows
                if applied and bracket and not operator and callable(applied[-1][1]):
                    function = applied[-1][1]
                    applied[-1] = (applied[-1][0], function(*v) if isinstance(v, tuple) else function(v))
                else:
                    applied.append((operator, v))
            result = applied[0][1]
            for operator, v in applied[1:]:
                if operator == "/":
                    result = product(result, _inverse(_number(v)))
                elif operator in (r"\odot", r"\circ"):
                    result = result.multiply_elementwise(v) if isinstance(result, sp.MatrixBase) else result * v
                else:
                    result = product(result, v)
            return result

        return value

    def summed(self) -> Part:
        self.take(r"\sum")
        letters = []
        if self.peek() == "_":
            self.take()
            letters = [t for t in self.group() if t.isalpha()]
        outside, self.letters = self.letters, set()
        body = self.term()
        self.letters = outside | self.letters - set(letters)

        def over_data(world: World) -> Value:
            if "data" not in world:
                raise DoesNotFit("a sum over nothing")
            values = [body(world | one) for one in world["data"]]
            result = values[0]
            for v in values[1:]:
                result = total(result, v)
            return result

        def over_index(world: World) -> Value:
            values = [body(world | {"at": world.get("at", {}) | {letters[0]: k}}) for k in range(world["index"][letters[0]])]
            result = values[0]
            for v in values[1:]:
                result = total(result, v)
            return result

        return over_index if letters else over_data

    def bracketed(self, close: str) -> Part:
        """What stands in brackets: one expression, or a tuple of several."""
        parts = [self.expression()]
        while self.peek() == ",":
            self.take()
            parts.append(self.expression())
        self.take(close)
        return parts[0] if len(parts) == 1 else lambda world: tuple(p(world) for p in parts)

    def factor(self) -> Part:
        token = self.peek()
        if token in ("(", r"\lVert", r"\lvert", "["):
            self.take()
            if token == "(":
                inner = self.bracketed(")")
            elif token == "[":
                content = self.bracketed("]")

                def inner(world: World) -> Value:
                    if "data" not in world:
                        return content(world)
                    values = [content(world | one) for one in world["data"]]
                    return sum(values[1:], values[0]) / len(values)
            else:
                content = self.bracketed(SAME[token])

                def inner(world: World) -> Value:
                    v = content(world)
                    if isinstance(v, np.ndarray):
                        return float(np.linalg.norm(v))
                    return sp.sqrt(trace(v * v.T)) if _matrix(v) else abs(v)

            return self.scripted(inner)
        if token in (r"\operatorname", r"\mathrm"):
            self.take()
            name = "".join(self.group())
            if name != "tr":
                raise ValueError(f"cannot read {self.latex!r}: the function {name!r} is not known")
            self.take("(")
            content = self.bracketed(")")
            return self.scripted(lambda world: trace(content(world)))
        if token == r"\max":
            self.take()
            self.take("(")
            content = self.bracketed(")")
            return lambda world: max(content(world))
        if token in (r"\frac", r"\tfrac"):
            return self.fraction()
        if token == r"\lim":
            self.take()
            self.take("_")
            where = _spelt(self.group())
            body = self.term()

            def limit(world: World) -> Value:
                if where not in world.get("limits", {}):
                    raise DoesNotFit(f"no limit {where} here")
                return body(world | world["limits"][where])

            return limit
        if token == r"\begin":
            return self.environment()
        if token[:1].isdigit():
            digits = self.take()
            number = float(digits) if "." in digits else int(digits)
            return self.scripted(lambda world: number)
        return self.named()

    def fraction(self) -> Part:
        self.take()
        above, below = self.group(), self.group()
        if above[0] in ("d", r"\partial"):
            name = _spelt(above) + "/" + _spelt(below)
            if name != "d/dt":
                return lambda world: _look(world, name)
            operand = self.factor()
            return lambda world: world["d/dt"](operand(world))
        numerator, denominator = self.inside(above), self.inside(below)
        return lambda world: product(numerator(world), _inverse(_number(denominator(world))))

    def environment(self) -> Part:
        self.take()
        kind = "".join(self.group())
        rows: list[list] = [[]]
        while self.peek() != r"\end":
            if self.peek() == r"\\":
                self.take()
                rows.append([])
            elif self.peek() == "&":
                self.take()
            elif kind == "cases" and rows[-1]:
                letters, self.letters = self.letters, set()
                rows[-1].append(self.chain())
                self.letters |= letters
            else:
                rows[-1].append(self.expression())
        self.take()
        self.group()
        if kind == "cases":
            return lambda world: self.case(rows, world)
        return lambda world: tuple(tuple(_number(v(world)) for v in row) for row in rows)

    @staticmethod
    def case(rows: list[list], world: World) -> Value:
        for value, when in rows:
            if when.holds(world):
                return value(world)
        raise DoesNotFit("none of the cases")

    def named(self) -> Part:
        """A name with its accents, scripts and, for a time, argument."""
        base = self.take()
        if not (base[0].isalpha() or base[0] == "\\"):
            raise ValueError(f"cannot read {self.latex!r} at {base!r}")
        while base in ACCENTS or base.split()[-1] in ACCENTS:
            base += " " + "".join(self.group())
        return self.scripted(None, base)

    def scripted(self, inner: Part | None, base: str = "") -> Part:
        below, above, argument, primes = [], [], "", ""
        while self.peek() in ("_", "^", "'"):
            token = self.take()
            if token == "'":
                primes += "'"
            elif token == "_":
                below = self.group()
            else:
                above = self.group()
        if base and self.peek() == "(" and self.peek(1) in ("t", "0"):
            size = next((k for k in range(6) if self.peek(k) == ")"), 1)
            content = [self.peek(k) for k in range(1, size)]
            if "".join(content) in ("t", "t-1", "0"):
                self.at += size + 1
                argument = "".join(content)
        name, marks = base + primes, []
        if above and re.fullmatch(r"(\*|T|\\mathsf|\+|-1|\d+(/\d+)?)+", "".join(above)):
            marks = re.findall(r"\*|T|\+|-1|\d+(?:/\d+)?", "".join(above))
            if base and marks[0] == "*":
                marks, name = marks[1:], name + "^*"
            above = []
        self.letters.update(t for t in (*below, *above, argument) if t.isalpha() and len(t) == 1)
        script = ("_" + _braced(below) if below else "") + ("^" + _braced(above) if above else "")
        full = name + script + (f"({argument})" if argument else "")

        def value(world: World) -> Value:
            for k in range(len(marks), -1, -1):  # B^+ may be a symbol of its own
                spelt = full + "".join(f"^{m}" for m in marks[:k])
                if base and spelt in world:
                    return _marked(world[spelt], marks[k:])
            at, places = world.get("at", {}), []
            kept = name if base else ""
            for part, tokens in (("^", above), ("_", below)):
                if tokens and all(t in at for t in tokens):
                    places += [at[t] for t in tokens]
                elif tokens:
                    kept += part + _braced(tokens)
            if argument and argument in at:
                places.append(at[argument])
            elif argument:
                kept += f"({argument})"
            found = inner(world) if inner else _look(world, kept)
            if inner and kept:
                raise DoesNotFit(f"the script {kept} is not an index")
            if places:
                found = np.asarray(_marked(found, marks[:1]) if marks and marks[0] == "+" else found)
                if found.ndim == 2 and len(places) == 1 and 1 in found.shape:
                    found = found.ravel()
                if found.ndim != len(places):
                    raise DoesNotFit(f"{full} has {len(places)} indices where {found.ndim} are wanted")
                return _marked(found[tuple(places)], marks[1:] if marks and marks[0] == "+" else marks)
            return _marked(found, marks)

        return value


def _marked(value: Value, marks: Sequence[str]) -> Value:
    for mark in marks:
        value = _power(value, mark)
    return value


def _spelt(tokens: list[str]) -> str:
    """Tokens as a name: a space only where a letter follows a command."""
    return "".join(
        t + " " * (t[0] == "\\" and after[:1].isalpha()) for t, after in zip(tokens, [*tokens[1:], ""], strict=True)
    )


def _braced(tokens: list[str]) -> str:
    return tokens[0] if len(tokens) == 1 else "{" + "".join(tokens) + "}"


def _look(world: dict, name: str) -> Value:
    if name not in world:
        raise DoesNotFit(f"nothing is called {name!r} here")
    return world[name]
