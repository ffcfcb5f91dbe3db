"""One copy to be made: plain data that travels to any process.

A task holds everything that decides its result; what it draws comes from its own seed. So a copy is the same whoever
makes it, and in whatever order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """One copy of one case.

    Attributes:
        name: of the copy.
        case: name of the original.
        subject: of both.
        images: absolute paths of the original's channels, or of the one file of four dimensions that holds all.
        label: absolute path of its label map.
        modalities: "MR", "CT" or "auto", one for each channel.
        image_outputs: absolute paths to write, one for each channel, or one for all.
        label_output: likewise for the label map.
        sidecar: absolute path of the JSON file that says how the copy was made; it is written last.
        recipe: the recipe as JSON data, model already chosen.
        copy: number of the copy among those of its case, from 1.
        seed: of this copy alone.
        values: value in the original's label map -> value to write.
        structures: name of each structure -> value to write.
        digest: of everything that decides the result.
        sources: the originals for the sidecar: paths relative to the training set.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: text such as "6GB", or None for what is free.
        dtype: voxel type of the copy, "same" for that of the original.
        overwrite: replace files that are there but were made otherwise.
        needs_bytes: memory that the task takes, estimated.
        seconds: time that the task takes, estimated for two CPU cores.
    """

    name: str
    case: str
    subject: str
    images: tuple[str, ...]
    label: str
    modalities: tuple[str, ...]
    image_outputs: tuple[str, ...]
    label_output: str
    sidecar: str
    recipe: Mapping[str, Any]
    copy: int
    seed: int
    values: Mapping[int, int]
    structures: Mapping[str, int]
    digest: str
    sources: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    memory: str | None = None
    dtype: str = "same"
    overwrite: bool = False
    needs_bytes: int = 0
    seconds: float = 0.0

    @property
    def folders(self) -> frozenset[Path]:
        """Where it writes."""
        return frozenset(Path(path).parent for path in (*self.image_outputs, self.label_output, self.sidecar))
