"""Tables of a Markdown page that scripts write: what stands between two marks is replaced."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path


def write_between(page: Path | None, mark: str, lines: Sequence[str]) -> None:
    """Put `lines` between ``<!-- begin mark -->`` and ``<!-- end mark -->``; print them where there is no page."""
    if page is None:
        sys.stdout.write(f"{mark}\n\n" + "\n".join(lines) + "\n\n")
        sys.stdout.flush()
        return
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- begin {mark} -->\n).*?(<!-- end {mark} -->)", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"{page} has no marks '<!-- begin {mark} -->' and '<!-- end {mark} -->'.")
    page.write_text(
        pattern.sub(lambda found: found[1] + "\n" + "\n".join(lines) + "\n\n" + found[2], text), encoding="utf-8"
    )


def note(text: str) -> None:
    """How far a long script is."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
