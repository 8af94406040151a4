"""Wrong samplers."""

from __future__ import annotations

import torch

from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments
from tests.verification.nineteenth_kit.bases import FLOW, Flow, Kernel, listed, pictured


class NoiseByTheRatio(Kernel):
    """The variance of a step is made with r = sigma_s / sigma_t, and the mean with its square."""

    name = "kit19-noise-by-the-ratio-of-stds"

    def moments(self, x, x_0_hat, sigma_t, sigma_s):
        mean, _ = super().moments(x, x_0_hat, sigma_t, sigma_s)
        s, t = per_row(sigma_s, x), per_row(sigma_t, x)
        return mean, s * (1 - s / t).clamp(min=0).sqrt()


class NoiseOfTheUpperLevel(Kernel):
    """The std of a step is sigma_t sqrt(1 - r), DDPM's beta in the place of its beta tilde, but in the last step."""

    name = "kit19-noise-of-the-upper-level"

    def moments(self, x, x_0_hat, sigma_t, sigma_s):
        mean, std = super().moments(x, x_0_hat, sigma_t, sigma_s)
        s = per_row(sigma_s, x)
        return mean, torch.where(s > 0, std * per_row(sigma_t, x) / s.clamp(min=1e-9), std)


class MeanOfVP(Kernel):
    """The mean's share of x_t is sqrt(r), as a step of the variance-preserving form has it after its rescaling."""

    name = "kit19-mean-with-the-root-of-r"

    def moments(self, x, x_0_hat, sigma_t, sigma_s):
        ratio = per_row(sigma_s / sigma_t, x)
        _, std = super().moments(x, x_0_hat, sigma_t, sigma_s)
        return ratio * x + (1 - ratio**2) * x_0_hat, std


class MoreContrast(Kernel):
    """Answers are multiplied by 1.05, for pictures with more contrast."""

    name = "kit19-answers-a-twentieth-stronger"

    def ask(self, denoiser, x, sigma, cond, step):
        return 1.05 * super().ask(denoiser, x, sigma, cond, step)


class AsksTheLowerLevel(Kernel):
    """The denoiser is asked at the level that the step leads to, where that is above 0: off by one in the grid."""

    name = "kit19-asks-at-the-next-level"

    def sample(self, denoiser, x, sigmas, generator, cond):
        def later(x, sigma, /, **cond):
            place = (sigmas[:-1] - sigma).abs().argmin(0)
            found = sigmas[(place + 1).clamp(max=len(sigmas) - 1), torch.arange(len(x))]
            return denoiser(x, torch.where(found > 0, found, sigma), **cond)

        return super().sample(later, x, sigmas, generator, cond)


class CondsFirstOnly(Kernel):
    """Conditions are given to the denoiser in the first step, and put to 0 afterwards."""

    name = "kit19-conditions-in-the-first-step-alone"

    def ask(self, denoiser, x, sigma, cond, step):
        given = cond if step == 0 else {name: torch.zeros_like(value) for name, value in cond.items()}
        return super().ask(denoiser, x, sigma, given, step)


class BatchStd(Kernel):
    """After each step points are pulled towards the std that a batch of data of std 1 would have at the level."""

    name = "kit19-rescaled-by-the-batch-s-std"

    def after(self, x, sigma_s, denoiser, generator, cond):
        if x.numel() < 2:
            return x
        return x * (torch.hypot(sigma_s.mean(), torch.ones_like(sigma_s.mean())) / x.std().clamp(min=0.1)) ** 0.1


class OneNoiseForRows(Kernel):
    """The noise of a step is drawn for one row and broadcast over the batch."""

    name = "kit19-one-noise-for-all-rows"

    def noise(self, x, generator, last):
        return standard_normal(x, generator)[:1].expand_as(x)


class FirstGenerator(Kernel):
    """Of a list of generators the first draws the noise of all rows."""

    name = "kit19-first-generator-for-all-rows"

    def noise(self, x, generator, last):
        return standard_normal(x, generator[0] if isinstance(generator, list | tuple) else generator)


class NoiseRemembered(Kernel):
    """The noise of a step holds eight tenths of that of the step before, for smooth paths."""

    name = "kit19-noise-remembered-between-steps"

    def noise(self, x, generator, last):
        z = standard_normal(x, generator)
        return z if last is None else 0.8 * last + 0.6 * z


class NoiseAlongLines(Kernel):
    """Noise is drawn for one column of a picture and broadcast along its width."""

    name = "kit19-noise-broadcast-along-lines"

    def noise(self, x, generator, last):
        z = standard_normal(x, generator)
        return z[..., :1].expand_as(z) if pictured(z) else z


class BoundedGrid(Kernel):
    """Levels of the grid are bounded below by a twentieth, so that the last step ends there and not at 0."""

    name = "kit19-grid-bounded-by-a-twentieth"

    def grid(self, sigmas):
        return torch.minimum(sigmas.clamp(min=0.05), sigmas[:1])


class EverySecond(Kernel):
    """Every second level of the grid is used, to save time, and the last one."""

    name = "kit19-every-second-level"

    def grid(self, sigmas):
        return torch.cat([sigmas[:-1:2], sigmas[-1:]])


class GridOfTheFirst(Kernel):
    """All rows take the steps of the first row's grid, though each has levels of its own."""

    name = "kit19-grid-of-the-first-row"

    def grid(self, sigmas):
        return sigmas[:, :1].expand_as(sigmas)


class SortedGrid(Kernel):
    """The levels of the rows are sorted in each step, so that rows go on with levels of others."""

    name = "kit19-levels-sorted-over-rows"

    def grid(self, sigmas):
        return sigmas.sort(dim=1).values


class DenoisesAtTheEnd(Kernel):
    """What is given back is the denoiser's answer at the last level, also where that is above 0."""

    name = "kit19-denoises-at-the-end"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas, generator, cond)
        inside = sigmas[-1] > 0
        if not bool(inside.any()):
            return x
        last = denoiser(x, torch.where(inside, sigmas[-1], sigmas[-2]), **cond).to(x.dtype)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, last, x)


class HalfNoiseCorrector(Kernel):
    """Langevin steps after each step have noise of std sqrt(e), not sqrt(2 e): points come out too sharp."""

    name = "kit19-corrector-with-half-the-noise"
    claims = frozenset({"final-law", "grid-levels", "row-generators"})

    def after(self, x, sigma_s, denoiser, generator, cond):
        inside = sigma_s > 0
        if not bool(inside.any()):
            return x
        level = torch.where(inside, sigma_s, torch.ones_like(sigma_s))
        e = 0.1 * per_row(level, x) ** 2
        score = (denoiser(x, level, **cond).to(x.dtype) - x) / per_row(level, x) ** 2
        moved = x + e * score + e.sqrt() * standard_normal(x, generator)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, moved, x)


class StdsSubtracted(Kernel):
    """With eta = 1/2 the level of the flow step is sigma_s - sigma_up, not the root of the difference of squares."""

    name = "kit19-levels-subtracted-as-stds"
    claims = FLOW

    def moments(self, x, x_0_hat, sigma_t, sigma_s):
        up = 0.5 * reverse_moments(x, x_0_hat, sigma_t, sigma_s)[1]
        down = per_row(sigma_s, x) - up
        return x_0_hat + down / per_row(sigma_t, x) * (x - x_0_hat), up


class TwiceTheSlope(Flow):
    """The drift of the reverse stochastic equation, twice the flow's slope, is followed without its noise."""

    name = "kit19-twice-the-slope"

    def slope(self, denoiser, x, sigma, over, cond):
        return 2 * super().slope(denoiser, x, sigma, over, cond)


class OverTheUpper(Flow):
    """The second slope of Heun's method is divided by the upper level."""

    name = "kit19-second-slope-over-the-upper-level"

    def between(self, sigma_t, sigma_s):
        return sigma_s, sigma_t


class SwappedRalston(Flow):
    """Ralston's method with its shares 1/4 and 3/4 exchanged: first order."""

    name = "kit19-ralston-shares-exchanged"

    place: float = 2 / 3

    def shares(self):
        return 0.75, 0.25


class MiddleToldTheEnd(Flow):
    """The second stage stands at the middle of a step, and is told the level at its end: first order."""

    name = "kit19-midpoint-told-the-lower-level"

    place: float = 0.5

    def shares(self):
        return 0.0, 1.0

    def between(self, sigma_t, sigma_s):
        return sigma_s, (sigma_t + sigma_s) / 2


class WrongRatio(StochasticHeun):
    """The correction of `stochastic-heun` is made with c = (1 - ratio) / 2, the ratio for its square: half of it."""

    name = "kit19-correction-by-the-ratio-of-stds"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
            ahead, inside = mean + std.to(x.dtype) * standard_normal(x, generator), sigma_s > 0
            if bool(inside.any()):
                x_0_ahead = denoiser(ahead, torch.where(inside, sigma_s, sigma_t), **cond).to(x.dtype)
                c = (1 - per_row(sigma_s / sigma_t, x)) / 2
                ahead = torch.where(per_row(inside.to(x.dtype), x) > 0, ahead + c * (x_0_ahead - x_0_hat), ahead)
            x = ahead
        return x


WRONG = listed(globals())
