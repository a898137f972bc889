#!/usr/bin/env bash
# BioTorch 0.0.16 (with torch 2.13.0): under its option `constrain_weights`, which is to hold the size of each layer's weights
# while a network learns, the weights do not learn at all. Only the biases do; nothing warns.
#
# Wanted: the weights turn towards a solution at constant norm. Seen: after 300 steps of gradient descent every weight matrix has
# the direction that it was drawn with, in the modes fa, dfa and usf, and the loss has fallen by about a tenth at most; without
# the option it falls by more than a third. Each forward pass puts a new parameter in the place of the weights, and the optimiser
# goes on with the old one, which no gradient reaches.
#
# What this does: one network is converted and trained in each mode, with and without the option. It exits with 0 where what is
# seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0
# What it asks for besides is for its data sets, pictures and notebooks, and is not used here.
"$folder/env/bin/pip" install -q --disable-pip-version-check --no-deps biotorch==0.0.16
cat > "$folder/seen.py" <<'PYTHON'
import contextlib
import io
import sys

import torch
from biotorch.module.biomodule import BioModule
from torch.nn.functional import cosine_similarity, mse_loss


def trained(mode, constrain):
    """The share of the loss that is left, and for each layer the cosine of its weights with those that it began with."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.Tanh(), torch.nn.Linear(20, 3))
    x, y = torch.randn(64, 10), torch.randn(64, 3)
    options = {"constrain_weights": constrain, "gradient_clip": False, "init": "xavier"}
    with contextlib.redirect_stdout(io.StringIO()):
        model = BioModule(network, mode=mode, output_dim=3, layer_config={"type": mode, "options": options})
    layers = [model.module[0], model.module[2]]
    drawn = [layer.weight.detach().clone() for layer in layers]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(300):
        optimiser.zero_grad()
        loss = mse_loss(model(x, y, mse_loss), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    cosines = [cosine_similarity(a.flatten(), layer.weight.detach().flatten(), dim=0).item()
               for a, layer in zip(drawn, layers, strict=True)]
    return losses[-1] / losses[0], cosines


as_said = True
for mode in ("fa", "dfa", "usf"):
    for constrain in (False, True):
        left, cosines = trained(mode, constrain)
        print(f"{mode}, constrain_weights={constrain}: {left:.2f} of the loss is left; cosine of each layer's weights with "
              f"those drawn: {', '.join(f'{cosine:.4f}' for cosine in cosines)}")
        if constrain:
            as_said &= left > 0.85 and min(cosines) > 1 - 1e-5
        else:
            as_said &= left < 2 / 3 and max(cosines) < 0.99
sys.exit(not as_said)
PYTHON
# Of other things torch warns: that NumPy is not there, and of hooks of BioTorch's.
"$folder/env/bin/python" -W ignore "$folder/seen.py"
