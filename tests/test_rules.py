"""Each rule against a derivation that shares nothing with it: autograd, or loops written out element by element."""

import numpy as np
import pytest
import torch

from fa_core.network import UNITS, initialise, update
from fa_core.rules import RULES, feedback_alignment, pseudoinverse, rule
from fa_core.training import Run
from tests.helpers import tanh_experiment

DEEP = tanh_experiment(density=None, feedback_density=None, momentum=0.0, weight_decay=0.0)


def prepared(units="tanh", output="logistic", runs=3, batch=4):
    """A network with random biases, a minibatch, and its forward pass."""
    experiment = DEEP.but(hidden=units, output=output, biases=0.2, seeds=tuple(range(runs)))
    network = initialise(experiment, experiment.seeds)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(runs, batch, 12, generator=g, dtype=torch.float64)
    target = torch.rand(runs, batch, 4, generator=g, dtype=torch.float64)
    h = network.forward(x)
    return network, x, target, h, network.slopes(h)


def updates(network, h, slopes, deltas):
    """What a step of rate 1 adds to every W and b."""
    before = {k: v.clone() for k, v in network.arrays().items()}
    update(network, h, slopes, deltas, rates=(1.0,) * len(deltas))
    return {k: v - before[k] for k, v in network.arrays().items()}


@pytest.mark.parametrize("units", [u for u in UNITS if u != "logistic, rough"])  # its weighting is no derivative
@pytest.mark.parametrize("output", ["logistic", "tanh", "linear"])
def test_backprop_is_the_gradient_that_autograd_finds(units, output):
    network, x, target, h, slopes = prepared(units, output)
    found = updates(network, h, slopes, rule("backprop")(target - h[-1], slopes, network.W[1:]))
    network, *_ = prepared(units, output)
    parameters = [*network.W, *network.b]
    for p in parameters:
        p.requires_grad_(True)
    y = x
    for w, b, unit in zip(network.W, network.b, (units, units, output), strict=True):
        y = TORCHS_OWN[unit](y @ w + b)
    loss = 0.5 * ((target - y) ** 2).sum()
    gradients = torch.autograd.grad(loss, parameters)
    for name, gradient in zip(["W0", "W1", "W2", "b0", "b1", "b2"], gradients, strict=True):
        torch.testing.assert_close(found[name], -gradient, rtol=1e-10, atol=1e-12)


def test_the_rough_weighting_is_a_fifth_in_the_middle_and_nothing_elsewhere():
    unit, weighting = UNITS["logistic, rough"]
    a = torch.tensor([-5.0, -2.1, 0.0, 2.1, 2.3, 5.0], dtype=torch.float64)  # the logistic function of 2.2 is 0.9
    h = unit(a.clone())
    torch.testing.assert_close(h, torch.sigmoid(a))
    assert weighting(h).tolist() == [0, 0.2, 0.2, 0.2, 0, 0]


TORCHS_OWN = {"logistic": torch.sigmoid, "tanh": torch.tanh, "linear": torch.nn.Identity(), "relu": torch.nn.ReLU(),
              "leaky": torch.nn.LeakyReLU(1 / 20)}


def by_hand(network, x, target, h, gate_chain=False, gate_output=False, backwards=None):
    """Feedback alignment for one run after another, one example after another, as sums over single synapses.

    delta2_j = sum_k B2_jk e_k and delta1_i = sum_j B1_ij delta2_j; then dW_ab = sum of delta_b f'_b h_a.
    """
    derivative = {"tanh": lambda v: 1 - v**2, "logistic": lambda v: v * (1 - v)}
    f1 = derivative[network.hidden]
    fy = derivative[network.output]
    backwards = [b.numpy() for b in backwards or network.B]
    dW = [np.zeros(w.shape) for w in network.W]
    for r in range(x.shape[0]):
        for n in range(x.shape[1]):
            a0, a1, a2, y = (v[r, n].numpy() for v in h)
            e = target[r, n].numpy() - y
            sent = [e[k] * (fy(y[k]) if gate_output else 1.0) for k in range(len(e))]
            d2 = [sum(backwards[1][r, k, j] * sent[k] for k in range(len(e))) for j in range(len(a2))]
            gated = [d2[j] * (f1(a2[j]) if gate_chain else 1.0) for j in range(len(a2))]
            d1 = [sum(backwards[0][r, j, i] * gated[j] for j in range(len(a2))) for i in range(len(a1))]
            for into, below, delta, act, f in ((dW[2], a2, e, y, fy), (dW[1], a1, d2, a2, f1), (dW[0], a0, d1, a1, f1)):
                for p in range(len(below)):
                    for q in range(len(act)):
                        into[r, p, q] += delta[q] * f(act[q]) * below[p]
    return dW


@pytest.mark.parametrize(("name", "options"), [
    ("feedback alignment", {}),
    ("feedback alignment, outputs gated", {"gate_output": True}),
    ("feedback alignment, gated", {"gate_output": True, "gate_chain": True}),
])
def test_feedback_alignment_is_what_the_methods_say_synapse_by_synapse(name, options):
    network, x, target, h, slopes = prepared()
    expected = by_hand(network, x, target, h, **options)
    found = updates(network, h, slopes, rule(name)(target - h[-1], slopes, network.W[1:], network.B))
    for layer in range(3):
        np.testing.assert_allclose(found[f"W{layer}"], expected[layer], rtol=1e-10, atol=1e-12)


MUTANTS = {
    "B = 0": lambda e, s, W, B: feedback_alignment(e, s, W, [0 * b for b in B]),
    "-B": lambda e, s, W, B: feedback_alignment(e, s, W, [-b for b in B]),
    "B redrawn": lambda e, s, W, B: feedback_alignment(e, s, W, [torch.rand_like(b) - 0.5 for b in B]),
    "wrong sign in the update": lambda e, s, W, B: [-d for d in feedback_alignment(e, s, W, B)],
    "W' in place of B": lambda e, s, W, B: feedback_alignment(e, s, W, [w.mT for w in W]),
    "gated chain": RULES["feedback alignment, gated"],
    "gated outputs": RULES["feedback alignment, outputs gated"],
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_derivation_by_hand_notices_each_wrong_rule(mutant):
    network, x, target, h, slopes = prepared()
    expected = by_hand(network, x, target, h)
    found = updates(network, h, slopes, MUTANTS[mutant](target - h[-1], slopes, network.W[1:], network.B))
    assert any(not np.allclose(found[f"W{layer}"], expected[layer], rtol=1e-6, atol=1e-9) for layer in range(3))


def test_feedback_alignment_with_b_equal_to_the_transpose_is_backprop_where_slopes_are_one():
    network, _, target, h, slopes = prepared("linear", "linear")
    e = target - h[-1]
    ours = feedback_alignment(e, slopes, network.W[1:], [w.mT for w in network.W[1:]])
    for a, b in zip(ours, rule("backprop")(e, slopes, network.W[1:]), strict=True):
        torch.testing.assert_close(a, b)


def test_pseudobackprop_sends_what_the_pseudoinverse_sends_gated_by_the_slopes_down_the_chain():
    network, _, target, h, slopes = prepared("tanh", "logistic")
    e = target - h[-1]
    delta = rule("pseudobackprop")(e, slopes, network.W[1:])
    for r in range(3):
        W1, W2 = (w[r].numpy().T for w in network.W[1:])  # the paper's columns
        for n in range(4):
            y, h2 = h[3][r, n].numpy(), h[2][r, n].numpy()
            below = np.linalg.pinv(W2) @ (e[r, n].numpy() * y * (1 - y))
            np.testing.assert_allclose(delta[1][r, n], below, rtol=1e-9)
            np.testing.assert_allclose(delta[0][r, n], np.linalg.pinv(W1) @ (below * (1 - h2**2)), rtol=1e-9)
    torch.testing.assert_close(delta[2], e)


@pytest.mark.parametrize("kind", [np.float32, torch.float32, np.float64, torch.float64], ids=str)
def test_the_pseudoinverse_of_a_product_of_low_rank_is_that_of_its_factors(kind):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 20, 3)), rng.normal(size=(2, 3, 10))
    product = left @ right
    # For factors of full rank (A C)^+ = C' (C C')^-1 (A' A)^-1 A'.
    wanted = right.mT @ np.linalg.inv(right @ right.mT) @ np.linalg.inv(left.mT @ left) @ left.mT
    given = product.astype(kind) if isinstance(kind, type) else torch.tensor(product, dtype=kind)
    found = pseudoinverse(given)
    assert found.dtype == given.dtype
    np.testing.assert_allclose(np.asarray(found), wanted, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("of", [np.asarray, torch.tensor])
def test_a_matrix_that_is_not_finite_has_no_pseudoinverse_and_those_beside_it_have_theirs(of, bad):
    w = np.random.default_rng(1).normal(size=(3, 5, 4))
    whole = pseudoinverse(of(w))
    w[1, 2, 3] = bad
    found = pseudoinverse(of(w))
    assert np.isnan(np.asarray(found[1])).all()
    assert (found[[0, 2]] == whole[[0, 2]]).all()


def test_a_run_that_diverges_under_pseudobackprop_leaves_the_others_whole():
    experiment = tanh_experiment(rule="pseudobackprop", probes=())
    together, without = Run(experiment, (3, 4, 5)), Run(experiment, (3, 5))
    together.network.W[2][1, 0, 0] = torch.inf
    together.advance()
    without.advance()
    assert together.diverged.tolist() == [-1, 1000, -1]
    for a, b in zip(together.network.W, without.network.W, strict=True):
        assert torch.equal(a[[0, 2]], b)


def test_rules_work_on_numpy_arrays_as_on_tensors():
    network, _, target, h, slopes = prepared("tanh", "logistic")
    e = target - h[-1]
    as_numpy = [[a.numpy() for a in part] for part in (slopes, network.W[1:], network.B)]
    for name, function in RULES.items():
        for a, b in zip(function(e.numpy(), *as_numpy), function(e, slopes, network.W[1:], network.B), strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=1e-9, err_msg=name)


def test_shallow_leaves_everything_below_the_outputs_alone():
    network, _, target, h, slopes = prepared()
    found = updates(network, h, slopes, rule("shallow")(target - h[-1], slopes, network.W[1:], network.B))
    assert all((found[k] == 0).all() for k in ("W0", "W1", "b0", "b1", "B1", "B2"))
    assert (found["W2"] != 0).any()


def test_an_unknown_rule_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="unknown rule 'magic'; there are: backprop, feedback alignment"):
        rule("magic")
