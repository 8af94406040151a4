"""What a part says or shows besides its main work: rows to restore, and the rows, levels and masks that a model
takes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from ambientkit.batch import Batch, View
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.gaussian import RIGHT, GaussianMutant
from ambientkit.builtin.mutants.linear import RIGHT as RIGHT_LINEAR
from ambientkit.builtin.mutants.linear import LinearMutant
from ambientkit.builtin.mutants.mask import RIGHT as RIGHT_MASK
from ambientkit.builtin.mutants.mask import MaskMutant
from ambientkit.builtin.mutants.models import MLPMutant
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Levels, Mutant, Signal
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.precondition import beside, edm_preconditioning
from ambientkit.proposal import Proposal


class ShownAsItIs(GaussianMutant):
    """A corruption that shows rows to be restored as they are."""

    name = "gaussian-shown-as-it-is"
    wrong = "show adds no noise, and says the level that was asked for"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        RIGHT.degrade(batch, sigma, generator)
        return View(batch.x_n, sigma, batch.cond)


class ShownWithoutConditions(GaussianMutant):
    """A corruption that shows rows to be restored without what they are."""

    name = "gaussian-shown-without-conditions"
    wrong = "show loses the conditions"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT.degrade(batch, sigma, generator)._replace(cond={})


class MaskShownAsItIs(MaskMutant):
    """A mask that shows rows to be restored as they are."""

    name = "mask-shown-as-it-is"
    wrong = "show adds no noise, and says the level that was asked for"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        return RIGHT_MASK.show(batch, sigma, generator)._replace(x=batch.x_n)


class LinearShownAsItIs(LinearMutant):
    """An operator that shows rows to be restored as they were measured."""

    name = "linear-shown-as-it-is"
    wrong = "show adds no noise, and says the level that was asked for"

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT_LINEAR.show(batch, sigma, generator)
        x = RIGHT_LINEAR.operator.adjoint(batch.x_n, {}).to(view.x.dtype)
        return view._replace(x=x, cond={**view.cond, "measured": batch.x_n})


class CarriesInSilence(GaussianMutant):
    """A corruption that gives the network the noise, and does not declare it."""

    name = "gaussian-carries-in-silence"
    wrong = "observe adds a condition that carries does not name"

    def observed(self, x_0: Tensor, batch: Batch, generator: RandomSource) -> Batch:
        return batch._replace(cond={"noise": batch.sigma_n})


class OtherModelMutant(MLPMutant):
    """A small `mlp` whose answers are right."""

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma)


class TurnedRange(OtherModelMutant):
    """A model that calls its highest level the lowest."""

    name = "mlp-turned-range"
    wrong = "level_range is (80, 0.002)"

    def level_range(self) -> Levels | None:
        return Levels(80.0, 0.002)


class OfferedForAll(OtherModelMutant):
    """A model that is proposed for rows that it refuses."""

    name = "mlp-offered-for-all"
    wrong = "it is proposed for pictures, and takes rows of one axis alone"

    def network(self, signal: Signal) -> nn.Module:
        if len(signal.shape) > 1:
            raise InputError(f"rows of shape {signal.shape} are pictures")
        return super().network(signal)

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
        return Proposal(1, "any rows")


class RefusesByAssertion(OtherModelMutant):
    """A model that ends a run with no advice on what to do."""

    name = "mlp-refuses-by-assertion"
    wrong = "rows of one axis are refused by AssertionError, not InputError"

    def network(self, signal: Signal) -> nn.Module:
        assert len(signal.shape) == 3
        return super().network(signal)


class SquareSides(OtherModelMutant):
    """A model that takes pictures for squares."""

    name = "mlp-square-sides"
    wrong = "pictures are reshaped to squares: others fail when they are asked about"

    def answer(self, right, network, signal, x, sigma):
        if x.ndim < 4:
            return right(x, sigma)
        side = math.isqrt(x[0, 0].numel())
        return right(x.reshape(*x.shape[:2], side, side), sigma).reshape(x.shape)


class MaskUnread(OtherModelMutant):
    """A model that takes a mask and does not read it."""

    name = "mlp-mask-unread"
    wrong = "zeros that a mask hides are taken for values"

    def network(self, signal: Signal) -> nn.Module:
        return super().network(Signal(signal.shape, signal.sigma_data, _without_mask(signal)))

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return right(x, sigma)

        return denoise


def _without_mask(signal: Signal) -> dict[str, tuple[int, ...]]:
    return {name: shape for name, shape in signal.conds.items() if name != "mask"}


class HiddenAsShown(OtherModelMutant):
    """A model that answers for hidden values as for those that are shown."""

    name = "mlp-hidden-as-shown"
    wrong = "the mask joins the input, and c_out is that of values that are shown: at low levels hidden ones stay 0"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            output = network(beside((per_row(c.c_in, x) * x).flatten(1), cond), c.c_noise).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output.to(x.dtype)

        return denoise


class MaskOfFirst(OtherModelMutant):
    """A model that reads the mask of the first row for all rows."""

    name = "mlp-mask-of-first"
    wrong = "all rows of a batch have the mask of the first"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = MLP(width=32).denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            first = {name: value[:1].expand_as(value) for name, value in cond.items()}
            return right(x, sigma, **first)

        return denoise


MUTANTS: list[type[Mutant]] = [
    ShownAsItIs,
    ShownWithoutConditions,
    MaskShownAsItIs,
    LinearShownAsItIs,
    CarriesInSilence,
    TurnedRange,
    OfferedForAll,
    RefusesByAssertion,
    SquareSides,
    MaskUnread,
    HiddenAsShown,
    MaskOfFirst,
]
"""Registered by `ambientkit.builtin.plugin`."""
