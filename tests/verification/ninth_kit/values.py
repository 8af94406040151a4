"""Objectives whose value is another one than they claim."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.ninth_kit.bases import FREE, FULL, Over, Own, lacking, row_means


class PseudoHuber(Over):
    """The loss of improved consistency training."""

    name = "nine-pseudo-huber"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """sqrt(|rho|^2 + c^2) - c."""
        rho = self.residual(x_0_hat, view, batch, tools)
        c = 0.3
        return self.weight(view, batch, tools) * ((row_means(rho**2) + c**2).sqrt() - c)


class AdaptiveWeight(Over):
    """The adaptive weight of mean flows, 1 / (|rho|^2 + c) held fixed."""

    name = "nine-adaptive-weight"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Over its own size."""
        square = row_means(self.residual(x_0_hat, view, batch, tools) ** 2)
        return square / (square.detach() + 1e-2)


class LogLoss(Over):
    """The logarithm of the squared error, so that no weight is needed."""

    name = "nine-log-loss"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """log(1 + lambda |rho|^2)."""
        return torch.log1p(super().value(x_0_hat, view, batch, tools))


class HardExamples(Over):
    """Only the harder half of the rows counts."""

    name = "nine-hard-examples"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The larger values."""
        term = super().loss(denoiser, batch, tools)["loss"]
        order = term.value.argsort(descending=True)[: (len(term.value) + 1) // 2]
        return {"loss": Term(term.value[order], term.sigma[order])}


class Trimmed(Over):
    """Rows whose error is an outlier of the batch are left out."""

    name = "nine-trimmed"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """Those up to twice the median."""
        term = super().loss(denoiser, batch, tools)["loss"]
        kept = (term.value <= 2 * term.value.median()).nonzero().squeeze(1) if len(term.value) else slice(0)
        return {"loss": Term(term.value[kept], term.sigma[kept])}


class ClippedGradient(Over):
    """The gradient of each value is clipped, with a hook on the answer."""

    name = "nine-clipped-gradient"

    def ask(self, denoiser: Denoiser, view: View, batch: Batch, tools: Tools) -> Tensor:
        """D, with its gradient within bounds that depend on the level alone."""
        answer = denoiser(view.x, view.sigma, **view.cond)
        if answer.requires_grad:
            answer.register_hook(lambda grad: grad.clamp(-grad.abs().mean(), grad.abs().mean()))
        return answer


class SquareOfMean(Own):
    """Pairs of views with opposite noise, whose residuals are averaged before they are squared."""

    name = "nine-square-of-mean"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """(rho(z) + rho(-z))^2 / 4."""
        sigma = self.levels(batch, tools)
        view = self.view(batch, sigma, tools)
        other = view._replace(x=2 * batch.x_n - view.x)
        rho = sum(
            self.residual(self.ask(denoiser, one, batch, tools).to(batch.x_n.dtype), one, batch, tools)
            for one in (view, other)
        )
        square = self.factor(view, batch, tools) * (rho / 2) ** 2
        return {"loss": Term(self.weight(view, batch, tools) * row_means(square), sigma)}


class PlainSum(Over):
    """Sum over channels, mean over the rest."""

    name = "nine-channel-sum"

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """C times too large for pictures."""
        square = self.factor(view, batch, tools) * self.residual(x_0_hat, view, batch, tools) ** 2
        square = square.sum(1) if square.ndim > 2 else square
        return self.weight(view, batch, tools) * row_means(square)


class NoisyStd(Over):
    """EDM's weight with the std of the noisy rows."""

    name = "nine-weight-of-noisy-std"

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """With sigma_data^2 + sigma_n^2."""
        own = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        return (1 / view.sigma) ** 2 + 1 / (tools.signal.sigma_data**2 + own**2)


class WeightOfGap(Over):
    """EDM's weight at the level that was added."""

    name = "nine-weight-of-added-noise"

    def weight(self, view: View, batch: Batch, tools: Tools) -> Tensor:
        """lambda(sqrt(sigma^2 - sigma_n^2))."""
        gap = row_means(lacking(batch, view.sigma)).clamp(min=tools.levels.sigma_min)
        return edm_weight(gap, tools.signal.sigma_data)


class Pooled(Over):
    """The residual of pictures is averaged over 2 x 2 pixels: what is finer is never learned."""

    name = "nine-pooled-residual"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Of the pooled residual."""
        rho = self.residual(x_0_hat, view, batch, tools)
        rho = F.avg_pool2d(rho, 2) if rho.ndim == 4 and min(rho.shape[2:]) > 1 else rho
        return self.weight(view, batch, tools) * row_means(rho**2)


class CentreCrop(Over):
    """The border of pictures is left out, as convolutions see too little there."""

    name = "nine-without-border"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Of the inner pixels."""
        rho = self.residual(x_0_hat, view, batch, tools)
        rho = rho[..., 1:-1, 1:-1] if rho.ndim == 4 and min(rho.shape[2:]) > 2 else rho
        return self.weight(view, batch, tools) * row_means(rho**2)


class FirstChannel(Over):
    """Grey pictures were meant: the first channel alone."""

    name = "nine-first-channel"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Of the first channel of pictures."""
        rho = self.residual(x_0_hat, view, batch, tools)
        rho = rho[:, :1] if rho.ndim == 4 else rho
        return self.weight(view, batch, tools) * row_means(rho**2)


class Recorrupted(Own):
    """Recorrupted-to-recorrupted: y_2 = x_n - c z in the place of x_n - sigma_n^2 / c z."""

    name = "nine-recorrupted"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """|D(y_1) - y_2|^2."""
        sigma = self.levels(batch, tools)
        z, c = standard_normal(batch.x_n, tools.generator), lacking(batch, sigma)
        view = View(batch.x_n + c * z, sigma, batch.cond)
        target = batch.x_n - torch.where(per_row(batch.sigma_n, batch.x_n) > 0, c, torch.zeros_like(c)) * z
        rho = self.ask(denoiser, view, batch, tools).to(batch.x_n.dtype) - target
        return {"loss": Term(self.weight(view, batch, tools) * row_means(rho**2), sigma)}


class Noisier(Over):
    """Noisier2Noise with alpha for alpha^2."""

    name = "nine-noisier"
    claims = FREE

    def residual(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """E[x_n | x_t] by alpha = c / sigma_n."""
        c, own = lacking(batch, view.sigma), per_row(batch.sigma_n, batch.x_n)
        return (c * x_0_hat + own * view.x) / (c + own) - batch.x_n


class EpsForm(Own):
    """The noise is predicted: the whole noise from the part that was added."""

    name = "nine-eps-loss"
    claims = FREE

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """|(x_t - D) / sigma - z|^2 (c / sigma)^2."""
        sigma = self.levels(batch, tools)
        z, c = standard_normal(batch.x_n, tools.generator), lacking(batch, sigma)
        view = View(batch.x_n + c * z, sigma, batch.cond)
        eps = (view.x - self.ask(denoiser, view, batch, tools).to(z.dtype)) / per_row(sigma, z)
        share = c / per_row(sigma, z)
        return {"loss": Term(row_means((share**2 * eps - z) ** 2), sigma)}


class MemoryGraph(Over):
    """A running mean of the loss, kept with its graph."""

    name = "nine-memory-with-graph"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Over the running mean."""
        value = super().value(x_0_hat, view, batch, tools)
        before = tools.memory.get("mean", torch.ones(()).to(value))
        if len(value):
            tools.memory["mean"] = 0.9 * before + 0.1 * value.mean()
        return value / before


class MemoryByRow(Over):
    """The last loss of each row is kept under its own name."""

    name = "nine-memory-by-row"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Unchanged."""
        value = super().value(x_0_hat, view, batch, tools)
        for row, one in zip(batch.row.tolist(), value.detach(), strict=True):
            tools.memory[f"row-{row}"] = one
        return value


class MemoryNumber(Over):
    """A count of calls that is a Python number."""

    name = "nine-memory-number"

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Unchanged."""
        tools.memory["calls"] = tools.memory.get("calls", 0) + 1  # type: ignore[assignment, operator]
        return super().value(x_0_hat, view, batch, tools)


class BatchScaled(Over):
    """Divided by the batch's mean loss, held fixed."""

    name = "nine-over-batch-mean"
    claims = FREE

    def value(self, x_0_hat: Tensor, view: View, batch: Batch, tools: Tools) -> Tensor:
        """Of mean 1."""
        value = super().value(x_0_hat, view, batch, tools)
        return value / value.detach().mean().clamp(min=1e-6) if len(value) else value


class UniformProbe(Objective):
    """SURE with a probe of variance 1/3."""

    name = "nine-sure-uniform-probe"
    source = "Stein (1981), theorem 1"
    claims = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """At the level of each row."""
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.view(batch, sigma, tools)
        v = self.probe(view.x, tools)
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            answer = denoiser(x, sigma, **view.cond).to(x.dtype)
            slope = self.slope(answer, v, x)
        level = self.level(batch, sigma)
        risk = (answer - view.x) ** 2 + level**2 * (2 * v * slope - 1)
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * row_means(risk), sigma)}

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """At the floor."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def level(self, batch: Batch, sigma: Tensor) -> Tensor:
        """Of the divergence."""
        return per_row(sigma, batch.x_n)

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """On [-1, 1]."""
        return 2 * uniform(x, tools.generator) - 1

    def slope(self, answer: Tensor, v: Tensor, x: Tensor) -> Tensor:
        """J^T v."""
        return torch.autograd.grad((answer * v).sum(), x, create_graph=True)[0]


class Signs(UniformProbe):
    """With a right probe."""

    name = "nine-sure-base"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """Random signs."""
        return torch.where(uniform(x, tools.generator) < 0.5, -torch.ones_like(x), torch.ones_like(x))


class SureDetached(Signs):
    """SURE whose divergence has no gradient."""

    name = "nine-sure-detached"

    def slope(self, answer: Tensor, v: Tensor, x: Tensor) -> Tensor:
        """Without graph."""
        return torch.autograd.grad((answer * v).sum(), x, retain_graph=True)[0].detach()


class SurePixels(Signs):
    """SURE that takes noise per pixel as it is, and tells the network its largest level."""

    name = "nine-sure-per-pixel"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """The rows themselves."""
        return View(batch.x_n, sigma, batch.cond)

    def level(self, batch: Batch, sigma: Tensor) -> Tensor:
        """sigma_n of each value."""
        return per_row(batch.sigma_n, batch.x_n)


class SureOneProbe(Signs):
    """One probe direction for all values: the sum of all derivatives, not of the diagonal."""

    name = "nine-sure-ones"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """1 everywhere."""
        return torch.ones_like(x)


class SaysBelow(Over):
    """Says that it trains the levels below the noise."""

    name = "nine-says-below"
    below_sigma_n = "by extrapolation of the network"


PARTS: tuple[type[Objective], ...] = (
    PseudoHuber,
    AdaptiveWeight,
    LogLoss,
    HardExamples,
    Trimmed,
    ClippedGradient,
    SquareOfMean,
    PlainSum,
    NoisyStd,
    WeightOfGap,
    Pooled,
    CentreCrop,
    FirstChannel,
    Recorrupted,
    Noisier,
    EpsForm,
    MemoryGraph,
    MemoryByRow,
    MemoryNumber,
    BatchScaled,
    UniformProbe,
    SureDetached,
    SurePixels,
    SureOneProbe,
    SaysBelow,
)
assert FULL >= FREE
