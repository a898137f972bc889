"""Random draws in torch: every run of an ensemble draws from generators of its own, each for one purpose."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def generator(seed: int, purpose: str) -> torch.Generator:
    """A run's own generator for one purpose ("weights", "feedback", "data", ...).

    Runs of one seed share their initial weights and their examples across rules, whatever else a rule draws. Always on
    the CPU, so that a seed means the same draws on every device.
    """
    key = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


def draw(generators: Sequence[torch.Generator], shape: Sequence[int], scale: float, distribution: str = "uniform") -> Tensor:
    """`(runs, *shape)` float64, each run from its own generator: uniform on [-scale, scale] or normal."""
    one = torch.empty(len(generators), *shape, dtype=torch.float64)
    for part, g in zip(one, generators, strict=True):
        part.uniform_(-1, 1, generator=g) if distribution == "uniform" else part.normal_(generator=g)
    return one.mul_(scale)
