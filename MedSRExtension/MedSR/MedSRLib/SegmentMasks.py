"""Each segment by itself in the voxels of the volume that it was drawn on; where two overlap, both have them. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MedSRLib.Errors import SceneError
from MedSRLib.SegmentLabels import BINARY, geometryFor, segmentIds, withLabelmap
from MedSRLib.Translation import tr as _

_SAME = 0.05
"""Voxels; so far apart, corners of two grids are one."""


@dataclass(frozen=True)
class SegmentMask:
    """Where one segment is.

    Attributes:
        name: of the segment.
        start: first voxel (i, j, k) of the box that holds it, with one voxel around it where the volume goes on.
        inside: bool ``(z, y, x)``, of the box; empty for a segment without voxels in the volume.
        isCut: part of the segment lies outside of the volume.
    """

    name: str
    start: tuple[int, int, int]
    inside: np.ndarray
    isCut: bool


def masksOn(
    segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode
) -> Iterator[SegmentMask]:
    """The segments in their order.

    Raises:
        SceneError: there are none, or one was drawn on other voxels than those of the volume.
    """
    geometry = geometryFor(segmentation, volume)
    content = withLabelmap(segmentation, geometry).GetSegmentation()
    identities = segmentIds(content)
    if not identities:
        raise SceneError(_("{segmentation} has no segments.").format(segmentation=segmentation.GetName()))
    for identity in identities:
        segment = content.GetSegment(identity)
        name = segment.GetName() or identity
        found = _ownMask(segment)
        if found is None:
            yield SegmentMask(name, (0, 0, 0), np.zeros((0, 0, 0), bool), False)
            continue
        placed = _placed(*found, np.linalg.inv(_toWorld(geometry)) @ _toWorld(segment.GetRepresentation(BINARY)))
        if placed is None:
            raise SceneError(_otherVoxels(name, segmentation, volume))
        yield _boxed(name, *placed, np.array(volume.GetImageData().GetDimensions()))


def _ownMask(segment: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """A segment, bool ``[i, j, k]`` without empty borders, and its first voxel in its own grid; None if empty."""
    image = segment.GetRepresentation(BINARY)
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or not scalars.GetNumberOfTuples():
        return None
    # Segments that do not overlap share an image, each with a value of its own.
    there = (vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]) == segment.GetLabelValue()).transpose()
    ends = []
    for axis in range(3):
        filled = np.flatnonzero(there.any(axis=tuple(other for other in range(3) if other != axis)))
        if not filled.size:
            return None
        ends.append((int(filled[0]), int(filled[-1]) + 1))
    inside = there[tuple(slice(*pair) for pair in ends)]
    return inside, np.array([first for first, _last in ends]) + image.GetExtent()[::2]


def _placed(inside: np.ndarray, start: np.ndarray, toVolume: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mask and first voxel in the grid of the volume, whose axes may be others; None where the voxels are others."""
    corners = np.array(list(product(*zip(start, start + inside.shape - 1))))
    whole = np.rint(toVolume)
    axes, step = whole[:3, :3], toVolume - whole
    if np.abs(corners @ step[:3, :3].T + step[:3, 3]).max() > _SAME or not np.array_equal(axes @ axes.T, np.eye(3)):
        return None
    order = np.abs(axes).argmax(axis=1)
    turned = inside.transpose(order)
    turned = np.flip(turned, tuple(axis for axis in range(3) if axes[axis, order[axis]] < 0))
    return turned, (corners @ axes.T + whole[:3, 3]).min(axis=0).astype(np.int64)


def _boxed(name: str, inside: np.ndarray, start: np.ndarray, size: np.ndarray) -> SegmentMask:
    """The part within a volume of `size` voxels, with one voxel around it."""
    end = start + inside.shape
    first, last = start.clip(0, size), end.clip(0, size)
    isCut = bool((first > start).any() or (last < end).any())
    low, high = (first - 1).clip(0, None), np.minimum(last + 1, size)
    if (last <= first).any():
        return SegmentMask(name, (0, 0, 0), np.zeros((0, 0, 0), bool), isCut)
    box = np.zeros(high - low, bool)
    box[_between(first - low, last - low)] = inside[_between(first - start, last - start)]
    i, j, k = (int(n) for n in low)
    return SegmentMask(name, (i, j, k), box.transpose(), isCut)


def _between(first: np.ndarray, last: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last))


def _toWorld(image: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _otherVoxels(name: str, segmentation: Any, volume: Any) -> str:
    return _(
        "The segment {name} of {segmentation} was not drawn on {volume}: its voxels are others. What the map says of "
        "{volume} holds for boundaries that were drawn there. Segment {volume} itself, or choose it as the source of "
        "the segmentation's geometry in the Segment Editor."
    ).format(name=name, segmentation=segmentation.GetName(), volume=volume.GetName())
