"""Does a small classifier see more in super-resolved images? Head or tail of the hippocampus, from one slice.

    python Testing/benchmarks/study_classification.py --data DIR --page docs/reference/systems.md

DIR holds seg/hippocampus (MSD Task04: ``images`` and ``labels``; 1 anterior, 2 posterior). Coronal slices of 1 mm are
made four times as coarse (bicubic) and enlarged again. A small network decides whether a slice cuts the anterior or the
posterior part; the slices lie within 10 mm of the border between them, where it is not obvious. Subjects are split
before slices are taken; intervals come from resampling the test subjects.

Two questions: what a classifier trained on originals makes of each kind of image, and what it makes of them when it was
trained on that kind itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pages import note, write_between
from torch import nn
from torch.nn import functional

import medsr
from medsr.catalog import find_model
from medsr.evaluation.tables import markdown_table
from medsr.methods.engines import load_network
from medsr.normalisation import Normalisation
from medsr.physics.downscaling import bicubic_matrix, downscale

FACTOR, SIDE = 4, 32
NEAR_MM, EVERY, LEAST_VOXELS, SHARE = 10, 2, 15, 0.9
TRAINING_SHARE, EPOCHS, SEEDS = 0.6, 12, 3
NETWORKS = ("srresnet", "srgan")

Images = NDArray[np.float32]
Enlarge = Callable[[Images], Images]


def slices_of(image: Path, label: Path) -> tuple[Images, NDArray[np.int64]]:
    """Coronal slices ``(n, SIDE + 8, SIDE + 8)`` on the scale of the networks, and 0 for anterior, 1 for posterior."""
    volume = medsr.read_volume(image).array.astype(np.float32)
    volume = Normalisation.of(volume, "MR").apply(volume)
    parts = medsr.read_volume(label).array
    front, back = (np.count_nonzero(parts == value, axis=(0, 2)) for value in (1, 2))
    whole = front + back
    border = (np.flatnonzero(front).min() + np.flatnonzero(back).max()) / 2
    clear = (whole >= LEAST_VOXELS) & (np.maximum(front, back) >= SHARE * whole)
    kept = [j for j in np.flatnonzero(clear) if abs(j - border) <= NEAR_MM][::EVERY]
    size = SIDE + 2 * FACTOR
    pads = [(max(0, size - n + 1) // 2,) * 2 for n in (volume.shape[0], volume.shape[2])]
    padded = np.pad(volume, (pads[0], (0, 0), pads[1]), mode="edge")
    z, x = ((n - size) // 2 for n in (padded.shape[0], padded.shape[2]))
    pictures = padded[z : z + size, :, x : x + size].transpose(1, 0, 2)[kept]
    return np.ascontiguousarray(pictures), (back[kept] > front[kept]).astype(np.int64)


def enlarged_by(name: str) -> Enlarge:
    """What a shipped network makes of coarse slices."""
    network = load_network(find_model(name))

    def enlarge(coarse: Images) -> Images:
        with torch.inference_mode():
            parts = [network(part[:, None], FACTOR)[:, 0] for part in torch.from_numpy(coarse).split(64)]
        return torch.cat(parts).numpy()

    return enlarge


def enlarged_by_cubic(coarse: Images) -> Images:
    """Bicubic enlargement."""
    matrix = bicubic_matrix(coarse.shape[1], coarse.shape[1] * FACTOR).astype(np.float32)
    return np.asarray(matrix @ coarse @ matrix.T)


def kinds_of(fine: Images, methods: Mapping[str, Enlarge]) -> dict[str, Images]:
    """The same slices as originals and as every method makes them, without their outermost voxels."""
    coarse = downscale(fine, "bicubic", (1, FACTOR, FACTOR)).astype(np.float32)
    inside = slice(FACTOR, -FACTOR)
    made = {"original": fine, **{name: enlarge(coarse) for name, enlarge in methods.items()}}
    return {name: np.ascontiguousarray(images[:, inside, inside]) for name, images in made.items()}


def classifier() -> nn.Module:
    """Three convolutions with pooling and a linear layer: about 25 thousand parameters."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 2))


def train(images: Images, labels: NDArray[np.int64], seed: int) -> nn.Module:
    """A classifier after EPOCHS passes with left and right exchanged at random; both classes weigh the same."""
    torch.manual_seed(seed)
    network, x, y = classifier(), torch.from_numpy(images)[:, None], torch.from_numpy(labels)
    weights = len(y) / (2.0 * torch.bincount(y, minlength=2))
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y)).split(64):
            shown = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, x[batch].flip(3), x[batch])
            loss = functional.cross_entropy(network(shown), y[batch], weights)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    return network.eval()


def hits(network: nn.Module, images: Images, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 for every slice that was told right, divided by the share of its class: their mean is balanced accuracy."""
    with torch.inference_mode():
        told = network(torch.from_numpy(images)[:, None]).argmax(1).numpy()
    share = np.bincount(labels, minlength=2) / len(labels)
    return np.asarray((told == labels) / (2 * share[labels]))


def interval(right: NDArray[np.float64], subjects: NDArray[np.int64], resamples: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of `right`, resampling subjects with all their slices."""
    names = np.unique(subjects)
    sums = np.array([right[subjects == name].sum() for name in names])
    counts = np.array([np.count_nonzero(subjects == name) for name in names])
    drawn = np.random.default_rng(0).integers(0, len(names), (resamples, len(names)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Read, enlarge, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    folder = arguments.data / "seg" / "hippocampus"
    pictures, labels, owners = [], [], []
    for number, label in enumerate(sorted((folder / "labels").iterdir())):
        found, classes = slices_of(folder / "images" / label.name, label)
        pictures.append(found)
        labels.append(classes)
        owners.append(np.full(len(classes), number))
    fine, y, subjects = np.concatenate(pictures), np.concatenate(labels), np.concatenate(owners)
    order = np.random.default_rng(0).permutation(np.unique(subjects))
    learners = order[: round(TRAINING_SHARE * len(order))]
    learn = np.isin(subjects, learners)
    note(f"{len(y)} slices of {len(order)} subjects, {y.mean():.2f} posterior; {len(learners)} subjects to learn from")
    kinds = kinds_of(fine, {"bicubic": enlarged_by_cubic, **{name: enlarged_by(name) for name in NETWORKS}})

    found: dict[tuple[str, str], NDArray[np.float64]] = {}
    for taught, images in kinds.items():
        judges = [train(images[learn], y[learn], seed) for seed in range(SEEDS)]
        note(f"trained on {taught}")
        for shown, others in kinds.items():
            if taught in ("original", shown):
                scores = [hits(judge, others[~learn], y[~learn]) for judge in judges]
                found[taught, shown] = np.mean(scores, axis=0)
    tested = subjects[~learn]
    lines = []
    for shown in kinds:
        cells = [shown]
        for taught in ("original", shown):
            right = found[taught, shown]
            low, high = interval(right, tested)
            lost = right - found["original", "original"]
            least, most = interval(lost, tested)
            cells.append(f"{100 * right.mean():.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            same = shown == "original"
            cells.append("" if same else f"{100 * lost.mean():+.1f} [{100 * least:+.1f}, {100 * most:+.1f}]")
        lines.append(cells)
    head = ["images", "trained on originals, %", "against originals", "trained on such images, %", "against originals"]
    write_between(arguments.page, "classification", markdown_table(head, lines))


if __name__ == "__main__":
    main()
