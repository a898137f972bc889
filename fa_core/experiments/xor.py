"""Supplementary Note 4: XOR in a 2-2-1 and a 2-25-1 network of logistic units.

The paper gives the learning rate 0.5, and for the 2-2-1 network the initial W and B. It leaves out how W0 and the
biases are drawn and how long learning goes on; here W0 ~ N(0, 1), biases 0 at first, 5,000 epochs of the four
patterns, online, in a new random order each epoch.
"""

from fa_core.experiments import Experiment

EPOCHS = 5_000
SMALL = Experiment(
    name="xor-small-feedback-alignment",
    task="xor",
    sizes=(2, 2, 1),
    rule="feedback alignment",
    rate=0.5,
    examples=4 * EPOCHS,
    seeds=tuple(range(200)),
    weights=1.0,
    biases=0.0,
    feedback=1.0,
    distribution="normal",
    given=(("W1", (0.15, -0.13)), ("B1", (-3.75, -4.53))),
    probes=tuple(range(0, 4 * EPOCHS + 1, 40)),
    snapshots=("W1", "B1"),
    traced=("W1",),
    dtype="float64",
    products="compiled",
)
SMALL_BACKPROP = SMALL.but(name="xor-small-backprop", rule="backprop")
# W and B have the sizes of the values printed for the small network.
LARGE = SMALL.but(name="xor-large-feedback-alignment", sizes=(2, 25, 1), given=(), weights=(1.0, 0.15), feedback=4.0)
LARGE_BACKPROP = LARGE.but(name="xor-large-backprop", rule="backprop")

# Success of the small network is a matter of its W0: 1,200 more of them, beside the 200 of the verdicts.
MORE = {
    "seeds": tuple(range(2000, 3200)),
    "probes": (0, 4 * EPOCHS),
    "snapshots": (),
    "traced": (),
    "products": "",  # the records were made before there were compiled steps
}
SMALL_MORE = SMALL.but(name="xor-more-feedback-alignment", **MORE)
SMALL_BACKPROP_MORE = SMALL_BACKPROP.but(name="xor-more-backprop", **MORE)

RECORDED = (SMALL_MORE, SMALL_BACKPROP_MORE)
LIVE = (SMALL, SMALL_BACKPROP, LARGE, LARGE_BACKPROP)
