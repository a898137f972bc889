"""Experiments: what to run, as plain data. One file here for each notebook that trains; nothing here trains.

`Experiment` is frozen, comparable, printable as a table and hashable to a digest that is stable across machines.
"""

import dataclasses
import fnmatch
import hashlib
import importlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

from fa_core import CONVENTIONS, rules
from fa_core.experiments import datasets, kinds
from fa_core.experiments.datasets import DataSet
from fa_core.experiments.kinds import Kind, either, just, number, pair, several, whole
from fa_core.rules import Rule
from fa_core.units import UNITS

DRAWN = ("linear", "teacher", "quadratic")  # tasks whose examples are drawn, of a target function
PRODUCTS = ("", "oneDNN", "bfloat16", "compiled")
NOTEBOOKS = (
    "mnist",
    "deep",
    "spiking",
    "mechanics",
    "xor",
    "extended",
    "extended_20",
    "svhn",
    "timit",
    "momentum",
    "autoencoders",
    "autoencoders_brief",
    "switch",
    "after",
)


@dataclass(frozen=True)
class Plateau(kinds.Values):
    """Reduce on plateau: after an epoch in which the error in training fell by less than `share` of itself, the rate is
    divided by ten, at most `times` times."""

    share: Annotated[float, number(0, below=1)]
    times: Annotated[int, whole(1)]


@dataclass(frozen=True)
class Stages(kinds.Values):
    """Reduce on plateau, then early stopping, both by the validation error after each epoch.

    After `patience` epochs without a new lowest error the rate is divided by ten, `cuts` times; the next such stall ends
    the run. An error counts as a new lowest if it is below the last one by more than the share `least` of that.
    """

    cuts: Annotated[int, whole()]
    patience: Annotated[int, whole(1)]
    least: Annotated[float, number(0, below=1)] = 0.0


@dataclass(frozen=True)
class Elastic(kinds.Values):
    """Elastic distortions: displacements of size `alpha`, smoothed over `sigma`, in pixels; see `fa_core.data.elastic`."""

    sigma: Annotated[float, number(0)]
    alpha: Annotated[float, number(0)]


@dataclass(frozen=True)
class Fields(kinds.Values):
    """A locally connected layer: `maps` maps of untied receptive fields of size x size pixels in images of side x side."""

    maps: Annotated[int, whole(1)]
    size: Annotated[int, whole(1)]
    side: Annotated[int, whole(1)]


TOGETHER = {"plateau": Plateau, "stages": Stages, "distort": Elastic, "fields": Fields}

TASK = Kind(kinds.TEXT.holds, "the name of a task, or a DataSet of arrays")
RULE = Kind(kinds.TEXT.holds, "a rule's name, or a function that @learning_rule made a rule")
Text = Annotated[str, kinds.TEXT]
Switch = Annotated[bool, kinds.SWITCH]
Count = Annotated[int, whole(1)]
Examples = Annotated[tuple[int, ...], several(whole())]
Names = Annotated[tuple[str, ...], several(kinds.TEXT)]
Scales = Annotated[float | tuple[float, ...], kinds.SCALES]
Shares = Annotated[tuple[float, ...] | None, either(several(kinds.SHARE), just(None))]
Schedule = tuple[tuple[int, float | tuple[float, ...]], ...]
Limit = Annotated[int | None, either(whole(), just(None))]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What experiments have in common, whatever they train."""

    trainer: ClassVar[str]  # the module whose `train` runs it

    name: str
    task: str | DataSet
    rule: str | Rule
    sizes: tuple[int, ...]
    examples: int
    rate: float
    schedule: Schedule
    seeds: tuple[int, ...]
    probes: tuple[int, ...]
    products: str

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
        return json.loads(json.dumps({k: v for k, v in fields.items() if v != defaults[k]}, default=list))

    def per_layer(self, field: str) -> tuple[float, ...]:
        """A field that may be one number or one for each layer (of W; of B for feedback), as the latter."""
        value = getattr(self, field)
        count = len(self.sizes) - (2 if field.startswith("feedback") else 1)
        return value if isinstance(value, tuple) else (value,) * count

    def but(self, **changes: Any) -> Self:
        """This experiment with some fields changed. One that is shortened keeps nothing that would change after its end:
        no rate, no rule, no B."""
        if isinstance(end := changes.get("examples"), int):
            for field, at in self.events().items():
                kept = tuple(entry for entry, when in zip(getattr(self, field), at, strict=True) if when < end)
                changes = {field: kept} | changes
        return dataclasses.replace(self, **changes)

    def events(self) -> dict[str, tuple[int, ...]]:
        """The fields by which something changes in the course of learning, each with the examples at which it does."""
        return {"schedule": tuple(at for at, _ in self.schedule)}

    def refuse_events(self) -> None:
        """Raises ValueError for what would change after the end of the run: it would not be what was described."""
        for field, at in self.events().items():
            if at and at[-1] >= self.examples:
                raise ValueError(f"{field} at example {at[-1]:,} would never come: there are {self.examples:,}")


@dataclass(frozen=True, kw_only=True)
class Experiment(Described):
    """Everything that determines a run, and nothing else. Raises ValueError for what cannot be run.

    Scales, of W, biases and B: a number `a`, or one for each layer, means uniform on [-a, a], or with
    `distribution="normal"` a normal distribution of that standard deviation.
    """

    trainer: ClassVar[str] = "fa_core.training"

    name: Annotated[str, kinds.NAME]

    # ---- what is learned
    task: Annotated[str | DataSet, TASK]
    """A data set of `fa_core.experiments.datasets`, by its name or one of your own; "xor"; or a target function of inputs
    that are drawn: "linear", "teacher", "quadratic"."""
    examples: Count
    batch: Count = 1
    """Examples whose updates are added up and made at once."""
    target: Annotated[float, kinds.SCALE] = 1.0
    """A target function's own elements are uniform on [-target, target]."""
    teacher: Annotated[tuple[int, ...], several(whole(1))] = ()
    """For the task "teacher": the sizes of the network of tanh units, with linear outputs, that is to be imitated."""
    centred: Switch = False
    """For the task "quadratic": whether the target's mean is taken from it."""
    targets: Annotated[tuple[float, float], several(number(), 2)] = (0.0, 1.0)
    """In a classification: what the outputs are to be for the classes that an example is not of, and for its own."""
    held_out: Annotated[int, whole()] = 0
    """So many examples from the end of the training set are validation data and not learned from."""
    distort: Elastic | None = None
    """MNIST's images are distorted, anew each time one is shown."""

    # ---- the network
    sizes: Annotated[tuple[int, ...], several(whole(1))]
    """Units of each layer, inputs first."""
    hidden: Text = "logistic"
    output: Text = "logistic"
    weights: Scales
    feedback: Scales
    biases: Annotated[float | None, either(kinds.SCALE, just(None))] = None
    """None: the scale of the layer's weights."""
    distribution: Text = "uniform"
    density: Shares = None
    """For each layer of W, the share of its connections that there are."""
    feedback_density: Shares = None
    """The same of B."""
    fields: Fields | None = None
    """The first hidden layer is locally connected."""
    given: Annotated[tuple[tuple[str, tuple[float, ...]], ...], several(pair(kinds.TEXT, several(number())))] = ()
    """Initial values, in every run, in place of drawn ones: pairs (array, values), e.g. ("W1", (0.15, -0.13))."""

    # ---- learning
    rule: Annotated[str | Rule, RULE]
    """One of `fa_core.rules`, by its name, or one of your own, which is then known by its name and a digest of its text."""
    switch: Annotated[tuple[tuple[int, str | Rule], ...], several(pair(whole(1), RULE))] = ()
    """Pairs (example, rule): from that example on another rule is in force."""
    redraw_feedback: Annotated[bool | tuple[int, ...], either(kinds.SWITCH, several(whole()))] = False
    """True: B is drawn anew at every step; or the examples at which it is."""
    rate: Annotated[float, number(0)]
    """The learning rate, of one example's update."""
    schedule: Annotated[Schedule, several(pair(whole(), either(number(0), several(number(0)))))] = ((0, 1.0),)
    """Pairs (example, factor): from that example on the rate is `rate * factor`; a factor for each layer of W where they
    differ, and 0 for one that is frozen."""
    plateau: Plateau | None = None
    """The rate falls by the error in training."""
    stages: Stages | None = None
    """The rate falls, and the run ends, by the validation error; `examples` is then the most that there can be."""
    momentum: Annotated[float, number(0, below=1)] = 0.0
    weight_decay: Annotated[float, number(0)] = 0.0
    """W loses this share of itself for each example, times the rate."""
    dropout: Annotated[tuple[float, ...], several(number(0, below=1))] = ()
    """For each layer of W, the share of the units below it that is silenced, anew at every example: inverted dropout."""
    dtype: Text = "float32"
    products: Text = ""
    """How matrix products in learning are taken: "" as torch takes them, "oneDNN" or "bfloat16", see `fa_core.products`; or
    "compiled", for minibatches of one: the whole step is, see `fa_core.compiled`."""

    # ---- what is kept of it
    seeds: Annotated[tuple[int, ...], kinds.SEEDS]
    probes: Examples = ()
    """The examples after which the network is tested."""
    traced: Names = ()
    """Arrays kept at every probe."""
    snapshots: Names = ()
    """Arrays kept from before and after learning, of the first `snapshot_runs` runs (None: of all), and of `W0` only the
    first `snapshot_units` units (None: all)."""
    snapshot_runs: Limit = None
    snapshot_units: Limit = None
    features: Annotated[int, whole()] = 0
    """Of these runs, so many leading input-side singular vectors of what learning added to W0 are kept, as the snapshot
    "features" `(runs, inputs, features)`."""

    def __post_init__(self) -> None:
        if isinstance(self.rule, Rule):
            self._set("rule", rules.register(self.rule))
        if isinstance(self.switch, tuple) and all(isinstance(at, tuple) and len(at) == 2 for at in self.switch):
            self._set("switch", tuple((at, rules.register(r) if isinstance(r, Rule) else r) for at, r in self.switch))
        if isinstance(self.task, DataSet):
            self._set("task", datasets.register(self.task))
        for name, kind in TOGETHER.items():
            value = getattr(self, name)
            if isinstance(value, tuple):
                words = [f.name for f in dataclasses.fields(kind)]
                if value and not len(words) - (kind is Stages) <= len(value) <= len(words):
                    raise ValueError(f"{name} wants {kind.__name__}({', '.join(words)}); got {value}")
                self._set(name, kind(*value) if value else None)
            elif not isinstance(value, kind | None):
                raise ValueError(f"{name} wants {kind.__name__} or None; got {value!r}")
        kinds.check(self, FIELDS)
        choices = {
            "task": (*datasets.names(), "xor", *DRAWN),
            "hidden": UNITS,
            "output": UNITS,
            "distribution": ("uniform", "normal"),
            "dtype": ("float32", "float64"),
            "products": PRODUCTS,
        }
        for field, known in choices.items():
            if getattr(self, field) not in known:
                raise ValueError(f"unknown {field} {getattr(self, field)!r}; there are: {', '.join(filter(None, known))}")
        self._check_rules()
        self._check_network()
        self._check_task()
        self._check_course()
        self._check_products()

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def __getstate__(self) -> dict:
        data = self.data()
        # Another process does not know a data set of one's own, so it travels along.
        return vars(self) | ({"own data": data} if data and data.name in datasets.OWN else {})

    def __setstate__(self, state: dict) -> None:
        if own := state.pop("own data", None):
            datasets.OWN[own.name] = own
        vars(self).update(state)

    def _check_rules(self) -> None:
        first, *later = self.all_rules()
        for rule in later:
            if rule.feedback is not first.feedback:
                raise ValueError(f"switch from {first.name!r} to {rule.name!r}: their B do not lie between the same layers")
        if self.momentum and any(rule.learn for rule in self.all_rules()):
            raise ValueError(f"momentum is not there for rule {self.rule!r}, by which B learns: leave it at 0")

    def _check_network(self) -> None:
        layers = len(self.sizes) - 1
        if layers < 1:
            raise ValueError(f"sizes {self.sizes}: a network has at least two layers of units")
        for field, wanted in (
            ("weights", layers),
            ("density", layers),
            ("feedback", layers - 1),
            ("feedback_density", layers - 1),
        ):
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != wanted:
                raise ValueError(f"{field} has {len(value)} values, the network {self.sizes} wants {wanted}")
        if self.dropout and len(self.dropout) != layers:
            raise ValueError(
                f"dropout wants a share of 0 or more and below 1 for each layer of W, {layers}, got {self.dropout}"
            )
        if self.fields:
            maps, size, side = self.fields
            inputs, units = side**2, maps * (side - size + 1) ** 2
            if self.sizes[:2] != (inputs, units):
                raise ValueError(
                    f"fields {tuple(self.fields)} want {inputs} inputs and {units} units in the first "
                    f"hidden layer, the network {self.sizes} has others"
                )
            if self.density:
                raise ValueError("give density or fields: a layer's connections are removed by the one or the other")
        arrays = self.shapes()
        for name, values in self.given:
            if name not in arrays or len(values) != math.prod(arrays[name]):
                raise ValueError(
                    f"given {name} with {len(values)} values: there are "
                    + ", ".join(f"{k} ({math.prod(shape)})" for k, shape in arrays.items())
                )
        for name in (*self.snapshots, *self.traced):
            if name not in arrays:
                raise ValueError(f"the network {self.sizes} has no array {name!r}; there are: {', '.join(arrays)}")
        if not 0 <= self.features <= min(self.sizes[:2]):
            raise ValueError(
                f"features wants a number of singular vectors of W0, 0 to {min(self.sizes[:2])}, got {self.features}"
            )

    def _check_task(self) -> None:
        if (self.task == "teacher") != bool(self.teacher):
            raise ValueError(f"task {self.task!r} with teacher {self.teacher}: the task 'teacher', and no other, wants one")
        if self.teacher and (self.teacher[0], self.teacher[-1]) != (self.sizes[0], self.sizes[-1]):
            raise ValueError(f"the teacher {self.teacher} and the network {self.sizes} must agree in inputs and outputs")
        data, validated = datasets.find(self.task)
        if self.task == "xor" and (self.sizes[0], self.sizes[-1]) != (2, 1):
            raise ValueError(f"task 'xor' wants 2 inputs and 1 output, the network {self.sizes} has others")
        if data:
            data.refuse_sizes(self.sizes)
            data.refuse_split(self.held_out + validated * data.held_out, self.batch)
        if self.distort and not (data and data.of_mnist):
            raise ValueError(f"distort is for MNIST's images, not for task {self.task!r}")
        if data:
            return
        if self.plateau or self.stages:
            raise ValueError(f"plateau and stages go by epochs, which task {self.task!r} has not")
        if self.held_out:
            raise ValueError(
                f"held_out wants a number of training examples of a data set, got {self.held_out} for task {self.task!r}"
            )

    def _check_course(self) -> None:
        layers = len(self.sizes) - 1
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be one or more different numbers, got {self.seeds}")
        if self.examples % self.batch:
            raise ValueError(f"examples ({self.examples}) must be a multiple of batch ({self.batch})")
        if any(p % self.batch or not 0 <= p <= self.examples for p in self.probes):
            raise ValueError(f"probes must be multiples of batch ({self.batch}) between 0 and {self.examples}")
        if tuple(sorted(set(self.probes))) != self.probes:
            raise ValueError("probes must be in increasing order, each once")
        starts = [start for start, _ in self.schedule]
        if starts[:1] != [0] or sorted(set(starts)) != starts:
            raise ValueError(f"schedule must begin at example 0 and increase, got {self.schedule}")
        for _, factor in self.schedule:
            if isinstance(factor, tuple) and len(factor) != layers:
                raise ValueError(f"schedule has {len(factor)} factors, the network {self.sizes} wants 1 or {layers}")
        factors = [f for _, factor in self.schedule for f in (factor if isinstance(factor, tuple) else (factor,))]
        share = self.rate * max(factors) * self.batch * self.weight_decay
        if share > 1:
            raise ValueError(
                f"weight_decay {self.weight_decay:g} takes more than all of W away at a step: rate * batch * "
                f"weight_decay is {share:g}, wanted 1 or less"
            )
        for field, at in self.events().items():
            if field != "schedule" and (any(n % self.batch for n in at) or tuple(sorted(set(at))) != at):
                raise ValueError(
                    f"{field} must name multiples of batch ({self.batch}) in increasing order, each once; got {at}"
                )
        self.refuse_events()
        if self.stages and self.plateau:
            raise ValueError("give plateau or stages: the rate is lowered by the one rule or by the other")
        if self.stages and not self.held_out and not datasets.find(self.task)[1]:
            raise ValueError(
                f"stages go by a validation error: give held_out, how many training examples of {self.task!r} "
                "are not learned from"
            )

    def _check_products(self) -> None:
        if self.products == "compiled":
            for what, wanted in (
                (f"minibatches of {self.batch}", self.batch == 1),
                ("dropout", not self.dropout),
                ("distortions", not self.distort),
                ("rough units", "logistic, rough" not in (self.hidden, self.output)),
                *((f"rule {rule.name!r}", rule.chain) for rule in self.all_rules()),
            ):
                if not wanted:
                    raise ValueError(f"products 'compiled' are not there for {what}: leave products at ''")
        elif self.products and any(rule.changes_feedback() or rule.name not in rules.RULES for rule in self.all_rules()):
            raise ValueError(
                f"products {self.products!r} are not there for a rule that changes B, or one of your own: "
                "leave products at ''"
            )
        elif self.products and self.momentum:
            raise ValueError(f"products {self.products!r} are not there with momentum: leave the one or the other out")
        if self.products == "oneDNN" and self.dtype != "float32":
            raise ValueError(f"products 'oneDNN' are in float32, not in {self.dtype}")

    def events(self) -> dict[str, tuple[int, ...]]:
        """As for any experiment; and where the rule is switched, and B drawn anew but at every step."""
        more = {"switch": tuple(at for at, _ in self.switch)}
        if isinstance(self.redraw_feedback, tuple):
            more["redraw_feedback"] = self.redraw_feedback
        return super().events() | more

    def all_rules(self) -> list[Rule]:
        """The rules that are in force at one time or another, in order. Raises ValueError for an unknown one."""
        return [rules.rule(name) for name in (self.rule, *(name for _, name in self.switch))]

    def data(self) -> DataSet | None:
        """The data set that it goes through; None where its examples are drawn, and for XOR."""
        return datasets.find(self.task)[0]

    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shape of each array of a network, by its name: W0, W1, ..., b0, ..., B1, ..."""
        W = list(pairwise(self.sizes))
        return (
            {f"W{i}": shape for i, shape in enumerate(W)}
            | {f"b{i}": (1, n) for i, (_, n) in enumerate(W)}
            | {f"B{i}": shape for i, shape in enumerate(self.all_rules()[0].feedback.shapes(self.sizes), start=1)}
        )

    def rates_at(self, example: int) -> tuple[float, ...]:
        """The learning rate of each layer of W in force when `example` examples have been seen."""
        factor = next(f for start, f in reversed(self.schedule) if start <= example)
        factors = factor if isinstance(factor, tuple) else (factor,) * (len(self.sizes) - 1)
        return tuple(self.rate * f for f in factors)

    def rule_at(self, example: int) -> str:
        """The name of the rule in force when `example` examples have been seen."""
        return next(f"{name}" for start, name in reversed(((0, self.rule), *self.switch)) if start <= example)

    def at(self, profile: str, examples: int) -> "Experiment":
        """This experiment at the profile `paper`, or at `smoke` cut to two seeds and `examples` examples, probed at the
        start, in the middle and at the end."""
        if kinds.profile(profile) == "paper":
            return self
        return self.but(seeds=self.seeds[:2], examples=examples, probes=(0, examples // 2, examples))

    def table(self) -> dict[str, str]:
        """What it is, for people: a row for each field that says something, then the conventions."""
        rows = {
            "experiment": f"{self.name} ({self.digest})",
            "network": "-".join(map(str, self.sizes)),
            "units": f"{self.hidden}, outputs {self.output}",
        }
        scale = "U[-{0:g}, {0:g}]" if self.distribution == "uniform" else "N(0, {0:g}^2)"

        def draw(value: float | tuple[float, ...]) -> str:
            return ", ".join(scale.format(v) for v in (value if isinstance(value, tuple) else (value,)))

        rows |= {
            "rule": f"{self.rule}",
            "task": f"{self.task}",
            "initial W": draw(self.weights),
            "initial biases": "as W" if self.biases is None else draw(self.biases),
            "B": draw(self.feedback),
            "learning rate": f"{self.rate:g} per example, {self.rate * self.batch:g} of the minibatch mean",
            "batch": str(self.batch),
            "examples": f"{self.examples:,}",
            "seeds": f"{len(self.seeds)} ({self.seeds[0]} to {self.seeds[-1]})",
        }
        if (data := self.data()) and data.classified and self.targets != (0.0, 1.0):
            rows["targets"] = f"{self.targets[0]:g}, {self.targets[1]:g}"
        if self.fields:
            rows["receptive fields"] = "{0} maps of {1}x{1}, untied".format(*self.fields)
        if self.plateau:
            rows["rate lowered"] = (
                f"tenfold after an epoch in which the training error falls by less than "
                f"{100 * self.plateau.share:g} %, at most {self.plateau.times} times"
            )
        if self.stages:
            cuts, patience, least = self.stages
            rows["stages"] = (
                f"{cuts + 1}, each until the validation error has had no new lowest value"
                + (f" (by {100 * least:g} %)" if least else "")
                + f" for {patience} epochs; the rate falls tenfold from one to the next"
            )
        if self.held_out:
            rows["validation"] = f"on the last {self.held_out:,} training examples, which are not learned from"
        if self.distort:
            rows["elastic distortions"] = "sigma {:g}, alpha {:g} pixels".format(*self.distort)
        if self.products:
            rows["matrix products"] = {
                "oneDNN": "by oneDNN, in learning",
                "bfloat16": "of numbers rounded to bfloat16, in learning",
                "compiled": "in a compiled loop over the examples, in learning",
            }[self.products]
        if self.task in DRAWN:
            rows["target"] = (
                f"U[-{self.target:g}, {self.target:g}]"
                + (", centred" if self.centred else "")
                + (f", {'-'.join(map(str, self.teacher))}, tanh" if self.teacher else "")
            )
        if len(self.schedule) > 1 or isinstance(self.schedule[0][1], tuple):
            rows["schedule"] = ", ".join(
                f"x {' / '.join(f'{g:g}' for g in f) if isinstance(f, tuple) else f'{f:g}'} from example {s:,}"
                for s, f in self.schedule
            )
        if self.switch:
            rows["switch"] = ", ".join(f"{name} from example {s:,}" for s, name in self.switch)
        for field in ("momentum", "weight_decay", "density", "feedback_density", "redraw_feedback", "dropout", "given"):
            if getattr(self, field):
                rows[field.replace("_", " ")] = str(getattr(self, field))
        return rows | {f"convention: {k}": v for k, v in CONVENTIONS.items()}


FIELDS = kinds.declared(Experiment)


def table(*experiments: Experiment) -> "Table":
    """A table of experiments side by side: an object that shows itself in a notebook (rows that differ are bold)."""
    return Table([e.table() for e in experiments])


class Table:
    """Rows by label, one column for each mapping; shown as HTML in a notebook and as text elsewhere."""

    def __init__(self, columns: list[dict[str, str]]) -> None:
        self.labels = list(dict.fromkeys(label for c in columns for label in c))
        self.columns = columns

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """(label, values) for each row; where all columns agree, the one value."""
        for label in self.labels:
            values = [c.get(label, "-") for c in self.columns]
            yield label, values[:1] if len(set(values)) == 1 else values

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {' | '.join(values)}" for label, values in self.rows())

    def _repr_html_(self) -> str:
        span = len(self.columns)
        body = "".join(
            f"<tr><th scope='row' style='text-align:left'>{label}</th>"
            + (
                f"<td colspan='{span}' style='text-align:left'>{values[0]}</td>"
                if len(values) == 1
                else "".join(f"<td style='text-align:left'><b>{v}</b></td>" for v in values)
            )
            + "</tr>"
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


# Which of the missing records to make first where time is short, by names in which * stands for anything: those on which a
# claim waits, the shorter before the longer.
FIRST = ("mnist-features-*", "note9-*", "fig4-long", "mnist-online", "mnist-stopping", "note5-one-rate-*")


def by_priority(chosen: Iterable[Experiment]) -> list[Experiment]:
    """Experiments in the order of `FIRST`; those that it does not name follow as they were."""

    def rank(experiment: Experiment) -> int:
        return next((n for n, name in enumerate(FIRST) if fnmatch.fnmatchcase(experiment.name, name)), len(FIRST))

    return sorted(chosen, key=rank)


def must_be_one(experiment: object, kind: type = Described) -> None:
    """Raises TypeError for what is no experiment, such as the name of one, or one of another kind."""
    if not isinstance(experiment, Described):
        raise TypeError(
            f"an experiment is wanted, and this is {experiment!r}: `fa_core.experiments.find(name)` gives one "
            "by its name, and `fa_core list` shows the names"
        )
    if not isinstance(experiment, kind):
        raise TypeError(f"{experiment.name} is no {kind.__name__}: it is trained by {experiment.trainer}, or by records.run")


def find(name: str) -> Experiment:
    """The experiment of that name. Raises ValueError with near names."""
    import difflib

    known = registry()
    if name not in known:
        near = difflib.get_close_matches(str(name), known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ";"
        raise ValueError(f"no experiment is named {name!r}{hint} `fa_core list` shows all {len(known)}")
    return known[name]
