"""Segments of a result measured with intervals: volumes by hand, other grids, overlaps, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

SHAPE, SPACING = (12, 14, 16), (0.5, 1.0, 2.0)


@pytest.fixture
def scan(scene, helpers):
    """A CT result of 100 HU with a brighter block, and its error map of 5 HU."""
    return make_scan(helpers)


def make_scan(helpers, modality="CT"):
    from MedSRLib import Provenance

    affine = helpers.oblique(SPACING)
    source, result, widths = (
        helpers.make_volume(name, SHAPE, dtype=np.float32, affine=affine) for name in ("Thick", "Fine", "Fine error")
    )
    block = a_block(helpers)
    slicer.util.updateVolumeFromArray(result, np.where(block, 200, 100).astype(np.float32))
    slicer.util.updateVolumeFromArray(widths, np.full(SHAPE, 5, np.float32))
    Provenance.markResult(result, source, {"modality": modality})
    Provenance.markMap(widths, "error")
    result.SetNodeReferenceID(Provenance.roleOf("error"), widths.GetID())
    return source, result, widths


def a_block(helpers):
    return helpers.box(SHAPE, (3, 4, 5), (8, 10, 12))  # 5 x 6 x 7 voxels of 1 mm3


def rows_of(table):
    """Column name -> values."""
    content = table.GetTable()
    columns = [content.GetColumn(n) for n in range(content.GetNumberOfColumns())]
    return {c.GetName(): [c.GetValue(row) for row in range(c.GetNumberOfValues())] for c in columns}


def test_a_table_and_a_sentence_with_intervals(scan, helpers):
    from medsr.inference.segments import measure_segments
    from MedSRLib import SceneIO
    from MedSRLib.SegmentMeasures import measure

    _, result, widths = scan
    block = a_block(helpers)
    found = measure(result, helpers.make_segmentation(result, "Labels", Liver=block))
    (segment,) = found.segments
    (expected,) = measure_segments(
        SceneIO.volumeOf(result), SceneIO.volumeOf(result).replace(array=block.astype(np.uint8)),
        SceneIO.volumeOf(widths),
    ).values()  # fmt: skip
    low, high = (value / 1000 for value in expected.volume_interval_mm3)
    assert segment.numbers[:3] == pytest.approx((0.21, low, high))
    rows = rows_of(found.table)
    assert list(rows) == [
        "Segment", "Volume (ml)", "Volume from (ml)", "Volume to (ml)", "Mean (HU)", "Mean from (HU)", "Mean to (HU)",
    ]  # fmt: skip
    assert rows["Segment"] == ["Liver"]
    assert rows["Mean (HU)"] == [200]
    assert rows["Mean from (HU)"][0] < 200 < rows["Mean to (HU)"][0]
    # 214 faces, each 5 / 100 of a voxel, of which a share of 0.233 counts: 2.5 mm3 to each side.
    assert segment.sentence.startswith("Liver: 0.210 ml (0.208 to 0.212), mean 200.0 HU (198.9 to 201.1)")
    assert segment.sentence in found.table.GetDescription()
    assert "9 of 10" in found.table.GetDescription()


def test_a_second_measurement_fills_the_same_table(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    labels = helpers.make_segmentation(result, "Labels", Liver=a_block(helpers))
    first = measure(result, labels)
    labels.GetSegmentation().GetNthSegment(0).SetName("Spleen")
    second = measure(result, labels)
    assert second.table is first.table
    assert rows_of(second.table)["Segment"] == ["Spleen"]
    other = measure(result, helpers.make_segmentation(result, "Others", Liver=a_block(helpers)))
    assert other.table is not first.table
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 2


def test_segments_that_overlap_keep_all_their_voxels(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    block, wide = a_block(helpers), helpers.box(SHAPE, (0, 0, 0), SHAPE)
    found = measure(result, helpers.make_segmentation(result, "Labels", Liver=block, All=wide, Same=block))
    assert [one.numbers[0] for one in found.segments] == pytest.approx([0.21, np.prod(SHAPE) / 1000, 0.21])
    assert found.segments[0].numbers == found.segments[2].numbers


def test_voxels_at_the_border_of_the_volume_count(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    corner = helpers.box(SHAPE, (10, 12, 14), SHAPE)
    (one,) = measure(result, helpers.make_segmentation(result, "Labels", Corner=corner)).segments
    assert one.numbers[0] == pytest.approx(0.008)


def test_an_empty_segment_is_told_and_the_others_are_measured(scan, helpers):
    from MedSRLib.Errors import SceneError
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    labels = helpers.make_segmentation(result, "Labels", Liver=a_block(helpers))
    labels.GetSegmentation().AddEmptySegment("nothing", "Nothing")
    found = measure(result, labels)
    assert [one.name for one in found.segments] == ["Liver"]
    assert found.notes == ("Nothing has no voxels in Fine.",)
    labels.GetSegmentation().RemoveSegment(labels.GetSegmentation().GetNthSegmentID(0))
    with pytest.raises(SceneError, match="No segment of Labels has a voxel inside Fine"):
        measure(result, labels)
    with pytest.raises(SceneError, match="Bare has no segments"):
        measure(result, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Bare"))


def test_the_grid_may_begin_elsewhere_and_what_lies_outside_is_told(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    affine = helpers.affine_of(result)
    affine[:3, 3] = (affine @ (-2, 0, 0, 1))[:3]  # two columns before the result
    shape = (SHAPE[0], SHAPE[1], SHAPE[2] + 2)
    inside = helpers.box(shape, (3, 4, 7), (8, 10, 14))
    cut = helpers.box(shape, (0, 0, 0), (2, 2, 4))
    before = helpers.box(shape, (0, 0, 0), (2, 2, 2))
    labels = helpers.make_segmentation(result, "Labels", affine=affine, Liver=inside, Cut=cut, Before=before)
    found = measure(result, labels)
    assert [one.numbers[0] for one in found.segments] == pytest.approx([0.21, 0.008])
    assert found.segments[0].numbers[3] == 200
    assert found.notes == (
        "Cut reaches beyond Fine; what lies outside is not counted.",
        "Before has no voxels in Fine.",
    )


def test_the_same_voxels_in_another_order_are_met(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, widths = scan
    rng = np.random.default_rng(0)
    slicer.util.updateVolumeFromArray(result, rng.normal(100, 20, SHAPE).astype(np.float32))
    slicer.util.updateVolumeFromArray(widths, rng.uniform(2, 9, SHAPE).astype(np.float32))
    mask = rng.uniform(size=SHAPE) > 0.8
    mask[:, :, :3] = mask[0] = False
    # Axes (i, j, k) of the other grid are (j, -k, i) of the result.
    affine = helpers.affine_of(result)
    turned = np.stack([affine[:, 1], -affine[:, 2], affine[:, 0], affine @ (0, 0, SHAPE[0] - 1, 1)], axis=1)
    other = mask[::-1].transpose(2, 0, 1)
    first = measure(result, helpers.make_segmentation(result, "Own", Liver=mask)).segments
    second = measure(result, helpers.make_segmentation(result, "Turned", affine=turned, Liver=other)).segments
    assert first == second
    assert first[0].numbers[0] == pytest.approx(mask.sum() / 1000)


def test_other_voxels_are_refused_with_what_to_do(scan, helpers):
    from MedSRLib.Errors import SceneError
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    affine = helpers.affine_of(result)
    affine[:3, 2] *= 2
    coarse = helpers.make_segmentation(
        result, "Coarse", affine=affine, Liver=helpers.box((6, 14, 16), (1, 4, 5), (4, 10, 12))
    )
    with pytest.raises(SceneError, match=r"was not drawn on Fine: its voxels are others.*Segment Editor"):
        measure(result, coarse)
    shifted = helpers.affine_of(result)
    shifted[:3, 3] += 0.3
    with pytest.raises(SceneError, match="was not drawn on Fine"):
        measure(result, helpers.make_segmentation(result, "Shifted", affine=shifted, Liver=a_block(helpers)))


def test_surfaces_are_read_on_the_result(scan):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    bounds = [0.0] * 6
    result.GetRASBounds(bounds)
    ball = vtk.vtkSphereSource()
    ball.SetCenter(*[(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)])
    ball.SetRadius(3)
    ball.SetThetaResolution(32)
    ball.SetPhiResolution(32)
    ball.Update()
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Ball")
    labels.SetSourceRepresentationToClosedSurface()
    labels.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "Ball", [1, 0, 0])
    (one,) = measure(result, labels).segments
    assert one.numbers[0] == pytest.approx(4 / 3 * np.pi * 27 / 1000, rel=0.1)
    assert not labels.GetSegmentation().ContainsRepresentation("Binary labelmap")


def test_both_under_one_transform_is_as_without(scan, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = scan
    labels = helpers.make_segmentation(result, "Labels", Liver=a_block(helpers))
    before = measure(result, labels).segments
    moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 12.25)
    moved.SetMatrixTransformToParent(matrix)
    for node in (result, labels):
        node.SetAndObserveTransformNodeID(moved.GetID())
    assert measure(result, labels).segments == before


def test_mr_has_no_unit(scene, helpers):
    from MedSRLib.SegmentMeasures import measure

    _, result, _ = make_scan(helpers, "MR")
    found = measure(result, helpers.make_segmentation(result, "Labels", Liver=a_block(helpers)))
    assert "Mean" in rows_of(found.table)
    assert "mean 200.0 (198.9 to 201.1)" in found.segments[0].sentence


def test_what_cannot_be_measured_is_told(scan, helpers):
    from MedSRLib import Provenance
    from MedSRLib.Errors import SceneError
    from MedSRLib.SegmentMeasures import measure

    source, result, widths = scan
    labels = helpers.make_segmentation(result, "Labels", Liver=a_block(helpers))
    for node, given, text in (
        (source, labels, "super-resolve first"),
        ("Fine", labels, "resultNode takes a volume node"),
        (result, source, "segmentationNode takes a segmentation node"),
    ):
        with pytest.raises(SceneError, match=text):
            measure(node, given)
    widths.SetSpacing(3, 3, 3)
    with pytest.raises(SceneError, match="Fine error has other voxels than Fine"):
        measure(result, labels)
    result.SetNodeReferenceID(Provenance.roleOf("error"), None)
    with pytest.raises(SceneError, match="Fine has no error map"):
        measure(result, labels)
    Provenance.markResult(result, source, {"stacks": [{"source": "Axial"}, {"source": "Coronal"}]})
    with pytest.raises(SceneError, match="Fine was fused from several stacks"):
        measure(result, labels)
    assert slicer.util.getNodesByClass("vtkMRMLTableNode") == []


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((3.412, 3.322, 3.502), ("3.41", "3.32 to 3.50")),
        ((312.0, 298.0, 326.0), ("312", "298 to 326")),
        ((1204.6, 700.0, 1709.2), ("1205", "700 to 1709")),
        ((0.00341, 0.0032, 0.00362), ("0.0034", "0.0032 to 0.0036")),
        ((0.5, 0.0, 1.4), ("0.5", "0.0 to 1.4")),
        ((2.0, 2.0, 2.0), ("2", "2 to 2")),
    ],
)
def test_digits_are_those_that_the_interval_bears(scene, numbers, texts):
    from MedSRLib.SegmentMeasures import intervalText

    assert intervalText(*numbers) == texts
