"""Arithmetic with guaranteed bounds, on arrays: what follows from it holds for every real number in the intervals.

IEEE 754 rounds each sum, difference and product to the nearest double, so that the next doubles below and above enclose
the exact value. An interval that overflows becomes infinite, or NaN, of which no comparison is true.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Interval:
    """The real numbers from `low` to `high`, arrays of one shape. Numbers in an expression stand for themselves, exactly."""

    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(value: Any) -> "Interval":
        """A number, an array of numbers, or an interval as it is."""
        if isinstance(value, Interval):
            return value
        value = np.asarray(value, dtype=float)
        return Interval(value, value)

    @staticmethod
    def cells(low: float, high: float, number: int) -> "Interval":
        """Intervals that together hold all from `low` to `high`, the decimals as they are written."""
        edges = np.linspace(low, high, number + 1)
        return _outward(edges[:-1], edges[1:])

    def __add__(self, other: Any) -> "Interval":
        other = Interval.of(other)
        return _outward(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Any) -> "Interval":
        other = Interval.of(other)
        return _outward(self.low - other.high, self.high - other.low)

    def __mul__(self, other: Any) -> "Interval":
        other = Interval.of(other)
        a, b, c, d = self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high
        return _outward(np.minimum(np.minimum(a, b), np.minimum(c, d)), np.maximum(np.maximum(a, b), np.maximum(c, d)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> "Interval":
        return Interval.of(other) - self

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def squared(self) -> "Interval":
        """The squares; tighter than the product, which does not know that its factors are one number."""
        ends = self.low * self.low, self.high * self.high
        spans = (self.low <= 0) & (self.high >= 0)
        found = _outward(np.where(spans, 0, np.minimum(*ends)), np.maximum(*ends))
        return Interval(np.maximum(found.low, 0), found.high)

    def inverse(self) -> "Interval":
        """One over it, where it is positive; else everything."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _outward(1 / self.high, 1 / self.low)
        return found.where(self.low > 0)

    @property
    def middle(self) -> np.ndarray:
        """A double within the interval."""
        return np.clip(self.low + (self.high - self.low) / 2, self.low, self.high)

    def __getitem__(self, which: Any) -> "Interval":
        return Interval(self.low[which], self.high[which])

    def meet(self, other: "Interval") -> "Interval":
        """What two enclosures of one number leave of each other."""
        return Interval(np.fmax(self.low, other.low), np.fmin(self.high, other.high))

    def where(self, known: np.ndarray) -> "Interval":
        """The interval where `known`, elsewhere everything."""
        return Interval(np.where(known, self.low, -np.inf), np.where(known, self.high, np.inf))

    @property
    def size(self) -> np.ndarray:
        """The largest absolute value."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def _outward(low: np.ndarray, high: np.ndarray) -> Interval:
    return Interval(np.nextafter(low, -np.inf), np.nextafter(high, np.inf))
