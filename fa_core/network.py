"""An ensemble of multilayer networks: every array has a leading axis of independent runs.

    W[l]  (runs, n_l, n_{l+1})      b[l]  (runs, 1, n_{l+1})      activity  (runs, batch, units)
    B[l]  (runs, n, n_l)            into each hidden layer l from the n units that send to it, by most rules those of l + 1

Rows are examples, so y = h W here is y = W h in the paper's columns. See `fa_core.rules` for the teaching signals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fa_core import mkl
from fa_core import products as matrices
from fa_core.draws import draw, generator
from fa_core.experiments import Experiment
from fa_core.products import add_outer, affine
from fa_core.rules import Rule, Signals, rule
from fa_core.units import UNITS, Unit

Kept = list[Tensor | None]  # masks of inverted dropout, inputs first; None for a layer without
Slopes = list[Tensor | float]  # f' of each layer above the inputs; 1.0 for a linear one
Velocity = list[tuple[Tensor, Tensor]]  # of each layer, shaped as its W and b


@dataclass
class Network:
    """Weights, biases, feedback weights and masks of an ensemble; see the module for shapes."""

    W: list[Tensor]
    b: list[Tensor]
    B: list[Tensor]
    hidden: str
    output: str
    mask: list[Tensor | None] = field(default_factory=list)
    feedback_mask: list[Tensor | None] = field(default_factory=list)
    dropout: tuple[float, ...] = ()  # share of units silenced below each layer of W, in learning alone

    def units(self, layer: int) -> Unit:
        """Function and derivative of the units of a layer, 0 for the first hidden one."""
        return UNITS[self.output if layer == len(self.W) - 1 else self.hidden]

    def taking(self, products: str) -> "Network":
        """The same network in the same memory, with products taken in that way in learning; see `fa_core.products`."""
        if not products:
            return self
        W, B = ([matrices.of(m, products) for m in part] for part in (self.W, self.B))
        return replace(self, W=W, B=B)

    def forward(self, x: Tensor, keep: Kept | None = None) -> list[Tensor]:
        """[x, h_1, ..., y]: h_{l+1} = f(h_l W_l + b_l); x `(runs, batch, n_0)`. Raises ValueError for a wrong shape.

        keep: the masks that `draw_kept` drew, for inverted dropout: where a share p of a layer is silenced, the activity of
        the others is divided by 1 - p, so that nothing has to be scaled in a test.
        """
        if x.dim() != 3 or x.shape[2] != self.W[0].shape[1] or x.shape[0] != self.W[0].shape[0]:
            runs, n = self.W[0].shape[:2]
            raise ValueError(f"inputs of shape {tuple(x.shape)}: wanted ({runs} runs, batch, {n} units)")
        h = [x if keep is None else self.silence(x, keep, 0)]
        for layer, (w, b) in enumerate(zip(self.W, self.b, strict=True)):
            activity = self.units(layer)[0](affine(h[-1], w, b))
            h.append(activity if keep is None else self.silence(activity, keep, layer + 1))
        return h

    def slopes(self, h: list[Tensor], keep: Kept | None = None) -> Slopes:
        """f' of every layer above the inputs, from the activities that `forward` returned; 0 for a silenced unit."""
        if keep is None:
            return [self.units(layer)[1](activity) for layer, activity in enumerate(h[1:])]
        # Inverted dropout has divided the activities f by 1 - p, and f' is written in terms of f.
        shares = [1 - p for p in (*self.dropout, 0.0)]
        return [
            self.silence(self.units(layer)[1](activity * shares[layer + 1]), keep, layer + 1)
            for layer, activity in enumerate(h[1:])
        ]

    def silence(self, activity: Any, keep: Kept, layer: int) -> Any:
        """A layer's activity, or slope, under inverted dropout; layer 0 is the inputs."""
        mask = keep[layer]
        return activity if mask is None else activity * mask / (1 - self.dropout[layer])

    def draw_kept(self, generators: Sequence[torch.Generator], batch: int) -> Kept:
        """Dropout masks, inputs first: `(runs, batch, units)`, 0 for a unit that is silenced in an example and 1 for one
        that is kept; None for a layer without dropout, such as the outputs."""

        def one(p: float, n: int) -> Tensor:
            return torch.stack([torch.rand(batch, n, generator=g) for g in generators]) >= p

        return [one(p, w.shape[1]).to(self.b[0]) if p else None for p, w in zip(self.dropout, self.W, strict=True)] + [None]

    def settle_feedback(self, learning: Rule) -> None:
        """Restore what always holds of B after B or W has changed: its tie to W, by some rules, and its mask."""
        if learning.tie:
            learning.tie(self.W[1:], self.B)
        apply_masks(self.B, self.feedback_mask)

    def arrays(self) -> dict[str, Tensor]:
        """The arrays by name: W0, W1, ..., b0, ..., B1, ... (B has the number of the W beside it)."""
        return (
            {f"W{i}": w for i, w in enumerate(self.W)}
            | {f"b{i}": b for i, b in enumerate(self.b)}
            | {f"B{i}": b for i, b in enumerate(self.B, start=1)}
        )


def initialise(experiment: Experiment, seeds: tuple[int, ...], device: torch.device | str = "cpu") -> Network:
    """The networks of these seeds before learning.

    Everything is drawn in float64 and then rounded, so that a seed gives the same network in either precision. A run has its
    own generators, so its arrays do not depend on the runs beside it.
    """
    mkl.pin()
    dtype = getattr(torch, experiment.dtype)
    sizes, kind = experiment.sizes, experiment.distribution
    for_weights = [generator(s, "weights") for s in seeds]
    for_masks = [generator(s, "masks") for s in seeds]
    W, b = [], []
    for n_in, n_out, scale in zip(sizes, sizes[1:], experiment.per_layer("weights"), strict=False):
        W.append(draw(for_weights, (n_in, n_out), scale, kind))
        b.append(draw(for_weights, (1, n_out), scale if experiment.biases is None else experiment.biases, kind))
    B = draw_feedback(experiment, [generator(s, "feedback") for s in seeds])

    def masks(arrays: list[Tensor], densities: tuple[float, ...]) -> list[Tensor | None]:
        keep = [
            (torch.stack([torch.rand(a.shape[1:], generator=g, dtype=torch.float64) for g in for_masks]) < d)
            if d < 1
            else None
            for a, d in zip(arrays, densities, strict=True)
        ]
        return [None if k is None else k.to(dtype=dtype, device=device) for k in keep]

    def ready(arrays: list[Tensor]) -> list[Tensor]:
        return [a.to(dtype=dtype, device=device) for a in arrays]

    network = Network(
        ready(W),
        ready(b),
        ready(B),
        experiment.hidden,
        experiment.output,
        masks(W, experiment.density or (1,) * len(W)),
        masks(B, experiment.feedback_density or (1,) * len(B)),
        experiment.dropout,
    )
    if experiment.fields:
        network.mask[0] = receptive_fields(*experiment.fields).to(network.W[0])[None]
    arrays = network.arrays()
    for name, values in experiment.given:
        arrays[name][:] = torch.tensor(values, dtype=dtype, device=device).reshape(arrays[name].shape[1:])
    apply_masks(network.W, network.mask)
    network.settle_feedback(rule(experiment.rule))
    return network


def receptive_fields(maps: int, field: int, side: int) -> Tensor:
    """The mask of a locally connected layer, 0 or 1, `(side * side, maps * (side - field + 1)**2)`.

    Each of `maps` maps has one unit for every position of a square of field x field pixels in an image of side x side
    pixels; the units of a map are consecutive, row by row. Unlike in a convolution, no weights are shared.
    """
    places = side - field + 1
    offset = torch.arange(side)[:, None] - torch.arange(places)[None]  # of a pixel from the start of a field, on one axis
    inside = ((offset >= 0) & (offset < field)).to(torch.float32)
    return torch.kron(inside, inside).repeat(1, maps)


def draw_feedback(experiment: Experiment, generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Feedback weights B[l] for every hidden layer, of the shapes that the rule says, float64."""
    shapes = rule(experiment.rule).feedback.shapes(experiment.sizes)
    return [
        draw(generators, shape, scale, experiment.distribution)
        for shape, scale in zip(shapes, experiment.per_layer("feedback"), strict=True)
    ]


def apply_masks(arrays: Sequence[Tensor], masks: Sequence[Tensor | None]) -> None:
    """Set to zero, in place, the elements that a mask removes."""
    for array, mask in zip(arrays, masks, strict=True):
        if mask is not None:
            array.mul_(mask)


def gated(delta: Tensor, slope: Tensor | float) -> Tensor:
    """delta o f'; the slope of a linear layer is the number 1.0."""
    return delta if isinstance(slope, float) else delta * slope


def update(
    network: Network,
    h: list[Tensor],
    slopes: Slopes,
    deltas: Signals,
    rates: tuple[float, ...],
    decay: float = 0.0,
    momentum: float = 0.0,
    velocity: Velocity | None = None,
) -> None:
    """One step of learning, in place, from one minibatch of n examples:

        dW_l = rate_l * [ sum over examples of h_l' (delta_{l+1} o f'_{l+1})  -  n * decay * W_l ],   biases alike;

    with momentum v <- momentum * v + dW, W <- W + v (Note 8). A layer whose signal is None, or whose rate is 0, stays as it
    is. velocity: pairs of arrays shaped like (W_l, b_l), for momentum.
    """
    for layer, (delta, slope, rate) in enumerate(zip(deltas, slopes, rates, strict=True)):
        if delta is None or rate == 0:
            continue
        shrink = 1 - rate * h[0].shape[1] * decay
        d = gated(delta, slope)
        W, b, mask = network.W[layer], network.b[layer], network.mask[layer]
        bias_update = d if d.shape[1] == 1 else d.sum(1, keepdim=True)
        if velocity is None:
            add_outer(W, h[layer], d, shrink, rate, mask)
            if decay:
                b.mul_(shrink)
            b.add_(bias_update, alpha=rate)
        else:
            v, vb = velocity[layer]
            v.mul_(momentum).add_(W, alpha=shrink - 1).baddbmm_(h[layer].mT, d, alpha=rate)
            vb.mul_(momentum).add_(b, alpha=shrink - 1).add_(bias_update, alpha=rate)
            W.add_(v)
            b.add_(vb)
            if mask is not None:
                W.mul_(mask)
