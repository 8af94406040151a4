"""Wrong objectives below the noise of the data: consistency, and posterior draws."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.objectives.posterior_buffer import COND, PosteriorBuffer
from ambientkit.interfaces import Denoiser, Tools
from ambientkit.maths.levels import log_uniform, power_grid
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments
from tests.verification.seventh_kit.bases import Hopping, repeated


class LevelsInterleaved(Hopping):
    """Points are repeated one after the other, their levels each twice in a row, so that rows get others' levels."""

    name = "seven-levels-interleaved"

    def _twice(self, sigma_s: Tensor) -> Tensor:
        return sigma_s.repeat_interleave(2)


class ConditionsInterleaved(Hopping):
    """Points are repeated one after the other, their conditions each twice in a row."""

    name = "seven-conditions-interleaved"

    def _twice_cond(self, value: Tensor) -> Tensor:
        return value.repeat_interleave(2, dim=0)


class SquaredDefect(Hopping):
    """The square of one defect, (D(x_s) - c)^2, takes the place of the product of two, and its variance blurs."""

    name = "seven-squared-defect"

    def _combined(self, first: Tensor, second: Tensor) -> Tensor:
        return (first**2).flatten(1).mean(1)


class SquaredMean(Hopping):
    """The square of the mean of both defects holds half the variance of one of them."""

    name = "seven-squared-mean"

    def _combined(self, first: Tensor, second: Tensor) -> Tensor:
        return (((first + second) / 2) ** 2).flatten(1).mean(1)


class HalfGradient(Hopping):
    """The second end is held fixed and nothing makes up for it, so that the gradient is half as large."""

    name = "seven-half-gradient"

    def _combined(self, first: Tensor, second: Tensor) -> Tensor:
        return (first * second.detach()).flatten(1).mean(1)


class NeverNegative(Hopping):
    """Negative products are put to 0, as a square cannot be negative."""

    name = "seven-never-negative"

    def _combined(self, first: Tensor, second: Tensor) -> Tensor:
        return super()._combined(first, second).clamp(min=0)


class AnchorLearns(Hopping):
    """The anchor's answer is not held fixed, so that the upper level is drawn to the lower one."""

    name = "seven-anchor-learns"

    def _target(self, denoiser: Denoiser, anchor: View, tools: Tools) -> Tensor:
        return denoiser(anchor.x, anchor.sigma, **anchor.cond).to(anchor.x.dtype)


class SaysAnchor(Hopping):
    """The term says the level of the anchor, where the gradient is that of the end."""

    name = "seven-says-anchor"

    def _said(self, anchor: View, sigma_s: Tensor) -> Tensor:
        return anchor.sigma


class OneEndTwice(Hopping):
    """One end is drawn and counted as both, so that the product is a square."""

    name = "seven-one-end-twice"

    @torch.no_grad()
    def _ends(
        self, denoiser: Denoiser, anchor: View, sigma: Tensor, cond: Mapping[str, Tensor], tools: Tools
    ) -> Tensor:
        n = len(anchor.x)
        grid = torch.stack([anchor.sigma, sigma[:n]])
        return repeated(tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond))


class EndsLearn(Hopping):
    """The hop runs with gradients, which reach the denoiser at the anchor through the place of the ends."""

    name = "seven-ends-learn"

    def _ends(
        self, denoiser: Denoiser, anchor: View, sigma: Tensor, cond: Mapping[str, Tensor], tools: Tools
    ) -> Tensor:
        grid = torch.stack([repeated(anchor.sigma), sigma])
        return tools.sampler.sample(denoiser, repeated(anchor.x), grid, tools.generator, cond)


class OwnHop(Hopping):
    """Hops by the reverse step itself. Right for short hops; parts below change it."""

    name = "seven-own-hop"
    max_hop: float = 0.2

    @torch.no_grad()
    def _ends(
        self, denoiser: Denoiser, anchor: View, sigma: Tensor, cond: Mapping[str, Tensor], tools: Tools
    ) -> Tensor:
        x, sigma_t = repeated(anchor.x), repeated(anchor.sigma)
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        return self._hop(x, x_0_hat, sigma_t, sigma, tools)

    def _hop(self, x: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, tools: Tools) -> Tensor:
        mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
        return mean + std.to(x.dtype) * standard_normal(x, tools.generator)


class HopUpperStd(OwnHop):
    """The noise of a hop is sigma_t sqrt(1 - r), where sigma_s sqrt(1 - r) is right."""

    name = "seven-hop-upper-std"

    def _hop(self, x: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, tools: Tools) -> Tensor:
        mean, std = reverse_moments(x, x_0_hat, sigma_t, sigma_s)
        return mean + (std * per_row(sigma_t / sigma_s, x)).to(x.dtype) * standard_normal(x, tools.generator)


class HopRatioNotSquared(OwnHop):
    """The hop mixes with sigma_s / sigma_t in the place of its square."""

    name = "seven-hop-ratio"

    def _hop(self, x: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, tools: Tools) -> Tensor:
        r = per_row(sigma_s / sigma_t, x)
        return r * x + (1 - r) * x_0_hat + per_row(sigma_s, x) * (1 - r).sqrt() * standard_normal(x, tools.generator)


class HopOfFlow(OwnHop):
    """The ends follow the flow, x_s = x_0_hat + sigma_s / sigma_t (x_t - x_0_hat), and draw nothing."""

    name = "seven-hop-of-flow"

    def _hop(self, x: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, tools: Tools) -> Tensor:
        return x_0_hat + per_row(sigma_s / sigma_t, x) * (x - x_0_hat)


class HopRenoised(OwnHop):
    """The ends are fresh noise around the estimate, x_s = x_0_hat + sigma_s z, as multistep consistency models hop."""

    name = "seven-hop-renoised"

    def _hop(self, x: Tensor, x_0_hat: Tensor, sigma_t: Tensor, sigma_s: Tensor, tools: Tools) -> Tensor:
        return x_0_hat + per_row(sigma_s, x) * standard_normal(x, tools.generator)


class ChainShort(Hopping):
    """The chain to an anchor leaves out its last step, so that its point has more noise than it is told."""

    name = "seven-chain-short"

    def _chain(self, teacher: Denoiser, view: View, grid: Tensor, tools: Tools) -> Tensor:
        return super()._chain(teacher, view, grid[:-1], tools)


class ChainUnconditional(Hopping):
    """The chain to an anchor runs without the conditions of the rows."""

    name = "seven-chain-unconditional"

    def _chain(self, teacher: Denoiser, view: View, grid: Tensor, tools: Tools) -> Tensor:
        return super()._chain(teacher, view._replace(cond={}), grid, tools)


class NotToppedUp(Hopping):
    """Where noise is given per pixel, an anchor is the row as it is, told the level of its noisiest pixel."""

    name = "seven-not-topped-up"

    def _start(self, batch: Batch, top: Tensor, tools: Tools) -> View:
        return View(batch.x_n, top, batch.cond)


class Shallow(Hopping):
    """Anchors lie between sigma_n / 2 and sigma_n, and no pair reaches the lower levels it says it trains."""

    name = "seven-shallow"

    def _below(self, u: Tensor, top: Tensor, tools: Tools) -> Tensor:
        return log_uniform(u, top / 2, top)


class BufferOfMeans(PosteriorBuffer):
    """The buffer keeps the mean E[x_0 | x_n] of each row and not a draw, so that what is learned is blurred."""

    name = "seven-buffer-of-means"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(denoiser, batch, _with(tools, _OneStep()))


class BufferNotToppedUp(PosteriorBuffer):
    """Where noise is given per pixel, a chain starts at the row as it is, told its highest level."""

    name = "seven-buffer-not-topped-up"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(denoiser, batch._replace(sigma_n=tools.corruption.floor(batch)), tools)


class BufferStillNoisy(PosteriorBuffer):
    """The chain of a draw ends at a fifth of sigma_n and is kept as it is, noise included."""

    name = "seven-buffer-still-noisy"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(denoiser, batch, _with(tools, _StopsShort(tools.sampler)))


class BufferUnfilled(PosteriorBuffer):
    """Room that has not been filled yet is drawn from as well, as rows of zeros with the level of the first draw."""

    name = "seven-buffer-unfilled"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(denoiser, batch, tools)
        level = tools.memory["sigma_n"]
        level[level == 0] = level.max()
        tools.memory["drawn"].clamp_(min=len(level))


class BufferOldConditions(PosteriorBuffer):
    """Once the buffer is full, a new draw takes the place of an old one but leaves that one's conditions."""

    name = "seven-buffer-old-conditions"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        memory = tools.memory
        old = {name: value.clone() for name, value in memory.items() if name.startswith(COND)}
        full = int(memory["drawn"]) >= len(memory["sigma_n"])
        super()._draw(denoiser, batch, tools)
        if full:
            memory.update(old)


class BufferOnePlaceOn(PosteriorBuffer):
    """The conditions of draws are kept one place off, each with the row beside it."""

    name = "seven-buffer-one-place-on"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        before = int(tools.memory["drawn"])
        super()._draw(denoiser, batch, tools)
        room, count = len(tools.memory["sigma_n"]), int(tools.memory["drawn"]) - before
        place = (before + torch.arange(count)) % room
        for name in tools.memory:
            if name.startswith(COND) and count > 1:
                tools.memory[name][place] = tools.memory[name][place.roll(1)]


class BufferRegrown(PosteriorBuffer):
    """A full buffer is doubled, so that what is kept changes its shape during the run."""

    name = "seven-buffer-regrown"

    @torch.no_grad()
    def _draw(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> None:
        super()._draw(denoiser, batch, tools)
        drawn, memory = int(tools.memory["drawn"]), tools.memory
        if drawn >= len(memory["sigma_n"]):
            for name in [name for name in memory if name != "drawn"]:
                memory[name] = torch.cat([memory[name], torch.zeros_like(memory[name])])


class _OneStep:
    """A sampler that goes to 0 at once."""

    claims = frozenset({"reverse-kernel"})
    name = "one-step"

    def sample(self, denoiser, x, sigmas, generator, cond):
        return denoiser(x, sigmas[0], **cond).to(x.dtype)


class _StopsShort:
    """A sampler that goes to a fifth of the first level."""

    claims = frozenset({"reverse-kernel"})
    name = "stops-short"

    def __init__(self, own) -> None:
        self._own = own

    def sample(self, denoiser, x, sigmas, generator, cond):
        low = 0.2 * sigmas[0]
        return self._own.sample(denoiser, x, power_grid(sigmas[0], low, len(sigmas), 3.0), generator, cond)


def _with(tools: Tools, sampler) -> Tools:
    return Tools(
        tools.corruption,
        sampler,
        tools.teacher,
        tools.signal,
        tools.generator,
        tools.levels,
        tools.memory,
    )


PARTS = (
    LevelsInterleaved,
    ConditionsInterleaved,
    SquaredDefect,
    SquaredMean,
    HalfGradient,
    NeverNegative,
    AnchorLearns,
    SaysAnchor,
    OneEndTwice,
    EndsLearn,
    HopUpperStd,
    HopRatioNotSquared,
    HopOfFlow,
    HopRenoised,
    ChainShort,
    ChainUnconditional,
    NotToppedUp,
    Shallow,
    BufferOfMeans,
    BufferNotToppedUp,
    BufferStillNoisy,
    BufferUnfilled,
    BufferOldConditions,
    BufferOnePlaceOn,
    BufferRegrown,
)
