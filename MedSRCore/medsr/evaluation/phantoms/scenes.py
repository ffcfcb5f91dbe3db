"""The scenes: bodies with things in them whose place, size and contrast are known.

Every scene is a volume of 1 mm, air around a body, with `truth` (everything), `plain` (the same without the things that
are judged) and `tissue` (where something could be made up). Tissue has the intensity `TISSUE`; contrasts are fractions
of it. Everything drawn comes from the seed, so that the same seed gives the same scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.evaluation.phantoms.shapes import (
    Floats,
    Lattice,
    Point,
    egg,
    egg_distance,
    filled,
    rod,
    rod_distance,
)
from medsr.geometry import Geometry
from medsr.volume import Volume

TISSUE = 1000.0
"""Intensity of the brightest tissue."""

_CT_TISSUE, _CT_RANGE = 50.0, 300.0
"""Of CT: HU of that tissue, and HU per `TISSUE` of contrast, so that a contrast of 5 % is 15 HU."""

_AIR = -1000.0
EDGE = 96
"""mm along each side of a scene, in the bench's default size."""

SMALLEST_EDGE, LARGEST_EDGE = 64, 160
BALLS_MM = (3.0, 5.0, 8.0)
RODS_MM = (2.0, 3.0)
ROD_LENGTH_MM = 15.0
CONTRASTS = (0.05, 0.1, 0.2)
FAINTEST = min(CONTRASTS)
_GAP_MM = 6.0
"""Left between two lesions, and to any edge, so that none is judged by the blur of the other, nor taken for moved."""


@dataclass(frozen=True)
class Lesion:
    """A ball or rod in tissue.

    Attributes:
        kind: "ball", or the direction of a rod: "rod in slices", "rod across", "rod oblique".
        diameter_mm: of ball or rod.
        contrast: fraction of `TISSUE`, negative where it is darker.
        start, end: the ends of its axis, equal for a ball.
    """

    kind: str
    diameter_mm: float
    contrast: float
    start: Point
    end: Point

    @property
    def group(self) -> str:
        """What it is counted with: ``ball 3`` or ``rod 2``."""
        return f"{self.kind.partition(' ')[0]} {self.diameter_mm:g}"

    @property
    def centre(self) -> Point:
        """Of its axis, in mm."""
        x, y, z = ((a + b) / 2 for a, b in zip(self.start, self.end, strict=True))
        return x, y, z

    def shape(self, lattice: Lattice) -> Floats:
        """Share of each voxel that it fills."""
        return rod(lattice, self.start, self.end, self.diameter_mm)


@dataclass(frozen=True)
class Scene:
    """A phantom.

    Attributes:
        name: what tables and pages call it.
        lattice: its grid.
        truth: intensities ``(z, y, x)``.
        plain: the same without the things that are judged.
        tissue: where structure could be made up, away from the things.
        lesions: balls and rods in it.
    """

    name: str
    lattice: Lattice
    truth: Floats
    plain: Floats
    tissue: NDArray[np.bool_]
    lesions: tuple[Lesion, ...] = field(default=())

    def volume(self, modality: str = "MR") -> Volume:
        """The truth as an image of that modality."""
        return as_volume(self.truth, modality)


def as_volume(intensities: Floats, modality: str) -> Volume:
    """Intensities of a scene on a grid of 1 mm; of CT in HU."""
    z, y, x = intensities.shape
    geometry = Geometry((x, y, z), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    array = to_hounsfield(intensities) if modality == "CT" else intensities
    return Volume(array, geometry, modality=modality, source="phantom")


def to_hounsfield(intensities: Floats) -> Floats:
    """Air at -1000 HU, tissue at 50 HU, and contrasts of tissue at 3 HU per per cent."""
    body = _CT_TISSUE + (intensities / TISSUE - 1) * _CT_RANGE
    share = np.clip(intensities / (0.15 * TISSUE), 0, 1)
    return np.asarray(_AIR + share * (body - _AIR), dtype=np.float32)


def from_image(array: Floats, modality: str) -> Floats:
    """Intensities of a scene from those of an image, right for what is no air."""
    return TISSUE * (1 + (array - _CT_TISSUE) / _CT_RANGE) if modality == "CT" else array


def anatomy(lattice: Lattice, seed: int) -> tuple[Floats, Floats]:
    """A head without lesions, and the depth in mm of its white tissue below the nearest edge.

    Scalp, skull, folded grey ribbon, white tissue with two ventricles; a smooth bias of 8 % and a texture of 1 %.
    """
    rng = np.random.default_rng(seed)
    middle = tuple(n / 2 for n in lattice.size_xyz)
    centre: Point = (middle[0], middle[1], middle[2])
    radii = [0.465 * n for n in lattice.size_xyz]
    head = [egg(lattice, centre, [r - depth for r in radii], 4.0) for depth in (0.0, 2.0, 4.0)]
    x, y, z = (axis - c for axis, c in zip(lattice.axes, centre, strict=True))
    turns = rng.uniform(0, 2 * np.pi, 3)
    folds = 1.2 * (np.sin(x / 2.5 + turns[0]) * np.cos(y / 3.0 + turns[1]) + np.sin(z / 2.8 + turns[2]))
    white = egg_distance(lattice, centre, [r - 8.0 for r in radii], 4.0) + folds.astype(np.float32)
    side = 0.11 * lattice.size_xyz[0]
    ventricles = np.minimum(
        *(
            egg_distance(lattice, (centre[0] + s, centre[1], centre[2]), (0.05 * min(lattice.size_xyz),) * 2 + (side,))
            for s in (-side, side)
        )
    )
    depth = np.minimum(-white, ventricles)
    image = 0.85 * head[0] - 0.7 * head[1] + 0.6 * head[2] + 0.25 * filled(white) - 0.65 * filled(ventricles)
    bias = 1 + 0.08 * np.sin(x / 30 + turns[0]) * np.cos(y / 35) * np.cos(z / 40)
    grain = ndi.gaussian_filter(rng.standard_normal(lattice.shape).astype(np.float32), 3.0)
    texture = 1 + 0.01 * grain / max(float(grain.std()), 1e-12)
    return np.asarray(TISSUE * np.maximum(image, 0) * bias * texture, dtype=np.float32), np.asarray(depth, np.float32)


def wanted_lesions() -> list[tuple[str, float, float, Point]]:
    """Kind, diameter, contrast and direction of every lesion, the largest first: they are the hardest to place."""
    found: list[tuple[str, float, float, Point]] = []
    directions = {"rod in slices": (1.0, 0.3, 0.0), "rod across": (0.1, 0.1, 1.0), "rod oblique": (1.0, 0.6, 1.0)}
    for contrast in CONTRASTS:
        found += [("ball", d, sign * contrast, (0.0, 0.0, 0.0)) for d in BALLS_MM for sign in (1, -1)]
    for number, contrast in enumerate(CONTRASTS[1:]):
        for index, (kind, direction) in enumerate(directions.items()):
            found += [(kind, d, contrast * (-1) ** (number + index), direction) for d in RODS_MM]
    return sorted(found, key=lambda each: (not each[0].startswith("rod"), -each[1]))


def place_lesions(depth: Floats, lattice: Lattice, seed: int) -> tuple[Lesion, ...]:
    """Lesions at random places deep enough in tissue and away from each other; those for which there is no room, none.

    Args:
        depth: distance in mm to the nearest edge of the tissue, positive inside.
        lattice: its grid.
        seed: of the places.
    """
    rng = np.random.default_rng(seed)
    free = ndi.distance_transform_edt(depth > 0).astype(np.float32)
    placed: list[Lesion] = []
    for kind, diameter, contrast, direction in wanted_lesions():
        for _ in range(60):
            lesion = _somewhere(kind, diameter, contrast, direction, free, rng)
            if lesion is None:
                continue
            placed.append(lesion)
            free = np.minimum(free, rod_distance(lattice, lesion.start, lesion.end, diameter))
            break
    return tuple(placed)


def _somewhere(
    kind: str, diameter: float, contrast: float, direction: Point, free: Floats, rng: np.random.Generator
) -> Lesion | None:
    """A lesion at a random place where it fits, or None where it does not."""
    needed = diameter / 2 + _GAP_MM
    half = np.array(direction) / max(float(np.linalg.norm(direction)), 1e-12) * (ROD_LENGTH_MM - diameter) / 2
    if kind == "ball":
        half = np.zeros(3)
    inside = np.flatnonzero(free > needed)
    if not inside.size:
        return None
    place = np.array(np.unravel_index(int(rng.choice(inside)), free.shape))
    centre = place[::-1] + rng.uniform(0.2, 0.8, 3)
    start, end = centre - half, centre + half
    for step in np.linspace(0, 1, 9):
        x, y, z = (int(v) for v in np.floor(start + step * (end - start)))
        if not all(0 <= v < n for v, n in zip((z, y, x), free.shape, strict=True)) or free[z, y, x] <= needed:
            return None
    return Lesion(kind, diameter, contrast, _point(start), _point(end))


def _point(values: Sequence[float] | NDArray[np.floating]) -> Point:
    return round(float(values[0]), 2), round(float(values[1]), 2), round(float(values[2]), 2)


def lesion_scene(edge: int = EDGE, seed: int = 0) -> Scene:
    """A head with balls and rods of low contrast in its white tissue."""
    lattice = Lattice((edge,) * 3)
    plain, depth = anatomy(lattice, seed)
    lesions = place_lesions(depth, lattice, seed)
    truth, near = plain.copy(), np.zeros(lattice.shape, bool)
    for lesion in lesions:
        shape = lesion.shape(lattice)
        truth += np.float32(lesion.contrast * TISSUE) * shape
        near |= shape > 0
    tissue = (depth > 0) & ~ndi.binary_dilation(near, iterations=6)
    return Scene("lesions", lattice, truth, plain, tissue, lesions)


def blank_scene(edge: int = EDGE, seed: int = 0) -> Scene:
    """Another head, without any lesion: what is in its result was made."""
    lattice = Lattice((edge,) * 3)
    # Another anatomy, so that both together say more than one of them twice.
    plain, depth = anatomy(lattice, seed + 1000)
    return Scene("no lesions", lattice, plain, plain, depth > 0)


def solid(lattice: Lattice) -> Floats:
    """A body of one tissue, a box with round edges, with a slight bias."""
    x, y, z = (n / 2 for n in lattice.size_xyz)
    body = egg(lattice, (x, y, z), [0.465 * n for n in lattice.size_xyz], 12.0)
    bias = 1 + 0.03 * np.sin(lattice.axes[0] / 40) * np.cos(lattice.axes[1] / 45)
    return np.asarray(0.8 * TISSUE * body * bias, dtype=np.float32)
