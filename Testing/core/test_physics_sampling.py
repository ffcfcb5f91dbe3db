"""How a fine grid is sampled: small matrices whose entries can be checked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsr.errors import InvalidValueError
from medsr.physics.noise import add_rician_noise
from medsr.physics.profiles import KINDS, MEASURED, Profile
from medsr.physics.sampling import Acquisition, AxisSampling, apply_along

ALIGNED = [kind for kind in KINDS if KINDS[kind].aligned]


@settings(max_examples=60, deadline=None)
@given(
    n_coarse=st.integers(1, 12),
    factor=st.floats(1, 8),
    width=st.floats(0, 3),
    kind=st.sampled_from(MEASURED),
    offset=st.one_of(st.none(), st.floats(-20, 60)),
)
def test_every_row_is_a_weighted_mean(n_coarse, factor, width, kind, offset):
    axis = AxisSampling(max(1, int(n_coarse * factor)), n_coarse, factor, Profile(kind, width), offset)
    assert axis.matrix.shape == (n_coarse, axis.n_fine)
    assert kind == "kspace" or (axis.matrix >= 0).all()
    np.testing.assert_allclose(axis.matrix.sum(axis=1), 1, atol=1e-12)


def test_box_of_two_is_the_mean_of_pairs():
    axis = AxisSampling(6, 3, 2, Profile("box"))
    np.testing.assert_allclose(axis.matrix @ [1, 3, 5, 7, 10, 20], [2, 6, 15])


def test_box_shares_a_voxel_that_it_cuts():
    # Width 1.5 around the centre 0.25 reaches from -0.5 to 1: voxel 0 whole, half of voxel 1.
    axis = AxisSampling(3, 2, 1.5, Profile("box"))
    np.testing.assert_allclose(axis.matrix, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])


def test_gaussian_is_half_as_sensitive_at_half_its_width():
    # Four samples wide, centred on voxel 4.
    row = AxisSampling(9, 1, 1, Profile("gaussian", 4), offset=4.0).matrix[0]
    assert row[2] / row[4] == pytest.approx(0.5, abs=1e-4)
    assert row[6] / row[4] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(("factor", "width"), [(2, 2), (2.5, 2.5), (4, 4), (2, 4), (3, 2)])  # fine voxels
@pytest.mark.parametrize("offset", [None, 0.3])
def test_kspace_keeps_the_waves_below_its_limit_and_no_other(factor, width, offset):
    n = 60
    axis = AxisSampling(n, 16, factor, Profile("kspace", width / factor), offset)
    centres = axis.first_centre + factor * np.arange(16)
    for half_waves in range(n):  # along the axis; half a cycle in `width` voxels are n / width of them
        wave = np.cos(np.pi * half_waves * (np.arange(n) + 0.5) / n)
        share = 1 if half_waves < n / width else 0.5 if half_waves == n / width else 0
        seen = np.cos(np.pi * half_waves * (centres + 0.5) / n)
        np.testing.assert_allclose(axis.matrix @ wave, share * seen, atol=1e-9)


def test_kspace_is_truncation_of_the_spectrum_where_nothing_touches_the_borders():
    fine = np.exp(-0.5 * ((np.arange(96) - 41.3) / 2.5) ** 2)
    # The periodic Fourier transform, cut off at the Nyquist frequency of 32 samples and read between the voxels.
    spectrum = np.fft.rfft(fine)[:17]
    spectrum[16] *= 0.5
    places = 1 + 3 * np.arange(32)
    waves = np.exp(2j * np.pi * np.outer(places, np.arange(17)) / 96) * np.where(np.arange(17) > 0, 2, 1) / 96
    np.testing.assert_allclose(
        AxisSampling(96, 32, 3, Profile("kspace")).matrix @ fine, (waves @ spectrum).real, atol=1e-3
    )


@pytest.mark.parametrize("kind", ALIGNED)
@pytest.mark.parametrize(("factor", "n_fine"), [(2, 24), (3, 24), (2.5, 30), (4, 24), (1.6, 24)])
def test_degrading_commutes_with_flips(kind, factor, n_fine):
    acquisition = Acquisition.from_factors((n_fine, 5), (factor, 1), Profile(kind))
    x = np.random.default_rng(0).random((n_fine, 5))
    np.testing.assert_allclose(acquisition.forward(x[::-1]), acquisition.forward(x)[::-1], atol=1e-12)


def test_an_offset_breaks_the_symmetry():
    shifted = AxisSampling(24, 6, 4, offset=0.0)
    x = np.random.default_rng(0).random(24)
    assert np.abs(shifted.matrix @ x[::-1] - (shifted.matrix @ x)[::-1]).max() > 0.01


@pytest.mark.parametrize("offset", [None, 0.0, 2.25])
def test_offset_is_the_position_of_the_first_sample(offset):
    # A ramp reads out the position of every sample that is not cut off at an end.
    axis = AxisSampling(60, 8, 4, offset=offset)
    first = 1.5 if offset is None else offset
    np.testing.assert_allclose((axis.matrix @ np.arange(60))[3:], first + 4 * np.arange(3, 8), atol=1e-3)


@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 1, 1), (1, 1, 3), (2.5, 1, 2)])
def test_centroid_of_a_sphere_stays_where_it_is(factors):
    shape = (30, 24, 24)
    centre = np.array([13.3, 11.2, 12.6])
    grid = np.indices(shape)
    sphere = (np.square(grid - centre[:, None, None, None]).sum(axis=0) < 36).astype(float)
    acquisition = Acquisition.from_factors(shape, factors)
    coarse = acquisition.forward(sphere)

    def centroid(image):
        return np.array([(image * g).sum() / image.sum() for g in np.indices(image.shape)])

    expected = (centroid(sphere) - (np.array(factors) - 1) / 2) / factors
    np.testing.assert_allclose(centroid(coarse), expected, atol=0.02)


@pytest.mark.parametrize("kind", MEASURED)
def test_volume_of_a_sphere_survives(kind):
    grid = np.indices((24, 24, 24)) - 11.5
    sphere = (np.square(grid).sum(axis=0) < 49).astype(float)
    coarse = Acquisition.from_factors(sphere.shape, (4, 2, 1), Profile(kind)).forward(sphere)
    assert coarse.sum() * 8 == pytest.approx(sphere.sum(), rel=3e-3)
    assert coarse.max() <= (1.2 if kind == "kspace" else 1 + 1e-12)  # a spectrum that ends overshoots at edges (Gibbs)


@pytest.mark.parametrize(("factor", "width"), [(2, 2), (4, 4), (6, 5), (2.5, 2.5), (3, 1)])  # fine voxels
def test_pseudo_inverse_returns_smooth_signals(factor, width):
    n = 60
    acquisition = Acquisition.from_factors((n,), (factor,), Profile("gaussian", width / factor))
    smooth = 5 + np.cos(np.arange(n) * 2 * np.pi / 60)
    again = acquisition.tikhonov(acquisition.forward(smooth), 1e-3)
    margin = int(2 * factor)
    np.testing.assert_allclose(again[margin:-margin], smooth[margin:-margin], atol=0.02)


def test_pseudo_inverse_explains_the_measurement_the_less_it_is_smoothed():
    axis = AxisSampling(24, 6, 4)
    y = np.random.default_rng(1).random(6)
    residuals = [np.linalg.norm(axis.matrix @ axis.pseudo_inverse(s) @ y - y) for s in (1e-4, 1e-2, 1.0)]
    assert residuals[0] < 1e-3 < residuals[1] < residuals[2]


def test_pseudo_inverse_solves_its_normal_equations():
    axis = AxisSampling(12, 4, 3)
    a, d2 = axis.matrix, np.diff(np.eye(12), 2, axis=0)
    left = (a.T @ a + 0.05 * d2.T @ d2 + 1e-9 * np.eye(12)) @ axis.pseudo_inverse(0.05)
    np.testing.assert_allclose(left, a.T, atol=1e-9)


def test_untouched_axes_are_not_computed():
    acquisition = Acquisition.from_factors((8, 6, 4), (2, 1, 1))
    assert set(acquisition.active) == {0}
    assert acquisition.coarse_shape == (4, 6, 4)
    np.testing.assert_array_equal(acquisition.axes[1].matrix, np.eye(6))
    np.testing.assert_array_equal(acquisition.axes[1].pseudo_inverse(0.1), np.eye(6))


def test_a_wide_profile_on_an_equal_grid_is_no_identity():
    assert AxisSampling(8, 8, 1).is_identity
    assert AxisSampling(8, 8, 1, Profile("gaussian", 0.6)).is_identity
    assert not AxisSampling(8, 8, 1, Profile("gaussian", 3)).is_identity
    assert not AxisSampling(8, 8, 1, offset=0.5).is_identity


def test_a_width_counts_samples_and_reaches_over_one_voxel_at_least():
    assert AxisSampling(24, 8, 3, Profile("gaussian", 1.5)).width == 4.5
    assert AxisSampling(24, 8, 3, Profile("box", 0.1)).width == 1
    assert AxisSampling(24, 8, 3, Profile("box", 0)).width == 1


@pytest.mark.parametrize(
    ("factor", "enlarged"), [(1.0, False), (1 + 1e-9, False), (1.01, True), (3.0, True), (0.5, False)]
)
def test_an_axis_is_enlarged_where_its_samples_lie_further_apart(factor, enlarged):
    assert AxisSampling(24, 8, factor).is_enlarged is enlarged


def test_each_axis_may_have_a_profile_of_its_own():
    profiles = (Profile("gaussian", 0.8), Profile("kspace"), Profile("kspace", 1.0, 0.5))
    acquisition = Acquisition.from_factors((12, 12, 12), (3, 2, 2), profiles)
    assert tuple(axis.profile for axis in acquisition.axes) == profiles
    x = np.random.default_rng(6).random((12, 12, 12))
    each = [AxisSampling(12, 12 // f, f, p).matrix for f, p in zip((3, 2, 2), profiles, strict=True)]
    np.testing.assert_allclose(acquisition.forward(x), np.einsum("zyx,az,by,cx->abc", x, *each), atol=1e-12)
    with pytest.raises(ValueError, match="zip"):
        Acquisition.from_factors((12, 12, 12), (3, 2, 2), profiles[:2])
    assert Acquisition.from_factors((12, 12), (3, 2)).axes[0].profile == Profile("gaussian", 1.0)


def test_one_profile_for_all_leaves_axes_alone_that_stay_as_they_are():
    wide = Profile("gaussian", 1.5)
    assert set(Acquisition.from_factors((12, 12), (3, 1), wide).active) == {0}
    assert set(Acquisition.from_factors((12, 12), (3, 1), (wide, wide)).active) == {0, 1}


def test_equal_axes_share_one_matrix_into_which_nobody_writes():
    first, second = (AxisSampling(24, 8, 3, Profile("kspace", 1.0, 0.5)) for _ in range(2))
    assert first.matrix is second.matrix and first.pseudo_inverse(0.01) is second.pseudo_inverse(0.01)
    for matrix in (first.matrix, first.pseudo_inverse(0.01)):
        with pytest.raises(ValueError, match="read-only"):
            matrix[0, 0] = 1
    assert AxisSampling(24, 8, 3, Profile("kspace", 1.0, 0.25)).matrix is not first.matrix


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_apply_along_is_an_einsum(dtype):
    rng = np.random.default_rng(2)
    volume = rng.random((5, 6, 7)).astype(dtype)
    a, b, c = rng.random((3, 5)), rng.random((4, 6)), rng.random((9, 7))
    result = apply_along(volume, {0: a, 1: b, 2: c})
    assert result.dtype == dtype
    np.testing.assert_allclose(result, np.einsum("zyx,az,by,cx->abc", volume, a, b, c), rtol=1e-5)
    np.testing.assert_allclose(apply_along(volume, {1: b}), np.einsum("zyx,by->zbx", volume, b), rtol=1e-5)


def test_apply_along_accepts_views_and_nothing_to_do():
    volume = np.random.default_rng(3).random((4, 6, 8)).transpose(2, 0, 1)[::-1]
    matrix = np.random.default_rng(4).random((2, 4))
    np.testing.assert_allclose(apply_along(volume, {1: matrix}), np.einsum("zyx,by->zbx", volume, matrix))
    assert apply_along(volume, {}) is volume


def test_a_sample_beyond_the_grid_sees_the_nearest_voxel():
    axis = AxisSampling(4, 2, 100, Profile("box", 0.01), offset=1.0)
    np.testing.assert_array_equal(axis.matrix, [[0, 1, 0, 0], [0, 0, 0, 1]])


def test_rician_noise_raises_the_background_and_is_reproducible():
    clean = np.concatenate([np.zeros(20000), np.full(20000, 100.0)])
    noisy = add_rician_noise(clean, 0.02, np.random.default_rng(5))
    sigma = 2.0
    assert noisy[:20000].mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    assert noisy[20000:].std() == pytest.approx(sigma, rel=0.02)
    np.testing.assert_array_equal(noisy, add_rician_noise(clean, 0.02, np.random.default_rng(5)))
    assert add_rician_noise(clean.astype(np.float32), 0.02, np.random.default_rng(5)).dtype == np.float32


@pytest.mark.parametrize("arguments", [(0, 1, 2), (4, 0, 2), (4, 2, 0), (4, 2, np.nan), (4, 2, -1), (4, 2, np.inf)])
def test_impossible_sampling_is_refused(arguments):
    with pytest.raises(InvalidValueError):
        AxisSampling(*arguments)
