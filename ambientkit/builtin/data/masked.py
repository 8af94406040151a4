"""The data set `masked`: rows of which a part is missing, with a mask beside them or a value that stands for
nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.rows import Mapping, Rows
from ambientkit.units.ranges import ValueRange


class Masked(Data):
    """Rows in a .npy file, (N, H, W), (N, C, H, W) or (N, S), of which a part was not measured; for the corruption
    `mask`.

    masks: a .npy file of the same number of rows, true (or 1) where a value was measured: (N, H, W), or the shape of
    the rows; one mask (1, ...) holds for all. Without it `missing` says which file value stands for nothing. Values
    that were not measured are not read. File values are mapped to [-1, 1] as in `array`.
    """

    name = "masked"
    source = "file format: numpy.lib.format"

    path: Path
    """The rows."""
    masks: Path | None = None
    """The masks."""
    missing: float | Literal["nan"] | None = None
    """The file value that stands for nothing."""
    sigma_n: float = Field(0.0, ge=0)
    """Noise std of what was measured, units of [-1, 1]."""
    value_range: tuple[float, float] | None = None
    """The two file values that stand for -1 and 1; by default those of `array`."""

    @model_validator(mode="after")
    def _one_way(self) -> Masked:
        if (self.masks is None) == (self.missing is None):
            raise ValueError("give masks, a file, or missing, the value that stands for nothing")
        return self

    def rows(self) -> Rows:
        """Observations with a mask in cond["mask"]. Raises InputError for files that do not fit together, and for
        measured values that are not finite."""
        data = _opened(self.path)
        if data.ndim < 2 or data.dtype.kind not in "uif":
            raise InputError(f"{self.path}: should be rows of numbers, and is {data.dtype} of shape {data.shape}")
        try:
            mapping = ValueRange(*self.value_range) if self.value_range else ValueRange.of(data.dtype)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from None
        masks = None if self.masks is None else _opened(self.masks)
        if masks is not None:
            fits = masks.shape == data.shape or (
                masks.ndim == data.ndim == 4 and masks.shape[1] == 1 and masks.shape[2:] == data.shape[2:]
            )
            one = masks.shape[1:] == data.shape[1:] or (data.ndim == 4 and masks.shape[1:] == data.shape[2:])
            if not fits and not (one and len(masks) in (1, len(data))):
                raise InputError(
                    f"{self.masks}: masks of shape {masks.shape} do not fit rows of shape {data.shape} ({self.path})"
                )
            if masks.dtype.kind not in "bui" or int(masks.max()) > 1:
                raise InputError(f"{self.masks}: should hold true and false, or 1 and 0, and is {masks.dtype}")
        found = _MaskedRows(data, masks, self, mapping)
        for row in range(len(data)):
            one_row = found[row]
            if not bool(one_row.x_n.isfinite().all()):
                raise InputError(f"{self.path}: row {row} holds measured values that are not finite")
        return found


class _MaskedRows(Rows):
    def __init__(self, data: NDArray[Any], masks: NDArray[Any] | None, part: Masked, mapping: Mapping) -> None:
        self._data, self._masks, self._part, self.mapping = data, masks, part, mapping
        self.stored = str(data.dtype)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Batch:
        values = np.asarray(self._data[index])
        if self._masks is not None:
            seen = np.asarray(self._masks[index if len(self._masks) > 1 else 0]) > 0
            if seen.ndim < values.ndim:
                seen = seen[None]
        else:
            seen = ~np.isnan(values) if self._part.missing == "nan" else values != self._part.missing
        whole = np.broadcast_to(seen, values.shape)
        assert self.mapping is not None
        x = np.where(whole, self.mapping.to_unit(np.where(whole, values, 0)), 0).astype(np.float32)
        picture, mask = (torch.from_numpy(np.ascontiguousarray(v)) for v in (x, seen))
        if values.ndim == 2:
            picture, mask = picture.unsqueeze(0), mask.unsqueeze(0)
        return Batch(picture, torch.tensor(self._part.sigma_n), torch.tensor(index), {"mask": mask})


def _opened(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a .npy file ({' '.join(str(error).split())[:160]})") from None
