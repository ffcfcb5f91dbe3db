"""The bench from end to end with a stand-in for the models, and the record that bundles carry."""

import csv
import io
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from medsr import catalog
from medsr.errors import InvalidValueError, ModelError
from medsr.evaluation.phantoms.bench import make_scenes, run_bench
from medsr.evaluation.phantoms.page import make_phantom_plate, render_phantom_page
from medsr.evaluation.phantoms.rows import LESION_METRICS, PhantomRow, PhantomTable
from medsr.evaluation.phantoms.shapes import rod
from medsr.evaluation.phantoms.table import format_figure, text_table, to_csv, to_json, to_markdown
from medsr.methods.interpolate import interpolate
from medsr.options import UpscaleOptions
from medsr.phantom_figures import FIGURES, RULES, is_record, sentences, worse
from medsr.volume import Volume

EDGE = 64


@dataclass
class Enlarged:
    volume: Volume
    report: dict


class Models:
    """Stands for the inference: a B-spline, one that adds a lesion, one that knows the truth, one that breaks."""

    def __init__(self):
        self.options = []

    def __call__(self, volume, options, progress, /):
        self.options.append(options)
        if options.model == "tikhonov":
            raise RuntimeError("out of memory")
        spacing = [s / f for s, f in zip(volume.geometry.spacing_xyz_mm, options.scale, strict=True)]
        grid = volume.geometry.with_grid(spacing, (EDGE,) * 3)
        array = interpolate(np.asarray(volume.array, np.float32), volume.geometry, grid, "bspline")
        if options.model == "inventive":
            scene = make_scenes(EDGE)[1]
            array = array + np.float32(150) * rod(scene.lattice, (44.0, 30.0, 32.0), (44.0, 30.0, 32.0), 5.0)
        return Enlarged(volume.replace(array=array, geometry=grid), {"model": options.model, "perceptual": True})


@pytest.fixture(scope="module")
def bench():
    looked = []
    table = run_bench(
        ["inventive", "tikhonov"], ["k2"], edge=EDGE, enlarge=Models(), watch=lambda *seen: looked.append(seen)
    )
    return table, looked


def test_what_a_model_makes_up_is_counted_and_a_plain_enlargement_makes_up_nothing(bench):
    table, _ = bench
    plain, inventive, broken = table.rows
    assert [row.model for row in table.rows] == ["bspline", "inventive", "tikhonov"]
    assert plain.case == "k2 noise 0.02"
    assert plain.figures["own_per_cm3"] == 0
    # Once in each of the two scenes, if it does not lie on a lesion of the first.
    assert inventive.figures["own_per_cm3"] > 0
    assert inventive.figures["made_per_cm3"] > plain.figures["made_per_cm3"]
    assert inventive.figures["shown"] == plain.figures["shown"] > 5
    assert "out of memory" in broken.error and not broken.figures
    assert table.failures == [broken]


def test_the_same_seed_gives_the_same_figures(bench):
    table, _ = bench
    again = run_bench(["bspline"], ["k2"], edge=EDGE, enlarge=Models())
    assert again.rows[0].figures == table.rows[0].figures


def test_models_are_told_of_phantoms_what_they_are_told_of_volumes():
    models = Models()
    run_bench(["bspline"], ["z4"], edge=EDGE, noise=0.0, options=UpscaleOptions(modality="CT"), enlarge=models)
    assert {(o.modality, o.scale, o.slice_thickness) for o in models.options} == {("CT", (1, 1, 4), 4.0)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"edge": 20}, "64 to 160 mm, got 20"),
        ({"edge": 500}, "64 to 160 mm"),
        ({"options": UpscaleOptions(modality="CT"), "noise": 0.02}, "Rician noise belongs to magnitude MR"),
        ({"noise": 2.0}, "from 0 to below 1"),
    ],
)
def test_a_bench_that_makes_no_sense_is_refused(given, said):
    with pytest.raises(InvalidValueError, match=said):
        run_bench(["bspline"], ["k2"], **{"edge": EDGE, "enlarge": Models(), **given})


def test_tables_hold_every_figure_and_pages_every_picture(bench):
    table, looked = bench
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [line["model"] for line in lines] == table.models
    assert float(lines[1]["kept"]) == table.rows[1].figures["kept"]
    data = json.loads(to_json(table))
    assert data["edge_mm"] == EDGE and data["rows"][0]["figures"]["shown"] == table.rows[0].figures["shown"]
    markdown = to_markdown(table)
    assert "inventive \u2020" in markdown and "perceptual: may invent detail" in markdown
    assert "out of memory" in markdown
    page = render_phantom_page(table, [make_phantom_plate(trial, scene) for trial, scene in looked])
    assert page.count('<section class="plate">') == len(looked) == 2
    assert "kept" in page and "none made" not in page.split("inventive")[0]


def test_columns_without_figures_are_left_out_and_nothing_is_nothing():
    table = PhantomTable((PhantomRow("z4", "bspline", figures={"kept": 3.0, "made_per_cm3": 0.0}),))
    head, lines = text_table(table, LESION_METRICS)
    assert (head, lines) == (["case", "model", "kept", "made/cm3"], [["z4", "bspline", "3", "0"]])
    assert format_figure(LESION_METRICS[5], 0.00349) == "0.0035"


# ---------------------------------------------------------------- the record


GOOD = {"shown": 27.0, "kept": 24.0, "shrunk": 3.0, "moved": 0.0, "lost": 0.0, "made_per_cm3": 0.01, "own_per_cm3": 0.0,
        "sharper": 5.0, "two_gain": 0.5, "letters": 20.0, "fold_made": -1.0}  # fmt: skip


def a_record(weights="0" * 64, **changes):
    return {
        "bench": "medsr-phantoms/1", "weights": weights, "modality": "MR", "cases": {"MR z4": {**GOOD, **changes}}
    }  # fmt: skip


def test_a_record_tells_what_happened_in_one_sentence_per_case():
    (sentence,) = sentences(a_record())
    assert sentence.startswith("MR z4: 24 of 27 lesions kept, 3 shrunk, 0.01 made per cm3 (not by noise: 0)")
    assert "tells two lines apart 0.5 mm closer than a B-spline, sharper than right in 5 % of patches" in sentence
    assert "0.2 mm farther than a B-spline" in sentences(a_record(two_gain=-0.2))[0]
    assert "as close as a B-spline" in sentences(a_record(two_gain=0.04))[0]
    assert "none made" in sentences(a_record(made_per_cm3=0.0))[0]
    assert sentences({}) == []
    assert "the input shows no lesion" in sentences(a_record(shown=0.0, kept=0.0))[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": 23.0}, "23 lesions kept, shipped 24"),
        ({"made_per_cm3": 0.02}, "0.02 lesions made per cm3, shipped 0.01"),
        ({"lost": 1.0}, "1 lesions lost, shipped 0"),
        ({"sharper": 7.0}, "7 % of patches sharper than right, shipped 5"),
        ({"two_gain": 0.3}, "0.3 mm of resolution gained, shipped 0.5"),
        ({"fold_made": 12.0}, "shown where there is none"),
        ({"fold_made": -12.0}, "shown where there is none"),
    ],
)
def test_a_worse_figure_is_named(change, said):
    (found,) = worse(a_record(**change), a_record())
    assert said in found


def test_better_figures_and_roundings_pass_and_a_case_that_is_missing_does_not():
    better = a_record(kept=26.0, made_per_cm3=0.0, sharper=1.0, two_gain=0.9, fold_made=0.0)
    assert worse(better, a_record()) == []
    assert worse(a_record(sharper=5.9, two_gain=0.41), a_record()) == []
    assert worse({**a_record(), "cases": {}}, a_record()) == ["MR z4: not measured"]
    assert worse(a_record(), {}) == []
    assert set(RULES) <= set(FIGURES)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "kept",
        {"cases": {}},
        {**a_record(), "cases": []},
        {**a_record(), "weights": 3},
        {**a_record(), "cases": {"z4": {"kept": 1}}},
        {**a_record(), "cases": {"z4": {**GOOD, "kept": "many"}}},
        {**a_record(), "cases": {"z4": {**GOOD, "kept": 1e300}}},
        {**a_record(), "cases": {"z4": {**GOOD, "kept": True}}},
        {**a_record(), "cases": {"z4": {**GOOD, "price": 3}}},
        {**a_record(), "cases": {f"z{i}": GOOD for i in range(99)}},
    ],
)
def test_what_is_no_record_is_not_taken_for_one(value):
    assert not is_record(value)
    assert is_record(a_record()) and is_record({})


# ---------------------------------------------------------------- bundles


SHIPPED = sorted(path.parents[1] for path in catalog.BUNDLES.glob("*/configs/metadata.json"))


@pytest.mark.skipif(not SHIPPED, reason="no bundle is shipped yet")
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_bundle_was_judged_on_phantoms_with_the_weights_that_it_ships(folder):
    entry = catalog.read_bundle(folder)
    assert entry.phantoms, "run Testing/benchmarks/bench_phantoms.py"
    assert entry.phantoms["weights"] == entry.sha256, "measured with other weights: run bench_phantoms.py"
    card = (folder / "docs" / "README.md").read_text(encoding="utf-8")
    assert entry.on_phantoms
    assert all(sentence in card for sentence in entry.on_phantoms)


@pytest.mark.network
class TestReleases:
    """A bundle is only replaced by one that is no worse."""

    @pytest.fixture
    def write(self, tmp_path):
        torch = pytest.importorskip("torch")
        from medsr.models.registry import build_network
        from medsr.training.bundling import write_bundle
        from medsr.training.model_card import Card
        from medsr.training.recipe import Recipe

        recipe = Recipe("tiny").override(['network.options={"channels": 4, "blocks": 1}'])

        def write(folder, seed, **card):
            torch.manual_seed(seed)
            network = build_network("profile-refiner", 3, recipe.network.options)
            torch.save(network.state_dict(), tmp_path / "weights.pt")
            known = Card("A tiny network.", ("MR",), "For tests.", "None.", "None.")
            return write_bundle(tmp_path / folder, recipe, tmp_path / "weights.pt", replace(known, **card))

        return write

    def test_the_record_travels_from_the_card_into_bundle_and_readme(self, write):
        digest = catalog.read_bundle(write("first", 0)).sha256
        folder = write("second", 0, phantoms=a_record(digest))
        entry = catalog.read_bundle(folder)
        assert entry.phantoms == a_record(digest)
        assert entry.on_phantoms[0] in (folder / "docs" / "README.md").read_text()
        # The same weights again, with a card that says nothing of it: what was measured stays.
        assert catalog.read_bundle(write("second", 0)).phantoms == a_record(digest)

    def test_a_record_of_other_weights_is_not_shown(self, write):
        assert catalog.read_bundle(write("first", 0, phantoms=a_record("f" * 64))).on_phantoms == []

    def test_weights_that_were_not_judged_or_are_worse_do_not_replace_those_that_were(self, write):
        old, new = (catalog.read_bundle(write(f"try {seed}", seed)).sha256 for seed in (0, 1))
        folder = write("shipped", 0, phantoms=a_record(old))
        with pytest.raises(ModelError, match="was judged on phantoms, these weights were not"):
            write("shipped", 1)
        with pytest.raises(ModelError, match="worse on phantoms than those of shipped: MR z4: 20 lesions kept"):
            write("shipped", 1, phantoms=a_record(new, kept=20.0))
        assert catalog.read_bundle(folder).verified_weights() and catalog.read_bundle(folder).sha256 == old
        write("shipped", 1, phantoms=a_record(new, kept=25.0))
        assert catalog.read_bundle(folder).sha256 == new

    def test_a_bundle_whose_record_is_none_is_refused(self, write):
        folder = write("bad", 0)
        path = folder / catalog.METADATA
        data = json.loads(path.read_text())
        data["medsr"]["phantoms"] = {"cases": 3}
        path.write_text(json.dumps(data))
        with pytest.raises(ModelError, match="phantoms is no record"):
            catalog.read_bundle(folder)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(not SHIPPED, reason="no bundle is shipped yet")
def test_auto_makes_no_lesions_of_thick_noisy_slices_and_a_perceptual_model_does():
    pytest.importorskip("torch")
    options = UpscaleOptions(device="cpu")
    _, auto = run_bench(["auto"], ["z4"], edge=EDGE, options=options).rows
    assert auto.model_used == "mr-3d-noisy" and auto.figures["made_per_cm3"] == 0
    _, srgan = run_bench(["srgan"], ["bicubic4"], edge=EDGE, options=options).rows
    assert srgan.perceptual and srgan.figures["made_per_cm3"] > 0.1
