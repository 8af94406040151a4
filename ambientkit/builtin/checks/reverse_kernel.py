"""The check `reverse-kernel`: one short hop has mean and variance of the exact reverse kernel, to first order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import all_normal, scores_within
from ambientkit.builtin.checks.travel import at_level, carry, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.randomness import keyed_generator

SHORT = 0.98
"""sigma_s / sigma_t of the short hop."""


class Hop(NamedTuple):
    """Points and the moments of the exact kernel from there."""

    levels: Tensor
    """(n,), sigma_t."""
    x_t: Tensor
    """(n, d)."""
    x_0_hat: Tensor
    """(n, d), E[x_0 | x_t]."""
    mean: Tensor
    """(n, d), of x_s."""
    whiten: Tensor
    """(n, d, d), whose product with x_s less its mean has the unit covariance."""


@lru_cache(maxsize=2)  # the same for all samplers and for their controls
def exact_hop(law: GaussianMixture, seed: int, rows: int) -> Hop:
    """A short hop from points of two levels."""
    # Two kinds of rows, one a large hop in absolute terms: a sampler that mixes up rows is seen.
    levels = torch.tensor([0.15, 0.8], dtype=torch.float64)[torch.arange(rows) % 2]
    x_t = at_level(law, levels, keyed_generator(seed, "verify.reverse-kernel.start"))
    x_0_hat, one_minus_r = law.posterior_mean(x_t, levels), 1 - SHORT**2
    eye = torch.eye(law.dimension, dtype=torch.float64)
    covariance = per_row((SHORT * levels) ** 2 * one_minus_r, eye.expand(rows, -1, -1)) * eye
    covariance = covariance + one_minus_r**2 * law.posterior_covariance(x_t, levels)
    factor = torch.linalg.cholesky(covariance)
    whiten = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    return Hop(levels, x_t, x_0_hat, (1 - one_minus_r) * x_t + one_minus_r * x_0_hat, whiten)


class ReverseKernel(Check):
    """One hop from x_t draws from p(x_s | x_t), so that E[D(x_s, sigma_s) | x_t] = D(x_t, sigma_t).

    For a mixture the moments are known: mean r x_t + (1 - r) D, covariance sigma_s^2 (1 - r) + (1 - r)^2 Cov[x_0 |
    x_t], r = sigma_s^2 / sigma_t^2. With sigma_s = 0.98 sigma_t, and a level for each row, the standardised residual e
    must have mean 0 (also against the drift), second moments of the unit matrix, and no correlation between rows. Steps
    of first order differ in the variance by about 1 - r = 4 %: the hypothesis is that the difference is within
    `tolerance`. In a longer hop, sigma_s = 0.75 sigma_t, the mean is tested against the change of D along the path
    without noise.
    """

    name = "reverse-kernel"
    source = "posterior moments: arXiv 2006.11239, eq. 6-7, averaged over x_0 given x_t"
    kind = "sampler"
    claim = "reverse-kernel"
    null_law = "normal scores of moments, Bonferroni, of the hypothesis |difference| <= tolerance"
    detects = (
        "noise of a wrong std by 10 %, a drift wrong by 25 %, noise shared between rows, a correction of "
        "second order without noise"
    )
    meaning = (
        "A hop does not draw from the reverse kernel: the mean of D(x_s) is not D(x_t), and consistency "
        "training learns a wrong denoiser."
    )
    quick = True

    rows: int = Field(20_000, ge=1000)
    """Hops."""
    tolerance: float = Field(0.1, ge=0)
    """Relative difference of the variance that is put down to the length of the hop."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest excess over the tolerance, in standard errors."""
        assert isinstance(part, Sampler)
        hop = exact_hop(case.law, case.seed, self.rows)
        levels, x_t = hop.levels, hop.x_t
        x_s = carry(
            part, case.oracle, x_t.clone(), torch.stack([levels, SHORT * levels]), key(case, "reverse-kernel.noise")
        )
        e = torch.einsum("bij,bj->bi", hop.whiten, x_s - hop.mean)
        drift = (hop.x_0_hat - x_t) / levels.unsqueeze(1)
        scores = []
        for kind in range(2):
            scores += self._scores(e[kind::2], drift[kind::2])
        # Shared noise: the product of one row's residual with the next one's.
        scores.append(_score((e[2:] * e[:-2]).sum(1), 0.02))
        scores.append(_score((e[1::2] * e[::2]).sum(1), 0.02))
        scores.append(_score(self._turn(part, case), 0.5))
        return all_normal(torch.cat(scores), self.rows)

    def _turn(self, part: Sampler, case: Case) -> Tensor:
        """(rows,), products of a longer hop's residual with g, how much D changes along the path without noise, over
        the mean of g^2.

        The mean of the reverse kernel is r x_t + (1 - r) D(x_t) however long the hop is, so that their mean is 0; it is
        about 1 for a rule that corrects itself along the path without noise, which keeps the law of x_s and not the
        kernel.
        """
        t = torch.full((self.rows,), 0.4, dtype=torch.float64)
        s, r = 0.75 * t, 0.75**2
        x_t = at_level(case.law, t, key(case, "reverse-kernel.turn"))
        x_s = carry(part, case.oracle, x_t, torch.stack([t, s]), key(case, "reverse-kernel.turn-noise"))
        x_0_hat = case.law.posterior_mean(x_t, t)
        residual = (x_s - r * x_t) / (1 - r) - x_0_hat
        g = case.law.posterior_mean(x_t + (x_t - x_0_hat) * ((s - t) / t).unsqueeze(1), s) - x_0_hat
        return (residual * g).sum(1) / g.square().sum(1).mean()

    def control(self, part: Part) -> Part:
        """The same sampler, whose random part has 2.5 times the variance."""
        assert isinstance(part, Sampler)
        return _Noisier(inner=part)

    def _scores(self, e: Tensor, drift: Tensor) -> list[Tensor]:
        square = e.unsqueeze(2) * e.unsqueeze(1)
        off = torch.eye(e.shape[1], dtype=e.dtype)
        return [
            _score(e, 0.02),
            _score(e * drift, 0.03),  # a drift that is off by a factor, in units of the step's noise
            _score((square - off).flatten(1), self.tolerance),
        ]


def _score(values: Tensor, tolerance: float) -> Tensor:
    values = values.reshape(len(values), -1)
    # Where nothing varies, as in a sampler that draws nothing, an error of 0 is not taken at its word.
    error = values.std(0).clamp(min=1e-3) / len(values) ** 0.5
    return scores_within(values.mean(0), error, tolerance)


class _Noisier(Sampler):
    """A sampler that adds independent noise of its own size to each hop: wrong on purpose."""

    name = "noisier-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Pushed away from a second draw: variance 1.5^2 + 0.5^2 = 2.5 instead of 1."""
        first, second = (self.inner.sample(denoiser, x, sigmas, generator, cond) for _ in range(2))
        return first + 0.5 * (first - second)
