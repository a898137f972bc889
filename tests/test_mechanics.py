"""The experiments of Fig. 5 and of Supplementary Note 8: phases, variations and maps are what their names say."""

import numpy as np
import pytest
import torch

from fa_core import network, rules
from fa_core.data import tasks
from fa_core.experiments import mechanics, momentum
from fa_core.training import train

OWN = {"mechanics": (*mechanics.RECORDED, *mechanics.LIVE), "momentum": (*momentum.RECORDED, *momentum.LIVE)}


def changed(experiment, base):
    """The fields in which two experiments differ; when they are probed and what they keep is none."""
    a, b = experiment.essence(), base.essence()
    return {k for k in a.keys() | b.keys() if a.get(k) != b.get(k)} - {"probes", "snapshots", "traced"}


def tiny(experiment, **changes):
    """A small and short relative of an experiment of Fig. 5, with both layers of W kept."""
    plain = {"sizes": (20, 30, 20), "seeds": (0, 1), "examples": 100, "probes": (0, 100), "snapshots": ("W0", "W1", "B1")}
    return experiment.but(**(plain | changes))


@pytest.mark.parametrize("name", OWN)
def test_no_experiment_stands_twice(name):
    assert len({e.name for e in OWN[name]}) == len({e.digest for e in OWN[name]}) == len(OWN[name])


# ---- Fig. 5c


@pytest.mark.parametrize(
    ("experiment", "wanted"),
    [
        (mechanics.PHASES, [(3e-4, 0), (0, 1e-3), (3e-4, 0)]),
        (mechanics.FRESH, [(3e-4, 0), (0, 1e-3), (3e-4, 0)]),
        (mechanics.SKIPPED, [(0, 0), (0, 1e-3), (3e-4, 0)]),
    ],
    ids=lambda p: getattr(p, "name", ""),
)
def test_each_phase_trains_one_layer(experiment, wanted):
    for phase, rates in enumerate(wanted):
        first = phase * mechanics.PHASE
        for example in (first, first + mechanics.PHASE - 1):
            assert experiment.rates_at(example) == pytest.approx(rates)


@pytest.mark.parametrize(
    ("factors", "learns"),
    [
        (mechanics.W0_ALONE, "W0"),
        (mechanics.W_ALONE, "W1"),
        (mechanics.NEITHER, ""),
    ],
    ids=("W0 alone", "W alone", "neither"),
)
def test_a_frozen_layer_keeps_its_weights_to_the_last_bit(factors, learns):
    kept = train(tiny(mechanics.PHASES, schedule=((0, factors),)), progress=False).snapshots
    for name in ("W0", "W1"):
        same = np.array_equal(kept[f"{name} before"], kept[f"{name} after"])
        assert same == (name != learns)


def test_the_controls_change_one_thing_each():
    assert changed(mechanics.FRESH, mechanics.PHASES) == {"redraw_feedback"}
    assert changed(mechanics.SKIPPED, mechanics.PHASES) == {"schedule"}
    for point in mechanics.points(mechanics.PHASE_MAP):
        plain, fresh, skipped = mechanics.with_controls(point)
        assert plain == point
        assert fresh.redraw_feedback == (point.examples * 2 // 3,)
        assert fresh.schedule == point.schedule
        assert [start for start, _ in point.schedule] == [0, point.examples // 3, point.examples * 2 // 3]
        assert skipped.rates_at(0) == (0, 0)
        assert skipped.schedule[1:] == point.schedule[1:]


def test_the_controls_of_the_alignment_change_one_thing_each():
    assert changed(mechanics.BACKPROP, mechanics.ALIGN) == {"rule", "seeds"}
    assert changed(mechanics.REDRAWN, mechanics.ALIGN) == {"redraw_feedback", "seeds", "examples"}
    assert set(mechanics.BACKPROP.seeds) <= set(mechanics.ALIGN.seeds)
    assert mechanics.REDRAWN.probes[-1] in mechanics.ALIGN.probes, "the notebook compares them there"
    assert changed(mechanics.SMALL, mechanics.ALIGN) == {"weights", "biases", "examples"}
    assert changed(mechanics.UNITS, mechanics.ALIGN) == {"seeds", "products"}


def test_the_controls_of_the_alignment_take_away_what_they_say():
    kept = {
        e.name: train(tiny(e, examples=40, probes=(0, 40), traced=("W0", "W1", "B1")), progress=False)
        for e in (mechanics.ALIGN, mechanics.BACKPROP, mechanics.REDRAWN)
    }
    aligned, backprop, redrawn = kept.values()
    for result in (backprop, redrawn):
        for name in ("W0", "W1", "B1"):
            assert np.array_equal(result[name][:, 0], aligned[name][:, 0]), "they begin alike"
    assert np.array_equal(backprop["B1"][:, -1], aligned["B1"][:, -1])
    assert not np.array_equal(backprop["W0"][:, -1], aligned["W0"][:, -1]), "B is not used"
    assert not np.isclose(redrawn["B1"][:, -1], aligned["B1"][:, -1]).any(), "no element of B stays"


def test_the_single_units_of_the_map_are_those_of_its_least_aligned_points():
    for e in mechanics.UNITS_MAP:
        (point,) = (p for p in mechanics.points(mechanics.ALIGN_MAP) if p.name == e.name.removesuffix("-units"))
        assert changed(e, point) == {"seeds", "products"}
        assert set(e.seeds) <= set(point.seeds)


def test_a_fresh_B_comes_with_phase_3_and_not_before():
    before = train(tiny(mechanics.FRESH, redraw_feedback=(), examples=100), progress=False)
    after = train(tiny(mechanics.FRESH, redraw_feedback=(100,), examples=200, probes=(0, 200)), progress=False)
    plain = train(tiny(mechanics.PHASES), progress=False)
    assert np.array_equal(before.snapshots["B1 after"], plain.snapshots["B1 after"])
    assert not np.array_equal(after.snapshots["B1 after"], plain.snapshots["B1 after"])


# ---- the small start


def test_each_variation_of_the_small_start_varies_what_it_names():
    wanted = {
        "batch": {"batch"},
        "averaged": {"batch", "rate", "examples"},
        "slow": {"rate", "examples"},
        "centred": {"centred"},
        "biases-0": {"biases"},
        "biases-1": {"biases"},
        "biases-1-centred": {"biases", "centred"},
        "W0-0.3": {"weights"},
    }
    base = mechanics.SMALL.but(examples=mechanics.UPDATES, seeds=mechanics.SMALL.seeds[:10], probes=())
    found = {e.name.removeprefix("mechanics-small-"): changed(e, base) for e in mechanics.VARIATIONS}
    assert found == wanted


def test_averaged_takes_the_mean_of_the_examples_single_updates():
    one = tiny(mechanics.SMALL, examples=1, probes=(), dtype="float64", seeds=(0,))
    batch = mechanics.averaged(one, 20)
    assert (batch.examples, batch.batch) == (20, 20)
    kept = train(batch, progress=False).snapshots
    task = tasks.make(one, one.seeds)
    task.next_chunk()
    steps = []
    for i in range(20):
        net = network.initialise(one, one.seeds)
        before = [w.clone() for w in net.W]
        step(net, *task.batch(i, 1), one.rate)
        steps.append([(now - then).numpy() for now, then in zip(net.W, before, strict=True)])
    for layer, name in enumerate(("W0", "W1")):
        mean = np.mean([s[layer] for s in steps], axis=0)
        np.testing.assert_allclose(kept[f"{name} after"] - kept[f"{name} before"], mean, atol=1e-15, rtol=1e-9)


def step(net, x, target, rate):
    """One update by feedback alignment; returns activities and teaching signals."""
    h = net.forward(x)
    slopes = net.slopes(h)
    deltas = rules.feedback_alignment(target - h[-1], slopes, net.W[1:], net.B)
    network.update(net, h, slopes, deltas, (rate, rate))
    return h, slopes, deltas


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("biases", [0.1, 1.0])
def test_the_account_of_what_turns_W_is_exact(batch, biases):
    # d tr(BW) = d(|W0|^2 + |b0|^2)/2 - |dW0, db0|^2/2 + rate delta'(h - h' a), for each update.
    e = tiny(mechanics.SMALL, biases=biases, dtype="float64", seeds=(5,), rate=0.01)
    net, task = network.initialise(e, e.seeds), tasks.make(e, e.seeds)
    task.next_chunk()
    for n in range(5):
        W0, b0, W = net.W[0].clone(), net.b[0].clone(), net.W[1].clone()
        x, target = task.batch(n * batch, batch)
        a = torch.baddbmm(b0, x, W0)
        h, slopes, deltas = step(net, x, target, e.rate)
        moved = ((net.W[0] - W0) ** 2).sum() + ((net.b[0] - b0) ** 2).sum()
        growth = ((net.W[0] ** 2).sum() + (net.b[0] ** 2).sum() - (W0**2).sum() - (b0**2).sum()) / 2
        curvature = e.rate * (deltas[0] * (h[1] - slopes[0] * a)).sum()
        trace = (net.B[0].mT * (net.W[1] - W)).sum()
        assert float(trace) == pytest.approx(float(growth - moved / 2 + curvature), rel=1e-9)
        assert float(moved) > 1e-3 * abs(float(trace))  # else this would not notice that it is left out


# ---- maps


@pytest.mark.parametrize(
    ("chart", "centre", "reported"),
    [
        (mechanics.ALIGN_MAP, mechanics.ALIGN_CENTRE, mechanics.ALIGN),
        (mechanics.PHASE_MAP, mechanics.PHASE_CENTRE, mechanics.PHASES),
    ],
    ids=("align", "phases"),
)
def test_a_map_varies_one_thing_at_a_time_about_what_is_reported(chart, centre, reported):
    assert changed(centre, reported) == {"seeds"}
    assert not set(centre.seeds) & set(reported.seeds)
    for what, row in chart.items():
        assert centre in row.values(), what
        fields = set.union(*(changed(e, centre) for e in row.values()))
        assert fields == {"schedule", "examples"} if what == "length of a phase" else len(fields) == 1, (what, fields)
        assert len(set(row.values())) == len(row)


# ---- momentum


def test_momenta_share_everything_else():
    for m, experiment in momentum.BY_MOMENTUM.items():
        assert experiment.momentum == m
        assert changed(experiment, momentum.PLAIN) <= {"momentum"}
    runs = [train(e.but(seeds=(0, 1), examples=10, probes=(0, 10)), progress=False) for e in momentum.BY_MOMENTUM.values()]
    for run in runs[1:]:
        assert np.array_equal(run["nse"][:, 0], runs[0]["nse"][:, 0])
        assert not np.array_equal(run["nse"][:, 1], runs[0]["nse"][:, 1])


@pytest.mark.parametrize(
    ("control", "fields", "still"),
    [
        ("feedback alignment", set(), {"B1", "B2"}),
        ("B = 0", {"feedback"}, {"W0", "W1", "B1", "B2"}),
        ("B redrawn", {"redraw_feedback"}, set()),
    ],
)
def test_a_control_of_momentum_takes_away_what_it_says(control, fields, still):
    base, e = momentum.CONTROLS["feedback alignment"], momentum.CONTROLS[control]
    assert changed(e, base) == fields
    assert changed(base, momentum.BY_MOMENTUM[0.9]) == {"seeds", "examples", "products"}
    kept = train(
        e.but(seeds=(0,), examples=50, probes=(0, 50), snapshots=("W0", "W1", "W2", "B1", "B2")), progress=False
    ).snapshots
    assert {n for n in ("W0", "W1", "W2", "B1", "B2") if np.array_equal(kept[f"{n} before"], kept[f"{n} after"])} == still


def test_a_small_rate_with_momentum_learns_as_the_rate_that_it_amounts_to():
    size = {"seeds": (0, 1, 2), "examples": 2000, "probes": (0, 1000, 2000)}
    for m, experiment in momentum.BY_RATE.items():
        assert experiment.rate == pytest.approx(momentum.RATE / (1 - m))
        with_momentum = train(momentum.BY_MOMENTUM[m].but(**size, rate=momentum.RATE / 4), progress=False)["nse"][:, -1]
        at_rate = train(experiment.but(**size, rate=experiment.rate / 4), progress=False)["nse"][:, -1]
        without = train(momentum.PLAIN.but(**size, rate=momentum.RATE / 4), progress=False)["nse"][:, -1]
        np.testing.assert_allclose(with_momentum, at_rate, rtol=0.03)
        assert (without > 1.05 * at_rate).all()


def test_the_maps_of_momentum_name_their_points():
    for (rate, m), e in momentum.RATE_MAP.items():
        assert (e.rate, e.momentum) == (rate, m)
        assert changed(e, momentum.PLAIN) <= {"rate", "momentum", "seeds", "examples"}
    for (field, value, m), e in momentum.SCALE_MAP.items():
        assert (getattr(e, field), e.momentum) == (value, m)
        assert changed(e, momentum.PLAIN) <= {field, "momentum", "seeds", "examples"}
    for e in (*momentum.RATE_MAP.values(), *momentum.SCALE_MAP.values()):
        assert not set(e.seeds) & set(momentum.PLAIN.seeds)
