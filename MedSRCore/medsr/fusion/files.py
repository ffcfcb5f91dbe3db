"""Fusing from files to a file: everything checked first, everything written at the end or not at all."""

from __future__ import annotations

from pathlib import Path

from medsr.errors import InputError, InvalidValueError
from medsr.files import stage_report
from medsr.fusion.run import fuse_volumes
from medsr.fusion.spec import FuseSpec
from medsr.fusion.stacks import about
from medsr.io import Staging, read_volume, stage_volume
from medsr.io.outputs import check_apart, check_outputs
from medsr.jobs import NOTHING_WRITTEN, Progress, ResultEvent
from medsr.volume import Volume


def fuse_files(spec: FuseSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Raises:
        MedSRError: nothing was written then, and files to be replaced are as they were.
    """
    staging = Staging(overwrite=spec.overwrite)
    try:
        return _fuse(spec, progress, staging)
    except KeyboardInterrupt as error:
        told = f"Stopped after its end: {spec.output!r} is complete." if staging.is_done else NOTHING_WRITTEN
        raise KeyboardInterrupt(told) from error


def _fuse(spec: FuseSpec, progress: Progress, staging: Staging) -> ResultEvent:
    reports = [] if spec.report is None else [spec.report]
    outputs = check_outputs([spec.output], reports, map(Path, spec.inputs), overwrite=spec.overwrite)
    if len(spec.inputs) < 2:
        raise InvalidValueError(
            f"{len(spec.inputs)} stack was given; two or more are fused. A single one is enlarged by `medsr upscale`."
        )
    progress.stage("Reading")
    volumes = [_read(spec, number) for number in range(len(spec.inputs))]
    check_apart(outputs, [file for volume in volumes for file in volume.files])
    result = fuse_volumes(volumes, spec.options, progress, networks=spec.networks)
    progress.stage("Writing")
    progress.check()
    report = {**result.report, "output_file": spec.output}
    with staging:
        if spec.report is not None:
            stage_report(report, Path(spec.report), staging)
        stage_volume(result.volume, spec.output, staging)
        progress.check()
    return ResultEvent(spec.output, report)


def _read(spec: FuseSpec, number: int) -> Volume:
    series = spec.series[number] if spec.series else None
    try:
        return _known(read_volume(spec.inputs[number], series=series), spec, number)
    except InputError as error:
        if spec.inputs[number] in str(error):
            raise
        with about(repr(spec.inputs[number])):
            raise


def _known(volume: Volume, spec: FuseSpec, number: int) -> Volume:
    """A stack with what the job knows of it beside what its file says."""
    facts = volume.facts + (spec.facts[number] if spec.facts else ())
    header = spec.headers[number] if spec.headers else ""
    return volume.replace(
        facts=facts,
        modality=facts.value("modality") or volume.modality,
        source=(spec.names[number] if spec.names else "") or volume.source,
        files=(Path(header),) if header else volume.files,
    )
