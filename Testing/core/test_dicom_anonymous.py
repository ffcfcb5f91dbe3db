"""A derived series without its patient: what the Basic Profile takes away, and that the series is still one."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from medsr.cli.main import main
from medsr.errors import InvalidValueError, MissingDependencyError
from medsr.files import upscale_file
from medsr.io import read_volume, write_dicom
from medsr.jobs import JobSpec, Progress

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("dicomanonymizer") is None,
    reason="NOT CHECKED: the package dicom-anonymizer is not installed",
)
SECRETS = {
    "PatientName": "Geheim^Gerda",
    "PatientID": "PID-4711",
    "PatientBirthDate": "19611213",
    "PatientAge": "064Y",
    "PatientWeight": "91.75",
    "IssuerOfPatientID": "ISSUER-12",
    "StudyInstanceUID": "1.2.840.99999.1",
    "FrameOfReferenceUID": "1.2.840.99999.2",
    "StudyDate": "20240229",
    "StudyTime": "112233",
    "AcquisitionDate": "20240228",
    "AccessionNumber": "ACC-0815",
    "StudyID": "STUDY-17",
    "StudyDescription": "Shoulder of Gerda",
    "ReferringPhysicianName": "Arzt^Anton",
    "ProtocolName": "Protocol of Anton",
    "InstitutionName": "Hospital Nowhere",
    "StationName": "STATION-5",
    "DeviceSerialNumber": "SERIAL-99",
    "ClinicalTrialSponsorName": "Sponsor of Anton",
    "ClinicalTrialProtocolID": "TRIAL-8",
    "ClinicalTrialSubjectID": "SUBJECT-3",
}


def named(dataset, i=0):
    for keyword, value in SECRETS.items():
        setattr(dataset, keyword, value)
    dataset.PatientSex = "F"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.840.99999.3.{i}"
    dataset.SeriesInstanceUID = "1.2.840.99999.4"
    dataset.EchoTime = 20
    dataset.IrradiationEventUID = "1.2.840.99999.5"
    earlier = Dataset()
    earlier.Manufacturer, earlier.InstitutionName = "ACME", "Hospital Nowhere"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "109102", "DCM", "Processing Equipment"
    earlier.PurposeOfReferenceCodeSequence = [purpose]
    dataset.ContributingEquipmentSequence = [earlier]


def all_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


def is_told(secret, data):
    return secret.encode() in data


@pytest.fixture(params=["MR", "CT", "enhanced"])
def source(request, tmp_path, io_dicom, io_enhanced):
    if request.param == "enhanced":

        def edit(dataset):
            named(dataset)
            group = dataset.PerFrameFunctionalGroupsSequence[0]
            group.FrameContentSequence = [Dataset()]
            group.FrameContentSequence[0].FrameAcquisitionDateTime = "20240228111111"

        return io_enhanced(tmp_path / "e.dcm", edit=edit)
    io_dicom(tmp_path / "s", modality=request.param, description="Gerda left", edit=named)
    return tmp_path / "s"


@needs_library
def test_nothing_of_the_patient_is_left_with_the_option_and_all_is_without(source, tmp_path):
    volume = read_volume(source)
    write_dicom(volume, tmp_path / "named")
    write_dicom(volume, tmp_path / "nameless", anonymize=True)
    carried, left = all_bytes(tmp_path / "named"), all_bytes(tmp_path / "nameless")
    for secret in ("PID-4711", "Geheim", "1.2.840.99999.1", "20240229", "Hospital Nowhere"):
        assert is_told(secret, carried), secret
    for secret in (*SECRETS.values(), "1.2.840.99999", "Gerda", "20240228"):
        assert not is_told(secret, left), secret
    again = read_volume(tmp_path / "nameless")
    assert np.array_equal(again.array, volume.array)
    assert again.geometry.is_same_as(volume.geometry, 1e-6)


@needs_library
def test_the_series_says_that_it_is_anonymous_and_what_it_is(source, tmp_path):
    write_dicom(read_volume(source), tmp_path / "out", anonymize=True)
    images = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    for image in images:
        assert image.PatientIdentityRemoved == "YES"
        assert image.LongitudinalTemporalInformationModified == "REMOVED"
        assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert "dicom-anonymizer" in image.DeidentificationMethod
        assert image.SeriesDescription == "[MedSR, not for diagnostic use]"
        assert image.Manufacturer == "MedSR"
        assert "PatientName" in image and "StudyDate" in image
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({image[keyword].value for image in images}) == 1


@needs_library
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="NOT CHECKED against the standard: dciodvfy is missing")
def test_dciodvfy_finds_no_error(source, tmp_path):
    write_dicom(read_volume(source), tmp_path / "out", anonymize=True)
    done = subprocess.run(["dciodvfy", str(tmp_path / "out" / "0001.dcm")], capture_output=True, text=True)
    assert not [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


@needs_library
def test_one_study_stays_one_study(tmp_path, io_dicom):
    """Two series of one study, enlarged one after the other by one process."""
    uids = []
    for name in ("a", "b"):
        io_dicom(tmp_path / name, edit=named)
        write_dicom(read_volume(tmp_path / name), tmp_path / f"{name}_sr", anonymize=True)
        uids.append(pydicom.dcmread(tmp_path / f"{name}_sr" / "0001.dcm").StudyInstanceUID)
    assert uids[0] == uids[1]


@needs_library
@pytest.mark.parametrize("burned", ["YES", "NO"])
def test_pictures_with_names_in_them_are_refused(tmp_path, io_dicom, burned):
    io_dicom(tmp_path / "s", edit=lambda d, i: setattr(d, "BurnedInAnnotation", burned))
    volume = read_volume(tmp_path / "s")
    if burned == "NO":
        write_dicom(volume, tmp_path / "out", anonymize=True)
        return
    with pytest.raises(InvalidValueError, match="Burned In Annotation"):
        write_dicom(volume, tmp_path / "out", anonymize=True)
    assert not (tmp_path / "out").exists()


@needs_library
def test_the_command_anonymizes(tmp_path, io_dicom):
    def edit(dataset, i):
        named(dataset, i)
        size = (int(dataset.Rows), int(dataset.Columns))
        dataset.PixelData = np.random.default_rng(i).integers(0, 2000, size).astype(np.uint16).tobytes()

    io_dicom(tmp_path / "s", 8, size_xy=(16, 12), edit=edit)
    out = tmp_path / "out"
    assert (
        main(["upscale", str(tmp_path / "s"), str(out), "--format", "dicom", "--anonymize", "--model", "linear"]) == 0
    )
    assert not is_told("PID-4711", all_bytes(out))


def test_the_option_alone_is_refused(tmp_path, io_dicom):
    io_dicom(tmp_path / "s")
    with pytest.raises(InvalidValueError, match="--format dicom"):
        upscale_file(JobSpec(str(tmp_path / "s"), str(tmp_path / "out.nrrd"), anonymize=True), Progress())


def test_without_the_package_it_says_what_to_install(tmp_path, io_dicom, monkeypatch):
    io_dicom(tmp_path / "s")
    monkeypatch.setitem(sys.modules, "dicomanonymizer", None)
    with pytest.raises(MissingDependencyError, match="pip install dicom-anonymizer"):
        write_dicom(read_volume(tmp_path / "s"), tmp_path / "out", anonymize=True)
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_anonymous_already_gives_its_mark_along(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "by another program"

    io_dicom(tmp_path / "s", edit=edit)
    write_dicom(read_volume(tmp_path / "s"), tmp_path / "out")
    image = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert (image.PatientIdentityRemoved, image.DeidentificationMethod) == ("YES", "by another program")
