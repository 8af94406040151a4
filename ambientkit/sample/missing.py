"""What stands for the missing values of a restored mean: the network's own estimate, or that of their neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.interfaces import Corruption, Denoiser
from ambientkit.maths.harmonic import filled
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample.batches import Batches

COMPARED, FEWEST = 256, 64
"""Rows that the estimates are compared on, and values of them without which they are not."""


class Filling(NamedTuple):
    """Two estimates of values that were measured and then hidden, held against what was measured: rms errors, 0 where
    the noise covers them."""

    own: float
    """Of the denoiser's estimate."""
    beside: float
    """Of the harmonic function of the restored values around."""
    values: int
    neighbours: bool
    """Whether the second is nearer to what was measured."""
    noisy: bool
    """Whether errors are in stds of the noise; else, without any, in units of [-1, 1]."""

    def told(self) -> str:
        """For the user."""
        which = "the mean of their restored neighbours" if self.neighbours else "the network's own estimate"
        unit = " of the noise's std" if self.noisy else ""
        return (
            f"missing values of the restored means are {which}: of {self.values:,} measured values that were hidden "
            f"for this, the network is {self.own:.2g}{unit} off (rms), the mean of the neighbours {self.beside:.2g}"
        )


def filled_rows(pictures: Tensor, seen: Tensor) -> Tensor:
    """Pictures (B, C, H, W) with the values that were not `seen`, (B, C or 1, H, W), as a harmonic function of the
    others in their channel; a channel of which nothing was seen stays as it is."""
    out = pictures.clone()
    for row, mask in zip(out, seen.expand_as(pictures), strict=True):
        alike = [row] if bool((mask == mask[:1]).all()) else list(row.split(1))
        for part, own in zip(alike, [mask[:1]] if len(alike) == 1 else mask.split(1), strict=True):
            places = (~own[0]).nonzero().tolist()
            if 0 < len(places) < own[0].numel():
                part.copy_(filled(part, places))
    return out


@torch.no_grad()
def choose_filling(
    denoiser: Denoiser, batch: Batch, corruption: Corruption, sigma_min: float, seed: int, batches: Batches
) -> Filling | None:
    """Compare both estimates on rows whose masks differ, (B, C, H, W) each, on the device of the denoiser; None where
    fewer than `FEWEST` values can be judged.

    Each row is seen under the mask of the row before as well, so that what is hidden is missing as values of these rows
    are. x_n there is unbiased for x_0 and independent of both estimates, so that
    E (estimate - x_n)^2 - E (other - x_n)^2 is the difference of their squared errors, for any denoiser. One call
    of it. Raises nothing for rows without noise, which are seen at sigma_min.
    """
    mask = batch.cond["mask"].bool().expand_as(batch.x_n)
    shown = mask & mask.roll(1, 0)
    hidden = mask & ~shown
    if int(hidden.sum()) < FEWEST:
        return None
    level = corruption.floor(batch).clamp(min=sigma_min)
    generators = [keyed_generator(seed, "restore.filling", row=int(row)) for row in batch.row]
    seen = batch._replace(cond={**batch.cond, "mask": shown})
    view = corruption.show(seen, level, generators)

    def estimated(part: range) -> Tensor:
        at = slice(part.start, part.stop)
        return denoiser(view.x[at], view.sigma[at], **{name: value[at] for name, value in view.cond.items()})

    own = torch.cat(list(batches.over(len(view.x), estimated))).double()
    beside = filled_rows(own, shown)
    noise = per_row(batch.sigma_n.double(), batch.x_n).square().expand_as(own)[hidden]
    std = float(noise.mean().sqrt())
    errors = [(one[hidden] - batch.x_n.double()[hidden]).square() for one in (own, beside)]
    first, second = (math.sqrt(max(float((one - noise).mean()), 0.0)) / (std or 1.0) for one in errors)
    return Filling(first, second, int(hidden.sum()), bool(errors[1].mean() < errors[0].mean()), std > 0)
