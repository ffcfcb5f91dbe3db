"""Voxels that lie in files of their own, named by a header: which files, and whether they may be opened.

A header comes from anywhere, so what it names is not trusted: data lie in the folder of the header, or below, and are
regular files. Otherwise a header could have any file of the machine read, or a pipe waited for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from medsr.errors import InputError

_PATTERN = re.compile(r"(?P<before>[^%]*)%(?P<width>0?[1-9])?d(?P<after>[^%]*)")
_NUMBERS = re.compile(r"(?P<name>.*%.*?)\s+(?P<numbers>-?\d{1,9}(?:\s+-?\d{1,9}){1,3})")


def data_files(header: Path, value: str, further_lines: Sequence[str], most: int) -> tuple[Path, ...]:
    """The files that a header names, in order.

    Args:
        header: the header file.
        value: a name; a pattern with numbers, as ``a%03d.raw 1 30 1``; or ``LIST``.
        further_lines: the lines after `value`, which are the names where it says ``LIST``.
        most: more files than this cannot be: the number of slices.

    Raises:
        InputError: a name that is not understood, or a file that is not there, elsewhere, or no regular file.
    """
    if re.fullmatch(r"LIST(\s+\d)?", value):
        names = [line.strip() for line in further_lines if line.strip()]
    elif "%" in value:
        names = _numbered(header, value, most)
    else:
        names = [value]
    if not 0 < len(names) <= most:
        raise InputError(
            f"{header.name!r} lists {len(names)} data files for {most} slices. Correct the header, or export it again."
        )
    return tuple(_beside(header, name) for name in names)


def _numbered(header: Path, value: str, most: int) -> list[str]:
    """The names that a pattern stands for; nothing but one number is ever filled in."""
    matched = _NUMBERS.fullmatch(value)
    pattern = _PATTERN.fullmatch(matched["name"]) if matched else None
    if matched is None or pattern is None:
        raise InputError(
            f"{header.name!r} names its data {value[:80]!r}; a file name, or a pattern with one number and its first, "
            "last and step, such as 'a%03d.raw 1 30 1', is accepted. Correct the header."
        )
    first, last, *rest = map(int, matched["numbers"].split())
    step = rest[0] if rest else 1
    if first < 0 or last < 0 or step == 0:
        raise InputError(f"{header.name!r} counts its data files from {first} to {last} by {step}. Correct the header.")
    numbers = range(first, last + (1 if step > 0 else -1), step)
    if len(numbers) > most:
        raise InputError(f"{header.name!r} names {len(numbers):,} data files for {most} slices. Correct the header.")
    width = pattern["width"] or ""
    return [f"{pattern['before']}{number:{width}d}{pattern['after']}" for number in numbers]


def _beside(header: Path, name: str) -> Path:
    """The regular file called `name` in the folder of `header`, or below it."""
    folder, windows = header.parent, PureWindowsPath(name)
    outside = InputError(
        f"{header.name!r} wants its voxels from {name[:200]!r}; they must lie in the folder of the header. Copy them "
        "there, and correct the header."
    )
    # Windows' way of writing it is looked at everywhere, so that a header means the same on every machine.
    if not name or "\0" in name or Path(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise outside
    path = folder / name
    try:
        there, inside = path.exists(), path.resolve().is_relative_to(folder.resolve())
        regular, readable = path.is_file(), os.access(path, os.R_OK)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{header.name!r} names {name[:200]!r}, which cannot be opened. Correct the header."
        ) from error
    if not inside:
        raise outside
    if not there:
        raise InputError(
            f"{header.name!r} has its voxels in {name[:200]!r}, which is not there. Copy both files together."
        )
    if not regular:
        raise InputError(f"{name[:200]!r}, which {header.name!r} names, is no regular file. Correct the header.")
    if not readable:
        raise InputError(f"{name[:200]!r}, which {header.name!r} names, may not be read. Change its permissions.")
    return path
