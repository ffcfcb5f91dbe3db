"""What a result was made of, found by the report that lies beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.jsontext import parse_json

_LARGEST_REPORT = 5_000_000
_MOST_REPORTS = 500


def find_original(result: Path, size_xyz: tuple[int, int, int]) -> Path:
    """The volume that `result` was made of, by the report of `medsr upscale` in the same folder.

    Args:
        result: the file or folder of the result.
        size_xyz: of its grid, which the report must state as well.

    Raises:
        InputError: no report there speaks of this result, or what it names is gone.
    """
    place = result.absolute()
    named = [
        (report, source)
        for report, source, output, size in _reports(place.parent)
        if Path(output).name == place.name and size == list(size_xyz)
    ]
    for report, source in named:
        # As it was named then, be it from the folder of that time, or from that of the report.
        for candidate in (Path(source), report.parent / source, report.parent / Path(source).name):
            if candidate.exists():
                return candidate
    if named:
        raise InputError(
            f"By the report {named[0][0].name!r}, the result was made of {named[0][1]!r}, which is not there. Name it "
            "by --input ORIGINAL."
        )
    raise InputError(
        f"What {result.name!r} was made of is not known: no report beside it speaks of it. Name it by --input "
        "ORIGINAL, or write a report with `medsr upscale --report FILE`."
    )


def _reports(folder: Path) -> Iterator[tuple[Path, str, str, Any]]:
    """Each report of the folder, newest first: file, source, output, and the size of the output."""
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[:_MOST_REPORTS]:
        try:
            if path.stat().st_size > _LARGEST_REPORT:
                continue
            data: Any = parse_json(path.read_bytes())
        except (OSError, ValueError):
            continue
        if not isinstance(data, Mapping) or not isinstance(data.get("output"), Mapping):
            continue
        source, output = data.get("source"), data.get("output_file")
        if isinstance(source, str) and source and isinstance(output, str):
            yield path, source, output, data["output"].get("size_xyz")
