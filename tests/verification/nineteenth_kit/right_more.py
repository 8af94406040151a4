"""Right corruptions, samplers and models that look unusual."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.errors import InputError
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_step
from tests.verification.nineteenth_kit.bases import Flow, Kernel, White, listed
from tests.verification.seventeenth_kit.bases_models import Layers, Small


class Hartley(White):
    """Noise of views goes through the discrete Hartley transform, which is orthogonal, so that it stays white."""

    name = "kit19-right-noise-through-hartley"

    def noise_of_views(self, batch, generator):
        z = torch.fft.fft(standard_normal(batch.x_n, generator).flatten(1), norm="ortho")
        return (z.real - z.imag).reshape(batch.x_n.shape)


class InverseLaw(White):
    """Normal noise by the inverse of its distribution function, in float64."""

    name = "kit19-right-noise-by-its-quantiles"

    def noise_of_rows(self, x_0, row, generator):
        u = uniform(x_0.double(), generator).clamp(1e-12, 1 - 1e-12)
        return torch.special.ndtri(u).to(x_0.dtype)


class RampOfLevels(White):
    """Noise by pixel: the level grows from 0.1 to 0.4 along the last axis."""

    name = "kit19-right-levels-along-the-last-axis"

    def observe(self, x_0, row, generator):
        ramp = torch.linspace(0.1, 0.4, x_0.shape[-1], dtype=x_0.dtype, device=x_0.device).expand_as(x_0)
        return Batch(x_0 + ramp * standard_normal(x_0, generator), ramp.contiguous(), row, {})


class ManySmallNoises(White):
    """The noise that is missing comes in four parts of half the std each."""

    name = "kit19-right-noise-in-four-parts"

    def noise_of_views(self, batch, generator):
        return sum(standard_normal(batch.x_n, generator) for _ in range(4)) / 2


class ThirdClean(Gaussian):
    """A third of the rows stay clean; the others have levels between 0.05 and 0.5."""

    name = "kit19-right-a-third-is-clean"

    sigma_n: float | tuple[float, float] = (0.05, 0.5)
    clean_share: float = 1 / 3


class NoisyColumns(Mask):
    """Columns are missing but for the middle, with noise of a level for each row, and a step hides many."""

    name = "kit19-right-noisy-columns"

    kind: str = "columns"
    missing: float = 0.5
    drop: float = 0.3
    centre: float = 0.25
    sigma_n: float | tuple[float, float] = (0.05, 0.2)


class NoisyBlur(Linear):
    """A blur of which a fifth is missing, with noise, and half is hidden by a step."""

    name = "kit19-right-noisy-blur"

    missing: float = 0.2
    drop: float = 0.5
    sigma_n: float | tuple[float, float] = 0.1


class Ralston(Flow):
    """Ralston's method: the second slope two thirds along a step, with shares of 1/4 and 3/4."""

    name = "kit19-right-ralston"

    place: float = 2 / 3

    def shares(self):
        return 0.25, 0.75


class Ralston3(Sampler):
    """Ralston's method of third order, whose last stage lies three quarters along a step, so that it may end at 0."""

    name = "kit19-right-ralston-of-third-order"
    claims = Heun.claims - {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        def slope(x, sigma):
            return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(sigma, x)

        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            h, step = sigma_s - sigma_t, per_row(sigma_s - sigma_t, x)
            one = slope(x, sigma_t)
            two = slope(x + step / 2 * one, sigma_t + h / 2)
            three = slope(x + 0.75 * step * two, sigma_t + 0.75 * h)
            x = x + step * (2 * one + 3 * two + 4 * three) / 9
        return x


class Restart(Sampler):
    """Restart sampling: each step but the last is made, undone by fresh noise, and made again, by Heun's method."""

    name = "kit19-right-restart"
    source = "arXiv 2306.14878, algorithm 1, with each interval restarted once"
    claims = frozenset({"final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = Heun().sample(denoiser, x, torch.stack([sigma_t, sigma_s]), generator, cond)
            inside = sigma_s > 0
            if bool(inside.any()):
                missing = (sigma_t**2 - sigma_s**2).clamp(min=0).sqrt()
                again = x + per_row(missing, x).to(x.dtype) * standard_normal(x, generator)
                pair = torch.stack([sigma_t, torch.where(inside, sigma_s, sigma_t)])
                again = Heun().sample(denoiser, again, pair, generator, cond)
                x = torch.where(per_row(inside.to(x.dtype), x) > 0, again, x)
        return x


class Quantiles(Kernel):
    """The steps of `ancestral`, with normal noise from the quantiles of uniform draws."""

    name = "kit19-right-kernel-by-quantiles"

    def noise(self, x, generator, last):
        return torch.special.ndtri(uniform(x.double(), generator).clamp(1e-12, 1 - 1e-12)).to(x.dtype)


class FirstThenSecond(Sampler):
    """`stochastic-heun` for all steps but the last of a grid, which is one of `ancestral`."""

    name = "kit19-right-ancestral-at-the-end"
    claims = Ancestral.claims - {"order-1"}

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(sigmas) > 2:
            x = StochasticHeun().sample(denoiser, x, sigmas[:-1], generator, cond)
        x_0_hat = denoiser(x, sigmas[-2], **cond).to(x.dtype)
        return reverse_step(x, x_0_hat, sigmas[-2], sigmas[-1], generator)


class Attention(nn.Module):
    """Values of a row as tokens, which attend to each other."""

    def __init__(self, size, width=12):
        super().__init__()
        self.first, self.last = nn.Linear(2, width), nn.Linear(width, 1)
        self.place = nn.Parameter(torch.randn(size, width) / 4)
        self.turned = nn.ModuleList(nn.Linear(width, width) for _ in range(3))

    def forward(self, y, told):
        tokens = self.first(torch.stack([y, told.unsqueeze(1).expand_as(y)], 2)) + self.place
        query, key, value = (one(tokens) for one in self.turned)
        weight = torch.softmax(query @ key.transpose(1, 2) / query.shape[2] ** 0.5, 2)
        return self.last(torch.tanh(tokens + weight @ value)).squeeze(2)


class OfAttention(Small):
    """EDM's preconditioning of a network of attention between the values of a row."""

    name = "kit19-right-attention"

    def network(self, signal):
        super().network(signal)
        return Attention(math.prod(signal.shape))


class Symmetric(nn.Module):
    """The mean of a network's answer and of that to the negative row, negative: odd in its input."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, y, told):
        return (checkpoint(self.inner, y, told, use_reentrant=False) - self.inner(-y, told)) / 2


class OddNetwork(Small):
    """EDM's preconditioning of a network that is odd in its input, half of it made again in the backward pass."""

    name = "kit19-right-odd-network"

    def network(self, signal):
        return Symmetric(super().network(signal))


class OwnForm(Small):
    """A form of its own: skip exp(-sigma^2 / (2 sigma_data^2)), and the rest of unit variance from the network."""

    name = "kit19-right-exponential-skip"
    claims = frozenset({"denoiser-contract", "own-form"})

    def coefficients(self, sigma, std):
        _, _, into, told = super().coefficients(sigma, std)
        wide = (sigma / std).double()
        skip = torch.exp(-(wide**2) / 2)
        out = std * torch.hypot(-torch.expm1(-(wide**2) / 2), skip * wide)
        return skip.to(sigma.dtype), out.to(sigma.dtype), into, told


class EpsOfFlow(MLP):
    """The built-in network, which answers with the noise and sees the schedule of a flow."""

    name = "kit19-right-mlp-eps-sees-flow"

    predicts: str = "eps"
    sees: str = "flow"


class OfClasses(nn.Module):
    """Layers with a vector for each class and for none."""

    def __init__(self, size, classes):
        super().__init__()
        self.inner, self.of = Layers(size), nn.Embedding(classes + 1, size)

    def forward(self, y, told, label):
        return self.inner(y + self.of(label), told)


class WithClasses(Small):
    """EDM's preconditioning of a network with four classes."""

    name = "kit19-right-four-classes"

    num_classes: int = 4
    """Classes; the number itself stands for none."""

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        if dict(signal.conds) != {"class_cond": ()}:
            raise InputError(f"model {self.name!r} takes class_cond alone, not {sorted(signal.conds)}")
        return OfClasses(math.prod(signal.shape), self.num_classes)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            if "class_cond" not in cond:
                raise InputError(f"model {self.name!r} needs class_cond")
            return self.mixed(
                x, sigma.to(x.dtype), lambda y, told: network(y, told, cond["class_cond"]), signal.sigma_data
            )

        return denoise


RIGHT = listed(globals())
