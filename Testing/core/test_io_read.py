"""Image files: what is read, and which files are refused with what sentence."""

from __future__ import annotations

import gzip
import itertools
import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from medsr.errors import InputError, InputNotFoundError, InvalidValueError
from medsr.io import describe, read_geometry, read_volume, write_volume
from medsr.volume import Volume

SCALED = np.diag([1.0, 2.0, 3.0, 1.0])
MOVED = SCALED.copy()
MOVED[:3, 3] = (10, 20, 30)
SHEARED = SCALED.copy()
SHEARED[0, 1] = 0.5


def save_nifti(path, sform=SCALED, qform=SCALED, codes=(1, 1), shape=(4, 5, 6), dtype=np.int16, edit=None):
    """A NIfTI file with just these forms; values count up in file order."""
    data = np.arange(np.prod(shape)).reshape(shape, order="F").astype(dtype)
    image = nibabel.Nifti1Image(data, None)
    image.header.set_zooms([1.0, 2.0, 3.0, *[1.0] * 4][: len(shape)])
    image.set_sform(sform, codes[0])
    image.set_qform(qform, codes[1])
    if edit:
        edit(image.header)
    nibabel.save(image, path)
    return path


def patch_header(path, offset, content):
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(raw)
    return path


def floats(*values):
    return np.array(values, "<f4").tobytes()


# --- paths and formats


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"no file or folder .*nothing\.nii"):
        read_volume(tmp_path / "nothing.nii")
    with pytest.raises(FileNotFoundError):
        read_geometry(tmp_path / "nothing.nii")


def test_a_path_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be opened"):
        read_volume(tmp_path / ("a" * 300 + ".nii"))
    with pytest.raises(InputNotFoundError):
        read_volume(tmp_path / "file" / "a.nii")


def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, io_dicom):
    io_dicom(tmp_path)
    monkeypatch.chdir(tmp_path)
    for read in (read_volume, read_geometry, describe):
        with pytest.raises(InputError, match="path is empty"):
            read("")
    assert read_volume(".").array.shape == (4, 5, 6)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mgz", "a.png", "a.jpg", "a.tif", "a.dcm"])
@pytest.mark.parametrize("content", [b"", b"no image " * 100])
def test_empty_files_and_text_are_input_errors_of_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_volume(tmp_path / name)
    text = str(caught.value)
    assert name in text
    assert "\n" not in text
    assert "itk" not in text.lower()
    assert ("empty" in text) == (content == b"")


def test_an_unknown_extension_lists_the_known_and_suggests_the_nearest(tmp_path):
    (tmp_path / "a.nrd").write_bytes(b"x" * 200)
    with pytest.raises(InputError, match=r"Did you mean '\.nrrd'\?.*\.nii\.gz"):
        read_volume(tmp_path / "a.nrd")


def test_series_is_only_for_dicom(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    with pytest.raises(InvalidValueError, match="--series"):
        read_volume(path, series="1")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.mgz", "a.mgh", "a.png"])
def test_a_truncated_file_is_an_input_error_and_the_whole_one_is_read(tmp_path, io_volume, name):
    path = tmp_path / name
    whole = io_volume("uint8", size_xyz=(40, 30, 1 if name == "a.png" else 20))
    noise = np.random.default_rng(0).integers(0, 256, whole.array.shape).astype(np.uint8)
    write_volume(whole.replace(array=noise), path)
    assert np.array_equal(read_volume(path).array, noise)
    data = path.with_suffix(".raw") if name in ("a.nhdr", "a.mhd") else path
    data.write_bytes(data.read_bytes()[: int(data.stat().st_size * 0.7)])
    with pytest.raises(InputError, match="truncated or"):
        read_volume(path)


@pytest.mark.parametrize("extension", ["jpg", "bmp"])
def test_a_cut_picture_is_refused_though_its_decoder_would_not(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(2400, dtype=np.uint8).reshape(40, 60)), str(path))
    assert read_volume(path).planar
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="truncated"):
        read_volume(path)


def test_a_flipped_bit_in_a_gzipped_nrrd_is_found(tmp_path, io_volume):
    path = tmp_path / "a.nrrd"
    image = io_volume(size_xyz=(20, 20, 20)).to_sitk()
    sitk.WriteImage(image, str(path), useCompression=True)
    assert read_volume(path).array.shape == (20, 20, 20)
    patch_header(path, path.stat().st_size - 6, bytes([path.read_bytes()[-6] ^ 255]))
    with pytest.raises(InputError, match="corrupt"):
        read_volume(path)


def test_a_missing_data_file_is_an_input_error(tmp_path, io_volume):
    path = write_volume(io_volume(), tmp_path / "a.mhd")
    path.with_suffix(".raw").unlink()
    with pytest.raises(InputError):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha"])
def test_a_header_that_promises_terabytes_is_refused_before_memory_is_taken(tmp_path, io_volume, name):
    path = write_volume(io_volume(), tmp_path / name)
    if name == "a.mha":
        path.write_bytes(path.read_bytes().replace(b"DimSize = 6 5 4", b"DimSize = 60000 50000 4000"))
    else:
        raw = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
        raw = raw[:42] + np.array([30000, 30000, 30000], "<i2").tobytes() + raw[48:]
        path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    with pytest.raises(InputError, match="promises"):
        read_volume(path)


# --- NIfTI


def test_nifti_is_read_as_itk_reads_it(tmp_path):
    path = save_nifti(tmp_path / "a.nii", MOVED, MOVED)
    volume = read_volume(path)
    image = sitk.ReadImage(str(path))
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(image))
    assert volume.array.dtype == np.int16
    assert volume.geometry.is_same_as(Volume.from_sitk(image).geometry)
    assert volume.warnings == ()
    assert read_geometry(path) == volume.geometry


@pytest.mark.parametrize("codes", [c for c in itertools.product(range(5), repeat=2) if c != (0, 0)])
def test_the_choice_between_sform_and_qform_is_that_of_itk_and_is_told(tmp_path, codes):
    path = save_nifti(tmp_path / "a.nii", SCALED, MOVED, codes)
    volume = read_volume(path)
    assert np.allclose(volume.geometry.origin_mm, sitk.ReadImage(str(path)).GetOrigin())
    told = " ".join(volume.warnings)
    if 0 in codes:
        assert told == ""
    else:
        used = "sform" if codes[0] == 1 else "qform"
        assert f"37.4 apart; the {used} was used" in told


def test_a_nifti_without_orientation_is_told(tmp_path):
    path = save_nifti(tmp_path / "a.nii", codes=(0, 0))
    volume = read_volume(path)
    assert "does not say how it lies" in volume.warnings[0]
    assert volume.geometry.is_same_as(Volume.from_sitk(sitk.ReadImage(str(path))).geometry)


@pytest.mark.parametrize("codes", [(1, 0), (2, 0), (1, 1), (2, 1), (2, 2), (4, 0)])
def test_a_sheared_sform_is_refused(tmp_path, codes):
    path = save_nifti(tmp_path / "a.nii", SHEARED, SCALED, codes)
    with pytest.raises(InputError, match=r"sform of 'a\.nii'.*not at right angles"):
        read_volume(path)
    with pytest.raises(InputError, match="right angles"):
        read_geometry(path)


def test_a_sheared_map_to_a_template_does_not_matter_beside_a_qform(tmp_path):
    volume = read_volume(save_nifti(tmp_path / "a.nii", SHEARED, SCALED, (4, 1)))
    assert volume.geometry.spacing_xyz_mm == (1.0, 2.0, 3.0)
    assert "qform was used" in volume.warnings[0]


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
def test_a_spacing_that_is_not_positive_is_refused(tmp_path, value):
    path = patch_header(save_nifti(tmp_path / "a.nii"), 80, floats(value))
    with pytest.raises(InputError, match=r"pixdim.*positive"):
        read_volume(path)


def test_a_singular_sform_is_refused(tmp_path):
    flat = patch_header(save_nifti(tmp_path / "a.nii", codes=(1, 0)), 280, floats(0, 0, 0, 0))
    with pytest.raises(InputError, match="singular"):
        read_volume(flat)
    twice = patch_header(save_nifti(tmp_path / "b.nii", codes=(1, 0)), 280, floats(0, 2, 0, 0))
    with pytest.raises(InputError, match=r"singular|no length"):
        read_volume(twice)


@pytest.mark.parametrize(("offset", "value"), [(280, "nan"), (292, "nan"), (280, "inf")])
def test_a_form_with_numbers_that_are_none_is_refused_by_name(tmp_path, offset, value):
    path = patch_header(save_nifti(tmp_path / "a.nii", codes=(1, 0)), offset, floats(float(value)))
    with pytest.raises(InputError, match=r"The sform of 'a\.nii' holds numbers that are NaN or infinite"):
        read_volume(path)
    path = patch_header(save_nifti(tmp_path / "b.nii", codes=(0, 1)), 268, floats(float(value)))
    with pytest.raises(InputError, match=r"The qform of 'b\.nii' holds numbers that are NaN or infinite"):
        read_geometry(path)


def test_a_qform_that_is_no_rotation_is_refused(tmp_path):
    path = patch_header(save_nifti(tmp_path / "a.nii", codes=(0, 1)), 256, floats(1, 1, 1))
    with pytest.raises(InputError, match="no rotation"):
        read_volume(path)


def test_sform_and_pixdim_that_disagree_are_told(tmp_path):
    path = patch_header(save_nifti(tmp_path / "a.nii", codes=(1, 0)), 80, floats(1, 1, 1))
    volume = read_volume(path)
    assert volume.geometry.spacing_xyz_mm == (1.0, 2.0, 3.0)
    assert "pixdim says 1 x 1 x 1" in volume.warnings[0]


@pytest.mark.parametrize(("unit", "factor", "word"), [(1, 1000, "metres"), (3, 0.001, "micrometres")])
def test_other_units_are_converted_to_mm_and_told(tmp_path, unit, factor, word):
    path = save_nifti(tmp_path / "a.nii", MOVED, MOVED, edit=lambda h: h.__setitem__("xyzt_units", unit))
    volume = read_volume(path)
    assert np.allclose(volume.geometry.spacing_xyz_mm, np.array([1, 2, 3]) * factor)
    assert np.allclose(volume.geometry.origin_mm, np.array([-10, -20, 30]) * factor)
    assert word in volume.warnings[0]


def test_scl_slope_is_honoured_and_whole_ones_keep_integers(tmp_path):
    count = np.arange(120).reshape(6, 5, 4)
    whole = read_volume(save_nifti(tmp_path / "a.nii", edit=lambda h: h.set_slope_inter(2, -1024)))
    assert whole.array.dtype == np.int16
    assert np.array_equal(whole.array, count * 2 - 1024)
    real = read_volume(save_nifti(tmp_path / "b.nii", edit=lambda h: h.set_slope_inter(0.5, 3)))
    assert real.array.dtype == np.float32
    assert np.allclose(real.array, count * 0.5 + 3)
    below = read_volume(save_nifti(tmp_path / "c.nii", dtype=np.uint16, edit=lambda h: h.set_slope_inter(1, -1024)))
    assert below.array.dtype == np.int16
    wide = read_volume(save_nifti(tmp_path / "d.nii", edit=lambda h: h.set_slope_inter(1000, 0)))
    assert wide.array.dtype == np.int32
    assert wide.array.max() == 119000


def test_trailing_axes_of_one_are_dropped_and_longer_ones_refused(tmp_path):
    assert read_volume(save_nifti(tmp_path / "a.nii", shape=(4, 5, 6, 1))).array.shape == (6, 5, 4)
    assert read_volume(save_nifti(tmp_path / "b.nii", shape=(4, 5))).planar
    for name, shape in (("c.nii", (4, 5, 6, 3)), ("d.nii", (4, 5, 6, 1, 3))):
        with pytest.raises(InputError, match=r"dimensions \(4 x 5 x 6 x .* extract one"):
            read_volume(save_nifti(tmp_path / name, shape=shape))


def test_complex_voxels_are_refused(tmp_path):
    with pytest.raises(InputError, match="complex"):
        read_volume(save_nifti(tmp_path / "a.nii", dtype=np.complex64))


@pytest.mark.parametrize("code", [0, 1])
def test_voxels_of_no_known_type_are_refused(tmp_path, code):
    path = patch_header(save_nifti(tmp_path / "a.nii"), 70, bytes([code, 0]))
    with pytest.raises(InputError, match="voxels of type"):
        read_volume(path)


def test_big_endian_and_nifti2_are_read(tmp_path):
    data = np.arange(120, dtype=">i2").reshape(4, 5, 6)
    big = nibabel.Nifti1Image(data, SCALED, nibabel.Nifti1Header(endianness=">"), dtype=">i2")
    nibabel.save(big, tmp_path / "big.nii")
    nibabel.save(nibabel.Nifti2Image(data.astype(np.int16), SCALED), tmp_path / "two.nii.gz")
    for name in ("big.nii", "two.nii.gz"):
        volume = read_volume(tmp_path / name)
        assert np.array_equal(volume.array, data.T)
        assert volume.array.dtype == np.dtype("int16")
        assert volume.array.dtype.isnative


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -8.0])
def test_an_impossible_voxel_offset_is_refused(tmp_path, value):
    path = patch_header(save_nifti(tmp_path / "a.nii"), 108, floats(value))
    with pytest.raises(InputError, match="header is corrupt"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.mgh", "a.mgz"])
def test_flipped_bytes_never_show_a_traceback(tmp_path, io_volume, name):
    path = write_volume(io_volume(), tmp_path / name)
    original = path.read_bytes()
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        damaged = bytearray(original)
        for place in rng.integers(0, min(348, len(damaged)), 6):
            damaged[place] = rng.choice([0, 255, rng.integers(256)])
        path.write_bytes(damaged)
        try:
            read_volume(path)
        except InputError:
            refused += 1
    assert refused > 0


# --- MGH, NRRD, MetaImage


def test_mgz_is_put_into_lps(tmp_path):
    data = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    nibabel.save(nibabel.MGHImage(data, MOVED), tmp_path / "a.mgz")
    volume = read_volume(tmp_path / "a.mgz")
    assert np.array_equal(volume.array, data.T)
    assert np.allclose(volume.geometry.affine_ras, MOVED, atol=1e-4)
    nibabel.save(nibabel.MGHImage(np.zeros((4, 5, 6, 2), np.int16), MOVED), tmp_path / "b.mgz")
    with pytest.raises(InputError, match="4 dimensions"):
        read_volume(tmp_path / "b.mgz")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 0.5 1 0 0 0 1", "right angles"),
        (b"TransformMatrix = 1 0 0 0 1 0 0 0 1", b"TransformMatrix = 1 0 0 1 0 0 0 0 1", "singular"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = 0 1 1", "spacing"),
    ],
)
def test_a_metaimage_with_an_impossible_grid_is_refused(tmp_path, old, new, words):
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkInt16), str(path))
    assert read_volume(path).geometry.size_xyz == (4, 5, 6)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=words):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_vectors_and_time_series_are_refused_but_colours_are_not(tmp_path, name):
    path = tmp_path / name
    plain = sitk.Image([4, 5, 6], sitk.sitkInt16)
    sitk.WriteImage(sitk.JoinSeries([plain]), str(path))
    assert read_volume(path).array.shape == (6, 5, 4)
    sitk.WriteImage(sitk.JoinSeries([plain, plain]), str(path))
    with pytest.raises(InputError, match=r"4 dimensions.*SimpleITK\.Extract"):
        read_volume(path)
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), str(path))
    assert read_volume(path).array.shape == (6, 5, 4, 3)
    for kind, components in ((sitk.sitkVectorFloat32, 3), (sitk.sitkVectorUInt8, 2), (sitk.sitkVectorInt16, 7)):
        sitk.WriteImage(sitk.Image([4, 5, 6], kind, components), str(path))
        with pytest.raises(InputError, match=f"{components} components"):
            read_volume(path)


def test_complex_metaimage_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkComplexFloat32), str(tmp_path / "a.nrrd"))
    with pytest.raises(InputError, match=r"complex|components"):
        read_volume(tmp_path / "a.nrrd")


# --- pictures


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.tif", "a.tiff", "a.bmp"])
def test_a_grey_picture_is_planar_with_pixels_of_1_mm(tmp_path, name):
    sitk.WriteImage(sitk.Image([8, 6], sitk.sitkUInt8) + 7, str(tmp_path / name))
    volume = read_volume(tmp_path / name)
    assert volume.planar
    assert volume.array.shape == (1, 6, 8)
    assert np.allclose(volume.geometry.spacing_xyz_mm, 1)
    assert (volume.array == 7).all()
    assert read_geometry(tmp_path / name).size_xyz == (8, 6, 1)


def test_colours_are_kept_and_transparency_dropped_with_a_warning(tmp_path):
    for components in (3, 4):
        sitk.WriteImage(sitk.Image([8, 6], sitk.sitkVectorUInt8, components), str(tmp_path / "a.png"))
        volume = read_volume(tmp_path / "a.png")
        assert volume.array.shape == (1, 6, 8, 3)
        assert ("transparency" in " ".join(volume.warnings)) == (components == 4)


def test_sixteen_bit_png_and_pixel_size_are_kept(tmp_path):
    image = sitk.Image([8, 6], sitk.sitkUInt16) + 40000
    image.SetSpacing((0.25, 0.25))
    sitk.WriteImage(image, str(tmp_path / "a.png"))
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.dtype == np.uint16
    assert volume.array.max() == 40000
    assert volume.geometry.spacing_xyz_mm == pytest.approx((0.25, 0.25, 1), abs=1e-6)


def test_a_stack_of_pictures_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([8, 6, 3], sitk.sitkUInt8), str(tmp_path / "a.tif"))
    with pytest.raises(InputError, match="3 pictures"):
        read_volume(tmp_path / "a.tif")


# --- describe


def test_describe_gives_plain_values(tmp_path, io_volume):
    path = write_volume(io_volume("int16", tilt=(0, 0, 0)), tmp_path / "a.nii.gz")
    about = json.loads(json.dumps(describe(path), allow_nan=False))
    assert about["format"] == "NIfTI"
    assert about["size_xyz"] == [6, 5, 4]
    assert about["axes"] == "LPS"
    assert about["dtype"] == "int16"
    assert (about["intensity"]["min"], about["intensity"]["max"], about["intensity"]["p50"]) == (0, 119, 59.5)
    assert (about["modality"], about["modality_from"]) == (None, "not stated in the file")
    assert about["anisotropy"] == pytest.approx(3.3 / 0.7, abs=1e-3)


def test_describe_survives_voxels_that_are_no_numbers(tmp_path, io_volume):
    volume = io_volume("float32")
    volume.array[0, 0, 0] = np.nan
    about = describe(write_volume(volume, tmp_path / "a.nrrd"))
    assert about["intensity"]["not_finite"] == 1
    json.dumps(about, allow_nan=False)
    volume.array[:] = np.nan
    assert describe(write_volume(volume, tmp_path / "b.nrrd"))["intensity"]["max"] is None


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0, 0, 1, 0, 0, 0, 1), "LPS"),
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1), "RAS"),
        ((0, 0, 1, 1, 0, 0, 0, -1, 0), "PIL"),
    ],
)
def test_axis_letters_say_where_the_axes_point(tmp_path, direction, letters):
    image = sitk.Image([4, 5, 6], sitk.sitkInt16)
    image.SetDirection(direction)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert describe(tmp_path / "a.nrrd")["axes"] == letters
