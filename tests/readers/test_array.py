"""The data set `array`: what is read from .npy and .npz files, and what is refused before anything starts."""

from __future__ import annotations

import logging
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.data.array import Array
from ambientkit.errors import InputError
from ambientkit.readers.npy import CHUNK, find_arrays
from ambientkit.registry import load, spec_of

RNG = np.random.default_rng


def noisy(shape: tuple[int, ...] = (6, 1, 8, 8), sigma: float = 0.3) -> NDArray[np.float32]:
    return (RNG(0).choice([-0.5, 0.5], shape) + sigma * RNG(1).standard_normal(shape)).astype(np.float32)


def saved(folder: Path, x: NDArray[Any], name: str = "x.npy") -> Path:
    np.save(folder / name, x)
    return folder / name


def refused(path: Path, **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        Array(path=path, **fields).rows()
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 5
    return str(caught.value)


# --- items ----------------------------------------------------------------------------------------------------------


def test_an_observation_is_a_batch_without_its_axis(tmp_path: Path) -> None:
    x = noisy()
    rows = Array(path=saved(tmp_path, x), sigma_n=0.3).rows()
    assert len(rows) == 6
    for i in range(6):
        item = rows[i]
        assert isinstance(item, Batch)
        assert torch.equal(item.x_n, torch.from_numpy(x[i]))
        assert item.sigma_n.shape == ()
        assert item.sigma_n == torch.tensor(0.3)
        assert item.row.dtype == torch.int64
        assert item.row == i
        assert item.cond == {}
    with pytest.raises(IndexError):
        rows[6]
    with pytest.raises(IndexError):
        rows[-1]


def test_a_clean_row_is_clean(tmp_path: Path) -> None:
    x = noisy()
    item = Array(path=saved(tmp_path, x), clean=True).rows()[2]
    assert isinstance(item, Clean)
    assert torch.equal(item.x_0, torch.from_numpy(x[2]))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_every_floating_type_is_computed_in_single_precision(tmp_path: Path, dtype: Any) -> None:
    x = noisy().astype(dtype)
    item = Array(path=saved(tmp_path, x), clean=True).rows()[1]
    assert item.x_0.dtype == torch.float32
    assert np.array_equal(item.x_0.numpy(), x[1].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint16, ">u2"])
def test_a_ramp_of_16_bits_stays_a_ramp(tmp_path: Path, dtype: Any) -> None:
    ramp = np.linspace(0, 65535, 4 * 256).astype(dtype).reshape(4, 1, 16, 16)
    rows = Array(path=saved(tmp_path, ramp), clean=True).rows()
    x = torch.cat([rows[i].x_0.flatten() for i in range(4)])
    assert (x[0], x[-1]) == (-1, 1)
    assert (x.diff() > 0).all()


def test_the_value_range_says_which_values_stand_for_minus_one_and_one(tmp_path: Path) -> None:
    x = np.arange(1000, 3001, dtype=np.int32).reshape(1, -1)
    row = Array(path=saved(tmp_path, x), clean=True, value_range=(1000, 3000), layout="N...").rows()[0].x_0
    assert torch.allclose(row, torch.linspace(-1, 1, 2001), atol=1e-6)


# --- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "layout", "row"),
    [
        ((5, 3, 8, 8), "auto", (3, 8, 8)),
        ((5, 8, 8, 3), "auto", (3, 8, 8)),
        ((5, 16, 8, 1), "auto", (1, 16, 8)),
        ((5, 16, 8), "auto", (1, 16, 8)),
        ((5, 3, 8, 3), "NCHW", (3, 8, 3)),
        ((5, 3, 8, 3), "NHWC", (3, 3, 8)),
        ((5, 6, 7, 8), "NCHW", (6, 7, 8)),
        ((5, 3, 8), "NHW", (1, 3, 8)),
        ((5, 16), "N...", (16,)),
        ((5, 2, 3, 4, 5), "N...", (2, 3, 4, 5)),
    ],
)
def test_a_layout_that_is_clear_or_given_is_followed(
    tmp_path: Path, shape: tuple[int, ...], layout: Any, row: tuple[int, ...]
) -> None:
    x = noisy(shape)
    item = Array(path=saved(tmp_path, x), clean=True, layout=layout).rows()[4].x_0
    assert tuple(item.shape) == row
    expected = (
        np.moveaxis(x[4], -1, 0)
        if layout == "NHWC" or (shape[-1] in (1, 3) and layout == "auto")
        else x[4].reshape(row)
    )
    assert np.array_equal(item.numpy(), expected)


@pytest.mark.parametrize("shape", [(5, 3, 8, 3), (5, 6, 7, 8), (16, 16), (32, 32, 3), (3, 32, 32), (5, 2, 3, 4, 5)])
def test_an_ambiguous_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    message = refused(saved(tmp_path, noisy(shape)), clean=True)
    assert str(shape) in message
    assert "layout" in message


def test_a_layout_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert "NHWC needs 4 axes" in refused(saved(tmp_path, noisy((5, 8, 8))), clean=True, layout="NHWC")
    assert "at least 2 axes" in refused(saved(tmp_path, noisy((5,))), clean=True, layout="N...")


def test_the_chosen_layout_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ambientkit"):
        Array(path=saved(tmp_path, noisy((5, 8, 8, 3))), clean=True).rows()
    assert "layout NHWC" in caplog.text


# --- noise levels ---------------------------------------------------------------------------------------------------


def test_noise_that_is_unknown_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    message = refused(saved(tmp_path, noisy()))
    assert "give sigma_n" in message
    assert "set clean to true" in message


def test_levels_by_row_stay_by_row_where_rows_and_width_are_equally_many(tmp_path: Path) -> None:
    level = np.linspace(0.05, 0.8, 8).astype(np.float32)
    x = level[:, None, None, None] * RNG(0).standard_normal((8, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, sigma=level)
    batch = next(
        iter(DataLoader(Array(path=tmp_path / "x.npz", sigma_n="sigma").rows(), 8, generator=torch.Generator()))
    )
    assert batch.sigma_n.shape == (8,)
    assert torch.equal(batch.sigma_n, torch.from_numpy(level))
    assert torch.allclose(batch.x_n.flatten(1).std(1) / batch.sigma_n, torch.ones(8), atol=0.3)


def test_the_key_sigma_n_is_used_by_default(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", rows=noisy(), sigma_n=np.full(6, 0.25))
    assert Array(path=tmp_path / "x.npz").rows()[5].sigma_n == 0.25
    np.savez(tmp_path / "x.npz", rows=noisy(), sigma_n=0.125)
    assert Array(path=tmp_path / "x.npz").rows()[5].sigma_n == 0.125


@pytest.mark.parametrize(("layout", "file_shape"), [("NCHW", (6, 3, 5, 8)), ("NHWC", (6, 5, 8, 3))])
@pytest.mark.parametrize("whole", [False, True])
def test_levels_by_pixel_follow_the_layout_of_the_file(
    tmp_path: Path, layout: Any, file_shape: tuple[int, ...], whole: bool
) -> None:
    level = RNG(3).uniform(0.1, 0.3, file_shape if whole else file_shape[1:]).astype(np.float32)
    path, levels = saved(tmp_path, noisy(file_shape)), saved(tmp_path, level, "level.npy")
    rows = Array(path=path, sigma_n=levels, layout=layout).rows()
    for i in (0, 5):
        mine = level[i] if whole else level
        assert np.array_equal(rows[i].sigma_n.numpy(), np.moveaxis(mine, -1, 0) if layout == "NHWC" else mine)
        assert rows[i].sigma_n.shape == rows[i].x_n.shape


def test_grey_pictures_and_their_levels_get_a_channel_together(tmp_path: Path) -> None:
    levels = saved(tmp_path, np.full((9, 8), 0.2), "level.npy")
    item = Array(path=saved(tmp_path, noisy((6, 9, 8))), sigma_n=levels).rows()[0]
    assert item.x_n.shape == item.sigma_n.shape == (1, 9, 8)


@pytest.mark.parametrize(
    ("shape", "one"), [((6,), ()), ((6, 1, 1, 1), (1, 1, 1)), ((1, 1, 8, 8), (1, 8, 8)), ((1, 1, 8), (1, 1, 8))]
)
def test_an_axis_of_length_one_counts_for_all(tmp_path: Path, shape: tuple[int, ...], one: tuple[int, ...]) -> None:
    level = np.linspace(0.1, 0.3, int(np.prod(shape))).reshape(shape)
    rows = Array(path=saved(tmp_path, noisy()), sigma_n=saved(tmp_path, level, "level.npy")).rows()
    assert tuple(rows[5].sigma_n.shape) == one
    assert rows[5].sigma_n.flatten()[-1] == torch.tensor(0.3)


@pytest.mark.parametrize("shape", [(5,), (7,), (8,), (8, 8, 1), (6, 8, 8), (5, 1, 8, 8), (2, 6)])
def test_levels_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    level = saved(tmp_path, np.full(shape, 0.3), "level.npy")
    with pytest.raises(InputError, match="does not fit 6 rows") as caught:
        Array(path=saved(tmp_path, noisy()), sigma_n=level).rows()
    assert str(shape) in str(caught.value)


def test_levels_that_may_be_by_row_or_by_value_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, noisy((64, 64)))
    for shape, row in [((64, 1), (1,)), ((1, 64), (64,))]:
        level = saved(tmp_path, np.full(shape, 0.3), "level.npy")
        assert tuple(Array(path=path, sigma_n=level, layout="N...").rows()[0].sigma_n.shape) == row
    level = saved(tmp_path, np.full(64, 0.3), "level.npy")
    with pytest.raises(InputError, match="one sigma_n a row or one a value"):
        Array(path=path, sigma_n=level, layout="N...").rows()


def test_bad_levels_are_listed_by_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", rows=noisy(), sigma_n=np.array([0.3, -0.3, 0.3, np.nan, 0.3, np.inf]))
    assert "3 of 6 rows: row 1 (-0.3), row 3 (nan), row 5 (inf)" in refused(tmp_path / "x.npz")


def test_clean_rows_with_a_noise_level_are_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="clean rows have no sigma_n"):
        Array(path=tmp_path / "x.npy", clean=True, sigma_n=0.3)
    np.savez(tmp_path / "x.npz", rows=noisy(), sigma_n=np.full(6, 0.25))
    assert "a noise level is stored" in refused(tmp_path / "x.npz", clean=True)


@pytest.mark.parametrize("sigma_n", [-0.1, True, [0.1, 0.2]])
def test_a_level_that_is_no_noise_level_is_an_error(tmp_path: Path, sigma_n: Any) -> None:
    with pytest.raises(InputError, match="sigma_n"):
        load().build("data", {"name": "array", "path": "x.npy", "sigma_n": sigma_n})


def test_a_level_that_names_nothing_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, noisy())
    assert "'levels'" in refused(path, sigma_n="levels")
    with pytest.raises(InputError, match="no such file"):
        Array(path=path, sigma_n=tmp_path / "levels.npy").rows()
    np.savez(tmp_path / "levels.npz", a=np.ones(6))
    (tmp_path / "levels.npz").rename(tmp_path / "levels.npy")
    with pytest.raises(InputError, match=r"but is an \.npz file"):
        Array(path=path, sigma_n=tmp_path / "levels.npy").rows()


# --- content --------------------------------------------------------------------------------------------------------


def test_rows_beyond_the_first_chunk_are_checked(tmp_path: Path) -> None:
    x = noisy((2 * CHUNK // 4096 + 2, 1, 64, 64))
    bad = len(x) - 1
    x[bad, 0, :2] = np.nan
    path = saved(tmp_path, x)
    assert len(list(find_arrays(path)[None].chunks())) > 1
    assert f"row {bad} (128 values)" in refused(path, sigma_n=0.3)
    level = np.full((len(x), 1, 64, 64), 0.3, np.float32)
    level[bad, 0, 0, 0] = -1
    x[bad] = x[0]
    path = saved(tmp_path, x)
    for levels in (level, level[:, 0, 0, 0]):  # by pixel and by row
        with pytest.raises(InputError, match=rf"row {bad} \(-1\)"):
            Array(path=path, sigma_n=saved(tmp_path, levels, "level.npy")).rows()


def test_a_mistake_of_units_is_refused_here_too(tmp_path: Path) -> None:
    x = np.rint(127.5 + 40 * noisy()).astype(np.uint8)
    assert "25 in the file's units is 0.1961 there" in refused(saved(tmp_path, x), sigma_n=25)
    assert "value_range" in refused(saved(tmp_path, x.astype(np.float32)), sigma_n=0.1)
    assert len(Array(path=saved(tmp_path, x.astype(np.float32)), sigma_n=0.1, value_range=(0, 255)).rows()) == 6


def test_any_other_type_is_refused_by_name(tmp_path: Path) -> None:
    for dtype in ("complex64", "bool", "<U1", "datetime64[s]"):
        x = np.zeros((4, 1, 8, 8)).astype(dtype)
        message = refused(saved(tmp_path, x), clean=True, value_range=(0, 1))
        assert f"values of type {x.dtype} are no data" in message
    if np.dtype(np.longdouble).itemsize > 8:
        assert np.dtype(np.longdouble).name in refused(
            saved(tmp_path, np.zeros((4, 1, 8, 8), np.longdouble)), clean=True
        )
    assert "int16" in refused(saved(tmp_path, np.zeros((4, 1, 8, 8), np.int16)), clean=True)


class _Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.path, "w"))


def test_object_arrays_are_refused_and_run_no_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    x = np.empty((4, 8), object)
    x[:] = _Canary(canary)
    np.save(tmp_path / "x.npy", x, allow_pickle=True)
    np.savez(tmp_path / "x.npz", rows=x)
    np.savez(tmp_path / "level.npz", rows=noisy(), sigma_n=x[0])
    for name in ("x.npy", "x.npz"):
        assert "Python objects" in refused(tmp_path / name, clean=True, layout="N...")
    assert "Python objects" in refused(tmp_path / "level.npz")
    assert not canary.exists()


def test_a_file_that_becomes_objects_during_a_run_runs_no_code(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", rows=noisy((4, 8)))
    rows = pickle.loads(pickle.dumps(Array(path=tmp_path / "x.npz", clean=True, layout="N...").rows()))
    x = np.empty((4, 8), object)
    x[:] = _Canary(tmp_path / "canary")
    np.savez(tmp_path / "x.npz", rows=x)
    with pytest.raises(InputError, match="cannot be read"):
        rows[0]
    assert not (tmp_path / "canary").exists()


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(2, 8)", "(-2, -4)"])
def test_a_header_that_claims_more_than_the_file_holds_is_refused_without_allocating(
    tmp_path: Path, shape: str
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(_header(shape) + b"\0" * 60)
    assert "the header claims" in refused(path, clean=True, layout="N...")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("rows.npy", _header(shape) + b"\0" * 60)
    assert "the header claims" in refused(tmp_path / "x.npz", clean=True, layout="N...")


@pytest.mark.parametrize(
    "content",
    [b"\x93NUMPY\x01\x00\x10\x00" + b"{" * 16, b"\x93NUMPY", b"\x93NUMPY\x09\x09" + b" " * 80, _header("'ab'")],
)
def test_a_damaged_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    assert "header is damaged" in refused(tmp_path / "x.npy", clean=True)


def test_what_is_no_array_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.npy", clean=True)
    assert "is a folder" in refused(tmp_path, clean=True)
    (tmp_path / "zero.npy").touch()
    assert "0 bytes" in refused(tmp_path / "zero.npy", clean=True)
    (tmp_path / "text.npy").write_text("0 1 2")
    assert "neither a .npy nor an .npz" in refused(tmp_path / "text.npy", clean=True)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    assert "cannot be read" in refused(tmp_path / "cut.npz", clean=True)
    assert "is empty (shape (0, 1, 8, 8))" in refused(saved(tmp_path, noisy()[:0]), clean=True)


# --- .npz -----------------------------------------------------------------------------------------------------------


def test_several_arrays_need_a_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=noisy(), b=noisy()[:2], sigma_n=0.3)
    message = refused(tmp_path / "x.npz")
    assert "a (6, 1, 8, 8) float32, b (2, 1, 8, 8) float32" in message
    assert len(Array(path=tmp_path / "x.npz", key="b").rows()) == 2
    assert "no key 'c'" in refused(tmp_path / "x.npz", key="c")
    np.savez(tmp_path / "x.npz", sigma_n=0.3)
    assert "no array that could be the rows" in refused(tmp_path / "x.npz")


def test_an_npz_file_above_the_limit_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "x.npz", rows=np.zeros((100, 1, 64, 64), np.uint8))
    assert (tmp_path / "x.npz").stat().st_size < 10_000
    assert len(Array(path=tmp_path / "x.npz", clean=True, max_npz_bytes=100 * 4096).rows()) == 100
    monkeypatch.setattr(np, "load", None)
    message = refused(tmp_path / "x.npz", clean=True, max_npz_bytes=100 * 4096 - 1)
    assert "409600 bytes" in message
    assert ".npy" in message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("n", [6, 600])
def test_a_damaged_npz_member_is_refused(tmp_path: Path, save: Any, n: int) -> None:
    path = tmp_path / "x.npz"
    save(path, rows=noisy((n, 1, 8, 8)))
    content = bytearray(path.read_bytes())
    content[path.stat().st_size // 2] ^= 0xFF  # within the pixels
    path.write_bytes(content)
    assert "cannot be read" in refused(path, clean=True)


# --- workers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_rows_travel_to_workers_as_a_path(tmp_path: Path, name: str) -> None:
    level = RNG(5).uniform(0.1, 0.3, (64, 1, 32, 32)).astype(np.float32)
    if name == "x.npy":
        fields: dict[str, Any] = {
            "path": saved(tmp_path, noisy(level.shape)),
            "sigma_n": saved(tmp_path, level, "level.npy"),
        }
    else:
        np.savez(tmp_path / name, x=noisy(level.shape), sigma_n=level)
        fields = {"path": tmp_path / name}
    rows = Array(**fields).rows()
    rows[0]
    sent = pickle.dumps(rows)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert torch.equal(again[63].x_n, rows[63].x_n)
    assert torch.equal(again[63].sigma_n, rows[63].sigma_n)


def test_forked_workers_read_the_right_rows(tmp_path: Path) -> None:
    x = noisy((64, 1, 8, 8))
    x[:, 0, 0, 0] = np.arange(64) / 64
    rows = Array(path=saved(tmp_path, x), sigma_n=0.3).rows()
    for workers in (0, 2):
        loader = DataLoader(
            rows,
            4,
            num_workers=workers,
            multiprocessing_context="fork" if workers else None,
            generator=torch.Generator(),
        )
        batches = list(loader)
        assert torch.equal(torch.cat([batch.row for batch in batches]), torch.arange(64))
        assert torch.equal(torch.cat([batch.x_n for batch in batches]), torch.from_numpy(x))


def test_a_file_that_changes_during_a_run_is_noticed(tmp_path: Path) -> None:
    rows = Array(path=saved(tmp_path, noisy()), clean=True).rows()
    saved(tmp_path, noisy((6, 1, 4, 4)))
    with pytest.raises(InputError, match="changed"):
        rows[0]


def test_the_part_comes_back_from_its_plain_mapping(tmp_path: Path) -> None:
    part = Array(path=saved(tmp_path, noisy()), sigma_n=0.3, value_range=(-1, 1), layout="NCHW")
    assert load().build("data", spec_of(part)) == part
