"""Small images in every format, and what each of their bytes is protected by."""

from __future__ import annotations

import bz2
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medsr.geometry import Geometry
from medsr.io import write_volume
from medsr.volume import Volume

SIZE_XYZ = (8, 7, 5)
_DIRECTION = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Part:
    """Bytes of one file that are alike.

    Attributes:
        file: its name.
        start, stop: which bytes.
        kind: "stated" for headers, whose numbers nothing protects; "told" where others contradict them; "voxels" for
            raw ones; "summed" where a checksum covers every bit.
    """

    file: str
    start: int
    stop: int
    kind: str


@dataclass(frozen=True)
class Original:
    """An image as files, and which of their bytes are what.

    Attributes:
        name: of the format.
        opened: the name of the file, or "." for the folder, that is read.
        files: content by name.
        parts: of all files.
        text: the header is text.
        packed: the one file is gzipped as a whole.
    """

    name: str
    opened: str
    files: dict[str, bytes]
    parts: tuple[Part, ...] = field(repr=False)
    text: bool = False
    packed: bool = False


def phantom() -> Volume:
    """Noise, so that no two rows are alike, on an oblique grid."""
    array = np.random.default_rng(0).integers(0, 2000, SIZE_XYZ[::-1]).astype(np.int16)
    return Volume(array, Geometry(SIZE_XYZ, (0.7, 0.9, 3.3), (-101.5, 33.25, 12.125), _DIRECTION))


def originals() -> list[Original]:
    """One image in each format but DICOM, which `dicom_cases` has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            _single(folder, "a.nii"),
            _single(folder, "a.nii.gz"),
            _single(folder, "a.mgh"),
            _single(folder, "a.mgz"),
            _single(folder, "a.nrrd"),
            _single(folder, "a.mha"),
            _packed_text(folder, "gzip.nrrd", b"\n\n"),
            _packed_text(folder, "zlib.mha", b"LOCAL\n"),
            _bzip2(folder),
            _pair(folder, "a.nhdr", "a.raw", packed=False),
            _pair(folder, "a.mhd", "a.raw", packed=False),
            _pair(folder, "b.nhdr", "b.raw.gz", packed=True),
            _pair(folder, "b.mhd", "b.zraw", packed=True),
        ]


def _single(folder: Path, name: str) -> Original:
    volume = phantom()
    data = write_volume(volume, folder / name).read_bytes()
    if name.endswith("gz"):
        return Original(name[1:], name, {name: data}, (Part(name, 0, len(data), "summed"),), packed=True)
    return _with_raw_voxels(name, data, _stored(volume.array, ">" if name == "a.mgh" else "<"))


def _stored(array: np.ndarray, order: str) -> bytes:
    return array.astype(array.dtype.newbyteorder(order)).tobytes()


def _with_raw_voxels(name: str, data: bytes, voxels: bytes) -> Original:
    start = data.index(voxels)
    stop = start + len(voxels)
    parts = [Part(name, 0, start, "stated"), Part(name, start, stop, "voxels")]
    if stop < len(data):
        parts.append(Part(name, stop, len(data), "stated"))
    return Original(name[1:], name, {name: data}, tuple(parts), text=name in ("a.nrrd", "a.mha"))


def _packed_text(folder: Path, name: str, end: bytes) -> Original:
    sitk.WriteImage(phantom().to_sitk(), str(folder / name), useCompression=True)
    data = (folder / name).read_bytes()
    start = data.index(end) + len(end)
    parts = (Part(name, 0, start, "stated"), Part(name, start, len(data), "summed"))
    return Original(f".{name.split('.')[1]} ({name.split('.')[0]})", name, {name: data}, parts, text=True)


def _bzip2(folder: Path) -> Original:
    head, voxels = write_volume(phantom(), folder / "bzip2.nrrd").read_bytes().split(b"\n\n", 1)
    data = head.replace(b"encoding: raw", b"encoding: bzip2") + b"\n\n"
    name, start, data = "bzip2.nrrd", len(data), data + bz2.compress(voxels)
    parts = (Part(name, 0, start, "stated"), Part(name, start, len(data), "summed"))
    return Original(".nrrd (bzip2)", name, {name: data}, parts, text=True)


def _pair(folder: Path, name: str, data: str, *, packed: bool) -> Original:
    sitk.WriteImage(phantom().to_sitk(), str(folder / name), useCompression=packed)
    files = {file: (folder / file).read_bytes() for file in (name, data)}
    kind = "summed" if packed else "voxels"
    parts = (Part(name, 0, len(files[name]), "stated"), Part(data, 0, len(files[data]), kind))
    return Original(f"{name[1:]} + {data[1:]}", name, files, parts, text=True)
