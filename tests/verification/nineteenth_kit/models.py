"""Wrong models."""

from __future__ import annotations

import math

import torch
from torch import nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import TOLD, edm_preconditioning
from tests.verification.nineteenth_kit.bases import listed
from tests.verification.seventeenth_kit.bases_models import Eps, Layers, Plain, Small, V, Velocity


class SkipAndOutExchanged(Small):
    """c_skip and c_out are taken from the tuple in the wrong order."""

    name = "kit19-skip-and-out-exchanged"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return out, skip, into, told


class InputAsItIs(Small):
    """The network sees x itself, without c_in."""

    name = "kit19-input-as-it-is"

    def coefficients(self, sigma, std):
        skip, out, _, told = super().coefficients(sigma, std)
        return skip, out, torch.ones_like(sigma), told


class OutIsSigma(Small):
    """c_out is sigma, as in the variance-exploding networks before EDM, beside EDM's skip."""

    name = "kit19-out-is-sigma"

    def coefficients(self, sigma, std):
        skip, _, into, told = super().coefficients(sigma, std)
        return skip, sigma, into, told


class SkipByStds(Small):
    """c_skip is sigma_data / (sigma + sigma_data), without the squares."""

    name = "kit19-skip-by-stds"

    def coefficients(self, sigma, std):
        _, out, into, told = super().coefficients(sigma, std)
        return std / (sigma + std), out, into, told


class LogVariance(Small):
    """The network is told log(sigma^2) / 4."""

    name = "kit19-told-a-quarter-of-the-log-variance"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out, into, 2 * told


class InTenths(Small):
    """The level that the network is told is rounded to tenths, a table of times: levels within a third are one."""

    name = "kit19-told-in-tenths"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out, into, (10 * told).round() / 10


class LogOfOneMore(Small):
    """The network is told log(1 + sigma) / 4, so that low levels cannot be distinguished."""

    name = "kit19-told-the-log-of-one-more"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, torch.log1p(sigma) / 4


class StdOfTheRow(Small):
    """sigma_data is estimated from each row, sqrt(var(x) - sigma^2), in the place of that of the data."""

    name = "kit19-std-estimated-from-the-row"

    def mixed(self, x, sigma, network, std):
        own = (x.flatten(1).var(1, unbiased=False) - sigma**2).clamp(min=0.01).sqrt()
        return super().mixed(x, sigma, network, own)


class StdOfTheDefault(Small):
    """sigma_data is 0.5, the number of EDM's paper, whatever the signal says."""

    name = "kit19-std-of-the-paper"

    def denoiser(self, network, signal):
        return lambda x, sigma, /, **cond: self.mixed(x, sigma.to(x.dtype), network, 0.5)


class Normalised(nn.Module):
    """Layers whose input is normalised over the batch."""

    def __init__(self, size):
        super().__init__()
        self.inner = Layers(size)

    def forward(self, y, told):
        spread = (y.square().mean(0, keepdim=True) + 0.1).sqrt()
        return self.inner((y - y.mean(0, keepdim=True)) / spread, told)


class BatchNorm(Small):
    """The network normalises its input over the batch, also when it is asked for samples."""

    name = "kit19-network-normalises-over-the-batch"

    def network(self, signal):
        super().network(signal)
        return Normalised(math.prod(signal.shape))


class AlongTheWidth(Small):
    """Levels are multiplied along the last axis where it is as long as the batch, as broadcasting has it."""

    name = "kit19-level-along-the-width-where-sizes-agree"

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma, std)
        if x.shape[-1] != len(x):
            return super().mixed(x, sigma, network, std)
        return skip * x + out * self.call(network, into * x, told)


class KeptCoefficients(Small):
    """Coefficients are kept by the size of the batch: a second batch of one size has the levels of the first."""

    name = "kit19-coefficients-kept-by-size"

    def denoiser(self, network, signal):
        kept = {}

        def denoise(x, sigma, /, **cond):
            found = kept.setdefault(len(x), sigma.to(x.dtype))
            return self.mixed(x, found.to(x.dtype), network, signal.sigma_data)

        return denoise


class FirstChunksLevels(Small):
    """The network is asked two rows at a time, and told the levels of the first two each time."""

    name = "kit19-chunks-told-the-first-levels"

    def call(self, network, y, told):
        parts = [super(FirstChunksLevels, self).call(network, one, told[: len(one)]) for one in y.split(2)]
        return torch.cat(parts)


class SkipWithoutGradient(Small):
    """x is detached in the skip, so that derivatives of D by x, which Stein's risk and guidance need, lack it."""

    name = "kit19-skip-without-gradient"

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma, std)
        return per_row(skip, x) * x.detach() + per_row(out, x) * self.call(network, per_row(into, x) * x, told)


class RescaledMean(Small):
    """Answers are moved so that each row keeps the mean of its noisy input, against shifts of colour."""

    name = "kit19-keeps-the-mean-of-its-input"

    def mixed(self, x, sigma, network, std):
        found = super().mixed(x, sigma, network, std)
        return found + per_row((x - found).flatten(1).mean(1), x)


class EpsOfUnitData(Eps):
    """The noise is answered in units of sigma_data: D = x - sigma sigma_data F."""

    name = "kit19-eps-in-units-of-the-data"

    def mixed(self, x, sigma, network, std):
        skip, out, into, told = self.coefficients(sigma, std)
        return per_row(skip, x) * x + per_row(std * out, x) * self.call(network, per_row(into, x) * x, told)


class EpsOfATable(Eps):
    """sigma is replaced by the nearest of DDPM's thousand levels, none of which is below 0.01."""

    name = "kit19-eps-of-the-nearest-level-of-a-table"

    def mixed(self, x, sigma, network, std):
        beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        alphas = (1 - beta).cumprod(0)
        table = ((1 - alphas) / alphas).sqrt().to(sigma)
        nearest = table[(table.log() - sigma.log().unsqueeze(1)).abs().argmin(1)]
        return super().mixed(x, nearest, network, std)


class VOutIsVariance(V):
    """D = alpha^2 x - s^2 F: both shares were squared."""

    name = "kit19-v-with-the-variance"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, -(out**2), into, told


class VForTheStd(V):
    """The angle of v is made with sigma / sigma_data, for data that were normalised, which these were not."""

    name = "kit19-v-for-normalised-data"

    def coefficients(self, sigma, std):
        return super().coefficients(sigma / std, std)


class VelocityToData(Velocity):
    """The velocity is x_0 - z, as some codes of flows have it: D = (x + sigma F) / (1 + sigma)."""

    name = "kit19-velocity-towards-the-data"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, -out, into, told


class VelocityOfVariances(Velocity):
    """The time of the flow is sigma^2 / (1 + sigma^2)."""

    name = "kit19-velocity-with-a-time-of-variances"

    def coefficients(self, sigma, std):
        return super().coefficients(sigma**2, std)


class PlainThroughTanh(Plain):
    """x_0 is put through tanh, as data lie within [-1, 1]: latents and sharp edges do not."""

    name = "kit19-x-0-through-tanh"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma, network, std).tanh()


class PlainInUnits(Plain):
    """x_0 is answered in units of sigma_data, where the form says D = F."""

    name = "kit19-x-0-in-units-of-the-data"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, std * out, into, told


class LabelsFromOne(MLP):
    """Labels are counted from one, so that the classes 0 and 1 are taken for one, and "no class" for the last."""

    name = "kit19-labels-counted-from-one"

    num_classes: int | None = 3

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            return inner(x, sigma, **{**cond, "class_cond": (cond["class_cond"] - 1).clamp(min=0)})

        return denoise


class LabelsOfTheBatch(MLP):
    """Labels are numbered anew among those of the batch, so that a row alone is always of class 0."""

    name = "kit19-labels-numbered-in-the-batch"

    num_classes: int | None = 3

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            return inner(x, sigma, **{**cond, "class_cond": cond["class_cond"].unique(return_inverse=True)[1]})

        return denoise


class HiddenAtTheRowsLevel(MLP):
    """Hidden values have the skip and c_out of the row's level, at which they cannot be learned where it is low."""

    name = "kit19-hidden-values-at-the-row-s-level"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            found = inner(x, sigma, **cond)
            if "mask" not in cond:
                return found
            low = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data).c_out / signal.sigma_data
            return torch.where(cond["mask"].bool(), found, per_row(low, x) * found)

        return denoise


class MaskOfOnes(MLP):
    """The network is told that all values are shown, as masks were made for tests and left so."""

    name = "kit19-masks-told-as-ones"

    def denoiser(self, network, signal):
        inner = super().denoiser(network, signal)

        def denoise(x, sigma, /, **cond):
            return inner(x, sigma, **{key: torch.ones_like(c) if key in TOLD else c for key, c in cond.items()})

        return denoise


WRONG = listed(globals())
