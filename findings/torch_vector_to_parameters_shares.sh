#!/usr/bin/env bash
# torch 2.13.0: `torch.nn.utils.vector_to_parameters` is documented to copy slices of a vector into the parameters. It copies
# nothing: the parameters become views of the vector. An optimiser's step then changes the vector, and where two networks are
# started from one vector, to compare two rules from equal weights, training the one trains the other.
#
# Wanted: after it, the vector and each network have numbers of their own, as after `Module.load_state_dict`. Seen: after one step
# of the first network the vector has changed as its weights have, and so have the weights of the second, which nobody trained;
# a third that was given the same weights by `load_state_dict` has kept them. A restart from the vector restarts from where the
# training ended.
#
# What this does: three networks get one vector of weights, two of them by `vector_to_parameters`; one step of gradient descent
# is made with the first. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0
cat > "$folder/seen.py" <<'PYTHON'
import sys

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters


def network():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


torch.manual_seed(0)
drawn, trained, beside, loaded = network(), network(), network(), network()
start = parameters_to_vector(drawn.parameters()).detach()
before = start.clone()
vector_to_parameters(start, trained.parameters())
vector_to_parameters(start, beside.parameters())
loaded.load_state_dict(drawn.state_dict())

trained(torch.ones(5, 3)).square().sum().backward()
torch.optim.SGD(trained.parameters(), lr=0.1).step()

after = {name: parameters_to_vector(net.parameters()).detach()
         for name, net in {"trained": trained, "beside": beside, "loaded": loaded}.items()} | {"vector": start}
moved = {name: not torch.equal(weights, before) for name, weights in after.items()}
print(f"torch {torch.__version__}: one step with the first network; has changed: {moved}")
same = torch.equal(after["vector"], after["trained"]) and torch.equal(after["beside"], after["trained"])
sys.exit(not (same and moved == {"trained": True, "beside": True, "loaded": False, "vector": True}))
PYTHON
# without NumPy, which is not used here, torch warns that it is not there
"$folder/env/bin/python" -W ignore "$folder/seen.py"
