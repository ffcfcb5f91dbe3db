"""What the panel says before the click: what the input is, and what the chosen target will be and cost. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib import Maps, SceneIO, ScenePlan
from MedSRLib.CorePath import ensureCore
from MedSRLib.Messages import acquisitionText, inWords, resolutionText
from MedSRLib.Sequences import framesOf
from MedSRLib.Translation import tr as _

_GUESSED = ("known.air", "known.intensities")
_FALLBACKS = ("model.no_network", "model.beyond")


@dataclass(frozen=True)
class InputFacts:
    """What a volume is.

    Attributes:
        text: one line: size, spacing, modality.
        slices: how its slices lie, empty where nothing tells them from the other planes.
        warnings: sentences.
        sliceAxis: grid axis ("x", "y", "z") across the slices, None where nothing tells.
        isIsotropic: True when no axis is clearly coarser.
        isOneSlice: True for a single slice, which can be made finer within its plane only.
        isColour: True for RGB.
        spacing: mm along each grid axis.
        frame: which frame of a sequence the volume shows, from 1 on; 0 for none.
        frames: how many the sequence has; 0 for none.
    """

    text: str
    slices: str
    warnings: tuple[str, ...]
    sliceAxis: str | None
    isIsotropic: bool
    isOneSlice: bool
    isColour: bool
    spacing: tuple[float, float, float]
    frame: int = 0
    frames: int = 0


@dataclass(frozen=True)
class PlanPreview:
    """What a job will make.

    Attributes:
        text: one line: size, spacing, time.
        cost: memory, time, model, for who wants to know more.
        resolution: what the input resolves along its axes.
        acquisition: how the axes of the input were sampled, and how that is known.
        warnings: sentences.
        model: name of the catalog entry that will run.
        why: why that is no network, where one was looked for.
        packages: Python packages that it needs.
        fits: False when more memory is needed than is free.
        withoutMaps: maps that the model cannot make, each with the reason.
    """

    text: str
    cost: str
    resolution: str
    acquisition: str
    warnings: tuple[str, ...]
    model: str
    why: str
    packages: tuple[str, ...]
    fits: bool = True
    withoutMaps: Mapping[str, str] = field(default_factory=dict)


class Previewer:
    """Looks at volumes and at what would become of them.

    Args:
        planner: makes the plans.
        expected: (seconds as the library estimates them, model) -> seconds to expect on this computer.
    """

    def __init__(
        self,
        planner: ScenePlan.ScenePlanner,
        expected: Callable[[float, str], float] = lambda seconds, model: seconds,
    ) -> None:
        self._planner = planner
        self._expected = expected

    def inputFacts(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> InputFacts:
        """Describe a volume.

        Raises:
            SceneError, medsr.errors.InputError: it cannot be super-resolved as it is.
        """
        ensureCore()
        from medsr.inference.planner import decide_modality
        from medsr.planning.evidence import ANISOTROPIC_RATIO

        volume = SceneIO.volumeOf(volumeNode)
        volume.check_usable()
        spacing = volume.geometry.spacing_xyz_mm
        oneSlice = 1 in volume.geometry.size_xyz
        across = ScenePlan.sliceAxis(volume, ScenePlan.optionsOf({}))
        if oneSlice:
            across = "xyz"[volume.geometry.size_xyz.index(1)]
        isotropic = max(spacing) / min(spacing) < ANISOTROPIC_RATIO
        kind = volume.facts.value("modality")
        if kind in (None, "MR", "CT"):  # the plan refuses another one, unless the person says what to take it for
            modality, known = decide_modality(volume, "auto")
            kind = _("{modality} (guessed)").format(modality=modality) if known.kind in _GUESSED else modality
        slices = ""
        if not oneSlice and not isotropic and across is not None:
            slices = _("{plane} slices").format(plane=_plane(volumeNode, "xyz".index(across)))
        frames = framesOf(volumeNode)
        warnings = list(volume.warnings)
        if volume.array.dtype.itemsize == 1 and volume.array.ndim == 3:
            warnings.append(
                _("Only 8 bits per voxel: the grey levels were already rounded before, fine contrast is gone.")
            )
        if isotropic and not oneSlice:
            warnings.append(_("Already isotropic: choose a finer target than the input's own spacing."))
        return InputFacts(
            f"{volume.geometry.describe()}, {kind}", slices, tuple(warnings), across, isotropic, oneSlice,
            volume.array.ndim == 4, spacing, frames.number if frames else 0, frames.count if frames else 0,
        )  # fmt: skip

    def preview(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        options: Mapping[str, Any],
        referenceNode: slicer.vtkMRMLVolumeNode | None = None,
        frames: int = 1,
    ) -> PlanPreview:
        """What `options` will make of the volume, or of so many frames like it.

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
            text = _("This needs about {need:.1f} GB of memory, {free:.1f} GB may be used. Choose a coarser target.")
            warnings.insert(0, text.format(need=cost["memory_bytes"] / 1e9, free=(limit or 0) / 1e9))
        model = plan.entry.name
        seconds = timeText(self._expected(frames * cost["seconds"], model))
        grid = plan.target.output.describe()
        text = _("{time}: {size} voxels of {spacing} mm").format(
            time=seconds, size=" x ".join(map(str, plan.target.output.size_xyz)),
            spacing=spacingText(plan.target.output.spacing_xyz_mm),
        )  # fmt: skip
        costs = _("{grid}, about {memory} of memory and {time}, by {model}").format(
            grid=grid, memory=memoryText(cost["memory_bytes"]), time=seconds, model=model
        )
        why = " ".join(inWords(notice) for notice in plan.decisions if notice.kind in _FALLBACKS)
        sampled = _sampled(plan)
        return PlanPreview(
            text, costs, resolutionText(sampled), acquisitionText(sampled, planned.sliceAxis), tuple(warnings), model,
            why, plan.packages, fits, Maps.impossible(plan),
        )  # fmt: skip


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


def _plane(volumeNode: slicer.vtkMRMLScalarVolumeNode, axis: int) -> str:
    """The anatomical plane that the slices across a grid axis are nearest to."""
    direction = SceneIO.ijkToRas(volumeNode)[:3, axis]
    return (_("sagittal"), _("coronal"), _("axial"))[int(np.argmax(np.abs(direction)))]


def spacingText(spacing: Sequence[float]) -> str:
    """``"0.9 x 0.9 x 3"``, or one number where all are the same."""
    numbers = [f"{value:.3g}" for value in spacing]
    return numbers[0] if len(set(numbers)) == 1 else " x ".join(numbers)


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


def gridText(grid: Mapping[str, Any]) -> str:
    """The grid of a report, as a person says it."""
    if not grid:
        return ""
    size = " x ".join(str(n) for n in grid.get("size_xyz", ()))
    spacing = " x ".join(f"{s:.4g}" for s in grid.get("spacing_xyz_mm", ()))
    return _("{size} voxels of {spacing} mm").format(size=size, spacing=spacing)


def linearEnlargement(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The voxels of `source`, interpolated linearly on the grid of `target`: float32, colours last."""
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

    voxels = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return voxels.reshape(*size[::-1], *voxels.shape[1:])
