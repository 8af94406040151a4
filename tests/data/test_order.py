"""The order of the data by shards: 64 ranks, any number of workers, and a resume read every row once an epoch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import KeyedBatches, Observations, Visit
from ambientkit.data.observations import whole
from ambientkit.data.order import MIX
from ambientkit.readers.tar import OPEN_SHARDS
from tests.support.formats import open_rows, rows, shards

BLOCKS = [97, 3, 250, 0, 120, 64, 1, 333, 80, 41, 199, 60, 10, 500, 77, 213]
ROWS = sum(BLOCKS)


def taken(world: int, batch: int, steps: int, start: int = 0, seed: int = 0) -> list[list[int]]:
    """What each rank reads in micro-steps start..steps, in order."""
    found = []
    for rank in range(world):
        order = iter(KeyedBatches(ROWS, batch, seed, rank=rank, world=world, start=start, blocks=BLOCKS))
        found.append([int(row) for _ in range(start, steps) for row in next(order)])
    return found


@pytest.mark.parametrize(("world", "batch"), [(64, 4), (64, 1), (1, 7), (3, 16)])
def test_ranks_read_every_row_once_an_epoch_without_overlap_or_loss(world: int, batch: int) -> None:
    epochs = 2
    steps = -(-epochs * ROWS // (world * batch))
    by_rank = taken(world, batch, steps)
    position = [by_rank[rank][step * batch + i] for step in range(steps) for rank in range(world) for i in range(batch)]
    for epoch in range(epochs):
        assert Counter(position[epoch * ROWS : (epoch + 1) * ROWS]) == Counter(range(ROWS))
    assert position[:ROWS] != position[ROWS : 2 * ROWS]


@pytest.mark.parametrize("start", [1, 5, 9, 20])
def test_a_resume_of_64_ranks_goes_on_where_it_was(start: int) -> None:
    whole_run = taken(64, 4, 24)
    resumed = taken(64, 4, 24, start=start)
    assert [rank[start * 4 :] for rank in whole_run] == resumed


def test_at_any_moment_all_ranks_read_from_few_shards() -> None:
    by_rank = taken(64, 1, ROWS // 64)
    ends = torch.tensor(BLOCKS).cumsum(0)
    for step in range(ROWS // 64):
        shards_ = {int(torch.searchsorted(ends, rank[step], right=True)) for rank in by_rank}
        assert len(shards_) <= 2 * MIX


def test_rows_of_one_window_are_mixed() -> None:
    first = taken(1, 1, 200)[0]
    ends = torch.tensor(BLOCKS).cumsum(0)
    assert len({int(torch.searchsorted(ends, row, right=True)) for row in first}) > 3
    assert sum(b == a + 1 for a, b in zip(first, first[1:])) < 10


def test_windows_of_one_size_are_shuffled_each_in_its_own_way() -> None:
    blocks = [10] * (2 * MIX)
    rows_ = [int(row) for row in next(iter(KeyedBatches(20 * MIX, 20 * MIX, 0, blocks=blocks)))]
    first, second = rows_[: 10 * MIX], rows_[10 * MIX :]
    assert [r % 10 for r in first] != [r % 10 for r in second]


def test_as_many_shards_are_remembered_as_two_windows_take() -> None:
    assert OPEN_SHARDS >= 2 * MIX


def test_blocks_that_do_not_hold_all_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks hold"):
        KeyedBatches(ROWS + 1, 4, 0, blocks=BLOCKS)


@pytest.mark.parametrize("blocks", [None, BLOCKS])
def test_a_visit_knows_its_epoch_and_is_a_row_number(blocks: list[int] | None) -> None:
    order = iter(KeyedBatches(ROWS, ROWS, 0, blocks=blocks))
    for epoch in range(2):
        visits = next(order)
        assert all(isinstance(v, Visit) and v.epoch == epoch for v in visits)
        assert sorted(visits) == list(range(ROWS))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_of_a_rank_read_its_batches_in_order_from_real_shards(workers: int, tmp_path: Path) -> None:
    x = rows(n=23)
    data = Observations(open_rows(shards(tmp_path / "s", x, size=5, sigma_n=0.1)), Gaussian(), 0)
    assert data.blocks == [5, 5, 5, 5, 3]
    seen = []
    for rank in range(2):
        order = KeyedBatches(23, 2, 0, rank=rank, world=2, blocks=data.blocks)
        loader = DataLoader(
            data, batch_sampler=order, num_workers=workers, collate_fn=whole, generator=torch.Generator()
        )
        for _, batch in zip(range(5), loader):
            for i, row in enumerate(batch.row.tolist()):
                assert torch.equal(batch.x_n[i], torch.from_numpy(x[row]))
                assert float(batch.sigma_n[i]) == pytest.approx(0.1 + row / 100)
            seen += batch.row.tolist()
    assert len(set(seen)) == len(seen) == 20
