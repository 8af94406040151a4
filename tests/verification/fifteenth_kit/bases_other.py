"""Right corruptions and samplers, of which a mistake may take one step in its place."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption, Sampler
from ambientkit.maths.ambient import capped_inverse_square, clean_std
from ambientkit.maths.masks import chance_of_hiding, chance_of_seen, draw_mask
from ambientkit.maths.noise import draw_levels, highest_level, per_row, standard_normal


def refuse_below(sigma, floor, row):
    """Raise ValueError that names the first row below its floor."""
    if bool((sigma < floor).any()):
        first = int((sigma < floor).nonzero()[0])
        raise ValueError(f"row {int(row[first])} cannot be seen at sigma {float(sigma[first]):g}, below its own noise")


class White(Corruption):
    """Additive white noise of std 0.25, or one level for each row."""

    source = "arXiv 2404.10177, Lemma 3.1"
    claims = frozenset({"gaussian-noise", "symmetric-degrade", "row-generators"})

    sigma_n: float | tuple[float, float] = 0.25
    """Std, or (low, high): one for each row."""

    def observe(self, x_0, row, generator):
        sigma_n = self.levels(x_0, row, generator)
        x_n = x_0 + per_row(sigma_n, x_0) * self.noise_of_rows(x_0, row, generator)
        return Batch(x_n, self.told(sigma_n, x_0), row, {})

    def levels(self, x_0, row, generator):
        return draw_levels(x_0, self.sigma_n, generator)

    def told(self, sigma_n, x_0):
        return sigma_n

    def noise_of_rows(self, x_0, row, generator):
        return standard_normal(x_0, generator)

    def degrade(self, batch, sigma, generator):
        refuse_below(sigma, self.floor(batch), batch.row)
        x = batch.x_n + self.missing(batch, sigma).to(batch.x_n.dtype) * self.noise_of_views(batch, generator)
        return View(x, sigma, self.conds(batch))

    def missing(self, batch, sigma):
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()

    def noise_of_views(self, batch, generator):
        return standard_normal(batch.x_n, generator)

    def conds(self, batch):
        return batch.cond

    def expect(self, x_0_hat, view, batch):
        b = (self.of_rows(view, batch) / per_row(view.sigma, view.x)) ** 2
        return self.mix(b, x_0_hat, view.x)

    def of_rows(self, view, batch):
        return per_row(batch.sigma_n, view.x)

    def mix(self, b, x_0_hat, x_t):
        return (1 - b) * x_0_hat + b * x_t

    def floor(self, batch):
        return highest_level(batch.sigma_n, batch.x_n)


class Holes(Corruption):
    """Missing pixels: x_n = A (x_0 + sigma_n z), a view hides more."""

    source = "arXiv 2305.19256, section 3; arXiv 2210.01696"
    claims = frozenset({"masked", "row-generators"})
    carries = frozenset({"mask"})
    kind: ClassVar[str] = "pixels"
    missing_share: ClassVar[float] = 0.35
    hidden_share: ClassVar[float] = 0.15

    sigma_n: float = 0.1
    """Std of the noise of what is there."""

    def observe(self, x_0, row, generator):
        level = x_0.new_full((len(x_0),), self.sigma_n)
        noisy = x_0 + per_row(level, x_0) * standard_normal(x_0, generator)
        seen = self.own_mask(x_0, generator)
        shape = (1, *x_0.shape[2:]) if x_0.ndim > 2 else x_0.shape[1:]
        seen = seen.expand(len(x_0), *shape).contiguous()
        return Batch(torch.where(seen, noisy, 0.0), level, row, {"mask": seen})

    def own_mask(self, x_0, generator):
        return draw_mask(x_0, self.kind, self.missing_share, generator)

    def seen(self, batch):
        if "mask" in batch.cond:
            return batch.cond["mask"].bool()
        x = batch.x_n
        return torch.ones((len(x), 1, *x.shape[2:]) if x.ndim > 2 else x.shape, dtype=torch.bool, device=x.device)

    def clean_std(self, batch):
        there = self.seen(batch).expand_as(batch.x_n)
        if not bool(there.any()):
            return 0.0
        return clean_std(batch.x_n[there], per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n)[there])

    def level(self, batch):
        if batch.sigma_n.ndim < batch.x_n.ndim:
            return batch.sigma_n
        return torch.where(self.seen(batch), batch.sigma_n.expand_as(batch.x_n), 0.0)

    def degrade(self, batch, sigma, generator):
        return self.view(batch, sigma, self.shown(batch, generator), generator)

    def shown(self, batch, generator):
        return self.seen(batch) & self.further(batch, generator)

    def further(self, batch, generator):
        return draw_mask(batch.x_n, self.kind, self.hidden_share, generator)

    def show(self, batch, sigma, generator):
        return self.view(batch, sigma, self.seen(batch), generator)

    def view(self, batch, sigma, shown, generator):
        refuse_below(sigma, self.floor(batch), batch.row)
        missing = (per_row(sigma, batch.x_n) ** 2 - per_row(self.level(batch), batch.x_n) ** 2).clamp(min=0).sqrt()
        x_t = batch.x_n + missing.to(batch.x_n.dtype) * standard_normal(batch.x_n, generator)
        return View(self.left(x_t, shown, batch), sigma, {**batch.cond, "mask": shown})

    def left(self, x_t, shown, batch):
        return torch.where(shown, x_t, 0.0)

    def expect(self, x_0_hat, view, batch):
        b = (per_row(self.level(batch), view.x) / per_row(view.sigma, view.x)) ** 2
        known = torch.where(view.cond["mask"].bool(), (1 - b) * x_0_hat + b * view.x, self.hidden(x_0_hat, b, view))
        return torch.where(self.seen(batch), known, torch.zeros_like(known))

    def hidden(self, x_0_hat, b, view):
        return x_0_hat

    def floor(self, batch):
        return highest_level(self.level(batch), batch.x_n)

    def chance(self, a):
        q = 1 - chance_of_hiding(a, self.kind, self.missing_share)
        return chance_of_seen(q, chance_of_hiding(a, self.kind, self.hidden_share))

    def weight(self, view, batch, cap, hidden):
        a = self.slope(view, batch)
        unseen = per_row(hidden.to(a.dtype), a) / self.chance(a).to(a.dtype)
        known = torch.where(view.cond["mask"].bool(), capped_inverse_square(a, per_row(cap, a)), unseen)
        return torch.where(self.seen(batch), known, torch.zeros_like(known))

    def unseen(self, batch):
        lost = ~self.seen(batch).flatten(1).any(0)
        return f"{int(lost.sum())} values are missing in every row" if bool(lost.any()) else ""


class Walk(Sampler):
    """One step after another down a grid."""

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        raise NotImplementedError


class Drawn(Walk):
    """The reverse kernel: x_s = r x_t + (1 - r) D + sigma_s sqrt(1 - r) z."""

    source = "arXiv 2006.11239, eq. 6-7"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        r = per_row(sigma_s / sigma_t, x) ** 2
        std = per_row(sigma_s, x) * (1 - r).clamp(min=0).sqrt()
        return r * x + (1 - r) * x_0_hat + std.to(x.dtype) * self.noise(x, generator)

    def noise(self, x, generator):
        return standard_normal(x, generator)


class Flow(Walk):
    """The probability flow by Euler: x_s = D + (sigma_s / sigma_t) (x_t - D)."""

    source = "arXiv 2010.02502, eq. 12"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = self.estimate(denoiser, x, sigma_t, cond)
        return x_0_hat + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - x_0_hat)

    def estimate(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma, **cond).to(x.dtype)


class FlowTwice(Walk):
    """The probability flow by Heun's rule, Euler's where a row ends at 0."""

    source = "arXiv 2206.00364, algorithm 1"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        slope = (x - denoiser(x, sigma_t, **cond).to(x.dtype)) / per_row(sigma_t, x)
        by = per_row(sigma_s - sigma_t, x)
        ahead, inside = x + by * slope, self.inside(sigma_s)
        if not bool(inside.any()):
            return ahead
        level = torch.where(inside, sigma_s, sigma_t)
        second = self.second(denoiser, x, ahead, sigma_t, level, cond)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, self.both(x, by, slope, second), ahead)

    def inside(self, sigma_s):
        return sigma_s > 0

    def second(self, denoiser, x, ahead, sigma_t, level, cond):
        return (ahead - denoiser(ahead, level, **cond).to(x.dtype)) / per_row(level, x)

    def both(self, x, by, slope, second):
        return x + by * (slope + second) / 2


class Multi(Sampler):
    """DPM-Solver++(2M) in -log sigma, one call a level."""

    source = "arXiv 2211.01095, algorithm 2"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        old, h_old = self.begin(x), None
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
            ends = sigma_s <= 0
            h = torch.log(sigma_t / torch.where(ends, sigma_t, sigma_s))
            told = x_0_hat
            if old is not None and h_old is not None:
                ahead = self.ahead(x_0_hat, old, per_row(h, x), per_row(h_old, x))
                told = torch.where(per_row(ends.to(x.dtype), x) > 0, x_0_hat, ahead)
            x = told + per_row(sigma_s / sigma_t, x).to(x.dtype) * (x - told)
            old, h_old = x_0_hat, h
        return x

    def begin(self, x):
        return None

    def ahead(self, new, old, h, h_old):
        return new + h / (2 * h_old.clamp(min=1e-12)) * (new - old)
