"""MKL, which multiplies matrices for torch on a CPU: its products the same to the bit wherever in memory they are taken.

Left to itself it takes them in a way that depends on the addresses of their arguments, and so does their last bit: a run's
would depend on the runs beside it. MKL_CBWR=AVX2 makes one way of it for all addresses and for all processors. On some it
costs speed, a third at worst, so it is set where a network is made and not when the package is imported.
"""

import ctypes
import os
from pathlib import Path

VARIABLE, BRANCH = "MKL_CBWR", "AVX2"
BRANCHES = {
    1: "off",
    2: "AUTO",
    3: "COMPATIBLE",
    4: "SSE2",
    6: "SSSE3",
    7: "SSE4_1",
    8: "SSE4_2",
    9: "AVX",
    10: "AVX2",
    11: "AVX512_MIC",
    12: "AVX512",
    13: "AVX512_MIC_E1",
    14: "AVX512_E1",
}


def pin() -> None:
    """Have the products of this process, and of those that it starts, taken so. It has no effect where the variable says
    something else already, nor once the process has taken a product: `in_force` tells."""
    os.environ.setdefault(VARIABLE, BRANCH)


def in_force() -> str:
    """The name of MKL's way in this process, "off" where products depend on addresses, "unknown" where it does not tell.

    MKL decides at its first product or at this question, whichever is first.
    """
    import torch

    try:
        library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"))))
        branch = library.mkl_serv_cbwr_get(1)  # what MKL's public mkl_cbwr_get calls, which torch does not pass on
    except (AttributeError, OSError, StopIteration):  # built without MKL, or with another
        return "unknown"
    return BRANCHES.get(branch & 0xFFFF, "unknown")
