"""PSNR and SSIM by the conventions of the papers, for photographs of 8 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medsr import metrics
from medsr.evaluation.run import Trial
from medsr.evaluation.scoring import grey

PEAK = 255.0
_BORDER = 4
_LUMINANCE = (65.481, 128.553, 24.966)
"""Weights of red, green and blue (0 to 1) in the luma of ITU-R BT.601, which adds 16; what the papers call y."""


def published_figures(trial: Trial) -> dict[str, dict[str, float]]:
    """Model -> its figures for the photograph of `trial`, results rounded and clipped to 8 bits first.

    ``rgb``: PSNR of all colours, peak 255. ``rgb_inside``: within the foreground, for a fundus the field of view.
    ``ssim``: mean SSIM over the colours, peak 255. ``y``: PSNR of the luma without a border of 4 pixels.
    """
    truth = trial.reference.array.astype(np.float64)
    mask = metrics.foreground_mask(grey(trial.reference.array))
    return {model: _figures(result.array, truth, mask) for model, result in trial.results.items()}


def _figures(result: NDArray[np.generic], truth: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, float]:
    shown = np.clip(np.rint(result.astype(np.float64)), 0, PEAK)
    colours = [(shown, truth)] if truth.ndim == 3 else [(shown[..., c], truth[..., c]) for c in range(truth.shape[3])]
    inner = (slice(None), slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER))
    return {
        "rgb": _psnr(shown - truth),
        "rgb_inside": _psnr((shown - truth)[mask]),
        "ssim": float(np.mean([metrics.ssim(a, b, span=PEAK) for a, b in colours])),
        "y": _psnr(_luma(shown)[inner] - _luma(truth)[inner]),
    }


def _luma(image: NDArray[np.float64]) -> NDArray[np.float64]:
    if image.ndim == 3:
        return image
    return np.asarray(image @ np.array(_LUMINANCE) / PEAK)


def _psnr(error: NDArray[np.float64]) -> float:
    return 20 * math.log10(PEAK) - 10 * math.log10(float(np.mean(np.square(error))))


def means(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Figure -> mean over images."""
    names = next(iter(figures.values()))
    return {name: float(np.mean([f[name] for f in figures.values()])) for name in names}
