"""Results as the notebooks ask for them."""

import numpy as np
import pytest

from fa_core import lookup, records
from tests.helpers import linear_experiment, made

SMALL = linear_experiment(examples=200, probes=(0, 50, 100, 200), seeds=(0, 1, 2))


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))


def test_a_result_is_the_record_in_the_paper_profile_and_a_short_run_in_smoke():
    made_here = records.run(SMALL)
    records.save(SMALL, made_here.history, made(SMALL))
    assert lookup.getter("paper", 100)(SMALL).source == "record"
    short = lookup.getter("smoke", 100)(SMALL)
    assert (short.source, list(short.history.examples), len(short.history.seeds)) == ("live", [0, 50, 100], 2)
    assert lookup.getter("smoke", 100)(SMALL, examples=40).history.examples[-1] == 40
    assert lookup.getter("smoke", 100, seconds=True)(SMALL).source == "live"


def test_what_takes_seconds_is_trained_where_it_has_no_record(capsys):
    assert lookup.getter("paper", 100, seconds=True)(SMALL).source == "live"
    assert capsys.readouterr().err == "", "without saying that a record is missing"
    assert lookup.getter("paper", 100)(SMALL).source == "live"
    assert "has no record" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown profile 'quick'"):
        lookup.getter("quick", 100)(SMALL)


def test_a_curve_is_read_at_the_first_probe_from_then_on_or_at_the_end_of_a_shorter_run():
    result = records.run(SMALL)
    for examples, probe in ((0, 0), (50, 1), (51, 2), (100, 2), (1000, 3)):
        np.testing.assert_array_equal(lookup.at(result, examples), result["nse"][:, probe])
    assert lookup.at(result, 100, "angle").shape == result["angle"][:, 2].shape
    with pytest.raises(KeyError):
        lookup.at(result, 100, "nothing")


def test_it_is_said_which_command_makes_what_a_claim_waits_for():
    other = SMALL.but(name="other", rate=0.001)
    assert lookup.untested("smoke", SMALL) == "the smoke profile is too small"
    assert lookup.untested("paper", SMALL, other) == (
        f"there is no record yet; `python -m fa_core record {SMALL.name} other` makes it"
    )
    records.save(SMALL, records.run(SMALL).history, made(SMALL))
    assert lookup.untested("paper", SMALL, other) == "there is no record yet; `python -m fa_core record other` makes it"
    assert lookup.untested("paper", SMALL) == ""
