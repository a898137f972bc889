"""Note 5 in small minibatches: what follows from a search and is no search itself. The searches are in test_protocol."""

from fa_core.experiments import extended as of_100
from fa_core.experiments import extended_20 as extended
from fa_core.experiments import search
from tests.test_protocol import score


def test_the_leaky_units_long_trial_and_its_relu_twin_are_of_the_best_short_one():
    trials = extended.ADDED_TRIALS["leaky"]
    best = min(trials, key=lambda t: score(t, "test error"))
    fields = ("rate", "batch", "weights", "feedback", "schedule")
    for trial in (extended.LONG_TRIALS["leaky"][0], extended.RELU_TRIAL):
        assert search.differs(trial, best, fields) == []


def test_all_alterations_together_differ_from_the_fields_in_the_images_and_in_how_long_they_learn():
    local, combined = of_100.LOCAL, of_100.COMBINED
    longer = {field: getattr(combined, field) for field in ("name", "seeds", "examples", "probes", "stages")}
    assert combined == local.but(distort=extended.ELASTIC.distort, **longer)
    assert (combined.stages.cuts + 1) * combined.stages.patience >= 200, "epochs, if it never gets better"


def test_each_addition_by_itself_differs_from_that_on_top_of_dropout_in_the_dropout_alone():
    pairs = (
        (of_100.LEAKY_ALONE, of_100.LEAKY),
        (of_100.LOCAL_ALONE, of_100.LOCAL),
        (of_100.ELASTIC_ALONE, of_100.COMBINED.but(seeds=of_100.SEEDS[:1])),
    )
    for alone, added in pairs:
        assert any(added.dropout)
        assert alone == added.but(name=alone.name, dropout=())
