"""The benchmarks time the same work on both sides, and write down what they found. No time is asserted here."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import simd
from benchmarks.__main__ import main
from benchmarks.steps import AUTOGRAD, BACKPROP, CASES, FA, PRODUCTS, TOGETHER, Autograd, Engine, Products, minibatch


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.network}, batch {c.experiment.batch}")
def test_autograd_and_our_backprop_take_the_same_steps(case):
    experiment = case.experiment.but(rule="backprop", dtype="float64")
    autograd, ours = Autograd(experiment), Engine(experiment)
    before = [a.clone() for a in ours.learned()]
    for a, b in zip(autograd.learned(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    for _ in range(3):
        autograd()
        ours()
    # What they learned is compared, not the weights, which at these small rates hardly change.
    for start, a, b in zip(before, autograd.learned(), ours.learned(), strict=True):
        assert (b - start).abs().max() > 1e-9
        torch.testing.assert_close(a - start, b - start, rtol=1e-6, atol=1e-13)


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
    assert list(path.parent.iterdir()) == [path], "no half-written file is left"
    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results) == {"date", "machine", "python", "torch", "numpy", "threads", "rounds", "rows"}
    assert results["rounds"] == 2
    assert results["threads"] == torch.get_num_threads()
    assert set(results["machine"]) == {"processor", "cores", "architecture"}
    rows = {row["contender"]: row for row in results["rows"]}
    assert set(rows) == {FA, BACKPROP, PRODUCTS, TOGETHER}
    for name, row in rows.items():
        assert set(row) == {"network", "batch", "contender", "ratio", "products", "autograd_ms", "rounds", "target", "met"}
        assert (row["network"], row["batch"], row["rounds"]) == ("30-20-10", 1, 2)
        assert (row["products"] is not None) == (name in (FA, BACKPROP))
        assert (row["met"] is None) == (row["target"] is None)
        numbers = [row["autograd_ms"], *row["ratio"].values(), *(row["products"] or {}).values()]
        assert all(math.isfinite(v) and v > 0 for v in numbers)
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    assert rows[TOGETHER]["target"] == 0.02
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)
    assert f"threads: {torch.get_num_threads()}" in printed


def test_every_target_is_that_of_a_contender():
    for case in CASES:
        together = {TOGETHER} if case.together else set()
        assert set(case.targets) <= {FA, BACKPROP} | together
        assert AUTOGRAD not in case.targets


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
    done = subprocess.run([sys.executable, "-W", "error", *command], cwd=Path(__file__).parents[1],
                          env=os.environ | environment, text=True, capture_output=True, check=False)
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
