"""Tasks: target functions as the Methods write them, and examples that depend on their own run alone."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from fa_core import training
from fa_core.data import backgrounds, mnist, svhn, tasks, timit
from fa_core.experiments import DataSet, datasets
from tests.helpers import linear_experiment

QUADRATIC = linear_experiment(task="quadratic", sizes=(5, 4, 3), target=0.5, hidden="tanh")
TEACHER = linear_experiment(task="teacher", sizes=(6, 5, 3), teacher=(6, 4, 4, 3), target=0.5, hidden="tanh")


def examples(experiment, seeds=None):
    task = tasks.make(experiment, seeds or experiment.seeds)
    task.next_chunk()
    return tuple(a.numpy() for a in task.batch(0, tasks.CHUNK))


def elements(experiment, *shapes):
    """What a run's generator of its target gives, one array after the other, by the run's own hand."""
    for run, seed in enumerate(experiment.seeds):
        g = tasks.generator(seed, "target")
        yield (
            run,
            [
                (torch.empty(shape, dtype=torch.float64).uniform_(-1, 1, generator=g) * experiment.target).numpy()
                for shape in shapes
            ],
        )


def test_the_quadratic_target_is_a_form_for_each_output_of_inputs_between_plus_and_minus_two():
    x, y = examples(QUADRATIC)
    assert np.abs(x).max() <= 2
    assert np.abs(x).max() > 1.99
    for run, (Q,) in elements(QUADRATIC, (3, 5, 5)):
        assert np.abs(Q).max() <= 0.5
        for n in range(20):
            assert y[run, n] == pytest.approx([x[run, n] @ Q_k @ x[run, n] for Q_k in Q])


def test_the_centred_target_is_the_same_less_its_mean():
    (_, y), (_, centred) = examples(QUADRATIC), examples(QUADRATIC.but(centred=True))
    difference = y - centred
    assert np.ptp(difference, axis=1).max() < 1e-12
    # The mean of 1000 examples, within five standard errors of none.
    assert (np.abs(centred.mean(1)) < 5 * centred.std(1) / np.sqrt(centred.shape[1])).all()
    assert (np.abs(y.mean(1)) > 5 * y.std(1) / np.sqrt(y.shape[1])).any(), "there was a mean to be taken away"


def test_the_teacher_is_a_tanh_network_with_linear_outputs():
    x, y = examples(TEACHER)
    for run, (W0, b0, W1, b1, W2, b2) in elements(TEACHER, (6, 4), (1, 4), (4, 4), (1, 4), (4, 3), (1, 3)):
        assert y[run] == pytest.approx(np.tanh(np.tanh(x[run] @ W0 + b0) @ W1 + b1) @ W2 + b2)


@pytest.mark.parametrize("experiment", [linear_experiment(), QUADRATIC, TEACHER], ids=lambda e: e.task)
def test_a_runs_examples_do_not_depend_on_the_runs_beside_it(experiment):
    together, alone = examples(experiment), examples(experiment, experiment.seeds[1:2])
    for a, b in zip(together, alone, strict=True):
        assert a[1].tobytes() == b[0].tobytes()


def test_the_target_has_the_scale_that_is_asked_for():
    (_, y), (_, doubled) = examples(linear_experiment()), examples(linear_experiment(target=2.0))
    assert doubled == pytest.approx(2 * y)


@pytest.mark.parametrize(("batch", "chunk"), [(300, 900), (7, 994), (2000, 2000), (1000, 1000), (1, 1000)])
def test_every_minibatch_of_drawn_examples_is_whole_and_every_probe_kept(monkeypatch, batch, chunk):
    count = 6000 // batch
    experiment = linear_experiment(
        batch=batch, examples=count * batch, probes=tuple(range(0, count * batch + 1, batch)), rate=1e-5
    )
    assert tasks.make(experiment, (0,)).chunk == chunk
    sizes, step = [], training.step
    monkeypatch.setattr(
        training, "step", lambda e, net, rule, x, *rest: (sizes.append(x.shape[1]), step(e, net, rule, x, *rest))[1]
    )
    history = training.train(experiment)
    assert sizes == [batch] * count
    assert history["nse"].shape == (3, count + 1)
    assert np.isfinite(history["nse"]).all()


def test_a_minibatch_larger_than_the_training_set_is_refused():
    xor = linear_experiment(task="xor", sizes=(2, 2, 1), batch=2000, examples=4000, probes=())
    with pytest.raises(ValueError, match=r"a minibatch of 2,000 is larger than .* 1,000 training examples: give a smaller"):
        tasks.make(xor, (0,))


@pytest.mark.parametrize("n", [1, 2, 4, 7, 19, 22, 23, 100])
def test_orders_are_those_of_randperm_to_the_last_and_so_is_the_generator(n):
    one, other = tasks.generator(n, "data"), tasks.generator(n, "data")
    assert torch.equal(tasks.orders(n, 50, one), torch.cat([torch.randperm(n, generator=other) for _ in range(50)]))
    assert torch.equal(one.get_state(), other.get_state())


def test_the_common_multiple_is_sought_of_few_things_alone(monkeypatch):
    # Of the 60,000 images it took two seconds, once an epoch and run, and was not needed.
    monkeypatch.setattr(tasks.math, "lcm", None)
    assert sorted(tasks.orders(60_000, 1, tasks.generator(0, "data")).tolist()) == list(range(60_000))
    assert len(tasks.orders(tasks.MANY, 3, tasks.generator(0, "data"))) == 3 * tasks.MANY
    with pytest.raises(TypeError, match="not callable"):
        tasks.orders(tasks.MANY - 1, 3, tasks.generator(0, "data"))


# ---- sets of files


DIGITS = {
    "sizes": (784, 3, 10),
    "weights": 0.1,
    "batch": 30,
    "examples": 3000,
    "probes": (),
    "dtype": "float32",
    "targets": (-0.9, 0.9),
}


@pytest.fixture
def small_sets(monkeypatch):
    """Training sets of 1000 and test sets of 50: MNIST's images, cut to 28 x 28 or padded to 32 x 32."""
    whole = mnist.load

    def cut(split="train", side=28):
        images, labels = (a[: {"train": 1000, "test": 50}[split]] for a in whole(split))
        edge = (side - 28) // 2
        padded = np.pad(images.reshape(-1, 28, 28), ((0, 0), (edge, edge), (edge, edge)))
        return mnist.Digits(padded.reshape(len(images), -1), labels)

    monkeypatch.setattr(mnist, "load", cut)
    monkeypatch.setattr(backgrounds, "load", cut)
    monkeypatch.setattr(svhn, "load", lambda split: cut(split, 32))
    monkeypatch.setattr(datasets, "DATASETS", {k: replace(v, held_out=200) for k, v in datasets.DATASETS.items()})


@pytest.mark.usefixtures("small_sets")
def test_examples_too_few_for_a_minibatch_are_left_out_of_an_epoch_and_each_other_is_seen_once():
    task = tasks.make(linear_experiment(task="mnist", **DIGITS), (0, 1))
    assert task.chunk == 990
    task.next_chunk()
    x = torch.cat([task.batch(start, 30)[0] for start in range(0, task.chunk, 30)], dim=1)
    assert x.shape == (2, 990, 784)
    assert len(x[0].unique(dim=0)) == len(task.x.unique(dim=0)) - (1000 - 990)


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("name", ["mnist", "backgrounds", "svhn"])
def test_a_validation_set_is_the_end_of_the_training_set_on_the_whole_ones_scale(name):
    whole, validation = (tasks.load(name + part) for part in ("", " validation"))
    assert np.array_equal(validation[0][0], whole[0][0][:800])
    assert np.array_equal(validation[1][0], whole[0][0][800:])
    assert np.array_equal(validation[1][1], whole[0][1][800:])
    scaled = whole[2](whole[0][0])
    assert scaled.dtype == np.float32
    assert abs(scaled.mean()) < 1e-5
    assert scaled.std() == pytest.approx(1, abs=1e-5)
    assert np.array_equal(validation[2](validation[1][0]), scaled[800:])


def test_a_set_that_cannot_change_is_scaled_once_and_each_other_one_anew():
    experiment = linear_experiment(task="mnist", **DIGITS)
    one, again = tasks.make(experiment, (0, 1)), tasks.make(experiment, (2,))
    assert again.x is one.x
    assert again.test_x.data_ptr() == one.test_x.data_ptr()
    validated = tasks.make(experiment.but(task="mnist validation"), (0, 1))
    assert 0 < len(validated.x) < 60_000
    assert torch.equal(validated.x, one.x[: len(validated.x)])
    assert torch.equal(validated.test_x[0], one.x[len(validated.x) :])
    assert torch.equal(tasks.make(experiment.but(dtype="float64"), (0,)).x, one.x.double())
    assert torch.equal(tasks.make(experiment, (0,)).x, one.x)


def test_a_set_that_may_be_written_to_is_taken_as_it_is_now():
    stored = np.zeros(3)
    for value in (0.0, 1.0):
        stored[:] = value
        assert np.array_equal(tasks.kept("train", (), stored, stored.copy), stored)


@pytest.mark.usefixtures("small_sets")
def test_images_that_stay_in_their_file_are_given_as_those_in_memory_are(monkeypatch):
    experiment = linear_experiment(task="svhn", **DIGITS | {"sizes": (1024, 3, 10)})
    mapped = tasks.make(experiment, (0, 1))
    assert isinstance(mapped, tasks.Mapped)
    assert mapped.x.dtype == np.uint8
    monkeypatch.setattr(tasks, "Mapped", lambda images, scale, *rest: tasks.FixedSet(torch.from_numpy(scale(images)), *rest))
    held = tasks.make(experiment, (0, 1))
    for task in (mapped, held):
        task.next_chunk()
    for one, other in zip(mapped.batch(60, 30), held.batch(60, 30), strict=True):
        assert torch.equal(one, other)


def test_mnist_is_scaled_as_its_one_place_for_that_scales_it():
    train, test, scale = tasks.load("mnist")
    for part in (train, test):
        assert np.array_equal(scale(part[0][:2000]), mnist.standardise(part[0][:2000]))


@pytest.mark.usefixtures("small_sets")
def test_what_a_distortion_brings_in_from_outside_an_image_is_black_as_its_background_is():
    experiment = linear_experiment(task="mnist", **DIGITS | {"distort": (6.0, 36.0)})
    task = tasks.make(experiment, (0, 1))
    task.next_chunk()
    distorted, _ = task.batch(0, 300)
    # Between the levels of the images, with black in the corners; and each image of its own, in either run.
    assert distorted[:, :, [0, 27, 756, 783]].amax() == pytest.approx(task.x.min().item())
    assert distorted.amin() >= task.x.min() - 1e-5
    assert not torch.equal(distorted[0], task.x[task.order[0, :300]])
    assert not torch.equal(task.batch(0, 300)[0], distorted), "anew each time"


@pytest.mark.usefixtures("small_sets")
@pytest.mark.parametrize("name", ["mnist", "autoencoder", "backgrounds", "svhn"])
def test_a_task_is_tested_on_the_test_set_scaled_as_the_training_set_is(name):
    side = 32 if name == "svhn" else 28
    n_out = side**2 if name == "autoencoder" else 10
    task = tasks.make(linear_experiment(task=name, **DIGITS | {"sizes": (side**2, 3, n_out)}), (0, 1))
    source = {"backgrounds": backgrounds, "svhn": svhn}.get(name, mnist)
    images, labels = source.load("test")
    _, _, scale = tasks.load(name)
    assert np.array_equal(task.test_x[0].numpy(), scale(images))
    if name == "autoencoder":
        assert torch.equal(task.test_x, task.test_y)
        np.testing.assert_allclose(scale(images), images / 255 * 1.8 - 0.9, atol=1e-6)
        return
    assert np.array_equal(task.labels, labels)
    wanted = np.full((50, 10), -0.9)
    wanted[np.arange(50), labels] = 0.9
    np.testing.assert_allclose(task.test_y[0], wanted, rtol=1e-6)
    task.next_chunk()
    x, y = task.batch(0, 30)
    images, labels = source.load("train")
    for run in range(2):
        for i in range(30):
            n = int(task.order[run, i])
            assert np.array_equal(x[run, i].numpy(), scale(images[n]))
            assert y[run, i].argmax() == labels[n]
    assert not torch.equal(task.order[0], task.order[1])
    assert not torch.equal(task.order[0], torch.arange(len(task.order[0])))


@pytest.mark.parametrize("experiment", [linear_experiment(), QUADRATIC, TEACHER], ids=lambda e: e.task)
def test_no_test_example_is_one_that_is_learned_from(experiment):
    task = tasks.make(experiment, experiment.seeds)
    task.next_chunk()
    x, _ = task.batch(0, tasks.CHUNK)
    for seen, tested in zip(x, task.test_x, strict=True):
        assert len(torch.cat([seen, tested]).unique(dim=0)) == len(seen) + len(tested)


def test_the_exclusive_or_is_right_where_one_input_alone_is():
    task = tasks.make(linear_experiment(task="xor", sizes=(2, 2, 1), examples=1000, probes=()), (0,))
    task.next_chunk()
    x, y = task.batch(0, 1000)
    assert torch.equal(y[..., 0], (x.sum(2) == 1).double())
    for four in x[0].split(4):
        assert len(four.unique(dim=0)) == 4, "each once in four"
    assert torch.equal(task.test_y[..., 0], (task.test_x.sum(2) == 1).double())


def test_timits_features_are_scaled_by_the_moments_of_the_training_set(monkeypatch):
    rng = np.random.default_rng(0)
    sets = {
        split: timit.Frames(rng.normal(centre, width, (500, 39)).astype(np.float32), rng.integers(6, size=500))
        for split, centre, width in (("train", 3, 2), ("test", 5, 8))
    }
    monkeypatch.setattr(timit, "load", sets.__getitem__)
    monkeypatch.setattr(datasets, "DATASETS", {k: replace(v, held_out=100) for k, v in datasets.DATASETS.items()})
    train = sets["train"].features
    for name, wanted in (("timit at hand", sets["test"].features), ("timit at hand validation", train[400:])):
        task = tasks.make(linear_experiment(task=name, **DIGITS | {"sizes": (39, 3, 6), "examples": 300}), (0,))
        np.testing.assert_allclose(task.test_x[0], (wanted - train.mean(0)) / train.std(0), atol=1e-4)
    np.testing.assert_allclose(task.x, ((train - train.mean(0)) / train.std(0))[:400], atol=1e-4)


# ---- data of one's own


def moons(n=60, outputs=None, seed=0):
    """Inputs `(n, 2)` with labels, or with that many outputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, (x[:, 0] > 0).astype(int) if outputs is None else np.tanh(x @ rng.normal(size=(2, outputs)))


OWN = {"sizes": (2, 6, 2), "weights": 0.3, "batch": 10, "examples": 240, "probes": (0, 240), "hidden": "tanh"}


def test_ones_own_examples_are_gone_through_epoch_by_epoch_and_tested_on_ones_own():
    data = DataSet("moons", train=moons(), test=moons(40, seed=1))
    experiment = linear_experiment(task=data, held_out=10, targets=(-0.8, 0.8), **OWN)
    task = tasks.make(experiment, (0, 1))
    assert task.chunk == 50
    task.next_chunk()
    x, y = (a[1] for a in task.batch(0, 50))
    wanted = sorted((*a, b) for a, b in zip(*(part[:50] for part in moons()), strict=True))
    assert sorted((*a.tolist(), int(b.argmax())) for a, b in zip(x, y, strict=True)) == wanted
    assert set(y.flatten().tolist()) == {-0.8, 0.8}
    np.testing.assert_array_equal(task.test_x[0], moons(40, seed=1)[0])
    np.testing.assert_array_equal(task.labels, moons(40, seed=1)[1])
    np.testing.assert_array_equal(task.validation[2], moons()[1][50:])
    learned = training.train(experiment.but(rate=0.05, examples=24_000, probes=(0, 24_000)), progress=False)
    assert learned["test error"][:, 0].mean() > 20
    assert learned["test error"][:, -1].max() <= 10


def test_ones_own_outputs_are_learned_as_they_are():
    data = DataSet("curve", train=moons(outputs=3), test=moons(40, 3))
    run = training.Run(linear_experiment(task=data, **OWN | {"sizes": (2, 6, 3)}), (0,))
    np.testing.assert_array_equal(run.task.test_y[0], moons(40, 3)[1])
    assert "nse" in run.probed[0]


def test_an_experiment_knows_ones_own_data_by_name_and_contents():
    first, again, other = (
        linear_experiment(task=DataSet("moons", train=moons(seed=s), test=moons()), **OWN) for s in (0, 0, 1)
    )
    assert first == again
    assert first.digest != other.digest
    assert first.task.startswith("moons (")
    assert (first.data().name, first.data().held_out) == (first.task, 0)


def test_data_that_were_changed_since_are_not_taken_for_those_that_were_given():
    inputs, labels = moons()
    experiment = linear_experiment(task=DataSet("moons", train=(inputs, labels), test=moons()), **OWN)
    inputs[:] = inputs[::-1]
    with pytest.raises(ValueError, match=r"the arrays of data set 'moons \(.*\)' were changed since it was made"):
        tasks.make(experiment, (0,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": (*moons(), None)}, "wanted two arrays of real numbers"),
        ({"train": (np.ma.masked_array(moons()[0], moons()[0] > 0), moons()[1])}, "wanted two arrays of real numbers"),
        ({"train": (moons()[0] + 1j, moons()[1])}, "wanted two arrays of real numbers"),
        ({"train": (moons()[0].astype(object), moons()[1])}, "wanted two arrays of real numbers"),
        ({"held_out": 0.1}, "held_out is how many examples, got 0.1"),
        ({"held_out": -5}, "held_out is how many examples, got -5"),
    ],
)
def test_data_that_no_network_could_learn_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DataSet("odd", **{"train": moons(), "test": moons()} | change)


def test_ones_own_data_travel_with_the_experiment_to_a_process_that_does_not_know_them(monkeypatch):
    experiment = linear_experiment(task=DataSet("moons", train=moons(), test=moons()), **OWN)
    here, sent = training.train(experiment, progress=False), pickle.dumps(experiment)
    monkeypatch.setattr(datasets, "OWN", {})
    with pytest.raises(ValueError, match=r"this process knows no data set 'moons \("):
        tasks.make(experiment, (0,))
    there = pickle.loads(sent)
    assert there == experiment
    np.testing.assert_array_equal(training.train(there, progress=False)["loss"], here["loss"])
    assert there.but(rate=0.1).data().name == experiment.task


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((np.zeros(5), np.zeros(5, int)), moons(), r"train: wanted inputs \(n, n_in\), and labels"),
        ((np.zeros((5, 2)), np.zeros(5)), moons(), r"train: wanted .* got float64 \(5, 2\) and float64 \(5,\)"),
        (moons(), (np.zeros((5, 2)), np.zeros(4, int)), "test: wanted"),
        (moons(), (np.zeros((0, 2)), np.zeros(0, int)), "test: wanted"),
        ((np.full((5, 2), np.nan), np.zeros(5, int)), moons(), "inputs and outputs must be finite"),
        ((np.zeros((5, 2)), np.full(5, -1)), moons(), "labels 0 or more"),
        (moons(), (np.zeros((5, 3)), np.zeros(5, int)), "training and test set differ"),
        (moons(), moons(outputs=2), "training and test set differ"),
    ],
)
def test_data_that_make_no_sense_are_refused_when_they_are_described(train, test, message):
    with pytest.raises(ValueError, match=f"data set 'wrong'.*{message}"):
        DataSet("wrong", train=train, test=test)


@pytest.mark.parametrize(("sizes", "outputs"), [((3, 6, 2), None), ((2, 6, 1), None), ((2, 6, 2), 3), ((2, 6, 4), 3)])
def test_a_network_that_does_not_fit_the_data_is_refused_when_the_experiment_is_described(sizes, outputs):
    data = DataSet("moons", train=moons(outputs=outputs), test=moons(outputs=outputs))
    with pytest.raises(ValueError, match=r"data set 'moons .* wants 2 inputs and [23] outputs.*, the network .* has others"):
        linear_experiment(task=data, **OWN | {"sizes": sizes})


def test_a_data_set_without_arrays_is_refused():
    with pytest.raises(ValueError, match=r"data set 'none' has no arrays: give train=\(inputs, answers\)"):
        linear_experiment(task=DataSet("none"), **OWN)
    for part in ("train", "test"):
        with pytest.raises(ValueError, match=r"data set 'half' has no arrays: give .* test=\(inputs, answers\)"):
            DataSet("half", **{part: moons()})
    with pytest.raises(ValueError, match="task 'xor' has no data set; there are: mnist, mnist validation"):
        tasks.load("xor")
