"""Work that goes on while volumes are super-resolved: in a worker process of its own. No Qt in here."""

from __future__ import annotations

from collections.abc import Callable

from MedSRLib.Job import Job
from MedSRLib.JobRunner import JobRunner, PumpProtocol
from MedSRLib.WorkerProcess import WorkerProcess


class OwnWorker:
    """Base of what starts jobs of one kind in a worker process of its own.

    Args:
        pump: timer on the main thread that moves jobs on.
        startWorker: starts the worker process.
        processEvents: keeps the application alive while somebody waits.
    """

    def __init__(
        self,
        pump: PumpProtocol,
        startWorker: Callable[[], WorkerProcess],
        processEvents: Callable[[], None] = lambda: None,
    ) -> None:
        self._processEvents = processEvents
        self.runner = JobRunner(startWorker, pump)
        self.runner.keepWarm = False

    def wait(self, job: Job) -> None:
        """Return when the job has ended; the application stays alive."""
        self.runner.wait(job, self._processEvents)

    def shutdown(self) -> None:
        """Cancel everything and end the worker."""
        self.runner.shutdown()
