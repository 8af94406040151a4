"""A plug-in as it was written against the hooks and contracts of the first version, before the package was divided into
rooms. It is frozen: every later version has to load it, train with it and sample with it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean, Term, View
from ambientkit.errors import InputError
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Corruption, Data, Denoiser, Model, Objective, Sampler, Signal, Tools
from ambientkit.maths.ambient import top_up, tweedie_mix
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.weights import edm_weight


class Noise(Corruption):
    """White noise of one level."""

    name = "noise-before"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: float = 0.2

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        sigma_n = x_0.new_full((len(x_0),), self.sigma_n)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[below][0])} cannot be seen below its own noise level")
        return View(top_up(batch.x_n, batch.sigma_n, sigma, generator), sigma, batch.cond)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return tweedie_mix(x_0_hat, view.x, view.sigma, batch.sigma_n)

    def floor(self, batch: Batch) -> Tensor:
        return per_row(batch.sigma_n, batch.x_n).expand(batch.x_n.shape).flatten(1).amax(1)


class Eps(Objective):
    """Ambient Tweedie as a prediction of the noise z in x_t = x_n + c z."""

    name = "eps-before"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        x_n, floor = batch.x_n, tools.corruption.floor(batch)
        if (floor >= tools.levels.sigma_max).any():
            raise InputError("a row is as noisy as sigma_max or noisier")
        u = uniform(torch.empty_like(floor), tools.generator)
        lowest = floor.clamp(min=tools.levels.sigma_min)
        sigma = truncated_lognormal(u, lowest, tools.levels.sigma_max, p_mean=-1.2, p_std=1.2)
        z, sigma_t = standard_normal(x_n, tools.generator), per_row(sigma, x_n)
        c = (sigma_t**2 - per_row(batch.sigma_n, x_n) ** 2).sqrt()
        x_t = x_n + c * z
        eps_hat: Tensor = (x_t - denoiser(x_t, sigma, **batch.cond).to(x_n.dtype)) / sigma_t
        value = (c / sigma_t * eps_hat - z).square().flatten(1).mean(1)
        return {self.name: Term(sigma**2 * edm_weight(sigma, tools.signal.sigma_data) * value, sigma)}


class Euler(Sampler):
    """Euler's rule on the probability-flow equation."""

    name = "euler-before"
    claims = frozenset({"final-law", "grid-levels", "row-generators"})

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
            x = x + per_row(sigma_s - sigma_t, x) * slope
        return x


class Linear(Model):
    """One layer, in EDM's preconditioning."""

    name = "linear-before"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal: Signal) -> nn.Module:
        if signal.conds:
            raise InputError("linear-before takes no conditions")
        return _Layer(torch.Size(signal.shape).numel())

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            answer = network((per_row(c.c_in, x) * x).flatten(1), c.c_noise).reshape(x.shape).to(x.dtype)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * answer

        return denoise


class _Layer(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n + 1, n)

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        told = torch.cat([x, c_noise[:, None].to(x.dtype)], 1)
        return self.layer(told.to(self.layer.weight.dtype))


class Waves(Data):
    """Rows (1, 6, 6) of one wave each."""

    name = "waves-before"

    n: int = 64

    def rows(self) -> Dataset[Clean]:
        return _Rows(self.n)


class _Rows(Dataset[Clean]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Clean:
        return Clean(torch.sin(torch.arange(36.0) / 6 + index).reshape(1, 6, 6) / 2, {})


@hookimpl
def register_corruptions():
    return [Noise]


@hookimpl
def register_objectives():
    return [Eps]


@hookimpl
def register_samplers():
    return [Euler]


@hookimpl
def register_models():
    return [Linear]


@hookimpl
def register_datasets():
    return [Waves]
