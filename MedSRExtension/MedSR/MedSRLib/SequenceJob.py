"""Super-resolving all frames of a sequence: one job, frame after frame, whose result is a sequence or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MedSRLib import Provenance, SceneFiles, SceneIO, Sequences
from MedSRLib.SceneJob import RESULT_FILE, SceneJob, withHounsfieldUnits


class SequenceJob(SceneJob):
    """As `SceneJob`; `output` is the volume that shows the new sequence, and `report` that of the worst frame.

    Args:
        inputNode: the volume that shows a frame of the sequence.
        folder: of temporary files.
        frames: the sequence.
        lineOf: writes a frame into the folder and returns its job for the worker.
        plan: of the frame that was shown, whose findings count for all.
        name: of the new sequence.
        progress: as for `SceneJob`.
        completed: as for `SceneJob`.
    """

    def __init__(
        self,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        folder: Path,
        frames: Sequences.Frames,
        lineOf: Callable[[Any], str],
        plan: Any,
        name: str,
        progress: Callable[[Any], None] | None = None,
        completed: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(inputNode, folder, name=name, progress=progress, completed=completed)
        self._frames = frames
        # Frames that are added or removed meanwhile do not count.
        self._volumes = frames.volumes()
        self._values = [frames.sequence.GetNthIndexValue(number) for number in range(frames.count)]
        self._lineOf = lineOf
        self._plan = plan
        self._made = Sequences.emptyLike(frames.sequence)
        self._reports: list[dict[str, Any]] = []

    @property
    def frameText(self) -> str:
        """Which frame is worked on."""
        return Sequences.frameText(min(len(self._reports) + 1, len(self._volumes)), len(self._volumes))

    def onStart(self) -> None:
        """The worker has a frame."""
        if not self._reports:
            super().onStart()

    def onResult(self, event: Any) -> None:
        """Keep the frame, and go on with the next one."""
        self._checkNode()
        frame = self._volumes[len(self._reports)]
        file = self._place / RESULT_FILE
        volume = SceneFiles.readNrrd(file, SceneIO.isColour(frame))
        file.unlink()
        self._made.SetDataNodeAtValue(volume, self._values[len(self._reports)])
        self._reports.append(withHounsfieldUnits(event.report, SceneIO.checkedArray(frame)))
        if self._runner is None or len(self._reports) == len(self._volumes):
            super().onResult(event)
            return
        self.submit(self._runner, self._lineOf(self._volumes[len(self._reports)]))

    def _hear(self, event: Any) -> None:
        known = set(self.warnings)
        super()._hear(event)
        if event.kind == "stage":
            self.stage = f"{self.frameText}: {self.stage}"
        elif event.kind == "progress":
            self.fraction = (len(self._reports) + event.fraction) / len(self._volumes)
            self.secondsLeft = self.seconds * (1 - self.fraction) / self.fraction if self.fraction > 0 else None
        elif event.kind == "warning" and self.warnings[-1] in known:  # as a frame before
            self.warnings.pop()

    def _forget(self) -> None:
        super()._forget()
        self._made = Sequences.emptyLike(self._made)

    def _load(self) -> None:
        worst = max(self._reports, key=lambda report: _deviation(report) or 0.0)
        seconds = round(sum(report.get("seconds", 0.0) for report in self._reports), 3)
        frames = [{"at": at, "residual_percent": _deviation(one)} for at, one in zip(self._values, self._reports)]
        self.report = {**_asFound(worst, self._plan), "frames": frames, "seconds": seconds}
        # What shows a frame takes the attributes of that frame.
        for number in range(len(frames)):
            Provenance.writeReport(self._made.GetNthDataNode(number), self.input, self.report)
        with SceneIO.removedOnError(self._scene) as created:
            volume = Sequences.shown(self._made, self._frames, self._name, created)
            SceneIO.copyAppearance(self.input, volume)
            Provenance.markResult(volume, self.input, self.report)
        self.output = volume


def _deviation(report: dict[str, Any]) -> float | None:
    """From the measured data, in percent of the signal; None where it was not measured."""
    found: float | None = report.get("consistency", {}).get("residual_percent")
    return found


def _asFound(report: dict[str, Any], plan: Any) -> dict[str, Any]:
    """The report of a frame, which was told what was found, with how it had been found."""
    source, kinds = plan.target.source, ("modality", "acquisition")
    found = [notice.to_json() for notice in plan.decisions if notice.kind in kinds]
    others = [told for told in report.get("decisions", ()) if told["kind"] not in kinds]
    axes = [axis.to_json(spacing) for axis, spacing in zip(plan.evidence, source.spacing_xyz_mm)]
    return {**report, "decisions": [*found, *others], "acquisition": axes}
