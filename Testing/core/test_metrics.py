"""Figures of quality: by hand, against scikit-image and scipy, and in the order a person would put images in."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from medsr import metrics
from medsr.errors import InvalidValueError
from medsr.physics.sampling import Acquisition


@pytest.fixture(scope="module")
def a_head():
    """A smooth object with structure on a dark ground, 40 x 36 x 32."""
    rng = np.random.default_rng(0)
    grid = np.indices((40, 36, 32)) - np.array([19.5, 17.5, 15.5])[:, None, None, None]
    inside = np.square(grid / np.array([17, 15, 13])[:, None, None, None]).sum(axis=0) < 1
    texture = ndi.gaussian_filter(rng.normal(size=inside.shape), 1.2) * 300
    return np.where(inside, 600 + texture, 5).astype(np.float32)


@pytest.fixture(scope="module")
def a_noisy_head(a_head):
    return a_head + np.random.default_rng(1).normal(0, 20, a_head.shape).astype(np.float32)


def test_psnr_by_hand():
    reference = np.array([[0.0, 10.0], [10.0, 0.0]])
    assert metrics.psnr(reference + 1, reference) == pytest.approx(20)  # range 10, error 1
    assert metrics.psnr(reference + 1, reference, span=100) == pytest.approx(40)


def test_psnr_inside_a_mask_keeps_the_range_of_the_whole():
    reference = np.array([0.0, 10.0, 10.0, 10.0]).reshape(2, 2)
    result = reference + np.array([[5.0, 1.0], [0.0, 0.0]])
    mask = np.array([[False, True], [False, False]])
    assert metrics.psnr(result, reference, mask=mask) == pytest.approx(20)


def test_bias_and_nrmse_by_hand():
    reference = np.array([[3.0, 4.0]])
    assert metrics.bias(reference + np.array([1.0, -3.0]), reference) == pytest.approx(-1)
    assert metrics.bias(reference + np.array([1.0, -3.0]), reference, mask=np.array([[True, False]])) == pytest.approx(
        1
    )
    assert metrics.nrmse(reference + np.array([3.0, 4.0]), reference) == pytest.approx(1)
    assert metrics.nrmse(reference + np.array([0.3, 0.4]), reference) == pytest.approx(0.1)


def test_equal_images_are_perfect(a_head):
    assert metrics.psnr(a_head, a_head) == np.inf
    assert metrics.ssim(a_head, a_head) == pytest.approx(1)
    assert metrics.hfen(a_head, a_head) == 0
    assert metrics.bias(a_head, a_head) == 0
    assert metrics.nrmse(a_head, a_head) == 0


def test_psnr_agrees_with_skimage(a_head, a_noisy_head):
    span = float(a_head.max() - a_head.min())
    expected = peak_signal_noise_ratio(a_head, a_noisy_head, data_range=span)
    assert metrics.psnr(a_noisy_head, a_head) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("slab_voxels", [4_000_000, 15_000])
@pytest.mark.parametrize("cut", [np.s_[:], np.s_[:, :, 16], np.s_[:11, :11, :11]])
def test_ssim_agrees_with_skimage(a_head, a_noisy_head, cut, slab_voxels, monkeypatch):
    monkeypatch.setattr(metrics, "_SLAB_VOXELS", slab_voxels)
    x, y = a_noisy_head[cut], a_head[cut]
    expected = structural_similarity(
        y.astype(float), x.astype(float), data_range=float(y.max() - y.min()), gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    assert metrics.ssim(x, y) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_single_slice_is_that_of_the_2d_image(a_head, a_noisy_head):
    assert metrics.ssim(a_noisy_head[16:17], a_head[16:17]) == pytest.approx(metrics.ssim(a_noisy_head[16], a_head[16]))


def test_ssim_of_few_slices_is_defined(a_head, a_noisy_head):
    assert 0 < metrics.ssim(a_noisy_head[15:20], a_head[15:20]) < 1


@pytest.mark.parametrize("slab_voxels", [4_000_000, 15_000])
def test_hfen_agrees_with_its_definition(a_head, a_noisy_head, slab_voxels, monkeypatch):
    monkeypatch.setattr(metrics, "_SLAB_VOXELS", slab_voxels)
    mask = metrics.foreground_mask(a_head)
    x, y = (ndi.gaussian_laplace(v.astype(float), 1.5)[mask] for v in (a_noisy_head, a_head))
    expected = np.linalg.norm(x - y) / np.linalg.norm(y)
    assert metrics.hfen(a_noisy_head, a_head, mask=mask) == pytest.approx(expected, rel=1e-6)


def test_hfen_of_an_image_without_detail_is_one(a_head):
    assert metrics.hfen(np.full_like(a_head, 77), a_head) == pytest.approx(1)


def test_foreground_is_the_filled_object(a_head):
    holed = a_head.copy()
    holed[18:22, 16:20, 14:18] = 0
    mask = metrics.foreground_mask(holed)
    assert mask[20, 18, 16]
    assert not mask[0, 0, 0]
    assert mask.mean() == pytest.approx((a_head > 100).mean(), abs=0.01)


def test_foreground_of_ct_starts_above_air():
    array = np.full((20, 20, 20), -1000, np.int16)
    array[6:14, 6:14, 6:14] = 40
    assert metrics.foreground_mask(array).sum() == 8**3


def test_blur_is_worse_the_wider_it_is(a_head):
    results = [ndi.gaussian_filter(a_head, sigma) for sigma in (0.5, 1.0, 2.0)]
    for metric, sign in ((metrics.psnr, 1), (metrics.ssim, 1), (metrics.hfen, -1), (metrics.nrmse, -1)):
        values = [sign * metric(result, a_head) for result in results]
        assert values[0] > values[1] > values[2], metric.__name__


def test_moved_anatomy_and_a_brighter_image_of_equal_error_are_told_apart(a_head):
    # Both have about the same mean square error; only one has moved the anatomy.
    moved = np.roll(a_head, 1, axis=0)
    brighter = a_head + np.sqrt(np.mean(np.square(moved - a_head)))
    assert metrics.psnr(moved, a_head) == pytest.approx(metrics.psnr(brighter, a_head), abs=0.01)
    assert metrics.hfen(moved, a_head) > 0.3
    assert metrics.hfen(brighter, a_head) < 1e-3
    assert metrics.bias(brighter, a_head) > 10 * abs(metrics.bias(moved, a_head))


def test_redegradation_tells_who_explains_the_measurement(a_head):
    acquisition = Acquisition.from_factors(a_head.shape, (4, 1, 1))
    measured = acquisition.forward(a_head)
    truth = metrics.redegradation_residual(a_head, measured, acquisition)
    nearest = metrics.redegradation_residual(np.repeat(measured, 4, axis=0), measured, acquisition)
    fitted = metrics.redegradation_residual(acquisition.tikhonov(measured, 1e-3), measured, acquisition)
    assert truth < 1e-6 < fitted < 0.01 < nearest


def test_score_gathers_all_figures(a_head, a_noisy_head):
    acquisition = Acquisition.from_factors(a_head.shape, (2, 2, 2))
    measured = acquisition.forward(a_head)
    scores = metrics.score(a_noisy_head, a_head, acquisition, measured)
    mask = metrics.foreground_mask(a_head)
    assert scores.psnr == metrics.psnr(a_noisy_head, a_head)
    assert scores.psnr_mask == metrics.psnr(a_noisy_head, a_head, mask=mask)
    assert scores.hfen == metrics.hfen(a_noisy_head, a_head, mask=mask)
    assert scores.redegraded == metrics.redegradation_residual(a_noisy_head, measured, acquisition)
    assert metrics.score(a_noisy_head, a_head).redegraded is None


def test_integer_images_do_not_wrap_around():
    reference = np.array([[0, 200], [200, 0]], np.uint8)
    result = np.array([[10, 190], [200, 0]], np.uint8)
    assert metrics.bias(result, reference) == 0
    assert metrics.psnr(result, reference) == pytest.approx(10 * np.log10(200**2 / 50))


PAIRWISE = [metrics.psnr, metrics.ssim, metrics.hfen, metrics.bias, metrics.nrmse]


@pytest.mark.parametrize("metric", PAIRWISE)
def test_different_shapes_are_refused(metric):
    with pytest.raises(InvalidValueError, match="same grid"):
        metric(np.ones((12, 12, 12)), np.ones((12, 12, 11)))


@pytest.mark.parametrize("metric", PAIRWISE)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_results_that_are_not_finite_are_refused(metric, bad, a_head):
    result = a_head.copy()
    result[20, 20, 16] = bad
    with pytest.raises(InvalidValueError, match="NaN or infinite"), np.errstate(invalid="ignore"):
        metric(result, a_head)


def test_references_that_define_nothing_are_refused(a_head):
    constant = np.full_like(a_head, 3)
    for metric in (metrics.psnr, metrics.ssim):
        with pytest.raises(InvalidValueError, match="constant"):
            metric(a_head, constant)
    with pytest.raises(InvalidValueError, match="detail"):
        metrics.hfen(a_head, np.zeros_like(a_head))
    with pytest.raises(InvalidValueError, match="zero"):
        metrics.nrmse(a_head, np.zeros_like(a_head))
    with pytest.raises(InvalidValueError, match="constant"):
        metrics.foreground_mask(constant)


def test_masks_that_fit_nothing_are_refused(a_head):
    with pytest.raises(InvalidValueError, match="mask has shape"):
        metrics.psnr(a_head, a_head, mask=np.ones((2, 2, 2), bool))
    with pytest.raises(InvalidValueError, match="empty"):
        metrics.bias(a_head, a_head, mask=np.zeros(a_head.shape, bool))


def test_a_measurement_of_another_acquisition_is_refused(a_head):
    acquisition = Acquisition.from_factors(a_head.shape, (2, 1, 1))
    with pytest.raises(InvalidValueError, match="acquisition leads from"):
        metrics.redegradation_residual(a_head, a_head, acquisition)
