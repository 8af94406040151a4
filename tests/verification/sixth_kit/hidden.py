"""Corruptions that hide values."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


@marked(RIGHT, "whole columns are missing, the middle never, and rows are noisy at levels of their own")
class NoisyColumns(Mask):
    name = "six-noisy-columns"
    kind: str = "columns"
    centre: float = 0.2
    sigma_n: tuple[float, float] = (0.05, 0.3)


@marked(RIGHT, "a checkerboard of either colour is missing, one by the toss of a coin")
class EitherColour(Mask):
    """Half of the pixels, either those of even or of odd place; views hide single pixels on top."""

    name = "six-either-colour"
    missing: float = 0.5

    def observe(self, x_0, row, generator):
        place = torch.arange(x_0[0, :1].numel() if x_0.ndim > 2 else x_0[0].numel(), device=x_0.device)
        if x_0.ndim > 2:
            places = torch.arange(x_0.shape[-2]).unsqueeze(1) + torch.arange(x_0.shape[-1])
            place = places.expand(1, *x_0.shape[2:])
        coin = (uniform(x_0.new_empty(len(x_0), 1), generator) < 0.5).long().squeeze(1)
        seen = (place % 2).unsqueeze(0) == coin.reshape(-1, *[1] * place.ndim)
        return Batch(torch.where(seen, x_0, 0.0), x_0.new_zeros(len(x_0)), row, {"mask": seen.contiguous()})


@marked(WRONG, "the mask says what is missing instead of what is there")
class Inverted(Mask):
    name = "six-inverted"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(cond={"mask": ~batch.cond["mask"]})


@marked(WRONG, "noise lies on the values that are missing, too")
class NoiseEverywhere(Mask):
    name = "six-noise-everywhere"
    sigma_n: float = 0.2

    def observe(self, x_0, row, generator):
        batch = super().observe(torch.zeros_like(x_0), row, generator)
        noise = per_row(batch.sigma_n, x_0) * standard_normal(x_0, generator)
        return batch._replace(x_n=torch.where(batch.cond["mask"], x_0, 0.0) + noise)


@marked(WRONG, "the mask of a view is a new one, not one within the row's")
class NewMask(Mask):
    name = "six-new-mask"

    def degrade(self, batch, sigma, generator):
        return self._view(batch, sigma, draw_mask(batch.x_n, self.kind, self.drop, generator).clone(), generator)


@marked(WRONG, "what a view hides is the same in each call, by the row")
class SameFurther(Mask):
    name = "six-same-further"

    def degrade(self, batch, sigma, generator):
        keyed = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        shown = self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, keyed)
        return self._view(batch, sigma, shown, generator)


@marked(WRONG, "the further mask is drawn twice, and both hide: more than `drop` says")
class TwiceHidden(Mask):
    name = "six-twice-hidden"

    def degrade(self, batch, sigma, generator):
        shown = self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, generator)
        return self._view(batch, sigma, shown & draw_mask(batch.x_n, self.kind, self.drop, generator), generator)


@marked(WRONG, "the view shows all that was measured: nothing is left to learn the rest from")
class HidesNothing(Mask):
    name = "six-hides-nothing"

    def degrade(self, batch, sigma, generator):
        return self.show(batch, sigma, generator)


@marked(WRONG, "one further mask for the whole batch")
class OneFurther(Mask):
    name = "six-one-further"

    def degrade(self, batch, sigma, generator):
        first = generator if isinstance(generator, torch.Generator) else generator[0]
        shown = self._seen(batch) & draw_mask(batch.x_n[:1], self.kind, self.drop, first)
        return self._view(batch, sigma, shown, generator)


@marked(WRONG, "what the view hides stays in x: only the mask says that it should not be read")
class Leaks(Mask):
    name = "six-leaks"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(x=torch.where(shown, view.x, batch.x_n))


@marked(WRONG, "noise is added to the hidden values of a view, too")
class NoiseOnHidden(Mask):
    name = "six-noise-on-hidden"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        noise = per_row(sigma, view.x) * standard_normal(view.x, generator)
        return view._replace(x=torch.where(shown, view.x, noise))


@marked(WRONG, "the denoiser is told the row's mask, not the view's")
class ToldRowsMask(Mask):
    name = "six-told-rows-mask"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(cond={**view.cond, "mask": self._seen(batch)})


@marked(WRONG, "show hides as much as degrade does")
class ShowHides(Mask):
    name = "six-show-hides"

    def show(self, batch, sigma, generator):
        return self.degrade(batch, sigma, generator)


@marked(WRONG, "a hidden value is expected as a shown one of value 0")
class MixedEverywhere(Mask):
    name = "six-mixed-everywhere"
    sigma_n: float = 0.2

    def expect(self, x_0_hat, view, batch):
        b = (per_row(self._level(batch), view.x) / per_row(view.sigma, view.x)) ** 2
        mixed = (1 - b) * x_0_hat + b * view.x
        return torch.where(self._seen(batch), mixed, torch.zeros_like(mixed))


@marked(WRONG, "values that were never measured are expected as x_0_hat, against the 0 that stands there")
class ExpectsUnmeasured(Mask):
    name = "six-expects-unmeasured"

    def expect(self, x_0_hat, view, batch):
        b = (per_row(self._level(batch), view.x) / per_row(view.sigma, view.x)) ** 2
        return torch.where(view.cond["mask"], (1 - b) * x_0_hat + b * view.x, x_0_hat)


@marked(WRONG, "hidden values weigh as if all had been measured: no chance in the weight")
class NoChance(Mask):
    name = "six-weight-no-chance"

    def weight(self, view, batch, cap, hidden):
        weight = super().weight(view, batch, cap, hidden)
        plain = per_row(hidden.to(weight.dtype), weight).expand_as(weight)
        return torch.where(self._seen(batch) & ~view.cond["mask"], plain, weight)


@marked(WRONG, "the chance multiplies where it should divide")
class ChanceMultiplies(Mask):
    name = "six-chance-multiplies"

    def weight(self, view, batch, cap, hidden):
        weight = super().weight(view, batch, cap, hidden)
        plain = per_row(hidden.to(weight.dtype), weight).expand_as(weight)
        return torch.where(self._seen(batch) & ~view.cond["mask"], plain**2 / weight.clamp(min=1e-9), weight)


@marked(WRONG, "the chance is that of being hidden on top, 1/d, not of having been measured given that it is hidden")
class ChanceOfDrop(Mask):
    name = "six-chance-of-drop"

    def weight(self, view, batch, cap, hidden):
        weight = super().weight(view, batch, cap, hidden)
        plain = per_row(hidden.to(weight.dtype), weight).expand_as(weight) / self.drop
        return torch.where(self._seen(batch) & ~view.cond["mask"], plain, weight)


@marked(WRONG, "missing values count as well")
class CountsMissing(Mask):
    name = "six-counts-missing"

    def weight(self, view, batch, cap, hidden):
        weight = super().weight(view, batch, cap, hidden)
        return torch.where(self._seen(batch), weight, torch.ones_like(weight))


@marked(WRONG, "a box never reaches the last row and column: randint's end is exclusive")
class BoxInside(Mask):
    name = "six-box-inside"
    kind: str = "boxes"
    missing: float = 0.25

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        if x_0.ndim < 4:
            return batch
        height, width = x_0.shape[2:]
        tall, wide = (max(1, round(side * self.missing**0.5)) for side in (height, width))
        u = uniform(x_0.new_empty(len(x_0), 2), generator)
        top, left = ((u[:, i] * (side - own)).long() for i, (side, own) in enumerate(((height, tall), (width, wide))))
        y, x = torch.arange(height).reshape(1, -1, 1), torch.arange(width).reshape(1, 1, -1)
        top, left = top.reshape(-1, 1, 1), left.reshape(-1, 1, 1)
        seen = ~((y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)).unsqueeze(1)
        return Batch(torch.where(seen, x_0, 0.0), batch.sigma_n, row, {"mask": seen})


@marked(WRONG, "more is missing than the fields say, 60 % in the place of 40 %: hidden values weigh too little")
class MoreMissing(Mask):
    name = "six-more-missing"

    def observe(self, x_0, row, generator):
        seen = draw_mask(x_0, "pixels", 0.6, generator).contiguous()
        return Batch(torch.where(seen, x_0, 0.0), x_0.new_zeros(len(x_0)), row, {"mask": seen})


@marked(WRONG, "nothing is ever said to be unseen, so that training on what no row shows is not refused")
class NeverUnseen(Mask):
    name = "six-never-unseen"

    def unseen(self, batch):
        return ""


@marked(WRONG, "the std of the clean data counts missing values as 0")
class StdOfZeros(Mask):
    name = "six-std-of-zeros"

    def clean_std(self, batch):
        return float(batch.x_n.std())


@marked(WRONG, "bright values are missing more often: the mask depends on the picture")
class Saturated(Mask):
    name = "six-saturated"

    def observe(self, x_0, row, generator):
        chance = self.missing * (1 + 0.8 * torch.tanh(2 * x_0[:, :1] if x_0.ndim > 2 else 2 * x_0))
        seen = uniform(chance, generator) >= chance
        return Batch(torch.where(seen, x_0, 0.0), x_0.new_zeros(len(x_0)), row, {"mask": seen})
