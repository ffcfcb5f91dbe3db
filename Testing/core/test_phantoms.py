"""The phantoms: what is put in is found, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from medsr.evaluation.phantoms import objects, pairs
from medsr.evaluation.phantoms.lesions import biases, counts, judge_lesions
from medsr.evaluation.phantoms.made import Ground, judge_made, smallest_response
from medsr.evaluation.phantoms.scenes import (
    CONTRASTS,
    TISSUE,
    Lesion,
    Scene,
    from_image,
    lesion_scene,
    to_hounsfield,
    wanted_lesions,
)
from medsr.evaluation.phantoms.sfrc import judge_patches
from medsr.evaluation.phantoms.shapes import GLYPHS, Lattice, box, checkerboard, glyph, rod
from medsr.physics.sampling import Acquisition

CUBE = Lattice((32, 32, 32))
MIDDLE = (16.2, 15.7, 16.4)
THICK = Acquisition.from_factors(CUBE.shape, (4, 1, 1))


def scene_with(*lesions):
    plain = np.full(CUBE.shape, TISSUE, np.float32)
    truth = plain + sum(np.float32(each.contrast * TISSUE) * each.shape(CUBE) for each in lesions)
    return Scene("lesions", CUBE, truth, plain, np.ones(CUBE.shape, bool), lesions)


def a_ball(contrast=0.2, diameter=5.0, centre=MIDDLE):
    return Lesion("ball", diameter, contrast, centre, centre)


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize("diameter", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("centre", [(16.0, 16.0, 16.0), (16.5, 16.5, 16.5), (15.8, 16.3, 16.1)])
def test_a_ball_has_its_volume_wherever_it_lies(diameter, centre):
    # The distance to the surface fills a little too much of a curved one: r^3 + r / 4 instead of r^3.
    radius = diameter / 2
    assert rod(CUBE, centre, centre, diameter).sum() == pytest.approx(
        4 / 3 * np.pi * (radius**3 + radius / 4), rel=0.05
    )


def test_a_box_fills_voxels_in_part_and_a_checkerboard_cancels():
    assert box(CUBE, (2.5, 3, 4), (6, 5, 4.25)).sum() == pytest.approx(3.5 * 2 * 0.25)
    board = checkerboard(CUBE, (4, 4, 4), (4, 4, 1), (3, 3, 5))
    assert board.sum() == 0
    assert np.abs(board).sum() == 12 * 12 * 5
    assert board[6, 5, 5] == -board[6, 5, 8] == 1


def test_letters_stand_upright_and_differ():
    shapes = {letter: glyph(CUBE, letter, (4, 4, 4), 2, 6, upright=True) for letter in GLYPHS}
    # Along z the head is up: of R, the loop is above the legs.
    assert shapes["R"][17, 6, 4:14].sum() == 8 and shapes["R"][4, 6, 4:14].sum() == 4
    assert len({shape.tobytes() for shape in shapes.values()}) == 6


# ---------------------------------------------------------------- lesions


def test_every_wanted_lesion_has_room_in_the_default_size_and_none_touches_another():
    scene = lesion_scene()
    assert len(scene.lesions) == len(wanted_lesions()) == 30
    assert {abs(each.contrast) for each in scene.lesions} == set(CONTRASTS)
    near = sum((each.shape(scene.lattice) > 0).astype(int) for each in scene.lesions)
    assert near.max() == 1
    assert lesion_scene(64).lesions == lesion_scene(64).lesions != lesion_scene(64, seed=1).lesions


@pytest.mark.parametrize(
    ("left", "state"), [(1.0, "kept"), (0.6, "kept"), (0.4, "shrunk"), (0.1, "lost"), (0.0, "lost"), (-1.0, "lost")]
)
@pytest.mark.parametrize("contrast", [0.1, -0.05])
def test_what_is_left_of_a_lesion_decides_its_state(left, state, contrast):
    scene = scene_with(a_ball(contrast))
    result = scene.plain + np.float32(left) * (scene.truth - scene.plain)
    (found,) = judge_lesions(result, scene, THICK, 0.0)
    assert found.state == state
    assert found.strength == pytest.approx(left, abs=1e-4)


def test_a_shift_of_the_level_changes_nothing():
    scene = scene_with(a_ball())
    (found,) = judge_lesions(scene.truth + 100, scene, THICK, 0.0)
    assert found.strength == pytest.approx(1, abs=1e-4)
    assert found.volume_ratio == pytest.approx(1)


def test_a_lesion_beside_its_place_is_moved_and_one_far_away_is_lost():
    scene = scene_with(a_ball())
    for shift, state in ((4, "moved"), (9, "lost"), (1, "kept")):
        (found,) = judge_lesions(np.roll(scene.truth, shift, axis=1), scene, THICK, 0.0)
        assert found.state == state
        assert found.moved_mm == (shift if state == "moved" else 0)


def test_what_noise_hides_in_the_input_is_counted_apart():
    scene = scene_with(a_ball(0.05, 3.0))
    shown, hidden = (judge_lesions(scene.plain, scene, THICK, sigma)[0] for sigma in (1.0, 100.0))
    assert (shown.state, hidden.state) == ("lost", "not shown")
    # Signal-to-noise of the ideal observer: that of the lesion as the slices see it.
    seen = THICK.forward((scene.truth - scene.plain).astype(float))
    assert shown.snr == pytest.approx(np.sqrt((seen**2).sum()))
    assert counts([shown, hidden]) == {"kept": 0, "shrunk": 0, "moved": 0, "lost": 1, "not shown": 1}
    assert biases([hidden]) == {}


def test_bias_of_contrast_and_volume():
    scene = scene_with(a_ball(0.2, 8.0))
    half = scene.plain + np.float32(0.75) * (scene.truth - scene.plain)
    contrast, volume = biases(judge_lesions(half, scene, THICK, 0.0))["ball 8"]
    assert contrast == pytest.approx(-25, abs=0.1)
    assert -20 < volume < 0
    larger = scene_with(a_ball(0.2, 10.0)).truth
    assert biases(judge_lesions(larger, scene, THICK, 0.0))["ball 8"][1] == pytest.approx(
        100 * (10**3 / 8**3 - 1), abs=15
    )


# ---------------------------------------------------------------- lesions made


def ground_of(scene, plain=None, sigma=0.0):
    seen = ndimage.gaussian_filter(scene.truth, (2, 0, 0))
    return Ground(scene.truth, seen, seen if plain is None else plain, scene.tissue, sigma)


@pytest.fixture(scope="module")
def edges():
    """A body with edges: lesions may be made in it, and blurring it makes none."""
    truth = np.full(CUBE.shape, TISSUE, np.float32)
    truth[:, :8] = 300
    truth[20:, 20:, :] = 700
    return Scene("no lesions", CUBE, truth, truth, np.ones(CUBE.shape, bool))


def test_neither_the_truth_nor_what_is_less_sharp_has_made_anything(edges):
    ground = ground_of(edges)
    for result in (edges.truth, ground.seen, (edges.truth + ground.seen) / 2, np.roll(edges.truth, 1, axis=1) + 3):
        assert judge_made(np.asarray(result, np.float32)[:, 1:], replace_rows(ground)).lesions == 0


def replace_rows(ground):
    """Without the row that rolling brings from the other end."""
    return Ground(*(a[:, 1:] for a in (ground.truth, ground.seen, ground.plain, ground.tissue)), ground.sigma)


@pytest.mark.parametrize(("contrast", "diameter", "count"), [(0.055, 3.0, 1), (-0.06, 5.0, 1), (0.02, 3.0, 0)])
def test_a_lesion_as_faint_as_the_faintest_of_the_bench_is_found_where_it_is_made(edges, contrast, diameter, count):
    made = judge_made(
        edges.truth + TISSUE * np.float32(contrast) * rod(CUBE, MIDDLE, MIDDLE, diameter), ground_of(edges)
    )
    assert (made.lesions, made.own) == (count, count)
    assert made.volume_cm3 == pytest.approx(32**3 / 1000)


def test_structure_that_the_noise_of_the_input_shows_is_not_the_models_own(edges):
    blob = 80 * rod(CUBE, MIDDLE, MIDDLE, 4.0)
    with_blob = np.asarray(edges.truth + blob, np.float32)
    assert judge_made(with_blob, ground_of(edges, plain=with_blob)).own == 0
    assert judge_made(with_blob, ground_of(edges, plain=with_blob)).lesions == 1
    # Dark where the input is bright: that is made.
    assert judge_made(edges.truth - blob, ground_of(edges, plain=with_blob)).own == 1


def test_more_noise_asks_for_more_contrast(edges):
    assert ground_of(edges).limit == pytest.approx(50 * smallest_response())
    assert ground_of(edges, sigma=20.0).limit == ground_of(edges).limit
    assert ground_of(edges, sigma=40.0).limit == 2 * ground_of(edges).limit


# ---------------------------------------------------------------- two lines


@pytest.fixture(scope="module")
def lines():
    return pairs.pair_scene()


def test_the_truth_tells_two_lines_apart_and_blur_along_one_axis_costs_resolution_there(lines):
    sharp = {axis: pairs.resolution(dips) for axis, dips in pairs.dips(lines.truth, lines).items()}
    assert all(value < 2.6 for value in sharp.values())
    blurred = pairs.dips(ndimage.gaussian_filter(lines.truth, (1.7, 0, 0)), lines)
    # A Gaussian of 4 mm beside a line of 1.5 mm: two of them are told apart from about 1.15 widths on.
    assert 4 < pairs.resolution(blurred["z"]) < 5.5
    assert pairs.resolution(blurred["x"]) == pytest.approx(sharp["x"], abs=0.2)
    assert all(pairs.resolution(dips) is None for dips in pairs.dips(lines.plain, lines).values())


def test_the_resolution_is_where_the_dip_reaches_rayleighs():
    assert pairs.resolution({2.0: 0.0, 4.0: 0.165, 5.0: 0.365, 6.0: 0.9}) == pytest.approx(4.5)
    assert pairs.resolution({2.0: 0.4, 4.0: 0.1, 5.0: 0.465}) == pytest.approx(4 + 0.165 / 0.365)
    assert pairs.resolution({2.0: 0.4, 4.0: 0.5}) == 2.0
    assert pairs.resolution({2.0: 0.4, 4.0: 0.1}) is None


# ---------------------------------------------------------------- things no training saw


@pytest.fixture(scope="module")
def things():
    return objects.object_scene()


def test_the_truth_is_read_and_kept_whole(things):
    found = objects.judge_objects(things.truth, things)
    assert found.pop("letters") == 24
    assert found.pop("fold_made") == pytest.approx(0, abs=0.01)
    assert found == pytest.approx(dict.fromkeys(found, 1.0), abs=0.01)


def test_a_fold_filled_in_a_board_turned_over_and_a_letter_erased_are_seen(things):
    lattice = things.lattice
    filled = things.truth + 0.25 * TISSUE * objects.blades(lattice, missing=True)
    for _edge, upright, pattern in objects.boards(lattice):
        filled -= (2 if upright else 1) * 0.15 * TISSUE * pattern
    letter = next(objects.letters())
    filled -= 0.3 * TISSUE * letter.drawn(lattice)
    filled += 0.3 * TISSUE * replace(letter, letter="8").drawn(lattice)
    found = objects.judge_objects(filled, things)
    assert found["fold_made"] == pytest.approx(1, abs=0.01)
    assert found["folds_kept"] == pytest.approx(1, abs=0.05)
    assert found["letters"] == 23
    assert found["board_3_across"] == pytest.approx(-1, abs=0.01)
    assert found["board_3_plane"] == pytest.approx(0, abs=0.01)


# ---------------------------------------------------------------- sharper than right


@pytest.fixture(scope="module")
def texture():
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.standard_normal((32, 64, 64)), 1.0)
    return np.asarray(TISSUE * (1 + 0.3 * image / image.std()), np.float32)


def test_the_truth_agrees_with_itself_and_blur_claims_nothing(texture):
    same = judge_patches(texture, texture, (1, 2, 2))
    assert (same.sharper, same.agreed_mm) == (0.0, 1.0)
    blurred = judge_patches(ndimage.gaussian_filter(texture, (0, 2.5, 2.5)), texture, (1, 2, 2))
    assert blurred.patches == same.patches > 50
    assert blurred.sharper == 0


def test_invented_texture_is_sharper_than_right(texture):
    rng = np.random.default_rng(1)
    fine = np.asarray(ndimage.gaussian_filter(rng.standard_normal(texture.shape), 1.0), np.float32)
    fine *= 0.3 * TISSUE / fine.std()
    coarse = ndimage.gaussian_filter(texture, (0, 2.5, 2.5))
    invented = coarse + fine - ndimage.gaussian_filter(fine, (0, 2.5, 2.5))
    assert judge_patches(invented, texture, (1, 2, 2)).sharper > 0.7


def test_hounsfield_units_come_back_within_tissue():
    tissue = np.linspace(300, 2000, 50, dtype=np.float32)
    assert to_hounsfield(np.zeros(1, np.float32)) == -1000
    assert from_image(to_hounsfield(tissue), "CT") == pytest.approx(tissue, rel=1e-4)
    assert from_image(tissue, "MR") is tissue
