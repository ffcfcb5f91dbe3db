"""One super-resolution of a node: from the click to the new volume in the scene."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MedSRLib import Compare, Provenance, SceneIO
from MedSRLib.Errors import JobCancelled
from MedSRLib.JobRunner import JobRunner, Ticket
from MedSRLib.Translation import tr as _

logger = logging.getLogger(__name__)

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
RESULT_FILE = "result.nrrd"


class SceneJob:
    """What `start` returns: watch it, cancel it, take its output.

    Attributes:
        input: the node that is super-resolved.
        output: the new volume, None until the job is done.
        maps: name ("difference", "residual") -> volume, once done.
        state: "waiting", "running", "done", "failed" or "cancelled".
        stage: what it does now, for people.
        fraction: 0 to 1 of the whole work.
        secondsLeft: estimate, None while unknown.
        warnings: sentences that a person should read.
        report: what was done: model, grids, consistency, seconds; empty until done.
        error: the exception that ended it, None otherwise.
        log: everything the worker said.
    """

    def __init__(
        self,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        folder: Path,
        *,
        outputNode: slicer.vtkMRMLScalarVolumeNode | None = None,
        name: str = "",
        mapFiles: Mapping[str, str] | None = None,
        progress: Callable[[SceneJob], None] | None = None,
        completed: Callable[[SceneJob], None] | None = None,
    ) -> None:
        self.input = inputNode
        self.output: slicer.vtkMRMLScalarVolumeNode | None = None
        self.maps: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
        self.state = WAITING
        self.stage = ""
        self.fraction = 0.0
        self.secondsLeft: float | None = None
        self.warnings: list[str] = []
        self.report: dict[str, Any] = {}
        self.error: Exception | None = None
        self.log: list[str] = []
        self._scene = inputNode.GetScene()
        self._folder = folder
        self._wanted = outputNode
        self._name = name
        self._mapFiles = dict(mapFiles or {})
        self._progress = progress
        self._completed = completed
        self._runner: JobRunner | None = None
        self._ticket: Ticket | None = None

    @property
    def isFinished(self) -> bool:
        """True once the job is done, failed or cancelled."""
        return self.state in (DONE, FAILED, CANCELLED)

    @property
    def inputIsThere(self) -> bool:
        """False once the input left the scene."""
        return bool(self.input.GetScene()) and self._scene.IsNodePresent(self.input) != 0

    def cancel(self, reason: str = "") -> None:
        """Stop the work and its processes; the scene stays as it is. Does nothing to a finished job."""
        if not self.isFinished and self._runner is not None and self._ticket is not None:
            self._runner.cancel(self._ticket, reason)

    def submit(self, runner: JobRunner, line: str) -> None:
        """Queue the job; raise SuperResolutionError when no worker can be started."""
        self._runner = runner
        try:
            self._ticket = runner.submit(line, self)
        except Exception:
            self._removeFiles()
            raise

    # What the runner calls, on the main thread.

    def onTick(self) -> None:
        """Stop the work when its input is gone."""
        if not self.inputIsThere:
            self.cancel(_("The input volume was removed from the scene."))

    def onEvent(self, event: Any) -> None:
        """A stage, progress or warning."""
        self.state = RUNNING
        if event.kind == "stage":
            self.stage = event.name
        elif event.kind == "progress":
            self.fraction, self.secondsLeft = event.fraction, event.seconds_left
        elif event.kind == "warning":
            self.warnings.append(event.message)
        self._tell(self._progress)

    def onLog(self, line: str) -> None:
        """A line of the worker's log."""
        self.log.append(line)

    def onResult(self, event: Any) -> None:
        """Load the files into the scene, all or nothing."""
        if not self.inputIsThere:
            raise JobCancelled(_("The input volume was removed from the scene."))
        self.stage = _("Loading the result")
        self.report = withHounsfieldUnits(event.report, SceneIO.checkedArray(self.input))
        self._load()
        self.state, self.fraction, self.secondsLeft = DONE, 1.0, 0.0
        self._removeFiles()
        self._tell(self._completed)

    def onFailure(self, error: Exception) -> None:
        """Keep the reason; the scene is as it was."""
        if self.isFinished:
            return
        self.state = CANCELLED if isinstance(error, JobCancelled) else FAILED
        self.error = error
        self.output, self.maps, self.report = None, {}, {}
        self._removeFiles()
        self._tell(self._completed)

    def _load(self) -> None:
        colour = SceneIO.checkedArray(self.input).ndim == 4
        loaded = SceneIO.readNrrd(self._folder / RESULT_FILE, colour)
        loadedMaps = {name: SceneIO.readNrrd(Path(path)) for name, path in self._mapFiles.items()}
        with SceneIO.removedOnError(self._scene) as created:
            target = self._wanted
            if target is None or not self._scene.IsNodePresent(target):
                target = SceneIO.newVolume(self._scene, self._name, colour)
                created.append(target)
            maps = {}
            for name, volume in loadedMaps.items():
                maps[name] = SceneIO.newVolume(self._scene, f"{target.GetName()} {name}")
                created.append(maps[name])
                SceneIO.takeVoxels(maps[name], volume)
                maps[name].SetAndObserveTransformNodeID(self.input.GetTransformNodeID())
                SceneIO.placeBeside(self.input, maps[name])
            SceneIO.takeVoxels(target, loaded)
            SceneIO.copyAppearance(self.input, target)
            Provenance.markResult(target, self.input, self.report)
            for name, node in maps.items():
                target.SetNodeReferenceID(Provenance.PREFIX + name, node.GetID())
                Compare.colourDifference(node)
        self.output, self.maps = target, maps

    def _removeFiles(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, callback: Callable[[SceneJob], None] | None) -> None:
        """Call back; a mistake in the callback must not harm the job."""
        if callback is None:
            return
        try:
            callback(self)
        except Exception:
            logger.exception("A callback of a MedSR job failed.")


def withHounsfieldUnits(report: Mapping[str, Any], voxels: np.ndarray) -> dict[str, Any]:
    """The report, for CT with ``residual_hu``: the deviation from the measured data as a root mean square in HU."""
    told = dict(report)
    relative = told.get("consistency", {}).get("residual")
    if told.get("modality") == "CT" and relative is not None:
        flat = voxels.reshape(-1)
        sample = flat[:: max(1, flat.size // 4_000_000)].astype(np.float64)
        told["residual_hu"] = round(float(relative) * float(np.sqrt(np.mean(sample**2))), 4)
    return told
