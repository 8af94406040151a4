"""Wrong samplers."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments, reverse_step
from tests.verification.tenth_kit.bases import EULER, HEUN, KERNEL, Steps


class Euler(Steps):
    """Right in itself: for others to begin from."""

    claims = EULER

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        return x + per_row(sigma_s - sigma_t, x) * slope


class HeunStep(Steps):
    """Right in itself: for others to begin from."""

    claims = HEUN

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        dt = per_row(sigma_s - sigma_t, x)
        ahead = x + dt * slope
        if self.ends(sigma_s):
            return ahead
        level = torch.where(sigma_s > 0, sigma_s, sigma_t)
        slope_ahead = (ahead - denoiser(ahead, self.level(level, sigma_t), **cond)) / per_row(level, x)
        return torch.where(per_row((sigma_s > 0).to(x.dtype), x) > 0, x + dt * (slope + slope_ahead) / 2, ahead)

    def ends(self, sigma_s):
        return not bool((sigma_s > 0).any())

    def level(self, level, sigma_t):
        return level


class HeunAllOrNone(HeunStep):
    """Where one row ends at 0 none is corrected."""

    name = "ten-corrects-all-or-none"

    def ends(self, sigma_s):
        return not bool((sigma_s > 0).all())


class HeunOldLevel(HeunStep):
    """The second call is told the level of the first."""

    name = "ten-second-call-at-first-level"

    def level(self, level, sigma_t):
        return sigma_t


class FirstRowGrid(Euler):
    """All rows follow the levels of the first."""

    name = "ten-levels-of-row-0"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


class StopsBeforeZero(Euler):
    """The last step, to 0, is left out: it would divide by it."""

    name = "ten-stops-before-zero"

    def sample(self, denoiser, x, sigmas, generator, cond):
        last = sigmas[-2:] if bool((sigmas[-1] > 0).all()) or len(sigmas) == 2 else sigmas[-2:-1]
        return super().sample(denoiser, x, torch.cat([sigmas[:-2], last]), generator, cond)


class AnswersAtEnd(Euler):
    """D of the end is returned, even where the grid ends above 0."""

    name = "ten-denoises-at-the-end"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas, generator, cond)
        level = sigmas[-1]
        return denoiser(x, level, **cond) if bool((level > 0).all()) else x


class OwnGrid(Euler):
    """Only the ends of the grid are used, and as many levels evenly between them."""

    name = "ten-own-grid-between-the-ends"

    def sample(self, denoiser, x, sigmas, generator, cond):
        share = torch.linspace(0, 1, len(sigmas), dtype=sigmas.dtype).unsqueeze(1)
        return super().sample(denoiser, x, sigmas[0] + share * (sigmas[-1] - sigmas[0]), generator, cond)


class NoGrad(HeunStep):
    """Without gradients, for good."""

    name = "ten-no-grad"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond)


class InPlace(Euler):
    """The points are moved in place."""

    name = "ten-moves-points-in-place"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        with torch.no_grad():
            x += per_row(sigma_s - sigma_t, x) * (x - denoiser(x, sigma_t, **cond)) / per_row(sigma_t, x)
        return x


class Pairs(Steps):
    """Two steps at once, by the midpoint between them; an odd one at the end is forgotten."""

    name = "ten-forgets-the-odd-step"
    claims = HEUN - {"grid-levels"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        for i in range(0, len(sigmas) - 2, 2):
            t, m, s = sigmas[i], sigmas[i + 1], sigmas[i + 2]
            slope = (x - denoiser(x, t, **cond)) / per_row(t, x)
            middle = x + per_row(m - t, x) * slope
            x = x + per_row(s - t, x) * (middle - denoiser(middle, m, **cond)) / per_row(m, x)
        return x


class Multistep(Steps):
    """DPM-Solver++(2M) with the ratio of the steps upside down."""

    name = "ten-multistep-ratio-inverted"
    claims = HEUN

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = None
        for i in range(len(sigmas) - 1):
            t, s = sigmas[i], sigmas[i + 1]
            x_0_hat = denoiser(x, t, **cond)
            told = x_0_hat
            if old is not None and bool((s > 0).all()):
                h, h_last = (t / s).log(), (sigmas[i - 1] / t).log()
                r = per_row(h / h_last, x)
                told = (1 + 1 / (2 * r)) * x_0_hat - 1 / (2 * r) * old
            ratio = per_row(s / t, x)
            x = ratio * x + (1 - ratio) * told
            old = x_0_hat
        return x


HISTORY: list[torch.Tensor] = []


class Remembers(Steps):
    """A two-step method whose first step uses the last estimate of the call before."""

    name = "ten-history-of-the-last-call"
    claims = HEUN

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, t, **cond)
            old = HISTORY[-1] if HISTORY and HISTORY[-1].shape == x.shape else x_0_hat
            ratio = per_row(s / t, x)
            x = ratio * x + (1 - ratio) * (1.5 * x_0_hat - 0.5 * old)
            HISTORY[:] = [x_0_hat.detach()]
        return x


class Ancestral(Steps):
    """Right in itself: for others to begin from."""

    claims = KERNEL

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return reverse_step(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s, generator)


class OneNoise(Ancestral):
    """The same noise in each step, drawn once, for smooth paths."""

    name = "ten-one-noise-for-all-steps"

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, t, **cond), t, s)
            x = mean + std * z
        return x


class NoNoiseAtEnd(Ancestral):
    """No noise in the last step, which is right only where it ends at 0."""

    name = "ten-last-step-without-noise"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x
        mean, _ = reverse_moments(x, denoiser(x, sigmas[-2], **cond), sigmas[-2], sigmas[-1])
        return mean


class Churn(HeunStep):
    """Noise is stirred in before each step, and the denoiser is told the old level."""

    name = "ten-churn-not-told"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        extra = 0.2 * per_row(sigma_t, x)
        return super().step(denoiser, x + extra * standard_normal(x, generator), sigma_t, sigma_s, generator, cond)


class ChurnAbove(HeunStep):
    """Noise is stirred in and told, in the first step too, above the highest level."""

    name = "ten-churn-above-the-first-level"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = 1.1 * sigma_t
        extra = per_row((up**2 - sigma_t**2).sqrt(), x)
        return super().step(denoiser, x + extra * standard_normal(x, generator), up, sigma_s, generator, cond)


class SecondWithoutCond(HeunStep):
    """The second call of a step has no conditions."""

    name = "ten-second-call-without-conditions"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        calls = []

        def once(x, sigma, /, **cond):
            calls.append(1)
            return denoiser(x, sigma, **cond) if len(calls) == 1 else denoiser(x, sigma)

        return super().step(once, x, sigma_t, sigma_s, generator, cond)


class LabelsDropped(Euler):
    """Guidance of its own: half-way to the answer without conditions, as zeros."""

    name = "ten-guides-by-itself"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        nothing = {name: torch.zeros_like(value) for name, value in cond.items()}

        def guided(x, sigma, /, **cond):
            return 1.5 * denoiser(x, sigma, **cond) - 0.5 * denoiser(x, sigma, **nothing)

        return super().step(guided, x, sigma_t, sigma_s, generator, cond)


PARTS = (
    HeunAllOrNone,
    HeunOldLevel,
    FirstRowGrid,
    StopsBeforeZero,
    AnswersAtEnd,
    OwnGrid,
    NoGrad,
    InPlace,
    Pairs,
    Multistep,
    Remembers,
    OneNoise,
    NoNoiseAtEnd,
    Churn,
    ChurnAbove,
    SecondWithoutCond,
    LabelsDropped,
)
