"""Where results may be written: found out before the work, and compared with what must not be lost.

Paths are compared by what they are, not by how they are written: links, ``..`` and the case of letters make one file
look like several.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from medsr.errors import InvalidValueError, OutputError
from medsr.io.formats import WRITABLE, StrPath, is_text, nearest, suffix_of
from medsr.resources import size_text

_WITHOUT_ITK = (".nii", ".nii.gz", ".mgz", ".mgh")
_DETACHED = (".nhdr", ".mhd")


def check_output(path: StrPath, overwrite: bool = False, *, needed_bytes: int = 0) -> Path:
    """Find out before hours of work whether an image can be written at `path`.

    Args:
        path: the file to write; its extension is the format.
        overwrite: an existing file may be replaced.
        needed_bytes: about how much disk space the file takes; 0 when unknown.

    Returns:
        `path` as a Path.

    Raises:
        InvalidValueError: no file name, or an extension that cannot be written.
        OutputError: a file that exists, a folder that is missing or may not be written to, too little space.
    """
    target = _named(path)
    suffix = suffix_of(target)
    if stat.S_ISDIR(_mode(target)) or suffix in (".dcm", ".ima", ""):
        raise InvalidValueError(
            f"{str(target)!r} is a folder, DICOM or has no extension. Give a file name that ends in one of "
            f"{', '.join(WRITABLE)}; a DICOM series is written into a folder, with --format dicom."
        )
    if suffix not in WRITABLE:
        raise InvalidValueError(
            f"{suffix!r} files cannot be written.{nearest(suffix, WRITABLE)} Accepted: {', '.join(WRITABLE)}."
        )
    if suffix not in _WITHOUT_ITK and not is_text(target):
        raise InvalidValueError(
            f"The path {str(target)!r} holds bytes that are no text, which only {', '.join(_WITHOUT_ITK)} can have. "
            "Choose another name or folder."
        )
    for file in files_of(target):
        _check_free(file, overwrite=overwrite)
    check_space(target.parent, needed_bytes)
    return target


def check_free_folder(path: StrPath) -> bool:
    """True when a folder can be made at `path`, or is there and empty; False when it holds something.

    Raises:
        InvalidValueError: no name of a folder.
        OutputError: something else of this name, or a folder above it that is missing or may not be written to.
    """
    target = _named(path)
    mode = _mode(target)
    if mode and not stat.S_ISDIR(mode):
        raise OutputError(f"{str(target)!r} exists and is no folder. Name another one.")
    _check_exists(target.parent)
    _check_writable(target.parent)
    return not mode or not any(target.iterdir())


def check_space(folder: Path, needed_bytes: int) -> None:
    """Raise OutputError when the disk of `folder` has less than `needed_bytes` left."""
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise OutputError(
            f"The disk of {str(folder)!r} has {size_text(free)} left, the output needs {size_text(needed_bytes)}. Free "
            "some space or write elsewhere."
        )


def check_text_output(path: StrPath, *, overwrite: bool) -> Path:
    """Raise InvalidValueError or OutputError when a text file cannot be written at `path`."""
    target = _named(path)
    _check_free(target, overwrite=overwrite)
    return target


def files_of(target: Path) -> list[Path]:
    """The files that a format consists of, the named one last."""
    return [target.with_suffix(".raw"), target] if suffix_of(target) in _DETACHED else [target]


def check_apart(outputs: Sequence[Path], inputs: Iterable[Path]) -> None:
    """Raise InvalidValueError when two of the files to be written are one, or when one of them is read.

    Args:
        outputs: every file that will be written.
        inputs: files and folders that must not be lost.
    """
    written: dict[tuple[str, str], Path] = {}
    for output in outputs:
        other = written.setdefault(_place(output), output)
        if other is not output:
            raise InvalidValueError(
                f"Output, report and maps need different file names: {str(other)!r} and {str(output)!r} would be one "
                "file."
            )
    for source in inputs:
        for output in outputs:
            if _are_one(output, source):
                raise InvalidValueError(
                    f"The output {str(output)!r} is the input itself, or another file that is read for it "
                    f"({str(source)!r}). Choose another name."
                )


def check_outputs(
    images: Sequence[StrPath], texts: Sequence[StrPath], inputs: Iterable[Path], *, overwrite: bool
) -> list[Path]:
    """Every file that a job will write, after a look at each: none is another or an input, and each can be written.

    Args:
        images: image files.
        texts: reports, pictures and other files of one piece.
        inputs: files that are read.
        overwrite: replace files that exist.
    """
    outputs = [*(file for path in images for file in files_of(Path(path))), *map(Path, texts)]
    check_apart(outputs, inputs)
    for path in images:
        check_output(path, overwrite=overwrite)
    for path in texts:
        check_text_output(path, overwrite=overwrite)
    for folder in {file.parent for file in outputs}:
        check_folder_takes_files(folder)
    return outputs


def check_folder_takes_files(folder: Path) -> None:
    """Raise OutputError when no file can be made in `folder`.

    Tried rather than asked: neither permissions nor the administrator's rights say what a file system will do.
    """
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".medsr-", dir=folder))  # noqa: PTH106  mkdtemp gives a text
    except OSError as error:
        raise OutputError(
            f"The folder {str(folder)!r} may not be written to ({error.strerror}). Write elsewhere, or change its "
            "permissions."
        ) from error


def _named(path: StrPath) -> Path:
    """`path`, when it can be the name of a file."""
    target = Path(path)
    if "\0" in str(target) or not target.name or target.name == "..":
        raise InvalidValueError(f"{str(path)!r} is no file name. Give the name of the file to write.")
    try:
        os.fsencode(target)
    except UnicodeEncodeError as error:
        raise InvalidValueError(
            f"{str(target)!r} holds characters that no file name can have. Choose another name."
        ) from error
    return target


def _check_free(file: Path, *, overwrite: bool) -> None:
    """Raise OutputError when `file` cannot be written, or is there and shall stay."""
    _check_exists(file.parent)
    mode = _mode(file)
    if mode and not stat.S_ISREG(mode):
        raise OutputError(f"{str(file)!r} exists and is no regular file. Write elsewhere.")
    if mode and not overwrite:
        raise OutputError(f"{str(file)!r} exists already. Pass --overwrite to replace it, or write elsewhere.")
    _check_writable(file.parent)


def _check_exists(folder: Path) -> None:
    if not stat.S_ISDIR(_mode(folder)):
        raise OutputError(f"The folder {str(folder)!r} does not exist. Create it first, or write elsewhere.")


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"The folder {str(folder)!r} may not be written to. Write elsewhere, or change its permissions."
        )


def _mode(path: Path) -> int:
    """What kind of thing is at `path`, as the system says it; 0 for nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:  # a name that is too long, a folder that may not be searched, a circle of links
        raise OutputError(f"{str(path)!r} cannot be written: {error.strerror}. Choose another name.") from error


def _place(path: Path) -> tuple[str, str]:
    """The same for two paths that may lead to one file, be it there or not.

    Some file systems take ``A.nii`` and ``a.nii`` for one name; results whose names differ only so are refused on all.
    """
    try:
        folder = os.path.realpath(path.parent)
    except ValueError:  # no path: told when it is checked
        folder = str(path.parent)
    return folder, unicodedata.normalize("NFC", path.name).casefold()


def _are_one(output: Path, source: Path) -> bool:
    try:
        first, second = output.stat(), source.stat()
    except (OSError, ValueError):  # what is not there yet is no input
        return False
    if first.st_ino and second.st_ino:
        return os.path.samestat(first, second)
    return _place(output) == _place(source)  # a file system that does not number its files
