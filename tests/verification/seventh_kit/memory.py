"""Wrong attacks, similarities and measures of memory."""

from __future__ import annotations

from torch import Tensor

from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.attacks.noise import DEFAULT, Noise
from ambientkit.builtin.memory_measures.shares import Ratio, Third
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import Attempt, Similarity, Target


class OnlyCentred(Correlation):
    """The mean of a row is taken off, but its contrast is kept."""

    name = "seven-only-centred"

    def view(self, rows: Tensor) -> Tensor:
        """(N, *S)."""
        return rows - rows.flatten(1).mean(1).reshape(-1, *[1] * (rows.ndim - 1))


class FlatIsNan(Correlation):
    """A flat row is divided by its std, 0."""

    name = "seven-flat-is-nan"

    def view(self, rows: Tensor) -> Tensor:
        """(N, *S)."""
        flat = rows.flatten(1)
        return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).reshape(rows.shape)


class OverBatch(Similarity):
    """Values are standardised over the batch, so that a row is seen otherwise beside others."""

    name = "seven-over-batch"
    source = "the definition"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        """(N, *S)."""
        return (rows - rows.mean(0)) / rows.std(0, unbiased=False).clamp(min=1e-3)


class GivesRowsBack(Noise):
    """What is given back is half the row itself, which needs no model."""

    name = "seven-gives-rows-back"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Half of each."""
        own = super().attempt(x, keys, target)
        return own._replace(draws=(own.draws + x.unsqueeze(1)) / 2)


class ErrorNegated(Loss):
    """The error is given with the other sign, so that rows the model knows best count as the least memorised."""

    name = "seven-error-negated"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Less the error, row by row."""
        own = super().attempt(x, keys, target)
        return own if own.distance is None else own._replace(distance=-own.distance)


class NoiseOfFirst(Noise):
    """All rows get the noise of the first one's key, so that a row's answer depends on which rows come with it."""

    name = "seven-noise-of-first"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Draws from p(x_0 | x_0 + level z)."""
        level = min(DEFAULT * target.sigma_data, 0.99 * target.levels.sigma_max) if self.level is None else self.level
        same = keys[:1].expand_as(keys)
        noisy = x + level * standard_normal(x, target.generators("memorisation.attack.noise", same))
        return Attempt(noisy, target.restored(noisy, level, same))


class RatioTurned(Ratio):
    """The share of samples whose ratio is as large as a share of held-out rows has it: those that single out none."""

    name = "seven-ratio-turned"

    def value(self, judged: Tensor, null: Tensor, train) -> float:
        """The share."""
        return copying.share_nearer(-judged[:, 0], -null[:, 0], self.level)


class NearestAlone(Third):
    """Any sample near to a training row counts as a copy, as the second distance is not asked."""

    name = "seven-nearest-alone"

    def value(self, judged: Tensor, null: Tensor, train) -> float:
        """The share."""
        return float((judged[:, 0] < float(train.own_distance.median())).double().mean())


PARTS = (OnlyCentred, FlatIsNan, OverBatch, GivesRowsBack, ErrorNegated, NoiseOfFirst, RatioTurned, NearestAlone)
