"""Profiles read from voxels: of a phantom with a spectrum as rich as anatomy's, sampled along z in a way that is known.

What exactly is found depends on how anatomy is, so only answers that are clear are asked for.
"""

import numpy as np
import pytest

from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.physics.spectra import Candidate, likeliest_profile

CANDIDATES = tuple(
    Candidate(profile, odds)
    for profile, odds in (
        (Profile("kspace"), 1.0),
        (Profile("kspace", 1.0, 0.5), 0.2),
        (Profile("kspace", 1.0, 1.0), 0.2),
        (Profile("kspace", 1.33), 0.1),
        (Profile("gaussian", 0.85), 0.7),
        (Profile("gaussian"), 0.7),
        (Profile("gaussian", 1.2), 0.7),
    )
)
SHAPE = (144, 80, 80)
FACTOR = 3


def an_anatomy(seed):
    """Texture whose power falls with the frequency, and structures with edges of all sizes; ``(z, y, x)``."""
    rng = np.random.default_rng(seed)
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in SHAPE), indexing="ij")
    distance = np.sqrt(sum(np.square(f) for f in frequencies))
    distance[0, 0, 0] = 1
    texture = np.fft.ifftn(np.fft.fftn(rng.standard_normal(SHAPE)) * distance**-1.8).real
    image = 30 * texture / texture.std()
    grid = np.indices(SHAPE, dtype=np.float32)
    for _ in range(40):
        centre, radius = rng.uniform(0.15, 0.85, 3) * SHAPE, rng.uniform(4, 18, 3)
        inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)) < 1
        image[inside] += rng.uniform(-60, 80)
    return image


@pytest.fixture(scope="module")
def anatomy():
    return an_anatomy(1)


def sampled(image, profile):
    """Whole numbers, as files hold them, every third voxel along z."""
    acquisition = Acquisition.from_factors(image.shape, (FACTOR, 1, 1), (profile, Profile(), Profile()))
    return np.rint(10 * acquisition.forward(image)).astype(np.int16)


def found_along_z(array):
    return likeliest_profile(array, (float(FACTOR), 1.0, 1.0), (0,), CANDIDATES)


@pytest.mark.parametrize("width", [1.0, 1.2])
def test_slices_are_told_from_an_encoded_axis(anatomy, width):
    found = found_along_z(sampled(anatomy, Profile("gaussian", width)))
    assert found.compared
    assert found.profile.kind == "gaussian"
    assert found.probability > 0.9


def test_a_spectrum_that_stands_up_to_its_end_is_an_encoded_axis(anatomy):
    found = found_along_z(sampled(anatomy, Profile("kspace")))
    assert found.compared
    assert found.profile == Profile("kspace")
    assert found.probability > 0.5


@pytest.mark.parametrize("taper", [0.5, 1.0])
def test_a_filter_is_seen(anatomy, taper):
    found = found_along_z(sampled(anatomy, Profile("kspace", 1.0, taper)))
    assert found.profile == Profile("kspace", 1.0, taper)
    assert found.probability > 0.95


def test_a_filter_that_may_as_well_be_a_slice_profile_is_not_undone(anatomy):
    """Undoing what was not done multiplies the finest detail; leaving a filter in costs little."""
    array = sampled(anatomy, Profile("gaussian", 1.0))
    asked = [
        Candidate(Profile("kspace"), 1.0),
        Candidate(Profile("kspace", 1.0, 1.0), 1e30),
        Candidate(Profile(), 1e-30),
    ]
    found = likeliest_profile(array, (float(FACTOR), 1.0, 1.0), (0,), asked)
    assert (found.profile.kind, found.profile.taper) == ("kspace", 0.0)


def test_zeros_that_were_filled_in_are_seen(anatomy):
    found = found_along_z(sampled(anatomy, Profile("kspace", 1.33)))
    assert found.profile == Profile("kspace", 1.33)
    assert found.probability > 0.95


def test_axes_that_are_the_finest_are_compared_with_what_is_usual(anatomy):
    array = sampled(anatomy, Profile("gaussian"))
    found = likeliest_profile(array, (float(FACTOR), 1.0, 1.0), (1, 2), CANDIDATES)
    assert not found.compared
    assert found.profile.kind == "kspace"


def test_more_samples_are_asked_for_where_no_finer_axis_tells_of_the_anatomy(anatomy):
    array, alike = sampled(anatomy, Profile("gaussian")), (3.0, 3.0, 3.0)
    assert likeliest_profile(array[:31, :31, :31], alike, (0, 1, 2), CANDIDATES) is None
    assert likeliest_profile(array[:32, :32, :32], alike, (0, 1, 2), CANDIDATES) is not None


def test_the_odds_decide_where_the_voxels_do_not(anatomy):
    array = sampled(anatomy, Profile("kspace"))
    pair = [Profile("kspace"), Profile("kspace", 1.0, 0.05)]
    for one, other in (pair, pair[::-1]):
        candidates = (Candidate(one, 1.0), Candidate(other, 1e-6))
        assert likeliest_profile(array, (3.0, 1.0, 1.0), (0,), candidates).profile == one


def test_neither_scale_nor_offset_of_the_intensities_matters(anatomy):
    array = sampled(anatomy, Profile("gaussian")).astype(np.float64)
    first, second = found_along_z(array), found_along_z(3 * array - 500)
    assert first.profile == second.profile
    assert first.probability == pytest.approx(second.probability, abs=1e-6)


def test_few_samples_or_nothing_to_see_give_no_answer(anatomy):
    array = sampled(anatomy, Profile("gaussian"))
    assert found_along_z(array[:19]) is None
    assert found_along_z(array[:20]) is not None
    assert found_along_z(np.zeros_like(array)) is None


def test_axes_along_which_nothing_changes_are_not_compared_with():
    lines = np.random.default_rng(0).random(40).cumsum()
    for along_z in (lines, np.arange(40.0)):
        found = found_along_z(np.broadcast_to(along_z[:, None, None], (40, 50, 60)))
        assert not found.compared
        assert 0 <= found.probability <= 1
