#!/usr/bin/env bash
# NumPy 2.4.6: a sequence of seeds that ends in 0 is the sequence without it. `default_rng([7, 0])` draws what `default_rng(7)`
# draws, and `default_rng([7, 3, 0])` what `default_rng([7, 3])` does. A program that numbers its draws from 0, with the seed alone
# for the data and `[seed, layer]` for the weights, draws its data and the weights of layer 0 from the same numbers.
#
# Wanted: another sequence, another stream, as `SeedSequence(7).spawn(1)` gives it; nothing that documents `default_rng` or
# `SeedSequence` in the package says otherwise. Seen: zeros at the end count for nothing until the sequence is longer than the
# pool of four words; a zero at the beginning or in the middle counts.
#
# What this does: draws of generators with such seeds are compared. It exits with 0 where what is seen is as said above, and with
# 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check numpy==2.4.6
cat > "$folder/seen.py" <<'PYTHON'
import sys

import numpy as np


def same(a, b):
    return bool(np.array_equal(np.random.default_rng(a).standard_normal(1000), np.random.default_rng(b).standard_normal(1000)))


PAIRS = {
    (7, (7, 0)): True,
    ((7, 3), (7, 3, 0)): True,
    (7, (7, 0, 0, 0)): True,
    (7, (7, 0, 0, 0, 0)): False,
    (7, (0, 7)): False,
    ((7, 3), (7, 0, 3)): False,
}
seen = {pair: same(*pair) for pair in PAIRS}
spawned = same(7, np.random.SeedSequence(7).spawn(1)[0])
print(f"NumPy {np.__version__}: the same draws from", ", ".join(f"{a} and {b}: {so}" for (a, b), so in seen.items()), end="; ")
print(f"7 and its first spawned: {spawned}")
sys.exit(seen != PAIRS or spawned)
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
