"""Slicer's translation function, or the text as it is where there is no Slicer application."""

from __future__ import annotations

try:
    from slicer.i18n import tr
except ImportError:

    def tr(text: str) -> str:
        """Return `text`."""
        return text


__all__ = ["tr"]
