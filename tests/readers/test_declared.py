"""A noise level that is stored with the rows, and one that is given: they agree, or the rows are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.errors import InputError
from ambientkit.noisy_copy import corrupt
from tests.support.formats import array, open_rows, rows, shards


def npz(folder: Path, level: Any) -> dict[str, Any]:
    np.savez(folder.with_suffix(".npz"), rows=rows(), sigma_n=level)
    return {"name": "array", "path": str(folder.with_suffix(".npz"))}


def hdf5(folder: Path, level: Any) -> dict[str, Any]:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder.with_suffix(".h5"), "w") as file:
        file["rows"], file["sigma_n"] = rows(), np.broadcast_to(level, (5,))
    return {"name": "hdf5", "path": str(folder.with_suffix(".h5"))}


def zarr(folder: Path, level: Any) -> dict[str, Any]:
    module = pytest.importorskip("zarr")
    group = module.open_group(str(folder), mode="w")
    group.create_array("rows", shape=(5, 1, 12, 10), dtype="f4")[:] = rows()
    group.create_array("sigma_n", shape=(5,), dtype="f4")[:] = level
    return {"name": "zarr", "path": str(folder)}


def copy(folder: Path, level: float) -> dict[str, Any]:
    """What `corrupt` wrote."""
    clean = open_rows(array(folder.with_name("clean"), rows()), clean=True)
    list(corrupt(clean, Gaussian(sigma_n=level), folder, 0, {}, workers=0, eight_bit=False, again=False))
    return {"name": "corrupted", "path": str(folder)}


def its_rows(folder: Path, level: float) -> dict[str, Any]:
    """The file of rows that `corrupt` wrote, by its own name."""
    copy(folder, level)
    return {"name": "array", "path": str(folder / "rows.npy")}


def tar(folder: Path, level: float) -> dict[str, Any]:
    return shards(folder, rows(), sigma_n=level)


MADE = {f.__name__: f for f in (npz, hdf5, zarr, copy, its_rows, tar)}


@pytest.mark.parametrize("make", MADE.values(), ids=list(MADE))
def test_another_level_is_refused_with_both_and_the_way_out(make: Any, tmp_path: Path) -> None:
    spec = make(tmp_path / "d", 0.3)
    with pytest.raises(
        InputError, match=r"two noise levels: sigma_n = 0.25 is given, and 0.3( to 0.34)? is stored"
    ) as caught:
        open_rows(spec, sigma_n=0.25)
    assert str(tmp_path / "d") in str(caught.value)
    assert "Leave sigma_n out" in str(caught.value)
    np.save(tmp_path / "level.npy", np.full(5, 0.2))
    with pytest.raises(InputError, match=r"two noise levels: sigma_n = 0\.2 is given"):
        open_rows(spec, sigma_n=str(tmp_path / "level.npy"))
    with pytest.raises(InputError, match="clean"):
        open_rows(spec, clean=True)
    assert float(open_rows(spec)[0].sigma_n) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "make", [f for f in MADE.values() if f is not tar], ids=[name for name in MADE if name != "tar"]
)
def test_the_same_level_in_other_digits_is_no_contradiction(make: Any, tmp_path: Path) -> None:
    spec = make(tmp_path / "d", 0.3)
    assert float(open_rows(spec, sigma_n=0.30001)[0].sigma_n) == pytest.approx(0.3, rel=1e-3)
    with pytest.raises(InputError, match="two noise levels"):
        open_rows(spec, sigma_n=0.301)


def test_an_estimate_names_the_level_that_it_replaces(tmp_path: Path, caplog: Any) -> None:
    open_rows(npz(tmp_path / "d", 0.3), sigma_n="estimate")
    assert "the level stored with the rows, 0.3, is not used" in caplog.text


def test_levels_of_zero_are_no_contradiction_to_clean_rows_and_labels_are_no_levels(tmp_path: Path) -> None:
    assert len(open_rows(npz(tmp_path / "d", np.zeros(5)), clean=True)) == 5
    assert len(open_rows(shards(tmp_path / "s", rows()), clean=True)) == 5


def test_counts_whose_level_is_stored_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="counts is set"):
        open_rows(npz(tmp_path / "d", 0.3), counts={"gain": 0.001, "offset": -10}, value_range=[-1, 1])


def test_an_estimate_of_no_noise_is_refused_with_the_remedy(tmp_path: Path) -> None:
    y, x = np.mgrid[:32, :32] / 32
    smooth = np.stack([x + y + i for i in range(8)])[:, None].astype(np.float32)
    for how in ("estimate", "estimate-by-row"):
        with pytest.raises(InputError, match="no noise is found") as caught:
            open_rows(array(tmp_path / "d", smooth), sigma_n=how)
        assert "value_range: data" in str(caught.value)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_rows_of_a_table_are_whole_numbers_and_its_columns_have_one_name_each(end: str, tmp_path: Path) -> None:
    table = tmp_path / f"levels.{end}"
    spec = array(tmp_path / "d", rows())
    if end == "csv":
        table.write_text("sigma_n,sigma_n\n" + "".join(f"{0.1 + i / 100},{0.3 + i / 100}\n" for i in range(5)))
        told = "the column 'sigma_n' comes more than once"
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"row": [0.0, 1.9, 2.2, 3.0, 4.0], "sigma_n": [0.3] * 5}), table)
        told = r"every row a whole one:\n  row 1: row 1.9 has a fraction"
    with pytest.raises(InputError, match=f"levels.{end}: .*{told}"):
        open_rows(spec, sigma_n=str(table))


@pytest.mark.parametrize("bad", ["0_0.6", "１", "nan", "inf", "-0.1", "true", ""])
def test_a_level_of_a_table_is_a_plain_number(bad: str, tmp_path: Path) -> None:
    """Python's float takes some of them: 0_0.6 was 0.6, and 1_0 was 10."""
    table = tmp_path / "levels.csv"
    table.write_text("row,sigma_n\n" + "".join(f"{i},{0.3 if i != 2 else bad}\n" for i in range(5)), encoding="utf-8")
    with pytest.raises(InputError, match=r"levels.csv: every sigma_n should be a number.*\n  line 4: "):
        open_rows(array(tmp_path / "d", rows()), sigma_n=str(table))


def test_truth_values_and_gaps_of_a_parquet_table_are_no_levels(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table, spec = tmp_path / "levels.parquet", array(tmp_path / "d", rows())
    for bad, told in (
        ([True] * 5, "row 0: True"),
        ([0.3, None, 0.3, 0.3, 0.3], "row 1: None"),
    ):
        parquet.write_table(pyarrow.table({"sigma_n": bad}), table)
        with pytest.raises(InputError, match=f"{told} is no number"):
            open_rows(spec, sigma_n=str(table))


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_column_of_files_is_refused_for_one_array_and_heard_for_a_folder(end: str, tmp_path: Path) -> None:
    """Rows of the array were taken in the order of the lines, whatever the files; and so were files by a .parquet."""
    table, x = tmp_path / f"levels.{end}", rows()
    names, found = [f"{i:03}.npy" for i in (4, 3, 2, 1, 0)], [0.34, 0.33, 0.32, 0.31, 0.3]
    if end == "csv":
        table.write_text("file,sigma_n\n" + "".join(f"{name},{level}\n" for name, level in zip(names, found)))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"file": names, "sigma_n": found}), table)
    with pytest.raises(InputError, match="its column 'file' names files, but the rows are one array"):
        open_rows(array(tmp_path / "d", x), sigma_n=str(table))
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, row in enumerate(x):
        np.save(folder / f"{i:03}.npy", row)
    opened = open_rows({"name": "array-folder", "path": str(folder), "layout": "CHW"}, sigma_n=str(table))
    assert [float(opened[i].sigma_n) for i in range(5)] == pytest.approx([0.3, 0.31, 0.32, 0.33, 0.34])


def test_columns_that_are_not_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = tmp_path / "levels.csv"
    table.write_text("index,sigma_n\n" + "".join(f"{i},0.3\n" for i in (4, 3, 2, 1, 0)))
    open_rows(array(tmp_path / "d", rows()), sigma_n=str(table))
    assert "the columns 'index' are not read; line i is taken for row i" in caplog.text
