"""MRML nodes to volumes and NRRD files and back."""

from __future__ import annotations

import os

import numpy as np
import pytest
import slicer
import slicer.util


def test_volume_of_a_node_shares_its_voxels_and_its_grid(scene, a_volume, helpers):
    from MedSRLib.SceneIO import volumeOf

    volume = volumeOf(a_volume)
    assert np.shares_memory(volume.array, slicer.util.arrayFromVolume(a_volume))
    np.testing.assert_allclose(volume.geometry.affine_ras, helpers.affine_of(a_volume), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_files_keep_voxels_and_oblique_grid(scene, helpers, tmp_path, dtype):
    from MedSRLib.SceneFiles import readNrrd, writeNrrd

    node = helpers.make_volume(dtype=dtype)
    writeNrrd(node, tmp_path / "a.nrrd")
    again = readNrrd(tmp_path / "a.nrrd")
    array = slicer.util.arrayFromVolume(again)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, slicer.util.arrayFromVolume(node))
    np.testing.assert_allclose(helpers.affine_of(again), helpers.affine_of(node), atol=1e-9)
    assert node.GetStorageNode() is None


def test_the_library_reads_what_the_scene_writes(scene, a_volume, helpers, tmp_path):
    from medsr.io import read_volume
    from MedSRLib.SceneFiles import readNrrd, writeNrrd
    from MedSRLib.SceneIO import volumeOf

    writeNrrd(a_volume, tmp_path / "a.nrrd")
    read = read_volume(tmp_path / "a.nrrd")
    assert read.geometry.is_same_as(volumeOf(a_volume).geometry, tolerance=1e-9)
    np.testing.assert_array_equal(read.array, slicer.util.arrayFromVolume(a_volume))

    from medsr.io import write_volume

    write_volume(read, tmp_path / "b.nrrd")
    np.testing.assert_allclose(helpers.affine_of(readNrrd(tmp_path / "b.nrrd")), helpers.affine_of(a_volume), atol=1e-9)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can be reset on Linux only")
def test_reading_a_result_takes_no_more_memory_than_the_result(scene, tmp_path):
    from pathlib import Path

    from MedSRLib import SceneFiles

    def kilobytes(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1])

    size = (512, 512, 160)
    header = SceneFiles._header("uchar", np.eye(4), size).replace(b"type: uchar", b"type: short")
    with (tmp_path / "large.nrrd").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 2 * int(np.prod(size)))
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    node = SceneFiles.readNrrd(tmp_path / "large.nrrd")
    assert node.GetImageData().GetDimensions() == size
    assert kilobytes("VmHWM") - before < 1.2 * 2 * np.prod(size) / 1024


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda data: data[:-1], "cut short"),
        (lambda data: data.replace(b"encoding: raw", b"encoding: gzip"), "gzip"),
        (lambda data: data.replace(b"type: short", b"type: block"), "block"),
        (lambda data: b"nothing", "encoding"),
    ],
)
def test_a_result_that_is_damaged_is_refused_by_name(scene, a_volume, tmp_path, spoil, why):
    from MedSRLib.SceneFiles import readNrrd, writeNrrd

    writeNrrd(a_volume, tmp_path / "a.nrrd")
    data = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "b.nrrd").write_bytes(spoil(data))
    with pytest.raises(OSError, match=why) as raised:
        readNrrd(tmp_path / "b.nrrd")
    assert "b.nrrd" in str(raised.value)


def test_colours_keep_their_order(scene, tmp_path):
    import medsr
    from MedSRLib.SceneFiles import readNrrd

    array = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    medsr.write_volume(medsr.Volume.from_array(array, np.diag([1, 1, 3, 1.0])), tmp_path / "rgb.nrrd")
    node = readNrrd(tmp_path / "rgb.nrrd", colour=True)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), array)


def test_a_grid_file_has_the_grid_and_takes_no_disk(scene, a_volume, helpers, tmp_path):
    from medsr.io import read_geometry
    from MedSRLib.SceneFiles import writeGrid

    reference = helpers.make_volume("Reference", (100, 100, 100))
    path = tmp_path / "grid.nrrd"
    writeGrid(reference, a_volume, path)
    np.testing.assert_allclose(read_geometry(path).affine_ras, helpers.affine_of(reference), atol=1e-9)
    assert path.stat().st_blocks * 512 < 100_000


def test_sheared_grids_are_refused_with_a_reason(scene, a_volume, helpers):
    from medsr.errors import InputError
    from MedSRLib.SceneIO import volumeOf

    affine = helpers.affine_of(a_volume)
    affine[:3, 2] += 0.3 * affine[:3, 0]
    a_volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    with pytest.raises(InputError, match="right angles"):
        volumeOf(a_volume)


@pytest.fixture
def a_ct(scene, helpers):
    """Slices of 0.98 x 0.98 mm that lie closer than the pixels, as many reconstructions have them."""
    node = helpers.make_volume("Chest", (16, 20, 24), affine=np.diag([-0.98, -0.98, 0.625, 1]))
    slicer.util.arrayFromVolume(node)[:] -= 900
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    return node


def acquired(facts):
    """What is said of each axis: encoding, thickness and the distance at which it was sampled."""
    return {
        axis: (facts.value("encoding", axis), facts.number("thickness_mm", axis), facts.number("resolution_mm", axis))
        for axis in "xyz"
    }


THIN_CT = {"x": ("detector", None, None), "y": ("detector", None, None), "z": ("slice", 1.25, None)}


def test_facts_come_from_the_file_behind_the_volume_and_the_thickness_belongs_to_k(a_ct, database, helpers, tmp_path):
    from MedSRLib.SceneIO import factsOf, volumeOf

    helpers.write_slice(tmp_path / "1.dcm", a_ct, "CT", SliceThickness=1.25, ScanOptions="HELIX", ConvolutionKernel="B")
    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    database.texts["1.2.3", "0018,0050"] = "9"
    facts = factsOf(a_ct)
    assert acquired(facts) == THIN_CT
    assert (facts.value("scan"), facts.value("kernel"), facts.value("modality")) == ("helical", "B", "CT")
    assert {fact.source for fact in facts} == {"Slicer"}
    volume = volumeOf(a_ct)
    assert (volume.facts, volume.modality) == (facts, "CT")


@pytest.mark.parametrize("content", [None, b"", b"no DICOM" * 50])
def test_without_the_file_the_database_says_what_it_kept(a_ct, database, tmp_path, content):
    from MedSRLib.SceneIO import factsOf

    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    if content is not None:
        (tmp_path / "1.dcm").write_bytes(content)
    database.texts["1.2.3", "0018,0050"], database.texts["1.2.3", "0008,0060"] = "1.25", "CT"
    assert acquired(factsOf(a_ct)) == THIN_CT
    assert factsOf(a_ct).slice_axis == "z"


def test_without_a_database_attributes_of_the_node_count(a_ct, scene):
    from MedSRLib.SceneIO import factsOf

    assert factsOf(a_ct).all == ()
    a_ct.SetAttribute("DICOM.SliceThickness", "1.25")
    assert acquired(factsOf(a_ct)) == {**dict.fromkeys("xy", (None, None, None)), "z": (None, 1.25, None)}
    a_ct.SetAttribute("DICOM.Modality", "CT")
    assert acquired(factsOf(a_ct)) == THIN_CT


def test_a_header_that_was_corrected_is_read_again(a_ct, database, helpers, tmp_path):
    from MedSRLib.SceneIO import factsOf

    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    for time, thickness in enumerate((1.25, 2.5), start=1):
        helpers.write_slice(tmp_path / "1.dcm", a_ct, "CT", SliceThickness=thickness)
        os.utime(tmp_path / "1.dcm", (time, time))
        assert factsOf(a_ct).number("thickness_mm", "z") == thickness


def test_what_the_scanner_interpolated_is_a_fact_and_a_warning(scene, a_volume, database, helpers, tmp_path):
    from MedSRLib.SceneIO import volumeOf

    a_volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    matrix = {"InPlanePhaseEncodingDirection": "COL", "AcquisitionMatrix": [12, 0, 0, 10], "MRAcquisitionType": "2D"}
    helpers.write_slice(tmp_path / "1.dcm", a_volume, SliceThickness=3.2, **matrix)
    volume = volumeOf(a_volume)
    assert acquired(volume.facts) == {
        "x": ("frequency", None, pytest.approx(1.8)),
        "y": ("phase", None, pytest.approx(2.2)),
        "z": ("slice", 3.2, None),
    }
    assert "already interpolated" in volume.warnings[0]


def test_modality_comes_from_the_data_tree_and_says_nothing_of_the_axes(scene, a_volume):
    from MedSRLib.SceneIO import factsOf, modalityOf, volumeOf

    assert modalityOf(a_volume) is None
    assert factsOf(a_volume).all == ()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), a_volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    assert volumeOf(a_volume).modality == "MR"
    assert [(fact.name, fact.axis, fact.source) for fact in factsOf(a_volume)] == [("modality", None, "Slicer")]


def test_hounsfield_units_mean_ct(scene, a_volume):
    from MedSRLib.SceneIO import volumeOf

    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    a_volume.SetVoxelValueUnits(units)
    assert volumeOf(a_volume).modality == "CT"


def test_non_linear_transform_is_told(scene, a_volume):
    from MedSRLib.SceneIO import volumeOf

    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    assert volumeOf(a_volume).warnings == ()
    a_volume.SetAndObserveTransformNodeID(grid.GetID())
    assert "non-linear" in volumeOf(a_volume).warnings[0]
