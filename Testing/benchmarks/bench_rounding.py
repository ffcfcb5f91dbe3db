"""How far do roundings lead? What refiners give when the last digits of what they read differ.

    python Testing/benchmarks/bench_rounding.py brain.nii.gz --models mr-3d mr-3d-noisy slices-2d slices-2d-noisy

Halves the resolution of each volume, enlarges it again, and gives every tile to the network a second time with each
voxel moved to the next float32 number. Without volumes it takes the brain of `medsr demo`. Prints Markdown: the largest
correction, the largest difference and its share of the bound in docs/explanation/architecture.md, and the root mean
square of the difference over that of the correction. Exits 1 when a difference exceeds the bound.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

import medsr
from medsr.demo import load_template
from medsr.evaluation.protocols import CASES, central_crop, degrade
from medsr.inference.pipeline import super_resolve
from medsr.methods import engines
from medsr.options import UpscaleOptions


@dataclass
class Seen:
    """Of all tiles of one network: largest correction and difference, and their sums of squares."""

    largest: np.ndarray = field(default_factory=lambda: np.zeros(2))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(2))


class Watched(engines.TorchEngine):
    """Computes every tile twice and remembers, by number of blocks, how results and corrections compare."""

    seen: ClassVar[dict[int, Seen]] = {}

    def __call__(self, tile):
        """See `TileEngine`."""
        signs = np.random.default_rng(0).choice(np.float32([-1, 1]), tile.shape)
        wanted = super().__call__(tile)
        moved = super().__call__(np.nextafter(tile, tile + signs))
        seen = self.seen.setdefault(len(self._network.pairs), Seen())
        changes = np.stack([wanted - tile, moved - wanted]).reshape(2, -1)
        seen.largest = np.maximum(seen.largest, np.abs(changes).max(axis=1))
        seen.squares += np.square(changes, dtype=np.float64).sum(axis=1)
        return wanted


def main() -> int:
    """Measure every model on every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="*", type=Path)
    parser.add_argument("--models", nargs="+", default=["mr-3d", "mr-3d-noisy", "slices-2d", "slices-2d-noisy"])
    parser.add_argument("--crop", type=int, default=96, help="side of the central box that is taken, in voxels")
    arguments = parser.parse_args()
    engines.TorchEngine = Watched
    sys.stdout.write("| volume | model | correction | difference | of the bound | rms |\n" + "| --- " * 6 + "|\n")
    worst = 0.0
    for volume in [medsr.read_volume(path) for path in arguments.volumes] or [load_template()]:
        case = CASES["iso2"]
        _, measured, _ = degrade(central_crop(volume, (arguments.crop,) * 3), case)
        for model in arguments.models:
            Watched.seen.clear()
            options = UpscaleOptions(scale=case.scale_xyz, model=model, consistency=False, device="cpu")
            super_resolve(measured, options)
            # The first network is the model's own; a second one refines slices.
            blocks, seen = next(iter(Watched.seen.items()))
            correction, difference = seen.largest
            share = difference / (2 * 2.0**-8 * math.sqrt(3 * blocks + 2) * correction)
            worst = max(worst, share)
            mean = math.sqrt(seen.squares[1] / seen.squares[0])
            name = Path(volume.source).name
            sys.stdout.write(f"| {name} | {model} | {correction:.3f} | {difference:.5f} | {share:.0%} | {mean:.2%} |\n")
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
