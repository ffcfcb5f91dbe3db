"""Files of one job: written aside first, put in place together, or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from medsr.errors import OutputError
from medsr.interrupts import Undivided

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Staged:
    draft: Path
    target: Path

    @property
    def old(self) -> Path:
        """Where the file that the target replaces is kept until everything is in place."""
        # Under its own name: with anything added, a name that is just short enough would be too long.
        return self.draft.parent / "old" / self.target.name


class Staging:
    """Collects the files of one job and puts them in place when its block ends without an error.

    Each draft lies in a hidden folder beside its target, so that putting it in place is a renaming. When anything
    fails before the last renaming, what was there before is there again. A signal that comes while files are put in
    place waits until all of them are.

    Args:
        overwrite: existing files may be replaced.

    Attributes:
        is_done: everything is in place.

    Example:
        >>> with Staging() as staging:
        ...     staging.draft(Path("report.json")).write_text("{}")
    """

    def __init__(self, *, overwrite: bool = False) -> None:
        self.overwrite = overwrite
        self._staged: list[_Staged] = []
        self.is_done = False
        self._folders: list[Path] = []
        # For a signal that comes just before the block's end is reached.
        weakref.finalize(self, _remove, self._folders)

    def draft(self, target: Path, *companions: Path) -> Path:
        """Where to write the file that `target` will be.

        Args:
            target: a file in a folder that exists.
            companions: further files, in the same folder as `target`, that its writer makes beside it; they are put in
                place before it.
        """
        with Undivided():
            folder = Path(tempfile.mkdtemp(prefix=".medsr-", dir=target.parent))
            self._folders.append(folder)
        self._staged += [_Staged(folder / file.name, file) for file in (*companions, target)]
        return folder / target.name

    def draft_folder(self, target: Path) -> Path:
        """An empty folder to fill, which `target` will be as a whole; `target` may be a folder, and is replaced."""
        draft = self.draft(target)
        draft.mkdir()
        return draft

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with Undivided():
            try:
                if kind is None:
                    self._put_in_place()
                    self.is_done = True
            finally:
                _remove(self._folders)

    def _put_in_place(self) -> None:
        for file in self._staged:
            if not file.draft.exists():
                raise OutputError(f"{str(file.target)!r} was not written. Is the disk full?")
            if file.draft.is_dir():
                self._check_folder(file.target)
            elif file.target.exists() and not file.target.is_file():
                raise OutputError(f"{str(file.target)!r} exists and is no regular file. Write elsewhere.")
            elif file.target.exists() and not self.overwrite:
                raise OutputError(f"{str(file.target)!r} has come to exist meanwhile. Pass --overwrite to replace it.")
        try:
            for file in self._staged:
                _keep_old(file)
                file.draft.replace(file.target)
        except BaseException as error:
            for file in reversed(self._staged):
                self._restore(file)
            if isinstance(error, OSError):
                raise OutputError(
                    f"The files could not be put in place ({error.strerror}). Everything is as it was before."
                ) from error
            raise

    def _check_folder(self, target: Path) -> None:
        if target.exists() and not target.is_dir():
            raise OutputError(f"{str(target)!r} exists and is no folder. Write elsewhere.")
        if target.exists() and any(target.iterdir()) and not self.overwrite:
            raise OutputError(f"{str(target)!r} is no longer empty. Pass --overwrite to replace what it holds.")

    def _restore(self, file: _Staged) -> None:
        """Undo the renaming of one file, as far as it had come."""
        try:
            if file.target.is_dir() and not file.draft.exists():
                file.target.replace(file.draft)
            if file.old.exists():
                if not (file.target.exists() and file.target.samefile(file.old)):
                    file.old.replace(file.target)
            elif not file.draft.exists():
                file.target.unlink(missing_ok=True)
        except OSError:
            # Rather a hidden folder too many than the only copy of somebody's file lost.
            self._folders.remove(file.draft.parent)
            logger.exception("%s could not be restored; it is kept as %s", file.target, file.old)


def _remove(folders: list[Path]) -> None:
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)


def _keep_old(file: _Staged) -> None:
    """Give the file that is to be replaced a second name; a folder has but one, and moves."""
    if not file.target.exists():
        return
    file.old.parent.mkdir(exist_ok=True)
    if file.target.is_dir():
        file.target.replace(file.old)
        return
    try:
        os.link(file.target, file.old)
    except OSError:  # a file system without hard links
        file.target.replace(file.old)
