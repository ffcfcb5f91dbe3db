"""The step back to the measured data: all of it in clean data, only what noise cannot explain in noisy ones."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.inference.consistency import make_consistent
from medsr.physics.noise import add_rician_noise
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.planning.evidence import SAFE
from medsr.planning.noise import expected_magnitude

SHAPE = (36, 40, 44)
ACQUISITION = Acquisition.from_factors(SHAPE, (3, 1, 1))


@pytest.fixture
def truth():
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    tissue = 600 + 200 * np.sin(4 * x) * np.cos(3 * y + 2 * z)
    return ndi.gaussian_filter(np.where(x**2 + y**2 + z**2 < 0.5, tissue, 0.0), 1.0).astype(np.float32)


def test_expected_magnitude_is_the_mean_of_many_measurements():
    signal = np.repeat(np.float32([0, 5, 10, 20, 100]), 40_000).reshape(5, -1)
    rng = np.random.default_rng(0)
    measured = np.hypot(signal + rng.normal(0, 10, signal.shape), rng.normal(0, 10, signal.shape))
    np.testing.assert_allclose(expected_magnitude(signal[:, 0], 10.0), measured.mean(axis=1), rtol=0.01)
    assert expected_magnitude(np.float32([-3.0]), 10.0) == pytest.approx(10 * np.sqrt(np.pi / 2), rel=1e-6)
    # Without noise to speak of, what is there is measured; far up the series nothing overflows.
    np.testing.assert_allclose(expected_magnitude(np.float32([1e4, 1e6]), 1e-2), [1e4, 1e6], rtol=1e-5)


def test_clean_data_are_met(truth):
    coarse = ACQUISITION.forward(truth)
    fine = ndi.gaussian_filter(truth, 0.4)
    found = make_consistent(fine, coarse, ACQUISITION)
    assert found.strength == 1.0
    assert found.residual < 1e-3 < found.residual_before


def test_the_air_of_a_noisy_image_stays_dark(truth):
    level = 0.02
    noisy = add_rician_noise(ACQUISITION.forward(truth), level, np.random.default_rng(0))
    sigma = level * float(np.percentile(noisy, 99))
    air = ndi.binary_erosion(truth < 1, iterations=5)
    fine = truth.copy()
    found = make_consistent(fine, noisy, ACQUISITION, noise=level)
    assert found.strength == 0.0
    # Taken at its word, the measured air would be put back: 1.25 sigma.
    assert abs(float(fine[air].mean())) < 0.15 * sigma
    assert float(np.abs(fine - truth).mean()) < 0.5 * sigma


def test_a_wrong_mean_is_mended_in_noisy_data(truth):
    level = 0.02
    noisy = add_rician_noise(ACQUISITION.forward(truth), level, np.random.default_rng(0))
    inside = ndi.binary_erosion(truth > 400, iterations=4)
    fine = 0.9 * truth
    make_consistent(fine, noisy, ACQUISITION, noise=level)
    assert float(fine[inside].mean()) == pytest.approx(float(truth[inside].mean()), rel=0.01)


def test_only_measuring_changes_nothing(truth):
    coarse = ACQUISITION.forward(truth)
    fine = ndi.gaussian_filter(truth, 0.7)
    before = fine.copy()
    found = make_consistent(fine, coarse, ACQUISITION, apply=False)
    np.testing.assert_array_equal(fine, before)
    assert found.residual == found.residual_before > 0


@pytest.mark.parametrize("profile", [Profile("kspace", 1.0, 0.3), Profile("kspace", 1.33), Profile("gaussian", 2.0)])
def test_what_the_acquisition_hardly_sees_is_not_multiplied(profile):
    """Undone without a bound, a filter turned the noise of a real volume into a chequerboard."""
    rng = np.random.default_rng(0)
    acquisition = Acquisition.from_factors((32, 32, 32), (2, 2, 2), profile)
    fine = np.full(acquisition.fine_shape, 100.0, np.float32)
    coarse = acquisition.forward(fine) + rng.standard_normal(acquisition.coarse_shape).astype(np.float32)
    make_consistent(fine, coarse, acquisition, noise=0.0)
    assert fine.std() < 4


def test_along_an_axis_of_which_nothing_is_known_only_slow_differences_are_mended(truth):
    unknown = Acquisition.from_factors(SHAPE, (3, 1, 1), SAFE)
    coarse = unknown.forward(truth)
    stripes = 4 * (-1.0) ** np.arange(len(coarse), dtype=np.float32)[:, None, None]
    for error, mended in ((np.full_like(coarse, 4.0), True), (np.broadcast_to(stripes, coarse.shape), False)):
        fine = truth.copy()
        make_consistent(fine, coarse + error, unknown)
        inside = slice(6, -6)
        assert (float(np.abs(fine - truth)[inside].mean()) > 3) == mended
    known = Acquisition.from_factors(SHAPE, (3, 1, 1), Profile("gaussian", 0.6))
    fine = truth.copy()
    make_consistent(fine, known.forward(truth) + stripes, known)
    assert float(np.abs(fine - truth)[6:-6].mean()) > 3
