"""Three planes through a volume, turned the way a radiologist expects them.

Axial with the patient's right on the left of the picture and the front on top; coronal with the right on the left and
the head on top; sagittal with the front on the left and the head on top. An oblique volume is shown along its own
axes, named by the nearest anatomical ones.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.geometry import Geometry
from medsr.metrics import foreground_mask
from medsr.volume import Volume

Picture = NDArray[np.float32]
Box = tuple[int, int, int, int]

# Patient axes (0 left, 1 posterior, 2 superior): across the plane, down the picture, to its right.
_ANATOMICAL = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # towards lower, towards higher LPS coordinate


@dataclass(frozen=True)
class Plane:
    """How to cut one picture out of a volume and of any other volume whose axes point the same way.

    Attributes:
        name: "axial", ..., or "x-y" where the orientation is unknown.
        across: array axis (z, y, x order) perpendicular to the plane.
        down: array axis that runs down the picture.
        right: array axis that runs to the right.
        flip_down: True when the picture shows that axis from its end.
        flip_right: likewise.
        size_mm: height and width of the picture in patient space.
        letters: what lies at the top, right, bottom and left; empty where unknown.
    """

    name: str
    across: int
    down: int
    right: int
    flip_down: bool
    flip_right: bool
    size_mm: tuple[float, float]
    letters: tuple[str, str, str, str] | tuple[()]

    def cut(self, array: NDArray[Any], position: float) -> Picture:
        """The picture at `position`, a fraction 0 to 1 of the extent of `array` across the plane."""
        count = array.shape[self.across]
        index = min(count - 1, int(position * count))
        order = (self.across, self.down, self.right)
        picture = np.transpose(array, order)[index]
        turned = picture[:: -1 if self.flip_down else 1, :: -1 if self.flip_right else 1]
        return np.asarray(turned, dtype=np.float32)


def planes_of(volume: Volume) -> list[Plane]:
    """The planes worth showing: three, or the one that a single slice has."""
    known = not volume.planar and volume.source != "array"
    axes, signs = _nearest_axes(volume.geometry) if known else ((0, 1, 2), (1, 1, 1))
    extent = [n * s for n, s in zip(volume.geometry.size_xyz, volume.geometry.spacing_xyz_mm, strict=True)]
    found = []
    for name, (across, down, right) in _ANATOMICAL.items():
        grid = [axes[a] for a in (across, down, right)]
        # The head belongs on top although its coordinate is the highest; everything else grows down and rightwards.
        down_sign, right_sign = (-signs[down] if down == 2 else signs[down]), signs[right]
        letters: tuple[str, str, str, str] | tuple[()] = ()
        if known:
            bottom, top = _LETTERS[down] if down == 2 else _LETTERS[down][::-1]
            left, right_letter = _LETTERS[right]
            letters = (top, right_letter, bottom, left)
        else:
            name = f"{'xyz'[grid[2]]}-{'xyz'[grid[1]]}"
            down_sign = right_sign = 1
        across_array, down_array, right_array = (2 - g for g in grid)
        if volume.array.shape[down_array] > 1 and volume.array.shape[right_array] > 1:
            found.append(
                Plane(
                    name, across_array, down_array, right_array, down_sign < 0, right_sign < 0,
                    (extent[grid[1]], extent[grid[2]]), letters,
                )
            )  # fmt: skip
    return found


def centre_of_interest(reference: Volume) -> tuple[float, float, float]:
    """Where to cut, as fractions of the extent along the array axes: the middle voxel of the object's bounding box."""
    mask = foreground_mask(reference.array)
    fractions = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        middle = (inside[0] + inside[-1]) // 2 if inside.size else mask.shape[axis] // 2
        # The centre of a voxel, so that rounding cannot move the cut to a neighbour on another grid.
        fractions.append((int(middle) + 0.5) / mask.shape[axis])
    return (fractions[0], fractions[1], fractions[2])


def richest_patch(picture: Picture, size: tuple[int, int]) -> Box:
    """Row, column, height and width of the patch of about `size` with the most edges (first one if equal)."""
    height, width = min(size[0], picture.shape[0]), min(size[1], picture.shape[1])
    edges = np.zeros(picture.shape, np.float64)
    edges[1:] += np.abs(np.diff(picture, axis=0))
    edges[:, 1:] += np.abs(np.diff(picture, axis=1))
    # The skull and skin are the strongest edges of a head; the root keeps them from outweighing everything else.
    sums = np.zeros((picture.shape[0] + 1, picture.shape[1] + 1))
    sums[1:, 1:] = np.sqrt(edges).cumsum(axis=0).cumsum(axis=1)
    totals = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    row, column = np.unravel_index(int(np.argmax(totals)), totals.shape)
    return int(row), int(column), height, width


def _nearest_axes(geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each patient axis the grid axis that follows it best, each taken once, and its sign."""
    direction = np.array(geometry.direction).reshape(3, 3)  # [patient axis, grid axis]
    best = max(
        itertools.permutations(range(3)),
        key=lambda p: sum(abs(direction[patient, grid]) for patient, grid in enumerate(p)),
    )
    return best, tuple(1 if direction[patient, grid] > 0 else -1 for patient, grid in enumerate(best))
