"""Wrong corruptions of rows that are seen whole: floors, slopes and weights."""

from __future__ import annotations

import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.maths.ambient import clean_std
from ambientkit.maths.noise import highest_level, per_row


class LowestFloor(Gaussian):
    """The floor of noise by pixel is the lowest level of a row, and at it no noise can be added."""

    name = "kit17-floor-is-the-lowest-pixel"

    def floor(self, batch):
        return -highest_level(-batch.sigma_n, batch.x_n)

    def degrade(self, batch, sigma, generator):
        level = per_row(batch.sigma_n, batch.x_n)
        shown = torch.minimum(level, per_row(sigma, batch.x_n))
        return super().degrade(batch._replace(sigma_n=shown.reshape(batch.sigma_n.shape)), sigma, generator)


class MeanFloor(Gaussian):
    """The floor of all rows is the highest of the batch."""

    name = "kit17-floor-of-all-rows"

    def floor(self, batch):
        floor = super().floor(batch)
        return floor.max().expand_as(floor) if len(floor) else floor


class SlopeSquared(Gaussian):
    """`slope` gives a^2, for whoever weighs by it."""

    name = "kit17-slope-squared"

    def slope(self, view, batch):
        return super().slope(view, batch) ** 2


class WeightOverA(Gaussian):
    """`weight` gives 1 / a, the loss weight of another paper."""

    name = "kit17-weight-one-over-a"

    def weight(self, view, batch, cap, hidden):
        return super().weight(view, batch, cap, hidden).sqrt()


class StdOfNoisy(Gaussian):
    """`clean_std` is the std of the noisy rows."""

    name = "kit17-clean-std-of-noisy-rows"

    def clean_std(self, batch):
        return clean_std(batch.x_n, torch.zeros_like(batch.sigma_n))


WRONG = [LowestFloor(), MeanFloor(), SlopeSquared(), WeightOverA(), StdOfNoisy()]
