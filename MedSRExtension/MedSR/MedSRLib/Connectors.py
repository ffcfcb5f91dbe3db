"""Ties between parameters and widgets that Slicer's parameter nodes lack, for their `connectParametersToGui`.

Slicer ties combo boxes to choices that are fixed in the code, and would show a path that was not given as ``.``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.parameterNodeWrapper import GuiConnector

TOOLTIP_ROLE = 3  # Qt.ToolTipRole, in every Qt


def showTips(combo: Any, tips: Sequence[str]) -> None:
    """Explain each entry of a combo box."""
    for row, tip in enumerate(tips):
        combo.setItemData(row, tip, TOOLTIP_ROLE)


class Connector(GuiConnector):
    """Made for its widget by name, never found by the kind of the widget."""

    _signal = ""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self._widget = widget

    @staticmethod
    def canRepresent(widget: Any, datatype: Any) -> bool:
        """Never."""
        return False

    @staticmethod
    def create(widget: Any, datatype: Any) -> None:
        """Never."""

    def widget(self) -> Any:
        """The widget."""
        return self._widget

    def _connect(self) -> None:
        getattr(self._widget, self._signal).connect(self.changed)

    def _disconnect(self) -> None:
        getattr(self._widget, self._signal).disconnect(self.changed)


class ListConnector(Connector):
    """A combo box for a text parameter; a value that is not on the list, of another version, shows the first entry.

    Args:
        widget: the combo box.
        entries: (value, text for people, tooltip) in the order shown.
    """

    _signal = "currentIndexChanged"

    def __init__(self, widget: Any, entries: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(widget)
        self.values = [value for value, _text, _tip in entries]
        widget.clear()
        for _value, text, _tip in entries:
            widget.addItem(text)
        showTips(widget, [tip for _value, _text, tip in entries])

    def read(self) -> str:
        """The value of the entry that is shown."""
        return self.values[max(0, self._widget.currentIndex)]

    def write(self, value: str) -> None:
        """Show the entry of a value."""
        self._widget.setCurrentIndex(self.values.index(value) if value in self.values else 0)


class PathConnector(Connector):
    """A ctkPathLineEdit for a text parameter, empty for no path.

    Args:
        widget: the line edit.
        kind: of `ctk.ctkPathLineEdit`: what may be chosen.
    """

    _signal = "currentPathChanged"

    def __init__(self, widget: Any, kind: Any) -> None:
        super().__init__(widget)
        widget.filters = kind

    def read(self) -> str:
        """The path that is shown."""
        return str(self._widget.currentPath)

    def write(self, value: str) -> None:
        """Show a path."""
        if value != self._widget.currentPath:
            self._widget.currentPath = value
