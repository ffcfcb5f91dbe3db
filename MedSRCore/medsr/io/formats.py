"""Which file formats there are, and what all readers share."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, InputNotFoundError

StrPath = str | os.PathLike[str]

# Extension -> (name for people, reader). The order is the order of error texts.
READABLE: dict[str, tuple[str, str]] = {
    ".nii": ("NIfTI", "nifti"),
    ".nii.gz": ("NIfTI", "nifti"),
    ".nrrd": ("NRRD", "nrrd"),
    ".nhdr": ("NRRD", "nrrd"),
    ".mha": ("MetaImage", "metaimage"),
    ".mhd": ("MetaImage", "metaimage"),
    ".mgz": ("MGH", "mgh"),
    ".mgh": ("MGH", "mgh"),
    ".dcm": ("DICOM", "dicom"),
    ".ima": ("DICOM", "dicom"),
    ".png": ("PNG", "picture"),
    ".jpg": ("JPEG", "picture"),
    ".jpeg": ("JPEG", "picture"),
    ".tif": ("TIFF", "picture"),
    ".tiff": ("TIFF", "picture"),
    ".bmp": ("BMP", "picture"),
}
WRITABLE = (
    ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".png", ".jpg", ".jpeg", ".tif", ".tiff",
)  # fmt: skip
PLANAR_ONLY = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

# No compression of the formats read here shrinks data further; a header that promises more is lying.
_MOST_COMPRESSION = 1100


def suffix_of(path: Path) -> str:
    """The extension in lower case, ``.nii.gz`` as one."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def nearest(suffix: str, known: Iterable[str]) -> str:
    """`` Did you mean '.nii'?``, or nothing when no extension is close."""
    near = difflib.get_close_matches(suffix, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def existing_input(path: StrPath) -> Path:
    """The path of an input that is there and can be opened.

    Raises:
        InputNotFoundError: there is nothing at `path`.
        InputError: an empty file, no regular file, or one that may not be read.
    """
    # Path("") would be the current folder.
    if not os.fspath(path):
        raise InputError("The input path is empty. Give a file, or a folder with DICOM files (. is the current one).")
    source = Path(path)
    if "\0" in str(source):
        raise InputError("The input path holds a null character.")
    try:
        # What a link leads to, or nothing; a folder above it that may not be entered is an error.
        found = source.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputNotFoundError(f"There is no file or folder {str(source)!r}. Check the path.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name is possible"
        raise InputError(f"{str(source)!r} cannot be opened ({why}). Check the path.") from error
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        raise InputError(f"{str(source)!r} is neither a file nor a folder; pass an image file or a DICOM folder.")
    if not os.access(source, os.R_OK | (os.X_OK if stat.S_ISDIR(found.st_mode) else 0)):
        raise InputError(f"{str(source)!r} may not be read by this user. Change its permissions.")
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise InputError(f"{source.name!r} is empty (0 bytes). Copy or export it again.")
    return source


def reader_of(source: Path) -> str:
    """Which reader opens `source`: "nifti", "nrrd", "metaimage", "mgh", "dicom", or "picture".

    A file of an unknown extension is DICOM if its content says so: most DICOM files have none or a number.
    """
    if source.is_dir():
        return "dicom"
    suffix = suffix_of(source)
    if suffix in READABLE:
        return READABLE[suffix][1]
    if looks_like_dicom(source):
        return "dicom"
    accepted = ", ".join(READABLE)
    raise InputError(
        f"{source.name!r} is of no format that MedSR reads.{nearest(suffix, READABLE)} Accepted: {accepted}, "
        "and DICOM files and folders."
    )


def looks_like_dicom(source: Path) -> bool:
    """True for a DICOM preamble, or for a first element of group 8 as files without a preamble have it."""
    try:
        with source.open("rb") as file:
            head = file.read(132)
    except OSError:
        return False
    return head[128:] == b"DICM" or (head[:2] == b"\x08\x00" and head[3:4] == b"\x00" and len(head) == 132)


def check_promised_size(source: Path, promised_bytes: int, *, compressed: bool) -> None:
    """Raise InputError when the voxels that a header promises cannot be in the file.

    It is asked before any memory is taken, so a corrupt header cannot ask for terabytes.
    """
    there = source.stat().st_size
    if promised_bytes > there * (_MOST_COMPRESSION if compressed else 1):
        raise InputError(
            f"{source.name!r} is truncated or its header is corrupt: the header promises {promised_bytes:,} bytes of "
            f"voxels, the file has {there:,} bytes. Copy or export it again."
        )


def is_text(path: Path) -> bool:
    """False for a name that is no UTF-8: ITK ends the whole process when it is given one."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def name_for_itk(path: Path) -> str:
    """`path` as ITK takes it; raise InputError for one that it does not."""
    if not is_text(path):
        raise InputError(f"The path {str(path)!r} holds bytes that are no text, and cannot be opened. Rename it.")
    return str(path)


def unreadable(source: Path, what: str, cause: BaseException) -> InputError:
    """The error for a file that its reader gave up on."""
    return InputError(
        f"{source.name!r} cannot be read as {what}; it is truncated or corrupt ({one_line(cause)}). "
        "Copy or export it again."
    )


def one_line(cause: BaseException) -> str:
    """What a library complained about in one line, without its source files, addresses and exception chatter."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    if any("Unable to determine ImageIO" in line for line in lines):
        return "its content is of another kind"
    said = next((line for line in lines if "ERROR: " in line), lines[-1] if lines else type(cause).__name__)
    said = re.sub(r"^.*ERROR: ", "", said)
    said = re.sub(r"^\w+\(0x[0-9a-f]+\): ", "", said)
    return said.rstrip(".: ")[:200]


def rescaled(array: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    """``array * slope + intercept``.

    Integers stay integers when both numbers are whole (in the stored type, or the smallest signed one that holds the
    result, so CT in Hounsfield units is int16); everything else becomes float32, or float64 for wide types.
    """
    if slope == 1 and intercept == 0:
        return array
    if array.dtype.kind in "iu" and float(slope).is_integer() and float(intercept).is_integer():
        low, high = sorted(int(v) * int(slope) + int(intercept) for v in (array.min(), array.max()))
        dtypes: list[np.dtype[Any]] = [array.dtype, *map(np.dtype, (np.int16, np.int32, np.int64))]
        for dtype in dtypes:
            if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
                wide = array.astype(np.int64 if array.dtype.itemsize > 2 or dtype.itemsize > 4 else np.int32)
                wide *= int(slope)
                wide += int(intercept)
                return wide.astype(dtype)
    wide_input = array.dtype.itemsize > (2 if array.dtype.kind in "iu" else 4)
    real = array.astype(np.float64 if wide_input else np.float32)
    real *= slope
    real += intercept
    return real


def native(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The same values in a type that files hold: no booleans, no half or extended precision."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
