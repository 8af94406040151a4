"""The checks `detail-stationarity` and `detail-power`: running means of second moments of detail leave the exact
denoiser alone, and pull a wrong one back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.outcome import mean_zero
from ambientkit.builtin.checks.power import noncentral
from ambientkit.builtin.checks.probe import gradient, mean_value
from ambientkit.interfaces import (
    Case,
    Check,
    Denoiser,
    Levels,
    Measured,
    Memory,
    Objective,
    Part,
    Sampler,
    Signal,
    Tools,
)
from ambientkit.maths.blocks import BANDS, BLOCK, band_of, coefficients
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.reverse import reverse_step

SHAPE = (1, BLOCK, BLOCK)
SIGMA_N = (0.2, 0.5)
"""Levels of the rows, as many of each."""
CALLS, FIRST = 8, 5
"""Calls of one run with one memory, and the first one whose gradient counts: the running means are filled by then."""


def law() -> GaussianMixture:
    """Pictures of one block: half of them dark and smooth, half bright with strong detail; noise hides which they
    are."""
    basis = coefficients(torch.eye(BLOCK**2, dtype=torch.float64).reshape(-1, *SHAPE)).reshape(BLOCK**2, -1)
    fall = torch.exp(-band_of().double().flatten())
    variances = [torch.where(fall == 1, 0.3, scale * fall) for scale in (0.05, 0.8)]
    covariances = torch.stack([basis @ torch.diag(variance) @ basis.T for variance in variances])
    means = torch.stack([torch.full((BLOCK**2,), mean, dtype=torch.float64) for mean in (-0.15, 0.15)])
    return GaussianMixture([0.5, 0.5], means, covariances)


class ExactPictures(Sampler):
    """The exact reverse process of the pictures: x_0 from the posterior given x_t, then x_s given both."""

    name = "exact-pictures"
    claims = frozenset({"reverse-kernel", "row-generators"})

    mixture: InstanceOf[GaussianMixture]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; the denoiser is not asked."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0 = self.mixture.sample_posterior(x, sigma_t, generator).to(x.dtype)
            x = reverse_step(x, x_0, sigma_t, sigma_s, generator)
        return x


def gradients(
    objective: Objective, case: Case, run: int, size: int, wrong: Tensor, terms: tuple[str, ...] = ()
) -> Tensor:
    """(2 BANDS,): the mean gradient of a run of calls with one memory, in theta, at D + (wrong + theta) f.

    theta strengthens the detail of D, band by band, in dark and in bright pictures. terms: the names of those that
    count; without any, all of them.
    """
    mixture, memory, found = law(), Memory(), []
    exact, points = mixture.denoiser(), torch.Generator()
    tools = Tools(
        case.tools.corruption,
        ExactPictures(mixture=mixture),
        exact,
        Signal(SHAPE, 0.6),
        points,
        Levels(0.01, 20.0),
        memory,
    )
    for call in range(CALLS):
        key = keyed_generator(case.seed, "verify.detail", step=run * CALLS + call)
        x_0 = mixture.sample(size, key).reshape(-1, *SHAPE)
        sigma_n = torch.tensor(SIGMA_N, dtype=x_0.dtype)[torch.randint(2, (size,), generator=key)]
        batch = Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, key), sigma_n, torch.arange(size), {})
        theta = torch.zeros(2 * BANDS, dtype=torch.float64, requires_grad=True)

        def moved(x: Tensor, sigma: Tensor, /, theta: Tensor = theta, **cond: Tensor) -> Tensor:
            return exact(x, sigma) + _detail(x, sigma, theta + wrong)

        values = objective.loss(moved, batch, dataclasses.replace(tools, generator=key))
        if call >= FIRST:
            chosen = [term for name, term in values.items() if len(term.value) and (not terms or name in terms)]
            found.append(gradient(mean_value(chosen), theta))
    return torch.stack(found).mean(0)


def _detail(x: Tensor, sigma: Tensor, theta: Tensor) -> Tensor:
    """The detail of x, each band times its theta, of dark and of bright pictures, falling as sigma does."""
    coef = coefficients(x)[:, 0]  # one block
    bright = torch.sigmoid(coef[:, 0, 0])
    strength = theta.reshape(2, BANDS)
    of_row = (1 - bright).unsqueeze(1) * strength[0] + bright.unsqueeze(1) * strength[1]
    by_band = torch.cat([torch.zeros_like(of_row[:, :1]), of_row], 1)[:, band_of()]
    level = (sigma / (1 + sigma)).reshape(-1, 1)
    basis = coefficients(torch.eye(BLOCK**2, dtype=x.dtype).reshape(-1, *SHAPE)).reshape(BLOCK**2, -1)
    return (level * (by_band * coef).flatten(1) @ basis.T).reshape(x.shape)


class DetailStationarity(Check):
    """With running means, an objective on second moments of detail has zero mean gradient at the exact denoiser.

    Pictures of one block come from a mixture of dark smooth and bright rough ones, at two noise levels; denoiser and
    reverse process are exact. A run of calls shares one memory; the mean gradient of its later calls in 12 directions,
    the strength of each band in dark and in bright pictures, is one sample. Running means of earlier calls are
    independent of the rows of a call, so its mean is 0.
    """

    name = "detail-stationarity"
    source = (
        "first-order condition; test: Anderson, An Introduction to Multivariate Statistical Analysis, theorem 5.2.2"
    )
    kind = "objective"
    claim = "stationary-in-detail"
    null_law = "F(p, n - p) of Hotelling's T^2, p = 12 strengths of detail"
    detects = "a mean gradient of 2.5 standard deviations of one run's; noise that counts as detail"
    meaning = (
        "Training would end with too strong or too weak detail, however long it runs: the energies that are "
        "wanted are not those of clean rows."
    )

    runs: int = Field(30, ge=25)
    """Independent runs."""
    batch_size: int = Field(512, ge=64)
    """Rows of a call."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient of an `Objective`. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        still = torch.zeros(2 * BANDS, dtype=torch.float64)
        return mean_zero(torch.stack([gradients(part, case, run, self.batch_size, still) for run in range(self.runs)]))

    def control(self, part: Part) -> Part:
        """The same objective, given 0.8 times the noise level of the rows."""
        assert isinstance(part, Objective)
        return _Quieter(inner=part)


class DetailPower(Check):
    """At a denoiser whose detail is too strong, the mean derivative of the term on detail points to the exact one.

    Pictures and runs as in `detail-stationarity`, with D + 0.3 f sigma / (1 + sigma) in all bands, or - 0.3. The null
    hypothesis is that the mean derivative towards the exact denoiser is at least a standard deviation of one run's.
    """

    name = "detail-power"
    source = "noncentral t: as `power`"
    kind = "objective"
    claim = "stationary-in-detail"
    null_law = "noncentral t(n - 1, sqrt n) at the edge of a one-sided hypothesis"
    detects = "a term on detail without gradient, or of the wrong sign"
    meaning = "The term on detail teaches nothing, or the wrong way."

    runs: int = Field(20, ge=15)
    """Independent runs for each wrong denoiser."""
    batch_size: int = Field(512, ge=64)
    """Rows of a call."""

    def measure(self, part: Part, case: Case) -> Measured:
        """t and its p-value, of both wrong denoisers together. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        found = []
        for run in range(2 * self.runs):
            sign = 1.0 if run % 2 else -1.0
            wrong = torch.full((2 * BANDS,), 0.3 * sign, dtype=torch.float64)
            found.append(sign * gradients(part, case, run, self.batch_size, wrong, ("detail",)).sum())
        each = torch.stack(found).reshape(-1, 2).mean(1)  # one of either sign
        return noncentral(each, 1.0)

    def control(self, part: Part) -> Part:
        """The same objective with the sign of its gradient turned."""
        assert isinstance(part, Objective)
        return _Turned(inner=part)


class _Quieter(Objective):
    """An objective that is given less noise than there is: wrong on purpose."""

    name = "quieter-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, for other levels."""
        return self.inner.loss(denoiser, batch._replace(sigma_n=0.8 * batch.sigma_n), tools)


class _Turned(Objective):
    """An objective whose gradient is turned round: wrong on purpose."""

    name = "turned-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, whose gradient has the other sign."""
        found = self.inner.loss(denoiser, batch, tools)
        return {name: Term(2 * term.value.detach() - term.value, term.sigma) for name, term in found.items()}
