"""Maps beside a result: colours, what lies under the mouse, what the report says. On MRML alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from medsr.errors import InvalidValueError
from medsr.maps import MAPS, MapKind

ERROR = {
    "coverage": 0.9, "typical": 14.2, "at_edges": 140.0, "unit": "HU", "percent_of_signal": 1.4,
    "measured": [{"volumes": 12, "coverage": 0.9, "range": [0.84, 0.98]}],
    "widened": [
        {
            "kind": "error.widened",
            "values": {"times": 1.5, "why": {"kind": "error.noise", "values": {}, "text": ""}},
            "text": "",
        }
    ],
    "meaning": "",
}  # fmt: skip


@pytest.fixture
def a_result(a_volume, helpers):
    """A CT result with an error map of 14 HU, under a shift of 50 mm, and the map."""
    from MedSRLib import Provenance

    affine = helpers.oblique((1, 1, 1))
    result = helpers.make_volume("Result", (6, 8, 10), affine=affine)
    widths = helpers.make_volume("Widths", (6, 8, 10), dtype=np.float32, affine=affine)
    slicer.util.updateVolumeFromArray(widths, np.full((6, 8, 10), 14, np.float32))
    array = slicer.util.arrayFromVolume(result)
    array[2, 3, 4] = 312
    shift = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Shift")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 50)
    shift.SetMatrixTransformToParent(matrix)
    Provenance.markResult(result, a_volume, {"modality": "CT", "error": ERROR})
    result.SetNodeReferenceID(Provenance.roleOf("error"), widths.GetID())
    for node in (result, widths):
        node.SetAndObserveTransformNodeID(shift.GetID())
    return result, widths


def world_of(node, i, j, k):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    x, y, z, _ = matrix.MultiplyPoint((i, j, k, 1))
    return x + 50, y, z


def test_the_lightness_of_the_colours_rises_evenly():
    from MedSRLib import Overlay

    colours = Overlay.sequentialColours()
    linear = np.where(colours > 0.04045, ((colours + 0.055) / 1.055) ** 2.4, colours / 12.92)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness)
    assert lightness[0] < 8
    assert lightness[-1] > 88
    assert steps.min() > 0.8 * steps.mean()
    assert steps.max() < 1.2 * steps.mean()


@pytest.mark.parametrize("signed", [True, False])
def test_colours_part_at_zero_or_begin_there(scene, helpers, signed):
    from MedSRLib import Overlay

    node = helpers.make_volume("Map", dtype=np.float32)
    values = np.random.default_rng(1).uniform(0, 100, (10, 20, 24)).astype(np.float32)
    values[0, 0, 0] = 1e6  # one voxel does not take all the colours
    slicer.util.updateVolumeFromArray(node, values)
    Overlay.paint(node, dataclasses.replace(MAPS["error"], signed=signed))
    display = node.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    assert high == pytest.approx(99, abs=1)
    assert low == pytest.approx(-high if signed else 0, abs=1e-6)
    assert display.GetColorNode().GetName() == (Overlay.DIVERGING if signed else Overlay.SEQUENTIAL)
    dark = [0.0] * 4
    display.GetColorNode().GetColor(128 if signed else 0, dark)
    assert max(dark[:3]) < 0.15


def test_slicers_own_sequential_colours_are_taken_where_it_has_them(scene, helpers):
    from MedSRLib import Overlay

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", Overlay.PREFERRED)
    node = helpers.make_volume("Map", dtype=np.float32)
    Overlay.paint(node, MAPS["error"])
    assert node.GetDisplayNode().GetColorNode() is table


def test_the_mouse_tells_the_value_and_how_far_it_may_be_off(scene, a_result):
    from MedSRLib.Probe import Probe

    result, _ = a_result
    crosshair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    told = []
    probe = Probe(told.append)
    crosshair.SetCursorPositionRAS(world_of(result, 4, 3, 2))
    assert told == []  # nobody asked
    probe.watch(result)
    probe.watch(result)
    crosshair.SetCursorPositionRAS(world_of(result, 4.4, 2.7, 2.3))
    assert told == ["Under the mouse: 312 +- 14 HU"]
    crosshair.SetCursorPositionRAS(world_of(result, 4, 3, 20))
    assert told[1:] == [""]
    probe.watch(None)
    crosshair.SetCursorPositionRAS(world_of(result, 4, 3, 2))
    assert len(told) == 2


def test_no_figure_without_a_map_or_without_a_unit(scene, a_result, a_volume):
    from MedSRLib import Provenance
    from MedSRLib.Probe import textAt

    result, _ = a_result
    place = world_of(result, 4, 3, 2)
    assert textAt(result, place) == "Under the mouse: 312 +- 14 HU"
    Provenance.markResult(result, a_volume, {"modality": "MR"})
    assert textAt(result, place) == "Under the mouse: 312 +- 14"
    result.SetNodeReferenceID(Provenance.roleOf("error"), None)
    assert textAt(result, place) == ""


def test_the_report_says_how_far_off_how_sure_and_why_wider(scene, a_result):
    from MedSRLib.ErrorReport import halfWidthsIn
    from MedSRLib.Report import reportHtml, reportRows

    result, _ = a_result
    report = {"modality": "CT", "error": ERROR, "phantoms": ["z4 at 2 % noise: 9 of 10 lesions kept, none made"]}
    rows = dict(reportRows(report))
    assert rows["Likely error"] == "9 of 10 voxels lie within +-14.2 HU of the truth, at edges within +-140 HU."
    assert rows["How often that held"].endswith("for 84 to 98 % of the voxels.")
    assert "12 volumes" in rows["How often that held"]
    assert "1.5 times: the volume is noisier than any that was calibrated" in rows["Widened"]
    page = reportHtml(report, halfWidthsIn(result))
    assert "9 of 10 lesions kept" in page
    assert page.count("bgcolor") == 8
    plain = reportHtml({"modality": "CT"}, None)
    assert not [part for part in ("Likely error", "bgcolor", "phantoms") if part in plain]


def test_the_share_of_the_signal_stands_where_there_is_no_unit(scene):
    from MedSRLib.ErrorReport import errorText

    text = errorText({**ERROR, "unit": ""})
    assert errorText({"meaning": "of another version"}) == ""
    assert " within +-14.2 (1.4 % of the brightest signal) of the truth, at edges within +-140." in text


def test_bars_show_the_shares_of_the_half_widths(scene):
    from MedSRLib.ErrorReport import histogramHtml

    widths = np.concatenate([np.full(750, 1.0), np.full(245, 7.9), np.full(5, 500.0)])
    page = histogramHtml(widths, "HU")
    assert "(HU)" in page
    assert page.count(" %<") == 8
    assert "75 %" in page
    assert "6.91 and more" in page
    assert histogramHtml(np.zeros(10), "") == ""


def test_a_map_without_a_calibration_is_refused_before_the_work(resolver, a_volume):
    with pytest.raises(InvalidValueError, match="no error map for lanczos"):
        resolver.start(a_volume, maps=["error"], scale=2, model="lanczos", modality="MR")
    assert resolver.jobs == ()


def test_the_error_map_of_a_job_lies_beside_its_result(resolver, a_volume):
    from MedSRLib import Maps, Overlay

    result = resolver.superResolve(a_volume, maps=["error"], scale=2, model="linear", modality="MR")
    node = result.GetNodeReference("MedSR.error")
    assert Maps.halfWidthsOf(result) is node
    widths = slicer.util.arrayFromVolume(node)
    assert widths.shape == slicer.util.arrayFromVolume(result).shape
    assert widths.min() >= 0
    assert node.GetDisplayNode().GetColorNode().GetName() == Overlay.SEQUENTIAL


def test_a_new_map_of_the_library_needs_no_change_here(scene, a_result, helpers, monkeypatch):
    from MedSRLib import Maps, Overlay, Provenance

    result, _ = a_result
    monkeypatch.setitem(MAPS, "doubt", MapKind("doubt", "Doubt", "how doubtful", signed=False))
    node = helpers.make_volume("Doubt", (6, 8, 10), dtype=np.float32)
    result.SetNodeReferenceID(Provenance.roleOf("doubt"), node.GetID())
    assert Maps.madeOf(result)["doubt"] is node
    red = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    Overlay.show(result, node, MAPS["doubt"])
    assert red.GetForegroundVolumeID() == node.GetID()
    assert red.GetBackgroundVolumeID() == result.GetID()
    assert red.GetForegroundOpacity() <= 0.5  # the image is seen beneath
