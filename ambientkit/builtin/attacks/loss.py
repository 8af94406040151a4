"""The attack `loss`: how well a row is denoised, for those who have it and ask whether it was trained on."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attack, Attempt, Target


class Loss(Attack):
    """Root mean square of D(x_0 + level z, level) - x_0 over `draws` fresh z: small for rows that were trained on.

    A question of membership: it needs the row, so a hit is no extraction. One call of the network a draw.
    """

    name = "loss"
    source = "membership inference by the loss, as arXiv 1709.01604 has it for classifiers, on the denoising loss"
    claims = frozenset({"blind"})

    level: float | None = Field(None, gt=0)
    """Std of the noise, above that of the rows and below sigma_max; by default the std of the data."""

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """The error of the denoiser, row by row. Raises InputError for a level out of range."""
        low, high = max(target.levels.sigma_min, target.sigma_n), target.levels.sigma_max
        level = target.sigma_data if self.level is None else self.level
        if not low < level < high:
            raise InputError(
                f"--level {level:g}: the std of the noise; should be above {low:.4g} and below sigma_max {high:g}"
            )
        missing = (level**2 - target.sigma_n**2) ** 0.5
        generators = target.generators("memorisation.attack.loss", keys)
        noisy = torch.stack([x + missing * standard_normal(x, generators) for _ in range(target.draws)], dim=1)
        answers = target.denoised(noisy.flatten(0, 1), torch.full((len(x) * target.draws,), level))
        draws = answers.reshape(noisy.shape)
        error = (draws - x.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt()
        return Attempt(noisy[:, 0], draws, error)
