#!/usr/bin/env bash
# zenkai 0.0.9 (with torch 2.13.0): with the loss that `FALearner` takes where none is given, the teaching signal of feedback
# alignment is divided once more at every layer on its way down, by the batch times the layer's width, over 2.
#
# Wanted: one mean over the batch, at the outputs, and from there the error times B. Seen: each layer is given a target, its
# activity less the signal, and takes the mean squared difference from it again. In a network 5-100-100-100-3 at 50 examples, in
# float64, the hidden layers' changes have the direction of feedback alignment's and are 2500, 2500^2 and 2500^3 times too small,
# the topmost first: no one rate can serve them all, and in float32 the lowest layer's signal is rounded away. With
# NNLoss("MSELoss", "sum", 0.5) for the hidden layers the changes are those of feedback alignment. `GradLearner`, of which
# `FALearner` is made, has that for its default.
#
# What this does: a network is given its gradients with either loss, and they are compared with those of feedback alignment,
# written out. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 zenkai==0.0.9
cat > "$folder/seen.py" <<'PYTHON'
import sys

import torch
from zenkai.feedback._feedback_alignment import FALearner
from zenkai.kaku import NNLoss
from zenkai.kaku._io2 import iou
from zenkai.kaku._state import State

torch.set_default_dtype(torch.float64)
SIZES, BATCH = (5, 100, 100, 100, 3), 50


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def compared(hidden_loss):
    """For each layer, the outputs first: the cosine of its gradient with that of feedback alignment, and how many times it is
    smaller."""
    torch.manual_seed(0)
    x, t = torch.randn(BATCH, SIZES[0]), torch.randn(BATCH, SIZES[-1])
    layers = []
    for i, (fan_in, fan_out) in enumerate(zip(SIZES, SIZES[1:])):
        last = i == len(SIZES) - 2
        options = {} if last or hidden_loss is None else {"learn_criterion": hidden_loss}
        nets = [torch.nn.Linear(fan_in, fan_out) for _ in range(2)]
        layers.append(FALearner(*nets, None if last else torch.nn.Tanh(), sgd, **options))
    ios, states = [iou(x.clone().requires_grad_())], [State() for _ in layers]
    for layer, state in zip(layers, states):
        ios.append(layer.forward_io(ios[-1], state))
    target = iou(t)
    for layer, state, io in reversed(list(zip(layers, states, ios))):
        layer.accumulate(io, target, state)
        target = layer.step_x(io, target, state)

    h = [x]
    for layer in layers:
        h.append(layer.activation(h[-1] @ layer.net.weight.T + layer.net.bias).detach())
    signal, seen = 2 * (h[-1] - t) / t.numel(), []
    for i in reversed(range(len(layers))):
        wanted, given = signal.T @ h[i], layers[i].net.weight.grad
        cosine = (given * wanted).sum() / (given.norm() * wanted.norm())
        seen.append((cosine.item(), (wanted.norm() / given.norm()).item()))
        if i:
            signal = signal @ layers[i].netB.weight.detach() * (1 - h[i] ** 2)
    return seen


as_said = True
half = BATCH * 100 / 2
for name, loss, smaller in (
    ("default", None, (1, half, half**2, half**3)),
    ("sum / 2", NNLoss("MSELoss", "sum", 0.5), (1, 1, 1, 1)),
):
    seen = compared(loss)
    print(f"{name}, outputs first: " + "; ".join(f"cosine {c:.6f}, {r:.6g} times too small" for c, r in seen))
    as_said &= all(c > 0.99999 and abs(r / s - 1) < 1e-3 for (c, r), s in zip(seen, smaller))
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" -W ignore "$folder/seen.py"
