"""Wrong corruptions: of noise, of masks and of operators."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.ambient import top_up
from ambientkit.maths.masks import draw_mask
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import made


def _missing(batch, sigma):
    return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()


class WholeSigma(Gaussian):
    """`degrade` adds sigma z to rows that have noise already."""

    name = "kit12-whole-sigma"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=top_up(batch.x_n, torch.zeros_like(batch.sigma_n), sigma, generator))


class MeanOfPixels(Gaussian):
    """`expect` takes the mean of levels per pixel."""

    name = "kit12-mean-of-pixels"

    def expect(self, x_0_hat, view, batch):
        n = batch.sigma_n
        n = n.expand_as(batch.x_n).flatten(1).mean(1) if n.ndim > 1 else n
        return super().expect(x_0_hat, view, batch._replace(sigma_n=n))


class RatioUnsquared(Gaussian):
    """`expect` mixes by sigma_n / sigma, the square forgotten."""

    name = "kit12-ratio-unsquared"

    def expect(self, x_0_hat, view, batch):
        b = per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)
        return (1 - b) * x_0_hat + b * view.x


class FloorOfMean(Gaussian):
    """The floor of a row with levels per pixel is their mean."""

    name = "kit12-floor-of-mean"

    def floor(self, batch):
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)


class FirstGenerator(Gaussian):
    """Of a list of generators the first draws for all rows."""

    name = "kit12-first-generator"

    def observe(self, x_0, row, generator):
        return super().observe(x_0, row, generator[0] if isinstance(generator, list | tuple) else generator)

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator[0] if isinstance(generator, list | tuple) else generator)


class Saturated(Gaussian):
    """Observations are clipped to [-1, 1], as a detector clips."""

    name = "kit12-saturated"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return found._replace(x_n=found.x_n.clamp(-1, 1))


class GreyNoise(Gaussian):
    """`observe` adds the same noise to all channels of a picture."""

    name = "kit12-grey-noise"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        if x_0.ndim < 4:
            return found
        z = (found.x_n - x_0)[:, :1].expand_as(x_0)
        return found._replace(x_n=x_0 + z)


class SignalDependent(Gaussian):
    """The std of the noise grows with the value of the pixel, and is declared as sigma_n."""

    name = "kit12-signal-dependent"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return found._replace(x_n=x_0 + (found.x_n - x_0) * (0.5 + 0.5 * x_0.abs()).sqrt())


class MeanDeclared(Gaussian):
    """Each row has a level of its own, and all declare the mean of the range."""

    name = "kit12-mean-declared"
    sigma_n: float | tuple[float, float] = (0.1, 0.4)

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        if isinstance(self.sigma_n, tuple):
            return found._replace(sigma_n=torch.full_like(found.sigma_n, sum(self.sigma_n) / 2))
        return found


class CondLost(Gaussian):
    """`degrade` gives views without the conditions of their rows."""

    name = "kit12-cond-lost"

    def degrade(self, batch, sigma, generator):
        return super().degrade(batch, sigma, generator)._replace(cond={})


class NoRefusal(Gaussian):
    """Below the floor `degrade` returns the row as it is, labelled with the level asked for."""

    name = "kit12-no-refusal"

    def degrade(self, batch, sigma, generator):
        z = standard_normal(batch.x_n, generator)
        return View(batch.x_n + _missing(batch, sigma) * z, sigma, batch.cond)


class VariancePreserving(Gaussian):
    """Views are scaled by 1 / sqrt(1 + sigma^2), as in the variance-preserving form."""

    name = "kit12-variance-preserving"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        return view._replace(x=view.x / (1 + per_row(sigma, view.x) ** 2).sqrt())


class SkewNoise(Gaussian):
    """The noise that `degrade` adds is exponential, of mean 0 and the right variance."""

    name = "kit12-skew-noise"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        z = -torch.log1p(-uniform(batch.x_n, generator)) - 1
        return view._replace(x=batch.x_n + _missing(batch, sigma) * z)


class SmoothNoise(Gaussian):
    """The noise that `degrade` adds is averaged over two neighbours along the last axis, at the right variance."""

    name = "kit12-smooth-noise"

    def degrade(self, batch, sigma, generator):
        view = super().degrade(batch, sigma, generator)
        z = standard_normal(batch.x_n, generator)
        return view._replace(x=batch.x_n + _missing(batch, sigma) * (z + z.roll(1, -1)) / 2**0.5)


class KeyedByRow(Gaussian):
    """`observe` seeds its noise by the number of the row alone, and leaves the run's generator alone."""

    name = "kit12-keyed-by-row"

    def observe(self, x_0, row, generator):
        return super().observe(x_0, row, [torch.Generator().manual_seed(int(one)) for one in row])


class RowsMoved(Gaussian):
    """`degrade` adds the noise to the rows of the batch themselves."""

    name = "kit12-rows-moved"

    def degrade(self, batch, sigma, generator):
        z = standard_normal(batch.x_n, generator)
        super().degrade(batch, sigma, generator)
        return View(batch.x_n.add_(_missing(batch, sigma) * z), sigma, batch.cond)


class FreshMask(Mask):
    """A view's mask is drawn anew, whether or not the row has these values."""

    name = "kit12-fresh-mask"

    def degrade(self, batch, sigma, generator):
        shown = draw_mask(batch.x_n, self.kind, self.missing + self.drop, generator)
        return self._view(batch, sigma, shown.expand(len(batch.x_n), *self._shape(batch.x_n)), generator)


class SameFurtherMask(Mask):
    """What a view hides on top is keyed by the row, and so the same in every call."""

    name = "kit12-same-further-mask"

    def degrade(self, batch, sigma, generator):
        own = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        return self._view(batch, sigma, self._seen(batch) & draw_mask(batch.x_n, self.kind, self.drop, own), generator)


class MaskOfBatch(Mask):
    """All rows of a call hide the same values on top."""

    name = "kit12-mask-of-batch"

    def degrade(self, batch, sigma, generator):
        one = generator[0] if isinstance(generator, list | tuple) else generator
        further = draw_mask(batch.x_n[:1], self.kind, self.drop, one)
        return self._view(batch, sigma, self._seen(batch) & further, generator)


class ZerosExpected(Mask):
    """`expect` answers with the estimate for values that were never measured, and holds it against their 0."""

    name = "kit12-zeros-expected"

    def expect(self, x_0_hat, view, batch):
        mixed = Gaussian.expect(Gaussian(), x_0_hat, view, batch._replace(sigma_n=self._level(batch)))
        return torch.where(view.cond["mask"], mixed, x_0_hat)


class HiddenOnce(Mask):
    """Errors of hidden values are not divided by the chance that these were measured."""

    name = "kit12-hidden-once"

    def weight(self, view, batch, cap, hidden):
        found = super().weight(view, batch, cap, hidden)
        plain = per_row(hidden.to(found), found).expand_as(found)
        hides = self._seen(batch) & ~view.cond["mask"]
        return torch.where(hides, plain, found)


class NotCarriedBack(Linear):
    """Views are the measurements y_t themselves, not carried back by the transpose."""

    name = "kit12-not-carried-back"

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(x=view.cond["measured"])


class NoiseBeforeOperator(Linear):
    """The noise is added before the operator, A (x_0 + sigma_n z)."""

    name = "kit12-noise-before-operator"
    sigma_n: float | tuple[float, float] = 0.2

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        noisy = x_0 + per_row(found.sigma_n, x_0) * standard_normal(x_0, generator)
        y = self.operator.forward(noisy, {})
        return Batch(torch.where(found.cond["sampled"], y, 0.0), found.sigma_n, row, found.cond)


class MixedWhereHidden(Linear):
    """`expect` mixes a A h + b y_t for measurements that the view hides, too."""

    name = "kit12-mixed-where-hidden"
    sigma_n: float | tuple[float, float] = 0.2

    def expect(self, x_0_hat, view, batch):
        y = self.operator.forward(x_0_hat, self._given(batch))
        b = (per_row(batch.sigma_n, y) / per_row(view.sigma, y)) ** 2
        mixed = (1 - b) * y + b * view.cond["measured"]
        return torch.where(batch.cond["sampled"].bool(), mixed, torch.zeros_like(mixed))


WRONG = made(globals())
