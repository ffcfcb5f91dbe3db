"""Starting jobs on nodes: what the panel and the Python console call. No Qt in here; timer and waiting are injected."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer

from MedSRLib import Maps, SceneFiles, SceneIO, ScenePlan, Sequences
from MedSRLib.Arguments import checkCallback, checkedTypes, checkNode, namesOf
from MedSRLib.CorePath import ensureCore
from MedSRLib.Environment import VARIABLE, chosenInterpreter
from MedSRLib.Errors import SceneError
from MedSRLib.JobRunner import JobRunner, PumpProtocol
from MedSRLib.SceneJob import RESULT_FILE, SceneJob
from MedSRLib.SequenceJob import SequenceJob
from MedSRLib.Timing import Timing
from MedSRLib.Translation import tr as _
from MedSRLib.WorkerProcess import WorkerProcess


class SuperResolver:
    """Super-resolves volume nodes in a worker process.

    Args:
        pump: timer on the main thread that moves jobs on.
        processEvents: keeps the application alive while `superResolve` waits.
        prepare: called with a job's `medsr.methods.plan.Plan` before it starts, to install what it needs; may raise.
        startWorker: replaces the start of the worker process, for tests.
        timing: knows how quick this computer is.
    """

    def __init__(
        self,
        pump: PumpProtocol,
        processEvents: Callable[[], None] = lambda: None,
        prepare: Callable[[Any], None] | None = None,
        startWorker: Callable[[], WorkerProcess] | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.interpreterPath = ""
        """Python to compute with; empty for MEDSR_PYTHON or Slicer's own."""
        self.planner = ScenePlan.ScenePlanner()
        """Knows the plan of what was last previewed or started."""
        self.timing = timing or Timing()
        """Knows how quick this computer is."""
        self._runningPath = ""
        self._processEvents = processEvents
        self._prepare = prepare
        self._jobs: list[SceneJob] = []
        self.runner = JobRunner(startWorker or self._startWorker, pump)

    @property
    def usesAnotherPython(self) -> bool:
        """True when the work is done by another Python than Slicer's."""
        return bool(self.interpreterPath or os.environ.get(VARIABLE))

    @property
    def jobs(self) -> tuple[SceneJob, ...]:
        """The jobs that are not finished."""
        self._jobs = [job for job in self._jobs if not job.isFinished]
        return tuple(self._jobs)

    def start(
        self,
        volumeNode: slicer.vtkMRMLScalarVolumeNode,
        *,
        output: slicer.vtkMRMLScalarVolumeNode | None = None,
        name: str = "",
        maps: Sequence[str] = (),
        reference: slicer.vtkMRMLVolumeNode | str | None = None,
        all_frames: bool = False,
        progress: Callable[[SceneJob], None] | None = None,
        completed: Callable[[SceneJob], None] | None = None,
        **options: Any,
    ) -> SceneJob:
        """Start super-resolving a volume and return at once.

        Args:
            volumeNode: the input; it is not changed.
            output: an existing volume whose voxels are replaced when the job succeeds; a new one when None.
            name: of a new output; default: the input's name and "SR".
            maps: further volumes to make: names of `medsr.maps.MAPS`, such as "error".
            reference: volume node (or image file) whose grid the output takes.
            all_frames: of a volume that shows a frame of a sequence, super-resolve all frames, into a new sequence. The
                profiles that are found in the voxels of the frame that is shown count for all.
            progress: called with the job at every step, on the main thread.
            completed: called once with the job when it has ended, however it ended: look at ``job.state``.
            **options: as for the command line: ``scale=2``, ``spacing=(1, 1, 1)``, ``isotropic=True``,
                ``model="tikhonov"``, ``slice_thickness=5``, ``device="cpu"``, ``memory="6GB"``, ...

        Returns:
            The job: ``state``, ``fraction``, ``output``, ``report``, ``cancel()``.

        Raises:
            SceneError: a node that cannot be used so.
            medsr.errors.MedSRError: options that make no sense, for this volume or at all.
            SuperResolutionError: the worker cannot be started.
            InstallError: the model needs packages that are not there.
        """
        ensureCore()
        from medsr.inference.calibration import calibration_for

        maps = namesOf(maps, "maps")
        for callback, argument in ((progress, "progress"), (completed, "completed")):
            checkCallback(callback, argument)
        chosen = self._checkedOptions(volumeNode, output, maps, reference, options)
        frames = self._checkedFrames(volumeNode, output, maps) if all_frames else None
        planned = self.planner.plan(volumeNode, chosen, reference)
        if any(Maps.declared()[mapName].needs_calibration for mapName in maps):
            calibration_for(planned.plan)  # raises where there is none
        if self._prepare is not None:
            self._prepare(planned.plan)
        folder = Path(tempfile.mkdtemp(prefix="medsr-", dir=temporaryFolder()))
        mapFiles = {mapName: str(folder / f"{mapName}.nrrd") for mapName in maps}
        alike = ScenePlan.foundOptions(planned.plan, chosen) if frames else chosen

        def lineOf(voxels: Any) -> str:
            return self._writeInput(volumeNode, voxels, folder, reference, alike, planned, mapFiles)

        name = name or f"{volumeNode.GetName()} SR"
        named: dict[str, Any] = {"name": name, "progress": progress, "completed": completed}
        job: SceneJob = (
            SequenceJob(volumeNode, folder, frames, lineOf, planned.plan, **named)
            if frames
            else SceneJob(volumeNode, folder, outputNode=output, mapFiles=mapFiles, **named)
        )
        job.timing, job.told = self.timing, planned.plan.estimate()["seconds"] * (frames.count if frames else 1)
        self._moveWorker()
        with job.endedByErrors():
            line = lineOf(frames.volumes()[0] if frames else volumeNode)
            self._jobs.append(job)
            job.submit(self.runner, line)
        return job

    def superResolve(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, **arguments: Any
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """Super-resolve a volume and wait for it, with the application alive.

        Args:
            volumeNode: the input; it is not changed.
            **arguments: as for `start`.

        Returns:
            The output volume.

        Raises:
            SuperResolutionError: the job failed; the text says why. Nothing was changed.
            JobCancelled: it was cancelled.
            And what `start` raises.
        """
        job = self.start(volumeNode, **arguments)
        self.wait(job)
        job.raiseUnlessDone()
        return job.output

    def expectedSeconds(self, told: float, model: str) -> float:
        """Seconds from the click to the result, on this computer; `told` is the library's estimate of the work."""
        return self.timing.expected(told, model, isWarm=self.runner.workerPid is not None)

    def wait(self, job: SceneJob) -> None:
        """Return when the job has ended; the application stays alive."""
        self.runner.wait(job, self._processEvents)

    def cancelAll(self, reason: str = "") -> None:
        """Cancel every job that is not finished."""
        for job in reversed(self.jobs):
            job.cancel(reason)

    def shutdown(self) -> None:
        """Cancel everything and end the worker."""
        self.runner.shutdown()

    def _checkedOptions(
        self, volumeNode: Any, output: Any, maps: Sequence[str], reference: Any, options: Mapping[str, Any]
    ) -> Any:
        """The options after everything that can be known before the work; raises for what cannot be done."""
        from medsr.options import UpscaleOptions

        if volumeNode is not None:
            checkNode(volumeNode, "volumeNode")
        array = SceneIO.checkedArray(volumeNode)
        if volumeNode.GetScene() is None:
            raise SceneError(_("The volume is in no scene. Add it first."))
        if output is not None:
            self._checkOutput(output, volumeNode, isColour=array.ndim == 4)
        known = Maps.declared()
        unknown = sorted(set(maps) - set(known))
        if unknown:
            raise SceneError(
                _("There is no map called {name}. Available: {known}.").format(name=unknown[0], known=", ".join(known))
            )
        if maps and array.ndim == 4:
            raise SceneError(_("Maps are made of grey images; {name} is RGB.").format(name=volumeNode.GetName()))
        if reference is not None and not isinstance(reference, str):
            checkNode(reference, "reference", what=_("a volume node or the path of an image file"))
        return ScenePlan.optionsOf(checkedTypes(UpscaleOptions, options, ("scale", "spacing", "memory")), reference)

    @staticmethod
    def _checkOutput(output: Any, volumeNode: Any, isColour: bool) -> None:
        """Raise SceneError for a node that cannot take the result."""
        checkNode(output, "output")
        if output.GetID() == volumeNode.GetID():
            raise SceneError(_("The output is the input itself. Choose another volume, or a new one."))
        wanted = SceneIO.IMAGE_CLASSES[isColour]
        if output.GetClassName() != wanted:
            raise SceneError(
                _(
                    "{name} cannot take the result: it is a {kind}, and a {wanted} is needed. Choose another output, "
                    "or a new one."
                ).format(name=output.GetName(), kind=output.GetClassName(), wanted=wanted)
            )

    @staticmethod
    def _checkedFrames(volumeNode: Any, output: Any, maps: Sequence[str]) -> Sequences.Frames:
        frames = Sequences.framesOf(volumeNode)
        if frames is None:
            raise SceneError(
                _("{name} shows no frame of a sequence. Leave out all_frames.").format(name=volumeNode.GetName())
            )
        if output is not None or maps:
            raise SceneError(_("All frames make a new sequence, without maps. Leave out output and maps."))
        return frames

    def _writeInput(
        self, volumeNode: Any, voxels: Any, folder: Path, reference: Any, chosen: Any, planned: Any,
        mapFiles: Mapping[str, str],
    ) -> str:  # fmt: skip
        """Write the files of a job; return its JSON line. What the files cannot say of the input stands in the line.

        `voxels` is the node that is written: `volumeNode`, or one of its frames.
        """
        import dataclasses

        from medsr.jobs import JobSpec

        SceneFiles.writeNrrd(voxels, folder / "input.nrrd")
        if reference is not None and not isinstance(reference, str):
            grid = folder / ScenePlan.REFERENCE_FILE
            SceneFiles.writeGrid(reference, volumeNode, grid)
            chosen = dataclasses.replace(chosen, reference=str(grid))
        spec = JobSpec(
            str(folder / "input.nrrd"), str(folder / RESULT_FILE), chosen, maps=dict(mapFiles),
            facts=planned.facts, warnings=planned.warnings,
        )  # fmt: skip
        return spec.to_json()

    def _moveWorker(self) -> None:
        """Let a warm worker of another interpreter go."""
        if self._runningPath != self.interpreterPath:
            self.runner.releaseWorker()

    def _startWorker(self) -> WorkerProcess:
        interpreter = chosenInterpreter(self.interpreterPath)
        self._runningPath = self.interpreterPath
        return interpreter.startWorker()


def temporaryFolder() -> str | None:
    """Slicer's temporary folder, else the system's."""
    application = getattr(slicer, "app", None)
    folder = getattr(application, "temporaryPath", None) if application is not None else None
    return folder if isinstance(folder, str) and folder and Path(folder).is_dir() else None
