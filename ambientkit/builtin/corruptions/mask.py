"""The corruption `mask`: values that are missing, with or without noise on those that are there."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import capped_inverse_square, clean_std, top_up, tweedie_mix
from ambientkit.maths.levels import GREATEST
from ambientkit.maths.masks import APART, Kind, chance_of_hiding, chance_of_seen, draw_mask, never_together
from ambientkit.maths.noise import RandomSource, draw_levels, highest_level, per_row, standard_normal
from ambientkit.maths.weights import HIDDEN

Level = Annotated[float, Field(ge=0, le=GREATEST)]


class Mask(Corruption):
    """Missing values: x_n = A (x_0 + sigma_n z), A a mask that is known of each row; Gaussian noise of known level
    besides.

    A view hides more: A~ = A B with a fresh B in each call, x_t = A~ (x_n + sqrt(sigma^2 - sigma_n^2) z'). So the
    denoiser, which is given A~, must predict the values that it does not see, and those that A measured show whether it
    is right: E[x_n | A~ x_t, A~, A] is a h + b x_t where A~ shows a value, h where A measured it and A~ hides it, and 0
    where A hid it, h = E[x_0 | A~ x_t]. Errors of hidden values are divided by P(A = 1 | A~ = 0) = q d / (1 - q (1 -
    d)), q the chance of a value to be measured and d of being hidden on top, so that all values of x_0 count alike in
    the mean. `missing` and `drop` give q and d: for data that bring masks of their own, `missing` is the share that
    they lack; another one changes how hidden values weigh, and not what is learnt, as long as masks do not depend on
    the picture. For boxes the chances are those of each place alone, not given the rest of the row."""

    name = "mask"
    source = (
        "arXiv 2305.19256, section 3; weight: arXiv 2210.01696, K = (1 - q) / (1 - q (1 - d)); noise: arXiv "
        "2404.10177; docs/masks.md"
    )
    claims = frozenset({"masked", "row-generators"})
    carries = frozenset({"mask"})

    kind: Kind = "pixels"
    """The values that are hidden together: single pixels (all channels of one), whole rows or columns of a picture, or
    a box."""
    missing: float = Field(0.4, ge=0, lt=1)
    """Probability that a pixel or line is missing; of a box, its share of the picture."""
    drop: float = Field(0.1, gt=0, lt=1)
    """The same, of what a training step hides on top."""
    centre: float = Field(0.0, ge=0, le=1)
    """Share of the rows or columns, in the middle, that are never missing."""
    sigma_n: Level | tuple[Level, Level] = 0.0
    """Simulated noise std of what is there, data units; a pair (low, high) draws one level per row."""
    allow_unseen: bool = False
    """Whether values that are missing in all rows, and pairs of values that no row has both of, are allowed."""

    @model_validator(mode="after")
    def _fit(self) -> Mask:
        if self.centre and self.kind not in ("rows", "columns"):
            raise ValueError("centre is a share of rows or columns: give kind rows or columns, or leave it out")
        if isinstance(self.sigma_n, tuple) and self.sigma_n[0] > self.sigma_n[1]:
            raise ValueError("sigma_n as a pair is (low, high)")
        return self

    @property
    def hidden_power(self) -> float:
        """1.5 times the share of single pixels that is missing, at most 0.6: the fewer they are, the better they can be
        restored at low levels; 0.6 for lines and boxes (docs/decisions, 73)."""
        return min(HIDDEN, 1.5 * self.missing) if self.kind == "pixels" else HIDDEN

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = A (x_0 + sigma_n z), 0 where nothing was measured, with A in cond["mask"]."""
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        noisy = x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator)
        seen = draw_mask(x_0, self.kind, self.missing, generator, self.centre)
        seen = seen.expand(len(x_0), *self._shape(x_0)).contiguous()
        return Batch(torch.where(seen, noisy, 0.0), sigma_n, row, {"mask": seen})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A~ x_t, with A~ in cond["mask"]. Raises ValueError naming the row where sigma is below its floor."""
        return self._view(
            batch, sigma, self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, generator), generator
        )

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A x_t, with A in cond["mask"]. Raises ValueError naming the row where sigma is below its floor."""
        return self._view(batch, sigma, self._seen(batch), generator)

    def _view(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        below = sigma < self.floor(batch)
        if below.any():
            first = int(below.nonzero()[0])
            raise ValueError(
                f"row {int(batch.row[first])} cannot be seen at sigma {float(sigma[first]):g}, below its own noise "
                "level"
            )
        x_t = top_up(batch.x_n, self._level(batch), sigma, generator)
        return View(torch.where(shown, x_t, 0.0), sigma, {**batch.cond, "mask": shown})

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a x_0_hat + b x_t where the view shows a value, x_0_hat where it hides a measured one, 0 elsewhere."""
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self._level(batch))
        known = torch.where(view.cond["mask"], mixed, x_0_hat)
        return torch.where(self._seen(batch), known, torch.zeros_like(known))

    def floor(self, batch: Batch) -> Tensor:
        """(B,), the largest sigma_n among the measured values of each row."""
        return highest_level(self._level(batch), batch.x_n)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) where the view shows a value, hidden / P(A = 1 | A~ = 0) where it hides a measured one, 0
        elsewhere."""
        a = self.slope(view, batch)
        q = 1 - chance_of_hiding(a, self.kind, self.missing, self.centre)
        chance = chance_of_seen(q, chance_of_hiding(a, self.kind, self.drop)).to(a.dtype)
        unseen = per_row(hidden.to(a.dtype), a) / chance.clamp(min=torch.finfo(a.dtype).tiny)
        known = torch.where(view.cond["mask"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self._seen(batch), known, torch.zeros_like(known))

    def unseen(self, batch: Batch) -> str:
        """The values that no row of the batch has, or the share of pairs that none has both of, unless
        `allow_unseen`."""
        if self.allow_unseen:
            return ""
        seen = self._seen(batch)
        lost = ~seen.flatten(1).any(0)
        if not bool(lost.any()):
            share = never_together(seen)
            return "" if share <= APART else _told_apart(share, len(seen))
        places = lost.reshape(self._shape(batch.x_n)).nonzero().tolist()
        first = ", ".join(str(tuple(place)) for place in places[:4]) + (", ..." if len(places) > 4 else "")
        return (
            f"{len(places)} of {lost.numel()} values are missing in each of the {len(batch.x_n)} rows looked at, "
            "so nothing shows what lies "
            f"there: {first}. Give more rows, crop them away, or set corruption.allow_unseen to true: what is made "
            "up there means nothing"
        )

    def clean_std(self, batch: Batch) -> float:
        """Std of the clean data over the values that were measured."""
        seen = self._seen(batch).expand_as(batch.x_n)
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        return clean_std(batch.x_n[seen], level[seen]) if seen.any() else 0.0

    def _level(self, batch: Batch) -> Tensor:
        """sigma_n; where it is known per pixel, 0 for values that were not measured."""
        if batch.sigma_n.ndim < batch.x_n.ndim or batch.x_n.ndim == 1:
            return batch.sigma_n
        level = batch.sigma_n.expand_as(batch.x_n)
        return torch.where(self._seen(batch), level, torch.zeros_like(level))

    def _seen(self, batch: Batch) -> Tensor:
        """The mask of each row; a row without one is whole."""
        if "mask" in batch.cond:
            return batch.cond["mask"].bool()
        return torch.ones(len(batch.x_n), *self._shape(batch.x_n), dtype=torch.bool, device=batch.x_n.device)

    @staticmethod
    def _shape(x: Tensor) -> tuple[int, ...]:
        return (1, *x.shape[2:]) if x.ndim > 2 else tuple(x.shape[1:])


def _told_apart(share: float, rows: int) -> str:
    return (
        f"{share:.0%} of the pairs of values that only a part of the rows has are together in none of the {rows} rows "
        "looked at, as under complementary masks: of such a pair the one is never asked for where the other is seen, "
        "so that nothing shows how they go together. Give rows in which other values are missing, or set "
        "corruption.allow_unseen to true: what is made up there means little"
    )
