"""Supplementary Note 8 and Fig. S8: feedback alignment with momentum, in a 30-20-10-10 network that imitates another.

The note says that network and task were similar to those of Fig. 3d, and that momentum 0, 0.5 and 0.9 were tried from
the same initial network on the same sequence of examples. The learning rate and the scales of the initial weights and of
B are not given; the maps (`RATE_MAP`, `SCALE_MAP`) show what they do, on seeds that are not reported.
"""

from fa_core.experiments import Experiment

MOMENTA = (0.0, 0.5, 0.9)
RATE = 0.002
EXAMPLES = 60_000


def probes(last: int) -> tuple[int, ...]:
    """Every 250 examples at first, later every 1,000."""
    return tuple(p for p in (*range(0, 20_000, 250), *range(20_000, 60_001, 1000)) if p <= last)


PLAIN = Experiment(
    name="momentum-0",
    task="teacher",
    teacher=(30, 20, 10, 10),
    sizes=(30, 20, 10, 10),
    rule="feedback alignment",
    rate=RATE,
    examples=EXAMPLES,
    seeds=tuple(range(20)),
    weights=0.1,
    feedback=0.5,
    target=0.5,
    hidden="tanh",
    output="linear",
    probes=probes(EXAMPLES),
)
# Seeds share their initial network, target and examples, whatever the momentum.
BY_MOMENTUM = {m: PLAIN.but(name=f"momentum-{m:g}", momentum=m) for m in MOMENTA}
# No momentum, but the rate that momentum m amounts to in the long run.
BY_RATE = {m: PLAIN.but(name=f"momentum-as-rate-{m:g}", rate=RATE / (1 - m)) for m in MOMENTA[1:]}

# Made in the notebook: in compiled steps, while the records, of which they must be the beginning, were made in plain ones.
SHORT = {
    m: e.but(name=f"momentum-short-{m:g}", examples=8000, probes=probes(8000), products="compiled")
    for m, e in BY_MOMENTUM.items()
}

# ---- controls
_control = PLAIN.but(
    name="momentum-control",
    momentum=0.9,
    seeds=tuple(range(10)),
    examples=20_000,
    probes=tuple(range(0, 20_001, 1000)),
    snapshots=("W0", "W1"),
    products="compiled",
)
CONTROLS = {
    "feedback alignment": _control.but(name="momentum-control-none"),
    "B = 0": _control.but(name="momentum-control-no-feedback", feedback=0.0),
    "B redrawn": _control.but(name="momentum-control-redrawn", redraw_feedback=True),
}

# ---- maps: seeds 100 onwards
_map = PLAIN.but(name="momentum-map", seeds=tuple(range(100, 110)), examples=30_000, probes=tuple(range(0, 30_001, 500)))
RATES = (0.0005, 0.002, 0.004, 0.008, 0.016, 0.032)
RATE_MAP = {(r, m): _map.but(name=f"momentum-{m:g}-rate-{r:g}", rate=r, momentum=m) for r in RATES for m in MOMENTA}
SCALES = {"weights": (0.02, 0.3), "feedback": (0.2, 1.0), "target": (1.0,)}
SCALE_MAP = {
    (field, v, m): _map.but(name=f"momentum-{m:g}-{field}-{v:g}", momentum=m, **{field: v})
    for field, values in SCALES.items()
    for v in values
    for m in MOMENTA
}

RECORDED = (*BY_MOMENTUM.values(), *BY_RATE.values(), *RATE_MAP.values(), *SCALE_MAP.values())
LIVE = (*SHORT.values(), *CONTROLS.values())
