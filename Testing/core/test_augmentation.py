"""Labels on new grids, drawn acquisitions, one copy, folds."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

import medsr
from medsr.augmentation.acquisition import acquire, draw
from medsr.augmentation.building import seed_of
from medsr.augmentation.cases import Case, Split
from medsr.augmentation.datasets import read_dataset
from medsr.augmentation.executing import execute_task
from medsr.augmentation.labels import resample_labels, structure_volumes, taken_over
from medsr.augmentation.planning import plan_cohort
from medsr.augmentation.recipes import Degradation, Recipe, load_recipe, recipe_names
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.splits import make_splits, never_trained, shared_subjects
from medsr.augmentation.topology import betti_numbers, structure_topology
from medsr.cohort.work import FAILED, KEPT, MADE
from medsr.errors import CancelledError, InputError, InvalidValueError, UnknownNameError
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.volume import Volume

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def ball(radius_mm, spacing=(1.0, 1.0, 1.0), extent_mm=32, value=1, direction=TURNED):
    """A ball in the middle of a cube, as a label map."""
    grid = Geometry([round(extent_mm / s) for s in spacing], spacing, (-7.0, 3.0, 11.0), direction)
    z, y, x = np.indices(grid.shape_zyx)
    points = grid.to_patient(np.stack([x, y, z], axis=-1))
    centre = grid.to_patient((np.array(grid.size_xyz) - 1) / 2 + 0.2)
    return Volume((((points - centre) ** 2).sum(-1) < radius_mm**2).astype(np.uint8) * value, grid)


def finer(grid, factors):
    spacing = [s / f for s, f in zip(grid.spacing_xyz_mm, factors, strict=True)]
    return grid.with_grid(spacing, [round(n * f) for n, f in zip(grid.size_xyz, factors, strict=True)])


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def plan_of(source, output, **options):
    spec = AugmentSpec(str(source), str(output), **{"recipes": ("bspline-x2", "degrade-bspline"), **options})
    return plan_cohort(spec, read_dataset(source), lambda fraction: None)


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("factors", [(2, 2, 2), (1, 1, 3), (1.4, 1.4, 1.4)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_a_ball_neither_grows_nor_shrinks(spacing, factors):
    before = ball(9, spacing)
    after = resample_labels(before, finer(before.geometry, factors))
    was, now = (structure_volumes(v, {"ball": 1})["ball"] for v in (before, after))
    assert abs(now / was - 1) < 0.01
    assert after.array.dtype == np.uint8
    back = resample_labels(after, before.geometry)
    assert dice(before.array > 0, back.array > 0) > 0.98


def test_a_small_ball_keeps_its_volume_which_plain_smoothing_takes():
    before = ball(2.2)
    after = resample_labels(before, finer(before.geometry, (2, 2, 2)))
    was = before.array.sum()
    assert abs(after.array.sum() / 8 / was - 1) < 0.02
    smooth = ndimage.gaussian_filter(before.array.astype(float), 0.58)
    field = ndimage.zoom(smooth, 2, order=1, grid_mode=True, mode="nearest")
    assert (field > 0.5).sum() / 8 / was < 0.97


def test_labels_on_a_coarser_grid_keep_their_volume():
    before = ball(9)
    coarse = before.geometry.with_grid((1, 1, 4), (32, 32, 8))
    after = resample_labels(before, coarse)
    assert abs(structure_volumes(after, {"b": 1})["b"] / structure_volumes(before, {"b": 1})["b"] - 1) < 0.02


def test_touching_structures_leave_no_gap_between_them():
    array = np.zeros((12, 12, 12), np.uint8)
    array[2:10, 2:10, 2:6], array[2:10, 2:10, 6:10] = 3, 7
    before = Volume(array, Geometry((12, 12, 12)))
    after = resample_labels(before, finer(before.geometry, (2, 2, 2)))
    assert set(np.unique(after.array)) == {0, 3, 7}
    # Inside, between the two, nothing is background.
    assert (after.array[8:16, 8:16, 6:18] > 0).all()
    assert after.array[12, 12, 11] == 3 and after.array[12, 12, 12] == 7


def parcels(count, size=40):
    """A ball cut into touching parcels, each around a point of its own."""
    rng = np.random.default_rng(0)
    grid = Geometry((size,) * 3)
    points = np.indices(grid.shape_zyx).reshape(3, -1).T
    inside = ((points - (size - 1) / 2) ** 2).sum(axis=1) < (0.45 * size) ** 2
    array = np.zeros(len(points), np.uint8)
    seeds = points[rng.choice(np.flatnonzero(inside), count, replace=False)]
    array[inside] = cKDTree(seeds).query(points[inside])[1] + 1
    return Volume(array.reshape(grid.shape_zyx), grid)


@pytest.mark.parametrize(("count", "factors"), [(100, (2, 2, 2)), (40, (1, 1, 3))])
def test_touching_parcels_all_keep_their_volume(count, factors):
    before = parcels(count)
    after = resample_labels(before, finer(before.geometry, factors))
    was, now = (np.bincount(v.array.ravel()) * np.prod(v.geometry.spacing_xyz_mm) for v in (before, after))
    assert was[1:].min() > 50 and np.abs(now / was - 1).max() < 0.01
    back = resample_labels(after, before.geometry)
    assert (back.array == before.array).mean() > 0.98


def test_a_thin_sheet_between_two_parcels_keeps_its_volume():
    array = np.zeros((16, 16, 16), np.uint8)
    array[2:14, 2:14, 2:8], array[2:14, 2:14, 8], array[2:14, 2:14, 9:14] = 1, 2, 3
    before = Volume(array, Geometry((16, 16, 16)))
    after = resample_labels(before, finer(before.geometry, (2, 2, 2)))
    was, now = (np.bincount(v.array.ravel()) * np.prod(v.geometry.spacing_xyz_mm) for v in (before, after))
    assert np.abs(now / was - 1)[1:].max() < 0.02
    assert structure_topology(after, {"sheet": 2}) == {"sheet": (1, 0, 0)}


@pytest.mark.parametrize("axes", [(2, 1, 0), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)])
def test_labels_that_are_turned_flipped_or_cropped_are_bit_for_bit_what_they_are(axes, signs):
    array = np.random.default_rng(0).integers(0, 90, (7, 8, 9)).astype(np.uint8)
    label = Volume(array, Geometry((9, 8, 7), (1.0, 1.5, 2.0), (3.0, -4.0, 5.0), TURNED))
    image = sitk.Flip(sitk.PermuteAxes(label.to_sitk(), axes), [sign < 0 for sign in signs])
    image = image[1:, :-2, :]
    turned = Geometry(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    assert np.array_equal(resample_labels(label, turned).array, sitk.GetArrayFromImage(image))
    wider = turned.cropped((-2, 0, 0), (turned.size_xyz[0] + 2, *turned.size_xyz[1:]))
    there = resample_labels(label, wider).array
    assert np.array_equal(there[:, :, 2:], sitk.GetArrayFromImage(image)) and there.dtype == np.uint8
    # Half a voxel beside is another grid.
    assert taken_over(label, turned.cropped((0.5, 0, 0), turned.size_xyz)) is None


@pytest.mark.parametrize(
    ("shape", "numbers"),
    [
        (lambda r, s: r < 6, (1, 0, 0)),
        (lambda r, s: (r < 6) & (r > 3), (1, 0, 1)),
        (lambda r, s: (s - 6) ** 2 + (r**2 - s**2) < 5, (1, 1, 0)),
        (lambda r, s: (r < 3) | ((r > 5) & (r < 8)), (2, 0, 1)),
        (lambda r, s: r < 0, (0, 0, 0)),
    ],
    ids=["ball", "shell", "ring", "ball in a shell", "nothing"],
)
def test_pieces_tunnels_and_cavities_are_counted(shape, numbers):
    z, y, x = np.indices((21, 21, 21)) - 10
    r, s = np.sqrt(x**2 + y**2 + z**2), np.sqrt(x**2 + y**2)
    found = shape(r, s)
    assert betti_numbers(found) == numbers
    label = Volume(found.astype(np.uint8) * 5, Geometry((21, 21, 21)))
    assert structure_topology(label, {"background": 0, "it": 5, "none": 9}) == {"it": numbers, "none": (0, 0, 0)}


def test_a_structure_cut_by_the_border_stays_there():
    array = np.zeros((8, 8, 8), np.uint8)
    array[:, :, :4] = 1
    before = Volume(array, Geometry((8, 8, 8)))
    after = resample_labels(before, finer(before.geometry, (2, 2, 2)))
    assert (after.array[:, :, :8] == 1).all() and not after.array[:, :, 8:].any()


def test_labels_beyond_their_grid_are_background():
    before = ball(9)
    around = before.geometry.cropped((-4, -4, -4), (40, 40, 40))
    after = resample_labels(before, around)
    assert (after.array[4:-4, 4:-4, 4:-4] == before.array).mean() > 0.999
    assert not after.array[:4].any()


def test_an_empty_label_map_stays_empty():
    before = Volume(np.zeros((6, 6, 6), np.uint8), Geometry((6, 6, 6)))
    assert not resample_labels(before, finer(before.geometry, (2, 2, 2))).array.any()


def test_fractions_are_no_labels():
    broken = Volume(np.full((4, 4, 4), 0.5), Geometry((4, 4, 4)))
    with pytest.raises(InputError, match="fractions"):
        resample_labels(broken, finer(broken.geometry, (2, 2, 2)))
    whole = Volume(np.ones((4, 4, 4)), Geometry((4, 4, 4)))
    assert (resample_labels(whole, finer(whole.geometry, (2, 2, 2))).array == 1).all()


# ---------------------------------------------------------------- recipes and draws


def test_every_shipped_recipe_is_readable_and_comes_back_from_json():
    assert set(recipe_names()) >= {"sr-x2", "sr-iso1", "degrade-sr", "bspline-x2", "degrade-bspline", "mix"}
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.about
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
        for part in recipe.one_of:
            load_recipe(part)


def test_a_control_differs_from_its_recipe_in_the_model_only():
    for one, other in (("sr-x2", "bspline-x2"), ("degrade-sr", "degrade-bspline")):
        a, b = load_recipe(one), load_recipe(other)
        assert (a.target, a.degrade) == (b.target, b.degrade)
        assert (a.model, b.model) == ("auto", "bspline")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"name": "a", "target": {"scale": 2, "spacing": 1}}, InvalidValueError),
        ({"name": "a", "target": {"grid": "original"}}, InvalidValueError),
        ({"name": "a/b", "target": {"scale": 2}}, InvalidValueError),
        ({"name": "a", "target": {"scale": 2}, "degrade": {"noise": [0.5, 0.1]}}, InvalidValueError),
        ({"name": "a", "target": {"scale": 2}, "degrade": {"nois": [0, 0.1]}}, UnknownNameError),
        ({"name": "a", "target": {"scale": 2}, "degrade": [1]}, InvalidValueError),
        ({"name": "a", "target": {"scale": 2}, "degrade": {"profile": "bicubic"}}, UnknownNameError),
        ({"name": "a", "target": {"scale": 2}, "profile": "fuzzy"}, UnknownNameError),
        ({"name": "a", "target": {"scale": 2}, "noise": 2}, InvalidValueError),
        ({"name": "a", "target": {"scale": 2}, "modle": "x"}, UnknownNameError),
        ({"name": "a", "target": 3}, InvalidValueError),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(data, error):
    with pytest.raises(error):
        Recipe.from_dict(data)


def test_a_recipe_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "thick.json"
    path.write_text('{"model": "bspline", "target": {"scale": [1, 1, 2]}}')
    assert load_recipe(str(path)).name == "thick"
    path.write_text("{")
    with pytest.raises(InputError, match="no recipe"):
        load_recipe(str(path))
    with pytest.raises(UnknownNameError, match="Did you mean 'sr-x2'"):
        load_recipe("sr-x3")


def test_draws_stay_in_their_ranges_and_follow_the_seed():
    wanted = Degradation(factor=(2, 4), width=(0.9, 1.1), in_plane=(1, 1.5), noise=(0, 0.03), contrast=(0.8, 1.2))
    grid = Geometry((40, 40, 40), (1, 1, 1))
    found = [draw(wanted, grid, np.random.default_rng(seed)) for seed in range(60)]
    assert found[0] == draw(wanted, grid, np.random.default_rng(0)) != found[1]
    assert {d.slice_axis for d in found} == {0, 1, 2}
    for d in found:
        assert 2 <= d.factors_xyz[d.slice_axis] <= 4
        assert all(1 <= f <= 1.5 for axis, f in enumerate(d.factors_xyz) if axis != d.slice_axis)
        assert 0.9 <= d.width <= 1.1 and 0 <= d.noise <= 0.03 and 0.8 <= d.contrast <= 1.2
    # Thick slices stay the slices, and do not become thicker than makes sense.
    thick = [draw(wanted, Geometry((40, 40, 10), (1, 1, 5)), np.random.default_rng(s)) for s in range(20)]
    assert {d.slice_axis for d in thick} == {2}
    assert max(d.factors_xyz[2] for d in thick) == pytest.approx(8 / 5)
    flat = draw(wanted, Geometry((40, 40, 1)), np.random.default_rng(0), planar=True)
    assert flat.factors_xyz[2] == 1 and flat.factors_xyz[0] == flat.factors_xyz[1] >= 2


def test_an_acquisition_covers_the_whole_image_and_keeps_its_mean():
    image = Volume(np.random.default_rng(0).normal(500, 20, (21, 20, 23)).astype(np.float32), Geometry((23, 20, 21)))
    drawn = dataclasses.replace(
        draw(Degradation(), image.geometry, np.random.default_rng(0)), slice_axis=2, factors_xyz=(1, 1, 4)
    )
    got = acquire(image, drawn, np.random.default_rng(0), modality="MR")
    assert got.geometry.size_xyz == (23, 20, 6) and got.geometry.spacing_xyz_mm == (1, 1, 4)
    # Outer faces coincide: sample 0 lies in the middle of the first four slices.
    assert got.geometry.origin_mm[2] == pytest.approx(1.5)
    assert got.array.mean() == pytest.approx(500, abs=2)
    assert got.facts.slice_axis == "z"
    assert (got.facts.value("encoding", "z"), got.facts.number("thickness_mm", "z")) == ("slice", 4)


def test_an_acquisition_replaces_what_was_known_of_the_slices_and_nothing_else():
    known = Facts(
        (
            Fact("encoding", "partition", "header", "x"),
            Fact("thickness_mm", 1.0, "header", "x"),
            Fact("dimensions", "3D", "header"),
        )
    )
    image = Volume(np.random.default_rng(0).random((12, 12, 24), np.float32), Geometry((24, 12, 12)), facts=known)
    drawn = dataclasses.replace(
        draw(Degradation(), image.geometry, np.random.default_rng(0)), slice_axis=0, factors_xyz=(3, 1, 1), width=0.8
    )
    facts = acquire(image, drawn, np.random.default_rng(0), modality="MR").facts
    assert [(fact.name, fact.axis) for fact in facts] == [
        ("dimensions", None),
        ("encoding", "x"),
        ("thickness_mm", "x"),
    ]
    assert (facts.value("encoding", "x"), facts.number("thickness_mm", "x")) == ("slice", pytest.approx(2.4))
    same = acquire(image, dataclasses.replace(drawn, factors_xyz=(1, 1, 1)), np.random.default_rng(0), modality="MR")
    assert same.facts == known


def test_contrast_bends_mr_and_leaves_ct():
    image = Volume(np.linspace(0, 1000, 4096, dtype=np.float32).reshape(16, 16, 16), Geometry((16, 16, 16)))
    drawn = dataclasses.replace(draw(Degradation(), image.geometry, np.random.default_rng(0)), contrast=2.0)
    mr, ct = (acquire(image, drawn, np.random.default_rng(0), modality=m).array for m in ("MR", "CT"))
    assert np.array_equal(ct, image.array)
    assert np.median(mr) == pytest.approx(250, abs=5)
    assert mr.max() == pytest.approx(1000, abs=1) and (np.diff(mr.ravel()) >= 0).all()


def test_seeds_are_of_the_copy_and_not_of_the_recipe():
    assert seed_of(7, "a", 1) == seed_of(7, "a", 1)
    assert len({seed_of(7, "a", 1), seed_of(7, "a", 2), seed_of(7, "b", 1), seed_of(8, "a", 1)}) == 4


# ---------------------------------------------------------------- one task


def test_a_task_is_plain_data_and_makes_image_label_and_sidecar(a_set, tmp_path):
    plan = plan_of(a_set(), tmp_path / "out")
    task = plan.tasks[0]
    result = execute_task(pickle.loads(pickle.dumps(task)))
    assert (result.status, result.error) == (MADE, "")
    image, label = medsr.read_volume(task.image_outputs[0]), medsr.read_volume(task.label_output)
    assert image.geometry.is_same_as(label.geometry) and image.geometry.size_xyz == (40, 36, 20)
    assert image.array.dtype == np.int16
    record = json.loads((tmp_path / "out/provenance" / f"{task.name}.json").read_text())
    assert record["case"] == "case_0" and record["recipe"]["name"] == "bspline-x2" and record["seed"] == task.seed
    assert record["channels"][0]["model"] == "bspline" and record["version"] == medsr.__version__
    left = record["structures"]["left"]
    assert abs(left["change"]) < 0.02 and 0.9 < left["dice"] <= 1
    assert left["topology"] == {"before": [1, 0, 0], "after": [1, 0, 0]}
    assert execute_task(task).status == KEPT


def test_a_failed_task_leaves_nothing_and_says_why(a_set, tmp_path):
    plan = plan_of(a_set(), tmp_path / "out")
    task = dataclasses.replace(plan.tasks[0], values={0: 0, 1: 1})
    result = execute_task(task)
    assert result.status == FAILED and "[2]" in result.error
    assert not list((tmp_path / "out").rglob("*.*"))


def test_a_cancelled_task_leaves_nothing(a_set, tmp_path):
    plan = plan_of(a_set(), tmp_path / "out")
    with pytest.raises(CancelledError):
        execute_task(plan.tasks[0], lambda: True)
    assert not list((tmp_path / "out").rglob("*.*"))


def test_ct_keeps_its_hounsfield_units_when_nobody_says_it_is_ct(a_set, tmp_path):
    def spoil(root, data):
        for file in (root / "imagesTr").iterdir():
            sitk.WriteImage(sitk.ReadImage(str(file)) - 1000, str(file))
        data["modality"] = {"0": "image"}

    bent = tmp_path / "bent.json"
    bent.write_text('{"model": "bspline", "target": {"grid": "original"}, "degrade": {"contrast": [2, 2]}}')
    task = plan_of(a_set(1, spoil=spoil), tmp_path / "out", recipes=(str(bent),)).tasks[0]
    assert execute_task(task).status == MADE
    before, after = (medsr.read_volume(path).array for path in (task.images[0], task.image_outputs[0]))
    assert np.abs(before.astype(int) - after).max() <= 1


def test_padding_is_not_degraded_into_tissue_and_comes_back(a_set, tmp_path):
    def pad(root, data):
        for file in (root / "imagesTr").iterdir():
            image = sitk.ReadImage(str(file))
            image[:, :9, :] = -3024
            sitk.WriteImage(image, str(file))
        data["modality"] = {"0": "CT"}

    thick = tmp_path / "thick.json"
    thick.write_text('{"model": "bspline", "target": {"grid": "original"}, "degrade": {"in_plane": [2, 2]}}')
    task = plan_of(a_set(1, spoil=pad), tmp_path / "out", recipes=(str(thick),)).tasks[0]
    assert execute_task(task).status == MADE
    before, after = (medsr.read_volume(path).array for path in (task.images[0], task.image_outputs[0]))
    np.testing.assert_array_equal(after == -3024, before == -3024)
    shown = before != -3024
    assert shown.any() and after[shown].min() > before[shown].min() - 200


def test_a_degraded_image_is_brought_to_any_target(a_set, tmp_path):
    thick = tmp_path / "thick.json"
    whole = (20, 18, 10)
    for target, size in (({"spacing": [1, 1, 2]}, whole), ({"scale": 2}, whole), ({"isotropic": True}, None)):
        recipe = {"model": "bspline", "target": target, "degrade": {"factor": [2, 2], "in_plane": [2, 2]}}
        thick.write_text(json.dumps(recipe))
        task = plan_of(a_set(1), tmp_path / next(iter(target)), recipes=(str(thick),)).tasks[0]
        assert execute_task(task).error == ""
        image, label = medsr.read_volume(task.image_outputs[0]), medsr.read_volume(task.label_output)
        assert image.geometry.is_same_as(label.geometry) and set(np.unique(label.array)) == {0, 1, 2}
        assert size is None or image.geometry.size_xyz == size


def test_files_without_sidecar_are_leftovers_and_are_replaced(a_set, tmp_path):
    task = plan_of(a_set(), tmp_path / "out").tasks[0]
    execute_task(task)
    (tmp_path / "out/provenance" / f"{task.name}.json").unlink()
    before = medsr.read_volume(task.image_outputs[0]).array
    Path(task.image_outputs[0]).write_bytes(b"")
    assert execute_task(task).status == MADE
    assert np.array_equal(medsr.read_volume(task.image_outputs[0]).array, before)


def test_a_copy_made_otherwise_is_not_replaced_unasked(a_set, tmp_path):
    task = plan_of(a_set(), tmp_path / "out").tasks[0]
    execute_task(task)
    other = dataclasses.replace(task, digest="other")
    assert "--overwrite" in execute_task(other).error
    assert execute_task(dataclasses.replace(other, overwrite=True)).status == MADE


def thick_recipe(folder, **more):
    """The path of a recipe that makes thick, noisy slices by the closed form."""
    degrade = {"factor": [2, 3], "in_plane": [1.2, 1.5], "noise": [0.001, 0.02], **more.pop("degrade", {})}
    path = folder / "thick.json"
    path.write_text(json.dumps({"model": "tikhonov", "target": {"grid": "original"}, "degrade": degrade, **more}))
    return str(path)


@pytest.mark.parametrize("kinds", [("gaussian", "gaussian"), ("gaussian", "kspace"), ("kspace", "kspace")])
def test_what_was_drawn_is_known_to_who_brings_it_back(a_set, tmp_path, kinds):
    own = thick_recipe(tmp_path, degrade={"profile": kinds[0], "in_plane_profile": kinds[1]})
    plan = plan_of(a_set(2), tmp_path / "out", recipes=(own,), per_image=3)
    for task in plan.tasks:
        assert execute_task(task).status == MADE
        record = json.loads(Path(task.sidecar).read_text())
        (channel,), (drawn,) = record["channels"], record["drawn"]
        assert channel["noise"] == pytest.approx(drawn["noise"], abs=1e-4)
        assert "read from the source" in " ".join(d["text"] for d in channel["decisions"])
        for axis in range(3):
            used, is_slice = channel["acquisition"][axis], "xyz"[axis] == drawn["slice_axis"]
            width = (max(drawn["width"], 1) if kinds[0] == "kspace" else drawn["width"]) if is_slice else 1.0
            assert used["profile"] == kinds[0 if is_slice else 1] and used["source"] == "option"
            spacing = (1, 1, 2)[axis] * drawn["factors_xyz"][axis]
            assert used["width_mm"] == pytest.approx(width * spacing, rel=1e-3)


def test_what_a_recipe_states_of_the_images_is_used(a_set, tmp_path):
    path = tmp_path / "fine.json"
    stated = {"model": "tikhonov", "target": {"scale": [1, 1, 2]}, "profile": "auto,auto,gaussian:2.6", "noise": 0.013}
    path.write_text(json.dumps(stated))
    (task,) = plan_of(a_set(1), tmp_path / "out", recipes=(str(path),)).tasks
    assert execute_task(task).status == MADE
    (channel,) = json.loads(Path(task.sidecar).read_text())["channels"]
    assert channel["noise"] == 0.013 and channel["acquisition"][2]["width_mm"] == pytest.approx(2.6)
    assert Recipe.from_dict(load_recipe(str(path)).to_dict()) == load_recipe(str(path))


def test_k_space_ends_in_the_plane_that_was_drawn():
    line = np.cos(np.pi * 0.9 * np.arange(64))[None, None, :] * np.ones((8, 64, 1)) * 100 + 500
    image = Volume(line.astype(np.float32), Geometry((64, 64, 8)))
    wanted = Degradation(in_plane=(1.5, 1.5), in_plane_profile="kspace", factor=(2, 2))
    drawn = next(d for s in range(20) if (d := draw(wanted, image.geometry, np.random.default_rng(s))).slice_axis == 2)
    kspace, gaussian = (
        acquire(image, d, np.random.default_rng(0), modality="MR").array[:, :, 4:-4].std()
        for d in (drawn, dataclasses.replace(drawn, profiles_xyz=("gaussian",) * 3))
    )
    # A wave beyond the band is gone; a Gaussian leaves an alias of it.
    assert kspace < 0.3 * gaussian and gaussian > 10
    assert drawn.stated_profile((1.5, 1.5, 2)) == "kspace:1.5,kspace:1.5,gaussian:2"


def test_controls_draw_what_they_are_compared_with(a_set, tmp_path):
    source = a_set(1)
    options = {"per_image": 2, "model": "bspline"}
    sr, control = (
        plan_of(source, tmp_path / name, recipes=(name,), **options).tasks for name in ("degrade-sr", "degrade-bspline")
    )
    assert {execute_task(task).status for task in (*sr, *control)} == {MADE}
    images = [medsr.read_volume(task.image_outputs[0]).array for task in (*sr, *control)]
    assert np.array_equal(images[0], images[2]) and np.array_equal(images[1], images[3])
    assert not np.array_equal(images[0], images[1])


# ---------------------------------------------------------------- splits


def test_folds_train_on_copies_and_validate_on_originals_of_other_subjects():
    real = [Case(f"r{i}", f"s{i // 2}", (), "") for i in range(14)]
    copies = [Case(f"{r.name}_c{k}", r.subject, (), "", r.name, "x") for r in real for k in range(2)]
    splits = make_splits(real, copies, (), 3)
    assert len(splits) == 5
    subject = {c.name: c.subject for c in (*real, *copies)}
    for split in splits:
        assert not {subject[n] for n in split.train} & {subject[n] for n in split.val}
        assert len(split.train) + 3 * len(split.val) == 42
    assert sorted(n for s in splits for n in s.val) == sorted(case.name for case in real)
    assert make_splits(real, copies, (), 3) == splits != make_splits(real, copies, (), 4)


def test_given_folds_are_kept():
    real = [Case(n, n, (), "") for n in "abc"]
    copies = [Case(f"{n}_c", n, (), "", n, "x") for n in "ac"]
    assert make_splits(real, copies, [Split(("a", "b"), ("c",))], 0) == (Split(("a", "b", "a_c"), ("c",)),)
    assert make_splits(real[:1], copies, (), 0) == ()
    assert never_trained(real, [Split(("a", "b"), ("c",))]) == {"c"}
    assert never_trained(real, [Split(("a", "b"), ("c",)), Split(("b", "c"), ("a",))]) == set()
    assert never_trained(real, ()) == set()


def test_no_copy_is_trained_on_of_a_subject_that_the_given_fold_validates_on():
    real = [Case("a1", "a", (), ""), Case("a2", "a", (), ""), Case("b", "b", (), "")]
    copies = [Case(f"{case.name}_c", case.subject, (), "", case.name, "x") for case in real]
    given = [Split(("a1", "b"), ("a2",))]
    assert make_splits(real, copies, given, 0) == (Split(("a1", "b", "b_c"), ("a2",)),)
    assert never_trained(real, given) == {"a1", "a2"} and shared_subjects(real, given) == ["a"]
