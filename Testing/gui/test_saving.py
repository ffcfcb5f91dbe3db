"""The button "Save as DICOM series", with a real worker process behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
import slicer
import slicer.util


@pytest.fixture(autouse=True)
def physics_only(module):
    module.widget._parameterNode.model = "tikhonov"


@pytest.fixture
def sharpened(module, ui, parameters, settle):
    def run(node):
        parameters.inputVolume = node
        settle()
        ui.applyButton.click()
        settle(lambda: not module.widget.panel.isRunning)
        assert "Done" in ui.statusLabel.toolTip, ui.statusLabel.toolTip
        return module.widget.panel.job.output

    return run


@pytest.fixture
def choose(monkeypatch):
    """Answer the question for a folder."""
    import qt

    def answer(folder):
        monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *arguments: str(folder)))

    return answer


def contents(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_result_of_a_dicom_series_is_saved_as_one(
    module, ui, make_series_volume, sharpened, choose, settle, tmp_path
):
    import numpy as np
    import pydicom

    import medsr
    from MedSRLib.SceneIO import geometryOf

    assert not ui.saveDicomButton.enabled
    result = sharpened(make_series_volume("T2"))
    assert ui.saveDicomButton.enabled
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    choose(folder)
    save = module.widget.panel.resultView.save
    ui.saveDicomButton.click()
    assert ui.saveDicomButton.text == "Cancel"
    assert contents(folder) == ["notes.txt"]  # nothing half-written
    settle(lambda: not save.isRunning)
    assert ui.saveDicomButton.text == "Save as DICOM series..."
    assert ui.saveStatusLabel.toolTip == f"Saved: T2 SR in {folder}"
    assert contents(folder) == ["T2 SR", "notes.txt"]
    again = medsr.read_volume(folder / "T2 SR")
    assert np.array_equal(again.array, slicer.util.arrayFromVolume(result))
    assert again.geometry.is_same_as(geometryOf(result), 1e-4)
    image = pydicom.dcmread(next((folder / "T2 SR").iterdir()))
    assert (str(image.PatientName), image.PatientID) == ("Some^One", "4711")
    assert "model tikhonov" in image.DerivationDescription
    # A second one does not touch the first.
    ui.saveDicomButton.click()
    settle(lambda: not save.isRunning)
    assert contents(folder) == ["T2 SR", "T2 SR 2", "notes.txt"]


def test_the_button_says_why_it_is_grey(module, ui, make_volume, make_series_volume, sharpened, settle):
    sharpened(make_volume("Plain"))
    assert not ui.saveDicomButton.enabled
    assert "Plain was not loaded from DICOM" in ui.saveDicomButton.toolTip
    source = make_series_volume("T2")
    sharpened(source)
    assert ui.saveDicomButton.enabled
    gone = Path(slicer.dicomDatabase.fileForInstance(source.GetAttribute("DICOM.instanceUIDs").split()[0]))
    gone.unlink()
    source.Modified()
    settle()
    module.widget.panel.resultView.update()
    assert not ui.saveDicomButton.enabled
    assert "1 of 10 DICOM files of T2 are gone" in ui.saveDicomButton.toolTip


def test_a_volume_that_was_loaded_from_dicom_files_needs_no_database(module, ui, make_series_volume, sharpened):
    source = make_series_volume("T2")
    files = [slicer.dicomDatabase.fileForInstance(uid) for uid in source.GetAttribute("DICOM.instanceUIDs").split()]
    source.RemoveAttribute("DICOM.instanceUIDs")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(files[0])
    for name in files:
        storage.AddFileName(name)
    source.SetAndObserveStorageNodeID(storage.GetID())
    result = sharpened(source)
    assert ui.saveDicomButton.enabled
    from MedSRLib.SeriesSaver import sourceFiles

    assert [str(path) for path in sourceFiles(result)] == files


def test_cancelling_and_failing_leave_nothing(module, ui, make_series_volume, sharpened, choose, settle, tmp_path):
    source = make_series_volume("T2")
    sharpened(source)
    folder = tmp_path / "archive"
    folder.mkdir()
    choose(folder)
    save = module.widget.panel.resultView.save
    ui.saveDicomButton.click()
    ui.saveDicomButton.click()
    settle(lambda: not save.isRunning)
    assert save.job.state == "cancelled"
    assert "nothing was written" in ui.saveStatusLabel.toolTip
    assert contents(folder) == []
    # A file that is damaged since the panel looked.
    file = Path(slicer.dicomDatabase.fileForInstance(source.GetAttribute("DICOM.instanceUIDs").split()[3]))
    file.write_bytes(file.read_bytes()[:140])
    ui.saveDicomButton.click()
    settle(lambda: not save.isRunning)
    assert save.job.state == "failed"
    assert file.name in ui.saveStatusLabel.toolTip
    assert contents(folder) == []
    choose("")  # the person thought better of it
    ui.saveDicomButton.click()
    assert save.job.state == "failed"


def test_the_console_saves_too(module, make_series_volume, make_volume, tmp_path):
    from MedSRLib.Errors import SceneError

    logic = module.widget.logic
    result = logic.superResolve(make_series_volume("T2"), scale=2, model="linear")
    assert logic.saveAsDicom(result, tmp_path / "new") == str(tmp_path / "new")
    assert len(contents(tmp_path / "new")) == 20
    with pytest.raises(SceneError, match="left the scene"):
        logic.saveAsDicom(make_volume("Plain"), tmp_path / "other")
    with pytest.raises(SceneError, match="volume node"):
        logic.saveAsDicom("T2 SR", tmp_path / "other")
    assert not (tmp_path / "other").exists()
