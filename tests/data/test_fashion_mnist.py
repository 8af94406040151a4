"""The data set `fashion-mnist`: read where it is installed, and a clear message where it is not."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ambientkit.batch import Clean
from ambientkit.builtin.data.fashion_mnist import FILES, LABELS, FashionMNIST
from ambientkit.errors import InputError

TRAIN = FILES["train"]


def write(folder: Path, images: np.ndarray, name: str = TRAIN, magic: int = 2051, claimed: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">4i", magic, len(images) if claimed is None else claimed, *images.shape[1:])
    (folder / name).write_bytes(gzip.compress(header + images.tobytes()))
    return folder


def images(n: int = 3) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def refused(**fields: object) -> str:
    with pytest.raises(InputError) as caught:
        FashionMNIST(**fields).rows()
    return str(caught.value)


def test_a_missing_file_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path / 'one'}:{tmp_path / 'two'}")
    message = refused()
    for place in ("one", "two"):
        assert str(tmp_path / place / "datasets" / "fashion-mnist") in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert TRAIN in message
    assert str(tmp_path / "three") in refused(folder=tmp_path / "three")


def test_the_folders_of_the_system_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "b" / "datasets" / "fashion-mnist", images(3))
    write(tmp_path / "c" / "datasets" / "fashion-mnist", images(4))
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{tmp_path / 'c'}")
    assert len(FashionMNIST().rows()) == 3
    assert len(FashionMNIST(folder=tmp_path / "c" / "datasets" / "fashion-mnist").rows()) == 4


def test_rows_are_clean_pictures_in_data_units(tmp_path: Path) -> None:
    write(tmp_path, images())
    assert f"there is no {FILES['test']}" in refused(folder=tmp_path, split="test")
    write(tmp_path, images(5), name=FILES["test"])
    rows = FashionMNIST(folder=tmp_path).rows()
    assert len(FashionMNIST(folder=tmp_path, split="test").rows()) == 5
    for i in range(3):
        assert isinstance(rows[i], Clean)
        assert rows[i].x_0.dtype == torch.float32
        assert np.allclose(rows[i].x_0.numpy(), images()[i][None] / 127.5 - 1, atol=1e-6)
    with pytest.raises(IndexError):
        rows[3]
    assert torch.equal(pickle.loads(pickle.dumps(rows))[2].x_0, rows[2].x_0)


def test_rows_carry_their_kind_where_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, images(3))
    kinds = bytes([7, 0, 9])
    for given in (kinds, kinds[:2]):
        header = struct.pack(">2i", 2049, len(given))
        (tmp_path / LABELS["train"]).write_bytes(gzip.compress(header + given))
        if given == kinds:
            rows = FashionMNIST(folder=tmp_path, labelled=True).rows()
            assert [int(rows[i].cond["class_cond"]) for i in range(3)] == list(kinds)
            assert FashionMNIST(folder=tmp_path).rows()[0].cond == {}
    assert "train has 3 pictures, but 2 labels" in refused(folder=tmp_path, labelled=True)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    for claimed in (2, 4):
        assert "do not fill" in refused(folder=write(tmp_path, images(), claimed=claimed))
    assert "no idx file" in refused(folder=write(tmp_path, images(), magic=2049))
    assert "no idx file" in refused(folder=write(tmp_path, images(), claimed=2**31 - 1))
    assert "no idx file" in refused(folder=write(tmp_path, images().transpose(1, 0, 2)))
    whole = (write(tmp_path, images()) / TRAIN).read_bytes()
    for content in (whole[:-500], b"", b"no gzip", whole[:40] + bytes(40) + whole[80:]):
        (tmp_path / TRAIN).write_bytes(content)
        message = refused(folder=tmp_path)
        assert "is damaged" in message
        assert TRAIN in message


@pytest.mark.parametrize(("split", "n", "mean"), [("train", 60_000, 0.2860), ("test", 10_000, 0.2868)])
def test_the_installed_package_is_read(split: str, n: int, mean: float) -> None:
    try:
        rows = FashionMNIST(split=split).rows()
    except InputError as error:
        pytest.skip(f"Fashion-MNIST is not installed here: {error}")
    assert len(rows) == n
    some = torch.stack([rows[i].x_0 for i in range(0, n, n // 1000)])
    assert some.shape[1:] == (1, 28, 28)
    assert (some.min(), some.max()) == (-1, 1)
    assert (some.mean() + 1) / 2 == pytest.approx(mean, abs=0.01)
