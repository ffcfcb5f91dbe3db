"""Making training sets: what the section of the panel and the Python console call. No Qt in here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from MedSRLib import ScenePairs, SegmentLabels
from MedSRLib.Arguments import checkCallback, checkedTypes, namesOf, pairsOf
from MedSRLib.CorePath import ensureCore
from MedSRLib.Errors import SceneError
from MedSRLib.JobRunner import PumpProtocol
from MedSRLib.OwnWorker import OwnWorker
from MedSRLib.SceneExport import freshExportFolder, keepTimes
from MedSRLib.TrainingJob import TrainingJob
from MedSRLib.Translation import tr as _
from MedSRLib.WorkerProcess import WorkerProcess


class TrainingSetMaker(OwnWorker):
    """Makes training sets in a worker process of its own, so that volumes can be super-resolved meanwhile.

    Args:
        pump: timer on the main thread that moves jobs on.
        startWorker: starts the worker process.
        processEvents: keeps the application alive while pairs are written and while `make` waits.
        prepare: called with the job's `medsr.augmentation.spec.AugmentSpec`, to install what it needs; may raise.
    """

    def __init__(
        self,
        pump: PumpProtocol,
        startWorker: Callable[[], WorkerProcess],
        processEvents: Callable[[], None] = lambda: None,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(pump, startWorker, processEvents)
        self._prepare = prepare
        self._jobs: list[TrainingJob] = []

    def start(
        self,
        source: str | os.PathLike[str] | Sequence[Sequence[Any]],
        output: str | os.PathLike[str],
        *,
        recipes: str | Sequence[str] = ("sr-x2",),
        overlap: str = SegmentLabels.REFUSE,
        check: bool = False,
        progress: Callable[[TrainingJob], None] | None = None,
        completed: Callable[[TrainingJob], None] | None = None,
        **options: Any,
    ) -> TrainingJob:
        """Start making a training set and return when the worker has it.

        Args:
            source: a ``dataset.json`` or the folder of a training set; or the pairs of the scene, each a volume node
                with its segmentation node. Neither is changed.
            output: folder of the new training set.
            recipes: names from ``medsr augment --list``, or paths of JSON files; taken in turn.
            overlap: segments that overlap are refused ("refuse"), or the one that is listed first wins ("first").
            check: look at every pair and say what would be made; nothing is written.
            progress: called with the job at every step, on the main thread.
            completed: called once with the job when it has ended, however it ended: look at ``job.state``.
            **options: as for ``medsr augment``: ``per_image=2``, ``seed=7``, ``format="nnunet"``, ``memory="6GB"``, ...

        Returns:
            The job: ``state``, ``fraction``, ``report``, ``page``, ``cancel()``.

        Raises:
            SceneError: nodes that cannot be used so.
            medsr.errors.MedSRError: options that make no sense.
            SuperResolutionError: the pairs cannot be written, or the worker cannot be started.
            InstallError: a recipe needs packages that are not there.
        """
        ensureCore()
        if overlap not in SegmentLabels.OVERLAPS:
            raise SceneError(_("overlap is 'refuse' or 'first', got {value}.").format(value=repr(overlap)))
        for callback, argument in ((progress, "progress"), (completed, "completed")):
            checkCallback(callback, argument)
        names = namesOf(recipes.split(",") if isinstance(recipes, str) else recipes, "recipes")
        given = Path(source).expanduser().absolute() if isinstance(source, (str, os.PathLike)) else None
        pairs = ScenePairs.checkedPairs(pairsOf(source)) if given is None else ()
        place = self._checkedOutput(output)
        folder = freshExportFolder(place) if given is None else None
        job = TrainingJob(folder, place, isCheck=check, progress=progress, completed=completed)
        with job.endedByErrors():
            spec = _specOf(given or folder or place, job, tuple(name.strip() for name in names), bool(pairs), options)
            if self._prepare is not None and not check:
                self._prepare(spec)
            self._jobs.append(job)
            if folder is not None:
                self._write(job, folder, pairs, overlap)
            if not job.isFinished:  # it may have been cancelled in between
                job.submit(self.runner, spec.to_json())
        return job

    def make(self, source: Any, output: str | os.PathLike[str], **arguments: Any) -> TrainingJob:
        """Make a training set and wait for it, with the application alive.

        Args:
            source: as for `start`.
            output: as for `start`.
            **arguments: as for `start`.

        Returns:
            The job, with ``report`` and ``page``.

        Raises:
            SuperResolutionError: the job failed; the text says why. Copies that are complete stay.
            JobCancelled: it was cancelled.
            And what `start` raises.
        """
        job = self.start(source, output, **arguments)
        self.wait(job)
        job.raiseUnlessDone()
        return job

    def _checkedOutput(self, output: str | os.PathLike[str]) -> Path:
        """The absolute path of the output folder; raises SceneError for none, or one that is in use."""
        if not isinstance(output, (str, os.PathLike)):
            raise SceneError(_("output takes the path of a folder, got {value}.").format(value=repr(output)))
        if not os.fspath(output):
            raise SceneError(_("Choose an output folder first."))
        place = Path(output).expanduser().absolute()
        self._jobs = [job for job in self._jobs if not job.isFinished]
        if place in [job.output for job in self._jobs]:
            raise SceneError(_("A training set is being made in {folder} already.").format(folder=place))
        return place

    def _write(self, job: TrainingJob, folder: Path, pairs: Sequence[ScenePairs.ScenePair], overlap: str) -> None:
        """Write the pairs of the scene; the application stays alive, and may cancel the job."""
        for count, warnings in enumerate(ScenePairs.writePairs(pairs, folder, overlap), start=1):
            job.prepared(count, len(pairs), warnings)
            self._processEvents()
            if job.isFinished:
                return
        for _file in keepTimes(folder, job.output, remember=not job.isCheck):
            self._processEvents()
            if job.isFinished:
                return


def _specOf(source: Path, job: TrainingJob, recipes: tuple[str, ...], isScene: bool, options: dict[str, Any]) -> Any:
    """The validated job for the worker."""
    import dataclasses

    from medsr.augmentation.spec import AugmentSpec
    from medsr.errors import unknown_name

    chosen = dict(options)
    if isScene:
        # What the scene wrote goes away when the job ends.
        chosen["originals"] = "copy"
    known = [field.name for field in dataclasses.fields(AugmentSpec)]
    for name in chosen:
        if name not in known:
            raise unknown_name("option", name, known)
    chosen = checkedTypes(AugmentSpec, chosen, ("memory",))
    return AugmentSpec(source=str(source), output=str(job.output), recipes=recipes, dry_run=job.isCheck, **chosen)
