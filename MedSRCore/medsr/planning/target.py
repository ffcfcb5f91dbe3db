"""From what a person asked for to one target grid.

"x2", "1 mm", "isotropic" and "the grid of that image" all become a Target: a fine grid parallel to the input on
which the work is done, and the grid that the output has. They are the same unless the output is coarser than the
input along an axis, or turned against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsr.errors import InvalidValueError
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.planning.evidence import ANISOTROPIC_RATIO

_SAME_SPACING = 1e-3


@dataclass(frozen=True)
class Target:
    """Where the work is done and where it ends.

    Attributes:
        source: grid of the input.
        work: fine grid parallel to `source`, sheared where that is; its spacing is nowhere coarser than the input's.
        output: grid of the result, upright.
        reason: why this target.
    """

    source: Geometry
    work: Geometry
    output: Geometry
    reason: Notice

    @property
    def factors_xyz(self) -> tuple[float, float, float]:
        """Work voxels per input voxel along each axis, at least 1."""
        x, y, z = (a / b for a, b in zip(self.source.spacing_xyz_mm, self.work.spacing_xyz_mm, strict=True))
        return (x, y, z)

    @property
    def needs_resampling(self) -> bool:
        """True when the output is not simply the work grid."""
        return not self.work.is_same_as(self.output)


def resolve_target(
    source: Geometry,
    options: UpscaleOptions,
    reference: Geometry | None = None,
    *,
    planar: bool = False,
    largest: float = MAX_FACTOR,
) -> Target:
    """The target of `options` for an input on `source`.

    Args:
        source: grid of the input.
        options: what was asked.
        reference: grid of the file that ``options.reference`` names.
        planar: True for a single 2D image, which is never enlarged across its plane.
        largest: factor up to which an axis may be enlarged.

    Raises:
        InvalidValueError: an enlargement beyond `largest` along an axis, a target that changes nothing, or a reference
            that does not meet the input.
    """
    if reference is not None:
        return _match_reference(source, reference, largest)
    if options.scale is not None:
        factors = list(options.scale)
        if planar:
            factors[2] = 1.0
        reason = notice("target.scale", factors=" x ".join(f"{f:g}" for f in factors))
        return _parallel(source, [s / f for s, f in zip(source.spacing_xyz_mm, factors, strict=True)], reason, largest)
    if options.spacing is not None:
        spacing = list(options.spacing)
        if planar:
            spacing[2] = source.spacing_xyz_mm[2]
        reason = notice("target.spacing", spacings=" x ".join(f"{s:g}" for s in spacing))
        return _parallel(source, spacing, reason, largest)
    return _default(source, isotropic=options.isotropic, planar=planar)


def plane_axis(options: UpscaleOptions, factors_xyz: Sequence[float]) -> int:
    """Array axis (z, y, x order) across the slices in 2D mode: as asked, else the least enlarged one, z first."""
    if options.slice_axis != "auto":
        return 2 - "xyz".index(options.slice_axis)
    factors_zyx = factors_xyz[::-1]
    return min(range(3), key=lambda axis: (round(factors_zyx[axis], 3), axis))


def _default(source: Geometry, *, isotropic: bool, planar: bool) -> Target:
    spacing = source.spacing_xyz_mm
    in_use = spacing[:2] if planar else spacing
    finest, coarsest = min(in_use), max(in_use)
    across = [spacing[2]] if planar else []
    if isotropic or coarsest / finest >= ANISOTROPIC_RATIO:
        # The thickest slices are brought down as far as is allowed, no further.
        wanted = [max(finest, s / MAX_FACTOR) for s in in_use] + across
        return _parallel(source, wanted, notice("target.isotropic", spacing=finest))
    return _parallel(source, [s / 2 for s in in_use] + across, notice("target.twice"))


def _parallel(source: Geometry, spacing: list[float], reason: Notice, largest: float = MAX_FACTOR) -> Target:
    """Target of exactly `spacing` whose first outer corner is the input's."""
    factors = [_snap(a / b) for a, b in zip(source.spacing_xyz_mm, spacing, strict=True)]
    _check_factors(factors, reason, largest)
    # What rounding in a header made of one spacing is one spacing.
    spacing = [s if f == 1 else wish for s, f, wish in zip(source.spacing_xyz_mm, factors, spacing, strict=True)]
    output = source.with_grid(spacing, [_count(n, f) for n, f in zip(source.size_xyz, factors, strict=True)])
    if min(factors) >= 1:
        return Target(source, output, upright_over(output), reason)
    finest = [min(a, b) for a, b in zip(source.spacing_xyz_mm, spacing, strict=True)]
    work = source.with_grid(finest, [_count(n, max(f, 1.0)) for n, f in zip(source.size_xyz, factors, strict=True)])
    return Target(source, work, upright_over(output), reason)


def upright_over(grid: Geometry) -> Geometry:
    """The upright grid of the same voxels that holds all of a sheared one; `grid` itself where nothing is sheared.

    Its planes are those of the slices, so that reading a volume onto it moves nothing from one plane to another.
    """
    if grid.shear is None:
        return grid
    last = grid.upright.to_index(grid.to_patient(np.eye(3)[grid.shear.axis] * (grid.size_xyz[grid.shear.axis] - 1)))
    last[grid.shear.axis] = 0.0
    # What rounding leaves of a shift of none, or of whole voxels, needs no further voxel.
    start = np.floor(np.minimum(last, 0.0) + _SAME_SPACING).astype(int)
    stop = np.array(grid.size_xyz) + np.ceil(np.maximum(last, 0.0) - _SAME_SPACING).astype(int)
    return grid.upright.cropped(start.tolist(), (stop - start).tolist())


def _match_reference(source: Geometry, reference: Geometry, largest: float) -> Target:
    """Target that ends on exactly the voxels of `reference`."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in reference.size_xyz])).reshape(3, -1).T
    inside = source.to_index(reference.to_patient(corners))
    if (inside.max(axis=0) < -0.5).any() or (inside.min(axis=0) > np.array(source.size_xyz) - 0.5).any():
        raise InvalidValueError(
            "The reference grid does not meet the input anywhere in patient space. Is it of the same scan session?"
        )
    reason = notice("target.reference", grid=reference.describe())
    if source.is_parallel_to(reference):
        return _lattice_of(source, reference, reason, largest)
    # The finest step that the reference takes along each axis of the input.
    strides = source.strides_of(reference)
    spacing = [s * min(1.0, float(a)) for s, a in zip(source.spacing_xyz_mm, strides, strict=True)]
    work = _parallel(source, spacing, reason, largest).work
    return Target(source, work, reference, reason)


def _lattice_of(source: Geometry, reference: Geometry, reason: Notice, largest: float) -> Target:
    """Work on the reference's own lattice, so that its voxels need no interpolation where it lies inside the input."""
    ratios = [_snap(a / b) for a, b in zip(source.spacing_xyz_mm, reference.spacing_xyz_mm, strict=True)]
    _check_factors(ratios, reason, largest, change_needed=False)
    if min(ratios) < 1:
        spacing = [min(a, b) for a, b in zip(source.spacing_xyz_mm, reference.spacing_xyz_mm, strict=True)]
        work = source.with_grid(spacing, [_count(n, max(f, 1.0)) for n, f in zip(source.size_xyz, ratios, strict=True)])
        return Target(source, work, reference, reason)
    # The lattice points whose voxels' centres lie within the input's outer faces.
    low = reference.to_index(source.to_patient([-0.5] * 3))
    high = reference.to_index(source.to_patient(np.array(source.size_xyz) - 0.5))
    start = np.ceil(np.round(low, 4)).astype(int)
    stop = np.floor(np.round(high - 1e-3, 4)).astype(int) + 1
    size = np.maximum(stop - start, 1)
    return Target(source, reference.cropped(start.tolist(), size.tolist()), reference, reason)


def _snap(factor: float) -> float:
    """A factor that rounding in a header kept from being 1 is 1."""
    return 1.0 if abs(factor - 1) < _SAME_SPACING else factor


def _count(n: int, factor: float) -> int:
    return max(1, math.floor(n * factor + 0.5))


def _check_factors(factors: list[float], reason: Notice, largest: float, *, change_needed: bool = True) -> None:
    if max(factors) > largest * (1 + 1e-6):
        raise InvalidValueError(
            f"{reason} would enlarge an axis {max(factors):.3g} times; up to {largest:g} is supported. "
            "Ask for a coarser target."
        )
    if change_needed and max(factors) <= 1:
        raise InvalidValueError(
            f"{reason} is nowhere finer than the input: there is nothing to super-resolve. Give a --scale above 1 or a "
            "finer --spacing."
        )
