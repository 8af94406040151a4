"""Wrong corruptions that hide a part of each row: masks and operators."""

from __future__ import annotations

import torch

from ambientkit.batch import View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.masks import chance_of_hiding, draw_mask
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.fifteenth_kit.bases import made
from tests.verification.fifteenth_kit.bases_other import Holes


class MaskFromTheNoise(Holes):
    """The mask of a row is made of its own noise, drawn once: values of high noise are missing."""

    name = "kit16-mask-from-the-noise"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        z = found.x_n - x_0
        quiet = (z.abs() < 2 * self.sigma_n)[:, :1] if x_0.ndim > 2 else z.abs() < 2 * self.sigma_n
        seen = found.cond["mask"] & quiet
        return found._replace(x_n=torch.where(seen, found.x_n, 0.0), cond={"mask": seen})


class SaturatedAreMissing(Holes):
    """Bright values are missing, as a detector saturates: the mask depends on the picture."""

    name = "kit16-bright-values-are-missing"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        dark = x_0 < 0.5
        dark = dark.all(1, keepdim=True) if x_0.ndim > 2 else dark
        seen = found.cond["mask"] & dark
        return found._replace(x_n=torch.where(seen, found.x_n, 0.0), cond={"mask": seen})


class HidesTheBright(Holes):
    """The further mask hides values by how bright they are, where there is "more to learn"."""

    name = "kit16-hides-the-bright-more-often"

    def further(self, batch, generator):
        bright = batch.x_n > 0.3
        bright = bright.any(1, keepdim=True) if batch.x_n.ndim > 2 else bright
        return super().further(batch, generator) & (super().further(batch, generator) | ~bright)


class FurtherOfTheFirst(Holes):
    """One further mask for the batch, that of its first row."""

    name = "kit16-one-further-mask-for-the-batch"

    def further(self, batch, generator):
        found = super().further(batch, generator)
        return found[:1].expand_as(found)


class FurtherByBatch(Holes):
    """The further mask is drawn by a generator seeded by the numbers of the rows, and is the same in each call."""

    name = "kit16-further-mask-by-row-number"

    def further(self, batch, generator):
        return super().further(batch, [torch.Generator().manual_seed(int(r)) for r in batch.row])


class FilledByMean(Holes):
    """Hidden values of a view hold the mean of those that are shown, not 0."""

    name = "kit16-hidden-filled-by-the-mean"

    def left(self, x_t, shown, batch):
        there = shown.to(x_t).expand_as(x_t)
        mean = (x_t * there).flatten(1).sum(1) / there.flatten(1).sum(1).clamp(min=1)
        return torch.where(shown, x_t, per_row(mean, x_t).expand_as(x_t))


class HiddenAreNoise(Holes):
    """Hidden values of a view hold noise of its level."""

    name = "kit16-hidden-filled-by-noise"

    def left(self, x_t, shown, batch):
        return torch.where(shown, x_t, x_t - batch.x_n)


class ScaledByShare(Holes):
    """Shown values are divided by the share that is shown, as dropout does."""

    name = "kit16-shown-over-their-share-as-dropout"

    def left(self, x_t, shown, batch):
        return torch.where(shown, x_t / (1 - self.hidden_share), 0.0)


class ShowsLess(Holes):
    """`show` hides more, as `degrade` does."""

    name = "kit16-show-is-degrade"

    def show(self, batch, sigma, generator):
        return self.degrade(batch, sigma, generator)


class ShowsTheWhole(Holes):
    """`show` says that everything is shown."""

    name = "kit16-show-tells-of-no-mask"

    def show(self, batch, sigma, generator):
        found = super().show(batch, sigma, generator)
        return found._replace(cond={**found.cond, "mask": torch.ones_like(found.cond["mask"])})


class MaskOfTheRow(Holes):
    """A view tells the mask of the row, and hides more."""

    name = "kit16-view-tells-the-row-s-mask"

    def view(self, batch, sigma, shown, generator):
        found = super().view(batch, sigma, shown, generator)
        return found._replace(cond={**found.cond, "mask": self.seen(batch)})


class FloorOfUnmeasured(Holes):
    """The floor looks at values that were not measured as well, whose level is a placeholder."""

    name = "kit16-floor-of-what-was-not-measured"

    def level(self, batch):
        return batch.sigma_n


class ExpectsUnmeasured(Holes):
    """`expect` gives x_0_hat where nothing was measured, and x_n is 0 there."""

    name = "kit16-expects-what-was-not-measured"

    def expect(self, x_0_hat, view, batch):
        return torch.where(self.seen(batch), super().expect(x_0_hat, view, batch), x_0_hat)


class MixesHidden(Holes):
    """Hidden values are mixed, a x_0_hat + b 0."""

    name = "kit16-hidden-values-shrunk-by-a"

    def hidden(self, x_0_hat, b, view):
        return (1 - b) * x_0_hat


class ChanceOfBoth(Holes):
    """P(measured | hidden) as q d / (1 - q d)."""

    name = "kit16-chance-over-one-minus-q-d"

    def chance(self, a):
        q = 1 - chance_of_hiding(a, self.kind, self.missing_share)
        d = chance_of_hiding(a, self.kind, self.hidden_share)
        return q * d / (1 - q * d)


class ChanceSwapped(Holes):
    """The chance with q as the share that is missing."""

    name = "kit16-chance-with-q-the-missing-share"

    def chance(self, a):
        q, d = chance_of_hiding(a, self.kind, self.missing_share), chance_of_hiding(a, self.kind, self.hidden_share)
        return q * d / (1 - q * (1 - d))


class ChanceMeasured(Mask):
    """The weight of hidden columns does not know of those in the middle that are never missing."""

    name = "kit16-chance-without-the-centre"
    kind: str = "columns"
    centre: float = 0.34
    drop: float = 0.2

    def weight(self, view, batch, cap, hidden):
        return (
            self.model_copy(update={"centre": 0.0}).weight(view, batch, cap, hidden)
            if self.centre
            else super().weight(view, batch, cap, hidden)
        )


class WeighsUnmeasured(Holes):
    """Values that were not measured weigh as hidden ones."""

    name = "kit16-weighs-what-was-not-measured"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        return torch.where(self.seen(batch), found, per_row(hidden.to(found.dtype), found).expand_as(found))


class UnseenOfTheFirst(Holes):
    """`unseen` looks at the first row alone, which lacks values that others have."""

    name = "kit16-unseen-by-the-first-row"

    def unseen(self, batch):
        lost = ~self.seen(batch)[0]
        return f"{int(lost.sum())} values are missing" if bool(lost.any()) else ""


class StdWithHoles(Holes):
    """`clean_std` counts values that were not measured as 0."""

    name = "kit16-clean-std-with-the-holes"

    def clean_std(self, batch):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        return float((batch.x_n.double().var() - level.double().square().mean()).clamp(min=0).sqrt())


class MasksChannels(Holes):
    """The further mask is drawn for each channel, and told by its first one alone."""

    name = "kit16-hides-by-channel-tells-the-first"

    def left(self, x_t, shown, batch):
        if x_t.ndim != 4:
            return torch.where(shown, x_t, 0.0)
        return torch.cat(
            [torch.where(shown, x_t[:, :1], 0.0), torch.where(shown | self.seen(batch), x_t[:, 1:], 0.0)], 1
        )


class FirstRowsOperator(Linear):
    """The maps that rows bring are those of the first row for all."""

    name = "kit16-first-row-s-operator"

    def _given(self, batch):
        return {name: value[:1].expand_as(value) for name, value in super()._given(batch).items()}


class NoiseOnPictures(Linear):
    """What is missing to sigma is added to A^T y, not to y: A^T makes it another noise."""

    name = "kit16-noise-added-after-the-transpose"

    def _view(self, batch, sigma, shown, generator):
        found = super()._view(batch, self.floor(batch), shown, generator)
        missing = (sigma**2 - self.floor(batch) ** 2).clamp(min=0).sqrt()
        x = found.x + per_row(missing, found.x) * standard_normal(found.x, generator)
        return View(x, sigma, found.cond)


class MeasuredWithoutNoise(Linear):
    """The condition "measured" holds the observation, without the noise and the hiding of the view."""

    name = "kit16-measured-before-the-view"

    def _view(self, batch, sigma, shown, generator):
        found = super()._view(batch, sigma, shown, generator)
        return found._replace(cond={**found.cond, "measured": batch.x_n})


class ExpectsInRows(Linear):
    """Hidden measurements are mixed as shown ones are, with y_t = 0."""

    name = "kit16-hidden-measurements-mixed"

    def expect(self, x_0_hat, view, batch):
        all_shown = view._replace(cond={**view.cond, "sampled": torch.ones_like(view.cond["sampled"])})
        return super().expect(x_0_hat, all_shown, batch)


class WeighsByDrop(Linear):
    """Hidden measurements are divided by `drop`, the chance to be hidden, not by that of having been measured."""

    name = "kit16-hidden-measurements-over-drop"
    missing: float = 0.3

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        a = self.slope(view, batch)
        unseen = (per_row(hidden.to(a.dtype), a) / self.drop).expand_as(found)
        there = batch.cond.get("sampled", torch.ones_like(found, dtype=torch.bool))
        return torch.where(view.cond["sampled"] | ~there, found, unseen)


class BackProjectsTwice(Linear):
    """A view is A^T y over its coverage, a guess at the picture, where A^T y is told."""

    name = "kit16-back-projection-normalised"

    def _view(self, batch, sigma, shown, generator):
        found = super()._view(batch, sigma, shown, generator)
        response = self.operator.forward(torch.ones_like(found.x), self._given(batch))
        cover = self.operator.adjoint(torch.where(shown, response, 0.0), self._given(batch))
        return found._replace(x=found.x / cover.abs().clamp(min=0.1))


class SameHiding(Linear):
    """Which measurements a step hides is drawn by a generator of its own, begun anew in each call."""

    name = "kit16-hides-the-same-measurements"

    def degrade(self, batch, sigma, generator):
        own = torch.Generator().manual_seed(0)
        sampled = batch.cond.get(
            "sampled", torch.ones_like(batch.x_n[:, :1] if batch.x_n.ndim > 2 else batch.x_n, dtype=torch.bool)
        )
        return self._view(batch, sigma, sampled & draw_mask(batch.x_n, self.kind, self.drop, own), generator)


WRONG = made(
    MaskFromTheNoise,
    SaturatedAreMissing,
    HidesTheBright,
    FurtherOfTheFirst,
    FurtherByBatch,
    FilledByMean,
    HiddenAreNoise,
    ScaledByShare,
    ShowsLess,
    ShowsTheWhole,
    MaskOfTheRow,
    FloorOfUnmeasured,
    ExpectsUnmeasured,
    MixesHidden,
    ChanceOfBoth,
    ChanceSwapped,
    ChanceMeasured,
    WeighsUnmeasured,
    UnseenOfTheFirst,
    StdWithHoles,
    MasksChannels,
    FirstRowsOperator,
    NoiseOnPictures,
    MeasuredWithoutNoise,
    ExpectsInRows,
    WeighsByDrop,
    BackProjectsTwice,
    SameHiding,
)
