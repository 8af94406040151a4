"""diffusers' U-Net on rows that are seen in part: the mask is a channel, and what it hides is not read."""

from __future__ import annotations

import pytest
import torch
from ambientkit_diffusers.unet2d import UNet2D
from torch import Generator

import ambientkit as ak
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal
from ambientkit.sample.draw import draw_all, step_grid
from ambientkit.sample.partial import under_masks

SHAPE = (3, 8, 8)
MODEL = UNet2D(channels=(64, 64), layers_per_block=1)


def test_what_the_mask_hides_is_not_read_and_the_mask_is(drawn) -> None:
    signal = Signal(SHAPE, 0.5, {"mask": (1, 8, 8)})
    network = drawn(MODEL, signal).requires_grad_(True)
    denoiser = MODEL.denoiser(network, signal)
    x, sigma = torch.randn(4, *SHAPE, generator=Generator().manual_seed(1)), torch.linspace(0.1, 5.0, 4)
    mask = torch.rand(4, 1, 8, 8, generator=Generator().manual_seed(0)) < 0.6
    x.requires_grad_()
    answer = denoiser(x, sigma, mask=mask)
    with torch.no_grad():
        assert torch.equal(answer, denoiser(torch.where(mask, x, 1e6), sigma, mask=mask))
        assert not torch.equal(answer, denoiser(torch.where(mask, x, 0), sigma, mask=torch.ones_like(mask)))
    answer.square().sum().backward()
    hidden = ~mask.expand_as(x)
    assert bool((x.grad[hidden] == 0).all())
    assert bool((x.grad[~hidden] != 0).any())
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert bool((network.conv_in.weight.grad[:, 3:] != 0).any())  # the channel of the mask


def test_measurements_bring_their_mask_as_channels_and_one_that_does_not_fit_is_refused(drawn) -> None:
    signal = Signal((2, 8, 8), 0.5, {"sampled": (1, 8, 8), "measured": (2, 8, 8)})
    denoiser = MODEL.denoiser(drawn(MODEL, signal), signal)
    x, sigma = torch.randn(4, 2, 8, 8, generator=Generator().manual_seed(1)), torch.linspace(0.1, 5.0, 4)
    sampled = torch.rand(4, 1, 8, 8, generator=Generator().manual_seed(0)) < 0.6
    one = denoiser(x, sigma, sampled=sampled, measured=x)
    assert torch.equal(one, denoiser(x, sigma, sampled=sampled, measured=2 * x))  # A^T y says it all
    assert not torch.equal(one, denoiser(x, sigma, sampled=~sampled, measured=x))
    with pytest.raises(InputError, match="does not lie over pictures"):
        MODEL.network(Signal(SHAPE, 0.5, {"mask": (1, 4, 8)}))


def test_masked_rows_are_trained_on_and_sampled() -> None:
    clean = torch.randn(32, *SHAPE, generator=Generator().manual_seed(1)).clamp(-1, 1).numpy()
    config = ak.configure(
        clean,
        clean=True,
        corruption={"name": "mask", "missing": 0.3, "sigma_n": 0.1},
        objective="tweedie",
        model=MODEL,
        end_step=2,
        batch_size=8,
    )
    training = ak.build(config)
    before = training.network.conv_in.weight.detach().clone()
    for _ in ak.steps(training):
        pass
    assert bool((training.network.conv_in.weight[:, 3:] != before[:, 3:]).any())
    levels = Levels(0.01, 20.0)
    denoiser, cond = under_masks(training.teacher, Mask(missing=0.3), training.signal, levels, range(2), 2, 0)
    assert draw_all(denoiser, Heun(), SHAPE, 2, sigmas=step_grid(3, levels), seed=0, cond=cond).isfinite().all()
