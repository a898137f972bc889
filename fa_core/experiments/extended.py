"""Supplementary Note 5: large networks of tanh or piecewise-linear units on MNIST, and what may be added to them.

The note gives the networks, targets of +-0.9, standardised inputs, the weight decay 1e-6, and rates lowered tenfold when
progress has slowed, "e.g." from 1e-2, here of the minibatch's mean. It leaves out the minibatch, the scales of W and B,
when progress counts as slow and how long learning goes on. The search for rate and scales is here (`TRIALS`): equally many
trials for either algorithm, on a seed that is not reported, judged on the last 10,000 training images.
"""

from fa_core.experiments import Experiment

EPOCH, BATCH = 60_000, 100
WARM = ((0, 0.1), (10_000, 1.0))  # until W has begun to align, a large error through a large B drives units into saturation
SIZES = (784, 1500, 1500, 1500, 10)
SEEDS = tuple(range(5))


def probes(epochs: int, every: int = 1):
    """After no epoch, the first, and then one in so many up to the last."""
    return tuple(n * EPOCH for n in sorted({0, 1, *range(every, epochs, every), epochs}))


# ---- the search
TRIAL = 50_000  # examples to an epoch without those that are tested on
FEEDBACK_TRIAL = Experiment(
    name="extended-trial", task="mnist validation", sizes=SIZES, rule="feedback alignment, outputs gated", rate=1e-2 / BATCH,
    batch=BATCH, examples=6 * TRIAL, seeds=(100,), weights=0.02, feedback=(0.07, 0.07, 0.5), hidden="tanh", output="tanh",
    targets=(-0.9, 0.9), weight_decay=1e-6, probes=tuple(n * TRIAL for n in range(7)), products="bfloat16",
    schedule=(*WARM, (4 * TRIAL, 0.1), (5 * TRIAL, 0.01)),
)
BACKPROP_TRIAL = FEEDBACK_TRIAL.but(rule="backprop")
FEEDBACK_TRIALS = tuple(
    FEEDBACK_TRIAL.but(name=f"extended-trial-feedback-alignment-{rate:g}-{top:g}", rate=rate / BATCH, feedback=(0.07, 0.07, top))
    for rate in (0.005, 0.01) for top in (0.5, 1.0))
BACKPROP_TRIALS = tuple(
    BACKPROP_TRIAL.but(name=f"extended-trial-backprop-{rate:g}-{w:g}", rate=rate / BATCH, weights=w)
    for rate in (0.03, 0.1) for w in (0.04, 0.08))

RECORDED = (*FEEDBACK_TRIALS, *BACKPROP_TRIALS)
LIVE = ()
