"""From the click on "Super-resolve" to the first progress in the panel, with real widgets and a warm worker.

Run ``python Testing/benchmarks/bench_slicer_click.py``; it prints one JSON object. It needs slicer-core and PySide6.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing" / "gui"))

from qthost.host import LoadedModule  # noqa: E402  after the path


def wait(module, condition, seconds=600.0):
    """Turn the event loop until the condition holds; return the seconds it took."""
    started = time.perf_counter()
    while not condition():
        if time.perf_counter() - started > seconds:
            raise TimeoutError("it did not happen in time")
        module.app.processEvents()
        time.sleep(0.001)
    return time.perf_counter() - started


def click(module):
    """Seconds of the click itself, until the first stage shows, and the longest gap in the event loop until the end."""
    panel, ui = module.widget.panel, module.widget.ui
    started = time.perf_counter()
    ui.applyButton.click()
    clicked = time.perf_counter() - started
    wait(module, lambda: panel.job.stage != "")
    first = time.perf_counter() - started
    longest, last = 0.0, time.perf_counter()
    while panel.isRunning:
        module.app.processEvents()
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
        time.sleep(0.001)
    return {"click": clicked, "first": first, "longest_gap": longest, "total": time.perf_counter() - started}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="256,256,180", help="voxels along x,y,z")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    module = LoadedModule(ROOT / "MedSRExtension" / "MedSR" / "MedSR.py")
    import numpy as np
    import slicer.util

    x, y, z = (int(n) for n in arguments.size.split(","))
    array = np.random.default_rng(0).integers(0, 400, (z, y, x), dtype=np.int16)
    node = slicer.util.addVolumeFromArray(array, name="Benchmark")
    node.SetSpacing(0.9, 0.9, 1.8)
    parameters = module.widget._parameterNode
    parameters.inputVolume, parameters.model = node, "tikhonov"
    wait(module, lambda: module.widget.ui.applyButton.enabled)
    cold = click(module)
    warm = []
    for _ in range(arguments.runs):
        slicer.mrmlScene.RemoveNode(module.widget.panel.job.output)
        wait(module, lambda: module.widget.ui.applyButton.enabled)
        warm.append(click(module))
    figures = {f"warm_{name}_s": round(statistics.median(run[name] for run in warm), 3) for name in warm[0]}
    figures |= {"cold_first_s": round(cold["first"], 3), "size_xyz": [x, y, z], "runs": arguments.runs}
    print(json.dumps(figures, indent=2))
    module.close()


if __name__ == "__main__":
    main()
