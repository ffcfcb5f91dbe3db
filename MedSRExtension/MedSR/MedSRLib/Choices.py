"""What the combo boxes of the panel offer: fixed choices, and those that the library has."""

from __future__ import annotations

import enum
from typing import Any

from MedSRLib.Translation import tr as _


class Choice(enum.Enum):
    """Base of the fixed choices, which Slicer ties to combo boxes by itself.

    A member is (what the library takes, entry of the combo box, tooltip); its name is kept in the scene.
    """

    text: str
    tip: str

    def __new__(cls, value: str, text: str, tip: str) -> Choice:
        """A member whose value is the first of the three."""
        member = object.__new__(cls)
        member._value_, member.text, member.tip = value, text, tip
        return member

    def label(self) -> str:
        """The entry of the combo box, as Slicer asks for it."""
        return self.text


class Target(Choice):
    """The presets of the target."""

    ISOTROPIC = "isotropic", _("Isotropic (finest spacing)"), _("Every direction as fine as the finest one is now")
    TWICE = "x2", _("x2 in every direction"), _("Half the voxel spacing, eight times the voxels")
    TWICE_IN_PLANE = "x2-in-plane", _("x2 in plane"), _("Half the spacing within the slices, their number stays")
    SPACING = "spacing", _("Custom spacing"), _("Spacing in mm along each axis of the volume")
    REFERENCE = "reference", _("Same grid as ..."), _("Exactly the voxels of another volume of this patient")


class Mode(Choice):
    """Volumetric or slice by slice."""

    AUTO = "auto", _("Automatic"), _("Volumetric, but slice by slice for fewer than 8 slices")
    VOLUMES = "3d", _("3D volumetric"), _("Looks at the neighbourhood in all directions")
    SLICES = "2d", _("2D slice-wise"), _("Looks at one slice at a time")


class Effort(Choice):
    """How much work the networks do."""

    STANDARD = "standard", _("Standard"), _("Slices are refined too, where they were measured complete")
    FAST = "fast", _("Fast"), _("The volumetric network alone")
    THOROUGH = (
        "thorough", _("Thorough"), _("Slices are refined even where every axis is enlarged: several times as long"),
    )  # fmt: skip


class Modality(Choice):
    """Modalities."""

    AUTO = "auto", _("From the volume"), _("From the DICOM header, else guessed from the intensities")
    MR = "MR", _("MR"), _("Magnetic resonance")
    CT = "CT", _("CT"), _("Computed tomography, Hounsfield units")


class SliceAxis(Choice):
    """Axes across the slices."""

    AUTO = "auto", _("Automatic"), _("From the header, else by the shape of the voxels")
    X = "x", _("x axis"), _("Grid axis x")
    Y = "y", _("y axis"), _("Grid axis y")
    Z = "z", _("z axis"), _("Grid axis z")


class Device(Choice):
    """Where to compute."""

    AUTO = "auto", _("Automatic"), _("A graphics card when there is a usable one, else the processor")
    CPU = "cpu", _("Processor (CPU)"), _("Works everywhere")
    CUDA = "cuda", _("NVIDIA graphics card"), _("The first CUDA device")


class Precision(Choice):
    """Voxel types of the output."""

    SAME = "same", _("As the input"), _("Whole numbers stay whole; the work itself is in 32-bit floating point")
    FLOAT32 = "float32", _("32-bit floating point"), _("Keeps fractions, takes twice the memory of 16-bit volumes")
    INT16 = "int16", _("16-bit whole numbers"), _("As DICOM stores CT")


class TrainingSource(Choice):
    """Where labelled images come from."""

    SCENE = "scene", _("Volumes of this scene"), _("Pairs that you put on a list")
    FOLDER = "folder", _("A dataset on disk"), _("Medical Decathlon, nnU-Net, BIDS, or plain folders")


class TrainingFormat(Choice):
    """Layouts of a training set."""

    SAME = "same", _("As the dataset"), _("The layout that the images came in; Decathlon for those of the scene")
    NNUNET = "nnunet", _("nnU-Net v2"), _("imagesTr, labelsTr and dataset.json, as nnU-Net's raw folder has them")
    DECATHLON = "decathlon", _("Decathlon / MONAI"), _("A dataset.json that lists images and labels")
    BIDS = "bids", _("BIDS"), _("One folder for each subject, labels among the derivatives")


def profileEntries() -> list[tuple[str, str, str]]:
    """Automatic, then what scanners do, as the library has it."""
    from medsr.physics.profiles import KINDS, MEASURED

    kinds = [(name, KINDS[name].title, KINDS[name].help) for name in MEASURED]
    return [automaticProfile(), *((name, title, about[:1].upper() + about[1:]) for name, title, about in kinds)]


def automaticProfile() -> tuple[str, str, str]:
    """The first of the profiles, which is there without the library, too."""
    return ("auto", _("Automatic"), _("Found from the header, else from the voxels"))


def recipeEntries() -> list[tuple[str, str, str]]:
    """The recipes of the library, the usual ones first."""
    from medsr.augmentation.recipes import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    return [
        (recipe.name, recipe.name, recipe.about[:1].upper() + recipe.about[1:])
        for recipe in sorted(recipes, key=lambda recipe: "bspline" in recipe.name)
    ]


def modelEntries() -> list[tuple[str, str, str]]:
    """Automatic, then the catalog: networks for any grid, interpolation, networks with a factor of their own."""
    from medsr.catalog import load_catalog

    entries = sorted(load_catalog().values(), key=lambda entry: (bool(entry.scales), not entry.needs_torch))
    return [
        automaticModel(),
        *((entry.name, _labelled(entry), _marked(entry, entry.summary)) for entry in entries),
    ]


def automaticModel() -> tuple[str, str, str]:
    """The first of the models, which is there without the library, too."""
    return ("auto", _("Automatic (recommended)"), _("The shipped network for this kind of image, else Tikhonov"))


def modelText(name: str, chosen: str = "") -> str:
    """What a person should know about a model: summary, limits, gain, licence.

    Args:
        name: of the catalog, or "auto".
        chosen: the model that "auto" stands for now.
    """
    from medsr.catalog import find_model

    if name == "auto" and not chosen:
        return _("The model made for this kind of image is taken.")
    entry = find_model(chosen if name == "auto" else name)
    title = _("Now: {name}. ").format(name=entry.name) if name == "auto" else ""
    kinds = (
        " / ".join(entry.modalities)
        + ", "
        + " + ".join(f"{dims}D" for dims in sorted(entry.spatial_dims, reverse=True))
    )
    parts = [title + entry.summary, entry.gain, _("Limits: {text}").format(text=entry.limits) if entry.limits else ""]
    parts.append(_("For {kinds}. Licence: {licence}.").format(kinds=kinds, licence=entry.licence))
    return _marked(entry, " ".join(part for part in parts if part))


def _labelled(entry: Any) -> str:
    return _("{name} (may invent detail)").format(name=entry.name) if entry.perceptual else entry.name


def _marked(entry: Any, text: str) -> str:
    """`text`, led by the mark of caution where the model has one."""
    return _("PERCEPTUAL: may invent detail.") + " " + text if entry.perceptual else text
