"""The measures obey the laws they are defined by."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fa_core import measures

vectors = arrays(float, 5, elements=st.floats(-1e3, 1e3)).filter(lambda v: np.linalg.norm(v) > 1e-3)


@given(vectors, vectors, st.floats(1e-3, 1e3))
def test_angle_is_symmetric_signed_and_ignores_scale(a, b, scale):
    found = measures.angle(a, b)
    assert 0 <= found <= 180
    assert measures.angle(b, a) == pytest.approx(found, abs=1e-6)
    assert measures.angle(scale * a, b) == pytest.approx(found, abs=1e-6)
    assert measures.angle(-a, b) == pytest.approx(180 - found, abs=1e-6)
    assert np.cos(np.radians(found)) == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)


def test_angle_exceeds_90_degrees_where_the_printed_formula_cannot():
    assert measures.angle(np.array([1.0, 0.0]), np.array([-1.0, 1.0])) == pytest.approx(135)


def test_angle_is_exact_near_zero_and_nan_for_no_vector():
    a = np.array([1.0, 0.0])
    assert measures.angle(a, np.array([1.0, 1e-10])) == pytest.approx(np.degrees(1e-10), rel=1e-6)
    assert np.isnan(measures.angle(a, np.zeros(2)))


def test_mean_angle_of_examples_is_not_the_angle_of_the_flattened_batch():
    a = np.array([[1.0, 0.0], [10.0, 0.0]])
    b = np.array([[0.0, 1.0], [10.0, 0.0]])
    assert measures.angle(a, b).mean() == pytest.approx(45)
    assert measures.matrix_angle(a, b) != pytest.approx(45, abs=5)


@given(arrays(float, (6, 3), elements=st.floats(-10, 10)).filter(lambda y: y.std(axis=0).sum() > 0.1))
def test_nse_is_one_for_the_mean_zero_for_the_truth_and_ignores_an_offset(target):
    mean = np.broadcast_to(target.mean(axis=0), target.shape)
    assert measures.nse(mean, target) == pytest.approx(1)
    assert measures.nse(target, target) == 0
    guess = target * 0.5
    assert measures.nse(guess + 7, target + 7) == pytest.approx(measures.nse(guess, target))


def test_nse_refuses_a_constant_target():
    with pytest.raises(ValueError, match="constant target"):
        measures.nse(np.zeros((4, 2)), np.ones((4, 2)))


def test_nse_refuses_a_constant_target_whose_mean_is_rounded():
    with pytest.raises(ValueError, match="constant target"):
        measures.nse(np.zeros((3, 1)), np.full((3, 1), 0.1))
    with pytest.raises(ValueError, match="constant target"):  # a spread of nought to the last digit there is
        measures.nse(np.zeros((2, 1)), np.array([[0.0], [1e-200]]))


def test_outputs_that_are_no_numbers_are_wrong():
    assert measures.error_rate([[np.nan, 1.0], [1.0, 0.0]], [0, 0]) == 50


def test_samples_that_are_resampled_together_are_equally_many():
    for samples in (([1.0, 2.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="must be equally many"):
            measures.bootstrap_interval(lambda a, b, axis: a.mean(axis) - b.mean(axis), *samples)


def test_the_interval_of_a_ratio_that_all_pairs_have_is_that_ratio():
    for seed in range(200):
        b = np.random.default_rng(seed).uniform(1, 2, 4)
        np.testing.assert_allclose(measures.ratio_interval(3 * b, b), 3, rtol=1e-6)


def test_error_rate_counts_in_percent_and_refuses_other_lengths():
    outputs = np.eye(4)[[0, 1, 2, 2]]
    assert measures.error_rate(outputs, np.array([0, 1, 2, 3])) == 25
    assert list(measures.error_rate(np.stack([outputs, outputs[::-1]]), np.array([0, 1, 2, 3]))) == [25, 100]
    with pytest.raises(ValueError, match="4 outputs for 3 labels"):
        measures.error_rate(outputs, np.array([0, 1, 2]))


def test_positive_share():
    a = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    b = np.array([[1.0, 5], [-1, 5], [2, -9], [0.1, 0]])
    assert measures.positive_share(a, b) == 0.75


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(1)
    t = [measures.mean_interval(rng.normal(3, 2, 20)) for _ in range(400)]
    assert 0.92 <= np.mean([low <= 3 <= high for low, high in t]) <= 0.98
    boot = [measures.bootstrap_interval(np.mean, rng.normal(3, 2, 40), resamples=500) for _ in range(200)]
    assert 0.88 <= np.mean([low <= 3 <= high for low, high in boot]) <= 0.99
    assert measures.proportion_interval(0, 20).low == 0
    assert measures.proportion_interval(10, 20) == pytest.approx((0.299, 0.701), abs=1e-3)
    with pytest.raises(ValueError, match="at least two"):
        measures.mean_interval([1.0])


def test_bootstrap_resamples_pairs_together():
    a = np.arange(1.0, 21)
    low, high = measures.bootstrap_interval(lambda x, y, axis: np.mean(x / y, axis=axis), a, 2 * a)
    assert low == high == 0.5


def test_first_below_is_nan_where_never():
    curves = np.array([[3.0, 2, 1, 2], [3, 3, 3, 3]])
    assert np.array_equal(measures.first_below(curves, 2, [0, 10, 20, 30]), [10, np.nan], equal_nan=True)


def test_the_overlap_of_spaces_is_that_of_their_principal_angles():
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.standard_normal((3, 30, 4))).Q for _ in range(2))
    expected = [np.mean(np.cos(scipy.linalg.subspace_angles(a, b)) ** 2) for a, b in zip(u, v, strict=True)]
    assert measures.subspace_overlap(u, v) == pytest.approx(expected)
    turned = u @ np.linalg.qr(rng.standard_normal((4, 4))).Q  # another basis of the same spaces
    assert measures.subspace_overlap(u, turned) == pytest.approx([1, 1, 1])


def test_a_ratios_interval_holds_the_true_ratio_in_95_of_100_and_is_what_fieller_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        b = rng.normal(10, 2, 8)
        a = 0.5 * b + rng.normal(10, 2, 8)  # paired: the ratio of the means is 1.5
        low, high = measures.ratio_interval(a, b)
        held += low <= 1.5 <= high
        for end in (low, high):  # there the mean of a - t b is just told from zero
            ends = measures.mean_interval(a - end * b)
            assert min(map(abs, ends)) == pytest.approx(0, abs=1e-9)
    assert 0.935 < held / 2000 < 0.965


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [2.0], "at least two"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "needs pairs"),
        ([1.0, 2.0], [-1.0, 1.1], "has no end"),
    ],
)
def test_a_ratios_interval_needs_pairs_and_a_denominator_that_is_not_zero(a, b, message):
    with pytest.raises(ValueError, match=message):
        measures.ratio_interval(a, b)


@pytest.mark.parametrize("tests", [1, 2, 20])
def test_the_interval_of_one_networks_error_takes_in_the_test_set_and_what_a_test_leaves_to_chance(tests):
    rng = np.random.default_rng(1)
    held, width = 0, 0.0
    for _ in range(1000):
        chance = rng.beta(0.05, 0.95, 500)  # of a wrong answer, which differs between images: 5 % on average
        low, high = measures.error_interval(rng.random((tests, 500)) < chance)
        held += low <= 5 <= high
        width += (high - low) / 1000
    assert 0.925 < held / 1000 < 0.975
    # An image that is surely wrong stays so however often it is tested: beyond some tests nothing is gained.
    assert width == pytest.approx({1: 3.85, 2: 3.33, 20: 2.74}[tests], rel=0.05)


def test_one_tests_interval_is_that_of_a_proportion():
    wrong = np.arange(100) < 7
    low, high = measures.proportion_interval(7, 100)
    assert measures.error_interval(wrong) == (100 * low, 100 * high)


def test_the_interval_of_mean_errors_is_that_of_the_seeds_or_of_a_single_networks_test_images():
    assert measures.mean_error_interval([1.0, 2.0, 1.5], 10_000) == measures.mean_interval([1.0, 2.0, 1.5])
    low, high = measures.proportion_interval(70, 10_000)
    assert measures.mean_error_interval([0.7], 10_000) == pytest.approx((100 * low, 100 * high))
