"""From what was asked to a list of copies: counts, disk, time, and one task for each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsr.augmentation.building import TaskBuilder, common_ending, with_model
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.checks import Checked, Refused, check_cases
from medsr.augmentation.contents import Contents
from medsr.augmentation.costs import Cost
from medsr.augmentation.datasets import Layout, layout_of
from medsr.augmentation.datasets.bids_names import SUFFIXES, suffixes_of
from medsr.augmentation.datasets.layout import RECORD, read_record
from medsr.augmentation.making import is_complete
from medsr.augmentation.recipes import Recipe, load_recipe
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.splits import never_trained, shared_subjects
from medsr.augmentation.tasks import Task
from medsr.errors import InputError, InvalidValueError
from medsr.geometry import Geometry


@dataclass(frozen=True)
class CohortPlan:
    """What will be done.

    Attributes:
        dataset: the source, real cases only.
        output: its folder.
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
        contents: what the files of the source hold.
        original_grids: of the images of `originals`.
        copy_grids: of the copies that `tasks` make.
    """

    dataset: Dataset
    output: Path
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
    contents: Contents
    original_grids: tuple[Geometry, ...]
    copy_grids: tuple[Geometry, ...]

    def original_digests(self) -> dict[str, str]:
        """Name of each original in the output -> digest of what it is made from."""
        return {placed.name: self.contents.of_original(source, self.values) for source, placed in self.originals}

    @property
    def carries(self) -> bool:
        """True when lists and further files of the source are handed on: the output has its format."""
        return self.format == self.dataset.format

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
    usable, refused = check_cases(dataset, dataset.real, lambda fraction: report(fraction / 2))
    warnings += [text for found in usable for text in found.warnings]
    kind = dataset.format if spec.format == "same" else spec.format
    kept_back = never_trained(dataset.real, dataset.splits)
    warnings += _division_warnings(dataset, kept_back, kind)
    output = Path(spec.output).absolute()
    layout = layout_of(kind, output, dataset.channels)
    structures, values = _output_labels(dataset, usable, kind)
    # Reading every image takes as long as copying it: not to show what would be done in a new folder.
    needed = not spec.dry_run or (layout.records / RECORD).is_file()
    contents = Contents(dataset.root, read_record(layout.records).get("contents"), needed=needed)
    builder = TaskBuilder(spec, dataset, kind, layout, structures, values, common_ending(usable, kind), contents)
    costs: list[tuple[Task, Cost]] = []
    originals: list[tuple[Case, Case]] = []
    grids: list[Geometry] = []
    disk = 0
    for number, found in enumerate(usable, 1):
        report(0.5 + 0.5 * number / len(usable))
        try:
            made = [] if found.case.name in kept_back else builder.tasks_of(found, recipes)
            placed = builder.placed(found)
        except InvalidValueError as error:
            refused.append(Refused(found.case.name, str(error)))
            continue
        costs += [(task, cost) for task, cost in made]
        originals.append((found.case, placed))
        grids.append(found.geometry)
        disk += sum(cost.disk_bytes for task, cost in made if not is_complete(task))
        disk += (found.image_bytes + found.label_bytes) if spec.originals == "copy" else 0
    if spec.originals == "copy" and kind == dataset.format:
        disk += sum(Path(file).stat().st_size for file in dataset.carried.values())
    if not originals:
        first = f" The first one, {refused[0].case}: {refused[0].problem}" if refused else ""
        raise InputError(f"None of {len(dataset.real)} cases can be used.{first}")
    tasks = [task for task, _ in costs]
    if not tasks:
        raise InputError("No copy can be made: the training set keeps all cases that can be used for validation.")
    if kind == "bids":
        warnings += _suffix_warnings(dataset.channels, originals[0][1].name)
    _check_names([case.name for _, case in originals] + [task.name for task in tasks])
    return CohortPlan(
        dataset=dataclasses.replace(dataset, cases=tuple(case for case, _ in originals)),
        output=output,
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
        contents=contents,
        original_grids=tuple(grids),
        copy_grids=tuple(cost.grid for _, cost in costs),
    )


def _division_warnings(dataset: Dataset, kept_back: Collection[str], kind: str) -> list[str]:
    """What a person should know of the parts that the source has."""
    warnings = []
    if kept_back:
        warnings.append(f"{len(kept_back)} cases are kept for validation, or in no fold; they get no copies.")
    if shared := shared_subjects(dataset.real, dataset.splits):
        warnings.append(
            f"{len(shared)} subjects, such as {shared[0]}, are trained on and validated on in the same fold of the "
            "training set. No copies of them are trained on there."
        )
    if kind != dataset.format:
        warnings += [
            f"The list {name!r} ({len(entries)} entries) is not handed on to the format {kind}."
            for name, entries in dataset.lists.items()
            if entries
        ]
    return warnings


def _suffix_warnings(channels: Sequence[str], name: str) -> list[str]:
    """What BIDS does not know of the names of the channels, or of the end of the one file's `name`."""
    suffixes = suffixes_of(channels) if len(channels) > 1 else (name.rpartition("_")[2],)
    return [
        f"BIDS knows no images called {suffix!r}, so a validator will complain. Rename the channel to what it is: "
        f"{', '.join(SUFFIXES)}."
        for suffix in suffixes
        if suffix not in SUFFIXES
    ]


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
