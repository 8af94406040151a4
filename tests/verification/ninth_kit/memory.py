"""Similarities, attacks and measures of memory that are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.interfaces import Part
from ambientkit.maths import copying
from ambientkit.maths.noise import standard_normal
from ambientkit.memorisation_parts import (
    Attack,
    Attempt,
    MemoryMeasure,
    Neighbourhood,
    Similarity,
    Target,
    TrainingRows,
)


class RandomProjection(Similarity):
    """Random projections, drawn anew in each call."""

    name = "nine-random-projection"
    source = "Johnson and Lindenstrauss (1984)"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        """(N, 64)."""
        flat = rows.flatten(1)
        return flat @ torch.randn(flat.shape[1], 64, dtype=flat.dtype) / 8


class Whitened(Similarity):
    """Values less the mean over the rows that are compared."""

    name = "nine-less-mean-picture"
    source = "the definition"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        """Less the mean of the call."""
        return rows - rows.mean(0)


class HalfFree(Similarity):
    """Contrast over std + 0.1."""

    name = "nine-nearly-brightness-free"
    source = "the definition of Pearson's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        """Nearly of std 1."""
        flat = rows.flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        return (flat / (flat.std(1, keepdim=True) + 0.1)).reshape(rows.shape)


class Hash(Similarity):
    """A hash of bits above the mean, as whole numbers."""

    name = "nine-hash-of-bits"
    source = "average hash"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        """(N, d) of 0 and 1."""
        flat = rows.flatten(1)
        return (flat > flat.mean(1, keepdim=True)).to(torch.uint8)


class InPlaceCorrelation(Similarity):
    """Correlation that works in the rows themselves."""

    name = "nine-correlation-in-place"
    source = "the definition of Pearson's correlation"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        """In place."""
        flat = rows.reshape(len(rows), -1)
        flat -= flat.mean(1, keepdim=True)
        return (flat / flat.square().mean(1, keepdim=True).sqrt().clamp(min=1e-3)).reshape(rows.shape)


class Restores(Attack):
    """Noise and restoration, in pieces."""

    name = "nine-attack-base"
    source = "arXiv 2404.10177"
    claims = frozenset({"blind"})

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Restored from 4 stds."""
        level = min(4 * target.sigma_data, 0.99 * target.levels.sigma_max)
        missing = (level**2 - target.sigma_n**2) ** 0.5
        noisy = x + missing * self.z(x, keys, target)
        return self.answer(x, noisy, target.restored(noisy, level, keys), level, target)

    def z(self, x: Tensor, keys: Tensor, target: Target) -> Tensor:
        """By row."""
        return standard_normal(x, target.generators("nine.attack", keys))

    def answer(self, x: Tensor, noisy: Tensor, draws: Tensor, level: float, target: Target) -> Attempt:
        """The attempt."""
        return Attempt(noisy, draws)


class GlobalNoise(Restores):
    """Noise of torch's global generator."""

    name = "nine-attack-global-noise"

    def z(self, x: Tensor, keys: Tensor, target: Target) -> Tensor:
        """randn_like."""
        return torch.randn_like(x)


class PlaceKeyed(Restores):
    """Noise keyed by the place in the batch."""

    name = "nine-attack-keyed-by-place"

    def z(self, x: Tensor, keys: Tensor, target: Target) -> Tensor:
        """Of 0, 1, 2, ..."""
        return standard_normal(x, target.generators("nine.attack", torch.arange(len(x))))


class OneDraw(Restores):
    """The mean of the draws in the place of the draws."""

    name = "nine-attack-mean-of-draws"

    def answer(self, x: Tensor, noisy: Tensor, draws: Tensor, level: float, target: Target) -> Attempt:
        """(B, 1, *S), blurred."""
        return Attempt(noisy, draws.mean(1, keepdim=True))


class Turned(Restores):
    """A distance that is large where a row looks memorised."""

    name = "nine-attack-turned"

    def answer(self, x: Tensor, noisy: Tensor, draws: Tensor, level: float, target: Target) -> Attempt:
        """1 over the error."""
        error = (draws - x.unsqueeze(1)).flatten(1).square().mean(1).sqrt()
        return Attempt(noisy, draws, 1 / error.clamp(min=1e-6))


class Ranked(Restores):
    """The rank of a row's error among those of its batch."""

    name = "nine-attack-rank-in-batch"

    def answer(self, x: Tensor, noisy: Tensor, draws: Tensor, level: float, target: Target) -> Attempt:
        """0 for the least."""
        error = (draws - x.unsqueeze(1)).flatten(1).square().mean(1)
        return Attempt(noisy, draws, error.argsort().argsort().to(x.dtype))


class Share(MemoryMeasure):
    """The share of samples nearer than 1 % of held-out rows, in pieces."""

    name = "nine-share-base"
    source = "arXiv 2104.08279"
    claims = frozenset({"sees-copies"})
    title = "share"
    means = "share of samples nearer than nearly all held-out rows: copies"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Distances."""
        return judged.distance[:, :1], null.distance[:, :1]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share."""
        return copying.share_nearer(judged[:, 0], null[:, 0], 0.01)


class Farther(Share):
    """The share of samples that lie farther."""

    name = "nine-measure-second-nearest"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Distances to the second nearest."""
        return judged.distance[:, 1:], null.distance[:, 1:]


class SortsInPlace(Share):
    """Sorts what it is given."""

    name = "nine-measure-sorts-in-place"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """In place."""
        judged.distance.copy_(judged.distance.sort(0).values)
        return judged.distance[:, :1], null.distance[:, :1]


class GlobalSubset(Share):
    """Held-out rows are thinned by torch's global generator."""

    name = "nine-measure-global-subset"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Half of them."""
        kept = torch.randperm(len(null.distance))[: max(1, len(null.distance) // 2)]
        return judged.distance[:, :1], null.distance[kept, :1]


class NearTo(Share):
    """Claims that averages are no copies, by the distance alone."""

    name = "nine-measure-blur-taken-for-copy"
    claims = frozenset({"sees-copies", "blur-proof"})


PARTS: tuple[type[Part], ...] = (
    RandomProjection,
    Whitened,
    HalfFree,
    Hash,
    InPlaceCorrelation,
    GlobalNoise,
    PlaceKeyed,
    OneDraw,
    Turned,
    Ranked,
    Farther,
    SortsInPlace,
    GlobalSubset,
    NearTo,
)
