"""The data set `hf-dataset`: files made by the libraries datasets and pyarrow, converted once or read by row groups."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import KeyedBatches, Observations
from ambientkit.data.observations import whole
from ambientkit.errors import InputError
from ambientkit.readers.parquet import HELD
from tests.support.formats import open_rows, rows

datasets = pytest.importorskip("datasets", reason="the datasets library is not installed (extra: datasets)")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

both = pytest.mark.parametrize("streaming", [False, True], ids=["converted", "streaming"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def spec(path: Path, **fields: Any) -> dict[str, Any]:
    return {"name": "hf-dataset", "path": str(path), **fields}


def arrays(path: Path, x: np.ndarray, **columns: Any) -> Any:
    """A .parquet file as the datasets library writes it, with its own type of arrays."""
    features = datasets.Features(
        {"x": datasets.Array3D(x.shape[1:], str(x.dtype)), **{n: datasets.Value("float64") for n in columns}}
    )
    made = datasets.Dataset.from_dict({"x": list(x), **columns}, features=features)
    path.parent.mkdir(exist_ok=True)
    made.to_parquet(str(path), batch_size=2)
    return made


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@both
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16"])
def test_arrays_keep_their_values_and_type(tmp_path: Path, streaming: bool, dtype: str) -> None:
    x = (rows(7) if dtype.startswith("float") else np.random.default_rng(0).integers(1, 250, (7, 1, 12, 10))).astype(
        dtype
    )
    arrays(tmp_path / "d" / "a.parquet", x[:4])
    arrays(tmp_path / "d" / "b.parquet", x[4:])
    clean = open_rows(spec(tmp_path / "d", streaming=streaming), clean=True)
    assert clean.source.dtype == dtype
    for i in range(7):
        assert np.allclose(
            clean.mapping.from_unit(clean[i].x_0.numpy()),
            x[i],
            rtol=1e-6,
            atol=0 if dtype.startswith("float") else 0.01,
        )
    if dtype == "float32":
        arrays(tmp_path / "n" / "a.parquet", x[:4], sigma_n=[0.3, 0.31, 0.32, 0.33])
        arrays(tmp_path / "n" / "b.parquet", x[4:], sigma_n=[0.34, 0.35, 0.36])
        noisy = open_rows(spec(tmp_path / "n", streaming=streaming))
        assert [round(float(noisy[i].sigma_n), 6) for i in range(7)] == [0.3, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36]
        assert torch.equal(noisy[6].x_n, torch.from_numpy(x[6]))


def test_a_folder_of_save_to_disk_needs_no_streaming_and_says_so(tmp_path: Path) -> None:
    arrays(tmp_path / "a.parquet", rows()).save_to_disk(str(tmp_path / "d"))
    assert torch.equal(open_rows(spec(tmp_path / "d"), clean=True)[3].x_0, torch.from_numpy(rows()[3]))
    with pytest.raises(InputError, match="leave it out"):
        open_rows(spec(tmp_path / "d", streaming=True), clean=True)


@both
def test_embedded_images_are_decoded_and_a_broken_one_is_left_out_by_number(tmp_path: Path, streaming: bool) -> None:
    pictures = [np.random.default_rng(i).normal(128, 20, (12, 10, 3)).clip(1, 254).astype(np.uint8) for i in range(5)]
    stored = [{"bytes": png(p), "path": None} for p in pictures]
    stored[1]["bytes"] = stored[1]["bytes"][:60]
    made = datasets.Dataset.from_dict(
        {"image": stored, "label": [0, 1, 2, 3, 4]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )
    made.to_parquet(str(tmp_path / "x.parquet"))
    with pytest.raises(InputError, match="1 of 5 rows cannot be used") as caught:
        open_rows(spec(tmp_path / "x.parquet", streaming=streaming), clean=True)
    assert "row 1: image file is truncated" in str(caught.value)
    data = open_rows(spec(tmp_path / "x.parquet", streaming=streaming), clean=True, on_bad_file="skip")
    assert [data.number(i) for i in range(4)] == [0, 2, 3, 4]
    for i in range(4):
        assert np.array_equal(
            np.rint(data.mapping.from_unit(data[i].x_0.numpy())), np.moveaxis(pictures[data.number(i)], -1, 0)
        )


@both
def test_tables_of_other_programs_are_read_too(tmp_path: Path, streaming: bool) -> None:
    x = rows(6)[:, 0]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 120)
    parquet.write_table(pa.table({"v": flat, "name": list("abcdef")}), tmp_path / "flat.parquet", row_group_size=4)
    data = open_rows(spec(tmp_path / "flat.parquet", streaming=streaming, layout="N..."), clean=True)
    assert np.array_equal(data[5].x_0.numpy(), x[5].ravel())
    parquet.write_table(pa.table({"v": [row.tolist() for row in x]}), tmp_path / "lists.parquet", row_group_size=4)
    data = open_rows(spec(tmp_path / "lists.parquet", streaming=streaming, layout="NHW"), clean=True)
    assert data.source.dtype == np.float64
    assert np.array_equal(data[5].x_0.numpy(), x[5:6])
    structs = [{"bytes": png((r * 30 + 128).clip(1, 254).astype(np.uint8)), "path": ""} for r in x]
    parquet.write_table(pa.table({"image": structs}), tmp_path / "images.parquet")
    assert open_rows(spec(tmp_path / "images.parquet", streaming=streaming), clean=True)[0].x_0.shape == (1, 12, 10)


@both
def test_rows_that_are_missing_or_of_another_shape_are_listed(tmp_path: Path, streaming: bool) -> None:
    x = [row.tolist() for row in rows(6)[:, 0]]
    x[2], x[4] = None, x[4][:5]
    x[5][0][0] = None
    parquet.write_table(pa.table({"v": x}), tmp_path / "x.parquet", row_group_size=3)
    given = spec(tmp_path / "x.parquet", streaming=streaming, layout="NHW")
    with pytest.raises(InputError, match="2 of 6 rows cannot be used") as caught:
        open_rows(given, clean=True)
    assert "row 2: it is missing" in str(caught.value)
    assert "row 4: its shape (5, 10)" in str(caught.value)
    data = open_rows(given, clean=True, on_bad_file="skip")
    assert [data.number(i) for i in range(len(data))] == [0, 1, 3]
    assert "row 5: 1 of its values is not finite" in data.left_out


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    arrays(tmp_path / "ok.parquet", rows(50))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes((tmp_path / "ok.parquet").read_bytes()[:900])
    parquet.write_table(pa.table({"label": [1, 2]}), tmp_path / "labels.parquet")
    parquet.write_table(pa.table({"a": [[1.0]], "b": [[1.0]]}), tmp_path / "two.parquet")
    parquet.write_table(pa.table({"v": pa.array([], pa.list_(pa.float32()))}), tmp_path / "none.parquet")
    (tmp_path / "folder").mkdir()
    for streaming in (False, True):
        for name, complaint in [
            ("cut.parquet", "cannot be read as"),
            ("labels.parquet", "which column"),
            ("two.parquet", "which column"),
            ("none.parquet", "no rows"),
            ("nowhere.parquet", "no such file"),
            ("folder", "none is there" if streaming else "no dataset"),
        ]:
            with pytest.raises(InputError, match=complaint) as caught:
                open_rows(spec(tmp_path / name, streaming=streaming), clean=True)
            assert name in str(caught.value)
            assert len(str(caught.value).splitlines()) <= 2, str(caught.value)


def many(folder: Path, n: int = 240, group: int = 10, files: int = 3) -> np.ndarray:
    """Row i holds the number i and noise, in several files of row groups of 10."""
    x = np.arange(n, dtype=np.float32)[:, None] / n + 0.1 * np.random.default_rng(0).standard_normal((n, 64)).astype(
        np.float32
    )
    folder.mkdir()
    for k, part in enumerate(np.array_split(x, files)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), 64)
        parquet.write_table(pa.table({"v": column}), folder / f"{k}.parquet", row_group_size=group)
    return x


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_share_the_stream_without_overlap_or_loss_and_resume(tmp_path: Path, workers: int) -> None:
    x = many(tmp_path / "d")
    observations = Observations(
        open_rows(spec(tmp_path / "d", streaming=True, layout="N..."), clean=True), Gaussian(sigma_n=0.1), 0
    )
    assert observations.blocks == [10] * 24
    world, size, steps = 4, 5, 12

    def seen(rank: int, start: int, stop: int) -> list[int]:
        order = KeyedBatches(len(x), size, 0, rank=rank, world=world, start=start, blocks=observations.blocks)
        loader = DataLoader(
            observations, batch_sampler=order, num_workers=workers, collate_fn=whole, generator=torch.Generator()
        )
        batches = iter(loader)
        found = []
        for _ in range(stop - start):
            batch = next(batches)
            assert np.allclose(batch.x_n.mean(1), x[batch.row].mean(1), atol=0.06)
            found += batch.row.tolist()
        return found

    of_rank = [seen(rank, 0, steps) for rank in range(world)]
    assert sorted(row for rows_ in of_rank for row in rows_) == list(range(240))
    assert seen(1, 7, steps) == of_rank[1][7 * size :]


def test_no_more_row_groups_are_held_than_promised_and_each_is_read_once_an_epoch(tmp_path: Path, monkeypatch) -> None:
    x = many(tmp_path / "d", n=2000, group=10)
    data = open_rows(spec(tmp_path / "d", streaming=True, layout="N..."), clean=True)
    read = []
    original = parquet.ParquetFile.read_row_group

    def counted(self: Any, number: int, **options: Any) -> Any:
        read.append(number)
        return original(self, number, **options)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", counted)
    order = iter(KeyedBatches(2000, 10, 0, blocks=data.source.blocks()))
    for _ in range(200):
        for row in next(order):
            assert np.array_equal(data[row].x_0.numpy(), x[row])
        held = data.source._held[1]
        assert len(held) <= HELD
    assert sum(values.nbytes for values in held.values()) <= HELD * 10 * 64 * 4
    assert 200 <= len(read) <= 225  # 200 row groups; a batch over the seam of two windows may read some twice
    assert len(pickle.dumps(data)) < 8000  # to a worker goes where things are, not what is held


def test_row_groups_too_large_to_be_held_are_refused_with_the_way_out(tmp_path: Path) -> None:
    many(tmp_path / "d", n=2000, group=1000)
    with pytest.raises(InputError, match="row_group_size") as caught:
        open_rows(spec(tmp_path / "d", streaming=True, layout="N...", max_group_bytes=100_000), clean=True)
    assert "max_group_bytes = 100000" in str(caught.value)
    assert len(open_rows(spec(tmp_path / "d", layout="N...", max_group_bytes=100_000), clean=True)) == 2000
