"""Kinds of profile: what each leaves of a wave, by its formula and by its matrix, and which values make no sense."""

import numpy as np
import pytest

from medsr.errors import InvalidValueError, UnknownNameError
from medsr.physics.profiles import KINDS, MEASURED, Profile
from medsr.physics.sampling import AxisSampling

FACTOR, SAMPLES = 8, 60


def left_of_a_wave(profile, half_waves):
    """Amplitude that the samples show of a cosine that continues smoothly into its mirror image."""
    axis = AxisSampling(FACTOR * SAMPLES, SAMPLES, FACTOR, profile)
    wave, seen = (np.cos(np.pi * half_waves * (np.arange(n) + 0.5) / n) for n in (FACTOR * SAMPLES, SAMPLES))
    inside = slice(8, -8) if profile.kind != "kspace" else slice(None)
    return (axis.matrix @ wave)[inside] @ seen[inside] / np.square(seen[inside]).sum()


@pytest.mark.parametrize(
    "profile",
    [
        Profile("gaussian", 0.8),
        Profile("gaussian"),
        Profile("gaussian", 1.2),
        Profile("box", 0.7),
        Profile("box"),
        Profile("kspace"),
        Profile("kspace", 1.0, 0.5),
        Profile("kspace", 1.0, 1.0),
        Profile("kspace", 1.3),
        Profile("kspace", 1.3, 0.4),
        Profile("bicubic"),
        Profile("bicubic", 0.5),
    ],
    ids=lambda profile: f"{profile.kind}-{profile.width}-{profile.taper}",
)
@pytest.mark.parametrize("half_waves", [0, 6, 15, 30, 42, 54])
def test_a_matrix_leaves_of_a_wave_what_the_formula_says(profile, half_waves):
    # Half waves along 60 samples: up to 0.45 cycles per sample, below the Nyquist frequency.
    frequency = half_waves / (2 * SAMPLES)
    # The matrices sum over voxels where the formulas integrate.
    assert left_of_a_wave(profile, half_waves) == pytest.approx(profile.transfer(frequency), abs=6e-3)


def test_every_nth_voxel_leaves_every_wave():
    wave = np.random.default_rng(0).random(40)
    np.testing.assert_array_equal(AxisSampling(40, 10, 4, Profile("nearest_wang")).matrix @ wave, wave[::4])
    assert [Profile("nearest_wang").transfer(f) for f in (0.0, 0.3, 0.5, 2.0)] == [1, 1, 1, 1]


def test_transfers_at_values_worked_out_by_hand():
    # A Gaussian of 1 full width at half maximum: exp(-2 (pi f / 2.3548)^2).
    assert Profile("gaussian").transfer(0.5) == pytest.approx(0.41068, abs=2e-5)
    assert Profile("gaussian", 0.5).transfer(0.5) == pytest.approx(0.41068**0.25, abs=2e-5)
    # A box: sinc; its first zero is one cycle per width.
    assert Profile("box").transfer(0.5) == pytest.approx(2 / np.pi)
    assert Profile("box").transfer(1.0) == pytest.approx(0, abs=1e-12)
    # A spectrum that ends keeps everything up to there, half of what lies on it, nothing beyond.
    assert [Profile("kspace").transfer(f) for f in (0.0, 0.25, 0.49, 0.5, 0.51)] == [1, 1, 1, 0.5, 0]
    # Acquired 1.25 times as coarsely: it ends at 0.4 cycles per sample.
    assert [Profile("kspace", 1.25).transfer(f) for f in (0.39, 0.4, 0.41)] == [1, 0.5, 0]
    # Filtered over the outer half: the middle of the slope, at three quarters of the band, leaves one half.
    assert [round(Profile("kspace", 1.0, 0.5).transfer(f), 9) for f in (0.25, 0.375, 0.5)] == [1, 0.5, 0]
    # A Hann window: half of it at half of the band.
    assert Profile("kspace", 1.0, 1.0).transfer(0.25) == pytest.approx(0.5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_constant_passes_every_profile(kind):
    assert Profile(kind, 0.9).transfer(0.0) == pytest.approx(1, abs=2e-5)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (Profile("kspace"), 1.0),
        (Profile("kspace", 1.4), 1.4),
        (Profile("kspace", 1.0, 1.0), 2.0),  # a Hann window halves the wave of half the band
        (Profile("kspace", 1.0, 0.5), 1 / 0.75),
        (Profile("box"), 1.0),
        (Profile("gaussian", 0.8), 0.8),
    ],
)
def test_resolution_is_the_width_or_half_a_period_of_the_wave_that_a_filter_halves(profile, expected):
    assert profile.resolution == pytest.approx(expected, rel=1e-4)


def test_resolution_grows_with_the_width():
    for kind in ("gaussian", "box", "kspace", "bicubic"):
        assert Profile(kind, 1.5).resolution == pytest.approx(1.5 * Profile(kind, 1.0).resolution, rel=1e-6)


def test_kinds_say_what_they_are():
    assert MEASURED == ("gaussian", "box", "kspace")
    for kind in KINDS.values():
        assert kind.title and kind.help


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("gausian",), UnknownNameError, "Did you mean 'gaussian'"),
        (("gaussian", -0.1), InvalidValueError, "zero or more"),
        (("box", float("nan")), InvalidValueError, "zero or more"),
        (("box", float("inf")), InvalidValueError, "zero or more"),
        (("kspace", 1.0, -0.1), InvalidValueError, "between 0 and 1"),
        (("kspace", 1.0, 1.1), InvalidValueError, "between 0 and 1"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Profile(*arguments)
    assert Profile("kspace", 0.0, 1.0) == Profile("kspace", 0, 1)
