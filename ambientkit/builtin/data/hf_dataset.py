"""The data set `hf-dataset`: a Hugging Face dataset on this machine."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ambientkit.errors import InputError
from ambientkit.readers import Found, OpenedArray, Stored, UnusableFile, cause_of, needs
from ambientkit.readers.image import UnusableImage, decode_image, lossy_image
from ambientkit.readers.layout import find_layout
from ambientkit.readers.parquet import RowGroups
from ambientkit.readers.source import first_usable
from ambientkit.text import listed


class HFDataset(Stored):
    """Rows of a Hugging Face dataset kept on this machine: a folder written by save_to_disk, a .parquet file, or a
    folder of them.

    Read lazily from memory-mapped Arrow tables. .parquet files are converted once, in the library's cache, or with
    `streaming` read by row groups as they are needed: nothing is written, and training goes through the row groups, a
    few at a time. Nothing is downloaded and no loading script is run. The column of the rows holds images or arrays; a
    column "sigma_n" is their level.
    """

    name = "hf-dataset"
    files = folders = (".parquet",)
    marks = ("dataset_info.json", "dataset_dict.json")
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
    streaming: bool = False
    """Read .parquet files by row groups instead of converting them: no room on disk, an order by row groups, a few of
    them in memory."""
    max_group_bytes: int = Field(2**31, ge=1)
    """With streaming: most memory that the row groups held by one worker may take."""

    def find(self) -> Found:
        """The column by its type and first row. Raises InputError where there is none, or the library is missing."""
        needs("datasets", "datasets", "A Hugging Face dataset")
        if not self.path.exists():
            raise InputError(f"{self.path}: no such file or folder")
        features = self._features()
        image = [name for name, feature in features.items() if _is_image(feature)]
        arrays = [name for name, feature in features.items() if _is_array(feature)]
        likely = [name for name in [*image, *arrays] if name != "sigma_n"] if self.column is None else [self.column]
        if len(likely) != 1 or likely[0] not in features:
            raise InputError(
                f"{self.path}: say which column holds the rows: {listed([f'{n} ({f})' for n, f in features.items()])}"
            )
        data = self._column(likely[0], features[likely[0]])
        data.check()
        levels = None
        if "sigma_n" in features and likely[0] != "sigma_n":
            levels = self._column("sigma_n", features["sigma_n"], np.dtype(np.float64))
        if likely[0] in image:
            data.lossy = self._lossy(likely[0])
        return Found(data, "N..." if likely[0] in image else find_layout(data, self.layout), levels)

    def _lossy(self, column: str) -> set[str]:
        """The compression of the first image, where it loses something."""
        if self.streaming:
            import pyarrow.parquet as parquet

            batch = next(parquet.ParquetFile(self._files()[0]).iter_batches(batch_size=1, columns=[column]), None)
            first: Any = None if batch is None else batch.column(0)[0].as_py()
        else:
            first = open_table(self.path, self.split)[0][column]
        try:
            return lossy_image(io.BytesIO(first["bytes"]))
        except (TypeError, KeyError, UnusableImage):  # reported when it is read
            return set()

    def _features(self) -> Any:
        """What the columns hold, by name."""
        if not self.streaming:
            table = open_table(self.path, self.split)
            if len(table) == 0:
                raise InputError(f"{self.path}: the dataset has no rows")
            return table.features
        import datasets
        import pyarrow.parquet as parquet

        try:
            return datasets.Features.from_arrow_schema(parquet.read_schema(self._files()[0]))
        except InputError:
            raise
        except Exception as error:  # Arrow's own family of errors
            raise InputError(
                f"{self._files()[0]}: cannot be read as Parquet ({type(error).__name__}: {cause_of(error)})"
            ) from None

    def _files(self) -> list[Path]:
        files = parquet_files(self.path)
        if not files:
            raise InputError(
                f"{self.path}: streaming reads .parquet files, and none is there; a folder of save_to_disk needs "
                "none: leave it out"
            )
        return files

    def _column(self, name: str, feature: Any, dtype: np.dtype[Any] | None = None) -> _Column | RowGroups:
        decode = partial(_row, dtype=dtype or _number_type(feature), max_pixels=self.max_pixels)
        if self.streaming:
            return RowGroups(self.path, self._files(), name, decode, self.max_group_bytes, dtype)
        return _Column(self.path, name, self.split, decode)


def parquet_files(path: Path) -> list[Path]:
    """The .parquet files of a folder and its sub-folders, in the order of their names, or the one named."""
    return (
        [path] if path.is_file() else sorted(file for file in path.rglob("*.parquet") if not file.name.startswith("."))
    )


def open_table(path: Path, split: str) -> Any:
    """The dataset of a folder or file. Raises InputError where it is none."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            found = datasets.load_from_disk(str(path))
        else:
            files = parquet_files(path)
            if not files:
                raise InputError(f"{path}: no dataset: neither dataset_info.json nor any .parquet file is there")
            if not sum(_count(file) for file in files):
                raise InputError(f"{path}: the dataset has no rows")
            found = datasets.load_dataset("parquet", data_files={split: [str(file) for file in files]})
        if isinstance(found, datasets.DatasetDict):
            if split not in found:
                raise InputError(f"{path}: there is no split {split!r}, only {', '.join(found)}")
            found = found[split]
        for name, feature in found.features.items():
            if isinstance(feature, datasets.Image):
                found = found.cast_column(
                    name, datasets.Image(decode=False)
                )  # decoded here, where large and odd ones are refused
        return found
    except InputError:
        raise
    except Exception as error:  # the library's and Arrow's errors
        cause = error.__cause__ or error  # the library wraps what a file was found to be
        raise InputError(f"{path}: cannot be read as a dataset ({type(cause).__name__}: {cause_of(cause)})") from None  # type: ignore[arg-type]


def _count(file: Path) -> int:
    """Rows of a .parquet file, by its footer. Raises InputError where it has none."""
    import pyarrow.parquet as parquet

    try:
        return int(parquet.read_metadata(file).num_rows)
    except Exception as error:  # Arrow's own family of errors
        raise InputError(f"{file}: cannot be read as Parquet ({type(error).__name__}: {cause_of(error)})") from None


def _is_image(feature: Any) -> bool:
    return type(feature).__name__ == "Image" or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _is_array(feature: Any) -> bool:
    return (
        type(feature).__name__.startswith("Array")
        or isinstance(feature, list)
        or type(feature).__name__ in ("List", "LargeList")
    )


def _number_type(feature: Any) -> np.dtype[Any] | None:
    """The type of the numbers in a feature, where it is one of numpy's."""
    dtype = getattr(feature, "dtype", None)
    while (
        dtype is None
        and (feature := feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)) is not None
    ):
        dtype = getattr(feature, "dtype", None)
    try:
        return None if dtype is None else np.dtype(dtype)
    except TypeError:
        return None


def _row(value: Any, dtype: np.dtype[Any] | None, max_pixels: int) -> NDArray[Any]:
    """A value of the column as a row (*S): an embedded image, or an array. Raises UnusableFile."""
    if value is None:
        raise UnusableFile("it is missing (null)")
    if isinstance(value, dict):
        if value.get("bytes") is None:
            raise UnusableFile("it is a path, not an image: save the dataset with its images embedded")
        try:
            pixels = decode_image(io.BytesIO(value["bytes"]), max_pixels)
        except UnusableImage as error:
            raise UnusableFile(str(error)) from None
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    try:
        return np.asarray(value, dtype)
    except (TypeError, ValueError) as error:
        raise UnusableFile(f"it is no array of numbers ({cause_of(error)})") from None


class _Column(OpenedArray):
    def __init__(self, path: Path, column: str, split: str, decode: Any) -> None:
        super().__init__(path, column, (0,), np.dtype(np.float32))
        self._split, self._decode = split, decode
        table = self._open()
        try:
            first = first_usable(len(table), lambda index: decode(table[index][column]))
        except UnusableFile as error:
            raise InputError(f"{self}: row 0: {error}") from None
        self.shape, self.dtype = (len(table), *first.shape), first.dtype

    def __str__(self) -> str:
        return f"{self.path}, column {self.key!r}"

    def _open(self) -> Any:
        return open_table(self.path, self._split).select_columns([self.key])

    def _close(self, handle: Any) -> None:
        """The Arrow tables are read-only memory maps, which are safe to inherit."""

    def _take(self, handle: Any, where: Any) -> NDArray[Any]:
        if isinstance(where, int):
            return self._one(handle[where][self.key])
        values: Sequence[Any] = handle[slice(None) if where == () else where][self.key]
        return np.stack([self._one(value) for value in values])

    def _one(self, value: Any) -> NDArray[Any]:
        row = self._decode(value)
        if row.shape != self.shape[1:] or row.dtype != self.dtype:
            raise UnusableFile(
                f"its shape {row.shape} {row.dtype} differs from {self.shape[1:]} {self.dtype} of the first row"
            )
        return row
