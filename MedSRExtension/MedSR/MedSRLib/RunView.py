"""The part of the panel that shows a running job: button, bar, time left, message, log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from MedSRLib.Job import CANCELLED, DONE, FAILED, WAITING, Job
from MedSRLib.Line import ERROR, PLAIN, Line, styleOf
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import timeText
from MedSRLib.Translation import tr as _

_Job = TypeVar("_Job", bound=Job)
_STEPS = 1000
_MOST_WARNINGS = 5


class RunView:
    """Shows what a job does.

    Args:
        ui: the widgets by name; all jobs share the log.
        button: starts the job; it says "Cancel" while one runs.
        bar: from 0 to 1000; it swings while nobody knows how far the work is.
        status: a `Line` or a label for one message.
        doneText: what to say about a job that is done.
    """

    def __init__(self, ui: Any, button: Any, bar: Any, status: Any, doneText: Callable[[Any], str]) -> None:
        self.ui = ui
        self._button, self._bar, self._status = button, bar, status
        self._idleText = button.text
        self._doneText = doneText
        self._stage = ""
        self._warned = 0
        self._logged = 0
        self.reset()

    def reset(self) -> None:
        """Say nothing of what was: the scene is another one."""
        self._end()
        self._say()

    def showStarting(self, what: str) -> None:
        """The click was heard."""
        self._stage, self._warned, self._logged = "", 0, 0
        self._log(what)
        self._showFraction(0.0)
        self._say(_("Starting"))

    def start(self, what: str, start: Callable[[], _Job]) -> _Job | None:
        """Show a job from the click on.

        Args:
            what: for the log.
            start: starts the job.

        Returns:
            The job, None where it could not be started.
        """
        self.showStarting(what)
        try:
            job = start()
        except Exception as error:
            self.showFailure(error)
            return None
        if not job.isFinished:
            self.showRunning(job)
        return job

    def showRunning(self, job: Job) -> None:
        """Progress of a job that runs or waits."""
        self._button.setText(_("Cancel"))
        self._bar.setVisible(True)
        self._showFraction(job.fraction)
        self._say(progressText(job))
        if job.stage != self._stage:
            self._stage = job.stage
            self._log(job.stage)
        self._showNews(job)

    def showEnd(self, job: Job) -> None:
        """The job has ended."""
        self._showNews(job)
        if job.state == DONE:
            self._end()
            text = self._doneText(job)
            self._say(text, *shortened(job.warnings))
            self._log(text)
        elif job.state == CANCELLED:
            self._end()
            self._say(str(job.error))
            self._log(str(job.error))
        elif job.state == FAILED:
            self.showFailure(job.error)

    def showFailure(self, error: Exception | None) -> None:
        """Say what went wrong; the log pane opens with all of it."""
        self._end()
        text = forPanel(str(error))
        self._say(text.split("\n\n")[0], tone=ERROR)
        self._log(text)
        for line in getattr(error, "log", ()):
            self.ui.logText.appendPlainText("    " + line)
        self.ui.logSection.collapsed = False
        self.ui.moreArea.ensureWidgetVisible(self.ui.logText)

    def _end(self) -> None:
        self._button.setText(self._idleText)
        self._bar.setVisible(False)

    def _showFraction(self, fraction: float) -> None:
        self._bar.setRange(0, _STEPS if fraction > 0 else 0)
        self._bar.setValue(round(_STEPS * fraction))

    def _showNews(self, job: Job) -> None:
        for text in job.warnings[self._warned :]:
            self._log(_("Warning: {text}").format(text=text))
        for line in job.log[self._logged :]:
            self.ui.logText.appendPlainText("    " + line)
        self._warned, self._logged = len(job.warnings), len(job.log)

    def _log(self, text: str) -> None:
        self.ui.logText.appendPlainText(f"{_now()}  {text}")

    def _say(self, *texts: str, tone: str = PLAIN) -> None:
        if isinstance(self._status, Line):
            self._status.show(*texts, tone=tone)
            return
        self._status.setStyleSheet(styleOf(self._status, tone))
        self._status.setText("\n".join(texts))
        self._status.setVisible(any(texts))


def progressText(job: Job) -> str:
    """What a job does now, and how long it will still take, or has taken while nobody knows."""
    if job.state == WAITING and not job.seconds:
        return _("Waiting")
    stage = job.stage or _("Starting")
    if job.secondsLeft and job.fraction > 0:
        return _("{stage}, {time} left").format(stage=stage, time=timeText(job.secondsLeft))
    if job.fraction == 0 and job.seconds >= 1:
        return _("{stage}, for {time} now").format(stage=stage, time=timeText(job.seconds))
    return stage


def shortened(texts: Sequence[str]) -> list[str]:
    """The first sentences, and how many more there are."""
    shown = list(texts[:_MOST_WARNINGS])
    more = len(texts) - len(shown)
    return [*shown, _("... and {count} more, see the log.").format(count=more)] if more > 0 else shown


def _now() -> str:
    return time.strftime("%H:%M:%S")
