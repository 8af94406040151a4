"""The check `preconditioning`: a network sees and gives what EDM's coefficients say."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import nn

from ambientkit.builtin.checks.answered import Answering
from ambientkit.builtin.checks.changed import without_classes
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Model, Part, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator


class EDMPreconditioning(Check):
    """D(x, sigma) = c_skip x + c_out F(c_in x, log(sigma) / 4), with EDM's coefficients, for any network F.

    The network's output is replaced by 0 or 1, and what it is asked is written down: c_in x must have unit variance for
    data of std sigma_data, D must be c_skip x for F = 0, and c_out more for F = 1. Levels differ between rows; three
    values of sigma_data.
    """

    name = "preconditioning"
    source = "arXiv 2206.00364, eq. 7 and table 1"
    kind = "model"
    claim = "edm-preconditioned"
    null_law = "exact: tolerance 1e-4"
    detects = "any other coefficient, such as that of a variance-preserving form, another sigma_data, another time"
    meaning = (
        "The network's input or output is scaled otherwise than claimed: weights trained in the claimed "
        "form give wrong pictures."
    )
    quick = True

    rows: int = Field(4, ge=2)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error of c_in x, of c_skip x and of c_out."""
        assert isinstance(part, Model)
        part = without_classes(part)
        return exact(max(self._one(part, case, sigma_data) for sigma_data in (0.5, 0.13, 1.7)), 1e-4, 3 * self.rows)

    def _one(self, part: Model, case: Case, sigma_data: float) -> float:
        model = Answering(part, case, sigma_data)
        signal = model.signal
        x = torch.randn(self.rows, *signal.shape, generator=keyed_generator(case.seed, "verify.preconditioning"))
        sigma = torch.logspace(-2, 1, self.rows)
        total = (sigma**2 + signal.sigma_data**2).sqrt()
        (zero, asked), (one, _) = model(x, sigma, torch.zeros_like(x)), model(x, sigma, torch.ones_like(x))
        if asked is None or asked.time is None or asked.y.numel() != x.numel():
            return math.inf
        skip, out = per_row(signal.sigma_data**2 / total**2, x), per_row(sigma * signal.sigma_data / total, x)
        errors = [asked.y.reshape(x.shape) - x / per_row(total, x), zero - skip * x, one - zero - out]
        return largest([*errors, asked.time - sigma.double().log() / 4])

    def control(self, part: Part) -> Part:
        """The same model, given a sigma_data that is a fifth too large."""
        assert isinstance(part, Model)
        return _OtherData(inner=part)


class _OtherData(Model):
    """A model with another sigma_data: wrong on purpose."""

    name = "other-data-control"

    inner: InstanceOf[Model]

    @property
    def classes(self) -> int | None:
        """The inner model's."""
        return self.inner.classes

    def network(self, signal: Signal) -> nn.Module:
        """The inner model's."""
        return self.inner.network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The inner model's for wider data."""
        return self.inner.denoiser(network, Signal(signal.shape, 1.2 * signal.sigma_data, signal.conds))
