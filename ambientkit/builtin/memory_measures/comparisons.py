"""The measures `c-t`, `authenticity`, `train-gap` and `mifid`: samples beside held-out rows, or beside the
training rows among each other."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.maths import copying
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation_parts import MemoryMeasure, Neighbourhood, TrainingRows


class DataCopying(MemoryMeasure):
    """C_T: the z-scored Mann-Whitney statistic of the distances of samples and held-out rows to the training rows,
    in cells."""

    name = "c-t"
    source = "arXiv 2004.05675"
    claims = frozenset({"sees-copies"})
    title = "C_T"
    means = (
        "standard deviations by which samples lie farther from training rows than held-out rows do; well below "
        "0: copies, above 0: poor samples too"
    )

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 2), (n, 2): distance, and cell of the training rows' k-means."""
        _, cells = copying.cells_of(train.view.flatten(1), judged.view.flatten(1), null.view.flatten(1), seed=seed)
        a, b = (
            torch.stack([one.distance[:, 0], cell.double()], 1) for one, cell in zip((judged, null), cells, strict=True)
        )
        return a, b

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """C_T."""
        return copying.data_copying(judged[:, 0], null[:, 0], judged[:, 1], null[:, 1], copying.CELLS)


class Authenticity(MemoryMeasure):
    """The share of samples farther from their nearest training row than that row is from the other ones."""

    name = "authenticity"
    source = "arXiv 2102.08921"
    claims = frozenset({"sees-copies"})
    title = "authenticity"
    means = (
        "share of samples farther from their nearest training row than that row is from the others; below the "
        "figure of held-out rows: copies"
    )

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 2): the distance, and that of the nearest training row to the others; nothing of the null."""
        found = torch.stack([judged.distance[:, 0], train.own_distance[judged.row[:, 0]]], 1)
        return found, found[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share."""
        return copying.authenticity(judged[:, 0], judged[:, 1])


class TrainGap(MemoryMeasure):
    """The share of samples nearer to a training row than to any of as many held-out rows, less 1/2."""

    name = "train-gap"
    source = "the two sets are exchangeable where nothing is memorised; as a gap of likelihoods: arXiv 2302.04440"
    claims = frozenset({"sees-copies"})
    title = "train gap"
    means = (
        "share of samples nearer to a training row than to any of as many held-out rows, less 1/2: 0 where "
        "nothing is memorised, 0.5 at most"
    )

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, 4): distances to as many training rows and held-out rows, chosen at random, of duplicates one; the
        number of the nearest row of both sets, and how many there are; nothing of the null."""
        known = torch.randperm(len(train.firsts), generator=keyed_generator(seed, "memorisation.gap.train"))
        unseen = torch.randperm(len(null.view), generator=keyed_generator(seed, "memorisation.gap.heldout"))
        size = min(len(known), len(unseen))
        near, row = train.neighbour(judged.view, train.view[train.firsts[known[:size]]])
        far, other = train.neighbour(judged.view, null.view[unseen[:size]])
        owner = torch.where(near <= far, row, other + size)
        found = torch.stack([near, far, owner.double(), torch.full_like(near, 2 * size)], 1)
        return found, found[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share, less 1/2."""
        return copying.nearer_to_train(judged[:, 0], judged[:, 1])

    def interval(self, judged: Tensor, train: TrainingRows) -> tuple[float, float]:
        """By which row of both sets samples are nearest to: those of one row are no independent evidence."""
        near, far, owner = judged[:, 0], judged[:, 1], judged[:, 2]
        nearer = (near < far).double() + (near == far).double() / 2
        return copying.interval_of_gap(nearer, owner, int(judged[0, 3]))


class MiFID(MemoryMeasure):
    """The Frechet distance to the training rows, over the mean least cosine distance where that is small; by
    torchmetrics."""

    name = "mifid"
    source = "arXiv 2106.03062"
    claims = frozenset({"sees-copies"})
    title = "mifid"
    means = (
        "Frechet distance to the training rows, over the cosine distance of the nearest: larger for copies and "
        "for poor samples; compare at equal n"
    )
    resampling = "jackknife"
    modules = ("torchmetrics",)

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """(m, F), the views; nothing of the null."""
        flat = judged.view.flatten(1)
        return flat, flat[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The distance; nan where torchmetrics is missing, which belongs to an extra."""
        try:
            return copying.mifid(train.view.flatten(1), judged)
        except InputError:
            return float("nan")
