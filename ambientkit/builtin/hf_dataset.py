"""The data set `hf-dataset`: a Hugging Face dataset on this machine."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.imagefile import UnusableImage, decode_image
from ambientkit.rowchecks import listed
from ambientkit.stored import Found, OpenedArray, Stored, needs
from ambientkit.stored.layout import find_layout


class HFDataset(Stored):
    """Rows of a Hugging Face dataset kept on this machine: a folder written by save_to_disk, a .parquet file, or a folder of them.

    Read lazily from memory-mapped Arrow tables (a .parquet file is converted once, in the library's cache). Nothing is downloaded and
    no loading script is run. The column of the rows holds images or arrays; a column "sigma_n" is their level.
    """

    name = "hf-dataset"
    source = "huggingface.co/docs/datasets; Arrow and Parquet"

    path: Path
    """The folder, or a .parquet file."""
    column: str | None = None
    """The column of the rows; by default the only one of images or arrays."""
    split: str = "train"
    """The split, where the folder holds several."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """What the axes of an array mean; images are clear."""
    max_pixels: int = Field(2**26, ge=1)
    """Largest image that is decoded, by its header."""

    def find(self) -> Found:
        """The column by its type and first row. Raises InputError where there is none, or the library is missing."""
        needs("datasets", "datasets", "A Hugging Face dataset")
        table = open_table(self.path, self.split)
        if len(table) == 0:
            raise InputError(f"{self.path}: the dataset has no rows")
        image = [name for name, feature in table.features.items() if type(feature).__name__ == "Image"]
        arrays = [name for name, feature in table.features.items() if _is_array(feature)]
        likely = [name for name in [*image, *arrays] if name != "sigma_n"] if self.column is None else [self.column]
        if len(likely) != 1 or likely[0] not in table.features:
            raise InputError(f"{self.path}: say which column holds the rows: {listed([f'{n} ({f})' for n, f in table.features.items()])}")
        data = _Column(self.path, likely[0], self.split, self.max_pixels, len(table), None)
        levels = None
        if "sigma_n" in table.features and self.sigma_n is None and not self.clean and self.counts is None:
            levels = _Column(self.path, "sigma_n", self.split, self.max_pixels, len(table), np.dtype(np.float64))
        return Found(data, "N..." if likely[0] in image else find_layout(data, self.layout), levels)


def open_table(path: Path, split: str) -> Any:
    """The dataset of a folder or file. Raises InputError where it is none."""
    import datasets

    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(path))
        else:
            files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
            if not files:
                raise InputError(f"{path}: no dataset: neither dataset_info.json nor any .parquet file is there")
            found = datasets.load_dataset("parquet", data_files={split: [str(file) for file in files]})
        if isinstance(found, datasets.DatasetDict):
            if split not in found:
                raise InputError(f"{path}: there is no split {split!r}, only {', '.join(found)}")
            found = found[split]
        for name, feature in found.features.items():
            if isinstance(feature, datasets.Image):
                found = found.cast_column(name, datasets.Image(decode=False))  # decoded here, where large and odd ones are refused
        return found
    except InputError:
        raise
    except Exception as error:  # the library's and Arrow's errors
        raise InputError(f"{path}: cannot be read as a dataset ({type(error).__name__}: {' '.join(str(error).split())[:160]})") from None


def _is_array(feature: Any) -> bool:
    return type(feature).__name__.startswith("Array") or isinstance(feature, list) or type(feature).__name__ in ("List", "LargeList")


class _Column(OpenedArray):
    def __init__(self, path: Path, column: str, split: str, max_pixels: int, rows: int, dtype: np.dtype[Any] | None) -> None:
        super().__init__(path, column, (rows,), dtype or np.dtype(np.float32))
        self._split, self._max_pixels = split, max_pixels
        if dtype is None:
            first = _Decoder(self._open_table(), column, max_pixels)[0]
            self.shape, self.dtype = (rows, *first.shape), first.dtype

    def __str__(self) -> str:
        return f"{self.path}, column {self.key!r}"

    def _open_table(self) -> Any:
        return open_table(self.path, self._split)

    def _open(self) -> Any:
        return _Decoder(self._open_table(), self.key, self._max_pixels)

    def _close(self, handle: Any) -> None:
        """The Arrow tables are read-only memory maps, which are safe to inherit."""


class _Decoder:
    """A column, sliced like an array."""

    def __init__(self, table: Any, column: str, max_pixels: int) -> None:
        self._table, self._column, self._max_pixels = table, column, max_pixels

    def __getitem__(self, where: Any) -> NDArray[Any]:
        if isinstance(where, int):
            return self._one(self._table[where][self._column], where)
        part = slice(None) if where == () else where
        values: Sequence[Any] = self._table[part][self._column]
        return np.stack([self._one(value, i + (part.start or 0)) for i, value in enumerate(values)])

    def _one(self, value: Any, index: int) -> NDArray[Any]:
        if isinstance(value, dict):
            try:
                if value.get("bytes") is None:
                    raise UnusableImage("it is a path, not an image: save the dataset with its images embedded")
                pixels = decode_image(io.BytesIO(value["bytes"]), self._max_pixels)
            except UnusableImage as error:
                raise InputError(f"column {self._column!r}, row {index}: {error}") from None
            return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
        feature = self._table.features[self._column]
        dtype = getattr(feature, "dtype", None)
        while dtype is None and (feature := feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)) is not None:
            dtype = getattr(feature, "dtype", None)
        return np.asarray(value, dtype)
