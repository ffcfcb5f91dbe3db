"""Output folders: found usable before the work, filled at its end or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medsr.errors import InvalidValueError, OutputError


def output_folder(text: str) -> Path:
    """The folder that ``--output`` names.

    Raises:
        InvalidValueError: no name of a folder, or the root of a disk.
    """
    # Path("") would be the current folder.
    if not text or "\0" in text:
        raise InvalidValueError(f"{text!r} is no folder. Give the folder to write to (. is the current one).")
    folder = Path(text)
    if folder.absolute() == Path(folder.absolute().anchor):
        raise InvalidValueError(f"{text!r} is the root of the disk. Give a folder below it.")
    return folder


def check_folder(folder: Path) -> None:
    """Raise OutputError when files cannot be written into `folder`, which may not be there yet."""
    try:
        os.fsencode(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{str(folder)!r} is a file. Give a folder.")
        existing = folder if folder.exists() else folder.absolute().parent
        if not existing.is_dir():
            raise OutputError(f"The folder {str(existing)!r} does not exist. Create it first, or write elsewhere.")
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name is possible"
        raise OutputError(f"{str(folder)!r} cannot be written to: {why}. Give another folder.") from error
    # Late: wrong names are told before anything heavy is loaded.
    from medsr.io.outputs import check_folder_takes_files

    check_folder_takes_files(existing)


def nearest_folder(folder: Path) -> Path:
    """`folder`, or where it is to be made with those above it, the first of these that is not there."""
    try:
        missing = [place for place in (folder, *folder.absolute().parents) if not place.exists()]
    except (OSError, ValueError):
        return folder
    return missing[-1] if missing else folder


def writable_folder(folder: Path) -> None:
    """Make a folder, with those above it; raise OutputError when that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {str(folder)!r} could not be made: {error.strerror}.") from error


def check_free_names(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Raise OutputError when one of the files `names` is in `folder` already."""
    if overwrite:
        return
    for name in names:
        if (folder / name).exists():
            raise OutputError(f"{str(folder / name)!r} exists already. Pass --overwrite, or choose another folder.")


@contextmanager
def filled_at_the_end(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move to `folder` when the block ends well; otherwise they vanish.

    Raises:
        OutputError: the disk or the folder does not take them.
    """
    try:
        # On the disk where the files shall be, so that moving them is a renaming.
        beside = folder if folder.is_dir() else folder.absolute().parent
        with tempfile.TemporaryDirectory(prefix=".medsr-", dir=beside) as name:
            draft = Path(name)
            yield draft
            # Late: a folder is checked before anything heavy is loaded.
            from medsr.io import Staging

            with Staging(overwrite=True) as staging:
                for source in sorted(path for path in draft.rglob("*") if path.is_file()):
                    target = folder / source.relative_to(draft)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.replace(staging.draft(target))
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(error, OutputError) or error.filename is None:
            raise
        raise OutputError(f"{error.filename!r} could not be written: {error.strerror}.") from error
