"""Wrong attacks, similarities and measures of memorisation."""

from __future__ import annotations

import torch

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.masks import Mask
from ambientkit.builtin.attacks.noise import Noise
from ambientkit.builtin.memory_measures.comparisons import Authenticity, TrainGap
from ambientkit.builtin.memory_measures.shares import Distance, Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attempt

from .bases import made


class GivesBackInput(Noise):
    """Compares the noisy rows, which the model was shown, in place of what it gave back."""

    name = "kit12-gives-back-input"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return Attempt(found.corrupted, found.corrupted.unsqueeze(1).expand_as(found.draws))


class LargeIsKnown(Loss):
    """Returns the loss with the other sign."""

    name = "kit12-large-is-known"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=-found.distance)


class LossByPlace(Loss):
    """Counts the rank of the loss within the batch that was handed in."""

    name = "kit12-loss-by-place"

    def attempt(self, x, keys, target):
        found = super().attempt(x, keys, target)
        return found._replace(distance=found.distance.argsort().argsort().double() / len(x))


class ZerosSeen(Mask):
    """Hands the filter 0 in the place of the values that are seen."""

    name = "kit12-zeros-seen"

    def attempt(self, x, keys, target):
        class Zeroed:
            def __getattr__(self, name):
                return getattr(target, name)

            def inpainted(self, x_0, seen, keys):
                return target.inpainted(torch.zeros_like(x_0), seen, keys)

        return super().attempt(x, keys, Zeroed())


class OtherLevel(Noise):
    """Adds noise of four stds and restores as if it had been of one."""

    name = "kit12-other-level"

    def attempt(self, x, keys, target):
        level = 4.0 * target.sigma_data
        noisy = x + level * standard_normal(x, target.generators("memorisation.attack.noise", keys))
        return Attempt(noisy, target.restored(noisy, target.sigma_data, keys))


class LessTheBatch(Correlation):
    """Takes the mean picture of the rows given off every row."""

    name = "kit12-less-the-batch"

    def view(self, rows):
        return super().view(rows - rows.mean(0, keepdim=True))


class FlatBlownUp(Correlation):
    """Divides by the std of a row without a bound, so that a flat one is no number."""

    name = "kit12-flat-blown-up"

    def view(self, rows):
        flat = rows.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / centred.std(1, keepdim=True)).reshape(rows.shape)


class CentredInPlace(Correlation):
    """Takes the mean off the rows themselves."""

    name = "kit12-centred-in-place"

    def view(self, rows):
        rows.sub_(rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1)))
        return super().view(rows)


class NotCentred(Correlation):
    """Divides by the root mean square of a row and leaves its mean."""

    name = "kit12-not-centred"

    def view(self, rows):
        flat = rows.flatten(1)
        return (flat / flat.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)).reshape(rows.shape)


class SecondNeighbour(Distance):
    """Counts the distance to the second nearest training row."""

    name = "kit12-second-neighbour"

    def by_row(self, judged, null, train, seed):
        return judged.distance[:, 1:], null.distance[:, 1:]


class NullAlone(Ratio):
    """Hands the held-out rows on as the rows judged, too."""

    name = "kit12-null-alone"

    def by_row(self, judged, null, train, seed):
        _, found = super().by_row(judged, null, train, seed)
        return found, found


class NearIsCopied(Third):
    """Calls a sample a copy that is nearer than a third of the mean distance between training rows."""

    name = "kit12-near-is-copied"

    def by_row(self, judged, null, train, seed):
        mean = train.own_distance.mean().expand(len(judged.distance))
        found = torch.stack([judged.distance[:, 0] / 3, mean], 1)
        return found, found[:0]


class RowOfSample(Authenticity):
    """Looks the distance of the nearest training row up by the number of the sample."""

    name = "kit12-row-of-sample"

    def by_row(self, judged, null, train, seed):
        place = torch.arange(len(judged.distance)) % len(train.own_distance)
        found = torch.stack([judged.distance[:, 0], train.own_distance[place]], 1)
        return found, found[:0]


class TrainBoth(TrainGap):
    """Compares the distance to one half of the training rows with that to the other half."""

    name = "kit12-train-both"

    def by_row(self, judged, null, train, seed):
        half = len(train.view) // 2
        found = torch.stack(
            [train.nearest(judged.view, train.view[:half]), train.nearest(judged.view, train.view[half : 2 * half])], 1
        )
        return found, found[:0]


WRONG = made(globals())
