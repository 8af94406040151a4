"""Wrong objectives: residuals, weights and means above the noise of the data."""

from __future__ import annotations

import torch
from torch.nn import functional

from ambientkit.batch import Term
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.weights import edm_weight, hidden_factor, min_snr_weight
from tests.verification.nineteenth_kit.bases import PIXELS, Above, listed, pictured
from tests.verification.seventeenth_kit.bases import OfClean


class BoundedInTheMixture(Above):
    """a is bounded below by 0.3 in the mixture itself, not in the weight alone: next to sigma_n it is another one."""

    name = "kit19-a-bounded-in-the-mixture"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch).clamp(min=0.3)
        return a * x_0_hat + (1 - a) * view.x


class RootOfA(Above):
    """Tweedie's mixture with the root of a, so that the squares of the two shares add up to 1."""

    name = "kit19-mixes-by-the-root-of-a"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        a = tools.corruption.slope(view, batch)
        return a.clamp(min=0).sqrt() * x_0_hat + (1 - a) * view.x


class AddedNoiseAsTarget(Above):
    """The noise that the estimate implies is compared with the one that was added, without that of the row."""

    name = "kit19-compares-with-the-noise-added"
    claims = PIXELS

    def each(self, x_0_hat, view, batch, tools):
        level = per_row(view.sigma, batch.x_n)
        added = (level**2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=1e-6).sqrt()
        return (view.x - x_0_hat - level * (view.x - batch.x_n) / added) ** 2


class InVainByTheEstimate(Above):
    """What no network changes is computed with the network's estimate in the place of x_n, and with its gradient."""

    name = "kit19-subtracts-by-the-estimate"

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        if view.x.shape != batch.x_n.shape:
            return self.factor(view, batch, tools) * rho**2
        vain = (self.expect(x_0_hat, view, batch, tools) - x_0_hat) ** 2
        return self.factor(view, batch, tools) * (rho**2 - vain)


class AfterAStep(Above):
    """The denoiser is asked after a step of the flow to half of the level, and that answer is held against x_n."""

    name = "kit19-denoises-after-a-step-of-the-flow"
    claims = PIXELS

    def ask(self, denoiser, view, batch):
        with torch.no_grad():
            half = (super().ask(denoiser, view, batch) + view.x) / 2
        return denoiser(half.to(view.x.dtype), view.sigma / 2, **view.cond)


class LowNoiseIsClean(Above):
    """Noise below 0.12 is "negligible": such values are taken for clean in the mixture."""

    name = "kit19-low-noise-taken-for-clean"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n)
        return torch.where(level < 0.12, x_0_hat, super().expect(x_0_hat, view, batch, tools))


class LevelOfTheFirstRow(Above):
    """The mixture is made with sigma of the first row of the batch for all rows, as a number was cached."""

    name = "kit19-mixes-by-the-first-row-s-level"

    def expect(self, x_0_hat, view, batch, tools):
        first = torch.maximum(view.sigma[:1].expand_as(view.sigma), tools.corruption.floor(batch))
        return super().expect(x_0_hat, view._replace(sigma=first), batch, tools)


class NoiseOfTheBatch(Above):
    """The mixture is made with the mean noise level of the batch, though rows differ."""

    name = "kit19-mixes-by-the-noise-of-the-batch"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        mean = torch.minimum(batch.sigma_n.double().mean().to(view.sigma.dtype).expand_as(view.sigma), view.sigma)
        return tools.corruption.expect(x_0_hat, view, batch._replace(sigma_n=mean))


class TenPercentMoreNoise(Above):
    """The noise of rows is taken for a tenth stronger than it is, as a margin."""

    name = "kit19-mixes-with-a-tenth-more-noise"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        return tools.corruption.expect(x_0_hat, view, batch._replace(sigma_n=1.1 * batch.sigma_n))


class LambdaSum(Above):
    """lambda is (sigma^2 + sigma_data^2) / (sigma + sigma_data)^2: a product was read as a sum."""

    name = "kit19-lambda-over-the-squared-sum"

    def weigh(self, sigma, batch, tools):
        std = tools.signal.sigma_data
        return (sigma**2 + std**2) / (sigma + std) ** 2


class LambdaMinSNR(Above):
    """min-SNR weights, with the claim of EDM's scale left in place."""

    name = "kit19-lambda-of-min-snr-claims-the-scale"

    def weigh(self, sigma, batch, tools):
        return min_snr_weight(sigma, tools.signal.sigma_data, 5.0)


class LambdaForUnitStd(Above):
    """lambda is that of data of std 1, 1 + 1 / sigma^2, whatever the std of the data is."""

    name = "kit19-lambda-for-data-of-std-one"

    def weigh(self, sigma, batch, tools):
        return edm_weight(sigma, 1.0)


class LambdaInHalf(Above):
    """lambda is made in half precision, where 1 / sigma^2 overflows below 0.004."""

    name = "kit19-lambda-in-half-precision"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools).half().to(sigma.dtype)


class LambdaTenthAbove(Above):
    """lambda is taken a tenth above the level, where the grid of another program has its middle."""

    name = "kit19-lambda-a-tenth-above-the-level"

    def weigh(self, sigma, batch, tools):
        return edm_weight(1.1 * sigma, tools.signal.sigma_data)


class LevelDensityInLambda(Above):
    """lambda is divided by sigma, for the density of levels that log sigma was drawn from: it counts twice."""

    name = "kit19-lambda-over-the-density"

    def weigh(self, sigma, batch, tools):
        return super().weigh(sigma, batch, tools) * tools.signal.sigma_data / sigma


class OverTheBatch(Above):
    """Values are divided by the number of rows, which the trainer does as well."""

    name = "kit19-divides-by-the-batch-too"

    def term(self, value, sigma, batch):
        return Term(value / len(value), sigma)


class ValueByChannel(Above):
    """A value is given for each channel of a row, more of them than there are rows."""

    name = "kit19-a-value-for-each-channel"

    def loss(self, denoiser, batch, tools):
        (term,) = super().loss(denoiser, batch, tools).values()
        channels = batch.x_n.shape[1] if pictured(batch.x_n) else 2
        return {"above": Term(term.value.repeat_interleave(channels), term.sigma.repeat_interleave(channels))}


class TrimsSquares(Above):
    """The largest tenth of the squares of each row is left out, as outliers."""

    name = "kit19-trims-the-largest-squares"

    def reduce(self, each):
        flat = each.flatten(1)
        return flat.sort(1).values[:, : max(1, flat.shape[1] - max(1, flat.shape[1] // 10))].mean(1)


class AbsoluteResidual(Above):
    """The absolute residual in the place of the squared one, for sharper pictures: it learns a median."""

    name = "kit19-absolute-residual"

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        return self.factor(view, batch, tools).sqrt() * rho.abs() * tools.signal.sigma_data


class MeansOfTwo(Above):
    """Residuals are averaged over pairs of neighbours before they are squared: what differs within is not taught."""

    name = "kit19-compares-means-of-two"

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        both = (rho + rho.roll(1, -1)) / 2
        return self.factor(view, batch, tools) * both**2


class WithoutTheBorder(Above):
    """The outermost columns of pictures are left out, as their values come from padding."""

    name = "kit19-leaves-out-the-border"

    def reduce(self, each):
        return super().reduce(each[..., 1:-1] if pictured(each) and each.shape[-1] > 2 else each)


class FactorInsideTheSquare(Above):
    """The factor is put inside the square, so that it counts twice: 1 / a^4."""

    name = "kit19-factor-inside-the-square"

    def each(self, x_0_hat, view, batch, tools):
        rho = self.expect(x_0_hat, view, batch, tools) - batch.x_n
        factor = self.factor(view, batch, tools)
        return factor**2 * rho**2 - factor * self.in_vain(x_0_hat, view, batch, tools)


class MeanOfTheMeasured(Above):
    """A row's mean is over the values that were measured, on top of the weights that make up for the others."""

    name = "kit19-mean-over-the-measured-values"

    def each(self, x_0_hat, view, batch, tools):
        each = super().each(x_0_hat, view, batch, tools)
        known = batch.cond.get("mask", batch.cond.get("sampled"))
        return (
            each
            if known is None
            else each / known.double().flatten(1).mean(1).clamp(min=0.1).to(each).reshape(-1, *[1] * (each.ndim - 1))
        )


class ShownAlone(Above):
    """Only values that the view shows count: what it hides is never taught."""

    name = "kit19-hidden-values-count-nothing"

    def factor(self, view, batch, tools):
        shown = view.cond.get("mask", view.cond.get("sampled"))
        found = super().factor(view, batch, tools)
        return found if shown is None else torch.where(shown.bool(), found, torch.zeros_like(found))


class HalfThePower(Above):
    """The weight of hidden values has half the power that the field says, as a root was taken on the way."""

    name = "kit19-half-of-hidden-power"

    def factor(self, view, batch, tools):
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data, self.hidden_power / 2)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, self.cap), hidden)


class EstimateInSixteenths(Above):
    """Estimates are rounded to a step of a sixteenth, with the gradient passed straight through."""

    name = "kit19-estimate-in-sixteenths"

    def ask(self, denoiser, view, batch):
        found = super().ask(denoiser, view, batch)
        return found + ((16 * found).floor() / 16 - found).detach()


class AddsTotalVariation(Above):
    """A small penalty on differences of neighbours in the estimate is added, "for less noise"."""

    name = "kit19-adds-total-variation"

    def each(self, x_0_hat, view, batch, tools):
        tv = (x_0_hat - x_0_hat.roll(1, -1)) ** 2
        found = super().each(x_0_hat, view, batch, tools)
        return found + 0.1 * (tv if tv.shape == found.shape else tv.mean())


class PenalisesRange(Above):
    """A hinge keeps estimates within [-1, 1], where they need not lie."""

    name = "kit19-penalises-values-beyond-one"

    def each(self, x_0_hat, view, batch, tools):
        found, beyond = super().each(x_0_hat, view, batch, tools), functional.relu(x_0_hat.abs() - 1) ** 2
        return found + (beyond if beyond.shape == found.shape else beyond.mean())


class MeanOfTheRow(Above):
    """A term holds the mean of the estimate to that of the noisy view, whose noise it then has."""

    name = "kit19-keeps-the-mean-of-the-view"

    def each(self, x_0_hat, view, batch, tools):
        mean = ((x_0_hat - view.x).flatten(1).mean(1)) ** 2
        return super().each(x_0_hat, view, batch, tools) + mean.reshape(-1, *[1] * (batch.x_n.ndim - 1))


class ShrinksTargets(OfClean):
    """Targets are moved a twentieth towards the mean row of the batch, as labels are smoothed."""

    name = "kit19-targets-towards-the-mean-row"

    def expect(self, x_0_hat, view, batch, tools):
        return x_0_hat + 0.1 * (batch.x_n - batch.x_n.mean(0, keepdim=True))


class DropsTheGradientOfClean(Above):
    """Rows without noise have their gradient cut, as `where` was put around a detached branch."""

    name = "kit19-clean-rows-without-gradient"

    def ask(self, denoiser, view, batch):
        found = super().ask(denoiser, view, batch)
        clean = (per_row(batch.sigma_n, batch.x_n) == 0).expand_as(batch.x_n).flatten(1).all(1)
        return torch.where(clean.reshape(-1, *[1] * (found.ndim - 1)), found.detach(), found)


class NoiseWithDropout(Above):
    """The noise that the estimate takes away is multiplied by random numbers of mean 1 and std 0.2, as by dropout."""

    name = "kit19-dropout-on-the-noise-removed"
    claims = PIXELS

    def expect(self, x_0_hat, view, batch, tools):
        z = standard_normal(x_0_hat, tools.generator)
        return super().expect(x_0_hat + 0.2 * z * (x_0_hat - view.x), view, batch, tools)


WRONG = listed(globals())
