"""`on_bad_file: skip`: rows that cannot be used are left out, listed and counted, and the others keep their numbers,
levels and noise."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.checkpoint.weights import load_weights
from ambientkit.data import Observations
from ambientkit.errors import InputError
from ambientkit.readers import Kept
from tests.support.formats import (
    FORMATS,
    array,
    fits,
    hdf5,
    hf_dataset,
    open_rows,
    rows,
    shards,
    tiff_stack,
    zarr_array,
)

each_format = pytest.mark.parametrize("make", FORMATS.values(), ids=list(FORMATS))
BAD = [0, 3, 4, 8]


def spoiled(n: int = 9) -> np.ndarray:
    """Rows of which 0 and 8 hold NaN, 3 and 4 infinity."""
    x = rows(n)
    x[[0, 8], 0, 2, 1] = np.nan
    x[[3, 4], 0, :, 5] = np.inf
    return x


@each_format
def test_rows_that_are_not_finite_are_left_out_and_the_others_keep_number_and_level(
    make: Any, tmp_path: Path, caplog
) -> None:
    x = spoiled()
    spec = make(tmp_path / "d", x)
    level = 0.3 + np.arange(9) / 100
    np.save(tmp_path / "level.npy", level)
    data = open_rows(spec, sigma_n=str(tmp_path / "level.npy"), on_bad_file="skip")
    good = [i for i in range(9) if i not in BAD]
    whole = open_rows(make(tmp_path / "whole", rows(9)), clean=True).source
    names = [whole.name(i) for i in range(9)]
    assert len(data) == len(good)
    for position, i in enumerate(good):
        assert torch.equal(data[position].x_n, torch.from_numpy(x[i]))
        assert float(data[position].sigma_n) == pytest.approx(level[i])
        assert int(data[position].row) == data.number(position) == i
        assert data.source.name(position) == names[i]
    assert len(data.left_out) == 4
    assert all("not finite" in told for told in data.left_out)
    assert "12 of its values are not finite" in data.left_out[1]
    assert "4 of 9 rows are left out" in caplog.text
    with pytest.raises(IndexError):
        data[len(good)]
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again[2].x_n, data[2].x_n)


@each_format
def test_without_skip_they_are_counted_and_the_way_to_leave_them_out_is_told(make: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="4 of 9 rows hold NaN or infinite") as caught:
        open_rows(make(tmp_path / "d", spoiled()), clean=True)
    assert "on_bad_file: skip" in str(caught.value)


def test_simulated_noise_stays_with_the_row_of_the_file(tmp_path: Path) -> None:
    whole = Observations(open_rows(array(tmp_path / "a", rows(9)), clean=True), Gaussian(sigma_n=0.2), 5)
    data = Observations(
        open_rows(array(tmp_path / "b", spoiled()), clean=True, on_bad_file="skip"), Gaussian(sigma_n=0.2), 5
    )
    seen = data.__getitems__([0, 2, 4])
    assert seen.row.tolist() == [1, 5, 7]
    assert torch.equal(seen.x_n, whole.__getitems__([1, 5, 7]).x_n)
    assert [told.partition(":")[0] for told in data.left_out] == ["row 0", "row 3", "row 4", "row 8"]


def test_levels_by_pixel_and_tables_stay_with_their_rows(tmp_path: Path) -> None:
    spec = array(tmp_path / "d", spoiled())
    maps = np.random.default_rng(0).uniform(0.2, 0.3, (9, 1, 12, 10))
    np.save(tmp_path / "maps.npy", maps)
    (tmp_path / "table.csv").write_text("sigma_n\n" + "".join(f"{0.3 + i / 100}\n" for i in range(9)))
    by_pixel = open_rows(spec, sigma_n=str(tmp_path / "maps.npy"), on_bad_file="skip")
    by_table = open_rows(spec, sigma_n=str(tmp_path / "table.csv"), on_bad_file="skip")
    for position, i in enumerate([1, 2, 5, 6, 7]):
        assert np.allclose(by_pixel[position].sigma_n.numpy(), maps[i])
        assert float(by_table[position].sigma_n) == pytest.approx(0.3 + i / 100)
    assert list(by_table.at_or_above(0.355)) == [6, 7]  # as numbers of the file


@pytest.mark.parametrize("word", ["estimate", "estimate-by-row"])
def test_a_level_is_estimated_from_the_rows_that_are_left(tmp_path: Path, word: str) -> None:
    x = (0.2 * np.random.default_rng(0).standard_normal((20, 1, 32, 32))).astype(np.float32)
    x[7, 0, 0] = np.nan
    data = open_rows(array(tmp_path / "d", x), sigma_n=word, on_bad_file="skip")
    assert len(data) == 19
    assert float(data[18].sigma_n) == pytest.approx(0.2, rel=0.1)


def test_damaged_chunks_cost_their_rows_and_no_others(tmp_path: Path) -> None:
    for make, find in [(zarr_array, "images/c/*/0/0/0"), (hdf5, None)]:
        spec = make(tmp_path / make.__name__, rows(9))
        path = Path(spec["path"])
        if find:
            chunk = sorted(path.glob(find))[1]
            chunk.write_bytes(chunk.read_bytes()[:20])
        else:
            h5py = pytest.importorskip("h5py")
            with h5py.File(path) as file:
                where = file["entry/images"].id.get_chunk_info(1)
            data = bytearray(path.read_bytes())
            data[where.byte_offset : where.byte_offset + 40] = bytes(40)
            path.write_bytes(data)
        with pytest.raises(InputError, match="2 of 9 rows cannot be used") as caught:
            open_rows(spec, clean=True)
        assert "row 2: cannot be read" in str(caught.value)
        assert "row 3: cannot be read" in str(caught.value)
        data = open_rows(spec, clean=True, on_bad_file="skip")
        assert [data.number(i) for i in range(len(data))] == [0, 1, 4, 5, 6, 7, 8]
        assert torch.equal(data[2].x_0, torch.from_numpy(rows(9)[4]))


def damage(shard: Path, number: int, change: Any) -> None:
    """Change the bytes of one .npy member of a shard in place."""
    with tarfile.open(shard) as tar:
        member = [m for m in tar if m.name.endswith(".npy")][number]
    data = bytearray(shard.read_bytes())
    change(data, member.offset_data)
    shard.write_bytes(data)


def test_broken_samples_of_a_shard_are_all_listed_or_left_out_with_the_order_by_shards_intact(tmp_path: Path) -> None:
    spec = shards(tmp_path / "s", rows(9), size=3, sigma_n=0.3)
    first, second, third = sorted((tmp_path / "s").iterdir())

    def no_array(data: bytearray, at: int) -> None:
        data[at : at + 6] = b"broken"

    damage(second, 0, no_array)
    damage(third, 2, no_array)
    with tarfile.open(first, "a") as tar:
        info = tarfile.TarInfo("z.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    with pytest.raises(InputError, match="3 of 10 rows cannot be used") as caught:
        open_rows(spec)
    for name in ("z: it has no .npy", "shard-000001.tar:00000003", "shard-000002.tar:00000008"):
        assert name in str(caught.value)
    data = open_rows(spec, on_bad_file="skip")
    assert data.source.blocks() == [3, 2, 2]
    assert [round(float(data[i].sigma_n), 6) for i in range(7)] == [0.3, 0.31, 0.32, 0.34, 0.35, 0.36, 0.37]
    assert len(data.left_out) == 3


def test_a_sample_without_its_level_is_a_broken_sample(tmp_path: Path) -> None:
    spec = shards(tmp_path / "s", rows(4), size=4, sigma_n=0.3)
    (shard,) = (tmp_path / "s").iterdir()
    data = shard.read_bytes()
    at = data.index(b'{"sigma_n": 0.31}')
    shard.write_bytes(data[:at] + b'{"sigma_x": 0.31}' + data[at + 17 :])
    with pytest.raises(InputError, match='no number "sigma_n"'):
        open_rows(spec)
    found = open_rows(spec, on_bad_file="skip")
    assert [round(float(found[i].sigma_n), 6) for i in range(3)] == [0.3, 0.32, 0.33]


def test_whole_files_and_single_rows_of_others_are_both_left_out(tmp_path: Path) -> None:
    x = rows(6)
    x[4, 0, 0, 0] = np.nan
    spec = tiff_stack(tmp_path / "d", x)
    (tmp_path / "d" / "0_cut.tif").write_bytes((tmp_path / "d" / "a.tif").read_bytes()[:-200])
    data = open_rows(spec, clean=True, on_bad_file="skip")
    assert len(data) == 5
    assert [told.partition(":")[0] for told in data.left_out] == ["0_cut.tif", "b.TIF[1]"]
    assert torch.equal(data[4].x_0, torch.from_numpy(x[5]))


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 of 5 rows cannot be used"):
        open_rows(array(tmp_path / "d", np.full((5, 1, 12, 10), np.nan, np.float32)), clean=True, on_bad_file="skip")


def test_skipping_needs_every_row_to_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs check: all"):
        open_rows(array(tmp_path / "d", rows()), clean=True, on_bad_file="skip", check="sample")


def test_a_set_without_bad_rows_is_the_same_with_and_without_skip(tmp_path: Path) -> None:
    for make in (array, fits, hf_dataset):
        spec = make(tmp_path / make.__name__, rows())
        data = open_rows(spec, clean=True, on_bad_file="skip")
        assert not isinstance(data.source, Kept)
        assert data.left_out == []
        assert torch.equal(data[4].x_0, open_rows(spec, clean=True)[4].x_0)


def test_the_commands_take_it_as_a_flag_and_store_what_was_left_out(ambientkit: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", spoiled(20))
    clean = rows(20)
    clean[6, 0, 0, 0] = np.inf
    np.save(tmp_path / "clean.npy", clean)
    train = [
        "train",
        "--data",
        tmp_path / "x.npy",
        "--sigma-n",
        "0.3",
        "--end-step",
        1,
        "--batch-size",
        4,
        "--skip-preflight",
    ]
    train += ["--output-dir", tmp_path / "run", "--model", "mlp", "--device", "cpu"]
    assert ambientkit(*train)[0] == 2
    status, _, err = ambientkit(*train, "--on-bad-file", "drop")
    assert status == 2
    assert "--on-bad-file: data.on_bad_file: should be 'fail' or 'skip'" in err
    status, _, err = ambientkit(*train, "--on-bad-file", "skip")
    assert status == 0, err
    _, metadata = load_weights(tmp_path / "run" / "model_ema.safetensors")
    assert [told.partition(":")[0] for told in metadata["data"]["left_out"]] == ["row 0", "row 3", "row 4", "row 8"]
    assert (
        ambientkit("corrupt", tmp_path / "clean.npy", tmp_path / "copy", "--sigma", "0.2", "--on-bad-file", "skip")[0]
        == 0
    )
    assert json.loads((tmp_path / "copy" / "manifest.json").read_text())["source_left_out"] == [
        "row 6: 1 of its values is not finite"
    ]
    assert (
        "left out, because they cannot be used: 4"
        in ambientkit("inspect", tmp_path / "x.npy", "--on-bad-file", "skip")[1]
    )
    for flag, complaint in [("drop", "fail or skip"), ("skip", "no files of its own")]:
        status, _, err = ambientkit("inspect", "digits", "--on-bad-file", flag)
        assert status == 2
        assert complaint in err


def test_a_resume_with_other_rows_is_refused_and_changes_nothing(ambientkit: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", spoiled(20))
    train = [
        "train",
        "--data",
        tmp_path / "x.npy",
        "--sigma-n",
        "0.3",
        "--batch-size",
        4,
        "--skip-preflight",
        "--on-bad-file",
        "skip",
    ]
    train += ["--output-dir", tmp_path / "run", "--model", "mlp", "--device", "cpu", "--end-step", 2]
    assert ambientkit(*train)[0] == 0
    before = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    more, other = spoiled(20), spoiled(20)
    more[0] = rows(20)[0]
    other[0], other[1] = rows(20)[0], np.nan
    for changed, complaint in (
        (more, "have 17 rows now, and had 16 when it was trained"),
        (other, "were changed since it was trained"),
    ):
        np.save(tmp_path / "x.npy", changed)
        status, _, err = ambientkit("train", "--resume", tmp_path / "run", "--end-step", 4)
        assert status == 2
        assert complaint in err
        assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == before
    np.save(tmp_path / "x.npy", spoiled(20))
    assert ambientkit("train", "--resume", tmp_path / "run", "--end-step", 4)[0] == 0


def test_one_picture_is_a_data_set_of_one_row(ambientkit: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).normal(128, 20, (16, 16)).astype(np.uint8)).save(tmp_path / "a.png")
    status, out, err = ambientkit("inspect", tmp_path / "a.png")
    assert status in (0, 1), err
    assert "1 rows of 1 x 16 x 16, uint8" in out


@pytest.mark.parametrize("other", [np.zeros((12, 9), np.float32), np.zeros((12, 10), np.int16)], ids=["size", "type"])
def test_files_of_another_size_or_type_are_left_out_and_listed(other: np.ndarray, tmp_path: Path, caplog) -> None:
    spec = fits(tmp_path / "d", rows(5))
    astropy = pytest.importorskip("astropy.io.fits")
    other = other + np.random.default_rng(0).integers(0, 9, other.shape).astype(other.dtype)
    astropy.PrimaryHDU(other).writeto(tmp_path / "d" / "002x.fits")
    with pytest.raises(InputError, match="With on_bad_file: skip all but the most common kind are left out"):
        open_rows(spec, clean=True)
    data = open_rows(spec, clean=True, on_bad_file="skip")
    assert [torch.equal(data[i].x_0, torch.from_numpy(row)) for i, row in enumerate(rows(5))] == [True] * 5
    (told,) = data.left_out
    assert told.startswith("002x.fits: it is 1 x 12 x")
    assert "most are 1 x 12 x 10 float32" in told
    assert "1 of 6 FITS files are left out" in caplog.text or "1 of 6 files are left out" in caplog.text


def test_of_two_kinds_equally_common_none_is_chosen(tmp_path: Path) -> None:
    spec = fits(tmp_path / "d", rows(1))
    astropy = pytest.importorskip("astropy.io.fits")
    astropy.PrimaryHDU(np.zeros((12, 9), np.float32)).writeto(tmp_path / "d" / "9.fits")
    with pytest.raises(InputError, match="must have one size"):
        open_rows(spec, clean=True, on_bad_file="skip")


def test_damaged_files_are_listed_before_those_of_another_size(tmp_path: Path) -> None:
    spec = fits(tmp_path / "d", rows(3))
    pytest.importorskip("astropy.io.fits").PrimaryHDU(np.zeros((12, 9), np.float32)).writeto(tmp_path / "d" / "9.fits")
    (tmp_path / "d" / "cut.fits").write_bytes(b"")
    with pytest.raises(InputError, match=r"cut\.fits: the file is empty"):
        open_rows(spec, clean=True)
