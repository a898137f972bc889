"""Supplementary Note 6: house numbers (SVHN), by feedback alignment alone, as in the note.

The note gives the networks, grey-scale images and all 604,388 training images; rates and targets are those of Note 5, and
what it leaves out is as in `fa_core.experiments.extended_20`.
"""

from fa_core.experiments import extended_20 as extended

EPOCH = 604_380  # in minibatches of 20; the 8 examples that each epoch's order has over are left out
EPOCHS = 30
FIELDS = (8, 10, 32)  # 8 maps of 10 x 10 fields, 23 x 23 places each

TANH = extended.FEEDBACK_ALIGNMENT.but(
    name="svhn-tanh",
    task="svhn",
    sizes=(1024, 3000, 3000, 3000, 3000, 10),
    feedback=(0.05, 0.05, 0.05, 0.5),
    examples=EPOCHS * EPOCH,
    probes=tuple(n * EPOCH for n in range(EPOCHS + 1)),
    seeds=(0,),
    snapshots=(),
)
LOCAL = TANH.but(
    name="svhn-local", sizes=(1024, 8 * 23**2, 3000, 3000, 3000, 10), fields=FIELDS, weights=(0.1, 0.02, 0.02, 0.02, 0.02)
)
# As MNIST's leaky units at constant rates, which with larger B, and all layers learning from the start, did not stay in
# bounds; with twice the units above, half the rate. A guess: there were no images to try it on.
LEAKY = LOCAL.but(
    name="svhn-leaky",
    hidden="leaky",
    rate=extended.LONG_TRIALS["leaky"][0].rate / 2,
    weights=(0.1, 0.03, 0.03, 0.03, 0.03),
    feedback=(0.03, 0.03, 0.03, 0.1),
    schedule=extended.outputs_first(5),
)

RECORDED = ()
LIVE = (TANH, LOCAL, LEAKY)  # no record is shipped: the data are the reader's
