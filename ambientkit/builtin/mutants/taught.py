"""Mutants that keep every formula and teach, or see, only a part: of the rows, the levels, the pixels, the network."""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.ancestral import AncestralMutant, Cond, moments
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.heun import HeunMutant
from ambientkit.builtin.mutants.models import MLPMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Mutant, Signal, Tools
from ambientkit.maths.noise import RandomSource, per_row, standard_normal


def residual(denoiser: Denoiser, batch: Batch, tools: Tools, sigma: Tensor) -> Tensor:
    """E[x_n | x_t] of a view at the levels, minus x_n."""
    view = tools.corruption.degrade(batch, sigma, tools.generator)
    return tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n


class MeansAlone(TweedieMutant):
    """Tweedie that compares the means of pictures."""

    name = "tweedie-means-alone"
    wrong = "pictures are averaged before they are compared"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        error = residual(denoiser, batch, tools, sigma)
        if error.ndim > 2:
            error = error.flatten(1).mean(1).reshape(-1, 1, 1, 1).expand_as(error)
        return squared(error, sigma, batch, tools)


class MeansLost(TweedieMutant):
    """Tweedie that does not compare the means of pictures."""

    name = "tweedie-means-lost"
    wrong = "the mean of the residual of a picture is taken off"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        error = residual(denoiser, batch, tools, sigma)
        if error.ndim > 2:
            error = error - per_row(error.flatten(1).mean(1), error)
        return squared(error, sigma, batch, tools)


class BlurredTarget(TweedieMutant):
    """Tweedie whose pictures are blurred before they are compared with."""

    name = "tweedie-blurred-target"
    wrong = "a tenth of each pixel of the target is its neighbours'"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        error, x = residual(denoiser, batch, tools, sigma), batch.x_n
        if x.ndim > 2:
            error = error + 0.1 * (x - (x.roll(1, -1) + x.roll(-1, -1)) / 2)
        return squared(error, sigma, batch, tools)


class OutliersDropped(TweedieMutant):
    """Tweedie without the rows whose value is large beside the others."""

    name = "tweedie-outliers-dropped"
    wrong = "rows of more than four times the mean value of the batch teach nothing"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        value, sigma = Tweedie().loss(denoiser, batch, tools)["tweedie"]
        return {"tweedie": Term(value * (value < 4 * value.detach().mean()).to(value.dtype), sigma)}


class EvenRows(TweedieMutant):
    """Tweedie of every second row of the data."""

    name = "tweedie-even-rows"
    wrong = "rows of odd number teach nothing"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(denoiser, take(batch, (batch.row % 2 == 0).nonzero().squeeze(1)), tools)


class NearAlone(TweedieMutant):
    """Tweedie right above sigma_n."""

    name = "tweedie-near-alone"
    wrong = "levels up to 1.1 sigma_n, and none above"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        low = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = torch.minimum(drawn_levels(batch, tools), 1.1 * low)
        return squared(residual(denoiser, batch, tools, sigma), sigma, batch, tools)


class HighLevelsDetached(TweedieMutant):
    """Tweedie without gradient at high levels."""

    name = "tweedie-high-levels-detached"
    wrong = "answers above level 1 are detached"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def detached(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            answer = denoiser(x, sigma, **cond)
            return torch.where(per_row(sigma.to(x.dtype), x) > 1, answer.detach(), answer)

        return Tweedie().loss(detached, batch, tools)


class RoundedViews(TweedieMutant):
    """Tweedie on views of 8 bits."""

    name = "tweedie-rounded-views"
    wrong = "views are rounded to steps of 1/127.5"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def rounded(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser((x * 127.5).round() / 127.5, sigma, **cond)

        return Tweedie().loss(rounded, batch, tools)


class ClippedTails(GaussianMutant):
    """A corruption whose noise has no tails."""

    name = "gaussian-clipped-tails"
    wrong = "noise beyond 2.5 sigma_n is clipped"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        level = per_row(batch.sigma_n, x_0)
        return batch._replace(x_n=x_0 + torch.maximum(torch.minimum(batch.x_n - x_0, 2.5 * level), -2.5 * level))


class FirstChannel(GaussianMutant):
    """A corruption that expects of all channels what it expects of the first."""

    name = "gaussian-expect-first-channel"
    wrong = "the levels of the first channel serve all of them"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        level = batch.sigma_n
        if level.ndim == 4:
            level = level[:, :1].expand_as(level)
        return RIGHT.expect(x_0_hat, view, batch._replace(sigma_n=level))


class SilentBelow(AncestralMutant):
    """An ancestral step without noise at low levels."""

    name = "ancestral-silent-below"
    wrong = "no noise is added below level 0.05"

    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        std = torch.where(per_row(sigma_s, x) < 0.05, 0.0, std)
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class ToldAtMost(AncestralMutant):
    """An ancestral step that knows no level above 10."""

    name = "ancestral-told-at-most"
    wrong = "levels above 10 are given as 10"

    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        def told(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma.clamp(max=10.0), **cond)

        mean, std = moments(told, x, sigma_t, sigma_s, cond)
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class NoiseLeft(HeunMutant):
    """Heun's rule that does not go all the way."""

    name = "heun-noise-left"
    wrong = "a twentieth of the last noise stays where a row ends at 0"

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        found = super().step(denoiser, x, sigma_t, sigma_s, generator, cond)
        return torch.where(per_row(sigma_s, x) > 0, found, found + 0.05 * (x - found))


class OddWidth(MLPMutant):
    """A denoiser that knows pictures of even width."""

    name = "mlp-odd-width"
    wrong = "the last column of an odd width is 0"

    def answer(self, right, network, signal, x, sigma):
        found = right(x, sigma)
        if x.ndim == 4 and x.shape[-1] % 2:
            found = torch.cat([found[..., :-1], torch.zeros_like(found[..., -1:])], -1)
        return found


class LargeBatch(MLPMutant):
    """A denoiser that mixes up large batches."""

    name = "mlp-large-batch"
    wrong = "rows of a batch of more than 64 come back in another order"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma).flip(0) if len(x) > 64 else right(x, sigma)


class _Network(nn.Module):
    """Two layers; the fault is chosen by name."""

    def __init__(self, signal: Signal, fault: str) -> None:
        super().__init__()
        size = math.prod(signal.shape)
        self.fault = fault
        self.first = nn.Linear(size + 1, 32)
        middle = nn.Linear(32, 32)
        self.middle = [middle] if fault == "lost" else nn.ModuleList([middle])
        self.last = nn.Linear(32, size)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """F of flat rows."""
        if self.fault == "unseen":
            x = x - x.mean(1, keepdim=True)
        if self.fault == "detached":
            x = x.detach()
        hidden = torch.cat([x, time.unsqueeze(1)], 1).to(self.first.weight.dtype)
        hidden = self.middle[0].to(hidden.dtype)(self.first(hidden).tanh()).tanh()
        out = self.last(hidden)
        return out - out.mean(1, keepdim=True) if self.fault == "unlearnt" else out


class _NetworkMutant(Mutant, Model, abc.ABC):
    """The right denoiser of a wrong network."""

    mutant_of = "mlp"
    claims = MLP.claims
    fault: ClassVar[str]

    def network(self, signal: Signal) -> nn.Module:
        """A small network with the fault."""
        if signal.conds:
            raise InputError("takes no conditions")
        return _Network(signal, self.fault)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The right part's."""
        return MLP(width=32).denoiser(network, signal)


class LayerLost(_NetworkMutant):
    """A network one of whose layers stands in a list."""

    name = "mlp-layer-lost"
    wrong = "a hidden layer is in a Python list: neither trained nor saved"
    fault = "lost"


class MeanUnseen(_NetworkMutant):
    """A network that sees pictures without their mean."""

    name = "mlp-mean-unseen"
    wrong = "the mean of a row is taken off before the first layer"
    fault = "unseen"


class MeanUnlearnt(_NetworkMutant):
    """A network that answers without mean."""

    name = "mlp-mean-unlearnt"
    wrong = "the mean of a row is taken off after the last layer"
    fault = "unlearnt"


class InputDetached(_NetworkMutant):
    """A network whose input is detached."""

    name = "mlp-input-detached"
    wrong = "the input is detached: its divergence, which SURE needs, is that of the skip alone"
    fault = "detached"


class EpsFromAlpha(Mutant, Model):
    """A network of eps whose sigma is taken from alpha in float32."""

    name = "mlp-eps-from-alpha"
    mutant_of = "mlp"
    wrong = "sigma = sqrt(1 / alpha^2 - 1) in float32: wrong by 1 % at low levels"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def network(self, signal: Signal) -> nn.Module:
        """The right part's."""
        return MLP(width=32).network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """x - sigma F."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            square = 1 / (1 + per_row(sigma, x).float() ** 2)
            level = (1 / square - 1).sqrt()
            y = x.flatten(1) * square.reshape(-1, 1).sqrt()
            return x - level * network(y, sigma.log() / 4).reshape(x.shape)

        return denoise


MUTANTS: list[type[Mutant]] = [
    MeansAlone,
    MeansLost,
    BlurredTarget,
    OutliersDropped,
    EvenRows,
    NearAlone,
    HighLevelsDetached,
    RoundedViews,
    ClippedTails,
    FirstChannel,
    SilentBelow,
    ToldAtMost,
    NoiseLeft,
    OddWidth,
    LargeBatch,
    LayerLost,
    MeanUnseen,
    MeanUnlearnt,
    InputDetached,
    EpsFromAlpha,
]
