"""Whether copies help: the design, the scores, the statistics, what is said, and one study from start to end."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.augmentation.cases import Case
from medsr.augmentation.datasets import read_dataset
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.study import run as study_run
from medsr.augmentation.study.chart import gain_chart
from medsr.augmentation.study.controls import make_controls
from medsr.augmentation.study.design import COPIES, Arm, Run, StudyDesign, arm_at, held_out_subjects, training_subjects
from medsr.augmentation.study.findings import best_dice, compare, find_all, format_gain, mean_score
from medsr.augmentation.study.plan import plan_study
from medsr.augmentation.study.recipe import SegmentationRecipe
from medsr.augmentation.study.report import CHART, DATA, SUMMARY, TABLE, write_report
from medsr.augmentation.study.results import ResultFolder, Row, RunResult
from medsr.augmentation.study.run import finished, grid_of, run_study
from medsr.augmentation.study.samples import finest_spacing, prepare
from medsr.augmentation.study.scores import Score, score_labels, score_masks
from medsr.augmentation.study.sentences import conclusions
from medsr.cli.main import main
from medsr.errors import CancelledError, InputError, InvalidValueError, MissingDependencyError, UnknownNameError
from medsr.geometry import Geometry
from medsr.jobs import Progress, StageEvent

SUBJECTS = [f"s{number:02d}" for number in range(23)]
SMALL = ("filters=[4,4,8]", "patch=[16,16,16]", "steps=3", "warmup=1", "precision=32")


def design_of(*arms, **options):
    return StudyDesign(tuple(map(Arm.parse, arms or ("real", "real+sr"))), **options)


@pytest.fixture
def a_larger_set(a_set, tmp_path):
    """Phantoms with their copies, twice as fine, read back."""

    def make(count=4, recipe="bspline-x2"):
        out = tmp_path / "larger"
        augment(AugmentSpec(str(a_set(count)), str(out), recipes=(recipe,)), Progress())
        return read_dataset(out)

    return make


class TestDesign:
    def test_every_subject_is_tested_once_and_never_trained_on_in_its_fold(self):
        tested = [s for fold in range(5) for s in held_out_subjects(SUBJECTS, 5, fold)]
        assert sorted(tested) == SUBJECTS
        for fold in range(5):
            trained = training_subjects(SUBJECTS, 5, fold)
            assert sorted(trained + held_out_subjects(SUBJECTS, 5, fold)) == SUBJECTS

    def test_order_of_the_subjects_does_not_matter(self):
        assert held_out_subjects(SUBJECTS[::-1], 5, 2) == held_out_subjects(SUBJECTS, 5, 2)
        assert training_subjects(SUBJECTS[::-1], 5, 2, 6, 1) == training_subjects(SUBJECTS, 5, 2, 6, 1)

    def test_smaller_training_sets_are_part_of_larger_ones_and_seeds_differ(self):
        small, large = (training_subjects(SUBJECTS, 5, 0, size, 1) for size in (4, 9))
        assert large[:4] == small and len(large) == 9
        assert training_subjects(SUBJECTS, 5, 0, 4, 2) != small

    def test_arms_are_what_is_added_to_the_real_images(self):
        assert [Arm.parse(t).extra for t in ("real", "real+sr", "real+duplicate")] == ["", "sr", "duplicate"]
        assert Arm.parse("real+bspline").control_model == "bspline" and Arm.parse("real+sr").control_model is None
        with pytest.raises(UnknownNameError, match="bspline"):
            Arm.parse("real+bsplin")
        for text in ("sr", "real+", ""):
            with pytest.raises(InvalidValueError):
                Arm.parse(text)

    def test_runs_are_complete_comparisons_from_the_beginning(self):
        runs = list(design_of("real", "real+sr", folds=3, seeds=2, sizes=(4, 8)).runs())
        assert len(runs) == len({run.key for run in runs}) == 2 * 3 * 2 * 2
        assert [run.arm for run in runs[:2]] == ["real", "real+sr"]
        assert {(run.size, run.fold, run.seed) for run in runs[:2]} == {(4, 0, 1)}

    @pytest.mark.parametrize(
        "options", [{"folds": 1}, {"seeds": 0}, {"sizes": ()}, {"sizes": (-1,)}, {"sizes": (8, 8)}]
    )
    def test_designs_that_make_no_sense_are_refused(self, options):
        design_of()
        with pytest.raises(InvalidValueError):
            design_of(**options)

    def test_a_comparison_needs_the_real_images_and_something_else(self):
        for arms in (("real",), ("real+sr", "real+bspline"), ("real", "real+sr", "real+sr")):
            with pytest.raises(InvalidValueError):
                design_of(*arms)

    def test_one_arm_is_enough_where_it_is_tested_on_further_sets_with_different_names(self):
        assert design_of("real", test_on=("thick", "thin")).test_on == ("thick", "thin")
        for names in (("thick", "thick"), ("copies",), ("",)):
            with pytest.raises(InvalidValueError, match="different names"):
                design_of("real", "real+sr", test_on=names)

    def test_too_few_subjects_are_refused(self):
        design_of(folds=5, sizes=(18,)).check(SUBJECTS)
        with pytest.raises(InputError, match="18 of 23 subjects are left"):
            design_of(folds=5, sizes=(19,)).check(SUBJECTS)
        with pytest.raises(InputError, match="need as many subjects"):
            design_of(folds=5).check(SUBJECTS[:4])


class TestRecipe:
    def test_shipped_one_is_read_and_changed(self):
        recipe = SegmentationRecipe.load()
        assert recipe.steps > 100 and SegmentationRecipe.from_dict(recipe.to_dict()) == recipe
        assert SegmentationRecipe.load(settings=SMALL).patch == (16, 16, 16)

    def test_a_file_may_hold_some_keys_only(self, tmp_path):
        (tmp_path / "own.json").write_text('{"steps": 7, "warmup": 2}')
        recipe = SegmentationRecipe.load(tmp_path / "own.json")
        assert recipe.steps == 7 and recipe.filters == SegmentationRecipe.load().filters

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("stepz=3", "steps"),
            ("steps", "key=value"),
            ("steps=1.5", "steps"),
            ("steps=true", "steps"),
            ("patch=[30,40,32]", "multiples of 8"),
            ("patch=[8,8,8]", "at least 16"),
            ("precision=16", "bf16"),
            ("window=8", "window"),
            ("filters=[4,8]", "filters"),
            ("tolerance_mm=0", "positive"),
        ],
    )
    def test_nonsense_is_refused_by_name(self, setting, said):
        with pytest.raises((InvalidValueError, UnknownNameError), match=said):
            SegmentationRecipe.load(settings=[setting])

    def test_a_file_that_is_none_is_told(self, tmp_path):
        (tmp_path / "own.json").write_text("[1]")
        for name in ("own.json", "absent.json"):
            with pytest.raises(InputError, match=name):
                SegmentationRecipe.load(tmp_path / name)


def cube(start, side=4, shape=(12, 12, 12)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + side) for a in start)] = True
    return mask


class TestScores:
    def test_equal_masks_are_perfect(self):
        assert score_masks(cube((3, 3, 3)), cube((3, 3, 3)), (1, 1, 1), 0.5) == Score(1.0, 0.0, 1.0, 0.0)

    def test_a_shift_by_one_voxel_can_be_worked_out(self):
        # 4 x 4 x 4, shifted by one of four layers: 48 of 64 voxels in common. Of the 16 voxels of each outermost
        # layer, 12 lie on the other cube's sides, which continue there one voxel further in: all within one voxel.
        score = score_masks(cube((3, 3, 3)), cube((4, 3, 3)), (2.0, 1.0, 1.0), 1.0)
        assert score.dice == pytest.approx(0.75) and score.volume_error == 0
        assert score.hd95 == pytest.approx(2.0)
        assert score_masks(cube((3, 3, 3)), cube((4, 3, 3)), (1.0, 1.0, 1.0), 1.0).boundary_dice == 1.0
        assert 0 < score.boundary_dice < 1

    def test_a_cube_in_a_cube_has_the_distance_of_its_faces(self):
        score = score_masks(cube((3, 3, 3), 6), cube((5, 5, 5), 2), (1, 1, 1), 1.0)
        assert score.volume_error == pytest.approx(100 * (216 - 8) / 8)
        assert score.dice == pytest.approx(2 * 8 / 224)
        assert score.hd95 > 2 and score.boundary_dice == 0

    def test_finding_nothing_is_the_worst(self):
        score = score_masks(np.zeros((3, 4, 12), bool), cube((0, 0, 0), 2, (3, 4, 12)), (1, 1, 1), 1.0)
        assert score == Score(0.0, 13.0, 0.0, 100.0)

    def test_pictures_have_no_boundary_across_their_plane(self):
        truth = cube((0, 3, 3), 4, (1, 12, 12))
        found = truth.copy()
        found[0, 4, 4] = False
        # The pixel inside is on no outline but its neighbours now are; counted as voxels all would be boundary.
        assert score_masks(truth, truth, (1, 1, 1), 0.5).boundary_dice == 1
        assert score_masks(found, truth, (1, 1, 1), 0.5).boundary_dice < 1

    def test_structures_that_the_truth_lacks_are_left_out(self):
        truth = cube((2, 2, 2)).astype(np.uint8)
        scores = score_labels(truth * 2, truth, (1, 1, 1), {"a": 1, "b": 2}, 1.0)
        assert set(scores) == {"a"} and scores["a"].dice == 0
        with pytest.raises(InputError, match="shapes"):
            score_labels(truth[1:], truth, (1, 1, 1), {"a": 1}, 1.0)


class TestSamples:
    def test_images_come_to_one_spacing_and_scale_with_their_labels(self, a_set, tmp_path):
        dataset = read_dataset(a_set(1))
        assert finest_spacing(dataset.cases) == (1.0, 1.0, 2.0)
        case = dataset.cases[0]
        original = sitk.GetArrayFromImage(sitk.ReadImage(case.label))
        image, label = prepare(case, tmp_path, (1.0, 1.0, 1.0), [1, 2]).open()
        z, y, x = original.shape
        assert image.shape == (1, 2 * z, y, x) and label.shape == (2 * z, y, x)
        assert (image.astype(float).mean(), image.astype(float).std()) == pytest.approx((0, 1), abs=0.01)
        for value in (1, 2):
            assert (label == value).sum() == pytest.approx(2 * (original == value).sum(), rel=0.02)

    def test_a_coarser_grid_averages(self, tmp_path):
        array = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
        labels = np.zeros((8, 8, 8), np.uint8)
        labels[2:6, 2:6, 2:6] = 3
        for name, voxels in (("i", array), ("l", labels)):
            sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / f"{name}.nii"))
        case = Case("c", "c", (str(tmp_path / "i.nii"),), str(tmp_path / "l.nii"))
        image, label = prepare(case, tmp_path, (2.0, 2.0, 2.0), [3]).open()
        means = array.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5))
        assert image.shape == (1, 4, 4, 4) and set(np.unique(label)) == {0, 1}
        assert np.corrcoef(image[0].ravel(), means.ravel())[0, 1] > 0.99

    def test_what_is_there_is_not_made_again(self, a_set, tmp_path):
        case = read_dataset(a_set(1)).cases[0]
        sample = prepare(case, tmp_path, (1.0, 1.0, 2.0), [1, 2])
        before = sample.image.stat().st_mtime_ns
        assert prepare(case, tmp_path, (1.0, 1.0, 2.0), [1, 2]).image.stat().st_mtime_ns == before

    def test_a_finer_picture_covers_what_its_original_covers(self, tmp_path):
        picture = sitk.GetImageFromArray(np.zeros((8, 10), np.uint8))
        picture.SetSpacing((0.5, 0.5))
        sitk.WriteImage(picture, str(tmp_path / "p.png"))
        case = Case("p", "p", (str(tmp_path / "p.png"),), "", origin="o")
        truth = Geometry((5, 4, 1))
        grid = grid_of(case, truth, (0.5, 0.5, 1.0))
        assert grid.size_xyz == (10, 8, 1)
        # The same outer corner, so the centre of the first pixel is a quarter of a truth pixel further out.
        assert grid.origin_mm == pytest.approx((-0.25, -0.25, 0))

    def test_a_value_without_a_name_is_an_error(self, a_set, tmp_path):
        with pytest.raises(InputError, match="does not name"):
            prepare(read_dataset(a_set(1)).cases[0], tmp_path, (1.0, 1.0, 2.0), [1])


def rows_of(effect, *, noise=0.02, per_training=0.0, folds=4, seeds=3, subjects=8, arms=("real", "real+sr"), seed=0):
    """Scores in which every arm but the first is better by `effect`."""
    rng = np.random.default_rng(seed)
    rows = []
    for fold in range(folds):
        base = rng.normal(0.8, 0.05, subjects)
        for repetition in range(1, seeds + 1):
            for arm in arms:
                luck = rng.normal(0, per_training)
                for number in range(subjects):
                    dice = base[number] + luck + rng.normal(0, noise) + (effect if arm != arms[0] else 0)
                    name = f"f{fold}s{number}"
                    rows.append(Row(arm, 8, fold, repetition, name, name, "a", dice, 5 - dice, dice, 9))
    return rows


class TestFindings:
    def test_an_effect_is_found_and_its_absence_is_not(self):
        yes = compare(rows_of(0.03), 8, "real+sr", "real", "dice")
        no = compare(rows_of(0.0), 8, "real+sr", "real", "dice")
        assert yes.gain.is_certain and yes.gain.mean == pytest.approx(0.03, abs=0.01)
        assert not no.gain.is_certain and no.gain.low < 0 < no.gain.high
        assert yes.trainings == 12 and yes.gain.volumes == 32

    def test_low_distances_are_gains(self):
        found = compare(rows_of(0.03), 8, "real+sr", "real", "hd95")
        assert found.gain.mean == pytest.approx(0.03, abs=0.01)

    def test_luck_of_the_training_widens_the_interval(self):
        # Enough trainings with luck and without effect: the interval must seldom leave out zero.
        for folds, seeds in ((4, 3), (8, 1)):
            wrong = sum(
                compare(
                    rows_of(0.0, per_training=0.03, seed=s, folds=folds, seeds=seeds), 8, "real+sr", "real", "dice"
                ).gain.is_certain
                for s in range(20)
            )
            assert wrong <= 6
        calm, lucky = (
            compare(rows_of(0.0, per_training=luck), 8, "real+sr", "real", "dice").gain for luck in (0, 0.03)
        )
        assert lucky.high - lucky.low > 1.5 * (calm.high - calm.low)

    def test_only_runs_of_equal_fold_and_seed_are_compared(self):
        rows = [r for r in rows_of(0.03) if not (r.arm == "real+sr" and r.seed == 2)]
        assert compare(rows, 8, "real+sr", "real", "dice").trainings == 8
        alone = [r for r in rows if r.arm == "real"]
        assert compare(alone, 8, "real+sr", "real", "dice").gain is None

    def test_the_order_of_rows_changes_nothing(self):
        rows = rows_of(0.01)
        assert compare(rows, 8, "real+sr", "real", "dice") == compare(rows[::-1], 8, "real+sr", "real", "dice")

    def test_means_are_over_subjects(self):
        rows = [dataclasses.replace(r, dice=0.5 if r.arm == "real" else 0.7) for r in rows_of(0)]
        assert mean_score(rows, 8, "real+sr", "dice") == pytest.approx(0.7)
        assert mean_score(rows, 16, "real", "dice") is None

    def test_gains_are_written_without_a_negative_zero(self):
        found = compare(rows_of(0.0), 8, "real+sr", "real", "dice").gain
        assert format_gain(dataclasses.replace(found, mean=-1e-9, low=-0.01, high=0.01), "dice") == (
            "+0.0000 [-0.0100, +0.0100]"
        )
        assert format_gain(None, "dice") == ""


class TestSentences:
    ARMS = ("real", "real+sr", "real+bspline", "real+duplicate")

    def said(self, rows):
        design = design_of(*self.ARMS, sizes=(8,))
        return conclusions(find_all(rows, design), design)

    def test_an_effect_is_held_against_the_controls(self):
        better, worse = (
            self.said(rows_of(effect, arms=("real", "real+sr")) + self.controls(0.0)) for effect in (0.03, -0.03)
        )
        assert "With 8 training subjects, training with real+sr instead of real" in better[0]
        assert ": better." in better[0] and "Against real+bspline the difference is +0.0" in better[0]
        assert ": worse." in worse[0]

    def test_an_effect_that_a_control_has_too_is_not_credited(self):
        found = self.said(rows_of(0.03, arms=self.ARMS))
        assert ": better." in found[0] and "need not come from what real+sr adds" in found[0]

    def test_nothing_found_is_said(self):
        found = self.said(rows_of(0.0, arms=self.ARMS))
        assert "no effect was found" in found[0]
        assert "Duplicates hold nothing new" in found[-1]
        assert self.said([]) == ["No pair of runs is finished that could be compared."]

    def test_networks_that_learned_nothing_tell_nothing(self):
        rows = rows_of(0.0, arms=self.ARMS)
        bad = [dataclasses.replace(row, dice=row.dice - 0.73) for row in rows]
        design = design_of(*self.ARMS, sizes=(8,))
        (only,) = conclusions(find_all(bad, design), design, best_dice(bad))
        assert "learned next to nothing (Dice 0.0" in only and "no effect" not in only
        assert "no effect was found" in conclusions(find_all(rows, design), design, best_dice(rows))[0]
        # One arm that learned is a finding, whatever the others did.
        some = [dataclasses.replace(row, dice=row.dice + 0.4) if row.arm == "real+sr" else row for row in bad]
        assert ": better." in conclusions(find_all(some, design), design, best_dice(some))[0]

    def controls(self, effect):
        rows = rows_of(effect, arms=("real", "real+bspline", "real+duplicate"))
        return [row for row in rows if row.arm != "real"]

    def test_networks_tested_on_copies_have_their_own_sentence(self):
        rows = rows_of(0.03)
        rows += [dataclasses.replace(r, arm=arm_at(r.arm, COPIES), dice=r.dice + 0.02) for r in rows if r.arm != "real"]
        found = self.said(rows)
        assert any("segmenting copies of the test images" in line for line in found)

    def test_sets_that_are_only_tested_on_have_sentences_about_one_network_and_about_the_arms(self):
        design = design_of("real", "real+sr", sizes=(8,), test_on=("thick", "enhanced"))
        rows = []
        for place, less in (("", 0.0), ("thick", 0.2), ("enhanced", 0.05)):
            rows += [dataclasses.replace(r, arm=arm_at(r.arm, place), dice=r.dice - less) for r in rows_of(0.0)]
        found = conclusions(find_all(rows, design), design)

        def said(*words):
            (line,) = [line for line in found if all(word in line for word in words)]
            return line.partition(" by networks of ")[2] or line

        assert said("segmenting thick instead of the real images", "of real ") == (
            "real changed Dice by -0.2000 [-0.2000, -0.2000]: worse."
        )
        assert said("segmenting enhanced instead of thick", "of real+sr ") == (
            "real+sr changed Dice by +0.1500 [+0.1500, +0.1500]: better."
        )
        assert "no effect was found" in said("with real+sr instead of real changed Dice on thick by")
        assert {(f.arm, f.baseline) for f in find_all(rows, design)} >= {("real on enhanced", "real on thick")}
        # What a training changes and what another image changes stay apart.
        assert sum("instead of real changed" in line for line in found) == 3 and len(found) == 9

    def test_each_set_that_is_tested_on_is_compared_with_those_before_and_the_text_names_the_first(self):
        design = design_of("real", sizes=(8,), test_on=("thick", "cubic", "enhanced"))
        rows = [r for r in rows_of(0.0) if r.arm == "real"]
        rows += [
            dataclasses.replace(r, arm=arm_at("real", place), dice=r.dice - less)
            for place, less in (("thick", 0.2), ("cubic", 0.1), ("enhanced", 0.05))
            for r in rows
        ]
        findings = find_all(rows, design)
        (gain,) = [
            f.gain
            for f in findings
            if (f.arm, f.baseline) == ("real on enhanced", "real on cubic") and f.metric == "dice" and not f.structure
        ]
        assert gain.mean == pytest.approx(0.05)
        found = conclusions(findings, design)
        assert len(found) == 5 and not any("instead of cubic" in line for line in found)

    def test_one_arm_is_shown_by_the_sets_that_it_is_tested_on(self):
        design = design_of("real", sizes=(8,), test_on=("thick", "enhanced"))
        rows = [r for r in rows_of(0.0) if r.arm == "real"]
        rows += [dataclasses.replace(r, arm=arm_at("real", place)) for place in design.test_on for r in rows]
        picture = gain_chart(find_all(rows, design), "real on thick")
        assert ">real on enhanced</text>" in picture and picture.count("<circle") == 2

    def test_the_picture_shows_every_arm(self):
        design = design_of(*self.ARMS, sizes=(8,))
        picture = gain_chart(find_all(rows_of(0.01, arms=self.ARMS), design), "real")
        for arm in self.ARMS[1:]:
            assert f">{arm}</text>" in picture
        assert picture.count("<circle") == 6 and "8 training subjects" in picture
        assert gain_chart([], "real") == ""


class TestControls:
    def test_they_are_the_same_copies_by_another_model(self, a_larger_set, tmp_path):
        dataset = a_larger_set(2, "degrade-bspline")
        made = make_controls(dataset, "linear", tmp_path / "controls", lambda fraction: None)
        again = make_controls(dataset, "bspline", tmp_path / "again", lambda fraction: None)
        assert [c.name for c in made] == [c.name for c in dataset.synthetic]
        for copy, control, same in zip(dataset.synthetic, made, again, strict=True):
            theirs, ours, equal = (
                sitk.GetArrayFromImage(sitk.ReadImage(c.images[0])).astype(float) for c in (copy, control, same)
            )
            # Same draws: by the same model the same voxels, by another nearly.
            assert (equal == theirs).all()
            assert not (ours == theirs).all() and np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
            assert (tmp_path / "controls" / "provenance" / f"{copy.name}.json").is_file()

    def test_a_copy_without_a_record_cannot_be_a_control(self, a_larger_set, tmp_path):
        dataset = a_larger_set(2)
        orphan = dataclasses.replace(dataset.synthetic[0], name="orphan")
        with pytest.raises(InputError, match="orphan"):
            make_controls(dataclasses.replace(dataset, cases=(*dataset.real, orphan)), "linear", tmp_path, print)


class TestResults:
    RESULT = RunResult(
        Run("real+sr", 8, 0, 1),
        {
            "": {"c": {"a": Score(0.8, 1.5, 0.9, 3.0)}},
            COPIES: {"c_sr": {"a": Score(0.9, 1.0, 0.95, 2.0)}},
            "thin": {"c": {"a": Score(0.9, 1.0, 0.95, 2.0)}},
        },
        {"c": "s", "c_sr": "s"},
        ("t",),
        4,
        0.25,
        1.5,
    )

    def test_they_are_read_back_under_equal_conditions_only(self, tmp_path):
        folder = ResultFolder(tmp_path, "abc")
        assert folder.load(self.RESULT.run) is None
        folder.save(self.RESULT)
        assert folder.load(self.RESULT.run) == self.RESULT
        assert ResultFolder(tmp_path, "other").load(self.RESULT.run) is None
        assert [p.suffix for p in tmp_path.iterdir()] == [".json"]

    def test_a_broken_file_is_named(self, tmp_path):
        folder = ResultFolder(tmp_path, "abc")
        folder.save(self.RESULT)
        (file,) = tmp_path.iterdir()
        file.write_text("{")
        with pytest.raises(InputError, match="Delete it"):
            folder.load(self.RESULT.run)

    def test_rows_tell_copies_from_real_images(self):
        assert [row.arm for row in self.RESULT.rows()] == ["real+sr", "real+sr on copies", "real+sr on thin"]


class TestPlan:
    def test_copies_labels_and_truth_are_needed(self, a_set, a_larger_set):
        recipe, design = SegmentationRecipe.load(), design_of(folds=2)
        with pytest.raises(InputError, match="holds no copies"):
            plan_study(read_dataset(a_set(4, name="plain")), design, recipe)
        dataset = a_larger_set(4)
        assert plan_study(dataset, design, recipe).spacing == (0.5, 0.5, 1.0)
        with pytest.raises(InputError, match="truth has no case"):
            plan_study(dataset, design, recipe, truth=read_dataset(a_set(2, name="fewer")))
        with pytest.raises(InputError, match=r"names no structure.*labels\.json"):
            plan_study(dataclasses.replace(dataset, labels={"background": 0}), design, recipe)

    def test_a_set_to_test_on_holds_the_same_cases_and_its_copies_come_first(self, a_set, a_larger_set):
        recipe, dataset = SegmentationRecipe.load(), a_larger_set(4)
        design = design_of("real", folds=2, test_on=("other",))
        plain = read_dataset(a_set(4, name="plain"))
        study = plan_study(plain, design, recipe, test_on=[dataset])
        assert study.tests["other"] == dataset.synthetic
        assert study.digest != plan_study(plain, design, recipe, test_on=[plain]).digest
        assert plan_study(dataset, design, recipe, test_on=[plain]).tests["other"] == plain.real
        with pytest.raises(InputError, match=r"other has no image of the case '.*'; 2 of 4 are missing"):
            plan_study(plain, design, recipe, test_on=[read_dataset(a_set(2, name="fewer"))])

    def test_without_torch_the_error_says_how_to_get_it(self, a_larger_set, tmp_path, monkeypatch):
        study = plan_study(a_larger_set(4), design_of(folds=2), SegmentationRecipe.load())
        monkeypatch.setattr(study_run.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingDependencyError, match=r"medsr\[network\]"):
            run_study(study, tmp_path / "study", Progress())

    def test_the_command_plans_without_torch(self, a_set, monkeypatch, capsys):
        monkeypatch.setitem(sys.modules, "torch", None)
        assert main(["augment", "evaluate", str(a_set(2)), "--arms", "real,real+nothing"]) == 2
        assert "duplicate" in capsys.readouterr().err
        assert main(["augment", "evaluate", str(a_set(2)), "--sizes", "0,8"]) == 2


@pytest.mark.network
class TestNetwork:
    def test_folding_keeps_every_voxel(self):
        import torch

        from medsr.augmentation.study.network import FoldedUNet, fold, unfold

        for shape in ((2, 3, 4, 6, 8), (2, 3, 4, 6)):
            image = torch.arange(np.prod(shape)).reshape(shape)
            assert (unfold(fold(image)) == image).all()
            # The channels of a folded voxel are a block of neighbours.
            block = fold(image)[(0, slice(0, 2 ** (len(shape) - 2)), *[0] * (len(shape) - 2))]
            assert (block == image[(0, 0, *[slice(0, 2)] * (len(shape) - 2))].flatten()).all()
            network = FoldedUNet(len(shape) - 2, 3, 5, (4, 4, 8))
            assert network(torch.zeros((1, 3, *[16] * (len(shape) - 2)))).shape == (1, 5, *[16] * (len(shape) - 2))

    @pytest.mark.parametrize("planar", [False, True])
    def test_it_learns_a_bright_object(self, planar, tmp_path):
        import torch

        from medsr.augmentation.study.samples import Sample
        from medsr.augmentation.study.training import train_segmenter

        rng = np.random.default_rng(0)
        samples = []
        for number in range(3):
            label = np.zeros((1 if planar else 20, 20, 20), np.uint8)
            label[(slice(None) if planar else slice(6, 14)), 6:14, 5 + number : 13 + number] = 1
            image = (label + rng.normal(0, 0.1, label.shape)).astype(np.float16)[None]
            files = tmp_path / f"{number}.i.npy", tmp_path / f"{number}.l.npy"
            np.save(files[0], image)
            np.save(files[1], label)
            samples.append(Sample(str(number), str(number), *files))
        recipe = SegmentationRecipe.load(settings=[*SMALL, "filters=[8,16,16]", "steps=60"])
        steps = []
        trained = [
            train_segmenter(samples[:2], 2, recipe, 1, device=torch.device("cpu"), step_done=steps.append)
            for _ in range(2)
        ]
        image, label = samples[2].open()
        found = trained[0].probabilities(image)
        assert found.shape == (2, *label.shape) and found.sum(axis=0) == pytest.approx(1, abs=1e-5)
        assert score_masks(found.argmax(axis=0) == 1, label == 1, (1, 1, 1), 1.0).dice > 0.75
        assert (trained[1].probabilities(image) == found).all()
        assert steps == 2 * list(range(1, 61))

    def test_a_study_from_start_to_end_stopped_and_resumed(self, a_set, a_larger_set, tmp_path, capsys):
        dataset = a_larger_set(4)
        design = design_of("real", "real+sr", "real+linear", "real+duplicate", folds=2, seeds=1, sizes=(2,))
        design = dataclasses.replace(design, test_on=("again",))
        recipe = SegmentationRecipe.load(settings=SMALL)
        truth = read_dataset(a_set(4, name="again"))
        study = plan_study(dataset, design, recipe, truth=truth, spacing=(1.0, 1.0, 2.0), test_on=[truth])
        folder = tmp_path / "study"
        seen = []

        def watch(event):
            if isinstance(event, StageEvent):
                seen.append(event.name)

        with pytest.raises(CancelledError, match="3 of 8 runs are finished"):
            run_study(study, folder, Progress(watch, lambda: any(n.startswith("Run 4") for n in seen)))
        assert len(list(finished(study, folder))) == 3
        files = {p: p.stat().st_mtime_ns for p in (folder / "runs").iterdir()}
        seen.clear()
        results = run_study(study, folder, Progress(watch))
        assert next(n for n in seen if n.startswith("Run")).startswith("Run 4 of 8")
        assert all(p.stat().st_mtime_ns == time for p, time in files.items())
        by_arm = {r.run.arm: r for r in results if r.run.fold == 0}
        assert {a: r.images for a, r in by_arm.items()} == {
            "real": 2, "real+sr": 4, "real+linear": 4, "real+duplicate": 4
        }  # fmt: skip
        for result in results:
            assert not set(result.trained_on) & set(result.subjects.values())
            assert len(result.scores[""]) == len(result.scores["again"]) == 2
            assert (COPIES in result.scores) == (result.run.arm in ("real+sr", "real+linear"))
            # The set to test on holds the same images: the same is found in them.
            assert result.scores["again"] == result.scores[""]
        found = write_report(study, results, folder)
        assert found and json.loads((folder / DATA).read_text())["found"] == found
        rows = list(csv.DictReader((folder / TABLE).open()))
        assert {r["arm"] for r in rows} >= {"real", "real+sr", "real+sr on copies"} and float(rows[0]["dice"]) >= 0
        assert "## Differences" in (folder / SUMMARY).read_text() and (folder / CHART).read_text().startswith("<svg")
        # Another recipe is another study.
        assert not list(finished(dataclasses.replace(study, recipe=SegmentationRecipe.load()), folder))
        # And the command, for which everything is done, says the same.
        words = ["--arms", "real,real+sr,real+linear,real+duplicate", "--folds", "2", "--seeds", "1", "--sizes", "2"]
        again = str(tmp_path / "again")
        words += ["--truth", again, "--test-on", again, "--spacing", "1,1,2", "--set", *SMALL, "--output", str(folder)]
        assert main(["augment", "evaluate", dataset.root, *words]) == 0
        assert found[0] in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in files} == files
