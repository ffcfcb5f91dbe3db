"""The part of the panel that shows a running job: button, bar, time left, message, log."""

from __future__ import annotations

import time
from typing import Any

from MedSRLib.Job import CANCELLED, DONE, FAILED
from MedSRLib.Messages import forPanel
from MedSRLib.Preview import timeText
from MedSRLib.Report import consistencyText
from MedSRLib.SceneJob import SceneJob
from MedSRLib.Translation import tr as _

_ERROR_COLOUR = "#b00020"


class RunView:
    """Shows what a job does.

    Args:
        ui: the widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._stage = ""
        self._warned = 0
        self._logged = 0
        ui.progressBar.setVisible(False)
        self._say("")

    def showStarting(self, name: str) -> None:
        """The click was heard."""
        self._stage, self._warned, self._logged = "", 0, 0
        self.ui.logText.appendPlainText(_("{time}  Super-resolving {name}").format(time=_now(), name=name))
        self.ui.progressBar.setValue(0)
        self._say(_("Starting"))

    def showRunning(self, job: SceneJob) -> None:
        """Progress of a job that runs or waits."""
        self.ui.applyButton.setText(_("Cancel"))
        self.ui.progressBar.setVisible(True)
        self.ui.progressBar.setValue(round(1000 * job.fraction))
        left = _(", {time} left").format(time=timeText(job.secondsLeft)) if job.secondsLeft else ""
        self._say((job.stage or _("Starting")) + left)
        if job.stage != self._stage:
            self._stage = job.stage
            self._log(job.stage)
        self._showNews(job)

    def showEnd(self, job: SceneJob) -> None:
        """The job has ended."""
        self._showNews(job)
        if job.state == DONE:
            self._end()
            text = _("Done in {time}: {name}. Deviation from the measured data: {consistency}.").format(
                time=timeText(job.report.get("seconds")), name=job.output.GetName(),
                consistency=consistencyText(job.report),
            )  # fmt: skip
            self._say("\n".join([text, *map(forPanel, job.warnings)]))
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
        self.ui.applyButton.setText(_("Super-resolve"))
        self.ui.progressBar.setVisible(False)

    def _showNews(self, job: SceneJob) -> None:
        for text in job.warnings[self._warned :]:
            self._log(_("Warning: {text}").format(text=text))
        for line in job.log[self._logged :]:
            self.ui.logText.appendPlainText("    " + line)
        self._warned, self._logged = len(job.warnings), len(job.log)

    def _log(self, text: str) -> None:
        self.ui.logText.appendPlainText(f"{_now()}  {text}")

    def _say(self, text: str, isError: bool = False) -> None:
        self.ui.statusLabel.setStyleSheet(f"color: {_ERROR_COLOUR}" if isError else "")
        self.ui.statusLabel.setText(text)
        self.ui.statusLabel.setVisible(bool(text))


def _now() -> str:
    return time.strftime("%H:%M:%S")
