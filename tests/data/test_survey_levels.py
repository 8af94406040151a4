"""Noise below the lowest level of a run is refused, or told where only some rows are so."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.utils.data import Dataset

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import Observations, survey
from ambientkit.data.survey import Survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange


class Noisy(Dataset[Batch]):
    """Rows of given levels."""

    def __init__(self, levels: list[float]) -> None:
        self.levels = levels

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Batch:
        x = torch.linspace(-1, 1, 64) + index / 10
        return Batch(x, torch.tensor(self.levels[index]), torch.tensor(index), {})


def look(levels: list[float], estimated: bool = False) -> object:
    return survey(Observations(Noisy(levels), Gaussian(), 0), Gaussian(), Levels(0.002, 80.0), None, estimated)


def test_noise_that_is_all_below_sigma_min_is_refused_with_the_remedy() -> None:
    for levels in ([0.0019] * 4, [0.0, 0.0002]):
        with pytest.raises(InputError, match="below the lowest level of the run") as caught:
            look(levels)
        assert "value_range: data" in str(caught.value)
    look([0.002] * 4)
    look([0.0] * 4)


def test_where_some_rows_are_below_it_is_told_and_refused_for_an_estimate(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ambientkit"):
        look([0.2, 0.001, 0.2, 0.0])
    assert "1 of 4 rows looked at have a noise level below" in caplog.text
    with pytest.raises(InputError, match="1 of 4 rows"):
        look([0.2, 0.001, 0.2, 0.0], estimated=True)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (None, "sigma_n 0.1 in [-1, 1] (12.75 in 0..255)"),
        (ValueRange(-1, 1), "sigma_n 0.1 in [-1, 1] (12.75 in 0..255)"),
        (ValueRange(100, 500), "sigma_n 0.1 in [-1, 1] (20 in file units)"),
        (CountRange(290, 400, 0.8, 300, 3), "sigma_n 0.1 in [-1, 1], of counts after their transform"),
    ],
)
def test_the_level_is_told_in_units_that_mean_something(mapping, told) -> None:
    assert Survey(4, Signal((1, 4, 4), 0.5), (0.1, 0.1), mapping=mapping).describe_noise() == told


def test_a_level_of_latents_is_told_in_their_units_alone() -> None:
    found = Survey(4, Signal((4, 8, 8), 1.0), (0.1, 0.2), latents=True)
    assert found.describe_noise() == "sigma_n 0.1 to 0.2 in [-1, 1]"
