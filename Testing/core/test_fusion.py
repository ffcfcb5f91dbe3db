"""Fusing stacks: phantoms whose truth is known, turned and shifted between the stacks as patients move."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi

import medsr
from medsr.errors import CancelledError, InputError, InvalidValueError, UnknownNameError
from medsr.evaluation import registration
from medsr.facts import Fact, Facts
from medsr.fusion import learning
from medsr.fusion.alike import mean_of_alike
from medsr.fusion.files import fuse_files
from medsr.fusion.matching import match
from medsr.fusion.observing import finer, observe
from medsr.fusion.prior import Prior
from medsr.fusion.scanlines import Scanlines
from medsr.fusion.solving import joint_solution, quieted, solve_about, solve_jointly
from medsr.fusion.spec import FuseSpec
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.metrics import psnr
from medsr.options import UpscaleOptions
from medsr.physics.sampling import Acquisition
from medsr.planning.evidence import find_profiles
from medsr.volume import Volume
from medsr.worker import read_job

SIZE, ROOM, FACTOR = 40, 8, 4
GRID = Geometry((SIZE,) * 3, (1.0,) * 3, (-20.0, -10.0, 5.0))
WIDE = GRID.cropped((-ROOM,) * 3, (SIZE + 2 * ROOM,) * 3)


def anatomy(seed=1):
    """Organs of one intensity each, with texture, and air about them."""
    rng = np.random.default_rng(seed)
    shape = WIDE.shape_zyx
    organs = sum(ndi.gaussian_filter(rng.standard_normal(shape), s) * s**1.5 for s in (1.5, 3.0, 5.0))
    levels = np.digitize(organs, np.quantile(organs, [0.2, 0.45, 0.7, 0.9])) * 150.0 + 150
    z, y, x = (np.indices(shape) - (SIZE + 2 * ROOM - 1) / 2) / (SIZE + 2 * ROOM)
    inside = (z / 0.47) ** 2 + (y / 0.44) ** 2 + (x / 0.4) ** 2 < 1
    return ndi.gaussian_filter(np.where(inside, levels, 10.0), 0.6).astype(np.float32)


def movement(degrees, shift_mm):
    """About the middle of the phantom, by `degrees` about an oblique axis."""
    axis = np.array([1.0, -2.0, 1.5]) / np.linalg.norm([1.0, -2.0, 1.5])
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    centre = GRID.to_patient([(SIZE - 1) / 2] * 3)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + np.array(shift_mm)
    return matrix


def stack(truth, axis, moved=None, noise=4.0, **attributes):
    """Slices along array axis `axis` of what lies in the field after a movement."""
    seen = GRID if moved is None else Geometry.from_affine(moved @ GRID.affine, GRID.size_xyz)
    fine = interpolate(truth, WIDE, seen, "bspline")
    acquisition = Acquisition.from_factors(fine.shape, [FACTOR if a == axis else 1 for a in range(3)])
    grid = GRID.with_grid([FACTOR if a == 2 - axis else 1 for a in range(3)], acquisition.coarse_shape[::-1])
    array = acquisition.forward(fine.astype(float)) + np.random.default_rng(axis).normal(0, noise, grid.shape_zyx)
    thickness = Facts((Fact("thickness_mm", float(FACTOR), "header", "zyx"[axis]),))
    told = {"modality": "MR", "source": f"{'zyx'[axis]}.nii", "facts": thickness, **attributes}
    return Volume(array.astype(np.float32), grid, **told)


TRUTH = anatomy()
INNER = TRUTH[ROOM:-ROOM, ROOM:-ROOM, ROOM:-ROOM]
MOVES = (None, movement(2.5, (1.5, -1.0, 2.0)), movement(-2.0, (-2.0, 1.5, 0.5)))
STACKS = [stack(TRUTH, axis, move) for axis, move in enumerate(MOVES)]


def quality(result):
    """PSNR but for the border, which the others saw less of."""
    part = (slice(4, -4),) * 3
    return psnr(result[part].astype(float), INNER[part].astype(float), span=float(np.ptp(INNER)))


@pytest.fixture(scope="module")
def fused():
    return medsr.fuse(STACKS)


# -- the operators


@pytest.mark.parametrize("degrees", [0.0, 3.0, 25.0])
def test_lines_read_as_a_spline_does_and_their_adjoint_is_exact(degrees):
    source = Geometry((18, 22, 20), (1.0, 1.0, 1.0), (-9.0, -10.0, -9.5))
    turned = movement(degrees, (0, 0, 0))[:3, :3] @ np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    target = Geometry((9, 8, 7), (1.0, 1.1, 0.9), (2.2, -3.3, 2.5), tuple(turned.ravel().tolist()))
    rng = np.random.default_rng(0)
    image = ndi.gaussian_filter(rng.standard_normal(source.shape_zyx), 1.5).astype(np.float32)
    lines = Scanlines(source, target)
    seen = lines.forward(image)
    assert np.abs(seen - interpolate(image, source, target, "bspline")).max() < 0.05 * np.ptp(image)
    samples = rng.standard_normal(target.shape_zyx).astype(np.float32)
    back = lines.adjoint(samples)
    assert back.shape == image.shape
    assert np.vdot(back.astype(float), image) == pytest.approx(np.vdot(samples.astype(float), seen), rel=1e-4)


def test_lines_of_the_same_grid_change_nothing_and_beyond_it_there_is_nothing():
    image = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    grid = Geometry((6, 5, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert np.array_equal(Scanlines(grid, grid).forward(image), image)
    assert not Scanlines(grid, grid.cropped((9, 0, 0), (6, 5, 4))).forward(image).any()


def observation(volume, moved, values=None):
    grid, _ = finer(GRID.with_grid((1, 1, FACTOR), (SIZE, SIZE, SIZE // FACTOR)), 1.0, isotropic=True)
    placed = volume.replace(geometry=Geometry.from_affine(moved @ volume.geometry.affine, volume.geometry.size_xyz))
    evidence = find_profiles(volume, UpscaleOptions(), "MR")
    shows = np.ones(volume.array.shape, dtype=bool)
    return grid, observe(placed, volume.array if values is None else values, evidence, grid, 1.0, shows)[0]


def test_a_stack_sees_the_truth_as_it_was_measured_and_the_adjoint_is_exact():
    clean = stack(TRUTH, 2, MOVES[2], noise=0.0)
    grid, seen = observation(clean, MOVES[2])
    truth = interpolate(TRUTH, WIDE, grid, "bspline")
    assert 0.6 < seen.used.mean() < 1
    assert np.abs(seen.residual(truth)).max() < 0.15 * np.ptp(TRUTH)
    assert np.sqrt(np.square(seen.residual(truth)).mean()) < 0.02 * np.ptp(TRUTH)
    samples = np.random.default_rng(3).standard_normal(clean.array.shape).astype(np.float32)
    assert np.vdot(seen.adjoint(samples).astype(float), truth) == pytest.approx(
        np.vdot(samples.astype(float), seen.forward(truth)), rel=1e-3, abs=50
    )


def test_the_gradient_of_the_prior_is_that_of_the_prior():
    rng = np.random.default_rng(4)
    image, other = (rng.standard_normal((6, 7, 8)).astype(np.float32) for _ in range(2))
    for prior in (Prior(0.3), Prior.with_edges_of(image, 0.3)):
        weights = np.ones(image.shape) if prior.weights is None else prior.weights
        inner = [tuple(slice(1, -1) if a == axis else slice(None) for a in range(3)) for axis in range(3)]
        energy = sum(
            (weights[part] * np.diff(image, 2, axis=axis) * np.diff(other, 2, axis=axis)).sum()
            for axis, part in enumerate(inner)
        )
        assert np.vdot(prior.gradient(image), other) == pytest.approx(0.3 * energy, rel=1e-3)


def test_a_prior_that_knows_the_edges_keeps_them():
    z, y, x = np.indices((20, 20, 20))
    blocks = np.where((x // 10 + y // 10 + z // 10) % 2, 700.0, 100.0).astype(np.float32)
    grid = Geometry((20,) * 3, (1.0,) * 3, (0.0, 0.0, 0.0))
    noisy = blocks + np.random.default_rng(0).normal(0, 40, blocks.shape).astype(np.float32)
    volume = Volume(noisy, grid, modality="MR")
    evidence = find_profiles(volume, UpscaleOptions(profile="kspace"), "MR")
    seen, _, _ = observe(volume, noisy, evidence, grid, 1.0, np.ones(noisy.shape, dtype=bool))
    smooth = solve_jointly([seen], noisy, Prior(0.03), 8)
    edges = solve_jointly([seen], smooth, Prior.with_edges_of(smooth, 0.03), 8)
    stronger = solve_jointly([seen], noisy, Prior(0.1), 8)
    assert psnr(edges, blocks) > max(psnr(each, blocks) for each in (smooth, stronger, noisy)) + 1


def test_what_is_expected_is_what_differences_are_taken_from():
    _, seen = observation(STACKS[0], np.eye(4))
    grid, _ = finer(STACKS[0].geometry, 1.0, isotropic=True)
    expected = interpolate(TRUTH, WIDE, grid, "bspline")
    prior = Prior.with_edges_of(expected, 0.3)
    found = solve_about([seen], expected, prior, 5)
    left = replace(seen, values=seen.values - seen.forward(expected))
    assert np.allclose(found, expected + solve_jointly([left], np.zeros_like(expected), prior, 5), atol=0.05)
    # Nothing is left to correct where the stack shows what is expected.
    same = replace(seen, values=seen.forward(expected))
    assert np.array_equal(solve_about([same], expected, prior, 5), expected)


def test_the_mean_of_what_is_alike_loses_noise_and_no_edge():
    edge = np.where(np.indices((16, 16, 16))[2] < 8, 100.0, 300.0).astype(np.float32)
    noisy = edge + np.random.default_rng(0).normal(0, 10, edge.shape).astype(np.float32)
    found = mean_of_alike(noisy, 20.0)
    assert np.std(found - edge) < 0.45 * np.std(noisy - edge)
    assert np.abs(found - edge)[:, :, 7:9].mean() < 0.6 * np.abs(noisy - edge)[:, :, 7:9].mean()
    assert np.array_equal(mean_of_alike(noisy, 0.0), noisy)
    # What is alike has one mean: a constant stays, and a spread beyond all differences is a plain mean.
    assert np.allclose(mean_of_alike(np.full((4, 5, 6), 7, np.float32), 1.0), 7)
    assert mean_of_alike(noisy, 1e6)[5, 6, 3] == pytest.approx(noisy[4:7, 5:8, 2:5].mean(), rel=1e-4)


def test_a_quieted_solution_is_nearer_to_the_truth_and_still_explains_the_stack():
    noisy = [stack(TRUTH, axis, None, noise=20.0) for axis in range(3)]
    grid, _ = finer(noisy[0].geometry, 1.0, isotropic=True)
    seen = []
    for one in noisy:
        evidence = find_profiles(one, UpscaleOptions(), "MR")
        seen.append(observe(one, one.array, evidence, grid, 1.0, np.ones(one.array.shape, dtype=bool))[0])
    truth = interpolate(TRUTH, WIDE, grid, "bspline")
    volume, smoothness = joint_solution(seen, np.full_like(truth, truth.mean()), 20.0, lambda _: None)
    quiet = quieted(seen, volume, 20.0, smoothness)
    inner = (slice(6, -6),) * 3
    assert psnr(quiet[inner], truth[inner]) > psnr(volume[inner], truth[inner]) + 0.5
    for each in seen:
        assert np.sqrt(np.square(each.residual(quiet)[each.used]).mean()) < 1.1 * 20.0


# -- the whole


def test_three_moved_stacks_give_more_than_the_best_of_them(fused):
    alone = medsr.super_resolve(STACKS[0], model="tikhonov").volume.array
    assert quality(fused.volume.array) > quality(alone) + 4
    assert quality(fused.volume.array) > quality(medsr.fuse(STACKS[:2]).volume.array) + 0.3


def test_the_result_has_the_field_of_the_first_and_its_type(fused):
    assert fused.volume.geometry.is_same_as(GRID)
    assert fused.volume.array.dtype == np.float32
    assert fused.volume.metadata["provenance"].startswith("MedSR ")
    turned = medsr.fuse([STACKS[1], STACKS[0]], spacing=2, dtype="int16")
    assert turned.volume.geometry.is_same_as(GRID.with_grid((2, 2, 2), (SIZE // 2,) * 3))
    assert turned.volume.array.dtype == np.int16


def test_the_report_tells_how_each_stack_was_moved_and_what_it_leaves(fused):
    report = json.loads(json.dumps(fused.report, allow_nan=False))
    assert report["schema"] == "medsr-fuse/1"
    first, *others = report["stacks"]
    assert first["registration"] is None and first["residual_percent"] < 5
    corners = GRID.to_patient(np.array(np.meshgrid(*[(0, SIZE - 1)] * 3)).reshape(3, -1).T)
    for told, true in zip(others, MOVES[1:], strict=True):
        found = np.array(told["registration"]["matrix_lps_mm"])
        apart = corners @ (found[:3, :3] - true[:3, :3]).T + found[:3, 3] - true[:3, 3]
        assert np.sqrt(np.square(apart).sum(axis=1).mean()) < 0.5
        assert told["registration"]["agreement"] > 0.95
        assert told["residual_percent"] < 5 and 50 < told["used_percent"] <= 100
        assert told["intensities"]["scale"] == pytest.approx(1, abs=0.02)
    assert any("whose they are" in text for text in report["warnings"])


def test_a_stack_that_is_brighter_and_shaded_counts_as_if_it_were_not(fused):
    z, _, _ = np.indices(STACKS[1].array.shape)
    brighter = STACKS[1].replace(array=(STACKS[1].array * 3 * (1 + 0.004 * (z - SIZE / 2))).astype(np.float32))
    result = medsr.fuse([STACKS[0], brighter, STACKS[2]])
    assert quality(result.volume.array) > quality(fused.volume.array) - 0.5
    assert result.report["stacks"][1]["intensities"]["scale"] == pytest.approx(1 / 3, rel=0.05)


def test_networks_add_to_what_the_stacks_leave_open(fused, monkeypatch):
    # Without torch the deconvolution of each stack stands for the networks' answers.
    monkeypatch.setattr("medsr.methods.refiner.find_spec", lambda _: None)
    result = medsr.fuse(STACKS, networks=True)
    assert result.report["networks"] == ["tikhonov"] * 3 and fused.report["networks"] == []
    assert abs(quality(result.volume.array) - quality(fused.volume.array)) < 1.5
    assert not np.array_equal(result.volume.array, fused.volume.array)
    # Where the answers are the truth, so is the result, but for the noise that the stacks explain by it.
    monkeypatch.setattr(learning, "_enlarged", lambda *_: (interpolate(TRUTH, WIDE, _[1], "bspline"), "truth"))
    assert quality(medsr.fuse(STACKS, networks=True).volume.array) > quality(fused.volume.array) + 2


def test_a_gain_follows_shading_and_not_anatomy():
    expected = STACKS[0].array
    shading = np.linspace(0.8, 1.25, SIZE)[None, None, :]
    used = np.ones(expected.shape, dtype=bool)
    found = match((expected / shading).astype(np.float32), expected, used, STACKS[0].geometry, scaled=True)
    body = expected > 100
    middle = (slice(None), slice(None), slice(6, -6))
    left, before = (
        np.abs(gain * np.ones(body.shape) / shading - 1)[middle][body[middle]].mean() for gain in (found.gain, 1)
    )
    assert left < 0.3 * before
    assert found.agreement > 0.98
    kept = match(expected * 2, expected, used, STACKS[0].geometry, scaled=False)
    assert (kept.gain == 1).all() and kept.agreement > 0.99


def test_ct_keeps_its_numbers_and_its_padding():
    hounsfield = [one.replace(array=one.array - 1000, modality="CT") for one in (STACKS[0], STACKS[1])]
    first = hounsfield[0].array.astype(np.int16)
    first[:, :6] = -3024
    result = medsr.fuse([hounsfield[0].replace(array=first), hounsfield[1]])
    assert result.volume.array.min() == -3024 and (result.volume.array[:, :5] == -3024).all()
    inside = result.volume.array[8:-8, 10:-8, 8:-8].astype(float)
    assert abs((inside - (INNER - 1000)[8:-8, 10:-8, 8:-8]).mean()) < 8
    assert result.report["stacks"][1]["intensities"]["scale"] == 1


def test_a_stack_is_registered_by_few_of_its_voxels_that_stay_where_they_are(monkeypatch):
    compared = []
    sparse = registration._sparse

    def watched(image, most):
        compared.append(np.prod(sparse(image, most).GetSize()))
        return sparse(image, most)

    monkeypatch.setattr(registration, "_sparse", watched)
    onto = Volume(INNER, GRID)
    corners = GRID.to_patient(np.array(np.meshgrid(*[(0, SIZE - 1)] * 3)).reshape(3, -1).T)
    for samples in (None, 3000):
        found = registration.register(STACKS[1], onto, samples=samples).matrix
        apart = corners @ (found[:3, :3] - MOVES[1][:3, :3]).T + found[:3, 3] - MOVES[1][:3, 3]
        assert np.sqrt(np.square(apart).sum(axis=1).mean()) < 0.3
    assert max(compared[:3]) > 10_000 and max(compared[3:]) <= 3000


def test_the_noisier_a_stack_the_less_it_counts_and_unknown_noise_counts_like_the_least():
    def weights(*levels):
        told = [
            one.replace(facts=one.facts + Facts((Fact("noise", level, "sidecar"),)))
            for one, level in zip(STACKS, levels, strict=False)
        ]
        return [stack["weight"] for stack in medsr.fuse(told).report["stacks"]]

    assert weights(0.01, 0.02) == [1, pytest.approx(0.25, rel=0.1)]
    # 0 stands for noise that cannot be told.
    assert weights(0.02, 0.0) == [1, 1]


# -- what is refused


def other_contrast():
    """The same organs, whose intensities have nothing to do with those of the first."""
    levels = np.array([300.0, 80.0, 520.0, 150.0, 640.0, 30.0])
    return stack(levels[np.clip(np.rint(TRUTH / 150).astype(int), 0, 5)].astype(np.float32), 1, source="t1.nii")


def far_away():
    x, y, z = STACKS[1].geometry.origin_mm
    return STACKS[1].replace(geometry=replace(STACKS[1].geometry, origin_mm=(x + 500, y, z)), source="far.nii")


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        (other_contrast, InputError, ("t1.nii", "contrast")),
        (lambda: stack(anatomy(9), 1, source="other.nii"), InputError, ("other.nii",)),
        (far_away, InputError, ("far.nii", "hardly meet")),
        (lambda: STACKS[0], InvalidValueError, ("z.nii", "twice")),
        (lambda: STACKS[1].replace(array=np.stack([STACKS[1].array] * 3, axis=-1)), InputError, ("y.nii", "colours")),
        (lambda: STACKS[1].replace(array=(STACKS[1].array > 300).astype(np.uint8)), InputError, ("y.nii", "segment")),
        (lambda: STACKS[1].replace(array=np.full_like(STACKS[1].array, np.nan)), InputError, ("y.nii", "NaN")),
        (lambda: STACKS[1].replace(modality="CT"), InputError, ("y.nii", "is CT")),
        (lambda: STACKS[1].replace(metadata={"provenance": "MedSR 1"}), InputError, ("y.nii", "MedSR itself")),
    ],
)
def test_what_does_not_belong_is_named_and_refused(second, error, words):
    with pytest.raises(error) as caught:
        medsr.fuse([STACKS[0], second()])
    assert all(word in str(caught.value) for word in words), caught.value


def test_one_stack_and_options_that_mean_nothing_are_refused():
    with pytest.raises(InvalidValueError, match="upscale"):
        medsr.fuse([STACKS[0]])
    with pytest.raises(InvalidValueError, match="list of stacks"):
        medsr.fuse("one.nii.gz")
    with pytest.raises(UnknownNameError, match="'scale'"):
        medsr.fuse(STACKS, scale=2)
    with pytest.raises(InvalidValueError, match="isotropic"):
        medsr.fuse(STACKS, spacing=(1, 1, 2))
    with pytest.raises(InvalidValueError, match="finer than the finest"):
        medsr.fuse(STACKS, spacing=0.1)
    with pytest.raises(InvalidValueError, match="--memory"):
        medsr.fuse(STACKS, memory="1MB")


def test_another_patient_is_refused_without_a_name(io_dicom, tmp_path):
    def named(name):
        return lambda dataset, _: setattr(dataset, "PatientName", name)

    for number, name in enumerate(("Doe^Jane", "Roe^Richard")):
        io_dicom(tmp_path / str(number), slices=8, size_xy=(12, 10), edit=named(name))
    with pytest.raises(InputError) as caught:
        medsr.fuse([tmp_path / "0", tmp_path / "1"])
    assert "another patient" in str(caught.value) and str(tmp_path / "1") in str(caught.value)
    assert "roe" not in str(caught.value).lower()


def test_series_of_one_folder_are_told_apart(io_dicom, tmp_path):
    for number in (1, 2):
        io_dicom(tmp_path / "study" / str(number), slices=8, size_xy=(12, 10), number=number)
    folder, output = str(tmp_path / "study"), str(tmp_path / "out.nii.gz")
    with pytest.raises(InvalidValueError, match="twice"):
        fuse_files(FuseSpec((folder, folder), output, series=("2", "2")), Progress())
    # They are the same voxels at the same place: nothing to refuse.
    result = fuse_files(FuseSpec((folder, folder), output, series=("1", "2")), Progress())
    assert [stack["used_percent"] > 0 for stack in result.report["stacks"]] == [True, True]
    assert not any("whose they are" in text for text in result.report["warnings"])


def test_fusing_can_be_stopped():
    stages = []
    stop = Progress(lambda event: stages.append(getattr(event, "name", "")), lambda: "Solving for the volume" in stages)
    with pytest.raises(CancelledError):
        medsr.fuse(STACKS[:2], progress=stop)


def test_a_job_is_a_line_and_its_fields_are_checked():
    spec = FuseSpec(("a.nii", "b/"), "out.nii.gz", UpscaleOptions(spacing=0.8), ("1", "2"), "r.json", True, True)
    assert read_job(spec.to_json()) == spec
    for text, words in (
        ('{"job": "fuse", "inputs": ["a"]}', "output"),
        ('{"job": "fuse", "inputs": "a", "output": "b"}', "list"),
        ('{"job": "fuse", "inputs": ["a"], "output": "b", "options": {"model": "x"}}', "model"),
        ('{"job": "fuse", "inputs": ["a", "c"], "output": "b", "series": ["1"]}', "one for each"),
    ):
        with pytest.raises((InputError, InvalidValueError, UnknownNameError), match=words):
            read_job(text)
