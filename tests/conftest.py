"""Tests that need a GPU are skipped, with the reason, where there is none; no test is timed by hypothesis; one that is run
by itself has one thread, as it has in `make test`."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import pytest
import torch
from hypothesis import settings

from fa_core import mkl

settings.register_profile("any machine", deadline=None)  # a loaded one takes long, and is no fault
settings.load_profile("any machine")
mkl.pin()  # here and not where the first network is made: tests take products before


def pytest_configure(config):
    if config.option.markexpr != "gpu":  # bits and committed outputs are those of CPUs
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none here"))
