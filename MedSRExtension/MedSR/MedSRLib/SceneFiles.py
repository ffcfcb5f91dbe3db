"""NRRD files between the scene and the worker, without Qt.

NRRD keeps an oblique grid to the last digit, where NIfTI rounds and straightens. MRML nodes are in RAS millimetres,
files in LPS.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer

from MedSRLib.SceneIO import LPS_FROM_RAS, affineSeenFrom, checkedArray, ijkToRas
from MedSRLib.Translation import tr as _


def writeNrrd(volumeNode: slicer.vtkMRMLVolumeNode, path: Path) -> None:
    """Write the voxels of a node uncompressed, without touching the node.

    Raises:
        OSError: the disk did not take all of it.
    """
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(path))
    storage.UseCompressionOff()
    ok = storage.WriteData(volumeNode)
    needed = checkedArray(volumeNode).nbytes
    there = path.stat().st_size if path.exists() else 0
    if not ok or there < needed:
        path.unlink(missing_ok=True)
        raise OSError(
            _("Only {there:,} of {needed:,} bytes could be written to {folder}. Is the disk full?").format(
                there=there, needed=needed, folder=path.parent
            )
        )


def writeLabels(labels: np.ndarray, volumeNode: slicer.vtkMRMLVolumeNode, path: Path) -> None:
    """Write classes, uint8 or uint16 ``(z, y, x)``, on the grid of a volume.

    Raises:
        OSError: the disk did not take all of it.
    """
    kind = {"uint8": "uchar", "uint16": "ushort"}[labels.dtype.name]
    with path.open("wb") as file:
        file.write(_header(kind, LPS_FROM_RAS @ ijkToRas(volumeNode), labels.shape[::-1]))
        file.write(np.ascontiguousarray(labels, labels.dtype.newbyteorder("<")).data)


def writeGrid(referenceNode: slicer.vtkMRMLVolumeNode, inputNode: slicer.vtkMRMLVolumeNode, path: Path) -> None:
    """Write where the voxels of `referenceNode` are, as seen from `inputNode`: an image file whose voxels are a hole.

    Raises:
        SceneError: as `affineSeenFrom`.
    """
    affine = affineSeenFrom(referenceNode, inputNode)
    size = referenceNode.GetImageData().GetDimensions()
    header = _header("uchar", affine, size)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + int(np.prod(size, dtype=np.int64)))


def readNrrd(path: Path, colour: bool = False) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume node of the file, in no scene.

    Args:
        path: an NRRD file that a worker wrote.
        colour: the file holds RGB.

    Raises:
        OSError: it cannot be read.
    """
    node = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(path))
    if not storage.ReadData(node) or node.GetImageData() is None:
        raise OSError(_("The result at {path} cannot be read.").format(path=path))
    return node


def _header(kind: str, affine: np.ndarray, size: tuple[int, ...]) -> bytes:
    """An NRRD header with an empty line at its end; `affine` maps voxels (i, j, k) to LPS millimetres."""
    columns = " ".join(_point(affine[:3, axis]) for axis in range(3))
    return f"""NRRD0004
type: {kind}
dimension: 3
space: left-posterior-superior
sizes: {" ".join(map(str, size))}
space directions: {columns}
kinds: domain domain domain
endian: little
encoding: raw
space origin: {_point(affine[:3, 3])}

""".encode("ascii")


def _point(values: np.ndarray) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
