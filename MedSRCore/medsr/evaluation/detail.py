"""Detail that another series confirms: a result as that series' scanner would see it, correlated band by band.

A stack of thick slices knows little along its slice axis, and a model adds what it thinks was there. A second stack,
whose plane holds that direction, has measured it. Each result is averaged over the second stack's slice profile and
read where its pixels lie; then both are filtered along the first stack's slice axis to periods that the first stack
could hardly resolve, and correlated. What a model invented correlates with nothing. A correlation knows neither the
scale of the intensities nor the gain of a band, so the two stacks need not be equally bright.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import erf

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.methods.interpolate import interpolate
from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling, apply_along
from medsr.volume import Volume

Floats = NDArray[np.float64]
Array = NDArray[np.float32]

_EDGE = 0.02
"""Cycles per mm from the middle of a band's edge to 84 % of it: a sharper one would need longer lines."""

_MARGIN_MM = 6.0
"""From either end of a line along the slice axis, where filters lack a half of what they need."""

_ALIGNED = math.cos(math.radians(1.0))
_PROFILE_REACH = 1.5
"""Full widths at half maximum to either side of a slice that count as seen by it."""

_FEWEST_PIXELS = 500


@dataclass(frozen=True)
class Band:
    """Periods along the slice axis.

    Attributes:
        name: of its columns.
        label: for people.
        shortest_mm: shortest period.
        longest_mm: longest period; infinite for all that is coarse.
    """

    name: str
    label: str
    shortest_mm: float
    longest_mm: float

    def share(self, frequency: Floats) -> Floats:
        """What is left of a wave of `frequency` (cycles per mm)."""
        upper = _rise(frequency - 1 / self.shortest_mm)
        lower = 1.0 if math.isinf(self.longest_mm) else _rise(frequency - 1 / self.longest_mm)
        return np.asarray(lower - upper)


COARSE = Band("coarse", "above 6 mm", 6.0, math.inf)
"""What both series resolve, mostly: shows whether they lie on each other and show the same."""

BANDS = (
    Band("detail_6_12", "6 to 12 mm", 6.0, 12.0),
    Band("detail_3_6", "3 to 6 mm", 3.0, 6.0),
    Band("detail_2_3", "2 to 3 mm", 2.0, 3.0),
)
"""About the end of what slices of three to six millimetres resolve (twice their distance), and two beyond it."""


@dataclass(frozen=True)
class Lattice:
    """Where a series is read to be compared: on its slices, in lines along the slice axis of the thick series.

    Attributes:
        geometry: x along the lines, y across them in the plane, z across the slices; in the frame of the thick series.
        kept: pixels that count, ``(z, y, x)``: well inside both fields.
        lines: pixels that lie inside both fields, those near the ends of their lines included.
        thickness_mm: of the slices.
        aligned: True where the lattice is the series' own pixels, so that reading them changes nothing.
    """

    geometry: Geometry
    kept: NDArray[np.bool_]
    lines: NDArray[np.bool_]
    thickness_mm: float
    aligned: bool

    @property
    def pixels(self) -> int:
        """Number of pixels that count."""
        return int(np.count_nonzero(self.kept))

    def read(self, series: Volume) -> Array:
        """The series itself; its geometry is that of the frame of the thick series."""
        return interpolate(series.array.astype(np.float32), series.geometry, self.geometry, "bspline")

    def see(self, result: Volume) -> Array:
        """`result` as the scanner of the series would see it: through the slice profile, at the same pixels."""
        spacing = self.geometry.spacing_xyz_mm[2]
        parts = max(1, math.ceil(spacing / min(result.geometry.spacing_xyz_mm) - 1e-6))
        beyond = math.ceil(_PROFILE_REACH * self.thickness_mm / spacing * parts)
        count = self.geometry.size_xyz[2]
        x, y, _ = self.geometry.size_xyz
        fine = _split(self.geometry, parts).cropped((0, 0, -beyond), (x, y, count * parts + 2 * beyond))
        layers = interpolate(result.array.astype(np.float32), result.geometry, fine, "bspline")
        profile = Profile("gaussian", self.thickness_mm / spacing)
        slices = AxisSampling(fine.size_xyz[2], count, parts, profile, offset=beyond + (parts - 1) / 2)
        return np.asarray(apply_along(layers, {0: slices.matrix}), dtype=np.float32)


def make_lattice(thick: Geometry, series: Geometry, across: int, series_across: int, thickness_mm: float) -> Lattice:
    """The lattice on which a series judges what was made of a thick one.

    Args:
        thick: grid of the thick series.
        series: grid of the other series, in the frame of the thick one.
        across: grid axis (x, y, z order) across the slices of the thick series.
        series_across: the same of the other one.
        thickness_mm: of its slices.

    Raises:
        InputError: too few pixels lie well inside both fields.
    """
    axes = np.array(series.direction).reshape(3, 3)
    normal = axes[:, series_across]
    along = np.array(thick.direction).reshape(3, 3)[:, across]
    along = along - (along @ normal) * normal
    along /= np.linalg.norm(along)
    plane = [axis for axis in range(3) if axis != series_across]
    near = max(plane, key=lambda axis: abs(axes[:, axis] @ along))
    aligned = abs(axes[:, near] @ along) >= _ALIGNED
    spacing = series.spacing_xyz_mm
    if aligned:
        along = axes[:, near] * np.sign(axes[:, near] @ along)
        (beside,) = (axis for axis in plane if axis != near)
        steps = (spacing[near], spacing[beside], spacing[series_across])
    else:
        step = min(spacing[axis] for axis in plane)
        steps = (step, step, spacing[series_across])
    direction = np.stack([along, np.cross(normal, along), normal], axis=1)
    anchor = Geometry((1, 1, 1), steps, series.origin_mm, tuple(direction.ravel().tolist()))
    lowest, highest = zip(_reach(anchor, series), _reach(anchor, thick), strict=True)
    start = np.ceil(np.maximum(*lowest) - 1e-3).astype(int)
    stop = np.floor(np.minimum(*highest) + 1e-3).astype(int) + 1
    if (stop <= start).any():
        raise InputError("The two series have no field in common. Are they of one patient and one session?")
    geometry = anchor.cropped(start.tolist(), (stop - start).tolist())
    lines = _inside(geometry, series)
    for side in (-1.0, 1.0):
        # The whole profile of a slice.
        lines &= _inside(geometry, thick, side * thickness_mm * normal)
    margin = math.ceil(_MARGIN_MM / steps[0])
    kept = lines.copy()
    kept[..., :margin] = kept[..., -margin:] = False
    kept[..., margin:] &= lines[..., :-margin]
    kept[..., :-margin] &= lines[..., margin:]
    lattice = Lattice(geometry, kept, lines, thickness_mm, bool(aligned))
    if lattice.pixels < _FEWEST_PIXELS:
        raise InputError(
            f"Only {lattice.pixels} pixels of the other series lie well inside both fields ({_MARGIN_MM:g} mm from the "
            f"ends of the slice axis); {_FEWEST_PIXELS} are needed."
        )
    return lattice


def filtered(image: Array, lattice: Lattice, band: Band) -> Array:
    """`image`, read on `lattice`, with the periods of `band` along its lines alone."""
    size, step = image.shape[2], lattice.geometry.spacing_xyz_mm[0]
    # Lines that leave the common field go on as they were at its border.
    inside = lattice.lines
    first = np.where(inside.any(axis=2), inside.argmax(axis=2), 0)[..., None]
    last = np.where(inside.any(axis=2), size - 1 - inside[..., ::-1].argmax(axis=2), size - 1)[..., None]
    index = np.clip(np.arange(size), first, last)
    continued = np.take_along_axis(image.astype(np.float64), index, axis=2)
    share = band.share(np.arange(size) / (2 * size * step))
    spectrum = fft.dct(continued, axis=2, norm="ortho") * share
    return np.asarray(fft.idct(spectrum, axis=2, norm="ortho"), dtype=np.float32)


def resolves(lattice: Lattice, band: Band) -> bool:
    """True where the pixels of the series are fine enough for `band`."""
    return 2 * lattice.geometry.spacing_xyz_mm[0] <= band.shortest_mm * (1 + 1e-6)


def _rise(distance: Floats) -> Floats:
    return np.asarray((1 + erf(distance / (_EDGE * math.sqrt(2)))) / 2)


def _split(geometry: Geometry, parts: int) -> Geometry:
    """The grid with each slice cut into `parts`."""
    x, y, z = geometry.spacing_xyz_mm
    return geometry.with_grid((x, y, z / parts), (*geometry.size_xyz[:2], geometry.size_xyz[2] * parts))


def _reach(anchor: Geometry, field: Geometry) -> tuple[Floats, Floats]:
    """Lowest and highest index on the lattice of `anchor` of the voxel centres of `field`."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in field.size_xyz])).reshape(3, -1).T
    index = anchor.to_index(field.to_patient(corners))
    return index.min(axis=0), index.max(axis=0)


def _inside(lattice: Geometry, field: Geometry, offset_mm: Floats | None = None) -> NDArray[np.bool_]:
    """Which points of `lattice`, moved by `offset_mm`, lie between the outermost voxel centres of `field`."""
    step = np.linalg.inv(field.affine[:3, :3]) @ lattice.affine[:3, :3]
    first = field.to_index(lattice.to_patient((0, 0, 0)) + (0 if offset_mm is None else offset_mm))
    x, y, z = (np.arange(n) for n in lattice.size_xyz)
    inside = np.ones(lattice.shape_zyx, dtype=bool)
    for axis, size in enumerate(field.size_xyz):
        place = first[axis] + step[axis, 0] * x + step[axis, 1] * y[:, None] + step[axis, 2] * z[:, None, None]
        inside &= (place > -1e-3) & (place < size - 1 + 1e-3)
    return inside
