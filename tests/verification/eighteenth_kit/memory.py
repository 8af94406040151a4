"""Right similarities, attacks and measures of memorisation."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.errors import InputError
from ambientkit.maths.copying import mann_whitney_z, ratios
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation_parts import Attack, Attempt, Similarity

from .bases import final


class AboveTheMedian(Similarity):
    """1 for values above the median of their row, 0 for the others, those equal to it among them."""

    name = "kit18-above-the-median"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat > flat.median(dim=1, keepdim=True).values).to(rows.dtype).reshape(rows.shape)


class HalfPixels(Similarity):
    """Values rounded to float16 and widened again, as features that are stored small."""

    name = "kit18-pixels-in-half-precision"
    claims = frozenset({"row-by-row"})
    moves = True

    def view(self, rows):
        return rows.to(torch.float16).to(torch.float32)


class RunningSums(Similarity):
    """Running means of the values from the first on, in float64, three rows at a time."""

    name = "kit18-running-means"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        parts = []
        for few in rows.flatten(1).double().split(3):
            count = torch.arange(1, few.shape[1] + 1, device=rows.device)
            parts.append(few.cumsum(1) / count)
        return torch.cat(parts) if parts else rows.flatten(1).double()


class AntitheticLoss(Loss):
    """The error of the denoiser over draws in pairs of opposite noise."""

    name = "kit18-loss-of-opposite-noise"

    def attempt(self, x, keys, target):
        level = target.sigma_data if self.level is None else self.level
        low, high = max(target.levels.sigma_min, target.sigma_n), target.levels.sigma_max
        if not low < level < high:
            raise InputError(f"level {level:g} should lie between {low:g} and {high:g}")
        missing = (level**2 - target.sigma_n**2) ** 0.5
        generators = target.generators("kit18.loss", keys)
        drawn = [standard_normal(x, generators) for _ in range((target.draws + 1) // 2)]
        z = torch.stack([sign * one for one in drawn for sign in (1, -1)][: target.draws], 1)
        noisy = x.unsqueeze(1) + missing * z
        answers = target.denoised(noisy.flatten(0, 1), torch.full((noisy.shape[0] * noisy.shape[1],), level))
        draws = answers.reshape(noisy.shape)
        error = (draws - x.unsqueeze(1)).flatten(1).double().square().mean(1)
        return Attempt(noisy[:, 0], draws, error)


class TwoStds(Noise):
    """Noise of twice the std of the data, on five rows at a time."""

    name = "kit18-noise-of-two-stds"

    def attempt(self, x, keys, target):
        usual = min(max(2 * target.sigma_data, 1.5 * target.sigma_n), 0.9 * target.levels.sigma_max)
        chosen = self.model_copy(update={"level": usual if self.level is None else self.level})
        parts = [
            Noise.attempt(chosen, x[first : first + 5], keys[first : first + 5], target)
            for first in range(0, max(len(x), 1), 5)
        ]
        return Attempt(torch.cat([part.corrupted for part in parts]), torch.cat([part.draws for part in parts]))


class EverySecondValue(Attack):
    """Every second value of a row is hidden, the even or the odd ones by chance, and completed."""

    name = "kit18-every-second-value-hidden"
    claims = frozenset({"blind"})

    def attempt(self, x, keys, target):
        if target.sigma_n:
            raise InputError("every-second-value-hidden is for clean rows: use noise")
        turns = [
            int(torch.randint(2, (), generator=one)) for one in target.generators("kit18.every-second-value", keys)
        ]
        place = torch.arange(x[0].numel()).unsqueeze(0) + torch.tensor(turns).unsqueeze(1)
        seen = (place % 2 == 0).reshape(x.shape)
        return Attempt(torch.where(seen, x, torch.zeros_like(x)), target.inpainted(x, seen, keys))


class Mann(Distance):
    """The z-scored Mann-Whitney statistic of all distances, held-out rows against samples, in one cell."""

    name = "kit18-mann-whitney"
    title = "z of Mann and Whitney"
    means = "standard deviations by which samples lie farther than held-out rows; well below 0: copies"
    claims = frozenset({"sees-copies"})

    def value(self, judged, null, train):
        return mann_whitney_z(judged[:, 0], null[:, 0]) if len(judged) and len(null) else float("nan")


class Smirnov(Ratio):
    """The largest share by which samples have smaller ratios than held-out rows, one-sided, by Kolmogorov-Smirnov."""

    name = "kit18-kolmogorov-smirnov-of-ratios"
    title = "KS of ratios"
    means = "largest excess of small ratios over that of held-out rows; near 1/2: half are copies"
    claims = frozenset({"sees-copies"})

    def value(self, judged, null, train):
        if not len(judged) or not len(null):
            return float("nan")
        own, other = (one[:, 0].contiguous().sort().values for one in (judged, null))
        places = torch.cat([own, other])
        shares = [torch.searchsorted(one, places, right=True) / len(one) for one in (own, other)]
        return float((shares[0] - shares[1]).clamp(min=0).max())


class BelowTwoFifths(Third):
    """The share of samples nearer to one training row than two fifths of the distance of the second; ties are none."""

    name = "kit18-ratio-below-two-fifths"
    title = "ratio below 2/5"
    means = "share of samples at less than 2/5 of the distance to the second nearest training row: copies"

    def value(self, judged, null, train):
        return float((judged[:, 0] < 0.4 * judged[:, 1]).double().mean())


class LowerQuarter(Third):
    """The lower quartile of the ratio of the two distances, 0 where both are 0."""

    name = "kit18-lower-quartile-of-ratios"
    title = "quartile of ratios"
    means = "lower quartile of the ratio of the two nearest distances; far below that of held-out rows: copies"
    claims = frozenset({"sees-copies"})

    def value(self, judged, null, train):
        return float(ratios(judged).double().quantile(0.25)) if len(judged) else float("nan")


class RelativeGap(Distance):
    """Mean of (u - t) / (u + t), t and u the distances to as many training and held-out rows; searched in chunks."""

    name = "kit18-relative-gap"
    title = "relative gap"
    means = "mean of (u - t) / (u + t) of the distances to held-out and training rows; 0 where nothing is memorised"
    claims = frozenset({"sees-copies"})

    def by_row(self, judged, null, train, seed):
        size = min(len(train.view), len(null.view))
        sides = []
        for rows, purpose in ((train.view, "kit18.gap.train"), (null.view, "kit18.gap.null")):
            chosen = rows[torch.randperm(len(rows), generator=keyed_generator(seed, purpose))[:size]]
            sides.append(torch.cat([train.nearest(few, chosen) for few in judged.view.split(50)]))
        found = torch.stack(sides, 1)
        return found, found[:0]

    def value(self, judged, null, train):
        near, far = judged.double().unbind(1)
        total = near + far
        gap = (far - near) / torch.where(total > 0, total, torch.ones_like(total))
        return float(gap.mean()) if len(gap) else float("nan")


RIGHT = final(globals())
