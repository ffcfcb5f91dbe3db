"""What lies under the mouse: the result's value and how far it may be off. On MRML alone, without Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer
import vtk

from MedSRLib import Maps, Provenance
from MedSRLib.Translation import tr as _


class Probe:
    """Follows the mouse in the slice views, where a result has a map of its error.

    Args:
        tell: takes what to say of the voxel; empty while the mouse is over none.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._result: Any = None
        self._observed: tuple[Any, int] | None = None

    def watch(self, resultNode: slicer.vtkMRMLVolumeNode | None) -> None:
        """Tell of this result from now on, None for none."""
        self._result = resultNode
        crosshair = resultNode.GetScene().GetFirstNodeByClass("vtkMRMLCrosshairNode") if resultNode else None
        known, tag = self._observed or (None, 0)
        if crosshair is known:
            return
        if known is not None:
            known.RemoveObserver(tag)
        self._observed = None
        if crosshair is not None:
            tag = crosshair.AddObserver(slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, self._onMoved)
            self._observed = crosshair, tag

    def _onMoved(self, crosshair: Any, _event: Any = None) -> None:
        if self._result is None or self._result.GetScene() is None:
            return
        place = [0.0, 0.0, 0.0]
        self._tell(textAt(self._result, place) if crosshair.GetCursorPositionRAS(place) else "")


def textAt(resultNode: slicer.vtkMRMLVolumeNode, ras: Sequence[float]) -> str:
    """``"Under the mouse: 312 +- 14 HU"``; empty outside of the result, or where it has no map of its error."""
    widths = Maps.halfWidthsOf(resultNode)
    value, width = valueAt(resultNode, ras), valueAt(widths, ras) if widths else None
    if value is None or width is None:
        return ""
    text = _("Under the mouse: {value} +- {width}").format(value=numberText(value), width=numberText(width))
    return f"{text} {Maps.unitOf(Provenance.reportOf(resultNode) or {})}".strip()


def valueAt(node: slicer.vtkMRMLVolumeNode, ras: Sequence[float]) -> float | None:
    """The value of the voxel of a grey volume at a place in the world (mm); None outside."""
    image = node.GetImageData()
    if image is None or image.GetNumberOfScalarComponents() != 1:
        return None
    own = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), own)
    toVoxel = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(toVoxel)
    voxel = [round(v) for v in toVoxel.MultiplyPoint((*own.TransformPoint(*ras), 1.0))[:3]]
    if not all(0 <= index < size for index, size in zip(voxel, image.GetDimensions())):
        return None
    return float(image.GetScalarComponentAsDouble(*voxel, 0))


def numberText(value: float) -> str:
    """Three digits at least, and no exponent for what is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
