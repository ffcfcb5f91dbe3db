"""What a study takes: the sets, checked against each other, and the conditions that decide its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import medsr
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.study.controls import enhanced_copies
from medsr.augmentation.study.design import StudyDesign
from medsr.augmentation.study.recipe import SegmentationRecipe
from medsr.augmentation.study.samples import Spacing, class_values, finest_spacing
from medsr.errors import InputError


@dataclass(frozen=True)
class Study:
    """Everything that decides the results.

    Attributes:
        dataset: real images and their copies.
        truth: case name -> label map to score against, on whatever grid it is.
        design: arms, folds, seeds, sizes.
        recipe: of the networks.
        spacing: of the training grid (x, y, z in mm).
        enhanced: names of the copies that show their original itself, not a degraded one: networks are tested on
            them, too.
        tests: name of a further set -> its images that every network is tested on.
    """

    dataset: Dataset
    truth: Mapping[str, str]
    design: StudyDesign
    recipe: SegmentationRecipe
    spacing: Spacing
    enhanced: frozenset[str] = frozenset()
    tests: Mapping[str, tuple[Case, ...]] = field(default_factory=dict)

    @property
    def structures(self) -> dict[str, int]:
        """Name -> value in label maps."""
        return class_values(self.dataset.labels)

    @property
    def subjects(self) -> list[str]:
        """All of them, by name."""
        return sorted({case.subject for case in self.dataset.real})

    @property
    def digest(self) -> str:
        """Of the conditions: results of other ones do not count."""
        return hashlib.sha256(json.dumps(self.conditions(), sort_keys=True).encode()).hexdigest()

    def conditions(self) -> dict[str, Any]:
        """What all runs have in common, ready for JSON."""
        return {
            "medsr": medsr.__version__,
            "recipe": self.recipe.to_dict(),
            "spacing_xyz_mm": list(self.spacing),
            "folds": self.design.folds,
            "structures": self.structures,
            "images": [[*map(_state, (*case.images, case.label))] for case in self.dataset.cases],
            "truth": [[name, _state(path)] for name, path in sorted(self.truth.items())],
            "tests": [[name, [[*map(_state, case.images)] for case in cases]] for name, cases in self.tests.items()],
            "subjects": self.subjects,
        }


def plan_study(
    dataset: Dataset,
    design: StudyDesign,
    recipe: SegmentationRecipe,
    *,
    truth: Dataset | None = None,
    spacing: Spacing | None = None,
    test_on: Sequence[Dataset] = (),
) -> Study:
    """Check that `design` can be done with `dataset`.

    Args:
        dataset: real images and copies, as `medsr augment` makes it.
        design: what to compare.
        recipe: of the networks.
        truth: labels of the same real cases to score against; None for those of `dataset`.
        spacing: of the training grid; None for the finest of the set.
        test_on: the sets that `design.test_on` names. Their copies are tested on, or their images where they hold no
            copies.

    Raises:
        InputError: no copies where an arm needs them, too few subjects, no labels, a case without truth, or one that
            a set to test on lacks.
    """
    if not class_values(dataset.labels):
        raise InputError(
            f"The training set {dataset.name!r} names no structure to segment. In a plain folder a file "
            'labels.json does, for example with {"lesion": 1}.'
        )
    needing = [arm.name for arm in design.arms if arm.extra]
    if needing and not dataset.synthetic:
        raise InputError(
            f"The training set {dataset.name!r} holds no copies, which {', '.join(needing)} need. Make some first: "
            "medsr augment SOURCE OUT --recipe sr-x2, and give OUT."
        )
    labels = {case.name: case.label for case in (truth or dataset).real}
    missing = [case.name for case in dataset.real if case.name not in labels]
    if missing:
        raise InputError(f"The truth has no case {missing[0]!r}; {len(missing)} of {len(dataset.real)} are missing.")
    design.check(sorted({case.subject for case in dataset.real}))
    return Study(
        dataset,
        {case.name: labels[case.name] for case in dataset.real},
        design,
        recipe,
        spacing or finest_spacing(dataset.cases),
        enhanced_copies(dataset),
        {name: _test_cases(name, found, dataset) for name, found in zip(design.test_on, test_on, strict=True)},
    )


def _test_cases(name: str, found: Dataset, dataset: Dataset) -> tuple[Case, ...]:
    """The images of `found` that show the real cases of `dataset`: the copies where it has some."""
    wanted = {case.name for case in dataset.real}
    cases = tuple(case for case in found.synthetic or found.real if (case.origin or case.name) in wanted)
    missing = sorted(wanted - {case.origin or case.name for case in cases})
    if missing:
        what = "copy" if found.synthetic else "image"
        raise InputError(
            f"{name} has no {what} of the case {missing[0]!r}; {len(missing)} of {len(wanted)} are missing. A set to "
            f"test on holds the cases of {dataset.name!r} under the same names."
        )
    return cases


def _state(path: str) -> Sequence[int | str]:
    """Name, size and time of a file: another file is another study."""
    found = Path(path).stat()
    return [Path(path).name, found.st_size, found.st_mtime_ns]
