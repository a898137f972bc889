"""Experiments: what to run, as plain data. One file here for each notebook that trains; nothing here trains.

`Experiment` is frozen, comparable, printable as a table and hashable to a digest that is stable across machines.
"""

import dataclasses
import hashlib
import importlib
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from fa_core import CONVENTIONS, rules
from fa_core.experiments import fields as kinds
from fa_core.rules import Rule

CLASSIFICATION = ("mnist", "backgrounds", "svhn", "timit", "timit at hand")
FIXED = tuple(t + part for t in (*CLASSIFICATION, "autoencoder") for part in ("", " validation"))
TASKS = (*FIXED, "xor", "linear", "teacher", "quadratic")
UNITS = ("logistic", "tanh", "linear", "leaky", "relu", "logistic, rough")
PRODUCTS = ("", "oneDNN", "bfloat16", "compiled")
NOTEBOOKS = ("mnist", "deep", "spiking", "mechanics", "xor", "extended", "extended_20", "svhn", "timit", "momentum",
             "autoencoders", "autoencoders_brief", "switch", "after")

# What each field may be by itself; what they must be together is said in `Experiment.__post_init__`.
FACTORS = kinds.either(kinds.number(0), kinds.several(kinds.number(0)))
FIELDS = {
    "name": kinds.NAME, "task": kinds.TEXT, "rule": kinds.TEXT, "sizes": kinds.several(kinds.whole(1)),
    "rate": kinds.number(0), "examples": kinds.whole(1), "seeds": kinds.SEEDS, "batch": kinds.whole(1),
    "weights": kinds.SCALES, "feedback": kinds.SCALES, "biases": kinds.either(kinds.SCALE, kinds.just(None)),
    "target": kinds.SCALE, "teacher": kinds.several(kinds.whole(1)), "centred": kinds.SWITCH,
    "distribution": kinds.TEXT, "hidden": kinds.TEXT, "output": kinds.TEXT, "dtype": kinds.TEXT, "products": kinds.TEXT,
    "schedule": kinds.several(kinds.pair(kinds.whole(), FACTORS)),
    "switch": kinds.several(kinds.pair(kinds.whole(1), kinds.TEXT)),
    "momentum": kinds.number(0, below=1), "weight_decay": kinds.number(0),
    "density": kinds.either(kinds.several(kinds.SHARE), kinds.just(None)),
    "feedback_density": kinds.either(kinds.several(kinds.SHARE), kinds.just(None)),
    "redraw_feedback": kinds.either(kinds.SWITCH, kinds.several(kinds.whole())),
    "fields": kinds.either(kinds.several(kinds.whole(1), 3), kinds.just(())), "targets": kinds.several(kinds.number(), 2),
    "held_out": kinds.whole(), "distort": kinds.either(kinds.several(kinds.number(0), 2), kinds.just(())),
    "given": kinds.several(kinds.pair(kinds.TEXT, kinds.several(kinds.number()))),
    "probes": kinds.several(kinds.whole()), "snapshots": kinds.several(kinds.TEXT), "traced": kinds.several(kinds.TEXT),
    "snapshot_runs": kinds.either(kinds.whole(), kinds.just(None)),
    "snapshot_units": kinds.either(kinds.whole(), kinds.just(None)), "features": kinds.whole(),
    "dropout": kinds.several(kinds.number(0, below=1)), "plateau": kinds.several(kinds.number(0)),
}


class Stages(NamedTuple):
    """Reduce on plateau, then early stopping, both by the validation error after each epoch.

    After `patience` epochs without a new lowest error the rate is divided by ten, `cuts` times; the next such stall ends
    the run. An error counts as a new lowest if it is below the last one by more than the share `least` of that.
    """

    cuts: int
    patience: int
    least: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Everything that determines a run, and nothing else. Raises ValueError for what cannot be run.

    Scales: a number `a`, or one for each layer, means uniform on [-a, a], or with `distribution="normal"` a normal
    distribution of that standard deviation. `biases=None`: the scale of the layer's weights.
    `target`: the target function's own elements are uniform on [-target, target] (tasks linear, teacher, quadratic).
    `teacher`: for the task "teacher", the sizes of the network of tanh units, with linear outputs, to be imitated.
    `centred`: for the task "quadratic", whether the target's mean is taken from it.
    `schedule`: pairs (example, factor): from that example on the rate is `rate * factor`; a factor for each layer of W
    where they differ, and 0 for one that is frozen.
    `rule`: one of `fa_core.rules`, by its name, or one of your own, which is known by its name and a digest of its text.
    `switch`: pairs (example, rule): from that example on another rule is in force, of those there are by name.
    `redraw_feedback`: True: B is drawn anew at every step; or the examples at which it is.
    `density`: for each layer of W the share of connections kept; `feedback_density` likewise for B.
    `fields`: (maps, size, side): the units of the first hidden layer are that many maps of untied receptive fields of size x
    size pixels of an image of side x side.
    `targets`: of the outputs, in a classification, for the classes that an example is not of and the one it is of.
    `plateau`: (share, times): after an epoch in which the error in training fell by less than this share of itself the rate
    is divided by ten, so many times at most.
    `stages`: the rate is lowered, and the run ended, by the error on images that are not learned from; `examples` is then
    the most that there can be. `held_out`: so many examples from the end of the training set are these; for a task
    "... validation" they are what it is tested on.
    `dropout`: for each layer of W, the share of the units below it that is silenced, anew at every example.
    `distort`: (sigma, alpha), in pixels: elastic distortions of every image, anew each time it is shown.
    `products`: how matrix products in learning are taken, "" as torch takes them, "oneDNN" or "bfloat16"; see
    `fa_core.products`. "compiled", for minibatches of one: the whole step is, see `fa_core.compiled`.
    `given`: pairs (name, values) that replace drawn initial values in every run, e.g. ("W1", (0.15, -0.13)).
    `snapshots`: names of the arrays stored before and after learning, of the first `snapshot_runs` runs (None: all)
    and for `W0` only the first `snapshot_units` units (None: all). `features`: of these runs that many leading input-side
    singular vectors of what learning added to W0 are kept, as the snapshot "features" `(runs, inputs, features)`.
    `traced`: names of arrays kept at every probe.
    """

    trainer: ClassVar[str] = "fa_core.training"  # the module whose `train` runs it

    name: str
    task: str
    sizes: tuple[int, ...]
    rule: str | Rule
    rate: float
    examples: int
    seeds: tuple[int, ...]
    weights: float | tuple[float, ...]
    feedback: float | tuple[float, ...]
    biases: float | None = None
    target: float = 1.0
    teacher: tuple[int, ...] = ()
    centred: bool = False
    distribution: str = "uniform"
    hidden: str = "logistic"
    output: str = "logistic"
    batch: int = 1
    schedule: tuple[tuple[int, float | tuple[float, ...]], ...] = ((0, 1.0),)
    switch: tuple[tuple[int, str], ...] = ()
    momentum: float = 0.0
    weight_decay: float = 0.0
    density: tuple[float, ...] | None = None
    feedback_density: tuple[float, ...] | None = None
    redraw_feedback: bool | tuple[int, ...] = False
    fields: tuple[int, ...] = ()
    targets: tuple[float, float] = (0.0, 1.0)
    plateau: tuple[float, int] | tuple[()] = ()
    stages: Stages | None = None
    held_out: int = 0
    dropout: tuple[float, ...] = ()
    distort: tuple[float, ...] = ()
    products: str = ""
    given: tuple[tuple[str, tuple[float, ...]], ...] = ()
    probes: tuple[int, ...] = ()
    snapshots: tuple[str, ...] = ()
    snapshot_runs: int | None = None
    snapshot_units: int | None = None
    features: int = 0
    traced: tuple[str, ...] = ()
    dtype: str = "float32"

    def __post_init__(self):
        if isinstance(self.rule, Rule):
            object.__setattr__(self, "rule", rules.register(self.rule))
        kinds.check(self, FIELDS)
        self._check_rules()
        layers = len(self.sizes) - 1
        choices = {"task": TASKS, "hidden": UNITS, "output": UNITS, "distribution": ("uniform", "normal"),
                   "dtype": ("float32", "float64"), "products": PRODUCTS}
        for field, known in choices.items():
            if getattr(self, field) not in known:
                raise ValueError(f"unknown {field} {getattr(self, field)!r}; there are: {', '.join(filter(None, known))}")
        if layers < 1:
            raise ValueError(f"sizes {self.sizes}: a network has at least two layers of units")
        for field, wanted in (("weights", layers), ("density", layers), ("feedback", layers - 1),
                              ("feedback_density", layers - 1)):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != wanted:
                raise ValueError(f"{field} has {len(value)} values, the network {self.sizes} wants {wanted}")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be one or more different numbers, got {self.seeds}")
        if self.examples % self.batch:
            raise ValueError(f"examples ({self.examples}) must be a multiple of batch ({self.batch})")
        if any(p % self.batch or not 0 <= p <= self.examples for p in self.probes):
            raise ValueError(f"probes must be multiples of batch ({self.batch}) between 0 and {self.examples}")
        if tuple(sorted(set(self.probes))) != self.probes:
            raise ValueError("probes must be in increasing order, each once")
        arrays = self.shapes()
        if not 0 <= self.features <= min(self.sizes[:2]):
            raise ValueError(f"features wants a number of singular vectors of W0, 0 to {min(self.sizes[:2])}, got "
                             f"{self.features}")
        for name, values in self.given:
            if len(values) != math.prod(arrays.get(name, ())):
                raise ValueError(f"given {name} with {len(values)} values: there are "
                                 + ", ".join(f"{k} ({math.prod(shape)})" for k, shape in arrays.items()))
        for name in (*self.snapshots, *self.traced):
            if name not in arrays:
                raise ValueError(f"the network {self.sizes} has no array {name!r}; there are: {', '.join(arrays)}")
        starts = [start for start, _ in self.schedule]
        if starts[:1] != [0] or sorted(set(starts)) != starts:
            raise ValueError(f"schedule must begin at example 0 and increase, got {self.schedule}")
        for _, factor in self.schedule:
            if isinstance(factor, tuple) and len(factor) != layers:
                raise ValueError(f"schedule has {len(factor)} factors, the network {self.sizes} wants 1 or {layers}")
        if self.dropout and (len(self.dropout) != layers or not all(0 <= p < 1 for p in self.dropout)):
            raise ValueError(f"dropout wants a share of 0 or more and below 1 for each layer of W, {layers}, "
                             f"got {self.dropout}")
        if self.fields:
            maps, size, side = self.fields
            wanted = (side**2, maps * (side - size + 1) ** 2)
            if self.sizes[:2] != wanted:
                raise ValueError(f"fields {self.fields} want {wanted[0]} inputs and {wanted[1]} units in the first hidden "
                                 f"layer, the network {self.sizes} has others")
        if self.fields and self.density:
            raise ValueError("give density or fields: a layer's connections are removed by the one or the other")
        if self.plateau and not (len(self.plateau) == 2 and 0 < self.plateau[0] < 1 and self.plateau[1] >= 1):
            raise ValueError(f"plateau wants a share between 0 and 1 and how often to lower the rate, got {self.plateau}")
        if self.plateau and self.task not in FIXED:
            raise ValueError(f"plateau goes by epochs, which task {self.task!r} has not")
        if self.stages:
            self._check_stages()
        if self.held_out and (self.task not in FIXED or self.held_out < 0):
            raise ValueError(f"held_out wants a number of training examples of a task with files, got {self.held_out} for "
                             f"task {self.task!r}")
        if self.distort and self.task.removesuffix(" validation") not in ("mnist", "backgrounds"):
            raise ValueError(f"distort is for MNIST's images, not for task {self.task!r}")
        if self.products == "compiled":
            self._check_compiled()
        elif self.products and any(rule.changes_feedback() or rule.name not in rules.RULES for rule in self.all_rules()):
            raise ValueError(f"products {self.products!r} are not there for a rule that changes B, or one of your own: "
                             "leave products at ''")
        elif self.products and self.momentum:
            raise ValueError(f"products {self.products!r} are not there with momentum: leave the one or the other out")
        if self.products == "oneDNN" and self.dtype != "float32":
            raise ValueError(f"products 'oneDNN' are in float32, not in {self.dtype}")
        events = {"switch": tuple(at for at, _ in self.switch),
                  "redraw_feedback": () if isinstance(self.redraw_feedback, bool) else self.redraw_feedback}
        for field, at in events.items():
            if any(n % self.batch for n in at) or tuple(sorted(set(at))) != at:
                raise ValueError(f"{field} must name multiples of batch ({self.batch}) in increasing order, each once; got "
                                 f"{at}")
        if self.switch and self.switch[-1][0] >= self.examples:
            raise ValueError(f"switch at example {self.switch[-1][0]} would never come: there are {self.examples}")
        factors = [f for _, factor in self.schedule for f in (factor if isinstance(factor, tuple) else (factor,))]
        share = self.rate * max(factors) * self.batch * self.weight_decay
        if share > 1:
            raise ValueError(f"weight_decay {self.weight_decay:g} takes more than all of W away at a step: rate * batch * "
                             f"weight_decay is {share:g}, wanted 1 or less")
        if (self.task == "teacher") != bool(self.teacher):
            raise ValueError(f"task {self.task!r} with teacher {self.teacher}: the task 'teacher', and no other, wants one")
        if self.teacher and (self.teacher[0], self.teacher[-1]) != (self.sizes[0], self.sizes[-1]):
            raise ValueError(f"the teacher {self.teacher} and the network {self.sizes} must agree in inputs and outputs")

    def _check_rules(self):
        first, *later = self.all_rules()
        for rule in later:
            if rule.feedback is not first.feedback:
                raise ValueError(f"switch from {first.name!r} to {rule.name!r}: their B do not lie between the same layers")
        if self.momentum and any(rule.learn for rule in self.all_rules()):
            raise ValueError(f"momentum is not there for rule {self.rule!r}, by which B learns: leave it at 0")

    def _check_compiled(self):
        for what, wanted in ((f"minibatches of {self.batch}", self.batch == 1), ("dropout", not self.dropout),
                             ("distortions", not self.distort), ("rough units", "logistic, rough" not in
                                                                 (self.hidden, self.output)),
                             *((f"rule {rule.name!r}", rule.chain) for rule in self.all_rules())):
            if not wanted:
                raise ValueError(f"products 'compiled' are not there for {what}: leave products at ''")

    def _check_stages(self):
        if self.task not in FIXED:
            raise ValueError(f"stages go by epochs, which task {self.task!r} has not")
        cuts, patience, least = self.stages
        if cuts < 0 or patience < 1 or not 0 <= least < 1:
            raise ValueError("stages wants Stages(cuts=0 or more, patience=1 or more epochs, least=a share below 1), got "
                             f"{self.stages}")
        if not self.held_out and not self.task.endswith(" validation"):
            raise ValueError(f"stages go by a validation error: give held_out, how many training examples of {self.task!r} "
                             "are not learned from")
        if self.plateau:
            raise ValueError("give plateau or stages: the rate is lowered by the one rule or by the other")

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this experiment; its name does not enter, all else does."""
        return hashlib.sha256(json.dumps(self.essence(), sort_keys=True).encode()).hexdigest()[:12]

    def essence(self) -> dict:
        """What sets it apart, as JSON would give it back: the fields that are not at their defaults, without the name.

        A field added later, at its default, so leaves all digests, and the records found by them, as they are.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        return json.loads(json.dumps({k: v for k, v in fields.items() if v != defaults[k]}))

    def per_layer(self, field: str) -> tuple:
        """A field that may be one number or one for each layer (of W; of B for feedback), as the latter."""
        value = getattr(self, field)
        count = len(self.sizes) - (2 if field.startswith("feedback") else 1)
        return value if isinstance(value, tuple) else (value,) * count

    def all_rules(self) -> list[Rule]:
        """The rules that are in force at one time or another, in order. Raises ValueError for an unknown one."""
        return [rules.rule(name) for name in (self.rule, *(name for _, name in self.switch))]

    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shape of each array of a network, by its name: W0, W1, ..., b0, ..., B1, ..."""
        W = list(pairwise(self.sizes))
        return ({f"W{i}": shape for i, shape in enumerate(W)} | {f"b{i}": (1, n) for i, (_, n) in enumerate(W)}
                | {f"B{i}": shape for i, shape in enumerate(self.all_rules()[0].feedback.shapes(self.sizes), start=1)})

    def rates_at(self, example: int) -> tuple[float, ...]:
        """The learning rate of each layer of W in force when `example` examples have been seen."""
        factor = next(f for start, f in reversed(self.schedule) if start <= example)
        factors = factor if isinstance(factor, tuple) else (factor,) * (len(self.sizes) - 1)
        return tuple(self.rate * f for f in factors)

    def rule_at(self, example: int) -> str:
        """The name of the rule in force when `example` examples have been seen."""
        return next(name for start, name in reversed(((0, self.rule), *self.switch)) if start <= example)

    def but(self, **changes) -> "Experiment":
        """This experiment with some fields changed. One that is shortened keeps no switch after its end."""
        end = changes.get("examples")
        if getattr(self, "switch", ()) and isinstance(end, int):
            changes = {"switch": tuple((at, rule) for at, rule in self.switch if at < end)} | changes
        return dataclasses.replace(self, **changes)

    def at(self, profile: str, examples: int) -> "Experiment":
        """This experiment at the profile `paper`, or at `smoke` cut to two seeds and `examples` examples, probed at the
        start, in the middle and at the end."""
        if kinds.profile(profile) == "paper":
            return self
        return self.but(seeds=self.seeds[:2], examples=examples, probes=(0, examples // 2, examples))

    def table(self) -> dict[str, str]:
        """What it is, for people: a row for each field that says something, then the conventions."""
        rows = {"experiment": f"{self.name} ({self.digest})", "network": "-".join(map(str, self.sizes)),
                "units": f"{self.hidden}, outputs {self.output}"}
        scale = "U[-{0:g}, {0:g}]" if self.distribution == "uniform" else "N(0, {0:g}^2)"

        def draw(value):
            return ", ".join(scale.format(v) for v in (value if isinstance(value, tuple) else (value,)))

        rows |= {"rule": self.rule, "task": self.task, "initial W": draw(self.weights),
                 "initial biases": "as W" if self.biases is None else draw(self.biases), "B": draw(self.feedback),
                 "learning rate": f"{self.rate:g} per example, {self.rate * self.batch:g} of the minibatch mean",
                 "batch": str(self.batch), "examples": f"{self.examples:,}",
                 "seeds": f"{len(self.seeds)} ({self.seeds[0]} to {self.seeds[-1]})"}
        if self.task.removesuffix(" validation") in CLASSIFICATION and self.targets != (0.0, 1.0):
            rows["targets"] = f"{self.targets[0]:g}, {self.targets[1]:g}"
        if self.fields:
            rows["receptive fields"] = "{0} maps of {1}x{1}, untied".format(*self.fields)
        if self.plateau:
            rows["rate lowered"] = (f"tenfold after an epoch in which the training error falls by less than "
                                    f"{100 * self.plateau[0]:g} %, at most {self.plateau[1]} times")
        if self.stages:
            cuts, patience, least = self.stages
            rows["stages"] = (f"{cuts + 1}, each until the validation error has had no new lowest value"
                              + (f" (by {100 * least:g} %)" if least else "")
                              + f" for {patience} epochs; the rate falls tenfold from one to the next")
        if self.held_out:
            rows["validation"] = f"on the last {self.held_out:,} training examples, which are not learned from"
        if self.distort:
            rows["elastic distortions"] = "sigma {:g}, alpha {:g} pixels".format(*self.distort)
        if self.products:
            rows["matrix products"] = {"oneDNN": "by oneDNN, in learning",
                                       "bfloat16": "of numbers rounded to bfloat16, in learning",
                                       "compiled": "in a compiled loop over the examples, in learning"}[self.products]
        if self.task in ("linear", "teacher", "quadratic"):
            rows["target"] = (f"U[-{self.target:g}, {self.target:g}]" + (", centred" if self.centred else "")
                              + (f", {'-'.join(map(str, self.teacher))}, tanh" if self.teacher else ""))
        if len(self.schedule) > 1 or isinstance(self.schedule[0][1], tuple):
            rows["schedule"] = ", ".join(
                f"x {' / '.join(f'{g:g}' for g in f) if isinstance(f, tuple) else f'{f:g}'} from example {s:,}"
                for s, f in self.schedule)
        if self.switch:
            rows["switch"] = ", ".join(f"{name} from example {s:,}" for s, name in self.switch)
        for field in ("momentum", "weight_decay", "density", "feedback_density", "redraw_feedback", "dropout", "given"):
            if getattr(self, field):
                rows[field.replace("_", " ")] = str(getattr(self, field))
        return rows | {f"convention: {k}": v for k, v in CONVENTIONS.items()}


def table(*experiments: Experiment):
    """A table of experiments side by side: an object that shows itself in a notebook (rows that differ are bold)."""
    return Table([e.table() for e in experiments])


class Table:
    """Rows by label, one column for each mapping; shown as HTML in a notebook and as text elsewhere."""

    def __init__(self, columns: list[dict[str, str]]):
        self.labels = list(dict.fromkeys(label for c in columns for label in c))
        self.columns = columns

    def rows(self):
        """(label, values) for each row; where all columns agree, the one value."""
        for label in self.labels:
            values = [c.get(label, "-") for c in self.columns]
            yield label, values[:1] if len(set(values)) == 1 else values

    def __repr__(self):
        return "\n".join(f"{label}: {' | '.join(values)}" for label, values in self.rows())

    def _repr_html_(self):
        span = len(self.columns)
        body = "".join(
            f"<tr><th scope='row' style='text-align:left'>{label}</th>"
            + (f"<td colspan='{span}' style='text-align:left'>{values[0]}</td>" if len(values) == 1 else
               "".join(f"<td style='text-align:left'><b>{v}</b></td>" for v in values)) + "</tr>"
            for label, values in self.rows()
        )
        return f"<table>{body}</table>"


def registry(recorded: bool = False) -> dict[str, Experiment]:
    """Every named experiment of the project, by name; with `recorded` those alone that notebooks take from records."""
    found = {}
    for name in NOTEBOOKS:
        module = importlib.import_module(f"fa_core.experiments.{name}")
        for experiment in module.RECORDED + (() if recorded else module.LIVE):
            if experiment.name in found:
                raise ValueError(f"two experiments are named {experiment.name!r}")
            found[experiment.name] = experiment
    return found


def find(name: str) -> Experiment:
    """The experiment of that name. Raises ValueError with near names."""
    import difflib

    known = registry()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise ValueError(f"no experiment is named {name!r}{hint} `fa_core list` shows all {len(known)}")
    return known[name]
