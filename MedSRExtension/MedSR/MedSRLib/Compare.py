"""Looking at input and result together: side by side, faded, and their difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import slicer.util

from MedSRLib import Overlay, Provenance, SceneIO
from MedSRLib.Preview import linearEnlargement
from MedSRLib.Protocols import LayoutManagerProtocol

LAYOUT_ID = 5301
"""Of the side-by-side layout; Slicer's own layouts are below 1000."""
DIFFERENCE = "difference"
"""The map that can be made of input and result, without a job."""
_ORIENTATIONS = ("Axial", "Coronal")
_VIEW = """<item><view class="vtkMRMLSliceNode" singletontag="{name}">
<property name="orientation" action="default">{orientation}</property>
<property name="viewlabel" action="default">{label}</property>
<property name="viewcolor" action="default">{colour}</property>
<property name="viewgroup" action="default">{group}</property></view></item>"""


def viewName(side: str, orientation: str) -> str:
    """Name of a slice view of the layout; `side` is "Input" or "Result"."""
    return f"MedSR{side}{orientation}"


def layoutXml() -> str:
    """Two columns, input and result, with one row per orientation; linked views are in one group."""
    rows = []
    for orientation in _ORIENTATIONS:
        views = "".join(
            _VIEW.format(
                name=viewName(side, orientation), orientation=orientation, label=side[0] + orientation[0],
                colour=colour, group=7,
            )
            for side, colour in (("Input", "#8A8A8A"), ("Result", "#2E8B57"))
        )  # fmt: skip
        rows.append(f'<item><layout type="horizontal" split="true">{views}</layout></item>')
    return f'<layout type="vertical" split="true">{"".join(rows)}</layout>'


def showSideBySide(
    layoutManager: LayoutManagerProtocol,
    inputNode: slicer.vtkMRMLVolumeNode,
    resultNode: slicer.vtkMRMLVolumeNode,
    processEvents: Callable[[], None],
) -> None:
    """Show input on the left and result on the right, in views that scroll together.

    They begin where the ordinary views look; the ordinary views stay as they are.

    Args:
        layoutManager: of the application.
        inputNode: left.
        resultNode: right.
        processEvents: lets the application build the new views. Slicer does that in the event loop, and a view that is
            built starts at offset 0, whatever was set before.
    """
    layoutNode = layoutManager.layoutLogic().GetLayoutNode()
    if not layoutNode.IsLayoutDescription(LAYOUT_ID):
        layoutNode.AddLayoutDescription(LAYOUT_ID, layoutXml())
    looked = _lookedAt(layoutManager, inputNode)
    wasShown = layoutManager.layout == LAYOUT_ID
    layoutManager.setLayout(LAYOUT_ID)
    processEvents()
    composites, isOther = [], False
    for side, node in (("Input", inputNode), ("Result", resultNode)):
        for orientation in _ORIENTATIONS:
            widget = layoutManager.sliceWidget(viewName(side, orientation))
            if widget is None:
                continue
            composite = widget.sliceLogic().GetSliceCompositeNode()
            composite.SetLinkedControl(False)
            isOther = isOther or composite.GetBackgroundVolumeID() != node.GetID()
            composite.SetBackgroundVolumeID(node.GetID())
            composite.SetForegroundVolumeID(None)
            composites.append(composite)
    if isOther or not wasShown:  # a second click does not take back what was scrolled to
        _look(layoutManager, looked)
    for composite in composites:
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)


def showFaded(inputNode: slicer.vtkMRMLVolumeNode, resultNode: slicer.vtkMRMLVolumeNode, opacity: float) -> None:
    """Lay the result over the input in all ordinary slice views; `opacity` 0 shows the input, 1 the result."""
    for composite in Overlay.ordinaryComposites(inputNode.GetScene()):
        composite.SetBackgroundVolumeID(inputNode.GetID())
        composite.SetForegroundVolumeID(resultNode.GetID())
        composite.SetForegroundOpacity(opacity)


def differenceOf(
    inputNode: slicer.vtkMRMLScalarVolumeNode, resultNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """The difference map of a result: the one that the job made, else result minus linear enlargement, made now."""
    known = resultNode.GetNodeReference(Provenance.roleOf(DIFFERENCE))
    if known is not None:
        return known
    scene = resultNode.GetScene()
    change = slicer.util.arrayFromVolume(resultNode).astype(np.float32) - linearEnlargement(inputNode, resultNode)
    if change.ndim == 4:  # colours: their mean, since a map has one number a voxel
        change = change.mean(axis=3)
    with SceneIO.removedOnError(scene) as created:
        node = SceneIO.newVolume(scene, f"{resultNode.GetName()} {DIFFERENCE}")
        created.append(node)
        slicer.util.updateVolumeFromArray(node, change)
        Provenance.markMap(node, DIFFERENCE)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(SceneIO.ijkToRas(resultNode)))
        node.SetAndObserveTransformNodeID(resultNode.GetTransformNodeID())
        SceneIO.placeBeside(resultNode, node)
        resultNode.SetNodeReferenceID(Provenance.roleOf(DIFFERENCE), node.GetID())
    return node


def leaveSideBySide(layoutManager: LayoutManagerProtocol | None) -> None:
    """Back to Slicer's four-up layout when the side-by-side one is shown."""
    if layoutManager is not None and layoutManager.layout == LAYOUT_ID:
        layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def _look(layoutManager: LayoutManagerProtocol, point: np.ndarray) -> None:
    """Fit the views of this module to what they show, and let them pass through a point (RAS)."""
    for side in ("Input", "Result"):
        for orientation in _ORIENTATIONS:
            widget = layoutManager.sliceWidget(viewName(side, orientation))
            if widget is not None:
                widget.sliceLogic().FitSliceToAll()
                widget.sliceLogic().GetSliceNode().JumpSliceByOffsetting(*(float(value) for value in point))


def _lookedAt(layoutManager: LayoutManagerProtocol, volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """The point (RAS) where the ordinary slice views cross; the middle of the volume where that is outside of it."""
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    normals, offsets = [], []
    for name in ("Red", "Green", "Yellow"):
        widget = layoutManager.sliceWidget(name)
        if widget is None:
            return (low + high) / 2
        sliceToRas = slicer.util.arrayFromVTKMatrix(widget.sliceLogic().GetSliceNode().GetSliceToRAS())
        normals.append(sliceToRas[:3, 2])
        offsets.append(sliceToRas[:3, 2] @ sliceToRas[:3, 3])
    if abs(np.linalg.det(normals)) < 1e-3:  # two views are parallel
        return (low + high) / 2
    point = np.linalg.solve(normals, offsets)
    return point if np.all((point >= low) & (point <= high)) else (low + high) / 2
