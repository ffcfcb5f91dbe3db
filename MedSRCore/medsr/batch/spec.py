"""What a person can ask for: several inputs, or everything that is in a folder, enlarged alike into a folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from medsr.errors import InvalidValueError
from medsr.options import UpscaleOptions


@dataclass(frozen=True)
class BatchSpec:
    """Many super-resolutions with the same options.

    Attributes:
        inputs: image files, DICOM files and folders.
        output: folder for the results.
        options: how; the same for each.
        everything: of a folder among the inputs, each series and each image file below it, in place of its one series.
        overwrite: replace results that were made otherwise, and files that are there.
        format: "dicom" for series derived from those of the inputs; None for the format of each input.
        anonymize: of DICOM series, leave out who the patient is.
        workers: processes that work side by side; 0 for as many as memory and cores allow.
        cluster: address of a Dask scheduler, "local", or None.

    Raises:
        InvalidValueError: values that make no sense.
    """

    inputs: tuple[str, ...]
    output: str
    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    everything: bool = False
    overwrite: bool = False
    format: str | None = None
    anonymize: bool = False
    workers: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        if not self.inputs or not self.output:
            raise InvalidValueError("Give at least one input and the folder for the results.")
        if self.workers < 0:
            raise InvalidValueError(f"--workers takes a whole number of at least 0, got {self.workers}.")
        if self.anonymize and self.format != "dicom":
            raise InvalidValueError(
                "--anonymize is for --format dicom; other files hold nothing of the patient's header."
            )
