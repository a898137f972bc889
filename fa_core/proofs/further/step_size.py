"""The largest step from zero: batch learning of one mode, and of theorem 2's pair, is the recursion

    u <- u + k e,   v <- v + k e u,   e = 1 - u v,   u = v = 0 at first,   k = eta s^(2/3)

with s a singular value of BT (a = s^(1/3) u, w = s^(-1/3) v), or |By*| (s_h, s_w likewise). The sum
kappa = u^2/2 - v = (k^2/2) sum of e^2 never falls, so that there are no cycles: the recursion settles on u v = 1, or
runs off. For u > 0 on the branch D = 3u^2/2 - kappa > 0 the pair (kappa, e) says all, for u is then the one root of
u^3/2 - kappa u = 1 - e there:

    e <- e (1 - g),   g = k (D + k u e),   kappa <- kappa + (k e)^2 / 2

`flow.one_mode` iterates it in ordinary arithmetic; the bounds here hold for all k of an interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sympy as sp

from fa_core.proofs.further.interval import Interval

# What may be proved of a step k. Of the last three: unless e is exactly 0 at some update, where learning ends.
MONOTONE = "monotone"  # e falls to 0 and stays positive
SETTLES = "settles"  # e goes to 0
ALTERNATING = "alternating"  # e goes to 0, and changes its sign at each update from some update on
UNSTABLE = "unstable"  # no end with u v = 1 and u > 0 is approached
RUNS_OFF = "runs off"  # no end is approached: (u, v) has no bound
FATES = (MONOTONE, SETTLES, ALTERNATING, UNSTABLE, RUNS_OFF)

k, u, v, s, eta = sp.symbols("k u v s eta", positive=True)
e = 1 - u * v
NEXT_U, NEXT_V = u + k * e, v + k * e * u
KAPPA = u**2 / 2 - v
D = sp.Rational(3, 2) * u**2 - KAPPA
G = k * (D + k * u * e)

# By hand, while e > 0: v >= u (u - k) / 2 and u v <= 1 bound u by the root of CEILING, and g by LARGEST_G there.
CEILING = u**2 * (u - k) - 2
LARGEST_G = sp.Rational(3, 2) * k * u**2 + k**2 * u


def algebra() -> dict[str, bool]:
    """What the proofs take from algebra, by name, and whether SymPy confirms it."""
    third = sp.Rational(1, 3)
    a, w = s**third * u, v / s**third
    rate = k / s ** (2 * third)
    mode = (a + rate * s * (1 - w * a) - s**third * NEXT_U, w + rate * a * (1 - w * a) - NEXT_V / s**third)
    beta = s**2  # |By*|^2
    h, w2 = u / beta**third, v / beta ** (2 * third)
    left = 1 - h * w2 * beta
    pair = (
        h + k / beta**third * left - NEXT_U / beta**third,
        w2 + k / beta**third * left * h - NEXT_V / beta ** (2 * third),
    )

    def zero(*found: sp.Expr) -> bool:
        return all(sp.simplify(sp.expand(x)) == 0 for x in found)

    stepped = {u: NEXT_U, v: NEXT_V}
    return {
        "a mode of batch learning is the recursion": zero(*mode),
        "the pair of the paper's theorem 2 is the recursion": zero(*pair),
        "kappa grows by (k e)^2 / 2": zero(KAPPA.subs(stepped, simultaneous=True) - KAPPA - (k * e) ** 2 / 2),
        "e is multiplied by 1 - g": zero((1 - NEXT_U * NEXT_V) - e * (1 - G)),
        "u is a root": zero(u**3 / 2 - KAPPA * u - (1 - e)),
        "at e = 0, g = k (1/u + u^2)": zero(G.subs(v, 1 / u) - k * (1 / u + u**2)),
        "u^2 (u - k) < 2 where u v < 1": zero(2 * (u * u * (u - k) / 2 - 1) - CEILING),
        "the largest g": zero(k * (D.subs(v, u**2 / 2) + k * u) - LARGEST_G),
    }


def monotone_by_hand(at: str) -> bool:
    """Whether the bound by hand shows a step k (a fraction) to be monotone, decided in exact arithmetic.

    It does if g < 1 at some number above the root of CEILING, which rises with u there as LARGEST_G does.
    """
    at = sp.Rational(at)
    top = sp.Rational(int(sp.nsolve(CEILING.subs(k, at), u, 1.4) * 10**12) + 1, 10**12)
    return bool(CEILING.subs({k: at, u: top}) > 0 and LARGEST_G.subs({k: at, u: top}) < 1)


def by_hand_until() -> float:
    """The step at which the bound by hand ends: LARGEST_G = 1 at the root of CEILING."""
    return float(sp.nsolve([CEILING, LARGEST_G - 1], (u, k), (1.4, 0.3))[1])


# --- bounds that hold for every k of an interval


def _root(kappa: Interval, error: Interval) -> Interval:
    """Encloses u: the root of p = u^3/2 - kappa u - (1 - e) with u > 0 and 3u^2/2 > kappa.

    u rises with kappa and falls with e; p rises with u there. Each end is a number beyond which p has the right sign, found
    by Newton's method and then checked with bounds; where the check fails the enclosure is everything.
    """

    # Both ends at once, in a leading axis.
    c, x = np.stack([kappa.low, kappa.high]), np.stack([error.high, error.low])
    found = np.cbrt(2 * np.maximum(1 - x, 0)) + np.sqrt(2 * np.maximum(c, 0)) + 1e-3  # above the root: p is convex
    for _ in range(12):
        before = found
        found = found - (found**3 / 2 - c * found - (1 - x)) / (1.5 * found * found - c)
        if not (np.abs(found - before) > 1e-14 * np.abs(found)).any():
            break
    found[0] *= 1 - 1e-13
    found[1] *= 1 + 1e-13
    at, coefficient = Interval.of(found), Interval.of(c)
    value = at.squared() * at * 0.5 - coefficient * at - (1 - Interval.of(x))
    slope = at.squared() * 1.5 - coefficient
    low, high = found
    sure = (value.high[0] <= 0) & (value.low[1] >= 0) & (low > 0) & (slope.low[0] > 0)
    return Interval(np.where(sure, low, -np.inf), np.where(sure, high, np.inf))


@dataclass
class _State:
    """Bounds of u, kappa and e, for each interval of k."""

    u: Interval
    kappa: Interval
    error: Interval

    def __getitem__(self, which: Any) -> "_State":
        return _State(self.u[which], self.kappa[which], self.error[which])

    @property
    def on_branch(self) -> np.ndarray:
        """Whether u > 0 and D > 0, so that u is the root that `_root` encloses."""
        return (self.u.low > 0) & ((self.u.squared() * 1.5 - self.kappa).low > 0)


def _first(step: Interval) -> _State:
    """After two updates: u = 2k, v = k^2."""
    squared = step.squared()
    return _State(2 * step, squared, 1 - 2 * step * squared)


def _factor(step: Interval, kappa: Interval, error: Interval) -> tuple[Interval, Interval, Interval]:
    """u, D and g on the branch."""
    root = _root(kappa, error)
    slope = root.squared() * 1.5 - kappa
    return root, slope, step * (slope + step * root * error)


def _error_of(u: Interval, kappa: Interval) -> Interval:
    """e = 1 + kappa u - u^3/2."""
    return 1 + kappa * u - u.squared() * u * 0.5


def _advance(step: Interval, now: _State) -> _State:
    """One update. u, and off the branch e, by the mean value form in u; on it e by that in e, which is far tighter, where
    dg/de = k (k (u - e/D) - 3u/D) at a fixed kappa."""
    middle = Interval.of(now.u.middle)
    moved = (now.u + step * now.error).meet(
        middle + step * _error_of(middle, now.kappa) + (1 - step * (now.u.squared() * 1.5 - now.kappa)) * (now.u - middle)
    )
    kappa = now.kappa + (step * now.error).squared() * 0.5
    middle = Interval.of(moved.middle)
    error = _error_of(moved, kappa).meet(_error_of(middle, kappa) + (kappa - moved.squared() * 1.5) * (moved - middle))

    root, slope, g = _factor(step, now.kappa, now.error)
    over = slope.inverse()
    g_slope = step * (step * (root - now.error * over) - 3 * root * over)
    middle = Interval.of(now.error.middle)
    centred = middle * (1 - _factor(step, now.kappa, middle)[2]) + (1 - g - now.error * g_slope) * (now.error - middle)
    here = now.on_branch
    error = error.meet((now.error * (1 - g)).meet(centred).where(here))
    after = _State(moved, kappa, error)
    return _State(moved.meet(_root(kappa, error).where(after.on_branch)), kappa, error)


def _settles(step: Interval, now: _State) -> tuple[np.ndarray, Interval]:
    """(whether e goes to 0 from here, bounds of g from here on).

    If |1 - g| <= q < 1 for all |e| <= E and all kappa up to r more than now, r = k^2 E^2 / (2 (1 - q^2)), then e stays in
    there and falls like q^n. E < 1 and k E < 1 keep u the root that `_root` encloses: u v = 1 - e > 0 has one root u > 0,
    with D > 0, and u and v cannot turn negative at once, for that takes e < 0 and u v < (k |e|)^3, while u v > 1.
    """
    largest = now.error.size
    ball = Interval(-largest, largest)
    with np.errstate(all="ignore"):
        q = (1 - _factor(step, now.kappa, ball)[2]).size
        allowance = np.maximum(2 * step.high**2 * largest**2 / (1 - q * q), 1e-12)
    box = Interval(now.kappa.low, now.kappa.high + np.where(q < 1, allowance, 0))
    g = _factor(step, box, ball)[2]
    contraction = Interval.of((1 - g).size)
    # r (1 - q^2) 2 > k^2 E^2
    room = (box.high - now.kappa.high) * (1 - contraction.squared()).low
    enough = np.nextafter(room, 0) * 2 > np.nextafter(np.nextafter(step.high**2, np.inf) * largest**2, np.inf) * 1.0001
    inside = (largest < 1) & (np.nextafter(step.high * largest, np.inf) < 1)
    return now.on_branch & inside & (contraction.high < 1) & enough, g


def _no_good_end(step: Interval, kappa_low: np.ndarray) -> np.ndarray:
    """Whether the end with u v = 1, u > 0 is unstable: with kappa at least so large, k (1/u + u^2) > 2 there.

    There is one such end; it moves up with kappa, and with it k (1/u + u^2)."""
    at = Interval.of(kappa_low)
    root = _root(at, Interval.of(np.zeros_like(kappa_low)))
    return (Interval.of(step.low) * (root.squared() * 1.5 - at)).low > 2


def _no_bad_end(step: Interval, kappa_low: np.ndarray) -> np.ndarray:
    """Whether the ends with u v = 1, u < 0 are unstable or out of reach, with kappa at least so large.

    At u = -m kappa = m^2/2 + 1/m, and the factor of e is 1 - k (m^2 - 1/m). A stable one has m >= 1 and k (m^2 - 1/m) <= 2,
    so that kappa is at most that of the largest such m."""
    m = 1 + 2 / step.low  # above the root of k (m^2 - 1/m) = 2
    for _ in range(40):
        m = m - (step.low * (m * m - 1 / m) - 2) / (step.low * (2 * m + 1 / m**2))
    m = Interval.of(m * (1 + 1e-12))
    beyond = (Interval.of(step.low) * (m.squared() - m.inverse())).low > 2
    return beyond & (kappa_low > (m.squared() * 0.5 + m.inverse()).high)


def fate(step: Interval, wanted: np.ndarray, updates: int = 600) -> np.ndarray:
    """Whether the fate wanted of each interval is proved of every k in it; for k from 0.1 to 1.34."""
    found = np.zeros(step.low.shape, bool)
    active, now = np.arange(step.low.size), _first(step)
    positive = now.error.low > 0
    with np.errstate(all="ignore"):
        for _ in range(updates):
            here = step[active]
            settles, g = _settles(here, now)
            unstable = _no_good_end(here, now.kappa.low)
            proofs = {
                MONOTONE: settles & positive & (g.high < 1) & (g.low > 0),
                ALTERNATING: settles & (g.low > 1),
                SETTLES: settles & (now.error.size < 1e-6),
                UNSTABLE: unstable,
                RUNS_OFF: unstable & _no_bad_end(here, now.kappa.low),
            }
            done = np.select([wanted[active] == name for name in proofs], list(proofs.values()), default=False)
            found[active] = done
            left = ~done & (now.error.size < 1e3) & (now.error.size > 1e-10)  # too wide, or the end: to be halved
            if not left.any():
                break
            active, now, positive = active[left], now[left], positive[left]
            now = _advance(step[active], now)
            positive = positive & (now.error.low > 0)
    return found


class Part(NamedTuple):
    """All k from `low` to `high`, the fate to be proved of them, into how many intervals they are parted at first, and in
    how many rounds; what a round leaves over is halved for the next."""

    low: float
    high: float
    fate: str
    cells: int = 100
    depth: int = 14


def proved(parts: Sequence[Part], most: int = 100_000) -> list[int]:
    """Prove that every k of each part has its fate: the number of intervals that each took, 0 where it was not possible
    in its rounds, or not with `most` intervals at once. Raises ValueError for an unknown fate."""
    if unknown := {part.fate for part in parts} - {*FATES}:
        raise ValueError(f"unknown fate {', '.join(sorted(unknown))!r}; there are: {', '.join(FATES)}")
    taken, failed = np.zeros(len(parts), int), np.zeros(len(parts), bool)
    first = [Interval.cells(part.low, part.high, part.cells) for part in parts]
    low, high = np.concatenate([c.low for c in first]), np.concatenate([c.high for c in first])
    of = np.repeat(np.arange(len(parts)), [part.cells for part in parts])
    wanted, depth = np.array([part.fate for part in parts]), np.array([part.depth for part in parts])
    for rounds in range(1, depth.max() + 1):
        done = fate(Interval(low, high), wanted[of])
        taken += np.bincount(of[done], minlength=len(parts))
        left = np.bincount(of[~done], minlength=len(parts))
        failed |= (left > most) | ((left > 0) & (rounds >= depth))
        again = ~done & ~failed[of]
        if not again.any():
            break
        low, high, of = low[again], high[again], of[again]
        middle = low + (high - low) / 2
        low, high, of = np.concatenate([low, middle]), np.concatenate([middle, high]), np.tile(of, 2)
    return [int(n) for n in np.where(failed, 0, taken)]
