"""Wrong objectives: in the scale of x_0, on rows that are seen in part, and of two noisier copies."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.batch import Batch, Term, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform, power_grid
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor
from tests.verification.eleventh_kit.bases import InX0, Recorrupted


class SumOverChannels(InX0):
    """Adds up over channels instead of taking the mean, and claims the scale of the mean."""

    name = "kit11-sum-over-channels"

    def mean(self, square):
        return square.sum(1).flatten(1).mean(1) if square.ndim > 2 else square.flatten(1).mean(1)


class HalfStd(InX0):
    """lambda with sigma_data 0.5, as in the paper's pictures, for data of any std."""

    name = "kit11-half-std"

    def scale(self, view, tools):
        return edm_weight(view.sigma, 0.5)


class Luminance(InX0):
    """Weighs three channels by luminance, which is not the mean that it claims; other numbers of channels alike."""

    name = "kit11-luminance"

    def mean(self, square):
        if square.ndim == 4 and square.shape[1] == 3:
            square = 3 * torch.tensor([0.299, 0.587, 0.114]).to(square).reshape(1, 3, 1, 1) * square
        return square.flatten(1).mean(1)


class PerMeasured(InX0):
    """The mean over the values that were measured, which counts rows with few of them too much."""

    name = "kit11-per-measured"

    def weigh(self, residual, view, batch, tools):
        value = super().weigh(residual, view, batch, tools)
        if "mask" not in batch.cond:
            return value
        seen = batch.cond["mask"].expand_as(batch.x_n).flatten(1).to(value.dtype).mean(1)
        return value / seen.clamp(min=1e-3)


class SeenOnly(InX0):
    """Compares what the view shows alone, so that nothing teaches what it hides."""

    name = "kit11-seen-only"

    def factor(self, view, batch, tools):
        found = super().factor(view, batch, tools)
        return torch.where(view.cond["mask"], found, torch.zeros_like(found)) if "mask" in view.cond else found


class FloatMask(InX0):
    """Hands the mask on as numbers, where a network expects true and false."""

    name = "kit11-float-mask"

    def ask(self, denoiser, view, batch, tools):
        cond = {
            name: value.to(view.x.dtype) if value.dtype == torch.bool else value for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond).to(batch.x_n.dtype)


class ShownAgain(InX0):
    """Makes the view by `show`, all that was measured: no value is ever hidden that could be compared."""

    name = "kit11-shown-again"

    def view(self, batch, sigma, tools):
        return tools.corruption.show(batch, sigma, tools.generator)


class HiddenUncapped(InX0):
    """Counts hidden values twice, and claims that all count alike."""

    name = "kit11-hidden-uncapped"

    def factor(self, view, batch, tools):
        hidden = 2 * hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 25.0), hidden)


class FillsHoles(InX0):
    """Fills hidden values with those of the row before it asks, which shows them to the denoiser."""

    name = "kit11-fills-holes"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        if "mask" not in view.cond:
            return view
        return view._replace(x=torch.where(view.cond["mask"], view.x, batch.x_n))


class CapOfTwo(InX0):
    """Claims the scale of x_0 with the factor 1/a^2 bounded by 2: levels next to sigma_n count too little."""

    name = "kit11-cap-of-two"

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 2.0), hidden)


class LevelsAdd(Recorrupted):
    """Levels of the view added: (1 + t) sigma_n instead of the root of the squares."""

    name = "kit11-levels-add"

    def level(self, floor, t):
        return floor * (1 + t)


class TargetTimesT(Recorrupted):
    """The target's noise multiplied by t where it should be divided: the two noises are not independent."""

    name = "kit11-target-times-t"

    def target(self, even, floor, t, z):
        return even - per_row(floor * t, even) * z


class PlainTarget(Recorrupted):
    """The target is x_n itself, whose noise is in the view too."""

    name = "kit11-plain-target"

    def target(self, even, floor, t, z):
        return even


class NearlyTarget(Recorrupted):
    """The target's noise a tenth too small: the two noises correlate by a tenth."""

    name = "kit11-nearly-target"

    def target(self, even, floor, t, z):
        return even - per_row(0.9 * floor / t, even) * z


class Risk(Objective):
    """Stein's risk at sigma_n, its divergence by finite differences along one probe."""

    name = "kit11-risk"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "detached-anchor"})

    step: float = Field(1e-2, gt=0)
    """Of the differences, in units of sigma_n."""

    def loss(self, denoiser, batch, tools):
        """One term; rows at or below sigma_min are left out."""
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"risk": Term(sigma, sigma)}
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        probe = self.probe(view.x, tools.generator)
        eps = per_row(self.step * sigma, view.x)
        there = denoiser(view.x + eps * probe, sigma, **view.cond).to(view.x.dtype)
        here = denoiser(view.x - eps * probe, sigma, **view.cond).to(view.x.dtype)
        middle = denoiser(view.x, sigma, **view.cond).to(view.x.dtype)
        slope = probe * (there - here) / (2 * eps)
        risk = (middle - view.x).square() + self.twice * per_row(sigma, view.x) ** 2 * slope
        return {"risk": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    @property
    def twice(self):
        """2."""
        return 2.0

    def probe(self, like, generator):
        """Random signs."""
        return torch.where(uniform(like, generator) < 0.5, -torch.ones_like(like), torch.ones_like(like))


class FlatProbe(Risk):
    """A probe uniform on [-1, 1], of variance 1/3: a third of the divergence."""

    name = "kit11-flat-probe"

    def probe(self, like, generator):
        return 2 * uniform(like, generator) - 1


class LongStep(Risk):
    """Differences over a whole sigma_n, where the denoiser is not straight."""

    name = "kit11-long-step"

    step: float = Field(1.0, gt=0)
    """Of the differences, in units of sigma_n."""


class OnceTheDivergence(Risk):
    """Once the divergence, in place of twice."""

    name = "kit11-once-the-divergence"

    @property
    def twice(self):
        return 1.0


class OneProbe(Risk):
    """The probe is of ones, not of random signs: the sum of all derivatives, not the divergence."""

    name = "kit11-one-probe"

    def probe(self, like, generator):
        return torch.ones_like(like)


class Hop(Objective):
    """Product of two independent hops' defects below sigma_n, from anchors that the teacher's chain reaches."""

    name = "kit11-hop"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "value-unbiased", "detached-anchor"})
    below_sigma_n = "by the martingale property of its own reverse process"

    def loss(self, denoiser, batch, tools):
        """One term, for rows with noise."""
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel")
        least = tools.levels.sigma_min
        batch = take(batch, (tools.corruption.floor(batch) > least).nonzero().squeeze(1))
        floor = tools.corruption.floor(batch)
        if len(floor) == 0:
            return {"hop": Term(floor, floor)}
        with torch.no_grad():
            view = self.start(batch, floor, tools)
            top = log_uniform(uniform(floor, tools.generator), least, floor)
            x = tools.sampler.sample(tools.teacher, view.x, geometric_grid(floor, top, 5), tools.generator, view.cond)
            low = self.lower(top, least, tools)
            target = self.target(denoiser, x, top, view.cond).to(x.dtype)
            ends = self.ends(denoiser, x, torch.stack([top, low]), view.cond, tools)
        first, second = (denoiser(end, low, **view.cond).to(x.dtype) - target for end in ends)
        value = edm_weight(low, tools.signal.sigma_data) * (first * second).flatten(1).mean(1)
        return {"hop": Term(value, low)}

    def start(self, batch, floor, tools):
        """x_n at its floor."""
        return tools.corruption.degrade(batch, floor, tools.generator)

    def lower(self, top, least, tools):
        """The level of the ends."""
        return top * torch.exp(-uniform(top, tools.generator) * torch.log(top / least).clamp(min=0, max=0.4))

    def target(self, denoiser, x, top, cond):
        """D at the anchor."""
        return denoiser(x, top, **cond)

    def ends(self, denoiser, x, grid, cond, tools):
        """Two independent draws."""
        return [tools.sampler.sample(denoiser, x, grid, tools.generator, cond) for _ in range(2)]


class SameHop(Hop):
    """Key reuse: both hops are drawn from a generator of the same seed, so that they are one hop."""

    name = "kit11-same-hop"

    def ends(self, denoiser, x, grid, cond, tools):
        seed = int(torch.randint(2**31, (), generator=tools.generator, device=tools.generator.device))
        draws = []
        for _ in range(2):
            again = torch.Generator(x.device).manual_seed(seed)
            draws.append(tools.sampler.sample(denoiser, x, grid, again, cond))
        return draws


class NoTopUp(Hop):
    """Starts from x_n as it is: with a level for each pixel it is less noisy than its floor says."""

    name = "kit11-no-top-up"

    def start(self, batch, floor, tools):
        return tools.corruption.degrade(batch, floor, tools.generator)._replace(x=batch.x_n)


class AnySampler(Hop):
    """Takes any sampler, a deterministic one too, for which the property does not hold."""

    name = "kit11-any-sampler"

    def loss(self, denoiser, batch, tools):
        from dataclasses import replace

        from ambientkit.builtin.samplers.ancestral import Ancestral

        if "reverse-kernel" in tools.sampler.claims:
            return super().loss(denoiser, batch, tools)
        known = type("Known", (Ancestral,), {"sample": lambda own, *given: tools.sampler.sample(*given)})
        return super().loss(denoiser, batch, replace(tools, sampler=known()))


class TargetAtEnd(Hop):
    """The target is asked at the level of the end, one level off."""

    name = "kit11-target-at-end"

    def target(self, denoiser, x, top, cond):
        return denoiser(x, 0.9 * top, **cond)


class HighHops(Hop):
    """Ends may lie below sigma_min: the ratio is not held to what is left of the range."""

    name = "kit11-high-hops"

    def lower(self, top, least, tools):
        return top * torch.exp(-0.4 * uniform(top, tools.generator))


class Buffer(Objective):
    """Denoises posterior draws that it keeps: 16 rows, two of them drawn anew in each call."""

    name = "kit11-buffer"
    claims = frozenset({"stationary-at-oracle", "detached-anchor"})
    below_sigma_n = "from rows that the network itself drew for the noisy ones"

    def loss(self, denoiser, batch, tools):
        """One term, for as many rows as there are draws."""
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel")
        memory, least = tools.memory, tools.levels.sigma_min
        if not memory:
            memory["x_0"] = batch.x_n.new_zeros(16, *batch.x_n.shape[1:])
            memory["top"] = batch.x_n.new_zeros(16)
            memory["count"] = torch.zeros((), dtype=torch.int64)
            for name, value in batch.cond.items():
                memory["c." + name] = value.new_zeros(16, *value.shape[1:])
        usable = (tools.corruption.floor(batch) > least).nonzero().squeeze(1)[:2]
        if len(usable) and self.fresh(memory):
            self.draw(denoiser, take(batch, usable), tools)
        have = min(int(memory["count"]), 16)
        count = min(have, len(batch.x_n))
        if count == 0:
            return {"buffer": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        which = (uniform(batch.x_n.new_empty(count), tools.generator) * have).long().clamp(max=have - 1)
        x_0, top = memory["x_0"][which], memory["top"][which]
        sigma = log_uniform(uniform(top, tools.generator), least, top)
        x_t = x_0 + per_row(sigma, x_0) * standard_normal(x_0, tools.generator)
        error = denoiser(x_t, sigma, **self.conditions(memory, which, batch)).to(x_0.dtype) - x_0
        return {"buffer": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)}

    def fresh(self, memory):
        """Always."""
        return True

    def conditions(self, memory, which, batch):
        """Those that the draws were made with."""
        return {name[2:]: value[which] for name, value in memory.items() if name.startswith("c.")}

    @torch.no_grad()
    def draw(self, denoiser, batch: Batch, tools):
        """Draws in the place of the oldest."""
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), top)
        grid = torch.cat([power_grid(top, low, 8, 3.0), torch.zeros_like(top).unsqueeze(0)])
        drawn = self.carry(denoiser, view, grid, tools)
        place = (int(memory["count"]) + torch.arange(len(top))) % 16
        memory["x_0"][place], memory["top"][place] = drawn.to(memory["x_0"].dtype), top.to(memory["top"].dtype)
        for name, value in view.cond.items():
            memory["c." + name][place] = value
        memory["count"] += len(top)

    def carry(self, denoiser, view, grid, tools):
        """By the run's sampler."""
        return tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)


class ConditionsOfToday(Buffer):
    """Old draws are denoised under the conditions of the batch of the day."""

    name = "kit11-conditions-of-today"

    def conditions(self, memory, which, batch):
        return {name: value[: len(which)] for name, value in batch.cond.items()}


class DrawsOnce(Buffer):
    """Draws until its buffer is full, with the network of the first steps, and never again."""

    name = "kit11-draws-once"

    def fresh(self, memory):
        return int(memory["count"]) < 16


class KeepsMeans(Buffer):
    """Keeps D(x_n), the mean, where it should keep a draw: the law of means is too narrow."""

    name = "kit11-keeps-means"

    def carry(self, denoiser, view, grid, tools):
        return denoiser(view.x, grid[0], **view.cond)


class StopsShort(Buffer):
    """Stops its chain at 0.03 sigma_n without the last call to 0, and takes what is still noisy for a clean draw."""

    name = "kit11-stops-short"

    def carry(self, denoiser, view, grid, tools):
        coarse = grid[:-3]
        return tools.sampler.sample(denoiser, view.x, coarse, tools.generator, view.cond)
