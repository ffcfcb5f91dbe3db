"""What a DICOM header states of the acquisition, classic or enhanced, MR or CT.

Only elements named here are looked at; none of them identifies a person. What vendors write into private elements is
read as dcm2niix reads it. Sequences are those of the first frame and of the groups that all frames share.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from medsr.io.dicom import elements, padding, words
from medsr.io.stated import Stated

_SIEMENS_CLASSIC, _SIEMENS_FRAME = "SIEMENS MR HEADER", "SIEMENS MR SDI 02"
_GE_RELATION, _GE_PARAMETERS = "GEMS_RELA_01", "GEMS_PARM_01"
_PHILIPS_IMAGE, _PHILIPS_SERIES = "Philips MR Imaging DD 005", "Philips MR Imaging DD 008"

TAGS: list[Any] = [
    "Manufacturer", "ImageType", "MRAcquisitionType", "ScanOptions", "SliceThickness", "SpacingBetweenSlices",
    "AcquisitionMatrix", "InPlanePhaseEncodingDirection", "PercentSampling", "PercentPhaseFieldOfView",
    "ReconstructionDiameter", "ImagesInAcquisition", "MRAcquisitionFrequencyEncodingSteps",
    "MRAcquisitionPhaseEncodingStepsInPlane", "MRAcquisitionPhaseEncodingStepsOutOfPlane", "PartialFourier",
    "KSpaceFiltering", "CoverageOfKSpace", "ConvolutionKernel", "AcquisitionType", "SingleCollimationWidth",
    "SpiralPitchFactor", *padding.TAGS, *words.TAGS,
    *elements.private_tags(0x0021, 0x4F, 0x58, 0x75, 0xFE), *elements.private_tags(0x0043, 0xCA),
    *elements.private_tags(0x0051, 0x0B), *elements.private_tags(0x2005, 0x0F, 0x10),
]  # fmt: skip
"""Elements of the top level that are read here."""

_GROUPS = (
    "MRFOVGeometrySequence", "MRModifierSequence", "PixelMeasuresSequence", "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence", "CTAcquisitionTypeSequence", "CTAcquisitionDetailsSequence", "CTTableDynamicsSequence",
    "CTReconstructionSequence",
)  # fmt: skip
_HELICAL = {"HELICAL", "HELIX", "SPIRAL", "SPI"}
_AXIAL = {"AXIAL", "SEQUENCED", "SEQ", "CINE", "STATIONARY"}
_REFORMATTED = {
    "MPR",
    "REFORMATTED",
    "RESAMPLED",
    "PROJECTION",
    "MIP",
    "MINIP",
    "VOLREND",
    "CURVED",
    "MAX_IP",
    "MIN_IP",
}
_COVERAGES = {"FULL", "CYLINDRICAL", "ELLIPSOIDAL", "WEIGHTED"}
_LONGEST_KERNEL = 40
_AXIAL_NORMAL = 0.7
DEEP_RESOLVE = {"DRS": "Deep Resolve Sharp", "DRB": "Deep Resolve Boost", "DRG": "Deep Resolve Gain"}
"""Siemens' marks in Image Type: the first sharpens, the others denoise."""


def stated_by(dataset: Any, normal_lps: tuple[float, float, float] | None, distance_mm: float | None) -> Stated:
    """What a header says.

    Args:
        dataset: the elements that `TAGS` names, and the functional groups.
        normal_lps: unit normal of the slices: CT is measured near the long axis of the body, or reformatted.
        distance_mm: between slices, as they lie.
    """
    header = _Header(dataset)
    modality = elements.code(dataset, "Modality")
    kinds = set(header.kinds())
    complaints = [*words.lossy(dataset), *words.other_modality(modality)]
    stated: dict[str, Any] = {
        "modality": modality,
        "thickness_mm": header.number("SliceThickness"),
        "padding": padding.stored_padding(dataset, complaints),
        "reformatted": is_reformatted(kinds) or (modality == "CT" and _is_steep(normal_lps)),
        "mosaic": "MOSAIC" in kinds,
    }
    if modality == "MR":
        stated |= _plane(header, complaints) | _k_space(header) | _vendor(header, kinds, distance_mm)
    elif modality == "CT":
        stated |= _ct(header, kinds, complaints)
    return Stated(**stated, warnings=tuple(complaints))


class _Header:
    """Looks an element up at the top level, then in the groups of the first frame, then in the shared ones."""

    def __init__(self, dataset: Any) -> None:
        self.places = [dataset]
        for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
            for group in elements.sequence(dataset, name)[:1]:
                self.places.append(group)
                for macro in _GROUPS:
                    self.places += elements.sequence(group, macro)[:1]
        # Both vendors repeat the elements of a classic header in private sequences of their enhanced objects.
        for group, creator, element in ((0x2005, _PHILIPS_IMAGE, 0x0F), (0x0021, _SIEMENS_FRAME, 0xFE)):
            for place in list(self.places):
                self.places += elements.items(elements.private(place, group, creator, element))[:1]

    def _first(self, keyword: str) -> Any:
        return next((p for p in self.places if elements.value(p, keyword) not in (None, "")), self.places[0])

    def number(self, keyword: str) -> float | None:
        return elements.number(self._first(keyword), keyword)

    def steps(self, keyword: str) -> int | None:
        """A whole number that a matrix can have, or None."""
        return _steps(self.number(keyword))

    def numbers(self, keyword: str, count: int) -> tuple[float, ...] | None:
        return elements.numbers(self._first(keyword), keyword, count)

    def text(self, keyword: str) -> str:
        return elements.text(self._first(keyword), keyword)

    def has(self, keyword: str) -> bool:
        return elements.value(self._first(keyword), keyword) not in (None, "")

    def private(self, group: int, creator: str, element: int) -> Any:
        found = (elements.private(place, group, creator, element) for place in self.places)
        return next((value for value in found if value is not None), None)

    def kinds(self) -> list[str]:
        """The words in all values of Image Type, also in Siemens' own one."""
        values = [*elements.words(self.places[0], "ImageType")]
        for place in self.places[1:]:
            values += [*elements.words(place, "ImageType"), *elements.words(place, "FrameType")]
        values += elements.words_of(self.private(0x0021, _SIEMENS_FRAME, 0x75))
        return _split(values)

    def maker(self) -> str:
        return self.text("Manufacturer").upper()


def _plane(header: _Header, complaints: list[str]) -> dict[str, Any]:
    """The acquired matrix and its directions."""
    along = {"ROW": "row", "COL": "column", "COLUMN": "column"}.get(
        header.text("InPlanePhaseEncodingDirection").upper()
    )
    frequency, phase = header.steps("MRAcquisitionFrequencyEncodingSteps"), _phase_steps(header)
    matrix = header.numbers("AcquisitionMatrix", 4)
    if matrix is None and header.has("AcquisitionMatrix"):
        complaints.append("The Acquisition Matrix in the header is not four numbers; it was ignored.")
    if matrix is not None:
        frequency_rows, frequency_columns, phase_rows, phase_columns = map(_steps, matrix)
        if along is None and bool(phase_rows) != bool(phase_columns):
            along = "row" if phase_rows else "column"
        # The place that fits the direction; some headers fill the other one.
        rows, columns = (frequency_columns, phase_rows), (frequency_rows, phase_columns)
        first, second = (columns, rows) if along == "column" else (rows, columns)
        frequency, phase = first[0] or second[0] or frequency, first[1] or second[1] or phase
    dimensions = header.text("MRAcquisitionType").upper()
    return {
        "dimensions": dimensions if dimensions in ("2D", "3D") else None,
        "phase_along": along,
        "frequency_steps": frequency,
        "phase_steps": phase,
        "partition_steps": header.steps("MRAcquisitionPhaseEncodingStepsOutOfPlane"),
        "percent_sampling": _percent(header.number("PercentSampling")) if not header.maker().startswith("GE") else None,
        "percent_phase_fov": _percent(header.number("PercentPhaseFieldOfView")),
        "diameter_mm": _positive(header.number("ReconstructionDiameter")),
    }


def _phase_steps(header: _Header) -> int | None:
    """Phase steps of an enhanced object.

    With partial Fourier, Siemens and Philips count those that would be needed without it. Other vendors may count what
    they left out as missing resolution.
    """
    maker = header.maker()
    if header.text("PartialFourier").upper() == "YES" and "SIEMENS" not in maker and "PHILIPS" not in maker:
        return None
    return header.steps("MRAcquisitionPhaseEncodingStepsInPlane")


def _k_space(header: _Header) -> dict[str, Any]:
    partial = {"YES": True, "NO": False}.get(header.text("PartialFourier").upper())
    if {"PFF", "PFP"} & set(header.text("ScanOptions").upper().split()):
        partial = True
    name = header.text("KSpaceFiltering").upper()
    coverage = header.text("CoverageOfKSpace").upper()
    return {
        "partial_fourier": partial,
        "filter": name if re.fullmatch(r"[A-Z0-9_ ]{2,24}", name) and name not in ("NONE", "OTHER") else "",
        "coverage": coverage.lower() if coverage in _COVERAGES else "",
    }


def _vendor(header: _Header, kinds: set[str], distance_mm: float | None) -> dict[str, Any]:
    """Interpolation and networks, as the vendors mark them."""
    maker = header.maker()
    found: dict[str, Any] = {}
    if "SIEMENS" in maker:
        matrix = header.private(0x0051, _SIEMENS_CLASSIC, 0x0B) or header.private(0x0021, _SIEMENS_FRAME, 0x58)
        found["interpolated"] = "I" in elements.clean(matrix)
        found["enhanced_by"] = DEEP_RESOLVE["DRS"] if "DRS" in kinds else ""
        found["denoised_by"] = ", ".join(DEEP_RESOLVE[mark] for mark in ("DRB", "DRG") if mark in kinds)
    elif maker.startswith("GE"):
        strength = elements.words_of(header.private(0x0043, _GE_PARAMETERS, 0xCA))
        found["enhanced_by"] = air_recon(strength)
        found["interpolated_across"] = _ge_zip(header, distance_mm)
    elif "PHILIPS" in maker:
        technique = elements.clean(header.private(0x2005, _PHILIPS_SERIES, 0x10))
        found["denoised_by"] = technique[:_LONGEST_KERNEL] if "_AI" in technique else ""
    return found


def is_reformatted(kinds: Iterable[str]) -> bool:
    """True where the words of Image Type say that the slices were cut out of other slices."""
    return not _REFORMATTED.isdisjoint(_split(kinds))


def air_recon(strength: tuple[str, ...]) -> str:
    """Name of GE's network with its strength, from values such as 0.75 and High; "" where there are none."""
    return f"AIR Recon DL {strength[-1][:_LONGEST_KERNEL]}" if strength else ""


def _ge_zip(header: _Header, distance_mm: float | None) -> int | None:
    """The factor of GE's ZIP across the slices: more images than locations, each thicker than their distance."""
    images, locations = header.steps("ImagesInAcquisition"), header.private(0x0021, _GE_RELATION, 0x4F)
    thickness = header.number("SliceThickness")
    try:
        acquired = _steps(float(locations))
    except (TypeError, ValueError, OverflowError):
        return None
    if not images or not acquired or images == acquired or not thickness or not distance_mm:
        return None
    factor = round(min(thickness / distance_mm, 100.0))
    return factor if factor > 1 else None


def _ct(header: _Header, kinds: set[str], complaints: list[str]) -> dict[str, Any]:
    kernel = " ".join(header.text("ConvolutionKernel").split())
    if len(kernel) > _LONGEST_KERNEL:
        complaints.append(
            f"The Convolution Kernel in the header is no name of a kernel; it was cut to {kernel[:20]!r}."
        )
        kernel = kernel[:20]
    options = re.split(r"[^A-Z]+", f"{header.text('ScanOptions')} {header.text('AcquisitionType')}".upper())
    # In Image Type, AXIAL is the plane, not the way of scanning; Siemens adds SPI or SEQ.
    marks = set(options) | (kinds & {"SPI", "SEQ"})
    pitch = header.number("SpiralPitchFactor")
    scan = "helical" if marks & _HELICAL else "axial" if marks & _AXIAL else ""
    if not scan and pitch is not None and 0 < pitch < 10:
        scan = "helical"
    return {"kernel": kernel, "scan": scan, "collimation_mm": _positive(header.number("SingleCollimationWidth"))}


def _is_steep(normal_lps: tuple[float, float, float] | None) -> bool:
    return normal_lps is not None and abs(normal_lps[2]) < _AXIAL_NORMAL


def _split(values: Iterable[str]) -> list[str]:
    """Each value in capitals, and the words in it."""
    return [word for value in map(str.upper, values) for word in (value, *re.split(r"[^A-Z0-9]+", value))]


def _steps(number: float | None) -> int | None:
    return int(number) if number is not None and 1 <= number <= 65535 and number.is_integer() else None


def _percent(number: float | None) -> float | None:
    return number if number is not None and 1 <= number <= 400 else None


def _positive(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) and number > 0 else None
