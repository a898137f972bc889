"""The layers to take away do what the engine does, and what PyTorch wants of a layer."""

import copy
import io

import pytest
import torch
from torch import nn

from fa_core.network import initialise, update
from fa_core.nn import DirectFeedback, FeedbackConv2d, FeedbackLinear, angles, convert
from fa_core.rules import rule
from tests.helpers import linear_experiment

OURS = {"local": "feedback alignment", "gated": "feedback alignment, gated"}


def squared(target):
    """e'e / 2, summed over the examples, as the engine has it."""
    return lambda y: ((target - y) ** 2).sum() / 2


@pytest.mark.parametrize("name", OURS)
def test_ten_steps_are_those_of_the_engine(name):
    experiment = linear_experiment(
        sizes=(7, 6, 5, 3), hidden="tanh", output="logistic", dtype="float64", weights=0.5, feedback=0.5, seeds=(3,)
    )
    engine = initialise(experiment, (3,))
    units = (torch.tanh, torch.tanh, torch.sigmoid)
    model = nn.Sequential(
        *(
            FeedbackLinear(*w.shape[1:], activation=f, rule=name, dtype=torch.float64)
            for w, f in zip(engine.W, units, strict=True)
        )
    )
    with torch.no_grad():
        for layer, w, b in zip(model, engine.W, engine.b, strict=True):
            layer.weight.copy_(w[0].T)
            layer.bias.copy_(b[0, 0])
        for layer, B in zip(model[1:], engine.B, strict=True):
            layer.B.copy_(B[0])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    g = torch.Generator().manual_seed(0)
    for _ in range(10):
        x, target = (torch.rand(4, n, generator=g, dtype=torch.float64) for n in (7, 3))
        h = engine.forward(x[None])
        slopes = engine.slopes(h)
        update(engine, h, slopes, rule(OURS[name])(target[None] - h[-1], slopes, engine.W[1:], engine.B), (0.1,) * 3)
        optimiser.zero_grad()
        squared(target)(model(x)).backward()
        optimiser.step()
        for layer, w, b in zip(model, engine.W, engine.b, strict=True):
            torch.testing.assert_close(layer.weight.detach(), w[0].T, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(layer.bias.detach(), b[0, 0], rtol=1e-12, atol=1e-14)


def layers(gated=True):
    torch.manual_seed(0)
    options = {"activation": torch.tanh, "rule": "gated" if gated else "local", "dtype": torch.float64}
    return {
        "linear": (FeedbackLinear(5, 4, **options), torch.randn(3, 5, dtype=torch.float64)),
        "sequences": (FeedbackLinear(5, 4, **options), torch.randn(2, 3, 5, dtype=torch.float64)),
        "convolution": (FeedbackConv2d(4, 6, 3, 2, 1, 1, 2, **options), torch.randn(2, 4, 7, 6, dtype=torch.float64)),
    }


@pytest.mark.parametrize("kind", layers())
def test_with_the_transpose_for_feedback_the_gated_rule_is_the_gradient(kind):
    layer, x = layers()[kind]
    layer.B.copy_(layer.weight.detach())
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))
    parameters = dict(layer.named_parameters())
    assert torch.autograd.gradcheck(
        lambda *p: torch.func.functional_call(layer, dict(zip(parameters, p, strict=True)), x), tuple(parameters.values())
    )


@pytest.mark.parametrize("kind", layers())
def test_the_local_rule_sends_no_derivative_on_and_learns_with_its_own(kind):
    local, x = layers(gated=False)[kind]
    gated = layers()[kind][0]
    delta = torch.randn_like(local(x))
    found = []
    for layer in (local, gated):
        layer.zero_grad()
        mine = x.clone().requires_grad_()
        layer(mine).backward(delta)
        found.append((mine.grad, layer.weight.grad, layer.bias.grad))
    torch.testing.assert_close(found[0][1:], found[1][1:])
    linear = copy.deepcopy(gated)
    linear.activation, linear.B = None, local.B
    mine = x.clone().requires_grad_()
    linear(mine).backward(delta)
    torch.testing.assert_close(found[0][0], mine.grad)
    assert not torch.allclose(found[0][0], found[1][0])


@pytest.mark.parametrize("kind", layers())
def test_feedback_is_a_buffer_that_nothing_changes(kind, tmp_path):
    layer, x = layers(gated=False)[kind]
    B = layer.B.clone()
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.5)
    layer(x.requires_grad_()).sum().backward()
    optimiser.step()
    assert torch.equal(layer.B, B)
    assert layer.B.grad is None
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    other = layers(gated=False)[kind][0]
    other.B.zero_()
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert torch.equal(other.B, B)
    twin = copy.deepcopy(layer)
    twin.B.zero_()
    assert torch.equal(layer.B, B)
    assert layer.to("meta").B.device.type == "meta"


@pytest.mark.parametrize("name", OURS)
def test_it_compiles_and_learns_in_bfloat16(name):
    torch.manual_seed(0)
    model = nn.Sequential(FeedbackLinear(6, 8, activation=torch.tanh, rule=name), FeedbackLinear(8, 3, rule=name))
    x, target = torch.randn(5, 6), torch.randn(5, 3)
    squared(target)(model(x)).backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch._dynamo.reset()
    squared(target)(torch.compile(model, backend="aot_eager", fullgraph=True)(x)).backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], plain)
    half = copy.deepcopy(model).to(torch.bfloat16)
    half.zero_grad()
    squared(target.bfloat16())(half(x.bfloat16())).backward()
    for p, g in zip(half.parameters(), plain, strict=True):
        assert p.grad.dtype == torch.bfloat16
        torch.testing.assert_close(p.grad.float(), g, rtol=0.1, atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        model.zero_grad()
        squared(target)(model(x)).backward()
    torch.testing.assert_close([p.grad for p in model.parameters()], plain, rtol=0.1, atol=0.1)


def test_direct_feedback_sends_the_error_to_every_hidden_stage():
    torch.manual_seed(0)
    x, target = torch.randn(4, 1, 6, 6), torch.randn(4, 3)
    stages = (
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh()),
        nn.Sequential(nn.Flatten(), nn.Linear(32, 5), nn.Tanh()),
        nn.Linear(5, 3),
    )
    model = DirectFeedback(*stages, example=x[:1])
    assert [b.shape for b in model.buffers()] == [(3, 32), (3, 5)]
    assert model.B0.abs().max() <= 3**-0.5
    y = model(x)
    torch.testing.assert_close(y, stages[2](stages[1](stages[0](x))))
    squared(target)(y).backward()
    e = (y - target).detach()
    for i, (stage, below) in enumerate(((stages[0], x), (stages[1], stages[0](x).detach()))):
        h = stage(below)
        by_hand = torch.autograd.grad(h, list(stage.parameters()), (e @ getattr(model, f"B{i}")).view(h.shape))
        torch.testing.assert_close([p.grad for p in stage.parameters()], list(by_hand))
    torch.testing.assert_close(stages[2].weight.grad, e.T @ stages[1](stages[0](x)).detach())
    with pytest.raises(ValueError, match="hidden stages and one of outputs, got 1"):
        DirectFeedback(stages[0], example=x)


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10), nn.Tanh(), nn.Linear(10, 3))


@pytest.mark.parametrize("name", OURS)
def test_a_converted_model_computes_the_same_and_keeps_its_parameters(name):
    model, x = convolutional(), torch.randn(2, 1, 8, 8)
    before, parameters = model(x), list(model.parameters())
    assert convert(model, name) is model
    torch.testing.assert_close(model(x), before)
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert [type(m) for m in model if hasattr(m, "B")] == [FeedbackConv2d, FeedbackLinear, FeedbackLinear]
    assert [type(m) for m in (model[1], model[4])] == ([nn.Identity] * 2 if name == "local" else [nn.ReLU, nn.Tanh])
    assert {m.rule for m in model if hasattr(m, "B")} == {name}
    assert convert(nn.Linear(3, 2), name).B.shape == (2, 3)


def test_a_layer_that_stands_twice_is_one_layer_still_and_no_weights_are_transported_anywhere():
    layer, unit = nn.Linear(5, 5), nn.Tanh()
    model, x = nn.Sequential(layer, unit, layer, unit, nn.Sequential(layer, nn.Tanh()), nn.Linear(5, 3)), torch.randn(2, 5)
    before, seen = model(x), []
    layer.register_forward_hook(lambda *_: seen.append(1))
    convert(model)
    torch.testing.assert_close(model(x), before)
    assert model[0] is model[2] is model[4][0] is layer, "in all its places, and with its hooks"
    assert len(seen) == 3
    assert [type(m) for m in (*model[:4], *model[4])] == [FeedbackLinear, nn.Identity] * 3
    assert isinstance(layer.activation, nn.Tanh)
    # Were W transported anywhere, the signal at the inputs would know of it.
    x.requires_grad_()
    (sent,) = torch.autograd.grad(model(x).sum(), x)
    expected = torch.ones(2, 3) @ model[5].B
    for _ in range(3):
        expected = expected @ layer.B
    torch.testing.assert_close(sent, expected)


def test_a_layer_with_several_units_can_only_be_gated():
    layer = nn.Linear(5, 5)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.ReLU())
    with pytest.raises(
        ValueError, match=r"Linear\(.* is followed by several units: give each a layer of its own, or rule='g"
    ):
        convert(model)
    assert type(layer) is nn.Linear, "and then nothing is changed"
    assert type(convert(model, "gated")[0]) is FeedbackLinear


def test_layers_of_another_kind_are_named():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with pytest.warns(UserWarning, match=r"backprop goes on through them: self_attn, self_attn\.out_proj$"):
        convert(block)
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 2))
    with pytest.warns(UserWarning, match=r"through them: 0$"):
        convert(normed)


def test_angles_are_of_the_layers_that_lead_to_the_loss():
    model, beside = convert(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))), FeedbackLinear(4, 2)
    both = nn.ModuleDict({"model": model, "beside": beside})
    both.forward = lambda x: (beside(x), model(x))[1]
    found = angles(both, torch.randn(6, 4), lambda y: y.square().sum())
    assert list(found) == ["model.0", "model.1"]
    with pytest.raises(ValueError, match="no layer with feedback leads to the loss: `convert` makes them"):
        angles(nn.Linear(4, 2), torch.randn(6, 4), lambda y: y.square().sum())


def test_a_converted_model_learns_and_comes_to_align_and_without_feedback_it_does_not():
    def learned(scale):
        torch.manual_seed(1)
        model = convert(nn.Sequential(nn.Linear(30, 20, bias=False), nn.Linear(20, 10, bias=False)), scale=scale)
        with torch.no_grad():
            for layer in model:
                layer.weight.mul_(0.1)
            T, probe = torch.randn(10, 30), torch.randn(200, 30)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.005)
        before = angles(model, probe, squared(probe @ T.T)) if scale else None
        for _ in range(3000):
            x = torch.randn(1, 30)
            optimiser.zero_grad()
            squared(x @ T.T)(model(x)).backward()
            optimiser.step()
        e = (probe @ T.T - model(probe)).detach()
        return before, angles(model, probe, squared(probe @ T.T)), float((e**2).sum() / ((probe @ T.T) ** 2).sum())

    before, after, nse = learned(2.0)
    assert before["0"] == pytest.approx(90, abs=15)
    assert after["0"] < 45
    assert nse < 0.01
    assert learned(0.0)[2] > 0.2


def test_the_angle_to_backprop_is_nought_where_feedback_is_the_transpose_and_straight_where_it_is_turned():
    x, target = torch.randn(6, 1, 8, 8), torch.randn(6, 3)
    model = convert(convolutional(), "gated")
    for sign, degrees in ((1, 0), (-1, 180)):
        model[5].B.copy_(sign * model[5].weight.detach())
        model[3].B.copy_(model[3].weight.detach())
        found = angles(model, x, squared(target))
        assert found == {"0": pytest.approx(degrees, abs=0.1), "3": pytest.approx(degrees, abs=0.1)}
    assert not any(m.transport for m in model if hasattr(m, "B"))


def test_angles_of_signals_however_small_and_whatever_drew_them():
    x = torch.randn(6, 8, dtype=torch.float64)
    model = nn.Sequential(nn.Linear(8, 9), nn.Tanh(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    model = convert(model, "gated")
    found = [angles(model, x, lambda y, size=size: size * y.square().sum()) for size in (1.0, 1e-12)]
    assert found[0] == pytest.approx(found[1])
    assert angles(torch.compile(model, backend="eager"), x, lambda y: y.square().sum()) == pytest.approx(found[0])
    model[0].requires_grad_(False)
    assert angles(model, x, lambda y: y.square().sum()) == pytest.approx({"2": found[0]["2"]})


def test_angles_leave_a_model_as_it_was():
    model = convert(nn.Sequential(nn.Linear(8, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3)), "gated")
    before = copy.deepcopy(model.state_dict())
    angles(model, torch.randn(6, 8), squared(torch.randn(6, 3)))
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)


activations = nn.modules.activation
UNITS = [u for u in vars(activations).values() if isinstance(u, type) and u.__module__ == activations.__name__]
# Those that look at several numbers at once, and one that wants arguments.
OTHERS = ("GLU", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax", "Threshold")


@pytest.mark.parametrize("unit", [u for u in UNITS if u.__name__ not in OTHERS])
def test_by_the_local_rule_no_derivative_of_any_unit_travels(unit):
    x, found = torch.randn(5, 4, dtype=torch.float64), []
    for name in OURS:
        torch.manual_seed(0)
        units = [unit(), unit()]
        model = convert(nn.Sequential(nn.Linear(4, 6), units[0], nn.Linear(6, 6), units[1], nn.Linear(6, 2)).double(), name)
        assert sum(isinstance(m, nn.Identity) for m in model) == 2 * (name == "local")
        mine = x.clone().requires_grad_()
        model(mine).sum().backward()
        found.append(mine.grad)
    assert unit is nn.RReLU or not torch.allclose(*found)


def test_angles_are_of_the_same_units_where_some_drop_out():
    model = convert(nn.Sequential(nn.Linear(8, 20), nn.Tanh(), nn.Dropout(0.5), nn.Linear(20, 3)), "gated")
    model[3].B.copy_(model[3].weight.detach())
    assert angles(model, torch.randn(6, 8), squared(torch.randn(6, 3))) == {"0": pytest.approx(0, abs=0.1)}


@pytest.mark.parametrize("name", OURS)
def test_what_follows_may_change_the_output_in_place(name):
    x, found = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)), []
    for inplace in (False, True):
        torch.manual_seed(0)
        stages = [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace), nn.Flatten(), nn.Linear(180, 20)]
        model = convert(nn.Sequential(*stages, nn.Linear(20, 2)), name)
        h = model[:5](x)
        h = h.add_(1) if inplace else h + 1
        model[5](torch.nn.functional.relu(h, inplace=inplace)).square().sum().backward()
        found.append([p.grad for p in model.parameters()])
    assert all(g.abs().sum() > 0 for g in found[0])
    torch.testing.assert_close(*found)


def test_one_image_is_a_batch_of_one():
    layer, x = layers()["convolution"]
    found = []
    for images in (x[:1], x[0]):
        images = images.clone().requires_grad_()
        layer.zero_grad()
        layer(images).square().sum().backward()
        found.append([images.grad.reshape(-1), layer.weight.grad])
    torch.testing.assert_close(*found)


def test_the_example_of_direct_feedback_is_not_learned_from():
    stages = [nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh()), nn.Linear(6, 2)]
    stages[1].eval()
    model = DirectFeedback(*stages, example=torch.randn(5, 4))
    assert stages[0][1].num_batches_tracked == 0
    assert [m.training for m in (model, *stages)] == [True, True, False]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeedbackLinear(2, 2, rule="direct"), "unknown rule 'direct'; there are: local, gated"),
        (
            lambda: FeedbackConv2d(1, 1, 3, padding="same"),
            "padding 'same' of mode 'zeros': feedback wants numbers, and zeros",
        ),
        (lambda: FeedbackConv2d(1, 1, 3, padding_mode="circular"), "of mode 'circular'"),
        (lambda: convert(nn.Linear(2, 2), "direct"), "unknown rule 'direct'"),
        (lambda: convert(nn.ReLU()), "ReLU has no nn.Linear or nn.Conv2d to be converted"),
    ],
    ids=["rule", "padding in words", "another padding", "rule, converted", "nothing to convert"],
)
def test_what_cannot_be_done_is_refused_and_told_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()
