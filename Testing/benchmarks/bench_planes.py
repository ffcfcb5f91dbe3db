"""What averaging answers gains: a volumetric network with its slices, and with itself on the mirrored volume.

    python Testing/benchmarks/bench_planes.py brain.nii.gz --cases z3 z4 z6gap x3 --crop 96
    python Testing/benchmarks/bench_planes.py brain.nii.gz --cases iso2 z4 --noise 0.02 --crop 96

Degrades each volume as `medsr evaluate` does and prints PSNR against the volumetric network alone: for shares of that
network from 1 to 0, the slices across the axes that are not enlarged (across all, where all are) having the rest; and
for the mean with its answer for the volume mirrored along every axis. `--invert` also judges each volume with its
contrast inverted, a stand-in for a contrast that no training volume had. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr.evaluation.protocols import CASES, Case, central_crop, degrade
from medsr.inference.consistency import make_consistent
from medsr.inference.planner import make_plan
from medsr.inference.profile_fit import fitted_acquisition
from medsr.methods.networks import RefiningEnlarger
from medsr.metrics import psnr
from medsr.normalisation import Normalisation
from medsr.options import UpscaleOptions
from medsr.volume import Volume

SHARES = (0.75, 0.6, 0.5, 0.4, 0.25, 0.0)


def inverted(volume: Volume) -> Volume:
    """Bright tissue dark and dark tissue bright; air stays black."""
    array = volume.array.astype(np.float32)
    high = float(np.percentile(array, 99.5))
    return volume.replace(array=np.where(array > 0.05 * high, np.clip(1.1 * high - array, 0, None), array))


def gains(volume: Volume, case: Case, model: str, noise: float) -> list[float]:
    """PSNR above the volumetric network alone: mirrored, then by `SHARES`."""
    reference, measured, acquisition = degrade(volume, replace(case, noise=noise))
    plan = make_plan(measured, UpscaleOptions(scale=case.scale_xyz, model=model, effort="thorough"))
    plan = replace(plan, acquisition=acquisition)
    coarse = measured.array
    scale = Normalisation.of(coarse, plan.modality)
    fits = plan.modality == "MR"

    def judged(fine: NDArray[np.float32]) -> float:
        corrected = np.maximum(fine, coarse.min())
        explains = fitted_acquisition(corrected, coarse, acquisition) if fits else acquisition
        make_consistent(corrected, coarse, explains, noise=plan.noise)
        return psnr(corrected, reference.array)

    volumetric = RefiningEnlarger(plan, "cpu", None, scale)
    alone = volumetric(coarse, lambda _: None)
    mirrored = volumetric(np.ascontiguousarray(np.flip(coarse)), lambda _: None)
    slices = [RefiningEnlarger(job, "cpu", None, scale)(coarse, lambda _: None) for job in plan.planes]
    start = judged(alone)
    if not slices:
        sys.exit(f"{plan.entry.name} has no slices to average with in the case {case.name}.")
    flat = np.mean(slices, axis=0)
    mixed = [share * alone + (1 - share) * flat for share in SHARES]
    return [judged(fine) - start for fine in (0.5 * (alone + np.flip(mirrored)), *mixed)]


def main() -> None:
    """Judge every case of every volume."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("volumes", nargs="+", type=Path)
    parser.add_argument("--cases", nargs="+", default=["z3", "z4", "z6gap", "x3"], choices=list(CASES))
    parser.add_argument("--crop", type=int, default=96, help="side of the central box that is judged, in voxels")
    parser.add_argument("--modality", default="MR", choices=("CT", "MR"))
    parser.add_argument("--model", default="auto")
    parser.add_argument("--noise", type=float, default=0.0, help="Rician noise, a fraction of the 99th percentile")
    parser.add_argument("--invert", action="store_true", help="judge each volume with inverted contrast as well")
    arguments = parser.parse_args()
    columns = ("volume", "case", "mirrored", *(f"share {share:g}" for share in SHARES))
    sys.stdout.write("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|\n")
    rows = []
    for path in arguments.volumes:
        volume = central_crop(medsr.read_volume(path).replace(modality=arguments.modality), (arguments.crop,) * 3)
        variants = {path.name: volume, f"{path.name}, inverted": inverted(volume)}
        for name, variant in list(variants.items())[: 2 if arguments.invert else 1]:
            for case in arguments.cases:
                rows.append(gains(variant, CASES[case], arguments.model, arguments.noise))
                sys.stdout.write(f"| {name} | {case} | " + " | ".join(f"{gain:+.3f}" for gain in rows[-1]) + " |\n")
    sys.stdout.write("| mean | | " + " | ".join(f"{gain:+.3f}" for gain in np.mean(rows, axis=0)) + " |\n")


if __name__ == "__main__":
    main()
