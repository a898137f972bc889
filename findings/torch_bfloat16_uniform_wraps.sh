#!/usr/bin/env bash
# torch 2.13.0, on the CPU: of uniform numbers in bfloat16 those that round up to the upper end come as the lower end. So one of
# about 500 from [0, 1) is exactly 0, with -inf for a logarithm, and weights from U[-a, a] are -a too often: their mean is too low
# by 0.2 % of a for a = 1, and by 0.7 % for a = 0.0316, as the steps of bfloat16 are wide below the one and the other.
#
# Wanted: what rounds up to the end is left out, or comes as the number below it; means of 0.5 and of 0 within the scatter.
# Seen: of four million from one seed, drawn in float32 and in bfloat16, those that differ after rounding are 1 where they were
# drawn in float32 and 0 in bfloat16, or a and -a; all others are the same. Share of zeros 0.0020, mean 0.4981 (scatter 0.00014);
# means of U[-a, a] -0.0018 a and -0.0070 a (scatter 0.0003 a), and in float32 within the scatter.
#
# What this does: draws four million of each, and compares. It exits with 0 where what is seen is as said above, and with 1 where
# it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import torch


def drawn(dtype, low, high):
    return torch.empty(4_000_000, dtype=dtype).uniform_(low, high, generator=torch.Generator().manual_seed(0))


as_said = True
for low, high, lowest, highest in ((0, 1, -0.0025, -0.0015), (-1, 1, -0.003, -0.001), (-0.0316, 0.0316, -0.008, -0.006)):
    rough, fine = drawn(torch.bfloat16, low, high), drawn(torch.float32, low, high)
    differ = rough != fine.bfloat16()
    pairs = fine.bfloat16()[differ].unique().tolist(), rough[differ].unique().tolist()
    ends = [torch.tensor(end).bfloat16().item() for end in (high, low)]
    means = [((numbers.double().mean() - (low + high) / 2) / high).item() for numbers in (rough, fine)]
    print(
        f"torch {torch.__version__}, [{low}, {high}): share that differs {differ.double().mean():.5f}, in float32 {pairs[0]}, "
        f"in bfloat16 {pairs[1]}; mean off by {means[0]:.5f} of the upper end in bfloat16, {means[1]:.5f} in float32"
    )
    as_said &= pairs == ([ends[0]], [ends[1]]) and lowest < means[0] < highest and abs(means[1]) < 0.001
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
