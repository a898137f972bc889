"""The kept list of faults: all of it can be planted, ten of it are noticed, and what is not noticed is said."""

import dataclasses
import subprocess
import sys

import pytest

from tests import faults
from tests.faults import ROOT, Fault, FaultError


def test_each_fault_of_the_list_can_be_planted_in_the_source_as_it_is():
    kept = faults.faults()
    assert len(kept) >= 100
    assert len({(f.file, f.what) for f in kept}) == len({(f.file, f.text, f.by) for f in kept}) == len(kept)
    for fault in kept:
        assert fault.planted() != (ROOT / fault.file).read_text(), fault.what
        for test in fault.tests:
            assert (ROOT / test.partition("::")[0]).is_file(), fault.what


def test_ten_of_them_are_noticed():
    assert sum(f.quick for f in faults.faults()) == 10
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "10 of 10 faults noticed, 100 %" in ran.stdout


HARMLESS = Fault(
    "nothing at all",
    "fa_core/measures.py",
    "axis: int = -1",
    "axis: int = -2 + 1",
    ("tests/test_measures.py::test_positive_share",),
)
PROGRAM = """
import sys
from tests import faults
from tests.faults import Fault
faults.faults = lambda: [{fault!r}]
sys.exit(faults.main([]))
"""


def ended(fault):
    """What becomes of a list of one fault."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(fault=fault)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_fault_that_no_test_notices_is_named_and_fails():
    ran = ended(HARMLESS)
    assert ran.returncode == 1
    assert "0 of 1 faults noticed, 0 %" in ran.stdout
    assert f"not noticed by {HARMLESS.tests[0]}: fa_core/measures.py: nothing at all" in ran.stdout


def test_a_fault_whose_text_is_gone_or_stands_twice_or_is_no_python_is_an_error_that_says_so():
    for text, by, says in (
        ("no such text", "", "stands 0 times in fa_core/measures.py, wanted once. Follow the source"),
        ("axis", "", "times in fa_core/measures.py, wanted once"),
        ("axis: int = -1", "axis: int =", "fa_core/measures.py is then no Python"),
    ):
        with pytest.raises(FaultError, match=says):
            dataclasses.replace(HARMLESS, text=text, by=by).planted()


def test_tests_that_fail_without_a_fault_notice_nothing():
    ran = ended(dataclasses.replace(HARMLESS, tests=("tests/test_measures.py::test_that_there_is_not",)))
    assert ran.returncode == 2
    assert "the tests do not pass without a fault, so they cannot notice one" in ran.stderr
