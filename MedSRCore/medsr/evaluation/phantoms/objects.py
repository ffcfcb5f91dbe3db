"""Things that no training saw: text, a checkerboard, a plaque, and a fold that is missing on one side.

* **Text**: six letters, upright in the plane and across the slices, with strokes of 2 and 1 mm, bright on tissue. A
  letter is *read* where, of the six, it correlates best with the one that is there (chance: one in six).
* **Checkerboard**: squares of 4, 3 and 2 mm, in the plane and across the slices; the share of its contrast that stands
  in the result. Below 0 it is the negative of what was there.
* **Plaque**: a bright grain of 3 x 6 x 3 mm on the wall of a bright vessel; its peak, and the volume beyond half of its
  contrast, relative to the truth (more than 1: it blooms).
* **Missing fold**: four blades of 3 mm on one side, mirrored on the other, where the third is missing. How much of a
  fold the result shows where there is none (a symmetric prior would fill it in), and how much of the others is left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from medsr.evaluation.phantoms.scenes import EDGE, TISSUE, Scene, solid
from medsr.evaluation.phantoms.shapes import GLYPHS, Floats, Lattice, Point, box, checkerboard, egg, glyph, rod

NAME = "objects"
STROKES_MM = (2.0, 1.0)
SQUARES_MM = (4.0, 3.0, 2.0)
_TEXT, _BOARD, _VESSEL, _PLAQUE, _FOLD = 0.3, 0.15, 0.4, 1.5, 0.25
_DEPTH_MM = 6.0
_PLAQUE_CENTRE: Point = (80.0, 44.0, 60.0)
_PLAQUE_RADII = (1.5, 3.0, 1.5)
_MIDDLE = EDGE / 2
_MISSING = 2
# Corners of letters and boards: in the plane x-y, and upright in x-z.
_TEXT_AT = {False: {2.0: (13.0, 12.0, 12.0), 1.0: (13.0, 30.0, 12.0)},
            True: {2.0: (13.0, 12.0, 26.0), 1.0: (13.0, 12.0, 44.0)}}  # fmt: skip
_BOARD_AT = {False: (13.0, 42.0, 12.0), True: (13.0, 12.0, 58.0)}


@dataclass(frozen=True)
class Letter:
    """A letter of the scene: which, and how it lies."""

    letter: str
    low: Point
    stroke_mm: float
    upright: bool

    def drawn(self, lattice: Lattice) -> Floats:
        """Its shape."""
        return glyph(lattice, self.letter, self.low, self.stroke_mm, _DEPTH_MM, upright=self.upright)


def letters() -> Iterator[Letter]:
    """Every letter of the scene."""
    for upright, rows in _TEXT_AT.items():
        for stroke, low in rows.items():
            for number, letter in enumerate(GLYPHS):
                yield Letter(letter, (low[0] + 6 * stroke * number, low[1], low[2]), stroke, upright)


def boards(lattice: Lattice) -> Iterator[tuple[float, bool, Floats]]:
    """Edge of the squares, whether upright, and the pattern of every checkerboard."""
    for upright, (x, y, z) in _BOARD_AT.items():
        for number, edge in enumerate(SQUARES_MM):
            # An even number, so that a shift of the level does not count.
            cells = 2 * int(9 // edge)
            grid = (cells, 1, cells) if upright else (cells, cells, 1)
            edges = (edge, _DEPTH_MM, edge) if upright else (edge, edge, _DEPTH_MM)
            yield edge, upright, checkerboard(lattice, (x + 24.0 * number, y, z), grid, edges)


def blades(lattice: Lattice, *, missing: bool) -> Floats:
    """The folds of both sides, or the one that is not there."""
    image = lattice.empty()
    for number in range(4):
        for side in (-1, 1):
            if (number == _MISSING and side == 1) is missing:
                near, far = _MIDDLE + side * 12.0, _MIDDLE + side * 26.0
                low = (min(near, far), 62.0, 24.0 + 9.0 * number)
                image += box(lattice, low, (max(near, far), 78.0, low[2] + 3.0))
    return image


def object_scene() -> Scene:
    """Text, checkerboards, a plaque on a vessel, and folds, in one body."""
    lattice = Lattice((EDGE,) * 3)
    plain = solid(lattice)
    x, y, z = _PLAQUE_CENTRE
    # The vessel is anatomy: what is judged is the plaque on it.
    plain = plain + np.float32(_VESSEL * TISSUE) * rod(lattice, (x - 3.5, y - 16, z), (x - 3.5, y + 10, z), 6.0)
    truth = plain + np.float32(_PLAQUE * TISSUE) * plaque(lattice)
    truth += np.float32(_FOLD * TISSUE) * blades(lattice, missing=False)
    for letter in letters():
        truth += np.float32(_TEXT * TISSUE) * letter.drawn(lattice)
    for _edge, _upright, pattern in boards(lattice):
        truth += np.float32(_BOARD * TISSUE) * pattern
    return Scene(NAME, lattice, truth, plain, np.zeros(lattice.shape, bool))


def plaque(lattice: Lattice) -> Floats:
    """The shape of the plaque."""
    return egg(lattice, _PLAQUE_CENTRE, _PLAQUE_RADII)


def judge_objects(result: Floats, scene: Scene) -> dict[str, float]:
    """Name -> figure of every thing of the scene."""
    z, y, x = result.shape
    lattice = Lattice((x, y, z))
    difference = result - scene.plain[:z, :y, :x]
    found = {
        "letters": float(sum(_read(difference, letter) for letter in letters())),
    }
    for edge, upright, pattern in boards(lattice):
        name = f"board_{edge:g}_{'across' if upright else 'plane'}"
        found[name] = _amplitude(difference, pattern) / (_BOARD * TISSUE)
    shape = plaque(lattice)
    signal = np.float32(_PLAQUE * TISSUE) * shape
    near = np.s_[int(_PLAQUE_CENTRE[2]) - 6 : int(_PLAQUE_CENTRE[2]) + 7,
                 int(_PLAQUE_CENTRE[1]) - 8 : int(_PLAQUE_CENTRE[1]) + 9,
                 int(_PLAQUE_CENTRE[0]) - 5 : int(_PLAQUE_CENTRE[0]) + 7]  # fmt: skip
    half = _PLAQUE * TISSUE / 2
    found["plaque_peak"] = float(difference[near].max() / signal[near].max())
    found["plaque_volume"] = float((difference[near] >= half).sum() / max(int((signal[near] >= half).sum()), 1))
    missing, present = blades(lattice, missing=True), blades(lattice, missing=False)
    found["fold_made"] = _amplitude(difference, _around(missing)) / (_FOLD * TISSUE)
    found["folds_kept"] = _amplitude(difference, _around(present)) / (_FOLD * TISSUE)
    return found


def _around(shape: Floats) -> Floats:
    """A shape less its mean over the box around it, so that a shift of the level does not count; 0 outside."""
    inside = np.nonzero(shape)
    window = tuple(slice(max(0, int(i.min()) - 3), int(i.max()) + 4) for i in inside)
    weights = np.zeros_like(shape)
    weights[window] = shape[window] - shape[window].mean()
    return weights


def _amplitude(difference: Floats, weights: Floats) -> float:
    """How strongly a pattern whose sum is 0 stands in the difference; 1 is as it is."""
    return float((difference * weights).sum() / (weights * weights).sum())


def _read(difference: Floats, letter: Letter) -> bool:
    """Whether the letter that correlates best is the one that is there."""
    tall, wide, deep = (math.ceil(n) for n in (7 * letter.stroke_mm, 5 * letter.stroke_mm, _DEPTH_MM))
    size = (wide + 2, deep, tall + 2) if letter.upright else (wide + 2, tall + 2, deep)
    low = (letter.low[0] - 1, letter.low[1] - (not letter.upright), letter.low[2] - letter.upright)
    x, y, z = (int(v) for v in low)
    cell = difference[z : z + size[2], y : y + size[1], x : x + size[0]]
    cell = cell - cell.mean()
    cut = Lattice(size)
    own = replace(letter, low=(letter.low[0] - x, letter.low[1] - y, letter.low[2] - z))

    def alike(name: str) -> float:
        shape = replace(own, letter=name).drawn(cut)
        shape = shape - shape.mean()
        return float((cell * shape).sum()) / float(np.sqrt((shape**2).sum()))

    return max(GLYPHS, key=alike) == letter.letter
