"""A job from file to file: everything checked first, everything written at the end or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InvalidValueError, OutputError, unknown_name
from medsr.inference.pipeline import MAPS, super_resolve
from medsr.io import check_output, read_geometry, read_volume, write_volume
from medsr.jobs import JobSpec, Progress, ResultEvent


def upscale_file(spec: JobSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Raises:
        MedSRError: nothing was written then.
    """
    for name in spec.maps:
        if name not in MAPS:
            raise unknown_name("map", name, MAPS)
    targets = [spec.output, *([spec.report] if spec.report else []), *spec.maps.values()]
    _check_distinct(spec.input, targets)
    for path in (spec.output, *spec.maps.values()):
        check_output(Path(path), overwrite=spec.overwrite)
    if spec.report:
        check_text_output(Path(spec.report), overwrite=spec.overwrite)
    progress.stage("Reading")
    volume = read_volume(Path(spec.input), series=spec.series)
    reference = read_geometry(Path(spec.options.reference)) if spec.options.reference else None
    result = super_resolve(volume, spec.options, progress, reference=reference, maps=tuple(spec.maps))
    progress.stage("Writing")
    progress.check()
    report = {**result.report, "output_file": str(spec.output)}
    written: list[Path] = []
    try:
        written.append(write_volume(result.volume, Path(spec.output), overwrite=spec.overwrite))
        for name, path in spec.maps.items():
            written.append(write_volume(result.maps[name], Path(path), overwrite=spec.overwrite))
        if spec.report:
            written.append(write_report(report, Path(spec.report)))
    except BaseException:
        # All or nothing: what an earlier step of this job wrote goes when a later one fails.
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return ResultEvent(str(spec.output), report)


def check_text_output(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError when a text file cannot be written at `path`."""
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists. Choose another name, or pass --overwrite.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder {path.parent} cannot be written to. Choose another one.")


def write_report(report: Mapping[str, Any], path: Path) -> Path:
    """Write JSON under a temporary name and rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} could not be written: {error.strerror}.") from error
    return path


def _check_distinct(source: str, targets: list[str]) -> None:
    resolved = [Path(t).absolute() for t in targets]
    if len(set(resolved)) != len(resolved):
        raise InvalidValueError("Output, report and maps need different file names.")
    if Path(source).absolute() in resolved:
        raise InvalidValueError(f"The output {source} is the input itself. Choose another name.")
