"""The training loop: schedule, momentum, decay, probes, divergence, checkpoints. What learns is in `network`."""

import io
import json
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from fa_core import files, measures, provenance
from fa_core.data import tasks
from fa_core.draws import generator
from fa_core.experiments import Described, Experiment, Plateau, Stages, must_be_one
from fa_core.network import Kept, Network, Velocity, draw_feedback, gated, initialise, update
from fa_core.rules import Rule, backprop, rule

PROBED = 1000  # test examples over which teaching signals are compared
AT_ONCE = 2**18  # numbers in the inputs that a compiled loop is handed at once
PAUSE = 1000  # examples after which a run can be left, at most, or as many whole minibatches
LARGE = 100_000  # weights above which runs go one by one: a batch of large networks only thrashes the cache


Kind = TypeVar("Kind", bound=Described)


class DivergenceWarning(RuntimeWarning):
    """Some runs of an ensemble became infinite or NaN; the others are whole."""


@dataclass
class History:
    """What a run leaves behind.

    seeds `(runs,)`; examples `(probes,)` seen at each probe; curves: name -> `(runs, probes)` or
    `(runs, probes, layers)`; snapshots: "W0 before" -> `(runs, ...)`; diverged `(runs,)`: the number of examples at
    which a run was first seen infinite or NaN, -1 if never (from then on its curves are NaN). ended `(runs,)`: where runs
    end by a rule of their own, after how many examples each did, -1 where it had not when there were no more; its curves
    are NaN from then on.
    """

    seeds: np.ndarray
    examples: np.ndarray
    curves: dict[str, np.ndarray]
    snapshots: dict[str, np.ndarray]
    diverged: np.ndarray
    ended: np.ndarray | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.curves:
            raise KeyError(f"no curve {name!r}; there are: {', '.join(self.curves)}")
        return self.curves[name]

    def final(self, name: str) -> np.ndarray:
        """The last value of each run's curve, `(runs, ...)`: where it ended by its own rule, else at the last probe."""
        curve = self[name]
        if self.ended is None:
            return curve[:, -1]
        last = [list(self.examples).index(e) if e >= 0 else -1 for e in self.ended]
        return np.stack([run[at] for run, at in zip(curve, last, strict=True)])

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything, flat, to be stored; `from_arrays` is the way back."""
        flat = {"seeds": self.seeds, "examples": self.examples, "diverged": self.diverged}
        flat |= {} if self.ended is None else {"ended": self.ended}
        flat |= {f"curve/{k}": v for k, v in self.curves.items()}
        return flat | {f"snapshot/{k}": v for k, v in self.snapshots.items()}

    @classmethod
    def from_arrays(cls, flat: Mapping[str, np.ndarray]) -> "History":
        """A history from what `arrays` gave."""
        pick = {
            kind: {k.split("/", 1)[1]: flat[k] for k in flat if k.startswith(kind + "/")} for kind in ("curve", "snapshot")
        }
        return cls(flat["seeds"], flat["examples"], pick["curve"], pick["snapshot"], flat["diverged"], flat.get("ended"))

    @classmethod
    def join(cls, parts: list["History"]) -> "History":
        """Histories of different seeds of one experiment, as one. Snapshots of the parts that have them."""
        first = parts[0]
        names = dict.fromkeys(k for p in parts for k in p.snapshots)
        return cls(
            np.concatenate([p.seeds for p in parts]),
            first.examples,
            {k: np.concatenate([p.curves[k] for p in parts]) for k in first.curves},
            {k: np.concatenate([p.snapshots[k] for p in parts if k in p.snapshots]) for k in names},
            np.concatenate([p.diverged for p in parts]),
            None if first.ended is None else np.concatenate([p.ended for p in parts]),
        )


def groups(experiment: Experiment) -> list[tuple[int, ...]]:
    """The seeds that are trained together: all of them in a small network, one at a time in a large one.

    On a CPU a seed's result is the same to the bit whichever seeds run beside it, one or many. So it is for one that runs
    alone, but where torch takes a single run's products in another order than those of several: on more than one thread;
    where a layer has a single unit; and with momentum in minibatches of one. There its last bits are others. In what is
    compiled no product is taken of that kind, but the probes are not compiled.
    """
    weights = sum(a * b for a, b in zip(experiment.sizes, experiment.sizes[1:], strict=False))
    alone = weights > LARGE or experiment.plateau or experiment.stages  # a plateau is a run's own
    size = 1 if alone else len(experiment.seeds)
    return [experiment.seeds[i : i + size] for i in range(0, len(experiment.seeds), size)]


def train(
    experiment: Experiment,
    *,
    device: str | None = None,
    checkpoint: Path | None = None,
    every: float = 30.0,
    progress: bool | None = None,
    mixed: bool = False,
    until: float | None = None,
) -> History:
    """Run an experiment and return its history.

    device: "cpu", "cuda", ...; by default CUDA where there is one, but for what is compiled, which is for the CPU.
    With `checkpoint`, the state is written there, atomically, once in `every` seconds (and those that a thousand examples
    take) and at the end of each group of seeds; the same call then goes on from it, and gives bit for bit what it would
    have given uninterrupted on the same machine with the same number of threads.
    What was begun under other sources, versions or settings, on another device or number of threads is refused unless
    `mixed`.
    progress: True shows a bar, False none, None one if standard error is a terminal.
    until: a time of `time.monotonic`; a run that has not ended then writes its checkpoint and raises OutOfTime.
    Warns DivergenceWarning where runs diverge. Raises CheckpointError for a checkpoint that is damaged, another
    experiment's, or refused.
    """
    must_be_one(experiment, Experiment)
    if experiment.products == "compiled":
        device = device or "cpu"
    return drive(experiment, groups(experiment), Run, device, checkpoint, every, progress, mixed, until)


class Running(Protocol):
    """Some seeds of an experiment in progress, of any kind of network."""

    seen: int

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def advance(self) -> None:
        """Learn from the next few examples."""

    def history(self) -> History:
        """What was measured."""

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on, between calls of `advance`."""

    def restore(self, flat: dict[str, np.ndarray]) -> None:
        """Take up a state that `state` gave."""


def drive(
    experiment: Kind,
    groups: list[tuple[int, ...]],
    start: Callable[[Kind, tuple[int, ...], str], Running],
    device: str | None,
    checkpoint: Path | None,
    every: float,
    progress: bool | None,
    mixed: bool = False,
    until: float | None = None,
) -> History:
    """Run the groups of an experiment's seeds one after the other: what `train` does, for any kind of run, which
    `start(experiment, seeds, device)` begins."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    begun, checkpoint = time.monotonic(), Path(checkpoint) if checkpoint else None
    saved = load_checkpoint(checkpoint, experiment) if checkpoint else {}
    finished = unpack_histories(saved)
    earlier, here = unpack_stretches(saved), {}
    if checkpoint and len(finished) < len(groups):
        here = provenance.stretch(experiment, device)
        refuse_other(checkpoint, earlier, here, mixed)

    def save(run: Running | None = None) -> None:
        if checkpoint:
            save_checkpoint(checkpoint, experiment, finished, run, [*earlier, here | {"seconds": time.monotonic() - begun}])

    state = {k.split("/", 1)[1]: v for k, v in saved.items() if k.startswith("state/")}
    total = experiment.examples * len(experiment.seeds)
    with tqdm(
        total=total, desc=experiment.name, unit="ex", unit_scale=True, disable=None if progress is None else not progress
    ) as bar:
        bar.update(sum(experiment.examples * len(p.seeds) for p in finished))
        for seeds in groups[len(finished) :]:
            run = start(experiment, seeds, device)
            if state:
                run.restore(state)
                bar.update(run.seen * len(seeds))
                state = {}
            written = time.monotonic()
            while not run.done:
                before = run.seen
                run.advance()
                bar.update((run.seen - before) * len(seeds))
                if time.monotonic() - written >= every and not run.done:
                    save(run)
                    written = time.monotonic()
                if until is not None and time.monotonic() >= until and not run.done:
                    save(run)
                    raise OutOfTime(f"time was up at example {run.seen:,} of {experiment.examples:,}")
            finished.append(run.history())
            save()
    history = History.join(finished)
    if (history.diverged >= 0).any():
        bad = [f"seed {s} at example {d:,}" for s, d in zip(history.seeds, history.diverged, strict=True) if d >= 0]
        warnings.warn(
            f"{experiment.name}: {len(bad)} of {len(history.seeds)} runs diverged ({', '.join(bad)}); "
            "the others are whole. A smaller learning rate or feedback scale is the usual cure.",
            DivergenceWarning,
            stacklevel=3,
        )
    return history


def step(
    experiment: Experiment,
    network: Network,
    learning: Rule,
    x: Tensor,
    target: Tensor,
    rates: tuple[float, ...],
    keep: Kept | None = None,
    velocity: Velocity | None = None,
) -> Tensor:
    """One step of learning from a minibatch, in place; returns the error `(runs, batch, n_out)` from before it.

    network: as it takes the experiment's products, `network.taking(experiment.products)`.
    """
    h = network.forward(x, keep)
    slopes = network.slopes(h, keep)
    error = target - h[-1]
    deltas = learning(error, slopes, network.W[1:], network.B)
    update(network, h, slopes, deltas, rates, experiment.weight_decay, experiment.momentum, velocity)
    if learning.learn:
        shrink = [1 - rate * x.shape[1] * experiment.weight_decay for rate in rates]
        d = [None if delta is None else gated(delta, slope) for delta, slope in zip(deltas, slopes, strict=True)]
        learning.learn(network.B, h, d, rates, shrink)
    if learning.changes_feedback():
        network.settle_feedback(learning)
    return error


def changes(experiment: Experiment) -> list[int]:
    """The examples, in order, at which a probe is due or rates, rule or B change; not those of a B redrawn at every step."""
    e = experiment
    redrawn = e.redraw_feedback if isinstance(e.redraw_feedback, tuple) else ()
    # The schedule's next entry holds from the first minibatch on that begins there or later.
    scheduled = (-(-at // e.batch) * e.batch for at, _ in e.schedule)
    return sorted({*e.probes, *redrawn, *(at for at, _ in e.switch), *scheduled})


class Run:
    """Some seeds of an experiment in progress."""

    def __init__(self, experiment: Experiment, seeds: tuple[int, ...], device: str = "cpu"):
        if experiment.products == "compiled" and torch.device(device).type != "cpu":
            raise ValueError(f"{experiment.name}: products 'compiled' are for the CPU, not for {device!r}")
        self.experiment, self.seeds, self.device = experiment, seeds, device
        self.network = initialise(experiment, seeds, device)
        self.task = tasks.make(experiment, seeds, device)
        self.rule = rule(experiment.rule)
        self.redraw = [generator(s, "redrawn feedback") for s in seeds] if experiment.redraw_feedback else []
        self.velocity: Velocity | None = None
        if experiment.momentum:
            self.velocity = [
                (torch.zeros_like(w), torch.zeros_like(b)) for w, b in zip(self.network.W, self.network.b, strict=True)
            ]
        self.dropped = [generator(s, "dropout") for s in seeds] if experiment.dropout else []
        self.generators = [*self.task.generators, *self.redraw, *self.dropped, *self.task.distortions]
        self.lowest, self.cuts = np.inf, 0  # the smallest error of an epoch so far, and how often the rate was lowered
        self.stalled, self.ended = 0, -1  # epochs since that error or the last cut; when `stages` ended the run
        if experiment.stages:
            epochs = range(0, experiment.examples + 1, self.task.chunk)
            if missing := set(epochs) - set(experiment.probes):
                raise ValueError(
                    f"{experiment.name}: stages want a probe after every epoch of {self.task.chunk:,} "
                    f"examples; there is none at {min(missing):,}"
                )
        self.changes = changes(experiment)
        self.seen = self.begin = self.end = 0  # examples seen; where the chunk begins and ends
        self.diverged = np.full(len(seeds), -1)
        self.probed: list[dict[str, np.ndarray]] = []
        self.snapshots = self.snapshot("before")
        self.probe_if_due()

    @property
    def done(self) -> bool:
        """Whether all examples have been seen, or the rule by which the run ends has ended it."""
        return self.seen >= self.experiment.examples or self.ended >= 0

    def advance(self) -> None:
        """Train to the end of the chunk of examples, or on the next thousand of it."""
        e, network = self.experiment, self.network
        if self.seen == self.end:
            self.next_chunk()
        pause = min(self.end, self.seen + max(e.batch, PAUSE - PAUSE % e.batch))
        while self.seen < pause:
            if e.switch:
                self.rule = rule(e.rule_at(self.seen))
            if self.redraw and (not isinstance(e.redraw_feedback, tuple) or self.seen in e.redraw_feedback):
                network.B = [b.to(w) for b, w in zip(draw_feedback(e, self.redraw), network.W[1:], strict=True)]
                network.settle_feedback(self.rule)
            stop = self.unchanged_until(pause)
            self.learn(self.seen - self.begin, stop - self.begin)
            self.seen = stop
            self.probe_if_due()
        if self.seen < self.end:
            return
        finite = torch.stack([torch.isfinite(w).flatten(1).all(1) for w in network.W]).all(0).cpu().numpy()
        self.diverged[~finite & (self.diverged < 0)] = self.seen
        if e.plateau:
            self.lower_rate(e.plateau, self.squares.item())
        if e.stages and self.seen % self.task.chunk == 0:
            self.next_stage(e.stages, self.probed[-1]["validation error"].item())

    def next_chunk(self) -> None:
        """Draw the next chunk of examples."""
        self.drawn_from = [g.get_state() for g in self.task.generators]  # to draw it again, from a checkpoint within it
        self.task.next_chunk()
        self.begin, self.end = self.seen, min(self.seen + self.task.chunk, self.experiment.examples)
        self.squares = torch.zeros((), dtype=torch.float64, device=self.device)  # of the errors of an epoch, summed

    def unchanged_until(self, end: int) -> int:
        """The example, `end` at the latest, up to which rates, rule and B stay as they are now and no probe is due."""
        if self.experiment.redraw_feedback is True:
            return self.seen + self.experiment.batch
        return min([end, *self.changes[bisect_right(self.changes, self.seen) :][:1]])

    def learn(self, start: int, stop: int) -> None:
        """Learn from the examples start to stop of the chunk, with the rates, the rule and B of now."""
        e = self.experiment
        if e.products == "compiled":
            from fa_core import compiled  # numba takes half a second to import

            most = max(1, AT_ONCE // (len(self.seeds) * e.sizes[0]))
            examples = (self.task.batch(at, min(most, stop - at)) for at in range(start, stop, most))
            self.squares += compiled.learn(
                self.network, self.velocity, self.rule, self.rates(), e.weight_decay, e.momentum, examples
            )
            return
        rates, network = self.rates(), self.network.taking(e.products)
        for at in range(start, stop, e.batch):
            x, target = self.task.batch(at, e.batch)
            keep = network.draw_kept(self.dropped, e.batch) if e.dropout else None
            error = step(e, network, self.rule, x, target, rates, keep, self.velocity)
            if e.plateau:
                self.squares += error.square().sum()

    def rates(self) -> tuple[float, ...]:
        """The learning rate of each layer of W now."""
        rates = self.experiment.rates_at(self.seen)
        return tuple(r / 10**self.cuts for r in rates) if self.cuts else rates

    def lower_rate(self, plateau: Plateau, error: float) -> None:
        """After an epoch of this squared error: lower the rate tenfold where progress has slowed."""
        share, times = plateau
        if error > (1 - share) * self.lowest and self.cuts < times:
            self.cuts += 1
        self.lowest = min(self.lowest, error)

    def next_stage(self, stages: Stages, error: float) -> None:
        """After an epoch with this validation error: lower the rate, or end the run, where progress has stalled."""
        cuts, patience, least = stages
        self.stalled += 1
        if error < (1 - least) * self.lowest:
            self.lowest, self.stalled = error, 0
        if self.stalled == patience:
            self.stalled = 0
            if self.cuts < cuts:
                self.cuts += 1
            else:
                self.ended = self.seen

    def next_probe(self) -> int | None:
        """The number of examples at which the next probe is due."""
        done = len(self.probed)
        return self.experiment.probes[done] if done < len(self.experiment.probes) else None

    def probe_if_due(self) -> None:
        """Measure, where a probe is due now."""
        if self.next_probe() == self.seen:
            values = probe(self.network, self.task, self.rule)
            arrays = self.network.arrays()
            values |= {name: arrays[name].flatten(1).cpu().numpy().copy() for name in self.experiment.traced}
            if self.experiment.plateau or self.experiment.stages:
                values["rate lowered"] = np.array([float(self.cuts)])
            if self.experiment.stages:
                values["validation error"] = validation_error(self.network, self.task)
            bad = ~np.isfinite(values["loss"])
            self.diverged[bad & (self.diverged < 0)] = self.seen
            self.probed.append(values)

    def snapshot(self, when: str) -> dict[str, np.ndarray]:
        """Copies of the arrays that the experiment wants kept."""
        e, arrays = self.experiment, self.network.arrays()
        runs = [i for i, s in enumerate(self.seeds) if s in e.seeds[: e.snapshot_runs]]
        kept = {}
        for name in e.snapshots if runs else ():
            array = arrays[name][runs]
            if name == "W0":
                array = array[..., : e.snapshot_units]
            kept[f"{name} {when}"] = array.cpu().numpy().copy()
        return kept

    def features(self) -> dict[str, np.ndarray]:
        """What learning added to W0, in its leading input-side singular vectors, of the runs whose snapshots are kept."""
        e = self.experiment
        seeds = tuple(s for s in self.seeds if s in e.seeds[: e.snapshot_runs])
        if not e.features or not seeds:
            return {}
        before = initialise(e, seeds, self.device).W[0]
        change = self.network.W[0][[self.seeds.index(s) for s in seeds]] - before
        finite = torch.where(torch.isfinite(change), change, 0)
        return {"features": torch.linalg.svd(finite, full_matrices=False).U[..., : e.features].cpu().numpy()}

    def history(self) -> History:
        """What was measured."""
        e = self.experiment
        names = self.probed[0] if self.probed else {}
        curves = {k: np.stack([p[k] for p in self.probed], axis=1) for k in names}
        if e.stages:  # NaN at the probes that were to come, so that runs of different lengths can stand side by side
            missing = len(e.probes) - len(self.probed)
            curves = {k: np.concatenate([c, np.full((len(c), missing, *c.shape[2:]), np.nan)], 1) for k, c in curves.items()}
        examples = np.array(e.probes if e.stages else e.probes[: len(self.probed)], dtype=np.int64)
        for curve in curves.values():
            for run, at in enumerate(self.diverged):
                if at >= 0:
                    curve[run, examples >= at] = np.nan
        snapshots = self.snapshots | self.snapshot("after") | self.features()
        return History(
            np.array(self.seeds), examples, curves, snapshots, self.diverged, np.array([self.ended]) if e.stages else None
        )

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on, between calls of `advance`."""
        arrays = self.network.arrays()
        if self.velocity is not None:
            arrays |= {f"v{i}.{j}": a for i, pair in enumerate(self.velocity) for j, a in enumerate(pair)}
        flat = {f"array.{k}": v.cpu().numpy() for k, v in arrays.items()}
        states = [g.get_state() for g in self.generators]
        if self.seen < self.end:
            states[: len(self.drawn_from)] = self.drawn_from
            flat |= {"begin": np.array(self.begin), "squares": self.squares.cpu().numpy()}
        flat |= {f"generator.{i}": state.numpy() for i, state in enumerate(states)}
        if self.experiment.plateau or self.experiment.stages:
            flat |= {"lowest": np.array(self.lowest), "numbers": np.array([self.cuts, self.stalled, self.ended])}
        flat |= pack_probes(self.probed)
        flat |= {f"snapshot.{k}": v for k, v in self.snapshots.items()}
        return flat | {"seen": np.array(self.seen), "diverged": self.diverged}

    def restore(self, flat: dict[str, np.ndarray]) -> None:
        """Take up a state that `state` gave."""
        self.seen = self.end = int(flat["seen"])
        self.diverged = flat["diverged"]
        arrays = self.network.arrays()
        if self.velocity is not None:
            arrays |= {f"v{i}.{j}": a for i, pair in enumerate(self.velocity) for j, a in enumerate(pair)}
        for name, array in arrays.items():
            array.copy_(torch.from_numpy(flat[f"array.{name}"]))
        if self.experiment.plateau or self.experiment.stages:
            self.lowest = float(flat["lowest"])
            self.cuts, self.stalled, self.ended = map(int, flat["numbers"])
        for i, g in enumerate(self.generators):
            g.set_state(torch.from_numpy(flat[f"generator.{i}"]))
        if "begin" in flat:  # within a chunk
            self.seen = int(flat["begin"])
            self.next_chunk()
            self.seen = int(flat["seen"])
            self.squares.copy_(torch.from_numpy(flat["squares"]))
        self.probed = unpack_probes(flat)
        self.snapshots = {k.split(".", 1)[1]: v for k, v in flat.items() if k.startswith("snapshot.")}


start = Run  # how a run of some seeds begins; every module that trains has this, `groups` and `train`


def pack_probes(probed: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What was measured at each probe, flat, for a checkpoint; `unpack_probes` is the way back."""
    return {f"probe.{i}.{k}": v for i, p in enumerate(probed) for k, v in p.items()}


def unpack_probes(flat: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What `pack_probes` was given, from arrays among which those it gave are."""
    probes: dict[int, dict[str, np.ndarray]] = {}
    for key, value in flat.items():
        if key.startswith("probe."):
            _, i, name = key.split(".", 2)
            probes.setdefault(int(i), {})[name] = value
    return [probes[i] for i in range(len(probes))]


@torch.no_grad()
def probe(network: Network, task: tasks.Task, learning: Rule) -> dict[str, np.ndarray]:
    """Measures of every run on the test examples, each `(runs,)` or `(runs, hidden layers)`:

    loss: mean over examples of e'e / 2;  nse, or for labels test error in percent;
    angle: between the rule's teaching signals and backprop's, for each hidden layer, degrees; of a rule that sends nothing
    through B, those of the rule it is `compared` by;  positive: share of examples whose two signals have a positive product;
    weight angle: between B' and the forward weights that it stands for, degrees.
    """
    runs = network.W[0].shape[0]
    h = network.forward(task.test_x.expand(runs, -1, -1))
    y, target = h[-1], task.test_y.expand(runs, -1, -1)
    e = target - y
    values = {"loss": (e * e).sum(2).mean(1).cpu().numpy() / 2}
    if task.labels is None:
        values["nse"] = measures.nse(y.cpu().numpy(), target.cpu().numpy())
    else:
        values["test error"] = measures.error_rate(y.cpu().numpy(), task.labels)
    if network.hidden in ("relu", "leaky"):
        values["silent"] = torch.stack([(a <= 0).all(1).double().mean(1) for a in h[1:-1]], dim=1).cpu().numpy()
    if network.B:
        slopes = network.slopes([a[:, :PROBED] for a in h])
        ours, backprops = (
            (learning.compared or learning)(e[:, :PROBED], slopes, network.W[1:], network.B)[:-1],
            backprop(e[:, :PROBED], slopes, network.W[1:])[:-1],
        )
        pairs = [((0 * b if a is None else a).cpu().numpy(), b.cpu().numpy()) for a, b in zip(ours, backprops, strict=True)]
        values["angle"] = np.stack([measures.mean_angle(a, b) for a, b in pairs], axis=1)
        values["positive"] = np.stack([measures.positive_share(a, b) for a, b in pairs], axis=1)
        values["weight angle"] = np.stack(
            [
                measures.matrix_angle(w.cpu().numpy(), b.mT.cpu().numpy())
                for w, b in zip(learning.feedback.forward(network.W[1:]), network.B, strict=True)
            ],
            axis=1,
        )
    return values


@torch.no_grad()
def validation_error(network: Network, task: tasks.Task) -> np.ndarray:
    """The error on the examples that `stages` go by, `(runs,)`: percent wrong, or without labels the mean of e'e / 2."""
    x, target, labels = task.validation
    runs = network.W[0].shape[0]
    y = network.forward(x.expand(runs, -1, -1))[-1]
    if labels is None:
        return ((target - y) ** 2).sum(2).mean(1).cpu().numpy() / 2
    return measures.error_rate(y.cpu().numpy(), labels)


class OutOfTime(RuntimeError):
    """The time given to a run was up before it ended."""


class CheckpointError(RuntimeError):
    """A checkpoint is damaged or belongs to another experiment."""


def write_atomically(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz so that there is either the old file or the new one, whole, whatever happens meanwhile.

    Raises OSError, for instance for a full disk, with the old file as it was and no half-written one left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    try:
        files.write(path, lambda file: file.write(buffer.getbuffer()))
    except OSError as error:
        raise OSError(
            error.errno,
            f"{error.strerror}: could not write {path} ({buffer.tell():,} bytes); what was there before is untouched",
        ) from error


def save_checkpoint(
    path: Path,
    experiment: Described,
    finished: list[History],
    run: Running | None = None,
    stretches: list[dict] | None = None,
) -> None:
    """Write the histories of the finished seeds, the state of the run in progress, and by what stretches it got there."""
    flat = {"digest": np.array(experiment.digest), "stretches": np.array(json.dumps(stretches or []))}
    for i, part in enumerate(finished):
        flat |= {f"finished/{i}/{k}": v for k, v in part.arrays().items()}
    if run is not None:
        flat |= {f"state/{k}": v for k, v in run.state().items()}
    write_atomically(path, flat | {"parts": np.array(sorted(flat))})


def load_checkpoint(path: Path, experiment: Described) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, or none if there is no file. Raises CheckpointError, also where one of them is missing: a
    run that went on without it would leave a record that lacks a curve, or would stop somewhere else."""
    if not path.exists():
        return {}
    try:
        flat = files.arrays(path)
        digest, parts = str(flat["digest"]), flat.pop("parts")
        if missing := sorted(set(parts.tolist()) - flat.keys()):
            raise ValueError(f"of its {len(parts)} parts it lacks {', '.join(missing[:3])}{', ...' * (len(missing) > 3)}")
    except Exception as error:  # a file can be damaged in many ways
        told = f"it is no checkpoint of this version, it has no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path} is damaged ({told}): delete it to start again, or give another path") from error
    if digest != experiment.digest:
        raise CheckpointError(
            f"{path} is a checkpoint of experiment {digest}, not of {experiment.name} "
            f"({experiment.digest}): delete it, or give another path"
        )
    return flat


def unpack_stretches(flat: dict[str, np.ndarray]) -> list[dict]:
    """The uninterrupted stretches of a run up to its checkpoint: what `provenance.stretch` says of each, and `seconds`.
    Of a checkpoint that was written before these were kept, the seconds alone are known."""
    if "stretches" in flat:
        return json.loads(str(flat["stretches"]))
    return [{"seconds": float(flat["seconds"])}] if "seconds" in flat else []


def refuse_other(path: Path, before: list[dict], here: dict, mixed: bool) -> None:
    """Raises CheckpointError where a run would go on with something else than it was begun with, unless `mixed`."""
    told = provenance.differences(before[-1], here) if before else []
    if told and not mixed:
        at = before[-1].get("commit", "an unknown commit")
        raise CheckpointError(
            f"{path} was begun at {at} with something else ({'; '.join(told)}), and the result would be "
            "of neither. Go on as it was begun (long runs are best made in a worktree of their own: `git "
            "worktree add`), delete it to begin again, or give --mixed: the record then says so"
        )


def unpack_histories(flat: dict[str, np.ndarray]) -> list[History]:
    """The finished histories in a checkpoint."""
    parts: dict[int, dict[str, np.ndarray]] = {}
    for key, value in flat.items():
        if key.startswith("finished/"):
            _, i, name = key.split("/", 2)
            parts.setdefault(int(i), {})[name] = value
    return [History.from_arrays(parts[i]) for i in sorted(parts)]
