"""Restoration, where the posterior is known in closed form: the draws have its moments, the spread is honest, and a
wrong sampler is found out."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

from ambientkit.batch import Batch, take
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Levels, Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments
from ambientkit.sample import Batches, restore
from ambientkit.verification.case import default_mixture

LAW, LEVELS = default_mixture(), Levels(0.005, 20.0)
EXACT = LAW.denoiser()
SIGMA_N = 0.3


def observed(n, sigma_n=SIGMA_N):
    """(clean points, noisy rows), float64."""
    x_0 = LAW.sample(n, keyed_generator(1, "points"))
    return x_0, Gaussian(sigma_n=sigma_n).observe(x_0, torch.arange(n), keyed_generator(2, "noise"))


def moments(sampler, denoiser=EXACT, rows=4, draws=2500):
    """The largest error of the mean of the draws, in posterior standard deviations, and that of their standard
    deviation, relative."""
    _, batch = observed(rows)
    found = restore(denoiser, batch, Gaussian(), sampler, LEVELS, draws=draws, steps=64, batch_size=10_000)
    exact = LAW.posterior_covariance(batch.x_n, SIGMA_N).diagonal(dim1=1, dim2=2).sqrt()
    bias = (found.draws.mean(1) - LAW.posterior_mean(batch.x_n, SIGMA_N)) / exact
    return float(bias.abs().max()), float((found.std / exact - 1).abs().max())


@pytest.mark.slow
def test_the_draws_have_the_mean_and_spread_of_the_posterior():
    """Sampling error of 2,500 draws: .02 and, for Gaussians, .014. Of 64 steps (8,000 draws of six rows): at most .04
    and .07."""
    bias, spread = moments(Ancestral())
    assert bias < 0.1
    assert spread < 0.12


class Deterministic(Sampler):
    """The mean of the reverse step, which claims more than it does."""

    name = "deterministic"
    claims = Ancestral.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x, _ = reverse_moments(x, denoiser(x, sigma_t), sigma_t, sigma_s)
        return x


@pytest.mark.parametrize(
    ("sampler", "denoiser"),
    [
        (Deterministic(), EXACT),
        (Ancestral(), lambda x, sigma, /: EXACT(x, 1.25 * sigma)),
        (Ancestral(), lambda x, sigma, /: 0.9 * EXACT(x, sigma)),
    ],
    ids=["no noise", "wrong level", "shrunken"],
)
@pytest.mark.slow
def test_the_moments_find_a_wrong_sampler_or_denoiser(sampler, denoiser):
    bias, spread = moments(sampler, denoiser, rows=3, draws=1000)
    assert bias > 0.15 or spread > 0.18


def ranks(batch, x_0, draws=9):
    """p-value of "x_0 is one more draw": the rank of x_0 among its draws is uniform, along each axis."""
    found = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, draws=draws, steps=40, batch_size=10_000)
    p_values = []
    for axis in range(2):
        rank = (found.draws[:, :, axis] < x_0[:, None, axis]).sum(1)
        p_values.append(scipy.stats.chisquare(torch.bincount(rank, minlength=draws + 1).numpy()).pvalue)
    return min(p_values) * 2, found


@pytest.mark.parametrize("noise", ["one level", "by row", "by pixel"])
@pytest.mark.slow
def test_the_clean_row_cannot_be_told_from_a_draw(noise):
    n = 800
    if noise == "by pixel":
        x_0 = LAW.sample(n, keyed_generator(1, "points"))
        sigma_n = torch.tensor([0.1, 0.4], dtype=torch.float64).expand(n, 2)
        z = torch.randn(n, 2, generator=keyed_generator(3, "z"), dtype=torch.float64)
        batch = Batch(x_0 + sigma_n * z, sigma_n, torch.arange(n), {})
    else:
        x_0, batch = observed(n, SIGMA_N if noise == "one level" else (0.1, 0.5))
    p_value, found = ranks(batch, x_0)
    assert p_value > 1e-4
    assert bool(found.topped_up.all()) == (noise == "by pixel")
    if noise == "by pixel":
        assert (found.sigma == 0.4).all()
    if noise != "by row":
        return
    wrong = batch._replace(sigma_n=0.6 * batch.sigma_n)
    assert ranks(wrong, x_0)[0] < 1e-6


def test_the_posterior_mean_is_one_call_of_the_denoiser_and_the_mean_of_many_draws_comes_near_it():
    _, batch = observed(4)
    found = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, draws=400, batch_size=2000)
    torch.testing.assert_close(found.mean, EXACT(batch.x_n, batch.sigma_n))
    apart = (found.draws.mean(1) - found.mean) / (found.std / 400**0.5)
    assert 0 < float(apart.abs().max()) < 4.5


def test_a_draw_depends_on_seed_row_and_number_only():
    _, batch = observed(5, (0.1, 0.4))
    options = {"draws": 3, "steps": 5, "seed": 7}
    whole = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, batch_size=64, **options).draws
    torch.testing.assert_close(
        restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, batch_size=2, **options).draws, whole
    )
    some = torch.tensor([4, 1])
    torch.testing.assert_close(
        restore(EXACT, take(batch, some), Gaussian(), Ancestral(), LEVELS, **options).draws, whole[some]
    )
    more = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, **{**options, "draws": 5}).draws
    torch.testing.assert_close(more[:, :3], whole)
    other = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, **{**options, "seed": 8}).draws
    assert float((other - whole).abs().min()) > 0


def test_clean_rows_come_back_as_they_are_and_the_rest_are_restored():
    _, batch = observed(4)
    mixed = batch._replace(sigma_n=torch.tensor([0.0, 0.3, 0.001, 0.3], dtype=torch.float64))
    found = restore(EXACT, mixed, Gaussian(), Ancestral(), LEVELS, draws=2)
    assert found.as_it_is.tolist() == [True, False, True, False]
    for row in (0, 2):
        assert torch.equal(found.mean[row], batch.x_n[row])
        assert torch.equal(found.draws[row], batch.x_n[row].expand(2, 2))
        assert not found.std[row].any()
    assert float((found.draws[1] - batch.x_n[1]).abs().max()) > 0.01


def test_stopping_at_the_noise_of_the_data_is_the_posterior_mean_without_any_draw():
    _, batch = observed(3)
    found = restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, draws=2, sigma_min=0.3)
    assert torch.equal(found.draws, found.mean.unsqueeze(1).expand(-1, 2, -1))
    assert float(restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, draws=2, sigma_min=0.29).std.min()) > 0


def test_a_sampler_without_the_reverse_kernel_is_refused_but_the_mean_needs_none():
    _, batch = observed(2)
    with pytest.raises(InputError, match="'heun' does not draw from the reverse kernel"):
        restore(EXACT, batch, Gaussian(), Heun(), LEVELS)
    found = restore(EXACT, batch, Gaussian(), Heun(), LEVELS, draws=0)
    assert found.std is None
    assert found.draws.shape == (2, 0, 2)
    torch.testing.assert_close(found.mean, EXACT(batch.x_n, batch.sigma_n))


@pytest.mark.slow
def test_a_batch_that_does_not_fit_into_memory_is_halved_and_done_again():
    _, batch = observed(9)
    seen = []

    def hungry(x, sigma, /):
        seen.append(len(x))
        if len(x) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 4 apples")
        return EXACT(x, sigma)

    batches = Batches(16)
    found = restore(hungry, batch, Gaussian(), Ancestral(), LEVELS, draws=2, steps=3, batch_size=batches)
    torch.testing.assert_close(
        found.draws, restore(EXACT, batch, Gaussian(), Ancestral(), LEVELS, draws=2, steps=3).draws
    )
    assert batches.size <= 3
    assert seen.count(9) == 1, "the size is remembered"

    def starving(x, sigma, /):
        raise RuntimeError("CUDA out of memory. Tried to allocate 4 apples")

    with pytest.raises(RunError, match="not even one sample"):
        restore(starving, batch, Gaussian(), Ancestral(), LEVELS)

    def broken(x, sigma, /):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        restore(broken, batch, Gaussian(), Ancestral(), LEVELS)
