"""MRML volumes to MedSR volumes and back, without Qt.

MRML nodes are in RAS millimetres, medsr is in LPS; the border runs through this file and `SceneFiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.Translation import tr as _

IMAGE_CLASSES = ("vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode")
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SOURCE = "Slicer"
"""Of facts, one of `medsr.facts.SOURCES`."""


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
    from medsr.volume import Volume

    array = checkedArray(volumeNode)
    grid = geometryOf(volumeNode)
    facts, told = _known(volumeNode, grid)
    parent = volumeNode.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        told += (
            _(
                "The volume lies under a non-linear transform (uneven or tilted slices, or a deformation). It is "
                "sharpened on its own grid, and the result is put under the same transform."
            ),
        )
    return Volume(
        array,
        grid,
        modality=facts.value("modality"),
        facts=facts,
        planar=array.shape[0] == 1,
        warnings=told,
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
    isColour = volumeNode.IsA("vtkMRMLVectorVolumeNode")
    if image.GetNumberOfScalarComponents() > 1 and not isColour:  # which `arrayFromVolume` cannot read
        raise SceneError(
            _(
                "{name} has {count} numbers per voxel in a scalar volume node. Colours are taken from a vector volume "
                "node (vtkMRMLVectorVolumeNode); to super-resolve one of the numbers, extract it first."
            ).format(name=name, count=image.GetNumberOfScalarComponents())
        )
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


def isImage(node: slicer.vtkMRMLNode | None) -> bool:
    """True for nodes that can be an input: grey or RGB volumes; no label maps, tensors or diffusion series."""
    return node is not None and node.GetClassName() in IMAGE_CLASSES


def isColour(node: slicer.vtkMRMLNode | None) -> bool:
    """True for RGB volumes."""
    return node is not None and node.IsA("vtkMRMLVectorVolumeNode")


def factsOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """What is known of the acquisition, as `medsr.facts.Facts` with the source "Slicer"; x is I, y is J, z is K.

    From the DICOM file that the volume was loaded from, where it is still there; else from what Slicer's database kept
    of it, and from attributes of the node such as ``DICOM.SliceThickness``.

    Raises:
        medsr.errors.InputError: a grid that medsr does not accept.
    """
    return _known(volumeNode, geometryOf(volumeNode))[0]


def geometryOf(volumeNode: slicer.vtkMRMLVolumeNode) -> Any:
    """The grid of a node as `medsr.geometry.Geometry`, without any parent transform.

    Raises:
        medsr.errors.InputError: it is sheared or singular.
    """
    ensureCore()
    from medsr.geometry import Geometry

    return Geometry.from_affine(ijkToRas(volumeNode), volumeNode.GetImageData().GetDimensions(), space="RAS")


def modalityOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> str | None:
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
    return hierarchy.GetItemAttribute(item, name) if hierarchy and item else ""


def _known(volumeNode: slicer.vtkMRMLScalarVolumeNode, grid: Any) -> tuple[Any, tuple[str, ...]]:
    """Facts, and sentences that a person should read."""
    from medsr.errors import MissingDependencyError
    from medsr.facts import Fact, Facts

    modality = modalityOf(volumeNode)
    try:
        facts, told = _stated(volumeNode, modality, grid)
    except MissingDependencyError:  # no pydicom
        facts, told = Facts(), ()
    if modality and facts.value("modality") != modality:
        facts += [Fact("modality", modality, SOURCE)]
    return facts, told


def _stated(volumeNode: slicer.vtkMRMLScalarVolumeNode, modality: str | None, grid: Any) -> tuple[Any, tuple[str, ...]]:
    """What the header of the first DICOM instance of a volume says."""
    from medsr.errors import InputError
    from medsr.facts import Facts
    from medsr.io import database_facts, database_tags

    uid = next(iter((volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()), "")
    database = getattr(slicer, "dicomDatabase", None) if uid else None
    file = database.fileForInstance(uid) if database is not None else ""
    if file and Path(file).is_file():
        with suppress(InputError, OSError):  # damaged since
            return _headerFacts(file, Path(file).stat().st_mtime_ns, grid)
    texts = {}
    for keyword, tag in database_tags().items():
        text = database.instanceValue(uid, tag) if database is not None else ""
        texts[keyword] = text or volumeNode.GetAttribute(f"DICOM.{keyword}") or ""
    # The modality alone does not tell that K is across the slices.
    if not any(text for keyword, text in texts.items() if keyword != "Modality"):
        return Facts(), ()
    return database_facts({**texts, "Modality": texts["Modality"] or modality or ""}, grid, source=SOURCE)


@lru_cache(maxsize=16)
def _headerFacts(file: str, _modified: int, grid: Any) -> tuple[Any, tuple[str, ...]]:
    """Facts of a file, which is read again when it has changed: the panel asks at every choice."""
    from medsr.io import instance_facts

    return instance_facts(file, grid, source=SOURCE)


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
    count = node.GetNumberOfDisplayNodes() if node.IsA("vtkMRMLDisplayableNode") else 0
    displays = [node.GetNthDisplayNode(n) for n in range(count)]
    for item in (node, *displays):
        if item is not None and scene.IsNodePresent(item):
            scene.RemoveNode(item)
