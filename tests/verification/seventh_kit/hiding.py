"""Wrong corruptions that hide values, and measurements through operators."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, SerializeAsAny
from torch import Generator, Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.masks import chance_of_hiding, chance_of_seen, draw_mask
from ambientkit.maths.noise import RandomSource, highest_level, per_row, uniform
from ambientkit.operators import Operator
from ambientkit.operators.blur import Blur


class FurtherFrozen(Mask):
    """What a view hides on top is keyed by the row, the same in all epochs."""

    name = "seven-further-frozen"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A~ x_t."""
        sources = [Generator(batch.x_n.device).manual_seed(int(row)) for row in batch.row]
        hidden = draw_mask(batch.x_n, self.kind, self.drop, sources)
        return self._view(batch, sigma, self._seen(batch) & hidden, generator)


class HidesBright(Mask):
    """Bright values are missing more often than dark ones, as where a sensor saturates."""

    name = "seven-hides-bright"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """A (x_0 + sigma_n z)."""
        batch = super().observe(x_0, row, generator)
        one = x_0[:, :1] if x_0.ndim > 2 else x_0
        lost = (one > 0.5) & (uniform(one, generator) < 0.3)
        seen = batch.cond["mask"] & ~lost
        return batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={"mask": seen})


class ShowsHidden(Mask):
    """Values that a view hides stay in it, under a mask that says that they are hidden."""

    name = "seven-shows-hidden"

    def _view(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        whole = super()._view(batch, sigma, self._seen(batch), generator)
        return whole._replace(cond={**batch.cond, "mask": shown})


class WeightByShare(Mask):
    """A hidden value counts one over the share that was measured, not over the chance given that the view hides it."""

    name = "seven-weight-by-share"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """By value."""
        own = super().weight(view, batch, cap, hidden)
        unseen = self._seen(batch) & ~view.cond["mask"]
        return torch.where(unseen, per_row(hidden.to(own.dtype), own) / (1 - self.missing), own)


class WeightSwapped(Mask):
    """The chance of a hidden value is taken with `missing` and `drop` in each other's place."""

    name = "seven-weight-swapped"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """By value."""
        other = type(self).model_construct(**{**self.__dict__, "missing": self.drop, "drop": self.missing})
        return Mask.weight(other, view, batch, cap, hidden)


class WeightWithoutCentre(Mask):
    """The chance of a hidden value forgets the lines in the middle, which are always measured."""

    name = "seven-weight-without-centre"
    kind: str = "columns"
    centre: float = 0.4

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """By value."""
        own = super().weight(view, batch, cap, hidden)
        q = 1 - chance_of_hiding(own, self.kind, self.missing)
        chance = chance_of_seen(q, chance_of_hiding(own, self.kind, self.drop)).to(own.dtype)
        unseen = self._seen(batch) & ~view.cond["mask"]
        return torch.where(unseen, per_row(hidden.to(own.dtype), own) / chance, own)


class ExpectsHidden(Mask):
    """`expect` mixes values that the view hides with the 0 that stands in it: a h + b 0."""

    name = "seven-expects-hidden"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """By value."""
        shown = view._replace(cond={**view.cond, "mask": self._seen(batch)})
        return super().expect(x_0_hat, shown, batch)


class ExpectsMissing(Mask):
    """`expect` gives the estimate for values that were never measured, where the observation holds 0."""

    name = "seven-expects-missing"

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """By value."""
        return torch.where(self._seen(batch), super().expect(x_0_hat, view, batch), x_0_hat)


class FloorOfMissing(Mask):
    """Where noise is given per pixel, the floor counts pixels that were not measured."""

    name = "seven-floor-of-missing"

    def floor(self, batch: Batch) -> Tensor:
        """(B,)."""
        return highest_level(batch.sigma_n, batch.x_n)


class ViewSaysRow(Mask):
    """A view says the mask of its row, though it hides more."""

    name = "seven-view-says-row"

    def _view(self, batch: Batch, sigma: Tensor, shown: Tensor, generator: RandomSource) -> View:
        return super()._view(batch, sigma, shown, generator)._replace(cond=dict(batch.cond))


class ShowHidesMore(Mask):
    """`show` hides values on top as a training step does, so that a row is restored from less than it holds."""

    name = "seven-show-hides-more"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A x_t."""
        return self.degrade(batch, sigma, generator)


class OneSided(Operator):
    """A x = 0.7 x + 0.3 x of the value before it, periodic; its transpose would take the value after it."""

    name = "seven-one-sided"

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A x."""
        return 0.7 * x + 0.3 * x.roll(1, -1)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A^T y, as it should be."""
        return self.forward(y, given)


class ForwardForAdjoint(Linear):
    """A blur to one side is carried back by itself, not by its transpose."""

    name = "seven-forward-for-adjoint"
    operator: SerializeAsAny[Operator] = Field(OneSided(), validate_default=False)


class NoiseBeforeLens(Linear):
    """The noise is added to the picture before it is measured, so that it is blurred as well."""

    name = "seven-noise-before-lens"
    operator: SerializeAsAny[Operator] = Field(Blur(width=0.6), validate_default=False)
    sigma_n: float = 0.2

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """M A (x_0 + sigma_n z)."""
        batch = super().observe(x_0, row, generator)
        clean = self.operator.forward(x_0, {})
        z = torch.where(batch.cond["sampled"], batch.x_n - clean, 0.0)
        noisy = clean + self.operator.forward(z, {})
        return batch._replace(x_n=torch.where(batch.cond["sampled"], noisy, 0.0))


class HiddenWithA(Linear):
    """A measurement that the view hides is expected to be a A h, where A h is right."""

    name = "seven-hidden-with-a"
    sigma_n: float = 0.1

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """By measurement."""
        own = super().expect(x_0_hat, view, batch)
        a = 1 - (per_row(self.floor(batch), own) / per_row(view.sigma, own)) ** 2
        hidden = ~view.cond["sampled"].bool().expand_as(own)
        return torch.where(hidden, a * own, own)


class LessNoiseMeasured(Linear):
    """The condition "measured" holds the row's own measurements, which have less noise than the level says."""

    name = "seven-measured-too-well"
    sigma_n: float = 0.1

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t."""
        view = super().degrade(batch, sigma, generator)
        kept = torch.where(view.cond["sampled"], batch.x_n, 0.0)
        return view._replace(cond={**view.cond, "measured": kept})


class UnhiddenMeasured(Linear):
    """The condition "measured" also holds what the view hides, so that nothing has to be learned."""

    name = "seven-measured-unhidden"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t."""
        view = super().degrade(batch, sigma, generator)
        whole = torch.where(view.cond["sampled"], view.cond["measured"], batch.x_n)
        return view._replace(cond={**view.cond, "measured": whole})


PARTS = (
    FurtherFrozen,
    HidesBright,
    ShowsHidden,
    WeightByShare,
    WeightSwapped,
    WeightWithoutCentre,
    ExpectsHidden,
    ExpectsMissing,
    FloorOfMissing,
    ViewSaysRow,
    ShowHidesMore,
    ForwardForAdjoint,
    NoiseBeforeLens,
    HiddenWithA,
    LessNoiseMeasured,
    UnhiddenMeasured,
)
