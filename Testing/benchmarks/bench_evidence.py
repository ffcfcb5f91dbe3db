"""How often do the voxels tell the profile? Volumes are degraded by known profiles, and `auto` is asked.

    python Testing/benchmarks/bench_evidence.py t1.nii.gz t2.nii.gz --crop 120

Prints, for each truth, how often each profile was found: of the thick axis (factors 3 and 4 along each grid axis in
turn), of two enlarged axes (factor 2) and of all three (factor 2), without noise and with 2 % of it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medsr.evaluation.protocols import Case, central_crop, degrade
from medsr.io import read_volume
from medsr.options import UpscaleOptions
from medsr.physics.profiles import Profile
from medsr.planning.evidence import AxisEvidence, find_profiles

TRUTHS = {
    "gaussian 1.0": Profile("gaussian"),
    "gaussian 0.8": Profile("gaussian", 0.8),
    "gaussian 0.6": Profile("gaussian", 0.6),
    "box": Profile("box"),
    "kspace": Profile("kspace"),
    "kspace, taper 0.3": Profile("kspace", 1.0, 0.3),
    "kspace, taper 0.6": Profile("kspace", 1.0, 0.6),
    "kspace of 1.2": Profile("kspace", 1.2),
}


def cases(truth: Profile, noise: float) -> Iterator[tuple[str, Case]]:
    """Label of the group, and a case."""
    profiles = (truth,) * 3
    for factor in (3.0, 4.0):
        for axis in range(3):
            scale = tuple(factor if other == axis else 1.0 for other in range(3))
            yield "thick axis", Case("thick", scale, profiles, noise)  # type: ignore[arg-type]
    yield "plane", Case("plane", (2.0, 2.0, 1.0), profiles, noise)
    yield "volume", Case("volume", (2.0, 2.0, 2.0), profiles, noise)


def found_kind(evidence: AxisEvidence) -> str:
    """What was found, in the words of the table."""
    profile = evidence.profile
    if profile.kind != "kspace":
        return "slice profile"
    if profile.taper:
        return "filtered"
    return "coarser" if profile.width > 1.01 else "kspace"


def main() -> None:
    """Degrade, ask, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="fine MR volumes")
    parser.add_argument("--crop", type=int, default=120, help="side of the central cube")
    arguments = parser.parse_args()
    counts: dict[tuple[str, str, float], Counter[str]] = {}
    for file in arguments.files:
        volume = central_crop(read_volume(file), [arguments.crop] * 3).replace(modality="MR")
        for name, truth in TRUTHS.items():
            for noise in (0.0, 0.02):
                for group, case in cases(truth, noise):
                    measured = degrade(volume, case)[1]
                    evidence = find_profiles(measured, UpscaleOptions(), "MR")[int(np.argmax(case.scale_xyz))]
                    counts.setdefault((group, name, noise), Counter())[found_kind(evidence)] += 1
    heads = ("slice profile", "kspace", "filtered", "coarser")
    print("| axes | truth | noise | " + " | ".join(heads) + " |")
    print("|---" * (3 + len(heads)) + "|")
    for (group, name, noise), found in sorted(counts.items()):
        row = " | ".join(str(found[head]) for head in heads)
        print(f"| {group} | {name} | {noise:g} | {row} |")


if __name__ == "__main__":
    main()
