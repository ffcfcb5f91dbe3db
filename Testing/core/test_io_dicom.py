"""DICOM: what a series becomes, and which series are refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from medsr.errors import InputError, UnknownNameError
from medsr.io import describe, read_geometry, read_volume


def expected_voxels(slices=4, size_xy=(6, 5)):
    z, y, x = np.mgrid[:slices, : size_xy[1], : size_xy[0]]
    return 100 * z + 7 * y + x


def test_slices_are_ordered_by_position_not_by_name_or_instance_number(tmp_path, io_dicom):
    io_dicom(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels())
    assert volume.array.dtype == np.uint16


@pytest.mark.parametrize("tilt", [(0, 0, 0), (15, 0, 0), (0, 90, 0), (12, -40, 70)])
def test_grid_of_an_oblique_series_is_that_of_its_headers(tmp_path, io_dicom, tilt):
    paths = io_dicom(tmp_path / "s", tilt=tilt)
    volume = read_volume(tmp_path / "s")
    assert volume.geometry.size_xyz == (6, 5, 4)
    assert np.allclose(volume.geometry.spacing_xyz_mm, (0.7, 0.9, 3.0), atol=1e-6)
    for number, path in enumerate(paths):
        alone = read_volume(path)
        assert np.allclose(volume.geometry.to_patient((2, 1, number)), alone.geometry.to_patient((2, 1, 0)), atol=1e-6)
    assert read_geometry(tmp_path / "s") == volume.geometry


def test_ct_is_in_hounsfield_units_and_stays_integer(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert volume.modality == "CT"
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, expected_voxels() - 1024)


def test_a_fractional_slope_gives_real_numbers(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 * (i + 1), 3

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert volume.array.dtype == np.float32
    slopes = 0.5 * np.arange(1, 5)[:, None, None]
    assert np.allclose(volume.array, expected_voxels() * slopes + 3)


def test_header_facts_are_kept_and_the_patient_is_not(tmp_path, io_dicom):
    io_dicom(tmp_path / "s")
    volume = read_volume(tmp_path / "s")
    assert volume.modality == "MR"
    assert volume.facts.number("thickness_mm", "z") == 3.5
    assert volume.metadata["series_description"] == "phantom"
    assert volume.metadata["manufacturer"] == "ACME"
    assert volume.warnings == ()
    everything = json.dumps(describe(tmp_path / "s")) + repr(volume)
    for secret in ("Secret", "4711", "19991231"):
        assert secret not in everything


def test_other_modalities_are_named_in_the_metadata_only(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="PT")
    volume = read_volume(tmp_path / "s")
    assert volume.modality is None
    assert volume.metadata["modality"] == "PT"


def test_control_characters_in_texts_do_not_reach_a_terminal(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", description="evil\x1b[31mred")
    assert read_volume(tmp_path / "s").metadata["series_description"] == "evil[31mred"


def test_a_text_of_several_values_is_one_line(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", edit=lambda d, i: setattr(d, "ConvolutionKernel", ["Br40d", "3"]))
    assert read_volume(tmp_path / "s").metadata["convolution_kernel"] == "Br40d 3"


def test_one_slice_is_planar_and_says_that_there_are_more(tmp_path, io_dicom):
    paths = io_dicom(tmp_path / "s")
    volume = read_volume(paths[1])
    assert volume.planar
    assert volume.geometry.size_xyz == (6, 5, 1)
    assert "Pass the folder" in " ".join(volume.warnings)
    shutil.copy(paths[1], tmp_path / "alone.dcm")
    assert read_volume(tmp_path / "alone.dcm").warnings == ()


def test_dicom_is_known_by_content_when_the_name_says_nothing(tmp_path, io_dicom):
    paths = io_dicom(tmp_path / "s")
    nameless = tmp_path / "IM000001"
    shutil.copy(paths[0], nameless)
    assert read_volume(nameless).planar


def test_subfolders_are_searched_and_other_files_ignored(tmp_path, io_dicom, io_segmentation):
    io_dicom(tmp_path / "study" / "series")
    (tmp_path / "study" / "notes.txt").write_text("nothing")
    (tmp_path / "study" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(50))
    io_segmentation(tmp_path / "study" / "seg.dcm")
    assert read_volume(tmp_path / "study").geometry.size_xyz == (6, 5, 4)


def test_several_series_are_listed_with_what_tells_them_apart(tmp_path, io_dicom):
    io_dicom(tmp_path / "a", 4, series_uid="1.2.3.1", description="T1 axial", number=2)
    io_dicom(tmp_path / "b", 3, series_uid="1.2.3.2", description="T2 thick", number=1, modality="CT")
    with pytest.raises(InputError, match="--series") as caught:
        read_volume(tmp_path)
    lines = str(caught.value).splitlines()
    assert re.search(r"1: CT, T2 thick, 3 slices, 6 x 5, 0.7 x 0.9 mm, thickness 3.5 mm, 1\.2\.3\.2", lines[1])
    assert re.search(r"2: MR, T1 axial, 4 slices", lines[2])
    assert read_volume(tmp_path, series="2").geometry.size_xyz[2] == 4
    assert read_volume(tmp_path, series="1.2.3.2").geometry.size_xyz[2] == 3
    assert read_geometry(tmp_path, series="1").size_xyz[2] == 3
    for wrong in ("0", "3", "1.2.3.9", "T1"):
        with pytest.raises(UnknownNameError, match=r"1\.2\.3\.1"):
            read_volume(tmp_path, series=wrong)
    about = describe(tmp_path)
    assert [s["number"] for s in about["series"]] == [1, 2]
    assert "size_xyz" not in about
    assert describe(tmp_path, "2")["size_xyz"] == [6, 5, 4]


def test_a_folder_without_dicom_says_what_else_it_holds(tmp_path, io_volume):
    from medsr.io import write_volume

    with pytest.raises(InputError, match="no DICOM image"):
        read_volume(tmp_path)
    write_volume(io_volume(), tmp_path / "scan.nii")
    with pytest.raises(InputError, match=r"such as 'scan\.nii'"):
        read_volume(tmp_path)


def test_gantry_tilt_is_refused_with_its_angle(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", tilt=(14, 0, 0), step=(0, 0, 5))
    with pytest.raises(InputError, match=r"14\.0 degrees.*gantry tilt"):
        read_volume(tmp_path / "s")
    io_dicom(tmp_path / "upright", modality="CT", tilt=(0, 0, 0), step=(0, 0, 5))
    assert read_volume(tmp_path / "upright").geometry.spacing_xyz_mm[2] == pytest.approx(5)


def test_tilt_that_only_the_header_states_is_told(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", edit=lambda d, i: setattr(d, "GantryDetectorTilt", 12))
    assert "12 degrees" in " ".join(read_volume(tmp_path / "s").warnings)


def test_a_slice_out_of_line_is_refused(tmp_path, io_dicom):
    def edit(dataset, i):
        if i == 2:
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [float(x) + 1, y, z]

    io_dicom(tmp_path / "s", edit=edit)
    with pytest.raises(InputError, match=r"Slice 3 of 4 is shifted by 1 mm"):
        read_volume(tmp_path / "s")


@pytest.mark.parametrize("heights", [(0, 3, 6, 12, 15, 18), (0, 6, 9), (0, 3, 9)])
def test_a_missing_slice_is_refused_and_located(tmp_path, io_dicom, heights):
    io_dicom(tmp_path / "s", len(heights), heights=heights)
    with pytest.raises(InputError, match=r"unevenly spaced: 3 mm usually, but 6 mm between .* 1 slice\(s\) seem"):
        read_volume(tmp_path / "s")


def test_small_unevenness_is_told_with_numbers_and_none_is_not(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", heights=(0, 3.0, 6.1, 9.1))
    volume = read_volume(tmp_path / "s")
    assert "varies from 3 to 3.1 mm" in " ".join(volume.warnings)
    assert volume.geometry.spacing_xyz_mm[2] == pytest.approx(9.1 / 3)
    io_dicom(tmp_path / "even")
    assert read_volume(tmp_path / "even").warnings == ()
    io_dicom(tmp_path / "uneven", heights=(0, 3.0, 6.3, 9.3))
    with pytest.raises(InputError, match="unevenly"):
        read_volume(tmp_path / "uneven")


def test_several_images_in_one_place_are_refused(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 6, heights=(0, 0, 3, 3, 6, 6))
    with pytest.raises(InputError, match="6 images at 3 positions"):
        read_volume(tmp_path / "s")


def test_a_file_copied_twice_is_taken_once(tmp_path, io_dicom):
    paths = io_dicom(tmp_path / "s")
    shutil.copy(paths[1], tmp_path / "s" / "copy.dcm")
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels())
    assert "were left out: 'copy.dcm'" in volume.warnings[0]


def _smaller(dataset, i):
    if i == 1:
        dataset.Columns, dataset.Rows, dataset.PixelData = 4, 4, bytes(32)


def _turned(dataset, i):
    if i == 1:
        dataset.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]


def _finer(dataset, i):
    if i == 1:
        dataset.PixelSpacing = [0.5, 0.5]


def _nowhere(dataset, i):
    if i == 1:
        del dataset.ImagePositionPatient


def _skewed(dataset, i):
    dataset.ImageOrientationPatient = [1, 0, 0, 0.5, 0.866, 0]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_smaller, "different sizes"),
        (_turned, "different orientations"),
        (_finer, "different pixel spacings"),
        (_nowhere, "no position"),
        (_skewed, "right angles"),
    ],
)
def test_a_series_that_is_no_grid_is_refused(tmp_path, io_dicom, edit, words):
    io_dicom(tmp_path / "s", edit=edit)
    with pytest.raises(InputError, match=words):
        read_volume(tmp_path / "s")


def test_varying_thickness_is_told(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: setattr(d, "SliceThickness", 3 + (i == 3)))
    volume = read_volume(tmp_path / "s")
    assert volume.facts.number("thickness_mm", "z") == 3
    assert "varies from 3 to 4 mm" in volume.warnings[0]


def test_frames_of_an_enhanced_object_are_ordered_by_position(tmp_path, io_enhanced):
    volume = read_volume(io_enhanced(tmp_path / "e.dcm", heights=(6, 2, 0, 4)))
    assert volume.array[:, 0, 0].tolist() == [2, 1, 3, 0]
    assert volume.geometry.size_xyz == (3, 4, 4)
    assert volume.geometry.spacing_xyz_mm == (1.25, 1.5, 2.0)
    assert volume.geometry.origin_mm == (1.0, 2.0, 0.0)
    assert (volume.facts.number("thickness_mm", "z"), volume.modality) == (1.75, "MR")


def test_an_enhanced_object_with_time_points_or_gaps_is_refused(tmp_path, io_enhanced):
    with pytest.raises(InputError, match="4 images at 2 positions"):
        read_volume(io_enhanced(tmp_path / "t.dcm", heights=(0, 2, 0, 2)))
    with pytest.raises(InputError, match="unevenly"):
        read_volume(io_enhanced(tmp_path / "g.dcm", heights=(0, 2, 4, 8)))


def test_a_cine_without_positions_is_refused(tmp_path, io_enhanced):
    def edit(dataset):
        del dataset.PerFrameFunctionalGroupsSequence

    with pytest.raises(InputError, match="cine"):
        read_volume(io_enhanced(tmp_path / "c.dcm", edit=edit))


def test_a_segmentation_object_is_no_image(tmp_path, io_segmentation):
    with pytest.raises(InputError, match=r"no image.*SEG"):
        read_volume(io_segmentation(tmp_path / "seg.dcm"))


@pytest.mark.parametrize(
    "content", [b"hello " * 100, bytes(128) + b"DICM", bytes(128) + b"DICM" + b"\xff" * 300, b"\x08\x00" * 200]
)
def test_garbage_named_dicom_is_an_input_error(tmp_path, content):
    (tmp_path / "x.dcm").write_bytes(content)
    with pytest.raises(InputError):
        read_volume(tmp_path / "x.dcm")


def test_a_cut_file_is_an_input_error(tmp_path, io_dicom):
    path = io_dicom(tmp_path / "s")[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError):
        read_volume(path)


@pytest.mark.parametrize("slices", [1, 4])
def test_pixels_that_are_fewer_than_rows_and_columns_are_refused(tmp_path, io_dicom, slices):
    def shorten(dataset, i):
        if i == slices - 1:
            dataset.PixelData = dataset.PixelData[:-12]

    # Behind the pixels the file goes on: its length alone does not tell.
    def lengthen(dataset, i):
        dataset.DataSetTrailingPadding = bytes(500)

    paths = io_dicom(tmp_path / "s", slices, edit=lambda d, i: (shorten(d, i), lengthen(d, i)))
    with pytest.raises(InputError, match=r"'001.dcm' is truncated .* 5 rows of 6 pixels take 60 bytes, .* states 48"):
        read_volume(tmp_path / "s" if slices > 1 else paths[0])
    io_dicom(tmp_path / "whole", slices, edit=lengthen)
    assert np.array_equal(read_volume(tmp_path / "whole").array, expected_voxels()[:slices])


def test_frames_that_are_fewer_than_the_header_says_are_refused(tmp_path, io_enhanced):
    def shorten(dataset):
        dataset.PixelData = dataset.PixelData[:-24]
        dataset.DataSetTrailingPadding = bytes(500)

    with pytest.raises(InputError, match="is truncated"):
        read_volume(io_enhanced(tmp_path / "e.dcm", edit=shorten))


def test_a_file_without_pixels_is_refused(tmp_path, io_dicom):
    def strip(dataset, i):
        del dataset.PixelData
        dataset.DataSetTrailingPadding = bytes(500)

    with pytest.raises(InputError):
        read_volume(io_dicom(tmp_path / "s", 1, edit=strip)[0])


def test_a_header_that_promises_gigabytes_is_refused_before_memory_is_taken(tmp_path, io_dicom, io_edit_dicom):
    path = io_dicom(tmp_path / "s")[0]
    io_edit_dicom(path, Rows=65535, Columns=65535)
    with pytest.raises(InputError, match="promises"):
        read_volume(path)


def test_flipped_bytes_never_show_a_traceback(tmp_path, io_dicom):
    original = io_dicom(tmp_path / "s")[0].read_bytes()
    rng = np.random.default_rng(5)
    path = tmp_path / "x.dcm"
    refused = 0
    for _ in range(60):
        damaged = bytearray(original)
        for place in rng.integers(128, len(damaged), 6):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_volume(path)
        except InputError:
            refused += 1
    assert refused > 0
