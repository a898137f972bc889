"""The loop: schedule, momentum, decay, probes, divergence, checkpoints, a kill in mid-run."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from fa_core import training
from fa_core.data import mnist
from fa_core.experiments import Experiment, Stages
from fa_core.training import CheckpointError, DivergenceWarning, History, Run, train
from tests.helpers import linear_experiment, same, tanh_experiment


def test_one_step_of_momentum_and_decay_as_written():
    # Two steps of a single linear layer, by the equations of `update`, one example of one input.
    from fa_core.network import Network, update

    w, v, rate, momentum, decay = 0.5, 0.0, 0.1, 0.9, 0.01
    net = Network([torch.tensor([[[w]]])], [torch.zeros(1, 1, 1)], [], "linear", "linear", [None], [])
    velocity = [(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))]
    bias, vb = 0.0, 0.0
    for x, target in ((2.0, 3.0), (-1.0, 1.0)):
        h = net.forward(torch.tensor([[[x]]]))
        e = target - (w * x + bias)
        update(net, h, net.slopes(h), [torch.tensor([[[target]]]) - h[-1]], (rate,), decay, momentum, velocity)
        v, vb = momentum * v + rate * (e * x - decay * w), momentum * vb + rate * (e - decay * bias)
        w, bias = w + v, bias + vb
        assert net.W[0].item() == pytest.approx(w)
        assert net.b[0].item() == pytest.approx(bias)


def test_a_minibatch_sums_the_updates_of_its_examples():
    experiment = tanh_experiment(momentum=0.0, weight_decay=0.0)
    run = Run(experiment, experiment.seeds)
    run.task.next_chunk()
    from fa_core.network import update

    def step(examples):
        x, target = (a[:, examples] for a in run.task.batch(0, 10))
        before = run.network.W[0].clone()
        h = run.network.forward(x)
        slopes = run.network.slopes(h)
        update(run.network, h, slopes, run.rule(target - h[-1], slopes, run.network.W[1:], run.network.B), (1e-9,) * 3)
        change = run.network.W[0] - before
        run.network.W[0].copy_(before)
        return change

    torch.testing.assert_close(step(slice(0, 10)), sum(step(slice(i, i + 1)) for i in range(10)), rtol=1e-5, atol=1e-15)


DIGITS = Experiment(
    name="test-digits",
    task="mnist",
    sizes=(784, 4 * 23**2, 10),
    rule="feedback alignment, outputs gated",
    rate=1e-4,
    batch=100,
    examples=120_000,
    seeds=(0, 1),
    weights=0.02,
    feedback=0.1,
    hidden="leaky",
    output="tanh",
    targets=(-0.9, 0.9),
    fields=(4, 6, 28),
    dropout=(0.1, 0.2),
    distort=(6.0, 36.0),
    plateau=(0.9, 1),
    products="bfloat16",
    probes=(0, 60_000, 120_000),
)


@pytest.fixture
def few_digits(monkeypatch):
    """MNIST cut to 1000 images to train on, and 500 to test on."""
    whole = mnist.load
    monkeypatch.setattr(
        mnist, "load", lambda split="train": mnist.Digits(*(a[: {"train": 1000, "test": 500}[split]] for a in whole(split)))
    )


@pytest.mark.usefixtures("few_digits")
def test_what_draws_and_remembers_goes_on_from_a_checkpoint_in_the_same_bits(tmp_path, monkeypatch):
    # Dropout, distortions, and a rate that is lowered between the probes.
    experiment = DIGITS.but(examples=4000, probes=(0, 2000, 4000))
    whole = train(experiment)
    assert whole["rate lowered"].tolist() == [[0, 0, 1]] * 2
    assert (whole["test error"][:, -1] < 75).all()
    epochs = 0

    class Killed(RuntimeError):
        pass

    advance = Run.advance

    def killed(run):
        nonlocal epochs
        epochs += 1
        if epochs in (3, 6):
            raise Killed
        advance(run)

    monkeypatch.setattr(Run, "advance", killed)
    for _ in range(2):
        with pytest.raises(Killed):
            train(experiment, checkpoint=tmp_path / "c.npz", every=0)
    assert same(train(experiment, checkpoint=tmp_path / "c.npz", every=0), whole)


@pytest.mark.parametrize(
    ("errors", "cuts"),
    [
        ((10, 5, 2.5, 1.2), (0, 0, 0, 0)),  # halved each time
        ((10, 9.6, 5, 4.9), (0, 1, 1, 2)),
        ((10, 9.6, 9.5, 9.4), (0, 1, 2, 2)),  # twice at most
        (
            (10, 20, 15, 9),
            (0, 1, 2, 2),
        ),  # measured from the lowest so far: 15 is no progress after 10, though it is after 20
    ],
)
def test_the_rate_is_lowered_tenfold_when_an_epoch_brought_too_little(errors, cuts):
    run = Run(tanh_experiment(), (3,))
    run.experiment = DIGITS.but(plateau=(0.05, 2))
    for error, cut in zip(errors, cuts, strict=True):
        run.lower_rate(run.experiment.plateau, error)
        assert run.cuts == cut
        assert run.rates() == pytest.approx((1e-4 / 10**cut,) * 2)


def test_runs_whose_rate_is_lowered_on_a_plateau_go_one_by_one_however_small():
    small = DIGITS.but(sizes=(784, 5, 10), fields=())
    assert training.groups(small) == [(0,), (1,)]
    assert training.groups(small.but(plateau=())) == [(0, 1)]


def test_features_are_the_leading_directions_of_what_learning_added():
    whole = train(tanh_experiment(features=2, snapshot_runs=2, snapshots=("W0",), snapshot_units=None))
    change = whole.snapshots["W0 after"].astype(float) - whole.snapshots["W0 before"]
    features = whole.snapshots["features"]
    assert features.shape == (*change.shape[:2], 2)
    for added, mine in zip(change, features, strict=True):
        strengths = np.linalg.svd(added, compute_uv=False)
        # Projected on them, what was added keeps the sum of its two largest squared singular values.
        assert np.linalg.norm(mine.T @ added) ** 2 == pytest.approx((strengths[:2] ** 2).sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("stages", "errors", "cuts", "ended"),
    [
        (Stages(1, 2), (10, 5, 6, 5, 4, 4, 4), (0, 0, 0, 1, 1, 1, 1), 7),  # equal to the lowest is no new lowest
        (Stages(0, 1), (10, 9, 9), (0, 0, 0), 3),
        (Stages(1, 1, 0.1), (10, 9.5, 9.1), (0, 1, 1), 3),  # too little gained: the lowest stays
        (Stages(2, 2), (10, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan), (0, 0, 1, 1, 2, 2, 2), 7),
    ],
)
def test_stages_end_where_the_validation_error_has_no_new_lowest_value(stages, errors, cuts, ended):
    run = Run(tanh_experiment(), (3,))
    run.experiment = DIGITS.but(plateau=(), stages=stages, held_out=100)
    for run.seen, (error, cut) in enumerate(zip(errors, cuts, strict=True), 1):
        assert run.ended == -1
        run.next_stage(run.experiment.stages, error)
        assert run.cuts == cut
    assert run.ended == ended
    assert run.done


STAGED = DIGITS.but(
    fields=(),
    sizes=(784, 30, 10),
    products="",
    distort=(),
    plateau=(),
    stages=Stages(1, 2),
    held_out=200,
    examples=800 * 40,
    probes=tuple(range(0, 800 * 40 + 1, 800)),
    rate=1e-3,
)


@pytest.mark.usefixtures("few_digits")
def test_a_run_in_stages_ends_by_the_validation_error_and_not_by_the_clock_through_kills_too(tmp_path, monkeypatch):
    whole = train(STAGED)
    assert training.groups(STAGED) == [(0,), (1,)]
    for run, ended in enumerate(whole.ended):
        last = list(whole.examples).index(ended)
        errors = whole["validation error"][run]
        assert np.isfinite(errors[: last + 1]).all()
        assert np.isnan(errors[last + 1 :]).all()
        assert whole["rate lowered"][run, last] == 1
        assert errors[last - 1 : last + 1].min() >= errors[1 : last - 1].min()  # the last two brought nothing
        assert whole.final("test error")[run] == whole["test error"][run, last]
    advance, epochs = Run.advance, iter(range(100))

    def killed(run):
        if next(epochs) % 2:
            raise KeyboardInterrupt
        advance(run)

    monkeypatch.setattr(Run, "advance", killed)
    for _ in range(80):
        try:
            again = train(STAGED, checkpoint=tmp_path / "c.npz", every=0)
            break
        except KeyboardInterrupt:
            pass
    assert same(again, whole)
    assert np.array_equal(again.ended, whole.ended)
    assert np.array_equal(History.from_arrays(again.arrays()).ended, whole.ended)


@pytest.mark.usefixtures("few_digits")
def test_a_run_cut_off_before_its_rule_ended_it_says_so():
    cut = train(STAGED.but(seeds=(0,), examples=1600, probes=(0, 800, 1600)))
    assert cut.ended.tolist() == [-1]
    assert np.array_equal(cut.final("loss"), cut["loss"][:, -1])


@pytest.mark.usefixtures("few_digits")
def test_the_validation_error_is_that_of_the_images_held_out():
    run = Run(STAGED, (0,))
    images, labels = mnist.load("train")
    held_out = mnist.standardise(images)[800:]
    assert len(run.task.x) == 800
    assert np.array_equal(run.task.x.numpy(), mnist.standardise(images)[:800])
    y = run.network.forward(torch.from_numpy(held_out)[None])[-1][0]
    wrong = 100 * (y.argmax(1).numpy() != labels[800:]).mean()
    assert run.probed[0]["validation error"] == pytest.approx([wrong])
    assert run.probed[0]["test error"] != pytest.approx([wrong])


@pytest.mark.usefixtures("few_digits")
def test_stages_want_a_probe_after_every_epoch():
    with pytest.raises(ValueError, match=r"a probe after every epoch of 800 examples; there is none at 800"):
        Run(STAGED.but(probes=(0, 1600)), (0,))


@pytest.mark.usefixtures("few_digits")
def test_an_autoencoder_is_to_give_its_inputs_back():
    run = Run(DIGITS.but(task="autoencoder", sizes=(784, 20, 784), fields=(), distort=()), (0,))
    run.task.next_chunk()
    x, target = run.task.batch(0, 50)
    assert torch.equal(x, target)
    # Black is -0.9 and white 0.9.
    assert (x.min().item(), x.max().item()) == pytest.approx((-0.9, 0.9))
    assert "nse" in run.probed[0]
    assert "test error" not in run.probed[0]


@pytest.mark.usefixtures("few_digits")
def test_the_targets_are_those_that_are_asked_for():
    run = Run(DIGITS.but(distort=()), (0,))
    run.task.next_chunk()
    _, target = run.task.batch(0, 50)
    assert target.unique().tolist() == pytest.approx([-0.9, 0.9])
    assert (target > 0).sum(2).eq(1).all()


@pytest.mark.usefixtures("few_digits")
def test_the_share_of_silent_units_is_of_those_that_no_test_image_wakes():
    run = Run(DIGITS.but(distort=(), hidden="relu"), (0,))
    run.network.W[0][:, :, :529] = 0
    run.network.b[0][:, :, :529] = -1
    share = training.probe(run.network, run.task, run.rule)["silent"]
    assert share.shape == (1, 1)
    woken = (run.network.forward(run.task.test_x.expand(1, -1, -1))[1] > 0).any(1)
    assert share[0, 0] == pytest.approx(1 - woken.double().mean().item())
    assert 0.25 <= share[0, 0] < 1
    run.network.b[0][:, :, :529] = 1
    assert training.probe(run.network, run.task, run.rule)["silent"][0, 0] == pytest.approx(share[0, 0] - 0.25)


def test_the_schedule_changes_the_rate_at_the_example_it_says():
    fast = train(linear_experiment(probes=(0, 200, 400)))
    frozen = train(linear_experiment(probes=(0, 200, 400), schedule=((0, 1.0), (200, 0.0))))
    assert frozen["loss"][:, 1].tobytes() == fast["loss"][:, 1].tobytes()
    assert frozen["loss"][:, 2].tobytes() == frozen["loss"][:, 1].tobytes()
    assert (fast["loss"][:, 2] < fast["loss"][:, 1]).all()


def test_probes_stand_where_they_were_asked_and_measure_the_network_of_that_moment():
    history = train(linear_experiment(probes=(0, 1, 400)))
    assert list(history.examples) == [0, 1, 400]
    assert history["nse"].shape == (3, 3)
    assert history["angle"].shape == (3, 3, 1)
    assert history["nse"][:, 0] == pytest.approx(1, abs=0.05)
    assert (history["nse"][:, 2] < 0.1).all()
    assert (history["angle"][:, 2] < 60).all()
    with pytest.raises(KeyError, match="no curve 'speed'; there are: loss"):
        history["speed"]


@pytest.mark.parametrize(
    "experiment",
    [linear_experiment(feedback=0.0), linear_experiment(redraw_feedback=True)],
    ids=["B = 0", "B redrawn at each step"],
)
def test_controls_hardly_learn(experiment):
    learned, failed = train(linear_experiment()), train(experiment)
    assert learned["nse"][:, -1].max() < 0.1
    assert failed["nse"][:, -1].min() > 0.5


def test_runs_that_diverge_are_named_and_the_healthy_ones_kept():
    experiment = linear_experiment(rate=0.012, examples=2000, probes=tuple(range(0, 2001, 100)), seeds=tuple(range(12)))
    with pytest.warns(DivergenceWarning, match=r"of 12 runs diverged \(seed \d+ at example [\d,]+") as caught:
        history = train(experiment)
    bad = history.diverged >= 0
    assert 0 < bad.sum() < 12, "the rate is chosen so that some diverge"
    assert "A smaller learning rate" in str(caught[0].message)
    assert np.isfinite(history["nse"][~bad]).all()
    for run in np.flatnonzero(bad):
        assert np.isnan(history["nse"][run, history.examples >= history.diverged[run]]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        healthy = train(experiment.but(seeds=tuple(int(s) for s in history.seeds[~bad])))
    assert healthy["nse"].tobytes() == history["nse"][~bad].tobytes()


def test_a_run_that_diverges_between_two_probes_is_noted_where_it_did():
    experiment = linear_experiment(rate=1.0, examples=3000, probes=(0, 3000), seeds=(0,))
    with pytest.warns(DivergenceWarning, match="seed 0 at example 1,000"):
        history = train(experiment)
    assert history.diverged.tolist() == [1000], "after the chunk in which it did, and not at the probe two later"


def test_a_layer_whose_rate_is_zero_is_left_as_it_is_and_the_phases_come_in_their_order():
    # With momentum, for a layer that is frozen has no way on.
    phases = linear_experiment(
        schedule=((0, (1.0, 0.0)), (200, (0.0, 1.0))),
        snapshots=("W0", "b0", "W1", "b1"),
        weight_decay=1e-3,
        biases=0.1,
        momentum=0.5,
        rate=0.002,
        probes=(),
    )
    early, late = train(phases.but(examples=200)).snapshots, train(phases).snapshots
    for name, first, second in (("0", True, False), ("1", False, True)):
        for array in ("W" + name, "b" + name):
            assert (early[f"{array} before"] != early[f"{array} after"]).any() == first
            assert (early[f"{array} after"] != late[f"{array} after"]).any() == second


def test_a_switch_of_rules_continues_with_the_other_rule_from_the_example_it_names():
    probes = (0, 200, 400)
    switched = train(linear_experiment(rule="backprop", switch=((200, "shallow"),), probes=probes, snapshots=("W0",)))
    backprop = train(linear_experiment(rule="backprop", probes=probes))
    until = train(linear_experiment(rule="backprop", examples=200, probes=probes[:2], snapshots=("W0",)))
    assert switched["loss"][:, :2].tobytes() == backprop["loss"][:, :2].tobytes()
    assert (switched["loss"][:, 2] != backprop["loss"][:, 2]).all()
    assert switched.snapshots["W0 after"].tobytes() == until.snapshots["W0 after"].tobytes(), "shallow leaves W0 alone"


def test_feedback_is_drawn_anew_at_the_examples_that_are_named_and_at_no_other():
    def feedback(upto):
        run = Run(linear_experiment(redraw_feedback=(100, 300)).but(examples=upto, probes=()), (0, 1, 2))
        run.advance()
        return run.network.B[0].clone()

    drawn = [feedback(n) for n in (1, 100, 101, 300, 301)]
    assert [torch.equal(a, b) for a, b in pairwise(drawn)] == [True, False, True, False]


def test_from_the_example_on_at_which_a_run_has_diverged_its_curves_have_no_number():
    run = Run(linear_experiment(), (0, 1, 2))
    while not run.done:
        run.advance()
    run.diverged[1] = 200  # a probe
    missing = np.isnan(run.history()["nse"])
    assert missing[1].tolist() == [False, False, True, True]
    assert not missing[[0, 2]].any()


def test_the_time_of_all_stretches_is_in_the_checkpoint(tmp_path, monkeypatch):
    # The loop counts examples and seconds; a checkpoint that took one for the other would say hours.
    path, written = tmp_path / "run.npz", []
    save = training.save_checkpoint
    monkeypatch.setattr(training, "save_checkpoint", lambda *a: (written.append(a[4][-1]["seconds"]), save(*a)))
    begun = time.monotonic()
    train(tanh_experiment(), checkpoint=path, every=0)
    assert len(written) >= 3
    assert all(0 < s <= time.monotonic() - begun for s in written)


class Stop(Exception):
    pass


def fields(thing, name="run") -> dict:
    """All that an object holds, down to arrays, generators' states and plain values; not the functions."""
    if isinstance(thing, torch.Generator):
        thing = thing.get_state()
    if isinstance(thing, torch.Tensor):
        thing = thing.double().numpy() if thing.dtype == torch.bfloat16 else thing.numpy()
    if isinstance(thing, np.ndarray):
        return {name: (thing.shape, thing.tobytes())}
    parts = (
        thing
        if isinstance(thing, dict)
        else dict(enumerate(thing))
        if isinstance(thing, list | tuple)
        else (getattr(thing, "__dict__", None))
    )
    if parts is None:
        return {name: thing}
    return {k: v for key, part in parts.items() if not callable(part) for k, v in fields(part, f"{name}.{key}").items()}


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize(
    "experiment",
    [
        tanh_experiment(examples=2000, probes=(0, 500, 1030, 2000)),
        tanh_experiment(examples=2000, probes=(0, 2000), redraw_feedback=True, momentum=0.0),
        tanh_experiment(examples=2000, probes=(0, 2000), redraw_feedback=(700, 1340), switch=((990, "backprop"),)),
        linear_experiment(examples=1500, probes=(0, 730), products="compiled", momentum=0.5),
        DIGITS.but(examples=3000, probes=(0, 2000), seeds=(0,), fields=(), sizes=(784, 30, 10)),
        STAGED.but(examples=2400, probes=tuple(range(0, 2401, 800)), seeds=(0,), momentum=0.5),
    ],
    ids=[
        "momentum",
        "redrawn feedback",
        "feedback redrawn twice, rule switched",
        "compiled",
        "dropout, distortions, plateau",
        "stages",
    ],
)
def test_left_at_any_moment_a_run_goes_on_from_its_checkpoint_with_all_that_it_held(tmp_path, monkeypatch, experiment):
    monkeypatch.setattr(training, "PAUSE", 250)  # several times within each chunk
    run = Run(experiment, experiment.seeds)
    inside = 0
    while not run.done:
        inside += run.seen % run.task.chunk > 0
        training.save_checkpoint(tmp_path / "c.npz", experiment, [], run)
        saved = training.load_checkpoint(tmp_path / "c.npz", experiment)
        again = Run(experiment, experiment.seeds)
        again.restore({k.removeprefix("state/"): v for k, v in saved.items()})
        assert again.seen == run.seen
        run.advance(), again.advance()
        there, here = fields(run), fields(again)
        assert there.keys() == here.keys()
        assert [k for k in there if there[k] != here[k]] == []
    assert inside >= 3
    assert same(again.history(), run.history())


def test_a_pause_within_a_chunk_changes_no_bit(monkeypatch):
    for experiment in (tanh_experiment(), linear_experiment(examples=1500, products="compiled")):
        whole = train(experiment)
        with monkeypatch.context() as m:
            m.setattr(training, "PAUSE", 70)
            assert same(train(experiment), whole)


def test_finished_groups_are_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LARGE", 0)  # every seed by itself
    experiment = tanh_experiment()
    whole, path = train(experiment), tmp_path / "run.npz"
    started = []
    start = Run.__init__

    def counted(self, experiment, seeds, device):
        if len(started) == 2:
            raise Stop
        started.append(seeds)
        start(self, experiment, seeds, device)

    with monkeypatch.context() as m:
        m.setattr(Run, "__init__", counted)
        with pytest.raises(Stop):
            train(experiment, checkpoint=path)
    assert same(train(experiment, checkpoint=path), whole)
    assert started == [(3,), (4,)]


def test_killed_at_any_moment_and_started_again_gives_the_same_bits(tmp_path):
    experiment = "tanh_experiment(examples=60_000, probes=tuple(range(0, 60_001, 5_000)))"
    path = tmp_path / "run.npz"
    program = textwrap.dedent(f"""
        from pathlib import Path
        import torch
        torch.set_num_threads(1)
        from tests.helpers import tanh_experiment
        from fa_core.training import train
        train({experiment}, checkpoint=Path({str(path)!r}), every=0)
    """)
    kills = 0
    for _ in range(3):
        path_time = path.stat().st_mtime_ns if path.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        # Kill it once it has got further than the last time.
        while time.monotonic() < deadline and process.poll() is None:
            if path.exists() and path.stat().st_mtime_ns > path_time:
                break
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills, "the run ended before it could be killed"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain = tanh_experiment(examples=60_000, probes=tuple(range(0, 60_001, 5_000)))
        assert same(train(plain, checkpoint=path), train(plain))
    finally:
        torch.set_num_threads(threads)


def test_a_damaged_checkpoint_and_that_of_another_experiment_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    training.save_checkpoint(path, linear_experiment(), [])
    with pytest.raises(CheckpointError, match=r"is a checkpoint of experiment .* not of test-tanh"):
        train(tanh_experiment(), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"is damaged .* delete it to start again"):
        train(linear_experiment(), checkpoint=path)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A checkpoint of a run of three groups, left in the second of them, and what the run gives when nothing stops it."""
    path = tmp_path_factory.mktemp("interrupted") / "run.npz"
    with pytest.MonkeyPatch.context() as m:
        m.setattr(training, "LARGE", 0)  # every seed by itself
        whole, advances, advance = train(tanh_experiment()), 0, Run.advance

        def stopped(run):
            nonlocal advances
            if (advances := advances + 1) > 5:
                raise Stop
            advance(run)

        m.setattr(Run, "advance", stopped)
        with pytest.raises(Stop):
            train(tanh_experiment(), checkpoint=path, every=0)
    with np.load(path) as stored:
        return {k: stored[k] for k in stored.files}, whole


def test_a_checkpoint_that_lacks_a_part_is_refused_and_the_part_is_named(interrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LARGE", 0)
    parts, whole = interrupted
    assert {name.split("/")[0] for name in parts} == {"digest", "stretches", "finished", "state", "parts"}
    assert {"finished/0/curve/loss", "state/array.W0", "state/probe.0.loss", "state/generator.0"} <= parts.keys()
    path = tmp_path / "run.npz"
    for name in parts:
        np.savez(path, **{k: v for k, v in parts.items() if k != name})
        before = path.read_bytes()
        with pytest.raises(CheckpointError, match=rf"is damaged \(.* (lacks|has no) '?{name}'?\): delete it to start again"):
            train(tanh_experiment(), checkpoint=path)
        assert path.read_bytes() == before
    np.savez(path, **{k: v for k, v in parts.items() if not k.startswith("state/probe.")})
    with pytest.raises(CheckpointError, match=r"of its \d+ parts it lacks state/probe\.0\.W2, .*, \.\.\.\)"):
        train(tanh_experiment(), checkpoint=path)
    np.savez(path, **parts)
    assert same(train(tanh_experiment(), checkpoint=path), whole)


def test_the_first_snapshots_are_those_of_the_checkpoint_and_not_drawn_anew():
    experiment = tanh_experiment()
    state = Run(experiment, experiment.seeds).state()
    run = Run(experiment, experiment.seeds)
    run.restore({k: v + 1 if k.startswith("snapshot.") else v for k, v in state.items()})
    assert run.snapshots.keys() == {"W0 before", "B1 before"}
    for name, first in run.snapshots.items():
        assert np.array_equal(first, state[f"snapshot.{name}"] + 1)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    training.write_atomically(path, {"a": np.arange(3)})
    before = path.read_bytes()

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: could not write .*what was there before is untouched"):
        training.write_atomically(path, {"a": np.arange(4)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path], "no half-written file is left"


def test_histories_of_seeds_join_to_that_of_all(monkeypatch):
    experiment = tanh_experiment(snapshot_runs=2)
    whole = train(experiment)
    parts = [train(experiment.but(seeds=(s,), snapshots=())) for s in experiment.seeds]
    joined = History.join(parts)
    assert joined["loss"].tobytes() == whole["loss"].tobytes()
    assert whole.snapshots["W0 before"].shape == (2, 12, 3)
    assert not np.array_equal(whole.snapshots["W0 before"], whole.snapshots["W0 after"])
    assert np.array_equal(whole.snapshots["B1 before"], whole.snapshots["B1 after"])


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu():
    experiment = tanh_experiment(examples=500, probes=(0, 100, 500))
    cpu, gpu = train(experiment, device="cpu"), train(experiment, device="cuda")
    for name in cpu.curves:
        np.testing.assert_allclose(gpu[name], cpu[name], rtol=1e-6, atol=1e-8, err_msg=name)
