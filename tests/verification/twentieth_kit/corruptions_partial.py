"""Wrong corruptions of which a part is hidden."""

from __future__ import annotations

import torch

from ambientkit.batch import View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import tweedie_coefficients
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import per_row, standard_normal


class LeavesMissing(Mask):
    """Missing values are left in x_n, as the mask says anyway which they are."""

    name = "kit20-missing-values-left-in-rows"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=torch.where(batch.cond["mask"], batch.x_n, x_0))


class HidesTheShareMissing(Mask):
    """A step hides the share `missing` on top, while the weights are made for `drop`."""

    name = "kit20-hides-the-share-missing-on-top"

    def degrade(self, batch, sigma, generator):
        seen = self._seen(batch) & draw_mask(batch.x_n, self.kind, self.missing, generator)
        return self._view(batch, sigma, seen, generator)


class HidesNeighbours(Mask):
    """What a step hides on top is widened by one place to the right: more is hidden than the weights are made for."""

    name = "kit20-further-mask-widened"

    def degrade(self, batch, sigma, generator):
        kept = draw_mask(batch.x_n, self.kind, self.drop, generator)
        return self._view(batch, sigma, self._seen(batch) & kept & kept.roll(1, -1), generator)


class ExpectsZeroWhereHidden(Mask):
    """`expect` gives 0 wherever the view hides a value, also one that the row measured."""

    name = "kit20-expects-nothing-where-the-view-hides"

    def expect(self, x_0_hat, view, batch):
        found = super().expect(x_0_hat, view, batch)
        return torch.where(view.cond["mask"], found, torch.zeros_like(found))


class MaskByRowMean(Mask):
    """Hidden values of a view hold the mean of the batch at their place, an imputation."""

    name = "kit20-hidden-values-imputed"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(x=torch.where(shown, view.x, batch.x_n.mean(0, keepdim=True)))


class ChancesExchanged(Mask):
    """The shares `missing` and `drop` are exchanged in the weight of hidden values."""

    name = "kit20-weight-with-its-chances-exchanged"

    def weight(self, view, batch, cap, hidden):
        other = Mask(kind=self.kind, missing=self.drop, drop=self.missing)
        return other.weight(view, batch, cap, hidden)


class OneMaskForRows(Mask):
    """All rows of a call to `observe` have the mask of the first one."""

    name = "kit20-observes-one-mask-for-the-batch"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        seen = batch.cond["mask"][:1].expand_as(batch.cond["mask"]).contiguous()
        return batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={"mask": seen})


class MixesThePicture(Linear):
    """`expect` mixes with the picture of the view, A^T y_t, where the measurements y_t belong."""

    name = "kit20-expects-by-the-picture-of-the-view"

    missing: float = 0.2
    """Share of measurements that are missing."""
    sigma_n: float = 0.1
    """Simulated noise std of the measurements."""

    def expect(self, x_0_hat, view, batch):
        y = self.operator.forward(x_0_hat, self._given(batch)).to(batch.x_n.dtype)
        a, b = tweedie_coefficients(per_row(view.sigma, y), per_row(batch.sigma_n, y))
        known = torch.where(view.cond["sampled"], a * y + b * view.x.reshape(y.shape), y)
        return torch.where(batch.cond["sampled"], known, torch.zeros_like(known))


class ForgetsHidden(Linear):
    """Measurements that a view hides are given no weight, so that only those that it shows are compared."""

    name = "kit20-hidden-measurements-count-nothing"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        return torch.where(view.cond["sampled"], found, torch.zeros_like(found))


class NoiseOfThePicture(Linear):
    """Views of measurements get their missing noise after A^T, in the picture, where it is not blurred."""

    name = "kit20-tops-up-the-picture"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, self.floor(batch).clamp(min=1e-6), generator)
        missing = (sigma**2 - self.floor(batch) ** 2).clamp(min=0).sqrt()
        x = view.x + per_row(missing, view.x) * standard_normal(view.x, generator)
        return View(x, sigma, view.cond)


WRONG = [
    part()
    for part in (
        LeavesMissing,
        HidesTheShareMissing,
        HidesNeighbours,
        ExpectsZeroWhereHidden,
        MaskByRowMean,
        ChancesExchanged,
        OneMaskForRows,
        MixesThePicture,
        ForgetsHidden,
        NoiseOfThePicture,
    )
]
