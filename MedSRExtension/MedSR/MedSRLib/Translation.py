"""Slicer's translation function, or the text as it is where there is no Slicer application."""

from __future__ import annotations

from collections.abc import Callable


def _translator() -> Callable[[str], str]:
    try:
        from slicer.i18n import tr as translate
    except ImportError:
        return str
    found: Callable[[str], str] = translate
    return found


tr = _translator()

__all__ = ["tr"]
