"""Right samplers: published rules in variance-exploding form, and usual ways to call the denoiser."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.maths.noise import Mirrored, standard_normal, uniform

from .bases import Between, final, normal_of

LAW = frozenset({"final-law", "grid-levels", "row-generators"})


class Bashforth(Between):
    """Adams-Bashforth of second order in sigma with unequal steps; the first step is Euler's."""

    name = "kit18-adams-bashforth"
    claims = LAW | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        old = before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - self.answer(denoiser, x, sigma_t, cond)) / self.wide(sigma_t, x)
            used = slope
            if old is not None:
                ratio = (sigma_s - sigma_t) / torch.where(before != 0, before, torch.ones_like(before))
                share = torch.where((before != 0) & (sigma_s > 0), ratio / 2, torch.zeros_like(ratio))
                used = slope + self.wide(share, x) * (slope - old)
            x = x + self.wide(sigma_s - sigma_t, x) * used
            old, before = slope, sigma_s - sigma_t
        return x


class Ralston(Between):
    """Ralston's rule: the second slope is taken at two thirds of the step."""

    name = "kit18-ralston"
    claims = LAW | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        answer = self.answer(denoiser, x, sigma_t, cond)
        first = (x - answer) / self.wide(sigma_t, x)
        middle = sigma_t + (self.inner(sigma_t, sigma_s) - sigma_t) * (2 / 3)
        there = x + self.wide(middle - sigma_t, x) * first
        second = (there - self.answer(denoiser, there, middle, cond)) / self.wide(middle, x)
        inside = x + self.wide(sigma_s - sigma_t, x) * (first + 3 * second) / 4
        return self.ended(sigma_s, x, inside, answer)


class RungeKutta(Between):
    """The classical rule of fourth order, in log sigma; a step to 0 is the answer itself."""

    name = "kit18-runge-kutta-in-log-sigma"
    claims = LAW | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        inner = self.inner(sigma_t, sigma_s)
        h = self.wide((inner / sigma_t).log(), x)
        middle = torch.minimum(torch.maximum((sigma_t * inner).sqrt(), inner), sigma_t)
        answer = self.answer(denoiser, x, sigma_t, cond)
        slopes = [x - answer]
        for part, level in ((0.5, middle), (0.5, middle), (1.0, inner)):
            there = x + part * h * slopes[-1]
            slopes.append(there - self.answer(denoiser, there, level, cond))
        inside = x + h * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3]) / 6
        return self.ended(sigma_s, x, inside, answer)


class Corrected(Between):
    """Exponential predictor and corrector with one call a step: the answer at the prediction serves the next step."""

    name = "kit18-exponential-predictor-corrector"
    claims = LAW | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        answer = self.answer(denoiser, x, sigmas[0], cond)
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            inner = self.inner(sigma_t, sigma_s)
            h = (sigma_t.double() / inner.double()).log().clamp(min=0)
            share = torch.where(h > 1e-4, 1 + torch.expm1(-h) / h.clamp(min=1e-4), h / 2)
            ratio = self.wide(sigma_s / sigma_t, x)
            ahead = ratio * x + (1 - ratio) * answer
            if bool((sigma_s > 0).any()):
                new = self.answer(denoiser, ahead, inner, cond)
                x = self.ended(sigma_s, x, ahead + self.wide(share, x) * (new - answer), ahead)
                answer = self.ended(sigma_s, x, new, answer)
            else:
                x = ahead
        return x


class LinearPart(Between):
    """Heun's rule for what a Gaussian of std 1 leaves over, whose own part of the equation is solved exactly."""

    name = "kit18-gaussian-part-exact"
    claims = LAW | {"order-2"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        inner = self.inner(sigma_t, sigma_s)
        (over_t, left_t), (over_s, left_s) = (
            ((1 / torch.hypot(level, torch.ones_like(level))), 1 / (level**2 + 1)) for level in (sigma_t, inner)
        )
        by = self.wide(torch.asinh(1 / inner.double()) - torch.asinh(1 / sigma_t.double()), x)
        answer = self.answer(denoiser, x, sigma_t, cond)
        y, first = self.wide(over_t, x) * x, answer - self.wide(left_t, x) * x
        there = (y + by * first) / self.wide(over_s, x)
        second = self.answer(denoiser, there, inner, cond) - self.wide(left_s, x) * there
        inside = (y + by * (first + second) / 2) / self.wide(over_s, x)
        return self.ended(sigma_s, x, inside, answer)


class Eta(Between):
    """DDIM with a share eta of fresh noise, here 0.8."""

    name = "kit18-eta-of-0.8"
    claims = LAW | {"order-1"}

    eta: float = Field(0.8, ge=0, le=1)
    """Share of fresh noise."""

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        answer = self.answer(denoiser, x, sigma_t, cond)
        up = self.eta * sigma_s * (1 - (sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
        down = (sigma_s**2 - up**2).clamp(min=0).sqrt()
        z = standard_normal(x, generator)
        return answer + self.wide(down / sigma_t, x) * (x - answer) + self.wide(up, x) * z


class Langevin(Between):
    """An Euler step, and then a short step of Langevin's equation at the level that it leads to."""

    name = "kit18-euler-and-langevin"
    claims = LAW | {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        answer = self.answer(denoiser, x, sigma_t, cond)
        ratio = self.wide(sigma_s / sigma_t, x)
        ahead = ratio * x + (1 - ratio) * answer
        keep = self.wide(1 - (1 - (sigma_s / sigma_t) ** 2).clamp(min=0) / 4, x)
        z = self.wide(sigma_s, x) * (1 - keep**2).clamp(min=0).sqrt() * standard_normal(x, generator)
        there = self.answer(denoiser, ahead, self.inner(sigma_t, sigma_s), cond)
        return self.ended(sigma_s, x, there + keep * (ahead - there) + z, ahead)


class Restart(Heun):
    """Each step of Heun is made, taken back by noise up to the level it began at, and made again."""

    name = "kit18-restart-in-each-step"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for pair in zip(sigmas[:-1], sigmas[1:], strict=True):
            below = super().sample(denoiser, x, torch.stack(pair), generator, cond)
            missing = (pair[0] ** 2 - pair[1] ** 2).clamp(min=0).sqrt().to(x.dtype)
            again = below + missing.reshape(-1, *[1] * (x.ndim - 1)) * standard_normal(x, generator)
            x = super().sample(denoiser, again, torch.stack(pair), generator, cond)
        return x


class Adaptive(Between):
    """The reverse kernel in as many equal steps of log sigma as each row needs, of at most a tenth."""

    name = "kit18-steps-by-the-row"
    claims = Ancestral.claims - {"order-1"}

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        length = (sigma_t / self.inner(sigma_t, sigma_s)).log()
        steps = torch.where(sigma_s > 0, (length / 0.1).ceil().clamp(min=1), torch.ones_like(length)).long()
        for i in range(int(steps.max()) if len(steps) else 0):
            rows = (steps > i).nonzero().squeeze(1)
            own, down = steps[rows], sigma_s[rows]
            high, low = (sigma_t[rows] * torch.exp(-length[rows] * (i + k) / own) for k in (0, 1))
            high = torch.where(torch.full_like(own, i) == 0, sigma_t[rows], high)
            low = torch.minimum(torch.where(own == i + 1, down, torch.maximum(low, down)), high)
            given = {name: value[rows] for name, value in cond.items()}
            answer = self.answer(denoiser, x[rows], high, given)
            left = self.wide((low / high) ** 2, answer)
            std = self.wide(low, answer) * (1 - left).clamp(min=0).sqrt()
            new = left * x[rows] + (1 - left) * answer + std * normal_of(x, generator, rows)
            x = x.index_copy(0, rows, new)
        return x


class Checked(Between):
    """Heun's step, or four of them where it differs from Euler's by more than a tenth of the level it leads to."""

    name = "kit18-heun-by-its-error"
    claims = LAW

    def heun(self, denoiser, x, sigma_t, sigma_s, cond):
        slope = (x - self.answer(denoiser, x, sigma_t, cond)) / self.wide(sigma_t, x)
        by = self.wide(sigma_s - sigma_t, x)
        ahead = x + by * slope
        inner = self.inner(sigma_t, sigma_s)
        second = (ahead - self.answer(denoiser, ahead, inner, cond)) / self.wide(inner, x)
        return ahead, self.ended(sigma_s, x, x + by * (slope + second) / 2, ahead)

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        euler, found = self.heun(denoiser, x, sigma_t, sigma_s, cond)
        off = (found - euler).flatten(1).square().mean(1).sqrt()
        rows = (off > 0.1 * sigma_s).nonzero().squeeze(1)
        if not len(rows):
            return found
        given = {name: value[rows] for name, value in cond.items()}
        y = x[rows]
        ratio = sigma_s[rows] / sigma_t[rows]
        levels = [sigma_t[rows] * ratio ** (k / 4) for k in range(4)] + [sigma_s[rows]]
        for high, low in zip(levels[:-1], levels[1:], strict=True):
            y = self.heun(denoiser, y, high, torch.minimum(low, high), given)[1]
        return found.index_copy(0, rows, y)


class InPieces(Ancestral):
    """`ancestral`, whose denoiser is asked about four rows at a time, the last ones first."""

    name = "kit18-answers-four-rows-at-a-time"

    def sample(self, denoiser, x, sigmas, generator, cond):
        def pieces(points, sigma, /, **given):
            cuts = [slice(first, first + 4) for first in range(0, len(points), 4)][::-1]
            found = [denoiser(points[own], sigma[own], **{k: v[own] for k, v in given.items()}) for own in cuts]
            return torch.cat(found[::-1])

        return super().sample(pieces if len(x) else denoiser, x, sigmas, generator, cond)


class ScoreSteps(Between):
    """The reverse kernel as a step along the score, with noise by the quantiles of uniform numbers."""

    name = "kit18-along-the-score"
    claims = Ancestral.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        score = (self.answer(denoiser, x, sigma_t, cond) - x) / self.wide(sigma_t, x) ** 2
        fall = self.wide((sigma_t - sigma_s) * (sigma_t + sigma_s), x)
        z = torch.special.ndtri(uniform(x.double(), generator).clamp(1e-16, 1 - 1e-16)).to(x.dtype)
        std = self.wide(sigma_s / sigma_t, x) * fall.clamp(min=0).sqrt()
        return x + fall * score + std * z


class WideStochastic(StochasticHeun):
    """`stochastic-heun` with points and levels in float64; the denoiser is asked in the dtype of the points."""

    name = "kit18-stochastic-heun-in-float64"

    def sample(self, denoiser, x, sigmas, generator, cond):
        def asked(points, sigma, /, **given):
            return denoiser(points.to(x.dtype), sigma.to(sigmas.dtype), **given).double()

        return super().sample(asked, x.double(), sigmas.double(), generator, cond).to(x.dtype)


class TwoPartNoise(Between):
    """The reverse kernel with x_0 = D: noise is what x_t holds, shrunk, and fresh noise for the rest."""

    name = "kit18-noise-kept-in-part"
    claims = Ancestral.claims

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        answer = self.answer(denoiser, x, sigma_t, cond)
        held = (x - answer) / self.wide(sigma_t, x)
        share = self.wide(sigma_s / sigma_t, x)
        fresh = standard_normal(x, generator)
        return answer + self.wide(sigma_s, x) * (share * held + (1 - share**2).clamp(min=0).sqrt() * fresh)


class RowsApart(Ancestral):
    """`ancestral`, row by row where each has a generator, from the last to the first."""

    name = "kit18-rows-one-by-one-backwards"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if isinstance(generator, torch.Generator | Mirrored) or not len(x):
            return super().sample(denoiser, x, sigmas, generator, cond)
        found = [
            super(RowsApart, self).sample(
                denoiser,
                x[i : i + 1],
                sigmas[:, i : i + 1],
                generator[i : i + 1],
                {name: value[i : i + 1] for name, value in cond.items()},
            )
            for i in reversed(range(len(x)))
        ]
        return torch.cat(found[::-1])


RIGHT = final(globals())
