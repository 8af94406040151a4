"""The oracle reproduces values computed elsewhere in 50 digits, and its identities hold for any mixture."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.testing.strategies import mixtures
from tests.support import ROOT

ORACLE = json.loads((ROOT / "tests" / "data" / "gaussian_mixture.json").read_text())
CASES = [(case, point) for case in ORACLE["cases"] for point in case["points"]]


def law_of(case):
    return GaussianMixture(case["mixture"]["weights"], case["mixture"]["means"], case["mixture"]["covs"])


@pytest.mark.parametrize(("case", "point"), CASES)
def test_the_oracle_file_is_reproduced_to_ten_digits(case, point):
    law, x, sigma = law_of(case), torch.tensor([point["x_t"]], dtype=torch.float64), point["sigma_t"]
    found = {
        "log_prob": law.log_prob(x, sigma),
        "score": law.score(x, sigma),
        "mean_x0": law.posterior_mean(x, sigma),
        "cov_x0": law.posterior_covariance(x, sigma),
    }
    for name, value in found.items():
        torch.testing.assert_close(value[0], torch.tensor(point[name], dtype=torch.float64), rtol=0, atol=1e-10)


@given(mixtures(), st.floats(0.05, 3), st.integers(0, 2**31))
def test_tweedies_formula_links_score_and_posterior_mean(law, sigma, seed):
    x = law.sample(4, keyed_generator(seed, "x")) + sigma
    torch.testing.assert_close(law.posterior_mean(x, sigma), x + sigma**2 * law.score(x, sigma), rtol=1e-8, atol=1e-8)


@given(mixtures(), st.floats(0.05, 3), st.integers(0, 2**31))
def test_the_score_is_the_gradient_of_the_log_density(law, sigma, seed):
    x = (law.sample(4, keyed_generator(seed, "x")) + sigma).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x, sigma).sum(), x)
    torch.testing.assert_close(law.score(x, sigma), gradient, rtol=1e-8, atol=1e-8)


@given(mixtures(), st.floats(0.05, 3), st.integers(0, 2**31))
def test_the_posterior_covariance_is_sigma_squared_times_the_jacobian_of_the_mean(law, sigma, seed):
    """Cov[x_0 | x] = sigma^2 d E[x_0 | x] / dx, the second Tweedie formula."""
    x = law.sample(1, keyed_generator(seed, "x")) + sigma
    jacobian = torch.autograd.functional.jacobian(lambda p: law.posterior_mean(p, sigma), x)[0, :, 0]
    torch.testing.assert_close(law.posterior_covariance(x, sigma)[0], sigma**2 * jacobian, rtol=1e-7, atol=1e-7)


@given(mixtures(), st.integers(0, 2**31))
def test_a_level_for_each_row_is_the_same_as_one_call_a_row(law, seed):
    sigma = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)
    x = law.sample(3, keyed_generator(seed, "x"))
    together = law.posterior_mean(x, sigma)
    apart = torch.cat([law.posterior_mean(x[i : i + 1], float(sigma[i])) for i in range(3)])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(together[0], x[0], rtol=1e-9, atol=1e-9)  # no noise: the point itself


def test_posterior_draws_have_the_posterior_moments():
    """20,000 draws, each of 5 moments within 4.9 standard errors: a right sampler fails once in 10^5 runs; the seed is
    fixed."""
    law = law_of(ORACLE["cases"][2])
    x, n = torch.tensor([[0.3, -0.8]], dtype=torch.float64), 20_000
    draws = law.sample_posterior(x.expand(n, 2), 0.7, keyed_generator(0, "draws"))
    mean, covariance = law.posterior_mean(x, 0.7)[0], law.posterior_covariance(x, 0.7)[0]
    centred = draws - mean
    products = torch.stack(
        [centred[:, 0], centred[:, 1], centred[:, 0] ** 2, centred[:, 0] * centred[:, 1], centred[:, 1] ** 2], dim=1
    )
    expected = torch.stack(
        [mean.new_zeros(()), mean.new_zeros(()), covariance[0, 0], covariance[0, 1], covariance[1, 1]]
    )
    z = (products.mean(0) - expected) / (products.std(0) / n**0.5)
    assert z.abs().max() < 4.9
    wrong = (products.mean(0) * 1.2 - expected) / (products.std(0) / n**0.5)
    assert wrong.abs().max() > 4.9  # the control: variances off by a fifth are seen


def test_samples_follow_the_mixture():
    """The probability transform of the first coordinate is uniform: Kolmogorov-Smirnov at level 1e-4, seed fixed, with
    a control."""
    from scipy import stats

    law = law_of(ORACLE["cases"][0])
    x = law.sample(5000, keyed_generator(0, "s"))[:, 0]
    std = law.covariances[:, 0, 0].sqrt()

    def cdf(points):
        return (law.weights * torch.special.ndtr((points.unsqueeze(1) - law.means[:, 0]) / std)).sum(1)

    assert stats.kstest(cdf(x).numpy(), "uniform").pvalue > 1e-4
    assert stats.kstest(cdf(x * 1.05).numpy(), "uniform").pvalue < 1e-4


def test_pictures_and_flat_points_are_the_same_points():
    law = law_of(ORACLE["cases"][5])
    x = torch.randn(3, 4, generator=keyed_generator(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(
        law.denoiser()(x.reshape(3, 1, 2, 2), torch.ones(3)).reshape(3, 4), law.posterior_mean(x, 1.0)
    )
    assert law.denoiser()(x.float(), torch.ones(3)).dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        ([1.0], [[0.0]], [[[-1.0]]], "semi-definite"),
        ([1.0, -1.0], [[0.0], [1.0]], [[[1.0]], [[1.0]]], "positive"),
        ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]], "symmetric"),
        ([1.0], [[0.0, 0.0]], [[[1.0]]], "covariances must be"),
        ([1.0, 1.0], [[0.0]], [[[1.0]]], "must be"),
    ],
)
def test_parameters_that_are_no_mixture_are_refused(weights, means, covariances, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(weights, means, covariances)


def test_a_singular_covariance_needs_noise():
    law = GaussianMixture([1.0], [[0.0, 0.0]], [[[1.0, 0.0], [0.0, 0.0]]])
    x = torch.ones(1, 2, dtype=torch.float64)
    assert law.posterior_mean(x, 1.0)[0].tolist() == [0.5, 0.0]
    with pytest.raises(ValueError, match="sigma"):
        law.log_prob(x, 0.0)
