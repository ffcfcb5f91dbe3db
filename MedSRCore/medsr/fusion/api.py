"""The Python call: stacks in, one isotropic volume out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medsr.api import Image, to_volume
from medsr.errors import InvalidValueError
from medsr.fusion.run import fuse_volumes
from medsr.inference.pipeline import Result
from medsr.jobs import Progress
from medsr.options import UpscaleOptions


def fuse(
    stacks: Sequence[Image], *, networks: bool = False, progress: Progress | None = None, **options: Any
) -> Result:
    """Fuse several thick stacks of one sitting into one isotropic volume.

    Args:
        stacks: two or more Volumes, SimpleITK images, arrays or paths of files or DICOM folders, of one contrast; the
            first gives the field and the orientation.
        networks: let the networks of `super_resolve` look at each stack, too: 0.2 to 0.4 dB, for much more time.
        progress: receives stages, fractions and warnings, and may cancel.
        **options: ``spacing`` (default: the finest pixels of all), ``modality``, ``slice_thickness``, ``dtype``,
            ``memory``, ``not_labels``.

    Returns:
        Result with ``volume`` and ``report``.

    Raises:
        InputError: a stack that is none, or that does not go with the first; the text names it and says why.
        InvalidValueError, UnknownNameError: fewer than two stacks, or an option that makes no sense.
        ResourceError: not enough memory.
        CancelledError: `progress` said stop.

    Example:
        >>> result = medsr.fuse(["tra.nii.gz", "sag.nii.gz", "cor.nii.gz"])
        >>> medsr.write_volume(result.volume, "fused.nii.gz")
    """
    chosen = UpscaleOptions.from_dict(options)
    if isinstance(stacks, str) or not isinstance(stacks, Sequence):
        raise InvalidValueError("Give a list of stacks: medsr.fuse(['tra.nii.gz', 'sag.nii.gz']).")
    return fuse_volumes([to_volume(stack) for stack in stacks], chosen, progress, networks=networks)
