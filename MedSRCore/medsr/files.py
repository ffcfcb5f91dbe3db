"""A job from file to file: everything checked first, everything written at the end or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InvalidValueError, unknown_name
from medsr.frames import FrameJob
from medsr.inference.pipeline import super_resolve
from medsr.io import Staging, read_geometry, stage_volume
from medsr.io.companions import stage_text
from medsr.io.dicom.writing import check_outside, check_series_folder, source_for, stage_dicom
from medsr.io.frames import Frames, read_input
from medsr.io.outputs import check_apart, check_folder_takes_files, check_output, check_text_output, files_of
from medsr.io.writing import stage_frames
from medsr.jobs import FORMATS, NOTHING_WRITTEN, JobSpec, Progress, ResultEvent
from medsr.maps import MAPS
from medsr.volume import Volume


def upscale_file(spec: JobSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Raises:
        MedSRError: nothing was written then, and files to be replaced are as they were.
    """
    outputs = _check_outputs(spec)
    staging = Staging(overwrite=spec.overwrite)
    try:
        return _upscale(spec, progress, staging, outputs)
    except KeyboardInterrupt as error:
        told = f"Stopped after its end: {spec.output!r} is complete." if staging.is_done else NOTHING_WRITTEN
        raise KeyboardInterrupt(told) from error


def _check_outputs(spec: JobSpec) -> list[Path]:
    """Every file that the job will write, after a look at each."""
    for name in spec.maps:
        if name not in MAPS:
            raise unknown_name("map", name, MAPS)
    if spec.format is not None and spec.format not in FORMATS:
        raise unknown_name("format", spec.format, FORMATS)
    if spec.anonymize and spec.format != "dicom":
        raise InvalidValueError("--anonymize is for --format dicom; other files hold nothing of the patient's header.")
    folder = Path(spec.output) if spec.format == "dicom" else None
    paths = [Path(text) for text in (*([] if folder else [spec.output]), *spec.maps.values())]
    outputs = [file for path in paths for file in files_of(path)]
    outputs += [Path(spec.report)] if spec.report is not None else []
    # What a header names is known once it is read; that is compared then.
    inputs = [Path(text) for text in (spec.input, spec.options.reference) if text is not None]
    check_apart([*([folder] if folder else []), *outputs], inputs)
    if folder is not None:
        check_series_folder(folder, overwrite=spec.overwrite)
        check_outside(folder, outputs, "would be written there too")
        check_outside(folder, inputs, "is read for it")
    for path in paths:
        check_output(path, overwrite=spec.overwrite)
    if spec.report is not None:
        check_text_output(Path(spec.report), overwrite=spec.overwrite)
    for parent in {file.parent for file in (*outputs, *([folder] if folder else []))}:
        check_folder_takes_files(parent)
    return outputs


def _upscale(spec: JobSpec, progress: Progress, staging: Staging, outputs: list[Path]) -> ResultEvent:
    progress.stage("Reading")
    volume = read_input(spec.input, spec.series)
    if not isinstance(volume, Volume):
        return _upscale_frames(spec, progress, staging, volume)
    check_apart(outputs, volume.files)
    source = source_for(volume, anonymize=spec.anonymize) if spec.format == "dicom" else None
    if source is not None:
        check_outside(Path(spec.output), volume.files, "is read for it")
    volume = _known(volume, spec)
    reference = None if spec.options.reference is None else read_geometry(spec.options.reference)
    result = super_resolve(volume, spec.options, progress, reference=reference, maps=tuple(spec.maps))
    progress.stage("Writing")
    progress.check()
    report = {**result.report, "output_file": str(spec.output)}
    with staging:
        for name, path in spec.maps.items():
            stage_volume(result.maps[name], path, staging)
        if spec.report is not None:
            stage_report(report, Path(spec.report), staging)
        if source is None:
            stage_volume(result.volume, spec.output, staging)
        else:
            stage_dicom(result.volume, spec.output, staging, source)
        progress.check()
    return ResultEvent(str(spec.output), report)


def _upscale_frames(spec: JobSpec, progress: Progress, staging: Staging, frames: Frames) -> ResultEvent:
    """As `_upscale`, of a file of several volumes."""
    job = FrameJob(spec, frames, lambda frame: _known(frame, spec))
    reference = None if spec.options.reference is None else read_geometry(spec.options.reference)
    with staging:
        stage_frames(job.results(progress, reference), frames.count, frames.time, spec.output, staging)
        report = {**job.report, "output_file": str(spec.output)}
        for path, text in job.texts.items():
            stage_text(text, path, staging)
        if spec.report is not None:
            stage_report(report, Path(spec.report), staging)
        progress.check()
    return ResultEvent(str(spec.output), report)


def _known(volume: Volume, spec: JobSpec) -> Volume:
    """A volume with what the job knows of it beside what its file says."""
    facts = volume.facts + spec.facts
    return volume.replace(
        facts=facts,
        modality=facts.value("modality") or volume.modality,
        warnings=(*volume.warnings, *spec.warnings),
    )


def stage_report(report: Mapping[str, Any], path: Path, staging: Staging) -> None:
    """Write JSON that is put in place together with the other files of `staging`."""
    stage_text(json.dumps(report, indent=2, allow_nan=False) + "\n", path, staging)
