"""Every choice of the panel, kept in the scene."""

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.util import NodeModify

from MedSRLib import Maps
from MedSRLib.Choices import (
    Choice,
    Device,
    Effort,
    Modality,
    Mode,
    Precision,
    SliceAxis,
    Target,
    TrainingFormat,
    TrainingSource,
)

if TYPE_CHECKING:
    from MedSRLib.Protocols import WrappedParameters
else:
    WrappedParameters = object  # the decorator adds what it stands for

_PAIRS, _PAIR_VOLUME, _PAIR_SEGMENTATION = "trainingPairs", "trainingPairVolume", "trainingPairSegmentation"


@parameterNodeWrapper
class MedSRParameterNode(WrappedParameters):
    """The parameters of one super-resolution.

    Attributes:
        inputVolume: what is super-resolved, grey or RGB (a vector volume is a scalar volume, too; the selectors hide
            other kinds).
        outputVolume: the volume to fill; None makes a new one.
        referenceVolume: its grid is the target, for "Same grid as".
        allFrames: of a volume that shows a frame of a sequence, super-resolve all frames.
        target: preset.
        spacingX, spacingY, spacingZ: mm, for custom spacing.
        sliceThickness: mm; 0 takes what the header says, else what the voxels show.
        profile: "auto", or a name of `medsr.physics.profiles.MEASURED`.
        sliceAxis: across the slices.
        model: "auto" or a name of the catalog.
        mode: volumetric or slice by slice.
        effort: how much work networks do.
        modality: what the voxels are.
        maps: names of further volumes to make, with spaces between them.
        device: where to compute.
        precision: voxel type of the output.
        memoryLimitGB: 0 for what is free.
        consistency: make a network's result agree with the measured data.
        interpreterPath: another Python that has medsr; empty for Slicer's own (or MEDSR_PYTHON).
        wheelFolder: folder with wheels to install from, without the internet.
        keepWarm: keep the worker and its loaded network between two clicks.
        fade: opacity of the result over the input.
        measureSegmentation: whose segments are measured in the result.
        fuseWith, fuseAlso: stacks that are fused with the input.
        fuseNetworks: let networks look at each of them, too.
        trainingVolume, trainingSegmentation: the pair that "Add pair" puts on the list; the list itself is `pairsOf`.
        trainingFirstWins: let the first of two segments that overlap win, instead of refusing them.
        trainingSource: where labelled images come from.
        trainingFolder: dataset to take them from, where that is a folder.
        trainingRecipe: name of a recipe of the library.
        trainingCopies: new images for each image.
        trainingSeed: random seed.
        trainingFormat: layout of the new training set.
        trainingOutput: folder of the new training set.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    referenceVolume: vtkMRMLScalarVolumeNode
    allFrames: bool = False
    target: Target = Target.ISOTROPIC
    spacingX: Annotated[float, WithinRange(0.05, 20)] = 1.0
    spacingY: Annotated[float, WithinRange(0.05, 20)] = 1.0
    spacingZ: Annotated[float, WithinRange(0.05, 20)] = 1.0
    sliceThickness: Annotated[float, WithinRange(0, 50)] = 0.0
    profile: str = "auto"
    sliceAxis: SliceAxis = SliceAxis.AUTO
    model: str = "auto"
    mode: Mode = Mode.AUTO
    effort: Effort = Effort.STANDARD
    modality: Modality = Modality.AUTO
    maps: str = ""
    device: Device = Device.AUTO
    precision: Precision = Precision.SAME
    memoryLimitGB: Annotated[float, WithinRange(0, 4096)] = 0.0
    consistency: bool = True
    interpreterPath: str = ""
    wheelFolder: str = ""
    keepWarm: bool = True
    fade: Annotated[float, WithinRange(0, 1)] = 1.0
    measureSegmentation: vtkMRMLSegmentationNode
    fuseWith: vtkMRMLScalarVolumeNode
    fuseAlso: vtkMRMLScalarVolumeNode
    fuseNetworks: bool = False
    trainingVolume: vtkMRMLScalarVolumeNode
    trainingSegmentation: vtkMRMLSegmentationNode
    trainingFirstWins: bool = False
    trainingSource: TrainingSource = TrainingSource.SCENE
    trainingFolder: str = ""
    trainingRecipe: str = "sr-x2"
    trainingCopies: Annotated[int, WithinRange(1, 100)] = 1
    trainingSeed: Annotated[int, WithinRange(0, 999999)] = 0
    trainingFormat: TrainingFormat = TrainingFormat.SAME
    trainingOutput: str = ""


def choices() -> dict[str, type[Choice]]:
    """The parameters that are one of several fixed choices."""
    kinds = MedSRParameterNode.__annotations__.items()
    return {name: kind for name, kind in kinds if isinstance(kind, type) and issubclass(kind, Choice)}


def forgetUnknown(node: Any) -> None:
    """Drop choices of another version from a parameter node, on which Slicer would stumble: the default counts."""
    for name, kind in choices().items():
        if node.GetParameter(name) not in ("", *kind.__members__):
            node.UnsetParameter(name)


def snapshot(parameters: MedSRParameterNode) -> SimpleNamespace:
    """The choices as they are now; later changes of the parameters do not touch them."""
    return SimpleNamespace(**{name: getattr(parameters, name) for name in MedSRParameterNode.__annotations__})


def inPlane(sliceAxis: str) -> dict[str, Any]:
    """The options of a target that is twice as fine within the slices, and leaves their number."""
    return {"isotropic": False, "scale": tuple(1.0 if axis == sliceAxis else 2.0 for axis in "xyz")}


def optionsOf(parameters: MedSRParameterNode, sliceAxis: str = "") -> dict[str, Any]:
    """The options of a job, as `SuperResolver.start` takes them; nodes and maps are not among them.

    Args:
        parameters: the choices.
        sliceAxis: grid axis ("x", "y", "z") across the slices, which "twice in plane" leaves as it is and which has the
            slice profile; empty where nothing tells.
    """
    options: dict[str, Any] = {}
    if parameters.target is Target.ISOTROPIC:
        options["isotropic"] = True
    elif parameters.target is Target.TWICE:
        options["scale"] = (2.0, 2.0, 2.0)
    elif parameters.target is Target.TWICE_IN_PLANE:
        options["scale"] = inPlane(sliceAxis or "z")["scale"]
    elif parameters.target is Target.SPACING:
        options["spacing"] = (parameters.spacingX, parameters.spacingY, parameters.spacingZ)
    if parameters.sliceThickness > 0:
        options["slice_thickness"] = parameters.sliceThickness
    if parameters.memoryLimitGB > 0:
        options["memory"] = f"{parameters.memoryLimitGB:g}GB"
    if parameters.precision is not Precision.SAME:
        options["dtype"] = parameters.precision.value
    if parameters.effort is not Effort.STANDARD:
        options["effort"] = parameters.effort.value
    if not parameters.consistency:
        options["consistency"] = False
    for name, value in {
        "profile": _profileOf(parameters.profile, sliceAxis),
        "slice_axis": parameters.sliceAxis.value,
        "model": parameters.model,
        "mode": parameters.mode.value,
        "modality": parameters.modality.value,
        "device": parameters.device.value,
    }.items():
        if value != "auto":
            options[name] = value
    return options


def _profileOf(profile: str, sliceAxis: str) -> str:
    """What is said of the three axes: a slice profile holds across the slices, Fourier encoding for all of them."""
    if profile == "auto" or not sliceAxis:
        return profile
    from medsr.planning.sampling import SLICE_PROFILES

    if profile not in SLICE_PROFILES:
        return profile
    return ",".join(profile if axis == sliceAxis else "auto" for axis in "xyz")


def mapsOf(parameters: MedSRParameterNode) -> list[str]:
    """The maps that were asked for, of those that the library declares."""
    return [name for name in Maps.declared() if name in parameters.maps.split()]


def outcomeOf(
    parameters: Any, output: Any, isColour: bool, isFrame: bool, without: Collection[str] = ()
) -> dict[str, Any]:
    """Where the result goes and what comes with it, as `SuperResolver.start` takes it.

    Args:
        parameters: the choices.
        output: volume to fill, None for a new one.
        isColour: the input is RGB, of which no maps are made.
        isFrame: the input is a frame of a sequence; all frames make a new sequence, without maps.
        without: maps that the model cannot make.
    """
    if isFrame and parameters.allFrames:
        return {"all_frames": True}
    maps = [] if isColour else [name for name in mapsOf(parameters) if name not in without]
    return {"output": output, "maps": maps}


def fuseOptionsOf(parameters: MedSRParameterNode) -> dict[str, Any]:
    """The options of a fusion, as `StackFuser.start` takes them; of those of a super-resolution, what it shares."""
    shared = {name: value for name, value in optionsOf(parameters).items() if name in ("memory", "modality", "dtype")}
    return {"networks": parameters.fuseNetworks, **shared}


def stacksOf(parameters: MedSRParameterNode) -> list[Any]:
    """The volumes that are to be fused; the first gives the field."""
    chosen = (parameters.inputVolume, parameters.fuseWith, parameters.fuseAlso)
    return [node for node in chosen if node is not None]


def trainingOptionsOf(parameters: MedSRParameterNode) -> dict[str, Any]:
    """The options of a training set, as `TrainingSetMaker.start` takes them; source and output are not among them."""
    options: dict[str, Any] = {
        "recipes": (parameters.trainingRecipe,),
        "per_image": parameters.trainingCopies,
        "seed": parameters.trainingSeed,
        "format": parameters.trainingFormat.value,
    }
    if parameters.device is not Device.AUTO:
        options["device"] = parameters.device.value
    if parameters.memoryLimitGB > 0:
        options["memory"] = f"{parameters.memoryLimitGB:g}GB"
    return options


def pairsOf(parameters: MedSRParameterNode) -> list[tuple[Any, Any]]:
    """The volumes and segmentations on the list; pairs of which a node has left the scene are not among them."""
    node = parameters.parameterNode
    found = []
    for number in range(int(node.GetParameter(_PAIRS) or 0)):
        pair = node.GetNodeReference(f"{_PAIR_VOLUME}{number}"), node.GetNodeReference(f"{_PAIR_SEGMENTATION}{number}")
        if None not in pair:
            found.append(pair)
    return found


def setPairs(parameters: MedSRParameterNode, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Put these (volume, segmentation) on the list."""
    node = parameters.parameterNode
    # One role for each node: the scene closes the gap in a role when a node leaves it, which would mix up the pairs.
    with NodeModify(node):
        for number in range(max(len(pairs), int(node.GetParameter(_PAIRS) or 0))):
            volume, segmentation = pairs[number] if number < len(pairs) else (None, None)
            node.SetNodeReferenceID(f"{_PAIR_VOLUME}{number}", volume.GetID() if volume else None)
            node.SetNodeReferenceID(f"{_PAIR_SEGMENTATION}{number}", segmentation.GetID() if segmentation else None)
        node.SetParameter(_PAIRS, str(len(pairs)))
