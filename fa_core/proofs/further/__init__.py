"""Theorems beyond the paper's, one idea a file: each states its formulas, derives them by SymPy, and can be run.

`algebra()` of a file gives, by name, what its proof takes from algebra and whether SymPy confirms it.
"""
