"""Wrong models, each a small network on flattened rows."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import beside, edm_preconditioning


class Layers(nn.Module):
    """F(y, c_noise, label): two layers on flattened rows."""

    def __init__(self, size: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        hidden = self.first(torch.cat([y.flatten(1), c_noise.unsqueeze(1)], dim=1))
        if self.label is not None and label is not None:
            hidden = hidden + self.label(label)
        return self.last(torch.tanh(hidden)).reshape(y.shape)


class Small(Model):
    """EDM's preconditioning around two layers. Right: parts below change it."""

    name = "seven-small"
    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    width: int = Field(32, ge=1)
    """Channels between the layers."""

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network. Raises InputError for conditions."""
        if signal.conds:
            raise InputError(f"model {self.name!r} takes no conditions, but the data carry {sorted(signal.conds)}")
        return Layers(math.prod(signal.shape), self.width)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma)."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self._answer(network, x, sigma, signal)

        return denoise

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
        output = network(per_row(c.c_in, x) * x, c.c_noise).to(x.dtype)
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


class UnitInput(Small):
    """The input is scaled for data of std 1, and the rest for that of the data."""

    name = "seven-unit-input"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
        output = network(x / per_row((1 + sigma**2).sqrt(), x), c.c_noise).to(x.dtype)
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


class HalfStd(Small):
    """The std of the data is taken for 0.5, as in EDM's code, whatever the run says."""

    name = "seven-half-std"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(network, x, sigma, Signal(signal.shape, 0.5, signal.conds))


class LogLevel(Small):
    """The network is told log(sigma), not a quarter of it."""

    name = "seven-log-level"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(lambda y, c_noise: network(y, 4 * c_noise), x, sigma, signal)


class SkipOfInput(Small):
    """The skip takes the scaled input c_in x for x."""

    name = "seven-skip-of-input"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
        y = per_row(c.c_in, x) * x
        return per_row(c.c_skip, x) * y + per_row(c.c_out, x) * network(y, c.c_noise).to(x.dtype)


class LevelOfFirst(Small):
    """The network is told the level of the first row for all rows of a batch."""

    name = "seven-level-of-first"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(lambda y, c: network(y, c[:1].expand_as(c)), x, sigma, signal)


class InputDetached(Small):
    """The input of the network is detached, so that the slope of the denoiser in x is that of the skip alone."""

    name = "seven-input-detached"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(lambda y, c_noise: network(y.detach(), c_noise), x, sigma, signal)


class HalfAnswers(Small):
    """Answers come back in half precision, whatever the precision of the point."""

    name = "seven-half-answers"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(network, x, sigma, signal).to(torch.bfloat16)


class BatchCentred(Small):
    """The mean of the batch is taken off the input of the network, so that rows depend on one another."""

    name = "seven-batch-centred"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(lambda y, c_noise: network(y - y.mean(0), c_noise), x, sigma, signal)


class Dropping(Layers):
    """Layers with dropout between them."""

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        hidden = torch.tanh(self.first(torch.cat([y.flatten(1), c_noise.unsqueeze(1)], dim=1)))
        return self.last(nn.functional.dropout(hidden, 0.2, self.training)).reshape(y.shape)


class Trains(Small):
    """Each call puts the network, which has dropout, into training mode, also when it is evaluated."""

    name = "seven-trains"

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network. Raises InputError for conditions."""
        super().network(signal)
        return Dropping(math.prod(signal.shape), self.width)

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return super()._answer(network.train(), x, sigma, signal)


class SameNetwork(Small):
    """`network` gives the same module again, so that the average shares its weights with what is trained."""

    name = "seven-same-network"
    kept: ClassVar[dict[tuple[int, ...], nn.Module]] = {}

    def network(self, signal: Signal) -> nn.Module:
        """A network."""
        return self.kept.setdefault(tuple(signal.shape), super().network(signal))


class Reseeds(Small):
    """`network` seeds torch's global generator to be repeatable, and with it all that draws from it later."""

    name = "seven-reseeds"

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network."""
        torch.manual_seed(0)
        return super().network(signal)


class Eps(Small):
    """Answers with the noise. Right: parts below change it."""

    name = "seven-eps"
    source = "arXiv 2006.11239, eq. 4"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
        output = network(per_row(c.c_in, x) * x, c.c_noise).to(x.dtype)
        return self._x_0(x, output, per_row(sigma.to(x.dtype), x), signal)

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return x - sigma * output


class FewLevels(Eps):
    """Levels below 0.03 are told to the network as 0.03, and no range of levels is declared."""

    name = "seven-few-levels"

    def _answer(self, network: nn.Module, x: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        least = math.log(0.03) / 4
        return super()._answer(lambda y, c_noise: network(y, c_noise.clamp(min=least)), x, sigma, signal)


class EpsScaled(Eps):
    """The noise that the network answers with is multiplied by s of the variance-preserving form, not by sigma."""

    name = "seven-eps-scaled"

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return x - sigma / (1 + sigma**2).sqrt() * output


class Velocity(Eps):
    """The point is not brought to the variance-preserving form: alpha x - s F, where alpha^2 x - s F is right."""

    name = "seven-v-amplitude"
    source = "arXiv 2202.00512, section 4"
    claims = frozenset({"denoiser-contract", "v-form"})

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        alpha = (1 + sigma**2) ** -0.5
        return alpha * x - sigma * alpha * output


class VelocitySign(Velocity):
    """The velocity is read with the other sign: alpha^2 x + s F."""

    name = "seven-v-sign"

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        alpha = (1 + sigma**2) ** -0.5
        return alpha**2 * x + sigma * alpha * output


class FlowBackwards(Eps):
    """The velocity of the flow is read as x_0 - z: (x + sigma F) / (1 + sigma)."""

    name = "seven-flow-backwards"
    source = "arXiv 2210.02747, eq. 20-23"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return (x + sigma * output) / (1 + sigma)


class FlowUndivided(FlowBackwards):
    """The answer of the flow is taken off the point of the flow, x / (1 + sigma) - sigma F, by sigma and not by t."""

    name = "seven-flow-undivided"

    def _x_0(self, x: Tensor, output: Tensor, sigma: Tensor, signal: Signal) -> Tensor:
        return x / (1 + sigma) - sigma * output


class NoneIsZero(MLP):
    """A dropped label is told as 0, which is the first class."""

    name = "seven-none-is-zero"

    def null_cond(self, name: str) -> float | None:
        """0."""
        return 0 if name == "class_cond" and self.num_classes is not None else None


class NoneIsAnswered(MLP):
    """Rows without a label are told the last class, as the label that stands for none is cut down to it."""

    name = "seven-none-is-a-class"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma)."""
        own = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if self.num_classes is not None and "class_cond" in cond:
                cond["class_cond"] = cond["class_cond"].clamp(max=self.num_classes - 1)
            return own(x, sigma, **cond)

        return denoise


class LabelOfFirst(MLP):
    """All rows of a batch are denoised with the label of the first one."""

    name = "seven-label-of-first"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma)."""
        own = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if "class_cond" in cond:
                cond["class_cond"] = cond["class_cond"][:1].expand_as(cond["class_cond"])
            return own(x, sigma, **cond)

        return denoise


class SkipUnderMask(MLP):
    """Values under a mask keep the coefficients of shown ones, so that no answer reaches them at low levels."""

    name = "seven-skip-under-mask"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma)."""
        own = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if "mask" not in cond:
                return own(x, sigma, **cond)
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            y = per_row(c.c_in, x) * torch.where(cond["mask"].bool(), x, torch.zeros_like(x))
            output = network(beside(y.flatten(1), cond), c.c_noise).to(x.dtype).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output

        return denoise


PARTS = (
    UnitInput,
    HalfStd,
    LogLevel,
    SkipOfInput,
    LevelOfFirst,
    FewLevels,
    InputDetached,
    HalfAnswers,
    BatchCentred,
    Trains,
    SameNetwork,
    Reseeds,
    EpsScaled,
    Velocity,
    VelocitySign,
    FlowBackwards,
    FlowUndivided,
    NoneIsZero,
    NoneIsAnswered,
    LabelOfFirst,
    SkipUnderMask,
)
