"""Fig. 3c,d and Supplementary Fig. 6: networks with two hidden layers of tanh units.

For Fig. 3d the paper gives the networks, the inputs and the scale of the target's weights, 0.5. It leaves out the rate,
the scales of the students' weights and of B, and the stopping time. They are chosen on backprop, on seeds that are not
reported (`MAPS`); only B's scale, which backprop has not, on feedback alignment. For Fig. 6 Note 3 gives the networks,
the minibatch and the rate, 0.05; it leaves out the scales.
"""

from typing import Any

from fa_core.experiments import Experiment

STOP = 100_000  # where on backprop the advantage of the four layers no longer grows
LAST = 2 * STOP  # the curves go on, to show what another stopping time would have said
THREE, FOUR = (30, 20, 10), (30, 20, 10, 10)
THOUSANDS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12.5, 16, 20, 25, 30, 35, 40, 45, *range(50, 101, 10), *range(120, 201, 20))


def probes(last: int) -> tuple[int, ...]:
    """Densely at first, then less so."""
    return tuple(int(1000 * p) for p in THOUSANDS if 1000 * p <= last)


# ---- Fig. 3d
BACKPROP_4 = Experiment(
    name="deep-backprop-4",
    task="teacher",
    teacher=(30, 20, 10, 10),
    target=0.5,
    sizes=FOUR,
    rule="backprop",
    rate=0.02,
    examples=LAST,
    seeds=tuple(range(20)),
    weights=0.1,
    feedback=0.5,
    hidden="tanh",
    output="linear",
    probes=probes(LAST),
    dtype="float64",
)
BACKPROP_3 = BACKPROP_4.but(name="deep-backprop-3", sizes=THREE)
FEEDBACK_ALIGNMENT_4 = BACKPROP_4.but(name="deep-feedback-alignment-4", rule="feedback alignment")
FEEDBACK_ALIGNMENT_3 = BACKPROP_3.but(name="deep-feedback-alignment-3", rule="feedback alignment")
SHALLOW_3 = BACKPROP_3.but(name="deep-shallow-3", rule="shallow")
GATED_4 = FEEDBACK_ALIGNMENT_4.but(name="deep-gated-4", rule="feedback alignment, gated")
FIGURE = (SHALLOW_3, BACKPROP_3, FEEDBACK_ALIGNMENT_3, BACKPROP_4, FEEDBACK_ALIGNMENT_4)

# ---- controls that ought to fail
NO_FEEDBACK = FEEDBACK_ALIGNMENT_4.but(name="deep-no-feedback", feedback=0.0, examples=STOP, probes=probes(STOP))
REDRAWN = FEEDBACK_ALIGNMENT_4.but(name="deep-redrawn", redraw_feedback=True, examples=STOP, probes=probes(STOP))
# The deeper hidden layer alone gets no signal: its B is 0.
NO_B1 = FEEDBACK_ALIGNMENT_4.but(name="deep-no-b1", feedback=(0.0, 0.5), examples=STOP, probes=probes(STOP))
CONTROLS = (NO_FEEDBACK, REDRAWN, NO_B1)

# ---- what the verdicts depend on: seeds from 100 on. Every point of a map differs from these four in one field.
NETWORKS = {
    f"{short}-{layers}": BACKPROP_4.but(
        name=f"deep-tuning-{short}-{layers}", rule=rule, sizes=sizes, seeds=tuple(range(100, 110)), dtype="float32"
    )
    for short, rule in (("backprop", "backprop"), ("fa", "feedback alignment"))
    for layers, sizes in ((3, THREE), (4, FOUR))
}
RATES = (0.01, 0.02, 0.04)
INITIAL = (0.001, 0.01, 0.1, 0.3)
SMALL = (0.001, 0.002, 0.005)
BETAS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
WIDTHS = (1, 1.5, 2, 3)  # of both hidden layers of the four-layer student, in those of the target


def point(network: str, field: str, value: Any, products: str = "") -> Experiment:
    """The experiment of a map: one of `NETWORKS` with one field at another value, cut to the stopping time except where
    the map is over stopping times too (B in four layers)."""
    base = NETWORKS[network]
    if getattr(base, field) == value:
        return base
    last = LAST if (network, field) == ("fa-4", "feedback") and not isinstance(value, tuple) else STOP
    text = "-".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
    return base.but(
        name=f"deep-{field}-{text}-{network}", **{field: value}, examples=last, probes=probes(last), products=products
    )


def widened(factor: float) -> tuple[int, ...]:
    """The sizes of a four-layer student with hidden layers `factor` times as wide as the target's."""
    return (FOUR[0], *(int(factor * n) for n in FOUR[1:-1]), FOUR[-1])


RATE_MAP = {r: {k: point(k, "rate", r) for k in NETWORKS} for r in RATES}
INITIAL_MAP = {w: {k: point(k, "weights", w) for k in NETWORKS} for w in INITIAL}
# Backprop has no B: its two networks are the same at every scale.
BETA_MAP = {b: {k: point(k, "feedback", b) if k.startswith("fa") else NETWORKS[k] for k in NETWORKS} for b in BETAS}
WIDTH_MAP = {f: {k: point(k, "sizes", widened(f)) for k in ("backprop-4", "fa-4")} for f in WIDTHS}
# One hidden layer alone twice as wide.
ONE_WIDENED = {
    sizes: {k: point(k, "sizes", sizes) for k in ("backprop-4", "fa-4")} for sizes in ((30, 40, 10, 10), (30, 20, 20, 10))
}
# Whether another pair of rate and scale of B would do for feedback alignment: the only map over two fields.
PAIRS = {
    (r, b): BETA_MAP[b]["fa-4"]
    if r == BACKPROP_4.rate
    else RATE_MAP[r]["fa-4"]
    if b == BACKPROP_4.feedback
    else RATE_MAP[r]["fa-4"].but(name=f"deep-rate-{r:g}-feedback-{b:g}-fa-4", feedback=b)
    for r in RATES
    for b in BETAS[1:]
}
# B1 and B2 scaled apart, at the rate of the verdicts: (scale of B1, scale of B2). Compiled, as what was added later is, it
# differs in roundings alone.
APART = {
    (b1, b2): BETA_MAP[b1]["fa-4"] if b1 == b2 else point("fa-4", "feedback", (b1, b2), "compiled")
    for b1 in BETAS[1:]
    for b2 in BETAS[1:]
}
_MAPS = (RATE_MAP, INITIAL_MAP, BETA_MAP, WIDTH_MAP, ONE_WIDENED, {0: PAIRS}, {0: APART})
MAPS = tuple({e.name: e for m in _MAPS for row in m.values() for e in row.values()}.values())

# Small initial weights, on twice the seeds: while backprop comes off its stall the stopping time decides.
SMALL_STARTS = {
    w: {
        k: e.but(
            name=f"deep-small-start-{k}" if w == INITIAL[0] else f"deep-small-start-{w:g}-{k}",
            weights=w,
            seeds=tuple(range(100, 120)),
            examples=STOP,
            probes=tuple(range(0, STOP + 1, 5000)),
            products="" if w == INITIAL[0] else "compiled",
        )
        for k, e in NETWORKS.items()
    }
    for w in SMALL
}

# ---- Supplementary Fig. 6. The rate 0.05 multiplies the mean of a minibatch of 100.
MINIBATCHES = 10_000
S6_BACKPROP_4 = Experiment(
    name="deep-s6-backprop-4",
    task="teacher",
    teacher=(30, 20, 10, 10),
    target=0.5,
    sizes=(30, 40, 20, 10),
    rule="backprop",
    rate=0.05 / 100,
    batch=100,
    examples=100 * MINIBATCHES,
    seeds=tuple(range(5)),
    weights=0.1,
    feedback=0.5,
    hidden="tanh",
    output="linear",
    dtype="float64",
    probes=tuple(100 * n for n in (0, 100, 200, 300, 500, 700, *range(1000, MINIBATCHES + 1, 500))),
)
S6_FEEDBACK_ALIGNMENT_4 = S6_BACKPROP_4.but(name="deep-s6-feedback-alignment-4", rule="feedback alignment")
S6 = {
    (rule, kind): base.but(name=base.name.removesuffix("-4") + suffix, **change)
    for rule, base in (("backprop", S6_BACKPROP_4), ("feedback alignment", S6_FEEDBACK_ALIGNMENT_4))
    for kind, suffix, change in (
        ("3 layers", "-3", {"sizes": (30, 40, 10)}),
        ("4 layers", "-4", {}),
        ("4 layers, W0 frozen", "-frozen", {"schedule": ((0, (0.0, 1.0, 1.0)),)}),
    )
}

# What its verdicts depend on, on other seeds: the scales. Every experiment differs from its like in `S6_TUNING` in one.
S6_TUNING = {
    key: e.but(name=e.name.replace("s6", "s6-tuning"), seeds=tuple(range(100, 105)), dtype="float32")
    for key, e in S6.items()
}


def s6_point(key: tuple[str, str], field: str, value: float) -> Experiment:
    """A controlled network with one scale at another value; backprop has no B and stays as it is."""
    base = S6_TUNING[key]
    if getattr(base, field) == value or (key[0], field) == ("backprop", "feedback"):
        return base
    return base.but(name=base.name.replace("tuning", f"{field}-{value:g}"), **{field: value})


S6_MAP = {
    (field, value): {key: s6_point(key, field, value) for key in S6}
    for field, values in (("feedback", (0.2, 0.5, 1.0)), ("weights", (0.1, 0.3)))
    for value in values
}
S6_MAPS = tuple({e.name: e for row in S6_MAP.values() for e in row.values()}.values())

# ---- a short run made in the notebook, which must lie on the recorded curve
SHORT = FEEDBACK_ALIGNMENT_4.but(name="deep-short", examples=8_000, probes=probes(8_000))

RECORDED = (
    *FIGURE,
    GATED_4,
    *CONTROLS,
    *MAPS,
    *(e for row in SMALL_STARTS.values() for e in row.values()),
    *S6.values(),
    *S6_MAPS,
)
LIVE = (SHORT,)
