"""Wrong samplers."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.eleventh_kit.bases import KERNEL, Reverse


class InflatedNoise(Reverse):
    """Noise of std 1.007, the S_noise that another program needs for its networks."""

    name = "kit11-inflated-noise"

    def hop(self, x, h, sigma_t, sigma_s, generator):
        r = (sigma_s / sigma_t) ** 2
        return r * x + (1 - r) * h + 1.007 * sigma_s * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)


class StaticThreshold(Reverse):
    """Clamps each answer to [-1, 1], which not all data keep to."""

    name = "kit11-static-threshold"

    def ask(self, denoiser, x, sigma, cond, k, last):
        return super().ask(denoiser, x, sigma, cond, k, last).clamp(-1, 1)


class BatchThreshold(Reverse):
    """Dynamic threshold at the largest 0.5 % of the batch, not of the row."""

    name = "kit11-batch-threshold"

    def ask(self, denoiser, x, sigma, cond, k, last):
        h = super().ask(denoiser, x, sigma, cond, k, last)
        bound = h.abs().flatten().quantile(0.995)
        return torch.minimum(torch.maximum(h, -bound), bound)


class AlwaysDenoised(Reverse):
    """The last hop goes to D, also where the last level is above 0."""

    name = "kit11-always-denoised"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(sigmas) < 4:
            return super().sample(denoiser, x, sigmas, generator, cond)
        x = super().sample(denoiser, x, sigmas[:-1], generator, cond)
        return denoiser(x, sigmas[-2], **cond).to(x.dtype)


class OneNoise(Sampler):
    """Draws its noise once and uses it in every hop."""

    name = "kit11-one-noise"
    claims = KERNEL

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            r = (s / t) ** 2
            x = r * x + (1 - r) * denoiser(x, sigma_t, **cond) + s * (1 - r).clamp(min=0).sqrt() * z
        return x


class ChurnOfBatch(Sampler):
    """Churn as EDM has it, where the largest level of the batch lies in a range: rows depend on each other."""

    name = "kit11-churn-of-batch"
    claims = frozenset({"order-1", "final-law", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for k, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            if k and 0.05 < float(sigma_t.max()) < 50:
                up = torch.minimum(1.02 * t, per_row(sigmas[0], x))
                x = x + (up**2 - t**2).clamp(min=0).sqrt() * standard_normal(x, generator)
                t = up
            level = t.reshape(-1)
            x = x + (s - t) * (x - denoiser(x, level, **cond)) / t
        return x


class StopsEarly(Reverse):
    """Ends at level 0.01: what the grid has below is left out."""

    name = "kit11-stops-early"

    def sample(self, denoiser, x, sigmas, generator, cond):
        keep = [k for k, level in enumerate(sigmas) if k < 2 or float(sigmas[k - 1].max()) > 0.01]
        return super().sample(denoiser, x, sigmas[keep], generator, cond)


class WritesStart(Reverse):
    """Scales the points that it is given in place before its first hop, and back."""

    name = "kit11-writes-start"

    def hop(self, x, h, sigma_t, sigma_s, generator):
        r = (sigma_s / sigma_t) ** 2
        x.mul_(r).add_((1 - r) * h)
        return x + sigma_s * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)


class DetachesOld(Reverse):
    """Detaches the answers of all hops but the last, so that a gradient through a chain is cut."""

    name = "kit11-detaches-old"

    def ask(self, denoiser, x, sigma, cond, k, last):
        h = super().ask(denoiser, x, sigma, cond, k, last)
        return h if k == last else h.detach()


class GuidanceInterval(Reverse):
    """Puts zeros for the conditions in the last of more than four hops, as some do with guidance."""

    name = "kit11-guidance-interval"

    def ask(self, denoiser, x, sigma, cond, k, last):
        if last > 3 and k == last:
            cond = {name: torch.zeros_like(value) for name, value in cond.items()}
        return super().ask(denoiser, x, sigma, cond, k, last)


class GeometricMiddle(Sampler):
    """DPM-2 with the slope at the geometric middle used for a step that is straight in sigma: of first order."""

    name = "kit11-geometric-middle"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            slope = (x - denoiser(x, sigma_t, **cond)) / t
            middle = torch.where(sigma_s > 0, sigma_t**0.75 * sigma_s**0.25, 0.5 * sigma_t)
            m = per_row(middle, x)
            there = x + (m - t) * slope
            second = (there - denoiser(there, middle, **cond)) / m
            x = x + (s - t) * torch.where(s > 0, second, slope)
        return x


class RowsAtZero(Sampler):
    """Heun, whose second stage is left out for all rows of a batch if one of them ends at 0."""

    name = "kit11-rows-at-zero"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            slope = (x - denoiser(x, sigma_t, **cond)) / t
            ahead = x + (s - t) * slope
            if bool((sigma_s > 0).all()):
                slope = (slope + (ahead - denoiser(ahead, sigma_s, **cond)) / s) / 2
                ahead = x + (s - t) * slope
            x = ahead
        return x


class TimidCorrector(Reverse):
    """A Langevin step after each hop whose noise lacks the root of 2: points become too narrow."""

    name = "kit11-timid-corrector"
    claims = frozenset({"final-law", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            h = denoiser(x, sigma_t, **cond)
            t = per_row(sigma_t, x)
            step = 0.05 * t**2
            x = x + step * (h - x) / t**2 + step.sqrt() * standard_normal(x, generator)
            x = self.hop(x, denoiser(x, sigma_t, **cond), t, per_row(sigma_s, x), generator)
        return x


class ScalarForOne(Reverse):
    """For a batch of one it asks with a level that has no axis."""

    name = "kit11-scalar-for-one"

    def ask(self, denoiser, x, sigma, cond, k, last):
        return denoiser(x, sigma.squeeze(), **cond).to(x.dtype)


class SingleHopMean(Reverse):
    """A grid of one hop is taken for a last hop, and gets no noise."""

    name = "kit11-single-hop-mean"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(sigmas) == 2:
            t, s = per_row(sigmas[0], x), per_row(sigmas[1], x)
            return (s / t) ** 2 * x + (1 - (s / t) ** 2) * denoiser(x, sigmas[0], **cond)
        return super().sample(denoiser, x, sigmas, generator, cond)


class NearlyStochastic(Sampler):
    """DDIM with eta 0.95, which is taken for a draw of the reverse kernel."""

    name = "kit11-nearly-stochastic"
    claims = KERNEL
    eta: float = Field(0.95, ge=0, le=1)
    """Share of the noise."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            h = denoiser(x, sigma_t, **cond)
            up = self.eta * s * (1 - (s / t) ** 2).clamp(min=0).sqrt()
            x = h + (s**2 - up**2).clamp(min=0).sqrt() * (x - h) / t + up * standard_normal(x, generator)
        return x


class MergesLevels(Reverse):
    """Levels nearer than 5 % to the last one are left out, to save calls."""

    name = "kit11-merges-levels"

    def sample(self, denoiser, x, sigmas, generator, cond):
        keep = [0]
        for k in range(1, len(sigmas) - 1):
            if float((sigmas[k] / sigmas[keep[-1]]).max()) < 0.95:
                keep.append(k)
        return super().sample(denoiser, x, sigmas[[*keep, len(sigmas) - 1]], generator, cond)


LAST: dict = {}


class RemembersAnswer(Sampler):
    """Two steps of Adams and Bashforth; the last answer is kept on the module, also from one call to the next."""

    name = "kit11-remembers-answer"
    claims = frozenset({"final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            slope = (x - denoiser(x, sigma_t, **cond)) / t
            old = LAST.get("slope")
            used = 1.5 * slope - 0.5 * old if old is not None and old.shape == x.shape else slope
            LAST["slope"] = slope.detach()
            x = x + (s - t) * (used if bool((sigma_s > 0).all()) else slope)
        return x


class BoldMultistep(Sampler):
    """DPM-Solver++(2M) with its ratio of steps the wrong way round: of second order for even grids alone."""

    name = "kit11-bold-multistep"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = step_before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            h = denoiser(x, sigma_t, **cond)
            step = (t / s.clamp(min=1e-12)).log()
            used = h
            if old is not None:
                ratio = step / step_before
                used = torch.where(s > 0, h + (h - old) / (2 * ratio), h)
            x = s / t * x + (1 - s / t) * used
            old, step_before = h, step
        return x


class RoundedSteps(Reverse):
    """Computes the ratio of the levels in bfloat16."""

    name = "kit11-rounded-steps"

    def hop(self, x, h, sigma_t, sigma_s, generator):
        r = ((sigma_s / sigma_t) ** 2).bfloat16().to(x.dtype)
        return r * x + (1 - r) * h + sigma_s * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)


class NoiseAtEnd(Reverse):
    """Adds a little noise after the last hop to 0, a floor of 0.005 that keeps a later logarithm finite."""

    name = "kit11-noise-at-end"

    def hop(self, x, h, sigma_t, sigma_s, generator):
        return super().hop(x, h, sigma_t, sigma_s.clamp(min=0.005), generator)
