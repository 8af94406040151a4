"""Wrong objectives: the points that a denoiser is asked about, what it is told of them, and what else a call does."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.seventh_kit.bases import Plain
from tests.verification.seventh_kit.values import FullNoiseMean

NO_MASKS = FullNoiseMean.claims | {"x_0-scale"}
"""Of a part that adds Gaussian noise by itself."""


class OwnNoise(Plain):
    """Adds its noise itself, c z with c = sqrt(sigma^2 - sigma_n^2), value by value. Right: parts below change it."""

    name = "seven-own-noise"
    claims = NO_MASKS

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return View(batch.x_n + self._c(batch, sigma) * self._z(batch, sigma, tools), sigma, batch.cond)

    def _c(self, batch: Batch, sigma: Tensor) -> Tensor:
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n, tools.generator)


class FullNoise(OwnNoise):
    """The full noise of the level is added on top of that of the row."""

    name = "seven-full-noise"

    def _c(self, batch: Batch, sigma: Tensor) -> Tensor:
        return per_row(sigma, batch.x_n)


class LinearTopUp(OwnNoise):
    """The noise that is missing is taken for sigma - sigma_n."""

    name = "seven-linear-top-up"

    def _c(self, batch: Batch, sigma: Tensor) -> Tensor:
        return per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)


class TopUpByRow(OwnNoise):
    """Where noise is given per pixel, all pixels get the noise that the noisiest one is lacking."""

    name = "seven-top-up-by-row"

    def _c(self, batch: Batch, sigma: Tensor) -> Tensor:
        worst = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)
        return per_row((sigma**2 - worst**2).clamp(min=0).sqrt(), batch.x_n)


class TruncatedNoise(OwnNoise):
    """The noise is clipped at two standard deviations against outliers."""

    name = "seven-truncated-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return super()._z(batch, sigma, tools).clamp(-2, 2)


class GreyNoise(OwnNoise):
    """The channels of a picture share one draw of noise."""

    name = "seven-grey-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        z = super()._z(batch, sigma, tools)
        return z[:, :1].expand_as(z) if z.ndim > 2 else z


class OneNoise(OwnNoise):
    """All rows of the batch get the same draw of noise."""

    name = "seven-one-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        return standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)


class FrozenNoise(OwnNoise):
    """The noise is keyed by the row alone, the same in each epoch, so that rows can be learned by heart."""

    name = "seven-frozen-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        source = [Generator(batch.x_n.device).manual_seed(int(row)) for row in batch.row]
        return standard_normal(batch.x_n, source)


class OffsetNoise(OwnNoise):
    """Pictures get an offset besides, 0.15 z of one draw per channel, as text-to-image models are trained."""

    name = "seven-offset-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        z = super()._z(batch, sigma, tools)
        if z.ndim < 3:
            return z
        return z + 0.15 * standard_normal(z.flatten(2).mean(2), tools.generator).reshape(*z.shape[:2], 1, 1)


class Perturbed(OwnNoise):
    """The view gets 0.35 z' more noise than its level says, against exposure bias."""

    name = "seven-perturbed"

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        view = super()._view(batch, sigma, tools)
        more = 0.35 * per_row(sigma, view.x) * standard_normal(view.x, tools.generator)
        return view._replace(x=view.x + more)


class FirstHalfAgain(OwnNoise):
    """The second half of the batch gets the noise of the first half once more, as a draw for the half alone is
    reused."""

    name = "seven-half-again"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        n = (len(batch.x_n) + 1) // 2
        return standard_normal(batch.x_n[:n], tools.generator).repeat(2, *[1] * (batch.x_n.ndim - 1))[: len(batch.x_n)]


class FoldedNoise(OwnNoise):
    """At levels below 0.1 the noise is folded, |z|, as if it were that of a magnitude."""

    name = "seven-folded-noise"

    def _z(self, batch: Batch, sigma: Tensor, tools: Tools) -> Tensor:
        z = super()._z(batch, sigma, tools)
        return torch.where(per_row(sigma, z) < 0.1, z.abs(), z)


class Standardised(Plain):
    """Rows are scaled so that the batch has the std of the clean data, and their noise level is left as it was."""

    name = "seven-standardised"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        std = batch.x_n.std(unbiased=False).clamp(min=1e-3)
        return super().loss(denoiser, batch._replace(x_n=batch.x_n / std * tools.signal.sigma_data), tools)


class Flipped(Plain):
    """Every other picture is mirrored before use, while its noise map and its mask are not."""

    name = "seven-flipped"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        if batch.x_n.ndim == 4:
            other = per_row((torch.arange(len(batch.x_n)) % 2).to(batch.x_n), batch.x_n) > 0
            batch = batch._replace(x_n=torch.where(other, batch.x_n.flip(3), batch.x_n))
        return super().loss(denoiser, batch, tools)


class OwnMaskTold(Plain):
    """The denoiser is told the mask of the row and not that of the view, which hides more."""

    name = "seven-row-mask-told"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x, view.sigma, **{**view.cond, **batch.cond}).to(batch.x_n.dtype)


class LabelsOnly(Plain):
    """Only class labels are handed on to the denoiser; other conditions of a row are lost."""

    name = "seven-labels-only"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        kept = {name: value for name, value in view.cond.items() if name == "class_cond"}
        return denoiser(view.x, view.sigma, **kept).to(batch.x_n.dtype)


class ZeroedConditions(Plain):
    """A tenth of the conditions are put to 0 for guidance, where 0 is the label of a class."""

    name = "seven-zeroed-conditions"
    claims = NO_MASKS

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        keep = uniform(torch.empty(len(batch.x_n)), tools.generator) >= 0.1
        cond = {n: v * keep.to(v.dtype).reshape(-1, *[1] * (v.ndim - 1)) for n, v in view.cond.items()}
        return denoiser(view.x, view.sigma, **cond).to(batch.x_n.dtype)


class ShuffledConditions(Plain):
    """Rows are shuffled before use, and their conditions are not."""

    name = "seven-shuffled"
    claims = NO_MASKS

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        order = uniform(torch.empty(len(batch.x_n)), tools.generator).argsort()
        level = batch.sigma_n[order] if batch.sigma_n.ndim and len(batch.sigma_n) == len(order) else batch.sigma_n
        return super().loss(denoiser, Batch(batch.x_n[order], level, batch.row[order], batch.cond), tools)


class DoublePoints(Plain):
    """The denoiser is asked in double precision, which a network in single precision refuses."""

    name = "seven-double-points"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x.double(), view.sigma.double(), **view.cond).to(batch.x_n.dtype)


class Squeezed(Plain):
    """Pictures of one channel are handed to the denoiser without their channel."""

    name = "seven-squeezed"

    def _estimate(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        if view.x.ndim != 4 or view.x.shape[1] != 1:
            return super()._estimate(denoiser, view, batch, tools)
        return denoiser(view.x.squeeze(1), view.sigma, **view.cond).to(batch.x_n.dtype).unsqueeze(1)


class InPlace(OwnNoise):
    """The noise is added to the batch in place, so that the next objective of the recipe sees it."""

    name = "seven-in-place"

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return View(batch.x_n.add_(self._c(batch, sigma) * self._z(batch, sigma, tools)), sigma, batch.cond)


class KeepsValues(Plain):
    """The values of a call are kept in memory, whose shape so changes with the size of the batch."""

    name = "seven-keeps-values"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        found = super().loss(denoiser, batch, tools)
        tools.memory["values"] = found[self.name].value.detach()
        return found


class KeepsOutside(Plain):
    """Values are divided by a running mean that is kept on the class, and lost when a run is resumed."""

    name = "seven-keeps-outside"
    claims = FullNoiseMean.claims
    kept: ClassVar[list[float]] = [1.0]

    def _value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        value = super()._value(x_0_hat, view, batch, tools)
        self.kept[0] = 0.9 * self.kept[0] + 0.1 * float(value.detach().abs().mean())
        return value / self.kept[0]


PARTS = (
    FullNoise,
    LinearTopUp,
    TopUpByRow,
    TruncatedNoise,
    GreyNoise,
    OneNoise,
    FrozenNoise,
    OffsetNoise,
    Perturbed,
    FirstHalfAgain,
    FoldedNoise,
    Standardised,
    Flipped,
    OwnMaskTold,
    LabelsOnly,
    ZeroedConditions,
    ShuffledConditions,
    DoublePoints,
    Squeezed,
    InPlace,
    KeepsValues,
    KeepsOutside,
)
