"""The Python call: any kind of image in, a Result out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from medsr.errors import InvalidValueError
from medsr.inference.pipeline import Result
from medsr.inference.pipeline import super_resolve as run_pipeline
from medsr.io import read_geometry, read_volume
from medsr.jobs import Progress
from medsr.options import UpscaleOptions
from medsr.volume import Volume

Image: TypeAlias = "Volume | sitk.Image | str | Path | NDArray[np.generic]"


def super_resolve(
    image: Image,
    *,
    affine: ArrayLike | None = None,
    space: str = "LPS",
    series: str | None = None,
    progress: Progress | None = None,
    maps: tuple[str, ...] = (),
    **options: Any,
) -> Result:
    """Super-resolve a volume and say how.

    Args:
        image: a Volume, a SimpleITK image, the path of a file or DICOM folder, or an array ``(z, y, x)``.
        affine: for an array: 4 x 4, voxel index (x, y, z) to patient millimetres.
        space: "LPS" or "RAS", the patient axes that `affine` leads to.
        series: for a DICOM folder with several series: which.
        progress: receives stages, fractions and warnings, and may cancel.
        maps: further volumes to make, by the names of `medsr.maps.MAPS`: "error", "difference", "residual".
        **options: fields of `UpscaleOptions`: ``scale=2``, ``spacing=(1, 1, 1)``, ``model="tikhonov"``, ...

    Returns:
        Result with ``volume``, ``report`` and ``maps``.

    Raises:
        MedSRError: with a text for people; see `medsr.errors` for the kinds.

    Example:
        >>> result = medsr.super_resolve("brain.nii.gz", scale=2)
        >>> medsr.write_volume(result.volume, "brain_sr.nii.gz")
    """
    chosen = UpscaleOptions.from_dict(options)
    if affine is not None and not isinstance(image, np.ndarray):
        raise InvalidValueError("An affine is for arrays only: a volume, image or file has its own.")
    reference = None if chosen.reference is None else read_geometry(chosen.reference)
    return run_pipeline(to_volume(image, affine, space, series), chosen, progress, reference=reference, maps=maps)


def to_volume(image: Image, affine: ArrayLike | None = None, space: str = "LPS", series: str | None = None) -> Volume:
    """A Volume of whatever `super_resolve` accepts."""
    if isinstance(image, Volume):
        return image
    if isinstance(image, sitk.Image):
        return Volume.from_sitk(image, source="SimpleITK image")
    if isinstance(image, np.ndarray):
        return Volume.from_array(image, affine, space)
    if isinstance(image, str | Path):
        return read_volume(image, series=series, as_acquired=True)
    raise InvalidValueError(
        f"An image is a Volume, a SimpleITK image, a path or a numpy array, got {type(image).__name__}."
    )
