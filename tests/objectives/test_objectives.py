"""The built-in objectives: unbiased at the oracle, and every wrong variant of them is found out."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, take
from ambientkit.builtin.checks.stationarity import Stationarity
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.naive import Naive
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Objective, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_case, preflight, run_check

NOISY = Gaussian(sigma_n=(0.1, 0.4))


def case_of(seed=0, clean=False):
    return make_case(NOISY, seed, clean=clean)


def tools_and_batch(objective_seed=0, n=16, clean=False):
    case = case_of(clean=clean)
    return (
        dataclasses.replace(case.tools, generator=keyed_generator(objective_seed, "o")),
        case.observe(n, keyed_generator(1, "b")),
        case.oracle,
    )


class NaiveThatClaims(Naive):
    """The naive arm, claiming to be unbiased."""

    name = "naive-that-claims"
    claims = frozenset({"stationary-at-oracle"})


class WrongLevel(Objective):
    """An objective that is told a noise level off by a factor."""

    name = "wrong-level"
    claims = frozenset({"stationary-at-oracle"})
    factor: float = Field(1.15)

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, batch._replace(sigma_n=batch.sigma_n * self.factor), tools)


class OneDrawSquare(Objective):
    """Consistency with the square of one draw, which adds its variance: it blurs."""

    name = "one-draw-square"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = tools.corruption.floor(batch)
        with torch.no_grad():
            target = denoiser(batch.x_n, sigma)
            x_s = tools.sampler.sample(denoiser, batch.x_n, torch.stack([sigma, 0.7 * sigma]), tools.generator, {})
        defect = denoiser(x_s, 0.7 * sigma) - target
        return {"square": Term(defect.square().flatten(1).mean(1) / sigma**2, sigma)}


@pytest.mark.parametrize(
    "objective",
    [Tweedie(), Tweedie(near=0), Tweedie(near=1, cap=1e6), Consistency(), Consistency(fraction=1, max_hop=1.5)],
)
@pytest.mark.slow
def test_right_objectives_are_stationary_at_the_oracle(objective):
    """Level 1e-4 for each, seed fixed; the control is rejected in the same run."""
    assert run_check(Stationarity(), objective, case_of(), 1e-4).verdict is Verdict.PASSED


def test_ordinary_denoising_is_stationary_on_clean_data():
    assert run_check(Stationarity(), Denoising(), case_of(clean=True), 1e-4).verdict is Verdict.PASSED


@pytest.mark.parametrize("objective", [NaiveThatClaims(), WrongLevel(), WrongLevel(factor=0.85), OneDrawSquare()])
def test_biased_objectives_are_rejected(objective):
    assert run_check(Stationarity(), objective, case_of(), 1e-4).verdict is Verdict.FAILED


@pytest.mark.thorough
def test_the_preflight_passes_the_recipe_and_the_naive_arm_in_what_it_claims():
    registry = load()
    verdicts = [result.verdict for result in preflight([Tweedie(), Consistency()], registry)[1]]
    assert len(verdicts) >= 4
    assert set(verdicts) == {Verdict.PASSED}
    found = list(preflight([Naive()], registry)[1])
    assert {result.verdict for result in found} == {Verdict.PASSED}
    assert not {"stationarity", "levels"} & {result.pair.check.name for result in found}, "it is biased, and says so"


def test_without_noise_tweedie_is_ordinary_denoising():
    """Same level density, same draws: the two losses agree to rounding where no level is drawn near a floor."""
    tools, batch, oracle = tools_and_batch(clean=True)
    value = Tweedie(near=0).loss(oracle, batch, tools)["tweedie"]
    sigma = value.sigma
    weight = (sigma**2 + tools.signal.sigma_data**2) / (sigma * tools.signal.sigma_data) ** 2
    view = tools.corruption.degrade(batch, sigma, _after_uniforms(keyed_generator(0, "o"), len(batch.x_n)))
    expected = weight * (oracle(view.x, sigma) - batch.x_n).square().mean(1)
    torch.testing.assert_close(value.value, expected)


def _after_uniforms(generator, n):
    torch.rand(n, 2, generator=generator)
    return generator


def test_near_levels_come_in_pairs_of_one_row_at_one_level_with_opposite_noise():
    seen = {}

    def spy(x, sigma, /, **cond):
        seen["x"], seen["sigma"] = x, sigma
        return x

    tools, batch, _ = tools_and_batch(n=12)
    Tweedie(near=1).loss(spy, batch, tools)
    rows = take(batch, torch.arange(12) // 2 * 2).x_n
    sigma, floor = seen["sigma"], tools.corruption.floor(take(batch, torch.arange(12) // 2 * 2))
    assert torch.equal(sigma[::2], sigma[1::2])
    assert ((sigma >= floor) & (sigma <= 1.5 * floor + 1e-9)).all()
    torch.testing.assert_close(seen["x"][::2] - rows[::2], rows[1::2] - seen["x"][1::2])


def test_the_antithetic_pair_has_bounded_gradient_where_single_draws_do_not():
    """At c -> 0 the gradient of a single draw grows as 1/c; that of a pair tends to that of SURE, (h - x_n) + sigma_n^2
    div h."""
    sigma_n, slope = 0.2, torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    x_n = torch.tensor([[0.4, -0.1]], dtype=torch.float64)
    z = torch.randn(1, 2, generator=keyed_generator(0, "z"), dtype=torch.float64)

    def gradient(c, signs):
        total = 0.0
        for sign in signs:
            x_t = x_n + sign * c * z
            residual = slope * x_t - x_n + sigma_n**2 / c * sign * z  # rho / a
            total = total + residual.square().mean() / len(signs)
        return float(torch.autograd.grad(total, slope)[0])

    single = [abs(gradient(c, [1.0])) for c in (1e-2, 1e-4)]
    paired = [gradient(c, [1.0, -1.0]) for c in (1e-2, 1e-4, 1e-6)]
    # d/d slope of mean((h - x_n)^2) + 2 sigma_n^2 div h / d for h = slope x, the divergence estimated by z z^T
    sure = float(2 * ((0.9 * x_n - x_n) * x_n).mean() + 2 * sigma_n**2 * (z * z).mean())
    assert single[1] > 50 * single[0]
    assert abs(paired[2] - sure) < 1e-6
    assert abs(paired[0] - sure) < 1e-2


def test_pairs_next_to_the_floor_count_in_full_and_single_draws_there_are_bounded():
    """The value is lambda factor mean(...): what the factor is shows in the ratio to the same loss with the factor
    1."""
    tools, batch, oracle = tools_and_batch(n=400)
    for near, highest in ((1.0, 1e4), (0.0, 25.0)):
        part = Tweedie(near=near, near_ratio=1.05)
        capped, plain = (
            one.loss(oracle, batch, _again(tools))["tweedie"] for one in (part, _Unscaled(near=near, near_ratio=1.05))
        )
        floor = tools.corruption.floor(take(batch, torch.arange(400) // 2 * 2) if near else batch)
        a = (1 - (floor / capped.sigma) ** 2).clamp(min=0)
        torch.testing.assert_close(capped.value / plain.value, 1 / a.square().clamp(min=1 / highest))
        if near:
            assert (1 / a.square() > 25.0).double().mean() > 0.5


@pytest.mark.parametrize("near", [0.0, 1.0])
def test_the_mean_value_of_tweedie_is_the_loss_of_training_on_clean_data(near):
    """lambda E|D - x_0|^2 at a wrong denoiser, on the same views: the mean difference is 0, as a normal score over
    batches within 5 (6e-7)."""
    case, differences, residues = case_of(), [], []
    for index in range(200):
        x_0 = case.law.sample(400, keyed_generator(index, "x_0"))
        batch = NOISY.observe(x_0, torch.arange(400), keyed_generator(index, "x_n"))
        seen = {}

        def wrong(x, sigma, /, seen=seen, **cond):
            seen["x"], seen["x_0_hat"] = x, case.oracle(x, sigma) + 0.2 * torch.tanh(x)
            return seen["x_0_hat"]

        tools = dataclasses.replace(case.tools, generator=keyed_generator(index, "o"))
        # a cap as high as that of pairs, and no levels so near to the floor that it holds: it would make the value
        # smaller than the error
        term = Tweedie(near=near, near_ratio=1.3, cap=1e4).loss(wrong, batch, tools)["tweedie"]
        rows = torch.arange(400) // 2 * 2 if near else torch.arange(400)
        floor = NOISY.floor(take(batch, rows))
        free = 1 - (floor / term.sigma) ** 2 > 0.05
        weight = 1 / term.sigma**2 + 1 / tools.signal.sigma_data**2
        clean = weight * (seen["x_0_hat"] - x_0[rows]).square().mean(1)
        differences.append((term.value - clean)[free].mean())
        residues.append((weight * floor**2 / (1 - (floor / term.sigma) ** 2))[free].mean())
    difference, residue = torch.stack(differences), torch.stack(residues)
    score = lambda value: float(value.mean() / value.std() * len(value) ** 0.5)  # noqa: E731
    assert abs(score(difference)) < 5
    assert score(difference + residue) > 20  # the control: the plain square of the residual is told apart


def test_the_last_of_an_odd_number_of_rows_has_no_partner_and_so_the_cap():
    tools, batch, oracle = tools_and_batch(n=3)
    part = {"near": 1.0, "near_ratio": 1.01}  # so near that every factor is at its bound
    capped, plain = (one.loss(oracle, batch, _again(tools))["tweedie"] for one in (Tweedie(**part), _Unscaled(**part)))
    factor = capped.value / plain.value
    assert (factor[:2] > 100).all()
    torch.testing.assert_close(factor[2], torch.tensor(25.0, dtype=torch.float64))


def _again(tools):
    return dataclasses.replace(tools, generator=keyed_generator(0, "o"))


class _Unscaled(Tweedie):
    """Tweedie with the factor 1 everywhere."""

    def loss(self, denoiser, batch, tools):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ambientkit.interfaces.capped_inverse_square", lambda a, cap: torch.ones_like(a))
            return super().loss(denoiser, batch, tools)


def test_consistency_uses_a_fraction_of_the_rows_and_leaves_clean_ones_out():
    tools, batch, oracle = tools_and_batch(n=32)
    term = Consistency(fraction=1 / 8).loss(oracle, batch, tools)["consistency"]
    assert len(term.value) == 4
    assert (term.sigma < 0.4).all()
    mixed = batch._replace(sigma_n=torch.where(torch.arange(32) < 30, 0.0, batch.sigma_n))
    assert len(Consistency(fraction=1.0).loss(oracle, mixed, tools)["consistency"].value) == 2
    clean = batch._replace(sigma_n=torch.zeros(32, dtype=torch.float64))
    assert len(Consistency().loss(oracle, clean, tools)["consistency"].value) == 0


def test_single_values_of_consistency_may_be_negative_and_are_not_clamped():
    tools, batch, oracle = tools_and_batch(n=200)
    value = Consistency(fraction=1.0).loss(oracle, batch, tools)["consistency"].value
    assert 0.05 < float((value < 0).double().mean()) < 0.7


def test_the_gradient_is_that_of_the_product():
    """The mean gradient and that of the exact defect over 20,000 rows agree within 5 standard errors at a wrong
    denoiser, where they are not 0."""
    case, n = case_of(), 20_000
    batch = case.observe(n, keyed_generator(1, "b"))
    tools = dataclasses.replace(case.tools, generator=keyed_generator(0, "o"))
    bump = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    wrong = lambda x, sigma: case.oracle(x, sigma) + (0.3 + bump) * per_row(sigma.log(), x)  # noqa: E731
    term = Consistency(fraction=1.0, from_observation=1.0).loss(wrong, batch, tools)["consistency"]
    (half,) = torch.autograd.grad(term.value.mean(), bump)
    # d = martingale noise + (.3 + bump) (log sigma_s - log sigma_t) with the anchor's share held fixed
    defect = 0.3 * (term.sigma.log() - tools.corruption.floor(batch).log())
    weight = 1 / term.sigma**2 + 1 / tools.signal.sigma_data**2
    per_row_gradient = weight * 2 * defect * term.sigma.log()
    expected, error = per_row_gradient.mean(), per_row_gradient.std() / n**0.5
    spread = abs(float(half - expected))
    assert spread < 0.05 * abs(float(expected)) + 5 * float(error)
    assert abs(float(half) - 0.5 * float(expected)) > 0.2 * abs(
        float(expected)
    )  # the control: half of the gradient is told apart


def test_the_gradient_flows_into_the_lower_level_only():
    tools, batch, oracle = tools_and_batch(n=64)
    levels = []

    def spy(x, sigma, /, **cond):
        if torch.is_grad_enabled():
            levels.append(sigma)
        return oracle(x, sigma)

    term = Consistency(fraction=1.0).loss(spy, batch, tools)["consistency"]
    assert len(levels) == 1
    assert torch.equal(levels[0], term.sigma.repeat(4))  # the two ends of two pairs


def test_consistency_trains_every_level_below_the_noise_and_asks_at_an_anchor_once():
    tools, batch, oracle = tools_and_batch(n=2_000)
    calls = []

    def spy(x, sigma, /, **cond):
        calls.append(x)
        return oracle(x, sigma)

    tools = dataclasses.replace(tools, sampler=Ancestral())
    low, high = tools.levels.sigma_min, 0.1  # of the least noisy rows
    term = Consistency(fraction=1.0).loss(spy, batch, tools)["consistency"]
    bands = ((term.sigma / low).log() / math.log(high / low) * 10).floor()
    assert all(float((bands == band).double().mean()) > 0.02 for band in range(10))
    assert [len(x) for x in calls] == [2_000, 8_000]  # the anchors, and the ends of four hops from each


def test_the_two_hops_of_a_pair_mirror_each_other_and_the_pairs_do_not():
    tools, batch, _ = tools_and_batch(n=8)
    tools = dataclasses.replace(tools, sampler=Ancestral())
    asked = []

    def spy(x, sigma, /, **cond):
        asked.append(x)
        return torch.zeros_like(x)

    Consistency(fraction=1.0, from_observation=1.0).loss(spy, batch, tools)
    anchor, ends = asked[0], asked[1].view(2, 2, 8, 2)
    middle, other = ends.mean(0)  # with D = 0 the middle of a pair is r x_t
    torch.testing.assert_close(middle, other)
    r = middle / anchor
    torch.testing.assert_close(r[:, 0], r[:, 1])
    assert ((r > 0) & (r <= 1)).all()
    assert (ends[0, 0] - ends[0, 1]).abs().min() > 1e-6
    assert (ends[0] - ends[1]).abs().min() > 1e-6


def test_consistency_gives_a_plain_generator_to_a_sampler_that_claims_no_other_source():
    """`Plain` takes one torch generator and no other source, as parts of third parties may."""
    case = case_of()
    case = dataclasses.replace(case, tools=dataclasses.replace(case.tools, sampler=Plain()))
    batch = case.observe(64, keyed_generator(0, "b"))
    assert (
        Consistency()
        .loss(case.oracle, batch, dataclasses.replace(case.tools, memory={}))["consistency"]
        .value.isfinite()
        .all()
    )


class Plain(Ancestral):
    """The step of `ancestral`, by torch's own draws."""

    claims = frozenset({"reverse-kernel"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t), sigma_t, sigma_s)
            x = mean + std * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x


def test_consistency_refuses_a_deterministic_sampler():
    tools, batch, oracle = tools_and_batch()
    with pytest.raises(InputError, match=r"reverse kernel.*'heun'"):
        Consistency().loss(oracle, batch, dataclasses.replace(tools, sampler=Heun()))


def test_denoising_refuses_noisy_rows_by_number():
    tools, batch, oracle = tools_and_batch(n=4)
    with pytest.raises(InputError, match="row 0 has sigma_n > 0"):
        Denoising().loss(oracle, batch, tools)


def test_rows_as_noisy_as_sigma_max_are_refused_by_number():
    tools, batch, oracle = tools_and_batch(n=4)
    tools = dataclasses.replace(tools, levels=Levels(0.002, 0.05))
    with pytest.raises(InputError, match="row 0 of the data"):
        Tweedie(near=0).loss(oracle, batch, tools)


def test_losses_are_the_same_in_float32_and_under_a_half_precision_network():
    tools, batch, oracle = tools_and_batch(n=8)
    single = Batch(batch.x_n.float(), batch.sigma_n.float(), batch.row, {})
    half = lambda x, sigma, **cond: oracle(x, sigma).bfloat16()  # noqa: E731
    for objective in (Tweedie(), Consistency(fraction=1.0)):
        (term,) = objective.loss(half, single, dataclasses.replace(tools, generator=keyed_generator(0, "o"))).values()
        assert term.value.dtype == torch.float32
        assert term.value.isfinite().all()
