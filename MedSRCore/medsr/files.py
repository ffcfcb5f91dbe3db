"""A job from file to file: everything checked first, everything written at the end or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InvalidValueError, OutputError, unknown_name
from medsr.inference.pipeline import MAPS, super_resolve
from medsr.io import Staging, check_output, files_of, read_geometry, read_volume, stage_volume
from medsr.jobs import JobSpec, Progress, ResultEvent


def upscale_file(spec: JobSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Raises:
        MedSRError: nothing was written then, and files to be replaced are as they were.
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
    facts = volume.facts + spec.facts
    volume = volume.replace(
        facts=facts,
        modality=facts.value("modality") or volume.modality,
        warnings=(*volume.warnings, *spec.warnings),
    )
    reference = read_geometry(Path(spec.options.reference)) if spec.options.reference else None
    result = super_resolve(volume, spec.options, progress, reference=reference, maps=tuple(spec.maps))
    progress.stage("Writing")
    progress.check()
    report = {**result.report, "output_file": str(spec.output)}
    with Staging(overwrite=spec.overwrite) as staging:
        for name, path in spec.maps.items():
            stage_volume(result.maps[name], path, staging)
        if spec.report:
            stage_report(report, Path(spec.report), staging)
        stage_volume(result.volume, spec.output, staging)
        progress.check()
    return ResultEvent(str(spec.output), report)


def check_text_output(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError when a text file cannot be written at `path`."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} exists and is no regular file. Choose another name.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists. Choose another name, or pass --overwrite.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} does not exist. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"The folder {path.parent} cannot be written to. Choose another one.")


def stage_report(report: Mapping[str, Any], path: Path, staging: Staging) -> None:
    """Write JSON that is put in place together with the other files of `staging`."""
    try:
        staging.draft(path).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}.") from error


def _check_distinct(source: str, targets: list[str]) -> None:
    """Raise InvalidValueError when two files of the job are one."""
    resolved = [file.absolute() for target in targets for file in files_of(Path(target))]
    if len(set(resolved)) != len(resolved):
        raise InvalidValueError("Output, report and maps need different file names.")
    if not set(resolved).isdisjoint(file.absolute() for file in files_of(Path(source))):
        raise InvalidValueError(f"The output {source} is the input itself, or a part of it. Choose another name.")
