"""What came after 2016: later rules in the networks of the paper, in a deeper one, and in one of a later paper.

Networks, units, tasks and seeds are the paper's, so that a rule is all that differs; minibatches are of 10 or 20 in the
small networks. Each rule has its best learning rate, and on MNIST its best scale of B, of as many trials as those it is
compared with, on seeds and images that are not reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fa_core import rules
from fa_core.experiments import Experiment, mnist
from fa_core.experiments.search import Search

if TYPE_CHECKING:
    from torch import Tensor

RULES = ("backprop", "feedback alignment", "direct feedback alignment", "sign symmetry", "Kolen-Pollack")


def slug(rule: str) -> str:
    """A rule's name as part of an experiment's."""
    return rule.lower().replace(" ", "-")


# ---- Fig. 3d's network, 30-20-10-10, which imitates another one. All rules have the weight decay that one of them lives by.
LENGTH = 60_000
RATES = (0.004, 0.008, 0.016, 0.032)
_small = Experiment(
    name="after",
    task="teacher",
    teacher=(30, 20, 10, 10),
    sizes=(30, 20, 10, 10),
    rule="backprop",
    rate=RATES[0],
    examples=LENGTH,
    seeds=tuple(range(20)),
    batch=10,
    weights=0.1,
    feedback=0.5,
    target=0.5,
    hidden="tanh",
    output="linear",
    weight_decay=0.01,
    probes=(*range(0, 2000, 100), *range(2000, LENGTH + 1, 1000)),
)
_trial = _small.but(seeds=tuple(range(100, 110)), examples=20_000, probes=(0, 20_000))
SMALL_TRIALS = {
    rule: tuple(_trial.but(name=f"after-trial-{slug(rule)}-{r:g}", rule=rule, rate=r) for r in RATES) for rule in RULES
}

# ---- the other two of Liao et al. (2016): magnitudes that are all alike, "uSF", and drawn anew at every step, "brSF"


def alike_with_signs_of_W(W: Sequence[Tensor], B: Sequence[Tensor]) -> None:
    """B_l <- sign(W_l') times the mean size of B_l's elements."""
    rules.signs_of_W(W, B)
    for b in B:
        b.copy_(b.sign() * b.abs().mean((-2, -1), keepdim=True))


@rules.learning_rule("sign symmetry, alike", tie=alike_with_signs_of_W)
def alike(e: Tensor, slopes: Sequence[Tensor], W: Sequence[Tensor], B: Sequence[Tensor]) -> rules.Signals:
    """As feedback alignment, gated, with the signs of W' in B and one magnitude for each B_l."""
    return rules.feedback_alignment_gated(e, slopes, W, B)


# As `rules.register` knows it, but not tried out, which takes PyTorch; the tests do that.
ALIKE = f"{alike.name} ({alike.digest()})"
rules.OWN[ALIKE] = alike
SIGNS: dict[str, dict[str, Any]] = {"alike": {"rule": ALIKE}, "redrawn": {"rule": "sign symmetry", "redraw_feedback": True}}
SIGNS_TRIALS = {
    magnitudes: tuple(_trial.but(name=f"after-trial-signs-{magnitudes}-{r:g}", rate=r, **options) for r in RATES)
    for magnitudes, options in SIGNS.items()
}

# ---- depth: twenty hidden layers of 20 units, from a start at which a signal dies away on its way through W, and from one
# at which it keeps about its size
DEPTH, WIDTH = 20, 20
STARTS = {"small": 0.1, "large": 0.4}
DEEP_RULES = RULES[:3]
DEEP_RATES = (0.0005, 0.001, 0.002, 0.004)
_deep = _small.but(
    sizes=(30, *(WIDTH,) * DEPTH, 10),
    weight_decay=0.0,
    batch=20,
    seeds=tuple(range(10)),
    probes=tuple(range(0, LENGTH + 1, 6000)),
)
DEEP_TRIALS = {
    (start, rule): tuple(
        _deep.but(
            name=f"after-deep-trial-{start}-{slug(rule)}-{r:g}",
            rule=rule,
            rate=r,
            weights=scale,
            seeds=(100, 101, 102, 103),
            examples=12_000,
            probes=(0, 12_000),
        )
        for r in DEEP_RATES
    )
    for start, scale in STARTS.items()
    for rule in DEEP_RULES
}

# ---- Fig. 3's network, 784-1000-10, with the labels sent in place of the error. Backprop, feedback alignment, which is
# direct where there is one hidden layer, and shallow learning are Fig. 3's own runs.
PROJECTION = "direct random target projection"
EPOCHS = 5
_fig3 = mnist.FEEDBACK_ALIGNMENT.but(
    name="after-fig3-target-projection",
    rule=PROJECTION,
    seeds=(0, 1, 2),
    snapshots=(),
    examples=EPOCHS * mnist.EPOCH,
    probes=mnist.probes(EPOCHS * mnist.EPOCH),
    snapshot_runs=None,
    snapshot_units=None,
)
BETAS = (0.02, 0.1, 0.5, 1.0, 2.0)
FIG3_TRIALS = tuple(
    _fig3.but(
        name=f"after-fig3-trial-{b:g}",
        task="mnist validation",
        feedback=b,
        seeds=(100,),
        examples=50_000,
        probes=(0, 50_000),
    )
    for b in BETAS
)

# ---- four hidden layers of 800 tanh units on MNIST (Nøkland 2016); B sends each layer a signal of about one size
WIDE_EPOCHS = 2
WIDE_RATES = (0.0003, 0.001, 0.003)
WIDE_FEEDBACK = {"backprop": 0.1, "feedback alignment": (0.06, 0.06, 0.06, 0.1), "direct feedback alignment": 0.1}
_wide = _fig3.but(
    sizes=(784, 800, 800, 800, 800, 10),
    hidden="tanh",
    weights=0.05,
    weight_decay=0.0,
    products="bfloat16",
    schedule=((0, 1.0),),
    examples=WIDE_EPOCHS * mnist.EPOCH,
    probes=mnist.epochs(0, 0.1, 0.2, 0.5, 1, 1.5, 2),
)
WIDE_TRIALS = {
    rule: tuple(
        _wide.but(
            name=f"after-wide-trial-{slug(rule)}-{r:g}",
            task="mnist validation",
            rule=rule,
            rate=r,
            feedback=b,
            seeds=(100,),
            examples=20_000,
            probes=(0, 20_000),
        )
        for r in WIDE_RATES
    )
    for rule, b in WIDE_FEEDBACK.items()
}

# ---- his other networks of tanh units: one to four hidden layers of 800, seven of 240, and a hundred of 240. W and B keep
# the sizes of signals that they have above, whatever the width; the last epoch is at a tenth of the rate
TABLE_EPOCHS, HUNDRED_EPOCHS = 5, 2
TABLE = {f"{n} x {width}": (784, *(width,) * n, 10) for n, width in ((1, 800), (2, 800), (3, 800), (4, 800), (7, 240))}
HUNDRED = (784, *(240,) * 100, 10)
TABLE_RATES = (*WIDE_RATES, 0.01)
TABLE_RULES = tuple(WIDE_FEEDBACK)


def fully_connected(name: str, rule: str, sizes: tuple[int, ...], epochs: int, **fields: Any) -> Experiment:
    """A network of tanh units on MNIST, with the scales of W and B of `_wide` for its width."""
    hidden = len(sizes) - 2
    width = (800 / sizes[1]) ** 0.5
    # Of the inputs 784 are given, so that only the layers above them depend on the width.
    weights = (0.05, *(round(0.05 * width, 4),) * hidden)
    chain = (*(round(0.06 * width, 4),) * (hidden - 1), 0.1)
    return _wide.but(
        name=f"after-{name}-{slug(rule)}",
        rule=rule,
        sizes=sizes,
        weights=weights,
        feedback=chain if rule == "feedback alignment" else 0.1,
        seeds=(200, 201, 202),
        schedule=((0, 1.0), ((epochs - 1) * mnist.EPOCH, 0.1)),
        examples=epochs * mnist.EPOCH,
        probes=mnist.epochs(0, 0.2, 0.5, *range(1, epochs + 1)),
        **fields,
    )


def beginnings(run: Experiment, examples: int) -> tuple[Experiment, ...]:
    """The trials of a run's rate: so many images, none of which the error is taken on."""
    return tuple(
        run.but(
            name=f"{run.name.replace('after-', 'after-trial-', 1)}-{r:g}",
            task="mnist validation",
            rate=r,
            seeds=(100,),
            schedule=((0, 1.0),),
            examples=examples,
            probes=(0, examples),
        )
        for r in TABLE_RATES
    )


_table = {
    (net, rule): fully_connected(f"table-{net.replace(' ', '')}", rule, sizes, TABLE_EPOCHS)
    for net, sizes in TABLE.items()
    for rule in TABLE_RULES
    if (net, rule) != ("1 x 800", "feedback alignment")  # which is direct there
}
_hundred = {rule: fully_connected("hundred", rule, HUNDRED, HUNDRED_EPOCHS) for rule in TABLE_RULES}
# In minibatches of 100 no rule had learned anything after an epoch; smaller ones take no longer here, and are more steps.
_hundred_20 = {rule: fully_connected("hundred-20", rule, HUNDRED, HUNDRED_EPOCHS, batch=20) for rule in TABLE_RULES}
TABLE_TRIALS = {key: beginnings(run, 20_000) for key, run in _table.items()}
HUNDRED_TRIALS = {rule: beginnings(run, 50_000) for rule, run in _hundred.items()}
HUNDRED_TRIALS_20 = {rule: beginnings(run, 20_000) for rule, run in _hundred_20.items()}

# ---- what was chosen, and the reported runs
SMALL_RATE = {
    "backprop": 0.016,
    "feedback alignment": 0.008,
    "direct feedback alignment": 0.008,
    "sign symmetry": 0.016,
    "Kolen-Pollack": 0.016,
}
SMALL = {rule: _small.but(name=f"after-{slug(rule)}", rule=rule, rate=r) for rule, r in SMALL_RATE.items()}
# Without decay nothing takes the difference between B and W' away.
NO_DECAY = SMALL["Kolen-Pollack"].but(name="after-control-no-decay", weight_decay=0.0)
REDRAWN = SMALL["direct feedback alignment"].but(name="after-control-redrawn", redraw_feedback=True)
SIGNS_RATE = dict.fromkeys(SIGNS, 0.016)
SIGNS_RUNS = {
    magnitudes: _small.but(name=f"after-signs-{magnitudes}", rate=r, **SIGNS[magnitudes])
    for magnitudes, r in SIGNS_RATE.items()
}

# ---- what of the paper holds for each: learning from W = 0, small initial weights, an upper hidden layer narrower than the
# outputs, and a B of which a quarter is there
CHANGES: dict[str, dict[str, Any]] = {
    "zero": {"weights": 0.0},
    "weak": {"weights": 0.01},
    "narrow": {"sizes": (30, 20, 4, 10)},
    "sparse": {"feedback_density": (0.25, 0.25)},
}
HOLDS = {
    (change, rule): e.but(name=f"after-{change}-{slug(rule)}", **fields)
    for change, fields in CHANGES.items()
    for rule, e in SMALL.items()
    if (change, rule) != ("sparse", "backprop")  # which has no B
}

DEEP_RATE = {
    ("small", "backprop"): 0.0005,
    ("small", "feedback alignment"): 0.001,
    ("small", "direct feedback alignment"): 0.004,
    ("large", "backprop"): 0.002,
}
DEEP = {
    (start, rule): _deep.but(name=f"after-deep-{start}-{slug(rule)}", rule=rule, rate=r, weights=STARTS[start])
    for (start, rule), r in DEEP_RATE.items()
}

# The largest of the three is best for each rule; at 0.01, tried later for his table, none of them learns.
WIDE_RATE = dict.fromkeys(WIDE_FEEDBACK, 0.003)
WIDE = {
    rule: _wide.but(name=f"after-wide-{slug(rule)}", rule=rule, rate=r, feedback=WIDE_FEEDBACK[rule])
    for rule, r in WIDE_RATE.items()
}

# Of seven layers of 240 the chain of either algorithm takes the largest rate of the four; all else has its best at 0.003.
TABLE_RATE = dict.fromkeys(_table, 0.003) | {("7 x 240", rule): 0.01 for rule in ("backprop", "feedback alignment")}
TABLE_RUNS = {key: run.but(rate=TABLE_RATE[key]) for key, run in _table.items()}

# Of backprop's trials three came to the same error; the first of them is taken.
HUNDRED_RATE = {"backprop": 0.001, "feedback alignment": 0.01, "direct feedback alignment": 0.003}
HUNDRED_RUNS = {rule: run.but(rate=HUNDRED_RATE[rule]) for rule, run in _hundred_20.items()}
HUNDRED_CONTROL = HUNDRED_RUNS["direct feedback alignment"].but(
    name="after-hundred-20-control-no-feedback", feedback=0.0, seeds=(200,)
)

FIG3_BETA = 2.0
FIG3 = _fig3.but(feedback=FIG3_BETA)


def chosen(trials: tuple[Experiment, ...], field: str, value: float) -> Experiment:
    """Of some trials the one with that value."""
    return next(t for t in trials if getattr(t, field) == value)


def of_the_rate(network: str, rule: str, trials: tuple[Experiment, ...], rate: float, *reported: Experiment) -> Search:
    """The search for a rule's rate in one of Nøkland's networks."""
    beside = f"after, {network}"
    taken = chosen(trials, "rate", rate)
    return Search(name=f"{beside}, {rule}", trials=trials, chosen=taken, reported=reported, settles=("rate",), beside=beside)


_IN_SMALL = (
    *((rule, SMALL_TRIALS[rule], SMALL[rule]) for rule in RULES),
    *((f"sign symmetry, magnitudes {m}", SIGNS_TRIALS[m], SIGNS_RUNS[m]) for m in SIGNS),
)
SEARCHES = (
    *(
        Search(
            name=f"after, {name}",
            trials=trials,
            chosen=chosen(trials, "rate", run.rate),
            reported=(run,),
            settles=("rate",),
            criterion="nse",
            beside="after",
        )
        for name, trials, run in _IN_SMALL
    ),
    *(
        Search(
            name=f"after, {start} start, {rule}",
            trials=DEEP_TRIALS[start, rule],
            chosen=chosen(DEEP_TRIALS[start, rule], "rate", r),
            settles=("rate", "weights"),
            criterion="nse",
            reported=(DEEP[start, rule],),
            beside=f"after, {start} start",
        )
        for (start, rule), r in DEEP_RATE.items()
    ),
    *(
        Search(
            name=f"after, on MNIST, {rule}",
            trials=WIDE_TRIALS[rule],
            chosen=chosen(WIDE_TRIALS[rule], "rate", r),
            reported=(WIDE[rule],),
            settles=("rate", "feedback"),
            beside="after, on MNIST",
        )
        for rule, r in WIDE_RATE.items()
    ),
    *(of_the_rate(net, rule, TABLE_TRIALS[net, rule], run.rate, run) for (net, rule), run in TABLE_RUNS.items()),
    *(
        of_the_rate("a hundred layers, minibatches of 100", rule, trials, rate)
        for (rule, trials), rate in zip(HUNDRED_TRIALS.items(), (0.0003, 0.001, 0.003), strict=True)
    ),
    *(of_the_rate("a hundred layers", rule, HUNDRED_TRIALS_20[rule], run.rate, run) for rule, run in HUNDRED_RUNS.items()),
    Search(
        name="after, target projection",
        trials=FIG3_TRIALS,
        chosen=chosen(FIG3_TRIALS, "feedback", FIG3_BETA),
        reported=(FIG3,),
        settles=("feedback",),
    ),
)

TRIALS = (
    *(t for group in (*SMALL_TRIALS.values(), *DEEP_TRIALS.values(), *WIDE_TRIALS.values()) for t in group),
    *FIG3_TRIALS,
    *(t for trials in SIGNS_TRIALS.values() for t in trials),
    *(t for trials in (*TABLE_TRIALS.values(), *HUNDRED_TRIALS.values(), *HUNDRED_TRIALS_20.values()) for t in trials),
)
RECORDED = (
    *TRIALS,
    *SMALL.values(),
    *SIGNS_RUNS.values(),
    NO_DECAY,
    REDRAWN,
    *DEEP.values(),
    *WIDE.values(),
    *TABLE_RUNS.values(),
    *HUNDRED_RUNS.values(),
    HUNDRED_CONTROL,
    FIG3,
    *HOLDS.values(),
)
LIVE = ()
