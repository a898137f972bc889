"""The command line: `python -m fa_core`, or `fa_core`."""

import ast
import fnmatch
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fa_core import mkl

if TYPE_CHECKING:  # takes torch with it
    from fa_core import cluster

MOST_EACH = 4  # processes, or threads of one, to a core
MEASURED = 5.0  # seconds after which what remains is judged by what was done, and not by the machine that made a record
PACKING = 20.0  # seconds of a budget that are for a last checkpoint, and for packing


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = ArgumentParser(prog="fa_core", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the experiments, and which have a record")
    show = commands.add_parser("show", help="an experiment's hyper-parameters")
    show.add_argument("name")
    make = commands.add_parser("record", help="run experiments and keep the results; goes on where a killed run was")
    make.add_argument("names", nargs="*", metavar="NAME", help="experiments; 'mnist-*' means several")
    make.add_argument("--all", action="store_true", help="every experiment that its notebook takes from a record")
    make.add_argument("--remake", action="store_true", help="run again what has a record")
    make.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="processes side by side, each on one thread: experiments, and groups of seeds of those that have several",
    )
    make.add_argument("--scheduler", metavar="ADDRESS", help="run on the workers of this Dask scheduler instead")
    make.add_argument("--threads", type=int, help="of each process; by default 1 with --jobs or --scheduler")
    make.add_argument("--device", help="cpu, cuda, ...; by default CUDA where there is one")
    make.add_argument("--dirty", action="store_true", help="though the module has uncommitted changes; the record says so")
    make.add_argument(
        "--mixed",
        action="store_true",
        help="go on with what was begun under other sources, versions or settings, or on another device; the record says so",
    )
    make.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="end by itself within so many seconds, and keep what is not finished; what experiments.FIRST names comes first",
    )
    make.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="pack what was made, and what is not finished, into a few files in this folder",
    )
    make.add_argument(
        "--from",
        type=Path,
        dest="source",
        metavar="FOLDER",
        help="first unpack what --into packed; without a NAME that is all",
    )
    check = commands.add_parser("verify", help="re-run the beginning of records, compare, and write down what agrees")
    check.add_argument("names", nargs="*", metavar="NAME", help="default: all that have one; 'mnist-*' means several")
    check.add_argument("--seeds", type=int, default=1)
    check.add_argument("--minutes", type=float, help="those whose turn it is this week, about so many minutes' worth")
    execute = commands.add_parser("run", help="execute notebooks")
    execute.add_argument("names", nargs="*", metavar="NAME", help="e.g. 02_linear; default: all")
    execute.add_argument("--profile", default="paper", choices=("paper", "smoke"))
    execute.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="another value for one of the notebook's parameters; may be given several times",
    )
    execute.add_argument("--out", default="_build/source", help="folder for the executed copies and the book's sources")
    execute.add_argument("--jobs", type=int, default=2, help="notebooks side by side")
    execute.add_argument("--write-back", action="store_true", help="put the outputs into notebooks/, in normal form")
    render = commands.add_parser("build", help="render the book from its executed sources, to _build/html")
    render.add_argument(
        "--source", default="_build/source", help="folder with the book's sources; . takes the committed outputs"
    )
    render.add_argument("--out", default=".", help="folder in which _build/html is made")
    arguments = parser.parse_args(argv)
    mkl.pin()  # for the kernels that run notebooks as well
    if arguments.command in ("run", "verify"):  # what these are compared with is of CPUs, and a GPU's digits are others
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        return COMMANDS[arguments.command](arguments)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"fa_core {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\nfa_core {arguments.command}: stopped{_left(arguments)}", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(number: int, _: object) -> None:
    """SIGTERM, which a queue sends, ends a command as Ctrl-C does."""
    raise KeyboardInterrupt(number)


def _left(arguments: Namespace) -> str:
    """What is kept of a command that was stopped."""
    cluster = sys.modules.get("fa_core.cluster")
    if arguments.command == "record":
        if cluster is None or not hasattr(cluster, "kept"):  # stopped while it was imported, which cannot be done twice
            return ", before anything was begun"
        return f"; {cluster.kept(_chosen(arguments))}"
    if arguments.command == "verify":
        return "; what was said above to agree is written down"
    return ""


def _list(arguments: Namespace) -> int:
    from fa_core import experiments, records

    for name, experiment in experiments.registry().items():
        mark = "record" if records.path(experiment).exists() else "-"
        print(f"{name:28} {experiment.digest}  {mark:7} {len(experiment.seeds):3} seeds  {experiment.rule}")
    return 0


def _show(arguments: Namespace) -> int:
    from fa_core import experiments, records, verification

    experiment = experiments.find(arguments.name)
    print(experiments.table(experiment))
    if records.path(experiment).exists():
        result = records.load(experiment)
        print(result.caption())
        print(verification.standing(result).text)
    return 0


def _named(names: list[str]) -> list:
    """The experiments of these names, in which * may stand for anything, as in those of files."""
    from fa_core import experiments

    known, chosen = experiments.registry(), []
    for name in names:
        fits = [known[k] for k in fnmatch.filter(known, name)] if set(name) & set("*?[") else [experiments.find(name)]
        if not fits:
            raise ValueError(f"no experiment's name fits {name!r}; `fa_core list` shows all {len(known)}")
        chosen += fits
    return list(dict.fromkeys(chosen))


def _chosen(arguments: Namespace) -> list:
    """The experiments that `record` is to make."""
    from fa_core import experiments

    chosen = list(experiments.registry(recorded=True).values()) if arguments.all else _named(arguments.names)
    return chosen if arguments.budget is None else experiments.by_priority(chosen)


def _record(arguments: Namespace) -> int:
    from fa_core import packs, records

    begun, chosen = time.monotonic(), _chosen(arguments)
    if not chosen:
        if not arguments.source:
            raise ValueError("name an experiment, or give --all; `fa_core list` shows them")
        print(*packs.unpack(arguments.source), sep="\n")
        return 0
    _refuse(arguments)
    unpacked = packs.unpack(arguments.source) if arguments.source else []
    to_pack = [e for e in chosen if arguments.remake or records.path(e) in unpacked or not records.path(e).exists()]
    try:
        return _make(chosen, _workers(arguments, begun), arguments.remake)
    finally:
        if arguments.into:
            left_out = [f.name for f in packs.pack(packs.kept(to_pack), arguments.into)]
            print(
                f"packed into {arguments.into}" + bool(left_out) * f", without room for {', '.join(left_out)}",
                file=sys.stderr,
            )


def _refuse(arguments: Namespace) -> None:
    """Raises ValueError for what `record` cannot do."""
    from fa_core import packs, provenance

    if arguments.jobs < 1 or (arguments.threads is not None and arguments.threads < 1):
        raise ValueError(f"--jobs and --threads must be 1 or more, got {arguments.jobs} and {arguments.threads}")
    most = MOST_EACH * (os.cpu_count() or 1)
    if arguments.scheduler is None and max(arguments.jobs, arguments.threads or 1) > most:
        raise ValueError(
            f"--jobs {arguments.jobs} and --threads {arguments.threads or 1}: here are {os.cpu_count()} cores, and more "
            f"than {most} of either would only stand in each other's way"
        )
    if arguments.budget is not None and not arguments.budget > 0:
        raise ValueError(f"--budget is how many seconds there are, more than 0; got {arguments.budget:g}")
    if arguments.scheduler is not None and (arguments.jobs > 1 or arguments.budget is not None):
        raise ValueError("--jobs and --budget are for this machine and --scheduler is for a cluster: give one of them")
    if arguments.into:
        packs.free(arguments.into)
    if provenance.commit().endswith("-dirty") and not arguments.dirty:
        raise ValueError(
            "fa_core has uncommitted changes, and nobody could tell later what made the record. Commit them, "
            "or make long runs in a worktree of their own, at a commit, so that work goes on beside them: "
            "`git worktree add ../runs`; or give --dirty: the record then says so wherever it is shown"
        )


def _workers(arguments: Namespace, begun: float) -> "cluster.Here":
    """Where the parts of records run."""
    from fa_core import cluster

    options = {"device": arguments.device, "mixed": arguments.mixed}
    if arguments.budget is not None:
        options["until"] = begun + max(arguments.budget - PACKING, arguments.budget / 2)
    if arguments.scheduler is not None:
        return cluster.Cluster(arguments.scheduler, arguments.threads or 1, **options)
    if arguments.jobs > 1:
        return cluster.Processes(arguments.jobs, arguments.threads or 1, **options)
    return cluster.Here(threads=arguments.threads, progress=None, **options)


def _make(chosen: list, workers: "cluster.Here", remake: bool) -> int:
    """Make records, and say what became of each; the exit status. What a budget left unfinished is no failure."""
    from fa_core import cluster, training

    several = False if type(workers) is cluster.Here else None  # one process has a bar for each part
    outcomes, late = [], []
    with workers:
        for outcome in cluster.record(chosen, workers, remake, progress=several):
            if outcome.error and isinstance(outcome.error.__cause__, training.OutOfTime):
                late.append(outcome.experiment)
                continue
            outcomes.append(outcome)
            if outcome.error:  # the others go on
                print(f"{outcome.experiment.name}: {outcome.error}", file=sys.stderr, flush=True)
            else:
                print(outcome.file, flush=True)
        print(cluster.summary(outcomes, str(workers)), file=sys.stderr)
    if late:
        print(f"time was up with {len(late)} of {len(chosen)} not finished; {cluster.kept(late)}", file=sys.stderr)
    return int(any(o.error for o in outcomes))


def _verify(arguments: Namespace) -> int:
    from fa_core import experiments, provenance, records, verification

    if arguments.seeds < 1:
        raise ValueError(f"--seeds is how many of a record's seeds are run again, 1 or more; got {arguments.seeds}")
    if arguments.minutes is not None and not arguments.minutes > 0:
        raise ValueError(f"--minutes is about how long to verify, more than 0; got {arguments.minutes:g}")
    chosen = _named(arguments.names)
    if not chosen:
        chosen = [e for e in experiments.registry().values() if records.path(e).exists()]
        if not chosen:
            raise ValueError(
                f"{records.folder()} holds no record of any experiment; {records.ENVIRONMENT} names another folder"
            )
    if arguments.minutes is not None:
        chosen = verification.turn(chosen, arguments.minutes)
    note = not provenance.commit().endswith("-dirty")
    bad = []
    planned = verification.expected(chosen, arguments.seeds, verification.LONGEST) if len(chosen) > 1 else []
    begun = time.monotonic()
    for count, experiment in enumerate(chosen):
        if planned:
            done, took = sum(planned[:count]), time.monotonic() - begun
            left = sum(planned[count:]) * (took / done if done > MEASURED else 1)  # by how fast it is here
            print(
                f"record {count + 1} of {len(chosen)}: {experiment.name}; about {records.spell(left)} left",
                file=sys.stderr,
                flush=True,
            )
        try:
            rows = verification.verify(experiment, arguments.seeds, longest=verification.LONGEST, note=note)
        except (records.RecordError, OSError, ValueError) as error:  # the others go on
            print(f"{experiment.name}: {error}", file=sys.stderr, flush=True)
            bad.append(experiment.name)
            continue
        for row in rows:
            print(
                f"{experiment.name:28} {row['curve']:14} differs by {row['difference']:.2g}, "
                f"allowed {row['allowed']:g}: {'agrees' if row['agrees'] else 'DIFFERS'}",
                flush=True,
            )
        bad += [] if all(row["agrees"] for row in rows) else [experiment.name]
    print(
        f"{len(chosen) - len(bad)} of {len(chosen)} records agree"
        + (f"; not: {', '.join(bad)}" if bad else "")
        + ("" if note else ". Nothing is written down: the module has uncommitted changes"),
        file=sys.stderr,
    )
    return int(bool(bad))


def _notebooks() -> ModuleType:
    """The module, where what it wants is installed."""
    try:
        from fa_core import notebooks
    except ImportError as error:
        raise RuntimeError(
            f"notebooks want {error.name}, which is not installed here: `pip install {error.name}`, or fa_core with its "
            "extra [notebooks]"
        ) from error
    return notebooks


def _run(arguments: Namespace) -> int:
    return _notebooks().run(
        arguments.names,
        out=arguments.out,
        profile=arguments.profile,
        jobs=arguments.jobs,
        write_back=arguments.write_back,
        given={k: _value(v) for k, v in arguments.parameter},
    )


def _value(text: str) -> Any:
    """What a text on the command line means to Python, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _build(arguments: Namespace) -> int:
    return _notebooks().build(Path(arguments.source), Path(arguments.out))


COMMANDS = {"list": _list, "show": _show, "record": _record, "verify": _verify, "run": _run, "build": _build}

if __name__ == "__main__":
    sys.exit(main())
