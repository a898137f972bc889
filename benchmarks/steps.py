"""What is timed: a step of learning from one minibatch, by our engine and by what one would take instead.

Each contender takes one step when called, and says what one took by `timed()`. `runs`: networks that the step trains.
`learned()`: what it trains, by name, each with the leading axis of runs. Ours are taken in this process; PyTorch's autograd,
which all are compared with, and peers in processes of their own, in which nothing of ours is imported: see
`benchmarks.apart`.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from benchmarks.apart import KINDS, SCAN
from fa_core import mkl, spiking
from fa_core.draws import generator
from fa_core.experiments import Experiment
from fa_core.experiments.spiking import SpikingExperiment
from fa_core.network import initialise
from fa_core.rules import rule
from fa_core.training import Run, step

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "_build" / "peers"  # where their packages are, see the Makefile
SEEDS = 20  # as many as the paper's and our own figures have
FA, BACKPROP, TOGETHER = "feedback alignment", "backprop", f"feedback alignment, per seed of {SEEDS}"
AUTOGRAD, PRODUCTS = "autograd", "matrix products alone"
ONEDNN, ROUNDED = f"{FA}, products by oneDNN", f"{FA}, products in bfloat16"
COMPILED = f"{FA}, compiled"
EPOCH = f"{FA}, a run with all that an epoch takes"
COMPILED_TOGETHER = f"{FA}, compiled, per seed of {SEEDS}"
LAYERS = tuple(kind for kind in KINDS if "fa_core.nn" in kind)
SPIKING, SPIKING_ROUNDED = "spiking, one time step", "spiking, one time step, products in bfloat16"
PEER = {name: f"{name}, per seed of {SEEDS}" for name in KINDS}  # the names of those that train many networks at once


@dataclass(frozen=True)
class Case:
    """A network and its minibatch. `repeat`: rounds of it for each one asked for, more for a small network. `targets`:
    contender -> the largest ratio of its time to autograd's that we want. `ours`: which of our ways are timed beside the
    plain one. `peers`: with whom it is compared where they are asked for; a name of `PEER` for 20 seeds at once.
    `spiking`: a spiking network of the same sizes, with as many streams as the minibatch has examples; of it one time step
    is timed, of which an image takes several."""

    experiment: Experiment
    repeat: int = 1
    targets: dict[str, float] = field(default_factory=dict)
    ours: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    spiking: SpikingExperiment | None = None

    @property
    def network(self) -> str:
        """Sizes of the layers, e.g. "30-20-10"."""
        return "-".join(map(str, self.experiment.sizes))

    def contenders(self, peers: bool = False) -> dict[str, Callable[[], None]]:
        """All that are timed on this case, ready to step, by name."""
        e = self.experiment
        many = e.but(seeds=tuple(range(SEEDS)))
        found = {
            AUTOGRAD: Apart(e, AUTOGRAD),
            FA: Engine(e),
            BACKPROP: Engine(e.but(rule="backprop")),
            PRODUCTS: Products(e),
        }
        ways = {
            TOGETHER: lambda: Engine(many),
            ONEDNN: lambda: Engine(e.but(products="oneDNN")),
            ROUNDED: lambda: Engine(e.but(products="bfloat16")),
            COMPILED: lambda: Compiled(e),
            EPOCH: lambda: Epoch(e),
            COMPILED_TOGETHER: lambda: Compiled(many),
        }
        ways |= {kind: lambda kind=kind: Apart(e, kind) for kind in LAYERS}
        found |= {name: ways[name]() for name in self.ours}
        if self.spiking:
            found |= {SPIKING: Spiking(self.spiking), SPIKING_ROUNDED: Spiking(self.spiking.but(products="bfloat16"))}
        for name in self.peers if peers else ():
            kind = next(k for k in KINDS if name in (k, PEER[k]))
            found[name] = Apart(e if name == kind else many, kind)
        return found


# The rates are small: one minibatch, learned thousands of times, should neither diverge nor drive units so far into
# saturation that their derivatives become denormal numbers, which are slow.
LINEAR = Experiment(
    name="bench-linear",
    task="linear",
    sizes=(30, 20, 10),
    rule=FA,
    rate=1e-3,
    examples=1,
    seeds=(0,),
    weights=0.01,
    feedback=0.5,
    hidden="linear",
    output="linear",
)
LOGISTIC = Experiment(
    name="bench-logistic",
    task="mnist",
    sizes=(784, 1000, 10),
    rule=FA,
    rate=1e-5,
    examples=1,
    seeds=(0,),
    weights=0.05,
    feedback=0.5,
)
TANH = Experiment(
    name="bench-tanh",
    task="mnist",
    sizes=(784, 1500, 1500, 1500, 10),
    rule=FA,
    rate=1e-6,
    examples=100,
    batch=100,
    seeds=(0,),
    weights=0.03,
    feedback=0.03,
    hidden="tanh",
    output="tanh",
)
FIGURE_4 = SpikingExperiment(
    name="bench-spiking",
    sizes=(784, 1500, 1500, 1500, 1000),
    rate=1e-6,
    examples=100,
    seeds=(0,),
)
COMPILE, BIOTORCH, VMAP, JAX, NUMBA = (kind for kind in KINDS if kind not in (AUTOGRAD, *LAYERS))
# 20 large networks at once only thrash the cache (`fa_core.training.LARGE`): 784-1000-10 shows it, at batch 1.
CASES = (
    Case(
        LINEAR,
        repeat=20,
        targets={TOGETHER: 1 / 50, COMPILED_TOGETHER: 0.004},
        ours=(TOGETHER, COMPILED_TOGETHER, *LAYERS),
        peers=(COMPILE, BIOTORCH, PEER[VMAP], PEER[JAX], NUMBA),
    ),
    Case(
        LOGISTIC,
        repeat=5,
        targets={FA: 0.40, COMPILED: 0.25},
        ours=(TOGETHER, COMPILED, *LAYERS),
        peers=(COMPILE, BIOTORCH, JAX, NUMBA),
    ),
    Case(
        LOGISTIC.but(examples=100, batch=100),
        repeat=3,
        targets={ONEDNN: 0.45},
        ours=(ONEDNN, ROUNDED, EPOCH, *LAYERS),
        peers=(COMPILE, BIOTORCH, JAX),
    ),
    Case(TANH, targets={ONEDNN: 0.50, ROUNDED: 0.25}, ours=(ONEDNN, ROUNDED, *LAYERS), peers=(COMPILE, BIOTORCH, JAX)),
    Case(
        TANH.but(name="bench-dense", sizes=FIGURE_4.sizes, hidden="logistic", output="logistic"),
        spiking=FIGURE_4,
        targets={SPIKING_ROUNDED: 0.30},
    ),
)
# The networks of Notes 5, 6 and 9, as their records are made; 784-3174-1500-1500-10 without the mask of its receptive
# fields, which autograd has no word for. An epoch is so many steps.
NOTES = tuple(
    Case(TANH.but(examples=batch, batch=batch, sizes=sizes, task="mnist" if sizes[0] == 784 else "svhn"), ours=(ROUNDED,))
    for batch, sizes in (
        (20, TANH.sizes),
        (20, (784, *(1000,) * 10, 10)),
        (20, (784, 3174, 1500, 1500, 10)),
        (20, (1024, *(3000,) * 4, 10)),
        (100, (784, 1000, 500, 10, 500, 1000, 784)),
        (100, (784, *(1000,) * 5, 784)),
    )
)


def minibatch(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """Inputs N(0, 1) `(runs, batch, n_0)` and targets from [0, 1] `(runs, batch, n_out)`, in the experiment's dtype."""
    e, g = experiment, generator(0, "benchmark")
    x = torch.randn(len(e.seeds), e.batch, e.sizes[0], generator=g, dtype=torch.float64)
    target = torch.rand(len(e.seeds), e.batch, e.sizes[-1], generator=g, dtype=torch.float64)
    dtype = getattr(torch, e.dtype)
    return x.to(dtype), target.to(dtype)


def handed(experiment: Experiment) -> dict[str, np.ndarray]:
    """The networks of an experiment's seeds before learning and a minibatch, as those apart take them."""
    e, start = experiment, initialise(experiment, experiment.seeds)
    x, target = minibatch(e)
    return {k: a.numpy() for k, a in start.arrays().items()} | {
        "x": x.numpy(),
        "target": target.numpy(),
        "rate": np.array(e.rate),
        "hidden": np.array(e.hidden),
        "output": np.array(e.output),
    }


class Apart:
    """One of `benchmarks.apart` in a process of its own, whose environment says nothing of MKL: it has not heard of us."""

    def __init__(self, experiment: Experiment, kind: str):
        self.folder = TemporaryDirectory()
        self.file = Path(self.folder.name, "given.npz")
        np.savez(self.file, **handed(experiment))
        environment = {k: v for k, v in os.environ.items() if k != mkl.VARIABLE}
        if kind != AUTOGRAD:
            environment["PYTHONPATH"] = str(PEERS)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.apart", kind, str(self.file)],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.runs, self.steps, self.nbytes = map(int, self.answer(kind).split())

    def answer(self, what: str) -> str:
        """Its next line. Raises RuntimeError where it has ended."""
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"{what}: the process ended with status {self.process.wait()}")
        return said

    def timed(self) -> float:
        """Seconds of a step, per network."""
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.answer("a step"))

    def learned(self) -> dict[str, np.ndarray]:
        """What it trained; it then takes no more steps."""
        self.process.stdin.close()
        if self.process.wait():
            raise RuntimeError(f"the process ended with status {self.process.returncode}")
        with np.load(self.file.with_suffix(".learned.npz")) as stored:
            return dict(stored)

    def close(self) -> None:
        """End the process, if it has not ended, and forget its files."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.folder.cleanup()


class Here:
    """What a contender in this process has in common with the others: how it is timed."""

    runs = steps = 1  # networks, and steps, that a call takes

    def close(self) -> None:
        """Nothing is to be ended."""

    @property
    def nbytes(self) -> int:
        """Bytes that are kept from one step to the next; 0 where that is not asked."""
        return sum(a.nbytes for a in self.held())

    def held(self) -> list[Tensor]:
        """What is kept from one step to the next."""
        return []

    def timed(self) -> float:
        """Seconds of a step, per network."""
        self()  # not timed: it takes the caches over from the contender before
        start = perf_counter()
        self()
        return (perf_counter() - start) / self.runs / self.steps


class Engine(Here):
    """Our networks of all the experiment's seeds. A step is what `fa_core.training.Run.advance` does for a minibatch."""

    def __init__(self, experiment: Experiment):
        self.experiment, self.runs = experiment, len(experiment.seeds)
        self.network = initialise(experiment, experiment.seeds)
        compiled = experiment.products == "compiled"
        self.learner, self.rule = self.network.taking("" if compiled else experiment.products), rule(experiment.rule)
        self.x, self.target = minibatch(experiment)

    def __call__(self) -> None:
        step(self.experiment, self.learner, self.rule, self.x, self.target, self.experiment.rates_at(0))

    def learned(self) -> dict[str, np.ndarray]:
        return {k: a.numpy() for k, a in self.network.arrays().items() if k[0] != "B"}

    def held(self) -> list[Tensor]:
        """What is kept from one step to the next."""
        return [*self.network.W, *self.network.b, *self.network.B]


class Compiled(Engine):
    """The same, compiled, which goes through many examples at a time; here the minibatch's one again and again."""

    steps = SCAN

    def __init__(self, experiment: Experiment):
        super().__init__(experiment.but(products="compiled"))
        from fa_core import compiled

        x, target = (a.expand(-1, self.steps, -1).contiguous() for a in (self.x, self.target))
        e = self.experiment
        self.take = lambda: compiled.learn(
            self.network, None, self.rule, e.rates_at(0), e.weight_decay, e.momentum, [(x, target)]
        )

    def __call__(self) -> None:
        self.take()


class Epoch(Engine):
    """A run: a step with its images, which are not there beforehand, and its share of what an epoch begins with."""

    def __init__(self, experiment: Experiment):
        self.run, self.runs = Run(experiment.but(examples=10**9), experiment.seeds), len(experiment.seeds)
        self.network = self.run.network

    def __call__(self) -> None:
        self.run.advance()

    def timed(self) -> float:
        start = perf_counter()
        self.run.next_chunk()
        begun, seen = perf_counter(), self.run.seen
        self.run.advance()
        each = (perf_counter() - begun) / (self.run.seen - seen) + (begun - start) / self.run.task.chunk
        return each * self.run.experiment.batch / self.runs


class Spiking(Here):
    """A spiking network. A step is one time step of all streams, plasticity and the drawing of random numbers included."""

    def __init__(self, experiment: SpikingExperiment):
        self.experiment, g = experiment, generator(0, "benchmark")
        self.network = spiking.initialise(experiment, experiment.seeds[0])
        self.noise = spiking.Noise(self.network, generator(0, "spikes"))
        self.x = torch.rand(experiment.streams, experiment.sizes[0], generator=g) * spiking.SATURATION
        self.target = spiking.wanted(torch.arange(experiment.streams) % spiking.CLASSES, experiment.sizes[-1])

    def __call__(self) -> None:
        self.network.step(self.x, self.target, self.noise.draw(), self.experiment.rate)

    def learned(self) -> dict[str, np.ndarray]:
        return {k: a.numpy()[None] for k, a in self.network.state().items() if k[0] in "Wb"}

    def held(self) -> list[Tensor]:
        """What is kept from one step to the next, and the memory that every step uses again."""
        n = self.network
        return [*n.W, *n.b, *n.B, *n.h, *n.V, *n.p, *n.U, *n.delta, self.noise.block]


class Products(Here):
    """The matrix products of a step of one network, and nothing else: forward, the signals down, the outer products.

    The outer products are written where the weights lie, so that as much memory is gone through as in a step.
    """

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

    def learned(self) -> dict[str, np.ndarray]:
        return {}
