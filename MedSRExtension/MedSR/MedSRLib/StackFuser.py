"""Fusing several stacks into one volume: what the panel and the Python console call. No Qt."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util

from MedSRLib import Provenance, SceneFiles, SceneIO
from MedSRLib.Arguments import checkCallback, checkedTypes, checkNode
from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.JobRunner import PumpProtocol
from MedSRLib.NodeJob import NodeJob
from MedSRLib.OwnWorker import OwnWorker
from MedSRLib.ScenePairs import patientItem
from MedSRLib.SeriesSaver import filesOf
from MedSRLib.SuperResolver import temporaryFolder
from MedSRLib.Translation import tr as _
from MedSRLib.WorkerProcess import WorkerProcess

_RESULT = "fused.nrrd"
_RIGID = 1e-4


class FuseJob(NodeJob):
    """What `StackFuser.start` returns: watch it, cancel it, take its output.

    Attributes:
        inputs: the stacks; the first gives the field.
        output: the fused volume; None until the job is done.
        report: of `medsr fuse`; empty until done.
    """

    def __init__(
        self,
        inputs: Sequence[slicer.vtkMRMLScalarVolumeNode],
        folder: Path,
        name: str,
        progress: Callable[[FuseJob], None] | None = None,
        completed: Callable[[FuseJob], None] | None = None,
    ) -> None:
        gone = _("{name} was removed from the scene.").format(name=inputs[0].GetName())
        super().__init__(inputs[0], gone, folder, progress, completed)
        self.inputs = tuple(inputs)
        self.output: slicer.vtkMRMLScalarVolumeNode | None = None
        self._name = name

    def _take(self, event: Any) -> None:
        self._checkNode()
        self.stage = _("Loading the result")
        super()._take(event)
        loaded = SceneFiles.readNrrd(self._place / _RESULT)
        first, *others = self.inputs
        with SceneIO.removedOnError(self._scene) as created:
            node = SceneIO.newVolume(self._scene, self._name)
            created.append(node)
            SceneIO.takeVoxels(node, loaded)
            SceneIO.copyAppearance(first, node)
            Provenance.markResult(node, first, self.report)
            Provenance.markStacks(node, others)
        self.output = node

    def _forget(self) -> None:
        super()._forget()
        self.output = None


class StackFuser(OwnWorker):
    """Fuses stacks in a worker process of its own, so that volumes can be super-resolved meanwhile.

    Args:
        pump: timer on the main thread that moves jobs on.
        startWorker: starts the worker process.
        processEvents: keeps the application alive while somebody waits.
        prepare: called before a job with networks starts, to install what they need; may raise.
    """

    def __init__(
        self,
        pump: PumpProtocol,
        startWorker: Callable[[], WorkerProcess],
        processEvents: Callable[[], None] = lambda: None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(pump, startWorker, processEvents)
        self._prepare = prepare

    def start(
        self,
        nodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
        *,
        networks: bool = False,
        name: str = "",
        progress: Callable[[FuseJob], None] | None = None,
        completed: Callable[[FuseJob], None] | None = None,
        **options: Any,
    ) -> FuseJob:
        """Start fusing stacks and return when the worker has the voxels.

        Each stack begins where it lies in the scene, as seen from the first; how far patients moved is found.
        The result lies under the transform of the first.

        Args:
            nodes: two or more volumes of one contrast and sitting; the first gives field and orientation.
            networks: let the networks of a super-resolution look at each stack, too: sharper, for much more time.
            name: of the new volume; default: the first stack's name and "fused".
            progress: called with the job at every step, on the main thread.
            completed: called once with the job when it has ended, however it ended: look at ``job.state``.
            **options: as for `medsr.fuse`: ``spacing=0.8``, ``modality="MR"``, ``slice_thickness=5``, ...

        Raises:
            SceneError: nodes that cannot be fused.
            medsr.errors.MedSRError: options that make no sense.
            InstallError: the networks need packages that are not there.
            SuperResolutionError: the voxels cannot be written, or the worker cannot be started.
        """
        ensureCore()
        from medsr.fusion.spec import FuseSpec
        from medsr.options import UpscaleOptions

        for callback, argument in ((progress, "progress"), (completed, "completed")):
            checkCallback(callback, argument)
        stacks = checkedStacks(nodes)
        volumes = [SceneIO.volumeOf(node) for node in stacks]
        placed = [placedBy(node, stacks[0]) for node in stacks]
        chosen = UpscaleOptions.from_dict(checkedTypes(UpscaleOptions, options, ("scale", "spacing", "memory")))
        folder = Path(tempfile.mkdtemp(prefix="medsr-", dir=temporaryFolder()))
        job = FuseJob(stacks, folder, name or _("{name} fused").format(name=stacks[0].GetName()), progress, completed)
        with job.endedByErrors():
            files = [folder / f"{number}.nrrd" for number in range(len(stacks))]
            spec = FuseSpec(
                tuple(map(str, files)), str(folder / _RESULT), chosen, networks=bool(networks),
                names=tuple(node.GetName() or "" for node in stacks), facts=tuple(volume.facts for volume in volumes),
                headers=tuple(map(_headerOf, stacks)),
            )  # fmt: skip
            if networks:
                self._prepare()
            for node, file in zip(placed, files):
                SceneFiles.writeNrrd(node, file)
            job.warnings += [
                f"{node.GetName()}: {text}" for node, volume in zip(stacks, volumes) for text in volume.warnings
            ]
            job.submit(self.runner, spec.to_json())
        return job

    def fuse(self, nodes: Sequence[slicer.vtkMRMLScalarVolumeNode], **arguments: Any) -> slicer.vtkMRMLScalarVolumeNode:
        """Fuse stacks and wait, with the application alive.

        Args:
            nodes: as for `start`.
            **arguments: as for `start`.

        Returns:
            The fused volume.

        Raises:
            SuperResolutionError: it failed; the text says why. Nothing was changed.
            JobCancelled: it was cancelled.
            And what `start` raises.
        """
        job = self.start(nodes, **arguments)
        self.wait(job)
        job.raiseUnlessDone()
        return job.output


def checkedStacks(nodes: Sequence[Any]) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The nodes when they can be fused, as far as the scene tells.

    Raises:
        SceneError: too few, one twice, one that is no grey scan, or other patients.
    """
    if not isinstance(nodes, Sequence) or isinstance(nodes, str):
        raise SceneError(_("nodes takes a list of volume nodes."))
    for node in nodes:
        checkNode(node, "nodes")
    if len(nodes) < 2:
        raise SceneError(_("Choose another stack of the same sitting: two or more are fused."))
    for number, node in enumerate(nodes):
        if SceneIO.checkedArray(node).ndim != 3:
            raise SceneError(_("{name} is a colour image; grey stacks are fused.").format(name=node.GetName()))
        if Provenance.isMade(node):
            raise SceneError(
                _("{name} was made by MedSR itself. Choose the stacks that the scanner measured.").format(
                    name=node.GetName()
                )
            )
        if node in nodes[:number]:
            raise SceneError(_("{name} was chosen twice. Each stack counts once.").format(name=node.GetName()))
        if node.GetScene() is None:
            raise SceneError(_("The volume is in no scene. Add it first."))
    if len({patientItem(node) for node in nodes} - {0}) > 1:
        raise SceneError(
            _(
                "The stacks belong to different patients of the Data tree. Choose stacks of the same patient, or put "
                "them under one patient there."
            )
        )
    return list(nodes)


def placedBy(node: Any, first: Any) -> Any:
    """The node itself where it lies in the coordinates of the first, else a copy in no scene that lies as in the world.

    Raises:
        SceneError: a transform lies between them that is no movement of a rigid body.
    """
    own = SceneIO.LPS_FROM_RAS @ SceneIO.ijkToRas(node)
    seen = SceneIO.affineSeenFrom(node, first)
    if np.array_equal(own, seen):
        return node
    turn = (seen @ np.linalg.inv(own))[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > _RIGID or np.linalg.det(turn) < 0:
        raise SceneError(
            _(
                "{name} is scaled, sheared or mirrored by its transform, as seen from {first}. Stacks are fused as "
                "rigid bodies: give it a transform that only moves and turns."
            ).format(name=node.GetName(), first=first.GetName())
        )
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.SetAndObserveImageData(node.GetImageData())
    copy.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(SceneIO.LPS_FROM_RAS @ seen))
    return copy


def _headerOf(node: Any) -> str:
    """A DICOM file that says whose a volume is; empty where there is none."""
    return next((str(path) for path in filesOf(node)[:1] if path.is_file()), "")
