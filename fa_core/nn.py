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

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

RULES = ("local", "gated")
ELEMENTWISE = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus)


class _Send(torch.autograd.Function):
    """0 on the way up; on the way down, what the product of an input with B would send to it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, B: Tensor, shape: torch.Size, down: Callable[[torch.Size, Tensor, Tensor], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(B)
        ctx.shape, ctx.down = x.shape, down
        return x.new_zeros(()).expand(shape)

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor, None, None, None]:
        (B,) = ctx.saved_tensors
        return ctx.down(ctx.shape, delta, B.to(delta.dtype)), None, None, None


class _Feedback(nn.Module):
    """What the layers share: B, the unit, and the two rules. `_up(x, W, b)` is the layer's own map,
    `_down(shape, delta, B)` the transpose of its linear part."""

    weight: Tensor
    bias: Any
    B: Tensor
    _up: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    _down: Callable[[torch.Size, Tensor, Tensor], Tensor]

    def set_feedback(self, activation: Callable[[Tensor], Tensor] | None, rule: str, scale: float) -> None:
        """Draw B as PyTorch draws W, times `scale`. Raises ValueError for an unknown rule."""
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; there are: {', '.join(RULES)}")
        self.activation, self.rule, self.transport = activation, rule, False
        B = torch.empty_like(self.weight)
        nn.init.kaiming_uniform_(B, a=5**0.5)
        self.register_buffer("B", B.detach() * scale)

    def forward(self, x: Tensor) -> Tensor:
        """f(W x + b)."""
        f = self.activation or (lambda a: a)
        if self.transport:  # backprop, to compare with
            return f(self._up(x, self.weight, self.bias))
        a = self._up(x.detach(), self.weight, self.bias)
        if not x.requires_grad:
            return f(a)
        sent = _Send.apply(x, self.B, a.shape, self._down)
        return f(a + sent) if self.rule == "gated" else f(a) + sent


class FeedbackLinear(_Feedback, nn.Linear):
    """`nn.Linear` and the unit behind it: x `(..., in_features)` to `(..., out_features)`; B `(out_features, in_features)`.

    activation: elementwise, None for a linear layer; rule: see the module; scale: of B, in terms of W's at the start. Raises
    ValueError for an unknown rule.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: Callable[[Tensor], Tensor] | None = None,
        rule: str = "local",
        scale: float = 1.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.set_feedback(activation, rule, scale)

    _up = staticmethod(functional.linear)

    @staticmethod
    def _down(shape: torch.Size, delta: Tensor, B: Tensor) -> Tensor:
        """delta B, in the layout of rows."""
        return delta @ B


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
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            raise ValueError(f"padding {self.padding!r} of mode {self.padding_mode!r}: feedback wants numbers, and zeros")
        self.set_feedback(activation, rule, scale)

    def _up(self, x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
        """The convolution."""
        return functional.conv2d(x, W, b, self.stride, self.padding, self.dilation, self.groups)

    def _down(self, shape: torch.Size, delta: Tensor, B: Tensor) -> Tensor:
        """Its transpose, with B for W."""
        return conv2d_input(shape, B, delta.contiguous(), self.stride, self.padding, self.dilation, self.groups)


class _Deliver(torch.autograd.Function):
    """The outputs as they are; on the way down, the error at the outputs for them, and B e for each hidden layer."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, *hidden_and_B: Tensor) -> Tensor:
        half = len(hidden_and_B) // 2
        ctx.save_for_backward(*hidden_and_B[half:])
        ctx.shapes = [h.shape for h in hidden_and_B[:half]]
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, e: Tensor) -> tuple[Tensor | None, ...]:
        sent = [(e.flatten(1) @ B.to(e.dtype)).view(shape) for B, shape in zip(ctx.saved_tensors, ctx.shapes, strict=True)]
        return (e, *sent, *(None,) * len(sent))


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
        with torch.no_grad():
            *hidden, y = self.activities(example)
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
        return _Deliver.apply(y, *hidden, *(getattr(self, f"B{i}") for i in range(len(hidden))))


def convert(model: nn.Module, rule: str = "local", scale: float = 1.0) -> nn.Module:
    """Put feedback layers in the place of every `nn.Linear` and `nn.Conv2d` of a model, in place, and return it; weights,
    and so what it computes, stay as they are.

    By the local rule a layer takes the elementwise unit that follows it in its `nn.Sequential` into itself; one that is
    called otherwise has a linear unit, and what lies between it and the next passes its derivative on. Raises ValueError
    where there is no such layer, or for an unknown rule.
    """
    if isinstance(model, (nn.Linear, nn.Conv2d)):
        return model if isinstance(model, _Feedback) else _with_feedback(model, None, rule, scale)
    before = sum(isinstance(m, _Feedback) for m in model.modules())
    for parent in list(model.modules()):
        for (name, child), (after, unit) in pairwise([*parent.named_children(), ("", None)]):
            if type(child) is nn.Linear or type(child) is nn.Conv2d:
                taken = rule == "local" and isinstance(parent, nn.Sequential) and isinstance(unit, ELEMENTWISE)
                setattr(parent, name, _with_feedback(child, unit if taken else None, rule, scale))
                if taken:
                    setattr(parent, after, nn.Identity())
    if sum(isinstance(m, _Feedback) for m in model.modules()) == before:
        raise ValueError(f"{type(model).__name__} has no nn.Linear or nn.Conv2d to be converted")
    return model


def _with_feedback(
    layer: nn.Linear | nn.Conv2d, activation: Callable[[Tensor], Tensor] | None, rule: str, scale: float
) -> "FeedbackLinear | FeedbackConv2d":
    """A feedback layer that has the very parameters of this one."""
    new: FeedbackLinear | FeedbackConv2d
    options: dict[str, Any] = {
        "bias": layer.bias is not None,
        "activation": activation,
        "rule": rule,
        "scale": scale,
        "device": layer.weight.device,
        "dtype": layer.weight.dtype,
    }
    if isinstance(layer, nn.Linear):
        new = FeedbackLinear(layer.in_features, layer.out_features, **options)
    else:
        shared = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        options |= {name: getattr(layer, name) for name in shared}
        new = FeedbackConv2d(layer.in_channels, layer.out_channels, **options)
    new.weight, new.bias = layer.weight, layer.bias
    return new.train(layer.training)


def angles(model: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """For each feedback layer but the topmost, by its name: the angle in degrees between the teaching signal that arrives at
    its output and the one that backprop would send, a mean over the examples of x. `loss(model(x))` is a number."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, _Feedback)}

    def arriving(transport: bool) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        hooks = [
            m.register_forward_hook(lambda _, __, y, name=name: outputs.__setitem__(name, y)) for name, m in layers.items()
        ]
        kept = {name: m.transport for name, m in layers.items()}
        try:
            for m in layers.values():
                m.transport = transport
            with torch.enable_grad():
                signals = torch.autograd.grad(loss(model(x)), list(outputs.values()))
        finally:
            for hook in hooks:
                hook.remove()
            for name, m in layers.items():
                m.transport = kept[name]
        return dict(zip(outputs, signals, strict=True))

    ours, backprops = arriving(False), arriving(True)
    cosines = {
        name: functional.cosine_similarity(ours[name].flatten(1).double(), backprops[name].flatten(1).double())
        for name in list(ours)[:-1]
    }
    return {name: float(torch.rad2deg(torch.acos(c.clamp(-1, 1))).mean()) for name, c in cosines.items()}
