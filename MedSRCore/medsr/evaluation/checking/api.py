"""The Python call: a result and another series in, what the one says of the other out."""

from __future__ import annotations

from pathlib import Path

from medsr.api import Image, to_volume
from medsr.errors import InvalidValueError
from medsr.evaluation.checking.original import find_original
from medsr.evaluation.checking.run import Check, check_volumes
from medsr.inference.pipeline import Result
from medsr.jobs import Progress


def check(
    result: Result | Image, against: Image, original: Image | None = None, *, progress: Progress | None = None
) -> Check:
    """Say how much of the detail that a super-resolution added another series of the patient confirms.

    Args:
        result: what `medsr.super_resolve` gave, a Volume, a SimpleITK image or a path.
        against: the other series: a stack that crosses the slices of the input, or a finer one.
        original: what the result was made of; may be left out for the path of a result with its report beside it.
        progress: receives stages, fractions and warnings, and may cancel.

    Returns:
        Check with ``report`` (JSON-ready; ``report["sentence"]`` is what a person reads) and ``map``, a Volume on the
        grid of the result: the share of added detail that is confirmed, from -1 to 1, and -2 where it cannot be judged.

    Raises:
        InputError: series of different patients, places or images, or that allow no check; the text says why.
        InvalidValueError: no original, for a result that is no path.
        CancelledError: `progress` said stop.

    Example:
        >>> found = medsr.check("axial_sr.nii.gz", "sagittal.nii.gz", "axial.nii.gz")
        >>> found.report["confirmed_percent"]
    """
    volume = result.volume if isinstance(result, Result) else to_volume(result)
    if original is None:
        if not isinstance(result, str | Path):
            raise InvalidValueError("Give the original as well: it is found by itself only for the path of a result.")
        original = find_original(Path(result), volume.geometry.size_xyz)
    return check_volumes(volume, to_volume(against), to_volume(original), progress)
