#!/usr/bin/env bash
# SymPy 1.14.0: the derivative by a matrix of a sum of traces, of a function of its trace, or of one of its determinant, is 0
# without a word, though that of one trace, of its powers and of products of traces is right. Of a determinant times a trace it
# is as if the determinant did not depend on the matrix.
#
# Wanted: d (tr X + tr X^2) / dX = I + 2 X', d sin(tr X) / dX = cos(tr X) I, and for log det X or det X tr X either what the
# inverse of X' gives or a derivative that is left as it is.
# Seen: 0 for the sum, for 1 + tr X, sin(tr X), exp(tr X) and log det X; det(X) I for det X tr X; (2 tr X) I for (tr X)^2; for
# det X a derivative that is left as it is. With the entries of X written out, the same functions have derivatives that are not 0.
#
# What this does: each of these derivatives, and those of the sum and of sin(tr X) once more with X's entries as symbols. It exits
# with 0 where what is seen is as said above, and with 1 where it has changed.
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
functions = {
    "tr X + tr X^2": Trace(X) + Trace(X * X),
    "1 + tr X": 1 + Trace(X),
    "sin(tr X)": sin(Trace(X)),
    "exp(tr X)": exp(Trace(X)),
    "log det X": log(Determinant(X)),
}
seen = {name: diff(f, X) for name, f in functions.items()}
others = {"(tr X)^2": Trace(X) ** 2, "tr X tr X^2": Trace(X) * Trace(X * X), "det X tr X": Determinant(X) * Trace(X)}
right = {name: str(diff(f, X)) for name, f in others.items()}
determinant = diff(Determinant(X), X)
a, b, c, d = symbols("a:d")
entries = Matrix([[a, b], [c, d]])
by_entries = [f.diff(entries) for f in (entries.trace() + (entries**2).trace(), sin(entries.trace()))]
print(f"SymPy {sympy.__version__}: {seen}; {right}; det X: {determinant}; the sum and the sine by entries: {by_entries}")
as_said = all(str(derivative) == "0" for derivative in seen.values()) and isinstance(determinant, Derivative)
as_said &= right["(tr X)^2"] == "(2*Trace(X))*I" and right["det X tr X"] == "Determinant(X)*I" and right["tr X tr X^2"] != "0"
as_said &= by_entries == [Matrix([[1 + 2 * a, 2 * c], [2 * b, 1 + 2 * d]]), Matrix([[cos(a + d), 0], [0, cos(a + d)]])]
sys.exit(not as_said)
PYTHON
"$folder/env/bin/python" "$folder/seen.py"
