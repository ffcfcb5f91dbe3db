"""A real MRML scene (slicer-core) and a real worker process; no Qt."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "MedSRExtension" / "MedSR"

try:
    import slicer
    import slicer.util

    WHY_NOT = "" if hasattr(slicer, "vtkMRMLScene") else "slicer is there without MRML"
except ImportError:
    WHY_NOT = "slicer-core is not installed: pip install 'medsr[slicer-test]'"
    collect_ignore_glob = ["test_*.py"]


def pytest_terminal_summary(terminalreporter):
    if WHY_NOT:
        terminalreporter.write_line(f"SKIPPED Testing/mrml: {WHY_NOT}")


def pytest_sessionfinish(session):
    if WHY_NOT and hasattr(session.config, "workeroutput"):  # the terminal is another process's
        session.config.workeroutput.setdefault("medsr_left_out", {})["Testing/mrml"] = WHY_NOT


if str(MODULE) not in sys.path:
    sys.path.insert(0, str(MODULE))


class ManualPump:
    """A timer that the test turns by hand."""

    def __init__(self):
        self.callback, self.intervalMs = None, None

    def start(self, callback, intervalMs):
        self.callback, self.intervalMs = callback, intervalMs

    def stop(self):
        self.callback = None

    @property
    def isRunning(self):
        return self.callback is not None


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MEDSR_PYTHON", raising=False)


@pytest.fixture
def scene(monkeypatch):
    """An empty scene with the logic that display nodes need."""
    mrml = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", mrml, raising=False)
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(mrml)
    colors = slicer.vtkMRMLColorLogic()
    colors.SetMRMLScene(mrml)
    colors.AddDefaultColorNodes()
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()  # it knows how surfaces become voxels
    segmentations.SetMRMLScene(mrml)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(mrml)  # as Slicer, which always has one
    yield mrml
    mrml.Clear(1)


@pytest.fixture
def pump():
    return ManualPump()


class WarmWorkers:
    """Worker processes that tests left idle, for the next test that would start the same: a start takes a second."""

    def __init__(self, start):
        self._start, self._idle = start, []

    def start(self, interpreter):
        environment = {k: v for k, v in interpreter.environment().items() if k != "PYTEST_CURRENT_TEST"}
        for worker in self._idle:
            if worker.startedBy == (interpreter, environment) and worker.exitCode is None:
                self._idle.remove(worker)
                return worker
        worker = self._start(interpreter)
        worker.startedBy = (interpreter, environment)
        return worker

    def keep(self, runner):
        """Take over the worker of a runner whose test is over, if it waits for jobs."""
        worker = runner._worker
        if worker is not None and worker.exitCode is None and not runner.isBusy and hasattr(worker, "startedBy"):
            self._idle.append(worker)
            runner._worker = None

    def close(self):
        while self._idle:
            self._idle.pop().close(seconds=0.2)


@pytest.fixture(scope="session")
def warm_workers():
    from MedSRLib.Environment import Interpreter

    made, real = WarmWorkers(Interpreter.startWorker), Interpreter.startWorker
    Interpreter.startWorker = lambda interpreter: made.start(interpreter)
    yield made
    Interpreter.startWorker = real
    made.close()


@pytest.fixture
def cold(warm_workers):
    """The next worker is a fresh one."""
    warm_workers.close()


@pytest.fixture
def resolver(scene, pump, warm_workers):
    from MedSRLib.SuperResolver import SuperResolver

    made = SuperResolver(pump)
    yield made
    warm_workers.keep(made.runner)
    made.shutdown()


@pytest.fixture
def a_volume(scene):
    """An oblique, anisotropic int16 volume of 24 x 20 x 10 voxels with structure in it."""
    return make_volume()


def make_volume(name="Head", shape_zyx=(10, 20, 24), spacing=(0.9, 1.1, 3.0), dtype=np.int16, affine=None):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape_zyx], indexing="ij")
    rng = np.random.default_rng(7)
    array = 400 * np.exp(-2 * (x**2 + y**2 + z**2)) + 100 * (np.sin(6 * x) * np.cos(5 * y) > 0)
    array += rng.normal(0, 3, shape_zyx)
    node = slicer.util.addVolumeFromArray(array.astype(dtype), name=name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(oblique(spacing) if affine is None else affine))
    return node


class FakeDatabase:
    """Slicer's DICOM database: the file of an instance, and the texts that it keeps beside."""

    def __init__(self):
        self.files, self.texts = {}, {}

    def fileForInstance(self, uid):
        return self.files.get(uid, "")

    def instanceValue(self, uid, tag):
        return self.texts.get((uid, tag), "")


@pytest.fixture
def database(monkeypatch):
    """The database that a scene's volumes were loaded from."""
    made = FakeDatabase()
    monkeypatch.setattr(slicer, "dicomDatabase", made, raising=False)
    return made


def write_slice(path, node, modality="MR", **elements):
    """The first slice of a node as a DICOM file, with some elements of its header set."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    columns, rows, _ = node.GetImageData().GetDimensions()
    affine = np.diag([-1.0, -1, 1, 1]) @ affine_of(node)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID, dataset.Modality, dataset.Manufacturer = pydicom.uid.generate_uid(), modality, "ACME"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
    dataset.ImagePositionPatient = [f"{v:.10g}" for v in affine[:3, 3]]
    dataset.ImageOrientationPatient = [f"{v:.10g}" for v in (affine[:3, :2] / spacing[:2]).T.ravel()]
    dataset.PixelData = bytes(2 * rows * columns)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


def make_segmentation(volume, name="Segmentation", affine=None, **masks):
    """A segmentation of bool arrays ``(z, y, x)`` by segment name, on the grid of a volume or on another one."""
    from vtk.util.numpy_support import numpy_to_vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for segment, mask in masks.items():
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*mask.shape[::-1])
        image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(mask, np.uint8).ravel(), deep=1))
        matrix = affine_of(volume) if affine is None else affine
        image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
        node.AddSegmentFromBinaryLabelmapRepresentation(image, segment)
    return node


def box(shape_zyx, start, stop):
    """True from corner `start` to before corner `stop`, both (z, y, x)."""
    mask = np.zeros(shape_zyx, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def oblique(spacing=(0.9, 1.1, 3.0), origin=(12.5, -40.25, 77.0)):
    """An affine turned about all three axes."""
    rotation = np.eye(3)
    for axis, angle in enumerate((0.31, -0.22, 0.47)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        rotation = rotation @ turn
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def affine_of(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def descendants_of(pid):
    """Process ids of a process and everything below it."""
    import psutil

    try:
        process = psutil.Process(pid)
        return [pid, *[child.pid for child in process.children(recursive=True)]]
    except psutil.NoSuchProcess:
        return []


def is_alive(pid):
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def poll_until(resolver, condition, seconds=300):
    """Turn the pump until `condition()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the job did not get there in time"
        resolver.runner.poll()
        time.sleep(0.01)


def node_names(scene):
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return sorted(f"{node.GetClassName()}:{node.GetID()}" for node in nodes)


@pytest.fixture
def helpers():
    """The helper functions, for tests that must not import this file by name."""
    import types

    return types.SimpleNamespace(
        make_volume=make_volume, make_segmentation=make_segmentation, write_slice=write_slice, box=box,
        oblique=oblique, affine_of=affine_of,
        descendants_of=descendants_of,
        is_alive=is_alive, poll_until=poll_until, node_names=node_names, ManualPump=ManualPump, environ=os.environ,
    )  # fmt: skip
