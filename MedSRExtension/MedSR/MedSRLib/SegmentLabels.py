"""Segments as one label map on the grid of a volume; the scene is read and not touched. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from MedSRLib import SceneIO
from MedSRLib.Errors import SceneError
from MedSRLib.Translation import tr as _

REFUSE, FIRST = "refuse", "first"
OVERLAPS = (REFUSE, FIRST)
BACKGROUND = "background"

BINARY = "Binary labelmap"


def segmentNames(segmentation: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """Segment id -> name, in the order of the segments; the names become those of the classes.

    Raises:
        SceneError: no segments, two of one name, or a name that cannot be that of a class.
    """
    content = segmentation.GetSegmentation()
    names: dict[str, str] = {}
    for segmentId in segmentIds(content):
        name = (content.GetSegment(segmentId).GetName() or "").strip()
        if name in names.values():
            raise SceneError(
                _("{segmentation} has two segments called {name}. Rename one of them.").format(
                    segmentation=segmentation.GetName(), name=name
                )
            )
        if not name or name.lower() == BACKGROUND:
            raise SceneError(
                _("{segmentation} has a segment called '{name}', which no class can be called. Rename it.").format(
                    segmentation=segmentation.GetName(), name=name
                )
            )
        names[segmentId] = name
    if not names:
        raise SceneError(_("{segmentation} has no segments.").format(segmentation=segmentation.GetName()))
    return names


def labelsOf(
    segmentation: slicer.vtkMRMLSegmentationNode,
    volume: slicer.vtkMRMLScalarVolumeNode,
    values: Mapping[str, int],
    overlap: str = REFUSE,
) -> np.ndarray:
    """The segments as one label map on the grid of the volume, nearest voxel.

    Args:
        segmentation: it may have another grid, and lie under another linear transform.
        volume: its voxels are those of the label map.
        values: class name -> value.
        overlap: "refuse", or "first": the segment that is listed first wins.

    Returns:
        uint8 ``(z, y, x)``; uint16 with more than 255 classes.

    Raises:
        SceneError: two segments overlap, or no segment has a voxel inside the volume.
    """
    geometry = geometryFor(segmentation, volume)
    source = withLabelmap(segmentation, geometry)
    shape = SceneIO.checkedArray(volume).shape
    labels = np.zeros(shape, np.uint8 if max(values.values()) < 256 else np.uint16)
    for segmentId, name in segmentNames(segmentation).items():
        inside = _maskOf(source, segmentId, geometry, shape)
        taken = inside & (labels != 0)
        if taken.any():
            if overlap == REFUSE:
                raise SceneError(_overlapText(segmentation, name, labels, taken, values))
            inside &= ~taken
        labels[inside] = values[name]
    if not labels.any():
        raise SceneError(
            _("No segment of {segmentation} has a voxel inside {volume}. Do they belong together?").format(
                segmentation=segmentation.GetName(), volume=volume.GetName()
            )
        )
    return labels


def segmentIds(content: slicer.vtkSegmentation) -> list[str]:
    """The segments, in their order."""
    found = vtk.vtkStringArray()
    content.GetSegmentIDs(found)
    return [found.GetValue(n) for n in range(found.GetNumberOfValues())]


def drawnOn(volume: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLSegmentationNode | None:
    """The first segmentation that was drawn on a volume; None where there is none."""
    scene, kind = volume.GetScene(), "vtkMRMLSegmentationNode"
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    nodes = (scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind)))
    return next((node for node in nodes if node.GetNodeReference(role) is volume), None)


def seenFrom(segmentation: Any, volume: Any) -> np.ndarray:
    """4 x 4 matrix, voxel of the volume -> RAS millimetres in the segmentation's own coordinates."""
    between = vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        volume.GetParentTransformNode(), segmentation.GetParentTransformNode(), between
    ):
        raise SceneError(
            _(
                "{segmentation} and {volume} lie under different non-linear transforms. Put both under the same one, "
                "or harden it on the segmentation."
            ).format(segmentation=segmentation.GetName(), volume=volume.GetName())
        )
    return slicer.util.arrayFromVTKMatrix(between) @ SceneIO.ijkToRas(volume)


def geometryFor(segmentation: Any, volume: Any) -> slicer.vtkOrientedImageData:
    """The grid of the volume, in the segmentation's own coordinates."""
    geometry = slicer.vtkOrientedImageData()
    matrix = seenFrom(segmentation, volume)
    geometry.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
    geometry.SetExtent(volume.GetImageData().GetExtent())
    return geometry


def withLabelmap(segmentation: Any, geometry: Any) -> Any:
    """The node itself; where it holds surfaces only, a copy outside the scene with voxels."""
    content = segmentation.GetSegmentation()
    if content.ContainsRepresentation(BINARY):
        return segmentation
    converter = slicer.vtkSegmentationConverter
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(content)
    copy.SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(), converter.SerializeImageGeometry(geometry)
    )
    if not copy.CreateRepresentation(BINARY):
        raise SceneError(
            _("The segments of {segmentation} cannot be made into voxels. Create a binary labelmap representation in "
              "the Segmentations module.").format(segmentation=segmentation.GetName())
        )  # fmt: skip
    node = slicer.vtkMRMLSegmentationNode()
    node.SetAndObserveSegmentation(copy)
    return node


def _maskOf(segmentation: Any, segmentId: str, geometry: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Where one segment is on the grid, bool ``(z, y, x)``; nearest voxel."""
    only = vtk.vtkStringArray()
    only.InsertNextValue(segmentId)
    merged = slicer.vtkOrientedImageData()
    reference = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    if not segmentation.GenerateMergedLabelmapForAllSegments(merged, reference, geometry, only):
        raise SceneError(
            _("The segment {name} of {segmentation} cannot be read.").format(
                name=segmentation.GetSegmentation().GetSegment(segmentId).GetName(), segmentation=segmentation.GetName()
            )
        )
    return vtk_to_numpy(merged.GetPointData().GetScalars()).reshape(shape) != 0


def _overlapText(segmentation: Any, name: str, labels: np.ndarray, taken: np.ndarray, values: Mapping[str, int]) -> str:
    first = int(labels[taken][0])
    other = next(known for known, value in values.items() if value == first)
    return _(
        "The segments {other} and {name} of {segmentation} overlap in {count} voxels, and a label map holds one class "
        "per voxel. Mend them in the Segment Editor, or let the segment that is listed first win."
    ).format(other=other, name=name, segmentation=segmentation.GetName(), count=int((labels[taken] == first).sum()))
