"""Noise read from the background."""

import numpy as np
import pytest

from medsr.physics.noise import add_rician_noise
from medsr.planning.noise import background_noise, noise_level, tissue_roughness


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


def tissue(level, seed=0):
    """A textured cut of tissue without any background."""
    z, y, x = np.meshgrid(*[np.linspace(0, 6, n) for n in (20, 60, 60)], indexing="ij")
    clean = 600 + 150 * np.sin(2 * x) * np.cos(1.5 * y + z)
    return add_rician_noise(clean, level, np.random.default_rng(seed))


def test_strong_noise_is_seen_in_tissue_alone():
    level, where = noise_level(tissue(0.02))
    assert where == "the smoothest tissue"
    assert level == pytest.approx(0.02, rel=0.25)


def test_clean_tissue_is_not_called_noisy():
    assert noise_level(tissue(0.0)) is None
    assert noise_level(tissue(0.005)) is None
    assert tissue_roughness(tissue(0.0)) < tissue_roughness(tissue(0.005)) < tissue_roughness(tissue(0.02))


def test_background_is_believed_first():
    noisy = add_rician_noise(head(), 0.02, np.random.default_rng(0))
    assert noise_level(noisy)[1] == "the background"


def test_dim_anatomy_is_not_taken_for_noise():
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (30, 60, 60)], indexing="ij")
    around = np.hypot(rng.normal(0, 50, z.shape), rng.normal(0, 50, z.shape))
    image = np.where(x**2 + y**2 + z**2 < 0.6, 600 + 200 * np.sin(3 * x), around)
    assert background_noise(image) is not None
    assert noise_level(image) is None


def test_thin_stacks_are_judged_by_their_background_or_not_at_all():
    assert tissue_roughness(tissue(0.02)[:1]) is None
