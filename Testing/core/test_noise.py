"""Noise read from the background."""

import numpy as np
import pytest

from medsr.degradation import add_rician_noise
from medsr.inference.noise import background_noise


def head(masked=True):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 60, 60)], indexing="ij")
    inside = (x**2 + y**2 + z**2) < 0.6
    texture = 600 + 200 * np.sin(9 * x) * np.cos(7 * y)
    return np.where(inside, texture, 0.0 if masked else 3.0)


@pytest.mark.parametrize("level", [0.005, 0.01, 0.02, 0.05])
def test_level_of_rician_noise_is_found(level):
    noisy = add_rician_noise(head(), level, np.random.default_rng(0))
    assert background_noise(noisy) == pytest.approx(level, rel=0.08)
    assert background_noise(noisy.astype(np.int16)) == pytest.approx(level, rel=0.25)


def test_blanked_background_tells_nothing():
    assert background_noise(head()) is None


def test_image_without_background_tells_nothing():
    inner = head()[12:18, 20:40, 20:40] + np.random.default_rng(0).normal(0, 10, (6, 20, 20))
    assert background_noise(inner) is None


def test_smoothed_background_is_not_taken_for_noise():
    from scipy import ndimage as ndi

    noisy = add_rician_noise(head(), 0.02, np.random.default_rng(0))
    assert background_noise(ndi.uniform_filter(noisy, 3)) is None


def test_ct_tells_nothing():
    assert background_noise(np.random.default_rng(0).normal(-1000, 20, (20, 20, 20))) is None
