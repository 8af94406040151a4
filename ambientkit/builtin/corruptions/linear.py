"""The corruption `linear`: rows that were measured through a known operator, in part, with or without noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, SerializeAsAny, field_serializer, field_validator, model_validator
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption
from ambientkit.maths.ambient import capped_inverse_square, top_up, tweedie_coefficients
from ambientkit.maths.levels import GREATEST
from ambientkit.maths.masks import Kind, chance_of_hiding, chance_of_seen, draw_mask, never_together
from ambientkit.maths.noise import RandomSource, draw_levels, highest_level, per_row, standard_normal
from ambientkit.maths.precondition import lies_over
from ambientkit.operators import Operator, flaw, gain_of, identifiability, operator_of, unexplained
from ambientkit.operators.blur import Blur

Level = Annotated[float, Field(ge=0, le=GREATEST)]
FEW = 2
"""Rows that an operator is tried on."""
LOOKED_AT, VALUES = (4, 64), 2**15
"""Fewest and most rows by which the size of what an operator makes of them is known, and about as many values."""
OWN = frozenset({"sampled", "measured", "coverage", "coils"})


class Linear(Corruption):
    """Measurements x_n = M (A x_0 + sigma_n z) through a known linear operator A, of which M says which there are.

    `mask` in the space of measurements: a view shows fewer, M~ = M B with a fresh B in each call, at more noise, y_t =
    M~ (x_n + sqrt(sigma^2 - sigma_n^2) z'). The denoiser sees A^T y_t, which holds all information of y_t on x_0, with
    M~ as the condition "sampled" and y_t as "measured", and answers with h = E[x_0 | y_t]. Where measurements do not
    lie over pictures (a sinogram), networks of pictures get A^T M~ A 1, "coverage", in place of M~. E[x_n | y_t] =
    a A h + b y_t where y_t shows a measurement, A h where it hides one, 0 elsewhere. sigma is the noise of
    measurements; for an orthonormal A it is that of pictures too. Errors count in the scale of measurements."""

    name = "linear"
    source = "arXiv 2305.19256, section 3; arXiv 2210.01696; arXiv 2404.10177; docs/masks.md"
    claims = frozenset({"linear", "row-generators"})
    carries = OWN

    operator: SerializeAsAny[Operator] = Field(Blur(width=0.5), validate_default=False)
    """A: a name or {name, fields} of `ambientkit.operators` (blur, downsample, fourier, matrix, python, deepinv)."""
    kind: Kind = "pixels"
    """What of the measurements is missing together: single values of all channels, rows, columns, or a box."""
    missing: float = Field(0.0, ge=0, lt=1)
    """Probability that a measurement or line is missing; of a box, its share."""
    drop: float = Field(0.2, gt=0, lt=1)
    """The same, of what a training step hides on top."""
    centre: float = Field(0.0, ge=0, le=1)
    """Share of the rows or columns, in the middle, that are never missing."""
    sigma_n: Level | tuple[Level, Level] = 0.0
    """Simulated noise std of the measurements; a pair (low, high) draws one level per row."""
    allow_unseen: bool = False
    """Whether directions of x_0 that no row measures, such as frequencies, are allowed."""

    @field_validator("operator", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Operator:
        return operator_of(value)

    @field_serializer("operator")
    def _plain(self, operator: Operator) -> dict[str, Any]:
        return {"name": operator.name, **operator.model_dump(mode="json")}

    @model_validator(mode="after")
    def _fit(self) -> Linear:
        if self.centre and self.kind not in ("rows", "columns"):
            raise ValueError("centre is a share of rows or columns: give kind rows or columns, or leave it out")
        if isinstance(self.sigma_n, tuple) and self.sigma_n[0] > self.sigma_n[1]:
            raise ValueError("sigma_n as a pair is (low, high)")
        return self

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = M (A x_0 + sigma_n z), with M in cond["sampled"]."""
        y = self.operator.forward(x_0, {})
        sigma_n = draw_levels(y, self.sigma_n, generator)
        noisy = y + per_row(sigma_n, y) * standard_normal(y, generator)
        sampled = draw_mask(y, self.kind, self.missing, generator, self.centre)
        sampled = sampled.expand(len(y), *_shape(y)).contiguous()
        return Batch(torch.where(sampled, noisy, 0.0), sigma_n, row, {"sampled": sampled})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t, with M~ and y_t in cond. Raises ValueError naming the row where sigma is below its floor."""
        return self._view(
            batch, sigma, _sampled(batch) & draw_mask(batch.x_n, self.kind, self.drop, generator), generator
        )

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T of all that was measured. Raises ValueError naming the row where sigma is below its floor."""
        return self._view(batch, sigma, _sampled(batch), generator)

    def _view(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        below = sigma < self.floor(batch)
        if below.any():
            first = int(below.nonzero()[0])
            raise ValueError(
                f"row {int(batch.row[first])} cannot be seen at sigma {float(sigma[first]):g}, below its own noise "
                "level"
            )
        y_t = torch.where(shown, top_up(batch.x_n, _level(batch), sigma, generator), 0.0)
        others = {name: value for name, value in batch.cond.items() if name not in OWN | self.operator.per_row}
        x = self.operator.adjoint(y_t, self._given(batch)).to(batch.x_n.dtype)
        told = {"sampled": shown, "measured": y_t}
        if x.ndim > 2 and not lies_over(shown.shape[1:], x.shape[1:]):
            response = self.operator.forward(torch.ones_like(x), self._given(batch))
            told["coverage"] = self.operator.adjoint(torch.where(shown, response, 0.0), self._given(batch)).to(x.dtype)
        return View(x, sigma, {**others, **told})

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a A x_0_hat + b y_t for measurements that the view shows, A x_0_hat for those it hides, 0 elsewhere."""
        y = self.operator.forward(x_0_hat, self._given(batch)).to(batch.x_n.dtype)
        a, b = tweedie_coefficients(per_row(view.sigma, y), per_row(_level(batch), y))
        known = torch.where(view.cond["sampled"], a * y + b * view.cond["measured"], y)
        return torch.where(_sampled(batch), known, torch.zeros_like(known))

    def slope(self, view: View, batch: Batch) -> Tensor:
        """Of a measurement in A x_0_hat: a where the view shows it, 1 where it hides one, 0 elsewhere."""
        y = batch.x_n
        a, _ = tweedie_coefficients(per_row(view.sigma, y), per_row(_level(batch), y))
        known = torch.where(view.cond["sampled"], a.to(y.dtype), torch.ones_like(y))
        return torch.where(_sampled(batch), known, torch.zeros_like(known))

    def floor(self, batch: Batch) -> Tensor:
        """(B,), the largest sigma_n among the measurements of each row."""
        return highest_level(_level(batch), batch.x_n)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) for measurements that the view shows, hidden / P(M = 1 | M~ = 0) for those it hides, 0
        elsewhere."""
        a = self.slope(view, batch)
        q = 1 - chance_of_hiding(a, self.kind, self.missing, self.centre)
        chance = chance_of_seen(q, chance_of_hiding(a, self.kind, self.drop)).to(a.dtype)
        unseen = per_row(hidden.to(a.dtype), a) / chance.clamp(min=torch.finfo(a.dtype).tiny)
        known = torch.where(view.cond["sampled"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(_sampled(batch), known, torch.zeros_like(known))

    def unseen(self, batch: Batch) -> str:
        """The directions of x_0 that no row measures, unless `allow_unseen`; pictures' by frequency. They are known of
        a linear map with its transpose alone: of any other operator, what keeps it from being one."""
        if self.allow_unseen:
            return ""
        if wrong := self.flaw(batch):
            return (
                f"operator {self.operator.name}: {wrong}. Mend the operator, or go on knowingly with "
                "corruption.allow_unseen: true and --skip-preflight: what is learned is biased then"
            )
        sampled = _sampled(batch).expand_as(batch.x_n)
        found = identifiability(self.operator, sampled, batch.cond, self._rows(batch))
        if found is None:  # too large for the mean of A^T A
            lost = ~sampled.flatten(1).any(0)
            said = f"{int(lost.sum())} of {lost.numel()} measurements are missing in each row" if lost.any() else ""
        else:
            said = str(found) if found.lost else ""
        return said and (
            f"operator {self.operator.name}: {said}, so nothing says what lies there. Give rows measured in other "
            "ways, or set "
            "corruption.allow_unseen to true: what is made up there means nothing"
        )

    def apart(self, batch: Batch) -> float:
        """The share of pairs of measurements that no row has both of, as of every fourth line at one of four offsets; 0
        where measurements are more than values of x_0, and follow from others. See `maths.masks.never_together`."""
        alone = batch.x_n[0].numel() <= math.prod(self._rows(batch))
        return never_together(_sampled(batch)) if alone else 0.0

    def flaw(self, batch: Batch) -> str:
        """What keeps the operator from being a linear map with its transpose on such rows, in words; empty where
        nothing does."""
        few = slice(0, FEW)
        given = {name: value[few] for name, value in self._given(batch).items()}
        y = batch.x_n[few]
        return flaw(self.operator, torch.zeros(len(y), *self._rows(batch), dtype=y.dtype, device=y.device), y, given)

    def unexplained(self, batch: Batch) -> float:
        """The share of the energy of the first rows that no clean rows explain through the operator."""
        few = slice(0, FEW)
        level = per_row(_level(batch), batch.x_n).expand_as(batch.x_n)[few]
        given = {name: value[few] for name, value in self._given(batch).items()}
        sampled = _sampled(batch).expand_as(batch.x_n)[few]
        return unexplained(self.operator, batch.x_n[few], sampled, level, given, self._rows(batch))

    def clean_std(self, batch: Batch) -> float:
        """Root mean square of x_0 from its measurements: E|A x_0|^2 over that which A makes of rows of unit mean square
        such as those behind the first measurements. What A hides does not count. Raises InputError where A is 0."""
        sampled = _sampled(batch).expand_as(batch.x_n)
        level = per_row(_level(batch), batch.x_n).expand_as(batch.x_n)
        power = torch.where(sampled, batch.x_n.double().square() - level.double().square(), 0.0).sum(0)
        mean = power / sampled.sum(0).clamp(min=1)
        rows = self._rows(batch)
        white = self.gain(batch)
        if not white:
            brought = " of row 0, through the maps that it brings," if self._given(batch) else ""
            raise InputError(
                f"operator {self.operator.name}: it measures nothing{brought}: white noise gives 0 everywhere"
            )
        few = slice(0, min(max(VALUES // batch.x_n[0].numel(), LOOKED_AT[0]), LOOKED_AT[1]))
        given = {name: value[few] for name, value in self._given(batch).items()}
        gain = gain_of(self.operator, batch.x_n[few], sampled[few], level[few], given, rows) or white
        return max(float(mean.sum()) / (gain**2 * math.prod(rows)), 0.0) ** 0.5

    def gain(self, batch: Batch) -> float:
        """|A u| / |u| for white noise u: the root of the mean eigenvalue of A^T A."""
        one = {name: value[:1].double() for name, value in self._given(batch).items()}
        u = standard_normal(torch.zeros(1, *self._rows(batch), dtype=torch.float64), torch.Generator().manual_seed(0))
        return float(self.operator.forward(u, one).norm() / u.norm())

    def _given(self, batch: Batch) -> Mapping[str, Tensor]:
        return {name: value for name, value in batch.cond.items() if name in self.operator.per_row}

    def _rows(self, batch: Batch) -> tuple[int, ...]:
        """The shape of a clean row."""
        one = {name: value[:1] for name, value in self._given(batch).items()}
        return tuple(self.operator.adjoint(batch.x_n[:1], one).shape[1:])


def _sampled(batch: Batch) -> Tensor:
    """Which measurements there are of each row; all, of a row that does not say."""
    if "sampled" in batch.cond:
        return batch.cond["sampled"].bool()
    return torch.ones(len(batch.x_n), *_shape(batch.x_n), dtype=torch.bool, device=batch.x_n.device)


def _shape(y: Tensor) -> tuple[int, ...]:
    return (1, *y.shape[2:]) if y.ndim > 2 else tuple(y.shape[1:])


def _level(batch: Batch) -> Tensor:
    """sigma_n; where it is known per measurement, 0 for those that are missing."""
    if batch.sigma_n.ndim < batch.x_n.ndim or batch.x_n.ndim == 1:
        return batch.sigma_n
    level = batch.sigma_n.expand_as(batch.x_n)
    return torch.where(_sampled(batch), level, torch.zeros_like(level))
