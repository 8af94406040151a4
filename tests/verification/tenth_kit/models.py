"""Wrong models."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ambientkit.maths.forms import flow_time
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning
from tests.verification.tenth_kit.bases import Layers, Net, asked


class NoiseNotQuartered(Net):
    """c_noise = log(sigma)."""

    name = "ten-net-log-sigma"

    def answer(self, network, x, sigma, sigma_data):
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        output = asked(network, per_row(c.c_in, x) * x, sigma.log().to(x.dtype))
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


class FromTable(Net):
    """Levels are rounded to the nearest of 40 of a table."""

    name = "ten-net-levels-of-a-table"

    def answer(self, network, x, sigma, sigma_data):
        step = math.log(80 / 0.002) / 39
        rounded = (((sigma / 0.002).log() / step).round() * step).exp() * 0.002
        return super().answer(network, x, rounded, sigma_data)


class NoSkip(Net):
    """D = F scaled: no skip at low levels."""

    name = "ten-net-without-skip"
    claims = frozenset({"denoiser-contract"})

    def answer(self, network, x, sigma, sigma_data):
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        return sigma_data * asked(network, per_row(c.c_in, x) * x, c.c_noise)


class NoGrad(Net):
    """The skip is made without gradients, and so is all else of it."""

    name = "ten-net-under-no-grad"

    def denoiser(self, network, signal):
        right = super().denoiser(network, signal)

        @torch.no_grad()
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return right(x, sigma)

        return denoise


class DetachedInput(Net):
    """The input is detached: no derivative by x, which Stein's risk and guidance take."""

    name = "ten-net-detached-input"

    def answer(self, network, x, sigma, sigma_data):
        return super().answer(network, x.detach(), sigma, sigma_data)


class HalfSkip(Net):
    """The whole sum is made in bfloat16."""

    name = "ten-net-all-in-bfloat16"

    def answer(self, network, x, sigma, sigma_data):
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        output = asked(network, per_row(c.c_in, x) * x, c.c_noise).bfloat16()
        return (per_row(c.c_skip, x).bfloat16() * x.bfloat16() + per_row(c.c_out, x).bfloat16() * output).to(x.dtype)


class Normalising(Layers):
    """With batch normalisation."""

    def __init__(self, size: int, width: int = 32) -> None:
        super().__init__(size, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
        hidden = self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1))
        return self.last(torch.tanh(self.norm(hidden) if len(y) > 1 else hidden))


class BatchNorm(Net):
    """Batch normalisation."""

    name = "ten-net-batch-norm"

    def network(self, signal):
        return Normalising(math.prod(signal.shape))


class StandardisedBatch(Net):
    """The input is divided by the std of the batch in place of c_in."""

    name = "ten-net-std-of-the-batch"

    def answer(self, network, x, sigma, sigma_data):
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        output = asked(network, x / x.std(), c.c_noise)
        return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output


class EpsUnscaled(Net):
    """The network answers with the noise: x - F, without its level."""

    name = "ten-net-eps-without-sigma"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def answer(self, network, x, sigma, sigma_data):
        c = edm_preconditioning(sigma.to(x.dtype), sigma_data)
        return x - per_row(sigma.clamp(max=1), x) * asked(network, per_row(c.c_in, x) * x, c.c_noise)


class FlowTime(Net):
    """A flow network whose answer is scaled by sigma in place of t."""

    name = "ten-net-flow-by-sigma"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def answer(self, network, x, sigma, sigma_data):
        t = per_row(flow_time(sigma), x)
        output = asked(network, (1 - t) * x, flow_time(sigma).to(x.dtype))
        return (1 - t) * x - per_row(sigma, x) * output


class VSign(Net):
    """v with the other sign."""

    name = "ten-net-v-sign"
    claims = frozenset({"denoiser-contract", "v-form"})

    def answer(self, network, x, sigma, sigma_data):
        s = per_row(sigma, x)
        output = asked(network, x / (1 + s**2).sqrt(), sigma.atan().to(x.dtype))
        return x / (1 + s**2) + s / (1 + s**2).sqrt() * output


class Labelled(nn.Module):
    """With an embedding of a label."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.inner, self.label = Layers(size), nn.Embedding(classes + 1, size)

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor) -> Tensor:
        return self.inner(y + self.label(label), c_noise)


class WithClasses(Net):
    """Takes class labels; its null is class 0."""

    name = "ten-net-null-is-class-0"
    num_classes: int = 4

    def null_cond(self, name):
        return 0.0 if name == "class_cond" else None

    def network(self, signal):
        return Labelled(math.prod(signal.shape), self.num_classes)

    def denoiser(self, network, signal):
        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            label = cond.get("class_cond", torch.zeros(len(x), dtype=torch.int64))
            output = network((per_row(c.c_in, x) * x).flatten(1), c.c_noise, label).reshape(x.shape)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output

        return denoise


class FirstLabel(WithClasses):
    """All rows get the label of the first."""

    name = "ten-net-label-of-first-row"

    def null_cond(self, name):
        return float(self.num_classes) if name == "class_cond" else None

    def denoiser(self, network, signal):
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            label = cond.get("class_cond", torch.zeros(len(x), dtype=torch.int64))
            return right(x, sigma, class_cond=label[:1].expand(len(x)))

        return denoise


class Seeds(Net):
    """The network is drawn after torch.manual_seed(0), for the sake of repeatable runs."""

    name = "ten-net-seeds-torch"

    def network(self, signal):
        torch.manual_seed(0)
        return super().network(signal)


class Caches(Net):
    """The coefficients of a batch are kept, and used while the number of rows is the same."""

    name = "ten-net-keeps-coefficients"

    def denoiser(self, network, signal):
        kept: dict[int, Tensor] = {}

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.answer(network, x, kept.setdefault(len(x), sigma), signal.sigma_data)

        return denoise


PARTS = (
    NoiseNotQuartered,
    FromTable,
    NoSkip,
    NoGrad,
    DetachedInput,
    HalfSkip,
    BatchNorm,
    StandardisedBatch,
    EpsUnscaled,
    FlowTime,
    VSign,
    WithClasses,
    FirstLabel,
    Seeds,
    Caches,
)
