"""Corruptions that hide values, or measure through an operator, and are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import clean_std
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.randomness import keyed_generator


class FreshMask(Mask):
    """A view's mask is drawn anew and not within the row's: it shows zeros as values."""

    name = "eight-fresh-mask"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return self._view(batch, sigma, draw_mask(batch.x_n, self.kind, self.drop, generator), generator)


class FrozenFurther(Mask):
    """What a view hides is keyed by its row: hidden for good, and never asked for."""

    name = "eight-frozen-further"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        own = [keyed_generator(0, "further", row=int(row)) for row in batch.row]
        return self._view(batch, sigma, self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, own), generator)


class OneMask(Mask):
    """One further mask for all rows of a batch."""

    name = "eight-one-further-mask"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        one = draw_mask(batch.x_n, self.kind, self.drop, generator)[:1]
        return self._view(batch, sigma, self._seen(batch) & one, generator)


class ToldTheRow(Mask):
    """Hides more, and says the row's mask."""

    name = "eight-told-the-row"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return super().degrade(batch, sigma, generator)._replace(cond=batch.cond)


class Inverted(Mask):
    """Its mask is true where a value is missing."""

    name = "eight-inverted"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = super().observe(x_0, row, generator)
        return batch._replace(cond={"mask": ~batch.cond["mask"]})


class NoiseUnderMask(Mask):
    """Hidden values of a view are noise and not 0, as where the mask is put on before the noise."""

    name = "eight-noise-under-mask"

    def _view(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        view = super()._view(batch, sigma, torch.ones_like(shown), generator)
        kept = torch.where(shown, view.x, view.x - batch.x_n)
        return View(kept, sigma, {**batch.cond, "mask": shown})


class MixedUnderMask(Mask):
    """a D + b x_t under the further mask too, where x_t is 0."""

    name = "eight-mixed-under-mask"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        whole = view._replace(cond={**view.cond, "mask": torch.ones_like(view.cond["mask"])})
        return super().expect(x_0_hat, whole, batch)


class HiddenCountOne(Mask):
    """Hidden values count without division by their chance."""

    name = "eight-hidden-undivided"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        factor = super().weight(view, batch, cap, hidden)
        alone = torch.where(self._seen(batch), per_row(hidden.to(factor.dtype), factor), torch.zeros_like(factor))
        return torch.where(view.cond["mask"], factor, alone)


class BrightMissing(Mask):
    """The mask depends on the picture: bright values are missing, as in saturation."""

    name = "eight-bright-missing"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        batch = super().observe(x_0, row, generator)
        one = x_0[:, :1] if x_0.ndim > 2 else x_0
        seen = batch.cond["mask"] & (one < 0.6)
        return batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={"mask": seen})


class NeverUnseen(Mask):
    """Says of no values that no row measures them: a run goes on where it should be refused."""

    name = "eight-never-unseen"

    def unseen(self, batch: Batch) -> str:
        return ""


class SpreadOfHoles(Mask):
    """The std of the clean data is taken over the holes too."""

    name = "eight-spread-of-holes"

    def clean_std(self, batch: Batch) -> float:
        return clean_std(batch.x_n, batch.sigma_n)


class ShowsLess(Mask):
    """Rows that are restored are hidden further, as in training."""

    name = "eight-shows-less"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return self.degrade(batch, sigma, generator)


class OperatorTwice(Linear):
    """Expects A A h."""

    name = "eight-operator-twice"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        again = self.operator.adjoint(self.operator.forward(x_0_hat, {}), {}).to(x_0_hat.dtype)
        return super().expect(again, view, batch)


class MeasuredBefore(Linear):
    """Tells the denoiser the measurements of the row, where its view shows fewer and noisier ones."""

    name = "eight-measured-before"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "measured": batch.x_n})


PARTS = (
    FreshMask, FrozenFurther, OneMask, ToldTheRow, Inverted, NoiseUnderMask, MixedUnderMask,
    HiddenCountOne, BrightMissing, NeverUnseen, SpreadOfHoles, ShowsLess, OperatorTwice, MeasuredBefore,
)  # fmt: skip
