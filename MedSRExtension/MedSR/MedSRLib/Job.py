"""What every job has: state, progress, messages, an end; told by a `JobRunner` on the main thread."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from MedSRLib.Errors import JobCancelled, SuperResolutionError
from MedSRLib.JobRunner import JobRunner, Ticket
from MedSRLib.Messages import inWords, stageInWords
from MedSRLib.Translation import tr as _

logger = logging.getLogger(__name__)

_TELL_EVERY_S = 1.0
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


class Job:
    """Base of the jobs that the panel and the console start.

    Attributes:
        state: "waiting", "running", "done", "failed" or "cancelled".
        stage: what it does now, for people.
        fraction: 0 to 1 of the whole work.
        secondsLeft: estimate, None while unknown.
        warnings: sentences that a person should read.
        report: what was done; empty until done.
        error: the exception that ended it, None otherwise.
        log: everything the worker said.

    Args:
        folder: of temporary files, removed when the job ends; None when it has none.
        progress: called with the job at every step.
        completed: called once with the job when it has ended.
    """

    def __init__(
        self,
        folder: Path | None,
        progress: Callable[[Any], None] | None = None,
        completed: Callable[[Any], None] | None = None,
    ) -> None:
        self.state = WAITING
        self.stage = ""
        self.fraction = 0.0
        self.secondsLeft: float | None = None
        self.warnings: list[str] = []
        self.report: dict[str, Any] = {}
        self.error: Exception | None = None
        self.log: list[str] = []
        self._startedAt: float | None = None
        self._heardAt: float | None = None
        self._toldAt = 0.0
        self._folder = folder
        self._progress = progress
        self._completed = completed
        self._runner: JobRunner | None = None
        self._ticket: Ticket | None = None

    @property
    def isFinished(self) -> bool:
        """True once the job is done, failed or cancelled."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def seconds(self) -> float:
        """Since the worker got the job; 0 while it waits."""
        return time.monotonic() - self._startedAt if self._startedAt is not None else 0.0

    def cancel(self, reason: str = "") -> None:
        """Stop the work and its processes; the scene stays as it is. Does nothing to a finished job."""
        if not self.isFinished and self._runner is not None and self._ticket is not None:
            self._runner.cancel(self._ticket, reason)

    def submit(self, runner: JobRunner, line: str) -> None:
        """Queue the job; raise SuperResolutionError when no worker can be started."""
        self._runner = runner
        try:
            self._ticket = runner.submit(line, self)
        except Exception:
            self._removeFiles()
            raise

    @contextmanager
    def endedByErrors(self) -> Iterator[None]:
        """Whatever is raised in the block ends the job first; a file that cannot be written as SuperResolutionError."""
        try:
            yield
        except OSError as error:
            failure = SuperResolutionError(str(error), "OutputError")
            self.onFailure(failure)
            raise failure from error
        except Exception as error:
            self.onFailure(error)
            raise

    def raiseUnlessDone(self) -> None:
        """Raise what ended the job, where that was no result."""
        if self.state != DONE:
            raise self.error or SuperResolutionError(_("The job ended without a result."))

    # What the runner calls, on the main thread.

    def onStart(self) -> None:
        """The worker has the job."""
        self._startedAt = time.monotonic()
        self.stage = _("Starting the computing process")

    def onTick(self) -> None:
        """A moment to cancel what has become pointless; until the first figure comes, seconds are counted."""
        if self.fraction == 0 and time.monotonic() - self._toldAt >= _TELL_EVERY_S:
            self._tellProgress()

    def onEvent(self, event: Any) -> None:
        """A stage, progress or warning."""
        self.state = RUNNING
        if self._heardAt is None:
            self._heardAt = time.monotonic()
        self._hear(event)
        self._tellProgress()

    def onLog(self, line: str) -> None:
        """A line of the worker's log."""
        self.log.append(line)

    def onResult(self, event: Any) -> None:
        """Take the result, then tell who waits for it."""
        self._take(event)
        self.state, self.fraction, self.secondsLeft = DONE, 1.0, 0.0
        self._removeFiles()
        self._tell(self._completed)

    def onFailure(self, error: Exception) -> None:
        """Keep the reason; the scene is as it was."""
        if self.isFinished:
            return
        self.state = CANCELLED if isinstance(error, JobCancelled) else FAILED
        self.error = error
        self._forget()
        self._removeFiles()
        self._tell(self._completed)

    def _hear(self, event: Any) -> None:
        if event.kind == "stage":
            self.stage = stageInWords(event.name)
        elif event.kind == "progress":
            self.fraction, self.secondsLeft = event.fraction, event.seconds_left
        elif event.kind == "warning":
            self.warnings.append(inWords({"kind": event.notice, "values": event.values, "text": event.message}))

    def _take(self, event: Any) -> None:
        """Do what a result asks for; may raise, and the job has failed then."""
        self.report = dict(event.report)

    def _forget(self) -> None:
        """Let go of what was made before the job failed."""
        self.report = {}

    def _removeFiles(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _tellProgress(self) -> None:
        self._toldAt = time.monotonic()
        self._tell(self._progress)

    def _tell(self, callback: Callable[[Any], None] | None) -> None:
        """Call back; a mistake in the callback must not harm the job."""
        if callback is None:
            return
        try:
            callback(self)
        except Exception:
            logger.exception("A callback of a MedSR job failed.")
