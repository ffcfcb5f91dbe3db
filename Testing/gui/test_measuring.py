"""The section that measures the segments of a result."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util

SHAPE = (10, 20, 24)


def a_box(start, stop):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


@pytest.fixture
def result(module, parameters, make_volume, settle):
    """A result with its error map, made of the chosen volume."""
    return make_result(parameters, make_volume, settle, "Fine")


def make_result(parameters, make_volume, settle, name):
    from MedSRLib import Provenance

    source, node, widths = (make_volume(each) for each in (f"{name} source", name, f"{name} error"))
    slicer.util.updateVolumeFromArray(widths, np.full(SHAPE, 5, np.float32))
    Provenance.markResult(node, source, {"modality": "CT", "model": "linear"})
    Provenance.markMap(widths, "error")
    node.SetNodeReferenceID(Provenance.roleOf("error"), widths.GetID())
    parameters.inputVolume = source
    settle()
    return node


def cells(table):
    return [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]


def test_click_to_table_and_sentence(ui, parameters, result, make_segmentation, settle):
    ui.measureSection.collapsed = False
    assert not ui.measureButton.enabled
    assert "segmentation" in ui.measureButton.toolTip
    masks = {"Left": a_box((2, 4, 4), (7, 12, 10)), "Right": a_box((2, 4, 14), (7, 12, 20))}
    parameters.measureSegmentation = make_segmentation(result, "Hippocampi", masks)
    settle()
    assert ui.measureButton.enabled
    ui.measureButton.click()
    names = [row[0] for row in cells(ui.measureTable)]
    assert names == ["Left", "Right"]
    # 5 x 8 x 6 voxels of 0.9 x 0.9 x 3 mm
    assert cells(ui.measureTable)[0][1].startswith("0.58")
    assert " to " in cells(ui.measureTable)[0][2]
    assert [ui.measureTable.horizontalHeaderItem(n).text() for n in range(3)] == ["Segment", "Volume (ml)", "Mean (HU)"]
    told = ui.measureStatusLabel.toolTip
    assert told.startswith("Left: 0.58")
    assert "Right: " in told
    assert "in 9 of 10 cases" in told
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetName() == "Hippocampi in Fine"
    assert table.GetName() in told


def test_why_it_cannot_be_done_is_told(ui, parameters, result, make_segmentation, settle):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Empty")
    parameters.measureSegmentation = empty
    settle()
    ui.measureButton.click()
    assert "Empty has no segments" in ui.measureStatusLabel.toolTip
    assert ui.measureTable.isHidden()
    result.SetNodeReferenceID("MedSR.error", None)
    parameters.fade = 0.5  # the panel looks again
    settle()
    assert not ui.measureButton.enabled
    assert "Likely error" in ui.measureButton.toolTip


def test_another_result_takes_the_figures_away_and_its_own_segmentation(
    ui, parameters, result, make_segmentation, make_volume, settle
):
    first = make_segmentation(result, "Of the first")
    parameters.measureSegmentation = first
    ui.measureButton.click()
    assert not ui.measureTable.isHidden()
    source = parameters.inputVolume
    other = make_result(parameters, make_volume, settle, "Other")
    assert ui.measureTable.isHidden()
    assert ui.measureStatusLabel.toolTip == ""
    second = make_segmentation(other, "Of the second")
    parameters.inputVolume = source
    settle()
    parameters.inputVolume = other.GetNodeReference("MedSR.input")
    settle()
    assert parameters.measureSegmentation is second


def test_a_closed_scene_is_forgotten(module, ui, parameters, result, make_segmentation, settle):
    parameters.measureSegmentation = make_segmentation(result)
    ui.measureButton.click()
    assert not ui.measureTable.isHidden()
    slicer.mrmlScene.Clear(0)
    settle()
    assert ui.measureTable.isHidden()
    assert not ui.measureButton.enabled


def test_the_console_measures_too(module, result, make_segmentation):
    from MedSRLib.Errors import SceneError

    table = module.widget.logic.measureSegments(result, make_segmentation(result))
    assert table.GetTable().GetColumnName(1) == "Volume (ml)"
    assert "Tumour: " in table.GetDescription()
    with pytest.raises(SceneError, match="segmentationNode takes a segmentation node"):
        module.widget.logic.measureSegments(result, "Structures")
