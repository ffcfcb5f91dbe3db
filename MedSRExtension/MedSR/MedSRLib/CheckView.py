"""The button of the panel that checks a result against another series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from MedSRLib.Line import Line
from MedSRLib.RunView import RunView
from MedSRLib.SeriesChecker import CheckJob, SeriesChecker, candidates, doneText
from MedSRLib.Translation import tr as _


class CheckView:
    """The behaviour of the button, of its menu of series, and of the line beside it.

    Args:
        ui: the widgets by name.
        checker: checks results.
        done: called with the job when the map of what is confirmed is there.
    """

    def __init__(self, ui: Any, checker: SeriesChecker, done: Callable[[CheckJob], None]) -> None:
        self.ui = ui
        self.job: CheckJob | None = None
        self._checker, self._done = checker, done
        self._result: Any = None
        self._runView = RunView(ui, ui.checkButton, ui.checkProgressBar, Line(ui.checkStatusLabel), doneText)
        self.menu = qt.QMenu(ui.checkButton)
        self.menu.aboutToShow.connect(self._fill)
        ui.checkButton.clicked.connect(self.onClick)
        self._update()

    @property
    def isRunning(self) -> bool:
        """True while a result is being checked."""
        return self.job is not None and not self.job.isFinished

    def showResult(self, result: Any) -> None:
        """Offer to check this result, None for none; a check that runs goes on."""
        if result is not self._result and not self.isRunning:
            self._runView.reset()
        self._result = result
        self._update()

    def onClick(self, *_arguments: Any) -> None:
        """Stop the check that runs."""
        if self.job is not None and self.isRunning:
            self.job.cancel(_("Stopped; nothing was compared."))

    def start(self, node: Any) -> None:
        """Check the result against a series."""
        if self._result is None or self.isRunning:
            return
        text = _("Checking {name} against {other}")
        self.job = self._runView.start(
            text.format(name=self._result.GetName(), other=node.GetName()),
            lambda: self._checker.start(
                self._result, node, progress=self._runView.showRunning, completed=self._onCompleted
            ),
        )
        self._update()

    def _onCompleted(self, job: CheckJob) -> None:
        self._runView.showEnd(job)
        self._update()
        if job.output is not None:
            self._done(job)

    def _fill(self) -> None:
        """List the volumes of the scene; what is another patient's is refused with a sentence."""
        self.menu.clear()
        nodes = candidates(self._result) if self._result is not None and self._result.GetScene() is not None else []
        for node in nodes:
            self.menu.addAction(node.GetName()).triggered.connect(lambda *_arguments, node=node: self.start(node))
        if not nodes:
            self.menu.addAction(_("There is no other volume in the scene")).setEnabled(False)

    def _update(self) -> None:
        button = self.ui.checkButton
        # A button with a menu does not tell of clicks, and while it runs, it stops.
        button.setMenu(None if self.isRunning else self.menu)
        button.setEnabled(self.isRunning or self._result is not None)
