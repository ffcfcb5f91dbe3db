"""How long a job will take here: the library's estimate, corrected by what earlier jobs took here. No Qt."""

from __future__ import annotations

import math
from typing import Any, Protocol

_SPEED, _START, _COUNT, _ANY = "MedSR/speed/", "MedSR/startSeconds", "MedSR/speedCount", "any"
_LIMITS = (0.1, 30.0)
_HALF_SURE_S = 10.0
"""A job that was told to take so long weighs half: shorter ones say more of start-up than of speed."""


class StoreProtocol(Protocol):
    """Keeps values between sessions, as QSettings does."""

    def value(self, key: str, default: Any = None) -> Any:
        """What was kept."""

    def setValue(self, key: str, value: Any) -> None:
        """Keep it."""


class Memory:
    """A store that forgets when the application ends."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def value(self, key: str, default: Any = None) -> Any:
        """What was kept."""
        return self._values.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        """Keep it."""
        self._values[key] = value


class Timing:
    """Learns how the time that jobs take compares with the time that was told.

    Args:
        store: where it is kept; `slicer.app.settings()` in the application.
    """

    def __init__(self, store: StoreProtocol | None = None) -> None:
        self._store = store or Memory()

    def expected(self, told: float, model: str, isWarm: bool = False) -> float:
        """Seconds from the click to the result.

        Args:
            told: the library's estimate of the work.
            model: name of the model; one that never ran here is taken to be as quick as the others.
            isWarm: the computing process is there already.
        """
        factor = self._number(_SPEED + model, self._number(_SPEED + _ANY, 1.0))
        return told * factor + (0.0 if isWarm else self._number(_START, 1.0))

    def note(self, told: float, taken: float, model: str, startSeconds: float | None = None) -> None:
        """Learn from a job that is done.

        Args:
            told: the library's estimate of the work.
            taken: seconds that the work took.
            model: name of the model.
            startSeconds: how long the computing process took to answer, where it was started for the job.
        """
        if startSeconds is not None:
            self._store.setValue(_START, round((self._number(_START, startSeconds) + startSeconds) / 2, 2))
        if told <= 0 or taken <= 0:
            return
        count = self._number(_COUNT, 0.0)
        self._store.setValue(_COUNT, count + 1)
        # The first job says all that is known, later ones what has changed.
        weight = max(0.5, 1.0 / (count + 1)) * told / (told + _HALF_SURE_S)
        newest = min(max(taken / told, _LIMITS[0]), _LIMITS[1])
        for name in (model, _ANY):
            known = self._number(_SPEED + name, self._number(_SPEED + _ANY, 1.0))
            mixed = math.exp((1 - weight) * math.log(known) + weight * math.log(newest))
            self._store.setValue(_SPEED + name, round(mixed, 4))

    def _number(self, key: str, default: float) -> float:
        """A kept number; settings of another hand may hold anything."""
        try:
            value = float(self._store.value(key, default))
        except (TypeError, ValueError):
            return default
        return value if math.isfinite(value) and value > 0 else default
