"""Checking one result against another series, from volumes to a report, a map and what a picture needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.evaluation.checking.alignment import SUSPECT, Aligned, View, align
from medsr.evaluation.checking.contrast import correlation
from medsr.evaluation.checking.evidence import usable_bands, weigh
from medsr.evaluation.checking.report import make_report
from medsr.evaluation.checking.verdict import Verdict, judge_added
from medsr.evaluation.real_choice import choose_test
from medsr.evaluation.run import shown
from medsr.io.dicom.kinship import same_frame, same_patient
from medsr.io.provenance import KEY
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.metrics import foreground_mask
from medsr.options import UpscaleOptions
from medsr.volume import Volume

Array = NDArray[np.float32]

_SAME_IMAGE = 0.5
"""Correlation of a result with the plain enlargement below which it was not made of that."""

_NOTHING = 1e-6
"""Share of the result's variation below which nothing was added."""


@dataclass(frozen=True)
class Check:
    """What another series says of a result.

    Attributes:
        report: JSON-ready; `sentence` is what a person reads first.
        map: on the grid of the result, the share of added detail that is confirmed, from -1 to 1; -2 where it cannot be
            judged.
        verdict: the same as numbers.
        aligned: both series as they were compared.
        added: what was added, as the other scanner would see it.
    """

    report: Mapping[str, Any]
    map: Volume
    verdict: Verdict
    aligned: Aligned
    added: Array


def check_volumes(result: Volume, against: Volume, original: Volume, progress: Progress | None = None) -> Check:
    """Say how much of the detail in `result` another series of the patient confirms.

    Args:
        result: a super-resolved volume.
        against: the other series, as measured.
        original: what the result was made of.
        progress: receives stages, fractions and warnings, and may cancel.

    Raises:
        InputError: volumes of different patients, places or images, or that allow no check; the text says why.
        CancelledError: `progress` said stop.
    """
    progress = progress or Progress()
    progress.stage("Checking the input")
    if KEY in against.metadata:
        raise InputError(
            "The other series was made by MedSR itself: it measured nothing, and cannot confirm detail. Give a series "
            "of the scanner."
        )
    is_same = _check_patients(result, against, original)
    frame = same_frame(against, original)
    for volume in (result, against, original):
        volume.check_usable(labels_allowed=True)
    original, against = (shown(volume, UpscaleOptions()) for volume in (original, against))
    view = View.of(choose_test(original, against), original.geometry, against.geometry)
    if frame is not False:
        # Before any work: do the fields meet at all?
        view.lattice(original.geometry, against.geometry)
    plain, added = _added(result, original, view)
    progress.at(0.1)
    progress.stage("Registering the two series")
    aligned = align(plain, original.geometry, against, view, same_frame=frame, progress=progress)
    progress.at(0.7)
    progress.stage("Comparing the detail")
    bands = usable_bands(aligned.lattice, aligned.uncertainty_mm)
    seen = aligned.lattice.see(added)
    progress.at(0.8)
    evidence = weigh(seen, aligned, bands, view.line_width_mm)
    progress.at(0.95)
    verdict = judge_added(added, aligned.lattice, evidence)
    warnings = _warnings(aligned, is_same, result.modality or original.modality)
    for warning in warnings:
        progress.warn(warning)
    report = make_report(verdict, aligned, view, same_patient=is_same, same_frame=frame, warnings=warnings)
    progress.at(1.0)
    return Check(report, verdict.map, verdict, aligned, seen)


def _check_patients(result: Volume, against: Volume, original: Volume) -> bool | None:
    """Whether all are of one patient, None where that is not stated; raises where they are not."""
    found = [same_patient(against, original), same_patient(against, result)]
    if False in found:
        raise InputError(
            "The two series are of different patients: name or identifier in their headers differ (they are not shown "
            "here). Give a series of the same patient."
        )
    return True if True in found else None


def _added(result: Volume, original: Volume, view: View) -> tuple[Volume, Volume]:
    """The plain enlargement of `original` on the grid of `result`, and what `result` adds to it."""
    if result.channels > 1 or result.planar:
        raise InputError("The result is a colour or a single slice; grey volumes are checked.")
    across = view.test.across
    normal = np.array(original.geometry.direction).reshape(3, 3)[:, across]
    steps = np.abs(np.array(result.geometry.direction).reshape(3, 3).T @ normal)
    step = result.geometry.spacing_xyz_mm[int(steps.argmax())]
    if step > 0.9 * view.test.apart_mm:
        raise InputError(
            f"The result is no finer across the slices than what it was made of ({step:.3g} mm against "
            f"{view.test.apart_mm:.3g} mm): there is no added detail to check."
        )
    array = interpolate(original.array.astype(np.float32), original.geometry, result.geometry, "bspline")
    values = result.array.astype(np.float32)
    body = foreground_mask(array) if array.max() > array.min() else np.ones(array.shape, dtype=bool)
    alike = correlation(array[body], values[body])
    if alike < _SAME_IMAGE:
        raise InputError(
            f"The result does not show what the input shows at the same place (correlation {alike:.2f}): it was made "
            "of another image. Name the right one by --input ORIGINAL."
        )
    if float(np.square(values - array)[body].mean()) < _NOTHING * float(array[body].var()):
        raise InputError("The result is a plain enlargement of the input: there is no added detail to check.")
    plain = original.replace(array=array, geometry=result.geometry, planar=False)
    return plain, plain.replace(array=values - array)


def _warnings(aligned: Aligned, is_same: bool | None, modality: str | None) -> list[str]:
    told = []
    if is_same is None:
        told.append("The files do not say whose they are: see that both series are of one patient.")
    if aligned.agreement < SUSPECT:
        told.append(
            f"What both series resolve correlates by {aligned.agreement:.2f} only: contrast, shading or movement "
            "differ, so that true detail is confirmed in part."
        )
    if modality == "CT" and aligned.mapping.kind != "alike":
        told.append("Intensities had to be fitted although both are CT: contrast agent or metal may differ.")
    return told
