"""Samples and restored rows of a denoiser that was trained on rows seen in part, where the right answer is known."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from ambientkit.builtin.checks.masked import SHAPE, MaskedReverse, law, masked_denoiser
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal
from ambientkit.sample.draw import draw_all, step_grid
from ambientkit.sample.partial import under_masks
from ambientkit.sample.restore import restore
from ambientkit.sample.suited import draws_of, why_no_samples

LEVELS = Levels(0.01, 20.0)
SIGNAL = Signal(SHAPE, 0.6, {"mask": SHAPE})


@pytest.mark.parametrize("sigma_n", [0.0, 0.3])
def test_masked_rows_are_restored_to_their_posterior_mean_and_measured_values_are_draws(sigma_n: float) -> None:
    mask, n = Mask(missing=0.5, sigma_n=sigma_n), 24
    rows = mask.observe(
        law().sample(n, Generator().manual_seed(0)).reshape(n, *SHAPE), torch.arange(n), Generator().manual_seed(1)
    )
    exact = masked_denoiser(law())
    found = restore(exact, rows, mask, MaskedReverse(mixture=law()), LEVELS, draws=40, steps=2, seed=0)
    level = torch.full((n,), max(sigma_n, LEVELS.sigma_min), dtype=torch.float64)
    view = mask.show(rows, level, Generator())
    if sigma_n:
        assert torch.allclose(found.mean, exact(view.x, level, **view.cond), atol=1e-12)
    assert not bool(found.as_it_is.any())
    # Draws of measured values scatter round their mean: 5.5 standard errors, about 50 values, false alarm 2e-6.
    assert found.std is not None
    seen = rows.cond["mask"]
    off = (found.draws.mean(1) - found.mean)[seen] / (found.std[seen] / 40**0.5 + 1e-3)
    assert float(off.abs().max()) < 5.5
    missing = ~seen & seen.flatten(1).any(1).reshape(-1, 1, 1, 1)
    assert float((found.mean[missing] - 0).abs().max()) > 0.05


def test_a_sample_is_asked_under_a_mask_of_its_own_whatever_its_batch() -> None:
    mask = Mask(missing=0.4)
    denoiser, cond = under_masks(masked_denoiser(law()), mask, SIGNAL, LEVELS, range(6), 2, seed=3)
    _, later = under_masks(masked_denoiser(law()), mask, SIGNAL, LEVELS, range(4, 6), 2, seed=3)
    assert set(cond) == {"mask.0", "mask.1"}
    assert torch.equal(cond["mask.1"][4:], later["mask.1"])
    assert not torch.equal(cond["mask.0"], cond["mask.1"])
    x, sigma = torch.randn(6, *SHAPE, generator=Generator().manual_seed(0)), torch.full((6,), 0.5)
    exact = masked_denoiser(law())
    mean = (exact(x, sigma, mask=cond["mask.0"]) + exact(x, sigma, mask=cond["mask.1"])) / 2
    assert torch.allclose(denoiser(x, sigma, **cond), mean)
    drawn = draw_all(denoiser, StochasticHeun(), SHAPE, 6, sigmas=step_grid(6, LEVELS), seed=3, cond=cond)
    assert drawn.shape == (6, *SHAPE)
    assert bool(drawn.isfinite().all())


def test_a_corruption_that_hides_nothing_is_asked_as_ever_and_an_operator_that_turns_noise_draws_no_samples() -> None:
    from ambientkit.builtin.corruptions.gaussian import Gaussian

    denoiser = masked_denoiser(law())
    assert under_masks(denoiser, Gaussian(), SIGNAL, LEVELS, range(2), 1, 0) == (denoiser, {})
    assert "A^T A = I" in why_no_samples(Linear(), SIGNAL, ())
    kspace = Linear(operator={"name": "fourier", "real": True}, kind="columns", missing=0.3)
    seen: list[torch.Tensor] = []

    def asked(x: torch.Tensor, sigma: torch.Tensor, /, **cond: torch.Tensor) -> torch.Tensor:
        seen.append(cond["sampled"])
        assert torch.allclose(kspace.operator.adjoint(cond["measured"], {}), x, atol=1e-6)
        return x

    assert why_no_samples(kspace, Signal((1, 4, 4), 0.5), ()) == why_no_samples(Mask(), SIGNAL, ()) == ""
    assert "brought coils" in why_no_samples(kspace, Signal((1, 4, 4), 0.5), ("coils",))
    whole, cond = under_masks(asked, kspace, Signal((1, 4, 4), 0.5), LEVELS, range(3), 1, 0)
    whole(torch.randn(3, 1, 4, 4, generator=Generator().manual_seed(0)), torch.full((3,), 0.5), **cond)
    assert seen[0].shape == (3, 1, 4, 4)


def test_measured_rows_have_a_posterior_mean_alone() -> None:
    linear = Linear(sigma_n=0.1)
    rows = linear.observe(torch.zeros(2, 1, 4, 4), torch.arange(2), Generator().manual_seed(0))
    with pytest.raises(InputError, match="give 0 draws"):
        restore(lambda x, sigma, /, **cond: x, rows, linear, StochasticHeun(), LEVELS, draws=1)
    assert [draws_of(None, one) for one in (linear, Mask())] == [0, 8]
    assert draws_of(3, Mask()) == 3
    found = restore(lambda x, sigma, /, **cond: 0 * x + 1, rows, linear, StochasticHeun(), LEVELS, draws=0)
    assert bool((found.mean == 1).all())
