"""Every search for a setting keeps to the protocol: other seeds and images, equally many trials, the best taken, before."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fa_core import records
from fa_core.experiments import search
from fa_core.experiments.search import Search
from tests.helpers import linear_experiment

SEARCHES = {s.name: s for s in search.every()}


def score(trial, criterion: str) -> float:
    """What a trial came to: the mean over its seeds of a curve's last value, from its record."""
    return float(records.load(trial)[criterion][:, -1].mean())


def made(experiment) -> datetime:
    """When a record was made."""
    return datetime.fromisoformat(records.load(experiment).about["made"])


def recorded(*experiments) -> bool:
    return all(records.path(e).exists() for e in experiments)


# ---- the searches that there are


def test_there_are_searches_of_either_algorithm():
    assert {t.rule.split(",")[0] for s in SEARCHES.values() for t in s.trials} >= {"backprop", "feedback alignment"}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_on_other_seeds_and_images_and_what_it_chose_is_reported(name):
    assert search.problems(SEARCHES[name]) == []


def test_either_algorithm_of_a_comparison_has_as_many_trials_equally_long():
    assert search.unequal(SEARCHES.values()) == []


@pytest.mark.parametrize("name", SEARCHES)
def test_the_best_trial_by_the_records_was_taken(name):
    s = SEARCHES[name]
    if not recorded(*s.trials):  # described, and still to be run: then nothing is reported either
        assert not any(recorded(run) for run in s.reported)
        return
    assert search.contradictions(s, score) == []


@pytest.mark.parametrize("name", SEARCHES)
def test_the_trials_were_over_before_the_first_reported_run_began(name):
    s = SEARCHES[name]
    for run in s.reported:
        if recorded(run) and not s.later:
            begun = made(run) - timedelta(seconds=records.load(run).about["wall_seconds"])
            assert max(map(made, s.trials)) <= begun, f"{run.name} was begun at {begun}"


# ---- what the checks notice

TRIAL = linear_experiment(
    name="trial", task="mnist validation", sizes=(784, 20, 10), seeds=(100, 101), weights=0.1, probes=()
)
TRIALS = tuple(TRIAL.but(name=f"trial-{r}", rate=r) for r in (0.1, 0.2, 0.3))
RUN = TRIALS[1].but(name="run", task="mnist", seeds=(0, 1), examples=200)
GOOD = Search(name="good", trials=TRIALS, chosen=TRIALS[1], reported=(RUN,), settles=("rate", "weights", "schedule"))
SCORES = {"trial-0.1": 3.0, "trial-0.2": 1.0, "trial-0.3": 2.0}


def test_a_search_that_keeps_to_the_protocol_passes():
    assert search.problems(GOOD) == []
    assert search.contradictions(GOOD, lambda t, _: SCORES[t.name]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": TRIALS[1].but(seeds=(7,))}, "not among the trials"),
        ({"trials": (*TRIALS, TRIALS[0].but(name="again"))}, "two trials are of the same setting"),
        ({"trials": (*TRIALS, TRIALS[0].but(rate=0.4, seeds=(100,)))}, "differ in task, rule, seeds or length"),
        ({"trials": (*TRIALS, TRIALS[0].but(rate=0.4, examples=10, probes=()))}, "differ in task, rule, seeds or length"),
        ({"reported": (RUN.but(seeds=(0, 101)),)}, "run reports seeds that were searched on: 101"),
        ({"reported": (RUN.but(task="mnist validation"),)}, "run reports an error on validation images"),
        ({"reported": (RUN.but(rate=0.3),)}, "run has another rate than what was chosen"),
        ({"reported": (RUN, RUN.but(name="other", weights=0.2))}, "other has another weights than"),
        ({"reported": (RUN.but(schedule=((0, 0.5), (10, 1.0))),)}, "another schedule"),
        (
            {"trials": tuple(t.but(task="mnist") for t in TRIALS), "chosen": TRIALS[1].but(task="mnist")},
            "not judged on the validation images of mnist",
        ),
        ({"after": replace(GOOD, name="first", trials=TRIALS[:2])}, "trial-0.3 is of no setting of first"),
    ],
    ids=[
        "not a trial",
        "twice",
        "other seeds",
        "other length",
        "a reported seed",
        "validation reported",
        "another rate",
        "a second run",
        "another beginning",
        "test images",
        "no earlier setting",
    ],
)
def test_a_departure_from_the_protocol_is_named(change, message):
    (found,) = search.problems(replace(GOOD, **change))
    assert message in found


def test_later_changes_of_the_rate_are_no_other_beginning():
    assert search.problems(replace(GOOD, reported=(RUN.but(examples=60_000, schedule=((0, 1.0), (50_000, 0.1))),))) == []


def test_a_trial_that_was_taken_and_is_not_the_best_is_named():
    (found,) = search.contradictions(replace(GOOD, chosen=TRIALS[2]), lambda t, _: SCORES[t.name])
    assert found == "trial-0.3 was taken, trial-0.2 is the best"


def test_a_second_round_is_of_the_best_of_the_first():
    longer = tuple(t.but(name=f"long-{t.name}", examples=1000) for t in TRIALS[1:])
    second = replace(GOOD, name="second", trials=longer, chosen=longer[0], after=GOOD)
    scores = SCORES | {f"long-{k}": v for k, v in SCORES.items()}
    assert search.contradictions(second, lambda t, _: scores[t.name]) == []
    (found,) = search.contradictions(second, lambda t, _: (scores | {"trial-0.1": 1.5})[t.name])
    assert found == "long-trial-0.3 is of none of the best 2 settings of good"


@pytest.mark.parametrize(
    "other",
    [TRIALS[:2], tuple(t.but(seeds=(100,)) for t in TRIALS), tuple(t.but(examples=1000) for t in TRIALS)],
    ids=["fewer", "fewer seeds", "longer"],
)
def test_an_unequal_comparison_is_named_with_both_efforts(other):
    pair = [replace(GOOD, name="one", beside="both"), replace(GOOD, name="two", beside="both", trials=other)]
    (found,) = search.unequal(pair)
    assert found.startswith("both: one, 3 trials of 2 seeds")
    assert "; two, " in found
    assert search.unequal([replace(s, beside="") for s in pair]) == []
