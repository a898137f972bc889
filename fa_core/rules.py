"""Learning rules: how an error at the outputs becomes a teaching signal for every layer. Each rule is one object here.

A rule's equation is a function `signals(e, slopes, W, B) -> deltas` of

* `e`: error `y* - y`, `(runs, batch, n_out)`;
* `slopes`: `f_l'` of every layer from the first hidden one to the outputs, each `(runs, batch, n_l)`;
* `W`: the forward weights *above* each hidden layer, `W[l]` from layer `l` to `l + 1`, `(runs, n_l, n_{l+1})`;
* `B`: the feedback weights into each hidden layer, `(runs, n, n_l)` with n the units that send: see `Feedback`,

and returns one teaching signal for each layer, the outputs last. The layer's update is then, for every rule alike,

    dW = (delta o f')' h_below        (the three-factor rule of the paper's Methods)

so a rule says what *arrives* at a layer, and never what the layer makes of it. `None` means: no signal, no learning.

A rule of your own is a decorated function, and an experiment takes it as it is, `Experiment(rule=mine, ...)`::

    @learning_rule("mine", feedback=DIRECT)
    def mine(e, slopes, W, B):
        return [*(e @ b for b in B), e]

The equations use `@`, `*` and `.mT` alone, and one of them the pseudoinverse, so they work on NumPy arrays, on torch tensors
and on what stands for a tensor in `fa_core.products`. Five modules write feedback alignment out for themselves: `linear` as
an independent reference, `compiled` as loops over single examples, `flow` in continuous time, `spiking` for units that
integrate, `nn` as PyTorch's autograd wants it.
"""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

Array = Any  # of NumPy, of torch, or what stands for one in `fa_core.products`
Signals = list[Array]  # one for each layer, the outputs last; None where there is no signal


class Feedback(NamedTuple):
    """Between which layers feedback weights lie: one matrix `B[l]` into each hidden layer.

    shapes: from the sizes of all layers of units to the shape of each `B[l]`, (units that send, units that receive).
    forward: from W to the product of forward weights whose transpose each `B[l]` replaces, the one that a "weight angle"
    compares it with.
    """

    shapes: Callable[[tuple[int, ...]], list[tuple[int, int]]]
    forward: Callable[[list[Array]], list[Array]]


LAYERWISE = Feedback(lambda sizes: [(above, n) for n, above in pairwise(sizes[1:])], list)
DIRECT = Feedback(
    lambda sizes: [(sizes[-1], n) for n in sizes[1:-1]],
    lambda W: list(accumulate(reversed(W), lambda above, w: w @ above))[::-1],
)


class Chain(NamedTuple):
    """A rule whose signals go down layer by layer, in four words: all that the loops of `fa_core.compiled` understand."""

    through_W: bool = False  # through W' and not through B
    gated_outputs: bool = False  # the outputs' signal is sent on with their slope
    gated_below: bool = False  # those of the hidden layers are
    below_learns: bool = True  # the layers below the outputs learn


def _enclosed(f: Callable, within: tuple[Callable, ...] = ()) -> list[str]:
    """What a function has from where it was made: defaults, and the values of names of functions around it, as text. Raises
    ValueError for what has none of its own."""
    defaults: dict[Any, Any] = dict(enumerate(f.__defaults__ or ())) | (f.__kwdefaults__ or {})
    told, within = [], (*within, f)
    for name, value in (dict(inspect.getclosurevars(f).nonlocals) | defaults).items():
        if inspect.isfunction(value):
            told += [] if value in within else [inspect.getsource(value), *_enclosed(value, within)]
        elif hasattr(value, "__array__"):  # an array's text leaves out its middle
            told.append(f"{name} = {hashlib.sha256(repr(np.asarray(value).tolist()).encode()).hexdigest()}")
        elif " at 0x" in repr(value):  # another one each time
            raise ValueError(f"{f.__name__} uses {name} = {value!r} of where it was made: give numbers, arrays or functions")
        else:
            told.append(f"{name} = {value!r}")
    return told


@dataclass(frozen=True, eq=False)
class Rule:
    """One learning rule; calling it gives its teaching signals. Made by `learning_rule`."""

    name: str
    signals: Callable[..., Signals]  # its equation: see the module
    feedback: Feedback = LAYERWISE
    # Changes B, in place, after each step: `learn(B, h, d, rates, shrink)` with h and d = delta o f' of every layer from the
    # inputs and the first hidden layer on, and for each layer of W its rate and the factor that weight decay leaves of it.
    learn: Callable[..., None] | None = None
    # Ties B to W: `tie(W, B)` restores, in place, what holds between them: at the start, after each step and each new draw.
    tie: Callable[..., None] | None = None
    # For a rule that sends nothing through B: the rule whose signals are compared with backprop's in its place.
    compared: "Rule | None" = None
    chain: Chain | None = None  # None: there is no compiled loop for it

    def __post_init__(self) -> None:
        object.__setattr__(self, "__doc__", self.signals.__doc__)

    def __repr__(self) -> str:
        return f"<rule {self.name!r}>"

    def __call__(self, e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array] | None = None) -> list:
        return self.signals(e, slopes, W, B)

    def changes_feedback(self) -> bool:
        """Whether learning changes B."""
        return bool(self.learn or self.tie)

    def digest(self) -> str:
        """Twelve hexadecimal digits that change with the text of the rule's own functions and with what these enclose, but
        not with what they call. Raises ValueError where there is no text, or one of several functions."""
        parts = [f for f in (self.signals, self.learn, self.tie, *self.feedback) if f and f is not list]
        try:
            texts = [inspect.getsource(f) for f in parts]
            text = "\n".join([*texts, *(told for f in parts for told in _enclosed(f))])
        except (OSError, TypeError) as error:
            raise ValueError(
                f"the text of rule {self.name!r} is not to be found ({error}): define its functions in a file "
                "or in a notebook's cell"
            ) from error
        if self.signals.__name__ == "<lambda>" and texts[0].count("lambda") > 1:
            raise ValueError(f"rule {self.name!r} is one of several lambdas in a statement: make a function of it")
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def try_out(self) -> None:
        """Raises ValueError where, in a small network, the rule fails or does not give each layer a signal of its shape."""
        import torch

        sizes, g = (2, 3, 4, 5), torch.Generator().manual_seed(0)
        W = [torch.rand(1, *shape, generator=g) for shape in pairwise(sizes)]
        h = [torch.rand(1, 6, n, generator=g) for n in sizes]
        B = [torch.rand(1, *shape, generator=g) for shape in self.feedback.shapes(sizes)]
        where = f"rule {self.name!r}, tried on 6 examples in a network of 2-3-4-5 units,"
        try:
            deltas = list(self(h[-1], h[1:], W[1:], B))
            if self.learn:
                self.learn(B, h, deltas, (0.1,) * 3, (1.0,) * 3)
            if self.tie:
                self.tie(W[1:], B)
        except Exception as error:  # whatever somebody's rule may raise
            raise ValueError(f"{where} fails: {type(error).__name__}: {error}") from error
        if odd := [type(d).__name__ for d in deltas if d is not None and not isinstance(d, torch.Tensor)]:
            raise ValueError(f"{where} gives signals that are no tensors of PyTorch: {odd[0]}")
        found = [None if delta is None else tuple(delta.shape) for delta in deltas]
        wanted = [(1, 6, n) for n in sizes[1:]]
        if len(found) != 3 or any(f not in (None, w) for f, w in zip(found, wanted, strict=True)):
            raise ValueError(
                f"{where} gives signals of the shapes {found}: wanted {wanted}, or None for a layer that does not learn"
            )


def learning_rule(name: str, **options: Any) -> Callable[[Callable[..., Signals]], Rule]:
    """Make a `Rule` of that name of the function below; options: the other fields of `Rule`."""
    return lambda signals: Rule(name, signals, **options)


@learning_rule("feedback alignment", chain=Chain())
def feedback_alignment(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_out = e;  delta_l = B_l delta_{l+1}.  No derivative is passed on (Methods, Figs. 3-5)."""
    deltas = [e]
    for b in reversed(B):
        deltas.insert(0, deltas[0] @ b)
    return deltas


@learning_rule("backprop", compared=feedback_alignment, chain=Chain(True, True, True))
def backprop(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_out = e;  delta_l = W_l' (delta_{l+1} o f_{l+1}').  Derivatives travel down the chain."""
    deltas = [e]
    for w, slope in zip(reversed(W), reversed(slopes), strict=False):
        deltas.insert(0, (deltas[0] * slope) @ w.mT)
    return deltas


@learning_rule("feedback alignment, outputs gated", chain=Chain(gated_outputs=True))
def feedback_alignment_output_gated(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """As feedback alignment, but the outputs send `e o y'`; the chain below is not gated."""
    return [*feedback_alignment(e * slopes[-1], slopes, W, B)[:-1], e]


@learning_rule("feedback alignment, gated", chain=Chain(gated_outputs=True, gated_below=True))
def feedback_alignment_gated(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_l = B_l (delta_{l+1} o f_{l+1}'): backprop with W' replaced by B, as most public code has it."""
    return backprop(e, slopes, [b.mT for b in B])


@learning_rule("shallow", compared=feedback_alignment, chain=Chain(below_learns=False))
def shallow(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """Only the output weights learn."""
    return [None] * len(W) + [e]


@learning_rule("pseudobackprop", compared=feedback_alignment)
def pseudobackprop(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_l = W_l^+ (delta_{l+1} o f_{l+1}'): backprop with the pseudoinverse for the transpose (Note 15)."""
    return backprop(e, slopes, [pseudoinverse(w).mT for w in W])


@learning_rule("direct feedback alignment", feedback=DIRECT)
def direct_feedback_alignment(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_out = e;  delta_l = B_l e: straight from the outputs to every hidden layer (Nøkland 2016)."""
    return [*(e @ b for b in B), e]


@learning_rule("direct random target projection", feedback=DIRECT)
def direct_random_target_projection(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """delta_out = e;  delta_l = B_l y*: the target itself is sent, and no error (Frenkel et al. 2021). For targets of 0 and
    1, and outputs between them, by which y* = [e > 0]."""
    target = (e > 0) + 0 * e
    return [*(target @ b for b in B), e]


def signs_of_W(W: Sequence[Array], B: Sequence[Array]) -> None:
    """B_l <- abs(B_l) o sign(W_l'); where W is zero, B keeps the sign that it has."""
    for w, b in zip(W, B, strict=True):
        b[b * w.mT < 0] *= -1


@learning_rule("sign symmetry", tie=signs_of_W)
def sign_symmetry(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """As feedback alignment, gated, with the signs of W' in B and magnitudes drawn once (Liao et al. 2016, "frSF")."""
    return feedback_alignment_gated(e, slopes, W, B)


def as_W_learns(B: Sequence[Array], h: Sequence[Array], d: Signals, rates: Sequence[float], shrink: Sequence[float]) -> None:
    """dB_l = rate_l (sum over examples of (delta o f')_{l+1}' h_l), and W_l's decay: the transpose of W_l's own update."""
    for layer, b in enumerate(B, start=1):
        b *= shrink[layer]
        b += rates[layer] * (d[layer].mT @ h[layer])


@learning_rule("Kolen-Pollack", learn=as_W_learns)
def kolen_pollack(e: Array, slopes: Sequence[Array], W: Sequence[Array], B: Sequence[Array]) -> Signals:
    """As feedback alignment, gated, with B learning as W' does: the two meet as fast as weight decay takes their difference
    away (Kolen and Pollack 1994; Akrout et al. 2019)."""
    return feedback_alignment_gated(e, slopes, W, B)


def pseudoinverse(w: Array) -> Array:
    """Moore-Penrose inverse of the last two axes, for a NumPy array, a torch tensor or what stands for one.

    Singular values below `max(m, n) eps` times the largest, eps of w's own precision, count as 0: in float32 those of a
    product of low rank are 1e-7 of it, not 0. Of a matrix that is not finite, as of a run that diverged, it is NaN, and
    those beside it are whole.
    """
    if isinstance(w, np.ndarray):
        there = np.isfinite(w).all((-2, -1), keepdims=True)
        inverse = np.linalg.pinv(np.where(there, w, 0), max(w.shape[-2:]) * np.finfo(w.dtype).eps)
        return np.where(there, inverse, np.nan).astype(inverse.dtype)
    if hasattr(w, "pseudoinverse"):
        return w.pseudoinverse()
    import torch

    there = w.isfinite().all(-1).all(-1)[..., None, None]
    return torch.linalg.pinv(w.where(there, 0.0)).where(there, torch.nan)


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        backprop,
        feedback_alignment,
        feedback_alignment_output_gated,
        feedback_alignment_gated,
        shallow,
        pseudobackprop,
        direct_feedback_alignment,
        direct_random_target_projection,
        sign_symmetry,
        kolen_pollack,
    )
}


OWN: dict[str, Rule] = {}  # rules that experiments were given as objects; see `register`


def rule(named: str | Rule) -> Rule:
    """The rule of that name. Raises ValueError that lists the names there are."""
    if isinstance(named, Rule):
        return named
    try:
        return (RULES | OWN)[named]
    except KeyError:
        raise ValueError(f"unknown rule {named!r}; there are: {', '.join(RULES | OWN)}") from None


def register(own: Rule) -> str:
    """The name by which experiments know a rule: of one that is not of this module, with a digest of its text, so that two
    versions of it are never taken for each other. Raises ValueError where it cannot be run."""
    if RULES.get(own.name) is own:
        return own.name
    own.try_out()
    name = f"{own.name} ({own.digest()})"
    OWN[name] = own
    return name
