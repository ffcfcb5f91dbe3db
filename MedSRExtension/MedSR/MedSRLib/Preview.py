"""What the panel says before the click: what the input is, and what the chosen target will be and cost. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib import SceneIO
from MedSRLib.CorePath import ensureCore
from MedSRLib.Translation import tr as _

_ANISOTROPIC = 1.25
_SAME_PIXEL = 1.02


@dataclass(frozen=True)
class InputFacts:
    """What a volume is.

    Attributes:
        text: one line: size, spacing, modality, thick slices.
        warnings: sentences.
        sliceAxis: grid axis (0, 1, 2) across the slices.
        isIsotropic: True when no axis is clearly coarser.
        sliceThickness: mm from the DICOM header, 0 when unknown.
        spacing: mm along each grid axis.
    """

    text: str
    warnings: tuple[str, ...]
    sliceAxis: int
    isIsotropic: bool
    sliceThickness: float
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class PlanPreview:
    """What a job will make.

    Attributes:
        text: size, spacing, memory, time, model.
        warnings: sentences.
        model: name of the catalog entry that will run.
        needsTorch: True when that is a network.
        fits: False when more memory is needed than is free.
    """

    text: str
    warnings: tuple[str, ...]
    model: str
    needsTorch: bool
    fits: bool = True


class Previewer:
    """Looks at volumes; remembers the one thing that needs all voxels, the guessed modality."""

    def __init__(self) -> None:
        self._guessed: dict[tuple[str, int], tuple[str, str]] = {}

    def inputFacts(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> InputFacts:
        """Describe a volume.

        Raises:
            SceneError, medsr.errors.InputError: it cannot be super-resolved as it is.
        """
        volume = SceneIO.volumeOf(volumeNode)
        spacing = volume.geometry.spacing_xyz_mm
        across = sliceAxis(spacing)
        isotropic = max(spacing) / min(spacing) < _ANISOTROPIC
        modality, how = self._modality(volumeNode, volume)
        kind = modality if "header" in how else _("{modality} (guessed)").format(modality=modality)
        parts = [volume.geometry.describe(), kind]
        if not isotropic:
            thick = spacing[across] == max(spacing)
            text = _("thick {plane} slices, {width:.3g} mm along {axis}") if thick else ""
            text = text or _("thin {plane} slices, every {width:.3g} mm along {axis}")
            parts.append(text.format(plane=_plane(volumeNode, across), width=spacing[across], axis="xyz"[across]))
        warnings = list(volume.warnings)
        if volume.array.dtype.itemsize == 1 and volume.array.ndim == 3:
            warnings.append(
                _("Only 8 bits per voxel: the grey levels were already rounded before, fine contrast is gone.")
            )
        if isotropic:
            warnings.append(_("Already isotropic: choose a finer target than the input's own spacing."))
        if volume.array.dtype.kind in "iu" and _looksLikeLabels(volume):
            warnings.append(_("Only a few whole numbers, like a segmentation: labels are not super-resolved."))
        return InputFacts(
            ", ".join(parts), tuple(warnings), across, isotropic, volume.slice_thickness_mm or 0.0, spacing
        )

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
        from medsr.inference.plan import make_plan
        from medsr.options import UpscaleOptions, parse_bytes
        from medsr.resources import available_memory

        volume = SceneIO.volumeOf(volumeNode)
        given = {"modality": self._modality(volumeNode, volume)[0], **options}
        if referenceNode is not None:
            given["reference"] = "reference.nrrd"
        chosen = UpscaleOptions.from_dict(given)
        plan = make_plan(volume, chosen, referenceGeometry(referenceNode, volumeNode) if referenceNode else None)
        cost = plan.estimate()
        limit = parse_bytes(chosen.memory) if chosen.memory else available_memory()
        fits = limit is None or cost["memory_bytes"] <= limit
        warnings = [text for text in plan.warnings if text not in volume.warnings]
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
        return PlanPreview(text, tuple(warnings), plan.entry.name, plan.entry.needs_torch, fits)

    def _modality(self, volumeNode: Any, volume: Any) -> tuple[str, str]:
        """Modality and where it is known from; the look at all voxels is made once per image."""
        from medsr.inference.plan import decide_modality

        key = (volumeNode.GetID() or "", volumeNode.GetImageData().GetMTime())
        if volume.modality is not None:
            return decide_modality(volume, "auto")
        if key not in self._guessed:
            self._guessed = {key: decide_modality(volume, "auto")}
        return self._guessed[key]


def referenceGeometry(referenceNode: slicer.vtkMRMLVolumeNode, inputNode: slicer.vtkMRMLVolumeNode) -> Any:
    """The grid of a node as `medsr.geometry.Geometry`, as seen from the input."""
    from medsr.geometry import Geometry

    affine = SceneIO.affineSeenFrom(referenceNode, inputNode)
    return Geometry.from_affine(affine, referenceNode.GetImageData().GetDimensions())


def sliceAxis(spacing: Sequence[float]) -> int:
    """The axis across the slices: the one whose spacing differs from two equal ones, else the coarsest; z for cubes."""
    for axis in (2, 1, 0):
        first, second = (spacing[other] for other in range(3) if other != axis)
        if max(first, second) / min(first, second) < _SAME_PIXEL and not (
            1 / _ANISOTROPIC < spacing[axis] / first < _ANISOTROPIC
        ):
            return axis
    return int(np.argmax(spacing)) if max(spacing) / min(spacing) >= _ANISOTROPIC else 2


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
