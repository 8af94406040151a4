"""Exact identities, in float64, for drawn mixtures of 1 to 6 modes in 1 to 8 dimensions with full covariances."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.maths.ambient import inverse_square_of_a, tweedie_mix
from ambientkit.maths.forms import Form, flow_input, flow_time, from_x_0, observation, to_x_0, vp_coefficients, vp_input
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments
from ambientkit.testing.strategies import mixtures
from ambientkit.verification.case import ExactReverse

SEEDS = st.integers(0, 2**31)
ROWS = 3


def close(found: Tensor, right: Tensor, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(found, right, rtol=tolerance, atol=tolerance)


def uniforms(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=keyed_generator(seed, "u"), dtype=torch.float64)


def points(law: GaussianMixture, seed: int, level: Tensor | float = 0.5, rows: int = ROWS) -> Tensor:
    generator = keyed_generator(seed, "points")
    level = torch.as_tensor(level, dtype=torch.float64).reshape(-1, 1)
    return law.sample(rows, generator) + level * torch.randn(
        rows, law.dimension, generator=generator, dtype=torch.float64
    )


def spread(law: GaussianMixture, variances: Tensor) -> GaussianMixture:
    """The law of x_0 plus independent noise of these variances by coordinate."""
    return GaussianMixture(law.weights, law.means, law.covariances + torch.diag(variances))


def mean_of_observation(law: GaussianMixture, x_t: Tensor, sigma: Tensor, sigma_n: Tensor) -> Tensor:
    """E[x_n | x_t], x_t (1, d), sigma_n (d,): x_n / c follows a mixture, seen in x_t / c at unit level, c =
    sqrt(sigma^2 - sigma_n^2)."""
    c = (sigma**2 - sigma_n**2).sqrt()
    noisy = GaussianMixture(
        law.weights, law.means / c, (law.covariances + torch.diag(sigma_n**2)) / (c.unsqueeze(1) * c)
    )
    return c * noisy.posterior_mean(x_t / c, 1.0)


@given(mixtures(), SEEDS, st.booleans())
def test_the_mean_of_the_observation_by_row_and_by_pixel(law, seed, by_pixel):
    u = uniforms(seed, ROWS, law.dimension)
    sigma_n = 0.02 + 0.8 * (u if by_pixel else u[:, 0])
    level = sigma_n if by_pixel else sigma_n.unsqueeze(1).expand(ROWS, law.dimension)
    sigma = level.amax(1) * (1.05 + 3 * uniforms(seed + 1, ROWS))
    x_t = points(law, seed, sigma)
    found = Gaussian().expect(
        law.posterior_mean(x_t, sigma), View(x_t, sigma, {}), Batch(x_t, sigma_n, torch.arange(ROWS), {})
    )
    right = torch.cat([mean_of_observation(law, x_t[i : i + 1], sigma[i], level[i]) for i in range(ROWS)])
    close(found, right)


@given(mixtures(), st.floats(0.02, 20), SEEDS)
def test_a_denoiser_of_the_vp_form_is_ours_on_scaled_points(law, sigma, seed):
    """alpha x_0 is itself a mixture, seen at level s: its posterior mean is alpha times ours, at the point the network
    is fed."""
    alpha, s = (float(value) for value in vp_coefficients(torch.tensor(sigma, dtype=torch.float64)))
    scaled = GaussianMixture(law.weights, alpha * law.means, alpha**2 * law.covariances)
    x = points(law, seed, sigma)
    close(scaled.posterior_mean(vp_input(x, sigma), s), alpha * law.posterior_mean(x, sigma))
    assert abs(alpha**2 + s**2 - 1) < 1e-12


@given(mixtures(), st.floats(0.02, 20), SEEDS)
def test_a_denoiser_of_the_flow_form_is_ours_on_scaled_points(law, sigma, seed):
    t = float(flow_time(torch.tensor(sigma, dtype=torch.float64)))
    scaled = GaussianMixture(law.weights, (1 - t) * law.means, (1 - t) ** 2 * law.covariances)
    x = points(law, seed, sigma)
    close(scaled.posterior_mean(flow_input(x, sigma), t), (1 - t) * law.posterior_mean(x, sigma))


@given(mixtures(), st.floats(0.02, 20), SEEDS)
def test_every_answer_of_a_network_leads_to_the_posterior_mean(law, sigma, seed):
    """E[z | x] = -sigma score, and v and flow are linear in x_0 and z: the answers are written down without `forms`."""
    x = points(law, seed, sigma)
    x_0, z = law.posterior_mean(x, sigma), -sigma * law.score(x, sigma)
    alpha = 1 / (1 + sigma**2) ** 0.5
    answers: dict[Form, Tensor] = {"x_0": x_0, "eps": z, "v": alpha * z - alpha * sigma * x_0, "flow": z - x_0}
    for form, answer in answers.items():
        close(to_x_0(answer, x, sigma, form), x_0, 1e-7)
        close(from_x_0(x_0, x, sigma, form), answer, 1e-7)


@given(
    st.floats(0, 1e6),
    SEEDS,
    st.sampled_from(["eps", "v", "flow", "x_0"]),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_forms_are_finite_in_every_precision_and_return_at_least_float32(sigma, seed, form, dtype):
    x = (uniforms(seed, 2, 3) * 2 - 1).to(dtype)
    found = to_x_0(x, x, sigma, form)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    assert vp_input(x, sigma).isfinite().all()
    assert flow_input(x, sigma).isfinite().all()


@pytest.mark.parametrize("form", ["eps", "v", "flow"])
def test_without_noise_the_point_is_the_answer_and_says_nothing_of_the_noise(form):
    x = torch.tensor([[0.3, -0.2]])
    assert torch.equal(to_x_0(torch.full_like(x, 7.0), x, 0.0, form), x)
    with pytest.raises(ValueError, match="at sigma = 0"):
        from_x_0(x, x, torch.tensor([0.0]), form)


@given(mixtures(), st.floats(0.2, 1), st.floats(0.05, 1), SEEDS)
def test_an_observation_of_another_form_enters_with_its_own_level(law, alpha, s, seed):
    """The density of y = alpha x_0 + s z at y is that of x_n at y / alpha over alpha^d."""
    scaled = GaussianMixture(law.weights, alpha * law.means, alpha**2 * law.covariances)
    y = points(law, seed)
    x_n, sigma_n = observation(y, alpha, s)
    close(
        law.log_prob(x_n, float(sigma_n)) - law.dimension * torch.tensor(alpha).double().log(),
        scaled.log_prob(y, s),
        1e-7,
    )


def test_an_observation_without_signal_is_refused():
    with pytest.raises(ValueError, match="alpha must be positive"):
        observation(torch.ones(2, 3), torch.tensor([0.5, 0.0]), 1.0)


@given(mixtures(), st.floats(0.02, 1), st.floats(1.001, 30), SEEDS, st.booleans())
def test_top_up_keeps_the_marginal(law, sigma_n, ratio, seed, by_pixel):
    """The density of x_n plus the missing noise is that of x_0 plus noise sigma, for one level and for one by
    coordinate."""
    share = uniforms(seed, law.dimension) if by_pixel else torch.ones(law.dimension, dtype=torch.float64)
    levels, sigma = sigma_n * share, sigma_n * ratio
    x = points(law, seed, sigma)
    topped = spread(spread(law, levels**2), sigma**2 - levels**2)
    close(topped.log_prob(x), law.log_prob(x, sigma))


@given(mixtures(), st.floats(0.05, 10), st.floats(0.05, 0.99), SEEDS)
def test_the_moments_of_the_reverse_step_are_those_of_the_mixture(law, sigma_t, ratio, seed):
    """x_s follows the mixture at level sigma_s and is seen in x_t: its mean is that of the step, its covariance that
    plus (1 - r)^2 Cov[x_0 | x_t]."""
    sigma_s, x_t = sigma_t * ratio, points(law, seed, sigma_t)
    between = spread(law, torch.full((law.dimension,), sigma_s**2, dtype=torch.float64))
    missing = (sigma_t**2 - sigma_s**2) ** 0.5
    levels = [torch.full((ROWS,), level, dtype=torch.float64) for level in (sigma_t, sigma_s)]
    mean, std = reverse_moments(x_t, law.posterior_mean(x_t, sigma_t), *levels)
    close(mean, between.posterior_mean(x_t, missing), 1e-7)
    lacking = (1 - ratio**2) ** 2 * law.posterior_covariance(x_t, sigma_t)
    close(
        std.square().unsqueeze(2) * torch.eye(law.dimension) + lacking, between.posterior_covariance(x_t, missing), 1e-7
    )


@given(mixtures(max_dimension=2), st.floats(0.3, 2), st.floats(0.3, 0.95), SEEDS)
def test_the_denoiser_is_a_martingale_of_the_exact_reverse_process(law, sigma_t, ratio, seed):
    """E[h(x_s) | x_t] = h(x_t), the left side by the trapezoidal rule, which is exact to rounding for functions as
    smooth as these."""
    sigma_s, x_t = sigma_t * ratio, points(law, seed, sigma_t, rows=1)
    missing = (sigma_t**2 - sigma_s**2) ** 0.5
    # p(x_s | x_t) is proportional to p_s(x_s) N(x_t; x_s, missing^2); nothing of it lies beyond 9 std of the second
    # factor.
    steps = 1201 if law.dimension == 1 else 161
    axis = torch.linspace(-9 * missing, 9 * missing, steps, dtype=torch.float64)
    offsets = torch.cartesian_prod(*[axis] * law.dimension).reshape(-1, law.dimension)
    x_s = x_t + offsets
    weight = torch.softmax(law.log_prob(x_s, sigma_s) - offsets.square().sum(1) / (2 * missing**2), dim=0)
    close((weight.unsqueeze(1) * law.posterior_mean(x_s, sigma_s)).sum(0), law.posterior_mean(x_t, sigma_t)[0], 1e-7)


@given(mixtures(max_dimension=3), SEEDS)
def test_the_exact_sampler_in_one_long_hop_has_the_moments_of_its_kernel(law, seed):
    """5,000 draws from one point: each mean within 5.5 standard errors, which a right sampler exceeds once in 10^7
    coordinates."""
    n, sigma_t, sigma_s = 5000, 1.5, 0.3
    x_t = points(law, seed, sigma_t, rows=1)
    grid = torch.tensor([[sigma_t], [sigma_s]], dtype=torch.float64).expand(2, n)
    draws = ExactReverse(mixture=law).sample(law.denoiser(), x_t.expand(n, -1), grid, keyed_generator(seed, "hop"), {})
    right = spread(law, torch.full((law.dimension,), sigma_s**2, dtype=torch.float64)).posterior_mean(
        x_t, (sigma_t**2 - sigma_s**2) ** 0.5
    )
    assert ((draws.mean(0) - right[0]).abs() < 5.5 * draws.std(0) / n**0.5).all()


@given(mixtures(), st.floats(0.3, 1), SEEDS)
def test_the_limit_of_antithetic_pairs_is_steins_unbiased_risk_estimate(law, sigma_n, seed):
    """mean over +-z of |rho / a|^2, less sigma_n^4 |z|^2 / c^2, tends to |h - x_n|^2 + 2 sigma_n^2 z^T J z as c ->
    0."""
    generator = keyed_generator(seed, "sure")
    x_n = points(law, seed, sigma_n, rows=1)
    z = torch.randn(1, law.dimension, generator=generator, dtype=torch.float64)
    h = law.posterior_mean(x_n, sigma_n)
    jacobian = law.posterior_covariance(x_n, sigma_n)[0] / sigma_n**2
    sure = (h - x_n).square().sum() + 2 * sigma_n**2 * (z @ jacobian @ z.T)[0, 0]

    def error(c: float) -> float:
        sigma = torch.tensor((sigma_n**2 + c**2) ** 0.5, dtype=torch.float64)
        level = torch.tensor(sigma_n, dtype=torch.float64)
        total = torch.zeros((), dtype=torch.float64)
        for x_t in (x_n + c * z, x_n - c * z):
            # The denoiser is held at level sigma_n: its change with the level is of order c^2 as well.
            residual = tweedie_mix(law.posterior_mean(x_t, sigma_n), x_t, float(sigma), sigma_n) - x_n
            total = total + inverse_square_of_a(sigma, level, 1e12) * residual.square().sum() / 2
        return abs(float(total - sigma_n**4 * z.square().sum() / c**2 - sure))

    # At c = .01 what is left is of order 1e-4, and the digits that sigma - sigma_n has lost are not yet felt.
    assert error(0.01) < 0.01 * (1 + float(sure.abs()) + float(z.square().sum()))
