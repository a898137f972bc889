#!/usr/bin/env bash
# zenkai 0.0.9 (with torch 2.13.0): what it calls direct feedback alignment, `DFALearner`, does not use the error of the network's
# outputs. A layer's own activity goes through its random matrix and is compared with the targets; the outputs do not come in.
#
# Wanted: a hidden layer learns from B (y - t), y being what the network says, and so not at all where the network is right. Seen:
# with targets that are the network's very outputs the layer's change is not 0; it is the same to the bit whatever layer comes
# after it, and it is exactly the gradient of |h C - t|^2, in which h is the layer's activity and C a fixed random readout. That is
# another algorithm, in which each layer learns by itself to be read out by a random matrix.
#
# What this does: one hidden layer is given its change under three different output layers, for targets that the first of them
# meets exactly, and the change is compared with that gradient and with direct feedback alignment's. It exits with 0 where what is
# seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 zenkai==0.0.9
cat > "$folder/seen.py" <<'PYTHON'
import sys

import torch
from torch.nn.functional import mse_loss
from zenkai.feedback._feedback_alignment import DFALearner, OutT
from zenkai.kaku._io2 import iou
from zenkai.kaku._state import State

torch.manual_seed(0)
x = torch.randn(8, 5)
hidden = DFALearner(
    torch.nn.Linear(5, 20),
    torch.nn.Linear(5, 20),
    out_features=20,
    t_features=3,
    optim_factory=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    activation=torch.nn.Tanh(),
)
output_layers = [torch.randn(20, 3) for _ in range(3)]
weights, bias = hidden.net.weight, hidden.net.bias
targets = (torch.tanh(x @ weights.T + bias) @ output_layers[0]).detach()


def change(output_layer):
    """The largest error of the outputs, and the gradient that the hidden layer is given, for one pass."""
    hidden.net.zero_grad()
    hidden.netB.zero_grad()
    images, state = iou(x.clone().requires_grad_()), State()
    y = hidden.forward_io(images, state).f @ output_layer
    hidden.accumulate(images, None, state, out_t=OutT(iou(targets)))
    return (y - targets).abs().max().item(), weights.grad.clone()


(error, given), *others = map(change, output_layers)
h = torch.tanh(x @ weights.T + bias)
(readout,) = torch.autograd.grad(mse_loss(h @ hidden.B.weight.T, targets), weights)
print(f"largest error of the outputs: {error:.1e}; size of the hidden layer's change: {given.norm().item():.3f}")
print("under other output layers, with errors up to "
      + " and ".join(f"{e:.1f}, the same change: {torch.equal(given, g)}" for e, g in others))
print(f"difference from the gradient of |h C - t|^2, of its size: {((given - readout).norm() / readout.norm()).item():.1e}")
as_said = error < 1e-5 and given.norm() > 0.1 and all(e > 1 and torch.equal(given, g) for e, g in others)
sys.exit(not (as_said and torch.allclose(given, readout, rtol=1e-4, atol=1e-6)))
PYTHON
"$folder/env/bin/python" -W ignore "$folder/seen.py"
