"""How many pieces, tunnels and cavities a structure has: the Betti numbers of its voxels.

Voxels are closed cubes: those that share a corner hang together, and the outside hangs together through faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsr.volume import Volume

Betti = tuple[int, int, int]


def structure_topology(label: Volume, structures: Mapping[str, int]) -> dict[str, Betti]:
    """`betti_numbers` of each structure; (0, 0, 0) for one that is not there."""
    boxes = ndimage.find_objects(label.array.astype(np.int32, copy=False))
    found = {}
    for name, value in structures.items():
        box = boxes[value - 1] if 0 < value <= len(boxes) else None
        if value:
            found[name] = betti_numbers(label.array[box] == value) if box is not None else (0, 0, 0)
    return found


def betti_numbers(shape: NDArray[np.bool_]) -> Betti:
    """Pieces, tunnels (handles) and cavities of a set of voxels ``(z, y, x)``.

    Tunnels follow from the Euler characteristic: corners less edges plus faces less cubes is pieces less tunnels plus
    cavities. In a single slice a tunnel is a hole of the picture.
    """
    padded = np.pad(shape, 1)
    pieces = int(ndimage.label(padded, np.ones((3, 3, 3)))[1])
    cavities = int(ndimage.label(~padded)[1]) - 1
    return pieces, pieces + cavities - _euler(padded), cavities


def _euler(padded: NDArray[np.bool_]) -> int:
    """Corners less edges plus faces less cubes; an element is there when a voxel that has it is."""
    total = 0
    for spans in product((False, True), repeat=3):
        # Along an axis that an element does not span, it lies between two voxels.
        there = padded
        for axis, spanned in enumerate(spans):
            if not spanned:
                first, second = (np.take(there, range(a, there.shape[axis] - 1 + a), axis) for a in (0, 1))
                there = first | second
        total += (-1) ** sum(spans) * int(np.count_nonzero(there))
    return total
