"""Volumes with segmentations of the scene as a training set on disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

SHAPE = (10, 20, 24)


@pytest.fixture
def masks(helpers):
    """Two boxes that do not touch."""
    return {"Tumour": helpers.box(SHAPE, (2, 3, 4), (6, 9, 12)), "Nerve": helpers.box(SHAPE, (7, 12, 5), (9, 18, 20))}


@pytest.fixture
def a_segmentation(a_volume, masks, helpers):
    return helpers.make_segmentation(a_volume, **masks)


def labels_of(segmentation, volume, values=None, overlap="refuse"):
    from MedSRLib.SegmentLabels import labelsOf

    return labelsOf(segmentation, volume, values or {"Tumour": 1, "Nerve": 2}, overlap)


def pairs_of(*pairs):
    from MedSRLib.ScenePairs import checkedPairs

    return checkedPairs(pairs)


def write(pairs, folder, **named):
    from MedSRLib.ScenePairs import writePairs

    return [text for texts in writePairs(pairs, folder, **named) for text in texts]


def test_segments_become_values_on_the_grid_of_the_volume(a_volume, a_segmentation, masks):
    labels = labels_of(a_segmentation, a_volume)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, masks["Tumour"] + 2 * masks["Nerve"])
    swapped = labels_of(a_segmentation, a_volume, {"Nerve": 1, "Tumour": 300})
    assert swapped.dtype == np.uint16
    assert set(np.unique(swapped)) == {0, 1, 300}


def test_reading_leaves_the_scene_as_it_was(scene, a_volume, a_segmentation, helpers):
    before, changed = helpers.node_names(scene), a_segmentation.GetMTime()
    labels_of(a_segmentation, a_volume)
    assert helpers.node_names(scene) == before
    assert a_segmentation.GetMTime() == changed


def test_a_mirrored_grid_is_met(scene, helpers, masks):
    affine = np.diag([-0.9, -1.1, 3.0, 1.0])
    affine[:3, 3] = 80, 96, -64
    volume = helpers.make_volume(affine=affine)
    np.testing.assert_array_equal(
        labels_of(helpers.make_segmentation(volume, **masks), volume), masks["Tumour"] + 2 * masks["Nerve"]
    )


def test_a_segmentation_on_a_finer_and_smaller_grid_is_met(scene, a_volume, helpers):
    coarse = helpers.box(SHAPE, (2, 3, 4), (6, 9, 12))
    fine = np.repeat(np.repeat(np.repeat(coarse, 2, 0), 2, 1), 2, 2)[2:14, 4:20, 6:26]
    affine = helpers.affine_of(a_volume)
    finer = affine.copy()
    finer[:3, :3] /= 2
    finer[:3, 3] = (affine @ [-0.25 + 6 / 2, -0.25 + 4 / 2, -0.25 + 2 / 2, 1])[:3]
    segmentation = helpers.make_segmentation(a_volume, affine=finer, Tumour=fine)
    labels = labels_of(segmentation, a_volume)
    assert labels.shape == SHAPE
    np.testing.assert_array_equal(labels, coarse)


def test_the_transform_between_volume_and_segmentation_is_followed(scene, a_volume, masks, helpers):
    """The segmentation lies under a transform, its own coordinates are such that the world is the same."""
    turn = helpers.oblique((1, 1, 1), (4, 5, 6))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    own = np.linalg.inv(turn) @ helpers.affine_of(a_volume)
    segmentation = helpers.make_segmentation(a_volume, affine=own, **masks)
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_array_equal(labels_of(segmentation, a_volume), masks["Tumour"] + 2 * masks["Nerve"])
    segmentation.SetAndObserveTransformNodeID(None)
    assert not np.array_equal(labels_of_or_nothing(segmentation, a_volume), masks["Tumour"] + 2 * masks["Nerve"])


def labels_of_or_nothing(segmentation, volume):
    from MedSRLib.Errors import SceneError

    try:
        return labels_of(segmentation, volume)
    except SceneError:
        return np.zeros(SHAPE, np.uint8)


def test_a_common_non_linear_transform_is_no_matter_and_a_lonely_one_is_refused(scene, a_volume, a_segmentation, masks):
    from MedSRLib.Errors import SceneError

    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    for node in (a_volume, a_segmentation):
        node.SetAndObserveTransformNodeID(grid.GetID())
    assert len(pairs_of((a_volume, a_segmentation))) == 1
    np.testing.assert_array_equal(labels_of(a_segmentation, a_volume), masks["Tumour"] + 2 * masks["Nerve"])
    a_volume.SetAndObserveTransformNodeID(None)
    with pytest.raises(SceneError, match=r"Segmentation and Head .*non-linear"):
        pairs_of((a_volume, a_segmentation))


def test_overlap_is_refused_with_both_names_or_resolved_on_request(a_volume, masks, helpers):
    from MedSRLib.Errors import SceneError

    masks["Nerve"] = helpers.box(SHAPE, (4, 6, 8), (8, 12, 16))
    shared = int((masks["Nerve"] & masks["Tumour"]).sum())
    assert shared == 2 * 3 * 4
    segmentation = helpers.make_segmentation(a_volume, **masks)
    with pytest.raises(SceneError, match=f"Tumour and Nerve of Segmentation overlap in {shared} voxels"):
        labels_of(segmentation, a_volume)
    labels = labels_of(segmentation, a_volume, overlap="first")
    assert (labels == 1).sum() == masks["Tumour"].sum()
    assert (labels == 2).sum() == masks["Nerve"].sum() - shared


def test_segments_that_touch_do_not_overlap(a_volume, helpers):
    segmentation = helpers.make_segmentation(
        a_volume, Tumour=helpers.box(SHAPE, (2, 3, 4), (6, 9, 12)), Nerve=helpers.box(SHAPE, (2, 3, 12), (6, 9, 15))
    )
    labels = labels_of(segmentation, a_volume)
    assert set(labels[3, 5, 10:14]) == {1, 2}


def test_a_surface_becomes_voxels_and_the_node_keeps_its_surface_only(scene, helpers):
    volume = helpers.make_volume(shape_zyx=(40, 40, 40), affine=np.diag([1.0, 1.0, 1.0, 1.0]))
    ball = vtk.vtkSphereSource()
    ball.SetCenter(20, 18, 22)
    ball.SetRadius(9)
    ball.SetThetaResolution(60)
    ball.SetPhiResolution(60)
    ball.Update()
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Surface")
    segmentation.SetSourceRepresentationToClosedSurface()
    segmentation.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Ball", [1, 0, 0])
    labels = labels_of(segmentation, volume, {"Ball": 1})
    assert labels.sum() == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.03)
    np.testing.assert_allclose(np.argwhere(labels).mean(axis=0), (22, 18, 20), atol=0.1)
    assert not segmentation.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_what_cannot_be_a_pair_is_refused_with_its_name(scene, a_volume, a_segmentation, helpers):
    from medsr.errors import InputError
    from MedSRLib.Errors import SceneError

    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Hollow")
    label = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Painted")
    for pairs, text in (
        ([], "list is empty"),
        ([(None, a_segmentation)], "Choose a volume"),
        ([(a_volume, None)], "Head has no segmentation"),
        ([(a_volume, label)], "Head has no segmentation"),
        ([(a_volume, empty)], "Hollow has no segments"),
        ([(a_volume, a_segmentation), (a_volume, a_segmentation)], "Head is in the list twice"),
    ):
        with pytest.raises(SceneError, match=text):
            pairs_of(*pairs)
    sheared = helpers.make_volume("Tilted")
    affine = helpers.affine_of(sheared)
    affine[:3, 2] += 0.3 * affine[:3, 0]
    sheared.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    with pytest.raises(InputError, match="right angles"):
        pairs_of((sheared, a_segmentation))


@pytest.mark.parametrize(("name", "text"), [("Nerve", "two segments called Nerve"), ("Background", "'Background'")])
def test_names_that_cannot_be_classes_are_refused(a_volume, a_segmentation, name, text):
    from MedSRLib.Errors import SceneError

    a_segmentation.GetSegmentation().GetNthSegment(0).SetName(name)
    with pytest.raises(SceneError, match=text):
        pairs_of((a_volume, a_segmentation))


def test_a_segmentation_elsewhere_is_refused(a_volume, masks, helpers):
    from MedSRLib.Errors import SceneError

    affine = helpers.affine_of(a_volume)
    affine[:3, 3] += 500
    far = helpers.make_segmentation(a_volume, affine=affine, **masks)
    with pytest.raises(SceneError, match="belong together"):
        labels_of(far, a_volume)


def test_files_are_a_training_set_with_the_names_of_the_segments(scene, a_volume, a_segmentation, helpers, tmp_path):
    from medsr.io import read_volume

    other = helpers.make_volume("Head_2 (été)")
    nerve, cyst = helpers.box(SHAPE, (1, 1, 1), (5, 5, 5)), np.zeros(SHAPE, bool)
    drawn = helpers.make_segmentation(other, "Second", Nerve=nerve, Cyst=cyst)
    said = write(pairs_of((a_volume, a_segmentation), (other, drawn)), tmp_path / "set")
    assert said == ["The segment Cyst of Second has no voxel of its own inside Head_2 (été)."]
    description = json.loads((tmp_path / "set/dataset.json").read_text(encoding="utf-8"))
    assert description["labels"] == {"0": "background", "1": "Tumour", "2": "Nerve", "3": "Cyst"}
    assert [entry["image"] for entry in description["training"]] == ["./images/Head.nrrd", "./images/Head_2-t.nrrd"]
    sources = (a_volume, a_segmentation), (other, drawn)
    for entry, (volume, segmentation) in zip(description["training"], sources, strict=True):
        image, label = (read_volume(tmp_path / "set" / entry[kind]) for kind in ("image", "label"))
        np.testing.assert_array_equal(image.array, slicer.util.arrayFromVolume(volume))
        np.testing.assert_allclose(image.geometry.affine_ras, helpers.affine_of(volume), atol=1e-9)
        assert label.geometry.is_same_as(image.geometry, tolerance=1e-9)
        values = {"Tumour": 1, "Nerve": 2, "Cyst": 3}
        np.testing.assert_array_equal(label.array, labels_of(segmentation, volume, values))


def test_volumes_of_one_patient_are_one_subject_and_no_name_of_a_person_is_written(
    scene, a_volume, a_segmentation, masks, helpers, tmp_path
):
    later, stranger = helpers.make_volume("Head"), helpers.make_volume("Other")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Doe^Jane")
    study = hierarchy.CreateStudyItem(patient, "2020")
    for volume in (a_volume, later):
        hierarchy.CreateItem(study, volume)
    pairs = pairs_of(*[(v, helpers.make_segmentation(v, **masks)) for v in (a_volume, stranger, later)])
    write(pairs, tmp_path / "set")
    text = (tmp_path / "set/dataset.json").read_text()
    assert [entry["subject"] for entry in json.loads(text)["training"]] == ["patient1", "Other", "patient1"]
    assert "Doe" not in text
    files = sorted(path.name for path in (tmp_path / "set/images").iterdir())
    assert files == ["Head-2.nrrd", "Head.nrrd", "Other.nrrd"]
