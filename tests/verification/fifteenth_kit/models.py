"""Wrong models: coefficients, forms, levels and dtypes."""

from __future__ import annotations

import copy

import torch

from ambientkit.maths.noise import per_row

from .bases import made
from .bases_models import Direct, Eps, Plain, Straight, Velocity


class NoiseInputNotQuartered(Plain):
    """c_noise = log(sigma)."""

    name = "kit15-c-noise-not-quartered"

    def told(self, sigma):
        return sigma.log()


class SkipNotSquared(Plain):
    """c_skip = sigma_data / (sigma^2 + sigma_data^2)."""

    name = "kit15-skip-not-squared"

    def coefficients(self, sigma, sigma_data):
        _, c_out, c_in = super().coefficients(sigma, sigma_data)
        return sigma_data / (sigma**2 + sigma_data**2), c_out, c_in


class OutWithoutRoot(Plain):
    """c_out = sigma sigma_data / (sigma^2 + sigma_data^2)."""

    name = "kit15-out-without-root"

    def coefficients(self, sigma, sigma_data):
        c_skip, _, c_in = super().coefficients(sigma, sigma_data)
        return c_skip, sigma * sigma_data / (sigma**2 + sigma_data**2), c_in


class InAsVP(Plain):
    """c_in = 1 / sqrt(1 + sigma^2): right where sigma_data is 1."""

    name = "kit15-in-as-vp"

    def coefficients(self, sigma, sigma_data):
        c_skip, c_out, _ = super().coefficients(sigma, sigma_data)
        return c_skip, c_out, 1 / (1 + sigma**2).sqrt()


class LevelsHeld(Plain):
    """The network is told no level below 0.02."""

    name = "kit15-levels-held-at-0.02"

    def told(self, sigma):
        return sigma.clamp(min=0.02).log() / 4


class LevelsRounded(Plain):
    """The network is told levels rounded to one of 100 between 0.002 and 80, in log sigma."""

    name = "kit15-levels-of-a-table"

    def told(self, sigma):
        width = torch.tensor(80 / 0.002).log().to(sigma)
        place = ((sigma / 0.002).log() / width * 99).round()
        return (place / 99 * width + torch.tensor(0.002).log().to(sigma)) / 4


class ToldTheMeanLevel(Plain):
    """The network is told the mean level of the batch; the coefficients are those of each row."""

    name = "kit15-told-the-mean-level"

    def told(self, sigma):
        return (sigma.log().mean() / 4).expand_as(sigma)


class AlwaysFloats(Plain):
    """Answers in float32 for points of any dtype."""

    name = "kit15-always-floats"

    def denoised(self, network, x, sigma, sigma_data, cond):
        return super().denoised(network, x.float(), sigma.float(), sigma_data, cond)


class AllInHalf(Plain):
    """Everything is computed in bfloat16, the sum with the skip as well."""

    name = "kit15-all-in-half"

    def denoised(self, network, x, sigma, sigma_data, cond):
        return super().denoised(network, x.bfloat16(), sigma.bfloat16(), sigma_data, cond).to(x.dtype)


class ScalesInPlace(Plain):
    """c_in is multiplied into the points that are handed in."""

    name = "kit15-scales-in-place"

    def denoised(self, network, x, sigma, sigma_data, cond):
        c_skip, c_out, c_in = (per_row(c, x) for c in self.coefficients(sigma, sigma_data))
        skipped = c_skip * x
        y = c_in * x if x.requires_grad else x.mul_(c_in)
        return skipped + c_out * self.answer(network, y, self.told(sigma), cond)


class FormerNetwork(Plain):
    """The denoiser keeps a copy of the network as it was when it was made, and does not follow training."""

    name = "kit15-former-network"

    def denoiser(self, network, signal):
        return super().denoiser(copy.deepcopy(network), signal)


class NothingLearnedLow(Plain):
    """The answer of the network is detached from its input and weights where levels are below 0.01."""

    name = "kit15-nothing-learned-at-low-levels"

    def answer(self, network, y, c_noise, cond):
        found = super().answer(network, y, c_noise, cond)
        low = per_row((c_noise < torch.tensor(0.01).log() / 4).to(y.dtype), y) > 0
        return torch.where(low, found.detach(), found)


class EpsByVariance(Eps):
    """D = x - sigma^2 F."""

    name = "kit15-eps-by-the-variance"

    def x_0(self, answer, x, sigma):
        return x - sigma**2 * answer


class EpsAtRounded(Eps):
    """D = x - sigma F with sigma rounded to one of DDPM's 1000 levels."""

    name = "kit15-eps-at-ddpm-levels"

    def x_0(self, answer, x, sigma):
        alphas = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
        levels = ((1 - alphas) / alphas).sqrt().to(sigma)
        nearest = (sigma.reshape(-1, 1) - levels).abs().argmin(1)
        return x - levels[nearest].reshape(sigma.shape) * answer


class VWithoutInput(Velocity):
    """D = alpha x - s F, with x as it is in place of alpha x."""

    name = "kit15-v-of-the-unscaled"

    def x_0(self, answer, x, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha * x - sigma * alpha * answer


class VSwapped(Velocity):
    """v = alpha x_0 - s z is assumed: the roles of noise and data are swapped."""

    name = "kit15-v-swapped"

    def x_0(self, answer, x, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha**2 * x + sigma * alpha * answer


class FlowUnscaled(Straight):
    """D = x - t F, with x as it is in place of x / (1 + sigma)."""

    name = "kit15-flow-of-the-unscaled"

    def x_0(self, answer, x, sigma):
        return x - sigma / (1 + sigma) * answer


class BoundedAnswer(Direct):
    """D = clamp(F, -1, 1), as pictures lie there; latents and spectra do not."""

    name = "kit15-bounded-answer"

    def x_0(self, answer, x, sigma):
        return answer.clamp(-1, 1)


WRONG = made(
    NoiseInputNotQuartered,
    SkipNotSquared,
    OutWithoutRoot,
    InAsVP,
    LevelsHeld,
    LevelsRounded,
    ToldTheMeanLevel,
    AlwaysFloats,
    AllInHalf,
    ScalesInPlace,
    FormerNetwork,
    NothingLearnedLow,
    EpsByVariance,
    EpsAtRounded,
    VWithoutInput,
    VSwapped,
    FlowUnscaled,
    BoundedAnswer,
)
