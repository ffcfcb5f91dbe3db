"""What progressive-gan shows half-way: its x2 picture against bicubic x2 of the same coarse image.

    python Testing/benchmarks/study_progressive.py --data DIR --page docs/reference/systems.md

The truth of the x2 picture is the fine image made twice as coarse (bicubic); the input is four times as coarse.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from held_out import IMAGES, HeldOutVolumes
from numpy.typing import NDArray
from pages import write_between

from medsr import metrics
from medsr.catalog import find_model
from medsr.evaluation.scoring import grey
from medsr.evaluation.tables import markdown_table
from medsr.methods.engines import load_network
from medsr.normalisation import Normalisation
from medsr.physics.downscaling import bicubic_matrix, downscale

Image = NDArray[np.float32]
NAME = "progressive-gan"


def enlarged(coarse: Image, factor: int) -> Image:
    """Bicubic enlargement of a slice."""
    rows, columns = (bicubic_matrix(n, n * factor).astype(np.float32) for n in coarse.shape)
    return np.asarray(rows @ coarse @ columns.T)


def main() -> None:
    """Enlarge one slice of every held-out image, judge both pictures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    network = load_network(find_model(NAME))
    lines, gains = [], []
    volumes = HeldOutVolumes(arguments.data, ["MR", "CT", "photo"], (512, 512, 1))
    for image in IMAGES:
        plane = grey(volumes[image.name].array)[0]
        plane = plane[: plane.shape[0] // 4 * 4, : plane.shape[1] // 4 * 4]
        fine = Normalisation.of(plane, "CT" if image.group == "CT" else "MR").apply(plane)
        coarse, half = (downscale(fine, "bicubic", (factor, factor)) for factor in (4, 2))
        batch = torch.from_numpy(np.ascontiguousarray(coarse))[None, None]
        with torch.inference_mode():
            middle, whole = network.intermediate(batch)[0, 0].numpy(), network(batch)[0, 0].numpy()
        figures = [
            metrics.psnr(enlarged(coarse, 2), half), metrics.psnr(middle, half),
            metrics.psnr(enlarged(coarse, 4), fine), metrics.psnr(whole, fine),
        ]  # fmt: skip
        gains.append((figures[1] - figures[0], figures[3] - figures[2]))
        lines.append([image.name, *(f"{value:.2f}" for value in figures)])
    mean = np.mean(gains, axis=0)
    lines.append(["mean gain of the network", "", f"{mean[0]:+.2f}", "", f"{mean[1]:+.2f}"])
    head = ["image", "bicubic x2", "its x2 picture", "bicubic x4", "its x4 picture"]
    write_between(arguments.page, "progressive", markdown_table(head, lines))


if __name__ == "__main__":
    main()
