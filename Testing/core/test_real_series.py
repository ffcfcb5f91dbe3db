"""Judging by a second measured series: phantoms of one texture, seen by two scanners."""

import csv
import io
import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.errors import CancelledError, InputError, InvalidValueError, ModelError
from medsr.evaluation.blocks import Blocks, Estimate
from medsr.evaluation.detail import BANDS, COARSE, filtered, make_lattice, resolves
from medsr.evaluation.real_choice import choose_test
from medsr.evaluation.real_page import make_real_plate, render_real_page
from medsr.evaluation.real_rows import rows_table, to_csv, to_json, to_markdown
from medsr.evaluation.real_series import judge
from medsr.evaluation.registration import RigidFit, register
from medsr.evaluation.slice_width import fit_slice_width
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.options import UpscaleOptions
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume

SPACING = 0.75
SIZE = 88
FACTOR = 4
GRID = Geometry((SIZE,) * 3, (SPACING,) * 3, (-33.0, -20.0, 10.0))


def texture(seed, shape=(SIZE,) * 3):
    """Structure of all sizes, as anatomy has it: power falls with the third power of the frequency."""
    noise = np.fft.rfftn(np.random.default_rng(seed).standard_normal(shape))
    frequency = np.sqrt(sum(np.square(f) for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    law = np.maximum(frequency, 1 / max(shape)) ** -1.5
    array = np.fft.irfftn(noise * law[..., : shape[2] // 2 + 1], shape, axes=(0, 1, 2))
    return (500 + 100 * array / array.std()).astype(np.float32)


def rotation(degrees_xyz):
    matrix = np.eye(3)
    for axis, degrees in enumerate(degrees_xyz):
        turn, (i, j) = np.eye(3), [k for k in range(3) if k != axis]
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        matrix = matrix @ turn
    return matrix


def movement(shift_mm, degrees_xyz, centre):
    """Turn around `centre`, then shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(degrees_xyz)
    matrix[:3, 3] = np.array(centre) - matrix[:3, :3] @ np.array(centre) + np.array(shift_mm)
    return matrix


CENTRE = GRID.to_patient((SIZE - 1) / 2 * np.ones(3))
MOVED = movement((1.6, -1.1, 2.2), (2.0, -1.5, 1.0), CENTRE)


def stack(array, axis, factor=FACTOR, geometry=GRID, profile=None, **attributes):
    """The slices that a scanner makes of a fine volume along array axis `axis`."""
    factors = [factor if a == axis else 1 for a in range(3)]
    acquisition = Acquisition.from_factors(array.shape, factors, profile)
    spacing = [s * f for s, f in zip(geometry.spacing_xyz_mm, factors[::-1], strict=True)]
    grid = geometry.with_grid(spacing, acquisition.coarse_shape[::-1])
    coarse = acquisition.forward(array.astype(np.float64)).astype(np.float32)
    return Volume(coarse, grid, **{"modality": "MR", **attributes})


@dataclass
class Enlarged:
    volume: Volume
    report: dict


class Enlarger:
    """Stands for the inference: knows the truth, and spoils it as the name of the model says."""

    def __init__(self, truth):
        self.truth = truth
        self.told = []

    def __call__(self, volume, options, progress, /, *, reference):
        progress.check()
        self.told.append(options)
        if options.model == "broken":
            raise RuntimeError("out of memory")
        array, blurred = self.truth.array, ndi.gaussian_filter1d(self.truth.array, 1.5, axis=0)
        detail = texture(99, array.shape)
        detail = detail - ndi.gaussian_filter(detail, 1.5)
        lost = array - ndi.gaussian_filter(array, 1.5)
        made = {
            "bspline": lambda: interpolate(volume.array, volume.geometry, self.truth.geometry, "bspline"),
            "truth": lambda: array,
            "blurred": lambda: blurred,
            "invented": lambda: blurred + detail * (lost.std() / detail.std()),
            "brighter": lambda: array + 10,
        }[options.model]().astype(np.float32)
        result = Volume(made, self.truth.geometry)
        if reference is not None:
            result = Volume(interpolate(made, result.geometry, reference, "linear"), reference)
        width = {"axis": "z", "profile": "gaussian", "width_mm": 3.0, "assumed": False}
        return Enlarged(result, {"model": options.model, "acquisition": [width]})


@pytest.fixture(scope="module")
def seen_twice():
    """A texture, its axial stack, and a sagittal stack that was acquired after the patient had moved."""
    truth = texture(1)
    moved = Geometry.from_affine(MOVED @ GRID.affine, GRID.size_xyz)
    later = interpolate(truth, GRID, moved, "bspline", outside=500.0)
    return Volume(truth, GRID), stack(truth, 0), stack(later, 2)


@pytest.fixture(scope="module")
def confirmed(seen_twice):
    truth, axial, sagittal = seen_twice
    looks = []
    models = ["bspline", "truth", "blurred", "invented", "broken"]
    table = judge(
        axial, sagittal, models, names=("axial", "sagittal"), enlarge=Enlarger(truth), watch=looks.append
    )  # fmt: skip
    return table, looks[0]


# --- registration


def test_the_movement_of_a_patient_is_found(seen_twice):
    truth, axial, sagittal = seen_twice
    plain = Enlarger(truth)(axial, UpscaleOptions(model="bspline"), Progress(), reference=None).volume
    fit = register(sagittal, plain)
    corners = GRID.to_patient(np.array([(0, 0, 0), (SIZE, 0, 0), (0, SIZE, 0), (0, 0, SIZE), (SIZE,) * 3]))
    found = corners @ fit.matrix[:3, :3].T + fit.matrix[:3, 3]
    true = corners @ MOVED[:3, :3].T + MOVED[:3, 3]
    # A tenth of the shortest period that is judged, also at the corners.
    assert np.abs(found - true).max() < 0.3
    again = register(sagittal, plain)
    assert np.array_equal(fit.matrix, again.matrix)


def test_an_organ_that_moves_by_itself_does_not_lead_astray(seen_twice):
    """As a bladder that fills: large, bright, and elsewhere in the second series."""
    truth, axial, sagittal = seen_twice

    def with_organ(volume, centre):
        index = np.stack(np.meshgrid(*map(np.arange, volume.geometry.size_xyz), indexing="ij"), axis=-1)
        distance = np.linalg.norm(volume.geometry.to_patient(index) - centre, axis=-1)
        organ = 880 / (1 + np.exp((distance - 12) / 1.0))
        return volume.replace(array=(volume.array + organ.transpose(2, 1, 0)).astype(np.float32))

    axial, sagittal = with_organ(axial, CENTRE), with_organ(sagittal, CENTRE + np.array([0, 6, -6]))
    fit = register(sagittal, Enlarger(truth)(axial, UpscaleOptions(model="bspline"), Progress(), reference=None).volume)
    corners = GRID.to_patient(np.array([(0, 0, 0), (SIZE, 0, 0), (0, SIZE, 0), (0, 0, SIZE), (SIZE,) * 3]))
    found, true = (corners @ m[:3, :3].T + m[:3, 3] for m in (fit.matrix, MOVED))
    assert np.linalg.norm(found - true, axis=1).max() < 0.5


def test_a_registration_can_be_stopped(seen_twice):
    _truth, axial, sagittal = seen_twice

    def stop():
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        register(sagittal, axial, stop)


def test_a_movement_is_told_at_its_centre():
    fit = RigidFit(movement((3, 0, 4), (0, 0, 30), (10.0, 20.0, 30.0)), (10.0, 20.0, 30.0))
    assert fit.shift_mm == pytest.approx(5)
    assert fit.degrees == pytest.approx(30)
    assert fit.is_far
    assert not RigidFit(movement((3, 0, 4), (0, 0, 3), (10.0, 20.0, 30.0)), (10.0, 20.0, 30.0)).is_far
    assert fit.moved(GRID).to_patient(GRID.to_index((10.0, 20.0, 30.0))) == pytest.approx((13, 20, 34))


# --- the lattice, the bands, the blocks


def test_a_stack_that_is_not_oblique_is_read_at_its_own_pixels(seen_twice):
    _truth, axial, sagittal = seen_twice
    lattice = make_lattice(axial.geometry, sagittal.geometry, 2, 0, 3.0)
    assert lattice.aligned
    assert lattice.geometry.spacing_xyz_mm == pytest.approx((0.75, 0.75, 3.0))
    read = lattice.read(sagittal)
    # Lattice: z across the sagittal slices (x of the stack), x along the axial normal (z of the stack).
    first = sagittal.geometry.to_index(lattice.geometry.to_patient((0, 0, 0)))
    index = np.rint(first).astype(int)
    step = np.sign(sagittal.geometry.to_index(lattice.geometry.to_patient((0, 1, 0))) - first).astype(int)
    assert read[0, 5, 7] == pytest.approx(sagittal.array[index[2] + 7, index[1] + 5 * step[1], index[0]], abs=0.05)


def test_an_oblique_stack_is_read_along_the_slice_axis():
    axial = Geometry((60, 60, 20), (1, 1, 4))
    direction = rotation((25, 0, 0)) @ np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])
    sagittal = Geometry((80, 80, 12), (0.8, 0.8, 4), (50, -10, 60), tuple(direction.ravel()))
    lattice = make_lattice(axial, sagittal, 2, 2, 4.0)
    assert not lattice.aligned
    axes = np.array(lattice.geometry.direction).reshape(3, 3)
    assert abs(axes[2, 0]) == pytest.approx(1)
    assert axes[:, 2] == pytest.approx(direction[:, 2])
    # Only what lies between the outermost slices, 6 mm from either end of a line at least.
    heights = lattice.geometry.to_patient(np.argwhere(lattice.kept)[:, ::-1])[:, 2]
    assert heights.min() >= 6 - 1e-6
    assert heights.max() <= 76 - 6 + 1e-6


def test_seeing_is_averaging_over_the_slice_and_reading(seen_twice):
    truth, axial, _ = seen_twice
    sagittal = stack(truth.array, 2)
    lattice = make_lattice(axial.geometry, sagittal.geometry, 2, 0, FACTOR * SPACING)
    seen, measured = lattice.see(truth), lattice.read(sagittal)
    assert np.abs(seen - measured)[lattice.kept].max() < 0.01 * measured[lattice.kept].std()


@pytest.mark.parametrize("period", [2.4, 4.2, 9.0, 30.0])
def test_a_wave_passes_its_own_band_only(seen_twice, period):
    _truth, axial, sagittal = seen_twice
    lattice = make_lattice(axial.geometry, sagittal.geometry, 2, 0, 3.0)
    size = lattice.geometry.size_xyz[0]
    # A whole number of half periods, as the lines are continued by their mirror image.
    half = round(2 * size * SPACING / period)
    wave = np.cos(np.pi * half * (np.arange(size) + 0.5) / size).astype(np.float32)
    image = np.broadcast_to(wave, lattice.kept.shape)
    for band in (COARSE, *BANDS):
        left = np.abs(filtered(image, lattice, band)[lattice.kept]).max() / np.abs(image[lattice.kept]).max()
        assert left == pytest.approx(1.0 if band.shortest_mm < period < band.longest_mm else 0.0, abs=0.1)


def test_pixels_too_coarse_for_a_band_do_not_judge_it(seen_twice):
    _truth, axial, sagittal = seen_twice
    fine = make_lattice(axial.geometry, sagittal.geometry, 2, 0, 3.0)
    coarse = replace(fine, geometry=fine.geometry.with_grid((1.2, 1.2, 3.0), fine.geometry.size_xyz))
    assert [resolves(fine, band) for band in BANDS] == [True, True, True]
    assert [resolves(coarse, band) for band in BANDS] == [True, True, False]


def test_moments_give_the_correlation_and_blocks_its_interval():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((8, 30, 40))
    b = 0.5 * a + rng.standard_normal(a.shape)
    kept = rng.random(a.shape) < 0.7
    blocks = Blocks.of(kept, (4.0, 4.0, 5.0))
    assert len(blocks) == 8 * 6 * 2
    moments = blocks.moments(a, b)
    assert moments.correlation == pytest.approx(np.corrcoef(a[kept], b[kept])[0, 1])
    assert moments.amplitude == pytest.approx(a[kept].std() / b[kept].std())
    found = Estimate.of(moments.correlation, moments.resampled)
    # Independent pixels: the textbook's standard error.
    assert found.high - found.low == pytest.approx(4 * (1 - found.value**2) / np.sqrt(kept.sum()), rel=0.3)
    assert Estimate.of(0.5, Blocks.of(kept, (0.1, 0.1, 0.1)).moments(a, b).resampled) == Estimate(0.5)


# --- detail


def test_detail_that_is_there_is_confirmed_and_invented_detail_is_not(confirmed):
    table, _ = confirmed
    assert table.test.kind == "detail"
    figures = {row.model: row.figures for row in table.rows}
    for band in ("detail_6_12", "detail_3_6", "detail_2_3"):
        r = {model: found[band].value for model, found in figures.items() if found}
        assert r["truth"] > 0.93
        assert r["truth"] > r["blurred"] >= r["invented"]
    assert figures["invented"]["detail_3_6"].value < 0.8 * figures["truth"]["detail_3_6"].value
    assert figures["bspline"]["detail_3_6"].value < 0.5 * figures["truth"]["detail_3_6"].value
    assert figures["truth"]["coarse"].value > 0.98


def test_ratios_are_to_bspline_and_have_intervals(confirmed):
    table, _ = confirmed
    rows = {row.model: row for row in table.rows}
    ours, base = rows["truth"].figures, rows["bspline"].figures
    assert base["detail_6_12_ratio"] == Estimate(1.0, 1.0, 1.0)
    found = ours["detail_6_12_ratio"]
    assert found.value == pytest.approx(ours["detail_6_12"].value / base["detail_6_12"].value)
    assert found.low < found.value < found.high
    # Nothing is divided by a correlation that is none.
    if base["detail_2_3"].low <= 0.02:
        assert "detail_2_3_ratio" not in ours


def test_amplitude_tells_too_weak_from_right(confirmed):
    rows = {row.model: row.figures for row in confirmed[0].rows}
    assert rows["truth"]["detail_3_6_amplitude"].value == pytest.approx(1.0, abs=0.1)
    assert rows["bspline"]["detail_3_6_amplitude"].value < 0.5


def test_the_width_of_a_profile_shows_in_the_amplitude_rather_than_in_the_correlation():
    _truth, thick, sagittal = a_small_pair()
    noise = np.random.default_rng(0).normal(0, 0.1 * thick.array.std(), thick.array.shape).astype(np.float32)
    thick = thick.replace(array=thick.array + noise)
    narrow, true = judge(thick, sagittal, ["tikhonov"], profiles=["gaussian:1", "gaussian:3"]).rows
    r, amplitude = ([row.figures[n].value for row in (narrow, true)] for n in ("detail_6_12", "detail_6_12_amplitude"))
    assert r[1] == pytest.approx(r[0], rel=0.05)
    assert amplitude[1] > 1.25 * amplitude[0]
    assert abs(amplitude[1] - 1) < abs(amplitude[0] - 1)


def test_the_movement_and_the_pixels_are_told(confirmed):
    table, _ = confirmed
    assert table.fit.shift_mm == pytest.approx(np.linalg.norm((1.6, -1.1, 2.2)), abs=0.3)
    data = json.loads(to_json(table))
    assert data["pixels"] > 10_000
    assert data["movement"]["degrees"] == pytest.approx(2.7, abs=0.3)
    assert "moved to fit: shift of" in to_markdown(table)


def test_a_model_that_fails_costs_no_other_its_figures(confirmed):
    table, _ = confirmed
    assert [row.model for row in table.failures] == ["broken"]
    assert "RuntimeError: out of memory" in to_markdown(table)
    lines = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert lines[-1]["detail_3_6"] == ""
    assert float(lines[1]["detail_3_6_low"]) < float(lines[1]["detail_3_6"]) < float(lines[1]["detail_3_6_high"])


def test_the_page_shows_what_was_compared(confirmed):
    table, look = confirmed
    plate = make_real_plate(look)
    assert plate.columns == ("reference", "input", "bspline", "truth", "blurred", "invented")
    assert [view.title for view in plate.views] == ["as seen", "6 to 12 mm", "3 to 6 mm", "2 to 3 mm"]
    page = render_real_page(table, plate)
    assert page.count("data:image/png") == 6 * 4
    assert "axial, judged by sagittal" in page
    assert 'src="http' not in page


def test_every_profile_of_the_slice_axis_is_a_row():
    truth, axial, sagittal = a_small_pair()
    enlarge = Enlarger(truth)
    table = judge(axial, sagittal, ["bspline", "truth"], profiles=["auto", "gaussian:2.2"], enlarge=enlarge)
    assert [row.label for row in table.rows] == ["bspline", "truth", "truth gaussian:2.2"]
    assert [options.profile for options in enlarge.told] == ["auto", "auto", "auto,auto,gaussian:2.2"]
    assert all(options.isotropic for options in enlarge.told)
    assert rows_table(table)[1][1][1] == "gaussian 3 mm"


def test_interpolation_is_compared_without_being_asked_for():
    truth, axial, sagittal = a_small_pair()
    enlarge = Enlarger(truth)
    table = judge(axial, sagittal, ["truth"], enlarge=enlarge)
    assert [options.model for options in enlarge.told] == ["bspline", "truth"]
    assert [row.model for row in table.rows] == ["truth"]
    assert table.rows[0].figures["detail_6_12_ratio"].value > 1


@pytest.mark.parametrize("width", [0.6, 1.0, 1.2])
def test_the_width_of_slices_is_read_from_the_other_series(width):
    """Also where both are noisy, and of slices that are narrower or wider than their distance."""
    truth = texture(5)
    rng = np.random.default_rng(0)
    thick, other = (stack(truth, axis, profile=Profile("gaussian", w)) for axis, w in ((0, width), (2, 1.0)))
    thick, other = (
        v.replace(array=v.array + rng.normal(0, 10, v.array.shape).astype(np.float32)) for v in (thick, other)
    )
    lattice = make_lattice(thick.geometry, other.geometry, 2, 0, 3.0)
    plain = Volume(interpolate(thick.array, thick.geometry, GRID, "bspline"), GRID)
    found = fit_slice_width(thick.geometry, 2, lattice.see(plain), lattice.read(other), lattice)
    assert found.value == pytest.approx(width * 3.0, rel=0.1)
    assert found.low < found.value < found.high


def test_the_width_of_slices_is_told(confirmed):
    table, _ = confirmed
    assert table.slice_width_mm.value == pytest.approx(3.0, rel=0.1)
    assert json.loads(to_json(table))["slice_width_mm"]["value"] == pytest.approx(table.slice_width_mm.value, rel=1e-4)
    assert "slices of axial are like a Gaussian of" in to_markdown(table)


# --- difference


@pytest.fixture(scope="module")
def thin_and_thick():
    """Two reconstructions of one scan; the thin one is the truth."""
    array = ndi.gaussian_filter(texture(3, (48, 40, 44)), 1.5) - 500
    grid = Geometry((44, 40, 48), (1, 1, 1), (5, 6, 7))
    return Volume(array, grid, modality="CT"), stack(array, 0, geometry=grid, profile=Profile("box"), modality="CT")


def test_a_parallel_finer_series_is_the_truth(thin_and_thick):
    thin, thick = thin_and_thick
    enlarge = Enlarger(thin)
    table = judge(thick, thin, ["bspline", "truth", "brighter"], enlarge=enlarge)
    assert table.test.kind == "difference"
    assert table.unit == "HU"
    figures = {row.model: row.figures for row in table.rows}
    # Between the centres of the outermost slices: two voxels less at either end.
    assert table.pixels == 44 * 40 * 44
    inside = thin.array[2:-2]
    plain = interpolate(thick.array, thick.geometry, thin.geometry, "bspline")[2:-2]
    rmse = np.sqrt(np.mean(np.square(plain.astype(float) - inside)))
    assert figures["bspline"]["rmse"].value == pytest.approx(rmse, rel=1e-4)
    assert figures["brighter"]["rmse"].value == pytest.approx(10, rel=1e-4)
    assert figures["brighter"]["bias"].value == pytest.approx(10, rel=1e-4)
    assert figures["brighter"]["rmse_ratio"].value == pytest.approx(10 / rmse, rel=1e-4)
    assert figures["brighter"]["psnr"].value == pytest.approx(20 * np.log10(np.ptp(inside) / 10), rel=1e-4)
    assert figures["truth"]["rmse"].value == pytest.approx(0, abs=1e-3)
    assert all(options.reference and not options.isotropic for options in enlarge.told)
    assert table.warnings == ()


def test_the_difference_has_a_page_and_tables(thin_and_thick):
    thin, thick = thin_and_thick
    looks = []
    table = judge(thick, thin, ["bspline", "truth"], enlarge=Enlarger(thin), watch=looks.append)
    plate = make_real_plate(looks[0])
    assert plate.columns == ("reference", "input", "bspline", "truth")
    assert "RMSE HU" in render_real_page(table, plate)
    assert "Infinity" not in to_json(table)
    assert next(csv.DictReader(io.StringIO(to_csv(table))))["test"] == "difference"


def test_the_real_inference_meets_the_grid_of_the_finer_series(thin_and_thick):
    thin, thick = thin_and_thick
    table = judge(thick, thin, ["bspline", "tikhonov"], profiles=["box:4"])
    rows = {row.label: row for row in table.rows}
    assert rows["tikhonov box:4"].error == ""
    assert rows["tikhonov box:4"].taken == "box 4 mm"
    assert rows["tikhonov box:4"].figures["rmse_ratio"].value < 1


def test_brightness_of_mr_is_warned_of(thin_and_thick):
    thin, thick = (replace(volume, modality="MR") for volume in thin_and_thick)
    # Of one spacing: slices of 2 mm against slices of 4 mm.
    thin = stack(thin.array, 0, factor=2, geometry=thin.geometry)
    assert "brightness" in judge(thick, thin, ["bspline"]).warnings[0]


# --- which test


def axial(**changes):
    return a_series((40, 40, 12), (1, 1, 4), **changes)


def a_series(size, spacing, degrees=(0, 0, 0), origin=(0, 0, 0), **attributes):
    geometry = Geometry(size, spacing, origin, tuple(rotation(degrees).ravel()))
    return Volume(np.zeros(geometry.shape_zyx, np.float32), geometry, **{"modality": "MR", **attributes})


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (a_series((40, 40, 12), (1, 1, 4), (90, 0, 0)), "detail"),
        (a_series((40, 40, 12), (1, 1, 4), (0, 35, 0)), "detail"),
        (a_series((12, 40, 40), (4, 1, 1)), "detail"),
        (a_series((40, 40, 40), (1, 1, 1)), "detail"),
        (a_series((40, 40, 24), (1, 1, 2)), "difference"),
        (a_series((40, 40, 24), (1, 1, 2), (0, 5, 0)), "difference"),
    ],
)
def test_the_geometry_decides_the_test(other, kind):
    test = choose_test(axial(), other)
    assert test.kind == kind
    assert test.across == 2
    assert "slices" in test.reason


def test_a_fine_ct_is_taken_as_the_same_scan():
    fine = a_series((40, 40, 40), (1, 1, 1), modality="CT")
    assert choose_test(axial(modality="CT"), fine).kind == "difference"
    assert choose_test(axial(modality="CT"), a_series((40,) * 3, (1, 1, 1), (0, 45, 0), modality="CT")).kind == "detail"


def test_the_stated_thickness_counts():
    facts = Facts((Fact("thickness_mm", 3, "header", "z"),))
    assert choose_test(axial(), a_series((40, 40, 12), (1, 1, 4), (90, 0, 0), facts=facts)).other_thickness_mm == 3
    assert choose_test(axial(), a_series((40, 40, 12), (1, 1, 4), (90, 0, 0))).other_thickness_mm == 4
    # Thick slices that overlap are not finer.
    overlapping = a_series((40, 40, 24), (1, 1, 2), facts=Facts((Fact("thickness_mm", 4, "header", "z"),)))
    with pytest.raises(InputError, match="not finer"):
        choose_test(axial(), overlapping)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (axial(), "not finer: 4 mm against 4 mm"),
        (a_series((40, 40, 24), (1, 1, 2), (0, 20, 0)), "inclined by 20 degrees"),
        (a_series((40, 40, 12), (5, 5, 7), (90, 0, 0)), "pixels of the other series are 5 mm"),
        (a_series((40, 40, 1), (1, 1, 4)), "at least 6 slices"),
        (a_series((40, 40, 24), (1, 1, 2), modality="CT"), "MR, the other CT"),
        (replace(axial(), array=np.zeros((12, 40, 40, 3), np.float32)), "3 channels"),
    ],
)
def test_series_that_allow_no_test_are_refused(other, words):
    with pytest.raises(InputError, match=words):
        choose_test(axial(), other)


@pytest.mark.parametrize("far", [(500, 0, 0), (0, 0, 120)])
def test_series_that_do_not_meet_are_refused(seen_twice, thin_and_thick, far):
    truth, thick, sagittal = seen_twice
    away = Geometry.from_affine(movement(far, (0, 0, 0), CENTRE) @ sagittal.geometry.affine, sagittal.geometry.size_xyz)
    with pytest.raises(InputError, match=r"no field in common|well inside both"):
        judge(thick, sagittal.replace(geometry=away), ["truth"], enlarge=Enlarger(truth))
    thin, thick = thin_and_thick
    away = Geometry.from_affine(movement(far, (0, 0, 0), CENTRE) @ thin.geometry.affine, thin.geometry.size_xyz)
    with pytest.raises(InputError, match="no field in common"):
        judge(thick, thin.replace(geometry=away), ["truth"], enlarge=Enlarger(thin))


def test_two_series_of_different_things_are_refused():
    truth, thick, _ = a_small_pair()
    stranger = stack(texture(8, truth.array.shape), 2, geometry=truth.geometry)
    with pytest.raises(InputError, match=r"do not show the same|degrees are believed"):
        judge(thick, stranger, ["truth"], enlarge=Enlarger(truth))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"models": []}, "at least one model"),
        ({"models": ["tikhonov-oracle"]}, "simulated cases only"),
        ({"profiles": ["gaussian,kspace,box"]}, "slice axis alone"),
        ({"profiles": ["gaussian:-2"]}, "A profile looks like"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, words):
    truth, thick, sagittal = a_small_pair()
    with pytest.raises(InvalidValueError, match=words):
        judge(thick, sagittal, **{"models": ["truth"], "enlarge": Enlarger(truth), **arguments})


def test_nothing_is_judged_without_the_baseline():
    _truth, thick, sagittal = a_small_pair()

    def enlarge(volume, options, progress, /, *, reference):
        raise RuntimeError("no memory")

    with pytest.raises(ModelError, match="no memory"):
        judge(thick, sagittal, ["truth"], enlarge=enlarge)


def a_small_pair():
    """As `seen_twice`, smaller and without movement."""
    grid = Geometry((56, 56, 56), (SPACING,) * 3)
    array = texture(2, grid.shape_zyx)
    return Volume(array, grid), stack(array, 0, geometry=grid), stack(array, 2, geometry=grid)
