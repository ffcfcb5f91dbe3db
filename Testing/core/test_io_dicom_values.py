"""From stored DICOM numbers to intensities: scales, negatives, padding, and modalities that are neither MR nor CT."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medsr.errors import InputError
from medsr.inference.planner import decide_modality, make_plan
from medsr.io import describe, instance_facts, read_volume
from medsr.options import UpscaleOptions


def expected_voxels(slices=4, size_xy=(6, 5)):
    z, y, x = np.mgrid[:slices, : size_xy[1], : size_xy[0]]
    return 100 * z + 7 * y + x


def told(volume):
    return " ".join(volume.warnings)


def _scaled(slope, intercept):
    def edit(dataset, i):
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept

    return edit


# --- rescale slope and intercept


def test_a_scale_that_one_slice_lacks_is_refused_by_name(tmp_path, io_dicom):
    def edit(dataset, i):
        if i != 2:
            dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    with pytest.raises(InputError, match=r"1 of 4 slices give no rescale .*: '002\.dcm'"):
        read_volume(tmp_path / "s")


def test_a_missing_scale_is_the_same_as_one_that_changes_nothing(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: _scaled(1, 0)(d, i) if i == 2 else None)
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels())
    assert volume.warnings == ()


def test_slices_scaled_in_two_ways_are_told_by_name_and_scaled_as_they_say(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: _scaled(3 if i == 1 else 2, 0)(d, i))
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels() * np.array([2, 3, 2, 2])[:, None, None])
    assert "scaled in 2 ways" in told(volume)
    assert "3 and 0 hold for 1 of 4: '003.dcm'" in told(volume)


@pytest.mark.parametrize("slope", [1e30, -1e30, 1e300])
def test_a_scale_beyond_all_intensities_is_refused(tmp_path, io_dicom, slope):
    io_dicom(tmp_path / "s", edit=_scaled(slope, 0))
    with pytest.raises(InputError, match=r"'00\d.dcm' gives a rescale slope of .*up to 1e\+09 are accepted"):
        read_volume(tmp_path / "s")


@pytest.mark.parametrize(
    ("keyword", "text"), [("RescaleSlope", "0"), ("RescaleSlope", "l.0"), ("RescaleIntercept", "-10Z4")]
)
def test_a_scale_that_is_no_number_is_refused_and_not_taken_for_none(tmp_path, io_dicom, keyword, text):
    def edit(dataset, i):
        _scaled(1, -1024)(dataset, i)
        if i == 1:
            dataset.add_new(keyword, "LO", text)

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    with pytest.raises(InputError, match=r"'003\.dcm' gives a Rescale (Slope|Intercept) that is no number, or 0"):
        read_volume(tmp_path / "s")


def test_a_small_slope_under_a_large_intercept_keeps_its_steps(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=_scaled(0.01, 1e6))
    array = read_volume(tmp_path / "s").array
    assert np.allclose(array, expected_voxels() * 0.01 + 1e6, rtol=0, atol=1e-6)


def test_an_enhanced_object_is_scaled_frame_by_frame(tmp_path, io_enhanced):
    def edit(dataset):
        for number, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            transformation = Dataset()
            transformation.RescaleSlope, transformation.RescaleIntercept = 1 + number, 10
            group.PixelValueTransformationSequence = [transformation]

    volume = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))
    assert volume.array[:, 0, 0].tolist() == [10, 12, 16, 22]


def test_a_slice_that_alone_has_a_sign_is_told_by_name(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: setattr(d, "PixelRepresentation", int(i == 1)))
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels())
    assert "1 of 4 differ from the others: '003.dcm'" in told(volume)


def test_slices_that_show_nothing_are_told_by_name(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: setattr(d, "PixelData", bytes(60)) if i == 3 else None)
    assert "1 of 4 slices hold one number everywhere: '001.dcm'" in told(read_volume(tmp_path / "s"))


# --- pictures stored as a negative


def _negative(dataset, i):
    dataset.PhotometricInterpretation = "MONOCHROME1"


def test_a_negative_of_mr_is_turned_and_told(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=_negative)
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, 4095 - expected_voxels())
    assert "4 of 4 slices are stored as a negative (MONOCHROME1); they were turned" in told(volume)
    io_dicom(tmp_path / "plain")
    assert read_volume(tmp_path / "plain").warnings == ()


def test_padding_of_a_negative_is_turned_with_it(tmp_path, io_dicom):
    def edit(dataset, i):
        _negative(dataset, i)
        _scaled(2, 10)(dataset, i)
        dataset.PixelPaddingValue = 0

    io_dicom(tmp_path / "s", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert volume.array[0, 0, 0] == volume.facts.number("padding") == 2 * 4095 + 10


def test_a_signed_negative_is_turned_within_its_range(tmp_path, io_dicom):
    def edit(dataset, i):
        _negative(dataset, i)
        dataset.PixelRepresentation = 1

    io_dicom(tmp_path / "s", edit=edit)
    assert np.array_equal(read_volume(tmp_path / "s").array, -1 - expected_voxels())


def test_hounsfield_units_of_a_negative_stay_what_they_are(tmp_path, io_dicom):
    def edit(dataset, i):
        _negative(dataset, i)
        _scaled(1, -1024)(dataset, i)

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert np.array_equal(volume.array, expected_voxels() - 1024)
    assert "their numbers are Hounsfield units and were kept" in told(volume)


def test_a_negative_of_ct_without_hounsfield_units_is_refused(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="CT", edit=_negative)
    with pytest.raises(InputError, match=r"MONOCHROME1.*Whether air is dark or bright is not known"):
        read_volume(tmp_path / "s")


# --- padding


@pytest.mark.parametrize(
    ("signed", "bits", "stored", "scale"),
    [
        (1, 16, -2000, (1, -1024)),
        (1, 16, -32768, (1, -1024)),
        (1, 12, -3024, (1, -1024)),  # more than 12 bits hold, as some scanners write it
        (0, 12, 63536, (1, -1024)),
        (0, 16, 0, (0.1, -1000.3)),
        (1, 16, -2000, (-1, 7)),
    ],
)
def test_padding_is_the_number_that_its_voxels_have(tmp_path, io_dicom, signed, bits, stored, scale):
    def edit(dataset, i):
        dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = signed, bits, bits - 1
        words = np.frombuffer(dataset.PixelData, np.uint16) + np.uint16(100)
        words[0] = stored & 0xFFFF
        dataset.PixelData = words.tobytes()
        dataset.add_new("PixelPaddingValue", "SS" if signed else "US", stored)
        _scaled(*scale)(dataset, i)

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert (volume.array == volume.facts.number("padding")).sum() == 4
    assert volume.array[0, 0, 0] == pytest.approx(stored * scale[0] + scale[1])


def test_padding_of_an_enhanced_object_is_scaled_as_its_frames_are(tmp_path, io_enhanced):
    def edit(dataset):
        transformation = Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = 2, -100
        dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [transformation]
        dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = 0, 1

    volume = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))
    assert (volume.facts.number("padding"), volume.facts.number("padding_limit")) == (-100, -98)
    assert volume.array[:2, 0, 0].tolist() == [-100, -98]


def test_padding_that_only_later_slices_state_counts(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", edit=lambda d, i: setattr(d, "PixelPaddingValue", 9) if i == 0 else None)
    assert read_volume(tmp_path / "s").facts.number("padding") == 9


def test_padding_of_a_grid_turned_against_the_slices_is_an_intensity_too(tmp_path, io_dicom, io_volume):
    def edit(dataset, i):
        _scaled(1, -1024)(dataset, i)
        dataset.PixelPaddingValue = 7

    path = io_dicom(tmp_path / "s", 1, modality="CT", edit=edit)[0]
    facts, _ = instance_facts(path, io_volume(tilt=(40, 30, 20)).geometry)
    assert facts.number("padding") == -1017


# --- modality


@pytest.mark.parametrize("modality", ["PT", "US", "XA", "OT"])
def test_another_modality_is_refused_unless_someone_says_what_to_take_it_for(tmp_path, io_dicom, modality):
    io_dicom(tmp_path / "s", modality=modality)
    volume = read_volume(tmp_path / "s")
    with pytest.raises(InputError, match=rf"image of modality {modality}\. MR and CT are accepted.*--modality MR or"):
        decide_modality(volume, "auto")
    assert decide_modality(volume, "CT")[0] == "CT"
    plan = make_plan(volume, UpscaleOptions(modality="MR", model="tikhonov"))
    assert f"image of modality {modality}" in " ".join(map(str, plan.warnings))
    about = describe(tmp_path / "s")
    assert (about["modality"], about["modality_from"]) == (modality, "header")


def test_without_a_modality_the_intensities_still_tell(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", modality="")
    assert decide_modality(read_volume(tmp_path / "s"), "auto")[0] == "MR"


def test_what_slicer_asks_of_an_instance_names_other_modalities_and_loss_too(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.LossyImageCompression = "01"

    path = io_dicom(tmp_path / "s", modality="PT", edit=edit)[0]
    facts, warnings = instance_facts(path, read_volume(path).geometry)
    assert facts.value("modality") == "PT"
    assert "image of modality PT" in " ".join(warnings)
    assert "compressed with loss" in " ".join(warnings)


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_a_grid_of_another_program_may_hold_a_negative_of_mr(tmp_path, io_dicom, modality):
    path = io_dicom(tmp_path / "s", modality=modality, edit=lambda d, i: (_negative(d, i), _scaled(1, 0)(d, i)))[0]
    _, warnings = instance_facts(path, read_volume(path).geometry)
    assert ("did not turn it" in " ".join(warnings)) == (modality == "MR")
