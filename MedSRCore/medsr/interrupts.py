"""Work that a signal may not divide: putting finished files in place, and tidying up."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Undivided:
    """While it is entered, SIGINT, SIGTERM and SIGHUP wait; when the block ends they are delivered.

    For blocks of milliseconds. Outside the main thread it does nothing: signals are handled in the main thread only.
    Signals that are ignored stay so.

    Example:
        >>> with Undivided():
        ...     draft.replace(target)
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._came: list[int] = []

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            for name in _NAMES:
                number = getattr(signal, name, None)  # SIGHUP is not there on Windows
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.getsignal(number)
                    signal.signal(number, self._note)
        except BaseException:  # one came before its handler was changed
            self._restore()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()
        for number in self._came:
            signal.raise_signal(number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
