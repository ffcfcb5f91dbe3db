"""Large volumes: nothing of their size is held twice, the parts make the whole, and what a job takes is told before."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.inference import consistency, null_space
from medsr.inference.consistency import make_consistent
from medsr.inference.null_space import seen_energy
from medsr.inference.planner import make_plan
from medsr.inference.solving import solve
from medsr.jobs import Progress
from medsr.methods import costs
from medsr.methods.plane_ensemble import PlaneEnsemble
from medsr.options import UpscaleOptions
from medsr.physics import sampling
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, apply_along, in_slabs, rows_along
from medsr.planning.evidence import SAFE
from medsr.planning.padding import Padding
from medsr.volume import Volume

PROFILES = {"slices": Profile(), "k-space": Profile("kspace")}


def ct(shape=(40, 44, 48)):
    noise = ndi.gaussian_filter(np.random.default_rng(0).standard_normal(shape, dtype=np.float32), 1.5)
    return Volume.from_array((noise * 900).astype(np.int16)).replace(modality="CT")


def blank(shape_xyz, spacing_xyz=(0.8, 0.8, 1.0)):
    """A volume without memory."""
    array = np.broadcast_to(np.zeros(1, np.int16), shape_xyz[::-1])
    return Volume.from_array(array, np.diag([*spacing_xyz, 1.0])).replace(modality="CT")


def work_in_parts(monkeypatch, values):
    """Volumes are worked on in parts from so many voxels on."""
    monkeypatch.setattr(sampling, "_AT_ONCE", values)
    monkeypatch.setattr(consistency, "_SLAB_VOXELS", values)
    monkeypatch.setattr(consistency, "_SAMPLE", 20_000)
    monkeypatch.setattr(null_space, "_DOUBLES_AT_ONCE", values // 2)
    monkeypatch.setattr(sampling.in_slabs, "__kwdefaults__", {"values": values})


@pytest.fixture
def small_parts(monkeypatch):
    """Volumes are worked on in parts from 3000 voxels on."""
    work_in_parts(monkeypatch, 3000)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("factors", [(3, 1, 1), (1, 2, 1.5), (1.25, 1.5, 2)])
def test_parts_of_an_acquisition_make_the_whole(small_parts, profile, factors):
    rng = np.random.default_rng(0)
    acquisition = Acquisition.from_factors((30, 36, 42), factors, profile)
    fine = rng.standard_normal(acquisition.fine_shape)
    matrices = {axis: sampling.matrix for axis, sampling in acquisition.active.items()}
    coarse = apply_along(fine, matrices)
    np.testing.assert_allclose(acquisition.forward(fine), coarse, atol=1e-12)
    inverses = acquisition.inverses(0.01)
    np.testing.assert_allclose(acquisition.tikhonov(coarse, 0.01), apply_along(coarse, inverses), atol=1e-10)


def test_rows_of_a_view_are_prepared_part_by_part(small_parts):
    image = np.random.default_rng(0).random((30, 20, 25))
    view, matrix = image.transpose(2, 0, 1), np.random.default_rng(1).random((9, 25))
    seen = []

    def prepare(part):
        seen.append(part.size)
        return 2 * part

    np.testing.assert_allclose(rows_along(view, matrix, prepare), 2 * np.einsum("rn,nab->rab", matrix, view))
    assert len(seen) > 3 and max(seen) <= 3000 and sum(seen) == view.size
    slabs = list(in_slabs(view, {}, prepare))
    assert len(slabs) > 3
    np.testing.assert_allclose(np.concatenate([slab for _, slab in slabs]), 2 * view)


@pytest.mark.parametrize("noise", [None, 0.006])
def test_agreement_is_reached_in_parts_as_in_the_whole(noise, small_parts, monkeypatch):
    acquisition = Acquisition.from_factors((45, 40, 44), (3, 1, 1), SAFE)
    rng = np.random.default_rng(0)
    truth = 500 + 100 * ndi.gaussian_filter(rng.standard_normal((45, 40, 44)), 3).astype(np.float32) / 0.02
    coarse = acquisition.forward(truth) + rng.normal(0, 12, acquisition.coarse_shape).astype(np.float32)
    parts = ndi.gaussian_filter(truth, 0.5)
    found = make_consistent(parts, coarse, acquisition, noise=noise)
    assert 0 <= found.strength < 1
    monkeypatch.undo()
    monkeypatch.setattr(consistency, "_SAMPLE", 20_000)
    whole = ndi.gaussian_filter(truth, 0.5)
    expected = make_consistent(whole, coarse, acquisition, noise=noise)
    np.testing.assert_allclose(parts, whole, atol=2e-2)
    np.testing.assert_allclose(found.difference, expected.difference, atol=2e-2)
    assert found.seen.seen == pytest.approx(expected.seen.seen, rel=1e-4)
    again = seen_energy(parts, found.difference + coarse, acquisition)
    assert found.seen.seen == pytest.approx(again.seen, rel=1e-4)


def test_of_a_large_volume_two_images_are_held_and_one_more_for_a_while(monkeypatch):
    work_in_parts(monkeypatch, 50_000)
    volume = ct((60, 70, 80))
    options = UpscaleOptions(scale=1.5, model="tikhonov")
    plan = make_plan(volume, options)
    source, work = plan.target.source.voxels, plan.target.work.voxels
    solve(volume, plan, options, Progress())  # matrices are made and kept
    tracemalloc.start()
    try:
        solve(volume, plan, options, Progress())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Input and output in float32, the difference from the measured data, and some slabs.
    assert 4 * (source + work) < peak < 4 * (2.3 * source + work) + 2.5e6


class Slices:
    """Answers one number, slice by slice."""

    def __init__(self, shape, seconds=None):
        self.shape, self.device, self._seconds = shape, "cpu", seconds

    def __call__(self, coarse, progress):
        progress(1.0)
        return np.ones(self.shape, np.float32)

    def add(self, coarse, share, total, progress):
        for plane in total:
            plane += np.float32(share)
        progress(1.0)

    def seconds(self):
        return self._seconds


def test_an_average_holds_one_output():
    shape = (50, 100, 100)
    enlarge = PlaneEnsemble(Slices(shape), [Slices(shape)] * 3)
    tracemalloc.start()
    try:
        total = enlarge(np.zeros((2, 2, 2), np.float32), lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)
    assert peak < 1.2 * total.nbytes


def test_progress_is_spread_as_the_work_is():
    seen = []
    PlaneEnsemble(Slices((2, 2, 2)), [Slices((2, 2, 2))] * 2, [1.0, 4.0, 5.0])(np.zeros((1, 1, 1)), seen.append)
    assert seen == [0.1, 0.5, 1.0]


@pytest.mark.network
def test_slices_added_one_by_one_are_those_of_the_whole():
    pytest.importorskip("torch")
    from medsr.methods.networks import RefiningEnlarger
    from medsr.normalisation import Normalisation

    volume = ct((10, 24, 26))
    plan = make_plan(volume, UpscaleOptions(scale=1.5, model="ct-3d"))
    scale, coarse = Normalisation.of(volume.array, "CT"), volume.array.astype(np.float32)
    assert [job.plane_axis for job in plan.planes] == [0, 1, 2]
    for job in plan.planes:
        whole = RefiningEnlarger(job, "cpu", None, scale)(coarse, lambda _: None)
        total = np.full_like(whole, 100.0)
        RefiningEnlarger(job, "cpu", None, scale).add(coarse, 0.25, total, lambda _: None)
        np.testing.assert_allclose(total, 100 + 0.25 * whole, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("same", [True, False], ids=["the same in every slice", "another in each"])
def test_padding_takes_the_nearest_voxel(same):
    array = np.random.default_rng(0).integers(0, 1000, (7, 20, 22)).astype(np.int16)
    y, x = np.mgrid[:20, :22]
    mask = np.stack([np.hypot(y - 9.5, x - 10.5) > (9 if same else 6 + z / 2) for z in range(7)])
    filled = Padding(mask, -2000.0, None).filled(array, (0.8, 0.7, 3.0))
    np.testing.assert_array_equal(filled[~mask], array[~mask])
    inside = np.argwhere(~mask) * [3.0, 0.7, 0.8]
    for z, row, column in np.argwhere(mask)[::37]:
        away = np.linalg.norm(inside - np.array([z, row, column]) * [3.0, 0.7, 0.8], axis=1)
        nearest = np.argwhere(~mask)[away <= away.min() + 1e-6]
        assert filled[z, row, column] in {array[tuple(place)] for place in nearest}


def test_a_large_ct_needs_less_than_four_gigabytes():
    plan = make_plan(blank((512, 512, 600)), UpscaleOptions(spacing=(0.7, 0.7, 0.7)))
    assert plan.target.output.size_xyz == (585, 585, 857) and len(plan.planes) == 3
    assert 2e9 < plan.estimate()["memory_bytes"] < 4e9


def test_less_memory_takes_longer_until_it_is_too_little():
    plan = make_plan(blank((128, 128, 128)), UpscaleOptions(scale=2, effort="fast"))
    usual, tight = plan.estimate(), plan.estimate(700_000_000)
    assert tight["memory_bytes"] < 700_000_000 < usual["memory_bytes"] and tight["seconds"] > usual["seconds"]
    assert plan.estimate(400_000_000)["memory_bytes"] > 400_000_000


@pytest.mark.network
def test_the_plan_folds_as_the_network_does():
    pytest.importorskip("torch")
    from medsr.models.profile_refiner import FOLD

    assert FOLD == costs.FOLD


class Tried:
    """An enlarger that knows its time."""

    device = "cpu"

    def __init__(self, seconds):
        self._seconds = seconds

    def __call__(self, coarse, progress):
        progress(0.5)
        return np.zeros((80, 88, 96), np.float32)

    def seconds(self):
        return self._seconds


@pytest.mark.parametrize(
    ("estimated", "tried", "told"), [(100.0, 300.0, 300.0), (100.0, None, 100.0), (5.0, 9.0, None)]
)
def test_the_time_of_a_long_job_is_told_before_it_begins(estimated, tried, told):
    events = []
    plan = make_plan(ct(), UpscaleOptions(scale=2, model="tikhonov"))

    class Method(type(plan.method)):
        def estimate(self, plan, limit=None):
            return 1.0, estimated

        def enlarger(self, plan, device, limit, coarse):
            return Tried(tried)

    solve(ct(), dataclasses.replace(plan, method=Method()), UpscaleOptions(), Progress(events.append))
    first = next(event for event in events if event.kind == "progress")
    if told is None:
        assert first.fraction > 0
    else:
        assert first.fraction == 0 and told <= first.seconds_left < told + 5
        later = [event.seconds_left for event in events if event.kind == "progress"][1]
        assert later < told  # what was expected gives way to what is seen


def test_the_time_is_shown_once_and_as_a_sentence(capsys):
    from medsr.cli.console import LinesView

    progress = Progress(LinesView())
    progress.at(0.0)
    progress.expect(380.0)
    progress.at(0.01)
    assert capsys.readouterr().err == "This will take about 6 min 20 s ...\n"


def test_an_ensemble_knows_its_time_when_each_member_does():
    shape = (2, 2, 2)
    assert PlaneEnsemble(Slices(shape, 2.0), [Slices(shape, 3.0)] * 2).seconds() == 8.0
    assert PlaneEnsemble(Slices(shape, 2.0), [Slices(shape)]).seconds() is None


# ---------------------------------------------------------------- many inputs


def memory_of(path):
    """What a worker is given for an input."""
    from medsr.batch.items import items_of
    from medsr.batch.run import _needed_bytes
    from medsr.batch.spec import BatchSpec

    spec = BatchSpec((str(path),), "out", UpscaleOptions(scale=(1, 1, 2), model="tikhonov"))
    return _needed_bytes(spec, items_of(spec))


def test_a_worker_gets_memory_for_a_volume_of_many_and_for_a_tilted_one(tmp_path, io_dicom):
    nibabel = pytest.importorskip("nibabel")

    def saved(name, shape, lean=0.0):
        affine = np.diag([1.0, 1.0, 3.0, 1.0])
        affine[1, 2] = lean
        image = nibabel.Nifti1Image(np.zeros(shape, np.int16), affine)
        image.set_sform(affine, 1)
        image.header["qform_code"] = 0
        nibabel.save(image, tmp_path / name)
        return memory_of(tmp_path / name)

    alone = saved("one.nii.gz", (60, 60, 40))
    assert alone > 1e8
    assert saved("many.nii.gz", (60, 60, 40, 5)) == alone  # one after the other
    assert saved("tilted.nii.gz", (60, 60, 40), lean=0.6) > alone  # and read onto an upright grid
    heights = {"even": [0, 3, 6, 9], "uneven": [0, 3, 9, 12], "several": [0, 0, 3, 3, 6, 6]}
    for name, places in heights.items():
        io_dicom(tmp_path / name, len(places), heights=places)
        assert memory_of(tmp_path / name) > 1e8, name
    (tmp_path / "bad.nii.gz").write_bytes(b"no image")
    assert memory_of(tmp_path / "bad.nii.gz") == 0
