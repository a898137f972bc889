"""Where a result comes from: which sources, at which commit, on what, with how many threads, under which settings.

The *sources* of a run are the modules that can change its result: its trainer and all that this imports, found in the
syntax trees, so that a new module is never forgotten. Their digests leave out docstrings, comments, layout, the types of
what functions take and give, how a thing shows itself, the version, and of `fa_core.experiments` all but the classes, for
what was run is in the experiment's own digest.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from fa_core import mkl
from fa_core.experiments import Described

PACKAGE = __package__
DESCRIPTIONS = f"{PACKAGE}.experiments"
SHOWN = ("table", "__repr__", "_repr_html_", "_repr_mimebundle_")  # functions for readers alone
NAMES = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy"}  # as one writes them
# What changes the bits of a result, or may.
VARIABLES = ("MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES")


# ---- sources


def sources(experiment: Described) -> dict[str, str]:
    """The digest of each module that can change a run of this experiment, by name.

    A module that is imported by a name made up at run time, as data sets are, counts where the experiment's task names it.
    """
    return dict(_sources(experiment.trainer, frozenset(f"{experiment.task}".split())))


def digest(found: dict[str, str]) -> str:
    """Twelve hexadecimal digits for the digests of several modules."""
    return _short(json.dumps(found, sort_keys=True))


@functools.cache  # what is loaded, and not what a file says later on
def _sources(trainer: str, words: frozenset[str]) -> tuple[tuple[str, str], ...]:
    wanted: dict[str, set[str]] = {}
    met: set[str] = set()
    left = [trainer]
    while left:
        name = left.pop()
        if name in met or name == __name__:  # which looks on, and changes nothing
            continue
        met.add(name)
        made_up = [(stem + word, frozenset[str]()) for stem in _stems(name) for word in words if _exists(stem + word)]
        for module, names in (*_imports(name), *made_up):
            wanted.setdefault(module, set()).update(names)
            left.append(module)
            left += [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]  # a package is run before its parts
    found = {}
    for name in sorted(met):
        described = name == DESCRIPTIONS or name.startswith(f"{DESCRIPTIONS}.")
        if of := _digest_of(name, frozenset(wanted.get(name, ())) if described else None):
            found[name] = of
    return tuple(found.items())


@functools.cache  # for many trainers and tasks
def _digest_of(name: str, wanted: frozenset[str] | None) -> str | None:
    """The digest of a module, or of what it needs to define the names that are wanted of it; None where that is nothing."""
    body = _untyped(name).body if wanted is None else _needed(_untyped(name), wanted)
    return _short(json.dumps(_plain(ast.Module(body, [])))) if body else None


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _source(name: str) -> Path:
    """The file of a module; of a package, its `__init__.py`."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the source of {name} is not to be found")
    return Path(spec.origin)


def _tree(name: str) -> ast.Module:
    return ast.parse(_source(name).read_bytes())


@functools.cache
def _untyped(name: str) -> ast.Module:
    return _Untyped().visit(_tree(name))


class _Untyped(ast.NodeTransformer):
    """A module without what is there for a type checker or for readers alone, `SHOWN`. The fields of a class keep their
    types: of them a dataclass is made."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        if node.name in SHOWN:
            return None
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        kept = (s if isinstance(s, ast.AnnAssign) else self.visit(s) for s in node.body)
        node.body = [s for s in kept if s is not None]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if ast.unparse(node.targets[0]) == "__version__" else self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module and no package
        return False


@functools.cache
def _imports(name: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The modules of this package that a module imports, wherever in it, each with the names that are taken from it."""
    package = name if _source(name).name == "__init__.py" else name.rpartition(".")[0]
    tops = _tops(name)
    imported: list[tuple[str, set[str]]] = []
    for node in ast.walk(_untyped(name)):
        if isinstance(node, ast.Import):
            imported += [(alias.name, set()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, package)
            if base.split(".")[0] not in tops:
                continue
            parts = {alias.name for alias in node.names if _exists(f"{base}.{alias.name}")}
            imported += [
                (base, {alias.name for alias in node.names} - parts),
                *((f"{base}.{part}", set()) for part in parts),
            ]
    return tuple((module, frozenset(names)) for module, names in imported if module.split(".")[0] in tops)


def _tops(name: str) -> set[str]:
    """The packages whose modules count, of what a module imports."""
    return {PACKAGE, name.split(".")[0]}


@functools.cache
def _stems(name: str) -> tuple[str, ...]:
    """The first parts of the names that a module makes up at run time, of others that it imports."""
    stems = (_made_up(node) for node in ast.walk(_untyped(name)))
    return tuple(stem for stem in stems if stem is not None and stem.split(".")[0] in _tops(name))


def _made_up(node: ast.AST) -> str | None:
    """The first part of a module's name in `import_module(f"first.part.{rest}")`."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args):
        return None
    name = node.args[0]
    first = name.values[0] if isinstance(name, ast.JoinedStr) else name
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _needed(tree: ast.Module, names: Iterable[str]) -> list[ast.stmt]:
    """The statements of a module that define these names, and what those use in turn."""
    defines = [(statement, _defined(statement)) for statement in tree.body]
    wanted = set(names)
    kept: list[ast.stmt] = []
    while more := [s for s, defined in defines if defined & wanted and s not in kept]:
        kept += more
        wanted |= {node.id for statement in more for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return [s for s in tree.body if s in kept]


def _defined(statement: ast.stmt) -> set[str]:
    if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _plain(node: Any) -> Any:
    """A syntax tree as lists and text, without docstrings, those of attributes too; fields that are empty are left out, for
    they come and go with the version of Python."""
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            fields["body"] = [
                n
                for n in node.body
                if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant) and isinstance(n.value.value, str))
            ]
        return [type(node).__name__, {k: _plain(v) for k, v in fields.items() if v not in (None, []) and k != "kind"}]
    return [_plain(n) for n in node] if isinstance(node, list) else repr(node)


# ---- what a run was made with


def stretch(experiment: Described, device: str = "cpu") -> dict:
    """What one uninterrupted stretch of a run is made with; whoever runs it adds its `seconds`."""
    import torch

    on = machine()
    if device.startswith("cuda"):
        on["device"] = torch.cuda.get_device_name(device)
    return {
        "began": now(),
        "commit": commit(),
        "sources": sources(experiment),
        "threads": torch.get_num_threads(),
        "settings": settings(),
    } | on


COMPARED = ("sources", "device", "threads", "versions", "settings")


def differences(before: dict, after: dict) -> list[str]:
    """What two stretches were made with differently, in words; a commit alone changes nothing."""
    told = []
    for key in COMPARED:
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            then, now = ("unknown" if v is None else v if isinstance(v, int | str) else "known" for v in (one, other))
            told += [f"{key} {then}, now {now}"] if then != now else []
        elif key == "sources":
            changed = sorted(k for k in one | other if one.get(k) != other.get(k))
            told += [f"sources: {', '.join(changed)} changed"] if changed else []
        elif isinstance(one, dict):
            told += [f"{k} {one.get(k)}, now {other.get(k)}" for k in sorted(one | other) if one.get(k) != other.get(k)]
        elif one != other:
            told.append(f"{key} {one}, now {other}")
    return told


def commit() -> str:
    """The commit of the checkout that fa_core is run from, with "-dirty" where the module differs from it; "unknown"
    outside of one, and where it is installed within a checkout of something else. Records do not count: the first that a
    run writes would make the others dirty."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def now() -> str:
    """The time, to the second, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Machine(dict):
    """What processes run on: `device`, and `versions` by name. At the end of a notebook's cell it is a sentence."""

    def __repr__(self) -> str:
        *first, last = (f"{NAMES.get(name, name)} {version}" for name, version in self["versions"].items())
        return f"Run on {self['device']}, with {', '.join(first)} and {last}."


def machine() -> Machine:
    """What the processes here run on: processor, and versions of what is installed."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not this kind of processor
        model = platform.processor() or platform.machine()
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy", "numba"):
        with suppress(metadata.PackageNotFoundError):  # the linear networks need no torch
            found[name] = metadata.version(name)
    return Machine(device=f"{model}, {os.cpu_count()} cores", versions=found)


def settings() -> dict[str, str]:
    """The settings in force that may change the bits of a result: instruction sets, and variables that are set."""
    import torch

    mkl.pin()  # as where a network is made
    found = {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "float32 products": torch.get_float32_matmul_precision(),
    }
    found |= {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if (way := mkl.in_force()) not in (found[mkl.VARIABLE], "unknown"):  # a product came before, and the variable too late
        found["MKL"] = way
    return found
