"""Online learning in small networks, compiled by numba: the same steps as the plain text, one run after another.

The plain text is `fa_core.linear.plain` and, of the torch engine, `fa_core.training.step` with what it calls: that is what
to read, and what this room is tested against. In a small network, an example at a time, it spends most of its time between
operations; here a run's weights stay in the cache while it goes through all its examples.

Which path runs when:

* `training.train` takes this one for experiments that say so, `products="compiled"`: minibatches of one, on the CPU, without
  dropout and distortions, a rule that has a `chain` (`Experiment` refuses others). All other experiments, and so every
  record made before there was this path, take the plain one.
* `linear.learn` takes it, except for the rule "pseudobackprop" and where it is called with `compiled=False`.

Targets, weights and examples are drawn outside, by the same generators in the same order, and probes, schedule, switches
and checkpoints are those of the loop around it. Only the order of the additions within a sum is another: from first to last.
No multiplication is made one with an addition, nothing reordered for speed, so that, but for exp and tanh, which are the C
library's, another processor gives the same bits.

numba keeps its machine code in the folder NUMBA_CACHE_DIR if that is set, else beside this file or, where that cannot be
written, in the user's cache folder; where there is none of them it is compiled in every process anew, a few seconds.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import uintp

from fa_core.rules import Rule
from fa_core.units import LEAK

if TYPE_CHECKING:  # they need this room, or torch
    from torch import Tensor

    from fa_core.linear import Ensemble
    from fa_core.network import Network, Velocity

UNITS = ("linear", "tanh", "logistic", "leaky", "relu")  # what is compiled knows them by their numbers
LINEAR, TANH, LOGISTIC, LEAKY, RELU = range(5)

inlined = numba.njit(forceinline=True, error_model="numpy")


@functools.cache
def kernel(function: Callable, name: str, *signature: Any) -> Callable:
    """The function compiled for arguments of these types, and kept under that name where there is a place for it.

    Each signature has a name of its own: numba numbers those of one name by what it finds there, so that two processes at
    once could give one number to two.
    """
    named = types.FunctionType(function.__code__, function.__globals__, name)
    named.__qualname__ = name
    try:
        return numba.njit(signature, cache=True, error_model="numpy")(named)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(signature, error_model="numpy")(named)


# ---- the torch engine's networks. Vectors and matrices are parts of longer vectors, given by where they begin: by numbers
# without a sign, for of one with a sign numba would look, at every element, whether it counts from the end.


@inlined
def add_product(x, x0, M, M0, rows, columns, out, out0):
    """out += x M"""
    for i in range(rows):
        v, row = x[x0 + i], M0 + i * columns
        for j in range(columns):
            out[out0 + j] += v * M[row + j]


@inlined
def add_transposed(x, x0, M, M0, rows, columns, out, out0):
    """out += x M'"""
    for i in range(rows):
        row = M0 + i * columns
        for j in range(columns):
            out[out0 + i] += x[x0 + j] * M[row + j]


@inlined
def add_outer(rate, h, h0, d, d0, W, W0, rows, columns):
    """W += rate h' d"""
    for i in range(rows):
        v, row = rate * h[h0 + i], W0 + i * columns
        for j in range(columns):
            W[row + j] += v * d[d0 + j]


@inlined
def add_outer_then_product(rate, h, d, d0, x, h0, W, W0, rows, columns, out):
    """W += rate h' d, then out += x W, going over W once. h and x begin at the same place, and d and out."""
    for i in range(rows):
        v, u, row = rate * h[h0 + i], x[h0 + i], W0 + i * columns
        for j in range(columns):
            w = W[row + j] + v * d[d0 + j]
            W[row + j] = w
            out[d0 + j] += u * w


@inlined
def activate(unit, a, start, count):
    """The function of the units, in place."""
    one = a.dtype.type(1)
    if unit == TANH:
        for j in range(start, start + count):
            a[j] = math.tanh(a[j])
    elif unit == LOGISTIC:
        for j in range(start, start + count):
            a[j] = one / (one + math.exp(-a[j]))
    elif unit in (LEAKY, RELU):
        for j in range(start, start + count):
            if a[j] < 0:
                a[j] = a[j] * a.dtype.type(LEAK) if unit == LEAKY else a.dtype.type(0)


@inlined
def gate(unit, h, delta, start, count, out):
    """out = delta o f', f' from the activity h."""
    one = h.dtype.type(1)
    for j in range(start, start + count):
        if unit == LINEAR:
            out[j] = delta[j]
        elif unit == TANH:
            out[j] = delta[j] * (one - h[j] * h[j])
        elif unit == LOGISTIC:
            out[j] = delta[j] * (h[j] - h[j] * h[j])
        elif h[j] > 0:
            out[j] = delta[j]
        else:
            out[j] = delta[j] * h.dtype.type(LEAK if unit == LEAKY else 0)


def steps(W, velocity, mask, B, sizes, units, rule, rates, shrink, decay, momentum, x, target, squares):
    """Learn from examples one by one, in place; adds the squares of each run's errors to squares `(runs,)`.

    W `(runs, all)`: of each layer the weights `(n_in, n_out)` row by row, then its biases as a row more; velocity and mask
    alike, or without columns where there is none. B `(runs, all)`: of each hidden layer, `(n_out, n_in)`. sizes: of the
    layers of units, inputs first. units: of the hidden layers and of the outputs, by number. rule: a `Chain`. For each
    layer of W, rates; shrink, which a weight is multiplied by for its decay; and decay, shrink - 1. x `(runs, n, n_0)`,
    target `(runs, n, n_out)`.
    """
    through_W, gated_outputs, gated_below, below_learns = rule
    runs, n, layers, one = uintp(x.shape[0]), uintp(x.shape[1]), uintp(len(sizes) - 1), uintp(1)
    # Where each layer's part begins.
    at, at_W, at_B = np.zeros((3, layers + uintp(2)), np.uintp)
    for layer in range(layers):
        at[layer + one] = at[layer] + sizes[layer] + one
        at_W[layer + one] = at_W[layer] + (sizes[layer] + one) * sizes[layer + one]
        at_B[layer + one] = at_B[layer] + (sizes[layer] * sizes[layer + one] if layer else uintp(0))
    at[layers + one] = at[layers] + sizes[layers] + one
    # Of each layer of units, this example's activities and the last one's, and a 1 after them, whose weights the biases are.
    h, last = np.ones(at[layers + one], x.dtype), np.ones(at[layers + one], x.dtype)
    delta, d = np.zeros_like(h), np.zeros_like(h)  # d = delta o f'
    with_momentum, masked = velocity.shape[1] > 0, mask.shape[1] > 0
    for run in range(runs):
        w, v, m, b = W[run], velocity[run], mask[run], B[run]
        for t in range(n + one):
            # Up through the layers. On the way each takes in what the last example taught.
            if t < n:
                for i in range(sizes[0]):
                    h[i] = x[run, t, i]
            for layer in range(layers):
                below, above, rate = sizes[layer] + one, sizes[layer + one], rates[layer]
                here, out, first, end = at[layer], at[layer + one], at_W[layer], at_W[layer + one]
                learns = t > 0 and rate != 0 and (below_learns or layer + one == layers)
                for j in range(out, out + above):
                    h[j] = 0
                if learns and with_momentum:
                    for k in range(first, end):
                        v[k] = momentum * v[k] + decay[layer] * w[k]
                    add_outer(rate, last, here, d, out, v, first, below, above)
                    for k in range(first, end):
                        w[k] += v[k]
                elif learns and decay[layer] != 0:
                    for k in range(first, end):
                        w[k] *= shrink[layer]
                if learns and not with_momentum and not masked and t < n:
                    add_outer_then_product(rate, last, d, out, h, here, w, first, below, above, h)
                else:
                    if learns and not with_momentum:
                        add_outer(rate, last, here, d, out, w, first, below, above)
                    if learns and masked:
                        for k in range(first, end):
                            w[k] *= m[k]
                    add_product(h, here, w, first, below, above, h, out)
                activate(units[1] if layer + one == layers else units[0], h, out, above)
            if t == n:
                break
            # Down again: the teaching signals.
            out = at[layers]
            for j in range(sizes[layers]):
                delta[out + j] = target[run, t, j] - h[out + j]
                squares[run] += float(delta[out + j]) ** 2
            for layer in range(layers, uintp(0), -1):
                count, below, here, down = sizes[layer], sizes[layer - one], at[layer], at[layer - one]
                gate(units[1] if layer == layers else units[0], h, delta, here, count, d)
                if layer == one or not below_learns:
                    break
                for i in range(down, down + below):
                    delta[i] = 0
                if through_W:  # in backprop, which is gated everywhere
                    add_transposed(d, here, w, at_W[layer - one], below, count, delta, down)
                elif gated_outputs if layer == layers else gated_below:
                    add_product(d, here, b, at_B[layer - one], count, below, delta, down)
                else:
                    add_product(delta, here, b, at_B[layer - one], count, below, delta, down)
            h, last = last, h


@functools.cache  # looking the signature up takes longer than a step
def steps_in(dtype: np.dtype) -> Callable:
    """`steps`, compiled for this precision."""
    real, T = numba.from_dtype(np.dtype(dtype)), numba.types
    vector, matrix, cube = real[::1], real[:, ::1], real[:, :, :]
    return kernel(
        steps,
        f"steps_{real}",
        matrix,
        matrix,
        matrix,
        matrix,
        T.uintp[::1],
        T.UniTuple(T.int64, 2),
        T.UniTuple(T.boolean, 4),
        vector,
        vector,
        vector,
        real,
        cube,
        cube,
        T.float64[::1],
    )


def learn(
    network: Network,
    velocity: Velocity | None,
    rule: Rule,
    rates: tuple[float, ...],
    weight_decay: float,
    momentum: float,
    examples: Iterable[tuple[Tensor, Tensor]],
) -> float:
    """Train a `fa_core.network.Network` on the CPU, in place, as `fa_core.training.step` does in minibatches of one example.

    velocity: pairs of arrays like (W_l, b_l), or None without momentum. examples: pairs x `(runs, n, n_0)` and target
    `(runs, n, n_out)`, gone through one after the other. Returns the sum of the squares of all errors.
    """
    if rule.chain is None:
        raise ValueError(f"rule {rule.name!r} has no compiled loop")

    def flat(arrays: Iterable[Tensor]) -> np.ndarray:
        return np.concatenate([a.flatten(1).numpy() for a in arrays], axis=1)

    pairs = list(zip(network.W, network.b, strict=True))
    W, runs = flat([a for pair in pairs for a in pair]), len(network.W[0])
    v = flat([a for pair in velocity for a in pair]) if velocity else W[:, :0]
    mask = W[:, :0]
    if any(m is not None for m in network.mask):
        mask = np.ones_like(W)
        for part, m in zip(parts(mask, network), network.mask, strict=True):
            if m is not None:
                part[0][:] = m.numpy()
    B = flat(network.B) if network.B else W[:, :0]
    sizes = np.array([w.shape[1] for w in network.W] + [network.W[-1].shape[2]], np.uintp)
    shrink = [1 - rate * weight_decay for rate in rates]
    squares, loop = np.zeros(runs), steps_in(W.dtype)
    for x, target in examples:
        loop(
            W,
            v,
            mask,
            B,
            sizes,
            (UNITS.index(network.hidden), UNITS.index(network.output)),
            tuple(rule.chain),
            *(np.array(a, W.dtype) for a in (rates, shrink, [s - 1 for s in shrink])),
            W.dtype.type(momentum),
            x.numpy(),
            target.numpy(),
            squares,
        )
    for learned, arrays in ((W, pairs), (v, velocity)) if velocity else ((W, pairs),):
        for ours, theirs in zip(parts(learned, network), arrays, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                other.numpy()[:] = one
    return squares.sum()


def parts(flat: np.ndarray, network: Network) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each layer, weights and biases as views into `(runs, all)`, shaped as a network's are."""
    start = 0
    for w in network.W:
        runs, n_in, n_out = w.shape
        middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
        yield flat[:, start:middle].reshape(runs, n_in, n_out), flat[:, middle:end].reshape(runs, 1, n_out)
        start = end


# ---- the networks of `fa_core.linear`, in its shapes: `(runs, ...)`, matrices in the paper's columns


@inlined
def products(M, x, out):
    """out = M x, four sums side by side, so that no addition waits for the one before it."""
    rows, columns = M.shape
    for k in range(0, rows - 3, 4):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for i in range(columns):
            a += M[k, i] * x[i]
            b += M[k + 1, i] * x[i]
            c += M[k + 2, i] * x[i]
            d += M[k + 3, i] * x[i]
        out[k], out[k + 1], out[k + 2], out[k + 3] = a, b, c, d
    for k in range(rows - rows % 4, rows):
        out[k] = 0.0
        for i in range(columns):
            out[k] += M[k, i] * x[i]


@inlined
def squared_error(T, W0, W, row, squares):
    """|T - W W0|^2, row by row; the squares of each column are summed first."""
    hidden, total = W.shape[1], 0.0
    for i in range(len(row)):
        squares[i] = 0.0
    for o in range(len(T)):
        for i in range(len(row)):
            row[i] = T[o, i]
        for k in range(0, hidden - 3, 4):
            a, b, c, d = W[o, k], W[o, k + 1], W[o, k + 2], W[o, k + 3]
            for i in range(len(row)):
                row[i] = row[i] - a * W0[k, i] - b * W0[k + 1, i] - c * W0[k + 2, i] - d * W0[k + 3, i]
        for k in range(hidden - hidden % 4, hidden):
            for i in range(len(row)):
                row[i] -= W[o, k] * W0[k, i]
        for i in range(len(row)):
            squares[i] += row[i] * row[i]
    for i in range(len(row)):
        total += squares[i]
    return total


def linear_steps(T, W0, W, B, W0_learns, perturbed, outputs_perturbed, rate, sigma, x, xi, zeta, measured_at, nse):
    """Learn from examples one by one, in place; writes the normalised squared error, nse `(runs, n)`, after each for which
    measured_at `(n,)` is true.

    B `(n or 1, runs, n_h, n_o)`: at each example, or one for all; delta = B e, or W' e where it is empty. x
    `(runs, n, n_i)`; with `perturbed` the perturbations xi `(runs, n, n_h)` of the hidden units and zeta `(runs, n, n_o)` of
    the outputs, which teach the outputs with `outputs_perturbed`.
    """
    runs, n, n_i = x.shape
    n_h, n_o = W0.shape[1], W.shape[1]
    example, error, squares = np.zeros(n_i), np.zeros(n_i), np.zeros(n_i)
    h, delta, e, taught = np.zeros(n_h), np.zeros(n_h), np.zeros(n_o), np.zeros(n_o)
    for run in range(runs):
        target, w0, w, scale = T[run], W0[run], W[run], 0.0
        for o in range(n_o):
            for i in range(n_i):
                scale += target[o, i] ** 2
        for t in range(n):
            for i in range(n_i):
                example[i] = x[run, t, i]
            products(w0, example, h)
            products(target, example, e)
            products(w, h, taught)
            for o in range(n_o):
                e[o] -= taught[o]
                taught[o] = e[o]
            if perturbed:
                disturbed, undisturbed = 0.0, 0.0
                for o in range(n_o):
                    moved = 0.0
                    for k in range(n_h):
                        moved += w[o, k] * xi[run, t, k]
                    disturbed += (e[o] - moved - zeta[run, t, o]) ** 2
                    undisturbed += e[o] ** 2
                rise = (disturbed - undisturbed) / (2 * sigma**2)
                for k in range(n_h):
                    delta[k] = -rise * xi[run, t, k]
                if outputs_perturbed:
                    for o in range(n_o):
                        taught[o] = -rise * zeta[run, t, o]
            elif len(B):
                products(B[t % len(B), run], e, delta)
            else:
                for k in range(n_h):
                    delta[k] = 0.0
                for o in range(n_o):
                    for k in range(n_h):
                        delta[k] += w[o, k] * e[o]
            for o in range(n_o):
                step = rate * taught[o]
                for k in range(n_h):
                    w[o, k] += step * h[k]
            if W0_learns:
                for k in range(n_h):
                    step = rate * delta[k]
                    for i in range(n_i):
                        w0[k, i] += step * example[i]
            if measured_at[t]:
                nse[run, t] = squared_error(target, w0, w, error, squares) / scale


def linear(
    rule: str,
    rate: float,
    net: Ensemble,
    B: np.ndarray,
    x: np.ndarray,
    perturbations: tuple[np.ndarray, np.ndarray],
    sigma: float,
    measured_at: np.ndarray,
) -> np.ndarray:
    """What `fa_core.linear.plain` does, for every rule but pseudobackprop."""
    real, T = numba.float64, numba.types
    cube = real[:, :, ::1]
    loop = kernel(
        linear_steps,
        "linear_steps",
        cube,
        cube,
        cube,
        real[:, :, :, ::1],
        T.boolean,
        T.boolean,
        T.boolean,
        real,
        real,
        real[:, :, :],
        real[:, :, :],
        real[:, :, :],
        T.boolean[:],
        real[:, ::1],
    )
    nse = np.full(x.shape[:2], np.nan)
    loop(
        net.T,
        net.W0,
        net.W,
        B if rule == "feedback alignment" else B[:0],
        rule != "shallow",
        rule.startswith("node"),
        rule.endswith("both"),
        rate,
        sigma,
        x,
        *perturbations,
        measured_at,
        nse,
    )
    return nse
