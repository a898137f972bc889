"""Each rule against a derivation that shares nothing with it: autograd, or loops written out element by element."""

import numpy as np
import pytest
import torch

from fa_core.network import UNITS, initialise, update
from fa_core.rules import OWN, RULES, feedback_alignment, learning_rule, pseudoinverse, register, rule
from fa_core.training import Run, step, train
from tests.helpers import tanh_experiment

DEEP = tanh_experiment(density=None, feedback_density=None, momentum=0.0, weight_decay=0.0, schedule=((0, 1.0),))


def prepared(units="tanh", output="logistic", runs=3, batch=4, rule="feedback alignment"):
    """A network with random biases, a minibatch, and its forward pass."""
    experiment = DEEP.but(hidden=units, output=output, biases=0.2, seeds=tuple(range(runs)), rule=rule)
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


TORCHS_OWN = {
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "linear": torch.nn.Identity(),
    "relu": torch.nn.ReLU(),
    "leaky": torch.nn.LeakyReLU(1 / 20),
}


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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("feedback alignment", {}),
        ("feedback alignment, outputs gated", {"gate_output": True}),
        ("feedback alignment, gated", {"gate_output": True, "gate_chain": True}),
    ],
)
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
    for name, function in RULES.items():
        network, _, target, h, slopes = prepared("tanh", "logistic", rule=name)
        e = target - h[-1]
        as_numpy = [[a.numpy() for a in part] for part in (slopes, network.W[1:], network.B)]
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


# ---- after 2016


def test_direct_feedback_alignment_sends_the_error_to_every_hidden_layer_synapse_by_synapse():
    network, _, target, h, slopes = prepared(rule="direct feedback alignment")
    assert [tuple(b.shape) for b in network.B] == [(3, 4, 9), (3, 4, 7)]
    e = target - h[-1]
    *hidden, out = rule("direct feedback alignment")(e, slopes, network.W[1:], network.B)
    assert out is e
    for layer, delta in enumerate(hidden):
        for r in range(3):
            for n in range(4):
                for j in range(delta.shape[2]):
                    by_hand = sum(float(network.B[layer][r, k, j]) * float(e[r, n, k]) for k in range(4))
                    assert float(delta[r, n, j]) == pytest.approx(by_hand, rel=1e-12)


def test_direct_random_target_projection_sends_the_label_whatever_the_outputs():
    network, x, target, _, _ = prepared("tanh", "logistic", rule="direct random target projection")
    labels = torch.eye(4, dtype=target.dtype)[torch.arange(12).reshape(3, 4) % 4]
    for scale in (0.1, 3.0):
        h = network.forward(scale * x)
        *hidden, out = rule("direct random target projection")(labels - h[-1], None, network.W[1:], network.B)
        torch.testing.assert_close(out, labels - h[-1])
        for delta, b in zip(hidden, network.B, strict=True):
            torch.testing.assert_close(delta, torch.stack([b[r, torch.arange(4 * r, 4 * r + 4) % 4] for r in range(3)]))


def test_direct_feedback_alignment_is_feedback_alignment_where_there_is_one_hidden_layer():
    two = DEEP.but(sizes=(12, 9, 4), probes=(0, 1000), snapshots=(), traced=())
    ours, other = (Run(two.but(rule=name), (1,)) for name in ("direct feedback alignment", "feedback alignment"))
    ours.advance()
    other.advance()
    assert all(torch.equal(a, b) for a, b in zip(ours.network.W, other.network.W, strict=True))
    assert ours.probed[-1].keys() == other.probed[-1].keys()
    assert all(np.array_equal(ours.probed[-1][k], other.probed[-1][k]) for k in ours.probed[-1])


def test_the_weight_angle_of_direct_feedback_is_that_with_the_product_of_the_weights_above():
    run = Run(DEEP.but(rule="direct feedback alignment", probes=(0,)), (0, 1))
    _, W1, W2 = run.network.W
    for r in range(2):
        products = [(W1[r] @ W2[r]).numpy(), W2[r].numpy()]
        for layer, product in enumerate(products):
            a, b = product.ravel(), run.network.B[layer][r].numpy().T.ravel()
            angle = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
            assert run.probed[0]["weight angle"][r, layer] == pytest.approx(angle, abs=1e-6)


def steps_taken(name, count=5, **changes):
    """A network after some steps on one minibatch, and what it was before each; float64."""
    experiment = DEEP.but(rule=name, batch=10, seeds=(0, 1), rate=0.02, **changes)
    network, before = initialise(experiment, (0, 1)), []
    g = torch.Generator().manual_seed(1)
    x, target = torch.randn(2, 10, 12, generator=g).double(), torch.randn(2, 10, 4, generator=g).double()
    for _ in range(count):
        h = network.forward(x)
        before.append(([w.clone() for w in network.W], [b.clone() for b in network.B], h, network.slopes(h), target - h[-1]))
        step(experiment, network, rule(name), x, target, experiment.rates_at(0))
    return network, before


@pytest.mark.parametrize("density", [None, (1.0, 0.5)])
def test_by_sign_symmetry_b_has_the_signs_of_w_from_the_start_on_and_the_magnitudes_that_were_drawn(density):
    network, before = steps_taken("sign symmetry", weights=0.05, feedback_density=density)
    drawn = initialise(DEEP.but(seeds=(0, 1), weights=0.05, feedback_density=density), (0, 1)).B
    turned = 0
    for W, B in (*((W, B) for W, B, *_ in before), (network.W, network.B)):
        for w, b, magnitude in zip(W[1:], B, drawn, strict=True):
            assert torch.equal(b.abs(), magnitude.abs())
            assert (b * w.mT >= 0).all()
    for (old, *_), new in zip([b[1:] for b in before], [b[1][0] for b in before[1:]], strict=False):
        turned += int((old[0] != new).sum())
    assert turned > 0, "signs change as W learns"


def test_sign_symmetry_takes_the_steps_of_gated_feedback_alignment_with_its_b():
    network, before = steps_taken("sign symmetry", count=1)
    (_, W1, W2), (B1, B2), h, slopes, e = before[0]
    d3 = e * slopes[2]
    d2 = (d3 @ B2) * slopes[1]
    d1 = (d2 @ B1) * slopes[0]
    for ours, old, below, d in zip(network.W, before[0][0], h, (d1, d2, d3), strict=False):
        torch.testing.assert_close(ours, old + 0.02 * below.mT @ d, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(B2.sign(), W2.mT.sign())
    torch.testing.assert_close(B1.sign(), W1.mT.sign())


def test_by_kolen_and_pollack_b_learns_what_w_learns_and_their_difference_decays():
    network, before = steps_taken("Kolen-Pollack", weight_decay=0.5)
    W, B, h, slopes, e = before[0]
    d3 = e * slopes[2]
    d2 = (d3 @ B[1]) * slopes[1]
    kept = 1 - 0.02 * 10 * 0.5
    for old, new, below, d in ((B[0], before[1][1][0], h[1], d2), (B[1], before[1][1][1], h[2], d3)):
        by_hand = torch.zeros_like(old)
        for n in range(10):
            by_hand += d[:, n, :, None] * below[:, n, None, :]
        torch.testing.assert_close(new, kept * old + 0.02 * by_hand, rtol=1e-12, atol=1e-14)
    for w, b, w0, b0 in zip(network.W[1:], network.B, W[1:], B, strict=True):
        torch.testing.assert_close(b.mT - w, kept**5 * (b0.mT - w0), rtol=1e-9, atol=1e-12)


def test_a_run_by_kolen_and_pollack_comes_to_an_angle_of_zero_and_goes_on_from_its_state_to_the_bit():
    experiment = DEEP.but(
        rule="Kolen-Pollack", weight_decay=0.1, rate=0.005, batch=10, examples=12_000, probes=(0, 12_000), seeds=(0, 1)
    )
    whole = train(experiment, progress=False)
    assert whole["weight angle"][:, 0].min() > 60
    assert whole["weight angle"][:, -1].max() < 1
    first, second = Run(experiment, (0, 1)), Run(experiment, (0, 1))
    first.advance()
    second.restore(first.state())
    while not second.done:
        second.advance()
    assert np.array_equal(second.probed[-1]["weight angle"], whole["weight angle"][:, -1])


# ---- rules of one's own


def scaled(k, by=None):
    """A rule that sends k times the signals of feedback alignment below the outputs."""

    @learning_rule("scaled")
    def signals(e, slopes, W, B):
        *below, outputs = feedback_alignment(e, slopes, W, B)
        return [*((k if by is None else by[0]) * d for d in below), outputs]

    return signals


def test_rules_of_one_text_are_told_apart_by_what_they_enclose():
    rules = [scaled(0.0), scaled(1.0), scaled(1.0, np.zeros(2000)), scaled(1.0, np.ones(2000))]
    experiments = [DEEP.but(rule=r) for r in rules]
    assert len({e.digest for e in experiments}) == len(rules)
    assert [OWN[e.rule] for e in experiments] == rules
    assert DEEP.but(rule=scaled(1.0)).digest == experiments[1].digest, "made again it is the same"

    def default(k):
        @learning_rule("default")
        def signals(e, slopes, W, B, k=k):
            return feedback_alignment(k * e, slopes, W, B)

        return signals

    assert len({default(k).digest() for k in (1, 2)}) == 2

    def recursive():
        def halved(n, e):
            return e if n == 0 else halved(n - 1, e / 2)

        return learning_rule("halved")(lambda e, slopes, W, B: feedback_alignment(halved(3, e), slopes, W, B))

    assert recursive().digest() == recursive().digest()
    with pytest.raises(ValueError, match=r"signals uses k = <object object at 0x.*give numbers, arrays or functions"):
        scaled(object()).digest()


def test_one_of_several_lambdas_is_refused():
    make = learning_rule("short")
    one, _ = make(lambda e, s, W, B: feedback_alignment(e, s, W, B)), make(lambda e, s, W, B: [None, None, e])
    with pytest.raises(ValueError, match="is one of several lambdas in a statement: make a function of it"):
        one.digest()


def test_signals_that_are_no_tensors_are_refused():
    with pytest.raises(ValueError, match="gives signals that are no tensors of PyTorch: ndarray"):
        DEEP.but(rule=learning_rule("odd")(lambda e, s, W, B: [d.numpy() for d in feedback_alignment(e, s, W, B)]))


def test_an_experiment_takes_a_rule_of_ones_own_and_knows_it_by_its_name_and_text():
    @learning_rule("mine")
    def mine(e, slopes, W, B):
        return feedback_alignment(e, slopes, W, B)

    @learning_rule("mine")
    def other(e, slopes, W, B):
        return feedback_alignment(2 * e, slopes, W, B)

    ours, theirs = DEEP.but(rule=mine), DEEP.but(rule=other)
    assert ours.rule.startswith("mine (")
    assert OWN[ours.rule] is mine
    assert register(mine) == ours.rule
    assert len({ours.digest, theirs.digest, DEEP.digest}) == 3
    run, plain = Run(ours, (0,)), Run(DEEP, (0,))
    run.advance()
    plain.advance()
    assert all(torch.equal(a, b) for a, b in zip(run.network.W, plain.network.W, strict=True))


def test_a_rule_of_the_house_may_be_given_as_it_is():
    assert DEEP.but(rule=RULES["backprop"]) == DEEP.but(rule="backprop")


WRONG = {
    "B of another shape": (lambda e, s, W, B: [*(e @ b for b in B), e], {}, "fails: RuntimeError"),
    "a layer too few": (lambda e, s, W, B: feedback_alignment(e, s, W, B)[1:], {}, "gives signals of the shapes"),
    "a signal of another shape": (lambda e, s, W, B: [e, e, e], {}, "gives signals of the shapes"),
    "b that learns what it cannot": (
        lambda e, s, W, B: feedback_alignment(e, s, W, B),
        {"learn": lambda B, h, d, rates, shrink: B[0].add_(h[0])},
        "fails: RuntimeError",
    ),
    "b that learns from a signal that a layer does not get": (
        lambda e, s, W, B: [None, None, e],
        {"learn": lambda B, h, d, rates, shrink: [b.add_(delta.sum()) for b, delta in zip(B, d, strict=False)]},
        "fails: AttributeError",
    ),
    "nothing": (lambda e, s, W, B: None, {}, "fails: TypeError"),
    "b tied to what it is not like": (
        lambda e, s, W, B: feedback_alignment(e, s, W, B),
        {"tie": lambda W, B: B[0].copy_(W[0])},
        "fails: RuntimeError",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_rule_that_cannot_be_run_is_refused_when_the_experiment_is_described(what):
    signals, options, message = WRONG[what]
    with pytest.raises(ValueError, match=rf"rule 'wrong', tried on 6 examples in a network of 2-3-4-5 units, {message}"):
        DEEP.but(rule=learning_rule("wrong", **options)(signals))


def test_a_rule_of_ones_own_may_come_later_in_a_run():
    mine = learning_rule("mine")(lambda e, slopes, W, B: feedback_alignment(e, slopes, W, B))
    mixed = DEEP.but(switch=((10, mine),))
    assert mixed.rule_at(9) == DEEP.rule
    assert OWN[mixed.rule_at(10)] is mine
    run = Run(mixed, (0,))
    run.advance()
    assert run.rule is mine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": feedback_alignment.signals}, "rule wants a rule's name, or a function that @learning_rule made a rule"),
        ({"switch": ((10, feedback_alignment.signals),)}, "a function that @learning_rule made a rule"),
        ({"switch": 10}, "switch wants a tuple"),
        ({"task": (np.ones((3, 2)), np.ones(3))}, "task wants the name of a task, or a DataSet"),
    ],
)
def test_what_is_no_rule_and_no_task_is_refused_with_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        DEEP.but(**change)


def test_a_rule_without_a_text_is_refused():
    written: dict = {}
    exec("def signals(e, slopes, W, B):\n    return [None, None, e]", written)
    with pytest.raises(ValueError, match=r"the text of rule 'typed' is not to be found .*: define its functions in a file"):
        DEEP.but(rule=learning_rule("typed")(written["signals"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "Kolen-Pollack", "momentum": 0.9}, "momentum is not there for rule 'Kolen-Pollack', by which B learns"),
        ({"rule": "Kolen-Pollack", "products": "oneDNN", "dtype": "float32"}, "not there for a rule that changes B"),
        ({"rule": "direct feedback alignment", "products": "compiled", "batch": 1}, "not there for rule 'direct feedback"),
        ({"switch": ((10, "direct feedback alignment"),)}, "their B do not lie between the same layers"),
        ({"rule": "direct feedback alignment", "given": (("B1", (0.0,) * 63),)}, r"given B1 with 63 values: .*B1 \(36\)"),
    ],
)
def test_what_does_not_fit_a_rule_is_refused_when_the_experiment_is_described(change, message):
    with pytest.raises(ValueError, match=message):
        DEEP.but(**change)
