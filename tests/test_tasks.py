"""Tasks: target functions as the Methods write them, and examples that depend on their own run alone."""

import numpy as np
import pytest
import torch

from fa_core.data import tasks
from tests.helpers import linear_experiment

QUADRATIC = linear_experiment(task="quadratic", sizes=(5, 4, 3), target=0.5, hidden="tanh")
TEACHER = linear_experiment(task="teacher", sizes=(6, 5, 3), teacher=(6, 4, 4, 3), target=0.5, hidden="tanh")


def examples(experiment, seeds=None):
    task = tasks.make(experiment, seeds or experiment.seeds)
    task.next_chunk()
    return tuple(a.numpy() for a in task.batch(0, tasks.DRAWN))


def elements(experiment, *shapes):
    """What a run's generator of its target gives, one array after the other, by the run's own hand."""
    for run, seed in enumerate(experiment.seeds):
        g = tasks.generator(seed, "target")
        yield run, [(torch.empty(shape, dtype=torch.float64).uniform_(-1, 1, generator=g) * experiment.target).numpy()
                    for shape in shapes]


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
