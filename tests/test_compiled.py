"""The compiled path against the plain text: the same steps and draws, what it refuses, what it keeps and where."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from numba.core import caching

from fa_core import compiled
from fa_core.data import mnist
from fa_core.experiments import Experiment
from fa_core.rules import RULES
from fa_core.training import DivergenceWarning, Run, train
from tests.helpers import linear_experiment, same, tanh_experiment

# Two hidden layers of different sizes, a layer whose rate is 0 for a while, online.
DEEP = tanh_experiment(
    batch=1,
    examples=300,
    probes=(0, 300),
    momentum=0.0,
    weight_decay=0.0,
    density=None,
    biases=0.2,
    feedback_density=None,
    output="tanh",
    schedule=((0, 0.5), (100, (1.0, 0.0, 0.5))),
)
FEATURES = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "momentum": {"momentum": 0.5, "weight_decay": 0.1},
    "mask": {"density": (0.5, 1.0, 0.5), "feedback_density": (0.5, 0.5), "weight_decay": 0.1},
    "mask and momentum": {"density": (0.5, 1.0, 0.5), "momentum": 0.5},
}


def both(experiment: Experiment) -> tuple[Run, Run]:
    """The run by either path to its end, the plain one first."""
    runs = tuple(Run(experiment.but(products=p), experiment.seeds) for p in ("", "compiled"))
    for run in runs:
        while not run.done:
            run.advance()
    return runs


def assert_near(plain: Run, ours: Run, tolerance: float):
    """All arrays, relative to the largest element of each, and generators to the bit."""
    state, other = plain.state(), ours.state()
    assert state.keys() == other.keys()
    for name, wanted in state.items():
        if name.startswith("array."):
            assert np.abs(other[name] - wanted).max() <= tolerance * np.abs(wanted).max(), name
        elif name.startswith("generator."):
            assert np.array_equal(other[name], wanted), name


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.chain])
def test_either_path_takes_the_same_steps(rule, features):
    # 300 examples in float64: some tens of units in the last place of the largest weight.
    assert_near(*both(DEEP.but(rule=rule, **features)), 64 * 2**-52)


@pytest.mark.parametrize("output", ["logistic", "tanh", "linear", "leaky"])
@pytest.mark.parametrize("hidden", compiled.UNITS)
def test_either_path_has_the_same_units(hidden, output):
    for rule in ("backprop", "feedback alignment, gated"):
        assert_near(*both(DEEP.but(rule=rule, hidden=hidden, output=output)), 64 * 2**-52)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_precision_is_the_experiments(dtype):
    plain, ours = both(DEEP.but(dtype=dtype))
    assert_near(plain, ours, 256 * torch.finfo(getattr(torch, dtype)).eps)
    assert [w.dtype for w in ours.network.W] == [w.dtype for w in plain.network.W]


def test_one_hidden_unit_many_runs_and_no_hidden_layer():
    assert_near(*both(linear_experiment(sizes=(30, 1, 10), seeds=tuple(range(9)))), 1e-12)
    assert_near(*both(linear_experiment(sizes=(30, 33, 1))), 1e-12)
    assert_near(*both(linear_experiment(sizes=(30, 10))), 1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"switch": ((100, "backprop"), (200, "shallow"))},
        {"redraw_feedback": True},
        {"redraw_feedback": (100, 250)},
        {"schedule": ((0, 1.0), (150, 0.1), (301, (0.0, 1.0)))},
        {"examples": 2500, "rate": 0.002},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_changes_on_the_way_changes_at_the_same_examples(change):
    experiment = linear_experiment(
        hidden="tanh", probes=(0, 1, 100, 101, 250, 400), traced=("W0", "B1"), snapshots=("W1",)
    ).but(**change)
    plain, ours = (train(experiment.but(products=p)) for p in ("", "compiled"))
    assert np.array_equal(ours.examples, plain.examples)
    for name, curve in plain.arrays().items():
        if curve is not None:
            np.testing.assert_allclose(ours.arrays()[name], curve, rtol=1e-9, atol=1e-11, err_msg=name)
    # It is seen: without the change the run is another.
    unchanged = train(experiment.but(products="compiled", **{k: getattr(linear_experiment(), k) for k in change}))
    assert not np.allclose(unchanged["loss"][:, -1], ours["loss"][:, -1], rtol=1e-6)


def test_examples_handed_over_in_pieces_are_the_same(monkeypatch):
    whole = train(linear_experiment(products="compiled"))
    monkeypatch.setattr("fa_core.training.AT_ONCE", 3 * 30 * 7)
    assert same(train(linear_experiment(products="compiled")), whole)


def test_a_seeds_result_does_not_depend_on_the_seeds_beside_it():
    for sizes in ((30, 20, 10), (30, 33, 1), (30, 1, 10)):
        experiment = linear_experiment(
            sizes=sizes,
            products="compiled",
            seeds=tuple(range(8)),
            dtype="float32",
            hidden="tanh",
            snapshots=("W0", "b1"),
            probes=(),
        )
        together, alone = train(experiment), train(experiment.but(seeds=(3,)))
        for name, array in together.snapshots.items():
            assert array[3].tobytes() == alone.snapshots[name][0].tobytes(), name


def test_a_checkpoint_goes_on_in_the_same_bits(tmp_path, monkeypatch):
    experiment = DEEP.but(examples=4000, probes=(0, 2000, 4000), products="compiled", momentum=0.5, density=(0.5, 1.0, 1.0))
    whole, advance = train(experiment), Run.advance
    for chunks in range(1, 4):
        path, left = tmp_path / f"{chunks}.npz", chunks

        def interrupted(run):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            advance(run)

        with monkeypatch.context() as m:
            m.setattr(Run, "advance", interrupted)
            with pytest.raises(KeyboardInterrupt):
                train(experiment, checkpoint=path, every=0)
        assert same(train(experiment, checkpoint=path), whole)


def test_a_run_that_diverges_leaves_the_others_whole():
    experiment = linear_experiment(
        rate=0.012, examples=2000, probes=tuple(range(0, 2001, 100)), seeds=tuple(range(12)), products="compiled"
    )
    with pytest.warns(DivergenceWarning):
        history = train(experiment)
    with pytest.warns(DivergenceWarning):
        plain = train(experiment.but(products=""))
    assert np.array_equal(history.diverged, plain.diverged)
    bad = history.diverged >= 0
    assert 0 < bad.sum() < 12
    assert np.isfinite(history["nse"][~bad]).all()
    assert np.isnan(history["nse"][bad, -1]).all()
    healthy = train(experiment.but(seeds=tuple(int(s) for s in history.seeds[~bad])))
    assert healthy["nse"].tobytes() == history["nse"][~bad].tobytes()


def test_the_error_of_an_epoch_is_that_which_a_plateau_goes_by(monkeypatch):
    whole = mnist.load
    monkeypatch.setattr(mnist, "load", lambda split="train": mnist.Digits(*(a[:300] for a in whole(split))))
    experiment = linear_experiment(
        task="mnist",
        sizes=(784, 5, 10),
        batch=1,
        examples=900,
        seeds=(0,),
        plateau=(0.3, 2),
        hidden="tanh",
        rate=1e-3,
        probes=(0, 300, 600, 900),
    )
    plain, ours = both(experiment)
    assert ours.squares.item() == pytest.approx(plain.squares.item(), rel=1e-9)
    assert plain.cuts == ours.cuts
    assert_near(plain, ours, 1e-12)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"batch": 2}, "minibatches of 2"),
        ({"dropout": (0.1, 0.1)}, "dropout"),
        ({"rule": "pseudobackprop"}, "rule 'pseudobackprop'"),
        ({"switch": ((100, "pseudobackprop"),)}, "rule 'pseudobackprop'"),
        ({"task": "mnist", "sizes": (784, 20, 10), "distort": (6.0, 36.0)}, "distortions"),
        ({"hidden": "logistic, rough"}, "rough units"),
    ],
)
def test_what_it_does_not_cover_is_refused_when_described(change, what):
    assert linear_experiment(products="compiled").products == "compiled"
    with pytest.raises(ValueError, match=f"products 'compiled' are not there for {what}: leave products at ''"):
        linear_experiment(products="compiled", **change)


def test_it_is_for_the_cpu_whatever_there_is_beside_it(monkeypatch):
    with pytest.raises(ValueError, match="products 'compiled' are for the CPU, not for 'meta'"):
        train(linear_experiment(products="compiled"), device="meta")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert train(linear_experiment(products="compiled")).seeds.tolist() == [0, 1, 2]


# ---- what is kept of the compiler's work


def test_nothing_imports_numba_before_it_is_needed():
    program = """
        import sys
        import fa_core.training, fa_core.linear, fa_core.records, fa_core.experiments
        from tests.helpers import linear_experiment
        fa_core.training.train(linear_experiment())
        assert "numba" not in sys.modules
        fa_core.training.train(linear_experiment(products="compiled"))
        assert "numba" in sys.modules
    """
    run(program)


def run(program: str, **environment) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


LEARN = """
    import numpy as np
    from fa_core.training import Run
    from tests.helpers import linear_experiment
    for dtype in {order}:
        experiment = linear_experiment(dtype=dtype, products="compiled", examples=100, probes=())
        run, plain = Run(experiment, (0,)), Run(experiment.but(products=""), (0,))
        run.advance(), plain.advance()
        np.testing.assert_allclose(run.network.W[0], plain.network.W[0], rtol=1e-4, atol=1e-6)
"""


def test_two_processes_at_once_compile_and_the_next_one_need_not(tmp_path):
    place = {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DEBUG_CACHE": "1"}
    programs = [textwrap.dedent(LEARN.format(order=order)) for order in (("float32", "float64"), ("float64", "float32"))]
    both = [
        subprocess.Popen([sys.executable, "-c", program], env=os.environ | place, stdout=subprocess.DEVNULL)
        for program in programs
    ]
    assert [process.wait() for process in both] == [0, 0]
    log = run(programs[0], **place)
    assert log.count("data loaded from") == 2
    assert "data saved to" not in log


def test_without_a_place_to_keep_it_it_is_compiled_anew(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])  # what numba tries, of which none will do
    kept = compiled.kernel, compiled.steps_in
    for function in kept:
        function.cache_clear()
    try:
        loop = compiled.steps_in(np.float32)
        assert loop.stats.cache_path is None
        # Its arithmetic is in float32, but for the errors' squares: a number taken for a double would make it all so.
        text = "".join(loop.inspect_llvm().values())
        assert len(re.findall(r"= fmul (?:<\d+ x )?double\b", text)) <= 1 < len(re.findall(r"= fmul .*float\b", text))
        assert_near(*both(linear_experiment(dtype="float32", examples=100, probes=())), 1e-4)
    finally:
        for function in kept:
            function.cache_clear()


def test_a_rule_without_a_compiled_loop_is_refused():
    run = Run(DEEP, DEEP.seeds)
    with pytest.raises(ValueError, match="rule 'pseudobackprop' has no compiled loop"):
        compiled.learn(run.network, None, RULES["pseudobackprop"], (0.1,) * 3, 0.0, 0.0, [])
