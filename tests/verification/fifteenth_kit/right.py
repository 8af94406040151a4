"""Right objectives and memorisation parts in other ways."""

from __future__ import annotations

import torch

from ambientkit.batch import take
from ambientkit.maths import copying
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.weights import min_snr_weight
from ambientkit.memorisation_parts import MemoryMeasure, Similarity

from .bases import WHOLE, Above, ByHand, Mirror, OfClean, draws, made
from .bases_below import Below, Split, Stein, Store
from .memory import Restored


class RightAbove(Above):
    """Tweedie with log-normal levels of other constants."""

    name = "kit15-right-above"


class RightByHand(ByHand):
    """Tweedie with the noise and the mix written out."""

    name = "kit15-right-by-hand"


class RightMirror(Mirror):
    """Pairs of every row."""

    name = "kit15-right-mirror"


class RightMinSNR(Above):
    """min-SNR weights, which do not claim EDM's scale."""

    name = "kit15-right-min-snr"
    claims = WHOLE - {"x_0-scale", "scale-under-masks"}

    def weigh(self, sigma, batch, tools):
        return min_snr_weight(sigma, tools.signal.sigma_data, 5.0)


class RightStrata(Above):
    """Levels by strata: one in each of B equal shares, dealt to the rows at random."""

    name = "kit15-right-strata"

    def levels(self, batch, tools):
        low = self.low(batch, tools)
        place = draws(batch.x_n, tools.generator).argsort()
        u = ((place + draws(batch.x_n, tools.generator)) / len(place)).clamp(max=1 - 1e-7)
        return truncated_lognormal(u, low, tools.levels.sigma_max, -1.0, 1.3)


class RightLastRows(Above):
    """The last two thirds of the rows, with their own conditions."""

    name = "kit15-right-last-rows"

    def rows(self, batch, tools):
        n = len(batch.x_n)
        return take(batch, torch.arange(n // 3, n, device=batch.x_n.device))


class RightOfClean(OfClean):
    """Denoising of clean rows at log-uniform levels."""

    name = "kit15-right-of-clean"

    def levels(self, batch, tools):
        return log_uniform(draws(batch.x_n, tools.generator), tools.levels.sigma_min, tools.levels.sigma_max)


class RightBelow(Below):
    """Consistency on all noisy rows."""

    name = "kit15-right-below"


class RightSingles(Below):
    """Consistency by two single ends in place of two pairs: independent, and noisier."""

    name = "kit15-right-singles"

    def pair(self, denoiser, anchor, sigma_s, tools):
        grid = torch.stack([anchor.sigma, sigma_s])
        return tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond)

    def at_ends(self, denoiser, ends, sigma_s, anchor):
        return denoiser(ends, sigma_s, **anchor.cond).to(ends.dtype)


class RightSplit(Split):
    """Clean rows low, noisy rows above their noise."""

    name = "kit15-right-split"


class RightStein(Stein):
    """A Gaussian probe."""

    name = "kit15-right-stein"

    def probe(self, x, tools):
        return standard_normal(x, tools.generator)


class RightStore(Store):
    """Posterior draws in memory."""

    name = "kit15-right-store"


class RightAttack(Restored):
    """Noise of four stds, restored."""

    name = "kit15-right-attack"


class RightRatio(MemoryMeasure):
    """The mean of 1 - d_1 / d_2, less that of held-out rows."""

    name = "kit15-right-mean-ratio"
    source = "arXiv 2310.02664 (the ratio)"
    claims = frozenset({"sees-copies"})
    title = "mean ratio"
    means = "how much nearer samples lie to one training row than to the second, less the same of held-out rows"

    def by_row(self, judged, null, train, seed):
        return copying.ratios(judged.distance).unsqueeze(1), copying.ratios(null.distance).unsqueeze(1)

    def value(self, judged, null, train):
        return float(null.mean() - judged.mean())


class RightGradients(Similarity):
    """Differences of neighbouring values of flat rows, over their size: brightness and contrast do not count."""

    name = "kit15-right-differences"
    source = "the definition"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        found = flat[:, 1:] - flat[:, :-1]
        return found / per_row(found.square().mean(1).sqrt().clamp(min=1e-3), found)


RIGHT = made(
    RightAbove,
    RightByHand,
    RightMirror,
    RightMinSNR,
    RightStrata,
    RightLastRows,
    RightOfClean,
    RightBelow,
    RightSingles,
    RightSplit,
    RightStein,
    RightStore,
    RightAttack,
    RightRatio,
    RightGradients,
)
