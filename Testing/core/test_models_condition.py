"""What a refiner is told of the acquisition: numbers that can be worked out by hand."""

import math

import numpy as np
import pytest

from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling

pytest.importorskip("torch")

from medsr.models.profile_refiner import ProfileRefiner
from medsr.physics.condition import PER_AXIS, acquisition_condition, canonical_axes

pytestmark = pytest.mark.network


def told(factor, profile):
    return acquisition_condition([AxisSampling(24, math.floor(24 / factor), factor, profile)])


@pytest.mark.parametrize(
    ("factor", "profile", "expected"),
    [
        # log2 of factor and relative width; then exp(-2 (pi f / 2.3548)^2) at a quarter, a half, three quarters.
        (4, Profile("gaussian"), [2, 0, 0.80053, 0.41068, 0.13501, 0]),
        (2, Profile("gaussian", 2.0), [1, 1, 0.41068, 0.02845, 0.00033, 0]),
        (3, Profile("gaussian", 0.6, assumed=True), [1.58496, -0.73697, 0.92301, 0.72587, 0.48632, 1]),
        # sin(pi f) / (pi f).
        (2, Profile("box"), [1, 0, 0.90032, 0.63662, 0.30011, 0]),
        # Everything up to half a cycle, half of what lies on it, nothing beyond.
        (2, Profile("kspace"), [1, 0, 1, 0.5, 0, 0]),
        (8, Profile("kspace", 1.0, 1.0, assumed=True), [3, 0, 0.5, 0, 0, 1]),
        (4, Profile("kspace", 2.0), [2, 1, 0.5, 0, 0, 0]),
    ],
)
def test_six_numbers_tell_an_axis(factor, profile, expected):
    np.testing.assert_allclose(told(factor, profile), expected, atol=2e-5)


def test_an_axis_that_is_not_enlarged_is_told_by_zeros():
    for profile in (Profile(), Profile("kspace", 1.4, 0.5), Profile("gaussian", 0.6, assumed=True)):
        assert told(1.0, profile) == [0.0] * PER_AXIS


def test_axes_are_told_in_their_order_and_fit_the_network():
    axes = [AxisSampling(24, 6, 4.0), AxisSampling(24, 12, 2.0, Profile("kspace")), AxisSampling(24, 24, 1.0)]
    condition = acquisition_condition(axes)
    assert condition[0] == 2 and condition[PER_AXIS] == 1 and condition[2 * PER_AXIS :] == [0.0] * PER_AXIS
    for dims in (2, 3):
        network = ProfileRefiner(dims, channels=4, blocks=1)
        assert network.embed[0].in_features == len(acquisition_condition(axes[:dims]))


def test_a_profile_below_one_voxel_is_told_as_wide_as_it_is_computed():
    assert told(2, Profile("box", 0.1))[1] == -1


@pytest.mark.parametrize(
    ("factors", "order"),
    [
        ((1.0, 1.0, 4.0), (2, 0, 1)),
        ((2.0, 2.0, 2.0), (0, 1, 2)),
        ((1.0, 3.0, 2.0), (1, 2, 0)),
        ((2.0, 2.0 + 1e-9), (0, 1)),
    ],
)
def test_the_most_enlarged_axis_comes_first(factors, order):
    assert canonical_axes(factors) == order
