"""Wrong corruptions that hide a part of each row."""

from __future__ import annotations

import torch

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import per_row, standard_normal

from .bases import made


class OneMaskMore(Mask):
    """What a view hides on top is drawn once for the batch. Breaks: the mask differs from row to row."""

    name = "kit13-one-mask-more"

    def degrade(self, batch, sigma, generator):
        first = generator[:1] if isinstance(generator, list | tuple) else generator
        more = draw_mask(batch.x_n[:1], self.kind, self.drop, first)
        return self._view(batch, sigma, self._seen(batch) & more, generator)


class HidesNoMore(Mask):
    """A view shows all that was measured. Breaks: hides each measured value now and then."""

    name = "kit13-hides-no-more"

    def degrade(self, batch, sigma, generator):
        return self.show(batch, sigma, generator)


class MaskAfresh(Mask):
    """A view's mask is drawn afresh, whatever the row's is. Breaks: it lies within that of its row."""

    name = "kit13-mask-afresh"

    def degrade(self, batch, sigma, generator):
        return self._view(batch, sigma, draw_mask(batch.x_n, self.kind, 0.46, generator), generator)


class TailKept(Mask):
    """The last column is never hidden on top: the mask is drawn for one column less and padded. Breaks: hides each
    measured value now and then."""

    name = "kit13-last-column-kept"

    def degrade(self, batch, sigma, generator):
        more = draw_mask(batch.x_n, self.kind, self.drop, generator).clone()
        more[..., -1] = True
        return self._view(batch, sigma, self._seen(batch) & more, generator)


class ShinesThrough(Mask):
    """Values that a view hides are told so, but stay in it. Breaks: x_t = A~ (...), 0 where it hides a value."""

    name = "kit13-shines-through"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        whole = super().show(batch, sigma, generator)
        return view._replace(x=whole.x)


class MixUnderMask(Mask):
    """Hidden values that were measured are expected at a h + b x_t with x_t = 0. Breaks: h where A measured it and A~
    hides it."""

    name = "kit13-mix-under-mask"
    sigma_n: float | tuple[float, float] = 0.2

    def expect(self, x_0_hat, view, batch):
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self._level(batch))
        return torch.where(self._seen(batch), mixed, torch.zeros_like(mixed))


class ChanceOfDrop(Mask):
    """Errors of hidden values are divided by `drop`. Breaks: by the chance that such a value was measured."""

    name = "kit13-chance-of-drop"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        own = (per_row(hidden, found) / self.drop).expand_as(found)
        return torch.where(self._seen(batch) & ~view.cond["mask"], own, found)


class Inverted(Mask):
    """`missing` is taken for the share that is seen. Breaks: missing is the probability that a pixel is missing."""

    name = "kit13-missing-inverted"

    def observe(self, x_0, row, generator):
        return super(Inverted, self.model_copy(update={"missing": 1 - self.missing})).observe(x_0, row, generator)


class WholeNoise(Mask):
    """A view gets noise of the whole of sigma, whatever noise a row has. Breaks: sqrt(sigma^2 - sigma_n^2)."""

    name = "kit13-masked-whole-noise"
    sigma_n: float | tuple[float, float] = 0.2

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        x = batch.x_n + per_row(sigma, batch.x_n) * standard_normal(batch.x_n, generator)
        return view._replace(x=torch.where(shown, x, 0.0))


class ExpectsOwn(Linear):
    """The mix takes x_n in place of what the view measured. Breaks: a A h + b y_t."""

    name = "kit13-mix-with-own"
    sigma_n: float | tuple[float, float] = 0.2

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat, view._replace(cond={**view.cond, "measured": batch.x_n}), batch)


class HiddenOnce(Linear):
    """Measurements that a view hides weigh 1. Breaks: each measurement counts once in the mean."""

    name = "kit13-hidden-once"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        return torch.where(view.cond["sampled"] | (found == 0), found, torch.ones_like(found))


WRONG = made(
    OneMaskMore,
    HidesNoMore,
    MaskAfresh,
    TailKept,
    ShinesThrough,
    MixUnderMask,
    ChanceOfDrop,
    Inverted,
    WholeNoise,
    ExpectsOwn,
    HiddenOnce,
)
