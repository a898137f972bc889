"""Tasks: where the examples of a run come from, in chunks, and on what it is tested.

A task hands out examples by the chunk (some epochs of a fixed set, or some newly drawn examples). Chunks are where a
run can be checkpointed: the state of a task is the state of its runs' generators, and nothing else.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from fa_core.data import elastic, mnist
from fa_core.draws import draw, generator
from fa_core.experiments import DRAWN, Elastic, Experiment, datasets
from fa_core.experiments.datasets import DataSet, Part

Scale = Callable[[np.ndarray], np.ndarray]  # from inputs as they are stored to what the network sees
Target = Callable[[Tensor], Tensor]

CHUNK = 1000  # examples to a chunk where they are drawn: so many, or the whole minibatches that come nearest below
# Things whose least common multiple is above 2^28, from where on random_ takes two of the generator's numbers for one. That
# of tens of thousands of images takes seconds to find.
MANY = 23


def orders(n: int, times: int, generator: torch.Generator) -> Tensor:
    """`times` random orders of n things, one after the other, `(times * n,)`: those that as many calls of torch.randperm
    give, and the generator is then where they leave it. For few things it takes a fraction of their time."""
    if times == 1 or n >= MANY:
        return torch.cat([torch.randperm(n, generator=generator) for _ in range(times)])
    most = math.lcm(*range(1, n + 1))
    # A permutation exchanges each thing i but the last with thing i + u % (n - i), u the generator's next number. Given u
    # modulo a multiple of all n - i, these come out the same.
    u = torch.empty(times, n - 1, dtype=torch.int64).random_(0, most, generator=generator)
    found, rows = torch.arange(n).repeat(times, 1), torch.arange(times)
    for i in range(n - 1):
        j = i + u[:, i] % (n - i)
        found[rows, i], found[rows, j] = found[rows, j], found[rows, i].clone()
    return found.flatten()


class FixedSet:
    """A training set that all runs share, each visiting it epoch by epoch in its own random order.

    x `(n, n_in)`, y `(n, n_out)`; test_x `(1, m, n_in)`, test_y likewise, labels `(m,)` or None; `validation`: three such.
    """

    def __init__(
        self,
        x: Any,
        y: Tensor,
        test_x: Tensor,
        test_y: Tensor,
        labels: np.ndarray | None,
        generators: Sequence[torch.Generator],
        epochs: int = 1,
    ) -> None:
        self.x, self.y, self.test_x, self.test_y, self.labels = x, y, test_x, test_y, labels
        self.generators, self.epochs = generators, epochs
        self.distortions: Sequence[torch.Generator] = ()
        self.chunk = epochs * len(x)
        self.validation = test_x, test_y, labels  # what `stages` go by; `make` puts examples that are held out here

    def next_chunk(self) -> None:
        """Draw the order of the next examples."""
        self.order = torch.stack([orders(len(self.x), self.epochs, g) for g in self.generators]).to(self.y.device)

    def distort(self, constants: Elastic, generators: Sequence[torch.Generator], black: float) -> None:
        """From now on distort the images, each time one is shown; see `fa_core.data.elastic`."""
        self.constants, self.distortions, self.black = constants, generators, black

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Examples start to start + size of the chunk: x `(runs, size, n_in)` and y `(runs, size, n_out)`."""
        index = self.order[:, start : start + size]
        x = self.x[index]
        if self.distortions:
            sigma, alpha = self.constants
            x = torch.stack(
                [
                    elastic.distort(images, g, sigma, alpha, fill=self.black)
                    for images, g in zip(x, self.distortions, strict=True)
                ]
            )
        return x, self.y[index]


class Mapped(FixedSet):
    """A training set of bytes that may stay in a file: `images` `(n, n_in)`, memory-mapped; `scale` makes floats of some."""

    def __init__(
        self,
        images: np.ndarray,
        scale: Scale,
        y: Tensor,
        test_x: Tensor,
        test_y: Tensor,
        labels: np.ndarray | None,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__(images, y, test_x, test_y, labels, generators)
        self.scale = scale

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Examples start to start + size of the chunk, as floats: x `(runs, size, n_in)` and y `(runs, size, n_out)`."""
        index = self.order[:, start : start + size]
        return torch.from_numpy(self.scale(self.x[index.cpu().numpy()])).to(self.y), self.y[index]


class Drawn:
    """Inputs new at every example, x ~ N(0, I) or with `uniform` each element on [-uniform, uniform], and a target
    function `target(x)` of each run's own."""

    labels = None
    distortions: Sequence[torch.Generator] = ()

    def __init__(
        self,
        target: Target,
        n_in: int,
        generators: Sequence[torch.Generator],
        test_generators: Sequence[torch.Generator],
        device: torch.device | str,
        dtype: torch.dtype,
        uniform: float | None = None,
        test_size: int = 1000,
        chunk: int = CHUNK,
    ) -> None:
        self.target, self.n_in, self.generators, self.uniform = target, n_in, generators, uniform
        self.device, self.dtype, self.chunk = device, dtype, chunk
        self.test_x, self.test_y = self._draw(test_generators, test_size)
        self.validation = self.test_x, self.test_y, self.labels

    def _draw(self, generators: Sequence[torch.Generator], n: int) -> tuple[Tensor, Tensor]:
        x = draw(generators, (n, self.n_in), *((1.0, "normal") if self.uniform is None else (self.uniform, "uniform")))
        return x.to(device=self.device, dtype=self.dtype), self.target(x).to(device=self.device, dtype=self.dtype)

    def next_chunk(self) -> None:
        """Draw the next examples."""
        self.drawn = self._draw(self.generators, self.chunk)

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Examples start to start + size of the chunk: x `(runs, size, n_in)` and y `(runs, size, n_out)`."""
        x, target = self.drawn
        return x[:, start : start + size], target[:, start : start + size]


Task = FixedSet | Drawn

KEPT: dict[str, tuple[tuple, np.ndarray, Any]] = {}


def kept(part: str, key: tuple, stored: np.ndarray, make: Callable[[], Any]) -> Any:
    """What `make` makes of an array by a key. Of an array that cannot be written to it is kept for the next run in this
    process, which would otherwise spend half a second on 60,000 images: of each part (levels, train ...) the last one.
    Nothing may be written into it."""
    if stored.flags.writeable:
        return make()
    # As long as the array is kept as well, no other can lie where it lies.
    key = *key, stored.__array_interface__["data"][0], stored.shape, stored.strides, stored.dtype
    if part not in KEPT or KEPT[part][0] != key:
        KEPT.pop(part, None)
        KEPT[part] = key, stored, make()
    return KEPT[part][2]


def quadratic(Q: Tensor, centred: bool = False) -> Target:
    """The target y_k = x' Q_k x (Methods), Q `(runs, n_out, n, n)`, for x uniform on [-2, 2]; centred: less its mean,
    tr(Q_k) E[x_i^2] = 4/3 tr(Q_k)."""
    mean = 4 / 3 * Q.diagonal(dim1=2, dim2=3).sum(2)[:, None] if centred else 0.0
    return lambda x: ((x[:, None] @ Q) * x[:, None]).sum(3).mT - mean


def teacher(W: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Target:
    """The target y = W_2 tanh(W_1 tanh(W_0 x + b_0) + b_1) + b_2 of Fig. 3d, for any number of layers."""

    def target(x: Tensor) -> Tensor:
        for w, bias in zip(W[:-1], b[:-1], strict=True):
            x = torch.tanh(torch.baddbmm(bias, x, w))
        return torch.baddbmm(b[-1], x, W[-1])

    return target


def target_function(experiment: Experiment, generators: Sequence[torch.Generator]) -> Target:
    """The target functions of the runs, each with elements from its own generator, as one function of x
    `(runs, n, n_in)`; for the tasks whose inputs are drawn."""
    n_in, n_out, scale = experiment.sizes[0], experiment.sizes[-1], experiment.target
    if experiment.task == "linear":
        T = draw(generators, (n_in, n_out), scale)
        return lambda x: x @ T
    if experiment.task == "quadratic":
        return quadratic(draw(generators, (n_out, n_in, n_in), scale), experiment.centred)
    layers = [
        (draw(generators, (n, n_above), scale), draw(generators, (1, n_above), scale))
        for n, n_above in pairwise(experiment.teacher)
    ]
    return teacher(*zip(*layers, strict=True))


def load(name: str | DataSet) -> tuple[Part, Part, Scale]:
    """The training set, the test set, each a pair (inputs, answers), and how inputs are scaled, for a task with a data set.

    "... validation": the last examples of the training set take the place of the test set: what hyper-parameters and the
    stopping time are chosen on. "timit" is the whole corpus, "timit at hand" what there is of it. Raises DataError.
    """
    data, validated = datasets.find(name)
    if data is None:
        raise ValueError(f"task {name!r} has no data set; there are: {', '.join(datasets.names())}")
    if data.train:
        if f"({data.digest()})" not in data.name:
            raise ValueError(f"the arrays of data set {data.name!r} were changed since it was made: make another of them")
        train, test = data.arrays()
        scale: Scale = np.asarray
    else:
        train, test, scale = _from_files(data.name)
    if validated:
        train, test = split(train, data.held_out)
    return train, test, scale


def _from_files(name: str) -> tuple[Part, Part, Scale]:
    """The same for a data set of files, without "validation"."""
    base = name.removesuffix(" at hand")
    source = mnist if base == "autoencoder" else importlib.import_module(f"fa_core.data.{base}")
    if name == "timit":
        source.whole()
    train, test = source.load("train"), source.load("test")
    if base == "timit":
        reference = train.features

        def scale(stored: np.ndarray) -> np.ndarray:
            return source.standardise(stored, reference)
    elif base == "autoencoder":

        def scale(stored: np.ndarray) -> np.ndarray:
            return (stored / np.float32(255) * np.float32(1.8) - np.float32(0.9)).astype(np.float32)
    else:
        # The scale is the whole training set's, validation data included, and does not depend on a label.
        levels = np.arange(256, dtype=np.uint8)
        pixels = kept("levels", (), train[0], lambda: mnist.standardise(levels, train[0]))

        def scale(stored: np.ndarray) -> np.ndarray:
            return pixels[stored]

    return train, test, scale


def split(train: Part, last: int) -> tuple[Part, Part]:
    """A training set (inputs, answers) without its last examples, and these. Raises ValueError where it is too small."""
    inputs, answers = train
    first = len(answers) - last
    if first < 1:
        raise ValueError(f"{last:,} examples of a training set of {len(answers):,} cannot be held out")
    return (inputs[:first], answers[:first]), (inputs[first:], answers[first:])


def make(experiment: Experiment, seeds: tuple[int, ...], device: torch.device | str = "cpu") -> Task:
    """The task of an experiment for these seeds. Raises ValueError where its shape is not the network's, and for a minibatch
    larger than the training set."""
    dtype = getattr(torch, experiment.dtype)
    draws = [generator(s, "data") for s in seeds]

    def tensor(array: ArrayLike) -> Tensor:
        array = np.asarray(array)  # a file that is mapped cannot be written to, and torch would warn of it
        return torch.as_tensor(array if array.flags.writeable else array.copy()).to(device=device, dtype=dtype)

    n_in, n_out = experiment.sizes[0], experiment.sizes[-1]
    if experiment.task in DRAWN:
        target = target_function(experiment, [generator(s, "target") for s in seeds])
        uniform = 2.0 if experiment.task == "quadratic" else None
        chunk = max(experiment.batch, CHUNK - CHUNK % experiment.batch)
        return Drawn(target, n_in, draws, [generator(s, "test") for s in seeds], device, dtype, uniform, chunk=chunk)
    data = experiment.data()
    if data is None and experiment.task != "xor":
        raise ValueError(f"this process knows no data set {experiment.task!r}: make the experiment here, from its DataSet")
    if data is None:
        x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        y = np.array([[0], [1], [1], [0]])
        task = FixedSet(tensor(x), tensor(y), tensor(x[None]), tensor(y[None]), None, draws, epochs=250)
    else:
        train, test, scale = load(experiment.task)
        parts = [("test", test)]
        if experiment.held_out:
            train, held_out = split(train, experiment.held_out)
            parts.append(("held out", held_out))
        wrong, right = experiment.targets
        code = torch.eye(n_out, dtype=dtype, device=device) * (right - wrong) + wrong

        def wanted(answers: np.ndarray) -> Tensor:
            """What the outputs are to be."""
            return code[torch.as_tensor(answers.astype(np.int64))] if data.classified else tensor(answers)

        def ready(role: str, part: Part) -> tuple[Tensor, Tensor]:
            x = kept(role, (data.name, dtype, str(device)), part[0], lambda: tensor(scale(part[0])))
            return x, x if data.name == "autoencoder" else wanted(part[1])

        def tested(role: str, part: Part) -> tuple[Tensor, Tensor, np.ndarray | None]:
            x, y = ready(role, part)
            return x[None], y[None], part[1] if data.classified else None

        tests = [tested(*part) for part in parts]
        if data.name == "svhn":
            task = Mapped(train[0], scale, wanted(train[1]), *tests[0], draws)
        else:
            x, y = ready("train", train)
            task = FixedSet(x, y, *tests[0], draws)
        task.validation = tests[-1]
        if experiment.distort:
            black = scale(np.zeros((1, 1), np.uint8)).item()
            task.distort(experiment.distort, [generator(s, "distortions") for s in seeds], black)
    if experiment.batch > task.chunk:
        raise ValueError(
            f"a minibatch of {experiment.batch:,} is larger than what task {experiment.task!r} goes through at "
            f"a time, {task.chunk:,} training examples: give a smaller batch"
        )
    task.chunk -= task.chunk % experiment.batch  # the last few of an epoch's order, too few for a minibatch, are left out
    if (task.x.shape[1], task.y.shape[1]) != (n_in, n_out):
        raise ValueError(
            f"task {experiment.task!r} has {task.x.shape[1]} inputs and {task.y.shape[1]} outputs, "
            f"the network {experiment.sizes} has {n_in} and {n_out}"
        )
    return task
