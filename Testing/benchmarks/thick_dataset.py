"""Make the thick-slice version of a labelled training set: what a clinical scan of the same subjects would hold.

Images are seen through a Gaussian slice profile as wide as the slice distance; label maps are brought to the thick
grid. The originals in the source are the truth to score against (`medsr augment evaluate --truth`):

    python Testing/benchmarks/thick_dataset.py hippocampus thick 3 --subjects 80
    echo '{"model": "auto", "target": {"isotropic": true}}' > isotropic.json
    medsr augment thick thick_sr --recipe isotropic.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from medsr.augmentation.acquisition import Drawn, acquire
from medsr.augmentation.datasets import read_dataset
from medsr.augmentation.labels import label_values, resample_labels
from medsr.io import read_volume, write_volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("output", type=Path)
    parser.add_argument("--subjects", type=int, default=0, help="how many; 0 for all")
    parser.add_argument("factor", type=float, help="slice distance in voxels of the source; 1 copies")
    arguments = parser.parse_args()
    source = read_dataset(arguments.source)
    cases, structures = source.cases, dict(source.labels)
    order = sorted(cases, key=lambda case: hashlib.sha256(case.subject.encode()).digest())
    for folder in ("images", "labels"):
        (arguments.output / folder).mkdir(parents=True, exist_ok=True)
    drawn = Drawn(2, (1.0, 1.0, arguments.factor), 1.0, 0.0, 1.0)
    for case in order[: arguments.subjects or None]:
        image, label = read_volume(case.images[0]), read_volume(case.label)
        named = {0, *structures.values()}
        structures |= {f"label {value}": value for value in label_values(label) if value not in named}
        if arguments.factor > 1:
            image = acquire(image, drawn, np.random.default_rng(0), modality="MR")
            label = resample_labels(label, image.geometry)
        write_volume(image, arguments.output / "images" / f"{case.name}.nii.gz", overwrite=True)
        write_volume(label, arguments.output / "labels" / f"{case.name}.nii.gz", overwrite=True)
    (arguments.output / "labels.json").write_text(json.dumps(structures, indent=1) + "\n")


if __name__ == "__main__":
    main()
