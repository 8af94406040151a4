"""Wrong corruptions that hide a part of each row."""

from __future__ import annotations

import torch

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import highest_level, per_row, standard_normal, uniform

from .bases import made


class SidesSwapped(Mask):
    """Columns are hidden as rows: the axes are those of (x, y). Breaks: kind columns hides whole columns."""

    name = "kit14-columns-as-rows"
    kind: str = "columns"

    def observe(self, x_0, row, generator):
        if x_0.ndim != 4:
            return super().observe(x_0, row, generator)
        found = super().observe(x_0.mT.contiguous(), row, generator)
        return found._replace(x_n=found.x_n.mT.contiguous(), cond={"mask": found.cond["mask"].mT.contiguous()})


class ChannelByChannel(Mask):
    """Each channel of a view hides other pixels. Breaks: the pixels of a view are hidden in all channels alike."""

    name = "kit14-channels-hidden-apart"

    def degrade(self, batch, sigma, generator):
        seen = self._seen(batch)
        if batch.x_n.ndim != 4 or batch.x_n.shape[1] == 1:
            return super().degrade(batch, sigma, generator)
        more = uniform(batch.x_n, generator) >= self.drop
        view = self._view(batch, sigma, seen.expand_as(batch.x_n) & more, generator)
        return view._replace(cond={**view.cond, "mask": seen & more.any(1, keepdim=True)})


class NeverAll(Mask):
    """Where a view would show nothing of a row it shows all of it. Breaks: each value is hidden with the chance of
    `drop`; the weight counts on it."""

    name = "kit14-never-nothing"
    drop: float = 0.5

    def degrade(self, batch, sigma, generator):
        seen = self._seen(batch)
        shown = seen & draw_mask(batch.x_n, self.kind, self.drop, generator)
        nothing = ~shown.flatten(1).any(1)
        shown = torch.where(nothing.reshape(-1, *[1] * (shown.ndim - 1)), seen, shown)
        return self._view(batch, sigma, shown, generator)


class FloorOfHidden(Mask):
    """The floor counts the noise of pixels that were not measured. Breaks: the largest among the measured ones."""

    name = "kit14-floor-of-hidden"

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class WholeRowsBare(Mask):
    """Rows without a mask are seen whole, and without one. Breaks: `degrade` hides more, and gives the mask of the
    view."""

    name = "kit14-whole-rows-bare"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        if "mask" in batch.cond:
            return view
        whole = super().show(batch, sigma, generator)
        return whole._replace(cond=dict(batch.cond))


class NoiseInHidden(Mask):
    """Hidden values of a view are noise of its level, as an input of the usual scale. Breaks: 0 where it hides a
    value."""

    name = "kit14-noise-where-hidden"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        z = per_row(sigma, view.x) * standard_normal(view.x, generator)
        return view._replace(x=torch.where(shown, view.x, z.to(view.x.dtype)))


class UnseenOfFirst(Mask):
    """`unseen` looks at the first row alone. Breaks: values that no row of the batch has."""

    name = "kit14-unseen-of-first"

    def unseen(self, batch):
        one = {name: value[:1] for name, value in batch.cond.items()}
        return super().unseen(batch._replace(x_n=batch.x_n[:1], row=batch.row[:1], cond=one))


class StdOfAll(Mask):
    """clean_std counts values that were not measured as 0. Breaks: it leaves out what was not."""

    name = "kit14-std-of-all"

    def clean_std(self, batch):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).double()
        excess = batch.x_n.double().var(unbiased=False) - level.square().mean()
        return float(excess.clamp(min=0).sqrt())


class ByBatchShare(Mask):
    """The chance of a hidden value is that of the batch at hand, whatever the fields say. Breaks: P(A = 1 | A~ = 0)."""

    name = "kit14-chance-of-batch"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        seen, shown = self._seen(batch), view.cond["mask"]
        share = (seen & ~shown).double().mean() / (~shown).double().mean().clamp(min=1e-6)
        own = per_row(hidden, found) / share.clamp(min=0.5).to(found.dtype)
        return torch.where(seen & ~shown, own.expand_as(found), found)


class MeasuredShown(Linear):
    """The condition "measured" holds all measurements, those that the view hides too. Breaks: y_t, 0 where it is
    hidden."""

    name = "kit14-measured-in-full"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        y = torch.where(shown, view.cond["measured"], batch.x_n)
        return view._replace(cond={**view.cond, "measured": y})


class OthersLost(Linear):
    """A view carries its own conditions alone. Breaks: labels travel with the row."""

    name = "kit14-measured-without-labels"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        own = ("sampled", "measured", "coverage")
        return view._replace(cond={name: value for name, value in view.cond.items() if name in own})


class NoiseOfPictures(Linear):
    """The missing noise is added to the picture, after the transpose. Breaks: y_t = M~ (x_n + noise)."""

    name = "kit14-noise-after-transpose"
    sigma_n: float | tuple[float, float] = 0.2

    def _view(self, batch, sigma, shown, generator):
        super()._view(batch, sigma, shown, generator)  # refuses levels below those of rows
        low = super()._view(batch, self.floor(batch).clamp(min=1e-3), shown, generator)
        x = low.x
        missing = (sigma**2 - self.floor(batch) ** 2).clamp(min=0).sqrt()
        return low._replace(x=x + per_row(missing, x).to(x.dtype) * standard_normal(x, generator), sigma=sigma)


WRONG = made(
    SidesSwapped,
    ChannelByChannel,
    NeverAll,
    FloorOfHidden,
    WholeRowsBare,
    NoiseInHidden,
    UnseenOfFirst,
    StdOfAll,
    ByBatchShare,
    MeasuredShown,
    OthersLost,
    NoiseOfPictures,
)
