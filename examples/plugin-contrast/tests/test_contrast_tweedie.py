"""What the objective does: levels below the noise, and a bias for a law of one contrast, as its page says."""

from __future__ import annotations

import dataclasses

import torch
from ambientkit_contrast_tweedie import ContrastTweedie

import ambientkit as ak
from ambientkit.builtin.checks.outcome import mean_zero
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.verification import Verdict, case_for, make_case


def gradients(law: GaussianMixture) -> torch.Tensor:
    """(60, 2), mean gradients at the exact denoiser of a law in two directions, constant and linear."""
    part = ContrastTweedie(fraction=1.0, least=0.5)
    case = make_case(case_for(part).tools.corruption, 0, mixture=law)
    found = []
    for index in range(60):
        theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        batch = case.observe(256, keyed_generator(0, "contrast.rows", step=index))
        tools = dataclasses.replace(case.tools, generator=keyed_generator(0, "contrast", step=index), memory={})

        def pushed(x, sigma, /, theta=theta):
            return case.oracle(x, sigma) + sigma.unsqueeze(1) * (theta[0] + theta[1] * x)

        value = part.loss(pushed, batch, tools)["contrast"]
        assert bool((value.sigma <= case.tools.corruption.floor(batch)).all())
        found.append(torch.autograd.grad(value.value.mean(), theta)[0])
    return torch.stack(found)


def test_levels_lie_below_the_noise_and_a_law_of_one_contrast_is_biased() -> None:
    two = GaussianMixture([0.5, 0.5], [[-1.0, -1.0], [1.0, 1.0]], [[[0.01, 0.0], [0.0, 0.01]]] * 2)
    assert mean_zero(gradients(two)).p_value < 1e-6


def test_it_claims_nothing_of_its_minimum() -> None:
    assert "stationary-at-oracle" not in ContrastTweedie.claims


def test_verify_passes_what_it_claims_so_that_it_can_be_trained_with() -> None:
    part = ContrastTweedie()
    results = ak.verify(part, quick=True).results
    assert results
    assert [str(one) for one in results if one.verdict is not Verdict.PASSED] == []
