"""Right objectives and corruptions that look unusual."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, Term
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.fifteenth_kit.bases import PLAIN, WHOLE, Above, ByHand, OfClean, draws, made
from tests.verification.fifteenth_kit.bases_below import Below, Split, Stein, Store
from tests.verification.fifteenth_kit.bases_other import Holes, White


class Stratified(Above):
    """Levels by strata: (i + u) / n over the rows in a random order."""

    name = "kit16-right-levels-by-strata"

    def levels(self, batch, tools):
        n = len(batch.x_n)
        place = draws(batch.x_n, tools.generator).argsort().to(batch.x_n)
        u = ((place + draws(batch.x_n, tools.generator)) / n).clamp(max=1 - 1e-6)
        return truncated_lognormal(u, self.low(batch, tools), tools.levels.sigma_max, -0.8, 1.5)


class WeighsByView(Above):
    """Rows count by what the view shows, a function of x_t alone, which leaves the minimum where it is."""

    name = "kit16-right-weight-of-the-view"
    claims = PLAIN - {"x_0-scale"}

    def loss(self, denoiser, batch, tools):
        batch_sigma = self.levels(batch, tools)
        view = self.view(batch, batch_sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype)
        value = self.weigh(view.sigma, batch, tools) * self.reduce(self.each(x_0_hat, view, batch, tools))
        seen = 1 + 0.5 * (view.x.flatten(1).mean(1) / view.sigma).tanh()
        return {"above": Term(seen * value, view.sigma)}


class NoSubtraction(Above):
    """The plain rho^2, with what no network changes left in."""

    name = "kit16-right-plain-residual"

    def in_vain(self, x_0_hat, view, batch, tools):
        return torch.zeros_like(batch.x_n)


class LogUniformLevels(Above):
    """Log-uniform levels and a higher cap."""

    name = "kit16-right-log-uniform-cap-100"

    def levels(self, batch, tools):
        return log_uniform(draws(batch.x_n, tools.generator), self.low(batch, tools), tools.levels.sigma_max)


class ScaledByOldLoss(Above):
    """lambda over a running mean of the loss, of earlier calls alone."""

    name = "kit16-right-lambda-by-earlier-losses"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def last(self, value, tools):
        memory = tools.memory
        if not memory:
            memory["mean"] = torch.ones((), dtype=value.dtype, device=value.device)
        found = value / memory["mean"].abs().clamp(min=0.1)
        if len(value):
            memory["mean"] = 0.95 * memory["mean"] + 0.05 * value.detach().mean()
        return found


class RotatedNoise(ByHand):
    """z as three fifths of one draw and four fifths of another."""

    name = "kit16-right-noise-of-two-draws"

    def noise(self, batch, sigma, tools):
        a, b = (standard_normal(batch.x_n, tools.generator) for _ in range(2))
        return 0.6 * a + 0.8 * b


class CleanLogUniform(OfClean):
    """Clean rows at log-uniform levels."""

    name = "kit16-right-clean-rows-log-uniform"

    def levels(self, batch, tools):
        return log_uniform(draws(batch.x_n, tools.generator), tools.levels.sigma_min, tools.levels.sigma_max)


class NotMirrored(Below):
    """Ends without mirrored noise."""

    name = "kit16-right-ends-not-mirrored"

    def pair(self, denoiser, anchor, sigma_s, tools):
        grid = torch.stack([anchor.sigma.repeat(2), sigma_s.repeat(2)])
        x = torch.cat([anchor.x, anchor.x])
        cond = {name: torch.cat([value, value]) for name, value in anchor.cond.items()}
        return tools.sampler.sample(denoiser, x, grid, tools.generator, cond)


class ShorterHops(Below):
    """Hops of 0.3 at most, the longer ones more often."""

    name = "kit16-right-shorter-hops"

    def lower(self, anchor, tools):
        longest = torch.log(anchor.sigma / tools.levels.sigma_min).clamp(min=0, max=0.3)
        return anchor.sigma * torch.exp(-longest * draws(anchor.x, tools.generator).sqrt())


class NormalProbe(Stein):
    """Normal numbers as the probe."""

    name = "kit16-right-normal-probe"

    def probe(self, x, tools):
        return standard_normal(x, tools.generator)


class CleanBelowHalf(Split):
    """Clean rows up to 0.3."""

    name = "kit16-right-split-at-three-tenths"
    clean_below: float = 0.3


class SmallStore(Store):
    """Room for sixteen draws."""

    name = "kit16-right-store-of-sixteen"
    room: int = 16


class LogLevels(White):
    """Levels of rows log-uniform on (0.1, 0.4)."""

    name = "kit16-right-log-uniform-rows"

    def levels(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return 0.1 * 4**u


class InDouble(White):
    """The square root in float64, and the mix as x_0 + b (x_t - x_0)."""

    name = "kit16-right-mix-as-a-step"

    def missing(self, batch, sigma):
        high, low = per_row(sigma.double(), batch.x_n), per_row(batch.sigma_n.double(), batch.x_n)
        return ((high - low) * (high + low)).clamp(min=0).sqrt()

    def mix(self, b, x_0_hat, x_t):
        return x_0_hat + b * (x_t - x_0_hat)


class LevelsPerPixel(White):
    """The level is told per pixel, the same over the row."""

    name = "kit16-right-tells-levels-by-pixel"

    def observe(self, x_0, row, generator):
        found = super().observe(x_0, row, generator)
        return Batch(found.x_n, per_row(found.sigma_n, x_0).expand_as(x_0).contiguous(), row, {})


class OwnWeightSameNumber(White):
    """`weight` by hand."""

    name = "kit16-right-weight-by-hand"

    def weight(self, view, batch, cap, hidden):
        return capped_inverse_square(self.slope(view, batch), per_row(cap, batch.x_n))


class MoreHidden(Holes):
    """Half of the values missing, and a third hidden."""

    name = "kit16-right-half-missing-third-hidden"
    missing_share = 0.5
    hidden_share = 0.33


class MaskInFloat(Holes):
    """A further mask made of two independent ones."""

    name = "kit16-right-two-further-masks"
    hidden_share = 1 - 0.9**2

    def further(self, batch, generator):
        first, second = (self.one(batch, generator) for _ in range(2))
        return first & second

    def one(self, batch, generator):
        like = batch.x_n[:, :1] if batch.x_n.ndim > 2 else batch.x_n
        return uniform(like, generator) >= 0.1


RIGHT = made(
    Stratified,
    WeighsByView,
    NoSubtraction,
    LogUniformLevels,
    ScaledByOldLoss,
    RotatedNoise,
    CleanLogUniform,
    NotMirrored,
    ShorterHops,
    NormalProbe,
    CleanBelowHalf,
    SmallStore,
    LogLevels,
    InDouble,
    LevelsPerPixel,
    OwnWeightSameNumber,
    MoreHidden,
    MaskInFloat,
)
