"""Theorems beyond the paper's, one idea a file: each states its formulas, derives them by SymPy, and can be run.

`algebra()` of a file gives, by name, what its proof takes from algebra and whether SymPy confirms it.
"""


def derive(statements: dict[str, bool]) -> None:
    """Print what `algebra()` gives, a line to each statement."""
    for name, holds in statements.items():
        print(f"{'derived' if holds else 'NOT DERIVED'}  {name}")
