"""The check from file to file: everything looked at first, everything written at the end or not at all."""

from __future__ import annotations

from pathlib import Path

from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.evaluation.checking.original import find_original
from medsr.evaluation.checking.picture import check_picture
from medsr.evaluation.checking.run import check_volumes
from medsr.evaluation.checking.spec import CheckSpec
from medsr.files import stage_report
from medsr.io import Staging, read_volume, stage_volume
from medsr.io.outputs import check_apart, check_outputs
from medsr.jobs import Progress, ResultEvent
from medsr.volume import Volume


def check_file(spec: CheckSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Returns:
        The event with the report; its `output` is the map, else the picture, else the report, else "".

    Raises:
        MedSRError: nothing was written then.
    """
    outputs = _check_outputs(spec)
    progress.stage("Reading")
    result = read_volume(spec.result)
    against = read_volume(spec.against, series=spec.series)
    original = _original(spec, result)
    check_apart(outputs, [*result.files, *against.files, *original.files])
    check = check_volumes(result, against, original, progress)
    report = {**check.report, "result": spec.result, "against": spec.against, "input": original.source}
    progress.stage("Writing")
    progress.check()
    with Staging(overwrite=spec.overwrite) as staging:
        if spec.map is not None:
            stage_volume(check.map, spec.map, staging)
        if spec.picture is not None:
            path = Path(spec.picture)
            try:
                staging.draft(path).write_bytes(check_picture(check))
            except OSError as error:
                raise OutputError(f"{str(path)!r} could not be written: {error.strerror}.") from error
        if spec.report is not None:
            stage_report(report, Path(spec.report), staging)
        progress.check()
    return ResultEvent(spec.map or spec.picture or spec.report or "", report)


def _check_outputs(spec: CheckSpec) -> list[Path]:
    """Every file that the job will write, after a look at each."""
    if spec.picture is not None and Path(spec.picture).suffix.lower() != ".png":
        raise InvalidValueError(f"The picture is a PNG; give a name that ends in .png, not {spec.picture!r}.")
    images = [] if spec.map is None else [spec.map]
    texts = [text for text in (spec.picture, spec.report) if text is not None]
    inputs = [Path(text) for text in (spec.result, spec.against, spec.input) if text is not None]
    return check_outputs(images, texts, inputs, overwrite=spec.overwrite)


def _original(spec: CheckSpec, result: Volume) -> Volume:
    """What the result was made of, as named or as found."""
    if spec.input is not None:
        return read_volume(spec.input, series=spec.input_series)
    path = find_original(Path(spec.result), result.geometry.size_xyz)
    original = read_volume(path, series=spec.input_series)
    if original.source and Path(original.source).absolute() == Path(spec.result).absolute():
        raise InputError(f"The report beside {spec.result!r} names the result itself as its input. Give --input.")
    return original
