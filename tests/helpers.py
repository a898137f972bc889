"""What several test modules share."""

from pathlib import Path

import numpy as np

from fa_core.experiments import Experiment


def linear_experiment(**changes) -> Experiment:
    """A small, quick experiment: the 30-20-10 linear network online, in float64."""
    plain = Experiment(
        name="test-linear",
        task="linear",
        sizes=(30, 20, 10),
        rule="feedback alignment",
        rate=0.008,
        examples=400,
        seeds=(0, 1, 2),
        weights=0.01,
        biases=0.0,
        feedback=0.5,
        hidden="linear",
        output="linear",
        dtype="float64",
        probes=(0, 100, 200, 400),
    )
    return plain.but(**changes)


def tanh_experiment(**changes) -> Experiment:
    """A small network with two hidden layers, every kind of learning switched on, in minibatches."""
    plain = Experiment(
        name="test-tanh",
        task="linear",
        sizes=(12, 9, 7, 4),
        rule="feedback alignment",
        rate=0.002,
        examples=3000,
        batch=10,
        seeds=(3, 4, 5),
        weights=0.3,
        feedback=0.5,
        hidden="tanh",
        output="linear",
        dtype="float64",
        momentum=0.5,
        weight_decay=1e-4,
        schedule=((0, 0.5), (500, 1.0)),
        density=(1.0, 0.5, 1.0),
        feedback_density=(0.5, 1.0),
        probes=(0, 1000, 2000, 3000),
        snapshots=("W0", "B1"),
        snapshot_runs=1,
        snapshot_units=3,
        traced=("W2",),
    )
    return plain.but(**changes)


def same(a, b) -> bool:
    """Whether two histories are equal to the last bit."""
    x, y = a.arrays(), b.arrays()
    return x.keys() == y.keys() and all(
        x[k].dtype == y[k].dtype and x[k].shape == y[k].shape and x[k].tobytes() == y[k].tobytes() for k in x
    )


def rewritten(file: Path, **changes) -> None:
    """Write an .npz again with some of its arrays replaced, or left out where the change is None. Pickles if it must."""
    with np.load(file) as stored:
        arrays = {k: stored[k] for k in stored.files} | changes
    np.savez(file, **{k: v for k, v in arrays.items() if v is not None})


def checkpoint_with(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a checkpoint that says it is whole, of what `training.load_checkpoint` gave, edited."""
    from fa_core import training

    training.write_atomically(path, arrays | {"parts": np.array(sorted(arrays))})


def recorded_as(experiment: Experiment, ran: Experiment) -> None:
    """A record that says it is of `experiment` and holds what `ran`, of the same shape, gave."""
    from fa_core import records

    result = records.run(ran)
    records.save(experiment, result.history, made(experiment))


def made(experiment: Experiment, **changes) -> dict:
    """What a record says of a run that took a minute here and now."""
    from fa_core import provenance, records

    return records.about(experiment, [provenance.stretch(experiment) | {"seconds": 60.0} | changes])
