"""Supplementary Note 7: stop consonants of TIMIT, backprop and feedback alignment in a 39-1000-1000-1000-6 network.

The note gives the network, its units and the number of examples, 63,881 and 22,257. All else is as in the runs for
Note 5 in minibatches of 20, `fa_core.experiments.extended_20`.
"""

from fa_core.experiments import extended_20 as extended

EPOCH = 63_880  # in minibatches of 20; the one example that an epoch's order has over is left out
EPOCHS = 30
SIZES = (39, 1000, 1000, 1000, 6)
TIMES = {"examples": EPOCHS * EPOCH, "probes": tuple(n * EPOCH for n in range(EPOCHS + 1))}

BACKPROP = extended.BACKPROP.but(name="timit-backprop", task="timit", sizes=SIZES, **TIMES)
FEEDBACK_ALIGNMENT = extended.FEEDBACK_ALIGNMENT.but(name="timit-feedback-alignment", task="timit", sizes=SIZES, **TIMES)

RECORDED = ()
LIVE = (BACKPROP, FEEDBACK_ALIGNMENT)  # no record is shipped: the data are the reader's
