"""Checking a result against another series of the patient: what the panel and the Python console call. No Qt."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MedSRLib import Maps, Overlay, Provenance, SceneFiles, SceneIO
from MedSRLib.Arguments import checkCallback, checkNode
from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.NodeJob import NodeJob
from MedSRLib.OwnWorker import OwnWorker
from MedSRLib.ScenePairs import patientItem
from MedSRLib.SuperResolver import temporaryFolder
from MedSRLib.Translation import tr as _

_RESULT, _AGAINST, _INPUT, _MAP = "result.nrrd", "against.nrrd", "input.nrrd", "map.nrrd"


class CheckJob(NodeJob):
    """What `SeriesChecker.start` returns: watch it, cancel it.

    Attributes:
        result: the node that is checked.
        output: volume of what is confirmed, a map of the result; None until the job is done.
        report: of `medsr check`; empty until done.
    """

    def __init__(
        self,
        resultNode: slicer.vtkMRMLScalarVolumeNode,
        folder: Path,
        progress: Callable[[CheckJob], None] | None = None,
        completed: Callable[[CheckJob], None] | None = None,
    ) -> None:
        super().__init__(resultNode, _("The result was removed from the scene."), folder, progress, completed)
        self.result = resultNode
        self.output: slicer.vtkMRMLScalarVolumeNode | None = None

    def _take(self, event: Any) -> None:
        self._checkNode()
        super()._take(event)
        loaded = SceneFiles.readNrrd(self._place / _MAP)
        known = self.result.GetNodeReference(Provenance.roleOf(Maps.CONFIRMED))
        with SceneIO.removedOnError(self._scene) as created:
            name = f"{self.result.GetName()} {Maps.CONFIRMED}"
            node = known or SceneIO.newVolume(self._scene, name)
            if known is None:
                created.append(node)
            SceneIO.takeVoxels(node, loaded)
            Provenance.markMap(node, Maps.CONFIRMED)
            node.SetAndObserveTransformNodeID(self.result.GetTransformNodeID())
            SceneIO.placeBeside(self.result, node)
            self.result.SetNodeReferenceID(Provenance.roleOf(Maps.CONFIRMED), node.GetID())
            Overlay.paint(node, Maps.shown()[Maps.CONFIRMED], Maps.reachOf(Maps.CONFIRMED))
        self.output = node


class SeriesChecker(OwnWorker):
    """Checks results in a worker process of its own, so that volumes can be super-resolved meanwhile."""

    def start(
        self,
        resultNode: slicer.vtkMRMLScalarVolumeNode,
        againstNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        progress: Callable[[CheckJob], None] | None = None,
        completed: Callable[[CheckJob], None] | None = None,
    ) -> CheckJob:
        """Start checking a result and return when the worker has the voxels.

        Both are compared where the scanner put them: transforms of the scene are not applied.

        Args:
            resultNode: a result of this module.
            againstNode: another series of the patient.
            progress: called with the job at every step, on the main thread.
            completed: called once with the job when it has ended, however it ended: look at ``job.state``.

        Raises:
            SceneError: nodes that cannot be compared.
            SuperResolutionError: the voxels cannot be written, or the worker cannot be started.
        """
        ensureCore()
        from medsr.evaluation.checking.spec import CheckSpec

        for node, argument in ((resultNode, "resultNode"), (againstNode, "againstNode")):
            checkNode(node, argument)
        for callback, argument in ((progress, "progress"), (completed, "completed")):
            checkCallback(callback, argument)
        source = _sourceOf(resultNode, againstNode)
        folder = Path(tempfile.mkdtemp(prefix="medsr-", dir=temporaryFolder()))
        job = CheckJob(resultNode, folder, progress, completed)
        with job.endedByErrors():
            for node, name in ((resultNode, _RESULT), (againstNode, _AGAINST), (source, _INPUT)):
                SceneFiles.writeNrrd(node, folder / name)
            spec = CheckSpec(
                str(folder / _RESULT), str(folder / _AGAINST), input=str(folder / _INPUT), map=str(folder / _MAP)
            )
            job.submit(self.runner, spec.to_json())
        return job

    def check(
        self, resultNode: slicer.vtkMRMLScalarVolumeNode, againstNode: slicer.vtkMRMLScalarVolumeNode
    ) -> CheckJob:
        """Check a result and wait, with the application alive.

        Returns:
            The job, done: its ``report`` and its ``output``.

        Raises:
            SuperResolutionError: it failed; the text says why.
            And what `start` raises.
        """
        job = self.start(resultNode, againstNode)
        self.wait(job)
        job.raiseUnlessDone()
        return job


def candidates(resultNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The volumes of the scene that a result may be checked against."""
    scene, sources = resultNode.GetScene(), Provenance.sourcesOf(resultNode)
    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    nodes = [scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode") for n in range(count)]
    return [
        node for node in nodes
        if SceneIO.isImage(node) and not SceneIO.isColour(node) and not Provenance.isMade(node) and node not in sources
    ]  # fmt: skip


def _sourceOf(
    resultNode: slicer.vtkMRMLScalarVolumeNode, againstNode: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """What a result was made of.

    Raises:
        SceneError: it cannot be compared with the other series.
    """
    source = resultNode.GetNodeReference(Provenance.ROLE_INPUT)
    if source is None:
        raise SceneError(_("The volume that this result was made of has left the scene; the check needs it."))
    if againstNode in (resultNode, *Provenance.sourcesOf(resultNode)):
        raise SceneError(_("Choose another series than the result and what it was made of."))
    for node in (resultNode, againstNode, source):
        SceneIO.checkedArray(node)
    # The voxels go to the worker without the header that names the patient.
    patients = {patientItem(node) for node in (source, againstNode)} - {0}
    if len(patients) > 1:
        raise SceneError(
            _(
                "The two series belong to different patients of the Data tree. Choose a series of the same patient, or "
                "put both under one patient there."
            )
        )
    return source


def doneText(job: Any) -> str:
    """What to say when a result is checked."""
    report = job.report
    # Short, so that the figures stand in one line of the panel.
    text = _("Added detail: {yes:.0f} % confirmed, {no:.0f} % contradicted, {rest:.0f} % not judged.").format(
        yes=report["confirmed_percent"], no=report["contradicted_percent"], rest=report["cannot_be_judged_percent"]
    )
    judged = report["of_what_is_judged"]
    if judged["confirmed_percent"] is None or judged["an_unrelated_series_percent"] is None:
        return text
    more = _("Of what can be judged, {percent:.0f} % is confirmed; an unrelated series would confirm {chance:.0f} %.")
    told = more.format(percent=judged["confirmed_percent"], chance=judged["an_unrelated_series_percent"])
    return f"{text} {told}"
