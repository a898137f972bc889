"""Planted faults: a copy of the project, in it one fault after the other, and whether the tests of the module notice.

    python -m tests.faults [--quick] [WORD...]      all of tests/faults.toml, the quick ones, those whose text has a word

Prints each fault that no test noticed, and the share that was noticed; exits with 1 where it is below 95 % or a fault of
`--quick` was not noticed. Before that the tests run on the copy as it is: a test that fails there notices nothing.
"""

import argparse
import importlib
import os
import resource
import shutil
import sys
import tempfile
import time
import tomllib
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
WANTED = 0.95
LIMIT = 300  # seconds of processor time for the tests of one fault; one that does not end is noticed by that
SEES_NO_TEST = (2, 3, 4, 5)  # of pytest's exit statuses, those that are no verdict: interrupted, broken, misused, no test


class FaultError(ValueError):
    """A fault cannot be planted, or its tests cannot be run; the message says which and why."""


@dataclass(frozen=True)
class Fault:
    """In `file`, `by` in the place of `text`; and the `tests` that should notice."""

    what: str
    file: str
    text: str
    by: str
    tests: tuple[str, ...]
    quick: bool = False

    def planted(self, root: Path = ROOT) -> str:
        """The source with the fault in it. Raises FaultError where the text does not stand in it once, and where what comes
        of it is no Python."""
        source = (root / self.file).read_text(encoding="utf-8")
        if (count := source.count(self.text)) != 1:
            raise FaultError(
                f"{self.what!r}: its text stands {count} times in {self.file}, wanted once. Follow the source "
                f"in {LIST.name}, or take the fault out: {self.text!r}"
            )
        changed = source.replace(self.text, self.by)
        try:
            compile(changed, self.file, "exec")
        except SyntaxError as error:
            raise FaultError(f"{self.what!r}: {self.file} is then no Python: {error}") from None
        return changed


def faults(path: Path = LIST) -> list[Fault]:
    """The kept list."""
    return [Fault(**entry | {"tests": tuple(entry["tests"])}) for entry in tomllib.loads(path.read_text())["fault"]]


def copy(folder: Path) -> None:
    """The project, as far as the module's tests need it."""
    nothing = shutil.ignore_patterns("__pycache__", ".*")
    for part in ("fa_core", "tests", "benchmarks"):
        shutil.copytree(ROOT / part, folder / part, ignore=nothing)
    for part in ("records", "notebooks", "book", "pyproject.toml", "_toc.yml", "_config.yml"):
        (folder / part).symlink_to(ROOT / part)


def warm() -> None:
    """Import what takes long, once: each run of tests is a fork of this process. Nothing of the project itself, and none of
    pytest's plugins, which take longer to import than most tests to run."""
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_CBWR": "AVX2",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    sys.dont_write_bytecode = True  # a source changed twice in a second would be taken for the one before
    for name in ("hypothesis.strategies", "numba", "pytest", "scipy.integrate", "scipy.stats", "torch"):
        importlib.import_module(name)


def run(folder: Path, tests: tuple[str, ...], limit: int = LIMIT) -> tuple[int, str]:
    """Run tests in the copy up to the first that fails: pytest's exit status, below 0 past the limit of processor time; and
    what it printed."""
    with tempfile.TemporaryFile("w+") as shown:
        child = os.fork()
        if child == 0:
            status = 3
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))  # not of the clock: the machine may be busy
                os.chdir(folder)
                os.dup2(shown.fileno(), 1)
                os.dup2(shown.fileno(), 2)
                for name in [n for n in sys.modules if n.partition(".")[0] in ("tests", "fa_core", "benchmarks")]:
                    del sys.modules[name]
                sys.path.insert(0, str(folder))
                import pytest

                status = int(pytest.main([*tests, "-x", "-q", "--no-header", "--rootdir", str(folder)]))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        shown.seek(0)
        return os.waitstatus_to_exitcode(status), shown.read()


def judge(chosen: list[Fault], say=print) -> list[Fault]:
    """Plant each fault and run its tests; returns those that were not noticed. Raises FaultError."""
    sources = {fault: fault.planted() for fault in chosen}  # all can be planted, before any is
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        copy(folder)
        whole = tuple(dict.fromkeys(test for fault in chosen for test in fault.tests))
        status, shown = run(folder, whole, LIMIT * len(chosen))
        if status != 0:
            raise FaultError(f"the tests do not pass without a fault, so they cannot notice one:\n{shown}")
        unnoticed = []
        for number, (fault, source) in enumerate(sources.items(), start=1):
            file = folder / fault.file
            before = file.read_bytes()
            start = time.monotonic()
            file.write_text(source, encoding="utf-8")
            try:
                status, shown = run(folder, fault.tests)
            finally:
                file.write_bytes(before)
            if status in SEES_NO_TEST and "rror collecting" not in shown and "ERROR " not in shown:
                raise FaultError(f"{fault.what!r}: its tests {', '.join(fault.tests)} were not run:\n{shown}")
            if status == 0:
                unnoticed.append(fault)
            verdict = "NOT NOTICED" if status == 0 else "noticed"
            say(
                f"{number:3} of {len(chosen)}  {verdict:11}  {time.monotonic() - start:5.1f} s  {Path(fault.file).stem}: "
                f"{fault.what}",
                flush=True,
            )
    return unnoticed


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="only faults whose file or description has one of these")
    parser.add_argument("--quick", action="store_true", help="only those that `make test` plants too")
    given = parser.parse_args(arguments)
    chosen = [
        f
        for f in faults()
        if (f.quick or not given.quick) and (not given.words or any(word in f"{f.file} {f.what}" for word in given.words))
    ]
    if not chosen:
        print("no fault has these words", file=sys.stderr)
        return 2
    warm()
    try:
        unnoticed = judge(chosen)
    except FaultError as error:
        print(error, file=sys.stderr)
        return 2
    noticed = len(chosen) - len(unnoticed)
    print(f"\n{noticed} of {len(chosen)} faults noticed, {100 * noticed / len(chosen):.0f} %")
    for fault in unnoticed:
        print(f"  not noticed by {', '.join(fault.tests)}: {fault.file}: {fault.what}")
    return int(noticed < (1.0 if given.quick else WANTED) * len(chosen))


if __name__ == "__main__":
    sys.exit(main())
