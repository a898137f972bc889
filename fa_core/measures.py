"""What is measured: angles, normalised squared error, error rate, intervals. NumPy in, NumPy out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


def angle(a: ArrayLike, b: ArrayLike, axis: int = -1) -> np.ndarray:
    """Signed angle between the vectors along `axis`, in degrees, 0 to 180; NaN where one of them is zero.

    `theta = arccos(a'b / (|a| |b|))`.  The paper prints `|a'b|`, by which no angle could exceed 90 degrees and
    Supplementary Fig. 9b could not be; the signed cosine is meant.
    """
    # Computed from unit vectors: arccos(cosine) loses half the digits near 0 and 180 degrees (Kahan's formula does not).
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        u = a / np.linalg.norm(a, axis=axis, keepdims=True)
        v = b / np.linalg.norm(b, axis=axis, keepdims=True)
    half = np.arctan2(np.linalg.norm(u - v, axis=axis), np.linalg.norm(u + v, axis=axis))
    return np.degrees(2 * half)


def mean_angle(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Mean over the examples that have one of the angle between signals `(..., examples, units)`; `(...)`, NaN where none
    has (no signal, or a run that diverged)."""
    angles = angle(a, b)
    there = np.isfinite(angles)
    with np.errstate(invalid="ignore"):
        return np.where(there, angles, 0).sum(-1) / there.sum(-1)


def matrix_angle(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Angle between the matrices in the last two axes, flattened to vectors, in degrees; `(...)`."""
    a, b = np.asarray(a), np.asarray(b)
    return angle(a.reshape(*a.shape[:-2], -1), b.reshape(*b.shape[:-2], -1))


def subspace_overlap(u: ArrayLike, v: ArrayLike) -> np.ndarray:
    """Mean squared cosine of the principal angles between the spaces that orthonormal columns span, 0 to 1.

    u, v `(..., n, k)`; `(...)`. 1: the same space; spaces drawn at random of n dimensions have k / n on average.
    """
    u, v = np.asarray(u, dtype=float), np.asarray(v, dtype=float)
    return ((u.swapaxes(-1, -2) @ v) ** 2).sum((-1, -2)) / u.shape[-1]


def nse(y: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Normalised squared error (Methods, eqs. 2-4), over the axes (examples, outputs), the last two.

    `sum |y* - y|^2 / sum |y* - mean(y*)|^2`: 1 for the best constant answer, 0 for a perfect one.
    Raises ValueError if the target is constant, for which it is not defined.
    """
    y, target = np.asarray(y, dtype=float), np.asarray(target, dtype=float)
    spread = ((target - target.mean(axis=-2, keepdims=True)) ** 2).sum(axis=(-2, -1))
    # Of equal numbers the mean may be another, by rounding.
    if np.any(spread == 0) or (target == target[..., :1, :]).all((-2, -1)).any():
        raise ValueError("NSE is not defined for a constant target: give at least two different target vectors")
    return ((target - y) ** 2).sum(axis=(-2, -1)) / spread


def error_rate(outputs: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Share of examples, in percent, whose largest output is not at the label, or of whose outputs one is NaN; outputs
    `(..., examples, classes)`."""
    outputs, labels = np.asarray(outputs), np.asarray(labels)
    if outputs.shape[-2] != labels.shape[-1]:
        raise ValueError(f"{outputs.shape[-2]} outputs for {labels.shape[-1]} labels")
    return 100 * ((outputs.argmax(axis=-1) != labels) | np.isnan(outputs).any(axis=-1)).mean(axis=-1)


def positive_share(delta: ArrayLike, other: ArrayLike) -> np.ndarray:
    """Share of examples in which two teaching signals have a positive product; with delta = Be and other = W'e, the
    share of errors with e'WBe > 0 (the paper's first insight). Signals `(..., examples, units)`."""
    return ((np.asarray(delta) * np.asarray(other)).sum(axis=-1) > 0).mean(axis=-1)


class Interval(NamedTuple):
    """A two-sided 95 % interval."""

    low: float
    high: float


def mean_interval(values: ArrayLike) -> Interval:
    """95 % interval of the mean of independent values, by Student's t. Raises ValueError for fewer than two."""
    values = np.asarray(values, dtype=float)
    if values.size < 2:
        raise ValueError(f"an interval needs at least two values, got {values.size}")
    half = stdtrit(values.size - 1, 0.975) * values.std(ddof=1) / np.sqrt(values.size)
    return Interval(float(values.mean() - half), float(values.mean() + half))


def bootstrap_interval(
    statistic: Callable[..., np.ndarray], *samples: ArrayLike, resamples: int = 9999, seed: int = 0
) -> Interval:
    """95 % percentile bootstrap interval of `statistic(*samples)`; the samples are resampled together (paired).

    `statistic` takes the samples and an `axis`. The seed makes the interval itself repeatable. Raises ValueError where the
    samples are not equally many.
    """
    arrays = [np.asarray(s, dtype=float) for s in samples]
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"samples that are resampled together must be equally many, got {[a.shape for a in arrays]}")
    draws = np.random.default_rng(seed).integers(0, arrays[0].size, (resamples, arrays[0].size))
    values = statistic(*(a[draws] for a in arrays), axis=-1)
    return Interval(*(float(q) for q in np.quantile(values, [0.025, 0.975])))


def proportion_interval(successes: int, n: int) -> Interval:
    """95 % Wilson interval of a proportion."""
    from scipy import stats  # it takes nearly a second to import

    low, high = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Interval(float(low), float(high))


def ratio_interval(a: ArrayLike, b: ArrayLike) -> Interval:
    """95 % interval of the ratio of the means of paired values, `mean(a) / mean(b)`, by Fieller's theorem.

    The ratios t at which the mean of a - t b is not told from zero by Student's t. Raises ValueError where the two are not
    as many or fewer than two, and where mean(b) is not told from zero: the interval is then without an end.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.size < 2:
        raise ValueError(f"a ratio's interval needs pairs, at least two, got {a.shape} and {b.shape}")
    (aa, ab), (_, bb) = np.cov(a, b) * stdtrit(a.size - 1, 0.975) ** 2 / a.size
    # mean(a - t b)^2 <= the variance of a - t b, times Student's factor: a quadratic in t.
    square, linear, constant = b.mean() ** 2 - bb, a.mean() * b.mean() - ab, a.mean() ** 2 - aa
    if square <= 0:
        raise ValueError("the ratio's interval has no end: the mean of its denominator is not told from zero")
    half = np.sqrt(max(linear**2 - square * constant, 0.0))  # below zero by rounding, where all pairs have one ratio
    return Interval(float((linear - half) / square), float((linear + half) / square))


def error_interval(wrong: ArrayLike) -> Interval:
    """95 % interval, in percent, of one network's error rate, from tests of it: `wrong` (tests, examples), true where an
    answer was wrong.

    It takes in both the finite test set and what differs between tests of the same weights, such as spikes. An example's
    answer in a single test is right or wrong, whatever it was that made it so: that alone is a proportion (Wilson).
    Repeated tests give each example a share of wrong answers, and these shares a mean (Student).
    """
    wrong = np.atleast_2d(np.asarray(wrong, dtype=float))
    if len(wrong) == 1:
        return Interval(*(100 * end for end in proportion_interval(int(wrong.sum()), wrong.size)))
    low, high = mean_interval(wrong.mean(axis=0))
    return Interval(100 * max(low, 0.0), 100 * min(high, 1.0))


def mean_error_interval(errors: Sequence[float] | np.ndarray, tested: int) -> Interval:
    """95 % interval of the mean of test errors in percent, one for each network: Student's. That of a single network is of
    its `tested` test examples, of which its error is a proportion: Wilson's."""
    if len(errors) > 1:
        return mean_interval(errors)
    low, high = proportion_interval(round(errors[0] / 100 * tested), tested)
    return Interval(100 * low, 100 * high)


def first_below(values: ArrayLike, threshold: float, at: ArrayLike) -> np.ndarray:
    """For each run, the first point of `at` at which its curve is at or below the threshold; NaN where it never is.

    `values` `(runs, points)`, `at` `(points,)`.
    """
    below = np.asarray(values) <= threshold
    first = below.argmax(axis=-1)
    return np.where(below.any(axis=-1), np.asarray(at, dtype=float)[first], np.nan)
