"""The job process: jobs in on standard input, one JSON object a line; events out on standard output.

``python -m medsr.worker`` serves jobs until its input ends and keeps loaded networks between them. A line ``cancel``
stops the running job; closing the input cancels and ends the process. Nothing else is ever written to standard
output; logs and tracebacks go to standard error.
"""

from __future__ import annotations

import json
import logging
import queue
import sys
import threading
from collections.abc import Callable
from typing import TextIO

from medsr.augmentation.spec import AugmentSpec
from medsr.errors import CancelledError, InputError, MedSRError
from medsr.jobs import ErrorEvent, Event, JobSpec, Progress, ResultEvent
from medsr.resources import wait_quietly

logger = logging.getLogger(__name__)

CANCEL = "cancel"


Job = JobSpec | AugmentSpec


def read_job(text: str) -> Job:
    """The job of a line: ``"job": "augment"`` makes a training set, anything else is a JobSpec."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"This is not a MedSR job: {error}.") from error
    kind = data.get("job") if isinstance(data, dict) else None
    return AugmentSpec.from_json(text) if kind == AugmentSpec.job else JobSpec.from_json(text)


def run_job(spec: Job, emit: Callable[[Event], None], cancelled: Callable[[], bool] = lambda: False) -> int:
    """Do one job, reporting everything as events; return its exit code (0: done)."""
    try:
        result = _do(spec, Progress(emit, cancelled))
        emit(result)
        # A training set is there although some of its cases are not.
        incomplete = result.report.get("failed") or result.report.get("refused")
        return InputError.exit_code if incomplete else 0
    except MedSRError as error:
        emit(ErrorEvent(str(error), type(error).__name__, error.exit_code))
        return error.exit_code
    except MemoryError:
        emit(ErrorEvent("There is not enough memory for this target. Ask for a coarser one.", "ResourceError", 7))
        return 7
    except Exception as error:
        # The last line of defence of a process that others wait for: report, keep the traceback for the log.
        logger.exception("unexpected error")
        emit(ErrorEvent(f"Unexpected {type(error).__name__}: {error}", type(error).__name__, 1))
        return 1


def _do(spec: Job, progress: Progress) -> ResultEvent:
    # Late, so that a worker answers before SimpleITK and torch are loaded.
    if isinstance(spec, AugmentSpec):
        from medsr.augmentation.run import augment

        return augment(spec, progress)
    from medsr.files import upscale_file

    return upscale_file(spec, progress)


class Worker:
    """Reads jobs and "cancel" from a stream, runs the jobs one by one.

    Args:
        source: lines of JobSpec or AugmentSpec JSON, or ``cancel``.
        sink: receives events as JSON lines.
    """

    def __init__(self, source: TextIO, sink: TextIO) -> None:
        self._source, self._sink = source, sink
        self._jobs: queue.Queue[str | None] = queue.Queue()
        self._cancel = threading.Event()
        self._closed = threading.Event()

    def serve(self) -> int:
        """Work until the input ends; return the exit code of the last job."""
        threading.Thread(target=self._listen, daemon=True).start()
        code = 0
        while (line := self._jobs.get()) is not None:
            try:
                spec = read_job(line)
            except MedSRError as error:
                self._emit(ErrorEvent(str(error), type(error).__name__, error.exit_code))
                code = error.exit_code
                continue
            code = run_job(spec, self._emit, lambda: self._cancel.is_set() or self._closed.is_set())
            self._cancel.clear()
        return code

    def _listen(self) -> None:
        for line in self._source:
            text = line.strip()
            if text == CANCEL:
                self._cancel.set()
            elif text:
                self._cancel.clear()
                self._jobs.put(text)
        self._closed.set()
        self._jobs.put(None)

    def _emit(self, event: Event) -> None:
        self._sink.write(event.to_json() + "\n")
        self._sink.flush()


def main() -> int:
    """Entry point of ``python -m medsr.worker``."""
    wait_quietly()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sink = sys.stdout
    # A stray print of some library must not break the protocol.
    sys.stdout = sys.stderr
    try:
        return Worker(sys.stdin, sink).serve()
    except (KeyboardInterrupt, CancelledError):
        return 130
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
