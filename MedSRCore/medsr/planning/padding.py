"""Voxels that show nothing: what fills the array where the scanner reconstructed no image.

CT is reconstructed in a circle and stored in a square. Outside stands a number far below air (-2000, -3024, -32768): a
step of thousands of HU that never was in the patient, and that a deconvolution would sharpen into the tissue beside it.
Such voxels are found, replaced by their nearest neighbours while the work is done, and given back in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.facts import Facts
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.volume import Volume

Mask = NDArray[np.bool_]

_BELOW_AIR_HU = -1100.0
"""Intensities of CT below this are no air: beyond its noise in all but the poorest images."""

_FEWEST = 64
_SHARE_OF_LOW = 0.1
_SHARE_BESIDE = 0.5
_MOST_VALUES = 3
_REACH = 2
"""Voxels around padding in which a program that resampled the image may have mixed it with tissue."""


@dataclass(frozen=True)
class Padding:
    """Where a volume shows nothing.

    Attributes:
        mask: True there, on the grid of the volume.
        value: the intensity that most of it holds.
        known: how it is known.
        slices: for each plane of that grid the slice of the mask, where the input has not one for each.
    """

    mask: Mask = field(repr=False)
    value: float
    known: Notice
    slices: NDArray[np.intp] | None = field(default=None, repr=False)

    def notice(self) -> Notice:
        """For the decisions."""
        return notice("padding", percent=100 * float(self.mask.mean()), value=self.value, known=self.known)

    def filled(self, array: NDArray[Any], spacing_xyz_mm: tuple[float, float, float]) -> NDArray[Any]:
        """A copy of `array` in which padding holds what its nearest voxel holds.

        A border that goes on as it is neither rings nor pulls at what lies inside. Air instead was tried: beside tissue
        it is an edge that nobody measured, and errors at the border of thorax volumes were twice to three times as
        large.
        """
        sampling = spacing_xyz_mm[::-1]
        filled: NDArray[Any] = array.copy()
        # Most CT has the same circle in every slice: what is nearest lies in the slice, and one slice tells for all.
        same = not self.mask[0].all() and all(np.array_equal(plane, self.mask[0]) for plane in self.mask[1:])
        place = _nearest_outside(self.mask[0], sampling[1:]) if same else _nearest_outside(self.mask, sampling)
        for number, plane in enumerate(self.mask):
            source = array[number] if same else array
            filled[number][plane] = source[tuple(index[plane] if same else index[number][plane] for index in place)]
        return filled

    def give_back(
        self,
        result: NDArray[Any],
        source: Geometry,
        target: Geometry,
        values: NDArray[Any] | None = None,
        beyond: Any = 0,
    ) -> None:
        """Put padding into `result`: wherever the centre of a voxel lies in a padded voxel of the input, or beyond it.

        Args:
            result: on `target`; changed.
            source: grid of the input.
            target: grid of `result`.
            values: what padding holds, on `source`, in the type of `result`; 0 when None.
            beyond: what voxels beyond the input get.
        """
        nearest = _Nearest(source, target, self.slices)
        for z in range(target.size_xyz[2]):
            index, inside = nearest.of_slice(z)
            here = np.broadcast_to(self.mask[index] & inside, result.shape[1:])
            if here.any():
                result[z][here] = 0 if values is None else np.broadcast_to(values[index], here.shape)[here]
            result[z][np.broadcast_to(~inside, here.shape)] = beyond

    def on(self, source: Geometry, target: Geometry) -> Callable[[int], Mask]:
        """The mask on another grid: the number of a slice -> its ``(y, x)``."""
        nearest = _Nearest(source, target, self.slices)

        def of_slice(z: int) -> Mask:
            index, inside = nearest.of_slice(z)
            return np.broadcast_to(self.mask[index] & inside, target.shape_zyx[1:])

        return of_slice


def _nearest_outside(mask: Mask, sampling: Sequence[float]) -> NDArray[np.int32]:
    """For each voxel the indices of the nearest one that `mask` leaves out, one array an axis."""
    found: NDArray[np.int32] = ndi.distance_transform_edt(
        mask, sampling=sampling, return_distances=False, return_indices=True
    )
    return found


class _Nearest:
    """The voxels of `source` in which the centres of the voxels of `target` lie."""

    def __init__(self, source: Geometry, target: Geometry, slices: NDArray[np.intp] | None = None) -> None:
        self._slices = slices
        self._step = np.linalg.inv(source.affine[:3, :3]) @ target.affine[:3, :3]
        self._first = source.to_index(target.origin_mm)
        self._size = source.size_xyz
        self._along = (np.arange(target.size_xyz[0])[None, :], np.arange(target.size_xyz[1])[:, None])

    def of_slice(self, z: int) -> tuple[tuple[Any, ...], Mask]:
        """Indices (z, y, x) for a slice of `target`, and where these are voxels; both broadcast to ``(y, x)``."""
        index, inside = [], np.ones((1, 1), dtype=bool)
        for axis in (2, 1, 0):
            place = self._first[axis] + self._step[axis, 2] * z
            # Where the grids are parallel, each index depends on one coordinate and stays small.
            for along, coordinate in enumerate(self._along):
                if abs(self._step[axis, along]) > 1e-9:
                    place = place + self._step[axis, along] * coordinate
            # A centre in the middle between two voxels goes to the second one, whatever rounding made of it.
            whole = np.floor(np.atleast_2d(place) + 0.5 + 1e-6).astype(int)
            inside = inside & (whole >= 0) & (whole < self._size[axis])
            whole = np.clip(whole, 0, self._size[axis] - 1)
            index.append(whole if axis != 2 or self._slices is None else self._slices[whole])
        return tuple(index), inside


def find_padding(volume: Volume, modality: str) -> Padding | None:
    """The padding of a grey volume, or None.

    The source may state its intensity. In CT, a constant far below air that fills a region is padding too, stated or
    not, and in magnitudes of MR one below zero. The dark background of MR is a measurement, unless its source says
    otherwise.

    Args:
        volume: the input.
        modality: "MR" or "CT".
    """
    array = volume.array
    if array.ndim != 3 or array.dtype.kind not in "iuf":
        return None
    mask, known = _stated(array, volume.facts)
    if modality == "CT" and float(array.min()) < _BELOW_AIR_HU:
        found = _far_below_air(array, mask)
        if found is not None and mask is None:
            known = notice("known.constant")
        mask = mask if found is None else found
    if modality == "MR" and mask is None:
        mask, known = _alone_below_zero(array), notice("known.negative")
    if mask is None or known is None or mask.all():
        return None
    values, counts = np.unique(array[mask], return_counts=True)
    return Padding(mask, float(values[counts.argmax()]), known, volume.nearest_slices)


def without_padding(volume: Volume, modality: str) -> tuple[Volume, Padding | None]:
    """`volume` with its padding filled, for who degrades or judges it, and what was filled."""
    padding = find_padding(volume, modality)
    if padding is None:
        return volume, None
    filled = padding.filled(volume.array, volume.geometry.spacing_xyz_mm)
    return volume.replace(array=filled, facts=volume.facts.without("padding", "padding_limit")), padding


def _stated(array: NDArray[Any], facts: Facts) -> tuple[Mask | None, Notice | None]:
    """Voxels of the intensity that the source calls padding."""
    fact = facts.get("padding")
    if fact is None:
        return None, None
    limit = facts.number("padding_limit")
    limits = sorted((float(fact.value), float(fact.value) if limit is None else limit))
    mask = _between(array, *limits)
    count = np.count_nonzero(mask)
    if not 0 < count < array.size:
        return None, None
    others = array[~mask]
    if float(others.min()) <= limits[1] + 1 and float(others.max()) >= limits[0] - 1:
        # Tissue or air may have this intensity by chance, as zero in MR: regions count, single voxels do not.
        mask = _regions(mask)
        if not mask.any():
            return None, None
    return mask, notice(f"known.{fact.source.lower()}")


def _between(array: NDArray[Any], low: float, high: float) -> Mask:
    """Voxels from `low` to `high`, but for what rescaling in float32 rounds."""
    margin = 1e-6 * max(abs(low), abs(high)) if array.dtype.kind == "f" else 0.0
    return np.asarray((array >= low - margin) & (array <= high + margin))


def _far_below_air(array: NDArray[Any], known: Mask | None) -> Mask | None:
    """`known` and regions of one value each below air, with what a resampling mixed at their borders."""
    low = np.asarray(array < _BELOW_AIR_HU)
    mask = np.zeros(array.shape, dtype=bool) if known is None else known
    for _ in range(_MOST_VALUES):
        rest = array[low & ~mask]
        if rest.size < _FEWEST:
            break
        values, counts = np.unique(rest, return_counts=True)
        most = int(counts.argmax())
        region = np.asarray(array == values[most])
        if counts[most] < max(_FEWEST, _SHARE_OF_LOW * rest.size) or not _is_region(region):
            break
        mask = mask | region
    if not mask.any():
        return None
    if (low & ~mask).any():
        near = ndi.binary_dilation(mask, iterations=_REACH)
        mask = mask | (near & low)
    return mask


def _alone_below_zero(array: NDArray[Any]) -> Mask | None:
    """The region of the only negative value of an image: no magnitude, but what a program put beyond its border."""
    lowest = array.min()
    if lowest >= 0:
        return None
    mask = np.asarray(array == lowest)
    count = np.count_nonzero(mask)
    if not _FEWEST <= count < array.size or np.count_nonzero(array < 0) > count or not _is_region(mask):
        return None
    return mask


def _is_region(mask: Mask) -> bool:
    """True for voxels that lie side by side; False for scattered ones."""
    beside = max(np.count_nonzero(mask[:, :, 1:] & mask[:, :, :-1]), np.count_nonzero(mask[:, 1:] & mask[:, :-1]))
    return bool(beside >= _SHARE_BESIDE * np.count_nonzero(mask))


def _regions(mask: Mask) -> Mask:
    """The parts of a mask that a cross of 3 x 3 voxels in the plane fits into."""
    cross = ndi.generate_binary_structure(2, 1)[None]
    # Beyond the border nobody knows: padding mostly reaches it, so it counts as more of the same.
    core = ndi.binary_erosion(mask, cross, border_value=1)
    return np.asarray(ndi.binary_dilation(core, cross) & mask)
