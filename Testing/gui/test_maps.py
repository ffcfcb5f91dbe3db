"""The maps of the panel: what can be made, what is laid over the result, what lies under the mouse."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util

from medsr.maps import MAPS, MapKind


@pytest.fixture
def boxes(module):
    return module.widget.panel.mapBoxes.boxes


@pytest.fixture
def make_result(module, parameters, make_volume):
    """Make a CT result of an input that is chosen, with these maps beside it."""

    def make(*names):
        from MedSRLib import Provenance

        source, result = make_volume("Head"), make_volume("Head SR")
        error = {"coverage": 0.9, "typical": 14.0, "at_edges": 60.0, "unit": "HU", "measured": [], "widened": []}
        Provenance.markResult(result, source, {"modality": "CT", "model": "linear", "error": error})
        for name in names:
            node = make_volume(f"Head SR {name}", dtype=np.float32)
            slicer.util.updateVolumeFromArray(node, np.full((10, 20, 24), 14, np.float32))
            result.SetNodeReferenceID(Provenance.roleOf(name), node.GetID())
        parameters.inputVolume = source
        return source, result

    return make


def red():
    return slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")


def entries(ui):
    return [ui.mapCombo.itemText(row) for row in range(ui.mapCombo.count)]


def choose(ui, text):
    ui.mapCombo.setCurrentIndex(ui.mapCombo.findText(text))


def test_each_declared_map_has_a_check_box(boxes):
    assert {name: box.text for name, box in boxes.items()} == {name: kind.title for name, kind in MAPS.items()}
    for name, box in boxes.items():
        assert box.toolTip.lower() == MAPS[name].help.lower()
        assert not box.checked


def test_boxes_go_both_ways(boxes, parameters):
    boxes["residual"].click()
    boxes["error"].click()
    assert parameters.maps == "error residual"
    parameters.maps = "difference and.one.of.another.version"
    assert [name for name, box in boxes.items() if box.checked] == ["difference"]
    boxes["difference"].click()
    assert parameters.maps == ""


def test_boxes_follow_the_output_in_the_order_of_the_tab_key(ui, boxes):
    widget, seen = ui.outputSelector, []
    for _ in range(200):
        widget = widget.nextInFocusChain()
        seen.append(widget.objectName)
    assert seen.index("errorMapCheckBox") < seen.index("residualMapCheckBox") < seen.index("modalityCombo")


def test_a_map_that_the_model_cannot_make_is_grey_and_says_why(module, ui, parameters, boxes, a_volume, settle):
    parameters.inputVolume, parameters.model, parameters.maps = a_volume, "lanczos", "error"
    settle()
    assert not boxes["error"].enabled
    assert "Likely error: lanczos has none on MR" in boxes["error"].toolTip
    assert boxes["difference"].enabled
    ui.applyButton.click()  # it is left out, and the rest is done
    settle(lambda: not module.widget.panel.isRunning)
    assert module.widget.panel.job.state == "done"
    assert module.widget.panel.job.maps == {}
    parameters.model = "linear"
    settle()
    assert boxes["error"].enabled
    assert boxes["error"].checked
    assert boxes["error"].toolTip.lower() == MAPS["error"].help.lower()


def test_click_to_error_map_over_the_result(module, ui, parameters, a_volume, settle):
    parameters.inputVolume, parameters.model, parameters.maps = a_volume, "linear", "error"
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    job = module.widget.panel.job
    assert red().GetForegroundVolumeID() == job.output.GetID()  # the map is off until it is asked for
    assert ui.probeLabel.toolTip.startswith("9 of 10 voxels lie within +-")
    choose(ui, "Likely error")
    assert red().GetBackgroundVolumeID() == job.output.GetID()
    assert red().GetForegroundVolumeID() == job.maps["error"].GetID()
    ui.reportButton.click()
    import qt

    page = module.widget.panel.resultView.dialog.findChild(qt.QTextBrowser, "reportPage").toPlainText()
    assert "Half-widths of the voxels" in page
    assert "held out" in page


def test_a_new_map_of_the_library_appears_by_itself(module, make_result, settle, monkeypatch):
    monkeypatch.setitem(MAPS, "doubt", MapKind("doubt", "Doubt", "how doubtful each voxel is", signed=False))
    module.reload()
    ui, box = module.widget.ui, module.widget.panel.mapBoxes.boxes["doubt"]
    assert (box.text, box.toolTip) == ("Doubt", "How doubtful each voxel is")
    box.click()
    assert module.widget._parameterNode.maps == "doubt"
    source, result = make_result("doubt")
    module.widget._parameterNode.inputVolume = source
    settle()
    assert entries(ui) == ["No map", "Difference", "Doubt"]
    choose(ui, "Doubt")
    assert red().GetForegroundVolumeID() == result.GetNodeReferenceID("MedSR.doubt")


def test_maps_are_listed_where_they_are_made_and_go_when_something_else_is_shown(ui, parameters, make_result, settle):
    source, result = make_result("error", "residual")
    settle()
    assert entries(ui) == ["No map", "Likely error", "Difference", "Residual"]
    assert all(ui.mapCombo.itemData(row, 3) for row in range(4))
    assert ui.mapCombo.currentText == "No map"
    choose(ui, "Residual")
    assert red().GetForegroundVolumeID() == result.GetNodeReferenceID("MedSR.residual")
    choose(ui, "No map")
    assert (red().GetBackgroundVolumeID(), red().GetForegroundVolumeID()) == (source.GetID(), result.GetID())
    choose(ui, "Likely error")
    (legend,) = [
        node for node in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode") if "error" in node.GetTitleText()
    ]
    assert legend.GetTitleText() == "Likely error (HU)"
    parameters.fade = 0.5
    assert ui.mapCombo.currentText == "No map"
    assert red().GetForegroundVolumeID() == result.GetID()
    slicer.mrmlScene.RemoveNode(result.GetNodeReference("MedSR.error"))
    parameters.fade = 0.4
    assert entries(ui) == ["No map", "Difference", "Residual"]


def test_the_line_under_the_result_follows_the_mouse(module, ui, parameters, make_result, settle):
    crosshair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    _, result = make_result("error")
    settle()
    ofAll = ui.probeLabel.toolTip
    assert ofAll == "9 of 10 voxels lie within +-14 HU of the truth, at edges within +-60 HU."
    value = slicer.util.arrayFromVolume(result)[2, 3, 4]
    crosshair.SetCursorPositionRAS((4 * 0.9, 3 * 0.9, 2 * 3.0))
    assert ui.probeLabel.toolTip == f"Under the mouse: {value} +- 14 HU"
    parameters.fade = 0.5  # any change of the panel leaves it
    assert ui.probeLabel.toolTip == f"Under the mouse: {value} +- 14 HU"
    crosshair.SetCursorPositionRAS((500.0, 0.0, 0.0))
    assert ui.probeLabel.toolTip == ofAll
    module.leave()
    module.panel.show()
    slicer.mrmlScene.RemoveNode(result)
    crosshair.SetCursorPositionRAS((4 * 0.9, 3 * 0.9, 2 * 3.0))  # nothing is told of what has gone


def test_volumes_of_a_list_get_the_maps_that_their_models_have(module, parameters, make_volume):
    from MedSRLib import Parameter

    batch = module.widget.panel.batch
    parameters.maps, parameters.model = "error difference", "lanczos"
    assert batch._argumentsFor(make_volume("One"), Parameter.snapshot(parameters))["maps"] == ["difference"]
    parameters.model = "linear"
    assert batch._argumentsFor(make_volume("Two"), Parameter.snapshot(parameters))["maps"] == ["error", "difference"]
