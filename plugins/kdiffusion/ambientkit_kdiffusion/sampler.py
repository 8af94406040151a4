"""What k-diffusion's samplers share: rows with equal grids run together, on noise from the caller's generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource
from ambientkit_kdiffusion.library import k_diffusion
from ambientkit_kdiffusion.noise import Churn, Nested, white

Noise = Literal["none", "white", "nested", "churn"]


class KDiffusionSampler(Sampler):
    """One of the functions in `k_diffusion.sampling`. The part's name is the function's, its fields are the function's
    keywords.

    k-diffusion takes one grid for the whole batch. Where the columns of `sigmas` differ, rows with equal columns run
    together, group after group; a batch of B different grids costs B runs.
    """

    noise: ClassVar[Noise]
    """What the function draws: nothing; once for each of disjoint intervals; for an interval and then one round it; by
    torch.randn_like."""

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0. Half precision
        runs in float32."""
        if len(x) == 0:
            return x
        dtype = torch.promote_types(x.dtype, torch.float32)
        start, grids = x.to(dtype), sigmas.to(device=x.device, dtype=dtype)
        if torch.equal(grids, grids[:, :1].expand_as(grids)):
            return self._run(denoiser, start, grids[:, 0], generator, cond).to(x.dtype)
        columns, group = torch.unique(grids, dim=1, return_inverse=True)
        parts, order = [], []
        for number in range(columns.shape[1]):
            rows = (group == number).nonzero().squeeze(1)
            source = generator if isinstance(generator, Generator) else [generator[row] for row in rows.tolist()]
            parts.append(
                self._run(
                    denoiser,
                    start[rows],
                    columns[:, number],
                    source,
                    {name: value[rows] for name, value in cond.items()},
                )
            )
            order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()].to(x.dtype)

    def _run(
        self, denoiser: Denoiser, x: Tensor, grid: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        def model(x: Tensor, sigma: Tensor, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma, **cond).to(x.dtype)

        if len(grid) == 2 and grid[1] == 0 and self.noise != "churn":
            # One step to level 0 is the denoised point in every rule without churn; two of k-diffusion's functions fail
            # on such a grid.
            return model(x, grid[:1].expand(len(x)), **cond)
        # __wrapped__: k-diffusion's functions switch gradients off, which is the caller's business here.
        function = getattr(k_diffusion().sampling, self.name).__wrapped__
        knobs: dict[str, Any] = dict(extra_args=dict(cond), disable=True, **self.model_dump(exclude_none=True))
        if self.noise == "churn":
            with Churn(generator if knobs["s_churn"] > 0 else None) as churn:
                return function(churn.outside(model), x, grid, **knobs)
        if self.noise != "none":
            knobs["noise_sampler"] = white(x, generator) if self.noise == "white" else Nested(x, generator)
        return function(model, x, grid, **knobs)
