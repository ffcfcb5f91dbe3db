"""The button of the panel that saves a result as a DICOM series."""

from __future__ import annotations

from typing import Any

import qt

from MedSRLib import Provenance
from MedSRLib.Line import Line
from MedSRLib.RunView import RunView
from MedSRLib.SeriesSaver import SeriesJob, SeriesSaver, doneText, sourceFiles
from MedSRLib.Translation import tr as _


class SaveView:
    """The behaviour of the button and of the line beside it.

    Args:
        ui: the widgets by name.
        saver: saves results.
    """

    def __init__(self, ui: Any, saver: SeriesSaver) -> None:
        self.ui = ui
        self.job: SeriesJob | None = None
        self._saver = saver
        self._result: Any = None
        self._seen: tuple[Any, ...] = ()
        self._why = ""
        self._runView = RunView(ui, ui.saveDicomButton, ui.saveProgressBar, Line(ui.saveStatusLabel), doneText)
        ui.saveDicomButton.clicked.connect(self.onClick)
        self._update()

    @property
    def isRunning(self) -> bool:
        """True while a series is being saved."""
        return self.job is not None and not self.job.isFinished

    def showResult(self, result: Any) -> None:
        """Offer to save this result, None for none; a series that is being saved goes on."""
        source = result.GetNodeReference(Provenance.ROLE_INPUT) if result else None
        seen = (result, source.GetMTime(), source.GetTransformNodeID()) if source else (result,)
        if seen == self._seen:  # looking at every file of a series takes a moment
            return
        if not self.isRunning and result is not self._result:
            self._runView.reset()
        self._seen, self._result, self._why = seen, result, ""
        try:
            if result is not None:
                sourceFiles(result)
        except Exception as error:
            self._why = str(error)
        self._update()

    def onClick(self, *_arguments: Any) -> None:
        """Ask for a folder and save; while that runs, stop it."""
        if self.job is not None and self.isRunning:
            self.job.cancel()
            return
        folder = qt.QFileDialog.getExistingDirectory(self.ui.saveDicomButton, _("Folder for the DICOM series"))
        if not folder or self._result is None:
            return
        self.job = self._runView.start(
            _("Saving {name} as a DICOM series").format(name=self._result.GetName()),
            lambda: self._saver.start(
                self._result, str(folder), progress=self._runView.showRunning, completed=self._onCompleted
            ),
        )
        self._update()

    def _onCompleted(self, job: SeriesJob) -> None:
        self._runView.showEnd(job)
        self._update()

    def _update(self) -> None:
        button = self.ui.saveDicomButton
        button.setEnabled(self.isRunning or (self._result is not None and not self._why))
        tip = _("Write a series for the archive, with the patient and the study of its source; not for diagnostic use")
        if self.isRunning:
            tip = _("Stop; nothing is written")
        button.setToolTip(self._why or tip)
