"""Wrong samplers that follow the flow, and those around a whole grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Denoiser, Sampler
from ambientkit.maths.levels import power_grid
from ambientkit.maths.noise import RandomSource, per_row

Ask = Callable[[Tensor, Tensor], Tensor]
FLOW = frozenset({"final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """A sampler of single steps, each a method of its own."""

    source = "arXiv 2206.00364, algorithm 1"

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0."""

        def ask(x: Tensor, sigma: Tensor) -> Tensor:
            return denoiser(x, sigma, **cond).to(x.dtype)

        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self._step(ask, x, sigma_t, sigma_s, generator)
        return x

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        raise NotImplementedError


def slope(ask: Ask, x: Tensor, sigma: Tensor) -> Tensor:
    """(x - D) / sigma."""
    return (x - ask(x, sigma)) / per_row(sigma, x)


class TwoStages(Steps):
    """Heun's rule by rows. Right: parts below change its second stage."""

    name = "seven-two-stages"
    claims = Heun.claims

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        first, h = slope(ask, x, sigma_t), per_row(sigma_s - sigma_t, x)
        ahead, inside = x + h * first, sigma_s > 0
        level = torch.where(inside, sigma_s, sigma_t)
        second = self._second(ask, ahead, level, sigma_t)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, x + h * (first + second) / 2, ahead)

    def _second(self, ask: Ask, ahead: Tensor, level: Tensor, sigma_t: Tensor) -> Tensor:
        return slope(ask, ahead, level)


class LateStage(TwoStages):
    """The second stage asks the denoiser at the upper level once more."""

    name = "seven-late-stage"

    def _second(self, ask: Ask, ahead: Tensor, level: Tensor, sigma_t: Tensor) -> Tensor:
        return (ahead - ask(ahead, sigma_t)) / per_row(level, ahead)


class UpperDivisor(TwoStages):
    """The slope of the second stage is divided by the upper level."""

    name = "seven-upper-divisor"

    def _second(self, ask: Ask, ahead: Tensor, level: Tensor, sigma_t: Tensor) -> Tensor:
        return (ahead - ask(ahead, level)) / per_row(sigma_t, ahead)


class AnyAtZero(TwoStages):
    """If one row of the batch ends at 0 in a step, all rows of it take Euler's step."""

    name = "seven-any-at-zero"

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        if bool((sigma_s == 0).any()):
            return x + per_row(sigma_s - sigma_t, x) * slope(ask, x, sigma_t)
        return super()._step(ask, x, sigma_t, sigma_s, generator)


class NanToNum(TwoStages):
    """At level 0 the second slope, 0/0, is put to 0 and averaged in, so that half the noise of the last step stays."""

    name = "seven-nan-to-num"

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        first, h = slope(ask, x, sigma_t), per_row(sigma_s - sigma_t, x)
        ahead, inside = x + h * first, sigma_s > 0
        second = slope(ask, ahead, torch.where(inside, sigma_s, sigma_t)) * per_row(inside.to(x.dtype), x)
        return x + h * (first + second) / 2


class FirstColumn(TwoStages):
    """All rows take the grid of the first row."""

    name = "seven-first-column"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        return super().sample(denoiser, x, sigmas[:, :1].expand_as(sigmas), generator, cond)


class SkipsLast(TwoStages):
    """The last step is left out where it leads to 0, so that the noise of the lowest level stays."""

    name = "seven-skips-last"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        cut = bool((sigmas[-1] == 0).all()) and len(sigmas) > 2
        return super().sample(denoiser, x, sigmas[:-1] if cut else sigmas, generator, cond)


class AlwaysDenoises(TwoStages):
    """What is returned is always the denoised point, also where the grid ends above 0."""

    name = "seven-always-denoises"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        x = super().sample(denoiser, x, sigmas, generator, cond)
        level = torch.where(sigmas[-1] > 0, sigmas[-1], sigmas[-2])
        return torch.where(per_row((sigmas[-1] > 0).to(x.dtype), x) > 0, denoiser(x, level, **cond).to(x.dtype), x)


class EveryOther(TwoStages):
    """As each step takes two calls, every other level of the grid is left out."""

    name = "seven-every-other"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        kept = torch.cat([sigmas[:-1:2], sigmas[-1:]])
        return super().sample(denoiser, x, kept, generator, cond)


class OwnGrid(TwoStages):
    """The levels between the first and the last one are its own, spaced by rho = 7."""

    name = "seven-own-grid"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        low = torch.where(sigmas[-1] > 0, sigmas[-1], sigmas[-2])
        whole = power_grid(sigmas[0], low, len(sigmas) - int(bool((sigmas[-1] == 0).any())), 7.0)
        if len(whole) < len(sigmas):
            whole = torch.cat([whole, sigmas[-1:]])
        return super().sample(denoiser, x, whole, generator, cond)


class ConditionsOnce(TwoStages):
    """The second stage asks without the conditions of the rows."""

    name = "seven-conditions-once"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        calls = [0]

        def bare(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            calls[0] += 1
            return denoiser(x, sigma, **cond) if calls[0] % 2 else denoiser(x, sigma)

        return super().sample(bare, x, sigmas, generator, cond)


class NoGradients(TwoStages):
    """Gradients are switched off inside, so that none passes to whoever trains through it."""

    name = "seven-no-gradients"

    @torch.no_grad()
    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        return super().sample(denoiser, x, sigmas, generator, cond)


class StartChanged(TwoStages):
    """The points it is given are moved in place."""

    name = "seven-start-changed"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""
        return x.copy_(super().sample(denoiser, x, sigmas, generator, cond))


class ScalarLevel(TwoStages):
    """Where all rows share a grid the denoiser is told one level without a batch axis."""

    name = "seven-scalar-level"

    def sample(self, denoiser, x, sigmas, generator, cond) -> Tensor:
        """As above."""

        def told(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma[0] if bool((sigma == sigma[0]).all()) else sigma, **cond)

        return super().sample(told, x, sigmas, generator, cond)


class KernelByFlow(TwoStages):
    """It follows the flow and draws nothing, yet says that it draws from the reverse kernel."""

    name = "seven-kernel-by-flow"
    claims = Heun.claims | {"reverse-kernel"}


class EulerOfTwo(Steps):
    """Euler's rule, of which it says that its order is 2."""

    name = "seven-euler-of-two"
    claims = FLOW | {"order-2"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        return x + per_row(sigma_s - sigma_t, x) * slope(ask, x, sigma_t)


class Multistep(Sampler):
    """DPM-Solver++(2M) by rows. Right: parts below change its extrapolation."""

    name = "seven-multistep"
    source = "arXiv 2211.01095, algorithm 2"
    claims = FLOW | {"order-2"}

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), decreasing, the last may be 0."""
        old, before = None, None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            ahead = x_0_hat
            if before is not None:
                share = self._share(torch.log(before / sigma_t), torch.log(sigma_t / sigma_s.clamp(min=1e-30)))
                share = torch.where(sigma_s > 0, share, torch.zeros_like(share))
                ahead = x_0_hat + per_row(share, x) * (x_0_hat - old)
            ratio = per_row(sigma_s / sigma_t, x)
            x = ratio * x + (1 - ratio) * ahead
            old, before = x_0_hat, sigma_t
        return x

    def _share(self, h_last: Tensor, h: Tensor) -> Tensor:
        return h / h_last / 2


class RatioInverted(Multistep):
    """The difference of two answers is weighed by the ratio of the steps upside down."""

    name = "seven-ratio-inverted"

    def _share(self, h_last: Tensor, h: Tensor) -> Tensor:
        return h_last / h / 2


class WholeDifference(Multistep):
    """The difference of two answers counts in full, where half of it is right."""

    name = "seven-whole-difference"

    def _share(self, h_last: Tensor, h: Tensor) -> Tensor:
        return h / h_last


class FlowLevel(Steps):
    """Works in the time of a flow, and tells the denoiser t = sigma / (1 + sigma) for its level."""

    name = "seven-flow-level"
    claims = FLOW | {"order-1"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        x_0_hat = ask(x, sigma_t / (1 + sigma_t))
        return x_0_hat + per_row(sigma_s / sigma_t, x) * (x - x_0_hat)


class VarianceForAmplitude(Steps):
    """Works in variance-preserving variables, and takes alpha for alpha^2 where it computes the std of the noise."""

    name = "seven-alpha-bar"
    claims = FLOW | {"order-1"}

    def _step(self, ask: Ask, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource) -> Tensor:
        (a_t, s_t), (a_s, s_s) = (self._schedule(per_row(level, x)) for level in (sigma_t, sigma_s))
        x_0_hat = ask(x, sigma_t)
        z = (a_t * x - a_t * x_0_hat) / s_t
        return (a_s * x_0_hat + s_s * z) / a_s

    def _schedule(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        alpha = (1 + sigma**2) ** -0.5
        return alpha, (1 - alpha).clamp(min=0).sqrt()


class LowLevelsAlike(TwoStages):
    """Levels below 0.05 are told to the denoiser as 0.05, as a network of few steps would have it."""

    name = "seven-low-levels-alike"

    def _second(self, ask: Ask, ahead: Tensor, level: Tensor, sigma_t: Tensor) -> Tensor:
        return (ahead - ask(ahead, level.clamp(min=0.05))) / per_row(level, ahead)


PARTS = (
    LateStage,
    UpperDivisor,
    AnyAtZero,
    NanToNum,
    FirstColumn,
    SkipsLast,
    AlwaysDenoises,
    EveryOther,
    OwnGrid,
    ConditionsOnce,
    NoGradients,
    StartChanged,
    ScalarLevel,
    KernelByFlow,
    EulerOfTwo,
    RatioInverted,
    WholeDifference,
    FlowLevel,
    VarianceForAmplitude,
    LowLevelsAlike,
)
