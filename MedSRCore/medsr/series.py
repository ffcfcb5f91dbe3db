"""The job that writes voxels of another program, such as a result in 3D Slicer, as a derived DICOM series.

What reads and writes is imported late, so that a worker answers before it is loaded.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from medsr.errors import InputError
from medsr.fields import check_fields
from medsr.jobs import Progress, ResultEvent, job_object


@dataclass(frozen=True)
class SeriesSpec:
    """One image file to be written as a series.

    Attributes:
        input: image file with the voxels.
        output: folder of the series.
        files: of the DICOM series that the voxels, or what they were made of, were read from.
        made_by: what made the voxels, as `medsr.inference.pipeline.provenance_text` says it.
        overwrite: replace a series that MedSR wrote there.
    """

    job: ClassVar[str] = "series"

    input: str
    output: str
    files: tuple[str, ...]
    made_by: str = ""
    overwrite: bool = False

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        return json.dumps({"job": self.job, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> SeriesSpec:
        """Read a job.

        Raises:
            InputError: text that is none, or without one of `input`, `output` and `files`.
            UnknownNameError, InvalidValueError: a field of a name or type that such a job does not have.
        """
        data = job_object(text)
        if data.pop("job", None) != cls.job:
            raise InputError("This is not a job that writes a DICOM series: its job is not 'series'.")
        given = check_fields(cls, data, "field of a job that writes a DICOM series")
        for name in ("input", "output", "files"):
            if name not in given:
                raise InputError(f"This is not a job that writes a DICOM series: {name!r} is missing.")
        return cls(**given)


def write_series(spec: SeriesSpec, progress: Progress) -> ResultEvent:
    """Do the job that `spec` describes.

    Raises:
        MedSRError: as `write_dicom`; nothing was written then.
    """
    from medsr.io import Staging, read_volume
    from medsr.io.dicom.writing import check_series_folder, source_for, stage_dicom
    from medsr.io.provenance import KEY

    check_series_folder(spec.output, overwrite=spec.overwrite)
    progress.stage("Reading")
    volume = read_volume(spec.input)
    made_by = {KEY: spec.made_by} if spec.made_by else {}
    volume = volume.replace(files=tuple(map(Path, spec.files)), metadata={**volume.metadata, **made_by})
    progress.stage("Writing")
    with Staging(overwrite=spec.overwrite) as staging:
        stage_dicom(volume, spec.output, staging, source_for(volume, anonymize=False))
        progress.check()
    return ResultEvent(spec.output)
