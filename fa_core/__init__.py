"""Feedback alignment: the module behind the executable companion to Lillicrap et al. (2016).

Importing the package takes no torch with it: `rules`, `measures`, `linear` and `claims` need NumPy and SciPy only (to learn,
`linear` takes numba too, unless it is asked for its plain text);
`network`, `training` and `records` need torch and say so when imported.

The conventions that every room keeps - stated here once, printed with every experiment:

Learning rate
    `rate` multiplies the update of one example, and the updates of a minibatch are summed. A rate that multiplies the
    minibatch's *mean* is `rate * batch`; where the paper's number means that, both are shown.
Teaching signals
    `delta_l` is what arrives at layer `l`; the layer multiplies its own derivative in at its own update,
    `dW_l = (delta_l o f_l') h_{l-1}'`. Feedback alignment sends `e` from the outputs, without their derivative, and
    no derivative travels down the chain. Backprop sends `e o y'`, and its derivatives do travel.
Angles
    Signed: 0 to 180 degrees. The angle of two teaching signals is taken for each example and then averaged over at
    least 500 of them; matrices are flattened first.
Layout
    Torch and NumPy ensembles carry a leading axis of independent runs. The engine stores row-wise, activity
    `(runs, batch, units)`, `W[l]` as `(runs, fan_in, fan_out)` and `B[l]` as `(runs, fan_out, fan_in)`, the transposes
    of the paper's column-wise W and B; `linear` keeps the paper's columns.
"""

from fa_core import threads

threads.hold()

__version__ = "0.1.0"

CONVENTIONS = {
    "learning rate": "multiplies the update of one example; the updates of a minibatch are summed",
    "from the outputs": "feedback alignment sends e; backprop sends e o y'",
    "angles": "signed, per example, then averaged over at least 500 examples",
}
