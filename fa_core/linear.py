"""Online learning in linear three-layer networks, in NumPy: Fig. 2 and the reference for the torch engine.

    h = W0 x,   y = W h,   e = T x - y,   dW = rate e h',   dW0 = rate delta x'

in the paper's columns, with a leading axis of independent runs: T `(runs, n_o, n_i)`, W0 `(runs, n_h, n_i)`,
W `(runs, n_o, n_h)`, B `(runs, n_h, n_o)`, vectors `(runs, n, 1)`. Its rules are written out here, in those columns, and
not taken from `fa_core.rules`: the engine is tested against them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fa_core import measures
from fa_core.rules import pseudoinverse

PROBED = 500  # examples over which an angle is averaged


def backprop(W: np.ndarray, B: np.ndarray, e: np.ndarray) -> np.ndarray:
    """delta = W' e"""
    return W.mT @ e


def feedback_alignment(W: np.ndarray, B: np.ndarray, e: np.ndarray) -> np.ndarray:
    """delta = B e, eq. (1)"""
    return B @ e


def pseudobackprop(W: np.ndarray, B: np.ndarray, e: np.ndarray) -> np.ndarray:
    """delta = W^+ e, Note 13"""
    return pseudoinverse(W) @ e


def shallow(W: np.ndarray, B: np.ndarray, e: np.ndarray) -> np.ndarray:
    """No signal: W0 stays as it is."""
    return np.zeros_like(W.mT @ e)


SIGNALS: dict[str, Callable] = {
    "backprop": backprop,
    "feedback alignment": feedback_alignment,
    "pseudobackprop": pseudobackprop,
    "shallow": shallow,
}
PERTURBATIONS = ("node perturbation, hidden", "node perturbation, both")
RULES = (*SIGNALS, *PERTURBATIONS)


@dataclass
class Ensemble:
    """The matrices of some runs; see the module for shapes."""

    T: np.ndarray
    W0: np.ndarray
    W: np.ndarray
    B: np.ndarray

    def nse(self) -> np.ndarray:
        """Normalised squared error of every run, exact for x ~ N(0, I): `|T - W W0|^2 / |T|^2`; `(runs,)`."""
        E = self.T - self.W @ self.W0
        return (E * E).sum((1, 2)) / (self.T * self.T).sum((1, 2))


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A run's own generator for one purpose, so that all rules meet the same target, weights and examples."""
    return np.random.default_rng([seed, *purpose.encode()])


def draw(seeds: Iterable[int], purpose: str, shape: tuple[int, ...], scale: float | None = None) -> np.ndarray:
    """`(runs, *shape)`: uniform on [-scale, scale], or standard normal without a scale."""
    each = (generator(s, purpose) for s in seeds)
    return np.stack([g.standard_normal(shape) if scale is None else g.uniform(-scale, scale, shape) for g in each])


def initialise(
    seeds: Iterable[int],
    sizes: tuple[int, int, int] = (30, 20, 10),
    target: float = 1.0,
    init: float = 0.01,
    feedback: float = 0.5,
) -> Ensemble:
    """Networks before learning: T ~ U[-target, target], W0 and W ~ U[-init, init], B ~ U[-feedback, feedback];
    the defaults are those of Fig. 2."""
    seeds, (n_i, n_h, n_o) = tuple(seeds), sizes
    return Ensemble(
        draw(seeds, "target", (n_o, n_i), target),
        draw(seeds, "W0", (n_h, n_i), init),
        draw(seeds, "W", (n_o, n_h), init),
        draw(seeds, "B", (n_h, n_o), feedback),
    )


@dataclass
class Curves:
    """What was measured. nse `(runs, examples + 1)` at every example from 0 on, NaN where it was not taken; at `probes`
    `(points,)`: angle between B e and W' e, share of errors with e'WBe > 0, angle between W and B', each
    `(runs, points)`; if it was asked for, also the angle between B e and W^+ e (Fig. S13c)."""

    nse: np.ndarray
    probes: np.ndarray
    angle: np.ndarray
    positive: np.ndarray
    weight_angle: np.ndarray
    networks: Ensemble
    pseudo_angle: np.ndarray | None = None

    def examples_to(self, nse: float) -> np.ndarray:
        """Examples until the error is first at or below `nse`, `(runs,)`; NaN where it never is."""
        return measures.first_below(self.nse, nse, np.arange(self.nse.shape[1]))

    def at_nse(self, name: str, nse: float) -> np.ndarray:
        """A probed quantity at the first probe at which the error is at or below `nse`, `(runs,)`."""
        below = self.nse[:, self.probes] <= nse
        return np.where(below.any(1), np.take_along_axis(getattr(self, name), below.argmax(1)[:, None], 1)[:, 0], np.nan)


AT_ONCE = 100  # examples, about so many, that a loop is handed where each has its own B, or learning may end early


@np.errstate(over="ignore", invalid="ignore")
def learn(
    rule: str,
    rate: float,
    seeds: Iterable[int],
    examples: int,
    *,
    sizes: tuple[int, int, int] = (30, 20, 10),
    init: float = 0.01,
    feedback: float = 0.5,
    sigma: float = 0.1,
    probe_every: int = 20,
    nse_every: int = 1,
    until: float | None = None,
    pseudo: bool = False,
    feedback_at: Callable[[int, np.ndarray], np.ndarray] | None = None,
    compiled: bool = True,
) -> Curves:
    """Train the networks of these seeds online, on x ~ N(0, I), and measure.

    rate multiplies the update of each example. sigma: standard deviation of the perturbations. nse_every: take the error
    after every so many examples; in large networks that costs more than to learn. until: end before all examples are seen,
    where it is seen (at a probe, and about every `AT_ONCE` examples) that the error of all runs is at or below this.
    pseudo: probe the angle between B e and W^+ e too. `feedback_at(t, B)` gives the feedback weights used at example t, for
    controls; by default B itself. What is measured is of the B of the last example. compiled: take the steps of
    `fa_core.compiled`, but for pseudobackprop, and not those of `plain`; they differ in rounding alone. A run that diverges
    goes on as infinities and NaN, which no threshold counts as learned. Raises ValueError for an unknown rule, for nse_every
    and probe_every below 1, and where a rule that perturbs has no sigma above 0.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; there are: {', '.join(RULES)}")
    for name, value in (("nse_every", nse_every), ("probe_every", probe_every)):
        if value < 1:
            raise ValueError(f"{name} wants a number of examples, 1 or more, got {value}")
    if rule in PERTURBATIONS and not sigma > 0:
        raise ValueError(f"sigma, the size of the perturbations, must be above 0, got {sigma}")
    seeds, (n_i, n_h, n_o) = tuple(seeds), sizes
    net = initialise(seeds, sizes, init=init, feedback=feedback)
    x = draw(seeds, "examples", (examples, n_i))
    seen_at_probes = draw(seeds, "probes", (PROBED, n_i)).mT
    xi = zeta = np.empty((len(x), 0, 0))
    if rule in PERTURBATIONS:
        xi = sigma * draw(seeds, "hidden perturbations", (examples, n_h))
        zeta = sigma * draw(seeds, "output perturbations", (examples, n_o)) * (rule == PERTURBATIONS[1])
    take = plain
    if compiled and rule != "pseudobackprop":
        from fa_core import compiled as machine_code  # numba takes half a second to import

        take = machine_code.linear
    probes = np.arange(0, examples + 1, probe_every)
    nse, measured = np.empty((len(x), examples + 1)), [_probe(net, net.B, seen_at_probes, pseudo)]
    nse[:, 0] = net.nse()
    measured_at = np.arange(1, examples + 1) % nse_every == 0
    # As far as the next probe; and not too far at once, and to where the error is taken, for what `AT_ONCE` is for.
    parted = feedback_at is not None or until is not None
    few = max(AT_ONCE // nse_every, 1) * nse_every
    stops = sorted({*probes, examples, *(range(0, examples, few) if parted else ())})
    for start, stop in pairwise(stops):
        B = net.B[None]
        if feedback_at is not None:
            used = (feedback_at(t, net.B) for t in range(start, stop))
            B = np.ascontiguousarray(np.stack([np.broadcast_to(np.asarray(b, dtype=float), net.B.shape) for b in used]))
        nse[:, start + 1 : stop + 1] = take(
            rule, rate, net, B, x[:, start:stop], (xi[:, start:stop], zeta[:, start:stop]), sigma, measured_at[start:stop]
        )
        if stop % probe_every == 0:
            measured.append(_probe(net, B[-1], seen_at_probes, pseudo))
        if until is not None and (nse[:, stop] <= until).all():
            nse, probes = nse[:, : stop + 1], probes[: len(measured)]
            break
    angle, positive, weight_angle, *pseudo_angle = (np.stack(m, axis=1) for m in zip(*measured, strict=True))
    return Curves(nse, probes, angle, positive, weight_angle, net, *pseudo_angle)


def plain(
    rule: str,
    rate: float,
    net: Ensemble,
    B: np.ndarray,
    x: np.ndarray,
    perturbations: tuple[np.ndarray, np.ndarray],
    sigma: float,
    measured_at: np.ndarray,
) -> np.ndarray:
    """Train the networks on some examples, in place: x `(runs, n, n_i)`; returns `nse` after each, `(runs, n)`, NaN where
    measured_at `(n,)` is false.

    B `(n or 1, runs, n_h, n_o)`: the feedback weights at each example, or those for all. perturbations: for the rules that
    want them, of the hidden units `(runs, n, n_h)` and of the outputs `(runs, n, n_o)`, of standard deviation sigma.
    """
    nse = np.empty(x.shape[:2])
    for t in range(x.shape[1]):
        xt = x[:, t, :, None]
        h = net.W0 @ xt
        e = net.T @ xt - net.W @ h
        if rule in PERTURBATIONS:
            # How much the loss rises when the units are disturbed, relative to the undisturbed pass.
            xi, zeta = (p[:, t, :, None] for p in perturbations)
            disturbed = e - net.W @ xi - zeta
            rise = ((disturbed * disturbed).sum(1, keepdims=True) - (e * e).sum(1, keepdims=True)) / (2 * sigma**2)
            delta = -rise * xi
            at_outputs = e if rule == "node perturbation, hidden" else -rise * zeta
        else:
            delta, at_outputs = SIGNALS[rule](net.W, B[t % len(B)], e), e
        net.W += rate * at_outputs @ h.mT
        net.W0 += rate * delta @ xt.mT
        nse[:, t] = net.nse() if measured_at[t] else np.nan
    return nse


def _probe(net: Ensemble, B: np.ndarray, x: np.ndarray, pseudo: bool) -> tuple[np.ndarray, ...]:
    """Mean angle between B e and W' e, share with e'WBe > 0, angle of W and B', and with `pseudo` the mean angle
    between B e and W^+ e, each `(runs,)`; x `(runs, n_i, m)`."""
    e = (net.T - net.W @ net.W0) @ x
    ours, backprops = B @ e, net.W.mT @ e
    seen = [
        measures.angle(ours, backprops, axis=1).mean(1),
        measures.positive_share(ours.mT, backprops.mT),
        measures.matrix_angle(net.W, B.mT),
    ]
    if pseudo:
        seen.append(measures.angle(ours, pseudobackprop(net.W, B, e), axis=1).mean(1))
    return tuple(seen)
