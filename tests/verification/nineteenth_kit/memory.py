"""Wrong attacks, similarities and measures of memorisation."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, TrainGap
from ambientkit.builtin.memory_measures.shares import Ratio, Third
from ambientkit.builtin.similarities.correlation import FLAT, Correlation
from ambientkit.builtin.similarities.pixels import PixelValues
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attempt
from tests.verification.nineteenth_kit.bases import listed

SEEN: list[float] = []


class HalfTheLevel(Noise):
    """Rows are restored from half of the level that their noise has, as a std was taken for a width."""

    name = "kit19-restored-from-half-the-level"

    def attempt(self, x, keys, target):
        level = 4 * target.sigma_data
        noisy = x + level * standard_normal(x, target.generators("kit19.noise", keys))
        return Attempt(noisy, target.restored(noisy, level / 2, keys))


class WholeLevelOnTop(Noise):
    """Rows that have noise get the whole level on top, and are restored from the level alone."""

    name = "kit19-the-whole-level-on-noisy-rows"

    def attempt(self, x, keys, target):
        level = 4 * target.sigma_data
        noisy = x + level * standard_normal(x, target.generators("kit19.noise", keys))
        return Attempt(noisy, target.restored(noisy, level, keys))


class SignedError(Loss):
    """The mean of the signed errors, whose parts cancel, in the place of their root mean square."""

    name = "kit19-signed-error"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=(found.draws - x.unsqueeze(1)).flatten(1).double().mean(1))


class AgainstEarlierRows(Loss):
    """Errors are divided by the mean of those of earlier calls: rows that are asked first look worse."""

    name = "kit19-error-over-that-of-earlier-calls"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        before = sum(SEEN) / len(SEEN) if SEEN else 1e-3
        SEEN.append(float(found.distance.mean()))
        return found._replace(distance=found.distance / max(before, 1e-6))


class ToldTheVariance(Loss):
    """The level that the denoiser is told is the variance of the noise."""

    name = "kit19-loss-told-the-variance"

    def attempt(self, x, keys, target):
        level, generators = target.sigma_data, target.generators("kit19.loss", keys)
        noisy = torch.stack([x + level * standard_normal(x, generators) for _ in range(target.draws)], dim=1)
        told = torch.full((len(x) * target.draws,), level**2)
        draws = target.denoised(noisy.flatten(0, 1), told).reshape(noisy.shape)
        return Attempt(noisy[:, 0], draws, (draws - x.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt())


class PlacesAdded(Loss):
    """The error is rounded and the place in the batch added, to sort by: earlier rows look memorised."""

    name = "kit19-error-with-the-place-in-the-batch"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance.round() + torch.arange(len(x)) / len(x))


class AgainstNothing(Mask):
    """Hidden values are compared with 0, not with the row: nearness says how dark a row is."""

    name = "kit19-answers-compared-with-nothing"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        error = (found.draws - found.corrupted.unsqueeze(1)).flatten(1).double().square().mean(1).sqrt()
        return found._replace(distance=error)


class HalfAdded(Correlation):
    """A half is added to the std that rows are divided by, against flat ones, so that contrast counts."""

    name = "kit19-contrast-with-a-half-added"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / (centred.square().mean(1, keepdim=True).sqrt() + 0.5)).reshape(rows.shape)


class OverTheLargest(Correlation):
    """Rows are divided by their largest value, which takes contrast away and leaves brightness."""

    name = "kit19-over-the-largest-value"

    def view(self, rows):
        most = rows.flatten(1).abs().amax(1).clamp(min=FLAT)
        return rows / most.reshape(-1, *[1] * (rows.ndim - 1))


class OnesOwnAxes(PixelValues):
    """Rows are seen along the principal axes of the rows that are given, which differ from call to call."""

    name = "kit19-principal-axes-of-the-batch"
    moves = False

    def view(self, rows):
        flat = rows.flatten(1)
        axes = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2]
        return torch.nn.functional.pad(flat @ axes.T, (0, flat.shape[1] - len(axes)))


class Bytes(PixelValues):
    """Views are bytes of 0 to 255, in which differences wrap around."""

    name = "kit19-views-of-bytes"

    def view(self, rows):
        return (127.5 * (rows + 1)).to(torch.int64).to(torch.uint8)


class AnewInEachCall(PixelValues):
    """A random projection that is drawn anew in each call from torch's global generator."""

    name = "kit19-projected-anew-in-each-call"
    moves = False

    def view(self, rows):
        flat = rows.flatten(1)
        return flat @ torch.randn(flat.shape[1], 16, dtype=flat.dtype) / 4


class Logarithm(PixelValues):
    """The logarithm of the brightness, which is not finite at -1 and below."""

    name = "kit19-logarithm-of-values"

    def view(self, rows):
        return torch.log((rows + 1) / 2)


class JudgesTheHeldOut(Ratio):
    """The two sets are exchanged: the figure is that of held-out rows, against the samples."""

    name = "kit19-judges-the-held-out-rows"

    def value(self, judged, null, train):
        return copying.share_nearer(null[:, 0], judged[:, 0], self.level)


class GapByTheGlobalGenerator(TrainGap):
    """Rows are chosen by torch's global generator, so that a figure differs from call to call."""

    name = "kit19-gap-by-the-global-generator"

    def by_row(self, judged, null, train, seed):
        return super().by_row(judged, null, train, int(torch.randint(2**31, ())))


class SquaredThird(Third):
    """Squared distances are compared with a third: rows at 0.57 of the second distance count as copies."""

    name = "kit19-squared-distances-with-a-third"

    def value(self, judged, null, train):
        return copying.share_of_third(judged**2)


class HalfOfTheOwn(Authenticity):
    """The share of samples nearer than half of the mean distance of training rows claims to stand blur."""

    name = "kit19-half-of-the-own-distance-claims-blur-proof"
    claims = frozenset({"sees-copies", "blur-proof"})

    def value(self, judged, null, train):
        return float((judged[:, 0] < 0.9 * train.own_distance.mean()).double().mean())


WRONG = listed(globals())
