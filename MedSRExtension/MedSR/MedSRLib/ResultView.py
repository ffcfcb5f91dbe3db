"""The part of the panel that compares input and result: side by side, faded, difference, report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import slicer.util

from MedSRLib import Compare, Provenance
from MedSRLib.Report import reportHtml
from MedSRLib.Translation import tr as _


class ResultView:
    """Wires the buttons of the result section.

    Args:
        ui: the widgets by name.
        whatToCompare: gives (input node, result node), or None.
    """

    def __init__(self, ui: Any, whatToCompare: Callable[[], tuple[Any, Any] | None]) -> None:
        self.ui = ui
        self._whatToCompare = whatToCompare
        self._fade: float | None = None
        self.dialog: Any = None
        ui.sideBySideButton.clicked.connect(self.onSideBySide)
        ui.differenceButton.clicked.connect(self.onDifference)
        ui.reportButton.clicked.connect(self.onReport)

    def close(self) -> None:
        """Close the report."""
        if self.dialog is not None:
            self.dialog.close()
            self.dialog = None

    def update(self, fade: float) -> None:
        """Enable what can be done; lay the result over the input when `fade` was moved."""
        pair = self._whatToCompare()
        self.ui.resultSection.setEnabled(pair is not None)
        if pair is None:
            self._fade = fade
        elif self._fade is not None and fade != self._fade:
            Compare.leaveSideBySide(_layoutManager())
            Compare.showFaded(*pair, fade)
        self._fade = fade

    def showResult(self, inputNode: Any, resultNode: Any) -> None:
        """A job is done: show its result over the input in the ordinary views."""
        self.ui.resultSection.setEnabled(True)
        Compare.showFaded(inputNode, resultNode, 1.0 if self._fade is None else self._fade)

    def onSideBySide(self, *_arguments: Any) -> None:
        """Input left, result right."""
        pair, manager = self._whatToCompare(), _layoutManager()
        if pair and manager is not None:
            Compare.showSideBySide(manager, *pair)

    def onDifference(self, *_arguments: Any) -> None:
        """The coloured difference over the result."""
        pair = self._whatToCompare()
        if pair:
            with slicer.util.tryWithErrorDisplay(_("The difference could not be made."), waitCursor=True):
                difference = Compare.differenceOf(*pair)
                Compare.leaveSideBySide(_layoutManager())
                Compare.showDifference(pair[1], difference)

    def onReport(self, *_arguments: Any) -> None:
        """What was done and how good it is, in a window."""
        pair = self._whatToCompare()
        if not pair:
            return
        self.close()
        self.dialog = makeReportDialog(pair[1], self.ui.reportButton.window())
        self.dialog.show()


def makeReportDialog(resultNode: Any, parent: Any = None) -> Any:
    """A window with the quality report of a result; it does not block the application."""
    dialog = qt.QDialog(parent)
    dialog.setWindowTitle(_("Quality report of {name}").format(name=resultNode.GetName()))
    dialog.resize(640, 480)
    layout = qt.QVBoxLayout(dialog)
    page = qt.QTextBrowser(dialog)
    page.setObjectName("reportPage")
    page.setHtml(reportHtml(Provenance.reportOf(resultNode) or {}))
    layout.addWidget(page)
    close = qt.QPushButton(_("Close"), dialog)
    close.clicked.connect(lambda *_arguments: dialog.close())
    layout.addWidget(close)
    return dialog


def _layoutManager() -> Any:
    return slicer.app.layoutManager()
