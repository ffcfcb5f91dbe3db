"""Clicks with a real worker process behind them."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import pytest
import slicer
import slicer.util


@pytest.fixture(autouse=True)
def physics_only(module):
    """Not the shipped network, which takes longer."""
    module.widget._parameterNode.model = "tikhonov"


@pytest.fixture
def big_volume(make_volume):
    return make_volume("Big", (60, 90, 90))


def volume_names():
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))


def start_slow(module, settle):
    """Click on a job that takes minutes; return when it has told its first stage."""
    from MedSRLib import Choices

    parameters = module.widget._parameterNode
    parameters.model, parameters.target = "lanczos", Choices.Target.SPACING
    parameters.spacingX = parameters.spacingY = 0.3
    parameters.spacingZ = 0.6
    settle()
    module.widget.ui.applyButton.click()
    settle(lambda: module.widget.panel.job.state == "running")


def test_click_to_result(module, ui, parameters, a_volume, settle):
    parameters.maps = "difference"
    settle()
    ui.applyButton.click()
    assert ui.applyButton.text == "Cancel"
    settle(lambda: not module.widget.panel.isRunning)
    assert volume_names() == ["Head", "Head SR", "Head SR difference"]
    assert ui.applyButton.text == "Super-resolve"
    assert ui.applyButton.enabled
    assert "Done" in ui.statusLabel.toolTip
    assert "Reading" in ui.logText.plainText
    assert ui.resultSection.enabled
    for name in ("Red", "Green", "Yellow"):
        composite = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert composite.GetForegroundVolumeID() == module.widget.panel.job.output.GetID()
        assert composite.GetBackgroundVolumeID() == a_volume.GetID()


def test_without_a_temporary_folder_of_slicer_the_systems_is_taken(module):
    """An empty path is a folder for Python: the one that Slicer was started in."""
    from MedSRLib.SuperResolver import temporaryFolder

    assert module.app.temporaryPath == ""
    assert temporaryFolder() is None


def test_two_runs_in_a_row(module, ui, a_volume, settle):
    settle()
    for _ in range(2):
        ui.applyButton.click()
        settle(lambda: not module.widget.panel.isRunning)
    assert volume_names() == ["Head", "Head SR", "Head SR_1"]


def test_chosen_output_is_filled(module, ui, parameters, a_volume, make_volume, settle):
    mine = make_volume("Mine", (3, 3, 3))
    parameters.inputVolume, parameters.outputVolume = a_volume, mine
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert volume_names() == ["Head", "Mine"]
    assert mine.GetAttribute("MedSR.model") == "tikhonov"


def test_cancel_while_running(module, ui, big_volume, settle):
    start_slow(module, settle)
    assert ui.applyButton.text == "Cancel"
    assert ui.progressBar.isVisibleTo(module.parent)
    assert ui.statusLabel.text
    pid = module.widget.logic.resolver.runner.workerPid
    ui.applyButton.click()
    assert ui.applyButton.text == "Super-resolve"
    assert not ui.progressBar.isVisibleTo(module.parent)
    assert volume_names() == ["Big"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_panel_stays_alive_while_a_job_runs(module, ui, parameters, big_volume, settle):
    start_slow(module, settle)
    parameters.fade = 0.4
    ui.profileCombo.setCurrentIndex(2)
    settle()
    assert parameters.profile == "box"
    assert module.widget.panel.isRunning
    ui.applyButton.click()


def test_a_dead_worker_is_told_in_the_panel(module, ui, big_volume, settle):
    start_slow(module, settle)
    os.kill(module.widget.logic.resolver.runner.workerPid, signal.SIGKILL)
    settle(lambda: not module.widget.panel.isRunning)
    assert "signal 9" in ui.statusLabel.toolTip
    assert ui.applyButton.enabled
    assert volume_names() == ["Big"]


def test_a_failing_job_is_told_in_the_panel(module, ui, parameters, a_volume, settle, monkeypatch):
    from MedSRLib import SceneFiles

    write = SceneFiles.writeNrrd

    def damaged(node, path):
        write(node, path)
        path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setattr(SceneFiles, "writeNrrd", damaged)
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert module.widget.panel.job.state == "failed"
    said = str(module.widget.panel.job.error).split("\n")[0]
    assert said[:20] in ui.statusLabel.toolTip
    assert said in ui.logText.plainText
    assert not ui.logSection.collapsed
    assert "color" in ui.statusLabel.styleSheet


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (lambda np: np.full((9, 9, 12), 5, np.float32), "constant"),
        (lambda np: np.where(np.indices((9, 9, 12))[0] > 4, np.nan, 3.0).astype(np.float32), "NaN"),
        (lambda np: (np.indices((9, 9, 12))[0] // 4).astype(np.int16), "like a segmentation"),
    ],
)
def test_voxels_that_cannot_be_used_are_told_before_the_click(module, ui, parameters, a_volume, settle, array, why):
    import numpy as np

    settle()
    assert ui.applyButton.enabled
    parameters.inputVolume = slicer.util.addVolumeFromArray(array(np), name="Odd")
    settle()
    assert not ui.applyButton.enabled
    assert why in ui.inputWarningLabel.toolTip
    assert why in ui.applyButton.toolTip
    assert "--" not in ui.applyButton.toolTip


def test_a_killed_worker_says_why_and_what_to_do(module, ui, big_volume, settle):
    start_slow(module, settle)
    os.kill(module.widget.logic.resolver.runner.workerPid, signal.SIGKILL)
    settle(lambda: not module.widget.panel.isRunning)
    for part in ("memory ran out", "coarser target", "signal 9"):
        assert part in ui.statusLabel.toolTip


def test_the_stage_is_named_before_the_first_figure(module, ui, a_volume, settle):
    settle()
    said = []
    ui.applyButton.click()
    panel = module.widget.panel

    def look():
        said.append((ui.statusLabel.toolTip, ui.progressBar.maximum))
        return not panel.isRunning

    settle(look)
    first = next(text for text, _maximum in said if text)
    assert first.startswith("Starting the computing process")
    assert (0 in {maximum for text, maximum in said if text == first}) is True  # a bar that swings, not one at 0 %


def test_what_a_machine_took_is_told_the_next_time(module, ui, a_volume, settle):
    from MedSRLib.Preview import timeText

    settle()
    panel, timing = module.widget.panel, module.widget.logic.resolver.timing
    told = module.widget.logic.resolver.planner._planned.plan.estimate()["seconds"]
    ui.applyButton.click()
    settle(lambda: not panel.isRunning)
    for _ in range(12):  # four minutes were told, and each time it took four times as long
        timing.note(240.0, 960.0, "tikhonov", 11.0)
    expected = timing.expected(told, "tikhonov", isWarm=True)
    assert expected > 2 * told
    ui.targetCombo.setCurrentIndex(1)
    settle()
    cost = module.widget.logic.resolver.planner._planned.plan.estimate()["seconds"]
    assert timeText(timing.expected(cost, "tikhonov", isWarm=True)) in ui.previewLabel.toolTip
    # Another session on this machine knows it, too.
    from MedSRLib.Timing import Timing

    assert Timing(module.app.settings()).expected(60.0, "tikhonov", isWarm=True) > 120


def test_one_slice_is_made_finer_in_its_plane(module, ui, parameters, choices, make_volume, settle):
    parameters.inputVolume = make_volume("Slice", (1, 40, 44), (0.9, 0.9, 5.0))
    settle()
    assert parameters.target == choices.Target.TWICE_IN_PLANE
    assert "88 x 80 x 1 voxels" in ui.previewLabel.toolTip
    assert "slices" not in ui.resolutionLabel.toolTip
    parameters.inputVolume = make_volume("Stack")
    settle()
    assert parameters.target == choices.Target.ISOTROPIC


@pytest.fixture
def make_sequence(make_volume):
    """Make a sequence of volumes that differ by a constant, with its browser; return the volume that shows a frame."""

    def make(name="Perfusion", count=3, shown=1):
        sequence = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceNode())
        sequence.SetIndexName("delay")
        sequence.SetIndexUnit("ms")
        frame = make_volume(name)
        voxels = slicer.util.arrayFromVolume(frame).copy()
        for number in range(count):
            slicer.util.updateVolumeFromArray(frame, voxels + 100 * number)
            sequence.SetDataNodeAtValue(frame, str(12.5 * number))
        browser = slicer.mrmlScene.AddNode(slicer.vtkMRMLSequenceBrowserNode())
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        slicer.util.updateVolumeFromArray(frame, voxels + 100 * (shown - 1))
        browser.AddProxyNode(frame, sequence, False)
        browser.SetSelectedItemNumber(shown - 1)
        frame.Modified()  # as Slicer's own logic does when it shows a frame
        return frame

    return make


def test_all_frames_are_offered_where_a_volume_shows_one(ui, parameters, make_sequence, make_volume, settle):
    parameters.inputVolume = make_sequence(shown=2)
    settle()
    assert not ui.allFramesCheckBox.isHidden()
    assert ui.allFramesCheckBox.text == "All 3 frames of the sequence, not only frame 2"
    assert ui.outputSelector.enabled
    ui.allFramesCheckBox.click()
    assert not ui.outputSelector.enabled
    assert not ui.mapsWidget.enabled
    parameters.inputVolume = make_volume("Alone")
    settle()
    assert ui.allFramesCheckBox.isHidden()
    assert ui.outputSelector.enabled


def test_all_frames_become_a_new_sequence(module, ui, parameters, make_sequence, settle):
    import numpy as np

    frame = make_sequence(shown=2)
    parameters.inputVolume, parameters.allFrames, parameters.maps = frame, True, "difference"
    settle()
    seen = []
    show = module.widget.panel.runView.showRunning
    module.widget.panel.runView.showRunning = lambda job: (seen.append((job.stage, job.fraction)), show(job))
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    job = module.widget.panel.job
    assert job.state == "done", job.error
    assert {stage.split(":")[0] for stage, _ in seen} >= {f"Frame {n} of 3" for n in (1, 2, 3)}
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)
    sequences = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    assert len(sequences) == 2
    made = next(node for node in sequences if node.GetName() == "Perfusion SR")
    assert (made.GetIndexName(), made.GetIndexUnit()) == ("delay", "ms")
    assert [made.GetNthIndexValue(n) for n in range(made.GetNumberOfDataNodes())] == ["0.0", "12.5", "25.0"]
    arrays = [slicer.util.arrayFromVolume(made.GetNthDataNode(n)).astype(float) for n in range(3)]
    assert [array.shape for array in arrays] == [(33, 20, 24)] * 3
    # Deconvolution is linear: frames that differ by a constant differ by it in the result, since all have one profile.
    for number in (1, 2):
        assert np.abs(arrays[number] - arrays[0] - 100 * number)[4:-4, 4:-4, 4:-4].max() <= 8
    shown = job.output
    assert shown.GetName() == "Perfusion SR"
    browser = next(
        node for node in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode") if node.GetSequenceNode(shown)
    )
    assert browser.GetSequenceNode(shown) is made
    assert browser.GetSelectedItemNumber() == 1
    assert np.array_equal(slicer.util.arrayFromVolume(shown), arrays[1])
    worst = max(frame["residual_percent"] for frame in job.report["frames"])
    assert (len(job.report["frames"]), job.report["consistency"]["residual_percent"]) == (3, worst)
    assert ui.resultSection.enabled
    assert "in the worst of 3 frames" in ui.trustLabel.toolTip
    assert {told["values"]["known"]["kind"] for told in job.report["decisions"] if told["kind"] == "acquisition"} != {
        "known.option"
    }


def test_stopping_between_frames_keeps_nothing(module, ui, parameters, make_sequence, settle):
    parameters.inputVolume, parameters.allFrames = make_sequence(count=4), True
    settle()
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    ui.applyButton.click()
    job = module.widget.panel.job
    settle(lambda: job.stage.startswith("Frame 2"))
    folder = job._place
    assert folder.is_dir()
    ui.applyButton.click()
    assert job.state == "cancelled"
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not folder.exists()
    assert not module.widget.logic.resolver.runner.isBusy


def test_sequences_on_the_list_tell_their_frame(module, ui, parameters, make_sequence, make_volume, settle):
    parameters.inputVolume = make_sequence(count=2)
    parameters.allFrames = True
    ui.batchAddButton.click()
    parameters.inputVolume = make_volume("Alone")
    ui.batchAddButton.click()
    settle()
    queue = module.widget.logic.queue
    seen, refresh = set(), queue.changed
    queue.changed = lambda: (refresh(), seen.add(ui.batchList.item(0).text()))
    ui.batchApplyButton.click()
    settle(lambda: not queue.isRunning)
    assert any("Frame 2 of 2" in text for text in seen), seen
    assert [item.state for item in queue.items] == ["done", "done"]
    assert len(queue.items[0].job.report["frames"]) == 2
    assert "frames" not in queue.items[1].job.report


def test_all_frames_at_the_console(module, make_sequence, make_volume):
    from MedSRLib.Errors import SceneError
    from MedSRLib.Sequences import framesOf

    logic = module.widget.logic
    frame = make_sequence(count=2, shown=1)
    shown = logic.superResolve(frame, all_frames=True, scale=2, model="linear")
    assert framesOf(shown).count == 2
    with pytest.raises(SceneError, match="no frame of a sequence"):
        logic.superResolve(make_volume("Alone"), all_frames=True)
    with pytest.raises(SceneError, match="without maps"):
        logic.superResolve(frame, all_frames=True, maps=["difference"])


def test_wrong_interpreter_is_told_and_can_be_mended(module, ui, parameters, a_volume, settle):
    parameters.interpreterPath = "/no/such/python"
    settle()
    ui.applyButton.click()
    assert "no program" in ui.statusLabel.toolTip
    assert ui.applyButton.text == "Super-resolve"
    parameters.interpreterPath = ""
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in ui.statusLabel.toolTip


def test_another_python_is_taken_from_the_environment(module, ui, a_volume, settle, monkeypatch, tmp_path):
    core = Path(__file__).resolve().parents[2] / "MedSRCore"
    used = tmp_path / "used"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ntouch {used}\nPYTHONPATH={core} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("MEDSR_PYTHON", str(python))
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in ui.statusLabel.toolTip
    assert used.exists()


def without_torch(module, monkeypatch):
    """As in a Slicer in which nothing was installed; returns the questions that are asked, to which no is said."""
    from MedSRLib import InstallLogic

    install, asked = module.widget.logic.installLogic, []
    monkeypatch.setattr(InstallLogic, "_isMet", lambda requirement: not requirement.startswith("torch"))
    monkeypatch.setattr(install, "_isTesting", lambda: False)
    monkeypatch.setattr(install, "_ask", lambda text: bool(asked.append(text)))
    return asked


def test_nothing_is_asked_for_where_no_network_does_the_work(
    module, ui, parameters, choices, make_volume, settle, monkeypatch
):
    """Seven times along every axis is beyond the networks, so that "automatic" means Tikhonov."""
    asked = without_torch(module, monkeypatch)
    parameters.inputVolume = make_volume("Small", (8, 9, 10))
    parameters.model, parameters.target = "auto", choices.Target.SPACING
    parameters.spacingX = parameters.spacingY = 0.9 / 7
    parameters.spacingZ = 3 / 7
    settle()
    assert "install" not in ui.modelInfoLabel.text
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert asked == []
    assert module.widget.panel.job.output.GetAttribute("MedSR.model") == "tikhonov"


def test_preview_and_click_share_one_plan(module, ui, parameters, make_volume, plans, settle):
    parameters.inputVolume = make_volume("Other")
    settle()
    assert len(plans) == 1
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    settle()
    assert "Done" in ui.statusLabel.toolTip
    assert len(plans) == 1


def test_packages_are_asked_for_once_and_declining_changes_nothing(module, ui, a_volume, settle, monkeypatch):
    asked = without_torch(module, monkeypatch)
    module.widget._parameterNode.model = "auto"
    settle()
    assert "The first run asks to install torch>=2.8." in ui.modelInfoLabel.text
    ui.applyButton.click()
    assert len(asked) == 1
    assert "200 MB" in asked[0]
    assert "Tikhonov" in ui.statusLabel.toolTip
    assert ui.applyButton.text == "Super-resolve"
    assert module.widget.logic.resolver.runner.workerPid is None
    assert volume_names() == ["Head"]


def test_report_is_written_when_the_scene_is_saved(module, ui, a_volume, settle, tmp_path):
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    result = module.widget.panel.job.output
    result.AddDefaultStorageNode(str(tmp_path / "sharp.nrrd"))
    assert result.GetStorageNode().WriteData(result)
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.SaveState)
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.SaveState)
    assert (tmp_path / "sharp.nrrd.medsr.json").is_file()


def test_input_removed_while_running(module, ui, big_volume, settle):
    start_slow(module, settle)
    slicer.mrmlScene.RemoveNode(big_volume)
    settle(lambda: not module.widget.panel.isRunning)
    assert "removed" in ui.statusLabel.toolTip
    assert volume_names() == []
    settle()
    assert not ui.applyButton.enabled


def test_scene_closed_while_running(module, ui, big_volume, settle):
    start_slow(module, settle)
    slicer.mrmlScene.Clear(0)
    settle(lambda: not module.widget.panel.isRunning)
    assert volume_names() == []
    assert module.widget._parameterNode is not None
    settle()
    assert ui.applyButton.text == "Super-resolve"


def test_leaving_the_module_lets_the_job_go_on(module, ui, a_volume, settle):
    settle()
    ui.applyButton.click()
    module.widget.exit()
    settle(lambda: not module.widget.panel.isRunning)
    module.widget.enter()
    assert volume_names() == ["Head", "Head SR"]
    settle()
    assert ui.applyButton.enabled


def test_reload_while_running_stops_the_worker_and_works_again(module, big_volume, settle):
    start_slow(module, settle)
    pid = module.widget.logic.resolver.runner.workerPid
    module.reload()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    from MedSRLib.Choices import Target  # that of the reloaded module

    module.widget._parameterNode.model, module.widget._parameterNode.target = "linear", Target.TWICE
    settle()
    module.widget.ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in module.widget.ui.statusLabel.text


def test_a_panel_that_was_left_is_no_longer_tied_to_the_parameters(module, ui, a_volume, settle):
    """Before Slicer 5.12, `connectGui` gives no tag: what it ties stays tied, also to widgets that are gone."""
    settle()
    parameters = module.widget._parameterNode
    module.leave()
    ui.memorySpinBox.setValue(7.0)
    assert parameters.memoryLimitGB == 0.0
    module.enter()
    assert ui.memorySpinBox.value == 0.0


def test_quitting_while_running_leaves_no_process(module, big_volume, settle):
    start_slow(module, settle)
    pid = module.widget.logic.resolver.runner.workerPid
    module.app.manager.emit("moduleAboutToBeUnloaded", "MedSR")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    module.app.manager.connect("moduleAboutToBeUnloaded(QString)", module.widget._onModuleAboutToBeUnloaded)


def test_side_by_side_fade_difference_and_report(module, ui, parameters, a_volume, settle):
    import numpy as np

    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    result = module.widget.panel.job.output
    ui.sideBySideButton.click()
    for side, node in (("Input", a_volume), ("Result", result)):
        for orientation in ("Axial", "Coronal"):
            view = slicer.mrmlScene.GetSingletonNode(f"MedSR{side}{orientation}", "vtkMRMLSliceCompositeNode")
            assert view.GetBackgroundVolumeID() == node.GetID()
            assert view.GetLinkedControl()
    parameters.fade = 0.25
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert red.GetForegroundOpacity() == pytest.approx(0.25)
    assert module.app.layouts.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    ui.mapCombo.setCurrentIndex(ui.mapCombo.findText("Difference"))
    difference = result.GetNodeReference("MedSR.difference")
    assert red.GetForegroundVolumeID() == difference.GetID()
    display = difference.GetDisplayNode()
    table = display.GetColorNode()
    assert table.GetName() == "MedSR difference"
    assert display.GetLevel() == 0
    colour = [0.0] * 4
    table.GetColor(128, colour)
    assert max(colour[:3]) < 0.05  # black where nothing changed
    # Made without the worker, it is what the worker's own map is.
    parameters.maps = "difference"
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    made = slicer.util.arrayFromVolume(module.widget.panel.job.maps["difference"])
    own = slicer.util.arrayFromVolume(difference)
    inside = (slice(2, -2),) * 3
    assert np.abs(made - own)[inside].max() <= 1.0  # the result is rounded to whole numbers

    ui.reportButton.click()
    import qt

    page = module.widget.panel.resultView.dialog.findChild(qt.QTextBrowser, "reportPage")
    text = page.toPlainText()
    for part in (
        "tikhonov", "Deviation from the measured data", "%", "voxels", "medsr", "Not a medical device",
        "Method: tikhonov, as chosen.", "z: Gaussian profile, 1.8 mm (assumed)",
        "isotropic at the finest spacing, 0.9 mm",
    ):  # fmt: skip
        assert part in text
    module.widget.panel.resultView.close()


def test_console_calls(module, a_volume, settle):
    logic = module.widget.logic
    sharp = logic.superResolve(a_volume, scale=2, model="linear")
    assert sharp.GetName() == "Head SR"
    seen = []
    job = logic.start(a_volume, spacing=(1, 1, 1), model="linear", completed=lambda job: seen.append(job.output))
    settle(lambda: job.isFinished)
    assert seen == [job.output]
    with pytest.raises(ValueError, match="between 1 and 8"):
        logic.superResolve(a_volume, scale=99)


@pytest.mark.network
def test_shipped_network_from_the_panel(module, ui, parameters, a_volume, settle):
    from medsr.catalog import load_catalog

    if importlib.util.find_spec("torch") is None:
        pytest.skip("the shipped network needs torch")
    networks = [entry.name for entry in load_catalog().values() if entry.needs_torch and "MR" in entry.modalities]
    if not networks:
        pytest.skip("no network for MR is shipped yet")
    torch_was_there = "torch" in sys.modules
    parameters.model = "auto"
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "Done" in ui.statusLabel.toolTip, ui.statusLabel.text
    assert module.widget.panel.job.output.GetAttribute("MedSR.model") in networks
    assert "torch" not in sys.modules or torch_was_there


def test_the_modules_own_self_test(module):
    test = module.python.MedSRTest()
    test.messageDelay = 1
    test.runTest()


@pytest.mark.parametrize("name", ["test_Physics", "test_Cancel", "test_Segments", "test_Stacks", "test_TrainingSet"])
def test_test_runners_of_slicer_can_run_each_test_by_itself(module, name):
    """They call `setUp`, the test and `tearDown`, and never `runTest`."""
    import unittest

    result = unittest.TestResult()
    module.python.MedSRTest(name).run(result)
    assert result.wasSuccessful(), (result.errors + result.failures)[0][1]
    assert result.testsRun == 1
    assert not result.skipped
    for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        assert segmentation.GetDisplayNode() is not None  # Slicer's list of segments logs errors without


def test_the_network_is_tested_where_another_python_does_the_work(module, monkeypatch):
    import unittest

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # Slicer's own Python has no torch
    for python, skipped in (("/some/python", 0), ("", 1)):
        monkeypatch.setenv("MEDSR_PYTHON", python)
        asked = []
        test = module.python.MedSRTest("test_ShippedNetwork")

        def superResolve(self, node, asked=asked, **arguments):
            asked.append(arguments["model"])
            node.SetAttribute("MedSR.model", arguments["model"])
            return node

        monkeypatch.setattr(module.python.MedSRLogic, "superResolve", superResolve)
        result = unittest.TestResult()
        test.run(result)
        assert result.wasSuccessful(), result.errors
        assert (len(result.skipped), len(asked)) == (skipped, 1 - skipped)


def test_several_volumes_go_on_while_another_module_is_open(module, ui, parameters, choices, make_volume, settle):
    first, second = make_volume("First"), make_volume("Second", spacing=(1, 1, 1))
    parameters.inputVolume = first
    ui.batchAddButton.click()
    parameters.inputVolume = second
    ui.batchAddButton.click()
    parameters.target = choices.Target.ISOTROPIC
    settle()
    queue = module.widget.logic.queue
    ui.batchApplyButton.click()
    assert ui.batchApplyButton.text == "Stop"
    assert "waiting" in ui.batchList.item(1).text()
    module.leave()
    settle(lambda: queue.items[0].state == "done")
    module.enter()
    settle(lambda: not queue.isRunning)
    assert [ui.batchList.item(row).text().split("  -  ")[1] for row in range(2)] == ["done", "done"]
    assert "2 of 2 done" in ui.batchStatusLabel.toolTip
    # What fits the first does not fit the second: it is isotropic already, and made twice as fine.
    assert queue.items[0].job.output.GetImageData().GetDimensions() == (24, 20, 33)
    assert queue.items[1].job.output.GetImageData().GetDimensions() == (48, 40, 20)
    assert ui.resultSection.enabled
    assert ui.batchApplyButton.text == "Super-resolve all"
    slicer.mrmlScene.Clear(0)
    settle()
    assert ui.batchList.count == 0


def test_original_and_fade_by_keyboard(module, ui, parameters, a_volume, settle):
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    keys = module.widget.panel.resultView.shortcuts
    assert {name: key.key.toString() for name, key in keys.items()} == {
        "original": "O", "less": "Alt+Left", "more": "Alt+Right",
    }  # fmt: skip
    for key, opacity, isOriginal in (
        ("original", 0.0, True), ("original", 1.0, False), ("less", 0.9, False), ("less", 0.8, False),
        ("original", 0.0, True), ("original", 0.8, False), ("more", 0.9, False), ("more", 1.0, False),
        ("more", 1.0, False),
    ):  # fmt: skip
        keys[key].activated.emit()
        assert red.GetForegroundOpacity() == pytest.approx(opacity), key
        assert ui.originalButton.checked is isOriginal
    # A new result is shown, also when the original was looked at.
    keys["original"].activated.emit()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert red.GetForegroundOpacity() == 1.0


def test_trust_is_told_in_a_line_with_what_it_means(module, ui, a_volume, settle):
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert ui.trustLabel.text.startswith("Deviation from the measured data: ")
    assert "as enforced" in ui.trustLabel.toolTip
    assert "not that the added detail is true" in ui.trustLabel.toolTip
    module.widget._parameterNode.model = "linear"
    settle()
    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning)
    assert "as enforced" not in ui.trustLabel.toolTip
    assert "does not say that the added detail is true" in ui.trustLabel.toolTip


def test_a_network_is_never_installed_by_tests(module, ui, parameters, a_volume, settle, monkeypatch):
    from MedSRLib.Errors import InstallError
    from MedSRLib.ScenePlan import optionsOf

    asked = without_torch(module, monkeypatch)
    monkeypatch.setattr(module.widget.logic.installLogic, "_isTesting", lambda: True)
    planner = module.widget.logic.resolver.planner
    plan = planner.plan(a_volume, optionsOf({"model": "mr-3d", "modality": "MR"})).plan
    with pytest.raises(InstallError, match="torch"):
        module.widget.logic._installIfNeeded(plan)
    assert asked == []
    module.widget.logic._installIfNeeded(planner.plan(a_volume, optionsOf({"model": "tikhonov"})).plan)
    monkeypatch.setenv("MEDSR_PYTHON", "/some/python")
    module.widget.logic._installIfNeeded(plan)
