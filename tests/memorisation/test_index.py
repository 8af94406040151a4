"""The approximate index: what it offers is measured exactly, and little is missed."""

from __future__ import annotations

import sys

import pytest
import torch

import ambientkit as ak
from ambientkit.memorisation.index import nearest_indexed
from ambientkit.memorisation.moved import nearest_moved
from ambientkit.memorisation.neighbours import nearest
from tests.memorisation.test_pvalues_and_neighbours import normal

usearch = pytest.mark.skipif("not __import__('importlib').util.find_spec('usearch')", reason="usearch is not installed")


@usearch
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_nearly_all_neighbours_are_found_and_their_distances_are_exact(offset: float) -> None:
    rows, queries = normal(3000, 32) + offset, normal(300, 32, key=1) + offset
    exact, found = nearest(queries, rows, 2), nearest_indexed(queries, rows, 2)
    same = found.row == exact.row
    assert same.double().mean() > 0.97
    assert torch.allclose(found.distance[same], exact.distance[same], rtol=1e-12)
    assert bool((found.distance >= exact.distance - 1e-12).all())
    again = nearest_indexed(queries, rows, 2)
    assert torch.equal(again.row, found.row)
    few = nearest_indexed(queries, rows, 2, candidates=2, search=2)  # the control: a short walk misses more
    assert (few.row == exact.row).double().mean() < same.double().mean()


@usearch
def test_mirror_images_excluded_rows_and_groups_are_treated_as_by_the_exact_search() -> None:
    rows = normal(200, 1, 6, 6)
    queries = torch.cat([rows[5:6].flip(-1), rows[9:10] + 0.01, normal(20, 1, 6, 6, key=2)])
    groups = torch.arange(200)
    groups[9] = 3
    exact = nearest_moved(queries, rows, 2, flip=True, groups=groups)
    found = nearest_indexed(queries, rows, 2, flip=True, groups=groups, candidates=200)
    assert torch.equal(found.row, exact.row)
    assert torch.allclose(found.distance, exact.distance)
    own = torch.arange(200)
    assert torch.equal(
        nearest_indexed(rows, rows, 1, exclude=own, candidates=200).row, nearest(rows, rows, 1, exclude=own).row
    )


@usearch
def test_fewer_rows_than_neighbours_leave_the_rest_open() -> None:
    found = nearest_indexed(torch.zeros(1, 2), torch.ones(1, 2), 2)
    assert found.row.tolist() == [[0, -1]]
    assert found.distance[0, 1] == torch.inf


@usearch
def test_the_measure_by_the_index_is_that_of_the_exact_search(tmp_path) -> None:
    rows = normal(400, 1, 8, 8)
    samples = torch.cat([rows[:5].flip(-1), normal(60, 1, 8, 8, key=3)])
    given = {"train": rows[:300], "heldout": rows[300:], "shift": 0, "level": 0.05, "resamples": 0}
    exact, found = ak.memorization(samples, **given), ak.memorization(samples, index="usearch", **given)
    assert torch.equal(found.neighbours.row[:5, 0], torch.arange(5))
    assert torch.equal(found.listed, exact.listed)
    assert "by an index of usearch" in str(found)


def test_an_index_that_cannot_serve_is_refused_by_name(monkeypatch) -> None:
    rows = normal(200, 1, 8, 8)
    given = {"train": rows[:100], "heldout": rows[100:], "level": 0.05}
    with pytest.raises(ak.InputError, match="fdr -1: should be above 0 and below 1"):
        ak.memorization(rows[:30] + 1, fdr=-1, **given)
    with pytest.raises(ak.InputError, match="exact, usearch"):
        ak.memorization(rows[:30] + 1, index="hnsw", **given)
    with pytest.raises(ak.InputError, match=r"moved .by up to 2 pixels.: give shift 0"):
        ak.memorization(rows[:30] + 1, index="usearch", **given)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(ak.InputError, match=r"ambientkit\[index\]"):
        nearest_indexed(rows[:3], rows)
