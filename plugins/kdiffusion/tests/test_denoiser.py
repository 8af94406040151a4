"""AmbientDenoiser in the place of k-diffusion's Denoiser: the calls of its training script, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from ambientkit_kdiffusion import AmbientDenoiser
from ambientkit_kdiffusion.library import k_diffusion
from torch import Tensor, nn

from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

SIGMA_N, TAU = 0.5, 1.0
LINE = Callable[[nn.Module, nn.Module], nn.Module]


class Linear(nn.Module):
    """An inner network F(x, sigma) = (g_0 + g_1 sigma / sqrt(sigma^2 + 1)) x.

    Under k-diffusion's preconditioning with sigma_data = tau, D is exact for x_0 ~ N(0, tau^2) where both g are 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([0.4, -0.4]))

    def forward(self, x: Tensor, sigma: Tensor, aug_cond: Tensor | None = None) -> Tensor:
        level = (sigma / (sigma**2 + 1).sqrt())[:, None, None, None]
        return x * (self.gain[0] + self.gain[1] * level)


def config(**model: object) -> dict[str, Any]:
    """A configuration of k-diffusion for 4 x 4 pictures, with its own defaults."""
    own = {"type": "image_v1", "input_channels": 1, "input_size": [4, 4], "patch_size": 1, "mapping_out": 16}
    own |= {"depths": [1], "channels": [16], "self_attn_depths": [False], "augment_prob": 0.0, "loss_config": "karras"}
    own |= {"sigma_data": TAU, "sigma_min": 0.01, "sigma_max": 20.0}
    own |= {"sigma_sample_density": {"type": "lognormal", "mean": -0.7, "std": 1.1}}
    return k_diffusion().config.load_config(
        {"model": own | model, "dataset": {"type": "custom", "location": "rows.py"}}
    )


@pytest.fixture(autouse=True)
def _keyed() -> Iterator[None]:
    with isolated_global_generator(3, "test"):
        yield


@pytest.fixture(scope="module")
def rows() -> Tensor:
    return (TAU**2 + SIGMA_N**2) ** 0.5 * torch.randn(4096, 1, 4, 4, generator=keyed_generator(0, "rows"))


def script(line: LINE, rows: Tensor, steps: int) -> tuple[nn.Module, nn.Module]:
    """The calls of k-diffusion's train.py in its order, with `line` for the one that makes the model; returns the model
    and the averaged one that it samples from."""
    K, stated, accelerator = k_diffusion(), config(), Accelerator(cpu=True)
    inner = Linear()
    inner_ema = deepcopy(inner)
    opt = torch.optim.AdamW(inner.parameters(), lr=0.02)
    ema_sched = K.utils.EMAWarmup(power=0.75, max_value=0.98)
    inner, inner_ema, opt = accelerator.prepare(inner, inner_ema, opt)
    sample_density = K.config.make_sample_density(stated["model"])
    model = line(inner, inner_ema)
    model_ema = K.config.make_denoiser_wrapper(stated)(inner_ema)
    for step in range(steps):
        with accelerator.accumulate(model):
            reals = rows[(step * 256) % len(rows) :][:256]
            noise = torch.randn_like(reals)
            with K.utils.enable_stratified_accelerate(accelerator):
                sigma = sample_density([reals.shape[0]], device="cpu")
            with K.models.checkpointing(False):
                losses = model.loss(reals, noise, sigma, aug_cond=torch.zeros(len(reals), 9))
            assert accelerator.gather(losses).shape == (len(reals),)
            accelerator.backward(losses.mean())
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            opt.zero_grad()
            K.utils.ema_update(model, model_ema, ema_sched.get_value())
            ema_sched.step()
    return model, model_ema


def test_the_script_with_one_line_changed_learns_the_clean_denoiser(rows: Tensor) -> None:
    stated = config()
    _, learned = script(
        lambda inner, ema: AmbientDenoiser.from_config(stated, inner, SIGMA_N, ema=ema, end_step=250), rows, 250
    )
    _, naive = script(lambda inner, ema: k_diffusion().config.make_denoiser_wrapper(stated)(inner), rows, 250)

    def error(model: nn.Module) -> float:
        x_0 = TAU * torch.randn(2000, 1, 4, 4, generator=keyed_generator(1, "test"))
        x = x_0 + 0.25 * torch.randn(x_0.shape, generator=keyed_generator(2, "test"))  # half of sigma_n
        exact = x * TAU**2 / (TAU**2 + 0.25**2)
        with torch.no_grad():
            return float((model(x, torch.full((2000,), 0.25)) - exact).square().mean())

    assert error(learned) < 0.1 * error(naive)


def test_the_model_samples_in_k_diffusion_and_keeps_the_state_of_its_denoiser() -> None:
    K, inner = k_diffusion(), Linear()
    plain, ambient = K.Denoiser(inner, sigma_data=TAU), AmbientDenoiser(inner, SIGMA_N, sigma_data=TAU, ema=Linear())
    assert plain.state_dict().keys() == ambient.state_dict().keys()
    assert [name for name, _ in ambient.named_parameters()] == [name for name, _ in plain.named_parameters()]
    x = 20 * torch.randn(8, 1, 4, 4)
    sigmas = K.sampling.get_sigmas_karras(5, 0.01, 20.0)
    with torch.no_grad():
        samples = [K.sampling.sample_heun(model, x, sigmas, disable=True) for model in (plain, ambient)]
    assert torch.equal(*samples)


def test_the_mean_of_the_values_is_the_loss_of_the_objective(rows: Tensor) -> None:
    terms: list[dict[str, Any]] = [{"objective": "tweedie", "weight": 2.0}]
    terms.append({"objective": {"name": "tweedie", "fraction": 0.25}, "weight": 3.0})
    model = AmbientDenoiser(Linear(), SIGMA_N, objective=terms)
    parts = [deepcopy(model), deepcopy(model)]
    for place, part in enumerate(parts):
        part.terms = tuple(
            term.model_copy(update={"weight": float(index == place)}) for index, term in enumerate(part.terms)
        )
    found = []
    for one in (model, *parts):
        with isolated_global_generator(5, "loss"):
            found.append(float(one.loss(rows[:64], rows[:64], torch.ones(64)).mean().detach()))
    assert found[0] == pytest.approx(2 * found[1] + 3 * found[2], rel=1e-5)


def test_noise_follows_torch_s_generator_as_the_script_s_does(rows: Tensor) -> None:
    values = []
    for seed in (1, 1, 2):
        with isolated_global_generator(seed, "loss"):
            values.append(AmbientDenoiser(Linear(), SIGMA_N).loss(rows[:32], rows[:32], torch.ones(32)))
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_levels_density_and_weighting_are_those_of_the_configuration(rows: Tensor) -> None:
    made = AmbientDenoiser.from_config(config(loss_weighting="snr"), Linear(), SIGMA_N)
    assert made.levels == Levels(0.01, 20.0)
    assert made.sigma_data == TAU
    tweedie = made.terms[0].objective
    assert isinstance(tweedie, Tweedie)
    assert (tweedie.p_mean, tweedie.p_std) == (-0.7, 1.1)
    seen: list[Tensor] = []
    given = made.weighting
    made.weighting = lambda sigma: (seen.append(sigma), given(sigma))[1]
    made.loss(rows[:64], rows[:64], torch.ones(64))
    assert seen[0].min() >= SIGMA_N
    assert seen[0].max() <= 20.0


def test_consistency_begins_at_its_share_of_the_run(rows: Tensor) -> None:
    model = AmbientDenoiser(Linear(), SIGMA_N, end_step=40)
    calls: list[float] = []
    model.inner_model.register_forward_hook(lambda module, given, out: calls.append(float(given[1].min())))
    below = []
    for _ in range(10):
        calls.clear()
        model.loss(rows[:64], rows[:64], torch.ones(64))
        below.append(min(calls) < SIGMA_N)
    assert below == [False] * 4 + [True, False, False, False, True, False]


def test_noise_by_pixel_is_taken(rows: Tensor) -> None:
    sigma_n = torch.full((1, 4, 4), SIGMA_N)
    with isolated_global_generator(5, "loss"):
        one = AmbientDenoiser(Linear(), SIGMA_N, objective="tweedie").loss(rows[:32], rows[:32], torch.ones(32))
    with isolated_global_generator(5, "loss"):
        pixels = AmbientDenoiser(Linear(), sigma_n, objective="tweedie").loss(rows[:32], rows[:32], torch.ones(32))
    torch.testing.assert_close(one, pixels)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"augment_prob": 0.12}, "augment_prob is 0.12: it turns and shifts pictures after the noise"),
        ({"has_variance": True}, "has_variance is True"),
        ({"loss_config": "simple"}, "loss_config is 'simple'"),
        ({"loss_scales": 2}, "loss_scales is 2"),
    ],
)
def test_what_has_no_ambient_form_is_refused(model: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        AmbientDenoiser.from_config(config(**model), Linear(), SIGMA_N)


@pytest.mark.parametrize("sigma_n", [-0.1, float("nan"), 90.0])
def test_a_level_that_is_none_is_refused(sigma_n: float) -> None:
    with pytest.raises(InputError, match="sigma_n should be a noise level"):
        AmbientDenoiser(Linear(), sigma_n)


def test_another_density_of_levels_is_named() -> None:
    density = {"type": "loguniform", "min_value": 0.1, "max_value": 10.0}
    with pytest.warns(UserWarning, match="'loguniform': tweedie draws log-normal levels instead"):
        AmbientDenoiser.from_config(config(sigma_sample_density=density), Linear(), SIGMA_N)
