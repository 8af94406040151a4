"""k-diffusion's networks on rows that are seen in part: the mask is a channel, and what it hides is not read."""

from __future__ import annotations

import pytest
import torch
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1
from torch import Generator

import ambientkit as ak
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal
from ambientkit.sample.draw import draw_all, step_grid
from ambientkit.sample.partial import under_masks

SHAPE = (3, 8, 8)
MODELS = [ImageV1(depths=(1, 1), channels=(32, 32)), ImageTransformerV1(depth=1, patch_size=4)]
both = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@both
def test_what_the_mask_hides_is_not_read_and_the_mask_is(model, built, rows) -> None:
    signal = Signal(SHAPE, 0.5, {"mask": (1, 8, 8)})
    network = built(model, signal)
    denoiser = model.denoiser(network, signal)
    x, sigma = rows(SHAPE, 4)
    mask = torch.rand(4, 1, 8, 8, generator=Generator().manual_seed(0)) < 0.6
    x.requires_grad_()
    answer = denoiser(x, sigma, mask=mask)
    assert answer.shape == x.shape
    with torch.no_grad():
        assert torch.equal(answer, denoiser(torch.where(mask, x, 1e6), sigma, mask=mask))
        assert not torch.equal(answer, denoiser(torch.where(mask, x, 0), sigma, mask=torch.ones_like(mask)))
    answer.square().sum().backward()
    hidden = ~mask.expand_as(x)
    assert bool((x.grad[hidden] == 0).all())
    assert bool((x.grad[~hidden] != 0).any())
    # Channels of masks come out as well, and no loss reaches them: every parameter is reached all the same.
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@both
def test_measurements_bring_their_mask_as_channels_and_one_that_does_not_fit_is_refused(model, built, rows) -> None:
    signal = Signal((2, 8, 8), 0.5, {"sampled": (1, 8, 8), "measured": (2, 8, 8)})
    denoiser = model.denoiser(built(model, signal), signal)
    x, sigma = rows((2, 8, 8), 4)
    sampled = torch.rand(4, 1, 8, 8, generator=Generator().manual_seed(0)) < 0.6
    with torch.no_grad():
        one = denoiser(x, sigma, sampled=sampled, measured=x)
        assert torch.equal(one, denoiser(x, sigma, sampled=sampled, measured=2 * x))  # A^T y says it all
        assert not torch.equal(one, denoiser(x, sigma, sampled=~sampled, measured=x))
    with pytest.raises(InputError, match="does not lie over pictures"):
        model.network(Signal(SHAPE, 0.5, {"mask": (1, 4, 8)}))


@both
def test_masked_rows_are_trained_on_and_sampled(model, rows) -> None:
    clean = rows(SHAPE, 32)[0].clamp(-1, 1).numpy()
    config = ak.configure(
        clean,
        clean=True,
        corruption={"name": "mask", "missing": 0.3, "sigma_n": 0.1},
        objective="tweedie",
        model=model,
        end_step=2,
        batch_size=8,
    )
    training = ak.build(config)
    before = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    for _ in ak.steps(training):
        pass
    assert any(not torch.equal(before[name], p) for name, p in training.network.named_parameters())
    levels = Levels(0.01, 20.0)
    denoiser, cond = under_masks(training.teacher, Mask(missing=0.3), training.signal, levels, range(2), 2, 0)
    drawn = draw_all(denoiser, Heun(), SHAPE, 2, sigmas=step_grid(3, levels), seed=0, cond=cond)
    assert drawn.isfinite().all()
