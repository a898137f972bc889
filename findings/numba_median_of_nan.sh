#!/usr/bin/env bash
# numba 0.68.1 (with NumPy 2.4.6): in compiled code the median of numbers with a NaN among them depends on their order. Of 1, 2,
# 3, 4 and NaN, say the errors of five runs of which one ran off, it is 2, 3, 4 or NaN. Nothing warns.
#
# Wanted: NaN, as NumPy's `median` has it, and as numba's own `mean`, `max`, `ptp`, `percentile` and `quantile` have it of the same
# numbers. Seen: each of the four, over the 120 orders.
#
# What this does: every order is given to the compiled median and to NumPy's, one to the other five. It exits with 0 where what
# is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys
from collections import Counter
from itertools import permutations

import numba
import numpy as np

median = numba.njit(lambda a: np.median(a))
others = numba.njit(lambda a: (np.mean(a), np.max(a), np.ptp(a), np.percentile(a, 50.0), np.quantile(a, 0.5)))

orders = [np.array(order) for order in permutations([1.0, 2.0, 3.0, 4.0, np.nan])]
compiled = Counter(f"{median(order):g}" for order in orders)
plain = Counter(f"{np.median(order):g}" for order in orders)
rest = others(orders[0])
print(f"numba {numba.__version__}, NumPy {np.__version__}: median, and of how many of the {len(orders)} orders: compiled "
      f"{dict(compiled)}, NumPy's {dict(plain)}; the others, compiled: {rest}")
sys.exit(not (set(compiled) == {"2", "3", "4", "nan"} and set(plain) == {"nan"} and np.isnan(rest).all()))
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
