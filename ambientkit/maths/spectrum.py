"""The power spectrum of pictures by spatial frequency, and what noisy rows say of that of clean ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Spectrum(NamedTuple):
    """Power by spatial frequency: mean and standard error over pictures, one value for each band."""

    frequency: tuple[float, ...]
    """Middle of each band, cycles per pixel."""
    power: tuple[float, ...]
    """|F|^2 / (H W), data units squared: white noise of std sigma has sigma^2 in every band."""
    error: tuple[float, ...]

    def less(self, level: float) -> Spectrum:
        """The same without white noise of this variance: E|F(x_n)|^2 = E|F(x_0)|^2 + H W sigma_n^2, as the noise is
        independent of x_0 and has mean 0 (Wiener 1949; unbiased, so that single values may be below 0)."""
        return self._replace(power=tuple(value - level for value in self.power))


def spectrum(pictures: Tensor, bands: int = 16) -> Spectrum:
    """The spectrum of pictures (n, C, H, W), n >= 2, each without its mean (which has no frequency), in bands of equal
    width up to 0.5 cycles per pixel; corners beyond are left out, and bands without a frequency too.

    Channels are averaged. Computed in float64.
    """
    x = pictures.detach().double().cpu()
    high, wide = x.shape[2:]
    power = torch.fft.fft2(x, norm="ortho").abs().square().mean(1).flatten(1)  # (n, H W)
    away = torch.hypot(torch.fft.fftfreq(high).double()[:, None], torch.fft.fftfreq(wide).double()[None]).flatten()
    place = (away * 2 * bands).ceil().long() - 1  # band b holds (b, b + 1] / (2 bands); -1 is the mean
    found = []
    for band in range(bands):
        if (chosen := place == band).any():
            values = power[:, chosen].mean(1)
            found.append(((band + 0.5) / (2 * bands), float(values.mean()), float(values.std() / len(values) ** 0.5)))
    return Spectrum(*(tuple(column) for column in zip(*found)))
