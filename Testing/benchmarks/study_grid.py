"""Do the networks leave a grid? Power at the frequencies of a pattern that repeats every coarse voxel.

    python Testing/benchmarks/study_grid.py --data DIR --page docs/reference/systems.md

Networks that enlarge by sub-pixel convolution can print a checkerboard of the period of their factor. For each image
the power spectrum along the rows and along the columns is read at the frequencies 1/4 and 1/2 per voxel and divided by
that of its neighbourhood: 1 is no grid. One slice of every held-out image, x4.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from held_out import HeldOutVolumes
from numpy.typing import NDArray
from pages import write_between

from medsr.evaluation.rows import BICUBIC
from medsr.evaluation.run import Trial, evaluate
from medsr.evaluation.scoring import grey
from medsr.evaluation.tables import markdown_table, marked

FACTOR = 4
MODELS = (BICUBIC, "auto", "vdsr7-multiscale", "progressive-gan", "srresnet", "srgan", "edsr-se-gan")
_NEAR, _FAR = 2, 6


def grid_power(image: NDArray[np.floating]) -> float:
    """Power at the frequencies of the grid over that of their neighbours, mean over both axes.

    Args:
        image: ``(y, x)``.
    """
    ratios = []
    for lines in (image, image.T):
        length = lines.shape[1] // FACTOR * FACTOR
        # A window, so that the ends of a line do not leak into all frequencies.
        spectrum = np.abs(np.fft.rfft(lines[:, :length] * np.hanning(length), axis=1)) ** 2
        power = spectrum.mean(axis=0)
        for place in (length // FACTOR, length // 2):
            distance = np.abs(np.arange(len(power)) - place)
            ratios.append(power[distance <= 1].mean() / power[(distance >= _NEAR) & (distance <= _FAR)].mean())
    return float(np.mean(ratios))


def main() -> None:
    """Enlarge, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    cautious: set[str] = set()

    def watch(trial: Trial) -> None:
        images = {"truth": trial.reference, **trial.results}
        for name, volume in images.items():
            found.setdefault(name, {}).setdefault(group, []).append(grid_power(grey(volume.array)[0]))
        cautious.update(row.model for row in trial.rows if row.perceptual)

    for group in ("MR", "CT", "photo"):
        evaluate(HeldOutVolumes(arguments.data, [group], (384, 384, 1)), MODELS, [f"bicubic{FACTOR}"], watch=watch)
    lines = [
        [marked(name, name in cautious), *(f"{np.mean(values):.1f}" for values in by_group.values())]
        for name, by_group in found.items()
    ]
    write_between(arguments.page, "grid", markdown_table(["image", "MR", "CT", "photo"], lines))


if __name__ == "__main__":
    main()
