#!/usr/bin/env bash
# torch 2.13.0, on the CPU: uniform numbers drawn in bfloat16 are made of eight random bits, cut off and not rounded. One of about
# 500 from [0, 1) is exactly 0, and its logarithm -inf, and the mean is 1/512 too low. Weights from U[-a, a] are too low as well,
# by an amount that hangs on a: by 0.2 % of it at 1, by 0.7 % at 0.0316.
#
# Wanted: means of 0.5 and of 0 within the scatter, and hardly a 0, as with the same numbers drawn in float32 and rounded.
# Seen: of four million, share of zeros 0.0020, mean 0.4981 (scatter 0.00014); means of U[-a, a] -0.0018 a and -0.0070 a
# (scatter 0.0003 a). Drawn in float32 and rounded: no zero, all means within the scatter.
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
    numbers = torch.empty(4_000_000, dtype=dtype).uniform_(low, high, generator=torch.Generator().manual_seed(0))
    return numbers.bfloat16().double()


seen = {}
for name, dtype in {"bfloat16": torch.bfloat16, "float32, rounded": torch.float32}.items():
    unit, means = drawn(dtype, 0, 1), [drawn(dtype, -a, a).mean() / a for a in (1, 0.0316)]
    seen[name] = [round(v.item(), 5) for v in ((unit == 0).double().mean(), unit.mean() - 0.5, *means)]
print(f"torch {torch.__version__}: zeros and mean less 0.5 of [0, 1), means of [-a, a) over a, for 1 and 0.0316: {seen}")
zeros, unit, one, small = seen["bfloat16"]
as_said = 0.0018 < zeros < 0.0022 and -0.0025 < unit < -0.0015 and -0.003 < one < -0.001 and -0.008 < small < -0.006
zeros, unit, one, small = seen["float32, rounded"]
sys.exit(not (as_said and zeros < 1e-5 and abs(unit) < 0.0005 and abs(one) < 0.001 and abs(small) < 0.001))
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
