"""Training sets of scene nodes, with a real worker process and a fast recipe."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util

SHAPE = (10, 20, 24)


@pytest.fixture
def maker(scene, pump):
    from MedSRLib.Environment import chosenInterpreter
    from MedSRLib.TrainingSetMaker import TrainingSetMaker

    made = TrainingSetMaker(pump, lambda: chosenInterpreter().startWorker())
    yield made
    made.shutdown()


@pytest.fixture
def pairs(scene, helpers):
    """Two volumes, each with a tumour and a nerve."""
    found = []
    for name in ("First", "Second"):
        volume = helpers.make_volume(name)
        tumour, nerve = helpers.box(SHAPE, (2, 3, 4), (6, 9, 12)), helpers.box(SHAPE, (7, 9, 8), (9, 18, 20))
        found.append((volume, helpers.make_segmentation(volume, f"{name} structures", Tumour=tumour, Nerve=nerve)))
    return found


@pytest.fixture(autouse=True)
def temporary_folder(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def exports():
    """What is left of the pairs that were written for a worker."""
    return sorted(Path(tempfile.gettempdir()).glob("medsr-scene-*"))


def test_pairs_of_the_scene_become_a_training_set(scene, maker, pairs, helpers, tmp_path):
    from medsr.augmentation.datasets import read_dataset
    from medsr.io import read_volume

    before = helpers.node_names(scene)
    seen = []
    job = maker.make(pairs, tmp_path / "set", recipes="bspline-x2", progress=lambda job: seen.append(job.stage))
    assert job.state == "done"
    assert (job.report["made"], job.report["failed"], job.report["refused"]) == (2, [], [])
    assert job.page == tmp_path / "set" / "report.html"
    assert job.page.is_file()
    assert seen[:2] == ["Preparing pair 1 of 2", "Preparing pair 2 of 2"]
    made = read_dataset(str(tmp_path / "set"))
    assert [case.name for case in made.real] == ["First", "Second"]
    assert {name: value for name, value in made.labels.items() if value} == {"Tumour": 1, "Nerve": 2}
    for case in made.synthetic:
        image, label = read_volume(case.images[0]), read_volume(case.label)
        assert image.array.shape == label.array.shape == (20, 40, 48)
        assert set(np.unique(label.array)) == {0, 1, 2}
        # Eight voxels for one, so that the structures are as large as they were.
        assert (label.array == 1).sum() / 8 == pytest.approx(4 * 6 * 8, rel=0.02)
    assert helpers.node_names(scene) == before
    assert exports() == []
    assert maker.runner.workerPid is None


def test_the_originals_are_the_voxels_of_the_scene(maker, pairs, helpers, tmp_path):
    from medsr.augmentation.datasets import read_dataset
    from medsr.io import read_volume
    from MedSRLib.SegmentLabels import labelsOf

    maker.make(pairs, tmp_path / "set", recipes="bspline-x2", format="nnunet")
    for case, (volume, segmentation) in zip(read_dataset(str(tmp_path / "set")).real, pairs, strict=True):
        image = read_volume(case.images[0])
        np.testing.assert_array_equal(image.array, slicer.util.arrayFromVolume(volume))
        np.testing.assert_allclose(image.geometry.affine_ras, helpers.affine_of(volume), atol=1e-6)
        labels = labelsOf(segmentation, volume, {"Tumour": 1, "Nerve": 2})
        np.testing.assert_array_equal(read_volume(case.label).array, labels)


def test_a_check_writes_nothing_and_says_what_would_be_made(maker, pairs, tmp_path):
    job = maker.make(pairs, tmp_path / "set", recipes="degrade-bspline", per_image=3, check=True)
    assert job.report["plan"]["copies"] == 6
    assert job.report["plan"]["disk_bytes"] > 0
    assert job.report["plan"]["seconds"] > 0
    assert job.page is None
    assert not (tmp_path / "set").exists()


def test_a_folder_is_a_source_too_and_stays_as_it_is(maker, pairs, tmp_path):
    from MedSRLib.ScenePairs import checkedPairs, writePairs

    list(writePairs(checkedPairs(pairs), tmp_path / "source"))
    before = {path: path.read_bytes() for path in (tmp_path / "source").rglob("*") if path.is_file()}
    job = maker.make(tmp_path / "source", tmp_path / "set", recipes=["bspline-x2"])
    assert job.report["made"] == 2
    assert {path: path.read_bytes() for path in (tmp_path / "source").rglob("*") if path.is_file()} == before


def test_a_stopped_set_goes_on_where_it_was(maker, pairs, helpers, tmp_path):
    output = tmp_path / "set"
    job = maker.start(pairs, output, recipes="degrade-bspline", per_image=15)
    sidecars = output / "provenance"
    helpers.poll_until(maker, lambda: len(list(sidecars.glob("*.json"))) >= 3)
    job.cancel()
    helpers.poll_until(maker, lambda: job.isFinished)
    assert job.state == "cancelled"
    done = {path: path.stat().st_mtime_ns for path in sidecars.glob("*.json")}
    assert 3 <= len(done) < 30
    assert [path for path in output.rglob(".medsr-*") if path.is_dir()] == []  # nothing half-written
    assert exports() == []
    job = maker.make(pairs, output, recipes="degrade-bspline", per_image=15)
    assert job.report["kept"] == len(done)
    assert job.report["made"] == 30 - len(done)
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_segmentation_that_changed_is_not_taken_for_the_old_one(maker, pairs, helpers, tmp_path):
    from medsr.augmentation.datasets import read_dataset
    from medsr.io import read_volume
    from MedSRLib.Errors import SuperResolutionError

    maker.make(pairs, tmp_path / "set", recipes="bspline-x2")
    volume = pairs[0][0]
    smaller = helpers.box(SHAPE, (3, 4, 5), (5, 8, 11))
    nerve = helpers.box(SHAPE, (7, 9, 8), (9, 18, 20))
    redrawn = [(volume, helpers.make_segmentation(volume, "Redrawn", Tumour=smaller, Nerve=nerve)), pairs[1]]
    try:
        job = maker.make(redrawn, tmp_path / "set", recipes="bspline-x2")
    except SuperResolutionError as error:
        assert "overwrite" in str(error)
    else:
        assert [failure["case"] for failure in job.report["failed"]] == ["First"]
    job = maker.make(redrawn, tmp_path / "set", recipes="bspline-x2", overwrite=True)
    assert (job.report["made"], job.report["kept"]) == (1, 1)
    first = read_dataset(str(tmp_path / "set")).real[0]
    assert (read_volume(first.label).array == 1).sum() == smaller.sum()


def test_a_second_cancel_ends_the_worker_at_once(maker, pairs, helpers, tmp_path):
    job = maker.start(pairs, tmp_path / "set", recipes="degrade-bspline", per_image=40)
    helpers.poll_until(maker, lambda: job.state == "running" and job.fraction > 0)
    processes = helpers.descendants_of(maker.runner.workerPid)
    assert processes
    job.cancel()
    job.cancel()
    assert job.state == "cancelled"
    assert not [pid for pid in processes if helpers.is_alive(pid)]


def test_cancel_while_pairs_are_written(maker, pairs, tmp_path):
    job = maker.start(pairs, tmp_path / "set", recipes="bspline-x2", progress=lambda job: job.cancel("Enough."))
    assert job.state == "cancelled"
    assert str(job.error) == "Enough."
    assert maker.runner.workerPid is None
    assert exports() == []
    assert not (tmp_path / "set").exists()


def test_what_makes_no_sense_is_refused_before_a_worker_starts(maker, pairs, helpers, tmp_path):
    from medsr.errors import MedSRError
    from MedSRLib.Errors import SceneError

    for arguments, error, text in (
        ({"recipes": "bspline-x2", "overlap": "last"}, SceneError, "'refuse' or 'first'"),
        ({"recipes": "bspline-x2", "copies": 2}, MedSRError, "per_image|option"),
        ({"recipes": "bspline-x2", "per_image": 0}, MedSRError, "at least 1"),
        ({"recipes": ""}, MedSRError, "recipe"),
    ):
        with pytest.raises(error, match=text):
            maker.start(pairs, tmp_path / "set", **arguments)
    with pytest.raises(SceneError, match="output folder"):
        maker.start(pairs, "", recipes="bspline-x2")
    job = maker.start(pairs, tmp_path / "set", recipes="degrade-bspline", per_image=20)
    with pytest.raises(SceneError, match="already"):
        maker.start(pairs, tmp_path / "set", recipes="bspline-x2")
    job.cancel()
    job.cancel()


def test_overlapping_segments_are_named_or_resolved(maker, pairs, helpers, tmp_path):
    from medsr.augmentation.datasets import read_dataset
    from MedSRLib.Errors import SceneError

    volume = pairs[0][0]
    masks = {"Tumour": helpers.box(SHAPE, (2, 3, 4), (6, 9, 12)), "Nerve": helpers.box(SHAPE, (4, 6, 8), (8, 12, 16))}
    crossing = [(volume, helpers.make_segmentation(volume, "Crossing", **masks))]
    ended = []
    with pytest.raises(SceneError, match="Tumour and Nerve of Crossing"):
        maker.start(crossing, tmp_path / "set", recipes="bspline-x2", completed=ended.append)
    assert [job.state for job in ended] == ["failed"]
    assert exports() == []
    maker.make(crossing, tmp_path / "set", recipes="bspline-x2", overlap="first")
    assert len(read_dataset(str(tmp_path / "set")).cases) == 2


def test_a_worker_that_dies_is_told(maker, pairs, helpers, tmp_path):
    import os
    import signal

    job = maker.start(pairs, tmp_path / "set", recipes="degrade-bspline", per_image=40)
    helpers.poll_until(maker, lambda: job.state == "running" and job.fraction > 0)
    os.kill(maker.runner.workerPid, signal.SIGKILL)
    helpers.poll_until(maker, lambda: job.isFinished)
    assert job.state == "failed"
    assert "signal 9" in str(job.error)


def test_nothing_of_the_scene_is_remembered_in_somebody_elses_folder(maker, pairs, tmp_path):
    from MedSRLib.Errors import SuperResolutionError

    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SuperResolutionError, match="other files"):
        maker.make(pairs, tmp_path, recipes="bspline-x2")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_hidden_file_of_times_names_no_place_to_write_to(maker, pairs, tmp_path):
    """It may have been made by somebody else: its times are taken for files of the same bytes only."""
    output = tmp_path / "set"
    output.mkdir()
    (output / ".medsr-scene.json").write_text(json.dumps({"../../evil": ["x", 1], "images/First.nrrd": "nonsense"}))
    assert maker.make(pairs, output, recipes="bspline-x2").report["made"] == 2
