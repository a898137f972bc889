#!/usr/bin/env bash
# SciPy 1.17.1: `solve_ivp` finds an event that falls on the end of a step once, or twice, or raises ValueError,
# by the method. Where the event is, and that the solution is exact there, is the same for all.
#
# Wanted: each crossing once, as `t_events` is documented to hold "the times at which an event was detected". A run that ends at
# a threshold, or is counted by crossings, meets this where a step ends on it: a network whose steps are held to a tenth of the
# time at which it is looked at, say.
#
# Seen: y' = 1 from y = 0, steps of 1/2, event y = 1. RK45 and DOP853 find it once; RK23, BDF and LSODA twice, both at t = 1, so
# that an event with `terminal = 2` ends there; Radau raises "f(a) and f(b) must have different signs", which names neither the
# event nor the time.
#
# What this does: that, by each method. It exits with 0 where what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import scipy
from scipy.integrate import solve_ivp


def found(method):
    try:
        solution = solve_ivp(
            lambda t, y: [1.0], (0, 3), [0.0], method=method, first_step=0.5, max_step=0.5, events=lambda t, y: y[0] - 1
        )
    except ValueError as error:
        return str(error)
    return [round(float(t), 9) for t in solution.t_events[0]]


seen = {method: found(method) for method in ("RK45", "DOP853", "RK23", "BDF", "LSODA", "Radau")}
print(f"SciPy {scipy.__version__}: times of one crossing, on the end of a step: {seen}")
once, twice = dict.fromkeys(("RK45", "DOP853"), [1.0]), dict.fromkeys(("RK23", "BDF", "LSODA"), [1.0, 1.0])
sys.exit(seen != once | twice | {"Radau": "f(a) and f(b) must have different signs"})
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
