"""The spiking network: each equation followed by hand, state carried over every switch, runs resumed to the bit."""

import math
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch

from fa_core import records, spiking, training, verification
from fa_core.draws import generator
from fa_core.experiments import spiking as described
from fa_core.experiments.spiking import SpikingExperiment
from fa_core.proofs import show
from fa_core.proofs import spiking as proofs
from fa_core.spiking import Network, Noise, Run, initialise, train
from tests.helpers import same

ROOT = Path(__file__).parents[1]
TINY = SpikingExperiment(
    name="test-spiking",
    sizes=(784, 60, 50, 50),
    examples=400,
    seeds=(3, 4),
    probes=(0, 100, 200, 400),
    snapshots=(0, 200),
    tested=200,
    weight_decay=3e-7,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where records go in these tests."""
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    return tmp_path


# ---- the equations, by hand


def logistic(v):
    return 1 / (1 + math.exp(-v))


def squashed(name, u):
    """phi_delta."""
    return {"tanh": math.tanh(u), "logistic": logistic(u) - 0.5, "stretched": 2 * logistic(u) - 1}[name]


def by_hand(net, steps, rate):
    """Eqs 5 to 8 in loops over single neurons and plain numbers: one stream after the other within each step, the
    weights changed when all streams have run. `steps`: (input probabilities, target, random numbers) of each step.
    Weights indexed [layer][pre][post], B as printed, [layer][j][k] from unit k above to unit j."""
    W, b = [w.tolist() for w in net.W], [v.tolist() for v in net.b]
    B, tau, streams = [m.mT.tolist() for m in net.B], net.tau, net.streams
    sizes, m, share = net.sizes, len(net.W), [a.tolist() for a in net.share]
    V = [[[0.0] * n for n in sizes[1:]] for _ in range(streams)]
    U = [[[0.0] * n for n in sizes[1:]] for _ in range(streams)]
    for x, target, r in steps:
        change = []
        for s in range(streams):
            h = [[1.0 if r[0][s][i] < x[s][i] else 0.0 for i in range(sizes[0])]]
            for y in range(m):  # eq. 5
                for j in range(sizes[y + 1]):
                    psp = sum(W[y][i][j] * h[y][i] for i in range(sizes[y])) + b[y][j]
                    V[s][y][j] = (1 - tau) * V[s][y][j] + tau * psp
                h.append([1.0 if r[y + 1][s][j] < logistic(V[s][y][j]) else 0.0 for j in range(sizes[y + 1])])
            for j in range(sizes[m]):  # eq. 7
                U[s][m - 1][j] = (1 - tau) * U[s][m - 1][j] + tau * (h[m][j] - target[s][j])
            for y in reversed(range(m - 1)):  # eq. 6
                for j in range(sizes[y + 1]):
                    arriving = sum(B[y][j][k] * squashed(net.squash, U[s][y + 1][k]) for k in range(sizes[y + 2]))
                    U[s][y][j] = (1 - tau) * U[s][y][j] + tau * arriving
            for y in range(m):  # eq. 8, its sign mended
                for j in range(sizes[y + 1]):
                    p = logistic(V[s][y][j])
                    modulation = squashed(net.squash, U[s][y][j])
                    if share and y < m - 1:
                        modulation = sum(share[y][k][j] * squashed(net.squash, U[s][y][k]) for k in range(sizes[y + 1]))
                    factor = -rate * modulation * p * (1 - p)
                    change.append((b[y], j, factor))
                    change += [(W[y][i], j, factor * h[y][i]) for i in range(sizes[y])]
        for row, j, by in change:
            row[j] += by
        yield {
            "W": W,
            "b": b,
            "V": [[V[s][y] for s in range(streams)] for y in range(m)],
            "U": [[U[s][y] for s in range(streams)] for y in range(m)],
        }


@pytest.mark.parametrize("streams", [1, 3, 40], ids=["one stream", "three", "forty"])
@pytest.mark.parametrize(
    ("tau", "squash", "shared"),
    [(0.9, "tanh", False), (0.3, "tanh", False), (0.9, "tanh", True), (0.9, "logistic", False), (0.9, "stretched", True)],
)
def test_every_equation_followed_by_hand_with_given_random_numbers(streams, tau, squash, shared):
    g = torch.Generator().manual_seed(5)
    sizes = (4, 5, 3, 6)

    def uniform(*shape, low=0.0, high=1.0):
        return torch.empty(*shape, dtype=torch.float64).uniform_(low, high, generator=g)

    W = [uniform(a, b, low=-1, high=1) for a, b in pairwise(sizes)]
    b = [uniform(n, low=-1, high=1) for n in sizes[1:]]
    B = [uniform(b, a, low=-1, high=1) for a, b in pairwise(sizes[1:])]
    share = [uniform(n, n, low=-1, high=1) for n in sizes[1:-1]] if shared else []
    net = Network(W, b, B, tau, streams, squash=squash, share=share)
    steps = []
    for _ in range(2):  # two images, three steps each, nothing in between
        x, target = uniform(streams, 4), (uniform(streams, 6) < 0.4).double()
        steps += [(x, target, [uniform(streams, n) for n in sizes]) for _ in range(3)]
    start = [w.clone() for w in net.W]
    hand = by_hand(net, [(x.tolist(), t.tolist(), [a.tolist() for a in r]) for x, t, r in steps], rate=0.3)
    for (x, target, r), wanted in zip(steps, hand, strict=True):
        net.step(x, target, r, rate=0.3)
        for name, layers in wanted.items():
            for ours, theirs in zip(getattr(net, name), layers, strict=True):
                torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert all((w - s).abs().max() > 0.001 for w, s in zip(net.W, start, strict=True))


def test_in_float32_a_step_is_that_of_float64_whichever_library_multiplies():
    e = TINY.but(sizes=(784, 300, 40, 20), streams=50)
    single = initialise(e, 0)
    double = Network(*([a.double() for a in part] for part in (single.W, single.b, single.B)), e.tau, 50)
    g = generator(0, "test")
    x, target = torch.rand(50, 784, generator=g), spiking.wanted(torch.arange(50) % 10, 20)
    for _ in range(3):
        r = [torch.rand(50, n, generator=g) for n in e.sizes]
        single.step(x, target, r, 0.01)
        double.step(x.double(), target.double(), [a.double() for a in r], 0.01)
    for name, array in single.state().items():
        torch.testing.assert_close(array.double(), double.state()[name], rtol=1e-4, atol=1e-5)


def test_two_streams_that_are_shown_one_thing_change_the_weights_twice_as_much():
    g = generator(0, "test")
    one, two = initialise(TINY, 0).beside(1), initialise(TINY, 0).beside(2)
    start = one.W[0].clone()
    r = [torch.rand(1, n, generator=g) for n in TINY.sizes]
    x, target = torch.rand(1, 784, generator=g), spiking.wanted(torch.tensor([3]), 50)
    one.step(x, target, r, 0.01)
    two.step(x.expand(2, -1), target.expand(2, -1), [a.expand(2, -1) for a in r], 0.01)
    for a, b in zip(one.U + one.V, two.U + two.V, strict=True):
        torch.testing.assert_close(a.expand(2, -1), b)
    assert (one.W[0] - start).abs().max() > 0
    torch.testing.assert_close(two.W[0] - start, 2 * (one.W[0] - start), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("squash", "slope", "bound"), [("tanh", 1, 1), ("logistic", 0.25, 0.5), ("stretched", 0.5, 1)])
def test_every_squashing_function_is_odd_and_has_its_slope_and_bound(squash, slope, bound):
    u = torch.tensor([-40.0, -1e-3, 0.0, 1e-3, 40.0], dtype=torch.float64)
    phi = spiking.SQUASH[squash](u, out=torch.empty_like(u))
    assert phi.tolist() == pytest.approx([-bound, -slope * 1e-3, 0, slope * 1e-3, bound], rel=1e-5)
    assert set(spiking.SQUASH) == set(described.SQUASHING)


def test_shared_feedback_neurons_are_chosen_at_random_and_their_mean_is_scaled_to_the_size_of_one():
    e = TINY.but(sizes=(784, 400, 300, 50), shared=10)
    net, one = initialise(e, 3), initialise(e.but(shared=1), 3)
    for a, b in zip(net.W + net.b + net.B, one.W + one.b + one.B, strict=True):
        assert torch.equal(a, b), "what is shared draws from a generator of its own"
    assert [s.shape for s in net.share] == [(400, 400), (300, 300)]
    for share in net.share:
        assert torch.equal((share > 0).sum(0), torch.full((len(share),), 10)), "ten different ones to each neuron"
        assert share[share > 0].unique().tolist() == pytest.approx([10**-0.5])
        assert (share > 0).sum(1).float().std() > 1, "some serve more neurons than others: nobody deals them out"
        signals = torch.randn(1000, len(share), generator=generator(0, "test"))
        assert float((signals @ share).std()) == pytest.approx(1, abs=0.02)
    assert not torch.equal(net.share[0], initialise(e, 4).share[0])
    for purpose in ("weights", "feedback", "data", "spikes"):
        chosen = torch.rand(400, 400, generator=generator(3, purpose)).argsort(0)[:10]
        assert not (net.share[0].gather(0, chosen) > 0).all(), f"drawn from the generator of the {purpose}"
    assert one.share == []
    everyone = initialise(e.but(shared=300), 3).share[1]
    assert torch.equal(everyone, torch.full((300, 300), 300**-0.5)), "the control: one modulation for the whole layer"


def test_biases_may_begin_on_a_scale_of_their_own():
    none, as_w = initialise(TINY.but(biases=0.0), 3), initialise(TINY, 3)
    assert not any(b.any() for b in none.b)
    assert all(torch.equal(a, b) for a, b in zip(none.W, as_w.W, strict=True))
    assert 0.05 < max(float(b.abs().max()) for b in initialise(TINY.but(biases=0.3), 3).b) <= 0.3


def test_a_unit_spikes_as_often_as_its_potential_says_and_an_input_at_most_at_0_95():
    images = torch.tensor([[0, 51, 128, 255]], dtype=torch.uint8)
    p = spiking.probabilities(images)
    assert p[0].tolist() == pytest.approx([0, 0.2, 128 / 255, 0.95])
    n = 20_000
    net = Network([torch.zeros(4, 3)], [torch.tensor([-2.0, 0.0, 1.0])], [], 1.0, n)
    noise = Noise(net, generator(0, "test"))
    net.forward(p.expand(n, 4), noise.draw())
    for spikes, wanted in ((net.h[0], p[0]), (net.h[1], torch.sigmoid(net.b[0]))):
        assert set(spikes.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(spikes.mean(0), wanted, rtol=0, atol=0.015)  # 4 standard errors


def test_the_target_is_one_for_the_outputs_of_the_class_and_for_no_other():
    target = spiking.wanted(torch.tensor([0, 9, 4], dtype=torch.uint8), 30)
    assert target.shape == (3, 30)
    assert [row.nonzero().flatten().tolist() for row in target] == [[0, 1, 2], [27, 28, 29], [12, 13, 14]]


def test_guesses_by_hand_the_most_active_group_at_each_step_and_in_sum(monkeypatch):
    net = Network([torch.zeros(784, 20)], [torch.zeros(20)], [], 0.9, 2)
    active = iter([[3, 0], [1, 5], [1, 5], [2, 2], [2, 2], [2, 0]])  # class with both spikes, of each stream, each step

    def forward(x, r):
        net.h[-1] = spiking.wanted(torch.tensor(next(active)), 20)

    monkeypatch.setattr(net, "forward", forward)
    at, summed = spiking.guesses(net, torch.zeros(4, 784, dtype=torch.uint8), Noise(net, generator(0, "test")), 3)
    assert at.tolist() == [[3, 0, 2, 2], [1, 5, 2, 2], [1, 5, 2, 0]]
    assert summed.tolist() == [[3, 0, 2, 2], [1, 0, 2, 2], [1, 5, 2, 2]]


# ---- no pause, no reset


def snapshot(network):
    return {k: v.clone() for k, v in network.state().items()}


def test_state_is_carried_unchanged_over_every_switch_and_every_stream_goes_on():
    """Around every image switch: what the last step left is, bit for bit, what the next one starts from."""
    run = Run(TINY.but(examples=2000, probes=(0, 1000), snapshots=(1000,), streams=20), 3)
    step, left, switches = run.network.step, [], []

    def watched(x, target, r, rate=0.0):
        if left and not torch.equal(x, left[-1][0]):
            before, now = left[-1][1], run.network.state()
            switches.append(all(torch.equal(before[k], now[k]) for k in now))
        step(x, target, r, rate)
        assert rate == run.experiment.rate, "plasticity at every step"
        left[:] = [(x, snapshot(run.network))]

    run.network.step = watched
    while run.seen < 2000:
        run.advance()
    assert len(switches) == 99, "one for every image but the first, also across a probe and the figure's look"
    assert all(switches)
    assert all(v.abs().min(1).values.max() > 0 for v in run.network.V), "every stream has a state"


def test_a_reset_would_be_noticed(monkeypatch):
    advance = Run.advance

    def resetting(self):
        for v in self.network.V:
            v.zero_()
        advance(self)

    monkeypatch.setattr(Run, "advance", resetting)
    with pytest.raises(AssertionError):
        test_state_is_carried_unchanged_over_every_switch_and_every_stream_goes_on()


def test_testing_and_looking_change_nothing():
    run = Run(TINY.but(snapshots=()), 3)
    run.advance()
    before, generators = snapshot(run.network), [g.get_state() for g in (run.data, run.noise.generator)]
    run.probe()
    spiking.look(run.network, run.test_images, run.test_labels, 3)
    assert all(torch.equal(v, before[k]) for k, v in run.network.state().items())
    assert all(torch.equal(a, g.get_state()) for a, g in zip(generators, (run.data, run.noise.generator), strict=True))


def test_it_is_tested_on_the_first_so_many_test_images(monkeypatch):
    test = spiking.mnist.load("test")
    run = Run(TINY.but(probes=(), snapshots=()), 3)
    assert np.array_equal(run.test_images.numpy(), test.images[:200])
    assert np.array_equal(run.test_labels, test.labels[:200])
    validation = Run(TINY.but(task="mnist validation", probes=(), snapshots=(), tested=10_000), 3)
    train = spiking.mnist.load("train")
    assert np.array_equal(validation.test_images.numpy(), train.images[50_000:])
    assert np.array_equal(validation.images.numpy(), train.images[:50_000])
    # What is wrong is counted against the labels.
    monkeypatch.setattr(
        spiking,
        "guesses",
        lambda network, images, noise, steps: (
            (np.where(np.arange(200) < 30, 9 - test.labels[:200], test.labels[:200])[None],) * 2
        ),
    )
    assert [e.tolist() for e in run.errors(1)] == [[15.0], [15.0]]


def test_a_test_runs_at_the_time_constant_of_the_network_and_begins_at_rest(monkeypatch):
    kept, guesses = [], spiking.guesses
    run = Run(TINY.but(tau=0.3, probes=(), snapshots=(), tested=100, squash="logistic"), 3)
    for w, b in zip(run.network.W, run.network.b, strict=True):
        w.zero_()
        b.fill_(1.0)
    run.network.V[0].fill_(7.0)
    monkeypatch.setattr(spiking, "guesses", lambda network, *a: kept.append(network) or guesses(network, *a))
    run.errors(2)
    for V in kept[0].V:
        torch.testing.assert_close(V, torch.full_like(V, 1 - 0.7**2))
    assert kept[0].squash == "logistic"


def test_the_training_error_is_the_share_of_wrong_guesses_since_the_last_probe(monkeypatch):
    run = Run(TINY.but(examples=600, probes=(200, 300, 600), snapshots=()), 3)
    right = (70, 90, 100, 5, 10, 15)  # of the 100 streams, in each advance

    def step(x, target, r, rate):
        guessed = target.argmax(1) // 5
        guessed[correct[0] :] = (guessed[correct[0] :] + 1) % 10
        run.network.h[-1] = spiking.wanted(guessed, 50)

    monkeypatch.setattr(run.network, "step", step)
    for number in right:
        correct = [number]
        run.advance()
    assert [float(p["training error"]) for p in run.probed] == pytest.approx([20.0, 0.0, 90.0])


def test_the_network_is_tested_again_at_its_end_with_other_spikes():
    e = TINY.but(examples=6000, probes=(6000,), snapshots=(), streams=20, rate=0.01, weights=0.01, seeds=(3,), retests=8)
    history = train(e)
    for name, curve in (("wrong at step", "error at step"), ("wrong summed", "error summed")):
        wrong = history.snapshots[name]
        assert wrong.shape == (1, 200)
        assert wrong.max() == 8
        assert ((wrong > 0) & (wrong < 8)).mean() > 0.2, "the tests differ in their spikes"
        assert 100 * wrong.mean() / 8 == pytest.approx(history[curve][0, -1, -1], abs=8)
    assert same(
        train(e.but(retests=0)), training.History(history.seeds, history.examples, history.curves, {}, history.diverged)
    ), "what is learned does not depend on it"


def test_the_angle_is_0_where_b_is_the_transpose_of_w():
    run = Run(TINY, 3)
    before = run.probe()["weight angle"]
    for w, b in zip(run.network.W[1:], run.network.B, strict=True):
        b.copy_(w.mT)
    assert before.shape == (2,)
    assert (abs(before - 90) < 5).all()
    assert run.probe()["weight angle"] == pytest.approx(0, abs=0.05)


def test_the_look_keeps_the_mean_size_of_the_modulatory_signals(monkeypatch):
    run, sizes, backward = Run(TINY.but(snapshots=()), 3), [], Network.backward

    def watched(self, target):
        backward(self, target)
        sizes.append([float(d.abs().mean()) for d in self.delta])

    monkeypatch.setattr(Network, "backward", watched)
    kept = spiking.look(run.network, run.test_images, run.test_labels, 3)["size"]
    assert kept.shape == (3, 200)
    np.testing.assert_allclose(kept, np.array(sizes).T, rtol=1e-6)


def test_weights_feedback_images_and_spikes_have_each_a_generator_of_their_own():
    run = Run(TINY, 3)
    (scale, *_), sizes = TINY.per_layer("feedback"), TINY.sizes
    W = torch.empty(*sizes[:2]).uniform_(-TINY.weights, TINY.weights, generator=generator(3, "weights"))
    B = torch.empty(sizes[2], sizes[1]).uniform_(-1, 1, generator=generator(3, "feedback")) * scale
    assert torch.equal(run.network.W[0], W)
    assert torch.equal(run.network.B[0], B)
    spikes = torch.empty(TINY.streams * sum(sizes)).uniform_(generator=generator(3, "spikes"))
    assert torch.equal(torch.cat([a.flatten() for a in run.noise.draw()]), spikes)
    run.advance()
    assert torch.equal(run.order, torch.randperm(TINY.epoch, generator=generator(3, "data")))


def test_every_image_is_shown_once_an_epoch(monkeypatch):
    run = Run(SpikingExperiment(name="t", sizes=(784, 2, 10), examples=120_000, seeds=(0,), streams=2000, steps=1), 0)
    shown = []
    probabilities = spiking.probabilities
    run.images[:, :3] = torch.stack([torch.arange(60_000) // 250, torch.arange(60_000) % 250, torch.zeros(60_000)], 1)
    monkeypatch.setattr(spiking, "probabilities", lambda images: shown.append(images[:, :2].long()) or probabilities(images))
    for _ in range(60):
        run.advance()
    numbers = torch.cat([s[:, 0] * 250 + s[:, 1] for s in shown]).view(2, -1)
    assert torch.equal(numbers.sort(1).values, torch.arange(60_000).expand(2, -1))
    assert not torch.equal(*numbers)


def test_the_decay_shrinks_weights_and_biases_by_its_factor_for_each_stream_and_step():
    e = TINY.but(probes=(), snapshots=(), weight_decay=1e-5)
    start, decayed = initialise(e, 3), Run(e, 3)
    decayed.experiment = e.but(rate=1e-30)  # so small that nothing is learned
    while decayed.seen < 400:
        decayed.advance()
    for a, b in zip(start.W + start.b, decayed.network.W + decayed.network.b, strict=True):
        torch.testing.assert_close(b, a * (1 - 1e-5) ** 2000, rtol=1e-4, atol=0)


def test_the_papers_decay_of_1e_8_does_not_get_lost_in_float32():
    e = TINY.but(probes=(), snapshots=(), weight_decay=1e-8, rate=1e-30, streams=1000, examples=21_000, tested=1000)
    run = Run(e, 3)
    start = [w.clone() for w in run.network.W]
    while run.seen < 21_000:
        run.advance()
    for a, b in zip(start, run.network.W, strict=True):
        torch.testing.assert_close(b, a * (1 - 1e-3), rtol=1e-5, atol=0)


# ---- it learns, and by its feedback


def test_it_learns_and_neither_without_feedback_nor_uphill_as_well(monkeypatch):
    e = TINY.but(
        sizes=(784, 100, 100), examples=6000, probes=(6000,), snapshots=(), seeds=(0,), streams=20, rate=0.01, weights=0.01
    )
    error = {
        name: float(train(x)["error summed"][0, -1, -1])
        for name, x in {"as it is": e, "no feedback": e.but(feedback=0.0)}.items()
    }
    monkeypatch.setattr(SpikingExperiment, "rate_at", lambda self, image: -self.rate)
    error["uphill"] = float(train(e)["error summed"][0, -1, -1])
    assert error["as it is"] < 55
    assert error["no feedback"] > error["as it is"] + 10
    assert error["uphill"] > 85


# ---- runs


def test_history_has_its_shapes_and_numbers_in_range():
    history = train(TINY)
    assert {k: v.shape for k, v in history.curves.items()} == {
        "error at step": (2, 4, 5),
        "error summed": (2, 4, 5),
        "training error": (2, 4),
        "weight angle": (2, 4, 2),
    }
    assert np.array_equal(history.examples, TINY.probes)
    assert np.isnan(history["training error"][:, 0]).all()
    errors = [history["error at step"], history["error summed"], history["training error"][:, 1:]]
    assert all(((e >= 0) & (e <= 100)).all() for e in errors)
    # What is summed up to the first step is what is there at the first.
    assert np.array_equal(history["error at step"][..., 0], history["error summed"][..., 0])
    for at in TINY.snapshots:
        assert history.snapshots[f"spikes {at}"].shape == (2, 3, 200, 50)
        assert history.snapshots[f"potential {at}"].shape == (2, 2, 200)
        assert history.snapshots[f"modulator {at}"].shape == (2, 2, 200)
        assert history.snapshots[f"exposure {at}"].shape == (2, 2, 20)
        assert (np.abs(history.snapshots[f"modulator {at}"]) <= 1).all()


def test_a_seed_gives_the_same_bits_alone_or_beside_another_and_other_seeds_other_ones():
    both, alone = train(TINY), train(TINY.but(seeds=(4,)))
    assert np.array_equal(both["error at step"][1:], alone["error at step"])
    assert np.array_equal(both.snapshots["potential 200"][1:], alone.snapshots["potential 200"])
    assert not np.array_equal(both.snapshots["potential 200"][0], both.snapshots["potential 200"][1])


def test_the_rate_follows_its_schedule(monkeypatch):
    e = TINY.but(schedule=((0, 1.0), (100, 0.5), (300, 0.0)), probes=(), snapshots=())
    run, rates = Run(e, 3), []
    monkeypatch.setattr(run.network, "step", lambda x, target, r, rate: rates.append(rate))
    while run.seen < 400:
        run.advance()
    assert rates == [1e-3] * 5 + [5e-4] * 10 + [0.0] * 5
    assert e.table()["learning rate"] == "0.001 per stream and step, x 0.5 from image 100, x 0 from image 300"
    assert TINY.table()["learning rate"] == "0.001 per stream and step, constant"


def test_a_longer_run_begins_as_the_shorter_one():
    """The rate is constant, so how long a run is to last changes nothing in what it does until then."""
    longer = train(TINY.but(examples=600, probes=(*TINY.probes, 600), seeds=(3,)))
    shorter = train(TINY.but(seeds=(3,)))
    for name, curve in shorter.curves.items():
        assert np.array_equal(curve, longer[name][:, :4], equal_nan=True)
    assert np.array_equal(shorter.snapshots["potential 200"], longer.snapshots["potential 200"])


def test_a_killed_record_goes_on_and_ends_in_the_same_bits(folder):
    program = textwrap.dedent(f"""
        import functools, os, signal
        import torch
        torch.set_num_threads({torch.get_num_threads()})
        from fa_core import records, spiking, training
        from tests import test_spiking
        spiking.train = functools.partial(spiking.train, every=0)
        save, calls = training.save_checkpoint, []
        def save_and_die(*arguments):
            save(*arguments)
            calls.append(1)
            if len(calls) == 6:  # in the middle of the second seed
                os.kill(os.getpid(), signal.SIGKILL)
        training.save_checkpoint = save_and_die
        records.record(test_spiking.TINY)
    """)
    killed = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {p.name for p in folder.iterdir()} == {f"{records.path(TINY).stem}.{end}" for end in ("partial.npz", "lock")}
    records.record(TINY)
    assert [p.name for p in folder.iterdir()] == [f"{records.path(TINY).stem}.npz"]
    assert same(records.load(TINY).history, train(TINY))


def test_a_run_that_is_taken_up_between_two_probes_has_counted_as_far():
    long = TINY.but(probes=(0, 400), snapshots=())
    run, again = Run(long, 3), Run(long, 3)
    run.advance(), run.advance()
    again.restore(run.state())
    counted = "seen", "diverged", "wrong", "since"
    assert [getattr(again, name) for name in counted] == [getattr(run, name) for name in counted]
    assert again.network.owed == run.network.owed
    assert 0 < run.wrong <= run.since == 2 * TINY.streams


def test_a_damaged_checkpoint_or_another_experiments_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"PK")
    with pytest.raises(training.CheckpointError, match="is damaged"):
        train(TINY, checkpoint=path)
    path.unlink()
    train(TINY.but(seeds=(3,)), checkpoint=path)
    with pytest.raises(training.CheckpointError, match="another path"):
        train(TINY, checkpoint=path)


def test_a_run_that_diverges_is_ended_and_said():
    e = TINY.but(rate=1e38, examples=12_000, probes=(0, 12_000), snapshots=(), seeds=(3,))
    with pytest.warns(training.DivergenceWarning, match="1 of 1 runs diverged .seed 3 at example 6,000"):
        history = train(e)
    assert history.diverged.tolist() == [6000]
    assert np.isnan(history["error at step"][0, 1]).all()
    assert np.isfinite(history["error at step"][0, 0]).all()


def test_a_record_is_made_found_and_verified_like_any_other(folder):
    records.record(TINY)
    result = records.get(TINY)
    assert result.source == "record"
    assert same(result.history, train(TINY))
    assert result.about["experiment"] == TINY.essence()
    rows = verification.verify(TINY, seeds=2, probes=2)
    assert {r["curve"] for r in rows} == set(result.history.curves)
    assert all(r["agrees"] and r["difference"] == 0 for r in rows)
    result["error summed"][0, 1, 0] += 10
    records.save(TINY, result.history, result.about)
    assert {r["curve"] for r in verification.verify(TINY) if not r["agrees"]} == {"error summed"}


# ---- experiments


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "xor"}, "unknown task 'xor'"),
        ({"sizes": (784, 10)}, "wanted 784 inputs"),
        ({"sizes": (784, 20, 15)}, "a multiple of 10 outputs"),
        ({"feedback": (0.1, 0.1, 0.1)}, "feedback has 3 values, the network .* wants 1"),
        ({"seeds": ()}, "seeds must be one or more"),
        ({"squash": "relu"}, "unknown squash 'relu'; there are: tanh, logistic, stretched"),
        ({"shared": 0}, "shared wants a whole number of 1 or more; got 0"),
        ({"shared": 21}, "at most the smallest hidden layer's 20"),
        ({"retests": -1}, "retests wants a whole number of 0 or more; got -1"),
        ({"tau": 0.0}, "wanted 0 < tau <= 1"),
        ({"steps": 0}, "steps wants a whole number of 1 or more; got 0"),
        ({"streams": 7}, r"streams \(7\) must divide"),
        ({"schedule": ((100, 1.0),)}, "schedule must begin at image 0"),
        ({"tested": 150}, r"tested \(150\)"),
        ({"probes": (0, 150)}, "probes must be multiples of streams"),
        ({"snapshots": (200, 100)}, "snapshots must be multiples of streams"),
    ],
)
def test_what_cannot_be_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SpikingExperiment(**{"name": "t", "sizes": (784, 20, 10), "examples": 400, "seeds": (0,)} | changes)


def test_the_experiment_of_the_figure_is_that_of_the_methods():
    e = described.FIGURE
    assert (e.sizes, e.tau, e.steps, e.rate, e.weight_decay) == ((784, 1500, 1500, 1500, 1000), 0.9, 5, 1e-3, 1e-8)
    assert (e.weights, e.feedback, e.task) == (0.05, 0.1, "mnist")
    net = initialise(e, 0)
    for arrays, scale in ((net.W, 0.05), (net.b, 0.05), (net.B, 0.1)):
        for a in arrays:
            assert a.dtype == torch.float32
            assert 0.98 * scale < a.abs().max() <= scale
            assert abs(float(a.mean())) < 0.1 * scale


def test_the_digest_follows_what_is_run_and_not_the_name():
    assert TINY.digest == TINY.but(name="other").digest
    assert len({e.digest for e in (TINY, TINY.but(tau=0.8), TINY.but(streams=50), TINY.but(feedback=0.0))}) == 4
    assert "tau" not in TINY.essence(), "a field at its default does not enter"
    table = TINY.but(feedback=0.0).table()
    assert table["B"] == "0"
    assert TINY.table()["network"] == "784-60-50-50"


def differences(one, other) -> set[str]:
    """Names of the fields in which two experiments differ, but for the name and what is measured when."""
    a, b = one.essence(), other.essence()
    return {k for k in a.keys() | b.keys() if a.get(k) != b.get(k)} - {"probes", "snapshots"}


REPORTED = (described.FIGURE, described.REDUCED, described.ONE_EACH, described.SHARED)


def test_what_is_searched_for_is_searched_on_validation_images_and_seeds_that_are_not_reported():
    reported = {s for e in REPORTED for s in e.seeds}
    for e in (*described.RATES, *described.TRIALS):
        assert e.task == "mnist validation"
        assert not set(e.seeds) & reported
    assert {e.task for e in REPORTED} == {"mnist"}
    assert not {s for e in (*described.STREAMS, *described.TAUS) for s in e.seeds} & reported


@pytest.mark.parametrize(
    ("experiments", "base", "fields"),
    [
        (described.RATES, described.RATES[0], {"rate"}),
        (described.STREAMS, described.STREAMS[1], {"streams", "rate", "seeds", "tested"}),
        (described.TAUS, described.REDUCED, {"tau", "seeds"}),
        ((described.SHARED,), described.ONE_EACH, {"shared"}),
        ((described.SHARED_BY_ALL,), described.ONE_EACH, {"shared", "examples"}),
        ((described.ONE_EACH,), described.REDUCED, {"seeds"}),
        ((described.NO_FEEDBACK, described.CUT), described.REDUCED, {"feedback", "examples"}),
        ((described.ANNEALED,), described.FIGURE, {"schedule", "examples"}),
        ((described.REDUCED,), described.FIGURE, {"sizes", "rate", "examples"}),
        (described.TRIALS, described.TRIALS[0], {"squash", "feedback", "rate", "biases", "schedule"}),
    ],
    ids=lambda p: "",
)
def test_what_is_compared_differs_in_what_it_says_and_in_nothing_else(experiments, base, fields):
    assert set().union(*(differences(e, base) for e in experiments)) == fields
    for values in ([e.digest for e in experiments], [e.name for e in experiments]):
        assert len(set(values)) == len(experiments)


def test_the_trials_of_fig_4_are_what_their_comments_say():
    trials = {e.name.removeprefix("fig4-trial-"): e for e in described.TRIALS}
    tanh = trials["tanh"]
    slope = {"logistic-sized": 0.25, "logistic-quarter": 0.25}  # of phi_delta at 0; tanh's is 1
    for name, s in slope.items():
        e, signal, tanhs = trials[name], s, 1.0  # of the outputs, for a small error
        for b, b0 in zip(e.feedback[::-1], tanh.feedback[::-1], strict=True):
            signal, tanhs = s * b * signal, b0 * tanhs
            assert signal * e.rate == pytest.approx(tanhs * tanh.rate, rel=0.01), "each hidden layer learns as quickly"
    assert trials["stretched"].feedback == trials["logistic"].feedback == tanh.feedback
    # A signal's variance grows by B's, times the units that send: as in the network of the figure.
    for b, n, wide in zip(tanh.feedback, tanh.sizes[2:], described.FIGURE.sizes[2:], strict=True):
        assert b**2 * n == pytest.approx(described.FIGURE.feedback**2 * wide, rel=0.04)
    assert len({(e.examples, e.seeds, e.retests, e.probes) for e in described.TRIALS}) == 1


def test_a_trial_in_full_is_the_network_of_the_figure_with_what_the_trial_has():
    plain, *_, cut = map(described.in_full, described.TRIALS)
    assert differences(plain.but(feedback=0.1), described.FIGURE) == {"examples", "seeds", "products", "retests"}
    assert plain.feedback == (0.1, 0.1, 0.1)
    assert cut.schedule == ((0, 1.0), (180 * 60_000, 0.3), (240 * 60_000, 0.1))
    for trial in described.TRIALS:
        e = described.in_full(trial)
        assert (e.squash, e.biases, e.rate * 5) == (trial.squash, trial.biases, pytest.approx(trial.rate))
        for b, a, base in zip(e.feedback, trial.feedback, described.TRIALS[0].feedback, strict=True):
            assert b / 0.1 == pytest.approx(a / base)
        assert not set(e.seeds) & {s for other in (*REPORTED, *described.TRIALS) for s in other.seeds}


@pytest.mark.parametrize(
    ("control", "still"), [(described.NO_FEEDBACK, {0, 1, 2}), (described.CUT, {0, 1})], ids=lambda p: getattr(p, "name", "")
)
def test_a_control_takes_away_what_it_says(control, still):
    run = Run(control.but(examples=1000, probes=(), weight_decay=0.0), 0)
    before = [w.clone() for w in run.network.W]
    while not run.done:
        run.advance()
    assert {i for i, (w, b) in enumerate(zip(run.network.W, before, strict=True)) if torch.equal(w, b)} == still


def test_old_digests_stay():
    """The records are found by them."""
    assert {e.name for e in described.RECORDED if records.path(e).exists()} >= {
        e.name for e in (described.FIGURE, described.ANNEALED, *described.RATES, *described.STREAMS, *described.TAUS)
    }


# ---- the printed equations


def test_the_printed_sign_of_eq_8_climbs_and_the_other_descends():
    assert proofs.raises_the_error(proofs.PRINTED)
    assert not proofs.raises_the_error(proofs.CORRECTED)
    difference, product, (u, r, psi) = proofs.slope_along(proofs.PRINTED)
    assert difference == 0
    assert product == u * sympy.tanh(u) * r**2 * psi**2
    assert min(proofs.wrong_spikes(proofs.PRINTED, seed=s) for s in (1, 2)) > 0.9
    assert max(proofs.wrong_spikes(proofs.CORRECTED, seed=s) for s in (1, 2)) < 0.1


def test_every_one_of_the_four_equations_is_accounted_for():
    assert [row["key"] for row in show(proofs.EQUATIONS).rows] == ["main 5", "main 6", "main 7", "main 8"]
