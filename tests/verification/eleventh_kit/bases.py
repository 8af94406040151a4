"""Right parts in the plainest form; the kit's wrong ones change one method of theirs each.

Written out rather than taken from the built-in ones, so that a wrong part is what an author would have written.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.batch import Batch, Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Model, Objective, Sampler
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight, hidden_factor

ABOVE = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"})


class Above(Objective):
    """Tweedie above the noise of the data: lambda(sigma) mean(weight (E[x_n | x_t] by D - x_n)^2)."""

    name = "kit11-above"
    claims = ABOVE

    p_mean: float = -0.8
    """Mean of log sigma."""
    p_std: float = Field(1.3, gt=0)
    """Std of log sigma."""

    def loss(self, denoiser, batch, tools):
        """One term with a value for every row."""
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        answer = self.ask(denoiser, view, batch, tools)
        value = self.weigh(self.residual(answer, view, batch, tools), view, batch, tools)
        return {"above": Term(value, sigma)}

    def levels(self, batch, tools):
        """(B,), log-normal above the floor of the row."""
        floor = tools.corruption.floor(batch)
        if (floor >= tools.levels.sigma_max).any():
            raise InputError("kit11: a row is as noisy as sigma_max: raise levels.sigma_max")
        low = floor.clamp(min=tools.levels.sigma_min)
        u = uniform(floor, tools.generator)
        return truncated_lognormal(u, low, tools.levels.sigma_max, self.p_mean, self.p_std).to(floor.dtype)

    def view(self, batch, sigma, tools):
        """x_t."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def ask(self, denoiser, view, batch, tools):
        """D(x_t, sigma)."""
        return denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)

    def residual(self, answer, view, batch, tools):
        """a D + b x_t - x_n."""
        return tools.corruption.expect(answer, view, batch) - batch.x_n

    def factor(self, view, batch, tools):
        """What the square of each value counts."""
        hidden = hidden_factor(view.sigma, tools.signal.sigma_data)
        return tools.corruption.weight(view, batch, torch.full_like(view.sigma, 25.0), hidden)

    def weigh(self, residual, view, batch, tools):
        """(B,), of the squared residual."""
        square = self.factor(view, batch, tools) * residual.square()
        return edm_weight(view.sigma, tools.signal.sigma_data) * square.flatten(1).mean(1)


class InX0(Above):
    """In the scale of x_0: what does not depend on D is taken off the square."""

    name = "kit11-in-x0"
    claims = ABOVE | {"x_0-scale", "serves-masks", "serves-operators", "scale-under-masks"}

    def weigh(self, residual, view, batch, tools):
        """(B,)."""
        corruption = tools.corruption
        a = corruption.slope(view, batch)
        at_0 = corruption.expect(torch.zeros_like(view.x), view, batch)
        vain = (a * batch.x_n + at_0 - batch.x_n) ** 2 + (a * per_row(batch.sigma_n, batch.x_n)) ** 2
        square = self.factor(view, batch, tools) * (residual.square() - vain)
        return self.scale(view, tools) * self.mean(square)

    def scale(self, view, tools):
        """lambda(sigma)."""
        return edm_weight(view.sigma, tools.signal.sigma_data)

    def mean(self, square):
        """Over the values of a row."""
        return square.flatten(1).mean(1)


class Recorrupted(Objective):
    """Two noisier copies with independent noise: y = x_n + t sigma_n z is seen, x_n - sigma_n z / t is the target."""

    name = "kit11-recorrupted"
    source = "arXiv 2102.02234, eq. 4"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "detached-anchor"})

    least: float = Field(0.3, gt=0)
    """Least t; the largest is 1 / least."""

    def loss(self, denoiser, batch, tools):
        """One term; rows at or below sigma_min are left out."""
        corruption = tools.corruption
        if corruption.name != "gaussian":
            raise InputError(f"kit11-recorrupted knows Gaussian noise only, not {corruption.name!r}")
        floor = corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        floor = corruption.floor(batch)
        if len(floor) == 0:
            return {"recorrupted": Term(floor, floor)}
        even = corruption.degrade(batch, floor, tools.generator).x
        t = (uniform(floor, tools.generator) * 2 - 1).mul(math.log(1 / self.least)).exp()
        t = torch.minimum(t, ((tools.levels.sigma_max / floor) ** 2 - 1).clamp(min=1e-6).sqrt())
        z = standard_normal(even, tools.generator)
        sigma = self.level(floor, t)
        y = even + per_row(t * floor, even) * z
        target = self.target(even, floor, t, z)
        error = denoiser(y, sigma, **batch.cond).to(even.dtype) - target
        return {
            "recorrupted": Term(edm_weight(sigma, tools.signal.sigma_data) * error.square().flatten(1).mean(1), sigma)
        }

    def level(self, floor, t):
        """Of the view."""
        return floor * (1 + t * t).sqrt()

    def target(self, even, floor, t, z):
        """Noise that is independent of that of the view."""
        return even - per_row(floor / t, even) * z


class Plain(Corruption):
    """White noise of known level, written out."""

    name = "kit11-plain"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: float = Field(0.2, ge=0)
    """Std of the noise, data units."""

    def observe(self, x_0, row, generator):
        """x_n = x_0 + sigma_n z."""
        level = torch.full((len(x_0),), self.sigma_n, dtype=x_0.dtype, device=x_0.device)
        return Batch(x_0 + per_row(level, x_0) * self.noise(x_0, generator), level, row, {})

    def noise(self, like, generator):
        """White, of std 1."""
        return standard_normal(like, generator)

    def degrade(self, batch, sigma, generator):
        """x_t = x_n + sqrt(sigma^2 - sigma_n^2) z."""
        self.refuse(batch, sigma)
        return View(batch.x_n + self.missing(batch, sigma) * self.noise(batch.x_n, generator), sigma, batch.cond)

    def refuse(self, batch, sigma):
        """Raises ValueError, naming the row, below its floor."""
        below = sigma < self.floor(batch)
        if below.any():
            raise ValueError(f"row {int(batch.row[int(below.nonzero()[0])])} cannot be seen below its own noise")

    def missing(self, batch, sigma):
        """Std of what is added."""
        x = batch.x_n
        return (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)

    def expect(self, x_0_hat, view, batch):
        """a x_0_hat + b x_t."""
        b = (per_row(batch.sigma_n, view.x) / per_row(view.sigma, view.x)) ** 2
        return (1 - b) * x_0_hat + b * view.x

    def floor(self, batch):
        """(B,)."""
        level = per_row(batch.sigma_n, batch.x_n)
        return level.expand_as(batch.x_n).flatten(1).amax(1)


KERNEL = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})


class Reverse(Sampler):
    """x_s = r x_t + (1 - r) D + sigma_s sqrt(1 - r) z, hop by hop."""

    name = "kit11-reverse"
    claims = KERNEL

    def sample(self, denoiser, x, sigmas, generator, cond):
        """Carry x down the grid."""
        last = len(sigmas) - 2
        for k, (sigma_t, sigma_s) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
            h = self.ask(denoiser, x, sigma_t, cond, k, last)
            x = self.hop(x, h, per_row(sigma_t, x), per_row(sigma_s, x), generator)
        return x

    def ask(self, denoiser, x, sigma, cond, k, last):
        """D."""
        return denoiser(x, sigma, **cond).to(x.dtype)

    def hop(self, x, h, sigma_t, sigma_s, generator):
        """One draw."""
        r = (sigma_s / sigma_t) ** 2
        return r * x + (1 - r) * h + sigma_s * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)


class Net(nn.Module):
    """A small perceptron on flattened rows: F(y, c_noise, label)."""

    def __init__(self, size, width=32, classes=None, out=None):
        super().__init__()
        self.first = nn.Linear(size + 4, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, out or size)
        self.label = nn.Embedding(classes + 1, width) if classes is not None else None

    def forward(self, y, c_noise, label=None):
        c = c_noise.to(y.dtype).unsqueeze(1)
        hidden = self.first(torch.cat([y.flatten(1), c, c.cos(), c.sin(), (2 * c).sin()], dim=1))
        if label is not None and self.label is not None:
            hidden = hidden + self.label(label)
        hidden = hidden + self.second(torch.nn.functional.silu(hidden))
        return self.last(torch.nn.functional.silu(hidden))


class Edm(Model):
    """EDM's preconditioning, written out: D = c_skip x + c_out F(c_in x, log(sigma) / 4)."""

    name = "kit11-edm"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    width: int = Field(32, ge=1)
    """Channels of each layer."""

    def network(self, signal):
        """A fresh network; rows with conditions are refused."""
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return Net(math.prod(signal.shape), self.width)

    def denoiser(self, network, signal):
        """D(x, sigma)."""

        def denoise(x, sigma, /, **cond):
            level = per_row(sigma.to(x.dtype), x)
            c_in, c_skip, c_out = self.coefficients(level, signal.sigma_data)
            answer = network(c_in * x, sigma.to(x.dtype).log() / 4).to(x.dtype).reshape(x.shape)
            return c_skip * x + c_out * answer

        return denoise

    def coefficients(self, sigma, std):
        """c_in, c_skip, c_out."""
        total = sigma**2 + std**2
        return total.rsqrt(), std**2 / total, sigma * std * total.rsqrt()


class Labelled(Edm):
    """The same with a class for each row."""

    name = "kit11-labelled"

    num_classes: int = Field(3, ge=1)
    """Labels below it; it itself stands for none."""

    def null_cond(self, name):
        """The label num_classes."""
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        """A fresh network; needs `class_cond` and nothing else."""
        if {name: tuple(shape) for name, shape in signal.conds.items()} != {"class_cond": ()}:
            raise InputError(f"model {self.name!r} takes class_cond alone, the data carry {sorted(signal.conds)}")
        return Net(math.prod(signal.shape), self.width, self.num_classes)

    def denoiser(self, network, signal):
        """D(x, sigma, class_cond)."""

        def denoise(x, sigma, /, **cond):
            if "class_cond" not in cond:
                raise InputError(f"model {self.name!r} needs class_cond, one label per row")
            level = per_row(sigma.to(x.dtype), x)
            c_in, c_skip, c_out = self.coefficients(level, signal.sigma_data)
            answer = network(c_in * x, sigma.to(x.dtype).log() / 4, self.label(cond["class_cond"])).to(x.dtype)
            return c_skip * x + c_out * answer.reshape(x.shape)

        return denoise

    def label(self, label):
        """As it is."""
        return label
