"""What became of each structure in a copy: volume, overlap, topology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from medsr.augmentation.labels import resample_labels, structure_volumes
from medsr.augmentation.topology import structure_topology
from medsr.volume import Volume


def compare_structures(before: Volume, after: Volume, structures: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """What became of each structure, ready for JSON.

    - ``before`` and ``after``: its volume in mm3, of a picture its area; ``change``: growth as a fraction, None where
      there was nothing;
    - ``dice``: with the original, after going back to its grid, None where it is in neither;
    - ``topology``: pieces, tunnels and cavities ``before`` and ``after``.

    Args:
        before: label map of the original.
        after: that of the copy.
        structures: name -> value in both.
    """
    same = before.geometry.is_same_as(after.geometry) and np.array_equal(before.array, after.array)
    back = before if same else resample_labels(after, before.geometry)
    volumes, volumes_now = (structure_volumes(label, structures) for label in (before, after))
    topology = structure_topology(before, structures)
    topology_now = topology if same else structure_topology(after, structures)
    return {
        name: {
            "before": round(was, 4),
            "after": round(volumes_now[name], 4),
            "change": round(volumes_now[name] / was - 1, 6) if was else None,
            "dice": _dice(before, back, structures[name]),
            "topology": {"before": list(topology[name]), "after": list(topology_now[name])},
        }
        for name, was in volumes.items()
    }


def _dice(one: Volume, other: Volume, value: int) -> float | None:
    first, second = one.array == value, other.array == value
    total = np.count_nonzero(first) + np.count_nonzero(second)
    return round(2 * np.count_nonzero(first & second) / total, 5) if total else None
