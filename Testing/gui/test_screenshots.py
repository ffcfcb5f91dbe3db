"""The pictures of the documentation: the panel before, while and after a run, and input beside result.

They are written to a temporary folder, or to the folder that MEDSR_SCREENSHOTS names, with Tikhonov or with the model
of MEDSR_SCREENSHOT_MODEL:
``MEDSR_SCREENSHOTS=docs/images MEDSR_SCREENSHOT_MODEL=auto pytest Testing/gui/test_screenshots.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util


@pytest.fixture
def folder(tmp_path):
    named = os.environ.get("MEDSR_SCREENSHOTS")
    return Path(named) if named else tmp_path


def phantom(shape_zyx=(128, 192, 160)):
    """A head-like phantom of ellipsoids with folded grey matter, 1 mm, values 0 to 1000."""
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_zyx], indexing="ij")
    head = (x / 0.85) ** 2 + (y / 0.95) ** 2 + (z / 0.95) ** 2
    brain = (x / 0.72) ** 2 + (y / 0.82) ** 2 + (z / 0.80) ** 2
    angle, height = np.arctan2(y, x), np.sin(11 * z)
    folds = 0.75 + 0.13 * np.sin(17 * angle + 3 * height) * np.cos(9 * z + 2 * np.sin(5 * angle))
    array = np.where(head < 1, 620.0, 0.0)
    array[(brain < 1.12) & (head < 0.93)] = 120
    array[brain < 1] = 420
    array[brain < folds] = 760
    for side in (-1, 1):
        array[((x - 0.14 * side) / 0.09) ** 2 + ((y + 0.05) / 0.34) ** 2 + (z / 0.25) ** 2 < 1] = 90
    array += np.random.default_rng(1).normal(0, 8, shape_zyx) * (head < 1.1)
    return array


def thick_slices(make=4):
    """The phantom as 4 mm thick axial slices, as a scene node."""
    fine = phantom()
    thick = fine.reshape(fine.shape[0] // make, make, *fine.shape[1:]).mean(axis=1)
    node = slicer.util.addVolumeFromArray(np.rint(thick).astype(np.int16), name="T1 axial 4 mm")
    node.SetSpacing(1, 1, make)
    # Rows run to the back and columns to the left, as in a transversal MR series.
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetOrigin(80, 96, -64)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(900, 430)
    return node


def slice_picture(node, orientation, size=(360, 330), foreground=None, opacity=1.0):
    """What a slice view shows, by Slicer's own slice logic, as an RGB array."""
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    name = f"Picture{orientation}{node.GetID()}{foreground is not None}"
    sliceNode = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSliceNode")
    sliceNode.UnRegister(None)
    sliceNode.SetSingletonTag(name)
    sliceNode.SetLayoutName(name)
    composite = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSliceCompositeNode")
    composite.UnRegister(None)
    composite.SetSingletonTag(name)
    composite.SetLayoutName(name)
    slicer.mrmlScene.AddNode(sliceNode)
    slicer.mrmlScene.AddNode(composite)
    logic.SetSliceNode(sliceNode)
    logic.SetSliceCompositeNode(composite)
    composite.SetBackgroundVolumeID(node.GetID())
    if foreground is not None:
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity)
    {"Axial": sliceNode.SetOrientationToAxial, "Coronal": sliceNode.SetOrientationToCoronal}[orientation]()
    sliceNode.SetDimensions(*size, 1)
    sliceNode.SetFieldOfView(size[0] * 0.66, size[1] * 0.66, 1)
    sliceNode.JumpSliceByCentering(3.0, 12.0, 6.0)
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1]
    colours, alpha = pixels[..., :3].astype(float), pixels[..., 3:4] / 255.0
    slicer.mrmlScene.RemoveNode(composite)
    slicer.mrmlScene.RemoveNode(sliceNode)
    return np.ascontiguousarray((colours * alpha).astype(np.uint8))


def titled(picture, text):
    """The picture as a Qt image with a title."""
    import qt

    rows, columns, _ = picture.shape
    image = qt.QImage(picture.tobytes(), columns, rows, 3 * columns, qt.QImage.Format_RGB888).copy()
    painter = qt.QPainter(image)
    painter.setPen(qt.QColor("#f5aa3c"))
    painter.drawText(10, 20, text)
    painter.end()
    return image


def side_by_side(rows):
    """One picture of rows of pictures."""
    import qt

    columns = len(rows[0])
    width, height = rows[0][0].width(), rows[0][0].height()
    sheet = qt.QImage(
        columns * width + 4 * (columns - 1), len(rows) * height + 4 * (len(rows) - 1), qt.QImage.Format_RGB888
    )
    sheet.fill(qt.QColor("#303030"))
    painter = qt.QPainter(sheet)
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            painter.drawImage(c * (width + 4), r * (height + 4), image)
    painter.end()
    return sheet


def save(picture, path):
    """Write a picture and make sure that it shows something."""
    assert picture.save(str(path))
    image = picture.toImage() if hasattr(picture, "toImage") else picture
    colours = {image.pixel(x, y) for x in range(0, image.width(), 7) for y in range(0, image.height(), 7)}
    assert len(colours) > 8, f"{path.name} is empty"


def panel_picture(module, settle, height=440):
    module.panel.resize(420, height)
    module.panel.show()
    settle()
    settle()
    return module.panel.grab()


def test_pictures_of_the_documentation(module, ui, parameters, settle, folder):
    volume = thick_slices()
    parameters.inputVolume = volume
    parameters.profile = "box"  # the phantom's slices are averages
    parameters.model = os.environ.get("MEDSR_SCREENSHOT_MODEL", "tikhonov")
    settle()
    ui.applyButton.setFocus()
    save(panel_picture(module, settle), folder / "slicer-panel.png")

    ui.applyButton.click()
    settle(lambda: not module.widget.panel.isRunning or module.widget.panel.job.fraction > 0.1, seconds=300)
    save(module.panel.grab(), folder / "slicer-running.png")
    settle(lambda: not module.widget.panel.isRunning, seconds=600)
    assert "Done" in ui.statusLabel.toolTip, ui.statusLabel.toolTip
    save(panel_picture(module, settle), folder / "slicer-result.png")

    result = module.widget.panel.job.output
    ui.reportButton.click()
    settle()
    save(module.widget.panel.resultView.dialog.grab(), folder / "slicer-report.png")
    ui.differenceButton.click()
    difference = result.GetNodeReference("MedSR.difference")
    rows = [
        [
            titled(slice_picture(volume, orientation), f"Input, {orientation.lower()}"),
            titled(slice_picture(result, orientation), f"Result, {orientation.lower()}"),
            titled(slice_picture(result, orientation, foreground=difference, opacity=0.75), "Difference"),
        ]
        for orientation in ("Coronal", "Axial")
    ]
    save(side_by_side(rows), folder / "slicer-compare.png")


def head_with_structures(name, shape_zyx, seed):
    """A small head, and a segmentation of its brain and its ventricles."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_zyx], indexing="ij")
    stretch = 1 + 0.06 * rng.standard_normal(3)
    brain = (x / 0.7 / stretch[0]) ** 2 + (y / 0.8 / stretch[1]) ** 2 + (z / 0.8 / stretch[2]) ** 2 < 1
    ventricles = sum(
        ((x - 0.14 * side) / 0.09) ** 2 + ((y + 0.05) / 0.34) ** 2 + (z / 0.25) ** 2 < 1 for side in (-1, 1)
    ).astype(bool)
    array = np.where((x / 0.85) ** 2 + (y / 0.95) ** 2 + (z / 0.95) ** 2 < 1, 300.0, 0.0)
    array[brain], array[ventricles] = 620, 120
    array += 60 * brain * np.sin(14 * x) * np.cos(12 * y) + rng.normal(0, 6, shape_zyx)
    volume = slicer.util.addVolumeFromArray(np.rint(array).clip(0).astype(np.int16), name=name)
    volume.SetSpacing(2.5, 2.5, 5)
    return volume, {"Brain": brain & ~ventricles, "Ventricles": ventricles}


def test_picture_of_the_training_section(
    module, ui, parameters, settle, folder, make_segmentation, tmp_path, monkeypatch
):
    from MedSRLib import Parameter

    monkeypatch.setenv("HOME", str(tmp_path))
    pairs = []
    for number in (1, 2, 3):
        volume, masks = head_with_structures(f"T1 subject {number}", (32, 72, 64), number)
        pairs.append((volume, make_segmentation(volume, f"Labels {number}", masks)))
    for widget in (ui.inputWidget, ui.targetWidget, ui.applyButton, ui.resultSection):
        widget.setVisible(False)  # the picture is of the section alone
    ui.trainingSection.collapsed = False
    parameters.trainingVolume, parameters.trainingSegmentation = pairs[0]
    Parameter.setPairs(parameters, pairs)
    parameters.trainingRecipe, parameters.trainingCopies, parameters.trainingSeed = "degrade-bspline", 2, 7
    parameters.trainingFormat, parameters.trainingOutput = "nnunet", "~/Dataset101_Heads"
    ui.trainingApplyButton.click()
    training = module.widget.panel.training
    settle(lambda: not training.isRunning, seconds=120)
    assert "6 copies" in ui.trainingStatusLabel.text, ui.trainingStatusLabel.text
    save(panel_picture(module, settle, height=720), folder / "slicer-training.png")
