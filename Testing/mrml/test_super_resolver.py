"""The whole job with a real scene and a real worker process."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util


def test_output_lies_where_the_input_lies(resolver, a_volume, helpers):
    sharp = resolver.superResolve(a_volume, scale=2, model="tikhonov")
    before, after = helpers.affine_of(a_volume), helpers.affine_of(sharp)
    size = np.array(a_volume.GetImageData().GetDimensions())
    assert tuple(sharp.GetImageData().GetDimensions()) == tuple(2 * size)
    for corner in np.ndindex(2, 2, 2):
        outer = np.where(corner, size - 0.5, -0.5)
        finer = np.where(corner, 2 * size - 0.5, -0.5)
        assert np.abs(before @ [*outer, 1] - after @ [*finer, 1]).max() < 1e-4
    assert slicer.util.arrayFromVolume(sharp).dtype == np.int16


def test_content_is_not_moved(resolver, a_volume):
    """Averaged back to the input's grid the result is the input, no voxel shifted."""
    sharp = resolver.superResolve(a_volume, scale=2, model="linear")
    fine = slicer.util.arrayFromVolume(sharp).astype(float)
    z, y, x = fine.shape
    back = fine.reshape(z // 2, 2, y // 2, 2, x // 2, 2).mean(axis=(1, 3, 5))
    coarse = slicer.util.arrayFromVolume(a_volume).astype(float)
    inside = (slice(2, -2),) * 3
    assert np.corrcoef(back[inside].ravel(), coarse[inside].ravel())[0, 1] > 0.99
    shifted = np.roll(back, 1, axis=2)
    assert np.corrcoef(shifted[inside].ravel(), coarse[inside].ravel())[0, 1] < 0.97


def test_the_result_equals_the_python_call(resolver, a_volume):
    import medsr
    from MedSRLib.SceneIO import volumeOf

    sharp = resolver.superResolve(a_volume, model="tikhonov")
    direct = medsr.super_resolve(volumeOf(a_volume), model="tikhonov")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(sharp), direct.volume.array)


def test_appearance_and_place_are_taken_over(resolver, scene, a_volume):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, -1, 1, 1])))
    a_volume.SetAndObserveTransformNodeID(transform.GetID())
    display = a_volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(321, 123)
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeFileViridis.txt")
    colour = display.GetColorNodeID()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.CreateItem(study, a_volume)

    sharp = resolver.superResolve(a_volume, scale=2, model="linear")

    shown = sharp.GetDisplayNode()
    assert sharp.GetParentTransformNode() is transform
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (321, 123, 0)
    assert shown.GetColorNodeID() == colour
    assert shown is not display
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(sharp)) == study


def test_provenance_is_on_the_node_and_survives_the_scene_file(resolver, scene, a_volume, tmp_path):
    from MedSRLib import Provenance

    sharp = resolver.superResolve(a_volume, scale=2, model="tikhonov")
    assert sharp.GetAttribute("MedSR.model") == "tikhonov"
    assert float(sharp.GetAttribute("MedSR.consistencyPercent")) >= 0
    assert sharp.GetNodeReference(Provenance.ROLE_INPUT) is a_volume
    report = Provenance.reportOf(sharp)
    assert report["factors_xyz"] == [2, 2, 2]
    assert report["versions"]["medsr"]
    # A scene file keeps the attributes of its nodes.
    sharp.AddDefaultStorageNode(str(tmp_path / "sharp.nrrd"))
    sharp.GetStorageNode().WriteData(sharp)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    restored = slicer.vtkMRMLScene()
    restored.SetURL(str(tmp_path / "scene.mrml"))
    restored.Import()
    again = restored.GetFirstNodeByName(sharp.GetName())
    assert Provenance.reportOf(again) == report


def test_a_saved_result_gets_its_report_beside_it_once(resolver, scene, a_volume, tmp_path):
    from MedSRLib.Provenance import SidecarKeeper

    keeper = SidecarKeeper()
    sharp = resolver.superResolve(a_volume, scale=2, model="linear")
    assert keeper.check(scene) == []
    sharp.AddDefaultStorageNode(str(tmp_path / "sharp.nrrd"))
    assert sharp.GetStorageNode().WriteData(sharp)
    (sidecar,) = keeper.check(scene)
    assert sidecar.name == "sharp.nrrd.medsr.json"
    assert json.loads(sidecar.read_text())["model"] == "linear"
    assert keeper.check(scene) == []


def test_existing_output_is_filled_and_maps_are_made(resolver, scene, a_volume):
    output = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2), np.uint8), name="Mine")
    job = resolver.start(a_volume, output=output, maps=["difference", "residual"], scale=2, model="tikhonov")
    resolver.wait(job)
    assert job.state == "done"
    assert job.output is output
    assert output.GetName() == "Mine"
    assert slicer.util.arrayFromVolume(output).shape == (20, 40, 48)
    assert slicer.util.arrayFromVolume(job.maps["difference"]).shape == (20, 40, 48)
    assert slicer.util.arrayFromVolume(job.maps["residual"]).shape == (10, 20, 24)
    assert output.GetNodeReference("MedSR.difference") is job.maps["difference"]
    for node in job.maps.values():
        assert node.GetDisplayNode().GetColorNode().GetName() == "MedSR difference"
        assert node.GetDisplayNode().GetLevel() == 0


def test_reference_grid_under_another_transform_is_met_in_the_world(resolver, scene, a_volume, helpers):
    turn = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = helpers.oblique((1, 1, 1), (4, 5, 6))
    turn.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    a_volume.SetAndObserveTransformNodeID(turn.GetID())
    world = matrix @ helpers.affine_of(a_volume)
    fine = world.copy()
    fine[:3, :3] = world[:3, :3] / 2
    reference = helpers.make_volume("Reference", (18, 36, 40), affine=fine)

    sharp = resolver.superResolve(a_volume, reference=reference, model="tikhonov")

    assert sharp.GetImageData().GetDimensions() == reference.GetImageData().GetDimensions()
    assert np.abs(matrix @ helpers.affine_of(sharp) - fine).max() < 1e-4


def test_colour_volume(resolver, scene):
    rng = np.random.default_rng(0)
    node = slicer.util.addVolumeFromArray(
        rng.integers(0, 255, (9, 10, 11, 3), dtype=np.uint8), nodeClassName="vtkMRMLVectorVolumeNode"
    )
    sharp = resolver.superResolve(node, scale=2, model="linear")
    assert sharp.IsA("vtkMRMLVectorVolumeNode")
    assert slicer.util.arrayFromVolume(sharp).shape == (18, 20, 22, 3)


def test_deviation_of_ct_is_told_in_hounsfield_units(resolver, helpers):
    from MedSRLib.Report import consistencyText

    volume = helpers.make_volume("CT")
    slicer.util.arrayFromVolume(volume)[:] -= 1000
    job = resolver.start(volume, scale=2, model="tikhonov", maps=["residual"])
    resolver.wait(job)
    assert job.report["modality"] == "CT"
    residual = slicer.util.arrayFromVolume(job.maps["residual"])
    assert job.report["residual_hu"] == pytest.approx(float(np.sqrt(np.mean(residual.astype(float) ** 2))), rel=0.02)
    assert "HU" in consistencyText(job.report)


def test_two_runs_share_one_warm_worker(resolver, a_volume, pump):
    resolver.superResolve(a_volume, scale=2, model="linear")
    first = resolver.runner.workerPid
    assert pump.isRunning
    jobs = [resolver.start(a_volume, scale=2, model="linear") for _ in range(2)]
    assert jobs[1].state == "waiting"
    for job in jobs:
        resolver.wait(job)
    assert [job.state for job in jobs] == ["done", "done"]
    assert len({job.output.GetID() for job in jobs}) == 2
    assert resolver.runner.workerPid == first


def test_worker_is_let_go_when_it_shall_not_stay_warm(resolver, a_volume, pump, helpers):
    resolver.runner.keepWarm = False
    job = resolver.start(a_volume, scale=2, model="linear")
    pid = resolver.runner.workerPid
    resolver.wait(job)
    assert resolver.runner.workerPid is None
    assert not helpers.is_alive(pid)
    assert not pump.isRunning


def test_cancel_leaves_no_process_no_node_no_file(resolver, scene, helpers):
    volume = helpers.make_volume(shape_zyx=(60, 90, 90))
    before = helpers.node_names(scene)
    ended = []
    job = resolver.start(volume, scale=4, model="lanczos", completed=ended.append)
    helpers.poll_until(resolver, lambda: job.state == "running")
    folder = job._folder
    processes = helpers.descendants_of(resolver.runner.workerPid)
    assert processes
    job.cancel()
    assert not [pid for pid in processes if helpers.is_alive(pid)]
    assert job.state == "cancelled"
    assert ended == [job]
    assert job.output is None
    assert helpers.node_names(scene) == before
    assert not folder.exists()
    # The next click works.
    assert resolver.superResolve(volume, scale=1.5, model="linear") is not None


def test_cancel_takes_grandchildren_along(resolver, a_volume, helpers, tmp_path):
    """PythonSlicer is a launcher: the process that works is a child of the one that was started."""
    from MedSRLib.WorkerProcess import WorkerProcess

    pids = tmp_path / "pids"
    inner = f"import os,time;print(os.getpid(),file=open({str(pids)!r},'w'),flush=True);time.sleep(1000)"
    outer = f"import subprocess,sys;subprocess.run([sys.executable,'-c',{inner!r}])"
    resolver.runner.startWorker = lambda: WorkerProcess([sys.executable, "-c", outer], os.environ)
    job = resolver.start(a_volume, scale=2, model="linear")
    helpers.poll_until(resolver, lambda: pids.exists() and pids.read_text().endswith("\n"))
    pid = int(pids.read_text())
    assert helpers.is_alive(pid)
    job.cancel()
    assert not helpers.is_alive(pid)


def test_idle_worker_is_let_go_after_a_while(resolver, a_volume, helpers, pump):
    resolver.superResolve(a_volume, scale=2, model="linear")
    pid = resolver.runner.workerPid
    resolver.runner.poll()
    assert resolver.runner.workerPid == pid
    resolver.runner._idleSeconds = 0
    resolver.runner.poll()
    assert resolver.runner.workerPid is None
    assert not helpers.is_alive(pid)
    assert not pump.isRunning


def test_waiting_job_can_be_cancelled(resolver, scene, helpers):
    volume = helpers.make_volume(shape_zyx=(60, 90, 90))
    first = resolver.start(volume, scale=4, model="lanczos")
    second = resolver.start(volume, scale=2, model="linear")
    second.cancel()
    assert second.state == "cancelled"
    assert not second._folder.exists()
    first.cancel()
    assert not resolver.runner.isBusy


def test_a_job_started_when_another_completes(resolver, a_volume, helpers):
    jobs = []

    def again(job):
        jobs.append(resolver.start(job.output, scale=1.5, model="linear"))

    first = resolver.start(a_volume, scale=1.5, model="linear", completed=again)
    resolver.wait(first)
    resolver.wait(jobs[0])
    assert jobs[0].output.GetName() == "Head SR SR"


def test_a_worker_that_does_one_job_and_ends_serves_as_well(resolver, a_volume):
    from MedSRLib.Environment import chosenInterpreter
    from MedSRLib.WorkerProcess import WorkerProcess

    code = (
        "import sys; from medsr.jobs import JobSpec; from medsr.worker import run_job\n"
        "run_job(JobSpec.from_json(sys.stdin.readline()), lambda event: print(event.to_json(), flush=True))"
    )
    interpreter = chosenInterpreter()
    resolver.runner.startWorker = lambda: WorkerProcess([interpreter.path, "-c", code], interpreter.environment())
    jobs = []

    def again(job):
        if len(jobs) < 3:
            jobs.append(resolver.start(a_volume, scale=2, model="linear", completed=again))

    jobs.append(resolver.start(a_volume, scale=2, model="linear", completed=again))
    for number in range(3):
        resolver.wait(jobs[number])
    assert [job.state for job in jobs] == ["done", "done", "done"]


@pytest.mark.network
def test_the_whole_job_with_the_shipped_network(resolver, scene, helpers):
    import importlib.util

    from medsr.catalog import load_catalog

    networks = [entry.name for entry in load_catalog().values() if entry.needs_torch and "MR" in entry.modalities]
    if not networks:
        pytest.skip("no network for MR is shipped yet")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("the shipped network needs torch")
    volume = helpers.make_volume(shape_zyx=(12, 24, 24))
    seen = []
    job = resolver.start(volume, isotropic=True, modality="MR", progress=lambda job: seen.append(job.fraction))
    helpers.poll_until(resolver, lambda: job.isFinished, seconds=300)
    assert job.state == "done", job.error
    assert job.report["model"] in networks
    assert job.report["consistency"]["residual_percent"] < 20
    assert len(seen) > 2
    before, after = helpers.affine_of(volume), helpers.affine_of(job.output)
    assert np.abs(before @ [-0.5, -0.5, -0.5, 1] - after @ [-0.5, -0.5, -0.5, 1]).max() < 1e-4


def test_worker_killed_from_outside_becomes_a_message(resolver, scene, helpers):
    volume = helpers.make_volume(shape_zyx=(60, 90, 90))
    before = helpers.node_names(scene)
    job = resolver.start(volume, scale=4, model="lanczos")
    helpers.poll_until(resolver, lambda: job.state == "running")
    os.kill(resolver.runner.workerPid, signal.SIGKILL)
    helpers.poll_until(resolver, lambda: job.isFinished)
    assert job.state == "failed"
    assert "signal 9" in str(job.error)
    assert helpers.node_names(scene) == before
    assert resolver.superResolve(volume, scale=1.5, model="linear") is not None


def test_worker_killed_while_idle_is_replaced(resolver, a_volume, helpers):
    resolver.superResolve(a_volume, scale=2, model="linear")
    first = resolver.runner.workerPid
    os.kill(first, signal.SIGKILL)
    assert resolver.superResolve(a_volume, scale=2, model="linear") is not None
    assert resolver.runner.workerPid != first


def test_crash_shows_the_last_lines(resolver, a_volume):
    from MedSRLib.Errors import SuperResolutionError
    from MedSRLib.WorkerProcess import WorkerProcess

    code = "import sys; sys.stdin.readline(); print('half a tensor', file=sys.stderr); sys.exit(3)"
    resolver.runner.startWorker = lambda: WorkerProcess([sys.executable, "-c", code], os.environ)
    with pytest.raises(SuperResolutionError, match=r"(?s)code 3.*half a tensor") as caught:
        resolver.superResolve(a_volume, scale=2, model="linear")
    assert caught.value.kind == "WorkerDied"
    assert "half a tensor" in caught.value.log


def test_python_without_the_library_is_named(resolver, a_volume, tmp_path):
    from MedSRLib.Errors import SuperResolutionError

    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    resolver.interpreterPath = str(bare)
    with pytest.raises(SuperResolutionError, match="No module named"):
        resolver.superResolve(a_volume, scale=2, model="linear")
    resolver.interpreterPath = str(tmp_path / "nothing")
    with pytest.raises(SuperResolutionError, match="no program"):
        resolver.superResolve(a_volume, scale=2, model="linear")


def test_input_removed_while_running(resolver, scene, helpers):
    volume = helpers.make_volume(shape_zyx=(60, 90, 90))
    job = resolver.start(volume, scale=4, model="lanczos")
    helpers.poll_until(resolver, lambda: job.state == "running")
    pid = resolver.runner.workerPid
    scene.RemoveNode(volume)
    helpers.poll_until(resolver, lambda: job.isFinished)
    assert job.state == "cancelled"
    assert "removed" in str(job.error)
    assert not helpers.is_alive(pid)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_scene_closed_while_running(resolver, scene, helpers):
    volume = helpers.make_volume(shape_zyx=(60, 90, 90))
    job = resolver.start(volume, scale=4, model="lanczos")
    helpers.poll_until(resolver, lambda: job.state == "running")
    scene.Clear(0)
    helpers.poll_until(resolver, lambda: job.isFinished)
    assert job.state == "cancelled"


def test_chosen_output_removed_while_running_gives_a_new_one(resolver, scene, a_volume):
    output = slicer.util.addVolumeFromArray(np.zeros((2, 2, 2), np.uint8), name="Mine")
    job = resolver.start(a_volume, output=output, scale=2, model="linear")
    scene.RemoveNode(output)
    resolver.wait(job)
    assert job.state == "done"
    assert job.output is not output


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="a quota for one process needs Linux")
def test_disk_full_for_the_result(resolver, scene, a_volume, helpers):
    from MedSRLib.Errors import SuperResolutionError

    resolver.superResolve(a_volume, scale=1.5, model="linear")
    before = helpers.node_names(scene)
    # A stand-in for a full disk: the input takes 9.6 kB, the result 76.8 kB.
    resource.prlimit(resolver.runner.workerPid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    with pytest.raises(SuperResolutionError, match=r"(?i)written|disk"):
        resolver.superResolve(a_volume, scale=2, model="linear")
    assert helpers.node_names(scene) == before
    resolver.runner.releaseWorker()  # not for the next test


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands in for a full disk")
def test_disk_full_for_the_input(resolver, scene, a_volume, helpers, tmp_path, monkeypatch):
    import tempfile

    from MedSRLib.Errors import SuperResolutionError

    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "input.nrrd").symlink_to("/dev/full")
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **arguments: str(folder))
    before = helpers.node_names(scene)
    with pytest.raises(SuperResolutionError, match="disk full"):
        resolver.superResolve(a_volume, scale=2, model="linear")
    assert helpers.node_names(scene) == before
    assert not folder.exists()
    assert resolver.runner.workerPid is None


def test_result_that_cannot_be_loaded_leaves_the_scene(resolver, scene, a_volume, helpers, monkeypatch):
    from MedSRLib import Provenance

    before = helpers.node_names(scene)

    def fail(*arguments):
        raise MemoryError("no room")

    monkeypatch.setattr(Provenance, "markResult", fail)
    job = resolver.start(a_volume, scale=2, model="linear", maps=["difference"])
    resolver.wait(job)
    assert job.state == "failed"
    assert helpers.node_names(scene) == before


def test_progress_runs_from_stage_to_stage(resolver, helpers):
    volume = helpers.make_volume(shape_zyx=(16, 24, 24))
    seen = []
    job = resolver.start(volume, scale=2, model="lanczos", progress=lambda job: seen.append((job.stage, job.fraction)))
    resolver.wait(job)
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert len({stage for stage, _ in seen}) >= 3
    assert job.fraction == 1


def test_a_callback_that_raises_does_not_harm_the_job(resolver, a_volume, caplog):
    def fail(job):
        raise ValueError("my mistake")

    job = resolver.start(a_volume, scale=2, model="linear", progress=fail, completed=fail)
    resolver.wait(job)
    assert job.state == "done"
    assert "my mistake" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": 20}, "between 1 and 8"),
        ({"scale": 2, "spacing": (1, 1, 1)}, "one target"),
        ({"colour": 2}, "option"),
        ({"scale": 2, "maps": ["beauty"]}, "no map"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(resolver, a_volume, arguments, text):
    with pytest.raises(Exception, match=text):
        resolver.start(a_volume, **arguments)
    assert resolver.runner.workerPid is None


def test_wrong_nodes_are_refused(resolver, scene, a_volume):
    from MedSRLib.Errors import SceneError

    labels = slicer.util.addVolumeFromArray(np.ones((4, 4, 4), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    for node, text in ((labels, "label map"), (empty, "no voxels"), (None, "Choose a volume")):
        with pytest.raises(SceneError, match=text):
            resolver.start(node, scale=2)
    with pytest.raises(SceneError, match="input itself"):
        resolver.start(a_volume, output=a_volume, scale=2)


def test_a_failing_worker_raises_its_own_text(resolver, scene):
    from MedSRLib.Errors import SuperResolutionError

    flat = slicer.util.addVolumeFromArray(np.full((9, 9, 9), 5, np.int16))
    with pytest.raises(SuperResolutionError, match="constant") as caught:
        resolver.superResolve(flat, scale=2)
    assert caught.value.kind == "InputError"


def test_worker_uses_no_torch_for_physics_and_this_process_never_does(cold, resolver, a_volume):
    resolver.superResolve(a_volume, scale=2, model="tikhonov")
    maps = Path(f"/proc/{resolver.runner.workerPid}/maps")
    if not maps.exists():
        pytest.skip("no /proc on this system")
    assert "libtorch" not in maps.read_text()
    assert "torch" not in {name.partition(".")[0] for name in sys.modules if name.startswith("MedSR")}


def test_no_worker_outlives_an_application_that_crashes(helpers, tmp_path):
    """The pipes of a dead application are closed: the worker ends at its next event."""
    import subprocess
    import time

    folder = Path(__file__).resolve().parents[2] / "MedSRExtension" / "MedSR"
    code = f"""
import os, sys
sys.path[:0] = [{str(folder)!r}, {str(Path(__file__).parent)!r}]
import slicer
slicer.mrmlScene = slicer.vtkMRMLScene()
from conftest import ManualPump, make_volume, poll_until
from MedSRLib.SuperResolver import SuperResolver
resolver = SuperResolver(ManualPump())
job = resolver.start(make_volume(shape_zyx=(40, 60, 60)), scale=3, model="lanczos")
poll_until(resolver, lambda: job.state == "running")
print(resolver.runner.workerPid, flush=True)
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pid = int(ended.stdout.split()[-1])
    end = time.monotonic() + 300
    while helpers.is_alive(pid):
        assert time.monotonic() < end, "the worker lives on"
        time.sleep(0.1)
