"""Train a network by a recipe.

A recipe is a small JSON file: one that medsr carries, or your own. Training goes on from its last checkpoint with
--resume.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.cli.console import note, open_view, say, warning_line
from medsr.cli.folders import check_folder, nearest_folder, output_folder, writable_folder
from medsr.cli.parsing import VerbParser, parse_whole
from medsr.errors import (
    CancelledError,
    InputNotFoundError,
    InvalidValueError,
    MissingDependencyError,
    ModelError,
    OutputError,
    unknown_name,
)
from medsr.jobs import ProgressEvent, StageEvent

if TYPE_CHECKING:
    from medsr.training.recipe import Recipe

EXAMPLES = """examples:
  medsr train mr-3d --data mr.data.json --root volumes/ --output runs/mr-3d
  medsr train mr-3d --data mr.data.json --root volumes/ --output runs/mr-3d --resume
  medsr train my_recipe.json --data list.json --root . --output runs/my --set steps=2000 optimiser.learning_rate=1e-4
  medsr train mr-3d --smoke --output runs/smoke        (half a minute on a phantom: does it work here?)"""

RECIPES = Path(__file__).parent.parent / "training" / "recipes"
CHECKPOINT = "last.ckpt"

_PACKAGES = ("torch", "monai", "lightning")
# A run that touches every part of a training and is over in seconds.
_SMOKE = (
    "steps=4",
    "steps_per_epoch=2",
    "validate_every=2",
    "validation_patches=4",
    "patch=32",
    "batch=1",
    "precision=32-true",
    "optimiser.warmup=1",
    "optimiser.cooldown=1",
    "warm_start=",
)
_PHANTOM_SIZE = 72


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    names = ", ".join(known_recipes()) or "none is installed"
    parser.add_argument("recipe", metavar="RECIPE", help=f"a recipe's name ({names}) or file")
    parser.add_argument("--data", metavar="LIST.json", help='lists of volumes under "train" and "validation"')
    parser.add_argument("--root", metavar="DIR", help="folder that the list's files are in; default: that of the list")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder for checkpoints, logs and weights")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        dest="settings",
        help="change the recipe, for example steps=2000 or optimiser.learning_rate=1e-4",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--devices", metavar="N", default="1", help="devices that train in parallel; default: 1")
    parser.add_argument("--nodes", metavar="N", default="1", help="machines, each started by torchrun; default: 1")
    parser.add_argument("--workers", metavar="N", default="0", help="processes that prepare examples; default: 0")
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="folder for the prepared volumes, mapped from there and shared by all processes, for data larger than "
        "memory; default: every process holds them in memory",
    )
    parser.add_argument("--smoke", action="store_true", help="four steps on a phantom, to see that training works here")


def run(arguments: argparse.Namespace) -> int:
    """Train; print where the weights are."""
    from medsr.training.recipe import Recipe

    recipe = Recipe.load(find_recipe(arguments.recipe))
    recipe = recipe.override([*(_smoke_settings(recipe) if arguments.smoke else ()), *arguments.settings])
    devices = parse_whole("devices", arguments.devices, least=1)
    nodes = parse_whole("nodes", arguments.nodes, least=1)
    workers = parse_whole("workers", arguments.workers)
    folder = output_folder(arguments.output)
    _check_output(folder, resume=arguments.resume)
    cache = output_folder(arguments.cache) if arguments.cache else None
    if cache:
        check_folder(nearest_folder(cache))
    with ExitStack() as stack:
        if arguments.smoke:
            if arguments.data or arguments.root:
                raise InvalidValueError("--smoke trains on a phantom of its own: leave --data and --root away.")
            phantom = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medsr-")))
            data, root = _write_phantoms(phantom, recipe.modality), phantom
        elif arguments.data is None:
            raise InvalidValueError("--data LIST.json is missing: the list of volumes to train on. Or try --smoke.")
        else:
            data = Path(arguments.data)
            root = Path(arguments.root) if arguments.root else data.absolute().parent
            _check_data(data, root)
        weights = _train(
            recipe, data, root, folder,
            resume=arguments.resume, workers=workers, devices=devices, nodes=nodes, cache=cache,
        )  # fmt: skip
    say(f"Weights   {weights}")
    if recipe.family != "features":
        say(f"Model     {weights.with_name('bundle')}     (medsr upscale --model takes this folder)")
    return 0


def known_recipes() -> list[str]:
    """Names of the recipes that medsr carries."""
    return sorted(path.stem for path in RECIPES.glob("*.json") if not path.name.endswith(".data.json"))


def find_recipe(text: str) -> Path:
    """The file of a recipe given by name or path.

    Raises:
        UnknownNameError: no recipe of that name.
        InputNotFoundError: no such file.
    """
    if text in known_recipes():
        return RECIPES / f"{text}.json"
    path = Path(text)
    if path.is_file():
        return path
    if path.suffix == ".json" or path.name != text:
        raise InputNotFoundError(f"There is no recipe file {text!r}. Check the path.")
    if not known_recipes():
        raise InputNotFoundError(f"There is no recipe {text!r}: this installation carries none. Give a recipe's file.")
    raise unknown_name("recipe", text, known_recipes())


def _check_output(folder: Path, *, resume: bool) -> None:
    check_folder(nearest_folder(folder))
    found = (folder / CHECKPOINT).exists()
    if found and not resume:
        raise OutputError(
            f"{str(folder)!r} holds an earlier training. Pass --resume to go on with it, or choose another folder."
        )
    if found and not zipfile.is_zipfile(folder / CHECKPOINT):
        raise ModelError(
            f"{str(folder / CHECKPOINT)!r} is damaged: the training cannot go on from it. Put a copy of it back, or "
            "delete it to begin anew."
        )
    if resume and not found:
        warning_line(f"{str(folder)!r} holds no checkpoint to resume from: the training starts at its beginning.")


def _check_data(data: Path, root: Path) -> None:
    """Raise InputError for a list, or a volume of it, that is not there, before torch is loaded."""
    if not data.is_file():
        raise InputNotFoundError(f"There is no data list {str(data)!r}. Check the path.")
    if not root.is_dir():
        raise InputNotFoundError(f"There is no folder {str(root)!r}. Give the folder of the volumes with --root.")


def _smoke_settings(recipe: Recipe) -> list[str]:
    """`_SMOKE`, and what makes the recipe's other networks small enough for half a minute on two cores."""
    settings = list(_SMOKE)
    if recipe.family != "refine":
        # Batch normalisation wants more than one number per channel.
        settings.append("batch=2")
    if recipe.family != "refine" and recipe.network.spatial_dims == 3:
        settings.append("patch=16")
    if recipe.adversary.pixel_steps:
        settings.append("adversary.pixel_steps=1")
    if recipe.losses.features == "vgg19":
        settings += ["losses.features=texture-net", "losses.features_options={}"]
    if recipe.adversary.options.get("head") == "dense":
        settings.append("adversary.options.patch=32")
    if recipe.adversary.discriminator == "wavelet-unet":
        settings.append("adversary.options.levels=3")
    return settings


def _train(
    recipe: Recipe,
    data: Path,
    root: Path,
    folder: Path,
    *,
    resume: bool,
    workers: int,
    devices: int,
    nodes: int,
    cache: Path | None,
) -> Path:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"Training needs {' and '.join(missing)}, not installed here. Install with: pip install 'medsr[train]'"
        )
    from medsr.training.run import train

    logging.getLogger("medsr.training").setLevel(logging.INFO)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    note(f"Recipe {recipe.name}: {recipe.steps} steps of {recipe.batch} patches; {str(folder)!r} gets a log.")
    try:
        writable_folder(folder)
        with open_view("auto") as view:

            def report(done: int, total: int, seconds_left: float | None) -> None:
                if done % recipe.steps_per_epoch == 0 or done == 1:
                    view(StageEvent(f"Step {done} of {total}"))
                view(ProgressEvent(done / total, seconds_left))

            return train(
                recipe, data, root, folder,
                resume=resume, workers=workers, devices=devices, nodes=nodes, cache=cache, report=report,
            )  # fmt: skip
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning turns Ctrl-C into SystemExit.
        raise CancelledError("Stopped. The same command with --resume goes on from the last checkpoint.") from error


def _write_phantoms(folder: Path, modality: str) -> Path:
    """Two small volumes of random blobs and their data list."""
    import numpy as np
    import SimpleITK as sitk
    from scipy import ndimage

    lists: dict[str, list[dict[str, object]]] = {}
    for number, subset in enumerate(("train", "validation")):
        rng = np.random.default_rng(number)
        blobs = ndimage.gaussian_filter(rng.standard_normal([_PHANTOM_SIZE] * 3), 2.0)
        array = np.clip(blobs / blobs.std() * 250 + 400, 0, None).astype(np.float32)
        image = sitk.GetImageFromArray(array - 1000 if modality == "CT" else array)
        sitk.WriteImage(image, str(folder / f"{subset}.nii"))
        lists[subset] = [{"file": f"{subset}.nii", "subject": subset}]
    data = folder / "phantom.data.json"
    data.write_text(json.dumps(lists), encoding="utf-8")
    return data
