"""The check `denoiser-contract`: a model's denoiser treats every row by itself, and is the identity as sigma -> 0."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.builtin.checks.changed import ChangedModel, without_classes
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Model, Part, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator


class DenoiserContract(Check):
    """D(x, sigma) keeps shape and dtype, row i depends on x_i and sigma_i alone, and D(x, sigma) - x vanishes with
    sigma.

    A fresh network, its parameters moved at random so that none is 0, in evaluation mode. Rows have unlike levels from
    0.05 to 5; each is compared with itself alone. At sigma = 1e-5 the answer must be the input to within 0.001.
    """

    name = "denoiser-contract"
    source = "the contract of `Denoiser`; the limit: arXiv 2206.00364, eq. 7"
    kind = "model"
    claim = "denoiser-contract"
    null_law = "exact: tolerance 1e-3"
    detects = (
        "one level for a whole batch, a wrong shape or dtype, an answer that is not the input where there is no noise"
    )
    meaning = "The network gets a wrong noise level for some rows, or its answers cannot be those of a denoiser."
    quick = True

    rows: int = Field(4, ge=2)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference found, or infinity for a wrong shape or dtype."""
        assert isinstance(part, Model)
        part = without_classes(part)
        signal, network = fresh(part, case)
        with isolated_global_generator(case.seed, "verify.model"):
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=torch.default_generator)
                parameter.data += 0.05 * noise.to(parameter)
        denoiser = part.denoiser(network.eval(), signal)
        x = torch.randn(self.rows, *signal.shape, generator=keyed_generator(case.seed, "verify.model.x"))
        sigma = torch.logspace(math.log10(0.05), math.log10(5), self.rows)
        with torch.no_grad():
            together = denoiser(x, sigma)
            if together.shape != x.shape or together.dtype != x.dtype:
                return exact(math.inf, 1e-3, self.rows)
            alone = torch.cat([denoiser(x[i : i + 1], sigma[i : i + 1]) for i in range(self.rows)])
            turned = denoiser(x.flip(0), sigma.flip(0)).flip(0)
            still = denoiser(x, torch.full_like(sigma, 1e-5))
            told = float((denoiser(x, sigma.flip(0)) - together).abs().max())
        errors = [together - alone, together - turned, still - x]
        return exact(largest(errors) if told > 0 else math.inf, 1e-3, self.rows)

    def control(self, part: Part) -> Part:
        """The same model, whose denoiser hands the mean level of the batch to every row."""
        assert isinstance(part, Model)
        return _MeanLevel(inner=part)


def fresh(model: Model, case: Case) -> tuple[Signal, nn.Module]:
    """A network for the first kind of rows that the model takes: points, or small pictures."""
    shapes: list[tuple[int, ...]] = [(case.law.dimension,), (1, 16, 16), (3, 32, 32), (1, 64, 64)]
    refused: InputError | None = None
    for shape in shapes:
        signal = Signal(shape, 0.5)
        try:
            with isolated_global_generator(case.seed, "verify.model"):
                return signal, model.network(signal)
        except InputError as error:
            refused = error
    assert refused is not None
    raise refused


class _MeanLevel(ChangedModel):
    """A model whose denoiser knows one level per batch: wrong on purpose."""

    name = "mean-level-control"

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's, at the mean level of the batch."""
        return right(x, sigma.mean().expand_as(sigma), **cond)
