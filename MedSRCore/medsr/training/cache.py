"""Arrays made of files: in memory, or in a folder from which all processes of a training map them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import OutputError

_VERSION = 1
"""Another one makes arrays anew that an earlier way of preparing left."""

Arrays = Sequence[NDArray[Any]]


class ArrayCache:
    """Keeps what was made of each file.

    Args:
        folder: receives the arrays, which are mapped and not loaded: the system reads what is used, keeps what fits
            into memory, and shares it between processes. None keeps every array in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def arrays(self, source: Path, settings: Sequence[object], make: Callable[[], Arrays]) -> Arrays:
        """What `make` gives for the file or folder `source`, unless an earlier training left it.

        Args:
            source: what is read; another size or time of it, or of a file in it, counts as another file.
            settings: what else the arrays depend on, values of JSON.
            make: reads and prepares; its arrays keep their type.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is None:
            return make()
        kept = self.folder / _key(source, settings)
        if not kept.is_dir():
            made = make()
            try:
                self._keep(kept, made)
            except OSError as error:
                raise OutputError(
                    f"The cache {str(self.folder)!r} cannot be written: {error.strerror or error}. Choose another "
                    "folder, or leave it away to keep the volumes in memory."
                ) from error
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(kept.glob("*.npy"))]

    def _keep(self, kept: Path, arrays: Arrays) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=kept.parent))
        try:
            for number, array in enumerate(arrays):
                np.save(scratch / f"{number:03d}.npy", array)
            try:
                scratch.replace(kept)
            except OSError:
                if not kept.is_dir():  # else another process was quicker, with the same arrays
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _key(source: Path, settings: Sequence[object]) -> str:
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    told = json.dumps([_VERSION, states, list(settings)])
    return hashlib.sha256(told.encode()).hexdigest()[:32]
