"""Networks that enlarge by a whole factor of their own: on which grid they work, and what they undo.

A published system makes its own factor and nothing else. It runs at that factor; where the target asks for another
grid, its result is brought there as that of any model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medsr.catalog import CatalogEntry
from medsr.degradation import AxisSampling, FloatArray
from medsr.downscaling import DOWNSCALINGS
from medsr.errors import InvalidValueError, unknown_name
from medsr.geometry import Geometry
from medsr.inference.target import ANISOTROPIC_RATIO, Target, across_axis, resolve_target
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.volume import Volume

AXES = "xyz"
_WORDS = {2: "twice", 3: "three times", 4: "four times"}
_UNSHIFTED = "nearest_wang"
"""The downscaling whose sample 0 is voxel 0, not the centre of the voxels that it stands for."""


@dataclass(frozen=True)
class Downscaled(AxisSampling):
    """One axis of a downscaling by a whole factor, with the interface of a sampled one.

    Attributes:
        kind: a name of `medsr.downscaling.DOWNSCALINGS`.
    """

    kind: str = "bicubic"

    @cached_property
    def matrix(self) -> FloatArray:
        """The operator of this axis, float64 of shape ``(n_coarse, n_fine)``."""
        return DOWNSCALINGS[self.kind](self.n_fine, round(self.factor))


@dataclass(frozen=True)
class OwnFactor:
    """What a network with a factor of its own does to a volume.

    Attributes:
        target: its work grid, and the output grid.
        scale: the factor that it runs at.
        axes: grid axes (x 0, y 1, z 2) that it enlarges.
        plane_axis: array axis (z, y, x order) across the slices of a 2D network.
        notes: sentences about it.
        warnings: sentences that a person should read.
    """

    target: Target
    scale: int
    axes: tuple[int, ...]
    plane_axis: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def resolve_own_factor(
    volume: Volume, options: UpscaleOptions, entry: CatalogEntry, reference: Geometry | None = None
) -> OwnFactor:
    """Decide factor and grids of a network with `scales` for a volume.

    Args:
        volume: the input; its voxels are not looked at.
        options: what was asked. Without a target, the network's first factor is the target.
        entry: the network.
        reference: grid of the file that ``options.reference`` names.

    Raises:
        UnknownNameError: the network undoes a downscaling that does not exist.
        InvalidValueError: as `resolve_target`, or more than 8 times across the slices.
    """
    if entry.downscaling not in DOWNSCALINGS:
        raise unknown_name("downscaling", entry.downscaling, DOWNSCALINGS)
    source = volume.geometry
    asked = None
    if options.has_target:
        largest = max(MAX_FACTOR, float(max(entry.scales)))
        asked = resolve_target(source, options, reference, planar=volume.planar, largest=largest)
    slice_wise = entry.spatial_dims == (2,)
    plane_axis = across_axis(options, asked.factors_xyz) if asked else _slice_axis(volume, options)
    axes = tuple(axis for axis in range(3) if not (slice_wise and axis == 2 - plane_axis))
    wanted = max(asked.factors_xyz[axis] for axis in axes) if asked else float(entry.scales[0])
    scale = scale_for(wanted, entry.scales)
    work = _work_grid(source, scale, axes, asked.work if asked else source, shifted=entry.downscaling == _UNSHIFTED)
    where = f"in plane ({', '.join(AXES[axis] for axis in axes)})" if slice_wise else "in every direction"
    if asked is None:
        reason = f"{_WORDS.get(scale, f'{scale} times')} as fine {where}, the factor of {entry.name}"
        return OwnFactor(Target(source, work, work, reason), scale, axes, plane_axis, (), ())
    target = Target(source, work, asked.output, asked.reason)
    notes = [f"{entry.name} enlarges by {scale} {where}"]
    if slice_wise and (across := asked.factors_xyz[2 - plane_axis]) > 1:
        if across > MAX_FACTOR * (1 + 1e-6):
            raise InvalidValueError(
                f"{asked.reason} would enlarge {across:.3g} times across the slices ({AXES[2 - plane_axis]}); up to "
                f"{MAX_FACTOR:g} is supported there. Give factors per axis, for example --scale {scale},{scale},1."
            )
        notes.append(f"deconvolution enlarges by {across:.3g} across them ({AXES[2 - plane_axis]})")
    if target.needs_resampling:
        notes.append("the result is brought to the target grid")
    warnings = []
    if wanted > scale * 1.01:
        warnings.append(
            f"{entry.name} enlarges by {scale} at most; {wanted:.3g} is asked. What goes beyond is interpolated."
        )
    return OwnFactor(target, scale, axes, plane_axis, ("; ".join(notes) + ".",), tuple(warnings))


def scale_for(wanted: float, scales: Sequence[int]) -> int:
    """The smallest of `scales` that reaches the factor `wanted`, else the largest."""
    reaching = [scale for scale in scales if scale >= wanted * (1 - 1e-3)]
    return min(reaching) if reaching else max(scales)


def _slice_axis(volume: Volume, options: UpscaleOptions) -> int:
    """Array axis across the slices where no target says which: as asked, by the header, the coarsest one, z."""
    if options.slice_axis != "auto":
        return 2 - AXES.index(options.slice_axis)
    spacing = volume.geometry.spacing_xyz_mm
    if volume.slice_thickness_mm is not None and not volume.planar:
        return 2 - AXES.index(volume.slice_axis)
    anisotropic = max(spacing) / min(spacing) >= ANISOTROPIC_RATIO
    return 2 - int(np.argmax(spacing)) if anisotropic and not volume.planar else 0


def _work_grid(source: Geometry, scale: int, axes: Sequence[int], across: Geometry, *, shifted: bool) -> Geometry:
    """`source` divided by `scale` along `axes`; along the others the grid `across`, which is parallel to it.

    The outer faces stay where they are, so that the centre of voxel 0 moves; where the coarse samples are `shifted`,
    its centre stays.
    """
    spacing, size = list(across.spacing_xyz_mm), list(across.size_xyz)
    first = source.to_index(across.origin_mm)
    for axis in axes:
        spacing[axis], size[axis] = source.spacing_xyz_mm[axis] / scale, source.size_xyz[axis] * scale
        first[axis] = 0.0 if shifted else (1 / scale - 1) / 2
    x, y, z = (float(v) for v in source.to_patient(first))
    return Geometry((size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2]), (x, y, z), source.direction)
