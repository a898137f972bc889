"""Fig. 3a,b and Supplementary Fig. 5: a 784-1000-10 network of logistic units on MNIST.

The paper gives the network, the learning rate 1e-3 (here per example, summed over a minibatch) and the weight decay
1e-6. It leaves out the scales of W and B, the minibatch, the scaling of the pixels and the stopping time. The searches
for them are experiments too (`SEARCH`): on backprop, on seeds that are not reported, judged on the last 10,000 training
images. Only B's scale, which backprop has not, is searched on feedback alignment, as in the paper.
"""

from fa_core.experiments import Experiment, Stages
from fa_core.experiments.search import Search

EPOCH = 60_000
# Where the mean validation error of backprop (`STOP_SEARCH`) first fell no further, in a tie: at 4.75 million examples, 79
# epochs.
STOP = 80 * EPOCH
# The two companions were run for less, and are compared at that time.
SHORTER = 65 * EPOCH
OMEGA = 0.2  # scale of W and of the biases
BETA = 1.0  # scale of B


def epochs(*numbers: float) -> tuple[int, ...]:
    """Numbers of epochs as examples."""
    return tuple(int(n * EPOCH) for n in numbers)


def probes(last: int) -> tuple[int, ...]:
    """Densely at first, then every few epochs."""
    return tuple(p for p in epochs(0, 0.1, 0.2, 0.5, 1, 1.5, *range(2, 20), *range(20, 201, 5)) if p <= last)


BACKPROP = Experiment(
    name="mnist-backprop",
    task="mnist",
    sizes=(784, 1000, 10),
    rule="backprop",
    rate=1e-3,
    weight_decay=1e-6,
    batch=100,
    examples=STOP,
    schedule=((0, 0.1), (EPOCH // 2, 1.0)),
    weights=OMEGA,
    feedback=BETA,
    seeds=tuple(range(20)),
    probes=probes(STOP),
    snapshots=("W0",),
    snapshot_runs=1,
    snapshot_units=100,
)
FEEDBACK_ALIGNMENT = BACKPROP.but(name="mnist-feedback-alignment", rule="feedback alignment")
SPARSE = FEEDBACK_ALIGNMENT.but(
    name="mnist-sparse", density=(1.0, 0.5), feedback_density=(0.5,), examples=SHORTER, probes=probes(SHORTER)
)
SHALLOW = BACKPROP.but(name="mnist-shallow", rule="shallow", examples=SHORTER, probes=probes(SHORTER))

# ---- on five of the same seeds, to the same stopping time: what the Methods and Note 2 say beside the figure
FIVE = {"seeds": (0, 1, 2, 3, 4), "snapshots": (), "snapshot_runs": None, "snapshot_units": None}
# h (1 - h) in W0's update, roughly: 1/5 for 0.1 < h < 0.9, else 0.
ROUGH = FEEDBACK_ALIGNMENT.but(name="mnist-rough", hidden="logistic, rough", **FIVE)
# What of W0 learning changed most, in the inputs: the 20 leading singular vectors of the change.
FEATURES = tuple(
    e.but(name=e.name.replace("mnist", "mnist-features"), features=20, **FIVE | {"probes": epochs(0, 80)})
    for e in (BACKPROP, FEEDBACK_ALIGNMENT)
)
# An example at a time, at the same rate for each.
ONLINE = FEEDBACK_ALIGNMENT.but(name="mnist-online", batch=1, products="compiled", **FIVE)

# ---- the searches: seeds 100 onwards, validation images
VALIDATION = BACKPROP.but(
    task="mnist validation",
    seeds=(100, 101),
    examples=500_000,
    snapshots=(),
    feedback=0.2,
    probes=tuple(range(0, 500_001, 50_000)),
)
OMEGAS = (0.05, 0.1, 0.2, 0.3)
BETAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
OMEGA_SEARCH = tuple(VALIDATION.but(name=f"mnist-omega-{w:g}", weights=w) for w in OMEGAS)
BETA_SEARCH = tuple(VALIDATION.but(name=f"mnist-beta-{b:g}", rule="feedback alignment", feedback=b) for b in BETAS)
STOP_SEARCH = VALIDATION.but(name="mnist-stop", examples=5_000_000, probes=tuple(range(0, 5_000_001, 250_000)))
SEARCH = (*OMEGA_SEARCH, *BETA_SEARCH, STOP_SEARCH)
SEARCHES = (
    Search(
        name="scale of W",
        trials=OMEGA_SEARCH,
        chosen=OMEGA_SEARCH[OMEGAS.index(OMEGA)],
        settles=("weights",),
        reported=(BACKPROP, FEEDBACK_ALIGNMENT, SPARSE, SHALLOW),
    ),
)
# How the angle depends on the scale of W; OMEGA itself is in BETA_SEARCH.
ANGLES = tuple(
    VALIDATION.but(name=f"mnist-angle-{w:g}", rule="feedback alignment", weights=w, feedback=BETA) for w in (0.01, 0.05, 0.1)
)
# And how it depends on the rate.
RATE_ANGLES = tuple(
    VALIDATION.but(name=f"mnist-angle-rate-{r:g}", rule="feedback alignment", rate=r, feedback=BETA)
    for r in (0.002, 0.004, 0.01, 0.05)
)

# ---- controls and the short live run of the notebook
SHORT = FEEDBACK_ALIGNMENT.but(name="mnist-short", seeds=(0,), examples=2 * EPOCH, probes=probes(2 * EPOCH), snapshots=())

# How far backprop is from the best rate it could have: the paper's is given.
RATES = tuple(VALIDATION.but(name=f"mnist-rate-{r:g}", rate=r, weights=OMEGA) for r in (0.002, 0.004))

# ---- the stopping time by a rule: where backprop's validation error has had no new lowest value for 20 epochs. The search
# above stopped at the first probe, of every fifth epoch, that was no lower than the one before, and backprop was improving.
LONGEST = 400  # epochs: no run is meant to come so far
STOPPING = VALIDATION.but(
    name="mnist-stopping",
    examples=LONGEST * 50_000,
    stages=Stages(cuts=0, patience=20),
    probes=tuple(range(0, LONGEST * 50_000 + 1, 50_000)),
    products="oneDNN",
    feedback=BETA,
)

RECORDED = (
    BACKPROP,
    FEEDBACK_ALIGNMENT,
    SPARSE,
    SHALLOW,
    ROUGH,
    *FEATURES,
    ONLINE,
    *SEARCH,
    *ANGLES,
    *RATE_ANGLES,
    *RATES,
    STOPPING,
)
LIVE = (SHORT,)
