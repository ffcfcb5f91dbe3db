"""The job that fuses stacks, and what can be asked of it. Light, so that a worker answers at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import ClassVar

from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.fields import check_fields
from medsr.jobs import job_object
from medsr.options import UpscaleOptions

OPTIONS = ("spacing", "modality", "slice_thickness", "memory", "dtype", "not_labels")
"""Fields of `UpscaleOptions` that mean something here."""

_NO_JOB = "This is not a job that fuses stacks"


@dataclass(frozen=True)
class FuseSpec:
    """Stacks to be fused into one file.

    Attributes:
        inputs: image files, DICOM files or DICOM folders; the first gives the field and the orientation.
        output: file to write.
        options: how; those of `OPTIONS`.
        series: for each input the DICOM series to take (UID, or number in the list that the error shows), or empty.
        report: file for the JSON report, or None.
        networks: let the networks of an upscaling look at each stack, too.
        overwrite: replace files that exist.
    """

    job: ClassVar[str] = "fuse"

    inputs: tuple[str, ...]
    output: str
    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    series: tuple[str, ...] = ()
    report: str | None = None
    networks: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_options(self.options)
        if self.series and len(self.series) != len(self.inputs):
            raise InvalidValueError(
                f"{len(self.series)} series were given for {len(self.inputs)} inputs: give one for each, in that order."
            )

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({"job": self.job, **values, "options": self.options.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> FuseSpec:
        """Read a job.

        Raises:
            InputError: text that is none, or without `inputs` or `output`.
            UnknownNameError, InvalidValueError: a field or option of a name or type that such a job does not have.
        """
        data = job_object(text)
        if data.pop("job", None) != cls.job:
            raise InputError(f"{_NO_JOB}: its job is not {cls.job!r}.")
        options = data.get("options", {})
        if not isinstance(options, dict):
            raise InputError(f"{_NO_JOB}: options must be an object.")
        given = check_fields(cls, data, "field of a job that fuses stacks", skip=("options",))
        for name in ("inputs", "output"):
            if name not in given:
                raise InputError(f"{_NO_JOB}: {name!r} is missing.")
        taken = check_fields(UpscaleOptions, options, "option", skip=("spacing",))
        return cls(**{**given, "options": UpscaleOptions(**taken)})


def check_options(options: UpscaleOptions) -> None:
    """Raise UnknownNameError for an option that fusing does not have, InvalidValueError for three spacings."""
    for name in options.to_dict():
        if name not in OPTIONS:
            raise unknown_name("option of fusing", name, OPTIONS)
    if options.spacing is not None and len(set(options.spacing)) > 1:
        given = ", ".join(f"{s:g}" for s in options.spacing)
        raise InvalidValueError(f"The fused volume is isotropic: --spacing takes one number, got {given}.")
