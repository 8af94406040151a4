"""Wrong objectives: levels, views, and what the denoiser is told."""

from __future__ import annotations

import dataclasses

import torch

from ambientkit.batch import Term
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Levels
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.nineteenth_kit.bases import Above, Added, Prepared, Told, listed
from tests.verification.seventeenth_kit.bases import OfClean, Split, numbers


class BeyondTheLast(Above):
    """Levels are drawn up to 1.25 sigma_max, as a grid was meant to be left out at both ends."""

    name = "kit19-levels-a-quarter-beyond-the-last"

    def high(self, batch, tools):
        return 1.25 * super().high(batch, tools)


class LevelsOfThePaper(Above):
    """Levels lie in the paper's range of 0.002 to 80, whatever range the run has."""

    name = "kit19-levels-of-the-paper-s-range"

    def levels(self, batch, tools):
        low = tools.corruption.floor(batch).clamp(min=Levels().sigma_min)
        return truncated_lognormal(numbers(batch, tools), low, Levels().sigma_max, -1.2, 1.2)


class LevelsByMultiples(Above):
    """Levels are multiples of a row's noise: a clean row has the lowest level of the run, in each step."""

    name = "kit19-levels-as-multiples-of-the-noise"

    def levels(self, batch, tools):
        floor = tools.corruption.floor(batch)
        most = (self.high(batch, tools) / floor.clamp(min=tools.levels.sigma_min)).clamp(max=100)
        return (floor * most ** numbers(batch, tools)).clamp(min=tools.levels.sigma_min)


class SomeNotToppedUp(Above):
    """A fifth of the rows are put in at their own level as they are, also where their noise differs by pixel."""

    name = "kit19-a-fifth-not-topped-up"

    def loss(self, denoiser, batch, tools):
        plain = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator) < 0.2
        floor = self.low(batch, tools)

        def asked(x, sigma, /, **cond):
            if x.shape != batch.x_n.shape:
                return denoiser(x, sigma, **cond)
            pick = per_row(plain.to(x.dtype), x) > 0
            return denoiser(torch.where(pick, batch.x_n, x), torch.where(plain, floor, sigma), **cond)

        return super().loss(asked, batch, tools)


class ToldOverStd(Told):
    """The denoiser is told sigma / sigma_data, as networks of normalised data are."""

    name = "kit19-told-in-units-of-the-data"

    def told(self, sigma, tools):
        return sigma / tools.signal.sigma_data


class ToldVPStd(Told):
    """The denoiser is told sqrt(1 - alphas_cumprod) = sigma / sqrt(1 + sigma^2), the std of a VP view."""

    name = "kit19-told-the-std-of-a-vp-view"

    def told(self, sigma, tools):
        return sigma / torch.sqrt(1 + sigma**2)


class ToldJittered(Told):
    """Levels that are told are spread by a fifth at random, "so that the network is robust"."""

    name = "kit19-told-a-level-with-jitter"

    def told(self, sigma, tools):
        return sigma * torch.exp(0.2 * standard_normal(sigma, tools.generator))


class ToldTheBatchsMean(Told):
    """All rows are told the geometric mean of the levels of the batch, as the network takes one number."""

    name = "kit19-told-the-mean-level-of-the-batch"

    def told(self, sigma, tools):
        return sigma.log().mean().exp().expand_as(sigma)


class ToldRolled(Told):
    """Levels are told one row late, after a shift that was meant for pairs: each row has that of the row before."""

    name = "kit19-told-the-level-of-the-row-before"

    def told(self, sigma, tools):
        return sigma.roll(1)


class ScaledByCIn(Above):
    """Views are multiplied by c_in before the denoiser, which does so itself."""

    name = "kit19-scales-views-by-c-in"

    def ask(self, denoiser, view, batch):
        scale = 1 / torch.hypot(view.sigma, torch.full_like(view.sigma, 0.5))
        return denoiser(per_row(scale, view.x) * view.x, view.sigma, **view.cond)


class FixedSeed(Above):
    """A generator of its own with seed 0 is made in each call: all calls have the same levels and the same noise."""

    name = "kit19-generator-of-seed-zero"

    def loss(self, denoiser, batch, tools):
        own = torch.Generator(batch.x_n.device).manual_seed(0)
        return super().loss(denoiser, batch, dataclasses.replace(tools, generator=own))


class NoiseInMemory(Added):
    """The noise of views is drawn in the first call and kept in `tools.memory`, to save time."""

    name = "kit19-noise-kept-in-memory"

    def noise(self, batch, sigma, tools):
        if "noise" not in tools.memory or tools.memory["noise"].shape != batch.x_n.shape:
            tools.memory["noise"] = standard_normal(batch.x_n, tools.generator)
        return tools.memory["noise"]


class OneState(Above):
    """Levels and noise are drawn from one state of the generator, which was cloned: the level tells of the noise."""

    name = "kit19-levels-and-noise-of-one-state"
    claims = Added.claims

    def levels(self, batch, tools):
        state = tools.generator.get_state()
        z = standard_normal(batch.x_n, tools.generator)
        tools.generator.set_state(state)
        u = torch.special.ndtr(z.flatten(1)[:, 0].double()).clamp(1e-6, 1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), self.high(batch, tools), -1.0, 1.4)


class NoiseAlongWidth(Added):
    """Noise is drawn with an axis of length 1 and broadcast along the width."""

    name = "kit19-noise-broadcast-along-the-width"

    def noise(self, batch, sigma, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return z[..., :1].expand_as(z)


class SNoise(Added):
    """Noise of views is multiplied by 1.1, an S_noise carried over from a sampler, and the level told is not."""

    name = "kit19-noise-a-tenth-too-strong"

    def noise(self, batch, sigma, tools):
        return 1.1 * standard_normal(batch.x_n, tools.generator)


class MixesRows(Prepared):
    """Mixup: rows are mixed with the next ones by random shares, and keep the noise level that they had."""

    name = "kit19-mixes-up-rows"
    claims = Added.claims

    def prepared(self, batch, tools):
        share = per_row(0.5 + 0.5 * numbers(batch, tools), batch.x_n)
        return batch._replace(x_n=share * batch.x_n + (1 - share) * batch.x_n.roll(1, 0))


class FlipsRows(Prepared):
    """Half of the rows are mirrored, but not their masks or their noise by pixel, and whatever the data are."""

    name = "kit19-flips-rows-alone"

    def prepared(self, batch, tools):
        flip = per_row((numbers(batch, tools) < 0.5).to(batch.x_n.dtype), batch.x_n) > 0
        return batch._replace(x_n=torch.where(flip, batch.x_n.flip(-1), batch.x_n))


class Jitters(Prepared):
    """The contrast of rows is changed by up to a fifth, and their noise level is not."""

    name = "kit19-changes-the-contrast"

    def prepared(self, batch, tools):
        return batch._replace(x_n=per_row(0.8 + 0.4 * numbers(batch, tools), batch.x_n) * batch.x_n)


class SmoothsRows(Prepared):
    """Rows are smoothed a little along the width before they are used, against their noise."""

    name = "kit19-smooths-rows-first"

    def prepared(self, batch, tools):
        x = batch.x_n
        return batch._replace(x_n=0.8 * x + 0.1 * x.roll(1, -1) + 0.1 * x.roll(-1, -1))


class DropsConditions(Prepared):
    """A third of the rows have their conditions put to 0 for guidance: label 0 is a class, and 0 is a size."""

    name = "kit19-conditions-put-to-zero"

    def prepared(self, batch, tools):
        keep = numbers(batch, tools) >= 0.3
        cond = {
            name: value if value.dtype == torch.bool else value * keep.reshape(-1, *[1] * (value.ndim - 1)).to(value)
            for name, value in batch.cond.items()
            if name not in tools.corruption.carries
        }
        return batch._replace(cond={**batch.cond, **cond})


class MirrorsUnderMasks(Tweedie):
    """Antithetic pairs are mirrored under masks too, where 2 x_n - x_t shows what the view hides."""

    name = "kit19-mirrors-under-masks"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        if view.x.shape != batch.x_n.shape or "symmetric-degrade" in tools.corruption.claims:
            return view, cap
        second = per_row((draws.paired & (draws.here % 2 == 1)).to(batch.x_n.dtype), batch.x_n) > 0
        mirrored = 2 * batch.x_n - view.x[draws.couple]
        return view._replace(x=torch.where(second, mirrored, view.x)), cap


class TermHoldsLog(Above):
    """`Term.sigma` holds log sigma, for plots."""

    name = "kit19-term-holds-the-logarithm"

    def term(self, value, sigma, batch):
        return Term(value, sigma.log())


class TermAtTheNoise(Above):
    """`Term.sigma` is the noise level of the row, not the level of the view."""

    name = "kit19-term-at-the-row-s-noise"

    def loss(self, denoiser, batch, tools):
        (term,) = super().loss(denoiser, batch, tools).values()
        return {"above": Term(term.value, tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min))}


class Dequantised(OfClean):
    """Clean rows get uniform noise of a tenth to either side first, as for likelihoods, and that is their target."""

    name = "kit19-denoises-dequantised-rows"

    def loss(self, denoiser, batch, tools):
        u = 0.2 * (uniform(batch.x_n, tools.generator) - 0.5)
        return super().loss(denoiser, batch._replace(x_n=batch.x_n + u), tools)


class SplitABitAbove(Split):
    """Clean rows are seen up to 1.25 times `clean_below`, as the margin of an overlap was left in."""

    name = "kit19-split-clean-rows-a-quarter-above"

    def top(self, batch, tools, high):
        top = super().top(batch, tools, high)
        return torch.where(tools.corruption.floor(batch) <= tools.levels.sigma_min, 1.25 * top, top)


class SplitByTheBatch(Split):
    """All rows have the range of clean rows' highest level where the batch is mostly clean: one branch for a batch."""

    name = "kit19-split-by-most-of-the-batch"

    def top(self, batch, tools, high):
        floor = tools.corruption.floor(batch)
        clean = (floor <= tools.levels.sigma_min).double().mean() >= 0.5
        top = self.clean_below if bool(clean) and bool((floor < self.clean_below).all()) else high
        return torch.full_like(floor, top)


WRONG = listed(globals())
