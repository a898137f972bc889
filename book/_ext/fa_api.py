"""The pages of the module: every public module of `fa_core`, in the groups through which data flow."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import fa_core

# A page: its title, what it has, and the modules by the first parts of their names; the longest that fits counts.
GROUPS = {
    "data": ("Data and tasks", "What a network learns from.", ("data",)),
    "networks": (
        "Rules and networks",
        "What learns, and by which rule.",
        ("rules", "units", "draws", "linear", "network", "nn", "spiking"),
    ),
    "training": (
        "Training",
        "A network learns from a stream of examples, and what it takes to do that fast.",
        ("training", "flow", "products", "fused", "compiled", "mkl", "threads", "cluster", "processes", "packs"),
    ),
    "experiments": ("Experiments", "Every run of this book, described as data.", ("experiments",)),
    "evidence": (
        "Measures, records, claims",
        "What came of the runs, where it is kept, and how it is judged.",
        ("measures", "records", "provenance", "verification", "claims"),
    ),
    "proofs": ("Equations and proofs", "The paper's derivations, and theorems beyond it, derived and checked.", ("proofs",)),
    "book": (
        "Figures and notebooks",
        "How the book is drawn, executed and built.",
        ("figures", "pictures", "tables", "lookup", "notebooks", "files", "__main__"),
    ),
}
ELSEWHERE = "book"  # where modules are shown that no group names


def modules() -> list[str]:
    """The public modules, without the package's own name."""
    names = (m.name.removeprefix("fa_core.") for m in pkgutil.walk_packages(fa_core.__path__, "fa_core."))
    return sorted(n for n in names if not any(part.startswith("_") and part != "__main__" for part in n.split(".")))


def group(module: str) -> str:
    """The group of a module."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if found := [name for name, (*_, members) in GROUPS.items() if ".".join(parts[:length]) in members]:
            return found[0]
    return ELSEWHERE


def members(name: str) -> list[str]:
    """The modules of a group, in its order; a package before its parts."""
    order = GROUPS[name][-1]
    place = {m: next((k for k, o in enumerate(order) if f"{m}.".startswith(f"{o}.")), len(order)) for m in modules()}
    return sorted((m for m in modules() if group(m) == name), key=lambda m: (place[m], m))


def says(module: str) -> str:
    """The first sentence of a module's docstring."""
    text = inspect.getdoc(importlib.import_module(f"fa_core.{module}")) or ""
    return re.sub(r"::$", ".", " ".join(text.split("\n\n")[0].split()))


def public(module: str) -> Iterator[str]:
    """The names that a module itself defines for others, with a docstring."""
    loaded = importlib.import_module(f"fa_core.{module}")
    for name, value in vars(loaded).items():
        own = getattr(value, "__module__", None) == loaded.__name__
        # No plain functions are those that are cached or compiled.
        if own and not name.startswith("_") and (inspect.isroutine(value) or inspect.isclass(value)) and value.__doc__:
            yield name


def overview() -> str:
    """All groups, with their modules and packages, as MyST: the way that data take."""
    lines = []
    for name, (title, what, _) in GROUPS.items():
        shown = ", ".join(f"`{m}`" for m in members(name) if "." not in m)
        lines.append(f"1. [{title}](api/{name}.md). {what} {shown}")
    return "\n".join(lines) + "\n"


def page(name: str) -> str:
    """A group's modules as MyST, each folded under its name and what it says of itself."""
    if name not in GROUPS:
        raise ValueError(f"no group {name!r} of modules; there are: {', '.join(GROUPS)}")
    parts = []
    for module in members(name):
        own = list(public(module))
        defines = ", ".join(f"{{py:obj}}`~fa_core.{module}.{n}`" for n in own)
        # Asked for by name: for all members autodoc reads the source of whatever a module imports, too.
        named = f"   :members: {', '.join(own)}\n" if own else ""
        parts.append(
            f"## fa_core.{module}\n\n{says(module)}\n\n"
            + (f"{defines}\n\n" if defines else "")
            + f":::{{dropdown}} All of fa_core.{module}\n```{{eval-rst}}\n"
            + f".. automodule:: fa_core.{module}\n{named}```\n:::\n"
        )
    return "\n".join(parts)
