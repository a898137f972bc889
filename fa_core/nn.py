"""Layers to take away: feedback alignment in any PyTorch model, beside the engine of this book and held to it.

    model = nn.Sequential(FeedbackLinear(784, 1000, activation=torch.tanh), FeedbackLinear(1000, 10))
    model = convert(nn.Sequential(nn.Linear(784, 1000), nn.Tanh(), nn.Linear(1000, 10)))  # the same

A layer computes what `nn.Linear` and `nn.Conv2d` do, and any loss and optimiser train it. What its weights learn from is as
ever, delta o f'; what it sends to the layer below goes through fixed random weights B of the shape of W:

    rule="local"   B delta           no derivative travels down the chain: the paper's rule (Methods, "used only locally")
    rule="gated"   B (delta o f')    the derivatives travel, as in most public code

with delta the negative gradient that arrives at the layer's output. The local rule takes the layer and its unit together, so
a layer has an `activation`. B is a buffer: it moves with `.to()`, is kept in `state_dict`, has no gradient, and neither
optimiser nor weight decay changes it.
"""

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from fa_core import measures

RULES = ("local", "gated")
# All of PyTorch's units but those that look at several numbers at once (GLU, Softmax and its like).
ELEMENTWISE = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid),
    *(nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink),
    *(nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold),
)


class _Route(torch.autograd.Function):
    """y as it is; on the way down its signal delta for it, and `down(shape, delta, B)` for x."""

    # In the older of the two forms that there are: the one that `torch.func` wants takes a tenth more of a step, at batch 1.
    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, B: Tensor, down: Callable[[torch.Size, Tensor, Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(B)
        ctx.shape, ctx.down = x.shape, down
        return y.clone()  # of a view PyTorch allows no change in place, as by nn.ReLU(inplace=True)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, ...]:
        (B,) = ctx.saved_tensors
        return delta, ctx.down(ctx.shape, delta, B.to(delta.dtype)), None, None


class _Feedback(nn.Module):
    """What the layers share: B, the unit, and the two rules. `_up(x, W, b)` is the layer's own map,
    `_down(shape, delta, B)` the transpose of its linear part."""

    weight: Tensor
    bias: Any
    B: Tensor
    _up: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    _down: Callable[[torch.Size, Tensor, Tensor], Tensor]

    def _check(self, rule: str) -> None:
        """Raises ValueError for what there is no feedback for."""
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; there are: {', '.join(RULES)}")

    def set_feedback(self, activation: Callable[[Tensor], Tensor] | None, rule: str, scale: float) -> None:
        """Draw B as PyTorch draws W, times `scale`. Raises ValueError where `_check` does."""
        self._check(rule)
        self.activation, self.rule, self.transport = activation, rule, False
        B = torch.empty_like(self.weight)
        nn.init.kaiming_uniform_(B, a=5**0.5)
        self.register_buffer("B", B.detach() * scale)

    def forward(self, x: Tensor) -> Tensor:
        """f(W x + b)."""
        routed = x.requires_grad and not self.transport  # transport: backprop, to compare with
        y = self._up(x.detach() if routed else x, self.weight, self.bias)
        if routed and self.rule == "gated":
            y = _Route.apply(y, x, self.B, self._down)
        if self.activation is not None:
            y = self.activation(y)
        return _Route.apply(y, x, self.B, self._down) if routed and self.rule == "local" else y


class FeedbackLinear(_Feedback, nn.Linear):
    """`nn.Linear` and the unit behind it: x `(..., in_features)` to `(..., out_features)`; B `(out_features, in_features)`.

    Takes the arguments of `nn.Linear` and `activation`: elementwise, None for a linear layer; rule: see the module; scale:
    of B, in terms of W's at the start. Raises ValueError for an unknown rule.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *arguments: Any,
        activation: Callable[[Tensor], Tensor] | None = None,
        rule: str = "local",
        scale: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(in_features, out_features, *arguments, **options)
        self.set_feedback(activation, rule, scale)

    _up = staticmethod(functional.linear)
    _down = staticmethod(lambda shape, delta, B: delta @ B)  # in the layout of rows


class FeedbackConv2d(_Feedback, nn.Conv2d):
    """`nn.Conv2d` with padding of zeros, and the unit behind it; B has the shape of its weights, shared as they are.

    Takes the arguments of `nn.Conv2d`, and those of `FeedbackLinear`. Raises ValueError for an unknown rule, another padding
    than zeros, or a padding given in words.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *arguments: Any,
        activation: Callable[[Tensor], Tensor] | None = None,
        rule: str = "local",
        scale: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, *arguments, **options)
        self.set_feedback(activation, rule, scale)

    def _check(self, rule: str) -> None:
        _Feedback._check(self, rule)
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            raise ValueError(f"padding {self.padding!r} of mode {self.padding_mode!r}: feedback wants numbers, and zeros")

    def _up(self, x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        """The convolution."""
        return functional.conv2d(x, W, b, self.stride, self.padding, self.dilation, self.groups)

    def _down(self, shape: torch.Size, delta: Tensor, B: Tensor) -> Tensor:
        """Its transpose, with B for W."""
        if len(shape) == 3:  # one image, without a batch
            return self._down(torch.Size((1, *shape)), delta[None], B)[0]
        return conv2d_input(shape, B, delta.contiguous(), self.stride, self.padding, self.dilation, self.groups)


class DirectFeedback(nn.Module):
    """Direct feedback alignment (Nøkland 2016): every hidden stage learns from B e, straight from the error at the outputs.

    stages: modules, each a hidden layer with its unit, the last one the outputs. example: a batch of inputs, by which sizes
    are found. scale: B is uniform on [-scale / sqrt(n), scale / sqrt(n)], n the number of outputs. e is what arrives at the
    output stage from the loss. Raises ValueError for fewer than two stages.
    """

    def __init__(self, *stages: nn.Module, example: Tensor, scale: float = 1.0):
        super().__init__()
        if len(stages) < 2:
            raise ValueError(f"direct feedback wants hidden stages and one of outputs, got {len(stages)} in all")
        self.stages = nn.ModuleList(stages)
        modes = {m: m.training for m in self.modules()}
        with torch.no_grad():
            *hidden, y = self.eval().activities(example)  # in training what is run keeps statistics
        for module, mode in modes.items():
            module.training = mode
        n = y[0].numel()
        for i, h in enumerate(hidden):
            self.register_buffer(f"B{i}", torch.empty(n, h[0].numel()).uniform_(-1, 1).to(h) * scale / n**0.5)

    def activities(self, x: Tensor) -> list[Tensor]:
        """Of every stage, each cut off from those below."""
        found: list[Tensor] = []
        for stage in self.stages:
            found.append(stage(found[-1].detach() if found else x))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The last stage's activity."""
        *hidden, y = self.activities(x)
        for i, h in enumerate(hidden):
            y = _Route.apply(y, h, getattr(self, f"B{i}"), lambda shape, e, B: (e.flatten(1) @ B).view(shape))
        return y


OTHERS = (nn.Linear, nn.modules.conv._ConvNd, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
KINDS: dict[type[nn.Module], type[_Feedback]] = {nn.Linear: FeedbackLinear, nn.Conv2d: FeedbackConv2d}


def convert(model: nn.Module, rule: str = "local", scale: float = 1.0) -> nn.Module:
    """Make feedback layers of every `nn.Linear` and `nn.Conv2d` of a model, in place, and return it. They keep their
    weights, so that it computes what it did, their hooks, and every place in which they stand.

    By the local rule a layer takes the elementwise unit that follows it in its `nn.Sequential` into itself; one that is
    called otherwise has a linear unit, and what lies between it and the next passes its derivative on. Warns of other layers
    with matrices of weights, such as those of attention, through which backprop goes on. Raises ValueError where there is
    none to be converted, for one that is not always followed by the same unit, and for an unknown rule.
    """
    units: dict[Any, Any] = {model: None} if type(model) in KINDS else {}
    taken = []
    for parent in model.modules():
        places: list[tuple[str, Any]] = list(parent._modules.items())  # `named_children` tells of each layer once
        for (_, layer), (after, unit) in pairwise([*places, ("", None)]):
            if type(layer) not in KINDS:
                continue
            takes = rule == "local" and isinstance(parent, nn.Sequential) and isinstance(unit, ELEMENTWISE)
            taken += [(parent, after)] * takes
            first = units.setdefault(layer, unit if takes else None)
            if f"{first}" != f"{unit if takes else None}":
                raise ValueError(f"{layer} is followed by several units: give each a layer of its own, or rule='gated'")
    if not units and not isinstance(model, _Feedback):
        raise ValueError(f"{type(model).__name__} has no nn.Linear or nn.Conv2d to be converted")
    for layer in units:
        KINDS[type(layer)]._check(layer, rule)
    for layer, unit in units.items():
        layer.__class__ = KINDS[type(layer)]
        layer.set_feedback(unit, rule, scale)
    for parent, after in taken:
        setattr(parent, after, nn.Identity())
    if others := [name for name, m in model.named_modules() if isinstance(m, OTHERS) and not isinstance(m, _Feedback)]:
        warnings.warn(f"not converted, backprop goes on through them: {', '.join(others)}", stacklevel=2)
    return model


def angles(model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """For each feedback layer but the topmost, by its name: the angle in degrees between the teaching signal that arrives at
    its output and the one that backprop would send, a mean over the examples of x for which both send one.
    `loss(model(x))` is a number. Of a layer that is used several times, its last use counts; the model is left as it was.
    Raises ValueError where no feedback layer leads to the loss."""
    model = getattr(model, "_orig_mod", model)  # of one that torch.compile has taken
    layers = {name: m for name, m in model.named_modules() if isinstance(m, _Feedback)}
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]  # batches leave statistics behind

    def arriving(transport: bool) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}

        def keep(name: str, y: Tensor) -> None:
            outputs.pop(name, None)  # so that they are in the order of their last use
            if y.requires_grad:
                outputs[name] = y

        hooks = [m.register_forward_hook(lambda _, __, y, name=name: keep(name, y)) for name, m in layers.items()]
        transported = {name: m.transport for name, m in layers.items()}
        try:
            for m in layers.values():
                m.transport = transport
            with torch.enable_grad():
                reached = loss(model(x))
                signals = torch.autograd.grad(reached, list(outputs.values()), allow_unused=True) if outputs else []
        finally:
            for hook in hooks:
                hook.remove()
            for name, m in layers.items():
                m.transport = transported[name]
            with torch.no_grad():
                for buffer, before in kept:
                    buffer.copy_(before)
        found = {name: signal for name, signal in zip(outputs, signals, strict=True) if signal is not None}
        if not found:
            raise ValueError("no layer with feedback leads to the loss: `convert` makes them")
        return found

    with torch.random.fork_rng():  # what drops out is the same in both
        ours = arriving(False)
    backprops = arriving(True)
    pairs = {name: [s[name].flatten(1).double().cpu().numpy() for s in (ours, backprops)] for name in list(ours)[:-1]}
    return {name: float(measures.mean_angle(*pair)) for name, pair in pairs.items()}
