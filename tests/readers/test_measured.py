"""A value range measured on the rows: robust, the same every time, and written into the run's configuration as
numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ambientkit.config.request import Request, configure
from ambientkit.config.run import dump, to_yaml
from ambientkit.errors import InputError
from ambientkit.registry import load
from tests.support.formats import array, open_rows


def camera() -> np.ndarray:
    """uint16 of which the pictures use 100 to 1300, with one hot pixel: (40, 1, 16, 16)."""
    rng = np.random.default_rng(0)
    values = (rng.uniform(100, 1300, (40, 1, 16, 16))).round().astype(np.uint16)
    values[3, 0, 4, 4] = 65535
    return values


def spec(tmp_path: Path, values: np.ndarray, **fields: Any) -> dict[str, Any]:
    return {**array(tmp_path / "x", values), "clean": True, **fields}


def test_the_range_is_that_of_all_but_a_thousandth_of_the_values_and_maps_back(tmp_path: Path, caplog) -> None:
    values = camera()
    data = open_rows(spec(tmp_path, values, value_range="data"))
    assert data.mapping.low == pytest.approx(np.quantile(values, 0.001), rel=1e-6)
    assert data.mapping.high == pytest.approx(np.quantile(values, 0.999), rel=1e-6)
    assert np.array_equal(np.round(data.mapping.from_unit(data[3].x_0.numpy())), values[3])  # nothing is clipped
    assert "measured on the rows; single values reach 108 in these units" in caplog.text


def test_the_type_range_is_doubted_where_pictures_use_little_of_it_and_a_given_one_is_not(
    tmp_path: Path, caplog
) -> None:
    values = camera()
    values[3, 0, 4, 4] = 700
    open_rows(spec(tmp_path, values))
    assert "1.8 % of the range of their type (uint16)" in caplog.text
    assert "value_range: data" in caplog.text
    caplog.clear()
    open_rows(spec(tmp_path, values, value_range=[0, 65535]))
    assert "of their type" not in caplog.text


def test_the_configuration_of_a_run_holds_numbers_and_reads_back_as_the_same(tmp_path: Path) -> None:
    registry = load()
    given = spec(tmp_path, camera())
    text = f"array{{path: {given['path']}, clean: true, value_range: data}}"
    config = configure(Request(data=text, sigma_n="0.2"), registry, None)
    low, high = config.data.value_range  # type: ignore[attr-defined]
    assert 95 < low < 110
    assert 1290 < high < 1305
    stored = yaml.safe_load(to_yaml(dump(config)))["data"]
    assert stored["value_range"] == [low, high]
    np.save(given["path"], camera() // 2)  # whatever becomes of the file, the numbers stay
    assert registry.build("data", stored).rows().mapping.low == low  # type: ignore[attr-defined]


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all values are the same"):
        open_rows(spec(tmp_path, np.full((5, 1, 8, 8), 7, np.uint16), value_range="data"))
    with pytest.raises(InputError, match="counts need value_range"):
        open_rows({**spec(tmp_path, camera()), "clean": False, "counts": {"gain": 1}, "value_range": "data"})


def test_a_type_without_a_range_names_the_way_to_measure_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="value_range: data"):
        open_rows(spec(tmp_path, camera().astype(np.int16)))
    assert len(open_rows(spec(tmp_path, camera().astype(np.int32), value_range="data"))) == 40
