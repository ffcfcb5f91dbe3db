"""Names and paths that a description of a training set gives, none of which may lead out of its folder."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from medsr.errors import InputError, InputNotFoundError, OutputError
from medsr.io.formats import READABLE, suffix_of
from medsr.jsontext import parse_json

_MOST_BYTES = 200_000_000
"""Of a description; that of a million cases has less."""


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.name!r} has {path.stat().st_size:,} bytes: too large for a description.")
        data = parse_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except FileNotFoundError as error:
        raise InputNotFoundError(f"There is no file {str(path)!r}. Check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name!r} is no readable JSON: {error}.") from error
    _check_texts(path, data)
    return data


def _check_texts(path: Path, data: object) -> None:
    """Raise InputError for halves of characters, which JSON can hold and no file or page can."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise InputError(f"{path.name!r} holds {value[:80]!r}, half of a character. Correct this text.")


def inside(root: Path, text: object, what: str) -> Path:
    """The file that `text` names below `root`.

    Links below the folder are followed: who can place them there can place files. Names that climb out are not.

    Raises:
        InputError: no text, or a path that leads out of `root`.
    """
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError(f"{what} should be the path of a file, got {text!r}.")
    base = Path(os.path.normpath(root.absolute()))
    path = Path(os.path.normpath(base / text.replace("\\", "/")))
    if path == base or not path.is_relative_to(base):
        raise InputError(f"{what} {text!r} leads out of the folder {base.name!r}; only files below it are read.")
    return path


def folder_of(path: Path) -> Path:
    """The folder of a training set as it really lies, however its path was written (``..``, links)."""
    return Path(os.path.realpath(path))


def stem_of(name: str) -> str:
    """A file name without its extension."""
    suffix = suffix_of(Path(name))
    return name[: -len(suffix)] if suffix and suffix in READABLE else name


def safe_name(text: str) -> str:
    """`text` with everything replaced that a file name cannot hold everywhere."""
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-. ")
    return name[:120] or "case"


def distinct_names(files: Sequence[Path], root: Path) -> list[str]:
    """A name for each file: its stem, with the folders above as far as they are needed to tell them apart.

    Raises:
        InputError: a file is given twice.
    """
    relative = [PurePosixPath(os.path.relpath(file, root).replace(os.sep, "/")) for file in files]
    if len(set(relative)) < len(relative):
        twice = next(path for path in relative if relative.count(path) > 1)
        raise InputError(f"{str(twice)!r} is listed twice. Remove one of its entries.")
    most = max((len(path.parts) for path in relative), default=1)
    for depth in range(1, most + 1):
        names = [safe_name("_".join((*p.parts[-depth:-1], stem_of(p.name)))) for p in relative]
        if len(set(names)) == len(names):
            return names
    raise InputError("Two images have names that differ only in special characters. Rename one of them.")


def provenance_of(folder: Path, name: str) -> dict[str, Any]:
    """What the sidecar of a copy says; an empty one for what has none."""
    path = folder / f"{name}.json"
    data = read_json(path) if path.is_file() else {}
    return data if isinstance(data, dict) and "digest" in data else {}


def check_relative(pattern: str) -> None:
    """Raise InputError for a pattern that leads out of its folder."""
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise InputError(f"The pattern {pattern!r} leads out of the folder; give one below it.")


def writable_folder(path: Path) -> None:
    """Make a folder, with those above it; raise OutputError when that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name is possible"
        raise OutputError(f"The folder {str(path)!r} could not be made: {why}.") from error
