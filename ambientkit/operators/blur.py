"""The operator `blur`: a known point spread function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.operators.arrays import real_array
from ambientkit.operators.base import Operator


class Blur(Operator):
    """Convolution of each channel with a known kernel, round the edges (periodic). M = S; rows of one axis are blurred
    along it.

    kernel: a .npy file with a 2-D array whose middle is the origin; otherwise a Gaussian of std `width` pixels. It is
    not scaled: a kernel of sum 1 keeps the brightness.
    """

    name = "blur"
    pictures = True

    width: float = Field(1.0, gt=0)
    """Std of the Gaussian, pixels."""
    kernel: Path | None = None
    """A .npy file in its place."""

    @model_validator(mode="after")
    def _readable(self) -> Blur:
        if self.kernel is not None:
            _read(self.kernel)
        return self

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """The blurred rows."""
        return self._filtered(x, self._transfer(x))

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Correlation with the kernel."""
        return self._filtered(y, self._transfer(y).conj())

    def _transfer(self, like: Tensor) -> Tensor:
        """(H, W / 2 + 1), the transfer function; of rows of one axis, H is 1."""
        height, width = like.shape[-2:] if like.ndim > 2 else (1, like.shape[-1])
        if self.kernel is not None:
            kernel = _read(self.kernel).to(like)
        else:
            y, x = (torch.arange(n, dtype=like.dtype, device=like.device) - n // 2 for n in (height, width))
            kernel = torch.exp(-(y.unsqueeze(1) ** 2 + x**2) / (2 * self.width**2))
            kernel = kernel / kernel.sum()
        rows, columns = kernel.shape
        if rows > height or columns > width:
            raise InputError(
                f"operator blur: a kernel of {rows} x {columns} is larger than the rows, {height} x {width}"
            )
        whole = torch.zeros(height, width, dtype=like.dtype, device=like.device)
        whole[:rows, :columns] = kernel
        return torch.fft.rfft2(whole.roll((-(rows // 2), -(columns // 2)), (0, 1)))

    @staticmethod
    def _filtered(x: Tensor, transfer: Tensor) -> Tensor:
        picture = x if x.ndim > 2 else x.unsqueeze(1)
        return torch.fft.irfft2(torch.fft.rfft2(picture) * transfer, s=picture.shape[-2:]).reshape(x.shape)


def _read(path: Path) -> Tensor:
    kernel = real_array(path)
    if kernel.ndim != 2:
        raise ValueError(f"{path}: should be a 2-D array of finite numbers, and has shape {kernel.shape}")
    return torch.from_numpy(kernel)
