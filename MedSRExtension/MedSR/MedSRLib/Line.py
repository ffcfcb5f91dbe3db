"""Texts that take one line: what does not fit goes into the tooltip, and to screen readers.

Slicer's panel keeps a stale size of a module that is entered again, so a text that wraps would be cut there.
"""

from __future__ import annotations

from typing import Any

import qt

from MedSRLib.Translation import tr as _

PLAIN, WARNING, ERROR = "plain", "warning", "error"
_COLOURS = {WARNING: ("#9a4b00", "#f0b060"), ERROR: ("#b00020", "#ff8a80")}
"""On light and on dark windows."""


class _Resized(qt.QObject):
    """Calls back when a widget is shown or got another size."""

    callback: Any = None  # of the class, since events still come when the attributes of the object are gone

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Watch, and let the event through."""
        if self.callback is not None and event.type() in (qt.QEvent.Resize, qt.QEvent.Show):
            self.callback()
        return False


class Line:
    """One line in a label.

    Args:
        label: a QLabel that takes the width there is.
        tone: "plain", "warning" or "error".
    """

    def __init__(self, label: Any, tone: str = PLAIN) -> None:
        self._label = label
        self._tone = tone
        self._text = ""
        self._about = label.toolTip
        self._filter = _Resized(label)
        self._filter.callback = self._fit
        label.installEventFilter(self._filter)
        self.show()

    def show(self, *texts: str, tone: str = "", about: str = "") -> None:
        """Show the first text; the others are counted, and stand in the tooltip.

        Args:
            *texts: sentences; none hides the line.
            tone: another tone for this text.
            about: what the text means, for the tooltip alone.
        """
        told = [text for text in texts if text]
        more = _("  (+{count})").format(count=len(told) - 1) if len(told) > 1 else ""
        self._text = (told[0].replace("\n", " ") + more) if told else ""
        everything = "\n".join([*told, about] if told and about else told)
        self._label.setStyleSheet(styleOf(self._label, tone or self._tone))
        self._label.setToolTip("\n".join(text for text in (everything, self._about) if text))
        self._label.setAccessibleName(everything)
        self._label.setVisible(bool(told))
        self._fit()

    def _fit(self) -> None:
        if not self._label.visible:  # it has no size of its own yet
            self._label.setText(self._text)
            return
        room = self._label.contentsRect().width()
        self._label.setText(self._label.fontMetrics().elidedText(self._text, qt.Qt.ElideRight, room))


def isDark(widget: Any) -> bool:
    """True where light text stands on a dark window."""
    return bool(widget.palette.color(qt.QPalette.Window).lightness() < 128)


def styleOf(label: Any, tone: str) -> str:
    """The style sheet that gives a label the colour of a tone."""
    return f"color: {_COLOURS[tone][isDark(label)]}" if tone in _COLOURS else ""
