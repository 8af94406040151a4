"""The check `sampler-noise`: on pictures, what a sampler adds has nothing in common between pixels, channels and
rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.travel import key
from ambientkit.builtin.checks.white import white_normal
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal


class SamplerNoise(Check):
    """For data that are one picture m, D = m, points m + sigma z end at m + w with w white, for every rule: it is
    linear in z and in fresh noise.

    w over its own std (row by row of the grid, as the std depends on the rule) is tested for correlations between
    neighbouring pixels, channels and rows, and for what rows or pixels have in common.
    """

    name = "sampler-noise"
    source = "linearity of every rule in x and D; moment tests"
    kind = "sampler"
    claim = CONTRACT
    null_law = "normal, chi-squared and Kolmogorov-Smirnov, Bonferroni over 14 tests"
    detects = "noise that pixels, channels or rows share, correlated by 0.04"
    meaning = "Samples get stripes, tints or a common pattern: the noise that is added is not white."
    quick = True

    rows: int = Field(200, ge=50)
    """Pictures of 128 values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the tests."""
        assert isinstance(part, Sampler)
        picture = (
            2 * torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        )  # rough: blurring shows
        centre = picture.expand(self.rows, -1, -1, -1)
        top = torch.full((self.rows,), 0.9, dtype=torch.float64)
        x = centre + per_row(top, centre) * standard_normal(centre, key(case, "sampler-noise.start"))
        sigmas = torch.stack([top, 0.6 * top, 0.35 * top, 0.2 * top])

        def known(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return centre[:1].expand_as(x).to(x.dtype)

        with torch.no_grad():
            found = part.sample(known, x, sigmas, key(case, "sampler-noise.noise"), {})
        w = found.double() - centre
        spread = w.std(correction=0)
        if not spread > 1e-6:
            return Measured(math.inf, 0.0, self.rows, "all points end in one")
        return white_normal(w / spread, centre, torch.ones(self.rows, dtype=torch.float64))

    def control(self, part: Part) -> Part:
        """The same sampler, which adds noise that is the same in all pixels of a row."""
        assert isinstance(part, Sampler)
        return _Common(inner=part)


class _Common(Sampler):
    """A sampler with common noise: wrong on purpose."""

    name = "common-noise-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points, each moved as a whole."""
        found = self.inner.sample(denoiser, x, sigmas, generator, cond)
        shift = standard_normal(found.flatten(1)[:, :1], generator).reshape(-1, *[1] * (found.ndim - 1))
        return found + 0.3 * per_row(sigmas[-1], found) * shift
