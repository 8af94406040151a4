"""Which data set reads a path is what the data sets say themselves, those of plug-ins too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ambientkit.config.datapath import data_spec
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.readers import FileRows, StoredFiles, UnusableFile
from ambientkit.registry import Entry, Registry, load


class Raw(StoredFiles):
    """Raw files of 8 x 8 bytes."""

    name = "raw"
    source = "the definition"
    suffixes = files = folders = (".raw8",)
    marks = ("camera.ini", "a.txt+b.txt")
    what = "raw file"

    flip: bool = False
    """Upside down."""

    def open(self, files: Sequence[Path]) -> FileRows:
        """The pictures of these files."""
        return _Pictures(self, files)


class _Pictures(FileRows[Raw]):
    def header(self, file: Path) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        if file.stat().st_size != 64:
            raise UnusableFile(f"it has {file.stat().st_size} bytes instead of 64")
        return 1, (1, 8, 8), np.dtype(np.uint8)

    def load(self, file: Path, start: int, stop: int) -> NDArray[Any]:
        values = np.fromfile(file, np.uint8).reshape(1, 1, 8, 8)
        return values[..., ::-1, :] if self.part.flip else values


class OtherRaw(Raw):
    """Another reader of the same files."""

    name = "other-raw"


class LongRaw(Raw):
    """A reader of the files with the longer name."""

    name = "long-raw"
    suffixes = files = folders = (".x.raw8",)
    marks = ()


def registry(*parts: type[Data]) -> Registry:
    """The built-in data sets, and these of two other packages."""
    built_in = [load().find("data", name) for name in load().names("data")]
    return Registry([*built_in, *(Entry("data", part, f"package-{i}", "0.1") for i, part in enumerate(parts))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(4):
        values = np.random.default_rng(i).integers(0, 256, 64, dtype=np.uint8)
        values.tofile(tmp_path / f"{i}.RAW8")
    return tmp_path


def test_a_plug_in_claims_files_folders_and_marks(folder: Path) -> None:
    known = registry(Raw)
    assert data_spec(str(folder / "0.RAW8"), known) == {"name": "raw", "path": str(folder / "0.RAW8")}
    assert data_spec(str(folder), known) == {"name": "raw", "path": str(folder)}
    for file in folder.iterdir():
        file.unlink()
    (folder / "a.txt").touch()
    assert data_spec(str(folder), known)["name"] == "image-folder"
    (folder / "b.txt").touch()
    assert data_spec(str(folder), known)["name"] == "raw"


def test_what_it_reads_is_treated_as_every_other_format(folder: Path) -> None:
    part = registry(Raw).build(
        "data", {**data_spec(str(folder), registry(Raw)), "clean": True, "flip": True, "on_bad_file": "skip"}
    )
    (folder / "9.raw8").write_bytes(b"short")
    rows = part.rows()  # type: ignore[attr-defined]
    assert len(rows) == 4
    assert rows.left_out == ["9.raw8: it has 5 bytes instead of 64"]
    stored = np.fromfile(folder / "2.RAW8", np.uint8).reshape(1, 8, 8)[:, ::-1]
    assert np.allclose(rows[2].x_0, stored / 127.5 - 1)


def test_two_plug_ins_that_claim_one_suffix_are_both_named_and_one_is_asked_for(folder: Path) -> None:
    known = registry(Raw, OtherRaw)
    for path in (folder, folder / "0.RAW8"):
        with pytest.raises(
            InputError, match="'other-raw' of package-1 and 'raw' of package-0; say which: 'other-raw"
        ) as caught:
            data_spec(str(path), known)
        assert str(path) in str(caught.value)
    assert data_spec(f"other-raw{{path: {folder}}}", known) == {"name": "other-raw", "path": str(folder)}


def test_the_longer_suffix_wins(folder: Path) -> None:
    (folder / "0.x.raw8").write_bytes(bytes(64))
    known = registry(Raw, LongRaw)
    assert data_spec(str(folder / "0.x.raw8"), known)["name"] == "long-raw"
    assert data_spec(str(folder / "0.RAW8"), known)["name"] == "raw"
    assert data_spec(str(folder), known)["name"] == "raw"  # most files are
