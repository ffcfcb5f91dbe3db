"""Fit the error scale of a modality, as it is shipped.

    python Testing/benchmarks/fit_error_scale.py MR mr.data.json --root DATA --examples 260 --steps 4000
    python Testing/benchmarks/fit_error_scale.py CT ct.data.json --root DATA --examples 60 --steps 1500

Takes the training volumes of a data list of `medsr train` (MedSRCore/medsr/training/recipes), draws examples, a few
seconds each, and learns from them. Writes MedSRCore/medsr/calibrations/MODALITY/scale.npz. Calibrations that were made
with another scale are void then, so make them again: `medsr calibrate`, once for each model.
"""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path

import numpy as np

import medsr
from medsr.evaluation.scale_examples import Example, draw_example
from medsr.evaluation.scale_fitting import fit
from medsr.inference.calibration import scale_path

SIZE = 64


def main() -> None:
    """Draw, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modality", choices=("MR", "CT"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=260)
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()
    listed = json.loads(arguments.data.read_text(encoding="utf-8"))["train"]
    volumes = {each["file"]: medsr.read_volume(arguments.root / each["file"]) for each in listed}
    weights = [each.get("weight", 1.0) for each in listed]

    @cache
    def example(number: int) -> Example:
        return draw_example(volumes, weights, arguments.modality, SIZE, number)

    for number in range(arguments.examples):
        example(number)
        if (number + 1) % 20 == 0:
            print(f"{number + 1} examples", flush=True)

    def watch(step: int, loss: float) -> None:
        if step % 200 == 0:
            print(f"step {step}: loss {loss:.4f}", flush=True)

    network = fit(example, arguments.examples, arguments.steps, watch=watch)
    path = scale_path(arguments.modality)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **network.weights())
    print(f"Written {path}")


if __name__ == "__main__":
    main()
