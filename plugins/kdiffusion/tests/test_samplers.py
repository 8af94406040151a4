"""k-diffusion's samplers as parts: the law they draw, where their noise comes from, and that rows do not meet."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from ambientkit_kdiffusion import samplers
from ambientkit_kdiffusion.noise import Nested
from ambientkit_kdiffusion.plugin import register_samplers

from ambientkit.builtin.checks.other_fields import variants
from ambientkit.builtin.checks.sampler_contract import SamplerContract
from ambientkit.builtin.data.mixture import Mixture
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Sampler
from ambientkit.maths.levels import edm_grid
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.verification import case_for

SIGMA_MAX = 20.0
CHURNED = [part(s_churn=20.0) for part in (samplers.Euler, samplers.Heun, samplers.DPM2)]
ALL = [*(part() for part in register_samplers()), *CHURNED, samplers.DPMpp2MSDE(solver_type="heun")]
FIRST_ORDER = {"sample_euler", "sample_euler_ancestral"}
DETERMINISTIC = {"sample_euler", "sample_heun", "sample_dpm_2", "sample_lms", "sample_dpmpp_2m"}
RING = Mixture().law()


def label(part: Sampler) -> str:
    return (
        part.name
        + ("-churn" if getattr(part, "s_churn", 0) else "")
        + ("-heun" if getattr(part, "solver_type", "") == "heun" else "")
    )


every_sampler = pytest.mark.parametrize("sampler", ALL, ids=label)


def grid(steps: int, rows: int, *, end: float = 0.0, sigma_max: float = SIGMA_MAX) -> torch.Tensor:
    """(steps + 1, rows): an EDM grid that ends in `end`."""
    return (
        torch.cat([edm_grid(steps, 0.02, sigma_max), torch.tensor([end], dtype=torch.float64)])
        .unsqueeze(1)
        .expand(-1, rows)
    )


@every_sampler
def test_the_final_law_on_gaussian_data_has_the_right_mean_and_covariance(sampler):
    """60 steps, 8,000 rows. Tolerances: the step error of each order (measured .16 and .035 in the variance) and 5
    standard errors."""
    law = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.25, 0.1], [0.1, 0.16]]])
    n, generator = 8_000, keyed_generator(7, "law")
    start = law.sample(n, generator) + SIGMA_MAX * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    end = sampler.sample(law.denoiser(), start, grid(60, n), generator, {})
    assert (end.mean(0) - law.means[0]).abs().max() < 5 * 0.5 / n**0.5
    tolerance = 0.21 if sampler.name in FIRST_ORDER else 0.08
    assert (end.T.cov() / law.covariances[0] - 1).abs().max() < tolerance


@every_sampler
def test_a_row_does_not_depend_on_the_rows_it_is_batched_with(sampler):
    """Rows 0 and 2 have one grid, rows 1 and 3 others; each alone, in pairs and all together."""
    x = SIGMA_MAX * torch.randn(4, 2, generator=keyed_generator(1, "rows"), dtype=torch.float64)
    sigmas = torch.stack([grid(8, 1, sigma_max=high)[:, 0] for high in (20.0, 10.0, 20.0, 5.0)], dim=1)
    shift = torch.tensor([[0.0], [0.1], [0.2], [0.3]], dtype=torch.float64)

    def denoiser(x, sigma, /, *, shift):
        return RING.posterior_mean(x, sigma) + shift

    def run(rows: list[int]) -> torch.Tensor:
        generators = [keyed_generator(5, "row", row=row) for row in rows]
        return sampler.sample(denoiser, x[rows], sigmas[:, rows], generators, {"shift": shift[rows]})

    together = run([0, 1, 2, 3])
    for rows in ([0], [1], [2], [3], [0, 2], [0, 1], [3, 1], [2, 3, 0, 1]):
        torch.testing.assert_close(run(rows), together[rows], rtol=0, atol=1e-5)


@every_sampler
def test_the_same_generator_state_gives_the_same_points_and_another_others(sampler):
    x = SIGMA_MAX * torch.randn(3, 2, generator=keyed_generator(2, "start"), dtype=torch.float64)
    first, again, other = (
        sampler.sample(RING.denoiser(), x, grid(10, 3), keyed_generator(seed, "noise"), {}) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    draws = sampler.name not in DETERMINISTIC or sampler in CHURNED
    assert torch.equal(first, other) != draws


@every_sampler
def test_a_deterministic_sampler_leaves_the_generator_where_it_was(sampler):
    generator = keyed_generator(3, "still")
    before = generator.get_state()
    sampler.sample(RING.denoiser(), torch.ones(2, 2, dtype=torch.float64), grid(4, 2), generator, {})
    draws = sampler.name not in DETERMINISTIC or sampler in CHURNED
    assert torch.equal(before, generator.get_state()) != draws


@every_sampler
def test_gradients_flow_where_the_caller_allows_them_and_only_there(sampler):
    x = torch.full((2, 2), 3.0, dtype=torch.float64, requires_grad=True)
    sigmas = grid(3, 2, end=0.01)
    end = sampler.sample(RING.denoiser(), x, sigmas, keyed_generator(4, "gradient"), {})
    assert torch.autograd.grad(end.sum(), x)[0].abs().sum() > 0
    with torch.no_grad():
        assert not sampler.sample(RING.denoiser(), x, sigmas, keyed_generator(4, "gradient"), {}).requires_grad


@every_sampler
def test_float32_points_with_a_float64_grid_stay_float32_and_half_precision_is_computed_in_float32(sampler):
    seen = set()

    def denoiser(x, sigma, /):
        seen.update({x.dtype, sigma.dtype})
        return RING.posterior_mean(x, sigma).to(x.dtype)

    x = SIGMA_MAX * torch.randn(3, 2, generator=keyed_generator(6, "half"))
    exact = sampler.sample(denoiser, x, grid(6, 3), keyed_generator(6, "z"), {})
    half = sampler.sample(denoiser, x.bfloat16(), grid(6, 3), keyed_generator(6, "z"), {})
    assert (exact.dtype, half.dtype, seen) == (torch.float32, torch.bfloat16, {torch.float32})


@pytest.mark.parametrize("sampler", [sampler for sampler in ALL if sampler not in CHURNED], ids=label)
def test_a_step_too_short_for_the_precision_adds_nothing(sampler):
    sigma = torch.tensor([0.2, 0.2 * (1 - 1e-12)], dtype=torch.float64)
    x = torch.randn(3, 2, generator=keyed_generator(8, "short"))
    end = sampler.sample(RING.denoiser(), x, sigma.unsqueeze(1).expand(2, 3), keyed_generator(8, "z"), {})
    assert (end - x).abs().max() < 1e-6


def test_no_rows_are_no_rows():
    none = torch.empty(0, 2)
    assert samplers.DPMppSDE().sample(RING.denoiser(), none, grid(3, 0), keyed_generator(0, "none"), {}).shape == (0, 2)


def test_sample_heun_is_the_built_in_heun_and_sample_euler_is_eulers_rule():
    x = SIGMA_MAX * torch.randn(5, 2, generator=keyed_generator(9, "start"), dtype=torch.float64)
    sigmas, g, exact = grid(20, 5), keyed_generator(9, "z"), RING.denoiser()
    torch.testing.assert_close(
        samplers.Heun().sample(exact, x, sigmas, g, {}), Heun().sample(exact, x, sigmas, g, {}), rtol=1e-9, atol=1e-9
    )
    by_hand = x
    for sigma_t, sigma_s in pairwise(sigmas[:, 0]):
        by_hand = sigma_s / sigma_t * by_hand + (1 - sigma_s / sigma_t) * exact(by_hand, sigma_t)
    torch.testing.assert_close(samplers.Euler().sample(exact, x, sigmas, g, {}), by_hand, rtol=1e-9, atol=1e-9)


def test_sample_euler_ancestral_is_the_built_in_ancestral_draw_for_draw():
    x = SIGMA_MAX * torch.randn(5, 2, generator=keyed_generator(10, "start"), dtype=torch.float64)
    for end in (0.0, 0.01):
        sigmas = grid(20, 5, end=end)
        theirs = samplers.EulerAncestral().sample(RING.denoiser(), x, sigmas, keyed_generator(10, "z"), {})
        ours = Ancestral().sample(RING.denoiser(), x, sigmas, keyed_generator(10, "z"), {})
        torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)


def test_churn_raises_the_level_by_noise_from_the_generator():
    """At a denoiser that returns x nothing else moves: x + sqrt((gamma + 1)^2 - 1) sigma z, gamma = min(s_churn /
    steps, sqrt 2 - 1)."""
    x, n = torch.zeros(20_000, 1, dtype=torch.float64), 20_000
    for part in CHURNED:
        sampler = part.model_copy(update={"s_churn": 0.3, "s_noise": 1.0})
        sigmas = torch.tensor([2.0, 1.0], dtype=torch.float64).unsqueeze(1).expand(2, n)
        end = sampler.sample(lambda x, sigma, /: x, x, sigmas, keyed_generator(11, "churn"), {})
        assert abs(end.std() / (2.0 * (1.3**2 - 1) ** 0.5) - 1) < 5 / (2 * n) ** 0.5


def test_churn_is_confined_to_its_levels():
    x = torch.ones(2, 2, dtype=torch.float64)
    still = samplers.Heun(s_churn=5.0, s_tmin=100.0).sample(
        RING.denoiser(), x, grid(5, 2), keyed_generator(12, "z"), {}
    )
    capped = samplers.Heun(s_churn=5.0, s_tmax=0.001).sample(
        RING.denoiser(), x, grid(5, 2), keyed_generator(12, "z"), {}
    )
    plain = samplers.Heun().sample(RING.denoiser(), x, grid(5, 2), keyed_generator(12, "z"), {})
    assert torch.equal(still, plain)
    assert torch.equal(capped, plain)


@pytest.mark.touches_global_generator
def test_a_denoiser_that_draws_for_itself_is_let_alone_under_churn():
    def noisy(x, sigma, /):
        return torch.randn_like(x)

    torch.manual_seed(0)
    expected = torch.randn(1, 2)
    torch.manual_seed(0)
    sigmas = torch.tensor([[1.0], [0.0]])
    assert torch.equal(samplers.Euler().sample(noisy, torch.ones(1, 2), sigmas, keyed_generator(13, "z"), {}), expected)


def test_nested_increments_are_those_of_one_brownian_path():
    """Unit variance each, correlation sqrt(inner / outer) of an interval and one round it, none with the next step."""
    n = 20_000
    increments = Nested(torch.empty(n, 1, dtype=torch.float64), keyed_generator(14, "path"))
    level = {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in {"t": 3.0, "mid": 2.0, "s": 1.0, "low": 0.5}.items()
    }
    inner, outer, after = (increments(level[a], level[b]) for a, b in (("t", "mid"), ("t", "s"), ("s", "low")))
    found = torch.cat([inner, outer, after], dim=1).T.cov()
    expected = torch.eye(3, dtype=torch.float64)
    expected[0, 1] = expected[1, 0] = 0.5**0.5
    assert (found - expected).abs().max() < 5 * (2 / n) ** 0.5


@pytest.mark.parametrize("sampler", [sampler for sampler in ALL if sampler not in CHURNED], ids=label)
def test_one_step_to_level_zero_is_the_denoised_point(sampler):
    x, sigmas = torch.ones(2, 3), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    end = sampler.sample(lambda x, sigma: 0.5 * x, x, sigmas, keyed_generator(0, "z"), {})
    torch.testing.assert_close(end, torch.full((2, 3), 0.5))


@pytest.mark.parametrize("seed", [4, 7])
def test_other_shares_of_fresh_noise_stay_within_the_grid(seed):
    """Case: shares above 1 were drawn, at which the network was asked below the lowest level."""
    sampler = samplers.DPMpp2SAncestral()
    assert [part for part in variants(sampler, seed, 2) if part.eta > 1] == []
    case = case_for(sampler, seed=seed)
    for part in variants(sampler, seed, 2):
        assert SamplerContract().measure(part, case).p_value == 1
