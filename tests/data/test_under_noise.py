"""Rows in which nothing can be made out: the message names what is wrong."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Generator

from ambientkit.batch import Batch, take
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.data import Observations, Survey, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Levels

N = 32
CLEAN = 0.4 * torch.randn(N, 1, 3, 3, generator=Generator().manual_seed(0))


def scaled(by: float, **fields: object) -> Linear:
    """A multiple of the identity."""
    rows = [[by * (i == j) for j in range(9)] for i in range(9)]
    return Linear(operator={"name": "matrix", "shape": (1, 3, 3), "values": rows}, **fields)


def surveyed(corruption: Corruption, rows: Batch) -> Survey:
    one_by_one = [take(rows, torch.tensor(i)) for i in range(N)]
    return survey(Observations(one_by_one, corruption, 0), corruption, Levels(), None)


@pytest.mark.parametrize("by", [1e-9, 1e-30, 1e6])
@pytest.mark.parametrize("sigma_n", [0.0, 0.1])
def test_an_operator_of_another_scale_is_named(by: float, sigma_n: float) -> None:
    """Case: of singular values 1e-9 it was said that sigma_n has other units; without noise nothing was learned."""
    operator = scaled(by, sigma_n=sigma_n, allow_unseen=True)
    rows = operator.observe(CLEAN, torch.arange(N), Generator().manual_seed(1))
    with pytest.raises(InputError, match=re.escape(f"operator matrix: it makes white noise {by:.3g} times as large")):
        surveyed(operator, rows)


def test_data_under_noise_behind_a_small_operator_are_told_from_other_units() -> None:
    operator = scaled(1e-2, sigma_n=0.1)
    rows = operator.observe(CLEAN, torch.arange(N), Generator().manual_seed(1))
    with pytest.raises(InputError, match=r"Operator matrix makes white noise 0\.01 times as large"):
        surveyed(operator, rows)
    small = scaled(1e-2, sigma_n=3e-3)
    assert surveyed(small, small.observe(CLEAN, torch.arange(N), Generator().manual_seed(1))).signal.sigma_data > 0.3
    noise = Batch(torch.randn(CLEAN.shape, generator=Generator().manual_seed(2)), torch.ones(N), torch.arange(N), {})
    with pytest.raises(InputError, match="is it given in other units"):
        surveyed(Gaussian(), noise)
    with pytest.raises(InputError, match="is it given in other units"):
        surveyed(scaled(1.0), noise._replace(x_n=noise.x_n.flatten(1)))


def test_rows_of_one_value_are_named_and_an_inverted_mask_with_them() -> None:
    """Case: of masks that are the other way round, without noise, it was said that sigma_n has other units."""
    seen = torch.rand(N, 1, 3, 3, generator=Generator().manual_seed(3)) < 0.6
    x_n = torch.where(seen, CLEAN, 0.0)
    wrong = Batch(x_n, torch.zeros(N), torch.arange(N), {"mask": ~seen})
    with pytest.raises(InputError, match=r"that were measured.*are exactly 0, so that nothing.*store 1 - masks"):
        surveyed(Mask(missing=0.6), wrong)
    assert surveyed(Mask(), wrong._replace(cond={"mask": seen})).signal.sigma_data > 0.3
    flat = Batch(torch.full_like(CLEAN, 0.25), torch.zeros(N), torch.arange(N), {})
    with pytest.raises(InputError, match=r"are exactly 0.*, so that nothing can be learned from them$"):
        surveyed(Gaussian(), flat)
    with pytest.raises(InputError, match=r"are exactly 0.25, which noise does not do$"):
        surveyed(Gaussian(), flat._replace(sigma_n=torch.ones(N)))
