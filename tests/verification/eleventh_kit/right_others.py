"""Right corruptions, samplers, models and parts of memorisation that look unusual."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.interfaces import Model, Sampler
from ambientkit.maths.masks import Kind
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.memorisation_parts import Similarity
from tests.verification.eleventh_kit.bases import Edm, Net, Plain, Reverse


class BoxMuller(Plain):
    """Normal draws by Box and Muller's formula from uniform ones."""

    name = "kit11-box-muller"

    def noise(self, like, generator):
        """White."""
        wide = like.double()
        u, v = uniform(wide, generator), uniform(wide, generator)
        return ((-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * v)).to(like.dtype)


class InTwoSteps(Plain):
    """Adds the missing noise in two independent parts."""

    name = "kit11-in-two-steps"

    def degrade(self, batch, sigma, generator):
        """x_t."""
        half = super().degrade(batch, sigma, generator)
        missing = self.missing(batch, sigma)
        z = (half.x - batch.x_n + missing * standard_normal(batch.x_n, generator)) / math.sqrt(2)
        return half._replace(x=batch.x_n + z)


class SomeClean(Plain):
    """A tenth of the rows stay clean, and a level for each pixel falls to the right otherwise."""

    name = "kit11-some-clean"

    def observe(self, x_0, row, generator):
        """x_n."""
        made = super().observe(x_0, row, generator)
        u = uniform(made.sigma_n.unsqueeze(1), generator)
        fall = torch.linspace(1, 0.5, x_0.shape[-1], dtype=x_0.dtype)
        level = self.sigma_n * per_row((u.squeeze(1) > 0.1).to(x_0.dtype), x_0) * fall.expand_as(x_0)
        noise = (made.x_n - x_0) / max(self.sigma_n, 1e-12)
        return made._replace(x_n=x_0 + level * noise, sigma_n=level)


class Lines(Mask):
    """Whole columns, with another default."""

    name = "kit11-lines"
    kind: Kind = "columns"
    """What is hidden together."""
    drop: float = Field(0.3, gt=0, lt=1)
    """What a training step hides on top."""


class ReverseDouble(Reverse):
    """In float64 inside."""

    name = "kit11-reverse-double"

    def hop(self, x, h, sigma_t, sigma_s, generator):
        """One draw."""
        return super().hop(x.double(), h.double(), sigma_t.double(), sigma_s.double(), generator).to(x.dtype)


class ReverseInChunks(Reverse):
    """Asks two rows at a time."""

    name = "kit11-reverse-in-chunks"

    def ask(self, denoiser, x, sigma, cond, k, last):
        """D, in pieces."""
        cuts = [slice(i, i + 2) for i in range(0, len(x), 2)]
        return torch.cat([denoiser(x[at], sigma[at], **{n: v[at] for n, v in cond.items()}).to(x.dtype) for at in cuts])


class InLogs(Sampler):
    """Euler's rule in log sigma for the exponential integrator: x_s = (s/t) x + (1 - s/t) D, DDIM."""

    name = "kit11-in-logs"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        """Deterministic."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            ratio = per_row(sigma_s / sigma_t, x)
            x = ratio * x + (1 - ratio) * denoiser(x, sigma_t, **cond).to(x.dtype)
        return x


class Multistep(Sampler):
    """DPM-Solver++(2M): the answer extrapolated in log sigma, of second order."""

    name = "kit11-multistep"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        """One call per level."""
        old = before = None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            h = denoiser(x, sigma_t, **cond).to(x.dtype)
            inside = s > 0
            step = (t / torch.where(inside, s, t)).log()
            used = h
            if old is not None:
                used = torch.where(inside, h + (h - old) * step / (2 * before.clamp(min=1e-9)), h)
            x = s / t * x + (1 - s / t) * used
            old, before = h, step
        return x


class Midpoint(Sampler):
    """DPM-2: the slope at the arithmetic middle of a step."""

    name = "kit11-midpoint"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        """Two calls per level."""
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, s = per_row(sigma_t, x), per_row(sigma_s, x)
            slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / t
            middle = (sigma_t + sigma_s) / 2
            m = per_row(middle, x)
            there = x + (m - t) * slope
            second = (there - denoiser(there, middle, **cond).to(x.dtype)) / m
            x = x + (s - t) * torch.where(s > 0, second, slope)
        return x


class Doubled(Edm):
    """Runs its network on the row and on its mirror image, and takes the mean."""

    name = "kit11-doubled"
    claims = frozenset({"denoiser-contract"})

    def denoiser(self, network, signal):
        """D."""
        plain = super().denoiser(network, signal)
        return lambda x, sigma, /, **cond: (plain(x, sigma) + plain(x.flip(-1), sigma).flip(-1)) / 2


class NormsRows(Edm):
    """GroupNorm of one group, row by row."""

    name = "kit11-norms-rows"

    def network(self, signal):
        """A fresh network."""
        return _Normed(super().network(signal))


class _Normed(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.norm = net, nn.LayerNorm(net.last.out_features)

    def forward(self, y, c_noise):
        y = y.flatten(1)
        return self.net(y + 0.1 * self.norm(y), c_noise)


class Vp(Model):
    """Answers with the noise, and sees x over sqrt(1 + sigma^2)."""

    name = "kit11-vp"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def network(self, signal):
        """A fresh network."""
        from ambientkit.errors import InputError

        if signal.conds:
            raise InputError(f"kit11-vp takes no conditions, not {sorted(signal.conds)}")
        return Net(math.prod(signal.shape))

    def denoiser(self, network, signal):
        """D = x - sigma F."""

        def denoise(x, sigma, /, **cond):
            level = per_row(sigma.to(x.dtype), x)
            scale = torch.hypot(torch.ones_like(level), level)
            angle = torch.atan(sigma.to(x.dtype))
            return x - level * network(x / scale, angle).to(x.dtype).reshape(x.shape)

        return denoise


class Ranks(Similarity):
    """Ranks of the values of a row: brightness and contrast do not count."""

    name = "kit11-ranks"
    claims = frozenset({"row-by-row", "brightness-free"})

    def view(self, rows):
        """(N, *S)."""
        flat = rows.flatten(1)
        rank = flat.argsort(dim=1, stable=True).argsort(dim=1, stable=True).to(rows.dtype)
        return (rank / max(flat.shape[1], 1)).reshape(rows.shape)


class Fourier(Similarity):
    """Moduli of the spectrum: shifts do not count."""

    name = "kit11-fourier"
    claims = frozenset({"row-by-row"})

    def view(self, rows):
        """(N, F)."""
        return torch.fft.rfft(rows.flatten(1), dim=1).abs() / rows[0].numel() ** 0.5
