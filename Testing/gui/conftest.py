"""The module's panel with real Qt widgets, offscreen, and a real worker process."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "MedSRExtension" / "MedSR" / "MedSR.py"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
WHY_NOT = ""
try:
    import slicer

    if not hasattr(slicer, "vtkMRMLScene"):
        WHY_NOT = "slicer is there without MRML"
except ImportError:
    WHY_NOT = "slicer-core is not installed: pip install 'medsr[slicer-test]'"
try:
    import PySide6.QtUiTools  # noqa: F401
except ImportError as error:
    WHY_NOT = WHY_NOT or f"PySide6 cannot be used ({error}): pip install 'medsr[slicer-test]', and libegl1 on Linux"
if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))
import slicer_python  # noqa: E402  it lies beside this file

if WHY_NOT:
    collect_ignore_glob = ["test_*.py"]


def _told():
    """What the person who runs the tests should know of how much they prove."""
    if WHY_NOT:
        return WHY_NOT
    if slicer_python.folder() is None:
        return (
            "not against Slicer's own Python but against stand-ins, since it was not downloaded: "
            f"python Testing/gui/slicer_python.py {slicer_python.VERSION}"
        )
    return ""


def pytest_terminal_summary(terminalreporter):
    if _told():
        terminalreporter.write_line(f"SKIPPED Testing/gui: {_told()}")


def pytest_sessionfinish(session):
    if _told() and hasattr(session.config, "workeroutput"):  # the terminal is another process's
        session.config.workeroutput.setdefault("medsr_left_out", {})["Testing/gui"] = _told()


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MEDSR_PYTHON", raising=False)


@pytest.fixture
def module():
    """The module, opened in an empty scene."""
    from qthost.host import LoadedModule

    loaded = LoadedModule(MODULE)
    yield loaded
    loaded.close()


@pytest.fixture
def ui(module):
    return module.widget.ui


@pytest.fixture
def parameters(module):
    return module.widget._parameterNode


@pytest.fixture
def choices(module):
    """What the combo boxes offer."""
    from MedSRLib import Choices

    return Choices


@pytest.fixture
def settle(module):
    """Let timers and events run until a condition holds; without one, until the preview is up to date."""

    def run(condition=None, seconds=300.0):
        end = time.monotonic() + seconds
        for _ in range(0 if condition else 10):
            module.app.processEvents()
        while not (condition() if condition else not module.widget.panel._previewTimer.active):
            assert time.monotonic() < end, "it did not happen in time"
            module.app.processEvents()
            time.sleep(0.005)

    return run


@pytest.fixture
def make_volume(module):
    """Make an anisotropic head-like int16 volume."""
    import slicer.util

    def make(name="Head", shape_zyx=(10, 20, 24), spacing=(0.9, 0.9, 3.0), dtype=np.int16):
        z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_zyx], indexing="ij")
        array = 400 * np.exp(-2 * (x**2 + y**2 + z**2)) + 90 * (np.sin(9 * x) * np.cos(8 * y) > 0)
        array += np.random.default_rng(3).normal(0, 3, shape_zyx)
        node = slicer.util.addVolumeFromArray(np.clip(array, 0, 600).astype(dtype), name=name)
        node.SetSpacing(*spacing)
        return node

    return make


@pytest.fixture
def a_volume(make_volume):
    return make_volume()


@pytest.fixture
def make_dicom_volume(make_volume, monkeypatch):
    """Make a volume whose instance is in the DICOM database with these elements, texts by keyword."""
    import types

    import slicer

    from medsr.io import database_tags

    texts = {}
    database = types.SimpleNamespace(
        fileForInstance=lambda uid: "", instanceValue=lambda uid, tag: texts.get((uid, tag), "")
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)

    def make(name="Series", *arguments, **elements):
        node = make_volume(name, *arguments)
        node.SetAttribute("DICOM.instanceUIDs", name)
        texts.update({(name, database_tags()[keyword]): text for keyword, text in elements.items()})
        return node

    return make


@pytest.fixture
def plans(module, monkeypatch):
    """Counts the plans that this process makes."""
    from medsr.inference import planner

    made, make_plan = [], planner.make_plan

    def counted(*arguments, **options):
        made.append(make_plan(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(planner, "make_plan", counted)
    return made


@pytest.fixture
def make_segmentation(module):
    """Make a segmentation that was drawn on a volume: of masks ``(z, y, x)`` by segment name, else of one box."""
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    def make(volume, name="Structures", masks=None):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        columns, rows, slices = volume.GetImageData().GetDimensions()
        box = np.zeros((slices, rows, columns), bool)
        box[slices // 4 : -slices // 4, rows // 4 : -rows // 4, columns // 4 : columns // 2] = True
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        for segment, mask in (masks or {"Tumour": box}).items():
            image = slicer.vtkOrientedImageData()
            image.SetDimensions(columns, rows, slices)
            image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(mask, np.uint8).ravel(), deep=1))
            image.SetImageToWorldMatrix(matrix)
            node.AddSegmentFromBinaryLabelmapRepresentation(image, segment)
        return node

    return make


@pytest.fixture
def make_series_volume(make_volume, monkeypatch, tmp_path):
    """Make a volume that was loaded from a DICOM series: its files, as Slicer's database knows them."""
    import types

    import pydicom
    import slicer
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    files = {}
    database = types.SimpleNamespace(fileForInstance=lambda uid: files.get(uid, ""), instanceValue=lambda uid, tag: "")
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)

    def make(name="Series", modality="MR"):
        node = make_volume(name)
        folder = tmp_path / f"dicom {name}"
        folder.mkdir()
        columns, rows, count = node.GetImageData().GetDimensions()
        series, study = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
        uids = []
        for number in range(count):
            dataset = Dataset()
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.Modality = series, study, modality
            dataset.PatientName, dataset.PatientID, dataset.Manufacturer = "Some^One", "4711", "ACME"
            dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
            dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 1
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
            dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.9], 3
            # The volume leads along R, A and S from the origin; DICOM counts towards L and P.
            dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
            dataset.ImagePositionPatient = [0, 0, 3 * number]
            dataset.PixelData = bytes(2 * rows * columns)
            path = folder / f"{number:03d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            uids.append(str(dataset.SOPInstanceUID))
            files[uids[-1]] = str(path)
        node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
        return node

    return make
