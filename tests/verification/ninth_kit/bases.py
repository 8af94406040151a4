"""Right objectives in pieces, of which each wrong one of this kit replaces one."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

FULL = frozenset(
    {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "x_0-scale", "detached-anchor"}
)
"""What Tweedie's formula claims."""
FREE = FULL - {"x_0-scale"}
"""The same, with a weight of its own."""
LOWER = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "value-unbiased", "detached-anchor"})
"""What hops below the noise claim."""


class Over(Objective):
    """Tweedie's formula above the noise of each row, at log-uniform levels."""

    name = "nine-base"
    source = "arXiv 2404.10177, eq. 3.4"
    claims = FULL

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One value a row."""
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        return {"loss": Term(self.value(x_0_hat, view, batch, tools), view.sigma)}

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """(B,), above the floor."""
        floor = lowest(batch, tools)
        return log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """x_t."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """D."""
        return denoiser(view.x, view.sigma, **view.cond)

    def residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """rho."""
        return tools.corruption.expect(x_0_hat, view, batch) - batch.x_n

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B, *S), min(1/a^2, 25)."""
        return capped_inverse_square(tools.corruption.slope(view, batch), 25.0)

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B,), lambda."""
        return edm_weight(view.sigma, tools.signal.sigma_data)

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B,)."""
        square = self.factor(view, batch, tools) * self.residual(x_0_hat, view, batch, tools) ** 2
        return self.weight(view, batch, tools) * row_means(square)


def row_means(value: Tensor) -> Tensor:
    """(B,)."""
    return value.flatten(1).mean(1)


def lowest(batch: Batch, tools: Tools) -> Tensor:
    """(B,), the lower end of the levels of each row. Raises InputError for rows as noisy as sigma_max."""
    floor = tools.corruption.floor(batch)
    if (floor >= tools.levels.sigma_max).any():
        row = int(batch.row[int((floor >= tools.levels.sigma_max).nonzero()[0])])
        raise InputError(f"row {row} is as noisy as sigma_max: raise it, or leave the row out")
    return floor.clamp(min=tools.levels.sigma_min)


def lacking(batch: Batch, sigma: Tensor) -> Tensor:
    """Std of what a row lacks to a level."""
    x = batch.x_n
    return (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)


class Own(Over):
    """`Over` that makes its views of Gaussian noise itself, from `z`."""

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return View(batch.x_n + lacking(batch, sigma) * self.z(batch, sigma, tools), sigma, batch.cond)

    def z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """(B, *S)."""
        return standard_normal(batch.x_n, tools.generator)


class Under(Objective):
    """Two independent hops from anchors at or below the noise; value: the product of their defects."""

    name = "nine-under"
    source = "arXiv 2302.09057, eq. 8"
    claims = LOWER
    below_sigma_n = "by making neighbouring levels agree"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One value a row with noise."""
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"needs a sampler of the reverse kernel, not {tools.sampler.name!r}: use 'ancestral'")
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        if len(batch.x_n) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        with torch.no_grad():
            anchor = self.anchor(batch, tools)
            u = uniform(torch.empty_like(anchor.sigma), tools.generator)
            below = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=0.3)
            sigma_s = anchor.sigma * torch.exp(-u * below)
            target = denoiser(anchor.x, anchor.sigma, **anchor.cond).to(batch.x_n.dtype)
            ends = self.ends(denoiser, anchor, sigma_s, target, tools)
        return {"loss": Term(self.value(denoiser, ends, sigma_s, target, anchor, tools), sigma_s)}

    def anchor(self, batch: Batch, tools: Tools) -> View:
        """Half of the rows at their own level, half below it."""
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        low = log_uniform(uniform(torch.empty_like(floor), tools.generator), tools.levels.sigma_min, floor)
        sigma = torch.where(torch.arange(len(floor)) % 2 == 0, floor, low)
        return self.carried(view, sigma, tools)

    def carried(self, view: View, sigma: Tensor, tools: Tools) -> View:
        """By a chain of the teacher."""
        grid = geometric_grid(view.sigma, sigma, 5)
        x = tools.sampler.sample(tools.teacher, view.x, grid, tools.generator, view.cond)
        return View(x, sigma, view.cond)

    def ends(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> tuple:
        """Two of them."""
        return tuple(self.end(denoiser, anchor, sigma_s, target, tools) for _ in range(2))

    def end(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> Tensor:
        """x_s."""
        grid = torch.stack([anchor.sigma, sigma_s])
        return tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond)

    def value(
        self, denoiser: Denoiser, ends: tuple, sigma_s: Tensor, target: Tensor, anchor: View, tools: Tools
    ) -> Tensor:
        """lambda mean(d' d'')."""
        first, second = (denoiser(x, sigma_s, **anchor.cond).to(target.dtype) - target for x in ends)
        return edm_weight(sigma_s, tools.signal.sigma_data) * row_means(first * second)
