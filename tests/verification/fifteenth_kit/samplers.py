"""Wrong samplers."""

from __future__ import annotations

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal

from .bases import made
from .bases_other import Drawn, Flow, FlowTwice, Multi, Walk

_LAST: dict[tuple[int, ...], torch.Tensor] = {}


class ForwardStd(Drawn):
    """The noise of a step has the std of the forward step, sqrt(sigma_t^2 - sigma_s^2)."""

    name = "kit15-forward-std"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        r = per_row(sigma_s / sigma_t, x) ** 2
        std = torch.where(sigma_s > 0, (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt(), 0.0)
        return r * x + (1 - r) * x_0_hat + per_row(std, x).to(x.dtype) * self.noise(x, generator)


class LastStepLeftOut(Drawn):
    """The step to level 0 is left out, as it divides by 0 elsewhere."""

    name = "kit15-last-step-left-out"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        found = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return torch.where(per_row(sigma_s, x) > 0, found, x)


class FirstLevelLeftOut(Walk):
    """The first level is left out: the points are taken to lie at the second."""

    name = "kit15-first-level-left-out"
    source = Flow.source
    claims = Flow.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        levels = sigmas[1:] if len(sigmas) > 2 else sigmas
        return Flow().sample(denoiser, x, levels, generator, cond)


class OneNoiseForAllSteps(Drawn):
    """The noise is drawn once and used in every step."""

    name = "kit15-one-noise-for-all-steps"

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            r = per_row(sigma_s / sigma_t, x) ** 2
            x = r * x + (1 - r) * x_0_hat + (per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()).to(x.dtype) * z
        return x


class FirstGeneratorDraws(Drawn):
    """Of a list of generators the first draws the noise of all rows."""

    name = "kit15-first-generator-draws"

    def noise(self, x, generator):
        return standard_normal(x, generator[0] if isinstance(generator, list) else generator)


class NoiseOfTheBatchCentred(Drawn):
    """The noise of a step is brought to mean 0 and std 1 over the batch."""

    name = "kit15-noise-standardised"

    def noise(self, x, generator):
        z = standard_normal(x, generator)
        return (z - z.mean()) / z.std() if z.numel() > 1 else z


class ClippedEstimate(Drawn):
    """Estimates are clipped to [-1, 1] (clip_denoised)."""

    name = "kit15-clipped-estimate"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        def clipped(y, sigma, /, **cond):
            return denoiser(y, sigma, **cond).clamp(-1, 1)

        return super().step(clipped, x, sigma_t, sigma_s, generator, cond)


class WithoutGradient(Drawn):
    """Gradients are switched off within."""

    name = "kit15-without-gradient"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond)


class SwitchesGradientOn(Drawn):
    """Switches gradients off for the steps and on afterwards, for good."""

    name = "kit15-switches-gradient"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        found = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        torch.set_grad_enabled(True)
        return found


class DeterministicKernel(Flow):
    """The probability flow, which claims to draw from the reverse kernel."""

    name = "kit15-flow-as-kernel"
    claims = Flow.claims | {"reverse-kernel"}


class HalfOfTheNoise(Walk):
    """eta = 0.5: half of the fresh noise, with the whole step of the mean."""

    name = "kit15-eta-in-the-noise-alone"
    source = "arXiv 2010.02502, eq. 12 and 16"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        r = per_row(sigma_s / sigma_t, x) ** 2
        up = 0.5 * per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()
        return r * x + (1 - r) * x_0_hat + up.to(x.dtype) * standard_normal(x, generator)


class MeanGrid(Flow):
    """All rows go down the mean grid of the batch."""

    name = "kit15-mean-grid"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas.mean(1, keepdim=True).expand_as(sigmas), generator, cond)


class FirstConditions(Flow):
    """All rows are denoised under the conditions of the first."""

    name = "kit15-first-conditions"

    def estimate(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma, **{n: v[:1].expand_as(v) for n, v in cond.items()}).to(x.dtype)


class InPlace(Flow):
    """Steps are made in the place of the points that are handed in."""

    name = "kit15-steps-in-place"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        found = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return found if x.requires_grad or found.requires_grad else x.copy_(found)


class InDoubles(Flow):
    """Computes in float64 and returns float64."""

    name = "kit15-in-doubles"

    def sample(self, denoiser, x, sigmas, generator, cond):
        def wide(y, sigma, /, **cond):
            return denoiser(y.to(x.dtype), sigma.to(sigmas.dtype), **cond).double()

        return super().sample(wide, x.double(), sigmas.double(), generator, cond)


class SigmaOfFirstRow(Flow):
    """The denoiser is asked about all rows at the level of the first."""

    name = "kit15-level-of-the-first-row"

    def estimate(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma[:1].expand_as(sigma), **cond).to(x.dtype)


class SecondAtTheOldPoint(FlowTwice):
    """The second slope is taken at the old point."""

    name = "kit15-second-slope-at-the-old-point"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (x - denoiser(x, level, **cond).to(x.dtype)) / per_row(level, x)


class SecondWithoutConditions(FlowTwice):
    """The second call of a step is not given the conditions."""

    name = "kit15-second-call-without-conditions"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return super().second(denoiser, x, ahead, sigma_t, level, {})


class AllEndTogether(FlowTwice):
    """Where one row ends at 0, all rows of the batch take Euler's step."""

    name = "kit15-all-end-together"

    def inside(self, sigma_s):
        inside = sigma_s > 0
        return inside.all().expand_as(inside)


class StepNotDivided(Multi):
    """The difference of two estimates is not divided by the step between them."""

    name = "kit15-difference-not-divided"

    def ahead(self, new, old, h, h_old):
        return new + h / 2 * (new - old)


class LastCallRemembered(Multi):
    """The last estimate of a run is where the next one of that shape begins."""

    name = "kit15-last-run-remembered"

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, h_old = (
            _LAST.get(tuple(x.shape)),
            torch.log(sigmas[0] / sigmas[1].clamp(min=1e-3 * float(sigmas[0].min()))),
        )
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            h = torch.log(sigma_t / torch.where(sigma_s > 0, sigma_s, sigma_t))
            told = x_0_hat if old is None else self.ahead(x_0_hat, old.to(x), per_row(h, x), per_row(h_old, x))
            x = told + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - told)
            old, h_old = x_0_hat, h.clamp(min=1e-6)
        _LAST[tuple(x.shape)] = old.detach()
        return x


class ChunksOnFirstLevels(Sampler):
    """Runs in chunks of 16 rows, each on the levels of the first chunk."""

    name = "kit15-chunks-levels-of-the-first"
    source = Flow.source
    claims = Flow.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = []
        for start in range(0, len(x), 16):
            part = slice(start, start + 16)
            own = {n: v[part] for n, v in cond.items()}
            rows = x[part]
            found.append(Flow().sample(denoiser, rows, sigmas[:, : len(rows)], generator, own))
        return torch.cat(found) if found else x


WRONG = made(
    ForwardStd,
    LastStepLeftOut,
    FirstLevelLeftOut,
    OneNoiseForAllSteps,
    FirstGeneratorDraws,
    NoiseOfTheBatchCentred,
    ClippedEstimate,
    WithoutGradient,
    SwitchesGradientOn,
    DeterministicKernel,
    HalfOfTheNoise,
    MeanGrid,
    FirstConditions,
    InPlace,
    InDoubles,
    SigmaOfFirstRow,
    SecondAtTheOldPoint,
    SecondWithoutConditions,
    AllEndTogether,
    StepNotDivided,
    LastCallRemembered,
    ChunksOnFirstLevels,
)
