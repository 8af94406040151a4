"""The operator `matrix`: any linear map of small rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.operators.arrays import real_array
from ambientkit.operators.base import Operator


class Matrix(Operator):
    """y = A x of rows as plain vectors, for a matrix (m, d) in a .npy file or in the configuration. M = (m,).

    A^T y is laid out as rows of `shape`.
    """

    name = "matrix"

    shape: Annotated[tuple[int, ...], Field(min_length=1)]
    """Of a row."""
    path: Path | None = None
    """The .npy file."""
    values: tuple[tuple[float, ...], ...] | None = None
    """The matrix itself, in its place."""

    @model_validator(mode="after")
    def _one_matrix(self) -> Matrix:
        if (self.path is None) == (self.values is None):
            raise ValueError("give path or values")
        found, size = self._matrix(), int(np.prod(self.shape))
        if found.ndim != 2 or found.shape[1] != size or not bool(found.isfinite().all()):
            raise ValueError(
                f"a matrix (m, {size}) of finite numbers is needed for rows of {self.shape}, not {tuple(found.shape)}"
            )
        return self

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(B, *S) to (B, m)."""
        if tuple(x.shape[1:]) != self.shape:
            raise InputError(f"operator matrix: rows have shape {tuple(x.shape[1:])}, and it is made for {self.shape}")
        return x.flatten(1) @ self._matrix().to(x).T

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(B, m) to (B, *S)."""
        return (y @ self._matrix().to(y)).reshape(-1, *self.shape)

    def _matrix(self) -> Tensor:
        if self.values is not None:
            return torch.tensor(self.values, dtype=torch.float64)
        assert self.path is not None  # the validator saw to it
        return torch.from_numpy(real_array(self.path))
