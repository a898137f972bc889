"""Ensembles of networks: seeds, masks, initial weights, shapes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_core.network import initialise
from fa_core.training import Run, train
from tests.helpers import linear_experiment, same, tanh_experiment


@pytest.mark.parametrize("experiment", [linear_experiment(), tanh_experiment(snapshot_runs=None)], ids=lambda e: e.name)
def test_a_seeds_result_does_not_depend_on_which_run_beside_it_nor_how_many(experiment):
    seeds = (11, 3, 8, 5, 2, 13, 0, 21, 4)
    together = train(experiment.but(seeds=seeds))
    for position in (0, 4, 8):
        alone = train(experiment.but(seeds=seeds[position : position + 1]))
        pair = train(experiment.but(seeds=(99, seeds[position])))
        for name, curve in together.curves.items():
            assert alone[name][0].tobytes() == curve[position].tobytes(), name
            assert pair[name][1].tobytes() == curve[position].tobytes(), name
        for name, array in together.snapshots.items():
            assert alone.snapshots[name][0].tobytes() == array[position].tobytes(), name


def test_rules_share_their_initial_weights_and_examples():
    a, b = (Run(tanh_experiment(rule=r), (3, 4)) for r in ("backprop", "feedback alignment"))
    for one, other in zip(a.network.arrays().values(), b.network.arrays().values(), strict=True):
        assert torch.equal(one, other)
    a.task.next_chunk(), b.task.next_chunk()
    assert torch.equal(a.task.batch(0, 10)[0], b.task.batch(0, 10)[0])


def test_either_precision_starts_from_the_same_weights():
    double, single = (initialise(tanh_experiment(dtype=d), (0, 1)) for d in ("float64", "float32"))
    for one, other in zip(double.arrays().values(), single.arrays().values(), strict=True):
        assert torch.equal(one.float(), other)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["backprop", "feedback alignment", "feedback alignment, gated", "shallow"]),
       st.floats(0.2, 0.9), st.sampled_from([0.0, 0.5]))
def test_masked_connections_stay_away_and_b_stays_fixed(rule, density, momentum):
    experiment = tanh_experiment(rule=rule, density=(density, 1.0, density), feedback_density=(density, density),
                                 momentum=momentum)
    run = Run(experiment, experiment.seeds)
    before = [b.clone() for b in run.network.B]
    run.advance()
    for arrays, masks in ((run.network.W, run.network.mask), (run.network.B, run.network.feedback_mask)):
        for array, mask in zip(arrays, masks, strict=True):
            assert mask is None or (array[mask == 0] == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(run.network.B, before, strict=True))
    kept = run.network.mask[0].mean().item()
    assert abs(kept - density) < 5 * np.sqrt(density * (1 - density) / run.network.mask[0].numel())


def test_half_of_w_and_half_of_b_leave_a_quarter_reciprocal():
    network = initialise(tanh_experiment(sizes=(10, 400, 10), density=(1.0, 0.5), feedback_density=(0.5,),
                                         snapshots=(), traced=()), (0, 1))
    both = (network.W[1] != 0) & (network.B[0].mT != 0)
    assert both.double().mean() == pytest.approx(0.25, abs=0.02)


def test_initial_weights_are_in_their_range_and_given_ones_are_kept():
    network = initialise(tanh_experiment(density=None, feedback_density=None, weights=(0.1, 0.2, 0.4), feedback=0.7,
                                         given=(("W2", tuple(range(28))),)), (0, 1))
    assert 0.09 < network.W[0].abs().max() <= 0.1
    assert 0.18 < network.W[1].abs().max() <= 0.2
    assert 0.6 < network.B[0].abs().max() <= 0.7
    assert network.W[2][1].flatten().tolist() == list(range(28))
    with pytest.raises(ValueError, match=r"given W2 with 3 values: there are W0 \(108\)"):
        initialise(tanh_experiment(given=(("W2", (1.0, 2.0, 3.0)),)), (0,))


def test_wrong_shapes_are_refused_with_the_shape_that_is_wanted():
    network = initialise(linear_experiment(), (0, 1, 2))
    for shape in ((3, 5, 29), (2, 5, 30), (5, 30)):
        with pytest.raises(ValueError, match=r"wanted \(3 runs, batch, 30 units\)"):
            network.forward(torch.zeros(shape).double())


def test_the_same_experiment_gives_the_same_bits():
    assert same(train(tanh_experiment()), train(tanh_experiment()))
