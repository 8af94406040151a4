"""min-SNR in the scale of x_0 is the published weight of networks that answer with the noise or with v."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.interfaces import Levels, Signal, Tools
from ambientkit.maths.forms import to_x_0
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.weights import min_snr_weight


@given(st.floats(1e-3, 1e3), st.floats(0.1, 30), st.floats(-3, 3), st.floats(-3, 3))
def test_it_is_the_published_weight_whatever_the_network_answers_with(sigma, gamma, answer, other):
    level = torch.tensor([sigma], dtype=torch.float64)
    x, first, second = (torch.tensor([[value]], dtype=torch.float64) for value in (0.7, answer, other))
    snr = 1 / level**2
    capped = torch.clamp(snr, max=gamma)
    for form, published in (("eps", capped / snr), ("v", capped / (snr + 1)), ("x_0", capped)):
        moved = (to_x_0(first, x, level, form) - to_x_0(second, x, level, form)).square().squeeze(1)
        right = published * (first - second).square().squeeze(1)
        torch.testing.assert_close(min_snr_weight(level, 1.0, gamma) * moved, right, rtol=1e-9, atol=1e-12)


def test_tweedie_takes_it_on_the_scale_of_x_0():
    g = keyed_generator(0, "rows")
    batch = Batch(torch.randn(64, 3, generator=g), torch.zeros(64), torch.arange(64), {})

    def loss(part, by):
        tools = Tools(
            Gaussian(sigma_n=0.0), Ancestral(), lambda x, s: x, Signal((3,), 0.5), keyed_generator(1, "t"), Levels()
        )
        return part.loss(lambda x, sigma: 0.3 * x + by, batch, tools)["tweedie"]

    part = Tweedie(weighting="min-snr", snr_gamma=3.0)
    assert "x_0-scale" not in part.claims
    assert "x_0-scale" in Tweedie().claims
    down, here, up = (loss(part, by) for by in (-1.0, 0.0, 1.0))
    cost = (down.value + up.value) / 2 - here.value
    torch.testing.assert_close(cost, min_snr_weight(here.sigma, 0.5, 3.0), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(("sigma", "sigma_data", "gamma"), [(0.0, 1.0, 5.0), (1.0, 0.0, 5.0), (1.0, 1.0, 0.0)])
def test_numbers_that_are_not_positive_are_refused(sigma, sigma_data, gamma):
    with pytest.raises(ValueError, match="needs sigma > 0"):
        min_snr_weight(torch.tensor([sigma]), sigma_data, gamma)
