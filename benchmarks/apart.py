"""Steps of learning in a process of their own, as whoever takes them would: PyTorch's autograd, the layers of `fa_core.nn`,
and what else one would pick. Nothing of ours is imported there but these layers.

    python -m benchmarks.apart NAME FILE

reads a network and a minibatch from an .npz that `benchmarks.steps.handed` wrote. First it says how many networks and steps
it takes at once, and the bytes it holds from one step to the next, or 0 where that is not known. For each line on standard
input it takes a step twice and prints the seconds of the second, per step and network; at the end, what it learned goes into
an .npz beside the file: `W0`, ..., `b0`, ... with the leading axis of runs.

Peers do one of two things: backprop, as "autograd", or feedback alignment as the paper has it, `delta_l = B_l delta_{l+1}`
with updates `(delta o f')' h`; BioTorch's, and our layers by their gated rule, pass derivatives on.
"""

import os
import sys
from pathlib import Path
from time import perf_counter

import numpy as np  # all else is imported where it is used: each process has its own

SCAN = 200  # examples that a loop goes through at once, where it can: its price for a call is then spread as in a run


class Autograd:
    """Backprop of one network as PyTorch has it: modules, a loss, `backward`, an optimiser.

    The loss is the sum of squares, which is the quickest to write down; its gradient is twice that of e'e / 2, so the rate
    is half.
    """

    runs = steps = 1

    def __init__(self, given):
        import torch
        from torch import nn

        self.torch, self.functional = torch, nn.functional
        self.x, self.target = (torch.tensor(given[k][0]) for k in ("x", "target"))
        units = {"logistic": nn.Sigmoid, "tanh": nn.Tanh, "linear": nn.Identity}
        layers = len([k for k in given if k[0] == "W"])
        self.linear = [self.layer(given, i) for i in range(layers)]
        with torch.no_grad():
            for i, layer in enumerate(self.linear):
                layer.weight.copy_(torch.tensor(given[f"W{i}"][0].T))
                layer.bias.copy_(torch.tensor(given[f"b{i}"][0, 0]))
        kinds = [str(given["hidden"])] * (layers - 1) + [str(given["output"])]
        pairs = zip(self.linear, (units[kind]() for kind in kinds), strict=True)
        self.model = nn.Sequential(*(module for pair in pairs for module in pair))
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=float(given["rate"]) / 2)

    def layer(self, given, i):
        """The affine map into a layer of units."""
        W = given[f"W{i}"]
        return self.torch.nn.Linear(*W.shape[1:], dtype=getattr(self.torch, str(W.dtype)))

    def __call__(self):
        self.optimiser.zero_grad()
        self.functional.mse_loss(self.model(self.x), self.target, reduction="sum").backward()
        self.optimiser.step()

    def held(self):
        """The arrays that are kept from one step to the next."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return [*self.model.parameters(), *self.model.buffers(), *gradients]

    def learned(self):
        return {f"W{i}": m.weight.detach().numpy().T[None] for i, m in enumerate(self.linear)} | {
            f"b{i}": m.bias.detach().numpy()[None, None] for i, m in enumerate(self.linear)
        }


class Compiled(Autograd):
    """The same with the whole of it, optimiser included, given to torch.compile."""

    def __init__(self, given):
        super().__init__(given)
        self.step = self.torch.compile(super().__call__)

    def __call__(self):
        self.step()


class BioTorch(Autograd):
    """Its layers, which pass derivatives on and send the outputs' with theirs."""

    def layer(self, given, i):
        from biotorch.layers.fa import Linear

        layer = Linear(*given[f"W{i}"].shape[1:])
        if i:
            layer.weight_backward.data = self.torch.tensor(given[f"B{i}"][0])
        return layer


class Local(Autograd):
    """The same model, its layers turned into those of `fa_core.nn`."""

    rule = "local"

    def __init__(self, given):
        super().__init__(given)
        from fa_core.nn import convert

        convert(self.model, self.rule)
        for i, layer in enumerate(self.linear[1:], start=1):
            layer.B.copy_(self.torch.tensor(given[f"B{i}"][0]))


class Gated(Local):
    """The same by their other rule."""

    rule = "gated"


class Vmap:
    """Backprop of all runs at once by torch.func: vmap of grad."""

    steps = 1

    def __init__(self, given):
        import torch

        layers = len([k for k in given if k[0] == "W"])
        units = {"logistic": torch.sigmoid, "tanh": torch.tanh, "linear": lambda a: a}
        hidden, output = (units[str(given[k])] for k in ("hidden", "output"))
        self.learning = {k: torch.tensor(given[k]) for k in given if k[0] in "Wb"}
        self.x, self.target = (torch.tensor(given[k]) for k in ("x", "target"))
        self.runs, self.rate = len(self.x), float(given["rate"])

        def loss(p, x, target):
            for i in range(layers):
                x = (output if i == layers - 1 else hidden)(x @ p[f"W{i}"] + p[f"b{i}"])
            return (target - x).square().sum() / 2

        self.gradient = torch.func.vmap(torch.func.grad(loss))

    def __call__(self):
        slopes = self.gradient(self.learning, self.x, self.target)
        for name, a in self.learning.items():
            a.sub_(slopes[name], alpha=self.rate)

    def learned(self):
        return {k: v.numpy() for k, v in self.learning.items()}


class Jax:
    """Feedback alignment of all runs, jit of vmap of one step; at a batch of one, of a scan over many examples."""

    def __init__(self, given):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})  # it makes a thread for each processor that it may use
        import jax
        from jax import numpy as jnp

        layers = len([k for k in given if k[0] == "W"])
        unit = {
            "logistic": (jax.nn.sigmoid, lambda h: h * (1 - h)),
            "tanh": (jnp.tanh, lambda h: 1 - h * h),
            "linear": (lambda a: a, jnp.ones_like),
        }
        hidden, output = (unit[str(given[k])] for k in ("hidden", "output"))
        self.learning = {k: jnp.asarray(given[k]) for k in given if k[0] in "Wb"}
        B = {k: jnp.asarray(given[k]) for k in given if k[0] == "B"}
        x, target = (jnp.asarray(given[k]) for k in ("x", "target"))
        self.runs, rate = len(x), float(given["rate"])

        def step(p, b, x, target):
            h = [x]
            for i in range(layers):
                h.append((output if i == layers - 1 else hidden)[0](h[-1] @ p[f"W{i}"] + p[f"b{i}"]))
            delta, new = target - h[-1], {}
            for i in reversed(range(layers)):
                d = delta * (output if i == layers - 1 else hidden)[1](h[i + 1])
                new[f"W{i}"] = p[f"W{i}"] + rate * h[i].T @ d
                new[f"b{i}"] = p[f"b{i}"] + rate * d.sum(0, keepdims=True)
                if i:
                    delta = delta @ b[f"B{i}"]
            return new

        self.steps = SCAN if x.shape[1] == 1 else 1

        def all_steps(p, b, x, target):
            if self.steps == 1:
                return step(p, b, x, target)
            xs, targets = (jnp.broadcast_to(a, (self.steps, *a.shape)) for a in (x, target))
            return jax.lax.scan(lambda p, example: (step(p, b, *example), None), p, (xs, targets))[0]

        run = jax.jit(jax.vmap(all_steps), donate_argnums=0)
        self.take, self.ready = lambda: run(self.learning, B, x, target), jax.block_until_ready
        self()
        for thread in os.listdir("/proc/self/task"):  # from here on they may run where there is room, as all others
            os.sched_setaffinity(int(thread), allowed)
        self.learning = {k: jnp.asarray(given[k]) for k in self.learning}  # the others were given away

    def __call__(self):
        self.learning = self.ready(self.take())

    def learned(self):
        return {k: np.asarray(v) for k, v in self.learning.items()}


class Numba:
    """Feedback alignment in one network with one hidden layer, an example at a time, as loops."""

    runs, steps = 1, SCAN

    def __init__(self, given):
        import numba

        @numba.njit(fastmath=True)
        def unit(kind, a):
            return a if kind == 0 else np.tanh(a) if kind == 1 else 1 / (1 + np.exp(-a))

        @numba.njit(fastmath=True)
        def slope(kind, h):
            return 1.0 if kind == 0 else 1 - h * h if kind == 1 else h * (1 - h)

        @numba.njit(fastmath=True)
        def loop(n, x, target, V, a, W, b, B, rate, inner, outer):
            hidden, out = len(a), len(b)
            h, y, down = a.copy(), b.copy(), a.copy()
            for _ in range(n):
                h[:] = a
                for i in range(len(x)):
                    for j in range(hidden):
                        h[j] += x[i] * V[i, j]
                y[:] = b
                for j in range(hidden):
                    h[j] = unit(inner, h[j])
                    for k in range(out):
                        y[k] += h[j] * W[j, k]
                down[:] = 0
                for k in range(out):
                    y[k] = unit(outer, y[k])
                    e = target[k] - y[k]
                    for j in range(hidden):
                        down[j] += e * B[k, j]
                    y[k] = rate * e * slope(outer, y[k])
                    b[k] += y[k]
                for j in range(hidden):
                    for k in range(out):
                        W[j, k] += h[j] * y[k]
                    down[j] = rate * down[j] * slope(inner, h[j])
                    a[j] += down[j]
                for i in range(len(x)):
                    for j in range(hidden):
                        V[i, j] += x[i] * down[j]

        kinds = ("linear", "tanh", "logistic")
        names = {k: given[k][0].copy() if k[0] in "WB" else given[k][0, 0].copy() for k in ("W0", "b0", "W1", "b1", "B1")}
        self.learning, B = {k: v for k, v in names.items() if k != "B1"}, names["B1"]
        x, target = given["x"][0, 0].copy(), given["target"][0, 0].copy()
        rate = x.dtype.type(given["rate"])
        self.take = lambda: loop(
            self.steps,
            x,
            target,
            *self.learning.values(),
            B,
            rate,
            *(kinds.index(str(given[k])) for k in ("hidden", "output")),
        )

    def __call__(self):
        self.take()

    def learned(self):
        return {k: v[None] if k[0] == "W" else v[None, None] for k, v in self.learning.items()}


KINDS = {
    "autograd": Autograd,
    "layers of fa_core.nn, feedback alignment, local": Local,
    "layers of fa_core.nn, feedback alignment, gated": Gated,
    "torch.compile of autograd": Compiled,
    "BioTorch, feedback alignment": BioTorch,
    "torch.vmap of grad": Vmap,
    "JAX, feedback alignment": Jax,
    "numba loop, feedback alignment": Numba,
}


def main(name: str, file: str) -> None:
    """Take steps for as long as lines come."""
    with np.load(file) as stored:
        step = KINDS[name]({k: stored[k] for k in stored.files})
    step()
    print(step.runs, step.steps, sum(a.nbytes for a in step.held()) if hasattr(step, "held") else 0, flush=True)
    for _ in sys.stdin:
        step()  # not timed: it takes the caches over from the contender before
        start = perf_counter()
        step()
        print((perf_counter() - start) / step.runs / step.steps, flush=True)
    np.savez(Path(file).with_suffix(".learned.npz"), **step.learned())


if __name__ == "__main__":
    main(*sys.argv[1:])
