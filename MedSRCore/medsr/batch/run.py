"""From many inputs to a folder of results: look at all of them, make what is not there yet, tell it in one table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import medsr
from medsr.batch.items import Item, items_of
from medsr.batch.spec import BatchSpec
from medsr.batch.table import row_of, write_table
from medsr.batch.tasks import LEFT_OUT, UpscaleTask, execute_upscale
from medsr.catalog import find_model
from medsr.cohort.work import FAILED, KEPT, MADE, Executor, SerialExecutor, remove_drafts
from medsr.digests import file_digest
from medsr.errors import CancelledError, InvalidValueError, MedSRError, OutputError, unknown_name
from medsr.inference.planner import make_plan
from medsr.io.frames import read_input_geometry
from medsr.io.outputs import check_folder_takes_files
from medsr.jobs import FORMATS, JobSpec, Progress, ResultEvent
from medsr.volume import Volume

RECORDS, TABLE = "records", "table.csv"
_LOOKED = 0.02


def upscale_many(spec: BatchSpec, progress: Progress, executor: Executor | None = None) -> ResultEvent:
    """Do the work that `spec` describes.

    A volume that fails is told and does not stop the others. When the work is stopped or killed, finished results stay,
    and the same call goes on from there.

    Args:
        spec: what was asked.
        progress: receives stages, fractions and warnings, and may cancel.
        executor: who makes the results; None for what `spec` says.

    Returns:
        The output folder and a report: ``made``, ``kept``, ``failed``, ``left out``, ``rows`` (those of the table),
        ``table``, ``seconds``.

    Raises:
        MedSRError: nothing could be done at all, or the work was stopped.
    """
    started = time.perf_counter()
    progress.stage("Looking at the inputs")
    if spec.format is not None and spec.format not in FORMATS:
        raise unknown_name("format", spec.format, FORMATS)
    output = Path(spec.output)
    _check_folder(output, spec)
    items = items_of(spec)
    tasks = _tasks(items, output, spec, progress)
    _check_results(items, tasks, spec)
    _prepare(output, tasks)
    try:
        with _executor(spec, items, executor) as runner:
            rows = _work(tasks, runner, progress)
    except (CancelledError, KeyboardInterrupt) as error:
        remove_drafts(tasks)
        done = sum(task.is_complete() for task in tasks)
        raise CancelledError(
            f"Stopped: {done} of {len(tasks)} results are finished and stay; the same call goes on from there."
        ) from error
    write_table(rows, output / TABLE)
    progress.at(1.0)
    count = {state: sum(row["status"] == state for row in rows) for state in (MADE, KEPT, FAILED, LEFT_OUT)}
    seconds = round(time.perf_counter() - started, 2)
    return ResultEvent(str(output), {**count, "rows": rows, "table": str(output / TABLE), "seconds": seconds})


def _work(tasks: list[UpscaleTask], executor: Executor, progress: Progress) -> list[dict[str, Any]]:
    """Run all tasks; the rows of the table in the order of the inputs."""
    by_name = {task.name: task for task in tasks}
    rows: dict[str, dict[str, Any]] = {}
    told: set[str] = set()
    progress.stage("Enlarging")
    for result in executor.run(tasks, execute_upscale, progress):
        rows[result.name] = row_of(by_name[result.name], result)
        if result.error:
            progress.warn(f"{result.name} {'failed' if result.status == FAILED else result.status}: {result.error}")
        for text in result.warnings:
            if text not in told:  # of many alike, the first
                told.add(text)
                progress.warn(f"{result.name}: {text}")
        progress.stage(f"Done {len(rows)} of {len(tasks)}: {result.name}")
        progress.at(_LOOKED + (1 - _LOOKED) * len(rows) / len(tasks))
    return [rows[task.name] for task in tasks]


def _tasks(items: list[Item], output: Path, spec: BatchSpec, progress: Progress) -> list[UpscaleTask]:
    asked = _asked(spec)
    tasks: list[UpscaleTask] = []
    for number, item in enumerate(items, start=1):
        job = JobSpec(
            str(item.source),
            str(output / item.place),
            spec.options,
            overwrite=spec.overwrite,
            series=item.series,
            format=spec.format,
            anonymize=spec.anonymize,
        )
        name = item.place.as_posix()
        record = str(output / RECORDS / f"{name}.json")
        tasks.append(UpscaleTask(name, job, record, _digest(item, asked)))
        progress.at(_LOOKED * number / len(items))
    return tasks


def _asked(spec: BatchSpec) -> dict[str, Any]:
    """Everything but the inputs that decides a result; where and in how much memory it is made does not."""
    options = dataclasses.replace(spec.options, device="auto", memory=None)
    model, reference = options.model, Path(options.reference or "")
    return {
        "options": options.to_dict(),
        "reference": file_digest(reference) if reference.is_file() else "",
        "weights": "" if model == "auto" else find_model(model).sha256,
        "format": spec.format,
        "anonymize": spec.anonymize,
        "version": medsr.__version__,
    }


def _digest(item: Item, asked: dict[str, Any]) -> str:
    """Of what decides the result. Where the files lie and when they were written decides nothing."""
    held = []
    for file in item.files:
        try:
            held.append([file.name, file_digest(file)])
        except OSError:  # told when it is read as an image
            held.append([file.name, ""])
    return hashlib.sha256(json.dumps([asked, item.series, held], sort_keys=True).encode()).hexdigest()


def _check_folder(output: Path, spec: BatchSpec) -> None:
    """Raise where `output` can be no folder for the results of `spec`."""
    if output.exists() and not output.is_dir():
        raise OutputError(f"{spec.output!r} is a file. Several inputs need a folder for their results.")
    if not output.exists() and output.suffix:
        raise InvalidValueError(
            f"{spec.output!r} looks like a file, and {len(spec.inputs)} inputs need a folder for their results. Names "
            "with spaces need quotes."
        )
    place = output.resolve()
    for text in spec.inputs:
        folder = Path(text).resolve()
        if spec.everything and folder.is_dir() and (place == folder or folder in place.parents):
            raise InvalidValueError(
                f"The folder for the results lies in {text!r}, where the next call would take them for inputs. Give "
                "another one."
            )
    check_folder_takes_files(next(parent for parent in (place, *place.parents) if parent.is_dir()))


def _check_results(items: list[Item], tasks: list[UpscaleTask], spec: BatchSpec) -> None:
    """Raise where a result would replace what must not be lost."""
    read = {file.resolve() for item in items for file in item.files}
    for task in tasks:
        if Path(task.job.output).resolve() in read:
            raise InvalidValueError(f"The result {task.job.output!r} would replace an input. Give another folder.")
    if spec.overwrite:
        return
    for fits, what in (
        (UpscaleTask.is_foreign, "files that this command did not make"),
        (UpscaleTask.is_stale, "results that were made otherwise (other options, another version, changed inputs)"),
    ):
        found = [task.name for task in tasks if fits(task)]
        if found:
            raise OutputError(
                f"{spec.output!r} holds {len(found)} {what}, such as {found[0]!r}. Give another folder, or pass "
                "--overwrite to replace them."
            )


def _prepare(output: Path, tasks: list[UpscaleTask]) -> None:
    """Make the folder, and remove what a killed run was writing."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {str(output)!r} could not be made: {error.strerror}.") from error
    remove_drafts(tasks)


def _executor(spec: BatchSpec, items: list[Item], given: Executor | None) -> AbstractContextManager[Executor]:
    if given is not None:
        return nullcontext(given)
    if spec.cluster is None and spec.workers == 1:
        return nullcontext(SerialExecutor())
    # Late: only here is Dask needed.
    from medsr.cohort.cluster import open_cluster

    return open_cluster(spec.cluster, spec.workers, spec.options.memory, _needed_bytes(spec, items))


def _needed_bytes(spec: BatchSpec, items: list[Item]) -> int:
    """Memory that the largest input takes, of several volumes one, estimated from its header; 0 where it is damaged."""
    largest = max(items, key=lambda item: sum(file.stat().st_size for file in item.files if file.exists()))
    try:
        grid = read_input_geometry(largest.source, largest.series)
        blank = np.broadcast_to(np.zeros(1, np.float32), grid.shape_zyx)
        options = dataclasses.replace(spec.options, reference=None)
        volume = Volume(blank, grid, modality="MR", planar=grid.size_xyz[2] == 1)
        return int(make_plan(volume, options, runnable=True).estimate()["memory_bytes"])
    except MedSRError:
        return 0
