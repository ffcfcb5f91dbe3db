"""The job that writes voxels of another program as a series derived from the DICOM files that it names."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest

import medsr
from medsr.errors import InputError, InvalidValueError, OutputError, UnknownNameError
from medsr.jobs import Progress
from medsr.series import SeriesSpec, write_series
from medsr.worker import read_job, run_job

MADE_BY = "MedSR 9; perceptual, may invent detail; model sharp 2"


def studied(dataset, i):
    dataset.StudyInstanceUID = "1.2.3.4"


@pytest.fixture
def files(tmp_path, io_dicom):
    return tuple(map(str, io_dicom(tmp_path / "source", 4, edit=studied)))


@pytest.fixture
def sharp(tmp_path, files):
    """Twice as many slices, as another program has them: in a file that knows nothing of the patient."""
    volume = medsr.read_volume(tmp_path / "source")
    grid = volume.geometry
    x, y, z = grid.size_xyz
    finer = grid.with_grid((*grid.spacing_xyz_mm[:2], grid.spacing_xyz_mm[2] / 2), (x, y, 2 * z))
    array = np.repeat(volume.array, 2, axis=0)
    return medsr.write_volume(medsr.Volume(array, finer), tmp_path / "sharp.nrrd")


def test_voxels_grid_patient_and_maker_are_in_the_series(tmp_path, files, sharp):
    done = write_series(SeriesSpec(str(sharp), str(tmp_path / "out"), files, MADE_BY), Progress())
    assert done.output == str(tmp_path / "out")
    again, given = medsr.read_volume(tmp_path / "out"), medsr.read_volume(sharp)
    assert np.array_equal(again.array, given.array)
    assert again.geometry.is_same_as(given.geometry, 1e-4)
    image = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert (str(image.PatientName), image.StudyInstanceUID) == ("Secret^Person", "1.2.3.4")
    assert MADE_BY in image.DerivationDescription
    assert len(list((tmp_path / "out").iterdir())) == 8


def test_a_job_travels_as_a_line():
    spec = SeriesSpec("a.nrrd", "out", ("1.dcm", "2.dcm"), "MedSR 1", overwrite=True)
    assert read_job(spec.to_json()) == spec
    with pytest.raises(InputError, match="'files' is missing"):
        read_job('{"job": "series", "input": "a.nrrd", "output": "out"}')
    with pytest.raises(UnknownNameError, match="made_by"):
        read_job('{"job": "series", "input": "a.nrrd", "output": "out", "files": [], "madeby": "x"}')
    with pytest.raises(InvalidValueError, match="files must be a list"):
        read_job('{"job": "series", "input": "a.nrrd", "output": "out", "files": "1.dcm"}')
    with pytest.raises(InputError, match="not 'series'"):
        SeriesSpec.from_json('{"job": "augment"}')


def test_what_cannot_be_written_leaves_nothing(tmp_path, files, sharp):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_series(SeriesSpec(str(sharp), str(taken), files), Progress())
    with pytest.raises(InvalidValueError, match="derived from a DICOM series"):
        write_series(SeriesSpec(str(sharp), str(tmp_path / "out"), ()), Progress())
    asked = iter([False, False, False, True])  # before, at both stages, and when all is written but not in place
    events = []
    code = run_job(SeriesSpec(str(sharp), str(tmp_path / "out"), files), events.append, lambda: next(asked))
    assert (code, events[-1].error) == (130, "CancelledError")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sharp.nrrd", "source", "taken"]
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]
    assert json.loads(events[0].to_json())["name"] == "Reading"
