"""The operator `fourier`: k-space of one coil or several."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.operators.base import Operator


class Fourier(Operator):
    """k-space: the unitary 2-D Fourier transform, its centre in the middle, of the picture times the sensitivity of
    each coil.

    (F S_c x)(k), scaled by 1 / sqrt(H W), as two channels (real, imaginary) per coil: M = (2 coils, H, W). Real
    pictures (one channel) stay real: A^T takes the real part. Rows may bring their own maps in cond["coils"], (2 coils,
    H, W), real and imaginary by turns. One coil of sensitivity 1, which is the default, is an isometry: A^T A = I.
    Source: the layout of fastMRI (arXiv 1811.08839) after its ifftshift and fftshift.
    """

    name = "fourier"
    per_row = frozenset({"coils"})
    orthonormal = True

    coils: int = Field(1, ge=1)
    """Coils of rows that bring no maps: smooth made-up maps around the picture, of unit sum of squares, so that A^T A =
    I."""
    real: bool = False
    """Whether rows are real pictures of one channel, not complex ones of two."""

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(B, 1 or 2, H, W) to (B, 2 coils, H, W)."""
        if x.ndim != 4 or x.shape[1] != 2 - self.real:
            raise InputError(
                f"operator fourier: rows of shape {tuple(x.shape[1:])}: "
                + (
                    "with real: true they are pictures of one channel"
                    if self.real
                    else "complex rows are two channels (real, imaginary); for real pictures of one channel give real: "
                    "true"
                )
            )
        picture = as_complex(x) if x.shape[1] == 2 else torch.complex(x[:, 0], torch.zeros_like(x[:, 0])).unsqueeze(1)
        seen = picture * self._maps(x, given)
        return as_pairs(_centred(torch.fft.fft2, seen))

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(B, 2 coils, H, W) to (B, 2, H, W), or (B, 1, H, W) for real pictures."""
        maps = self._maps(y, given)
        if y.ndim != 4 or y.shape[1] != 2 * maps.shape[1]:
            brought = "the rows bring maps of" if "coils" in given else "the operator is made for"
            raise InputError(
                f"operator fourier: measurements of shape {tuple(y.shape[1:])} are {y.shape[1] // 2} coils of two "
                f"channels each, and {brought} {maps.shape[1]} (its field coils)"
            )
        pictures = _centred(torch.fft.ifft2, as_complex(y)) * maps.conj()
        both = as_pairs(pictures.sum(1, keepdim=True))
        return both[:, :1] if self.real else both

    def _maps(self, like: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """(B or 1, coils, H, W), complex."""
        if "coils" in given:
            return as_complex(given["coils"].to(like))
        height, width = like.shape[-2:]
        if self.coils == 1:
            return torch.ones(1, 1, height, width, dtype=torch.promote_types(like.dtype, torch.complex64)).to(
                like.device
            )
        y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device).reshape(-1, 1)
        x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
        maps = []
        for coil in range(self.coils):
            angle = 2 * math.pi * coil / self.coils
            near = torch.exp(-((y - math.sin(angle)) ** 2 + (x - math.cos(angle)) ** 2) / 2)
            maps.append(torch.polar(near, angle + 0.5 * (y * math.cos(angle) - x * math.sin(angle))))
        stacked = torch.stack(maps).unsqueeze(0)
        return stacked / stacked.abs().square().sum(1, keepdim=True).sqrt()


def as_complex(pairs: Tensor) -> Tensor:
    """(B, 2 c, H, W), real and imaginary by turns, to complex (B, c, H, W)."""
    return torch.complex(pairs[:, 0::2].contiguous(), pairs[:, 1::2].contiguous())


def as_pairs(values: Tensor) -> Tensor:
    """Complex (B, c, H, W) to (B, 2 c, H, W), real and imaginary by turns; the inverse of `as_complex`."""
    return torch.stack([values.real, values.imag], dim=2).flatten(1, 2)


def _centred(transform, values: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    axes = (-2, -1)
    return torch.fft.fftshift(transform(torch.fft.ifftshift(values, dim=axes), norm="ortho"), dim=axes)
