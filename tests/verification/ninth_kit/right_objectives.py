"""Objectives that are right, in unusual ways."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.levels import geometric_grid, log_uniform
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.reverse import reverse_step
from tests.verification.ninth_kit.bases import FREE, Over, Own, Under, lacking, lowest, row_means
from tests.verification.ninth_kit.below import FromDraws
from tests.verification.ninth_kit.values import Signs


class Recorrupted(Own):
    """Recorrupted-to-recorrupted: y_1 = x_n + c z against y_2 = x_n - sigma_n^2 / c z, weighed by c^2 / sigma^2."""

    name = "nine-right-recorrupted"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """|D(y_1) - y_2|^2."""
        sigma = self.levels(batch, tools)
        z, c = standard_normal(batch.x_n, tools.generator), lacking(batch, sigma)
        own = per_row(batch.sigma_n, batch.x_n).to(z.dtype)
        view = View(batch.x_n + c * z, sigma, batch.cond)
        answer = self.ask(denoiser, view, batch, tools).to(z.dtype)
        # (c (D - x_n) + sigma_n^2 z)^2: nothing is divided by c.
        square = (c * (answer - batch.x_n) + own**2 * z) ** 2 / per_row(sigma, z) ** 2
        return {"loss": Term(self.weight(view, batch, tools) * row_means(square), sigma)}


class EpsForm(Own):
    """The noise that was added, from the whole noise: z against (c / sigma) (x_t - D) / sigma."""

    name = "nine-right-eps"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """|c / sigma eps - z|^2."""
        sigma = self.levels(batch, tools)
        z, c = standard_normal(batch.x_n, tools.generator), lacking(batch, sigma)
        view = View(batch.x_n + c * z, sigma, batch.cond)
        eps = (view.x - self.ask(denoiser, view, batch, tools).to(z.dtype)) / per_row(sigma, z)
        return {"loss": Term(row_means((c / per_row(sigma, z) * eps - z) ** 2), sigma)}


class FlowTime(Over):
    """Levels whose time t = sigma / (1 + sigma) is uniform above that of the row."""

    name = "nine-right-flow-time"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """t / (1 - t)."""
        floor, top = lowest(batch, tools), tools.levels.sigma_max
        low, high = floor / (1 + floor), top / (1 + top)
        t = low + uniform(floor, tools.generator) * (high - low)
        return torch.maximum(t / (1 - t), floor).clamp(max=top)


class Rotated(Over):
    """Levels of low discrepancy: one uniform number, rotated by i / B."""

    name = "nine-right-rotated-levels"

    def levels(self, batch: Batch, tools: Tools) -> Tensor:
        """(u + i / B) mod 1."""
        floor = lowest(batch, tools)
        first = uniform(floor.new_empty(1), tools.generator)
        u = (first + torch.arange(len(floor)).to(floor) / max(len(floor), 1)) % 1
        return log_uniform(u, floor, tools.levels.sigma_max)


class OneProbe(Signs):
    """SURE with one probe of random signs for all rows of a call."""

    name = "nine-right-sure-one-probe"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """(1, *S), expanded."""
        return super().probe(x[:1], tools).expand_as(x)


class Noisier(Over):
    """Noisier2Noise by alpha^2 = (sigma^2 - sigma_n^2) / sigma_n^2, cleared of fractions."""

    name = "nine-right-noisier"

    def residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """(c^2 D + sigma_n^2 x_t) / (c^2 + sigma_n^2) - x_n."""
        c = lacking(batch, view.sigma) ** 2
        own = per_row(batch.sigma_n, batch.x_n).to(c.dtype) ** 2
        return (c * x_0_hat + own * view.x) / (c + own) - batch.x_n


class OwnHop(Under):
    """Ends by 24 short reverse steps of its own. It was written with a single one, whose error is a bias: that was not
    right."""

    name = "nine-right-own-hop"

    def end(self, denoiser: Denoiser, anchor: View, sigma_s: Tensor, target: Tensor, tools: Tools) -> Tensor:
        """x_s."""
        x, grid = anchor.x, geometric_grid(anchor.sigma, sigma_s, 25)
        for sigma, low in zip(grid[:-1], grid[1:], strict=True):
            x = reverse_step(x, denoiser(x, sigma, **anchor.cond).to(x.dtype), sigma, low, tools.generator)
        return x


class Draws(FromDraws):
    """Draws of the teacher that are not kept."""

    name = "nine-right-draws"


class Both(Own):
    """Both signs of the noise for each row, in one call of twice the rows."""

    name = "nine-right-both-signs"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The mean of the squares."""
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        x = torch.cat([view.x, 2 * batch.x_n - view.x])
        cond = {name: torch.cat([value, value]) for name, value in view.cond.items()}
        answers = denoiser(x, sigma.repeat(2), **cond).to(x.dtype).chunk(2)
        value = sum(
            self.value(answer, View(one, sigma, view.cond), batch, tools)
            for answer, one in zip(answers, x.chunk(2), strict=True)
        )
        return {"loss": Term(value / 2, sigma)}


class EarlierMean(Over):
    """Over the running mean of earlier calls, without graph."""

    name = "nine-right-over-earlier-mean"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """value / mean of earlier ones."""
        value = super().value(x_0_hat, view, batch, tools)
        before = tools.memory.get("mean", value.new_ones(()))
        tools.memory["mean"] = before if not len(value) else 0.9 * before + 0.1 * value.detach().mean().abs()
        return value / before.to(value.dtype)


PARTS: tuple[type[Objective], ...] = (
    Recorrupted,
    EpsForm,
    FlowTime,
    Rotated,
    OneProbe,
    Noisier,
    OwnHop,
    Draws,
    Both,
    EarlierMean,
)
