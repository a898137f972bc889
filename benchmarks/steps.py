"""What is timed: a step of learning from one minibatch, by autograd, by our engine, and its matrix products alone.

Each contender is an object that takes one step when called. `runs`: networks that the step trains. `learned()`: what it
trains, W then b, each with the leading axis of runs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from fa_core import spiking
from fa_core.experiments import Experiment
from fa_core.experiments.spiking import SpikingExperiment
from fa_core.network import generator, initialise
from fa_core.rules import rule
from fa_core.training import step

SEEDS = 20  # as many as the paper's and our own figures have
FA, BACKPROP, TOGETHER = "feedback alignment", "backprop", f"feedback alignment, per seed of {SEEDS}"
AUTOGRAD, PRODUCTS, SPIKING = "autograd", "matrix products alone", "spiking, one time step"
ROUNDED = "feedback alignment, products in bfloat16"
UNITS = {"logistic": nn.Sigmoid, "tanh": nn.Tanh, "linear": nn.Identity}


@dataclass(frozen=True)
class Case:
    """A network and its minibatch. `repeat`: rounds of it for each one asked for, more for a small network. `targets`:
    contender -> the largest ratio of its time to autograd's that we want. `together`: whether 20 seeds at once are
    timed too. `rounded`: whether our network is timed with products in bfloat16 too. `spiking`: a spiking network of the
    same sizes, with as many streams as the minibatch has examples; of it one time step is timed, of which an image takes
    several."""

    experiment: Experiment
    repeat: int = 1
    targets: dict[str, float] = field(default_factory=dict)
    together: bool = False
    rounded: bool = False
    spiking: SpikingExperiment | None = None

    @property
    def network(self) -> str:
        """Sizes of the layers, e.g. "30-20-10"."""
        return "-".join(map(str, self.experiment.sizes))

    def contenders(self) -> dict[str, Callable[[], None]]:
        """All that are timed on this case, ready to step, by name."""
        e = self.experiment
        found = {AUTOGRAD: Autograd(e), FA: Engine(e), BACKPROP: Engine(e.but(rule="backprop")), PRODUCTS: Products(e)}
        if self.together:
            found[TOGETHER] = Engine(e.but(seeds=tuple(range(SEEDS))))
        if self.rounded:
            found[ROUNDED] = Engine(e.but(products="bfloat16"))
        if self.spiking:
            found[SPIKING] = Spiking(self.spiking)
        return found

    def megabytes(self) -> dict[str, float]:
        """10^6 bytes that our networks hold from one step to the next; empty where no spiking one is timed."""
        held = {FA: Engine(self.experiment), SPIKING: Spiking(self.spiking)} if self.spiking else {}
        return {name: sum(a.nbytes for a in step.held()) / 1e6 for name, step in held.items()}


# The rates are small: one minibatch, learned thousands of times, should neither diverge nor drive units so far into
# saturation that their derivatives become denormal numbers, which are slow.
LINEAR = Experiment(
    name="bench-linear", task="linear", sizes=(30, 20, 10), rule=FA, rate=1e-3, examples=1, seeds=(0,), weights=0.01,
    feedback=0.5, hidden="linear", output="linear",
)
LOGISTIC = Experiment(
    name="bench-logistic", task="mnist", sizes=(784, 1000, 10), rule=FA, rate=1e-5, examples=1, seeds=(0,), weights=0.05,
    feedback=0.5,
)
TANH = Experiment(
    name="bench-tanh", task="mnist", sizes=(784, 1500, 1500, 1500, 10), rule=FA, rate=1e-6, examples=100, batch=100,
    seeds=(0,), weights=0.03, feedback=0.03, hidden="tanh", output="tanh",
)
FIGURE_4 = SpikingExperiment(
    name="bench-spiking", sizes=(784, 1500, 1500, 1500, 1000), rate=1e-6, examples=100, seeds=(0,),
)
# 20 large networks at once only thrash the cache (`fa_core.training.LARGE`): 784-1000-10 shows it, at batch 1.
CASES = (
    Case(LINEAR, repeat=20, targets={TOGETHER: 1 / 50}, together=True),
    Case(LOGISTIC, repeat=5, targets={FA: 0.40}, together=True),
    Case(LOGISTIC.but(examples=100, batch=100), repeat=3, targets={FA: 0.85}),
    Case(TANH, targets={FA: 1.0}, rounded=True),
    Case(TANH.but(name="bench-dense", sizes=FIGURE_4.sizes, hidden="logistic", output="logistic"), spiking=FIGURE_4),
)
# The networks of Notes 5, 6 and 9, as their records are made; 784-3174-1500-1500-10 without the mask of its receptive
# fields, which autograd has no word for. An epoch is so many steps.
NOTES = tuple(Case(TANH.but(examples=batch, batch=batch, sizes=sizes), rounded=True) for batch, sizes in (
    (20, TANH.sizes), (20, (784, *(1000,) * 10, 10)), (20, (784, 3174, 1500, 1500, 10)), (20, (1024, *(3000,) * 4, 10)),
    (100, (784, 1000, 500, 10, 500, 1000, 784)), (100, (784, *(1000,) * 5, 784))))


def minibatch(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """Inputs N(0, 1) `(runs, batch, n_0)` and targets from [0, 1] `(runs, batch, n_out)`, in the experiment's dtype."""
    e, g = experiment, generator(0, "benchmark")
    x = torch.randn(len(e.seeds), e.batch, e.sizes[0], generator=g, dtype=torch.float64)
    target = torch.rand(len(e.seeds), e.batch, e.sizes[-1], generator=g, dtype=torch.float64)
    dtype = getattr(torch, e.dtype)
    return x.to(dtype), target.to(dtype)


class Autograd:
    """Backprop of one network as PyTorch has it: modules, a loss, `backward`, an optimiser.

    It starts from the weights of the experiment's first seed. The loss is the sum of squares, which is the quickest to
    write down; its gradient is twice that of e'e / 2, so the rate is half.
    """

    runs = 1

    def __init__(self, experiment: Experiment):
        e, start = experiment, initialise(experiment, experiment.seeds[:1])
        self.x, self.target = (a[0] for a in minibatch(e))
        self.linear = [nn.Linear(*w.shape[1:], dtype=w.dtype) for w in start.W]
        with torch.no_grad():
            for layer, w, b in zip(self.linear, start.W, start.b, strict=True):
                layer.weight.copy_(w[0].mT)
                layer.bias.copy_(b[0, 0])
        units = [UNITS[e.hidden]() for _ in self.linear[1:]] + [UNITS[e.output]()]
        self.model = nn.Sequential(*(m for pair in zip(self.linear, units, strict=True) for m in pair))
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=e.rate / 2)

    def __call__(self) -> None:
        self.optimiser.zero_grad()
        nn.functional.mse_loss(self.model(self.x), self.target, reduction="sum").backward()
        self.optimiser.step()

    def learned(self) -> list[Tensor]:
        return [m.weight.detach().mT[None] for m in self.linear] + [m.bias.detach()[None, None] for m in self.linear]


class Engine:
    """Our networks of all the experiment's seeds. A step is what `fa_core.training.Run.advance` does for a minibatch."""

    def __init__(self, experiment: Experiment):
        self.experiment, self.runs = experiment, len(experiment.seeds)
        self.network = initialise(experiment, experiment.seeds)
        self.learner, self.rule = self.network.taking(experiment.products), rule(experiment.rule)
        self.x, self.target = minibatch(experiment)

    def __call__(self) -> None:
        step(self.experiment, self.learner, self.rule, self.x, self.target, self.experiment.rates_at(0))

    def learned(self) -> list[Tensor]:
        return [*self.network.W, *self.network.b]

    def held(self) -> list[Tensor]:
        """What is kept from one step to the next."""
        return [*self.network.W, *self.network.b, *self.network.B]


class Spiking:
    """A spiking network. A step is one time step of all streams, plasticity and the drawing of random numbers included."""

    runs = 1

    def __init__(self, experiment: SpikingExperiment):
        self.experiment, g = experiment, generator(0, "benchmark")
        self.network = spiking.initialise(experiment, experiment.seeds[0])
        self.noise = spiking.Noise(self.network, generator(0, "spikes"))
        self.x = torch.rand(experiment.streams, experiment.sizes[0], generator=g) * spiking.SATURATION
        self.target = spiking.wanted(torch.arange(experiment.streams) % spiking.CLASSES, experiment.sizes[-1])

    def __call__(self) -> None:
        self.network.step(self.x, self.target, self.noise.draw(), self.experiment.rate)

    def learned(self) -> list[Tensor]:
        return [a[None] for a in self.network.W + self.network.b]

    def held(self) -> list[Tensor]:
        """What is kept from one step to the next, and the memory that every step uses again."""
        n = self.network
        return [*n.W, *n.b, *n.B, *n.h, *n.V, *n.p, *n.U, *n.delta, self.noise.block]


class Products:
    """The matrix products of a step of one network, and nothing else: forward, the signals down, the outer products.

    The outer products are written where the weights lie, so that as much memory is gone through as in a step.
    """

    runs = 1

    def __init__(self, experiment: Experiment):
        sizes, n, dtype = experiment.sizes, experiment.batch, getattr(torch, experiment.dtype)
        h = [torch.rand(n, size, dtype=dtype) for size in sizes]  # (batch, units), as are the signals
        out = [torch.empty_like(a) for a in h]
        W = [torch.rand(a, b, dtype=dtype) for a, b in pairwise(sizes)]
        B = [torch.rand(b, a, dtype=dtype) for a, b in pairwise(sizes[1:])]
        forward = [(h[i], w, out[i + 1]) for i, w in enumerate(W)]
        down = [(h[i + 2], b, out[i + 1]) for i, b in reversed(list(enumerate(B)))]
        outer = [(h[i].mT, h[i + 1], w) for i, w in enumerate(W)]
        self.products = forward + down + outer

    def __call__(self) -> None:
        for a, b, out in self.products:
            torch.mm(a, b, out=out)

    def learned(self) -> list[Tensor]:
        return []
