"""Corruptions that draw two things from one state of a generator: levels, or masks, from the bits of the noise."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.mutants.gaussian import GaussianMutant
from ambientkit.builtin.mutants.linear import RIGHT as RIGHT_LINEAR
from ambientkit.builtin.mutants.linear import LinearMutant
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.interfaces import Mutant
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import Mirrored, RandomSource, draw_levels, per_row, standard_normal

MISSING, STD = 0.3, 0.3


class LevelFromTheNoise(GaussianMutant):
    """Gaussian noise whose level is drawn before the generator is put back."""

    name = "gaussian-level-from-the-noise"
    wrong = "the level of a row comes from the same bits as its noise: a high level goes with large noise"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        sigma_n = draw_levels(x_0, (0.1, 0.4), _copied(generator))
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})


class MaskFromTheNoise(MaskMutant):
    """Missing values whose mask is drawn before the generator is put back."""

    name = "mask-from-the-noise"
    wrong = "the mask of a row comes from the same bits as its noise: of large noise more is shown"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        seen = draw_mask(x_0, "pixels", MISSING, _copied(generator))
        noisy = x_0 + STD * standard_normal(x_0, generator)
        return Batch(torch.where(seen, noisy, 0.0), x_0.new_full((len(x_0),), STD), row, {"mask": seen})


class SampledFromTheNoise(LinearMutant):
    """Measurements of which those that are missing are drawn before the generator is put back."""

    name = "linear-sampled-from-the-noise"
    wrong = "which measurements there are comes from the same bits as their noise"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        y = RIGHT_LINEAR.operator.forward(x_0, {})
        sampled = draw_mask(y, "pixels", MISSING, _copied(generator))
        noisy = y + STD * standard_normal(y, generator)
        return Batch(torch.where(sampled, noisy, 0.0), y.new_full((len(y),), STD), row, {"sampled": sampled})


def _copied(source: RandomSource) -> RandomSource:
    """A source in the same state."""
    if isinstance(source, Mirrored):
        return source
    if isinstance(source, Generator):
        again = Generator(source.device)
        again.set_state(source.get_state())
        return again
    return [_copied(one) for one in source]  # type: ignore[misc]


MUTANTS: list[type[Mutant]] = [LevelFromTheNoise, MaskFromTheNoise, SampledFromTheNoise]
"""Registered by `ambientkit.builtin.plugin`."""
