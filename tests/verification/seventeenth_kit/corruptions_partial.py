"""Wrong corruptions that hide a part of their rows."""

from __future__ import annotations

import torch

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import clean_std, tweedie_mix
from ambientkit.maths.masks import Kind, draw_mask
from ambientkit.maths.noise import per_row, standard_normal


class TellsTheRow(Mask):
    """The condition "mask" of a view is the mask of the row: values that the step hid seem to be 0."""

    name = "kit17-mask-of-the-row-is-told"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "mask": self._seen(batch)})


class Fresh(Mask):
    """The mask of a view is drawn anew, and shows zeros that nobody measured."""

    name = "kit17-mask-not-within-the-row-s"

    def degrade(self, batch, sigma, generator):
        shown = draw_mask(batch.x_n, self.kind, self.drop, generator).expand_as(self._seen(batch))
        return self._view(batch, sigma, shown, generator)


class OneMask(Mask):
    """All rows of a call have one further mask."""

    name = "kit17-one-further-mask-for-the-batch"

    def degrade(self, batch, sigma, generator):
        one = draw_mask(batch.x_n, self.kind, self.drop, generator)[:1]
        return self._view(batch, sigma, self._seen(batch) & one, generator)


class KeyedMask(Mask):
    """The further mask is keyed by the row: what it hides is never shown."""

    name = "kit17-further-mask-keyed-by-the-row"

    def degrade(self, batch, sigma, generator):
        own = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        return self._view(batch, sigma, self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, own), generator)


class NotBoth(Mask):
    """What is seen is the exclusive or of the two masks, not their product."""

    name = "kit17-masks-by-exclusive-or"

    def degrade(self, batch, sigma, generator):
        further = draw_mask(batch.x_n, self.kind, self.drop, generator)
        return self._view(batch, sigma, self._seen(batch) ^ ~further, generator)


class MiddleAlways(Mask):
    """The lines in the middle, which every row has, are never hidden by a step: nothing teaches to fill them in."""

    name = "kit17-middle-never-hidden"

    kind: Kind = "columns"
    """What is hidden together."""
    centre: float = 0.3
    """Share of the lines in the middle that are never missing."""

    def degrade(self, batch, sigma, generator):
        further = draw_mask(batch.x_n, self.kind, self.drop, generator, self.centre)
        return self._view(batch, sigma, self._seen(batch) & further, generator)


class ShowsLess(Mask):
    """`show` hides more, as `degrade` does: rows are restored from a part of what is known."""

    name = "kit17-show-hides-more"

    def show(self, batch, sigma, generator):
        return self.degrade(batch, sigma, generator)


class FilledWithNoise(Mask):
    """Hidden values of a view are noise of its level, where 0 is promised."""

    name = "kit17-hidden-values-are-noise"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        noise = per_row(sigma, batch.x_n) * standard_normal(batch.x_n, generator)
        return view._replace(x=torch.where(view.cond["mask"], view.x, noise.to(view.x)))


class FilledWithMean(Mask):
    """Hidden values of a view are the mean of those that are seen."""

    name = "kit17-hidden-values-are-the-mean"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        mask = view.cond["mask"].expand_as(view.x)
        mean = view.x.flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)
        return view._replace(x=torch.where(mask, view.x, per_row(mean, view.x)))


class MixedEverywhere(Mask):
    """`expect` mixes hidden values too, though x_t says nothing of them: a h in the place of h."""

    name = "kit17-expects-hidden-values-mixed"

    sigma_n: float = 0.2
    """Simulated noise std of what is there."""

    def expect(self, x_0_hat, view, batch):
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self._level(batch))
        return torch.where(self._seen(batch), mixed, torch.zeros_like(mixed))


class ExpectsTheMissing(Mask):
    """`expect` answers with x_0 where nothing was measured, so that zeros there are learned."""

    name = "kit17-expects-what-is-missing"

    def expect(self, x_0_hat, view, batch):
        mixed = tweedie_mix(x_0_hat, view.x, view.sigma, self._level(batch))
        return torch.where(view.cond["mask"], mixed, x_0_hat)

    def weight(self, view, batch, cap, hidden):
        return super().weight(view, batch, cap, hidden).clamp(min=0.1)


class Chance(Mask):
    """A base: the weight of hidden values is divided by another chance."""

    name = "kit17-base-chance"

    def chance(self):
        q, d = 1 - self.missing, self.drop
        return q * d / (1 - q * (1 - d))

    def weight(self, view, batch, cap, hidden):
        q, d = 1 - self.missing, self.drop
        right = q * d / (1 - q * (1 - d))
        found = super().weight(view, batch, cap, hidden)
        return torch.where(view.cond["mask"], found, found * right / self.chance())


class ChanceOne(Chance):
    """The weight of hidden values is not divided by the chance that they were measured."""

    name = "kit17-hidden-not-over-their-chance"

    def chance(self):
        return 1.0


class ChanceDrop(Chance):
    """Hidden values are divided by d, the chance of being hidden on top, not by that of having been measured."""

    name = "kit17-hidden-over-drop"

    def chance(self):
        return self.drop


class ChanceJoint(Chance):
    """Hidden values are divided by q d, the joint chance, without its condition: twice too much."""

    name = "kit17-hidden-over-the-joint-chance"

    def chance(self):
        return (1 - self.missing) * self.drop


class MissingIsKept(Mask):
    """`missing` is taken for the share that is kept."""

    name = "kit17-missing-is-the-share-kept"

    def observe(self, x_0, row, generator):
        return Mask(**{**self.model_dump(), "missing": 1 - self.missing}).observe(x_0, row, generator)


class StdOfZeros(Mask):
    """`clean_std` counts the zeros of missing values."""

    name = "kit17-clean-std-counts-the-missing"

    def clean_std(self, batch):
        return clean_std(batch.x_n, batch.sigma_n)


class ShowsAll(Linear):
    """The picture of a view is made of all measurements, its mask of fewer: what is hidden is read off."""

    name = "kit17-view-of-all-measurements"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=self.operator.adjoint(batch.x_n, self._given(batch)).to(view.x))


class MeasuredAsItWas(Linear):
    """The condition "measured" is the observation, not its noisier version."""

    name = "kit17-measured-is-the-observation"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "measured": batch.x_n})


class NoOperator(Linear):
    """`expect` compares the picture with its measurement: the operator is left out, as shapes agree for a blur."""

    name = "kit17-expects-without-the-operator"

    def expect(self, x_0_hat, view, batch):
        known = torch.where(
            view.cond["sampled"], tweedie_mix(x_0_hat, view.cond["measured"], view.sigma, batch.sigma_n), x_0_hat
        )
        return super().expect(x_0_hat, view, batch) if known.shape != batch.x_n.shape else known


class NoiseBefore(Linear):
    """Noise is added to the picture, and blurred with it, where the noise of measurements is white."""

    name = "kit17-noise-before-the-operator"

    sigma_n: float = 0.2
    """Simulated noise std of the measurements."""

    def observe(self, x_0, row, generator):
        noisy = x_0 + self.sigma_n * standard_normal(x_0, generator)
        clean = Linear(**{**self.model_dump(), "sigma_n": 0.0}).observe(noisy, row, generator)
        return clean._replace(sigma_n=torch.full_like(clean.sigma_n, self.sigma_n))


class HiddenAlike(Linear):
    """Hidden measurements weigh as those that are shown."""

    name = "kit17-measurements-weigh-alike"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        shown = view.cond["sampled"].expand_as(found)
        return torch.where(shown | (found == 0), found, torch.ones_like(found))


BASES = (Chance, Linear, Mask)
WRONG = [
    value()
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, (Mask, Linear)) and value not in BASES
]
