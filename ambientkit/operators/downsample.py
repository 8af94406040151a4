"""The operator `downsample`: pixels averaged in blocks."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ambientkit.errors import InputError
from ambientkit.operators.base import Operator


class Downsample(Operator):
    """Means over blocks of factor x factor pixels, times `factor`, so that A A^T = I. M = (C, H / factor, W /
    factor)."""

    name = "downsample"
    pictures = True

    factor: int = Field(2, ge=2)
    """Side of a block."""

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """The smaller rows. Raises InputError for sides that are no multiples of the factor."""
        if x.ndim < 4:
            raise InputError(
                f"operator downsample: rows of shape {tuple(x.shape[1:])} are no pictures (C, H, W): give the matrix "
                "of means to operator matrix"
            )
        if x.shape[-1] % self.factor or x.shape[-2] % self.factor:
            raise InputError(
                f"operator downsample: rows of {x.shape[-2]} x {x.shape[-1]} are no multiples of {self.factor}: "
                "crop them"
            )
        return avg_pool2d(x, self.factor) * self.factor

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Each value spread over its block, over `factor`."""
        return interpolate(y, scale_factor=self.factor, mode="nearest") / self.factor
