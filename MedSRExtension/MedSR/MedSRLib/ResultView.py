"""The part of the panel that compares input and result: original, side by side, fade, maps, report, save."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import slicer.util

from MedSRLib import Compare, Maps, Provenance
from MedSRLib.CheckView import CheckView
from MedSRLib.ErrorReport import halfWidthsIn
from MedSRLib.Line import Line
from MedSRLib.MapView import MapView
from MedSRLib.MeasureView import MeasureView
from MedSRLib.Report import reportHtml, trustMeaning, trustText
from MedSRLib.SaveView import SaveView
from MedSRLib.SeriesChecker import CheckJob, SeriesChecker
from MedSRLib.SeriesSaver import SeriesSaver
from MedSRLib.Translation import tr as _

_FADE_STEP = 0.1
KEYS = {"original": "O", "less": "Alt+Left", "more": "Alt+Right"}


class ResultView:
    """Wires the buttons and keys of the result section; the keys work wherever the mouse is while the section is seen.

    Args:
        ui: the widgets by name.
        whatToCompare: gives (input node, result node), or None.
        setFade: takes a new opacity of the result over the input.
        seriesSaver: saves results as DICOM series.
        seriesChecker: checks results against another series.
    """

    def __init__(
        self,
        ui: Any,
        whatToCompare: Callable[[], tuple[Any, Any] | None],
        setFade: Callable[[float], None],
        seriesSaver: SeriesSaver,
        seriesChecker: SeriesChecker,
    ) -> None:
        self.ui = ui
        self.save = SaveView(ui, seriesSaver)
        self.maps = MapView(ui, lambda: Compare.leaveSideBySide(_layoutManager()), self._showWithoutMap)
        self.check = CheckView(ui, seriesChecker, self._showChecked)
        self.measure = MeasureView(ui)
        self._whatToCompare = whatToCompare
        self._setFade = setFade
        self._fade: float | None = None
        self._before = 1.0
        self._trust = Line(ui.trustLabel)
        self._isArranging = False
        self.dialog: Any = None
        ui.originalButton.clicked.connect(self.onOriginal)
        ui.sideBySideButton.clicked.connect(self.onSideBySide)
        ui.reportButton.clicked.connect(self.onReport)
        # A shortcut of this section is asleep while the section is hidden or has nothing to compare.
        self.shortcuts = {name: self._shortcut(keys) for name, keys in KEYS.items()}
        self.shortcuts["original"].activated.connect(lambda: ui.originalButton.click())
        self.shortcuts["less"].activated.connect(lambda: self._fadeBy(-_FADE_STEP))
        self.shortcuts["more"].activated.connect(lambda: self._fadeBy(_FADE_STEP))

    def close(self) -> None:
        """Close the report, and let go of the result."""
        self.save.showResult(None)
        self.check.showResult(None)
        self.measure.showResult(None)
        self.maps.close()
        self._closeReport()

    def _closeReport(self) -> None:
        if self.dialog is not None:
            self.dialog.close()
            self.dialog = None

    def update(self, fade: float | None = None) -> None:
        """Enable what can be done; lay the result over the input when `fade` was moved."""
        fade = self._fade if fade is None else fade
        pair = self._whatToCompare()
        self._show(pair)
        if pair is not None and fade is not None and self._fade is not None and fade != self._fade:
            Compare.leaveSideBySide(_layoutManager())
            Compare.showFaded(*pair, fade)
            self.maps.forget()
        self._fade = fade
        self.ui.originalButton.setChecked(pair is not None and fade == 0)

    def showResult(self, inputNode: Any, resultNode: Any) -> None:
        """A job is done: show its result over the input in the ordinary views."""
        self._show((inputNode, resultNode))
        if self._fade == 0:
            self._setFade(self._before)
        Compare.showFaded(inputNode, resultNode, 1.0 if self._fade is None else self._fade)
        self.maps.forget()

    def onOriginal(self, *_arguments: Any) -> None:
        """The input alone; once more, the result again."""
        if self._fade is not None and self._fade > 0:
            self._before = self._fade
            self._setFade(0.0)
        else:
            self._setFade(self._before)

    def onSideBySide(self, *_arguments: Any) -> None:
        """Input left, result right."""
        pair, manager = self._whatToCompare(), _layoutManager()
        if not pair or manager is None or self._isArranging:
            return
        self._isArranging = True  # the new views are made in the event loop, where another click may come from
        try:
            Compare.showSideBySide(manager, *pair, processEvents=slicer.app.processEvents)
        finally:
            self._isArranging = False

    def _showChecked(self, job: CheckJob) -> None:
        pair = self._whatToCompare()
        self._show(pair)
        if pair and pair[1] is job.result:
            self.maps.choose(Maps.CONFIRMED)

    def _showWithoutMap(self) -> None:
        """The result over the input again, as far as it was faded."""
        pair = self._whatToCompare()
        if pair:
            Compare.showFaded(*pair, 1.0 if self._fade is None else self._fade)

    def onReport(self, *_arguments: Any) -> None:
        """What was done and how good it is, in a window."""
        pair = self._whatToCompare()
        if not pair:
            return
        self._closeReport()
        self.dialog = makeReportDialog(pair[1], self.ui.reportButton.window())
        self.dialog.show()

    def _show(self, pair: tuple[Any, Any] | None) -> None:
        self.ui.resultSection.setEnabled(pair is not None)
        self.save.showResult(pair[1] if pair else None)
        self.check.showResult(pair[1] if pair else None)
        self.measure.showResult(pair[1] if pair else None)
        self.maps.showPair(pair)
        report = Provenance.reportOf(pair[1]) if pair else None
        self._trust.show(trustText(report) if report else "", about=trustMeaning(report) if report else "")

    def _fadeBy(self, step: float) -> None:
        if self._fade is not None:
            self._setFade(min(1.0, max(0.0, round(self._fade + step, 2))))

    def _shortcut(self, keys: str) -> Any:
        shortcut = qt.QShortcut(qt.QKeySequence(keys), self.ui.resultSection)
        shortcut.setContext(qt.Qt.WindowShortcut)
        return shortcut


def makeReportDialog(resultNode: Any, parent: Any = None) -> Any:
    """A window with the quality report of a result; it does not block the application."""
    dialog = qt.QDialog(parent)
    dialog.setWindowTitle(_("Quality report of {name}").format(name=resultNode.GetName()))
    dialog.resize(640, 480)
    layout = qt.QVBoxLayout(dialog)
    page = qt.QTextBrowser(dialog)
    page.setObjectName("reportPage")
    page.setHtml(reportHtml(Provenance.reportOf(resultNode) or {}, halfWidthsIn(resultNode)))
    layout.addWidget(page)
    close = qt.QPushButton(_("Close"), dialog)
    close.clicked.connect(lambda *_arguments: dialog.close())
    layout.addWidget(close)
    return dialog


def _layoutManager() -> Any:
    return slicer.app.layoutManager()
