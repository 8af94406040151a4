"""Corruptions, samplers, models and parts of memory that are right in unusual forms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.memorisation_parts import Similarity
from tests.verification.eighth_kit.nets import Base, Labelled, Net
from tests.verification.eighth_kit.samplers import FLOWS, Flow, Steps


class TwoSteps(Gaussian):
    """Tops up in two halves of the missing variance."""

    name = "eight-right-two-top-ups"

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        first = super().degrade(batch, sigma, generator)
        half = (first.x - batch.x_n) * 0.5**0.5
        gap = (per_row(sigma, half) ** 2 - per_row(batch.sigma_n, half) ** 2).clamp(min=0).sqrt().to(half.dtype)
        return first._replace(x=batch.x_n + half + gap * 0.5**0.5 * standard_normal(half, generator))


class Oscillating(Gaussian):
    """Noise by pixel: even places have twice the noise of odd ones."""

    name = "eight-right-comb"
    sigma_n: float = 0.2

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        place = torch.arange(x_0[0].numel()).reshape(x_0.shape[1:])
        level = torch.where(place % 2 == 0, self.sigma_n, self.sigma_n / 2).to(x_0).expand_as(x_0)
        return Batch(x_0 + level * standard_normal(x_0, generator), level, row, {})


class Columns(Mask):
    """Columns are missing, with noise on the others."""

    name = "eight-right-columns"
    kind: str = "columns"
    sigma_n: float = 0.1


class Precise(Steps):
    """`ancestral` by D - x: x + (1 - r) (D - x)."""

    name = "eight-right-by-difference"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        gone = (t - s) * (t + s) / t**2
        return x + gone * (answer - x) + s * gone.sqrt() * z()


class LogFlow(Flow):
    """DDIM in log sigma: x s / t + (1 - s / t) D."""

    name = "eight-right-ddim"

    def moved(self, x: Tensor, answer: Tensor, t: Tensor, s: Tensor, z) -> Tensor:
        return s / t * x + (1 - s / t) * answer


class BashforthUneven(Flow):
    """Adams and Bashforth's rule of order 2 with the weights of uneven steps, and Euler's first step."""

    name = "eight-right-bashforth"
    claims = FLOWS | {"order-2"}

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        before, last = None, None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x).to(x.dtype)
            step = per_row(sigma_s - sigma_t, x).to(x.dtype)
            used = slope if before is None else slope + step / (2 * last) * (slope - before)
            x, before, last = x + step * used, slope, step
        return x


class EpsNet(Base):
    """An eps network."""

    name = "eight-right-eps-net"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def coefficients(self, sigma, sigma_data):
        c_skip, _, c_in, c_noise = super().coefficients(sigma, sigma_data)
        return torch.ones_like(c_skip), -sigma, c_in, c_noise


class Grouped(Base):
    """Layer normalisation in between, EDM's form."""

    name = "eight-right-layer-normed"

    def fresh(self, size: int, told: int) -> nn.Module:
        class Normed(Net):
            def __init__(self) -> None:
                super().__init__(size, told)
                self.norm = nn.LayerNorm(32)

            def hidden(self, x: Tensor) -> Tensor:
                return self.norm(x)

        return Normed()


class RightLabels(Labelled):
    """With classes, the last for none."""

    name = "eight-right-labels"


class Ranks(Similarity):
    """The ranks of the values within each row: any rising map of brightness leaves them as they are."""

    name = "eight-right-ranks"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        flat = rows.flatten(1).contiguous()
        order = flat.sort(dim=1).values
        both = torch.searchsorted(order, flat) + torch.searchsorted(order, flat, right=True)
        return (both.to(rows.dtype) / flat.shape[1] - 1).reshape(rows.shape)


PARTS = (
    TwoSteps, Oscillating, Columns, Precise, LogFlow, BashforthUneven, EpsNet, Grouped, RightLabels, Ranks,
)  # fmt: skip
