"""Notes 5 and 9: what was chosen by trials is what the trials' records say, and equally many were made of either kind."""

import pytest

from fa_core import records
from fa_core.experiments import autoencoders, extended

SEARCHES = {
    "tanh backprop": (extended.BACKPROP_TRIALS, extended.BACKPROP),
    "tanh feedback alignment": (extended.FEEDBACK_TRIALS, extended.FEEDBACK_ALIGNMENT),
    **{f"autoencoder {width} {rule}": (trials, {10: autoencoders.NARROW, 1000: autoencoders.WITHOUT}[width][rule])
       for (width, rule), trials in autoencoders.TRIALS.items()},
    **{f"{length} {kind}": (trials, getattr(extended, kind.upper()))
       for length, searches in (("short", extended.ADDED_TRIALS), ("long", extended.LONG_TRIALS))
       for kind, trials in searches.items()},
}
CHOSEN = ("rule", "rate", "batch", "weights", "feedback")


@pytest.mark.parametrize("name", SEARCHES)
def test_the_trial_with_the_smallest_error_at_the_end_was_taken(name):
    trials, experiment = SEARCHES[name]
    measure = "loss" if name.startswith("autoencoder") else "test error"
    best = min(trials, key=lambda e: records.load(e)[measure][0, -1])
    assert [getattr(best, f) for f in CHOSEN] == [getattr(experiment, f) for f in CHOSEN]


@pytest.mark.parametrize("name", SEARCHES)
def test_no_trial_is_of_a_reported_seed_or_judged_on_test_images(name):
    trials, experiment = SEARCHES[name]
    assert not {s for e in trials for s in e.seeds} & set(experiment.seeds)
    assert all(e.task.endswith(" validation") for e in trials)
    assert not experiment.task.endswith(" validation")


def test_there_are_as_many_trials_of_backprop_as_of_feedback_alignment():
    assert len(extended.BACKPROP_TRIALS) == len(extended.FEEDBACK_TRIALS)
    assert len({len(trials) for trials in autoencoders.TRIALS.values()}) == 1
