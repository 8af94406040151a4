"""The data set `array`: rows in one .npy or .npz file."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, Strict, field_validator, model_validator
from torch.utils.data import Dataset

from ambientkit.arrayfile import ArrayFile, find_arrays
from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.rowchecks import RowScan, listed, unknown_noise
from ambientkit.units import ValueRange

logger = logging.getLogger("ambientkit")

Layout = Literal["NCHW", "NHWC", "NHW", "N..."]
AXES = {"NCHW": 4, "NHWC": 4, "NHW": 3}


class Array(Data):
    """Rows of any shape in one .npy or .npz file: observations with their noise level, or clean rows.

    x_n = (v - m) / h maps the file's values v to [-1, 1] (m, h: middle and half width of the value range). Types: uint8, uint16,
    float16, float32, float64; other whole numbers with `value_range`. A .npy file is memory-mapped, so it may be larger than the
    memory; an .npz file cannot be mapped, is read once into the memory of each process that starts afresh, and has a size limit.
    """

    name = "array"
    source = "file format: numpy.lib.format, versions 1.0 and 2.0"

    path: Path
    """The file; what it is is judged by its content."""
    key: str | None = None
    """The array of an .npz file; needed where it holds several besides the noise level."""
    sigma_n: Annotated[float, Strict()] | str | Path | None = None
    """Known noise std, in [-1, 1] units: a number, a .npy file, or a key of the .npz file; by default its key "sigma_n".

    An array holds one level a row (N,), or one a value, (*S) or (N, *S), in the layout of the file.
    """
    clean: bool = False
    """The rows are clean: noise is simulated on them."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """What the axes mean. "N...": rows of any shape, as they are. "auto" takes pictures whose shape leaves no doubt."""
    value_range: tuple[float, float] | None = None
    """The two file values that stand for -1 and 1; by default (0, 255) for uint8, (0, 65535) for uint16, (-1, 1) for floating point."""
    max_npz_bytes: int = Field(2 * 2**30, ge=1)
    """Largest unpacked size of what is read from an .npz file."""

    @field_validator("sigma_n")
    @classmethod
    def _no_negative_noise(cls, sigma_n: float | str | Path | None) -> float | str | Path | None:
        if isinstance(sigma_n, float) and sigma_n < 0:
            raise ValueError("should be 0 or more")
        return sigma_n

    @model_validator(mode="after")
    def _consistent(self) -> Array:
        if self.clean and self.sigma_n is not None:
            raise ValueError("clean rows have no sigma_n: leave one of the two out")
        if self.value_range is not None:
            ValueRange(*self.value_range)
        return self

    def rows(self) -> Dataset[Clean] | Dataset[Batch]:
        """Rows (*S), float32, channels first; sigma_n () or (*S). The whole file is checked once, in memory that does not grow with it.

        Raises InputError where the file is missing, cut, or holds anything but numbers; where shape or noise level are unclear;
        and for rows that are not finite, constant, clipped, or cannot have the declared noise.
        """
        found = find_arrays(self.path)
        levels = self._levels(found)
        data = self._choose(found, levels)
        data.check()
        self._check_size(found, [data, *([levels] if isinstance(levels, ArrayFile) else [])])
        layout = _layout(data, self.layout)
        values = self._values(data)
        noise = None if levels is None else _Noise(levels, data)
        scan = RowScan(str(data), data.dtype, values, assumed=self.value_range is None)
        for start, stop in data.chunks():
            scan.add(data.read(start, stop), 0.0 if noise is None else noise.chunk(start, stop, len(data.shape)))
        scan.finish()
        logger.info(
            "%s: %d rows %s of %s, layout %s, %g..%g -> [-1, 1]",
            data,
            data.shape[0],
            data.shape[1:],
            data.dtype,
            layout,
            values.low,
            values.high,
        )
        return _CleanRows(data, values, layout) if noise is None else _NoisyRows(data, values, layout, noise)

    def _levels(self, found: dict[str | None, ArrayFile]) -> ArrayFile | float | None:
        """The noise level as a number or an array; None for clean rows."""
        stored = found.get("sigma_n")
        if self.clean:
            if stored is not None and self.key != "sigma_n":
                raise InputError(
                    f"{self.path}: clean is set, but the file holds a noise level, 'sigma_n'. Leave clean out, or save the rows without it"
                )
            return None
        if isinstance(self.sigma_n, float | int):
            if stored is not None:
                logger.warning("%s: the file's own 'sigma_n' is not used, because sigma_n = %g is given", self.path, self.sigma_n)
            return float(self.sigma_n)
        if self.sigma_n is None:
            if stored is None:
                raise unknown_noise(str(self.path), 'a number, a .npy file, or an array "sigma_n" in the .npz file')
            return stored
        if str(self.sigma_n).endswith(".npy"):
            levels = find_arrays(Path(self.sigma_n)).get(None)
            if levels is None:
                raise InputError(f"{self.sigma_n}: should be a .npy file of noise levels, but is an .npz file")
            return levels
        if str(self.sigma_n) not in found:
            raise InputError(
                f"{self.path}: sigma_n should be a number, the name of a .npy file or a key of this file, "
                f"but is {str(self.sigma_n)!r}; keys: {_keys(found)}"
            )
        return found[str(self.sigma_n)]

    def _choose(self, found: dict[str | None, ArrayFile], levels: ArrayFile | float | None) -> ArrayFile:
        """The array of the rows."""
        if self.key is not None:
            if self.key not in found:
                raise InputError(f"{self.path}: there is no key {self.key!r}; keys: {_keys(found)}")
            return found[self.key]
        candidates = [array for array in found.values() if array is not levels and array.key != "sigma_n"]
        if len(candidates) != 1:
            what = "several arrays could be the rows: say which by key" if candidates else "no array that could be the rows"
            raise InputError(f"{self.path}: {what}; keys: {_keys(found)}")
        return candidates[0]

    def _check_size(self, found: dict[str | None, ArrayFile], used: list[ArrayFile]) -> None:
        size = sum(array.size for array in used if array.key is not None)
        if size > self.max_npz_bytes:
            raise InputError(
                f"{self.path}: {size} bytes would be unpacked into memory, more than max_npz_bytes = {self.max_npz_bytes}.\n"
                f"Save the array as .npy, which is read from disk as needed: numpy.save('rows.npy', rows); or raise max_npz_bytes"
            )

    def _values(self, data: ArrayFile) -> ValueRange:
        if self.value_range is not None:
            return ValueRange(*self.value_range)
        try:
            return ValueRange.of(data.dtype)
        except ValueError as error:
            raise InputError(f"{data}: {error}") from None


def _keys(found: dict[str | None, ArrayFile]) -> str:
    return (
        listed([f"{key} {array.shape} {array.dtype}" for key, array in found.items() if key is not None], limit=12)
        or "none, it is a .npy file"
    )


def _layout(data: ArrayFile, asked: str) -> Layout:
    """What the axes mean. Raises InputError where "auto" would have to guess, or the number of axes does not fit."""
    shape = data.shape
    if len(shape) < 2:
        raise InputError(f"{data}: rows need an array of at least 2 axes, (N, ...), but the shape is {shape}")
    if asked != "auto":
        if len(shape) != AXES.get(asked, len(shape)):
            raise InputError(f"{data}: layout {asked} needs {AXES[asked]} axes, but the shape is {shape}")
        return asked  # type: ignore[return-value]
    few = [1 <= length <= 4 for length in shape]  # so short an axis may be one of channels
    if len(shape) == 4 and few[1] != few[3]:
        return "NCHW" if few[1] else "NHWC"
    if len(shape) == 3 and not (few[0] or few[2]):
        return "NHW"
    raise InputError(
        f"{data}: the shape {shape} does not say which axis is which. Give layout: NCHW (channels first), NHWC (channels last), "
        f"NHW (grey pictures), or N... (rows of any shape, taken as they are)"
    )


def _to_row(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """One row in the layout of the file to (*S), channels first."""
    return np.moveaxis(values, -1, 0) if layout == "NHWC" else values[None] if layout == "NHW" else values


class _Noise:
    """The noise level of each row: one number, one a row (N,), one a value (*S), or both (N, *S). An axis of length 1 counts for all.

    Raises InputError where the shape fits the rows in no way, or in two.
    """

    def __init__(self, levels: ArrayFile | float, data: ArrayFile) -> None:
        self._file: ArrayFile | None = None
        self._level = np.array(levels if isinstance(levels, float) else 0.0)
        self._by_row = False
        if isinstance(levels, float):
            return
        levels.check()
        n, *values = data.shape
        shape = list(levels.shape)
        if shape == [n] == values:
            raise InputError(
                f"{levels}: shape {levels.shape} may mean one sigma_n a row or one a value, "
                f"because a row has as many values as there are rows. Save it as ({n}, 1), one a row, or as (1, {n}), one a value"
            )
        whole = len(shape) == len(data.shape) and shape[0] in (1, n)
        per_value = shape[1:] if whole else shape
        fits = len(per_value) == len(values) and all(length in (1, of) for length, of in zip(per_value, values))
        if not fits and shape not in ([], [n]):
            raise InputError(
                f"{levels}: sigma_n has shape {levels.shape}, which does not fit {n} rows of shape {tuple(values)}. "
                f"Give one level a row, ({n},), or one a value, {tuple(values)} or {data.shape}"
            )
        if whole and shape[0] == n:
            self._file = levels  # may be as large as the data: it is left on disk
        else:
            self._by_row = shape == [n]
            self._level = levels.all().astype(np.float64).reshape(per_value if fits else shape)

    def chunk(self, start: int, stop: int, axes: int) -> NDArray[Any]:
        """The levels of rows start..stop, broadcastable to them; axes: of the data, with that of the rows."""
        if self._file is not None:
            return self._file.read(start, stop)
        return self._level[start:stop].reshape(-1, *[1] * (axes - 1)) if self._by_row else self._level

    def row(self, index: int, layout: Layout) -> torch.Tensor:
        """The level of one row, float32: (), or with as many axes as the row."""
        level = self._file.row(index) if self._file is not None else self._level[index] if self._by_row else self._level
        return torch.tensor(_to_row(level, layout) if np.ndim(level) else level, dtype=torch.float32)


class _CleanRows(Dataset[Clean]):
    def __init__(self, data: ArrayFile, values: ValueRange, layout: Layout) -> None:
        self._data, self._values, self._layout = data, values, layout

    def __len__(self) -> int:
        return self._data.shape[0]

    def __getitem__(self, index: int) -> Clean:
        return Clean(_pixels(self._data.row(index), self._values, self._layout), {})


class _NoisyRows(Dataset[Batch]):
    def __init__(self, data: ArrayFile, values: ValueRange, layout: Layout, noise: _Noise) -> None:
        self._data, self._values, self._layout, self._noise = data, values, layout, noise

    def __len__(self) -> int:
        return self._data.shape[0]

    def __getitem__(self, index: int) -> Batch:
        x_n = _pixels(self._data.row(index), self._values, self._layout)
        return Batch(x_n, self._noise.row(index, self._layout), torch.tensor(index), {})


def _pixels(row: NDArray[Any], values: ValueRange, layout: Layout) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(_to_row(values.to_unit(row), layout)))
