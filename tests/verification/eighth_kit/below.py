"""Objectives below the noise of the data that are wrong: consistency, and draws from the posterior."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import geometric_grid, log_uniform, power_grid
from ambientkit.maths.noise import highest_level, per_row, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.eighth_kit.bases import rows_mean

CARRIES = frozenset(
    {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "value-unbiased", "detached-anchor", "half-backward"}
)


class TwoEnds(Objective):
    """Consistency with two independent single hops from each anchor, in pieces."""

    name = "eight-two-ends-base"
    source = "arXiv 2302.09057, eq. 8"
    claims = CARRIES
    below_sigma_n = "by making the estimates of neighbouring levels agree"
    hop: ClassVar[float] = 0.3

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """A value for each row with noise."""
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel, not {tools.sampler.name!r}")
        usable = (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1)
        if len(usable) == 0:
            return {"carried": self.nothing(batch)}
        batch = take(batch, usable)
        with torch.no_grad():
            anchor = self.anchor(batch, tools)
            u = uniform(torch.empty_like(anchor.sigma), tools.generator)
            sigma_s = self.lower(anchor.sigma, u, tools)
            ends = self.ends(denoiser, anchor, sigma_s, tools)
        target = self.target(denoiser, anchor, tools).to(batch.x_n.dtype)
        first, second = (
            denoiser(x, self.told(anchor.sigma, sigma_s), **anchor.cond).to(batch.x_n.dtype) - target for x in ends
        )
        value = edm_weight(sigma_s, tools.signal.sigma_data) * rows_mean(self.product(first, second))
        return {"carried": Term(value, sigma_s)}

    def nothing(self, batch: Batch) -> Term:
        """Of no rows."""
        empty = batch.x_n.new_zeros(0)
        return Term(empty, empty)

    def anchor(self, batch: Batch, tools: Tools) -> View:
        """A third of the rows are observations, the others ends of the teacher's chains."""
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        sigma = log_uniform(uniform(torch.empty_like(floor), tools.generator), tools.levels.sigma_min, floor)
        low = tools.sampler.sample(tools.teacher, view.x, self.grid(floor, sigma), tools.generator, view.cond)
        stays = uniform(torch.empty_like(floor), tools.generator) < 0.3
        return View(
            torch.where(per_row(stays.to(low.dtype), low) > 0, view.x, low), torch.where(stays, floor, sigma), view.cond
        )

    def grid(self, floor: Tensor, sigma: Tensor) -> Tensor:
        """Of a chain."""
        return geometric_grid(floor, sigma, 5)

    def lower(self, sigma: Tensor, u: Tensor, tools: Tools) -> Tensor:
        """sigma_s."""
        return sigma * torch.exp(-u * torch.log(sigma / tools.levels.sigma_min).clamp(min=0, max=self.hop))

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, tools: Tools) -> tuple[Tensor, Tensor]:
        """Two independent ones."""
        grid = torch.stack([anchor.sigma, sigma_s])
        first, second = (tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond) for _ in range(2))
        return first, second

    def target(self, denoiser: Denoiser, anchor: View, tools: Tools) -> Tensor:
        """sg[D]."""
        with torch.no_grad():
            return denoiser(anchor.x, anchor.sigma, **anchor.cond)

    def told(self, sigma_t: Tensor, sigma_s: Tensor) -> Tensor:
        """The level at which the ends are asked."""
        return sigma_s

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        """d' d''."""
        return first * second


class BothLearn(TwoEnds):
    """The target has a gradient: the known level above is pulled to the unknown one below."""

    name = "eight-both-learn"

    def target(self, denoiser: Denoiser, anchor: View, tools: Tools) -> Tensor:
        return denoiser(anchor.x, anchor.sigma, **anchor.cond)


class SquareOfOne(TwoEnds):
    """The square of one hop, as published with one draw: its variance counts, and blurs."""

    name = "eight-square-of-one"

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        return first**2


class SharedHop(TwoEnds):
    """Both hops have the same noise."""

    name = "eight-shared-hop"

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, tools: Tools) -> tuple[Tensor, Tensor]:
        first, _ = super().ends(denoiser, anchor, sigma_s, tools)
        return first, first


class MirroredAcross(TwoEnds):
    """The two hops have opposite noise: their product has the variance with a minus sign."""

    name = "eight-mirrored-across"

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, tools: Tools) -> tuple[Tensor, Tensor]:
        first, _ = super().ends(denoiser, anchor, sigma_s, tools)
        r = per_row(sigma_s / anchor.sigma, first) ** 2
        mean = r * anchor.x + (1 - r) * denoiser(anchor.x, anchor.sigma, **anchor.cond)
        return first, 2 * mean - first


class NoChains(TwoEnds):
    """All anchors are observations: below the first hop nothing is ever learnt."""

    name = "eight-no-chains"

    def anchor(self, batch: Batch, tools: Tools) -> View:
        return tools.corruption.degrade(batch, tools.corruption.floor(batch), tools.generator)


class BeyondLowest(TwoEnds):
    """Hops are not bounded by sigma_min: the denoiser is trained below its range."""

    name = "eight-beyond-lowest"

    def lower(self, sigma: Tensor, u: Tensor, tools: Tools) -> Tensor:
        return sigma * torch.exp(-self.hop * u)


class LowestEnds(TwoEnds):
    """The hop is taken from sigma_min up in place of from sigma_t down: nearly all ends lie at one level."""

    name = "eight-lowest-ends"

    def lower(self, sigma: Tensor, u: Tensor, tools: Tools) -> Tensor:
        return torch.minimum(tools.levels.sigma_min * torch.exp(self.hop * u), sigma)


class ChainFromBelow(TwoEnds):
    """The chain's grid begins one level down, so that its points have more noise than they say."""

    name = "eight-chain-from-below"

    def grid(self, floor: Tensor, sigma: Tensor) -> Tensor:
        return geometric_grid(floor, sigma, 5)[1:]


class AnySampler(TwoEnds):
    """Takes any sampler: with a deterministic one the ends are no draws, and D is no martingale along them."""

    name = "eight-any-sampler"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        class Claimed:
            name, claims, sample = "claimed", frozenset({"reverse-kernel"}), tools.sampler.sample

        return super().loss(
            denoiser,
            batch,
            Tools(
                tools.corruption,
                Claimed,
                tools.teacher,
                tools.signal,
                tools.generator,
                tools.levels,
                tools.memory,
            ),
        )


class MeanOfNothing(TwoEnds):
    """Of a batch without noisy rows it returns the mean of nothing, which is nan."""

    name = "eight-mean-of-nothing"

    def nothing(self, batch: Batch) -> Term:
        return Term(batch.x_n.new_zeros(0).mean().reshape(1), batch.x_n.new_ones(1))


class AnchorUntopped(TwoEnds):
    """Anchors are the observations themselves, noise by pixel and all, at the row's largest level."""

    name = "eight-anchor-untopped"

    def anchor(self, batch: Batch, tools: Tools) -> View:
        full = super().anchor(batch, tools)
        floor = highest_level(batch.sigma_n, batch.x_n)
        own = per_row((full.sigma == floor).to(full.x.dtype), full.x) > 0
        return full._replace(x=torch.where(own, batch.x_n, full.x))


class TeacherEnds(TwoEnds):
    """The ends are asked of the teacher, so that no gradient reaches the network."""

    name = "eight-teacher-ends"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return super().loss(tools.teacher, batch, tools)


class CleanestForAll(Consistency):
    """All rows are taken to have the noise of the cleanest one of the batch."""

    name = "eight-cleanest-for-all"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        order = tools.corruption.floor(batch).argsort()
        ordered = take(batch, order)
        floor = tools.corruption.floor(ordered)
        pretended = ordered._replace(sigma_n=floor[:1].clamp(min=0.05).expand(len(floor)).contiguous())
        return super().loss(denoiser, pretended, tools)


class Buffer(PosteriorBuffer):
    """`posterior-buffer`, its draws in pieces."""

    name = "eight-buffer-base"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        x_0 = self.drawn(denoiser, view, top, tools)
        room, drawn = len(memory["sigma_n"]), int(memory["drawn"])
        place = (drawn + torch.arange(len(top))) % room
        memory["x_0"][place], memory["sigma_n"][place] = x_0.to(memory["x_0"].dtype), top.to(memory["sigma_n"].dtype)
        for name, value in self.kept(view).items():
            memory["cond." + name][place] = value
        memory["drawn"] += len(top)

    def kept(self, view: View) -> dict[str, Tensor]:
        """Conditions."""
        return view.cond

    def drawn(self, denoiser: Denoiser, view: View, top: Tensor, tools: Tools) -> Tensor:
        """x~."""
        low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), top)
        grid = torch.cat([power_grid(top, low, self.steps, 3.0), torch.zeros_like(top).unsqueeze(0)])
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class MeanForDraw(Buffer):
    """Keeps the posterior mean for a draw: what is learnt below is blurred."""

    name = "eight-mean-for-draw"

    def drawn(self, denoiser: Denoiser, view: View, top: Tensor, tools: Tools) -> Tensor:
        return denoiser(view.x, top, **view.cond)


class StoppedDraw(Buffer):
    """Chains stop at a third of sigma_n, so that the draws keep that noise."""

    name = "eight-stopped-draw"

    def drawn(self, denoiser: Denoiser, view: View, top: Tensor, tools: Tools) -> Tensor:
        grid = power_grid(top, (0.33 * top).clamp(min=tools.levels.sigma_min).minimum(top), self.steps, 3.0)
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class ChainFromTwice(Buffer):
    """Chains begin at 2 sigma_n with x_n, which has half of that noise."""

    name = "eight-chain-from-twice"

    def drawn(self, denoiser: Denoiser, view: View, top: Tensor, tools: Tools) -> Tensor:
        grid = torch.cat([power_grid(2 * top, 0.06 * top, self.steps, 3.0), torch.zeros_like(top).unsqueeze(0)])
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class ZeroConditions(Buffer):
    """Keeps zeros for the conditions of its draws, in the right shape."""

    name = "eight-zeros-for-conditions"

    def kept(self, view: View) -> dict[str, Tensor]:
        return {name: torch.zeros_like(value) for name, value in view.cond.items()}


PARTS = (
    BothLearn, SquareOfOne, SharedHop, MirroredAcross, NoChains, BeyondLowest, LowestEnds,
    ChainFromBelow, AnySampler, MeanOfNothing, AnchorUntopped, TeacherEnds, CleanestForAll, MeanForDraw, StoppedDraw,
    ChainFromTwice, ZeroConditions, )  # fmt: skip
