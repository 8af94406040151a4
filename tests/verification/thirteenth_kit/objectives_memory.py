"""Wrong objectives that keep something between steps: posterior draws, and moments of detail."""

from __future__ import annotations

import torch

from ambientkit.builtin.hops import repeated
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import COND, PosteriorBuffer
from ambientkit.maths.blocks import coefficients
from ambientkit.maths.levels import power_grid
from ambientkit.maths.noise import per_row
from ambientkit.maths.weights import edm_weight

from .bases import Ambient, made


class NoLastStep(PosteriorBuffer):
    """The chain of a draw ends at its lowest level, and the step to 0 is left out. Breaks: x~ is a draw of x_0, and
    x~ + sigma z lies at sigma."""

    name = "kit13-draw-without-last-step"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        _drawn(self, denoiser, batch, tools, lambda grid: grid[:-1])


class MeanAsDraw(PosteriorBuffer):
    """Keeps D(x_n) in place of a draw. Breaks: x~ ~ p(x_0 | x_n), which has the posterior's spread."""

    name = "kit13-mean-as-draw"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        _drawn(self, denoiser, batch, tools, lambda grid: grid[[0, -1]])


class StartBelow(PosteriorBuffer):
    """The chain begins at half the level of x_n. Breaks: it starts in x_t = x_n at sigma_n."""

    name = "kit13-draw-from-half-level"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        _drawn(self, denoiser, batch, tools, lambda grid: grid / 2)


class WrongPlace(PosteriorBuffer):
    """Conditions are kept one place further than their draws, and further in each call. Breaks: the row's
    conditions."""

    name = "kit13-kept-one-place-off"

    @torch.no_grad()
    def _draw(self, denoiser, batch, tools):
        super()._draw(denoiser, batch, tools)
        for name, value in tools.memory.items():
            if name.startswith(COND):
                tools.memory[name] = value.roll(1, 0)


class WholeRoom(PosteriorBuffer):
    """Takes rows from the whole room of the buffer before it is full: zeros at level 0. Breaks: x~ is a draw."""

    name = "kit13-empty-places-used"

    def _begin(self, batch, memory):
        super()._begin(batch, memory)
        memory["drawn"] += len(memory["sigma_n"])


class Growing(Ambient):
    """Keeps all levels so far, one call after another. Breaks: names and shapes in memory stay those of the first
    call."""

    name = "kit13-growing-memory"

    def levels(self, batch, tools):
        sigma = super().levels(batch, tools)
        kept = tools.memory.get("levels", sigma.new_zeros(0))
        tools.memory["levels"] = torch.cat([kept, sigma.detach()])[-4096:]
        return sigma


class OverMeanLoss(Ambient):
    """Divides by the mean loss of the call, so that terms look alike. Breaks: an error costs lambda delta^2
    mean(c^2)."""

    name = "kit13-over-mean-loss"

    def reduced(self, value, view, batch):
        found = value.flatten(1).mean(1)
        return found / (found.detach().abs().mean() + 1e-3)


class StaleScale(Ambient):
    """The weight is computed for the first call's levels and kept. Breaks: lambda(sigma) of each value's own level."""

    name = "kit13-stale-weights"

    def scale(self, sigma, batch, tools):
        found = edm_weight(sigma, tools.signal.sigma_data)
        if "weights" not in tools.memory or len(tools.memory["weights"]) != len(found):
            tools.memory["weights"] = found
        return tools.memory["weights"]


class NoiseInEnergy(DetailMoments):
    """The energy of detail of the rows keeps the noise: f(x_n)^2 without - sigma_n^2. Breaks: E[f(x_0)^2] =
    E[f(x_n)^2 - sigma_n^2]."""

    name = "kit13-noise-in-energy"

    def _detail(self, found, batch, tools):
        least = torch.full_like(batch.sigma_n, 1.01 * tools.levels.sigma_min)
        noisy = batch.sigma_n > tools.levels.sigma_min
        return super()._detail(found, batch._replace(sigma_n=torch.where(noisy, least, batch.sigma_n)), tools)


class ThisCall(DetailMoments):
    """The push is that of this call's own gain. Breaks: earlier calls alone, so that at the exact denoiser the push is
    independent of the rows."""

    name = "kit13-push-of-this-call"

    def _push(self, memory, bin_of, v, s, top):
        return torch.zeros_like(v + s)

    def _detail(self, found, batch, tools):
        x, d = coefficients(found.ends), coefficients(found.x_0_hat)
        s = per_row(repeated(found.sigma_s), x)
        with torch.no_grad():
            own = (((d - x) * x + s**2) / s**2).mean((1, 2, 3), keepdim=True) / (1 + s**2)
        return (2 * own * d * x).flatten(1).mean(1).unflatten(0, (4, -1)).mean(0)


class GainWithoutNoise(DetailMoments):
    """The gain of D is held at E[(f(D) - f(x_s)) f(x_s)] = 0, without sigma_s^2. Breaks: it is - sigma_s^2 at the exact
    denoiser."""

    name = "kit13-gain-without-noise"

    def _remember(self, memory, means, square, band, bin_of, gain, law):
        super()._remember(memory, means, square, band, bin_of, gain - 1, law)


def _drawn(part, denoiser, batch, tools, cut):
    """`PosteriorBuffer._draw` on another grid."""
    memory, top = tools.memory, tools.corruption.floor(batch)
    view = tools.corruption.degrade(batch, top, tools.generator)
    low = torch.minimum((0.03 * top).clamp(min=tools.levels.sigma_min), top)
    grid = cut(torch.cat([power_grid(top, low, part.steps, 3.0), torch.zeros_like(top).unsqueeze(0)]))
    x_0 = tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond)
    room, drawn = len(memory["sigma_n"]), int(memory["drawn"])
    place = (drawn + torch.arange(len(top), device=top.device)) % room
    memory["x_0"][place], memory["sigma_n"][place] = x_0.to(memory["x_0"].dtype), top.to(memory["sigma_n"].dtype)
    for name, value in view.cond.items():
        memory[COND + name][place] = value
    memory["drawn"] += len(top)


WRONG = made(
    NoLastStep,
    MeanAsDraw,
    StartBelow,
    WrongPlace,
    WholeRoom,
    Growing,
    OverMeanLoss,
    StaleScale,
    NoiseInEnergy,
    ThisCall,
    GainWithoutNoise,
)
