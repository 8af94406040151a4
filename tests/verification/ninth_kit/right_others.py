"""Other parts that are right, in unusual ways."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ambientkit.interfaces import Denoiser, Part, Sampler
from ambientkit.maths import copying
from ambientkit.maths.noise import RandomSource, per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_moments
from ambientkit.memorisation_parts import Neighbourhood, Similarity, TrainingRows
from tests.verification.ninth_kit.corruptions import White
from tests.verification.ninth_kit.flows import Euler
from tests.verification.ninth_kit.hiding import Holes
from tests.verification.ninth_kit.memory import Restores, Share
from tests.verification.ninth_kit.nets import Edm, Labelled, Net
from tests.verification.ninth_kit.samplers import FLOW, SECOND, Kernel


class Exponential(Euler):
    """The exponential rule of first order: x_s = x_t s / t + (1 - s / t) D."""

    name = "nine-right-exponential"

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """A weighted mean."""
        return torch.lerp(denoiser(x, t, **cond).to(x.dtype), x, per_row(s / t, x).to(x.dtype).expand_as(x))


class Midpoint(Euler):
    """The midpoint rule with the geometric mean of the levels, Euler's where a row ends at 0."""

    name = "nine-right-geometric-midpoint"
    claims = SECOND

    def step(self, denoiser: Denoiser, x: Tensor, t: Tensor, s: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """In log sigma: dx/dlog sigma = x - D."""
        inside = s > 0
        s_inside = torch.where(inside, s, t / 2)
        middle, h = (t * s_inside).sqrt(), torch.log(s_inside / t)
        drift = x - denoiser(x, t, **cond).to(x.dtype)
        half = x + per_row(h / 2, x) * drift
        far = x + per_row(h, x) * (half - denoiser(half, middle, **cond).to(x.dtype))
        return torch.where(per_row(inside.to(x.dtype), x) > 0, far, x - drift)


class DdimEta(Kernel):
    """DDIM with eta 1, whose direction is shortened by the noise: `ancestral` in other words."""

    name = "nine-right-ddim-eta"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """D + sqrt(sigma_s^2 - std^2) eps + std z."""
        t, s = per_row(sigmas[index], x), per_row(sigmas[index + 1], x)
        std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])[1]
        eps = (x - answer) / t
        along = (s**2 - std**2).clamp(min=0).sqrt().to(x.dtype)
        return answer + along * eps + std.to(x.dtype) * standard_normal(x, generator)


class Multistep(Sampler):
    """DPM-Solver++ (2M): the last estimate is kept within the call."""

    name = "nine-right-multistep"
    source = "arXiv 2211.01095, algorithm 2"
    claims = SECOND

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """1 / (2 r) with r = h_last / h."""
        old, h_last = None, None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            answer = denoiser(x, t, **cond).to(x.dtype)
            inside = s > 0
            h = torch.log(t / torch.where(inside, s, t / 2))
            used = answer
            if old is not None and h_last is not None:
                half = per_row(torch.where(inside, h / (2 * h_last), torch.zeros_like(h)).to(x.dtype), x)
                used = (1 + half) * answer - half * old
            ratio = per_row(s / t, x).to(x.dtype)
            x, old, h_last = ratio * x + (1 - ratio) * used, answer, h
        return x


class Backwards(Euler):
    """Recursion in the place of a loop."""

    name = "nine-right-recursive"
    claims = FLOW

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """One step, and the rest."""
        x = self.step(denoiser, x, sigmas[0], sigmas[1], cond)
        return x if len(sigmas) == 2 else self.sample(denoiser, x, sigmas[1:], generator, cond)


class BoxMuller(White):
    """Normal numbers of Box and Muller, from uniform ones."""

    name = "nine-right-box-muller"

    def first(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """sqrt(-2 log(1 - u)) cos(2 pi v)."""
        u, v = uniform(x_0.double(), generator), uniform(x_0.double(), generator)
        return ((-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * v)).to(x_0.dtype)


class Levels(White):
    """A level of its own for each row, log-uniform."""

    name = "nine-right-levels-by-row"

    def level(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Tensor:
        """0.05 to 0.4."""
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return 0.05 * 8**u


class Pixels(Holes):
    """Missing pixels by hand."""

    name = "nine-right-holes"


class ByAngle(Edm):
    """EDM's coefficients by the angle of sigma and the data."""

    name = "nine-right-net-by-angle"

    def coefficients(self, sigma: Tensor, std: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """cos^2, std sin, 1 / hypot."""
        total = torch.hypot(sigma, torch.full_like(sigma, std))
        cos, sin = std / total, sigma / total
        return cos * cos, std * sin, total.reciprocal(), torch.log2(sigma) * (math.log(2) / 4)


class FlowForm(Edm):
    """A flow: x_flow - t F."""

    name = "nine-right-net-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """(1 - t) x - t F."""
        sigma = sigma.to(x.dtype)
        t = sigma / (1 + sigma)
        y = per_row(1 / (1 + sigma), x) * x
        return y - per_row(t, x) * network(y.flatten(1), t).reshape(x.shape).to(x.dtype)


class VByAngle(Edm):
    """v by the angle phi = atan(sigma)."""

    name = "nine-right-net-v"
    claims = frozenset({"denoiser-contract", "v-form"})

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """cos (cos x) - sin F."""
        phi = torch.atan(sigma.to(x.dtype))
        y = per_row(phi.cos(), x) * x
        answer = network(y.flatten(1), phi).reshape(x.shape).to(x.dtype)
        return per_row(phi.cos(), x) * y - per_row(phi.sin(), x) * answer


class OneHot(Labelled):
    """Labels by a product with one-hot rows."""

    name = "nine-right-net-one-hot"

    class Product(Net):
        """A matrix product."""

        def told(self, label: Tensor) -> Tensor:
            """one_hot W."""
            assert self.label is not None
            weight = self.label.weight
            return nn.functional.one_hot(label.long(), len(weight)).to(weight.dtype) @ weight

    net = Product


class Ranks(Similarity):
    """The rank of each value in its row, which brightness and contrast do not change."""

    name = "nine-right-ranks"
    source = "Spearman (1904)"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows: Tensor) -> Tensor:
        """On [-1, 1]; equal values get the mean of their ranks."""
        flat = (rows.flatten(1) * 1024).round() / 1024 if rows.dtype == torch.float16 else rows.flatten(1)
        less = (flat.unsqueeze(1) < flat.unsqueeze(2)).to(torch.float32).mean(2)
        more = (flat.unsqueeze(1) > flat.unsqueeze(2)).to(torch.float32).mean(2)
        return (less - more).reshape(rows.shape)


class Spectrum(Similarity):
    """Magnitudes of the Fourier transform of each row."""

    name = "nine-right-spectrum"
    source = "the definition"
    claims = frozenset({"row-by-row"})

    def view(self, rows: Tensor) -> Tensor:
        """|F x|."""
        return torch.fft.rfft(rows.flatten(1).float(), norm="ortho").abs()


class Noise(Restores):
    """Restores from strong noise, and gives the mean error of its draws."""

    name = "nine-right-attack"


class Median(Share):
    """The median of the distances over that of held-out rows."""

    name = "nine-right-measure"

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The share at the 5 % level."""
        return copying.share_nearer(judged[:, 0], null[:, 0], 0.05)

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """log distances, which keep the order."""
        return judged.distance[:, :1].log(), null.distance[:, :1].log()


PARTS: tuple[type[Part], ...] = (
    Exponential,
    Midpoint,
    DdimEta,
    Multistep,
    Backwards,
    BoxMuller,
    Levels,
    Pixels,
    ByAngle,
    FlowForm,
    VByAngle,
    OneHot,
    Ranks,
    Spectrum,
    Noise,
    Median,
)
