"""The range of levels of a run that names neither model nor levels: the largest distance of its clean rows, from noisy
ones."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.data.survey import Survey
from ambientkit.interfaces import Signal
from ambientkit.run.levels import LOOK_AT, suiting_levels
from ambientkit.run.prepare import _describe

SHAPE = (1, 4, 4)


class Rows:
    """Observations in memory, as `suiting_levels` asks for them."""

    def __init__(self, x_n: torch.Tensor, sigma_n: torch.Tensor) -> None:
        self._batch = Batch(x_n, sigma_n, torch.arange(len(x_n)), {})

    def __len__(self) -> int:
        return len(self._batch.x_n)

    def __getitems__(self, indices: list[int]) -> Batch:
        at = torch.tensor(indices)
        return Batch(self._batch.x_n[at], self._batch.sigma_n[at], at, {})


def two_kinds(n: int, apart: float, seed: int = 0) -> torch.Tensor:
    """(n, 1, 4, 4): half of the rows at 0, half at a distance of `apart`."""
    rows = torch.zeros(n, *SHAPE)
    rows[::2] = apart / 4
    return rows[torch.randperm(n, generator=torch.Generator().manual_seed(seed))]


def with_noise(clean: torch.Tensor, sigma_n: torch.Tensor, seed: int = 1) -> Rows:
    z = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    level = sigma_n.view(-1, *[1] * (clean.ndim - sigma_n.ndim)) if sigma_n.ndim == 1 else sigma_n
    return Rows(clean + level * z, sigma_n)


def test_clean_rows_give_their_largest_distance_and_the_default_lowest_level():
    found = suiting_levels(with_noise(two_kinds(40, 12.0), torch.zeros(40)), Gaussian(sigma_n=0.0))
    assert found == (0.002, 12.0)


def test_noise_does_not_count_as_distance():
    # |x_n - x_n'|^2 = 144 + 2 * 16 * 0.25 + fluctuations of std about sqrt(8 * 0.25 * 144) = 17: the largest of 400
    # pairs lies within 5 of them. Without the correction rows without any distance would be 2.8 apart.
    level = torch.full((40,), 0.5)
    apart = suiting_levels(with_noise(two_kinds(40, 12.0), level), Gaussian(sigma_n=0.5))
    assert 12.0 <= apart.sigma_max < (144 + 5 * 17) ** 0.5
    alike = suiting_levels(with_noise(torch.zeros(40, *SHAPE), level), Gaussian(sigma_n=0.5))
    assert alike.sigma_max == 5.0  # ten times the noise


def test_a_level_for_each_pixel_and_one_for_the_row_agree():
    clean, level = two_kinds(40, 12.0), torch.full((40,), 0.5)
    whole = with_noise(clean, level)
    each = with_noise(clean, level.view(-1, 1, 1, 1).expand(clean.shape).clone())
    assert suiting_levels(whole, Gaussian()) == suiting_levels(each, Gaussian())


@pytest.mark.parametrize(("sigma_n", "low"), [(0.3, 0.02), (0.15, 0.01), (0.02, 0.002)])
def test_the_lowest_level_is_a_fifteenth_of_the_noise_within_bounds(sigma_n, low):
    rows = with_noise(two_kinds(40, 12.0), torch.full((40,), sigma_n))
    assert suiting_levels(rows, Gaussian(sigma_n=sigma_n)).sigma_min == low


def test_many_rows_are_looked_at_in_part_and_large_distances_stay_within_the_default():
    rows = with_noise(two_kinds(4 * LOOK_AT, 500.0), torch.full((4 * LOOK_AT,), 0.3))
    assert suiting_levels(rows, Gaussian(sigma_n=0.3)).sigma_max == 80.0


def test_rows_that_say_nothing_of_a_range_leave_the_default():
    assert suiting_levels(with_noise(torch.zeros(8, *SHAPE), torch.zeros(8)), Gaussian()) is None
    broken = torch.full((8, *SHAPE), float("nan"))
    assert suiting_levels(Rows(broken, torch.zeros(8)), Gaussian()) is None
    assert suiting_levels(with_noise(two_kinds(8, 12.0), torch.zeros(8)), Mask()) is None


def test_digits_are_about_ten_apart():
    from sklearn.datasets import load_digits

    x = torch.from_numpy((load_digits().images[:, None] / 8 - 1).astype(np.float32))
    true = float(torch.cdist(x.flatten(1), x.flatten(1)).max())
    found = suiting_levels(with_noise(x, torch.full((len(x),), 0.3)), Gaussian(sigma_n=0.3))
    assert 0.9 * true < found.sigma_max < 1.1 * true


@pytest.mark.parametrize(
    ("sigma_n", "simulated", "told"),
    [
        ("estimate", False, "estimated from the rows"),
        (0.3, False, "declared with the data"),
        (None, True, "simulated once for each row"),
    ],
)
def test_it_is_said_how_the_noise_level_is_known(caplog, sigma_n, simulated, told):
    caplog.set_level(logging.INFO, "ambientkit")
    data = SimpleNamespace(name="array", sigma_n=sigma_n)
    config = SimpleNamespace(data=data, objective=(), sigma_data=None, corruption=Gaussian())
    seen = Survey(4, Signal((1, 4, 4), 0.5), (0.3, 0.3))
    _describe(config, seen, SimpleNamespace(simulated=simulated))
    assert caplog.messages[0].endswith(f"(38.25 in 0..255), {told}")
