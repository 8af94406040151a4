"""The objective `sure`: its value is the risk, its gradient that of the risk, and it needs no clean data."""

from __future__ import annotations

import dataclasses

import torch

from ambientkit.builtin.checks.stationarity import Stationarity
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.weights import edm_weight
from ambientkit.verification import Verdict, make_case, run_check


def test_sure_is_stationary_at_the_oracle():
    case = make_case(Gaussian(sigma_n=(0.1, 0.4)), 0)
    assert run_check(Stationarity(), Sure(), case, 1e-4).verdict is Verdict.PASSED


def test_the_value_is_the_error_against_the_clean_point():
    """For D = .8 x, which is wrong: over 20,000 rows the mean value is within 5 standard errors of the true risk, and
    not of one 5 % off."""
    case, n, sigma_n = make_case(Gaussian(sigma_n=0.3), 0), 20_000, 0.3
    batch = case.observe(n, keyed_generator(0, "b"))
    tools = dataclasses.replace(case.tools, generator=keyed_generator(0, "o"))
    term = Sure().loss(lambda x, sigma: 0.8 * x, batch, tools)["sure"]
    second_moment = batch.x_n.square().mean() - sigma_n**2
    risk = (0.2**2 * second_moment + 0.8**2 * sigma_n**2) * edm_weight(term.sigma[:1], tools.signal.sigma_data)[0]
    error = term.value.std() / n**0.5
    assert abs(term.value.mean() - risk) < 5 * error
    assert abs(term.value.mean() - 1.05 * risk) > 5 * error


def test_clean_rows_are_left_out():
    case = make_case(Gaussian(sigma_n=0.3), 0)
    batch = case.observe(8, keyed_generator(0, "b"))
    tools = dataclasses.replace(case.tools, generator=keyed_generator(0, "o"))
    mixed = batch._replace(sigma_n=torch.where(torch.arange(8) < 5, 0.0, batch.sigma_n))
    assert len(Sure().loss(case.oracle, mixed, tools)["sure"].value) == 3
    assert len(Sure().loss(case.oracle, batch._replace(sigma_n=0 * batch.sigma_n), tools)["sure"].value) == 0
