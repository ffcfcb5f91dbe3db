"""MRML volumes to MedSR volumes and back, without Qt.

MRML nodes are in RAS millimetres, medsr is in LPS; the border runs through this file and `SceneFiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.Translation import tr as _

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ijkToRas(volumeNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """4 x 4 matrix, voxel index (i, j, k) -> RAS millimetres, without any parent transform."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def volumeOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """The node as a `medsr.volume.Volume`.

    Its array is a view of the node's voxels, ``(z, y, x)`` or ``(z, y, x, 3)``: nothing is copied, do not write to it.

    Raises:
        SceneError: a node without voxels, or of a kind that is no single intensity image.
        medsr.errors.InputError: a grid that medsr does not accept, such as a sheared one.
    """
    ensureCore()
    from medsr.geometry import Geometry
    from medsr.volume import Volume

    array = checkedArray(volumeNode)
    z, y, x = array.shape[:3]
    header = headerOf(volumeNode)
    return Volume(
        array,
        Geometry.from_affine(ijkToRas(volumeNode), (x, y, z), space="RAS"),
        modality=header.get("modality"),
        slice_thickness_mm=header.get("sliceThickness"),
        planar=z == 1,
        warnings=tuple(header.get("warnings", ())),
        source=volumeNode.GetName() or "",
    )


def checkedArray(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """The voxels of a node that can be super-resolved, as a view.

    Raises:
        SceneError: it has none, or it is a segmentation or a tensor image.
    """
    name = volumeNode.GetName() if volumeNode else ""
    if volumeNode is None or not volumeNode.IsA("vtkMRMLScalarVolumeNode"):
        raise SceneError(_("Choose a volume first."))
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise SceneError(
            _("{name} is a label map. Super-resolving labels would invent classes; choose the image itself.").format(
                name=name
            )
        )
    image = volumeNode.GetImageData()
    if image is None or not image.GetNumberOfPoints():
        raise SceneError(_("{name} holds no voxels. Load it first.").format(name=name))
    array = slicer.util.arrayFromVolume(volumeNode)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim != 3 and not (array.ndim == 4 and array.shape[3] == 3):
        raise SceneError(
            _("{name} has {count} numbers per voxel; grey images and RGB are accepted.").format(
                name=name, count=array.shape[-1]
            )
        )
    return array


def headerOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
    """What DICOM said about the volume, as far as the scene knows: modality, sliceThickness, warnings."""
    found: dict[str, Any] = {}
    modality = _modality(volumeNode)
    if modality:
        found["modality"] = modality
    thickness = _sliceThickness(volumeNode)
    if thickness:
        found["sliceThickness"] = thickness
    found["warnings"] = []
    parent = volumeNode.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        found["warnings"].append(
            _(
                "The volume lies under a non-linear transform (uneven or tilted slices, or a deformation). It is "
                "sharpened on its own grid, and the result is put under the same transform."
            )
        )
    return found


def _modality(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """MR or CT from the subject hierarchy, the unit of the voxels, or the node itself."""
    said = [_subjectHierarchyAttribute(volumeNode, "DICOM.Modality"), volumeNode.GetAttribute("DICOM.Modality")]
    for value in said:
        if value in ("MR", "CT"):
            return value
    units = volumeNode.GetVoxelValueUnits()
    if units is not None and "hounsfield" in (units.GetCodeMeaning() or "").lower():
        return "CT"
    return None


def _subjectHierarchyAttribute(node: slicer.vtkMRMLNode, name: str) -> str:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene()) if node.GetScene() else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy else 0
    return hierarchy.GetItemAttribute(item, name) if item else ""


def _sliceThickness(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> float | None:
    """Slice thickness in mm of the DICOM header, asked from Slicer's database when there is one."""
    text = volumeNode.GetAttribute("DICOM.SliceThickness")
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not text and uids and database is not None:
        text = database.instanceValue(uids[0], "0018,0050")
    try:
        thickness = float(text) if text else 0.0
    except ValueError:
        return None
    return thickness if thickness > 0 else None


def affineSeenFrom(referenceNode: slicer.vtkMRMLVolumeNode, inputNode: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """4 x 4 matrix, voxel of `referenceNode` -> LPS millimetres in the own coordinates of `inputNode`.

    Both may lie under different linear transforms: a result on this grid, put under the input's transform, ends on the
    reference's voxels in the world.

    Raises:
        SceneError: a non-linear transform lies between them, or the reference holds no voxels.
    """
    if referenceNode.GetImageData() is None:
        raise SceneError(_("{name} holds no voxels. Load it first.").format(name=referenceNode.GetName()))
    between = vtk.vtkMatrix4x4()
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        referenceNode.GetParentTransformNode(), inputNode.GetParentTransformNode(), between
    ):
        raise SceneError(
            _("{reference} and {input} lie under different non-linear transforms; there is no common grid.").format(
                reference=referenceNode.GetName(), input=inputNode.GetName()
            )
        )
    return LPS_FROM_RAS @ slicer.util.arrayFromVTKMatrix(between) @ ijkToRas(referenceNode)


def takeVoxels(target: slicer.vtkMRMLVolumeNode, loaded: slicer.vtkMRMLVolumeNode) -> None:
    """Give `target` the voxels and the grid of `loaded`; nothing is copied."""
    matrix = vtk.vtkMatrix4x4()
    loaded.GetIJKToRASMatrix(matrix)
    with slicer.util.NodeModify(target):
        target.SetIJKToRASMatrix(matrix)
        target.SetAndObserveImageData(loaded.GetImageData())
        # Anisotropic voxels and the unit of the intensities stay what they were; the file on disk does not.
        target.StorableModified()


def copyAppearance(source: slicer.vtkMRMLVolumeNode, target: slicer.vtkMRMLVolumeNode) -> None:
    """Show `target` as `source` is shown: transform, window, level, threshold, colours, place in the data tree."""
    target.SetAndObserveTransformNodeID(source.GetTransformNodeID())
    for name in ("VoxelValueQuantity", "VoxelValueUnits"):
        entry = getattr(source, "Get" + name)()
        if entry is not None:
            copy = slicer.vtkCodedEntry()
            copy.Copy(entry)
            getattr(target, "Set" + name)(copy)
    _copyDisplay(source, target)
    placeBeside(source, target)


def _copyDisplay(source: slicer.vtkMRMLVolumeNode, target: slicer.vtkMRMLVolumeNode) -> None:
    shown = source.GetDisplayNode()
    if target.GetDisplayNode() is None:
        target.CreateDefaultDisplayNodes()
    display = target.GetDisplayNode()
    if shown is None or display is None:
        return
    with slicer.util.NodeModify(display):
        if shown.GetColorNodeID():
            display.SetAndObserveColorNodeID(shown.GetColorNodeID())
        if shown.IsA("vtkMRMLScalarVolumeDisplayNode") and display.IsA("vtkMRMLScalarVolumeDisplayNode"):
            display.SetAutoWindowLevel(False)
            display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
            display.SetAutoThreshold(False)
            display.SetThreshold(shown.GetLowerThreshold(), shown.GetUpperThreshold())
            display.SetApplyThreshold(shown.GetApplyThreshold())
            display.SetInterpolate(shown.GetInterpolate())
            if hasattr(shown, "GetInvertDisplayScalarRange"):  # not in every Slicer
                display.SetInvertDisplayScalarRange(shown.GetInvertDisplayScalarRange())


def placeBeside(source: slicer.vtkMRMLNode, target: slicer.vtkMRMLNode) -> None:
    """Put `target` under the same item of the subject hierarchy (patient, study, folder) as `source`."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(target.GetScene())
    item = hierarchy.GetItemByDataNode(source) if hierarchy else 0
    if not item:
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(target)
    if own:
        hierarchy.SetItemParent(own, parent)
    else:
        hierarchy.CreateItem(parent, target)


def newVolume(scene: slicer.vtkMRMLScene, name: str, colour: bool = False) -> slicer.vtkMRMLScalarVolumeNode:
    """A new volume node of a name that is not in the scene yet."""
    kind = "vtkMRMLVectorVolumeNode" if colour else "vtkMRMLScalarVolumeNode"
    return scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))


@contextmanager
def removedOnError(scene: slicer.vtkMRMLScene) -> Iterator[list[slicer.vtkMRMLNode]]:
    """Collect new nodes; when the block fails they, and their display nodes, leave the scene again."""
    nodes: list[slicer.vtkMRMLNode] = []
    try:
        yield nodes
    except BaseException:
        for node in nodes:
            removeNode(scene, node)
        raise


def removeNode(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode) -> None:
    """Remove a node and the display nodes that only it has."""
    displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    for item in (node, *displays):
        if item is not None and scene.IsNodePresent(item):
            scene.RemoveNode(item)
