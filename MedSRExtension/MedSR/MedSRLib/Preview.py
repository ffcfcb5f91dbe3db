"""What the panel says before the click: what the input is, and what the chosen target will be and cost. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib import SceneIO, ScenePlan
from MedSRLib.CorePath import ensureCore
from MedSRLib.Messages import acquisitionText, inWords
from MedSRLib.Translation import tr as _

_GUESSED = ("known.air", "known.intensities")
_FALLBACKS = ("model.no_network", "model.beyond")


@dataclass(frozen=True)
class InputFacts:
    """What a volume is.

    Attributes:
        text: one line: size, spacing, modality, thick slices.
        warnings: sentences.
        sliceAxis: grid axis ("x", "y", "z") across the slices, None where nothing tells.
        isIsotropic: True when no axis is clearly coarser.
        spacing: mm along each grid axis.
    """

    text: str
    warnings: tuple[str, ...]
    sliceAxis: str | None
    isIsotropic: bool
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class PlanPreview:
    """What a job will make.

    Attributes:
        text: size, spacing, memory, time, model.
        acquisition: how the axes of the input were sampled, and how that is known.
        warnings: sentences.
        model: name of the catalog entry that will run.
        why: why that is no network, where one was looked for.
        packages: Python packages that it needs.
        fits: False when more memory is needed than is free.
    """

    text: str
    acquisition: str
    warnings: tuple[str, ...]
    model: str
    why: str
    packages: tuple[str, ...]
    fits: bool = True


class Previewer:
    """Looks at volumes and at what would become of them.

    Args:
        planner: makes the plans.
    """

    def __init__(self, planner: ScenePlan.ScenePlanner) -> None:
        self._planner = planner

    def inputFacts(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> InputFacts:
        """Describe a volume.

        Raises:
            SceneError, medsr.errors.InputError: it cannot be super-resolved as it is.
        """
        ensureCore()
        from medsr.inference.planner import decide_modality
        from medsr.planning.evidence import ANISOTROPIC_RATIO

        volume = SceneIO.volumeOf(volumeNode)
        spacing = volume.geometry.spacing_xyz_mm
        across = ScenePlan.sliceAxis(volume, ScenePlan.optionsOf({}))
        isotropic = max(spacing) / min(spacing) < ANISOTROPIC_RATIO
        modality, known = decide_modality(volume, "auto")
        kind = _("{modality} (guessed)").format(modality=modality) if known.kind in _GUESSED else modality
        parts = [volume.geometry.describe(), kind]
        if not isotropic and across is not None:
            width = spacing["xyz".index(across)]
            text = _("thick {plane} slices, {width:.3g} mm along {axis}") if width == max(spacing) else ""
            text = text or _("thin {plane} slices, every {width:.3g} mm along {axis}")
            parts.append(text.format(plane=_plane(volumeNode, "xyz".index(across)), width=width, axis=across))
        warnings = list(volume.warnings)
        if volume.array.dtype.itemsize == 1 and volume.array.ndim == 3:
            warnings.append(
                _("Only 8 bits per voxel: the grey levels were already rounded before, fine contrast is gone.")
            )
        if isotropic:
            warnings.append(_("Already isotropic: choose a finer target than the input's own spacing."))
        if volume.array.dtype.kind in "iu" and _looksLikeLabels(volume):
            warnings.append(_("Only a few whole numbers, like a segmentation: labels are not super-resolved."))
        return InputFacts(", ".join(parts), tuple(warnings), across, isotropic, spacing)

    def preview(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        options: Mapping[str, Any],
        referenceNode: slicer.vtkMRMLVolumeNode | None = None,
    ) -> PlanPreview:
        """What `options` will make of the volume.

        Raises:
            SceneError, medsr.errors.MedSRError: it cannot be done; the text says why.
        """
        ensureCore()
        from medsr.options import parse_bytes
        from medsr.resources import available_memory

        chosen = ScenePlan.optionsOf(options, referenceNode)
        planned = self._planner.plan(volumeNode, chosen, referenceNode)
        plan = planned.plan
        cost = plan.estimate()
        limit = parse_bytes(chosen.memory) if chosen.memory else available_memory()
        fits = limit is None or cost["memory_bytes"] <= limit
        warnings = [inWords(notice) for notice in plan.warnings if not _isToldOfTheInput(notice, plan)]
        if not fits:
            warnings.append(
                _(
                    "This needs about {need:.1f} GB of memory, {free:.1f} GB may be used. Choose a coarser target."
                ).format(need=cost["memory_bytes"] / 1e9, free=limit / 1e9)
            )
        text = _("{grid}, about {memory} of memory and {time}, by {model}").format(
            grid=plan.target.output.describe(), memory=memoryText(cost["memory_bytes"]),
            time=timeText(cost["seconds"]), model=plan.entry.name,
        )  # fmt: skip
        why = " ".join(inWords(notice) for notice in plan.decisions if notice.kind in _FALLBACKS)
        acquisition = acquisitionText(_sampled(plan), planned.sliceAxis)
        return PlanPreview(text, acquisition, tuple(warnings), plan.entry.name, why, plan.packages, fits)


def _sampled(plan: Any) -> list[dict[str, Any]]:
    """How the axes of more than one voxel were sampled."""
    source = plan.target.source
    axes = zip(plan.evidence, source.spacing_xyz_mm, source.size_xyz)
    return [found.to_json(spacing) for found, spacing, size in axes if size > 1]


def _isToldOfTheInput(notice: Any, plan: Any) -> bool:
    """True for warnings that stand under the input, whatever the target is."""
    if notice.kind == "acquisition.interpolated":
        return any(found.axis == notice.values["axis"] and found.source == SceneIO.SOURCE for found in plan.evidence)
    return notice.kind == "source"


def _looksLikeLabels(volume: Any) -> bool:
    """A quick look at some voxels; the worker looks at all of them."""
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // 50_000)]
    return np.unique(sample).size <= 3 and volume.looks_like_labels


def _plane(volumeNode: slicer.vtkMRMLScalarVolumeNode, axis: int) -> str:
    """The anatomical plane that the slices across a grid axis are nearest to."""
    direction = SceneIO.ijkToRas(volumeNode)[:3, axis]
    return (_("sagittal"), _("coronal"), _("axial"))[int(np.argmax(np.abs(direction)))]


def memoryText(count: float) -> str:
    """``"1.4 GB"`` or ``"350 MB"``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def timeText(seconds: float | None) -> str:
    """A duration as a person says it."""
    if seconds is None:
        return ""
    if seconds < 90:
        return _("{count} s").format(count=max(1, round(seconds)))
    if seconds < 5400:
        return _("{count} min").format(count=round(seconds / 60))
    return _("{count:.1f} h").format(count=seconds / 3600)


def linearEnlargement(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The voxels of `source`, interpolated linearly on the grid of `target`, float32 ``(z, y, x)``."""
    between = np.linalg.inv(SceneIO.ijkToRas(source)) @ SceneIO.ijkToRas(target)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(source.GetImageData())
    transform = vtk.vtkTransform()
    transform.SetMatrix(slicer.util.vtkMatrixFromArray(between))
    reslice.SetResliceTransform(transform)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputScalarType(vtk.VTK_FLOAT)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    size = target.GetImageData().GetDimensions()
    reslice.SetOutputExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    reslice.Update()
    from vtk.util.numpy_support import vtk_to_numpy

    flat = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return flat.reshape(size[2], size[1], size[0])
