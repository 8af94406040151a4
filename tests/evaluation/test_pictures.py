"""Measures of pictures: exact values where they are known, and what noise of a known level must do to them."""

from __future__ import annotations

import math

import pytest
import torch
from skimage.metrics import structural_similarity
from skimage.restoration import estimate_sigma
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.evaluation import (
    denoiser_error,
    high_frequency,
    patch_distance,
    pixel_statistics_distance,
    power_spectrum,
    power_spectrum_distance,
    proximal,
    psnr,
    residual_noise,
    ssim,
)
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator


def pictures(n: int = 64, channels: int = 1, side: int = 24, key: str = "pictures") -> Tensor:
    """Smooth waves in [-1, 1]."""
    u = torch.rand((n, channels, 3), generator=keyed_generator(0, key), dtype=torch.float64)
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side, dtype=torch.float64)] * 2, indexing="ij")
    phase = 6 * u[..., 0, None, None] * x + 6 * u[..., 1, None, None] * y + 6.28 * u[..., 2, None, None]
    return phase.sin()


def noise(like: Tensor, sigma: float, key: str = "noise") -> Tensor:
    return sigma * standard_normal(like, keyed_generator(0, key))


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_of_a_known_level_shows_as_that_level(sigma: float, channels: int) -> None:
    clean = pictures(channels=channels)
    noisy = clean + noise(clean, sigma)
    assert residual_noise(clean).value < 0.01
    assert residual_noise(noisy).value == pytest.approx(sigma, rel=0.06)
    clean_square, noisy_square = high_frequency(clean).value ** 2, high_frequency(noisy).value ** 2
    assert noisy_square - clean_square == pytest.approx(sigma**2, rel=0.03)
    assert (residual_noise(noisy).n, high_frequency(noisy).n) == ((0, 64), (0, 64))


def test_residual_noise_is_the_mean_of_the_estimates_of_scikit_image() -> None:
    noisy = pictures(5) + noise(pictures(5), 0.3)
    assert residual_noise(noisy).value == pytest.approx(sum(float(estimate_sigma(one[0].numpy())) for one in noisy) / 5)
    assert residual_noise(torch.zeros(2, 1, 16, 16)).value == 0


def test_a_set_is_at_distance_0_from_itself_and_noise_takes_it_away() -> None:
    a = pictures(200)
    noisy = a + noise(a, 0.3)
    for measure in (
        pixel_statistics_distance,
        power_spectrum_distance,
        lambda x, y: patch_distance(x, y, keyed_generator(0, "p"), patches=4000),
    ):
        assert measure(a, a).value == pytest.approx(0, abs=1e-12)
        assert measure(a, noisy).value > 5 * measure(a, a.flip(0)).value
        assert measure(a, noisy).n == (200, 200)


def test_patches_of_two_normal_laws_are_at_the_distance_of_the_laws() -> None:
    a, b = torch.randn((2, 500, 1, 16, 16), generator=keyed_generator(0, "ab"), dtype=torch.float64)
    # sliced W2 of N(0, I) and N(m, s^2 I) in d dimensions: sqrt(|m|^2 / d + (s - 1)^2)
    found = patch_distance(a, 1.5 * b + 0.4, keyed_generator(0, "p"), patches=6000, projections=128).value
    assert found == pytest.approx(math.hypot(0.4, 0.5), rel=0.05)
    again = patch_distance(a, 1.5 * b + 0.4, keyed_generator(0, "p"), patches=6000, projections=128).value
    assert found == again


def test_pixel_statistics_are_the_distance_of_means_and_deviations() -> None:
    a = pictures(50)
    assert pixel_statistics_distance(a, a + 0.25).value == pytest.approx(0.25)
    centred = a - a.mean(0)
    assert pixel_statistics_distance(centred, 2 * centred).value == pytest.approx(
        float(centred.std(0).square().mean().sqrt())
    )


def test_the_spectrum_of_white_noise_is_flat_and_that_of_a_wave_is_at_its_radius() -> None:
    white = noise(torch.zeros(200, 1, 32, 32, dtype=torch.float64), 0.5)
    assert power_spectrum(white).shape == (16,)
    assert torch.allclose(power_spectrum(white), torch.full((16,), 0.25, dtype=torch.float64), rtol=0.06)
    x = torch.arange(32, dtype=torch.float64)
    wave = (2 * math.pi * 5 * x / 32).cos().expand(1, 1, 32, 32)
    spectrum = power_spectrum(wave)
    assert int(spectrum.argmax()) == 5 - 1
    assert float(spectrum.sum() - spectrum.max()) < 1e-20
    assert power_spectrum(torch.zeros(1, 1, 8, 32)).shape == (4,)
    assert power_spectrum_distance(white, 2 * white).value == pytest.approx(20 * math.log10(2))


def test_the_error_of_a_known_denoiser_is_the_known_one_at_every_level() -> None:
    clean = torch.randn((3000, 4), generator=keyed_generator(0, "clean"), dtype=torch.float64)
    exact = lambda x, sigma: x / (1 + sigma.unsqueeze(1) ** 2)  # noqa: E731  of N(0, 1)
    found = denoiser_error(exact, clean, [0.1, 1.0, 10.0], keyed_generator(0, "g"))
    for one in found:
        expected = one.sigma / math.sqrt(1 + one.sigma**2)
        assert abs(one.rms - expected) < 4 * one.error
        assert 0 < one.error < 0.02 * expected
        assert one.n == 3000
    assert [one.sigma for one in found] == [0.1, 1.0, 10.0]
    again = denoiser_error(exact, clean, [0.1, 1.0, 10.0], keyed_generator(0, "g"))
    assert found == again


def test_a_denoiser_is_given_the_condition_of_each_row() -> None:
    clean = torch.arange(130.0).reshape(130, 1)
    told = lambda x, sigma, *, answer: answer  # noqa: E731
    assert denoiser_error(told, clean, [1.0], keyed_generator(0, "g"), {"answer": clean})[0].rms == 0
    with pytest.raises(InputError, match="not finite"):
        denoiser_error(lambda x, sigma: x / 0, clean, [1.0], keyed_generator(0, "g"))
    with pytest.raises(InputError, match="no clean rows"):
        denoiser_error(lambda x, sigma: x, clean[:0], [1.0], keyed_generator(0, "g"))


def test_psnr_and_ssim_are_those_of_the_definitions() -> None:
    clean = pictures(6, channels=3)
    seen = clean + 0.1
    assert psnr(seen, clean).value == pytest.approx(10 * math.log10(4 / 0.01))
    assert psnr(clean, clean).value == math.inf
    noisy = clean + noise(clean, 0.2)
    one = structural_similarity(
        noisy[0].numpy(),
        clean[0].numpy(),
        data_range=2,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(noisy[:1], clean[:1]).value == pytest.approx(one)
    assert ssim(clean, clean).value == pytest.approx(1)
    assert ssim(noisy, clean).value < ssim(seen, clean).value
    with pytest.raises(InputError, match="at least 11 x 11"):
        ssim(clean[..., :8, :8], clean[..., :8, :8])
    with pytest.raises(InputError, match="shapes"):
        psnr(clean, clean[:3])


def test_proximal_rows_have_the_noise_asked_for_row_by_row_whatever_their_number() -> None:
    samples = torch.zeros(60, 1, 16, 16, dtype=torch.float64)
    sigma_n = torch.linspace(0.1, 0.7, 60, dtype=torch.float64)
    noisy = proximal(samples, sigma_n, 0)
    assert torch.allclose(noisy.flatten(1).std(1), sigma_n, rtol=0.2)
    assert float((noisy.flatten(1) / sigma_n[:, None]).std()) == pytest.approx(1, rel=0.02)
    assert len({float(row.flatten()[0] / level) for row, level in zip(noisy, sigma_n, strict=True)}) == 60, (
        "rows have noise of their own"
    )
    assert torch.equal(proximal(samples[:7], sigma_n[:7], 0), noisy[:7])
    assert not torch.equal(proximal(samples[:7], sigma_n[:7], 1), noisy[:7])
    assert torch.equal(proximal(samples, 0.0, 0), samples)
    by_pixel = torch.zeros(60, 1, 16, 16)
    by_pixel[..., :8] = 0.5
    assert float(proximal(samples, by_pixel, 0)[..., 8:].abs().max()) == 0


def test_rows_that_are_no_pictures_or_of_another_shape_are_refused() -> None:
    a = pictures(4)
    for measure in (residual_noise, high_frequency, power_spectrum):
        with pytest.raises(InputError, match="at least 8 x 8"):
            measure(torch.zeros(4, 2))
    with pytest.raises(InputError, match=r"\(1, 24, 24\).*\(1, 20, 20\)"):
        power_spectrum_distance(a, a[..., :20, :20])
    with pytest.raises(InputError, match="at least 30 x 30"):
        patch_distance(a, a, keyed_generator(0, "p"), size=30)
