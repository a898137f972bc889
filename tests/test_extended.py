"""Note 5 in small minibatches: what follows from a search and is no search itself. The searches are in test_protocol."""

from fa_core.experiments import extended_20 as extended
from fa_core.experiments import search
from tests.test_protocol import score


def test_the_leaky_units_long_trial_and_its_relu_twin_are_of_the_best_short_one():
    trials = extended.ADDED_TRIALS["leaky"]
    best = min(trials, key=lambda t: score(t, "test error"))
    fields = ("rate", "batch", "weights", "feedback", "schedule")
    for trial in (extended.LONG_TRIALS["leaky"][0], extended.RELU_TRIAL):
        assert search.differs(trial, best, fields) == []
