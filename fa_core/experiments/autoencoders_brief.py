"""Supplementary Note 9 in runs of 8 and of 12 passes, for as long as there was time: what its results depend on.

Runs that end by their own rule are in `fa_core.experiments.autoencoders`. Rates alone were searched for (`TRIALS`): equally
many trials for either algorithm, on a seed that is not reported, judged on the last 10,000 training images.
"""

from typing import Any

from fa_core.experiments import Experiment
from fa_core.experiments.extended_20 import course
from fa_core.experiments.search import Search

EPOCH = 60_000
TRIAL = 50_000
SEEDS = (0, 1, 2)
WIDE = (784, 1000, 1000, 1000, 1000, 1000, 784)
WIDTHS = (10, 30, 100, 300)  # of the bottleneck


def narrow(width: int) -> tuple[int, ...]:
    """The sizes of the network of the note with a bottleneck of so many units."""
    return (784, 1000, 500, width, 500, 1000, 784)


def even(sizes: tuple[int, ...]) -> tuple[float, ...]:
    """Scales of B by which every hidden layer receives an error of the magnitude of that above: sqrt(3 / units above)."""
    return tuple(round((3 / n) ** 0.5, 4) for n in sizes[2:])


def called(rule: str, sizes: tuple[int, ...], *more: object) -> str:
    """The end of a name: the units in the middle, the algorithm, and what else sets an experiment apart."""
    return "-".join(map(str, (sizes[3], rule.split(",")[0].replace(" ", "-"), *more)))


def trial(rule: str, sizes: tuple[int, ...], rate: float, weights: float, batch: int, passes: int) -> Experiment:
    """A run at one rate throughout; `rate` of the minibatch's mean."""
    return Experiment(
        name=f"autoencoder-trial-{called(rule, sizes, f'{rate:g}', f'{weights:g}')}",
        task="autoencoder validation",
        sizes=sizes,
        rule=rule,
        rate=rate / batch,
        batch=batch,
        examples=passes * TRIAL,
        seeds=(100,),
        weights=weights,
        feedback=even(sizes),
        hidden="tanh",
        output="tanh",
        weight_decay=1e-6,
        probes=tuple(n * TRIAL for n in range(passes + 1)),
        products="bfloat16",
    )


# Through the bottleneck a run of backprop may lose what it has learned, at rates that are safe for two passes: its trials
# are longer, and in small minibatches much is learned at rates far from there.
FEEDBACK = "feedback alignment, outputs gated"
SCALES = {FEEDBACK: 0.03, "backprop": 0.05}  # of W
NARROW_RATES = (5e-4, 1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 1e-2, 2e-2)
WIDE_RATES = {FEEDBACK: (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2), "backprop": (1e-3, 3e-3, 5e-3, 1e-2, 2e-2, 3e-2)}
TRIALS = {(10, rule): tuple(trial(rule, narrow(10), r, w, 20, 4) for r in NARROW_RATES) for rule, w in SCALES.items()}
TRIALS |= {(1000, rule): tuple(trial(rule, WIDE, r, w, 100, 2) for r in WIDE_RATES[rule]) for rule, w in SCALES.items()}
# Of the trials, the ones with the smallest error.
RATES = {(10, FEEDBACK): 1e-2, (10, "backprop"): 3e-3, (1000, FEEDBACK): 8e-3, (1000, "backprop"): 5e-3}


def best(width: int, rule: str, sizes: tuple[int, ...], **lasting: Any) -> Experiment:
    """The network of these sizes, trained by a rule at the rate that its trials with a bottleneck of this width gave;
    `lasting`: for how long, and at which rates."""
    chosen = next(e for e in TRIALS[width, rule] if e.rate * e.batch == RATES[width, rule])
    return chosen.but(
        name=f"autoencoder-{called(rule, sizes)}",
        task="autoencoder",
        sizes=sizes,
        feedback=even(sizes),
        seeds=SEEDS,
        **lasting,
    )


LONG, SHORT = (course(passes, begin=((0, 1.0),)) for passes in (12, 8))
NARROW = {rule: best(10, rule, narrow(10), **LONG) for rule in ("backprop", FEEDBACK)}
WITHOUT = {
    rule: best(1000, rule, WIDE, examples=8 * EPOCH, schedule=((0, 1.0), (7 * EPOCH, 0.1)), probes=SHORT["probes"])
    for rule in ("backprop", FEEDBACK)
}
# Bottlenecks in between, of one seed.
BETWEEN = {
    (width, rule): best(10, rule, narrow(width), **SHORT).but(seeds=SEEDS[:1]) for width in WIDTHS[1:] for rule in NARROW
}
# A control: no feedback below the outputs.
CONTROL = NARROW[FEEDBACK].but(
    name="autoencoder-control-no-feedback", feedback=0.0, seeds=SEEDS[:1], **course(4, begin=((0, 1.0),))
)

SEARCHES = tuple(
    Search(
        name=f"autoencoder with {width} in the middle, {rule}",
        trials=TRIALS[width, rule],
        chosen=next(e for e in TRIALS[width, rule] if e.rate * e.batch == RATES[width, rule]),
        reported=(runs[rule],),
        settles=("rate", "batch", "weights"),
        criterion="loss",
        beside=f"autoencoder with {width} in the middle",
        later="an earlier search had other minibatches, fewer rates and shorter trials; its runs had been seen",
    )
    for width, runs in ((10, NARROW), (1000, WITHOUT))
    for rule in SCALES
)

RECORDED = (
    *(e for trials in TRIALS.values() for e in trials),
    *NARROW.values(),
    *WITHOUT.values(),
    *BETWEEN.values(),
    CONTROL,
)
LIVE = ()
