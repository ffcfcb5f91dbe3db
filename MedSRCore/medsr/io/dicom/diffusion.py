"""Diffusion weighting as the standard's elements state it, and as FSL's text files tell it.

FSL tells a direction along the axes of the stored image, which it takes for left-handed: of an image whose axes are
right-handed, the sign of the first component is turned (FSL's FDT guide, "bvecs").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.io.dicom import elements

TAGS = ("DiffusionDirectionality", "DiffusionGradientOrientation")
"""Elements of a classic header beside the b-value."""

_LEAST_LENGTH, _LARGEST_B = 0.5, 1e6


@dataclass(frozen=True)
class Diffusion:
    """How an image was weighted.

    Attributes:
        b_value: in s/mm2.
        direction: of the gradient, a unit vector in LPS; zeros where there is none, None where it is not stated.
    """

    b_value: float
    direction: tuple[float, ...] | None


def diffusion_of(stated: Any, gradient: Any) -> Diffusion | None:
    """What a header says; None where it states no b-value.

    Args:
        stated: holds b-value and directionality: a classic header, or the macro of a frame.
        gradient: holds the orientation: the header again, or an item of that macro; None where there is none.
    """
    if stated is None:
        return None
    kind, b_value = elements.code(stated, "DiffusionDirectionality"), elements.number(stated, "DiffusionBValue")
    if b_value is None and kind == "NONE":
        b_value = 0.0
    if b_value is None or not 0 <= b_value <= _LARGEST_B:
        return None
    if b_value == 0 or kind in ("NONE", "ISOTROPIC"):
        return Diffusion(b_value, (0.0, 0.0, 0.0))
    vector = elements.numbers(gradient, "DiffusionGradientOrientation", 3) if gradient is not None else None
    length = float(np.linalg.norm(vector)) if vector else 0.0
    if vector is None or length < _LEAST_LENGTH:
        return Diffusion(b_value, None)
    return Diffusion(b_value, tuple(value / length for value in vector))


def gradient_files(
    frames: Sequence[Sequence[Diffusion | None]], axes: NDArray[np.float64]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Extension -> text of FSL's files for volumes, and what to say of what is not known.

    Args:
        frames: of each volume its images.
        axes: 3 x 3, column i is the direction in LPS of axis i of the image that the files lie beside.
    """
    if not any(one is not None for frame in frames for one in frame):
        return {}, ()
    if any(None in frame or len(set(frame)) > 1 for frame in frames):
        return {}, ("The images of a volume differ in b-value or gradient direction, or lack them; no .bval was made.",)
    each = [frame[0] for frame in frames]
    values = [one.b_value for one in each if one is not None]
    texts = {".bval": " ".join(f"{value:g}" for value in values) + "\n"}
    directions = [one.direction for one in each if one is not None]
    if any(direction is None for direction in directions):
        return texts, ("The header does not say along which directions diffusion was weighted; no .bvec was made.",)
    along = np.array(directions) @ axes
    if np.linalg.det(axes) > 0:
        along[:, 0] *= -1
    along += 0.0  # no minus before a zero
    texts[".bvec"] = "".join(" ".join(f"{value:.6g}" for value in row) + "\n" for row in along.T)
    return texts, ()
