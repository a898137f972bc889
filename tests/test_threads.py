"""The number of threads that is promised is the one in force."""

import json
import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("meant", [1, 2])
def test_the_number_that_is_asked_for_holds_whatever_the_other_libraries_variables_say(meant):
    found = in_force("import fa_core", OMP_NUM_THREADS=str(meant), MKL_NUM_THREADS=str(3 - meant), OPENBLAS_NUM_THREADS="7")
    assert found == {
        "torch": meant,
        "OMP_NUM_THREADS": str(meant),
        "MKL_NUM_THREADS": str(meant),
        "OPENBLAS_NUM_THREADS": str(meant),
    }


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


def test_what_nobody_asked_for_is_left(monkeypatch):
    for value in ("", "many"):
        monkeypatch.setenv(threads.MEANT, value)
        monkeypatch.setenv("MKL_NUM_THREADS", "3")
        threads.hold()
        assert os.environ["MKL_NUM_THREADS"] == "3"
    threads.hold(2)
    assert [os.environ[name] for name in (threads.MEANT, *threads.OTHERS)] == ["2", "2", "2"]
