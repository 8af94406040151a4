"""Right samplers, models and parts of memorisation that look unusual."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.memory_measures.shares import Ratio
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.fifteenth_kit.bases import made
from tests.verification.fifteenth_kit.bases_models import Eps
from tests.verification.fifteenth_kit.bases_other import Flow, FlowTwice, Multi


class Eta(Flow):
    """DDIM with eta = 1/2: the squares of the noise subtract."""

    name = "kit16-right-eta-half"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        up = 0.5 * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        down = (sigma_s**2 - up**2).clamp(min=0).sqrt()
        return super().step(denoiser, x, sigma_t, down, generator, cond) + per_row(up, x).to(x.dtype) * standard_normal(
            x, generator
        )


class Middle(Sampler):
    """DPM-Solver-2: the slope at the geometric middle of a step; Euler's last step where it ends at 0."""

    name = "kit16-right-middle-of-the-step"
    claims = FlowTwice.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            first = denoiser(x, sigma_t, **cond).to(x.dtype)
            inside = sigma_s > 0
            lower = torch.where(inside, sigma_s, sigma_t)
            middle = (sigma_t * lower).sqrt().minimum(sigma_t)
            half = first + per_row(middle / sigma_t, x) * (x - first)
            second = denoiser(half, middle, **cond).to(x.dtype) if bool(inside.any()) else first
            used = torch.where(per_row(inside.to(x.dtype), x) > 0, second, first)
            x = used + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - used)
        return x


class AdamsBySteps(Multi):
    """Adams-Bashforth of second order with the lengths of steps, in sigma itself."""

    name = "kit16-right-adams-in-sigma"

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = by_old = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            by = per_row(sigma_s - sigma_t, x)
            told = slope
            if old is not None:
                told = torch.where(
                    per_row((sigma_s > 0).to(x), x) > 0, slope + by / (2 * by_old) * (slope - old), slope
                )
            x, old, by_old = x + by * told, slope, by
        return x


class EpsTold(Eps):
    """The noise, with the level told as its angle."""

    name = "kit16-right-eps-told-the-angle"

    def told(self, sigma):
        return sigma.atan()


class RelativeLoss(Loss):
    """The error over the contrast of the row."""

    name = "kit16-right-error-over-contrast"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance / x.flatten(1).std(1).clamp(min=0.05).double())


class LevelFive(Ratio):
    """A level of five in a hundred."""

    name = "kit16-right-ratio-at-five"
    level: float = 0.05


class Ranks(Correlation):
    """Spearman's: ranks of the values of a row, centred."""

    name = "kit16-right-ranks-of-values"

    def view(self, rows):
        flat = rows.double().flatten(1)
        below = (flat.unsqueeze(2) > flat.unsqueeze(1)).double().mean(2)
        equal = (flat.unsqueeze(2) == flat.unsqueeze(1)).double().mean(2)
        return (below + equal / 2 - 0.5).to(rows.dtype).reshape(rows.shape)


RIGHT = made(Eta, Middle, AdamsBySteps, EpsTold, RelativeLoss, LevelFive, Ranks)
