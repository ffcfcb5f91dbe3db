"""What is told about a training set, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MedSRLib.Preview import memoryText, timeText
from MedSRLib.Translation import tr as _

PAGE = "report.html"


def planText(plan: Mapping[str, Any]) -> str:
    """What a check found: counts, disk, time."""
    cost = _("About {time} on two processor cores, {memory} of memory.").format(
        time=timeText(plan.get("seconds")), memory=memoryText(plan.get("memory_bytes", 0))
    )
    return "\n".join([*map(str, plan.get("lines", ())), cost])


def doneText(job: Any) -> str:
    """What to say when a job on a training set is done."""
    report = job.report
    if job.isCheck:
        return planText(report.get("plan", {}))
    failed, refused, flagged = (len(report.get(key, ())) for key in ("failed", "refused", "flagged"))
    count = report.get("made", 0) + report.get("kept", 0)
    text = _("Done in {time}: {count} copies in {folder}.")
    parts = [text.format(time=timeText(report.get("seconds")), count=count, folder=job.output.name)]
    if report.get("kept"):
        parts.append(_("{count} of them were there already.").format(count=report["kept"]))
    if failed:
        parts.append(_("{count} copies failed.").format(count=failed))
    if refused:
        parts.append(_("{count} images were left out.").format(count=refused))
    if flagged:
        parts.append(_("{count} copies should be looked at: open the report.").format(count=flagged))
    return " ".join(parts)


def pageIn(folder: Path) -> Path | None:
    """The page of pictures of a training set, None where there is none."""
    # In BIDS it belongs to a derivative.
    found = [folder / PAGE, *folder.glob(f"derivatives/*/{PAGE}")]
    return next((page for page in found if page.is_file()), None)
