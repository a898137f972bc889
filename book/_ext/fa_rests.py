"""Which experiments a claim, a figure or a table rests on, read from the code of its notebook.

From the call that reports a claim, or from the cell that shows something, the names in it are followed back to where they
were defined, and so on, until a description of an experiment is met (`fa_core.experiments`). What is found is all that can
lie behind it; where a notebook chooses among results in ways that only its run knows, it is more than does.
"""

import ast
import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property

from IPython.core.inputtransformer2 import TransformerManager

from fa_core import claims, notebooks
from fa_core.experiments import Experiment
from fa_core.experiments.spiking import SpikingExperiment

DESCRIPTIONS = "fa_core.experiments"
ASIDE = ("n", "unfinished", "stand_in", "untested", "kind")  # of a report: what is said beside the value
ANYTHING = frozenset({"*"})  # keys of dictionaries are patterns


class Code:
    """The code of a notebook, as one list of statements."""

    def __init__(self, notebook):
        self.cells = [(c, parsed(c.source)) for c in notebooks.code_cells(notebook)]
        self.statements = [s for _, body in self.cells for s in body]
        # The same code is met many times.
        self._used, self._mentioned = cache(_used), cache(self._mentions)

    @cached_property
    def described(self) -> dict:
        """What the notebook imports from the descriptions of experiments, by the names that it has there."""
        found: dict = {}
        for statement in self.statements:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(DESCRIPTIONS):
                exec(compile(ast.Module([statement], []), "<import>", "exec"), found)  # an import of ours, nothing else
        return {k: v for k, v in found.items() if k != "__builtins__"}

    def claims(self) -> dict[str, list[Experiment]]:
        """The experiments that each claim which a cell judged can rest on, by the claim's id."""
        found = {}
        for cell, body in self.cells:
            for o in (o for o in cell.outputs if claims.MIME in o.get("data", {})):
                row = o.data[claims.MIME]
                if row["verdict"] != claims.UNTESTED:
                    found[row["id"]] = sorted(self._judged(row["id"], body), key=lambda e: e.name)
        return found

    def shown(self) -> list[set[str]]:
        """The names of the experiments that what each cell shows can rest on, in the order of the cells with code."""
        return [{e.name for s in body for e in self.of(s, s)} for _, body in self.cells]

    def _judged(self, id: str, body: list[ast.stmt]) -> set[Experiment]:
        calls = [
            (call, statement)
            for statement in body
            for call in _all(statement, ast.Call)
            if call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == id
        ]
        if calls:  # there may be one for where it is not tested, and one for where it is
            return set().union(*(self._call(*c) for c in calls))
        # Its id is in a variable: all of the cell that comes after that.
        named = next((k for k, s in enumerate(body) if any(c.value == id for c in _all(s, ast.Constant))), 0)
        return next((found for s in body[named:] if (found := self.of(s, s))), set())

    def _call(self, call: ast.Call, within: ast.stmt) -> set[Experiment]:
        kept = [*call.args[1:], *(k.value for k in call.keywords if k.arg not in ASIDE)]
        found = self.of(ast.Tuple(kept, ast.Load()), within)
        return found | self.of(call.func, within, given=bool(found))

    def of(
        self,
        node: ast.AST,
        within: ast.stmt,
        keys: frozenset[str] = ANYTHING,
        given: bool = False,
        seen: frozenset = frozenset(),
    ) -> set[Experiment]:
        """The experiments that a piece of code can rest on.

        `keys`: of a dictionary that it is, the entries that are asked for. `given`: it is given experiments, or names
        some itself; a look-up by a key that only the run knows is then a look-up of these.
        """
        seen |= {(id(node), keys)}
        if isinstance(node, ast.Dict) and keys != ANYTHING:
            entries = [v for k, v in zip(node.keys, node.values, strict=True) if k is None or _fits(_key(k, {}), keys)]
            return set().union(*(self.of(v, within, seen=seen) for v in entries))
        found = set(self._mentioned(node))
        # What functions are given, first.
        for name, (wanted, looked_up) in sorted(self._used(node).items(), key=lambda used: used[0] in self._functions):
            given |= bool(found)
            if given and looked_up and wanted == ANYTHING:
                continue
            for statement, definition in self._definitions(name, within, wanted):
                if (id(definition), wanted) not in seen:
                    of_a_call = given and isinstance(definition, ast.FunctionDef)
                    found |= self.of(definition, statement, wanted, of_a_call, seen)
        return found

    def _mentions(self, node: ast.AST) -> set[Experiment]:
        """The experiments that stand in the code by their names in the descriptions."""
        found: set[Experiment] = set()
        for n in ast.walk(node):
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in self.described:
                found.update(_experiments(getattr(self.described[n.value.id], n.attr, None)))
            elif isinstance(n, ast.Name) and n.id in self.described:
                found.update(_experiments(self.described[n.id]))
        return found

    def _definitions(self, name: str, before: ast.stmt, keys: frozenset[str]) -> Iterator[tuple[ast.stmt, ast.AST]]:
        """The statements that give a name, or the entries of a dictionary that are asked for, its value as it is at a
        statement, each with the part that does."""
        place = self._places[id(before)]
        for k in self._given.get(name, ()):
            if k > place or (k == place and not isinstance(before, ast.If | ast.For | ast.With)):
                continue
            statement = self.statements[k]
            if isinstance(statement, ast.FunctionDef):
                if statement.name == name:
                    yield statement, statement
                    return
                continue
            for assigned in self._assigned[k]:
                targets = assigned.targets if isinstance(assigned, ast.Assign) else [assigned.target]
                part = _part(targets, assigned.value, name)
                entry = targets[0] if isinstance(targets[0], ast.Subscript) else None
                if part is not None and (entry is None or keys == ANYTHING or _fits(_key(entry.slice, {}), keys)):
                    yield statement, part
                    whole = isinstance(assigned, ast.Assign) and not isinstance(targets[0], ast.Subscript)
                    if whole and (assigned is statement or (k == place and _sets_first(statement, assigned, name))):
                        return
            if isinstance(statement, ast.For) and any(n.id == name for n in _all(statement.target, ast.Name)):
                yield statement, statement.iter
                return

    @cached_property
    def _functions(self) -> set[str]:
        return {s.name for s in self.statements if isinstance(s, ast.FunctionDef)}

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(s): k for k, s in enumerate(self.statements)}

    @cached_property
    def _given(self) -> dict[str, list[int]]:
        """The places of the statements that may give a name its value, by the name, the last first."""
        found: dict[str, list[int]] = {}
        for k in range(len(self.statements) - 1, -1, -1):
            statement = self.statements[k]
            if isinstance(statement, ast.FunctionDef):
                names = {statement.name}
            else:
                loops = [statement.target] if isinstance(statement, ast.For) else []
                targets = [t for a in self._assigned[k] for t in (a.targets if isinstance(a, ast.Assign) else [a.target])]
                names = {n.id for t in (*targets, *loops) for n in _all(t, ast.Name)}
            for name in names:
                found.setdefault(name, []).append(k)
        return found

    @cached_property
    def _assigned(self) -> list[list]:
        """The assignments in each statement, but those in the body of a function."""
        return [[*_all(s, ast.Assign), *_all(s, ast.AugAssign)] for s in self.statements]


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell; one with magics, which are no Python, as IPython reads it."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return ast.parse(TransformerManager().transform_cell(source)).body


def _all(node: ast.AST, kind: type) -> Iterator:
    return (n for n in ast.walk(node) if isinstance(n, kind))


def _used(node: ast.AST) -> dict[str, tuple[frozenset, bool]]:
    """The names that code uses and does not define, each with the keys it is asked for, and whether it is used in no
    other way."""
    own = {n.id for n in _all(node, ast.Name) if isinstance(n.ctx, ast.Store)} | {a.arg for a in _all(node, ast.arg)}
    among = {
        t.id: frozenset(str(e.value) for e in g.iter.elts if isinstance(e, ast.Constant))
        for g in (*_all(node, ast.comprehension), *_all(node, ast.For))
        if isinstance(t := g.target, ast.Name) and isinstance(g.iter, ast.Tuple | ast.List)
    }
    asked: dict[str, frozenset] = {}
    bare = Counter(n.id for n in _all(node, ast.Name) if isinstance(n.ctx, ast.Load) and n.id not in own)
    for n in _all(node, ast.Subscript):
        if isinstance(n.value, ast.Name) and n.value.id in bare:
            asked[n.value.id] = asked.get(n.value.id, frozenset()) | _key(n.slice, among)
            bare[n.value.id] -= 1
    return {k: (asked[k], True) if k in asked and not n else (ANYTHING, False) for k, n in bare.items()}


def _sets_first(loop: ast.stmt, assigned: ast.Assign, name: str) -> bool:
    """Whether a loop gives a name its value anew in each turn, by an assignment before any use."""
    uses = [n.lineno for n in _all(loop, ast.Name) if n.id == name and isinstance(n.ctx, ast.Load)]
    return isinstance(loop, ast.For) and assigned in loop.body and min(uses, default=assigned.lineno) > assigned.lineno


def _part(targets: list[ast.expr], value: ast.expr, name: str) -> ast.expr | None:
    """What of an assignment's value a name is given; None where it is given nothing."""
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts, strict=True):
                if (part := _part([one], its, name)) is not None:
                    return part
        elif any(n.id == name for n in _all(target, ast.Name)):
            return value
    return None


def _key(node: ast.expr, among: Mapping[str, frozenset]) -> frozenset[str]:
    """What a key of a dictionary can be, as patterns; `among`: the values of loops' variables that are written out."""
    if isinstance(node, ast.Constant):
        return frozenset({str(node.value)})
    if isinstance(node, ast.JoinedStr):
        return frozenset({"".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in node.values)})
    return (among.get(node.id) if isinstance(node, ast.Name) else None) or ANYTHING


def _fits(one: Iterable[str], other: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(a, b) or fnmatch.fnmatchcase(b, a) for a in one for b in other)


def _experiments(thing) -> Iterator[Experiment]:
    """The experiments in a description: one, or those in a collection of them."""
    if isinstance(thing, Experiment | SpikingExperiment):
        yield thing
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _experiments(value)
    elif isinstance(thing, tuple | list | set | frozenset):
        for value in thing:
            yield from _experiments(value)


def mentioned(notebook) -> set[Experiment]:
    """All experiments that a notebook's code names."""
    code = Code(notebook)
    return {e for statement in code.statements for e in code._mentioned(statement)}
