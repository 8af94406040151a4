"""The algebra of noisy data: exact identities in float64, and finite values at every edge."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.maths.ambient import clean_std, inverse_square_of_a, top_up, tweedie_coefficients, tweedie_mix
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments, reverse_step
from ambientkit.maths.weights import edm_weight, hidden_factor
from ambientkit.testing.strategies import mixtures
from tests.support import ROOT

ORACLE = json.loads((ROOT / "tests" / "data" / "gaussian_mixture.json").read_text())
CASES = [(case, point) for case in ORACLE["cases"] for point in case["points"]]


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize(("case", "point"), CASES)
def test_the_mean_of_the_observation_follows_from_that_of_the_clean_point(case, point):
    found = tweedie_mix(tensor([point["mean_x0"]]), tensor([point["x_t"]]), point["sigma_t"], point["sigma_n"])
    torch.testing.assert_close(found[0], tensor(point["mean_xn"]), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("case", "point"), CASES)
def test_vp_eps_and_v_agree_with_the_variance_exploding_form(case, point):
    vp, sigma = point["vp"], point["sigma_t"]
    x_t, x_0_hat = tensor(point["x_t"]), tensor(point["mean_x0"])
    torch.testing.assert_close(x_t / (1 + sigma**2) ** 0.5, tensor(vp["x_t"]), rtol=0, atol=1e-10)
    eps = (x_t - x_0_hat) / sigma
    torch.testing.assert_close(eps, tensor(vp["eps"]), rtol=0, atol=1e-10)
    torch.testing.assert_close(vp["alpha_t"] * eps - vp["sigma_t"] * x_0_hat, tensor(vp["v"]), rtol=0, atol=1e-10)


@given(mixtures(), st.floats(0.02, 1.0), st.floats(1.01, 20.0), st.integers(0, 2**31), st.booleans())
def test_the_tweedie_mix_is_the_posterior_mean_of_the_noisier_mixture(law, sigma_n, ratio, seed, by_row):
    """x_n is itself a mixture with covariances C + sigma_n^2 I, seen through noise sqrt(sigma^2 - sigma_n^2): its
    oracle is independent."""
    sigma = sigma_n * ratio
    observed = GaussianMixture(
        law.weights, law.means, law.covariances + sigma_n**2 * torch.eye(law.dimension, dtype=torch.float64)
    )
    x_t = law.sample(3, keyed_generator(seed, "x")) + sigma
    missing = (sigma**2 - sigma_n**2) ** 0.5
    level_n = tensor([sigma_n] * 3) if by_row else sigma_n
    found = tweedie_mix(law.posterior_mean(x_t, sigma), x_t, sigma, level_n)
    torch.testing.assert_close(found, observed.posterior_mean(x_t, missing), rtol=1e-8, atol=1e-8)


def test_noise_by_pixel_mixes_each_pixel_by_its_own_level():
    """Independent pixels: the mix by pixel equals two one-dimensional mixes."""
    sigma_n = tensor([[0.1, 0.5]])
    x_t, x_0_hat = tensor([[0.3, -0.7]]), tensor([[0.2, -0.1]])
    together = tweedie_mix(x_0_hat, x_t, 0.8, sigma_n)
    apart = [float(tweedie_mix(x_0_hat[:, i : i + 1], x_t[:, i : i + 1], 0.8, float(sigma_n[0, i]))) for i in range(2)]
    torch.testing.assert_close(together[0], tensor(apart))


@given(st.floats(1e-3, 10), st.floats(0, 1))
def test_the_coefficients_sum_to_one_and_clean_data_give_the_identity(sigma, share):
    a, b = tweedie_coefficients(tensor(sigma), tensor(sigma * share))
    assert abs(float(a + b) - 1) < 1e-12
    assert 0 <= float(a) <= 1
    assert [float(v) for v in tweedie_coefficients(tensor(sigma), tensor(0.0))] == [1.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("above", [0.0, 1e-8, 1e-6, 1e-4, 1e-2])
def test_loss_and_gradient_are_finite_however_close_the_level_is_to_that_of_the_data(dtype, above):
    sigma_n, sigma = torch.tensor(0.2), torch.tensor(0.2 + above)
    x_n = torch.randn(4, 3, generator=keyed_generator(0, "x"))
    x_t = top_up(x_n, sigma_n, sigma, keyed_generator(0, "z"))
    x_0_hat = (0.9 * x_t).to(dtype).requires_grad_()
    factor = inverse_square_of_a(sigma, sigma_n, 25.0)
    loss = (factor * (tweedie_mix(x_0_hat.float(), x_t, sigma, sigma_n) - x_n) ** 2).sum()
    loss.backward()
    assert loss.isfinite()
    assert x_0_hat.grad.isfinite().all()
    assert float(factor) <= 25.0


def test_the_factor_is_one_over_a_squared_below_its_cap():
    a, _ = tweedie_coefficients(tensor(0.5), tensor(0.2))
    torch.testing.assert_close(inverse_square_of_a(tensor(0.5), tensor(0.2), 1e9), 1 / a**2)


@given(st.floats(0.0, 1.0), st.floats(0.0, 2.0), st.integers(0, 2**31))
def test_top_up_adds_exactly_the_missing_variance(sigma_n, extra, seed):
    sigma, x_n = sigma_n + extra, torch.zeros(2, 5, dtype=torch.float64)
    z = top_up(x_n, 0.0, 1.0, keyed_generator(seed, "z"))
    torch.testing.assert_close(
        top_up(x_n, sigma_n, sigma, keyed_generator(seed, "z")), (sigma**2 - sigma_n**2) ** 0.5 * z
    )


def test_noise_cannot_be_taken_away():
    with pytest.raises(ValueError, match="row 1"):
        top_up(torch.zeros(2, 3), torch.tensor([0.1, 0.5]), 0.3, keyed_generator(0, "z"))


@given(mixtures(max_modes=1), st.floats(0.2, 3), st.floats(0.05, 0.95), st.integers(0, 2**31))
def test_one_reverse_step_is_exact_for_gaussian_data(law, sigma_t, ratio, seed):
    """x_s | x_t of a Gaussian has mean E[x_0 | x_t] + ... : compared with the conditional law of the joint Gaussian."""
    sigma_s, x_t = sigma_t * ratio, law.sample(2, keyed_generator(seed, "x"))
    eye, mean, c = torch.eye(law.dimension, dtype=torch.float64), law.means[0], law.covariances[0]
    gain = (c + sigma_s**2 * eye) @ torch.linalg.inv(c + sigma_t**2 * eye)
    expected = mean + (x_t - mean) @ gain.mT
    level = lambda value: tensor([value] * 2)  # noqa: E731
    found, _ = reverse_moments(x_t, law.posterior_mean(x_t, sigma_t), level(sigma_t), level(sigma_s))
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@given(st.floats(0.1, 5), st.floats(0, 1), st.integers(0, 2**31))
def test_the_reverse_kernel_of_a_known_point_keeps_the_forward_law(sigma_t, ratio, seed):
    """Given x_0: Var[x_s] = r^2 sigma_t^2 + std^2 = sigma_s^2, and E[x_s] = x_0."""
    sigma_s = sigma_t * ratio
    x_0 = torch.full((1, 1), 0.7, dtype=torch.float64)
    mean, std = reverse_moments(x_0, x_0, tensor([sigma_t]), tensor([sigma_s]))
    assert abs(float(mean) - 0.7) < 1e-12
    assert abs((ratio**2 * sigma_t) ** 2 + float(std) ** 2 - sigma_s**2) < 1e-9 * sigma_t**2


def test_a_step_to_zero_is_the_denoised_point_and_a_step_nowhere_stays():
    x, h = torch.ones(2, 3), torch.zeros(2, 3)
    one, none = torch.ones(2), torch.zeros(2)
    assert torch.equal(reverse_step(x, h, one, none, keyed_generator(0, "z")), h)
    assert torch.equal(reverse_step(x, h, one, one, keyed_generator(0, "z")), x)


@pytest.mark.parametrize("sigma", [1e-12, 0.002, 80.0, 1e6])
def test_the_edm_weight_is_finite_and_equals_its_formula(sigma):
    weight = edm_weight(torch.tensor([sigma]), 0.5)
    assert weight.isfinite().all()
    torch.testing.assert_close(weight.double(), tensor([(sigma**2 + 0.25) / (sigma * 0.5) ** 2]), rtol=1e-5, atol=0)


@given(st.floats(1e-6, 1e6), st.floats(0, 1))
def test_the_factor_of_hidden_values_lies_between_the_weights_of_its_level_and_of_pure_noise(sigma, power):
    here = torch.tensor([sigma], dtype=torch.float64)
    weight = edm_weight(here, 0.5) * hidden_factor(here, 0.5, power)
    assert torch.allclose(weight, edm_weight(here, 0.5) ** (1 - power) * 4.0**power, rtol=1e-12)


def test_the_edm_weight_refuses_level_zero():
    with pytest.raises(ValueError, match="sigma > 0"):
        edm_weight(torch.tensor([0.1, 0.0]), 0.5)


def test_the_std_of_clean_data_is_found_under_their_noise():
    """Standard error of a std of 20,000 values is std / 200; five of them and the noise's share are allowed."""
    clean = 0.5 * torch.randn(20_000, 1, generator=keyed_generator(0, "x"))
    noisy = clean + 0.3 * torch.randn(20_000, 1, generator=keyed_generator(0, "n"))
    assert abs(clean_std(noisy, torch.full((20_000,), 0.3)) - 0.5) < 0.02
    assert clean_std(noisy, torch.full((20_000,), 3.0)) == 0.0
