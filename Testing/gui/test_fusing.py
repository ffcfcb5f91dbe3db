"""The section that fuses stacks, with a real worker."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util

SIZE = 24


def stack(name, axis):
    """Means of four planes of one object across an array axis, where they lie."""
    z, y, x = (np.indices((SIZE,) * 3) - (SIZE - 1) / 2) / SIZE
    waves = np.sin(24 * x + 5 * y) * np.cos(20 * y - 4 * z) + np.sin(22 * z + 7 * x) * np.cos(9 * x)
    truth = np.where((x / 0.42) ** 2 + (y / 0.46) ** 2 + (z / 0.44) ** 2 < 1, 400 + 90 * waves, 10.0)
    array = np.moveaxis(np.moveaxis(truth, axis, 0).reshape(SIZE // 4, 4, SIZE, SIZE).mean(1), 0, axis)
    node = slicer.util.addVolumeFromArray(array.astype(np.float32), name=name)
    spacing, origin = [1.0] * 3, [0.0] * 3
    spacing[2 - axis], origin[2 - axis] = 4.0, 1.5
    node.SetSpacing(spacing)
    node.SetOrigin(origin)
    return node


@pytest.fixture
def stacks(module, parameters, settle):
    nodes = [stack(name, axis) for axis, name in enumerate(("Axial", "Coronal", "Sagittal"))]
    parameters.inputVolume = nodes[0]
    settle()
    return nodes


@pytest.fixture
def fuse(module):
    return module.widget.panel.fuse


def test_click_to_volume_and_sentence(module, ui, parameters, stacks, fuse, settle):
    import qt

    assert not ui.fuseButton.enabled
    assert ui.fuseButton.toolTip.startswith("Choose another stack")
    parameters.fuseWith, parameters.fuseAlso = stacks[1:]
    settle()
    assert ui.fuseButton.enabled, ui.fuseButton.toolTip
    ui.fuseButton.click()
    assert ui.fuseButton.text == "Cancel"
    settle(lambda: not fuse.isRunning)
    told = ui.fuseStatusLabel.toolTip
    assert fuse.job.state == "done", told
    assert ": Axial fused\n" in told
    assert ui.fuseMovedLabel.toolTip.startswith("Movement: Coronal 0.")
    assert "whose they are" in told  # the scene does not know the patient
    assert ui.fuseButton.text == "Fuse"
    node = slicer.util.getNode("Axial fused")
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceCompositeNode")
    assert (red.GetBackgroundVolumeID(), red.GetForegroundVolumeID()) == (stacks[0].GetID(), node.GetID())
    assert ui.trustLabel.toolTip.startswith("Deviation from the measured data: Axial ")
    ui.reportButton.click()
    page = module.widget.panel.resultView.dialog.findChild(qt.QTextBrowser, "reportPage").toPlainText()
    assert "Stack Sagittal" in page
    assert "24 x 24 x 24 voxels of 1 x 1 x 1 mm, MR" in page
    ui.mapCombo.setCurrentIndex(ui.mapCombo.findText("Difference"))
    assert node.GetNodeReference("MedSR.difference") is not None
    # The fused volume stays the one to look at, also when the panel looks again.
    parameters.fade = 0.5
    settle()
    assert red.GetForegroundVolumeID() == node.GetID()
    # It is no stack of its own.
    parameters.fuseWith = node
    settle()
    assert "made by MedSR" in ui.fuseButton.toolTip


def test_what_cannot_be_fused_is_told(ui, parameters, stacks, fuse, settle):
    parameters.fuseWith = stacks[0]
    settle()
    assert not ui.fuseButton.enabled
    assert "chosen twice" in ui.fuseButton.toolTip
    parameters.fuseWith = stacks[1]
    settle()
    stacks[1].SetOrigin(900, 0, 0)
    ui.fuseButton.click()
    settle(lambda: not fuse.isRunning)
    assert fuse.job.state == "failed"
    assert "'Coronal'" in ui.fuseStatusLabel.toolTip
    assert "nrrd" not in ui.fuseStatusLabel.toolTip
    assert slicer.util.getNodes("*fused*") == {}


def test_a_fusion_is_stopped_by_a_click_and_by_closing_the_scene(module, ui, parameters, stacks, fuse, settle):
    parameters.fuseWith = stacks[1]
    settle()
    ui.fuseButton.click()
    assert fuse.isRunning
    ui.fuseButton.click()
    assert fuse.job.state == "cancelled"
    ui.fuseButton.click()
    job = fuse.job
    slicer.mrmlScene.Clear(0)
    assert job.state == "cancelled"
    assert str(job.error) == "The scene was closed."
    settle()
    assert not ui.fuseButton.enabled
    assert ui.fuseButton.text == "Fuse"


def test_choices_of_the_section_are_those_of_the_job(ui, parameters, stacks, choices):
    from MedSRLib import Parameter

    assert Parameter.fuseOptionsOf(parameters) == {"networks": False}
    ui.fuseNetworksCheckBox.click()
    parameters.memoryLimitGB, parameters.modality = 3.0, choices.Modality.MR
    parameters.effort, parameters.sliceThickness = choices.Effort.FAST, 5.0  # of the chosen volume alone
    assert Parameter.fuseOptionsOf(parameters) == {"networks": True, "memory": "3GB", "modality": "MR"}
    parameters.fuseAlso = stacks[2]
    assert Parameter.stacksOf(parameters) == [stacks[0], stacks[2]]


def test_the_console_fuses_too(module, stacks):
    from MedSRLib.Errors import SceneError

    with pytest.raises(SceneError, match="two or more"):
        module.widget.logic.fuse(stacks[:1])
    with pytest.raises(ValueError, match="`spacing=` takes one number"):
        module.widget.logic.fuse(stacks, spacing=(1, 1, 2))
    node = module.widget.logic.fuse(stacks[:2], name="Both", spacing=2)
    assert node.GetName() == "Both"
    assert node.GetSpacing() == pytest.approx((2, 2, 2))
