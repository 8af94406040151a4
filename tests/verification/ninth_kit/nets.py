"""A small model in pieces, which the models of this kit replace one at a time."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.noise import per_row

EDM = frozenset({"denoiser-contract", "edm-preconditioned"})


class Net(nn.Module):
    """Two layers, and an embedding of labels."""

    def __init__(self, size: int, classes: int | None = None, width: int = 24) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)
        self.label = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        """F."""
        hidden = self.inner(self.first(torch.cat([y, c_noise.unsqueeze(1).to(y.dtype)], dim=1)))
        if label is not None and self.label is not None:
            hidden = hidden + self.told(label)
        return self.last(torch.tanh(hidden))

    def inner(self, hidden: Tensor) -> Tensor:
        """In between."""
        return hidden

    def told(self, label: Tensor) -> Tensor:
        """Of the label."""
        assert self.label is not None
        return self.label(label)


class Edm(Model):
    """EDM's preconditioning of two layers."""

    name = "nine-net-base"
    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = EDM
    net: ClassVar[type[Net]] = Net

    def network(self, signal: Signal) -> nn.Module:
        """Fresh. Raises InputError for conditions that it does not take."""
        wanted = {} if self.classes is None else {"class_cond": ()}
        if dict(signal.conds) != wanted:
            raise InputError(f"model {self.name!r} takes {sorted(wanted)}, but the data carry {sorted(signal.conds)}")
        return self.made(math.prod(signal.shape))

    def made(self, size: int) -> nn.Module:
        """The module."""
        return self.net(size, self.classes)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if self.classes is not None and "class_cond" not in cond:
                raise InputError(f"model {self.name!r} needs class_cond")
            return self.denoised(network, x, sigma, signal.sigma_data, cond)

        return denoise

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """c_skip x + c_out F."""
        c_skip, c_out, c_in, c_noise = self.coefficients(sigma.to(x.dtype), std)
        label = (cond["class_cond"],) if self.classes is not None else ()
        answer = network((per_row(c_in, x) * x).flatten(1), c_noise, *label).reshape(x.shape).to(x.dtype)
        return per_row(c_skip, x) * x + per_row(c_out, x) * answer

    def coefficients(self, sigma: Tensor, std: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Skip, out, in, noise."""
        total = sigma**2 + std**2
        return std**2 / total, sigma * std / total.sqrt(), 1 / total.sqrt(), sigma.log() / 4


class Labelled(Edm):
    """With classes."""

    name = "nine-net-labelled-base"
    num_classes: int | None = Field(None, ge=1)
    """Classes of the rows."""

    def null_cond(self, name: str) -> float | None:
        """num_classes."""
        return self.num_classes if name == "class_cond" else None
