"""What an objective asks of any corruption: how much of x_0 a value of x_n tells, which a mask may make nothing."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Corruption, Signal, Tools
from ambientkit.maths.ambient import tweedie_coefficients
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator


class Masked(Corruption):
    """Noise, and every second value lost: put to 0."""

    name = "masked"

    def _mask(self, like):
        return (torch.arange(like.shape[1]) % 2 == 0).to(like.dtype).expand_as(like)

    def observe(self, x_0, row, generator):
        noisy = Gaussian().observe(x_0, row, generator)
        return noisy._replace(x_n=noisy.x_n * self._mask(x_0))

    def degrade(self, batch, sigma, generator):
        return Gaussian().degrade(batch, sigma, generator)

    def expect(self, x_0_hat, view, batch):
        return self._mask(x_0_hat) * Gaussian().expect(x_0_hat, view, batch)

    def floor(self, batch):
        return Gaussian().floor(batch)


def rows(n=6, dtype=torch.float64):
    generator = keyed_generator(0, "rows")
    x_n = torch.randn(n, 4, generator=generator, dtype=dtype)
    return Batch(x_n, torch.rand(n, 4, generator=generator, dtype=dtype) * 0.5, torch.arange(n), {})


@given(sigma=st.floats(0.5, 80), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_slope_of_gaussian_noise_is_a_to_the_last_bit(sigma, dtype):
    batch = rows(dtype=dtype)
    view = View(batch.x_n * 1e6, torch.full((6,), sigma, dtype=dtype), {})
    a, _ = tweedie_coefficients(per_row(view.sigma, view.x), batch.sigma_n)
    assert torch.equal(Gaussian().slope(view, batch), a)


def test_the_slope_of_a_mask_is_0_where_it_hides():
    batch = rows()
    slope = Masked().slope(View(batch.x_n, torch.full((6,), 0.7, dtype=torch.float64), {}), batch)
    assert (slope[:, 1::2] == 0).all()
    assert (slope[:, ::2] > 0).all()


def test_tweedie_learns_nothing_of_values_that_a_mask_hides():
    corruption, x_0 = Masked(), torch.randn(8, 4, generator=keyed_generator(1, "x"), dtype=torch.float64)
    batch = corruption.observe(x_0, torch.arange(8), keyed_generator(2, "n"))
    guess = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    tools = Tools(corruption, Ancestral(), lambda x, sigma, /, **cond: x, Signal((4,), 0.5), keyed_generator(3, "o"))
    term = Tweedie(near=0).loss(lambda x, sigma, /, **cond: guess.expand_as(x), batch, tools)["tweedie"]
    term.value.mean().backward()
    assert term.value.isfinite().all()
    assert (guess.grad[1::2] == 0).all()
    assert (guess.grad[::2] != 0).all()
