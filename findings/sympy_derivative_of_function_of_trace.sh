#!/usr/bin/env bash
# SymPy 1.14.0: the derivative by a matrix of a function of its trace, or of its determinant, is 0 without a word, though the
# derivative of the trace itself, and of its powers, is right.
#
# Wanted: d sin(tr X) / dX = cos(tr X) I, and for log det X either the inverse of X' or a derivative that is left as it is.
# Seen: 0 for sin(tr X), exp(tr X) and log det X; (2 tr X) I for (tr X)^2; for det X a derivative that is left as it is. With
# the entries of X written out, the same functions have derivatives that are not 0.
#
# What this does: each of these derivatives, and that of sin(tr X) once more with X's entries as symbols. It exits with 0 where
# what is seen is as said above, and with 1 where it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check sympy==1.14.0
cat > "$folder/seen.py" <<'PYTHON'
import sys

import sympy
from sympy import Derivative, Determinant, Matrix, MatrixSymbol, Trace, cos, diff, exp, log, sin, symbols

X = MatrixSymbol("X", 2, 2)
functions = {"sin(tr X)": sin(Trace(X)), "exp(tr X)": exp(Trace(X)), "log det X": log(Determinant(X))}
seen = {name: diff(f, X) for name, f in functions.items()}
square, determinant = diff(Trace(X) ** 2, X), diff(Determinant(X), X)
a, b, c, d = symbols("a:d")
entries = sin(Matrix([[a, b], [c, d]]).trace()).diff(Matrix([[a, b], [c, d]]))
print(f"SymPy {sympy.__version__}: {seen}; (tr X)^2: {square}; det X: {determinant}; sin(tr X) by its entries: {entries}")
as_said = all(str(derivative) == "0" for derivative in seen.values()) and str(square) == "(2*Trace(X))*I"
as_said &= isinstance(determinant, Derivative) and entries == Matrix([[cos(a + d), 0], [0, cos(a + d)]])
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
