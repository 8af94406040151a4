"""Wrong samplers: order of steps, the last step, noise, rows and conditions."""

from __future__ import annotations

import torch

from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments
from tests.verification.fifteenth_kit.bases import made
from tests.verification.fifteenth_kit.bases_other import Drawn, Flow, FlowTwice, Multi


class EndsByFirstRow(Flow):
    """Whether the grid ends at 0 is asked of the first row; then all rows end with the denoiser's answer."""

    name = "kit16-last-step-by-the-first-row"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        if bool(sigma_s[0] == 0):
            return self.estimate(denoiser, x, sigma_t, cond)
        return super().step(denoiser, x, sigma_t, sigma_s, generator, cond)


class AlwaysEndsAtAnswer(Flow):
    """The last step gives the denoiser's answer, wherever it ends."""

    name = "kit16-last-step-always-to-the-answer"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas[:-1], generator, cond)
        return self.estimate(denoiser, x, sigmas[-2], cond)


class CorrectsIfAllDo(FlowTwice):
    """The second call is made only where no row of the batch ends at 0."""

    name = "kit16-corrects-where-all-rows-do"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        if bool((sigma_s == 0).any()):
            sigma_s = sigma_s.clone()
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            return x + per_row(sigma_s - sigma_t, x) * slope
        return super().step(denoiser, x, sigma_t, sigma_s, generator, cond)


class SecondWithoutCond(FlowTwice):
    """The second call of a step is made without the conditions."""

    name = "kit16-second-call-without-conditions"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (ahead - denoiser(ahead, level).to(x.dtype)) / per_row(level, x)


class SecondOverFirstLevel(FlowTwice):
    """The second slope is divided by the level of the first."""

    name = "kit16-second-slope-over-the-first-level"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (ahead - denoiser(ahead, level, **cond).to(x.dtype)) / per_row(sigma_t, x)


class SecondAtTheMean(FlowTwice):
    """The second call is told the mean of the two levels, where the point is at the lower one."""

    name = "kit16-second-call-told-the-middle"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (ahead - denoiser(ahead, (sigma_t + level) / 2, **cond).to(x.dtype)) / per_row(level, x)


class SecondFromX(FlowTwice):
    """The second slope is taken at x and not at the point ahead."""

    name = "kit16-second-slope-at-the-start"

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (x - denoiser(x, level, **cond).to(x.dtype)) / per_row(level, x)


class TwoThirds(FlowTwice):
    """Weights 1/3 and 2/3, Ralston's, of a second slope that was taken at the end of the step."""

    name = "kit16-ralston-weights-at-the-end"

    def both(self, x, by, slope, second):
        return x + by * (slope + 2 * second) / 3


class RatioInverted(Multi):
    """h_old / (2 h): the ratio of the steps the wrong way, which an even grid does not show."""

    name = "kit16-multistep-ratio-inverted"

    def ahead(self, new, old, h, h_old):
        return new + h_old / (2 * h.clamp(min=1e-12)) * (new - old)


class EvenSteps(Multi):
    """3/2 and -1/2 for steps of any length."""

    name = "kit16-multistep-for-even-steps"

    def ahead(self, new, old, h, h_old):
        return 1.5 * new - 0.5 * old


class BeginsFromX(Multi):
    """The history begins with x itself in the place of an answer, and a step of the first length."""

    name = "kit16-history-begins-with-x"

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, h_old = x, torch.log(sigmas[0] / sigmas[1].clamp(min=1e-3))
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            new = denoiser(x, sigma_t, **cond).to(x.dtype)
            ends = sigma_s <= 0
            h = torch.log(sigma_t / torch.where(ends, sigma_t, sigma_s))
            told = torch.where(
                per_row(ends.to(x.dtype), x) > 0, new, self.ahead(new, old, per_row(h, x), per_row(h_old, x))
            )
            x = told + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - told)
            old, h_old = new, h
        return x


class HistoryOfTheBatch(Multi):
    """The lengths of steps are those of the first row."""

    name = "kit16-multistep-lengths-of-the-first-row"

    def ahead(self, new, old, h, h_old):
        return new + h[:1] / (2 * h_old[:1].clamp(min=1e-12)) * (new - old)


class AdamsInSigma(Sampler):
    """Two-step Adams-Bashforth in sigma with 3/2 and -1/2, for steps that are not even: of first order there."""

    name = "kit16-adams-for-even-steps"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            x = x + per_row(sigma_s - sigma_t, x) * (slope if old is None else (3 * slope - old) / 2)
            old = slope
        return x


class ChurnTooLoud(Flow):
    """Churn: the level is raised by a fifth and noise of that fifth added, where it is the squares that add."""

    name = "kit16-churn-by-the-difference"
    claims = frozenset({"order-1", "final-law", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        raised = 1.2 * sigma_t
        x = x + per_row(raised - sigma_t, x).to(x.dtype) * standard_normal(x, generator)
        return super().step(denoiser, x, raised, sigma_s, generator, cond)


class AncestralByDifference(Flow):
    """DDIM with eta: the level to go down to is sigma_s less the noise, where it is the squares that subtract."""

    name = "kit16-eta-half-by-the-difference"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = 0.5 * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        x = super().step(denoiser, x, sigma_t, sigma_s - up, generator, cond)
        return x + per_row(up, x).to(x.dtype) * standard_normal(x, generator)


class OneNoiseForAllSteps(Drawn):
    """z is drawn once and used in every step."""

    name = "kit16-one-z-for-all-steps"

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
            x = mean + std.to(x.dtype) * z
        return x


class NoiseForRowsOfOne(Drawn):
    """z has one value for each pixel and is shared by the channels of a picture."""

    name = "kit16-sampler-shares-z-over-channels"

    def noise(self, x, generator):
        z = standard_normal(x, generator)
        return z[:, :1].expand_as(z) if z.ndim == 4 else z


class StdOfAMixture(Drawn):
    """The logarithm of the variance is half way between those of DDPM's two choices."""

    name = "kit16-learned-variance-half-way"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond).to(x.dtype), sigma_t, sigma_s)
        wide = per_row((sigma_t**2 - sigma_s**2).clamp(min=0).sqrt(), x)
        return mean + torch.where(std > 0, (std * wide).sqrt(), std).to(x.dtype) * standard_normal(x, generator)


class AnswerClipped(Drawn):
    """The answer is clipped to [-1, 1] before each step, though x_0 may lie beyond."""

    name = "kit16-clips-the-answer"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return super().step(lambda y, s, **c: denoiser(y, s, **c).clamp(-1, 1), x, sigma_t, sigma_s, generator, cond)


class EndClipped(FlowTwice):
    """Rows that end at 0 are clipped to [-1, 1], for pictures."""

    name = "kit16-clips-rows-that-end-at-0"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas, generator, cond)
        return torch.where(per_row((sigmas[-1] == 0).to(x), x) > 0, x.clamp(-1, 1), x)


class FirstRowsLevel(Flow):
    """The denoiser is told the level of the first row, and the step is that of each."""

    name = "kit16-denoiser-told-the-first-row-s-level"

    def estimate(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma[:1].expand_as(sigma), **cond).to(x.dtype)


class SkipsShortSteps(Flow):
    """Levels less than a tenth below the last one are left out, "for speed"."""

    name = "kit16-leaves-out-short-steps"

    def sample(self, denoiser, x, sigmas, generator, cond):
        kept = [sigmas[0]]
        for level in sigmas[1:-1]:
            if bool((level < 0.9 * kept[-1]).any()):
                kept.append(level)
        return super().sample(denoiser, x, torch.stack([*kept, sigmas[-1]]), generator, cond)


class ReusesTheAnswer(Flow):
    """The denoiser is called in every second step; between, its last answer serves."""

    name = "kit16-calls-in-every-second-step"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for index, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            if index % 2 == 0:
                x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            x = x_0_hat + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - x_0_hat)
        return x


class DetachesSteps(Flow):
    """x is detached between steps "to save memory": the gradient sees the last answer alone."""

    name = "kit16-detaches-between-steps"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return super().step(denoiser, x.detach(), sigma_t, sigma_s, generator, cond)


class InFloat32(FlowTwice):
    """The work is done in float32 and handed back so, for rows of float64."""

    name = "kit16-hands-back-float32"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond).float()


class InPlace(Flow):
    """Steps are written into the x that was given."""

    name = "kit16-writes-into-the-start"

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = super().sample(denoiser, x, sigmas, generator, cond)
        with torch.no_grad():
            x.copy_(found)
        return found


class LowerRatio(StochasticHeun):
    """The correction of Heun's rule has the ratio of the levels, where it is the ratio of their squares."""

    name = "kit16-correction-by-the-ratio-of-levels"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
            ahead, inside = mean + std.to(x.dtype) * standard_normal(x, generator), sigma_s > 0
            if bool(inside.any()):
                again = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond).to(x.dtype)
                c = (1 - per_row(sigma_s / sigma_t, x)) / 2
                ahead = torch.where(per_row(inside.to(x.dtype), x) > 0, ahead + c * (again - x_0_hat), ahead)
            x = ahead
        return x


WRONG = made(
    EndsByFirstRow,
    AlwaysEndsAtAnswer,
    CorrectsIfAllDo,
    SecondWithoutCond,
    SecondOverFirstLevel,
    SecondAtTheMean,
    SecondFromX,
    TwoThirds,
    RatioInverted,
    EvenSteps,
    BeginsFromX,
    HistoryOfTheBatch,
    AdamsInSigma,
    ChurnTooLoud,
    AncestralByDifference,
    OneNoiseForAllSteps,
    NoiseForRowsOfOne,
    StdOfAMixture,
    AnswerClipped,
    EndClipped,
    FirstRowsLevel,
    SkipsShortSteps,
    ReusesTheAnswer,
    DetachesSteps,
    InFloat32,
    InPlace,
    LowerRatio,
)
