"""What is told about a training set, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MedSRLib.Preview import memoryText, timeText
from MedSRLib.Translation import tr as _

PAGE = "report.html"


def planText(report: Mapping[str, Any]) -> str:
    """What a check found: counts, disk, time, and the cases that cannot be used."""
    lines = [str(line) for line in report.get("lines", ())]
    lines.append(
        _("About {time} on this computer, {memory} of memory.").format(
            time=timeText(report.get("seconds")), memory=memoryText(report.get("memory_bytes", 0))
        )
    )
    return "\n".join(lines)


def doneText(job: Any) -> str:
    """What to say when a job on a training set is done."""
    if job.isCheck:
        return planText(job.report)
    return str(job.report)


def pageIn(folder: Path) -> Path | None:
    """The page of pictures of a training set, None where there is none."""
    page = folder / PAGE
    return page if page.is_file() else None
