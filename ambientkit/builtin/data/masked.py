"""The data set `masked`: rows of which a part is missing, with a mask beside them or a value that stands for
nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.messages import warn
from ambientkit.operators.arrays import one_array
from ambientkit.readers import Counts
from ambientkit.readers.copied import LEVELS, MANIFEST, MASKS, ROWS, read_manifest
from ambientkit.readers.missing import held
from ambientkit.readers.scan import check_scale
from ambientkit.readers.usable import refuse_faint
from ambientkit.rows import Mapping, Rows, evenly
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange


class Masked(Data):
    """Rows in a .npy file, (N, H, W), (N, C, H, W) or (N, S), of which a part was not measured.

    For the corruption `mask`, or `linear` where they are measurements.

    path may also be a folder that `ambientkit corrupt --corruption mask` wrote, which says all other fields itself.
    masks: a .npy file of the same number of rows, true (or 1) where a value was measured: (N, H, W), or the shape of
    the rows; one mask (1, ...) holds for all. Without it `missing` says which file value stands for nothing. Values
    that were not measured are not read. File values are mapped to [-1, 1] as in `array`.
    """

    name = "masked"
    source = "file format: numpy.lib.format"
    marks = ("manifest.json+rows.npy+masks.npy",)

    path: Path
    """The rows, or a folder of `ambientkit corrupt`."""
    masks: Path | None = None
    """The masks."""
    missing: float | Literal["nan"] | None = None
    """The file value that stands for nothing."""
    sigma_n: float = Field(0.0, ge=0)
    """Noise std of what was measured, units of [-1, 1]."""
    value_range: tuple[float, float] | None = None
    """The two file values that stand for -1 and 1; by default those of `array`."""
    counts: Counts | None = None
    """The values are counts {gain, offset, read_std}, as of `array`; their noise level follows, and sigma_n is left
    out."""

    measurements: bool = False
    """The rows are what an operator measured, for the corruption `linear`, in floating point or with a value_range from
    -a to a: an operator that is linear carries no offset."""

    @model_validator(mode="after")
    def _one_way(self) -> Masked:
        if self.measurements and self.counts is not None:
            raise ValueError("counts do not pass through a linear operator: leave counts or measurements out")
        if self.measurements and self.value_range is not None and sum(self.value_range) != 0:
            raise ValueError("value_range of measurements goes from -a to a: an operator that is linear has no offset")
        if self.masks is not None and self.missing is not None:
            raise ValueError("give masks, a file, or missing, the value that stands for nothing, and not both")
        if self.counts is not None:
            if self.value_range is None:
                raise ValueError("counts need value_range, the two counts (in file values) that stand for -1 and 1")
            if "sigma_n" in self.model_fields_set and self.sigma_n:
                raise ValueError("the noise level of counts follows from the transform: leave sigma_n out")
            CountRange(*self.value_range, **self.counts.model_dump())
        return self

    def rows(self) -> Rows:
        """Observations with a mask in cond["mask"], of measurements in cond["sampled"]. Raises InputError for files
        that do not fit together, and for measured values that are not finite."""
        if self.path.is_dir():
            return self._copied()
        if self.masks is None and self.missing is None:
            raise InputError(
                f"{self.path}: nothing says what is missing: give masks, a file, or missing, the value that stands "
                "for nothing"
            )
        data = _opened(self.path)
        if data.ndim < 2 or data.dtype.kind not in "uif":
            raise InputError(f"{self.path}: should be rows of numbers, and is {data.dtype} of shape {data.shape}")
        mapping = self._mapping(data.dtype)
        masks = None if self.masks is None else _opened(self.masks)
        if masks is not None:
            one = masks.ndim > 0 and (
                masks.shape[1:] == data.shape[1:]
                or (data.ndim == 4 and masks.shape[1:] in (data.shape[2:], (1, *data.shape[2:])))
            )
            if not (one and len(masks) in (1, len(data))):
                hint = ""
                if masks.shape == data.shape[1:] or (data.ndim == 4 and masks.shape == data.shape[2:]):
                    hint = ". One mask for all rows has a first axis of length 1: store masks[None]"
                elif one:
                    hint = f": give {len(data)} masks, one for each row, or a single one for all"
                elif masks.ndim == data.ndim + 1 and masks.shape[1] == 1:
                    hint = ": store masks[:, 0]"
                raise InputError(
                    f"{self.masks}: masks of shape {masks.shape} do not fit rows of shape {data.shape} ({self.path}), "
                    f"which are (N, H, W), (N, C, H, W) or (N, S){hint}"
                )
            _refuse_others(masks, self.masks)
        if self.missing is not None and data.dtype.kind in "ui" and math.isnan(held(float(self.missing), data.dtype)):
            raise InputError(f"{self.path}: missing: {self.missing}: {data.dtype} holds no such value")
        level = mapping.sigma_n if isinstance(mapping, CountRange) else self.sigma_n
        found = _MaskedRows(data, masks, self.missing, level, mapping, "sampled" if self.measurements else "mask")
        self._look_at(found, str(data.dtype))
        return found

    def _mapping(self, stored: np.dtype[Any]) -> Mapping:
        if self.counts is not None:
            assert self.value_range is not None  # the validator saw to it
            return CountRange(*self.value_range, **self.counts.model_dump())
        if self.measurements and self.value_range is None and stored.kind in "ui":
            raise InputError(
                f"{self.path}: measurements are {stored}, so that the value of 0 is not known: store them in floating "
                "point, or give value_range from -a to a"
            )
        try:
            return ValueRange(*self.value_range) if self.value_range else ValueRange.of(stored)
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _look_at(self, rows: _MaskedRows, stored: str) -> None:
        """Read every row. Raises InputError for measured values that are not finite, or cannot be meant so."""
        low, high, gaps, empty = float("inf"), float("-inf"), 0, []
        for row in range(len(rows)):
            one = rows[row]
            x, seen = one.x_n, one.cond[rows.told]
            if not bool(x.isfinite().all()):
                raise InputError(f"{self.path}: row {row} holds measured values that are not finite")
            gaps += int((~seen).sum())
            if not seen.any():
                empty.append(row)
                continue
            values = x[seen.expand_as(x)]
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        if not gaps and self.missing is not None:
            warn(f"{self.path}: missing: {self.missing}: no row holds this value, and all count as measured")
        if not gaps and self.masks is not None:
            warn(f"{self.masks}: no mask hides anything, and all values count as measured")
        if len(empty) == len(rows):
            raise InputError(
                f"{self.masks or self.path}: no row holds a measured value. A mask is 1 where a value was measured: "
                "store 1 - masks if yours are 1 where one is missing"
                if self.masks is not None
                else f"{self.path}: missing: {self.missing}: no row holds another value than this"
            )
        if empty:
            first = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
            warn(f"{self.path}: {len(empty)} of {len(rows)} rows hold no measured value, and teach nothing: {first}")
        if isinstance(rows.mapping, CountRange):
            looked_at = [rows.measured(row) for row in evenly(len(rows), 256)]
            refuse_faint(str(self.path), np.concatenate(looked_at), rows.mapping)
        if self.measurements:  # they have no range of their own
            return
        check_scale(str(self.path), low, high, rows.level, assumed=self.value_range is None, stored=stored)

    def _copied(self) -> Rows:
        """The rows of a folder that `ambientkit corrupt` wrote."""
        fields = type(self).model_fields
        whole = fields.keys() <= self.model_fields_set  # as a run writes its configuration: with every default
        others = self.model_fields_set - {"path"}
        if given := sorted(name for name in others if not whole or getattr(self, name) != fields[name].default):
            raise InputError(f"{self.path}: the copy says its {', '.join(given)} itself; leave {given[0]} out")
        if not (self.path / MANIFEST).is_file():
            raise InputError(
                f"{self.path}: no {MANIFEST} is there: give a .npy file, or a finished folder of `ambientkit corrupt`"
            )
        manifest = read_manifest(self.path)
        if "masks" not in manifest:
            raise InputError(f"{self.path}: the rows of this copy are whole: leave the corruption mask out")
        data, masks = _opened(self.path / ROWS), _opened(self.path / MASKS)
        shape = tuple(manifest["shape"])
        if data.shape != (manifest["rows"], *shape) or len(masks) != len(data) or masks.dtype != bool:
            raise InputError(
                f"{self.path}: {ROWS} {data.shape} and {MASKS} {masks.dtype} {masks.shape} do not fit the manifest's "
                f"{manifest['rows']} rows of shape {shape}"
            )
        level = manifest["sigma_n"]
        levels = np.full(1, level) if isinstance(level, float | int) else _opened(self.path / LEVELS).reshape(-1)
        return _MaskedRows(data, masks, None, levels, ValueRange(-1.0, 1.0))


class _MaskedRows(Rows):
    def __init__(
        self,
        data: NDArray[Any],
        masks: NDArray[Any] | None,
        missing: float | Literal["nan"] | None,
        sigma_n: float | NDArray[Any],
        mapping: Mapping,
        told: str = "mask",
    ) -> None:
        self.told = told
        self._data, self._masks, self._missing, self.mapping = data, masks, missing, mapping
        self._levels = np.atleast_1d(np.asarray(sigma_n, np.float32))
        self.stored = str(data.dtype)

    def __len__(self) -> int:
        return len(self._data)

    @property
    def level(self) -> float:
        """The largest noise level, units of [-1, 1]."""
        return float(self._levels.max())

    def measured(self, index: int) -> NDArray[Any]:
        """The file values of a row that were measured, (n,)."""
        values = np.asarray(self._data[index])
        kept: NDArray[Any] = values[np.broadcast_to(self._seen(index, values), values.shape)]
        return kept

    def _seen(self, index: int, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which values of a row were measured; broadcasts to them."""
        if self._masks is None:
            return ~np.isnan(values) if self._missing == "nan" else np.asarray(values != self._missing)
        seen = np.asarray(self._masks[index if len(self._masks) > 1 else 0]) > 0
        return seen[None] if seen.ndim < values.ndim else seen

    def __getitem__(self, index: int) -> Batch:
        values = np.asarray(self._data[index])
        seen = self._seen(index, values)
        whole = np.broadcast_to(seen, values.shape)
        assert self.mapping is not None
        x = np.where(whole, self.mapping.to_unit(np.where(whole, values, 0)), 0).astype(np.float32)
        picture, mask = (torch.from_numpy(np.ascontiguousarray(v)) for v in (x, seen))
        if values.ndim == 2:
            picture, mask = picture.unsqueeze(0), mask.unsqueeze(0)
        level = torch.tensor(self._levels[index if len(self._levels) > 1 else 0])
        return Batch(picture, level, torch.tensor(index), {self.told: mask})


def _refuse_others(masks: NDArray[Any], path: Path | None) -> None:
    """Raise InputError for masks that hold anything but 0 and 1, or false and true."""
    if masks.dtype.kind not in "buif":
        raise InputError(f"{path}: should hold true and false, or 1 and 0, and is {masks.dtype}")
    for row, mask in enumerate(masks):
        other = mask[(mask != 0) & (mask != 1)]
        if other.size:
            raise InputError(
                f"{path}: should hold true and false, or 1 and 0, and mask {row} holds {float(other[0]):g} "
                f"({masks.dtype}). If other values than 0 mean measured, store the masks as `masks != 0`"
            )


def _opened(path: Path) -> NDArray[Any]:
    try:
        return one_array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a .npy file ({' '.join(str(error).split())})") from None
