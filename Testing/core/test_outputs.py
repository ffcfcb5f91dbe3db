"""What is read is not written over, whatever way its path is written; and every name that cannot be is told early."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import medsr
from medsr.augmentation.folder import check_output as check_cohort
from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.files import upscale_file
from medsr.io.outputs import check_apart, check_output, check_text_output
from medsr.jobs import JobSpec, Progress
from medsr.options import UpscaleOptions
from medsr.volume import Volume

QUICK = UpscaleOptions(model="linear", scale=(1, 1, 2))


def a_volume(seed=0):
    array = (np.random.default_rng(seed).random((6, 10, 12)) * 1000).astype(np.int16)
    return Volume.from_array(array, np.diag([1, 1, 3, 1.0]))


@pytest.fixture
def folder(tmp_path):
    """A folder with in.nii.gz, and other ways to it."""
    (tmp_path / "data" / "sub").mkdir(parents=True)
    medsr.write_volume(a_volume(), tmp_path / "data" / "in.nii.gz")
    return tmp_path / "data"


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(source, output, **changes):
    return upscale_file(JobSpec(str(source), str(output), QUICK, overwrite=True, **changes), Progress())


def refuses(source, output, words, **changes):
    folder = source if source.is_dir() else source.parent
    before = contents(folder)
    with pytest.raises(InvalidValueError, match=words):
        run(source, output, **changes)
    assert contents(folder) == before
    assert not list(folder.rglob(".medsr-*"))


def symbolic(link, to, **options):
    try:
        link.symlink_to(to, **options)
    except OSError:
        pytest.skip("no symbolic links here")


def test_the_input_is_known_by_another_way_to_its_folder(folder):
    refuses(folder / "in.nii.gz", folder / "sub" / ".." / "in.nii.gz", "the input itself")
    symbolic(folder.with_name("link"), folder, target_is_directory=True)
    refuses(folder / "in.nii.gz", folder.with_name("link") / "in.nii.gz", "the input itself")
    refuses(folder.with_name("link") / "in.nii.gz", folder / "in.nii.gz", "the input itself")
    run(folder / "in.nii.gz", folder / "sub" / ".." / "out.nii.gz")


def test_the_input_is_known_by_a_link_to_it(folder):
    symbolic(folder / "soft.nii.gz", folder / "in.nii.gz")
    refuses(folder / "in.nii.gz", folder / "soft.nii.gz", "the input itself")
    refuses(folder / "soft.nii.gz", folder / "in.nii.gz", "the input itself")


def test_the_input_is_known_by_its_second_name(folder):
    os.link(folder / "in.nii.gz", folder / "hard.nii.gz")
    refuses(folder / "in.nii.gz", folder / "hard.nii.gz", "the input itself")
    refuses(folder / "in.nii.gz", folder / "out.nii.gz", "the input itself", report=str(folder / "hard.nii.gz"))
    run(folder / "in.nii.gz", folder / "out.nii.gz", report=str(folder / "out.json"))


def test_the_input_is_known_by_a_name_in_other_letters(folder):
    """Where the file system takes both for one; a link stands in for it here."""
    if not (folder / "IN.nii.gz").exists():
        os.link(folder / "in.nii.gz", folder / "IN.nii.gz")
    refuses(folder / "in.nii.gz", folder / "IN.nii.gz", "the input itself")


@pytest.mark.parametrize("header", ["in.mhd", "in.nhdr"])
def test_the_voxels_that_a_header_names_are_not_written_over(folder, header):
    source = medsr.write_volume(a_volume(), folder / header)
    (folder / "in.raw").rename(folder / "voxels.raw")
    source.write_text(source.read_text().replace("in.raw", "voxels.raw"))
    assert set(medsr.read_volume(source).files) == {source, folder / "voxels.raw"}
    refuses(source, folder / "voxels.mhd", r"voxels\.raw")
    refuses(source, folder / "out.nrrd", r"voxels\.raw", report=str(folder / "voxels.raw"))
    run(source, folder / "other.mhd")


def test_a_sidecar_that_is_read_is_not_written_over(folder):
    sidecar = folder / "in.json"
    sidecar.write_text(json.dumps({"SliceThickness": 3, "MRAcquisitionType": "2D"}))
    assert sidecar in medsr.read_volume(folder / "in.nii.gz").files
    refuses(folder / "in.nii.gz", folder / "out.nii.gz", r"in\.json", report=str(sidecar))
    run(folder / "in.nii.gz", folder / "out.nii.gz", report=str(folder / "out.json"))


def test_the_reference_is_not_written_over(folder):
    reference = medsr.write_volume(a_volume(), folder / "reference.nii.gz")
    options = UpscaleOptions(model="linear", reference=str(reference))
    spec = JobSpec(str(folder / "in.nii.gz"), str(folder / "sub" / ".." / reference.name), options, overwrite=True)
    before = reference.read_bytes()
    with pytest.raises(InvalidValueError, match=r"reference\.nii\.gz"):
        upscale_file(spec, Progress())
    assert reference.read_bytes() == before


def write_slice(path, number, series):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID, dataset.Modality = series, "MR"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 12, 14, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 3
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
    dataset.PixelData = np.random.default_rng(number).integers(0, 900, (12, 14)).astype(np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def test_a_report_over_a_slice_of_the_series_is_refused(folder):
    series = folder / "sub"
    uid = generate_uid()
    for number in range(4):
        write_slice(series / f"{number}.dcm", number, uid)
    assert set(medsr.read_volume(series).files) == {series / f"{number}.dcm" for number in range(4)}
    refuses(series, folder / "out.nii.gz", r"2\.dcm", report=str(series / "2.dcm"))
    run(series, series / "out.nii.gz", report=str(series / "report.json"))


def test_a_map_over_the_output_is_refused_however_it_is_written(folder):
    source, output = folder / "in.nii.gz", folder / "out.nii.gz"
    for way in (output, folder / "sub" / ".." / "out.nii.gz", folder / "OUT.nii.gz"):
        refuses(source, output, "different file names", maps={"difference": str(way)})
    refuses(source, folder / "out.mhd", "different file names", report=str(folder / "sub" / ".." / "out.raw"))
    run(source, output, maps={"difference": str(folder / "difference.nii.gz")})


def test_what_is_not_there_yet_is_no_input(folder):
    check_apart([folder / "out.nii.gz"], [folder / "in.nii.gz", folder, folder / "nowhere"])


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("a" * 300 + ".nii.gz", OutputError, "too long"),
        ("\u00e4" * 130 + ".nii.gz", OutputError, "too long"),
        ("a\0.nii.gz", InvalidValueError, "no file name"),
        ("a\ud800.nii.gz", InvalidValueError, "no file name can have"),
    ],
    ids=["ascii", "umlauts", "null", "surrogate"],
)
@pytest.mark.parametrize("check", [check_output, lambda path: check_text_output(path, overwrite=False)])
def test_a_name_that_no_file_can_have_is_found_before_the_work(tmp_path, check, name, error, words):
    with pytest.raises(error, match=words):
        check(tmp_path / name)
    check(tmp_path / ("a" * 200 + ".nii.gz"))


@pytest.mark.parametrize("path", ["/", ".", ".."])
def test_the_root_and_dots_are_no_files(path):
    for check in (check_output, lambda path: check_text_output(path, overwrite=True)):
        with pytest.raises((InvalidValueError, OutputError)):
            check(path)


def test_a_name_just_short_enough_is_written_and_replaced(tmp_path):
    path = tmp_path / ("a" * (255 - len(".nrrd")) + ".nrrd")
    medsr.write_volume(a_volume(), path)
    medsr.write_volume(a_volume(1), path, overwrite=True)
    assert np.array_equal(medsr.read_volume(path).array, a_volume(1).array)


def test_a_folder_that_takes_no_file_is_found_before_the_work(folder, monkeypatch):
    """Also where the permissions say otherwise: an administrator on a disk that is read-only."""
    real = os.mkdir

    def mkdir(path, *arguments, **options):
        if Path(path).name.startswith(".medsr-"):
            raise OSError(30, "Read-only file system", path)
        return real(path, *arguments, **options)

    stages = []
    spec = JobSpec(str(folder / "in.nii.gz"), str(folder / "out.nii.gz"), QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", mkdir)
        with pytest.raises(OutputError, match="Read-only"):
            upscale_file(spec, Progress(stages.append))
    assert stages == []
    upscale_file(spec, Progress())


def test_a_folder_that_may_not_be_searched_is_told(tmp_path, monkeypatch):
    real = os.stat

    def stat(path, *arguments, **options):
        if "private" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(OutputError, match="Permission denied"):
        check_output(tmp_path / "private" / "a.nii.gz")
    check_output(tmp_path / "a.nii.gz")


def test_an_empty_name_is_none(folder):
    """`Path("")` is the current folder, and no report would be no error."""
    source, output = folder / "in.nii.gz", folder / "out.nii.gz"
    before = contents(folder)
    for changes in ({"report": ""}, {"maps": {"difference": ""}}):
        with pytest.raises(InvalidValueError, match="no file name"):
            run(source, output, **changes)
    with pytest.raises(InvalidValueError, match="no file name"):
        run(source, "")
    for reference in ("", None):
        spec = JobSpec("" if reference is None else str(source), str(output), UpscaleOptions(reference=reference))
        with pytest.raises(InputError, match="empty"):
            upscale_file(spec, Progress())
    assert contents(folder) == before


def test_the_folder_of_a_training_set_is_known_by_a_link_to_it(tmp_path):
    (tmp_path / "set").mkdir()
    symbolic(tmp_path / "link", tmp_path / "set", target_is_directory=True)
    plan = SimpleNamespace(dataset=SimpleNamespace(root=str(tmp_path / "set")))
    for way in (tmp_path / "set", tmp_path / "link", tmp_path / "link" / ".." / "set"):
        with pytest.raises(InvalidValueError, match="the folder of the source"):
            check_cohort(plan, way, overwrite=True)
