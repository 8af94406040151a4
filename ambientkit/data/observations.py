"""Every row as an observation, corrupted once and for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ambientkit.batch import Batch, Clean
from ambientkit.interfaces import Corruption
from ambientkit.maths.randomness import keyed_generator
from ambientkit.rows import Rows, as_rows, clean_row, observation


class Observations(Dataset[Batch]):
    """The rows of a data set as observations.

    A row that is already an observation is passed on. A `Clean` row is corrupted by a generator keyed by (seed, row),
    so it has the same noise in every epoch, worker, process and resumed run: fresh noise each epoch would leak the
    clean picture through averaging. What training sees is x_n, never x_0. Nothing is stored, so memory does not grow
    with the data. Where rows are left out, the others keep the numbers of their files: in `Batch.row`, and as keys of
    their noise.

    A whole batch of indices is fetched at once and comes back collated: give the loader `collate_fn=whole`.
    """

    def __init__(self, rows: Dataset[Clean] | Dataset[Batch], corruption: Corruption, seed: int) -> None:
        self._rows, self._corruption, self._seed = as_rows(rows), corruption, seed

    @property
    def simulated(self) -> bool:
        """Whether the noise of the first row, and so as a rule of all, is simulated."""
        return isinstance(self._rows[0], Clean)

    @property
    def carries(self) -> frozenset[str]:
        """Names in the conditions of a row that say how it was observed; see `Corruption.carries`."""
        return self._corruption.carries

    @property
    def rows(self) -> Rows:
        """The rows as the data set gives them, with their other properties."""
        return self._rows

    @property
    def blocks(self) -> list[int] | None:
        """Rows of each shard, where the data lie in shards; for the order of `KeyedBatches`."""
        return None if self._rows.blocks is None else list(self._rows.blocks)

    @property
    def buckets(self) -> list[int] | None:
        """The bucket of each row, where rows have several shapes."""
        return None if self._rows.buckets is None else list(self._rows.buckets)

    @property
    def left_out(self) -> list[str]:
        """The rows and files that are not used, each with its cause."""
        return list(self._rows.left_out)

    def number(self, index: int) -> int:
        """The row of the files at position `index`, which is the key of its noise."""
        return self._rows.number(index)

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """Rows whose declared level is at least sigma, where the data set knows it without reading all rows."""
        yield from self._rows.at_or_above(sigma)

    def decode(self, rows: Tensor) -> Tensor | None:
        """Rows of this kind as pictures; see `Rows.decode`."""
        return self._rows.decode(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        """Observation `index` without a batch axis."""
        one = self.__getitems__([index])
        return Batch(one.x_n[0], one.sigma_n[0], one.row[0], {name: value[0] for name, value in one.cond.items()})

    def window(self, index: int, where: tuple[slice, ...]) -> Batch:
        """A part of observation `index` by its axes, without a batch axis: of the same values and noise as in the
        whole."""
        found = self._rows.window(index, where)
        if found is not None:
            return found
        whole = self[index]
        cond = {
            name: value[tuple(slice(None) if n == 1 else one for n, one in zip(value.shape, where))]
            if name in self.carries
            else value
            for name, value in whole.cond.items()
        }
        level = whole.sigma_n
        if level.ndim == len(where):
            level = level[tuple(slice(None) if n == 1 else one for n, one in zip(level.shape, where))]
        return Batch(whole.x_n[where], level, whole.row, cond)

    def __getitems__(self, indices: list[int]) -> Batch:
        """The observations `indices` as one batch, in that order."""
        items = [self._rows[index] for index in indices]
        if all(isinstance(item, Clean) for item in items):
            return self._observe(cast(list[Clean], items), indices)
        single = [
            observation(item, self._rows.number(index))
            if isinstance(item, Batch)
            else _first(self._observe([item], [index]))
            for item, index in zip(items, indices, strict=True)
        ]
        return default_collate(single)

    def _observe(self, items: list[Clean], indices: list[int]) -> Batch:
        numbers = [self._rows.number(index) for index in indices]
        clean = default_collate([clean_row(item, number) for item, number in zip(items, numbers, strict=True)])
        row = torch.tensor(numbers)
        generators = [keyed_generator(self._seed, "observe", row=index) for index in numbers]
        if "row-generators" in self._corruption.claims:
            batch = self._corruption.observe(clean.x_0, row, generators)
        else:  # the same result, one row at a time
            rows = [
                self._corruption.observe(clean.x_0[i : i + 1], row[i : i + 1], generator)
                for i, generator in enumerate(generators)
            ]
            batch = default_collate([_first(one) for one in rows])
        return batch._replace(cond={**clean.cond, **batch.cond})


def whole(batch: Any) -> Any:
    """The collate function of a loader over `Observations`, whose batches arrive collated."""
    return batch


def _first(batch: Batch) -> Batch:
    return Batch(batch.x_n[0], batch.sigma_n[0], batch.row[0], {name: value[0] for name, value in batch.cond.items()})
