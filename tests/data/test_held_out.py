"""Rows held out of training: chosen by their own numbers, and the others as they are with all."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from ambientkit.batch import Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import KeyedBatches, Visit, observed
from ambientkit.data.held_out import FEWEST, MOST, WithoutHeldOut, held_out_count, held_out_rows
from ambientkit.maths.randomness import derive_seed, derive_seeds


class Pictures(Dataset):
    def __init__(self, n: int) -> None:
        self.n, self.blocks = n, [n // 4, 0, n // 2, n - n // 4 - n // 2]

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Clean:
        return Clean(torch.full((1, 4, 4), float(index)), {})


@given(st.integers(0, 2**31), st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_seeds_of_many_rows_are_those_of_each(seed, rows):
    assert derive_seeds(seed, "a", torch.tensor(rows)).tolist() == [derive_seed(seed, "a", row=row) for row in rows]


@given(st.integers(2, 500), st.integers(0, 1000), st.integers(1, 50))
def test_a_row_is_held_out_by_its_own_number(rows, seed, more):
    """Rows that are added push out at most as many of those held out as they are, and let in no other of the old."""
    count = max(rows // 5, 1)
    before, after = set(held_out_rows(range(rows), count, seed)), set(held_out_rows(range(rows + more), count, seed))
    assert len(before) == len(after) == count
    assert {row for row in after if row < rows} <= before


def test_every_row_is_as_likely_to_be_held_out():
    """Counts over 400 seeds, binomial(400, .2) each: none of 50 rows beyond 5 standard deviations (false alarm 3e-5).
    Held out by order, the control is."""
    counts, first = torch.zeros(50), torch.zeros(50)
    for seed in range(400):
        counts[held_out_rows(range(50), 10, seed)] += 1
        first[:10] += 1
    deviation = (400 * 0.2 * 0.8) ** 0.5
    assert float((counts - 80).abs().max()) < 5 * deviation < float((first - 80).abs().max())


@pytest.mark.parametrize(
    ("rows", "share", "count"),
    [(100, None, 0), (200, None, 20), (10**6, None, MOST), (100, 0.0, 0), (100, 0.25, 25), (3, 0.9, 2)],
)
def test_how_many(rows, share, count):
    assert held_out_count(rows, share) == count
    assert held_out_count(10 * FEWEST, None) == FEWEST


@pytest.mark.parametrize("names", [(), ("flip-horizontal", "quarter-turns")])
def test_the_others_are_as_they_are_with_all(names):
    every = observed(Pictures(40), Gaussian(sigma_n=0.3), 7, names)
    held = held_out_rows(range(40), 8, 7)
    rest = WithoutHeldOut(every, held)
    kept = [row for row in range(40) if row not in held]
    assert len(rest) == 32
    visits = [Visit(index, index % 3) for index in range(32)]
    found, expected = rest.__getitems__(visits), every.__getitems__([Visit(kept[v], v.epoch) for v in visits])
    assert torch.equal(found.x_n, expected.x_n)
    assert found.row.tolist() == kept
    assert torch.equal(rest[5].x_n, every[kept[5]].x_n)
    assert sum(rest.blocks) == 32
    assert rest.blocks == [sum(1 for row in kept if a <= row < b) for a, b in ((0, 10), (10, 10), (10, 30), (30, 40))]
    with pytest.raises(IndexError):
        rest[32]


def test_an_epoch_sees_each_of_them_once_and_none_held_out():
    held = held_out_rows(range(40), 8, 0)
    rest = WithoutHeldOut(observed(Pictures(40), Gaussian(), 0), held)
    batches = iter(KeyedBatches(len(rest), 8, 0, blocks=rest.blocks))
    rows = [row for _ in range(4) for row in rest.__getitems__(next(batches)).row.tolist()]
    assert sorted(rows) == [row for row in range(40) if row not in held]
    assert len(pickle.loads(pickle.dumps(rest))) == 32  # as workers get it
