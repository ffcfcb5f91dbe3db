"""A volume: voxels that never travel without their grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from medsr.errors import InputError
from medsr.facts import Facts
from medsr.geometry import Geometry

MODALITIES = ("MR", "CT")

_FEW = 24
"""Whole numbers from -1 on: up to so many values they are classes, whatever the image looks like."""

_MOST_CLASSES = 4096
_EQUAL, _FAR = 0.7, 0.5
"""In label maps at least so many neighbours are equal, and of the others so many are no neighbours in value. Of MR and
CT images, also with few grey levels, smoothed or shown in twice as many pixels, none reaches both."""

_PLANES = 16


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
        files: every file that it was read from: header, voxels, sidecar, slices.
        metadata: what else the header says, as text (series description, manufacturer, ...).
        places: of a stack that is uneven or lacks slices, where each slice of `array` lies along z, in voxels of
            `geometry`; that is then the even and complete grid. Only the input of a job may be so; else empty.
    """

    array: NDArray[np.generic]
    geometry: Geometry
    modality: str | None = None
    facts: Facts = field(default_factory=Facts)
    planar: bool = False
    warnings: tuple[str, ...] = ()
    source: str = ""
    files: tuple[Path, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    places: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        z, y, x = self.geometry.shape_zyx
        if self.array.ndim not in (3, 4) or self.array.shape[:3] != (len(self.places) or z, y, x):
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

    @property
    def nearest_slices(self) -> NDArray[np.intp] | None:
        """For each plane of the grid the slice that was measured nearest to it; None where each plane is a slice."""
        if not self.places:
            return None
        planes = np.arange(self.geometry.size_xyz[2])
        return np.asarray(np.abs(planes[:, None] - np.array(self.places)).argmin(axis=1))

    def evened(self, missing: float) -> Volume:
        """The volume with every slice on the nearest plane of its grid, and `missing` where none was measured."""
        nearest = self.nearest_slices
        if nearest is None:
            return self
        array = self.array[nearest]
        array[np.abs(np.array(self.places)[nearest] - np.arange(len(nearest))) > 0.5] = missing
        return self.replace(array=array, places=())

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
        image.SetDirection(self.geometry.axes.ravel().tolist())
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
                "The image looks like a segmentation: whole numbers, few of them or in regions of one value. "
                "Super-resolving labels as intensities would invent classes between them. Pass the intensity image, or "
                "--not-labels if this is one; `medsr augment` enlarges labels together with their image."
            )

    @property
    def looks_like_labels(self) -> bool:
        """True for numbers that are classes rather than intensities, in whatever type they are stored.

        Whole numbers from -1 on: few of them, or more that fill regions and jump from one to another. Values below -1
        are none of classes, so that a CT phantom of few grey values is an image.
        """
        array = self.array
        if array.dtype.kind == "b":
            return True
        if array.dtype.kind not in "iuf" or array.ndim == 4 or array.size < 64:
            return False
        sample = array.reshape(-1)[:: max(1, array.size // 500_000)]
        if not _are_classes(sample):
            return False
        values, counts = np.unique(sample, return_counts=True)
        if values.size > _MOST_CLASSES:
            return False
        return (values.size <= _FEW and _has_few_classes(array)) or _is_made_of_regions(array, values[counts.argmax()])


def _are_classes(values: NDArray[np.generic]) -> bool:
    """True for whole numbers from -1 on."""
    if values.dtype.kind != "u" and values.min() < -1:
        return False
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def _has_few_classes(array: NDArray[np.generic]) -> bool:
    """True when all voxels hold no more than `_FEW` numbers of classes."""
    found: set[float] = set()
    for plane in array:
        if not _are_classes(plane):
            return False
        found.update(np.unique(plane).tolist())
        if len(found) > _FEW:
            return False
    return True


def _is_made_of_regions(array: NDArray[np.generic], commonest: np.generic) -> bool:
    """True where most neighbours are equal, the commonest value aside, and the others jump over values between them."""
    chosen = np.unique(np.linspace(0, len(array) - 1, min(_PLANES, len(array))).round().astype(int))
    planes = array[chosen]
    pairs = [
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :, 1:], np.s_[:, :, :-1]),
    ]
    different = sum(np.count_nonzero(planes[first] != planes[second]) for first, second in pairs)
    alike = sum(
        np.count_nonzero((planes[first] == planes[second]) & (planes[first] != commonest)) for first, second in pairs
    )
    if different == 0 or alike < _EQUAL * (alike + different) or not _are_classes(planes):
        return False
    values, ranks = np.unique(planes, return_inverse=True)
    ranks = ranks.reshape(planes.shape).astype(np.int32)
    far = sum(np.count_nonzero(np.abs(ranks[first] - ranks[second]) > 1) for first, second in pairs)
    return bool(values.size <= _MOST_CLASSES and far >= _FAR * different)
