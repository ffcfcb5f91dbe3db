"""Speed and memory of the main job, each run a whole process of its own.

    python Testing/benchmarks/bench_upscale.py            # all
    python Testing/benchmarks/bench_upscale.py speed linear large window

``speed``   96 x 128 x 96 to 192 x 256 x 192: CPU seconds and peak memory.
``linear``  CPU seconds against output voxels, and how straight the line is.
``large``   CT of 512 x 512 x 600 to 0.7 mm in 4 GB, and an eighth of it; beside what the plan tells.
``window``  the same network by MONAI's SlidingWindowInferer (Gaussian, overlap 0.5), as ratios in one run.

Prints Markdown. The volumes are phantoms: speed does not depend on what is in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage as ndi

import medsr
from medsr.inference.planner import make_plan
from medsr.options import UpscaleOptions
from medsr.volume import Volume


def phantom(
    shape_zyx: tuple[int, int, int], spacing_xyz: tuple[float, float, float], path: Path, lowest: float = 0.0
) -> Path:
    """A smooth random volume in a file, of `lowest` and 1000 more."""
    rng = np.random.default_rng(0)
    noise = ndi.gaussian_filter(rng.random(shape_zyx, dtype=np.float32), 1.2)
    array = (lowest + (noise - noise.min()) / np.ptp(noise) * 1000).astype(np.int16)
    return medsr.write_volume(Volume.from_array(array, np.diag([*spacing_xyz, 1.0])), path)


def run(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak resident bytes of a command and its children."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    assert process.stderr is not None
    text = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{text}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024.0


def upscale(source: Path, *options: str, modality: str = "MR") -> tuple[float, float]:
    """`medsr upscale` of `source` as a process."""
    output = source.with_name("out.nrrd")
    command = [sys.executable, "-m", "medsr", "upscale", str(source), str(output), "--overwrite"]
    return run([*command, "--modality", modality, "--device", "cpu", *options])


def told(source: Path, **options: Any) -> tuple[float, float]:
    """What the plan says of it: CPU seconds (it counts two cores) and bytes."""
    cost = make_plan(medsr.read_volume(source), UpscaleOptions(**options)).estimate()
    return 2 * cost["seconds"], float(cost["memory_bytes"])


def say(*cells: object) -> None:
    """One row of a Markdown table."""
    sys.stdout.write("| " + " | ".join(str(c) for c in cells) + " |\n")
    sys.stdout.flush()


def heading(title: str, *columns: str) -> None:
    """A title and the head of a table."""
    sys.stdout.write(f"\n### {title}\n\n")
    say(*columns)
    say(*["---"] * len(columns))


def speed(folder: Path) -> None:
    """The size that SynthSR's layout needs about 125 CPU seconds and 7.2 GB for."""
    heading("96 x 128 x 96 to 192 x 256 x 192", "model", "CPU seconds", "peak GB")
    source = phantom((96, 128, 96), (2.0, 2.0, 2.0), folder / "iso.nrrd")
    for model in ("linear", "bspline", "tikhonov", "auto"):
        seconds, memory = upscale(source, "--scale", "2", "--model", model)
        say(model, f"{seconds:.1f}", f"{memory / 1e9:.2f}")


def linear(folder: Path) -> None:
    """Time per voxel stays the same: a straight line through the sizes explains nearly all of it."""
    columns = ("output voxels", "CPU seconds", "told", "CPU seconds per megavoxel", "peak GB", "told")
    heading("Time against size (x2 in every direction)", *columns)
    sizes, times = [], []
    for side in (48, 80, 112, 144):
        source = phantom((side, side, side), (2.0, 2.0, 2.0), folder / f"{side}.nrrd")
        seconds, memory = upscale(source, "--scale", "2")
        sizes.append(8 * side**3 / 1e6)
        times.append(seconds)
        expected, bytes_told = told(source, scale=2, modality="MR")
        pace = f"{seconds / sizes[-1]:.2f}"
        say(f"{sizes[-1]:.1f} M", f"{seconds:.1f}", f"{expected:.1f}", pace, *_gigabytes(memory, bytes_told))
    slope, start = np.polyfit(sizes, times, 1)
    explained = np.corrcoef(sizes, times)[0, 1] ** 2
    sys.stdout.write(f"\n{start:.1f} s + {slope:.2f} s per megavoxel, R^2 = {explained:.4f}\n")


def large(folder: Path) -> None:
    """A volume whose features would fill a workstation."""
    heading("CT to 0.7 mm, --memory 4GB", "input", "effort", "CPU seconds", "told", "peak GB", "told")
    for slices, side in ((300, 256), (600, 512)):
        source = phantom((slices, side, side), (0.8, 0.8, 1.0), folder / f"{side}.nrrd", lowest=-1000.0)
        for effort in ("fast", "standard"):
            seconds, memory = upscale(
                source, "--spacing", "0.7", "--memory", "4GB", "--effort", effort, modality="CT"
            )  # fmt: skip
            expected, bytes_told = told(source, spacing=0.7, modality="CT", effort=effort)
            times = (f"{seconds:.0f}", f"{expected:.0f}")
            say(f"{side} x {side} x {slices}", effort, *times, *_gigabytes(memory, bytes_told))


def _gigabytes(*sizes: float) -> list[str]:
    return [f"{size / 1e9:.2f}" for size in sizes]


WINDOW = """
    import numpy as np, torch
    import medsr
    from medsr.methods.engines import TorchEngine, load_network, refining_engine
    from medsr.inference.planner import make_plan
    from medsr.methods.tiling import refine_volume
    from medsr.physics.condition import acquisition_condition
    from medsr.models.specialised_refiner import SpecialisedRefiner
    from medsr.normalisation import Normalisation
    from medsr.options import UpscaleOptions

    volume = medsr.read_volume({source!r}).replace(modality="MR")
    plan = make_plan(volume, UpscaleOptions(scale=2))
    entry = plan.entry
    coarse = Normalisation.of(volume.array.astype(np.float32), "MR").apply(volume.array)
    condition = acquisition_condition(plan.acquisition.axes)
    network = load_network(entry)
    exact = SpecialisedRefiner(network, torch.tensor(condition))
    if {engine!r}.startswith("monai"):
        from monai.inferers import SlidingWindowInferer

        start = torch.from_numpy(plan.acquisition.tikhonov(coarse, entry.smoothness))[None, None]
        general = lambda x: network(x, torch.tensor(condition)[None])
        chosen = exact if "slabs" in {engine!r} else general
        with torch.inference_mode():
            fine = SlidingWindowInferer((128, 128, 128), 1, 0.5, "gaussian")(start, chosen)[0, 0].numpy()
    elif {engine!r} != "nothing":
        exact_engine = TorchEngine(exact, 3, "cpu")
        engine = refining_engine(entry, network, condition, "cpu") if {engine!r} == "shipped" else exact_engine
        fine = refine_volume(coarse, plan.acquisition, engine, halo=entry.halo, multiple=2,
                             smoothness=entry.smoothness, tile_voxels={tile}, progress=lambda f: None)
"""

WINDOW_ROWS = {
    "MONAI, 128 x 128 x 128, Gaussian, overlap 0.5, the network of the bundle": ("monai", 0.0),
    "MONAI, the same, the network in slabs": ("monai, slabs", 0.0),
    "medsr as shipped, tiles of 8 M voxels": ("shipped", 8e6),
    "medsr as shipped, tiles of 2.1 M voxels": ("shipped", 128.0**3),
    "medsr, float32, tiles of 8 M voxels": ("float32", 8e6),
}


def window(folder: Path) -> None:
    """Ours and MONAI's sliding window with the same network; memory also beyond what loading it all takes."""
    columns = ("engine", "CPU seconds", "peak GB", "GB beyond the start")
    shares = ("time / MONAI", "peak / MONAI", "beyond the start / MONAI")
    heading("Against MONAI's SlidingWindowInferer (192 x 256 x 192 out)", *columns, *shares)
    source = phantom((96, 128, 96), (2.0, 2.0, 2.0), folder / "window.nrrd")

    def measure(engine: str, tile: float) -> tuple[float, float]:
        code = textwrap.dedent(WINDOW).format(source=str(source), engine=engine, tile=tile)
        return run([sys.executable, "-c", code])

    idle, start = measure("nothing", 0.0)
    say("everything loaded, nothing done", f"{idle:.1f}", f"{start / 1e9:.2f}", "", "", "", "")
    theirs: tuple[float, float] | None = None
    for name, (engine, tile) in WINDOW_ROWS.items():
        seconds, memory = measure(engine, tile)
        theirs = theirs or (seconds, memory)
        ratios = (seconds / theirs[0], memory / theirs[1], (memory - start) / (theirs[1] - start))
        sizes = (memory / 1e9, (memory - start) / 1e9, *ratios)
        say(name, f"{seconds:.1f}", *[f"{value:.2f}" for value in sizes])


def main() -> None:
    """Run the benchmarks that the command line names."""
    known = {"speed": speed, "linear": linear, "window": window, "large": large}
    chosen = sys.argv[1:] or list(known)
    for name in chosen:
        if name not in known:
            sys.exit(f"There is no benchmark {name!r}; known: {', '.join(known)}.")
        with tempfile.TemporaryDirectory() as folder:
            known[name](Path(folder))


if __name__ == "__main__":
    main()
