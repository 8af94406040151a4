"""Rows in which one file value stands for nothing, because the data set says so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.errors import InputError
from ambientkit.readers.missing import held
from ambientkit.readers.over import Over
from ambientkit.readers.source import Source

NEAR = 1e-6
"""Relative difference up to which values in floating point are the one that is named: a slope and an intercept of the
file leave no more of a round number."""


class Marked(Over):
    """The rows of a source, of whose values `value` stands for a missing one, and in floating point those that differ
    by its rounding alone.

    Raises InputError where the number type holds no such value, so that it could never be found.
    """

    def __init__(self, source: Source, value: float) -> None:
        super().__init__(source)
        self.value, self.found = held(value, source.dtype), False
        if math.isnan(self.value):
            raise InputError(f"{source}: missing: {value:g}: {source.dtype} holds no such value")

    @property
    def missing(self) -> dict[str, float]:
        """As of the source, and the value."""
        return {**super().missing, "missing": self.value}

    def seen(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values, with the one that is named as it is named."""
        if self.dtype.kind != "f":
            return values
        return np.where(np.isclose(values, self.value, rtol=NEAR, atol=0), np.asarray(self.value, values.dtype), values)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop; `found` says whether the value was in any of them so far."""
        values = super().read(start, stop)
        self.found = self.found or bool((values == self.value).any())
        return values


def marked_in(source: Any) -> Marked | None:
    """The part of a source that says which value stands for nothing; None where there is none."""
    while isinstance(source, Over):
        if isinstance(source, Marked):
            return source
        source = source.source
    return None
