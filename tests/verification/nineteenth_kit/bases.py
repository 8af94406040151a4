"""What the modules of this kit share: a list of their parts, and the steps that a part overrides one of."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Corruption, Part, Sampler
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments
from tests.verification.seventeenth_kit.bases import PLAIN, WHOLE, Above

FLOW = frozenset(Heun.claims) - {"order-2"} | {"order-1"}
"""What a first-order step along the probability flow claims."""
PIXELS = frozenset(Tweedie.claims) - {"serves-masks", "serves-operators", "scale-under-masks"}


def listed(space: dict[str, object]) -> list[Part]:
    """An instance of each part that a module defines, in the order of its text."""
    own = [value for value in space.values() if isinstance(value, type) and value.__module__ == space["__name__"]]
    return [one() for one in own if issubclass(one, Part) and "-base-" not in one.name]


def pictured(x):
    """Whether rows are pictures (C, H, W)."""
    return x.ndim == 4


class Prepared(Above):
    """A base: the batch is changed before anything else is done with it."""

    name = "kit19-base-prepared"
    claims = WHOLE

    def prepared(self, batch, tools):
        return batch

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, self.prepared(batch, tools), tools)


class Told(Above):
    """A base: the denoiser is told another level."""

    name = "kit19-base-told"
    claims = WHOLE

    def told(self, sigma, tools):
        return sigma

    def loss(self, denoiser, batch, tools):
        return super().loss(lambda x, sigma, /, **cond: denoiser(x, self.told(sigma, tools), **cond), batch, tools)


class Added(Above):
    """A base: views by hand, for noise without masks."""

    name = "kit19-base-added"
    claims = PLAIN

    def noise(self, batch, sigma, tools):
        return standard_normal(batch.x_n, tools.generator)

    def view(self, batch, sigma, tools):
        found = tools.corruption.degrade(batch, sigma, tools.generator)
        missing = per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2
        return found._replace(x=batch.x_n + missing.clamp(min=0).sqrt() * self.noise(batch, sigma, tools))


class White(Corruption):
    """A base: white noise in steps."""

    name = "kit19-base-white"
    claims = Gaussian.claims

    sigma_n: float | tuple[float, float] = 0.2
    """Of the rows."""

    @property
    def right(self):
        return Gaussian(sigma_n=self.sigma_n)

    def noise_of_rows(self, x_0, row, generator):
        return standard_normal(x_0, generator)

    def noise_of_views(self, batch, generator):
        return standard_normal(batch.x_n, generator)

    def missing(self, batch, sigma):
        level = per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2
        return level.clamp(min=0).sqrt().to(batch.x_n.dtype)

    def observe(self, x_0, row, generator):
        level = self.right.observe(torch.zeros_like(x_0), row, generator).sigma_n
        z = self.noise_of_rows(x_0, row, generator)
        return Batch(x_0 + per_row(level, x_0) * z, level, row, {})

    def degrade(self, batch, sigma, generator):
        self.refused(batch, sigma)
        x = batch.x_n + self.missing(batch, sigma) * self.noise_of_views(batch, generator)
        return self.shown(batch, x, sigma)

    def refused(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise level")

    def shown(self, batch, x, sigma):
        return View(x, sigma, batch.cond)

    def expect(self, x_0_hat, view, batch):
        return self.right.expect(x_0_hat, view, batch)

    def floor(self, batch):
        return self.right.floor(batch)


class Kernel(Sampler):
    """A base: steps of the reverse kernel, in parts."""

    name = "kit19-base-kernel"
    claims = Ancestral.claims

    def grid(self, sigmas):
        return sigmas

    def ask(self, denoiser, x, sigma, cond, step):
        return denoiser(x, sigma, **cond).to(x.dtype)

    def moments(self, x, x_0_hat, sigma_t, sigma_s):
        return reverse_moments(x, x_0_hat, sigma_t, sigma_s)

    def noise(self, x, generator, last):
        return standard_normal(x, generator)

    def after(self, x, sigma_s, denoiser, generator, cond):
        return x

    def sample(self, denoiser, x, sigmas, generator, cond):
        sigmas, z = self.grid(sigmas), None
        for step in range(len(sigmas) - 1):
            sigma_t, sigma_s = sigmas[step], sigmas[step + 1]
            mean, std = self.moments(x, self.ask(denoiser, x, sigma_t, cond, step), sigma_t, sigma_s)
            z = self.noise(x, generator, z)
            x = self.after(mean + std.to(x.dtype) * z, sigma_s, denoiser, generator, cond)
        return x


class Flow(Sampler):
    """A base: two-stage steps along the probability flow, whose last step to 0 is Euler's."""

    name = "kit19-base-flow"
    claims = Heun.claims

    place: float = 1.0
    """Where the second stage lies in a step."""

    def slope(self, denoiser, x, sigma, over, cond):
        return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(over, x)

    def shares(self):
        """Of the two slopes."""
        return 0.5, 0.5

    def between(self, sigma_t, sigma_s):
        """The level that the second stage is told, and the one that it is divided by."""
        level = sigma_t + self.place * (sigma_s - sigma_t)
        return level, level

    def sample(self, denoiser, x, sigmas, generator, cond):
        one, two = self.shares()
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            first, step = self.slope(denoiser, x, sigma_t, sigma_t, cond), per_row(sigma_s - sigma_t, x)
            inside = self.between(sigma_t, sigma_s)[0] > 0
            told, over = (torch.where(inside, level, sigma_t) for level in self.between(sigma_t, sigma_s))
            second = self.slope(denoiser, x + self.place * step * first, told, over, cond)
            both = torch.where(per_row(inside.to(x.dtype), x) > 0, one * first + two * second, first)
            x = x + step * both
        return x
