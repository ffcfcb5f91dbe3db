"""Noise as scanners have it."""

from __future__ import annotations

import numpy as np

from medsr.physics.profiles import FloatArray


def add_rician_noise(volume: FloatArray, level: float, rng: np.random.Generator) -> FloatArray:
    """Magnitude-MR noise: ``|x + n1 + i n2|`` (Gudbjartsson and Patz, 1995).

    Args:
        volume: non-negative magnitudes.
        level: standard deviation of each channel as a fraction of the 99th percentile of `volume`.
        rng: source of randomness.
    """
    sigma = level * float(np.percentile(volume, 99))
    real = volume + rng.normal(0.0, sigma, volume.shape)
    return np.hypot(real, rng.normal(0.0, sigma, volume.shape)).astype(volume.dtype, copy=False)


def add_gaussian_noise(image: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Add independent normal noise of standard deviation `sigma`, in units of the image."""
    return (image + rng.normal(0.0, sigma, image.shape)).astype(image.dtype, copy=False)
