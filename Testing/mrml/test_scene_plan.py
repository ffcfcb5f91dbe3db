"""One plan for the preview and the click, made with the facts that the worker gets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import slicer.util


@pytest.fixture
def plans(monkeypatch):
    """Counts the plans that this process makes."""
    from medsr.inference import planner

    made, make_plan = [], planner.make_plan

    def counted(*arguments, **options):
        made.append(make_plan(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(planner, "make_plan", counted)
    return made


@pytest.fixture
def planner(scene):
    from MedSRLib.ScenePlan import ScenePlanner

    return ScenePlanner()


def options(**given):
    from MedSRLib.ScenePlan import optionsOf

    return optionsOf(given)


def test_the_plan_stays_while_nothing_changes(planner, plans, a_volume):
    first = planner.plan(a_volume, options(scale=2))
    assert planner.plan(a_volume, options(scale=2)) is first
    a_volume.SetName("Another name")
    assert planner.plan(a_volume, options(scale=2)) is first
    assert len(plans) == 1


def test_other_options_voxels_grid_header_or_volume_make_another_plan(planner, plans, a_volume, helpers):
    def changed_voxels():
        slicer.util.arrayFromVolume(a_volume)[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(a_volume)

    changes = (
        changed_voxels,
        lambda: a_volume.SetOrigin(1, 2, 3),
        lambda: a_volume.SetAttribute("DICOM.SliceThickness", "4"),
        lambda: a_volume.SetAttribute("DICOM.Modality", "CT"),
    )
    planner.plan(a_volume, options(scale=2))
    for count, change in enumerate(changes, start=2):
        change()
        planner.plan(a_volume, options(scale=2))
        planner.plan(a_volume, options(scale=2))
        assert len(plans) == count
    planner.plan(a_volume, options(scale=3))
    planner.plan(helpers.make_volume("Other"), options(scale=3))
    assert len(plans) == len(changes) + 3


def test_a_moved_reference_makes_another_plan(planner, plans, a_volume, helpers):
    from MedSRLib.ScenePlan import optionsOf

    fine = helpers.affine_of(a_volume)
    fine[:3, :3] /= 2
    reference = helpers.make_volume("Reference", (18, 36, 40), affine=fine)
    planned = planner.plan(a_volume, optionsOf({}, reference), reference)
    assert planned.plan.target.output.size_xyz == (40, 36, 18)
    assert planner.plan(a_volume, optionsOf({}, reference), reference) is planned
    fine[:3, 3] += 1
    reference.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(fine))
    assert planner.plan(a_volume, optionsOf({}, reference), reference) is not planned
    assert len(plans) == 2


def test_a_plan_that_fails_is_not_remembered(planner, a_volume):
    from medsr.errors import InvalidValueError

    for _ in range(2):
        with pytest.raises(InvalidValueError, match="nothing to super-resolve"):
            planner.plan(a_volume, options(spacing=10))
    assert planner.plan(a_volume, options(scale=2)).plan.target.factors_xyz == pytest.approx((2, 2, 2))


def test_start_takes_the_plan_of_the_preview(resolver, plans, a_volume):
    from MedSRLib.Preview import Previewer

    Previewer(resolver.planner).preview(a_volume, {"scale": 2, "model": "linear"})
    resolver.start(a_volume, scale=2, model="linear").cancel()
    assert len(plans) == 1
    resolver.start(a_volume, scale=3, model="linear").cancel()
    assert len(plans) == 2


def test_packages_are_those_of_the_plan_and_not_of_another_target(scene, pump, plans, a_volume):
    """Seven times along every axis is beyond the network: tikhonov does it, and nothing is asked for."""
    from MedSRLib.SuperResolver import SuperResolver

    prepared = []
    resolver = SuperResolver(pump, prepare=prepared.append)
    try:
        for scale in (2, 7):
            resolver.start(a_volume, scale=scale, modality="MR").cancel()
        near, far = prepared
        assert near.entry.needs_torch
        assert near.packages == ("torch",)
        assert (far.entry.name, far.packages) == ("tikhonov", ())
        assert prepared == plans
    finally:
        resolver.shutdown()


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((1, 1, 5), "z"), ((1, 5, 1), "y"), ((4, 1, 1), "x"), ((1, 1, 1), None), ((0.78, 0.78, 0.4), "z"),
        ((1.3, 0.9, 0.6), "x"),
    ],
)  # fmt: skip
def test_slice_axis_is_the_one_that_differs(planner, helpers, spacing, axis):
    from MedSRLib.Preview import Previewer

    node = helpers.make_volume(spacing=spacing)
    assert Previewer(planner).inputFacts(node).sliceAxis == axis
    assert planner.plan(node, options(scale=2)).sliceAxis == axis
    node.SetAttribute("DICOM.SliceThickness", "3")
    assert planner.plan(node, options(scale=2)).sliceAxis == "z"
    assert planner.plan(node, options(scale=2, slice_axis="y")).sliceAxis == "y"


def test_the_worker_knows_what_the_scene_knows(resolver, scene, helpers, database, tmp_path):
    """Slices 1.25 mm thick every 0.625 mm, thinner than the pixels: the thickness belongs to k, times 0.9 (helical)."""
    node = helpers.make_volume("Chest", (16, 20, 24), affine=np.diag([-0.98, -0.98, 0.625, 1]))
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    helpers.write_slice(tmp_path / "1.dcm", node, "CT", SliceThickness=1.25, ScanOptions="HELIX")
    job = resolver.start(node, scale=2, model="tikhonov")
    line = json.loads(job._ticket.line)
    resolver.wait(job)
    assert job.state == "done", job.error
    assert "slice_thickness" not in line["options"]
    assert "modality" not in line["options"]
    told = {found["axis"]: found for found in job.report["acquisition"]}
    assert (told["z"]["profile"], told["z"]["width_mm"], told["z"]["source"]) == ("gaussian", 1.125, "Slicer")
    assert not told["z"]["assumed"]
    assert told["x"]["width_mm"] == told["y"]["width_mm"] == 0.98
    assert job.report["modality"] == "CT"
    planned = resolver.planner.plan(node, options(scale=2, model="tikhonov")).plan
    assert job.report["decisions"] == [notice.to_json() for notice in planned.decisions]


def test_what_should_be_known_of_the_input_is_in_the_report(resolver, a_volume, database, helpers, tmp_path):
    a_volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    database.files["1.2.3"] = str(tmp_path / "1.dcm")
    matrix = {"InPlanePhaseEncodingDirection": "COL", "AcquisitionMatrix": [12, 0, 0, 10], "MRAcquisitionType": "2D"}
    helpers.write_slice(tmp_path / "1.dcm", a_volume, SliceThickness=3.2, **matrix)
    job = resolver.start(a_volume, scale=2, model="tikhonov")
    resolver.wait(job)
    planned = resolver.planner.plan(a_volume, options(scale=2, model="tikhonov")).plan
    assert job.report["warnings"] == [notice.to_json() for notice in planned.warnings]
    assert "already interpolated" in job.warnings[0]
    assert len(job.warnings) == len(planned.warnings)


def test_what_a_person_states_wins_over_the_header(resolver, a_volume):
    a_volume.SetAttribute("DICOM.SliceThickness", "5")
    for stated, source, width in (({}, "Slicer", 5), ({"slice_thickness": 2.5}, "option", 2.5)):
        job = resolver.start(a_volume, isotropic=True, model="tikhonov", **stated)
        resolver.wait(job)
        across = job.report["acquisition"][2]
        assert (across["source"], across["width_mm"]) == (source, width)


def test_a_reference_file_that_is_not_there_is_told_before_anything_starts(resolver, a_volume, tmp_path):
    from medsr.errors import InputNotFoundError

    with pytest.raises(InputNotFoundError):
        resolver.start(a_volume, reference=str(tmp_path / "nothing.nrrd"))
    assert resolver.runner.workerPid is None
