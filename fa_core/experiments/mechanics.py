"""Fig. 5a,c and Supplementary Fig. 9: why W comes to align with B', in a 20-1000-20 network that learns quadratic forms.

The paper gives the network (tanh units, linear outputs), the target, y_k = x' Q_k x with the elements of Q_k uniform on
[-0.5, 0.5] and those of x on [-2, 2], and says that the scales of the initial weights, of the biases and of B were
selected by hand. It gives neither them nor the learning rates nor how long learning lasts. What stands here for each is
the middle of a map (`ALIGN_MAP`, `PHASE_MAP`), on seeds that are not reported.
"""

from collections.abc import Callable, Iterable
from typing import Any

from fa_core.experiments import Experiment, Schedule

SEEDS = tuple(range(20))
MAP_SEEDS = (100, 101, 102)

# ---- Fig. 5a, Supplementary Fig. 9
ALIGN = Experiment(
    name="mechanics-align",
    task="quadratic",
    sizes=(20, 1000, 20),
    rule="feedback alignment",
    rate=5e-4,
    examples=60_000,
    seeds=SEEDS,
    weights=(0.3, 0.01),
    biases=1.0,
    feedback=0.1,
    target=0.5,
    hidden="tanh",
    output="linear",
    probes=(0, 200, 500, *range(1000, 6000, 500), *range(6000, 20_000, 1000), *range(20_000, 60_001, 4000)),
    snapshots=("W1",),
)
# One seed, with W kept at every probe: the single units of Fig. 5a. It is made in the notebook, in compiled steps; the
# record that it must agree with was made in plain ones.
UNITS = ALIGN.but(name="mechanics-units", seeds=(0,), traced=("W1",), snapshots=(), products="compiled")
BACKPROP = ALIGN.but(
    name="mechanics-backprop",
    rule="backprop",
    seeds=SEEDS[:5],
    snapshots=(),
    probes=(0, 1000, 2000, 5000, 10_000, 20_000, 40_000, 60_000),
)
REDRAWN = BACKPROP.but(
    name="mechanics-redrawn",
    rule="feedback alignment",
    redraw_feedback=True,
    examples=20_000,
    probes=(0, 1000, 2000, 5000, 10_000, 20_000),
)

# ---- Fig. 5c: three phases; the factors are those of W0 and of W
PHASE = 10_000
RATE, RATE0 = 1e-3, 3e-4  # of W, of W0
W0_ALONE, W_ALONE, NEITHER = (RATE0 / RATE, 0.0), (0.0, 1.0), (0.0, 0.0)


def phases(
    first: tuple[float, ...] = W0_ALONE,
    second: tuple[float, ...] = W_ALONE,
    third: tuple[float, ...] = W0_ALONE,
    length: int = PHASE,
) -> Schedule:
    """The schedule of three phases of `length` examples."""
    return ((0, first), (length, second), (2 * length, third))


PHASES = ALIGN.but(
    name="mechanics-phases",
    rate=RATE,
    examples=3 * PHASE,
    weights=(0.1, 0.01),
    biases=0.1,
    schedule=phases(),
    snapshots=(),
    probes=(*range(0, PHASE, 2000), *range(PHASE, 3 * PHASE + 1, 1000)),
)
# Its two controls: B drawn anew when phase 3 begins; no learning at all in phase 1.
FRESH = PHASES.but(name="mechanics-phases-fresh", redraw_feedback=(2 * PHASE,))
SKIPPED = PHASES.but(name="mechanics-phases-skipped", schedule=phases(first=NEITHER))

# ---- the start from which W first turns away from B'
SMALL = ALIGN.but(
    name="mechanics-small",
    weights=(0.1, 0.01),
    biases=0.1,
    examples=40_000,
    snapshots=(),
    probes=(0, 200, 500, *range(1000, 6001, 1000), *range(8000, 20_001, 2000), *range(25_000, 40_001, 5000)),
)
UPDATES = 12_000
_early = SMALL.but(examples=UPDATES, seeds=SEEDS[:10], probes=(0, 500, 1000, 2000, 3000, 4000, 6000, 8000, 10_000, UPDATES))


def averaged(experiment: Experiment, n: int, batch: int | None = None) -> Experiment:
    """As many updates of the same size, each over the mean of `n` examples: n times the examples at 1/n of the rate.

    With `batch` 1 the n examples come one after another instead, at that lower rate."""
    return experiment.but(
        rate=experiment.rate / n,
        batch=batch or n,
        examples=n * experiment.examples,
        probes=tuple(n * p for p in experiment.probes),
    )


VARIATIONS = (
    _early.but(name="mechanics-small-batch", batch=20, probes=tuple(20 * round(p / 20) for p in _early.probes)),
    averaged(_early, 20).but(name="mechanics-small-averaged"),
    averaged(_early, 4, batch=1).but(name="mechanics-small-slow"),
    _early.but(name="mechanics-small-centred", centred=True),
    _early.but(name="mechanics-small-biases-0", biases=0.0),
    _early.but(name="mechanics-small-biases-1", biases=1.0),
    _early.but(name="mechanics-small-biases-1-centred", biases=1.0, centred=True),
    _early.but(name="mechanics-small-W0-0.3", weights=(0.3, 0.01)),
)


# ---- maps: one hyper-parameter at a time, about a centre that all of them share
def with_controls(point: Experiment) -> tuple[Experiment, Experiment, Experiment]:
    """Three phases, and the two controls of them: B fresh in phase 3, phase 1 skipped."""
    first, *rest = point.schedule
    return (
        point,
        point.but(name=f"{point.name}-fresh", redraw_feedback=(rest[1][0],)),
        point.but(name=f"{point.name}-skipped", schedule=((first[0], NEITHER), *rest)),
    )


def _vary(centre: Experiment, label: str, values: Iterable[float], change: Callable[[Any], dict]) -> dict[float, Experiment]:
    """Value -> the centre with that one thing changed; the centre itself at its own value."""
    stem = centre.name.removesuffix("-map")
    points = {v: centre.but(**change(v)) for v in values}
    return {v: centre if e == centre else e.but(name=f"{stem}-{label}-{v:g}") for v, e in points.items()}


ALIGN_CENTRE = ALIGN.but(name="mechanics-align-map", seeds=MAP_SEEDS, snapshots=(), probes=(0, 2000, 5000, 20_000, 60_000))
ALIGN_MAP = {
    "scale of W0": _vary(ALIGN_CENTRE, "W0", (0.1, 0.3, 0.6, 1.0), lambda v: {"weights": (v, 0.01)}),
    "scale of W": _vary(ALIGN_CENTRE, "W", (0.001, 0.01, 0.1), lambda v: {"weights": (0.3, v)}),
    "scale of B": _vary(ALIGN_CENTRE, "B", (0.02, 0.1, 0.5), lambda v: {"feedback": v}),
    "scale of the biases": _vary(ALIGN_CENTRE, "biases", (0.0, 1.0, 2.0), lambda v: {"biases": v}),
    "learning rate": _vary(ALIGN_CENTRE, "rate", (1e-4, 5e-4, 1e-3, 2e-3), lambda v: {"rate": v}),
}
# The points of that map at which W aligns least, with W kept, for the share of single units: one seed each.
UNITS_MAP = tuple(
    ALIGN_MAP[what][v].but(
        name=f"{ALIGN_MAP[what][v].name}-units",
        seeds=MAP_SEEDS[:1],
        probes=(),
        snapshots=("W1",),
        products="compiled",
    )
    for what, v in (("scale of W0", 1.0), ("scale of B", 0.02), ("learning rate", 1e-4))
)
PHASE_CENTRE = PHASES.but(name="mechanics-phases-map", seeds=MAP_SEEDS, probes=(0, PHASE, 2 * PHASE, 3 * PHASE))
PHASE_MAP = {
    "scale of W0": _vary(PHASE_CENTRE, "W0", (0.03, 0.1, 0.3), lambda v: {"weights": (v, 0.01)}),
    "scale of W": _vary(PHASE_CENTRE, "W", (0.01, 0.1), lambda v: {"weights": (0.1, v)}),
    "scale of B": _vary(PHASE_CENTRE, "B", (0.03, 0.1, 0.3), lambda v: {"feedback": v}),
    "scale of the biases": _vary(PHASE_CENTRE, "biases", (0.1, 1.0), lambda v: {"biases": v}),
    "learning rate of W0": _vary(
        PHASE_CENTRE, "rate0", (1e-4, RATE0, 1e-3), lambda v: {"schedule": phases((v / RATE, 0.0), W_ALONE, (v / RATE, 0.0))}
    ),
    "learning rate of W": _vary(
        PHASE_CENTRE, "rate", (3e-4, RATE, 3e-3), lambda v: {"schedule": phases(W0_ALONE, (0.0, v / RATE), W0_ALONE)}
    ),
    "length of a phase": _vary(
        PHASE_CENTRE,
        "length",
        (3000, PHASE, 30_000),
        lambda v: {"schedule": phases(length=v), "examples": 3 * v, "probes": (0, v, 2 * v, 3 * v)},
    ),
}


def points(chart: dict[str, dict[float, Experiment]]) -> tuple[Experiment, ...]:
    """Every experiment of a map, once."""
    return tuple(dict.fromkeys(e for row in chart.values() for e in row.values()))


RECORDED = (
    ALIGN,
    BACKPROP,
    REDRAWN,
    PHASES,
    FRESH,
    SKIPPED,
    SMALL,
    *VARIATIONS,
    *points(ALIGN_MAP),
    *(e for point in points(PHASE_MAP) for e in with_controls(point)),
)
LIVE = (UNITS, *UNITS_MAP)
