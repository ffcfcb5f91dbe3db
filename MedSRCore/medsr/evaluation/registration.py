"""Where one series lies in the frame of another: patients move between two series of a sitting, by millimetres."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.volume import Volume

FARTHEST_MM, FARTHEST_DEGREES = 15.0, 10.0
"""Movement beyond which a fit is not believed."""

_LEVELS_MM = (4.0, 2.0, 1.0)
"""Standard deviation of the Gaussian that both series are seen through, level by level: each half the one before."""

_FEWEST = 8
_STEPS = 120
_FIRST_STEP_MM, _LAST_STEP_MM = 1.0, 0.002


@dataclass(frozen=True)
class RigidFit:
    """A movement without deformation.

    Attributes:
        matrix: 4 x 4, LPS mm in the frame of the series that was moved -> LPS mm in the frame of the other one.
        centre_mm: the point around which it turns, in the first frame.
    """

    matrix: NDArray[np.float64]
    centre_mm: tuple[float, float, float]

    @property
    def shift_mm(self) -> float:
        """Distance that the centre moves."""
        return float(np.linalg.norm(self.translation_mm))

    @property
    def translation_mm(self) -> tuple[float, float, float]:
        """Movement of the centre."""
        moved = self.matrix[:3, :3] @ np.array(self.centre_mm) + self.matrix[:3, 3]
        x, y, z = (float(v) for v in moved - np.array(self.centre_mm))
        return (x, y, z)

    @property
    def degrees(self) -> float:
        """Angle of the turn."""
        return math.degrees(math.acos(float(np.clip((np.trace(self.matrix[:3, :3]) - 1) / 2, -1, 1))))

    @property
    def is_far(self) -> bool:
        """True where nobody moves so much between two series without being repositioned."""
        return self.shift_mm > FARTHEST_MM or self.degrees > FARTHEST_DEGREES

    def check_near(self) -> None:
        """Raise InputError where the movement `is_far`."""
        if self.is_far:
            raise InputError(
                f"The other series fits best after a {self.describe()}; up to {FARTHEST_MM:g} mm and "
                f"{FARTHEST_DEGREES:g} degrees are believed. Are both of one patient and one session, and do their "
                "headers say where they lie?"
            )

    def moved(self, geometry: Geometry) -> Geometry:
        """The grid of a series, in the frame of the other one."""
        return Geometry.from_affine(self.matrix @ geometry.affine, geometry.size_xyz)

    def describe(self) -> str:
        """``shift of 1.20 mm (0.30, -1.10, 0.20 to left, back, head) and a turn of 0.40 degrees``."""
        along = ", ".join(f"{v:.2f}" for v in self.translation_mm)
        return f"shift of {self.shift_mm:.2f} mm ({along} to left, back, head) and a turn of {self.degrees:.2f} degrees"


def register(
    other: Volume, onto: Volume, check: Callable[[], None] | None = None, *, samples: int | None = None
) -> RigidFit:
    """The movement after which `other` correlates best with `onto`, searched from where the headers put them.

    Both are seen through one isotropic Gaussian, which becomes narrower level by level: what only one of them resolves
    would pull at the other. The search draws nothing and runs in one thread, so the same series give the same fit.
    Bladder and bowel move more than bones; the finest level decides which start is followed.

    Args:
        other: what moves; its voxels within the field of `onto` are compared.
        onto: what it moves to; of the same contrast.
        check: called at every step; may raise to stop the search.
        samples: of `other` that are compared at most; None for all. A large series knows its place from a few of its
            voxels, in a fraction of the time.

    Raises:
        InputError: fields that hardly meet.
    """
    part, field = _common_part(other, onto.geometry), _common_part(onto, other.geometry)
    fixed, moving = _image(part), _image(field)
    size = np.array(part.geometry.size_xyz)
    centre = part.geometry.to_patient((size - 1) / 2)
    header = sitk.Euler3DTransform()
    header.SetCenter(centre.tolist())
    views = zip(_views(fixed, 1.5), _views(moving, 0.5), strict=True)
    coarse, middle, fine = (_Level(_sparse(one, samples), another, check) for one, another in views)
    # What is soft moves by itself, and pulls most at what a wide Gaussian shows: the header may be nearer to the truth.
    starts = [header, *(middle.fitted(start) for start in (header, coarse.fitted(header)))]
    transform = fine.fitted(min(starts, key=fine.misfit))
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    x, y, z = (float(v) for v in centre)
    return RigidFit(matrix, (x, y, z))


def _common_part(other: Volume, field: Geometry) -> Volume:
    """The box of voxels of `other` that meets `field`, with room to move."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in field.size_xyz])).reshape(3, -1).T
    index = other.geometry.to_index(field.to_patient(corners))
    size, spacing = np.array(other.geometry.size_xyz), np.array(other.geometry.spacing_xyz_mm)
    room = FARTHEST_MM / spacing
    start = np.clip(np.floor(index.min(axis=0) - room), 0, size).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0) + room) + 1, 0, size).astype(int)
    if (stop - start < np.minimum(_FEWEST, size)).any() or min(size) < _FEWEST // 2:
        met = " x ".join(str(max(0, n)) for n in stop - start)
        raise InputError(
            f"The two series hardly meet: {met} voxels of the other one lie near the first. Are they of one patient "
            "and one session?"
        )
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))[::-1]
    return other.replace(array=other.array[box], geometry=other.geometry.cropped(start, stop - start))


def _image(volume: Volume) -> Any:
    """Float32, with the middle half of the intensities between 0 and 1, so that numbers stay handy."""
    array = volume.array.astype(np.float32)
    low, high = (float(v) for v in np.percentile(array, [25, 75]))
    return Volume((array - low) / max(high - low, 1e-6), volume.geometry).to_sitk()


def _views(image: Any, apart: float) -> Iterator[Any]:
    """Level by level, structures about as large as its `sigma`, in voxels at most `apart` times `sigma` apart.

    Without what is larger: shading differs between series, and what is soft has moved by itself. The wide Gaussian of a
    level is the narrow one of the level before.
    """
    wide = _smoothed(image, 2 * _LEVELS_MM[0])
    for sigma in _LEVELS_MM:
        narrow = _smoothed(image, sigma)
        x, y, z = (
            max(1, min(int(apart * sigma / spacing), size // _FEWEST))
            for size, spacing in zip(image.GetSize(), image.GetSpacing(), strict=True)
        )
        yield (narrow - wide)[::x, ::y, ::z]
        wide = narrow


def _sparse(image: Any, most: int | None) -> Any:
    """At most so many voxels, about equally far apart along all axes, each where it was."""
    steps = [1, 1, 1]

    def left() -> int:
        return math.prod(-(-size // step) for size, step in zip(image.GetSize(), steps, strict=True))

    while most is not None and left() > most:
        steps[int(np.argmin(np.multiply(steps, image.GetSpacing())))] += 1
    x, y, z = steps
    return image[::x, ::y, ::z]


def _smoothed(image: Any, sigma: float) -> Any:
    for axis, (size, spacing) in enumerate(zip(image.GetSize(), image.GetSpacing(), strict=True)):
        if size >= 4 and sigma > 0.3 * spacing:
            image = sitk.RecursiveGaussian(image, sigma, direction=axis)
    return image


@dataclass(frozen=True)
class _Level:
    """Both series seen through one Gaussian."""

    fixed: Any
    moving: Any
    check: Callable[[], None] | None

    def misfit(self, transform: Any) -> float:
        """Less for a better fit."""
        return float(self._method(transform).MetricEvaluate(self.fixed, self.moving))

    def fitted(self, start: Any) -> Any:
        """The best transform near `start`."""
        transform = sitk.Euler3DTransform(start)
        method = self._method(transform)
        stopped: list[BaseException] = []

        def step() -> None:
            # ITK swallows what is raised in a callback: stop it, and tell afterwards.
            try:
                if self.check is not None:
                    self.check()
            except BaseException as error:
                stopped.append(error)
                method.StopRegistration()

        method.AddCommand(sitk.sitkIterationEvent, step)
        method.Execute(self.fixed, self.moving)
        if stopped:
            raise stopped[0]
        return transform

    @staticmethod
    def _method(transform: Any) -> Any:
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetMetricAsCorrelation()
        method.SetMetricSamplingStrategy(method.NONE)
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(_FIRST_STEP_MM, _LAST_STEP_MM, _STEPS, 0.5, 1e-9)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        return method
