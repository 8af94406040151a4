"""Wrong corruptions of missing values and of measurements through an operator."""

from __future__ import annotations

import torch
from pydantic import Field

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.masks import Kind, draw_mask
from ambientkit.maths.noise import uniform
from tests.verification.nineteenth_kit.bases import listed


class TellsWhatIsHidden(Mask):
    """The denoiser is told what is hidden, as codes of inpainting do, and all else takes it the right way round."""

    name = "kit19-tells-what-is-hidden"

    @staticmethod
    def turned(view):
        return view._replace(cond={**view.cond, "mask": ~view.cond["mask"]})

    def _view(self, batch, sigma, shown, generator):
        return self.turned(super()._view(batch, sigma, shown, generator))

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat, self.turned(view), batch)

    def weight(self, view, batch, cap, hidden):
        return Mask(**dict(self)).weight(self.turned(view), batch, cap, hidden)


class DropIsKept(Mask):
    """A step keeps the share `drop` and hides the rest, and weighs as if it hid `drop`."""

    name = "kit19-drop-is-the-share-kept"

    def degrade(self, batch, sigma, generator):
        further = draw_mask(batch.x_n, self.kind, 1 - self.drop, generator)
        return self._view(batch, sigma, self._seen(batch) & further, generator)


class HidesTheBrightest(Mask):
    """A step hides bright values more often than dark ones, as they are worth more: the mask tells of the picture."""

    name = "kit19-hides-bright-values-more-often"

    def degrade(self, batch, sigma, generator):
        bright = batch.x_n.mean(1, keepdim=True) if batch.x_n.ndim > 2 else batch.x_n
        kept = uniform(bright, generator) >= self.drop * (1 + (3 * bright).tanh())
        return self._view(batch, sigma, self._seen(batch) & kept, generator)


class MissingWhereSaturated(Mask):
    """Values that are saturated are missing in `observe`, besides those at random: the mask tells of the picture."""

    name = "kit19-missing-where-saturated"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        bright = (x_0.mean(1, keepdim=True) if x_0.ndim > 2 else x_0) > 0.5
        seen = found.cond["mask"] & ~bright
        return found._replace(x_n=torch.where(seen, found.x_n, 0.0), cond={"mask": seen})


class ChanceWithoutCentre(Mask):
    """Weights of hidden columns forget that the middle is never missing."""

    name = "kit19-weight-forgets-the-centre"

    kind: Kind = "columns"
    centre: float = Field(0.5, ge=0, le=1)

    def weight(self, view, batch, cap, hidden):
        return Mask(**{**dict(self), "centre": 0.0}).weight(view, batch, cap, hidden)


class WeightOfPixels(Mask):
    """Boxes are weighted as single pixels are, by one chance for all places, though the middle is hidden most."""

    name = "kit19-boxes-weigh-as-pixels"

    kind: Kind = "boxes"
    missing: float = Field(0.3, ge=0, lt=1)

    def weight(self, view, batch, cap, hidden):
        return Mask(**{**dict(self), "kind": "pixels"}).weight(view, batch, cap, hidden)


class HiddenWithCap(Mask):
    """Weights of hidden values are bounded by 3, so that rare ones count too little."""

    name = "kit19-hidden-weights-of-three-at-most"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        return torch.where(view.cond["mask"], found, found.clamp(max=3))


class LevelBeforeTheTopUp(Mask):
    """Where a step hides nothing of a row, the row is shown without the noise that is missing."""

    name = "kit19-whole-rows-not-topped-up"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        hidden = self._seen(batch) & ~view.cond["mask"]
        whole = ~hidden.flatten(1).any(1).reshape(-1, *[1] * (view.x.ndim - 1))
        return view._replace(x=torch.where(whole & view.cond["mask"], batch.x_n, view.x))


class FarValuesNeverHidden(Mask):
    """The last value or line is never hidden by a step: a range ends one too early."""

    name = "kit19-last-place-never-hidden"

    def degrade(self, batch, sigma, generator):
        further = draw_mask(batch.x_n, self.kind, self.drop, generator).expand_as(self._seen(batch)).clone()
        further[..., -1] = True
        return self._view(batch, sigma, self._seen(batch) & further, generator)


class RowsAreShifted(Mask):
    """The mask of a view lies one value beside the values that were put to 0."""

    name = "kit19-mask-told-one-place-beside"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "mask": view.cond["mask"].roll(1, -1) & self._seen(batch)})


class MixesHiddenMeasurements(Linear):
    """Hidden measurements are expected as a A h + b y_t with y_t = 0, as those that are shown."""

    name = "kit19-mixes-hidden-measurements"

    sigma_n: float = 0.2

    def expect(self, x_0_hat, view, batch):
        every = torch.ones_like(view.cond["sampled"])
        return super().expect(x_0_hat, view._replace(cond={**view.cond, "sampled": every}), batch)


class HoldsWhatIsHidden(Linear):
    """The condition "measured" of a view holds all measurements, also those that it is said to hide."""

    name = "kit19-measured-holds-what-is-hidden"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        shown = view.cond["sampled"]
        y = torch.where(shown, view.cond["measured"], batch.x_n)
        return view._replace(cond={**view.cond, "measured": y})


class AdjointByHalf(Linear):
    """Views are A^T y_t over the share of measurements that are shown, as a mean, not the adjoint."""

    name = "kit19-adjoint-over-the-share-shown"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        share = view.cond["sampled"].double().flatten(1).mean(1).clamp(min=0.1).to(view.x.dtype)
        return view._replace(x=view.x / share.reshape(-1, *[1] * (view.x.ndim - 1)))


class OperatorTwice(Linear):
    """`expect` applies A^T A in the place of A: the estimate was measured as the view is made."""

    name = "kit19-expects-through-the-operator-twice"

    def expect(self, x_0_hat, view, batch):
        y = self.operator.forward(x_0_hat, self._given(batch))
        return super().expect(self.operator.adjoint(y, self._given(batch)), view, batch)


class ScaledExpectation(Linear):
    """`expect` measures with an operator a tenth weaker, its kernel's sum left as it was before a change."""

    name = "kit19-expects-a-tenth-weaker"

    def expect(self, x_0_hat, view, batch):
        return super().expect(0.9 * x_0_hat, view, batch)


WRONG = listed(globals())
