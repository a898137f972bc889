"""What the fields of an experiment may be: kinds of value, each a test and the words for what passes it.

A field says its kind where it is declared, `rate: Annotated[float, number(0)]`, and `declared` reads it there.
"""

import dataclasses
import math
import re
import reprlib
import typing
from collections.abc import Callable, Iterator
from typing import NamedTuple

MOST = 10**12  # examples, units, ...: nothing larger ends


class Kind(NamedTuple):
    """A kind of value: whether one is of it, and how to say so."""

    holds: Callable[[object], bool]
    words: str


def whole(least: int = 0, most: int = MOST) -> Kind:
    """A whole number, and not a truth value."""
    return Kind(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most,
        f"a whole number of {least} or more" + ("" if most == MOST else f", at most {most}"),
    )


def number(least: float = -math.inf, most: float = math.inf, below: float = math.inf) -> Kind:
    """A finite number."""
    bounds = [f"{least:g} or more"] if least > -math.inf else []
    bounds += [f"at most {most:g}"] if most < math.inf else [f"below {below:g}"] if below < math.inf else []
    return Kind(
        lambda v: (
            isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) and least <= v <= most and v < below
        ),
        "a finite number" + (f", {' and '.join(bounds)}" if bounds else ""),
    )


def several(kind: Kind, count: int | None = None) -> Kind:
    """A tuple of values of a kind, of any number of them or of `count`."""
    return Kind(
        lambda v: isinstance(v, tuple) and (count is None or len(v) == count) and all(map(kind.holds, v)),
        f"a tuple of {'' if count is None else f'{count}, '}each {kind.words}",
    )


def pair(first: Kind, second: Kind) -> Kind:
    """A tuple of two values of two kinds."""
    return Kind(
        lambda v: isinstance(v, tuple) and len(v) == 2 and first.holds(v[0]) and second.holds(v[1]),
        f"a pair of {first.words} and {second.words}",
    )


def either(*kinds: Kind) -> Kind:
    """A value of one of several kinds."""
    return Kind(lambda v: any(kind.holds(v) for kind in kinds), ", or ".join(kind.words for kind in kinds))


def just(value: object) -> Kind:
    """This value."""
    return Kind(lambda v: v is value or (type(v) is type(value) and v == value), repr(value))


TEXT = Kind(lambda v: isinstance(v, str), "a text")
SWITCH = Kind(lambda v: isinstance(v, bool), "True or False")
# It becomes the name of a file.
NAME = Kind(
    lambda v: isinstance(v, str) and re.fullmatch(r"\w[\w.+-]*", v) is not None,
    "a name of letters, digits and . _ + - that begins with a letter or a digit",
)
SEEDS = several(whole(most=2**63 - 1))
SCALE = number(0)  # of a draw
SCALES = either(SCALE, several(SCALE))
SHARE = number(0, 1)


def declared(described: type) -> dict[str, Kind]:
    """The kind of each field of a class, by its name, of those that have one."""
    hints = typing.get_type_hints(described, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


@dataclasses.dataclass(frozen=True)
class Values:
    """The base of small frozen dataclasses whose values belong together: each is checked, and a tuple says the same."""

    def __post_init__(self) -> None:
        check(self, declared(type(self)))

    def __iter__(self) -> Iterator:
        return iter(dataclasses.astuple(self))


def check(experiment: object, wanted: dict[str, Kind]) -> None:
    """Raises ValueError, with what was given and what is wanted, for the first field that is not of its kind."""
    for field, kind in wanted.items():
        value = getattr(experiment, field)
        if not kind.holds(value):
            raise ValueError(f"{field} wants {kind.words}; got {reprlib.repr(value)}")


def profile(name: str) -> str:
    """The profile's name. Raises ValueError for an unknown one."""
    if name not in ("paper", "smoke"):
        raise ValueError(f"unknown profile {name!r}; there are: paper, smoke")
    return name
