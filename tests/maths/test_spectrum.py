"""The power spectrum: white noise is flat at its variance, a wave is in its band, and noise is taken off unbiased."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.maths.spectrum import spectrum


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 2**31))
def test_all_frequencies_together_hold_the_variance(high, wide, seed):
    """Parseval: the mean over all frequencies but 0 of |F|^2 / (H W) is the mean square about each picture's mean."""
    x = torch.randn(3, 2, high, wide, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    power = torch.fft.fft2(x, norm="ortho").abs().square()
    power[..., 0, 0] = 0
    about = (x - x.mean((2, 3), keepdim=True)).square().sum((2, 3))
    torch.testing.assert_close(power.sum((2, 3)), about)


def test_white_noise_is_flat_and_is_taken_off():
    """400 pictures: each band within 5 of its standard errors (chance of a false alarm 1e-5 for 16 bands)."""
    x = 0.3 * torch.randn(400, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = spectrum(x)
    assert all(abs(power - 0.09) < 5 * error for power, error in zip(found.power, found.error))
    assert all(abs(power) < 5 * error for power, error in zip(found.less(0.09).power, found.error))
    assert any(abs(power) > 5 * error for power, error in zip(found.less(0.08).power, found.error))


def test_a_wave_is_in_its_band():
    place = torch.arange(32.0, dtype=torch.float64)
    x = torch.stack([torch.cos(2 * math.pi * (8 / 32) * place + phase).expand(32, 32) for phase in range(4)])[:, None]
    found = spectrum(x)
    best = max(zip(found.power, found.frequency))[1]
    assert abs(best - 0.25) <= 1 / 64 + 1e-9
    assert sum(power > 1e-12 for power in found.power) == 1


def test_narrow_pictures_leave_out_empty_bands():
    found = spectrum(torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(1)))
    assert len(found.frequency) < 16
    assert all(math.isfinite(value) for value in (*found.power, *found.error))
