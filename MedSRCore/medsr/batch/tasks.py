"""One result as plain data, and the function that makes it; the record beside the results says how far it came.

A record is written when the work on a result begins and again when its files are in place. So whatever is killed, and
whenever, a record that says "finished" stands for files that are complete, and a file that has a record is ours.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.cohort.work import FAILED, FAILURES, KEPT, MADE, TaskResult, reason
from medsr.errors import CancelledError, InputError, OutputError
from medsr.io import Staging
from medsr.io.companions import stage_text
from medsr.jobs import JobSpec, Progress
from medsr.jsontext import parse_json

LEFT_OUT = "left out"
"""A series of a study that is no volume: a localizer, a screenshot. Most studies hold some."""

_BEGUN, _FINISHED, _FAILED = "begun", "finished", "failed"


@dataclass(frozen=True)
class UpscaleTask:
    """One volume to be enlarged.

    Attributes:
        name: of the result below the output folder.
        job: from file to file; it says nothing of records.
        record: JSON file that tells of the result.
        digest: of everything that decides the result.
    """

    name: str
    job: JobSpec
    record: str
    digest: str

    @property
    def folders(self) -> frozenset[Path]:
        """Where it writes."""
        return frozenset(Path(path).parent for path in (self.job.output, self.record))

    def is_complete(self) -> bool:
        """True when its result is there and was made from the same task."""
        told = self.recorded()
        return (told.get("state"), told.get("digest")) == (_FINISHED, self.digest) and Path(self.job.output).exists()

    def is_stale(self) -> bool:
        """True when a result is there that was made otherwise: other options, another version, another input."""
        told = self.recorded()
        return told.get("state") == _FINISHED and told.get("digest") != self.digest and Path(self.job.output).exists()

    def is_foreign(self) -> bool:
        """True when something is in the place of the result that nothing is recorded of."""
        return Path(self.job.output).exists() and not self.recorded()

    def recorded(self) -> Mapping[str, Any]:
        """What the record says; nothing where there is none."""
        try:
            found = parse_json(Path(self.record).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def execute_upscale(task: UpscaleTask, cancelled: Callable[[], bool] | None = None) -> TaskResult:
    """Make one result, all or nothing. One that is complete and was made from the same task is kept as it is.

    Args:
        task: what to make.
        cancelled: asked often; True raises CancelledError and leaves nothing behind.

    Returns:
        The result; a failure is told, not raised.
    """
    started = time.perf_counter()
    if task.is_complete():
        return TaskResult(task.name, KEPT)
    try:
        report = _upscale(task, Progress(cancelled=cancelled))
    except CancelledError:
        raise
    except FAILURES as error:
        status = LEFT_OUT if isinstance(error, InputError) and task.job.series else FAILED
        return _failed(task, status, reason(error), time.perf_counter() - started)
    warnings = tuple(dict.fromkeys(warning["text"] for warning in report["warnings"]))
    return TaskResult(task.name, MADE, warnings=warnings, seconds=time.perf_counter() - started)


def _upscale(task: UpscaleTask, progress: Progress) -> Mapping[str, Any]:
    """The report of a result that was made and recorded."""
    # Late: a scheduler may hold tasks without SimpleITK or torch.
    from medsr.files import upscale_file

    if task.is_foreign() and not task.job.overwrite:
        raise OutputError(f"{task.job.output!r} has come to exist meanwhile. Pass --overwrite to replace it.")
    for folder in task.folders:
        folder.mkdir(parents=True, exist_ok=True)
    _record(task, _BEGUN, {})
    report = upscale_file(dataclasses.replace(task.job, overwrite=True), progress).report
    _record(task, _FINISHED, report)
    return report


def _failed(task: UpscaleTask, status: str, error: str, seconds: float) -> TaskResult:
    try:
        if task.recorded() or not Path(task.job.output).exists():
            _record(task, _FAILED, {"error": error})
    except OSError:  # a disk that is full has been told of
        pass
    return TaskResult(task.name, status, error, seconds=seconds)


def _record(task: UpscaleTask, state: str, more: Mapping[str, Any]) -> None:
    data = {"state": state, "digest": task.digest, "input_file": task.job.input, **more}
    record = Path(task.record)
    record.parent.mkdir(parents=True, exist_ok=True)
    with Staging(overwrite=True) as staging:
        stage_text(json.dumps(data, indent=1, allow_nan=False) + "\n", record, staging)
