"""Room for large files is taken before it is needed, and a full disk is an error with a message."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from ambientkit.checkpoint.space import NpyOnDisk
from ambientkit.errors import RunError


def no_reserving(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("shape", [(7,), (7, 2, 3), (0, 4), (7, 1)])
@pytest.mark.parametrize("reserving", [True, False])
def test_rows_are_where_they_were_written(shape: tuple[int, ...], reserving: bool, tmp_path: Path, monkeypatch) -> None:
    if not reserving:
        monkeypatch.setattr(os, "posix_fallocate", no_reserving, raising=False)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    made = NpyOnDisk.create(tmp_path / "a.npy", np.float32, shape)
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.zeros(shape))
    for start in (4, 0, 2):
        NpyOnDisk(tmp_path / "a.npy").write(start, values[start : start + 3].astype(np.float64)) if shape[0] else None
    if shape[0]:
        made.write(6, values[6:])
    made.flush()
    assert np.array_equal(made.read(), values)
    assert np.load(tmp_path / "a.npy").dtype == np.float32


def test_rows_that_are_none_of_the_array_are_not_written(tmp_path: Path) -> None:
    made = NpyOnDisk.create(tmp_path / "a.npy", np.float32, (3, 2))
    for start, rows in [(2, np.ones((2, 2))), (-1, np.ones((1, 2))), (0, np.ones((1, 3)))]:
        with pytest.raises(ValueError, match="do not fit"):
            made.write(start, rows)
    assert not made.read().any()


def test_a_full_disk_leaves_nothing_behind_and_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(RunError, match="No space left on device"):
        NpyOnDisk.create(tmp_path / "a.npy", np.float32, (1000, 10))
    assert not list(tmp_path.iterdir())
