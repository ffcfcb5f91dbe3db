"""Another acquisition of the same object: what a recipe draws, and how it changes an image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.augmentation.recipes import Degradation
from medsr.facts import AXES, Fact, Facts
from medsr.geometry import Geometry
from medsr.physics.noise import add_rician_noise
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, AxisSampling
from medsr.planning.evidence import ANISOTROPIC_RATIO
from medsr.volume import Volume

Generator = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """One acquisition.

    Attributes:
        slice_axis: grid axis (0 x, 1 y, 2 z) across the slices.
        factors_xyz: voxels of the image per measured voxel along each grid axis.
        width: width of the slice profile over the distance of the slices.
        noise: standard deviation over the 99th percentile.
        contrast: exponent of the intensities.
        profiles_xyz: kind of the profile along each grid axis.
    """

    slice_axis: int
    factors_xyz: tuple[float, float, float]
    width: float
    noise: float
    contrast: float
    profiles_xyz: tuple[str, str, str] = ("gaussian", "gaussian", "gaussian")

    def width_along(self, axis: int) -> float:
        """Width of the profile along a grid axis, over the distance of the samples."""
        width = self.width if axis == self.slice_axis else 1.0
        # A band wider than the voxels was filled up with zeros; a narrower one there is not.
        return max(width, 1.0) if self.profiles_xyz[axis] == "kspace" else width

    def stated_profile(self, spacing_xyz_mm: Sequence[float]) -> str:
        """What `UpscaleOptions.profile` says of an image of this acquisition, whose voxels are as large as given."""
        stated = [
            f"{kind}:{self.width_along(axis) * spacing:.6g}" if factor > 1 else "auto"
            for axis, (kind, factor, spacing) in enumerate(
                zip(self.profiles_xyz, self.factors_xyz, spacing_xyz_mm, strict=True)
            )
        ]
        return ",".join(stated)


def draw(degradation: Degradation, geometry: Geometry, rng: Generator, *, planar: bool = False) -> Drawn:
    """Draw an acquisition for an image on `geometry`.

    Every number is drawn whether it is used or not, so that images of different shape take the same from `rng`.
    """
    axis = int(rng.integers(3))
    factor = _log_uniform(degradation.factor, rng)
    in_plane = _log_uniform(degradation.in_plane, rng)
    width = _log_uniform(degradation.width, rng)
    noise = float(rng.uniform(*degradation.noise))
    contrast = _log_uniform(degradation.contrast, rng)
    kind, in_plane_kind = (_one_of(kinds, rng) for kinds in (degradation.profile, degradation.in_plane_profile))
    spacing = geometry.spacing_xyz_mm
    if planar:
        return Drawn(2, (factor, factor, 1.0), 1.0, noise, contrast, (in_plane_kind,) * 3)
    if max(spacing) / min(spacing) >= ANISOTROPIC_RATIO:
        axis = int(np.argmax(spacing))
    # Slices so thick that nothing is left of the image teach nothing.
    factor = min(factor, max(1.0, degradation.thickest_mm / spacing[axis]))
    factors = [in_plane] * 3
    factors[axis] = max(factor, 1.0)
    kinds = [in_plane_kind] * 3
    kinds[axis] = kind
    return Drawn(axis, (factors[0], factors[1], factors[2]), width, noise, contrast, (kinds[0], kinds[1], kinds[2]))


def acquire(volume: Volume, drawn: Drawn, rng: Generator, *, modality: str) -> Volume:
    """What a scanner would have measured: contrast, then profile and sampling, then noise; voxel type as it was.

    Args:
        volume: the image, grey or colour.
        drawn: the acquisition.
        rng: source of the noise.
        modality: "CT" keeps its intensities and gets Gaussian noise, everything else is bent; "MR" gets Rician noise
            where it is a magnitude, that is, nowhere negative.
    """
    array = volume.array.astype(np.float32)
    if modality != "CT" and drawn.contrast != 1:
        array = _bent(array, drawn.contrast)
    factors_zyx = drawn.factors_xyz[::-1]
    samples = [math.ceil(n / f - 1e-6) for n, f in zip(volume.geometry.shape_zyx, factors_zyx, strict=True)]
    profiles = [
        Profile(drawn.profiles_xyz[axis], drawn.width_along(axis) if drawn.factors_xyz[axis] > 1 else 1.0)
        for axis in (2, 1, 0)
    ]
    acquisition = Acquisition(
        tuple(
            AxisSampling(n, m, f, profile)
            for n, m, f, profile in zip(volume.geometry.shape_zyx, samples, factors_zyx, profiles, strict=True)
        )
    )
    array = np.asarray(acquisition.forward(array), dtype=np.float32)
    rician = modality == "MR" and not volume.planar and float(array.min()) >= 0
    if drawn.noise > 0:
        array = _noisy(array, drawn.noise, rng, rician=rician)
    spacing = [s * f for s, f in zip(volume.geometry.spacing_xyz_mm, drawn.factors_xyz, strict=True)]
    facts = _facts(volume.facts, drawn, spacing) if drawn.factors_xyz[drawn.slice_axis] > 1 else volume.facts
    if drawn.noise > 0 and rician:
        # What was added is known, and need not be told from anatomy by its looks. So may be what was averaged before.
        own = (volume.facts.number("noise") or 0.0) / math.sqrt(math.prod(drawn.factors_xyz))
        facts = Facts((*facts.without("noise"), Fact("noise", math.hypot(drawn.noise, own), "header")))
    return volume.replace(
        array=_as_type(array, volume.array.dtype),
        geometry=volume.geometry.with_grid(spacing, samples[::-1]),
        facts=facts,
    )


def _facts(known: Facts, drawn: Drawn, spacing_xyz_mm: Sequence[float]) -> Facts:
    """What a header would say: slices where slices were made."""
    axis = AXES[drawn.slice_axis]
    thickness = spacing_xyz_mm[drawn.slice_axis] * drawn.width
    kept = known.without("thickness_mm", "encoding", "resolution_mm")
    # Partitions are Fourier-encoded across the slab, as in 3D MR.
    encoding = "partition" if drawn.profiles_xyz[drawn.slice_axis] == "kspace" else "slice"
    return Facts((*kept, Fact("encoding", encoding, "header", axis), Fact("thickness_mm", thickness, "header", axis)))


def describe(drawn: Drawn) -> dict[str, object]:
    """What was drawn, ready for JSON."""
    data = dataclasses.asdict(drawn)
    data["slice_axis"] = "xyz"[drawn.slice_axis]
    data["profiles_xyz"] = list(drawn.profiles_xyz)
    data["factors_xyz"] = [round(f, 6) for f in drawn.factors_xyz]
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in data.items()}


def _log_uniform(limits: tuple[float, float], rng: Generator) -> float:
    return float(math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1]))))


def _one_of(kinds: str | Sequence[str], rng: Generator) -> str:
    number = float(rng.random())
    return kinds if isinstance(kinds, str) else kinds[int(number * len(kinds))]


def _bent(array: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """Intensities between the dark and the bright end bent by a power; order and both ends are kept."""
    low, high = (float(v) for v in np.percentile(array, (0.5, 99.5)))
    if high <= low:
        return array
    scaled = (array - low) / (high - low)
    inside = np.clip(scaled, 0, 1)
    bent: NDArray[np.float32] = scaled - inside + inside**exponent
    return np.asarray(low + bent * (high - low), dtype=np.float32)


def _noisy(array: NDArray[np.float32], level: float, rng: Generator, *, rician: bool) -> NDArray[np.float32]:
    if rician:
        return np.asarray(add_rician_noise(array, level, rng), dtype=np.float32)
    low, high = (float(v) for v in np.percentile(array, (1, 99)))
    noise = rng.standard_normal(array.shape, dtype=np.float32) * np.float32(level * (high - low))
    return np.asarray(array + noise, dtype=np.float32)


def _as_type(array: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    """Stored as the image was: scanners round, too."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(array.astype(np.float64)), limits.min, limits.max).astype(dtype)
    return array.astype(dtype, copy=False)
