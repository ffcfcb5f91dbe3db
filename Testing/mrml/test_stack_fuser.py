"""Fusing stacks of the scene: one volume in the place of the first, transforms, names, what is refused. Real worker."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from medsr.errors import MedSRError

SIZE, SPACING = 24, 1.0


def anatomy():
    """Structure of several sizes in a body, in air."""
    z, y, x = (np.indices((SIZE,) * 3) - (SIZE - 1) / 2) / SIZE
    waves = np.sin(24 * x + 5 * y) * np.cos(20 * y - 4 * z) + np.sin(22 * z + 7 * x) * np.cos(9 * x)
    return np.where((x / 0.42) ** 2 + (y / 0.46) ** 2 + (z / 0.44) ** 2 < 1, 400 + 90 * waves, 10.0)


def stack(name, axis, factor=4, scale=1.0):
    """Means of `factor` planes of the anatomy across an array axis, where they lie."""
    count = SIZE // factor
    array = np.moveaxis(np.moveaxis(anatomy(), axis, 0).reshape(count, factor, SIZE, SIZE).mean(1), 0, axis)
    array = scale * array + np.random.default_rng(axis).normal(0, 2, array.shape)
    node = slicer.util.addVolumeFromArray(array.astype(np.float32), name=name)
    spacing, origin = [SPACING] * 3, [0.0] * 3
    spacing[2 - axis], origin[2 - axis] = factor * SPACING, (factor - 1) / 2 * SPACING
    node.SetSpacing(spacing)
    node.SetOrigin(origin)
    node.SetAttribute("DICOM.Modality", "MR")
    return node


@pytest.fixture
def stacks(scene):
    return [stack(name, axis) for axis, name in enumerate(("Axial", "Coronal", "Sagittal"))]


@pytest.fixture
def fuser(scene, helpers, warm_workers):
    from MedSRLib.Environment import chosenInterpreter
    from MedSRLib.StackFuser import StackFuser

    made = StackFuser(helpers.ManualPump(), lambda: chosenInterpreter().startWorker())
    made.runner.keepWarm = True  # for the next test
    yield made
    warm_workers.keep(made.runner)
    made.shutdown()


def transform(shift=(0, 0, 0), degrees=0.0, scale=1.0):
    """A linear transform node about the middle of the anatomy."""
    made = vtk.vtkTransform()
    middle = [SIZE / 2] * 3
    made.Translate(*np.add(shift, middle))
    made.RotateZ(degrees)
    made.Scale(scale, scale, scale)
    made.Translate(*[-v for v in middle])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(made.GetMatrix())
    return node


def missed(array):
    """What the correlation with the anatomy, but for the border, lacks of 1."""
    inner = (slice(3, -3),) * 3
    return 1 - np.corrcoef(array[inner].ravel(), anatomy()[inner].ravel())[0, 1]


def test_three_stacks_become_one_volume_in_the_place_of_the_first(fuser, stacks):
    from MedSRLib.Errors import SceneError
    from MedSRLib.FusionReport import movementText
    from MedSRLib.Preview import linearEnlargement
    from MedSRLib.Provenance import reportOf, sourcesOf
    from MedSRLib.Report import reportHtml, trustMeaning, trustText
    from MedSRLib.SeriesChecker import candidates
    from MedSRLib.SeriesSaver import sourceFiles

    job = fuser.start(stacks)
    fuser.wait(job)
    assert job.state == "done", job.error
    node = job.output
    assert node.GetName() == "Axial fused"
    assert node.GetImageData().GetDimensions() == (SIZE,) * 3
    assert node.GetSpacing() == pytest.approx((SPACING,) * 3)
    assert np.allclose(node.GetOrigin(), 0, atol=1e-3)
    assert missed(slicer.util.arrayFromVolume(node)) < 0.5 * missed(linearEnlargement(stacks[0], node))
    assert sourcesOf(node) == stacks
    assert node.GetAttribute("MedSR.input") == "Axial, Coronal, Sagittal"
    report = reportOf(node)
    assert [one["source"] for one in report["stacks"]] == ["Axial", "Coronal", "Sagittal"]
    assert movementText(report).startswith("Movement: Coronal 0.")
    assert "degrees; Sagittal 0." in movementText(report)
    assert trustText(report).startswith("Deviation from the measured data: Axial ")
    other = stack("Another day", 2)
    assert candidates(node) == [other]  # what was fused is no witness
    with pytest.raises(SceneError, match="derived from one series"):
        sourceFiles(node)
    page = reportHtml(report)
    for text in ("Stack Coronal", "correlation of 0.9", "moved by 0.", "24 x 24 x 6 voxels of 1 x 1 x 4 mm"):
        assert text in page, text
    assert trustMeaning(report) in page.replace("&#x27;", "'")
    assert "as enforced" not in page


def test_a_transform_says_where_a_stack_begins_and_the_result_follows_the_first(fuser, stacks):
    from MedSRLib.Preview import linearEnlargement

    first, second = stacks[:2]
    together, apart = transform((40, 0, 0)), transform((40, 7, 0), 20)
    matrix = vtk.vtkMatrix4x4()
    apart.GetMatrixTransformToParent(matrix)
    # The second was moved far away and turned, and its transform brings it back under that of the first.
    back = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(matrix, back)
    ijk = vtk.vtkMatrix4x4()
    second.GetIJKToRASMatrix(ijk)
    shifted = vtk.vtkMatrix4x4()
    both = vtk.vtkMatrix4x4()
    together.GetMatrixTransformToParent(both)
    vtk.vtkMatrix4x4.Multiply4x4(back, both, shifted)
    vtk.vtkMatrix4x4.Multiply4x4(shifted, ijk, shifted)
    second.SetIJKToRASMatrix(shifted)
    first.SetAndObserveTransformNodeID(together.GetID())
    second.SetAndObserveTransformNodeID(apart.GetID())
    before = slicer.util.arrayFromVTKMatrix(shifted).copy()
    node = fuser.fuse([first, second])
    assert node.GetParentTransformNode() is together
    assert np.allclose(node.GetOrigin(), 0, atol=1e-3)
    assert missed(slicer.util.arrayFromVolume(node)) < 0.7 * missed(linearEnlargement(first, node))
    second.GetIJKToRASMatrix(ijk)
    assert np.array_equal(slicer.util.arrayFromVTKMatrix(ijk), before)


def test_stacks_that_do_not_go_together_are_told_by_name(fuser, stacks, scene):
    from MedSRLib.Errors import SuperResolutionError

    count = scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    slicer.util.updateVolumeFromArray(
        stacks[1], np.random.default_rng(9).normal(300, 100, (SIZE, 8, SIZE)).astype(np.float32)
    )
    with pytest.raises(SuperResolutionError, match="'Coronal'") as caught:
        fuser.fuse(stacks[:2])
    assert "nrrd" not in str(caught.value)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count


def test_what_cannot_be_fused_is_refused_before_anything_starts(fuser, stacks, helpers):
    from MedSRLib import Provenance
    from MedSRLib.Errors import SceneError

    first, second, third = stacks
    colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((8, 9, 9, 3), np.uint8))
    Provenance.markMap(third, "difference")
    for nodes, text in (
        ([first], "two or more"),
        (first, "nodes takes a list"),
        ("Axial", "nodes takes a list"),
        ([first, "Coronal"], 'nodes takes a volume node.*getNode\\("Coronal"\\)'),
        ([first, first], "Axial was chosen twice"),
        ([first, colour], "Photo is a colour image"),
        ([first, third], "Sagittal was made by MedSR"),
    ):
        with pytest.raises(SceneError, match=text):
            fuser.start(nodes)
    for options, text in (
        ({"scale": 2}, "'scale'"),
        ({"spacing": (1, 1, 2)}, "isotropic"),
        ({"model": "a"}, "'model'"),
    ):
        with pytest.raises(MedSRError, match=text):
            fuser.start([first, second], **options)
    for scale, text in ((1.2, "scaled, sheared or mirrored"), (-1, "scaled, sheared or mirrored")):
        second.SetAndObserveTransformNodeID(transform(scale=scale).GetID())
        with pytest.raises(SceneError, match=f"Coronal is {text}.*as seen from Axial"):
            fuser.start([first, second])
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    grid = vtk.vtkThinPlateSplineTransform()
    points = [vtk.vtkPoints(), vtk.vtkPoints()]
    for n in range(5):
        points[0].InsertNextPoint(*np.random.default_rng(n).uniform(0, 30, 3))
        points[1].InsertNextPoint(*np.random.default_rng(n + 9).uniform(0, 30, 3))
    grid.SetSourceLandmarks(points[0])
    grid.SetTargetLandmarks(points[1])
    bent.SetAndObserveTransformToParent(grid)
    second.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(SceneError, match="non-linear"):
        fuser.start([first, second])
    second.SetAndObserveTransformNodeID(None)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    for name, node in (("One", first), ("Two", second)):
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.CreateItem(patient, node)
    with pytest.raises(SceneError, match="different patients") as caught:
        fuser.start([first, second])
    assert "One" not in str(caught.value)
    assert fuser.runner.workerPid is None


def test_networks_are_prepared_for_once_they_are_asked_for(fuser, stacks):
    from MedSRLib.Errors import InstallError

    asked = []

    def prepare():
        asked.append(True)
        raise InstallError("not today", declined=True)

    fuser._prepare = prepare
    fuser.start(stacks[:2]).cancel()
    assert asked == []
    with pytest.raises(InstallError, match="not today"):
        fuser.start(stacks[:2], networks=True)
    assert asked == [True]


def test_a_fusion_can_be_stopped_and_ends_with_its_first_stack(fuser, stacks, scene):
    told = []
    job = fuser.start(stacks, completed=told.append)
    job.cancel()
    assert (job.state, told) == ("cancelled", [job])
    job = fuser.start(stacks)
    scene.RemoveNode(stacks[0])
    fuser.wait(job)
    assert job.state == "cancelled"
    assert "Axial was removed" in str(job.error)
    assert not job._place.exists()
    assert slicer.util.getNodes("*fused*") == {}


def test_the_header_of_each_stack_counts_and_one_that_left_the_scene_stops_nothing(fuser, stacks, scene):
    from MedSRLib.Provenance import sourcesOf

    stacks[0].SetAttribute("DICOM.SliceThickness", "5")
    job = fuser.start(stacks[:2])
    scene.RemoveNode(stacks[1])
    fuser.wait(job)
    assert job.state == "done", job.error
    assert sourcesOf(job.output) == stacks[:1]
    thick = [max(one["acquisition"], key=lambda axis: axis["width_mm"]) for one in job.report["stacks"]]
    assert (thick[0]["source"], thick[0]["width_mm"]) == ("Slicer", pytest.approx(5))
    assert thick[1]["source"] != "Slicer"
