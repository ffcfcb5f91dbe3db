"""Sidecars: facts about a NIfTI, NRRD or MetaImage, on the axes of the file, whatever was done to it since."""

from __future__ import annotations

import json
import os

import nibabel
import numpy as np
import pytest

from medsr.geometry import Geometry
from medsr.io import read_volume, write_volume
from medsr.io.sidecar_axes import Clues, across_slices, scan_axes

TSE = {
    "Modality": "MR",
    "MRAcquisitionType": "2D",
    "SliceThickness": 3,
    "SpacingBetweenSlices": 4,
    "AcquisitionMatrixPE": 12,
    "ReconMatrixPE": 16,
    "InPlanePhaseEncodingDirectionDICOM": "ROW",
    "PhaseEncodingDirection": "i-",
}
SAGITTAL = [0, 1, 0, 0, 0, -1]


@pytest.fixture
def read(tmp_path):
    """Reads a NIfTI of 16 x 20 x 6 voxels of 1 x 1 x 4 mm (x to the right) that lies beside a sidecar."""

    def make(sidecar, size=(16, 20, 6), spacing=(1.0, 1.0, 4.0), directions=None, dim_info=0, codes=1, name="a.nii.gz"):
        affine = np.eye(4)
        affine[:3, :3] = (np.eye(3) if directions is None else np.array(directions).T) * spacing
        image = nibabel.Nifti1Image(np.arange(np.prod(size)).reshape(size).astype(np.int16), None)
        image.header.set_zooms(spacing)
        image.set_sform(affine, codes)
        image.set_qform(affine, codes)
        image.header["dim_info"] = dim_info
        nibabel.save(image, tmp_path / name)
        beside = tmp_path / (name.split(".")[0] + ".json")
        if isinstance(sidecar, bytes):
            beside.write_bytes(sidecar)
        elif sidecar is not None:
            beside.write_text(json.dumps(sidecar))
        return read_volume(tmp_path / name)

    return make


def encodings(volume):
    return tuple(volume.facts.value("encoding", axis) for axis in "xyz")


def resolutions(volume):
    found = (volume.facts.number("resolution_mm", axis) for axis in "xyz")
    return tuple(None if number is None else round(number, 3) for number in found)


def told(volume):
    return " ".join(volume.warnings)


def test_a_sidecar_of_2d_mr_gives_facts_on_the_axes_of_the_file(read):
    volume = read(TSE)
    assert volume.modality == "MR"
    assert encodings(volume) == ("phase", "frequency", "slice")
    assert volume.facts.number("thickness_mm", "z") == 3
    assert resolutions(volume) == (1.333, None, None)
    assert {fact.source for fact in volume.facts} == {"sidecar"}
    assert "Along x the scanner acquired at 1.33 mm and filled in to pixels of 1 mm." in told(volume)


def test_without_a_sidecar_nothing_is_stated(read):
    volume = read(None)
    assert (volume.facts.all, volume.warnings, volume.modality) == ((), (), None)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nhdr", "a.mhd", "a.nii"])
def test_other_formats_have_sidecars_too_and_pictures_have_none(tmp_path, io_volume, name):
    (tmp_path / "a.json").write_text(json.dumps(TSE))
    assert read_volume(write_volume(io_volume(), tmp_path / name)).facts.number("thickness_mm", "z") == 3
    picture = write_volume(io_volume("uint8", size_xyz=(9, 9, 1)), tmp_path / "a.png")
    assert read_volume(picture).facts.all == ()


def test_names_dates_and_places_are_not_read(read):
    private = {"PatientName": "Secret", "AcquisitionDateTime": "19991231", "InstitutionName": "Here"}
    assert not any(word in repr(read({**TSE, **private})) for word in ("Secret", "19991231", "Here"))


def test_the_report_of_a_job_beside_its_output_is_no_sidecar(read):
    volume = read({"modality": "MR", "warnings": ["x"], "factors_xyz": [2, 2, 2]})
    assert (volume.facts.all, volume.warnings) == ((), ())


# --- which axis is which


def test_the_orientation_tells_the_axes_of_a_volume_that_was_turned(read):
    sidecar = {**TSE, "ImageOrientationPatientDICOM": SAGITTAL, "MRAcquisitionType": "3D"}
    # As acquired: rows to the back, columns down.
    kept = read(sidecar, directions=[[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    assert encodings(kept) == ("phase", "frequency", "partition")
    # As dcm2niix turns 3D acquisitions: x right, y to the front, z up.
    turned = read(sidecar, size=(6, 16, 20), spacing=(4.0, 1.0, 1.0))
    assert encodings(turned) == ("partition", "phase", "frequency")
    assert turned.facts.number("thickness_mm", "x") == 3
    assert resolutions(turned) == (None, 1.333, None)


def test_the_phase_direction_of_the_file_counts_unless_the_file_was_turned(read):
    flat = {**TSE, "ImageOrientationPatientDICOM": [1, 0, 0, 0, 1, 0], "PhaseEncodingDirection": "j"}
    assert encodings(read(flat)) == ("frequency", "phase", "slice")
    assert encodings(read({**flat, "PhaseEncodingDirection": None})) == ("phase", "frequency", "slice")
    stale = {**TSE, "ImageOrientationPatientDICOM": SAGITTAL, "PhaseEncodingDirection": "i"}
    turned = read(stale, size=(6, 16, 20), spacing=(4.0, 1.0, 1.0))
    assert encodings(turned) == ("slice", "phase", "frequency")
    assert "leads across the slices" in told(turned)


def test_a_volume_that_does_not_say_how_it_lies_is_not_compared_with_the_orientation(read):
    sidecar = {**TSE, "ImageOrientationPatientDICOM": SAGITTAL}
    assert encodings(read(sidecar, codes=0))[2] == "slice"


@pytest.mark.parametrize(
    ("clues", "spacing", "expected"),
    [
        ({}, (4, 1, 1), "z"),
        ({"distance_mm": 4.0}, (1, 1, 4), "z"),
        ({"distance_mm": 4.0}, (4, 1, 1), "x"),
        ({"distance_mm": 4.0}, (1, 4, 1), "y"),
        ({"distance_mm": 1.0}, (1, 1, 1), "z"),  # fits all
        ({"distance_mm": 1.0}, (1, 1, 3), "z"),  # fits two
        ({"distance_mm": 7.0}, (1, 2, 3), "z"),  # fits none
        ({"thickness_mm": 4.0}, (4, 1, 1), "x"),
        ({"distance_mm": 4.0, "slice_direction": "j-"}, (4, 1, 1), "y"),
        ({"distance_mm": 4.0, "across": "z"}, (4, 1, 1), "z"),
        ({"slice_direction": "q"}, (4, 1, 1), "z"),
        ({"distance_mm": -4.0}, (4, 1, 1), "z"),
    ],
)
def test_the_axis_across_the_slices_is_stated_or_has_their_distance(clues, spacing, expected):
    geometry = Geometry((8, 8, 8), spacing)
    assert across_slices(Clues(**clues), geometry) == expected
    axes, _, _ = scan_axes(Clues(**clues), geometry, oriented=True)
    assert {axes.row, axes.column, axes.across} == set("xyz")
    assert axes.across == expected


@pytest.mark.parametrize(
    "orientation", [(0,) * 6, (1e9, 0, 0, 0, 1e9, 0), (1, 0, 0, 1, 0, 0), (0.7, 0.7, 0, -0.7, 0.7, 0)]
)
def test_an_orientation_that_fits_no_axes_is_passed_over(orientation):
    geometry = Geometry((8, 8, 8), (1.0, 4.0, 1.0))
    axes, _, _ = scan_axes(Clues(orientation=orientation, distance_mm=4.0), geometry, oriented=True)
    assert axes.across == "y"


def test_other_distances_than_the_sidecar_states_are_told(read):
    assert "4 mm apart, this file has them 1 mm apart along z" in told(read(TSE, spacing=(1.0, 1.0, 1.0)))
    assert "apart" not in told(read(TSE))
    # GE states another distance in some series; there the thickness fits.
    assert "apart" not in told(read({**TSE, "SpacingBetweenSlices": 12, "SliceThickness": 4}))


# --- what the scanner did


def test_a_file_that_was_cut_does_not_have_the_matrix_of_its_sidecar(read):
    volume = read(TSE, size=(12, 20, 6))
    assert resolutions(volume) == (None, None, None)
    assert encodings(volume)[0] == "phase"
    assert "has 12 pixels along x, the scanner reconstructed 16" in told(volume)


def test_siemens_lines_of_oversampling_do_not_count(read):
    interpolated = {"BaseResolution": 10, "PercentSampling": 100, "PercentPhaseFOV": 80, "Interpolation2D": 1}
    volume = read({**TSE, **interpolated, "AcquisitionMatrixPE": 9})
    assert resolutions(volume) == (2.0, 2.0, None)
    assert volume.facts.value("interpolated") == "in the plane"


@pytest.mark.parametrize(("factor", "expected"), [(2, 2.0), (1, None), (900, None)])
def test_interpolation_across_the_slices(read, factor, expected):
    sidecar = {**TSE, "MRAcquisitionType": "3D", "SliceThickness": 1, "SpacingBetweenSlices": 1}
    volume = read({**sidecar, "Interpolation3D": factor}, spacing=(1.0, 1.0, 1.0))
    assert resolutions(volume)[2] == expected
    assert "Interpolation3D" not in told(volume)


@pytest.mark.parametrize(
    ("keys", "enhanced", "denoised"),
    [
        ({"Manufacturer": "GE", "DeepLearning": True, "DeepLearningDetails": "0.75\\High"}, "AIR Recon DL High", None),
        ({"Manufacturer": "Siemens", "DeepLearning": True, "ImageType": ["M", "DRS"]}, "Deep Resolve Sharp", None),
        ({"Manufacturer": "Siemens", "ImageTypeText": ["DRG", "DRB"]}, None, "Deep Resolve Boost, Deep Resolve Gain"),
        ({"Manufacturer": "Philips", "DeepLearning": True, "DeepLearningDetails": "CS_SENSE_AI"}, None, "CS_SENSE_AI"),
        ({"Manufacturer": "Philips", "DeepLearning": False}, None, None),
    ],
)
def test_networks_of_the_vendors(read, keys, enhanced, denoised):
    volume = read({**TSE, **keys})
    assert (volume.facts.value("enhanced_by"), volume.facts.value("denoised_by")) == (enhanced, denoised)
    assert ("already sharpened" in told(volume)) == bool(enhanced)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"PartialFourier": 0.75}, True),
        ({"PartialFourier": 1}, False),
        ({"PartialFourierEnabled": "YES"}, True),
        ({"PartialFourier": 7}, None),
        ({}, None),
    ],
)
def test_partial_fourier(read, keys, expected):
    assert read({**TSE, **keys}).facts.value("partial_fourier") is expected


def test_ct(read):
    volume = read({"Modality": "CT", "SliceThickness": 5, "ConvolutionKernel": "B30f", "ScanOptions": "HELICAL MODE"})
    assert (volume.modality, encodings(volume)) == ("CT", ("detector", "detector", "slice"))
    assert (volume.facts.value("kernel"), volume.facts.value("scan")) == ("B30f", "helical")


# --- dim_info


def packed(frequency, phase, across):
    return frequency | phase << 2 | across << 4


def test_dim_info_is_a_statement_of_the_header(read):
    volume = read(None, dim_info=packed(2, 1, 3))
    assert encodings(volume) == ("phase", "frequency", "slice")
    assert {fact.source for fact in volume.facts} == {"header"}
    assert encodings(read(None, dim_info=packed(1, 2, 0))) == ("frequency", "phase", None)
    assert encodings(read(None, dim_info=packed(1, 1, 3))) == (None, None, None)


def test_dim_info_calls_partitions_slices_too(read):
    assert encodings(read(None, dim_info=packed(2, 1, 3), spacing=(1.0, 1.0, 1.2)))[2] is None
    partitions = read({**TSE, "MRAcquisitionType": "3D"}, dim_info=packed(2, 1, 3))
    assert encodings(partitions)[2] == "partition"
    assert partitions.facts.contradictions() == []


def test_dim_info_tells_a_sidecar_without_directions_which_axis_is_which(read):
    sidecar = {"MRAcquisitionType": "2D", "SliceThickness": 3, "AcquisitionMatrixPE": 10}
    volume = read(sidecar, dim_info=packed(1, 2, 3), size=(20, 20, 6))
    assert encodings(volume) == ("frequency", "phase", "slice")
    assert resolutions(volume) == (None, 2.0, None)


# --- hostile sidecars


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no json",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"SliceThickness":' * 20_000,
        b'{"SliceThickness": ' + b"9" * 10_000 + b"}",
        b'{"a": "' + b"x" * 1_100_000 + b'"}',
        b"[1, 2]",
        b"null",
    ],
)
def test_a_sidecar_that_is_none_is_told_and_the_image_is_read(read, content):
    volume = read(content)
    assert volume.facts.all == ()
    assert len(volume.warnings) == 1
    assert "sidecar 'a.json'" in volume.warnings[0]
    assert read(json.dumps(TSE).encode("utf-8-sig")).facts.number("thickness_mm", "z") == 3


@pytest.mark.parametrize("value", [[1], {"a": 1}, "thick", True, float("nan"), float("inf"), 10**400])
def test_a_value_of_another_type_is_told_and_the_others_count(read, value):
    text = json.dumps({**TSE, "SliceThickness": "HERE"}).replace('"HERE"', json.dumps(value))
    volume = read(text.encode())
    assert volume.facts.get("thickness_mm", "z") is None
    assert "'a.json' says SliceThickness in a way that is not understood" in told(volume)
    assert encodings(volume) == ("phase", "frequency", "slice")


def test_every_key_may_hold_nonsense(read):
    from medsr.io.sidecar import _KEYS

    for nonsense in ({}, [[[]]], "\x1b[31m" * 999, -1, 0, 1e300, [None], ["\x1b"] * 5000, True, "\ud800"):
        volume = read(dict.fromkeys(_KEYS, nonsense))
        assert all(text.isprintable() for text in volume.warnings)
        texts = [fact.value for fact in volume.facts if isinstance(fact.value, str)]
        assert all(len(text) <= 120 and text.isprintable() for text in texts)


@pytest.mark.parametrize("thickness", [0, -1, 90000])
def test_a_thickness_that_cannot_be_is_ignored_with_a_sentence(read, thickness):
    volume = read({**TSE, "SliceThickness": thickness})
    assert volume.facts.get("thickness_mm", "z") is None
    assert f"slice thickness is {thickness:g} mm, which cannot be" in told(volume)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_sidecar_that_is_no_file_is_left_alone(read, tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert read(None).warnings == ()
    (tmp_path / "b.json").mkdir()
    assert read(None, name="b.nii.gz").warnings == ()
