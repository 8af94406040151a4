"""The data set `dataset`: a torch `Dataset` that a Python program holds."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from pydantic import Field, PrivateAttr, ValidationError
from torch import Tensor

from ambientkit.batch import Batch, Clean, bytes_of, values_of
from ambientkit.errors import InputError, unfit
from ambientkit.interfaces import Data
from ambientkit.readers.scan import unknown_noise
from ambientkit.rows import Rows, as_rows, evenly

LOOKED_AT = 64
"""Rows, evenly spaced, whose values a run knows the data set by."""


class Given(Data):
    """A map-style torch `Dataset` held by the program that calls ambientkit, known to a run by some of its rows.

    `Given.of(dataset)` makes one. Items: `Clean` rows, observations (`Batch` without a batch axis), or tensors (*S) in
    units of [-1, 1], which are observations of level `sigma_n`, and clean where that is 0.
    """

    name = "dataset"

    length: int = Field(ge=1)
    """Number of rows."""
    sha256: str
    """Hash of up to 64 rows, evenly spaced, with their noise levels, and their conditions by name, shape and type."""
    sigma_n: float | None = Field(None, ge=0)
    """Noise std of rows that are plain tensors, units of [-1, 1]."""

    _rows: Any = PrivateAttr(None)

    @classmethod
    def of(cls, rows: Any, sigma_n: float | None = None) -> Given:
        """The data set of a map-style torch `Dataset`. Raises InputError where its items are none of those above."""
        length = len(rows)
        if not length:
            raise InputError("data: the data set has no rows")
        digest = hashlib.sha256(str(length).encode())
        for index in evenly(length, LOOKED_AT):
            item = rows[index]
            held = _checked(item, index)
            if len(held) > 1:  # a row of one tensor is known by its values, as in versions of before
                digest.update(repr((sorted(item.cond), [(tuple(one.shape), one.dtype) for one in held])).encode())
            for value in held:
                digest.update(bytes_of(value))
        if sigma_n is not None and not isinstance(rows[0], Tensor):
            raise InputError("sigma_n: the rows of this data set bring their own noise level; leave it out")
        try:
            part = cls(length=length, sha256=digest.hexdigest(), sigma_n=sigma_n)
        except ValidationError as error:
            raise unfit(error, cls.model_fields) from None
        part._rows = rows
        return part

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Given) and self.model_dump() == other.model_dump()
        )  # the values are known by their hash

    __hash__ = Data.__hash__

    def rows(self) -> Rows:
        """The rows. Raises InputError in a program that was not given them."""
        if self._rows is None:
            raise InputError(
                f"data: a torch Dataset of {self.length:,} rows was given in memory, and this program has not been "
                "given it "
                f"(sha256 {self.sha256[:12]}...): give the same data again, ambientkit.train(dataset, output_dir=...)"
            )
        known = as_rows(self._rows)
        if not isinstance(self._rows[0], Tensor):
            return known
        if self.sigma_n is None:
            raise unknown_noise("data", "a number; 0 for clean rows")
        return _Observed(known, self.sigma_n)


def _checked(item: Any, index: int) -> list[Tensor]:
    """All that a row holds: rows that differ in a mask or a level alone are other rows."""
    if not isinstance(item, Clean | Batch | Tensor):
        raise InputError(
            f"data: row {index} is of type {type(item).__name__}; rows should be Clean, Batch (ambientkit.batch) "
            "or tensors. "
            "A data set of (picture, label) needs a small wrapper that returns Clean(picture, {'class_cond': "
            "torch.tensor(label)})"
        )
    held = [item] if isinstance(item, Tensor) else values_of(item)
    for value in held:
        if not isinstance(value, Tensor):
            raise InputError(
                f"data: row {index} holds a {type(value).__name__} in its {type(item).__name__}: values, noise levels "
                "and conditions are tensors"
            )
    if not math.prod(held[0].shape):
        raise InputError(f"data: row {index} is empty (shape {tuple(held[0].shape)})")
    return held


class _Observed(Rows):
    """Plain tensors as rows of one level."""

    def __init__(self, rows: Rows, sigma_n: float) -> None:
        self._rows, self._sigma_n = rows, sigma_n
        self.mapping, self.layout, self.left_out = rows.mapping, rows.layout, rows.left_out
        self.stored, self.blocks = rows.stored, rows.blocks

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Clean | Batch:
        x = _checked(self._rows[index], index)[0].float()
        if self._sigma_n == 0:
            return Clean(x, {})
        return Batch(x, torch.tensor(self._sigma_n), torch.tensor(self.number(index)), {})

    def number(self, index: int) -> int:
        return self._rows.number(index)
