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
        buckets: Sequence[int] | None = None,
    ) -> None:
        if rows < 1 or batch_size < 1:
            raise ValueError(f"{rows} rows in batches of {batch_size}: both must be at least 1")
        if blocks is not None and sum(blocks) != rows:
            raise ValueError(f"the blocks hold {sum(blocks)} rows, but there are {rows}")
        self._blocks = None if blocks is None else torch.tensor([n for n in blocks if n])
        self._buckets = None if buckets is None else _Buckets(buckets, batch_size * world, seed)
        self._windows: tuple[int, Tensor, Tensor] | None = None
        self._window: tuple[tuple[int, int], Tensor] | None = None
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._rank, self._world, self._start = rank, world, start
        self._epochs: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row indices, from micro-step `start` on, without end."""
        micro_step = self._start
        while True:
            if self._buckets is not None:
                rows = self._buckets.rows(micro_step)
                yield rows[self._rank * self._batch_size : (self._rank + 1) * self._batch_size]
            else:
                yield self._from((micro_step * self._world + self._rank) * self._batch_size)
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


class _Buckets:
    """The order of rows in buckets: joint batches of one bucket each, as a pure function of (seed, micro-step).

    Bucket b of n rows has its own concatenated epochs, cut into joint batches of W rows. Through epoch e of the whole
    it has had floor(e n / W) of them, so that each row is used equally often in the long run; within an epoch the
    batches of all buckets are permuted, keyed by (seed, e).
    """

    def __init__(self, buckets: Sequence[int], joint: int, seed: int) -> None:
        of = torch.as_tensor(buckets)
        self._members = [(of == kind).nonzero().flatten() for kind in of.unique()]
        self._joint, self._seed, self._rows = joint, seed, len(of)
        self._epoch: tuple[int, list[tuple[int, int]]] = (-1, [])
        self._orders: dict[tuple[int, int], Tensor] = {}

    def rows(self, micro_step: int) -> list[int]:
        """The rows of the joint batch of a micro-step."""
        epoch = max(0, micro_step * self._joint // self._rows - len(self._members))
        while self._before(epoch + 1) <= micro_step:
            epoch += 1
        if self._epoch[0] != epoch:
            batches = [
                (bucket, number)
                for bucket, members in enumerate(self._members)
                for number in range(*(e * len(members) // self._joint for e in (epoch, epoch + 1)))
            ]
            order = torch.randperm(len(batches), generator=keyed_generator(self._seed, "buckets", step=epoch)).tolist()
            self._epoch = (epoch, [batches[place] for place in order])
        bucket, number = self._epoch[1][micro_step - self._before(epoch)]
        found: list[int] = []
        for place in range(number * self._joint, (number + 1) * self._joint):
            lap, within = divmod(place, len(self._members[bucket]))
            found.append(Visit(int(self._order(bucket, lap)[within]), lap))
        return found

    def _before(self, epoch: int) -> int:
        """Joint batches of the epochs before."""
        return sum(epoch * len(members) // self._joint for members in self._members)

    def _order(self, bucket: int, lap: int) -> Tensor:
        """The rows of a bucket in one of its epochs."""
        if (bucket, lap) not in self._orders:
            self._orders = {key: value for key, value in self._orders.items() if key[0] != bucket or key[1] == lap - 1}
            generator = keyed_generator(self._seed, f"order.{bucket}", step=lap)
            members = self._members[bucket]
            self._orders[bucket, lap] = members[torch.randperm(len(members), generator=generator)]
        return self._orders[bucket, lap]
