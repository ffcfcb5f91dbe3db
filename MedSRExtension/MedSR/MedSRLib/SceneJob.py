"""One super-resolution of a node: from the click to the new volume in the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from MedSRLib import Maps, Overlay, Provenance, SceneFiles, SceneIO
from MedSRLib.NodeJob import NodeJob
from MedSRLib.Timing import Timing
from MedSRLib.Translation import tr as _

RESULT_FILE = "result.nrrd"


class SceneJob(NodeJob):
    """What `start` returns: watch it, cancel it, take its output.

    Attributes:
        input: the node that is super-resolved.
        output: the new volume, None until the job is done.
        maps: name, one of `medsr.maps.MAPS` -> volume, once done.
        report: what was done: model, grids, consistency, seconds; empty until done.
        timing: learns from how long it takes; None for nobody.
        told: seconds of work that the library estimated.
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
        super().__init__(inputNode, _("The input volume was removed from the scene."), folder, progress, completed)
        self.timing: Timing | None = None
        self.told = 0.0
        self.input = inputNode
        self.output: slicer.vtkMRMLScalarVolumeNode | None = None
        self.maps: dict[str, slicer.vtkMRMLScalarVolumeNode] = {}
        self._wanted = outputNode
        self._name = name
        self._mapFiles = dict(mapFiles or {})
        self._isFirst = False

    def onStart(self) -> None:
        """The worker has the job; it may have been started for it."""
        super().onStart()
        self._isFirst = self._runner is not None and self._runner.isFresh

    def onResult(self, event: Any) -> None:
        """Take the result, and learn from how long it took."""
        known = self._heardAt is not None and self._startedAt is not None
        start = (self._heardAt or 0.0) - (self._startedAt or 0.0) if known else 0.0
        work = self.seconds - start
        if self.timing is not None:
            model = str(event.report.get("model", ""))
            self.timing.note(self.told, work, model, start if known and self._isFirst else None)
        super().onResult(event)

    def _take(self, event: Any) -> None:
        """Load the files into the scene, all or nothing."""
        self._checkNode()
        self.stage = _("Loading the result")
        self.report = withHounsfieldUnits(event.report, SceneIO.checkedArray(self.input))
        self._load()

    def _forget(self) -> None:
        self.output, self.maps, self.report = None, {}, {}

    def _load(self) -> None:
        colour = SceneIO.isColour(self.input)
        loaded = SceneFiles.readNrrd(self._place / RESULT_FILE, colour)
        loadedMaps = {name: SceneFiles.readNrrd(Path(path)) for name, path in self._mapFiles.items()}
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
                Provenance.markMap(maps[name], name)
                maps[name].SetAndObserveTransformNodeID(self.input.GetTransformNodeID())
                SceneIO.placeBeside(self.input, maps[name])
            SceneIO.takeVoxels(target, loaded)
            SceneIO.copyAppearance(self.input, target)
            Provenance.markResult(target, self.input, self.report)
            for name, node in maps.items():
                target.SetNodeReferenceID(Provenance.roleOf(name), node.GetID())
                Overlay.paint(node, Maps.declared()[name])
        self.output, self.maps = target, maps


def withHounsfieldUnits(report: Mapping[str, Any], voxels: np.ndarray) -> dict[str, Any]:
    """The report, for CT with ``residual_hu``: the deviation from the measured data as a root mean square in HU."""
    told = dict(report)
    relative = told.get("consistency", {}).get("residual")
    if told.get("modality") == "CT" and relative is not None:
        flat = voxels.reshape(-1)
        sample = flat[:: max(1, flat.size // 4_000_000)].astype(np.float64)
        told["residual_hu"] = round(float(relative) * float(np.sqrt(np.mean(sample**2))), 4)
    return told
