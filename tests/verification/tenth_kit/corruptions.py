"""Wrong corruptions: noise, masks and operators."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import capped_inverse_square, top_up
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.operators.base import Operator
from tests.verification.tenth_kit.bases import Gauss


class LevelOfBatch(Gauss):
    """One level is drawn for the batch, from the first row's generator."""

    name = "ten-one-level-for-the-batch"

    def level(self, x_0, generator):
        return super().level(x_0, generator)[:1].expand(len(x_0))


class VarianceForStd(Gauss):
    """sigma_n is given out as a variance."""

    name = "ten-variance-for-std"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(sigma_n=batch.sigma_n**2)


class Coloured(Gauss):
    """Noise of neighbouring values is correlated, as after demosaicing; its std is right."""

    name = "ten-coloured-noise"

    def observe(self, x_0, row, generator):
        sigma_n, z = self.level(x_0, generator), standard_normal(x_0, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * (0.8 * z + 0.6 * z.roll(1, -1)), sigma_n, row, {})


class BySignal(Gauss):
    """The level follows the brightness of the noisy value itself, as a camera's conversion estimates it."""

    name = "ten-level-of-the-noisy-value"

    def observe(self, x_0, row, generator):
        std = (0.04 * (x_0 + 2).clamp(min=0.1)).sqrt()
        x_n = x_0 + std * standard_normal(x_0, generator)
        return Batch(x_n, (0.04 * (x_n + 2).clamp(min=0.1)).sqrt(), row, {})


class EightBit(Gauss):
    """Observations are stored in 8 bits of [-1, 1], which steps by 0.0078, wrapped where they leave the range."""

    name = "ten-eight-bits"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        stored = ((batch.x_n + 1) * 127.5).round().to(torch.int64) % 256
        return batch._replace(x_n=stored.to(x_0.dtype) / 127.5 - 1)


class Float32(Gauss):
    """Observations come out in float32."""

    name = "ten-float32-always"

    def observe(self, x_0, row, generator):
        batch = super().observe(x_0, row, generator)
        return batch._replace(x_n=batch.x_n.float(), sigma_n=batch.sigma_n.float())


class FirstGenerator(Gauss):
    """Of a list of generators the first is used."""

    name = "ten-first-generator-of-the-list"

    def observe(self, x_0, row, generator):
        one = generator[0] if isinstance(generator, list | tuple) else generator
        return super().observe(x_0, row, one)


class MeanFloor(Gauss):
    """The floor is the mean of a row's pixels."""

    name = "ten-floor-is-a-mean"

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


class LiftsQuietly(Gauss):
    """A level below the row's own is lifted without a word."""

    name = "ten-lifts-levels-quietly"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, torch.maximum(sigma, self.floor(batch)), generator)


class RefusesFloor(Gauss):
    """A level equal to the row's own is refused."""

    name = "ten-refuses-its-own-floor"

    def degrade(self, batch, sigma, generator):
        if (sigma <= self.floor(batch)).any():
            raise ValueError("row 0: the level must exceed that of the row")
        return super().degrade(batch, sigma, generator)


class DropsConditions(Gauss):
    """Conditions stay behind."""

    name = "ten-degrades-conditions-away"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(cond={})


class Skewed(Gauss):
    """Exponential noise of mean 0 and std 1 on top."""

    name = "ten-skewed-top-up"

    def noise(self, like, generator):
        return -torch.log1p(-uniform(like, generator)) - 1


class OneMaskPerBatch(Mask):
    """What is hidden on top is drawn once for the batch."""

    name = "ten-hides-the-same-in-all-rows"

    def degrade(self, batch, sigma, generator):
        one = generator[0] if isinstance(generator, list | tuple) else generator
        again = draw_mask(batch.x_n[:1], self.kind, self.drop, one)
        return self._view(batch, sigma, self._seen(batch) & again, generator)


class FreshMaskAlone(Mask):
    """The view's mask is a fresh one, whether or not the row has the value."""

    name = "ten-mask-of-view-beyond-row"

    def degrade(self, batch, sigma, generator):
        return self._view(
            batch,
            sigma,
            draw_mask(batch.x_n, self.kind, self.drop, generator).expand(len(batch.x_n), *self._shape(batch.x_n)),
            generator,
        )


class HiddenValuesStay(Mask):
    """The mask is handed on, and the values that it hides stay in the view."""

    name = "ten-hidden-values-stay"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(x=top_up(batch.x_n, self._level(batch), sigma, generator))


class ChanceOfDrop(Mask):
    """Hidden values weigh by the chance of being hidden, not of having been measured."""

    name = "ten-weight-by-chance-of-hiding"

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.drop
        known = torch.where(view.cond["mask"], capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self._seen(batch), known, torch.zeros_like(known))


class MixesWhereHidden(Mask):
    """Measured values are mixed with x_t where the view hides them too."""

    name = "ten-mixes-where-hidden"

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        known = (1 - b) * x_0_hat + b * view.x
        return torch.where(self._seen(batch), known, torch.zeros_like(known))


class Inverted(Mask):
    """The mask handed to the network is true where something is hidden."""

    name = "ten-inverted-mask"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "mask": ~view.cond["mask"]})


class ShiftedKernel(Operator):
    """y[i] = 0.7 x[i] + 0.3 x[i - 1]; its own transpose, it says."""

    name = "ten-lopsided"

    def forward(self, x: Tensor, given) -> Tensor:
        return 0.7 * x + 0.3 * x.roll(1, -1)

    def adjoint(self, y: Tensor, given) -> Tensor:
        return 0.7 * y + 0.3 * y.roll(1, -1)


class NotItsTranspose(Linear):
    """A lopsided blur whose transpose is taken for itself."""

    name = "ten-lopsided-blur"
    operator: Operator = ShiftedKernel()


class ExpectsPictures(Linear):
    """What a measurement is expected to be goes through A^T A, as the view did."""

    name = "ten-expects-through-the-transpose"

    def expect(self, x_0_hat, view, batch):
        back = self.operator.adjoint(self.operator.forward(x_0_hat, self._given(batch)), self._given(batch))
        return super().expect(back, view, batch)


class SampledOfRow(Linear):
    """The view says of all measurements of the row that it shows them."""

    name = "ten-says-that-all-is-sampled"

    def degrade(self, batch, sigma, generator) -> View:
        view = super().degrade(batch, sigma, generator)
        return view._replace(cond={**view.cond, "sampled": self.show(batch, sigma, generator).cond["sampled"]})


PARTS = (
    LevelOfBatch,
    VarianceForStd,
    Coloured,
    BySignal,
    EightBit,
    Float32,
    FirstGenerator,
    MeanFloor,
    LiftsQuietly,
    RefusesFloor,
    DropsConditions,
    Skewed,
    OneMaskPerBatch,
    FreshMaskAlone,
    HiddenValuesStay,
    ChanceOfDrop,
    MixesWhereHidden,
    Inverted,
    NotItsTranspose,
    ExpectsPictures,
    SampledOfRow,
)
