"""Output folders: found usable before the work, filled at its end or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medsr.errors import OutputError


def check_folder(folder: Path) -> None:
    """Raise OutputError when files cannot be written into `folder`, which may not be there yet."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{str(folder)!r} is a file. Give a folder.")
    existing = folder if folder.exists() else folder.absolute().parent
    if not existing.is_dir():
        raise OutputError(f"The folder {str(existing)!r} does not exist. Create it first, or write elsewhere.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {str(existing)!r} may not be written to. Write elsewhere.")


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
            for source in sorted(path for path in draft.rglob("*") if path.is_file()):
                target = folder / source.relative_to(draft)
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(error, OutputError) or error.filename is None:
            raise
        raise OutputError(f"{error.filename!r} could not be written: {error.strerror}.") from error
