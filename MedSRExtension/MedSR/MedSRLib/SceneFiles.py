"""NRRD files between the scene and the worker, without Qt.

NRRD keeps an oblique grid to the last digit, where NIfTI rounds and straightens. MRML nodes are in RAS millimetres,
files in LPS.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from MedSRLib.SceneIO import LPS_FROM_RAS, affineSeenFrom, checkedArray, ijkToRas
from MedSRLib.Translation import tr as _

_LONGEST_LINE = 100_000
_TYPES = {
    "signed char": "i1", "unsigned char": "u1", "short": "<i2", "unsigned short": "<u2", "int": "<i4",
    "unsigned int": "<u4", "long long int": "<i8", "unsigned long long int": "<u8", "float": "<f4", "double": "<f8",
}  # fmt: skip
"""As SimpleITK and Slicer name them."""
_TO_RAS = {"left-posterior-superior": LPS_FROM_RAS, "right-anterior-superior": np.eye(4)}


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
    with path.open("rb") as file:
        try:
            image, ras = _read(file, colour)
        except (KeyError, ValueError) as error:
            raise OSError(_("The result at {path} cannot be read: {why}.").format(path=path, why=error)) from error
    node = slicer.vtkMRMLVectorVolumeNode() if colour else slicer.vtkMRMLScalarVolumeNode()
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ras))
    return node


def _read(file: BinaryIO, colour: bool) -> tuple[vtk.vtkImageData, np.ndarray]:
    """The voxels of an NRRD file and their matrix to RAS millimetres.

    Straight into the memory of VTK: Slicer's own reader holds a second copy of the volume for a moment.
    """
    fields: dict[str, str] = {}
    for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
        text = line.decode("ascii", "replace").rstrip("\r\n")
        if not text:
            break
        name, _colon, value = text.partition(": ")
        fields[name] = value
    if fields["encoding"] != "raw" or fields.get("endian", "little") != "little":
        raise ValueError(f"{fields['encoding']}, {fields.get('endian')}")
    sizes = [int(size) for size in fields["sizes"].split()]
    kind = np.dtype(_TYPES[fields["type"]])
    image = vtk.vtkImageData()
    image.SetDimensions(sizes[-3:])
    image.AllocateScalars(get_vtk_array_type(kind), sizes[0] if colour else 1)
    voxels = memoryview(vtk_to_numpy(image.GetPointData().GetScalars())).cast("B")
    if len(voxels) != kind.itemsize * int(np.prod(sizes, dtype=np.int64)):
        raise ValueError(f"{len(sizes)} dimensions")
    if file.readinto(voxels) != len(voxels):  # type: ignore[attr-defined]  # a buffered file fills it all
        raise ValueError("it is cut short")
    affine = np.eye(4)
    vectors = [vector for vector in fields["space directions"].split() if vector != "none"]
    for axis, vector in enumerate([*vectors, fields["space origin"]]):
        affine[:3, axis] = [float(number) for number in vector.strip("()").split(",")]
    return image, _TO_RAS[fields["space"]] @ affine


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
