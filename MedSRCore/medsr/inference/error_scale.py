"""How large errors usually are where an image looks like this: a small network, in numpy.

It looks at the result and at what was added to plain interpolation, in blocks of 2 x 2 x 2 voxels, and answers with the
half-width below which nine of ten errors lay in the images that it learned from (quantile regression: Koenker and
Bassett, Econometrica 46, 1978). What that is worth on new volumes, `inference.calibration` knows. It needs no torch, as
the closed forms, which have error maps too, need none.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.errors import ModelError

Array = NDArray[np.float32]

_FOLD = 2
BLOCK = _FOLD**3
LAYERS = 3
HALO = _FOLD * LAYERS
"""Voxels around a block that its answer depends on."""

LEAK = 0.1
LIMITS = (-9.0, 2.0)
"""Of the logarithm of a half-width."""

_DETAIL_GAIN, _ADDED_GAIN = 8.0, 4.0
_ROWS = 8192
_SLAB_VOXELS = 2_000_000
_OFFSETS = [(z, y, x) for z in range(3) for y in range(3) for x in range(3)]


class ErrorScale:
    """The network.

    Args:
        weights: by name: ``conv0`` ... ``(27, inputs, outputs)``, ``bias0`` ..., ``condition0`` ... ``(numbers,
            outputs)``, and the same of ``head``.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in weights.items()}

    @classmethod
    def load(cls, path: Path, sha256: str) -> ErrorScale:
        """Read the weights.

        Raises:
            ModelError: a file that is missing or is not the one that was calibrated.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} could not be read: {error.strerror}. Reinstall medsr.") from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError(f"{path} is not the file that was calibrated (its SHA-256 differs). Reinstall medsr.")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return cls({name: stored[name] for name in stored.files})

    @property
    def condition_size(self) -> int:
        """How many numbers describe the acquisition."""
        return int(self._weights["condition0"].shape[0])

    def half_widths(self, result: Array, plain: Array, condition: Sequence[float], order: Sequence[int]) -> Array:
        """Half-widths on the grid of `result`, more than 0.

        Args:
            result: the result, normalised, ``(z, y, x)``.
            plain: linear interpolation of the input, likewise.
            condition: what `physics.condition.acquisition_condition` and the calibration tell of the acquisition.
            order: of the array axes for the network, see `canonical_axes`.
        """
        told = np.asarray(condition, dtype=np.float32)
        out = np.empty_like(result)
        views = [np.transpose(image, order) for image in (result, plain, out)]
        size = views[0].shape
        depth = max(_FOLD, _FOLD * int(_SLAB_VOXELS / max(math.prod(size[1:]), 1) / _FOLD))
        for start in range(0, size[0], depth):
            stop = min(start + depth, size[0])
            fine, coarse = (_with_halo(view, start, stop) for view in views[:2])
            widths = _unfold(self._blocks(seen(fine, coarse), told))
            views[2][start:stop] = widths[: stop - start, : size[1], : size[2]]
        return out

    def _blocks(self, features: Array, told: Array) -> Array:
        """Features ``(d, h, w, 16)`` of blocks -> half-widths ``(d - 6, h - 6, w - 6, 8)``."""
        for layer in range(LAYERS):
            shift = self._weights[f"bias{layer}"] + told @ self._weights[f"condition{layer}"]
            features = _convolve(features, self._weights[f"conv{layer}"]) + shift
            np.maximum(features, LEAK * features, out=features)
        head = features @ self._weights["head"] + self._weights["bias_head"] + told @ self._weights["condition_head"]
        return np.asarray(np.exp(np.clip(head, *LIMITS)), dtype=np.float32)


def seen(result: Array, plain: Array) -> Array:
    """Result and plain interpolation, normalised, as the network meets them: ``(z, y, x)`` -> ``(d, h, w, 16)``."""
    return np.concatenate([_fold(result), _fold(_ADDED_GAIN * (result - plain))], axis=-1)


def _with_halo(image: Array, start: int, stop: int) -> Array:
    """Rows `start` to `stop`, even numbers of voxels along each axis, and around them what lies or would lie there."""
    first, last = max(start - HALO, 0), min(stop + HALO, image.shape[0])
    odd = (stop - start) % _FOLD
    pad = [(HALO - (start - first), HALO - (last - stop) + odd)]
    pad += [(HALO, HALO + n % _FOLD) for n in image.shape[1:]]
    return np.pad(image[first:last], pad, mode="edge")


def _fold(image: Array) -> Array:
    """Haar coefficients of blocks of 2 x 2 x 2 voxels, last axis; differences with a gain, as `ProfileRefiner` has."""
    for axis in range(3):
        even, odd = (np.take(image, range(first, image.shape[axis], 2), axis=axis) for first in (0, 1))
        image = np.stack([even + odd, even - odd], axis=-1) * np.float32(0.5)
    d, h, w = image.shape[:3]
    folded: Array = image.reshape(d, h, w, 8) * np.float32(_DETAIL_GAIN)
    folded[..., 0] /= _DETAIL_GAIN
    return folded


def blocks_of(image: Array) -> Array:
    """The eight voxels of each block: ``(z, y, x)`` -> ``(d, h, w, 8)``."""
    d, h, w = (n // _FOLD for n in image.shape)
    blocks: Array = image.reshape(d, 2, h, 2, w, 2).transpose(0, 2, 4, 1, 3, 5).reshape(d, h, w, BLOCK)
    return blocks


def _unfold(blocks: Array) -> Array:
    """The inverse of `blocks_of`."""
    d, h, w = blocks.shape[:3]
    voxels: Array = blocks.reshape(d, h, w, 2, 2, 2).transpose(0, 3, 1, 4, 2, 5).reshape(2 * d, 2 * h, 2 * w)
    return voxels


def _convolve(image: Array, kernel: Array) -> Array:
    """3 x 3 x 3 without padding: ``(d, h, w, inputs)`` -> ``(d - 2, h - 2, w - 2, outputs)``.

    Shifted by a whole number of rows the image is its own neighbour, so each tap is one product of matrices; what
    wraps around at the borders is cut off.
    """
    d, h, w, inputs = image.shape
    rows = image.reshape(-1, inputs)
    shifts = [(z * h + y) * w + x for z, y, x in _OFFSETS]
    count = len(rows) - shifts[-1]
    out = np.zeros((len(rows), kernel.shape[2]), dtype=np.float32)
    for start in range(0, count, _ROWS):
        stop = min(start + _ROWS, count)
        for shift, tap in zip(shifts, kernel, strict=True):
            out[start:stop] += rows[start + shift : stop + shift] @ tap
    return np.ascontiguousarray(out.reshape(d, h, w, -1)[: d - 2, : h - 2, : w - 2])
