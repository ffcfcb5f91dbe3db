"""Saving a result as a DICOM series: what the panel and the Python console call. No Qt in here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MedSRLib import Provenance, SceneFiles, SceneIO
from MedSRLib.Arguments import checkCallback, checkNode
from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.Job import Job
from MedSRLib.OwnWorker import OwnWorker
from MedSRLib.Sequences import framesOf
from MedSRLib.SuperResolver import temporaryFolder
from MedSRLib.Translation import tr as _

_PATIENCE_S = 5.0


class SeriesJob(Job):
    """What `SeriesSaver.start` returns: watch it, cancel it.

    Attributes:
        output: folder of the series, which is there when the job is done and not before.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        progress: Callable[[SeriesJob], None] | None = None,
        completed: Callable[[SeriesJob], None] | None = None,
    ) -> None:
        super().__init__(folder, progress, completed)
        self.output = output

    def cancel(self, reason: str = "") -> None:
        """Stop; the worker gets a moment to remove what is half-written. A second call ends it at once."""
        if not self.isFinished and self._runner is not None and self._ticket is not None:
            self.stage = _("Stopping")
            self._runner.cancel(self._ticket, reason or _("Stopped; nothing was written."), _PATIENCE_S)


class SeriesSaver(OwnWorker):
    """Saves results in a worker process of its own, so that volumes can be super-resolved meanwhile."""

    def start(
        self,
        resultNode: slicer.vtkMRMLScalarVolumeNode,
        folder: str | os.PathLike[str],
        *,
        progress: Callable[[SeriesJob], None] | None = None,
        completed: Callable[[SeriesJob], None] | None = None,
    ) -> SeriesJob:
        """Start saving a result and return when the worker has its voxels.

        The series lies where the scan lies: transforms of the scene are not applied.

        Args:
            resultNode: a result of this module, made of a volume that was loaded from DICOM.
            folder: where to; a folder that holds something gets a new one in it, named after the result.
            progress: called with the job at every step, on the main thread.
            completed: called once with the job when it has ended, however it ended: look at ``job.state``.

        Raises:
            SceneError: no result, or one whose source series is not known.
            SuperResolutionError: the voxels cannot be written, or the worker cannot be started.
        """
        ensureCore()
        from medsr.series import SeriesSpec

        checkNode(resultNode, "resultNode")
        for callback, argument in ((progress, "progress"), (completed, "completed")):
            checkCallback(callback, argument)
        files = sourceFiles(resultNode)
        output = _freeFolder(Path(folder).expanduser().absolute(), resultNode.GetName() or "MedSR")
        temporary = Path(tempfile.mkdtemp(prefix="medsr-", dir=temporaryFolder()))
        job = SeriesJob(temporary, output, progress, completed)
        with job.endedByErrors():
            SceneFiles.writeNrrd(resultNode, temporary / "input.nrrd")
            made = Provenance.madeBy(Provenance.reportOf(resultNode) or {})
            spec = SeriesSpec(str(temporary / "input.nrrd"), str(output), tuple(map(str, files)), made)
            job.submit(self.runner, spec.to_json())
        return job

    def save(self, resultNode: slicer.vtkMRMLScalarVolumeNode, folder: str | os.PathLike[str]) -> Path:
        """Save a result and wait, with the application alive.

        Returns:
            The folder of the series.

        Raises:
            SuperResolutionError: it failed; the text says why. Nothing was written.
            And what `start` raises.
        """
        job = self.start(resultNode, folder)
        self.wait(job)
        job.raiseUnlessDone()
        return job.output


def sourceFiles(resultNode: slicer.vtkMRMLScalarVolumeNode) -> list[Path]:
    """The DICOM files of the series that a result was made of: of Slicer's DICOM database, else as they were loaded.

    Raises:
        SceneError: they are not known or not all there; the text says why.
    """
    source = resultNode.GetNodeReference(Provenance.ROLE_INPUT)
    if source is None:
        raise SceneError(_("The volume that this result was made of has left the scene; a DICOM series needs it."))
    if Provenance.stacksIn(Provenance.reportOf(resultNode) or {}):
        raise SceneError(
            _("A DICOM series is derived from one series; this volume was fused from several. Save it with the scene.")
        )
    if SceneIO.isColour(source):
        raise SceneError(_("DICOM is written of grey images; this one has colours."))
    if framesOf(resultNode) is not None:
        raise SceneError(_("A frame of a sequence is not written as DICOM; save the sequence with the scene."))
    parent = source.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        raise SceneError(
            _("{name} lies under a non-linear transform (uneven or tilted slices), which DICOM cannot say.").format(
                name=source.GetName()
            )
        )
    files = filesOf(source)
    if not files:
        raise SceneError(
            _("{name} was not loaded from DICOM: a series needs the patient and the study of its source.").format(
                name=source.GetName()
            )
        )
    gone = [path for path in files if not path.is_file()]
    if gone:
        raise SceneError(
            _("{gone} of {count} DICOM files of {name} are gone. Import the series again.").format(
                gone=len(gone), count=len(files), name=source.GetName()
            )
        )
    return files


def filesOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> list[Path]:
    """The DICOM files that a volume was loaded from, whether they are still there or not; none for other volumes."""
    return _ofDatabase(volumeNode) or _asLoaded(volumeNode)


def _ofDatabase(source: slicer.vtkMRMLScalarVolumeNode) -> list[Path]:
    uids = (source.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    # One that the database does not know has no path, and counts as a file that is gone.
    found = [Path(database.fileForInstance(uid) or uid) for uid in uids] if database is not None else []
    return found if any(path.is_absolute() for path in found) else []


def _asLoaded(source: slicer.vtkMRMLScalarVolumeNode) -> list[Path]:
    """The files of the storage node, where they are DICOM."""
    ensureCore()
    from medsr.io.formats import looks_like_dicom

    storage = source.GetStorageNode()
    if storage is None:
        return []
    names = [storage.GetNthFileName(n) for n in range(storage.GetNumberOfFileNames())] or [storage.GetFileName()]
    paths = [Path(storage.GetAbsoluteFilePath(name)) for name in names if name]
    return paths if paths and looks_like_dicom(paths[0]) else []


def _freeFolder(chosen: Path, name: str) -> Path:
    """`chosen` where it is empty or does not exist, else a new folder in it."""
    if not chosen.is_dir() or not any(chosen.iterdir()):
        return chosen
    plain = "".join(sign if sign.isalnum() or sign in " -_" else "_" for sign in name).strip() or "MedSR"
    names = (plain, *(f"{plain} {number}" for number in range(2, 10_000)))
    return next(chosen / one for one in names if not (chosen / one).exists())


def doneText(job: Any) -> str:
    """What to say when a series is saved."""
    return _("Saved: {name} in {folder}").format(name=job.output.name, folder=job.output.parent)
