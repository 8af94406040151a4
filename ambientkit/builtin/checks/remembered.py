"""Models whose memory is known, for checks of attacks, similarities and measures: the law of a few given pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ambientkit.interfaces import Case, Levels
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation_parts import Neighbourhood

STD = 0.5
SEEN = 0.05
"""Std of what may differ at pixels that are seen, so that rows which are not remembered have a likeliest one too."""
HELD_OUT = 1 << 30
"""What the keys of held-out rows begin with, as in `ambientkit.memorisation.attack`."""


def pictures(case: Case, purpose: str, n: int, side: int) -> Tensor:
    """(n, 1, side, side) of independent normal values, float32."""
    return STD * torch.randn(n, 1, side, side, generator=keyed_generator(case.seed, f"verify.remembered.{purpose}"))


@dataclass(frozen=True, slots=True)
class Remembered:
    """A `Target` that has memorised its rows: all draws are exact draws from their empirical law."""

    rows: Tensor
    seed: int
    draws: int = 4
    sigma_n: float = 0.0
    sigma_data: float = STD
    levels: Levels = Levels(0.002, 80.0)

    def generators(self, purpose: str, keys: Tensor) -> list[Generator]:
        """One for each row."""
        return [keyed_generator(self.seed, purpose, row=key) for key in keys.tolist()]

    def denoiser(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """E[x_0 | x]: the rows, weighted by exp(-|x - row|^2 / (2 sigma^2))."""
        squares = torch.cdist(x.flatten(1).double(), self.rows.flatten(1).double()).square()
        weights = torch.softmax(-squares / (2 * sigma.double().reshape(-1, 1) ** 2), dim=1)
        return (weights @ self.rows.flatten(1).double()).reshape(x.shape).to(x.dtype)

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The same, in one batch."""
        return self.denoiser(x, sigma)

    def restored(self, noisy: Tensor, level: float, keys: Tensor) -> Tensor:
        """Rows, drawn from p(row | noisy)."""
        squares = torch.cdist(noisy.flatten(1).double(), self.rows.flatten(1).double()).square()
        return self._drawn(squares / (2 * level**2), keys)

    def inpainted(self, x_0: Tensor, seen: Tensor, keys: Tensor) -> Tensor:
        """Rows, drawn by their likeness where the row is seen; the seen values stand in them."""
        difference = (x_0.unsqueeze(1) - self.rows.unsqueeze(0)) * seen.unsqueeze(1)
        drawn = self._drawn(difference.flatten(2).double().square().sum(2) / (2 * SEEN**2), keys)
        return torch.where(seen.unsqueeze(1), x_0.unsqueeze(1), drawn)

    def _drawn(self, energy: Tensor, keys: Tensor) -> Tensor:
        weights = torch.softmax(-energy, dim=1)
        chosen = [
            torch.multinomial(one, self.draws, replacement=True, generator=generator)
            for one, generator in zip(weights, self.generators("verify.remembered.draw", keys), strict=True)
        ]
        return self.rows[torch.stack(chosen)]


@dataclass(frozen=True, slots=True)
class Listening(Remembered):
    """The same, which writes down what it is asked to restore or to denoise, and from which levels."""

    heard: list[tuple[Tensor, float]] = field(default_factory=list)
    asked: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x_0 | x]."""
        self.asked.append((x.detach().clone(), sigma.detach().clone()))
        return Remembered.denoised(self, x, sigma)

    def by_level(self) -> list[tuple[Tensor, float, bool]]:
        """Points of a call that share a level, that level, and whether they were to be denoised, not restored."""
        asked = [(x[sigma == level], float(level), True) for x, sigma in self.asked for level in sigma.unique()]
        return [*((x, level, False) for x, level in self.heard), *asked]

    def restored(self, noisy: Tensor, level: float, keys: Tensor) -> Tensor:
        """Rows, drawn from p(row | noisy)."""
        self.heard.append((noisy.detach().clone(), float(level)))
        return Remembered.restored(self, noisy, level, keys)


class Rows(NamedTuple):
    """The training rows of a case, as a measure sees them."""

    view: Tensor
    own_distance: Tensor

    @property
    def firsts(self) -> Tensor:
        """All rows: none is there twice."""
        return torch.arange(len(self.view))

    def nearest(self, queries: Tensor, rows: Tensor) -> Tensor:
        """Root mean square differences to the nearest."""
        return _distances(queries, rows).amin(1)

    def neighbour(self, queries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and of which rows."""
        distance, row = _distances(queries, rows).min(1)
        return distance, row


def training_rows(view: Tensor) -> Rows:
    """Rows (N, *S) with the distance of each to the nearest other one."""
    return Rows(view, _distances(view, view).fill_diagonal_(torch.inf).amin(1))


def beside(view: Tensor, train: Rows) -> Neighbourhood:
    """Rows (m, *S) with their two nearest training rows."""
    distance, row = _distances(view, train.view).topk(2, dim=1, largest=False)
    return Neighbourhood(view, distance, row)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(a.flatten(1).double(), b.flatten(1).double(), compute_mode=exact) / a[0].numel() ** 0.5
