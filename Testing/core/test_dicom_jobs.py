"""A job that writes DICOM: from the command to the folder, with nothing of the patient anywhere else."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest

import medsr
from medsr.cli.main import main
from medsr.errors import InvalidValueError, OutputError, UnknownNameError
from medsr.files import upscale_file
from medsr.io import Staging
from medsr.io.dicom.writing import source_for, stage_dicom
from medsr.jobs import JobSpec, Progress
from medsr.options import UpscaleOptions
from medsr.worker import read_job, run_job

QUICK = UpscaleOptions(model="linear", scale=(1, 1, 2))


def textured(dataset, i):
    dataset.StudyInstanceUID = "1.2.3.4"
    dataset.SoftwareVersions = "V 1"
    dataset.InstitutionName = "Secret Hospital"
    size = (int(dataset.Rows), int(dataset.Columns))
    dataset.PixelData = np.random.default_rng(i).integers(0, 2000, size).astype(np.uint16).tobytes()


@pytest.fixture
def series(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 8, size_xy=(16, 12), edit=textured)
    return tmp_path / "s"


def job(series, output, **changes):
    return JobSpec(str(series), str(output), QUICK, format="dicom", **changes)


def test_a_job_writes_a_series_its_report_and_its_map(series, tmp_path):
    report, change = str(tmp_path / "r.json"), str(tmp_path / "d.nrrd")
    done = upscale_file(job(series, tmp_path / "out", report=report, maps={"difference": change}), Progress())
    assert done.output == str(tmp_path / "out")
    again = medsr.read_volume(tmp_path / "out")
    assert again.geometry.size_xyz == (16, 12, 16)
    assert again.geometry.is_same_as(medsr.read_volume(change).geometry, 1e-4)
    image = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert str(image.PatientName) == "Secret^Person"
    assert f"MedSR {medsr.__version__}; model linear" in image.DerivationDescription
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_of_the_patient_gets_anywhere_but_into_dicom(series, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    events = []
    spec = job(series, tmp_path / "out", report=str(tmp_path / "r.json"))
    assert run_job(read_job(spec.to_json()), events.append) == 0
    told = (tmp_path / "r.json").read_text() + "".join(event.to_json() for event in events) + caplog.text
    told += "".join(capfd.readouterr()) + spec.to_json()
    for secret in ("Secret", "4711", "19991231"):
        assert secret in str(pydicom.dcmread(tmp_path / "out" / "0001.dcm"))
        assert secret not in told


def test_the_command_writes_a_series(series, tmp_path, capsys):
    arguments = ["upscale", str(series), str(tmp_path / "out"), "--format", "dicom", "--model", "linear"]
    assert main(arguments) == 0
    assert f"Written   {tmp_path / 'out'}" in capsys.readouterr().out
    assert main(arguments) == OutputError.exit_code
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_without_the_option_a_folder_is_refused_with_its_name(series, tmp_path, capsys):
    assert main(["upscale", str(series), str(tmp_path / "out")]) == InvalidValueError.exit_code
    assert "--format dicom" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["dicm", "nifti", ""])
def test_another_format_is_refused(series, tmp_path, other):
    with pytest.raises(UnknownNameError, match="dicom"):
        upscale_file(JobSpec(str(series), str(tmp_path / "out"), QUICK, format=other), Progress())


def test_what_is_no_dicom_is_refused_before_the_work(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 900, (6, 9, 8)).astype(np.int16)
    medsr.write_volume(medsr.Volume.from_array(array), tmp_path / "v.nii.gz")
    monkeypatch.setattr("medsr.files.super_resolve", lambda *a, **k: pytest.fail("the work began"))
    with pytest.raises(InvalidValueError, match="patient"):
        upscale_file(job(tmp_path / "v.nii.gz", tmp_path / "out"), Progress())
    assert not (tmp_path / "out").exists()


def test_the_series_itself_and_what_lies_in_its_folder_are_refused(series, tmp_path):
    before = {path: path.read_bytes() for path in series.iterdir()}
    first = next(iter(before))
    for source, output in ((series, series), (first, series), (series, tmp_path)):
        with pytest.raises((InvalidValueError, OutputError)):
            upscale_file(job(source, output, overwrite=True), Progress())
    assert {path: path.read_bytes() for path in series.iterdir()} == before


def test_a_derived_series_is_not_replaced_by_what_is_made_of_it(series, tmp_path):
    upscale_file(job(series, tmp_path / "out"), Progress())
    before = sorted((tmp_path / "out").iterdir())
    for source in (tmp_path / "out", before[0]):
        with pytest.raises(InvalidValueError, match=r"input itself|is read for it"):
            upscale_file(job(source, tmp_path / "out", overwrite=True), Progress())
    assert sorted((tmp_path / "out").iterdir()) == before


def test_a_report_in_the_folder_of_the_series_is_refused_and_one_beside_it_is_written(series, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InvalidValueError, match="nothing else"):
        upscale_file(job(series, tmp_path / "out", report=str(tmp_path / "out" / "r.json")), Progress())
    upscale_file(job(series, tmp_path / "out", report=str(tmp_path / "r.json")), Progress())
    assert json.loads((tmp_path / "r.json").read_text())["output_file"] == str(tmp_path / "out")


def test_a_failure_at_the_end_leaves_the_old_series(series, tmp_path, monkeypatch):
    upscale_file(job(series, tmp_path / "out"), Progress())
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("medsr.files.stage_report", stopped)
    with pytest.raises(KeyboardInterrupt):
        upscale_file(job(series, tmp_path / "out", overwrite=True, report=str(tmp_path / "r.json")), Progress())
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_folder_that_cannot_be_put_in_place_gives_the_other_one_back(series, tmp_path, monkeypatch):
    volume = medsr.read_volume(series)
    medsr.write_dicom(volume, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    replace = Path.replace
    moved = []

    def failing(self, target):
        moved.append(Path(target).name)
        if moved[-1] == "new":
            raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OutputError, match="as it was before"), Staging(overwrite=True) as staging:
        for name in ("out", "new"):
            stage_dicom(volume, tmp_path / name, staging, source_for(volume, anonymize=False))
    assert "out" in moved
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s"]


def test_the_job_survives_json(series, tmp_path):
    spec = job(series, tmp_path / "out")
    assert JobSpec.from_json(spec.to_json()) == spec
    assert JobSpec.from_json('{"input": "a", "output": "b"}').format is None
