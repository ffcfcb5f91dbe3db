"""What a person should know of a DICOM image before enlarging it: loss by compression, another modality, negatives."""

from __future__ import annotations

import re
from typing import Any

from medsr.io.dicom import elements

TAGS = ["LossyImageCompression", "LossyImageCompressionRatio", "PhotometricInterpretation"]
_ALWAYS_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")  # JPEG Baseline, Extended


def lossy(dataset: Any) -> list[str]:
    """The sentence about pixels that were once compressed with loss, whatever their form is now."""
    syntax = elements.clean(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None))
    if elements.text(dataset, "LossyImageCompression") != "01" and syntax not in _ALWAYS_LOSSY:
        return []
    # Compressed repeatedly, an image has several ratios, the last of which comes last.
    ratios = elements.words(dataset, "LossyImageCompressionRatio")
    ratio = float(ratios[-1]) if ratios and re.fullmatch(r"\d{1,4}(\.\d+)?", ratios[-1]) else 0.0
    about = f", about {ratio:.0f}:1" if ratio >= 1.5 else ""
    return [
        f"The images were compressed with loss{about}: fine detail was taken out, and edges and blocks may have been "
        "added that are no anatomy. Enlarging sharpens these too; use the original images where there are any."
    ]


def other_modality(modality: str) -> list[str]:
    """The sentence about an image that is neither MR nor CT."""
    if modality in ("", "MR", "CT"):
        return []
    return [
        f"The header says that this is an image of modality {modality}. What MedSR assumes of acquisition and "
        "noise, and what its networks learned, holds for MR and CT only."
    ]


def negative(dataset: Any) -> list[str]:
    """The sentence about a negative that another program loaded; of CT the numbers hold all the same."""
    if (
        elements.text(dataset, "PhotometricInterpretation") != "MONOCHROME1"
        or elements.text(dataset, "Modality") == "CT"
    ):
        return []
    return [
        "The series is stored as a negative (MONOCHROME1). If tissue is dark and air bright here, the program that "
        "loaded it did not turn it; MedSR does when it reads the DICOM files itself."
    ]
