"""Grids in patient space: affines, half-voxel shifts, refusals."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medsr.errors import InputError, InvalidValueError
from medsr.geometry import Geometry


def rotation(angles):
    x, y, z = angles
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return rz @ ry @ rx


@pytest.fixture
def oblique():
    direction = tuple(rotation((0.3, -0.2, 0.5)).ravel())
    return Geometry((6, 7, 8), (0.9, 1.1, 3.0), (-40.0, 12.5, 88.0), direction)


def test_maps_indices_as_simpleitk_does(oblique):
    image = sitk.Image(oblique.size_xyz, sitk.sitkFloat32)
    image.SetSpacing(oblique.spacing_xyz_mm)
    image.SetOrigin(oblique.origin_mm)
    image.SetDirection(oblique.direction)
    for index in [(0, 0, 0), (1.5, 2.25, 7), (5, 0, -3)]:
        expected = image.TransformContinuousIndexToPhysicalPoint(index)
        np.testing.assert_allclose(oblique.to_patient(index), expected, atol=1e-9)
        np.testing.assert_allclose(oblique.to_index(expected), index, atol=1e-9)


def test_ras_affine_turns_x_and_y(oblique):
    np.testing.assert_allclose(oblique.affine_ras[:2], -oblique.affine[:2])
    np.testing.assert_allclose(oblique.affine_ras[2], oblique.affine[2])


def test_affine_round_trip_in_both_spaces(oblique):
    for affine, space in ((oblique.affine, "LPS"), (oblique.affine_ras, "RAS")):
        again = Geometry.from_affine(affine, oblique.size_xyz, space)
        assert again.is_same_as(oblique, 1e-9)


def test_enlarging_by_two_moves_the_origin_a_quarter_voxel():
    coarse = Geometry((4, 4, 4), (2.0, 2.0, 2.0))
    fine = coarse.with_grid((1.0, 1.0, 1.0), (8, 8, 8))
    # The first fine voxel fills the first half of the first coarse one: its centre is half a fine voxel before.
    np.testing.assert_allclose(fine.origin_mm, (-0.5, -0.5, -0.5))


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.tuples(*[st.floats(1, 8)] * 3),
)
def test_other_grid_keeps_the_first_outer_corner(angles, spacing, factors):
    coarse = Geometry((5, 6, 7), spacing, (10.0, -20.0, 30.0), tuple(rotation(angles).ravel()))
    fine = coarse.with_grid([s / f for s, f in zip(spacing, factors, strict=True)], (9, 9, 9))
    np.testing.assert_allclose(fine.to_patient((-0.5,) * 3), coarse.to_patient((-0.5,) * 3), atol=1e-9)
    # The design's formula: A_fine = A_coarse [diag(1/r), -(0.5 - 0.5/r)].
    local = np.eye(4)
    local[:3, :3] = np.diag(1 / np.array(factors))
    local[:3, 3] = -(0.5 - 0.5 / np.array(factors))
    np.testing.assert_allclose(fine.affine, coarse.affine @ local, atol=1e-9)


def test_crop_keeps_world_coordinates(oblique):
    part = oblique.cropped((2, 1, 3), (3, 3, 3))
    np.testing.assert_allclose(part.to_patient((0, 0, 0)), oblique.to_patient((2, 1, 3)))


def test_sameness_has_cases_that_say_no(oblique):
    assert oblique.is_same_as(Geometry.from_affine(oblique.affine, oblique.size_xyz))
    shifted = Geometry(oblique.size_xyz, oblique.spacing_xyz_mm, (-40.0, 12.5, 88.01), oblique.direction)
    assert not oblique.is_same_as(shifted)
    assert not oblique.is_same_as(oblique.cropped((0, 0, 0), (6, 7, 9)))
    turned = Geometry(oblique.size_xyz, oblique.spacing_xyz_mm, oblique.origin_mm)
    assert not oblique.is_same_as(turned)
    assert not oblique.is_parallel_to(turned)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((0, 4, 4),), "at least 1 voxel"),
        (((4, 4, 4), (1, 0, 1)), "positive"),
        (((4, 4, 4), (1, -1, 1)), "positive"),
        (((4, 4, 4), (1, float("nan"), 1)), "positive"),
        (((4, 4, 4), (1, 1, 1), (0, float("inf"), 0)), "finite"),
        (((4, 4, 4), (1, 1, 1), (0, 0, 0), (1, 0, 0, 1, 0, 0, 0, 0, 1)), "singular"),
        (((4, 4, 4), (1, 1, 1), (0, 0, 0), (1, 0.2, 0, 0, 0.98, 0, 0, 0, 1)), "right angles"),
    ],
)
def test_refuses_impossible_grids(arguments, text):
    with pytest.raises(InputError, match=text):
        Geometry(*arguments)


def test_accepts_left_handed_grids():
    assert Geometry((2, 2, 2), direction=(1, 0, 0, 0, 1, 0, 0, 0, -1)).voxels == 8


def test_unknown_space_is_refused():
    with pytest.raises(InvalidValueError, match="RAS"):
        Geometry.from_affine(np.eye(4), (2, 2, 2), "XYZ")
