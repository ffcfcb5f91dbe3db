"""Volumes of a command line, read one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsr.volume import Volume


class VolumeFiles(Mapping[str, "Volume"]):
    """Name -> volume, read from its file each time it is asked for, so that only one is in memory.

    Args:
        files: paths; each is opened once to see that it can be used.
        modality: stands in for headers that state none; None to leave them.
    """

    def __init__(self, files: Sequence[str], modality: str | None) -> None:
        from medsr.io import read_geometry

        self._modality = modality
        self._files: dict[str, Path] = {}
        for file in files:
            read_geometry(file)
            self._files[self._free_name(Path(file))] = Path(file)

    def __getitem__(self, name: str) -> Volume:
        from medsr.inference.planner import decide_modality
        from medsr.io import read_volume

        volume = read_volume(self._files[name])
        volume.check_usable(labels_allowed=True)
        modality = self._modality or decide_modality(volume, "auto")[0]
        return dataclasses.replace(volume, modality=modality)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def _free_name(self, file: Path) -> str:
        """The name without extension; with its folder, then a number, where that is taken."""
        stem = file.name.removesuffix(".gz").rpartition(".")[0] or file.name
        candidates = [stem, f"{file.absolute().parent.name}/{stem}"]
        candidates += [f"{candidates[1]} ({number})" for number in range(2, len(self._files) + 3)]
        return next(name for name in candidates if name not in self._files)
