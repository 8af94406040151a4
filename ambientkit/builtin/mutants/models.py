"""Wrong variants of the model `mlp`: of its denoiser, with the right network."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.interfaces import Denoiser, Model, Mutant, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning


class MLPMutant(Mutant, Model, abc.ABC):
    """What these mutants share: the right part's claims and network, and a denoiser that calls `answer`."""

    mutant_of = "mlp"
    claims = MLP.claims

    def network(self, signal: Signal) -> nn.Module:
        """The right part's."""
        return MLP(width=32).network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The mutant's."""
        right = MLP(width=32).denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            def told(x: Tensor, sigma: Tensor, /, **more: Tensor) -> Tensor:
                return right(x, sigma, **cond, **more)

            return self.answer(told, network, signal, x, sigma)

        return denoise

    @abc.abstractmethod
    def answer(self, right: Denoiser, network: nn.Module, signal: Signal, x: Tensor, sigma: Tensor) -> Tensor:
        """What the denoiser says in place of right(x, sigma)."""


class LevelOfTheBatch(MLPMutant):
    """A denoiser with one level per batch."""

    name = "mlp-level-of-the-batch"
    wrong = "the first row's sigma serves the whole batch"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma[:1].expand_as(sigma))


class WithoutSkip(MLPMutant):
    """A denoiser without its skip connection."""

    name = "mlp-without-skip"
    wrong = "c_skip = 0: at sigma = 0 the answer is not the input"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma) - per_row(edm_preconditioning(sigma, signal.sigma_data).c_skip, x) * x


class InputOfAnotherForm(MLPMutant):
    """A denoiser that scales its input as a variance-preserving network wants it."""

    name = "mlp-input-of-another-form"
    wrong = "x / sqrt(1 + sigma^2) in place of x / sqrt(sigma_data^2 + sigma^2)"

    def answer(self, right, network, signal, x, sigma):
        c = edm_preconditioning(sigma, signal.sigma_data)
        output = network(x.flatten(1) / (1 + sigma**2).sqrt().unsqueeze(1), c.c_noise).reshape(x.shape)
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


class VarianceForStd(MLPMutant):
    """A denoiser whose coefficients are those of the variance."""

    name = "mlp-variance-for-std"
    wrong = "sigma^2 in place of sigma"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma**2)


class DoublePrecision(MLPMutant):
    """A denoiser that answers in another precision."""

    name = "mlp-double-precision"
    wrong = "the answer has not the dtype of x"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma).double()


class Flattened(MLPMutant):
    """A denoiser that has lost an axis."""

    name = "mlp-flattened"
    wrong = "the answer has not the shape of x"

    def answer(self, right, network, signal, x, sigma):
        return right(x, sigma).flatten()


class RowsMeet(MLPMutant):
    """A denoiser whose rows are normalised by the batch."""

    name = "mlp-rows-meet"
    wrong = "the input is centred by the mean of the batch, as batch normalisation in training mode does"

    def answer(self, right, network, signal, x, sigma):
        return right(x - x.mean(0, keepdim=True), sigma)


class DeafToTheLevel(MLPMutant):
    """A denoiser that is given the same level at any noise."""

    name = "mlp-deaf-to-the-level"
    wrong = "sigma is not used"

    def answer(self, right, network, signal, x, sigma):
        return right(x, torch.full_like(sigma, signal.sigma_data))


class LevelsAlongTheWidth(MLPMutant):
    """A denoiser whose coefficients run along the width of pictures, where a batch has as many rows."""

    name = "mlp-levels-along-the-width"
    wrong = "sigma (B,) is broadcast against (B, C, H, W) by torch's rules where B = W"

    def answer(self, right, network, signal, x, sigma):
        if x.ndim < 4 or len(x) != x.shape[-1]:
            return right(x, sigma)
        c = edm_preconditioning(sigma, signal.sigma_data)
        return c.c_skip * x + c.c_out * network((c.c_in * x).flatten(1), c.c_noise).reshape(x.shape)


MUTANTS: list[type[Mutant]] = [
    *(
        LevelOfTheBatch,
        WithoutSkip,
        InputOfAnotherForm,
        VarianceForStd,
        DoublePrecision,
        Flattened,
        RowsMeet,
        DeafToTheLevel,
        LevelsAlongTheWidth,
    ),
]
"""Registered by `ambientkit.builtin.plugin`."""
