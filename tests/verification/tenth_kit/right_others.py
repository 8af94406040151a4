"""Right corruptions, samplers, models, measures and similarities, done in unusual ways."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch
from ambientkit.maths.forms import flow_time
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_step
from ambientkit.memorisation_parts import MemoryMeasure, Similarity
from tests.verification.tenth_kit.bases import HEUN, KERNEL, Gauss, Net, Steps, asked


class Vignette(Gauss):
    """Noise that grows from the middle of a row to its ends, and from row to row."""

    name = "ten-right-vignette"

    def observe(self, x_0: Tensor, row: Tensor, generator) -> Batch:
        place = torch.linspace(-1, 1, x_0[0].numel(), dtype=x_0.dtype).reshape(x_0.shape[1:])
        sigma_n = per_row(self.level(x_0, generator), x_0) * (0.5 + place**2)
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})


class FewLevels(Gauss):
    """Exposures of three lengths."""

    name = "ten-right-three-exposures"

    def level(self, x_0, generator):
        pick = (3 * uniform(x_0.new_empty(len(x_0), 1), generator)).long().squeeze(1)
        return torch.tensor([0.05, 0.15, 0.4], dtype=x_0.dtype)[pick]


class SumOfExposures(Gauss):
    """A mean of four exposures, each with noise of twice the level."""

    name = "ten-right-mean-of-exposures"

    def observe(self, x_0: Tensor, row: Tensor, generator) -> Batch:
        sigma_n = self.level(x_0, generator)
        noise = sum(2 * per_row(sigma_n, x_0) * standard_normal(x_0, generator) for _ in range(4)) / 4
        return Batch(x_0 + noise, sigma_n, row, {})


class Midpoint(Steps):
    """The exponential midpoint method in log sigma: one call half-way, in the ratio of the levels."""

    name = "ten-right-exponential-midpoint"
    claims = HEUN

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond)
        inside = sigma_s > 0
        middle = torch.where(inside, (sigma_t * sigma_s).sqrt(), sigma_t)
        ratio = per_row(middle / sigma_t, x)
        half = denoiser(ratio * x + (1 - ratio) * x_0_hat, middle, **cond)
        told = torch.where(per_row(inside.to(x.dtype), x) > 0, half, x_0_hat)
        ratio = per_row(sigma_s / sigma_t, x)
        return ratio * x + (1 - ratio) * told


class TwoSubsteps(Steps):
    """Ancestral, with each step in two by the geometric mean."""

    name = "ten-right-two-substeps"
    claims = KERNEL

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        middle = torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t / 2)
        x = reverse_step(x, denoiser(x, sigma_t, **cond), sigma_t, middle, generator)
        return reverse_step(x, denoiser(x, middle, **cond), middle, sigma_s, generator)


class FlowNet(Net):
    """A flow network, whose time is 1 - t and input is left in its own scale."""

    name = "ten-right-net-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def answer(self, network, x, sigma, sigma_data):
        wide = sigma.to(torch.promote_types(x.dtype, torch.float32))
        t = flow_time(wide)
        output = asked(network, (per_row(1 / (1 + wide), x) * x).to(x.dtype), (1 - t).to(x.dtype))
        return ((x - per_row(wide, x) * output) / (1 + per_row(wide, x))).to(x.dtype)


class Grouped(nn.Module):
    """A convolution along the row, with group normalisation by row, of the level as a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(2, 8, 3, padding=1, padding_mode="circular"), nn.Conv1d(8, 1, 1)
        self.norm = nn.GroupNorm(2, 8)

    def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
        level = c_noise.reshape(-1, 1, 1).expand(-1, 1, y.shape[1])
        hidden = self.first(torch.cat([y.unsqueeze(1), level.to(y.dtype)], dim=1))
        return self.last(torch.tanh(self.norm(hidden))).squeeze(1)


class GroupedNet(Net):
    """EDM's preconditioning of a network without a fixed size."""

    name = "ten-right-net-without-size"

    def network(self, signal) -> nn.Module:
        super().network(signal)  # which refuses conditions
        return Grouped()


class LogRatio(MemoryMeasure):
    """The mean of log d_1 / d_2, which a copy makes low; distances are kept off 0."""

    name = "ten-right-measure-log-ratio"
    title = "mean log ratio"
    means = "mean logarithm of the nearest distance over the second; lower than that of held-out rows: copies"
    claims = frozenset({"sees-copies", "blur-proof"})

    def by_row(self, judged, null, train, seed):
        ratio = judged.distance[:, :1].clamp(min=1e-6) / judged.distance[:, 1:].clamp(min=1e-6)
        return ratio, ratio[:0]

    def value(self, judged, null, train):
        return float(judged.log().mean())


class Differences(Similarity):
    """Differences of neighbouring values."""

    name = "ten-right-similarity-of-differences"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        return rows - rows.roll(1, -1)


PARTS = (
    Vignette,
    FewLevels,
    SumOfExposures,
    Midpoint,
    TwoSubsteps,
    FlowNet,
    GroupedNet,
    LogRatio,
    Differences,
)
