"""The job that checks one result against another series of the patient. Light, so that a worker answers at once."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

from medsr.errors import InputError
from medsr.fields import check_fields
from medsr.jobs import job_object

_NO_JOB = "This is not a job that checks a result"


@dataclass(frozen=True)
class CheckSpec:
    """One result to be checked.

    Attributes:
        result: image file, DICOM file or DICOM folder of the super-resolved volume.
        against: likewise, the other series.
        input: what the result was made of; None to find it by a report beside the result.
        map: file for the map of what is confirmed, or None.
        picture: PNG file, or None.
        report: file for the JSON report, or None.
        series: DICOM series to take of `against` (UID, or number in the list that the error shows).
        input_series: the same of the input.
        overwrite: replace files that exist.
    """

    job: ClassVar[str] = "check"

    result: str
    against: str
    input: str | None = None
    map: str | None = None
    picture: str | None = None
    report: str | None = None
    series: str | None = None
    input_series: str | None = None
    overwrite: bool = False

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        return json.dumps({"job": self.job, **dataclasses.asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> CheckSpec:
        """Read a job.

        Raises:
            InputError: text that is none, or without `result` or `against`.
            UnknownNameError, InvalidValueError: a field of a name or type that such a job does not have.
        """
        data = job_object(text)
        if data.pop("job", None) != cls.job:
            raise InputError(f"{_NO_JOB}: its job is not {cls.job!r}.")
        given = check_fields(cls, data, "field of a job that checks a result")
        for name in ("result", "against"):
            if name not in given:
                raise InputError(f"{_NO_JOB}: {name!r} is missing.")
        return cls(**given)
