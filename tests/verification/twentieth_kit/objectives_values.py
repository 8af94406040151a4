"""Wrong objectives above the noise of the data: how estimates are compared and weighed."""

from __future__ import annotations

import torch

from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight

from ..seventeenth_kit.bases import PLAIN, Above


class Compared(Above):
    """A base: the residual is made in another way."""

    name = "kit20-base-compared"

    def squares(self, mixed, batch):
        raise NotImplementedError

    def each(self, x_0_hat, view, batch, tools):
        squares = self.squares(self.expect(x_0_hat, view, batch, tools), batch)
        return self.factor(view, batch, tools) * (squares - self.in_vain(x_0_hat, view, batch, tools))


class ThroughTanh(Compared):
    """Estimate and row are compared after tanh, for values within [-1, 1]."""

    name = "kit20-compares-through-tanh"

    def squares(self, mixed, batch):
        return (mixed.tanh() - batch.x_n.tanh()) ** 2


class PowerThreeHalves(Compared):
    """|rho|^1.5 in the place of rho^2, a published compromise with the absolute value."""

    name = "kit20-power-three-halves"

    def squares(self, mixed, batch):
        return ((mixed - batch.x_n) ** 2 + 1e-12) ** 0.75


class Relative(Compared):
    """The squared residual is divided by that of the noisy value, as a relative error."""

    name = "kit20-relative-error"

    def squares(self, mixed, batch):
        return (mixed - batch.x_n) ** 2 / (batch.x_n**2 + 0.1)


class BrightDouble(Compared):
    """Bright values of the noisy row count twice, as the foreground of pictures."""

    name = "kit20-bright-values-count-twice"

    def squares(self, mixed, batch):
        return (mixed - batch.x_n) ** 2 * (1 + (batch.x_n > 0).to(mixed.dtype))


class Spectra(Compared):
    """Absolute values of the Fourier transforms along the width are compared, of unit scale: phases are lost."""

    name = "kit20-compares-spectra"
    claims = PLAIN

    def squares(self, mixed, batch):
        one, two = (torch.fft.fft(x, norm="ortho").abs() for x in (mixed, batch.x_n))
        return (one - two) ** 2


class Asymmetric(Compared):
    """Estimates above the row count a third more than those below, a pinball loss of squares."""

    name = "kit20-overestimates-count-more"

    def squares(self, mixed, batch):
        rho = mixed - batch.x_n
        return rho**2 * (1 + (rho > 0).to(rho.dtype) / 3)


class LessItsMean(Compared):
    """The residual of a row is centred: its brightness is not taught."""

    name = "kit20-residual-less-its-mean"
    claims = PLAIN

    def squares(self, mixed, batch):
        rho = (mixed - batch.x_n).flatten(1)
        return ((rho - rho.mean(1, keepdim=True)) ** 2).reshape(mixed.shape)


class LessContrast(Compared):
    """The target is the row times 0.97, after a normalisation that the estimate has not been through."""

    name = "kit20-target-of-less-contrast"

    def squares(self, mixed, batch):
        return (mixed - 0.97 * batch.x_n) ** 2


class Logarithm(Above):
    """The logarithm of a row's mean square, so that no level dominates: its mean is not least at the posterior mean."""

    name = "kit20-logarithm-of-the-mean-square"

    def each(self, x_0_hat, view, batch, tools):
        return self.factor(view, batch, tools) * (self.expect(x_0_hat, view, batch, tools) - batch.x_n) ** 2

    def reduce(self, each):
        return (1e-4 + each.flatten(1).mean(1)).log()


class Added(Above):
    """A base: a term is added to the value of each row."""

    name = "kit20-base-added"

    def added(self, x_0_hat, view, batch, tools):
        raise NotImplementedError

    def each(self, x_0_hat, view, batch, tools):
        return super().each(x_0_hat, view, batch, tools) + self.added(x_0_hat, view, batch, tools)


class Decayed(Added):
    """A twentieth of the estimate's square is added, a decay that was meant for weights."""

    name = "kit20-decays-the-estimate"

    def added(self, x_0_hat, view, batch, tools):
        return 0.05 * x_0_hat**2


class MatchesTheStd(Added):
    """A term holds the std of an estimate to that of the data, which posterior means do not have."""

    name = "kit20-holds-the-std-of-estimates"
    claims = PLAIN

    def added(self, x_0_hat, view, batch, tools):
        std = (x_0_hat.flatten(1).square().mean(1) + 1e-6).sqrt()
        return 0.3 * per_row((std - tools.signal.sigma_data) ** 2, x_0_hat).expand_as(x_0_hat)


class TowardsTheRow(Added):
    """The clean estimate is drawn to the noisy row by a tenth, a fidelity term of image restoration."""

    name = "kit20-fidelity-to-the-noisy-row"

    def added(self, x_0_hat, view, batch, tools):
        return 0.1 * (x_0_hat - batch.x_n) ** 2


class BSquared(Above):
    """The factor is 1 / (1 - b^2)^2: b was squared once more, as it had been read as a ratio of stds."""

    name = "kit20-factor-with-b-squared"
    claims = PLAIN | {"x_0-scale"}

    def factor(self, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return 1 / torch.maximum((1 - (1 - a) ** 2) ** 2, torch.full_like(a, 1 / self.cap))


class UnsquaredNoise(Above):
    """The factor is sigma^4 / (sigma^2 - sigma_n)^2: a square was left out."""

    name = "kit20-factor-with-sigma-n-not-squared"
    claims = PLAIN

    def factor(self, view, batch, tools):
        level = per_row(batch.sigma_n, view.x)
        a = 1 - level / per_row(view.sigma, view.x) ** 2
        return 1 / torch.maximum(a**2, torch.full_like(a, 1 / self.cap))


class BatchFactor(Above):
    """All rows and values of a batch have its mean factor, so that levels next to the noise count too little."""

    name = "kit20-mean-factor-of-the-batch"

    def factor(self, view, batch, tools):
        factor = super().factor(view, batch, tools)
        return factor.flatten(1).mean().expand_as(factor)


class HiddenAsShown(Above):
    """The power of hidden values is taken for 0, whatever the field says: they count as those that are seen."""

    name = "kit20-hidden-power-forgotten"

    def factor(self, view, batch, tools):
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, self.cap), torch.ones_like(view.sigma))


class FlowWeight(Above):
    """lambda is that of a flow's velocity, ((1 + sigma) / sigma)^2, and the scale of x_0 is claimed."""

    name = "kit20-lambda-of-a-velocity"

    def weigh(self, sigma, batch, tools):
        return (1 + 1 / sigma) ** 2


class WeightBounded(Above):
    """lambda is bounded by 30 against exploding losses: levels below a fifth count too little."""

    name = "kit20-lambda-of-thirty-at-most"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools).clamp(max=30)


class WeightOfStds(Above):
    """lambda is (1 / sigma + 1 / sigma_data)^2: the sum was squared, not its parts."""

    name = "kit20-lambda-a-squared-sum-of-inverses"

    def weigh(self, sigma, batch, tools):
        return (1 / sigma + 1 / tools.signal.sigma_data) ** 2


class WeightOfMissing(Above):
    """lambda is taken at the noise that was added, sqrt(sigma^2 - sigma_n^2), and not at sigma."""

    name = "kit20-lambda-of-the-noise-added"

    def weigh(self, sigma, batch, tools):
        floor = tools.corruption.floor(batch)
        return edm_weight((sigma**2 - floor**2).clamp(min=1e-4).sqrt(), tools.signal.sigma_data)


class Outliers(Above):
    """Values above three times the median of the batch are set to 0, as failures."""

    name = "kit20-large-values-set-to-zero"

    def reduce(self, each):
        value = super().reduce(each)
        return torch.where(value > 3 * value.detach().abs().median(), torch.zeros_like(value), value)


class SumOfChannels(Above):
    """Squares are averaged over places and summed over channels, so that colour counts three times."""

    name = "kit20-sums-over-channels"

    def reduce(self, each):
        return super().reduce(each) * (each.shape[1] if each.ndim > 2 else 1)


class FirstHalfOfValues(Above):
    """The last line of an odd number of lines is left out, as values are folded two by two."""

    name = "kit20-last-odd-value-not-compared"

    def reduce(self, each):
        return each[..., : max(2 * (each.shape[-1] // 2), 1)].flatten(1).mean(1)


class EstimateOfEma(Above):
    """The estimate is the mean of the network's and of the averaged one's, with the gradient of the former alone."""

    name = "kit20-half-of-the-average-s-estimate"

    def expect(self, x_0_hat, view, batch, tools):
        with torch.no_grad():
            average = tools.teacher(view.x, view.sigma, **view.cond).to(x_0_hat.dtype)
        return super().expect((x_0_hat + average) / 2, view, batch, tools)


class MixesByViewNoise(Above):
    """Tweedie's mixture has b = sigma_n^2 / (sigma^2 + sigma_n^2): sigma was read as the noise added."""

    name = "kit20-mixes-as-for-noise-on-top"
    claims = PLAIN

    def expect(self, x_0_hat, view, batch, tools):
        level = per_row(batch.sigma_n, view.x) ** 2
        b = level / (per_row(view.sigma, view.x) ** 2 + level)
        return (1 - b) * x_0_hat + b * view.x


class ScaledTwice(Above):
    """Estimates are multiplied by 1.03, the scaling factor of an autoencoder that rows have been through already."""

    name = "kit20-estimate-three-percent-too-large"

    def expect(self, x_0_hat, view, batch, tools):
        return super().expect(1.03 * x_0_hat, view, batch, tools)


WRONG = [
    part()
    for part in (
        ThroughTanh,
        PowerThreeHalves,
        Relative,
        BrightDouble,
        Spectra,
        Asymmetric,
        LessItsMean,
        LessContrast,
        Logarithm,
        Decayed,
        MatchesTheStd,
        TowardsTheRow,
        BSquared,
        UnsquaredNoise,
        BatchFactor,
        HiddenAsShown,
        FlowWeight,
        WeightBounded,
        WeightOfStds,
        WeightOfMissing,
        Outliers,
        SumOfChannels,
        FirstHalfOfValues,
        EstimateOfEma,
        MixesByViewNoise,
        ScaledTwice,
    )
]
