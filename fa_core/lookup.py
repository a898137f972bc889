"""Results as the notebooks ask for them: by profile, and at a moment of learning; and why there are none."""

from collections.abc import Callable

import numpy as np

from fa_core import records
from fa_core.experiments import Experiment
from fa_core.records import Result


def getter(profile: str, examples: int, seconds: bool = False) -> Callable[[Experiment], Result]:
    """A function that gets the result of an experiment: in the `paper` profile its record, in `smoke` a run of so many
    examples, made there, or of as many as that function is told. `seconds`: what has no record takes seconds, and is
    trained there in either profile.

    Raises what `Experiment.at` raises for an unknown profile, and what `records.get` raises.
    """

    def get(experiment: Experiment, examples: int = examples) -> Result:
        shown = experiment.at(profile, examples=examples)
        return records.get(shown, live=profile != "paper" or (seconds and not records.path(shown).exists()))

    return get


def at(result: Result, examples: float, what: str = "nse") -> np.ndarray:
    """A curve of every run, `(runs, ...)`, at the first probe after that many examples or more; in a shorter run, at its
    end. Raises KeyError for a curve that was not recorded."""
    seen = result.history.examples
    return result[what][:, np.searchsorted(seen, min(examples, seen[-1]))]


def untested(profile: str, *experiments: Experiment) -> str:
    """Why a claim that rests on records of these is not tested, with the command that makes what there is not; "" where all
    are there. In the `smoke` profile no claim is."""
    if profile != "paper":
        return "the smoke profile is too small"
    absent = " ".join(e.name for e in experiments if not records.path(e).exists())
    return f"there is no record yet; `python -m fa_core record {absent}` makes it" if absent else ""
