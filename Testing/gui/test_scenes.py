"""Scenes that are loaded, saved and closed while the module is open."""

from __future__ import annotations

import slicer
import slicer.util


def saved_scene(module, settle, folder):
    """A scene with a result, in a folder; the scene is empty again."""
    panel, parameters = module.widget.panel, module.widget._parameterNode
    parameters.model = "linear"
    settle()
    module.widget.ui.applyButton.click()
    settle(lambda: not panel.isRunning)
    for node in (panel.job.input, panel.job.output):
        node.AddDefaultStorageNode(str(folder / f"{node.GetName()}.nrrd"))
        assert node.GetStorageNode().WriteData(node)
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(folder))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    settle()


def load(folder):
    slicer.mrmlScene.SetURL(str(folder / "scene.mrml"))
    assert slicer.mrmlScene.Import()


def test_a_result_of_a_loaded_scene_can_be_compared_at_once(module, ui, a_volume, settle, tmp_path):
    saved_scene(module, settle, tmp_path)
    assert not ui.resultSection.enabled
    load(tmp_path)
    settle()
    assert ui.resultSection.enabled
    assert module.widget._parameterNode.inputVolume.GetName() == "Head"
    assert ui.inputInfoLabel.text
    assert ui.applyButton.enabled


def test_a_scene_loaded_while_another_module_is_open_is_seen_on_entering(module, ui, a_volume, settle, tmp_path):
    saved_scene(module, settle, tmp_path)
    module.leave()
    load(tmp_path)
    module.enter()
    settle()
    assert ui.resultSection.enabled


def test_loading_writes_nothing_and_saving_writes_the_report(module, a_volume, settle, tmp_path):
    saved_scene(module, settle, tmp_path)
    report = tmp_path / "Head SR.nrrd.medsr.json"
    report.unlink(missing_ok=True)
    load(tmp_path)
    module.widget.logic.writeSidecars()  # as the slow timer
    assert not report.exists()
    (result,) = [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.GetAttribute("MedSR.report")]
    assert result.GetStorageNode().WriteData(result)
    module.widget.logic.writeSidecars()
    assert report.is_file()


def test_nothing_is_said_of_a_scene_that_was_closed(module, ui, a_volume, settle):
    module.widget._parameterNode.model = "linear"
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in ui.statusLabel.text
    slicer.mrmlScene.Clear(0)
    settle()
    assert not ui.statusLabel.text
    assert not ui.resultSection.enabled
