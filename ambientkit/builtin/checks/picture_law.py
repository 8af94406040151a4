"""The check `picture-law`: the mean gradient at the exact denoiser is zero on pictures whose pixels and channels go
together."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch
from pydantic import Field
from torch import Generator, Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.checks.detail import ExactPictures
from ambientkit.builtin.checks.outcome import mean_zero_by_kind
from ambientkit.builtin.checks.probe import by_group, gradient, in_groups, mean_value, moved, on_clean_rows, terms
from ambientkit.builtin.checks.stationarity import Shifted
from ambientkit.interfaces import Case, Check, Measured, Objective, Part, Signal
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

SHAPE = (2, 2, 3)


class PictureLaw(Check):
    """`stationarity` on small pictures of two channels whose law is a mixture, so that the exact denoiser mixes pixels
    and channels.

    `picture-stationarity` has pictures of which all is known: D does not depend on its input there, nor a loss on the
    derivative of D. Every other batch has a level for each pixel, where the part claims to take them.
    """

    name = "picture-law"
    source = "as `stationarity`"
    kind = "objective"
    claim = "stationary-at-oracle"
    null_law = "F(8, n - 8) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = "derivatives of the denoiser that are taken between pixels or channels which are not one"
    meaning = "On pictures with channels training would end somewhere else than at E[x_0 | x_t]."
    quick = True

    batches: int = Field(72, ge=32)
    """Independent gradients; a few more where they are no multiple of 8."""
    batch_size: int = Field(192, ge=8)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient."""
        assert isinstance(part, Objective)
        own = picture_case(case)

        def once(index: int, groups: int) -> Tensor:
            theta = torch.zeros(groups, 8, dtype=torch.float64, requires_grad=True)
            by_pixel = "noise-by-pixel" in part.claims and index % 2 == 1
            batch = in_groups(_rows(own, groups * self.batch_size, index, by_pixel), own, index, groups)
            value = mean_value(terms(part, moved(own.oracle, _push, theta), batch, own, index))
            return groups * gradient(value, theta)

        return mean_zero_by_kind(by_group(once, self.batches, 2), 2)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


@cache
def law() -> GaussianMixture:
    """Two modes with correlated values, at the scale of data in [-1, 1]."""
    g = torch.Generator().manual_seed(5)
    mixing = 0.15 * torch.randn(2, 12, 12, generator=g, dtype=torch.float64)
    covariances = mixing @ mixing.mT + 0.01 * torch.eye(12, dtype=torch.float64)
    return GaussianMixture([0.6, 0.4], 0.4 * torch.randn(2, 12, generator=g, dtype=torch.float64), covariances)


def picture_case(case: Case) -> Case:
    """The same case on pictures of `law`."""
    mixture = law()
    spread = float(mixture.sample(20_000, Generator().manual_seed(0)).std(unbiased=False))
    tools = dataclasses.replace(
        case.tools, sampler=ExactPictures(mixture=mixture), teacher=mixture.denoiser(), signal=Signal(SHAPE, spread)
    )
    return dataclasses.replace(case, oracle=mixture.denoiser(), tools=tools, law=mixture)


def _rows(case: Case, n: int, index: int, by_pixel: bool) -> Batch:
    generator = keyed_generator(case.seed, "verify.picture-law", step=index)
    levels = 0.1 + 0.3 * torch.rand(n, *(SHAPE if by_pixel else ()), generator=generator, dtype=torch.float64)
    return _at(case, torch.zeros(n, dtype=torch.float64) if on_clean_rows(case) else levels, generator)


def rows_at(case: Case, n: int, level: float) -> Batch:
    """Pictures of `picture_case` at one noise level."""
    generator = keyed_generator(case.seed, "verify.picture-law.at")
    return _at(case, torch.full((n,), level, dtype=torch.float64), generator)


def _at(case: Case, level: Tensor, generator: Generator) -> Batch:
    n = len(level)
    x_0 = case.law.sample(n, generator).reshape(n, *SHAPE)
    return Batch(x_0 + per_row(level, x_0) * standard_normal(x_0, generator), level, torch.arange(n), {})


_PATTERNS, _SLOPES = torch.randn(2, 2, 12, generator=Generator().manual_seed(6), dtype=torch.float64)


def _push(x: Tensor, sigma: Tensor, theta: Tensor) -> Tensor:
    """What moves each row, (B, 12): two patterns, constant and bent in position, at low and at high levels."""
    low = torch.exp(-((sigma / 0.3) ** 2)).unsqueeze(1)
    bent = torch.tanh(0.7 * x @ _SLOPES.T)
    profiles = torch.cat([torch.ones_like(bent[:, :1]), bent[:, :1], bent[:, 1:], bent[:, :1]], 1)
    strength = (sigma / (1 + sigma)).unsqueeze(1) * torch.cat([profiles * low, profiles * (1 - low)], 1)
    return (strength * theta) @ _PATTERNS[[0, 0, 1, 1]].repeat(2, 1)
