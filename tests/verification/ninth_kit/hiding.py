"""Corruptions that hide values, and are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import capped_inverse_square, clean_std, tweedie_mix
from ambientkit.maths.masks import chance_of_seen
from ambientkit.maths.noise import RandomSource, highest_level, per_row, standard_normal, uniform


class Holes(Corruption):
    """Pixels that are missing, in pieces."""

    name = "nine-holes-base"
    source = "arXiv 2305.19256, section 3"
    claims = frozenset({"masked", "row-generators"})
    carries = frozenset({"mask"})
    missing: float = 0.4
    """Share that is missing."""
    drop: float = 0.2
    """Share hidden on top."""
    sigma_n: float = 0.1
    """Noise of what is there."""

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """A (x_0 + sigma_n z)."""
        noisy = x_0 + self.sigma_n * standard_normal(x_0, generator)
        seen = self.measured(x_0, generator)
        return Batch(
            torch.where(seen, noisy, torch.zeros_like(noisy)),
            x_0.new_full((len(x_0),), self.sigma_n),
            row,
            {"mask": seen},
        )

    def measured(self, x_0: Tensor, generator: RandomSource) -> Tensor:
        """A."""
        return uniform(self.one(x_0), generator) >= self.missing

    @staticmethod
    def one(x: Tensor) -> Tensor:
        """Without channels."""
        return x[:, :1] if x.ndim > 2 else x

    def seen(self, batch: Batch) -> Tensor:
        """A, of a row that says."""
        if "mask" in batch.cond:
            return batch.cond["mask"].bool()
        return torch.ones_like(self.one(batch.x_n), dtype=torch.bool)

    def level(self, batch: Batch) -> Tensor:
        """sigma_n, 0 where nothing is."""
        if batch.sigma_n.ndim < batch.x_n.ndim or batch.x_n.ndim == 1:
            return batch.sigma_n
        full = batch.sigma_n.expand_as(batch.x_n)
        return torch.where(self.seen(batch), full, torch.zeros_like(full))

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A B (x_n + z)."""
        kept = uniform(self.one(batch.x_n), generator) >= self.drop
        return self.seen_at(batch, sigma, self.seen(batch) & kept, generator)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A (x_n + z)."""
        return self.seen_at(batch, sigma, self.seen(batch), generator)

    def seen_at(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        """Raises ValueError naming the row."""
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise level")
        lacking = (per_row(sigma, batch.x_n) ** 2 - per_row(self.level(batch), batch.x_n) ** 2).clamp(min=0).sqrt()
        x = batch.x_n + lacking.to(batch.x_n.dtype) * standard_normal(batch.x_n, generator)
        return View(self.covered(x, shown, batch), sigma, {**batch.cond, "mask": shown})

    def covered(self, x: Tensor, shown: Tensor, batch: Batch) -> Tensor:
        """0 where nothing is shown."""
        return torch.where(shown, x, torch.zeros_like(x))

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a D + b x_t, D, or 0."""
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self.level(batch))
        known = torch.where(view.cond["mask"], mixed, x_0_hat)
        return torch.where(self.seen(batch), known, torch.zeros_like(known))

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        return highest_level(self.level(batch), batch.x_n)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """Each measured value once in the mean."""
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.chance(a)
        known = torch.where(view.cond["mask"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self.seen(batch), known, torch.zeros_like(known))

    def chance(self, a: Tensor) -> Tensor:
        """P(A = 1 | A B = 0)."""
        return chance_of_seen(torch.full_like(a, 1 - self.missing), torch.full_like(a, self.drop))

    def unseen(self, batch: Batch) -> str:
        """Values that no row has."""
        lost = ~self.seen(batch).flatten(1).any(0)
        return f"{int(lost.sum())} values are missing in each row" if bool(lost.any()) else ""

    def clean_std(self, batch: Batch) -> float:
        """Of what was measured."""
        seen = self.seen(batch).expand_as(batch.x_n)
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        return clean_std(batch.x_n[seen], own[seen]) if seen.any() else 0.0


class ByValue(Holes):
    """Dark pixels are lost more often than bright ones."""

    name = "nine-hides-the-dark"

    def measured(self, x_0: Tensor, generator: RandomSource) -> Tensor:
        """With a chance that follows the value."""
        one = self.one(x_0)
        return uniform(one, generator) >= self.missing * (1 - one.clamp(-1, 1))


class ProductChance(Holes):
    """The chance of a hidden value is q d."""

    name = "nine-chance-is-product"

    def chance(self, a: Tensor) -> Tensor:
        """Not over what is hidden at all."""
        return torch.full_like(a, (1 - self.missing) * self.drop)


class DropsInPlace(Holes):
    """The mask of the batch becomes that of the view."""

    name = "nine-mask-in-place"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """Hides in the batch's own mask."""
        kept = uniform(self.one(batch.x_n), generator) >= self.drop
        shown = self.seen(batch)
        shown &= kept
        return self.seen_at(batch, sigma, shown, generator)


class LeavesValues(Holes):
    """Values stay where the mask of the view says that nothing is."""

    name = "nine-values-under-mask"

    def covered(self, x: Tensor, shown: Tensor, batch: Batch) -> Tensor:
        """As the row has them."""
        return x


class NeverUnseen(Holes):
    """Never says that a value is in no row."""

    name = "nine-never-unseen"

    def unseen(self, batch: Batch) -> str:
        """Nothing."""
        return ""


class ZerosCounted(Holes):
    """The std of the clean data counts the zeros of what is missing."""

    name = "nine-std-with-zeros"

    def clean_std(self, batch: Batch) -> float:
        """Of all values."""
        return clean_std(batch.x_n, batch.sigma_n)


class HiddenMixed(Holes):
    """What the view hides is mixed with its zeros."""

    name = "nine-hidden-values-mixed"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a D + b x_t everywhere."""
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self.level(batch))
        return torch.where(self.seen(batch), mixed, torch.zeros_like(mixed))


class ShowsUnmeasured(Holes):
    """The mask of a view is drawn anew, without that of its row."""

    name = "nine-mask-drawn-anew"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """B alone."""
        return self.seen_at(batch, sigma, uniform(self.one(batch.x_n), generator) >= self.drop, generator)


class FloatMask(Holes):
    """The mask of a view is of numbers, 1 where something is hidden."""

    name = "nine-mask-turned-round"

    def seen_at(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        """1 for what is hidden."""
        view = super().seen_at(batch, sigma, shown, generator)
        return view._replace(cond={**view.cond, "mask": ~shown})

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """With the mask turned back."""
        return super().expect(x_0_hat, view._replace(cond={**view.cond, "mask": ~view.cond["mask"]}), batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """With the mask turned back."""
        turned = view._replace(cond={**view.cond, "mask": ~view.cond["mask"]})
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.chance(a)
        known = torch.where(turned.cond["mask"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self.seen(batch), known, torch.zeros_like(known))


class CapForgotten(Holes):
    """What an error of a hidden value counts is 1, whatever was asked for."""

    name = "nine-hidden-counts-one"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """1 over the chance."""
        return super().weight(view, batch, cap, torch.ones_like(hidden))


PARTS: tuple[type[Corruption], ...] = (
    ByValue,
    ProductChance,
    DropsInPlace,
    LeavesValues,
    NeverUnseen,
    ZerosCounted,
    HiddenMixed,
    ShowsUnmeasured,
    FloatMask,
    CapForgotten,
)
