"""Inputs on common axes: where S commutes with Q'Q, Q = BT, each mode of the flow from zero learns at its rate times sigma.

S V = V sigma, for right singular vectors V of Q; `flow.closed_form` takes such an S.
"""

from sympy import MatrixSymbol, Transpose

from fa_core.proofs.convergence import FROM_ZERO, MODE_LAW, MODE_RULES, RIGHT, A, B, S, T, W, equal, rate

SIGMA = MatrixSymbol("sigma", *next(iter(MODE_LAW)).shape)
LAW = {mode: SIGMA * speed for mode, speed in MODE_LAW.items()}


def algebra() -> dict[str, bool]:
    """What the theorem takes from algebra, by name, and whether SymPy confirms it for matrices of symbolic size."""
    rules = MODE_RULES | {
        (S, RIGHT): (RIGHT, SIGMA),
        (Transpose(RIGHT), S): (SIGMA, Transpose(RIGHT)),
        (Transpose(S),): (S,),
        (Transpose(SIGMA),): (SIGMA,),
    }
    rules |= {(mode, SIGMA): (SIGMA, mode) for mode in (*MODE_LAW, *MODE_RULES[B, T][1:2])}
    A_, W_ = FROM_ZERO[A], FROM_ZERO[W]
    ES = (T - W_ * A_) * S
    return {
        "the form of A is kept": equal(rate(A_, LAW), B * ES, rules),
        "the form of W is kept": equal(rate(W_, LAW), ES * A_.T, rules),
    }
