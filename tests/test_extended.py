"""Notes 5 and 9: what was chosen by trials is what the trials' records say, and equally many were made of either kind."""

import pytest

from fa_core import records
from fa_core.experiments import autoencoders_brief as autoencoders
from fa_core.experiments import extended_20 as extended

SEARCHES = {
    "tanh backprop": (extended.BACKPROP_TRIALS, extended.BACKPROP),
    "tanh feedback alignment": (extended.FEEDBACK_TRIALS, extended.FEEDBACK_ALIGNMENT),
    **{f"autoencoder {width} {rule}": (trials, {10: autoencoders.NARROW, 1000: autoencoders.WITHOUT}[width][rule])
       for (width, rule), trials in autoencoders.TRIALS.items()},
    **{f"{length} {kind}": (trials, getattr(extended, kind.upper()))
       for length, searches in (("short", extended.ADDED_TRIALS), ("long", extended.LONG_TRIALS))
       for kind, trials in searches.items() if kind != "leaky"},
    "staged leaky": (extended.STAGED_TRIALS, extended.LEAKY),
    **{f"ten layers, {experiment.rule}": (extended.TEN_TRIALS[kind], experiment)
       for kind, experiment in (("backprop", extended.TEN_BACKPROP), ("feedback alignment", extended.TEN))},
}


def chosen(experiment):
    """What a trial decides: rates, also those of the beginning, and scales."""
    begin = [s for s in experiment.schedule if s[0] <= 25_000]
    return [*(getattr(experiment, f) for f in ("rule", "rate", "batch", "weights", "feedback")), begin]


def best(trials, measure="test error"):
    """The trial with the smallest mean at the end; of equal ones, up to rounding, the first."""
    return min(trials, key=lambda e: round(float(records.load(e)[measure][:, -1].mean()), 4))


@pytest.mark.parametrize("name", SEARCHES)
def test_the_trial_with_the_smallest_error_at_the_end_was_taken(name):
    trials, experiment = SEARCHES[name]
    assert chosen(best(trials, "loss" if name.startswith("autoencoder") else "test error")) == chosen(experiment)


def test_the_leaky_units_long_trial_and_its_relu_twin_are_of_the_best_short_one():
    short = best(extended.ADDED_TRIALS["leaky"])
    for trial in (extended.LONG_TRIALS["leaky"][0], extended.RELU_TRIAL):
        assert chosen(trial) == chosen(short)


@pytest.mark.parametrize("name", SEARCHES)
def test_no_trial_is_of_a_reported_seed_or_judged_on_test_images(name):
    trials, experiment = SEARCHES[name]
    assert not {s for e in trials for s in e.seeds} & set(experiment.seeds)
    assert all(e.task.endswith(" validation") for e in trials)
    assert not experiment.task.endswith(" validation")


def test_there_are_as_many_trials_of_backprop_as_of_feedback_alignment():
    assert len(extended.BACKPROP_TRIALS) == len(extended.FEEDBACK_TRIALS)
    assert len({len(trials) for trials in extended.TEN_TRIALS.values()}) == 1
    for width in (10, 1000):
        assert len({len(trials) for (w, _), trials in autoencoders.TRIALS.items() if w == width}) == 1
