"""Reading NRRD, MetaImage and 2D picture files with SimpleITK."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import InputError, ResourceError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.formats import PLANAR_ONLY, READABLE, check_promised_size, suffix_of, unreadable
from medsr.io.sidecar import with_sidecar
from medsr.volume import Volume

_COLOUR_TYPES = (sitk.sitkVectorUInt8, sitk.sitkVectorUInt16)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's C++ warnings off stderr; what they say is checked here instead."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_itk(source: Path) -> Volume:
    """A NRRD, MetaImage, PNG, JPEG, TIFF or BMP file as a Volume."""
    reader = _opened(source)
    _check_complete(source)
    with quiet():
        try:
            image = reader.Execute()
        except RuntimeError as error:
            if "allocate memory" in str(error):
                raise ResourceError(f"{source.name!r} does not fit into memory; crop it first.") from error
            raise unreadable(source, READABLE[suffix_of(source)][0], error) from error
    image = _without_trailing_axis(image)
    array, warnings = _colours(source, sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel())
    planar = image.GetDimension() == 2
    volume = Volume(
        array[None] if planar else array,
        _geometry(image),
        planar=planar or image.GetSize()[2] == 1,
        warnings=tuple(warnings),
        source=str(source),
        metadata=provenance.found(_provenance(source, image)),
    )
    return volume if suffix_of(source) in PLANAR_ONLY else with_sidecar(volume, source, oriented=True)


def _provenance(source: Path, image: sitk.Image) -> str:
    if suffix_of(source) in (".png", ".jpg", ".jpeg"):
        return provenance.picture_stamp(source)
    return image.GetMetaData(provenance.KEY) if image.HasMetaDataKey(provenance.KEY) else ""


def itk_geometry(source: Path) -> Geometry:
    """The grid of a file; no voxel is read."""
    reader = _opened(source)
    size, spacing, origin = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin()
    dimension = len(size)
    direction = np.array(reader.GetDirection()).reshape(dimension, dimension)
    return _grid(size, spacing, origin, direction)


def _opened(source: Path) -> sitk.ImageFileReader:
    """A reader that has read the header of a file with one scalar or colour volume in it."""
    what = READABLE[suffix_of(source)][0]
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(source))
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if "Unknown PixelType" in str(error):
                raise InputError(
                    f"{source.name!r} has a kind of pixel that is not supported, such as grey with transparency; grey, "
                    "RGB and RGBA are. Save it without the transparency."
                ) from error
            raise unreadable(source, what, error) from error
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    _check_kind(source, size, components, reader.GetPixelID())
    detached = suffix_of(source) in (".nhdr", ".mhd")
    if not detached:
        bytes_each = 1 if suffix_of(source) in PLANAR_ONLY else _bytes_of(reader.GetPixelID())
        promised = math.prod(size) * components * bytes_each
        check_promised_size(source, promised, compressed=_may_be_compressed(source))
    return reader


def _check_kind(source: Path, size: tuple[int, ...], components: int, pixel_id: int) -> None:
    text = " x ".join(map(str, size))
    if suffix_of(source) in PLANAR_ONLY and len(size) > 2 and math.prod(size[2:]) > 1:
        raise InputError(
            f"{source.name!r} holds {math.prod(size[2:])} pictures ({text}); one is accepted, since such files do not "
            "say how far apart the slices are. Save the stack as NIfTI or NRRD with its spacing."
        )
    if len(size) > 3 and any(n > 1 for n in size[3:]):
        raise InputError(
            f"{source.name!r} has {len(size)} dimensions ({text}): several time points or echoes. One 3D volume is "
            "accepted; extract one first, for example with SimpleITK.Extract."
        )
    if "complex" in sitk.GetPixelIDValueAsString(pixel_id):
        raise InputError(f"{source.name!r} holds complex numbers; real ones are accepted. Save its magnitude first.")
    if components > 1 and (components not in (3, 4) or pixel_id not in _COLOUR_TYPES):
        raise InputError(
            f"{source.name!r} has {components} components per voxel ({sitk.GetPixelIDValueAsString(pixel_id)}); grey "
            "and colour (RGB or RGBA of 8 or 16 bit) are accepted. Extract one component first, for example with "
            "SimpleITK.VectorIndexSelectionCast."
        )


def _may_be_compressed(source: Path) -> bool:
    """False where the header says that the voxels are stored raw."""
    if suffix_of(source) in PLANAR_ONLY:
        return True
    with source.open("rb") as file:
        head = file.read(4096).lower()
    return b"encoding: raw" not in head and not (b"dimsize" in head and b"compresseddata = true" not in head)


def _bytes_of(pixel_id: int) -> int:
    name = sitk.GetPixelIDValueAsString(pixel_id)
    return next((int(bits) // 8 for bits in ("64", "32", "16") if bits in name), 1)


def _check_complete(source: Path) -> None:
    """Find the damage that the decoders pass over: a cut JPEG or BMP, a flipped bit in a gzipped NRRD."""
    suffix = suffix_of(source)
    cut = InputError(f"{source.name!r} is truncated: its end is missing. Copy or export it again.")
    if suffix in (".jpg", ".jpeg"):
        with source.open("rb") as file:
            file.seek(max(0, source.stat().st_size - 65536))
            if b"\xff\xd9" not in file.read():
                raise cut
    elif suffix == ".bmp":
        with source.open("rb") as file:
            if int.from_bytes(file.read(6)[2:6], "little") > source.stat().st_size:
                raise cut
    elif suffix == ".nrrd":
        _check_gzip_sum(source)


def _check_gzip_sum(source: Path) -> None:
    with source.open("rb") as file:
        encoding = b""
        for line in iter(file.readline, b""):
            if line.startswith(b"encoding:"):
                encoding = line.split(b":")[1].strip()
            if not line.strip() or len(line) > 1_000_000:
                break
        if encoding not in (b"gzip", b"gz"):
            return
        try:
            with gzip.GzipFile(fileobj=file) as packed:
                while packed.read(1 << 22):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(source, "NRRD", error) from error


def _without_trailing_axis(image: sitk.Image) -> sitk.Image:
    """A 4D image with one time point as a 3D one, a picture file with one page as a 2D one."""
    while image.GetDimension() > 3:
        image = sitk.Extract(image, [*image.GetSize()[:-1], 0])
    return image


def _geometry(image: sitk.Image) -> Geometry:
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)
    return _grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), direction)


def _grid(
    size: tuple[int, ...], spacing: tuple[float, ...], origin: tuple[float, ...], direction: NDArray[np.float64]
) -> Geometry:
    """The 3D grid of 2D (one slice of 1 mm), 3D, or 4D with a last axis of one."""
    axes = min(3, len(size))
    matrix = np.eye(3)
    matrix[:axes, :axes] = direction[:axes, :axes]
    x, y, z = [*size[:axes], 1][:3]
    sx, sy, sz = [*spacing[:axes], 1.0][:3]
    ox, oy, oz = [*origin[:axes], 0.0][:3]
    return Geometry((x, y, z), (sx, sy, sz), (ox, oy, oz), tuple(matrix.ravel().tolist()))


def _colours(source: Path, array: NDArray[np.generic], components: int) -> tuple[NDArray[np.generic], list[str]]:
    """Drop transparency, and the colours of a grey BMP, which always comes with three."""
    warnings = []
    if components == 4:
        array = np.ascontiguousarray(array[..., :3])
        warnings.append(f"{source.name!r} has transparency (an alpha channel); it was dropped.")
    if suffix_of(source) == ".bmp" and components == 3 and (array == array[..., :1]).all():
        array = np.ascontiguousarray(array[..., 0])
    return array, warnings
