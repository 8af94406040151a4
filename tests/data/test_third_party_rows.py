"""Rows of somebody else's data set keep their units, axes, numbers and left-out rows wherever they go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import Observations, survey
from ambientkit.inspection.document import inspect_rows
from ambientkit.interfaces import Levels
from ambientkit.noisy_copy import corrupt
from ambientkit.rows import Rows
from ambientkit.sample.load import about_data
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units.ranges import ValueRange

KEPT = [0, 2, 3, 5, 6, 7]


def picture(row: int) -> torch.Tensor:
    """Of row `row` of the files: (1, 16, 16), in [-1, 1]."""
    y, x = np.mgrid[:16, :16] / 16
    return torch.from_numpy(0.5 * np.sin(3 * y + x + row)).float()[None]


class Told(Rows):
    """A subclass of `Rows` that tells everything."""

    mapping = ValueRange(100, 300)
    layout = "NHW"
    stored = "uint16"
    left_out = ("row 1: cloudy", "row 4: cloudy")
    blocks = (4, 2)

    def __len__(self) -> int:
        return len(KEPT)

    def __getitem__(self, index: int) -> Clean | Batch:
        return Clean(picture(KEPT[index]), {})

    def number(self, index: int) -> int:
        return KEPT[index]

    def at_or_above(self, sigma: float) -> Iterator[int]:
        return iter([5] if sigma <= 3 else [])


class Noisy(Told):
    """The same, with noise."""

    def __getitem__(self, index: int) -> Clean | Batch:
        noise = torch.from_numpy(np.random.default_rng(KEPT[index]).normal(0, 0.2, (1, 16, 16))).float()
        return Batch(picture(KEPT[index]) + noise, torch.tensor(0.2), torch.tensor(KEPT[index]), {})


class Plain(Dataset[Clean]):
    """A data set of torch that knows nothing of `Rows`, but tells the same under the same names."""

    def __init__(self, rows: Told) -> None:
        self._rows = rows
        self.mapping, self.layout, self.stored = rows.mapping, rows.layout, rows.stored
        self.left_out, self.blocks = list(rows.left_out), list(rows.blocks)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self._rows[index]

    def number(self, index: int) -> int:
        return self._rows.number(index)

    def at_or_above(self, sigma: float) -> Iterator[int]:
        return self._rows.at_or_above(sigma)


class Silent(Dataset[Clean]):
    """A data set of torch that tells nothing."""

    def __len__(self) -> int:
        return len(KEPT)

    def __getitem__(self, index: int) -> Clean:
        return Clean(picture(index), {})


telling = pytest.mark.parametrize(
    "rows", [Told(), Noisy(), Plain(Told()), Plain(Noisy())], ids=["rows", "noisy", "plain", "plain-noisy"]
)


@telling
def test_observations_keep_numbers_order_and_left_out_rows(rows: Any) -> None:
    seen = Observations(rows, Gaussian(sigma_n=0.2), 3)
    assert seen.__getitems__([4, 0, 1]).row.tolist() == [6, 0, 2]
    assert seen.left_out == ["row 1: cloudy", "row 4: cloudy"]
    assert seen.blocks == [4, 2]
    assert list(seen.at_or_above(0.1)) == [5]
    if isinstance(rows[0], Clean):  # noise by the number in the files: as if no row had been left out
        (one,) = Observations(Silent(), Gaussian(sigma_n=0.2), 3).__getitems__([2]).x_n
        assert torch.equal(seen[1].x_n, one)


@telling
def test_samples_come_back_in_the_units_and_axes_of_the_files(rows: Any) -> None:
    units = OwnUnits.of(rows)
    values = units.laid_out(units.values(torch.stack([picture(0), picture(1)])))
    assert values.shape == (2, 16, 16)
    assert np.allclose(values[0], 200 + 100 * picture(0)[0].numpy(), atol=1e-4)
    assert about_data(rows, (0.2, 0.2))["left_out"] == ["row 1: cloudy", "row 4: cloudy"]
    assert OwnUnits.from_plain(about_data(rows, (0.2, 0.2))["units"]) == units


@telling
def test_an_inspection_names_rows_as_the_files_do(rows: Any) -> None:
    facts, _, _ = inspect_rows(rows, "mine")
    assert (facts["file_type"], facts["left_out"]) == ("uint16", ["row 1: cloudy", "row 4: cloudy"])
    assert "100 and 300 stand for -1 and 1" in facts["mapping"]
    assert list(facts["sigma_n_estimated_by_row"]) == [str(number) for number in KEPT]


def test_a_noisy_copy_has_the_noise_of_the_rows_numbers(tmp_path: Any) -> None:
    list(corrupt(Told(), Gaussian(sigma_n=0.2), tmp_path / "c", 3, {}, workers=0, eight_bit=False, again=False))
    seen = Observations(Told(), Gaussian(sigma_n=0.2), 3).__getitems__(list(range(6)))
    assert np.array_equal(np.load(tmp_path / "c" / "rows.npy"), seen.x_n)


def test_a_silent_data_set_is_in_data_units_and_in_order() -> None:
    seen = Observations(Silent(), Gaussian(sigma_n=0.2), 3)
    assert seen.__getitems__([2, 1]).row.tolist() == [2, 1]
    assert (seen.left_out, seen.blocks, OwnUnits.of(Silent())) == ([], None, OwnUnits())


def test_the_scale_of_rows_that_no_reader_has_judged_is_told(caplog: Any) -> None:
    class Bright(Silent):
        def __getitem__(self, index: int) -> Clean:
            return Clean(127.5 * (picture(index) + 1), {})

    survey(Observations(Bright(), Gaussian(sigma_n=0.2), 0), Gaussian(sigma_n=0.2), Levels(), None)
    assert "far beyond [-1, 1]" in caplog.text
    caplog.clear()
    survey(Observations(Silent(), Gaussian(sigma_n=0.2), 0), Gaussian(sigma_n=0.2), Levels(), None)
    assert not caplog.text
