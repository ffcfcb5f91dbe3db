"""The plan of a job on nodes, made once: the panel shows it, and the click takes it over. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import slicer

from MedSRLib import SceneIO
from MedSRLib.CorePath import ensureCore

REFERENCE_FILE = "reference.nrrd"


@dataclass(frozen=True)
class PlannedJob:
    """What a job will do.

    Attributes:
        plan: a `medsr.methods.plan.Plan`.
        facts: the `medsr.facts.Facts` of the acquisition that it was made with.
        warnings: sentences about the input, which are warnings of the plan, too.
        sliceAxis: grid axis ("x", "y", "z") across the slices of the input, None where nothing tells.
    """

    plan: Any
    facts: Any
    warnings: tuple[str, ...]
    sliceAxis: str | None


def optionsOf(options: Mapping[str, Any], reference: slicer.vtkMRMLVolumeNode | str | None = None) -> Any:
    """Validated `medsr.options.UpscaleOptions`.

    Args:
        options: by name.
        reference: volume node or image file whose grid is the target.

    Raises:
        medsr.errors.MedSRError: options that make no sense.
    """
    ensureCore()
    from medsr.options import UpscaleOptions

    given = dict(options)
    if reference is not None:
        given["reference"] = reference if isinstance(reference, str) else REFERENCE_FILE
    return UpscaleOptions.from_dict(given)


def foundOptions(plan: Any, options: Any) -> Any:
    """`options` that also say what a plan found in the voxels, so that other frames are taken to be sampled alike."""
    import dataclasses

    parts = options.profile.split(",")
    parts = parts * 3 if len(parts) == 1 else parts
    for n, (found, spacing) in enumerate(zip(plan.evidence, plan.target.source.spacing_xyz_mm)):
        if found.source == "voxels":
            profile = found.profile
            taper = f":{profile.taper:g}" if profile.taper else ""
            parts[n] = f"{profile.kind}:{profile.width * spacing:.6g}{taper}"
    return dataclasses.replace(options, profile=",".join(parts), modality=plan.modality)


class ScenePlanner:
    """Plans jobs; remembers the last plan, and for other options what was seen in the voxels, which takes a moment."""

    def __init__(self) -> None:
        self._asked: Any = None
        self._planned: Any = None
        self._lookedAt: Any = None
        self._looks: Any = None

    def plan(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        options: Any,
        reference: slicer.vtkMRMLVolumeNode | str | None = None,
    ) -> PlannedJob:
        """What a job will do; the same object while nothing has changed.

        Args:
            volumeNode: the input.
            options: as `optionsOf` gives them, for the same `reference`.
            reference: volume node or image file whose grid is the target.

        Raises:
            SceneError, medsr.errors.MedSRError: it cannot be done; the text says why.
        """
        volume = SceneIO.volumeOf(volumeNode)
        grid = _gridOf(reference, volumeNode)
        # VTK counts the changes of all images together, so their time tells images apart, too.
        voxels = volumeNode.GetImageData().GetMTime()
        looked = (voxels, volume.geometry, volume.modality, volume.facts, volume.warnings)
        asked = (*looked, options, grid)
        if asked != self._asked:
            from medsr.inference.planner import make_plan
            from medsr.planning.looks import Looks

            self._asked = None
            if looked != self._lookedAt:
                self._lookedAt, self._looks = looked, Looks()
            plan = make_plan(volume, options, grid, looks=self._looks)
            self._planned = PlannedJob(plan, volume.facts, volume.warnings, sliceAxis(volume, options))
            self._asked = asked
        return self._planned


def sliceAxis(volume: Any, options: Any) -> str | None:
    """The axis across the slices of a `medsr.volume.Volume`: as chosen, as the header says, else by its voxels."""
    from medsr.planning.evidence import slice_axis

    return slice_axis(volume.facts, options, volume.geometry, planar=volume.planar)


def _gridOf(reference: slicer.vtkMRMLVolumeNode | str | None, volumeNode: slicer.vtkMRMLVolumeNode) -> Any:
    """The grid of a reference as seen from the input, None for no reference."""
    from medsr.geometry import Geometry
    from medsr.io import read_geometry

    if reference is None:
        return None
    if isinstance(reference, str):
        return read_geometry(reference)
    affine = SceneIO.affineSeenFrom(reference, volumeNode)
    return Geometry.from_affine(affine, reference.GetImageData().GetDimensions())
