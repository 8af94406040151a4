"""Properties of a data set's rows besides their values."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Mapping_
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.maths.precondition import lies_over
from ambientkit.operators.base import COMPLEX

MASKS = ("mask", "sampled")
"""Conditions of an observation that say what of it was measured."""


class Mapping(Protocol):
    """How values of the files become units of [-1, 1], and back; `units.ranges.ValueRange` is one. `str` describes it
    in messages."""

    def to_unit(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """File values to units of [-1, 1]."""

    def from_unit(self, x: NDArray[Any]) -> NDArray[Any]:
        """The way back."""


class Rows(Dataset[Any], abc.ABC):
    """A map-style data set of `Clean` rows or of observations (`Batch` without its batch axis), with what else is known
    of them.

    `Data.rows` may return any map-style data set; one that subclasses this and sets some of these keeps its units, axes
    and order wherever its rows go: in samples and restored rows, in error messages, in the order of training, and in
    the run's files.
    """

    mapping: Mapping | None = None
    """How file values became units of [-1, 1]; None where the rows are in these units already."""
    layout: str = "N..."
    """The axes of the files, such as "NHWC"; "N..." for axes that are kept as they are, the channels first."""
    assumed: bool = False
    """Whether nobody gave `mapping`, but it follows from the number type of the files."""
    left_out: Sequence[str] = ()
    """Rows and files that are not used, each with its cause."""
    stored: str = ""
    """The number type in the files, such as "uint16"; empty where it is not known."""
    blocks: Sequence[int] | None = None
    """Rows in each shard, in order, where reading in another order is slow; None where it is not."""

    buckets: Sequence[int] | None = None
    """The bucket of each row, where rows have several shapes: those of one bucket have one, and a batch of training
    holds rows of one bucket. None where all rows have one shape."""

    placed: bool = False
    """Whether a condition of a row states its size and where it was cut. Poses that change either are refused then;
    after a flip `mirrored` says the place anew."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Clean | Batch:
        """Row `index`: a `Clean` one, or an observation without a batch axis."""

    def window(self, index: int, where: tuple[slice, ...]) -> Batch | None:
        """A part of row `index` by its axes, channels first, where that is quicker than the whole; None where it is
        not, and for clean rows, whose noise is simulated on the whole."""
        return None

    def mirrored(self, cond: Mapping_[str, Tensor], horizontal: bool, vertical: bool) -> Mapping_[str, Tensor]:
        """The conditions of one row, without a batch axis, after its picture was mirrored, left to right, upside down,
        or both. As they are by default: right for classes and prompts, not for places in the picture."""
        return cond

    def number(self, index: int) -> int:
        """The row of the files at position `index`, which is the key of its noise: another one only where rows are left
        out."""
        return index

    def at_or_above(self, sigma: float) -> Iterator[int]:
        """The rows (as `number` counts) of noise level sigma or more, where that is known without reading them;
        otherwise none."""
        return iter(())

    def noise_findings(self) -> Sequence[Any] | None:
        """What the data set itself knows of its noise, as `inspection.Finding`s: `inspect` shows them and `train` heeds
        them in place of the tests of the values. None, as here: the values are tested."""
        return None

    def decode(self, rows: Tensor) -> Tensor | None:
        """Rows (n, *S) in data units, which samples are too, as pictures (n, C, H, W) in [-1, 1]; None where they have
        none.

        As they are by default. A data set of latents gives its decoder here; n is small, and the answer is for the eye
        alone: for the pictures of `train`, `sample` and `report`. Training, files and measurements stay in the
        space of the rows.
        """
        return rows


def decodes(rows: Any) -> bool:
    """Whether a data set's rows must be decoded to be seen."""
    known = as_rows(rows)
    return hasattr(known._rows, "decode") if isinstance(known, _Plain) else type(known).decode is not Rows.decode


class _Plain(Rows):
    """A map-style data set that is no `Rows`: attributes of the same names are passed on, the rest has its default."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        source = getattr(rows, "source", None)
        self.mapping = getattr(rows, "mapping", None)
        self.layout = getattr(rows, "layout", "N...")
        self.assumed = bool(getattr(rows, "assumed", self.mapping is None))
        self.left_out = list(getattr(rows, "left_out", ()))
        self.stored = str(getattr(rows, "stored", "") or getattr(source, "dtype", ""))
        self.buckets = getattr(rows, "buckets", None)
        self.placed = bool(getattr(rows, "placed", False))
        self.blocks = (
            source.blocks() if source is not None and hasattr(source, "blocks") else getattr(rows, "blocks", None)
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Clean | Batch:
        return cast(Clean | Batch, self._rows[index])

    def mirrored(self, cond: Mapping_[str, Tensor], horizontal: bool, vertical: bool) -> Mapping_[str, Tensor]:
        if not hasattr(self._rows, "mirrored"):
            return cond
        return cast(Mapping_[str, Tensor], self._rows.mirrored(cond, horizontal, vertical))

    def number(self, index: int) -> int:
        return int(self._rows.number(index)) if hasattr(self._rows, "number") else index

    def at_or_above(self, sigma: float) -> Iterator[int]:
        return iter(self._rows.at_or_above(sigma)) if hasattr(self._rows, "at_or_above") else iter(())

    def noise_findings(self) -> Sequence[Any] | None:
        return cast("Sequence[Any]", self._rows.noise_findings()) if hasattr(self._rows, "noise_findings") else None

    def decode(self, rows: Tensor) -> Tensor | None:
        return cast(Tensor | None, self._rows.decode(rows)) if hasattr(self._rows, "decode") else rows


def as_rows(rows: Any) -> Rows:
    """A map-style data set as `Rows`: itself where it is one, otherwise wrapped, with defaults for the rest."""
    return rows if isinstance(rows, Rows) else _Plain(rows)


def largest_bucket(buckets: Sequence[int]) -> list[int]:
    """The positions of the rows of the bucket that has most, the first of several."""
    found = np.asarray(buckets)
    kinds, firsts, counts = np.unique(found, return_index=True, return_counts=True)
    best = min(range(len(kinds)), key=lambda i: (-counts[i], firsts[i]))
    return np.flatnonzero(found == kinds[best]).tolist()


def evenly(total: int, most: int) -> list[int]:
    """Up to `most` row numbers, evenly spaced over `total` rows, without repeats."""
    return np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int)).tolist()


def clean_row(item: Clean, number: int) -> Clean:
    """A clean row in float32. Raises InputError for values of another kind, naming the row."""
    return item._replace(x_0=_real(item.x_0, "x_0", number))


def observation(item: Batch, number: int) -> Batch:
    """An observation without a batch axis, as a data set of anybody's brings it: x_n in float32, the mask of what was
    measured bool, and 0 where it says that nothing was: what lies there is never looked at, NaN neither.

    Raises InputError, naming the row, for values that are no real numbers, masks that do not lie over the row, and
    masks of other values than 0 and 1, any of which would count as measured.
    """
    x, cond = _real(item.x_n, "x_n", number), item.cond
    for name in MASKS:
        if name not in cond:
            continue
        seen = cond[name]
        if not lies_over(seen.shape, x.shape) or seen.shape[:1] not in ((1,), x.shape[:1]):
            raise InputError(
                f"row {number} of the data set: its {name} has shape {tuple(seen.shape)}, and its values have "
                f"{tuple(x.shape)}: give the mask as many axes, and each of the same length or 1"
            )
        if seen.dtype != torch.bool:
            other = seen[(seen != 0) & (seen != 1)]
            if other.numel():
                raise InputError(
                    f"row {number} of the data set: its {name} holds {other.flatten()[0].item():g}: 1 (or true) where "
                    "a value was measured, 0 where it is missing, and nothing else"
                )
            seen = seen.bool()
        x, cond = torch.where(seen, x, 0.0), {**cond, name: seen}
    return item._replace(x_n=x, cond=cond)


def _real(values: Tensor, what: str, number: int) -> Tensor:
    if values.is_floating_point():
        return values.float()
    hint = COMPLEX if values.is_complex() else "map its values to units of [-1, 1], in float32"
    raise InputError(f"row {number} of the data set: {what} holds {str(values.dtype).removeprefix('torch.')}: {hint}")
