"""p-values by hand and their law; nearest rows beside a brute-force search; copies inside the data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ambientkit.errors import InputError
from ambientkit.maths.conformal import (
    conformal_p_values,
    least_listed,
    listed,
    listing,
    need_null_rows,
    null_rows_needed,
)
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation.copies import duplicate_groups, refuse_overlap
from ambientkit.memorisation.moved import distance_moved, nearest_moved
from ambientkit.memorisation.neighbours import nearest

LEVEL = 1e-4
"""False-alarm rate of each statistical test here."""


def normal(*shape: int, key: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=keyed_generator(key, "test.memorisation"), dtype=torch.float64)


# --- p-values -------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_p_values_count_ties_against_the_finding(null: list[int], scores: list[int]) -> None:
    found = conformal_p_values(torch.tensor(scores), torch.tensor(null))
    expected = [(1 + sum(one >= score for one in null)) / (len(null) + 1) for score in scores]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=1e-15)


def ranks(break_ties) -> tuple[np.ndarray, np.ndarray]:
    """(p, p with ties broken) of one fresh score against 9 of the same law, which has many ties; 3,000 times."""
    draws = torch.randint(0, 6, (3000, 10), generator=keyed_generator(1, "test.ties")).double()
    return np.concatenate([conformal_p_values(one[:1], one[1:], break_ties).numpy() for one in draws])


def test_with_ties_broken_p_values_are_uniform_and_without_they_are_never_too_small() -> None:
    broken, plain = ranks(keyed_generator(2, "test.ties")), ranks(None)
    assert stats.kstest(broken, "uniform").pvalue > LEVEL
    for level in (0.1, 0.2, 0.5):
        assert stats.binomtest(int((plain <= level).sum()), len(plain), level, alternative="greater").pvalue > LEVEL
    assert stats.kstest(plain, "uniform").pvalue < LEVEL  # the control: ties make them discrete, and the test sees it


def test_p_values_without_the_1_in_the_numerator_would_be_too_small() -> None:
    draws = normal(4000, 10)
    wrong = (draws[:, 1:] >= draws[:, :1]).double().mean(1)
    assert stats.binomtest(int((wrong <= 0.05).sum()), len(wrong), 0.05, alternative="greater").pvalue < LEVEL


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-4, 0.9), st.integers(1, 50))
def test_the_rows_needed_are_enough_and_one_fewer_is_not(level: float, tests: int) -> None:
    n = null_rows_needed(level, tests)
    assert 1 / (n + 1) <= level / tests * (1 + 1e-6)
    assert n == 0 or 1 / n > level / tests * (1 - 1e-6)


def test_too_few_held_out_rows_are_refused_with_the_number_that_is_needed() -> None:
    assert null_rows_needed(0.01) == 99
    need_null_rows(99, 0.01)
    with pytest.raises(InputError, match=r"98 held-out rows.*at least 99"):
        need_null_rows(98, 0.01)
    with pytest.raises(InputError, match="not finite"):
        conformal_p_values(torch.tensor([float("nan")]), torch.ones(3))
    with pytest.raises(InputError, match="n > 0"):
        conformal_p_values(torch.ones(2), torch.ones(0))


def test_the_list_is_that_of_benjamini_and_hochberg() -> None:
    p = torch.tensor([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216])  # of their paper's kind
    ordered = p.sort().values
    last = max(i for i in range(10) if ordered[i] <= 0.05 * (i + 1) / 10)
    assert listed(p, 0.05).tolist() == (p <= ordered[last]).tolist()
    assert listed(torch.zeros(0), 0.05).tolist() == []


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(5, 400), st.floats(0.01, 0.5))
def test_no_list_is_shorter_than_is_said(tests: int, null: int, level: float) -> None:
    least = least_listed(tests, null, level)
    p = torch.ones(tests, dtype=torch.float64)
    p[: min(least, tests)] = 1 / (null + 1)
    assert listed(p, level * (1 + 1e-6)).any() == (least <= tests)
    p[least - 1 :] = 1
    assert not listed(p, level * (1 - 1e-6)).any()
    assert ("no list is shorter" in listing(0, tests, null, level, "rows")) == (least > 1)


# --- nearest rows ---------------------------------------------------------------------------------------------------


def brute(queries: torch.Tensor, rows: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    difference = (
        (queries.double().flatten(1).unsqueeze(1) - rows.double().flatten(1).unsqueeze(0)).square().mean(2).sqrt()
    )
    ordered = difference.sort(dim=1, stable=True)
    return ordered.values[:, :k], ordered.indices[:, :k]


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("offset", [0.0, 1000.0])  # far from 0, where |q|^2 + |r|^2 - 2 q r cancels
def test_nearest_rows_are_those_of_a_brute_force_search(monkeypatch, k: int, offset: float) -> None:
    monkeypatch.setattr("ambientkit.memorisation.neighbours.ROWS", 37)
    monkeypatch.setattr("ambientkit.memorisation.neighbours.QUERIES", 11)
    rows, queries = normal(150, 3, 4) + offset, normal(40, 3, 4, key=1) + offset
    queries[0], rows[100] = rows[17], rows[17] + 1e-9  # a copy, and a near copy
    distance, row = brute(queries, rows, k)
    for given_rows in (rows, rows.split(50)):
        found = nearest(queries, given_rows, k)
        assert torch.equal(found.row, row)
        assert torch.allclose(found.distance, distance, rtol=1e-12, atol=1e-15)
    assert found.row[0, 0] == 17
    assert found.distance[0, 0] == 0


def test_rows_that_a_product_in_float32_cannot_tell_apart_are_told_apart() -> None:
    base = normal(1, 64) * 10
    near = base + 1e-5 * normal(60, 64, key=2)  # closer to one another than float32 products resolve
    rows = torch.cat([near, -near])  # and far from their mean
    found = nearest(rows, rows, 2, exclude=torch.arange(120))
    distance, row = brute(rows, rows, 3)
    assert torch.equal(found.row, row[:, 1:])
    assert torch.allclose(found.distance, distance[:, 1:])


def test_of_a_group_only_the_nearest_row_counts() -> None:
    rows = torch.tensor([[0.0], [0.0], [0.1], [5.0]])
    groups = torch.tensor([0, 0, 0, 3])
    found = nearest(torch.tensor([[0.05], [4.0]]), rows, 2, groups=groups)
    assert found.row.tolist() == [[0, 3], [3, 2]] or found.row.tolist() == [[2, 3], [3, 2]]
    many = torch.cat([torch.zeros(40, 1), torch.ones(1, 1)])
    found = nearest(torch.tensor([[0.2]]), many, 2, groups=torch.cat([torch.zeros(40), torch.ones(1)]).long())
    assert found.row.tolist() == [[0, 40]]


def test_fewer_rows_than_neighbours_leave_the_rest_open() -> None:
    found = nearest(torch.zeros(1, 2), torch.ones(1, 2), 2)
    assert found.row.tolist() == [[0, -1]]
    assert found.distance[0, 1] == torch.inf


def test_moved_and_mirrored_copies_are_found_at_distance_0() -> None:
    rows, queries = normal(30, 1, 8, 8), normal(3, 1, 8, 8, key=1)
    queries[0] = rows[4].flip(-1)
    queries[1] = rows[9].roll((2, -1), (1, 2))
    found = nearest_moved(queries, rows, shift=2)
    assert found.row[:2, 0].tolist() == [4, 9]
    assert found.distance[:2, 0].max() < 1e-12
    assert (found.row[:, 0] != found.row[:, 1]).all()
    assert nearest(queries, rows).distance[:2, 0].min() > 0.5
    pairs = distance_moved(queries, rows[found.row[:, 0]], shift=2)
    assert torch.allclose(pairs, found.distance[:, 0])
    every = torch.stack([distance_moved(queries, rows[i].expand(3, -1, -1, -1), shift=2) for i in range(30)], dim=1)
    assert torch.allclose(every.sort(1).values[:, :2], found.distance)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        nearest(torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(InputError, match="not finite"):
        nearest(torch.full((1, 2), float("inf")), torch.zeros(1, 2))
    with pytest.raises(InputError, match="less than half"):
        nearest_moved(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), shift=2)


# --- copies ---------------------------------------------------------------------------------------------------------


def test_duplicates_and_mirrored_pictures_are_grouped() -> None:
    rows = normal(6, 1, 4, 4)
    rows[3], rows[5] = rows[1], rows[0].flip(-1)
    assert duplicate_groups(rows).tolist() == [0, 1, 2, 1, 4, 0]
    assert duplicate_groups(rows, flip=False).tolist() == [0, 1, 2, 1, 4, 5]
    rows[4] = rows[2].flip(-1) + 0.01
    assert duplicate_groups(rows, tolerance=0.02).tolist() == [0, 1, 2, 1, 2, 0]


def test_held_out_rows_that_are_training_rows_are_refused_by_number() -> None:
    train, heldout = normal(5, 1, 4, 4), normal(4, 1, 4, 4, key=1)
    refuse_overlap(train, heldout)
    heldout[2] = train[3].flip(-1)
    with pytest.raises(
        InputError, match=r"1 of 4 held-out rows is a training row.*\n  held-out row 2 is training row 3"
    ):
        refuse_overlap(train, heldout)
