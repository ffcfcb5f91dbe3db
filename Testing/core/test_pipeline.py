"""The main job on phantoms: world coordinates, intensities, refusals."""

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage as ndi

import medsr
from medsr import catalog
from medsr.catalog import BUILT_IN, CatalogEntry, load_catalog
from medsr.errors import InputError, InvalidValueError, MissingDependencyError, ModelError, UnknownNameError
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.jobs import Progress, WarningEvent
from medsr.options import UpscaleOptions
from medsr.physics.downscaling import downscale
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MODELS = [entry.name for entry in load_catalog().values() if not entry.scales]
"""Those that serve any grid; networks with a factor of their own have tests of their own."""


def needs_torch(name):
    return load_catalog()[name].needs_torch


@pytest.fixture(params=MODELS)
def model(request):
    if needs_torch(request.param):
        pytest.importorskip("torch")
    return request.param


def oblique_direction():
    c, s = np.cos(0.4), np.sin(0.4)
    around_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(-0.3), np.sin(-0.3)
    around_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return tuple((around_z @ around_x).ravel())


LIMIT_MM = 0.04
"""How far a network may move a blob: less than a tenth of the finest voxel in these tests (0.5 mm)."""

BLOBS_MM = np.array([[11.0, 12.0, 12.0], [23.0, 20.0, 24.0]])


def blob_phantom(size=(34, 32, 18), spacing=(1.0, 1.0, 2.0), model="linear"):
    """Smooth blobs at known places of the grid's own millimetres, on an oblique grid; with their patient positions."""
    geometry = Geometry(size, spacing, (-31.0, 12.0, 55.0), oblique_direction())
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(size[::-1], spacing[::-1], strict=True)], indexing="ij")
    array = np.zeros(geometry.shape_zyx, dtype=np.float32)
    for bx, by, bz in BLOBS_MM:
        array += 1000 * np.exp(-((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2) / (2 * 2.5**2))
    return Volume(array, geometry, modality=load_catalog()[model].modalities[0]), geometry.to_patient(
        BLOBS_MM / np.array(spacing)
    )


def centroid(volume, near):
    """Intensity-weighted patient position of the blob around `near`."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in volume.geometry.size_xyz], indexing="ij"), -1)
    points = volume.geometry.to_patient(grid)
    weights = volume.array.transpose(2, 1, 0).astype(float) * (np.linalg.norm(points - near, axis=-1) < 6.5)
    return (points * weights[..., None]).sum((0, 1, 2)) / weights.sum()


@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 1, 3.7), (2, 1, 1)], ids=str)
def test_blobs_stay_where_they_are_in_the_patient(model, scale):
    volume, blobs = blob_phantom(model=model)
    # Told, since blobs have no detail from which a profile could be read.
    options = UpscaleOptions(scale=scale, model=model, device="cpu", profile="gaussian")
    result = super_resolve(volume, options)
    assert result.volume.geometry.size_xyz == tuple(
        int(n * f + 0.5) for n, f in zip(volume.geometry.size_xyz, scale, strict=True)
    )
    for blob in blobs:
        assert np.linalg.norm(centroid(result.volume, blob) - centroid(volume, blob)) < LIMIT_MM


def test_a_shift_of_a_tenth_voxel_would_be_noticed():
    volume, blobs = blob_phantom()
    result = super_resolve(volume, UpscaleOptions(scale=2, model="bspline"))
    moved = result.volume.geometry.with_grid(result.volume.geometry.spacing_xyz_mm, result.volume.geometry.size_xyz)
    moved = moved.cropped((0, 0, 0), moved.size_xyz)
    shifted = Geometry(moved.size_xyz, moved.spacing_xyz_mm, tuple(moved.to_patient((0.1, 0, 0))), moved.direction)
    wrong = result.volume.replace(geometry=shifted)
    assert np.linalg.norm(centroid(wrong, blobs[0]) - centroid(volume, blobs[0])) > LIMIT_MM


def textured(shape=(24, 40, 36), seed=0):
    rng = np.random.default_rng(seed)
    coarse = ndi.gaussian_filter(rng.random(shape), 1.5)
    return ((coarse - coarse.min()) / np.ptp(coarse) * 900 + 20).astype(np.int16)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "uint8", "int32", "float32", "float64"])
def test_voxel_type_comes_back(dtype):
    array = (textured() / 4).astype(dtype)
    result = medsr.super_resolve(array, scale=2, model="tikhonov")
    assert result.volume.array.dtype == dtype
    assert result.volume.array.shape == (48, 80, 72)
    floated = medsr.super_resolve(array, scale=2, model="tikhonov", dtype="float32").volume.array
    assert floated.dtype == np.float32
    if dtype != "float64":
        whole = dtype[0] in "iu"
        expected = np.clip(np.rint(floated), np.iinfo(dtype).min, np.iinfo(dtype).max) if whole else floated
        np.testing.assert_allclose(result.volume.array, expected, atol=0.5)


def test_hounsfield_units_stay_hounsfield_units(model):
    if "CT" not in load_catalog()[model].modalities:
        pytest.skip(f"{model} is not for CT")
    array = np.full((24, 36, 36), -1000, np.int16)
    array[5:19, 7:29, 7:29] = 40
    array[10:14, 20:26, 20:26] = 900
    array += np.random.default_rng(4).normal(0, 8, array.shape).astype(np.int16)
    volume = Volume.from_array(array, np.diag([1, 1, 3, 1.0])).replace(modality="CT")
    result = super_resolve(volume, UpscaleOptions(model=model, device="cpu"))
    assert result.volume.array.dtype == np.int16
    fine = result.volume.array
    # Deep inside each region, away from every edge.
    assert abs(fine[34:38, 13:16, 13:16].mean() - 40) < 10
    assert abs(fine[:4, 1:4, 1:4].mean() + 1000) < 10


def test_input_type_of_any_kind_gives_the_same(tmp_path):
    array = textured()
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] = (3, -4, 5)
    volume = Volume.from_array(array, affine)
    image = volume.to_sitk()
    path = tmp_path / "in.nrrd"
    sitk.WriteImage(image, str(path))
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    results = [
        medsr.super_resolve(volume, model="bspline"),
        medsr.super_resolve(image, model="bspline"),
        medsr.super_resolve(str(path), model="bspline"),
        medsr.super_resolve(path, model="bspline"),
        medsr.super_resolve(array, affine=affine, model="bspline"),
        medsr.super_resolve(array, affine=ras, space="RAS", model="bspline"),
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.volume.array, results[0].volume.array)
        assert result.volume.geometry.is_same_as(results[0].volume.geometry, 1e-6)


def test_closed_forms_agree_with_the_measured_data():
    volume = Volume.from_array(textured().astype(np.float32), np.diag([1, 1, 3, 1.0]))
    residuals = {
        name: super_resolve(volume, UpscaleOptions(model=name)).report["consistency"]["residual"]
        for name in ("linear", "bspline", "tikhonov")
    }
    assert residuals["tikhonov"] < 0.005 < residuals["linear"]
    assert residuals["tikhonov"] < residuals["bspline"] < residuals["linear"]


def test_bspline_is_the_cubic_spline_of_simpleitk():
    volume, _ = blob_phantom()
    fine = super_resolve(volume, UpscaleOptions(scale=2, model="bspline")).volume
    reference = sitk.Resample(
        sitk.ZeroFluxNeumannPad(volume.to_sitk(), [4] * 3, [4] * 3),
        fine.to_sitk(),
        sitk.Transform(),
        sitk.sitkBSpline,
        0.0,
    )
    np.testing.assert_allclose(fine.array, sitk.GetArrayFromImage(reference), atol=0.02)


def test_reference_grid_is_met_exactly(model):
    volume, blobs = blob_phantom(model=model)
    c, s = np.cos(0.2), np.sin(0.2)
    turned = np.array(oblique_direction()).reshape(3, 3) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    centre = volume.geometry.to_patient((17, 16, 9))
    size = np.array([54, 56, 52])
    origin = centre - turned @ (size / 2 * 0.7)
    reference = Geometry(tuple(size.tolist()), (0.7, 0.7, 0.7), tuple(origin), tuple(turned.ravel()))
    options = UpscaleOptions(reference="elsewhere.nrrd", model=model, device="cpu")
    result = super_resolve(volume, options, reference=reference)
    assert result.volume.geometry == reference
    inside = [b for b in blobs if (np.abs(reference.to_index(b) - size / 2) < size / 2 - 10).all()]
    assert len(inside) == 2
    for blob in inside:
        assert np.linalg.norm(centroid(result.volume, blob) - centroid(volume, blob)) < 0.05


def test_reference_on_the_input_lattice_keeps_offset_voxels_in_place():
    volume, blobs = blob_phantom()
    start = volume.geometry.to_patient((-3.25, 2.4, 1.7))
    reference = Geometry((60, 50, 60), (0.9, 0.8, 0.75), tuple(start), volume.geometry.direction)
    result = super_resolve(volume, UpscaleOptions(reference="x", model="tikhonov"), reference=reference)
    assert result.volume.geometry == reference
    blob = blobs[0]
    assert np.linalg.norm(centroid(result.volume, blob) - centroid(volume, blob)) < LIMIT_MM


def test_colours_are_enlarged_one_by_one():
    rng = np.random.default_rng(2)
    photo = ndi.gaussian_filter(rng.random((1, 40, 50, 3)), (0, 2, 2, 0))
    photo = (photo / photo.max() * 255).astype(np.uint8)
    volume = Volume(photo, Geometry((50, 40, 1)), planar=True)
    result = super_resolve(volume, UpscaleOptions(model="tikhonov"))
    assert result.volume.array.shape == (1, 80, 100, 3)
    alone = super_resolve(Volume(photo[..., 1], volume.geometry, planar=True), UpscaleOptions(model="tikhonov"))
    np.testing.assert_array_equal(result.volume.array[..., 1], alone.volume.array)


def test_maps_show_what_was_changed():
    volume = Volume.from_array(textured().astype(np.float32), np.diag([1, 1, 3, 1.0]))
    options = UpscaleOptions(model="tikhonov", slice_thickness=3.0)
    result = super_resolve(volume, options, maps=("difference", "residual"))
    linear = super_resolve(volume, UpscaleOptions(model="linear"))
    np.testing.assert_allclose(result.maps["difference"].array, result.volume.array - linear.volume.array, atol=1e-2)
    acquisition = Acquisition.from_factors(result.volume.array.shape, (3, 1, 1))
    again = acquisition.forward(result.volume.array.astype(np.float64)) - volume.array
    np.testing.assert_allclose(result.maps["residual"].array, again, atol=1e-2)


def test_slice_thickness_of_the_header_counts_and_can_be_overruled():
    volume = Volume.from_array(textured().astype(np.float32), np.diag([1, 1, 4, 1.0]))
    stated = volume.replace(facts=Facts((Fact("thickness_mm", 3.0, "header", "z"),)))
    header = super_resolve(stated, UpscaleOptions(model="tikhonov"))
    asked = super_resolve(volume, UpscaleOptions(model="tikhonov", slice_thickness=3.0))
    overruled = super_resolve(stated, UpscaleOptions(model="tikhonov", slice_thickness=4.0))

    def along_z(result):
        return {key: result.report["acquisition"][2][key] for key in ("axis", "profile", "width_mm", "source")}

    assert along_z(header) == {"axis": "z", "profile": "gaussian", "width_mm": 3.0, "source": "header"}
    assert along_z(asked) == {"axis": "z", "profile": "gaussian", "width_mm": 3.0, "source": "option"}
    assert along_z(overruled) == {"axis": "z", "profile": "gaussian", "width_mm": 4.0, "source": "option"}
    np.testing.assert_array_equal(header.volume.array, asked.volume.array)
    assert np.abs(header.volume.array - overruled.volume.array).max() > 1
    # The result is no measurement: nothing is stated of it.
    assert header.volume.facts == Facts()


def test_a_fourier_encoded_volume_is_sharpened_only_when_it_is_known_as_such():
    fine = ndi.gaussian_filter(np.random.default_rng(4).random((40, 40, 40)), 1.2).astype(np.float32)
    fine = (fine - fine.min()) * 1000
    measured = Volume.from_array(downscale(fine, "kspace", (2, 2, 2)), np.diag([2, 2, 2, 1.0])).replace(modality="MR")

    def error(**options):
        options = {"scale": 2, "dtype": "float32", "device": "cpu", **options}
        return float(np.square(super_resolve(measured, UpscaleOptions(**options)).volume.array - fine).mean())

    decisions = make_plan(measured, UpscaleOptions(scale=2, profile="kspace")).decisions
    encoded = [str(each) for each in decisions if each.kind == "acquisition"]
    assert len(encoded) == 3
    assert all("Fourier-encoded, resolution 2 mm" in text and "as asked" in text for text in encoded)
    interpolated = error(model="bspline")
    assert error(model="tikhonov", profile="kspace") < 0.8 * interpolated
    for model in ("tikhonov", "auto"):
        assert error(model=model, profile="gaussian") > error(model=model, profile="kspace")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.full((8, 8, 8), 7.0), "constant"),
        (np.where(np.arange(512).reshape(8, 8, 8) == 5, np.nan, 1.0), "NaN"),
        (np.where(np.arange(512).reshape(8, 8, 8) == 5, np.inf, 1.0), "infinite"),
        (np.random.default_rng(0).integers(0, 4, (8, 8, 8)), "segmentation"),
        (np.ones((8, 8, 8), complex), "complex"),
    ],
)
def test_voxels_that_cannot_be_processed_are_refused(array, text):
    with pytest.raises(InputError, match=text):
        medsr.super_resolve(array, scale=2, model="linear")


def test_few_whole_numbers_can_be_declared_an_image():
    array = np.random.default_rng(0).integers(0, 4, (8, 8, 8))
    assert medsr.super_resolve(array, scale=2, model="linear", not_labels=True).volume.array.shape == (16, 16, 16)


def test_one_voxel_axis_works_in_closed_form():
    result = medsr.super_resolve(textured((1, 40, 36)), scale=(2, 2, 1), model="tikhonov")
    assert result.volume.array.shape == (1, 80, 72)


def test_enormous_targets_say_what_they_need():
    with pytest.raises(InvalidValueError, match=r"needs about [0-9.]+ [GM]B, 100 MB may be used"):
        medsr.super_resolve(textured(), scale=8, model="linear", memory="100MB")


def test_unknown_model_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'tikhonov'"):
        medsr.super_resolve(textured(), model="tichonov")


def test_unknown_kind_of_image_is_refused():
    with pytest.raises(InvalidValueError, match="got list"):
        medsr.super_resolve([[1, 2], [3, 4]])


def test_absent_cuda_is_said():
    torch = pytest.importorskip("torch")
    networks = [name for name in MODELS if needs_torch(name)]
    if torch.cuda.is_available() or not networks:
        pytest.skip("needs a shipped network and no CUDA device")
    with pytest.raises(InvalidValueError, match="0 CUDA devices"):
        medsr.super_resolve(textured(), device="cuda")


def test_model_for_the_other_modality_is_refused():
    special = [e for e in load_catalog().values() if e.needs_torch and e.modalities == ("MR",)]
    if not special:
        pytest.skip("no network for MR alone is shipped")
    volume = Volume.from_array(textured()).replace(modality="CT")
    with pytest.raises(ModelError, match="is for MR"):
        super_resolve(volume, UpscaleOptions(model=special[0].name))


def test_cancel_stops_the_work():
    from medsr.errors import CancelledError

    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(CancelledError):
        super_resolve(Volume.from_array(textured()), UpscaleOptions(model="tikhonov"), Progress(None, cancelled))


@pytest.fixture
def a_network(monkeypatch):
    """A network for MR volumes in the catalog, without weights."""
    entry = CatalogEntry("some-network", "A network.", "network", modalities=("MR",), spatial_dims=(3,))
    monkeypatch.setattr(catalog, "BUILT_IN", (*BUILT_IN, entry))
    monkeypatch.setattr(catalog, "BUNDLES", Path("no-such-folder"))
    load_catalog.cache_clear()
    yield entry.name
    load_catalog.cache_clear()


@pytest.fixture
def without_torch(monkeypatch):
    """Torch cannot be found, and what an earlier test loaded of it is forgotten."""
    monkeypatch.delitem(sys.modules, "medsr.methods.networks", raising=False)
    monkeypatch.delattr("medsr.methods.networks", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)


def test_a_network_by_name_without_torch_says_what_to_install(a_network, without_torch):
    with pytest.raises(MissingDependencyError, match=r"pip install 'medsr\[network\]'.*tikhonov run without") as caught:
        medsr.super_resolve(textured(), model=a_network)
    assert caught.value.exit_code == 6
    medsr.super_resolve(textured(), model="tikhonov")


def test_the_automatic_choice_without_torch_is_tikhonov_and_says_so(a_network, without_torch):
    events = []
    result = medsr.super_resolve(textured(), progress=Progress(events.append))
    assert result.report["model"] == "tikhonov"
    assert "torch is not installed" in " ".join(each["text"] for each in result.report["decisions"])
    warnings = [event.message for event in events if isinstance(event, WarningEvent)]
    assert len(warnings) == 1 and "pip install 'medsr[network]'" in warnings[0]
    # Who asks for a plan alone may still install it.
    assert make_plan(Volume.from_array(textured()), UpscaleOptions()).entry.name == a_network


def test_the_automatic_choice_with_torch_is_the_network(a_network, monkeypatch):
    monkeypatch.setattr("medsr.methods.refiner.find_spec", lambda name: object())
    plan = make_plan(Volume.from_array(textured()), UpscaleOptions(), runnable=True)
    assert plan.entry.name == a_network
    assert "torch" not in " ".join(map(str, (*plan.decisions, *plan.warnings)))


def test_no_torch_is_no_matter_where_no_network_fits(a_network, without_torch):
    events = []
    volume = Volume.from_array(textured()).replace(modality="CT")
    assert medsr.super_resolve(volume, progress=Progress(events.append)).report["model"] == "tikhonov"
    assert not [event for event in events if isinstance(event, WarningEvent)]


def test_built_in_models_run_without_torch():
    assert {e.name for e in BUILT_IN} == {"linear", "bspline", "lanczos", "tikhonov"}
    assert not any(e.needs_torch for e in BUILT_IN)
