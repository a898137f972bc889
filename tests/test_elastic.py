"""Elastic distortions: each part by hand, the stated strength in pixels, the same draws whatever device and precision."""

import math

import pytest
import torch

from fa_core.data import elastic, mnist
from fa_core.draws import generator

NONE = {"alpha": 0.0, "rotation": 0.0, "scaling": 0.0, "shift": 0.0}


def rng(seed=0):
    return generator(seed, "distortions")


@pytest.fixture(scope="module")
def digits():
    return torch.tensor(mnist.standardise(mnist.load("test").images[:40]))


def constant(n, down, right, side=28):
    return torch.tensor([float(down), float(right)])[None, :, None, None].expand(n, 2, side, side)


# ---- warping, by hand


def test_a_pixel_takes_its_value_from_where_the_displacement_says():
    image = torch.arange(12.0 * 12).reshape(1, 12, 12)
    moved = elastic.warp(image, constant(1, 2, -3, 12), fill=-7.0)
    torch.testing.assert_close(moved[0, :10, 3:], image[0, 2:, :9], rtol=0, atol=1e-4)
    assert (moved[0, 10:] == -7).all()
    assert (moved[0, :, :3] == -7).all()


def test_between_pixels_the_image_is_interpolated_and_at_the_border_with_the_background():
    image = torch.tensor([[[0.0, 4.0], [8.0, 0.0]]])
    half_right = elastic.warp(image, constant(1, 0, 0.5, 2), fill=2.0)
    torch.testing.assert_close(half_right, torch.tensor([[[2.0, 3.0], [4.0, 1.0]]]))
    quarter_down = elastic.warp(image, constant(1, 0.25, 0, 2), fill=2.0)
    torch.testing.assert_close(quarter_down, torch.tensor([[[2.0, 3.0], [6.5, 0.5]]]))


def test_each_image_has_a_displacement_of_its_own():
    image = torch.rand(1, 6, 6, generator=rng()).expand(2, 6, 6)
    moved = elastic.warp(image, torch.cat([constant(1, 0, 0, 6), constant(1, 0, 1, 6)]))
    torch.testing.assert_close(moved[0], image[0])
    torch.testing.assert_close(moved[1, :, :5], image[0, :, 1:])


# ---- distorting


def test_nothing_is_changed_where_nothing_is_asked_for(digits):
    torch.testing.assert_close(elastic.distort(digits, rng(), fill=-0.4, **NONE), digits, rtol=0, atol=2e-5)


@pytest.mark.parametrize("part", [{"alpha": 36.0}, {"rotation": 7.5}, {"scaling": 0.15}, {"shift": 1.0}], ids=str)
def test_each_part_changes_the_digits_by_itself(digits, part):
    changed = elastic.distort(digits, rng(), fill=float(digits.min()), **{**NONE, **part})
    assert ((changed - digits).abs().amax(1) > 0.1).float().mean() > 0.9  # but for who draws a number near 0


def test_a_seed_means_the_same_bits_and_another_seed_others(digits):
    before = digits.clone()
    a, b = (elastic.distort(digits, rng(1), fill=-0.4) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, elastic.distort(digits, rng(2), fill=-0.4))
    assert torch.equal(digits, before)
    g = rng(1)
    assert torch.equal(elastic.distort(digits, g, fill=-0.4), a)
    assert not torch.equal(elastic.distort(digits, g, fill=-0.4), a)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 2e-5), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)])
def test_any_precision_gets_the_same_distortions(digits, dtype, tolerance):
    ours = elastic.distort(digits.to(dtype), rng(), fill=-0.4)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.float(), elastic.distort(digits, rng(), fill=-0.4), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(0, 784), (1, 784), (2, 5, 784), (3, 100)], ids=str)
def test_any_number_and_any_size_of_images(shape):
    assert elastic.distort(torch.zeros(shape), rng(), fill=1.0).shape == shape


def test_images_in_runs_and_batches_are_distorted_as_one_row_of_images(digits):
    stacked = elastic.distort(digits.reshape(4, 10, 784), rng())
    assert torch.equal(stacked.reshape(40, 784), elastic.distort(digits, rng()))


def test_the_background_stays_the_background():
    flat = torch.full((50, 784), -0.4242)
    assert (elastic.distort(flat, rng(), fill=-0.4242) - flat).abs().max() < 1e-6


def test_digits_keep_their_ink_and_their_place(digits):
    ink = digits - digits.min()
    moved = elastic.distort(digits, rng(), fill=float(digits.min())) - digits.min()
    ratio = moved.sum(1) / ink.sum(1)
    assert 0.6 < ratio.min() < ratio.max() < 1.6
    assert abs(ratio.mean() - 1) < 0.1
    similar = torch.nn.functional.cosine_similarity(moved, ink)
    assert similar.min() > 0.1  # a thin 1 that moves by its own width
    assert 0.6 < similar.mean() < 0.9


def test_what_is_not_a_square_image_is_refused():
    with pytest.raises(ValueError, match="images of 785 pixels are not square"):
        elastic.distort(torch.zeros(2, 785), rng())


@pytest.mark.gpu
def test_on_a_gpu_a_seed_means_the_same_distortions(digits):
    there = elastic.distort(digits.cuda(), rng(), fill=-0.4)
    assert there.is_cuda
    torch.testing.assert_close(there.cpu(), elastic.distort(digits, rng(), fill=-0.4), rtol=0, atol=1e-4)


# ---- the elastic field


@pytest.mark.parametrize(("sigma", "alpha", "pixels"), [(6, 36, 0.977), (4, 34, 1.384), (5.5, 37, 1.096)])
def test_the_field_has_the_stated_strength_in_pixels_everywhere(sigma, alpha, pixels):
    assert elastic.strength(sigma, alpha) == pytest.approx(pixels, rel=1e-3)
    assert elastic.strength(sigma, alpha) == pytest.approx(alpha / (math.sqrt(12 * math.pi) * sigma), rel=1e-3)
    field = elastic.elastic(3000, 28, rng(), sigma, alpha)
    assert field.shape == (3000, 2, 28, 28)
    rms = field.square().mean(0).sqrt()  # of 3000: a standard error of 1.3 %
    assert (rms / pixels - 1).abs().max() < 0.06
    assert rms.mean().item() == pytest.approx(pixels, rel=0.01)
    assert field.abs().max() < alpha
    assert field.mean().abs() < 0.01 * pixels


def test_the_field_is_as_smooth_as_the_gaussian_makes_it_along_both_axes():
    field = elastic.elastic(3000, 28, rng(), 4.0)
    for axis in (2, 3):
        for d in (1, 4, 8):
            a, b = (field.movedim(axis, 0)[i] for i in (10, 10 + d))
            correlation = (a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()
            assert correlation.item() == pytest.approx(math.exp(-d * d / (4 * 4.0**2)), abs=0.04)
    assert torch.corrcoef(torch.stack([field[:, 0, 14, 14], field[:, 1, 14, 14]]))[0, 1].abs() < 0.06


def test_smoothing_is_a_convolution_with_the_gaussian_far_from_the_border():
    impulse = torch.zeros(41)
    impulse[20] = 1
    expected = torch.exp(-0.5 * ((torch.arange(41.0) - 20) / 2) ** 2) / (2 * math.sqrt(2 * math.pi))
    inside = slice(12, 29)
    torch.testing.assert_close((elastic.smoother(41, 2.0) @ impulse)[inside], expected[inside], rtol=1e-4, atol=1e-6)
    assert elastic.gaussian(6.0).sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan])
def test_a_gaussian_without_width_is_refused(sigma):
    with pytest.raises(ValueError, match="wanted a number of pixels above 0"):
        elastic.elastic(1, 28, rng(), sigma)


# ---- the linear map


def test_rotation_alone_keeps_distances_and_reaches_its_bound_and_not_more():
    at = elastic.affine(2000, 5, rng(), rotation=10, scaling=0, shift=0)[:, :, 2, 4]  # of the point (0, 2)
    at[:, 1] += 2
    torch.testing.assert_close(at.norm(dim=1), torch.full((2000,), 2.0))
    below = elastic.affine(2000, 5, rng(), rotation=10, scaling=0, shift=0)[:, :, 4, 2]  # of the point (2, 0)
    below[:, 0] += 2
    torch.testing.assert_close(below, torch.stack([at[:, 1], -at[:, 0]], 1))  # turned by the same angle
    angle = torch.rad2deg(torch.atan2(at[:, 0], at[:, 1]))
    assert (angle.min().item(), angle.max().item()) == (pytest.approx(-10, abs=0.1), pytest.approx(10, abs=0.1))


def test_scaling_alone_stretches_each_axis_by_a_factor_of_its_own():
    d = elastic.affine(2000, 5, rng(), rotation=0, scaling=0.2, shift=0)
    down, right = 2 / (2 + d[:, 0, 4, 2]), 2 / (2 + d[:, 1, 2, 4])
    for factor in (down, right):
        assert (factor.min().item(), factor.max().item()) == (pytest.approx(0.8, abs=2e-3), pytest.approx(1.2, abs=2e-3))
    assert torch.corrcoef(torch.stack([down, right]))[0, 1].abs() < 0.07
    assert d[:, 0, 2].abs().max() == d[:, 1, :, 2].abs().max() == 0  # the lines through the centre stay


def test_an_image_is_rotated_first_and_then_stretched():
    d = elastic.affine(200, 5, rng(), rotation=20, scaling=0.3, shift=0)
    below = d[:, :, 4, 2] + torch.tensor([2.0, 0.0])
    right = d[:, :, 2, 4] + torch.tensor([0.0, 2.0])
    # The way back takes the axes of the new image to directions at a right angle to each other, of different lengths.
    assert (below * right).sum(1).abs().max() < 1e-5
    assert (below.norm(dim=1) - right.norm(dim=1)).abs().max() > 0.5


def test_shift_alone_moves_the_whole_image_by_up_to_its_bound():
    d = elastic.affine(2000, 5, rng(), rotation=0, scaling=0, shift=1.5)
    assert torch.equal(d, d[:, :, :1, :1].expand_as(d))
    for axis in d[:, :, 0, 0].T:
        assert (axis.min().item(), axis.max().item()) == (pytest.approx(-1.5, abs=0.01), pytest.approx(1.5, abs=0.01))


@pytest.mark.parametrize("scaling", [-0.1, 1.0])
def test_a_scaling_that_could_turn_an_image_inside_out_is_refused(scaling):
    with pytest.raises(ValueError, match="wanted a fraction from 0 to below 1"):
        elastic.affine(1, 28, rng(), scaling=scaling)
