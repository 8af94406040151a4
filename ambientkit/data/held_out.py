"""Rows held out of training: which, by a keyed rule on their numbers, and the others as the rows of a run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ambientkit.batch import Batch
from ambientkit.data.augment import Augmented
from ambientkit.data.observations import Observations
from ambientkit.data.order import Visit
from ambientkit.errors import InputError
from ambientkit.maths.randomness import derive_seeds
from ambientkit.rows import Rows, largest_bucket

SHARE = 0.1
"""Of the rows, held out by default."""
FEWEST, MOST = 16, 512
"""Rows held out by default: none where the share is fewer than FEWEST, on which nothing could be decided, and never
more than MOST."""


def held_out_count(rows: int, share: float | None) -> int:
    """How many of a number of rows are held out: a given share of them, rounded; by default `SHARE`, between `FEWEST`
    and `MOST` rows.

    One row at least is left to train on.
    """
    if share is not None:
        return min(round(share * rows), rows - 1)
    count = round(SHARE * rows)
    return 0 if count < FEWEST else min(count, MOST)


def held_out_rows(numbers: Sequence[int], count: int, seed: int) -> list[int]:
    """The positions, in order, of the `count` rows to hold out: those whose numbers have the lowest keys derived from
    (seed, number).

    So a row is held out or not by its own number, up to few rows at the border: rows that are added or left out do not
    shuffle the others.
    """
    keys = derive_seeds(seed, "hold out", torch.as_tensor(numbers))
    return sorted(torch.argsort(keys, stable=True)[:count].tolist())


def held_out_positions(observations: Observations | Augmented, share: float | None, seed: int) -> list[int]:
    """The positions, in order, of the rows that a run on these holds out; none where it holds none out.

    Raises InputError where fewer than 2 rows would be held out or left.
    """
    count = held_out_count(len(observations), share)
    if count == 0 and not share:
        return []
    if count < 2 or len(observations) - count < 2:
        raise InputError(
            f"hold_out: {share:g} of {len(observations)} rows are {count}; two rows at least must be "
            "held out and left to train on. "
            "0 holds none out"
        )
    every: Sequence[int] = range(len(observations))
    if observations.buckets is not None:  # what is held out is measured together, so that it has one shape
        every = largest_bucket(observations.buckets)
        count = max(2, min(count, len(every) // 2))
    numbers = [observations.number(index) for index in every] if observations.left_out else every
    return [every[place] for place in held_out_rows(numbers, count, seed)]


def split(
    observations: Observations | Augmented, share: float | None, seed: int
) -> tuple[Observations | Augmented | WithoutHeldOut, list[int]]:
    """The rows that a run trains on, and the positions of those that it holds out; without any, the observations
    themselves.

    Raises InputError where fewer than 2 rows would be held out or left.
    """
    positions = held_out_positions(observations, share, seed)
    return (WithoutHeldOut(observations, positions) if positions else observations), positions


class WithoutHeldOut(Dataset[Batch]):
    """The observations of a run but for the rows held out; same numbers, noise and poses as they have with all.

    positions: of the rows held out, in order.
    """

    def __init__(self, observations: Observed, positions: Sequence[int]) -> None:
        self._observations = observations
        self._before = [place - index for index, place in enumerate(positions)]  # rows kept before each row held out
        self._positions = list(positions)

    @property
    def simulated(self) -> bool:
        """As of all rows."""
        return self._observations.simulated

    @property
    def left_out(self) -> list[str]:
        """As of all rows: held-out rows are not left out, but used in another way."""
        return self._observations.left_out

    @property
    def rows(self) -> Rows:
        """As of all rows."""
        return self._observations.rows

    def number(self, index: int) -> int:
        """The row of the files at position `index` of those kept."""
        return self._observations.number(self._position(index))

    @property
    def blocks(self) -> list[int] | None:
        """Rows kept of each shard, where the data lie in shards."""
        blocks = self._observations.blocks
        if blocks is None:
            return None
        ends = torch.tensor(blocks).cumsum(0)
        of = torch.searchsorted(ends, torch.tensor(self._positions), right=True)
        return (torch.tensor(blocks) - torch.bincount(of, minlength=len(blocks))).tolist()

    @property
    def buckets(self) -> list[int] | None:
        """Those of the rows kept."""
        buckets = self._observations.buckets
        return None if buckets is None else [buckets[self._position(index)] for index in range(len(self))]

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """As of all rows."""
        yield from self._observations.at_or_above(sigma)

    def decode(self, rows: Tensor) -> Tensor | None:
        """As of all rows."""
        return self._observations.decode(rows)

    def __len__(self) -> int:
        return len(self._observations) - len(self._positions)

    def __getitem__(self, index: int) -> Batch:
        """Observation `index` of those kept, without a batch axis."""
        return self._observations[self._position(index)]

    def __getitems__(self, indices: list[int]) -> Batch:
        """The observations `indices` of those kept as one batch, in that order."""
        return self._observations.__getitems__([self._position(index) for index in indices])

    def _position(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        place = index + bisect_right(self._before, index)
        return Visit(place, index.epoch) if isinstance(index, Visit) else place


Observed = Observations | Augmented | WithoutHeldOut
"""The rows of a run."""


def of_one_shape(observed: Observed) -> Observed:
    """The rows of the largest bucket, for what measures or shows many rows at once; all rows where there are no
    buckets."""
    buckets = observed.buckets
    if buckets is None:
        return observed
    chosen = set(largest_bucket(buckets))
    return WithoutHeldOut(observed, [index for index in range(len(observed)) if index not in chosen])
