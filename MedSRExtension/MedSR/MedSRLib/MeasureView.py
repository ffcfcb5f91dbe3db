"""What the section "Measure segments" of the panel does: chooses a segmentation, measures, shows a small table."""

from __future__ import annotations

from typing import Any

import qt
import slicer.util

from MedSRLib.Line import ERROR, Line
from MedSRLib.Messages import forPanel
from MedSRLib.SegmentLabels import drawnOn
from MedSRLib.SegmentMeasures import Measured, meaning, measure, whyNot
from MedSRLib.Translation import tr as _


class MeasureView:
    """The behaviour of the section's widgets.

    Args:
        ui: the widgets by name.
    """

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._parameters: Any = None
        self._result: Any = None
        self._suggestedFor: Any = None
        self._line = Line(ui.measureStatusLabel)
        ui.measureButton.clicked.connect(self.onClick)
        self._forget()
        self._update()

    def setParameters(self, parameters: Any) -> None:
        """Take the segmentation from here; None while the scene is being closed."""
        self._parameters = parameters
        self._update()

    def showResult(self, result: Any) -> None:
        """Offer to measure segments of this result, None for none."""
        if result is not self._result:
            self._forget()
        self._result = result
        self._suggest()
        self._update()

    def onClick(self, *_arguments: Any) -> None:
        """Measure, and show what was found."""
        try:
            with slicer.util.WaitCursor():
                found = measure(self._result, self._parameters.measureSegmentation)
        except Exception as error:
            self._forget()
            self._line.show(forPanel(str(error)), tone=ERROR)
            return
        self._show(found)

    def _show(self, found: Measured) -> None:
        table = self.ui.measureTable
        mean = _("Mean ({unit})").format(unit=found.unit) if found.unit else _("Mean")
        table.setHorizontalHeaderLabels([_("Segment"), _("Volume (ml)"), mean])
        table.setRowCount(len(found.segments))
        for row, one in enumerate(found.segments):
            for column, text in enumerate((one.name, one.volume, one.mean)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(one.sentence)
                table.setItem(row, column, item)
        table.resizeColumnsToContents()
        table.setVisible(True)
        where = _("The figures are in the table {name} of the scene.").format(name=found.table.GetName())
        sentences = (one.sentence for one in found.segments)
        self._line.show(*found.notes, *sentences, about=f"{where} {meaning()}")

    def _forget(self) -> None:
        self.ui.measureTable.setVisible(False)
        self._line.show()

    def _suggest(self) -> None:
        """Choose the segmentation that was drawn on another result."""
        if self._parameters is None or self._result is None or self._result is self._suggestedFor:
            return
        node = drawnOn(self._result)
        if node is not None:
            self._suggestedFor = self._result
            self._parameters.measureSegmentation = node

    def _update(self) -> None:
        node = self._parameters.measureSegmentation if self._parameters is not None else None
        why = whyNot(self._result) or ("" if node is not None else _("Choose a segmentation of the result first"))
        self.ui.measureButton.setEnabled(not why)
        self.ui.measureButton.setToolTip(why or _("Volume and mean of every segment, with what they may be off"))
