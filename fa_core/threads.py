"""How many threads the libraries of linear algebra use. A run gives the same bits at the same number of them."""

import os

# The first is what people set. torch takes the larger of it and MKL's own, and NumPy's OpenBLAS goes by its own first.
MEANT, *OTHERS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"


def hold(number: int | None = None) -> None:
    """Have every library that is not imported yet, here and in the processes started from here, use so many threads;
    without a number as many as OMP_NUM_THREADS says, if it says so."""
    wanted = str(number or os.environ.get(MEANT, "").split(",")[0].strip())
    if wanted.isdigit():
        os.environ.update(dict.fromkeys((MEANT, *OTHERS), wanted))


def in_force() -> dict[str, int | str]:
    """What is in force in this process: torch's number, and what the variables say, "" for nothing."""
    import torch

    return {"torch": torch.get_num_threads()} | {name: os.environ.get(name, "") for name in (MEANT, *OTHERS)}
