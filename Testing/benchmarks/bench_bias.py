"""Do Hounsfield units stay? The mean of (degraded result - input) over volumes and cases.

    python Testing/benchmarks/bench_bias.py chest.nii.gz --cases iso2 z4 z5box --crop 96

Degrades each volume as `medsr evaluate` does, enlarges it with the network that `auto` picks, degrades the result with
the same acquisition and prints mean and root mean square of the difference from what was measured, in the units of the
image. Prints Markdown; exits 1 when the absolute mean of a case reaches `--limit`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import medsr
from medsr.evaluation.protocols import CASES, central_crop, degrade
from medsr.inference.pipeline import super_resolve
from medsr.options import UpscaleOptions


def main() -> int:
    """Measure every case of every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--cases", nargs="+", default=["iso2", "z4", "z5box"], choices=list(CASES))
    parser.add_argument("--crop", type=int, default=96, help="side of the central box that is judged, in voxels")
    parser.add_argument("--modality", default="CT", choices=("CT", "MR"))
    parser.add_argument("--limit", type=float, default=1.0, help="largest absolute mean that is accepted")
    arguments = parser.parse_args()
    sys.stdout.write("| volume | case | model | mean difference | root mean square |\n" + "| --- " * 5 + "|\n")
    worst = 0.0
    for path in arguments.volumes:
        volume = central_crop(medsr.read_volume(path).replace(modality=arguments.modality), (arguments.crop,) * 3)
        for name in arguments.cases:
            case = CASES[name]
            _, measured, acquisition = degrade(volume, case)
            options = UpscaleOptions(scale=case.scale_xyz, profile=case.profile.value, device="cpu")
            result = super_resolve(measured, options)
            difference = acquisition.forward(result.volume.array.astype(np.float64)) - measured.array
            bias, spread = float(difference.mean()), float(np.sqrt((difference**2).mean()))
            worst = max(worst, abs(bias))
            sys.stdout.write(f"| {path.name} | {name} | {result.report['model']} | {bias:.1e} | {spread:.1e} |\n")
    return int(worst >= arguments.limit)


if __name__ == "__main__":
    sys.exit(main())
