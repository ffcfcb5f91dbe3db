"""What the slice views show after a click: real slice logics, and views that are built late, as in Slicer."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
from vtk.util.numpy_support import vtk_to_numpy

VIEWS = [f"MedSR{side}{orientation}" for side in ("Input", "Result") for orientation in ("Axial", "Coronal")]
ORDINARY = ("Red", "Green", "Yellow")


def seen(module, name):
    """The pixels of a slice view, RGB, 0 to 255."""
    logic = module.app.layoutManager().sliceWidget(name).sliceLogic()
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    columns, rows, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[..., :3]


def slice_node(module, name):
    return module.app.layoutManager().sliceWidget(name).sliceLogic().GetSliceNode()


@pytest.fixture
def far_pair(module, make_volume, settle):
    """A chest-like volume from z = -600 to -570, and its result."""
    volume = make_volume("Chest")
    volume.SetOrigin(-10, -12, -600)
    volume.GetDisplayNode().SetWindowLevel(500, 250)
    module.widget._parameterNode.model = "linear"
    settle()
    module.widget.ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    return volume, module.widget.panel.job.output


def test_the_first_side_by_side_shows_a_volume_far_from_the_origin(module, ui, far_pair, settle):
    ui.sideBySideButton.click()
    settle()
    for name in VIEWS:
        assert (seen(module, name) > 40).mean() > 0.1, name


def test_side_by_side_leaves_the_ordinary_views_alone(module, ui, far_pair, settle):
    settle()
    before = {}
    for name, offset in zip(ORDINARY, (5.05, -7.5, 3.25), strict=True):
        slice_node(module, name).SetSliceOffset(offset)
        before[name] = (offset, slice_node(module, name).GetFieldOfView())
    ui.sideBySideButton.click()
    settle()
    for name in ORDINARY:
        assert slice_node(module, name).GetSliceOffset() == pytest.approx(before[name][0]), name
        assert slice_node(module, name).GetFieldOfView() == before[name][1], name


def test_side_by_side_begins_where_the_person_was_looking(module, ui, far_pair, settle):
    for name, offset in zip(ORDINARY, (-590.0, -6.0, -4.0), strict=True):
        slice_node(module, name).SetSliceOffset(offset)
    ui.sideBySideButton.click()
    settle()
    for side in ("Input", "Result"):
        assert slice_node(module, f"MedSR{side}Axial").GetSliceOffset() == pytest.approx(-590, abs=0.01)
        assert slice_node(module, f"MedSR{side}Coronal").GetSliceOffset() == pytest.approx(-6, abs=0.01)


def test_views_that_look_elsewhere_do_not_make_black_ones(module, ui, far_pair, settle):
    """The person looked at another volume: the middle of this one is shown instead."""
    for name in ORDINARY:
        slice_node(module, name).SetSliceOffset(150.0)
    ui.sideBySideButton.click()
    settle()
    for name in VIEWS:
        assert (seen(module, name) > 40).mean() > 0.1, name


def test_side_by_side_again_keeps_what_was_scrolled_to(module, ui, far_pair, settle):
    ui.sideBySideButton.click()
    settle()
    for side in ("Input", "Result"):
        slice_node(module, f"MedSR{side}Axial").SetSliceOffset(-585.0)
    ui.sideBySideButton.click()
    settle()
    assert slice_node(module, "MedSRResultAxial").GetSliceOffset() == pytest.approx(-585, abs=0.01)


def test_the_difference_has_a_legend(module, ui, far_pair, settle):
    for text in ("Difference", "No map", "Difference"):
        ui.mapCombo.setCurrentIndex(ui.mapCombo.findText(text))
    difference = far_pair[1].GetNodeReference("MedSR.difference")
    (legend,) = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "Difference"
    assert legend.GetVisibility()
    assert slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(difference) is legend


def test_a_colour_result_is_compared_as_well(module, ui, parameters, choices, settle):
    rng = np.random.default_rng(2)
    colour = rng.integers(0, 255, (6, 12, 14, 3)).astype(np.uint8)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(node, colour)
    node.CreateDefaultDisplayNodes()
    parameters.inputVolume, parameters.model, parameters.target = node, "linear", choices.Target.TWICE
    settle()
    assert ui.inputSelector.currentNode() is node
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    names = [ui.inputSelector.itemText(row) for row in range(ui.inputSelector.count)]
    assert names == ["Photo"]
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    result = module.widget.panel.job.output
    assert result.IsA("vtkMRMLVectorVolumeNode")
    ui.mapCombo.setCurrentIndex(ui.mapCombo.findText("Difference"))
    difference = slicer.util.arrayFromVolume(result.GetNodeReference("MedSR.difference"))
    assert difference.shape == (12, 24, 28)  # the mean of the colours, one number a voxel
