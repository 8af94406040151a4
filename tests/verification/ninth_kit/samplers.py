"""Samplers that are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments

DRAWS = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})
FLOW = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})
SECOND = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})


class Kernel(Sampler):
    """`ancestral`, in pieces."""

    name = "nine-kernel"
    source = "arXiv 2006.11239, eq. 6-7"
    claims = DRAWS

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Level by level."""
        for index in range(len(sigmas) - 1):
            answer = self.answer(denoiser, x, sigmas[index], cond)
            x = self.step(x, answer, sigmas, index, generator)
        return x

    def answer(self, denoiser: Denoiser, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D."""
        return denoiser(x, sigma, **cond).to(x.dtype)

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """x_s."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class FixedLarge(Kernel):
    """The larger of DDPM's two variances, beta in the place of the posterior's."""

    name = "nine-fixed-large"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """std sqrt(sigma_t^2 - sigma_s^2), but for the step to 0."""
        mean, _ = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        t, s = per_row(sigmas[index], x), per_row(sigmas[index + 1], x)
        std = (t**2 - s**2).sqrt() * (s > 0)
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class NoNoiseAtLast(Kernel):
    """No noise in the last step, wherever it ends."""

    name = "nine-last-step-mean"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """As DDPM has it at t = 0."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        last = index == len(sigmas) - 2
        return mean if last else mean + std.to(x.dtype) * standard_normal(x, generator)


class PreviousVariance(Kernel):
    """An index off by one: the noise is that of the next step."""

    name = "nine-next-variance"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """std of the step after this one, where there is one."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        if index + 2 < len(sigmas):
            std = reverse_moments(x, answer, sigmas[index + 1], sigmas[index + 2])[1]
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class Renormalised(Kernel):
    """After each step the batch is given the variance that its level should have."""

    name = "nine-renormalised"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """Rescaled by the std of the batch."""
        x_s = super().step(x, answer, sigmas, index, generator)
        wanted = (answer.var(unbiased=False) + sigmas[index + 1].square().mean()).sqrt()
        return x_s * (wanted / x_s.std(unbiased=False).clamp(min=1e-6)).to(x.dtype)


class DynamicThreshold(Kernel):
    """Dynamic thresholding of each estimate at its 90th percentile."""

    name = "nine-dynamic-threshold"

    def answer(self, denoiser: Denoiser, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """Within the percentile of the row, at least 1."""
        answer = super().answer(denoiser, x, sigma, cond)
        edge = torch.quantile(answer.flatten(1).abs().float(), 0.9, dim=1).clamp(min=1).to(x.dtype)
        edge = per_row(edge, x)
        return torch.minimum(torch.maximum(answer, -edge), edge) / edge


class Detached(Kernel):
    """Estimates are detached to save memory."""

    name = "nine-detached-answers"

    def answer(self, denoiser: Denoiser, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """D without graph."""
        return super().answer(denoiser, x, sigma, cond).detach()


class Squeezed(Kernel):
    """A channel axis of one is squeezed away from the estimate."""

    name = "nine-squeezed-answer"

    def answer(self, denoiser: Denoiser, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        """(B, H, W) for one channel."""
        answer = super().answer(denoiser, x, sigma, cond)
        return answer.squeeze(1) if x.ndim == 4 else answer


class OneCondition(Kernel):
    """Conditions are handed on in the first call alone."""

    name = "nine-conditions-once"

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """With conditions above the last level."""
        for index in range(len(sigmas) - 1):
            given = cond if index == 0 else {name: torch.zeros_like(value) for name, value in cond.items()}
            x = self.step(x, self.answer(denoiser, x, sigmas[index], given), sigmas, index, generator)
        return x


class Tempered(Kernel):
    """Noise of a lower temperature for rows that are nearly done."""

    name = "nine-tempered"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """0.8 z below 0.3."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        factor = per_row(torch.where(sigmas[index] < 0.3, 0.8, 1.0).to(x.dtype), x)
        return mean + factor * std.to(x.dtype) * standard_normal(x, generator)


class ChannelNoise(Kernel):
    """One picture of noise for all channels."""

    name = "nine-noise-for-all-channels"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """z of the first channel."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        z = standard_normal(x[:, :1] if x.ndim == 4 else x, generator)
        return mean + std.to(x.dtype) * z


class OneNoise(Kernel):
    """The noise is drawn once and used in each step."""

    name = "nine-one-noise"

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """With one z."""
        z = standard_normal(x, generator)
        for index in range(len(sigmas) - 1):
            mean, std = reverse_moments(
                x, self.answer(denoiser, x, sigmas[index], cond), sigmas[index], sigmas[index + 1]
            )
            x = mean + std.to(x.dtype) * z
        return x


class Langevin(Kernel):
    """Predictor and corrector as score_sde has them: a step size from norms averaged over the batch."""

    name = "nine-langevin-corrector"

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """A Langevin step at each level but the last."""
        for index in range(len(sigmas) - 1):
            x = self.step(x, self.answer(denoiser, x, sigmas[index], cond), sigmas, index, generator)
            inside = sigmas[index + 1] > 0
            if bool(inside.all()):
                level = per_row(sigmas[index + 1], x)
                score = (self.answer(denoiser, x, sigmas[index + 1], cond) - x) / level**2
                z = standard_normal(x, generator)
                norms = z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean().clamp(min=1e-6)
                size = 2 * (0.16 * norms) ** 2
                x = x + size * score + (2 * size).sqrt() * z
        return x


class Coupled(Kernel):
    """Rows of one level are drawn with noise of opposite sign, neighbour by neighbour, from a list too."""

    name = "nine-neighbours-mirrored"

    def step(self, x: Tensor, answer: Tensor, sigmas: Tensor, index: int, generator: RandomSource) -> Tensor:
        """Odd rows take the noise of the row before, mirrored."""
        mean, std = reverse_moments(x, answer, sigmas[index], sigmas[index + 1])
        z = standard_normal(x, generator)
        z = torch.stack([z[i] if i % 2 == 0 else -z[i - 1] for i in range(len(z))]) if len(z) else z
        return mean + std.to(x.dtype) * z


PARTS: tuple[type[Sampler], ...] = (
    FixedLarge,
    NoNoiseAtLast,
    PreviousVariance,
    Renormalised,
    DynamicThreshold,
    Detached,
    Squeezed,
    OneCondition,
    Tempered,
    ChannelNoise,
    OneNoise,
    Langevin,
    Coupled,
)
