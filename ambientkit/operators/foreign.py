"""The operator `python`: an object of yours that knows numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.operators.base import COMPLEX, Operator, blamed, imported


class Foreign(Operator):
    """An object with `forward(x)` and `adjoint(y)` that take and return one row as a numpy array; no gradient is
    needed.

    The gradient of A x is A^T, so that the two must fit together: `ambientkit verify` measures it. The object is named
    by where it is imported from.
    """

    name = "python"

    object: str
    """module:attribute, such as mypackage.scanner:operator."""

    @model_validator(mode="after")
    def _has_both(self) -> Foreign:
        found = self._object()
        if isinstance(found, type):
            raise ValueError(f"{self.object} is a class: name an object of it")
        for method in ("forward", "adjoint"):
            if not callable(getattr(found, method, None)):
                raise ValueError(f"{self.object} has no method {method}(array) -> array")
        return self

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Row by row."""
        found = self._object()
        return _Linear.apply(
            x, _by_row(found.forward, f"{self.object}.forward"), _by_row(found.adjoint, f"{self.object}.adjoint")
        )

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Row by row."""
        found = self._object()
        return _Linear.apply(
            y, _by_row(found.adjoint, f"{self.object}.adjoint"), _by_row(found.forward, f"{self.object}.forward")
        )

    def _object(self) -> Any:
        try:
            return imported(self.object)
        except InputError as error:
            raise ValueError(str(error)) from None


class _Linear(torch.autograd.Function):
    """A linear map whose gradient is another one, its transpose."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]) -> Tensor:
        """there(x)."""
        ctx.back = back
        return there(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """back(gradient)."""
        return ctx.back(grads[0]), None, None


def _by_row(function: Callable[[Any], Any], name: str) -> Callable[[Tensor], Tensor]:
    def mapped(x: Tensor) -> Tensor:
        given = x.detach().cpu().numpy()
        with blamed(name, f"a row of shape {given.shape[1:]}, {given.dtype}"):
            rows = [np.asarray(function(row.copy())) for row in given]  # a copy: it may work in place
        for row in rows:
            if row.ndim == 0:
                raise InputError(f"{name} answers with one number, {type(row.item()).__name__}: an array is needed")
            if row.shape != rows[0].shape:
                raise InputError(f"{name} answers with arrays of shape {rows[0].shape} and of {row.shape}")
            if row.dtype.kind not in "fiu":
                raise InputError(f"{name} answers with {row.dtype}: real numbers are needed; {COMPLEX}")
            if not np.isfinite(row).all():
                raise InputError(f"{name} answers with values that are not finite")
        return torch.from_numpy(np.stack(rows)).to(x)

    return mapped
