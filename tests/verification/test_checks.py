"""The checks: what they say of themselves, that their numbers depend on the seed alone, and right and wrong parts of
others."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from ambientkit import plugins, registry
from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import all_normal, all_of, exact, mean_zero, mean_zero_by_kind, scores_within
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import PluginError
from ambientkit.interfaces import Check, ClaimsWhen, Corruption, Measured, Mutant, Objective, Part, Sampler
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_moments
from ambientkit.verification import case_for, make_plan, registered_checks, reproducible

pytestmark = pytest.mark.slow

CHECKS = registered_checks(registry.load())
LEVEL = 1e-5


def measured(part: Part, seed: int = 0, quick: bool = False) -> dict[str, Measured]:
    """The checks of a part; deterministic ones for the same part are as good as one."""
    found = {}
    for pair in make_plan([part], CHECKS, quick=quick).pairs:
        with reproducible(seed):
            found[pair.check.name] = pair.check.measure(part, case_for(part, seed))
    return found


def rejected_by(part: Part, seed: int = 0) -> set[str]:
    return {name for name, value in measured(part, seed).items() if not value.p_value >= LEVEL}


# ---- what a check says of itself


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_states_its_null_law_what_it_finds_and_what_a_failure_means(check: Check) -> None:
    assert check.null_law
    assert check.detects
    assert 20 < len(check.meaning) < 250
    assert check.meaning.endswith(".")
    assert check.source


def test_some_checks_of_each_kind_are_quick() -> None:
    assert {check.kind for check in CHECKS if check.quick} == {check.kind for check in CHECKS}


def test_a_measurement_depends_on_the_seed_and_on_nothing_else() -> None:
    part = Tweedie()
    with torch.random.fork_rng(devices=[]):
        one = measured(part, quick=True)
        torch.random.manual_seed(5)
        assert measured(part, quick=True) == one
    (pair,) = make_plan([part], [check for check in CHECKS if check.name == "stationarity"]).pairs
    assert pair.check.measure(part, case_for(part, 1)) != one["stationarity"]


# ---- from numbers to p-values


def test_an_exact_check_rejects_beyond_its_tolerance_and_what_is_not_a_number() -> None:
    assert exact(1e-9, 1e-9, 1).p_value == 1
    assert exact(2e-9, 1e-9, 1).p_value == 0
    assert exact(math.nan, 1e-9, 1).p_value == 0


def test_a_column_that_never_varies_must_be_zero() -> None:
    g = keyed_generator(0, "columns")
    noise = torch.randn(50, 2, generator=g, dtype=torch.float64)
    still = torch.cat([noise, torch.zeros(50, 1, dtype=torch.float64)], dim=1)
    assert mean_zero(still).p_value == mean_zero(noise).p_value > 1e-4
    assert mean_zero(still + torch.tensor([0, 0, 1e-3])).p_value == 0
    assert mean_zero(torch.full((50, 1), math.nan)).p_value == 0
    assert mean_zero(torch.zeros(50, 3)).p_value == 1


def test_hotellings_test_sees_gradients_whose_squares_are_below_float64() -> None:
    noise = torch.randn(48, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tiny = torch.tensor([1.0, 1e-180, 1e-200], dtype=torch.float64)
    for test in (mean_zero, lambda samples: mean_zero_by_kind(samples, 2)):
        assert test(noise * tiny).p_value == pytest.approx(test(noise).p_value)
        assert 1e-4 < test(noise).p_value < 1
        assert test((noise + 2.0) * tiny).p_value < 1e-5


def test_a_mean_within_its_tolerance_scores_nothing_and_beyond_it_in_standard_errors() -> None:
    mean, error = torch.tensor([0.1, -0.3, 0.3, 0.3]), torch.tensor([0.1, 0.1, 0.1, 0.0])
    assert scores_within(mean, error, 0.1).tolist()[:3] == pytest.approx([0.0, 2.0, 2.0])
    assert scores_within(mean, error, 0.1)[3] > 1e6


def test_several_tests_in_one_are_corrected_for_their_number() -> None:
    assert all_normal([0.0, -3.0], 7) == Measured(3.0, pytest.approx(2 * 2 * stats.norm.sf(3.0)), 7)
    assert all_normal([math.nan], 1).p_value == 0
    assert all_of([Measured(1, 0.5, 1), Measured(9, 0.01, 3)]) == Measured(9, pytest.approx(0.02), 3)


# ---- right parts that were written elsewhere


class PlainTweedie(Objective):
    """Unweighted, without 1/a^2, with levels drawn row by row: worse, but right."""

    name = "plain-tweedie"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor"})

    def loss(self, denoiser, batch, tools):
        sigma = tools.corruption.floor(batch).clamp(min=0.01)
        sigma = truncated_lognormal(uniform(sigma, tools.generator), sigma, tools.levels.sigma_max, -1.2, 1.2)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        residual = tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n
        return {"plain": Term(residual.square().flatten(1).mean(1), sigma)}


class EulerMaruyama(Sampler):
    """The reverse stochastic equation by Euler's rule in sigma^2: of first order, and the posterior of nothing."""

    name = "euler-maruyama"
    claims = frozenset({"reverse-kernel", "order-1", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            step = per_row(sigma_t**2 - sigma_s**2, x)
            x = (
                x
                + step / per_row(sigma_t, x) ** 2 * (denoiser(x, sigma_t, **cond) - x)
                + step.sqrt() * standard_normal(x, generator)
            )
        return x


class Midpoint(Sampler):
    """The midpoint rule, which asks between the levels."""

    name = "midpoint"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            middle = (sigma_t + sigma_s) / 2
            half = x + per_row(middle - sigma_t, x) * (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
            x = x + per_row(sigma_s - sigma_t, x) * (half - denoiser(half, middle, **cond)) / per_row(middle, x)
        return x


class ByPixel(Corruption):
    """Gaussian noise with a level for each pixel, a third of the rows clean."""

    name = "by-pixel"
    claims = Gaussian.claims

    def observe(self, x_0, row, generator):
        u = uniform(x_0, generator)
        sigma_n = torch.where(per_row((row % 3 == 0).to(x_0), x_0) > 0, 0.0, 0.05 + 0.4 * u)
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})

    def degrade(self, batch, sigma, generator):
        return Gaussian().degrade(batch, sigma, generator)

    def expect(self, x_0_hat, view, batch):
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch):
        return Gaussian().floor(batch)


@pytest.mark.parametrize("part", [PlainTweedie(), EulerMaruyama(), Midpoint(), ByPixel()], ids=lambda part: part.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_right_part_of_another_kind_is_not_rejected(part: Part, seed: int) -> None:
    assert rejected_by(part, seed) == set()


# ---- wrong parts that are no mutants


class HalfStep(Sampler):
    """A sampler that goes half of the way in the first step, and so stays behind its levels."""

    name = "half-step"
    claims = EulerMaruyama.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        late = torch.cat([sigmas[:1], (sigmas[:-1] + sigmas[1:]) / 2])
        return EulerMaruyama().sample(denoiser, x, late, generator, cond)


class ForgetsClean(Objective):
    """Right where rows are noisy; clean rows are handed on as if they had the noise of the others."""

    name = "forgets-clean"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser, batch, tools):
        quiet = batch.sigma_n < 0.06
        return Tweedie().loss(denoiser, batch._replace(sigma_n=torch.where(quiet, 0.3, batch.sigma_n)), tools)


class Constant(Objective):
    """A loss that is always 1: trivially stationary."""

    name = "constant"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser, batch, tools):
        one = torch.ones(len(batch.x_n), dtype=torch.float64)
        return {"constant": Term(one, one)}


class Negligible(Gaussian):
    """Noise that is 5 % weaker than it says."""

    name = "negligible"

    def observe(self, x_0: Tensor, row: Tensor, generator) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=x_0 + 0.95 * (batch.x_n - x_0))


@pytest.mark.parametrize(
    ("part", "check"),
    [
        (HalfStep(), "grid"),
        (HalfStep(), "reverse-kernel"),
        (ForgetsClean(), "stationarity"),
        (Constant(), "power"),
        (Negligible(), "noise-law"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_wrong_part_is_rejected_by_the_check_that_is_made_for_it(part: Part, check: str) -> None:
    assert check in rejected_by(part)


# ---- claims, and the registry of mutants


def test_claims_that_depend_on_fields_follow_them() -> None:
    assert "x_0-scale" in Tweedie.claims & Tweedie().claims
    assert "x_0-scale" not in Tweedie(cap=4).claims
    assert "levels-above-floor" in Tweedie(cap=4).claims
    assert isinstance(vars(Tweedie)["claims"], ClaimsWhen)
    assert rejected_by(Tweedie(cap=4)) == set()


def registered(**hooks) -> list[registry.Entry]:
    from types import SimpleNamespace

    from ambientkit.hookspecs import hookimpl

    def hook(name, classes):
        def function():
            return classes

        function.__name__ = name
        return hookimpl(function)

    return plugins.ask_one(
        SimpleNamespace(**{name: hook(name, classes) for name, classes in hooks.items()}), "mine", "1"
    )


class Wrong(Mutant, PlainTweedie):
    """A mutant."""

    name = "wrong"
    mutant_of = "plain-tweedie"
    wrong = "everything"


class Silent(Mutant, PlainTweedie):
    """A mutant that does not say what is wrong with it."""

    name = "silent"
    mutant_of = "plain-tweedie"


def test_a_mutant_is_kept_apart_from_the_parts() -> None:
    found = registry.Registry(registered(register_objectives=[PlainTweedie], register_mutants=[Wrong]))
    assert [(entry.kind, entry.part) for entry in found.mutants()] == [("objective", Wrong)]
    assert found.names("objective") == ["plain-tweedie"]


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        (
            {"register_objectives": [Wrong]},
            "Wrong is a mutant: register it with register_mutants, not with register_objectives",
        ),
        ({"register_mutants": [PlainTweedie]}, "must return subclasses of Mutant"),
        ({"register_mutants": [Silent]}, "Silent does not say wrong"),
        ({"register_mutants": Wrong}, "must return a list of classes"),
    ],
)
def test_a_mutant_is_refused_from_another_hook_or_without_its_reason(hooks, message) -> None:
    with pytest.raises(PluginError, match=message):
        registered(**hooks)


class TooMuchNoise(Sampler):
    """The reverse step with noise that is 5 % too large: what a long step lacks hides it."""

    name = "too-much-noise"
    claims = frozenset({"reverse-kernel", "order-1"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
            x = mean + 1.05 * std * standard_normal(x, generator)
        return x


def test_errors_that_cancel_at_one_step_are_not_taken_for_an_order():
    (pair,) = make_plan([TooMuchNoise()], [check for check in CHECKS if check.name == "order-1"]).pairs
    for seed in range(3):
        assert pair.check.measure(pair.part, case_for(pair.part, seed)).p_value < LEVEL
