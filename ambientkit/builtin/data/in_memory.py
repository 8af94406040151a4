"""The data set `in-memory`: rows that a Python program holds as an array or a tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError, unfit
from ambientkit.readers import Found, Stored
from ambientkit.readers.layout import find_layout
from ambientkit.readers.source import check_numbers, chunks_of


class InMemory(Stored):
    """Rows held in memory by the program that calls ambientkit, known to a run by their content.

    `InMemory.of(values)` makes one from an array or a tensor. A run records shape, type and hash, not the values: to
    resume it, the same rows are given again.
    """

    name = "in-memory"

    shape: tuple[int, ...]
    """Shape of the array, (N, ...)."""
    dtype: str
    """Its number type."""
    sha256: str
    """Hash of its values, and of the noise levels given with them."""
    layout: Literal["auto", "NCHW", "NHWC", "NHW", "N..."] = "auto"
    """Meaning of the axes, as for the data set `array`."""

    _values: NDArray[Any] | None = PrivateAttr(None)
    _levels: NDArray[Any] | None = PrivateAttr(None)
    _called: str = PrivateAttr("data")

    @classmethod
    def of(cls, values: Any, sigma_n: Any = None, *, called: str = "data", **fields: Any) -> InMemory:
        """The data set of an array or a tensor (N, ...). sigma_n: a number, "estimate", or an array of one level per
        row or per value. called: what messages call it.

        Raises InputError where the values are no numbers, or a field does not fit.
        """
        array, levels = _array(values, called), None
        check_numbers(called, array.shape, array.dtype)
        if sigma_n is not None and not isinstance(sigma_n, str | float | int):
            levels = _array(sigma_n, "sigma_n")
        digest = hashlib.sha256(np.ascontiguousarray(array).tobytes())
        if levels is not None:
            digest.update(np.ascontiguousarray(levels).tobytes())
        level = float(sigma_n) if isinstance(sigma_n, int) else sigma_n if levels is None else None
        try:
            part = cls(shape=array.shape, dtype=array.dtype.name, sha256=digest.hexdigest(), sigma_n=level, **fields)
        except ValidationError as error:
            raise unfit(error, cls.model_fields) from None
        part._values, part._levels, part._called = array, levels, called
        return part

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, InMemory) and self.model_dump() == other.model_dump()
        )  # the values are known by their hash

    __hash__ = Stored.__hash__

    def rows(self, *, judge: bool = True) -> Dataset[Clean] | Dataset[Batch]:
        """As of every stored array; a message that asks for a field says how rows in memory get it."""
        try:
            return super().rows(judge=judge)
        except InputError as error:
            asked = [name for name in ("layout", "value_range") if f"ive {name}" in str(error)]
            if not asked or type(error) is not InputError:
                raise
            raise InputError(
                f"{error}\nRows in memory get it by InMemory.of({self._called}, sigma_n, {asked[0]}=...), given in "
                "their place; from ambientkit.builtin.data.in_memory import InMemory"
            ) from None

    def find(self) -> Found:
        """The rows. Raises InputError in a program that was not given them."""
        if self._values is None:
            raise InputError(
                f"{self._called}: {self.shape[0]:,} rows of {self.dtype} were given in memory, and this program "
                "has not been given them "
                f"(sha256 {self.sha256[:12]}...): give the same rows again, ambientkit.train(rows, output_dir=...)"
            )
        source = _Held(self._values, self._called)
        return Found(
            source, find_layout(source, self.layout), None if self._levels is None else _Held(self._levels, "sigma_n")
        )


def _array(values: Any, what: str) -> NDArray[Any]:
    """An array of an array, a tensor or a list. Raises InputError for anything that is no numbers, and where a mask
    would be lost."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise InputError(
            f"{what}: {np.ma.count_masked(values):,} of {values.size:,} values of this array are masked, and nothing "
            "would say so: store values.filled(numpy.nan) by numpy.save, and give {'name': 'array', 'path': the file, "
            "'missing': 'mask'} with corruption='mask'"
        )
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            small = values.dtype.is_floating_point and values.element_size() < 4
            values = (values.float() if small else values).numpy()
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # also of sparse, nested, quantised and empty (meta) tensors
        raise InputError(f"{what}: cannot be read as one array of numbers ({error})") from None


class _Held:
    """An array in memory as a source of rows."""

    def __init__(self, values: NDArray[Any], what: str) -> None:
        self._values, self._what = values, what
        self.shape, self.dtype = values.shape, values.dtype

    def __str__(self) -> str:
        return self._what

    def check(self) -> None:
        """Raises InputError where these can be no rows of numbers."""
        check_numbers(self._what, self.shape, self.dtype)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop."""
        return self._values[start:stop]

    def row(self, index: int) -> NDArray[Any]:
        """One row. Raises IndexError outside 0..N-1."""
        if not 0 <= index < self.shape[0]:
            raise IndexError(f"row {index} of {self.shape[0]}")
        return self._values[index]

    def all(self) -> NDArray[Any]:
        """Everything."""
        return self._values

    def chunks(self) -> Iterator[tuple[int, int]]:
        """The bounds of consecutive rows."""
        return chunks_of(self.shape)

    def name(self, index: int) -> str:
        """What a row is called in messages."""
        return f"row {index}"
