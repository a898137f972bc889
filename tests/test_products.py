"""However the products of learning are taken, they are those of the matrices: to the bit where the numbers allow it."""

import numpy as np
import pytest
import torch

from fa_core import fused, products
from fa_core.draws import generator
from fa_core.network import initialise
from fa_core.products import OneDNN, Rounded, add_outer, affine, round_to_bfloat16
from fa_core.rules import RULES, rule
from fa_core.training import Run, step, train
from tests.helpers import linear_experiment, same, tanh_experiment

KINDS = ("", "oneDNN", "bfloat16")
SHAPES = [(1, 6, 5, 3), (3, 7, 33, 129), (1, 32, 300, 10), (1, 100, 515, 257)]  # runs, batch, n_in, n_out


@pytest.fixture(params=[False, True], ids=["float32", "bfloat16"])
def arithmetic(request, monkeypatch):
    """A processor without arithmetic for bfloat16, and one that has it."""
    monkeypatch.setattr(products, "HAS_BFLOAT16", request.param)
    return torch.bfloat16 if request.param else torch.float32


def integers(*shape: int, seed: int = 0):
    """Small enough that every sum is exact in float32, whatever its order; the factors are exact in bfloat16 as well."""
    return torch.randint(-8, 9, shape, generator=generator(seed, "integers")).float()


@pytest.mark.parametrize(("runs", "batch", "n", "n_out"), SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_exact_products_where_there_is_nothing_to_round(kind, runs, batch, n, n_out, arithmetic):
    x, d, m = integers(runs, batch, n), integers(runs, batch, n_out, seed=1), integers(runs, n, n_out, seed=2)
    b, mask = integers(runs, 1, n_out, seed=3), (integers(n, n_out, seed=4) > 0).float()[None]

    def rounded(a):
        return a.bfloat16().float() if kind == "bfloat16" else a

    taken = products.of(m.clone(), kind)
    assert taken.shape == m.shape
    assert taken.mT.shape == m.mT.shape
    assert torch.equal(x @ taken, rounded(x @ m))
    assert torch.equal(d @ taken.mT, rounded(d @ m.mT))
    assert torch.equal(x @ taken.mT.mT, rounded(x @ m))
    assert torch.equal(affine(x, taken, b), rounded(x @ m) + b)
    for given, shrink in ((None, 1.0), (mask, 0.5)):
        W = m.clone()
        taken = products.of(W, kind)
        add_outer(taken, x, d, shrink, 0.25, given)
        wanted = shrink * m + 0.25 * rounded(x.mT @ d)
        assert torch.equal(W, wanted if given is None else wanted * given)
        assert torch.equal(x @ taken, x @ products.of(W, kind)), "it has noticed that it changed"


@pytest.mark.parametrize("streams", [1, 31, 32, 100])
@pytest.mark.parametrize("kind", ["oneDNN", "bfloat16"])
def test_without_an_axis_of_runs(kind, streams):
    a, b, m = integers(streams, 600), integers(streams, 70, seed=1), integers(600, 70, seed=2)

    def rounded(x):
        return x.bfloat16().float() if kind == "bfloat16" else x

    W = m.clone()
    taken = products.of(W, kind)
    assert torch.equal(a @ taken, rounded(a @ m))
    assert torch.equal(b @ taken.mT, rounded(b @ m.mT))
    add_outer(taken, a, b, 1.0, -0.5)
    assert torch.equal(W, m - 0.5 * rounded(a.mT @ b))


def test_a_rounded_matrix_gives_the_product_of_the_numbers_rounded_to_bfloat16(arithmetic):
    assert round_to_bfloat16(torch.ones(1)).dtype == arithmetic
    g = torch.Generator().manual_seed(0)
    x, m = torch.randn(2, 7, 5, generator=g), torch.randn(2, 5, 3, generator=g)
    for product, matrix in ((x @ Rounded(m), m), (x @ Rounded(m.mT.contiguous()).mT, m)):
        exact = x.bfloat16().double() @ matrix.bfloat16().double()
        assert product.dtype == x.dtype
        torch.testing.assert_close(product.double(), exact, rtol=2**-8, atol=1e-6)
        assert not torch.equal(product, x @ matrix)


@pytest.mark.parametrize("name", ["backprop", "feedback alignment"])
def test_every_product_of_a_step_is_of_rounded_numbers_and_all_else_is_not(name, arithmetic):
    experiment = linear_experiment(
        sizes=(6, 5, 4, 3),
        rule=name,
        weights=0.5,
        hidden="tanh",
        dtype="float32",
        batch=10,
        weight_decay=0.1,
        products="bfloat16",
    )
    net, rate = initialise(experiment, (3,)), 0.3
    W, b = [w.clone() for w in net.W], [a.clone() for a in net.b]
    g = torch.Generator().manual_seed(1)
    x, target = torch.randn(1, 10, 6, generator=g), torch.randn(1, 10, 3, generator=g)
    step(experiment, net.taking("bfloat16"), rule(name), x, target, (rate,) * 3)

    def times(a, m):
        return (a.bfloat16() @ m.bfloat16()).float()

    h = [x]
    for i, unit in enumerate((torch.tanh, torch.tanh, lambda a: a)):
        h.append(unit(times(h[-1], W[i]) + b[i]))
    slope = [1 - h[1] ** 2, 1 - h[2] ** 2, 1.0]
    delta = [target - h[3]]
    for i in (2, 1):
        down = times(delta[0] * slope[i], W[i].mT) if name == "backprop" else times(delta[0], net.B[i - 1])
        delta.insert(0, down)
    for i in range(3):
        d = delta[i] * slope[i]
        wanted = (1 - rate * 10 * 0.1) * W[i] + rate * times(h[i].mT, d)
        # As far as rounding the other way in a sum in float32 goes; products that are not rounded are off by 1e-3.
        torch.testing.assert_close(net.W[i], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shrink", [1.0, 1 - 1e-9, 0.9])
@pytest.mark.parametrize("n", [1, 7, 16, 33 * 129])
@pytest.mark.parametrize("masked", [False, True])
def test_an_update_in_one_pass_is_to_the_bit_that_in_four(n, shrink, masked):
    g = generator(0, "pass")
    W, P = torch.randn(n, generator=g), torch.randn(n, generator=g).bfloat16()
    W[: n // 3] *= 1e-38  # and numbers that are hardly there
    mask = (torch.rand(n, generator=g) < 0.5).float() if masked else None
    half, wanted = W.bfloat16(), W.clone()
    wanted.mul_(shrink).add_(P, alpha=-0.3)
    if masked:
        wanted.mul_(mask)
    before = W._version
    fused.add(W, half, P, shrink, -0.3, mask)
    assert W.numpy().tobytes() == wanted.numpy().tobytes()
    assert torch.equal(half, wanted.bfloat16())
    assert W._version > before, "who else keeps something of W would not notice"


def test_what_diverged_is_rounded_to_what_diverged():
    bits = torch.tensor([0x7F800000, -0x800000, 0x7FFFFFFF, -1, 0x7F7FFFFF, 0x7FC00000], dtype=torch.int32)
    W = bits.view(torch.float32).clone()
    half = torch.zeros(6).bfloat16()
    fused.add(W, half, torch.zeros(6).bfloat16(), 1.0, 1.0)
    assert half.isnan().tolist() == [False, False, True, True, False, True]
    assert half[[0, 1, 4]].tolist() == [np.inf, -np.inf, np.inf], "the last is beyond the largest number"


def test_a_step_in_one_pass_is_to_the_bit_that_of_several(monkeypatch):
    experiment = tanh_experiment(
        sizes=(37, 61, 45, 10),
        momentum=0.0,
        dtype="float32",
        batch=50,
        products="bfloat16",
        density=(0.5, 1.0, 1.0),
        feedback_density=None,
        weight_decay=1e-3,
        seeds=(0, 1),
    )
    runs = []
    for fits in (fused.fits, lambda *_: False):
        monkeypatch.setattr(fused, "fits", fits)
        runs.append(Run(experiment, (0, 1)))
        runs[-1].advance()
    for one, other in zip(*(run.network.W for run in runs), strict=True):
        assert torch.equal(one, other)


def test_a_change_from_elsewhere_is_noticed():
    m = integers(1, 40, 30)
    taken, x = Rounded(m), integers(1, 10, 40, seed=1)
    m.mul_(2)
    assert torch.equal(x @ taken, (x @ m).bfloat16().float())


@pytest.mark.parametrize("kind", [OneDNN, Rounded])
def test_a_matrix_is_for_products_alone(kind):
    with pytest.raises(TypeError):
        torch.ones(1, 2, 2) + kind(torch.ones(1, 2, 2))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if not rule.changes_feedback()])
@pytest.mark.parametrize("kind", ["oneDNN", "bfloat16"])
@pytest.mark.parametrize(
    "changes", [{}, {"dropout": (0.2, 0.5, 0.0)}, {"density": (1.0, 0.5, 0.7)}], ids=["", "dropout", "masked"]
)
def test_learning_is_near_that_with_plain_products_by_every_rule(name, kind, changes):
    experiment = tanh_experiment(
        rule=name,
        momentum=0.0,
        dtype="float32",
        batch=100,
        probes=(0, 3000),
        density=None,
        feedback_density=None,
        weight_decay=1e-4,
    ).but(**changes)
    exact, other = (train(experiment.but(products=p)) for p in ("", kind))
    assert not same(exact, other)
    fell = exact["loss"][:, 0] - exact["loss"][:, 1]
    assert (fell > 0).all()
    apart = 1e-4 if kind == "oneDNN" else 0.05
    np.testing.assert_allclose(other["loss"][:, 1], exact["loss"][:, 1], atol=apart * fell.min())


@pytest.mark.parametrize("kind", ["oneDNN", "bfloat16"])
def test_a_seeds_result_does_not_depend_on_the_runs_beside_it(kind):
    experiment = tanh_experiment(
        sizes=(12, 300, 70, 4),
        momentum=0.0,
        dtype="float32",
        batch=50,
        density=None,
        feedback_density=None,
        products=kind,
        snapshots=("W0", "W1", "W2"),
        snapshot_units=None,
        snapshot_runs=None,
        seeds=(0, 1, 2),
    )
    runs = [Run(experiment, seeds) for seeds in ((0, 1, 2), (1,))]
    for run in runs:
        run.advance()
    for together, alone in zip(*(run.network.W for run in runs), strict=True):
        assert torch.equal(together[1], alone[0])


def test_what_is_not_there_is_refused_when_it_is_described():
    with pytest.raises(ValueError, match="products 'oneDNN' are in float32, not in float64"):
        linear_experiment(products="oneDNN")
    for kind in ("oneDNN", "bfloat16"):
        with pytest.raises(ValueError, match=f"products '{kind}' are not there with momentum"):
            linear_experiment(products=kind, momentum=0.9, dtype="float32")
