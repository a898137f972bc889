#!/usr/bin/env bash
# numba 0.68.1 (with NumPy 2.4.6): in compiled code sums of float32 are added up one by one in float32, and a mean, a variance or a
# standard deviation is made of such a sum. Of numbers that are all 0.1 it goes up by 0.125 in the end, and from the eighteenth
# million on it stands still; the mean of twenty million is 0.105, five per cent off. Nothing warns.
#
# Wanted: 0.1 with a deviation of 0, as NumPy has it within a millionth (it adds in pairs), or a mean taken in float64.
# Seen: sum 2,097,152 = 2^21 for 2,000,000, mean 0.104858, standard deviation 0.00486.
#
# What this does: the same numbers to the compiled functions and to NumPy's, and to the compiled mean in float64. It exits with 0
# where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import numba
import numpy as np

functions = {"sum": np.sum, "mean": np.mean, "std": np.std}
compiled = {
    "sum": numba.njit(lambda a: np.sum(a)),
    "mean": numba.njit(lambda a: np.mean(a)),
    "std": numba.njit(lambda a: np.std(a)),
}
numbers = np.full(20_000_000, 0.1, np.float32)
seen = {name: (float(compiled[name](numbers)), float(f(numbers))) for name, f in functions.items()}
double = float(compiled["mean"](numbers.astype(np.float64)))
print(f"numba {numba.__version__}, NumPy {np.__version__}: compiled and NumPy's: {seen}; the compiled mean in float64: {double}")
as_said = seen["sum"][0] == 2.0**21 and abs(seen["mean"][0] - 0.104858) < 1e-6 and 0.0048 < seen["std"][0] < 0.0049
sys.exit(not (as_said and abs(seen["mean"][1] - 0.1) < 1e-6 and seen["std"][1] < 1e-6 and abs(double - 0.1) < 1e-6))
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
