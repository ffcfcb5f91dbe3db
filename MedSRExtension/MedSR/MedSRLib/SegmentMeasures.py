"""Volume and mean of the segments of a result, with intervals that follow from its error map. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib import Maps, Provenance, SceneIO
from MedSRLib.Arguments import checkNode
from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.Probe import numberText
from MedSRLib.SegmentMasks import SegmentMask, masksOn
from MedSRLib.Translation import tr as _

ROLE_RESULT, ROLE_SEGMENTATION = Provenance.PREFIX + "result", Provenance.PREFIX + "segmentation"


@dataclass(frozen=True)
class MeasuredSegment:
    """What is said of one segment.

    Attributes:
        name: of the segment.
        volume: in ml, with its interval: ``"3.41 (3.32 to 3.50)"``.
        mean: of the intensities, with its interval and without its unit.
        sentence: both, for people.
        numbers: volume, its interval, mean, its interval.
    """

    name: str
    volume: str
    mean: str
    sentence: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """What is said of a segmentation.

    Attributes:
        table: the node in the scene.
        segments: those that have voxels.
        notes: what a person should know of the others.
        unit: of the intensities, empty where they have none.
    """

    table: slicer.vtkMRMLTableNode
    segments: tuple[MeasuredSegment, ...]
    notes: tuple[str, ...]
    unit: str


def meaning() -> str:
    """What the intervals say."""
    return _(
        "The intervals hold the truth in 9 of 10 cases. They were calibrated on hippocampi in slices of 3 mm: take "
        "them as a rough guide elsewhere. Transforms of the scene are not applied."
    )


def columns(unit: str) -> dict[str, str]:
    """Names of the columns of a table, the same in every language since programs read them -> their titles."""
    of = f" ({unit})" if unit else ""
    return {
        "Segment": _("Segment"),
        "Volume (ml)": _("Volume (ml)"),
        "Volume from (ml)": _("Volume from (ml)"),
        "Volume to (ml)": _("Volume to (ml)"),
        f"Mean{of}": _("Mean") + of,
        f"Mean from{of}": _("Mean from") + of,
        f"Mean to{of}": _("Mean to") + of,
    }


def whyNot(resultNode: slicer.vtkMRMLVolumeNode | None) -> str:
    """Why the segments of a volume cannot be measured with intervals; empty where they can."""
    report = Provenance.reportOf(resultNode)
    if resultNode is None or report is None:
        return _("Intervals follow from the error map of a result: super-resolve first, with the map Likely error.")
    if Provenance.stacksIn(report):
        return _("{name} was fused from several stacks, of which no error map is made.").format(
            name=resultNode.GetName()
        )
    if Maps.halfWidthsOf(resultNode) is None:
        return _("{name} has no error map. Tick the map Likely error (Advanced) and super-resolve again.").format(
            name=resultNode.GetName()
        )
    return ""


def measure(resultNode: slicer.vtkMRMLScalarVolumeNode, segmentationNode: slicer.vtkMRMLSegmentationNode) -> Measured:
    """Measure every segment, also where they overlap, and put the figures into a table node.

    The table of an earlier measurement of the two is filled anew.

    Args:
        resultNode: a result of this module that has an error map.
        segmentationNode: drawn on it.

    Raises:
        SceneError: no error map, or one of other voxels; no segment with voxels of the result.
        medsr.errors.InputError: a map that is none of half-widths.
    """
    ensureCore()
    checkNode(resultNode, "resultNode")
    checkNode(segmentationNode, "segmentationNode", "vtkMRMLSegmentationNode", _("a segmentation node"))
    why = whyNot(resultNode)
    if why:
        raise SceneError(why)
    image, widths = _arraysOf(resultNode)
    unit = Maps.unitOf(Provenance.reportOf(resultNode) or {})
    found: list[MeasuredSegment] = []
    notes: list[str] = []
    for mask in masksOn(segmentationNode, resultNode):
        text = ""
        if not mask.inside.any():
            text = _("{name} has no voxels in {result}.")
        elif mask.isCut:
            text = _("{name} reaches beyond {result}; what lies outside is not counted.")
        notes += [text.format(name=mask.name, result=resultNode.GetName())] if text else []
        if mask.inside.any():
            found.append(_measured(mask, image, widths, resultNode, unit))
    if not found:
        raise SceneError(
            _("No segment of {segmentation} has a voxel inside {volume}. Do they belong together?").format(
                segmentation=segmentationNode.GetName(), volume=resultNode.GetName()
            )
        )
    table = _tableOf(resultNode, segmentationNode)
    _fill(table, found, unit)
    table.SetDescription("\n".join([*(one.sentence for one in found), *notes, meaning()]))
    return Measured(table, tuple(found), tuple(notes), unit)


def _arraysOf(resultNode: Any) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and half-widths, as views."""
    node: Any = Maps.halfWidthsOf(resultNode)
    image, widths = SceneIO.checkedArray(resultNode), SceneIO.checkedArray(node)
    if not SceneIO.geometryOf(node).is_same_as(SceneIO.geometryOf(resultNode)):
        raise SceneError(
            _("{map} has other voxels than {result}: one of the two was changed. Super-resolve again.").format(
                map=node.GetName(), result=resultNode.GetName()
            )
        )
    return image, widths


def _measured(mask: SegmentMask, image: np.ndarray, widths: np.ndarray, resultNode: Any, unit: str) -> MeasuredSegment:
    from medsr.inference.segments import measure_segments
    from medsr.volume import Volume

    grid = SceneIO.geometryOf(resultNode).cropped(mask.start, mask.inside.shape[::-1])
    box = tuple(slice(start, start + n) for start, n in zip(mask.start[::-1], mask.inside.shape))
    volumes = (Volume(array, grid) for array in (image[box], mask.inside.astype(np.uint8), widths[box]))
    one = measure_segments(*volumes)[1]
    millilitres = [value / 1000 for value in (one.volume_mm3, *one.volume_interval_mm3)]
    volume, mean = intervalText(*millilitres), intervalText(one.mean, *one.mean_interval)
    space = f" {unit}" if unit else ""
    sentence = _("{name}: {volume} ml ({volume_range}), mean {mean}{unit} ({mean_range})").format(
        name=mask.name, volume=volume[0], volume_range=volume[1], mean=mean[0], unit=space, mean_range=mean[1]
    )
    numbers = (*millilitres, one.mean, *one.mean_interval)
    return MeasuredSegment(mask.name, f"{volume[0]} ({volume[1]})", f"{mean[0]} ({mean[1]})", sentence, numbers)


def intervalText(value: float, low: float, high: float) -> tuple[str, str]:
    """A value and its interval with as many digits as the interval bears: ``("3.41", "3.32 to 3.50")``."""
    half = high - value
    if not half > 0:
        texts = [numberText(number) for number in (value, low, high)]
    else:
        digits = max(0, -math.floor(math.log10(half / 2)))
        texts = [f"{number:.{digits}f}" for number in (value, low, high)]
    return texts[0], _("{low} to {high}").format(low=texts[1], high=texts[2])


def _tableOf(resultNode: Any, segmentationNode: Any) -> slicer.vtkMRMLTableNode:
    """The table of these two, a new one where there is none."""
    scene, kind = resultNode.GetScene(), "vtkMRMLTableNode"
    for number in range(scene.GetNumberOfNodesByClass(kind)):
        node = scene.GetNthNodeByClass(number, kind)
        if (
            node.GetNodeReference(ROLE_RESULT) is resultNode
            and node.GetNodeReference(ROLE_SEGMENTATION) is segmentationNode
        ):
            return node
    name = _("{segmentation} in {result}").format(segmentation=segmentationNode.GetName(), result=resultNode.GetName())
    node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
    node.SetNodeReferenceID(ROLE_RESULT, resultNode.GetID())
    node.SetNodeReferenceID(ROLE_SEGMENTATION, segmentationNode.GetID())
    SceneIO.placeBeside(resultNode, node)
    return node


def _fill(table: Any, found: Sequence[MeasuredSegment], unit: str) -> None:
    names = vtk.vtkStringArray()
    for one in found:
        names.InsertNextValue(one.name)
    with slicer.util.NodeModify(table):
        table.RemoveAllColumns()
        for column, (name, title) in enumerate(columns(unit).items()):
            array = vtk.vtkDoubleArray() if column else names
            array.SetName(name)
            if column:
                for one in found:
                    array.InsertNextValue(one.numbers[column - 1])
            table.AddColumn(array)
            table.SetColumnTitle(name, title)
        table.SetUseColumnTitleAsColumnHeader(True)
        table.SetUseFirstColumnAsRowHeader(True)
        table.StorableModified()
