"""A map over its result: colours, legend, slice views. No Qt."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util

from MedSRLib.Translation import tr as _

DIVERGING = "MedSR difference"
SEQUENTIAL = "MedSR error"
PREFERRED = "Inferno"
"""Slicer's own sequential colours, where it has them."""
_OPACITY = {True: 0.75, False: 0.4}
"""Of maps with a sign, whose colours begin at black, and of those without."""
_SHARE = {True: 99.5, False: 99.0}
"""The percentile at which the colours end: single voxels do not take them all."""
_MOST_SAMPLES = 1_000_000


def show(
    resultNode: slicer.vtkMRMLVolumeNode,
    mapNode: slicer.vtkMRMLVolumeNode,
    kind: Any,
    unit: str = "",
    reach: float | None = None,
) -> None:
    """Lay a map over its result in all ordinary slice views, with a legend.

    Args:
        resultNode: stays to be seen beneath.
        mapNode: one of its maps.
        kind: its `medsr.maps.MapKind`.
        unit: of its values, for the legend.
        reach: as for `paint`.
    """
    paint(mapNode, kind, reach)
    title = _(kind.title)
    showLegend(mapNode, _("{title} ({unit})").format(title=title, unit=unit) if unit else title)
    for composite in ordinaryComposites(resultNode.GetScene()):
        composite.SetBackgroundVolumeID(resultNode.GetID())
        composite.SetForegroundVolumeID(mapNode.GetID())
        composite.SetForegroundOpacity(_OPACITY[kind.signed])


def paint(node: slicer.vtkMRMLScalarVolumeNode, kind: Any, reach: float | None = None) -> None:
    """Give a map its colours: with a sign blue below zero, orange above; without, from black at zero to yellow.

    Args:
        node: the map.
        kind: its `medsr.maps.MapKind`.
        reach: where the colours end, with nothing shown beyond; None takes it from the values.
    """
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    end = _reachOf(node, kind) if reach is None else reach
    colours = _diverging(node.GetScene()) if kind.signed else _sequential(node.GetScene())
    with slicer.util.NodeModify(display):
        display.SetAndObserveColorNodeID(colours.GetID())
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(-end if kind.signed else 0.0, end)
        if reach is not None:
            display.SetAutoThreshold(False)
            display.SetThreshold(-end, end)
            display.SetApplyThreshold(True)


def _reachOf(node: slicer.vtkMRMLScalarVolumeNode, kind: Any) -> float:
    array = slicer.util.arrayFromVolume(node)
    sample = np.abs(array.reshape(-1)[:: max(1, array.size // _MOST_SAMPLES)])
    return float(np.percentile(sample, _SHARE[kind.signed])) or 1.0


def showLegend(node: slicer.vtkMRMLVolumeNode, title: str) -> None:
    """Show what the colours of a map mean beside it, wherever it is shown; not in an application without legends."""
    logic = getattr(slicer, "vtkSlicerColorLogic", None)
    if logic is None or not hasattr(logic, "AddDefaultColorLegendDisplayNode"):
        return
    legend = logic.GetColorLegendDisplayNode(node) or logic.AddDefaultColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetTitleText(title)
        legend.SetNumberOfLabels(5)
        legend.SetVisibility(True)


def ordinaryComposites(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    """The slice views of Slicer's own layouts."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    nodes = [scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode") for n in range(count)]
    return [node for node in nodes if not (node.GetLayoutName() or "").startswith("MedSR")]


def sequentialColours() -> np.ndarray:
    """256 colours (RGB, 0 to 1) of evenly rising lightness, from near black over violet and red to a light yellow.

    Made in CIELAB, where equal steps of lightness look equal; the chroma stays where sRGB can show it.
    """
    along = np.linspace(0, 1, 256)
    lightness, hue = 4 + 88 * along, np.radians(-55 + 150 * along)
    chroma = 58 * np.sin(np.pi * (0.08 + 0.78 * along))
    f = (lightness + 16) / 116
    cube = np.stack([f + chroma * np.cos(hue) / 500, f, f - chroma * np.sin(hue) / 200], axis=1)
    xyz = np.where(cube > 6 / 29, cube**3, 3 * (6 / 29) ** 2 * (cube - 4 / 29)) * (0.9505, 1.0, 1.089)
    linear = xyz @ np.linalg.inv([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    linear = linear.clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def _divergingColours() -> np.ndarray:
    """256 colours (RGB, 0 to 1): blue, black in the middle, orange."""
    amount = (np.arange(256)[:, None] - 127.5) / 127.5
    # Black in the middle, not clear: slice views ignore the opacity of colour tables.
    return np.abs(amount) ** 0.8 * np.where(amount > 0, (1.0, 0.42, 0.08), (0.12, 0.5, 1.0))


def _diverging(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorNode:
    return _known(scene, DIVERGING) or _table(scene, DIVERGING, _divergingColours(), signed=True)


def _sequential(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorNode:
    known = _known(scene, PREFERRED) or _known(scene, SEQUENTIAL)
    return known or _table(scene, SEQUENTIAL, sequentialColours(), signed=False)


def _known(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLColorNode | None:
    node = scene.GetFirstNodeByName(name)
    return node if node is not None and node.IsA("vtkMRMLColorTableNode") else None


def _table(scene: slicer.vtkMRMLScene, name: str, colours: np.ndarray, signed: bool) -> slicer.vtkMRMLColorTableNode:
    """A colour table of this module, made once a scene."""
    table = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    table.UnRegister(None)
    table.SetName(name)
    table.SetTypeToUser()
    table.SetHideFromEditors(False)
    table.SetNumberOfColors(len(colours))
    for index, colour in enumerate(colours):
        share = index / (len(colours) - 1)
        table.SetColor(index, f"{2 * share - 1:+.2f}" if signed else f"{share:.2f}", *map(float, colour), 1.0)
    table.SetAttribute("Category", "MedSR")
    return scene.AddNode(table)
