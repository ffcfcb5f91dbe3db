"""The demonstration: a real brain is made coarse, enlarged again, and compared with the truth on one page.

The brain comes with the Python package nilearn, which carries it inside its wheel: nothing is downloaded here, and
nilearn itself is not imported.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from medsr.errors import MissingDependencyError, OutputError
from medsr.evaluation.page import Source, render_page
from medsr.evaluation.plates import Plate, make_plate
from medsr.evaluation.protocols import central_crop
from medsr.evaluation.rows import EvaluationTable, Row
from medsr.evaluation.run import Enlarge, Trial, evaluate
from medsr.evaluation.tables import to_csv, to_json
from medsr.jobs import Progress
from medsr.volume import Volume

TEMPLATE = Path("datasets", "data", "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")
CASES = ("z4", "k2")
"""Thick slices of a 2D scan, and a 3D scan of half the matrix."""

CROP_XYZ = (144, 180, 96)
"""Whole axial slices, few enough for two CPU cores: about 2.5 million voxels."""

_YARDSTICKS = ("linear", "bspline", "tikhonov")
_NAME = "ICBM 152"
_SOURCES = (
    Source(
        "Brain volume:",
        "ICBM 152 nonlinear symmetric template, version 2009a, skull-stripped T1, average of 152 adults, as carried by "
        "the Python package nilearn. Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre, Montreal "
        "Neurological Institute, McGill University; its authors permit use, copying, modification and distribution for "
        "any purpose without fee where this notice appears, and give no warranty. V. Fonov et al., Unbiased average "
        "age-appropriate atlases for pediatric studies, NeuroImage 54(1), 2011, doi:10.1016/j.neuroimage.2010.07.033.",
        "https://nist.mni.mcgill.ca/icbm-152-nonlinear-atlases-2009/",
    ),
)


def run_demo(
    folder: Path,
    *,
    model: str = "auto",
    crop: bool = True,
    progress: Progress | None = None,
    enlarge: Enlarge | None = None,
) -> Path:
    """Degrade a brain, enlarge it with interpolation, deconvolution and a network, and write a page about it.

    Args:
        folder: where to write ``index.html``, the figures and, per case, input, reference and results as NIfTI.
            Made if needed; files of an earlier demonstration are replaced.
        model: the network to show, or "auto" for what MedSR would choose.
        crop: take the central part only, for a minute of work on two CPU cores.
        progress: receives the stages; can stop the work.
        enlarge: replaces the inference.

    Returns:
        The page.

    Raises:
        MissingDependencyError: nilearn is not installed, or holds no template.
        OutputError: the folder cannot be written.
        CancelledError: the person stopped the work.
    """
    brain = load_template()
    if crop:
        brain = central_crop(brain, CROP_XYZ)
    started = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error}. Choose another one.") from error
    plates: list[Plate] = []
    rows: list[Row] = []

    def watch(trial: Trial) -> None:
        trial = _with_real_names(trial)
        plates.append(make_plate(trial))
        rows.extend(trial.rows)
        _write_volumes(folder / trial.case, trial)

    models = list(dict.fromkeys((*_YARDSTICKS, model)))
    evaluate({_NAME: brain}, models, CASES, progress=progress, watch=watch, enlarge=enlarge)
    table = EvaluationTable(tuple(rows))
    seconds = time.perf_counter() - started
    page = folder / "index.html"
    html = render_page(
        table,
        plates,
        title="MedSR demonstration",
        introduction=_introduction(seconds, cropped=crop),
        sources=_SOURCES,
    )
    _write_text(folder / "figures.csv", to_csv(table))
    _write_text(folder / "figures.json", to_json(table))
    _write_text(page, html)
    return page


def find_template() -> Path:
    """The template inside nilearn; raise MissingDependencyError when it is not there."""
    # Only located: importing nilearn would need scikit-learn and pandas for one file.
    spec = importlib.util.find_spec("nilearn")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place) / TEMPLATE
        if path.is_file():
            return path
    found = "holds no ICBM 152 template" if spec is not None else "is not installed"
    raise MissingDependencyError(
        f"The demonstration uses the brain volume inside the package nilearn, which {found}. "
        "Install it with: pip install nilearn"
    )


def load_template() -> Volume:
    """The template as a volume, cropped to the brain."""
    image = sitk.ReadImage(str(find_template()), sitk.sitkFloat32)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image > 0)
    x, y, z, width, depth, height = statistics.GetBoundingBox(1)
    brain = sitk.RegionOfInterest(image, (width, depth, height), (x, y, z))
    return Volume.from_sitk(brain, modality="MR", source="nilearn: ICBM 152 2009a, nonlinear symmetric, T1")


def _with_real_names(trial: Trial) -> Trial:
    """The trial with "auto" replaced by the model it stood for, so that the page names it."""
    real = {row.model: row.model_used for row in trial.rows if row.model == "auto" and row.model_used}
    if any(name in trial.results for name in real.values()):  # auto fell back on a model that is shown anyway
        return trial
    return dataclasses.replace(
        trial,
        results={real.get(model, model): result for model, result in trial.results.items()},
        rows=tuple(dataclasses.replace(row, model=real.get(row.model, row.model)) for row in trial.rows),
    )


def _introduction(seconds: float, *, cropped: bool) -> Sequence[str]:
    part = "the central part of " if cropped else ""
    return (
        f"A real brain volume of 1 mm ({part}the ICBM 152 template) was made coarse as a scanner would have measured "
        "it: once with slices of 4 mm (z4: 2D MR with a slice profile), once with voxels of 2 mm (k2: 3D MR, whose "
        "spectrum ends). Each method then enlarged the coarse volume to 1 mm without having seen the original, and is "
        "compared with it. They were told the thickness of the slices, as headers do, and nothing of the 3D scan.",
        "Look at the folds of the cortex in the detail view, and at the difference maps: black is right. The template "
        "is an average of 152 people and therefore smoother than the scan of one: gains on your own images may differ. "
        f"All of this took {seconds:.0f} s.",
    )


def _write_volumes(folder: Path, trial: Trial) -> None:
    """Input, reference and results of a case, to be opened in any viewer."""
    try:
        folder.mkdir(exist_ok=True)
        volumes = {"reference": trial.reference, "input": trial.measured}
        volumes.update({f"output_{model}": result for model, result in trial.results.items()})
        for name, volume in volumes.items():
            sitk.WriteImage(volume.to_sitk(), str(folder / f"{name}.nii.gz"))
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        raise OutputError(f"The volumes of the demonstration cannot be written to {folder}: {error}.") from error


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}.") from error
