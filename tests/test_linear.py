"""The NumPy reference: against the torch engine step by step, against Fig. 2's laws, and with controls that fail."""

import numpy as np
import pytest
import torch

from fa_core import linear, measures
from fa_core.network import Network, update
from fa_core.rules import rule

SEEDS = tuple(range(5))


@pytest.mark.parametrize("name", ["backprop", "feedback alignment", "pseudobackprop", "shallow"])
def test_the_torch_engine_takes_the_same_steps(name):
    # From weights of 0.2, for the pseudoinverse of matrices near zero magnifies rounding without bound.
    start = linear.initialise(SEEDS, init=0.2)
    ours = [torch.from_numpy(a.mT.copy()) for a in (start.W0, start.W, start.B)]
    net = Network([ours[0], ours[1]], [torch.zeros(5, 1, 20).double(), torch.zeros(5, 1, 10).double()], [ours[2]],
                  "linear", "linear", [None, None], [None])
    x = torch.from_numpy(linear.draw(SEEDS, "examples", (150, 30)))
    T = torch.from_numpy(start.T).mT
    for t in range(150):
        h = net.forward(x[:, t : t + 1])
        slopes = net.slopes(h)
        deltas = rule(name)(x[:, t : t + 1] @ T - h[-1], slopes, net.W[1:], net.B)
        update(net, h, slopes, deltas, rates=(0.004, 0.004))
        for b in net.b:
            b.zero_()  # the reference has no biases
    reference = linear.learn(name, 0.004, SEEDS, 150, init=0.2).networks
    np.testing.assert_allclose(net.W[0].mT, reference.W0, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(net.W[1].mT, reference.W, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(net.B[0].mT, reference.B)


def test_a_seeds_result_does_not_depend_on_the_seeds_beside_it():
    together = linear.learn("feedback alignment", 0.008, SEEDS, 200)
    alone = linear.learn("feedback alignment", 0.008, SEEDS[3:4], 200)
    assert alone.nse[0].tobytes() == together.nse[3].tobytes()
    assert alone.angle[0].tobytes() == together.angle[3].tobytes()


def test_fewer_examples_are_the_beginning_of_more():
    long, short = (linear.learn("node perturbation, both", 5e-4, SEEDS, n) for n in (120, 60))
    assert short.nse.tobytes() == long.nse[:, :61].tobytes()


def test_exact_nse_is_what_a_large_sample_gives():
    net = linear.learn("feedback alignment", 0.008, SEEDS, 100).networks
    x = np.random.default_rng(0).standard_normal((30, 200_000))
    for r in range(2):
        sampled = measures.nse((net.W[r] @ net.W0[r] @ x).T, (net.T[r] @ x).T)
        assert net.nse()[r] == pytest.approx(sampled, rel=0.02)


def test_shallow_learning_leaves_w0_alone_and_feedback_alignment_leaves_b_alone():
    start = linear.initialise(SEEDS)
    assert linear.learn("shallow", 0.01, SEEDS, 50).networks.W0.tobytes() == start.W0.tobytes()
    assert linear.learn("feedback alignment", 0.01, SEEDS, 50).networks.B.tobytes() == start.B.tobytes()


def test_node_perturbation_follows_the_gradient_on_average():
    # One step from the same point, over many perturbations: their mean is backprop's step for W0.
    seeds = tuple(range(2000))
    net = linear.initialise((0,), init=0.2)
    x = linear.draw((0,), "examples", (1, 30))[0, 0][:, None]
    e = net.T[0] @ x - net.W[0] @ net.W0[0] @ x
    gradient = net.W[0].T @ e @ x.T
    sigma = 0.01
    xi = sigma * linear.draw(seeds, "hidden perturbations", (1, 20))[:, 0, :, None]
    rise = (((e - net.W[0] @ xi) ** 2).sum(1, keepdims=True) - (e * e).sum()) / (2 * sigma**2)
    estimate = (-rise * xi @ x.T).mean(0)
    assert measures.matrix_angle(estimate, gradient) < 10
    assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(gradient), rel=0.1)


@pytest.mark.parametrize(("control", "feedback_at"), [
    ("B = 0", lambda t, B: 0 * B),
    ("B redrawn at each example", lambda t, B: np.random.default_rng(t).uniform(-0.5, 0.5, B.shape)),
    ("the sign of B turned at each example", lambda t, B: B * (-1) ** t),
])
def test_controls_hardly_learn(control, feedback_at):
    learned = linear.learn("feedback alignment", 0.008, SEEDS, 600)
    failed = linear.learn("feedback alignment", 0.008, SEEDS, 600, feedback_at=feedback_at)
    assert learned.nse[:, -1].max() < 0.01, "feedback alignment itself learns"
    assert not (failed.nse[:, -1] <= 0.3).any(), control  # NaN, where a run diverged, is no success


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="unknown rule 'magic'; there are: backprop"):
        linear.learn("magic", 0.1, SEEDS, 1)


def test_the_angle_to_pseudobackprop_is_that_of_b_e_and_w_plus_e_and_probing_it_changes_nothing():
    plain = linear.learn("feedback alignment", 0.008, SEEDS, 100, init=0.2)
    probed = linear.learn("feedback alignment", 0.008, SEEDS, 100, init=0.2, pseudo=True)
    assert plain.pseudo_angle is None
    assert plain.nse.tobytes() == probed.nse.tobytes()
    assert plain.angle.tobytes() == probed.angle.tobytes()
    net, x = probed.networks, linear.draw(SEEDS, "probes", (linear.PROBED, 30)).mT
    for r in range(len(SEEDS)):
        e = (net.T[r] - net.W[r] @ net.W0[r]) @ x[r]
        signal = np.linalg.lstsq(net.W[r], e, rcond=None)[0]  # the shortest solution of W d = e is W^+ e
        angle = measures.angle(net.B[r] @ e, signal, axis=0).mean()
        assert probed.pseudo_angle[r, -1] == pytest.approx(angle, abs=1e-6)


def test_pseudobackprop_that_diverges_goes_on_as_nan():
    run = linear.learn("pseudobackprop", 0.02, SEEDS, 600, init=0.01)
    assert not np.isfinite(run.nse[:, -1]).any()
    assert np.isnan(run.examples_to(0.01)).all()
    W = np.stack([np.full((2, 3), np.nan), np.eye(2, 3)])
    np.testing.assert_array_equal(linear.pseudoinverse(W)[1], np.eye(3, 2))
