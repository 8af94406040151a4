"""Wrong corruptions that hide a part of each row: masks, and operators."""

from __future__ import annotations

import torch
from pydantic import Field, SerializeAsAny

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import capped_inverse_square, clean_std
from ambientkit.maths.masks import chance_of_hiding, chance_of_seen, draw_mask
from ambientkit.maths.noise import highest_level, per_row, uniform
from ambientkit.operators import Operator


class SwappedChances(Mask):
    """Its weights take `missing` for `drop` and the other way round."""

    name = "kit11-swapped-chances"

    def weight(self, view, batch, cap, hidden):
        other = Mask(kind=self.kind, missing=self.drop, drop=max(self.missing, 0.01), sigma_n=self.sigma_n)
        return other.weight(view, batch, cap, hidden)


class ExactCount(Mask):
    """Hides exactly round(drop n) pixels: none of fewer than five, while the weights count on `drop`."""

    name = "kit11-exact-count"

    def degrade(self, batch, sigma, generator):
        seen = self._seen(batch)
        size = seen[0].numel()
        u = uniform(torch.empty(len(seen), size, dtype=batch.x_n.dtype), generator)
        rank = u.argsort(1).argsort(1).reshape(seen.shape)
        return self._view(batch, sigma, seen & (rank >= round(self.drop * size)), generator)


class BySquare(Mask):
    """Draws what it hides on top in a square of the height, so that the right of a wide picture is always shown."""

    name = "kit11-by-square"

    def degrade(self, batch, sigma, generator):
        fresh = draw_mask(batch.x_n, self.kind, self.drop, generator).expand(len(batch.x_n), *self._shape(batch.x_n))
        if batch.x_n.ndim == 4 and batch.x_n.shape[3] > batch.x_n.shape[2]:
            fresh = fresh.clone()
            fresh[..., batch.x_n.shape[2] :] = True
        return self._view(batch, sigma, self._seen(batch) & fresh, generator)


class FloorOfMissing(Mask):
    """The floor counts the levels of values that were not measured, which files set to anything."""

    name = "kit11-floor-of-missing"

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class LeaksMeasured(Mask):
    """Hands on what was measured, hidden values and all, as one more condition."""

    name = "kit11-leaks-measured"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "measured": batch.x_n})


class Saturated(Mask):
    """Bright values are missing more often, so that the mask depends on the picture and says something of it."""

    name = "kit11-saturated"

    def observe(self, x_0, row, generator):
        made = super().observe(x_0, row, generator)
        bright = (x_0[:, :1] if x_0.ndim > 2 else x_0) > 0.8
        seen = made.cond["mask"] & ~(bright & (uniform(bright.to(x_0.dtype), generator) < 0.3))
        return made._replace(x_n=torch.where(seen, made.x_n, 0.0), cond={"mask": seen})


class StdOfZeros(Mask):
    """clean_std counts the zeros that stand for missing values."""

    name = "kit11-std-of-zeros"

    def clean_std(self, batch):
        return clean_std(batch.x_n, batch.sigma_n)


class LostInAny(Mask):
    """Says that a value is lost where any row lacks it, not where all do."""

    name = "kit11-lost-in-any"

    def unseen(self, batch):
        lost = (~self._seen(batch)).flatten(1).any(0)
        return f"{int(lost.sum())} values are missing" if lost.any() and not self.allow_unseen else ""


class HidesTwice(Mask):
    """Hides twice on top, by two draws, while the weights count on one."""

    name = "kit11-hides-twice"

    def degrade(self, batch, sigma, generator):
        seen = self._seen(batch)
        for _ in range(2):
            seen = seen & draw_mask(batch.x_n, self.kind, self.drop, generator)
        return self._view(batch, sigma, seen, generator)


class ShowsFewer(Mask):
    """show hides some as well: a row is restored from less than was measured of it."""

    name = "kit11-shows-fewer"

    def show(self, batch, sigma, generator):
        return self.degrade(batch, sigma, generator)


class HiddenAsShown(Mask):
    """Gives hidden values the weight of shown ones, without dividing by their chance."""

    name = "kit11-hidden-as-shown"

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        found = capped_inverse_square(a, per_row(cap, a))
        return torch.where(self._seen(batch), found, torch.zeros_like(found))


class UnevenChance(Mask):
    """Forgets that a value is measured by chance: divides by drop alone."""

    name = "kit11-uneven-chance"

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        d = chance_of_hiding(a, self.kind, self.drop)
        chance = chance_of_seen(torch.full_like(d, 0.999), d).to(a.dtype)
        known = torch.where(view.cond["mask"], capped_inverse_square(a, per_row(cap, a)), per_row(hidden, a) / chance)
        return torch.where(self._seen(batch), known, torch.zeros_like(known))


class Through(Linear):
    """Measurements through the operator of the class."""

    name = "kit11-through"


class Slopes(Operator):
    """Differences of neighbours along a row, whose transpose closes the row to a ring."""

    name = "kit11-slopes"

    def forward(self, x, given):
        return torch.cat([x[..., :1], x.diff(dim=-1)], dim=-1)

    def adjoint(self, y, given):
        return y - y.roll(-1, -1)


class ThroughSlopes(Through):
    """Differences whose transpose is that of differences round a ring: wrong at the last value."""

    name = "kit11-through-slopes"
    operator: SerializeAsAny[Operator] = Field(Slopes(), validate_default=False)


class Shifted(Operator):
    """A centred orthonormal transform of cosines would be even; this one shifts by half, and back the wrong way."""

    name = "kit11-shifted"

    def forward(self, x, given):
        return torch.fft.fftshift(x, dim=-1)

    def adjoint(self, y, given):
        return torch.fft.fftshift(y, dim=-1)


class ThroughShift(Through):
    """fftshift is taken for its own inverse, which it is for even sizes alone."""

    name = "kit11-through-shift"
    operator: SerializeAsAny[Operator] = Field(Shifted(), validate_default=False)


class Colours(Operator):
    """Luminance and two differences of colour, for three channels; other rows as they are."""

    name = "kit11-colours"

    def matrix(self, like):
        """(3, 3)."""
        return torch.tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]]).to(like)

    def forward(self, x, given):
        return torch.einsum("ij,bj...->bi...", self.matrix(x), x) if x.ndim == 4 and x.shape[1] == 3 else x.clone()

    def adjoint(self, y, given):
        return torch.einsum("ij,bj...->bi...", self.matrix(y), y) if y.ndim == 4 and y.shape[1] == 3 else y.clone()


class ThroughColours(Through):
    """The transpose of a matrix of colours is the matrix itself: wrong for three channels, the only ones it changes."""

    name = "kit11-through-colours"
    operator: SerializeAsAny[Operator] = Field(Colours(), validate_default=False)


class Saturates(Operator):
    """A blur of two values, cut off at 3."""

    name = "kit11-saturates"

    def forward(self, x, given):
        return ((x + x.roll(1, -1)) / 2).clamp(-3, 3)

    def adjoint(self, y, given):
        return (y + y.roll(-1, -1)) / 2


class ThroughSaturation(Through):
    """A detector that saturates at 3 is not linear."""

    name = "kit11-through-saturation"
    operator: SerializeAsAny[Operator] = Field(Saturates(), validate_default=False)


class Sums(Operator):
    """Means of two neighbours, every second one: the transpose repeats them and forgets the half."""

    name = "kit11-sums"

    def forward(self, x, given):
        even = x[..., : x.shape[-1] // 2 * 2]
        return even.unflatten(-1, (-1, 2)).mean(-1)

    def adjoint(self, y, given):
        return y.repeat_interleave(2, -1)


class ThroughSums(Through):
    """The transpose of a mean of two repeats it without the half."""

    name = "kit11-through-sums"
    operator: SerializeAsAny[Operator] = Field(Sums(), validate_default=False)


class ExpectsAdjoint(Linear):
    """expect takes the answer through A twice where the view hides a measurement."""

    name = "kit11-expects-adjoint"

    def expect(self, x_0_hat, view, batch):
        found = super().expect(x_0_hat, view, batch)
        again = self.operator.forward(x_0_hat, {})
        again = self.operator.forward(self.operator.adjoint(again, {}), {})
        return torch.where(view.cond["sampled"] | (found == 0), found, again)


class NoiseBefore(Linear):
    """Adds the noise to the picture and measures that: the noise of measurements is blurred."""

    name = "kit11-noise-before"
    sigma_n: float = Field(0.2, ge=0)
    """Std of the noise."""

    def observe(self, x_0, row, generator):
        made = super().observe(torch.zeros_like(x_0), row, generator)
        noise = made.x_n
        y = self.operator.forward(x_0 + noise, {}) if noise.shape == x_0.shape else made.x_n
        return made._replace(x_n=torch.where(made.cond["sampled"], y, 0.0))


class AdjointOfAll(Linear):
    """The view is the transpose of all measurements, those that it says it hides too."""

    name = "kit11-adjoint-of-all"

    def degrade(self, batch: Batch, sigma, generator) -> View:
        view = super().degrade(batch, sigma, generator)
        whole = self.show(batch, sigma, generator)
        return view._replace(x=whole.x)
