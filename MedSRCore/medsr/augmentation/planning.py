"""From what was asked to a list of copies: counts, disk, time, and one task for each."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.augmentation.building import TaskBuilder, common_ending, with_model
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.checks import Checked, Refused, check_cases
from medsr.augmentation.datasets import LAYOUTS, Layout
from medsr.augmentation.datasets.bids import SUFFIXES
from medsr.augmentation.making import is_complete
from medsr.augmentation.recipes import Recipe, load_recipe
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.tasks import Task
from medsr.errors import InputError, InvalidValueError


@dataclass(frozen=True)
class CohortPlan:
    """What will be done.

    Attributes:
        dataset: the source, real cases only.
        layout: where everything goes.
        format: of the output.
        originals: the real cases with their places in the output, in the order of the source.
        structures: name -> value in the output, without the background.
        values: value in the source -> value in the output.
        channels: their names in the output.
        tasks: one for each copy.
        refused: cases that cannot be used.
        warnings: what a person should know.
        already_there: copies that are finished.
        disk_bytes: of what is still to be written, estimated.
    """

    dataset: Dataset
    layout: Layout
    format: str
    originals: tuple[tuple[Case, Case], ...]
    structures: Mapping[str, int]
    values: Mapping[int, int]
    channels: tuple[str, ...]
    tasks: tuple[Task, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]
    already_there: int
    disk_bytes: int

    @property
    def seconds(self) -> float:
        """Time on two CPU cores, estimated."""
        return sum(task.seconds for task in self.tasks) * (1 - self.already_there / max(len(self.tasks), 1))

    @property
    def memory_bytes(self) -> int:
        """Of the largest task, estimated."""
        return max((task.needs_bytes for task in self.tasks), default=0)


def plan_cohort(spec: AugmentSpec, dataset: Dataset, report: Callable[[float], None]) -> CohortPlan:
    """Check every case of `dataset` and decide which copies to make.

    Args:
        spec: what was asked.
        dataset: the source; copies in it are left out.
        report: receives the fraction of the cases checked.

    Raises:
        InputError: no case can be used.
        InvalidValueError, UnknownNameError, ModelError: recipes that make no sense for any case.
    """
    recipes = [with_model(load_recipe(name), spec.model) for name in spec.recipes]
    _check_repeats(recipes, spec.per_image)
    warnings = list(dataset.warnings)
    if dataset.synthetic:
        warnings.append(f"The source holds {len(dataset.synthetic)} copies that MedSR made; they are left out.")
    usable, refused = check_cases(dataset, dataset.real, report)
    warnings += [text for found in usable for text in found.warnings]
    kind = dataset.format if spec.format == "same" else spec.format
    layout = LAYOUTS[kind](Path(spec.output).absolute())
    structures, values = _output_labels(dataset, usable, kind)
    builder = TaskBuilder(spec, dataset, kind, layout, structures, values, common_ending(usable, kind))
    tasks: list[Task] = []
    originals: list[tuple[Case, Case]] = []
    disk = 0
    for found in usable:
        try:
            made, size = builder.tasks_of(found, recipes)
            placed = builder.placed(found)
        except InvalidValueError as error:
            refused.append(Refused(found.case.name, str(error)))
            continue
        tasks += made
        originals.append((found.case, placed))
        disk += size + (found.image_bytes + found.label_bytes if spec.originals == "copy" else 0)
    if not originals:
        first = f" The first one, {refused[0].case}: {refused[0].problem}" if refused else ""
        raise InputError(f"None of {len(dataset.real)} cases can be used.{first}")
    suffix = originals[0][1].name.rpartition("_")[2]
    if kind == "bids" and suffix not in SUFFIXES:
        warnings.append(
            f"BIDS knows no images called {suffix!r}, so a validator will complain. Rename the channel to what it is: "
            f"{', '.join(SUFFIXES)}."
        )
    _check_names([case.name for _, case in originals] + [task.name for task in tasks])
    return CohortPlan(
        dataset=dataclasses.replace(dataset, cases=tuple(case for case, _ in originals)),
        layout=layout,
        format=kind,
        originals=tuple(originals),
        structures=structures,
        values=values,
        # nnU-Net counts the colours of a picture as channels of one file.
        channels=("R", "G", "B") if kind == "nnunet" and usable[0].colours == 3 else dataset.channels,
        tasks=tuple(tasks),
        refused=tuple(refused),
        warnings=tuple(dict.fromkeys(warnings)),
        already_there=sum(map(is_complete, tasks)),
        disk_bytes=disk,
    )


def describe_plan(plan: CohortPlan) -> dict[str, Any]:
    """The plan as JSON data, with sentences for people."""
    output = Path(plan.layout.records).absolute()
    existing = next(folder for folder in (output, *output.parents) if folder.is_dir())
    recipes = Counter(str(task.recipe["name"]) for task in plan.tasks)
    subjects = {case.subject for case, _ in plan.originals}
    free = shutil.disk_usage(existing).free
    there = f", {plan.already_there} of them finished" if plan.already_there else ""
    lines = [
        f"{len(plan.originals)} cases of {len(subjects)} subjects ({plan.dataset.format}), labels: "
        f"{', '.join(plan.structures)}.",
        f"{len(plan.tasks)} copies{there}: {', '.join(f'{n} {name}' for name, n in recipes.items())}.",
        f"Output as {plan.format}, about {plan.disk_bytes / 1e6:.3g} MB; {free / 1e9:.3g} GB are free.",
    ]
    if plan.refused:
        lines.append(f"{len(plan.refused)} cases cannot be used.")
    return {
        "cases": len(plan.originals),
        "subjects": len(subjects),
        "copies": len(plan.tasks),
        "already_there": plan.already_there,
        "recipes": dict(recipes),
        "structures": dict(plan.structures),
        "format": plan.format,
        "disk_bytes": plan.disk_bytes,
        "disk_free_bytes": free,
        "seconds": round(plan.seconds, 1),
        "memory_bytes": plan.memory_bytes,
        "lines": lines,
        "warnings": list(plan.warnings),
    }


def _check_repeats(recipes: Sequence[Recipe], per_image: int) -> None:
    """Raise InvalidValueError when an image would get the same copy twice."""
    turns = Counter(recipes[copy % len(recipes)].name for copy in range(per_image))
    for recipe in recipes:
        if not recipe.draws and turns[recipe.name] > 1:
            raise InvalidValueError(
                f"{recipe.name} draws nothing: {turns[recipe.name]} copies of an image would be equal. Ask for fewer "
                "copies, or add a recipe that draws, such as degrade-sr."
            )


def _output_labels(dataset: Dataset, usable: Sequence[Checked], kind: str) -> tuple[dict[str, int], dict[int, int]]:
    """Structures of the output and how values are translated: consecutive for nnU-Net, else as they are."""
    names = {value: name for name, value in dataset.labels.items()}
    present = sorted({value for found in usable for value in found.values} | set(names) | {0})
    structures = [value for value in present if value]
    if kind == "nnunet":
        values = {0: 0, **{value: number for number, value in enumerate(structures, 1)}}
    else:
        values = {value: value for value in present}
    return {names.get(value, f"label {value}"): values[value] for value in structures}, values


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        raise InputError(f"Two cases of the output would be called {twice[0]!r}. Rename one in the source.")
