"""Right corruptions: white noise by other routes, other laws of levels, other patterns of masks, operators of one's
own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, SerializeAsAny

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.masks import chance_of_seen
from ambientkit.maths.noise import draw_levels, per_row, standard_normal, uniform
from ambientkit.operators import Operator

from .bases import final


class White(Gaussian):
    """White noise in steps: `noise` draws it, `own_levels` says which level each row or value has."""

    name = "kit18-base-white"

    def noise(self, like, generator):
        return standard_normal(like, generator)

    def own_levels(self, x_0, row, generator):
        return draw_levels(x_0, self.sigma_n, generator)

    def observe(self, x_0, row, generator):
        sigma_n = self.own_levels(x_0, row, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * self.noise(x_0, generator), sigma_n, row, {})

    def degrade(self, batch, sigma, generator):
        below = (sigma < self.floor(batch)).nonzero().flatten().tolist()
        if below:
            raise ValueError(f"row {int(batch.row[below[0]])} is noisier than the level {float(sigma[below[0]]):g}")
        x, level, own = batch.x_n, per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n)
        missing = ((level - own) * (level + own)).clamp(min=0).sqrt().to(x.dtype)
        return View(x + missing * self.noise(x, generator), sigma, batch.cond)


class ByQuantiles(White):
    """Noise by the inverse of the normal distribution function, in float64."""

    name = "kit18-noise-by-quantiles"

    def noise(self, like, generator):
        u = uniform(like.double(), generator).clamp(1e-16, 1 - 1e-16)
        return torch.special.ndtri(u).to(like.dtype)


class Hartley(White):
    """Noise is drawn among frequencies, and carried back by the orthonormal Hartley transform."""

    name = "kit18-noise-among-frequencies"

    def noise(self, like, generator):
        found = torch.fft.fft(standard_normal(like, generator).flatten(1), norm="ortho")
        return (found.real - found.imag).reshape(like.shape)


class Turned(White):
    """Noise is reflected at a random plane, and its values are reversed."""

    name = "kit18-noise-reflected"

    def noise(self, like, generator):
        z, normal = (standard_normal(like, generator).flatten(1) for _ in range(2))
        normal = normal / normal.norm(dim=1, keepdim=True)
        return (z - 2 * (z * normal).sum(1, keepdim=True) * normal).flip(1).reshape(like.shape)


class ManyDraws(White):
    """Noise is the sum of eight draws over the root of eight, alternately negative."""

    name = "kit18-noise-of-eight-draws"

    def noise(self, like, generator):
        return sum((-1) ** i * standard_normal(like, generator) for i in range(8)) / math.sqrt(8)


class ThreeLevels(White):
    """The level of a row is one of three, with chances 1 / 2, 1 / 3 and 1 / 6."""

    name = "kit18-one-of-three-levels"

    def own_levels(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return x_0.new_tensor([0.05, 0.15, 0.35])[(u >= 1 / 2).long() + (u >= 5 / 6).long()]


class LevelsOfTheRow(White):
    """The level of a row follows from its number."""

    name = "kit18-level-by-the-number-of-the-row"

    def own_levels(self, x_0, row, generator):
        return 0.1 + 0.05 * (row % 5).to(x_0)


class SkewLevels(White):
    """The level of a row is log-normal, cut off at 0.6; a tenth of the rows are clean."""

    name = "kit18-log-normal-levels"

    def own_levels(self, x_0, row, generator):
        z = standard_normal(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        clean = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1) < 0.1
        return torch.where(clean, 0.0, (0.15 * (0.6 * z).exp()).clamp(max=0.6))


class Waves(White):
    """A level for each value, which goes up and down along the row, and another size for each row."""

    name = "kit18-levels-in-waves"

    def own_levels(self, x_0, row, generator):
        size = 0.1 + 0.2 * uniform(x_0.new_empty(len(x_0), 1), generator)
        place = torch.arange(x_0[0].numel(), device=x_0.device).to(x_0)
        return (size * (1 + 0.5 * (2.4 * place).sin())).reshape(x_0.shape)


class Wide(Gaussian):
    """Levels from 0 to 0.5, and half of the rows clean."""

    name = "kit18-wide-range-half-clean"

    sigma_n: tuple[float, float] = (0.0, 0.5)
    """Simulated noise std."""
    clean_share: float = 0.5
    """Share of clean rows."""


class Patterned(Mask):
    """Masks of another pattern, in steps: `first` says what is measured, `further` what a view shows of it."""

    name = "kit18-base-patterned"

    def draw(self, like, hidden, generator):
        """bool, like the mask of rows `like`; false with the chance `hidden`."""
        raise NotImplementedError

    def first(self, like, generator):
        return self.draw(like, self.missing, generator)

    def further(self, seen, like, generator):
        return seen & self.draw(like, self.drop, generator)

    def chance(self, view, batch):
        """P(a value was measured | the view hides it)."""
        q, d = (torch.tensor(value, dtype=torch.float64) for value in (1 - self.missing, self.drop))
        return chance_of_seen(q, d).to(batch.x_n)

    def observe(self, x_0, row, generator):
        sigma_n = draw_levels(x_0, self.sigma_n, generator)
        noisy = x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator)
        seen = self.first(x_0, generator)
        return Batch(torch.where(seen, noisy, 0.0), sigma_n, row, {"mask": seen})

    def degrade(self, batch, sigma, generator):
        return self._view(batch, sigma, self.further(self._seen(batch), batch.x_n, generator), generator)

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.chance(view, batch)
        known = torch.where(view.cond["mask"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self._seen(batch), known, torch.zeros_like(known))


class InRuns(Patterned):
    """Values are hidden in pairs of neighbours along the row, whose first place is random."""

    name = "kit18-mask-pairs-of-neighbours"

    missing: float = 0.3
    """Chance of a pair to be missing."""
    drop: float = 0.3
    """Chance of a pair to be hidden on top."""

    def draw(self, like, hidden, generator):
        shape = (len(like), *self._shape(like))
        size = math.prod(shape[1:])
        of_pair = uniform(like.new_empty(len(like), size // 2 + 1), generator) >= hidden
        turn = (uniform(like.new_empty(len(like), 1), generator) * 2).long().clamp(max=1)
        place = (torch.arange(size, device=like.device) + turn) // 2
        return of_pair.gather(1, place).reshape(shape)


class EachChannel(Patterned):
    """Each value of each channel is missing by itself, and what is measured has noise."""

    name = "kit18-mask-channels-apart"

    missing: float = 0.3
    """Chance of a value to be missing."""
    drop: float = 0.25
    """Chance of a value to be hidden on top."""
    sigma_n: float = 0.1
    """Noise of what is measured."""

    def draw(self, like, hidden, generator):
        return uniform(like, generator) >= hidden

    @staticmethod
    def _shape(x):
        return tuple(x.shape[1:])


class FixedNumber(Patterned):
    """A fixed number of places is missing, and a view hides a fixed share of those that were measured, at least one."""

    name = "kit18-mask-fixed-number"

    missing: float = 0.25
    """Share of the places that is missing."""
    drop: float = 0.3
    """Share of the measured places that a view hides."""

    def lowest(self, order, count):
        """True for all but the `count` (B,) lowest of each row of random numbers."""
        return order.argsort(1).argsort(1) >= count.unsqueeze(1)

    def first(self, like, generator):
        order = uniform(like.new_empty(len(like), math.prod(self._shape(like))), generator)
        count = torch.full((len(like),), round(self.missing * order.shape[1]), device=like.device)
        return self.lowest(order, count).reshape(len(like), *self._shape(like))

    def counts(self, seen):
        """(B,), measured places, and how many of them a view hides."""
        measured = seen.flatten(1).sum(1)
        return measured, (self.drop * measured).round().long().clamp(min=1).minimum(measured)

    def further(self, seen, like, generator):
        order = uniform(like.new_empty(len(like), seen[0].numel()), generator)
        order = torch.where(seen.flatten(1), order, 2.0)
        return seen & self.lowest(order, self.counts(seen)[1]).reshape(seen.shape)

    def chance(self, view, batch):
        seen = self._seen(batch)
        measured, hidden = self.counts(seen)
        share = hidden / (seen[0].numel() - measured + hidden).clamp(min=1)
        return per_row(share.clamp(min=1e-3).to(batch.x_n), batch.x_n)


class Columns(Mask):
    """Columns are missing but for the middle half, with noise of an own level in each row."""

    name = "kit18-mask-columns-beside-the-middle"

    kind: Literal["columns"] = "columns"
    """What is hidden together."""
    centre: float = 0.5
    """Share of the columns that is never missing."""
    missing: float = 0.5
    """Chance of a column to be missing."""
    drop: float = 0.5
    """Chance of a column to be hidden on top."""
    sigma_n: tuple[float, float] = (0.0, 0.3)
    """Noise of what is measured."""


class Flat(Operator):
    """An orthonormal or other matrix on flattened rows, whose shape stays; `matrix` makes it."""

    name = "kit18-base-flat"

    def matrix(self, size):
        """(size, size), float64."""
        raise NotImplementedError

    def forward(self, x, given):
        return (x.flatten(1) @ self.matrix(math.prod(x.shape[1:])).to(x).T).reshape(x.shape)

    def adjoint(self, y, given):
        return (y.flatten(1) @ self.matrix(math.prod(y.shape[1:])).to(y)).reshape(y.shape)


class Haar(Flat):
    """One level of Haar's wavelets along the row; a last odd value stays."""

    name = "kit18-haar"
    orthonormal = True

    def matrix(self, size):
        found = torch.eye(size, dtype=torch.float64)
        for i in range(0, size - 1, 2):
            found[i : i + 2, i : i + 2] = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / math.sqrt(2)
        return found


class Cosines(Flat):
    """The orthonormal cosine transform (DCT-II)."""

    name = "kit18-cosines"
    orthonormal = True

    def matrix(self, size):
        place = torch.arange(size, dtype=torch.float64)
        found = (math.pi / size * (place + 0.5) * place.unsqueeze(1)).cos() * math.sqrt(2 / size)
        found[0] /= math.sqrt(2)
        return found


class SignedOrder(Flat):
    """Values in reverse order, every second negative."""

    name = "kit18-signed-order"
    orthonormal = True

    def matrix(self, size):
        return torch.diag((-1.0) ** torch.arange(size, dtype=torch.float64)).flip(0)


class NeighbourSums(Flat):
    """Each value and half of the next one, round the end."""

    name = "kit18-neighbour-sums"

    def matrix(self, size):
        return torch.eye(size, dtype=torch.float64) + 0.5 * torch.eye(size, dtype=torch.float64).roll(1, 1)


class Measured(Linear):
    """Rows through an operator of one's own."""

    name = "kit18-base-measured"


class ByHaar(Measured):
    """Haar's wavelets, measured in part, without noise."""

    name = "kit18-linear-haar"

    operator: SerializeAsAny[Operator] = Field(Haar(), validate_default=False)
    """A."""
    missing: float = 0.2
    """Chance of a measurement to be missing."""


class ByCosines(Measured):
    """Cosines, measured in part, with noise between 0.05 and 0.2."""

    name = "kit18-linear-cosines"

    operator: SerializeAsAny[Operator] = Field(Cosines(), validate_default=False)
    """A."""
    missing: float = 0.3
    """Chance of a measurement to be missing."""
    drop: float = 0.5
    """Chance to be hidden on top."""
    sigma_n: tuple[float, float] = (0.05, 0.2)
    """Noise of measurements."""


class BySignedOrder(Measured):
    """Values in another order and sign, all measured, most hidden in each step."""

    name = "kit18-linear-signed-order"

    operator: SerializeAsAny[Operator] = Field(SignedOrder(), validate_default=False)
    """A."""
    drop: float = 0.7
    """Chance of a measurement to be hidden."""
    sigma_n: float = 0.1
    """Noise of measurements."""


class BySums(Measured):
    """Sums of neighbours, measured in part, with noise."""

    name = "kit18-linear-neighbour-sums"

    operator: SerializeAsAny[Operator] = Field(NeighbourSums(), validate_default=False)
    """A."""
    missing: float = 0.1
    """Chance of a measurement to be missing."""
    drop: float = 0.4
    """Chance to be hidden on top."""
    sigma_n: float = 0.05
    """Noise of measurements."""


OPERATORS = ("Flat", "Haar", "Cosines", "SignedOrder", "NeighbourSums")
RIGHT = final(globals(), "White", "Patterned", "Measured", *OPERATORS)
