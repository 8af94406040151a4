"""Wrong samplers of the reverse kernel, with noise, and wrong in what they take and keep."""

from __future__ import annotations

import torch

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.maths.levels import edm_grid
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments, reverse_step

from .bases import made
from .samplers import FLOW_2, KERNEL, Steps, inside


class StdUnsquared(Steps):
    """Ancestral with r = sigma_s / sigma_t in the std of the noise."""

    name = "kit12-std-unsquared"
    claims = KERNEL

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, _ = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
        return mean + per_row(sigma_s * (1 - sigma_s / sigma_t).sqrt(), x) * standard_normal(x, generator)


class ReverseDiffusion(Steps):
    """The predictor of the score-based SDE: mean of the reverse step, noise of std sqrt(sigma_t^2 - sigma_s^2)."""

    name = "kit12-reverse-diffusion"
    claims = KERNEL

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        mean, _ = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
        noise = per_row((sigma_t**2 - sigma_s**2).sqrt(), x) * standard_normal(x, generator)
        return inside(x, mean, mean + noise, sigma_s)


class NotReduced(Steps):
    """DDIM with eta = 1 that adds the noise and does not shorten the deterministic part for it."""

    name = "kit12-not-reduced"
    claims = KERNEL

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        down = super().hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        up = sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        return down + per_row(up, x) * standard_normal(x, generator)


class LastQuiet(Ancestral):
    """Adds no noise in the last step, whether it ends at 0 or above."""

    name = "kit12-last-quiet"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas[:-1], generator, cond) if len(sigmas) > 2 else x
        x_0_hat = denoiser(x, sigmas[-2], **cond)
        return reverse_moments(x, x_0_hat, sigmas[-2], sigmas[-1])[0]


class OneNoise(Ancestral):
    """Draws one z and uses it in every step."""

    name = "kit12-one-noise"

    def sample(self, denoiser, x, sigmas, generator, cond):
        z = standard_normal(x, generator)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
            x = mean + std * z
        return x


class SharedNoise(Ancestral):
    """Draws noise for one row and adds it to all rows."""

    name = "kit12-shared-noise"

    def sample(self, denoiser, x, sigmas, generator, cond):
        one = generator[:1] if isinstance(generator, list | tuple) else generator
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
            x = mean + std * standard_normal(x[:1], one)
        return x


class GlobalDraws(Ancestral):
    """Draws by torch.randn_like."""

    name = "kit12-global-draws"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
            x = mean + std * torch.randn_like(x)
        return x


class FirstOfList(Ancestral):
    """Of a list of generators takes the first for the whole batch."""

    name = "kit12-first-of-list"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(
            denoiser, x, sigmas, generator[0] if isinstance(generator, list | tuple) else generator, cond
        )


class LouderNoise(Ancestral):
    """Multiplies the noise by 1.03, as s_noise of EDM's sampler."""

    name = "kit12-louder-noise"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            mean, std = reverse_moments(x, denoiser(x, sigma_t, **cond), sigma_t, sigma_s)
            x = mean + 1.03 * std * standard_normal(x, generator)
        return x


class OwnGrid(Heun):
    """Makes a grid of its own between the ends, with as many levels."""

    name = "kit12-own-grid"

    def sample(self, denoiser, x, sigmas, generator, cond):
        low = max(float(sigmas[-1, 0]), 0.002)
        own = edm_grid(len(sigmas) - 1, low, float(sigmas[0, 0])).to(sigmas)
        grid = torch.cat([own, sigmas[-1, :1]]).unsqueeze(1).expand_as(sigmas)
        return super().sample(denoiser, x, grid, generator, cond)


class SkipsFirst(Heun):
    """Begins at the second level, as if x were there."""

    name = "kit12-skips-first"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[1:] if len(sigmas) > 2 else sigmas, generator, cond)


class OneShort(Steps):
    """Leaves the step to 0 out and returns the point at the last level above it."""

    name = "kit12-one-short"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        return inside(x, x, super().hop(denoiser, x, sigma_t, sigma_s, generator, cond), sigma_s)


class GridOfFirst(Heun):
    """Takes the grid of the first row for all rows."""

    name = "kit12-grid-of-first"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


class ClippedDenoised(Ancestral):
    """Clips every estimate to [-1, 1] (clip_denoised)."""

    name = "kit12-clipped-denoised"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(
            lambda x, sigma, **cond: denoiser(x, sigma, **cond).clamp(-1, 1), x, sigmas, generator, cond
        )


class WithoutGradient(Ancestral):
    """Switches gradients off inside."""

    name = "kit12-without-gradient"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, cond)


class CondUnused(Ancestral):
    """Calls the denoiser without conditions."""

    name = "kit12-cond-unused"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return super().sample(denoiser, x, sigmas, generator, {})


class PointsMoved(Ancestral):
    """Writes the result into the points that it was given."""

    name = "kit12-points-moved"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return x.copy_(super().sample(denoiser, x, sigmas, generator, cond))


class ChurnUnsaid(Steps):
    """Raises the noise of a point by a fifth before each step, and tells the denoiser the old level."""

    name = "kit12-churn-unsaid"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        raised = x + per_row(sigma_t, x) * 0.44**0.5 * standard_normal(x, generator)
        x_0_hat = denoiser(raised, sigma_t, **cond)
        return x_0_hat + per_row(sigma_s / (1.2 * sigma_t), x) * (raised - x_0_hat)


_LAST: dict[str, torch.Tensor] = {}


class RemembersLast(Steps):
    """DPM-Solver++(2M) that keeps the last estimate beyond the call, and begins the next call with it."""

    name = "kit12-remembers-last"
    claims = FLOW_2

    def sample(self, denoiser, x, sigmas, generator, cond):
        for k, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            now = denoiser(x, sigma_t, **cond).to(x.dtype)
            old, best = _LAST.get("x_0"), now
            if old is not None and old.shape == now.shape and bool((sigma_s > 0).all()):
                before = sigmas[k - 1] if k else sigma_t * 1.5
                r = (before / sigma_t).log() / (sigma_t / sigma_s).log()
                best = now + (now - old) / per_row(2 * r, x)
            x = best + per_row(sigma_s / sigma_t, x) * (x - best)
            _LAST["x_0"] = now.detach()
        return x


class RatioInverted(Steps):
    """DPM-Solver++(2M) with the ratio of the steps upside down."""

    name = "kit12-ratio-inverted"
    claims = FLOW_2

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, old_h = None, None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            now = denoiser(x, sigma_t, **cond).to(x.dtype)
            h = (sigma_t / sigma_s.clamp(min=1e-12)).log()
            best = now
            if old is not None:
                r = h / old_h
                best = inside(x, now, now + (now - old) / per_row(2 * r, x), sigma_s)
            x = best + per_row(sigma_s / sigma_t, x) * (x - best)
            old, old_h = now, h
        return x


class CorrectionTurned(StochasticHeun):
    """The correction of the second stage has the other sign."""

    name = "kit12-correction-turned"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond)
            ahead = reverse_step(x, x_0_hat, sigma_t, sigma_s, generator)
            level = torch.where(sigma_s > 0, sigma_s, sigma_t)
            c = (1 - per_row(level / sigma_t, x) ** 2) / 2
            x = inside(x, ahead, ahead - c * (denoiser(ahead, level, **cond) - x_0_hat), sigma_s)
        return x


class FreshSecondStage(StochasticHeun):
    """The second stage draws noise of its own: its point is not the one that is corrected."""

    name = "kit12-fresh-second-stage"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond)
            ahead = reverse_step(x, x_0_hat, sigma_t, sigma_s, generator)
            other = reverse_step(x, x_0_hat, sigma_t, sigma_s, generator)
            level = torch.where(sigma_s > 0, sigma_s, sigma_t)
            c = (1 - per_row(level / sigma_t, x) ** 2) / 2
            x = inside(x, ahead, ahead + c * (denoiser(other, level, **cond) - x_0_hat), sigma_s)
        return x


class LangevinByBatch(Steps):
    """Predictor and corrector, the step of Langevin by the mean norms of the batch, at a signal-to-noise of 0.16."""

    name = "kit12-langevin-by-batch"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x = super().hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        level = torch.where(sigma_s > 0, sigma_s, sigma_t)
        score = (denoiser(x, level, **cond) - x) / per_row(level, x) ** 2
        z = standard_normal(x, generator)
        step = 2 * (0.16 * z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean()) ** 2
        return inside(x, x, x + step * score + (2 * step).sqrt() * z, sigma_s)


class RestartedLinearly(Steps):
    """Restarts from a level a quarter higher, adding noise of the difference of the levels, not of their squares."""

    name = "kit12-restarted-linearly"

    def hop(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x = super().hop(denoiser, x, sigma_t, sigma_s, generator, cond)
        high = sigma_s + (sigma_t - sigma_s) / 4
        up = x + per_row(high - sigma_s, x) * standard_normal(x, generator)
        return inside(x, x, super().hop(denoiser, up, high, sigma_s, generator, cond), sigma_s)


WRONG = made(globals())
