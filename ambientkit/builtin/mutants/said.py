"""Mutants of what a stranger's kit had shown to pass: what a corruption says besides its views, what an objective must
refuse, half a per cent of noise, levels that are one number, and rows that meet in an attack or a similarity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.attacks.loss import Loss
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.builtin.mutants.memory import AttackMutant
from ambientkit.builtin.mutants.models import MLPMutant
from ambientkit.builtin.mutants.tweedie import TweedieMutant
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.builtin.similarities.correlation import Correlation
from ambientkit.interfaces import Denoiser, Mutant, Objective, Signal, Tools
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.memorisation_parts import Attempt, Similarity, Target
from ambientkit.operators import Operator
from ambientkit.operators.blur import Blur


class SlopeOfCleanRows(GaussianMutant):
    """A corruption that says of all values that they show x_0 in full."""

    name = "gaussian-slope-of-clean-rows"
    wrong = "slope is 1 for any noise"

    def slope(self, view: View, batch: Batch) -> Tensor:
        return torch.ones_like(view.x)


class WeightNotSquared(GaussianMutant):
    """A corruption whose weight undoes a once."""

    name = "gaussian-weight-not-squared"
    wrong = "weight is 1/a, not 1/a^2"

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        return super().weight(view, batch, cap**2, hidden).sqrt()


class WidthOfNoisyRows(GaussianMutant):
    """A corruption that takes the std of noisy rows for that of clean ones."""

    name = "gaussian-width-of-noisy-rows"
    wrong = "clean_std has the noise in it"

    def clean_std(self, batch: Batch) -> float:
        return float(batch.x_n.std())


class ViewsOfTheRow(GaussianMutant):
    """A corruption whose views are a function of the row."""

    name = "gaussian-views-of-the-row"
    wrong = "degrade is seeded by the row: it adds the same noise in each epoch"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch, sigma, [torch.Generator().manual_seed(int(row)) for row in batch.row])


class ShowsAView(MaskMutant):
    """Masks that restore rows from a part of what was measured."""

    name = "mask-shows-a-view"
    wrong = "show hides more, as degrade does"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return self.degrade(batch, sigma, generator)


class SeesEverything(MaskMutant):
    """Masks that never say that a value is missing in all rows."""

    name = "mask-sees-everything"
    wrong = "unseen is empty where a value is missing in all rows"

    def unseen(self, batch: Batch) -> str:
        return ""


class Rightwards(Blur):
    """A blur to the right, whose transpose is taken to be itself."""

    name = "rightwards"

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A x."""
        return 0.6 * x + 0.3 * x.roll(1, -1) + 0.1 * x.roll(2, -1)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A y, where A^T y belongs."""
        return self.forward(y, given)


class ConvolvesAgain(Mutant, Linear):
    """Measurements that are carried back by the operator itself."""

    name = "linear-convolves-again"
    mutant_of = "linear"
    wrong = "A for A^T: on rows two pixels wide a shift is its own inverse"
    claims = Linear.claims

    operator: SerializeAsAny[Operator] = Field(Rightwards(), validate_default=False)


class TakesNoisyRows(Mutant, Objective):
    """Denoising that takes noisy rows for clean ones."""

    name = "denoising-takes-noisy-rows"
    mutant_of = "denoising"
    wrong = "noisy rows are not refused"
    claims = Denoising.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        return Denoising().loss(denoiser, batch._replace(sigma_n=torch.zeros_like(batch.sigma_n)), tools)


class DenoisingPerturbed(Mutant, Objective):
    """Denoising of points that are half a per cent noisier than their level."""

    name = "denoising-perturbed"
    mutant_of = "denoising"
    wrong = "a tenth of another draw of noise is added: half a per cent too much"
    claims = Denoising.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def perturbed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            more = 0.1 * per_row(sigma, x) * standard_normal(x, tools.generator)
            return denoiser(x + more, sigma, **cond)

        return Denoising().loss(perturbed, batch, tools)


class LevelsExchanged(TweedieMutant):
    """Tweedie whose levels are sorted, so that rows have those of others."""

    name = "tweedie-levels-exchanged"
    wrong = "the levels of rows of unlike noise are sorted, and raised to their floors"
    claims = Tweedie.claims - {"serves-masks", "serves-operators", "scale-under-masks", "x_0-scale"}

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        part = Tweedie(near=0.0)
        draws = part._drawn(batch, tools)
        batch = take(batch, draws.row)
        sigma = torch.maximum(part._levels(batch, draws, tools).sort().values, tools.corruption.floor(batch))
        view, cap = part._views(batch, sigma, draws, tools)
        return {"tweedie": Term(part._value(denoiser, batch, view, cap, tools), sigma)}


class MirroredMeasurements(TweedieMutant):
    """Tweedie that mirrors views of measured rows as if they were rows."""

    name = "tweedie-mirrored-measurements"
    wrong = "2 x_n - A^T y_t where A is square: measurements and pictures are mixed"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        def mirrored(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            same = "sampled" in cond and x.shape == batch.x_n.shape
            return denoiser(2 * batch.x_n - x if same else x, sigma, **cond)

        return Tweedie(near=0.0).loss(mirrored, batch, tools)


class CoarseTime(MLPMutant):
    """A denoiser whose network is given one of a few levels."""

    name = "mlp-coarse-time"
    wrong = "log(sigma) / 4 is rounded to 0.2: levels up to a factor of 2.2 apart are one"
    claims = frozenset({"denoiser-contract"})

    def answer(self, right, network, signal, x, sigma):
        sigma = sigma.to(x.dtype)
        total = sigma**2 + signal.sigma_data**2
        skip, out = signal.sigma_data**2 / total, sigma * signal.sigma_data / total.sqrt()
        y, told = per_row(1 / total.sqrt(), x) * x, (5 * sigma.log() / 4).round() / 5
        return per_row(skip, x) * x + per_row(out, x) * network(y.flatten(1), told).reshape(x.shape)


class CutRows(MLPMutant):
    """A model whose network knows a part of each row."""

    name = "mlp-cut-rows"
    wrong = "values beyond the second are not given to the network, and never learnt"

    def network(self, signal: Signal) -> nn.Module:
        return MLP(width=32).network(signal)

    def answer(self, right, network, signal, x, sigma):
        sigma = sigma.to(x.dtype)
        skip = signal.sigma_data**2 / (sigma**2 + signal.sigma_data**2)
        plain = per_row(skip, x) * x
        place = torch.arange(x[0].numel()).reshape(x.shape[1:]) < 2
        return torch.where(place, right(x, sigma), plain)


class RankedLoss(AttackMutant):
    """The attack `loss` by ranks among the rows attacked together."""

    name = "loss-ranked"
    mutant_of = "loss"
    wrong = "distances are ranks in the batch"
    claims = Loss.claims

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        found = Loss().attempt(x, keys, target)
        assert found.distance is not None
        return found._replace(distance=found.distance.argsort().argsort().double())


class NothingOfFlatRows(Mutant, Similarity):
    """Correlation that divides by the std of a flat row."""

    name = "correlation-nothing-of-flat-rows"
    mutant_of = "correlation"
    wrong = "0 / 0 for a row of one value"
    claims = Correlation.claims

    def view(self, rows: Tensor) -> Tensor:
        flat = rows.flatten(1)
        return ((flat - flat.mean(1, keepdim=True)) / flat.std(1, unbiased=False, keepdim=True)).reshape(rows.shape)


MUTANTS = [
    SlopeOfCleanRows,
    WeightNotSquared,
    WidthOfNoisyRows,
    ViewsOfTheRow,
    ShowsAView,
    SeesEverything,
    ConvolvesAgain,
    TakesNoisyRows,
    DenoisingPerturbed,
    LevelsExchanged,
    MirroredMeasurements,
    CoarseTime,
    CutRows,
    RankedLoss,
    NothingOfFlatRows,
]
