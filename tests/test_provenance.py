"""Provenance: what counts as a run's sources, and that a run does not go on with others without a word."""

import ast
import json
import textwrap

import numpy as np
import pytest
import torch

from fa_core import experiments, provenance, records, training
from fa_core.experiments.spiking import FIGURE
from fa_core.training import CheckpointError, Run, train
from tests.helpers import checkpoint_with, linear_experiment, same, tanh_experiment

DENSE = linear_experiment()
MNIST = experiments.find("mnist-feedback-alignment")


def edited(monkeypatch, module: str, edit) -> None:
    """As if the text of a module were another."""
    true = provenance._tree

    def tree(name):
        if name != module:
            return true(name)
        text = ast.unparse(true(name))
        other = edit(text)
        assert other != text
        return ast.parse(other)

    monkeypatch.setattr(provenance, "_tree", tree)


def forget() -> None:
    """Read the sources anew."""
    for kept in (provenance._sources, provenance._digest_of, provenance._untyped, provenance._imports, provenance._stems):
        kept.cache_clear()


def changed(monkeypatch, experiment, module, edit) -> set[str]:
    """The modules whose digests an edit changes."""
    with monkeypatch.context() as m:
        forget()
        before = provenance.sources(experiment)
        forget()
        edited(m, module, edit)
        after = provenance.sources(experiment)
    forget()
    return {name for name in before | after if before.get(name) != after.get(name)}


# ---- sources


def test_the_sources_are_what_the_trainer_imports_and_no_more():
    found = set(provenance.sources(MNIST))
    assert {
        "fa_core.training",
        "fa_core.network",
        "fa_core.rules",
        "fa_core.measures",
        "fa_core.data.tasks",
        "fa_core.data.mnist",
        "fa_core.experiments",
        "fa_core",
    } <= found
    assert not found & {
        "fa_core.claims",
        "fa_core.figures",
        "fa_core.notebooks",
        "fa_core.records",
        "fa_core.cluster",
        "fa_core.spiking",
        "fa_core.data.svhn",
        "fa_core.experiments.mnist",
    }
    assert {"fa_core.spiking", "fa_core.experiments.spiking", "fa_core.training"} <= set(provenance.sources(FIGURE))


@pytest.mark.parametrize(
    ("task", "module", "ends"),
    [
        ("svhn validation", "svhn", (1024, 10)),
        ("timit at hand", "timit", (39, 6)),
        ("backgrounds", "backgrounds", (784, 10)),
    ],
)
def test_a_data_set_that_is_imported_by_its_name_counts_for_the_tasks_that_name_it(task, module, ends):
    named = {
        name
        for name in provenance.sources(MNIST.but(task=task, sizes=(ends[0], 20, ends[1])))
        if name.startswith("fa_core.data.")
    }
    assert named >= {f"fa_core.data.{module}"}
    assert not named & {f"fa_core.data.{other}" for other in {"svhn", "timit", "backgrounds"} - {module}}


def test_no_module_is_imported_in_a_way_that_would_not_be_seen():
    modules = {name for experiment in experiments.registry().values() for name in provenance.sources(experiment)}
    assert "fa_core.training" in modules
    for name in modules:
        for node in ast.walk(provenance._tree(name)):
            if isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
                assert provenance._made_up(node), f"{name}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("module", "edit", "counts"),
    [
        ("fa_core.rules", lambda t: t + "\nadded = 1", True),
        ("fa_core.network", lambda t: t.replace("True", "False", 1), True),
        ("fa_core.network", lambda t: "from fa_core import linear\n" + t, True),
        ("fa_core.training", lambda t: t.replace('"""', '"""More. ', 1), False),
        ("fa_core.measures", lambda t: t.replace('"""Signed angle', '"""More. Signed angle'), False),
        ("fa_core.experiments", lambda t: t + "\ndef another():\n    return 1", False),
        ("fa_core.experiments", lambda t: t.replace("'Examples whose", "'More examples whose"), False),
        ("fa_core.experiments", lambda t: t.replace("batch: Count = 1", "batch: Count = 2"), True),
        ("fa_core.claims", lambda t: t + "\nadded = 1", False),
        ("fa_core.experiments", lambda t: t.replace("rows = {'experiment'", "rows = {'name'"), False),
        (
            "fa_core.rules",
            lambda t: t.replace("def digest(", "def _repr_html_(self):\n        return ''\n\n    def digest("),
            False,
        ),
        ("fa_core", lambda t: t.replace("__version__ = '0", "__version__ = '9"), False),
    ],
    ids=[
        "a statement",
        "a constant",
        "an import",
        "the module's docstring",
        "other docstrings",
        "what describes no class",
        "an attribute's docstring",
        "a default",
        "a module that is not imported",
        "how an experiment shows itself",
        "how a rule would show itself",
        "the version",
    ],
)
def test_what_can_change_a_result_counts_and_what_cannot_does_not(monkeypatch, module, edit, counts):
    assert (module in changed(monkeypatch, DENSE, module, edit)) == counts


def test_a_new_module_is_found_by_the_import_of_it(monkeypatch):
    found = changed(monkeypatch, DENSE, "fa_core.network", lambda t: "def f():\n    from fa_core import linear\n" + t)
    assert found == {"fa_core.network", "fa_core.linear"}


def test_an_experiment_more_changes_no_source_and_a_field_of_its_class_does(monkeypatch):
    module = "fa_core.experiments.spiking"
    assert changed(monkeypatch, FIGURE, module, lambda t: t + "\nMORE = FIGURE.but(name='more')") == set()
    assert changed(monkeypatch, FIGURE, module, lambda t: t.replace("steps: int = 5", "steps: int = 6")) == {module}
    assert changed(monkeypatch, FIGURE, module, lambda t: t.replace("CLASSES = 10", "CLASSES = 20")) == {module}


def test_layout_and_comments_count_for_nothing_and_the_order_of_statements_does():
    def plain(text):
        return provenance._plain(ast.parse(textwrap.dedent(text)).body)

    assert plain("a = (1 +\n     2)  # why\nb = 3") == plain("a = 1 + 2\nb = 3")
    assert plain("a = 1\nb = 2") != plain("b = 2\na = 1")
    assert plain("a = 1") != plain("a = 1.0")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("def f(a, b=1): return a", "def f(a: int, b: float = 1) -> int: return a", True),
        ("def f(a):\n    b = a", "def f(a):\n    b: int = a\n    c: int", True),
        ("a = 1", "a: int = 1\nif TYPE_CHECKING:\n    from fa_core import linear", True),
        ("class C:\n    def f(self, a): self.a = a", "class C:\n    def f(self, a: int): self.a: int = a", True),
        ("class C:\n    a: int = 1", "class C:\n    a: float = 1", False),
        ("class C:\n    a = 1", "class C:\n    a: int = 1", False),
        ("def f(a, b=1): return a", "def f(a, b: float = 2): return a", False),
        ("if a:\n    b = 1", "if TYPE_CHECKING:\n    b = 1", False),
    ],
)
def test_types_count_for_nothing_save_those_of_a_classs_fields(before, after, same):
    one, other = (provenance._plain(provenance._Untyped().visit(ast.parse(text))) for text in (before, after))
    assert (one == other) == same


# ---- a run in several stretches


class Stop(Exception):
    pass


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A run of three chunks that was stopped after the first; the path of its checkpoint."""
    advance, calls = Run.advance, []

    def stopping(self):
        if calls:
            raise Stop
        calls.append(1)
        advance(self)

    with monkeypatch.context() as m:
        m.setattr(Run, "advance", stopping)
        with pytest.raises(Stop):
            train(tanh_experiment(), checkpoint=tmp_path / "run.npz", every=0)
    return tmp_path / "run.npz"


def stretches(path):
    return training.unpack_stretches(training.load_checkpoint(path, tanh_experiment()))


def test_a_checkpoint_says_what_every_stretch_was_made_with(begun):
    (first,) = stretches(begun)
    here = provenance.stretch(tanh_experiment())
    assert first.keys() == here.keys() | {"seconds"}
    assert provenance.differences(first, here) == []
    assert first["threads"] == torch.get_num_threads()
    assert first["settings"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    train(tanh_experiment(), checkpoint=begun)
    assert len(stretches(begun)) == 2
    assert stretches(begun)[0] == first


OTHER = {
    "sources": {"fa_core.rules": "0" * 12},
    "device": "an abacus",
    "threads": 17,
    "settings": {"MKL_CBWR": "SSE2"},
    "versions": {"torch": "0.1"},
}


def gone_on_elsewhere(path, **changes):
    """As if the stretch in a checkpoint had been another."""
    saved = training.load_checkpoint(path, tanh_experiment())
    made = [s | changes for s in training.unpack_stretches(saved)]
    checkpoint_with(path, saved | {"stretches": np.array(json.dumps(made))})


@pytest.mark.parametrize("what", OTHER)
def test_a_run_does_not_go_on_with_something_else_unless_it_is_told_to(begun, what):
    whole = train(tanh_experiment())
    gone_on_elsewhere(begun, **{what: OTHER[what]})
    before = begun.read_bytes()
    with pytest.raises(CheckpointError, match=r"was begun at .* with something else .* give --mixed"):
        train(tanh_experiment(), checkpoint=begun)
    assert begun.read_bytes() == before
    assert same(train(tanh_experiment(), checkpoint=begun, mixed=True), whole)
    assert [s[what] == OTHER[what] for s in stretches(begun)] == [True, False]


def test_a_commit_alone_and_a_time_are_no_difference(begun):
    gone_on_elsewhere(begun, commit="0123456789ab", began="2031-01-01T00:00:00+00:00")
    train(tanh_experiment(), checkpoint=begun)


def test_a_checkpoint_of_before_stretches_were_kept_is_of_unknown_source(begun):
    saved = training.load_checkpoint(begun, tanh_experiment())
    del saved["stretches"]
    checkpoint_with(begun, saved | {"seconds": np.array(7.0)})
    with pytest.raises(CheckpointError, match=r"begun at an unknown commit .*sources unknown, now known"):
        train(tanh_experiment(), checkpoint=begun)
    train(tanh_experiment(), checkpoint=begun, mixed=True)
    assert stretches(begun)[0]["seconds"] == 7.0


def test_what_was_mixed_is_shown_wherever_the_record_is(tmp_path, monkeypatch, begun):
    monkeypatch.setenv(records.ENVIRONMENT, str(tmp_path))
    gone_on_elsewhere(begun, threads=17, commit="0123456789ab")
    begun.rename(records.path(tanh_experiment()).with_suffix(".partial.npz"))
    records.record(tanh_experiment(), mixed=True)
    shown = records.load(tanh_experiment())
    assert f"MIXED: threads 17, now {torch.get_num_threads()}" in shown.caption()
    assert shown.about["threads"] == f"17; {torch.get_num_threads()}"
    assert shown.about["commit"].startswith("0123456789ab; ")
    assert [s["threads"] for s in shown.about["stretches"]] == [17, torch.get_num_threads()]
    assert "first steps" not in shown.about, "it began in another way"


def test_what_one_of_two_stretches_does_not_know_is_said_and_what_neither_knows_is_no_difference():
    known = {"sources": {"a": "1"}, "device": "d", "threads": 1, "versions": {"python": "3"}, "settings": {}}
    assert provenance.differences({}, known) == [
        "sources unknown, now known",
        "device unknown, now d",
        "threads unknown, now 1",
        "versions unknown, now known",
        "settings unknown, now known",
    ]
    assert provenance.differences(known, {}) == [
        "sources known, now unknown",
        "device d, now unknown",
        "threads 1, now unknown",
        "versions known, now unknown",
        "settings known, now unknown",
    ]
    assert provenance.differences({}, {}) == provenance.differences(known, known) == []


def test_what_it_ran_on_is_a_sentence_in_a_notebook_and_data_in_a_record():
    from IPython.lib.pretty import pretty

    versions = {"python": "3.11.7", "torch": "2.13.0+cpu", "numba": "0.68.1"}
    on = provenance.Machine(device="a chip, 2 cores", versions=versions)
    assert pretty(on) == "Run on a chip, 2 cores, with Python 3.11.7, PyTorch 2.13.0+cpu and numba 0.68.1."
    assert json.loads(json.dumps(on)) == {"device": "a chip, 2 cores", "versions": versions}
    assert type(provenance.machine()) is provenance.Machine


def test_what_is_not_installed_has_no_version_and_the_machine_is_named_all_the_same(monkeypatch):
    there = provenance.machine()

    def version(name):
        if name == "torch":
            raise provenance.metadata.PackageNotFoundError(name)
        return there["versions"][name]

    monkeypatch.setattr(provenance.metadata, "version", version)
    without = {name: v for name, v in there["versions"].items() if name != "torch"}
    assert provenance.machine() == there | {"versions": without}
    assert "PyTorch" not in repr(provenance.machine())
