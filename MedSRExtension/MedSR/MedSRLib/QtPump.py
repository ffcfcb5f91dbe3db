"""A timer on the main thread, as `JobRunner` wants it."""

from __future__ import annotations

from collections.abc import Callable

import qt


class QtPump:
    """Calls back every so many milliseconds from Qt's event loop."""

    def __init__(self) -> None:
        self._timer = qt.QTimer()
        self._timer.timeout.connect(self._tick)
        self._callback: Callable[[], None] | None = None

    def start(self, callback: Callable[[], None], intervalMs: int) -> None:
        """Call `callback` every `intervalMs` until `stop`; a second start replaces the first."""
        self._callback = callback
        self._timer.start(intervalMs)

    def stop(self) -> None:
        """Call no more."""
        self._timer.stop()
        self._callback = None

    def _tick(self) -> None:
        if self._callback is not None:
            self._callback()
