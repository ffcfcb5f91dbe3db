"""A volume: voxels that never travel without their grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from medsr.errors import InputError
from medsr.facts import Facts
from medsr.geometry import Geometry

MODALITIES = ("MR", "CT")
_MAX_LABELS = 24


@dataclass(frozen=True)
class Volume:
    """Voxels and where they are.

    Attributes:
        array: ``(z, y, x)``, or ``(z, y, x, c)`` for colour; any numeric type. A 2D image has one slice.
        geometry: the grid.
        modality: "MR", "CT", or None where the source does not say.
        facts: what the source says of the acquisition.
        planar: True for an image that came from a 2D file (PNG, JPEG, one DICOM slice).
        warnings: sentences about the source that a person should read (uneven slices, tilt, ...).
        source: where it came from, for reports.
        metadata: what else the header says, as text (series description, manufacturer, ...).
    """

    array: NDArray[np.generic]
    geometry: Geometry
    modality: str | None = None
    facts: Facts = field(default_factory=Facts)
    planar: bool = False
    warnings: tuple[str, ...] = ()
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.array.ndim not in (3, 4) or self.array.shape[:3] != self.geometry.shape_zyx:
            raise InputError(
                f"The array has shape {self.array.shape}, its grid {self.geometry.shape_zyx} (z, y, x). "
                "A volume is 3D, with an optional last axis of colours."
            )

    @property
    def channels(self) -> int:
        """1, or the number of colours."""
        return int(self.array.shape[3]) if self.array.ndim == 4 else 1

    def replace(self, **changes: object) -> Volume:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    @classmethod
    def from_array(cls, array: ArrayLike, affine: ArrayLike | None = None, space: str = "LPS") -> Volume:
        """A volume of a numpy array.

        Args:
            array: ``(z, y, x)``, as `SimpleITK.GetArrayFromImage` gives it. A nibabel array is ``(x, y, z)``: pass
                ``data.T`` and ``space="RAS"``.
            affine: 4 x 4, voxel index (x, y, z) to patient millimetres; identity when None.
            space: "LPS" or "RAS", the patient axes that `affine` leads to.
        """
        data = np.asarray(array)
        planar = data.ndim == 2
        if planar:
            data = data[None]
        if data.ndim not in (3, 4) or 0 in data.shape:
            raise InputError(f"A volume needs an array of shape (z, y, x), got {np.asarray(array).shape}.")
        z, y, x = data.shape[:3]
        geometry = Geometry.from_affine(np.eye(4) if affine is None else affine, (x, y, z), space)
        return cls(data, geometry, planar=planar, source="array")

    @classmethod
    def from_sitk(cls, image: sitk.Image, **attributes: object) -> Volume:
        """A volume of a 2D or 3D SimpleITK image; the voxels are copied."""
        dimension = image.GetDimension()
        if dimension == 2:
            attributes.setdefault("planar", True)
            image = sitk.JoinSeries([image], 0.0, 1.0)
        elif dimension != 3:
            raise InputError(
                f"The image has {dimension} dimensions ({' x '.join(map(str, image.GetSize()))}); one volume of 3 is "
                "accepted. Extract one time point or component first, for example with SimpleITK.Extract."
            )
        geometry = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
        return cls(sitk.GetArrayFromImage(image), geometry, **attributes)  # type: ignore[arg-type]

    def to_sitk(self) -> sitk.Image:
        """A 3D SimpleITK image with a copy of the voxels (2D for `planar`)."""
        image = sitk.GetImageFromArray(self.array, isVector=self.array.ndim == 4)
        image.SetSpacing(self.geometry.spacing_xyz_mm)
        image.SetOrigin(self.geometry.origin_mm)
        image.SetDirection(self.geometry.direction)
        if self.planar and self.geometry.size_xyz[2] == 1:
            image = image[:, :, 0]
        return image

    def check_usable(self, *, labels_allowed: bool = False) -> None:
        """Raise InputError for voxels that cannot be super-resolved: NaN, constant, complex, label maps."""
        array = self.array
        if np.iscomplexobj(array) or array.dtype.kind not in "iufb":
            raise InputError(f"Voxels of type {array.dtype} are not supported; integer and real numbers are.")
        if array.dtype.kind == "f":
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            if bad:
                raise InputError(
                    f"{bad} of {array.size} voxels are NaN or infinite. Replace them first, for example with "
                    "numpy.nan_to_num."
                )
        if array.min() == array.max():
            raise InputError(f"Every voxel is {array.flat[0]}: a constant image has nothing to sharpen.")
        if not labels_allowed and self.looks_like_labels:
            raise InputError(
                "The image holds only a few whole numbers, like a segmentation. Super-resolving labels as intensities "
                "would invent classes between them. Pass the intensity image, or --not-labels if this is one."
            )

    @property
    def looks_like_labels(self) -> bool:
        """True for whole numbers with so few values that they are classes rather than intensities."""
        if self.array.dtype.kind == "b":
            return True
        if self.array.dtype.kind not in "iu" or self.array.ndim == 4 or self.array.size < 64:
            return False
        sample = self.array.reshape(-1)[:: max(1, self.array.size // 500_000)]
        if np.unique(sample).size > _MAX_LABELS:
            return False
        return bool(np.unique(self.array).size <= _MAX_LABELS)
