"""Slices that are stacked beside their normal (gantry tilt): enlarged as they lie, read onto an upright grid once."""

from __future__ import annotations

import numpy as np
import pytest

from medsr.errors import InputError, InvalidValueError
from medsr.files import upscale_file
from medsr.geometry import Geometry, Shear
from medsr.inference.pipeline import super_resolve
from medsr.io import read_volume, write_volume
from medsr.jobs import JobSpec, Progress
from medsr.options import UpscaleOptions
from medsr.planning.target import upright_over
from medsr.volume import Volume

TURNED = (12.0, 0.0, -25.0)
"""Degrees about x, y and z, as `io_dicom` takes them."""


def _rotation() -> np.ndarray:
    a, _, b = np.radians(TURNED)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z


def _tilted_affine(axis: int = 2, degrees: float = 12.0) -> np.ndarray:
    """Oblique voxels of 0.5 x 0.6 x 5 mm (along x, y, z when `axis` is z) whose slices lean towards one side."""
    direction = _rotation()
    spacing = np.roll([0.5, 0.6, 5.0], axis - 2)
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, axis] += direction[:, axis - 1] * spacing[axis] * np.tan(np.radians(degrees))
    affine[:3, 3] = (-31.0, 12.5, 104.25)
    return affine


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sheared_affine_is_kept_to_the_last_digit(axis):
    affine = _tilted_affine(axis)
    grid = Geometry.from_affine(affine, (20, 16, 6), sheared=True)
    assert grid.shear is not None and grid.shear.axis == axis
    assert grid.shear.degrees == pytest.approx(12.0)
    assert np.allclose(grid.affine, affine, atol=1e-12)
    # The distance of the planes, not of the centres of their voxels.
    assert grid.spacing_xyz_mm[axis] == pytest.approx(5.0)


def test_a_sheared_affine_is_refused_where_nobody_asked_for_it():
    with pytest.raises(InputError, match="right angles"):
        Geometry.from_affine(_tilted_affine(), (20, 16, 6))
    assert Geometry.from_affine(_tilted_affine(degrees=0.0), (20, 16, 6)).shear is None


def test_what_is_no_gantry_tilt_is_refused():
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[0, 1], affine[0, 2] = 0.2, 0.9  # two axes lean: an affine registration
    with pytest.raises(InputError, match="right angles"):
        Geometry.from_affine(affine, (4, 4, 4), sheared=True)
    with pytest.raises(InputError, match=r"60\.0 degrees"):
        Geometry.from_affine(_tilted_affine(degrees=60), (4, 4, 4), sheared=True)
    assert Geometry.from_affine(_tilted_affine(degrees=30), (4, 4, 4), sheared=True).shear is not None


def test_a_shear_within_the_slices_is_no_gantry_tilt():
    for thickness in (1.0, 4.0):
        affine = np.diag([1.0, 1.0, thickness, 1.0])
        affine[0, 1] = 0.3
        with pytest.raises(InputError, match="right angles"):
            Geometry.from_affine(affine, (4, 4, 4), sheared=True)
        affine[0, 1], affine[0, 2] = 0.0, 0.3
        assert Geometry.from_affine(affine, (4, 4, 4), sheared=True).shear.axis == 2


def test_finer_and_cropped_grids_lie_within_the_sheared_one():
    grid = Geometry.from_affine(_tilted_affine(), (20, 16, 6), sheared=True)
    fine = grid.with_grid((0.5, 0.6, 1.0), (20, 16, 30))
    # Fine slices 5 k + 2 lie in the middle of the coarse ones, whatever the tilt.
    assert np.allclose(fine.to_patient((3, 4, 12)), grid.to_patient((3, 4, 2)), atol=1e-9)
    part = grid.cropped((1, 2, 3), (4, 4, 2))
    assert np.allclose(part.to_patient((0, 0, 0)), grid.to_patient((1, 2, 3)))
    assert part.is_parallel_to(grid) and not part.is_parallel_to(grid.upright)
    assert grid.is_same_as(grid) and not grid.is_same_as(grid.upright)
    assert np.allclose(grid.strides_of(fine), (1, 1, 0.2))


def test_a_shear_is_within_the_plane():
    with pytest.raises(ValueError, match="within their planes"):
        Shear(2, (0.1, 0.0, 0.3))
    assert Shear(2, (0.1, 0.0, 0.0)).degrees == pytest.approx(5.7106, abs=1e-3)


# ---------------------------------------------------------------- reading


def _phantom(grid: Geometry) -> np.ndarray:
    """A smooth intensity of patient space, sampled on a grid: what lies where is known everywhere."""
    z, y, x = np.mgrid[tuple(map(slice, grid.shape_zyx))]
    return _intensity(grid.to_patient(np.stack([x, y, z], axis=-1)))


def _intensity(places: np.ndarray) -> np.ndarray:
    x, y, z = (places - np.array([-25.0, 18.0, 115.0]))[..., 0], places[..., 1] - 18.0, places[..., 2] - 115.0
    return (1000 + 300 * np.sin(x / 3.1) * np.cos(y / 2.9) + 8 * z).astype(np.float32)


@pytest.fixture
def tilted_nifti(tmp_path):
    """As dcm2niix leaves a tilted series: sheared sform, an unsheared qform of the same code."""
    nibabel = pytest.importorskip("nibabel")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ _tilted_affine()
    grid = Geometry.from_affine(_tilted_affine(), (20, 16, 6), sheared=True)
    image = nibabel.Nifti1Image(_phantom(grid).T, None)
    image.set_sform(affine, 1)
    image.set_qform(grid.upright.affine_ras, 1)
    path = tmp_path / "tilted.nii.gz"
    nibabel.save(image, path)
    return path


def test_a_tilted_series_is_read_as_acquired(tmp_path, io_dicom):
    axes = _rotation()
    paths = io_dicom(tmp_path / "s", 5, modality="CT", tilt=TURNED, step=5 * axes[:, 2] + 1.2 * axes[:, 1])
    grid = read_volume(tmp_path / "s", as_acquired=True).geometry
    for number, path in enumerate(paths):
        position = [float(v) for v in pytest.importorskip("pydicom").dcmread(path).ImagePositionPatient]
        assert np.allclose(grid.to_patient((0, 0, number)), position, atol=1e-6)
    assert grid.shear.degrees == pytest.approx(np.degrees(np.arctan(1.2 / 5)))
    with pytest.raises(InputError, match="medsr upscale"):
        read_volume(tmp_path / "s")


def test_a_tilted_nifti_is_read_as_acquired(tilted_nifti):
    volume = read_volume(tilted_nifti, as_acquired=True)
    assert np.allclose(volume.geometry.affine, _tilted_affine(), atol=1e-4)
    assert len(volume.warnings) == 1 and "5.112 along the stack and so 5 between" in volume.warnings[0]
    with pytest.raises(InputError, match=r"sform of 'tilted\.nii\.gz'.*right angles"):
        read_volume(tilted_nifti)


def test_a_tilted_volume_is_written_where_a_format_holds_it(tmp_path, tilted_nifti):
    volume = read_volume(tilted_nifti, as_acquired=True)
    again = read_volume(write_volume(volume, tmp_path / "again.nii.gz"), as_acquired=True)
    assert np.allclose(again.geometry.affine, volume.geometry.affine, atol=1e-4)
    assert np.array_equal(again.array, volume.array)
    with pytest.raises(InvalidValueError, match=r"12\.0 degrees.*write \.nii\.gz"):
        write_volume(volume, tmp_path / "again.nrrd")


# ---------------------------------------------------------------- enlarging


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("degrees", [12.0, -20.0])
def test_what_is_in_the_patient_stays_where_it_is(scale, degrees):
    grid = Geometry.from_affine(_tilted_affine(degrees=degrees), (40, 32, 8), sheared=True)
    volume = Volume(_phantom(grid), grid, modality="MR")
    result = super_resolve(volume, UpscaleOptions(scale=(scale, scale, 5), model="bspline"))
    out = result.volume.geometry
    assert out.shear is None and out.is_parallel_to(grid.upright)
    assert [one["kind"] for one in result.report["decisions"]].count("tilt") == 1
    assert f"tilt of {abs(degrees):.1f} degrees" in " ".join(one["text"] for one in result.report["decisions"])
    # Away from the border, and measured as a displacement: the error over the steepest slope of the phantom.
    inner = _inside(grid, out, (4, 4, 1.5))
    assert inner.sum() > 2000
    error = np.abs(result.volume.array - _phantom(out))[inner] / (300 / 2.9)
    assert np.median(error) < 0.02
    # A shear that was ignored or turned round would displace by millimetres.
    assert error.max() < 0.2


def _places(grid: Geometry) -> np.ndarray:
    z, y, x = np.mgrid[tuple(map(slice, grid.shape_zyx))]
    return grid.to_patient(np.stack([x, y, z], axis=-1))


def _inside(grid: Geometry, other: Geometry, margin: tuple[float, float, float]) -> np.ndarray:
    """Voxels of another grid that lie so many voxels of `grid` within its border."""
    index = grid.to_index(_places(other))
    return ((index >= np.array(margin)) & (index <= np.array(grid.size_xyz) - 1 - margin)).all(axis=-1)


def test_a_point_lies_within_a_ten_thousandth_of_a_millimetre():
    """A ramp along each patient axis is its own ruler: interpolation of it is exact."""
    grid = Geometry.from_affine(_tilted_affine(), (40, 32, 8), sheared=True)
    inner = None
    for axis in range(3):
        ramp = _places(grid)[..., axis].astype(np.float64)
        ramp -= ramp.mean()
        volume = Volume(ramp.astype(np.float32) + 100, grid, modality="MR")
        result = super_resolve(volume, UpscaleOptions(scale=(2, 2, 5), model="linear")).volume
        if inner is None:
            # Splines end at the border, and what they do there rings for some voxels.
            inner = _inside(grid, result.geometry, (5, 5, 2.5))
            assert inner.sum() > 2000
        mean = _places(grid)[..., axis].mean()
        assert np.abs(result.array - 100 + mean - _places(result.geometry)[..., axis])[inner].max() < 1e-4


def test_the_upright_grid_holds_every_voxel_and_nothing_more():
    for degrees in (12.0, -12.0):
        grid = Geometry.from_affine(_tilted_affine(degrees=degrees), (20, 16, 6), sheared=True)
        box = upright_over(grid)
        index = box.to_index(_places(grid))
        assert (index > -0.01).all() and (index < np.array(box.size_xyz) - 0.99).all()
        # 5 slices of 5 mm lean by 5 x 1.06 mm, which is 8.9 voxels of 0.6 mm.
        assert box.size_xyz == (20, 16 + 9, 6)
    upright = grid.upright
    assert upright_over(upright) is upright


def test_deconvolution_and_maps_of_a_tilted_volume():
    grid = Geometry.from_affine(_tilted_affine(), (20, 16, 8), sheared=True)
    volume = Volume(_phantom(grid), grid, modality="CT")
    result = super_resolve(volume, UpscaleOptions(scale=(1, 1, 5), model="tikhonov"), maps=("difference", "residual"))
    assert result.report["consistency"]["residual_percent"] < 0.5
    assert result.report["input"]["tilt_degrees"] == pytest.approx(12.0)
    assert result.maps["difference"].geometry.is_same_as(result.volume.geometry)
    assert result.maps["residual"].geometry.is_same_as(grid)
    # Five values for one were asked, whatever the slices lean.
    assert result.report["undetermined"]["values"] == pytest.approx(0.8)


def test_a_reference_gets_a_tilted_volume_on_its_own_voxels():
    grid = Geometry.from_affine(_tilted_affine(), (20, 16, 8), sheared=True)
    reference = grid.upright.with_grid((0.5, 0.6, 2.5), (20, 16, 16))
    volume = Volume(_phantom(grid), grid, modality="MR")
    options = UpscaleOptions(reference="given.nii", model="linear")
    assert super_resolve(volume, options, reference=reference).volume.geometry.is_same_as(reference)


def test_the_command_enlarges_a_tilted_series(tmp_path, io_dicom):
    axes = _rotation()
    step = 5 * axes[:, 2] + 1.2 * axes[:, 1]
    io_dicom(tmp_path / "s", 8, modality="CT", tilt=TURNED, step=step, size_xy=(16, 14))
    spec = JobSpec(str(tmp_path / "s"), str(tmp_path / "out.nii.gz"), UpscaleOptions(model="tikhonov"))
    report = upscale_file(spec, Progress()).report
    assert report["input"]["tilt_degrees"] == pytest.approx(13.4957, abs=1e-3)
    assert read_volume(tmp_path / "out.nii.gz").geometry.shear is None


def test_a_tilted_series_with_a_gap_becomes_an_upright_dicom_series(tmp_path, io_dicom):
    axes = _rotation()
    step = 5 * axes[:, 2] + 1.2 * axes[:, 1]
    paths = io_dicom(tmp_path / "s", 8, modality="CT", tilt=TURNED, step=step, size_xy=(16, 14), edit=_study)
    paths[4].unlink()
    options = UpscaleOptions(model="tikhonov", scale=(1, 1, 2))
    spec = JobSpec(str(tmp_path / "s"), str(tmp_path / "out"), options, format="dicom")
    told = upscale_file(spec, Progress()).report["warnings"]
    assert any("10 mm between slices 4 and 5" in one["text"] for one in told)
    written = read_volume(tmp_path / "out")
    straight = JobSpec(str(tmp_path / "s"), str(tmp_path / "out.nii.gz"), options)
    upscale_file(straight, Progress())
    assert written.geometry.is_same_as(read_volume(tmp_path / "out.nii.gz").geometry)
    assert written.geometry.size_xyz[2] == 16


def _study(dataset, _number):
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
