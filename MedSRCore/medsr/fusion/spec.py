"""The job that fuses stacks, and what can be asked of it. Light, so that a worker answers at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import ClassVar

from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.facts import Facts
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
        names: for each input what to call it, or empty.
        facts: for each input what is known of the acquisition beside what it says itself, or empty.
        headers: for each input the DICOM file that its voxels are from, where the input itself does not say whose it
            is and where; or empty.
    """

    job: ClassVar[str] = "fuse"

    inputs: tuple[str, ...]
    output: str
    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    series: tuple[str, ...] = ()
    report: str | None = None
    networks: bool = False
    overwrite: bool = False
    names: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()
    headers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_options(self.options)
        for name in ("series", "names", "facts", "headers"):
            count = len(getattr(self, name))
            if count not in (0, len(self.inputs)):
                raise InvalidValueError(
                    f"{count} {name} were given for {len(self.inputs)} inputs: give one for each, in that order."
                )

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {"options": self.options.to_dict(), "facts": [facts.to_json() for facts in self.facts]}
        return json.dumps({"job": self.job, **values, **plain})

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
        options, facts = data.get("options", {}), data.get("facts", [])
        if not isinstance(options, dict):
            raise InputError(f"{_NO_JOB}: options must be an object.")
        if not isinstance(facts, list):
            raise InputError(f"{_NO_JOB}: facts must be a list, with a list for each input.")
        given = check_fields(cls, data, "field of a job that fuses stacks", skip=("options", "facts"))
        for name in ("inputs", "output"):
            if name not in given:
                raise InputError(f"{_NO_JOB}: {name!r} is missing.")
        taken = check_fields(UpscaleOptions, options, "option", skip=("spacing",))
        told = tuple(Facts.from_json(each) for each in facts)
        return cls(**{**given, "options": UpscaleOptions(**taken), "facts": told})


def check_options(options: UpscaleOptions) -> None:
    """Raise UnknownNameError for an option that fusing does not have, InvalidValueError for three spacings."""
    for name in options.to_dict():
        if name not in OPTIONS:
            raise unknown_name("option of fusing", name, OPTIONS)
    if options.spacing is not None and len(set(options.spacing)) > 1:
        given = ", ".join(f"{s:g}" for s in options.spacing)
        raise InvalidValueError(f"The fused volume is isotropic: --spacing takes one number, got {given}.")
