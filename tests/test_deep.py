"""Figs 3c,d and Supplementary Fig. 6: what is compared differs in the one thing it says, and is drawn as it is wired."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from fa_core import figures
from fa_core.data import tasks
from fa_core.experiments import deep
from fa_core.training import train


def differences(one, other) -> set[str]:
    """Names of the fields in which two experiments differ, without the name and what changes roundings alone."""
    differ = {f.name for f in dataclasses.fields(one) if getattr(one, f.name) != getattr(other, f.name)}
    return differ - {"name", "products"}


MAPS = {"rate": deep.RATE_MAP, "weights": deep.INITIAL_MAP, "feedback": deep.BETA_MAP, "sizes": deep.WIDTH_MAP}
SMALL = [e for row in deep.SMALL_STARTS.values() for e in row.values()]
POINTS = [("sizes", key, e) for row in deep.ONE_WIDENED.values() for key, e in row.items()]
POINTS += [(field, key, e) for field, grid in MAPS.items() for row in grid.values() for key, e in row.items()]


@pytest.mark.parametrize(("field", "key", "point"), POINTS, ids=lambda p: p if isinstance(p, str) else p.name)
def test_a_point_of_a_map_differs_from_its_base_in_the_field_of_the_map_and_perhaps_in_length(field, key, point):
    assert differences(point, deep.NETWORKS[key]) <= {field, "examples", "probes"}


@pytest.mark.parametrize("field", MAPS)
def test_the_values_of_a_map_are_those_its_experiments_have(field):
    for value, row in MAPS[field].items():
        wanted = deep.widened(value) if field == "sizes" else value
        assert all(getattr(e, field) == wanted for key, e in row.items() if field != "feedback" or key.startswith("fa"))
        assert all(deep.STOP in e.probes for e in row.values())


@pytest.mark.parametrize("scale", deep.SMALL_STARTS)
def test_the_small_starts_differ_from_the_setting_of_the_verdicts_in_the_initial_weights_alone(scale):
    for key, e in deep.SMALL_STARTS[scale].items():
        assert differences(e, deep.NETWORKS[key]) == {"weights", "seeds", "examples", "probes"}
        if scale in deep.INITIAL_MAP:
            assert differences(e, deep.INITIAL_MAP[scale][key]) == {"seeds", "probes"}
        assert e.weights == scale
        assert len(e.seeds) == 20  # as many as the ledger's bounds on P are for


def test_the_grid_of_rates_and_scales_has_each_pair():
    for (rate, scale), point in deep.PAIRS.items():
        assert (point.rate, point.feedback) == (rate, scale)
        assert differences(point, deep.NETWORKS["fa-4"]) <= {"rate", "feedback", "examples", "probes"}


def test_b1_and_b2_scaled_apart_are_what_their_pair_says():
    for (b1, b2), point in deep.APART.items():
        assert point.per_layer("feedback") == (b1, b2)
        assert differences(point, deep.NETWORKS["fa-4"]) <= {"feedback", "examples", "probes"}


def test_a_point_of_the_map_of_the_controlled_networks_differs_from_its_like_in_one_scale():
    for (field, value), row in deep.S6_MAP.items():
        for key, e in row.items():
            assert differences(e, deep.S6_TUNING[key]) <= {field}
            assert differences(e, deep.S6[key]) <= {field, "seeds", "dtype"}
            assert getattr(e, field) == value or (key[0], field) == ("backprop", "feedback")


def test_the_setting_of_the_verdicts_is_a_point_of_every_map():
    chosen = deep.BACKPROP_4
    assert deep.RATE_MAP[chosen.rate] == deep.INITIAL_MAP[chosen.weights] == deep.BETA_MAP[chosen.feedback] == deep.NETWORKS
    assert deep.WIDTH_MAP[1]["fa-4"] == deep.NETWORKS["fa-4"]
    for key, reported in (
        ("backprop-3", deep.BACKPROP_3),
        ("backprop-4", chosen),
        ("fa-3", deep.FEEDBACK_ALIGNMENT_3),
        ("fa-4", deep.FEEDBACK_ALIGNMENT_4),
    ):
        assert differences(deep.NETWORKS[key], reported) == {"seeds", "dtype"}


def test_no_seed_that_is_searched_on_is_reported():
    reported = {s for e in (*deep.FIGURE, *deep.S6.values()) for s in e.seeds}
    assert not reported & {s for e in (*deep.MAPS, *SMALL, *deep.S6_MAPS) for s in e.seeds}


def test_the_networks_of_the_figure_differ_in_rule_and_depth_alone():
    for e in deep.FIGURE:
        assert differences(e, deep.BACKPROP_4) <= {"rule", "sizes"}
    assert {(e.rule, len(e.sizes)) for e in deep.FIGURE} == {
        ("shallow", 3),
        ("backprop", 3),
        ("backprop", 4),
        ("feedback alignment", 3),
        ("feedback alignment", 4),
    }


def test_three_and_four_layers_see_the_same_examples_of_the_same_target():
    # The paired t-tests rest on it.
    three, four = (tasks.make(e, (0, 1)) for e in (deep.BACKPROP_3, deep.FEEDBACK_ALIGNMENT_4))
    for task in (three, four):
        task.next_chunk()
    for a, b in zip((*three.batch(0, 9), three.test_y), (*four.batch(0, 9), four.test_y), strict=True):
        assert torch.equal(a, b)


def test_the_controlled_networks_are_those_of_note_3():
    for (rule, kind), e in deep.S6.items():
        assert (e.rule, e.batch, e.rate * e.batch) == (rule, 100, pytest.approx(0.05))
        assert e.examples == 100 * 10_000
        assert len(e.seeds) == 5
        assert e.teacher == (30, 20, 10, 10)
        assert e.sizes == ((30, 40, 10) if kind == "3 layers" else (30, 40, 20, 10))


@pytest.mark.parametrize("rule", ["backprop", "feedback alignment"])
def test_frozen_means_that_w0_stays_and_the_others_learn(rule):
    frozen = deep.S6[rule, "4 layers, W0 frozen"]
    names = ("W0", "b0", "W1", "b1", "W2", "b2")
    kept = train(frozen.but(examples=400, probes=(0, 400), snapshots=names), progress=False).snapshots
    moved = {name for name in names if not np.array_equal(kept[f"{name} before"], kept[f"{name} after"])}
    assert moved == {"W1", "b1", "W2", "b2"}


@pytest.mark.parametrize(
    ("control", "still"),
    [
        (deep.NO_B1, {"W0"}),
        (deep.NO_FEEDBACK, {"W0", "W1"}),
        (deep.REDRAWN, set()),
    ],
    ids=lambda p: p.name if hasattr(p, "name") else "",
)
def test_a_control_takes_away_what_it_says(control, still):
    kept = train(control.but(examples=50, probes=(0, 50), snapshots=("W0", "W1", "W2", "B1")), progress=False).snapshots
    assert {n for n in ("W0", "W1", "W2") if np.array_equal(kept[f"{n} before"], kept[f"{n} after"])} == still
    assert np.array_equal(kept["B1 before"], kept["B1 after"]) == (control is not deep.REDRAWN)


def labels(layers: int, feedback: str) -> set[str]:
    """The texts in a drawn network."""
    fig, ax = plt.subplots()
    figures.network(ax, [(f"unit {i}", 2) for i in range(layers)], feedback)
    plt.close(fig)
    return {t.get_text() for t in ax.texts} - {""}


def test_a_network_with_two_hidden_layers_is_drawn_with_a_matrix_and_a_signal_for_each():
    numbered = {"$W_0$", "$W_1$", "$W_2$"}
    assert numbered | {"$B_1$", "$B_2$", r"$\delta_2=B_2e$", r"$\delta_1=B_1\delta_2$"} <= labels(4, "random")
    assert {r"$\delta_2=W_2^Te$", r"$\delta_1=W_1^T(\delta_2\circ h_2')$"} <= labels(4, "transpose")


def test_a_network_with_one_is_drawn_without_numbers():
    assert labels(3, "random") == {
        "unit 0",
        "unit 1",
        "unit 2",
        "$W_0$",
        "$W$",
        "$e$",
        "$B$ (random, fixed)",
        r"$\delta_{FA}=Be$",
    }
