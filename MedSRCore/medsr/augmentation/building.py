"""The tasks of one case: names, places, seeds, and what each will cost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

import medsr
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.checks import Checked
from medsr.augmentation.datasets import Layout, copy_name, real_name
from medsr.augmentation.making import is_complete
from medsr.augmentation.recipes import Recipe, load_recipe
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.tasks import Task
from medsr.catalog import find_model
from medsr.errors import InvalidValueError, MedSRError
from medsr.geometry import Geometry
from medsr.inference.planner import make_plan
from medsr.io.formats import PLANAR_ONLY, WRITABLE, suffix_of
from medsr.options import UpscaleOptions
from medsr.planning.target import resolve_target
from medsr.volume import Volume

_LOSSLESS = tuple(ending for ending in WRITABLE if ending not in (".jpg", ".jpeg", ".nhdr", ".mhd", ".mgh"))
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
    """

    spec: AugmentSpec
    dataset: Dataset
    kind: str
    layout: Layout
    structures: Mapping[str, int]
    values: Mapping[int, int]
    ending: str | None

    def placed(self, found: Checked) -> Case:
        """The original as it will lie in the output."""
        name = real_name(found.case, self.dataset, self.kind)
        case = dataclasses.replace(found.case, name=name)
        image, label = (self.ending or suffix_of(Path(path)) for path in (case.images[0], case.label))
        places = self.layout.places(case, image, label)
        return dataclasses.replace(case, images=tuple(map(str, places.images)), label=str(places.label))

    def tasks_of(self, found: Checked, recipes: Sequence[Recipe]) -> tuple[list[Task], int]:
        """The tasks of one case, and the disk space that they will take."""
        case = found.case
        original = real_name(case, self.dataset, self.kind)
        tasks, size, used = [], 0, set[str]()
        for copy in range(1, self.spec.per_image + 1):
            seed = seed_of(self.spec.seed, case.name, copy)
            recipe = _chosen(recipes[(copy - 1) % len(recipes)], copy, seed, used, self.spec.model)
            used.add(recipe.name)
            task, voxels = self._task(found, recipe, copy, seed, copy_name(original, recipe.name, copy, self.kind))
            tasks.append(task)
            if not is_complete(task):
                size += int((found.image_bytes + found.label_bytes) * voxels / found.geometry.voxels)
        return tasks, size

    def _task(self, found: Checked, recipe: Recipe, copy: int, seed: int, name: str) -> tuple[Task, int]:
        case = found.case
        grid, memory, seconds = _cost(recipe, found.geometry, found.planar, self._modality(0))
        made = Case(name, case.subject, case.images, case.label, case.name, recipe.name)
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
            modalities=tuple(self._modality(channel) for channel in range(len(case.images))),
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
            overwrite=self.spec.overwrite,
            needs_bytes=memory,
            seconds=seconds * len(case.images),
        )
        return dataclasses.replace(task, digest=digest_of(task)), grid.voxels * len(case.images)

    def _modality(self, channel: int) -> str:
        """What the name of a channel says: "CT", "MR", or "auto" where it says nothing."""
        name = self.dataset.channels[min(channel, len(self.dataset.channels) - 1)].lower()
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


def digest_of(task: Task) -> str:
    """SHA-256 of everything that decides a copy: the task, the state of its files, the version of MedSR."""
    data = dataclasses.asdict(task)
    for key in ("digest", "device", "memory", "overwrite", "needs_bytes", "seconds", "image_outputs", "label_output"):
        del data[key]
    del data["sidecar"]
    data["files"] = [[Path(p).stat().st_size, Path(p).stat().st_mtime_ns] for p in (*task.images, task.label)]
    for key in ("images", "label"):
        del data[key]
    data["version"] = medsr.__version__
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


def _cost(recipe: Recipe, geometry: Geometry, planar: bool, modality: str) -> tuple[Geometry, int, float]:
    """Grid of a copy, memory and seconds; raises InvalidValueError for a target that changes nothing."""
    targets = {key: value for key, value in recipe.target.items() if key != "grid"}
    source = geometry
    if recipe.degrade is not None:
        # What will be measured is not drawn yet: half the voxels along each axis, which is near the middle.
        size = [max(n // 2, 1) for n in geometry.size_xyz[: 2 if planar else 3]] + ([1] if planar else [])
        spacing = [s * 2 for s in geometry.spacing_xyz_mm[: 2 if planar else 3]]
        source = geometry.with_grid([*spacing, *geometry.spacing_xyz_mm[len(spacing) :]], size)
    options = UpscaleOptions(model=recipe.model, **(targets or {"scale": (2.0, 2.0, 2.0)}))
    grid = resolve_target(source, options, planar=planar).output if targets else geometry
    memory, seconds = _estimate(source, options, planar, "MR" if modality == "auto" else modality)
    # Beside the image: the fields of the structures and the label map.
    return grid, memory + 12 * grid.voxels, seconds


@lru_cache(maxsize=256)
def _estimate(geometry: Geometry, options: UpscaleOptions, planar: bool, modality: str) -> tuple[int, float]:
    blank = np.broadcast_to(np.zeros(1, np.float32), geometry.shape_zyx)
    volume = Volume(blank, geometry, modality=modality, planar=planar)
    try:
        found = make_plan(volume, options, runnable=True).estimate()
    except MedSRError as error:
        raise InvalidValueError(str(error)) from error
    return int(found["memory_bytes"]), float(found["seconds"])


def _relative(path: str, root: str) -> str:
    found = Path(path)
    return found.relative_to(root).as_posix() if found.is_relative_to(root) else found.name
