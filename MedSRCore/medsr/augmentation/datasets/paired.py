"""Plain folders: images and label maps paired by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.datasets.layout import (
    PROVENANCE,
    SPLITS,
    Places,
    label_names,
    read_splits,
    splits_data,
    with_background,
    with_origin,
)
from medsr.augmentation.datasets.paths import check_relative, distinct_names, folder_of, read_json, safe_name, stem_of
from medsr.errors import InputError
from medsr.io.formats import READABLE, suffix_of

FOLDERS = (("images", "labels"), ("imagesTr", "labelsTr"), ("images", "masks"), ("image", "label"))
NAMES = "labels.json"


def folders_of(root: Path) -> tuple[str, str] | None:
    """The names of the folders of images and of labels below `root`, None where there are none."""
    return next((pair for pair in FOLDERS if all((root / name).is_dir() for name in pair)), None)


def read(root: Path, images: str | None = None, labels: str | None = None) -> Dataset:
    """The pairs below `root`.

    Args:
        root: the folder.
        images: pattern such as ``images/*.nii.gz`` below `root`; None for a folder ``images``.
        labels: pattern such as ``labels/*_seg.nii.gz``; what the stars stand for must be the same in both. None for a
            folder ``labels``, whose files have the names of the images.

    Label names are read from ``labels.json`` where it is there: ``{"background": 0, "lesion": 1}``.

    Raises:
        InputError: no pair is there, or a pattern leads out of the folder.
    """
    root = folder_of(root)
    if images is None or labels is None:
        folders = folders_of(root)
        if folders is None:
            raise InputError(f"{root.name!r} has no folders 'images' and 'labels'. Give --images and --labels.")
        found, maps = (_by_stem(root / name) for name in folders)
        wanted = [f"{name}/" for name in folders]
    else:
        found, maps = (_by_pattern(root, pattern) for pattern in (images, labels))
        wanted = [images, labels]
    keys = [key for key in found if key in maps and found[key] != maps[key]]
    if not keys:
        raise InputError(
            f"Of {len(found)} images ({wanted[0]}) and {len(maps)} label maps ({wanted[1]}) in {root.name!r} no two "
            "have the same name. What the stars of both patterns stand for must be equal."
        )
    alone = [key for key in found if key not in maps] + [key for key in maps if key not in found]
    warnings: tuple[str, ...] = ()
    if alone:
        shown = ", ".join("/".join(key) for key in alone[:5]) + (", ..." if len(alone) > 5 else "")
        warnings = (f"{len(alone)} files have no partner and are left out: {shown}.",)
    names = distinct_names([found[key] for key in keys], root)
    cases = [Case(name, name, (str(found[key]),), str(maps[key])) for name, key in zip(names, keys, strict=True)]
    file = root / NAMES
    return Dataset(
        root=str(root),
        format="paired",
        name=safe_name(root.name),
        cases=with_origin(cases, root),
        labels=label_names(read_json(file)) if file.is_file() else {},
        splits=read_splits(root / SPLITS, [case.name for case in cases]),
        warnings=warnings,
    )


@dataclass(frozen=True)
class PairedLayout:
    """Folders ``images`` and ``labels`` in `root`."""

    root: Path

    @property
    def records(self) -> Path:
        """Report, splits and sidecars lie beside both folders."""
        return self.root

    def places(self, case: Case, image_ending: str, label_ending: str) -> Places:
        """``images/NAME.png`` and ``labels/NAME.png``."""
        if case.channels > 1:
            raise InputError("Paired folders hold one channel. Choose --format nnunet or decathlon.")
        return Places(
            (self.root / "images" / f"{case.name}{image_ending}",),
            self.root / "labels" / f"{case.name}{label_ending}",
            self.root / PROVENANCE / f"{case.name}.json",
        )

    def documents(self, dataset: Dataset) -> Mapping[Path, str]:
        """``labels.json`` and ``splits_final.json``."""
        return {
            self.root / NAMES: json.dumps(with_background(dataset.labels), indent=1, ensure_ascii=False) + "\n",
            self.root / SPLITS: json.dumps(splits_data(dataset.splits), indent=1) + "\n",
        }


def _by_stem(folder: Path) -> dict[tuple[str, ...], Path]:
    """The images of a folder by their names without extension."""
    files = sorted(f for f in folder.iterdir() if f.is_file() and suffix_of(f) in READABLE and f.name[0] != ".")
    found: dict[tuple[str, ...], Path] = {}
    for file in files:
        key = (stem_of(file.name),)
        if key in found:
            raise InputError(f"{found[key].name!r} and {file.name!r} are two images of one name. Remove one.")
        found[key] = file
    return found


def _by_pattern(root: Path, pattern: str) -> dict[tuple[str, ...], Path]:
    """The files that a pattern finds, by what its stars stand for."""
    check_relative(pattern)
    if "*" not in pattern or "**" in pattern:
        raise InputError(f"The pattern {pattern!r} needs a single star for what differs between the cases.")
    parts = PurePosixPath(pattern.replace("\\", "/")).as_posix().split("*")
    expression = re.compile("([^/]+)".join(map(re.escape, parts)))
    found = {}
    for file in sorted(root.glob(pattern)):
        match = expression.fullmatch(file.relative_to(root).as_posix())
        if match and file.is_file() and file.name[0] != ".":
            found[match.groups()] = file
    return found
