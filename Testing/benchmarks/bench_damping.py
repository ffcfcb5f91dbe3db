"""What damping the step back to the measured data costs and saves where a filter leaves next to nothing.

    python Testing/benchmarks/bench_damping.py brain.nii.gz flair.nii.gz --crop 64

Each volume is seen through the filtered encoding of the case `kf2`, without and with a little Rician noise, and is
enlarged, told nothing. Prints the mean gain over B-spline in dB for several dampings, as Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import medsr
from medsr.evaluation.run import evaluate
from medsr.inference import consistency
from medsr.volume import Volume

DAMPINGS = (0.0, 0.01, 0.03, 0.1, 0.3)
NOISES = (0.0, 0.005, 0.01)


def gain(volumes: Mapping[str, Volume], damping: float, noise: float, crop: int) -> float:
    """Mean PSNR of `auto` above that of B-spline."""
    consistency._DAMPING = damping
    table = evaluate(volumes, ["bspline", "auto"], ["kf2"], noise=noise, told="nothing", crop=(crop,) * 3)
    found = {(row.volume, row.model): row.psnr or np.nan for row in table}
    return float(np.mean([found[name, "auto"] - found[name, "bspline"] for name in volumes]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--crop", type=int, default=64)
    arguments = parser.parse_args()
    volumes = {Path(file).name: medsr.read_volume(file).replace(modality="MR") for file in arguments.files}
    print("| damping | " + " | ".join(f"{100 * noise:g} % noise" for noise in NOISES) + " |")
    print("|---|" + "---:|" * len(NOISES))
    for damping in DAMPINGS:
        gains = [gain(volumes, damping, noise, arguments.crop) for noise in NOISES]
        print(f"| {damping:g} | " + " | ".join(f"{value:+.2f}" for value in gains) + " |", flush=True)


if __name__ == "__main__":
    main()
