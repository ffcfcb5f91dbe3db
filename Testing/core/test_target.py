"""From what a person asks for to one target grid."""

import numpy as np
import pytest

from medsr.errors import InvalidValueError, UnknownNameError
from medsr.geometry import Geometry
from medsr.options import StatedProfile, UpscaleOptions, parse_bytes, parse_triple
from medsr.planning.target import resolve_target

THICK = Geometry((64, 60, 20), (1.0, 1.0, 4.0), (5.0, 6.0, 7.0))
CUBIC = Geometry((30, 31, 32), (1.5, 1.5, 1.5))


def test_thick_slices_become_isotropic_by_default():
    target = resolve_target(THICK, UpscaleOptions())
    assert target.output.size_xyz == (64, 60, 80)
    assert target.output.spacing_xyz_mm == (1.0, 1.0, 1.0)
    assert target.factors_xyz == (1.0, 1.0, 4.0)
    assert not target.needs_resampling


def test_isotropic_volumes_become_twice_as_fine_by_default():
    target = resolve_target(CUBIC, UpscaleOptions())
    assert target.output.size_xyz == (60, 62, 64)
    assert target.factors_xyz == (2.0, 2.0, 2.0)


def test_nearly_isotropic_volumes_count_as_isotropic():
    target = resolve_target(Geometry((30, 30, 30), (0.87, 0.87, 1.0)), UpscaleOptions())
    assert target.output.size_xyz == (60, 60, 60)


def test_planar_images_are_not_enlarged_across_their_plane():
    photo = Geometry((100, 80, 1))
    assert resolve_target(photo, UpscaleOptions(), planar=True).output.size_xyz == (200, 160, 1)
    assert resolve_target(photo, UpscaleOptions(scale=3), planar=True).output.size_xyz == (300, 240, 1)


@pytest.mark.parametrize("scale", [(1, 1, 3.7), (2, 1, 1), (1.5, 2.5, 8), (1, 8, 1)])
def test_any_factor_per_axis(scale):
    target = resolve_target(THICK, UpscaleOptions(scale=scale))
    np.testing.assert_allclose(target.factors_xyz, scale)
    assert target.output.size_xyz == tuple(int(n * f + 0.5) for n, f in zip(THICK.size_xyz, scale, strict=True))
    np.testing.assert_allclose(target.output.to_patient((-0.5,) * 3), THICK.to_patient((-0.5,) * 3))


def test_spacing_is_met_exactly_even_where_sizes_round():
    target = resolve_target(Geometry((33, 33, 11), (0.7, 0.7, 3.3)), UpscaleOptions(spacing=(0.7, 0.7, 1.0)))
    assert target.output.spacing_xyz_mm == (0.7, 0.7, 1.0)
    assert target.output.size_xyz == (33, 33, 36)


@pytest.mark.parametrize("options", [{}, {"isotropic": True}, {"spacing": 0.71874964}])
def test_spacings_that_differ_by_rounding_are_one_spacing(options):
    # As a header held a field of view of 230 mm over 320 voxels.
    source = Geometry((320, 320, 24), (0.71874964, 0.71875048, 4.0))
    target = resolve_target(source, UpscaleOptions(**options))
    assert target.factors_xyz[:2] == (1.0, 1.0)
    assert target.factors_xyz[2] == pytest.approx(4.0 / 0.71874964)
    assert target.output.spacing_xyz_mm[:2] == source.spacing_xyz_mm[:2]
    assert target.output.size_xyz[:2] == (320, 320)
    assert not target.needs_resampling


def test_a_real_difference_of_spacings_is_no_rounding():
    target = resolve_target(Geometry((320, 320, 24), (0.7, 0.71, 4.0)), UpscaleOptions())
    assert target.factors_xyz[1] == pytest.approx(0.71 / 0.7)
    assert target.output.spacing_xyz_mm == (0.7, 0.7, 0.7)


def test_coarser_in_plane_works_finely_then_resamples():
    target = resolve_target(Geometry((100, 100, 20), (0.5, 0.5, 3.0)), UpscaleOptions(spacing=1.0))
    assert target.output.spacing_xyz_mm == (1.0, 1.0, 1.0)
    assert target.output.size_xyz == (50, 50, 60)
    assert target.work.spacing_xyz_mm == (0.5, 0.5, 1.0)
    assert target.needs_resampling


def test_reference_on_the_same_axes_is_its_own_lattice():
    reference = Geometry((70, 66, 90), (1.0, 1.0, 1.0), (4.3, 6.0, 5.6))
    target = resolve_target(THICK, UpscaleOptions(reference="x"), reference)
    assert target.output == reference
    index = reference.to_index(target.work.origin_mm)
    np.testing.assert_allclose(index, np.round(index), atol=1e-6)


def test_turned_reference_is_resampled_from_a_fine_parallel_grid():
    c, s = np.cos(0.3), np.sin(0.3)
    reference = Geometry((40, 40, 40), (1.0, 1.0, 1.0), (15.0, 15.0, 20.0), (c, -s, 0, s, c, 0, 0, 0, 1))
    target = resolve_target(THICK, UpscaleOptions(reference="x"), reference)
    assert target.output == reference
    assert target.work.is_parallel_to(THICK)
    assert target.work.spacing_xyz_mm[2] == pytest.approx(1.0)


def test_reference_elsewhere_is_refused():
    with pytest.raises(InvalidValueError, match="does not meet"):
        resolve_target(THICK, UpscaleOptions(reference="x"), Geometry((4, 4, 4), (1, 1, 1), (900, 0, 0)))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"spacing": 0.1}, "up to 8"), ({"spacing": (1, 1, 4)}, "nothing to super-resolve"), ({"scale": 1}, "nothing")],
)
def test_refuses_targets_that_cannot_be_met(options, text):
    with pytest.raises(InvalidValueError, match=text):
        resolve_target(THICK, UpscaleOptions(**options))


def test_very_thick_slices_are_capped():
    target = resolve_target(Geometry((64, 64, 9), (0.5, 0.5, 6.0)), UpscaleOptions())
    assert target.output.spacing_xyz_mm == (0.5, 0.5, 0.75)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 2, "spacing": 1},
        {"isotropic": True, "reference": "a.nii"},
        {"scale": 0},
        {"scale": 9},
        {"scale": (2, 2)},
        {"spacing": -1},
        {"spacing": float("nan")},
        {"slice_thickness": 0},
        {"memory": "lots"},
        {"device": "gpu"},
        {"profile": "kspace,kspace"},
        {"profile": "gaussian:0"},
        {"profile": "gaussian:wide"},
        {"profile": "gaussian:3:0.5"},
        {"profile": "auto:3"},
        {"profile": "kspace:1:1.5"},
        {"profile": "kspace:1:0.5:2"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(InvalidValueError):
        UpscaleOptions(**options)


def test_wrong_choice_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        UpscaleOptions(profile="gausian")
    # What programs do to images is no way of measuring.
    with pytest.raises(UnknownNameError, match="Available: auto, box, gaussian, kspace"):
        UpscaleOptions(profile="kspace,kspace,bicubic")
    with pytest.raises(UnknownNameError, match="Did you mean 'spacing'"):
        UpscaleOptions.from_dict({"spacin": 1})


def test_profiles_are_asked_for_together_or_for_each_axis():
    assert UpscaleOptions().profiles_xyz == (StatedProfile("auto"),) * 3
    assert UpscaleOptions(profile="kspace").profiles_xyz == (StatedProfile("kspace", None, 0.0),) * 3
    assert UpscaleOptions(profile="box:2.5").profiles_xyz == (StatedProfile("box", 2.5),) * 3
    assert UpscaleOptions(profile="kspace:1.1:0.5,auto, gaussian:3.2").profiles_xyz == (
        StatedProfile("kspace", 1.1, 0.5),
        StatedProfile(),
        StatedProfile("gaussian", 3.2),
    )
    assert UpscaleOptions.from_dict({"profile": "kspace,kspace,auto"}).to_dict() == {"profile": "kspace,kspace,auto"}


def test_options_survive_a_round_trip():
    options = UpscaleOptions(scale=(1, 1, 4), model="tikhonov", slice_thickness=3.2)
    assert UpscaleOptions.from_dict(options.to_dict()) == options
    assert UpscaleOptions().to_dict() == {}


def test_sizes_and_triples_parse():
    assert parse_bytes("6GB") == 6_000_000_000
    assert parse_bytes("512 MiB") == 512 * 2**20
    assert parse_triple("scale", "1,1,4") == (1.0, 1.0, 4.0)
    assert parse_triple("scale", "2") == (2.0, 2.0, 2.0)
    with pytest.raises(InvalidValueError):
        parse_triple("scale", "1,a,3")
