"""Units, by name: each its function, and its derivative written in terms of the unit's own output.

Arguments are torch tensors, though nothing here imports torch before it is called. 1.0 for a derivative is the number: a
linear layer multiplies nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LEAK = 1 / 20  # Supplementary Note 5, eq. (1)


def logistic(a: Tensor) -> Tensor:
    """1 / (1 + exp(-a)), in place: `a` is overwritten. torch.sigmoid gives another last bit at another place in memory."""
    return a.neg_().exp_().add_(1).reciprocal_()


def leaky(a: Tensor) -> Tensor:
    """a where it is positive, and LEAK a elsewhere."""
    from torch.nn.functional import leaky_relu

    return leaky_relu(a, LEAK)


Unit = tuple[Callable[["Tensor"], "Tensor"], Callable[["Tensor"], "Tensor | float"]]  # function, and derivative
UNITS: dict[str, Unit] = {
    "logistic": (logistic, lambda h: h.addcmul(h, h, value=-1)),
    "tanh": (lambda a: a.tanh(), lambda h: 1 - h * h),
    "linear": (lambda a: a, lambda h: 1.0),
    "leaky": (leaky, lambda h: (h > 0).to(h.dtype) * (1 - LEAK) + LEAK),
    "relu": (lambda a: a.relu(), lambda h: (h > 0).to(h.dtype)),
    # The weighting h (1 - h) in the rough (Methods, "Nonlinear networks"): one value in the middle, nothing elsewhere.
    "logistic, rough": (logistic, lambda h: ((h > 0.1) & (h < 0.9)).to(h.dtype) / 5),
}
