"""Corruptions of the fifth kit."""

import torch
from pydantic import Field

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.noise import per_row, standard_normal, uniform

G = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})
RIGHT, WRONG = [], []


class Base(Corruption):
    """White noise, one level for all."""

    sigma_n: float = Field(0.25, ge=0)
    """Std."""

    def observe(self, x_0, row, generator) -> Batch:
        sigma_n = x_0.new_full((len(x_0),), self.sigma_n)
        return Batch(x_0 + self.sigma_n * standard_normal(x_0, generator), sigma_n, row, {})

    def check(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own level")

    def added(self, batch, sigma):
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()

    def degrade(self, batch, sigma, generator) -> View:
        self.check(batch, sigma)
        return View(batch.x_n + self.added(batch, sigma) * standard_normal(batch.x_n, generator), sigma, batch.cond)

    def expect(self, x_0_hat, view, batch):
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)


def part(name, why=None, claims=G):
    def deco(cls):
        body = {k: v for k, v in vars(cls).items() if not k.startswith("__")}
        body.setdefault("__annotations__", {})
        made = type(Corruption)(
            "K" + name.title().replace("-", ""),
            (Base,),
            {**body, "__doc__": why or name, "__module__": __name__, "name": name, "claims": claims, "source": "kit 5"},
        )
        (RIGHT if why is None else WRONG).append((made, why or ""))
        return made

    return deco


@part("right-white")
class _:
    pass


@part("right-column-levels")
class _:
    def observe(self, x_0, row, generator):
        w = x_0.shape[-1]
        ramp = torch.linspace(0.5, 1.5, w, dtype=x_0.dtype, device=x_0.device) * self.sigma_n
        s = ramp.expand_as(x_0)
        return Batch(x_0 + s * standard_normal(x_0, generator), s, row, {})


@part("right-every-third-clean")
class _:
    def observe(self, x_0, row, generator):
        s = torch.where(row.to(x_0.device) % 3 == 0, 0.0, self.sigma_n).to(x_0.dtype)
        return Batch(x_0 + per_row(s, x_0) * standard_normal(x_0, generator), s, row, {})


@part("adds-in-full", "degrade adds sigma z, not what is missing")
class _:
    def added(self, batch, sigma):
        return per_row(sigma, batch.x_n)


@part("adds-difference", "degrade adds (sigma - sigma_n) z: stds subtracted, not variances")
class _:
    def added(self, batch, sigma):
        return per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)


@part("expects-unsquared", "b = sigma_n / sigma")
class _:
    def expect(self, x_0_hat, view, batch):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


@part(
    "expects-configured",
    "expect uses the field's sigma_n, not the batch's: wrong for rows that arrive with their own, and by pixel",
)
class _:
    def expect(self, x_0_hat, view, batch):
        b = (self.sigma_n / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x


@part("floor-is-mean", "floor is the row's mean level: pixels above it are seen too low")
class _:
    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


@part("floor-of-batch", "floor is the largest of the batch for all rows: a verdict on a row depends on others")
class _:
    def floor(self, batch):
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)
        return own.max().expand(len(own))


@part("banded-noise", "observe's noise is correlated along rows, though declared white")
class _:
    def observe(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        z = (z + z.roll(1, -1)) / 2**0.5
        return Batch(x_0 + self.sigma_n * z, x_0.new_full((len(x_0),), self.sigma_n), row, {})


@part("laplace-noise", "heavy tails: Laplace of the same std")
class _:
    def observe(self, x_0, row, generator):
        u = uniform(x_0, generator) - 0.5
        z = -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.4999999)) / 2**0.5
        return Batch(x_0 + self.sigma_n * z, x_0.new_full((len(x_0),), self.sigma_n), row, {})


@part("clips", "observe clips to [-1, 1]")
class _:
    def observe(self, x_0, row, generator):
        return Batch(
            (x_0 + self.sigma_n * standard_normal(x_0, generator)).clamp(-1, 1),
            x_0.new_full((len(x_0),), self.sigma_n),
            row,
            {},
        )


@part("noise-by-signal", "the noise grows with |x_0|, but one level is declared")
class _:
    def observe(self, x_0, row, generator):
        s = self.sigma_n * (0.8 + 0.4 * x_0.abs())
        return Batch(x_0 + s * standard_normal(x_0, generator), x_0.new_full((len(x_0),), self.sigma_n), row, {})


@part("clamps-level", "a level below the floor is raised to it in silence, where ValueError is due")
class _:
    def check(self, batch, sigma):
        pass

    def degrade(self, batch, sigma, generator):
        sigma = torch.maximum(sigma, self.floor(batch))
        return View(batch.x_n + self.added(batch, sigma) * standard_normal(batch.x_n, generator), sigma, batch.cond)


@part("view-without-conds", "degrade loses the conditions")
class _:
    def degrade(self, batch, sigma, generator):
        self.check(batch, sigma)
        return View(batch.x_n + self.added(batch, sigma) * standard_normal(batch.x_n, generator), sigma, {})


@part("global-generator", "degrade draws from torch's global generator")
class _:
    def degrade(self, batch, sigma, generator):
        self.check(batch, sigma)
        return View(batch.x_n + self.added(batch, sigma) * torch.randn_like(batch.x_n), sigma, batch.cond)


@part("first-generator-for-all", "with a list of generators only the first is used: a row's noise depends on the batch")
class _:
    def observe(self, x_0, row, generator):
        g = generator if isinstance(generator, torch.Generator) else generator[0]
        return Batch(x_0 + self.sigma_n * standard_normal(x_0, g), x_0.new_full((len(x_0),), self.sigma_n), row, {})


@part("declares-variance", "the batch's sigma_n is the variance")
class _:
    def observe(self, x_0, row, generator):
        return Batch(
            x_0 + self.sigma_n * standard_normal(x_0, generator), x_0.new_full((len(x_0),), self.sigma_n**2), row, {}
        )


@part("double-precision-out", "float64 out of float32 in")
class _:
    def observe(self, x_0, row, generator):
        x = x_0.double()
        return Batch(x + self.sigma_n * standard_normal(x, generator), x.new_full((len(x),), self.sigma_n), row, {})


@part("noise-in-place", "observe adds the noise to x_0 itself")
class _:
    def observe(self, x_0, row, generator):
        x_0 += self.sigma_n * standard_normal(x_0, generator)
        return Batch(x_0, x_0.new_full((len(x_0),), self.sigma_n), row, {})
