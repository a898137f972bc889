"""Print the SIMD features that NumPy chose to use here beyond those it was built to need, on one line.

    NPY_DISABLE_CPU_FEATURES="$(python -m benchmarks.simd)" python ...

so runs the same program with NumPy at its baseline. Only features that this processor has are named: NumPy warns of
others. The line is empty where there are none, or where another NumPy does not say.
"""


def features() -> list[str]:
    """The names, in the order in which NumPy lists them."""
    try:
        from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # private: NumPy has no public list
    except ImportError:
        return []
    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


if __name__ == "__main__":
    print(*features())
