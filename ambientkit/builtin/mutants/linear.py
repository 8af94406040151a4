"""Wrong variants of the corruption `linear`."""

from __future__ import annotations

import abc
from collections.abc import Mapping

import torch
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.interfaces import Corruption, Mutant
from ambientkit.maths.noise import RandomSource
from ambientkit.operators import Operator


class Lopsided(Operator):
    """y = x + 0.5 times the value before it, round the end: not symmetric, for rows of any shape of three values or
    more."""

    name = "lopsided"

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A x."""
        return x + 0.5 * x.flatten(1).roll(1, 1).reshape(x.shape)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A^T y."""
        return y + 0.5 * y.flatten(1).roll(-1, 1).reshape(y.shape)


RIGHT = Linear(operator=Lopsided(), missing=0.3, drop=0.3, sigma_n=(0.1, 0.4))


class LinearMutant(Mutant, Corruption, abc.ABC):
    """What these mutants share: the right part's claims, and its methods where nothing is wrong with them."""

    mutant_of = "linear"
    claims = Linear.claims
    carries = Linear.carries

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The right part's."""
        return RIGHT.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The right part's."""
        return self.degraded(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The right part's."""
        return self.expected(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The right part's."""
        return RIGHT.floor(batch)

    def slope(self, view: View, batch: Batch) -> Tensor:
        """The right part's."""
        return RIGHT.slope(view, batch)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The right part's."""
        return RIGHT.show(batch, sigma, generator)

    def unseen(self, batch: Batch) -> str:
        """The right part's."""
        return RIGHT.unseen(batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The right part's."""
        return self.weighed(view, batch, cap, hidden)

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_n to A^T y_t."""
        return RIGHT.degrade(batch, sigma, generator)

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """E[x_n | y_t]."""
        return RIGHT.expect(x_0_hat, view, batch)

    def weighed(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """What errors count."""
        return RIGHT.weight(view, batch, cap, hidden)


class HalfInEach(LinearMutant):
    """Measurements whose noise is shared between the parts of complex numbers, while the whole is declared."""

    name = "linear-half-in-each"
    wrong = "noise of std sigma_n / sqrt(2), declared as sigma_n"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """Twice the variance is declared."""
        found = RIGHT.observe(x_0, row, generator)
        return found._replace(sigma_n=found.sigma_n * 2**0.5)


class NotTransposed(LinearMutant):
    """Measurements that are shown through A in place of its transpose."""

    name = "linear-not-transposed"
    wrong = "A y_t in place of A^T y_t"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=RIGHT.operator.forward(view.cond["measured"], {}))


class Unscaled(LinearMutant):
    """Measurements whose transpose has another scale, as an FFT without its factor."""

    name = "linear-unscaled"
    wrong = "A^T lacks a factor"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        view = RIGHT.degrade(batch, sigma, generator)
        return view._replace(x=view.x * view.x[0].numel() ** 0.5)


class TransposedExpect(LinearMutant):
    """Measurements that are expected through the transpose."""

    name = "linear-transposed-expect"
    wrong = "E[x_n | y_t] = a A^T h + b y_t"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        nothing = RIGHT.expect(torch.zeros_like(x_0_hat), view, batch)
        return nothing + RIGHT.slope(view, batch) * RIGHT.operator.adjoint(x_0_hat, {})


class ForgetsTheOperator(LinearMutant):
    """Measurements that are expected to be values of the row."""

    name = "linear-forgets-the-operator"
    wrong = "a h + b y_t in place of a A h + b y_t"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        known = torch.zeros_like(x_0_hat)
        return RIGHT.expect(known, view, batch) + RIGHT.slope(view, batch) * x_0_hat


class FrozenMeasurements(LinearMutant):
    """Measurements of which a step hides the same each time."""

    name = "linear-frozen"
    wrong = "what a step hides is a function of the row"

    def degraded(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        if "sampled" not in batch.cond:
            return RIGHT.degrade(batch, sigma, generator)
        kept = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        shown = RIGHT.degrade(batch, sigma, kept).cond["sampled"]
        return RIGHT.show(batch._replace(cond={**batch.cond, "sampled": shown}), sigma, generator)


class ExpectsMissingMeasurements(LinearMutant):
    """Measurements that are expected where there are none."""

    name = "linear-expects-what-is-missing"
    wrong = "missing measurements are compared with the 0 that stands for them"

    def expected(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        return RIGHT.expect(x_0_hat, view, batch._replace(cond={}))


class ForgetsK(LinearMutant):
    """Measurements that count as if all of them had been made."""

    name = "linear-forgets-k"
    wrong = "hidden measurements are not divided by the chance that they were made"

    def weighed(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        weight = RIGHT.weight(view, batch, cap, hidden)
        level = hidden.to(weight.dtype).reshape(-1, *[1] * (weight.ndim - 1))
        return torch.where(view.cond["sampled"] | (weight == 0), weight, level)


class MapsOfTheFirstRow(Mutant, Linear):
    """Measurements of rows that bring maps of their own, of which those of the first row are used."""

    name = "linear-maps-of-the-first-row"
    mutant_of = "linear"
    wrong = "the maps of the first row serve for all rows"

    def _given(self, batch: Batch) -> Mapping[str, Tensor]:
        return {name: value[:1].expand_as(value) for name, value in super()._given(batch).items()}


MUTANTS = [
    MapsOfTheFirstRow,
    HalfInEach,
    NotTransposed,
    Unscaled,
    TransposedExpect,
    ForgetsTheOperator,
    FrozenMeasurements,
    ExpectsMissingMeasurements,
    ForgetsK,
]
