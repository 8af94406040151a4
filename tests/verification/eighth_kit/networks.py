"""Models that are wrong."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.interfaces import Denoiser, Levels, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import beside, edm_preconditioning
from ambientkit.proposal import Proposal
from tests.verification.eighth_kit.nets import Base, Labelled, Net


class HardData(Base):
    """sigma_data 0.5, as in EDM's code."""

    name = "eight-net-hard-data"

    def coefficients(self, sigma, sigma_data):
        return super().coefficients(sigma, 0.5)


class PlainLog(Base):
    """c_noise = log sigma without the quarter."""

    name = "eight-net-plain-log"

    def coefficients(self, sigma, sigma_data):
        c_skip, c_out, c_in, c_noise = super().coefficients(sigma, sigma_data)
        return c_skip, c_out, c_in, 4 * c_noise


class SkipRoot(Base):
    """c_skip = sigma_data / sqrt(sigma^2 + sigma_data^2): the root."""

    name = "eight-net-skip-root"

    def coefficients(self, sigma, sigma_data):
        c_skip, c_out, c_in, c_noise = super().coefficients(sigma, sigma_data)
        return c_skip.sqrt(), c_out, c_in, c_noise


class Rescaled(Base):
    """k-diffusion's boundary condition: sigma - 0.002 in the skip, which is negative below it."""

    name = "eight-net-boundary"

    def coefficients(self, sigma, sigma_data):
        _, c_out, c_in, c_noise = super().coefficients(sigma, sigma_data)
        moved = (sigma - 0.02) ** 2
        return sigma_data**2 / (moved + sigma_data**2), c_out, c_in, c_noise


class WithoutGradient(Base):
    """Computes its preconditioned input without a graph: SURE's derivative of D is that of the skip alone."""

    name = "eight-net-detached-input"

    def asked(self, network, y, c_noise, cond):
        return super().asked(network, y.detach(), c_noise, cond)


class ClampsAnswer(Base):
    """Answers are clamped to [-1, 1]: no gradient beyond, and data beyond cannot be reached."""

    name = "eight-net-clamps"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma, signal, cond).clamp(-1, 1)


class Transposed(Base):
    """Rows are flattened and come back transposed in height and width."""

    name = "eight-net-transposed"

    def answer(self, network, x, sigma, signal, cond):
        if x.ndim != 4:
            return super().answer(network, x, sigma, signal, cond)
        return super().answer(network, x.transpose(-1, -2).reshape(x.shape), sigma, signal, cond)


class SquareOnly(Base):
    """Takes any picture for a square one of the root of its size, and refuses no other."""

    name = "eight-net-square-only"

    def answer(self, network, x, sigma, signal, cond):
        if x.ndim != 4:
            return super().answer(network, x, sigma, signal, cond)
        side = math.isqrt(x[0, 0].numel())
        square = x.reshape(len(x), x.shape[1], side, side)
        return super().answer(network, square, sigma, signal, cond).reshape(x.shape)


class MaskUnread(Base):
    """Takes a mask without a word and does not read it: zeros are taken for values."""

    name = "eight-net-mask-unread"

    def answer(self, network, x, sigma, signal, cond):
        return super().answer(network, x, sigma, signal, {})

    def fresh(self, size: int, told: int) -> nn.Module:
        return Net(size)


class LabelUnread(Base):
    """Has classes, and its network never hears of them."""

    name = "eight-net-label-unread"
    takes: ClassVar[frozenset[str]] = frozenset({"class_cond"})
    num_classes: int | None = Field(3, ge=1)

    def null_cond(self, name: str) -> float | None:
        return self.num_classes if name == "class_cond" else None


class NullIsClass(Labelled):
    """Label 0 stands for no class, and is one."""

    name = "eight-net-null-is-class"

    def null_cond(self, name: str) -> float | None:
        return 0 if name == "class_cond" else None


class LastUnlabelled(Labelled):
    """The label of the first row for all rows."""

    name = "eight-net-label-of-first"

    def asked(self, network, y, c_noise, cond):
        label = cond.get("class_cond")
        first = None if label is None else label[:1].expand_as(label)
        return network(beside(y.flatten(1), cond), c_noise, first)


class BatchNormed(Base):
    """Batch normalisation: a row's answer depends on the others in training, and other rows' means are kept."""

    name = "eight-net-batch-normed"

    def fresh(self, size: int, told: int) -> nn.Module:
        class Normed(Net):
            def __init__(self) -> None:
                super().__init__(size, told)
                self.norm = nn.BatchNorm1d(32)

            def hidden(self, x: Tensor) -> Tensor:
                return self.norm(x)

        return Normed()


class DrawnFeatures(Base):
    """Random Fourier features of the level that are drawn anew in each call."""

    name = "eight-net-drawn-features"

    def asked(self, network, y, c_noise, cond):
        return super().asked(network, y, (c_noise * torch.randn(1).to(c_noise)).cos(), cond)


class RunningScale(Base):
    """Keeps a running std of its inputs in a buffer, moved in evaluation too: the same question, another answer."""

    name = "eight-net-running-scale"

    def fresh(self, size: int, told: int) -> nn.Module:
        class Running(Net):
            def __init__(self) -> None:
                super().__init__(size, told)
                self.register_buffer("scale", torch.ones(()))

            def hidden(self, x: Tensor) -> Tensor:
                self.scale.mul_(0.9).add_(0.1 * x.detach().std(unbiased=False).to(self.scale))
                return x / self.scale

        return Running()


class OneNetwork(Base):
    """Gives the same network each time it is asked for a fresh one."""

    name = "eight-net-one-for-all"

    def network(self, signal: Signal) -> nn.Module:
        key = (signal.shape, tuple(sorted(signal.conds)))
        if key not in _KEPT:
            _KEPT[key] = super().network(signal)
        return _KEPT[key]


_KEPT: dict = {}


class FirstLevels(Base):
    """Keeps the coefficients of the first batch of each size."""

    name = "eight-net-first-levels"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        kept: dict[int, Tensor] = {}

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c_noise = kept.setdefault(len(x), sigma.log().to(x.dtype) / 4)
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            y = (per_row(c.c_in, x) * x).flatten(1)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * network(beside(y, cond), c_noise).reshape(x.shape)

        return denoise


class FrozenLast(Base):
    """Its last layer does not learn."""

    name = "eight-net-frozen-last"

    def fresh(self, size: int, told: int) -> nn.Module:
        made = Net(size, told)
        made.last.requires_grad_(False)
        return made


class Offers(Base):
    """Offers itself for every shape, and its network refuses all but pictures."""

    name = "eight-net-offers-all"

    def network(self, signal: Signal) -> nn.Module:
        if len(signal.shape) != 3:
            raise ValueError("pictures only")
        return super().network(signal)

    @classmethod
    def proposal(cls, shape, conds, rows) -> Proposal:
        return Proposal(0, f"rows of shape {tuple(shape)}")


class Tabulated(Base):
    """Distinguishes 20 levels between 0.01 and 50, and says that it takes any."""

    name = "eight-net-tabulated"
    claims = frozenset({"denoiser-contract"})

    def coefficients(self, sigma, sigma_data):
        c_skip, c_out, c_in, _ = super().coefficients(sigma, sigma_data)
        index = ((sigma.clamp(0.01, 50).log() - math.log(0.01)) / math.log(5000) * 19).round()
        return c_skip, c_out, c_in, index / 19


class Narrow(MLP):
    """Its range of levels is turned round: the highest is called the lowest."""

    name = "eight-net-turned-range"

    def level_range(self) -> Levels | None:
        return Levels(80.0, 0.002)


class VelocityTurned(Base):
    """A v network with alpha and s exchanged in the skip."""

    name = "eight-net-v-exchanged"
    claims = frozenset({"denoiser-contract", "v-form"})

    def coefficients(self, sigma, sigma_data):
        _, _, c_in, c_noise = super().coefficients(sigma, sigma_data)
        root = (1 + sigma**2).sqrt()
        return 1 / root, -sigma / root, c_in, c_noise


class FlowTimed(Base):
    """A flow network whose output is multiplied by t twice."""

    name = "eight-net-flow-twice"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def coefficients(self, sigma, sigma_data):
        _, _, c_in, c_noise = super().coefficients(sigma, sigma_data)
        t = sigma / (1 + sigma)
        return 1 - t, -(t**2), c_in, c_noise


PARTS = (
    HardData, PlainLog, SkipRoot, Rescaled, WithoutGradient, ClampsAnswer, Transposed,
    SquareOnly, MaskUnread, LabelUnread, NullIsClass, LastUnlabelled, BatchNormed, DrawnFeatures,
    RunningScale, OneNetwork, FirstLevels, FrozenLast, Offers, Tabulated, Narrow, VelocityTurned, FlowTimed,
)  # fmt: skip
