"""The check `final-law`: after many short steps, points follow the mixture at the level they were sent to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.outcome import all_normal, scores_within
from ambientkit.builtin.checks.travel import at_level, carry, column_grids, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.randomness import keyed_generator


class FinalLaw(Check):
    """From points that follow the law at sigmas[0], a sampler reaches points that follow the law at sigmas[-1], row by
    row.

    Three kinds of rows with different grids, one of which ends at 0, go together in one batch. The law of the ends is
    known: E[cos(k x)] and E[sin(k x)] of a mixture are closed forms. For each kind and each of 12 frequencies k the
    mean over the rows is compared with it. The test is that the difference is within `tolerance`, which leaves room for
    the error of the steps.
    """

    name = "final-law"
    source = "characteristic function of a Gaussian mixture"
    kind = "sampler"
    claim = "final-law"
    null_law = "normal scores of 72 means, Bonferroni, of the hypothesis |difference| <= tolerance"
    detects = "a difference of 0.12 in the characteristic function, such as a law that is 15 % too wide"
    meaning = (
        "With many short steps and an exact denoiser the points still do not follow the law of the data: "
        "samples will not either."
    )

    rows: int = Field(6000, ge=300)
    """Points in all."""
    steps: int = Field(80, ge=10)
    """Steps from sigmas[0] to sigmas[-1]."""
    tolerance: float = Field(0.03, ge=0)
    """Difference of E[cos(k x)] that is put down to the steps."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest excess over the tolerance, in standard errors."""
        assert isinstance(part, Sampler)
        sigmas = column_grids((3.0, 2.0, 1.0), (0.3, 0.0, 0.1), self.steps + 1, self.rows)
        start = at_level(case.law, sigmas[0], key(case, "final-law.start"))
        end = carry(part, case.oracle, start, sigmas, key(case, "final-law.noise"))
        scale = case.tools.signal.sigma_data
        directions = keyed_generator(
            0, "verify.final-law.frequencies"
        )  # the same for all seeds, as is the error of the steps
        frequencies = torch.randn(12, case.law.dimension, generator=directions, dtype=torch.float64) * 1.5 / scale
        scores = []
        for kind in range(3):
            sigma = float(sigmas[-1, kind])
            phase = end[kind::3] @ frequencies.T
            real, imaginary = _characteristic(case, frequencies, sigma)
            for values, mean in ((phase.cos(), real), (phase.sin(), imaginary)):
                # The spread under the right law is at most 1; that of collapsed points would be 0.
                error = values.std(0).clamp(min=0.1) / len(values) ** 0.5
                scores.append(scores_within(values.mean(0) - mean, error, self.tolerance))
        return all_normal(torch.cat(scores), self.rows)

    def control(self, part: Part) -> Part:
        """The same sampler with a denoiser that pulls to the mean too strongly: points end too close to it."""
        assert isinstance(part, Sampler)
        return _Shrunken(inner=part)


def _characteristic(case: Case, frequencies: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """E[cos(k x)], E[sin(k x)] for x = x_0 + sigma z, (F,) each."""
    law = case.law
    covariances = law.covariances + sigma**2 * torch.eye(law.dimension, dtype=torch.float64)
    damping = torch.exp(-0.5 * torch.einsum("fi,cij,fj->fc", frequencies, covariances, frequencies))
    phase = frequencies @ law.means.T
    return (phase.cos() * damping) @ law.weights, (phase.sin() * damping) @ law.weights


class _Shrunken(Sampler):
    """A sampler that is shown 0.7 D: wrong on purpose."""

    name = "shrunken-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points for another denoiser."""

        def shrunken(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return 0.7 * denoiser(x, sigma, **cond)

        return self.inner.sample(shrunken, x, sigmas, generator, cond)
