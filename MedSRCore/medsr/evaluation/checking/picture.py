"""One PNG of a check: what the other series shows, what the result added, and where the one confirms the other.

Two rows for a slice of the other series: for that with most of the detail that is judged, and for that of the most
doubtful place. Above: the other series; the plain enlargement; the result, both as the other scanner would see them.
Below: what the result added; what the other series shows beyond the plain enlargement; and the share that is confirmed,
in colours over the result: warm confirmed, black nothing of it, cold the opposite, grey not judged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsr.evaluation.checking.run import Check
from medsr.evaluation.detail import Band, filtered
from medsr.evaluation.png import difference_indices, difference_palette, grey_levels, palette_png
from medsr.evaluation.real_page import upright

_HALF = 128
"""Colours of the palette for grey levels, and as many for shares."""

_STRENGTH = 3.0
"""Standard deviations of what the other series has that are shown between black and white on either side of grey."""

_HEIGHT = 280
_GAP = 6


def check_picture(check: Check) -> bytes:
    """The picture as PNG."""
    lattice, aligned = check.aligned.lattice, check.aligned
    bands = [each.band for each, _ in check.verdict.bands]
    union = Band("all", "all", min(b.shortest_mm for b in bands), max(b.longest_mm for b in bands))
    result = aligned.plain + check.added
    added, missing = (
        filtered(image, lattice, union) for image in (check.added, np.asarray(aligned.other - aligned.plain))
    )
    low, high = (float(v) for v in np.percentile(aligned.plain[lattice.kept], [1, 99.5]))
    limit = max(_STRENGTH * float(missing[lattice.kept].std()), 1e-12)
    share, judged = check.verdict.on_lattice
    rows = []
    for k in _slices(check):
        seen = [_levels(image[k], low, high) for image in (aligned.other, aligned.plain, result)]
        detail = [_levels(image[k], -limit, limit) for image in (added, missing)]
        coloured = _HALF + np.minimum(difference_indices(share[k], 1.0) // 2, _HALF - 1)
        detail.append(np.where(judged[k], coloured, _levels(result[k], low, high) // 2).astype(np.uint8))
        rows += [_beside([_shown(each, check) for each in row]) for row in (seen, detail)]
    gap = np.zeros((_GAP, rows[0].shape[1]), np.uint8)
    parts = [part for row in rows for part in (gap, row)][1:]
    return palette_png(np.vstack(parts), _palette())


def _slices(check: Check) -> list[int]:
    """Of the lattice: with most of what is judged, and with the place that is contradicted most."""
    energy = np.sum([np.where(each.judged, each.energy, 0).sum(axis=(1, 2)) for each, _ in check.verdict.bands], axis=0)
    found = [int(energy.argmax())]
    if check.verdict.places:
        grid = check.aligned.lattice.geometry
        worst = int(np.rint(grid.to_index(check.verdict.places[0].centre_mm)[2]))
        found.append(min(max(worst, 0), grid.size_xyz[2] - 1))
    return list(dict.fromkeys(found))


def _levels(image: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    return np.asarray(grey_levels(image, low, max(high, low + 1e-12)) // 2, dtype=np.uint8)


def _shown(picture: NDArray[np.uint8], check: Check) -> NDArray[np.uint8]:
    """Upright, in square pixels, large enough for a screen."""
    lattice = check.aligned.lattice
    turned = upright(picture, lattice)
    down, right = lattice.geometry.spacing_xyz_mm[:2]
    times = max(1, round(_HEIGHT / turned.shape[0]))
    return np.repeat(np.repeat(turned, times, axis=0), max(1, round(times * right / down)), axis=1)


def _beside(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.zeros((pictures[0].shape[0], _GAP), np.uint8)
    return np.hstack([part for picture in pictures for part in (gap, picture)][1:])


def _palette() -> NDArray[np.uint8]:
    grey = np.repeat(np.rint(np.linspace(0, 255, _HALF)).astype(np.uint8)[:, None], 3, axis=1)
    return np.vstack([grey, difference_palette()[::2][:_HALF]])
