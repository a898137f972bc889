"""Supplementary Note 5: large networks of tanh or piecewise-linear units on MNIST, and what may be added to them.

The networks, targets of +-0.9, standardised inputs, the weight decay and the first rate, 1e-2, of the minibatch's mean, are
the note's; minibatches of 100 are Note 2's. "Reduced by an order of magnitude once progress had slowed substantially", to
1e-3 and 1e-4, is `STAGES` here, by the error on 5,000 training images that are not learned from; a run ends where the last
stage has stalled. Scales of W and of B, and how learning begins, are not given: the search for them is here, equally many
trials for either algorithm, on seeds and images that are not reported. Runs in smaller minibatches are in `extended_20`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from fa_core.experiments import Elastic, Experiment, Schedule, Stages
from fa_core.experiments.search import Search

BATCH, HELD_OUT = 100, 5_000
EPOCH, TRIAL = 60_000 - HELD_OUT, 50_000  # examples to an epoch of a run, and of a trial
SIZES = (784, 1500, 1500, 1500, 10)
SEEDS = tuple(range(200, 205))
STAGES = Stages(cuts=2, patience=5)
MOST = 150  # epochs: no run is meant to come so far
FEEDBACK, BACKPROP = "feedback alignment, outputs gated", "backprop"


def probes(epochs: int, epoch: int) -> tuple[int, ...]:
    """Before learning, and after each of so many epochs."""
    return tuple(n * epoch for n in range(epochs + 1))


def numbered(make: Callable[..., Experiment], settings: Iterable[tuple], *first: Any) -> tuple[Experiment, ...]:
    """`make(number, *first, *setting)` of each setting, numbers from 1."""
    return tuple(make(n, *first, *setting) for n, setting in enumerate(settings, 1))


def begun(outputs: float, layers: int = 4, *cuts: tuple[int, float]) -> Schedule:
    """A schedule: the outputs' weights learn at `outputs` times the rate of the others, and alone for the first 5,000
    examples, for until then the error has a large mean, which drives units the same way for all images; then `cuts`,
    (example, factor).

    The limit of stability of the outputs' own weights is rate |h|^2 < 2, h the activity of the last hidden layer, which
    grows.
    """

    def factors(hidden: float) -> tuple[float, ...]:
        return (*(hidden,) * (layers - 1), outputs * (hidden or 1.0))

    return ((0, factors(0.0)), (5_000, factors(1.0)), *((example, factors(factor)) for example, factor in cuts))


# ---- the plain network: a search by successive halving. Eight settings of each algorithm learn for two epochs at one rate,
# on two seeds; the best three of each for twelve, with cuts of the rate, on a third; the best of these is taken. Of
# feedback alignment the scales of W and of B, of backprop those of W, and of both the rates. Outputs at the rate of all
# others, `outputs` = 1, are what the note's one rate says.
PLAIN = Experiment(
    name="note5-trial",
    task="mnist validation",
    sizes=SIZES,
    rule=FEEDBACK,
    rate=1e-2 / BATCH,
    batch=BATCH,
    examples=2 * TRIAL,
    seeds=(100, 101),
    weights=0.02,
    feedback=(0.07, 0.07, 0.5),
    hidden="tanh",
    output="tanh",
    targets=(-0.9, 0.9),
    weight_decay=1e-6,
    probes=probes(2, TRIAL),
    products="bfloat16",
)


def trial(
    number: int, rule: str, mean: float, weights: float, outputs: float, lower: float = 0.07, top: float = 0.5
) -> Experiment:
    """A trial of the first round; `mean`: the rate of the minibatch's mean; `outputs`: see `begun`; `lower` and `top`: B's
    scales."""
    return PLAIN.but(
        name=f"note5-trial-{rule.split(',')[0].replace(' ', '-')}-{number}",
        rule=rule,
        rate=mean / BATCH,
        weights=weights,
        feedback=(lower, lower, top),
        schedule=begun(outputs),
    )


FIRST = {
    FEEDBACK: numbered(
        trial,
        (
            (1e-2, 0.02, 1.0),
            (5e-3, 0.02, 1.0),
            (1e-2, 0.02, 1.0, 0.07, 0.25),
            (1e-2, 0.02, 0.2),
            (4e-2, 0.02, 0.05),
            (1e-2, 0.02, 0.2, 0.045, 0.5),
            (1e-2, 0.02, 0.1, 0.07, 1.0),
            (2e-2, 0.02, 0.1),
        ),
        FEEDBACK,
    ),
    BACKPROP: numbered(
        trial,
        (
            (1e-2, 0.05, 1.0),
            (3e-2, 0.05, 1.0),
            (3e-2, 0.08, 1.0),
            (3e-2, 0.05, 0.2),
            (3e-2, 0.08, 0.2),
            (6e-2, 0.05, 0.1),
            (1e-1, 0.05, 0.1),
            (1e-1, 0.05, 0.2),
        ),
        BACKPROP,
    ),
}

CUTS = ((7 * TRIAL, 0.1), (10 * TRIAL, 0.01))  # of the rate, in trials of twelve epochs


def longer(trial: Experiment) -> Experiment:
    """A trial of the second round: the setting of one of the first, for twelve epochs, with cuts of the rate."""
    factors = trial.schedule[1][1]
    outputs = factors[-1] if isinstance(factors, tuple) else factors
    return trial.but(
        name=trial.name.replace("trial", "second"),
        seeds=(102,),
        examples=12 * TRIAL,
        probes=probes(12, TRIAL),
        schedule=begun(outputs, len(trial.sizes) - 1, *CUTS),
    )


# The best three of each, by the numbers of their trials, the best first.
BEST = {FEEDBACK: (8, 4, 7), BACKPROP: (5, 3, 4)}
SECOND = {rule: tuple(longer(FIRST[rule][n - 1]) for n in best) for rule, best in BEST.items()}

CHOSEN = {FEEDBACK: SECOND[FEEDBACK][1], BACKPROP: SECOND[BACKPROP][2]}


def reported(
    trial: Experiment,
    name: str,
    task: str = "mnist",
    seeds: tuple[int, ...] = SEEDS,
    stages: Stages = STAGES,
    most: int = MOST,
    cut: int = CUTS[0][0],
) -> Experiment:
    """The setting of a trial, in stages to its own end, `most` epochs at most, on all images but those held out; tested on
    the test images. `cut`: the example at which the trial's first cut of the rate falls."""
    return trial.but(
        name=name,
        task=task,
        seeds=seeds,
        held_out=HELD_OUT,
        stages=stages,
        examples=most * EPOCH,
        probes=probes(most, EPOCH),
        schedule=tuple(step for step in trial.schedule if step[0] < cut),
    )


FEEDBACK_ALIGNMENT = reported(CHOSEN[FEEDBACK], "note5-feedback-alignment").but(
    snapshots=("W0",), snapshot_runs=1, snapshot_units=36
)
BACKPROPAGATION = reported(CHOSEN[BACKPROP], "note5-backprop")
# One rate for all layers, as the note has it: the best trial of that kind of the last round that has one.
ONE_RATE = {
    FEEDBACK: reported(FIRST[FEEDBACK][1], "note5-one-rate-feedback-alignment"),
    BACKPROP: reported(SECOND[BACKPROP][1], "note5-one-rate-backprop"),
}

# Backprop's weight decay, times the rate; the first of them is the note's, and the trial that was taken. No other is better,
# so that the reported run is of the decay that was searched for.
DECAYS = (
    CHOSEN[BACKPROP],
    *(CHOSEN[BACKPROP].but(name=f"note5-decay-{d:g}", weight_decay=d) for d in (1e-5, 1e-4, 1e-3, 1e-2)),
)


def rounds(
    network: str,
    rule: str,
    first: tuple,
    best: tuple,
    second: tuple,
    run: Experiment,
    chosen: int,
    note: int = 5,
    criterion: str = "test error",
) -> tuple[Search, Search]:
    """The two rounds of the search for one algorithm's setting: the trials of the `first`, the numbers of its `best`, those
    that went on to the `second`, and the run by the trial of index `chosen` there."""
    beside, settles = f"note {note}, {network}", ("rate", "weights", "feedback", "schedule")
    name = f"{beside}, {rule.split(',')[0]}"
    began = Search(
        name=f"{name}, first round",
        trials=first,
        chosen=first[best[0] - 1],
        reported=(),
        settles=settles,
        criterion=criterion,
        beside=f"{beside}, first round",
    )
    return began, Search(
        name=f"{name}, second round",
        trials=second,
        chosen=second[chosen],
        reported=(run,),
        settles=settles,
        criterion=criterion,
        beside=f"{beside}, second round",
        after=began,
    )


# ---- what the note adds, one on top of the other, by feedback alignment alone, from the setting of the plain network.
# Dropout "in a single hidden layer": which, and of how many units, is searched for, and whether B of the layers below may
# then be larger; each trial as long as those of the second round.
TOPMOST, MIDDLE, LOWEST = (0.0, 0.0, 0.0, 0.5), (0.0, 0.0, 0.5, 0.0), (0.0, 0.5, 0.0, 0.0)


def with_dropout(number: int, dropout: tuple[float, ...], feedback: tuple[float, ...]) -> Experiment:
    """A trial of dropout."""
    return CHOSEN[FEEDBACK].but(name=f"note5-dropout-trial-{number}", dropout=dropout, feedback=feedback)


DROPOUT_TRIALS = numbered(
    with_dropout,
    (
        (TOPMOST, (0.07, 0.07, 0.5)),
        (MIDDLE, (0.07, 0.07, 0.5)),
        (LOWEST, (0.07, 0.07, 0.5)),
        ((0.0, 0.0, 0.0, 0.25), (0.07, 0.07, 0.5)),
        (TOPMOST, (0.14, 0.14, 0.5)),
        (TOPMOST, (0.07, 0.07, 1.0)),
    ),
)
DROPOUT = reported(DROPOUT_TRIALS[1], "note5-dropout")  # none of the six came to what the network without dropout did

# With dropout the piecewise-linear unit, and with dropout receptive fields: six trials of either, again as long.


def leaky(number: int, mean: float, weights: Any, lower: float, top: float, outputs: float | None = None) -> Experiment:
    """A trial of the piecewise-linear unit; the arguments as of `trial`. Without `outputs` it begins as in `extended_20`,
    the hidden layers at a third of the rate and the outputs at three times it, until 25,000 examples."""
    plain = DROPOUT_TRIALS[1].but(
        name=f"note5-leaky-trial-{number}",
        hidden="leaky",
        rate=mean / BATCH,
        weights=weights,
        feedback=(lower, lower, top),
        schedule=begun(outputs or 1.0, 4, *CUTS),
    )
    if outputs:
        return plain
    full = (2.0, 1.0, 1.0, 0.5)
    later = ((25_000, full), *((at, tuple(factor * f for f in full)) for at, factor in CUTS))
    return plain.but(schedule=((0, (0.0, 0.0, 0.0, 3.0)), (5_000, (0.33, 0.33, 0.33, 3.0)), *later))


GRADED = (0.06, 0.04, 0.04, 0.02)
LEAKY_TRIALS = numbered(
    leaky,
    (
        (1e-2, 0.02, 0.07, 0.5, 0.2),
        (1e-2, 0.04, 0.03, 0.1, 0.2),
        (3e-2, 0.04, 0.03, 0.1, 0.2),
        (1e-2, 0.04, 0.03, 0.3, 0.1),
        (3e-2, 0.04, 0.03, 0.1, 0.05),
        (1e-2, GRADED, 0.03, 1.0, 0.1),
        # Of these six only the second learned well, and to 5.2 %. So there are six more, in which less reaches the weights
        # of the outputs or of the hidden layers.
        (3e-3, 0.04, 0.03, 0.1, 0.2),
        (3e-3, 0.04, 0.03, 0.1, 1.0),
        (1e-2, 0.04, 0.03, 0.1, 0.05),
        (1e-2, 0.04, 0.015, 0.05, 0.1),
        (3e-3, GRADED, 0.03, 1.0, 0.2),
        (3e-3, 0.04, 0.03, 0.3, 0.1),
        # None was better. The last six begin as the unit did in minibatches of 20.
        (1.5e-2, GRADED, 0.03, 1.0),
        (5e-3, GRADED, 0.03, 1.0),
        (3e-3, GRADED, 0.03, 1.0),
        (8e-3, GRADED, 0.03, 0.3),
        (1.5e-2, 0.04, 0.03, 0.1),
        (5e-3, 0.04, 0.03, 0.1),
    ),
)
LEAKY = reported(LEAKY_TRIALS[14], "note5-leaky")
FIELDS = (6, 6, 28)  # 6 maps of 6 x 6 fields, 23 x 23 places each


def local(number: int, mean: float, weights: float, *feedback: float) -> Experiment:
    """A trial of receptive fields; `weights` of these."""
    return DROPOUT_TRIALS[1].but(
        name=f"note5-local-trial-{number}",
        sizes=(784, 6 * 23**2, 1500, 1500, 10),
        fields=FIELDS,
        rate=mean / BATCH,
        weights=(weights, 0.02, 0.02, 0.02),
        feedback=feedback,
    )


LOCAL_TRIALS = numbered(
    local,
    (
        (1e-2, 0.1, 0.07, 0.07, 0.5),
        (1e-2, 0.1, 0.3, 0.07, 0.5),
        (1e-2, 0.2, 1.0, 0.14, 0.5),
        (1e-2, 0.2, 1.0, 0.14, 1.0),
        (2e-2, 0.1, 0.1, 0.07, 0.5),
        (5e-3, 0.2, 1.0, 0.14, 1.0),
    ),
)
LOCAL = reported(LOCAL_TRIALS[5], "note5-local")

# With elastic distortions as well; nothing is searched again. No image comes twice in the same shape, so the error falls for
# longer, and a stage waits for 67 epochs: no run can end before the 200th. As first stated it waited for 20, and one of two
# runs ended a stage on a chance low of epoch 26; both were given up at epoch 54.
DISTORTIONS = Elastic(sigma=6.0, alpha=36.0)
COMBINED = reported(LOCAL_TRIALS[5], "note5-combined", seeds=SEEDS[:3], stages=Stages(cuts=2, patience=67), most=600).but(
    distort=DISTORTIONS
)

# Each of the three by itself, without dropout, as the first set of claims names them (the distortions on top of the fields,
# one run); nothing is searched again.
LEAKY_ALONE = LEAKY.but(name="note5-leaky-alone", dropout=())
LOCAL_ALONE = LOCAL.but(name="note5-local-alone", dropout=())
ELASTIC_ALONE = COMBINED.but(name="note5-elastic-alone", dropout=(), seeds=SEEDS[:1])

# ---- ten hidden layers of 1000 units, searched as the plain network is, the second round with the best two. From
# U[-a, a] of a = `SAME`, a layer of 1000 receives from the 1000 beside it, of activity or of error, what these received.
SAME = (3 / 1000) ** 0.5
TEN_SIZES = (784, *(1000,) * 10, 10)


def ten(
    number: int, rule: str, mean: float, weights: float, outputs: float, lower: float = 1.0, top: float = 0.5
) -> Experiment:
    """A trial of the first round; `weights` and `lower`: the scales of W and B below the outputs, in terms of `SAME`; the
    others as in `trial`."""
    wide = trial(number, rule, mean, weights * SAME, outputs)
    last = 0.02 if rule == FEEDBACK else weights * SAME
    return wide.but(
        name=wide.name.replace("trial", "ten-trial"),
        sizes=TEN_SIZES,
        weights=(*(weights * SAME,) * 10, last),
        feedback=(*(lower * SAME,) * 9, top),
        schedule=begun(outputs, 11),
    )


TEN_FIRST = {
    FEEDBACK: numbered(
        ten,
        (
            (1e-2, 1.0, 1.0, 1.1, 0.5),
            (1e-2, 1.0, 0.2, 1.1, 0.5),
            (2e-2, 1.0, 0.1, 1.1, 0.5),
            (1e-2, 0.75, 0.2, 1.1, 0.5),
            (2e-2, 0.75, 0.1, 1.1, 0.5),
            (1e-2, 0.75, 0.2, 1.25, 0.5),
            (1e-2, 1.0, 0.1, 1.1, 1.0),
            (2e-2, 0.75, 0.1, 1.0, 0.5),
        ),
        FEEDBACK,
    ),
    BACKPROP: numbered(
        ten,
        (
            (1e-2, 1.5, 1.0),
            (3e-2, 1.5, 1.0),
            (1e-2, 1.0, 1.0),
            (3e-2, 1.0, 0.2),
            (3e-2, 1.5, 0.2),
            (1e-2, 1.5, 0.2),
            (3e-2, 1.8, 0.2),
            (6e-2, 1.5, 0.1),
        ),
        BACKPROP,
    ),
}

# The best two, by the numbers of their trials, the best first; in either round it is the same.
TEN_BEST = {FEEDBACK: (3, 1), BACKPROP: (2, 5)}
TEN_SECOND = {rule: tuple(longer(TEN_FIRST[rule][n - 1]) for n in best) for rule, best in TEN_BEST.items()}
TEN = {
    FEEDBACK: reported(TEN_SECOND[FEEDBACK][0], "note5-ten-feedback-alignment").but(
        snapshots=("W0",), snapshot_runs=1, snapshot_units=36
    ),
    BACKPROP: reported(TEN_SECOND[BACKPROP][0], "note5-ten-backprop"),
}

SEARCHES = (
    *rounds("plain network", FEEDBACK, FIRST[FEEDBACK], BEST[FEEDBACK], SECOND[FEEDBACK], FEEDBACK_ALIGNMENT, 1),
    *rounds("plain network", BACKPROP, FIRST[BACKPROP], BEST[BACKPROP], SECOND[BACKPROP], BACKPROPAGATION, 2),
    *(
        s
        for rule, run in TEN.items()
        for s in rounds("ten layers", rule, TEN_FIRST[rule], TEN_BEST[rule], TEN_SECOND[rule], run, 0)
    ),
    Search(
        name="note 5, backprop, weight decay",
        trials=DECAYS,
        chosen=DECAYS[0],
        settles=("weight_decay",),
        reported=(BACKPROPAGATION,),
        later="the reported run had been made, with the note's decay, which no other beats",
    ),
    Search(
        name="note 5, dropout",
        trials=DROPOUT_TRIALS,
        chosen=DROPOUT_TRIALS[1],
        reported=(DROPOUT,),
        settles=("dropout", "feedback", "rate", "weights", "schedule"),
    ),
    Search(
        name="note 5, piecewise-linear unit",
        trials=LEAKY_TRIALS,
        chosen=LEAKY_TRIALS[14],
        reported=(LEAKY, LEAKY_ALONE),
        settles=("rate", "weights", "feedback", "schedule"),
    ),
    Search(
        name="note 5, receptive fields",
        trials=LOCAL_TRIALS,
        chosen=LOCAL_TRIALS[5],
        reported=(LOCAL, COMBINED, LOCAL_ALONE, ELASTIC_ALONE),
        settles=("rate", "weights", "feedback"),
    ),
)

# ---- ReLU used directly, by the note's own recipe: one rate, no slow start, no stages; and the piecewise-linear unit by the
# very same. One epoch of all images shows it.
DIRECT = {
    unit: PLAIN.but(
        name=f"note5-direct-{unit}",
        task="mnist",
        hidden=unit,
        schedule=((0, 1.0),),
        seeds=SEEDS,
        examples=60_000,
        probes=tuple(range(0, 60_001, 6_000)),
    )
    for unit in ("relu", "leaky")
}

RECORDED = (
    *(e for searched in (FIRST, SECOND, TEN_FIRST, TEN_SECOND) for trials in searched.values() for e in trials),
    FEEDBACK_ALIGNMENT,
    BACKPROPAGATION,
    *ONE_RATE.values(),
    *DECAYS[1:],
    *DROPOUT_TRIALS,
    DROPOUT,
    *LEAKY_TRIALS,
    LEAKY,
    LEAKY_ALONE,
    *LOCAL_TRIALS,
    LOCAL,
    LOCAL_ALONE,
    COMBINED,
    ELASTIC_ALONE,
    *DIRECT.values(),
    *TEN.values(),
)
LIVE = ()
