"""Enhance, segment, bring the labels back, for a whole folder of images as nnU-Net takes them, by one run of a program.

``imagesTs/CASE_0000.nii.gz``, ``_0001``, ...: a file for each channel, all channels of a case on one grid.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from medsr.augmentation.channels import enlarge_channels, on_one_grid
from medsr.augmentation.datasets.paths import writable_folder
from medsr.augmentation.segmenting import bring_back, command_words, filled, run_command, with_place
from medsr.errors import InputError, InvalidValueError, ModelError
from medsr.geometry import Geometry
from medsr.io import Staging, read_geometry, read_volume, stage_volume, write_volume
from medsr.io.formats import PLANAR_ONLY, READABLE, WRITABLE
from medsr.io.outputs import check_output
from medsr.jobs import Progress, ResultEvent
from medsr.options import UpscaleOptions
from medsr.volume import Volume

# Not of DICOM, whose files may be called IM_0001.dcm: a folder of these is one image.
_CHANNEL = re.compile(rf"(.+)_(\d{{4}})({'|'.join(map(re.escape, WRITABLE))})")
_ENHANCED, _SEGMENTED = 0.6, 0.9


def is_folder_of_cases(source: str) -> bool:
    """True for a folder that holds images named as nnU-Net names them."""
    return Path(source).is_dir() and any(_CHANNEL.fullmatch(file.name) for file in Path(source).iterdir())


def cases_of(folder: Path) -> dict[str, list[Path]]:
    """The channels of each case in a folder of images named as nnU-Net names them; none where there are no such.

    Raises:
        InputError: cases with different numbers of channels.
    """
    cases: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        match = _CHANNEL.fullmatch(file.name)
        if match and file.is_file() and not file.name.startswith("."):
            cases.setdefault(match[1], []).append(file)
    most = max(map(len, cases.values()), default=0)
    for name, files in cases.items():
        if len(files) < most:
            raise InputError(f"Case {name!r} of {folder.name!r} has {len(files)} channels, others have {most}.")
    return cases


def segment_folder(
    source: str, output: str, command: str, options: UpscaleOptions, progress: Progress, *, overwrite: bool = False
) -> ResultEvent:
    """Label maps of all cases in a folder, on the grids of their images.

    Args:
        source: folder of images ``CASE_0000.nii.gz``, ``CASE_0001.nii.gz``, ...
        output: folder of the label maps ``CASE.nii.gz``.
        command: the program, run once; it names ``{image_folder}`` and ``{labels_folder}``.
        options: how to enhance.
        progress: receives stages, fractions and warnings, and may cancel.
        overwrite: replace label maps that are there.

    Returns:
        The folder, and a report: ``cases``, names of the label maps that were written.

    Raises:
        MedSRError: no label map was written.
    """
    words = command_words(command)
    if not all(any(place in word for word in words) for place in ("{image_folder}", "{labels_folder}")):
        raise InvalidValueError("For a folder of images the command names {image_folder} and {labels_folder}.")
    cases = cases_of(Path(source))
    if not cases:
        raise InputError(f"{source!r} holds no images such as case_0000.nii.gz.")
    if Path(output).resolve() == Path(source).resolve():
        raise InvalidValueError("The output is the folder of the images. Give another one.")
    reference = None if options.reference is None else read_geometry(options.reference)
    outputs = {name: Path(output) / f"{name}{_ending(files[0])}" for name, files in cases.items()}
    writable_folder(Path(output))
    for path in outputs.values():
        check_output(path, overwrite=overwrite)
    # Enhanced images take space; where the labels go there should be some.
    with tempfile.TemporaryDirectory(prefix=".medsr-", dir=output) as scratch:
        images, labels = Path(scratch) / "images", Path(scratch) / "labels"
        for folder in (images, labels):
            folder.mkdir()
        grids: dict[str, tuple[Geometry, Geometry]] = {}
        for number, (name, files) in enumerate(cases.items()):
            progress.stage(f"Enhancing {number + 1} of {len(cases)}: {name}")
            grids[name] = _enhance(name, files, images, options, reference)
            progress.at(_ENHANCED * (number + 1) / len(cases))
        progress.stage("Segmenting the enhanced images")
        run_command(filled(words, {"image_folder": str(images), "labels_folder": str(labels)}))
        progress.at(_SEGMENTED)
        progress.stage("Bringing the labels back")
        with Staging(overwrite=overwrite) as staging:
            for name, (grid, fine) in grids.items():
                found = with_place(read_volume(_found(labels, name)), fine)
                stage_volume(bring_back(found, grid), outputs[name], staging)
    progress.at(1.0)
    return ResultEvent(output, {"cases": list(cases), "output_folder": output})


def _enhance(
    name: str, files: list[Path], folder: Path, options: UpscaleOptions, reference: Geometry | None
) -> tuple[Geometry, Geometry]:
    """Write the enhanced channels of a case; their grid before and after."""
    read = [read_volume(file) for file in files]
    try:
        volumes = on_one_grid(read, [file.name for file in files])
        made: list[Volume] = enlarge_channels(volumes, options, reference=reference)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    for number, volume in enumerate(made):
        write_volume(volume, folder / f"{name}_{number:04d}{_ending(files[0])}")
    return volumes[0].geometry, made[0].geometry


def _ending(file: Path) -> str:
    """Of what is written for `file`: its own, where that is without loss."""
    match = _CHANNEL.fullmatch(file.name)
    ending = match[3] if match else ""
    if ending in PLANAR_ONLY:
        return ".png"
    return ending if ending in WRITABLE else ".nii.gz"


def _found(folder: Path, name: str) -> Path:
    for ending in READABLE:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise ModelError(f"The segmenter wrote no label map of {name!r}. It should write {name}.nii.gz into its folder.")
