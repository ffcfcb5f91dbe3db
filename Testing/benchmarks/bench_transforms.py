"""What transforms cost on one core: milliseconds for each image, and images per minute.

    OMP_NUM_THREADS=1 python Testing/benchmarks/bench_transforms.py
    OMP_NUM_THREADS=1 python Testing/benchmarks/bench_transforms.py --recipes degrade-sr --models auto --sizes 64 96
    OMP_NUM_THREADS=1 python Testing/benchmarks/bench_transforms.py --workers 1 2 4    # of MONAI's DataLoader

CPU seconds of one process on one thread, so that other programs on the machine change little; phantoms of smooth noise.
Enlarged are the smaller sizes only. With --workers it is seconds on the clock, which others do change. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import DataLoader, Dataset
from scipy import ndimage

from medsr.transforms import RandAcquisitiond, SuperResolved

LARGEST_ENLARGED = 96


def phantom(size: int) -> dict[str, torch.Tensor]:
    """A patch of smooth noise, and a label map of two structures."""
    rng = np.random.default_rng(size)
    noise = ndimage.gaussian_filter(rng.standard_normal((size,) * 3), 1.2)
    label = ndimage.gaussian_filter(rng.standard_normal((size,) * 3), 6)
    image = torch.as_tensor(noise / noise.std() * 100 + 500, dtype=torch.float32)
    return {"image": image[None], "label": torch.as_tensor((label > 0).astype(np.uint8))[None]}


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Of one call, after one that loads what is loaded once."""
    work()
    started = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - started) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="*", default=["degrade-fast", "degrade-bspline"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128])
    parser.add_argument("--models", nargs="*", default=["bspline", "tikhonov"], help="that enlarge, twice")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    print("Milliseconds of one core for each image, and images per minute\n")
    print("| transform | " + " | ".join(f"{size} x {size} x {size}" for size in arguments.sizes) + " |")
    print("|---|" + "---|" * len(arguments.sizes))
    rows = [(f"RandAcquisitiond, {name}", RandAcquisitiond("image", name, prob=1.0)) for name in arguments.recipes]
    rows += [
        (f"SuperResolved, {name}, twice as fine, with labels", SuperResolved("image", "label", scale=2, model=name))
        for name in arguments.models
    ]
    for name, transform in rows:
        cells = []
        for size in arguments.sizes:
            if isinstance(transform, SuperResolved) and size > LARGEST_ENLARGED:
                cells.append("")
                continue
            seconds = cpu_seconds(partial(transform, phantom(size)), arguments.repeats)
            cells.append(f"{1000 * seconds:.0f} ms ({60 / seconds:.0f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if not (arguments.workers and arguments.recipes):
        return
    size = arguments.sizes[0]
    print(f"\n| workers | patches of {size}^3 per minute, {arguments.recipes[0]} |\n|---|---|")
    dataset = Dataset([phantom(size)] * 64, RandAcquisitiond("image", arguments.recipes[0], prob=1.0))
    for workers in arguments.workers:
        loader = DataLoader(dataset, batch_size=2, num_workers=workers, persistent_workers=True)
        list(loader)  # starts the workers
        started = time.perf_counter()
        list(loader)
        print(f"| {workers} | {60 * 64 / (time.perf_counter() - started):.0f} |", flush=True)


if __name__ == "__main__":
    main()
