"""Networks that enlarge by a whole factor of their own: on which grid they work, and what they undo.

A published system makes its own factor and nothing else. It runs at that factor; where the target asks for another
grid, its result is brought there as that of any model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry
from medsr.errors import InvalidValueError, ModelError, unknown_name
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.methods.choosing import Choice, Placement, Situation, modality_fits
from medsr.methods.costs import LARGEST_TILE_BYTES, network_cost, room_for_tile
from medsr.methods.plan import Enlarger, Method, Plan
from medsr.methods.runtime import networks
from medsr.notices import Notice, notice
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.physics.profiles import KINDS
from medsr.planning.evidence import slice_axis
from medsr.planning.sampling import SLICE_PROFILES
from medsr.planning.target import Target, plane_axis, resolve_target, upright_over
from medsr.volume import Volume

Array = NDArray[np.float32]


class FixedScale(Method):
    """The published systems."""

    packages = ("torch",)

    def runs(self, entry: CatalogEntry) -> bool:
        """See `Method.runs`."""
        return bool(entry.scales)

    def place(
        self, volume: Volume, options: UpscaleOptions, entry: CatalogEntry, reference: Geometry | None
    ) -> Placement:
        """Factor and grids; without a target, the network's first factor is the target.

        Raises:
            UnknownNameError: the network undoes a downscaling that does not exist.
            InvalidValueError: as `resolve_target`, or more than 8 times across the slices.
        """
        if entry.downscaling not in KINDS:
            raise unknown_name("downscaling", entry.downscaling, KINDS)
        source = volume.geometry
        asked = None
        if options.has_target:
            largest = max(MAX_FACTOR, float(max(entry.scales)))
            asked = resolve_target(source, options, reference, planar=volume.planar, largest=largest)
        slice_wise = entry.spatial_dims == (2,)
        if volume.places and not slice_wise:
            raise ModelError(
                f"{entry.name} is volumetric and takes evenly spaced slices; those of this series are uneven. Take "
                "--model auto, which places each slice where it was measured."
            )
        across = plane_axis(options, asked.factors_xyz) if asked else _across(volume, options)
        axes = tuple(axis for axis in range(3) if not (slice_wise and axis == 2 - across))
        wanted = max(asked.factors_xyz[axis] for axis in axes) if asked else float(entry.scales[0])
        scale = scale_for(wanted, entry.scales)
        shifted = not KINDS[entry.downscaling].aligned
        work = _work_grid(source, scale, axes, asked.work if asked else source, shifted=shifted)
        where = notice("where.everywhere")
        if slice_wise:
            where = notice("where.plane", axes=", ".join(AXES[axis] for axis in axes))
        undoes = (entry.downscaling, axes)
        if asked is None:
            reason = notice("target.fixed", scale=scale, where=where, model=entry.name)
            return Placement(Target(source, work, upright_over(work), reason), across, scale, undoes)
        target = Target(source, work, asked.output, asked.reason)
        decisions = [notice("fixed.factor", model=entry.name, scale=scale, where=where)]
        if slice_wise and (factor := asked.factors_xyz[2 - across]) > 1:
            if factor > MAX_FACTOR * (1 + 1e-6):
                raise InvalidValueError(
                    f"{asked.reason} would enlarge {factor:.3g} times across the slices ({AXES[2 - across]}); up to "
                    f"{MAX_FACTOR:g} is supported there. Give factors per axis, for example --scale {scale},{scale},1."
                )
            decisions.append(notice("fixed.across", factor=factor, axis=AXES[2 - across]))
        if target.needs_resampling:
            decisions.append(notice("fixed.resampled", model=entry.name))
        warnings: tuple[Notice, ...] = ()
        if wanted > scale * 1.01:
            warnings = (notice("fixed.short", model=entry.name, scale=scale, factor=wanted),)
        return Placement(target, across, scale, undoes, tuple(decisions), warnings)

    def named(self, entry: CatalogEntry, situation: Situation) -> Choice:
        """See `Method.named`."""
        modality_fits(entry, situation.modality)
        choice = super().named(entry, situation)
        if not entry.perceptual:
            return choice
        return replace(choice, warnings=(notice("model.perceptual", model=entry.name),))

    def corrects(self, plan: Plan) -> bool:
        """Only where it undoes a slice profile: else it would be moved towards data that were never measured so."""
        return plan.entry.downscaling in SLICE_PROFILES

    def estimate(self, plan: Plan, limit: int | None = None) -> tuple[float, float]:
        """See `Method.estimate`."""
        work = plan.target.work.voxels * plan.channels
        # The input, normalised, is held beside a tile.
        tile = min(LARGEST_TILE_BYTES, max(room_for_tile(plan, limit), 0.0)) + 4.0 * plan.target.source.voxels
        return network_cost(plan, [tile], 2 * work * float(plan.entry.network["multiply_adds"]))

    def enlarger(self, plan: Plan, device: str, limit: int | None, coarse: Array) -> Enlarger:
        """See `Method.enlarger`."""
        return cast("Enlarger", networks(plan).fixed_scale(plan, device, limit, coarse))


def scale_for(wanted: float, scales: Sequence[int]) -> int:
    """The smallest of `scales` that reaches the factor `wanted`, else the largest."""
    reaching = [scale for scale in scales if scale >= wanted * (1 - 1e-3)]
    return min(reaching) if reaching else max(scales)


def _across(volume: Volume, options: UpscaleOptions) -> int:
    """Array axis across the slices where no target says which; z where nothing does."""
    return 2 - AXES.index(slice_axis(volume.facts, options, volume.geometry, planar=volume.planar) or "z")


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
    return replace(
        source,
        size_xyz=(size[0], size[1], size[2]),
        spacing_xyz_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(x, y, z),
    )
