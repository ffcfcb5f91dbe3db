"""Enhance, segment, bring the labels back: a segmentation program meets a finer image, its labels fit the original."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.api import Image, to_volume
from medsr.augmentation.checks import overlap
from medsr.augmentation.labels import label_values, resample_labels
from medsr.catalog import PERCEPTUAL
from medsr.errors import InputError, InvalidValueError, ModelError
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.io import Staging, read_geometry, read_volume, stage_volume, write_volume
from medsr.io.formats import READABLE, suffix_of
from medsr.io.outputs import check_apart, check_output, files_of
from medsr.jobs import Progress, ResultEvent
from medsr.options import UpscaleOptions
from medsr.volume import Volume

Segmenter = Callable[[Volume], Volume | NDArray[np.generic]]
"""Takes the enhanced image, gives its label map: a Volume, or an array ``(z, y, x)`` on its grid."""

PLACES = ("image", "image_folder", "labels", "labels_folder")
"""What a command names in braces."""


def segment_with(image: Image, segmenter: Segmenter, *, progress: Progress | None = None, **options: Any) -> Volume:
    """The label map that `segmenter` finds in the enhanced image, on the grid of the image itself.

    Args:
        image: a Volume, a SimpleITK image, the path of a file or DICOM folder, or an array ``(z, y, x)``.
        segmenter: any function, such as a network's; for a program, ``command_segmenter``.
        progress: receives stages, fractions and warnings, and may cancel.
        **options: fields of `UpscaleOptions`, as for `medsr.super_resolve`: ``scale=2``, ``isotropic=True``, ...

    Returns:
        The label map. Every structure has the volume that it has in the enhanced image, as closely as whole voxels
        allow.

    Raises:
        MedSRError: with a text for people.

    Example:
        >>> labels = medsr.segment_with("thick.nii.gz", lambda fine: network(fine.array), isotropic=True)
        >>> medsr.write_volume(labels, "thick_labels.nii.gz")
    """
    chosen = UpscaleOptions.from_dict(options)
    reference = None if chosen.reference is None else read_geometry(chosen.reference)
    return _segmented(to_volume(image), segmenter, chosen, progress or Progress(), reference)[0]


def command_segmenter(command: str) -> Segmenter:
    """A segmenter that runs a program.

    Args:
        command: the program with its arguments, as in a shell but run without one. In braces it names what it reads
            and writes: ``{image}`` or ``{image_folder}``, and ``{labels}`` or ``{labels_folder}``. The image is called
            ``case_0000.nii.gz``, the labels ``case.nii.gz``, as nnU-Net wants them (``.png`` for pictures).

    Raises:
        InvalidValueError: a command that names no image or no labels.
    """
    words = command_words(command)

    def run(volume: Volume) -> Volume:
        ending = ".png" if volume.planar else ".nii.gz"
        with tempfile.TemporaryDirectory(prefix="medsr-") as scratch:
            folders = {kind: Path(scratch) / kind for kind in ("image", "labels")}
            for folder in folders.values():
                folder.mkdir()
            image, labels = folders["image"] / f"case_0000{ending}", folders["labels"] / f"case{ending}"
            write_volume(volume, image)
            values = (image, folders["image"], labels, folders["labels"])
            run_command(filled(words, dict(zip(PLACES, map(str, values), strict=True))))
            found = read_volume(_written(folders["labels"], labels))
        return with_place(found, volume.geometry)

    return run


def segment_file(
    source: str,
    output: str,
    command: str,
    options: UpscaleOptions,
    progress: Progress,
    *,
    overwrite: bool = False,
    series: str | None = None,
) -> ResultEvent:
    """`segment_with` from file to file, by a program.

    Args:
        source: image file or DICOM folder.
        output: file of the label map.
        command: as for `command_segmenter`.
        options: how to enhance.
        progress: as for `segment_with`.
        overwrite: replace a file that exists.
        series: for a DICOM folder with several series: which.

    Raises:
        MedSRError: nothing was written.
    """
    segmenter = command_segmenter(command)
    check_apart(files_of(Path(output)), [Path(source), *([Path(options.reference)] if options.reference else [])])
    check_output(output, overwrite=overwrite)
    progress.stage("Reading")
    image = read_volume(source, series=series)
    reference = None if options.reference is None else read_geometry(options.reference)
    labels, report = _segmented(image, segmenter, options, progress, reference)
    progress.stage("Writing")
    with Staging(overwrite=overwrite) as staging:
        stage_volume(labels, output, staging)
    voxel = float(np.prod(labels.geometry.spacing_xyz_mm))
    sizes = {value: round(float(np.count_nonzero(labels.array == value)) * voxel, 4) for value in label_values(labels)}
    sizes.pop(0, None)
    return ResultEvent(output, {"enhanced": report, "volumes_mm3": sizes, "output_file": output})


def _segmented(
    image: Volume, segmenter: Segmenter, options: UpscaleOptions, progress: Progress, reference: Geometry | None
) -> tuple[Volume, Mapping[str, Any]]:
    result = super_resolve(image, options, progress, reference=reference)
    if result.report["perceptual"]:
        progress.warn(PERCEPTUAL)
    progress.stage("Segmenting the enhanced image")
    fine = result.volume
    found = segmenter(fine)
    labels = found if isinstance(found, Volume) else _on_grid(np.asarray(found), fine)
    if labels.array.dtype.kind == "b":
        labels = labels.replace(array=labels.array.astype(np.uint8))
    progress.stage("Bringing the labels back")
    return bring_back(labels, image.geometry), result.report


def bring_back(labels: Volume, grid: Geometry) -> Volume:
    """Labels that were found in an enhanced image, on the `grid` of the image.

    Raises:
        InputError: they are no labels, or lie elsewhere.
    """
    label_values(labels)
    if not overlap(labels.geometry, grid):
        raise InputError(
            "The labels lie elsewhere than the image: the segmenter lost the place of the image in the patient. Let it "
            "copy the geometry of its input."
        )
    return resample_labels(labels.replace(warnings=()), grid)


def _on_grid(array: NDArray[np.generic], fine: Volume) -> Volume:
    if array.shape != fine.geometry.shape_zyx:
        raise InputError(
            f"The segmenter gave an array of shape {array.shape}; the enhanced image has {fine.geometry.shape_zyx}. "
            "Give labels on its grid, or a Volume."
        )
    return Volume(array, fine.geometry, planar=fine.planar)


def command_words(command: str) -> list[str]:
    """The words of a command; raises InvalidValueError where it names no image or no labels."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidValueError(f"The command {command!r} cannot be read: {error}.") from error
    for kind in ("image", "labels"):
        if not any(f"{{{kind}}}" in word or f"{{{kind}_folder}}" in word for word in words[1:]):
            raise InvalidValueError(
                f"The command {command!r} does not say where its {kind} go: write {{{kind}}} or {{{kind}_folder}}, for "
                "example 'nnUNetv2_predict -i {image_folder} -o {labels_folder} -d 501 -c 3d_fullres'."
            )
    return words


def filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The words of a command with `values` for what they name in braces."""
    found = []
    for word in words:
        for name, value in values.items():
            word = word.replace(f"{{{name}}}", value)
        found.append(word)
    return found


def run_command(words: list[str]) -> None:
    """Run a program; raises ModelError when that fails."""
    try:
        # What the program prints is no result of this one: to the standard error.
        ended = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=2, check=False)  # noqa: S603  as it was asked
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(f"The segmenter {words[0]!r} could not be started: {why}. Check its name.") from error
    if ended.returncode:
        raise ModelError(f"The segmenter {words[0]!r} failed with exit code {ended.returncode}; see above for why.")


def _written(folder: Path, expected: Path) -> Path:
    """The label map that the program wrote: as it was told, or the only image in the folder."""
    if expected.is_file():
        return expected
    images = [path for path in sorted(folder.iterdir()) if suffix_of(path) in READABLE]
    if len(images) == 1:
        return images[0]
    what = "no label map" if not images else f"{len(images)} images: {', '.join(path.name for path in images)}"
    raise ModelError(f"The segmenter wrote {what}. It should write {expected.name}, or one image into its folder.")


def with_place(labels: Volume, grid: Geometry) -> Volume:
    """Labels as they were read; those of a picture, whose file holds no place in the patient, where the picture is."""
    return labels.replace(geometry=grid) if labels.planar and labels.geometry.size_xyz == grid.size_xyz else labels
