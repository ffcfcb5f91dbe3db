"""One training set that is being made, or looked at: from the click to the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from MedSRLib.Errors import JobCancelled
from MedSRLib.Job import RUNNING, Job
from MedSRLib.Translation import tr as _

PATIENCE_S = 5.0
"""How long the worker may take to leave the output folder tidy after a cancel."""


class TrainingJob(Job):
    """What `TrainingSetMaker.start` returns: watch it, cancel it, look at its report.

    Attributes:
        output: folder of the new training set.
        isCheck: True for a dry run, which writes nothing.
        report: of a check the plan, else what was made; empty until done.
        page: the page of pictures with the quality control, None until the set is made.
    """

    def __init__(
        self,
        folder: Path | None,
        output: Path,
        *,
        isCheck: bool = False,
        progress: Callable[[TrainingJob], None] | None = None,
        completed: Callable[[TrainingJob], None] | None = None,
    ) -> None:
        super().__init__(folder, progress, completed)
        self.output = output
        self.isCheck = isCheck
        self.page: Path | None = None

    def cancel(self, reason: str = "") -> None:
        """Stop the work; copies that are complete stay, and the next run goes on from there.

        The worker gets a moment to remove what is half-written; a second call ends it at once.
        """
        if self.isFinished:
            return
        if self._runner is None or self._ticket is None:  # still preparing
            self.onFailure(JobCancelled(reason or _("Stopped; nothing was written.")))
            return
        self.stage = _("Stopping")
        self._runner.cancel(self._ticket, reason, PATIENCE_S)

    def prepared(self, count: int, total: int, warnings: list[str]) -> None:
        """Note that so many pairs of the scene are written."""
        self.state = RUNNING
        self.stage = _("Preparing pair {count} of {total}").format(count=count, total=total)
        self.warnings += warnings
        self._tell(self._progress)

    def _take(self, event: Any) -> None:
        super()._take(event)
        page = self.report.get("page")
        self.page = Path(page) if page else None
