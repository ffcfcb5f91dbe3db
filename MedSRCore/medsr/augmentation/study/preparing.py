"""The images of a study on disk: what every arm trains on, and what its networks are tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsr.augmentation.cases import Case
from medsr.augmentation.study.controls import make_controls
from medsr.augmentation.study.design import COPIES, DUPLICATE, SYNTHETIC, Arm
from medsr.augmentation.study.plan import Study
from medsr.augmentation.study.samples import Sample, prepare
from medsr.jobs import Progress

CONTROLS_DONE, PREPARED = 0.03, 0.05
"""Shares of a whole study when the copies of the controls are made, and when all images are prepared."""

Images = list[tuple[Sample, Case]]


@dataclass(frozen=True)
class ArmImages:
    """What one arm uses.

    Attributes:
        train: real images, then what the arm adds.
        tests: where a network is tested, as `RunResult.scores` says -> the images.
    """

    train: Sequence[Sample]
    tests: Mapping[str, Images]


def prepare_arms(study: Study, folder: Path, progress: Progress) -> dict[str, ArmImages]:
    """Make the copies of the controls, bring all images to one grid.

    Args:
        study: what is compared.
        folder: gets both; what is there already is kept.
        progress: receives stages and fractions up to `PREPARED`, and may cancel.
    """
    cases: dict[str, tuple[Case, ...]] = {"": study.dataset.real}
    wanted = {arm.extra for arm in study.design.arms}
    if SYNTHETIC in wanted:
        cases[SYNTHETIC] = study.dataset.synthetic
    models = sorted(arm.control_model for arm in study.design.arms if arm.control_model)
    for number, model in enumerate(models):
        progress.stage(f"Making the copies of the control: {model}")
        share = CONTROLS_DONE / len(models)
        section = progress.section(number * share, (number + 1) * share)
        cases[model] = make_controls(study.dataset, model, folder / f"copies-{model}", section)
    progress.stage("Preparing the images")
    report, done = progress.section(CONTROLS_DONE, PREPARED), 0
    total = sum(map(len, (*cases.values(), *study.tests.values())))

    def prepared(members: Sequence[Case], place: Path) -> Images:
        nonlocal done
        place.mkdir(parents=True, exist_ok=True)
        images = []
        for case in members:
            images.append((prepare(case, place, study.spacing, list(study.structures.values())), case))
            done += 1
            report(done / total)
        return images

    of_arms = {extra: prepared(found, folder / f"prepared-{extra or 'real'}") for extra, found in cases.items()}
    of_tests = {name: prepared(found, folder / f"tested-{name}") for name, found in study.tests.items()}
    return {arm.name: _images_of(arm, of_arms, of_tests, study) for arm in study.design.arms}


def _images_of(arm: Arm, of_arms: Mapping[str, Images], of_tests: Mapping[str, Images], study: Study) -> ArmImages:
    real = of_arms[""]
    copies = of_arms.get(arm.extra, []) if arm.extra else []
    added = [sample for sample, _ in copies]
    if arm.extra == DUPLICATE:
        by_name = {sample.name: sample for sample, _ in real}
        added = [by_name[copy.origin] for copy in study.dataset.synthetic]
    enhanced = [(sample, case) for sample, case in copies if case.name in study.enhanced]
    return ArmImages([*(sample for sample, _ in real), *added], {"": real, COPIES: enhanced, **of_tests})
