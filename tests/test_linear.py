"""The NumPy reference: against the torch engine step by step, against Fig. 2's laws, and with controls that fail."""

from itertools import combinations

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
    net = Network(
        [ours[0], ours[1]],
        [torch.zeros(5, 1, 20).double(), torch.zeros(5, 1, 10).double()],
        [ours[2]],
        "linear",
        "linear",
        [None, None],
        [None],
    )
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


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("sizes", [(30, 20, 10), (30, 1, 10), (30, 20, 1), (1, 4, 3)], ids=str)
def test_a_seeds_result_does_not_depend_on_the_seeds_beside_it(sizes, compiled):
    setting = {"sizes": sizes, "compiled": compiled}
    together = linear.learn("feedback alignment", 0.008, SEEDS, 200, **setting)
    alone = linear.learn("feedback alignment", 0.008, SEEDS[3:4], 200, **setting)
    assert alone.nse[0].tobytes() == together.nse[3].tobytes()
    assert alone.angle[0].tobytes() == together.angle[3].tobytes()


def test_fewer_examples_are_the_beginning_of_more():
    long, short = (linear.learn("node perturbation, both", 5e-4, SEEDS, n) for n in (120, 60))
    assert short.nse.tobytes() == long.nse[:, :61].tobytes()


def test_target_weights_and_feedback_weights_are_drawn_each_for_itself():
    net = linear.initialise(range(3), (20, 20, 20), target=0.5, init=0.5, feedback=0.5)  # of one shape, to be compared
    for one, other in combinations([net.T, net.W0, net.W, net.B], 2):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1


def test_exact_nse_is_what_a_large_sample_gives():
    net = linear.learn("feedback alignment", 0.008, SEEDS, 100).networks
    x = np.random.default_rng(0).standard_normal((30, 200_000))
    for r in range(2):
        sampled = measures.nse((net.W[r] @ net.W0[r] @ x).T, (net.T[r] @ x).T)
        assert net.nse()[r] == pytest.approx(sampled, rel=0.02)


def test_a_probed_quantity_is_taken_where_the_error_is_first_as_low():
    nse = np.array([[1.0, 0.5, 0.1, 0.2], [1.0, 0.9, 0.8, 0.7]])
    angle = np.array([[90.0, 60.0], [80.0, 70.0]])
    curves = linear.Curves(nse, np.array([0, 2]), angle, angle, angle, linear.initialise((0, 1)))
    assert np.array_equal(curves.at_nse("angle", 0.2), [60.0, np.nan], equal_nan=True)
    assert np.array_equal(curves.at_nse("angle", 0.8), [60.0, 70.0])
    assert np.array_equal(curves.at_nse("angle", 1.0), [90.0, 80.0])


def test_shallow_learning_leaves_w0_alone_and_feedback_alignment_leaves_b_alone():
    start = linear.initialise(SEEDS)
    assert linear.learn("shallow", 0.01, SEEDS, 50).networks.W0.tobytes() == start.W0.tobytes()
    assert linear.learn("feedback alignment", 0.01, SEEDS, 50).networks.B.tobytes() == start.B.tobytes()


PATHS = pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])


def by_hand(rule, net, r, x, B, rate, xi=None, zeta=None, sigma=None):
    """What an example adds to W0 and W of run r, as sums over single synapses."""
    T, W0, W = net.T[r], net.W0[r], net.W[r]
    n_h, n_i = W0.shape
    h = [sum(W0[k, i] * x[i] for i in range(n_i)) for k in range(n_h)]
    e = [sum(T[o, i] * x[i] for i in range(n_i)) - sum(W[o, k] * h[k] for k in range(n_h)) for o in range(len(T))]
    sent = {
        "backprop": lambda k: sum(W[o, k] * e[o] for o in range(len(e))),
        "feedback alignment": lambda k: sum(B[k, o] * e[o] for o in range(len(e))),
        "shallow": lambda k: 0.0,
        "pseudobackprop": lambda k: np.linalg.lstsq(W, np.array(e), rcond=None)[0][k],
    }.get(rule)
    taught = e
    if sent is None:
        loss = sum(v**2 for v in e) / 2
        disturbed = sum((e[o] - sum(W[o, k] * xi[k] for k in range(n_h)) - zeta[o]) ** 2 for o in range(len(e))) / 2
        sent = lambda k: -(disturbed - loss) / sigma**2 * xi[k]  # noqa: E731
        if rule == "node perturbation, both":
            taught = [-(disturbed - loss) / sigma**2 * zeta[o] for o in range(len(e))]
    return (
        np.array([[rate * sent(k) * x[i] for i in range(n_i)] for k in range(n_h)]),
        np.array([[rate * taught[o] * h[k] for k in range(n_h)] for o in range(len(e))]),
    )


@PATHS
@pytest.mark.parametrize("rule", linear.RULES)
def test_every_rule_takes_the_steps_that_its_equation_says(rule, compiled):
    seeds, sizes, rate, sigma, examples = (4, 9), (5, 3, 2), 0.05, 0.3, 3
    net = linear.initialise(seeds, sizes, init=0.4)
    x = linear.draw(seeds, "examples", (examples, 5))
    xi = sigma * linear.draw(seeds, "hidden perturbations", (examples, 3))
    zeta = sigma * linear.draw(seeds, "output perturbations", (examples, 2))
    if rule != "node perturbation, both":
        zeta = 0 * zeta
    nse = [net.nse()]
    for t in range(examples):
        for r in range(2):
            dW0, dW = by_hand(rule, net, r, x[r, t], net.B[r], rate, xi[r, t], zeta[r, t], sigma)
            net.W0[r] += dW0
            net.W[r] += dW
        nse.append(net.nse())
    learned = linear.learn(rule, rate, seeds, examples, sizes=sizes, init=0.4, sigma=sigma, compiled=compiled)
    np.testing.assert_allclose(learned.networks.W0, net.W0, rtol=1e-9)
    np.testing.assert_allclose(learned.networks.W, net.W, rtol=1e-9)
    np.testing.assert_array_equal(learned.networks.B, net.B)
    np.testing.assert_allclose(learned.nse, np.stack(nse, axis=1), rtol=1e-9)


@PATHS
@pytest.mark.parametrize("rule", linear.PERTURBATIONS)
def test_node_perturbation_follows_the_gradient_on_average(rule, compiled, monkeypatch):
    # One example, learned by many networks that differ in their perturbations alone: the mean step is backprop's.
    draw, seeds = linear.draw, tuple(range(4000))

    def shared(seeds, purpose, *rest):
        one = draw(seeds if "perturbations" in purpose else seeds[:1], purpose, *rest)
        return np.broadcast_to(one, (len(seeds), *one.shape[1:])).copy()

    monkeypatch.setattr(linear, "draw", shared)
    monkeypatch.setattr(linear, "PROBED", 2)
    start = linear.initialise(seeds[:1], init=0.2)

    def step(rule):
        net = linear.learn(
            rule,
            0.01,
            seeds if rule != "backprop" else seeds[:1],
            1,
            init=0.2,
            sigma=0.01,
            probe_every=10,
            compiled=compiled,
        ).networks
        return (net.W0 - start.W0).mean(0), (net.W - start.W).mean(0)

    for ours, gradient in zip(step(rule), step("backprop"), strict=True):
        assert measures.matrix_angle(ours, gradient) < 15
        assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(gradient), rel=0.1)


@PATHS
def test_probes_measure_the_networks_of_their_example_on_inputs_of_their_own(compiled):
    setting = {"sizes": (6, 4, 3), "init": 0.2, "pseudo": True, "compiled": compiled}
    curves = linear.learn("feedback alignment", 0.02, SEEDS, 40, probe_every=20, **setting)
    x = linear.draw(SEEDS, "probes", (linear.PROBED, 6))

    def angle(a, b):
        return np.degrees(np.arccos(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)))

    assert curves.probes.tolist() == [0, 20, 40]
    for p, examples in enumerate(curves.probes):
        net = linear.learn("feedback alignment", 0.02, SEEDS, examples, probe_every=10**6, **setting).networks
        for r in range(len(SEEDS)):
            W, B = net.W[r], net.B[r]
            angles, positive, pseudo = [], [], []
            for n in range(linear.PROBED):
                e = net.T[r] @ x[r, n] - W @ (net.W0[r] @ x[r, n])
                angles.append(angle(B @ e, W.T @ e))
                positive.append(e @ W @ B @ e > 0)
                pseudo.append(angle(B @ e, np.linalg.pinv(W) @ e))
            assert curves.angle[r, p] == pytest.approx(np.mean(angles), abs=1e-5)
            assert curves.positive[r, p] == pytest.approx(np.mean(positive))
            assert curves.weight_angle[r, p] == pytest.approx(angle(W.ravel(), B.T.ravel()), abs=1e-5)
            assert curves.pseudo_angle[r, p] == pytest.approx(np.mean(pseudo), abs=1e-5)


@pytest.mark.parametrize("rule", linear.RULES)
@pytest.mark.parametrize("feedback_at", [None, lambda t, B: B * (-1) ** t], ids=["B", "its sign turned"])
def test_the_compiled_path_takes_the_plain_ones_steps(rule, feedback_at):
    # 250 examples: past a hundred, which are handed over at once, and an end that is no probe's.
    plain, ours = (
        linear.learn(rule, 5e-4, SEEDS, 250, init=0.2, probe_every=100, feedback_at=feedback_at, compiled=c)
        for c in (False, True)
    )
    for name in ("W0", "W", "B", "T"):
        wanted = getattr(plain.networks, name)
        assert np.abs(getattr(ours.networks, name) - wanted).max() <= 64 * 2**-52 * np.abs(wanted).max(), name
    np.testing.assert_allclose(ours.nse, plain.nse, rtol=1e-12)
    np.testing.assert_allclose(ours.angle, plain.angle, rtol=1e-9)
    if rule == "pseudobackprop":
        assert ours.nse.tobytes() == plain.nse.tobytes(), "it is the plain one"


@PATHS
def test_a_run_that_diverges_leaves_the_others_whole(compiled):
    setting = {"probe_every": 100, "compiled": compiled}
    curves = linear.learn("feedback alignment", 0.012, tuple(range(12)), 1500, **setting)
    bad = ~np.isfinite(curves.nse[:, -1])
    assert 0 < bad.sum() < 12, "the rate is chosen so that some diverge"
    healthy = linear.learn("feedback alignment", 0.012, tuple(np.flatnonzero(~bad)), 1500, **setting)
    assert healthy.nse.tobytes() == curves.nse[~bad].tobytes()


@pytest.mark.parametrize(
    ("control", "feedback_at"),
    [
        ("B = 0", lambda t, B: 0 * B),
        ("B redrawn at each example", lambda t, B: np.random.default_rng(t).uniform(-0.5, 0.5, B.shape)),
        ("the sign of B turned at each example", lambda t, B: B * (-1) ** t),
    ],
)
def test_controls_hardly_learn(control, feedback_at):
    learned = linear.learn("feedback alignment", 0.008, SEEDS, 600)
    failed = linear.learn("feedback alignment", 0.008, SEEDS, 600, feedback_at=feedback_at)
    assert learned.nse[:, -1].max() < 0.01, "feedback alignment itself learns"
    assert not (failed.nse[:, -1] <= 0.3).any(), control  # NaN, where a run diverged, is no success


@pytest.mark.parametrize("given", [np.float32, np.int64, np.asfortranarray, lambda B: B[0]], ids=["32", "whole", "F", "one"])
def test_feedback_may_be_given_in_any_form(given):
    runs = [
        linear.learn("feedback alignment", 1e-3, SEEDS, 30, feedback_at=lambda t, B: given(np.round(4 * B)), compiled=c)
        for c in (True, False)
    ]
    np.testing.assert_allclose(*(r.nse for r in runs), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probe_every": 0}, "probe_every wants a number of examples, 1 or more, got 0"),
        ({"nse_every": 0}, "nse_every wants a number of examples, 1 or more, got 0"),
        ({"rule": "node perturbation, both", "sigma": 0.0}, "sigma, the size of the perturbations, must be above 0"),
    ],
)
def test_what_cannot_be_measured_or_perturbed_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear.learn(**{"rule": "backprop", "rate": 0.01, "seeds": SEEDS, "examples": 10} | options)


def test_seeds_may_come_one_by_one():
    runs = [linear.learn("backprop", 0.008, seeds, 20) for seeds in (SEEDS, iter(SEEDS))]
    assert runs[0].nse.tobytes() == runs[1].nse.tobytes()
    assert linear.initialise(iter(SEEDS)).B.shape == linear.initialise(SEEDS).B.shape


def test_what_is_measured_is_of_the_feedback_that_is_used():
    learned, none, turned = (
        linear.learn("feedback alignment", 0.008, SEEDS, 100, init=0.2, feedback_at=f)
        for f in (None, lambda t, B: 0 * B, lambda t, B: B if t < 99 else -B)
    )
    assert (none.positive[:, 1:] == 0).all(), "nothing is sent"
    assert np.isnan(none.angle[:, 1:]).all()
    assert np.isnan(none.weight_angle[:, 1:]).all()
    assert (learned.positive[:, -1] > 0.6).all()
    assert (turned.positive[:, -1] < 0.4).all(), "the last example was learned with -B"
    np.testing.assert_allclose(turned.weight_angle[:, -1], 180 - learned.weight_angle[:, -1], atol=2)


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


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rule", ["feedback alignment", "node perturbation, both"])
def test_the_error_may_be_taken_at_some_examples_alone_and_is_the_same_there(rule, compiled):
    def nse(**every):
        return linear.learn(rule, 0.002, [3, 4], 50, sizes=(6, 4, 3), probe_every=20, compiled=compiled, **every).nse

    at = [0, 7, 14, 21, 28, 35, 42, 49]
    all_of_them, some = nse(), nse(nse_every=7)
    assert np.array_equal(some[:, at], all_of_them[:, at])
    assert np.isnan(np.delete(some, at, axis=1)).all()
    with pytest.raises(ValueError, match=r"nse_every wants .* 1 or more, got 0"):
        nse(nse_every=0)


@pytest.mark.parametrize("rule", ["feedback alignment", "pseudobackprop"])
def test_learning_may_end_where_all_runs_are_at_an_error_and_says_the_same_up_to_there(rule):
    def learn(**until):
        return linear.learn(rule, 0.008, [3, 4], 2000, init=0.1, probe_every=50, **until)

    whole, ended = learn(), learn(until=0.1)
    seen = ended.nse.shape[1]
    assert 100 < seen < 1500
    assert np.array_equal(ended.nse, whole.nse[:, :seen])
    assert np.array_equal(ended.probes, np.arange(0, seen, 50))
    assert np.array_equal(ended.angle, whole.angle[:, : len(ended.probes)])
    assert np.array_equal(ended.examples_to(0.1), whole.examples_to(0.1))
    assert np.array_equal(ended.at_nse("angle", 0.1), whole.at_nse("angle", 0.1))
    assert (ended.nse[:, -1] <= 0.1).all()
    assert (whole.nse[:, : seen - 1 : 50] > 0.1).any(0).all(), "and no sooner than all are there"
    assert learn(until=1e-30).nse.shape == whole.nse.shape


def test_learning_goes_on_to_its_last_example_unless_it_is_told_to_end():
    exact = linear.learn("backprop", 0.1, [0], 3000, sizes=(1, 1, 1), init=0.5, probe_every=1000)
    assert (exact.nse == 0).any(), "or there is nothing to end at"
    assert exact.nse.shape == (1, 3001)
    assert len(exact.probes) == 4
