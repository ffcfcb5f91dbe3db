"""Downscaling: equal to what the sources used, aligned, and the shift of the one that is not."""

import numpy as np
import pytest

from medsr.errors import InvalidValueError, UnknownNameError
from medsr.physics.downscaling import bicubic_matrix, downscale
from medsr.physics.noise import add_gaussian_noise
from medsr.physics.profiles import KINDS
from medsr.physics.sampling import Acquisition

ALIGNED = sorted(set(KINDS) - {"nearest_wang"})


def noise(*shape, dtype=np.float32):
    return np.random.default_rng(3).random(shape).astype(dtype)


def blob(size, centre, sigma):
    """A smooth bump at `centre`, in fine voxels."""
    return np.exp(-0.5 * ((np.arange(size) - centre) / sigma) ** 2)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bicubic_equals_pillow(factor):
    image = pytest.importorskip("PIL.Image")
    fine = noise(48, 72)
    expected = np.asarray(
        image.fromarray(fine, mode="F").resize((72 // factor, 48 // factor), image.Resampling.BICUBIC)
    )
    np.testing.assert_allclose(downscale(fine, "bicubic", (factor, factor)), expected, atol=2e-6)
    # Without the stretch against aliasing it would not be equal.
    plain = np.asarray(image.fromarray(fine, mode="F").resize((72, 48)))[::factor, ::factor]
    assert np.abs(plain - expected).max() > 0.1


@pytest.mark.network
@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_equals_torch(factor):
    torch = pytest.importorskip("torch")
    fine = noise(48, 72)
    size = (48 // factor, 72 // factor)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(fine)[None, None], size=size, mode="bicubic", antialias=True
    )
    np.testing.assert_allclose(downscale(fine, "bicubic", (factor, factor)), expected[0, 0].numpy(), atol=3e-5)


def test_bicubic_enlarges_with_the_same_kernel():
    image = pytest.importorskip("PIL.Image")
    coarse = noise(12, 18)
    expected = np.asarray(image.fromarray(coarse, mode="F").resize((72, 48), image.Resampling.BICUBIC))
    enlarged = bicubic_matrix(12, 48) @ coarse @ bicubic_matrix(18, 72).T
    np.testing.assert_allclose(enlarged, expected, atol=2e-6)


def test_a_box_is_the_mean_of_a_block():
    fine = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_allclose(downscale(fine, "box", (2, 2)), [[2.5, 4.5], [10.5, 12.5]], rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_gaussian_is_the_one_of_the_acquisitions(factor):
    fine = noise(24, 36, dtype=np.float64)
    acquired = Acquisition.from_factors(fine.shape, (factor, factor)).forward(fine)
    np.testing.assert_allclose(downscale(fine, "gaussian", (factor, factor)), acquired, rtol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_kspace_keeps_low_frequencies_exactly(factor):
    size = 48
    fine_places = np.arange(size) + 0.5
    coarse_places = factor * (np.arange(size // factor) + 0.5)
    # Half waves that the image and its mirror image continue.
    for half_waves in (0, 1, 3, size // factor - 1):
        wave = [np.cos(np.pi * half_waves * places / size) for places in (fine_places, coarse_places)]
        np.testing.assert_allclose(downscale(wave[0], "kspace", (factor,)), wave[1], atol=1e-12)
    # And removes what the coarse grid cannot hold.
    beyond = np.cos(np.pi * (size // factor + 1) * fine_places / size)
    assert np.abs(downscale(beyond, "kspace", (factor,))).max() < 1e-12


@pytest.mark.parametrize("kind", ALIGNED)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_structures_stay_where_they_are(kind, factor):
    centre = 30.3
    coarse = downscale(blob(72, centre, 6.0), kind, (factor,))
    places = factor * (np.arange(coarse.size) + 0.5) - 0.5
    assert (coarse * places).sum() / coarse.sum() == pytest.approx(centre, abs=0.02)


@pytest.mark.parametrize("factor", [2, 4])
def test_nearest_wang_shifts_by_half_a_coarse_voxel_less_half_a_fine_one(factor):
    centre = 30.3
    coarse = downscale(blob(72, centre, 6.0), "nearest_wang", (factor,))
    places = factor * (np.arange(coarse.size) + 0.5) - 0.5
    assert (coarse * places).sum() / coarse.sum() == pytest.approx(centre + (factor - 1) / 2, abs=0.02)
    np.testing.assert_array_equal(coarse, blob(72, centre, 6.0)[::factor])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_constant_stays_and_the_type_is_kept(kind):
    for dtype in (np.float32, np.float64):
        coarse = downscale(np.full((2, 24, 16), 3.5, dtype), kind, (1, 4, 2))
        assert coarse.shape == (2, 6, 8) and coarse.dtype == dtype
        np.testing.assert_allclose(coarse, 3.5, rtol=1e-6)
    assert downscale(np.full((8,), 3), kind, (2,)).dtype == np.float32


@pytest.mark.parametrize("kind", ["kspace", "box"])
def test_the_mean_is_kept(kind):
    fine = noise(24, 24, dtype=np.float64)
    assert downscale(fine, kind, (4, 3)).mean() == pytest.approx(fine.mean(), rel=1e-12)


@pytest.mark.parametrize("kind", ["bicubic", "gaussian"])
def test_the_mean_of_what_vanishes_at_the_border_is_kept(kind):
    fine = np.outer(blob(48, 22.0, 4.0), blob(48, 25.5, 4.0))
    assert downscale(fine, kind, (4, 4)).mean() == pytest.approx(fine.mean(), rel=1e-4)


def test_what_cannot_be_downscaled_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'bicubic'"):
        downscale(noise(8, 8), "bicubik", (2, 2))
    with pytest.raises(InvalidValueError, match="factor 3 for 8 voxels"):
        downscale(noise(8, 9), "box", (3, 3))
    with pytest.raises(InvalidValueError, match="2 factors, got 1"):
        downscale(noise(8, 8), "box", (2,))
    with pytest.raises(InvalidValueError, match="factor 0"):
        downscale(noise(8, 8), "box", (0, 2))


def test_noise_has_the_stated_level_and_the_type_of_the_image():
    noisy = add_gaussian_noise(np.ones((64, 64), np.float32), 0.1, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.1, rel=0.05) and noisy.mean() == pytest.approx(1.0, abs=0.01)
