"""Enlarging one series with every model, to be judged by another one of the same patient."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import load_catalog
from medsr.errors import CancelledError, ModelError
from medsr.evaluation.detail import Lattice
from medsr.evaluation.real_rows import BASELINE, RealRow, RealTable, RealTest
from medsr.evaluation.run import FAILURES, Enlarged, reason
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.options import UpscaleOptions
from medsr.planning.evidence import ANISOTROPIC_RATIO
from medsr.volume import Volume

_LOG = logging.getLogger(__name__)

Array = NDArray[np.float32]


class EnlargeOnto(Protocol):
    """The seam to the inference; `medsr.inference.pipeline.super_resolve` is one."""

    def __call__(
        self, volume: Volume, options: UpscaleOptions, progress: Progress | None, /, *, reference: Geometry | None
    ) -> Enlarged:
        """Enlarge `volume` as `options` say, onto the grid `reference` where it is given."""


@dataclass(frozen=True)
class Look:
    """The images of a comparison, for whoever wants to look at them; all on the same pixels.

    Attributes:
        table: the figures.
        reference: the other series, as it was compared.
        measured: the series that was enlarged, at each pixel the nearest of its voxels.
        results: label of the row -> what the model made, as it was compared.
        lattice: where the pixels lie, for the detail test.
    """

    table: RealTable
    reference: Volume
    measured: Volume
    results: Mapping[str, Volume]
    lattice: Lattice | None = None


@dataclass(frozen=True)
class Runner:
    """Enlarges the thick series."""

    thick: Volume
    test: RealTest
    profiles: Mapping[str, str]
    options: UpscaleOptions
    enlarge: EnlargeOnto
    progress: Progress

    def runs(self, models: Sequence[str]) -> list[RealRow]:
        """Rows to fill: every model with every profile that it can use."""
        return [
            RealRow(model, profile)
            for model in dict.fromkeys(models)
            for profile in (self.profiles if _uses_profile(model) else ("auto",))
        ]

    def baseline(self, grid: Geometry | None = None) -> tuple[RealRow, Volume]:
        """What everything is compared with."""
        row, volume = self.run(RealRow(BASELINE), grid)
        if volume is None:
            raise ModelError(f"{BASELINE}, which every model is compared with, gave no result: {row.error}")
        return row, volume

    def run(self, row: RealRow, grid: Geometry | None = None) -> tuple[RealRow, Volume | None]:
        """The row with what is known of the model, and its result; None where it failed."""
        self.progress.stage(f"Enlarging with {row.label}")
        started = time.perf_counter()
        try:
            enlarged = self.enlarge(
                self.thick, self._asked(row, grid), self.progress.unheard(), reference=grid
            )  # fmt: skip
        except CancelledError:
            raise
        except FAILURES as error:
            _LOG.warning("%s failed: %s", row.label, error)
            return dataclasses.replace(row, error=reason(error)), None
        used = str(enlarged.report.get("model", row.model))
        row = dataclasses.replace(
            row,
            model_used=used,
            perceptual=bool(enlarged.report.get("perceptual", False)),
            seconds=time.perf_counter() - started,
            taken=_taken(enlarged.report, self.test.across) if _uses_profile(used) else "",
        )
        return row, enlarged.volume

    def _asked(self, row: RealRow, grid: Geometry | None) -> UpscaleOptions:
        spacing = self.thick.geometry.spacing_xyz_mm
        return dataclasses.replace(
            self.options,
            model=row.model,
            profile=self.profiles.get(row.profile, "auto"),
            dtype="float32",
            reference=None if grid is None else "the other series",
            isotropic=grid is None and max(spacing) >= ANISOTROPIC_RATIO * min(spacing),
        )


def nearest(thick: Volume, grid: Geometry) -> Volume:
    """The series on `grid`, at each voxel the nearest of its own."""
    step = np.linalg.inv(thick.geometry.affine[:3, :3]) @ grid.affine[:3, :3]
    first = thick.geometry.to_index(grid.to_patient((0, 0, 0)))
    x, y, z = (np.arange(n) for n in grid.size_xyz)
    index = []
    for axis, size in enumerate(thick.geometry.size_xyz):
        place = first[axis] + step[axis, 0] * x + step[axis, 1] * y[:, None] + step[axis, 2] * z[:, None, None]
        index.append(np.clip(np.rint(place), 0, size - 1).astype(int))
    return thick.replace(array=thick.array[index[2], index[1], index[0]].astype(np.float32), geometry=grid)


def _uses_profile(model: str) -> bool:
    entry = load_catalog().get(model)
    return entry is None or entry.kind != "interpolation"


def _taken(report: Mapping[str, Any], across: int) -> str:
    """The slice profile of a report, in words."""
    for found in report.get("acquisition", ()):
        if found["axis"] == AXES[across]:
            return f"{found['profile']} {found['width_mm']:.3g} mm" + (", assumed" if found.get("assumed") else "")
    return ""


def unit_of(volume: Volume) -> str:
    """Of its intensities; nothing where they have none."""
    return "HU" if volume.modality == "CT" else ""
