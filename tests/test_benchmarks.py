"""The benchmarks time the same work on both sides, and write down what they found. No time is asserted here."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import simd
from benchmarks.__main__ import main
from benchmarks.apart import KINDS, Autograd
from benchmarks.picture import short
from benchmarks.steps import (
    AUTOGRAD,
    BACKPROP,
    CASES,
    COMPILED_TOGETHER,
    FA,
    LAYERS,
    PEER,
    PEERS,
    PRODUCTS,
    SPIKING,
    SPIKING_ROUNDED,
    TOGETHER,
    Apart,
    Compiled,
    Engine,
    Products,
    handed,
    minibatch,
)
from fa_core import mkl


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.network}, batch {c.experiment.batch}")
def test_autograd_and_our_backprop_take_the_same_steps(case):
    experiment = case.experiment.but(rule="backprop", dtype="float64")
    autograd, ours = Autograd(handed(experiment)), Engine(experiment)
    before = {k: a.copy() for k, a in ours.learned().items()}
    for name, a in autograd.learned().items():
        np.testing.assert_array_equal(a, before[name])
    for _ in range(3):
        autograd()
        ours()
    same_steps(before, autograd.learned(), ours.learned(), 1e-6, 1e-13)


def same_steps(before, one, other, rtol: float, atol: float) -> None:
    """What they learned is compared, not the weights, which at these small rates hardly change."""
    assert one.keys() == other.keys() == before.keys()
    for name, start in before.items():
        assert np.abs(other[name] - start).max() > 1e-9
        np.testing.assert_allclose(one[name] - start, other[name] - start, rtol=rtol, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
def test_those_apart_take_our_steps(kind):
    """In a process of their own, as they are timed. Rates are larger, for all is in float32."""
    try:
        subprocess.run(
            [sys.executable, "-c", "import " + NEEDS.get(kind, "torch")],
            check=True,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(PEERS)},
        )
    except subprocess.CalledProcessError:
        pytest.skip("`make bench PEERS=1` installs it")
    sizes = (784, 9, 10) if kind.startswith("numba") else (784, 9, 7, 10)  # the loop is written for one hidden layer
    experiment = CASES[1].experiment.but(sizes=sizes, rate=0.01, rule=RULE.get(kind, "backprop"))
    with closing(Apart(experiment, kind)) as apart:
        ours = Engine(experiment)
        before = {k: a.copy() for k, a in ours.learned().items()}
        assert apart.timed() > 0
        for _ in range(3 * apart.steps):  # one to be ready, and two for the one timed
            ours()
        same_steps(before, apart.learned(), ours.learned(), 1e-3, 1e-6)


NEEDS = {"BioTorch, feedback alignment": "biotorch", "JAX, feedback alignment": "jax"}
RULE = {
    "BioTorch, feedback alignment": "feedback alignment, gated",
    "layers of fa_core.nn, feedback alignment, local": "feedback alignment",
    "layers of fa_core.nn, feedback alignment, gated": "feedback alignment, gated",
    "JAX, feedback alignment": "feedback alignment",
    "numba loop, feedback alignment": "feedback alignment",
}


def test_what_is_compared_with_runs_untouched():
    assert mkl.VARIABLE in os.environ, "the tests' own process is pinned"
    with closing(Apart(CASES[0].experiment, AUTOGRAD)) as apart:
        theirs = Path(f"/proc/{apart.process.pid}/environ")
        if theirs.exists():
            assert mkl.VARIABLE not in theirs.read_text()


def test_the_compiled_step_is_the_plain_one_taken_many_times():
    experiment = CASES[0].experiment.but(seeds=(0, 1))
    compiled, plain = Compiled(experiment), Engine(experiment)
    before = {k: a.copy() for k, a in plain.learned().items()}
    compiled()
    for _ in range(compiled.steps):
        plain()
    same_steps(before, compiled.learned(), plain.learned(), 1e-2, 1e-6)


def test_feedback_alignment_is_another_step_and_the_seeds_of_one_batch_are_each_trained():
    experiment = CASES[0].experiment
    fa, backprop = Engine(experiment), Engine(experiment.but(rule="backprop"))
    together = Engine(experiment.but(seeds=(0, 1, 2)))
    before = together.network.W[0].clone()
    for step in (fa, backprop, together):
        step()
    assert not torch.equal(fa.network.W[0], backprop.network.W[0])
    assert (together.network.W[0] != before).flatten(1).any(1).all()


@pytest.mark.parametrize("case", CASES[:2], ids=lambda c: c.network)
def test_the_bare_products_are_those_of_a_step(case):
    sizes, n = case.experiment.sizes, case.experiment.batch
    shapes = [(*a.shape, b.shape[1]) for a, b, _ in Products(case.experiment).products]
    n0, n1, n2 = sizes
    assert sorted(shapes) == sorted([(n, n0, n1), (n, n1, n2), (n, n2, n1), (n0, n, n1), (n1, n, n2)])


def test_a_run_writes_all_it_found(tmp_path, capsys):
    path = tmp_path / "new" / "results.json"
    case = dataclasses.replace(CASES[0], repeat=1)
    assert main(["--rounds", "2", "--out", str(path)], cases=(case,)) == 0
    picture = path.with_suffix(".svg")
    assert set(path.parent.iterdir()) == {path, picture}, "no half-written file is left"
    assert all(f"<!-- {name} -->" in picture.read_text(encoding="utf-8") for name in (FA, "30-20-10, minibatches of 1"))
    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results) == {"date", "commit", "runtime", "machine", "python", "torch", "numpy", "threads", "rounds", "rows"}
    assert results["rounds"] == 2
    assert results["threads"] == torch.get_num_threads()
    assert set(results["machine"]) == {"processor", "cores", "architecture", "instructions"}
    rows = {row["contender"]: row for row in results["rows"]}
    assert set(rows) == {FA, BACKPROP, PRODUCTS, TOGETHER, COMPILED_TOGETHER, *LAYERS}
    for name, row in rows.items():
        assert set(row) == {
            "network",
            "batch",
            "contender",
            "ratio",
            "products",
            "autograd_ms",
            "rounds",
            "peer",
            "target",
            "met",
            "megabytes",
            "biotorch",
        }
        assert (row["network"], row["batch"], row["rounds"]) == ("30-20-10", 1, 2)
        assert (row["products"] is not None) == (name in (FA, BACKPROP))
        assert (row["met"] is None) == (row["target"] is None)
        numbers = [row["autograd_ms"], *row["ratio"].values(), *(row["products"] or {}).values()]
        assert all(math.isfinite(v) and v > 0 for v in numbers)
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
        assert row["biotorch"] is None, "it was not asked for"
    assert rows[TOGETHER]["target"] == 0.02
    weights = 4 * (30 * 20 + 20 * 10 + 20 + 10)
    assert rows[BACKPROP]["megabytes"] == pytest.approx((weights + 4 * 20 * 10) / 1e6), (
        "W, b, and B, which it has no use for"
    )
    layers = 2 * weights + 4 * (30 * 20 + 20 * 10)
    assert [rows[name]["megabytes"] for name in LAYERS] == pytest.approx([layers / 1e6] * 2), "W, b, their gradients, and B"
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)
    assert f"threads: {torch.get_num_threads()}" in printed


def test_layers_of_one_size_are_said_once():
    assert short("784-1000-1000-1000-10") == "784-3×1000-10"
    assert short("30-20-10") == "30-20-10"


def test_every_target_and_every_peer_is_that_of_a_contender():
    for case in CASES:
        spiking = {SPIKING, SPIKING_ROUNDED} if case.spiking else set()
        assert set(case.targets) <= {FA, BACKPROP, *case.ours} | spiking
        assert set(case.peers) <= {*KINDS, *PEER.values()} - {AUTOGRAD}


def test_a_network_that_diverges_is_not_timed(tmp_path):
    case = dataclasses.replace(CASES[0], experiment=CASES[0].experiment.but(rate=1e6), repeat=20)
    path = tmp_path / "results.json"
    with pytest.raises(RuntimeError, match="30-20-10: it diverged"):
        main(["--rounds", "5", "--out", str(path)], cases=(case,))
    assert not path.exists()


def test_no_rounds_is_an_error(capsys):
    with pytest.raises(SystemExit):
        main(["--rounds", "0"])
    assert "--rounds is 1 or more, not 0" in capsys.readouterr().err


def test_the_minibatch_has_the_networks_shape():
    for case in CASES:
        x, target = minibatch(case.experiment)
        assert x.shape == (1, case.experiment.batch, case.experiment.sizes[0])
        assert target.shape == (1, case.experiment.batch, case.experiment.sizes[-1])


def run(*command: str, **environment: str) -> str:
    """What a command of this Python prints; it must say nothing on stderr, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=Path(__file__).parents[1],
        env=os.environ | environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_named_features_lower_numpy_to_its_baseline_without_a_warning():
    printed = run("-m", "benchmarks.simd", NPY_DISABLE_CPU_FEATURES="")
    assert printed.endswith("\n")
    assert len(printed.splitlines()) == 1
    lowered = {"NPY_DISABLE_CPU_FEATURES": printed.strip()}
    run("-c", "import numpy; numpy.show_config()", **lowered)
    assert run("-m", "benchmarks.simd", **lowered) == "\n"


def test_another_numpy_that_does_not_say_gives_no_features(monkeypatch):
    core = pytest.importorskip("numpy._core._multiarray_umath")
    monkeypatch.delattr(core, "__cpu_dispatch__", raising=False)
    assert simd.features() == []
