"""Ctrl-C and its relatives: the work is stopped once, cleans up, and ends with the exit code of the signal."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_entered: list[Interruption] = []


def signal_that_came() -> int | None:
    """The signal that stops the command which runs now, or None."""
    return _entered[-1].signal_number if _entered else None


class Interruption:
    """While it is entered, the first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt; later ones are ignored.

    Ignoring the later ones lets the clean-up of the first finish. Signals that the caller of the process ignores
    (``nohup``) stay ignored. Does nothing outside the main thread, where signals cannot be handled.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        _entered.append(self)
        if threading.current_thread() is threading.main_thread():
            for name in _NAMES:
                number = getattr(signal, name, None)  # SIGHUP is not there on Windows
                if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        _entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
            raise KeyboardInterrupt
