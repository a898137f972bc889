"""How many threads the libraries of linear algebra use. A run gives the same bits at the same number of them."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# The first is what people set. torch takes the larger of it and MKL's own, and NumPy's OpenBLAS goes by its own first.
MEANT, *OTHERS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"


def hold(number: int | None = None) -> None:
    """Have torch, NumPy and SciPy, here and in the processes started from here, use so many threads; without a number as
    many as OMP_NUM_THREADS says, if it says so. What is imported later goes by the variables, what is there already is
    told (`_of_openblas` says where that cannot be). Raises ValueError for less than one."""
    if number is not None and number < 1:
        raise ValueError(f"a process has 1 thread or more, got {number}")
    wanted = str(number or os.environ.get(MEANT, "").split(",")[0].strip())
    if not wanted.isdigit() or wanted == "0":
        return
    os.environ.update(dict.fromkeys((MEANT, *OTHERS), wanted))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(wanted))
    for set_threads in _of_openblas("set"):
        set_threads(int(wanted))


def in_force() -> dict[str, object]:
    """What is in force in this process: the numbers of torch and of the OpenBLAS of NumPy and of SciPy, as far as they are
    imported and tell; and what the variables say, "" for nothing."""
    import torch

    told = {"torch": torch.get_num_threads(), "OpenBLAS": [number() for number in _of_openblas("get")]}
    return told | {name: os.environ.get(name, "") for name in (MEANT, *OTHERS)}


def _of_openblas(verb: str) -> Iterator[Callable[..., int]]:
    """The functions that get or set the number of threads of the OpenBLAS that NumPy and SciPy each bring along, of those
    that are imported. Installed otherwise, as by conda, or in wheels for macOS, they use others, which are not told of or
    reached here."""
    for package, suffix in (("numpy", "64_"), ("scipy", "")):
        module = sys.modules.get(package)
        for file in (
            Path(module.__file__)  # type: ignore[arg-type]
            .parent.with_name(f"{package}.libs")
            .glob("*openblas*")
            if module
            else ()
        ):
            with suppress(OSError, AttributeError):
                yield getattr(ctypes.CDLL(str(file)), f"scipy_openblas_{verb}_num_threads{suffix}")
