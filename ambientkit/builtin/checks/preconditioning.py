"""The check `preconditioning`: a network sees and gives what EDM's coefficients say."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor, nn

from ambientkit.builtin.checks.denoiser_contract import fresh
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Model, Part, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator


class EDMPreconditioning(Check):
    """D(x, sigma) = c_skip x + c_out F(c_in x, .), with EDM's coefficients, for any network F.

    The network is replaced by one that answers 0 or 1 and writes down what it is asked: c_in x must have unit variance
    for data of std sigma_data, D must be c_skip x for F = 0, and c_out more for F = 1. Levels differ between rows.
    """

    name = "preconditioning"
    source = "arXiv 2206.00364, eq. 7 and table 1"
    kind = "model"
    claim = "edm-preconditioned"
    null_law = "exact: tolerance 1e-4"
    detects = "any other coefficient, such as that of a variance-preserving form"
    meaning = "The network's input or output is scaled otherwise than claimed: weights trained in the claimed form give wrong pictures."
    quick = True

    rows: int = Field(4, ge=2)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error of c_in x, of c_skip x and of c_out."""
        assert isinstance(part, Model)
        signal, _ = fresh(part, case)
        x = torch.randn(self.rows, *signal.shape, generator=keyed_generator(case.seed, "verify.preconditioning"))
        sigma = torch.logspace(-2, 1, self.rows)
        total = (sigma**2 + signal.sigma_data**2).sqrt()
        answers, asked = [], x
        for value in (0.0, 1.0):
            network = _Stub(value)
            answers.append(part.denoiser(network, signal)(x, sigma))
            if network.asked is None or network.asked.numel() != x.numel():
                return exact(math.inf, 1e-4, self.rows)
            asked = network.asked.reshape(x.shape)
        skip, out = per_row(signal.sigma_data**2 / total**2, x), per_row(sigma * signal.sigma_data / total, x)
        errors = [asked - x / per_row(total, x), answers[0] - skip * x, answers[1] - answers[0] - out]
        return exact(largest(errors), 1e-4, self.rows)

    def control(self, part: Part) -> Part:
        """The same model, given a sigma_data that is a fifth too large."""
        assert isinstance(part, Model)
        return _OtherData(inner=part)


class _Stub(nn.Module):
    """Answers one value everywhere, and keeps its first argument."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value
        self.asked: Tensor | None = None

    def forward(self, y: Tensor, *rest: Tensor, **cond: Tensor) -> Tensor:
        self.asked = y.detach()
        return torch.full_like(y, self._value)


class _OtherData(Model):
    """A model with another sigma_data: wrong on purpose."""

    name = "other-data-control"

    inner: InstanceOf[Model]

    def network(self, signal: Signal) -> nn.Module:
        """The inner model's."""
        return self.inner.network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The inner model's for wider data."""
        return self.inner.denoiser(network, Signal(signal.shape, 1.2 * signal.sigma_data, signal.conds))
