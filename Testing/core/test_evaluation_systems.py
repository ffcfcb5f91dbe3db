"""What the evaluation needs for the published systems: their downscalings, colours, marks of caution, a distance."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr import metrics, write_volume
from medsr.catalog import PERCEPTUAL
from medsr.cli.main import main
from medsr.evaluation.page import render_page
from medsr.evaluation.plates import make_plate
from medsr.evaluation.protocols import CASES, degrade
from medsr.evaluation.rows import BICUBIC, METRICS, ORACLE, EvaluationTable, Row
from medsr.evaluation.run import evaluate
from medsr.evaluation.scoring import grey, score_image
from medsr.evaluation.tables import from_json, means_table, to_csv, to_json, to_markdown
from medsr.evaluation.yardsticks import ORACLE_SMOOTHNESS, bicubic
from medsr.physics.downscaling import downscale
from medsr.volume import Volume


def a_picture(shape=(1, 40, 48), seed=0):
    """Smooth random values from 0 to 200 on a dark ground, one slice."""
    noise = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 3, 3, 0)[: len(shape)])
    inside = np.zeros(shape, dtype=bool)
    inside[:, 5:-6, 6:-5] = True
    noise = (noise - noise.min()) / np.ptp(noise) * 180 + 20
    return Volume.from_array(np.where(inside, noise, 0).astype(np.float32)).replace(planar=True, modality="MR")


class Stub:
    """Stands for the inference: bicubic enlargement, reported as a model of caution or not."""

    def __init__(self, *cautious):
        self.cautious = cautious

    def __call__(self, volume, options, progress, /):
        factors = [round(f) for f in options.scale[::-1]]
        array = volume.array
        for axis, factor in enumerate(factors):
            array = np.repeat(array, factor, axis=axis)
        spacing = [s / f for s, f in zip(volume.geometry.spacing_xyz_mm, options.scale, strict=True)]
        grid = volume.geometry.with_grid(spacing, array.shape[2::-1])
        self.volume = volume.replace(array=array.astype(np.float32), geometry=grid)
        self.report = {"model": options.model, "perceptual": options.model in self.cautious}
        return self


# --- downscalings


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_measured])
def test_a_downscaled_case_is_the_downscaling(name):
    case = CASES[name]
    volume = Volume.from_array(np.random.default_rng(0).random((2, 48, 48), dtype=np.float32))
    reference, measured, acquisition = degrade(volume, case)
    factors = [round(f) for f in case.scale_xyz[::-1]]
    expected = downscale(reference.array.astype(np.float64), "bicubic", factors)
    np.testing.assert_allclose(measured.array, expected, atol=1e-6)
    np.testing.assert_allclose(acquisition.forward(reference.array), measured.array, atol=1e-5)
    # The faces of both grids coincide: the coarse voxel 0 lies in the middle of the fine voxels it stands for.
    centre = [(f - 1) / 2 for f in case.scale_xyz]
    np.testing.assert_allclose(measured.geometry.to_patient((0, 0, 0)), reference.geometry.to_patient(centre))


def test_the_oracle_knows_the_downscaling_and_not_the_profile():
    """The input is explained by deconvolution with the operator of the case, not by one with a profile as wide."""
    _, measured, acquisition = degrade(a_picture((1, 64, 64)), CASES["bicubic4"])
    profile = degrade(a_picture((1, 64, 64)), CASES["xy4"])[2]
    right = metrics.nrmse(acquisition.forward(acquisition.tikhonov(measured.array, 1e-4)), measured.array)
    wrong = metrics.nrmse(acquisition.forward(profile.tikhonov(measured.array, 1e-4)), measured.array)
    assert right < 1e-3
    assert wrong > 1e-2


def test_bicubic_repeats_a_ramp_exactly_inside():
    """Cubic convolution reproduces polynomials up to the second degree (Keys 1981), away from the ends."""
    _, _, acquisition = degrade(a_picture((1, 64, 64)), CASES["bicubic2"])
    x = np.arange(32) * 2 + 0.5
    coarse = np.broadcast_to(x**2, (1, 32, 32)).astype(np.float32)
    fine = bicubic(coarse, acquisition)
    assert fine.shape == (1, 64, 64)
    np.testing.assert_allclose(fine[0, 20, 6:-6], np.arange(64.0)[6:-6] ** 2, rtol=1e-5)


# --- colours


def test_colours_are_degraded_and_judged_together():
    volume = a_picture((1, 64, 64, 3))
    reference, measured, acquisition = degrade(volume, CASES["bicubic2"])
    assert measured.array.shape == (1, 32, 32, 3)
    one = degrade(volume.replace(array=volume.array[..., 1]), CASES["bicubic2"])[1]
    np.testing.assert_allclose(measured.array[..., 1], one.array, atol=1e-5)
    wrong = reference.array.copy()
    wrong[..., 2] += 3.0
    mask = metrics.foreground_mask(grey(reference.array))
    scores = score_image(wrong, reference.array, acquisition, measured.array, mask)
    span = np.ptp(reference.array)
    assert scores.psnr == pytest.approx(10 * np.log10(span**2 / 3.0), rel=1e-6)  # 9 in one of three colours
    assert scores.psnr_mask == pytest.approx(scores.psnr, rel=1e-6)
    assert scores.bias == pytest.approx(1.0, rel=1e-5)
    alone = [metrics.ssim(wrong[..., c], reference.array[..., c], span=span) for c in range(3)]
    assert alone[:2] == [1.0, 1.0]
    assert scores.ssim == pytest.approx(np.mean(alone))
    assert scores.redegraded > 0.005


def test_a_photograph_is_evaluated_and_shown():
    plates = []
    table = evaluate(
        {"photo": a_picture((1, 64, 64, 3))}, ["model", BICUBIC, ORACLE], ["bicubic4"], enlarge=Stub(),
        watch=lambda trial: plates.append(make_plate(trial)),
    )  # fmt: skip
    assert table.failures == []
    repeated, smooth, oracle = table
    assert repeated.psnr < smooth.psnr
    assert oracle.smoothness in ORACLE_SMOOTHNESS
    assert len(plates[0].views) == 2


# --- caution


@pytest.fixture(scope="module")
def a_cautious_table():
    volumes = {f"head {i}": a_picture((8, 40, 40), i) for i in range(2)}
    return evaluate(volumes, ["gan", "plain"], ["bicubic2"], enlarge=Stub("gan"))


def test_models_that_may_invent_are_marked_everywhere(a_cautious_table):
    assert a_cautious_table.perceptual == {"gan"}
    assert "| bicubic2 | gan † |" in (text := to_markdown(a_cautious_table))
    assert "| bicubic2 | plain |" in text
    assert PERCEPTUAL in text
    assert f"gan: {PERCEPTUAL}." in render_page(a_cautious_table)
    assert "True" in to_csv(a_cautious_table).splitlines()[1]
    assert from_json(to_json(a_cautious_table)).perceptual == {"gan"}


def test_nothing_is_marked_without_cause(a_cautious_table):
    plain = EvaluationTable(tuple(row for row in a_cautious_table if row.model == "plain"))
    assert "†" not in to_markdown(plain)
    assert PERCEPTUAL not in to_markdown(plain)
    assert PERCEPTUAL not in render_page(plain)


# --- perceptual distance


def test_the_distance_has_a_column_only_where_it_was_asked_for(a_cautious_table):
    column = METRICS["perceptual_distance"].label
    assert "texture-net" in column
    assert column not in means_table(a_cautious_table)[0]
    table = evaluate(
        {"a": a_picture()}, ["plain"], ["bicubic2"], enlarge=Stub(), distance=lambda result, reference: 0.25
    )
    assert column in means_table(table)[0]
    assert table.rows[0].perceptual_distance == 0.25
    assert from_json(to_json(table)).rows[0].perceptual_distance == 0.25


@pytest.mark.parametrize("slices", [1, 4])
def test_few_slices_have_a_foreground_without_holes(slices):
    picture = a_picture((slices, 40, 48)).array
    inside = picture > 0
    picture[:, 18:24, 20:28] = 0
    np.testing.assert_array_equal(metrics.foreground_mask(picture), inside)


@pytest.mark.network
def test_the_distance_grows_with_the_blur_and_looks_at_every_colour():
    torch = pytest.importorskip("torch")
    from medsr.evaluation.perceptual import TextureDistance
    from medsr.models.registry import build_features

    torch.manual_seed(0)
    distance = TextureDistance(build_features("texture-net", 2, {}))
    reference = np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32)
    blurred = [ndi.gaussian_filter(reference, (0, sigma, sigma, 0)) for sigma in (0.0, 0.5, 1.0)]
    found = [distance(image, reference) for image in blurred]
    assert found[0] == 0.0
    assert 0.0 < found[1] < found[2] < 4.0
    one = reference.copy()
    one[..., 1] = blurred[2][..., 1]
    alone = distance(blurred[2][..., 1], reference[..., 1])
    # The scale of intensities is that of all colours in one case and of one in the other.
    assert distance(one, reference) == pytest.approx(alone / 3, rel=0.02)


def test_the_command_says_what_the_distance_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("medsr.cli.evaluate.find_spec", lambda name: None)
    image = tmp_path / "image.nrrd"
    write_volume(a_picture((8, 40, 40)), image)
    command = ["evaluate", str(image), "--models", "bicubic", "--cases", "bicubic2", "--output", str(tmp_path / "out")]
    assert main([*command, "--perceptual"]) != 0
    assert "pip install 'medsr[network]'" in capsys.readouterr().err
    assert main(command) == 0
    assert "| bicubic2 | bicubic |" in (tmp_path / "out" / "table.md").read_text(encoding="utf-8")


@pytest.mark.network
def test_the_distance_does_not_depend_on_the_units():
    pytest.importorskip("torch")
    from medsr.evaluation.perceptual import TextureDistance
    from medsr.models.registry import build_features

    distance = TextureDistance(build_features("texture-net", 2, {}))
    image = a_picture((1, 40, 40)).array
    blurred = ndi.gaussian_filter(image, (0, 1, 1))
    assert distance(5 * blurred - 30, 5 * image - 30) == pytest.approx(distance(blurred, image), rel=1e-3)


@pytest.mark.network
@pytest.mark.parametrize("case", ["bicubic4", "bicubic2", "xy4"])
def test_a_system_is_evaluated_at_its_factor_and_at_others(tmp_path, case):
    """An untrained network that starts from the interpolated image: its bundle is asked for by folder."""
    torch = pytest.importorskip("torch")
    from medsr.models.registry import build_network
    from medsr.training.bundling import write_bundle
    from medsr.training.model_card import Card
    from medsr.training.recipe import Recipe
    from medsr.training.sections import NetworkRecipe

    options = {"channels": 1, "scale": 4, "features": 4, "blocks": 1, "batch_norm": False, "global_residual": True}
    recipe = Recipe("toy", "gan", network=NetworkRecipe("srresnet", 2, options))
    torch.save(build_network("srresnet", 2, options).state_dict(), tmp_path / "weights.pt")
    bundle = write_bundle(tmp_path / "toy", recipe, tmp_path / "weights.pt", Card.of_training(recipe))
    table = evaluate({"a": a_picture((2, 32, 48))}, [str(bundle), BICUBIC], [case])
    assert table.failures == []
    ours, cubic = table
    assert ours.perceptual
    assert ours.model_used == "toy"
    assert ours.psnr == pytest.approx(cubic.psnr, abs=3)


def test_models_without_a_row_for_a_case_have_no_line():
    rows = (Row("a", "x2", "one", psnr=30.0), Row("a", "x4", "two", psnr=28.0), Row("a", "x4", "three", error="no"))
    lines = means_table(EvaluationTable(rows))[1]
    assert [line[:2] for line in lines] == [["x2", "one"], ["x4", "two"], ["x4", "three"]]
