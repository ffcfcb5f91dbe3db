"""What DICOM headers say of the acquisition: facts with their axis, and what cannot be is told and left out."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from medsr.io import read_volume

SIZE = (32, 32)


@pytest.fixture
def read(tmp_path, io_dicom):
    """Reads a series of 4 slices, 3 mm apart, of 32 x 32 pixels of 0.7 x 0.9 mm, with some elements set."""

    def make(edit=None, modality="MR", private=(), **elements):
        def change(dataset, i):
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
            for group, creator, element, vr, value in private:
                dataset.private_block(group, creator, create=True).add_new(element, vr, value)
            if edit:
                edit(dataset)

        folder = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
        io_dicom(folder, modality=modality, size_xy=SIZE, tilt=(0, 0, 0), edit=change)
        return read_volume(folder)

    return make


def encodings(volume):
    return tuple(volume.facts.value("encoding", axis) for axis in "xyz")


def resolutions(volume):
    found = (volume.facts.number("resolution_mm", axis) for axis in "xyz")
    return tuple(None if number is None else round(number, 3) for number in found)


def told(volume):
    return " ".join(volume.warnings)


# --- how each axis is encoded


def test_2d_mr_has_slices_and_a_fourier_encoded_plane(read):
    assert encodings(read(MRAcquisitionType="2D", InPlanePhaseEncodingDirection="ROW")) == (
        "phase",
        "frequency",
        "slice",
    )
    assert encodings(read(MRAcquisitionType="2D", InPlanePhaseEncodingDirection="COL")) == (
        "frequency",
        "phase",
        "slice",
    )
    assert encodings(read(MRAcquisitionType="2D")) == ("fourier", "fourier", "slice")
    assert encodings(read(MRAcquisitionType="2D", InPlanePhaseEncodingDirection="OTHER"))[:2] == ("fourier",) * 2


def test_3d_mr_has_partitions(read):
    volume = read(MRAcquisitionType="3D", InPlanePhaseEncodingDirection="COLUMN")
    assert encodings(volume) == ("frequency", "phase", "partition")
    assert volume.facts.value("dimensions") == "3D"


def test_without_a_type_nothing_is_said_across_the_slices_but_the_thickness(read):
    volume = read()
    assert encodings(volume) == ("fourier", "fourier", None)
    assert volume.facts.number("thickness_mm", "z") == 3.5
    assert volume.facts.slice_axis == "z"
    assert encodings(read(MRAcquisitionType="4D\x1b"))[2] is None


def test_ct_has_a_detector_and_slices(read):
    assert encodings(read(modality="CT")) == ("detector", "detector", "slice")


def test_every_fact_names_the_header(read):
    facts = read(MRAcquisitionType="2D", PartialFourier="YES").facts
    assert {fact.source for fact in facts} == {"header"}


def test_other_modalities_state_their_name_and_a_thickness_only(read):
    facts = read(modality="PT", MRAcquisitionType="2D", ConvolutionKernel="A").facts
    assert {(fact.name, fact.value, fact.axis) for fact in facts} == {
        ("thickness_mm", 3.5, "z"),
        ("modality", "PT", None),
    }


@pytest.mark.parametrize("kind", ["MPR", "REFORMATTED", "PROJECTION IMAGE", "MIN_IP"])
def test_reformatted_series_say_nothing_about_their_axes(read, kind):
    volume = read(MRAcquisitionType="2D", ImageType=["DERIVED", "SECONDARY", kind], AcquisitionMatrix=[0, 16, 16, 0])
    assert encodings(volume) == (None, None, None)
    assert resolutions(volume) == (None, None, None)
    assert "reformatted" in told(volume)
    assert told(read(MRAcquisitionType="2D", ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])) == ""


def test_ct_across_the_body_was_reformatted(tmp_path, io_dicom):
    io_dicom(tmp_path / "coronal", modality="CT", tilt=(90, 0, 0))
    volume = read_volume(tmp_path / "coronal")
    assert encodings(volume) == (None, None, None)
    assert "reformatted" in told(volume)
    io_dicom(tmp_path / "tilted", modality="CT", tilt=(25, 0, 0))
    assert encodings(read_volume(tmp_path / "tilted"))[2] == "slice"


def test_a_mosaic_is_told_and_its_matrix_is_that_of_one_tile(read):
    volume = read(ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"], AcquisitionMatrix=[16, 0, 0, 16])
    assert "mosaic" in told(volume)
    assert resolutions(volume) == (None, None, None)


# --- acquired against reconstructed matrix


def test_a_matrix_smaller_than_the_image_is_its_resolution(read):
    volume = read(InPlanePhaseEncodingDirection="ROW", AcquisitionMatrix=[0, 16, 16, 0])
    assert resolutions(volume) == (1.4, 1.8, None)
    assert volume.facts.value("interpolated") == "in the plane"
    assert (
        "already interpolated this series: pixels of 0.7 x 0.9 mm, acquired at 1.4 x 1.8 mm. "
        "Enlarging it in the plane adds no detail." in told(volume)
    )


def test_a_full_matrix_states_no_resolution_and_warns_of_nothing(read):
    volume = read(InPlanePhaseEncodingDirection="ROW", AcquisitionMatrix=[0, 32, 32, 0])
    assert resolutions(volume) == (None, None, None)
    assert volume.facts.get("interpolated") is None
    assert volume.warnings == ()


def test_fewer_phase_lines_coarsen_the_phase_axis_only(read):
    row = read(InPlanePhaseEncodingDirection="ROW", AcquisitionMatrix=[0, 32, 24, 0])
    assert resolutions(row) == (0.933, None, None)
    assert row.facts.value("interpolated") == "along x"
    assert "Along x the scanner acquired at 0.933 mm and filled in to pixels of 0.7 mm." in told(row)
    column = read(InPlanePhaseEncodingDirection="COL", AcquisitionMatrix=[32, 0, 0, 24])
    assert resolutions(column) == (None, 1.2, None)


def test_the_matrix_tells_the_direction_where_nothing_else_does(read):
    assert encodings(read(AcquisitionMatrix=[0, 32, 24, 0]))[:2] == ("phase", "frequency")
    assert encodings(read(AcquisitionMatrix=[32, 0, 0, 24]))[:2] == ("frequency", "phase")
    assert encodings(read(AcquisitionMatrix=[32, 32, 24, 24]))[:2] == ("fourier", "fourier")


def test_phase_lines_follow_from_the_percentages_where_the_matrix_has_none(read):
    elements = {"InPlanePhaseEncodingDirection": "COL", "AcquisitionMatrix": [32, 0, 0, 0]}
    assert resolutions(read(**elements)) == (None, None, None)
    # 32 lines over 32 * 0.7 mm of readout; half of the lines over the same length.
    volume = read(**elements, PercentSampling=50, PercentPhaseFieldOfView=100)
    assert resolutions(volume) == (None, 1.4, None)


def test_borders_added_to_a_rectangular_field_of_view_are_no_resolution(read):
    elements = {"InPlanePhaseEncodingDirection": "ROW", "AcquisitionMatrix": [0, 32, 16, 0], "PixelSpacing": [1, 1]}
    assert resolutions(read(**elements)) == (2.0, None, None)
    # The 16 lines cover half of the square image.
    assert resolutions(read(**elements, PercentPhaseFieldOfView=50)) == (None, None, None)


def test_an_image_that_was_cut_does_not_have_the_matrix_of_its_header(read):
    elements = {"AcquisitionMatrix": [0, 16, 16, 0], "PixelSpacing": [1, 1]}
    assert resolutions(read(**elements, ReconstructionDiameter=32)) == (2.0, 2.0, None)
    cut = read(**elements, ReconstructionDiameter=64)
    assert resolutions(cut) == (None, None, None)
    assert "covers 32 mm, the scanner reconstructed 64 mm: it was cut or resampled since" in told(cut)


@pytest.mark.parametrize("matrix", [[0, 2, 32, 0], [0, 5000, 32, 0]])
def test_a_matrix_that_cannot_be_is_ignored_with_a_sentence(read, matrix):
    volume = read(InPlanePhaseEncodingDirection="ROW", AcquisitionMatrix=matrix)
    assert resolutions(volume) == (None, None, None)
    assert f"along y is stated as {matrix[1]}, that of the image is 32, which cannot be" in told(volume)


def test_oversampling_is_no_contradiction(read):
    volume = read(InPlanePhaseEncodingDirection="ROW", AcquisitionMatrix=[0, 64, 40, 0])
    assert resolutions(volume) == (None, None, None)
    assert volume.warnings == ()


def test_a_matrix_of_other_length_is_ignored_with_a_sentence(read):
    assert "not four numbers" in told(read(AcquisitionMatrix=[16, 16]))


def test_partitions_that_are_thicker_than_their_distance_were_interpolated(read):
    volume = read(MRAcquisitionType="3D", SliceThickness=6)
    assert resolutions(volume) == (None, None, 6.0)
    assert volume.facts.value("interpolated") == "across the slices"
    assert "one every 3 mm, acquired at 6 mm" in told(volume)
    assert resolutions(read(MRAcquisitionType="3D", SliceThickness=3)) == (None, None, None)
    # Slices that were excited overlap, which is no interpolation.
    assert resolutions(read(MRAcquisitionType="2D", SliceThickness=6)) == (None, None, None)


# --- lengths that cannot be


@pytest.mark.parametrize("thickness", [0, -3, 100000])
def test_a_thickness_that_cannot_be_is_ignored_with_a_sentence(read, thickness):
    volume = read(MRAcquisitionType="2D", SliceThickness=thickness)
    assert volume.facts.get("thickness_mm", "z") is None
    assert f"slice thickness is {thickness:g} mm, which cannot be" in told(volume)
    assert read(SliceThickness=0.5).facts.number("thickness_mm", "z") == 0.5


# --- k-space


def test_partial_fourier_filter_and_coverage(read):
    facts = read(PartialFourier="YES", KSpaceFiltering="RIESZ", CoverageOfKSpace="ELLIPSOIDAL").facts
    assert facts.value("partial_fourier") is True
    assert (facts.value("filter"), facts.value("coverage")) == ("RIESZ", "ellipsoidal")
    facts = read(PartialFourier="NO", KSpaceFiltering="NONE", CoverageOfKSpace="ROUNDISH").facts
    assert facts.value("partial_fourier") is False
    assert facts.value("filter") is None
    assert facts.value("coverage") is None
    assert read(ScanOptions=["SAT", "PFP"]).facts.value("partial_fourier") is True
    assert read(ScanOptions=["SAT", "FS"]).facts.value("partial_fourier") is None


# --- vendors


@pytest.mark.parametrize(("text", "interpolated"), [("256*256s", None), ("512*512s I", "in the plane")])
def test_siemens_marks_interpolation_in_the_matrix_text(read, text, interpolated):
    private = [(0x0051, "SIEMENS MR HEADER", 0x0B, "LO", text)]
    volume = read(private=private, Manufacturer="SIEMENS")
    assert volume.facts.value("interpolated") == interpolated
    assert ("interpolated this series in the plane. Enlarging" in told(volume)) == bool(interpolated)
    # Elsewhere the same place means something else.
    assert read(private=private, Manufacturer="ACME").facts.get("interpolated") is None
    other = [(0x0051, "SOMEBODY ELSE", 0x0B, "LO", text)]
    assert read(private=other, Manufacturer="SIEMENS").facts.get("interpolated") is None


def test_siemens_deep_resolve_is_in_image_type_or_in_its_own_text(read):
    volume = read(ImageType=["ORIGINAL", "PRIMARY", "M", "DRS", "DRB"], Manufacturer="Siemens Healthineers")
    assert volume.facts.value("enhanced_by") == "Deep Resolve Sharp"
    assert volume.facts.value("denoised_by") == "Deep Resolve Boost"
    assert "already sharpened this series (Deep Resolve Sharp)" in told(volume)
    private = [(0x0021, "SIEMENS MR SDI 02", 0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "DRG"])]
    volume = read(private=private, Manufacturer="SIEMENS")
    assert volume.facts.get("enhanced_by") is None
    assert volume.facts.value("denoised_by") == "Deep Resolve Gain"
    assert volume.warnings == ()
    assert read(ImageType=["ORIGINAL", "PRIMARY", "DRS"]).facts.get("enhanced_by") is None


def test_ge_zip_and_air_recon(read):
    zipped = [
        (0x0021, "GEMS_RELA_01", 0x4F, "SS", 2),
        (0x0043, "GEMS_PARM_01", 0xCA, "LO", ["0.75", "High"]),
    ]
    elements = {"Manufacturer": "GE MEDICAL SYSTEMS", "MRAcquisitionType": "3D", "ImagesInAcquisition": 4}
    volume = read(private=zipped, SliceThickness=6, **elements)
    assert resolutions(volume) == (None, None, 6.0)
    assert volume.facts.value("enhanced_by") == "AIR Recon DL High"
    plain = read(private=[(0x0021, "GEMS_RELA_01", 0x4F, "SS", 4)], SliceThickness=3, **elements)
    assert resolutions(plain) == (None, None, None)
    assert plain.facts.get("enhanced_by") is None
    assert plain.warnings == ()


def test_philips_states_its_filter_in_a_sequence_of_its_own(read):
    nested = Dataset()
    nested.KSpaceFiltering, nested.PartialFourier = "RIESZ", "NO"
    nested.PatientName = "Secret^Person"
    private = [
        (0x2005, "Philips MR Imaging DD 005", 0x0F, "SQ", [nested]),
        (0x2005, "Philips MR Imaging DD 008", 0x10, "CS", "CS_SENSE_AI"),
    ]
    volume = read(private=private, Manufacturer="Philips")
    assert volume.facts.value("filter") == "RIESZ"
    assert volume.facts.value("partial_fourier") is False
    assert volume.facts.value("denoised_by") == "CS_SENSE_AI"
    assert "Secret" not in repr(volume)
    private[1] = (0x2005, "Philips MR Imaging DD 008", 0x10, "CS", "NONE")
    assert read(private=private, Manufacturer="Philips").facts.get("denoised_by") is None


def test_private_elements_of_unknown_type_are_read_as_text(read):
    def implicit(dataset):
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x0B, "UN", b"512*512I")

    volume = read(implicit, Manufacturer="SIEMENS", PixelPaddingValue=3)
    assert volume.facts.value("interpolated") == "in the plane"


# --- enhanced objects


def _enhanced(dataset, **elements):
    """Puts elements into the group of the field of view, as enhanced MR has them."""
    view = Dataset()
    for keyword, value in elements.items():
        setattr(view, keyword, value)
    dataset.SharedFunctionalGroupsSequence[0].MRFOVGeometrySequence = [view]


def test_enhanced_mr_states_its_matrix_in_the_shared_group(tmp_path, io_enhanced):
    def edit(dataset):
        dataset.MRAcquisitionType = "2D"
        _enhanced(
            dataset,
            InPlanePhaseEncodingDirection="COLUMN",
            MRAcquisitionFrequencyEncodingSteps=3,
            MRAcquisitionPhaseEncodingStepsInPlane=2,
        )

    volume = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))  # 3 x 4 pixels of 1.25 x 1.5 mm
    assert encodings(volume) == ("frequency", "phase", "slice")
    assert resolutions(volume) == (None, 3.0, None)


@pytest.mark.parametrize(("maker", "expected"), [("Philips", 3.0), ("SIEMENS", 3.0), ("ACME", None)])
def test_lines_left_out_by_partial_fourier_are_no_lost_resolution(tmp_path, io_enhanced, maker, expected):
    def edit(dataset):
        dataset.Manufacturer, dataset.MRAcquisitionType = maker, "2D"
        _enhanced(dataset, InPlanePhaseEncodingDirection="COLUMN", MRAcquisitionPhaseEncodingStepsInPlane=2)
        modifier = Dataset()
        modifier.PartialFourier = "YES"
        dataset.PerFrameFunctionalGroupsSequence[0].MRModifierSequence = [modifier]

    volume = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))
    assert volume.facts.value("partial_fourier") is True
    assert resolutions(volume) == (None, expected, None)


def test_enhanced_3d_mr_with_fewer_steps_than_slices_was_interpolated(tmp_path, io_enhanced):
    def edit(dataset):
        dataset.MRAcquisitionType = "3D"
        dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = 2
        _enhanced(dataset, MRAcquisitionPhaseEncodingStepsOutOfPlane=2)

    assert resolutions(read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit))) == (None, None, 4.0)


def test_siemens_marks_stand_in_the_group_of_a_frame(tmp_path, io_enhanced):
    def edit(dataset):
        dataset.Manufacturer = "Siemens Healthineers"
        own = Dataset()
        block = own.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        block.add_new(0x58, "SH", "8*8I")
        block.add_new(0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "DRS"])
        frame = dataset.PerFrameFunctionalGroupsSequence[0]
        frame.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0xFE, "SQ", [own])

    facts = read_volume(io_enhanced(tmp_path / "e.dcm", edit=edit)).facts
    assert facts.value("interpolated") == "in the plane"
    assert facts.value("enhanced_by") == "Deep Resolve Sharp"


# --- CT


@pytest.mark.parametrize(
    ("elements", "scan"),
    [
        ({"ScanOptions": "HELICAL MODE"}, "helical"),
        ({"ScanOptions": "AXIAL"}, "axial"),
        ({"SpiralPitchFactor": 0.9}, "helical"),
        ({"SpiralPitchFactor": 0.0}, None),
        ({"ScanOptions": "AXIAL", "SpiralPitchFactor": 0.9}, "axial"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]}, "helical"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SEQ"]}, "axial"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}, None),  # there, the plane
        ({}, None),
    ],
)
def test_ct_is_helical_or_axial(read, elements, scan):
    assert read(modality="CT", **elements).facts.value("scan") == scan


def test_ct_states_kernel_and_collimation(read):
    facts = read(modality="CT", ConvolutionKernel=["Br40d", "3"], SingleCollimationWidth=0.6).facts
    assert facts.value("kernel") == "Br40d 3"
    assert facts.number("collimation_mm", "z") == 0.6
    volume = read(modality="CT", SingleCollimationWidth=5000.0)
    assert volume.facts.get("collimation_mm", "z") is None
    assert "collimation is 5000 mm" in told(volume)


def test_a_text_that_is_no_kernel_is_cut_with_a_sentence(read):
    volume = read(modality="CT", ConvolutionKernel="\x1b[31mK" * 5000)
    kernel = volume.facts.value("kernel")
    assert len(kernel) <= 40
    assert kernel.isprintable()
    assert "no name of a kernel" in told(volume)


@pytest.mark.parametrize(
    ("signed", "stored", "limit", "expected"),
    [
        (1, -2000, None, (-3024, None)),
        (0, 4000, None, (2976, None)),
        (1, -2000, -1990, (-3024, -3014)),
        (1, -2000, -2000, (-3024, None)),
    ],
)
def test_padding_is_rescaled_as_the_voxels_are(read, signed, stored, limit, expected):
    elements = {"PixelRepresentation": signed, "RescaleSlope": 1, "RescaleIntercept": -1024}
    if limit is not None:
        elements["PixelPaddingRangeLimit"] = limit
    facts = read(modality="CT", PixelPaddingValue=stored, **elements).facts
    assert (facts.number("padding"), facts.number("padding_limit")) == expected


@pytest.mark.parametrize(("signed", "vr", "stored", "expected"), [(1, "US", 63536, -2000), (0, "SS", -2000, 63536)])
def test_padding_written_with_the_wrong_sign_means_the_same_bits(read, signed, vr, stored, expected):
    def edit(dataset):
        dataset.PixelRepresentation = signed
        dataset.add_new("PixelPaddingValue", vr, stored)

    assert read(edit, modality="CT").facts.number("padding") == expected


def test_padding_that_no_pixel_can_have_is_ignored_with_a_sentence(read):
    def edit(dataset):
        dataset.add_new("PixelPaddingValue", "US", [1, 2, 3])

    volume = read(edit, modality="CT")
    assert volume.facts.get("padding") is None
    assert "Pixel Padding Value in the header is none that a pixel can have" in told(volume)


def test_slices_that_are_scaled_differently_have_no_common_padding(tmp_path, io_dicom):
    def edit(dataset, i):
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue = 1 + i, 0, 5

    io_dicom(tmp_path / "s", modality="CT", edit=edit)
    volume = read_volume(tmp_path / "s")
    assert volume.facts.get("padding") is None
    assert "different intensities for pixels that were not measured" in told(volume)


# --- hostile headers


def test_garbage_in_every_element_states_nothing_and_breaks_nothing(read):
    def edit(dataset):
        for keyword, vr, value in (
            ("AcquisitionMatrix", "LO", "a lot"),
            ("PercentSampling", "LO", "nan"),
            ("PercentPhaseFieldOfView", "LO", "1e999"),
            ("MRAcquisitionType", "LO", "2D" * 3000),
            ("InPlanePhaseEncodingDirection", "US", 7),
            ("PartialFourier", "FD", float("nan")),
            ("KSpaceFiltering", "LT", "R" * 9000),
            ("ImageType", "LT", "\\".join("X" * 500)),
            ("ScanOptions", "OB", b"\x00\xff" * 40),
            ("ReconstructionDiameter", "LO", "-1"),
            ("PixelPaddingValue", "OB", b"\xff" * 6),
            ("MRAcquisitionPhaseEncodingStepsOutOfPlane", "SL", -5),
        ):
            dataset.add_new(keyword, vr, value)

    volume = read(edit, RescaleSlope=1, RescaleIntercept=0)
    assert {fact.name for fact in volume.facts} == {"encoding", "thickness_mm", "modality"}
    assert all(len(text) < 300 and text.isprintable() for text in volume.warnings)
