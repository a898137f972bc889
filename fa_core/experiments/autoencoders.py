"""Supplementary Note 9: deep autoencoders of MNIST, with a bottleneck of 10 units and without one.

The networks, tanh units and images between -0.9 and 0.9 are the note's, minibatches of 100 are Note 2's, and the rate falls
in stages as in Note 5 (`fa_core.experiments.extended`), by the loss on 5,000 training images that are not learned from.
Rates and the scales of W and of B are not given: the search for them is here, equally many trials for either algorithm, on
a seed and images that are not reported.
"""

from fa_core.experiments import Experiment, Stages
from fa_core.experiments.extended import BACKPROP, BATCH, FEEDBACK, TRIAL, begun, probes, reported, rounds

SEEDS = (200, 201, 202)
NARROW, WIDE = (784, 1000, 500, 10, 500, 1000, 784), (784, 1000, 1000, 1000, 1000, 1000, 784)
STAGES = Stages(cuts=2, patience=5, least=0.01)  # a stage ends where five passes bring less than a hundredth
MOST = 300  # passes: no run is meant to come so far
ROUND = 6  # passes of a trial of the first round


def fan_in(sizes: tuple[int, ...], gain: float) -> tuple[float, ...]:
    """Scales of W by which each layer receives activity of `gain` times the magnitude of that below."""
    return tuple(round(gain * (3 / n) ** 0.5, 4) for n in sizes[:-1])


def even(sizes: tuple[int, ...], gain: float = 1.0) -> tuple[float, ...]:
    """Scales of B by which every hidden layer receives an error of `gain` times the magnitude of that above."""
    return tuple(round(gain * (3 / n) ** 0.5, 4) for n in sizes[2:])


def called(rule: str, sizes: tuple[int, ...]) -> str:
    """What sets a search's experiments apart in their names: the units in the middle, and the algorithm."""
    return f"{sizes[3]}-{rule.split(',')[0].replace(' ', '-')}"


def trial(
    number: int,
    rule: str,
    sizes: tuple[int, ...],
    mean: float,
    weights: float | tuple[float, ...],
    gain: float = 1.0,
    outputs: float | None = None,
) -> Experiment:
    """A trial of the first round, at one rate; `mean`: of the minibatch's mean; `gain`: of the topmost B, see `even`;
    `outputs`: where their weights learn at another rate, see `begun`."""
    return Experiment(
        name=f"note9-trial-{called(rule, sizes)}-{number}",
        task="autoencoder validation",
        sizes=sizes,
        rule=rule,
        rate=mean / BATCH,
        batch=BATCH,
        examples=ROUND * TRIAL,
        seeds=(100,),
        weights=weights,
        feedback=(*even(sizes)[:-1], even(sizes, gain)[-1]),
        hidden="tanh",
        output="tanh",
        weight_decay=1e-6,
        probes=probes(ROUND, TRIAL),
        products="bfloat16",
        schedule=begun(outputs, len(sizes) - 1) if outputs else ((0, 1.0),),
    )


def settings(rule: str, sizes: tuple[int, ...]) -> tuple[tuple, ...]:
    """Rate and scale of W of each trial; of some the gain of B as well, and of some of these `outputs`: see `trial`."""
    half, whole, larger = (fan_in(sizes, gain) for gain in (0.5, 1.0, 1.5))
    # Of the first eight the best, of either algorithm, has the largest weights; so there are four more about it.
    more = ((5e-3, whole), (1e-2, whole, 1.0, 0.2), (3e-2, whole, 1.0, 0.2))
    if rule == BACKPROP:
        return (
            (3e-3, 0.05),
            (1e-2, 0.05),
            (3e-2, 0.05),
            (1e-2, half),
            (3e-2, half),
            (3e-3, whole),
            (1e-2, whole),
            (3e-2, whole),
            *more,
            (3e-3, larger),
        )
    return (
        (3e-3, 0.03),
        (1e-2, 0.03),
        (3e-2, 0.03),
        (3e-3, 0.03, 3.0),
        (1e-2, 0.03, 3.0),
        (1e-2, half),
        (1e-2, half, 3.0),
        (1e-2, whole),
        *more,
        (1e-2, larger),
    )


FIRST: dict[tuple[tuple[int, ...], str], tuple[Experiment, ...]] = {
    (sizes, rule): tuple(trial(n, rule, sizes, *setting) for n, setting in enumerate(settings(rule, sizes), 1))
    for sizes in (NARROW, WIDE)
    for rule in (FEEDBACK, BACKPROP)
}

# The best of each, by the numbers of their trials, the best first: they go on to a second round, of twelve passes on another
# seed, with cuts of the rate.
BEST: dict[tuple[tuple[int, ...], str], tuple[int, ...]] = {
    (NARROW, FEEDBACK): (8, 11, 9),
    (NARROW, BACKPROP): (6, 4, 1),
    (WIDE, FEEDBACK): (8, 9),
    (WIDE, BACKPROP): (9, 6),
}
CUTS = ((8 * TRIAL, 0.1), (10 * TRIAL, 0.01))


def longer(trial: Experiment) -> Experiment:
    """A trial of the second round: the setting of one of the first."""
    full = trial.schedule[-1][1]
    cuts = tuple((at, tuple(c * f for f in full) if isinstance(full, tuple) else c * full) for at, c in CUTS)
    return trial.but(
        name=trial.name.replace("trial", "second"),
        seeds=(101,),
        examples=12 * TRIAL,
        probes=probes(12, TRIAL),
        schedule=(*trial.schedule, *cuts),
    )


SECOND = {key: tuple(longer(FIRST[key][n - 1]) for n in best) for key, best in BEST.items()}

CHOSEN: dict[tuple[tuple[int, ...], str], int] = {
    (NARROW, FEEDBACK): 1,
    (NARROW, BACKPROP): 1,
    (WIDE, FEEDBACK): 0,
    (WIDE, BACKPROP): 0,
}
RUNS = {
    (sizes, rule): reported(
        SECOND[sizes, rule][n], f"note9-{called(rule, sizes)}", "autoencoder", SEEDS, STAGES, MOST, CUTS[0][0]
    )
    for (sizes, rule), n in CHOSEN.items()
}
# A control: no feedback below the outputs, of one seed.
CONTROL = RUNS[NARROW, FEEDBACK].but(name="note9-control-no-feedback", feedback=0.0, seeds=SEEDS[:1])


SEARCHES = tuple(
    search
    for key, n in CHOSEN.items()
    for search in rounds(
        f"{key[0][3]} in the middle", key[1], FIRST[key], BEST[key], SECOND[key], RUNS[key], n, note=9, criterion="loss"
    )
)

RECORDED = (*(e for searched in (FIRST, SECOND) for trials in searched.values() for e in trials), *RUNS.values(), CONTROL)
LIVE = ()
