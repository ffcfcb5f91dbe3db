"""Derived DICOM series: what they hold, that programs read them back as they were, and what is refused."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import medsr
from medsr.catalog import PERCEPTUAL
from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.io import read_volume, write_dicom, write_volume
from medsr.io.dicom import elements, writing

CLASSIC = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
ENHANCED = {"MR": "1.2.840.10008.5.1.4.1.1.4.1", "CT": "1.2.840.10008.5.1.4.1.1.2.1"}
# What the standard requires with a value (type 1), and with or without (type 2), of every image of these classes.
TYPE_1 = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "ImageType", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelData",
]  # fmt: skip
TYPE_2 = [
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName",
    "StudyID", "AccessionNumber", "SeriesNumber", "Manufacturer", "PositionReferenceIndicator", "InstanceNumber",
    "PatientPosition",
]  # fmt: skip
OF_CLASSIC = ["PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness"]
OF_CLASS = {
    "MR": (
        ["ScanningSequence", "SequenceVariant"],
        ["ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength"],
    ),
    "CT": (["RescaleIntercept", "RescaleSlope"], ["KVP", "AcquisitionNumber"]),
}


def finer(volume, **changes):
    """`volume` with slices of half the distance, each new one the mean of its neighbours."""
    grid = volume.geometry
    x, y, z = grid.size_xyz
    spacing = (*grid.spacing_xyz_mm[:2], grid.spacing_xyz_mm[2] / 2)
    real = np.repeat(volume.array.astype(float), 2, axis=0)
    real[1:-1] = 0.75 * real[1:-1] + 0.25 * np.roll(real, 1, axis=0)[1:-1]
    array = real if volume.array.dtype.kind == "f" else np.rint(real)
    array = array.astype(volume.array.dtype)
    return volume.replace(**{"array": array, "geometry": grid.with_grid(spacing, (x, y, 2 * z)), **changes})


def written(volume, folder, **how):
    write_dicom(volume, folder, **how)
    return sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda d: int(d.InstanceNumber))


def acquired(modality="MR", **more):
    """An `edit` for the phantom series that adds what scanners state."""

    def edit(dataset, i):
        dataset.StudyInstanceUID = "1.2.3.4"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M" if modality == "MR" else "AXIAL"]
        dataset.PatientBirthDate, dataset.PatientSex = "19700102", "F"
        dataset.AccessionNumber, dataset.StudyTime = "A77", "101112.5"
        dataset.FrameOfReferenceUID = "1.2.3.9"
        dataset.WindowCenter, dataset.WindowWidth = 300 + i, 700
        dataset.ManufacturerModelName, dataset.DeviceSerialNumber = "Scanner 3", "0815"
        if modality == "CT":
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        else:
            dataset.EchoTime, dataset.ScanningSequence, dataset.SequenceVariant = 20, "SE", "SK"
        for keyword, value in more.items():
            setattr(dataset, keyword, value)

    return edit


@pytest.fixture(params=["MR", "CT"])
def modality(request):
    return request.param


@pytest.fixture
def made(tmp_path, io_dicom, modality):
    """A source, a finer volume of it, and the images of the derived series."""
    io_dicom(tmp_path / "s", modality=modality, edit=acquired(modality), tilt=(12, -40, 70))
    volume = finer(read_volume(tmp_path / "s"))
    return tmp_path, volume, written(volume, tmp_path / "out")


def test_every_image_has_what_its_class_requires(made, modality):
    _, volume, images = made
    assert len(images) == volume.geometry.size_xyz[2]
    for image in images:
        assert image.SOPClassUID == CLASSIC[modality]
        for keyword in [*TYPE_1, *OF_CLASSIC, *OF_CLASS[modality][0]]:
            assert image.get(keyword) not in (None, ""), keyword
        for keyword in [*TYPE_2, *OF_CLASS[modality][1]]:
            assert keyword in image, keyword


def test_this_reader_gets_the_same_voxels_and_grid(made):
    folder, volume, _ = made
    again = read_volume(folder / "out")
    assert np.array_equal(again.array, volume.array)
    assert again.array.dtype == volume.array.dtype
    assert again.geometry.is_same_as(volume.geometry, 1e-6)
    assert again.modality == volume.modality


def test_gdcm_gets_the_same_voxels_and_grid(made):
    folder, volume, _ = made
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder / "out")))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.array)
    assert np.allclose(image.GetOrigin(), volume.geometry.origin_mm, atol=1e-4)
    assert np.allclose(image.GetSpacing(), volume.geometry.spacing_xyz_mm, atol=1e-4)
    assert np.allclose(image.GetDirection(), volume.geometry.direction, atol=1e-4)


def test_each_header_alone_says_where_its_slice_lies(made):
    _, volume, images = made
    grid = volume.geometry
    for number, image in enumerate(images):
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        height, width = map(float, image.PixelSpacing)
        corner = np.array(image.ImagePositionPatient, float) + 5 * width * row + 4 * height * column
        assert np.allclose(corner, grid.to_patient((5, 4, number)), atol=1e-4)
        assert float(image.SliceThickness) == float(image.SpacingBetweenSlices) == pytest.approx(1.5)


def test_patient_study_and_frame_of_reference_stay_and_identifiers_are_new(made, modality):
    folder, volume, images = made
    source = [pydicom.dcmread(path) for path in sorted((folder / "s").iterdir())]
    second = written(volume, folder / "second")
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                    "StudyTime", "AccessionNumber", "FrameOfReferenceUID"):  # fmt: skip
        assert {str(image[keyword].value) for image in images} == {str(source[0][keyword].value)}, keyword
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        told = [{str(one[keyword].value) for one in series} for series in (source, images, second)]
        assert not set.intersection(*told), keyword
        assert not told[1] & told[2], keyword
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == len(images)


def test_images_say_what_they_were_made_of_by_what(made, modality):
    folder, volume, _ = made
    images = written(volume.replace(metadata={"provenance": "MedSR 7.8; model mr-3d 9"}), folder / "told")
    used = {pydicom.dcmread(path).SOPInstanceUID for path in (folder / "s").iterdir()}
    for image in images:
        assert list(image.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert {item.ReferencedSOPInstanceUID for item in image.SourceImageSequence} == used
        assert {item.ReferencedSOPClassUID for item in image.SourceImageSequence} == {CLASSIC[modality]}
        assert image.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert image.DerivationCodeSequence[0].CodeValue == "113085"
        assert "MedSR 7.8; model mr-3d 9" in image.DerivationDescription
        scanner, own = image.ContributingEquipmentSequence
        assert (scanner.Manufacturer, scanner.ManufacturerModelName) == ("ACME", "Scanner 3")
        assert (own.Manufacturer, own.ManufacturerModelName) == ("MedSR", "mr-3d 9")
        assert list(image.SoftwareVersions) == ["MedSR 7.8", "model mr-3d 9"]
        assert image.Manufacturer == "MedSR"
        assert image.SeriesDescription == "phantom [MedSR, not for diagnostic use]"
    assert read_volume(folder / "told").metadata["provenance"] == "MedSR 7.8; model mr-3d 9"


@pytest.mark.parametrize("made_by", ["MedSR 1.0; model x 1", f"MedSR 1.0; {PERCEPTUAL}; model x 1"])
def test_a_long_series_description_keeps_its_end(tmp_path, io_dicom, made_by):
    io_dicom(tmp_path / "s", description="x" * 70)
    image = written(read_volume(tmp_path / "s").replace(metadata={"provenance": made_by}), tmp_path / "out")[0]
    assert len(image.SeriesDescription) == 64
    assert image.SeriesDescription.startswith("xxx")
    assert image.SeriesDescription.endswith("not for diagnostic use]")
    assert ("invent" in image.SeriesDescription) == (PERCEPTUAL in made_by)


def test_what_would_be_false_or_is_private_is_left_out(tmp_path, io_dicom):
    def edit(dataset, i):
        acquired("CT", GantryDetectorTilt=0.01, SmallestImagePixelValue=3, XRayTubeCurrent=100 + i, KVP=120)(dataset, i)
        dataset.add_new(0x00290010, "LO", "SIEMENS CSA HEADER")
        dataset.add_new(0x00291010, "OB", b"\1\2")
        dataset.ReferencedImageSequence = [Dataset()]

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    for image in written(read_volume(tmp_path / "s"), tmp_path / "out"):
        assert not [element for element in image.iterall() if element.tag.is_private]
        for keyword in ("GantryDetectorTilt", "SmallestImagePixelValue", "XRayTubeCurrent", "ReferencedImageSequence"):
            assert keyword not in image, keyword
        assert image.KVP == 120


def test_a_trial_is_kept_where_it_is_told_which_and_whose(tmp_path, io_dicom):
    whole = {"ClinicalTrialSponsorName": "S", "ClinicalTrialProtocolID": "P", "ClinicalTrialSubjectID": "7"}
    for missing in (None, *whole):
        told = {keyword: value for keyword, value in whole.items() if keyword != missing}
        folder = tmp_path / str(missing)
        io_dicom(folder / "s", edit=acquired(**told))
        image = written(read_volume(folder / "s"), folder / "out")[0]
        for keyword in (*whole, "ClinicalTrialSiteID"):
            assert (keyword in image) == (missing is None), (missing, keyword)


def test_all_images_have_the_window_of_the_middle(made):
    _, _, images = made
    assert {(image.WindowCenter, image.WindowWidth) for image in images} <= {(301, 700), (302, 700)}
    assert len({image.WindowCenter for image in images}) == 1


@pytest.mark.parametrize("width", [0, -21474836.48])
def test_a_window_that_is_none_is_left_out(tmp_path, io_dicom, width):
    io_dicom(tmp_path / "s", edit=acquired(WindowWidth=width))
    assert "WindowWidth" not in written(read_volume(tmp_path / "s"), tmp_path / "out")[0]


def test_values_against_the_rules_are_left_out_but_the_identity_stays(tmp_path, io_dicom):
    def edit(dataset, i):
        acquired()(dataset, i)
        with pytest.warns(UserWarning):
            dataset.PatientAge = "0Y"
            dataset.PatientID = "x" * 70
        dataset.PatientBirthDate = "00010101"

    io_dicom(tmp_path / "s", edit=edit)
    image = written(read_volume(tmp_path / "s"), tmp_path / "out")[0]
    assert "PatientAge" not in image
    assert image.PatientBirthDate == ""
    assert image.PatientID == "x" * 70
    assert image.PatientName == "Secret^Person"


def test_names_in_other_scripts_come_through(tmp_path, io_dicom):
    name = "Yamada^Tarou=山田^太郎"
    io_dicom(tmp_path / "s", edit=acquired(SpecificCharacterSet="ISO_IR 192", PatientName=name))
    assert str(written(read_volume(tmp_path / "s"), tmp_path / "out")[0].PatientName) == name


def test_3d_slicer_takes_the_series_for_one_volume(made):
    """Its scalar volume plugin splits a series by these elements, and tells of distances that differ by 0.01 mm."""
    _, _, images = made
    for keyword in ("SeriesInstanceUID", "ContentTime", "TriggerTime", "ImageOrientationPatient"):
        assert len({str(image.get(keyword)) for image in images}) == 1, keyword
    orientation = np.array(images[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    gaps = np.diff([np.array(image.ImagePositionPatient, float) @ normal for image in images])
    assert np.abs(gaps - gaps[0]).max() < 0.01


def test_hounsfield_units_are_stored_as_in_the_source(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", edit=acquired("CT"))
    volume = read_volume(tmp_path / "s")
    image = written(volume, tmp_path / "out")[0]
    assert (image.RescaleSlope, image.RescaleIntercept, image.RescaleType) == (1, -1024, "HU")
    assert image.PixelRepresentation == 0
    assert np.array_equal(image.pixel_array.astype(int) - 1024, volume.array[0])


def test_hounsfield_units_below_what_the_source_can_store_are_signed(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", edit=acquired("CT"))
    volume = read_volume(tmp_path / "s")
    volume = volume.replace(array=(volume.array - 500).astype(np.int16))
    image = written(volume, tmp_path / "out")[0]
    assert (image.PixelRepresentation, image.RescaleSlope, image.RescaleIntercept) == (1, 1, -1024)
    assert np.array_equal(read_volume(tmp_path / "out").array, volume.array)


@pytest.mark.parametrize("signed", [0, 1])
def test_padding_is_kept_in_the_type_of_the_pixels(tmp_path, io_dicom, signed):
    code = -2000 if signed else 7

    def edit(dataset, i):
        acquired("CT")(dataset, i)
        dataset.PixelRepresentation = signed
        dataset.BitsStored, dataset.HighBit = 16, 15
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", code)
        pixels = np.frombuffer(dataset.PixelData, np.int16).copy()
        pixels[:3] = code
        dataset.PixelData = pixels.tobytes()

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    image = written(volume, tmp_path / "out")[0]
    kind = image["PixelPaddingValue"].VR
    assert kind == ("SS" if signed else "US")
    assert (image.pixel_array == image.PixelPaddingValue).sum() == (volume.array[0] == code - 1024).sum() >= 3
    again = read_volume(tmp_path / "out")
    assert again.facts.number("padding") == volume.facts.number("padding") == code - 1024


def test_a_fractional_slope_is_kept_and_the_error_is_half_a_step(tmp_path, io_dicom):
    slope = 1.31062271062271
    io_dicom(tmp_path / "s", edit=acquired(RescaleSlope=slope, RescaleIntercept=2))
    volume = read_volume(tmp_path / "s")
    volume = volume.replace(array=volume.array * np.float32(1.013))
    assert volume.array.dtype == np.float32
    image = written(volume, tmp_path / "out")[0]
    assert float(image.RescaleSlope) == slope
    error = read_volume(tmp_path / "out").array.astype(float) - volume.array
    assert 0.01 < np.abs(error).max() <= slope / 2 + 1e-4


@pytest.mark.parametrize(("scale", "offset"), [(1e-4, 0), (1e5, 0), (1, -1e4), (1, 3e4)])
def test_an_image_of_another_range_is_stored_as_finely_as_16_bits_can(tmp_path, io_dicom, scale, offset):
    io_dicom(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    array = (volume.array * 4.0 * scale + offset).astype(np.float32)
    write_dicom(volume.replace(array=array), tmp_path / "out")
    error = np.abs(read_volume(tmp_path / "out").array.astype(float) - array).max()
    assert error <= max(np.ptp(array) / 65534 / 2 * 1.01, 1e-3 if scale == 1 else 0)


def test_negative_pictures_become_positive_ones_without_their_window(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=acquired(PhotometricInterpretation="MONOCHROME1"))
    volume = read_volume(tmp_path / "s")
    image = written(volume, tmp_path / "out")[0]
    assert image.PhotometricInterpretation == "MONOCHROME2"
    assert "WindowCenter" not in image
    assert np.array_equal(read_volume(tmp_path / "out").array, volume.array)


def test_a_derived_series_can_be_a_source_again(made):
    folder, _, _ = made
    images = written(finer(read_volume(folder / "out")), folder / "again")
    assert [item.Manufacturer for item in images[0].ContributingEquipmentSequence] == ["ACME", "MedSR", "MedSR"]
    assert images[0].SeriesDescription == "phantom [MedSR, not for diagnostic use]"
    assert len(images[0].SourceImageSequence) == 8


def enhanced_source(io_enhanced, path, modality):
    def edit(dataset):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED[modality]
        dataset.Modality = modality
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        transformation, window, private = Dataset(), Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = 1, -1000 if modality == "CT" else 0
        transformation.RescaleType = "HU" if modality == "CT" else "US"
        window.WindowCenter, window.WindowWidth = 40, 400
        private.add_new(0x00210010, "LO", "ACME PRIVATE")
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            group.PixelValueTransformationSequence, group.FrameVOILUTSequence = [transformation], [window]
            echo = Dataset()
            echo.EffectiveEchoTime = 30.0
            group.MREchoSequence = [echo]
            averages = Dataset()
            averages.NumberOfAverages = 1 + number
            group.MRAveragesSequence = [averages]
            event = Dataset()
            event.IrradiationEventUID = f"1.2.7.{number // 2}"
            if modality == "CT":
                group.IrradiationEventIdentificationSequence = [event]
            group.add_new(0x00210010, "LO", "ACME PRIVATE")

    io_enhanced(path, edit=edit)
    return path


def test_an_enhanced_object_gives_an_enhanced_object(tmp_path, io_enhanced, modality):
    volume = finer(read_volume(enhanced_source(io_enhanced, tmp_path / "e.dcm", modality)))
    (image,) = written(volume, tmp_path / "out")
    source = pydicom.dcmread(tmp_path / "e.dcm")
    assert image.SOPClassUID == ENHANCED[modality]
    assert list(image.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    assert image.NumberOfFrames == len(image.PerFrameFunctionalGroupsSequence) == 8
    shared = image.SharedFunctionalGroupsSequence[0]
    (reference,) = shared.DerivationImageSequence[0].SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID != image.SOPInstanceUID
    assert image.StudyInstanceUID == source.StudyInstanceUID
    assert image.SeriesInstanceUID != source.SeriesInstanceUID
    assert shared.FrameVOILUTSequence[0].WindowWidth == 400
    assert not [element for element in image.iterall() if element.tag.is_private]
    # What all frames agree on is kept, what differs is not.
    assert ("MREchoSequence" in shared) == (modality == "MR")
    assert "MRAveragesSequence" not in shared
    if modality == "CT":
        assert list(shared.IrradiationEventIdentificationSequence[0].IrradiationEventUID) == ["1.2.7.0", "1.2.7.1"]
    again = read_volume(tmp_path / "out")
    assert np.array_equal(again.array, volume.array)
    assert again.geometry.is_same_as(volume.geometry, 1e-6)
    picture = sitk.ReadImage(str(tmp_path / "out" / "0001.dcm"))
    assert np.array_equal(sitk.GetArrayFromImage(picture), volume.array)


def complaints(path):
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


needs_dciodvfy = pytest.mark.skipif(
    shutil.which("dciodvfy") is None,
    reason="NOT CHECKED against the standard: dciodvfy (Debian: dicom3tools) is missing",
)


@needs_dciodvfy
@pytest.mark.parametrize("body_part", [None, "BRAIN", "KNEE"])
def test_dciodvfy_finds_no_error_in_classic_images(tmp_path, io_dicom, modality, body_part):
    more = {"BodyPartExamined": body_part} if body_part else {}
    if modality == "MR":
        more |= {"ScanningSequence": ["IR", "SE"], "ScanOptions": "CG", "InversionTime": 100}
    io_dicom(tmp_path / "s", modality=modality, edit=acquired(modality, **more))
    written(finer(read_volume(tmp_path / "s")), tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    assert complaints(files[0]) == complaints(files[-1]) == []


@needs_dciodvfy
def test_dciodvfy_finds_no_error_in_enhanced_images(tmp_path, io_enhanced, modality):
    written(finer(read_volume(enhanced_source(io_enhanced, tmp_path / "e.dcm", modality))), tmp_path / "out")
    assert complaints(tmp_path / "out" / "0001.dcm") == []


@needs_dciodvfy
def test_dciodvfy_finds_no_error_where_an_enhanced_source_says_little(tmp_path, io_enhanced, modality):
    def edit(dataset):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED[modality]
        dataset.Modality = modality

    volume = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))
    written(volume, tmp_path / "out")
    assert complaints(tmp_path / "out" / "0001.dcm") == []


@needs_dciodvfy
def test_dciodvfy_does_find_an_error_where_there_is_one(tmp_path, io_dicom, io_edit_dicom):
    io_dicom(tmp_path / "s", edit=acquired())
    written(read_volume(tmp_path / "s"), tmp_path / "out")
    io_edit_dicom(tmp_path / "out" / "0001.dcm", SliceThickness=None, FrameOfReferenceUID="")
    assert complaints(tmp_path / "out" / "0001.dcm")


def test_a_volume_that_was_not_read_from_dicom_is_refused(tmp_path, io_volume):
    medsr.write_volume(io_volume(), tmp_path / "v.nii.gz")
    for volume in (io_volume(), read_volume(tmp_path / "v.nii.gz")):
        with pytest.raises(InvalidValueError, match="patient, the study and the frame of reference"):
            write_dicom(volume, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_of_another_program_give_a_volume_its_patient(tmp_path, io_dicom, io_volume):
    """As in 3D Slicer, which has the voxels and knows the files that they came from."""
    files = tuple(io_dicom(tmp_path / "s", edit=acquired()))
    volume = io_volume(files=files)
    images = written(volume, tmp_path / "out")
    assert str(images[0].PatientName) == "Secret^Person"
    assert read_volume(tmp_path / "out").geometry.is_same_as(volume.geometry, 1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"modality": "PT"}, InvalidValueError, "modality PT"),
        ({"edit": lambda d, i: delattr(d, "StudyInstanceUID")}, InputError, "StudyInstanceUID"),
        ({"slices": 1, "edit": lambda d, i: delattr(d, "ImagePositionPatient")}, InputError, "where its image lies"),
    ],
)
def test_series_that_no_image_can_be_derived_from_are_refused(tmp_path, io_dicom, change, error, words):
    io_dicom(tmp_path / "s", **change)
    volume = read_volume(tmp_path / "s")
    with pytest.raises(error, match=words):
        write_dicom(volume, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_colours_are_refused(tmp_path, io_volume):
    with pytest.raises(InvalidValueError, match="colours"):
        write_dicom(io_volume("uint8", colours=3), tmp_path / "out")


def test_a_folder_is_complete_or_not_there(tmp_path, io_dicom, monkeypatch):
    io_dicom(tmp_path / "s", edit=acquired())
    volume = read_volume(tmp_path / "s")
    original, count = writing._write, []

    def failing(image, path):
        count.append(path)
        if len(count) == 3:
            raise OSError(28, "No space left on device")
        original(image, path)

    monkeypatch.setattr(writing, "_write", failing)
    with pytest.raises(OutputError, match="No space left"):
        write_dicom(volume, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=acquired())
    volume = read_volume(tmp_path / "s")
    (tmp_path / "empty").mkdir()
    assert len(written(volume, tmp_path / "empty")) == 4
    with pytest.raises(OutputError, match="--overwrite"):
        write_dicom(volume, tmp_path / "empty")
    assert len(list((tmp_path / "empty").iterdir())) == 4


def test_only_a_series_that_medsr_wrote_is_replaced(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=acquired())
    volume = read_volume(tmp_path / "s")
    written(finer(volume), tmp_path / "out")
    assert len(written(volume, tmp_path / "out", overwrite=True)) == 4
    for other in ("notes", "scan"):
        (tmp_path / other).mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("precious")
    shutil.copy(volume.files[0], tmp_path / "scan" / "0001.dcm")
    for other in ("notes", "scan"):
        with pytest.raises(OutputError, match="MedSR did not write"):
            write_dicom(volume, tmp_path / other, overwrite=True)
        assert len(list((tmp_path / other).iterdir())) == 1


def test_a_name_of_a_file_is_no_folder(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=acquired())
    volume = read_volume(tmp_path / "s")
    with pytest.raises(InvalidValueError, match="folder"):
        write_dicom(volume, tmp_path / "out.nii.gz")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="no folder"):
        write_dicom(volume, tmp_path / "file", overwrite=True)
    with pytest.raises(InvalidValueError, match="--format dicom"):
        write_volume(volume, tmp_path / "out")


def test_thousands_of_references_do_not_slow_every_slice(tmp_path, io_dicom):
    """Encoded once, not for each slice: the same bytes stand in every file."""
    io_dicom(tmp_path / "s", 6, edit=lambda d, i: (acquired()(d, i), setattr(d, "SOPInstanceUID", generate_uid())))
    volume = read_volume(tmp_path / "s")
    calls = []
    original = pydicom.filewriter.write_sequence

    def counting(*arguments, **named):
        calls.append(1)
        return original(*arguments, **named)

    pydicom.filewriter.writers["SQ"], before = (counting, None), pydicom.filewriter.writers["SQ"]
    try:
        write_dicom(volume, tmp_path / "out")
    finally:
        pydicom.filewriter.writers["SQ"] = before
    assert len(calls) < 30


class _OldDataset:
    """What pydicom 2 asks of who saves."""

    def __init__(self, syntax):
        self.file_meta = pydicom.dataset.FileMetaDataset()
        self.file_meta.TransferSyntaxUID = syntax

    def save_as(self, path, write_like_original=True):
        path.write_text(f"{self.is_little_endian} {self.is_implicit_VR} {write_like_original}")


def test_the_pydicom_of_older_slicers_is_told_what_it_does_not_look_up(monkeypatch, tmp_path):
    monkeypatch.setattr(pydicom, "__version__", "2.4.4")
    elements.save(_OldDataset(pydicom.uid.ExplicitVRLittleEndian), tmp_path / "a.dcm")
    assert (tmp_path / "a.dcm").read_text() == "True False False"
    old = _OldDataset(pydicom.uid.ImplicitVRLittleEndian)
    elements.save(old, tmp_path / "b.dcm")
    assert elements.found_encoding(old) == (True, True)
