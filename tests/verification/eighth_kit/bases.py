"""Plain right parts, in pieces that the parts of this kit replace one at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

ABOVE = frozenset(
    {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "x_0-scale", "detached-anchor"}
)
"""What Tweedie's formula claims."""
LOOSE = ABOVE - {"x_0-scale"}
"""The same, with a weight of its own."""


class Plain(Objective):
    """Tweedie's formula at log-uniform levels above the noise of each row, 1/a^2 bounded by 25."""

    name = "eight-base"
    source = "arXiv 2404.10177, eq. 3.4"
    claims = ABOVE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One value a row."""
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        answer = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        return {"loss": Term(self.value(answer, view, batch, tools), self.reported(view, batch))}

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """(B,), above the floor."""
        floor = tools.corruption.floor(batch)
        if (floor >= tools.levels.sigma_max).any():
            raise InputError(f"row {int(batch.row[0])}: as noisy as sigma_max; raise it or leave the row out")
        return log_uniform(
            uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max
        )

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """x_t."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """D."""
        return denoiser(view.x, view.sigma, **view.cond)

    def rho(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """The residual."""
        return tools.corruption.expect(answer, view, batch) - batch.x_n

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B, *S), min(1/a^2, 25)."""
        return capped_inverse_square(tools.corruption.slope(view, batch), 25.0)

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B,), lambda."""
        return edm_weight(view.sigma, tools.signal.sigma_data)

    def value(self, answer: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(B,)."""
        square = self.rho(answer, view, batch, tools) ** 2 * self.factor(view, batch, tools)
        return self.weight(view, batch, tools) * square.flatten(1).mean(1)

    def reported(self, view: View, batch: Batch) -> Tensor:
        """(B,), the level of the term."""
        return view.sigma


def missing(batch: Batch, sigma: Tensor) -> Tensor:
    """Std of what is missing to a level."""
    x = batch.x_n
    return (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)


class Noised(Plain):
    """`Plain` that makes its views itself, for Gaussian noise alone, from `noise`."""

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """x_n + sqrt(sigma^2 - sigma_n^2) z."""
        return View(batch.x_n + missing(batch, sigma) * self.noise(batch, sigma, tools), sigma, batch.cond)

    def noise(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        """z."""
        return standard_normal(batch.x_n, tools.generator)


def rows_mean(value: Tensor) -> Tensor:
    """(B,)."""
    return value.flatten(1).mean(1)


def signs(like: Tensor, tools: Tools) -> Tensor:
    """Random signs."""
    return torch.where(uniform(like, tools.generator) < 0.5, -torch.ones_like(like), torch.ones_like(like))
