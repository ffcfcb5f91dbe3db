"""What a program knows of the stacks that it has the worker fuse: their names, their acquisition, whose they are."""

import json

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from medsr.errors import InputError, InvalidValueError
from medsr.facts import Fact, Facts
from medsr.fusion.files import fuse_files
from medsr.fusion.spec import FuseSpec
from medsr.geometry import Geometry
from medsr.io import write_volume
from medsr.jobs import Progress
from medsr.volume import Volume
from medsr.worker import read_job

SIZE = 24


@pytest.fixture
def stacks(tmp_path):
    """One object in three thick stacks, in files whose names say nothing."""
    z, y, x = np.indices((SIZE,) * 3) / SIZE - 0.5
    truth = 300.0 * (z**2 + y**2 + x**2 < 0.16) + 60 * np.sin(20 * x) * np.cos(18 * y) * np.sin(16 * z) + 100
    files = []
    for number in range(3):
        axis = number % 3
        array = np.moveaxis(np.moveaxis(truth, axis, 0).reshape(SIZE // 4, 4, SIZE, SIZE).mean(1), 0, axis)
        spacing, origin = [1.0] * 3, [0.0] * 3
        spacing[2 - axis], origin[2 - axis] = 4.0, 1.5
        files.append(str(tmp_path / f"{number}.nrrd"))
        grid = Geometry(array.shape[::-1], tuple(spacing), tuple(origin))
        write_volume(Volume(array.astype(np.float32), grid), files[-1])
    return tuple(files)


def a_header(path, name, frame):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.FrameOfReferenceUID = name, name, frame
    dataset.save_as(path, enforce_file_format=True)
    assert pydicom.dcmread(path).PatientID == name
    return str(path)


def job(stacks, tmp_path, **known):
    return FuseSpec(stacks, str(tmp_path / "fused.nrrd"), **known)


def test_stacks_are_called_by_their_names_and_seen_as_is_known(stacks, tmp_path):
    told = []
    known = Facts((Fact("modality", "MR", "Slicer"), Fact("thickness_mm", 3.0, "Slicer", "z")))
    spec = job(stacks, tmp_path, names=("Axial", "Coronal", "Sagittal"), facts=(known, Facts(), Facts()))
    assert read_job(spec.to_json()) == spec
    report = fuse_files(spec, Progress(lambda event: told.append(getattr(event, "name", "")))).report
    assert [stack["source"] for stack in report["stacks"]] == ["Axial", "Coronal", "Sagittal"]
    assert "Registering 'Coronal'" in told
    (z,) = (axis for axis in report["stacks"][0]["acquisition"] if axis["axis"] == "z")
    assert (z["source"], z["width_mm"]) == ("Slicer", 3.0)
    assert report["stacks"][1]["acquisition"][1]["source"] != "Slicer"


def test_headers_say_whose_the_voxels_are(stacks, tmp_path):
    frame, other = generate_uid(), generate_uid()
    one, same, far, foreign = (
        a_header(tmp_path / f"{number}.dcm", *said)
        for number, said in enumerate((("A", frame), ("A", frame), ("A", other), ("B", frame)))
    )
    names = ("Axial", "Coronal", "Sagittal")
    with pytest.raises(InputError, match="'Sagittal' is of another patient than 'Axial'"):
        fuse_files(job(stacks, tmp_path, names=names, headers=(one, same, foreign)), Progress())
    warnings = fuse_files(job(stacks, tmp_path, names=names, headers=(one, same, far)), Progress()).report["warnings"]
    assert [text for text in warnings if "frame of reference" in text] == [
        "'Sagittal' has another frame of reference than 'Axial': not of one sitting?"
    ]
    assert not any("do not say whose" in text for text in warnings)


def test_what_is_known_is_known_of_each(stacks, tmp_path):
    for name in ("names", "headers"):
        with pytest.raises(InvalidValueError, match=f"1 {name} were given for 3 inputs"):
            job(stacks, tmp_path, **{name: ("Axial",)})
    line = json.loads(job(stacks, tmp_path).to_json())
    with pytest.raises(InputError, match="facts must be a list"):
        read_job(json.dumps({**line, "facts": {"modality": "MR"}}))
