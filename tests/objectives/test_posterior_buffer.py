"""The objective `posterior-buffer`: what it draws, keeps and denoises, and what it leaves alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.verification import make_case

CASE = make_case(Gaussian(sigma_n=0.3), 0)
SMALL = PosteriorBuffer(fraction=1.0, refresh=1 / 4, keep=3, steps=2)
"""16 rows a batch: 4 draws a call, room for 12."""


class Known(Sampler):
    """Ends on the condition of the row, or on NaN where that is negative; remembers nothing."""

    name = "known"
    claims = frozenset({"reverse-kernel", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = cond["where"].unsqueeze(1).expand_as(x).to(x.dtype)
        return torch.where(found < 0, torch.nan, found)


def tools(call=0, memory=None, **changes):
    generator = keyed_generator(call, "buffer")
    return dataclasses.replace(CASE.tools, generator=generator, memory={} if memory is None else memory, **changes)


def observed(call=0, n=16, sigma_n=None, cond=None):
    batch = CASE.observe(n, keyed_generator(call, "observe"))
    sigma_n = batch.sigma_n if sigma_n is None else sigma_n
    return Batch(batch.x_n, sigma_n, batch.row, cond or {})


def test_the_memory_is_filled_and_then_never_grows():
    memory, drawn = {}, []
    for call in range(8):
        SMALL.loss(CASE.oracle, observed(call), tools(call, memory))
        drawn.append(int(memory["drawn"]))
        assert {name: tuple(value.shape) for name, value in memory.items()} == {
            "x_0": (12, 2),
            "sigma_n": (12,),
            "drawn": (),
        }
        assert int((memory["sigma_n"] > 0).sum()) == min(4 * (call + 1), 12)
    assert drawn == [4, 8, 12, 16, 20, 24, 28, 32]


def test_a_new_draw_takes_the_place_of_the_oldest():
    memory = {}
    for call in range(5):  # the fourth and the fifth call begin again at the front
        cond = {"where": torch.full((16,), float(call))}
        SMALL.loss(_blind, observed(call, cond=cond), tools(call, memory, sampler=Known()))
    assert memory["x_0"][:, 0].tolist() == [3.0] * 4 + [4.0] * 4 + [2.0] * 4


def _blind(x, sigma, /, **cond):
    return torch.zeros_like(x)


def test_clean_rows_are_never_drawn_for():
    """Rows at 0 and at sigma_min exactly are left out; with noisy ones after them those are taken."""
    sigma_n = torch.tensor([0.0] * 6 + [CASE.tools.levels.sigma_min] * 4 + [0.3] * 6, dtype=torch.float64)
    memory, cond = {}, {"where": torch.arange(16.0)}
    SMALL.loss(_blind, observed(sigma_n=sigma_n, cond=cond), tools(memory=memory, sampler=Known()))
    assert memory["x_0"][:4, 0].tolist() == [10.0, 11.0, 12.0, 13.0]
    assert memory["sigma_n"][:4].tolist() == [0.3] * 4


def test_a_batch_of_clean_rows_gives_an_empty_term_and_keeps_its_room():
    memory = {}
    found = SMALL.loss(CASE.oracle, observed(sigma_n=torch.zeros(16, dtype=torch.float64)), tools(memory=memory))
    assert found["posterior"].value.shape == found["posterior"].sigma.shape == (0,)
    assert int(memory["drawn"]) == 0
    SMALL.loss(CASE.oracle, observed(), tools(memory=memory))
    assert int(memory["drawn"]) == 4


def test_a_batch_of_clean_rows_still_learns_from_what_is_kept():
    memory = {}
    SMALL.loss(CASE.oracle, observed(), tools(memory=memory))
    found = SMALL.loss(CASE.oracle, observed(1, sigma_n=torch.zeros(16, dtype=torch.float64)), tools(1, memory))
    assert len(found["posterior"].value) == 16
    assert int(memory["drawn"]) == 4


def test_levels_lie_between_the_lowest_and_the_reach_above_the_noise_of_their_own_row():
    """Draws at 1,000 times the row's level tell which row is denoised."""
    sigma_n = torch.linspace(0.05, 0.6, 16, dtype=torch.float64)
    part, asked = PosteriorBuffer(fraction=1.0, refresh=1.0, keep=1, steps=2, reach=1.5, p_mean=0.0), []

    def watching(x, sigma, /, **cond):
        asked.append(sigma / (x[:, 0] / 1000))
        return torch.zeros_like(x)

    memory = {}
    for call in range(8):
        term = part.loss(
            watching, observed(sigma_n=sigma_n, cond={"where": 1000 * sigma_n}), tools(call, memory, sampler=Known())
        )
        assert (term["posterior"].sigma >= CASE.tools.levels.sigma_min).all()
    ratio = torch.cat(asked)
    assert 1.4 < float(ratio.max()) < 1.52


def test_each_draw_keeps_the_level_of_its_own_row():
    sigma_n = torch.linspace(0.05, 0.6, 16, dtype=torch.float64)
    memory = {}
    part = PosteriorBuffer(fraction=1.0, refresh=1.0, keep=2, steps=2)
    for call in range(3):
        order = torch.randperm(16, generator=keyed_generator(call, "order"))
        levels = sigma_n[order]
        part.loss(_blind, observed(sigma_n=levels, cond={"where": 1000 * levels}), tools(call, memory, sampler=Known()))
    torch.testing.assert_close(memory["x_0"][:, 0], 1000 * memory["sigma_n"])


def test_a_row_with_noise_by_pixel_is_drawn_for_at_its_largest_level():
    generator = keyed_generator(0, "levels")
    sigma_n = 0.05 + 0.3 * torch.rand(16, 2, generator=generator, dtype=torch.float64)
    memory = {}
    part = PosteriorBuffer(fraction=1.0, refresh=1.0, keep=1, steps=2)
    term = part.loss(CASE.oracle, observed(sigma_n=sigma_n), tools(memory=memory))["posterior"]
    torch.testing.assert_close(memory["sigma_n"], sigma_n.amax(1))
    assert term.value.isfinite().all()


def test_conditions_travel_with_the_draws():
    """Each draw is 1,000 times its condition: the denoiser is asked near that point, with that condition."""
    asked = []

    class Thousand(Sampler):
        name = "thousand"
        claims = frozenset({"reverse-kernel"})

        def sample(self, denoiser, x, sigmas, generator, cond):
            return 1000.0 * cond["kind"].unsqueeze(1).expand_as(x).to(x.dtype)

    def watching(x, sigma, /, **cond):
        asked.append((x, sigma, cond["kind"]))
        return torch.zeros_like(x)

    memory = {}
    for call in range(4):
        kind = torch.randint(10, (16,), generator=keyed_generator(call, "kind"))
        SMALL.loss(watching, observed(call, cond={"kind": kind}), tools(call, memory, sampler=Thousand()))
    assert memory["cond.kind"].dtype == torch.int64
    kinds = torch.cat([kind for *_, kind in asked])
    assert len(kinds.unique()) > 3
    for x, sigma, kind in asked:
        assert ((x - 1000.0 * kind.unsqueeze(1)).abs() < 8 * sigma.unsqueeze(1)).all()


def test_draws_that_are_not_finite_are_not_kept():
    memory = {}
    where = torch.tensor([0.0, -1.0, 2.0, -1.0] + [5.0] * 12)
    found = SMALL.loss(_blind, observed(cond={"where": where}), tools(memory=memory, sampler=Known()))
    assert int(memory["drawn"]) == 2
    assert memory["x_0"][:2, 0].tolist() == [0.0, 2.0]
    assert memory["cond.where"][:2].tolist() == [0.0, 2.0]
    assert found["posterior"].value.isfinite().all()


def test_a_denoiser_that_answers_nothing_finite_leaves_an_empty_term():
    found = SMALL.loss(_blind, observed(cond={"where": torch.full((16,), -1.0)}), tools(sampler=Known()))
    assert len(found["posterior"].value) == 0


def test_no_gradient_flows_into_the_draws():
    """The chain asks the teacher; a denoiser with parameters is asked once, for the rows denoised."""
    theta = torch.zeros((), dtype=torch.float64, requires_grad=True)
    calls = []

    def with_parameter(x, sigma, /, **cond):
        calls.append(len(x))
        return CASE.oracle(x, sigma) + theta

    memory = {}
    term = SMALL.loss(with_parameter, observed(), tools(memory=memory))["posterior"]
    term.value.mean().backward()
    assert calls == [16]
    assert theta.grad is not None
    assert not any(value.requires_grad for value in memory.values())


def test_a_row_just_below_the_highest_level_is_no_obstacle():
    top = Levels(0.01, 0.5)
    sigma_n = torch.full((16,), 0.4999, dtype=torch.float64)
    term = SMALL.loss(CASE.oracle, observed(sigma_n=sigma_n), tools(levels=top))["posterior"]
    assert (term.sigma <= 0.5).all()
    assert term.value.isfinite().all()


def test_the_draws_follow_the_law_of_the_clean_data():
    """With the exact posterior the draws of fresh observations are draws of x_0: mean and covariance within 4.5
    standard errors."""
    part, memory = PosteriorBuffer(refresh=1.0, keep=1, steps=2), {}
    n = 4000
    part.loss(CASE.oracle, observed(n=n), tools(memory=memory))
    expected = CASE.law.sample(200_000, keyed_generator(0, "law"))
    drawn = memory["x_0"]
    assert ((drawn.mean(0) - expected.mean(0)).abs() < 4.5 * expected.std(0) / n**0.5).all()
    square = (expected - expected.mean(0)).square()
    found = (drawn - expected.mean(0)).square().mean(0)
    assert ((found - square.mean(0)).abs() < 4.5 * square.std(0) / n**0.5).all()


def test_a_deterministic_sampler_is_refused():
    with pytest.raises(InputError, match="does not claim it"):
        SMALL.loss(CASE.oracle, observed(), tools(sampler=Heun()))
