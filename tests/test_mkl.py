"""A seed's bits do not depend on where in memory its products are taken, and a user's process is left alone."""

import os
import subprocess
import sys

import pytest

from fa_core import mkl, products


def python(code: str, **environment: str) -> list[str]:
    """The lines that a fresh process prints which has no say on MKL in its environment but what is given."""
    free = {k: v for k, v in os.environ.items() if k != mkl.VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=free | environment, text=True, capture_output=True, check=True)
    return done.stdout.split()


with_mkl = pytest.mark.skipif(mkl.in_force() == "unknown", reason="this torch does not say how MKL multiplies")


def test_importing_everything_leaves_the_process_as_it_was():
    assert python(
        "import os\nimport fa_core.training, fa_core.spiking, fa_core.records, fa_core.linear\n"
        f"print(os.environ.get({mkl.VARIABLE!r}))"
    ) == ["None"]


@with_mkl
def test_where_a_network_is_made_products_are_pinned_and_seeds_do_not_depend_on_those_beside_them():
    assert python("""
from fa_core import mkl
from fa_core.training import train
from tests.helpers import linear_experiment, tanh_experiment
for experiment in (linear_experiment(dtype="float32"), tanh_experiment(dtype="float32", snapshot_runs=None)):
    seeds = (11, 3, 8, 5, 2)
    together = train(experiment.but(seeds=seeds), progress=False)
    alone = [train(experiment.but(seeds=(s,)), progress=False) for s in seeds]
    print(all(a[name][0].tobytes() == curve[i].tobytes() for i, a in enumerate(alone)
              for name, curve in together.curves.items()))
print(mkl.in_force())""") == ["True", "True", mkl.BRANCH]


@with_mkl
@pytest.mark.parametrize(
    ("first", "environment", "told"),
    [
        ("pass", {}, "AVX2"),
        ("torch.ones(9, 9) @ torch.ones(9, 9)", {}, "off"),
        ("pass", {"MKL_CBWR": "COMPATIBLE"}, "COMPATIBLE"),
    ],
)
def test_what_is_in_force_is_told_and_not_what_was_meant(first, environment, told):
    assert python(
        f"""
import torch
{first}
from fa_core import products, provenance
settings = provenance.settings()
print(products.runtime()["MKL"], settings.get("MKL", settings["MKL_CBWR"]))""",
        **environment,
    ) == [told, told]


def test_what_decides_on_the_last_bit_is_all_there():
    told = products.runtime()
    assert set(told) == {"MKL", "torch", "oneDNN", "bfloat16"}
    assert all(told.values())
