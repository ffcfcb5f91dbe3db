"""Do the networks leave a grid? Power at the frequencies of a pattern that repeats every coarse voxel.

    python Testing/benchmarks/study_grid.py --data DIR --page docs/reference/systems.md

Networks that enlarge by sub-pixel convolution can print a checkerboard of the period of their factor. For each image
the power spectrum along the rows and along the columns is read at the frequencies of the doublings (x4: 1/4 and 1/2
per voxel) and divided by that of its neighbourhood: 1 is no grid. A grid may turn into its negative from dark to
bright tissue, and so escape lines through a whole image; `repeated` looks at 4 coarse voxels a side. One slice of
every held-out image.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from held_out import HeldOutVolumes
from numpy.typing import NDArray
from pages import write_between
from scipy.ndimage import uniform_filter

from medsr.evaluation.rows import BICUBIC
from medsr.evaluation.run import Trial, evaluate
from medsr.evaluation.scoring import grey
from medsr.evaluation.tables import markdown_table, marked

MODELS = {
    4: (BICUBIC, "auto", "vdsr7-multiscale", "progressive-gan", "srresnet", "srgan", "edsr-se-gan"),
    8: (BICUBIC, "edsr-se-gan-x8"),
    16: (BICUBIC, "edsr-se-gan-x16"),
}
"""By factor."""

GROUPS = ("MR", "CT", "photo")
_NEAR, _FAR = 2, 6
_WINDOW = 4
"""Coarse voxels a side."""


def grid_power(image: NDArray[np.floating], factor: int = 4) -> float:
    """Power at the frequencies of the grid over that of their neighbours, mean over both axes.

    Args:
        image: ``(y, x)``.
        factor: by which it was enlarged, a power of two.
    """
    periods = [2**n for n in range(1, factor.bit_length())]
    ratios = []
    for lines in (image, image.T):
        length = lines.shape[1] // factor * factor
        # A window, so that the ends of a line do not leak into all frequencies.
        spectrum = np.abs(np.fft.rfft(lines[:, :length] * np.hanning(length), axis=1)) ** 2
        power = spectrum.mean(axis=0)
        for place in (length // period for period in periods):
            distance = np.abs(np.arange(len(power)) - place)
            ratios.append(power[distance <= 1].mean() / power[(distance >= _NEAR) & (distance <= _FAR)].mean())
    return float(np.mean(ratios))


def repeated(image: NDArray[np.floating], factor: int = 4) -> float:
    """How much of the fine detail repeats with every coarse voxel, against chance: 1 for noise, 16 for a grid alone.

    Args:
        image: ``(y, x)``.
        factor: by which it was enlarged.
    """
    fine = image - uniform_filter(image, factor, mode="nearest")
    side = factor * _WINDOW
    rows, columns = (n // side for n in fine.shape)
    # Windows, places inside a coarse voxel, coarse voxels.
    cut = fine[: rows * side, : columns * side].reshape(rows, _WINDOW, factor, columns, _WINDOW, factor)
    windows = cut.transpose(0, 3, 2, 5, 1, 4).reshape(rows * columns, factor**2, _WINDOW**2)
    windows = windows - windows.mean(axis=(1, 2), keepdims=True)
    return float(_WINDOW**2 * np.square(windows.mean(axis=2)).mean() / np.square(windows).mean())


def main() -> None:
    """Enlarge, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    lines = [line for factor in MODELS for line in rows_of(factor, arguments.data)]
    heads = [f"{group}{what}" for what in ("", ", repeated") for group in GROUPS]
    write_between(arguments.page, "grid", markdown_table(["factor", "image", *heads], lines))


def rows_of(factor: int, data: Path) -> list[list[str]]:
    """What the networks of a factor leave in each group of images."""
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    cautious: set[str] = set()

    def watch(trial: Trial) -> None:
        images = {"truth": trial.reference, **trial.results}
        for name, volume in images.items():
            image = grey(volume.array)[0]
            for measure in (grid_power, repeated):
                figures = found.setdefault(name, {}).setdefault((measure.__name__, group), [])
                figures.append(measure(image, factor))
        cautious.update(row.model for row in trial.rows if row.perceptual)

    for group in GROUPS:
        evaluate(HeldOutVolumes(data, [group], (384, 384, 1)), MODELS[factor], [f"bicubic{factor}"], watch=watch)
    places = [(measure.__name__, group) for measure in (grid_power, repeated) for group in GROUPS]
    return [
        [f"x{factor}", marked(name, name in cautious), *(f"{np.mean(figures[place]):.1f}" for place in places)]
        for name, figures in found.items()
    ]


if __name__ == "__main__":
    main()
