"""Reading 2D picture files with SimpleITK."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import InputError, ResourceError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.formats import READABLE, check_promised_size, name_for_itk, suffix_of, unreadable
from medsr.io.picture_damage import check_picture, complaints, told
from medsr.io.raster import check_kind, grid_of
from medsr.volume import Volume

_STAMPED = (".png", ".jpg", ".jpeg")
_MAGIC = {
    b"\x89PNG": "PNGImageIO", b"\xff\xd8\xff": "JPEGImageIO", b"II*\0": "TIFFImageIO", b"MM\0*": "TIFFImageIO",
    b"II+\0": "TIFFImageIO", b"MM\0+": "TIFFImageIO", b"BM": "BMPImageIO",
}  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's C++ warnings off stderr; what they say is checked here instead."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def read_picture(source: Path) -> Volume:
    """A PNG, JPEG, TIFF or BMP file as a Volume."""
    reader = _opened(source)
    check_picture(source)
    with quiet(), _heard(source) as said:
        try:
            image = reader.Execute()
        except RuntimeError as error:
            if "allocate memory" in str(error):
                raise ResourceError(f"{source.name!r} does not fit into memory; crop it first.") from error
            raise unreadable(source, READABLE[suffix_of(source)][0], error) from error
    array, warnings = _colours(source, sitk.GetArrayFromImage(image), image.GetNumberOfComponentsPerPixel())
    return Volume(
        array if image.GetDimension() > 2 else array[None],
        _geometry(image),
        planar=True,
        warnings=(*warnings, *told(source, said)),
        source=str(source),
        metadata=provenance.found(provenance.picture_stamp(source) if suffix_of(source) in _STAMPED else ""),
    )


def picture_geometry(source: Path) -> Geometry:
    """The grid of a file; no pixel is read."""
    return _geometry(_opened(source))


def _geometry(image: sitk.Image | sitk.ImageFileReader) -> Geometry:
    size = image.GetSize()
    direction = np.array(image.GetDirection()).reshape(len(size), len(size))
    return grid_of(size, image.GetSpacing(), image.GetOrigin(), direction)


def _opened(source: Path) -> sitk.ImageFileReader:
    """A reader that has read the header of a file with one grey or colour picture in it."""
    what = READABLE[suffix_of(source)][0]
    reader = sitk.ImageFileReader()
    # By what is in it, but one of these: ITK would try all its formats, some of which open further files.
    reader.SetImageIO(_decoder(source))
    reader.SetFileName(name_for_itk(source))
    with quiet(), _heard(source):
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
    if math.prod(size[2:]) > 1:
        raise InputError(
            f"{source.name!r} holds {math.prod(size[2:])} pictures ({' x '.join(map(str, size))}); one is accepted, "
            "since such files do not say how far apart the slices are. Save the stack as NIfTI, with its spacing."
        )
    dtype = _dtype(reader.GetPixelID())
    check_kind(source, size, components, dtype)
    # Pixels take one byte at least, once unpacked.
    check_promised_size(source, math.prod(size) * components, compressed=True)
    return reader


def _decoder(source: Path) -> str:
    with source.open("rb") as file:
        head = file.read(4)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    raise unreadable(source, READABLE[suffix_of(source)][0], ValueError("its content is of another kind"))


def _heard(source: Path) -> AbstractContextManager[list[str]]:
    """`complaints` for JPEG, which alone has them."""
    return complaints() if _decoder(source) == "JPEGImageIO" else nullcontext([])


def _dtype(pixel_id: int) -> np.dtype[np.generic]:
    """The type of one number; only which of them colours have matters."""
    colours = {sitk.sitkVectorUInt8: np.uint8, sitk.sitkVectorUInt16: np.uint16}
    return np.dtype(colours.get(pixel_id, np.float64))


def _colours(source: Path, array: NDArray[np.generic], components: int) -> tuple[NDArray[np.generic], list[str]]:
    """Drop transparency, and the colours of a grey BMP, which always comes with three."""
    warnings = []
    if components == 4:
        array = np.ascontiguousarray(array[..., :3])
        warnings.append(f"{source.name!r} has transparency (an alpha channel); it was dropped.")
    if suffix_of(source) == ".bmp" and components == 3 and (array == array[..., :1]).all():
        array = np.ascontiguousarray(array[..., 0])
    return array, warnings
