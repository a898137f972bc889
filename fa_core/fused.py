"""The update of a matrix and of its copy in bfloat16, in one pass through memory, compiled by numba.

What it does is said by four operations of torch, W.mul_(shrink), W.add_(P, alpha=rate), W.mul_(mask) and half.copy_(W), each
of which goes through all of W for itself. The results are theirs to the bit: they too round rate P + shrink W once.
"""

from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from torch import Tensor, bfloat16, float32, get_num_threads, uint16
from torch.autograd.graph import increment_version


@intrinsic
def fused_multiply_add(typing, a, b, c):
    """a b + c of float32, rounded once."""
    f = numba.float32
    return f(f, f, f), lambda context, builder, signature, arguments: builder.fma(*arguments)


@intrinsic
def as_float(typing, bits):
    """The float32 of these 32 bits."""
    return (
        numba.float32(numba.uint32),
        lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.FloatType()),
    )


@intrinsic
def as_bits(typing, value):
    """The 32 bits of a float32."""
    return (
        numba.uint32(numba.float32),
        lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(32)),
    )


def loops(W, half, P, shrink, rate, mask):
    """W <- (shrink W + rate P) o mask, half <- W rounded to the nearest, ties to even; half and P are the bits of bfloat16,
    a mask may be empty."""
    for i in range(W.size):
        w = fused_multiply_add(rate, as_float(np.uint32(P[i]) << np.uint32(16)), W[i] * shrink)
        if mask.size:
            w *= mask[i]
        W[i] = w
        bits = as_bits(w)
        up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        half[i] = np.uint16((bits + up) >> np.uint32(16)) if w == w else np.uint16(0x7FC0)


SIGNATURE = "void(float32[::1], uint16[::1], uint16[::1], float32, float32, float32[::1])"
try:
    compiled: Callable[..., None] = numba.njit(SIGNATURE, cache=True, error_model="numpy")(loops)
except RuntimeError:  # there is no folder to keep the machine code in
    compiled = numba.njit(SIGNATURE, error_model="numpy")(loops)


def fits(W: Tensor, half: Tensor) -> bool:
    """Whether `add` is for these: float32 and bfloat16, on a CPU, each in one piece; and one thread, as torch uses more."""
    return (
        W.dtype == float32
        and half.dtype == bfloat16
        and W.device.type == "cpu"
        and W.is_contiguous()
        and half.is_contiguous()
        and get_num_threads() == 1
    )


def add(W: Tensor, half: Tensor, P: Tensor, shrink: float, rate: float, mask: Tensor | None = None) -> None:
    """W <- (shrink W + rate P) o mask and half <- W, in place; P in bfloat16, the mask of 0 and 1 in float32, all of one
    shape."""
    bits = (a.view(uint16).view(-1).numpy() for a in (half, P))
    kept = np.empty(0, np.float32) if mask is None else mask.contiguous().view(-1).numpy()
    compiled(W.view(-1).numpy(), *bits, np.float32(shrink), np.float32(rate), kept)
    increment_version((W, half))
