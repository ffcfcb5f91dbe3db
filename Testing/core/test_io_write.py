"""Writing: round trips, refusals, and that nothing is lost or left behind."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsr.errors import InvalidValueError, OutputError
from medsr.geometry import Geometry
from medsr.io import check_output, read_geometry, read_volume, write_volume
from medsr.volume import Volume

VOLUME_FORMATS = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh"]
TILTS = [(0, 0, 0), (18, 0, 0), (0.3, 0, 0), (0, 0, 90), (10, -20, 35), (0.02, 0.01, 0.03), (-95, 170, 12)]


def far_corner_error(one, other):
    corners = np.array([(x, y, z) for x in (0, 255) for y in (0, 255) for z in (0, 255)])
    return np.abs(one.to_patient(corners) - other.to_patient(corners)).max()


@pytest.mark.parametrize("extension", VOLUME_FORMATS)
@pytest.mark.parametrize("tilt", TILTS)
def test_an_oblique_volume_comes_back_in_its_place(tmp_path, io_volume, extension, tilt):
    volume = io_volume(tilt=tilt)
    path = write_volume(volume, tmp_path / f"a{extension}")
    back = read_volume(path)
    assert np.array_equal(back.array, volume.array)
    assert back.array.dtype == volume.array.dtype
    assert np.abs(back.geometry.affine - volume.geometry.affine).max() < 1e-4
    assert back.geometry.is_same_as(volume.geometry)
    assert back.warnings == ()
    assert read_geometry(path) == back.geometry


# Closer than 0.04 degrees to a half turn a quaternion of three float32 cannot be exact: TILTS[5] is left to the sform.
@pytest.mark.parametrize("tilt", [t for t in TILTS if t != (0.02, 0.01, 0.03)])
def test_sform_and_qform_both_carry_the_grid_for_nibabel_and_itk(tmp_path, io_volume, tilt):
    volume = io_volume(tilt=tilt)
    path = write_volume(volume, tmp_path / "a.nii")
    header = nibabel.load(path).header
    for form, code in (header.get_sform(coded=True), header.get_qform(coded=True)):
        assert code == 1
        assert np.abs(form - volume.geometry.affine_ras).max() < 1e-4
    assert header.get_xyzt_units()[0] == "mm"
    assert Volume.from_sitk(sitk.ReadImage(str(path))).geometry.is_same_as(volume.geometry)
    raw = bytearray(path.read_bytes())
    raw[254:256] = bytes(2)  # without the sform, ITK must find the same place
    path.write_bytes(raw)
    assert far_corner_error(Volume.from_sitk(sitk.ReadImage(str(path))).geometry, volume.geometry) < 0.02


def test_a_left_handed_grid_comes_back(tmp_path):
    grid = Geometry((3, 4, 5), (1, 2, 3), (1, 2, 3), (1, 0, 0, 0, 1, 0, 0, 0, -1))
    volume = Volume(np.arange(60, dtype=np.int16).reshape(5, 4, 3), grid)
    for extension in VOLUME_FORMATS:
        assert read_volume(write_volume(volume, tmp_path / f"{extension[1:]}{extension}")).geometry.is_same_as(grid)
    form = nibabel.load(tmp_path / "nii.nii").header.get_qform()
    assert np.abs(form - grid.affine_ras).max() < 1e-4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 12)] * 3),
    origin=st.tuples(*[st.floats(-400, 400)] * 3),
)
def test_any_grid_survives_nifti_and_nrrd(tmp_path, io_volume, angles, spacing, origin):
    direction = io_volume(tilt=angles).geometry.direction
    grid = Geometry((2, 3, 4), spacing, origin, direction)
    volume = Volume(np.zeros(grid.shape_zyx, np.uint8), grid)
    for name in ("a.nii", "a.nrrd"):
        back = read_geometry(write_volume(volume, tmp_path / name, overwrite=True))
        assert np.abs(back.affine - grid.affine).max() < 1e-4


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_voxel_type_comes_back(tmp_path, io_volume, extension, dtype):
    volume = io_volume(dtype)
    back = read_volume(write_volume(volume, tmp_path / f"a{extension}"))
    assert back.array.dtype == dtype
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("uint16", "int32"), ("int8", "int16"), ("float64", "float32"), ("bool", "uint8")]
)
def test_mgh_takes_the_next_wider_type(tmp_path, io_volume, dtype, stored):
    volume = io_volume(dtype)
    back = read_volume(write_volume(volume, tmp_path / "a.mgz"))
    assert back.array.dtype == stored
    assert np.array_equal(back.array, volume.array)


@pytest.mark.parametrize("extension", [".nii", ".nrrd", ".mha"])
def test_colours_come_back(tmp_path, io_volume, extension):
    volume = io_volume("uint8", colours=3)
    back = read_volume(write_volume(volume, tmp_path / f"a{extension}"))
    assert np.array_equal(back.array, volume.array)


def test_a_single_oblique_slice_keeps_its_place_in_volume_formats(tmp_path, io_volume):
    volume = io_volume(size_xyz=(6, 5, 1), planar=True)
    for extension in VOLUME_FORMATS:
        back = read_volume(write_volume(volume, tmp_path / f"{extension[1:]}{extension}"))
        assert back.geometry.is_same_as(volume.geometry)
        assert back.planar


@pytest.mark.parametrize(
    ("name", "dtype"), [("a.png", "uint16"), ("a.png", "uint8"), ("a.tif", "float32"), ("a.TIFF", "uint16")]
)
def test_pictures_come_back(tmp_path, io_volume, name, dtype):
    volume = io_volume(dtype, size_xyz=(6, 5, 1), planar=True)
    back = read_volume(write_volume(volume, tmp_path / name))
    assert np.array_equal(back.array, volume.array)
    assert back.array.dtype == dtype


def test_a_colour_jpeg_is_written(tmp_path, io_volume):
    volume = io_volume("uint8", colours=3, size_xyz=(16, 16, 1))
    assert read_volume(write_volume(volume, tmp_path / "a.jpg")).array.shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("name", "dtype", "slices", "words"),
    [
        ("a.png", "uint8", 2, "one slice, the volume has 2"),
        ("a.png", "int16", 1, "uint8 or uint16, not int16. Pass --dtype uint16"),
        ("a.jpg", "uint16", 1, "--dtype uint8"),
        ("a.tif", "float64", 1, "not float64"),
    ],
)
def test_what_a_picture_cannot_hold_is_refused(tmp_path, io_volume, name, dtype, slices, words):
    with pytest.raises(InvalidValueError, match=words):
        write_volume(io_volume(dtype, size_xyz=(6, 5, slices)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_other_formats_cannot_hold_is_refused(tmp_path, io_volume):
    with pytest.raises(InvalidValueError, match="colours"):
        write_volume(io_volume("uint8", colours=3), tmp_path / "a.mgz")
    with pytest.raises(InvalidValueError, match="colours of uint8"):
        write_volume(io_volume("uint16", colours=3), tmp_path / "a.nii")
    with pytest.raises(InvalidValueError, match="complex64"):
        write_volume(io_volume("complex64"), tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.nrd", r"Did you mean '\.nrrd'\?"),
        ("a.nii.zip", r"Accepted: \.nii"),
        ("a.bmp", "cannot be written"),
        ("a.dcm", "--format dicom"),
        ("a", "no extension"),
    ],
)
def test_an_extension_that_cannot_be_written_is_refused(tmp_path, io_volume, name, words):
    with pytest.raises(InvalidValueError, match=words):
        check_output(tmp_path / name)
    with pytest.raises(InvalidValueError, match=words):
        write_volume(io_volume(), tmp_path / name)


def test_a_folder_as_output_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="--format dicom"):
        check_output(tmp_path)


@pytest.mark.parametrize("extension", [".nii.gz", ".mhd"])
def test_an_existing_file_needs_overwrite(tmp_path, io_volume, extension):
    path = write_volume(io_volume(), tmp_path / f"a{extension}")
    before = path.read_bytes()
    for refuse in (lambda: check_output(path), lambda: write_volume(io_volume("uint8"), path)):
        with pytest.raises(OutputError, match="--overwrite"):
            refuse()
    assert path.read_bytes() == before
    assert check_output(path, overwrite=True) == path
    write_volume(io_volume("uint8"), path, overwrite=True)
    assert read_volume(path).array.dtype == np.uint8


def test_the_data_file_of_a_header_is_not_overwritten_either(tmp_path, io_volume):
    (tmp_path / "a.raw").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"a\.raw.*--overwrite"):
        write_volume(io_volume(), tmp_path / "a.mhd")
    assert (tmp_path / "a.raw").read_bytes() == b"precious"


def test_a_missing_folder_and_a_full_disk_are_found_before_the_work(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "no" / "a.nii")
    with pytest.raises(OutputError, match=r"has [\d.]+ [GTM]B left, the output needs"):
        check_output(tmp_path / "a.nii", needed_bytes=10**18)
    assert check_output(tmp_path / "a.nii", needed_bytes=10) == tmp_path / "a.nii"


def test_a_folder_that_may_not_be_written_to_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="may not be written"):
        check_output(tmp_path / "a.nii")


@pytest.mark.parametrize("extension", VOLUME_FORMATS)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, io_volume, monkeypatch, extension):
    path = write_volume(io_volume(), tmp_path / f"a{extension}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_volume(io_volume("uint8"), path, overwrite=True)
    assert isinstance(caught.value.__cause__, OSError)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_write_that_ends_early_is_noticed(tmp_path, io_volume, monkeypatch):
    def short(image, path, **options):
        Path(path).write_bytes(b"short")

    monkeypatch.setattr(sitk, "WriteImage", short)
    with pytest.raises(OutputError, match="disk full"):
        write_volume(io_volume(), tmp_path / "a.nrrd")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing_behind(tmp_path, io_volume, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    # The file is open by then, and holds nothing yet.
    monkeypatch.setattr(nibabel.Nifti1Image, "to_stream", stop)
    with pytest.raises(KeyboardInterrupt):
        write_volume(io_volume(), tmp_path / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []
