"""The check `stationarity`: at the exact denoiser, the mean gradient of an objective is zero."""

from __future__ import annotations

import dataclasses
import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.statistics import hotelling_f


class Stationarity(Check):
    """An unbiased objective has zero mean gradient at the exact denoiser, in whatever direction it is moved.

    With h* exact, the denoiser is h* + sum_k theta_k phi_k with smooth probe directions phi_k of position and level. Each batch of fresh
    observations gives one independent gradient in theta at 0; Hotelling's T^2 tests that their mean is 0. Null law: F(p, n - p).
    The control sees the denoiser shifted by a multiple of log sigma, which no sound objective can be content with.
    """

    name = "stationarity"
    source = "first-order condition; test: Anderson, An Introduction to Multivariate Statistical Analysis, theorem 5.2.2"
    kind = "objective"
    claim = "stationary-at-oracle"

    batches: int = Field(200, ge=50)
    """Independent gradients."""
    batch_size: int = Field(512, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient of an `Objective`. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        gradients = torch.stack([self._gradient(part, case, index) for index in range(self.batches)])
        moved = gradients.std(0) > 0
        if (gradients[:, ~moved] != 0).any():  # a gradient that is certain and not 0
            return Measured(math.inf, 0.0, self.batches)
        if not moved.any():
            return Measured(0.0, 1.0, self.batches)
        from scipy import stats  # half a second: not paid by who only lists the parts

        f = hotelling_f(gradients[:, moved])
        return Measured(f.statistic, float(stats.f.sf(f.statistic, f.numerator, f.denominator)), self.batches)

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by .5 log sigma."""
        assert isinstance(part, Objective)
        return _Shifted(inner=part)

    def _gradient(self, objective: Objective, case: Case, index: int) -> Tensor:
        batch = case.observe(self.batch_size, keyed_generator(case.seed, "verify.observe", step=index))
        tools = dataclasses.replace(case.tools, generator=keyed_generator(case.seed, "verify.objective", step=index))
        directions = _directions(batch.x_n[:1].double(), torch.ones(1, dtype=torch.float64)).shape[1]
        theta = torch.zeros(directions, dtype=torch.float64, requires_grad=True)

        def probed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            push = torch.einsum("bks,k->bs", _directions(x.double(), sigma.double()), theta)
            return case.oracle(x, sigma, **cond) + push.reshape(x.shape).to(x.dtype)

        terms = objective.loss(probed, batch, tools).values()
        loss = sum((term.value.double().mean() for term in terms if len(term.value)), start=torch.zeros((), dtype=torch.float64))
        if not loss.requires_grad:
            return torch.zeros_like(theta)
        (gradient,) = torch.autograd.grad(loss, theta, allow_unused=True)
        return torch.zeros_like(theta) if gradient is None else gradient


def _directions(x: Tensor, sigma: Tensor) -> Tensor:
    """phi_k(x, sigma) as (B, K, d): constant and bent in position, at low and at high levels, in each coordinate."""
    flat = x.flatten(1)
    low = torch.exp(-((sigma / 0.3) ** 2)).unsqueeze(1)
    bends = [torch.ones_like(flat[:, :1]), torch.tanh(flat[:, :1]), torch.tanh(flat.sum(1, keepdim=True) * 2)]
    # Times sigma, as the error of any denoiser must vanish there: keeps the weight 1/sigma^2 from favouring one draw.
    profiles = torch.cat([b * band * (sigma / (1 + sigma)).unsqueeze(1) for b in bends for band in (low, 1 - low)], dim=1)
    axes = torch.eye(flat.shape[1], dtype=flat.dtype, device=flat.device)
    return torch.einsum("bp,js->bpjs", profiles, axes).flatten(1, 2)


class _Shifted(Objective):
    """An objective that is shown D + .5 log sigma instead of D: wrong on purpose."""

    name = "shifted-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def shifted(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma, **cond) + 0.5 * per_row(sigma.log(), x).to(x.dtype)

        return self.inner.loss(shifted, batch, tools)
