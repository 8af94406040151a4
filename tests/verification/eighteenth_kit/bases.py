"""What the parts of this kit share: steps of views, of ends of hops, and of samplers."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View, take
from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import Mirrored, per_row, standard_normal
from tests.verification.seventeenth_kit.bases import Above, Below


def cut(view, own):
    """The rows `own` of a view."""
    return View(view.x[own], view.sigma[own], {name: value[own] for name, value in view.cond.items()})


def final(module, *names):
    """One of each part of a module, but for bases."""
    return [
        value()
        for name, value in list(module.items())
        if isinstance(value, type) and value.__module__ == module["__name__"] and name not in names
    ]


class Asked(Above):
    """Rows are asked in another order, or with others beside them: `order` gives the rows that are asked."""

    name = "kit18-base-asked"

    def order(self, view, tools):
        """(M,), the rows that are asked; each at least once, and none for no rows."""
        raise NotImplementedError

    def loss(self, denoiser, batch, tools):
        def reordered(x, sigma, /, **cond):
            order = self.order(View(x, sigma, cond), tools)
            asked = cut(View(x, sigma, cond), order)
            answers = denoiser(asked.x, asked.sigma, **asked.cond)
            first = torch.full((len(x),), len(order), device=x.device)
            first = first.scatter_reduce(0, order, torch.arange(len(order), device=x.device), "amin")
            return answers[first]

        return super().loss(reordered, batch, tools)


class Views(Above):
    """Several views of each row at one level, asked about in one call; the value of a row is their mean."""

    name = "kit18-base-views"
    times: int = 2
    """Views of a row."""

    def several(self, batch, sigma, tools):
        """(times * n) views, all rows of the first view first."""
        here = torch.arange(len(sigma), device=sigma.device).repeat(self.times)
        return self.view(take(batch, here), sigma[here], tools)

    def loss(self, denoiser, batch, tools):
        sigma = self.levels(batch, tools).to(tools.corruption.floor(batch).dtype)
        view = self.several(batch, sigma, tools)
        many = take(batch, torch.arange(len(sigma), device=sigma.device).repeat(self.times))
        x_0_hat = self.ask(denoiser, view, many).to(batch.x_n.dtype)
        each = self.reduce(self.each(x_0_hat, view, many, tools)).reshape(self.times, len(sigma)).mean(0)
        return {"above": self.term(self.weigh(sigma, batch, tools) * each, sigma, batch)}


class Noised(Above):
    """Noise is drawn by the objective itself where the corruption is white noise; `noise` draws it."""

    name = "kit18-base-noised"

    def noise(self, like, tools):
        """z, white in each row."""
        return standard_normal(like, tools.generator)

    def view(self, batch, sigma, tools):
        if tools.corruption.carries or "gaussian-noise" not in tools.corruption.claims:
            return super().view(batch, sigma, tools)
        x = batch.x_n
        missing = (per_row(sigma, x) ** 2 - per_row(batch.sigma_n, x) ** 2).clamp(min=0).sqrt().to(x.dtype)
        return View(x + missing * self.noise(x, tools), sigma, batch.cond)


class Ends(Below):
    """`count` ends from each anchor; the value is the U-statistic of the defects that `defects` gives, (K, n, *S)."""

    name = "kit18-base-ends"
    count: int = 4
    """Ends of an anchor."""

    def many(self, value):
        """(count n, ...), all rows of the first end first."""
        return value.repeat(self.count, *[1] * (value.ndim - 1))

    def ends(self, denoiser, anchor, sigma_s, target, tools):
        x, cond = self.many(anchor.x), {key: self.many(value) for key, value in anchor.cond.items()}
        grid = torch.stack([self.many(anchor.sigma), self.many(sigma_s)])
        with torch.no_grad():
            return tools.sampler.sample(denoiser, x, grid, self.source(tools), cond)

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        cond = {key: self.many(value) for key, value in anchor.cond.items()}
        return denoiser(ends, self.many(sigma_s), **cond).to(batch.x_n.dtype)

    def groups(self, x_0_hat, rows):
        """(K, n, *S), means of ends that are independent of each other."""
        return x_0_hat.reshape(self.count, rows, *x_0_hat.shape[1:])

    def defects(self, x_0_hat, target):
        found = self.groups(x_0_hat, len(target)) - target
        return found, found.square().sum(0)

    def product(self, first, second):
        k = len(first)
        return ((first.sum(0).square() - second) / (k * (k - 1))).flatten(1).mean(1)


class Between(Sampler):
    """A sampler in steps from level to level, which last rows end in by the answer itself."""

    name = "kit18-base-between"

    def answer(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma, **cond).to(x.dtype)

    def inner(self, sigma_t, sigma_s):
        """sigma_s, and sigma_t where a row ends at 0."""
        return torch.where(sigma_s > 0, sigma_s, sigma_t)

    def wide(self, value, x):
        return per_row(value, x).to(x.dtype)

    def ended(self, sigma_s, x, inside, zero):
        """`inside` for rows that stay above 0, `zero` for those that end there."""
        return torch.where(self.wide(sigma_s > 0, x) > 0, inside, zero)

    def sample(self, denoiser, x, sigmas, generator, cond):
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return x


def normal_of(x, source, rows):
    """z for the rows `rows` of x; a row draws from its own generator alone."""
    if isinstance(source, list | tuple):
        return standard_normal(x[rows], [source[i] for i in rows.tolist()])
    return standard_normal(x, source)[rows]


__all__ = ["Asked", "Between", "Ends", "Mirrored", "Noised", "Term", "Views", "cut", "final", "normal_of"]
