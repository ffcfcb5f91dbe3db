"""All frames of a sequence, in a scene with Slicer's own logic of sequences."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import slicer.util


@pytest.fixture
def logic(scene):
    """It makes a volume for every browser at once, and shows the chosen frame in it."""
    made = slicer.vtkSlicerSequencesLogic()
    made.SetMRMLScene(scene)
    return made


@pytest.fixture
def frame(logic, scene, helpers):
    """A volume that shows the second of three frames, under a transform."""
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Perfusion")
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    for number in range(3):
        # Of 32 samples and more the voxels tell how they came about.
        volume = helpers.make_volume("Perfusion", (10, 32, 36))
        slicer.util.arrayFromVolume(volume)[:] += 50 * number
        sequence.SetDataNodeAtValue(volume, str(2 * number))
        scene.RemoveNode(volume)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Perfusion browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetSelectedItemNumber(1)
    shown = browser.GetProxyNode(sequence)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Turned")
    shown.SetAndObserveTransformNodeID(transform.GetID())
    return shown


def sequence_nodes(scene):
    return sorted(
        node.GetName()
        for kind in ("vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode", "vtkMRMLScalarVolumeNode")
        for node in slicer.util.getNodesByClass(kind, scene=scene)
    )


def test_the_new_sequence_plays_as_the_old_one(resolver, scene, logic, frame):
    from MedSRLib import Provenance
    from MedSRLib.Sequences import framesOf

    shown = resolver.superResolve(frame, all_frames=True, scale=2, model="tikhonov")
    assert sequence_nodes(scene) == [
        "Perfusion", "Perfusion", "Perfusion SR", "Perfusion SR", "Perfusion SR browser", "Perfusion browser",
    ]  # fmt: skip
    frames = framesOf(shown)
    assert (frames.number, frames.count, frames.sequence.GetIndexUnit()) == (2, 3, "s")
    assert shown.GetTransformNodeID() == frame.GetTransformNodeID()
    assert shown.GetDisplayNode() is not None
    means = []
    for number in range(3):
        frames.browser.SetSelectedItemNumber(number)
        logic.UpdateProxyNodesFromSequences(frames.browser)
        means.append(slicer.util.arrayFromVolume(shown).mean())
        # They stay when another frame is shown.
        assert [frame["at"] for frame in Provenance.reportOf(shown)["frames"]] == ["0", "2", "4"]
        assert shown.GetNodeReference(Provenance.ROLE_INPUT) is frame
    assert np.diff(means) == pytest.approx([50, 50], abs=1)


def test_every_frame_is_taken_to_be_sampled_as_the_one_that_is_shown(scene, frame):
    from MedSRLib import ScenePlan

    planner = ScenePlan.ScenePlanner()
    options = ScenePlan.optionsOf({"scale": (1, 1, 2), "model": "tikhonov", "profile": "auto,auto,gaussian:2.5"})
    plan = planner.plan(frame, options).plan
    read = [found for found in plan.evidence if found.source == "voxels"]
    assert read, "the phantom should leave something to be found"
    pinned = ScenePlan.foundOptions(plan, options)
    assert pinned.modality == plan.modality
    again = planner.plan(frame, pinned).plan.evidence
    for before, after in zip(plan.evidence, again, strict=True):
        assert after.source == "option" if before in read else after == before
        assert after.profile.kind == before.profile.kind
        assert after.profile.width == pytest.approx(before.profile.width, rel=1e-4)
        assert after.profile.taper == pytest.approx(before.profile.taper)
    # What a person said of an axis stays.
    assert pinned.profile.split(",")[2] == "gaussian:2.5"


def test_a_frame_that_cannot_be_done_ends_the_job_and_leaves_nothing(resolver, scene, frame):
    from MedSRLib.Sequences import framesOf

    slicer.util.arrayFromVolume(framesOf(frame).volumes()[2])[:] = 7
    before = sequence_nodes(scene)
    with pytest.raises(Exception, match="constant"):
        resolver.superResolve(frame, all_frames=True, scale=2, model="tikhonov")
    assert sequence_nodes(scene) == before
    assert not resolver.jobs
    assert not resolver.runner.isBusy


def test_another_job_may_run_between_two_frames(resolver, scene, frame, helpers):
    long = resolver.start(frame, all_frames=True, scale=2, model="linear")
    short = resolver.start(helpers.make_volume("Alone"), scale=2, model="linear")
    helpers.poll_until(resolver, lambda: long.isFinished and short.isFinished)
    assert (long.state, short.state) == ("done", "done")
    assert resolver.runner.workerPid is not None  # it stays warm


def test_without_a_warm_worker_the_frames_share_one(resolver, scene, frame, helpers):
    resolver.runner.keepWarm = False
    pids = set()
    job = resolver.start(
        frame, all_frames=True, scale=2, model="linear", progress=lambda job: pids.add(resolver.runner.workerPid)
    )
    helpers.poll_until(resolver, lambda: job.isFinished)
    assert job.state == "done"
    assert len(pids - {None}) == 1
    assert resolver.runner.workerPid is None
