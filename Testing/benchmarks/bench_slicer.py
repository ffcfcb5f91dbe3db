"""What the Slicer module costs over the bare command line, how long a click waits for its first progress, and how much
memory Slicer's process takes beyond what it was (on Linux; in volumes, that is relative to the input).

Run ``python Testing/benchmarks/bench_slicer.py``; it prints one JSON object. It needs slicer-core, no Qt: the timer of
the panel is played by a loop that turns as often.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "MedSRExtension" / "MedSR"), str(ROOT / "MedSRCore")]

import numpy as np  # noqa: E402  after the path
import slicer  # noqa: E402
import slicer.util  # noqa: E402


class LoopPump:
    """Remembers the interval; the loop below keeps it."""

    interval_ms = 40

    def start(self, callback, interval_ms):
        self.callback, self.interval_ms = callback, min(interval_ms, 40)

    def stop(self):
        self.callback = None


def make_volume(size_xyz):
    """An int16 volume of smooth structure and noise."""
    x, y, z = size_xyz
    rng = np.random.default_rng(0)
    array = rng.integers(0, 60, (z, y, x), dtype=np.int16)
    array += (400 * np.sin(np.linspace(0, 20, x)) ** 2).astype(np.int16)
    node = slicer.util.addVolumeFromArray(array, name="Benchmark")
    node.SetSpacing(0.9, 0.9, 1.8)
    return node


def memory_of(action):
    """What `action` returns, and the peak of this process beyond what it was before, in bytes; NaN but on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return action(), float("nan")
    before = _kilobytes("VmRSS")
    found = action()
    return found, 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def run_module(resolver, pump, node, **options):
    """Seconds until the first progress, until the volume is in the scene, and of the work itself."""
    first = []
    started = time.perf_counter()
    job = resolver.start(node, progress=lambda job: first.append(time.perf_counter() - started), **options)
    called = time.perf_counter() - started
    while not job.isFinished:
        time.sleep(pump.interval_ms / 1000)
        resolver.runner.poll()
    total = time.perf_counter() - started
    if job.state != "done":
        raise RuntimeError(str(job.error))
    slicer.mrmlScene.RemoveNode(job.output)
    return {"start": called, "first_progress": first[0], "total": total, "work": job.report["seconds"]}


def run_cli(node, folder, model):
    """Seconds of ``medsr upscale`` on the same volume as a file, with the start of Python and both files."""
    from MedSRLib.SceneFiles import writeNrrd

    source, target = folder / "in.nrrd", folder / "out.nrrd"
    writeNrrd(node, source)
    target.unlink(missing_ok=True)
    entry = "import sys; from medsr.cli.main import main; sys.exit(main())"  # what the command `medsr` runs
    command = [sys.executable, "-c", entry, "upscale", str(source), str(target), "--model", model]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--scale", "1,1,2", "--modality", "MR"],
        check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT / "MedSRCore")},
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if not target.is_file():
        raise RuntimeError("the command line wrote nothing")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="256,256,180", help="voxels along x,y,z")
    parser.add_argument("--model", default="tikhonov")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    from MedSRLib.Preview import Previewer
    from MedSRLib.SuperResolver import SuperResolver

    slicer.mrmlScene = slicer.vtkMRMLScene()
    size = tuple(int(n) for n in arguments.size.split(","))
    node = make_volume(size)
    pump = LoopPump()
    resolver = SuperResolver(pump)
    options = {"scale": (1, 1, 2), "model": arguments.model, "modality": "MR"}
    volume = slicer.util.arrayFromVolume(node).nbytes
    previewer = Previewer(resolver.planner)
    previewer.preview(make_volume((32, 32, 16)), options)  # what is loaded once does not count
    _preview, preview_bytes = memory_of(lambda: previewer.preview(node, options))
    cold, run_bytes = memory_of(lambda: run_module(resolver, pump, node, **options))
    warm = [run_module(resolver, pump, node, **options) for _ in range(arguments.runs)]
    resolver.shutdown()
    with tempfile.TemporaryDirectory() as name:
        cli = [run_cli(node, Path(name), arguments.model) for _ in range(arguments.runs)]

    def middle(key):
        return round(statistics.median(run[key] for run in warm), 3)

    print(
        json.dumps(
            {
                "size_xyz": size,
                "model": arguments.model,
                "runs": arguments.runs,
                "warm_first_progress_s": middle("first_progress"),
                "warm_start_call_s": middle("start"),
                "warm_total_s": middle("total"),
                "warm_work_s": middle("work"),
                "cold_first_progress_s": round(cold["first_progress"], 3),
                "cold_total_s": round(cold["total"], 3),
                "cli_total_s": round(statistics.median(cli), 3),
                "warm_over_cli_s": round(middle("total") - statistics.median(cli), 3),
                "cold_over_cli_s": round(cold["total"] - statistics.median(cli), 3),
                "warm_over_work_s": round(middle("total") - middle("work"), 3),
                "preview_peak_volumes": round(preview_bytes / volume, 2),
                "run_peak_volumes_with_the_result_of_2": round(run_bytes / volume, 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
