"""The section "Training set": choosing, checking, making, with real widgets and a real worker process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


@pytest.fixture
def training(module):
    return module.widget.panel.training


@pytest.fixture
def a_pair(parameters, a_volume, make_segmentation, ui):
    """A volume and its segmentation, on the list."""
    from MedSRLib import Parameter

    pair = a_volume, make_segmentation(a_volume)
    Parameter.setPairs(parameters, [pair])
    return pair


@pytest.fixture
def ready(parameters, a_pair, tmp_path):
    """Everything chosen, a recipe that needs no network."""
    parameters.trainingRecipe = "bspline-x2"
    parameters.trainingOutput = str(tmp_path / "set")
    return Path(parameters.trainingOutput)


def listed(ui):
    return [ui.trainingPairsList.item(row).text() for row in range(ui.trainingPairsList.count)]


def choose_slow(parameters):
    """Many copies, so that there is time to do something meanwhile."""
    parameters.trainingRecipe, parameters.trainingCopies = "degrade-bspline", 100


def test_the_segmentation_that_was_drawn_on_a_volume_is_suggested(ui, parameters, make_volume, make_segmentation):
    first, second = make_volume("First"), make_volume("Second")
    drawn = {volume.GetName(): make_segmentation(volume, f"{volume.GetName()} drawn") for volume in (second, first)}
    for volume in (second, first):
        ui.trainingVolumeSelector.setCurrentNode(volume)
        assert parameters.trainingSegmentation is drawn[volume.GetName()]


def test_pairs_are_added_replaced_and_removed(ui, parameters, make_volume, make_segmentation):
    first, second = make_volume("First"), make_volume("Second")
    for volume in (first, second):
        parameters.trainingVolume = volume
        parameters.trainingSegmentation = make_segmentation(volume, f"{volume.GetName()} drawn")
        ui.trainingAddButton.click()
    assert listed(ui) == ["First  +  First drawn", "Second  +  Second drawn"]
    parameters.trainingVolume = first
    parameters.trainingSegmentation = make_segmentation(first, "Again")
    ui.trainingAddButton.click()
    assert listed(ui) == ["Second  +  Second drawn", "First  +  Again"]
    ui.trainingPairsList.setCurrentRow(0)
    ui.trainingRemoveButton.click()
    assert listed(ui) == ["First  +  Again"]
    ui.trainingRemoveButton.click()
    assert listed(ui) == []
    assert not ui.trainingRemoveButton.enabled
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 3


def test_a_node_that_leaves_the_scene_takes_its_pair_along_and_no_other(ui, parameters, make_volume, make_segmentation):
    from MedSRLib import Parameter

    pairs = [(volume, make_segmentation(volume, f"{volume.GetName()} drawn")) for volume in map(make_volume, "ABC")]
    Parameter.setPairs(parameters, pairs)
    slicer.mrmlScene.RemoveNode(pairs[1][0])
    assert listed(ui) == ["A  +  A drawn", "C  +  C drawn"]
    slicer.mrmlScene.RemoveNode(pairs[0][1])
    assert listed(ui) == ["C  +  C drawn"]
    assert Parameter.pairsOf(parameters) == [pairs[2]]


def test_the_list_is_saved_with_the_scene(module, parameters, a_pair, tmp_path):
    from MedSRLib import Parameter

    for node, name in zip(a_pair, ("head.nrrd", "drawn.seg.nrrd"), strict=True):
        node.AddDefaultStorageNode(str(tmp_path / name))
        assert node.GetStorageNode().WriteData(node)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    assert Parameter.pairsOf(module.widget._parameterNode) == []
    assert listed(module.widget.ui) == []
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Import()
    module.widget.exit()
    module.widget.enter()
    assert listed(module.widget.ui) == ["Head  +  Structures"]


def test_only_what_the_source_needs_is_shown(ui, parameters, choices):
    section = ui.trainingSection
    assert ui.trainingPairsWidget.isVisibleTo(section)
    assert not ui.trainingFolderLineEdit.isVisibleTo(section)
    parameters.trainingSource = choices.TrainingSource.FOLDER
    assert not ui.trainingPairsWidget.isVisibleTo(section)
    assert ui.trainingFolderLineEdit.isVisibleTo(section)


def test_the_recipes_are_those_of_the_library(ui, parameters):
    from medsr.augmentation.recipes import load_recipe, recipe_names

    shown = [ui.trainingRecipeCombo.itemText(row) for row in range(ui.trainingRecipeCombo.count)]
    assert sorted(shown) == recipe_names()
    for name in shown:
        parameters.trainingRecipe = name
        assert load_recipe(name).about[1:] in ui.trainingRecipeInfoLabel.text


def test_the_buttons_say_what_is_missing(ui, parameters, choices, a_volume, make_segmentation, tmp_path):
    assert not ui.trainingCheckButton.enabled
    assert "Add a volume" in ui.trainingApplyButton.toolTip
    assert "Add a volume" in ui.trainingCheckButton.toolTip
    parameters.trainingSource = choices.TrainingSource.FOLDER
    assert "dataset" in ui.trainingApplyButton.toolTip
    assert "dataset" in ui.trainingCheckButton.toolTip
    parameters.trainingFolder = str(tmp_path)
    assert "output folder" in ui.trainingApplyButton.toolTip
    assert "output folder" in ui.trainingCheckButton.toolTip
    parameters.trainingOutput = "set"
    assert "whole path" in ui.trainingApplyButton.toolTip
    assert "whole path" in ui.trainingCheckButton.toolTip
    assert not ui.trainingApplyButton.enabled
    parameters.trainingOutput = str(tmp_path / "set")
    assert ui.trainingApplyButton.enabled
    assert ui.trainingCheckButton.enabled
    assert not ui.trainingReportButton.enabled


def test_check_tells_counts_disk_and_time(ui, parameters, training, ready, settle):
    parameters.trainingRecipe, parameters.trainingCopies = "degrade-bspline", 3
    ui.trainingCheckButton.click()
    settle(lambda: not training.isRunning)
    text = ui.trainingStatusLabel.text
    for part in ("1 case", "Tumour", "3 copies", "MB", "GB are free", "About"):
        assert part in text, text
    assert not ready.exists()
    assert ui.trainingApplyButton.text == "Create training set"


def test_click_to_training_set_to_report(ui, training, ready, settle, monkeypatch):
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    ui.trainingApplyButton.click()
    assert ui.trainingApplyButton.text == "Cancel"
    assert not ui.trainingCheckButton.enabled
    settle(lambda: not training.isRunning)
    assert "Done" in ui.trainingStatusLabel.text, ui.trainingStatusLabel.text
    assert "1 copies" in ui.trainingStatusLabel.text
    assert "Making the training set" in ui.logText.plainText
    assert (ready / "dataset.json").is_file()
    assert ui.trainingApplyButton.text == "Create training set"
    ui.trainingReportButton.click()
    assert opened == [str(ready / "report.html")]


def test_a_dataset_on_disk_and_another_format(ui, parameters, choices, training, ready, settle, tmp_path, a_pair):
    from MedSRLib.ScenePairs import checkedPairs, writePairs

    list(writePairs(checkedPairs([a_pair]), tmp_path / "source"))
    parameters.trainingSource, parameters.trainingFolder = choices.TrainingSource.FOLDER, str(tmp_path / "source")
    parameters.trainingFormat = choices.TrainingFormat.BIDS
    ui.trainingApplyButton.click()
    settle(lambda: not training.isRunning)
    assert "Done" in ui.trainingStatusLabel.text, ui.trainingStatusLabel.text
    assert (ready / "dataset_description.json").is_file()
    assert ui.trainingReportButton.enabled


def test_progress_cancel_and_going_on(ui, parameters, training, ready, settle):
    choose_slow(parameters)
    ui.trainingApplyButton.click()
    settle(lambda: training.job.fraction > 0.1)
    assert ui.trainingProgressBar.isVisibleTo(ui.trainingSection)
    assert 0 < ui.trainingProgressBar.value < 1000
    assert "left" in ui.trainingStatusLabel.text
    pid = training.logic.trainingSets.runner.workerPid
    ui.trainingApplyButton.click()
    settle(lambda: not training.isRunning)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not ui.trainingProgressBar.isVisibleTo(ui.trainingSection)
    assert ui.trainingApplyButton.text == "Create training set"
    done = len(list((ready / "provenance").glob("*.json")))
    assert 0 < done < 100
    ui.trainingCheckButton.click()
    settle(lambda: not training.isRunning)
    assert f"{done} of them finished" in ui.trainingStatusLabel.text


def test_a_volume_can_be_sharpened_meanwhile(module, ui, parameters, training, ready, settle):
    parameters.model = "tikhonov"
    choose_slow(parameters)
    ui.trainingApplyButton.click()
    settle(lambda: training.job.fraction > 0 and ui.applyButton.enabled)
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in ui.statusLabel.text
    assert training.isRunning
    ui.trainingApplyButton.click()
    ui.trainingApplyButton.click()
    assert not training.isRunning


def test_closing_the_scene_lets_the_set_be_made(module, ui, training, ready, settle):
    ui.trainingApplyButton.click()
    slicer.mrmlScene.Clear(0)
    settle(lambda: not training.isRunning)
    assert (ready / "dataset.json").is_file()


def test_quitting_leaves_no_process(module, ui, parameters, training, ready, settle):
    choose_slow(parameters)
    ui.trainingApplyButton.click()
    settle(lambda: training.job.state == "running")
    pid = module.widget.logic.trainingSets.runner.workerPid
    module.widget.cleanup()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    module.build()


def test_overlap_is_told_with_both_names_and_resolved_by_the_check_box(
    ui, parameters, training, ready, a_volume, make_segmentation, settle
):
    from MedSRLib import Parameter

    everywhere, left = np.ones((10, 20, 24), bool), np.ones((10, 20, 24), bool) & (np.arange(24) < 9)
    crossing = make_segmentation(a_volume, "Crossing", {"Tumour": everywhere, "Oedema": left})
    Parameter.setPairs(parameters, [(a_volume, crossing)])
    ui.trainingApplyButton.click()
    assert "Tumour and Oedema of Crossing overlap" in ui.trainingStatusLabel.text
    assert "color" in ui.trainingStatusLabel.styleSheet
    assert ui.trainingApplyButton.text == "Create training set"
    assert not training.isRunning
    parameters.trainingFirstWins = True
    ui.trainingApplyButton.click()
    settle(lambda: not training.isRunning)
    assert "Done" in ui.trainingStatusLabel.text


def test_a_bad_case_is_told_and_does_not_stop_the_others(
    ui, parameters, training, ready, make_volume, make_segmentation, a_pair, settle
):

    from MedSRLib import Parameter

    flat = make_volume("Flat")
    slicer.util.arrayFromVolume(flat)[:] = 5
    Parameter.setPairs(parameters, [a_pair, (flat, make_segmentation(flat, "Flat drawn"))])
    ui.trainingApplyButton.click()
    settle(lambda: not training.isRunning)
    assert "Flat" in ui.trainingStatusLabel.text
    assert "constant" in ui.trainingStatusLabel.text
    assert "1 copies" in ui.trainingStatusLabel.text


def test_a_folder_that_is_no_dataset_is_told(ui, parameters, choices, training, settle, tmp_path):
    (tmp_path / "nothing").mkdir()
    parameters.trainingSource, parameters.trainingFolder = choices.TrainingSource.FOLDER, str(tmp_path / "nothing")
    parameters.trainingOutput = str(tmp_path / "set")
    ui.trainingCheckButton.click()
    settle(lambda: not training.isRunning)
    assert "nothing" in ui.trainingStatusLabel.text
    assert "--" not in ui.trainingStatusLabel.text
    assert "color" in ui.trainingStatusLabel.styleSheet


def test_a_wrong_interpreter_is_told_and_can_be_mended(ui, parameters, training, ready, settle):
    parameters.interpreterPath = "/no/such/python"
    ui.trainingApplyButton.click()
    assert "no program" in ui.trainingStatusLabel.text
    assert ui.trainingApplyButton.text == "Create training set"
    parameters.interpreterPath = ""
    ui.trainingApplyButton.click()
    settle(lambda: not training.isRunning)
    assert "Done" in ui.trainingStatusLabel.text


def test_packages_are_asked_for_by_recipes_with_a_network_only(module, ui, parameters, training, ready, monkeypatch):
    install = module.widget.logic.installLogic
    asked = []
    monkeypatch.setattr(install, "missing", lambda packages=None: ["torch>=2.8"])
    monkeypatch.setattr(install, "_isTesting", lambda: False)
    monkeypatch.setattr(install, "_ask", lambda text: bool(asked.append(text)))
    parameters.trainingRecipe = "sr-x2"
    ui.trainingApplyButton.click()
    assert len(asked) == 1
    assert "sr-x2 needs packages" in asked[0]
    assert "bspline" in ui.trainingStatusLabel.text
    assert not ready.exists()
    parameters.trainingRecipe = "bspline-x2"
    ui.trainingApplyButton.click()
    assert len(asked) == 1
    ui.trainingApplyButton.click()
    ui.trainingApplyButton.click()
    assert not training.isRunning
