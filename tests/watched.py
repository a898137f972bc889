"""An experiment whose runs are logged, fail and die as a test tells them to; light to import, for workers do."""

import dataclasses
import os
import signal
import time
from typing import ClassVar

from fa_core import records, training
from fa_core.experiments import Experiment
from tests.helpers import tanh_experiment


class Watched(Experiment):
    """An experiment in parts of two seeds, whose workers obey files in their folder of records: see `train`."""

    trainer: ClassVar[str] = "tests.watched"


start = training.start


def groups(experiment):
    return [experiment.seeds[i : i + 2] for i in range(0, len(experiment.seeds), 2)]


def train(experiment, *, checkpoint=None, **options):
    """Train, as `fa_core.training` does, and log it: the first seed, the examples already seen, the process.

    Where there is a file `fail-<first seed>`: raise. Where there is `wait-<first seed>`: wait until there is none. Where
    there is `kill-<first seed>`: remove it, and die in mid-run, once there is a checkpoint.
    """
    folder, seed = records.folder(), experiment.seeds[0]
    seen = int(training.load_checkpoint(checkpoint, experiment).get("state/seen", 0)) if checkpoint else 0
    with open(folder / "log", "a") as log:
        log.write(f"{seed} {seen} {os.getpid()}\n")
    while (folder / f"wait-{seed}").exists():
        time.sleep(0.02)
    if (folder / f"fail-{seed}").exists():
        raise ArithmeticError("failed as it was told to")
    if (folder / f"kill-{seed}").exists():
        save = training.save_checkpoint

        def save_and_die(*arguments):
            save(*arguments)
            (folder / f"kill-{seed}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

        training.save_checkpoint = save_and_die  # in a process that ends by it
    return training.train(experiment, checkpoint=checkpoint, **options)


def watched(first: int, **changes) -> Watched:
    """An experiment of three parts: seeds from `first` on, two, two and one."""
    plain = tanh_experiment(seeds=tuple(range(first, first + 5)), snapshot_runs=3)
    fields = {f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)}
    return Watched(**(fields | {"name": "watched"} | changes))
