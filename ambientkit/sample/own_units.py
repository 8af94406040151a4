"""Between data units and the values and axes of the user's files."""

from __future__ import annotations

from collections.abc import Mapping as Plain
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.readers.layout import AXES, Layout
from ambientkit.rows import as_rows
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange


@dataclass(frozen=True, slots=True)
class OwnUnits:
    """What file values mean in [-1, 1], and how the axes of a file lie. Without a mapping values stay in [-1, 1],
    channels first."""

    mapping: ValueRange | CountRange | None = None
    layout: Layout = "N..."

    @classmethod
    def of(cls, rows: Any) -> OwnUnits:
        """Those of the rows of a data set; a data set that has no files, or does not say, leaves values as they are."""
        known = as_rows(rows)
        return cls(
            known.mapping if isinstance(known.mapping, ValueRange | CountRange) else None, cast(Layout, known.layout)
        )

    @classmethod
    def from_plain(cls, plain: Plain[str, Any]) -> OwnUnits:
        """The inverse of `plain`. Raises KeyError, TypeError or ValueError for anything else."""
        fields, layout = plain["mapping"], plain["layout"]
        if layout not in (*AXES, "N..."):
            raise ValueError(f"layout {layout!r}")
        if fields is None:
            return cls(None, layout)
        kind, values = fields["kind"], {name: value for name, value in fields.items() if name != "kind"}
        return cls({"range": ValueRange, "counts": CountRange}[kind](**values), layout)

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it: {"mapping": {"kind": "range", "low": 0, "high": 255} or "counts" or None, "layout":
        "NHWC"}."""
        if self.mapping is None:
            return {"mapping": None, "layout": self.layout}
        kind = "range" if isinstance(self.mapping, ValueRange) else "counts"
        return {"mapping": {"kind": kind, **asdict(self.mapping)}, "layout": self.layout}

    def values(self, x: Tensor) -> NDArray[Any]:
        """Data units to file values, channels first as they are, never clipped: v = m + h x, and for counts the exact
        unbiased inverse.

        float32; float64 where the middle of the range is so far from 0 that float32 would round what the network knows.
        """
        unit = x.detach().cpu().numpy()
        if self.mapping is None:
            return unit.astype(np.float32)
        low, high = self.mapping.from_unit([-1.0, 1.0])
        coarse = abs(low + high) > 100 * abs(high - low)
        return self.mapping.from_unit(unit).astype(np.float64 if coarse else np.float32)

    def laid_out(self, values: NDArray[Any]) -> NDArray[Any]:
        """(n, ..., *S), channels first, to the axes of the file."""
        if self.layout == "NHWC":
            return np.moveaxis(values, -3, -1)
        return values[..., 0, :, :] if self.layout == "NHW" else values

    def to_unit(self, values: NDArray[Any]) -> Tensor:
        """Rows (n, ...) of a file back to data units, channels first; the inverse of `values` and `laid_out`.

        Raises InputError for counts: the unbiased inverse is no inverse of the transform of single values.
        """
        if isinstance(self.mapping, CountRange):
            raise InputError("samples in counts cannot be taken back to [-1, 1]: draw them with --units unit")
        first = (
            np.moveaxis(values, -1, 1) if self.layout == "NHWC" else values[:, None] if self.layout == "NHW" else values
        )
        unit = first.astype(np.float32) if self.mapping is None else self.mapping.to_unit(first)
        return torch.from_numpy(np.ascontiguousarray(unit))
