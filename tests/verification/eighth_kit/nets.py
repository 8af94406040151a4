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
from ambientkit.maths.precondition import beside, edm_preconditioning

EDM = frozenset({"denoiser-contract", "edm-preconditioned"})


class Net(nn.Module):
    """Two layers."""

    def __init__(self, size: int, told: int = 0, classes: int | None = None, width: int = 32) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(size + told + 1, width), nn.Linear(width, size)
        self.label = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        """F."""
        hidden = self.hidden(self.first(torch.cat([y, c_noise.unsqueeze(1).to(y.dtype)], dim=1)))
        if label is not None and self.label is not None:
            hidden = hidden + self.label(label)
        return self.last(torch.tanh(hidden))

    def hidden(self, x: Tensor) -> Tensor:
        """In between."""
        return x


class Base(Model):
    """EDM's preconditioning of two layers, in pieces."""

    name = "eight-net-base"
    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = EDM
    takes: ClassVar[frozenset[str]] = frozenset()

    def network(self, signal: Signal) -> nn.Module:
        """Fresh. Raises InputError for conditions that it does not take."""
        others = sorted(set(signal.conds) - {"mask"} - self.takes)
        if others or not self.takes <= set(signal.conds):
            raise InputError(
                f"model {self.name!r} takes {sorted(self.takes)}, but the data carry {sorted(signal.conds)}"
            )
        return self.fresh(math.prod(signal.shape), sum(math.prod(s) for n, s in signal.conds.items() if n == "mask"))

    def fresh(self, size: int, told: int) -> nn.Module:
        """Of its size."""
        return Net(size, told)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.answer(network, x, sigma.to(x.dtype), signal, cond)

        return denoise

    def answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal, cond: dict[str, Tensor]) -> Tensor:
        """x_0_hat."""
        c_skip, c_out, c_in, c_noise = self.coefficients(sigma, signal.sigma_data)
        shown = cond["mask"].bool() if "mask" in cond else torch.ones_like(x, dtype=torch.bool)
        x = torch.where(shown, x, torch.zeros_like(x))
        out = torch.where(shown, per_row(c_out, x), torch.full_like(x, signal.sigma_data))
        y = per_row(c_in, x) * x
        return per_row(c_skip, x) * x + out * self.asked(network, y, c_noise, cond).reshape(x.shape).to(x.dtype)

    def asked(self, network: nn.Module, y: Tensor, c_noise: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """F."""
        return network(beside(y.flatten(1), cond), c_noise)

    def coefficients(self, sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """c_skip, c_out, c_in, c_noise."""
        c = edm_preconditioning(sigma, sigma_data)
        return c.c_skip, c.c_out, c.c_in, c.c_noise


class Labelled(Base):
    """With classes."""

    name = "eight-net-labelled-base"
    takes: ClassVar[frozenset[str]] = frozenset({"class_cond"})
    num_classes: int | None = Field(3, ge=1)

    def null_cond(self, name: str) -> float | None:
        return self.num_classes if name == "class_cond" else None

    def fresh(self, size: int, told: int) -> nn.Module:
        return Net(size, told, self.num_classes)

    def asked(self, network, y, c_noise, cond):
        if "class_cond" not in cond:
            raise InputError(f"model {self.name!r} needs class_cond, one label per row")
        return network(beside(y.flatten(1), cond), c_noise, cond["class_cond"])
