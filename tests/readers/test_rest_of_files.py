"""What lies behind the part of a file that its library reads: it is never lost in silence."""

from __future__ import annotations

import io
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambientkit.errors import InputError
from ambientkit.operators.arrays import real_array
from tests.support.formats import open_rows, rows


def refused(spec: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_rows(spec, **{"clean": True, **fields})
    return str(caught.value)


def saved(*arrays: Any) -> bytes:
    """What np.save called once for each array writes to one open file."""
    stream = io.BytesIO()
    for one in arrays:
        np.save(stream, one)
    return stream.getvalue()


def test_a_second_array_in_a_npy_file_is_not_lost(tmp_path: Path) -> None:
    x = rows()
    (tmp_path / "x.npy").write_bytes(saved(x[:3], x[3:]))
    told = refused({"name": "array", "path": str(tmp_path / "x.npy")})
    assert f"{tmp_path / 'x.npy'}: 1,088 bytes follow its array" in told
    assert "np.concatenate" in told
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.npy").write_bytes(saved(x[0], x[1]))
    assert "a.npy: 608 bytes follow" in refused({"name": "array-folder", "path": str(tmp_path / "folder")})
    level = tmp_path / "level.npy"
    level.write_bytes(saved(np.full(3, 0.3), np.full(2, 0.3)))
    np.save(tmp_path / "y.npy", x[:3])
    spec = {"name": "array", "path": str(tmp_path / "y.npy")}
    assert "level.npy: 144 bytes follow" in refused(spec, clean=False, sigma_n=str(level))


def test_a_second_array_of_masks_or_of_an_operator_is_not_lost(tmp_path: Path) -> None:
    x = rows()
    np.save(tmp_path / "x.npy", x[:3])
    (tmp_path / "masks.npy").write_bytes(saved(np.ones((3, 1, 12, 10), bool), np.ones((2, 1, 12, 10), bool)))
    spec = {"name": "masked", "path": str(tmp_path / "x.npy"), "masks": str(tmp_path / "masks.npy"), "sigma_n": 0.3}
    with pytest.raises(InputError, match=r"masks.npy: cannot be read.*368 bytes follow"):
        open_rows(spec)
    (tmp_path / "kernel.npy").write_bytes(saved(np.ones((3, 3)), np.ones((3, 3))))
    with pytest.raises(ValueError, match=r"kernel.npy: cannot be read.*200 bytes follow"):
        real_array(tmp_path / "kernel.npy")


def shard(file: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            told = tarfile.TarInfo(name)
            told.size = len(data)
            tar.addfile(told, io.BytesIO(data))
    return file.read_bytes()


MEMBER = 512 + 1024
"""Bytes of one sample below: a header, and 608 bytes in blocks of 512."""


def test_samples_of_shards_that_are_cut_joined_or_damaged_are_not_lost(tmp_path: Path) -> None:
    x, file = rows(), tmp_path / "a.tar"
    members = {f"{i}.npy": saved(row) for i, row in enumerate(x)}
    spec = {"name": "webdataset", "path": str(file)}
    whole = shard(file, members)
    assert len(open_rows(spec, clean=True)) == 5

    file.write_bytes(whole[: 3 * MEMBER])
    assert f"a.tar: it has no end mark after its last whole sample, at byte {3 * MEMBER:,}: it was cut" in refused(spec)
    file.write_bytes(whole[: 3 * MEMBER + 200])
    assert "it was cut short" in refused(spec)
    file.write_bytes(whole[: 3 * MEMBER + 10] + b"#" + whole[3 * MEMBER + 11 :])
    assert f"a.tar: the header of a member at byte {3 * MEMBER:,} is damaged" in refused(spec)
    file.write_bytes(whole + shard(tmp_path / "other", {"x.npy": saved(x[0])}))
    assert f"a.tar: more follows the end of its archive, at byte {5 * MEMBER:,}" in refused(spec)
    shard(file, {"0.npy": saved(x[0], x[1])})
    assert "608 bytes follow its array" in refused(spec)


def test_levels_of_a_sample_are_one_array_and_one_number(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(1, 8, 8)).astype(np.float32)
    level = np.full((1, 8, 8), 0.3)
    for last, told in (
        ({"0.sigma_n.npy": saved(level, 3 * level)}, "sigma_n.npy: .* bytes follow its array"),
        ({"0.sigma_n.npy": saved(level > 0)}, "sigma_n.npy: values of type bool"),
        ({"0.json": b'{"sigma_n": 0.3, "sigma_n": 0.9}'}, "'sigma_n' comes twice"),
    ):
        shard(tmp_path / "a.tar", {"0.npy": saved(x), **last})
        with pytest.raises(InputError, match=told):
            open_rows({"name": "webdataset", "path": str(tmp_path)})


def test_two_arrays_of_one_name_in_an_archive_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scale in (1, 2):
            archive.writestr("x.npy", saved(scale * np.random.default_rng(0).normal(size=(4, 1, 8, 8))))
    with pytest.raises(InputError, match=r"holds two arrays .*'x'"):
        open_rows({"name": "array", "path": str(tmp_path / "a.npz")}, sigma_n=0.1)
