"""How close a result is to the truth.

Definitions, for a result ``x`` and a reference ``y`` on the same grid:

* **PSNR** ``10 log10(R^2 / mean((x - y)^2))`` in dB, with ``R`` the range of the reference, max - min.
* **SSIM** after Wang et al., IEEE TIP 13(4), 2004: the mean over the volume of the local similarity in a Gaussian
  window of sigma 1.5 voxels, with K1 = 0.01 and K2 = 0.03, population covariance and the same ``R``.
* **HFEN** after Ravishankar and Bresler, IEEE TMI 30(5), 2011: ``|LoG x - LoG y| / |LoG y|`` inside the foreground,
  with LoG the Laplacian of a Gaussian of sigma 1.5 voxels. Lower is better.
* **bias** ``mean(x - y)`` inside the foreground, in units of the image: for CT, a shift of the density in HU.
* **redegraded** ``|A x - m| / |m|`` with ``m`` the measured image: the share of the measurement that the result does
  not explain.

All functions take numpy arrays ``(z, y, x)`` or ``(y, x)`` of any real type and compute in float64, slab by slab, so
that no more than a few slabs exist in double precision whatever the size of the volume. They raise InvalidValueError
for shapes that differ and for voxels that are not finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.errors import InvalidValueError
from medsr.physics.sampling import Acquisition

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

_SSIM_SIGMA = 1.5
_SSIM_RADIUS = 5  # the window ends at 3.5 sigma
_LOG_SIGMA = 1.5
_LOG_RADIUS = 6  # scipy cuts the Gaussian at 4 sigma
_SLAB_VOXELS = 4_000_000
_FOREGROUND = 0.05
_CLOSED = 2


@dataclass(frozen=True)
class Scores:
    """All figures of one result; `redegraded` is None where the acquisition is not known."""

    psnr: float
    psnr_mask: float
    ssim: float
    hfen: float
    bias: float
    redegraded: float | None = None


def score(
    result: Array,
    reference: Array,
    acquisition: Acquisition | None = None,
    measured: Array | None = None,
    *,
    mask: Mask | None = None,
) -> Scores:
    """All figures of `result` against `reference`.

    Args:
        result: what is judged.
        reference: the truth, same shape.
        acquisition: with `measured`, gives the `redegraded` figure.
        measured: the image that the result was made from.
        mask: foreground; `foreground_mask(reference)` when None. Pass it to score many results of one reference.

    Raises:
        InvalidValueError: shapes that differ, voxels that are not finite, a constant reference.
    """
    mask = foreground_mask(reference) if mask is None else mask
    span = data_range(reference)
    unexplained = None
    if acquisition is not None and measured is not None:
        unexplained = redegradation_residual(result, measured, acquisition)
    return Scores(
        psnr=psnr(result, reference, span=span),
        psnr_mask=psnr(result, reference, mask=mask, span=span),
        ssim=ssim(result, reference, span=span),
        hfen=hfen(result, reference, mask=mask),
        bias=bias(result, reference, mask=mask),
        redegraded=unexplained,
    )


def data_range(reference: Array) -> float:
    """Maximum minus minimum; raises InvalidValueError for a constant reference, which no figure is defined for."""
    span = float(reference.max()) - float(reference.min())
    if not math.isfinite(span):
        raise InvalidValueError("The reference has voxels that are NaN or infinite; replace them first.")
    if span <= 0:
        raise InvalidValueError("The reference is constant: a result cannot be judged by it.")
    return span


def foreground_mask(reference: Array) -> Mask:
    """The object: voxels 5 % of the range above the minimum, gaps closed (two voxels) and holes filled.

    Along an axis of fewer than 5 voxels nothing is closed or filled: closing would leave nothing of a slice or two.
    """
    threshold = float(reference.min()) + _FOREGROUND * data_range(reference)
    cross = ndi.generate_binary_structure(reference.ndim, 1)
    cross = cross[tuple(slice(1, 2) if n <= 2 * _CLOSED else slice(None) for n in reference.shape)]
    closed = ndi.binary_closing(reference > threshold, cross, iterations=_CLOSED)
    return np.asarray(ndi.binary_fill_holes(closed, cross), dtype=bool)


def psnr(result: Array, reference: Array, *, mask: Mask | None = None, span: float | None = None) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images.

    Args:
        result: what is judged.
        reference: the truth.
        mask: voxels that count; all when None. The range stays that of the whole reference.
        span: the range ``R``; max - min of the reference when None.
    """
    _check_same_shape(result, reference)
    span = data_range(reference) if span is None else span
    error, _total, count = _difference_sums(result, reference, mask)
    return math.inf if error == 0 else 10 * math.log10(span**2 * count / error)


def nrmse(result: Array, reference: Array, *, mask: Mask | None = None) -> float:
    """Root mean square error relative to the root mean square of the reference: ``|x - y| / |y|``."""
    error, _total, _count = _difference_sums(result, reference, mask)
    energy = sum(float(np.sum(np.square(_masked(reference, mask, s)))) for s in _slabs(reference.shape))
    if energy == 0:
        raise InvalidValueError("The reference is zero everywhere: a relative error is not defined.")
    return math.sqrt(error / energy)


def bias(result: Array, reference: Array, *, mask: Mask | None = None) -> float:
    """Mean of ``result - reference``, inside `mask` when given, in units of the image."""
    _error, total, count = _difference_sums(result, reference, mask)
    return total / count


def ssim(result: Array, reference: Array, *, span: float | None = None) -> float:
    """Mean structural similarity, 1 for equal images.

    A margin of 5 voxels, where the window would leave the image, does not count. Axes of one voxel are dropped (a
    slice is judged in 2D); an axis of 2 to 10 voxels has no room for the margin and is taken whole, mirrored at its
    ends.

    Args:
        result: what is judged.
        reference: the truth.
        span: the range ``R``; max - min of the reference when None.
    """
    _check_same_shape(result, reference)
    span = data_range(reference) if span is None else span
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    x, y = np.squeeze(result), np.squeeze(reference)
    margins = [_SSIM_RADIUS if n > 2 * _SSIM_RADIUS else 0 for n in x.shape]
    inside = tuple(slice(m, n - m) for m, n in zip(margins, x.shape, strict=True))

    def local_mean(values: Floats) -> Floats:
        return np.asarray(ndi.gaussian_filter(values, _SSIM_SIGMA, truncate=_SSIM_RADIUS / _SSIM_SIGMA))

    total, count = 0.0, 0
    for kept in _slabs(x.shape, inside[0]):
        outer, inner = _with_halo(kept, _SSIM_RADIUS, x.shape[0])
        a, b = x[outer].astype(np.float64), y[outer].astype(np.float64)
        mean_a, mean_b = local_mean(a), local_mean(b)
        variances = local_mean(a * a + b * b) - mean_a**2 - mean_b**2
        covariance = local_mean(a * b) - mean_a * mean_b
        similarity = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        similarity /= (mean_a**2 + mean_b**2 + c1) * (variances + c2)
        box = (inner, *inside[1:])
        counted = similarity[box]
        total += float(counted.sum())
        count += counted.size
    return _finite(total / count)


def hfen(result: Array, reference: Array, *, mask: Mask | None = None) -> float:
    """High-frequency error norm: 0 for equal images, 1 for a result without any detail.

    Args:
        result: what is judged.
        reference: the truth.
        mask: voxels that count; all when None.
    """
    _check_same_shape(result, reference)
    _check_mask(mask, reference)
    error, energy = 0.0, 0.0
    for kept in _slabs(reference.shape):
        outer, inner = _with_halo(kept, _LOG_RADIUS, reference.shape[0])
        y = reference[outer].astype(np.float64)
        # The filter is linear: one pass over the difference replaces one over the result.
        for values, is_error in ((result[outer] - y, True), (y, False)):
            detail = ndi.gaussian_laplace(values, _LOG_SIGMA)[inner]
            detail = detail if mask is None else detail[mask[kept]]
            energy_here = float(np.sum(np.square(detail)))
            error, energy = (error + energy_here, energy) if is_error else (error, energy + energy_here)
    if energy == 0:
        raise InvalidValueError("The reference has no detail inside the mask: HFEN is not defined.")
    return _finite(math.sqrt(error / energy))


def redegradation_residual(result: Array, measured: Array, acquisition: Acquisition) -> float:
    """Share of the measured image that the result does not explain, ``|A x - m| / |m|``.

    Args:
        result: fine image of shape `acquisition.fine_shape`.
        measured: coarse image of shape `acquisition.coarse_shape`.
        acquisition: ``A``.
    """
    if result.shape != acquisition.fine_shape or measured.shape != acquisition.coarse_shape:
        raise InvalidValueError(
            f"The acquisition leads from {acquisition.fine_shape} to {acquisition.coarse_shape} voxels, but the result "
            f"has {result.shape} and the measured image {measured.shape}."
        )
    fine = result if result.dtype in (np.float32, np.float64) else result.astype(np.float32)
    return nrmse(acquisition.forward(fine), measured)


def _difference_sums(result: Array, reference: Array, mask: Mask | None) -> tuple[float, float, int]:
    """Sum of the squared difference, of the difference, and the number of voxels that count."""
    _check_same_shape(result, reference)
    _check_mask(mask, reference)
    squares, total = 0.0, 0.0
    for part in _slabs(reference.shape):
        difference = _masked(result, mask, part) - _masked(reference, mask, part)
        squares += float(np.sum(np.square(difference)))
        total += float(np.sum(difference))
    _finite(squares)
    return squares, total, reference.size if mask is None else int(np.count_nonzero(mask))


def _masked(array: Array, mask: Mask | None, part: slice) -> Floats:
    """Float64 copy of the voxels of a slab that count."""
    slab = array[part] if mask is None else array[part][mask[part]]
    return np.asarray(slab, dtype=np.float64)


def _slabs(shape: tuple[int, ...], within: slice | None = None) -> Iterator[slice]:
    """Slices of the first axis, of a few million voxels each, that cover it (or its part `within`)."""
    within = slice(0, shape[0]) if within is None else within
    thickness = max(2 * _LOG_RADIUS, _SLAB_VOXELS // max(1, math.prod(shape[1:])))
    for start in range(within.start, within.stop, thickness):
        yield slice(start, min(start + thickness, within.stop))


def _with_halo(kept: slice, halo: int, size: int) -> tuple[slice, slice]:
    """The slab that a filter of radius `halo` needs for `kept`, and where `kept` lies in it."""
    start, stop = max(0, kept.start - halo), min(size, kept.stop + halo)
    return slice(start, stop), slice(kept.start - start, kept.stop - start)


def _check_same_shape(result: Array, reference: Array) -> None:
    if result.shape != reference.shape:
        raise InvalidValueError(
            f"A result of shape {result.shape} cannot be compared with a reference of shape {reference.shape}; "
            "bring both to the same grid first."
        )


def _check_mask(mask: Mask | None, reference: Array) -> None:
    if mask is None:
        return
    if mask.shape != reference.shape:
        raise InvalidValueError(f"The mask has shape {mask.shape}, the reference {reference.shape}.")
    if not mask.any():
        raise InvalidValueError("The mask is empty: there is nothing to judge.")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidValueError("The result has voxels that are NaN or infinite; it cannot be judged.")
    return value
