"""Runs jobs one after the other in a worker process that may stay warm between them.

The runner lives on the main thread: `poll` is called by a timer that is injected, reads what the worker said and tells
the listener of the running job. No callback ever comes from another thread, so listeners may touch the scene.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from MedSRLib.Errors import JobCancelled, SuperResolutionError
from MedSRLib.Translation import tr as _
from MedSRLib.WorkerProcess import WorkerProcess

BUSY_MS = 40
IDLE_MS = 5000
STOP = "cancel"
TAIL = 12
_PAUSE_S = 0.01


class PumpProtocol(Protocol):
    """A timer on the main thread."""

    def start(self, callback: Callable[[], None], intervalMs: int) -> None:
        """Call `callback` every `intervalMs` until `stop`; a second start replaces the first."""

    def stop(self) -> None:
        """Call no more."""


class ListenerProtocol(Protocol):
    """Who wants to know about one job."""

    def onStart(self) -> None:
        """The worker has the job."""

    def onTick(self) -> None:
        """The timer turned: a moment to cancel what has become pointless."""

    def onEvent(self, event: Any) -> None:
        """A stage, progress or warning of `medsr.jobs`."""

    def onLog(self, line: str) -> None:
        """A line that the worker logged."""

    def onResult(self, event: Any) -> None:
        """The job is done, its files are in place."""

    def onFailure(self, error: Exception) -> None:
        """The job ended without a result: SuperResolutionError, JobCancelled, or what `onResult` raised."""


@dataclass
class Ticket:
    """One job in the queue of a runner."""

    line: str
    listener: ListenerProtocol
    wasHeard: bool = False
    wasRepeated: bool = False
    stopBy: float | None = None
    """When the worker, asked to stop by itself, has had its time (`time.monotonic`)."""
    stopReason: str = ""


class JobRunner:
    """The queue, the worker and the timer between them.

    Args:
        startWorker: starts a process that speaks the protocol of ``python -m medsr.worker``.
        pump: the timer that calls `poll`.
        idleSeconds: after so long without a job a warm worker is let go, for its memory's sake.
    """

    def __init__(
        self, startWorker: Callable[[], WorkerProcess], pump: PumpProtocol, idleSeconds: float = 900.0
    ) -> None:
        self.startWorker = startWorker
        self.keepWarm = True
        self._pump = pump
        self._idleSeconds = idleSeconds
        self._worker: WorkerProcess | None = None
        self._waiting: collections.deque[Ticket] = collections.deque()
        self._current: Ticket | None = None
        self._served = False
        self._idleSince = time.monotonic()

    @property
    def isBusy(self) -> bool:
        """True while a job runs or waits."""
        return self._current is not None or bool(self._waiting)

    @property
    def workerPid(self) -> int | None:
        """Process id of the worker, None when there is none."""
        return self._worker.pid if self._worker else None

    @property
    def isFresh(self) -> bool:
        """True until the worker has ended its first job."""
        return not self._served

    def submit(self, line: str, listener: ListenerProtocol) -> Ticket:
        """Queue the job of one JSON `line`; it starts at once when nothing else runs.

        Raises:
            SuperResolutionError: the worker cannot be started; the job is not queued.
        """
        ticket = Ticket(line, listener)
        self._waiting.append(ticket)
        if self._current is None:
            try:
                self._next()
            except SuperResolutionError:
                self._waiting.remove(ticket)
                raise
        return ticket

    def cancel(self, ticket: Ticket, reason: str = "", patienceS: float = 0.0) -> None:
        """Stop a job: a waiting one is forgotten, the running one dies with its whole process tree.

        With `patienceS` the worker is first asked to stop by itself, so that it tidies up what it has begun on disk;
        the call returns at once.
        """
        if ticket is self._current and patienceS > 0 and ticket.stopBy is None and self._worker is not None:
            ticket.stopBy, ticket.stopReason = time.monotonic() + patienceS, reason or _("Stopped.")
            with contextlib.suppress(OSError):  # it is dead: `poll` finds out
                self._worker.send(STOP)
            return
        if ticket is self._current:
            self._dropWorker()
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        else:
            return
        error = JobCancelled(reason or _("Stopped; nothing was changed."))
        if ticket is self._current:
            self._finish(lambda: ticket.listener.onFailure(error))
        else:
            ticket.listener.onFailure(error)

    def poll(self) -> None:
        """Read what the worker said and pass it on; called by the timer, on the main thread."""
        if self._current:
            self._current.listener.onTick()
            self._killLate()
        worker = self._worker
        if worker is None:
            return
        ended = worker.hasEnded
        for line in worker.readLog():
            if self._current:
                self._current.listener.onLog(line)
        for line in worker.readLines():
            self._handle(line)
            if self._worker is not worker:  # a listener cancelled, or started a job that needed a fresh one
                return
        if ended and self._current:
            self._onDeath()
        elif not self._current:
            self._restIfIdle()

    def wait(self, job: Any, processEvents: Callable[[], None]) -> None:
        """Return when ``job.isFinished``; `processEvents` keeps the application alive."""
        while not job.isFinished:
            self.poll()
            processEvents()
            time.sleep(_PAUSE_S)

    def shutdown(self) -> None:
        """Cancel everything and end the worker: for a closing application or a reloaded module."""
        waiting, self._waiting = list(self._waiting), collections.deque()
        for ticket in waiting:
            ticket.listener.onFailure(JobCancelled(_("The module was closed.")))
        if self._current:
            self.cancel(self._current, _("The module was closed."))
        self.releaseWorker()

    def releaseWorker(self) -> None:
        """Let an idle worker go; the next job starts a fresh one."""
        if self._current is not None:
            return
        if self._worker is not None:
            self._worker.close(seconds=0.2)
            self._worker = None
        self._pump.stop()

    def _next(self) -> None:
        """Send the first waiting job to the worker."""
        ticket = self._waiting[0]
        for attempt in (1, 2):
            worker = self._worker
            if worker is None or worker.exitCode is not None:
                self._dropWorker()
                worker = self._worker = self._start()
                self._served = False
            try:
                worker.send(ticket.line)
                break
            except OSError as error:  # it died while idle
                if attempt == 2:
                    raise self._deathOf(worker) from error
                self._dropWorker()
        self._current = self._waiting.popleft()
        self._pump.start(self.poll, BUSY_MS)
        ticket.listener.onStart()

    def _start(self) -> WorkerProcess:
        try:
            return self.startWorker()
        except OSError as error:
            raise SuperResolutionError(
                _(
                    "The computing process could not be started ({reason}). Check the computing environment under "
                    "Advanced."
                ).format(reason=error.strerror or error),
                "WorkerDied",
            ) from error

    def _handle(self, line: str) -> None:
        from medsr.errors import MedSRError
        from medsr.jobs import ErrorEvent, ResultEvent, parse_event

        if self._current is None:
            return
        listener = self._current.listener
        self._current.wasHeard = True
        try:
            event = parse_event(line)
        except (MedSRError, TypeError):
            listener.onLog(line)
            return
        if isinstance(event, ResultEvent):
            self._finish(lambda: self._deliver(listener, event))
        elif isinstance(event, ErrorEvent):
            said = tuple(self._worker.log)[-TAIL:] if self._worker is not None else ()
            failure: Exception = SuperResolutionError(event.message, event.error, said)
            if event.error == "CancelledError":
                failure = JobCancelled(self._current.stopReason or event.message)
            self._finish(lambda: listener.onFailure(failure))
        else:
            listener.onEvent(event)

    @staticmethod
    def _deliver(listener: ListenerProtocol, event: Any) -> None:
        """Hand over the result; a listener that cannot take it has failed like a job that failed."""
        try:
            listener.onResult(event)
        except Exception as error:
            listener.onFailure(error)

    def _finish(self, tell: Callable[[], None]) -> None:
        """Close the running job, tell its listener, and go on with the next one."""
        self._current = None
        self._served = True
        self._idleSince = time.monotonic()
        try:
            tell()  # the listener may go on with another job, which needs the worker
        finally:
            if self._current is None:
                self._goOn()

    def _goOn(self) -> None:
        """Start what waits, else let the worker rest."""
        if self._waiting:
            self._startWaiting()
        elif self.keepWarm and self._worker is not None:
            self._pump.start(self.poll, IDLE_MS)
        else:
            self.releaseWorker()

    def _startWaiting(self) -> None:
        try:
            self._next()
        except SuperResolutionError as error:
            ticket = self._waiting.popleft()
            ticket.listener.onFailure(error)
            if self._waiting:
                self._startWaiting()

    def _onDeath(self) -> None:
        ticket, worker = self._current, self._worker
        if ticket is None or worker is None:
            return
        error = JobCancelled(ticket.stopReason) if ticket.stopBy is not None else self._deathOf(worker)
        self._dropWorker()
        if self._served and not ticket.wasHeard and not ticket.wasRepeated:
            # A warm worker that had died between two jobs took the line along: ask a fresh one.
            ticket.wasRepeated = True
            self._current = None
            self._waiting.appendleft(ticket)
            self._startWaiting()
            return
        self._finish(lambda: ticket.listener.onFailure(error))

    @staticmethod
    def _deathOf(worker: WorkerProcess) -> SuperResolutionError:
        """What to tell about a worker that ended in the middle of a job."""
        tail = [line for line in worker.log if line.strip()][-TAIL:]
        code = worker.exitCode
        how = _("ended with code {number}").format(number=code) if code and code > 0 else _("ended")
        text = _("The computing process {how} before it was done. The scene is as it was.").format(how=how)
        if code and -code == signal.SIGTERM:
            text = _("The computing process was ended from outside (signal 15). The scene is as it was.")
        elif code and code < 0:
            text = _(
                "The computing process was killed (signal {number}), usually because memory ran out. The scene is as "
                "it was. Choose a coarser target, crop the volume (module Crop Volume), close other programs, or set a "
                "memory limit under Advanced."
            ).format(number=-code)
        if any("No module named" in line for line in tail):
            text += " " + _("A package is missing in the chosen Python; see Advanced, computing environment.")
        if tail:
            text += "\n\n" + _("Its last lines:") + "\n" + "\n".join(tail)
        return SuperResolutionError(text, "WorkerDied", tail)

    def _killLate(self) -> None:
        ticket = self._current
        if ticket is not None and ticket.stopBy is not None and time.monotonic() > ticket.stopBy:
            self.cancel(ticket, ticket.stopReason)

    def _restIfIdle(self) -> None:
        if not self.keepWarm or time.monotonic() - self._idleSince > self._idleSeconds:
            self.releaseWorker()

    def _dropWorker(self) -> None:
        if self._worker is not None:
            self._worker.killTree()
            self._worker = None
        if self._current is None and not self._waiting:
            self._pump.stop()
