"""The attack `noise`: a row under strong noise, restored."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, Target

DEFAULT = 4.0
"""Stds of the data."""


class Noise(Attack):
    """x_0 + level z, restored by the model's own reverse process from that level.

    Rows that have noise themselves get what is missing to the level.
    """

    name = "noise"
    source = "arXiv 2404.10177, abstract (extremely corrupted training images are restored)"
    claims = frozenset({"blind"})

    level: float | None = Field(None, gt=0)
    """Std of the noise in units of [-1, 1], above that of the rows and below sigma_max; by default 4 stds of the
    data."""

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Draws from p(x_0 | x_0 + level z). Raises InputError for a level out of range."""
        low, high = max(target.levels.sigma_min, target.sigma_n), target.levels.sigma_max
        level = min(DEFAULT * target.sigma_data, 0.99 * high) if self.level is None else self.level
        if not low < level < high:
            raise InputError(
                f"--level {level:g}: the std of the noise; should be above {low:.4g} and below sigma_max {high:g}"
            )
        missing = (level**2 - target.sigma_n**2) ** 0.5
        noisy = x + missing * standard_normal(x, target.generators("memorisation.attack.noise", keys))
        return Attempt(noisy, target.restored(noisy, level, keys))
