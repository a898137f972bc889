"""Learning rules: how an error at the outputs becomes a teaching signal for every layer.

A rule is a function `rule(e, slopes, W, B) -> deltas` of

* `e`: error `y* - y`, `(runs, batch, n_out)`;
* `slopes`: `f_l'` of every layer from the first hidden one to the outputs, each `(runs, batch, n_l)`;
* `W`: the forward weights *above* each hidden layer, `W[l]` from layer `l` to `l + 1`, `(runs, n_l, n_{l+1})`;
* `B`: the feedback weights beside them, `B[l]` `(runs, n_{l+1}, n_l)`,

and returns one teaching signal for each layer, the outputs last. The layer's update is then, for every rule alike,

    dW = (delta o f')' h_below        (the three-factor rule of the paper's Methods)

so a rule says what *arrives* at a layer, and never what the layer makes of it. `None` means: no signal, no learning.

The functions use `@`, `*` and `.mT` alone, and one of them the pseudoinverse, so they work on NumPy arrays, on torch tensors
and on what stands for a tensor in `fa_core.products`.
"""

from collections.abc import Callable

import numpy as np


def backprop(e, slopes, W, B=None):
    """delta_out = e;  delta_l = W_l' (delta_{l+1} o f_{l+1}').  Derivatives travel down the chain."""
    deltas = [e]
    for w, slope in zip(reversed(W), reversed(slopes), strict=False):
        deltas.insert(0, (deltas[0] * slope) @ w.mT)
    return deltas


def feedback_alignment(e, slopes, W, B):
    """delta_out = e;  delta_l = B_l delta_{l+1}.  No derivative is passed on (Methods, Figs. 3-5)."""
    deltas = [e]
    for b in reversed(B):
        deltas.insert(0, deltas[0] @ b)
    return deltas


def feedback_alignment_output_gated(e, slopes, W, B):
    """As feedback alignment, but the outputs send `e o y'`; the chain below is not gated."""
    return [*feedback_alignment(e * slopes[-1], slopes, W, B)[:-1], e]


def feedback_alignment_gated(e, slopes, W, B):
    """delta_l = B_l (delta_{l+1} o f_{l+1}'): backprop with W' replaced by B, as most public code has it."""
    return backprop(e, slopes, [b.mT for b in B])


def shallow(e, slopes, W, B=None):
    """Only the output weights learn."""
    return [None] * len(W) + [e]


def pseudobackprop(e, slopes, W, B=None):
    """delta_l = W_l^+ (delta_{l+1} o f_{l+1}'): backprop with the pseudoinverse for the transpose (Note 15)."""
    return backprop(e, slopes, [pseudoinverse(w).mT for w in W])


def pseudoinverse(w):
    """Moore-Penrose inverse of the last two axes, for a NumPy array, a torch tensor or what stands for one.

    Singular values below `max(m, n) eps` times the largest, eps of w's own precision, count as 0: in float32 those of a
    product of low rank are 1e-7 of it, not 0. Of a matrix that is not finite, as of a run that diverged, it is NaN, and
    those beside it are whole.
    """
    if isinstance(w, np.ndarray):
        there = np.isfinite(w).all((-2, -1))[..., None, None]
        inverse = np.linalg.pinv(np.where(there, w, 0), rtol=None)
        return np.where(there, inverse, np.nan).astype(inverse.dtype)
    if hasattr(w, "pseudoinverse"):
        return w.pseudoinverse()
    import torch

    there = w.isfinite().all(-1).all(-1)[..., None, None]
    return torch.linalg.pinv(w.where(there, 0.0)).where(there, torch.nan)


RULES: dict[str, Callable] = {
    "backprop": backprop,
    "feedback alignment": feedback_alignment,
    "feedback alignment, outputs gated": feedback_alignment_output_gated,
    "feedback alignment, gated": feedback_alignment_gated,
    "shallow": shallow,
    "pseudobackprop": pseudobackprop,
}


def rule(name: str) -> Callable:
    """The rule of that name. Raises ValueError that lists the names there are."""
    try:
        return RULES[name]
    except KeyError:
        raise ValueError(f"unknown rule {name!r}; there are: {', '.join(RULES)}") from None
