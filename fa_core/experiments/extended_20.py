"""Supplementary Note 5 in minibatches of 20 and of 50, for as many epochs as there was time for: what its results depend on.

The note's own minibatches, and runs that end by their own rule, are in `fa_core.experiments.extended`. The search for rate
and scales is here (`TRIALS`): equally many trials for either algorithm, on a seed that is not reported, judged on the last
10,000 training images.
"""

from collections.abc import Iterable
from typing import Any

from fa_core.experiments import Experiment, Schedule
from fa_core.experiments.extended import DISTORTIONS, FIELDS, SAME, TEN_SIZES
from fa_core.experiments.extended import PLAIN as OF_100
from fa_core.experiments.search import Search

EPOCH, BATCH = 60_000, 100
WARM = ((0, 0.1), (10_000, 1.0))  # until W has begun to align, a large error through a large B drives units into saturation
SEEDS = tuple(range(5))


def probes(epochs: int, every: int = 1, epoch: int = EPOCH) -> tuple[int, ...]:
    """After no epoch, the first, and then one in so many up to the last; `epoch`: its examples."""
    return tuple(n * epoch for n in sorted({0, 1, *range(every, epochs, every), epochs}))


# ---- the search
TRIAL = 50_000  # examples to an epoch without those that are tested on
FEEDBACK_TRIAL = OF_100.but(
    name="extended-trial",
    examples=6 * TRIAL,
    seeds=(100,),
    probes=tuple(n * TRIAL for n in range(7)),
    schedule=(*WARM, (4 * TRIAL, 0.1), (5 * TRIAL, 0.01)),
)
BACKPROP_TRIAL = FEEDBACK_TRIAL.but(rule="backprop")
FEEDBACK_TRIALS = tuple(
    FEEDBACK_TRIAL.but(
        name=f"extended-trial-feedback-alignment-{rate:g}-{top:g}", rate=rate / BATCH, feedback=(0.07, 0.07, top)
    )
    for rate in (0.005, 0.01)
    for top in (0.5, 1.0)
)
BACKPROP_TRIALS = tuple(
    BACKPROP_TRIAL.but(name=f"extended-trial-backprop-{rate:g}-{w:g}", rate=rate / BATCH, weights=w)
    for rate in (0.03, 0.1)
    for w in (0.04, 0.08)
)
# In minibatches a fifth as large, at a rate of their mean that is a third of that of the best above.
SMALLER = 20
FEEDBACK_TRIALS += (
    FEEDBACK_TRIAL.but(name="extended-trial-feedback-alignment-smaller", batch=SMALLER, rate=3e-3 / SMALLER),
)
BACKPROP_TRIALS += (
    BACKPROP_TRIAL.but(name="extended-trial-backprop-smaller", batch=SMALLER, rate=1e-2 / SMALLER, weights=0.08),
)

# ---- the plain tanh network: the best trial of each, for as long as there was time for. Large minibatches suit neither: as
# much is learnt in an epoch of smaller ones at a lower rate of the mean, which is further from the limit of stability of the
# outputs' own weights, rate |h|^2 < 2. Of three runs of feedback alignment that were begun in minibatches of 100, at 1e-2,
# two ended in saturation: the notebook tells of them.
EPOCHS = 14
PLAIN = {"task": "mnist", "seeds": SEEDS, "examples": EPOCHS * EPOCH, "probes": probes(EPOCHS, 2), "plateau": (0.05, 2)}
FEEDBACK_ALIGNMENT = FEEDBACK_TRIALS[4].but(
    name="extended-tanh-feedback-alignment", schedule=WARM, snapshots=("W0",), snapshot_runs=1, snapshot_units=36, **PLAIN
)
BACKPROP = BACKPROP_TRIALS[4].but(name="extended-tanh-backprop", schedule=WARM, **PLAIN)
# Backprop from weights as small as feedback alignment's are, and feedback alignment from such as backprop's, for one epoch.
ONCE = {"examples": EPOCH, "probes": tuple(range(0, EPOCH + 1, 10_000)), "plateau": (), "snapshots": ()}
SMALL = BACKPROP.but(name="extended-small-backprop", weights=FEEDBACK_ALIGNMENT.weights, **ONCE)
LARGE = FEEDBACK_ALIGNMENT.but(name="extended-large-feedback-alignment", weights=BACKPROP.weights, **ONCE)
CONTROLS = tuple(
    FEEDBACK_ALIGNMENT.but(name=f"extended-control-{name}", seeds=SEEDS[:2], **ONCE, **change)
    for name, change in (("no-feedback", {"feedback": 0.0}), ("redrawn", {"redraw_feedback": True}))
)

# ---- what may be added, with feedback alignment alone. The outputs' weights learn by themselves at first, until the error
# has no large mean left, which would drive units of all kinds the same way for all images; from then on B may be larger, and
# activities without an upper bound stay in bounds. Searched for in trials of 20,000 images; and, as what learns
# most in that need not end lowest, in a few of eight epochs, in which the rate is lowered as in the runs.


def outputs_first(layers: int) -> Schedule:
    """A schedule for so many layers of W by which only the last learns in the first 5,000 examples."""
    return ((0, (*(0.0,) * (layers - 1), 1.0)), (5000, 1.0))


OUTPUTS_FIRST = outputs_first(4)
SHORT = FEEDBACK_TRIALS[4].but(examples=20_000, schedule=OUTPUTS_FIRST, probes=(0, 10_000, 20_000))


def course(epochs: int, epoch: int = EPOCH, begin: tuple = OUTPUTS_FIRST) -> dict:
    """The changes by which learning lasts so many epochs; the rate is lowered tenfold after 7 and after 9 tenths of them,
    rounded down."""
    cuts = tuple((epochs * n // 10 * epoch, factor) for n, factor in ((7, 0.1), (9, 0.01)))
    return {"examples": epochs * epoch, "schedule": (*begin, *cuts), "probes": probes(epochs, max(1, epochs // 12), epoch)}


LONG = course(8, TRIAL)


def dropped(*feedback: float) -> Experiment:
    """A short trial in which half of the topmost hidden layer is silenced."""
    return SHORT.but(dropout=(0.0, 0.0, 0.0, 0.5), feedback=feedback)


def leaky(mean: float, weights: float, *feedback: float) -> Experiment:
    """A short trial of piecewise-linear units; `mean`: the rate of the minibatch's mean."""
    return SHORT.but(hidden="leaky", rate=mean / SMALLER, weights=weights, feedback=feedback)


def local(weights: float, *feedback: float) -> Experiment:
    """A short trial of receptive fields; `weights` of these."""
    return SHORT.but(
        sizes=(784, 6 * 23**2, 1500, 1500, 10), fields=FIELDS, weights=(weights, 0.02, 0.02, 0.02), feedback=feedback
    )


def numbered(name: str, trials: Iterable[Experiment], **change: Any) -> tuple[Experiment, ...]:
    """The trials with a change, each with its number in its name."""
    return tuple(e.but(name=f"extended-trial-{name}-{i}", **change) for i, e in enumerate(trials, 1))


ADDED_TRIALS = {
    "dropout": numbered("dropout", (dropped(0.07, 0.07, 0.5), dropped(0.14, 0.14, 0.5), dropped(0.3, 0.3, 0.5))),
    "leaky": numbered(
        "leaky",
        (
            leaky(3e-3, 0.02, 0.03, 0.03, 0.3),
            leaky(6e-3, 0.04, 0.03, 0.03, 0.1),
            leaky(1e-2, 0.04, 0.03, 0.03, 0.1),
            leaky(2e-2, 0.04, 0.03, 0.03, 0.1),
            leaky(1e-2, 0.04, 0.02, 0.02, 0.06),
        ),
    ),
    "local": numbered(
        "local",
        (
            local(0.1, 0.1, 0.07, 0.5),
            local(0.1, 0.3, 0.07, 0.5),
            local(0.2, 1.0, 0.14, 0.5),
            local(0.2, 1.0, 0.3, 0.5),
            local(0.2, 1.0, 0.14, 1.0),
        ),
    ),
}
LONG_TRIALS = {
    "dropout": numbered("long-dropout", (dropped(0.03, 0.03, 0.25), *ADDED_TRIALS["dropout"][:2]), **LONG),
    "leaky": numbered("long-leaky", ADDED_TRIALS["leaky"][2:3], **LONG),
    "local": numbered("long-local", (ADDED_TRIALS["local"][i] for i in (0, 1, 4)), **LONG),
}


# Of the leaky unit a third search, in trials of two epochs: rates that differ between layers and change after half an epoch,
# as the hidden layers bear much more once W has begun to align. Three seeds, as some settings suit one and not the next.
def staged(weights: float | tuple[float, ...], *later: float) -> Experiment:
    """A trial of two epochs; `later`: the factors of the layers' rates after 25,000 examples."""
    begin = ((0, (0.0, 0.0, 0.0, 3.0)), (5000, (0.33, 0.33, 0.33, 3.0)), (25_000, later))
    return leaky(3e-3, 0.04, 0.03, 0.03, 1.0).but(
        weights=weights,
        seeds=(100, 101, 102),
        examples=2 * TRIAL,
        schedule=(*begin, (70_000, 0.1)),
        probes=probes(2, epoch=TRIAL),
    )


STAGED_TRIALS = numbered(
    "staged-leaky",
    (
        staged(0.04, 2.0, 1.0, 1.0, 0.5),
        staged((0.06, 0.04, 0.04, 0.02), 2.0, 1.0, 1.0, 0.5),
        staged(0.04, 1.0, 1.0, 1.0, 1.0),
        staged(0.04, 1.0, 0.5, 0.5, 0.5),
        staged(0.04, 4.0, 1.0, 1.0, 0.5),
    ),
)


def added(trial: Experiment, name: str, epochs: int = 14, begin: tuple = OUTPUTS_FIRST) -> Experiment:
    """The network of a trial, trained on all images."""
    return trial.but(name=name, task="mnist", seeds=SEEDS, **course(epochs, begin=begin))


DROPOUT = added(LONG_TRIALS["dropout"][2], "extended-dropout")
STAGES = STAGED_TRIALS[1].schedule[:-1]
LEAKY = added(STAGED_TRIALS[1], "extended-leaky", 20, STAGES)
# With the setting of the leaky unit, for as long as it takes to see how many units fall silent.
(RELU_TRIAL,) = numbered("relu", ADDED_TRIALS["leaky"][2:3], hidden="relu")
RELU = LEAKY.but(name="extended-relu", hidden="relu", examples=2 * EPOCH, schedule=STAGES, probes=probes(2))
LOCAL = added(LONG_TRIALS["local"][2], "extended-local")
ELASTIC = added(LOCAL, "extended-elastic", 100).but(distort=DISTORTIONS, seeds=SEEDS[:1])

# ---- two choices that are open, for the plain network: a larger B after the outputs have begun alone; and a weight decay
# that is not multiplied by the rate, 1e-6 of every weight with each example, or nearly so
LARGER = ADDED_TRIALS["dropout"][1].but(name="extended-trial-larger", dropout=(), **course(5, TRIAL))
DECAYING = LARGER.but(name="extended-trial-decaying", weight_decay=5e-3)

# ---- ten hidden layers, in trials of one epoch, again equally many of either kind. Minibatches of 50, as the network costs
# twice as much. B so that all layers receive about the same magnitude of error: from U[-a, a] 1000 units receive what 1000
# above them do if a = sqrt(3 / 1000), and a tenth more if a is larger by that. W of that scale hands activity on as well.
MEDIUM = 50


def ten(mean: float, feedback: float, top: float, last: float = SAME) -> Experiment:
    """A trial of feedback alignment with ten hidden layers; `feedback`: B's scale below the outputs', in terms of `SAME`;
    `last`: the scale of the outputs' W; `mean` as in `leaky`."""
    return SHORT.but(
        sizes=TEN_SIZES,
        batch=MEDIUM,
        rate=mean / MEDIUM,
        weights=(*(SAME,) * 10, last),
        feedback=(*(feedback * SAME,) * 9, top),
        examples=TRIAL,
        schedule=outputs_first(11),
        probes=(0, TRIAL // 2, TRIAL),
    )


def ten_backprop(mean: float, weights: float) -> Experiment:
    """A trial of backprop with ten hidden layers; `mean` as in `leaky`."""
    return ten(mean, 1.0, 0.5).but(rule="backprop", weights=weights, schedule=WARM)


TEN_TRIALS = {
    "feedback alignment": numbered(
        "ten-feedback-alignment",
        (
            ten(6e-3, 1.0, 0.5),
            ten(1e-2, 1.0, 0.5),
            ten(6e-3, 1.0, 0.25),
            ten(6e-3, 1.0, 0.5, 0.02),
            ten(6e-3, 1.1, 0.5, 0.02),
            ten(1e-2, 1.1, 0.5, 0.02),
        ),
    ),
    "backprop": numbered(
        "ten-backprop",
        (
            ten_backprop(1e-2, SAME),
            ten_backprop(3e-2, SAME),
            ten_backprop(5e-3, 0.08),
            ten_backprop(1e-2, 0.08),
            ten_backprop(3e-2, 0.08),
            ten_backprop(1e-2, 0.1),
        ),
    ),
}
TEN_EPOCHS = 9
TEN = added(TEN_TRIALS["feedback alignment"][4], "extended-ten-feedback-alignment", TEN_EPOCHS, outputs_first(11)).but(
    snapshots=("W0",), snapshot_runs=1, snapshot_units=36
)
TEN_BACKPROP = added(TEN_TRIALS["backprop"][3], "extended-ten-backprop", TEN_EPOCHS, WARM)

# ---- digits over photographs
BACKGROUNDS = tuple(
    e.but(
        name=e.name.replace("tanh", "backgrounds"),
        task="backgrounds",
        examples=6 * TRIAL,
        snapshots=(),
        probes=tuple(n * TRIAL for n in range(7)),
    )
    for e in (BACKPROP, FEEDBACK_ALIGNMENT)
)

# ---- the protocol


def search(name: str, trials: tuple[Experiment, ...], best: int, run: Experiment, **more: Any) -> Search:
    """A search that settled how `run` is made by its trial of index `best`."""
    return Search(
        name=name,
        trials=trials,
        chosen=trials[best],
        reported=(run,),
        settles=("rate", "batch", "weights", "feedback", "schedule"),
        **more,
    )


_FIFTH = {
    "beside": "in minibatches of 20",
    "later": "the fifth trial of either algorithm was added when the first runs of the others' best had been seen",
}
_TEN = {"beside": "ten layers", "later": "the records of the trials were made when the runs were over"}
SEARCHES = (
    search("plain network, backprop", BACKPROP_TRIALS, 4, BACKPROP, **_FIFTH),
    search("plain network, feedback alignment", FEEDBACK_TRIALS, 4, FEEDBACK_ALIGNMENT, **_FIFTH),
    search("dropout, short trials", ADDED_TRIALS["dropout"], 1, DROPOUT),
    search(
        "dropout, long trials",
        LONG_TRIALS["dropout"],
        2,
        DROPOUT,
        later="one reported seed had been run before, with another scale of the topmost B",
    ),
    search("receptive fields, short trials", ADDED_TRIALS["local"], 4, LOCAL),
    search(
        "receptive fields, long trials",
        LONG_TRIALS["local"],
        2,
        LOCAL,
        later="the runs had been made before with the same setting, by the short trials",
    ),
    search(
        "leaky unit, in stages",
        STAGED_TRIALS,
        1,
        LEAKY,
        later="the setting of the short trials had been run on a reported seed, and given up",
    ),
    search("ten layers, backprop", TEN_TRIALS["backprop"], 3, TEN_BACKPROP, **_TEN),
    search("ten layers, feedback alignment", TEN_TRIALS["feedback alignment"], 4, TEN, **_TEN),
)

RECORDED = (
    *FEEDBACK_TRIALS,
    *BACKPROP_TRIALS,
    *(e for group in (ADDED_TRIALS, LONG_TRIALS, TEN_TRIALS) for trials in group.values() for e in trials),
    *STAGED_TRIALS,
    FEEDBACK_ALIGNMENT,
    BACKPROP,
    SMALL,
    LARGE,
    *CONTROLS,
    DROPOUT,
    LEAKY,
    RELU_TRIAL,
    RELU,
    LOCAL,
    ELASTIC,
    LARGER,
    DECAYING,
    TEN,
    TEN_BACKPROP,
    *BACKGROUNDS,
)
LIVE = ()
