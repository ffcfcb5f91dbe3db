"""The job from file to file where the file holds several volumes (fMRI, DCE, DWI): frame by frame, with one plan.

One frame is in memory at a time. The first one decides what is done, so that all of them are enlarged alike and what
changes from one to the next is the patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.errors import InvalidValueError, MedSRError
from medsr.geometry import Geometry
from medsr.inference.pipeline import Result, super_resolve
from medsr.inference.planner import make_plan
from medsr.io.companions import beside
from medsr.io.formats import suffix_of
from medsr.io.frames import Frames
from medsr.io.outputs import check_apart, check_text_output
from medsr.jobs import JobSpec, Progress
from medsr.methods.plan import Plan
from medsr.notices import Notice
from medsr.volume import Volume

Prepare = Callable[[Volume], Volume]


class FrameJob:
    """The enlarging of every frame of a file.

    Args:
        spec: the job.
        frames: its input.
        prepare: adds what else is known of a volume.

    Attributes:
        texts: files that belong beside the output -> what they hold.
        report: of the whole job, once every frame was taken.

    Raises:
        InvalidValueError: maps, or an output that does not hold several volumes.
        InputError: b-values or directions that do not fit.
    """

    def __init__(self, spec: JobSpec, frames: Frames, prepare: Prepare) -> None:
        self._spec, self._frames, self._prepare = spec, frames, prepare
        self.report: dict[str, Any] = {}
        output = Path(spec.output)
        if spec.maps:
            raise InvalidValueError(
                f"Maps are made of single volumes; {frames.source.name!r} holds {frames.count}. Extract the one to "
                "look at, or leave --map out."
            )
        if spec.format is not None or suffix_of(output) not in (".nii", ".nii.gz"):
            kind = spec.format or suffix_of(output)
            raise InvalidValueError(
                f"{frames.count} volumes in one file are written as .nii or .nii.gz, not as {kind}."
            )
        found = frames.companions()
        self.texts = {beside(output, extension): text for extension, text in found.items()}
        for path in self.texts:
            check_text_output(path, overwrite=spec.overwrite)
        written = [output, *self.texts, *([Path(spec.report)] if spec.report else [])]
        check_apart(written, [frames.source, *(path for ending, path in frames.beside.items() if ending in found)])

    def results(self, progress: Progress, reference: Geometry | None) -> Iterator[Volume]:
        """The enlarged frames, one after the other; each is computed when it is asked for.

        Raises:
            MedSRError: as `super_resolve`, with the frame named.
        """
        started, told = time.perf_counter(), set[str]()
        plan: Plan | None = None
        reports: list[Mapping[str, Any]] = []
        for number, frame in enumerate(self._frames):
            progress.stage(f"Frame {number + 1} of {self._frames.count}")
            part = _FrameProgress(progress, number, self._frames.count, told)
            try:
                volume = self._prepare(frame)
                volume.check_usable(labels_allowed=self._spec.options.not_labels)
                if plan is None:
                    plan = make_plan(volume, self._spec.options, reference, runnable=True)
                    self._check_directions(plan)
                result: Result = super_resolve(volume, self._spec.options, part, reference=reference, plan=plan)
            except MedSRError as error:
                raise type(error)(f"Frame {number + 1} of {self._frames.count}: {error}") from error
            reports.append(result.report)
            yield result.volume
        self.report = _together(reports, time.perf_counter() - started)

    def _check_directions(self, plan: Plan) -> None:
        """Directions of diffusion are told along the axes of the image."""
        turned = not plan.target.output.is_parallel_to(plan.target.source.upright)
        if turned and any(path.suffix == ".bvec" for path in self.texts):
            raise InvalidValueError(
                "The reference is turned against the input, along whose axes the .bvec tells its directions. Choose a "
                "--spacing or --scale, or a reference that is not turned."
            )


class _FrameProgress(Progress):
    """The progress of one of many frames: its stages are not told, and each warning once."""

    def __init__(self, whole: Progress, number: int, count: int, told: set[str]) -> None:
        super().__init__()
        self._whole, self._number, self._count, self._told = whole, number, count, told
        self.tells_time = number == 0

    def check(self) -> None:
        self._whole.check()

    def unheard(self) -> Progress:
        return self._whole.unheard()

    def stage(self, name: str) -> None:
        self._whole.check()

    def warn(self, warning: Notice | str) -> None:
        if str(warning) not in self._told:
            self._told.add(str(warning))
            self._whole.warn(warning)

    def expect(self, seconds: float) -> None:
        self._whole.expect(seconds * self._count)

    def at(self, fraction: float) -> None:
        self._whole.at((self._number + min(fraction, 1.0)) / self._count)


def _together(reports: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """One report of all frames: of the first, with the worst residual and every warning."""
    worst = max(reports, key=lambda report: float(report["consistency"]["residual"]))
    warnings = {one["text"]: one for report in reports for one in report["warnings"]}
    return {
        **reports[0],
        "frames": len(reports),
        "consistency": worst["consistency"],
        "warnings": list(warnings.values()),
        "seconds": round(seconds, 3),
    }
