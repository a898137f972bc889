#!/usr/bin/env bash
# SciPy 1.17.1: `solve_ivp(method="LSODA")` reports success for a solution that has left the range of float64: status 0, "The
# solver successfully reached the end of the integration interval", and NaN for every time after the overflow. Nothing warns.
#
# Wanted: a failure, as from the other methods: RK45 and DOP853 end with status -1 where the solution leaves the range, and give
# the times before; BDF and Radau raise ValueError. A network that diverges is such a solution; whoever looks at `success`
# takes it for one that was integrated to the end.
#
# Seen: y' = 1 + y from 0 to t = 2000; y passes 1.8e308 near t = 710. LSODA: success, with NaN at 800, 1000 and 2000.
#
# What this does: that equation by each method. It exits with 0 where what is seen is as said above, and with 1 where it has
# changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys
import warnings

import numpy as np
import scipy
from scipy.integrate import solve_ivp


def outcome(method):
    with np.errstate(all="ignore"):
        try:
            solution = solve_ivp(lambda t, y: 1 + y, (0, 2000), [0.0], method=method, t_eval=[1, 500, 800, 1000, 2000])
        except ValueError:
            return "ValueError"
    return solution.status, len(solution.t), int(np.isnan(solution.y).sum())


with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    lsoda = outcome("LSODA")
warnings.simplefilter("ignore")
others = {method: outcome(method) for method in ("RK45", "DOP853", "BDF", "Radau")}
print(f"SciPy {scipy.__version__}: status, of five wanted times how many there are, and how many values are NaN: LSODA {lsoda}, "
      f"with {len(told)} warnings; {others}")
wanted = {"RK45": (-1, 2, 0), "DOP853": (-1, 2, 0), "BDF": "ValueError", "Radau": "ValueError"}
sys.exit(not (lsoda == (0, 5, 3) and not told and others == wanted))
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
