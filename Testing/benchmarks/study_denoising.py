"""Do the 3D systems remove noise? PSNR of x2 from a truncated k-space against the noise on the coarse image.

    python Testing/benchmarks/study_denoising.py --data DIR --page docs/reference/systems.md
    python Testing/benchmarks/study_denoising.py --data DIR --models runs/disgan-noisy/bundle runs/three-player/bundle

``--models`` judges bundles of trainings with noise beside bicubic and the best closed form, and the first of them
against the second; by the name of the folder that holds the bundle. Without ``--page`` the table is printed.

Five held-out MR volumes, central 80 x 80 x 80; Rician noise as a fraction of the 99th percentile, the same for every
model. The sources add normal noise to the coarse image in test and train with none of it; where the signal is well
above the noise both kinds are alike.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from held_out import HeldOutVolumes
from pages import note, write_between

from medsr.evaluation.protocols import CASES
from medsr.evaluation.rows import BICUBIC, ORACLE, EvaluationTable
from medsr.evaluation.run import case_label, evaluate
from medsr.evaluation.statistics import gain, means
from medsr.evaluation.tables import format_gain, markdown_table, marked

LEVELS = (0.0, 0.01, 0.02, 0.04, 0.08)
MODELS = (BICUBIC, "bspline", "tikhonov", ORACLE, "auto", "three-player-gan", "disgan")
JUDGED, RIVAL = "disgan", "three-player-gan"
CROP = (80, 80, 80)


def main() -> None:
    """Degrade, enlarge, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="bundles that learned from noisy images")
    arguments = parser.parse_args()
    noisy = {str(folder): folder.resolve().parent.name for folder in arguments.models}
    models = (BICUBIC, ORACLE, *noisy) if noisy else MODELS
    judged, *others = [*noisy] or [JUDGED, RIVAL]
    volumes = HeldOutVolumes(arguments.data, ["MR"], CROP)
    table = EvaluationTable()
    for level in LEVELS:
        table += evaluate(volumes, models, [dataclasses.replace(CASES["k2"], noise=level)])
        note(f"noise {level}")
    labels = [case_label(dataclasses.replace(CASES["k2"], noise=level)) for level in LEVELS]
    values = means(table, "psnr")
    head = ["PSNR dB at noise of", *(f"{100 * level:g} %" for level in LEVELS)]
    lines = []
    for model in models:
        cells = [f"{values[case, model]:.2f}" if (case, model) in values else "" for case in labels]
        lines.append([marked(noisy.get(model, model), model in table.perceptual), *cells])
    for other in (BICUBIC, ORACLE, *others):
        gains = (format_gain(gain(table, "psnr", judged, other, case=case)) for case in labels)
        lines.append([f"{noisy.get(judged, judged)} over {noisy.get(other, other)}", *gains])
    write_between(arguments.page, "denoising-noisy" if noisy else "denoising", markdown_table(head, lines))


if __name__ == "__main__":
    main()
