"""How wide the intervals of `medsr measure` must be: hippocampi through slices of 3 mm, segmented in the result.

    python Testing/benchmarks/study_segments.py FOLDER

FOLDER holds images/ and labels/ of the hippocampus set of the Medical Segmentation Decathlon (1 mm, labels 1 and 2). A
small U-Net learns from the first 120 people; the next 100 are seen through slices of 3 mm, every other one with 2 %
noise, enlarged with an error map, and segmented. Prints the shares of the rules that hold 90 % of the first 50, and
what they hold of the others. A quarter of an hour on one core.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from numpy.typing import NDArray

import medsr
from medsr.evaluation.protocols import CASES, degrade
from medsr.inference.pipeline import super_resolve
from medsr.inference.segments import _shifts
from medsr.options import UpscaleOptions

LEARN, TRY, STEPS, RATE = 120, 100, 900, 3e-3
SHAPE = (40, 56, 40)


def padded(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """At the near corner of an array of `SHAPE`."""
    out = np.zeros(SHAPE, array.dtype)
    box = tuple(slice(0, min(n, m)) for n, m in zip(array.shape, SHAPE, strict=True))
    out[box] = array[box]
    return out


def standard(image: NDArray[np.generic]) -> NDArray[np.float32]:
    """Zero mean, unit deviation, padded."""
    image = image.astype(np.float32)
    return np.asarray(padded((image - image.mean()) / image.std()), dtype=np.float32)


def train(pairs: list[tuple[NDArray[np.float32], NDArray[np.int64]]]) -> torch.nn.Module:
    """The segmenter."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = UNet(3, 1, 3, channels=(16, 32, 64, 96), strides=(2, 2, 2), num_res_units=1, norm="instance")
    optimiser, criterion = torch.optim.AdamW(network.parameters(), RATE), DiceCELoss(to_onehot_y=True, softmax=True)
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * (1 - step / STEPS)
        images, labels = [], []
        for number in rng.integers(len(pairs), size=4):
            image, label = pairs[number]
            moved = tuple(int(n) for n in rng.integers(-3, 4, 3))
            image = image * rng.uniform(0.85, 1.15) + rng.uniform(-0.1, 0.1) + rng.normal(0, 0.05, image.shape)
            images.append(np.roll(image, moved, (0, 1, 2)))
            labels.append(np.roll(label, moved, (0, 1, 2)))
        x = torch.from_numpy(np.stack(images).astype(np.float32))[:, None]
        loss = criterion(network(x), torch.from_numpy(np.stack(labels))[:, None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def segmented(network: torch.nn.Module, image: NDArray[np.generic]) -> NDArray[np.int64]:
    """Labels of an image."""
    with torch.no_grad():
        found = network(torch.from_numpy(standard(image))[None, None]).argmax(1)[0].numpy()
    out = np.zeros(image.shape, dtype=np.int64)
    box = tuple(slice(0, min(n, m)) for n, m in zip(image.shape, SHAPE, strict=True))
    out[box] = found[box]
    return out


def rows(network: torch.nn.Module, image: Path, label: Path, number: int) -> list[tuple[float, float, float]]:
    """Of both labels: volume off the drawn one and off that found in the truth over the shifts; mean over its rule."""
    volume, drawn = medsr.read_volume(image).replace(modality="MR"), medsr.read_volume(label).array
    case = dataclasses.replace(CASES["z3"], noise=0.0 if number % 2 else 0.02)
    reference, measured, _ = degrade(volume, case, seed=number)
    options = UpscaleOptions(scale=(1, 1, 3), slice_axis="z", slice_thickness=3.0, device="cpu", dtype="float32")
    result = super_resolve(measured, options, maps=("error",))
    fine, widths, truth = result.volume.array, result.maps["error"].array, reference.array
    drawn = drawn[tuple(slice(0, n) for n in truth.shape)]
    found, in_truth = segmented(network, fine), segmented(network, truth)
    out = []
    for value in (1, 2):
        inside, true = found == value, drawn == value
        shifts = _shifts(fine.astype(np.float32), widths.astype(np.float32), inside)
        rule = float(widths[true].mean()) / int(true.sum()) ** 0.5
        off = abs(int(inside.sum()) - int(true.sum())), abs(int(inside.sum()) - int((in_truth == value).sum()))
        out.append((off[0] / shifts, off[1] / shifts, abs(float(fine[true].mean() - truth[true].mean())) / rule))
    return out


def main() -> None:
    """Train, enlarge, compare, print."""
    root = Path(sys.argv[1])
    images = sorted((root / "images").glob("*.nii.gz"))[: LEARN + TRY]
    labels = [root / "labels" / image.name for image in images]
    read = [(medsr.read_volume(i).array, medsr.read_volume(k).array) for i, k in zip(images, labels, strict=True)]
    network = train([(standard(a), np.asarray(padded(b.astype(np.int64)))) for a, b in read[:LEARN]])
    found = [r for n in range(LEARN, LEARN + TRY) for r in rows(network, images[n], labels[n], n)]
    for name, values in zip(("drawn volume", "volume in the truth", "mean"), np.array(found).T, strict=True):
        half = len(values) // 2
        share = float(np.quantile(values[:half], 0.9))
        print(f"{name}: share {share:.3f}, held on the others {100 * float((values[half:] <= share).mean()):.0f} %")


if __name__ == "__main__":
    main()
