"""Right parts in pieces, so that a wrong one replaces the one piece that it gets wrong."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Model, Objective, Sampler, Tools
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.weights import edm_weight, hidden_factor

ABOVE = frozenset(
    {
        "stationary-at-oracle",
        "noise-by-pixel",
        "views-in-law",
        "levels-above-floor",
        "detached-anchor",
        "x_0-scale",
    }
)
UNDER_MASKS = ABOVE | {"serves-masks", "serves-operators", "scale-under-masks"}
BELOW = frozenset(
    {
        "stationary-at-oracle",
        "noise-by-pixel",
        "views-in-law",
        "value-unbiased",
        "detached-anchor",
        "half-backward",
    }
)
DRAWS = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "x_0-scale", "detached-anchor"})


class Above(Objective):
    """Ambient Tweedie in pieces."""

    source = "arXiv 2404.10177, eq. 3.4"
    claims = ABOVE

    def loss(self, denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x_0_hat = self.ask(denoiser, view, batch, tools)
        return {"above": Term(self.value(x_0_hat, view, batch, tools), sigma)}

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(torch.empty(len(batch.x_n), dtype=batch.x_n.dtype), tools.generator)
        return truncated_lognormal(u, floor, tools.levels.sigma_max, -1.2, 1.2).to(floor.dtype)

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        return denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        return self.weight(view.sigma, tools) * self.error(x_0_hat, view, batch, tools).flatten(1).mean(1)

    def weight(self, sigma: Tensor, tools: Tools) -> Tensor:
        return edm_weight(sigma, tools.signal.sigma_data)

    def error(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        rho = tools.corruption.expect(x_0_hat, view, batch) - batch.x_n
        return self.factor(view, batch, tools) * (rho**2 - in_vain(view, batch, tools))

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        return capped_inverse_square(tools.corruption.slope(view, batch), 25.0)


class UnderMasks(Above):
    """The same where values are hidden, by the corruption's own weight."""

    claims = UNDER_MASKS

    def factor(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        cap = torch.full_like(view.sigma, 25.0)
        return tools.corruption.weight(view, batch, cap, hidden_factor(view.sigma, tools.signal.sigma_data))


def in_vain(view: View, batch: Batch, tools: Tools) -> Tensor:
    """What no denoiser changes."""
    a = tools.corruption.slope(view, batch)
    at_0 = tools.corruption.expect(torch.zeros_like(view.x), view, batch)
    return (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2


class Below(Objective):
    """Consistency by two independent hops, in pieces."""

    source = "arXiv 2302.09057, eq. 8; arXiv 2404.10177, section 3.2"
    claims = BELOW
    below_sigma_n = "by making the estimates of neighbouring levels agree"

    def loss(self, denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        self.suits(tools)
        batch = self.usable(batch, tools)
        if len(batch.x_n) == 0:
            return {"below": Term(batch.x_n.new_zeros(0), batch.x_n.new_zeros(0))}
        with torch.no_grad():
            anchor = self.anchor(batch, tools)
            sigma_s = self.lower(anchor.sigma, tools)
            ends = self.ends(denoiser, anchor, sigma_s, tools)
            target = self.target(denoiser, anchor, tools)
        found = self.answers(denoiser, ends, sigma_s, anchor, tools)
        return {"below": Term(self.value(found, target, sigma_s, anchor, tools), self.told(sigma_s, anchor))}

    def suits(self, tools: Tools) -> None:
        if "reverse-kernel" not in tools.sampler.claims:
            raise InputError(f"{self.name} needs a sampler of the reverse kernel, not {tools.sampler.name!r}")

    def usable(self, batch: Batch, tools: Tools) -> Batch:
        return take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))

    def anchor(self, batch: Batch, tools: Tools) -> View:
        """At sigma_n, or below it by one step of the teacher."""
        floor = tools.corruption.floor(batch)
        view = tools.corruption.degrade(batch, floor, tools.generator)
        u = uniform(floor, tools.generator)
        sigma = floor * (tools.levels.sigma_min / floor) ** (0.5 * u)
        middle = (floor * sigma).sqrt()
        x = tools.sampler.sample(tools.teacher, view.x, torch.stack([floor, middle, sigma]), tools.generator, view.cond)
        return View(x, sigma, view.cond)

    def lower(self, sigma_t: Tensor, tools: Tools) -> Tensor:
        hop = torch.log(sigma_t / tools.levels.sigma_min).clamp(min=0, max=0.3)
        return sigma_t * torch.exp(-hop * uniform(sigma_t, tools.generator))

    def ends(self, denoiser, anchor: View, sigma_s: Tensor, tools: Tools) -> Tensor:
        """(2, n, *S)."""
        return torch.stack([self.hop(denoiser, anchor, sigma_s, tools) for _ in range(2)])

    def hop(self, denoiser, anchor: View, sigma_s: Tensor, tools: Tools) -> Tensor:
        grid = torch.stack([anchor.sigma, sigma_s])
        return tools.sampler.sample(denoiser, anchor.x, grid, tools.generator, anchor.cond)

    def target(self, denoiser, anchor: View, tools: Tools) -> Tensor:
        return denoiser(anchor.x, anchor.sigma, **anchor.cond)

    def answers(self, denoiser, ends: Tensor, sigma_s: Tensor, anchor: View, tools: Tools) -> Tensor:
        return torch.stack([denoiser(end, sigma_s, **anchor.cond) for end in ends])

    def value(self, found: Tensor, target: Tensor, sigma_s: Tensor, anchor: View, tools: Tools) -> Tensor:
        first, second = found - target
        return edm_weight(sigma_s, tools.signal.sigma_data) * self.product(first, second).flatten(1).mean(1)

    def product(self, first: Tensor, second: Tensor) -> Tensor:
        return first * second

    def told(self, sigma_s: Tensor, anchor: View) -> Tensor:
        return sigma_s


class Gauss(Corruption):
    """White Gaussian noise of known level, in pieces."""

    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    def observe(self, x_0: Tensor, row: Tensor, generator) -> Batch:
        sigma_n = self.level(x_0, generator)
        return Batch(x_0 + per_row(sigma_n, x_0) * standard_normal(x_0, generator), sigma_n, row, {})

    def level(self, x_0: Tensor, generator) -> Tensor:
        return (0.1 + 0.2 * uniform(x_0.new_empty(len(x_0), 1), generator)).squeeze(1)

    def degrade(self, batch: Batch, sigma: Tensor, generator) -> View:
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} is noisier than the level asked for")
        missing = self.missing(per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n))
        return View(batch.x_n + missing * self.noise(batch.x_n, generator), sigma, batch.cond)

    def missing(self, sigma: Tensor, sigma_n: Tensor) -> Tensor:
        return (sigma**2 - sigma_n**2).clamp(min=0).sqrt()

    def noise(self, like: Tensor, generator) -> Tensor:
        return standard_normal(like, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x

    def floor(self, batch: Batch) -> Tensor:
        return per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1)


EULER = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})
HEUN = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})
KERNEL = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})


class Steps(Sampler):
    """Step by step."""

    source = "arXiv 2206.00364"

    def sample(self, denoiser, x: Tensor, sigmas: Tensor, generator, cond) -> Tensor:
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x

    def step(self, denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator, cond) -> Tensor:
        raise NotImplementedError


class Net(Model):
    """Two layers under EDM's preconditioning, in pieces."""

    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal) -> nn.Module:
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return Layers(math.prod(signal.shape))

    def denoiser(self, network: nn.Module, signal):
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.answer(network, x, sigma, signal.sigma_data)

        return denoise

    def answer(self, network: nn.Module, x: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        output = asked(network, per_row(c.c_in, x) * x, c.c_noise)
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


def asked(network: nn.Module, y: Tensor, c_noise: Tensor) -> Tensor:
    """The network's answer as rows."""
    return network(y.flatten(1), c_noise).to(y.dtype).reshape(y.shape)


class Layers(nn.Module):
    """F(y, c_noise)."""

    def __init__(self, size: int, width: int = 32) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)

    def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1))))
