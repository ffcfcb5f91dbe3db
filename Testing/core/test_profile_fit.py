"""The profile on which a result and its input agree best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medsr.inference.profile_fit import fit_notices, fitted_acquisition
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.planning.evidence import SAFE

SHAPE = (48, 32, 32)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """Rough, as anatomy is: power falls with the square of the frequency, up to the finest."""
    spectrum = np.fft.rfftn(np.random.default_rng(3).standard_normal(SHAPE))
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in SHAPE[:2]), np.fft.rfftfreq(SHAPE[2]), indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies)) + 0.02
    return (1000 + 100 * np.fft.irfftn(spectrum / radius, SHAPE, axes=(0, 1, 2))).astype(np.float32)


def along_z(profile: Profile) -> Acquisition:
    return Acquisition.from_factors(SHAPE, (3, 1, 1), (profile, Profile(width=0.5), Profile(width=0.5)))


def fit(image: np.ndarray, true: Acquisition, taken: Acquisition) -> list[Profile]:
    coarse = true.forward(image).astype(np.float32)
    return [axis.profile for axis in fitted_acquisition(image, coarse, taken).axes]


@pytest.mark.parametrize(
    "profile",
    [Profile(), Profile("box", 0.9), Profile("kspace"), Profile("kspace", 1.0, 0.5), Profile("gaussian", assumed=True)],
)
def test_what_was_taken_stays_where_it_explains_the_data(image: np.ndarray, profile: Profile) -> None:
    assert fit(image, along_z(profile), along_z(profile))[0] == profile


@pytest.mark.parametrize("true", [0.8, 1.25])
def test_a_stated_width_goes_towards_the_true_one_and_the_kind_stays(image: np.ndarray, true: float) -> None:
    found = fit(image, along_z(Profile("gaussian", true)), along_z(Profile("gaussian", 1.0)))[0]
    assert found.kind == "gaussian"
    assert (found.width - 1) * (true - 1) > 0
    # An image without any error shows the whole difference, which counts twice.
    assert found.width == pytest.approx(true**2, rel=0.05)


@pytest.mark.parametrize("taper", [0.3, 0.75])
def test_the_filter_of_a_stated_encoding_is_found(image: np.ndarray, taper: float) -> None:
    assert fit(image, along_z(Profile("kspace", 1.0, taper)), along_z(Profile("kspace")))[0] == Profile(
        "kspace", 1.0, taper
    )


@pytest.mark.parametrize("assumed", [False, True])
def test_a_result_that_is_too_sharp_is_not_taken_for_a_filter(image: np.ndarray, assumed: bool) -> None:
    """Made to agree by a filter that was none, such a result lost 12 dB."""
    sharp = (image + 0.7 * (image - gaussian_filter(image, (1.5, 0, 0)))).astype(np.float32)
    taken = along_z(Profile("kspace", assumed=assumed))
    coarse = taken.forward(image).astype(np.float32)

    def miss(taper: float) -> float:
        return float(np.square(along_z(Profile("kspace", 1.0, taper)).forward(sharp) - coarse).mean())

    assert miss(0.15) < 0.95 * miss(0.0)
    assert fitted_acquisition(sharp, coarse, taken) == taken


def test_of_an_assumption_the_kind_is_found(image: np.ndarray) -> None:
    taken = Profile("kspace", assumed=True)
    found = fit(image, along_z(Profile("gaussian", 0.9)), along_z(taken))[0]
    assert (found.kind, found.assumed) == ("gaussian", True)
    assert found.width == pytest.approx(0.9, abs=0.051)
    assert fit(image, along_z(Profile("kspace")), along_z(replace(SAFE, width=0.8)))[0].kind == "kspace"


def test_what_was_taken_for_safety_stays(image: np.ndarray) -> None:
    assert fit(image, along_z(Profile("kspace")), along_z(SAFE))[0] == SAFE


def test_axes_that_were_taken_for_alike_stay_alike(image: np.ndarray) -> None:
    def all_axes(profile: Profile) -> Acquisition:
        return Acquisition.from_factors(SHAPE, (2, 2, 2), profile)

    true = Profile("kspace", 1.0, 0.5, assumed=True)
    assert fit(image, all_axes(true), all_axes(Profile("kspace", assumed=True))) == [true] * 3


def test_the_change_is_told_along_its_axis_in_mm() -> None:
    taken, fitted = along_z(Profile()), along_z(Profile("gaussian", 0.8))
    assert fit_notices(taken, taken, (1.0, 1.0, 3.0)) == []
    (told,) = fit_notices(taken, fitted, (1.0, 1.0, 3.0))
    assert (told.kind, told.values["axis"]) == ("acquisition.fitted", "z")
    assert told.values["profile"].values["width"] == pytest.approx(2.4)
