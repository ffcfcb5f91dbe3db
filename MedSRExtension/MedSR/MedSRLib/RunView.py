"""The part of the panel that shows a running job: button, bar, time left, message, log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from MedSRLib.Job import CANCELLED, DONE, FAILED, Job
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import timeText
from MedSRLib.Translation import tr as _

_ERROR_COLOUR = "#b00020"
_MOST_WARNINGS = 5


class RunView:
    """Shows what a job does.

    Args:
        ui: the widgets by name; all jobs share the log.
        button: starts the job; it says "Cancel" while one runs.
        bar: from 0 to 1000.
        status: label for one message.
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
        bar.setVisible(False)
        self._say("")

    def showStarting(self, what: str) -> None:
        """The click was heard."""
        self._stage, self._warned, self._logged = "", 0, 0
        self._log(what)
        self._bar.setValue(0)
        self._say(_("Starting"))

    def showRunning(self, job: Job) -> None:
        """Progress of a job that runs or waits."""
        self._button.setText(_("Cancel"))
        self._bar.setVisible(True)
        self._bar.setValue(round(1000 * job.fraction))
        left = _(", {time} left").format(time=timeText(job.secondsLeft)) if job.secondsLeft else ""
        self._say((job.stage or _("Starting")) + left)
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
            self._say("\n".join([text, *shortened(job.warnings)]))
            self._log(text)
        elif job.state == CANCELLED:
            self._end()
            self._say(str(job.error))
            self._log(str(job.error))
        elif job.state == FAILED:
            self.showFailure(job.error)

    def showFailure(self, error: Exception | None) -> None:
        """Say what went wrong; the log pane opens when it has more to tell."""
        self._end()
        text = forPanel(str(error))
        self._say(text.split("\n\n")[0], isError=True)
        self._log(text)
        for line in getattr(error, "log", ()):
            self.ui.logText.appendPlainText("    " + line)
        if "\n\n" in text or getattr(error, "log", ()):
            self.ui.logSection.collapsed = False

    def _end(self) -> None:
        self._button.setText(self._idleText)
        self._bar.setVisible(False)

    def _showNews(self, job: Job) -> None:
        for text in job.warnings[self._warned :]:
            self._log(_("Warning: {text}").format(text=text))
        for line in job.log[self._logged :]:
            self.ui.logText.appendPlainText("    " + line)
        self._warned, self._logged = len(job.warnings), len(job.log)

    def _log(self, text: str) -> None:
        self.ui.logText.appendPlainText(f"{_now()}  {text}")

    def _say(self, text: str, isError: bool = False) -> None:
        self._status.setStyleSheet(f"color: {_ERROR_COLOUR}" if isError else "")
        self._status.setText(text)
        self._status.setVisible(bool(text))


def shortened(texts: Sequence[str]) -> list[str]:
    """The first sentences, and how many more there are."""
    shown = list(texts[:_MOST_WARNINGS])
    more = len(texts) - len(shown)
    return [*shown, _("... and {count} more, see the log.").format(count=more)] if more > 0 else shown


def _now() -> str:
    return time.strftime("%H:%M:%S")
