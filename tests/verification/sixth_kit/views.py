"""Corruptions by Gaussian noise, continued: wrong views, floors and expectations."""

from __future__ import annotations

import torch

from ambientkit.batch import View
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.sixth_kit.marks import Marked, marked
from tests.verification.sixth_kit.noise import Plain

WRONG: Marked = []
RIGHT: Marked = []


@marked(WRONG, "stds are subtracted in degrade")
class StdsSubtracted(Plain):
    name = "six-noise-subtracted"

    def missing(self, batch, sigma):
        return per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)


@marked(WRONG, "the whole level is added on top of the noise that is there")
class OnTop(Plain):
    name = "six-on-top"

    def missing(self, batch, sigma):
        return per_row(sigma, batch.x_n)


@marked(WRONG, "noise per pixel is topped up by what its largest level lacks")
class ToppedByLargest(Plain):
    name = "six-topped-by-largest"

    def missing(self, batch, sigma):
        return per_row((sigma**2 - self.floor(batch) ** 2).clamp(min=0).sqrt(), batch.x_n)


@marked(WRONG, "noise from an exponential law, centred: the mirrored view has another law")
class OneSided(Plain):
    name = "six-one-sided"

    def degrade(self, batch, sigma, generator):
        self.check(batch, sigma)
        z = -torch.log1p(-uniform(batch.x_n, generator)) - 1
        return View(batch.x_n + self.missing(batch, sigma) * z, sigma, batch.cond)


@marked(WRONG, "the view is formed by rescaling: x_t = (sigma / sigma_n) noise, the signal shrunk with it")
class Rescaled(Plain):
    name = "six-rescaled"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=view.x / (1 + per_row(sigma, view.x) ** 2).sqrt())


@marked(WRONG, "a level below the noise is not refused: no noise is added, and the level is said to hold")
class NotRefused(Plain):
    name = "six-not-refused"

    def check(self, batch, sigma):
        pass


@marked(WRONG, "the row's own level is refused too: < became <=")
class RefusesOwn(Plain):
    name = "six-refuses-own"

    def check(self, batch, sigma):
        if (sigma <= self.floor(batch)).any():
            raise ValueError(f"row {int(batch.row[0])} cannot be seen below its level")


@marked(WRONG, "the error names the place in the batch, not the row")
class NamesPlace(Plain):
    name = "six-names-place"

    def check(self, batch, sigma):
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(below.nonzero()[0])} lies above the level asked for")


@marked(WRONG, "a level below the noise is raised to it in silence")
class RaisedInSilence(Plain):
    name = "six-raised"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, torch.maximum(sigma, self.floor(batch)), generator)


@marked(WRONG, "expect takes the ratio of stds")
class RatioOfStds(Plain):
    name = "six-expect-of-stds"

    def b(self, view, batch):
        return per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)


@marked(WRONG, "expect uses the observation in place of the view")
class ExpectsRow(Plain):
    name = "six-expects-row"

    def expect(self, x_0_hat, view, batch):
        b = self.b(view, batch)
        return (1 - b) * x_0_hat + b * batch.x_n


@marked(WRONG, "expect uses the floor of the row for noise per pixel")
class ExpectsFloor(Plain):
    name = "six-expects-floor"

    def b(self, view, batch):
        return per_row((self.floor(batch) / view.sigma) ** 2, view.x)


@marked(WRONG, "expect in bfloat16, as under autocast")
class CoarseExpect(Plain):
    name = "six-coarse-expect"

    def expect(self, x_0_hat, view, batch):
        return super().expect(x_0_hat.bfloat16(), view._replace(x=view.x.bfloat16()), batch).to(x_0_hat.dtype)


@marked(WRONG, "the floor of noise per pixel is its mean")
class MeanFloor(Plain):
    name = "six-mean-floor"

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


@marked(WRONG, "the floor of every row is the highest of the batch")
class BatchFloor(Plain):
    name = "six-batch-floor"

    def floor(self, batch):
        floor = super().floor(batch)
        return floor.max().expand_as(floor)


@marked(WRONG, "the floor is the level it simulates, not the one that the rows bring")
class OwnFloor(Plain):
    name = "six-own-floor"

    def floor(self, batch):
        return batch.x_n.new_full((len(batch.x_n),), self.sigma_n)


@marked(WRONG, "slope is 1 for all: an error counts as if rows were clean")
class SlopeOne(Plain):
    name = "six-slope-one"

    def slope(self, view, batch):
        return torch.ones_like(view.x)


@marked(WRONG, "weight is 1/a, not its square")
class HalfWeight(Plain):
    name = "six-half-weight"

    def weight(self, view, batch, cap, hidden):
        return (1 / self.slope(view, batch).clamp(min=1e-3)).minimum(per_row(cap, batch.x_n))


@marked(WRONG, "clean_std is that of the rows as they are, noise included")
class NoisyStd(Plain):
    name = "six-noisy-std"

    def clean_std(self, batch):
        return float(batch.x_n.std())


@marked(WRONG, "the conditions of the batch are lost in the view")
class LosesConditions(Plain):
    name = "six-loses-conditions"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(cond={})


@marked(WRONG, "the level is written into the batch's own conditions")
class WritesConditions(Plain):
    name = "six-writes-conditions"

    def degrade(self, batch, sigma, generator):
        batch.cond["level"] = sigma
        return super().degrade(batch, sigma, generator)


@marked(WRONG, "noise is added in place: the stored row grows noisier with each epoch")
class InPlace(Plain):
    name = "six-in-place"

    def degrade(self, batch, sigma, generator):
        self.check(batch, sigma)
        return View(batch.x_n.add_(self.missing(batch, sigma) * self.noise(batch.x_n, generator)), sigma, batch.cond)


@marked(WRONG, "rows are numbered anew in each batch")
class Renumbered(Plain):
    name = "six-renumbered"

    def observe(self, x_0, row, generator):
        return super().observe(x_0, torch.arange(len(row)), generator)


@marked(WRONG, "noise is drawn by numpy in float64, and the view promoted to it")
class Promoted(Plain):
    name = "six-promoted"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=view.x.double())


@marked(WRONG, "noise is cut at 2.5 stds, as by a truncated normal")
class CutNoise(Plain):
    name = "six-cut-noise"

    def noise(self, like, generator):
        return standard_normal(like, generator).clamp(-2.5, 2.5)
