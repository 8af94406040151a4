"""Every file format gives the same rows, in every way of reading them."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import Observations, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from tests.support.formats import FORMATS, array, fits, hdf5, open_rows, rows, shards, tiff_stack, zarr_array
from tests.support.shares import some

each_format = pytest.mark.parametrize("make", FORMATS.values(), ids=list(FORMATS))


@each_format
def test_every_format_gives_the_values_and_levels_it_was_given(make: Any, tmp_path: Path) -> None:
    x = rows()
    spec = make(tmp_path / "d", x)
    noisy, clean = open_rows(spec, sigma_n=0.3), open_rows(spec, clean=True)
    assert len(noisy) == len(clean) == 5
    for i in range(5):
        assert isinstance(noisy[i], Batch)
        assert isinstance(clean[i], Clean)
        assert torch.equal(noisy[i].x_n, torch.from_numpy(x[i]))
        assert torch.equal(clean[i].x_0, torch.from_numpy(x[i]))
        assert (noisy[i].sigma_n, int(noisy[i].row)) == (torch.tensor(0.3), i)
    for outside in (-1, 5):
        with pytest.raises(IndexError):
            clean[outside]


@each_format
def test_every_format_refuses_rows_of_unknown_noise(make: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give sigma_n"):
        open_rows(make(tmp_path / "d", rows()))


@each_format
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_every_format_finds_values_that_are_not_finite(make: Any, tmp_path: Path, value: float) -> None:
    x = rows()
    x[3, 0, 4, 4] = value
    with pytest.raises(InputError, match="1 of 5 rows hold NaN or infinite"):
        open_rows(make(tmp_path / "d", x), sigma_n=0.3)


@each_format
@pytest.mark.parametrize("start", some(["fork", "spawn"], ["fork"]))
@pytest.mark.slow
def test_workers_read_the_rows_that_were_asked_for_after_the_parent_has_read(
    make: Any, start: str, tmp_path: Path
) -> None:
    if start == "fork" and not sys.platform.startswith("linux"):
        pytest.skip("fork is safe on Linux only")
    if start == "spawn" and make not in (hdf5, shards):
        pytest.skip(
            "two formats stand for all under spawn, which takes seconds a worker; all are pickled in another test"
        )
    x = rows(n=32)
    data = open_rows(make(tmp_path / "d", x), clean=True)
    assert torch.equal(data[7].x_0, torch.from_numpy(x[7]))  # the parent holds the file open, if anything does
    loader = DataLoader(data, 4, num_workers=2, multiprocessing_context=start, generator=torch.Generator())
    found = torch.cat([batch.x_0 for batch in loader])
    assert torch.equal(found, torch.from_numpy(x))
    assert torch.equal(data[8].x_0, torch.from_numpy(x[8]))  # and the parent reads on


@each_format
def test_what_is_sent_to_a_worker_does_not_grow_with_the_data(make: Any, tmp_path: Path) -> None:
    sizes = []
    for n in (5, 50):
        data = open_rows(make(tmp_path / f"d{n}", rows(n)), clean=True)
        data[0]
        sizes.append(len(pickle.dumps(data)))
        assert torch.equal(pickle.loads(pickle.dumps(data))[n - 1].x_0, data[n - 1].x_0)
    assert sizes[1] < sizes[0] + 45 * 120  # names of files at most; a row has 480 bytes


@pytest.mark.parametrize("make", [array, hdf5, zarr_array], ids=["array", "hdf5", "zarr"])
def test_levels_come_from_a_table_in_the_order_of_its_rows(make: Any, tmp_path: Path) -> None:
    spec = make(tmp_path / "d", rows())
    table = tmp_path / "levels.csv"
    table.write_text("row,sigma_n\n4,0.34\n0,0.30\n1,0.31\n3,0.33\n2,0.32\n")
    data = open_rows(spec, sigma_n=str(table))
    assert [round(float(data[i].sigma_n), 6) for i in range(5)] == [0.30, 0.31, 0.32, 0.33, 0.34]
    for text, complaint in [
        ("sigma_n\n0.3\n", "each of the 5 rows"),
        ("level\n0.3\n", "no column 'sigma_n'"),
        ("sigma_n\nx\n0\n0\n0\n0\n", "should be a number"),
        ("row,sigma_n\n0,0.3\n0,0.3\n1,1\n2,2\n3,3\n", "each of the 5 rows"),
        ("row,sigma_n\n0\n", "line 2"),
    ]:
        table.write_text(text)
        with pytest.raises(InputError, match=complaint):
            open_rows(spec, sigma_n=str(table))


@pytest.mark.parametrize("make", [tiff_stack, fits], ids=["tiff-stack", "fits"])
def test_levels_by_file_reach_every_row_of_the_file(make: Any, tmp_path: Path) -> None:
    spec = make(tmp_path / "d", rows())
    names = sorted(p.name for p in (tmp_path / "d").iterdir())
    table = tmp_path / "levels.csv"
    table.write_text("file,sigma_n\n" + "".join(f"{name},{0.3 + i / 100}\n" for i, name in enumerate(names)))
    data = open_rows(spec, sigma_n=str(table))
    expected = [0.3, 0.3, 0.3, 0.31, 0.31] if make is tiff_stack else [0.3, 0.31, 0.32, 0.33, 0.34]
    assert [round(float(data[i].sigma_n), 6) for i in range(5)] == expected
    table.write_text("file,sigma_n\n" + f"{names[0]},0.3\n")
    with pytest.raises(InputError, match="no level for"):
        open_rows(spec, sigma_n=str(table))


@each_format
def test_a_map_by_pixel_and_one_level_a_row_are_taken_by_every_format(make: Any, tmp_path: Path) -> None:
    spec = make(tmp_path / "d", rows())
    level = np.random.default_rng(0).uniform(0.1, 0.3, (5, 1, 12, 10))
    for name, values in [("full", level), ("map", level[0]), ("row", level[:, 0, 0, 0])]:
        np.save(tmp_path / f"{name}.npy", values)
        data = open_rows(spec, sigma_n=str(tmp_path / f"{name}.npy"))
        for i in (0, 4):
            mine = values if name == "map" else values[i]
            assert np.allclose(data[i].sigma_n.numpy(), mine, atol=1e-7)


def test_a_level_in_units_of_the_file_is_converted_with_the_range(tmp_path: Path) -> None:
    x = 500 + 100 * rows()
    data = open_rows(array(tmp_path / "d", x), sigma_n=30.0, sigma_units="file", value_range=[300, 800])
    assert float(data[0].sigma_n) == pytest.approx(30 / 250)
    assert np.allclose(data.mapping.from_unit(data[2].x_n.numpy()), x[2], rtol=1e-6)


def test_rows_at_or_above_a_level_are_named_without_being_read(tmp_path: Path) -> None:
    spec = array(tmp_path / "d", rows(40))
    level = np.full((40,), 0.3)
    level[[3, 17, 39]] = 90
    np.save(tmp_path / "level.npy", level)
    data = open_rows(spec, sigma_n=0.3)
    assert list(data.at_or_above(0.3)) == list(range(40))
    assert list(data.at_or_above(0.31)) == []
    np.save(tmp_path / "level.npy", level / 1000)
    data = open_rows(spec, sigma_n=str(tmp_path / "level.npy"), value_range=[-1, 1])
    assert list(data.at_or_above(0.09)) == [3, 17, 39]


def test_zero_levels_make_clean_rows_among_noisy_ones(tmp_path: Path) -> None:
    np.save(tmp_path / "level.npy", np.array([0.3, 0.0, 0.3, 0.0, 0.3]))
    data = open_rows(array(tmp_path / "d", rows()), sigma_n=str(tmp_path / "level.npy"))
    assert [float(data[i].sigma_n) == 0 for i in range(5)] == [False, True, False, True, False]


@pytest.mark.slow
def test_a_large_set_may_be_checked_by_sample(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = np.random.default_rng(0).normal(0, 0.5, (9000, 16)).astype(np.float32)
    x[1] = np.nan  # between two of the rows that are looked at
    spec = {**array(tmp_path / "d", x), "layout": "N..."}
    with pytest.raises(InputError, match="1 of 9000"):
        open_rows(spec, clean=True)
    assert len(open_rows(spec, clean=True, check="sample")) == 9000
    np.save(tmp_path / "d.npy", np.where(np.arange(9000)[:, None] == 8999, np.nan, x))
    with pytest.raises(InputError, match=r"1 of 4096 rows hold NaN or infinite values: row 8999"):
        open_rows(spec, clean=True, check="sample")
    assert "only 4096 of 9000 rows are checked" in caplog.text


@pytest.mark.parametrize(("make", "module"), [(tiff_stack, "tifffile"), (hdf5, "h5py"), (fits, "astropy.io.fits")])
def test_a_missing_library_is_named_with_the_extra_to_install(
    make: Any, module: str, tmp_path: Path, monkeypatch
) -> None:
    spec = make(tmp_path / "d", rows())
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"pip install 'ambientkit\[science\]'"):
        open_rows(spec, clean=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_handle_is_closed_before_a_fork_so_that_no_two_processes_share_it(tmp_path: Path) -> None:
    data = open_rows(hdf5(tmp_path / "d", rows()), clean=True)
    data[0]
    assert data.source._handle is not None
    child = os.fork()
    if child == 0:
        os._exit(0 if data.source._handle is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(data[3].x_0, torch.from_numpy(rows()[3]))


def test_a_level_beyond_the_largest_is_found_in_rows_that_a_survey_does_not_look_at(tmp_path: Path) -> None:
    level = np.full(9000, 0.3)
    level[[1, 4001]] = 90.0  # between two of the 4096 rows that are looked at
    x = (
        np.random.default_rng(0).normal(0, 0.5, (9000, 16))
        + level[:, None] * np.random.default_rng(1).normal(size=(9000, 16))
    ).astype(np.float32)
    np.save(tmp_path / "level.npy", level)
    spec = {**array(tmp_path / "d", x), "layout": "N...", "sigma_n": str(tmp_path / "level.npy")}
    data = Observations(open_rows(spec), Gaussian(), 0)
    with pytest.raises(InputError, match="rows 1, 4001"):
        survey(data, Gaussian(), Levels(), None)
