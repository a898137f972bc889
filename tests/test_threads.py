"""The number of threads that is promised is the one in force."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fa_core import threads

ROOT = Path(__file__).parents[1]


def in_force(program: str, **variables) -> dict:
    """What a fresh process that runs a program has in force."""
    clean = {k: v for k, v in os.environ.items() if k not in (threads.MEANT, *threads.OTHERS)}
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{program}\nimport json; from fa_core import threads\nprint(json.dumps(threads.in_force()))",
        ],
        cwd=ROOT,
        env=clean | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)


def held(number: int) -> dict:
    """What is in force where so many threads are."""
    return {"torch": number} | dict.fromkeys((threads.MEANT, *threads.OTHERS), str(number))


LOADED = "import numpy, scipy.linalg, torch"


@pytest.mark.parametrize("meant", [1, 2])
@pytest.mark.parametrize("first", ["import fa_core", f"{LOADED}, fa_core"], ids=["imported first", "imported last"])
def test_the_number_that_is_asked_for_holds_whatever_the_other_libraries_variables_say(first, meant):
    found = in_force(first, OMP_NUM_THREADS=str(meant), MKL_NUM_THREADS=str(3 - meant), OPENBLAS_NUM_THREADS=str(3 - meant))
    assert set(found.pop("OpenBLAS")) <= {meant}
    assert found == held(meant)


def test_it_holds_for_libraries_that_are_there_already():
    found = in_force(f"{LOADED}; from fa_core import threads; threads.hold(1)", OMP_NUM_THREADS="2")
    brought = list(Path(np.__file__).parent.with_name("numpy.libs").glob("*openblas*"))  # as the wheels from PyPI do
    assert found.pop("OpenBLAS") == ([1, 1] if brought else [])
    assert found == held(1)


def test_torch_alone_takes_the_larger_of_the_two():
    # What the above is there for. If this fails, torch has changed, and the helper may go.
    ran = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.get_num_threads())"],
        check=True,
        text=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "2"},
    )
    assert ran.stdout == "2\n"


@pytest.mark.parametrize("value", ["many", "0"])
def test_what_nobody_asked_for_is_left(value):
    found = in_force(f"{LOADED}; torch.set_num_threads(2); import fa_core", OMP_NUM_THREADS=value, MKL_NUM_THREADS="3")
    assert (found["torch"], found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == (2, value, "3")


def test_less_than_one_thread_is_refused():
    with pytest.raises(ValueError, match="a process has 1 thread or more, got 0"):
        threads.hold(0)
