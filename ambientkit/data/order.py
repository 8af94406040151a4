"""The order of the data, as a pure function of (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ambientkit.maths.randomness import keyed_generator


class KeyedBatches(Sampler[list[int]]):
    """An endless batch sampler: one shuffled epoch after another, cut into batches across processes.

    Micro-step m of rank r takes rows [(m * world + r) * batch_size, ...) of the concatenated epochs, so a run resumed at
    any step, in the middle of an epoch, sees what the unbroken run sees, and every row is used once an epoch.
    Epoch e is a permutation keyed by (seed, e): 8 bytes a row while it is used.
    """

    def __init__(self, rows: int, batch_size: int, seed: int, *, rank: int = 0, world: int = 1, start: int = 0) -> None:
        if rows < 1 or batch_size < 1:
            raise ValueError(f"{rows} rows in batches of {batch_size}: both must be at least 1")
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._rank, self._world, self._start = rank, world, start
        self._epochs: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row indices, from micro-step `start` on, without end."""
        micro_step = self._start
        while True:
            first = (micro_step * self._world + self._rank) * self._batch_size
            yield [self._at(position) for position in range(first, first + self._batch_size)]
            micro_step += 1

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self._rows)
        if epoch not in self._epochs:
            self._epochs = {e: p for e, p in self._epochs.items() if e >= epoch - 1}
            self._epochs[epoch] = torch.randperm(self._rows, generator=keyed_generator(self._seed, "order", step=epoch))
        return int(self._epochs[epoch][place])
