"""What a model is chosen for, and what is chosen: grids, dimensions, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medsr.catalog import CatalogEntry
from medsr.errors import ModelError
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.options import UpscaleOptions
from medsr.planning.target import Target, plane_axis, resolve_target
from medsr.volume import Volume

MIN_SLICES_3D = 8
"""Volumes with fewer voxels along an axis are enlarged slice by slice."""


@dataclass(frozen=True)
class Placement:
    """The grids of a job, and what a method does to them.

    Attributes:
        target: grids of input, work and output.
        plane_axis: array axis (z, y, x order) across the slices of slice-wise work.
        scale: factor of a network of a fixed scale.
        undoes: downscaling that such a network learned to undo, and the grid axes that it enlarges.
        decisions: what was decided.
        warnings: what a person should know.
    """

    target: Target
    plane_axis: int
    scale: int | None = None
    undoes: tuple[str, Sequence[int]] = ("", ())
    decisions: tuple[Notice, ...] = ()
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Situation:
    """What a model is chosen for.

    Attributes:
        modality: "MR" or "CT".
        factors_xyz: enlargement along each grid axis.
        plane_axis: array axis across the slices of slice-wise work.
        noise: level of the input, None where it cannot be told.
        mode: what was asked: "auto", "3d" or "2d".
        thin: fewer than `MIN_SLICES_3D` voxels along an axis.
        runnable: only what runs in this Python will do.
    """

    modality: str
    factors_xyz: tuple[float, float, float]
    plane_axis: int
    noise: float | None
    mode: str
    thin: bool
    runnable: bool

    def factors_for(self, dims: int) -> list[float]:
        """Factors of the axes that a network of `dims` dimensions works on."""
        return [factor for axis, factor in enumerate(self.factors_xyz) if dims == 3 or axis != 2 - self.plane_axis]


@dataclass(frozen=True)
class Choice:
    """A model for a situation: its entry, the dimensions that it works in, and what is to be said of it."""

    entry: CatalogEntry
    spatial_dims: int
    decisions: tuple[Notice, ...] = ()
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a method that `auto` asked does not do it: what the one that does it says instead.

    Attributes:
        kind: of the notice; it gets the name of the model that is taken as ``model``.
        values: its further values.
        warning: the same for a warning, as kind and values.
    """

    kind: str
    values: dict[str, Any]
    warning: tuple[str, dict[str, Any]] | None = None


def place(volume: Volume, options: UpscaleOptions, reference: Geometry | None) -> Placement:
    """The grids for what was asked, whatever the model."""
    target = resolve_target(volume.geometry, options, reference, planar=volume.planar)
    return Placement(target, plane_axis(options, target.factors_xyz))


def modality_fits(entry: CatalogEntry, modality: str) -> None:
    """Raise ModelError for a network and an image of another modality."""
    if modality not in entry.modalities:
        raise ModelError(
            f"{entry.name} is for {' and '.join(entry.modalities)}, this volume is {modality}. Choose another "
            f"model (`medsr models`), or give --modality {entry.modalities[0]} if it was recognised wrongly."
        )


def shape_of(situation: Situation, dims: int) -> Notice:
    """Why a volume is worked on whole or slice by slice."""
    if situation.thin and situation.mode == "auto":
        return notice("shape.thin", count=MIN_SLICES_3D)
    return notice("shape.slices" if dims == 2 else "shape.volume")


def automatic_dims(situation: Situation) -> int:
    """3 for volumes, 2 for slice by slice."""
    return {"3d": 3, "2d": 2}.get(situation.mode, 2 if situation.thin else 3)


def dims_for(entry: CatalogEntry, situation: Situation) -> int:
    """The dimensions in which a model that was asked for by name works.

    Raises:
        ModelError: not those that were asked, or too few slices for it.
    """
    if situation.mode != "auto":
        dims = int(situation.mode[0])
        if dims not in entry.spatial_dims:
            raise ModelError(
                f"{entry.name} works in {entry.spatial_dims[0]}D only. Leave --mode away, or choose another model."
            )
        return dims
    if len(entry.spatial_dims) == 1:
        dims = entry.spatial_dims[0]
        if dims == 3 and situation.thin:
            raise ModelError(
                f"{entry.name} is volumetric and needs at least {MIN_SLICES_3D} voxels along each axis. Use a 2D "
                "model, or --model auto."
            )
        return dims
    return 2 if situation.thin else 3
