"""Restorations with exact denoisers, under operators and masks that are like none of those built in, against closed
forms of the posterior."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Denoiser, Signal, Tools
from ambientkit.maths.linear_posterior import LinearPosterior
from ambientkit.sample.restore import restore
from tests.support import ROOT
from tests.support.shares import some
from tests.support.strange import NAMES, SIDE, dense, spec

pytestmark = pytest.mark.slow


def _benchmark() -> Any:
    """examples/benchmarks/posterior.py, whose figures docs/masks.md has: the law, its posterior, masks and draws."""
    place = importlib.util.spec_from_file_location("posterior", ROOT / "examples" / "benchmarks" / "posterior.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


EXACT = _benchmark()


def measured(name: str, sigma_n: float, missing: float, n: int, seed: int = 1) -> tuple[Linear, Batch]:
    scanner = Linear(operator=spec(name), sigma_n=sigma_n, missing=missing, drop=0.2, allow_unseen=True)
    generator = torch.Generator().manual_seed(seed)
    x_0 = EXACT.law().sample(n, generator).reshape(n, 1, SIDE, SIDE)
    return scanner, scanner.observe(x_0, torch.arange(n), generator)


def denoiser_of(name: str, off: float = 1.0) -> Denoiser:
    """E[x_0 | A^T y_t, M~]: of what was measured it reads A^T y_t alone. off: times the level, for controls."""
    matrix = torch.from_numpy(dense(name))

    def exact(x: Tensor, sigma: Tensor, /, sampled: Tensor, measured: Tensor, **_: Tensor) -> Tensor:
        shown = sampled.expand_as(measured).flatten(1).double().unsqueeze(2) * matrix
        found = LinearPosterior(EXACT.law(), shown.mT @ shown, x.flatten(1), off * sigma)
        return found.mean().reshape(x.shape).to(x.dtype)

    return exact


def of_row(name: str, batch: Batch, row: int, sigma: float) -> Any:
    """The exact posterior given the measurements that a row has."""
    seen = batch.cond["sampled"][row].expand_as(batch.x_n[row]).flatten().numpy()
    return EXACT.posterior(dense(name)[seen], batch.x_n[row].flatten().numpy()[None, seen], sigma)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_a_row_measured_through_an_operator_is_that_of_the_closed_form(name: str) -> None:
    for sigma_n, missing in ((0.05, 0.0), (0.2, 0.3)):
        scanner, batch = measured(name, sigma_n, missing, 6)
        assert scanner.flaw(batch) == ""
        found = restore(denoiser_of(name), batch, scanner, StochasticHeun(), EXACT.LEVELS, draws=0).mean
        other = restore(denoiser_of(name, 1.05), batch, scanner, StochasticHeun(), EXACT.LEVELS, draws=0).mean
        means = np.concatenate([of_row(name, batch, row, sigma_n).mean for row in range(6)])
        assert np.abs(found.flatten(1).numpy() - means).max() < 1e-9
        assert np.abs(other.flatten(1).numpy() - means).max() > 1e-4  # a level that is 5 % off


@pytest.mark.parametrize("name", NAMES)
def test_a_row_without_noise_has_the_mean_of_one_with_noise_of_the_lowest_level(name: str) -> None:
    """mean - E[x_0 | y at sigma_min] = K z sigma_min, K the gain of the likeliest component, z white: chi^2 with rank K
    degrees of freedom for each row. False alarm 4e-5 of each operator."""
    scanner, batch = measured(name, 0.0, 0.3, 6)
    low = EXACT.LEVELS.sigma_min
    found = restore(denoiser_of(name), batch, scanner, StochasticHeun(), EXACT.LEVELS, draws=0)
    total, freedom = 0.0, 0
    for row in range(6):
        exact = of_row(name, batch, row, low)
        best = int(exact.weights[0].argmax())
        assert exact.weights[0, best] > 1 - 1e-6
        seen = batch.cond["sampled"][row].expand_as(batch.x_n[row]).flatten().numpy()
        matrix, covariance = dense(name)[seen], EXACT.law().covariances[best].numpy()
        gain = np.linalg.solve(matrix @ covariance @ matrix.T + low**2 * np.eye(len(matrix)), matrix @ covariance).T
        left, sizes, _ = np.linalg.svd(gain, full_matrices=False)
        kept = sizes > 1e-8 * sizes[0]
        off = (found.mean[row].flatten().numpy() - exact.mean[0]) @ left[:, kept] / sizes[kept] / low
        total, freedom = total + float((off**2).sum()), freedom + int(kept.sum())
    assert 2e-5 < stats.chi2.sf(total, freedom) < 1 - 2e-5
    assert stats.chi2.sf(total * 2, freedom) < 2e-5  # noise of 1.4 times the level


def p_of_gradient(name: str, off: float) -> float:
    """Hotelling's test that the mean gradient of `tweedie` is 0 at a denoiser, along three directions: even, of what is
    seen, and of what is hidden."""
    scanner, batch = measured(name, 0.1, 0.3, 1000)
    matrix, exact = torch.from_numpy(dense(name)), denoiser_of(name, off)
    theta = torch.zeros(len(batch.x_n), 3, dtype=torch.float64, requires_grad=True)

    def moved(x: Tensor, sigma: Tensor, /, sampled: Tensor, measured: Tensor, **_: Tensor) -> Tensor:
        hidden = (~sampled).expand_as(measured).flatten(1).double() @ matrix
        ways = torch.stack([torch.ones_like(hidden), torch.tanh(x.flatten(1)), hidden], dim=1)
        step = torch.einsum("bp,bpd->bd", theta, ways).reshape(x.shape)
        return exact(x, sigma, sampled=sampled, measured=measured) + step

    signal = Signal((1, SIDE, SIDE), 0.4)
    generator = torch.Generator().manual_seed(7)
    tools = Tools(scanner, StochasticHeun(), exact, signal, generator, EXACT.LEVELS)
    (value,) = Tweedie().loss(moved, batch, tools).values()
    value.value.sum().backward()
    assert theta.grad is not None
    found = theta.grad.reshape(-1, 2, 3).sum(1).numpy()  # rows are taken two by two
    n, p = found.shape
    squared = n * found.mean(0) @ np.linalg.solve(np.cov(found.T), found.mean(0))
    return float(stats.f.sf(squared * (n - p) / (p * (n - 1)), p, n - p))


@pytest.mark.parametrize("name", NAMES)
def test_training_through_an_operator_of_a_user_ends_at_the_exact_mean(name: str) -> None:
    assert p_of_gradient(name, 1.0) > 1e-5
    assert p_of_gradient(name, 2.0) < 1e-8


def p_of_draws(found: Tensor, batch: Batch, missing: bool) -> float:
    """Smallest p of Kolmogorov and Smirnov's test of two sums of random weights over the missing, or the measured
    values of each row, times their number."""
    exact, seen = EXACT.of_rows(batch), batch.cond["mask"][0].flatten().numpy()
    rng, p = np.random.default_rng(3), []
    for row, draws in enumerate(found.flatten(2).numpy()):
        for _ in range(2):
            way = rng.standard_normal(SIDE**2) * (~seen if missing else seen)
            stds = [math.sqrt(way @ covariance @ way) for covariance in exact.covariances]
            at, shares = exact.means[row] @ way, exact.weights[row]
            levels = sum(
                w * stats.norm.cdf(draws @ way, m, s) for w, m, s in zip(shares, at, stds, strict=True)
            )  # uniform, of draws from the posterior
            p.append(float(stats.kstest(levels, "uniform").pvalue))
    return min(p) * len(p)


@pytest.mark.parametrize(
    "mask", some(["5 % of the pixels missing", "the middle missing, 56 %"], ["the middle missing, 56 %"])
)
def test_draws_under_a_mask_are_those_of_the_posterior_where_the_docs_say_so(mask: str) -> None:
    """Measured values without particles, and missing ones with 16 of them and 48 steps; missing ones without particles
    and with one are rejected. False alarm 2e-5."""
    batch = EXACT.rows(EXACT.SEEN[mask], 0.2)
    plain, one = (EXACT.drawn(batch, particles, 32, draws=500).draws for particles in (0, 1))
    assert p_of_draws(plain, batch, missing=False) > 1e-5
    assert p_of_draws(plain, batch, missing=True) < 1e-8
    assert p_of_draws(EXACT.drawn(batch, 16, 48, draws=80).draws, batch, missing=True) > 1e-5
    if mask != "5 % of the pixels missing":
        assert p_of_draws(one, batch, missing=True) < 1e-8
