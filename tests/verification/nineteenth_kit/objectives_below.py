"""Wrong objectives of the levels below the noise of the data: consistency, Stein's risk, and posterior draws."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Term, take
from ambientkit.builtin.hops import repeated
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.maths.levels import power_grid
from ambientkit.maths.noise import Mirrored, per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.nineteenth_kit.bases import listed, pictured
from tests.verification.seventeenth_kit.bases import ENDS, Below, Stein


class SharedEnd(Below):
    """The two pairs share an end, as windows of two overlap: their defects are not independent."""

    name = "kit19-pairs-that-share-an-end"

    def defects(self, x_0_hat, target):
        ends = x_0_hat.unflatten(0, (2, ENDS // 2, -1))
        return (ends[0, 0] + ends[1, 0]) / 2 - target, (ends[0, 0] + ends[1, 1]) / 2 - target


class BiasedVariance(Below):
    """The squared mean defect less a variance that is divided by n, not n - 1: a part of the noise is left."""

    name = "kit19-variance-of-two-by-n"

    def product(self, first, second):
        return (((first + second) / 2) ** 2 - ((first - second) / 2) ** 2 / 2).flatten(1).mean(1)


class BelowTheLowest(Below):
    """Hops may end below sigma_min, where the run's denoiser is never asked."""

    name = "kit19-hops-below-the-lowest-level"

    def lower(self, sigma, tools):
        return sigma * torch.exp(-self.max_hop * uniform(torch.empty_like(sigma), tools.generator) - 0.05)


class CondsInterleaved(Below):
    """Conditions of the ends are repeated row by row, and points set by set: ends have those of other rows."""

    name = "kit19-conditions-of-ends-interleaved"

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        cond = {key: value.repeat_interleave(ENDS, 0) for key, value in anchor.cond.items()}
        return denoiser(ends, repeated(sigma_s), **cond).to(batch.x_n.dtype)


class HopsByHand(Below):
    """A base: hops by a formula, in the place of the sampler."""

    name = "kit19-base-hops"

    def hop(self, x, x_0_hat, ratio, sigma_s, tools):
        """Points at sigma_s; ratio is sigma_s / sigma_t."""
        return x

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        x, ratio = repeated(anchor.x), per_row(repeated(sigma_s / anchor.sigma), repeated(anchor.x))
        return self.hop(x, repeated(target), ratio, per_row(repeated(sigma_s), x), tools).detach()


class AlongTheFlow(HopsByHand):
    """Hops follow the probability flow, along which the denoiser is no martingale."""

    name = "kit19-hops-along-the-flow"

    def hop(self, x, x_0_hat, ratio, sigma_s, tools):
        return x_0_hat + ratio * (x - x_0_hat)


class FromTheEstimate(HopsByHand):
    """Ends are the estimate with fresh noise of the lower level, and have forgotten x_t."""

    name = "kit19-hops-from-the-estimate-alone"

    def hop(self, x, x_0_hat, ratio, sigma_s, tools):
        return x_0_hat + sigma_s * standard_normal(x, Mirrored(tools.generator))


class LessNoise(HopsByHand):
    """The noise of a hop is a fifth too weak."""

    name = "kit19-hops-with-a-fifth-less-noise"

    def hop(self, x, x_0_hat, ratio, sigma_s, tools):
        noise = 0.8 * sigma_s * (1 - ratio**2).clamp(min=0).sqrt() * standard_normal(x, Mirrored(tools.generator))
        return ratio**2 * x + (1 - ratio**2) * x_0_hat + noise


class WithTheFlowsMean(HopsByHand):
    """A hop moves to r x_t + (1 - r) D with r = sigma_s / sigma_t in the mean, and with the kernel's noise."""

    name = "kit19-hops-with-the-flow-s-mean"

    def hop(self, x, x_0_hat, ratio, sigma_s, tools):
        noise = sigma_s * (1 - ratio**2).clamp(min=0).sqrt() * standard_normal(x, Mirrored(tools.generator))
        return ratio * x + (1 - ratio) * x_0_hat + noise


class ToldTheFirstLevel(Below):
    """Anchors at the end of a chain are told the level where it began, as the old tensor was handed on."""

    name = "kit19-anchors-told-their-first-level"

    def anchors(self, denoiser, batch, tools):
        found = super().anchors(denoiser, batch, tools)
        return found._replace(sigma=tools.corruption.floor(batch))


class InNoise(Below):
    """The noise that is seen at both levels is compared, as if it were a martingale: x_0 is one, z is not."""

    name = "kit19-compares-noise-along-hops"

    def target(self, denoiser, anchor, batch, tools):
        return anchor.x - super().target(denoiser, anchor, batch, tools)

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        return super().ends(denoiser, anchor, sigma_s, anchor.x - target, tools)

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        ratio = repeated(anchor.sigma / sigma_s)
        return per_row(ratio, ends) * (ends - super().ask(denoiser, ends, anchor, sigma_s, batch))


class EndsWithGradient(Below):
    """Hops are made with a gradient, which reaches the denoiser at the anchor's level through them."""

    name = "kit19-ends-with-gradient"

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        x, cond = repeated(anchor.x), {key: repeated(value) for key, value in anchor.cond.items()}
        grid = torch.stack([repeated(anchor.sigma), repeated(sigma_s)])
        with torch.enable_grad():
            return tools.sampler.sample(denoiser, x, grid, self.source(tools), cond)


class RunningTarget(Below):
    """The target of a row is blended with that of the row at its place in the call before."""

    name = "kit19-target-blended-with-the-last-call-s"

    def target(self, denoiser, anchor, batch, tools):
        found, memory = super().target(denoiser, anchor, batch, tools), tools.memory
        if "target" not in memory or memory["target"].shape != found.shape:
            memory["target"] = found.clone()
        blended = 0.9 * found + 0.1 * memory["target"].to(found)
        memory["target"] = found.clone()
        return blended


class CutOff(Below):
    """Defects are cut off at the level of the hop, against large gradients: what is odd does not cancel any more."""

    name = "kit19-defects-cut-off"

    def defects(self, x_0_hat, target):
        found = (x_0_hat.unflatten(0, (2, ENDS // 2, -1)) - target).clamp(min=-0.05, max=0.1)
        return found.mean(0)


class SteinSignLost(Stein):
    """The divergence has the other sign."""

    name = "kit19-stein-sign-of-the-divergence-lost"

    def risk(self, x_0_hat, x, divergence, level):
        return (x_0_hat - x) ** 2 - level**2 * (2 * divergence + 1)


class SteinByChannels(Stein):
    """The divergence is divided by the number of channels, which the mean over values does already."""

    name = "kit19-stein-divergence-over-channels"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        found = super().divergence(denoiser, x, x_0_hat, view, tools)
        return found / x.shape[1] if pictured(x) else found


class SteinTooShort(Stein):
    """The derivative is a difference over 1e-12, which float32 rounds to nothing."""

    name = "kit19-stein-difference-too-short"

    def divergence(self, denoiser, x, x_0_hat, view, tools):
        probe = self.probe(x, tools)
        moved = denoiser(x.detach() + 1e-12 * probe, view.sigma, **view.cond).to(x.dtype)
        return probe * (moved - x_0_hat) / 1e-12


class SteinMeanLevel(Stein):
    """The level in the risk is the mean of the batch, though rows differ."""

    name = "kit19-stein-level-of-the-batch"

    def risk(self, x_0_hat, x, divergence, level):
        return super().risk(x_0_hat, x, divergence, level.mean())


class SteinProbeScaled(Stein):
    """Probes are normal draws scaled to norm 1 for each row, without the number of values to make up for it."""

    name = "kit19-stein-probe-of-norm-one"

    def probe(self, x, tools):
        z = standard_normal(x, tools.generator)
        return z / per_row(z.flatten(1).norm(dim=1), z)


class Draws(PosteriorBuffer):
    """A base: draws of the buffer in steps."""

    name = "kit19-base-draws"

    def start(self, view):
        """The level that the chain begins at."""
        return view.sigma

    def grid(self, top, low):
        return torch.cat([power_grid(top, low, self.steps, 3.0), torch.zeros_like(top).unsqueeze(0)])

    def last(self, x_0, view, tools) -> Tensor:
        return x_0

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        memory, top = tools.memory, tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, top, tools.generator)
        first = self.start(view)
        low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), first)
        x_0 = tools.sampler.sample(denoiser, view.x, self.grid(first, low), tools.generator, view.cond)
        x_0 = self.last(x_0, view, tools)
        place = (int(memory["drawn"]) + torch.arange(len(top))) % len(memory["sigma_n"])
        memory["x_0"][place], memory["sigma_n"][place] = x_0.to(memory["x_0"].dtype), top.to(memory["sigma_n"].dtype)
        for name, value in view.cond.items():
            memory["cond." + name][place] = value
        memory["drawn"] += len(top)


class DrawsFromHigher(Draws):
    """Chains are told a level a quarter above that of the observation."""

    name = "kit19-buffer-told-a-quarter-more-noise"

    def start(self, view):
        return 1.25 * view.sigma


class DrawsStopEarly(Draws):
    """Chains stop at a third of the noise, and what is left of it is taken for detail."""

    name = "kit19-buffer-stops-at-a-third"

    def grid(self, top, low):
        return power_grid(top, torch.maximum(low, top / 3), self.steps, 3.0)


class DrawsClipped(Draws):
    """Draws are clipped to [-1, 1] before they are kept."""

    name = "kit19-buffer-of-clipped-draws"

    def last(self, x_0, view, tools):
        return x_0.clamp(-1, 1)


class BelowOfCleanRows(Below):
    """Rows without noise are anchors too, at a level of 0.1 that they are told and do not have."""

    name = "kit19-clean-rows-as-anchors"

    def loss(self, denoiser, batch, tools):
        clean = (tools.corruption.floor(batch) <= tools.levels.sigma_min).nonzero().squeeze(1)
        terms = super().loss(denoiser, batch, tools)
        if len(clean):
            rows, sigma = take(batch, clean), batch.x_n.new_full((len(clean),), 0.1)
            rho = denoiser(rows.x_n, sigma, **rows.cond).to(batch.x_n.dtype) - rows.x_n
            value = edm_weight(sigma, tools.signal.sigma_data) * rho.square().flatten(1).mean(1)
            terms["clean"] = Term(value, sigma)
        return terms


WRONG = listed(globals())
