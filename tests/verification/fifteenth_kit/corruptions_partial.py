"""Wrong corruptions that hide a part of each row: masks and operators."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.masks import chance_of_hiding, chance_of_seen, draw_mask
from ambientkit.maths.noise import highest_level, per_row, standard_normal

from .bases import made
from .bases_other import Holes, refuse_below


class Turned(Corruption):
    """Measurements through a fixed turn of neighbouring values with unequal gains, of which some are missing."""

    source = "arXiv 2404.10177; docs/masks.md"
    claims = frozenset({"linear", "row-generators"})
    carries = frozenset({"sampled", "measured"})
    hidden_share: ClassVar[float] = 0.25

    sigma_n: float = 0.1
    """Std of the noise of measurements."""

    def forward(self, x):
        """A x: sums and differences of even and odd values of a flat row, the differences at half the gain."""
        flat = x.flatten(1)
        if flat.shape[1] % 2:
            return x
        even, odd = flat[:, 0::2], flat[:, 1::2]
        y = torch.cat([(even + odd) / math.sqrt(2), 0.5 * (even - odd) / math.sqrt(2)], dim=1)
        return y.reshape(x.shape)

    def adjoint(self, y):
        """A^T y."""
        flat = y.flatten(1)
        if flat.shape[1] % 2:
            return y
        total, rest = flat.chunk(2, dim=1)
        even, odd = (total + 0.5 * rest) / math.sqrt(2), (total - 0.5 * rest) / math.sqrt(2)
        return torch.stack([even, odd], dim=2).flatten(1).reshape(y.shape)

    def observe(self, x_0, row, generator):
        y = self.forward(x_0)
        level = y.new_full((len(y),), self.sigma_n)
        noisy = self.noisy(x_0, y, level, generator)
        return Batch(noisy, level, row, {"sampled": torch.ones_like(noisy, dtype=torch.bool)})

    def noisy(self, x_0, y, level, generator):
        return y + per_row(level, y) * standard_normal(y, generator)

    def sampled(self, batch):
        if "sampled" in batch.cond:
            return batch.cond["sampled"].bool().expand_as(batch.x_n)
        return torch.ones_like(batch.x_n, dtype=torch.bool)

    def unseen(self, batch):
        lost = ~self.sampled(batch).flatten(1).any(0)
        return f"{int(lost.sum())} of {lost.numel()} measurements are missing in each row" if lost.any() else ""

    def degrade(self, batch, sigma, generator):
        shown = draw_mask(batch.x_n, "pixels", self.hidden_share, generator).expand_as(batch.x_n)
        return self.view(batch, sigma, self.sampled(batch) & shown, generator)

    def show(self, batch, sigma, generator):
        return self.view(batch, sigma, self.sampled(batch), generator)

    def view(self, batch, sigma, shown, generator):
        refuse_below(sigma, self.floor(batch), batch.row)
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        y_t = batch.x_n + missing.to(batch.x_n.dtype) * standard_normal(batch.x_n, generator)
        y_t = torch.where(shown, y_t, 0.0)
        return View(self.adjoint(y_t), sigma, {**batch.cond, "sampled": shown, "measured": y_t})

    def share(self, view, batch):
        return (per_row(batch.sigma_n, batch.x_n) / per_row(view.sigma, batch.x_n)) ** 2

    def expect(self, x_0_hat, view, batch):
        y, b = self.forward(x_0_hat), self.share(view, batch)
        known = torch.where(view.cond["sampled"], (1 - b) * y + b * self.again(view), self.hidden(y, b))
        return torch.where(self.sampled(batch), known, torch.zeros_like(known))

    def again(self, view):
        return view.cond["measured"]

    def hidden(self, y, b):
        return y

    def slope(self, view, batch):
        a = (1 - self.share(view, batch)).expand_as(batch.x_n)
        known = torch.where(view.cond["sampled"], a, torch.ones_like(a))
        return torch.where(self.sampled(batch), known, torch.zeros_like(known))

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.chance(a).to(a.dtype)
        known = torch.where(view.cond["sampled"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self.sampled(batch), known, torch.zeros_like(known))

    def chance(self, a):
        d = chance_of_hiding(a, "pixels", self.hidden_share)
        return chance_of_seen(torch.ones_like(d), d)

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class FrozenFurther(Holes):
    """What a view hides of a row is keyed by the row: the same in each call."""

    name = "kit15-frozen-further-mask"

    def further(self, batch, generator):
        own = [torch.Generator().manual_seed(int(one)) for one in batch.row]
        return draw_mask(batch.x_n.cpu(), self.kind, self.hidden_share, own).to(batch.x_n.device)


class OneFurtherMask(Holes):
    """All rows of a batch have the same values hidden on top."""

    name = "kit15-one-further-mask"

    def further(self, batch, generator):
        one = generator[:1] if isinstance(generator, list) else generator
        return draw_mask(batch.x_n[:1], self.kind, self.hidden_share, one)


class ShowsMissing(Holes):
    """The mask of a view is drawn anew, not within that of the row: missing values are shown as 0."""

    name = "kit15-shows-missing-values"

    def shown(self, batch, generator):
        return self.further(batch, generator).expand_as(self.seen(batch))


class HiddenMixed(Holes):
    """Hidden values are expected as a h + b x_t, with the 0 that stands under the mask."""

    name = "kit15-hidden-values-mixed"

    def hidden(self, x_0_hat, b, view):
        return (1 - b) * x_0_hat + b * view.x


class SharesSwapped(Holes):
    """The shares that are missing and hidden on top are swapped in the weight."""

    name = "kit15-shares-swapped"

    def chance(self, a):
        q = 1 - chance_of_hiding(a, self.kind, self.hidden_share)
        return chance_of_seen(q, chance_of_hiding(a, self.kind, self.missing_share))


class HiddenByTheMaskAlone(Holes):
    """A view's mask hides more, but the hidden values stay in its picture."""

    name = "kit15-hidden-by-the-mask-alone"

    def left(self, x_t, shown, batch):
        return torch.where(self.seen(batch), x_t, 0.0)


class CornerKept(Holes):
    """The first pixel of a picture, the value that a reader looks at, is never hidden by a view."""

    name = "kit15-corner-never-hidden"

    def further(self, batch, generator):
        kept = draw_mask(batch.x_n, self.kind, self.hidden_share, generator).clone()
        kept.flatten(1)[:, 0] = True
        return kept


class ShowHides(Holes):
    """`show` hides as much as `degrade`: rows are restored from a part of what was measured."""

    name = "kit15-show-hides"

    def show(self, batch, sigma, generator):
        return self.degrade(batch, sigma, generator)


class CarriedBackTwice(Turned):
    """b is counted on A of the view, A A^T y_t, in place of y_t."""

    name = "kit15-carried-back-twice"

    def again(self, view):
        return self.forward(view.x)


class NoiseBeforeTheOperator(Turned):
    """Noise is added to x_0 before it is measured: it is not white in the measurements."""

    name = "kit15-noise-before-the-operator"

    def noisy(self, x_0, y, level, generator):
        return self.forward(x_0 + per_row(level, x_0) * standard_normal(x_0, generator))


class HiddenShrunk(Turned):
    """Measurements that the view hides are expected as a A h, without the share of y_t."""

    name = "kit15-hidden-measurements-shrunk"

    def hidden(self, y, b):
        return (1 - b) * y


class HalfTheChance(Turned):
    """The weight of hidden measurements is that of the share hidden, d: as if some had been missing."""

    name = "kit15-hidden-measurements-over-d"

    def chance(self, a):
        return chance_of_hiding(a, "pixels", self.hidden_share)


WRONG = made(
    FrozenFurther,
    OneFurtherMask,
    ShowsMissing,
    HiddenMixed,
    SharesSwapped,
    HiddenByTheMaskAlone,
    CornerKept,
    ShowHides,
    CarriedBackTwice,
    NoiseBeforeTheOperator,
    HiddenShrunk,
    HalfTheChance,
)
