"""Several volumes one after the other."""

from __future__ import annotations

import pytest
import slicer
import slicer.util


@pytest.fixture
def queue(resolver):
    from MedSRLib.VolumeQueue import VolumeQueue

    return VolumeQueue(resolver.start)


def states(queue):
    return [item.state for item in queue.items]


def with_linear(node):
    return {"scale": 2, "model": "linear"}


def test_volumes_are_done_in_turn(resolver, scene, queue, helpers):
    volumes = [helpers.make_volume(name) for name in ("A", "B", "C")]
    queue.add(volumes)
    seen = []
    queue.changed = lambda: seen.append(tuple(states(queue)))
    queue.start(with_linear)
    assert states(queue) == ["running", "waiting", "waiting"]
    assert len(resolver.jobs) == 1  # the others wait in the scene, not as files
    helpers.poll_until(resolver, lambda: not queue.isRunning)
    assert states(queue) == ["done"] * 3
    assert [item.job.output.GetName() for item in queue.items] == ["A SR", "B SR", "C SR"]
    assert ("done", "running", "waiting") in seen
    assert queue.fraction == 1


def test_one_that_fails_does_not_stop_the_others(resolver, scene, queue, helpers):
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    queue.add([labels, helpers.make_volume("B")])
    queue.start(with_linear)
    helpers.poll_until(resolver, lambda: not queue.isRunning)
    assert states(queue) == ["failed", "done"]
    assert "no voxels" in queue.items[0].why


def test_it_can_be_stopped_and_started_again(resolver, scene, queue, helpers):
    queue.add([helpers.make_volume(name) for name in ("A", "B")])
    queue.start(with_linear)
    queue.cancel()
    assert states(queue) == ["cancelled", "cancelled"]
    assert not resolver.jobs
    queue.start(with_linear)
    helpers.poll_until(resolver, lambda: not queue.isRunning)
    assert states(queue) == ["done", "done"]


def test_a_volume_taken_off_while_it_runs_is_stopped(resolver, scene, queue, helpers):
    queue.add([helpers.make_volume(name) for name in ("A", "B")])
    queue.start(with_linear)
    queue.remove(0)
    helpers.poll_until(resolver, lambda: not queue.isRunning)
    assert [(item.name, item.state) for item in queue.items] == [("B", "done")]
    assert slicer.mrmlScene.GetFirstNodeByName("A SR") is None


def test_a_volume_that_left_the_scene_fails(resolver, scene, queue, helpers):
    volumes = [helpers.make_volume(name) for name in ("A", "B")]
    queue.add(volumes)
    queue.start(with_linear)
    scene.RemoveNode(volumes[1])
    helpers.poll_until(resolver, lambda: not queue.isRunning)
    assert states(queue) == ["done", "failed"]


def test_packages_are_asked_for_once(scene, helpers):
    from MedSRLib.Errors import InstallError
    from MedSRLib.VolumeQueue import VolumeQueue

    asked = []

    def start(node, **arguments):
        asked.append(node)
        raise InstallError("mr-3d needs torch", declined=True)

    queue = VolumeQueue(start)
    queue.add([helpers.make_volume(name) for name in ("A", "B", "C")])
    queue.start(with_linear)
    assert len(asked) == 1
    assert states(queue) == ["failed"] * 3


def test_volumes_of_a_study_are_those_of_the_data_tree(resolver, scene, queue, helpers):
    from MedSRLib.VolumeQueue import studyOf

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "Patient")
    studies = [tree.CreateStudyItem(patient, name) for name in ("Before", "After")]
    volumes = {name: helpers.make_volume(name) for name in ("T1", "T2", "Later")}
    for name, study in (("T1", 0), ("T2", 0), ("Later", 1)):
        tree.CreateItem(studies[study], volumes[name])
    result = resolver.superResolve(volumes["T1"], scale=2, model="linear", maps=["difference"])
    assert tree.GetItemParent(tree.GetItemByDataNode(result)) == studies[0]
    assert studyOf(volumes["T1"]) == [volumes["T1"], volumes["T2"]]  # neither result nor map
    queue.add([*studyOf(volumes["T1"]), volumes["T1"]])
    assert [item.name for item in queue.items] == ["T1", "T2"]
    label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    queue.add([label, None])
    assert len(queue.items) == 2
