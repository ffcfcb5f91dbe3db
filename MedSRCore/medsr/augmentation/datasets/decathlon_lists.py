"""Lists of a ``dataset.json`` that hold no training images, such as "test": kept, with the files that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.augmentation.datasets.paths import distinct_names, inside
from medsr.errors import InputError
from medsr.io.formats import READABLE, suffix_of

TRAINING, VALIDATION = "training", "validation"
_TEST = ("test", "testing")
_FOLDERS = {"image": "imagesTs", "label": "labelsTs"}


@dataclass(frozen=True)
class OtherLists:
    """What was found.

    Attributes:
        entries: name of a list -> its entries, with the paths that their files get.
        files: these paths -> absolute paths of the files.
        warnings: what is not handed on.
    """

    entries: Mapping[str, tuple[Any, ...]]
    files: Mapping[str, str]
    warnings: tuple[str, ...]


def other_lists(data: Mapping[str, Any], root: Path, own: Iterable[str]) -> OtherLists:
    """The lists of images in `data`, the content of a ``dataset.json`` in `root`, but for those called as in `own`."""
    found = {key: value for key, value in data.items() if key not in tuple(own) and _is_list_of_images(key, value)}
    kept: dict[str, list[Any]] = {}
    warnings = []
    for key, entries in found.items():
        kept[key] = [entry for entry in entries if _files(entry, root)]
        if missing := len(entries) - len(kept[key]):
            warnings.append(f"{missing} entries of the list {key!r} name no file of the training set and are left out.")
    places: dict[Path, str] = {}
    for kind, folder in _FOLDERS.items():
        files = [f for entries in kept.values() for e in entries for k, f in _files(e, root) if k == kind]
        unique = [file for file in dict.fromkeys(files) if file not in places]
        for file, name in zip(unique, distinct_names(unique, root), strict=True):
            places[file] = f"{folder}/{name}{suffix_of(file)}"
    return OtherLists(
        {key: tuple(_placed(entry, root, places) for entry in entries) for key, entries in kept.items()},
        {place: str(file) for file, place in places.items()},
        tuple(warnings),
    )


def _is_list_of_images(key: str, value: object) -> bool:
    if not isinstance(value, list):
        return False
    return key in _TEST or (bool(value) and all(isinstance(e, dict) and "image" in e for e in value))


def _files(entry: object, root: Path) -> list[tuple[str, Path]]:
    """("image" or "label", file) for each file of an entry; nothing where one of them is not there."""
    given = entry if isinstance(entry, dict) else {"image": entry}
    if "image" not in given:
        return []
    found = []
    for kind in _FOLDERS:
        value = given.get(kind, [])
        for text in value if isinstance(value, list) else [value]:
            try:
                file = inside(root, text, "A path")
            except InputError:
                return []
            if suffix_of(file) not in READABLE or not file.is_file():
                return []
            found.append((kind, file))
    return found


def _placed(entry: Any, root: Path, places: Mapping[Path, str]) -> Any:
    """The entry with the paths that its files get."""

    def changed(value: object) -> object:
        if isinstance(value, list):
            return [changed(text) for text in value]
        return f"./{places[inside(root, value, 'A path')]}"

    if not isinstance(entry, dict):
        return changed(entry)
    return {key: changed(value) if key in _FOLDERS else value for key, value in entry.items()}
