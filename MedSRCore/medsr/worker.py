"""The job process: jobs in on standard input, one JSON object a line; events out on standard output.

``python -m medsr.worker`` serves jobs until its input ends and keeps loaded networks between them. A line ``cancel``
stops the running job. When the input ends, the running job is stopped, those that wait are not begun, each is answered
as stopped, and the process ends. A line that is no job is answered with an error; nothing that is sent ends the
process. Nothing but events is ever written to standard output; logs and tracebacks go to standard error.
"""

from __future__ import annotations

import collections
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TextIO

from medsr.augmentation.spec import AugmentSpec
from medsr.errors import CancelledError, InputError
from medsr.evaluation.checking.spec import CheckSpec
from medsr.fusion.spec import FuseSpec
from medsr.jobs import Event, JobSpec, Progress, ResultEvent, error_event, job_object
from medsr.resources import wait_quietly
from medsr.series import SeriesSpec, write_series

logger = logging.getLogger(__name__)

CANCEL = "cancel"
_LONGEST_LINE = 50_000_000
"""Bytes; a job with a fact and a warning for everything takes some thousand."""

Job = JobSpec | AugmentSpec | SeriesSpec | CheckSpec | FuseSpec
_NAMED: dict[str, type[AugmentSpec | SeriesSpec | CheckSpec | FuseSpec]] = {
    cls.job: cls for cls in (AugmentSpec, SeriesSpec, CheckSpec, FuseSpec)
}


def read_job(line: str | bytes) -> Job:
    """The job of a line: a JobSpec, or with ``"job"`` one that makes a training set, writes DICOM, checks or fuses.

    Raises:
        MedSRError: the line is no job.
    """
    if len(line) > _LONGEST_LINE:
        raise InputError(f"This is not a MedSR job: the line is longer than {_LONGEST_LINE:,} bytes.")
    text = _decoded(line)
    try:
        name = job_object(text).get("job")
        return _NAMED[name].from_json(text) if isinstance(name, str) and name in _NAMED else JobSpec.from_json(text)
    except OverflowError as error:
        raise InputError("This is not a MedSR job: one of its numbers is too large.") from error


def run_job(spec: Job, emit: Callable[[Event], None], cancelled: Callable[[], bool] = lambda: False) -> int:
    """Do one job, reporting everything as events; return its exit code (0: done)."""
    try:
        result = _do(spec, Progress(emit, cancelled))
        emit(result)
        # A training set is there although some of its cases are not.
        incomplete = result.report.get("failed") or result.report.get("refused")
        return InputError.exit_code if incomplete else 0
    except Exception as error:
        event = error_event(error)
        if event.exit_code == 1:
            # The last line of defence of a process that others wait for: report, keep the traceback for the log.
            logger.exception("unexpected error")
        emit(event)
        return event.exit_code


def _do(spec: Job, progress: Progress) -> ResultEvent:
    # Before anything is read, so that a job that was stopped while it waited is not begun.
    progress.check()
    # Late, so that a worker answers before SimpleITK and torch are loaded.
    if isinstance(spec, AugmentSpec):
        from medsr.augmentation.run import augment

        return augment(spec, progress)
    if isinstance(spec, SeriesSpec):
        return write_series(spec, progress)
    if isinstance(spec, CheckSpec):
        from medsr.evaluation.checking.files import check_file

        return check_file(spec, progress)
    if isinstance(spec, FuseSpec):
        from medsr.fusion.files import fuse_files

        return fuse_files(spec, progress)
    from medsr.files import upscale_file

    return upscale_file(spec, progress)


class _Waiting:
    """A line that was not answered yet, and whether it was stopped."""

    def __init__(self, line: str | bytes) -> None:
        self.line = line
        self.stopped = threading.Event()


class Worker:
    """Reads jobs and "cancel" from a stream, runs the jobs one by one.

    Args:
        source: lines of jobs as JSON, or ``cancel``; bytes are taken as UTF-8.
        sink: receives events as JSON lines.
    """

    def __init__(self, source: Iterable[str | bytes], sink: TextIO) -> None:
        self._source, self._sink = source, sink
        # The first one is being worked on, or about to be: a "cancel" means it and no other.
        self._unanswered: collections.deque[_Waiting] = collections.deque()
        self._news = threading.Condition()
        self._ended = threading.Event()

    def serve(self) -> int:
        """Work until the input ends; return the exit code of the last job."""
        threading.Thread(target=self._listen, daemon=True).start()
        code = 0
        while (waiting := self._next()) is not None:
            code = self._answer(waiting)
            with self._news:
                self._unanswered.popleft()
        return code

    def _next(self) -> _Waiting | None:
        """The line to be answered next; None when there will be none."""
        with self._news:
            self._news.wait_for(lambda: self._unanswered or self._ended.is_set())
            return self._unanswered[0] if self._unanswered else None

    def _answer(self, waiting: _Waiting) -> int:
        try:
            spec = read_job(waiting.line)
        except Exception as error:
            # Whatever a line does to its reader, the next one may be a good one.
            event = error_event(error)
            self._emit(event)
            return event.exit_code
        return run_job(spec, self._emit, lambda: waiting.stopped.is_set() or self._ended.is_set())

    def _listen(self) -> None:
        try:
            for line in self._source:
                word = line.strip()
                if not word:
                    continue
                with self._news:
                    if word in (CANCEL, CANCEL.encode()):
                        if self._unanswered:
                            self._unanswered[0].stopped.set()
                    else:
                        self._unanswered.append(_Waiting(word))
                        self._news.notify()
        except (OSError, ValueError):  # closed while it was read
            logger.info("the input cannot be read any more", exc_info=True)
        finally:
            # However the listening ended: nobody could stop a job any more.
            with self._news:
                self._ended.set()
                self._news.notify()

    def _emit(self, event: Event) -> None:
        self._sink.write(event.to_json() + "\n")
        self._sink.flush()


def _decoded(line: str | bytes) -> str:
    try:
        return line if isinstance(line, str) else line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"This is not a MedSR job: byte {error.start} of the line is no UTF-8.") from error


def main() -> int:
    """Entry point of ``python -m medsr.worker``."""
    wait_quietly()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sink = sys.stdout
    # A stray print of some library must not break the protocol.
    sys.stdout = sys.stderr
    try:
        # Not sys.stdin: Python closes that at its end, and aborts while a thread still reads from it.
        source = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115  read until the end
        return Worker(source, sink).serve()
    except (KeyboardInterrupt, CancelledError):
        return 130
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
