"""MRML nodes to volumes and NRRD files and back."""

from __future__ import annotations

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


def test_modality_and_thickness_come_from_what_dicom_left_in_the_scene(scene, a_volume):
    from MedSRLib.SceneIO import headerOf

    assert "modality" not in headerOf(a_volume)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), a_volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    assert headerOf(a_volume)["modality"] == "MR"

    class Database:
        def instanceValue(self, uid, tag):
            return "4.5" if (uid, tag) == ("1.2.3", "0018,0050") else ""

    a_volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    slicer.dicomDatabase = Database()
    try:
        assert headerOf(a_volume)["sliceThickness"] == 4.5
    finally:
        del slicer.dicomDatabase


def test_hounsfield_units_mean_ct(scene, a_volume):
    from MedSRLib.SceneIO import headerOf

    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    a_volume.SetVoxelValueUnits(units)
    assert headerOf(a_volume)["modality"] == "CT"


def test_non_linear_transform_is_told(scene, a_volume):
    from MedSRLib.SceneIO import headerOf

    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    a_volume.SetAndObserveTransformNodeID(grid.GetID())
    assert "non-linear" in headerOf(a_volume)["warnings"][0]


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 5), 2), ((1, 5, 1), 1), ((4, 1, 1), 0), ((1, 1, 1), 2), ((0.78, 0.78, 0.4), 2), ((1.3, 0.9, 0.6), 0)],
)
def test_slice_axis_is_the_one_that_differs(scene, spacing, axis):
    from MedSRLib.Preview import sliceAxis

    assert sliceAxis(spacing) == axis
