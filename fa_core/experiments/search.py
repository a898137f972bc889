"""The protocol of a search for what the paper leaves out, as data: what is tried, what it is judged by, what is taken.

A setting is searched for in trials on seeds, and of classified sets on images, that are not reported. Either algorithm of a
comparison has as many trials, equally long; the best is taken, and the reported runs are of it. All this stands in a commit
before the first of them begins, and none is made again with another setting because of its result: what is found to be
better later is reported beside the first, and says so (`later`).

A module of experiments lists its searches as `SEARCHES`; a test holds each to this page and to the trials' records.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fa_core.experiments import NOTEBOOKS, Described, datasets

BEGINNING = 50_000


@dataclass(frozen=True, kw_only=True)
class Search:
    """Trials of one algorithm, and the runs that are reported with what was chosen by them.

    `chosen`: the trial that is taken; `reported`: the runs with its setting. `settles`: the fields of an experiment that the
    trials vary and the runs take over; of `schedule` the part before example `BEGINNING`: how learning begins.
    `criterion`: the curve of a trial's history whose mean over the seeds, at its end, is to be small.
    `after`: an earlier round, whose best settings these trials are of. `beside`: names what is compared: the searches that
    share it make equally many trials. `later`: of a search, or a part of it, that was made when runs by an earlier one had
    been seen: why, and what is reported beside it.
    """

    name: str
    trials: tuple[Described, ...]
    chosen: Described
    reported: tuple[Described, ...]
    settles: tuple[str, ...]
    criterion: str = "test error"
    after: "Search | None" = None
    beside: str = ""
    later: str = ""


def every() -> list[Search]:
    """The searches of all modules of experiments. Raises ValueError where two have one name."""
    modules = (importlib.import_module(f"fa_core.experiments.{name}") for name in NOTEBOOKS)
    found = [s for module in modules for s in getattr(module, "SEARCHES", ())]
    names = [s.name for s in found]
    if twice := {n for n in names if names.count(n) > 1}:
        raise ValueError(f"two searches are named {', '.join(sorted(twice))}")
    return found


def setting(experiment: Described, fields: Iterable[str]) -> tuple:
    """What an experiment has in these fields."""
    return tuple(getattr(experiment, f) for f in fields)


def differs(run: Described, trial: Described, fields: Iterable[str]) -> list[str]:
    """The fields in which a run has another setting than a trial; of the schedule, how learning begins counts."""
    found = [f for f in fields if f != "schedule" and getattr(run, f) != getattr(trial, f)]
    begins = [[step for step in e.schedule if step[0] < BEGINNING] for e in (run, trial)]
    return found + ["schedule"] * ("schedule" in fields and begins[0] != begins[1])


def problems(search: Search) -> list[str]:
    """Where a search departs from the protocol, as far as its experiments tell."""
    s, found = search, []
    if s.chosen not in s.trials:
        found.append("what is chosen is not among the trials")
    if len({setting(t, s.settles) for t in s.trials}) < len(s.trials):
        found.append("two trials are of the same setting")
    if len({(t.task, t.seeds, t.examples, t.rule) for t in s.trials}) > 1:
        found.append("the trials differ in task, rule, seeds or length")
    if s.after:
        found += [
            f"{t.name} is of no setting of {s.after.name}"
            for t in s.trials
            if all(differs(t, earlier, s.settles) for earlier in s.after.trials)
        ]
    tried = {seed for t in s.trials for seed in t.seeds}
    for run in s.reported:
        if seeds := sorted(tried & set(run.seeds)):
            found.append(f"{run.name} reports seeds that were searched on: {', '.join(map(str, seeds))}")
        data, validated = datasets.find(run.task)
        if validated:
            found.append(f"{run.name} reports an error on validation images")
        elif data and any(t.task != f"{run.task}{datasets.SUFFIX}" for t in s.trials):
            found.append(f"the trials for {run.name} are not judged on the validation images of {run.task}")
        found += [f"{run.name} has another {field} than what was chosen" for field in differs(run, s.chosen, s.settles)]
    return found


def unequal(searches: Iterable[Search]) -> list[str]:
    """The comparisons in which one algorithm had more trials than another, or more seeds or examples to a trial."""
    efforts: dict[str, dict[str, tuple[int, int, int]]] = {}
    for s in searches:
        efforts.setdefault(s.beside or s.name, {})[s.name] = (len(s.trials), len(s.trials[0].seeds), s.trials[0].examples)
    return [
        f"{beside}: "
        + "; ".join(
            f"{name}, {n} trials of {seeds} seeds and {examples:,} examples"
            for name, (n, seeds, examples) in sorted(by_name.items())
        )
        for beside, by_name in efforts.items()
        if len(set(by_name.values())) > 1
    ]


def ranked(search: Search, score: Callable[[Described, str], float]) -> list[Described]:
    """The trials, the best first; `score(trial, criterion)`: what a trial came to, smaller is better. Of equals, up to
    rounding, the first stays first."""
    return sorted(search.trials, key=lambda t: round(score(t, search.criterion), 4))


def contradictions(search: Search, score: Callable[[Described, str], float]) -> list[str]:
    """Where a search departs from the protocol by what its trials came to."""
    s = search
    found = [] if ranked(s, score)[0] == s.chosen else [f"{s.chosen.name} was taken, {ranked(s, score)[0].name} is the best"]
    if s.after:
        best = ranked(s.after, score)[: len(s.trials)]
        found += [
            f"{t.name} is of none of the best {len(s.trials)} settings of {s.after.name}"
            for t in s.trials
            if all(differs(t, earlier, s.settles) for earlier in best)
        ]
    return found
