"""Facts of one DICOM instance for a grid that another program made of its series."""

from __future__ import annotations

import dataclasses

import numpy as np
import pydicom
import pytest

from medsr.errors import InputError, InputNotFoundError
from medsr.facts import SOURCES
from medsr.geometry import Geometry
from medsr.io import database_facts, database_tags, instance_facts, read_volume

MATRIX = {"MRAcquisitionType": "2D", "InPlanePhaseEncodingDirection": "COL", "AcquisitionMatrix": [16, 0, 0, 32]}


@pytest.fixture
def series(tmp_path, io_dicom):
    """A series of 4 slices, 3 mm apart, of 32 x 32 pixels of 0.7 x 0.9 mm, oblique, with some elements set."""

    def make(modality="MR", **elements):
        def change(dataset, i):
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)

        folder = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
        io_dicom(folder, modality=modality, size_xy=(32, 32), tilt=(15, 0, 0), edit=change)
        return folder

    return make


def first_of(folder):
    return min(folder.iterdir())


def texts_of(path):
    """What a database keeps of a file."""
    dataset = pydicom.dcmread(path)
    found = {}
    for keyword in database_tags():
        value = dataset.get(keyword)
        if value is not None:
            parts = value if isinstance(value, pydicom.multival.MultiValue | list) else [value]
            found[keyword] = "\\".join(map(str, parts))
    return found


def as_set(facts):
    return {(fact.name, fact.value, fact.axis) for fact in facts}


def permuted(grid, order):
    """The same voxels with their axes in another order, one of them turned round."""
    directions = np.array(grid.direction).reshape(3, 3)[:, list(order)] * [1, 1, -1]
    return Geometry(
        tuple(grid.size_xyz[axis] for axis in order), tuple(grid.spacing_xyz_mm[axis] for axis in order),
        grid.origin_mm, tuple(directions.ravel().tolist()),
    )  # fmt: skip


@pytest.mark.parametrize("elements", [MATRIX, {"MRAcquisitionType": "3D", "SliceThickness": 6}, {}])
def test_file_and_database_say_of_the_whole_series_what_the_reader_says(series, elements):
    folder = series(**elements)
    volume = read_volume(folder)
    for facts, told in (
        instance_facts(first_of(folder), volume.geometry),
        database_facts(texts_of(first_of(folder)), volume.geometry),
    ):
        assert as_set(facts) == as_set(volume.facts)
        assert told == volume.warnings


def test_the_source_is_the_one_that_asks(series):
    folder = series(**MATRIX)
    grid = read_volume(folder).geometry
    for name in SOURCES:
        facts, _ = instance_facts(first_of(folder), grid, source=name)
        assert {fact.source for fact in facts} == {name}


def test_axes_in_another_order_are_found_by_their_directions(series):
    folder = series(**MATRIX)
    grid = permuted(read_volume(folder).geometry, (2, 0, 1))
    for facts, _ in (
        instance_facts(first_of(folder), grid),
        database_facts(texts_of(first_of(folder)), grid),
    ):
        assert facts.slice_axis == "x"
        assert facts.number("thickness_mm", "x") == 3.5
        assert (facts.value("encoding", "y"), facts.value("encoding", "z")) == ("frequency", "phase")
        assert facts.number("resolution_mm", "y") == pytest.approx(1.4)


def test_of_a_turned_grid_only_what_holds_for_the_whole_is_said(series):
    folder = series(**MATRIX)
    grid = read_volume(folder).geometry
    c, s = np.cos(0.2), np.sin(0.2)
    turned = np.array(grid.direction).reshape(3, 3) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    facts, told = instance_facts(first_of(folder), dataclasses.replace(grid, direction=tuple(turned.ravel().tolist())))
    assert {fact.axis for fact in facts} == {None}
    assert facts.value("modality") == "MR"
    assert "not those of the acquisition" in told[0]


def test_a_cropped_grid_keeps_the_distance_at_which_it_was_acquired(series):
    """16 steps over 32 pixels of 0.7 mm are 1.4 mm, also where 20 pixels are left, or 64 were made of 32."""
    folder = series(**MATRIX)
    grid = read_volume(folder).geometry
    cropped = grid.cropped((3, 0, 1), (20, 32, 2))
    finer = grid.with_grid((0.35, 0.9, 3.0), (64, 32, 4))
    for other in (cropped, finer):
        facts, _ = instance_facts(first_of(folder), other)
        assert facts.number("resolution_mm", "x") == pytest.approx(1.4)


def test_a_database_without_the_orientation_counts_z_as_across_the_slices():
    grid = Geometry((8, 8, 4), (1.0, 1.0, 3.0))
    facts, told = database_facts({"Modality": "CT", "SliceThickness": "1.25", "ConvolutionKernel": "40"}, grid)
    assert facts.number("thickness_mm", "z") == 1.25
    assert facts.value("kernel") == "40"
    assert told == ()


@pytest.mark.parametrize("text", ["thin", "0", "-3", "1\\2", "nan", ""])
def test_numbers_that_are_none_are_not_stated(text):
    facts, _ = database_facts({"Modality": "MR", "SliceThickness": text}, Geometry((8, 8, 4)))
    assert facts.number("thickness_mm", "z") is None


GARBAGE = ["1e300", "-1", "\x00\x1b[31m", "9" * 5000, "\\".join("0" * 6), "\\".join(["1e300"] * 6), "inf"]


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_garbage_in_a_database_breaks_nothing(text, modality):
    grid = Geometry((8, 8, 4))
    facts, told = database_facts({**dict.fromkeys(database_tags(), text), "Modality": modality}, grid)
    assert facts.value("modality") == modality
    assert all(character.isprintable() for sentence in told for character in sentence)
    for keyword in database_tags():
        database_facts({"Modality": modality, keyword: text}, grid)


def test_padding_is_told_as_intensity(series):
    folder = series(modality="CT", PixelPaddingValue=7, RescaleSlope=2, RescaleIntercept=-1000)
    facts, _ = instance_facts(first_of(folder), read_volume(folder).geometry)
    assert facts.number("padding") == -986


def test_tags_are_written_as_databases_write_them():
    tags = database_tags()
    assert (tags["SliceThickness"], tags["MRAcquisitionType"]) == ("0018,0050", "0018,0023")
    assert not {"PatientName", "PatientID", "StudyDate"} & set(tags)


def test_what_is_no_dicom_file_is_refused(tmp_path):
    grid = Geometry((8, 8, 4))
    with pytest.raises(InputNotFoundError):
        instance_facts(tmp_path / "nothing.dcm", grid)
    path = tmp_path / "some.dcm"
    path.write_bytes(b"x" * 500)
    with pytest.raises(InputError, match="no DICOM"):
        instance_facts(path, grid)
