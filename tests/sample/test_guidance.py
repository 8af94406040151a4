"""Guidance, where the denoisers with and without a condition are known in closed form."""

from __future__ import annotations

import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample import draw, draw_all, restore, step_grid
from ambientkit.sample.guidance import Guided

LEVELS = Levels(0.01, 10.0)
NONE = 2
CENTRES, SPREAD = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64), 0.3
EACH = [GaussianMixture([1.0], centre[None], SPREAD**2 * torch.eye(2)[None]) for centre in CENTRES]
BOTH = GaussianMixture([0.5, 0.5], CENTRES, SPREAD**2 * torch.eye(2).expand(2, 2, 2))
NULL = {"label": torch.tensor(NONE)}


class Counted:
    """The exact denoiser of a mixture of two classes: of one where a row has a label, of both where it has that of
    none."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x, sigma, /, label):
        self.calls += 1
        answers = torch.stack([law.posterior_mean(x, sigma) for law in (*EACH, BOTH)])
        return answers[label, torch.arange(len(x))].to(x.dtype)


def without(x, sigma, /):
    return BOTH.posterior_mean(x, sigma).to(x.dtype)


def points(denoiser, sampler, n=6, **more):
    sigmas = step_grid(8, LEVELS)
    found = torch.cat(list(draw(denoiser, sampler, (2,), n, sigmas=sigmas, seed=3, **more)))
    assert torch.equal(draw_all(denoiser, sampler, (2,), n, sigmas=sigmas, seed=3, **more), found)
    return found


LABELS = {"label": torch.arange(6) % 2}


@pytest.mark.parametrize("w", [-0.5, 0.0, 0.3, 1.0, 2.5])
def test_the_formula_is_that_of_the_two_exact_denoisers(w):
    x = torch.randn(6, 2, generator=keyed_generator(0, "x"), dtype=torch.float64)
    sigma = torch.linspace(0.1, 3, 6, dtype=torch.float64)
    found = Guided(Counted(), w, NULL)(x, sigma, **LABELS)
    conditional = torch.stack(
        [EACH[k].posterior_mean(x[i : i + 1], sigma[i : i + 1])[0] for i, k in enumerate(LABELS["label"].tolist())]
    )
    expected = (1 - w) * BOTH.posterior_mean(x, sigma) + w * conditional
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sampler", [Heun(), StochasticHeun(), Ancestral()], ids=lambda part: part.name)
def test_weight_1_is_the_plain_path_to_the_bit_and_in_as_many_calls_and_weight_0_is_without_condition(sampler):
    plain, one, none = Counted(), Counted(), Counted()
    expected = points(plain, sampler, cond=LABELS)
    assert torch.equal(points(one, sampler, cond=LABELS, guidance=1), expected)
    assert one.calls == plain.calls
    assert torch.equal(points(none, sampler, cond=LABELS, guidance=0, null=NULL), points(without, sampler))
    assert none.calls == plain.calls
    two = Counted()
    pushed = points(two, sampler, cond=LABELS, guidance=2, null=NULL)
    assert two.calls == 2 * plain.calls
    assert not torch.allclose(pushed, expected)


def test_guidance_of_gaussians_is_a_known_gaussian():
    """Of one Gaussian each, N(m, s^2) with and N(0, t^2) without condition, the guided denoiser is affine, and so the
    samples of Heun's rule are Gaussian: the same affine maps, applied by hand, give them. The control: they differ from
    those of another weight."""
    m, s, t, w = 0.7, 0.3, 0.5, 1.8

    def denoiser(x, sigma, /, on):
        level = sigma[:, None].to(x.dtype) ** 2
        conditional, unconditional = m + s**2 / (s**2 + level) * (x - m), t**2 / (t**2 + level) * x
        return torch.where(on[:, None] > 0, conditional, unconditional)

    def by_hand(w):
        def one(x, sigma, /):
            level = sigma[:, None].to(x.dtype) ** 2
            slope = (1 - w) * t**2 / (t**2 + level) + w * s**2 / (s**2 + level)
            return slope * x + w * m * level / (s**2 + level)

        return points(one, Heun())

    found = points(denoiser, Heun(), cond={"on": torch.ones(6)}, guidance=w, null={"on": torch.tensor(0.0)})
    torch.testing.assert_close(found, by_hand(w), rtol=1e-4, atol=1e-4)
    assert float((found - by_hand(1.0)).abs().max()) > 0.05


def test_restored_rows_are_guided_in_every_call():
    x_n = torch.randn(4, 2, generator=keyed_generator(0, "x"), dtype=torch.float64)
    cond = {"label": torch.tensor([0, 1, 0, 1])}
    batch = Batch(x_n, torch.full((4,), 0.4, dtype=torch.float64), torch.arange(4), cond)
    asked = {"draws": 2, "steps": 4, "seed": 1}

    def found(denoiser, batch=batch, **more):
        return restore(denoiser, batch, Gaussian(), StochasticHeun(), LEVELS, **asked, **more)

    plain = found(Counted())
    again = found(Counted(), guidance=1.0)
    assert torch.equal(plain.draws, again.draws)
    assert torch.equal(plain.mean, again.mean)
    none, expected = found(Counted(), guidance=0, null=NULL), found(without, batch._replace(cond={}))
    assert torch.equal(none.draws, expected.draws)
    assert torch.equal(none.mean, expected.mean)
    pushed = found(Counted(), guidance=2, null=NULL)
    torch.testing.assert_close(pushed.mean, 2 * plain.mean - none.mean)
    assert not torch.allclose(pushed.draws, plain.draws)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"guidance": 2.0, "cond": LABELS}, "needs to know what stands for no condition in label"),
        ({"guidance": 2.0, "null": NULL}, "needs conditions to be guided by"),
        ({"guidance": float("nan"), "cond": LABELS, "null": NULL}, "should be a number"),
    ],
)
def test_guidance_that_cannot_be_is_refused(more, match):
    with pytest.raises(InputError, match=match):
        points(Counted(), Heun(), **more)
