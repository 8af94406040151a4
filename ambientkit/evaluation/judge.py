"""All measures of one set of rows against another, so that samples, halves and the reference itself are measured
alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ambientkit.evaluation.features import fid, kid, precision_recall, sliced
from ambientkit.evaluation.pictures import (
    SMALLEST,
    high_frequency,
    patch_distance,
    pixel_statistics_distance,
    power_spectrum_distance,
    residual_noise,
)
from ambientkit.evaluation.score import Score, extract, label
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import keyed_generator

MOST_PARTS = 10_000
"""Features from which a sliced distance is computed where each row has several."""


@dataclass(frozen=True, slots=True)
class RowFeatures:
    """Rows and what each extractor sees in them."""

    rows: Tensor
    features: tuple[Tensor, ...]
    bare: Tensor | None = None
    """The rows before they were made as noisy as others; None where they were not."""

    def take(self, index: Tensor) -> RowFeatures:
        """The rows `index` (N,)."""
        n = len(self.rows)
        parts = (one.reshape(n, len(one) // n, -1)[index].flatten(0, 1) for one in self.features)
        return RowFeatures(self.rows[index], tuple(parts), None if self.bare is None else self.bare[index])


@dataclass(frozen=True, slots=True)
class Judge:
    """Measures sets of rows in the features of some extractors. Keyed by `seed`: the same sets have the same scores."""

    extractors: tuple[Extractor, ...]
    seed: int = 0
    device: str | torch.device = "cpu"
    """Where the extractors work."""

    def read(self, rows: Tensor) -> RowFeatures:
        """What the extractors see. Raises InputError where one cannot read such rows."""
        there = rows.to(self.device)
        return RowFeatures(rows.cpu(), tuple(extract(extractor, there) for extractor in self.extractors))

    def distances(self, reference: RowFeatures, judged: RowFeatures) -> list[Score]:
        """Every distance that rows of this shape have; both sets of one shape, with 4 rows or more."""
        found: list[Score] = []
        for number, extractor in enumerate(self.extractors):
            a, b, name = reference.features[number], judged.features[number], label(extractor)
            parts = len(a) // len(reference.rows)
            found += [fid(a, b, extractor=name), kid(a, b, seed=self.seed, extractor=name)]
            if parts == 1:  # windows of one row are each other's neighbours
                found += precision_recall(a, b, extractor=name)
            else:
                a, b = (
                    one[torch.randperm(len(one), generator=self._generator("parts"))[:MOST_PARTS]] for one in (a, b)
                )
            found.append(sliced(a, b, self._generator("sliced"), extractor=name))
        found.append(pixel_statistics_distance(reference.rows, judged.rows))
        if pictures(reference.rows):
            found.append(patch_distance(reference.rows, judged.rows, self._generator("patches")))
            found.append(power_spectrum_distance(reference.rows, judged.rows))
        return found

    def alone(self, judged: RowFeatures) -> list[Score]:
        """Measures of one set by itself; none for rows that are not pictures."""
        return [residual_noise(judged.rows), high_frequency(judged.rows)] if pictures(judged.rows) else []

    def _generator(self, purpose: str) -> torch.Generator:
        return keyed_generator(self.seed, f"evaluate.{purpose}")


def pictures(rows: Tensor) -> bool:
    """Whether rows are pictures large enough for the measures of pictures."""
    return rows.ndim == 4 and min(rows.shape[2:]) >= SMALLEST
