"""Ensembles of networks: seeds, masks, initial weights, shapes."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fa_core import mkl
from fa_core.data import tasks
from fa_core.draws import generator
from fa_core.network import draw_feedback, initialise, receptive_fields, update
from fa_core.rules import rule
from fa_core.training import Run, step, train
from tests.helpers import linear_experiment, same, tanh_experiment


def parts(history, run) -> dict[str, bytes]:
    """All that is kept of a run, to the bit."""
    return {name: array[run].tobytes() for name, array in (history.curves | history.snapshots).items()}


def alone_together_and_in_pairs(experiment) -> tuple[list[dict], list[dict], list[dict]]:
    """What is kept of three seeds that run with eight others, each with one other, and each alone; on the threads that
    torch has now."""
    experiment = experiment.but(snapshots=tuple(experiment.shapes()), snapshot_runs=None, snapshot_units=None)
    seeds = (11, 3, 8, 5, 2, 13, 0, 21, 4)
    whole = train(experiment.but(seeds=seeds))
    chosen = (0, 4, 8)
    pairs = [parts(train(experiment.but(seeds=(99, seeds[i]))), 1) for i in chosen]
    alone = [parts(train(experiment.but(seeds=(seeds[i],))), 0) for i in chosen]
    return [parts(whole, i) for i in chosen], pairs, alone


@pytest.fixture
def threads():
    """Sets how many threads torch has, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "experiment",
    [
        linear_experiment(),
        linear_experiment(dtype="float32", hidden="tanh", rule="backprop"),
        linear_experiment(batch=100, momentum=0.5, rate=1e-4),
        linear_experiment(sizes=(2, 25, 2), batch=2, dropout=(0.2, 0.5)),
        linear_experiment(products="compiled", momentum=0.5, rate=0.002),
        linear_experiment(products="bfloat16", batch=50, dtype="float32", rate=1e-4),
        tanh_experiment(),
    ],
    ids=["linear", "float32", "momentum", "dropout", "compiled", "bfloat16", "tanh"],
)
def test_a_seeds_result_does_not_depend_on_the_seeds_beside_it_nor_on_whether_there_are_any(experiment, threads):
    threads(1)
    together, pairs, alone = alone_together_and_in_pairs(experiment)
    assert len(together[0]) > 7
    assert pairs == together
    assert alone == together


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (2, {}),
        (1, {"sizes": (30, 33, 1)}),
        (1, {"sizes": (30, 1, 10), "batch": 100, "rate": 1e-4}),
        (1, {"sizes": (1, 20, 10), "batch": 100, "dtype": "float32", "rate": 1e-4}),
        (1, {"momentum": 0.5, "rate": 0.002}),
        (1, {"products": "compiled", "sizes": (30, 33, 1), "dtype": "float32"}),
    ],
    ids=["two threads", "one output", "one hidden unit", "one input", "momentum", "compiled"],
)
def test_where_it_depends_on_whether_there_are_any_and_on_nothing_else(number, change, threads):
    threads(number)
    # As `training.groups` says. Where a seed that runs alone has the same bits here, it promises too little.
    together, pairs, alone = alone_together_and_in_pairs(linear_experiment(hidden="tanh", **change))
    assert pairs == together
    if mkl.in_force() != "unknown":
        assert alone != together
    learned = [name for name in together[0] if name.endswith("after")]
    assert len(learned) == 5
    if change.get("products") == "compiled":
        assert [[run[name] for name in learned] for run in alone] == [[run[name] for name in learned] for run in together]
    dtype = change.get("dtype", "float64")
    for one, other in zip(alone, together, strict=True):
        for name in learned:
            np.testing.assert_allclose(
                np.frombuffer(one[name], dtype), np.frombuffer(other[name], dtype), rtol=1e-4, atol=1e-5, err_msg=name
            )


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
@given(
    st.sampled_from(["backprop", "feedback alignment", "feedback alignment, gated", "shallow"]),
    st.floats(0.2, 0.9),
    st.sampled_from([0.0, 0.5]),
)
def test_masked_connections_stay_away_and_b_stays_fixed(rule, density, momentum):
    experiment = tanh_experiment(
        rule=rule, density=(density, 1.0, density), feedback_density=(density, density), momentum=momentum
    )
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
    network = initialise(
        tanh_experiment(sizes=(10, 400, 10), density=(1.0, 0.5), feedback_density=(0.5,), snapshots=(), traced=()), (0, 1)
    )
    both = (network.W[1] != 0) & (network.B[0].mT != 0)
    assert both.double().mean() == pytest.approx(0.25, abs=0.02)


def test_initial_weights_are_in_their_range_and_given_ones_are_kept():
    network = initialise(
        tanh_experiment(
            density=None, feedback_density=None, weights=(0.1, 0.2, 0.4), feedback=0.7, given=(("W2", tuple(range(28))),)
        ),
        (0, 1),
    )
    assert 0.09 < network.W[0].abs().max() <= 0.1
    assert 0.18 < network.W[1].abs().max() <= 0.2
    assert 0.6 < network.B[0].abs().max() <= 0.7
    assert network.W[2][1].flatten().tolist() == list(range(28))
    with pytest.raises(ValueError, match=r"given W2 with 3 values: there are W0 \(108\)"):
        tanh_experiment(given=(("W2", (1.0, 2.0, 3.0)),))


def test_wrong_shapes_are_refused_with_the_shape_that_is_wanted():
    network = initialise(linear_experiment(), (0, 1, 2))
    for shape in ((3, 5, 29), (2, 5, 30), (5, 30)):
        with pytest.raises(ValueError, match=r"wanted \(3 runs, batch, 30 units\)"):
            network.forward(torch.zeros(shape).double())


def test_the_same_experiment_gives_the_same_bits():
    assert same(train(tanh_experiment()), train(tanh_experiment()))


# ---- receptive fields


def test_a_unit_of_a_map_sees_its_own_patch_and_every_map_has_one_at_each_place():
    mask = receptive_fields(2, 3, 5)
    assert mask.shape == (25, 2 * 9)
    for unit in range(18):
        row, column = divmod(unit % 9, 3)
        seen = np.zeros((5, 5))
        seen[row : row + 3, column : column + 3] = 1
        assert np.array_equal(mask[:, unit].reshape(5, 5), seen)


def test_the_papers_fields_come_to_its_numbers_of_units():
    assert receptive_fields(6, 6, 28).shape == (784, 3174)
    assert receptive_fields(8, 10, 32).shape == (1024, 4232)


@pytest.mark.parametrize("products", ["", "oneDNN", "bfloat16"])
def test_learning_leaves_what_a_unit_does_not_see_at_zero(products):
    experiment = linear_experiment(sizes=(25, 18, 10), weights=0.1, fields=(2, 3, 5), dtype="float32", products=products)
    run = Run(experiment, (0, 1))
    before = run.network.W[0].clone()
    run.advance()
    mask = receptive_fields(2, 3, 5).bool().expand(2, -1, -1)
    assert (run.network.W[0][~mask] == 0).all()
    assert (run.network.W[0] != before)[mask].all()


# ---- dropout


def test_a_unit_is_silenced_as_often_as_said_anew_at_every_example_and_none_of_the_outputs():
    network = initialise(linear_experiment(sizes=(40, 50, 10), dropout=(0.2, 0.5)), (0, 1))
    inputs, hidden, outputs = network.draw_kept([generator(s, "dropout") for s in (0, 1)], 400)
    assert outputs is None
    assert inputs.shape == (2, 400, 40)
    assert hidden.shape == (2, 400, 50)
    # 16,000 and 20,000 draws of a run: a standard deviation of 0.003 and 0.0035.
    np.testing.assert_allclose(inputs.mean((1, 2)), 0.8, atol=0.02)
    np.testing.assert_allclose(hidden.mean((1, 2)), 0.5, atol=0.02)
    assert not torch.equal(hidden[:, 0], hidden[:, 1])
    assert not torch.equal(hidden[0], hidden[1])


@pytest.mark.parametrize("hidden", ["tanh", "logistic", "leaky", "linear"])
def test_backprop_with_dropout_is_the_gradient_of_the_network_that_is_left(hidden):
    experiment = linear_experiment(sizes=(6, 8, 7, 4), weights=0.5, rule="backprop", hidden=hidden, dropout=(0.2, 0.5, 0.4))
    network = initialise(experiment, (0,))
    keep = network.draw_kept([generator(0, "dropout")], 5)
    g = torch.Generator().manual_seed(1)
    x, target = (torch.randn(1, 5, n, generator=g, dtype=torch.float64) for n in (6, 4))
    W = [w.clone().requires_grad_() for w in network.W]
    unit = {
        "tanh": torch.tanh,
        "logistic": torch.sigmoid,
        "linear": lambda a: a,
        "leaky": lambda a: torch.nn.functional.leaky_relu(a, 1 / 20),
    }[hidden]
    a = x * keep[0] / 0.8
    a = unit(a @ W[0] + network.b[0]) * keep[1] / 0.5
    a = unit(a @ W[1] + network.b[1]) * keep[2] / 0.6
    (0.5 * (target - a @ W[2] - network.b[2]).square().sum()).backward()
    h = network.forward(x, keep=keep)
    slopes = network.slopes(h, keep)
    update(network, h, slopes, rule("backprop")(target - h[-1], slopes, network.W[1:]), (1.0,) * 3)
    for new, old in zip(network.W, W, strict=True):
        torch.testing.assert_close(new, old.detach() - old.grad)


# ---- draws


def test_no_array_of_a_run_is_drawn_with_the_numbers_of_another():
    # Numbers that two purposes share would tie B to W before anything is learned, or a mask to the sign of what it keeps.
    experiment = tanh_experiment(
        sizes=(40, 30, 30, 30),
        density=(0.5, 0.5, 0.5),
        feedback_density=(0.5, 0.5),
        biases=0.3,
        dropout=(0.5, 0.5, 0.5),
        redraw_feedback=True,
        examples=1000,
        batch=1000,
        probes=(),
    )
    run = Run(experiment, (7,))
    run.task.next_chunk()
    whole = initialise(experiment.but(density=None, feedback_density=None), (7,))
    drawn = {name: a.flatten() for name, a in whole.arrays().items()}
    drawn |= {f"mask {i}": m.flatten() for i, m in enumerate(run.network.mask + run.network.feedback_mask)}
    drawn |= {"examples": run.task.batch(0, 1000)[0].flatten(), "tests": run.task.test_x.flatten()}
    drawn |= {f"kept {i}": k.flatten() for i, k in enumerate(run.network.draw_kept(run.dropped, 100)[:-1])}
    drawn |= {f"redrawn {i}": b.flatten() for i, b in enumerate(draw_feedback(experiment, run.redraw))}
    drawn |= {"target": tasks.draw([tasks.generator(7, "target")], (40, 30), 1.0).flatten()}
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        n = min(len(a), len(b))
        correlation = torch.corrcoef(torch.stack([a[:n].double(), b[:n].double()]))[0, 1]
        assert abs(correlation) < 6 / np.sqrt(n), (one, other)
    for w, mask in zip(whole.W, run.network.mask, strict=True):
        kept = w[mask == 1]
        assert abs(kept.sign().mean()) < 6 / np.sqrt(len(kept)), "of either sign are kept"


def test_biases_are_drawn_on_the_scale_that_is_given_or_on_that_of_w():
    def biases(scale):
        return initialise(linear_experiment(weights=(0.1, 0.4), biases=scale, sizes=(30, 500, 500)), (0, 1)).b

    assert all((b == 0).all() for b in biases(0.0))
    for b, scale in zip([*biases(0.7), *biases(None)], (0.7, 0.7, 0.1, 0.4), strict=True):
        assert 0.98 * scale < b.abs().max() <= scale


# ---- weight decay


@pytest.mark.parametrize("products", ["", "oneDNN", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 5, 40])
def test_a_step_takes_the_decay_of_each_example_of_the_minibatch_from_w_and_b(products, batch):
    experiment = linear_experiment(
        dtype="float32", products=products, batch=batch, examples=400 * batch, weights=0.5, biases=0.5, probes=()
    )
    rate, decay = 2.0**-6, 2.0**-5
    with_decay, without = (initialise(experiment, (0, 1)) for _ in range(2))
    before = [a.clone() for a in (*without.W, *without.b)]
    x = torch.randn(2, batch, 30, generator=torch.Generator().manual_seed(0))
    for network, d in ((with_decay, decay), (without, 0.0)):
        step(
            experiment.but(weight_decay=d),
            network.taking(products),
            rule("backprop"),
            x,
            torch.zeros(2, batch, 10),
            (rate, rate),
        )
    for a, b, start in zip((*with_decay.W, *with_decay.b), (*without.W, *without.b), before, strict=True):
        torch.testing.assert_close(b - a, rate * batch * decay * start, rtol=2e-3, atol=2e-6)


def test_a_step_applies_dropout_and_a_silenced_unit_learns_nothing():
    experiment = tanh_experiment(
        dropout=(0.5, 0.5, 0.5), density=None, feedback_density=None, momentum=0.0, weight_decay=0.0
    )
    network = initialise(experiment, (0,))
    keep = network.draw_kept([tasks.generator(0, "dropout")], 1)
    before = [w.clone() for w in network.W]
    x = torch.randn(1, 1, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = step(experiment, network, rule("feedback alignment"), x, torch.ones(1, 1, 4).double(), (0.1,) * 3, keep)
    h = x * keep[0] * 2
    for i, unit in enumerate((torch.tanh, torch.tanh, lambda a: a)):
        h = unit(h @ before[i] + initialise(experiment, (0,)).b[i])
        h = h if i == 2 else h * keep[i + 1] * 2
    torch.testing.assert_close(error, 1 - h)
    for i in range(3):
        change = (network.W[i] - before[i])[0]
        from_below = keep[i][0, 0].bool()
        above = keep[i + 1][0, 0].bool() if keep[i + 1] is not None else torch.ones(4, dtype=bool)
        assert (change[from_below][:, above] != 0).all()
        assert (change[~from_below] == 0).all()
        assert (change[:, ~above] == 0).all()


def test_a_bias_learns_from_the_sum_over_a_minibatch():
    experiment = linear_experiment(batch=4, probes=())
    network = initialise(experiment, (0,))
    x = torch.randn(1, 4, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = step(experiment, network, rule("feedback alignment"), x, torch.ones(1, 4, 10).double(), (0.1, 0.1))
    torch.testing.assert_close(network.b[1][0, 0], 0.1 * error[0].sum(0))
    torch.testing.assert_close(network.b[0][0, 0], 0.1 * (error[0] @ network.B[0][0]).sum(0))
