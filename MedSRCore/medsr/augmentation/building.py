"""The tasks of one case: names, places, seeds, and what each will cost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import medsr
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.checks import Checked
from medsr.augmentation.contents import Contents
from medsr.augmentation.costs import Cost, cost_of
from medsr.augmentation.datasets import Layout, copy_name, real_name
from medsr.augmentation.recipes import Recipe, load_recipe
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.tasks import Task
from medsr.catalog import find_model
from medsr.errors import InvalidValueError
from medsr.io.formats import PLANAR_ONLY, WRITABLE, suffix_of

_LOSSLESS = tuple(ending for ending in WRITABLE if ending not in (".jpg", ".jpeg", ".nhdr", ".mhd", ".mgh"))
_DECIDES_NOTHING = (
    "digest", "device", "memory", "overwrite", "needs_bytes", "seconds", "images", "label", "image_outputs",
    "label_output", "sidecar", "sources",
)  # fmt: skip
_FORM = 2
"""Of the sidecars; those of another form count as made otherwise."""

_NNUNET_VOLUMES = (".nii.gz", ".nrrd", ".mha")


@dataclass(frozen=True)
class TaskBuilder:
    """Builds the tasks of one case after the other.

    Attributes:
        spec: what was asked.
        dataset: the source.
        kind: format of the output.
        layout: where everything goes.
        structures: name -> value in the output.
        values: value in the source -> value in the output.
        ending: the extension that all files of the output have, where its format allows one only.
        contents: what the files of the source hold.
    """

    spec: AugmentSpec
    dataset: Dataset
    kind: str
    layout: Layout
    structures: Mapping[str, int]
    values: Mapping[int, int]
    ending: str | None
    contents: Contents

    def placed(self, found: Checked) -> Case:
        """The original as it will lie in the output."""
        name = real_name(found.case, self.dataset, self.kind)
        case = dataclasses.replace(found.case, name=name)
        image, label = (self.ending or suffix_of(Path(path)) for path in (case.images[0], case.label))
        places = self.layout.places(case, image, label)
        images = tuple(map(str, places.images))
        return dataclasses.replace(case, images=images, label=str(places.label), stacked=case.channels // len(images))

    def tasks_of(self, found: Checked, recipes: Sequence[Recipe]) -> list[tuple[Task, Cost]]:
        """The tasks of one case, and what each will cost."""
        case = found.case
        original = real_name(case, self.dataset, self.kind)
        tasks, used = [], set[str]()
        for copy in range(1, self.spec.per_image + 1):
            seed = seed_of(self.spec.seed, case.name, copy)
            recipe = _chosen(recipes[(copy - 1) % len(recipes)], copy, seed, used, self.spec.model)
            used.add(recipe.name)
            name = copy_name(original, recipe.name, copy, self.kind)
            cost = cost_of(recipe, found, self._modality(0), self.spec.dtype)
            tasks.append((self._task(found, recipe, copy, seed, name, cost), cost))
        return tasks

    def _task(self, found: Checked, recipe: Recipe, copy: int, seed: int, name: str, cost: Cost) -> Task:
        case = found.case
        made = Case(name, case.subject, case.images, case.label, case.name, recipe.name, stacked=case.stacked)
        ending = self.ending or _lossless_ending(found)
        places = self.layout.places(made, ending, ending)
        sources = {
            "training_set": self.dataset.name,
            "images": [_relative(path, self.dataset.root) for path in case.images],
            "label": _relative(case.label, self.dataset.root),
        }
        task = Task(
            name=name,
            case=real_name(case, self.dataset, self.kind),
            subject=case.subject,
            images=case.images,
            label=case.label,
            modalities=tuple(self._modality(channel) for channel in range(case.channels)),
            image_outputs=tuple(map(str, places.images)),
            label_output=str(places.label),
            sidecar=str(places.sidecar),
            recipe=recipe.to_dict(),
            copy=copy,
            seed=seed,
            values=dict(self.values),
            structures=dict(self.structures),
            digest="",
            sources=sources,
            device=self.spec.device,
            memory=self.spec.memory,
            dtype=self.spec.dtype,
            overwrite=self.spec.overwrite,
            needs_bytes=cost.memory_bytes,
            seconds=cost.seconds,
        )
        return dataclasses.replace(task, digest=digest_of(task, self.contents))

    def _modality(self, channel: int) -> str:
        return modality_of(self.dataset.channels[min(channel, len(self.dataset.channels) - 1)])


def modality_of(channel: str) -> str:
    """What the name of a channel says: "CT", "MR", or "auto" where it says nothing."""
    name = channel.lower()
    if name in ("ct", "cta", "cbct"):
        return "CT"
    is_mr = name.startswith(("mr", "t1", "t2", "flair", "pd", "adc", "dwi", "swi"))
    return "MR" if is_mr else "auto"


def common_ending(usable: Sequence[Checked], kind: str) -> str | None:
    """The one extension of nnU-Net's files: that of the images where all agree and nnU-Net reads it.

    BIDS, which holds NIfTI only, has one where volumes come as something else.
    """
    endings = {_lossless_ending(found) for found in usable}
    if kind == "bids" and not endings <= {".nii", ".nii.gz"} and not any(found.planar for found in usable):
        return ".nii.gz"
    if kind != "nnunet":
        return None
    accepted = (".png",) if all(found.planar for found in usable) else _NNUNET_VOLUMES
    return endings.pop() if len(endings) == 1 and endings <= set(accepted) else accepted[0]


def _lossless_ending(found: Checked) -> str:
    """The extension of copies: that of the image where it can be written without loss."""
    ending = suffix_of(Path(found.case.images[0]))
    if ending in _LOSSLESS:
        return ending
    return ".png" if found.planar and ending in PLANAR_ONLY else ".nii.gz"


def seed_of(seed: int, case: str, copy: int) -> int:
    """The seed of one copy. It says nothing of recipe or model, so that controls draw what they are compared with."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{case}/{copy}".encode()).digest()[:6], "big")


def digest_of(task: Task, contents: Contents) -> str:
    """SHA-256 of everything that decides a copy: the task, what its files hold, the version of MedSR.

    Where the files lie and when they were written decides nothing: a set that was moved or copied is the same.
    """
    data = dataclasses.asdict(task)
    for key in _DECIDES_NOTHING:
        del data[key]
    data["files"] = [contents.of(path) for path in (*task.images, task.label)]
    data["version"], data["form"] = medsr.__version__, _FORM
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def with_model(recipe: Recipe, model: str | None) -> Recipe:
    """The recipe with `model` instead of its own; raises UnknownNameError for a model that is not known."""
    changed = recipe if model is None or recipe.one_of else dataclasses.replace(recipe, model=model)
    if changed.model != "auto":
        find_model(changed.model)
    return changed


def _chosen(recipe: Recipe, copy: int, seed: int, used: set[str], model: str | None) -> Recipe:
    """What a recipe of several draws: one of them that is not made already, if it is always the same."""
    if not recipe.one_of:
        return recipe
    parts = [with_model(load_recipe(name), model) for name in recipe.one_of]
    if any(part.one_of for part in parts):
        raise InvalidValueError(f"Recipe {recipe.name} draws among recipes that draw among others. List those instead.")
    left = [part for part in parts if part.draws or part.name not in used]
    if not left:
        raise InvalidValueError(f"Recipe {recipe.name} has nothing left to draw for copy {copy}. Ask for fewer copies.")
    # A stream of its own: what the chosen recipe draws later does not depend on how many there were.
    return left[int(np.random.default_rng((seed, 1)).integers(len(left)))]


def _relative(path: str, root: str) -> str:
    found = Path(path)
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else found.name
