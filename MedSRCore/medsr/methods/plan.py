"""Everything that was decided about one job, as data, and what a family of models tells and does for one.

A new family is a file like its neighbours and an entry of `METHODS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry
from medsr.errors import InvalidValueError
from medsr.geometry import Geometry
from medsr.methods.choosing import Choice, Placement, Refusal, Situation, dims_for, place
from medsr.normalisation import Units
from medsr.notices import Notice, notice
from medsr.options import UpscaleOptions
from medsr.physics.sampling import Acquisition, apply_along
from medsr.planning.evidence import AxisEvidence
from medsr.planning.padding import Padding
from medsr.planning.target import Target
from medsr.resources import size_text
from medsr.volume import Volume

Array = NDArray[np.float32]


class Enlarger(Protocol):
    """Enlarges one channel onto the work grid."""

    @property
    def device(self) -> str:
        """Where, for people; asked afterwards, since for want of memory it may have gone on elsewhere."""

    def __call__(self, coarse: Array, progress: Callable[[float], None], /) -> Array:
        """A channel on the input grid -> a new array on the work grid; float32."""
        ...

    def seconds(self) -> float | None:
        """How long that takes here, from a piece that is tried out; None where that is not done."""
        ...


@dataclass(frozen=True)
class Plan:
    """Everything decided about one job.

    Attributes:
        target: grids of input, work and output.
        entry: the model.
        method: what runs it.
        spatial_dims: 3, or 2 for slice by slice.
        plane_axis: array axis (z, y, x order) across the slices in 2D mode.
        modality: "MR" or "CT".
        evidence: how the axes x, y and z of the input were sampled, and how that is known.
        acquisition: how the input samples the work grid, per array axis (z, y, x).
        decisions: what was picked and why.
        warnings: what a person should know.
        noise: noise level of the input as a fraction of its 99th percentile, None where it cannot be told.
        channels: colours.
        scale: factor of a network of a fixed scale; None for the others.
        padding: voxels of the input that show nothing, or None.
        units: of the intensities of the work.
        effort: "fast", "standard" or "thorough"; see `UpscaleOptions`.
    """

    target: Target
    entry: CatalogEntry
    method: Method
    spatial_dims: int
    plane_axis: int
    modality: str
    evidence: tuple[AxisEvidence, ...]
    acquisition: Acquisition
    decisions: tuple[Notice, ...]
    warnings: tuple[Notice, ...]
    noise: float | None = None
    channels: int = 1
    scale: int | None = None
    padding: Padding | None = field(default=None, compare=False, repr=False)
    units: Units = field(default_factory=Units)
    effort: str = "standard"

    @property
    def packages(self) -> tuple[str, ...]:
        """Python packages beside the core's own that must be installed."""
        return self.method.packages

    @property
    def together(self) -> bool:
        """True when the model takes all colours at once; each alone otherwise."""
        return self.entry.channels > 1

    @property
    def planes(self) -> tuple[Plan, ...]:
        """The slice-wise jobs whose answers are averaged with that of a volumetric network."""
        return self.method.planes(self)

    def evened(self, coarse: Array) -> Array:
        """The input on its whole grid, for what needs one slice for each plane: between uneven slices linearly."""
        slices = self.acquisition.axes[0]
        if slices.centres is None:
            return coarse
        planes = slices.centres[0] + np.arange(self.target.source.size_xyz[2]) * slices.factor
        matrix = np.stack([np.interp(planes, slices.centres, one) for one in np.eye(slices.n_coarse)], axis=1)
        return np.asarray(apply_along(coarse, {0: matrix}), dtype=np.float32)

    def estimate(self, limit: int | None = None) -> dict[str, Any]:
        """What it takes: ``memory_bytes``, and ``seconds`` on two CPU cores.

        Args:
            limit: bytes of memory that may be used; where they are few, it takes longer.
        """
        memory, seconds = self.method.estimate(self, limit)
        return {"memory_bytes": int(memory), "seconds": round(seconds, 1)}

    def to_dict(self) -> dict[str, Any]:
        """For reports: sizes and decisions."""
        return {
            "input": grid_json(self.target.source),
            "output": grid_json(self.target.output),
            "factors_xyz": [round(f, 6) for f in self.target.factors_xyz],
            "model": self.entry.name,
            "model_version": self.entry.version,
            "model_sha256": self.entry.sha256,
            "mode": f"{self.spatial_dims}d",
            "modality": self.modality,
            "acquisition": [
                found.to_json(spacing)
                for found, spacing in zip(self.evidence, self.target.source.spacing_xyz_mm, strict=True)
            ],
            "downscaling": self.entry.downscaling,
            "noise": None if self.noise is None else round(self.noise, 5),
            "decisions": [one.to_json() for one in self.decisions],
            "warnings": [one.to_json() for one in self.warnings],
        }


class Method(ABC):
    """One family of models."""

    packages: tuple[str, ...] = ()
    """Python packages beside the core's own."""

    @abstractmethod
    def runs(self, entry: CatalogEntry) -> bool:
        """True for the catalog entries of this family."""

    def place(
        self, volume: Volume, options: UpscaleOptions, _entry: CatalogEntry, reference: Geometry | None
    ) -> Placement:
        """The grids for what was asked, for a model of this family."""
        return place(volume, options, reference)

    def automatic(self, _situation: Situation, _refused: Refusal | None) -> Choice | Refusal | None:
        """The model that `auto` takes; a Refusal or None leaves it to the next method."""
        return None

    def named(self, entry: CatalogEntry, situation: Situation) -> Choice:
        """The choice for a model that was asked for by name.

        Raises:
            ModelError: it does not fit the situation.
        """
        return Choice(entry, dims_for(entry, situation), (notice("model.option", model=entry.name),))

    def planes(self, _plan: Plan) -> tuple[Plan, ...]:
        """Slice-wise jobs whose answers are averaged with this one's."""
        return ()

    def corrects(self, _plan: Plan) -> bool:
        """True when the result may be moved to where it agrees with the measured data."""
        return False

    @abstractmethod
    def estimate(self, plan: Plan, limit: int | None = None) -> tuple[float, float]:
        """Cost: bytes of memory, and seconds on two CPU cores, in no more memory than `limit` where that can be."""

    @abstractmethod
    def enlarger(self, plan: Plan, device: str, limit: int | None, coarse: Array) -> Enlarger:
        """What does the work.

        Args:
            plan: what was decided.
            device: what was asked ("auto", "cpu", "cuda:N").
            limit: bytes of main memory that may be used, or None.
            coarse: the whole input, for the scale of its intensities.
        """


def check_memory(plan: Plan, limit: int) -> None:
    """Raise InvalidValueError when the plan cannot fit into `limit` bytes, saying what it needs."""
    needed = plan.estimate(limit)["memory_bytes"]
    if needed > limit:
        raise InvalidValueError(
            f"The target of {plan.target.output.describe()} needs about {size_text(needed)}, "
            f"{size_text(limit)} may be used. Ask for a coarser target, crop the volume, or raise --memory."
        )


def grid_json(geometry: Geometry) -> Mapping[str, Sequence[float] | float]:
    """A grid for reports."""
    return {
        "size_xyz": list(geometry.size_xyz),
        "spacing_xyz_mm": list(geometry.spacing_xyz_mm),
        "origin_lps_mm": list(geometry.origin_mm),
        "direction": list(geometry.direction),
        **({} if geometry.shear is None else {"tilt_degrees": round(geometry.shear.degrees, 4)}),
    }
