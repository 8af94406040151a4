"""The order of the data, as a pure function of (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ambientkit.maths.randomness import keyed_generator

MIX = 8
"""Blocks whose rows are shuffled together."""


class Visit(int):
    """A row number that knows in which epoch it is visited, so that what is drawn for a visit can be keyed by both."""

    epoch: int

    def __new__(cls, row: int, epoch: int) -> Visit:
        """Row `row` in epoch `epoch`."""
        visit = super().__new__(cls, row)
        visit.epoch = epoch
        return visit

    def __reduce__(self) -> tuple[type[Visit], tuple[int, int]]:
        return Visit, (int(self), self.epoch)


class KeyedBatches(Sampler[list[int]]):
    """An endless batch sampler: one shuffled epoch after another, cut into batches across processes.

    Micro-step m of rank r takes rows [(m * world + r) * batch_size, ...) of the concatenated epochs, so a run resumed
    at any step, in the middle of an epoch, sees what the unbroken run sees, and every row is used once an epoch. Epoch
    e is a permutation keyed by (seed, e): 8 bytes per row while it is used.

    blocks: numbers of rows that are quick to read after one another, such as those of shards. Then the order is by
    blocks: they are permuted, `MIX` at a time are taken together, and the rows of those are permuted, so that all ranks
    read from few shards at a time and what is remembered is 8 bytes for each row of `MIX` blocks.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        blocks: Sequence[int] | None = None,
    ) -> None:
        if rows < 1 or batch_size < 1:
            raise ValueError(f"{rows} rows in batches of {batch_size}: both must be at least 1")
        if blocks is not None and sum(blocks) != rows:
            raise ValueError(f"the blocks hold {sum(blocks)} rows, but there are {rows}")
        self._blocks = None if blocks is None else torch.tensor([n for n in blocks if n])
        self._windows: tuple[int, Tensor, Tensor] | None = None
        self._window: tuple[tuple[int, int], Tensor] | None = None
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._rank, self._world, self._start = rank, world, start
        self._epochs: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row indices, from micro-step `start` on, without end."""
        micro_step = self._start
        while True:
            first = (micro_step * self._world + self._rank) * self._batch_size
            yield self._from(first)
            micro_step += 1

    def _from(self, first: int) -> list[int]:
        """The rows of a batch from a place of the concatenated epochs on."""
        batch: list[int] = []
        while len(batch) < self._batch_size:
            epoch, place = divmod(first + len(batch), self._rows)
            end = min(place + self._batch_size - len(batch), self._rows)
            rows = (
                self._shuffled(epoch)[place:end].tolist()
                if self._blocks is None
                else [self._in_blocks(epoch, i) for i in range(place, end)]
            )
            batch += [Visit(row, epoch) for row in rows]
        return batch

    def _shuffled(self, epoch: int) -> Tensor:
        """The order of an epoch without blocks."""
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - 1}
            self._epochs[epoch] = torch.randperm(self._rows, generator=keyed_generator(self._seed, "order", step=epoch))
        return self._epochs[epoch]

    def _in_blocks(self, epoch: int, place: int) -> int:
        """The row at a place of an epoch that goes through the blocks window by window."""
        assert self._blocks is not None
        if self._windows is None or self._windows[0] != epoch:
            order = torch.randperm(len(self._blocks), generator=keyed_generator(self._seed, "blocks", step=epoch))
            self._windows = (epoch, order, self._blocks[order].cumsum(0))
        _, order, ends = self._windows
        block = int(torch.searchsorted(ends, place, right=True))
        window = block // MIX
        chosen = order[window * MIX : (window + 1) * MIX]
        before = int(ends[window * MIX - 1]) if window else 0
        if self._window is None or self._window[0] != (epoch, window):
            firsts = self._blocks.cumsum(0) - self._blocks
            rows = torch.cat([torch.arange(int(self._blocks[b])) + firsts[b] for b in chosen])
            draw = keyed_generator(self._seed, "order", step=epoch, row=window)
            self._window = ((epoch, window), rows[torch.randperm(len(rows), generator=draw)])
        return int(self._window[1][place - before])
