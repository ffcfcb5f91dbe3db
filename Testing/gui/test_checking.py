"""The button that checks a result against another series of the patient, with a real worker."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util

SIZE, SPACING = 56, 0.75


def texture(seed):
    """Structure of all sizes, as `Testing/core/test_check.py` has it."""
    shape = (SIZE,) * 3
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    frequency = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    law = np.maximum(frequency, 1 / SIZE) ** -1.5
    array = np.fft.irfftn(noise * law[..., : SIZE // 2 + 1], shape, axes=(0, 1, 2))
    return 500 + 100 * array / array.std()


def stack(name, fine, axis, noise=0.0):
    """Averages of four planes across array axis `axis`, as a volume that lies where `fine` lies."""
    array = np.moveaxis(np.moveaxis(fine, axis, 0).reshape(SIZE // 4, 4, SIZE, SIZE).mean(1), 0, axis)
    array = array + np.random.default_rng(5).normal(0, noise, array.shape)
    node = slicer.util.addVolumeFromArray(array.astype(np.float32), name=name)
    spacing, origin = [SPACING] * 3, [0.0] * 3
    spacing[2 - axis], origin[2 - axis] = 4 * SPACING, 1.5 * SPACING
    node.SetSpacing(spacing)
    node.SetOrigin(origin)
    return node


@pytest.fixture
def scan(module, parameters):
    """A stack, its perfect result, and a crossing stack."""
    from MedSRLib import Provenance

    truth = texture(1)
    source, other = stack("Axial", truth, 0), stack("Sagittal", truth, 2, noise=5)
    result = slicer.util.addVolumeFromArray(truth.astype(np.float32), name="Axial SR")
    result.SetSpacing((SPACING,) * 3)
    Provenance.markResult(result, source, {"modality": "MR", "model": "linear"})
    parameters.inputVolume = source
    return source, result, other


@pytest.fixture
def check(module):
    return module.widget.panel.resultView.check


def offered(check):
    check.menu.aboutToShow.emit()
    return {action.text: action for action in check.menu.actions()}


def test_click_to_sentence_and_map(ui, check, scan, settle):
    _, result, _ = scan
    settle()
    assert list(offered(check)) == ["Sagittal"]  # not what was made here, nor of what
    offered(check)["Sagittal"].trigger()
    assert ui.checkButton.text == "Cancel"
    settle(lambda: not check.isRunning)
    told = ui.checkStatusLabel.toolTip
    assert check.job.state == "done", told
    assert told.startswith("Added detail: ")
    assert "an unrelated series would confirm" in told
    judged = check.job.report["of_what_is_judged"]
    assert judged["confirmed_percent"] > judged["an_unrelated_series_percent"] + 30
    node = result.GetNodeReference("MedSR.confirmed")
    assert node is check.job.output
    assert slicer.util.arrayFromVolume(node).shape == slicer.util.arrayFromVolume(result).shape
    assert ui.mapCombo.currentText == "Confirmed detail"
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert red.GetForegroundVolumeID() == node.GetID()
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-1, 1)
    assert display.GetLowerThreshold() == -1  # -2 is "not judged" and is not shown
    assert display.GetApplyThreshold()
    assert ui.checkButton.text == "Check against another series..."


def test_what_cannot_be_compared_is_told(ui, check, scan, settle):
    source, result, other = scan
    settle()
    other.SetOrigin(900, 0, 0)
    check.start(other)
    settle(lambda: not check.isRunning)
    assert check.job.state == "failed"
    assert ui.checkStatusLabel.toolTip
    assert result.GetNodeReference("MedSR.confirmed") is None
    for node, why in ((source, "another series than"), (result, "another series than")):
        check.start(node)
        assert why in ui.checkStatusLabel.toolTip
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    for name, node in (("One", source), ("Two", other)):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.CreateItem(patient, node)
    check.start(other)
    assert "different patients" in ui.checkStatusLabel.toolTip
    assert "One" not in ui.checkStatusLabel.toolTip


def test_a_check_can_be_stopped_and_ends_with_its_result(ui, check, scan, settle):
    _, result, other = scan
    settle()
    check.start(other)
    assert check.isRunning
    ui.checkButton.click()
    assert check.job.state == "cancelled"
    check.start(other)
    slicer.mrmlScene.RemoveNode(result)
    settle(lambda: not check.isRunning)
    assert check.job.state == "cancelled"
    assert slicer.util.getNodes("*confirmed*") == {}


def test_without_another_volume_the_menu_says_so(check, scan, settle):
    slicer.mrmlScene.RemoveNode(scan[2])
    settle()
    (action,) = offered(check).values()
    assert not action.enabled
    assert "no other volume" in action.text


def test_the_console_checks_too(module, scan):
    from MedSRLib.Errors import SceneError

    source, result, _ = scan
    with pytest.raises(SceneError, match="another series"):
        module.widget.logic.checkAgainst(result, source)
    with pytest.raises(SceneError, match="againstNode takes a volume node"):
        module.widget.logic.checkAgainst(result, "Sagittal")
