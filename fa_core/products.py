"""How the matrix products of learning are taken: the field `products` of an experiment::

    ""          as torch takes them, on a CPU by MKL, in the experiment's own precision
    "oneDNN"    in float32, by oneDNN: up to twice as fast on processors of whose vectors MKL leaves half unused, no faster
                on Intel's
    "bfloat16"  of factors rounded to bfloat16, with sums in float32 that are then rounded too: see `Rounded`
    "compiled"  in a loop over the examples, as machine code: see `fa_core.compiled`

`of(m, products)` stands for a matrix m of weights or of feedback weights while the network learns, so that the code of a
step is the same for the first three. It can do what a step needs, and no more::

    x @ m, x @ m.mT             a layer's input from below, its teaching signal from above
    add_outer(m, h, d, ...)     m <- shrink m + rate h' d, the update
    m.pseudoinverse()           for pseudobackprop

Shapes are the engine's, `(runs, n_in, n_out)` for a matrix and `(runs, batch, units)` for activity, or the spiking
network's, which lack the axis of runs.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from fa_core import mkl
from fa_core.rules import pseudoinverse

MANY = 32  # rows from which on oneDNN is asked
PORTION = 5_000_000  # bytes of a rounded outer product that are held at a time: a smaller one has its price, 1500 x 1500 fit

HAS_ONEDNN = torch.backends.mkldnn.is_available()
# Of the processor, not of a GPU.
HAS_BFLOAT16 = any(torch.cpu.get_capabilities().get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def of(matrix: Tensor, products: str) -> Any:
    """What stands for the tensor where learning takes products of that name: itself, or a `Matrix`."""
    return {"": lambda m: m, "oneDNN": OneDNN, "bfloat16": Rounded}[products](matrix)


def runtime() -> dict[str, str]:
    """What decides on the last bit of a product in this process, beside threads and versions: MKL's way of taking it, see
    `fa_core.mkl`, the widest instructions of torch's own loops, whether there is oneDNN, and arithmetic for bfloat16."""
    mkl.pin()
    return {
        "MKL": mkl.in_force(),
        "torch": torch.backends.cpu.get_cpu_capability(),
        "oneDNN": os.environ.get("ONEDNN_MAX_CPU_ISA", "all") if HAS_ONEDNN else "none",
        "bfloat16": "processor" if HAS_BFLOAT16 else "imitated",
    }


def affine(x: Tensor, W: "Tensor | Matrix", b: Tensor) -> Tensor:
    """x W + b."""
    return torch.baddbmm(b, x, W) if isinstance(W, Tensor) else (x @ W).add_(b)


def add_outer(W: "Tensor | Matrix", h: Tensor, d: Tensor, shrink: float, rate: float, mask: Tensor | None = None) -> None:
    """W <- (shrink W + rate h' d) o mask, in place: h `(runs, batch, n_in)`, d `(runs, batch, n_out)`."""
    if not isinstance(W, Tensor):
        W.add_outer(h, d, shrink, rate, mask)
        return
    if W.dim() == 2:
        W.addmm_(h.mT, d, beta=shrink, alpha=rate)
    elif d.shape[1] == 1:  # an outer product of two vectors, which a matrix product is slower at
        if shrink != 1:
            W.mul_(shrink)
        W.addcmul_(h.mT, d, value=rate)
    else:
        W.baddbmm_(h.mT, d, beta=shrink, alpha=rate)
    if mask is not None:
        W.mul_(mask)


class Matrix(ABC):
    """Stands for the tensor m, whose memory it shares, in `x @ m`, `x @ m.mT` and `add_outer`: the base of all kinds."""

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    @property
    def shape(self) -> torch.Size:
        """That of m."""
        return self.matrix.shape

    @property
    def mT(self) -> "Transposed":
        """The transpose."""
        return Transposed(self)

    def pseudoinverse(self) -> "Matrix":
        """The pseudoinverse, taken in the precision of m."""
        return type(self)(pseudoinverse(self.matrix))

    def __rmatmul__(self, x: Tensor) -> Tensor:
        return self.times(x)

    @abstractmethod
    def times(self, x: Tensor, transposed: bool = False) -> Tensor:
        """x m, or x m', in the dtype of x."""

    @abstractmethod
    def add_outer(self, h: Tensor, d: Tensor, shrink: float, rate: float, mask: Tensor | None = None) -> None:
        """m <- (shrink m + rate h' d) o mask, in place."""


class Transposed:
    """The transpose of a `Matrix`, for products alone."""

    def __init__(self, matrix: Matrix):
        self.mT = matrix

    @property
    def shape(self) -> torch.Size:
        """That of the transpose."""
        return self.mT.matrix.mT.shape

    def __rmatmul__(self, x: Tensor) -> Tensor:
        return self.mT.times(x, transposed=True)


def by_run(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """The products of the matrices of a and b, each taken for itself."""
    if len(a) == 1:
        return product(a[0], b[0])[None]
    return torch.stack([product(x, m) for x, m in zip(a, b, strict=True)])


def pieces(rows: int, *arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Split arrays `(runs, n_in, n)`, `(n_in, n)` or None into strips of so many rows of one run, which fit the cache of a
    CPU; elsewhere they stay whole. The last array, `(runs, batch, n_out)`, is split by run alone."""
    *matrices, d = arrays
    if d.device.type != "cpu":
        yield arrays
        return
    for run in range(len(d)) if d.dim() == 3 else (...,):
        of_run = [a if a is None or a.dim() == 2 else a[run if len(a) > 1 else 0] for a in matrices]
        for start in range(0, len(of_run[0]), rows):
            yield *(None if a is None else a[start : start + rows] for a in of_run), d[run]


def changes(shrink: float, m: Tensor) -> bool:
    """Whether a factor differs from 1 in the dtype of m: in float32 1 - 1e-8 does not, and multiplying wastes a pass."""
    return bool(torch.tensor(shrink, dtype=m.dtype) != 1)


class OneDNN(Matrix):
    """Products in float32 by oneDNN, on a CPU and of not too few rows; torch's own elsewhere.

    Each run's is taken for itself, and so does not depend on the runs beside it.
    """

    @staticmethod
    def product(a: Tensor, b: Tensor) -> Tensor:
        """a b, with or without the axis of runs."""
        if a.device.type != "cpu" or a.dtype != torch.float32 or a.shape[-2] < MANY or not HAS_ONEDNN:
            return a @ b
        if a.dim() == 2:
            return torch.ops.mkldnn._linear_pointwise(a, b.mT, None, "none", [], "")
        return by_run(OneDNN.product, a, b)

    def times(self, x: Tensor, transposed: bool = False) -> Tensor:
        return self.product(x, self.matrix.mT if transposed else self.matrix)

    def add_outer(self, h: Tensor, d: Tensor, shrink: float, rate: float, mask: Tensor | None = None) -> None:
        if d.shape[-2] < MANY:
            add_outer(self.matrix, h, d, shrink, rate, mask)
            return
        decays = changes(shrink, self.matrix)
        # What a strip of so many rows comes to stays in the cache.
        for m, kept, columns, d_ in pieces(256, self.matrix, mask, h.mT, d):
            if decays:
                m.mul_(shrink)
            m.add_(self.product(columns, d_), alpha=rate)
            if kept is not None:
                m.mul_(kept)


def round_to_bfloat16(m: Tensor) -> Tensor:
    """m rounded to bfloat16: in that dtype where there is arithmetic for it, else in its own. An imitation of that
    arithmetic in software takes ten times as long."""
    half = m.to(torch.bfloat16)
    return half if m.is_cuda or HAS_BFLOAT16 else half.to(m.dtype)


class Rounded(Matrix):
    """Products of both factors rounded to bfloat16, rounded itself. The sums inside a product are in float32, and so is m.

    Processors that have this arithmetic take it several times as fast; on others the numbers are the same but for the order
    of the sums. Beside m lies m rounded, which is renewed with it.
    """

    def __init__(self, matrix: Tensor):
        super().__init__(matrix)
        self.half, self.version = round_to_bfloat16(matrix), matrix._version

    @staticmethod
    def product(a: Tensor, b: Tensor) -> Tensor:
        """a b, both rounded already, rounded. On a CPU run by run, for a batch of small ones is multiplied otherwise than
        one of them, and a batch of one large one is slower."""
        if a.dim() == 3 and a.device.type == "cpu":
            return by_run(Rounded.product, a, b)
        return (a @ b).to(torch.bfloat16)

    def times(self, x: Tensor, transposed: bool = False) -> Tensor:
        if self.matrix._version != self.version:  # it was changed from elsewhere
            self.half.copy_(round_to_bfloat16(self.matrix))
            self.version = self.matrix._version
        # The copy costs time, but without it oneDNN sums in another order, and records were made in this one.
        m = self.half.mT.contiguous() if transposed else self.half
        return self.product(round_to_bfloat16(x), m).to(x.dtype)

    def add_outer(self, h: Tensor, d: Tensor, shrink: float, rate: float, mask: Tensor | None = None) -> None:
        from fa_core import fused  # numba takes half a second to import

        columns, d = round_to_bfloat16(h).mT.contiguous(), round_to_bfloat16(d)
        decays, at_once = changes(shrink, self.matrix), fused.fits(self.matrix, self.half)
        rows = max(32, PORTION // (2 * d.shape[-1]) // 32 * 32)
        for m, half, kept, columns_, d_ in pieces(rows, self.matrix, self.half, mask, columns, d):
            product = self.product(columns_, d_)
            if at_once:
                fused.add(m, half, product, shrink if decays else 1.0, rate, kept)
                continue
            if decays:
                m.mul_(shrink)
            m.add_(product, alpha=rate)
            if kept is not None:
                m.mul_(kept)
            half.copy_(round_to_bfloat16(m))
        self.version = self.matrix._version
