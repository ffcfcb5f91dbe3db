"""What was seen in the voxels of a volume, kept for its next plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_Seen = TypeVar("_Seen")


class Looks:
    """Looks at the voxels of one volume, each taken once.

    A panel plans anew with every option, and most options change nothing of what the voxels show. Good for one volume:
    who changes voxels, grid or facts begins with new ones.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, Any] = {}

    def once(self, what: Hashable, look: Callable[[], _Seen]) -> _Seen:
        """What `look` gives, or gave when it was last asked for `what`."""
        if what not in self._seen:
            self._seen[what] = look()
        seen: _Seen = self._seen[what]
        return seen
