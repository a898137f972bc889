"""Fig. 4: a network that integrates its activity and spikes, eqs 5 to 8 of the Methods, trained by feedback alignment.

The paper shows one image after the other. Here `streams` sequences of images run at once, each with its own potentials
and spikes; they share the weights, and their updates are added. `streams=1` is the paper's network.

Layout, row-wise as everywhere: V[i], U[i] and spikes `(streams, units)`; `W[i]` `(fan_in, fan_out)`, which is the order
of the indices of the paper's W^ij, presynaptic first; `B[i]` `(fan_out, fan_in)`, the transpose of its B_jk.
Layers are counted from 0: V[0] and U[0] are the first hidden layer's, h[0] are the inputs' spikes, h[i + 1] those of V[i].
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fa_core import measures, mkl
from fa_core.data import mnist
from fa_core.data.tasks import split
from fa_core.draws import generator
from fa_core.experiments import must_be_one
from fa_core.experiments.spiking import CLASSES, SpikingExperiment
from fa_core.products import add_outer, of
from fa_core.training import History, drive, pack_probes, unpack_probes

SATURATION = 0.95  # an input spikes with at most this probability
LOOK = (4, 50)  # for the figure: images, and steps an image
EXPOSURE = 20  # steps for which test images are shown where the figure is made
SHOWN = 50  # units of each layer whose spikes are kept for it
PORTION = 1e-4  # weight decay is applied when it comes to this much: 1 - 1e-8 is 1 in float32


def logistic_less_half(u: Tensor, out: Tensor) -> Tensor:
    """1 / (1 + exp(-u)) - 1/2, into `out`: a quarter as steep as tanh at 0, and bounded by 1/2."""
    return torch.sigmoid(u, out=out).sub_(0.5)


def stretched_logistic(u: Tensor, out: Tensor) -> Tensor:
    """2 / (1 + exp(-u)) - 1, into `out`: half as steep as tanh at 0, and bounded by 1."""
    return logistic_less_half(u, out).mul_(2)


# phi_delta, by the names of `fa_core.experiments.spiking.SQUASHING`
SQUASH: dict[str, Callable[..., Tensor]] = {
    "tanh": torch.tanh,
    "logistic": logistic_less_half,
    "stretched": stretched_logistic,
}


class Network:
    """Weights, and the state of every stream. All is updated in place.

    W, b, B: lists of tensors, may be shared with another network; tau: integration time constant; weight_decay: of each
    stream's step; squash: phi_delta, one of `SQUASH`; share: for each hidden layer what a neuron's modulation is of the
    feedback neurons' signals, `(feedback neurons, neurons)`, or none where neuron i has feedback neuron i to itself;
    products: how matrix products are taken, see `fa_core.products`.
    """

    def __init__(
        self,
        W: list[Tensor],
        b: list[Tensor],
        B: list[Tensor],
        tau: float,
        streams: int,
        weight_decay: float = 0.0,
        squash: str = "tanh",
        share: Sequence[Tensor] = (),
        products: str = "oneDNN",
    ):
        self.W, self.b, self.B, self.tau, self.streams, self.weight_decay = W, b, B, tau, streams, weight_decay
        self.squash, self.share = squash, share
        self.taken_W, self.taken_B, self.taken_share = ([of(m, products) for m in part] for part in (W, B, share))
        self.owed = 0.0  # decay that is still to be applied
        self.sizes = (W[0].shape[0], *(w.shape[1] for w in W))
        self.h = [W[0].new_zeros(streams, n) for n in self.sizes]  # spikes, phi_h(V)
        self.V, self.p, self.U, self.delta = ([torch.zeros_like(h) for h in self.h[1:]] for _ in range(4))

    def beside(self, streams: int) -> "Network":
        """A network with these very weights and fresh state, for tests."""
        return Network(self.W, self.b, self.B, self.tau, streams, squash=self.squash, share=self.share)

    def forward(self, x: Tensor, r: list[Tensor]) -> None:
        """Eq. 5, one step: V_l <- (1 - tau) V_l + tau (W_l' h_{l-1} + b_l), and spikes.

        x `(streams, inputs)`: probabilities of input spikes; r: uniform random numbers
        for every layer, the inputs first. A unit spikes if its number is below its
        probability, the logistic function of V.
        """
        torch.lt(r[0], x, out=self.h[0])
        for i, (V, p) in enumerate(zip(self.V, self.p, strict=True)):
            (
                V.mul_(1 - self.tau)  # leaks
                .add_(self.h[i] @ self.taken_W[i], alpha=self.tau)  # takes in spikes
                .add_(self.b[i], alpha=self.tau)
            )
            torch.sigmoid(V, out=p)
            torch.lt(r[i + 1], p, out=self.h[i + 1])

    def backward(self, target: Tensor) -> None:
        """Eqs 7 and 6, one step: U_m <- (1 - tau) U_m + tau (h_m - target) for the
        outputs, from there down U_l <- (1 - tau) U_l + tau B_l phi_delta(U_{l+1}).
        `delta` is phi_delta(U)."""
        squash = SQUASH[self.squash]
        (
            self.U[-1]
            .mul_(1 - self.tau)
            .add_(self.h[-1], alpha=self.tau)
            .sub_(target, alpha=self.tau)  # the error is h_m - target
        )
        squash(self.U[-1], out=self.delta[-1])
        for i in reversed(range(len(self.B))):
            (
                self.U[i]
                .mul_(1 - self.tau)  # leaks
                .add_(self.delta[i + 1] @ self.taken_B[i], alpha=self.tau)
            )
            squash(self.U[i], out=self.delta[i])

    def learn(self, rate: float) -> None:
        """Eq. 8 with its sign mended, one step:
        W_l <- W_l - rate * h_{l-1} (phi_delta(U_l) o Psi(V_l)), summed over the
        streams; Psi is the derivative of the logistic function. Overwrites p and
        `delta`. And weight decay."""
        for i, (delta, p) in enumerate(zip(self.delta, self.p, strict=True)):
            p.addcmul_(p, p, value=-1)  # from here on Psi = p (1 - p)
            # A hidden layer's modulation, of several feedback neurons to a neuron.
            if self.share and i < len(self.B):
                delta = delta @ self.taken_share[i]
            delta.mul_(p)
            add_outer(self.taken_W[i], self.h[i], delta, 1.0, -rate)
            self.b[i].sub_(delta.sum(0), alpha=rate)
        self.owed += self.weight_decay * self.streams
        if self.owed >= PORTION:
            for w in self.W + self.b:
                w.mul_(1 - self.owed)
            self.owed = 0.0

    def step(self, x: Tensor, target: Tensor, r: list[Tensor], rate: float = 0.0) -> None:
        """One step of everything at once; without a rate plasticity is off."""
        self.forward(x, r)
        self.backward(target)
        if rate:
            self.learn(rate)

    def state(self) -> dict[str, Tensor]:
        """All that is carried from one step to the next, by name, but B, which is fixed. No copies."""
        return {f"{name}{i}": a for name in "WbVU" for i, a in enumerate(getattr(self, name))}


class Noise:
    """Uniform random numbers on [0, 1) for every unit of every stream, drawn as one block into the same memory."""

    def __init__(self, network: Network, generator: torch.Generator):
        self.generator, S = generator, network.streams
        self.block = torch.empty(S * sum(network.sizes))
        self.there = self.block.to(network.W[0].device)
        parts = self.there.split([S * n for n in network.sizes])
        self.parts = [a.view(S, n) for a, n in zip(parts, network.sizes, strict=True)]

    def draw(self) -> list[Tensor]:
        """The next numbers, a tensor `(streams, units)` for each layer; they replace the last ones."""
        self.block.uniform_(generator=self.generator)
        if self.there is not self.block:
            self.there.copy_(self.block)
        return self.parts


def initialise(experiment: SpikingExperiment, seed: int, device: torch.device | str = "cpu") -> Network:
    """The network of a seed before learning, in float32."""
    mkl.pin()
    e, g, f = experiment, generator(seed, "weights"), generator(seed, "feedback")
    W, b = [], []
    for i, o in pairwise(e.sizes):
        W.append(torch.empty(i, o).uniform_(-e.weights, e.weights, generator=g))
        scale = e.weights if e.biases is None else e.biases
        b.append(torch.empty(o).uniform_(-scale, scale, generator=g))
    B = [
        torch.empty(o, i).uniform_(-1, 1, generator=f).mul_(scale)
        for (i, o), scale in zip(pairwise(e.sizes[1:]), e.per_layer("feedback"), strict=True)
    ]
    share = shares(e, seed) if e.shared > 1 else []
    W, b, B, share = ([a.to(device) for a in part] for part in (W, b, B, share))
    return Network(W, b, B, e.tau, e.streams, e.weight_decay, e.squash, share, e.products or "oneDNN")


def shares(experiment: SpikingExperiment, seed: int) -> list[Tensor]:
    """For each hidden layer, `(feedback neurons, neurons)`: a neuron is modulated by the mean of `shared` different feedback
    neurons of its layer, drawn at random, times sqrt(shared). Signals of different feedback neurons are uncorrelated over
    draws of B, so their mean is that much smaller than one of them."""
    g, n = generator(seed, "shared"), experiment.shared
    chosen = [torch.rand(units, units, generator=g).argsort(0)[:n] for units in experiment.sizes[1:-1]]
    return [torch.zeros(c.shape[1], c.shape[1]).scatter_(0, c, n**-0.5) for c in chosen]


def probabilities(images: Tensor) -> Tensor:
    """Grey levels 0 to 255 as probabilities of a spike at each step, min(x, 0.95)."""
    return (images.float() / 255).clamp_(max=SATURATION)


def wanted(labels: Tensor, outputs: int) -> Tensor:
    """phi*: 1 for the outputs of the class of each label `(streams,)`, 0 for all others."""
    return torch.eye(CLASSES, device=labels.device)[labels.long()].repeat_interleave(outputs // CLASSES, dim=1)


def counts(network: Network) -> Tensor:
    """Output spikes of each class at this step, `(streams, 10)`."""
    return network.h[-1].unflatten(1, (CLASSES, -1)).sum(2)


def guesses(network: Network, images: Tensor, noise: Noise, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Show images `(n, 784)` with plasticity off, `network.streams` at once, each for `steps` steps, going on from one
    to the next without a pause. n has to be a multiple of the streams.

    The class with most output spikes (the first, where several have equally many) at each step, and over all steps from
    the first to each: two arrays `(steps, n)`.
    """
    at, summed = (np.empty((steps, len(images)), dtype=np.uint8) for _ in range(2))
    for start in range(0, len(images), network.streams):
        shown = slice(start, start + network.streams)
        x, so_far = probabilities(images[shown]), torch.zeros(())
        for t in range(steps):
            network.forward(x, noise.draw())
            now = counts(network)
            so_far = so_far + now
            at[t, shown], summed[t, shown] = now.argmax(1).cpu(), so_far.argmax(1).cpu()
    return at, summed


class Run:
    """One seed of an experiment in progress."""

    def __init__(self, experiment: SpikingExperiment, seed: int, device: str = "cpu"):
        self.experiment, self.seed, self.device = experiment, seed, device
        train, test = mnist.load("train"), mnist.load("test")
        if experiment.task == "mnist validation":
            train, test = (mnist.Digits(*part) for part in split(train, 10_000))
        self.images, self.labels = (torch.from_numpy(a.copy()).to(device) for a in train)
        self.test_images = torch.from_numpy(test.images[: experiment.tested].copy()).to(device)
        self.test_labels = test.labels[: experiment.tested]
        self.network = initialise(experiment, seed, device)
        self.data = generator(seed, "data")
        self.noise = Noise(self.network, generator(seed, "spikes"))
        self.order = torch.empty(0, dtype=torch.int64)
        self.seen, self.diverged, self.wrong, self.since = 0, -1, 0, 0
        self.probed: list[dict[str, np.ndarray]] = []
        self.looks: dict[str, np.ndarray] = {}
        self.measure_if_due()

    @property
    def done(self) -> bool:
        """Whether all images have been shown, or the run has become infinite or NaN."""
        return self.seen >= self.experiment.examples or self.diverged >= 0

    def advance(self) -> None:
        """Show `streams` images, one to each stream."""
        e, network, at = self.experiment, self.network, self.seen % self.experiment.epoch
        if at == 0:
            self.order = torch.randperm(e.epoch, generator=self.data)
        shown = self.order[at : at + e.streams].to(self.images.device)
        x, label = probabilities(self.images[shown]), self.labels[shown]
        target, so_far, rate = wanted(label, e.sizes[-1]), torch.zeros(()), e.rate_at(self.seen)
        for _ in range(e.steps):
            network.step(x, target, self.noise.draw(), rate)
            so_far = so_far + counts(network)
        self.wrong += int((so_far.argmax(1) != label).sum())
        self.since += e.streams
        self.seen += e.streams
        if self.seen % (e.epoch // 10) == 0 and not all(w.isfinite().all() for w in network.W):
            self.diverged = self.seen
        self.measure_if_due()

    def measure_if_due(self) -> None:
        """Test, and keep spikes for the figure, where either is due now."""
        e = self.experiment
        if self.seen in e.probes:
            self.probed.append(self.probe())
            self.wrong = self.since = 0
        if self.seen in e.snapshots:
            kept = look(self.network, self.test_images, self.test_labels, self.seed)
            kept["exposure"] = np.stack(self.errors(EXPOSURE))
            self.looks |= {f"{name} {self.seen}": a for name, a in kept.items()}
        if self.seen == e.examples and e.retests:
            wrong = [[g[-1] != self.test_labels for g in self.guess(e.steps, f"test again {n}")] for n in range(e.retests)]
            self.looks |= dict(zip(("wrong at step", "wrong summed"), np.sum(wrong, axis=0), strict=True))

    def guess(self, steps: int, purpose: str) -> tuple[np.ndarray, np.ndarray]:
        """What `guesses` gives for all test images. The network of the test begins at rest; streams and order are those of
        training and file; purpose: names the random numbers."""
        network = self.network.beside(self.experiment.streams)
        return guesses(network, self.test_images, Noise(network, generator(self.seed, purpose)), steps)

    def errors(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Percent of the test images guessed wrongly from the spikes at each step of exposure, and from all up to it:
        two arrays `(steps,)`."""
        at, summed = (100 * (g != self.test_labels).mean(1) for g in self.guess(steps, f"test {self.seen}"))
        return at, summed

    def probe(self) -> dict[str, np.ndarray]:
        """Measures at this moment: percent of test images guessed wrongly from the spikes at each step of exposure and
        from all up to it, `(steps,)`; percent of training images wrong since the last probe; angle between W and B'
        for each hidden layer, degrees."""
        network = self.network
        values = dict(zip(("error at step", "error summed"), self.errors(self.experiment.steps), strict=True))
        values["training error"] = np.array(100 * self.wrong / self.since if self.since else np.nan)
        values["weight angle"] = np.array(
            [
                float(measures.matrix_angle(w.cpu().numpy()[None], b.mT.cpu().numpy()[None])[0])
                for w, b in zip(network.W[1:], network.B, strict=True)
            ]
        )
        return values

    def history(self) -> History:
        """What was measured; NaN from where it diverged, at all the probes that were to come."""
        e = self.experiment
        curves = {k: np.stack([p[k] for p in self.probed])[None] for k in (self.probed[0] if self.probed else {})}
        missing = len(e.probes) - len(self.probed)
        curves = {k: np.concatenate([v, np.full((1, missing, *v.shape[2:]), np.nan)], 1) for k, v in curves.items()}
        return History(
            np.array([self.seed]),
            np.array(e.probes, dtype=np.int64),
            curves,
            {k: v[None] for k, v in self.looks.items()},
            np.array([self.diverged]),
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on, between images."""
        flat = {f"array.{k}": v.cpu().numpy() for k, v in self.network.state().items()}
        flat |= {f"generator.{i}": g.get_state().numpy() for i, g in enumerate((self.data, self.noise.generator))}
        flat |= pack_probes(self.probed)
        flat |= {f"look.{k}": v for k, v in self.looks.items()}
        return flat | {
            "order": self.order.numpy(),
            "owed": np.array(self.network.owed),
            "numbers": np.array([self.seen, self.diverged, self.wrong, self.since]),
        }

    def restore(self, flat: dict[str, np.ndarray]) -> None:
        """Take up a state that `state` gave."""
        for name, array in self.network.state().items():
            array.copy_(torch.from_numpy(flat[f"array.{name}"]))
        for i, g in enumerate((self.data, self.noise.generator)):
            g.set_state(torch.from_numpy(flat[f"generator.{i}"]))
        self.order, self.network.owed = torch.from_numpy(flat["order"]), float(flat["owed"])
        self.seen, self.diverged, self.wrong, self.since = map(int, flat["numbers"])
        self.probed = unpack_probes(flat)
        self.looks = {k.split(".", 1)[1]: v for k, v in flat.items() if k.startswith("look.")}


def look(network: Network, images: Tensor, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """For the figure: the first four test images, each for 50 steps, in one stream, with plasticity off.

    "spikes" `(layers, steps, 50)`: of 50 random units of each hidden layer, and of the outputs 5 of each class in turn;
    "potential" and "modulator" `(hidden layers, steps)`: V and phi_delta(U) of the first of these units of each layer;
    "size" `(layers, steps)`: the mean size of phi_delta(U) over all units of each layer, outputs last.
    """
    network, g = network.beside(1), generator(seed, "looked at")
    noise = Noise(network, generator(seed, "look"))
    units = [torch.randperm(n, generator=g)[:SHOWN] for n in network.sizes[1:-1]]
    group = network.sizes[-1] // CLASSES
    units.append(torch.cat([c * group + torch.randperm(group, generator=g)[: SHOWN // CLASSES] for c in range(CLASSES)]))
    spikes, V, delta, size = [], [], [], []
    for image, label in zip(images[: LOOK[0]], labels, strict=False):
        x, target = probabilities(image[None]), wanted(torch.tensor([label], device=images.device), network.sizes[-1])
        for _ in range(LOOK[1]):
            network.step(x, target, noise.draw())
            spikes.append([h[0, u].cpu().numpy() for h, u in zip(network.h[1:], units, strict=True)])
            V.append([float(v[0, u[0]]) for v, u in zip(network.V[:-1], units, strict=False)])
            delta.append([float(d[0, u[0]]) for d, u in zip(network.delta[:-1], units, strict=False)])
            size.append([float(d.abs().mean()) for d in network.delta])
    return {
        "spikes": np.array(spikes, dtype=np.uint8).swapaxes(0, 1),
        "potential": np.array(V, dtype=np.float32).T,
        "modulator": np.array(delta, dtype=np.float32).T,
        "size": np.array(size, dtype=np.float32).T,
    }


def start(experiment: SpikingExperiment, seeds: tuple[int, ...], device: str = "cpu") -> Run:
    """A run of one seed, before its first image."""
    (seed,) = seeds
    return Run(experiment, seed, device)


def groups(experiment: SpikingExperiment) -> list[tuple[int, ...]]:
    """The seeds one by one: the streams of one fill a batch."""
    return [(seed,) for seed in experiment.seeds]


def train(
    experiment: SpikingExperiment,
    *,
    device: str | None = None,
    checkpoint: Path | None = None,
    every: float = 60.0,
    progress: bool | None = None,
    mixed: bool = False,
    until: float | None = None,
) -> History:
    """Run an experiment, one seed after the other, and return its history; options as those of `fa_core.training.train`.

    The same seed and number of threads give the same bits, also through a checkpoint and a kill. Warns
    DivergenceWarning where a run became infinite or NaN; it is then ended. Raises CheckpointError.
    """
    must_be_one(experiment, SpikingExperiment)
    return drive(experiment, groups(experiment), start, device, checkpoint, every, progress, mixed, until)
