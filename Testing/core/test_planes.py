"""Slices are refined too, and the answers are averaged."""

import dataclasses

import numpy as np
import pytest

from medsr.inference.planner import make_plan
from medsr.methods.plane_ensemble import VOLUME_SHARE, PlaneEnsemble
from medsr.options import UpscaleOptions
from medsr.physics.noise import add_rician_noise
from medsr.volume import Volume

SCALES = {"z": (1, 1, 3), "x": (3, 1, 1), "y and z": (1, 2, 3), "all": (2, 2, 2)}


def thick(shape=(12, 24, 26), noise=0.0):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.8
    array = np.where(inside, 600 + 200 * np.sin(9 * x) * np.cos(7 * y + 2 * z), 0.0)
    if noise:
        array = add_rician_noise(array, noise, np.random.default_rng(0))
    return Volume.from_array(array.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0])).replace(modality="MR")


def planned(scale=(1, 1, 3), volume=None, **options):
    return make_plan(volume or thick(), UpscaleOptions(scale=scale, **options))


class Constant:
    """Answers one number everywhere."""

    def __init__(self, value, device="cpu"):
        self.value, self.device = value, device

    def __call__(self, coarse, progress):
        progress(0.5)
        progress(1.0)
        return np.full(coarse.shape, self.value, np.float32)

    def add(self, coarse, share, total, progress):
        total += share * self(coarse, progress)


def test_the_volume_has_its_share_and_the_planes_the_rest():
    seen = []
    enlarge = PlaneEnsemble(Constant(10.0, "cuda:0"), [Constant(2.0), Constant(4.0)])
    np.testing.assert_allclose(enlarge(np.zeros((2, 3, 4)), seen.append), VOLUME_SHARE * 10 + (1 - VOLUME_SHARE) * 3)
    assert enlarge.device == "cuda:0"
    assert seen == sorted(seen) and seen[-1] == 1.0


@pytest.mark.parametrize(("scale", "axes"), [("z", (1, 2)), ("x", (0, 1)), ("y and z", (2,)), ("all", ())])
def test_planes_lie_across_the_axes_that_are_not_enlarged(scale, axes):
    plan = planned(SCALES[scale], model="mr-3d")
    assert tuple(job.plane_axis for job in plan.planes) == axes
    assert all(job.entry.name == "slices-2d" and job.spatial_dims == 2 for job in plan.planes)
    assert any(str(each).startswith("Planes:") for each in plan.decisions) == bool(axes)


def test_a_model_may_want_slices_where_none_was_measured_complete():
    volume = thick().replace(modality="CT")
    assert [job.plane_axis for job in planned(SCALES["all"], volume, model="ct-3d").planes] == [0, 1, 2]
    assert [job.plane_axis for job in planned(SCALES["z"], volume, model="ct-3d").planes] == [1, 2]


@pytest.mark.parametrize(
    ("effort", "scale", "count"),
    [("fast", "z", 0), ("fast", "all", 0), ("standard", "all", 0), ("thorough", "all", 3), ("thorough", "z", 2)],
)
def test_how_much_work_is_done_is_a_choice(effort, scale, count):
    plan = planned(SCALES[scale], effort=effort)
    assert len(plan.planes) == count
    assert plan.estimate()["seconds"] >= planned(SCALES[scale], effort="fast").estimate()["seconds"]


def test_fast_means_the_volume_alone_in_ct_too():
    volume = thick().replace(modality="CT")
    assert planned(SCALES["all"], volume, model="ct-3d", effort="fast").planes == ()


def test_slices_are_left_out_beyond_what_their_network_learned():
    volume = thick().replace(modality="CT")
    assert [job.plane_axis for job in planned((6, 6, 1), volume, model="ct-3d").planes] == []
    assert [job.plane_axis for job in planned((5, 1, 5), volume, model="ct-3d").planes] == []
    assert len(planned((1, 1, 8), volume, model="ct-3d").planes) == 2


CHOICES = [((4, 4, 1), "slices-2d"), ((1, 8, 1), "slices-2d"), ((6, 6, 1), "tikhonov")]


@pytest.mark.parametrize(("scale", "model"), CHOICES)
def test_auto_leaves_factors_that_no_network_learned_to_deconvolution(scale, model):
    plan = planned(scale, thick((4, 24, 26)))
    assert plan.entry.name == model
    assert any("along several axes" in str(each) for each in plan.decisions) == (model == "tikhonov")


def test_a_named_network_is_run_beyond_what_it_learned_with_a_warning():
    plan = planned((6, 6, 1), thick((4, 24, 26)), model="slices-2d")
    assert plan.entry.name == "slices-2d"
    assert any("learned factors up to 4.5 along several axes; 6 is asked" in str(each) for each in plan.warnings)


ALONE = [{"model": "slices-2d"}, {"model": "srresnet", "scale": None}, {"model": "tikhonov"}]


@pytest.mark.parametrize("options", ALONE)
def test_other_models_work_alone(options):
    assert planned(**options).planes == ()


def test_noisy_volumes_get_the_networks_that_know_noise():
    plan = planned(volume=thick((24, 48, 50), noise=0.03))
    assert plan.entry.name == "mr-3d-noisy"
    assert {job.entry.name for job in plan.planes} == {"slices-2d-noisy"}
    assert planned(volume=thick((24, 48, 50), noise=0.03), mode="2d").entry.name == "slices-2d-noisy"
    assert planned(volume=thick((24, 48, 50)), mode="2d").entry.name == "slices-2d"


def test_planes_cost_time():
    plan = planned(model="mr-3d")
    alone = dataclasses.replace(plan, entry=dataclasses.replace(plan.entry, planes=""))
    assert alone.planes == ()
    (memory, seconds), (memory_alone, seconds_alone) = (each.method.estimate(each) for each in (plan, alone))
    assert seconds > seconds_alone
    assert memory == memory_alone  # slices are added to the one output, one by one


@pytest.mark.network
def test_the_answers_are_averaged():
    pytest.importorskip("torch")
    from medsr.methods.networks import RefiningEnlarger, refiner
    from medsr.normalisation import Normalisation

    volume = thick()
    plan = planned(volume=volume, model="mr-3d")
    scale = Normalisation.of(volume.array, "MR")
    both = refiner(plan, "cpu", None, volume.array)(volume.array, lambda _: None)
    parts = [RefiningEnlarger(job, "cpu", None, scale)(volume.array, lambda _: None) for job in (plan, *plan.planes)]
    mean = VOLUME_SHARE * parts[0] + (1 - VOLUME_SHARE) / 2 * (parts[1] + parts[2])
    np.testing.assert_allclose(both, mean, rtol=1e-4, atol=1e-2)
    assert np.abs(both - parts[0]).max() > 1.0  # the slices have a say
