"""Wrong corruptions of white noise."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch
from ambientkit.maths.ambient import clean_std
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.nineteenth_kit.bases import White, listed, pictured

KEPT: dict[tuple[int, ...], torch.Tensor] = {}


class TellsTheMiddle(White):
    """Rows have levels of their own between 0.1 and 0.3, and all of them tell the middle of that range."""

    name = "kit19-tells-the-middle-of-the-range"

    sigma_n: float | tuple[float, float] = (0.1, 0.3)

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return found._replace(sigma_n=torch.full_like(found.sigma_n, 0.2))


class TellsTenths(White):
    """The level is told in tenths, as a file stores it: 0.25 comes out as 0.2."""

    name = "kit19-tells-the-level-in-tenths"

    sigma_n: float | tuple[float, float] = 0.25

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return found._replace(sigma_n=(10 * found.sigma_n).floor() / 10)


class Speckle(White):
    """The noise is multiplied by the picture, as speckle is."""

    name = "kit19-observes-speckle"

    def noise_of_rows(self, x_0, row, generator):
        return x_0 * standard_normal(x_0, generator)


class Shot(White):
    """The variance of the noise follows the brightness, as that of counts does, and one level is told."""

    name = "kit19-observes-shot-noise"

    def noise_of_rows(self, x_0, row, generator):
        return (1 + x_0.clamp(-1, 1)).sqrt() * standard_normal(x_0, generator)


class HotPixels(White):
    """One value in fifty has noise five times as strong."""

    name = "kit19-observes-hot-pixels"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        return torch.where(uniform(x_0, generator) < 0.02, 5 * z, z)


class Offset(White):
    """The noise has a mean of a fifth of its std, a dark current that was not taken off."""

    name = "kit19-observes-with-an-offset"

    def noise_of_rows(self, x_0, row, generator):
        return 0.2 + standard_normal(x_0, generator)


class Smoothed(White):
    """Clean rows are smoothed before noise is added, as by a resize: the noise is white, and x_0 another one."""

    name = "kit19-observes-smoothed-rows"

    def observe(self, x_0, row, generator):
        return super().observe(0.7 * x_0 + 0.15 * x_0.roll(1, -1) + 0.15 * x_0.roll(-1, -1), row, generator)


class VPRows(White):
    """Observations are alpha x_0 + s z with alpha^2 + s^2 = 1, and are not divided by alpha."""

    name = "kit19-observes-a-vp-mixture"

    def observe(self, x_0, row, generator):
        alpha = (1 - torch.as_tensor(self.sigma_n).double().square().max()).sqrt().to(x_0.dtype)
        return super().observe(alpha * x_0, row, generator)


class Tiled(White):
    """Noise of the left half is repeated on the right, from a tile that was too small."""

    name = "kit19-observes-tiled-noise"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        half = z.shape[-1] // 2
        return torch.cat([z[..., : z.shape[-1] - half], z[..., :half]], -1) if half else z


class Centred(White):
    """The mean of each row's noise is taken off, so that its values are not independent."""

    name = "kit19-observes-centred-noise"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        return z - z.flatten(1).mean(1).reshape(-1, *[1] * (z.ndim - 1))


class Exact(White):
    """The noise of each row is scaled so that its root mean square is the level exactly."""

    name = "kit19-observes-noise-of-an-exact-norm"

    def noise_of_rows(self, x_0, row, generator):
        z = standard_normal(x_0, generator)
        return z / per_row(z.flatten(1).square().mean(1).sqrt(), z)


class ByTheRowAlone(White):
    """The noise of a row is keyed by its number alone, whatever generator is given: all seeds have the same."""

    name = "kit19-observes-by-the-row-alone"

    def noise_of_rows(self, x_0, row, generator):
        return standard_normal(x_0, [torch.Generator().manual_seed(int(one)) for one in row])


class NoiseOfTheBatch(White):
    """The draw of the first row is broadcast over the batch."""

    name = "kit19-observes-one-draw-for-the-batch"

    def noise_of_rows(self, x_0, row, generator):
        return standard_normal(x_0, generator)[:1].expand_as(x_0)


class RootOfTheDifference(White):
    """`degrade` adds noise of std sqrt(sigma - sigma_n)."""

    name = "kit19-adds-the-root-of-the-difference"

    def missing(self, batch, sigma):
        return (per_row(sigma, batch.x_n) - per_row(batch.sigma_n, batch.x_n)).clamp(min=0).sqrt()


class FifteenthLess(White):
    """`degrade` adds a fifteenth less noise than is missing."""

    name = "kit19-adds-a-fifteenth-less"

    def missing(self, batch, sigma):
        return super().missing(batch, sigma) * 14 / 15


class VPViews(White):
    """Views are divided by sqrt(1 + sigma^2), the scale of a VP network, by the corruption itself."""

    name = "kit19-views-in-the-scale-of-vp"

    def shown(self, batch, x, sigma):
        return super().shown(batch, x / per_row(torch.sqrt(1 + sigma**2), x), sigma)


class TellsWhatWasAdded(White):
    """Views tell the std of the noise that was added, without that of the row."""

    name = "kit19-views-tell-the-noise-added"

    def shown(self, batch, x, sigma):
        return super().shown(batch, x, (sigma**2 - self.floor(batch) ** 2).clamp(min=1e-8).sqrt())


class NoiseOfTheFirstCall(White):
    """Noise of views is kept by the shape of the batch, and that of the first call is used for good."""

    name = "kit19-noise-of-views-kept-by-shape"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        return KEPT.setdefault((id(type(self)), *z.shape), z).to(z)


class NoiseOfOneSign(White):
    """Noise of views is half-normal on one side: `abs` was left over from a plot."""

    name = "kit19-noise-of-views-of-one-sign"

    def noise_of_views(self, batch, generator):
        return standard_normal(batch.x_n, generator).abs()


class TailsOfViews(White):
    """Noise of views is normal at the first channel and Laplace of the same std at the others."""

    name = "kit19-laplace-noise-in-further-channels"

    def noise_of_views(self, batch, generator):
        z = standard_normal(batch.x_n, generator)
        if not pictured(z) or z.shape[1] == 1:
            return z
        u = uniform(z, generator) - 0.5
        laplace = -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.4999999)) / 2**0.5
        return torch.cat([z[:, :1], laplace[:, 1:]], 1)


class RefusesTheFloor(White):
    """Levels at the floor itself are refused with an error, and the error is the fault: the floor can be used."""

    name = "kit19-refuses-its-own-floor"

    def refused(self, batch, sigma):
        at = sigma <= self.floor(batch)
        if at.any():
            raise ValueError(f"row {int(batch.row[int(at.nonzero()[0])])} cannot be seen at or below its noise level")


class FloorByEnergy(White):
    """The floor of noise by pixel is its root mean square, and pixels above it are not topped up."""

    name = "kit19-floor-is-the-root-mean-square"

    def floor(self, batch):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)
        return level.flatten(1).square().mean(1).sqrt()

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)).clamp(max=1) ** 2
        return (1 - b) * x_0_hat + b * view.x


class ExpectsInPlace(White):
    """`expect` works in the tensor that it is given, which its caller goes on using."""

    name = "kit19-expects-in-place"

    def expect(self, x_0_hat, view, batch):
        found = super().expect(x_0_hat, view, batch)
        if x_0_hat.requires_grad:
            return found
        return x_0_hat.copy_(found)


class BAtMost(White):
    """b is 0.8 at most, "so that the network always has something to learn"."""

    name = "kit19-expects-with-b-at-most-four-fifths"

    def expect(self, x_0_hat, view, batch):
        b = ((per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2).clamp(max=0.8)
        return (1 - b) * x_0_hat + b * view.x


class WithEps(White):
    """b = sigma_n^2 / (sigma^2 + 0.01): a number against a division by 0 that is no small one here."""

    name = "kit19-expects-with-a-hundredth-below"

    def expect(self, x_0_hat, view, batch):
        b = per_row(batch.sigma_n, view.x) ** 2 / (per_row(view.sigma, view.x) ** 2 + 0.01)
        return (1 - b) * x_0_hat + b * view.x


class MeanSigma(White):
    """b is made with the mean level of the views of the batch."""

    name = "kit19-expects-by-the-mean-level-of-views"

    def expect(self, x_0_hat, view, batch):
        mean = torch.maximum(view.sigma.mean().expand_as(view.sigma), self.floor(batch))
        return super().expect(x_0_hat, view._replace(sigma=mean), batch)


class WithoutB(White):
    """`expect` leaves b x_t out where it is below a tenth, as it is "noise"."""

    name = "kit19-expects-without-a-small-b"

    def expect(self, x_0_hat, view, batch):
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + torch.where(b < 0.1, torch.zeros_like(b), b) * view.x


class SlopeOne(White):
    """`slope` gives 1 everywhere, to save a call, so that nothing makes up for a."""

    name = "kit19-slope-is-one"

    def slope(self, view, batch):
        return torch.ones_like(view.x)


class SlopeByTheFirst(White):
    """`slope` is that of the first row for all rows."""

    name = "kit19-slope-of-the-first-row"

    def slope(self, view, batch):
        found = super().slope(view, batch)
        return found[:1].expand_as(found)


class VarianceForStd(White):
    """`clean_std` gives the variance."""

    name = "kit19-clean-std-is-a-variance"

    def clean_std(self, batch):
        return super().clean_std(batch) ** 2


class MeanLevelSquared(White):
    """`clean_std` takes off the square of the mean level, not the mean of the squares: too little."""

    name = "kit19-clean-std-by-the-mean-level"

    sigma_n: float | tuple[float, float] = (0.05, 0.9)

    def clean_std(self, batch):
        return clean_std(batch.x_n, batch.sigma_n.double().mean().expand(len(batch.x_n)))


class WithoutCap(White):
    """`weight` is 1 / a^2 without its bound, but for one of 10^6."""

    name = "kit19-weight-without-its-cap"

    def weight(self, view, batch, cap, hidden):
        return super().weight(view, batch, torch.full_like(cap, 1e6), hidden)


class CapSquared(White):
    """`weight` is min(1 / a, cap)^2: the bound is squared as well."""

    name = "kit19-weight-with-its-cap-squared"

    def weight(self, view, batch, cap, hidden):
        return super().weight(view, batch, cap**2, hidden)


class RowsWithoutNumbers(White):
    """Rows are numbered by their place in the batch, not by their row of the data set."""

    name = "kit19-rows-by-their-place"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return Batch(found.x_n, found.sigma_n, torch.arange(len(row), device=row.device), {})


WRONG = listed(globals())
