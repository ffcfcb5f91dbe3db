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


def slice_picture(node, orientation, size=(360, 330), foreground=None, opacity=1.0, pixel_mm=0.66):
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
    sliceNode.SetFieldOfView(size[0] * pixel_mm, size[1] * pixel_mm, 1)
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


def panel_picture(module, settle, height=540):
    module.panel.resize(420, height)
    module.panel.show()
    settle()
    settle()
    return module.panel.grab()


def desktop_picture(module, settle, volume, result):
    """The panel beside the views of "Side by side", as they are on a screen of 1366 x 768."""
    import qt

    width, height = 1366, 768
    picture = qt.QImage(width, height, qt.QImage.Format_RGB888)
    picture.fill(qt.QColor("#303030"))
    module.panel.resize(420, height)
    settle()
    panel = module.panel.grab()
    painter = qt.QPainter(picture)
    painter.drawPixmap(0, 0, panel)
    left, size = 424, ((width - 424 - 4) // 2, (height - 4) // 2)
    for row, orientation in enumerate(("Coronal", "Axial")):
        for column, (node, name) in enumerate(((volume, "Input"), (result, "Result"))):
            view = titled(slice_picture(node, orientation, size, pixel_mm=0.56), f"{name}, {orientation.lower()}")
            painter.drawImage(left + column * (size[0] + 4), row * (size[1] + 4), view)
    painter.end()
    return picture


def test_pictures_of_the_documentation(module, ui, parameters, settle, folder):
    from MedSRLib import Startup

    volume = Startup.makePhantom()
    parameters.inputVolume = volume
    parameters.profile = "box"  # the phantom's slices are averages
    parameters.model, parameters.maps = os.environ.get("MEDSR_SCREENSHOT_MODEL", "tikhonov"), "error"
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
    save(desktop_picture(module, settle, volume, result), folder / "slicer-desktop.png")
    ui.reportButton.click()
    settle()
    save(module.widget.panel.resultView.dialog.grab(), folder / "slicer-report.png")
    ui.mapCombo.setCurrentIndex(ui.mapCombo.findText("Difference"))
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
    module, ui, parameters, choices, settle, folder, make_segmentation, tmp_path, monkeypatch
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
    parameters.trainingFormat, parameters.trainingOutput = choices.TrainingFormat.NNUNET, "~/Dataset101_Heads"
    ui.trainingApplyButton.click()
    training = module.widget.panel.training
    settle(lambda: not training.isRunning, seconds=120)
    assert "6 copies" in ui.trainingStatusLabel.text, ui.trainingStatusLabel.text
    save(panel_picture(module, settle, height=720), folder / "slicer-training.png")


def three_stacks():
    """Volumes to choose from."""
    for axis, name in enumerate(("T2 axial", "T2 coronal", "T2 sagittal")):
        node = slicer.util.addVolumeFromArray(np.full([8 if axis == a else 24 for a in range(3)], 9.0), name=name)
        node.SetSpacing(*[4.0 if 2 - axis == a else 1.0 for a in range(3)])
        yield node


def test_picture_of_segments_and_stacks(module, ui, parameters, settle, folder, make_segmentation):
    from MedSRLib import Provenance

    for widget in (ui.inputWidget, ui.targetWidget, ui.applyButton, ui.resultSection):
        widget.setVisible(False)  # the picture is of the sections alone
    source, masks = head_with_structures("T1", (32, 72, 64), 1)
    result, _ = head_with_structures("T1 SR", (32, 72, 64), 1)
    widths, _ = head_with_structures("T1 SR error", (32, 72, 64), 1)
    slicer.util.updateVolumeFromArray(widths, np.full((32, 72, 64), 40, np.float32))
    Provenance.markResult(result, source, {"modality": "MR", "model": "tikhonov"})
    Provenance.markMap(widths, "error")
    result.SetNodeReferenceID(Provenance.roleOf("error"), widths.GetID())
    parameters.inputVolume = source
    settle()
    parameters.measureSegmentation = make_segmentation(result, "Structures", masks)
    ui.measureButton.click()
    parameters.inputVolume, parameters.fuseWith, parameters.fuseAlso = three_stacks()
    settle()
    ui.measureSection.collapsed = ui.fuseSection.collapsed = False
    assert ui.fuseButton.enabled, ui.fuseButton.toolTip
    save(panel_picture(module, settle, height=440), folder / "slicer-segments.png")
