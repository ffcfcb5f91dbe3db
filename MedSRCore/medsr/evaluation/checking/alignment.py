"""Where the other series lies, how sure that is, and what its intensities stand for."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.errors import InputError
from medsr.evaluation.checking.contrast import ALIKE, Mapping, correlation, fit_mapping
from medsr.evaluation.detail import COARSE, Lattice, filtered, make_lattice
from medsr.evaluation.real_rows import DIFFERENCE, RealTest
from medsr.evaluation.registration import RigidFit, register
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.metrics import foreground_mask
from medsr.volume import Volume

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

POOR, SUSPECT = 0.5, 0.75
"""Correlation of what both series resolve below which they show different things, and below which they may."""

_SMOOTH_MM = 2.0
"""Standard deviation of the Gaussian through which intensities are compared: edges that do not meet yet matter less."""

_DENSE_MM = 1.2
"""Lines need not be nearer to each other than about this."""

_FEWEST_SLICES = 16
"""Of a series that is divided into every second slice; else its longest axis is."""


@dataclass(frozen=True)
class View:
    """How the other series looks at what a result added.

    Attributes:
        test: how the two series lie to each other, and why that allows a check.
        across: grid axis of the other series that its lattice takes as that of its slices.
        thickness_mm: of what it averages over along that axis.
        line_width_mm: full width at half maximum of what it averages over along the lines; 0 for nothing.
    """

    test: RealTest
    across: int
    thickness_mm: float
    line_width_mm: float

    @classmethod
    def of(cls, test: RealTest, original: Geometry, other: Geometry) -> View:
        """For a stack that crosses the slices of the original, and for one that is parallel and finer."""
        if test.kind != DIFFERENCE:
            return cls(test, test.other_across, test.other_thickness_mm, 0.0)
        # It is looked at from the side: its slices are the pixels along the lines.
        normal = np.array(original.direction).reshape(3, 3)[:, test.across]
        side = int(np.abs(np.array(other.direction).reshape(3, 3).T @ normal).argmin())
        return cls(test, side, other.spacing_xyz_mm[side], test.other_thickness_mm)

    def lattice(self, original: Geometry, other: Geometry) -> Lattice:
        """Where the other series, at `other` in the frame of the original, is compared."""
        axes, spacing, size = np.array(other.direction).reshape(3, 3), [*other.spacing_xyz_mm], [*other.size_xyz]
        normal = np.array(original.direction).reshape(3, 3)[:, self.test.across]
        beside = [axis for axis in range(3) if axis != self.across]
        along = max(beside, key=lambda axis: abs(float(axes[:, axis] @ normal)))
        for axis in range(3):
            step = 1 if axis == along else max(1, min(round(_DENSE_MM / spacing[axis]), size[axis]))
            spacing[axis], size[axis] = spacing[axis] * step, (size[axis] - 1) // step + 1
        x, y, z = spacing
        thin = Geometry((size[0], size[1], size[2]), (x, y, z), other.origin_mm, other.direction)
        return make_lattice(original, thin, self.test.across, self.across, self.thickness_mm)


@dataclass(frozen=True)
class Aligned:
    """The other series in the frame and the intensities of the result.

    Attributes:
        lattice: where both are compared.
        other: the other series there.
        plain: the plain enlargement there, as the other scanner would see it.
        body: places of the lattice that count and show the patient.
        fit: how the other series was moved, beyond `start_mm`.
        start_mm: how far it was shifted first, since its frame of reference is another one.
        mapping: what its intensities stand for.
        agreement: correlation of what both resolve.
        uncertainty_mm: how far the place may be off.
    """

    lattice: Lattice
    other: Array
    plain: Array
    body: Mask
    fit: RigidFit
    start_mm: tuple[float, float, float]
    mapping: Mapping
    agreement: float
    uncertainty_mm: float = 0.0


def align(
    plain: Volume, original: Geometry, other: Volume, view: View, *, same_frame: bool | None, progress: Progress
) -> Aligned:
    """Find where `other` lies on `plain`.

    Args:
        plain: the plain enlargement, on the grid of the result.
        original: grid of what was enlarged.
        other: the series that judges.
        view: how it looks at the result.
        same_frame: whether the headers put both into one frame of reference; where they do not, centres are brought
            together first.
        progress: may stop the search.

    Raises:
        InputError: fields that do not meet, or no place at which both show the same.
    """
    starts = [(0.0, 0.0, 0.0)]
    if same_frame is False:
        starts.insert(0, _between_centres(other, plain))
    found: list[tuple[Aligned, Volume]] = []
    failed: list[InputError] = []
    for start in starts:
        try:
            found.append(_aligned_from(start, plain, original, other, view, progress))
        except InputError as error:
            failed.append(error)
    if not found:
        raise failed[0]
    best, mapped = max(found, key=lambda each: each[0].agreement)
    if best.agreement < POOR:
        raise InputError(
            f"The other series could not be registered, or shows something else: after a {best.fit.describe()}, what "
            f"both resolve correlates by {best.agreement:.2f} only, also with its intensities fitted to the result; "
            f"{POOR:g} is the least. Nothing can be said of the detail."
        )
    progress.stage("Registering halves of the other series")
    return dataclasses.replace(best, uncertainty_mm=_uncertainty(best, mapped, plain, view, progress))


def _between_centres(other: Volume, plain: Volume) -> tuple[float, float, float]:
    """From the centre of what one volume shows to that of the other."""
    ends = []
    for volume in (other, plain):
        centre = np.array(ndi.center_of_mass(foreground_mask(volume.array.astype(np.float32))))
        ends.append(volume.geometry.to_patient(centre[::-1]))
    x, y, z = (float(v) for v in ends[1] - ends[0])
    return (x, y, z)


def _aligned_from(
    start: tuple[float, float, float], plain: Volume, original: Geometry, other: Volume, view: View, progress: Progress
) -> tuple[Aligned, Volume]:
    """The place that is found from one start; and the other series at the start, in the intensities of the result."""
    x, y, z = (a + b for a, b in zip(other.geometry.origin_mm, start, strict=True))
    placed = other.replace(geometry=dataclasses.replace(other.geometry, origin_mm=(x, y, z)))
    # Intensities first, at about the right place: a registration by correlation needs bright to be bright.
    lattice = view.lattice(original, placed.geometry)
    mapping = _mapping(lattice, lattice.read(placed), lattice.read(plain))[0]
    mapped = placed if mapping.kind == ALIKE else placed.replace(array=mapping(placed.array.astype(np.float32)))
    progress.check()
    fit = register(mapped, plain, progress.check)
    fit.check_near()
    moved = placed.replace(geometry=fit.moved(placed.geometry))
    lattice = view.lattice(original, moved.geometry)
    image, seen = lattice.read(moved), lattice.see(plain)
    mapping, body = _mapping(lattice, image, seen)
    alike = mapping(image)
    agreement = correlation(*(filtered(each, lattice, COARSE)[body] for each in (alike, seen)))
    return Aligned(lattice, alike, seen, body, fit, start, mapping, agreement), mapped


def _mapping(lattice: Lattice, image: Array, plain: Array) -> tuple[Mapping, Mask]:
    """How intensities of both go together within the body, and where that is."""
    body = lattice.kept & foreground_mask(plain)
    if not body.any():
        raise InputError("The two series have no part of the body in common.")
    sigmas = [_SMOOTH_MM / step for step in lattice.geometry.spacing_xyz_mm[::-1]]
    return fit_mapping(*(ndi.gaussian_filter(each, sigmas)[body] for each in (image, plain))), body


def _uncertainty(found: Aligned, mapped: Volume, plain: Volume, view: View, progress: Progress) -> float:
    """Root mean square over the corners of the field of how far the place may be off, mm.

    Every second slice is registered alone, and the others: the two places differ by twice the error of their mean.
    """
    axis = view.across
    if mapped.geometry.size_xyz[axis] < _FEWEST_SLICES:
        axis = int(np.argmax(mapped.geometry.size_xyz))
    fits = [register(_every_second(mapped, axis, first), plain, progress.check) for first in (0, 1)]
    size = np.array(found.lattice.geometry.size_xyz) - 1
    corners = found.lattice.geometry.to_patient(size * np.array(list(itertools.product((0, 1), repeat=3))))
    before = (corners - found.fit.matrix[:3, 3]) @ found.fit.matrix[:3, :3]  # the inverse of a turn is its transpose
    ends = [before @ fit.matrix[:3, :3].T + fit.matrix[:3, 3] for fit in fits]
    return math.sqrt(float(np.square(ends[0] - ends[1]).sum(axis=1).mean())) / 2


def _every_second(volume: Volume, axis: int, first: int) -> Volume:
    grid = volume.geometry
    array = volume.array[tuple(slice(first, None, 2) if 2 - a == axis else slice(None) for a in range(3))]
    start = [first if a == axis else 0 for a in range(3)]
    x, y, z = (s * (2 if a == axis else 1) for a, s in enumerate(grid.spacing_xyz_mm))
    ox, oy, oz = (float(v) for v in grid.to_patient(start))
    return volume.replace(
        array=array, geometry=Geometry(array.shape[::-1], (x, y, z), (ox, oy, oz), grid.direction)
    )  # fmt: skip
