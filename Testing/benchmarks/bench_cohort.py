"""Copies per minute against the number of worker processes, and what a Dask cluster costs at all.

    python Testing/benchmarks/bench_cohort.py                          # serial, 1 worker, 2 workers
    python Testing/benchmarks/bench_cohort.py --workers 1 2 4 8 --cases 64

Every run makes the same copies of phantoms and is a whole process; its files are compared with those of the serial run.
Starting the workers (importing MedSR and, for networks, PyTorch) is part of the time, and its share is shown by a run
over no more copies than there are workers. Every process works on one thread. CPU seconds are those of all processes
together: what Dask costs on a machine that does other things as well. Prints Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

import medsr


def make_set(folder: Path, cases: int, size: int) -> Path:
    """A training set of phantoms: smooth random images, one structure."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(cases):
        rng = np.random.default_rng(number)
        noise = ndimage.gaussian_filter(rng.standard_normal((size, size, size)), 1.2)
        image = (noise / noise.std() * 100 + 500).astype(np.int16)
        label = (ndimage.gaussian_filter(rng.standard_normal((size, size, size)), 5) > 0).astype(np.uint8)
        medsr.write_volume(medsr.Volume.from_array(image), folder / "images" / f"case_{number:03d}.nii.gz")
        medsr.write_volume(medsr.Volume.from_array(label), folder / "labels" / f"case_{number:03d}.nii.gz")
    return folder


def augment(source: Path, output: Path, recipe: str, model: str, workers: int | None) -> tuple[float, float]:
    """Seconds and CPU seconds of one call; None makes the copies one after the other, without Dask."""
    words = ["augment", str(source), str(output), "--recipe", recipe, "--model", model, "--progress", "none"]
    words += [] if workers is None else ["--cluster", "local", "--workers", str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "medsr", *words], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - started, cpu


def fingerprint(folder: Path) -> str:
    """Of the copies with their labels and sidecars."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("augmentation.json", "report.html"):
            found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--size", type=int, default=64, help="voxels along each side of a phantom")
    parser.add_argument("--recipe", default="degrade-sr")
    parser.add_argument("--model", default="slices-2d")
    arguments = parser.parse_args()
    recipe, model = arguments.recipe, arguments.model
    print(f"{arguments.cases} phantoms of {arguments.size} cubed, recipe {recipe}, model {model}\n")
    print("| workers | seconds | of them start-up | copies per minute | CPU seconds | same files as serial |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source = make_set(root / "source", arguments.cases, arguments.size)
        expected = ""
        for workers in (None, *arguments.workers):
            few = make_set(root / f"few-{workers}", workers or 1, arguments.size)
            start, _ = augment(few, root / f"few-out-{workers}", recipe, model, workers)
            seconds, cpu = augment(source, root / f"out-{workers}", recipe, model, workers)
            found = fingerprint(root / f"out-{workers}")
            expected = expected or found
            # The run over a few made one copy per worker, side by side.
            rate = (arguments.cases - (workers or 1)) / max(seconds - start, 1e-9)
            row = [workers or "serial", f"{seconds:.1f}", f"{start:.1f}", f"{60 * rate:.1f}", f"{cpu:.1f}"]
            same = "yes" if found == expected else "no"
            print(f"| {' | '.join(map(str, (*row, same)))} |", flush=True)
    print("\n" + json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
