"""Bad input: each is refused with a sentence and an exit code, writes nothing, and has an accepted sibling."""

import gzip
import struct
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

QUICK = ("--model", "tikhonov", "--progress", "none")


@pytest.fixture
def upscale(medsr, tmp_path):
    """Runs ``medsr upscale IN out.nii.gz``; a refused job must leave no file behind."""

    def run(source, *arguments, output=None):
        output = output or tmp_path / "out.nii.gz"
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        ended = medsr("upscale", source, output, *QUICK, *arguments)
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        if ended.code:
            assert before == after
            assert ended.out == ""
        else:
            assert output.exists()
        return ended

    return run


@pytest.fixture
def a_series(tmp_path):
    """Writes a DICOM series into a folder."""

    def write(folder, description="T2", slices=4):
        folder.mkdir(exist_ok=True)
        uid = generate_uid()
        for i in range(slices):
            dataset = Dataset()
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.SeriesInstanceUID, dataset.SeriesDescription, dataset.Modality = uid, description, "MR"
            dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 12, 14, 1
            dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
            dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 3
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * i], [1, 0, 0, 0, 1, 0]
            pixels = np.random.default_rng(i).integers(0, 900, (12, 14)).astype(np.uint16)
            dataset.PixelData = pixels.tobytes()
            dataset.save_as(folder / f"{description}{i}.dcm", enforce_file_format=True)
        return folder

    return write


def edit_nifti(path, offset, *numbers):
    """Overwrite float32 numbers in the header of an uncompressed NIfTI file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{len(numbers)}f", data, offset, *numbers)
    path.write_bytes(data)
    return path


PIXDIM, SROW_X = 80, 280


def test_a_file_whose_name_begins_like_an_option_is_told_how_to_be_named(upscale, a_volume, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_volume().rename("-in.nii.gz")
    for name in ("-in.nii.gz", "--volume.nrrd", "-1.nii.gz"):
        ended = upscale(name)
        assert ended.code == 2
        assert f"put its folder before it: './{name}'" in ended.err
        assert "Did you mean" not in ended.err
    ended = upscale("--scal", "-in.nii.gz")
    assert "Did you mean '--scale'?" in ended.err
    assert upscale("./-in.nii.gz").code == 0


def test_an_empty_name_is_no_folder(upscale, a_series, a_volume, tmp_path, monkeypatch):
    volume = a_volume()
    monkeypatch.chdir(a_series(tmp_path / "series"))
    for ended in (upscale(""), upscale(volume, "--reference", "")):
        assert ended.code == 3
        assert "The input path is empty" in ended.err
    assert upscale(".").code == 0


def test_a_missing_file_is_refused(upscale, a_volume, tmp_path):
    ended = upscale(tmp_path / "nowhere.nii.gz")
    assert ended.code == 3
    assert "There is no file or folder" in ended.err
    assert "nowhere.nii.gz" in ended.err
    assert upscale(a_volume()).code == 0


@pytest.mark.parametrize("name", ["in.nii.gz", "in.nii", "in.nrrd", "in.mha"])
def test_a_truncated_file_is_refused(upscale, a_volume, tmp_path, name):
    whole = a_volume(name)
    short = tmp_path / f"short_{name}"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ended = upscale(short)
    assert ended.code == 3
    assert "truncated" in ended.err
    assert upscale(whole).code == 0


def test_an_empty_file_is_refused(upscale, tmp_path):
    empty = tmp_path / "empty.nii.gz"
    empty.touch()
    ended = upscale(empty)
    assert ended.code == 3
    assert "0 bytes" in ended.err


def test_a_file_of_another_kind_is_refused(upscale, tmp_path):
    text = tmp_path / "notes.nii.gz"
    text.write_bytes(gzip.compress(b"not an image" * 100))
    ended = upscale(text)
    assert ended.code == 3
    assert "notes.nii.gz" in ended.err


def test_an_empty_dicom_folder_is_refused(upscale, a_series, tmp_path):
    (tmp_path / "empty").mkdir()
    ended = upscale(tmp_path / "empty")
    assert ended.code == 3
    assert "DICOM" in ended.err
    assert upscale(a_series(tmp_path / "full")).code == 0


def test_mixed_series_are_refused_with_a_list_and_one_is_accepted(upscale, a_series, tmp_path):
    folder = a_series(tmp_path / "mixed", "T1")
    a_series(folder, "FLAIR", slices=5)
    ended = upscale(folder)
    assert ended.code == 3
    assert "2 DICOM series" in ended.err
    assert "--series" in ended.err
    assert "T1" in ended.err
    assert "FLAIR" in ended.err
    ended = upscale(folder, "--series", "7")
    assert ended.code == 2
    assert "no series '7'" in ended.err
    assert upscale(folder, "--series", "1").code == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers_are_refused(upscale, a_volume, bad):
    array = np.random.default_rng(0).random((12, 14, 16)).astype(np.float32)
    assert upscale(a_volume("good.nrrd", array)).code == 0
    array[3, 4, 5] = bad
    ended = upscale(a_volume("bad.nrrd", array), "--overwrite")
    assert ended.code == 3
    assert "1 of 2688 voxels are NaN or infinite" in ended.err


def test_a_constant_image_is_refused(upscale, a_volume):
    ended = upscale(a_volume("flat.nrrd", np.full((12, 14, 16), 7, np.int16)))
    assert ended.code == 3
    assert "constant" in ended.err


def test_a_label_image_is_refused_unless_it_is_said_to_be_none(upscale, a_volume):
    labels = a_volume("labels.nrrd", np.random.default_rng(0).integers(0, 4, (12, 14, 16)).astype(np.uint8))
    ended = upscale(labels)
    assert ended.code == 3
    assert "segmentation" in ended.err
    assert upscale(labels, "--not-labels").code == 0


@pytest.mark.parametrize("spacing", [0.0, -3.0])
def test_a_spacing_that_is_not_positive_is_refused(upscale, a_volume, spacing):
    good = a_volume("good.nii")
    assert upscale(good).code == 0
    ended = upscale(edit_nifti(a_volume("bad.nii"), PIXDIM, 1.0, 1.0, spacing), "--overwrite")
    assert ended.code == 3
    assert "positive" in ended.err
    assert f"{spacing:g}" in ended.err


def test_a_singular_direction_is_refused(upscale, a_volume):
    # The second row equals the first: two axes coincide.
    bad = edit_nifti(a_volume("bad.nii"), SROW_X, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0)
    ended = upscale(bad)
    assert ended.code == 3
    assert "singular" in ended.err


def test_a_sheared_direction_is_refused(upscale, a_volume):
    bad = edit_nifti(a_volume("bad.nii"), SROW_X, 1, 0.3, 0, 0, 0, 1, 0, 0, 0, 0, 3, 0)
    ended = upscale(bad)
    assert ended.code == 3
    assert "right angles" in ended.err


def test_an_oblique_direction_is_accepted(upscale, a_volume):
    c, s = np.cos(0.3), np.sin(0.3)
    assert upscale(a_volume("turned.nrrd", direction=(c, -s, 0, s, c, 0, 0, 0, 1))).code == 0


@pytest.mark.parametrize(
    ("size_xyz", "enlarged"),
    # A single slice is a picture, which is not enlarged across its plane.
    [((24, 20, 1), (48, 40, 1)), ((1, 20, 12), (2, 40, 24)), ((24, 1, 12), (48, 2, 24))],
)
def test_an_axis_of_one_voxel_is_accepted(upscale, a_volume, tmp_path, size_xyz, enlarged):
    array = np.random.default_rng(0).integers(0, 900, size_xyz[::-1]).astype(np.int16)
    ended = upscale(a_volume("thin.nrrd", array, spacing=(1.0, 1.0, 1.0)), "--scale", "2")
    assert ended.code == 0
    assert sitk.ReadImage(str(tmp_path / "out.nii.gz")).GetSize() == enlarged


def test_five_dimensions_are_refused(upscale, tmp_path):
    import nibabel

    array = np.random.default_rng(0).integers(0, 900, (8, 9, 10, 3, 2)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "five.nii.gz")
    ended = upscale(tmp_path / "five.nii.gz")
    assert ended.code == 3
    assert "5 dimensions" in ended.err
    nibabel.save(nibabel.Nifti1Image(array[..., 0], np.eye(4)), tmp_path / "time.nii.gz")
    ended = upscale(tmp_path / "time.nii.gz", "--scale", "2", "--model", "linear")
    assert ended.code == 0 and "Frames    3" in ended.out
    assert nibabel.load(tmp_path / "out.nii.gz").shape == (16, 18, 20, 3)


def test_an_enormous_target_is_refused_with_the_memory_it_needs(upscale, a_volume):
    source = a_volume(size_xyz=(64, 64, 48))
    ended = upscale(source, "--scale", "8", "--memory", "300MB")
    assert ended.code == 2
    assert "needs about" in ended.err
    assert "300 MB may be used" in ended.err
    assert "512 x 512 x 384" in ended.err
    assert upscale(source, "--scale", "1,1,2", "--memory", "300MB").code == 0


def test_an_unknown_model_is_refused_with_the_nearest_name(upscale, a_volume):
    source = a_volume()
    ended = upscale(source, "--model", "tikhonof")
    assert ended.code == 2
    assert "no model called 'tikhonof'" in ended.err
    assert "Did you mean 'tikhonov'?" in ended.err
    assert upscale(source, "--model", "tikhonov").code == 0


def test_a_model_for_another_modality_is_refused(upscale, a_volume, a_network):
    name = a_network(modalities=("CT",))
    ended = upscale(a_volume(), "--model", name, "--modality", "MR")
    assert ended.code == 5
    assert "is for CT, this volume is MR" in ended.err


def test_a_model_for_another_dimension_is_refused(upscale, a_volume, a_network):
    source = a_volume()
    name = a_network(dims=3)
    ended = upscale(source, "--model", name, "--mode", "2d")
    assert ended.code == 5
    assert "works in 3D only" in ended.err
    assert upscale(source, "--model", "tikhonov", "--mode", "2d").code == 0


def test_a_volumetric_model_refuses_few_slices(upscale, a_volume, a_network):
    name = a_network(dims=3)
    ended = upscale(a_volume(size_xyz=(24, 20, 4)), "--model", name)
    assert ended.code == 5
    assert "at least 8 voxels" in ended.err


@pytest.mark.network
def test_corrupt_weights_are_refused(upscale, a_volume, a_network):
    pytest.importorskip("torch")
    name = a_network(sha256="0" * 64)
    ended = upscale(a_volume(), "--model", name)
    assert ended.code == 5
    assert "corrupt" in ended.err


def test_a_network_without_torch_is_exit_code_6(upscale, a_volume, a_network, monkeypatch):
    monkeypatch.delitem(sys.modules, "medsr.methods.networks", raising=False)
    monkeypatch.delattr("medsr.methods.networks", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    ended = upscale(a_volume(), "--model", a_network(sha256="0" * 64))
    assert ended.code == 6
    assert "pip install 'medsr[network]'" in ended.err and "Traceback" not in ended.err


@pytest.mark.network
def test_intact_weights_are_accepted(upscale, a_volume, a_network, tmp_path):
    torch = pytest.importorskip("torch")
    from medsr.models.registry import build_network

    network = build_network("profile-refiner", 3, {"channels": 8, "blocks": 1})
    torch.save(network.state_dict(), tmp_path / "model.pt")
    name = a_network(weights=(tmp_path / "model.pt").read_bytes())
    ended = upscale(a_volume(), "--model", name, "--device", "cpu")
    assert ended.code == 0, ended.err
    assert f"Model: {name}" in ended.out


def test_a_missing_output_folder_is_refused(upscale, a_volume, tmp_path):
    ended = upscale(a_volume(), output=tmp_path / "nowhere" / "out.nii.gz")
    assert ended.code == 4
    assert "does not exist" in ended.err


def test_a_write_protected_output_folder_is_refused(upscale, a_volume, monkeypatch):
    source = a_volume()
    # Permissions do not bind the administrator, who may run these tests.
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, mode, **_: not mode & 2)
        ended = upscale(source)
    assert ended.code == 4
    assert "may not be written to" in ended.err
    assert upscale(source).code == 0


def test_an_existing_output_needs_overwrite(upscale, a_volume, tmp_path):
    source, output = a_volume(), tmp_path / "out.nii.gz"
    output.write_text("precious")
    ended = upscale(source)
    assert ended.code == 4
    assert "--overwrite" in ended.err
    assert output.read_text() == "precious"
    assert upscale(source, "--overwrite").code == 0
    assert sitk.ReadImage(str(output)).GetSize() == (24, 20, 36)


def test_an_existing_report_needs_overwrite(upscale, a_volume, tmp_path):
    source, report = a_volume(), tmp_path / "report.json"
    report.write_text("precious")
    ended = upscale(source, "--report", report)
    assert ended.code == 4
    assert report.read_text() == "precious"
    assert upscale(source, "--report", report, "--overwrite").code == 0


@pytest.mark.parametrize(("name", "said"), [("out.nrd", "'.nrrd'"), ("out.dcm", "DICOM"), ("out", "extension")])
def test_an_output_format_that_cannot_be_written_is_refused(upscale, a_volume, tmp_path, name, said):
    ended = upscale(a_volume(), output=tmp_path / name)
    assert ended.code == 2
    assert said in ended.err


def test_the_input_is_not_overwritten_by_its_own_result(upscale, a_volume):
    source = a_volume()
    ended = upscale(source, "--overwrite", output=source)
    assert ended.code == 2
    assert "the input itself" in ended.err


def test_two_targets_are_refused(upscale, a_volume):
    source = a_volume()
    ended = upscale(source, "--scale", "2", "--isotropic")
    assert ended.code == 2
    assert "--scale, --isotropic" in ended.err
    assert upscale(source, "--isotropic").code == 0


def test_a_reference_elsewhere_in_space_is_refused(upscale, a_volume, tmp_path):
    source, reference = a_volume(), a_volume("reference.nii.gz", spacing=(0.5, 0.5, 1.5), size_xyz=(48, 40, 24))
    assert upscale(source, "--reference", reference).code == 0
    image = sitk.ReadImage(str(reference))
    image.SetOrigin((900, 900, 900))
    sitk.WriteImage(image, str(reference))
    ended = upscale(source, "--reference", reference, "--overwrite")
    assert ended.code == 2
    assert "does not meet the input" in ended.err


def test_a_truncated_dicom_file_is_refused(upscale, a_series, tmp_path):
    folder = a_series(tmp_path / "series")
    path = folder / "T22.dcm"
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    ended = upscale(folder)
    assert ended.code == 3
    assert "T22.dcm" in ended.err
    path.write_bytes(whole)
    assert upscale(folder).code == 0
