"""Fig. 3a,b: a comparison differs in what it says and in nothing else; what was searched for, on other seeds and images."""

import dataclasses

import pytest

from fa_core.experiments import mnist


def differing(one, other) -> set[str]:
    """The fields, but the name, in which two experiments differ."""
    return {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)} - {"name"}


@pytest.mark.parametrize(
    ("one", "other", "fields"),
    [
        (mnist.FEEDBACK_ALIGNMENT, mnist.BACKPROP, {"rule"}),
        (mnist.SHALLOW, mnist.BACKPROP, {"rule", "examples", "probes"}),
        (mnist.SPARSE, mnist.FEEDBACK_ALIGNMENT, {"density", "feedback_density", "examples", "probes"}),
        (mnist.SHORT, mnist.FEEDBACK_ALIGNMENT, {"seeds", "examples", "probes", "snapshots"}),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_a_comparison_differs_in_what_it_says_alone(one, other, fields):
    assert differing(one, other) == fields


def test_the_paper_is_followed_where_it_gives_a_number():
    assert (mnist.BACKPROP.sizes, mnist.BACKPROP.rate, mnist.BACKPROP.weight_decay) == ((784, 1000, 10), 1e-3, 1e-6)
    assert (mnist.BACKPROP.hidden, mnist.BACKPROP.output, len(mnist.BACKPROP.seeds)) == ("logistic", "logistic", 20)
    assert (mnist.SPARSE.density[1], mnist.SPARSE.feedback_density) == (0.5, (0.5,))
    assert mnist.SHALLOW.rule == "shallow"


def test_companions_that_ran_for_less_are_probed_where_the_others_are():
    shorter = [p for p in mnist.BACKPROP.probes if p <= mnist.SHORTER]
    assert list(mnist.SHALLOW.probes) == list(mnist.SPARSE.probes) == shorter
    assert shorter[-1] == mnist.SHORTER


@pytest.mark.parametrize(
    ("trials", "field", "chosen"),
    [
        (mnist.OMEGA_SEARCH, "weights", mnist.OMEGA),
        (mnist.BETA_SEARCH, "feedback", mnist.BETA),
        (mnist.RATES, "rate", None),
        (mnist.ANGLES, "weights", None),
    ],
)
def test_the_trials_of_a_search_differ_in_what_is_searched_alone_and_never_saw_what_is_reported(trials, field, chosen):
    for trial in trials:
        assert differing(trial, trials[0]) <= {field}
        assert trial.task == "mnist validation"
        assert not set(trial.seeds) & set(mnist.BACKPROP.seeds)
        assert differing(trial, mnist.BACKPROP) <= {
            field,
            "rule",
            "task",
            "seeds",
            "examples",
            "probes",
            "snapshots",
            "feedback",
        }
    values = [getattr(trial, field) for trial in trials]
    assert len(set(values)) == len(values)
    if chosen:
        assert chosen in values
        assert getattr(mnist.FEEDBACK_ALIGNMENT, field) == chosen


def test_the_scales_are_searched_for_on_the_rule_that_has_them():
    assert {t.rule for t in (*mnist.OMEGA_SEARCH, mnist.STOP_SEARCH, *mnist.RATES, mnist.STOPPING)} == {"backprop"}
    assert {t.rule for t in mnist.BETA_SEARCH} == {"feedback alignment"}
    assert mnist.STOP_SEARCH.examples >= mnist.STOP
