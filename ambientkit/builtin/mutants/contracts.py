"""Mutants that keep every formula and break a contract: shapes, dtypes, conditions, randomness, patterns, forms."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from ambientkit.batch import Batch, Term, View
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.ancestral import AncestralMutant, Cond, moments
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant, drawn_levels, squared
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Model, Mutant, Signal, Tools
from ambientkit.maths.forms import Form, to_x_0
from ambientkit.maths.noise import RandomSource, per_row, standard_normal


class WithoutConditions(TweedieMutant):
    """Tweedie that does not hand on the conditions."""

    name = "tweedie-without-conditions"
    wrong = "the denoiser is asked without the row's conditions"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Tweedie().loss(lambda x, sigma, /, **cond: denoiser(x, sigma), batch, tools)


class BatchMoved(TweedieMutant):
    """Tweedie that writes into its batch."""

    name = "tweedie-batch-moved"
    wrong = "the batch is centred in place, for whoever comes next"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        found = Tweedie().loss(denoiser, batch, tools)
        batch.x_n.sub_(batch.x_n.mean())
        return found


class TaughtByTheTeacher(TweedieMutant):
    """Tweedie whose target is what the EMA teacher answers."""

    name = "tweedie-taught-by-the-teacher"
    wrong = "the target is the teacher's E[x_n | x_t]: nothing of the data is left in it"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        with torch.no_grad():
            target = tools.corruption.expect(tools.teacher(view.x, sigma, **view.cond), view, batch)
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - target, sigma, batch, tools
        )


class CommonNoise(TweedieMutant):
    """Tweedie whose channels share their noise."""

    name = "tweedie-common-noise"
    wrong = "the noise of the first channel serves all channels"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        sigma = drawn_levels(batch, tools)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        if view.x.ndim > 2:
            added = (view.x - batch.x_n)[:, :1]
            view = view._replace(x=batch.x_n + added.expand_as(batch.x_n))
        return squared(
            tools.corruption.expect(denoiser(view.x, sigma, **view.cond), view, batch) - batch.x_n, sigma, batch, tools
        )


class OnlyAsItComes(TweedieMutant):
    """Tweedie that is right with its default field alone."""

    name = "tweedie-only-as-it-comes"
    wrong = "with any other share of near levels than 0.5 sigma_n is 40 % too large"
    near: float = 0.5

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        factor = 1.0 if self.near == 0.5 else 1.4
        return Tweedie().loss(denoiser, batch._replace(sigma_n=factor * batch.sigma_n), tools)


class ViewsWithoutConditions(GaussianMutant):
    """A corruption whose views lose the conditions."""

    name = "gaussian-views-without-conditions"
    wrong = "degrade drops the batch's conditions"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch, sigma, generator)._replace(cond={})


class ExpectDetached(GaussianMutant):
    """A corruption whose expect lets no gradient through."""

    name = "gaussian-expect-detached"
    wrong = "expect detaches x_0_hat: nothing is learnt"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return RIGHT.expect(x_0_hat.detach(), view, batch)


class Pattern(GaussianMutant):
    """A corruption whose noise has a pattern that it does not declare."""

    name = "gaussian-pattern"
    wrong = "the noise of a pixel is up to 20 % stronger or weaker than declared, on average right"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        factor = torch.linspace(0.8, 1.2, x_0[0].numel()).reshape(x_0.shape[1:]).to(x_0)
        return batch._replace(x_n=x_0 + factor * (batch.x_n - x_0))


class StepWithoutConditions(AncestralMutant):
    """An ancestral step that does not hand on the conditions."""

    name = "ancestral-without-conditions"
    wrong = "the denoiser is asked without the row's conditions"

    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        mean, std = moments(denoiser, x, sigma_t, sigma_s, {})
        return mean + std * standard_normal(x, generator)


class ClippedAnswers(AncestralMutant):
    """An ancestral step on clipped answers."""

    name = "ancestral-clipped-answers"
    wrong = "D is clipped to [-1, 1], where data that are not pictures lie outside"

    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        def clipped(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return denoiser(x, sigma, **cond).clamp(-1, 1)

        mean, std = moments(clipped, x, sigma_t, sigma_s, cond)
        return mean + std.to(x.dtype) * standard_normal(x, generator)


class ChannelsInCommon(AncestralMutant):
    """An ancestral step whose channels share their noise."""

    name = "ancestral-channels-in-common"
    wrong = "the noise of the first channel serves all channels"

    def step(
        self, denoiser: Denoiser, x: Tensor, sigma_t: Tensor, sigma_s: Tensor, generator: RandomSource, cond: Cond
    ) -> Tensor:
        mean, std = moments(denoiser, x, sigma_t, sigma_s, cond)
        z = standard_normal(x, generator)
        return mean + std.to(x.dtype) * (z[:, :1].expand_as(z) if z.ndim > 2 else z)


class _FormMutant(Mutant, Model, abc.ABC):
    """A model of a form, wrong in its formula or in the inputs of its network."""

    mutant_of = "mlp"

    def network(self, signal: Signal) -> nn.Module:
        """The right part's."""
        return MLP(width=32).network(signal)

    def answered(self, network: nn.Module, x: Tensor, sigma: Tensor, form: Form) -> Tensor:
        """x_0_hat of a raw output in a form, under any schedule."""
        return to_x_0(
            network(x.flatten(1) / (1 + per_row(sigma, x).flatten(1)), sigma.log() / 4).reshape(x.shape), x, sigma, form
        )


class FlowForV(_FormMutant):
    """A network of v read as one of the flow."""

    name = "mlp-flow-for-v"
    wrong = "claims v, and reads the output as the velocity of the flow"
    claims = frozenset({"denoiser-contract", "v-form"})

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        return lambda x, sigma, /, **cond: self.answered(network, x, sigma, "flow")


class EpsWithS(_FormMutant):
    """A network of eps whose output is multiplied by s in place of sigma."""

    name = "mlp-eps-with-s"
    wrong = "x - s eps with s = sigma / sqrt(1 + sigma^2): bounded where the noise is not"
    claims = frozenset({"denoiser-contract"})

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return x + (self.answered(network, x, sigma, "eps") - x) / (1 + per_row(sigma, x) ** 2).sqrt()

        return denoise


class WithoutGradient(_FormMutant):
    """The right denoiser, whose network is called without gradient."""

    name = "mlp-without-gradient"
    wrong = "the network is called under no_grad: nothing is learnt"
    claims = MLP.claims

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = MLP(width=32).denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            with torch.no_grad():
                return right(x, sigma)

        return denoise


class EvaluationMode(_FormMutant):
    """The right denoiser, which switches its network to evaluation."""

    name = "mlp-evaluation-mode"
    wrong = "the network is put into evaluation mode, so that dropout never drops"
    claims = MLP.claims

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        return MLP(width=32).denoiser(network.eval(), signal)


class HalfOfTheData(_FormMutant):
    """The right denoiser for data of std 0.5, without regard to the signal."""

    name = "mlp-sigma-data-fixed"
    wrong = "sigma_data is 0.5, without regard to the signal"
    claims = MLP.claims

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        return MLP(width=32).denoiser(network, Signal(signal.shape, 0.5, signal.conds))


MUTANTS: list[type[Mutant]] = [
    WithoutConditions,
    BatchMoved,
    TaughtByTheTeacher,
    CommonNoise,
    OnlyAsItComes,
    ViewsWithoutConditions,
    ExpectDetached,
    Pattern,
    StepWithoutConditions,
    ClippedAnswers,
    ChannelsInCommon,
    FlowForV,
    EpsWithS,
    WithoutGradient,
    EvaluationMode,
    HalfOfTheData,
]
