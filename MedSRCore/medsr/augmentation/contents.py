"""What files hold, as digests: a set that was moved or copied is recognised, one that was changed is, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.augmentation.cases import Case
from medsr.digests import file_digest
from medsr.errors import InputError


class Contents:
    """Digests of the files of a training set.

    A file is read once: its digest is known for as long as it lies at its place with its size and time.
    """

    def __init__(self, root: str, known: object = None, *, needed: bool = True) -> None:
        """Digests of files below `root`.

        Args:
            root: folder of the set.
            known: what `to_json` gave in an earlier call.
            needed: False where nothing was made that could be compared: then no file is read.
        """
        self._needed = needed
        self._root = Path(root)
        self._known: Mapping[str, Any] = known if isinstance(known, Mapping) else {}
        self._found: dict[str, list[Any]] = {}

    def of(self, path: str) -> str:
        """The SHA-256 of a file.

        Raises:
            InputError: it cannot be read.
        """
        if not self._needed:
            return ""
        place = Path(path)
        name = place.relative_to(self._root).as_posix() if place.is_relative_to(self._root) else str(place)
        if name in self._found:
            return str(self._found[name][2])
        try:
            state = place.stat()
            known = self._known.get(name)
            if isinstance(known, list) and known[:2] == [state.st_size, state.st_mtime_ns] and len(known) == 3:
                digest = str(known[2])
            else:
                digest = file_digest(place)
        except OSError as error:
            raise InputError(f"{place.name!r} cannot be read: {error.strerror}.") from error
        self._found[name] = [state.st_size, state.st_mtime_ns, digest]
        return digest

    def of_original(self, case: Case, values: Mapping[int, int]) -> str:
        """The digest of everything that decides how an original is written into the output."""
        parts = [[self.of(path) for path in (*case.images, case.label)], sorted(values.items())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def to_json(self) -> dict[str, Sequence[Any]]:
        """Size, time and digest of each file that was asked for."""
        return dict(self._found)
