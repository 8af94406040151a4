"""The microscope: its optics against a numerical model of the lens, and every check of the corruption."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ambientkit_microscope import Microscope, Optics, register_corruptions
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import j1, jn_zeros
from sklearn.datasets import load_digits

import ambientkit as ak
from ambientkit.maths.randomness import keyed_generator
from ambientkit.testing import parametrize_with_checks


@parametrize_with_checks([Microscope()])
def test_the_corruption_keeps_what_it_claims(part, check):
    check(part)


def test_the_transfer_function_of_the_lens_is_that_of_the_airy_pattern():
    """Fine pixels: A point becomes (2 J_1(v) / v)^2, v = 2 pi NA r / wavelength, up to periods and rounding."""
    optics, n = Optics(wavelength=500, aperture=0.5, pixel=50), 256
    transfer = optics.transfer(n, n)
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    lens = transfer / (torch.sinc(f).unsqueeze(1) * torch.sinc(torch.fft.rfftfreq(n, dtype=torch.float64)))
    psf = torch.fft.fftshift(torch.fft.irfft2(lens, s=(n, n))).numpy()
    y, x = np.mgrid[:n, :n] - n // 2
    v = 2 * np.pi * 0.5 / 500 * 50 * np.hypot(y, x)
    airy = np.divide(2 * j1(v), v, out=np.ones_like(v), where=v > 0) ** 2
    near = np.hypot(y, x) < 40
    assert np.abs(psf / psf.max() - airy)[near].max() < 2e-3
    first_dark_ring = jn_zeros(1, 1)[0] / (2 * np.pi) * 500 / 0.5  # 0.61 wavelength / NA, nm
    assert first_dark_ring == pytest.approx(0.61 * 500 / 0.5, rel=1e-3)
    assert psf[n // 2, n // 2 + round(first_dark_ring / 50)] < 2e-3 * psf.max()


@given(
    st.floats(300, 800),
    st.floats(0.1, 1.5),
    st.floats(50, 500),
    st.integers(4, 9),
    st.integers(4, 9),
    st.integers(0, 9),
)
def test_the_operator_is_its_own_transpose_and_keeps_the_mean(wavelength, aperture, pixel, height, width, seed):
    optics = Optics(wavelength=wavelength, aperture=aperture, pixel=pixel)
    x, y = torch.randn(2, 1, 1, height, width, dtype=torch.float64, generator=keyed_generator(seed, "pictures"))
    left, right = (optics.forward(x, {}) * y).sum(), (x * optics.adjoint(y, {})).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-9, abs=1e-12)
    assert float(optics.forward(x, {}).mean()) == pytest.approx(float(x.mean()), rel=1e-9, abs=1e-12)


def test_what_the_aperture_stops_is_named_and_refused():
    x_0 = torch.rand(8, 1, 8, 8, generator=keyed_generator(0, "pictures"))
    fine = Microscope(aperture=0.3, pixel=325)  # stops at 0.375 cycles per pixel
    batch = fine.observe(x_0, torch.arange(8), keyed_generator(0, "noise"))
    assert "measured in no row" in fine.unseen(batch)
    assert "at frequencies (vertical, horizontal) (2, -3)" in fine.unseen(batch)  # |f| = 0.45 cycles per pixel
    assert Microscope().unseen(batch) == ""
    assert Microscope(aperture=0.3, allow_unseen=True).unseen(batch) == ""


@pytest.mark.slow
def test_it_trains_and_restores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corruption = Microscope(sigma_n=0.05)
    options = {"model": {"name": "mlp", "width": 128}, "objective": "tweedie", "batch_size": 128}
    run = ak.train("digits", corruption=corruption, end_step=150, skip_preflight=True, output_dir="run", **options)
    x_0 = (torch.from_numpy(load_digits().images[:64]).float() / 8 - 1).unsqueeze(1)
    x_n = corruption.observe(x_0, torch.arange(64), keyed_generator(5, "new")).x_n
    mean, shown = run.restore(x_n, sigma_n=0.05, draws=0).mean, corruption.operator.adjoint(x_n, {})
    assert float((mean - x_0).square().mean()) < 0.9 * float((shown - x_0).square().mean())  # what the network is shown


def test_the_hook_returns_the_corruption():
    assert register_corruptions() == [Microscope]
    assert math.isclose(float(Optics().transfer(8, 8)[0, 0]), 1.0)
