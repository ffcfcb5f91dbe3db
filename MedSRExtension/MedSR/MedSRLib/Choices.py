"""Combo boxes whose entries have a name for people and a value for the parameter node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from MedSRLib import Parameter
from MedSRLib.Translation import tr as _


class ComboBinding:
    """Ties one combo box to one text parameter, both ways.

    Args:
        combo: the box.
        name: of the parameter.
        entries: (value, text for people, tooltip) in the order shown.
        onChosen: called with name and value when the person chose.
    """

    def __init__(
        self, combo: Any, name: str, entries: Sequence[tuple[str, str, str]], onChosen: Callable[[str, str], None]
    ) -> None:
        self.combo = combo
        self.name = name
        self.values: list[str] = []
        self._onChosen = onChosen
        self._isUpdating = False
        self.fill(entries)
        combo.currentIndexChanged.connect(self._chosen)

    def fill(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """Show other entries; the chosen value stays when it is among them."""
        index = self.combo.currentIndex
        before = self.values[index] if 0 <= index < len(self.values) else None
        self._isUpdating = True
        try:
            self.combo.clear()
            self.values = [value for value, _text, _tip in entries]
            for row, (_value, text, tip) in enumerate(entries):
                self.combo.addItem(text)
                self.combo.setItemData(row, tip, TOOLTIP_ROLE)
            self.combo.setCurrentIndex(self.values.index(before) if before in self.values else 0)
        finally:
            self._isUpdating = False

    def show(self, value: str) -> None:
        """Show the value of the parameter; an unknown one, of another version, shows the first entry."""
        index = self.values.index(value) if value in self.values else 0
        if index != self.combo.currentIndex:
            self._isUpdating = True
            try:
                self.combo.setCurrentIndex(index)
            finally:
                self._isUpdating = False

    def _chosen(self, *_arguments: Any) -> None:
        index = self.combo.currentIndex
        if not self._isUpdating and 0 <= index < len(self.values):
            self._onChosen(self.name, self.values[index])


TOOLTIP_ROLE = 3  # Qt.ToolTipRole, in every Qt


def targetEntries() -> list[tuple[str, str, str]]:
    """The presets of the target."""
    return [
        (Parameter.ISOTROPIC, _("Isotropic (finest spacing)"), _("Every direction as fine as the finest one is now")),
        (Parameter.TWICE, _("x2 in every direction"), _("Half the voxel spacing, eight times the voxels")),
        (Parameter.TWICE_IN_PLANE, _("x2 in plane"), _("Half the spacing within the slices, their number stays")),
        (Parameter.SPACING, _("Custom spacing"), _("Spacing in mm along each axis of the volume")),
        (Parameter.REFERENCE, _("Same grid as ..."), _("Exactly the voxels of another volume of this patient")),
    ]


def profileEntries() -> list[tuple[str, str, str]]:
    """Automatic, then what scanners do, as the library has it."""
    from medsr.physics.profiles import KINDS, MEASURED

    kinds = [(name, KINDS[name].title, KINDS[name].help) for name in MEASURED]
    return [automaticProfile(), *((name, title, about[:1].upper() + about[1:]) for name, title, about in kinds)]


def automaticProfile() -> tuple[str, str, str]:
    """The first of the profiles, which is there without the library, too."""
    return ("auto", _("Automatic profile"), _("Found from the header, else from the voxels"))


def modeEntries() -> list[tuple[str, str, str]]:
    """Volumetric or slice by slice."""
    return [
        ("auto", _("Automatic"), _("Volumetric, but slice by slice for fewer than 8 slices")),
        ("3d", _("3D volumetric"), _("Looks at the neighbourhood in all directions")),
        ("2d", _("2D slice-wise"), _("Looks at one slice at a time")),
    ]


def effortEntries() -> list[tuple[str, str, str]]:
    """How much work the networks do."""
    return [
        ("standard", _("Standard"), _("Slices are refined too, where they were measured complete")),
        ("fast", _("Fast"), _("The volumetric network alone")),
        ("thorough", _("Thorough"), _("Slices are refined even where every axis is enlarged: several times as long")),
    ]


def modalityEntries() -> list[tuple[str, str, str]]:
    """Modalities."""
    return [
        ("auto", _("From the volume"), _("From the DICOM header, else guessed from the intensities")),
        ("MR", _("MR"), _("Magnetic resonance")),
        ("CT", _("CT"), _("Computed tomography, Hounsfield units")),
    ]


def axisEntries() -> list[tuple[str, str, str]]:
    """Axes across the slices."""
    return [
        ("auto", _("Automatic"), _("From the header, else by the shape of the voxels")),
        *((name, _("{axis} axis").format(axis=name), _("Grid axis {axis}").format(axis=name)) for name in "xyz"),
    ]


def deviceEntries() -> list[tuple[str, str, str]]:
    """Where to compute."""
    return [
        ("auto", _("Automatic"), _("A graphics card when there is a usable one, else the processor")),
        ("cpu", _("Processor (CPU)"), _("Works everywhere")),
        ("cuda", _("NVIDIA graphics card"), _("The first CUDA device")),
    ]


def precisionEntries() -> list[tuple[str, str, str]]:
    """Voxel types of the output."""
    return [
        ("same", _("As the input"), _("Whole numbers stay whole; the work itself is in 32-bit floating point")),
        ("float32", _("32-bit floating point"), _("Keeps fractions, takes twice the memory of 16-bit volumes")),
        ("int16", _("16-bit whole numbers"), _("As DICOM stores CT")),
    ]


def trainingSourceEntries() -> list[tuple[str, str, str]]:
    """Where labelled images come from."""
    return [
        (Parameter.SCENE, _("Volumes and segmentations of this scene"), _("Pairs that you put on a list")),
        (Parameter.FOLDER, _("A dataset on disk"), _("Medical Decathlon, nnU-Net, BIDS, or plain folders")),
    ]


def trainingFormatEntries() -> list[tuple[str, str, str]]:
    """Layouts of a training set."""
    return [
        ("same", _("As the dataset"), _("The layout that the images came in; Decathlon for those of the scene")),
        ("nnunet", _("nnU-Net v2"), _("imagesTr, labelsTr and dataset.json, as nnU-Net's raw folder has them")),
        ("decathlon", _("Decathlon / MONAI"), _("A dataset.json that lists images and labels")),
        ("bids", _("BIDS"), _("One folder for each subject, labels among the derivatives")),
    ]


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
