"""Rows of several shapes: batches of one bucket, every row used equally often, the same from any step on."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientkit.batch import Clean
from ambientkit.config import Source, resolve
from ambientkit.data import KeyedBatches, observed, of_one_shape
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.rows import Rows, largest_bucket
from tests.support.engine import SMALL

SHAPES = [(1, 8, 8), (1, 4, 16), (1, 16, 4)]


class Bucketed(Rows):
    """Seven rows of three shapes."""

    buckets = (0, 1, 0, 2, 0, 1, 0)

    def __len__(self):
        return len(self.buckets)

    def __getitem__(self, index):
        return Clean(torch.full(SHAPES[self.buckets[index]], float(index)), {})


def batches(buckets, size, n, **more):
    return list(islice(KeyedBatches(len(buckets), size, 0, buckets=buckets, **more), n))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=16), st.integers(1, 5), st.integers(1, 3))
def test_batches_hold_one_bucket_and_rows_are_used_equally_often(buckets, size, world):
    joint = size * world
    n = 3 * len(buckets)  # joint batches: each row about 3 joint times
    ranks = [batches(buckets, size, n, rank=rank, world=world) for rank in range(world)]
    used = Counter()
    for parts in zip(*ranks, strict=True):
        rows = [row for part in parts for row in part]
        assert len({buckets[row] for row in rows}) == 1
        assert all(len(part) == size for part in parts)
        used.update(int(row) for row in rows)
    for kind in set(buckets):
        counts = [used[row] for row in range(len(buckets)) if buckets[row] == kind]
        assert max(counts) - min(counts) <= 1  # within a bucket: whole laps and a part of one
        # A bucket of n rows has had floor(e n / W) joint batches of W rows through epoch e, and some of the next.
        share = joint * n * len(counts) / len(buckets)
        assert abs(sum(counts) - share) <= joint * (len(set(buckets)) + 2 + len(counts) / joint)


def test_the_order_is_a_function_of_the_step_alone():
    buckets = [0, 1, 0, 2, 0, 1, 0, 0, 2, 1, 0]
    whole = batches(buckets, 2, 40)
    assert batches(buckets, 2, 17, start=23) == whole[23:]
    again = batches(buckets, 2, 40)
    assert [[row.epoch for row in batch] for batch in again] == [[row.epoch for row in batch] for batch in whole]
    assert batches(buckets, 2, 40) != list(islice(KeyedBatches(11, 2, 1, buckets=buckets), 40))
    assert [len(set(batch)) for batch in batches([0, 1], 3, 2)] == [1, 1]  # a bucket of one row


def test_what_is_looked_at_together_has_one_shape():
    config = resolve(Source(SMALL), load())
    rows = observed(Bucketed(), config.corruption, 0, ("flip-horizontal",))
    assert rows.buckets == [0, 1, 0, 2, 0, 1, 0]
    alike = of_one_shape(rows)
    assert alike.buckets == [0] * 4
    assert alike.__getitems__([0, 1, 2, 3]).row.tolist() == [0, 2, 4, 6]
    assert largest_bucket([3, 1, 1, 3]) == [0, 3]
    with pytest.raises(InputError, match="augment: quarter-turns change the shapes of rows in buckets"):
        observed(Bucketed(), config.corruption, 0, ("quarter-turns",))
