"""Tests that need a GPU are skipped, with the reason, where there is none."""

import pytest
import torch

from fa_core import mkl

mkl.pin()  # here and not where the first network is made: tests take products before


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and there is none here"))
