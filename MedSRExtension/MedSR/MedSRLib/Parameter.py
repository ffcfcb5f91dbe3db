"""Every choice of the panel, kept in the scene."""

from typing import Annotated, Any

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

ISOTROPIC, TWICE, TWICE_IN_PLANE, SPACING, REFERENCE = "isotropic", "x2", "x2-in-plane", "spacing", "reference"


@parameterNodeWrapper
class MedSRParameterNode:
    """The parameters of one super-resolution.

    Attributes:
        inputVolume: what is super-resolved.
        outputVolume: the volume to fill; None makes a new one.
        referenceVolume: its grid is the target, for the preset "reference".
        target: preset: "isotropic", "x2", "x2-in-plane", "spacing" or "reference".
        spacingX, spacingY, spacingZ: mm, for the preset "spacing".
        sliceThickness: mm; 0 takes it from the DICOM header, else from the spacing.
        profile: "auto", "gaussian" or "box".
        sliceAxis: "auto", "x", "y" or "z".
        model: "auto" or a name of the catalog.
        mode: "auto", "3d" or "2d".
        modality: "auto", "MR" or "CT".
        differenceMap, residualMap: further volumes to make.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: voxel type of the output: "same", "float32", ...
        memoryLimitGB: 0 for what is free.
        consistency: make a network's result agree with the measured data.
        interpreterPath: another Python that has medsr; empty for Slicer's own (or MEDSR_PYTHON).
        wheelFolder: folder with wheels to install from, without the internet.
        keepWarm: keep the worker and its loaded network between two clicks.
        fade: opacity of the result over the input.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    referenceVolume: vtkMRMLScalarVolumeNode
    target: str = ISOTROPIC
    spacingX: Annotated[float, WithinRange(0.05, 20)] = 1.0
    spacingY: Annotated[float, WithinRange(0.05, 20)] = 1.0
    spacingZ: Annotated[float, WithinRange(0.05, 20)] = 1.0
    sliceThickness: Annotated[float, WithinRange(0, 50)] = 0.0
    profile: str = "auto"
    sliceAxis: str = "auto"
    model: str = "auto"
    mode: str = "auto"
    modality: str = "auto"
    differenceMap: bool = False
    residualMap: bool = False
    device: str = "auto"
    precision: str = "same"
    memoryLimitGB: Annotated[float, WithinRange(0, 4096)] = 0.0
    consistency: bool = True
    interpreterPath: str = ""
    wheelFolder: str = ""
    keepWarm: bool = True
    fade: Annotated[float, WithinRange(0, 1)] = 1.0


def optionsOf(parameters: MedSRParameterNode, sliceAxis: int = 2) -> dict[str, Any]:
    """The options of a job, as `SuperResolver.start` takes them; nodes and maps are not among them.

    Args:
        parameters: the choices.
        sliceAxis: grid axis (0, 1, 2) across the slices, which "twice in plane" leaves as it is.
    """
    options: dict[str, Any] = {}
    if parameters.target == ISOTROPIC:
        options["isotropic"] = True
    elif parameters.target == TWICE:
        options["scale"] = (2.0, 2.0, 2.0)
    elif parameters.target == TWICE_IN_PLANE:
        options["scale"] = tuple(1.0 if axis == sliceAxis else 2.0 for axis in range(3))
    elif parameters.target == SPACING:
        options["spacing"] = (parameters.spacingX, parameters.spacingY, parameters.spacingZ)
    if parameters.sliceThickness > 0:
        options["slice_thickness"] = parameters.sliceThickness
    if parameters.memoryLimitGB > 0:
        options["memory"] = f"{parameters.memoryLimitGB:g}GB"
    if parameters.precision != "same":
        options["dtype"] = parameters.precision
    if not parameters.consistency:
        options["consistency"] = False
    for name, value in {
        "profile": parameters.profile,
        "slice_axis": parameters.sliceAxis,
        "model": parameters.model,
        "mode": parameters.mode,
        "modality": parameters.modality,
        "device": parameters.device,
    }.items():
        if value != "auto":
            options[name] = value
    return options


def mapsOf(parameters: MedSRParameterNode) -> list[str]:
    """The maps that were asked for."""
    wanted = {"difference": parameters.differenceMap, "residual": parameters.residualMap}
    return [name for name, on in wanted.items() if on]
