"""Gradients of batches that are measured in one call: where they go together, and the mean is in doubt, each batch has
a call of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.builtin.checks.probe import GROUPS, alike_in_a_call, by_group, calls_for

COUNT, COLUMNS = 240, 6


class Calls:
    """Samples of calls that share `share` of their spread, with a mean; it notes how many groups were asked for."""

    def __init__(self, share: float, mean: float) -> None:
        self._share, self._mean = share, mean
        self.groups: list[int] = []

    def __call__(self, index: int, groups: int) -> Tensor:
        self.groups.append(groups)
        generator = torch.Generator().manual_seed(index)
        own = torch.randn(groups, COLUMNS, generator=generator, dtype=torch.float64)
        shared = torch.randn(1, COLUMNS, generator=generator, dtype=torch.float64)
        return self._mean + (1 - self._share) ** 0.5 * own + self._share**0.5 * shared


def test_batches_that_share_draws_are_measured_one_by_one_where_the_mean_is_in_doubt() -> None:
    calls = Calls(share=0.9, mean=0.4)
    found = by_group(calls, COUNT, 3)
    assert calls.groups == [GROUPS] * calls_for(COUNT, 3) + [1] * COUNT
    assert found.shape == (COUNT, COLUMNS)


def test_independent_batches_are_measured_together_whatever_their_mean() -> None:
    calls = Calls(share=0.0, mean=0.4)
    by_group(calls, COUNT, 3)
    assert set(calls.groups) == {GROUPS}


def test_what_goes_together_is_left_where_the_mean_is_in_no_doubt() -> None:
    calls = Calls(share=0.3, mean=0.0)
    assert not alike_in_a_call([calls(index, GROUPS) for index in range(calls_for(COUNT, 3))], 3)


def test_the_mean_of_each_kind_of_calls_is_no_likeness_of_its_groups() -> None:
    calls = Calls(share=0.0, mean=0.0)
    found = [calls(index, GROUPS) + 3.0 * (index % 3) for index in range(calls_for(COUNT, 3))]
    assert not alike_in_a_call(found, 3)
